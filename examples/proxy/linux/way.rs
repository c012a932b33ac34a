//! The ways to come by buffers that are compared.

/// A way to come by buffers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Way {
    Pool,
    BytesMut,
    Vec,
}

impl Way {
    pub(crate) const ALL: [Way; 3] = [Way::Pool, Way::BytesMut, Way::Vec];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Way::Pool => "pool",
            Way::BytesMut => "BytesMut",
            Way::Vec => "Vec",
        }
    }

    pub(crate) fn named(name: &str) -> Option<Way> {
        Way::ALL.into_iter().find(|way| way.name() == name)
    }
}

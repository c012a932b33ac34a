//! What a caller asks for: the values that `get` and its kin take.

use crate::bytes::buf::Taken;

/// What a buffer is to hold: a `usize`, a [`Capacity`] or a [`Recycled`].
///
/// | request | the buffer |
/// |---|---|
/// | `4096` | 4096 bytes, all zero |
/// | `Capacity(4096)` | empty, with room for at least 4096 bytes |
/// | `Recycled(4096)` | 4096 initialised bytes of unspecified value |
///
/// Sealed: no other type can be a request.
///
/// # Examples
///
/// ```
/// use millpond::{BufferPool, Capacity, Recycled};
///
/// let pool = BufferPool::new();
/// assert_eq!(pool.get(100)[..], [0; 100]);
/// assert!(pool.get(Capacity(100)).is_empty());
/// assert_eq!(pool.get(Recycled(100)).len(), 100);
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a request for a buffer",
    label = "expected a `usize` (zero bytes), `Capacity(n)` (empty) or `Recycled(n)` (unspecified bytes)",
    note = "an integer must be a `usize`: write `4096usize` or `n as usize`"
)]
pub trait Request: sealed::Prepare {}

/// A request for an empty buffer with room for at least this many bytes.
///
/// The cheapest request: it never touches the buffer's bytes, and no byte of an earlier user can be seen.
///
/// # Examples
///
/// ```
/// # use millpond::{BufferPool, Capacity};
/// let mut line = BufferPool::shared().get(Capacity(80));
/// line.extend_from_slice(b"GET / HTTP/1.1\r\n");
/// assert!(line.capacity() >= 80);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Capacity(pub usize);

/// A request for this many initialised bytes of unspecified value, for callers that overwrite them all.
///
/// The bytes may be those of an earlier user of the same pool. They are zero when the pool wipes on return
/// ([`Zeroing::OnReturn`](crate::Zeroing::OnReturn)). Costs nothing where the memory was initialised before, and
/// otherwise the zeroing of what was not.
///
/// # Examples
///
/// ```
/// # use millpond::{BufferPool, Recycled};
/// use std::io::Read;
///
/// let mut block = BufferPool::shared().get(Recycled(8));
/// (&b"whole blocks"[..]).read_exact(&mut block)?;
/// assert_eq!(block[..], *b"whole bl");
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Recycled(pub usize);

impl Request for usize {}
impl Request for Capacity {}
impl Request for Recycled {}

pub(crate) mod sealed {
    use super::Taken;

    /// The working half of a request, out of users' reach.
    pub trait Prepare: Copy {
        /// Bytes of capacity needed.
        fn capacity(self) -> usize;

        /// Whether fresh memory should better be zero.
        fn wants_zero(self) -> bool;

        /// The request as a value, whatever its type.
        fn wish(self) -> super::Wish;

        /// Makes the bytes of a slot that was taken for this request what was asked for; how many they are.
        fn prepare(self, taken: &Taken) -> usize;
    }
}

impl sealed::Prepare for usize {
    #[inline(always)]
    fn capacity(self) -> usize {
        self
    }

    fn wish(self) -> Wish {
        Wish::Zeroed(self)
    }

    fn wants_zero(self) -> bool {
        true
    }

    #[inline(always)]
    fn prepare(self, taken: &Taken) -> usize {
        taken.make_zero_to(self);
        self
    }
}

impl sealed::Prepare for Capacity {
    #[inline(always)]
    fn capacity(self) -> usize {
        self.0
    }

    fn wish(self) -> Wish {
        Wish::Capacity(self)
    }

    fn wants_zero(self) -> bool {
        false
    }

    #[inline(always)]
    fn prepare(self, _: &Taken) -> usize {
        0
    }
}

impl sealed::Prepare for Recycled {
    #[inline(always)]
    fn capacity(self) -> usize {
        self.0
    }

    fn wish(self) -> Wish {
        Wish::Recycled(self)
    }

    fn wants_zero(self) -> bool {
        true
    }

    #[inline(always)]
    fn prepare(self, taken: &Taken) -> usize {
        taken.make_init_to(self.0);
        self.0
    }
}

/// Any request, for those that are kept while they wait.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Wish {
    Zeroed(usize),
    Capacity(Capacity),
    Recycled(Recycled),
}

impl Request for Wish {}

/// What each kind of request does.
macro_rules! as_wished {
    ($wish:expr, $request:ident => $does:expr) => {
        match $wish {
            Wish::Zeroed($request) => $does,
            Wish::Capacity($request) => $does,
            Wish::Recycled($request) => $does,
        }
    };
}

impl sealed::Prepare for Wish {
    fn capacity(self) -> usize {
        as_wished!(self, request => request.capacity())
    }

    fn wants_zero(self) -> bool {
        as_wished!(self, request => request.wants_zero())
    }

    fn wish(self) -> Wish {
        self
    }

    fn prepare(self, taken: &Taken) -> usize {
        as_wished!(self, request => request.prepare(taken))
    }
}

//! Who has what is out: where in the program each slot was taken, on which thread, and when. In pools that are built to
//! track, and with the feature of this name; without it none of this is there, and nothing of it costs anything.

#[cfg(not(feature = "track"))]
mod off;
#[cfg(feature = "track")]
mod on;

#[cfg(not(feature = "track"))]
pub(crate) use off::{Checkout, advance};
#[cfg(feature = "track")]
pub(crate) use on::{Checkout, Out, Record, advance};

//! Where nobody is told.

use crate::policy::error::Error;
use crate::policy::pressure::Pressure;
use crate::tell::Name;

pub(crate) fn refused(_: &Name, _: &Error) {}

pub(crate) fn trimmed(_: &Name, _: usize, _: usize) {}

pub(crate) fn decayed(_: &Name, _: usize) {}

pub(crate) fn relieved(_: &Name, _: Pressure, _: usize) {}

#[cfg_attr(not(all(feature = "pressure", target_os = "linux", not(miri))), allow(dead_code, reason = "nobody asks"))]
pub(crate) fn kernel_says(_: Option<Pressure>) {}

#[derive(Debug)]
pub(crate) struct Waiting;

impl Waiting {
    pub(crate) fn new() -> Self {
        Waiting
    }

    pub(crate) fn begin(&mut self, _: &Name, _: usize) {}

    pub(crate) fn end(&mut self, _: &Name, _: Option<&Error>) {}

    pub(crate) fn give_up(&mut self, _: &Name) {}
}

//! kithara-bufpool 0.0.1-alpha5: one region with a pool of bytes, one with a pool of samples. For bytes, its only way to a number of bytes is
//! `get_with_len`, which zeroes them.

use std::convert::Infallible;
use std::marker::PhantomData;

use kithara_bufpool::{ByteBuffer, OverallBudget, PoolConfig, PoolRegion, SampleBuffer, pool_schema};

use crate::compare::contender::{Cannot, Contender, Kind, Plan, Size};
use crate::compare::objects::{Kept, Objects, Value};
use crate::compare::values::{Samples, ramp};

/// Shards of its pool of bytes; what may be kept is divided between them.
const SHARDS: usize = 32;

pool_schema! {
    pub Schema {
        bytes: u8,
    }
}

pub struct Kithara(PoolRegion<Schema>);

impl Contender for Kithara {
    const NAME: &'static str = "kithara-bufpool 0.0.1-alpha5";
    const KIND: Kind = Kind::Pool;

    type Buf<'p> = ByteBuffer;
    type Zeroed<'p> = ByteBuffer;

    fn new(plan: &Plan) -> Result<Self, Cannot> {
        let config = PoolConfig::builder().max_buffers(SHARDS * plan.idle.max(1)).build();
        let region = Schema::builder(OverallBudget(64 << 30)).bytes(config).build();
        Ok(Self(region.expect("a valid configuration")))
    }

    #[inline(always)]
    fn get(&self, size: Size) -> ByteBuffer {
        self.0.get_with_len::<u8>(size.bytes).expect("within the budget")
    }

    #[inline(always)]
    fn write(buf: &mut ByteBuffer, at: usize) -> &mut u8 {
        let byte = &mut buf[at];
        *byte = 1;
        byte
    }

    #[inline(always)]
    fn zeroed(&self, size: Size) -> ByteBuffer {
        self.get(size)
    }

    fn bytes(buf: &ByteBuffer) -> &[u8] {
        buf
    }

    #[inline(always)]
    fn expose(buf: &mut ByteBuffer, len: usize) -> &mut [u8] {
        &mut buf[..len]
    }
}

/// Shards of its pool of samples.
const SAMPLE_SHARDS: usize = 8;

pool_schema! {
    pub SampleSchema {
        samples: f32,
    }
}

/// A region with a pool of samples, whose buffers come back empty.
pub struct KitharaSamples<const N: usize>(PoolRegion<SampleSchema>);

impl<const N: usize> Objects<Samples<N>> for KitharaSamples<N>
where
    Samples<N>: Kept<Content = [f32]>,
{
    const NAME: &'static str = Kithara::NAME;
    const KIND: Kind = Kithara::KIND;

    type Value = Recording<N>;
    type Object<'p> = Recording<N>;

    fn new(plan: &Plan) -> Result<Self, Cannot> {
        let count = SAMPLE_SHARDS * plan.idle;
        let config = PoolConfig::builder().max_buffers(count).initial_buffers(count).initial_capacity(N).build();
        let region = SampleSchema::builder(OverallBudget(64 << 30)).samples(config).build();
        Ok(Self(region.expect("a valid configuration")))
    }

    #[inline(always)]
    fn get(&self) -> Recording<N> {
        Recording(self.0.get::<f32>())
    }

    #[inline(always)]
    fn value(object: &mut Recording<N>) -> &mut Recording<N> {
        object
    }
}

/// Room for `N` samples.
pub struct Recording<const N: usize>(SampleBuffer);

impl<const N: usize> Value for Recording<N> {
    type Content = [f32];
    type Part = f32;

    #[inline(always)]
    fn touch(&mut self) -> &mut f32 {
        self.0.ensure_len(1).expect("within the budget");
        self.0[0] = 1.0;
        &mut self.0[0]
    }

    /// Samples that are not copied from others can only be written over zeroes.
    #[inline(always)]
    fn fill(&mut self) -> &mut f32 {
        self.0.ensure_len(N).expect("within the budget");
        self.0.iter_mut().zip(ramp(N)).for_each(|(to, sample)| *to = sample);
        &mut self.0[0]
    }

    fn content(&self) -> &[f32] {
        &self.0
    }
}

/// For values that it has no buffers for.
pub struct Unknown<T>(Infallible, PhantomData<fn() -> T>);

impl<T: Kept> Objects<T> for Unknown<T> {
    const NAME: &'static str = Kithara::NAME;
    const KIND: Kind = Kithara::KIND;

    type Value = T;
    type Object<'p> = Infallible;

    fn new(_: &Plan) -> Result<Self, Cannot> {
        Err(Cannot::Because("keeps vectors and strings, nothing else"))
    }

    fn get(&self) -> Infallible {
        self.0
    }

    fn value(object: &mut Infallible) -> &mut T {
        match *object {}
    }
}

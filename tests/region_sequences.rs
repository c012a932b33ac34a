//! Whatever happens in whatever order, regions are where they were said to be, pins and watches get what they were
//! promised, and nobody's bytes change: random sequences beside a plain model.
#![allow(unsafe_code)] // Raw buffers are put together again, and a source is an unsafe trait.

#[path = "support/sources.rs"]
mod sources;
#[path = "support/watchers.rs"]
mod watchers;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;

use millpond::{
    BufferPool, Capacity, Memory, PooledBuf, PooledBytes, RawBuf, Recycled, Region, RegionPin, RegionWatch, Zeroing,
};
use proptest::collection::vec;
use proptest::prelude::*;
use sources::Counting;
use watchers::{Model, watched};

/// Small ones that keep their pages, large ones that give them back one by one, and mappings of their own.
const SIZES: [usize; 5] = [4096, 100 << 10, 600 << 10, 2 << 20, 3 << 20];

#[derive(Clone, Copy, Debug)]
enum Op {
    Get(usize),
    GetCapacity(usize),
    GetRecycled(usize),
    Grow(usize),
    Freeze(usize),
    IntoRaw(usize),
    Drop(usize),
    DropAll,
    Trim(usize),
    Pin,
    Unpin(usize),
    Watch,
    Unwatch(usize),
}

fn op() -> impl Strategy<Value = Op> {
    let size = || prop::sample::select(&SIZES[..if cfg!(miri) { 2 } else { SIZES.len() }]);
    prop_oneof![
        3 => size().prop_map(Op::Get),
        2 => size().prop_map(Op::GetCapacity),
        2 => size().prop_map(Op::GetRecycled),
        1 => any::<usize>().prop_map(Op::Grow),
        1 => any::<usize>().prop_map(Op::Freeze),
        1 => any::<usize>().prop_map(Op::IntoRaw),
        5 => any::<usize>().prop_map(Op::Drop),
        1 => Just(Op::DropAll),
        1 => prop::sample::select(&[0, 1 << 20, 8 << 20]).prop_map(Op::Trim),
        1 => Just(Op::Pin),
        3 => any::<usize>().prop_map(Op::Unpin),
        1 => Just(Op::Watch),
        3 => any::<usize>().prop_map(Op::Unwatch),
    ]
}

/// A buffer that is out, in one of the forms that it takes.
enum Form {
    Unique(PooledBuf),
    Frozen(PooledBytes),
    Raw(RawBuf),
}

/// What is known of it.
struct Out {
    form: Form,
    byte: u8,
    region: Option<Region>,
}

struct Checked {
    pool: BufferPool,
    source: Option<Arc<Counting>>,
    out: Vec<Out>,
    pins: Vec<RegionPin>,
    watches: Vec<(Arc<Model>, RegionWatch)>,
    regions: BTreeMap<u32, Region>,
    next_byte: u8,
}

impl Checked {
    fn new(source: Option<Arc<Counting>>, keeps: bool, zeroing: Zeroing) -> Self {
        let memory = source.clone().map_or(Memory::mapped(), |source| Memory::source(source));
        // Those above the largest class have mappings of many lengths.
        let builder = BufferPool::builder().size_classes([4096, 128 << 10, 1 << 20]).memory(memory).zeroing(zeroing);
        let builder = if keeps { builder } else { builder.max_idle(0).thread_cache(0) };
        let pool = builder.build().unwrap();
        let (out, pins, watches) = (Vec::new(), Vec::new(), Vec::new());
        Self { pool, source, out, pins, watches, regions: BTreeMap::new(), next_byte: 1 }
    }

    fn apply(&mut self, op: Op) {
        match op {
            Op::Get(size) => {
                let buf = self.pool.get(size);
                assert!(buf == vec![0; size]);
                self.keep(buf);
            }
            Op::GetCapacity(size) => {
                let buf = self.pool.get(Capacity(size));
                assert!(buf.is_empty() && buf.capacity() >= size);
                self.keep(buf);
            }
            Op::GetRecycled(size) => {
                let buf = self.pool.get(Recycled(size));
                self.keep(buf);
            }
            Op::Grow(at) => {
                if let Some(Out { form: Form::Unique(buf), byte, region }) = pick(&mut self.out, at) {
                    buf.resize(buf.capacity() + 1, *byte);
                    *region = in_list(&self.pool.regions(), buf.region());
                }
            }
            Op::Freeze(at) => self.reform(at, |buf| Form::Frozen(buf.freeze())),
            Op::IntoRaw(at) => self.reform(at, |buf| Form::Raw(buf.into_raw())),
            Op::Drop(at) => {
                if !self.out.is_empty() {
                    let out = self.out.swap_remove(at % self.out.len());
                    drop(out.check().form);
                }
            }
            Op::DropAll => self.out.drain(..).for_each(|out| drop(out.check().form)),
            Op::Trim(keep) => drop(self.pool.trim(keep)),
            Op::Pin => {
                self.pins.push(self.pool.pin_regions());
                self.tell_source();
            }
            Op::Unpin(at) => self.unpin(at),
            Op::Watch => self.watches.push(watched(&self.pool)),
            Op::Unwatch(at) => {
                if !self.watches.is_empty() {
                    self.watches.swap_remove(at % self.watches.len());
                }
            }
        }
    }

    fn keep(&mut self, mut buf: PooledBuf) {
        let byte = self.next_byte;
        self.next_byte = byte.wrapping_add(1).max(1);
        buf.clear();
        buf.resize(buf.capacity(), byte);
        let region = in_list(&self.pool.regions(), buf.region());
        self.out.push(Out { form: Form::Unique(buf), byte, region });
    }

    fn reform(&mut self, at: usize, reform: impl FnOnce(PooledBuf) -> Form) {
        if !self.out.is_empty() {
            let at = at % self.out.len();
            let Out { form, byte, region } = self.out.swap_remove(at);
            let form = if let Form::Unique(buf) = form { reform(buf) } else { form };
            self.out.push(Out { form, byte, region });
        }
    }

    /// Lets go of a pin, if it says so by itself.
    fn unpin(&mut self, at: usize) {
        if self.pins.is_empty() {
            return;
        }
        let pin = self.pins.swap_remove(at % self.pins.len());
        self.tell_source();
        match pin.release() {
            Ok(()) => assert!(self.out.is_empty()),
            Err(in_flight) => {
                assert_eq!(in_flight.outstanding(), self.out.len());
                // Every other one stays.
                if at % 2 == 0 {
                    self.pins.push(in_flight.into_pin());
                    self.tell_source();
                }
            }
        }
    }

    fn tell_source(&self) {
        if let Some(source) = &self.source {
            source.is_pinned.store(!self.pins.is_empty(), SeqCst);
        }
    }

    fn check(&mut self) {
        let now: BTreeMap<u32, Region> =
            self.pool.regions().into_iter().map(|region| (region.index(), region)).collect();
        assert_disjoint(&now);
        for Out { region, .. } in &self.out {
            let region = region.expect("mapped");
            assert_eq!(now.get(&region.index()), Some(&region), "it has a buffer out");
        }
        if !self.pins.is_empty() {
            let mut before = self.regions.iter();
            assert!(before.all(|(index, region)| now.get(index) == Some(region)), "{:?}, {now:?}", self.regions);
        }
        self.watches.iter().for_each(|(model, _)| model.assert_is(&self.pool));
        for pin in &self.pins {
            assert_eq!(pin.outstanding(), self.out.len());
        }
        self.regions = now;
    }

    fn end(mut self) {
        self.out.drain(..).for_each(|out| drop(out.check().form));
        let pins = std::mem::take(&mut self.pins);
        self.tell_source();
        drop(pins);
        self.pool.trim(0);
        assert_eq!((self.pool.regions(), self.pool.stats().footprint), (vec![], 0));
        self.watches.iter().for_each(|(model, _)| model.assert_is(&self.pool));
        assert!(self.source.is_none_or(|source| source.held() == 0));
    }
}

impl Out {
    /// As it was, unless its bytes or its place have changed.
    #[track_caller]
    fn check(self) -> Self {
        let Out { form, byte, region } = self;
        let form = match form {
            // SAFETY: `reform` took it apart, and it is taken out of the list here.
            Form::Raw(raw) => Form::Unique(unsafe { PooledBuf::from_raw(raw) }),
            form => form,
        };
        let (bytes, place) = match &form {
            Form::Unique(buf) => (&buf[..], buf.region()),
            Form::Frozen(bytes) => (&bytes[..], bytes.region()),
            Form::Raw(_) => unreachable!("put together above"),
        };
        assert!(bytes == vec![byte; bytes.len()], "somebody else wrote to it");
        let (region, (index, offset)) = (region.unwrap(), place.unwrap());
        assert_eq!((region.index(), region.as_ptr().addr() + offset), (index, bytes.as_ptr().addr()));
        assert!(offset + bytes.len() <= region.len());
        Out { form, byte, region: Some(region) }
    }
}

fn pick<T>(list: &mut [T], at: usize) -> Option<&mut T> {
    let len = list.len().max(1);
    list.get_mut(at % len)
}

fn in_list(regions: &[Region], place: Option<(u32, usize)>) -> Option<Region> {
    place.and_then(|(index, _)| regions.iter().find(|region| region.index() == index).copied())
}

fn assert_disjoint(regions: &BTreeMap<u32, Region>) {
    let mut ends: Vec<_> = regions.values().map(|region| (region.as_ptr().addr(), region.len())).collect();
    ends.sort_unstable();
    assert!(ends.is_sorted_by(|first, second| first.0 + first.1 <= second.0), "{regions:?}");
}

fn memory() -> impl Strategy<Value = Option<Arc<Counting>>> {
    let counting = |zeroes| Some(Arc::new(Counting { zeroes, ..Counting::default() }));
    any::<Option<bool>>().prop_map(move |zeroes| zeroes.and_then(counting))
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: if cfg!(miri) { 3 } else { 96 },
        max_shrink_iters: 2000,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn any_sequence(
        source in memory(),
        keeps in any::<bool>(),
        wipes in any::<bool>(),
        ops in vec(op(), 1..if cfg!(miri) { 30 } else { 200 }),
    ) {
        let zeroing = if wipes { Zeroing::OnReturn } else { Zeroing::OnGet };
        let mut checked = Checked::new(source.clone(), keeps, zeroing);
        for op in ops {
            let (discards, watches) = (source.as_ref().map(|source| source.discards.load(SeqCst)), checked.watches.len());
            checked.apply(op);
            checked.check();
            if watches > 0 && !matches!(op, Op::Unwatch(_)) {
                assert_eq!(source.as_ref().map(|source| source.discards.load(SeqCst)), discards, "parts stay");
            }
        }
        checked.end();
    }
}

//! A watcher of regions that knows which there are.
#![allow(dead_code)] // Each test uses some of it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, RwLock};

use millpond::{BufferPool, PooledBuf, Region, RegionWatch, RegionWatcher};

/// What there is, by what it was told. Fails when it is told what cannot be.
#[derive(Default)]
pub(crate) struct Model {
    /// By index: start and length.
    pub(crate) there: RwLock<BTreeMap<u32, (usize, usize)>>,
    pub(crate) added: AtomicUsize,
    pub(crate) removed: AtomicUsize,
    /// A mistake that a callback saw: its panic would be caught.
    wrong: Mutex<Option<String>>,
}

impl Model {
    fn fail(&self, what: String) {
        self.wrong.lock().unwrap().get_or_insert(what);
    }

    #[track_caller]
    pub(crate) fn assert_right(&self) {
        assert_eq!(*self.wrong.lock().unwrap(), None);
    }

    /// Fails unless the buffer is in a region that it knows.
    #[track_caller]
    pub(crate) fn assert_knows(&self, buf: &PooledBuf) {
        let (index, offset) = buf.region().unwrap();
        let there = self.there.read().unwrap();
        let &(start, len) = there.get(&index).expect("told of");
        assert_eq!(start + offset, buf.as_ptr().addr());
        assert!(offset + buf.capacity() <= len);
    }

    #[track_caller]
    pub(crate) fn assert_is(&self, pool: &BufferPool) {
        self.assert_right();
        let regions = pool.regions();
        let listed: BTreeMap<_, _> =
            regions.iter().map(|region| (region.index(), (region.as_ptr().addr(), region.len()))).collect();
        assert_eq!(*self.there.read().unwrap(), listed);
    }
}

impl RegionWatcher for Model {
    fn added(&self, region: &Region) {
        self.added.fetch_add(1, SeqCst);
        let (start, len) = (region.as_ptr().addr(), region.len());
        let mut there = self.there.write().unwrap();
        if let Some(other) = there.values().find(|other| start < other.0 + other.1 && other.0 < start + len) {
            self.fail(format!("{region:?} overlaps {other:x?}"));
        }
        if let Some(other) = there.insert(region.index(), (start, len)) {
            self.fail(format!("{region:?} has the index of {other:x?}"));
        }
    }

    fn removed(&self, region: &Region) {
        self.removed.fetch_add(1, SeqCst);
        let known = self.there.write().unwrap().remove(&region.index());
        if known != Some((region.as_ptr().addr(), region.len())) {
            self.fail(format!("{region:?} was {known:x?}"));
        }
    }
}

pub(crate) fn watched(pool: &BufferPool) -> (Arc<Model>, RegionWatch) {
    let model = Arc::new(Model::default());
    let watch = pool.watch_regions(model.clone());
    (model, watch)
}

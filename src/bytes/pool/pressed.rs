//! Pools whose upkeep reads a made-up file about memory pressure.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use super::*;
use crate::bytes::request::Recycled;
use crate::memory::os::Root;
use crate::policy::pressure::Gauge;

const SIZE: usize = 64 << 10;
const FILE: &str = "proc/pressure/memory";
const SECOND: Duration = Duration::from_secs(1);

/// A pool that keeps ten buffers whatever happens, its upkeep, and what that reads.
struct Rig {
    pool: BufferPool,
    upkeep: Arc<Upkeep>,
    root: Root,
    now: Instant,
}

impl Rig {
    fn new(test: &str, decay: Duration, read_every: Duration) -> Self {
        let root = Root::new(test, &[(FILE, b"some avg10=0.00\nfull avg10=0.00\n")]);
        // As long as the process, like the one that this stands for.
        let gauge = Box::leak(Box::new(Gauge::open(&root.0, read_every).unwrap()));
        let upkeep = Upkeep::by(decay, &Name::default(), Some(gauge), false).unwrap();
        let builder = BufferPool::builder().size_classes([SIZE]).thread_cache(0).prefill(SIZE, 10);
        // Its own upkeep, which reads what is true, is never called.
        let pool = builder.decay(Duration::MAX).maintenance(Maintenance::Manual).build().unwrap();
        Rig { pool, upkeep, root, now: Instant::now() }
    }

    fn says(&self, some: u32, full: u32) {
        let content = format!("some avg10={some}.00 total=1\nfull avg10={full}.00 total=1\n");
        fs::write(self.root.0.join(FILE), content).unwrap();
    }

    fn spike(&self, count: usize) {
        drop(self.pool.get_many(vec![Recycled(SIZE); count]));
    }

    fn resident(&self) -> usize {
        self.pool.stats().footprint as usize / SIZE
    }

    /// Whether anything is left to go, after a look so much later.
    fn look_after(&mut self, later: Duration) -> bool {
        self.now += later;
        self.upkeep.look_at(self.now, self.pool.core.core())
    }
}

#[test]
fn each_look_gives_back_once_what_the_level_says() {
    let mut rig = Rig::new("pool-looks", Duration::MAX, SECOND);
    rig.spike(100);
    for _ in 0..1000 {
        assert!(rig.look_after(SECOND));
    }
    assert_eq!(rig.resident(), 100, "nobody wanted it");
    rig.says(20, 0);
    rig.look_after(SECOND);
    assert_eq!(rig.resident(), 100, "what is needed is not known yet");
    rig.spike(40);
    for _ in 0..9 {
        rig.look_after(SECOND / 10);
        assert_eq!(rig.resident(), 100, "it is not yet time");
    }
    rig.look_after(SECOND / 10);
    assert!((40..40 + 16).contains(&rig.resident()), "{}", rig.resident());
    rig.spike(40);
    rig.says(4, 0);
    rig.look_after(SECOND);
    rig.look_after(SECOND);
    assert!(rig.resident() >= 40, "the level has been left");
    rig.says(80, 60);
    assert!(!rig.look_after(SECOND));
    assert_eq!(rig.resident(), 10, "the floor stays");
    rig.spike(30);
    assert!(rig.look_after(SECOND / 2));
    assert_eq!(rig.resident(), 30);
    assert!(!rig.look_after(SECOND / 2));
    assert_eq!(rig.resident(), 10);
}

#[test]
fn what_decays_does_so_besides() {
    let mut rig = Rig::new("pool-decay", SECOND * 40, SECOND);
    rig.spike(100);
    let mut seconds = 0;
    while rig.look_after(SECOND) {
        seconds += 1;
    }
    assert_eq!((rig.resident(), (40..=80).contains(&seconds)), (10, true), "{seconds} seconds");
    rig.spike(100);
    rig.says(10, 10);
    rig.look_after(SECOND);
    assert_eq!(rig.resident(), 10);
}

/// Between the levels it falls asleep, since nothing is left.
#[test]
fn the_thread_sees_levels_come_and_go() {
    let rig = Rig::new("pool-thread", Duration::MAX, SECOND / 50);
    maintenance::watch(rig.pool.core.core().hold(), &rig.upkeep);
    for _ in 0..3 {
        rig.spike(100);
        // The births have told the pool's own upkeep.
        maintenance::wake(&rig.upkeep);
        thread::sleep(SECOND / 5);
        assert_eq!(rig.resident(), 100);
        rig.says(30, 0);
        let end = Instant::now() + SECOND * 20;
        while rig.resident() > 10 {
            assert!(Instant::now() < end, "{} buffers are left", rig.resident());
            thread::sleep(SECOND / 100);
        }
        rig.says(0, 0);
        thread::sleep(SECOND / 5);
    }
    maintenance::dismiss(&rig.upkeep);
}

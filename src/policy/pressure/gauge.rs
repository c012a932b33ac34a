//! How urgently memory is wanted, by what the kernel says of the time for which tasks wait for it.
//!
//! Each level is entered when tasks have waited for a tenth of the last ten seconds: some of them for the moderate one, all
//! at once for the critical one. A tenth is where systemd asks [services](https://systemd.io/MEMORY_PRESSURE/) to give
//! back what they can do without (200 ms of 2 s). Who kills waits for more: systemd-oomd for 60 % in which nothing ran,
//! over [half a minute](https://www.freedesktop.org/software/systemd/man/latest/oomd.conf.html). So idle memory is gone
//! before anybody is killed for it.
//!
//! A level is left at half of that, so that a share that stays about one bound does not make the level come and go. The
//! average falls by half in seven seconds once nobody waits.
//!
//! The kernel can also wake who waits for such a bound. It wants the file written to for that, which containers forbid, and
//! a thread that sleeps in `poll`; ours sleeps until pools have something to do, and then reads once a second.

use std::path::Path;
use std::sync::{Mutex, OnceLock};
use std::time::{Duration, Instant};

use crate::memory::os::psi::{Psi, Stalls};
use crate::policy::beat::Beat;
use crate::policy::pressure::Pressure;
use crate::policy::told;

/// Percent of the time that somebody waits, from which a level is in effect.
const ENTERED_AT: f32 = 10.0;
/// Percent below which it is not any more.
const LEFT_BELOW: f32 = 5.0;
/// The kernel's averages change every two seconds.
const READ_EVERY: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(crate) struct Gauge {
    psi: Psi,
    beat: Beat,
    level: Mutex<Option<Pressure>>,
}

impl Gauge {
    /// What this process can read; opened once.
    pub(crate) fn of_process() -> Option<&'static Gauge> {
        static KNOWN: OnceLock<Option<Gauge>> = OnceLock::new();
        KNOWN.get_or_init(|| Gauge::open(Path::new("/"), READ_EVERY)).as_ref()
    }

    /// What a process can read whose file system has this root.
    pub(crate) fn open(root: &Path, read_every: Duration) -> Option<Self> {
        Psi::open(root).map(|psi| Gauge { psi, beat: Beat::every(read_every), level: Mutex::new(None) })
    }

    /// A beat for somebody who heeds the level, at which it will have been read anew.
    pub(crate) fn beat(&self) -> Beat {
        self.beat.clone()
    }

    /// The level in effect, read anew if it is time.
    pub(crate) fn level(&self, now: Instant) -> Option<Pressure> {
        // Somebody reads at this moment, or did when this process was forked: then none is known until the next look.
        let mut level = self.level.try_lock().ok()?;
        let before = *level;
        if self.beat.take(now) > 0 {
            *level = self.psi.read().and_then(|stalls| judge(*level, stalls));
        }
        let after = *level;
        drop(level);
        if after != before {
            told::kernel_says(after);
        }
        after
    }
}

/// The level that takes the place of this one.
fn judge(level: Option<Pressure>, stalls: Stalls) -> Option<Pressure> {
    let bound_of = |this| if level >= Some(this) { LEFT_BELOW } else { ENTERED_AT };
    if stalls.full >= bound_of(Pressure::Critical) {
        Some(Pressure::Critical)
    } else if stalls.some >= bound_of(Pressure::Moderate) {
        Some(Pressure::Moderate)
    } else {
        None
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::fs;

    use super::Pressure::{Critical, Moderate};
    use super::*;
    use crate::memory::os::Root;

    const FILE: &str = "proc/pressure/memory";

    /// A gauge, and the file that it reads.
    struct Rig {
        root: Root,
        gauge: Gauge,
        now: Instant,
    }

    impl Rig {
        fn new(test: &str) -> Self {
            let root = Root::new(test, &[(FILE, b"some avg10=0.00\nfull avg10=0.00\n")]);
            let gauge = Gauge::open(&root.0, READ_EVERY).unwrap();
            Rig { root, gauge, now: Instant::now() }
        }

        fn says(&self, some: f32, full: f32) {
            let lines = ["some", "full"].map(|kind| (kind, if kind == "some" { some } else { full }));
            let line = |(kind, share)| format!("{kind} avg10={share:.2} avg60=0.00 avg300=0.00 total=12345\n");
            fs::write(self.root.0.join(FILE), lines.map(line).concat()).unwrap();
        }

        /// The level a second later.
        fn then(&mut self) -> Option<Pressure> {
            self.now += READ_EVERY;
            self.gauge.level(self.now)
        }

        /// The level a second later, when the file says so.
        fn at(&mut self, some: f32, full: f32) -> Option<Pressure> {
            self.says(some, full);
            self.then()
        }
    }

    #[test]
    fn levels_rise_and_fall_with_the_shares() {
        let mut rig = Rig::new("psi-levels");
        assert_eq!(rig.at(0.0, 0.0), None);
        assert_eq!(rig.at(9.99, 0.0), None);
        assert_eq!(rig.at(10.0, 0.0), Some(Moderate));
        assert_eq!(rig.at(50.0, 9.99), Some(Moderate));
        assert_eq!(rig.at(50.0, 10.0), Some(Critical));
        assert_eq!(rig.at(100.0, 100.0), Some(Critical));
        assert_eq!(rig.at(50.0, 5.0), Some(Critical));
        assert_eq!(rig.at(50.0, 4.99), Some(Moderate));
        assert_eq!(rig.at(5.0, 0.0), Some(Moderate));
        assert_eq!(rig.at(4.99, 0.0), None);
        assert_eq!(rig.at(30.0, 20.0), Some(Critical));
        assert_eq!(rig.at(4.0, 4.0), None);
    }

    #[cfg(feature = "tracing-01")]
    #[test]
    fn changes_of_the_level_are_told_when_nothing_is_locked() {
        use std::sync::Arc;

        use tracing_01::subscriber;
        use tracing_subscriber::layer::{Context, SubscriberExt};

        /// Looks at the gauge for each event, which finds no level while it is locked.
        struct Looks(Arc<Rig>, Arc<Mutex<Vec<Option<Pressure>>>>);

        impl<S: tracing_01::Subscriber> tracing_subscriber::Layer<S> for Looks {
            fn on_event(&self, event: &tracing_01::Event<'_>, _: Context<'_, S>) {
                assert_eq!(*event.metadata().level(), tracing_01::Level::INFO);
                self.1.lock().unwrap().push(self.0.gauge.level(self.0.now));
            }
        }

        // Of one alone, other tests' threads would be asked.
        let _other = tracing_01::Dispatch::new(tracing_subscriber::registry());
        let (rig, seen) = (Arc::new(Rig::new("psi-told")), Arc::default());
        let subscriber = tracing_subscriber::registry().with(Looks(rig.clone(), Arc::clone(&seen)));
        subscriber::with_default(subscriber, || {
            for (second, some) in (1..).zip([0.0, 20.0, 20.0, 20.0, 1.0, 1.0]) {
                rig.says(some, some);
                rig.gauge.level(rig.now + READ_EVERY * second);
            }
        });
        assert_eq!(*seen.lock().unwrap(), [Some(Critical), None]);
    }

    #[test]
    fn a_share_about_a_bound_does_not_make_levels_flap() {
        let mut rig = Rig::new("psi-flapping");
        let mut changes = 0;
        let mut level = None;
        for second in 0..100 {
            let some = if second % 2 == 0 { 10.5 } else { 9.5 };
            let now = rig.at(some, some - 1.0);
            changes += usize::from(now != level);
            level = now;
        }
        assert_eq!((changes, level), (1, Some(Moderate)));
    }

    #[test]
    fn it_is_read_once_in_a_second() {
        let mut rig = Rig::new("psi-once");
        assert_eq!(rig.at(20.0, 0.0), Some(Moderate));
        rig.says(90.0, 90.0);
        for tenth in 0..10 {
            assert_eq!(rig.gauge.level(rig.now + READ_EVERY * tenth / 10), Some(Moderate));
        }
        assert_eq!(rig.then(), Some(Critical));
    }

    /// The file was opened once, whatever becomes of its name.
    #[test]
    fn it_is_opened_once() {
        let mut rig = Rig::new("psi-opened");
        fs::rename(rig.root.0.join(FILE), rig.root.0.join("elsewhere")).unwrap();
        fs::write(rig.root.0.join("elsewhere"), "some avg10=15.00\n").unwrap();
        assert_eq!(rig.then(), Some(Moderate));
    }

    #[test]
    fn what_cannot_be_understood_ends_a_level() {
        let mut rig = Rig::new("psi-garbage");
        assert_eq!(rig.at(90.0, 90.0), Some(Critical));
        fs::write(rig.root.0.join(FILE), "").unwrap();
        assert_eq!(rig.then(), None);
        assert_eq!(rig.at(7.0, 7.0), None);
    }

    #[test]
    fn whoever_reads_meanwhile_is_not_waited_for() {
        let mut rig = Rig::new("psi-meanwhile");
        assert_eq!(rig.at(90.0, 90.0), Some(Critical));
        let level = rig.gauge.level.lock().unwrap();
        assert_eq!(rig.gauge.level(rig.now + READ_EVERY), None);
        drop(level);
        assert_eq!(rig.then(), Some(Critical));
    }
}

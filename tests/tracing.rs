//! What subscribers of `tracing` are told, when, and what they may do meanwhile.

#[path = "support/child.rs"]
mod child;
#[cfg(all(target_os = "linux", feature = "io-uring-07"))]
#[path = "support/uring.rs"]
#[allow(dead_code, unsafe_code)] // Here nothing is pushed.
mod uring;

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::mpsc;
use std::sync::{Arc, LazyLock, Mutex};
use std::task::{Context, Waker};
use std::thread;
use std::time::{Duration, Instant};

use millpond::{
    Budget, BufferPool, BufferPoolBuilder, Capacity, Error, Maintenance, Memory, Need, Pool, PooledBuf, Pressure,
    Recycled,
};
use tracing_01::field::{Field, Visit};
use tracing_01::{Dispatch, Event, Level, Subscriber, subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::{Context as LayerContext, SubscriberExt};

const SIZE: usize = 4096;

/// An event: its level, its message, and its other fields.
#[derive(Clone, Debug)]
struct Told {
    level: Level,
    message: String,
    fields: BTreeMap<&'static str, String>,
}

impl Told {
    fn of(event: &Event<'_>) -> Self {
        let metadata = event.metadata();
        assert_eq!(metadata.target(), "millpond");
        let mut told = Told { level: *metadata.level(), message: String::new(), fields: BTreeMap::new() };
        event.record(&mut told);
        told
    }

    fn is(&self, level: Level, message: &str, fields: &[(&str, &str)]) {
        let told: Vec<_> = self.fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
        assert_eq!((self.level, self.message.as_str(), &told[..]), (level, message, fields));
    }
}

impl Visit for Told {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let value = format!("{value:?}");
        if field.name() == "message" {
            self.message = value;
        } else {
            self.fields.insert(field.name(), value);
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.record_debug(field, &format_args!("{value}"));
    }
}

/// A subscriber that does this with each event.
struct Does<F>(F);

impl<S: Subscriber, F: Fn(Told) + 'static> Layer<S> for Does<F> {
    fn on_event(&self, event: &Event<'_>, _: LayerContext<'_, S>) {
        if event.metadata().target().starts_with("millpond") {
            (self.0)(Told::of(event));
        }
    }
}

/// Another subscriber than the tests'. While there is one alone, `tracing` asks that of whichever thread comes by an event
/// first whether anybody wants it, and threads without a subscriber have it forgotten for all.
static OTHER: LazyLock<Dispatch> = LazyLock::new(|| Dispatch::new(tracing_subscriber::registry()));

fn subscriber(does: impl Fn(Told) + Send + Sync + 'static) -> impl Subscriber + Send + Sync {
    LazyLock::force(&OTHER);
    tracing_subscriber::registry().with(Does(does))
}

/// What is told on this thread while this is done.
fn told(work: impl FnOnce()) -> Vec<Told> {
    let told = Arc::new(Mutex::new(Vec::new()));
    let kept = told.clone();
    subscriber::with_default(subscriber(move |event| kept.lock().unwrap().push(event)), work);
    told.lock().unwrap().clone()
}

fn messages(told: &[Told]) -> Vec<&str> {
    told.iter().map(|told| told.message.as_str()).collect()
}

fn narrow() -> BufferPool {
    BufferPool::builder().name("narrow").size_classes([SIZE, 2 * SIZE]).max_memory(2 * SIZE).build().unwrap()
}

const NARROW: (&str, &str) = ("pool", "narrow");

#[test]
fn hits_exchanges_and_births_are_not_told() {
    let events = told(|| {
        let pool = BufferPool::builder().size_classes([SIZE]).build().unwrap();
        let values = Pool::<Vec<u8>>::new();
        for _ in 0..1000 {
            drop(pool.get(SIZE));
            drop(pool.get(Recycled(SIZE)));
            drop(values.get());
            drop(pool.acquire(SIZE).wait().unwrap());
        }
        drop(pool.get_many([SIZE; 500]));
        drop(values.get_many(500));
        drop(pool.get(100 * SIZE));
        let mut buf = pool.get(Capacity(SIZE));
        buf.extend_from_slice(&[1; 3 * SIZE]);
        drop(buf.freeze().slice(5..100).compact());
    });
    assert!(events.is_empty(), "{events:?}");
}

/// The end of a pool of which something is out, with the list.
#[test]
#[cfg(feature = "track")]
fn what_is_out_when_a_pool_goes_is_told() {
    let mut kept = Vec::new();
    let events = told(|| {
        let pool = BufferPool::builder().size_classes([SIZE]).name("leaky").track(true).build().unwrap();
        kept.push(pool.get(SIZE));
        let silent = BufferPool::builder().size_classes([SIZE]).track(true).build().unwrap();
        kept.push(silent.get(SIZE));
    });
    let [event] = &events[..] else { panic!("{events:?}") };
    assert_eq!((event.level, event.message.as_str()), (Level::WARN, "pool is gone while buffers are out"));
    let field = |name: &str| event.fields[name].as_str();
    assert_eq!((field("pool"), field("count"), field("bytes")), ("leaky", "1", "4096"));
    assert!(field("outstanding").contains(&format!("{}:{}:24", file!(), line!() - 8)), "{}", field("outstanding"));
}

#[test]
fn refusals_are_told_with_the_pool_and_the_numbers() {
    let pool = narrow();
    let kept = pool.get(SIZE);
    let error = "8192 bytes requested with 4096 left of a budget of 8192 bytes";
    let over = [("available", "4096"), ("error", error), ("limit", "8192"), NARROW, ("requested", "8192")];
    let events = told(|| {
        pool.try_get(2 * SIZE).unwrap_err();
        catch_unwind(AssertUnwindSafe(|| pool.get(2 * SIZE))).unwrap_err();
        pool.try_get_many([SIZE; 2]).unwrap_err();
        pool.acquire(2 * SIZE).wait_timeout(Duration::ZERO).unwrap_err();
    });
    assert_eq!(messages(&events[..4]), ["refused", "refused", "refused", "wait began"]);
    events[..3].iter().for_each(|event| event.is(Level::DEBUG, "refused", &over));
    let mut kept = kept;
    let events = told(|| assert!(kept.try_reserve(2 * SIZE).is_err()));
    let [event] = &events[..] else { panic!("{events:?}") };
    assert_eq!((event.message.as_str(), event.fields["pool"].as_str()), ("refused", "narrow"));
    let events = told(|| assert!(pool.acquire(3 * SIZE).wait().is_err()));
    let [event] = &events[..] else { panic!("{events:?}") };
    let error = "12288 requested at once of a budget that never has more than 8192";
    event.is(Level::DEBUG, "refused", &[("error", error), ("limit", "8192"), NARROW, ("requested", "12288")]);
    pool.close();
    let events = told(|| assert_eq!(pool.try_get(1).unwrap_err(), Error::Closed));
    events[0].is(Level::DEBUG, "refused", &[("error", "the pool is closed"), NARROW]);
}

#[test]
fn pools_of_values_tell_too_and_without_a_name() {
    let pool = Pool::<String>::builder().max_objects(1).build().unwrap();
    // One without room would be discarded.
    let kept = pool.get_with(|text| text.push('a'));
    let events = told(|| {
        pool.try_get().unwrap_err();
        pool.try_get_many(3).unwrap_err();
        pool.try_adopt(String::new()).unwrap_err();
        assert_eq!(pool.trim(0), 0);
        drop(kept);
        assert_eq!(pool.pressure(Pressure::Critical), size_of::<String>());
    });
    assert_eq!(messages(&events), ["refused", "refused", "refused", "trimmed", "gave way to pressure"]);
    let error = "all 1 values that the pool may have are in use";
    events[..3].iter().for_each(|event| event.is(Level::DEBUG, "refused", &[("error", error), ("limit", "1")]));
    events[3].is(Level::DEBUG, "trimmed", &[("freed", "0"), ("keep", "0")]);
    events[4].is(Level::DEBUG, "gave way to pressure", &[("freed", "24"), ("level", "Critical")]);
}

#[test]
fn a_wait_is_told_when_it_begins_and_when_it_ends() {
    let pool = narrow();
    let kept = pool.get(2 * SIZE);
    let returner = thread::spawn({
        let pool = pool.clone();
        move || {
            while pool.stats().waiters == 0 {
                thread::yield_now();
            }
            thread::sleep(Duration::from_millis(5));
            drop(kept);
        }
    });
    let events = told(|| drop(pool.acquire(SIZE).wait().unwrap()));
    returner.join().unwrap();
    let [began, ended] = &events[..] else { panic!("{events:?}") };
    began.is(Level::DEBUG, "wait began", &[NARROW, ("requested", "4096")]);
    assert_eq!((ended.message.as_str(), ended.fields["outcome"].as_str()), ("wait ended", "served"));
    assert!(ended.fields["waited"].ends_with('s') && ended.fields["pool"] == "narrow", "{ended:?}");

    let kept = pool.get(2 * SIZE);
    let events = told(|| drop(pool.acquire(SIZE).wait_timeout(Duration::from_millis(1)).unwrap_err()));
    let outcomes: Vec<_> = events.iter().filter_map(|event| event.fields.get("outcome")).collect();
    assert_eq!((messages(&events), outcomes[0].as_str()), (vec!["wait began", "refused", "wait ended"], "given up"));
    assert!(events[1].fields["error"].starts_with("4096 requested, and not to be had within"));

    let events = told(|| {
        let mut waiting = pin!(pool.acquire(SIZE));
        let mut context = Context::from_waker(Waker::noop());
        assert!(waiting.as_mut().poll(&mut context).is_pending());
        assert!(waiting.as_mut().poll(&mut context).is_pending());
        pool.close();
        assert!(waiting.as_mut().poll(&mut context).is_ready());
    });
    assert_eq!(messages(&events), ["wait began", "wait ended", "refused"]);
    assert_eq!(events[1].fields["outcome"], "refused");
    drop(kept);
}

#[test]
fn memory_that_goes_back_is_told_with_what_called_for_it() {
    let builder = || BufferPool::builder().name("idle").size_classes([SIZE]).maintenance(Maintenance::Manual);
    let fill = |pool: &BufferPool| drop(pool.get_many([SIZE; 10]));
    let budget = Budget::new(1 << 20);
    let pool = builder().budget(&budget).build().unwrap();
    let name = ("pool", "idle");
    let events = told(|| {
        fill(&pool);
        pool.trim(4 * SIZE);
        pool.pressure(Pressure::Critical);
        fill(&pool);
        budget.trim(0);
    });
    let [trimmed, gave_way, by_budget] = &events[..] else { panic!("{events:?}") };
    trimmed.is(Level::DEBUG, "trimmed", &[("freed", "24576"), ("keep", "16384"), name]);
    gave_way.is(Level::DEBUG, "gave way to pressure", &[("freed", "16384"), ("level", "Critical"), name]);
    by_budget.is(Level::DEBUG, "trimmed", &[("freed", "40960"), ("keep", "0")]);

    let pool = builder().decay(Duration::from_millis(4)).build().unwrap();
    let events = told(|| {
        fill(&pool);
        let end = Instant::now() + Duration::from_secs(20);
        while pool.stats().footprint > 0 {
            assert!(Instant::now() < end);
            pool.maintain();
            thread::sleep(Duration::from_millis(1));
        }
        // Nothing to do, nothing to tell.
        (0..10).for_each(|_| pool.maintain());
    });
    let freed: usize = events.iter().map(|event| event.fields["freed"].parse::<usize>().unwrap()).sum();
    assert!(events.iter().all(|event| event.message == "decayed" && event.level == Level::DEBUG), "{events:?}");
    assert_eq!(freed, 10 * SIZE);
}

#[test]
fn options_that_memory_does_not_have_are_told() {
    let memory = Memory::heap().locked(Need::Prefer);
    let pool = BufferPool::builder().name("keys").size_classes([SIZE]).memory(memory).build().unwrap();
    let events = told(|| {
        drop(pool.get(SIZE));
        drop(pool.get(SIZE));
    });
    let [event] = &events[..] else { panic!("once, when the memory came: {events:?}") };
    let reason = "there is no such option for this memory on this system";
    let fields = [("bytes", "4096"), ("option", "locked"), ("pool", "keys"), ("reason", reason)];
    event.is(Level::WARN, "memory option not honoured", &fields);
    let [asked] = pool.stats().memory[..] else { panic!("one option") };
    assert_eq!((asked.asked, asked.got), (1, 0));
}

#[cfg(all(target_os = "linux", feature = "io-uring-07"))]
#[test]
fn regions_that_a_ring_does_not_know_are_told() {
    use millpond::io_uring_07::FixedBuffers;

    let Some(ring) = uring::ring() else { return };
    // Two classes, so two regions; and a table of one.
    let pool = BufferPool::builder().name("fixed").size_classes([SIZE, 64 * SIZE]).build().unwrap();
    let bufs = (pool.get(SIZE), pool.get(64 * SIZE));
    let events = told(|| drop(FixedBuffers::register(&ring.submitter(), &pool, 1)));
    let [event] = &events[..] else { panic!("{events:?}") };
    let fields = [("capacity", "1"), ("pool", "fixed"), ("regions", "2"), ("registered", "1")];
    event.is(Level::WARN, "regions not registered", &fields);
    drop(bufs);
}

/// Has all kinds of events told.
fn provoke(pool: &BufferPool, budget: &Budget) {
    let kept: Vec<PooledBuf> = std::iter::from_fn(|| pool.try_get(SIZE).ok()).collect();
    assert_eq!(kept.len(), 4);
    drop(pool.acquire(SIZE).wait_timeout(Duration::from_millis(1)).unwrap_err());
    thread::scope(|scope| {
        scope.spawn(|| {
            while pool.stats().waiters == 0 {
                thread::yield_now();
            }
            drop(kept);
        });
        drop(pool.acquire(SIZE).wait().unwrap());
    });
    let values = Pool::<Vec<u8>>::builder().budget(budget).max_objects(1).build().unwrap();
    let value = values.get();
    values.try_get().unwrap_err();
    drop(value);
    values.trim(0);
    values.pressure(Pressure::Critical);
    pool.pressure(Pressure::Moderate);
    pool.trim(0);
    budget.trim(0);
    drop(on(budget).memory(Memory::heap().locked(Need::Prefer)).build().unwrap().get(SIZE));
}

/// Asserts that all that [`provoke`] does has been told.
fn assert_provoked(told: &[String]) {
    for (message, least) in [
        ("refused", 3),
        ("wait began", 2),
        ("wait ended", 2),
        ("trimmed", 3),
        ("gave way to pressure", 2),
        ("memory option not honoured", 1),
    ] {
        let count = told.iter().filter(|told| *told == message).count();
        assert!(count >= least, "{message} was told {count} times: {told:?}");
    }
}

fn on(budget: &Budget) -> BufferPoolBuilder {
    BufferPool::builder().size_classes([SIZE]).budget(budget)
}

fn all_home(pool: &BufferPool, budget: &Budget) {
    let stats = pool.stats();
    assert_eq!((stats.outstanding, stats.waiters), (0, 0));
    pool.trim(0);
    assert_eq!(budget.used(), 0);
    assert_eq!(pool.get_many([SIZE; 4]).len(), 4);
}

/// Whatever anybody does with a pool; it waits for nobody.
fn use_all(pool: &BufferPool, budget: &Budget) {
    drop(pool.try_get(SIZE));
    drop(pool.try_get(100 * SIZE));
    drop(pool.try_get_many([SIZE; 9]));
    drop(pool.acquire(SIZE).wait_timeout(Duration::ZERO));
    pool.pressure(Pressure::Critical);
    pool.trim(0);
    pool.maintain();
    assert!(pool.stats().outstanding <= 4 * SIZE as u64);
    drop(on(budget).memory(Memory::heap().locked(Need::Prefer)).build().unwrap().try_get(SIZE));
    budget.trim(0);
    assert!(budget.used() <= budget.limit());
}

#[test]
fn a_subscriber_may_use_the_pools_it_is_told_of() {
    let budget = Budget::new(4 * SIZE);
    let pool = on(&budget).build().unwrap();
    let count = Arc::new(Mutex::new(Vec::new()));
    let does = {
        let (pool, budget, count) = (pool.clone(), budget.clone(), count.clone());
        move |told: Told| {
            count.lock().unwrap().push(told.message);
            use_all(&pool, &budget);
        }
    };
    subscriber::with_default(subscriber(does), || provoke(&pool, &budget));
    let told = count.lock().unwrap().clone();
    assert_provoked(&told);
    assert!(told.len() < 30, "what a subscriber does is not told: {told:?}");
    all_home(&pool, &budget);
}

/// Another thread does it meanwhile, and would never come to an end if this one held a lock.
#[test]
fn nothing_is_locked_while_subscribers_are_told() {
    let budget = Budget::new(4 * SIZE);
    let pool = on(&budget).build().unwrap();
    let (locked, messages) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Mutex::new(Vec::new())));
    let does = {
        let (pool, budget, locked, messages) = (pool.clone(), budget.clone(), locked.clone(), messages.clone());
        move |told: Told| {
            messages.lock().unwrap().push(told.message.clone());
            let (done, is_done) = mpsc::channel();
            let (pool, budget) = (pool.clone(), budget.clone());
            let user = thread::spawn(move || {
                use_all(&pool, &budget);
                done.send(()).unwrap();
            });
            if is_done.recv_timeout(Duration::from_secs(20)).is_err() {
                locked.lock().unwrap().push(told);
            } else {
                user.join().unwrap();
            }
        }
    };
    subscriber::with_default(subscriber(does), || provoke(&pool, &budget));
    assert!(locked.lock().unwrap().is_empty(), "{locked:?}");
    assert_provoked(&messages.lock().unwrap());
    all_home(&pool, &budget);
}

#[test]
fn a_subscribers_panic_is_nobodys_but_its_own() {
    let budget = Budget::new(4 * SIZE);
    let pool = on(&budget).build().unwrap();
    let messages = Arc::new(Mutex::new(Vec::new()));
    let kept = messages.clone();
    let does = move |told: Told| {
        kept.lock().unwrap().push(told.message);
        panic!("a subscriber's panic, as planned");
    };
    subscriber::with_default(subscriber(does), || provoke(&pool, &budget));
    assert_provoked(&messages.lock().unwrap());
    all_home(&pool, &budget);
    // And it is told of the next event.
    let count = Arc::new(Mutex::new(0));
    let counts = count.clone();
    let does = move |_| {
        *counts.lock().unwrap() += 1;
        panic!("a subscriber's panic, as planned");
    };
    subscriber::with_default(subscriber(does), || {
        (0..3).for_each(|_| drop(pool.try_get(100 * SIZE).unwrap_err()));
    });
    assert_eq!(*count.lock().unwrap(), 3);
}

thread_local! {
    static LATE: Cell<Option<Late>> = const { Cell::new(None) };
}

/// Asks for too much while its thread's thread-locals are destroyed.
struct Late(BufferPool);

impl Drop for Late {
    fn drop(&mut self) {
        assert!(self.0.try_get(3 * SIZE).is_err());
    }
}

/// With a subscriber for the whole process: on the thread that looks after pools, and on threads that end. Miri starts no
/// processes.
#[cfg(not(miri))]
#[test]
fn threads_of_all_kinds_tell() {
    if !child::is_child() {
        assert!(child::run("threads_of_all_kinds_tell").success());
        return;
    }
    let told = Arc::new(Mutex::new(Vec::new()));
    let kept = told.clone();
    let does = move |event| {
        kept.lock().unwrap().push((thread::current().name().map(String::from), event));
        panic!("a subscriber's panic, as planned");
    };
    subscriber::set_global_default(subscriber(does)).unwrap();
    let count =
        |message: &str| told.lock().unwrap().iter().filter(|(_, told): &&(_, Told)| told.message == message).count();

    let pool = narrow();
    let late = pool.clone();
    thread::spawn(move || LATE.set(Some(Late(late)))).join().unwrap();
    assert_eq!(count("refused"), 1);

    let pool = BufferPool::builder().decay(Duration::from_millis(20)).build().unwrap();
    for round in 1..=2 {
        drop(pool.get(SIZE));
        let end = Instant::now() + Duration::from_secs(20);
        while count("decayed") < round {
            assert!(Instant::now() < end, "the panic of round {round} has ended the thread");
            thread::sleep(Duration::from_millis(5));
        }
    }
    let told = told.lock().unwrap();
    let (thread, _) = told.iter().find(|(_, told)| told.message == "decayed").unwrap();
    assert_eq!(thread.as_deref(), Some("millpond"));
}

//! Mistakes made on purpose, each of which a check must find: one that cannot fail is worth nothing.

use std::future::Future;
use std::mem;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Waker};
use std::thread;
use std::time::{Duration, Instant};

use clap::ValueEnum;
use millpond::Capacity;

use super::held::{Content, Held};
use super::pond::Kind;
use super::scene::Scene;

/// For workers to be done with a pool.
const PATIENCE: Duration = Duration::from_secs(5);

#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum Plant {
    /// A buffer that nobody holds never comes home.
    Buffer,
    /// A budget stays charged for nothing.
    Charge,
    /// A request stands in line for ever.
    Waiter,
    /// Another hand writes to a buffer.
    Byte,
    /// A pool that its users have forgotten stays, and its thread with it.
    Pool,
}

impl Plant {
    /// Makes the mistake. False: there was no occasion, so try again.
    pub fn make(self, scene: &Scene) -> bool {
        match self {
            Self::Buffer => scene.pond(Kind::Pages).bytes().try_get(Capacity(4096)).map(mem::forget).is_ok(),
            Self::Charge => scene.budgets.root().child_reserving(4096, 8192).map(mem::forget).is_ok(),
            Self::Waiter => forget_in_line(scene),
            Self::Byte => spoil(scene),
            Self::Pool => forget_pool(scene),
        }
    }
}

/// One that a thread looks after, and that nobody else has, who could close it: of another, nothing need be left at the
/// next check but a handle that nobody sees.
fn forget_pool(scene: &Scene) -> bool {
    let pond = scene.pond(Kind::Secrets);
    scene.remake(Kind::Secrets);
    let deadline = Instant::now() + PATIENCE;
    while Arc::strong_count(&pond) > 1 {
        if Instant::now() >= deadline {
            return false;
        }
        thread::sleep(Duration::from_millis(5));
    }
    let stays = pond.is_looked_after() && !pond.is_closed();
    if stays {
        mem::forget(pond.bytes().clone());
    }
    stays
}

/// What is more than is left now, but not more than there may be.
fn forget_in_line(scene: &Scene) -> bool {
    let crowd = scene.budgets.crowd();
    let mut acquire = scene.pond(Kind::Crowd).bytes().acquire_many(vec![Capacity(1024); crowd.limit() / 1024]);
    let is_pending = Pin::new(&mut acquire).poll(&mut Context::from_waker(Waker::noop())).is_pending();
    if is_pending {
        mem::forget(acquire);
    }
    is_pending
}

fn spoil(scene: &Scene) -> bool {
    let pond = scene.pond(Kind::Pages);
    let Ok(buf) = pond.bytes().try_get(Capacity(4096)) else { return false };
    match Held::buf(buf, &pond, Content::Nothing, 4096, scene.owner()) {
        Ok(mut held) => {
            held.spoil();
            scene.send(held).is_none()
        }
        Err(what) => {
            scene.fault(what);
            true
        }
    }
}

//! Mistakes made on purpose, each of which a check must find: one that cannot fail is worth nothing.

use std::future::Future;
use std::mem;
use std::pin::Pin;
use std::task::{Context, Waker};

use clap::ValueEnum;
use millpond::Capacity;

use super::held::{Content, Held};
use super::pond::Kind;
use super::scene::Scene;

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

/// One that has something idle, or nobody could tell.
fn forget_pool(scene: &Scene) -> bool {
    let pond = scene.pond(Kind::Secrets);
    if pond.bytes().try_get(Capacity(4096)).is_err() {
        return false;
    }
    mem::forget(pond.bytes().clone());
    scene.remake(Kind::Secrets);
    true
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

//! What waits in line for values.

use std::fmt;

use crate::engine::batch::PooledBatch;
use crate::engine::core::Handle;
use crate::engine::track::Checkout;
use crate::object::pool::ObjectKeeper;
use crate::object::pooled::Pooled;
use crate::object::pooled::taken::{self, STORE};
use crate::object::reuse::Reuse;
use crate::policy::acquire::Site;
use crate::policy::acquire::sealed::Deliver;
use crate::policy::budget::{Amount, Demand, Grant};
use crate::policy::builder::Overflow;
use crate::policy::error::Error;
use crate::tell::Name;

/// A request for values.
pub struct Order<T: Reuse + Send + 'static> {
    core: Handle<ObjectKeeper<T>>,
    count: usize,
    checkout: Checkout,
    /// What a value turned out to weigh that was made for this request, in bytes.
    at_least: usize,
}

pub(in crate::object) fn one<T: Reuse + Send + 'static>(core: Handle<ObjectKeeper<T>>, checkout: Checkout) -> Order<T> {
    many(core, 1, checkout)
}

pub(in crate::object) fn many<T: Reuse + Send + 'static>(
    core: Handle<ObjectKeeper<T>>,
    count: usize,
    checkout: Checkout,
) -> Order<T> {
    Order { core, count, checkout, at_least: 0 }
}

impl<T: Reuse + Send + 'static> fmt::Debug for Order<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Order").field("count", &self.count).finish_non_exhaustive()
    }
}

impl<T: Reuse + Send + 'static> Order<T> {
    fn site(&self) -> Site<'_> {
        let keeper = self.core.keeper();
        Site { leaf: keeper.leaf(), core: self.core.core(), waits: keeper.waits() }
    }

    fn each(&self) -> Amount {
        let expected = self.core.keeper().expected();
        Amount { bytes: expected.bytes.max(self.at_least), ..expected }
    }

    /// The values, from what was granted. None: a new one weighs more than was granted, and as much was not to be had.
    fn redeem(&mut self, grant: Grant, mut each: impl FnMut(Pooled<T>)) -> Option<Result<(), Error>> {
        let (spares, charged) = grant.into_parts();
        let leaf = self.core.keeper().leaf();
        let mut reservation = leaf.reserved(charged);
        let checkout = self.checkout;
        let mut each = |pooled: Pooled<T>| {
            pooled.check_out(checkout);
            each(pooled);
        };
        spares.for_each(|spare| each(taken::handed_over(&self.core, spare)));
        let births = charged.values;
        for _ in 0..births {
            let expected = charged.bytes / births;
            match taken::make_charged(&self.core, expected, &mut reservation) {
                Ok(Ok(pooled)) => each(pooled),
                Ok(Err(error)) => return Some(Err(error)),
                Err(short) => {
                    let error = short.into_error(expected);
                    if !error.is_for_now() {
                        return Some(Err(error));
                    }
                    self.at_least = self.core.keeper().expected().bytes;
                    return None;
                }
            }
        }
        Some(Ok(()))
    }
}

impl<T: Reuse + Send + 'static> Deliver for Pooled<T> {
    type Order = Order<T>;

    fn try_now(order: &mut Order<T>) -> Result<Self, Error> {
        let pooled = match taken::hit(&order.core) {
            Some(pooled) => pooled,
            None => taken::obtain_within(&order.core)?,
        };
        pooled.check_out(order.checkout);
        Ok(pooled)
    }

    fn site(order: &Order<T>) -> Site<'_> {
        order.site()
    }

    fn demand(order: &mut Order<T>) -> Result<Demand, Error> {
        Ok(Demand::of(STORE, 1, order.each()))
    }

    fn redeem(order: &mut Order<T>, grant: Grant) -> Option<Result<Self, Error>> {
        let grant = match grant.into_one() {
            Ok(spare) => {
                let pooled = taken::handed_over(&order.core, spare);
                pooled.check_out(order.checkout);
                return Some(Ok(pooled));
            }
            Err(grant) => grant,
        };
        let mut got = None;
        let redeemed = order.redeem(grant, |pooled| got = Some(pooled))?;
        Some(redeemed.map(|()| got.expect("a grant is enough for what was asked for")))
    }

    fn name(order: &Order<T>) -> &Name {
        order.core.keeper().name()
    }

    fn requested(_: &Order<T>) -> usize {
        1
    }
}

impl<T: Reuse + Send + 'static> Deliver for PooledBatch<Pooled<T>> {
    type Order = Order<T>;

    fn finds_line(_: &Order<T>) -> bool {
        // An empty batch waits for nobody.
        false
    }

    fn try_now(order: &mut Order<T>) -> Result<Self, Error> {
        let mut batch = taken::empty_batch(&order.core, order.count)?;
        taken::obtain_many(&order.core, order.count, Overflow::Fail, &mut batch)?;
        batch.iter().for_each(|pooled| pooled.check_out(order.checkout));
        Ok(batch)
    }

    fn site(order: &Order<T>) -> Site<'_> {
        order.site()
    }

    fn demand(order: &mut Order<T>) -> Result<Demand, Error> {
        Ok(Demand::of(STORE, order.count, order.each()))
    }

    fn redeem(order: &mut Order<T>, grant: Grant) -> Option<Result<Self, Error>> {
        let mut batch = match taken::empty_batch(&order.core, order.count) {
            Ok(batch) => batch,
            Err(error) => return Some(Err(error)),
        };
        let redeemed = order.redeem(grant, |pooled| batch.push(pooled))?;
        Some(redeemed.map(|()| batch))
    }

    fn name(order: &Order<T>) -> &Name {
        order.core.keeper().name()
    }

    fn requested(order: &Order<T>) -> usize {
        order.count
    }
}

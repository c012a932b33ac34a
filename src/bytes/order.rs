//! What waits in line for buffers.

use std::alloc::Layout;

use crate::bytes::buf::PooledBuf;
use crate::bytes::buf::taken::{self, Taken};
use crate::bytes::many;
use crate::bytes::pool::{ByteKeeper, want};
use crate::bytes::request::Wish;
use crate::bytes::request::sealed::Prepare;
use crate::engine::batch::PooledBatch;
use crate::engine::core::Handle;
use crate::engine::track::Checkout;
use crate::policy::acquire::Site;
use crate::policy::acquire::sealed::Deliver;
use crate::policy::budget::{Amount, Demand, Grant};
use crate::policy::builder::Overflow;
use crate::policy::error::Error;
use crate::tell::Name;

/// A request for one buffer.
#[derive(Debug)]
pub struct One {
    core: Handle<ByteKeeper>,
    wish: Wish,
    checkout: Checkout,
    /// The block that serves it, once that has been looked up.
    block: Option<(usize, Layout)>,
}

impl One {
    #[inline]
    fn block(&mut self) -> Result<(usize, Layout), Error> {
        match self.block {
            Some(block) => Ok(block),
            None => self.look_up(),
        }
    }

    fn look_up(&mut self) -> Result<(usize, Layout), Error> {
        Ok(*self.block.insert(taken::block_for(&self.core, self.wish.capacity())?))
    }

    #[cold]
    fn birth(&mut self, grant: Grant) -> Result<Taken, Error> {
        let (_, charged) = grant.into_parts();
        let block = self.block();
        let mut reservation = self.core.keeper().leaf().reserved(charged);
        let (store, layout) = block?;
        taken::obtain_charged(&self.core, store, layout, want(self.wish), &mut reservation)
            .map_err(|denial| Error::of_denial(denial, layout.size()))
    }
}

/// Requests for many.
#[derive(Debug)]
pub struct Many {
    core: Handle<ByteKeeper>,
    wishes: Vec<Wish>,
    checkout: Checkout,
    /// Why they are not all of those that there were.
    refused: Option<Error>,
}

pub(in crate::bytes) fn one(core: Handle<ByteKeeper>, wish: Wish, checkout: Checkout) -> One {
    One { core, wish, checkout, block: None }
}

pub(in crate::bytes) fn many(core: Handle<ByteKeeper>, wishes: impl Iterator<Item = Wish>, checkout: Checkout) -> Many {
    match many::list(wishes) {
        Ok(wishes) => Many { core, wishes, checkout, refused: None },
        Err(error) => Many { core, wishes: Vec::new(), checkout, refused: Some(error) },
    }
}

fn site(core: &Handle<ByteKeeper>) -> Site<'_> {
    Site { leaf: core.keeper().leaf(), core: core.core(), waits: core.keeper().waits() }
}

impl Deliver for PooledBuf {
    type Order = One;

    fn try_now(order: &mut One) -> Result<Self, Error> {
        let taken = match taken::hit(&order.core, order.wish.capacity()) {
            Some(taken) => taken,
            None => {
                let (store, layout) = order.block()?;
                taken::obtain_block(&order.core, store, layout, want(order.wish))?
            }
        };
        Ok(PooledBuf::requested(taken, order.wish, order.checkout))
    }

    fn site(order: &One) -> Site<'_> {
        site(&order.core)
    }

    #[inline]
    fn demand(order: &mut One) -> Result<Demand, Error> {
        let (store, layout) = order.block()?;
        Ok(Demand::of(store, 1, Amount::bytes(layout.size())))
    }

    #[inline]
    fn redeem(order: &mut One, grant: Grant) -> Option<Result<Self, Error>> {
        let taken = match grant.into_one() {
            Ok(spare) => Ok(taken::obtain_handed_over(&order.core, spare)),
            Err(grant) => order.birth(grant),
        };
        Some(taken.map(|taken| PooledBuf::requested(taken, order.wish, order.checkout)))
    }

    fn name(order: &One) -> &Name {
        order.core.keeper().name()
    }

    fn requested(order: &One) -> usize {
        order.wish.capacity()
    }
}

impl Deliver for PooledBatch<PooledBuf> {
    type Order = Many;

    fn finds_line(_: &Many) -> bool {
        // An empty batch waits for nobody.
        false
    }

    fn try_now(order: &mut Many) -> Result<Self, Error> {
        if let Some(refused) = order.refused.take() {
            return Err(refused);
        }
        many::get(&order.core, order.wishes.iter().copied(), Overflow::Fail, order.checkout)
    }

    fn site(order: &Many) -> Site<'_> {
        site(&order.core)
    }

    fn demand(order: &mut Many) -> Result<Demand, Error> {
        many::parts(&order.core, &order.wishes).and_then(Demand::of_parts)
    }

    fn redeem(order: &mut Many, grant: Grant) -> Option<Result<Self, Error>> {
        Some(many::redeem(&order.core, &order.wishes, order.checkout, grant))
    }

    fn name(order: &Many) -> &Name {
        order.core.keeper().name()
    }

    fn requested(order: &Many) -> usize {
        order.wishes.iter().map(|wish| wish.capacity()).fold(0, usize::saturating_add)
    }
}

//! Many buffers at once: by size class, so that each class costs as few exchanges with the depot as it fills magazines,
//! and one transaction of the budget.

use std::alloc::Layout;
use std::iter;

use crate::bytes::SizeClass;
use crate::bytes::buf::{PooledBuf, taken};
use crate::bytes::pool::{ByteCore, want};
use crate::bytes::request::Request;
use crate::engine::batch::PooledBatch;
use crate::engine::track::Checkout;
use crate::memory::Want;
use crate::panics;
use crate::policy::budget::{Amount, Grant, Part, Short, climb};
use crate::policy::builder::Overflow;
use crate::policy::error::Error;

/// Buffers for all of these requests, or none.
pub(in crate::bytes) fn get<R: Request>(
    core: &ByteCore,
    requests: impl IntoIterator<Item = R>,
    overflow: Overflow,
    checkout: Checkout,
) -> Result<PooledBatch<PooledBuf>, Error> {
    let mut requests = requests.into_iter();
    let mut batch = empty_batch(core, requests.size_hint().0)?;
    // While this thread's cache serves, nothing need be sorted.
    let mut ahead = taken::Ahead::of(core);
    while let Some(request) = requests.next() {
        reserve(&mut batch, 1)?;
        let Some(taken) = ahead.hit(request.capacity(), || requests.size_hint().0) else {
            let rest = list(iter::once(request).chain(requests))?;
            reserve(&mut batch, rest.len())?;
            get_rest(core, &rest, overflow, checkout, &mut batch)?;
            break;
        };
        batch.push_with(|| PooledBuf::requested(taken, request, checkout));
    }
    Ok(batch)
}

/// Buffers for these requests, of which the thread's cache could not serve the first.
fn get_rest<R: Request>(
    core: &ByteCore,
    requests: &[R],
    overflow: Overflow,
    checkout: Checkout,
    batch: &mut PooledBatch<PooledBuf>,
) -> Result<(), Error> {
    let mut rest = requests;
    if let Some(class) = common_class(core, requests).filter(|_| !core.core().has_attention()) {
        taken::obtain_idle(core, class.0, requests.len(), |taken| {
            let (&request, others) = rest.split_first().expect("no more than asked for");
            rest = others;
            batch.push_with(|| PooledBuf::requested(taken, request, checkout));
        });
    }
    if rest.is_empty() {
        return Ok(());
    }
    let mut groups = groups(core, rest)?;
    let obtained = groups.iter_mut().try_for_each(|group| group.obtain(core, overflow));
    // What gave way may have panicked.
    panics::resume();
    obtained?;
    deliver(core, rest, checkout, &mut groups, batch);
    Ok(())
}

/// The class that serves all of these requests, if one does.
fn common_class<R: Request>(core: &ByteCore, requests: &[R]) -> Option<SizeClass> {
    let classes = core.keeper().classes();
    let first = requests.first()?.capacity();
    let class = classes.of(first)?;
    let same = |request: &R| request.capacity() == first || classes.of(request.capacity()) == Some(class);
    requests.iter().all(same).then_some(class)
}

/// What these requests need, by class.
pub(in crate::bytes) fn parts<R: Request>(core: &ByteCore, requests: &[R]) -> Result<Vec<Part>, Error> {
    let groups = groups(core, requests)?;
    let mut parts = Vec::new();
    let requested = groups.len() * size_of::<Part>();
    parts.try_reserve_exact(groups.len()).map_err(|_| Error::OutOfMemory { requested })?;
    parts.extend(groups.iter().map(Group::part));
    Ok(parts)
}

/// Buffers for all of these requests, from what was granted for them.
pub(in crate::bytes) fn redeem<R: Request>(
    core: &ByteCore,
    requests: &[R],
    checkout: Checkout,
    grant: Grant,
) -> Result<PooledBatch<PooledBuf>, Error> {
    let (spares, charged) = grant.into_parts();
    // First of all, for what was granted must not be lost by an error.
    let mut reservation = core.keeper().leaf().reserved(charged);
    let mut groups = groups(core, requests)?;
    for spare in spares {
        let group = groups.iter_mut().find(|group| group.store == spare.class() && group.lacks() > 0);
        if let Some(group) = group {
            group.bufs.push(PooledBuf::empty(taken::obtain_handed_over(core, spare)));
        }
    }
    for group in &mut groups {
        while group.lacks() > 0 {
            let born = taken::obtain_charged(core, group.store, group.layout, group.want, &mut reservation);
            let born = born.map_err(|denial| Error::of_denial(denial, group.layout.size()))?;
            group.bufs.push(PooledBuf::empty(born));
        }
    }
    let mut batch = empty_batch(core, requests.len())?;
    deliver(core, requests, checkout, &mut groups, &mut batch);
    Ok(batch)
}

/// Buffers of one class, or of one size above all classes.
struct Group {
    store: usize,
    layout: Layout,
    count: usize,
    want: Want,
    /// Those that there are; empty, whatever was asked for.
    bufs: Vec<PooledBuf>,
}

fn groups<R: Request>(core: &ByteCore, requests: &[R]) -> Result<Vec<Group>, Error> {
    let mut groups: Vec<Group> = Vec::new();
    for &request in requests {
        let (store, layout) = taken::block_for(core, request.capacity())?;
        match groups.iter_mut().find(|group| group.is_for(store, layout)) {
            Some(group) => group.count += 1,
            None => {
                let no_memory = |_| Error::OutOfMemory { requested: size_of::<Group>() };
                groups.try_reserve(1).map_err(no_memory)?;
                groups.push(Group { store, layout, count: 1, want: want(request), bufs: Vec::new() });
            }
        }
    }
    for group in &mut groups {
        let requested = group.count * size_of::<PooledBuf>();
        group.bufs.try_reserve(group.count).map_err(|_| Error::OutOfMemory { requested })?;
    }
    Ok(groups)
}

impl Group {
    fn is_for(&self, store: usize, layout: Layout) -> bool {
        self.store == store && self.layout == layout
    }

    fn lacks(&self) -> usize {
        self.count - self.bufs.len()
    }

    fn lacking(&self) -> Amount {
        self.part().charge_for(self.lacks())
    }

    fn part(&self) -> Part {
        Part { class: self.store, count: self.count, each: Amount::bytes(self.layout.size()) }
    }

    fn obtain(&mut self, core: &ByteCore, overflow: Overflow) -> Result<(), Error> {
        let keeper = core.keeper();
        let requested = self.layout.size().saturating_mul(self.count);
        let got = if core.core().has_attention() && keeper.leaf().is_queued() {
            Err(Error::Queued { requested })
        } else {
            self.obtain_within(core, requested)
        };
        match got {
            Err(error) if error.is_for_now() && overflow == Overflow::Unpooled => self.obtain_one_by_one(core),
            got => got,
        }
    }

    fn obtain_within(&mut self, core: &ByteCore, requested: usize) -> Result<(), Error> {
        let leaf = core.keeper().leaf();
        let obtained = climb(
            leaf,
            Some(core.core()),
            |group| group.lacking(),
            self,
            |group| group.complete(core),
            |group| group.steal(core),
        );
        obtained.map_err(|short| short.into_error(requested))
    }

    /// What lies in the depot, and fresh memory for the rest; or if there is not enough, what lies idle on other nodes before.
    fn complete<'a>(&mut self, core: &'a ByteCore) -> Result<(), Short<'a>> {
        self.take_idle(core);
        self.take_fresh(core).or_else(|short| {
            if !short.is_queued() {
                self.take_far(core);
            }
            if self.lacks() == 0 { Ok(()) } else { Err(short) }
        })
    }

    fn take_fresh<'a>(&mut self, core: &'a ByteCore) -> Result<(), Short<'a>> {
        if self.lacks() == 0 {
            return Ok(());
        }
        let mut reservation = core.keeper().leaf().reserve(self.lacking())?;
        while self.lacks() > 0 {
            let born = taken::obtain_charged(core, self.store, self.layout, self.want, &mut reservation);
            self.bufs.push(PooledBuf::empty(born.map_err(Short::System)?));
        }
        Ok(())
    }

    /// What lies in other threads' caches.
    fn steal(&mut self, core: &ByteCore) -> Option<()> {
        let stolen = taken::obtain_stolen(core, self.store)?;
        self.bufs.push(PooledBuf::empty(stolen));
        self.take_idle(core);
        self.take_far(core);
        (self.lacks() == 0).then_some(())
    }

    /// Takes what lies in the depot.
    fn take_idle(&mut self, core: &ByteCore) {
        let (store, lacks) = (self.store, self.lacks());
        taken::obtain_idle(core, store, lacks, |taken| self.bufs.push(PooledBuf::empty(taken)));
    }

    /// Takes what lies in depots of other nodes.
    fn take_far(&mut self, core: &ByteCore) {
        let (store, lacks) = (self.store, self.lacks());
        taken::obtain_far(core, store, lacks, |taken| self.bufs.push(PooledBuf::empty(taken)));
    }

    /// Where some may come from outside the budget.
    fn obtain_one_by_one(&mut self, core: &ByteCore) -> Result<(), Error> {
        // Not the block's size, which may be above the class, rounded up as it is.
        let size = core.keeper().classes().sizes().get(self.store).copied().unwrap_or(self.layout.size());
        while self.lacks() > 0 {
            let taken = taken::obtain(core, size.min(core.keeper().max_request()), self.want)?;
            self.bufs.push(PooledBuf::empty(taken));
        }
        Ok(())
    }
}

/// Prepares the buffers as they were requested, in that order.
fn deliver<R: Request>(
    core: &ByteCore,
    requests: &[R],
    checkout: Checkout,
    groups: &mut [Group],
    batch: &mut PooledBatch<PooledBuf>,
) {
    for &request in requests {
        let block = core.keeper().block_for(request.capacity());
        let (store, layout) = block.expect("there is a group for it");
        let group = groups.iter_mut().find(|group| group.is_for(store, layout)).expect("as above");
        let buf = group.bufs.pop().expect("as many as requests");
        batch.push_with(|| PooledBuf::requested(buf.into_taken(), request, checkout));
    }
}

/// A batch with room for `room` buffers.
fn empty_batch(core: &ByteCore, room: usize) -> Result<PooledBatch<PooledBuf>, Error> {
    let requested = room.saturating_mul(size_of::<PooledBuf>());
    PooledBatch::with_room(core.keeper().lists(), room).map_err(|_| Error::OutOfMemory { requested })
}

#[inline]
fn reserve(batch: &mut PooledBatch<PooledBuf>, additional: usize) -> Result<(), Error> {
    let requested = additional.saturating_mul(size_of::<PooledBuf>());
    batch.reserve(additional).map_err(|_| Error::OutOfMemory { requested })
}

/// All of these requests; an error when there is no memory for the list.
pub(in crate::bytes) fn list<R: Request>(requests: impl Iterator<Item = R>) -> Result<Vec<R>, Error> {
    let mut listed = Vec::new();
    let mut missing = requests.size_hint().0;
    for request in requests {
        if listed.len() == listed.capacity() {
            let out_of_memory = Error::OutOfMemory { requested: size_of::<R>() * (listed.len() + 1) };
            listed.try_reserve(missing.max(1)).map_err(|_| out_of_memory)?;
            missing = 0;
        }
        listed.push(request);
    }
    Ok(listed)
}

#[cfg(all(test, not(loom)))]
mod tests {
    use crate::bytes::pool::BufferPool;
    use crate::engine::tally;
    use crate::sync::DEPTH;

    const COUNT: usize = 200;

    /// `COUNT` requests of two classes in turn.
    fn mixed() -> impl Iterator<Item = usize> {
        (0..COUNT).map(|n| if n % 2 == 0 { 4096 } else { 65536 })
    }

    fn pool() -> BufferPool {
        // Room in the cache for a magazine full of each.
        BufferPool::builder().thread_cache(1 << 30).build().unwrap()
    }

    #[test]
    fn a_batch_is_one_charge_for_each_class() {
        let (_, charges, batch) = tally::of(|| pool().get_many(mixed()));
        assert_eq!((batch.len(), charges), (COUNT, 2));
        let (_, charges, batch) = tally::of(|| pool().get_many([4096; COUNT]));
        assert_eq!((batch.len(), charges), (COUNT, 1));
    }

    #[test]
    fn a_batch_is_an_exchange_for_each_magazine_full_of_each_class() {
        let pool = pool();
        let exchanges = || {
            let (gets, charges, batch) = tally::of(|| pool.get_many(mixed()));
            (gets, charges, tally::of(|| drop(batch)).0)
        };
        // Until the magazines have grown, what comes out of the depot beyond the request goes back.
        for _ in 0..10 {
            exchanges();
        }
        let (gets, charges, returns) = exchanges();
        let allowed = 2 * (COUNT / 2).div_ceil(DEPTH);
        assert!((1..=allowed).contains(&gets), "{gets} exchanges for {COUNT} gets");
        assert!((1..=allowed).contains(&returns), "{returns} exchanges for {COUNT} returns");
        assert_eq!(charges, 0);
    }
}

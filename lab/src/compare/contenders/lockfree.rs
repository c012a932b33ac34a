//! lockfree-object-pool 0.1: `LinearObjectPool`, the fastest of its three by its own tables, one per size. The second
//! closure is where its documentation has objects reset.

use lockfree_object_pool::{LinearObjectPool, LinearReusable};

use crate::compare::contender::{Cannot, Contender, Kind, Plan, Size};
use crate::compare::objects::{Kept, Objects};

pub struct Lockfree(Vec<LinearObjectPool<Vec<u8>>>);

impl Contender for Lockfree {
    const NAME: &'static str = "lockfree-object-pool 0.1";
    const KIND: Kind = Kind::Pool;

    type Buf<'p> = LinearReusable<'p, Vec<u8>>;
    type Zeroed<'p> = LinearReusable<'p, Vec<u8>>;

    fn new(plan: &Plan) -> Result<Self, Cannot> {
        let zeroed = plan.zeroed;
        let pool = |&bytes: &usize| {
            let reset = move |buf: &mut Vec<u8>| {
                if zeroed {
                    buf.fill(0);
                }
            };
            LinearObjectPool::new(move || vec![0; bytes], reset)
        };
        Ok(Self(plan.sizes.iter().map(pool).collect()))
    }

    #[inline(always)]
    fn get(&self, size: Size) -> Self::Buf<'_> {
        self.0[size.index].pull()
    }

    #[inline(always)]
    fn write<'b>(buf: &'b mut Self::Buf<'_>, at: usize) -> &'b mut u8 {
        let byte = &mut buf[at];
        *byte = 1;
        byte
    }

    #[inline(always)]
    fn zeroed(&self, size: Size) -> Self::Zeroed<'_> {
        self.get(size)
    }

    fn bytes<'b>(buf: &'b Self::Zeroed<'_>) -> &'b [u8] {
        buf
    }

    #[inline(always)]
    fn expose<'b>(buf: &'b mut Self::Zeroed<'_>, len: usize) -> &'b mut [u8] {
        &mut buf[..len]
    }
}

pub struct LockfreeObjects<T>(LinearObjectPool<T>);

impl<T: Kept> Objects<T> for LockfreeObjects<T> {
    const NAME: &'static str = Lockfree::NAME;
    const KIND: Kind = Lockfree::KIND;

    type Value = T;
    type Object<'p> = LinearReusable<'p, T>;

    fn new(_: &Plan) -> Result<Self, Cannot> {
        Ok(Self(LinearObjectPool::new(T::fresh, T::reset)))
    }

    #[inline(always)]
    fn get(&self) -> LinearReusable<'_, T> {
        self.0.pull()
    }

    #[inline(always)]
    fn value<'o>(object: &'o mut LinearReusable<'_, T>) -> &'o mut T {
        object
    }
}

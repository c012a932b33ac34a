//! Contenders that hand out plain pointers: C allocators called directly, and the floor.

#![allow(unsafe_code, reason = "C allocators and the floor give memory by pointer")]

use std::marker::PhantomData;
use std::ptr::NonNull;
use std::slice;

use crate::compare::contender::{Cannot, Contender, Kind, Plan, Size};

/// Memory by pointer.
///
/// # Safety
///
/// `allocate` and `allocate_zeroed` return a pointer that is valid for reading and writing `bytes` bytes, by any
/// thread and by nobody else, until it is passed to `release`; the bytes of the latter are zero.
pub unsafe trait Heap: Sync + 'static {
    const NAME: &'static str;
    const KIND: Kind;

    /// Whether this heap can do what the row plans.
    fn can(plan: &Plan) -> Result<(), Cannot>;

    fn allocate(bytes: usize) -> NonNull<u8>;

    fn allocate_zeroed(bytes: usize) -> NonNull<u8>;

    /// # Safety
    ///
    /// `pointer` came from this heap for this many `bytes` and has not been released.
    unsafe fn release(pointer: NonNull<u8>, bytes: usize);

    fn leave_thread() {}
}

/// A heap as contender.
pub struct Raw<H>(PhantomData<H>);

/// Memory of a heap, released on drop: a pointer and a length, nothing else.
pub struct Block<H: Heap> {
    pointer: NonNull<u8>,
    bytes: usize,
    heap: PhantomData<H>,
}

// SAFETY: by the contract of `Heap` the memory belongs to the block alone and any thread may use and release it.
unsafe impl<H: Heap> Send for Block<H> {}

impl<H: Heap> Block<H> {
    #[inline(always)]
    fn new(pointer: NonNull<u8>, bytes: usize) -> Self {
        Self { pointer, bytes, heap: PhantomData }
    }
}

impl<H: Heap> Drop for Block<H> {
    #[inline(always)]
    fn drop(&mut self) {
        // SAFETY: pointer and size are those of the allocation, and a block is dropped once.
        unsafe { H::release(self.pointer, self.bytes) }
    }
}

impl<H: Heap> Contender for Raw<H> {
    const NAME: &'static str = H::NAME;
    const KIND: Kind = H::KIND;

    type Buf<'p> = Block<H>;
    type Zeroed<'p> = Block<H>;

    fn new(plan: &Plan) -> Result<Self, Cannot> {
        if plan.pools > 1 {
            return Err(Cannot::NO_POOLS);
        }
        H::can(plan).map(|()| Self(PhantomData))
    }

    #[inline(always)]
    fn get(&self, size: Size) -> Block<H> {
        Block::new(H::allocate(size.bytes), size.bytes)
    }

    #[inline(always)]
    fn write(buf: &mut Block<H>, at: usize) -> &mut u8 {
        assert!(at < buf.bytes);
        // SAFETY: the pointer is valid for `bytes` bytes and `at` is less.
        let byte = unsafe { buf.pointer.add(at) };
        // SAFETY: the byte is valid for writing.
        unsafe { byte.write(1) };
        // SAFETY: the byte is initialised, and borrowed for as long as the block is.
        unsafe { &mut *byte.as_ptr() }
    }

    #[inline(always)]
    fn zeroed(&self, size: Size) -> Block<H> {
        Block::new(H::allocate_zeroed(size.bytes), size.bytes)
    }

    fn bytes(buf: &Block<H>) -> &[u8] {
        // SAFETY: a zeroed block's bytes are all initialised, and borrowed for as long as the block is.
        unsafe { slice::from_raw_parts(buf.pointer.as_ptr(), buf.bytes) }
    }

    #[inline(always)]
    fn expose(buf: &mut Block<H>, len: usize) -> &mut [u8] {
        assert!(len <= buf.bytes);
        // SAFETY: as in `bytes`; `len` is not more, and the borrow is exclusive.
        unsafe { slice::from_raw_parts_mut(buf.pointer.as_ptr(), len) }
    }

    fn leave_thread() {
        H::leave_thread();
    }
}

//! A handle that is forgotten loses its own buffer and nothing else.
#![allow(unsafe_code)] // A global allocator.

#[path = "support/counting.rs"]
mod counting;
#[path = "support/identities.rs"]
mod identities;

use std::mem::forget;

use counting::{BLOCK_ALIGN, live_blocks};
use identities::assert_identities;
use millpond::{BufferPool, Capacity, Memory};

fn pool() -> BufferPool {
    BufferPool::builder().alignment(BLOCK_ALIGN).memory(Memory::heap()).build().unwrap()
}

/// One test, because the allocator counts for the whole process.
#[test]
fn only_the_forgotten_buffer_is_lost() {
    for (lost, lose) in [
        (1, (|pool| forget(pool.get(Capacity(1024)))) as fn(&BufferPool)),
        (1, |pool| forget(pool.copy_from(b"frozen").freeze())),
        (1, |pool| {
            // The count never comes to an end, although the other handle is dropped.
            let bytes = pool.copy_from(b"shared").freeze();
            forget(bytes.clone());
            drop(bytes);
        }),
        (3, |pool| forget(pool.get_many([Capacity(1024); 3]))),
        (2, |pool| {
            let mut rest = pool.get_many([Capacity(1024); 3]).into_iter();
            drop(rest.next());
            forget(rest);
        }),
    ] {
        let before = live_blocks();
        let pool = pool();
        lose(&pool);
        drop(pool.get_many([Capacity(1024); 20]));
        let stats = pool.stats();
        assert_identities(&stats);
        assert_eq!(stats.outstanding, lost * 1024);
        assert_eq!(pool.get(1024)[..], [0; 1024]);
        drop(pool);
        assert_eq!(live_blocks() - before, lost as isize);
    }
    a_forgotten_pool_handle_keeps_the_pool_open();
}

fn a_forgotten_pool_handle_keeps_the_pool_open() {
    let before = live_blocks();
    let pool = pool();
    forget(pool.clone());
    let buf = pool.get(1024);
    drop(pool);
    drop(buf);
    assert_eq!(live_blocks() - before, 1);
}

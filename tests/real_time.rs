//! After `prefill` and `attach_thread`, gets and drops within the prefilled count call neither the allocator nor the
//! kernel.
#![cfg(all(target_os = "linux", not(miri)))]
#![allow(unsafe_code)] // A global allocator, system calls.

#[path = "support/child.rs"]
mod child;
#[path = "support/counting.rs"]
mod counting;
#[path = "support/seccomp.rs"]
mod seccomp;

use millpond::{BufferPool, Capacity, PooledBuf, PooledBytes, Recycled, Zeroing};

const COUNT: usize = 32;
const SIZES: [usize; 3] = [1000, 4096, 200_000];

fn pool(zeroing: Zeroing) -> BufferPool {
    let builder = SIZES.iter().fold(BufferPool::builder(), |builder, &size| builder.prefill(size, COUNT));
    builder.zeroing(zeroing).build().unwrap()
}

/// Every kind of get and drop, with up to `COUNT` buffers of each size out. Panics never, allocates nothing itself.
fn use_up_and_return(pool: &BufferPool, held: &mut [Option<PooledBuf>; COUNT]) -> usize {
    let mut bytes = 0;
    for size in SIZES {
        for most in 1..=COUNT {
            for (kind, place) in held.iter_mut().take(most).enumerate() {
                let buf = match kind % 3 {
                    0 => pool.try_get(size).ok(),
                    1 => pool.try_get(Capacity(size)).ok(),
                    _ => pool.try_get(Recycled(size)).ok(),
                };
                *place = buf.map(|mut buf| {
                    buf.resize(size / 2, 7);
                    bytes += buf.len();
                    thaw(buf.freeze())
                });
            }
            held.iter_mut().for_each(|place| *place = None);
        }
    }
    bytes
}

/// Shares the bytes for a moment.
fn thaw(bytes: PooledBytes) -> PooledBuf {
    drop(bytes.clone());
    bytes.try_into_mut().unwrap_or_else(|_| std::process::abort())
}

/// What [`use_up_and_return`] fills if no get fails.
fn all_bytes() -> usize {
    SIZES.iter().map(|size| (1..=COUNT).sum::<usize>() * (size / 2)).sum()
}

#[test]
fn no_allocation_from_the_first_get_on() {
    for zeroing in [Zeroing::OnGet, Zeroing::OnReturn] {
        let pool = pool(zeroing);
        pool.attach_thread();
        let mut held = [const { None }; COUNT];
        let before = counting::calls();
        let bytes = use_up_and_return(&pool, &mut held) + use_up_and_return(&pool, &mut held);
        let calls = counting::calls() - before;
        assert_eq!((calls, bytes), (0, 2 * all_bytes()), "calls of the allocator, bytes");
        let stats = pool.stats();
        assert_eq!((stats.fresh, stats.outstanding), (0, 0));
    }
}

#[test]
fn no_system_call_from_the_first_get_on() {
    if !child::is_child() {
        let ended = child::run("no_system_call_from_the_first_get_on");
        assert!(ended.success(), "{ended}: with signal 31 a get or drop entered the kernel");
        return;
    }
    let pools = [Zeroing::OnGet, Zeroing::OnReturn].map(pool);
    let mut held = [const { None }; COUNT];
    let all = all_bytes();
    pools.iter().for_each(BufferPool::attach_thread);
    seccomp::filter(&[libc::SYS_exit_group], libc::SECCOMP_RET_ALLOW, libc::SECCOMP_RET_KILL_PROCESS);
    let complete = pools.iter().all(|pool| use_up_and_return(pool, &mut held) == all);
    // SAFETY: ends the process, at once.
    unsafe { libc::_exit(if complete { 0 } else { 1 }) }
}

/// The filter of the test above kills: a system call is seen when there is one.
#[test]
fn the_filter_notices_a_system_call() {
    use std::os::unix::process::ExitStatusExt;
    if !child::is_child() {
        assert_eq!(child::run("the_filter_notices_a_system_call").signal(), Some(libc::SIGSYS));
        return;
    }
    seccomp::filter(&[libc::SYS_exit_group], libc::SECCOMP_RET_ALLOW, libc::SECCOMP_RET_KILL_PROCESS);
    // SAFETY: takes nothing.
    unsafe { libc::getppid() };
    // SAFETY: ends the process, at once.
    unsafe { libc::_exit(0) }
}

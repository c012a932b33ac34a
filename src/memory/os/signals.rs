//! Signals of a thread.

use std::mem::MaybeUninit;

/// Runs `work` with all signals blocked on this thread; threads that it starts have them blocked, too.
pub(super) fn blocked<R>(work: impl FnOnce() -> R) -> R {
    let (mut all, mut before) = (MaybeUninit::uninit(), MaybeUninit::uninit());
    // SAFETY: a place for a set.
    unsafe { libc::sigfillset(all.as_mut_ptr()) };
    // SAFETY: a set, written above, and a place for one.
    let changed = unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), before.as_mut_ptr()) } == 0;
    let done = work();
    if changed {
        // SAFETY: a set, written by the call above.
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, before.as_ptr(), std::ptr::null_mut()) };
    }
    done
}

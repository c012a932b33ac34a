//! Provided buffers: nothing is lost and nothing used again too early however slow consumers are, what was written is
//! zeroed and wiped also where nobody read it, and completions that cannot be are refused.
#![cfg(all(target_os = "linux", feature = "io-uring-07", not(miri)))]
#![allow(unsafe_code)] // Operations are pushed.

#[path = "support/random.rs"]
mod random;
#[path = "support/uring.rs"]
mod uring;

use std::collections::VecDeque;
use std::io;
use std::net::UdpSocket;
use std::os::fd::AsRawFd;
use std::process;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use io_uring::opcode::{AsyncCancel, Recv, RecvMulti};
use io_uring::squeue::Flags;
use io_uring::types::Fd;
use io_uring::{IoUring, cqueue, squeue};
use millpond::io_uring_07::{ProvidedBuffers, Received};
use millpond::{BufferPool, BufferPoolBuilder, Capacity, PooledBuf, Recycled, Zeroing};
use random::Random;
use uring::{completions, push, ring, run};

const SIZE: usize = 2048;
const GROUP: u16 = 7;
/// User data of the receiving operation, and of what cancels it.
const RECEIVE: u64 = 1;
const CANCEL: u64 = 2;

/// Two sockets, of which the second sends to the first.
fn sockets() -> [UdpSocket; 2] {
    let [receiver, sender] = [(); 2].map(|()| UdpSocket::bind("127.0.0.1:0").unwrap());
    sender.connect(receiver.local_addr().unwrap()).unwrap();
    [receiver, sender]
}

fn send(sender: &UdpSocket, messages: impl Iterator<Item = Vec<u8>>) {
    messages.for_each(|message| assert_eq!(sender.send(&message).unwrap(), message.len()));
}

fn pool(bufs: usize) -> BufferPoolBuilder {
    BufferPool::builder().size_classes([SIZE]).max_memory(bufs * SIZE)
}

fn receive(socket: &UdpSocket) -> squeue::Entry {
    RecvMulti::new(Fd(socket.as_raw_fd()), GROUP).build().user_data(RECEIVE)
}

/// Ends the receiving operation, and gives what it completed with before.
fn cancel(ring: &mut IoUring) -> Vec<cqueue::Entry> {
    push(ring, &AsyncCancel::new(RECEIVE).build().user_data(CANCEL));
    let (mut received, mut ends) = (Vec::new(), 0);
    while ends < 2 {
        for entry in completions(ring) {
            let is_end = entry.user_data() == CANCEL || !ProvidedBuffers::is_armed(&entry);
            ends += usize::from(is_end);
            received.extend(Some(entry).filter(|_| !is_end));
        }
    }
    received
}

/// All buffers of a pool at once, as they lie there.
fn all(pool: &BufferPool, count: usize) -> Vec<PooledBuf> {
    pool.get_many(std::iter::repeat_n(Recycled(SIZE), count)).into_iter().collect()
}

/// A message that tells whether it is what was sent: its number, bytes that follow from it, and their sum.
fn message(number: u64) -> Vec<u8> {
    let mut random = Random::new(number + 1);
    let len = 16 + random.below(1384);
    let mut bytes = number.to_le_bytes().to_vec();
    bytes.extend((0..len).map(|_| random.next() as u8));
    bytes.extend(sum(&bytes).to_le_bytes());
    bytes
}

fn sum(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xCBF2_9CE4_8422_2325, |sum, &byte| (sum ^ u64::from(byte)).wrapping_mul(0x100_0000_01B3))
}

/// The number of a message, all of whose bytes are as they were sent.
#[track_caller]
fn number(message: &[u8]) -> u64 {
    let (bytes, end) = message.split_last_chunk::<8>().expect("longer");
    assert_eq!(sum(bytes), u64::from_le_bytes(*end), "used again too early, or torn");
    u64::from_le_bytes(*bytes.first_chunk().unwrap())
}

#[test]
fn nothing_is_lost_or_used_again_under_a_slow_consumer() {
    const KEPT: usize = 60;
    const WINDOW: usize = 40;
    const PATIENCE: Duration = Duration::from_secs(20);
    let messages = if cfg!(debug_assertions) { 30_000 } else { 300_000 };
    let Some(mut ring) = ring() else { return };
    let [receiver, sender] = sockets();
    // The consumer keeps more than the pool may have.
    let pool = pool(KEPT).build().unwrap();
    let builder = ProvidedBuffers::builder(GROUP, 32).low_water(8);
    let mut provided = builder.register(&ring.submitter(), &pool, Recycled(SIZE)).unwrap();
    let (received, consumed) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let (to_consumer, from_ring) = mpsc::channel::<Received>();
    thread::scope(|scope| {
        scope.spawn(|| {
            for number in 0..messages {
                // A socket drops what it has no room for.
                let begin = Instant::now();
                while number >= received.load(SeqCst) + WINDOW {
                    thread::yield_now();
                    if begin.elapsed() > PATIENCE {
                        // The others wait for ever, or have panicked.
                        eprintln!("FAILED, {} of {number} messages have come", received.load(SeqCst));
                        process::abort();
                    }
                }
                sender.send(&message(number as u64)).unwrap();
            }
        });
        scope.spawn(|| {
            let mut kept = VecDeque::new();
            let mut check = |message: Received| {
                assert_eq!(number(&message), consumed.fetch_add(1, SeqCst) as u64);
            };
            for message in from_ring {
                kept.push_back(message);
                if kept.len() > KEPT {
                    check(kept.pop_front().unwrap());
                }
                // For a while it keeps up.
                if consumed.load(SeqCst) / 1000 % 3 == 2 {
                    kept.drain(..).for_each(&mut check);
                }
            }
            kept.into_iter().for_each(check);
        });
        let receive = receive(&receiver);
        push(&mut ring, &receive);
        while received.load(SeqCst) < messages {
            let mut is_armed = true;
            for entry in completions(&mut ring) {
                match provided.take(&entry) {
                    Ok(message) => {
                        to_consumer.send(message.unwrap()).unwrap();
                        received.fetch_add(1, SeqCst);
                    }
                    // More came at once than the group has buffers.
                    Err(error) => assert!(ProvidedBuffers::is_empty_group(&error), "{error}"),
                }
                is_armed = ProvidedBuffers::is_armed(&entry);
            }
            provided.refill();
            if !is_armed {
                push(&mut ring, &receive);
            }
        }
        drop(to_consumer);
    });
    assert_eq!(consumed.load(SeqCst), messages);
    let stats = provided.stats();
    eprintln!("{stats:?}");
    assert_eq!(stats.pooled + stats.copied, messages as u64);
    assert!(stats.pooled > 1000 && stats.copied > 1000, "{stats:?}");
    assert!(stats.refills > stats.copied && stats.refused > 0, "{stats:?}");
    assert!(cancel(&mut ring).is_empty());
    provided.unregister(&ring.submitter()).unwrap();
    assert_eq!(pool.stats().outstanding, 0);
}

#[test]
fn a_batch_of_completions_is_one_refill() {
    let Some(mut ring) = ring() else { return };
    let [receiver, sender] = sockets();
    let pool = BufferPool::new();
    let mut provided = ProvidedBuffers::builder(GROUP, 16).register(&ring.submitter(), &pool, Capacity(SIZE)).unwrap();
    assert_eq!((provided.with_kernel(), provided.stats().refills), (16, 0));
    send(&sender, (0..10).map(message));
    push(&mut ring, &receive(&receiver));
    let mut kept = Vec::new();
    while kept.len() < 10 {
        kept.extend(completions(&mut ring).iter().map(|entry| provided.take(entry).unwrap().unwrap()));
    }
    assert!(kept.iter().map(|message| number(message)).eq(0..10));
    assert_eq!((provided.with_kernel(), provided.refill(), provided.refill()), (6, 10, 0));
    let stats = provided.stats();
    assert_eq!((stats.pooled, stats.refills, stats.refused), (10, 1, 0));
    cancel(&mut ring);
    provided.unregister(&ring.submitter()).unwrap();
    assert_eq!(pool.stats().gets, 26);
}

#[test]
fn a_group_that_runs_empty_goes_on_when_it_is_armed_again() {
    let Some(mut ring) = ring() else { return };
    let [receiver, sender] = sockets();
    let pool = pool(4).build().unwrap();
    let builder = ProvidedBuffers::builder(GROUP, 4).low_water(0);
    let mut provided = builder.register(&ring.submitter(), &pool, SIZE).unwrap();
    send(&sender, (0..6).map(message));
    let (mut kept, mut is_armed) = (Vec::new(), true);
    push(&mut ring, &receive(&receiver));
    while is_armed {
        for entry in completions(&mut ring) {
            match provided.take(&entry) {
                Ok(received) => kept.extend(received),
                Err(error) => assert!(ProvidedBuffers::is_empty_group(&error), "{error}"),
            }
            is_armed = ProvidedBuffers::is_armed(&entry);
        }
    }
    assert_eq!((kept.len(), provided.stats().empty, provided.with_kernel()), (4, 1, 0));
    assert_eq!((provided.refill(), provided.stats().refused), (0, 1));
    assert!(kept.drain(..).map(|message| number(&message)).eq(0..4));
    assert_eq!(provided.refill(), 4);
    push(&mut ring, &receive(&receiver));
    while kept.len() < 2 {
        kept.extend(completions(&mut ring).iter().filter_map(|entry| provided.take(entry).unwrap()));
    }
    assert!(kept.iter().map(|message| number(message)).eq(4..6), "what was in the socket is there still");
    cancel(&mut ring);
    provided.unregister(&ring.submitter()).unwrap();
}

/// Has secrets received into half of a group's buffers, reads half of these, and ends the group.
fn receive_secrets(ring: &mut IoUring, pool: &BufferPool, request: impl millpond::Request) {
    let [receiver, sender] = sockets();
    let mut provided = ProvidedBuffers::builder(GROUP, 8).register(&ring.submitter(), pool, request).unwrap();
    send(&sender, (0..4).map(|_| vec![0x5A; 1500]));
    push(ring, &receive(&receiver));
    let mut entries = Vec::new();
    while entries.len() < 4 {
        entries.extend(completions(ring));
    }
    for entry in &entries[..2] {
        let received = provided.take(entry).unwrap().unwrap();
        assert!(matches!(received, Received::Pooled(_)) && received[..] == [0x5A; 1500]);
    }
    cancel(ring);
    provided.unregister(&ring.submitter()).unwrap();
    assert_eq!(pool.stats().outstanding, 0);
}

#[test]
fn a_pool_that_wipes_wipes_what_the_kernel_wrote_read_or_not() {
    let Some(mut ring) = ring() else { return };
    for builder in [BufferPool::secret(), BufferPool::builder().zeroing(Zeroing::OnReturn)] {
        let pool = builder.size_classes([SIZE]).build().unwrap();
        for _ in 0..3 {
            receive_secrets(&mut ring, &pool, SIZE);
            receive_secrets(&mut ring, &pool, Recycled(SIZE));
            receive_secrets(&mut ring, &pool, Capacity(SIZE));
            let fresh = pool.stats().fresh;
            for buf in all(&pool, 8) {
                assert!(buf.iter().all(|&byte| byte == 0), "a secret lies in the pool");
            }
            assert_eq!(pool.stats().fresh, fresh, "the same buffers");
        }
    }
}

#[test]
fn zero_bytes_are_zero_after_the_kernel_had_them() {
    let Some(mut ring) = ring() else { return };
    let pool = BufferPool::builder().size_classes([SIZE]).build().unwrap();
    for _ in 0..3 {
        receive_secrets(&mut ring, &pool, Recycled(SIZE));
        let fresh = pool.stats().fresh;
        for buf in pool.get_many([SIZE; 8]) {
            assert!(buf.iter().all(|&byte| byte == 0), "bytes of an earlier user");
        }
        assert_eq!(pool.stats().fresh, fresh, "the same buffers");
    }
}

/// What is behind the bytes received is the kernel's to leave unwritten, as it does where an operation writes with
/// gaps: so what a buffer holds when it is provided matters, and not its length alone.
#[test]
fn a_buffer_is_provided_zero_unless_recycled_bytes_are_asked_for() {
    let Some(mut ring) = ring() else { return };
    for is_low in [false, true] {
        let [receiver, sender] = sockets();
        let pool = pool(3).build().unwrap();
        let mut bufs = all(&pool, 3);
        bufs.iter_mut().for_each(|buf| buf.fill(0xEE));
        bufs.truncate(usize::from(is_low));
        let builder = ProvidedBuffers::builder(GROUP, 2).low_water(2);
        let mut provided = builder.register(&ring.submitter(), &pool, Capacity(SIZE)).unwrap();
        push(&mut ring, &receive(&receiver));
        for (round, len) in [1500, 1500, 10].into_iter().enumerate() {
            if round == 2 {
                // The last, which is not low any more, is received where something was copied from before.
                bufs.clear();
            }
            sender.send(&vec![0x5A; len]).unwrap();
            let [entry] = &completions(&mut ring)[..] else { panic!("one message") };
            let mut received = provided.take(entry).unwrap().unwrap();
            let is_copied = matches!(received, Received::Copied(_));
            assert_eq!((received.len(), is_copied), (len, is_low && round < 2));
            if let Received::Pooled(buf) = &mut received {
                // SAFETY: provided with so many bytes, all initialised.
                unsafe { buf.set_len(SIZE) };
                assert!(buf[len..].iter().all(|&byte| byte == 0), "bytes of an earlier user");
            }
            provided.refill();
        }
        cancel(&mut ring);
        provided.unregister(&ring.submitter()).unwrap();
    }
}

#[test]
fn a_copy_of_a_secret_says_nothing_but_its_length() {
    let Some(mut ring) = ring() else { return };
    let [receiver, sender] = sockets();
    let pool = pool(2).zeroing(Zeroing::OnReturn).build().unwrap();
    let builder = ProvidedBuffers::builder(GROUP, 2).low_water(2);
    let mut provided = builder.register(&ring.submitter(), &pool, SIZE).unwrap();
    sender.send(b"a secret").unwrap();
    push(&mut ring, &receive(&receiver));
    let received = provided.take(&completions(&mut ring)[0]).unwrap().unwrap();
    assert_eq!(received[..], *b"a secret");
    assert_eq!(format!("{received:?}"), "Copied(Copied { len: 8, .. })");
    cancel(&mut ring);
    provided.unregister(&ring.submitter()).unwrap();
}

#[test]
fn completions_that_cannot_be_are_refused() {
    let Some([mut ring, mut other]) = ring().and_then(|one| Some([one, uring::ring()?])) else { return };
    let [receiver, sender] = sockets();
    let pool = BufferPool::new();
    let group = |entries, size| ProvidedBuffers::builder(GROUP, entries).low_water(0).register_on(size, &pool);
    let mut provided = group(1, 100)(&ring).unwrap();
    let mut theirs = group(4, 1000)(&other).unwrap();
    let once = Recv::new(Fd(receiver.as_raw_fd()), std::ptr::null_mut(), 0).buf_group(GROUP).build();
    let once = once.flags(Flags::BUFFER_SELECT);
    let mut entries = Vec::new();
    for len in [500, 500, 50] {
        sender.send(&vec![1; len]).unwrap();
        entries.push(run(&mut other, &once));
    }
    let refused = |result: io::Result<Option<Received>>| {
        let error = result.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        error.to_string()
    };
    assert_eq!(refused(provided.take(&entries[0])), "500 bytes cannot be in buffer 0 of group 7, of 100");
    assert_eq!(refused(provided.take(&entries[1])), "buffer 1 of group 7 is not with the kernel");
    assert_eq!(provided.with_kernel(), 1);
    assert_eq!(theirs.take(&entries[2]).unwrap().unwrap().len(), 50);
    assert_eq!(refused(theirs.take(&entries[2])), "buffer 2 of group 7 is not with the kernel", "twice");
    sender.send(&[2; 60]).unwrap();
    let entry = run(&mut ring, &once);
    assert_eq!(provided.take(&entry).unwrap().unwrap()[..], [2; 60]);
    assert_eq!(refused(provided.take(&entry.clone())), "buffer 0 of group 7 is not with the kernel");
    provided.unregister(&ring.submitter()).unwrap();
    theirs.unregister(&other.submitter()).unwrap();
}

/// For groups that differ in few things.
trait RegisterOn {
    fn register_on(self, size: usize, pool: &BufferPool) -> impl Fn(&IoUring) -> io::Result<ProvidedBuffers>;
}

impl RegisterOn for millpond::io_uring_07::ProvidedBuffersBuilder {
    fn register_on(self, size: usize, pool: &BufferPool) -> impl Fn(&IoUring) -> io::Result<ProvidedBuffers> {
        move |ring| self.register(&ring.submitter(), pool, Recycled(size))
    }
}

#[test]
fn a_failed_operation_gives_its_buffer_back_to_the_kernel() {
    let Some(mut ring) = ring() else { return };
    let folder = std::fs::File::open("/").unwrap();
    let pool = BufferPool::new();
    let mut provided = ProvidedBuffers::builder(GROUP, 2).register(&ring.submitter(), &pool, SIZE).unwrap();
    let read = io_uring::opcode::Read::new(Fd(folder.as_raw_fd()), std::ptr::null_mut(), 0).buf_group(GROUP).build();
    for _ in 0..5 {
        let entry = run(&mut ring, &read.clone().flags(Flags::BUFFER_SELECT));
        assert_eq!(provided.take(&entry).unwrap_err().raw_os_error(), Some(libc::EISDIR));
        assert_eq!(provided.with_kernel(), 2);
    }
    provided.unregister(&ring.submitter()).unwrap();
}

#[test]
fn options_that_cannot_be_are_refused() {
    let Some(ring) = ring() else { return };
    let pool = BufferPool::new();
    let refused = |entries, low_water, size| {
        let builder = ProvidedBuffers::builder(GROUP, entries).low_water(low_water);
        let error = builder.register(&ring.submitter(), &pool, Recycled(size)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        error.to_string()
    };
    assert!(refused(0, 0, 100).contains("power of two"));
    assert!(refused(3, 1, 100).contains("has 3 entries"));
    assert!(refused(4, 5, 100).contains("low-water mark is 5"));
    assert!(refused(4, 1, 0).contains("have 0 bytes"));
    let small = self::pool(2).build().unwrap();
    let error = ProvidedBuffers::builder(GROUP, 4).register(&ring.submitter(), &small, SIZE).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::OutOfMemory);
    let first = ProvidedBuffers::builder(GROUP, 4).register(&ring.submitter(), &pool, SIZE).unwrap();
    let error = ProvidedBuffers::builder(GROUP, 4).register(&ring.submitter(), &pool, SIZE).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
    assert_eq!(pool.stats().outstanding as usize, 4 * SIZE, "a group that was refused keeps nothing");
    first.unregister(&ring.submitter()).unwrap();
}

#[test]
fn what_the_kernel_may_write_to_is_never_given_back() {
    let Some([ring, other]) = ring().and_then(|one| Some([one, uring::ring()?])) else { return };
    let pool = pool(4).build().unwrap();
    let register = || ProvidedBuffers::builder(GROUP, 4).register(&ring.submitter(), &pool, SIZE).unwrap();
    let refused = register().unregister(&other.submitter()).unwrap_err();
    assert_eq!(refused.reason().kind(), io::ErrorKind::NotFound);
    assert_eq!(refused.to_string(), "buffers stay registered: No such file or directory (os error 2)");
    refused.into_inner().unregister(&ring.submitter()).unwrap();
    assert_eq!(pool.stats().outstanding, 0);
    drop(register());
    assert_eq!(pool.stats().outstanding as usize, 4 * SIZE);
    assert!(pool.try_get(SIZE).is_err());
}

//! Chains: what they hold, what writers see of them, and when their pieces go home.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, IoSlice, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};

use millpond::{BufferPool, Capacity, ChainWriter, Error, PooledBytes, PooledChain};
use proptest::prelude::*;

const PIECE: usize = 64;
const CASES: u32 = if cfg!(miri) { 4 } else { 256 };

fn pool() -> BufferPool {
    BufferPool::builder().size_classes([16, PIECE, 4096]).alignment(16).build().unwrap()
}

fn counted(len: usize) -> Vec<u8> {
    (0..len).map(|at| at as u8).collect()
}

fn gathered(slices: &[IoSlice<'_>]) -> Vec<u8> {
    slices.iter().flat_map(|slice| slice.iter().copied()).collect()
}

fn outstanding(pool: &BufferPool) -> usize {
    pool.stats().outstanding as usize
}

/// Takes at most so many bytes at once, the numbers in turn; 0 stands for an interruption.
struct Sips<'a> {
    sips: &'a [usize],
    turn: usize,
    taken: Vec<u8>,
    /// Looks at what is out after each write.
    pool: Option<BufferPool>,
    most: Vec<usize>,
}

impl<'a> Sips<'a> {
    fn of(sips: &'a [usize]) -> Self {
        Sips { sips, turn: 0, taken: Vec::new(), pool: None, most: Vec::new() }
    }
}

impl Write for Sips<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_vectored(&[IoSlice::new(bytes)])
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        assert!(slices.iter().all(|slice| !slice.is_empty()), "pieces without bytes are not offered");
        self.most.extend(self.pool.as_ref().map(outstanding));
        let sip = self.sips[self.turn % self.sips.len()];
        self.turn += 1;
        if sip == 0 {
            return Err(ErrorKind::Interrupted.into());
        }
        let before = self.taken.len();
        for slice in slices {
            let left = sip - (self.taken.len() - before);
            self.taken.extend_from_slice(&slice[..slice.len().min(left)]);
        }
        Ok(self.taken.len() - before)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[derive(Debug, Clone)]
enum Act {
    Push(usize),
    PushFront(usize),
    PushSlice(usize, usize),
    Advance(usize),
    SplitTo(usize),
    Write(usize),
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        (0usize..200).prop_map(Act::Push),
        (0usize..40).prop_map(Act::PushFront),
        (0usize..100, 0usize..100).prop_map(|(start, len)| Act::PushSlice(start, len)),
        (0usize..300).prop_map(Act::Advance),
        (0usize..300).prop_map(Act::SplitTo),
        (1usize..300).prop_map(Act::Write),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: CASES, failure_persistence: None, ..ProptestConfig::default() })]

    /// A chain is a queue of bytes, wherever it is cut.
    #[test]
    fn a_chain_is_a_queue_of_bytes(acts in proptest::collection::vec(act(), 1..40)) {
        let pool = pool();
        let mut chain = PooledChain::new();
        let mut model = VecDeque::new();
        for (turn, act) in acts.into_iter().enumerate() {
            let bytes: Vec<u8> = (0..300).map(|at| (at * 7 + turn) as u8).collect();
            match act {
                Act::Push(len) => {
                    chain.push(pool.copy_from(&bytes[..len]));
                    model.extend(&bytes[..len]);
                }
                Act::PushFront(len) => {
                    chain.push_front(pool.copy_from(&bytes[..len]).freeze());
                    bytes[..len].iter().rev().for_each(|&byte| model.push_front(byte));
                }
                Act::PushSlice(start, len) => {
                    chain.push(pool.copy_from(&bytes).freeze().slice(start..start + len));
                    model.extend(&bytes[start..start + len]);
                }
                Act::Advance(count) => {
                    let count = count.min(chain.len());
                    chain.advance(count);
                    model.drain(..count);
                }
                Act::SplitTo(count) => {
                    let count = count.min(chain.len());
                    let head = chain.split_to(count);
                    prop_assert!(head == model.drain(..count).collect::<Vec<_>>());
                }
                Act::Write(sip) => {
                    let sips = [sip];
                    let mut writer = Sips::of(&sips);
                    let count = chain.write_to(&mut writer).unwrap();
                    prop_assert_eq!(writer.taken, model.drain(..count).collect::<Vec<_>>());
                }
            }
            prop_assert_eq!(chain.len(), model.len());
            prop_assert_eq!(chain.is_empty(), model.is_empty());
            prop_assert!(chain.pieces().all(|piece| !piece.is_empty()));
            prop_assert_eq!(chain.pieces().map(|piece| piece.len()).sum::<usize>(), chain.len());
            prop_assert_eq!(chain.to_vec(), Vec::from_iter(model.iter().copied()));
        }
        drop(chain);
        prop_assert_eq!(outstanding(&pool), 0);
    }

    /// However little the writer takes at once, and however often it is interrupted.
    #[test]
    fn everything_is_written(len in 0usize..1000, piece in 1usize..100, sips in proptest::collection::vec(0usize..150, 1..8)) {
        prop_assume!(sips.iter().any(|&sip| sip > 0));
        let (pool, message) = (pool(), counted(len));
        let mut chain = PooledChain::copy_from(&pool, &message, piece);
        let mut writer = Sips::of(&sips);
        chain.write_all_to(&mut writer).unwrap();
        prop_assert_eq!(writer.taken, message);
        prop_assert_eq!((chain.len(), outstanding(&pool)), (0, 0));
    }
}

#[test]
fn pieces_go_home_as_soon_as_they_are_written() {
    let pool = pool();
    let mut chain = PooledChain::copy_from(&pool, &counted(4 * PIECE), PIECE);
    let sips = [PIECE - 1, 1, PIECE + 1, PIECE - 1, PIECE];
    let mut writer = Sips { pool: Some(pool.clone()), ..Sips::of(&sips) };
    chain.write_all_to(&mut writer).unwrap();
    assert_eq!(writer.most, [4, 4, 3, 2, 1].map(|pieces| pieces * PIECE));
    assert_eq!((writer.taken, outstanding(&pool)), (counted(4 * PIECE), 0));
}

#[test]
fn advancing_drops_what_is_done_and_no_more() {
    let pool = pool();
    let mut chain = PooledChain::copy_from(&pool, &counted(3 * PIECE), PIECE);
    let left = |chain: &PooledChain| (chain.len(), chain.pieces().len(), outstanding(&pool) / PIECE);
    for (count, expected) in [
        (0, (3 * PIECE, 3, 3)),
        (PIECE - 1, (2 * PIECE + 1, 3, 3)),
        (1, (2 * PIECE, 2, 2)),
        (PIECE + 1, (PIECE - 1, 1, 1)),
        (PIECE - 1, (0, 0, 0)),
    ] {
        chain.advance(count);
        assert_eq!(left(&chain), expected, "after {count}");
    }
    assert!(catch_unwind(AssertUnwindSafe(|| chain.advance(1))).is_err());
}

#[test]
fn a_cut_piece_is_shared_and_whole_ones_move() {
    let pool = pool();
    let mut rest = PooledChain::copy_from(&pool, &counted(3 * PIECE), PIECE);
    let head = rest.split_to(PIECE + 10);
    assert_eq!((head.pieces().len(), rest.pieces().len()), (2, 2));
    assert!(head == counted(3 * PIECE)[..PIECE + 10] && rest == counted(3 * PIECE)[PIECE + 10..]);
    drop(head);
    assert_eq!(outstanding(&pool), 2 * PIECE, "the first piece is home, the second is shared");
    assert!(catch_unwind(AssertUnwindSafe(|| rest.split_to(2 * PIECE))).is_err());
    assert_eq!(rest.len(), 2 * PIECE - 10);
}

#[test]
fn pieces_without_bytes_are_left_out() {
    let pool = pool();
    let empty = [PooledBytes::new(), pool.get(Capacity(5)).freeze(), PooledBytes::from_static(b"")];
    let mut chain: PooledChain = empty.into_iter().collect();
    chain.push_front(PooledBytes::new());
    let mut slices = [IoSlice::new(&[]); 4];
    assert_eq!((chain.pieces().len(), chain.as_io_slices(&mut slices), chain.is_empty()), (0, 0, true));
    assert_eq!(outstanding(&pool), 0, "what was left out is home");
    chain.write_all_to(&mut io::sink()).unwrap();
    assert!(PooledChain::copy_from(&pool, b"", 3).is_empty() && ChainWriter::new(&pool, 1).finish().is_empty());
}

#[test]
fn as_many_slices_as_there_is_room_for() {
    let chain = PooledChain::copy_from(&pool(), b"abcdef", 2);
    for (room, expected) in [(0, ""), (2, "abcd"), (3, "abcdef"), (9, "abcdef")] {
        let mut slices = vec![IoSlice::new(&[]); room];
        let count = chain.as_io_slices(&mut slices);
        assert_eq!(gathered(&slices[..count]), expected.as_bytes());
    }
}

/// Says of each write what a script says.
struct Script(Vec<io::Result<usize>>);

impl Write for Script {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        self.0.remove(0)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_failed_write_leaves_what_was_not_written() {
    let pool = pool();
    let mut chain = PooledChain::copy_from(&pool, b"abcdef", 4);
    let refusal = chain.write_all_to(&mut Script(vec![Ok(3), Err(ErrorKind::WouldBlock.into())])).unwrap_err();
    assert_eq!((refusal.kind(), chain.to_vec()), (ErrorKind::WouldBlock, b"def".to_vec()));
    let refusal = chain.write_all_to(&mut Script(vec![Ok(1), Ok(0)])).unwrap_err();
    assert_eq!((refusal.kind(), chain.to_vec()), (ErrorKind::WriteZero, b"ef".to_vec()));
    let interrupted = Script(vec![Err(ErrorKind::Interrupted.into()), Ok(2)]).0;
    chain.write_all_to(&mut Script(interrupted)).unwrap();
    assert_eq!((chain.len(), outstanding(&pool)), (0, 0));
    let mut boaster = Script(vec![Ok(7)]);
    let mut chain = PooledChain::copy_from(&pool, b"abcdef", 4);
    assert!(catch_unwind(AssertUnwindSafe(|| chain.write_to(&mut boaster))).is_err());
    assert_eq!(chain, b"abcdef");
}

#[test]
fn a_writer_fills_one_buffer_after_the_other() {
    let pool = pool();
    let mut writer = ChainWriter::new(&pool, PIECE);
    for part in counted(1000).chunks(7) {
        writer.write_all(part).unwrap();
    }
    assert_eq!((writer.len(), writer.is_empty()), (1000, false));
    let mut sent = writer.take_full();
    assert_eq!((sent.len(), writer.len()), (960, 40));
    sent.extend(writer.finish());
    assert_eq!(sent, counted(1000));
    assert!(sent.pieces().take(15).all(|piece| piece.len() == PIECE));
    assert_eq!(outstanding(&pool), 16 * PIECE);
}

#[test]
fn a_writer_reads_into_its_buffers() {
    let (pool, input) = (pool(), counted(3 * PIECE + 5));
    let mut writer = ChainWriter::new(&pool, PIECE);
    let mut rest = &input[..];
    writer.write_all(&[0; 10]).unwrap();
    assert_eq!(writer.read_from(&mut rest).unwrap(), PIECE - 10);
    while writer.read_from(&mut rest).unwrap() > 0 {}
    let chain = writer.finish();
    assert_eq!(chain, [&[0; 10][..], &input].concat());
    assert_eq!(chain.pieces().map(|piece| piece.len()).collect::<Vec<_>>(), [PIECE, PIECE, PIECE, 15]);
}

#[test]
fn a_writer_whose_pool_is_spent_says_so_and_keeps_what_it_has() {
    let pool = BufferPool::builder().size_classes([PIECE]).alignment(16).max_memory(2 * PIECE).build().unwrap();
    let mut writer = ChainWriter::new(&pool, PIECE);
    let error = writer.write_all(&counted(200)).unwrap_err();
    let reason = error.get_ref().unwrap().downcast_ref::<Error>();
    assert!(matches!(reason, Some(Error::OverBudget { .. })), "{error:?}");
    assert_eq!(writer.finish(), counted(2 * PIECE));
}

#[test]
#[cfg(not(miri))]
fn a_large_message_arrives_whole_from_small_buffers() {
    use std::io::Read;
    use std::net::{Shutdown, TcpListener, TcpStream};

    const LARGE: usize = 16 << 20;
    const SMALL: usize = 64 << 10;
    let message: Vec<u8> = (0..LARGE).map(|at| (at ^ (at >> 8) ^ (at >> 16)) as u8).collect();
    let pool = BufferPool::new();
    let mut chain = PooledChain::copy_from(&pool, &message, SMALL);
    assert_eq!((chain.pieces().len(), outstanding(&pool)), (256, LARGE));

    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (far, _) = listener.accept().unwrap();
    let received = std::thread::spawn(move || {
        let (mut far, mut writer) = (far, ChainWriter::new(BufferPool::shared(), SMALL));
        while writer.read_from(&mut far).unwrap() > 0 {}
        writer.finish()
    });
    chain.write_all_to(&mut near).unwrap();
    near.shutdown(Shutdown::Write).unwrap();
    let received = received.join().unwrap();
    assert!(received == message, "{} bytes of {LARGE}", received.len());
    assert_eq!((received.pieces().len(), outstanding(&pool)), (256, 0));
    assert!(near.read(&mut [0]).is_ok_and(|count| count == 0));
}

#[cfg(feature = "bytes")]
mod bytes_traits {
    use bytes::Buf;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig { cases: CASES, failure_persistence: None, ..ProptestConfig::default() })]

        /// As a chain of contiguous bytes is read.
        #[test]
        fn a_chain_reads_like_its_bytes(len in 0usize..300, piece in 1usize..40, steps in proptest::collection::vec(0usize..50, 0..12)) {
            let (pool, message) = (pool(), counted(len));
            let mut chain = PooledChain::copy_from(&pool, &message, piece);
            let mut plain = &message[..];
            for step in steps {
                let step = step.min(plain.remaining());
                prop_assert_eq!(chain.copy_to_bytes(step), plain.copy_to_bytes(step));
                prop_assert_eq!((chain.remaining(), chain.chunk().is_empty()), (plain.remaining(), plain.is_empty()));
                let step = (step / 2).min(plain.remaining());
                Buf::advance(&mut chain, step);
                Buf::advance(&mut plain, step);
                let mut slices = [IoSlice::new(&[]); 300];
                let count = chain.chunks_vectored(&mut slices);
                prop_assert_eq!(gathered(&slices[..count]), plain.to_vec());
            }
        }
    }

    #[test]
    fn bytes_of_one_piece_are_not_copied() {
        let pool = pool();
        let mut chain = PooledChain::copy_from(&pool, &counted(2 * PIECE), PIECE);
        let place = chain.chunk().as_ptr();
        let (first, rest, across) = (chain.copy_to_bytes(10), chain.copy_to_bytes(PIECE - 10), chain.copy_to_bytes(0));
        assert_eq!((first.as_ptr(), rest.as_ptr(), across.len()), (place, place.wrapping_add(10), 0));
        drop((first, rest));
        assert_eq!(outstanding(&pool), PIECE);
        chain.push_front(PooledBytes::from_static(b"abc"));
        assert_eq!(chain.copy_to_bytes(5)[..], *b"abc\x40\x41");
        assert!(catch_unwind(AssertUnwindSafe(|| chain.copy_to_bytes(PIECE))).is_err());
        assert_eq!(chain.len(), PIECE - 2);
    }
}

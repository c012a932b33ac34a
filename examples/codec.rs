//! Frames of a protocol (a length of four bytes, then so many bytes) in pooled buffers, in two ways.
//!
//! With `tokio_util::codec`, the runtime reads into a `BytesMut` of its own, and the decoder moves what has come into the
//! pooled buffer of its frame. That is the one copy: the runtime's buffer stays small however large frames are, and frames
//! are handed on without another. By hand, `read_buf` reads into pooled buffers, and frames are slices of them: only the
//! beginning of a frame that a buffer's end has cut is moved to the next buffer.
//!
//! Either way a frame is a `PooledBytes`: cloned, sliced, turned into `Bytes` without a copy, and home when the last of them
//! is dropped. And what a peer can make this process hold is what the pool may have.
//!
//! `cargo run --release --example codec`

use std::io::{self, ErrorKind};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use futures_util::{SinkExt, StreamExt};
use millpond::{BufferPool, Capacity, PooledBuf, PooledBytes, PooledChain};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, duplex};
use tokio_util::codec::{Decoder, Encoder, FramedRead, FramedWrite};

/// Bytes of the length before each frame.
const HEAD: usize = 4;
/// The longest frame that a peer may send.
const LONGEST: usize = 1 << 20;
/// Room for many small frames, which then share a buffer.
const BUFFER: usize = 64 << 10;

/// The length that a frame's head says, if all of the head is there.
fn length(received: &[u8]) -> io::Result<Option<usize>> {
    let Some(mut head) = received.get(..HEAD) else { return Ok(None) };
    let len = head.get_u32() as usize;
    if len > LONGEST {
        return Err(io::Error::new(
            ErrorKind::InvalidData,
            format!("a frame of {len} bytes, and {LONGEST} are allowed"),
        ));
    }
    Ok(Some(len))
}

fn cut_off() -> io::Error {
    io::Error::new(ErrorKind::UnexpectedEof, "the stream ends within a frame")
}

/// Frames in and out for `tokio_util::codec`.
struct FrameCodec {
    pool: BufferPool,
    /// The frame that is coming in, and how long it will be.
    coming: Option<(PooledBuf, usize)>,
}

impl FrameCodec {
    fn new(pool: &BufferPool) -> Self {
        FrameCodec { pool: pool.clone(), coming: None }
    }
}

impl Decoder for FrameCodec {
    type Item = PooledBytes;
    type Error = io::Error;

    fn decode(&mut self, received: &mut BytesMut) -> io::Result<Option<PooledBytes>> {
        let (mut frame, len) = match self.coming.take() {
            Some(coming) => coming,
            None => {
                let Some(len) = length(received)? else { return Ok(None) };
                received.advance(HEAD);
                (self.pool.try_get(Capacity(len))?, len)
            }
        };
        let part = received.split_to(received.len().min(len - frame.len()));
        frame.try_extend_from_slice(&part)?;
        if frame.len() < len {
            self.coming = Some((frame, len));
            return Ok(None);
        }
        Ok(Some(frame.freeze()))
    }

    fn decode_eof(&mut self, received: &mut BytesMut) -> io::Result<Option<PooledBytes>> {
        match self.decode(received)? {
            None if self.coming.is_some() || !received.is_empty() => Err(cut_off()),
            frame => Ok(frame),
        }
    }
}

impl Encoder<PooledBytes> for FrameCodec {
    type Error = io::Error;

    /// Copies the frame into the runtime's buffer; [`write_frame`] does not.
    fn encode(&mut self, frame: PooledBytes, out: &mut BytesMut) -> io::Result<()> {
        out.reserve(HEAD + frame.len());
        out.put_u32(frame.len() as u32);
        out.put(frame);
        Ok(())
    }
}

/// Frames as slices of the buffers that were read into.
struct Frames<R> {
    reader: R,
    pool: BufferPool,
    /// What has come and was not handed out.
    received: PooledBytes,
}

impl<R: AsyncRead + Unpin> Frames<R> {
    fn new(reader: R, pool: &BufferPool) -> Self {
        Frames { reader, pool: pool.clone(), received: PooledBytes::new() }
    }

    /// The next frame; none at the end of the stream. Not to be given up midway, or what was read is lost.
    async fn next(&mut self) -> io::Result<Option<PooledBytes>> {
        loop {
            let len = length(&self.received)?;
            match len {
                Some(len) if self.received.len() >= HEAD + len => {
                    self.received.advance(HEAD);
                    return Ok(Some(self.received.split_to(len)));
                }
                _ if self.read(HEAD + len.unwrap_or(0)).await? => {}
                _ if self.received.is_empty() => return Ok(None),
                _ => return Err(cut_off()),
            }
        }
    }

    /// Has so many bytes received at least; false at the end of the stream.
    async fn read(&mut self, needed: usize) -> io::Result<bool> {
        let mut buf = self.pool.try_get(Capacity(needed.max(BUFFER)))?;
        // The beginning of a frame that the last buffer's end has cut.
        buf.extend_from_slice(&self.received);
        while buf.len() < needed && self.reader.read_buf(&mut buf).await? > 0 {}
        self.received = buf.freeze();
        Ok(self.received.len() >= needed)
    }
}

/// Writes a frame by a vectored write, without a copy.
async fn write_frame(writer: &mut (impl AsyncWrite + Unpin), pool: &BufferPool, frame: PooledBytes) -> io::Result<()> {
    let mut message = PooledChain::from(pool.copy_from(&(frame.len() as u32).to_be_bytes()));
    message.push(frame);
    writer.write_all_buf(&mut message).await
}

/// Passes frames of all sizes through pipes, both ways; how many bytes were in them.
async fn pass_frames(pool: &BufferPool) -> io::Result<usize> {
    let (near, far) = duplex(BUFFER);
    let mut sender = FramedWrite::new(near, FrameCodec::new(pool));
    let send = async {
        for frame in frames(pool) {
            sender.send(frame).await?;
        }
        sender.close().await
    };
    let (mut onward, last) = duplex(BUFFER);
    let relay = async move {
        let mut frames = FramedRead::new(far, FrameCodec::new(pool));
        while let Some(frame) = frames.next().await {
            write_frame(&mut onward, pool, frame?).await?;
        }
        onward.shutdown().await
    };
    let receive = async {
        let (mut frames, mut total) = (Frames::new(last, pool), 0);
        while let Some(frame) = frames.next().await? {
            // To whoever wants `Bytes`: the same memory.
            let frame = Bytes::from(frame);
            assert!(frame.iter().all(|&byte| byte == frame.len() as u8));
            total += frame.len();
        }
        Ok(total)
    };
    let ((), (), total) = tokio::try_join!(send, relay, receive)?;
    Ok(total)
}

/// Frames of many lengths, each filled with its own.
fn frames(pool: &BufferPool) -> impl Iterator<Item = PooledBytes> {
    let lens = (0..1000).chain((1..40).map(|step| step * 5000)).chain([LONGEST, 0, 1]);
    lens.map(|len| {
        let mut buf = pool.get(Capacity(len));
        buf.resize(len, len as u8);
        buf.freeze()
    })
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let pool = BufferPool::builder().name("frames").max_memory(8 << 20).build()?;
    let total = pass_frames(&pool).await?;
    println!("{total} bytes in {} frames, through two pipes\n{}", frames(&pool).count(), pool.stats());
    assert_eq!(pool.stats().outstanding, 0);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pool() -> BufferPool {
        BufferPool::builder().max_memory(8 << 20).build().unwrap()
    }

    #[tokio::test]
    async fn frames_of_all_sizes_come_through_both_ways() {
        let pool = pool();
        let expected: usize = frames(&pool).map(|frame| frame.len()).sum();
        assert_eq!(pass_frames(&pool).await.unwrap(), expected);
        assert_eq!(pool.stats().outstanding, 0);
    }

    /// A message as it is on the wire.
    fn wire(pool: &BufferPool, frames: &[&[u8]]) -> BytesMut {
        let mut wire = BytesMut::new();
        let mut codec = FrameCodec::new(pool);
        frames.iter().for_each(|frame| codec.encode(pool.copy_from(frame).freeze(), &mut wire).unwrap());
        wire
    }

    #[tokio::test]
    async fn small_frames_are_slices_of_one_buffer() {
        let pool = pool();
        let wire = wire(&pool, &[b"one", b"", b"three"]);
        let mut frames = Frames::new(&wire[..], &pool);
        let (one, none) = (frames.next().await.unwrap().unwrap(), frames.next().await.unwrap().unwrap());
        let three = frames.next().await.unwrap().unwrap();
        assert_eq!((&one[..], &none[..], &three[..]), (&b"one"[..], &b""[..], &b"three"[..]));
        assert_eq!(three.as_ptr().addr() - one.as_ptr().addr(), 3 + 2 * HEAD, "side by side as they came");
        assert_eq!(pool.stats().outstanding, BUFFER as u64);
        assert!(frames.next().await.unwrap().is_none());
        let start = three.as_ptr();
        assert_eq!(Bytes::from(three).as_ptr(), start);
    }

    #[test]
    fn the_decoder_takes_frames_as_they_come_byte_by_byte() {
        let pool = pool();
        let mut codec = FrameCodec::new(&pool);
        let (mut received, mut frames) = (BytesMut::new(), Vec::new());
        for byte in wire(&pool, &[b"one", b"", b"three"]) {
            received.put_u8(byte);
            frames.extend(codec.decode(&mut received).unwrap());
            assert!(received.len() < HEAD, "the runtime's buffer does not grow with the frame");
        }
        assert_eq!(frames, [&b"one"[..], b"", b"three"]);
        let start = frames[0].as_ptr();
        assert_eq!(Bytes::from(frames.remove(0)).as_ptr(), start);
    }

    #[tokio::test]
    async fn streams_that_end_within_a_frame_are_errors() {
        let pool = pool();
        let whole = wire(&pool, &[b"frame"]);
        for cut in 1..whole.len() {
            let error = Frames::new(&whole[..cut], &pool).next().await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::UnexpectedEof, "by hand, after {cut} bytes");
            let error = FramedRead::new(&whole[..cut], FrameCodec::new(&pool)).next().await.unwrap().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::UnexpectedEof, "decoded, after {cut} bytes");
        }
        assert_eq!(pool.stats().outstanding, 0);
    }

    #[tokio::test]
    async fn lengths_that_are_not_allowed_take_no_memory() {
        let pool = pool();
        let hostile = u32::MAX.to_be_bytes();
        let error = Frames::new(&hostile[..], &pool).next().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidData);
        let error = FramedRead::new(&hostile[..], FrameCodec::new(&pool)).next().await.unwrap().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidData);
        assert!(pool.stats().classes.iter().all(|class| class.size <= BUFFER as u64 || class.fresh == 0));
        // Allowed, and more than the pool has: its error, with the numbers.
        let narrow = BufferPool::builder().max_memory(BUFFER).build().unwrap();
        let long = (LONGEST as u32).to_be_bytes();
        let error = FramedRead::new(&long[..], FrameCodec::new(&narrow)).next().await.unwrap().unwrap_err();
        assert!(error.to_string().contains("1048576 bytes requested"), "{error}");
    }
}

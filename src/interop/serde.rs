//! `serde` 1: bytes out of a message into buffers of a pool, and back.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, SeqAccess, Visitor};
use serde::ser::{Serialize, Serializer};

use crate::{BufferPool, Capacity, PooledBuf, PooledBytes};

/// Room that is made because a message says that it has so many elements. What it has indeed makes more.
const BELIEVED: usize = 4096;

/// As bytes; in formats that have none, as JSON, a list of numbers.
impl Serialize for PooledBuf {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(self)
    }
}

/// As bytes; in formats that have none, as JSON, a list of numbers.
impl Serialize for PooledBytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(self)
    }
}

/// A pool is the seed of its buffers: bytes, a string or a list of numbers become one. [`freeze`](PooledBuf::freeze) it for
/// [`PooledBytes`].
///
/// What a message claims to contain takes no memory: that is got for what there is, and for a list of numbers as it comes.
///
/// # Errors
/// The format's; and where the pool refuses the memory, one with the text of the pool's [`Error`](crate::Error), with its
/// numbers. The buffer as far as it was filled goes home.
///
/// # Cost
/// A get and a copy of the bytes. A list of numbers grows the buffer step by step.
///
/// # Examples
///
/// ```
/// use millpond::BufferPool;
/// use serde::de::DeserializeSeed;
///
/// let pool = BufferPool::builder().max_memory(1 << 20).build()?;
/// let mut message = serde_json::Deserializer::from_str(r#""some text""#);
/// let text = pool.deserialize(&mut message)?;
/// assert_eq!(text, *b"some text");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
impl<'de> DeserializeSeed<'de> for &BufferPool {
    type Value = PooledBuf;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<PooledBuf, D::Error> {
        deserializer.deserialize_bytes(IntoPool(self))
    }
}

/// Bytes of a message in a buffer of the [shared](BufferPool::shared) pool, for `#[serde(deserialize_with)]`.
///
/// There is no `Deserialize`, which would take memory of a pool that nobody has named: who decodes what others send has a
/// pool with a limit, and gives it as the seed. Where the shared one will do, this says so at the field.
///
/// # Errors
/// As with a pool as the [seed](BufferPool#impl-DeserializeSeed<'de>-for-%26BufferPool).
///
/// # Examples
///
/// ```
/// use millpond::PooledBytes;
///
/// #[derive(serde::Serialize, serde::Deserialize)]
/// struct Message {
///     id: u32,
///     #[serde(deserialize_with = "millpond::serde::shared")]
///     body: PooledBytes,
/// }
///
/// let message: Message = serde_json::from_str(r#"{"id": 7, "body": "text"}"#)?;
/// assert_eq!(message.body, *b"text");
/// # Ok::<(), serde_json::Error>(())
/// ```
pub fn shared<'de, D: Deserializer<'de>, B: From<PooledBuf>>(deserializer: D) -> Result<B, D::Error> {
    BufferPool::shared().deserialize(deserializer).map(B::from)
}

/// Makes a buffer of the pool of whatever bytes there are.
struct IntoPool<'a>(&'a BufferPool);

impl IntoPool<'_> {
    fn copy<E: serde::de::Error>(self, bytes: &[u8]) -> Result<PooledBuf, E> {
        let mut buf = self.0.try_get(Capacity(bytes.len())).map_err(E::custom)?;
        buf.try_extend_from_slice(bytes).map_err(E::custom)?;
        Ok(buf)
    }
}

impl<'de> Visitor<'de> for IntoPool<'_> {
    type Value = PooledBuf;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("bytes")
    }

    fn visit_bytes<E: serde::de::Error>(self, bytes: &[u8]) -> Result<PooledBuf, E> {
        self.copy(bytes)
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<PooledBuf, E> {
        self.copy(text.as_bytes())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut numbers: A) -> Result<PooledBuf, A::Error> {
        let claimed = numbers.size_hint().unwrap_or(0);
        let mut buf = self.0.try_get(Capacity(claimed.min(BELIEVED))).map_err(A::Error::custom)?;
        while let Some(byte) = numbers.next_element()? {
            buf.try_extend_from_slice(&[byte]).map_err(A::Error::custom)?;
        }
        Ok(buf)
    }
}

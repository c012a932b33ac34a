//! Bytes out of messages of real formats, and of hostile ones.

use std::fmt;

use millpond::{BufferPool, PooledBuf, PooledBytes};
use serde::de::value::{Error as ValueError, SeqDeserializer};
use serde::de::{self, DeserializeSeed, Deserializer, SeqAccess, Visitor};
use serde::{Deserialize, Serialize, forward_to_deserialize_any};

fn content() -> Vec<u8> {
    (0..10_000).map(|at| (at % 253) as u8).collect()
}

/// A message with an id and bytes.
#[derive(Debug)]
struct Message {
    id: u32,
    body: PooledBytes,
}

/// Decodes a message into buffers of a pool.
struct FromPool<'a>(&'a BufferPool);

impl<'de> DeserializeSeed<'de> for FromPool<'_> {
    type Value = Message;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Message, D::Error> {
        deserializer.deserialize_tuple(2, self)
    }
}

impl<'de> Visitor<'de> for FromPool<'_> {
    type Value = Message;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a message")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut parts: A) -> Result<Message, A::Error> {
        let missing = || de::Error::custom("a part is missing");
        let id = parts.next_element()?.ok_or_else(missing)?;
        let body = parts.next_element_seed(self.0)?.ok_or_else(missing)?.freeze();
        Ok(Message { id, body })
    }
}

fn from_json(pool: &BufferPool, json: &str) -> serde_json::Result<PooledBuf> {
    let mut deserializer = serde_json::Deserializer::from_str(json);
    let buf = pool.deserialize(&mut deserializer)?;
    deserializer.end()?;
    Ok(buf)
}

#[test]
fn postcard_brings_bytes_back_as_they_were() {
    let pool = BufferPool::new();
    let wire = postcard::to_stdvec(&(7_u32, pool.copy_from(&content()))).unwrap();
    assert_eq!(wire.len(), 1 + 2 + 10_000, "bytes, and not a list of numbers");
    let mut deserializer = postcard::Deserializer::from_bytes(&wire);
    let message = FromPool(&pool).deserialize(&mut deserializer).unwrap();
    assert_eq!((message.id, &message.body[..]), (7, &content()[..]));
    assert_eq!(pool.stats().gets, 2);
    let again = postcard::to_stdvec(&(message.id, message.body.slice(..3))).unwrap();
    assert_eq!(again, [7, 3, 0, 1, 2]);
}

#[test]
fn json_has_lists_and_text() {
    let pool = BufferPool::new();
    let json = serde_json::to_string(&pool.copy_from(&content()).freeze()).unwrap();
    assert!(json.starts_with("[0,1,2,"));
    assert_eq!(from_json(&pool, &json).unwrap(), content());
    assert_eq!(from_json(&pool, r#""text""#).unwrap(), *b"text");
    assert_eq!(from_json(&pool, r#""with \"escapes\" \u00e9""#).unwrap(), *"with \"escapes\" é".as_bytes());
    assert_eq!(from_json(&pool, "[]").unwrap(), *b"");
    assert_eq!(from_json(&pool, r#""""#).unwrap(), *b"");
    assert_eq!(pool.stats().outstanding, 0);
}

#[test]
fn what_is_not_bytes_is_an_error_and_nothing_stays_out() {
    let pool = BufferPool::new();
    for (json, expected) in [
        ("7", "invalid type: integer `7`, expected bytes"),
        ("[1, 2, 300]", "invalid value: integer `300`, expected u8"),
        ("[1, 2, \"x\"]", "invalid type: string \"x\", expected u8"),
        ("{\"a\": 1}", "invalid type: map, expected bytes"),
        ("[1, 2", "EOF while parsing a list"),
    ] {
        let error = from_json(&pool, json).unwrap_err().to_string();
        assert!(error.contains(expected), "{json}: {error}");
    }
    assert_eq!(pool.stats().outstanding, 0);
}

#[test]
fn a_refusal_is_the_formats_error_with_the_numbers() {
    let pool = BufferPool::builder().size_classes([4096, 16384]).max_memory(8192).build().unwrap();
    let wire = postcard::to_stdvec(&serde_bytes_of(&content())).unwrap();
    let refused = pool.deserialize(&mut postcard::Deserializer::from_bytes(&wire)).unwrap_err();
    assert_eq!(refused, postcard::Error::SerdeDeCustom, "all that postcard says");
    let json = format!("{:?}", content());
    let refused = from_json(&pool, &json).unwrap_err().to_string();
    assert!(refused.starts_with("16384 bytes requested with 4096 left of a budget of 8192 bytes"), "{refused}");
    let refused = from_json(&pool, &format!("{:?}", "x".repeat(10_000))).unwrap_err().to_string();
    assert!(refused.starts_with("16384 bytes requested with"), "{refused}");
    assert_eq!(pool.stats().outstanding, 0);
    assert_eq!(from_json(&pool, "[1, 2]").unwrap(), [1, 2], "and goes on");
}

/// Bytes, for a format that tells them from lists.
fn serde_bytes_of(bytes: &[u8]) -> impl Serialize {
    PooledBytes::from(BufferPool::shared().copy_from(bytes))
}

/// Claims to have as many numbers as can be.
struct Boaster(std::vec::IntoIter<u8>);

impl Iterator for Boaster {
    type Item = u8;

    fn next(&mut self) -> Option<u8> {
        self.0.next()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (usize::MAX >> 1, Some(usize::MAX >> 1))
    }
}

/// A format that has nothing but such lists.
struct Hostile(Vec<u8>);

impl<'de> Deserializer<'de> for Hostile {
    type Error = ValueError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ValueError> {
        visitor.visit_seq(SeqDeserializer::new(Boaster(self.0.into_iter())))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 u8 u16 u32 u64 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}

#[test]
fn claims_take_no_memory() {
    let pool = BufferPool::new();
    let buf = pool.deserialize(Hostile(vec![1, 2, 3])).unwrap();
    assert_eq!((&buf[..], buf.capacity()), (&[1, 2, 3][..], 4096));
    drop(buf);
    assert_eq!(pool.deserialize(Hostile(content())).unwrap(), content(), "what there is comes");
    // A length on the wire with nothing behind it.
    let error = pool.deserialize(&mut postcard::Deserializer::from_bytes(&[0xff, 0xff, 0xff, 0xff, 0x0f])).unwrap_err();
    assert_eq!(error, postcard::Error::DeserializeUnexpectedEnd);
    let most = pool.stats().classes.iter().filter(|class| class.fresh > 0).map(|class| class.size).max().unwrap();
    assert!(most <= 16384, "a buffer of {most} bytes was made");
}

#[test]
fn fields_may_name_the_shared_pool() {
    #[derive(Serialize, Deserialize)]
    struct Named {
        #[serde(deserialize_with = "millpond::serde::shared")]
        frozen: PooledBytes,
        #[serde(deserialize_with = "millpond::serde::shared")]
        unique: PooledBuf,
    }
    let before = BufferPool::shared().stats().gets;
    let named: Named = serde_json::from_str(r#"{"frozen": "one", "unique": [2]}"#).unwrap();
    assert_eq!((&named.frozen[..], &named.unique[..]), (&b"one"[..], &[2][..]));
    assert!(BufferPool::shared().stats().gets >= before + 2);
    let wire = postcard::to_stdvec(&named).unwrap();
    assert_eq!(wire, [3, b'o', b'n', b'e', 1, 2]);
    let named: Named = postcard::from_bytes(&wire).unwrap();
    assert_eq!((&named.frozen[..], &named.unique[..]), (&b"one"[..], &[2][..]));
}

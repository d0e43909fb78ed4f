//! The JSON object a message may carry: coordinates, a battle report, a gift.
//!
//! It is kept as the client wrote it, byte for byte, so numbers keep their digits; only strings that the
//! filter masks change. Parsing it into values and back would round `12345678901234567890`.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;
use std::ops::Range;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use guildhall_base::error::{Error, Result};

/// Bytes of a payload as the client wrote it.
pub const MAX_PAYLOAD_BYTES: usize = 8 * 1024;
/// Objects and lists inside each other.
const MAX_DEPTH: u8 = 16;

/// A JSON object of at most 8 KiB and 16 levels, without NUL and without repeated keys.
#[derive(Clone)]
pub struct Payload(String);

/// A string inside a payload.
pub struct Piece<'a> {
    /// The string's text, unescaped.
    pub text: Cow<'a, str>,
    /// An object's key rather than a value.
    pub is_key: bool,
}

impl Payload {
    /// The JSON text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The same, as JSON to put into JSON.
    ///
    /// # Errors
    /// Never: it was checked when it was read.
    pub fn raw(&self) -> Result<&RawValue> {
        serde_json::from_str(&self.0).map_err(Error::internal)
    }

    /// Calls `see` for every string, keys included, in their order.
    pub fn each(&self, mut see: impl FnMut(Piece<'_>)) {
        let json = &self.0;
        let mut at = 0;
        while let Some(start) = json[at..].find('"').map(|offset| at + offset) {
            at = end_of_string(json, start);
            see(Piece::of(json, start..at));
        }
    }

    /// Calls `replace` for every string, keys included; what it returns takes the string's place.
    ///
    /// # Errors
    /// The first error that `replace` returns.
    pub fn rewrite<E>(
        &self,
        mut replace: impl FnMut(Piece<'_>) -> Result<Option<String>, E>,
    ) -> Result<Self, E> {
        let json = &self.0;
        let mut out = String::with_capacity(json.len());
        let mut at = 0;
        while let Some(start) = json[at..].find('"').map(|offset| at + offset) {
            let end = end_of_string(json, start);
            out.push_str(&json[at..start]);
            match replace(Piece::of(json, start..end))? {
                Some(new) => out.push_str(&serde_json::Value::String(new).to_string()),
                None => out.push_str(&json[start..end]),
            }
            at = end;
        }
        out.push_str(&json[at..]);
        Ok(Self(out))
    }
}

impl<'a> Piece<'a> {
    fn of(json: &'a str, literal: Range<usize>) -> Self {
        let is_key = json[literal.end..].trim_start().starts_with(':');
        Self { text: unescape(&json[literal]), is_key }
    }
}

/// Returns the end of the string literal that starts at `start`, its closing quote included.
fn end_of_string(json: &str, start: usize) -> usize {
    let bytes = json.as_bytes();
    let mut at = start + 1;
    while bytes[at] != b'"' {
        at += if bytes[at] == b'\\' { 2 } else { 1 };
    }
    at + 1
}

fn unescape(literal: &str) -> Cow<'_, str> {
    if literal.contains('\\') {
        Cow::Owned(serde_json::from_str(literal).expect("a checked payload holds valid strings"))
    } else {
        Cow::Borrowed(&literal[1..literal.len() - 1])
    }
}

/// Logs show its size only.
impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<{} bytes>", self.0.len())
    }
}

impl<'de> Deserialize<'de> for Payload {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = <&RawValue>::deserialize(deserializer)?;
        let json = raw.get();
        if json.len() > MAX_PAYLOAD_BYTES {
            return Err(de::Error::custom(format!("a payload is at most {MAX_PAYLOAD_BYTES} bytes")));
        }
        if !json.starts_with('{') {
            return Err(de::Error::custom("a payload is a JSON object"));
        }
        let mut parser = serde_json::Deserializer::from_str(json);
        Checked { depth: 0 }
            .deserialize(&mut parser)
            .map_err(|error| de::Error::custom(format!("payload: {error}")))?;
        Ok(Self(json.to_owned()))
    }
}

impl JsonSchema for Payload {
    fn schema_name() -> Cow<'static, str> {
        "Payload".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "object",
            "propertyNames": { "pattern": WITHOUT_NUL },
            "additionalProperties": true,
            "description": "any JSON object of at most 8 KiB and 16 levels, whose strings have no NUL character; they are filtered like text",
        })
    }
}

const WITHOUT_NUL: &str = "^[^\\u0000]*$";

/// Walks a value and keeps nothing: fails on what a payload may not hold.
#[derive(Clone, Copy)]
struct Checked {
    depth: u8,
}

impl Checked {
    fn deeper<E: de::Error>(self) -> Result<Self, E> {
        if self.depth == MAX_DEPTH {
            return Err(E::custom(format!("nested deeper than {MAX_DEPTH} levels")));
        }
        Ok(Self { depth: self.depth + 1 })
    }
}

impl<'de> DeserializeSeed<'de> for Checked {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Checked {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }
    fn visit_unit<E: de::Error>(self) -> Result<(), E> {
        Ok(())
    }
    fn visit_bool<E: de::Error>(self, _: bool) -> Result<(), E> {
        Ok(())
    }
    fn visit_i64<E: de::Error>(self, _: i64) -> Result<(), E> {
        Ok(())
    }
    fn visit_u64<E: de::Error>(self, _: u64) -> Result<(), E> {
        Ok(())
    }
    fn visit_f64<E: de::Error>(self, _: f64) -> Result<(), E> {
        Ok(())
    }
    fn visit_str<E: de::Error>(self, text: &str) -> Result<(), E> {
        if text.contains('\0') { Err(E::custom("holds a NUL character")) } else { Ok(()) }
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        let inner = self.deeper()?;
        while list.next_element_seed(inner)?.is_some() {}
        Ok(())
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let inner = self.deeper()?;
        let mut keys = HashSet::new();
        while let Some(key) = map.next_key::<Cow<'de, str>>()? {
            inner.visit_str::<A::Error>(&key)?;
            map.next_value_seed(inner)?;
            if !keys.insert(key) {
                return Err(de::Error::custom("repeats a key"));
            }
        }
        Ok(())
    }
}

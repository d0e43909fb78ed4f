//! Ids and values that were checked when they were read: what holds one of these never checks again.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use guildhall_base::clock::Millis;
use guildhall_filter::display::shows_something;

mod kind;
mod rank;

pub use kind::{Kind, Role, Settings};
pub use rank::Keep;

/// The largest whole number that every JSON reader keeps exact (2^53 - 1).
pub const MAX_EXACT: i64 = 9_007_199_254_740_991;
/// Bytes in a message's text.
pub const MAX_TEXT_BYTES: usize = 2_000;
/// Players mentioned in one message.
pub const MAX_MENTIONS: usize = 20;
/// Members named in one call.
pub const MAX_MEMBERS: usize = 1_000;
/// Channels in one sync.
pub const MAX_SYNC_CHANNELS: usize = 100;

/// A string type with a rule: `parse` is the only way in.
macro_rules! checked_string {
    ($(#[$doc:meta])* $name:ident, max $max:expr, pattern $pattern:expr, $rule:expr, $says:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "Cow<'_, str>")]
        pub struct $name(String);

        impl $name {
            /// Checks the rule.
            ///
            /// # Errors
            /// A sentence that says the rule.
            pub fn parse(value: impl Into<String>) -> Result<Self, &'static str> {
                let value = value.into();
                let rule: fn(&str) -> bool = $rule;
                if value.len() <= $max && rule(&value) { Ok(Self(value)) } else { Err($says) }
            }

            /// The value as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<Cow<'_, str>> for $name {
            type Error = &'static str;
            fn try_from(value: Cow<'_, str>) -> Result<Self, &'static str> {
                Self::parse(value)
            }
        }

        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }
            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({
                    "type": "string", "minLength": 1, "maxLength": $max, "pattern": $pattern, "description": $says,
                })
            }
        }
    };
}

/// Returns true for letters, digits and `. _ : @ -`, which an id may hold, so that it needs no escaping in a URL or a
/// log.
fn is_id(value: &str) -> bool {
    !value.is_empty() && value.bytes().all(|b| b.is_ascii_alphanumeric() || b"._:@-".contains(&b))
}

fn is_plain_text(value: &str) -> bool {
    !value.is_empty() && !value.contains('\0')
}

const ID_PATTERN: &str = "^[A-Za-z0-9._:@-]+$";
const PLAIN_PATTERN: &str = "^[^\\u0000]+$";

checked_string!(
    /// Names a channel.
    ChannelId, max 64, pattern ID_PATTERN, is_id,
    "a channel id is 1 to 64 letters, digits or . _ : @ -"
);
checked_string!(
    /// Names a player, as the game's own server does in the token's `sub`.
    PlayerId, max 64, pattern ID_PATTERN, is_id,
    "a player id is 1 to 64 letters, digits or . _ : @ -"
);
checked_string!(
    /// A name to show: a player's or a channel's.
    Name, max 128, pattern PLAIN_PATTERN, is_plain_text,
    "a name is 1 to 128 bytes of UTF-8 without NUL"
);
checked_string!(
    /// The client's own id for a send.
    Nonce, max 64, pattern PLAIN_PATTERN, is_plain_text,
    "a nonce is 1 to 64 bytes of UTF-8 without NUL"
);
checked_string!(
    /// Text that a player writes.
    Text, max MAX_TEXT_BYTES, pattern PLAIN_PATTERN, |text| is_plain_text(text) && shows_something(text),
    "a text is 1 to 2000 bytes of UTF-8 without NUL, and shows something"
);

checked_string!(
    /// Names a sanction, a report, a case or an appeal.
    RecordId, max 64, pattern ID_PATTERN, is_id,
    "an id is 1 to 64 letters, digits or . _ : @ -"
);
checked_string!(
    /// Place where a sanction holds: everywhere, in all channels of a kind, or in one channel.
    Place, max 72, pattern "^(everywhere|kind:(world|guild|party|direct)|channel:[A-Za-z0-9._:@-]{1,64})$", is_place,
    "where is everywhere, kind:world (or guild, party, direct) or channel:ID"
);

/// Channels of the game itself and of its support are nobody's to be kept from.
fn is_place(value: &str) -> bool {
    match value.split_once(':') {
        None => value == "everywhere",
        Some(("kind", kind)) => Kind::from_word(kind).is_some_and(Kind::has_sanctions),
        Some(("channel", id)) => is_id(id) && id.len() <= 64,
        Some(_) => false,
    }
}

checked_string!(
    /// Cursor of an inbox: a time and a channel where a page ended, as that page said.
    InboxCursor, max 90, pattern "^[0-9]{1,15}:[A-Za-z0-9._:@-]+$", is_inbox_cursor,
    "a cursor is what `next` of the page before said"
);

fn is_inbox_cursor(value: &str) -> bool {
    value.split_once(':').is_some_and(|(at, id)| {
        (1..=15).contains(&at.len()) && at.bytes().all(|b| b.is_ascii_digit()) && is_id(id)
    })
}

impl InboxCursor {
    /// Behind this channel.
    pub fn behind(last_at: Millis, id: &str) -> Self {
        Self(format!("{last_at}:{id}"))
    }

    /// The time, and the channel's id.
    pub fn parts(&self) -> (Millis, &str) {
        let (at, id) = self.0.split_once(':').unwrap_or(("0", &self.0));
        (at.parse().unwrap_or_default(), id)
    }
}

macro_rules! debug_as_str {
    ($($name:ident),*) => {$(
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    )*};
}
debug_as_str!(ChannelId, PlayerId, Name, Nonce, RecordId, Place, InboxCursor);

/// Logs show what somebody said only where the operator asks for it: `GUILDHALL_LOG=info,guildhall::text=debug`.
impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if tracing::enabled!(target: "guildhall::text", tracing::Level::DEBUG) {
            fmt::Debug::fmt(&self.0, f)
        } else {
            write!(f, "<{} bytes>", self.0.len())
        }
    }
}

/// A whole-number type with bounds.
macro_rules! checked_number {
    ($(#[$doc:meta])* $name:ident, $min:expr, $max:expr, $says:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
        pub struct $name(i64);

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let number = deserializer.deserialize_i64(WholeNumber)?;
                Self::try_from(number).map_err(de::Error::custom)
            }
        }

        impl $name {
            /// The number.
            pub const fn get(self) -> i64 {
                self.0
            }
        }

        impl TryFrom<i64> for $name {
            type Error = &'static str;
            fn try_from(value: i64) -> Result<Self, &'static str> {
                if ($min..=$max).contains(&value) { Ok(Self(value)) } else { Err($says) }
            }
        }

        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }
            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "type": "integer", "minimum": $min, "maximum": $max, "description": $says })
            }
        }
    };
}

/// Reads whole numbers, also those that are written as `3.0`: some writers of JSON know one kind of number alone, and JSON
/// Schema takes both for the same.
struct WholeNumber;

impl Visitor<'_> for WholeNumber {
    type Value = i64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a whole number")
    }
    fn visit_i64<E: de::Error>(self, number: i64) -> Result<i64, E> {
        Ok(number)
    }
    fn visit_u64<E: de::Error>(self, number: u64) -> Result<i64, E> {
        i64::try_from(number).map_err(|_| E::custom("a number that is too large"))
    }
    fn visit_f64<E: de::Error>(self, number: f64) -> Result<i64, E> {
        if number.fract() == 0.0 && number.abs() <= MAX_EXACT as f64 {
            Ok(number as i64)
        } else {
            Err(E::invalid_value(de::Unexpected::Float(number), &self))
        }
    }
}

checked_number!(
    /// A message's number in its channel.
    Seq, 1, MAX_EXACT, "a seq is a whole number from 1"
);
checked_number!(
    /// A place between messages: "after 7" means that 7 has been seen; 0 is before the first.
    Cursor, 0, MAX_EXACT, "a cursor is a whole number from 0"
);
checked_number!(
    /// A moment: milliseconds since 1970-01-01 UTC.
    Time, 0, MAX_EXACT, "a time is a whole number of milliseconds since 1970-01-01 UTC"
);
checked_number!(
    /// Number of entries that a page holds at most.
    PageSize, 1, 100, "limit is a whole number from 1 to 100"
);
checked_number!(
    /// A number of seconds, a day at most.
    #[derive(Default)]
    Seconds, 0, 86_400, "seconds are a whole number from 0 to 86400"
);
checked_number!(
    /// Seconds for which a sanction holds: ten years at most.
    SanctionSeconds, 1, 315_360_000, "seconds are a whole number from 1 to 315360000"
);
checked_number!(
    /// A value on a board.
    RankValue, -MAX_EXACT, MAX_EXACT, "a value is a whole number of at most 53 bits"
);
checked_number!(
    /// A player's level in the game.
    #[derive(Default)]
    Level, 0, 1_000_000, "a level is a whole number from 0 to 1000000"
);

mod reaching;

pub use reaching::{DeviceToken, Language, ShowSeconds};

impl PageSize {
    /// The largest.
    pub const MAX: Self = Self(100);

    /// Returns the number of rows to ask for: one more than is shown tells whether there are more.
    pub const fn and_one(self) -> i64 {
        self.0 + 1
    }

    /// A page of what came, and where the next one begins: behind the last row, if more came than are shown.
    pub fn page<T, P>(self, mut rows: Vec<T>, place: impl FnOnce(&T) -> P) -> (Vec<T>, Option<P>) {
        let more = rows.len() as i64 > self.0;
        rows.truncate(self.0 as usize);
        let next = rows.last().filter(|_| more).map(place);
        (rows, next)
    }
}

impl Default for PageSize {
    fn default() -> Self {
        Self(50)
    }
}

/// At most `count` in any `window_ms`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// Number allowed in a window.
    pub count: usize,
    /// Length of the window in milliseconds.
    pub window_ms: Millis,
}

/// Removes repeats and sorts, so that the same set is the same list.
pub fn as_set(mut ids: Vec<PlayerId>) -> Vec<PlayerId> {
    ids.sort();
    ids.dedup();
    ids
}

/// A list that holds at most `MAX` entries.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<T>", bound(deserialize = "T: Deserialize<'de>"))]
pub struct Few<T, const MAX: usize>(Vec<T>);

/// As the log shows it: a poll of a hundred channels would be a page, and is paid for by the byte.
impl<T: fmt::Debug, const MAX: usize> fmt::Debug for Few<T, MAX> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 3;
        let mut list = f.debug_list();
        list.entries(self.0.iter().take(SHOWN));
        if self.0.len() > SHOWN {
            list.entry(&format_args!("{} in all", self.0.len()));
        }
        list.finish()
    }
}

impl<T, const MAX: usize> Few<T, MAX> {
    /// The list.
    pub fn into_vec(self) -> Vec<T> {
        self.0
    }
}

impl<T, const MAX: usize> Default for Few<T, MAX> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T, const MAX: usize> TryFrom<Vec<T>> for Few<T, MAX> {
    type Error = String;
    fn try_from(list: Vec<T>) -> Result<Self, String> {
        if list.len() <= MAX { Ok(Self(list)) } else { Err(format!("a list here holds at most {MAX}")) }
    }
}

impl<T: JsonSchema, const MAX: usize> JsonSchema for Few<T, MAX> {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        format!("UpTo{MAX}{}", T::schema_name()).into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "array", "maxItems": MAX, "items": generator.subschema_for::<T>() })
    }
}

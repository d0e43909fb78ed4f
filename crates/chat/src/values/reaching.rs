//! What it takes to reach many, and those who are away: languages, devices, and how long something is shown.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de;
use serde::{Deserialize, Deserializer, Serialize};

use super::WholeNumber;

checked_string!(
    /// A push service's token for a device. Never shown.
    DeviceToken, max 2_048, pattern "^[!-~]+$", |token| !token.is_empty() && token.bytes().all(|b| b.is_ascii_graphic()),
    "a token is 1 to 2048 printable ASCII characters"
);

impl fmt::Debug for DeviceToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<token>")
    }
}

checked_string!(
    /// A language, as BCP 47 writes it: `en`, `zh-CN`.
    Language, max 35, pattern "^[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*$", is_language,
    "a language is a tag such as en or zh-CN"
);

fn is_language(value: &str) -> bool {
    let mut parts = value.split('-');
    let fits = |part: &str| (1..=8).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_alphanumeric());
    parts
        .next()
        .is_some_and(|first| first.len() > 1 && fits(first) && first.bytes().all(|b| b.is_ascii_alphabetic()))
        && parts.all(fits)
}

debug_as_str!(Language);

checked_number!(
    /// Seconds for which an announcement is shown: 90 days at most.
    ShowSeconds, 1, 7_776_000, "seconds are a whole number from 1 to 7776000"
);

impl Default for ShowSeconds {
    /// A week.
    fn default() -> Self {
        Self(604_800)
    }
}

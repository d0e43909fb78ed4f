//! What a send carries: as its sender wrote it, and as others will see it.

use serde::Serialize;

use crate::payload::Payload;
use crate::values::{ChannelId, Nonce, PlayerId, Text};

/// A send as the client wrote it.
#[derive(Clone, Debug)]
pub struct NewMessage {
    /// Channel to send to.
    pub channel: ChannelId,
    /// Text as the client wrote it.
    pub text: Text,
    /// An object beside it.
    pub payload: Option<Payload>,
    /// Players it calls by name, each once.
    pub mentions: Vec<PlayerId>,
    /// The client's own id for it.
    pub nonce: Option<Nonce>,
}

impl NewMessage {
    /// Returns the number of bytes to filter.
    pub fn bytes(&self) -> usize {
        self.text.as_str().len() + self.payload.as_ref().map_or(0, |payload| payload.as_str().len())
    }
}

/// A send as others will see it.
#[derive(Debug)]
pub struct Screened {
    /// The sender's name.
    pub name: String,
    /// The text, with blocked words masked.
    pub text: String,
    /// The payload's JSON, with blocked words masked.
    pub payload: Option<String>,
    /// Was anything masked?
    pub masked: bool,
    /// The version of the wordlist that judged it; none where nothing did.
    pub wordlist: Option<String>,
    /// Is a moderator to look at it?
    pub review: bool,
    /// The entries that hit.
    pub hits: Vec<Hit>,
}

/// An entry of the wordlist that hit something; once, however often it did.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Hit {
    /// The list it is on.
    pub category: String,
    /// As the planner wrote it.
    pub entry: String,
}

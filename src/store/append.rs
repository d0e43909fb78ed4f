//! Saying something: what a send carries, and what comes of it.
//!
//! The number is given inside the transaction that stores the message, from a counter on the channel's row, so
//! the order of numbers is the order of commits, and a reader that asks for "after N" misses nothing.

use sha2::{Digest, Sha256};

use super::message::{self, Stored};
use super::outbox::FollowUp;
use super::sql::values;
use super::wordlist_hit::Hit;
use super::{Db, Pools, batch};
use crate::config::SendLimit;
use crate::domain::{ChannelId, Nonce, PlayerId, Text};
use crate::error::{Error, Result};
use crate::payload::Payload;
use crate::random;
use crate::token::Identity;

/// A send as the client wrote it.
#[derive(Clone, Debug)]
pub struct Said {
    /// Where.
    pub channel: ChannelId,
    /// What.
    pub text: Text,
    /// An object beside it.
    pub payload: Option<Payload>,
    /// Players it calls by name, each once.
    pub mentions: Vec<PlayerId>,
    /// The client's own id for it.
    pub nonce: Option<Nonce>,
}

impl Said {
    /// A hash of the content: the same nonce with another hash is a conflict. The wordlist plays no part in it.
    pub(super) fn digest(&self) -> String {
        let mut hash = Sha256::new();
        let mut part = |bytes: &[u8]| {
            hash.update((bytes.len() as u64).to_le_bytes());
            hash.update(bytes);
        };
        part(self.text.as_str().as_bytes());
        part(self.payload.as_ref().map_or(b"".as_slice(), |payload| payload.as_str().as_bytes()));
        self.mentions.iter().for_each(|player| part(player.as_str().as_bytes()));
        random::to_hex(&hash.finalize()[..16])
    }
}

/// What others will see of it.
#[derive(Debug)]
pub struct Shown {
    /// The text, with blocked words masked.
    pub text: String,
    /// The payload's JSON, with blocked words masked.
    pub payload: Option<String>,
    /// Was anything masked?
    pub masked: bool,
    /// The version of the wordlist that judged it; none where nothing did.
    pub wordlist: Option<String>,
    /// The entries that hit.
    pub hits: Vec<Hit>,
}

/// A send that is ready to be stored.
#[derive(Debug)]
pub struct Draft {
    /// As it came.
    pub said: Said,
    /// As it will be seen.
    pub shown: Shown,
    /// Who says it.
    pub sender: Identity,
    /// The limit that this sender is held to.
    pub limit: Option<SendLimit>,
    /// Tasks that are stored with it.
    pub follow_ups: Vec<FollowUp>,
}

/// A draft on its way to the disk.
pub(super) struct Pending {
    pub(super) draft: Draft,
    /// A nonce of ours, where the client gave none: after a broken connection, it tells whether the message is stored.
    own_nonce: Option<String>,
    /// Whose the tasks are that it causes.
    pub(super) stage: &'static str,
}

impl Pending {
    pub(super) fn nonce(&self) -> Option<&str> {
        self.draft.said.nonce.as_ref().map(Nonce::as_str).or(self.own_nonce.as_deref())
    }

    fn new(db: &Db, draft: Draft) -> Self {
        let wanted = draft.said.nonce.is_none() && matches!(db.pools, Pools::Postgres(_));
        // Longer than any that a client may give.
        let own_nonce = wanted.then(|| format!("own:{:0>64}", random::id()));
        Self { draft, own_nonce, stage: db.stage }
    }
}

/// What came of a send.
#[derive(Debug)]
pub struct Sent {
    /// The message as everybody sees it.
    pub message: Stored,
    /// It was stored by an earlier send with the same nonce.
    pub replayed: bool,
}

/// Where a message lies that an earlier send with the same nonce stored.
#[derive(Debug)]
pub(super) struct Earlier {
    pub(super) channel_key: i64,
    pub(super) seq: i64,
}

/// Stores a message and answers once it is on disk, or finds what the same nonce stored before.
///
/// # Errors
/// A [`crate::speaking::Refusal`], [`Error::Conflict`] for a nonce used with other content, [`Error::Unavailable`]
/// where the database can't answer now.
pub async fn append(db: &Db, draft: Draft) -> Result<Sent> {
    let named = draft.said.nonce.is_some();
    if !draft.follow_ups.is_empty() {
        db.note_enqueued();
    }
    match db.sends.append(Pending::new(db, draft)).await? {
        batch::Outcome::Stored(message) => Ok(Sent { message, replayed: false }),
        batch::Outcome::Replayed(earlier) => {
            let sent = replay(db, earlier).await?;
            Ok(Sent { replayed: named, ..sent })
        }
    }
}

/// What the same nonce stored before, if it did; for a send that would be refused today.
///
/// # Errors
/// [`Error::Conflict`] for a nonce used with other content.
pub async fn earlier(db: &Db, said: &Said, sender: &PlayerId) -> Result<Option<Sent>> {
    let Some(nonce) = &said.nonce else { return Ok(None) };
    let found: Option<(i64, i64, String)> = db
        .optional(
            "SELECT m.channel_key, m.seq, m.digest FROM channel c JOIN message m ON m.channel_key = c.key
             WHERE c.id = $1 AND m.sender_id = $2 AND m.nonce = $3",
            values![said.channel.as_str(), sender.as_str(), nonce.as_str()],
        )
        .await?;
    match found {
        None => Ok(None),
        Some((_, _, digest)) if digest != said.digest() => Err(nonce_conflict()),
        Some((channel_key, seq, _)) => replay(db, Earlier { channel_key, seq }).await.map(Some),
    }
}

async fn replay(db: &Db, at: Earlier) -> Result<Sent> {
    let message = message::by_key(db, at.channel_key, at.seq).await?;
    Ok(Sent { message, replayed: true })
}

pub(super) fn nonce_conflict() -> Error {
    Error::Conflict("this nonce was used for another message".into())
}

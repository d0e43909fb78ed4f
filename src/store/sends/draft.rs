//! A send on its way to the disk: what is to be stored, and where an earlier send with its nonce lies.

use sha2::{Digest, Sha256};

use crate::base::error::Error;
use crate::base::random;
use crate::chat::identity::Identity;
use crate::chat::said::{NewMessage, Screened};
use crate::chat::values::{Limit, Nonce};
use crate::store::Db;
use crate::store::message::MessageKind;
use crate::store::outbox::FollowUp;

/// A send that is ready to be stored.
#[derive(Debug)]
pub struct Draft {
    /// Somebody's word, or the game's own.
    pub kind: MessageKind,
    /// As it came.
    pub said: NewMessage,
    /// As it will be seen.
    pub shown: Screened,
    /// Sender of the message.
    pub sender: Identity,
    /// The limit that this sender is held to.
    pub limit: Option<Limit>,
    /// Tasks that are stored with it.
    pub follow_ups: Vec<FollowUp>,
}

/// A draft that waits for its commit.
pub(in crate::store) struct Pending {
    pub(in crate::store) draft: Draft,
    /// A nonce of ours, where the client gave none: after a broken connection, it tells whether the message is stored, and by
    /// its index all is found that somebody said in a channel.
    own_nonce: Option<String>,
    /// Key of the sender, under which their messages are stored.
    pub(in crate::store) sender_key: String,
    /// Stage of the tasks that it causes.
    pub(in crate::store) stage: &'static str,
}

impl Pending {
    pub(in crate::store) fn nonce(&self) -> Option<&str> {
        self.draft.said.nonce.as_ref().map(Nonce::as_str).or(self.own_nonce.as_deref())
    }

    pub(in crate::store) fn new(db: &Db, draft: Draft) -> Self {
        // One that nobody can guess, so that no client gives the same.
        let own_nonce = draft.said.nonce.is_none().then(random::id);
        let sender_key = draft.sender.key().into_owned();
        Self { draft, own_nonce, sender_key, stage: db.stage }
    }
}

/// Place of a message that an earlier send with the same nonce stored.
#[derive(Debug)]
pub(in crate::store) struct Earlier {
    pub(in crate::store) channel_key: i64,
    pub(in crate::store) seq: i64,
}

/// A hash of the content: the same nonce with another hash is a conflict. The wordlist plays no part in it.
pub(in crate::store) fn digest(said: &NewMessage) -> String {
    let mut hash = Sha256::new();
    let mut part = |bytes: &[u8]| {
        hash.update((bytes.len() as u64).to_le_bytes());
        hash.update(bytes);
    };
    part(said.text.as_str().as_bytes());
    part(said.payload.as_ref().map_or(b"".as_slice(), |payload| payload.as_str().as_bytes()));
    said.mentions.iter().for_each(|player| part(player.as_str().as_bytes()));
    random::to_hex(&hash.finalize()[..16])
}

pub(in crate::store) fn nonce_conflict() -> Error {
    Error::Conflict("this nonce was used for another message".into())
}

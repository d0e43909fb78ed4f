//! Saying something: stored once, numbered without gaps, in one commit with others.
//!
//! The number is given inside the transaction that stores the message, from a counter on the channel's row, so
//! the order of numbers is the order of commits, and a reader that asks for "after N" misses nothing.
//!
//! [`append`] puts a draft into the queue of the `writer`, which takes up to 64 at a time. `decide` says what becomes of
//! each by itself; `postgres` and `sqlite` fetch the facts for that, and write what was decided; `one_pass` is how `PostgreSQL` writes most.

use crate::base::error::Result;
use crate::chat::identity::Identity;
use crate::chat::said::NewMessage;
use crate::store::Db;
use crate::store::engine::sql::values;
use crate::store::message::{self, Stored};

mod decide;
mod draft;
mod facts;
mod known;
mod one_pass;
mod postgres;
mod rows;
mod sqlite;
pub(in crate::store) mod writer;

use crate::store::life::{Erased, Exported, Kept, Life};
pub use draft::Draft;
use draft::{Earlier, Pending, digest, nonce_conflict};
pub(in crate::store) use known::Known;

/// Result of a send.
#[derive(Debug)]
pub struct Sent {
    /// The message as everybody sees it.
    pub message: Stored,
    /// True if an earlier send with the same nonce stored the message.
    pub replayed: bool,
}

/// Stores a message and answers once it is on disk, or finds what the same nonce stored before.
///
/// # Errors
/// A [`crate::chat::rights::Refusal`], [`Conflict`](crate::base::error::Error::Conflict) for a nonce used with other content, [`Unavailable`](crate::base::error::Error::Unavailable)
/// where the database can't answer now.
pub async fn append(db: &Db, draft: Draft) -> Result<Sent> {
    let named = draft.said.nonce.is_some();
    if !draft.follow_ups.is_empty() {
        db.note_enqueued();
    }
    match db.sends.append(Pending::new(db, draft)).await? {
        decide::Outcome::Stored { message, .. } => Ok(Sent { message, replayed: false }),
        decide::Outcome::Replayed(earlier) => {
            let sent = replay(db, earlier).await?;
            Ok(Sent { replayed: named, ..sent })
        }
    }
}

/// Returns the message that the same nonce stored before, if it did; for a send that would be refused today.
///
/// # Errors
/// [`Conflict`](crate::base::error::Error::Conflict) for a nonce used with other content.
pub async fn earlier(db: &Db, said: &NewMessage, sender: &Identity) -> Result<Option<Sent>> {
    let Some(nonce) = &said.nonce else { return Ok(None) };
    let found: Option<(i64, i64, String)> = db
        .optional(
            "SELECT m.channel_key, m.seq, m.digest FROM channel c JOIN message m ON m.channel_key = c.key
             WHERE c.id = $1 AND m.sender_id = $2 AND m.nonce = $3",
            values![said.channel.as_str(), &*sender.key(), nonce.as_str()],
        )
        .await?;
    match found {
        None => Ok(None),
        Some((_, _, stored)) if stored != digest(said) => Err(nonce_conflict()),
        Some((channel_key, seq, _)) => replay(db, Earlier { channel_key, seq }).await.map(Some),
    }
}

async fn replay(db: &Db, at: Earlier) -> Result<Sent> {
    let message = message::entry_of(db, at.channel_key, at.seq).await?;
    Ok(Sent { message, replayed: true })
}

/// Retention, export and erasure rules of players' paces: the times of their last few sends.
pub(super) const PACE: Life = Life {
    table: "pace",
    kept: Kept::Until("until the player is forgotten"),
    exported: Exported::No("times of the last few sends"),
    erased: &[Erased::By("DELETE FROM pace WHERE player_id = $1")],
    stays: &[],
};

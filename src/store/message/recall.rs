//! Taking a message back: an entry about an entry.

use serde_json::json;
use sqlx::FromRow;

use super::{Message, MessageKind, Sender, Stored, Written, by_key};
use crate::base::clock::Millis;
use crate::base::error::{Error, Result};
use crate::chat::identity::Identity;
use crate::store::channel::Channel;
use crate::store::engine::sql::{Sql, Tx, by_dialect, values};
use crate::store::moderation::audit::{self, Entry};
use crate::store::{Db, json};

/// A message that somebody said, as [`recall`] reads it.
#[derive(FromRow)]
struct Said {
    sender_id: String,
    sent_at: Millis,
    shown: String,
    /// The entry that took it back, if there is one.
    recalled_by: Option<i64>,
}

/// Takes a message back: its text and payload go, and an entry that says so comes. Doing it again finds that entry.
///
/// # Errors
/// [`Error::NotFound`] where nothing was said under that number, [`Error::Forbidden`] where it is another's, or
/// older than `window_ms` and the caller is no moderator.
pub async fn recall(
    db: &Db,
    channel: &Channel,
    seq: i64,
    by: &Identity,
    window_ms: Millis,
) -> Result<Stored> {
    let now = db.now().await?;
    let mut tx = db.begin().await?;
    tx.lock_channel(channel.key).await?;
    let said = said(&mut tx, channel, seq).await?.ok_or(Error::NotFound("message"))?;
    let forbidden = |reason, message: &str| Err(Error::Forbidden { reason, message: message.to_owned() });
    let own = said.sender_id == *by.key();
    if !by.is_staff() && !own {
        return forbidden("not_yours", "only your own messages can be recalled");
    }
    if let Some(entry) = said.recalled_by {
        drop(tx);
        return by_key(db, channel.key, entry).await;
    }
    if !by.is_staff() && now > said.sent_at + window_ms {
        return forbidden("too_late", "this message is too old to recall");
    }
    let seen: Message = serde_json::from_str(&said.shown).map_err(Error::internal)?;
    empty(&mut tx, channel.key, seen).await?;
    let (entry, number) = insert_recall(&mut tx, channel, seq, by, now).await?;
    if !own {
        let detail = json!({ "channel": channel.id, "seq": seq });
        let audited = Entry { action: "message.recall", player: Some(&said.sender_id), detail, text: None };
        audit::add(&mut tx, by, &audited, now).await?;
    }
    tx.commit().await?;
    db.hub().said(&channel.id, channel.key, number);
    if !own {
        audit::seal_behind(db).await;
    }
    Ok(entry)
}

/// Takes a message back in a transaction that holds its channel. The number of the entry that says so; none where there is
/// nothing to take back.
pub(in crate::store) async fn take_back(
    tx: &mut Tx,
    channel: &Channel,
    seq: i64,
    by: &Identity,
    now: Millis,
) -> Result<Option<i64>> {
    let Some(said) = said(tx, channel, seq).await?.filter(|said| said.recalled_by.is_none()) else {
        return Ok(None);
    };
    let seen: Message = serde_json::from_str(&said.shown).map_err(Error::internal)?;
    empty(tx, channel.key, seen).await?;
    let (_, number) = insert_recall(tx, channel, seq, by, now).await?;
    Ok(Some(number))
}

async fn said(tx: &mut Tx, channel: &Channel, seq: i64) -> sqlx::Result<Option<Said>> {
    tx.optional(
        "SELECT m.sender_id, m.sent_at, m.shown, r.seq AS recalled_by FROM message m
         LEFT JOIN message r ON r.channel_key = m.channel_key AND r.ref = m.seq
         WHERE m.channel_key = $1 AND m.seq = $2 AND m.ref IS NULL",
        values![channel.key, seq],
    )
    .await
}

/// Empties what others see of a message; what was written stays, for moderators.
async fn empty(tx: &mut Tx, channel_key: i64, seen: Message) -> Result<()> {
    let written = Written { text: &seen.text, payload: seen.payload.as_deref() };
    let written = serde_json::to_string(&written).map_err(Error::internal)?;
    let emptied = Message {
        kind: MessageKind::Recalled,
        text: String::new(),
        payload: None,
        mentions: Vec::new(),
        ..seen.clone()
    };
    tx.execute(
        "UPDATE message SET shown = $3, original = coalesce(original, $4) WHERE channel_key = $1 AND seq = $2",
        values![channel_key, seen.seq, &json(&emptied)?, &written],
    )
    .await?;
    tx.execute("DELETE FROM mention WHERE channel_key = $1 AND seq = $2", values![channel_key, seen.seq])
        .await?;
    Ok(())
}

macro_rules! raise {
    ($greatest:literal) => {
        concat!(
            "UPDATE channel SET last_seq = last_seq + 1, last_at = ",
            $greatest,
            "(last_at, $2) WHERE key = $1 RETURNING last_seq, last_said, last_at"
        )
    };
}

/// The channel's next number, for an entry that nobody said, and its time.
const RAISE: Sql = by_dialect(raise!("max"), raise!("greatest"));

async fn insert_recall(
    tx: &mut Tx,
    channel: &Channel,
    seq: i64,
    by: &Identity,
    now: Millis,
) -> Result<(Stored, i64)> {
    let (entry, said, now): (i64, i64, Millis) = tx.one(RAISE, values![channel.key, now]).await?;
    let shown = json(&Message {
        channel: channel.id.clone(),
        seq: entry,
        kind: MessageKind::Recall,
        sender: Sender::of(by, &by.name),
        text: String::new(),
        payload: None,
        mentions: Vec::new(),
        sent_at: now,
        reference: Some(seq),
        masked: false,
    })?;
    tx.execute(
        "INSERT INTO message (channel_key, seq, said, sender_id, sent_at, ref, shown)
         VALUES ($1, $2, $3, $4, $5, $6, $7)",
        values![channel.key, entry, said, &*by.key(), now, seq, &shown],
    )
    .await?;
    Ok((Stored::one(shown)?, entry))
}

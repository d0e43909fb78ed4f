//! Taking a message back: an entry about an entry.

use serde_json::json;
use sqlx::FromRow;

use super::change::{Change, Seen, replace, tell};
use super::{Message, MessageKind, Sender, Stored};
use crate::base::clock::Millis;
use crate::base::error::{Error, Result};
use crate::chat::identity::Identity;
use crate::store::audit::{self, AuditEntry};
use crate::store::channel::Channel;
use crate::store::engine::DbResult;
use crate::store::engine::sql::{Tx, values};
use crate::store::{Db, json};

/// A message of a player, with its own view and the entry that recalled it.
#[derive(FromRow)]
pub(super) struct SaidMessage {
    pub(super) sender_id: String,
    sent_at: Millis,
    pub(super) shown: String,
    /// The author's own view, where the message is hidden from everybody else.
    pub(super) own: Option<String>,
    /// The entry that took it back, if there is one.
    pub(super) recalled_by: Option<i64>,
}

/// Takes a message back: its text and payload go, and an entry that says so comes. Doing it again finds that entry.
///
/// # Errors
/// [`Error::NotFound`] where nothing was said under that number, [`Error::Forbidden`] where it is another's, or
/// older than `window_ms`; who keeps order has no such time.
pub async fn recall(
    db: &Db,
    channel: &Channel,
    seq: i64,
    by: &Identity,
    window_ms: Option<Millis>,
) -> Result<Stored> {
    let now = db.now().await?;
    let mut tx = db.begin().await?;
    tx.lock_channel(channel.key).await?;
    let said = said(&mut tx, channel, seq).await?.ok_or(Error::NotFound("message"))?;
    let forbidden = |reason, message: &str| Err(Error::Forbidden { reason, message: message.to_owned() });
    let own = said.sender_id == *by.key();
    // What the game itself says is not an officer's to take back.
    let is_staffs = said.sender_id.contains('/') && !by.is_staff();
    if (window_ms.is_some() || is_staffs) && !own {
        return forbidden("not_yours", "only your own messages can be recalled");
    }
    if let Some(entry) = said.recalled_by {
        drop(tx);
        return entry_of(db, channel.key, entry).await;
    }
    if window_ms.is_some_and(|window| now > said.sent_at + window) {
        return forbidden("too_late", "this message is too old to recall");
    }
    let (entry, number) = empty(&mut tx, channel, seq, (&said, by), now).await?;
    if !own {
        let detail = json!({ "channel": channel.id, "seq": seq });
        let audited =
            AuditEntry { action: "message.recall", player: Some(&said.sender_id), detail, text: None };
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
    let (_, number) = empty(tx, channel, seq, (&said, by), now).await?;
    Ok(Some(number))
}

pub(super) async fn said(tx: &mut Tx, channel: &Channel, seq: i64) -> DbResult<Option<SaidMessage>> {
    tx.optional(
        "SELECT m.sender_id, m.sent_at, m.shown, o.shown AS own, r.seq AS recalled_by FROM message m
         LEFT JOIN message r ON r.channel_key = m.channel_key AND r.ref = m.seq AND r.change IS NULL
         LEFT JOIN own_view o ON o.channel_key = m.channel_key AND o.seq = m.seq
         WHERE m.channel_key = $1 AND m.seq = $2 AND m.ref IS NULL AND m.change IS NULL",
        values![channel.key, seq],
    )
    .await
}

/// Empties what is seen of a message, and tells it; what was written stays, for moderators. Of what is hidden, only its
/// author learns that they took it back.
async fn empty(
    tx: &mut Tx,
    channel: &Channel,
    seq: i64,
    (said, by): (&SaidMessage, &Identity),
    now: Millis,
) -> Result<(Stored, i64)> {
    let seen: Message =
        serde_json::from_str(said.own.as_ref().unwrap_or(&said.shown)).map_err(Error::internal)?;
    let (written, emptied) = (seen.written()?, json(&seen.recalled())?);
    let key = by.key();
    let told_to = match &said.own {
        None => {
            replace(tx, channel.entry(seq), &emptied, &written).await?;
            Seen::ByAll
        }
        Some(_) => {
            let sql = "UPDATE own_view SET shown = $3 WHERE channel_key = $1 AND seq = $2";
            tx.execute(sql, values![channel.key, seq, &emptied]).await?;
            if said.sender_id == *key { Seen::OnlyBy(&key) } else { Seen::ByAll }
        }
    };
    let change = Change {
        kind: MessageKind::Recall,
        reference: Some(seq),
        payload: None,
        by: Sender::of(by, &by.name),
        by_key: &key,
        seen: told_to,
    };
    tell(tx, channel, change, now).await
}

/// An entry as whoever made it sees it.
pub(in crate::store) async fn entry_of(db: &Db, channel_key: i64, seq: i64) -> Result<Stored> {
    let entry: Option<(String,)> = db
        .optional(
            "SELECT coalesce(o.shown, m.shown) FROM message m
             LEFT JOIN own_view o ON o.channel_key = m.channel_key AND o.seq = m.seq AND o.player_id = m.sender_id
             WHERE m.channel_key = $1 AND m.seq = $2",
            values![channel_key, seq],
        )
        .await?;
    Stored::one(entry.ok_or(Error::NotFound("message"))?.0)
}

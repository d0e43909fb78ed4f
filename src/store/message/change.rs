//! Entries about entries: how they are written, whatever they tell.

use serde_json::value::RawValue;

use super::{Message, MessageKind, Sender, Stored};
use crate::base::clock::Millis;
use crate::base::error::Result;
use crate::store::channel::{Channel, EntryKey};
use crate::store::engine::sql::{Sql, Tx, by_dialect, values};
use crate::store::json;

/// A change that is to be told.
pub(super) struct Change<'a> {
    pub(super) kind: MessageKind,
    /// The message that it is about.
    pub(super) reference: Option<i64>,
    pub(super) payload: Option<Box<RawValue>>,
    pub(super) by: Sender,
    /// Key of the author, under which the entries are stored.
    pub(super) by_key: &'a str,
    pub(super) seen: Seen<'a>,
}

/// The readers who see that there was a change.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Seen<'a> {
    ByAll,
    /// To everybody else it is a hidden entry.
    OnlyBy(&'a str),
    /// To this player it is a hidden entry.
    ByAllBut(&'a str),
}

macro_rules! raise {
    ($greatest:literal) => {
        concat!(
            "UPDATE channel SET last_seq = last_seq + 1, last_at = CASE WHEN $3 THEN ",
            $greatest,
            "(last_at, $2) ELSE last_at END, oldest_at = coalesce(oldest_at, $2) WHERE key = $1 RETURNING last_seq, last_said, ",
            $greatest,
            "(last_at, $2)"
        )
    };
}

/// The channel's next number, for an entry that nobody said, and its time. What is hidden does not move the channel in
/// anybody's inbox.
const RAISE: Sql = by_dialect(raise!("max"), raise!("greatest"));

/// Writes an entry that tells a change, in a transaction that holds the channel. What its author sees, and its number.
pub(super) async fn tell(
    tx: &mut Tx,
    channel: &Channel,
    change: Change<'_>,
    now: Millis,
) -> Result<(Stored, i64)> {
    let open = !matches!(change.seen, Seen::OnlyBy(_));
    let (seq, said, sent_at): (i64, i64, Millis) = tx.one(RAISE, values![channel.key, now, open]).await?;
    let told = Message {
        channel: channel.id.clone(),
        seq,
        kind: change.kind,
        sender: change.by,
        text: String::new(),
        payload: change.payload,
        mentions: Vec::new(),
        sent_at,
        reference: change.reference,
        masked: false,
    };
    // A message is recalled once, which an index over this column holds; it can be hidden as often as it takes.
    let reference = change.reference.filter(|_| change.kind == MessageKind::Recall);
    let (plain, hidden) = (json(&told)?, json(&told.hidden())?);
    let (shown, own) = match change.seen {
        Seen::ByAll => (&plain, None),
        Seen::OnlyBy(player) => (&hidden, Some((player, &plain))),
        Seen::ByAllBut(player) => (&plain, Some((player, &hidden))),
    };
    tx.execute(
        "INSERT INTO message (channel_key, seq, said, sender_id, sent_at, ref, change, shown)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        values![channel.key, seq, said, change.by_key, sent_at, reference, change.kind.change(), shown],
    )
    .await?;
    if let Some((player, own)) = own {
        show_only(tx, channel.entry(seq), player, own, "change").await?;
    }
    Ok((Stored::one(plain)?, seq))
}

/// Shows everybody something else of a message, and calls nobody by it any more; what was written stays, for moderators.
pub(super) async fn replace(
    tx: &mut Tx,
    EntryKey { channel_key, seq }: EntryKey,
    shown: &str,
    written: &str,
) -> Result<()> {
    tx.execute(
        "UPDATE message SET shown = $3, original = coalesce(original, $4) WHERE channel_key = $1 AND seq = $2",
        values![channel_key, seq, shown, written],
    )
    .await?;
    for statement in [
        "DELETE FROM mention WHERE channel_key = $1 AND seq = $2",
        "DELETE FROM mentioned_in WHERE channel_key = $1 AND seq = $2",
    ] {
        tx.execute(statement, values![channel_key, seq]).await?;
    }
    Ok(())
}

/// Notes what one player sees of an entry.
pub(super) async fn show_only(
    tx: &mut Tx,
    EntryKey { channel_key, seq }: EntryKey,
    player: &str,
    shown: &str,
    why: &str,
) -> Result<()> {
    tx.execute(
        "INSERT INTO own_view (channel_key, seq, player_id, shown, why) VALUES ($1, $2, $3, $4, $5)",
        values![channel_key, seq, player, shown, why],
    )
    .await?;
    Ok(())
}

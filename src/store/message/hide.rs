//! Hiding a message from everybody but its author, and showing it again: for what many report, until somebody has looked.

use super::change::{Change, Seen, replace, show_only, tell};
use super::recall::said;
use super::{Message, MessageKind, Sender};
use crate::base::clock::Millis;
use crate::base::error::{Error, Result};
use crate::chat::identity::Identity;
use crate::store::channel::Channel;
use crate::store::engine::sql::{Tx, values};
use crate::store::json;

/// Hides a message, in a transaction that holds its channel. The number of the entry that says so; none where there is
/// nothing to hide. Its author sees neither.
pub(in crate::store) async fn hide(
    tx: &mut Tx,
    channel: &Channel,
    seq: i64,
    now: Millis,
) -> Result<Option<i64>> {
    let said = said(tx, channel, seq).await?;
    let Some(said) = said.filter(|said| said.recalled_by.is_none() && said.own.is_none()) else {
        return Ok(None);
    };
    let seen: Message = serde_json::from_str(&said.shown).map_err(Error::internal)?;
    let written = seen.written()?;
    show_only(tx, channel.entry(seq), &said.sender_id, &said.shown, "hide").await?;
    replace(tx, channel.entry(seq), &json(&seen.hidden())?, &written).await?;
    change(tx, channel, (MessageKind::Hide, seq), &said.sender_id, now).await.map(Some)
}

/// Shows a message again that was hidden by [`hide`]. None where there is nothing to show.
pub(in crate::store) async fn unhide(
    tx: &mut Tx,
    channel: &Channel,
    seq: i64,
    now: Millis,
) -> Result<Option<i64>> {
    let own: Option<(String, String)> = tx
        .optional(
            "SELECT player_id, shown FROM own_view WHERE channel_key = $1 AND seq = $2 AND why = 'hide'",
            values![channel.key, seq],
        )
        .await?;
    let Some((author, shown)) = own else { return Ok(None) };
    tx.execute(
        "UPDATE message SET shown = $3 WHERE channel_key = $1 AND seq = $2",
        values![channel.key, seq, &shown],
    )
    .await?;
    tx.execute("DELETE FROM own_view WHERE channel_key = $1 AND seq = $2", values![channel.key, seq]).await?;
    change(tx, channel, (MessageKind::Unhide, seq), &author, now).await.map(Some)
}

async fn change(
    tx: &mut Tx,
    channel: &Channel,
    (kind, seq): (MessageKind, i64),
    author: &str,
    now: Millis,
) -> Result<i64> {
    let seen = match kind {
        MessageKind::Hide => Seen::ByAllBut(author),
        _ => Seen::ByAll,
    };
    let us = Identity::us();
    let by = Sender::of(&us, &us.name);
    let change = Change { kind, reference: Some(seq), payload: None, by, by_key: &us.key(), seen };
    let (_, number) = tell(tx, channel, change, now).await?;
    Ok(number)
}

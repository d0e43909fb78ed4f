//! Emptying all that a player said in a channel since a time.
//!
//! Rows are emptied a few at a time, while others go on sending; nobody who reads a page meanwhile sees more than
//! before. Then, under the channel's lock, what came in between is emptied too and one entry tells all of it: from that
//! number on, nothing of what it names can be read anywhere.

use serde_json::value::to_raw_value;
use serde_json::{Value, json};
use sqlx::FromRow;

use super::change::{Change, Seen, tell};
use super::{Message, MessageKind, Sender};
use crate::base::clock::Millis;
use crate::base::error::{Error, Result};
use crate::chat::identity::Identity;
use crate::store::channel::Channel;
use crate::store::engine::sql::{Sql, Tx, by_dialect, values};
use crate::store::{Db, json as json_text, task_progress};

/// Rows that are emptied at one time: others wait for no more than that.
const BATCH: i64 = 25;
/// Rows that are looked at for that.
const LOOKED_AT: i64 = 500;

/// A purge: one player's messages in all channels since a time.
#[derive(Clone, Copy, Debug)]
pub struct Purge<'a> {
    /// The task's id: each channel is told once for it.
    pub task: &'a str,
    /// Id of the player whose messages are emptied.
    pub player: &'a str,
    /// Start of the purge: messages since this time.
    pub since: Millis,
}

#[derive(FromRow)]
struct PurgedMessage {
    seq: i64,
    nonce: Option<String>,
    shown: String,
    own: Option<String>,
}

macro_rules! select_said {
    ($rest:literal) => {
        concat!(
            "SELECT m.seq, m.nonce, m.shown, o.shown AS own FROM message m ",
            "LEFT JOIN own_view o ON o.channel_key = m.channel_key AND o.seq = m.seq ",
            "WHERE m.channel_key = $1 AND m.sender_id = $2 AND m.ref IS NULL AND m.change IS NULL AND m.sent_at >= $3 AND ",
            $rest
        )
    };
}

/// Query for the last nonce of a step: a player may have very many messages from before the time in question.
const RANGE: &str = "SELECT max(nonce) FROM
    (SELECT nonce FROM message WHERE channel_key = $1 AND sender_id = $2 AND nonce > $3 ORDER BY nonce LIMIT $4) AS n";

/// The next ones in the order of their nonces, each of which every message has.
const SOME: Sql = by_dialect(
    select_said!("m.nonce > $4 AND m.nonce <= $5 ORDER BY m.nonce LIMIT $6"),
    select_said!("m.nonce > $4 AND m.nonce <= $5 ORDER BY m.nonce LIMIT $6 FOR UPDATE OF m"),
);

/// Those that a channel got while it was emptied.
const LATE: Sql = by_dialect(
    select_said!("m.seq > $4 ORDER BY m.seq"),
    select_said!("m.seq > $4 ORDER BY m.seq FOR UPDATE OF m"),
);

/// Returns the next channel in which a player has spoken, behind a channel key; with its key.
///
/// # Errors
/// The database's.
pub async fn next_to_purge(db: &Db, player: &str, after_key: i64) -> Result<Option<(i64, Channel)>> {
    let next: Option<(i64, String)> = db
        .optional(
            "SELECT s.channel_key, c.id FROM spoken_in s JOIN channel c ON c.key = s.channel_key
             WHERE s.player_id = $1 AND s.channel_key > $2 ORDER BY s.channel_key LIMIT 1",
            values![player, after_key],
        )
        .await?;
    let Some((key, id)) = next else { return Ok(None) };
    let channel = crate::store::channel::among(db, &[&id]).await?.pop().ok_or(Error::NotFound("channel"))?;
    Ok(Some((key, channel)))
}

/// Result of a step of a purge.
#[derive(Debug)]
pub struct Purged {
    /// Number of messages found, including those that were empty already.
    pub found: usize,
    /// Number of messages that this step emptied.
    pub emptied: usize,
    /// The last nonce that it looked at.
    pub last: String,
}

/// Empties some of what a player said in a channel, those whose nonces sort behind one, and notes with it how far the task is then;
/// none where there are no more.
///
/// # Errors
/// The database's.
pub async fn purge_some(
    db: &Db,
    channel: &Channel,
    purge: Purge<'_>,
    after: &str,
    progress: impl FnOnce(&Purged) -> Value,
) -> Result<Option<Purged>> {
    let now = db.now().await?;
    let mut tx = db.begin().await?;
    let (end,): (Option<String>,) =
        tx.one(RANGE, values![channel.key, purge.player, after, LOOKED_AT]).await?;
    let Some(end) = end else { return Ok(None) };
    let some: Vec<PurgedMessage> =
        tx.all(SOME, values![channel.key, purge.player, purge.since, after, &end, BATCH]).await?;
    let emptied = empty(&mut tx, channel.key, &some).await?;
    let is_all = some.len() < BATCH.unsigned_abs() as usize;
    let last = some.last().and_then(|said| said.nonce.clone()).filter(|_| !is_all);
    let purged = Purged { found: some.len(), emptied, last: last.unwrap_or(end) };
    task_progress::note_with(&mut tx, purge.task, &progress(&purged), now).await?;
    tx.commit().await?;
    Ok(Some(purged))
}

/// Empties what was said in a channel since it was looked at too, and tells all of it by one entry; once for a task.
/// Nothing is told where there was nothing to be `found`. How many more were emptied.
///
/// # Errors
/// The database's.
pub async fn tell_purge(
    db: &Db,
    channel: &Channel,
    purge: Purge<'_>,
    found: bool,
    by: &Identity,
) -> Result<usize> {
    let now = db.now().await?;
    let mut tx = db.begin().await?;
    tx.lock_channel(channel.key).await?;
    let told: Option<(i64,)> = tx
        .optional(
            "SELECT seq FROM purge_entry WHERE task_id = $1 AND channel_key = $2",
            values![purge.task, channel.key],
        )
        .await?;
    if told.is_some() {
        return Ok(0);
    }
    let late: Vec<PurgedMessage> =
        tx.all(LATE, values![channel.key, purge.player, purge.since, channel.last_seq]).await?;
    if !found && late.is_empty() {
        return Ok(0);
    }
    let emptied = empty(&mut tx, channel.key, &late).await?;
    let payload = to_raw_value(&json!({ "player": purge.player, "since": purge.since }));
    let change = Change {
        kind: MessageKind::Purge,
        reference: None,
        payload: Some(payload.map_err(Error::internal)?),
        by: Sender::of(by, &by.name),
        by_key: &by.key(),
        seen: Seen::ByAll,
    };
    let (_, number) = tell(&mut tx, channel, change, now).await?;
    tx.execute(
        "INSERT INTO purge_entry (task_id, channel_key, seq) VALUES ($1, $2, $3)",
        values![purge.task, channel.key, number],
    )
    .await?;
    tx.commit().await?;
    db.hub().said(&channel.id, channel.key, number);
    Ok(emptied)
}

/// Empties what is seen of messages; what was written stays, for moderators. How many there were to empty.
async fn empty(tx: &mut Tx, channel_key: i64, some: &[PurgedMessage]) -> Result<usize> {
    let mut rows = Vec::new();
    let mut own_rows = Vec::new();
    for said in some {
        let seen: Message =
            serde_json::from_str(said.own.as_ref().unwrap_or(&said.shown)).map_err(Error::internal)?;
        if seen.kind == MessageKind::Recalled {
            continue;
        }
        let written = seen.written()?;
        let row = (said.seq, json_text(&seen.recalled())?, written);
        if said.own.is_some() { own_rows.push(row) } else { rows.push(row) }
    }
    for (statements, rows) in [(EMPTY.as_slice(), &rows), (EMPTY_OWN.as_slice(), &own_rows)] {
        if rows.is_empty() {
            continue;
        }
        let list = json_text(rows)?;
        for statement in statements {
            tx.execute(*statement, values![channel_key, &list]).await?;
        }
    }
    Ok(rows.len() + own_rows.len())
}

const EMPTY: [Sql; 3] = [
    by_dialect(
        // With the list joined, SQLite would walk through the whole channel.
        "UPDATE message SET
             shown = (SELECT value ->> 1 FROM json_each($2) WHERE value ->> 0 = seq),
             original = coalesce(original, (SELECT value ->> 2 FROM json_each($2) WHERE value ->> 0 = seq))
         WHERE channel_key = $1 AND seq IN (SELECT value ->> 0 FROM json_each($2))",
        "UPDATE message SET shown = j.value ->> 1, original = coalesce(original, j.value ->> 2)
         FROM json_array_elements($2::json) AS j (value)
         WHERE channel_key = $1 AND seq = (j.value ->> 0)::bigint",
    ),
    by_dialect(
        "DELETE FROM mention WHERE channel_key = $1 AND seq IN (SELECT value ->> 0 FROM json_each($2))",
        "DELETE FROM mention WHERE channel_key = $1
         AND seq = ANY (ARRAY(SELECT (value ->> 0)::bigint FROM json_array_elements($2::json) AS j (value)))",
    ),
    by_dialect(
        "DELETE FROM mentioned_in WHERE channel_key = $1 AND seq IN (SELECT value ->> 0 FROM json_each($2))",
        "DELETE FROM mentioned_in WHERE channel_key = $1
         AND seq = ANY (ARRAY(SELECT (value ->> 0)::bigint FROM json_array_elements($2::json) AS j (value)))",
    ),
];

const EMPTY_OWN: [Sql; 1] = [by_dialect(
    "UPDATE own_view SET shown = (SELECT value ->> 1 FROM json_each($2) WHERE value ->> 0 = seq)
     WHERE channel_key = $1 AND seq IN (SELECT value ->> 0 FROM json_each($2))",
    "UPDATE own_view SET shown = j.value ->> 1 FROM json_array_elements($2::json) AS j (value)
     WHERE channel_key = $1 AND seq = (j.value ->> 0)::bigint",
)];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::engine::sqlite;

    /// A channel may hold millions of messages: each statement finds its rows by more than the channel.
    #[tokio::test]
    async fn no_statement_walks_through_a_channel() {
        for sql in [SOME, LATE, EMPTY[0], EMPTY[1], EMPTY[2], EMPTY_OWN[0]] {
            let plan = sqlite::plan(sql.sqlite()).await;
            let walks = |step: &&String| step.ends_with("(channel_key=?)") || step.starts_with("SCAN m");
            assert_eq!(plan.iter().find(walks), None, "{}", sql.sqlite());
        }
    }
}

//! Forgetting a player: their words, their name and what is kept about them, in small steps that can be done twice.
//!
//! Whatever has to stay (that something was said, a sanction, evidence) stays under a pseudonym. Rows are changed a few at a
//! time, so that others wait for no more than that.

use serde_json::Value;
use sqlx::FromRow;

use crate::base::clock::Millis;
use crate::base::error::{Error, Result};
use crate::chat::values::PlayerId;
use crate::store::create::NewChannel;
use crate::store::engine::sql::{Sql, by_dialect, values};
use crate::store::life::ROWS;
use crate::store::lives;
use crate::store::message::Message;
use crate::store::{Db, json};

/// Rows that are changed at one time.
const BATCH: i64 = 25;
/// Cases whose evidence is looked through at one time.
const CASES: i64 = 100;

/// A player to erase, and the pseudonym.
#[derive(Clone, Copy, Debug)]
pub struct Erasure<'a> {
    /// The player's id.
    pub player: &'a PlayerId,
    /// Pseudonym that replaces the id.
    pub pseudonym: &'a str,
}

#[derive(FromRow)]
struct Row {
    seq: i64,
    shown: String,
}

/// Behind the last nonce of the step before: where others look at an old state of the database, what stood there is still met.
const SAID: Sql = by_dialect(
    "SELECT nonce, seq, shown FROM message WHERE channel_key = $1 AND sender_id = $2 AND nonce > $3 ORDER BY nonce LIMIT $4",
    "SELECT nonce, seq, shown FROM message WHERE channel_key = $1 AND sender_id = $2 AND nonce > $3 ORDER BY nonce LIMIT $4
     FOR UPDATE",
);

const RECALLS: Sql = by_dialect(
    // CROSS keeps the order: each message's recall is looked up.
    "SELECT m.seq, m.shown FROM json_each($3) j CROSS JOIN message m
     WHERE m.channel_key = $1 AND m.ref = j.value ->> 0 AND m.ref IS NOT NULL AND m.change IS NULL AND m.sender_id = $2",
    "SELECT seq, shown FROM message WHERE channel_key = $1 AND sender_id = $2 AND change IS NULL
     AND ref = ANY (ARRAY(SELECT (value ->> 0)::bigint FROM json_array_elements($3::json) AS j (value)))",
);

const REWRITE: Sql = by_dialect(
    // With the list joined, SQLite would walk through the whole channel.
    "UPDATE message SET shown = (SELECT value ->> 1 FROM json_each($2) WHERE value ->> 0 = seq),
         sender_id = $3, original = NULL, digest = NULL
     WHERE channel_key = $1 AND seq IN (SELECT value ->> 0 FROM json_each($2))",
    "UPDATE message SET shown = j.value ->> 1, sender_id = $3, original = NULL, digest = NULL
     FROM json_array_elements($2::json) AS j (value) WHERE channel_key = $1 AND seq = (j.value ->> 0)::bigint",
);

const DROP_OWN: Sql = by_dialect(
    "DELETE FROM own_view WHERE channel_key = $1 AND seq IN (SELECT value ->> 0 FROM json_each($2))",
    "DELETE FROM own_view WHERE channel_key = $1
     AND seq = ANY (ARRAY(SELECT (value ->> 0)::bigint FROM json_array_elements($2::json) AS j (value)))",
);

/// Empties some of what a player said in a channel and what they took back, and puts the pseudonym there: those whose nonces sort
/// behind one. The last one's nonce; none where there is nothing left.
///
/// # Errors
/// The database's.
pub async fn erase_some(
    db: &Db,
    channel_key: i64,
    erasure: Erasure<'_>,
    after: &str,
) -> Result<Option<String>> {
    let Erasure { player, pseudonym } = erasure;
    let mut tx = db.begin().await?;
    let said: Vec<(String, i64, String)> =
        tx.all(SAID, values![channel_key, player.as_str(), after, BATCH]).await?;
    let Some(last) = said.last().map(|(nonce, ..)| nonce.clone()) else { return Ok(None) };
    let said: Vec<Row> = said.into_iter().map(|(_, seq, shown)| Row { seq, shown }).collect();
    let seqs: Vec<[i64; 1]> = said.iter().map(|row| [row.seq]).collect();
    let recalls: Vec<Row> = tx.all(RECALLS, values![channel_key, player.as_str(), &json(&seqs)?]).await?;
    let mut rows = Vec::new();
    for row in said.iter().chain(&recalls) {
        let message: Message = serde_json::from_str(&row.shown).map_err(Error::internal)?;
        rows.push((row.seq, json(&message.erased(pseudonym))?));
    }
    let rows = json(&rows)?;
    tx.execute(REWRITE, values![channel_key, &rows, pseudonym]).await?;
    tx.execute(DROP_OWN, values![channel_key, &rows]).await?;
    tx.commit().await?;
    Ok(Some(last))
}

#[derive(FromRow)]
struct Calling {
    channel_key: i64,
    seq: i64,
    shown: String,
}

const CALLING: Sql = by_dialect(
    // CROSS keeps the order: each message is looked up.
    "SELECT n.channel_key, n.seq, m.shown FROM mentioned_in n CROSS JOIN message m
     WHERE n.player_id = $1 AND m.channel_key = n.channel_key AND m.seq = n.seq ORDER BY n.channel_key, n.seq LIMIT $2",
    "SELECT n.channel_key, n.seq, m.shown
     FROM (SELECT channel_key, seq FROM mentioned_in WHERE player_id = $1 ORDER BY channel_key, seq LIMIT $2) AS n
     JOIN message m ON m.channel_key = n.channel_key AND m.seq = n.seq",
);

/// Puts the pseudonym into some of the entries that call the player by name, in whatever channel. False where there are none
/// left.
///
/// # Errors
/// The database's.
pub async fn erase_mentions(db: &Db, erasure: Erasure<'_>) -> Result<bool> {
    // Only as it was: it may have been taken back since.
    const RENAME: &str = "UPDATE message SET shown = $3 WHERE channel_key = $1 AND seq = $2 AND shown = $4";
    const FORGET: &str = "DELETE FROM mentioned_in WHERE player_id = $1 AND channel_key = $2 AND seq = $3";
    let Erasure { player, pseudonym } = erasure;
    let mut tx = db.begin().await?;
    let calling: Vec<Calling> = tx.all(CALLING, values![player.as_str(), BATCH]).await?;
    for Calling { channel_key, seq, shown } in &calling {
        let message: Message = serde_json::from_str(shown).map_err(Error::internal)?;
        let renamed = match message.naming(player, pseudonym)? {
            Some(message) => {
                tx.execute(RENAME, values![*channel_key, *seq, &json(&message)?, shown]).await? > 0
            }
            None => true,
        };
        // One that was changed at this moment is read again.
        if renamed {
            tx.execute(FORGET, values![player.as_str(), *channel_key, *seq]).await?;
        }
    }
    tx.commit().await?;
    Ok(!calling.is_empty())
}

/// The next channel behind one, by its key, in which a player is or has spoken; and whether it is a direct one.
///
/// # Errors
/// The database's.
pub async fn next_place(db: &Db, player: &PlayerId, after_key: i64) -> Result<Option<(i64, String, bool)>> {
    let next = db
        .optional(
            // Two of each, as one of them may be their own.
            "SELECT c.key, c.id, c.kind = 'direct' FROM (
                 SELECT channel_key FROM (SELECT channel_key FROM member WHERE player_id = $1 AND channel_key > $2
                                          ORDER BY channel_key LIMIT 2) AS m
                 UNION SELECT channel_key FROM (SELECT channel_key FROM spoken_in WHERE player_id = $1 AND channel_key > $2
                                                ORDER BY channel_key LIMIT 2) AS s) place
             JOIN channel c ON c.key = place.channel_key WHERE c.id <> $3 ORDER BY c.key LIMIT 1",
            values![player.as_str(), after_key, NewChannel::of_player(player).id.as_str()],
        )
        .await?;
    Ok(next)
}

/// Forgets that a player has spoken in a channel, once nothing of it is theirs.
///
/// # Errors
/// The database's.
pub async fn leave_place(db: &Db, player: &PlayerId, channel_key: i64) -> Result<()> {
    let sql = "DELETE FROM spoken_in WHERE player_id = $1 AND channel_key = $2";
    db.execute(sql, values![player.as_str(), channel_key]).await?;
    Ok(())
}

/// Puts the pseudonym into a direct channel, which stays the other's.
///
/// # Errors
/// The database's.
pub async fn rename_in_direct(db: &Db, channel_key: i64, erasure: Erasure<'_>) -> Result<()> {
    let Erasure { player, pseudonym } = erasure;
    let mut tx = db.begin().await?;
    tx.lock_channel(channel_key).await?;
    let pair: Option<(String,)> =
        tx.optional("SELECT pair FROM channel WHERE key = $1", values![channel_key]).await?;
    let Some((pair,)) = pair else { return Ok(()) };
    let mut pair: Vec<&str> =
        pair.split(' ').map(|id| if id == player.as_str() { pseudonym } else { id }).collect();
    pair.sort_unstable();
    let sql = "UPDATE channel SET pair = $2, name = NULL WHERE key = $1";
    tx.execute(sql, values![channel_key, &pair.join(" ")]).await?;
    let sql = "UPDATE member SET player_id = $3 WHERE channel_key = $1 AND player_id = $2";
    tx.execute(sql, values![channel_key, player.as_str(), pseudonym]).await?;
    tx.commit().await?;
    Ok(())
}

/// Forgets or renames a player in everything but messages.
///
/// # Errors
/// The database's.
pub async fn erase_rest(db: &Db, erasure: Erasure<'_>) -> Result<()> {
    erase_own_channel(db, erasure.player).await?;
    erase_evidence(db, erasure).await?;
    erase_tasks(db, erasure.player).await?;
    lives::erase(db, erasure.player, erasure.pseudonym).await
}

/// Deletes the tasks that were to be run about the player. (Nothing is kept of done tasks that names a player.)
async fn erase_tasks(db: &Db, player: &PlayerId) -> Result<()> {
    // What they paid for is told first.
    const WAITING: &str = "DELETE FROM outbox WHERE stage IN ('', 'latest')
        AND key IN ('told:' || $1, 'purge:' || $1, 'export:' || $1, 'rank:' || $1, 'push:' || $1)";
    const DEAD: &str = "DELETE FROM outbox_dead
        WHERE key IN ('told:' || $1, 'purge:' || $1, 'export:' || $1, 'rank:' || $1, 'push:' || $1)";
    // One that came meanwhile keeps its key, or nobody would look at it.
    const KEYS: &str = "DELETE FROM outbox_key WHERE stage IN ('', 'latest')
        AND key IN ('told:' || $1, 'purge:' || $1, 'export:' || $1, 'rank:' || $1, 'push:' || $1)
        AND NOT EXISTS (SELECT 1 FROM outbox o WHERE o.key = outbox_key.key AND o.stage = outbox_key.stage)";
    // Whoever sorts one in meanwhile waits for this, and makes the key anew.
    const LOCK: Sql = by_dialect(
        "SELECT key FROM outbox_key WHERE stage IN ('', 'latest')
         AND key IN ('told:' || $1, 'purge:' || $1, 'export:' || $1, 'rank:' || $1, 'push:' || $1)",
        "SELECT key FROM outbox_key WHERE stage IN ('', 'latest')
         AND key IN ('told:' || $1, 'purge:' || $1, 'export:' || $1, 'rank:' || $1, 'push:' || $1)
         ORDER BY key, stage FOR UPDATE",
    );
    let mut tx = db.begin().await?;
    tx.all::<(String,)>(LOCK, values![player.as_str()]).await?;
    for statement in [WAITING, DEAD, KEYS] {
        tx.execute(statement, values![player.as_str()]).await?;
    }
    tx.commit().await?;
    Ok(())
}

/// The channel in which the game told them what is about them alone.
async fn erase_own_channel(db: &Db, player: &PlayerId) -> Result<()> {
    let id = NewChannel::of_player(player).id;
    let key: Option<(i64,)> =
        db.optional("SELECT key FROM channel WHERE id = $1", values![id.as_str()]).await?;
    let Some((key,)) = key else { return Ok(()) };
    // All but the last few, which go with the channel: nobody else says anything in it but the game.
    while erase_own_entries(db, key).await? {}
    let mut tx = db.begin().await?;
    tx.lock_channel(key).await?;
    for statement in OWN {
        tx.execute(statement, values![key, i64::MAX]).await?;
    }
    tx.execute("DELETE FROM member WHERE channel_key = $1", values![key]).await?;
    tx.execute("DELETE FROM channel WHERE key = $1", values![key]).await?;
    tx.commit().await?;
    Ok(())
}

/// Statements that delete a channel's entries up to a number, and the rows that belong to them.
const OWN: [&str; 3] = [
    "DELETE FROM mention WHERE channel_key = $1 AND seq <= $2",
    "DELETE FROM mentioned_in WHERE channel_key = $1 AND seq <= $2",
    "DELETE FROM message WHERE channel_key = $1 AND seq <= $2",
];

/// Deletes some of a channel's oldest entries; false where few are left.
async fn erase_own_entries(db: &Db, key: i64) -> Result<bool> {
    const UP_TO: &str = "SELECT max(seq), count(*) FROM
        (SELECT seq FROM message WHERE channel_key = $1 ORDER BY seq LIMIT $2) AS first";
    let mut tx = db.begin().await?;
    let (last, count): (Option<i64>, i64) = tx.one(UP_TO, values![key, ROWS]).await?;
    let Some(last) = last.filter(|_| count == ROWS) else { return Ok(false) };
    for statement in OWN {
        tx.execute(statement, values![key, last]).await?;
    }
    tx.commit().await?;
    Ok(true)
}

/// Evidence stays, with the pseudonym in it.
async fn erase_evidence(db: &Db, erasure: Erasure<'_>) -> Result<()> {
    const EVIDENCE: &str = "SELECT id, opened_at, evidence FROM report_case
        WHERE evidence IS NOT NULL AND (opened_at, id) > ($1, $2) ORDER BY opened_at, id LIMIT $3";
    let Erasure { player, pseudonym } = erasure;
    let named = format!("\"{player}\"");
    let mut after = (0, String::new());
    loop {
        let cases: Vec<(String, Millis, String)> =
            db.all(EVIDENCE, values![after.0, &after.1, CASES]).await?;
        let Some((last, opened_at, _)) = cases.last() else { return Ok(()) };
        after = (*opened_at, last.clone());
        for (id, _, evidence) in cases.iter().filter(|(.., evidence)| evidence.contains(&named)) {
            let mut evidence: Value = serde_json::from_str(evidence).map_err(Error::internal)?;
            rename(&mut evidence, player, pseudonym);
            let sql = "UPDATE report_case SET evidence = $2 WHERE id = $1";
            db.execute(sql, values![id, &evidence.to_string()]).await?;
        }
    }
}

/// Renames a player wherever an entry says who said it, or calls them.
fn rename(value: &mut Value, player: &PlayerId, pseudonym: &str) {
    match value {
        Value::Object(fields) => {
            if let Some(sender) = fields.get_mut("sender").filter(|sender| sender["id"] == player.as_str()) {
                sender["id"] = pseudonym.into();
                sender["name"] = "".into();
            }
            if let Some(Value::Array(mentions)) = fields.get_mut("mentions") {
                mentions
                    .iter_mut()
                    .filter(|id| **id == player.as_str())
                    .for_each(|id| *id = pseudonym.into());
            }
            fields.values_mut().for_each(|field| rename(field, player, pseudonym));
        }
        Value::Array(items) => items.iter_mut().for_each(|item| rename(item, player, pseudonym)),
        _ => {}
    }
}

/// Takes the player's id out of the entries that told clients of an erasure, and forgets its task. Says how many entries
/// there were.
///
/// # Errors
/// The database's.
pub async fn forget_told(db: &Db, task: &str, pseudonym: &str) -> Result<usize> {
    let told: Vec<(i64, i64, String)> = db
        .all(
            "SELECT m.channel_key, m.seq, m.shown FROM purge_entry p
             JOIN message m ON m.channel_key = p.channel_key AND m.seq = p.seq WHERE p.task_id = $1",
            values![task],
        )
        .await?;
    for (channel_key, seq, shown) in &told {
        let mut entry: Value = serde_json::from_str(shown).map_err(Error::internal)?;
        entry["payload"]["player"] = pseudonym.into();
        let entry: Message = serde_json::from_value(entry).map_err(Error::internal)?;
        let sql = "UPDATE message SET shown = $3 WHERE channel_key = $1 AND seq = $2";
        db.execute(sql, values![*channel_key, *seq, &json(&entry)?]).await?;
    }
    for statement in ["DELETE FROM outbox_done WHERE id = $1", "DELETE FROM outbox_dead WHERE id = $1"] {
        db.execute(statement, values![task]).await?;
    }
    Ok(told.len())
}

/// Milliseconds for which clients that were away can still learn whose messages are gone: 30 days.
pub const TOLD_MS: Millis = 30 * 86_400_000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::engine::sqlite;

    /// A channel may hold millions of messages: each statement finds its rows by more than the channel.
    #[tokio::test]
    async fn no_statement_walks_through_a_channel() {
        for sql in [SAID, RECALLS, REWRITE, DROP_OWN, CALLING] {
            let plan = sqlite::plan(sql.sqlite()).await;
            let walks = |step: &&String| step.ends_with("(channel_key=?)") || step.starts_with("SCAN m");
            assert_eq!(plan.iter().find(walks), None, "{}", sql.sqlite());
        }
    }
}

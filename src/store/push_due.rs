//! Messages that players have not been told of yet: the player, the messages, and the time at which a task looks at
//! them.
//!
//! Players are spread over shards. One task looks at all of a shard who are due, so that a message to thousands costs a few
//! tasks and commits, and each player waits, and is tried again, alone.

use serde::Serialize;
use sha2::{Digest, Sha256};
use sqlx::FromRow;

use super::Db;
use super::device::MessageToPush;
use super::engine::sql::{Sql, by_dialect, values};
use super::outbox::{self, Later, NewTask};
use crate::base::clock::Millis;
use crate::base::error::Result;
use crate::store::life::{Erased, Exported, Kept, Life};

/// So many tasks can be at work at one time, on all workers together.
const SHARDS: u8 = 16;
/// Tasks that look at a shard begin at full seconds.
const SECOND: Millis = 1_000;

/// The shard of a player, from 0 on.
fn shard_of(player: &str) -> i64 {
    i64::from(Sha256::digest(player)[0] % SHARDS)
}

/// Returns the time at which a task looks at something that is due at a time: rounded up to a full second.
fn looked_at(due_at: Millis) -> Millis {
    (due_at + SECOND - 1) / SECOND * SECOND
}

/// One task a shard and second, however many players are due.
fn task_id(db: &Db, shard: i64, at: Millis) -> String {
    format!("push:{}{shard}:{at}", db.stage)
}

#[derive(Serialize)]
struct Row<'a> {
    player: &'a str,
    shard: i64,
}

/// Notes that players have not been told of a message yet, with the tasks that look at them when they are due.
///
/// # Errors
/// The database's, and those of `task`.
pub async fn note(
    db: &Db,
    said: &MessageToPush<'_>,
    players: &[String],
    due_at: Millis,
    task: impl Fn(i64) -> Result<NewTask>,
) -> Result<()> {
    const DUE: Sql = by_dialect(
        "INSERT INTO push_due (shard, player_id, channel_key, from_seq, last_seq, at, due_at, tries)
         SELECT value ->> 'shard', value ->> 'player', $2, $3, $3, $4, $5, 0 FROM json_each($1) WHERE TRUE
         ON CONFLICT (player_id, channel_key) DO UPDATE
             SET last_seq = max(push_due.last_seq, excluded.last_seq), at = excluded.at,
                 due_at = min(push_due.due_at, excluded.due_at)",
        "INSERT INTO push_due (shard, player_id, channel_key, from_seq, last_seq, at, due_at, tries)
         SELECT (value ->> 'shard')::bigint, value ->> 'player', $2, $3, $3, $4, $5, 0
         FROM json_array_elements($1::json) AS j (value) ORDER BY 2
         ON CONFLICT (player_id, channel_key) DO UPDATE
             SET last_seq = greatest(push_due.last_seq, excluded.last_seq), at = excluded.at,
                 due_at = least(push_due.due_at, excluded.due_at)",
    );
    if players.is_empty() {
        return Ok(());
    }
    let (now, at) = (db.now().await?, looked_at(due_at));
    let rows: Vec<Row<'_>> = players.iter().map(|player| Row { player, shard: shard_of(player) }).collect();
    let shards: std::collections::BTreeSet<i64> = rows.iter().map(|row| row.shard).collect();
    let mut tasks = Vec::with_capacity(shards.len());
    for shard in shards {
        tasks.push(Later { id: task_id(db, shard, at), task: task(shard)? });
    }
    let rows = super::json(&rows)?;
    let mut tx = db.begin().await?;
    tx.execute(DUE, values![&rows, said.channel_key, said.seq, now, due_at]).await?;
    outbox::add_all_for_later(&mut tx, db, &tasks, outbox::Times { now, at }).await?;
    Ok(tx.commit().await?)
}

/// Messages in one channel that a player has not been told of yet.
#[derive(Debug, FromRow)]
pub struct Due {
    /// The player's id.
    pub player_id: String,
    /// The channel's key.
    pub channel_key: i64,
    /// The channel's id; none where the channel was deleted.
    pub channel: Option<String>,
    /// Number of the first message.
    pub from_seq: i64,
    /// Number of the last message.
    pub last_seq: i64,
    /// Time of the last message.
    pub at: Millis,
    /// Number of failed tries.
    pub tries: i64,
    /// The player's preference for the channel: `all`, `mentions` or `none`.
    pub notify: String,
    /// Number up to which the player has read.
    pub read_seq: i64,
    /// Have they a socket in a process that lived lately?
    pub online: bool,
}

/// The next of a shard that are due, in the order of time; players are online if their process lived since a time.
///
/// # Errors
/// The database's.
pub async fn due(db: &Db, shard: i64, online_since: Millis, limit: i64) -> Result<Vec<Due>> {
    let rows = db
        .all(
            "SELECT p.player_id, p.channel_key, c.id AS channel, p.from_seq, p.last_seq, p.at, p.tries,
                    CASE WHEN c.kind IN ('world', 'system') AND coalesce(f.notify, '') <> 'none' THEN 'mentions'
                         ELSE coalesce(f.notify, CASE WHEN c.kind IN ('direct', 'support') THEN 'all' ELSE 'mentions' END)
                    END AS notify,
                    coalesce(m.read_seq, p.last_seq) AS read_seq,
                    EXISTS (SELECT 1 FROM online o JOIN process r ON r.id = o.process_id
                            WHERE o.player_id = p.player_id AND r.seen_at >= $3) AS online
             FROM push_due p LEFT JOIN channel c ON c.key = p.channel_key
             LEFT JOIN device_preference f ON f.player_id = p.player_id AND f.channel = c.id
             LEFT JOIN member m ON m.channel_key = p.channel_key AND m.player_id = p.player_id
             WHERE p.shard = $1 AND p.due_at <= $2 ORDER BY p.due_at LIMIT $4",
            values![shard, db.now().await?, online_since, limit],
        )
        .await?;
    Ok(rows)
}

/// Result of a look at one player and channel that was due.
#[derive(Debug, Serialize)]
pub struct Looked {
    /// The player's id.
    pub player: String,
    /// The channel's key.
    pub key: i64,
    /// Number of the last message that was looked at.
    pub last: i64,
    /// Time of the next look; none where nothing is left to do.
    pub due: Option<Millis>,
    /// Number of failed tries.
    pub tries: i64,
}

macro_rules! looked_sqlite {
    () => {
        "(SELECT value ->> 'player' AS player, value ->> 'key' AS key, value ->> 'last' AS last, value ->> 'due' AS due,
                 value ->> 'tries' AS tries FROM json_each($1)) l"
    };
}

macro_rules! looked_postgres {
    () => {
        "json_to_recordset($1::json) AS l (player text, key bigint, last bigint, due bigint, tries bigint)"
    };
}

/// Records what became of those that were due. Of whom more was said meanwhile, that is looked at later.
///
/// # Errors
/// The database's.
pub async fn note_looked(db: &Db, looked: &[Looked], later: Millis) -> Result<()> {
    // In the order in which a message takes them. What was said meanwhile is seen by the statements behind it.
    const TAKE: Sql = by_dialect(
        "SELECT 1 WHERE $1 = ''",
        concat!(
            "SELECT 1 FROM push_due p JOIN ",
            looked_postgres!(),
            " ON p.player_id = l.player AND p.channel_key = l.key ORDER BY p.player_id, p.channel_key FOR UPDATE OF p"
        ),
    );
    const TOLD: Sql = by_dialect(
        concat!(
            "DELETE FROM push_due WHERE rowid IN (SELECT p.rowid FROM ",
            looked_sqlite!(),
            " JOIN push_due p ON p.player_id = l.player AND p.channel_key = l.key
              WHERE l.due IS NULL AND p.last_seq <= l.last)"
        ),
        concat!(
            "DELETE FROM push_due p USING ",
            looked_postgres!(),
            " WHERE p.player_id = l.player AND p.channel_key = l.key AND l.due IS NULL AND p.last_seq <= l.last"
        ),
    );
    macro_rules! again {
        ($looked:expr) => {
            concat!(
                "UPDATE push_due SET from_seq = CASE WHEN l.due IS NULL THEN l.last + 1 ELSE from_seq END,
                        at = CASE WHEN l.due IS NULL THEN $2 ELSE at END, due_at = coalesce(l.due, $3), tries = l.tries FROM ",
                $looked,
                " WHERE push_due.player_id = l.player AND push_due.channel_key = l.key"
            )
        };
    }
    const AGAIN: Sql = by_dialect(again!(looked_sqlite!()), again!(looked_postgres!()));
    let (now, looked) = (db.now().await?, super::json(&looked)?);
    let mut tx = db.begin().await?;
    tx.execute(TAKE, values![&looked]).await?;
    tx.execute(TOLD, values![&looked]).await?;
    tx.execute(AGAIN, values![&looked, now, later]).await?;
    Ok(tx.commit().await?)
}

/// Has a shard looked at again when its next is due; `done` is the task that looked at it now.
///
/// # Errors
/// The database's.
pub async fn look_again(db: &Db, shard: i64, done: &str, task: &NewTask) -> Result<()> {
    let next: Option<(Option<Millis>,)> =
        db.optional("SELECT min(due_at) FROM push_due WHERE shard = $1", values![shard]).await?;
    let Some((Some(next),)) = next else { return Ok(()) };
    let now = db.now().await?;
    if next > now {
        let at = looked_at(next);
        return outbox::enqueue_later(db, &task_id(db, shard, at), task, at).await;
    }
    // There were more than one task takes: its successor has a name of its own, the same at every try.
    let name = crate::base::random::to_hex(&Sha256::digest(done)[..16]);
    outbox::enqueue_later(db, &format!("push:{name}"), task, now).await
}

/// Retention, export and erasure rules of the list of players to notify on their devices.
pub(in crate::store) const LIFE: Life = Life {
    table: "push_due",
    kept: Kept::Until("until they were told"),
    exported: Exported::No("gone when they were told"),
    erased: &[Erased::Some(
        "DELETE FROM push_due WHERE (player_id, channel_key) IN (SELECT player_id, channel_key FROM push_due WHERE player_id = $1 LIMIT $2)",
    )],
    stays: &[],
};

//! Changes of the right to read: a row for each player who joined or left a channel or was given a sanction, for
//! processes that hold sockets.
//!
//! Ids grow in the order in which they are given, and become visible in the order of commits. So whoever reads them goes
//! back a little each time, and tells by the id what is new.

use sqlx::FromRow;

use super::Db;
use super::engine::sql::{Sql, Tx, by_dialect, values};
use crate::base::clock::Millis;
use crate::base::error::Result;
use crate::store::engine::DbResult;
use crate::store::life::{Exported, Kept, Life, ROWS};

/// A player joined or left a channel, or was given a sanction.
#[derive(Debug, FromRow)]
pub struct RightChange {
    /// Grows.
    pub id: i64,
    /// The channel's id; none where it is about more than one.
    pub channel: Option<String>,
    /// The player's.
    pub player_id: String,
}

/// Rows that are read at one time.
const BATCH: i64 = 5_000;

/// Notes that players' rights in a channel change with this transaction; `players` is a JSON list.
pub(super) async fn note(tx: &mut Tx, channel_key: i64, players: &str, now: Millis) -> DbResult<()> {
    const NOTE: Sql = by_dialect(
        "INSERT INTO right_change (channel_key, player_id, changed_at) SELECT $1, value, $3 FROM json_each($2)",
        "INSERT INTO right_change (channel_key, player_id, changed_at)
         SELECT $1, value, $3 FROM json_array_elements_text($2::json) AS j (value)",
    );
    tx.execute(NOTE, values![channel_key, players, now]).await?;
    Ok(())
}

/// Notes that a player's rights change with this transaction, wherever they are.
pub(super) async fn note_player(tx: &mut Tx, player: &str, now: Millis) -> DbResult<()> {
    let note = "INSERT INTO right_change (channel_key, player_id, changed_at) VALUES (0, $1, $2)";
    tx.execute(note, values![player, now]).await?;
    Ok(())
}

/// The last row's id, 0 where there is none.
///
/// # Errors
/// The database's.
pub async fn last(db: &Db) -> Result<i64> {
    let last: Option<(i64,)> =
        db.optional("SELECT coalesce(max(id), 0) FROM right_change", values![]).await?;
    Ok(last.map_or(0, |(id,)| id))
}

/// Rows behind an id, but for those whose ids are known.
///
/// # Errors
/// The database's.
pub async fn behind(db: &Db, id: i64, known: &[i64]) -> Result<Vec<RightChange>> {
    const BEHIND: Sql = by_dialect(
        "SELECT r.id, c.id AS channel, r.player_id FROM right_change r LEFT JOIN channel c ON c.key = r.channel_key
         WHERE r.id > $1 AND r.id NOT IN (SELECT value FROM json_each($2)) ORDER BY r.id LIMIT $3",
        "SELECT r.id, c.id AS channel, r.player_id FROM right_change r LEFT JOIN channel c ON c.key = r.channel_key
         WHERE r.id > $1 AND r.id NOT IN (SELECT value::bigint FROM json_array_elements_text($2::json) AS j (value))
         ORDER BY r.id LIMIT $3",
    );
    Ok(db.all(BEHIND, values![id, &super::json(&known)?, BATCH]).await?)
}

/// Deletes what is older than a time, of the first `batch`. Says how many.
///
/// # Errors
/// The database's.
async fn forget(db: &Db, before: Millis, batch: i64) -> Result<u64> {
    let sql = "DELETE FROM right_change WHERE id IN
               (SELECT id FROM (SELECT id, changed_at FROM right_change ORDER BY id LIMIT $2) AS first WHERE changed_at < $1)";
    Ok(db.execute(sql, values![before, batch]).await?)
}

/// Retention, export and erasure rules of changes of rights.
pub(in crate::store) const LIFE: Life = Life {
    table: "right_change",
    kept: Kept::Swept("an hour; processes read it within seconds", |db, _, now| {
        Box::pin(forget(db, now - REMEMBER_MS, ROWS))
    }),
    exported: Exported::No("gone within the hour"),
    erased: &[],
    stays: &[("player_id", "an hour at most")],
};

/// Milliseconds for which a change of rights is kept: an hour.
const REMEMBER_MS: Millis = 3_600_000;

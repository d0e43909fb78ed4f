//! Refusals of the filter: their number for each player.

use crate::base::clock::Millis;
use crate::base::error::Result;
use crate::store::Db;
use crate::store::engine::sql::values;

/// Refusals of one player that are noted in a time: who goes on and on fills no table.
const MOST: i64 = 1_000;

/// Notes that something of a player's was refused, and says how often that was since a time.
///
/// # Errors
/// The database's.
pub async fn note(db: &Db, player: &str, since: Millis) -> Result<i64> {
    let now = db.now().await?;
    if count(db, player, since).await? < MOST {
        db.execute("INSERT INTO refusal (player_id, at) VALUES ($1, $2)", values![player, now]).await?;
    }
    // Behind the insert: of two at once, one sees both.
    count(db, player, since).await
}

/// Returns the number of times that something of a player's was refused since a time.
///
/// # Errors
/// The database's.
pub async fn count(db: &Db, player: &str, since: Millis) -> Result<i64> {
    let sql = "SELECT count(*) FROM refusal WHERE player_id = $1 AND at > $2";
    let count: Option<(i64,)> = db.optional(sql, values![player, since]).await?;
    Ok(count.map_or(0, |(count,)| count))
}

/// Forgets those before a time. Says how many there were.
///
/// # Errors
/// The database's.
async fn forget(db: &Db, before: Millis, batch: i64) -> Result<u64> {
    let sql = "DELETE FROM refusal WHERE id IN (SELECT id FROM refusal WHERE at < $1 ORDER BY at LIMIT $2)";
    Ok(db.execute(sql, values![before, batch]).await?)
}

/// Retention, export and erasure rules of refusals.
pub(in crate::store) const LIFE: Life = Life {
    table: "refusal",
    kept: Kept::Swept("as long as the ladder of sanctions looks back", |db, _, now| {
        Box::pin(forget(db, now - Ladder::RECORD_MS, ROWS))
    }),
    exported: Exported::Rows("refusal", |db, player| Box::pin(exported(db, player))),
    erased: &[Erased::Some(
        "DELETE FROM refusal WHERE (id) IN (SELECT id FROM refusal WHERE player_id = $1 LIMIT $2)",
    )],
    stays: &[],
};
use crate::chat::sanctions::Ladder;
use crate::store::life::{Erased, Exported, Kept, Life, ROWS};
use serde_json::{Value, json};

async fn exported(db: &Db, player: &str) -> Result<Vec<Value>> {
    let sql = "SELECT at FROM refusal WHERE player_id = $1 ORDER BY at";
    let rows: Vec<(Millis,)> = db.all(sql, values![player]).await?;
    Ok(rows.into_iter().map(|(at,)| json!({ "at": at })).collect())
}

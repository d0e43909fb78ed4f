//! How often each entry of the wordlist hit what players sent.

use serde::Serialize;
use sqlx::{FromRow, SqliteConnection};

use super::{Db, json};
use crate::clock::Millis;
use crate::error::Result;

/// An entry that hit something.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Hit {
    /// The list it is on.
    pub category: String,
    /// As the planner wrote it.
    pub entry: String,
}

/// An entry's count.
#[derive(Debug, FromRow)]
pub struct Count {
    /// The list it is on.
    pub category: String,
    /// As the planner wrote it.
    pub entry: String,
    /// Messages it hit.
    pub hits: i64,
    /// When it hit last.
    pub last_at: Millis,
}

pub(super) async fn add(tx: &mut SqliteConnection, hits: &[&Hit], now: Millis) -> Result<()> {
    sqlx::query(
        "INSERT INTO wordlist_hit (category, entry, hits, last_at)
         SELECT value ->> 'category', value ->> 'entry', count(*), $2 FROM json_each($1) WHERE TRUE GROUP BY 1, 2
         ON CONFLICT (category, entry) DO UPDATE SET hits = hits + excluded.hits, last_at = excluded.last_at",
    )
    .bind(json(&hits)?)
    .bind(now)
    .execute(tx)
    .await?;
    Ok(())
}

/// Counts the hits of a message that was refused, and so is not stored.
///
/// # Errors
/// The database's.
pub async fn count_refused(db: &Db, hits: &[Hit]) -> Result<()> {
    let mut tx = db.begin().await?;
    add(&mut tx, &hits.iter().collect::<Vec<_>>(), db.clock.now()).await?;
    tx.commit().await?;
    Ok(())
}

/// The entries that hit most.
///
/// # Errors
/// The database's.
pub async fn most(db: &Db, limit: i64) -> Result<Vec<Count>> {
    let counts = sqlx::query_as(
        "SELECT category, entry, hits, last_at FROM wordlist_hit ORDER BY hits DESC, entry LIMIT $1",
    )
    .bind(limit)
    .fetch_all(&db.read)
    .await?;
    Ok(counts)
}

//! How often each entry of the wordlist hit what players sent.

use serde::Serialize;
use sqlx::FromRow;

use super::engine::sql::{Sql, by_dialect, values};
use super::{Db, json};
use crate::base::clock::Millis;
use crate::base::error::Result;
use crate::chat::said::Hit;

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

/// A hit of a message in a batch.
#[derive(Serialize)]
pub(super) struct OfRow<'a> {
    /// The message's place in its batch.
    pub(super) n: usize,
    #[serde(flatten)]
    pub(super) hit: &'a Hit,
}

pub(super) const ADD_SQLITE: &str = "INSERT INTO wordlist_hit (category, entry, hits, last_at)
     SELECT value ->> 'category', value ->> 'entry', count(*), $2 FROM json_each($1) WHERE TRUE GROUP BY 1, 2
     ON CONFLICT (category, entry) DO UPDATE SET hits = hits + excluded.hits, last_at = excluded.last_at";

const ADD: Sql = by_dialect(
    ADD_SQLITE,
    "INSERT INTO wordlist_hit (category, entry, hits, last_at)
     SELECT value ->> 'category', value ->> 'entry', count(*), $2 FROM json_array_elements($1::json)
     GROUP BY 1, 2 ORDER BY 1, 2
     ON CONFLICT (category, entry) DO UPDATE SET hits = wordlist_hit.hits + excluded.hits, last_at = excluded.last_at",
);

/// Counts the hits of a message that was refused, and so is not stored.
///
/// # Errors
/// The database's.
pub async fn count_refused(db: &Db, hits: &[Hit]) -> Result<()> {
    db.execute(ADD, values![&json(&hits)?, db.now().await?]).await?;
    Ok(())
}

/// The entries that hit most.
///
/// # Errors
/// The database's.
pub async fn most(db: &Db, limit: i64) -> Result<Vec<Count>> {
    let counts = db
        .all(
            "SELECT category, entry, hits, last_at FROM wordlist_hit ORDER BY hits DESC, entry LIMIT $1",
            values![limit],
        )
        .await?;
    Ok(counts)
}

//! Number of times that each entry of the wordlist hit a message of a player.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sqlx::FromRow;

use super::Db;
use super::engine::sql::{Sql, by_dialect, values};
use super::engine::{Pools, text};
use super::times::Times;
use crate::base::clock::{Clock, Millis};
use crate::base::error::{Error, Result};
use crate::base::lock::lock;
use crate::chat::said::Hit;
use crate::store::engine::DbResult;
use crate::store::life::{Kept, Life};

/// An entry's count.
#[derive(Debug, FromRow)]
pub struct Count {
    /// The list it is on.
    pub category: String,
    /// As the planner wrote it.
    pub entry: String,
    /// Messages it hit.
    pub hits: i64,
    /// Time of the last hit.
    pub last_at: Millis,
}

/// Rows that one statement writes.
const ROWS: usize = 500;
/// Time for which counts are gathered: many senders hit the same row of the table, and none of them waits for it.
const GATHERED: Duration = Duration::from_secs(5);

/// Hits that are not in the table yet.
#[derive(Clone)]
pub(in crate::store) struct Hits {
    pools: Pools,
    clock: Clock,
    times: Arc<Times>,
    gathered: Arc<Mutex<Gathered>>,
}

#[derive(Default)]
struct Gathered {
    /// Entry -> how often it hit, and when last.
    counts: HashMap<Hit, (i64, Millis)>,
    /// Will somebody write them?
    awaited: bool,
}

impl Hits {
    pub(in crate::store) fn new(pools: Pools, clock: Clock, times: Arc<Times>) -> Self {
        Self { pools, clock, times, gathered: Arc::default() }
    }

    /// Counts hits, which are written within five seconds.
    pub(in crate::store) fn note(&self, hits: &[Hit]) {
        if hits.is_empty() {
            return;
        }
        let at = match self.pools {
            Pools::Sqlite { .. } => self.clock.now(),
            Pools::Postgres(_) => {
                self.times.now(&self.clock).map_or_else(|| self.clock.now(), |now| now + self.clock.passed())
            }
        };
        let mut gathered = lock(&self.gathered);
        for hit in hits {
            match gathered.counts.get_mut(hit) {
                Some(count) => *count = (count.0 + 1, count.1.max(at)),
                None => drop(gathered.counts.insert(hit.clone(), (1, at))),
            }
        }
        if !std::mem::replace(&mut gathered.awaited, true) {
            tokio::spawn(self.clone().write_later());
        }
    }

    async fn write_later(self) {
        loop {
            tokio::time::sleep(GATHERED).await;
            if let Err(error) = self.write().await {
                tracing::warn!(error = text(&error), "hits can't be counted now; trying again");
            }
            let mut gathered = lock(&self.gathered);
            if gathered.counts.is_empty() {
                gathered.awaited = false;
                return;
            }
        }
    }

    /// Writes what was gathered. What can't be written stays gathered.
    pub(in crate::store) async fn write(&self) -> DbResult<()> {
        const ADD: Sql = by_dialect(
            "INSERT INTO wordlist_hit (category, entry, hits, last_at)
             SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3 FROM json_each($1) WHERE TRUE
             ON CONFLICT (category, entry) DO UPDATE SET hits = hits + excluded.hits,
                last_at = max(last_at, excluded.last_at)",
            "INSERT INTO wordlist_hit (category, entry, hits, last_at)
             SELECT j.value ->> 0, j.value ->> 1, (j.value ->> 2)::bigint, (j.value ->> 3)::bigint
             FROM json_array_elements($1::json) AS j (value)
             ON CONFLICT (category, entry) DO UPDATE SET hits = wordlist_hit.hits + excluded.hits,
                last_at = greatest(wordlist_hit.last_at, excluded.last_at)",
        );
        let mut counts: Vec<_> = std::mem::take(&mut lock(&self.gathered).counts).into_iter().collect();
        // Several servers take the rows in one order.
        counts.sort();
        while !counts.is_empty() {
            let some = &counts[..counts.len().min(ROWS)];
            let rows: Vec<_> =
                some.iter().map(|(hit, (hits, at))| (&hit.category, &hit.entry, hits, at)).collect();
            let rows = serde_json::to_string(&rows).map_err(|error| sqlx::Error::Encode(error.into()))?;
            if let Err(error) = self.pools.execute(ADD, values![&rows]).await {
                let mut gathered = lock(&self.gathered);
                for (hit, (hits, at)) in counts {
                    let count = gathered.counts.entry(hit).or_default();
                    *count = (count.0 + hits, count.1.max(at));
                }
                return Err(error);
            }
            counts.drain(..some.len());
        }
        Ok(())
    }
}

/// Counts the hits of a message that was refused, and so is not stored.
pub fn note_refused(db: &Db, hits: &[Hit]) {
    db.hits.note(hits);
}

/// The entries that hit most: with all that this process knows of, and what others knew five seconds ago.
///
/// # Errors
/// The database's.
pub async fn most(db: &Db, limit: i64) -> Result<Vec<Count>> {
    // A task of its own: a caller who goes away amid it takes no counts along.
    let hits = db.hits.clone();
    tokio::spawn(async move { hits.write().await }).await.map_err(Error::internal)??;
    let counts = db
        .all(
            "SELECT category, entry, hits, last_at FROM wordlist_hit ORDER BY hits DESC, entry LIMIT $1",
            values![limit],
        )
        .await?;
    Ok(counts)
}

/// Retention, export and erasure rules of the counts of hits.
pub(in crate::store) const LIFE: Life = Life {
    table: "wordlist_hit",
    kept: Kept::Until("for good"),
    exported: crate::store::life::NOBODYS,
    erased: &[],
    stays: &[],
};

//! Taking tasks to run them: a hold on each of their keys, for a time, with the first tasks of each in their order.
//!
//! A look costs what it takes: it finds the keys whose heads are due by an index, and by the names of those tasks that who
//! asks can run. How many tasks wait, behind those heads or at all, changes nothing.

use std::collections::HashMap;

use sqlx::FromRow;

use super::keys::{self, WINDOW};
use super::{Leaving, Taken};
use crate::base::clock::Millis;
use crate::base::error::Result;
use crate::base::random;
use crate::store::engine::DbResult;
use crate::store::engine::sql::{Sql, Tx, by_dialect, values};
use crate::store::{Db, json};

/// Tasks of one key that are held, in their order.
#[derive(Debug)]
pub struct Lane {
    /// The key.
    pub key: String,
    /// Id of the holder.
    pub holder: String,
    /// The key's first tasks.
    pub tasks: Vec<Taken>,
}

/// The tasks that a worker asks for.
#[derive(Clone, Debug)]
pub struct LeaseRequest {
    /// The names of tasks that it can run, as a JSON list.
    names: String,
    /// The keys in question: a JSON list of 0 (any) and 1 (those given back by a worker that took them from a broker).
    marks: &'static str,
}

impl LeaseRequest {
    /// All that it can run.
    pub fn all<'a>(names: impl Iterator<Item = &'a str>) -> Self {
        Self { names: json_list(names), marks: "[0, 1]" }
    }

    /// Asks for keys that others gave back, as they could not run the tasks.
    pub fn given_back<'a>(names: impl Iterator<Item = &'a str>) -> Self {
        Self { names: json_list(names), marks: "[1]" }
    }
}

fn json_list<'a>(names: impl Iterator<Item = &'a str>) -> String {
    serde_json::Value::from_iter(names).to_string()
}

macro_rules! chosen_sqlite {
    () => {
        // CROSS JOIN: in this order. A list of names in an IN would be gone through key by key instead.
        "SELECT k.key AS chosen_key, k.due_at AS due FROM json_each($2) t CROSS JOIN json_each($3) m
         CROSS JOIN outbox_key k ON k.rowid IN (
            SELECT rowid FROM outbox_key i WHERE i.stage = $1 AND i.marked = m.value AND i.task = t.value
                AND i.due_at <= $4 AND i.parked_at IS NULL ORDER BY i.due_at LIMIT $5)
         ORDER BY k.due_at LIMIT $5"
    };
}

macro_rules! chosen_postgres {
    ($lock:literal) => {
        concat!(
            "SELECT k.key AS chosen_key, k.due_at AS due FROM json_array_elements_text($2::json) AS t (name)
             CROSS JOIN json_array_elements_text($3::json) AS m (mark)
             CROSS JOIN LATERAL (
                SELECT i.key, i.due_at FROM outbox_key i WHERE i.stage = $1 AND i.marked = m.mark::bigint
                    AND i.task = t.name AND i.due_at <= $4 AND i.parked_at IS NULL ORDER BY i.due_at LIMIT $5 ",
            $lock,
            ") k ORDER BY k.due_at LIMIT $5"
        )
    };
}

/// Is there anything to take? Looking costs a reader; only where there is something the writer hears of it.
async fn is_due(db: &Db, wanted: &LeaseRequest, now: Millis) -> DbResult<bool> {
    const DUE: Sql = by_dialect(
        concat!("SELECT 1 FROM (", chosen_sqlite!(), ") AS c LIMIT 1"),
        concat!("SELECT 1::bigint FROM (", chosen_postgres!(""), ") AS c LIMIT 1"),
    );
    let found: Vec<(i64,)> = db.all(DUE, values![db.stage, &wanted.names, wanted.marks, now, 1_i64]).await?;
    Ok(!found.is_empty())
}

/// A key as it was taken.
#[derive(Debug, FromRow)]
pub(in crate::store) struct TakenKey {
    pub(in crate::store) key: String,
    /// The hold that the key had before.
    pub(in crate::store) was: String,
}

/// Takes up to `limit` keys for `lease_ms`, whose heads are due and can be run by who asks: with the first tasks of each.
///
/// # Errors
/// The database's.
pub async fn lease(db: &Db, wanted: &LeaseRequest, limit: usize, lease_ms: Millis) -> Result<Vec<Lane>> {
    // Who else chooses at this moment is passed by, and does not choose the same.
    const TAKE: Sql = by_dialect(
        concat!(
            "WITH chosen AS MATERIALIZED (",
            chosen_sqlite!(),
            ") UPDATE outbox_key SET was = hold, hold = 'leased', holder = $6, due_at = $4 + $7, relay = '', relay_until = 0
             FROM chosen
             WHERE stage = $1 AND key = chosen_key RETURNING key, was"
        ),
        concat!(
            "WITH chosen AS MATERIALIZED (",
            chosen_postgres!("FOR UPDATE SKIP LOCKED"),
            // An array is looked up key by key; a join would be the other way round where the table seemed to be small.
            ") UPDATE outbox_key SET was = hold, hold = 'leased', holder = $6, due_at = $4 + $7, relay = '', relay_until = 0
             WHERE stage || '' = $1 AND key = ANY (ARRAY(SELECT chosen_key FROM chosen)) RETURNING key, was"
        ),
    );
    let now = db.now().await?;
    if limit == 0 {
        return Ok(Vec::new());
    }
    keys::sort_all_in(db).await?;
    if !is_due(db, wanted, now).await? {
        return Ok(Vec::new());
    }
    let (limit, holder) = (limit as i64, random::id());
    let mut tx = db.begin().await?;
    let values = values![db.stage, &wanted.names, wanted.marks, now, limit, &holder, lease_ms];
    let taken: Vec<TakenKey> = tx.all(TAKE, values).await?;
    let mut tasks = first_tasks(&mut tx, db, &taken).await?;
    let mut lanes = Vec::with_capacity(taken.len());
    for TakenKey { key, .. } in taken {
        let tasks = tasks.remove(&key).unwrap_or_default();
        let due: Vec<Leaving> = tasks.into_iter().take_while(|task| task.not_before <= now).collect();
        if due.is_empty() {
            // Its tasks were erased, or its head is another now.
            keys::settle(&mut tx, db, &key, false).await?;
            continue;
        }
        if due.iter().any(|task| task.published_at > 0) {
            let ids: Vec<&str> = due.iter().map(|task| task.id.as_str()).collect();
            forget_published(&mut tx, &json(&ids)?).await?;
        }
        let tasks = due.into_iter().map(Leaving::into_taken).collect();
        lanes.push(Lane { key, holder: holder.clone(), tasks });
    }
    tx.commit().await?;
    Ok(lanes)
}

/// The first tasks of keys that were taken, by key. Where a worker had a key before and did not come back, that was a try of its head: or a task that kills its worker would never be given up.
pub(in crate::store) async fn first_tasks(
    tx: &mut Tx,
    db: &Db,
    taken: &[TakenKey],
) -> Result<HashMap<String, Vec<Leaving>>> {
    const FIRST: Sql = by_dialect(
        "SELECT o.id, o.task, o.key, o.payload, o.attempt, o.created_at, o.trace, o.not_before, o.published_at, o.faults, o.failing_since
         FROM json_each($2) j CROSS JOIN outbox o ON o.n IN (
            SELECT n FROM outbox i WHERE i.stage = $1 AND i.key = j.value ORDER BY i.place, i.n LIMIT $3)
         ORDER BY o.key, o.place, o.n",
        "SELECT o.id, o.task, o.key, o.payload, o.attempt, o.created_at, o.trace, o.not_before, o.published_at, o.faults, o.failing_since
         FROM json_array_elements_text($2::json) AS j (value) CROSS JOIN LATERAL (
            SELECT * FROM outbox i WHERE i.stage = $1 AND i.key = j.value ORDER BY i.place, i.n LIMIT $3) AS o
         ORDER BY o.key, o.place, o.n",
    );
    const TRIED: Sql = by_dialect(
        "UPDATE outbox SET attempt = attempt + 1, faults = faults + 1 WHERE id IN (SELECT value FROM json_each($1))",
        "UPDATE outbox SET attempt = attempt + 1, faults = faults + 1
         WHERE id = ANY (ARRAY(SELECT json_array_elements_text($1::json)))",
    );
    if taken.is_empty() {
        return Ok(HashMap::new());
    }
    let names: Vec<&str> = taken.iter().map(|key| key.key.as_str()).collect();
    let found: Vec<Leaving> = tx.all(FIRST, values![db.stage, &json(&names)?, WINDOW]).await?;
    let mut tasks: HashMap<String, Vec<Leaving>> = HashMap::new();
    for task in found {
        tasks.entry(task.key.clone()).or_default().push(task);
    }
    let mut tried = Vec::new();
    for key in taken.iter().filter(|key| key.was.starts_with("leased")) {
        if let Some(head) = tasks.get_mut(&key.key).and_then(|tasks| tasks.first_mut()) {
            head.attempt += 1;
            head.faults += 1;
            tried.push(head.id.clone());
        }
    }
    if !tried.is_empty() {
        tx.execute(TRIED, values![&json(&tried)?]).await?;
    }
    Ok(tasks)
}

/// Notes that the broker no longer has these rows.
async fn forget_published(tx: &mut Tx, ids: &str) -> DbResult<()> {
    const FORGET: Sql = by_dialect(
        "UPDATE outbox SET published_at = 0 WHERE id IN (SELECT value FROM json_each($1))",
        "UPDATE outbox SET published_at = 0 WHERE id = ANY (ARRAY(SELECT json_array_elements_text($1::json)))",
    );
    tx.execute(FORGET, values![ids]).await?;
    Ok(())
}

/// Holds a key for `lease_ms` from now on. False where it was given to another meanwhile.
///
/// # Errors
/// The database's.
pub async fn renew(db: &Db, lane: &Lane, lease_ms: Millis) -> Result<bool> {
    const RENEW: &str =
        "UPDATE outbox_key SET due_at = $4 WHERE key = $2 AND stage || '' = $1 AND holder = $3";
    let until = db.now().await? + lease_ms;
    Ok(db.execute(RENEW, values![db.stage, &lane.key, &lane.holder, until]).await? > 0)
}

/// Lets a key go whose tasks were not all run.
///
/// # Errors
/// The database's.
pub async fn release(db: &Db, lane: &Lane) -> Result<()> {
    let mut tx = db.begin().await?;
    let key = keys::lock(&mut tx, db, &lane.key).await?;
    if let Some(key) = key.filter(|key| key.holder == lane.holder) {
        keys::settle(&mut tx, db, &lane.key, key.marked > 0).await?;
        tx.commit().await?;
    }
    Ok(())
}

/// Frees what an earlier process held, where no other can be at work; each such hold was a try. What is to be tried again
/// later than any retry may wait was dated by a clock that has been set back since.
///
/// # Errors
/// The database's.
pub async fn free(db: &Db, longest_wait_ms: Millis) -> Result<()> {
    const HELD: &str =
        "UPDATE outbox_key SET due_at = $2 WHERE stage = $1 AND hold = 'leased' AND due_at > $2";
    const AHEAD: &str = "UPDATE outbox SET not_before = $2 WHERE stage = $1 AND failing_since IS NOT NULL
        AND not_before > $2 + $3";
    const KEYS: &str = "UPDATE outbox_key SET due_at = $2 WHERE stage = $1 AND hold = '' AND due_at > $2 + $3
        AND EXISTS (SELECT 1 FROM outbox o WHERE o.n = outbox_key.n AND o.not_before <= $2)";
    let now = db.now().await?;
    let mut tx = db.begin().await?;
    tx.execute(HELD, values![db.stage, now]).await?;
    tx.execute(AHEAD, values![db.stage, now, longest_wait_ms]).await?;
    tx.execute(KEYS, values![db.stage, now, longest_wait_ms]).await?;
    tx.commit().await?;
    Ok(())
}

//! Tasks that wait, that run and that were given up, as operators and figures see them.
//!
//! Nothing here reads all of a table that grows: what is counted is counted up to a bound, and the oldest of each kind is
//! found by an index.

use sqlx::FromRow;

use crate::base::clock::Millis;
use crate::base::error::{Error, Result};
use crate::chat::states::TaskState;
use crate::store::Db;
use crate::store::engine::sql::values;

/// Rows are counted up to so many; there may be more.
pub const COUNTED: i64 = 10_000;

/// A task as an operator sees it.
#[derive(Debug, FromRow)]
pub struct Listed {
    /// The task's id.
    pub id: String,
    /// Tasks of one key run one after the other. Of a done one it is a hash.
    pub key: String,
    /// The task's name.
    pub task: String,
    /// State of the task.
    #[sqlx(try_from = "String")]
    pub state: TaskState,
    /// Number of tries.
    pub attempt: i64,
    /// Reason why the last try failed.
    pub reason: Option<String>,
    /// The task's fields, as JSON; nothing is kept of a done task.
    pub payload: String,
}

macro_rules! waiting {
    ($where:literal) => {
        concat!(
            "SELECT id, task, key, CASE WHEN published_at > 0 THEN 'sent' ELSE 'ready' END AS state, attempt, reason, payload
             FROM outbox WHERE ",
            $where
        )
    };
}
macro_rules! dead {
    ($where:literal) => {
        concat!(
            "SELECT id, task, key, 'dead' AS state, attempt, reason, payload FROM outbox_dead WHERE ",
            $where
        )
    };
}
macro_rules! done {
    ($where:literal) => {
        concat!(
            "SELECT id, task, key_digest AS key, 'done' AS state, attempt, CAST(NULL AS TEXT) AS reason, '{}' AS payload
             FROM outbox_done WHERE ",
            $where
        )
    };
}

/// The newest tasks in a state, of this stage.
///
/// # Errors
/// The database's.
pub async fn list(db: &Db, state: TaskState, limit: i64) -> Result<Vec<Listed>> {
    let sql = match state {
        TaskState::Ready => waiting!("stage = $1 AND published_at = 0 ORDER BY n DESC LIMIT $2"),
        TaskState::Sent => waiting!("stage = $1 AND published_at > 0 ORDER BY n DESC LIMIT $2"),
        TaskState::Dead => dead!("stage = $1 ORDER BY finished_at DESC, id DESC LIMIT $2"),
        TaskState::Done => done!("stage = $1 ORDER BY finished_at DESC LIMIT $2"),
    };
    Ok(db.all(sql, values![db.stage, limit]).await?)
}

/// One task.
///
/// # Errors
/// [`Error::NotFound`] where there is none.
pub async fn find(db: &Db, id: &str) -> Result<Listed> {
    const FIND: &str =
        concat!(waiting!("id = $1"), " UNION ALL ", dead!("id = $1"), " UNION ALL ", done!("id = $1"));
    db.optional(FIND, values![id]).await?.ok_or(Error::NotFound("task"))
}

/// Counts of tasks that wait and that were given up.
#[derive(Debug, Default)]
pub struct Status {
    /// To be run, or to be handed to the broker.
    pub ready: i64,
    /// Handed to the broker.
    pub sent: i64,
    /// Given up.
    pub dead: i64,
    /// Of keys that were set aside.
    pub parked: i64,
    /// Time that the oldest task of each kind has waited since it was stored or planned for, in milliseconds.
    pub oldest: Vec<(String, Millis)>,
}

/// Keys that wait for somebody who can run their heads.
#[derive(Debug, FromRow)]
pub struct Left {
    /// The head's name.
    pub task: String,
    /// Number of keys.
    pub keys: i64,
    /// Time at which the first key was due.
    pub due_at: Millis,
}

impl Status {
    /// Returns the number of tasks that wait.
    pub fn depth(&self) -> i64 {
        self.ready + self.sent
    }

    /// Returns the time that the oldest task has waited, in milliseconds.
    pub fn oldest_ms(&self) -> Millis {
        self.oldest.iter().map(|(_, ms)| *ms).max().unwrap_or_default()
    }
}

/// Counts what waits, and what was given up, of this stage.
///
/// # Errors
/// The database's.
pub async fn status(db: &Db) -> Result<Status> {
    const COUNTS: &str = "SELECT CASE WHEN published_at > 0 THEN 'sent' ELSE 'ready' END AS what, count(*)
            FROM (SELECT published_at FROM outbox WHERE stage = $1 ORDER BY task, since LIMIT $2) AS o GROUP BY 1
        UNION ALL SELECT 'dead', count(*) FROM (SELECT 1 FROM outbox_dead WHERE stage = $1 ORDER BY finished_at LIMIT $2) AS d
        UNION ALL SELECT 'parked', count(*)
            FROM (SELECT 1 FROM outbox_key k CROSS JOIN outbox o
                  WHERE k.stage = $1 AND k.parked_at IS NOT NULL AND o.stage = k.stage AND o.key = k.key LIMIT $2) AS p";
    // From kind to kind by the index, rather than through all rows.
    const OLDEST: &str = "WITH RECURSIVE kind (task) AS (
            SELECT (SELECT task FROM outbox WHERE stage = $1 ORDER BY task LIMIT 1)
            UNION ALL SELECT (SELECT o.task FROM outbox o WHERE o.stage = $1 AND o.task > kind.task ORDER BY o.task LIMIT 1)
            FROM kind WHERE kind.task IS NOT NULL)
        SELECT task, (SELECT o.since FROM outbox o WHERE o.stage = $1 AND o.task = kind.task ORDER BY o.since LIMIT 1) AS since
        FROM kind WHERE task IS NOT NULL";
    let mut status = Status::default();
    let now = db.now().await?;
    for (what, count) in db.all::<(String, i64)>(COUNTS, values![db.stage, COUNTED]).await? {
        match what.as_str() {
            "ready" => status.ready = count,
            "sent" => status.sent = count,
            "dead" => status.dead = count,
            _ => status.parked = count,
        }
    }
    let oldest: Vec<(String, Option<Millis>)> = db.all(OLDEST, values![db.stage]).await?;
    status.oldest = oldest
        .into_iter()
        // What is planned for later does not wait yet.
        .filter_map(|(task, since)| Some((task, now - since?)))
        .filter(|(_, ms)| *ms >= 0)
        .collect();
    Ok(status)
}

/// Keys that have been due for `ms` and that nobody took, though their heads are none of `names`: by head. With `marked`, only
/// those that workers at a broker gave back.
///
/// # Errors
/// The database's.
pub async fn left(db: &Db, names: &[&str], marked: bool, ms: Millis) -> Result<Vec<Left>> {
    const KEYS: &str = "SELECT $3 AS task, count(*) AS keys, coalesce(min(due_at), 0) AS due_at FROM (
        SELECT due_at FROM outbox_key WHERE stage = $1 AND marked = $2 AND task = $3 AND due_at < $4
        AND hold <> 'sent' ORDER BY due_at LIMIT $5) AS k";
    let before = db.now().await? - ms;
    let mut left = Vec::new();
    for (mark, task) in kinds(db, names, marked).await? {
        let found: Option<Left> = db.optional(KEYS, values![db.stage, mark, &task, before, COUNTED]).await?;
        left.extend(found.filter(|found| found.keys > 0));
    }
    Ok(left)
}

/// The names of keys' heads that are none of `names`, each with whether such keys were given back.
pub(super) async fn kinds(db: &Db, names: &[&str], marked: bool) -> Result<Vec<(i64, String)>> {
    const KINDS: &str = "WITH RECURSIVE kind (task) AS (
            SELECT min(task) FROM outbox_key WHERE stage = $1 AND marked = $2
            UNION ALL SELECT (SELECT min(k.task) FROM outbox_key k WHERE k.stage = $1 AND k.marked = $2 AND k.task > kind.task)
            FROM kind WHERE kind.task IS NOT NULL)
        SELECT task FROM kind WHERE task IS NOT NULL AND task <> ''";
    let mut kinds = Vec::new();
    let marks: &[i64] = if marked { &[1] } else { &[0, 1] };
    for mark in marks {
        let found: Vec<(String,)> = db.all(KINDS, values![db.stage, *mark]).await?;
        let others = found.into_iter().filter(|(task,)| !names.contains(&task.as_str()));
        kinds.extend(others.map(|(task,)| (*mark, task)));
    }
    Ok(kinds)
}

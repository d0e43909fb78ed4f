//! Keys that have tasks: which task is a key's head, when somebody has to look at it next, and who holds it.
//!
//! A key's row is the lock of its tasks. Whoever changes it takes it first (`lock`) and reads the head behind that
//! (`settle`), so a row that is enqueued meanwhile is either seen there, or finds the key as it is left.

use sqlx::FromRow;

use crate::base::clock::Millis;
use crate::base::error::Result;
use crate::store::Db;
use crate::store::engine::sql::{Sql, Tx, by_dialect, values};

/// Rows that one look sorts in.
const SORTED: i64 = 256;
/// Of a key's tasks a broker has so many at most: the others wait in the table, where they hold no worker up.
pub(in crate::store) const WINDOW: i64 = 16;
/// Once it has no more than so many, it gets more.
const REFILL: i64 = 8;
/// A task that the broker had so long without a worker's word is handed over again; a second delivery has no effect.
pub(in crate::store) const FORGOTTEN_MS: Millis = 3_600_000;

/// Tells keys of rows that nobody has sorted in yet.
pub(in crate::store) async fn sort_in(tx: &mut Tx, db: &Db) -> sqlx::Result<()> {
    const CHOOSE: &str = "SELECT coalesce(max(n), 0) FROM
        (SELECT n FROM outbox_open WHERE stage = $1 ORDER BY n LIMIT $2) AS o";
    macro_rules! into_keys {
        ($rows:literal) => {
            concat!(
                "INSERT INTO outbox_key (stage, key, task, place, n, due_at) ",
                $rows,
                // A key that waits has another head if this one comes before it. One of which a broker has some is looked at
                // again when the new one is due. All else reads its head when it is let go.
                " ON CONFLICT (key, stage) DO UPDATE SET
                    task = CASE WHEN outbox_key.hold = '' THEN excluded.task ELSE outbox_key.task END,
                    place = CASE WHEN outbox_key.hold = '' THEN excluded.place ELSE outbox_key.place END,
                    n = CASE WHEN outbox_key.hold = '' THEN excluded.n ELSE outbox_key.n END,
                    due_at = CASE WHEN outbox_key.hold = '' OR excluded.due_at < outbox_key.due_at
                             THEN excluded.due_at ELSE outbox_key.due_at END
                  WHERE outbox_key.hold = 'sent'
                     OR (outbox_key.hold = '' AND (excluded.place, excluded.n) < (outbox_key.place, outbox_key.n))"
            )
        };
    }
    const SORT_SQLITE: &str = into_keys!(
        "SELECT stage, key, task, place, n, not_before FROM
            (SELECT o.*, row_number() OVER (PARTITION BY o.key ORDER BY o.place, o.n) AS nth
             FROM outbox_open p CROSS JOIN outbox o ON o.id = p.id WHERE p.stage = $1 AND p.n <= $2) WHERE nth = 1"
    );
    const SORT_POSTGRES: &str = concat!(
        "WITH chosen AS MATERIALIZED (
            SELECT n AS chosen_n FROM outbox_open WHERE stage = $1 ORDER BY n LIMIT $2 FOR UPDATE SKIP LOCKED
         ), opened AS (
            DELETE FROM outbox_open WHERE stage = $1 AND n = ANY (ARRAY(SELECT chosen_n FROM chosen)) RETURNING id
         ), found AS MATERIALIZED (
            SELECT * FROM outbox WHERE id = ANY (ARRAY(SELECT id FROM opened))
         ) ",
        into_keys!(
            "SELECT DISTINCT ON (o.key) o.stage, o.key, o.task, o.place, o.n, o.not_before
             FROM found o ORDER BY o.key, o.place, o.n"
        )
    );
    if tx.is_sqlite() {
        let (last,): (i64,) = tx.one(CHOOSE, values![db.stage, SORTED]).await?;
        if last > 0 {
            tx.execute(SORT_SQLITE, values![db.stage, last]).await?;
            tx.execute("DELETE FROM outbox_open WHERE stage = $1 AND n <= $2", values![db.stage, last])
                .await?;
        }
    } else {
        tx.execute(SORT_POSTGRES, values![db.stage, SORTED]).await?;
    }
    Ok(())
}

/// A key's row.
#[derive(Debug, FromRow)]
pub(in crate::store) struct KeyRow {
    pub(in crate::store) hold: String,
    pub(in crate::store) holder: String,
    pub(in crate::store) due_at: Millis,
    pub(in crate::store) marked: i64,
    pub(in crate::store) parked_at: Option<Millis>,
}

/// Takes a key's row until the commit. (A stage with nothing behind it: PostgreSQL, which may think that hardly any keys wait,
/// would go through all of a stage's.) None where the key has no tasks.
pub(in crate::store) async fn lock(tx: &mut Tx, db: &Db, key: &str) -> sqlx::Result<Option<KeyRow>> {
    const LOCK: Sql = by_dialect(
        "SELECT hold, holder, due_at, marked, parked_at FROM outbox_key WHERE key = $2 AND stage || '' = $1",
        "SELECT hold, holder, due_at, marked, parked_at FROM outbox_key WHERE key = $2 AND stage || '' = $1 FOR UPDATE",
    );
    tx.optional(LOCK, values![db.stage, key]).await
}

/// A task's place in its key.
#[derive(Debug, FromRow)]
struct Place {
    task: String,
    place: i64,
    n: i64,
    not_before: Millis,
    published_at: Millis,
}

/// Lets a key go, whose row is locked: it waits for its head, or for what a broker has of it; without tasks it is no more.
/// Its turn comes behind those that wait already, however old its tasks are: so no key keeps others from theirs.
pub(in crate::store) async fn settle(tx: &mut Tx, db: &Db, key: &str, marked: bool) -> sqlx::Result<()> {
    const FIRST: &str = "SELECT task, place, n, not_before, published_at FROM outbox
        WHERE stage = $1 AND key = $2 ORDER BY place, n LIMIT $3";
    const PARKED: &str = "UPDATE outbox_key SET hold = 'parked', holder = '', due_at = $3, marked = 0
        WHERE key = $2 AND stage || '' = $1 AND parked_at IS NOT NULL";
    macro_rules! waits {
        ($due:literal) => {
            concat!(
                "UPDATE outbox_key SET task = $3, place = $4, n = $5, due_at = ",
                $due,
                ", hold = $7, holder = '', marked = $8 WHERE key = $2 AND stage || '' = $1"
            )
        };
    }
    const WAITS: Sql = by_dialect(waits!("max($6, $9)"), waits!("greatest($6, $9)"));
    if tx.execute(PARKED, values![db.stage, key, Millis::MAX]).await? > 0 {
        return Ok(());
    }
    let first: Vec<Place> = tx.all(FIRST, values![db.stage, key, REFILL]).await?;
    let Some(head) = first.first() else {
        tx.execute("DELETE FROM outbox_key WHERE key = $2 AND stage || '' = $1", values![db.stage, key])
            .await?;
        return Ok(());
    };
    let hold = if head.published_at > 0 { "sent" } else { "" };
    let forgotten = head.published_at + FORGOTTEN_MS;
    let due = first.iter().find(|row| row.published_at == 0).map_or(forgotten, |row| row.not_before);
    let Place { task, place, n, .. } = head;
    // Where the time is not known without asking, its turn is as early as its head's was.
    let (marked, now) = (i64::from(marked), db.known_now().unwrap_or_default());
    tx.execute(WAITS, values![db.stage, key, task, *place, *n, due, hold, marked, now]).await?;
    Ok(())
}

/// Forgets that a broker has tasks of a key, whose row is locked.
pub(in crate::store) async fn forget_handed(tx: &mut Tx, db: &Db, key: &str) -> sqlx::Result<bool> {
    // What it has of a key stands among the first.
    const FORGET: &str = "UPDATE outbox SET published_at = 0 WHERE published_at > 0 AND n IN
        (SELECT n FROM outbox WHERE stage = $1 AND key = $2 ORDER BY place, n LIMIT $3)";
    Ok(tx.execute(FORGET, values![db.stage, key, 4 * WINDOW]).await? > 0)
}

/// Sets a key aside: its tasks, and new ones, wait until it is taken up again. Says how many wait, of ten thousand at most.
///
/// # Errors
/// The database's.
pub async fn park(db: &Db, key: &str, reason: &str) -> Result<i64> {
    // What runs at this moment comes to its end.
    const PARK: &str = "INSERT INTO outbox_key (stage, key, task, place, n, due_at, hold, parked_at, reason)
        VALUES ($1, $2, '', 0, 0, $3, 'parked', $4, $5)
        ON CONFLICT (key, stage) DO UPDATE SET parked_at = excluded.parked_at, reason = excluded.reason,
            hold = CASE WHEN outbox_key.hold = 'leased' THEN outbox_key.hold ELSE excluded.hold END,
            due_at = CASE WHEN outbox_key.hold = 'leased' THEN outbox_key.due_at ELSE excluded.due_at END";
    const TASKS: &str = "SELECT count(*) FROM (SELECT 1 FROM outbox WHERE stage = $1 AND key = $2 ORDER BY place, n LIMIT 10000) AS o";
    db.execute(PARK, values![db.stage, key, Millis::MAX, db.now().await?, reason]).await?;
    let tasks: Option<(i64,)> = db.optional(TASKS, values![db.stage, key]).await?;
    Ok(tasks.map_or(0, |(tasks,)| tasks))
}

/// Takes a key up again that was set aside. False where it was not.
///
/// # Errors
/// The database's.
pub async fn unpark(db: &Db, key: &str) -> Result<bool> {
    const UNPARK: &str = "UPDATE outbox_key SET parked_at = NULL, reason = NULL
        WHERE key = $2 AND stage || '' = $1 AND parked_at IS NOT NULL";
    let mut tx = db.begin().await?;
    let Some(row) = lock(&mut tx, db, key).await? else { return Ok(false) };
    let was_parked = tx.execute(UNPARK, values![db.stage, key]).await? > 0;
    if was_parked && row.hold != "leased" {
        // Whoever had it when it was set aside may be gone.
        forget_handed(&mut tx, db, key).await?;
        settle(&mut tx, db, key, row.marked > 0).await?;
    }
    tx.commit().await?;
    Ok(was_parked)
}

/// A key as an operator sees it.
#[derive(Debug, FromRow)]
pub struct Waiting {
    /// The key.
    pub key: String,
    /// Its tasks among the oldest ten thousand.
    pub tasks: i64,
    /// When the oldest of them was stored, or planned for.
    pub since: Millis,
    /// Its head's name; empty where nobody has looked at it yet.
    pub task: String,
    /// Who has it: nobody, a worker (`leased`), the broker (`sent`, `handing`), or an operator set it aside (`parked`).
    pub hold: String,
    /// When its head may run, or its hold ends.
    pub due_at: Millis,
    /// Why it was set aside.
    pub reason: Option<String>,
}

/// The keys of the oldest ten thousand tasks, those that wait longest first; and keys that are set aside.
///
/// # Errors
/// The database's.
pub async fn waiting(db: &Db, limit: i64) -> Result<Vec<Waiting>> {
    const OLDEST: &str =
        "SELECT w.key, w.tasks, w.since, coalesce(k.task, '') AS task, coalesce(k.hold, '') AS hold,
            coalesce(k.due_at, w.since) AS due_at, k.reason
        FROM (SELECT key, count(*) AS tasks, min(since) AS since
              FROM (SELECT key, since FROM outbox WHERE stage = $1 ORDER BY n LIMIT 10000) AS o
              GROUP BY key ORDER BY since LIMIT $2) AS w
        LEFT JOIN outbox_key k ON k.stage = $1 AND k.key = w.key ORDER BY w.since, w.key";
    const PARKED: &str =
        "SELECT key, CAST(0 AS BIGINT) AS tasks, parked_at AS since, task, hold, due_at, reason
        FROM outbox_key WHERE stage = $1 AND parked_at IS NOT NULL ORDER BY parked_at LIMIT $2";
    let mut keys: Vec<Waiting> = db.all(OLDEST, values![db.stage, limit]).await?;
    let parked: Vec<Waiting> = db.all(PARKED, values![db.stage, limit]).await?;
    let more: Vec<Waiting> =
        parked.into_iter().filter(|one| !keys.iter().any(|key| key.key == one.key)).collect();
    keys.extend(more);
    Ok(keys)
}

//! Keys that have tasks: which task is a key's head, when somebody has to look at it next, and who holds it.
//!
//! A key's row is the lock of its tasks. Whoever changes it takes it first (`lock`) and reads the head behind that
//! (`settle`), so a row that is enqueued meanwhile is either seen there, or finds the key as it is left.

use std::collections::BTreeSet;

use sqlx::FromRow;

use crate::base::clock::Millis;
use crate::base::error::Result;
use crate::store::Db;
use crate::store::engine::DbResult;
use crate::store::engine::sql::{Sql, Tx, by_dialect, values};

/// Rows that one step sorts in, and steps of one look.
const SORTED: i64 = 256;
const STEPS: usize = 16;
/// Of a key's tasks a broker has so many at most: the others wait in the table, where they hold no worker up.
pub(in crate::store) const WINDOW: i64 = 16;
/// Once it has no more than so many, it gets more.
const REFILL: i64 = 8;
/// A key's head that the broker had so long without a worker's word is handed over again; a second delivery has no effect. It
/// costs a record for each key that waits, at this pace.
pub(in crate::store) const FORGOTTEN_MS: Millis = 120_000;

/// Sorts in what waits for that, in steps, up to some thousand rows: whoever looks next goes on.
pub(in crate::store) async fn sort_all_in(db: &Db) -> DbResult<()> {
    const OPEN: &str = "SELECT n FROM outbox_open WHERE stage = $1 LIMIT 1";
    for _ in 0..STEPS {
        if db.all::<(i64,)>(OPEN, values![db.stage]).await?.is_empty() {
            break;
        }
        let mut tx = db.begin().await?;
        sort_in(&mut tx, db).await?;
        tx.commit().await?;
    }
    Ok(())
}

/// Tells keys of rows that nobody has sorted in yet.
async fn sort_in(tx: &mut Tx, db: &Db) -> DbResult<()> {
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
    pub(in crate::store) relay: String,
    pub(in crate::store) marked: i64,
    pub(in crate::store) parked_at: Option<Millis>,
}

/// Takes a key's row until the commit. (A stage with nothing behind it: PostgreSQL, which may think that hardly any keys wait,
/// would go through all of a stage's.) None where the key has no tasks.
pub(in crate::store) async fn lock(tx: &mut Tx, db: &Db, key: &str) -> DbResult<Option<KeyRow>> {
    const LOCK: Sql = by_dialect(
        "SELECT hold, holder, due_at, relay, marked, parked_at FROM outbox_key WHERE key = $2 AND stage || '' = $1",
        "SELECT hold, holder, due_at, relay, marked, parked_at FROM outbox_key WHERE key = $2 AND stage || '' = $1 FOR UPDATE",
    );
    tx.optional(LOCK, values![db.stage, key]).await
}

/// A task's place in its key.
#[derive(Debug, FromRow)]
struct KeyPosition {
    task: String,
    place: i64,
    n: i64,
    not_before: Millis,
    published_at: Millis,
}

/// Lets a key go, whose row is locked: it waits for its head, or for what a broker has of it; without tasks it is no more.
/// Its turn comes behind those that wait already, however old its tasks are: so no key keeps others from theirs.
pub(in crate::store) async fn settle(tx: &mut Tx, db: &Db, key: &str, marked: bool) -> DbResult<()> {
    settle_by(tx, db, key, marked, "").await
}

/// The same by who was to hand tasks of it over, and has. As long as that is another's, the key stays theirs until they tell what
/// the broker has, or are given up on: they may have died before it had any.
pub(in crate::store) async fn settle_by(
    tx: &mut Tx,
    db: &Db,
    key: &str,
    marked: bool,
    relay: &str,
) -> DbResult<()> {
    const FIRST: &str = "SELECT task, place, n, not_before, published_at FROM outbox
        WHERE stage = $1 AND key = $2 ORDER BY place, n LIMIT $3";
    const PARKED: &str = "UPDATE outbox_key SET hold = 'parked', holder = '', due_at = $3, marked = 0, relay = '', relay_until = 0
        WHERE key = $2 AND stage || '' = $1 AND parked_at IS NOT NULL";
    macro_rules! waits {
        ($due:literal) => {
            concat!(
                "UPDATE outbox_key SET task = $3, place = $4, n = $5, marked = $8,
                    due_at = CASE WHEN hold = 'handing' AND holder <> $10 THEN due_at
                                  WHEN relay <> '' THEN relay_until ELSE ",
                $due,
                " END,
                    hold = CASE WHEN (hold = 'handing' AND holder <> $10) OR relay <> '' THEN 'handing' ELSE $7 END,
                    holder = CASE WHEN hold = 'handing' AND holder <> $10 THEN holder ELSE relay END,
                    relay = '', relay_until = 0
                  WHERE key = $2 AND stage || '' = $1"
            )
        };
    }
    const WAITS: Sql = by_dialect(waits!("max($6, $9)"), waits!("greatest($6, $9)"));
    if tx.execute(PARKED, values![db.stage, key, Millis::MAX]).await? > 0 {
        return Ok(());
    }
    let first: Vec<KeyPosition> = tx.all(FIRST, values![db.stage, key, REFILL]).await?;
    let Some(head) = first.first() else {
        tx.execute("DELETE FROM outbox_key WHERE key = $2 AND stage || '' = $1", values![db.stage, key])
            .await?;
        return Ok(());
    };
    let hold = if head.published_at > 0 { "sent" } else { "" };
    let forgotten = head.published_at + FORGOTTEN_MS;
    let due = first.iter().find(|row| row.published_at == 0).map_or(forgotten, |row| row.not_before);
    let KeyPosition { task, place, n, .. } = head;
    // Where the time is not known without asking, its turn is as early as its head's was.
    let (marked, now) = (i64::from(marked), db.known_now().unwrap_or_default());
    tx.execute(WAITS, values![db.stage, key, task, *place, *n, due, hold, marked, now, relay]).await?;
    Ok(())
}

/// Forgets that a broker has tasks of a key, whose row is locked.
pub(in crate::store) async fn forget_handed(tx: &mut Tx, db: &Db, key: &str) -> DbResult<bool> {
    // What it has of a key stands among the first.
    const FORGET: &str = "UPDATE outbox SET published_at = 0 WHERE published_at > 0 AND n IN
        (SELECT n FROM outbox WHERE stage = $1 AND key = $2 ORDER BY place, n LIMIT $3)";
    Ok(tx.execute(FORGET, values![db.stage, key, 4 * WINDOW]).await? > 0)
}

/// Does another task of a key wait behind its first?
///
/// # Errors
/// The database's.
pub async fn has_next(db: &Db, key: &str) -> Result<bool> {
    const NEXT: &str =
        "SELECT n FROM outbox WHERE stage = $1 AND key = $2 ORDER BY place, n LIMIT 1 OFFSET 1";
    Ok(db.optional::<(i64,)>(NEXT, values![db.stage, key]).await?.is_some())
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
    const ANEW: &str = "UPDATE outbox SET failing_since = NULL WHERE failing_since IS NOT NULL AND n IN
        (SELECT n FROM outbox WHERE stage = $1 AND key = $2 ORDER BY place, n LIMIT $3)";
    let mut tx = db.begin().await?;
    let Some(row) = lock(&mut tx, db, key).await? else { return Ok(false) };
    let was_parked = tx.execute(UNPARK, values![db.stage, key]).await? > 0;
    if was_parked {
        // What went before was long ago: the time in which it was set aside is none of its tries'.
        tx.execute(ANEW, values![db.stage, key, 4 * WINDOW]).await?;
    }
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
    /// Number of tasks, ten thousand at most.
    pub tasks: i64,
    /// Time at which the oldest of them was stored, or for which it was planned.
    pub since: Millis,
    /// Name of the key's head; empty where nobody has looked at it yet.
    pub task: String,
    /// Hold on the key: empty for none, `leased` by a worker, `sent` or `handing` for the broker, or `parked` where an
    /// operator set the key aside.
    pub hold: String,
    /// Time at which the key's head may run, or at which the hold ends.
    pub due_at: Millis,
    /// Reason for which the key was set aside.
    pub reason: Option<String>,
}

/// The keys whose heads have waited longest, and those that are set aside; `limit` of each.
///
/// # Errors
/// The database's.
pub async fn waiting(db: &Db, limit: i64) -> Result<Vec<Waiting>> {
    // Those that have been due for longest, and those of the oldest tasks, which others may have in their hands.
    const DUE: &str = "SELECT key FROM outbox_key WHERE stage = $1 AND marked = 0 AND parked_at IS NULL ORDER BY due_at LIMIT $2";
    const MARKED: &str =
        "SELECT key FROM outbox_key WHERE stage = $1 AND marked = 1 ORDER BY task, due_at LIMIT $2";
    const OLDEST: &str = "SELECT DISTINCT key FROM
        (SELECT key FROM outbox WHERE stage = $1 ORDER BY n LIMIT 10000) AS o LIMIT $2";
    const PARKED: &str =
        "SELECT key FROM outbox_key WHERE stage = $1 AND parked_at IS NOT NULL ORDER BY parked_at LIMIT $2";
    const ONE: &str = "SELECT $2 AS key, w.tasks, coalesce(h.since, k.parked_at, 0) AS since, coalesce(h.task, k.task, '') AS task,
            coalesce(k.hold, '') AS hold, coalesce(k.due_at, h.since, 0) AS due_at, k.reason
        FROM (SELECT count(*) AS tasks FROM (SELECT 1 FROM outbox WHERE stage = $1 AND key = $2 ORDER BY place, n LIMIT 10000) AS o) w
        LEFT JOIN (SELECT task, since FROM outbox WHERE stage = $1 AND key = $2 ORDER BY place, n LIMIT 1) h ON TRUE
        LEFT JOIN outbox_key k ON k.key = $2 AND k.stage || '' = $1";
    let mut keys = BTreeSet::new();
    for statement in [DUE, MARKED, OLDEST, PARKED] {
        let found: Vec<(String,)> = db.all(statement, values![db.stage, limit]).await?;
        keys.extend(found.into_iter().map(|(key,)| key));
    }
    let mut waiting = Vec::with_capacity(keys.len());
    for key in keys {
        waiting.extend(db.all::<Waiting>(ONE, values![db.stage, &key]).await?);
    }
    waiting.sort_by_key(|key| (key.hold == "parked", key.since));
    let parked = waiting.iter().position(|key| key.hold == "parked").unwrap_or(waiting.len());
    waiting.drain(parked.min(limit as usize)..parked);
    Ok(waiting)
}

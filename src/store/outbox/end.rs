//! Ends of tries: done, to be tried again, or dead; and the state of the key after each.

use sha2::{Digest, Sha256};

use super::keys;
use super::lease::Lane;
use super::status::kinds;
use crate::base::clock::Millis;
use crate::base::error::{Error, Result};
use crate::base::random;
use crate::outside::envelope::Envelope;
use crate::store::Db;
use crate::store::engine::sql::{Sql, Tx, by_dialect, values};

/// The end of a try.
#[derive(Clone, Copy, Debug)]
pub enum End {
    /// The task did its work.
    Done,
    /// Try again.
    Again {
        /// In so many milliseconds.
        after_ms: Millis,
        /// The others of its key wait meanwhile.
        in_order: bool,
        /// The fault was our own.
        fault: bool,
    },
    /// No try was made: try in so many milliseconds.
    Postponed(Millis),
    /// Nobody will try again, until a person asks for it.
    Dead,
}

/// Moves rows of the outbox to the dead ones.
macro_rules! bury_where {
    ($which:literal) => {
        concat!(
            "INSERT INTO outbox_dead (id, task, key, payload, attempt, created_at, trace, finished_at, reason, stage, n)
             SELECT id, task, key, payload, attempt + $3, created_at, trace, $1, $2, stage, n FROM outbox WHERE ",
            $which,
            " ON CONFLICT DO NOTHING"
        )
    };
}

/// Records how a try ended; `reason` says why it failed. With the `last` of a lane, or one that is to be tried again, its key
/// is let go. False where the key is not whose it was: given to another meanwhile, whose word counts then, or set aside; or where
/// the task was given up meanwhile.
///
/// # Errors
/// The database's.
pub async fn finish(
    db: &Db,
    lane: &Lane,
    (envelope, last): (&Envelope, bool),
    end: End,
    reason: Option<&str>,
) -> Result<bool> {
    const DEAD: &str = bury_where!("id = $4 AND attempt = $5");
    const GONE: &str = "DELETE FROM outbox WHERE id = $1 AND attempt = $2";
    const DONE: &str = "INSERT INTO outbox_done (id, task, key_digest, attempt, finished_at, stage)
        VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING";
    const AGAIN: &str =
        "UPDATE outbox SET attempt = attempt + 1, not_before = $3, published_at = 0, reason = $4,
        place = CASE WHEN $5 THEN place ELSE $3 END, failing_since = coalesce(failing_since, $6),
        faults = faults + $7
        WHERE id = $1 AND attempt = $2";
    const POSTPONED: &str = "UPDATE outbox SET not_before = $3, published_at = 0, reason = $4
        WHERE id = $1 AND attempt = $2";
    let (id, attempt, now) = (&envelope.id, envelope.attempt, db.now().await?);
    let mut tx = db.begin().await?;
    let held = keys::lock(&mut tx, db, &lane.key).await?.filter(|key| key.holder == lane.holder);
    let Some(held) = held else { return Ok(false) };
    let ended = matches!(end, End::Done | End::Dead);
    let mut is_there = true;
    match end {
        End::Done => {
            if tx.execute(GONE, values![id, attempt]).await? > 0 {
                let (task, digest) = (&envelope.task, digest(&envelope.key));
                tx.execute(DONE, values![id, task, &digest, attempt + 1, now, db.stage]).await?;
            } else {
                // Somebody gave it up meanwhile, and may have what is behind it, too: who takes the key next sees that.
                is_there = false;
            }
        }
        End::Dead => {
            tx.execute(DEAD, values![now, reason, 1_i64, id, attempt]).await?;
            tx.execute(GONE, values![id, attempt]).await?;
        }
        End::Again { after_ms, in_order, fault } => {
            let values = values![id, attempt, now + after_ms, reason, in_order, now, i64::from(fault)];
            tx.execute(AGAIN, values).await?;
        }
        End::Postponed(after_ms) => {
            tx.execute(POSTPONED, values![id, attempt, now + after_ms, reason]).await?;
        }
    }
    let is_parked = held.parked_at.is_some();
    if last || !ended || is_parked || !is_there {
        keys::settle(&mut tx, db, &lane.key, !ended && held.marked > 0).await?;
    }
    tx.commit().await?;
    Ok(!is_parked && is_there)
}

/// Ends a task that nobody can run: what is wrong with it is wrong everywhere. A worker that has its key goes on with what it
/// runs. One that the outbox does not have is kept as it came.
///
/// # Errors
/// The database's.
pub async fn give_up(db: &Db, envelope: &Envelope, reason: &str) -> Result<()> {
    const DEAD: &str = bury_where!("id = $4 AND attempt = $5");
    const GONE: &str = "DELETE FROM outbox WHERE id = $1 AND attempt = $2";
    let (id, attempt, now) = (&envelope.id, envelope.attempt, db.now().await?);
    let mut tx = db.begin().await?;
    let held = keys::lock(&mut tx, db, &envelope.key).await?;
    let buried = tx.execute(DEAD, values![now, reason, 1_i64, id, attempt]).await?;
    tx.execute(GONE, values![id, attempt]).await?;
    if let Some(held) = held.filter(|held| held.hold != "leased" || held.due_at <= now) {
        keys::settle(&mut tx, db, &envelope.key, held.marked > 0).await?;
    }
    tx.commit().await?;
    if buried > 0 { Ok(()) } else { bury(db, id, envelope.payload.get(), reason).await }
}

fn digest(key: &str) -> String {
    random::to_hex(&Sha256::digest(key)[..16])
}

/// Was an id given to a task of this key?
///
/// # Errors
/// The database's.
pub async fn is_of_key(db: &Db, id: &str, key: &str) -> Result<bool> {
    const KEYS: &str =
        "SELECT key FROM outbox WHERE id = $1 UNION ALL SELECT key FROM outbox_dead WHERE id = $1
        UNION ALL SELECT key_digest FROM outbox_done WHERE id = $1";
    let keys: Vec<(String,)> = db.all(KEYS, values![id]).await?;
    Ok(keys.iter().any(|(found,)| found == key || *found == digest(key)))
}

/// Forgets tasks that were done before a time; dead ones stay. Says how many.
///
/// # Errors
/// The database's.
pub async fn forget_done(db: &Db, before: Millis, batch: i64) -> Result<u64> {
    const FORGET: &str = "DELETE FROM outbox_done WHERE id IN (SELECT id FROM outbox_done
        WHERE finished_at < $1 ORDER BY finished_at LIMIT $2)";
    Ok(db.execute(FORGET, values![before, batch]).await?)
}

/// Keeps what is no task at all, under the name of the place it came from, with the reason.
///
/// # Errors
/// The database's.
pub async fn bury(db: &Db, id: &str, letter: &str, reason: &str) -> Result<()> {
    const BURY: &str = "INSERT INTO outbox_dead
            (id, task, key, payload, attempt, created_at, finished_at, reason, stage)
        VALUES ($1, 'unreadable', $1, $2, 0, $3, $3, $4, $5) ON CONFLICT DO NOTHING";
    db.execute(BURY, values![id, letter, db.now().await?, reason, db.stage]).await?;
    Ok(())
}

/// A filter for the tasks that an operator means.
#[derive(Clone, Copy, Debug)]
pub struct TaskFilter<'a> {
    /// Of this name.
    pub kind: &'a str,
    /// Given up, or stored, since.
    pub since: Millis,
    /// Given up, or stored, before: so that what dies again, or comes, meanwhile is not taken too.
    pub until: Millis,
    /// Of dead ones: with this in their reason.
    pub reason: &'a str,
}

/// Makes dead tasks ready again, behind what waits of their keys: at most `batch`, those that died first. Says how many.
///
/// # Errors
/// The database's.
pub async fn revive_some(db: &Db, which: TaskFilter<'_>, batch: i64) -> Result<u64> {
    macro_rules! choose {
        ($place:literal) => {
            concat!(
                "SELECT id FROM outbox_dead WHERE stage = $1 AND task = $2 AND finished_at >= $3 AND finished_at < $6
                 AND ($4 = '' OR ",
                $place,
                "(reason, $4) > 0) ORDER BY finished_at, n LIMIT $5"
            )
        };
    }
    const CHOOSE: Sql = by_dialect(choose!("instr"), choose!("strpos"));
    let TaskFilter { kind, since, until, reason } = which;
    let chosen: Vec<(String,)> = db.all(CHOOSE, values![db.stage, kind, since, reason, batch, until]).await?;
    revive_all(db, chosen.into_iter().map(|(id,)| id).collect()).await
}

/// Makes a dead task ready again.
///
/// # Errors
/// [`Error::NotFound`] where no dead task has that id.
pub async fn revive(db: &Db, id: &str) -> Result<()> {
    if revive_all(db, vec![id.to_owned()]).await? == 0 { Err(Error::NotFound("dead task")) } else { Ok(()) }
}

async fn revive_all(db: &Db, ids: Vec<String>) -> Result<u64> {
    // Their numbers are new ones, in the order in which they were given up, and before that stood. Whoever revives the same at this moment finds its row there, or gone.
    const REVIVE: &str =
        "INSERT INTO outbox (id, task, key, payload, created_at, since, not_before, trace, reason, stage)
        SELECT id, task, key, payload, created_at, $2, $2, trace, reason, stage FROM outbox_dead
        WHERE id = $1 AND task <> 'unreadable' ON CONFLICT DO NOTHING";
    const OPEN: &str = "INSERT INTO outbox_open (stage, n, id) SELECT stage, n, id FROM outbox WHERE id = $1 ON CONFLICT DO NOTHING";
    const GONE: &str = "DELETE FROM outbox_dead WHERE id = $1";
    let now = db.now().await?;
    let mut tx = db.begin().await?;
    let mut revived = 0;
    for id in &ids {
        if tx.execute(REVIVE, values![id, now]).await? > 0 {
            tx.execute(OPEN, values![id]).await?;
            tx.execute(GONE, values![id]).await?;
            revived += 1;
        }
    }
    tx.commit().await?;
    Ok(revived)
}

/// Gives up tasks of a kind that wait: at most `batch`, the oldest. Says how many. One that a worker has in its hands may come to
/// its end all the same.
///
/// # Errors
/// The database's.
pub async fn drop_some(db: &Db, which: TaskFilter<'_>, batch: i64) -> Result<u64> {
    const CHOOSE: &str = "SELECT key FROM outbox WHERE stage = $1 AND task = $2 AND since >= $3 AND since < $5 ORDER BY since LIMIT $4";
    let TaskFilter { kind, since, until, .. } = which;
    let now = db.now().await?;
    let chosen: Vec<(String,)> = db.all(CHOOSE, values![db.stage, kind, since, batch, until]).await?;
    let mut keys: Vec<String> = chosen.into_iter().map(|(key,)| key).collect();
    keys.sort();
    keys.dedup();
    let mut dropped = 0;
    for key in keys {
        let mut tx = db.begin().await?;
        let held = keys::lock(&mut tx, db, &key).await?;
        dropped += drop_of_key(&mut tx, db, &key, (which, batch), now).await?;
        // Who works on it, or hands it over, lets it go by themselves.
        if held.is_some_and(|held| !(matches!(held.hold.as_str(), "leased" | "handing") && held.due_at > now))
        {
            keys::settle(&mut tx, db, &key, false).await?;
        }
        tx.commit().await?;
    }
    Ok(dropped)
}

async fn drop_of_key(
    tx: &mut Tx,
    db: &Db,
    key: &str,
    (which, batch): (TaskFilter<'_>, i64),
    now: Millis,
) -> Result<u64> {
    const OF_KEY: &str = "SELECT id FROM outbox WHERE stage = $1 AND key = $2 AND task = $3 AND since >= $4
        AND since < $6 ORDER BY place, n LIMIT $5";
    let TaskFilter { kind, since, until, reason } = which;
    const DEAD: &str = bury_where!("id = $4");
    const GONE: &str = "DELETE FROM outbox WHERE id = $1";
    let ids: Vec<(String,)> = tx.all(OF_KEY, values![db.stage, key, kind, since, batch, until]).await?;
    let mut dropped = 0;
    for (id,) in ids {
        tx.execute(DEAD, values![now, reason, 0_i64, &id]).await?;
        dropped += tx.execute(GONE, values![&id]).await?;
    }
    Ok(dropped)
}

/// Gives up heads of keys whose names are none of `names`, and that were due before a time: nobody could run them since. With
/// `marked`, only of keys that workers at a broker gave back. Says how many; there may be more.
///
/// # Errors
/// The database's.
pub async fn expire(db: &Db, names: &[&str], marked: bool, (before, reason): (Millis, &str)) -> Result<u64> {
    const DUE: &str =
        "SELECT key FROM outbox_key WHERE stage = $1 AND marked = $2 AND task = $3 AND due_at < $4
        AND hold <> 'sent' ORDER BY due_at LIMIT 500";
    let mut expired = 0;
    for (mark, task) in kinds(db, names, marked).await? {
        let due: Vec<(String,)> = db.all(DUE, values![db.stage, mark, &task, before]).await?;
        for (key,) in due {
            let gone = expire_head(db, &key, before, reason).await?;
            if gone > 0 {
                tracing::error!(task, key, reason, "a task is given up");
                metrics::counter!("guildhall_tasks_dead_total", "task" => task.clone(), "reason" => "unrunnable")
                    .increment(gone);
            }
            expired += gone;
        }
    }
    Ok(expired)
}

async fn expire_head(db: &Db, key: &str, before: Millis, reason: &str) -> Result<u64> {
    const HEAD: &str = "SELECT id, task FROM outbox WHERE stage = $1 AND key = $2 ORDER BY place, n LIMIT 1";
    const DEAD: &str = bury_where!("id = $4");
    const GONE: &str = "DELETE FROM outbox WHERE id = $1";
    // The next of the same name could not be run either since then, or since it was stored. One of another name has its turn.
    const SINCE: &str = "UPDATE outbox_key SET due_at =
            (SELECT CASE WHEN o.not_before > $4 THEN o.not_before ELSE $4 END FROM outbox o WHERE o.n = outbox_key.n)
        WHERE key = $2 AND stage || '' = $1 AND task = $3 AND hold = ''";
    let now = db.now().await?;
    let mut tx = db.begin().await?;
    let held = keys::lock(&mut tx, db, key).await?;
    // Whoever held it, so long ago, is no more.
    let Some(held) = held.filter(|held| held.hold != "sent" && held.due_at < before) else { return Ok(0) };
    let head: Option<(String, String)> = tx.optional(HEAD, values![db.stage, key]).await?;
    let mut gone = 0;
    if let Some((id, _)) = &head {
        tx.execute(DEAD, values![now, reason, 0_i64, id]).await?;
        gone = tx.execute(GONE, values![id]).await?;
    }
    keys::settle_by(&mut tx, db, key, held.marked > 0, &held.holder).await?;
    if let Some((_, task)) = &head {
        tx.execute(SINCE, values![db.stage, key, task, held.due_at]).await?;
    }
    tx.commit().await?;
    Ok(gone)
}

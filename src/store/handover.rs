//! Tasks between the outbox and a broker: handed over after the commit that stored them, taken when delivered.
//!
//! One relay at a time hands tasks of a key over, in their order, and no more of them than a worker can have waiting. A
//! delivery has an effect only if it is of its key's head, for its present attempt, and while nobody works on the key: so
//! second, late and reordered ones have none. One that comes too early for that is given back: the outbox has it again, and
//! it is handed over in its turn.

use std::collections::{BTreeMap, HashSet};

use sqlx::FromRow;

use super::engine::sql::{Sql, Tx, by_dialect, values};
use super::outbox::{
    FORGOTTEN_MS, Lane, Leaving, Taken, TakenKey, first_tasks, forget_handed, lock, settle, settle_by,
    sort_all_in,
};
use super::{Db, json};
use crate::base::clock::Millis;
use crate::base::error::Result;
use crate::base::random;
use crate::outside::envelope::Envelope;
use crate::store::engine::DbResult;

/// A process that died between taking a task and handing it to the broker is given up on after this.
const HANDING_OVER_MS: Millis = 30_000;
/// Keys that one step lets be handed over again.
const KEYS_AT_ONCE: i64 = 200;

macro_rules! due_keys {
    () => {
        "SELECT key AS chosen_key FROM outbox_key WHERE stage = $1 AND marked = 0 AND due_at <= $2 \
         AND parked_at IS NULL ORDER BY due_at LIMIT $3"
    };
}

macro_rules! take_keys {
    ($lock:literal, $chosen:literal) => {
        concat!(
            "WITH chosen AS MATERIALIZED (",
            due_keys!(),
            $lock,
            ") UPDATE outbox_key SET was = CASE WHEN relay <> '' THEN hold || ' handing' ELSE hold END,
                hold = 'handing', holder = $4, due_at = $2 + $5, relay = '', relay_until = 0
             WHERE stage || '' = $1 AND key ",
            $chosen,
            " RETURNING key, was"
        )
    };
}

/// Tasks that a relay hands over.
#[derive(Debug, Default)]
pub struct Handing {
    holder: String,
    /// Keys whose tasks these are.
    keys: Vec<String>,
    /// The tasks; those of a key in their order.
    pub envelopes: Vec<Envelope>,
}

impl Handing {
    /// That of some keys, which can be let go while others are still on their way.
    #[must_use]
    pub fn of_keys(&self, keys: &HashSet<&str>) -> Self {
        let of = |envelope: &&Envelope| keys.contains(envelope.key.as_str());
        Self {
            holder: self.holder.clone(),
            keys: self.keys.iter().filter(|key| keys.contains(key.as_str())).cloned().collect(),
            envelopes: self.envelopes.iter().filter(of).cloned().collect(),
        }
    }
}

/// Takes tasks of up to `limit` keys to hand to the broker: due ones, and those whose worker died or that were forgotten.
///
/// # Errors
/// The database's.
pub async fn take_unpublished(db: &Db, limit: i64) -> Result<Handing> {
    // Several instances hand over at once, each other keys.
    const TAKE: Sql = by_dialect(
        take_keys!("", "IN (SELECT chosen_key FROM chosen)"),
        take_keys!(" FOR UPDATE SKIP LOCKED", "= ANY (ARRAY(SELECT chosen_key FROM chosen))"),
    );
    const ANY: &str = concat!("SELECT 1 FROM (", due_keys!(), ") AS k");
    const ANY_POSTGRES: &str = concat!("SELECT 1::bigint FROM (", due_keys!(), ") AS k");
    let now = db.now().await?;
    // Looking costs a reader; only where something waits does the writer hear of it.
    sort_all_in(db).await?;
    if db.all::<(i64,)>(by_dialect(ANY, ANY_POSTGRES), values![db.stage, now, 1_i64]).await?.is_empty() {
        return Ok(Handing::default());
    }
    let holder = random::id();
    let mut tx = db.begin().await?;
    let taken: Vec<TakenKey> = tx.all(TAKE, values![db.stage, now, limit, &holder, HANDING_OVER_MS]).await?;
    let mut tasks = first_tasks(&mut tx, db, &taken).await?;
    let mut handing = Handing { holder, ..Handing::default() };
    let mut by_age = BTreeMap::new();
    for TakenKey { key, was } in taken {
        let due =
            tasks.remove(&key).unwrap_or_default().into_iter().take_while(|task| task.not_before <= now);
        let due: Vec<Envelope> = due
            .enumerate()
            .filter(|(nth, task)| is_to_hand_over(*nth, task, &was, now))
            .map(envelope)
            .collect();
        if due.is_empty() {
            settle_by(&mut tx, db, &key, false, &handing.holder).await?;
        } else {
            by_age.insert((due[0].created_at, due[0].id.clone()), due);
            handing.keys.push(key);
        }
    }
    handing.envelopes = by_age.into_values().flatten().collect();
    note_handed_over(&mut tx, &handing.envelopes, now).await?;
    tx.commit().await?;
    Ok(handing)
}

/// The broker has the others already.
fn is_to_hand_over(nth: usize, task: &Leaving, was: &str, now: Millis) -> bool {
    task.published_at == 0
        || (nth == 0 && task.published_at <= now - FORGOTTEN_MS)
        // A relay died before or after the broker had them; a worker, over the first.
        || was.ends_with("handing")
        || (was.starts_with("leased") && nth == 0)
}

fn envelope((_, task): (usize, Leaving)) -> Envelope {
    task.into_taken().envelope
}

async fn note_handed_over(tx: &mut Tx, envelopes: &[Envelope], at: Millis) -> Result<()> {
    const NOTE: Sql = by_dialect(
        "UPDATE outbox SET published_at = $2 WHERE id IN (SELECT value FROM json_each($1))",
        "UPDATE outbox SET published_at = $2 WHERE id = ANY (ARRAY(SELECT json_array_elements_text($1::json)))",
    );
    if !envelopes.is_empty() {
        let ids: Vec<&str> = envelopes.iter().map(|envelope| envelope.id.as_str()).collect();
        tx.execute(NOTE, values![&json(&ids)?, at]).await?;
    }
    Ok(())
}

/// Notes which tasks the broker has (`true`), and which it has not and are to be handed over again.
///
/// # Errors
/// The database's.
pub async fn note_published(db: &Db, handing: &Handing, acknowledged: &[bool]) -> Result<()> {
    // A worker may have been faster: then the try is over, and its number is another.
    const NOT: &str = "UPDATE outbox SET published_at = 0 WHERE id = $1 AND attempt = $2";
    const TOLD: &str =
        "UPDATE outbox_key SET relay = '', relay_until = 0 WHERE key = $2 AND stage || '' = $1";
    let mut tx = db.begin().await?;
    let mut keys: Vec<&String> = handing.keys.iter().collect();
    keys.sort();
    let mut held = Vec::with_capacity(keys.len());
    for key in keys {
        let Some(row) = lock(&mut tx, db, key).await? else { continue };
        if row.relay == handing.holder {
            // A worker has it by now, and lets it go in its time.
            tx.execute(TOLD, values![db.stage, key]).await?;
        } else if row.holder == handing.holder || row.hold == "sent" {
            held.push((key, row.marked > 0));
        }
    }
    for (envelope, acknowledged) in handing.envelopes.iter().zip(acknowledged) {
        if !acknowledged {
            tx.execute(NOT, values![&envelope.id, envelope.attempt]).await?;
        }
    }
    for (key, marked) in held {
        settle_by(&mut tx, db, key, marked, &handing.holder).await?;
    }
    tx.commit().await?;
    Ok(())
}

/// A row that was delivered.
#[derive(FromRow)]
struct Delivered {
    key: String,
    attempt: i64,
    not_before: Millis,
    faults: i64,
    failing_since: Option<Millis>,
    stage: String,
}

const DELIVERED: &str =
    "SELECT key, attempt, not_before, faults, failing_since, stage FROM outbox WHERE id = $1";

/// Takes a task that the broker delivered for `lease_ms`. None where there is nothing to do: it has ended, was tried again
/// already, is in another's hands, or is not its key's head; then it comes again in its turn.
///
/// # Errors
/// The database's.
pub async fn claim(db: &Db, envelope: &Envelope, lease_ms: Millis) -> Result<Option<Lane>> {
    const HEAD: &str = "SELECT id FROM outbox WHERE stage = $1 AND key = $2 ORDER BY place, n LIMIT 1";
    // Whoever hands tasks of it over at this moment may die over that: it is waited for beside.
    const TAKE: &str = "UPDATE outbox_key SET hold = 'leased', holder = $3, due_at = $4,
            relay = CASE WHEN hold = 'handing' THEN holder ELSE relay END,
            relay_until = CASE WHEN hold = 'handing' THEN due_at ELSE relay_until END
        WHERE key = $2 AND stage || '' = $1";
    let now = db.now().await?;
    let mut tx = db.begin().await?;
    let Some(row) = delivered(&mut tx, db, envelope, now).await? else { return Ok(None) };
    let key = lock(&mut tx, db, &row.key).await?;
    let head: Option<(String,)> = tx.optional(HEAD, values![db.stage, &row.key]).await?;
    let is_head = head.is_some_and(|(id,)| id == envelope.id);
    let is_free =
        key.as_ref().is_some_and(|key| key.hold != "leased" && key.parked_at.is_none() && key.marked == 0);
    if !is_head || !is_free {
        give_row_back(&mut tx, envelope).await?;
        tx.commit().await?;
        return Ok(None);
    }
    // Behind the lock: whoever had it may have ended the task meanwhile, or put it off.
    let row: Option<Delivered> = tx.optional(DELIVERED, values![&envelope.id]).await?;
    let Some(row) = row.filter(|row| row.attempt == envelope.attempt) else {
        tx.commit().await?;
        return Ok(None);
    };
    // Put off, or stored a moment ago by a process whose clock is a little ahead: it comes again when it is due.
    if row.not_before > now {
        give_row_back(&mut tx, envelope).await?;
        settle(&mut tx, db, &row.key, false).await?;
        tx.commit().await?;
        return Ok(None);
    }
    let holder = random::id();
    tx.execute(TAKE, values![db.stage, &row.key, &holder, now + lease_ms]).await?;
    tx.commit().await?;
    let taken = Taken { envelope: envelope.clone(), faults: row.faults, failing_since: row.failing_since };
    Ok(Some(Lane { key: row.key, holder, tasks: vec![taken] }))
}

/// Gives a task back that the broker delivered to one that can't run it: whoever can takes it from the table. That was no try,
/// and the others of its key wait behind it.
///
/// # Errors
/// The database's.
pub async fn give_back(db: &Db, envelope: &Envelope) -> Result<()> {
    let mut tx = db.begin().await?;
    let Some(row) = delivered(&mut tx, db, envelope, db.now().await?).await? else { return Ok(()) };
    let key = lock(&mut tx, db, &row.key).await?;
    give_row_back(&mut tx, envelope).await?;
    // Whoever works on its key now lets it go by themselves; and they could run its head.
    if key.is_some_and(|key| key.hold != "leased") {
        settle(&mut tx, db, &row.key, true).await?;
    }
    tx.commit().await?;
    Ok(())
}

async fn give_row_back(tx: &mut Tx, envelope: &Envelope) -> DbResult<()> {
    const BACK: &str = "UPDATE outbox SET published_at = 0 WHERE id = $1 AND attempt = $2";
    tx.execute(BACK, values![&envelope.id, envelope.attempt]).await?;
    Ok(())
}

/// The row of a delivered task, with its key's. One that came from elsewhere is noted first. None where it has ended, where
/// another try of it is on its way, or where it is another stage's.
async fn delivered(tx: &mut Tx, db: &Db, envelope: &Envelope, now: Millis) -> Result<Option<Delivered>> {
    const ENDED: &str =
        "SELECT id FROM outbox_done WHERE id = $1 UNION ALL SELECT id FROM outbox_dead WHERE id = $1";
    const NOTE: &str = "INSERT INTO outbox
            (id, task, key, payload, attempt, created_at, since, not_before, trace, published_at, stage)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $7, $8, $7, $9) ON CONFLICT DO NOTHING";
    const KEY: &str = "INSERT INTO outbox_key (stage, key, task, place, n, due_at, hold)
        SELECT stage, key, task, place, n, not_before, 'sent' FROM outbox WHERE id = $1 ON CONFLICT DO NOTHING";
    let Envelope { id, task, key, payload, attempt, created_at, trace, .. } = envelope;
    let mut row: Option<Delivered> = tx.optional(DELIVERED, values![id]).await?;
    if row.is_none() {
        // Behind the look at the row: what ended in between is seen here.
        if tx.optional::<(String,)>(ENDED, values![id]).await?.is_some() {
            return Ok(None);
        }
        let (payload, trace) = (payload.get(), trace.as_deref());
        let values = values![id, task, key, payload, *attempt, *created_at, now, trace, db.stage];
        tx.execute(NOTE, values).await?;
        row = tx.optional(DELIVERED, values![id]).await?;
    }
    let Some(row) = row.filter(|row| row.attempt == *attempt && row.stage == db.stage) else {
        return Ok(None);
    };
    tx.execute(KEY, values![id]).await?;
    Ok(Some(row))
}

/// Has what a broker had handed over once more, or run from the table: its topic is new, it lost its newest records, or there
/// is no broker any more. A late delivery finds its task in other hands. Says how many keys that were.
///
/// # Errors
/// The database's.
pub async fn hand_over_again(db: &Db) -> Result<u64> {
    const NEXT: &str =
        "SELECT key FROM outbox_key WHERE stage = $1 AND hold <> '' AND key > $2 ORDER BY key LIMIT $3";
    let (mut last, mut count) = (String::new(), 0);
    loop {
        let keys: Vec<(String,)> = db.all(NEXT, values![db.stage, &last, KEYS_AT_ONCE]).await?;
        let Some((newest,)) = keys.last().cloned() else { return Ok(count) };
        let mut tx = db.begin().await?;
        for (key,) in &keys {
            let Some(row) = lock(&mut tx, db, key).await? else { continue };
            count += u64::from(forget_handed(&mut tx, db, key).await?);
            // Who works on its head, or hands tasks over at this moment, lets it go by themselves.
            if row.hold == "sent" {
                settle(&mut tx, db, key, row.marked > 0).await?;
            }
        }
        tx.commit().await?;
        last = newest;
    }
}

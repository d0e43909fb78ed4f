//! Tasks between the outbox and a broker: handed over after the commit that stored them, taken when delivered.
//!
//! A delivery has an effect only for the row's present attempt and while nobody works on it, so that second, late and
//! reordered ones have none.

use super::engine::sql::{Sql, by_dialect, values};
use super::outbox::envelopes;
use super::{Db, json};
use crate::base::clock::Millis;
use crate::base::error::Result;
use crate::outside::envelope::Envelope;

/// A process that died between taking a task and handing it to the broker is given up on after this.
const HANDING_OVER_MS: Millis = 30_000;
/// A task that the broker had so long without a worker's word is handed over again; a second delivery has no effect.
const FORGOTTEN_MS: Millis = 3_600_000;

macro_rules! unpublished {
    () => {
        "stage = $4 AND ((state = 'ready' AND not_before <= $1 AND published_at <= $2) OR \
          (state = 'sent' AND leased_until > 0 AND leased_until <= $1) OR \
          (state = 'sent' AND leased_until = 0 AND published_at <= $3))"
    };
}

macro_rules! take_unpublished {
    ($lock:literal) => {
        concat!(
            "WITH taken AS MATERIALIZED (SELECT id AS taken_id FROM outbox WHERE ",
            unpublished!(),
            " ORDER BY not_before, id LIMIT $5 ",
            $lock,
            ") UPDATE outbox SET published_at = $1, leased_until = 0, state = 'ready', ",
            // A lease that ran out means that its worker died: that was a try, too.
            "attempt = attempt + CASE WHEN leased_until > 0 THEN 1 ELSE 0 END ",
            "FROM taken WHERE id = taken_id ",
            "RETURNING id, task, key, payload, attempt, created_at, trace"
        )
    };
}

/// Takes up to `limit` tasks to hand to the broker: due ones, and those whose worker died or that were forgotten.
///
/// # Errors
/// The database's.
pub async fn take_unpublished(db: &Db, limit: i64) -> Result<Vec<Envelope>> {
    const UNPUBLISHED: Sql = by_dialect(
        take_unpublished!(""),
        // Several instances hand over at once, each other rows.
        take_unpublished!("FOR UPDATE SKIP LOCKED"),
    );
    let now = db.now().await?;
    let values = values![now, now - HANDING_OVER_MS, now - FORGOTTEN_MS, db.stage, limit];
    // Looking costs a reader; only where something waits does the writer hear of it.
    if db.all::<(i64,)>(ANY_UNPUBLISHED, &values[..4]).await?.is_empty() {
        return Ok(Vec::new());
    }
    Ok(envelopes(db.change(UNPUBLISHED, values).await?))
}

const ANY_UNPUBLISHED: &str =
    concat!("SELECT CAST(1 AS BIGINT) FROM outbox WHERE ", unpublished!(), " LIMIT 1");

/// Notes which tasks the broker has (`true`), and which it has not and are to be handed over again.
///
/// # Errors
/// The database's.
pub async fn note_published(db: &Db, envelopes: &[Envelope], acknowledged: &[bool]) -> Result<()> {
    // A worker may have been faster: then the try is over, and its number is another.
    const NOTE: Sql = by_dialect(
        "UPDATE outbox SET state = CASE WHEN j.value ->> 2 THEN 'sent' ELSE 'ready' END,
                published_at = CASE WHEN j.value ->> 2 THEN published_at ELSE 0 END
         FROM json_each($1) j
         WHERE outbox.id = j.value ->> 0 AND outbox.attempt = j.value ->> 1 AND outbox.state = 'ready'",
        "UPDATE outbox SET state = CASE WHEN (j.value ->> 2)::boolean THEN 'sent' ELSE 'ready' END,
                published_at = CASE WHEN (j.value ->> 2)::boolean THEN published_at ELSE 0 END
         FROM json_array_elements($1::json) AS j (value)
         WHERE outbox.id = j.value ->> 0 AND outbox.attempt = (j.value ->> 1)::bigint AND outbox.state = 'ready'",
    );
    let rows: Vec<_> = envelopes
        .iter()
        .zip(acknowledged)
        .map(|(envelope, acknowledged)| (&envelope.id, envelope.attempt, acknowledged))
        .collect();
    db.execute(NOTE, values![&json(&rows)?]).await?;
    Ok(())
}

/// Takes a task that the broker delivered for `lease_ms`. False where it is done, given up, tried again already, or in
/// another's hands: then there is nothing to do. One that came from elsewhere is noted first.
///
/// # Errors
/// The database's.
pub async fn claim(db: &Db, envelope: &Envelope, lease_ms: Millis) -> Result<bool> {
    let now = db.now().await?;
    let claimed: Vec<(i64,)> = db
        .change(
            "INSERT INTO outbox (id, task, key, payload, attempt, created_at, not_before, trace, state, published_at,
                    leased_until, stage)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 'sent', $7, $7 + $9, $10)
             ON CONFLICT (id) DO UPDATE SET state = 'sent', leased_until = excluded.leased_until,
                    published_at = excluded.published_at
                WHERE outbox.state IN ('ready', 'sent') AND outbox.attempt = excluded.attempt
                  AND outbox.leased_until <= $7 AND outbox.stage = excluded.stage
             RETURNING attempt",
            values![
                &envelope.id,
                &envelope.task,
                &envelope.key,
                envelope.payload.get(),
                envelope.attempt,
                envelope.created_at,
                now,
                envelope.trace.as_deref(),
                lease_ms,
                db.stage,
            ],
        )
        .await?;
    Ok(!claimed.is_empty())
}

/// Takes back what a broker had, where there is none any more. A late delivery finds its task in other hands.
///
/// # Errors
/// The database's.
pub async fn take_back(db: &Db) -> Result<u64> {
    Ok(db
        .execute(
            "UPDATE outbox SET state = 'ready', published_at = 0 WHERE state = 'sent' AND stage = $1",
            values![db.stage],
        )
        .await?)
}

/// Keeps what is no task at all, under the name of the place it came from, with the reason.
///
/// # Errors
/// The database's.
pub async fn bury(db: &Db, id: &str, letter: &str, reason: &str) -> Result<()> {
    db.execute(
        "INSERT INTO outbox (id, task, key, payload, created_at, not_before, state, finished_at, reason, stage)
         VALUES ($1, 'unreadable', $1, $2, $3, $3, 'dead', $3, $4, $5) ON CONFLICT DO NOTHING",
        values![id, letter, db.now().await?, reason, db.stage],
    )
    .await?;
    Ok(())
}

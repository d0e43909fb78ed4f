//! Schedules: tasks to be run at a time, or again and again; and each time that was due, once.

use schemars::JsonSchema;
use serde::Serialize;
use sqlx::FromRow;

use super::Db;
use super::engine::sql::{Tx, values};
use super::outbox::{self, NewTask};
use crate::base::calendar::Calendar;
use crate::base::clock::Millis;
use crate::base::error::{Error, Result};
use crate::chat::planning::{CATCH_UP_MS, Plan};
use crate::chat::states::ScheduleState;
use crate::store::life::{Kept, Life, ROWS};

/// Schedules that are looked at in one go.
const BATCH: i64 = 100;

/// A schedule.
#[derive(Clone, Debug, Serialize, FromRow, JsonSchema)]
#[schemars(rename = "Schedule")]
pub struct Schedule {
    /// The schedule's id.
    pub id: String,
    /// The task that it runs.
    pub task: String,
    /// State of the schedule.
    #[sqlx(try_from = "String")]
    pub state: ScheduleState,
    /// Time when it is due next, in milliseconds since 1970-01-01 UTC; absent where the schedule is over.
    pub next_at: Option<Millis>,
    /// The five fields of a cron expression; absent where it is due once.
    pub cron: Option<String>,
    /// The zone whose clock the fields mean.
    pub zone: Option<String>,
    /// Time after which it is not due any more.
    pub until: Option<Millis>,
    /// Time of creation.
    pub created_at: Millis,
    #[serde(skip)]
    key: String,
    #[serde(skip)]
    payload: String,
}

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT id, task, state, next_at, cron, zone, until, created_at, key, payload FROM schedule ",
            $rest
        )
    };
}

/// A schedule to be made.
#[derive(Debug)]
pub struct NewSchedule<'a> {
    /// The schedule's id. The same call uses the same id.
    pub id: &'a str,
    /// Task that the schedule runs.
    pub task: &'a NewTask,
    /// Plan of the times at which the task is due.
    pub plan: &'a Plan,
    /// Key of the one who made the schedule.
    pub by: &'a str,
    /// Digest that tells whether another call asked for the same.
    pub digest: &'a str,
}

/// Makes a schedule, with what goes with it. False where it was there already.
///
/// # Errors
/// [`Error::Conflict`] where it is there with other content.
pub(super) async fn add(tx: &mut Tx, db: &Db, new: &NewSchedule<'_>, now: Millis) -> Result<bool> {
    let (cron, zone) = new.plan.again.as_ref().map(|(cron, zone)| (cron.as_str(), zone.as_str())).unzip();
    let added = tx
        .execute(
            "INSERT INTO schedule (id, task, key, payload, cron, zone, until, next_at, state, created_by, created_at, digest, stage)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 'planned', $9, $10, $11, $12) ON CONFLICT (id) DO NOTHING",
            values![
                new.id, new.task.task, &new.task.key, &new.task.payload, cron, zone, new.plan.until, new.plan.first,
                new.by, now, new.digest, db.stage
            ],
        )
        .await?;
    if added == 0 {
        let known: Option<(String,)> =
            tx.optional("SELECT digest FROM schedule WHERE id = $1", values![new.id]).await?;
        if known.is_none_or(|(digest,)| digest != new.digest) {
            return Err(Error::Conflict("this nonce was used with other content".into()));
        }
    }
    Ok(added > 0)
}

/// Makes a schedule; a second time changes nothing.
///
/// # Errors
/// [`Error::Conflict`] where it is there with other content.
pub async fn create(db: &Db, new: NewSchedule<'_>) -> Result<Schedule> {
    let now = db.now().await?;
    let mut tx = db.begin().await?;
    add(&mut tx, db, &new, now).await?;
    tx.commit().await?;
    find(db, new.id).await
}

/// One schedule.
///
/// # Errors
/// [`Error::NotFound`] where there is none.
pub async fn find(db: &Db, id: &str) -> Result<Schedule> {
    let found = db.optional(select!("WHERE id = $1"), values![id]).await?;
    found.ok_or(Error::NotFound("schedule"))
}

/// Schedules of this stage, the oldest first, behind one.
///
/// # Errors
/// [`Error::NotFound`] where the last of the page before is none.
pub async fn list(db: &Db, after: Option<&str>, limit: i64) -> Result<Vec<Schedule>> {
    let (at, after) = match after {
        Some(id) => (find(db, id).await?.created_at, id),
        None => (0, ""),
    };
    let sql = select!("WHERE stage = $1 AND (created_at, id) > ($2, $3) ORDER BY created_at, id LIMIT $4");
    Ok(db.all(sql, values![db.stage, at, after, limit]).await?)
}

/// Ends a schedule: it is due no more. One that is over stays as it is.
///
/// # Errors
/// [`Error::NotFound`] where there is none.
pub async fn cancel(db: &Db, id: &str) -> Result<Schedule> {
    let sql = "UPDATE schedule SET state = 'cancelled', next_at = NULL WHERE id = $1 AND state = 'planned'";
    db.execute(sql, values![id]).await?;
    find(db, id).await
}

/// Enqueues the tasks of all that is due. How many that were.
///
/// # Errors
/// The database's.
pub async fn fire(db: &Db) -> Result<usize> {
    let now = db.now().await?;
    let mut fired = 0;
    loop {
        let sql =
            select!("WHERE state = 'planned' AND stage = $1 AND next_at <= $2 ORDER BY next_at LIMIT $3");
        let due: Vec<Schedule> = db.all(sql, values![db.stage, now, BATCH]).await?;
        for schedule in &due {
            fired += usize::from(fire_one(db, schedule, now).await?);
        }
        if (due.len() as i64) < BATCH {
            return Ok(fired);
        }
    }
}

/// Of what was due since it was last looked at, the newest is run, if it is not too old; and the next time is noted.
async fn fire_one(db: &Db, schedule: &Schedule, now: Millis) -> Result<bool> {
    let Some(due) = schedule.next_at else { return Ok(false) };
    let calendar = schedule.cron.as_ref().zip(schedule.zone.as_ref());
    let calendar = calendar.and_then(|(cron, zone)| Calendar::parse(cron, zone).ok());
    let until = schedule.until.unwrap_or(Millis::MAX);
    let newest = match &calendar {
        Some(calendar) => calendar.newest(due.max(now - CATCH_UP_MS) - 1, now.min(until)),
        None => Some(due).filter(|due| *due > now - CATCH_UP_MS),
    };
    let next = calendar.and_then(|calendar| calendar.next(now)).filter(|next| *next <= until);
    let mut tx = db.begin().await?;
    let state = if next.is_some() { ScheduleState::Planned } else { ScheduleState::Done };
    let sql =
        "UPDATE schedule SET next_at = $3, state = $4 WHERE id = $1 AND next_at = $2 AND state = 'planned'";
    if tx.execute(sql, values![&schedule.id, due, next, state.as_str()]).await? == 0 {
        // Another worker was here in the same moment, or somebody has cancelled it.
        return Ok(false);
    }
    let fired = match newest {
        Some(at) => occur(&mut tx, db, schedule, at, now).await?,
        None => {
            tracing::warn!(
                schedule = schedule.id,
                due,
                "a scheduled task was missed for too long, and is not run"
            );
            false
        }
    };
    tx.commit().await?;
    Ok(fired)
}

/// One time, and its task; false where it was there already.
async fn occur(tx: &mut Tx, db: &Db, schedule: &Schedule, at: Millis, now: Millis) -> Result<bool> {
    let sql = "INSERT INTO occurrence (schedule_id, due_at) VALUES ($1, $2) ON CONFLICT DO NOTHING";
    if tx.execute(sql, values![&schedule.id, at]).await? == 0 {
        return Ok(false);
    }
    let task = (task_id(&schedule.id, at), &schedule.task, &schedule.key, &schedule.payload);
    outbox::add_scheduled(tx, db, (&task.0, task.1, task.2, task.3), now).await?;
    Ok(true)
}

/// The id of the task of one time.
pub fn task_id(schedule: &str, at: Millis) -> String {
    format!("schedule:{schedule}:{at}")
}

/// Returns the time at which the task of an id was due, where a schedule made it.
pub fn due_of(task_id: &str) -> Option<Millis> {
    task_id.strip_prefix("schedule:")?.rsplit_once(':')?.1.parse().ok()
}

/// Runs a schedule's task once more, now.
///
/// # Errors
/// [`Error::NotFound`] where there is none.
pub async fn run_now(db: &Db, id: &str) -> Result<String> {
    let (schedule, now) = (find(db, id).await?, db.now().await?);
    let mut tx = db.begin().await?;
    occur(&mut tx, db, &schedule, now, now).await?;
    tx.commit().await?;
    db.note_enqueued();
    Ok(task_id(id, now))
}

/// Forgets when things were due before a time, and schedules that were over before it. Says how many.
///
/// # Errors
/// The database's.
async fn forget(db: &Db, before: Millis, batch: i64) -> Result<u64> {
    let sql = "DELETE FROM schedule WHERE id IN
               (SELECT s.id FROM schedule s WHERE s.state <> 'planned' AND s.created_at < $1 AND NOT EXISTS
                    (SELECT 1 FROM occurrence o WHERE o.schedule_id = s.id AND o.due_at >= $1)
                ORDER BY s.created_at LIMIT $2)";
    db.execute(sql, values![before, batch]).await?;
    let sql = "DELETE FROM occurrence WHERE (schedule_id, due_at) IN
               (SELECT schedule_id, due_at FROM occurrence WHERE due_at < $1 ORDER BY due_at LIMIT $2)";
    Ok(db.execute(sql, values![before, batch]).await?)
}

/// Retention, export and erasure rules of schedules.
pub(in crate::store) const LIFE: Life = Life {
    table: "schedule",
    kept: Kept::Swept("90 days, once they are over", |db, _, now| {
        Box::pin(forget(db, now - REMEMBER_MS, ROWS))
    }),
    exported: crate::store::life::NOBODYS,
    erased: &[],
    stays: &[("created_by", "staff, not a player")],
};

/// Retention, export and erasure rules of the times at which schedules were due.
pub(in crate::store) const OCCURRENCE: Life = Life {
    table: "occurrence",
    kept: Kept::Until("with the schedules"),
    exported: crate::store::life::NOBODYS,
    erased: &[],
    stays: &[],
};

/// Milliseconds for which a schedule that is over is kept, and the times at which one was due: 90 days.
const REMEMBER_MS: Millis = 90 * 86_400_000;

#[cfg(test)]
mod tests {
    #[test]
    fn a_tasks_id_says_when_it_was_due() {
        assert_eq!(super::due_of(&super::task_id("a:b", 17)), Some(17));
        assert_eq!(super::due_of("nonce:17"), None);
    }
}

//! `/schedule/*`: a game's own timers: tasks that run at a time, or again and again.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::api::action::{Action, Route};
use crate::api::caller::Server;
use crate::app::App;
use crate::base::calendar::Calendar;
use crate::base::clock::Millis;
use crate::base::error::{Error, Result};
use crate::chat::payload::Payload;
use crate::chat::values::{Name, Nonce, PageSize, RecordId, Time};
use crate::store::outbox::NewTask;
use crate::store::schedule::{self, NewSchedule, Plan, Schedule};
use crate::work::task;
use crate::work::tasks::TASKS;

/// When something is due: `{"now": true}`, `{"at": …}`, or `{"cron": "0 20 * * 5", "zone": "Asia/Shanghai"}`.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct When {
    /// At once.
    now: bool,
    /// Once, at a time in milliseconds since 1970-01-01 UTC.
    at: Option<Time>,
    /// Again and again: minute, hour, day of the month, month, day of the week (0 and 7 are Sunday); where both days are
    /// given, either is enough.
    cron: Option<String>,
    /// The IANA time zone whose clock the fields mean; UTC where absent. A time that daylight saving skips runs at the first
    /// moment behind the gap, one that comes twice at its first.
    zone: Option<String>,
    /// Not due after this time.
    until: Option<Time>,
}

impl When {
    /// What it means now.
    ///
    /// # Errors
    /// It is no time, or none that will come.
    pub fn plan(&self, now: Millis) -> Result<Plan> {
        let wrong = |why: String| Error::InvalidInput(format!("when: {why}"));
        let until = self.until.map(Time::get);
        match (self.now, self.at, &self.cron) {
            (true, None, None) if self.zone.is_none() => Ok(Plan { first: now, again: None, until: None }),
            (false, Some(at), None) if self.zone.is_none() && until.is_none() => {
                if at.get() < now - schedule::CATCH_UP_MS {
                    return Err(wrong("at is over".to_owned()));
                }
                Ok(Plan { first: at.get(), again: None, until: None })
            }
            (false, None, Some(cron)) => {
                let zone = self.zone.as_deref().unwrap_or("UTC");
                let first = Calendar::parse(cron, zone).map_err(wrong)?.next(now);
                let first = first.filter(|first| until.is_none_or(|until| *first <= until));
                let first = first.ok_or_else(|| wrong("this never comes".to_owned()))?;
                Ok(Plan { first, again: Some((cron.clone(), zone.to_owned())), until })
            }
            _ => Err(wrong("is one of now, at, or cron with zone and until".to_owned())),
        }
    }
}

/// Run a task at a time, or again and again.
///
/// Each time it is due it runs once, however many workers there are and whenever they die. What was missed while none was
/// there is made good by the newest that was missed, if that is less than an hour ago.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateSchedule {
    /// The task's name, such as `retention.v1`.
    task: Name,
    /// Its fields.
    payload: Payload,
    /// When.
    when: When,
    /// Chosen by the caller: the same nonce twice is the same schedule once.
    #[serde(default)]
    nonce: Option<Nonce>,
}

/// One schedule.
#[derive(Serialize, JsonSchema)]
pub struct ScheduleReply {
    schedule: Schedule,
}

impl Action for CreateSchedule {
    const ROUTE: Route = Route::post("/schedule/create");
    type Caller = Server;
    type Reply = ScheduleReply;

    async fn run(self, app: &App, by: Server) -> Result<ScheduleReply> {
        let Self { task, payload, when, nonce } = self;
        let entry = TASKS.iter().find(|entry| entry.name == task.as_str()).ok_or(Error::NotFound("task"))?;
        let key = (entry.check)(payload.as_str())
            .map_err(|fault| Error::InvalidInput(format!("payload: {fault}")))?;
        let id = task::id_of("schedule", &by, nonce.as_ref());
        let plan = when.plan(app.db.now().await?)?;
        let asked = serde_json::json!([entry.name, payload.as_str(), when]).to_string();
        let new = NewTask { task: entry.name, key, payload: payload.as_str().to_owned() };
        let new =
            NewSchedule { id: &id, task: &new, plan: &plan, by: &by.key(), digest: &task::digest(&asked) };
        Ok(ScheduleReply { schedule: schedule::create(&app.db, new).await? })
    }
}

/// All schedules, the oldest first, page by page.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ListSchedules {
    /// The last id of the page before.
    #[serde(default)]
    after: Option<RecordId>,
    /// The page's size, 1 to 100.
    #[serde(default)]
    limit: PageSize,
}

/// A page of schedules.
#[derive(Serialize, JsonSchema)]
pub struct SchedulePage {
    schedules: Vec<Schedule>,
    /// More follow: ask again after the last id.
    more: bool,
}

impl Action for ListSchedules {
    const ROUTE: Route = Route::get("/schedule/list");
    type Caller = Server;
    type Reply = SchedulePage;

    async fn run(self, app: &App, _: Server) -> Result<SchedulePage> {
        let after = self.after.as_ref().map(RecordId::as_str);
        let found = schedule::list(&app.db, after, self.limit.and_one()).await?;
        let (schedules, more) = self.limit.page(found);
        Ok(SchedulePage { schedules, more })
    }
}

/// End a schedule: what was due already still runs.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CancelSchedule {
    /// Which.
    id: RecordId,
    /// Not needed: a schedule ends once.
    #[serde(default)]
    #[expect(dead_code, reason = "every write takes one")]
    nonce: Option<Nonce>,
}

impl Action for CancelSchedule {
    const ROUTE: Route = Route::post("/schedule/cancel");
    type Caller = Server;
    type Reply = ScheduleReply;

    async fn run(self, app: &App, _: Server) -> Result<ScheduleReply> {
        Ok(ScheduleReply { schedule: schedule::cancel(&app.db, self.id.as_str()).await? })
    }
}

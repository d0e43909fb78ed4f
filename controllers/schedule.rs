//! `/schedule/*`: a game's own timers: tasks that run at a time, or again and again.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::api::action::{Action, Route};
use crate::api::caller::Server;
use crate::app::App;
use crate::base::error::Result;
use crate::chat::payload::Payload;
use crate::chat::planning::When;
use crate::chat::values::{Name, Nonce, PageSize, RecordId};
use crate::service::schedule as service;
use crate::store::schedule::{self, Schedule};

/// Run a task at a time, or again and again.
///
/// Each time it is due it runs once, however many workers there are and whenever they die. What was missed while none was
/// there is made good by the newest that was missed, if that is less than an hour ago.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateSchedule {
    /// The task's name, such as `retention.v1`.
    task: Name,
    /// The task's fields.
    payload: Payload,
    /// Time or calendar at which the task is due.
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
        let schedule = service::create(app, (&task, &payload), &when, nonce.as_ref(), &by).await?;
        Ok(ScheduleReply { schedule })
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
    /// More follow: ask again with `next` as `after`.
    more: bool,
    /// Cursor of the next page; null on the last page.
    next: Option<String>,
}

impl Action for ListSchedules {
    const ROUTE: Route = Route::get("/schedule/list");
    type Caller = Server;
    type Reply = SchedulePage;

    async fn run(self, app: &App, _: Server) -> Result<SchedulePage> {
        let after = self.after.as_ref().map(RecordId::as_str);
        let found = schedule::list(&app.db, after, self.limit.and_one()).await?;
        let (schedules, next) = self.limit.page(found, |last| last.id.clone());
        Ok(SchedulePage { schedules, more: next.is_some(), next })
    }
}

/// End a schedule: what was due already still runs.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CancelSchedule {
    /// The schedule's id.
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

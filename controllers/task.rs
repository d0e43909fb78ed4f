//! `/task/*`: slow jobs that the game's server hands over, and what waits.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::api::action::{Action, Route};
use crate::api::caller::{Moderator, Server};
use crate::app::App;
use crate::base::error::Result;
use crate::base::random;
use crate::chat::payload::Payload;
use crate::chat::states::TaskState;
use crate::chat::values::{Name, Nonce, PageSize};
use crate::service::schedule;
use crate::store::{outbox, task_progress};

/// Hand a slow job over: it is stored, and a worker runs it at least once.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SubmitTask {
    /// The task's name, such as `retention.v1`.
    task: Name,
    /// The task's fields, which depend on the task.
    payload: Payload,
    /// Chosen by the caller: the same nonce twice is the same task once. Without one, a retry is another task.
    #[serde(default)]
    nonce: Option<Nonce>,
}

/// A task that is stored.
#[derive(Serialize, JsonSchema)]
pub struct SubmitReply {
    /// The task's id, for `guildhall task show`.
    id: String,
    /// An earlier call with this nonce stored it; this one changed nothing.
    replayed: bool,
}

impl Action for SubmitTask {
    const ROUTE: Route = Route::post("/task/submit");
    type Caller = Server;
    type Reply = SubmitReply;

    async fn run(self, app: &App, _: Server) -> Result<SubmitReply> {
        let Self { task, payload, nonce } = self;
        let id = nonce.map_or_else(random::id, |nonce| format!("nonce:{}", nonce.as_str()));
        let new = schedule::submit(app, &id, &task, &payload).await?;
        Ok(SubmitReply { id, replayed: !new })
    }
}

/// Numbers of tasks that wait, and of those that were given up.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TaskStatus {}

/// Tasks by what became of them; each is counted up to 10,000.
#[derive(Serialize, JsonSchema)]
pub struct TaskStatusReply {
    /// To be run, or to be handed to the broker.
    ready: i64,
    /// Handed to the broker, not done yet.
    sent: i64,
    /// Given up; `guildhall task list` says why.
    dead: i64,
    /// Of keys that an operator set aside.
    parked: i64,
    /// Seconds that the oldest one has waited, since it was stored or planned for.
    oldest_s: i64,
}

impl Action for TaskStatus {
    const ROUTE: Route = Route::get("/task/status");
    type Caller = Server;
    type Reply = TaskStatusReply;

    async fn run(self, app: &App, _: Server) -> Result<TaskStatusReply> {
        let status = outbox::status(&app.db).await?;
        let outbox::Status { ready, sent, dead, parked, .. } = status;
        Ok(TaskStatusReply { ready, sent, dead, parked, oldest_s: status.oldest_ms() / 1_000 })
    }
}

/// State of a task, such as a purge or an export.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ShowTask {
    /// The task's id, from the reply of the call that began it.
    id: Name,
}

/// A task.
#[derive(Serialize, JsonSchema)]
pub struct TaskView {
    id: String,
    /// The task's name.
    task: String,
    /// State of the task.
    state: TaskState,
    /// Number of tries.
    attempt: i64,
    /// Reason why the last try failed.
    reason: Option<String>,
    /// Progress that the task reports; null for most tasks, and before one has begun.
    #[schemars(with = "Option<serde_json::Map<String, serde_json::Value>>")]
    progress: Option<Box<RawValue>>,
}

impl Action for ShowTask {
    const ROUTE: Route = Route::get("/task/show");
    type Caller = Moderator;
    type Reply = TaskView;

    async fn run(self, app: &App, _: Moderator) -> Result<TaskView> {
        let outbox::Listed { id, task, state, attempt, reason, .. } =
            outbox::find(&app.db, self.id.as_str()).await?;
        let progress = task_progress::of(&app.db, &id).await?;
        Ok(TaskView { id, task, state, attempt, reason, progress })
    }
}

/// List the newest tasks in a state, such as those that were given up.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ListTasks {
    /// State of the tasks to list.
    #[serde(default)]
    state: TaskState,
    /// Number of tasks to list at most, 1 to 100.
    #[serde(default)]
    limit: PageSize,
}

/// Tasks, the newest first.
#[derive(Serialize, JsonSchema)]
pub struct TaskList {
    tasks: Vec<ListedTask>,
}

/// One task.
#[derive(Serialize, JsonSchema)]
pub struct ListedTask {
    id: String,
    /// The task's name.
    task: String,
    /// Number of tries.
    attempt: i64,
    /// Reason why the last try failed.
    reason: Option<String>,
}

impl Action for ListTasks {
    const ROUTE: Route = Route::get("/task/list");
    type Caller = Server;
    type Reply = TaskList;

    async fn run(self, app: &App, _: Server) -> Result<TaskList> {
        let listed = outbox::list(&app.db, self.state, self.limit.get()).await?;
        let shown =
            |outbox::Listed { id, task, attempt, reason, .. }| ListedTask { id, task, attempt, reason };
        Ok(TaskList { tasks: listed.into_iter().map(shown).collect() })
    }
}

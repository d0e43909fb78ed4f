//! `/task/*`: slow jobs that the game's server hands over, and what waits.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::action::{Action, Route};
use crate::app::App;
use crate::auth::Server;
use crate::domain::{Name, Nonce};
use crate::error::{Error, Result};
use crate::payload::Payload;
use crate::random;
use crate::store::outbox;
use crate::tasks::TASKS;

/// Hand a slow job over: it is stored, and a worker runs it at least once.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SubmitTask {
    /// The task's name, such as `retention.v1`.
    task: Name,
    /// Its fields; which ones depends on the task.
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
        let entry = TASKS.iter().find(|entry| entry.name == task.as_str()).ok_or(Error::NotFound("task"))?;
        let key = (entry.check)(payload.as_str())
            .map_err(|fault| Error::InvalidInput(format!("payload: {fault}")))?;
        let id = nonce.map_or_else(random::id, |nonce| format!("nonce:{}", nonce.as_str()));
        let new = outbox::enqueue_once(&app.db, &id, entry.name, &key, payload.as_str()).await?;
        Ok(SubmitReply { id, replayed: !new })
    }
}

/// What waits, and what was given up.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TaskStatus {}

/// Tasks by what became of them.
#[derive(Serialize, JsonSchema)]
pub struct StatusReply {
    /// To be run, or to be handed to the broker.
    ready: i64,
    /// Handed to the broker, not done yet.
    sent: i64,
    /// Given up; `guildhall task list` says why.
    dead: i64,
    /// Seconds that the oldest one which is due has waited.
    oldest_s: i64,
}

impl Action for TaskStatus {
    const ROUTE: Route = Route::get("/task/status");
    type Caller = Server;
    type Reply = StatusReply;

    async fn run(self, app: &App, _: Server) -> Result<StatusReply> {
        let outbox::Status { ready, sent, dead, oldest_ms } = outbox::status(&app.db).await?;
        Ok(StatusReply { ready, sent, dead, oldest_s: oldest_ms.max(0) / 1_000 })
    }
}

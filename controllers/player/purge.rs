//! `/player/purge`: everything that a player said since a time, taken back at once.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::api::action::{Action, Route};
use crate::api::caller::Moderator;
use crate::app::App;
use crate::base::error::Result;
use crate::chat::values::{Nonce, PlayerId, Text, Time};
use crate::service::moderation::purge;

/// Empty everything that a player said since a time, wherever that was.
///
/// A task does it, channel by channel; each channel gets one entry of kind `purge` at the end, from whose number on nothing
/// of it can be read. What was written stays for moderators, as with a recall.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PurgePlayer {
    /// Player whose messages are emptied.
    player: PlayerId,
    /// Those since this time: milliseconds since 1970-01-01 UTC; 0 for all.
    since: Time,
    /// Reason; it goes to the audit log.
    reason: Text,
    /// Chosen by the caller: the same nonce twice is one purge.
    #[serde(default)]
    nonce: Option<Nonce>,
}

/// A task that will do it.
#[derive(Serialize, JsonSchema)]
pub struct TaskReply {
    /// The task's id, for `/task/show`.
    pub(super) task: String,
}

impl Action for PurgePlayer {
    const ROUTE: Route = Route::post("/player/purge");
    type Caller = Moderator;
    type Reply = TaskReply;

    async fn run(self, app: &App, by: Moderator) -> Result<TaskReply> {
        let which = (&self.player, self.since);
        let task = purge::begin(app, which, &self.reason, self.nonce.as_ref(), &by).await?;
        Ok(TaskReply { task })
    }
}

//! `/message/originals`: what was really said, for moderators.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::api::action::{Action, Route};
use crate::api::caller::Moderator;
use crate::app::App;
use crate::base::error::Result;
use crate::chat::values::{ChannelId, Seq, Text};
use crate::store::channel;
use crate::store::moderation::original::{self, Original};

/// A message as it was written, if others see it masked or taken back. The reader and the reason go to the audit log.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MessageOriginals {
    /// Channel of the message.
    channel: ChannelId,
    /// Number of the message.
    seq: Seq,
    /// Reason for reading it.
    reason: Text,
}

impl Action for MessageOriginals {
    const ROUTE: Route = Route::post("/message/originals");
    type Caller = Moderator;
    type Reply = Original;

    async fn run(self, app: &App, by: Moderator) -> Result<Original> {
        let channel = channel::visible(&app.db, &self.channel, &by).await?;
        original::read(&app.db, &channel, self.seq.get(), self.reason.as_str(), &by).await
    }
}

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

/// What somebody wrote, where others see it masked or taken back. Who reads it and why goes to the audit.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MessageOriginals {
    /// Where it is.
    channel: ChannelId,
    /// Its number.
    seq: Seq,
    /// Why it has to be read.
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

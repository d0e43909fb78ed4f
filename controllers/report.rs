//! `/report/*`: what players say is wrong.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::api::action::{Action, Route};
use crate::api::caller::Player;
use crate::app::App;
use crate::base::error::Result;
use crate::chat::reports::Category;
use crate::chat::values::{ChannelId, Nonce, PlayerId, Seq, Text};
use crate::service::moderation::report;
use crate::store::moderation::report::Reported;

/// Report a message. A copy of it, and of what was said around it, is kept for moderators, whatever becomes of it.
///
/// A second report on the same message is the first. A player makes ten reports an hour at most.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ReportMessage {
    /// Channel of the message.
    channel: ChannelId,
    /// Number of the message.
    seq: Seq,
    /// Category of the report.
    category: Category,
    /// More about it.
    #[serde(default)]
    text: Option<Text>,
    /// Not needed: a message is reported once.
    #[serde(default)]
    #[expect(dead_code, reason = "every write takes one")]
    nonce: Option<Nonce>,
}

/// A report that is stored.
#[derive(Serialize, JsonSchema)]
pub struct ReportReply {
    report: Reported,
}

impl Action for ReportMessage {
    const ROUTE: Route = Route::post("/report/message");
    type Caller = Player;
    type Reply = ReportReply;

    async fn run(self, app: &App, player: Player) -> Result<ReportReply> {
        let which = (&self.channel, self.seq);
        let report = report::message(app, which, self.category, self.text.as_ref(), &player).await?;
        Ok(ReportReply { report })
    }
}

/// Report a player: for their name, or for what they do.
///
/// A second report on the same player is the first. A player makes ten reports an hour at most.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ReportPlayer {
    /// Player to report.
    player: PlayerId,
    /// Category of the report.
    category: Category,
    /// More about it.
    #[serde(default)]
    text: Option<Text>,
    /// Not needed: a player is reported once.
    #[serde(default)]
    #[expect(dead_code, reason = "every write takes one")]
    nonce: Option<Nonce>,
}

impl Action for ReportPlayer {
    const ROUTE: Route = Route::post("/report/player");
    type Caller = Player;
    type Reply = ReportReply;

    async fn run(self, app: &App, player: Player) -> Result<ReportReply> {
        let report = report::player(app, &self.player, self.category, self.text.as_ref(), &player).await?;
        Ok(ReportReply { report })
    }
}

//! `/report/*`: what players say is wrong.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::api::action::{Action, Route};
use crate::api::caller::Player;
use crate::app::App;
use crate::base::error::{Error, Result};
use crate::chat::reports::Category;
use crate::chat::values::{ChannelId, Nonce, PlayerId, Seq, Text};
use crate::store::channel;
use crate::store::moderation::case::About;
use crate::store::moderation::report::{self, Reported};
use crate::work::automatic;

/// Report a message. A copy of it, and of what was said around it, is kept for moderators, whatever becomes of it.
///
/// A second report on the same message is the first. A player makes ten reports an hour at most.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ReportMessage {
    /// Where it is.
    channel: ChannelId,
    /// Its number.
    seq: Seq,
    /// What is wrong with it.
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
        let channel = channel::visible(&app.db, &self.channel, &player).await?;
        let about = About::message(&app.db, &channel, self.seq.get()).await?;
        // No player's key has a slash: the game's server said it.
        if about.player.contains('/') {
            return Err(Error::InvalidInput("seq: what the game itself says can't be reported".to_owned()));
        }
        if about.player == player.id.as_str() {
            return Err(Error::InvalidInput("seq: this is a message of your own".to_owned()));
        }
        let text = self.text.as_ref().map(Text::as_str);
        let report = report::report(&app.db, &player, &about, (self.category, text)).await?;
        automatic::after_report(app, &channel, self.seq.get(), &about).await?;
        Ok(ReportReply { report })
    }
}

/// Report a player: for their name, or for what they do.
///
/// A second report on the same player is the first. A player makes ten reports an hour at most.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ReportPlayer {
    /// Whom.
    player: PlayerId,
    /// What is wrong.
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
        if self.player == player.id {
            return Err(Error::InvalidInput("player: this is you".to_owned()));
        }
        let about = About::player(self.player.as_str());
        let text = self.text.as_ref().map(Text::as_str);
        Ok(ReportReply { report: report::report(&app.db, &player, &about, (self.category, text)).await? })
    }
}

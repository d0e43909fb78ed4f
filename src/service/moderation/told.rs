//! Tell a player what was decided about them, in a channel of their own.
//!
//! Safe to run twice: the message's nonce is the task's id.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::app::App;
use crate::base::error::Error;
use crate::chat::payload::Payload;
use crate::chat::reports::Decision;
use crate::chat::sanctions::SanctionKind;
use crate::chat::states::AppealState;
use crate::chat::values::{ChannelId, MAX_TEXT_BYTES, Nonce, PlayerId, Text};
use crate::service::message::system;
use crate::store::create::{self, NewChannel};
use crate::store::moderation::appeal::{self, Appeal};
use crate::store::moderation::report;
use crate::store::moderation::sanction::{self, Given};
use crate::work::task::{Failure, Task};

/// Something that a player is to be told.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TellPlayer {
    /// Player to tell.
    pub player: PlayerId,
    /// News to tell.
    pub news: PlayerNews,
}

/// News about a player, with the id of the sanction, report or appeal.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PlayerNews {
    /// A sanction was given.
    Sanction(String),
    /// A sanction was lifted.
    Lifted(String),
    /// A report of theirs was looked at.
    Report(String),
    /// An appeal of theirs was decided.
    Appeal(String),
}

impl PlayerNews {
    /// For clients that show what comes; and for others, which say the payload in their player's language.
    async fn told(&self, app: &App) -> Result<(String, Value), Error> {
        Ok(match self {
            Self::Sanction(id) => of_sanction(&sanction::find(&app.db, id).await?, false),
            Self::Lifted(id) => of_sanction(&sanction::find(&app.db, id).await?, true),
            Self::Report(id) => of_report(id, &report::decision(&app.db, id).await?),
            Self::Appeal(id) => of_appeal(&appeal::find(&app.db, id).await?),
        })
    }
}

impl Task for TellPlayer {
    const NAME: &'static str = "told.v1";
    const ATTEMPTS: i64 = 10;
    const IN_ORDER: bool = true;

    /// Returns the player's key, so that what is decided about one player is told in its order.
    fn key(&self) -> String {
        format!("told:{}", self.player)
    }

    async fn run(self, app: &App, id: &str) -> Result<(), Failure> {
        tell_now(app, &self.player, &self.news, &format!("told:{id}")).await
    }
}

/// Tells a player what happened; once for a nonce.
pub(super) async fn tell_now(
    app: &App,
    player: &PlayerId,
    news: &PlayerNews,
    nonce: &str,
) -> Result<(), Failure> {
    tell(app, player, news.told(app).await?, nonce).await
}

/// Says something to a player, in their own channel; once for a nonce.
///
/// # Errors
/// It can't be said now, or never.
pub async fn tell(
    app: &App,
    player: &PlayerId,
    (text, payload): (String, Value),
    nonce: &str,
) -> Result<(), Failure> {
    let channel = create::create(&app.db, NewChannel::of_player(player)).await?;
    let invalid = |fault: &dyn std::fmt::Display| Failure::GiveUp(fault.to_string());
    let channel = ChannelId::parse(channel.id).map_err(|fault| invalid(&fault))?;
    let text = Text::parse(short(text)).map_err(|fault| invalid(&fault))?;
    let payload: Payload = serde_json::from_str(&payload.to_string()).map_err(|fault| invalid(&fault))?;
    let nonce = Nonce::parse(nonce).map_err(|fault| invalid(&fault))?;
    Ok(system::say(app, channel, text, payload, nonce).await?)
}

fn of_sanction(given: &Given, lifted: bool) -> (String, Value) {
    let what = match given.kind {
        // Nobody is told of a shadow: no task for it is ever made.
        SanctionKind::Warn | SanctionKind::Shadow => "You have been warned",
        SanctionKind::Mute => "You have been muted",
        SanctionKind::Ban => "You have been banned",
    };
    let text = if lifted {
        let reason = given.lift_reason.as_deref().unwrap_or_default();
        format!("This was taken back: {what}. Reason: {reason}")
    } else {
        let by = if given.automatic { "automatically" } else { "by a moderator" };
        format!("{what} {by}. You can object. Reason: {}", given.reason)
    };
    let Given { id, kind, place, until, automatic, .. } = given;
    let news = if lifted { "sanction_lifted" } else { "sanction" };
    let payload = json!({
        "type": news, "sanction": id, "kind": kind, "where": place, "until": until, "automatic": automatic,
    });
    (text, payload)
}

fn of_report(id: &str, decision: &str) -> (String, Value) {
    let acted = decision != Decision::Dismiss.as_str();
    let outcome = if acted { "We acted on it." } else { "We found that no rule was broken." };
    let text = format!("Thank you for your report. A moderator has looked at it. {outcome}");
    (text, json!({ "type": "report_decided", "report": id, "acted": acted }))
}

fn of_appeal(appeal: &Appeal) -> (String, Value) {
    let Appeal { id, sanction_id, state, reason, .. } = appeal;
    let outcome =
        if *state == AppealState::Lifted { "The sanction was lifted" } else { "The sanction stays" };
    let text =
        format!("Your objection was looked at. {outcome}. Reason: {}", reason.as_deref().unwrap_or_default());
    (text, json!({ "type": "appeal_decided", "appeal": id, "sanction": sanction_id, "state": state }))
}

/// A reason fits beside the rest, but for the longest.
fn short(text: String) -> String {
    let end = (0..=MAX_TEXT_BYTES.min(text.len())).rev().find(|end| text.is_char_boundary(*end));
    text[..end.unwrap_or_default()].to_owned()
}

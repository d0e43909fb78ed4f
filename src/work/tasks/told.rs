//! Tell a player what was decided about them, in a channel of their own.
//!
//! Safe to run twice: the message's nonce is the task's id.

use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::app::App;
use crate::base::error::Error;
use crate::chat::identity::{Identity, Scope};
use crate::chat::payload::Payload;
use crate::chat::said::{Said, Shown};
use crate::chat::sanctions::SanctionKind;
use crate::chat::values::{ChannelId, Level, MAX_EXACT, Nonce, PlayerId, Text};
use crate::store::create::{self, NewChannel};
use crate::store::message::MessageKind;
use crate::store::moderation::sanction::{self, Given};
use crate::store::sends::{self, Draft};
use crate::work::task::{Failure, Task};

/// A decision that its player is to be told.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Told {
    /// Whom.
    pub player: PlayerId,
    /// The sanction that was given or lifted.
    pub sanction: String,
    /// It was lifted.
    #[serde(default)]
    pub lifted: bool,
}

impl Task for Told {
    const NAME: &'static str = "told.v1";
    const ATTEMPTS: i64 = 10;

    /// What is decided about one player is told in its order.
    fn key(&self) -> String {
        format!("told:{}", self.player)
    }

    async fn run(self, app: &App, id: &str) -> Result<(), Failure> {
        let given = sanction::find(&app.db, &self.sanction).await?;
        let channel = create::create(&app.db, NewChannel::of_player(&self.player)).await?;
        let (text, payload) = (text(&given, self.lifted), payload(&given, self.lifted));
        let invalid = |fault: &dyn std::fmt::Display| Failure::GiveUp(fault.to_string());
        let shown = Shown {
            name: "Guildhall".to_owned(),
            text: text.clone(),
            payload: Some(payload.clone()),
            masked: false,
            wordlist: None,
            hits: Vec::new(),
        };
        let said = Said {
            channel: ChannelId::parse(channel.id).map_err(|fault| invalid(&fault))?,
            text: Text::parse(text).map_err(|fault| invalid(&fault))?,
            payload: Some(serde_json::from_str::<Payload>(&payload).map_err(|fault| invalid(&fault))?),
            mentions: Vec::new(),
            nonce: Some(Nonce::parse(format!("told:{id}")).map_err(|fault| invalid(&fault))?),
        };
        let draft = Draft {
            kind: MessageKind::System,
            said,
            shown,
            sender: us()?,
            limit: None,
            follow_ups: Vec::new(),
        };
        match sends::append(&app.db, draft).await {
            Ok(_) => Ok(()),
            Err(Error::Internal(source)) => Err(Failure::Retry(source.to_string())),
            Err(error) => Err(Failure::Retry(error.to_string())),
        }
    }
}

/// The program itself, as who says it.
fn us() -> Result<Identity, Failure> {
    let id = PlayerId::parse("guildhall").map_err(|fault| Failure::GiveUp(fault.to_owned()))?;
    let (level, scope) = (Level::default(), Scope::Server);
    Ok(Identity { id, name: "Guildhall".to_owned(), level, scope, until: MAX_EXACT })
}

/// For clients that show what comes; others have the payload, and say it in their player's language.
fn text(given: &Given, lifted: bool) -> String {
    let what = match SanctionKind::from_word(&given.kind) {
        Some(SanctionKind::Warn) | None => "You have been warned",
        Some(SanctionKind::Mute) => "You have been muted",
        Some(SanctionKind::Ban) => "You have been banned",
    };
    if lifted {
        let reason = given.lift_reason.as_deref().unwrap_or_default();
        return short(format!("This was taken back: {what}. Reason: {reason}"));
    }
    let ground = if given.automatic { "automatically" } else { "by a moderator" };
    short(format!("{what} {ground}. Reason: {}", given.reason))
}

/// A reason fits beside the rest, but for the longest.
fn short(text: String) -> String {
    const MOST: usize = crate::chat::values::MAX_TEXT_BYTES;
    let end = (0..=MOST.min(text.len())).rev().find(|end| text.is_char_boundary(*end)).unwrap_or_default();
    text[..end].to_owned()
}

fn payload(given: &Given, lifted: bool) -> String {
    let Given { id, kind, place, until, automatic, .. } = given;
    let kind_of = if lifted { "sanction_lifted" } else { "sanction" };
    json!({ "type": kind_of, "sanction": id, "kind": kind, "where": place, "until": until, "automatic": automatic })
        .to_string()
}

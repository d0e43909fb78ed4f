//! `guildhall say`: something that an operator says in a channel, by the service that `/message/send` calls.

use clap::Args;

use super::token::Who;
use super::{require_database, say};
use crate::app::App;
use crate::base::clock::Clock;
use crate::base::error::StartError;
use crate::chat::identity::Identity;
use crate::chat::said::NewMessage;
use crate::chat::values::{ChannelId, Name, Nonce, Text};
use crate::config::Config;
use crate::service::message;

#[derive(Args)]
// `--server` may have an id, so it would take a channel that stands behind it.
#[command(
    override_usage = "guildhall say [OPTIONS] <CHANNEL> <TEXT> <--player <ID>|--moderator <ID>|--server [<ID>]>"
)]
pub(super) struct Say {
    /// The channel's id.
    channel: String,
    /// Text to say: 1 to 2000 bytes. The word filter checks it, except for the game's own server.
    text: String,
    #[command(flatten)]
    who: Who,
    /// The name that others see; the id where absent.
    #[arg(long)]
    name: Option<String>,
    /// The same nonce twice is the same message once.
    #[arg(long)]
    nonce: Option<String>,
}

impl Say {
    pub(super) async fn run(self, config: Config) -> Result<(), StartError> {
        let wrong = |what: &'static str| move |why: &'static str| StartError::new(what, why);
        require_database(&config, "the channel")?;
        let (scope, id) = self.who.named().map_err(wrong("who says it"))?;
        let name = self.name.map(Name::parse).transpose().map_err(wrong("--name"))?;
        let name = name.as_ref().map_or(id.as_str(), Name::as_str).to_owned();
        let said = NewMessage {
            channel: ChannelId::parse(self.channel).map_err(wrong("the channel"))?,
            text: Text::parse(self.text).map_err(wrong("the text"))?,
            payload: None,
            mentions: Vec::new(),
            nonce: self.nonce.map(Nonce::parse).transpose().map_err(wrong("--nonce"))?,
        };
        let app = App::start(config, Clock::default()).await?;
        let sent = message::send(&app, said, &Identity::new(scope, id, name)).await;
        let sent = sent.map_err(|fault| StartError::new("it was not said", fault))?;
        say(sent.message.as_str())
    }
}

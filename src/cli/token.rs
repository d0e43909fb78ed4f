//! `guildhall token`: a token as the game's server would sign it.

use clap::Args;

use super::say;
use crate::access::token::{Audience, Claims, mint};
use crate::base::clock::Clock;
use crate::base::error::StartError;
use crate::chat::identity::Scope;
use crate::chat::values::{Level, Name, PlayerId};
use crate::config::{Config, data_folder};

#[derive(Args)]
pub(super) struct Token {
    #[command(flatten)]
    who: Who,
    /// The name that others see.
    #[arg(long)]
    name: Option<String>,
    /// The player's level in the game.
    #[arg(long)]
    level: Option<i64>,
    /// Seconds for which the token is valid.
    #[arg(long, default_value_t = 86_400, value_parser = clap::value_parser!(u64).range(1..=31_536_000))]
    ttl_s: u64,
}

/// One of three.
#[derive(Args)]
#[group(required = true, multiple = false)]
pub(super) struct Who {
    /// A player's id.
    #[arg(long, value_name = "ID")]
    player: Option<String>,
    /// A moderator's id.
    #[arg(long, value_name = "ID")]
    moderator: Option<String>,
    /// The game's own server, by a name of its own.
    #[arg(long, value_name = "ID", num_args = 0..=1, default_missing_value = "server")]
    server: Option<String>,
}

impl Who {
    /// Returns the scope and the id.
    pub(super) fn named(self) -> Result<(Scope, PlayerId), &'static str> {
        let (scope, id) = match (self.player, self.moderator, self.server) {
            (Some(id), ..) => (Scope::Player, id),
            (_, Some(id), _) => (Scope::Moderator, id),
            (_, _, id) => (Scope::Server, id.unwrap_or_default()),
        };
        Ok((scope, PlayerId::parse(id)?))
    }
}

impl Token {
    pub(super) fn print(self, config: &Config) -> Result<(), StartError> {
        let wrong = |fault: &str| StartError::new("token", fault);
        let (scope, sub) = self.who.named().map_err(wrong)?;
        let claims = Claims {
            sub,
            scope,
            exp: Clock::default().now().unsigned_abs() / 1_000 + self.ttl_s,
            name: self.name.map(Name::parse).transpose().map_err(wrong)?,
            level: self.level.map(Level::try_from).transpose().map_err(wrong)?,
            nbf: None,
            aud: config.token_audience.clone().map(Audience::One),
            zone: None,
            lang: None,
        };
        let secret = match &config.token_secret {
            Some(secret) => secret.clone(),
            None => data_folder::existing_secret(&config.data)?,
        };
        say(&mint(&secret, &claims).map_err(|fault| StartError::new("signing", fault))?)
    }
}

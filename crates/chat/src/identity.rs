//! Who somebody is, once a token has said so.

use std::borrow::Cow;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::values::{Language, Level, MAX_EXACT, Name, PlayerId};
use guildhall_base::clock::Millis;

/// Scope of a token: what it allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// A person who plays.
    Player,
    /// A person who keeps order; may do what a player may.
    Moderator,
    /// The game's own server.
    Server,
}

impl Scope {
    /// The word in tokens and logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Player => "player",
            Self::Moderator => "moderator",
            Self::Server => "server",
        }
    }
}

impl Scope {
    /// The scope that a word names.
    pub fn from_word(word: &str) -> Option<Self> {
        [Self::Player, Self::Moderator, Self::Server].into_iter().find(|scope| scope.as_str() == word)
    }
}

/// A verified caller.
#[derive(Clone, Debug)]
pub struct Identity {
    /// The caller's id.
    pub id: PlayerId,
    /// The name that others see.
    pub name: String,
    /// The player's level, 0 where the token has none.
    pub level: Level,
    /// Scope of the caller's token: what they may do.
    pub scope: Scope,
    /// Time when their token expires.
    pub until: Millis,
    /// The zone or world they play in, where the token says it.
    pub zone: Option<Name>,
    /// The language they read, where the token says it.
    pub lang: Option<Language>,
}

impl Identity {
    /// Under which somebody's messages are stored: the id, and for the game's server one that no player can have, so that a
    /// player named like it is somebody else.
    pub fn key(&self) -> Cow<'_, str> {
        match self.scope {
            Scope::Server => format!("server/{}", self.id).into(),
            Scope::Player | Scope::Moderator => self.id.as_str().into(),
        }
    }

    /// Somebody without a token: no level, no zone, no language, and no end.
    pub fn new(scope: Scope, id: PlayerId, name: String) -> Self {
        Self { id, name, scope, level: Level::default(), until: MAX_EXACT, zone: None, lang: None }
    }

    /// A player without a token, who may no more than any other.
    pub fn player(id: PlayerId) -> Self {
        let name = id.as_str().to_owned();
        Self::new(Scope::Player, id, name)
    }

    /// The program itself: what it does by itself, and what it tells.
    pub fn us() -> Self {
        let id = PlayerId::parse("guildhall").expect("it is an id");
        Self::new(Scope::Server, id, "Guildhall".to_owned())
    }

    /// Moderators and the game's server: no limits on reading or speaking.
    pub fn is_staff(&self) -> bool {
        self.scope != Scope::Player
    }
}

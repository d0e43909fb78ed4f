//! What channels are for, and how they behave.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Level, Seconds};
use guildhall_filter::policy::Strictness;

/// Purpose of a channel. Decides how long its messages are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Everybody in one world or zone.
    World,
    /// A guild, alliance or clan.
    Guild,
    /// A party or match; short-lived.
    Party,
    /// Two players.
    Direct,
    /// From the game to its players.
    System,
    /// A player and the game's support.
    Support,
}

impl Kind {
    /// Every kind, in the order of the documentation.
    pub const ALL: [Self; 6] =
        [Self::World, Self::Guild, Self::Party, Self::Direct, Self::System, Self::Support];

    /// The word used in JSON, SQL and the environment.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::World => "world",
            Self::Guild => "guild",
            Self::Party => "party",
            Self::Direct => "direct",
            Self::System => "system",
            Self::Support => "support",
        }
    }

    /// Do its members know each other, so that they may see who of them is there?
    pub const fn is_a_circle(self) -> bool {
        matches!(self, Self::Guild | Self::Party | Self::Direct)
    }

    /// Can somebody be kept from them? The game's own word and its support reach everybody.
    pub const fn has_sanctions(self) -> bool {
        !matches!(self, Self::System | Self::Support)
    }

    /// The kind that a word names.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == word)
    }
}

/// Role of a channel's member.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// An ordinary member.
    Member,
    /// A member who keeps order in this channel: takes messages back, and mutes.
    Officer,
}

impl Role {
    /// From its word, as it is stored.
    pub fn of(word: Option<&str>) -> Self {
        if word == Some("officer") { Self::Officer } else { Self::Member }
    }
}

/// Settings of a channel.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Anyone may join and read.
    pub open: bool,
    /// The level a player needs to speak.
    pub min_level: Level,
    /// Seconds between two messages of one player.
    pub slow_mode_s: Seconds,
    /// Only moderators and the game's server speak.
    pub read_only: bool,
    /// Strictness of the word filter here; for what it does not name, the wordlist's policy for the channel's kind
    /// applies.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub filter: Option<Strictness>,
}

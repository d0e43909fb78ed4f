//! What players report, and how a case about it ends.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::sanctions::SanctionKind;

/// Category of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Category {
    /// An insult.
    Insult,
    /// Incitement to hatred.
    Hate,
    /// Sexual content.
    Sexual,
    /// A threat.
    Threat,
    /// Somebody may harm themselves.
    SelfHarm,
    /// Fraud: an attempt to cheat somebody out of something.
    Fraud,
    /// Cheating in the game.
    Cheating,
    /// Something else; the text says what.
    Other,
}

impl Category {
    /// The word in JSON and SQL.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Insult => "insult",
            Self::Hate => "hate",
            Self::Sexual => "sexual",
            Self::Threat => "threat",
            Self::SelfHarm => "self_harm",
            Self::Fraud => "fraud",
            Self::Cheating => "cheating",
            Self::Other => "other",
        }
    }
}

/// Decision on a case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Decision {
    /// No rule was broken.
    Dismiss,
    /// The message is taken back, and that is all.
    Recall,
    /// The message is taken back and its author warned.
    Warn,
    /// The message is taken back and its author muted.
    Mute,
    /// The message is hidden from everybody but its author, and so is what they say from now on.
    Shadow,
    /// The message is taken back and its author banned.
    Ban,
}

impl Decision {
    /// The word in JSON and SQL.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Dismiss => "dismiss",
            Self::Recall => "recall",
            Self::Warn => "warn",
            Self::Mute => "mute",
            Self::Shadow => "shadow",
            Self::Ban => "ban",
        }
    }

    /// The decision that a word names.
    pub fn from_word(word: &str) -> Option<Self> {
        let all = [Self::Dismiss, Self::Recall, Self::Warn, Self::Mute, Self::Shadow, Self::Ban];
        all.into_iter().find(|decision| decision.as_str() == word)
    }

    /// Returns the sanction that the author gets, if any.
    pub const fn sanction(self) -> Option<SanctionKind> {
        match self {
            Self::Dismiss | Self::Recall => None,
            Self::Warn => Some(SanctionKind::Warn),
            Self::Mute => Some(SanctionKind::Mute),
            Self::Shadow => Some(SanctionKind::Shadow),
            Self::Ban => Some(SanctionKind::Ban),
        }
    }
}

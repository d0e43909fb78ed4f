//! Which of several values on a board counts.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Rule that decides which of several values counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Keep {
    /// The highest.
    Highest,
    /// The lowest.
    Lowest,
    /// The newest.
    Newest,
}

impl Keep {
    /// The word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Highest => "highest",
            Self::Lowest => "lowest",
            Self::Newest => "newest",
        }
    }
}

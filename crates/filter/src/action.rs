//! What is done about a find.

/// Action on a text that an entry hits; later is stronger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Action {
    /// The text passes, and a moderator looks at it.
    Review,
    /// The text passes with the word masked.
    Mask,
    /// The text is refused.
    Reject,
}

impl Action {
    /// The word in lists, cases and figures.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Review => "review",
            Self::Mask => "mask",
            Self::Reject => "reject",
        }
    }

    pub(super) fn from_word(word: &str) -> Option<Self> {
        [Self::Review, Self::Mask, Self::Reject].into_iter().find(|action| action.as_str() == word)
    }
}

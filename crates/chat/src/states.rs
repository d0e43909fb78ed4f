//! How far something is: words that are stored, told and asked for alike.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A stored word that this version does not know.
#[derive(Debug, thiserror::Error)]
#[error("'{0}' is no word that this version knows here")]
pub struct UnknownWord(pub String);

/// An enum of words.
macro_rules! words {
    ($(#[$meta:meta])* $name:ident { $( $(#[$of:meta])* $variant:ident = $word:literal ),+ $(,)? }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
        pub enum $name {
            $( $(#[$of])* #[serde(rename = $word)] $variant ),+
        }

        impl $name {
            /// The word in JSON and SQL.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $( Self::$variant => $word ),+
                }
            }
        }

        impl TryFrom<String> for $name {
            type Error = UnknownWord;

            fn try_from(word: String) -> Result<Self, UnknownWord> {
                match word.as_str() {
                    $( $word => Ok(Self::$variant), )+
                    _ => Err(UnknownWord(word)),
                }
            }
        }
    };
}

words! {
    /// State of a case.
    #[derive(Default)]
    CaseState {
        /// Nobody has it.
        #[default]
        Open = "open",
        /// Somebody has it, for half an hour at most.
        Claimed = "claimed",
        /// The case is decided.
        Decided = "decided",
    }
}

words! {
    /// State of an appeal.
    #[derive(Default)]
    AppealState {
        /// To be decided.
        #[default]
        Open = "open",
        /// The sanction stays.
        Upheld = "upheld",
        /// The sanction was lifted.
        Lifted = "lifted",
    }
}

words! {
    /// State of a ticket: the side whose turn it is.
    #[derive(Default)]
    TicketState {
        /// The support's.
        #[default]
        Open = "open",
        /// The player's.
        Waiting = "waiting",
        /// Nobody's.
        Closed = "closed",
    }
}

words! {
    /// State of a schedule.
    ScheduleState {
        /// The schedule will be due, once or again.
        Planned = "planned",
        /// The schedule is over.
        Done = "done",
        /// Somebody ended it.
        Cancelled = "cancelled",
    }
}

words! {
    /// State of an announcement.
    AnnouncementState {
        /// The announcement will be sent, once or again.
        Planned = "planned",
        /// The announcement is being sent.
        Running = "running",
        /// The announcement is over.
        Done = "done",
        /// Somebody ended it.
        Cancelled = "cancelled",
    }
}

words! {
    /// State of a task.
    #[derive(Default)]
    TaskState {
        /// Waits for its turn.
        Ready = "ready",
        /// The broker has it.
        Sent = "sent",
        /// The task is done.
        Done = "done",
        /// The task was given up.
        #[default]
        Dead = "dead",
    }
}

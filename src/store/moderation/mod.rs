//! Moderation: a `report` opens a `case`, a case ends with a `decision`, which may be a `sanction`, which may meet an
//! `appeal`.
//! `original` shows what was really said, `record` what is known of a player, and a `purge` takes back all that they said.
//! `automatic` is what the program does by itself.
//!
//! Whatever changes something about a player writes its row of the audit in the same transaction, and the task that
//! tells the player.

use crate::chat::identity::Identity;

pub mod appeal;
pub mod automatic;
pub mod case;
pub mod decision;
pub mod original;
pub mod record;
pub mod refusal;
pub mod report;
pub mod sanction;
pub mod started;

/// Somebody's word on something, to be done once.
pub struct By<'a> {
    /// Identity of the one who acts.
    pub who: &'a Identity,
    /// Chosen by the caller: the same again finds what the first did.
    pub nonce: Option<&'a str>,
}

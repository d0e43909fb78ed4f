//! What moderators decide: `sanction`, with what is `in_force`, and the `audit` of it.
//!
//! Whatever changes something about a player writes its row of the audit in the same transaction, and the task that
//! tells the player.

use crate::chat::identity::Identity;

pub mod audit;
pub mod in_force;
pub mod sanction;

/// Somebody's word on something, to be done once.
pub struct By<'a> {
    /// Who.
    pub who: &'a Identity,
    /// Chosen by the caller: the same again finds what the first did.
    pub nonce: Option<&'a str>,
}

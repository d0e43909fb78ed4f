//! What the chat does: one function for each thing that somebody may ask for, and the slow tasks that follow from it.
//!
//! A service takes the application, who asks, and values that have checked themselves, and gives values back: no schema, no
//! route, no header, no bytes. So an HTTP action, a socket, a task and the command line call the same one. What it changes
//! and the task that tells of it are one transaction.
//!
//! Knows what a task is (`work`), the application and the rooms below it; no request, no host.

use crate::work::task::Entry;

pub mod announcement;
pub mod channel;
pub mod device;
pub mod message;
pub mod moderation;
pub mod notify;
pub mod payment;
pub mod player;
pub mod rank;
pub mod retention;
pub mod schedule;
pub mod ticket;

/// Every task. One that is not listed here does not run.
pub const TASKS: &[Entry] = &[
    Entry::of::<message::webhook::Webhook>(),
    Entry::of::<retention::Retention>(),
    Entry::of::<moderation::told::Told>(),
    Entry::of::<moderation::decide::Reporters>(),
    Entry::of::<moderation::purge::Purge>(),
    Entry::of::<player::export::Export>(),
    Entry::of::<player::erase::Erase>(),
    Entry::of::<player::erase::Erased>(),
    Entry::of::<moderation::review::Review>(),
    Entry::of::<rank::Rank>(),
    Entry::of::<payment::Payment>(),
    Entry::of::<announcement::Announce>(),
    Entry::of::<announcement::PushAnnouncement>(),
    Entry::of::<notify::Notify>(),
    Entry::of::<notify::Push>(),
    Entry::of::<ticket::events::TicketSaid>(),
    Entry::of::<ticket::events::TicketTold>(),
];

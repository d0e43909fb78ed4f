//! What the chat does: one function for each thing that somebody may ask for, and the slow tasks that follow from it.
//!
//! A service takes the application, who asks, and values that have checked themselves, and gives values back: no schema, no
//! route, no header, no bytes. So an HTTP action, a socket, a task and the command line call the same one. What it changes
//! and the task that tells of it are one transaction.
//!
//! Knows what a task is (`work`), the application and the rooms below it; no request, no host.

use crate::work::task::TaskEntry;

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
pub const TASKS: &[TaskEntry] = &[
    TaskEntry::of::<message::webhook::Webhook>(),
    TaskEntry::of::<retention::Retention>(),
    TaskEntry::of::<moderation::told::TellPlayer>(),
    TaskEntry::of::<moderation::decide::Reporters>(),
    TaskEntry::of::<moderation::purge::Purge>(),
    TaskEntry::of::<player::export::Export>(),
    TaskEntry::of::<player::erase::Erase>(),
    TaskEntry::of::<player::erase::Erased>(),
    TaskEntry::of::<moderation::review::Review>(),
    TaskEntry::of::<rank::Rank>(),
    TaskEntry::of::<payment::Payment>(),
    TaskEntry::of::<announcement::Announce>(),
    TaskEntry::of::<announcement::PushAnnouncement>(),
    TaskEntry::of::<notify::Notify>(),
    TaskEntry::of::<notify::Push>(),
    TaskEntry::of::<ticket::events::TicketSaid>(),
    TaskEntry::of::<ticket::events::TicketTold>(),
];

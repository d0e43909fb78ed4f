//! The tasks there are. One file each; a task that is not listed does not run.

use crate::work::task::Entry;

pub mod announce;
pub mod erase;
pub mod export;
pub mod notify;
pub mod payment;
pub mod purge;
pub mod rank;
pub mod retention;
pub mod review;
pub mod ticket;
pub mod told;
pub mod webhook;

/// Every task.
pub const TASKS: &[Entry] = &[
    Entry::of::<webhook::Webhook>(),
    Entry::of::<retention::Retention>(),
    Entry::of::<told::Told>(),
    Entry::of::<purge::Purge>(),
    Entry::of::<export::Export>(),
    Entry::of::<erase::Erase>(),
    Entry::of::<erase::Erased>(),
    Entry::of::<review::Review>(),
    Entry::of::<rank::Rank>(),
    Entry::of::<payment::Payment>(),
    Entry::of::<announce::Announce>(),
    Entry::of::<announce::PushAnnouncement>(),
    Entry::of::<notify::Notify>(),
    Entry::of::<notify::Push>(),
    Entry::of::<ticket::TicketSaid>(),
    Entry::of::<ticket::TicketTold>(),
];

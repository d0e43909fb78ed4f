//! What players say and read: channels, messages, pages, waiting, limits, and what the game says to many.

pub mod announcements;
pub mod channels;
pub mod concurrency;
pub mod hidden;
pub mod limits;
pub mod messages;
pub mod pages;
pub mod payloads;
pub mod schedules;
pub mod sync;
pub mod very_many;
pub mod waiting;

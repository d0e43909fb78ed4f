//! What is said: sends, what is new, recalls, and the tasks that follow a message.

mod news;
mod recall;
mod send;
pub mod system;
pub mod webhook;

pub use news::{Answer, ChannelNews, Position, Unseen, news, wait_for_news};
pub use recall::recall;
pub use send::send;

/// Prefix of the ids of tickets' channels.
pub const SUPPORT: &str = "support:";

//! The one integration binary: what callers, operators and planners can rely on, one file a concern.

#![expect(clippy::unwrap_used, reason = "a test that can't go on has failed")]
#![expect(unreachable_pub, reason = "helpers are for the files beside them")]

mod chat;
mod filter;
mod help;
mod hosts;
mod house;
mod live;
mod moderation;
mod players;
mod requests;
mod store;
mod work;

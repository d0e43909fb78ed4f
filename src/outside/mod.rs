//! Everybody else's programs, one vendor a file: the broker, object storage, and the game's server that hears of events.
//!
//! `broker` carries envelopes and knows no task; `envelope` is what it carries; `objects` are named bytes in a folder or
//! a bucket; `calls` makes all calls to others' servers, to where `reach` lets it; `webhooks` posts signed events by it, and
//! `pace` does so only so many times a second; `push` tells players' devices; `payments` and `wechat_service` say whether
//! who calls back is who they say, as `signed` has it, with `keys` that may change; `bus` tells other processes of the
//! same database to look. None of it needs the other side to be there when the program starts.
//!
//! Knows settings, the `hub`'s hints, and `base`.

pub mod broker;
pub mod bus;
pub mod calls;
pub mod envelope;
pub mod held;
mod keys;
pub mod objects;
pub mod pace;
pub mod payments;
pub mod push;
mod reach;
mod signed;
pub mod webhooks;
pub mod wechat_service;

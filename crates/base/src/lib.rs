//! What everything stands on: addresses, the time, randomness, errors, locks, panics, the id and the place of the request
//! that something is done for, the build.
//!
//! Each is the only place of its kind, so that tests can move the clock and a rule can forbid it elsewhere. Knows no
//! other room.

pub mod address;
pub mod calendar;
pub mod clock;
pub mod error;
pub mod lock;
pub mod panic;
pub mod random;
pub mod seat;
pub mod trace;
pub mod version;

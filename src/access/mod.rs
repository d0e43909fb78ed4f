//! Who comes in, and how often: tokens and the keys that sign them, and limits on requests.
//!
//! Knows who somebody can be (`chat::identity`) and settings; no request's route, no table.

pub mod rate;
pub mod token;

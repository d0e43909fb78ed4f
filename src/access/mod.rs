//! Who comes in: tokens and the keys that sign them.
//!
//! Knows who somebody can be (`chat::identity`) and settings; no request's route, no table.

pub mod token;

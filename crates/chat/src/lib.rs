//! Chat itself, without I/O: values that were checked, what is said, who says it, who may speak, and screening.
//!
//! `values` and `payload` are checked when they are read; `said` is a send as it came and as it is shown; `identity` is
//! who somebody is; `sanctions` and `reports` say what moderators may do to whom, and
//! on what; `planning` says when something is due, and `states` how far it is; `speaking` decides who may speak when, by one pure function; `screening` lets the filter see what is
//! said; `recent` remembers what senders said a moment ago, and `repeats` whether they say it again and again.
//!
//! Knows the filter and `base`; no settings, no database, no request.

pub mod announcing;
pub mod identity;
pub mod payload;
pub mod planning;
pub mod quiet;
pub mod recent;
pub mod repeats;
pub mod reports;
pub mod rights;
pub mod said;
pub mod sanctions;
pub mod screening;
pub mod speaking;
pub mod states;
pub mod values;

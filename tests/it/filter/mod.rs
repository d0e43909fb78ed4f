//! The word filter and its lists: what is found, what is left alone, and how lists are written, checked and published.

pub mod blocklist;
pub mod bounds_text;
pub mod disguises;
pub mod evasions;
pub mod policy;
pub mod starter_lists;
pub mod verdicts;
pub mod wordlist;
pub mod wordlist_check;
pub mod wordlist_files;

//! Players' rights to what is kept about them.

pub mod erase;
pub mod export;

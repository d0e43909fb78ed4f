//! Players' rights to what is kept about them: all of it told, or forgotten.

pub mod erase;
pub mod export;

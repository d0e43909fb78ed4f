//! What moderators see and do, and what players may ask of them.

pub mod agreement;
pub mod audit;
pub mod automatic;
pub mod cases;
pub mod officers;
pub mod purge;
pub mod rights;
pub mod sanctions;

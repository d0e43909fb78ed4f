//! What comes in from outside: every kind of bad input, what it may cost, and answers that are not JSON.

pub mod bounds;
pub mod cors;
pub mod input;
pub mod paths;
pub mod rude_clients;
pub mod web;

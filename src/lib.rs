//! Guildhall: a game's chat API as one function.
//!
//! A request takes this way: a host ([`host`]) hands it to the router ([`http`]), which finds its action in the
//! registry ([`controllers::ACTIONS`]) and calls it ([`action`]): who asks ([`token`], [`auth`]), what they ask, doing it
//! ([`store`], [`filter`]), saying so. Slow work becomes a task ([`task`]), stored with what caused it, and is run by
//! the worker ([`worker`]).

#[path = "../controllers/mod.rs"]
pub mod controllers;

pub mod action;
pub mod app;
pub mod auth;
pub mod blocklist;
pub mod cli;
pub mod clock;
pub mod config;
mod data_folder;
pub mod domain;
pub mod envelope;
pub mod error;
pub mod figures;
pub mod filter;
pub mod host;
pub mod http;
pub mod moderation;
pub mod objects;
pub mod openapi;
pub mod path;
pub mod payload;
pub mod publisher;
pub mod queue;
pub mod random;
pub mod recent;
pub mod speaking;
pub mod store;
pub mod task;
pub mod tasks;
pub mod token;
pub mod trace;
pub mod version;
pub mod webhook;
pub mod wordlist;
pub mod worker;

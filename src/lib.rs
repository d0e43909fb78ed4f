//! Guildhall: a game's chat API as one function.
//!
//! Rooms from the street to the ground; each knows those below it, and a test holds that.
//!
//! A request: a host ([`host`]) hands it to the router ([`api`]), which finds its action in the registry
//! ([`controllers::ACTIONS`]), recognises who asks ([`access`]), reads what they ask into types that check themselves
//! ([`chat`]), and runs it with all that an action may touch ([`app`]). What is said is screened ([`chat::screening`]) by
//! the list in use ([`wordlist`], [`filter`]), stored and numbered ([`store`]), and answered.
//!
//! What it does for whoever asks is a service's ([`service`]), which sockets, tasks and the command line call too.
//!
//! A task: it is stored with what caused it, handed to the broker where there is one ([`outside`]), and run by the worker
//! ([`work`]).
//!
//! Who waits for what is said hears of it through the [`hub`].
//!
//! `docs/architecture.md` follows one message, one task and one wordlist through the files.

pub use guildhall_base as base;
pub use guildhall_chat as chat;
pub use guildhall_filter as filter;

pub mod access;
pub mod api;
pub mod app;
pub mod cli;
pub mod config;
#[path = "../controllers/mod.rs"]
pub mod controllers;
pub mod host;
pub mod hub;
pub mod outside;
pub mod service;
pub mod store;
pub mod wordlist;
pub mod work;

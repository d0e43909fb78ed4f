//! The one integration binary: what callers, operators and planners can rely on, one file a concern.

#![expect(clippy::unwrap_used, reason = "a test that can't go on has failed")]
#![expect(unreachable_pub, reason = "helpers are for the files beside them")]

mod architecture;
mod auth;
mod blocklist;
mod channels;
mod clocks;
mod concurrency;
mod config;
mod cors;
mod database;
mod documents;
mod evasions;
mod faults;
mod faulty;
mod filter;
mod function;
mod handover;
mod identity;
mod input;
mod kafka;
mod lambda;
mod limits;
mod log;
mod messages;
mod migrations;
mod operators;
mod package;
mod paths;
mod payloads;
mod postgres;
mod postgres_faults;
mod postgres_indexes;
mod postgres_server;
mod process;
mod registry;
mod release_aws;
mod release_plain;
mod rude_clients;
mod s3;
mod scf;
mod server;
mod sockets;
mod sockets_protocol;
mod stages;
mod starter_lists;
mod support;
mod sync;
mod task_actions;
mod tasks;
mod waiting;
mod wordlist;
mod wordlist_check;
mod wordlist_files;
mod worker_process;

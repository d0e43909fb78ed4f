//! Slow work: what a task is, how tasks get to the broker, and the worker that runs them.
//!
//! `task` has the shape of an action: a type with a name and a `run`; a service has each of them, and `service::TASKS` lists
//! them all. `publisher` hands stored tasks to the broker after the commit; `worker` takes them, runs a few at a time and
//! records how each ended.
//!
//! Knows the application and the rooms below it; no request, no host.

pub mod publisher;
pub mod task;
pub mod worker;

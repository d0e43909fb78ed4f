//! Slow work: what a task is, the tasks there are, how they get to the broker, and the worker that runs them.
//!
//! `task` has the shape of an action: a type with a name and a `run`; `tasks` lists them all, one file each; `publisher`
//! hands stored tasks to the broker after the commit; `worker` takes them, runs a few at a time and records how each
//! ended. `automatic` is what is done without a moderator, where the settings say so; `system_message`, what the game itself
//! says.
//!
//! Knows the application and the rooms below it; no request, no host.

pub mod automatic;
pub mod publisher;
pub mod system_message;
pub mod task;
pub mod tasks;
pub mod worker;

//! The variables of tasks: how many run at once, how long they are tried, and in which order.

use std::time::Duration;

use super::{Parsed, Reader, parse};
use crate::base::clock::Millis;

const MINUTE: Millis = 60_000;
const HOUR: Millis = 60 * MINUTE;
const DAY: Millis = 24 * HOUR;

/// Settings of tasks.
#[derive(Clone, Debug)]
pub struct TasksConfig {
    /// Timeout of one try of a task.
    pub timeout: Duration,
    /// Tasks that a worker runs at once.
    pub at_once: usize,
    /// Milliseconds in which a task that fails is retried.
    pub retried_ms: Millis,
    /// The longest pause between two tries.
    pub longest_pause_ms: Millis,
    /// Do those of a key end in their order, where their kind says so?
    pub in_order: bool,
    /// Milliseconds that a task waits for a process that can run it.
    pub unrunnable_ms: Millis,
    /// Milliseconds that done tasks are remembered.
    pub remembered_ms: Millis,
}

pub(super) fn read(env: &mut Reader<'_>) -> TasksConfig {
    TasksConfig {
        timeout: env.get("GUILDHALL_TASK_TIMEOUT_S", "120", "seconds one try of a task may take, 1 to 900", |text| {
            parse::seconds(text, 1, 900)
        }),
        at_once: env.get("GUILDHALL_WORKER_TASKS", "8", "tasks that a worker runs at once, 1 to 1000", |text| {
            parse::number(text, 1, 1_000).map(|number| number as usize)
        }),
        retried_ms: env.get(
            "GUILDHALL_TASK_RETRY",
            "24h",
            "how long a task that fails is tried again before it is given up, 1m to 30d",
            |text| between(text, MINUTE, 30 * DAY),
        ),
        longest_pause_ms: env.get(
            "GUILDHALL_TASK_RETRY_PAUSE",
            "10m",
            "the longest pause between two tries of a task, 1s to 1d",
            |text| between(text, 1_000, DAY),
        ),
        in_order: env.get(
            "GUILDHALL_TASK_ORDER",
            "key",
            "`key`: webhooks, payments and ranks of one key wait for one that is to be tried again; `none`: they go on",
            order,
        ),
        unrunnable_ms: env.get(
            "GUILDHALL_TASK_UNRUNNABLE",
            "7d",
            "how long a task waits that no process can run, before it is given up, 1h to 90d",
            |text| between(text, HOUR, 90 * DAY),
        ),
        remembered_ms: env.get(
            "GUILDHALL_TASK_REMEMBERED",
            "7d",
            "how long it is remembered that a task was done, so that a second delivery has no effect, 1h to 90d",
            |text| between(text, HOUR, 90 * DAY),
        ),
    }
}

fn between(text: &str, least: Millis, most: Millis) -> Parsed<Millis> {
    let age = parse::age(text)?;
    if (least..=most).contains(&age) { Ok(age) } else { Err(format!("is '{text}', out of bounds")) }
}

fn order(text: &str) -> Parsed<bool> {
    match text {
        "key" => Ok(true),
        "none" => Ok(false),
        _ => Err(format!("is '{text}', neither key nor none")),
    }
}

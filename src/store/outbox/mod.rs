//! Tasks, stored in the transaction that caused them; on the embedded default, these tables are the queue too.
//!
//! A row of `outbox` waits until its end is recorded: then it is in `outbox_done`, or in `outbox_dead` with the reason. Who
//! works on tasks holds their key (`keys`, `lease`), for a time: if a worker dies, the key is free again when that time is
//! over. So tasks of one key run one after the other, on whichever process, and a try's end counts only from whoever holds the
//! key (`end`). Where a broker carries tasks, some of each key's are handed over at a time (`handover`).

use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Map, Value, json};
use sqlx::FromRow;

use super::message::Numbered;
use crate::base::clock::Millis;
use crate::base::random;
use crate::outside::envelope::Envelope;

mod end;
mod enqueue;
mod keys;
mod lease;
mod life;
mod status;

pub use end::{
    End, TaskFilter, bury, drop_some, expire, finish, forget_done, give_up, is_of_key, revive, revive_some,
};
pub(super) use enqueue::{Later, Times, add, add_all_for_later, add_for_later, add_once, add_scheduled};
pub use enqueue::{NewTask, enqueue_later, enqueue_once};
pub(super) use keys::{FORGOTTEN_MS, forget_handed, lock, settle, settle_by, sort_all_in};
pub use keys::{Waiting, has_next, park, unpark, waiting};
pub use lease::{Lane, LeaseRequest, free, lease, release, renew};
pub(super) use lease::{TakenKey, first_tasks};
pub(super) use life::{DEAD, DONE, KEY, LIFE, OPEN};
pub use status::{COUNTED, Left, Listed, Status, find, left, list, status};

/// A task that somebody holds.
#[derive(Clone, Debug)]
pub struct Taken {
    /// The task.
    pub envelope: Envelope,
    /// Number of tries that failed by our own fault: the task panicked, or its worker died over it.
    pub faults: i64,
    /// Time at which the first try failed.
    pub failing_since: Option<Millis>,
}

/// A row as it leaves the table.
#[derive(FromRow)]
pub(super) struct Leaving {
    pub(super) id: String,
    task: String,
    key: String,
    payload: String,
    attempt: i64,
    created_at: Millis,
    trace: Option<String>,
    pub(super) not_before: Millis,
    pub(super) published_at: Millis,
    pub(super) faults: i64,
    failing_since: Option<Millis>,
}

impl Leaving {
    pub(super) fn into_taken(self) -> Taken {
        let Self { id, task, key, payload, attempt, created_at, trace, faults, failing_since, .. } = self;
        // What is no JSON goes on as a text of JSON: the task refuses it, and it is one dead letter.
        let payload = RawValue::from_string(payload.clone())
            .unwrap_or_else(|_| to_raw_value(&payload).expect("a text is JSON"));
        let mut envelope = Envelope::new(id, task, key, payload);
        (envelope.attempt, envelope.created_at, envelope.trace) = (attempt, created_at, trace);
        Taken { envelope, faults, failing_since }
    }
}

/// A task that follows a message: the store writes the message's number into its `seq` and enqueues it.
#[derive(Clone, Debug)]
pub struct FollowUp {
    /// The task's name.
    pub task: &'static str,
    /// The task's key.
    pub key: String,
    /// The task's fields; `seq` is overwritten.
    pub payload: Map<String, Value>,
    /// The request that caused it.
    pub trace: Option<String>,
}

/// A row to enqueue with a message.
#[derive(Debug, serde::Serialize)]
pub(super) struct NewRow {
    /// The message's place in its batch.
    n: usize,
    id: String,
    task: &'static str,
    key: String,
    /// The payload as JSON from behind the message's number on.
    tail: String,
    trace: Option<String>,
    stage: &'static str,
    now: Millis,
}

impl FollowUp {
    pub(super) fn into_row(mut self, n: usize, stage: &'static str, now: Millis) -> NewRow {
        self.payload.remove("seq");
        let rest = Value::Object(self.payload).to_string();
        let rest = rest.strip_prefix('{').unwrap_or_default();
        let comma = if rest == "}" { "" } else { "," };
        let tail = format!("{comma}{rest}");
        NewRow { n, id: random::id(), task: self.task, key: self.key, tail, trace: self.trace, stage, now }
    }
}

impl NewRow {
    /// With its message's number, for a writer that knows it.
    pub(super) fn numbered(&self, written: &[Option<Numbered>]) -> Value {
        let seq = written.get(self.n).copied().flatten().map_or(0, |numbered| numbered.seq);
        let payload = format!("{{\"seq\":{seq}{}", self.tail);
        json!([self.id, self.task, self.key, payload, self.trace, self.now, self.stage])
    }
}

/// Rows that follow messages, and that nobody has sorted in yet.
pub(super) const INSERT_SQLITE: [&str; 2] = [
    "INSERT INTO outbox (id, task, key, payload, trace, created_at, since, not_before, stage)
     SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, value ->> 5, value ->> 5, value ->> 6
     FROM json_each($1) ORDER BY key",
    "INSERT INTO outbox_open (stage, n, id) SELECT stage, n, id FROM outbox WHERE id IN (SELECT value ->> 0 FROM json_each($1))",
];

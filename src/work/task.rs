//! One slow job: its payload type is the task.
//!
//! The same shape as [`crate::api::action`]: a type with a name and a `run`, and [`TaskEntry::of`], which makes it a row of
//! the registry. A task runs at least once; what has an effect outside must bear a second run, told by its id.

use std::pin::Pin;

use http::StatusCode;
use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};

use crate::app::App;
use crate::base::clock::Millis;
use crate::base::error::Error;
use crate::base::{random, trace};
use crate::chat::identity::Identity;
use crate::chat::values::Nonce;
use crate::outside::calls::CallError;
use crate::outside::envelope::Envelope;
use crate::store::outbox::{FollowUp, NewTask};

/// The first retry's delay; each later one doubles, up to the cap.
const BACKOFF_MS: Millis = 1_000;
/// Reason why a try failed.
#[derive(Debug)]
pub enum Failure {
    /// The task may succeed later.
    Retry(String),
    /// The same, but not before a time.
    Later {
        /// Reason, in words.
        why: String,
        /// Milliseconds from now.
        after_ms: Millis,
        /// Milliseconds since the same receiver last answered another call with 2xx.
        well_ms: Option<Millis>,
    },
    /// No try was made: the receiver is left alone for so many milliseconds.
    LeftAlone(Millis),
    /// A fault of our own; the number of tries is the task's `ATTEMPTS`.
    Fault(String),
    /// The task will never succeed.
    GiveUp(String),
}

/// Something that is gone needs no more work; anything else is retried.
impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match error {
            Error::NotFound(_) => Self::GiveUp(error.to_string()),
            Error::Internal(source) => Self::Retry(source.to_string()),
            other => Self::Retry(other.to_string()),
        }
    }
}

/// Does an answer speak of where and as whom this process posts, rather than of what it posts? Another may be set up better.
fn speaks_of_us(status: StatusCode) -> bool {
    status.is_redirection() || matches!(status.as_u16(), 401 | 403 | 404 | 405 | 407)
}

/// Something that a receiver will never take needs no second try.
impl From<CallError> for Failure {
    fn from(error: CallError) -> Self {
        match error {
            CallError::Passing { why, after_ms, well_ms, .. } => Self::Later { why, after_ms, well_ms },
            CallError::LeftAlone { after_ms } => Self::LeftAlone(after_ms),
            CallError::Refused(answer) if speaks_of_us(answer.status) => Self::Later {
                why: format!(
                    "the receiver answered {}: is its address right, and the secret?",
                    answer.status
                ),
                after_ms: 0,
                well_ms: None,
            },
            refused @ CallError::Refused(_) => Self::GiveUp(refused.to_string()),
        }
    }
}

/// A payload that is a task.
pub trait Task: Serialize + DeserializeOwned + Send + 'static {
    /// Name on the wire, with a version: `webhook.v1`.
    const NAME: &'static str;
    /// Tries before it is given up over a fault of our own: one that panics, or that kills its worker. Others are given
    /// up by time.
    const ATTEMPTS: i64;
    /// Those of a key end in their order: while one is to be tried again, the others wait.
    const IN_ORDER: bool = false;
    /// One that its receiver takes no more, while it takes those of others, is given up before its time for those behind it.
    const GIVES_WAY: bool = true;

    /// One is enqueued every hour, by whichever worker is first; it has no fields then, and its name for a key.
    const HOURLY: bool = false;

    /// Tasks of one key run one after the other.
    fn key(&self) -> String;

    /// Has this process all that it takes? Else it leaves these tasks to others.
    fn is_set_up(_: &App) -> bool {
        true
    }

    /// Does it. `id` is the task's own, the same at every try.
    fn run(self, app: &App, id: &str) -> impl Future<Output = Result<(), Failure>> + Send;
}

type Running<'a> = Pin<Box<dyn Future<Output = Result<(), Failure>> + Send + 'a>>;

/// One row of the registry.
pub struct TaskEntry {
    /// The task's name.
    pub name: &'static str,
    /// Tries before it is given up over a fault of our own.
    pub attempts: i64,
    /// Those of a key end in their order.
    pub in_order: bool,
    /// Is one given up early whose receiver takes those of others?
    pub gives_way: bool,
    /// Is one enqueued every hour?
    pub hourly: bool,
    /// Has this process all that it takes?
    pub is_set_up: fn(&App) -> bool,
    /// Reads the payload, and says the task's key.
    pub check: fn(&str) -> Result<String, String>,
    /// Reads the payload and runs it.
    pub run: for<'a> fn(&'a App, &'a Envelope) -> Running<'a>,
}

impl TaskEntry {
    /// The row of a task.
    pub const fn of<T: Task>() -> Self {
        Self {
            name: T::NAME,
            attempts: T::ATTEMPTS,
            in_order: T::IN_ORDER,
            gives_way: T::GIVES_WAY,
            hourly: T::HOURLY,
            is_set_up: T::is_set_up,
            check: |payload| match serde_json::from_str::<T>(payload) {
                Ok(task) => Ok(task.key()),
                Err(fault) => Err(fault.to_string()),
            },
            run: |app, envelope| Box::pin(run::<T>(app, envelope)),
        }
    }
}

async fn run<T: Task>(app: &App, envelope: &Envelope) -> Result<(), Failure> {
    let task: T = serde_json::from_str(envelope.payload.get())
        .map_err(|fault| Failure::GiveUp(format!("the payload is not this task's: {fault}")))?;
    task.run(app, &envelope.id).await
}

/// The id of a task that somebody asks for: the same for the same nonce of theirs.
pub fn id_of(what: &str, by: &Identity, nonce: Option<&Nonce>) -> String {
    let Some(nonce) = nonce else { return random::id() };
    let hash = Sha256::new().chain_update(by.key().as_bytes()).chain_update([0]).chain_update(nonce.as_str());
    format!("{what}:{}", random::to_hex(&hash.finalize()[..16]))
}

/// Something long as something short that stands for it, such as a part of a key.
pub fn digest(text: &str) -> String {
    random::to_hex(&Sha256::digest(text)[..16])
}

/// The task as something that is enqueued with what causes it.
///
/// # Errors
/// The payload is no JSON.
pub fn new<T: Task>(task: &T) -> Result<NewTask, Error> {
    let payload = serde_json::to_string(task).map_err(Error::internal)?;
    Ok(NewTask { task: T::NAME, key: task.key(), payload })
}

/// The task as something that follows a message; the store fills in the message's number.
///
/// # Errors
/// The payload is not a JSON object.
pub fn following<T: Task>(task: &T) -> Result<FollowUp, Error> {
    match serde_json::to_value(task).map_err(Error::internal)? {
        serde_json::Value::Object(payload) => {
            Ok(FollowUp { task: T::NAME, key: task.key(), payload, trace: trace::current() })
        }
        _ => Err(Error::internal("a task's payload is an object")),
    }
}

/// Doubles with every try up to a cap; of that, a random half to all, so that failures don't return together.
pub fn backoff_ms(attempt: i64, longest: Millis) -> Millis {
    let full = BACKOFF_MS.saturating_mul(1 << attempt.clamp(0, 20)).min(longest);
    full / 2 + random::below(full.unsigned_abs() / 2 + 1).cast_signed()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backoff_grows_to_a_cap_and_never_to_nothing() {
        for attempt in 0..100 {
            let full = (1_000_i64 << attempt.min(20)).min(300_000);
            for _ in 0..50 {
                assert!((full / 2..=full).contains(&backoff_ms(attempt, 300_000)), "attempt {attempt}");
            }
        }
    }
}

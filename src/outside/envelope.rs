//! A task on its way: what the outbox gives to the queue, and the queue to a worker.
//!
//! It lies whole in a record's value, as some triggers drop headers.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::base::clock::Millis;

/// The form of envelopes that this version writes and reads.
const FORM: u32 = 1;
/// The largest that is read; brokers refuse records over 1 MB by default.
pub const MAX_BYTES: usize = 256 * 1024;
const MAX_ID: usize = 100;
const MAX_KEY: usize = 512;
const MAX_ATTEMPT: i64 = 1_000_000;

/// A task with what a worker must know of it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Envelope {
    v: u32,
    /// Unique; the same id is the same task.
    pub id: String,
    /// The task's name, such as `webhook.v1`.
    pub task: String,
    /// Tasks of one key run one after the other.
    pub key: String,
    /// The task's fields, as JSON.
    pub payload: Box<RawValue>,
    /// Number of tries before this one.
    #[serde(default)]
    pub attempt: i64,
    /// Time at which it was enqueued, in milliseconds since 1970-01-01 UTC.
    #[serde(default)]
    pub created_at: Millis,
    /// The request that caused it.
    #[serde(default)]
    pub trace: Option<String>,
}

impl Envelope {
    /// A task's first envelope.
    pub fn new(id: String, task: String, key: String, payload: Box<RawValue>) -> Self {
        Self { v: FORM, id, task, key, payload, attempt: 0, created_at: 0, trace: None }
    }

    /// As it goes to the broker.
    pub fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("an envelope is JSON")
    }

    /// Reads what a broker delivers.
    ///
    /// # Errors
    /// Why it is none that this version can read.
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        if bytes.len() > MAX_BYTES {
            return Err(format!("has {} bytes, more than {MAX_BYTES}", bytes.len()));
        }
        #[derive(Deserialize)]
        struct Form {
            v: u32,
        }
        let not_one = |fault: serde_json::Error| format!("is no envelope: {fault}");
        let Form { v } = serde_json::from_slice(bytes).map_err(not_one)?;
        if v != FORM {
            return Err(format!("is an envelope of form {v}; this version reads form {FORM}"));
        }
        let mut envelope: Self = serde_json::from_slice(bytes).map_err(not_one)?;
        let fits = |text: &str, max: usize| !text.is_empty() && text.len() <= max && !text.contains('\0');
        if !fits(&envelope.id, MAX_ID) || !fits(&envelope.task, MAX_ID) || !fits(&envelope.key, MAX_KEY) {
            return Err("has an id, task or key that is empty, too long, or holds NUL".to_owned());
        }
        if !(0..=MAX_ATTEMPT).contains(&envelope.attempt) {
            return Err("has an attempt out of bounds".to_owned());
        }
        if envelope.payload.get().contains("\\u0000") {
            return Err("has NUL in its payload".to_owned());
        }
        // It helps whoever reads logs, and nothing depends on it.
        envelope.trace = envelope.trace.filter(|trace| fits(trace, MAX_ID));
        Ok(envelope)
    }
}

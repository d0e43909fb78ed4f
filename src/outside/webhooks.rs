//! Posts signed events to the game's own server.
//!
//! Signed as Standard Webhooks has it (standardwebhooks.com), so that receivers find a ready library: HMAC-SHA256
//! over `id.timestamp.body`, the raw body, in the header `webhook-signature: v1,<base64>`.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use serde::Serialize;
use sha2::Sha256;

use super::calls::{Answer, CallError, Calls, passing};
use crate::base::clock::Millis;
use crate::config::WebhookConfig;

/// Posts events to one address.
pub struct Poster {
    calls: Arc<Calls>,
    config: WebhookConfig,
}

/// Body of a post. The receiver recognises repeats by `id`.
#[derive(Serialize)]
pub struct Event<'a, T> {
    /// Kind of event, such as `message.sent`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// Id of the event, the same at every try.
    pub id: &'a str,
    /// Data of the event.
    pub data: T,
}

impl Poster {
    /// A poster to an address.
    pub fn new(calls: Arc<Calls>, config: WebhookConfig) -> Self {
        Self { calls, config }
    }

    /// Posts one event.
    ///
    /// # Errors
    /// It was not taken.
    pub async fn post<T: Serialize>(&self, event: &Event<'_, T>, now: Millis) -> Result<(), CallError> {
        let unix_seconds = now / 1_000;
        let body = serde_json::to_string(event).map_err(|fault| passing(fault.to_string()))?;
        let mut request = self
            .calls
            .post(&self.config.url)?
            .header("content-type", "application/json")
            .header("webhook-id", event.id)
            .header("webhook-timestamp", unix_seconds);
        if let Some(secret) = &self.config.secret {
            let signature = STANDARD.encode(sign(secret.expose(), event.id, unix_seconds, body.as_bytes()));
            request = request.header("webhook-signature", format!("v1,{signature}"));
        }
        let answered = self.calls.make(request.body(body), self.config.timeout).await;
        metrics::counter!("guildhall_webhooks_total", "event" => event.kind, "answer" => class(&answered))
            .increment(1);
        answered.map(drop)
    }
}

/// Returns the class of the receiver's answer, for metrics.
fn class(answered: &Result<Answer, CallError>) -> &'static str {
    let status = match answered {
        Ok(answer) => Some(answer.status),
        Err(CallError::Refused(answer)) => Some(answer.status),
        Err(CallError::Passing { status, .. }) => *status,
        Err(CallError::LeftAlone { .. }) => return "left alone",
    };
    match status.map(|status| status.as_u16() / 100) {
        Some(2) => "2xx",
        Some(3) => "3xx",
        Some(4) => "4xx",
        Some(5) => "5xx",
        Some(_) => "other",
        None => "none",
    }
}

/// The signature of an event.
pub fn sign(secret: &[u8], id: &str, unix_seconds: Millis, body: &[u8]) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).expect("HMAC takes keys of any length");
    mac.update(format!("{id}.{unix_seconds}.").as_bytes());
    mac.update(body);
    mac.finalize().into_bytes().to_vec()
}

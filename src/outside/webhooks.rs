//! Posts signed events to the game's own server.
//!
//! Signed as Standard Webhooks has it (standardwebhooks.com), so that receivers find a ready library: HMAC-SHA256
//! over `id.timestamp.body`, the raw body, in the header `webhook-signature: v1,<base64>`.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use reqwest::redirect::Policy;
use reqwest::{Client, StatusCode};
use sha2::Sha256;

use crate::config::{Secret, WebhookConfig};

/// Posts events to one address.
pub struct Poster {
    client: Client,
    config: WebhookConfig,
}

/// Why an event was not taken.
#[derive(Debug, thiserror::Error)]
pub enum PostError {
    /// The receiver may take it later: no connection, no answer in time, 408, 425, 429 or 5xx.
    #[error("{0}")]
    Passing(String),
    /// The receiver will never take it: any other status than 2xx.
    #[error("the receiver answered {0}")]
    Refused(StatusCode),
}

impl Poster {
    /// A poster; connections are made when needed and kept.
    ///
    /// # Errors
    /// TLS can't be set up.
    pub fn new(config: WebhookConfig) -> Result<Self, reqwest::Error> {
        let client = Client::builder()
            .timeout(config.timeout)
            // A redirect would carry the event to an address that nobody configured.
            .redirect(Policy::none())
            .user_agent(concat!("guildhall/", env!("CARGO_PKG_VERSION")))
            .build()?;
        Ok(Self { client, config })
    }

    /// Posts one event. The receiver tells repeats by `id`.
    ///
    /// # Errors
    /// It was not taken.
    pub async fn post(&self, id: &str, unix_seconds: i64, body: String) -> Result<(), PostError> {
        let mut request = self
            .client
            .post(self.config.url.clone())
            .header("content-type", "application/json")
            .header("webhook-id", id)
            .header("webhook-timestamp", unix_seconds);
        if let Some(secret) = &self.config.secret {
            let signature = sign(secret, id, unix_seconds, &body);
            request = request.header("webhook-signature", format!("v1,{signature}"));
        }
        let response = request
            .body(body)
            .send()
            .await
            .map_err(|error| PostError::Passing(error.without_url().to_string()))?;
        match response.status() {
            status if status.is_success() => Ok(()),
            status if status.is_server_error() || matches!(status.as_u16(), 408 | 425 | 429) => {
                Err(PostError::Passing(format!("the receiver answered {status}")))
            }
            status => Err(PostError::Refused(status)),
        }
    }
}

/// The signature of an event, in base64.
pub fn sign(secret: &Secret, id: &str, unix_seconds: i64, body: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.expose()).expect("HMAC takes keys of any length");
    mac.update(format!("{id}.{unix_seconds}.").as_bytes());
    mac.update(body.as_bytes());
    STANDARD.encode(mac.finalize().into_bytes())
}

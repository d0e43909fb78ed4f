//! Google Play's real-time developer notifications: a push of Pub/Sub, with a token that Google signed for this address.
//!
//! Google's keys come from one address that a setting names, never from the token, and are kept for an hour; a key that is
//! not known is asked for at most once a minute.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use serde::Deserialize;
use serde_json::Value;

use super::{Callback, Received, Result, UNSIGNED, elsewhere, header, json, malformed, text};
use crate::base::clock::Millis;
use crate::base::error::Error;
use crate::base::lock::lock;
use crate::config::GooglePlay;
use crate::outside::calls::Calls;

/// Milliseconds for which keys are used before they are fetched again.
const FRESH_MS: Millis = 3_600_000;
/// Milliseconds between two requests for a key that is not known.
const ASKED_MS: Millis = 60_000;
const TIMEOUT: Duration = Duration::from_secs(3);

/// One app's callbacks.
pub(super) struct Google {
    settings: GooglePlay,
    keys: Mutex<(Millis, Arc<JwkSet>)>,
}

#[derive(Deserialize)]
struct Claims {
    email: String,
    #[serde(default)]
    email_verified: bool,
    exp: Millis,
}

impl Google {
    pub(super) fn new(settings: GooglePlay) -> Self {
        Self { settings, keys: Mutex::new((Millis::MIN / 2, Arc::new(JwkSet { keys: Vec::new() }))) }
    }

    pub(super) async fn verify(&self, callback: Callback<'_>, calls: &Calls) -> Result<Received> {
        let token = header(callback.headers, "authorization")?.strip_prefix("Bearer ").ok_or(UNSIGNED)?;
        let claims = self.claims(token, callback.now, calls).await?;
        if claims.exp.saturating_mul(1_000) <= callback.now {
            return Err(Error::Unauthenticated("the token has expired"));
        }
        if claims.email != self.settings.email || !claims.email_verified {
            return Err(elsewhere("sender"));
        }
        let pushed = json(callback.body)?;
        let message = &pushed["message"];
        let data = message["data"].as_str().and_then(|data| STANDARD.decode(data).ok());
        let payload = json(&data.ok_or_else(|| malformed("message.data is no base64"))?)?;
        if payload["packageName"] != self.settings.package.as_str() {
            return Err(elsewhere("app"));
        }
        let (kind, told) = what(&payload);
        Ok(Received {
            event: text(&message["messageId"]).or_else(|| text(&message["message_id"])).unwrap_or_default(),
            kind,
            // Google tells the account only to who asks for the purchase.
            player: None,
            purchase: text(&told["purchaseToken"]),
            payload,
        })
    }

    /// Returns the claims of a token, if Google signed it for us.
    async fn claims(&self, token: &str, now: Millis, calls: &Calls) -> Result<Claims> {
        let head = decode_header(token).map_err(|_| UNSIGNED)?;
        let kid = head.kid.filter(|_| head.alg == Algorithm::RS256).ok_or(UNSIGNED)?;
        let keys = self.keys(&kid, now, calls).await?;
        let key = keys.find(&kid).and_then(|jwk| DecodingKey::from_jwk(jwk).ok()).ok_or(UNSIGNED)?;
        let mut validation = Validation::new(Algorithm::RS256);
        // The end is checked against our own clock.
        validation.validate_exp = false;
        validation.set_audience(&[&self.settings.audience]);
        validation.set_issuer(&["https://accounts.google.com", "accounts.google.com"]);
        validation.set_required_spec_claims(&["aud", "iss", "exp"]);
        Ok(decode::<Claims>(token, &key, &validation).map_err(|_| UNSIGNED)?.claims)
    }

    async fn keys(&self, kid: &str, now: Millis, calls: &Calls) -> Result<Arc<JwkSet>> {
        let (asked_at, known) = lock(&self.keys).clone();
        let age = now - asked_at;
        let is_known = known.find(kid).is_some();
        if (is_known && (0..FRESH_MS).contains(&age)) || (!is_known && (0..ASKED_MS).contains(&age)) {
            return Ok(known);
        }
        let fetched = match calls.get(&self.settings.keys, TIMEOUT).await {
            Ok(answer) => serde_json::from_slice::<JwkSet>(&answer.body).map_err(|fault| fault.to_string()),
            Err(fault) => Err(fault.to_string()),
        };
        match fetched {
            Ok(keys) => {
                let keys = Arc::new(keys);
                *lock(&self.keys) = (now, Arc::clone(&keys));
                Ok(keys)
            }
            Err(fault) => {
                tracing::warn!(fault, "Google's keys can't be fetched now");
                if is_known {
                    Ok(known)
                } else {
                    Err(Error::Unavailable("Google's keys can't be fetched now"))
                }
            }
        }
    }
}

/// Returns the kind of a notification, with the number that Google gives it, and its part of the payload.
fn what(payload: &Value) -> (String, &Value) {
    for (name, field) in [
        ("subscription", "subscriptionNotification"),
        ("one_time_product", "oneTimeProductNotification"),
        ("voided", "voidedPurchaseNotification"),
        ("test", "testNotification"),
    ] {
        let told = &payload[field];
        if told.is_object() {
            let number = told["notificationType"].as_i64().map(|number| format!(".{number}"));
            return (format!("{name}{}", number.unwrap_or_default()), told);
        }
    }
    ("unknown".to_owned(), &Value::Null)
}

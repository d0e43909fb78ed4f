//! Apple's App Store Server Notifications, version 2: a JWS by ES256, whose header brings the chain of certificates.
//!
//! The chain is followed to the root whose fingerprint is known, through the certificates that Apple marks for this use.
//! What is signed inside is checked in the same way. Apple tries for days, so the time it was signed is no matter; its id
//! tells repeats.

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde::Deserialize;
use serde_json::Value;

use super::certificates::leaf_key;
use super::{Callback, Received, Result, UNSIGNED, elsewhere, json, malformed, text};
use crate::base::clock::Millis;
use crate::config::AppStore;

/// Object identifiers with which Apple marks certificates that sign receipts, and those that sign these certificates.
const MARKS: [&str; 2] = ["1.2.840.113635.100.6.11.1", "1.2.840.113635.100.6.2.1"];

/// One app's callbacks.
pub(super) struct Apple(AppStore);

#[derive(Deserialize)]
struct Header {
    alg: String,
    x5c: Vec<String>,
}

impl Apple {
    pub(super) fn new(settings: AppStore) -> Self {
        Self(settings)
    }

    pub(super) fn verify(&self, callback: Callback<'_>) -> Result<Received> {
        let outer = json(callback.body)?;
        let signed = outer["signedPayload"].as_str().ok_or_else(|| malformed("signedPayload is missing"))?;
        let mut payload = self.open(signed, callback.now)?;
        let told = if payload["data"].is_object() { "data" } else { "summary" };
        self.check(&payload[told])?;
        for name in ["signedTransactionInfo", "signedRenewalInfo"] {
            let Some(inner) = payload[told][name].as_str() else { continue };
            let opened = self.open(inner, callback.now)?;
            let of_another = text(&opened["bundleId"]).is_some_and(|bundle| bundle != self.0.bundle);
            if of_another {
                return Err(elsewhere("app"));
            }
            payload[told][name.trim_start_matches("signed")] = opened;
        }
        let transaction = &payload[told]["TransactionInfo"];
        let (kind, subtype) = (text(&payload["notificationType"]), text(&payload["subtype"]));
        Ok(Received {
            event: text(&payload["notificationUUID"]).unwrap_or_default(),
            kind: [kind, subtype].into_iter().flatten().collect::<Vec<_>>().join("."),
            player: text(&transaction["appAccountToken"]),
            purchase: text(&transaction["originalTransactionId"]),
            payload,
        })
    }

    fn check(&self, told: &Value) -> Result<()> {
        if told["bundleId"] != self.0.bundle.as_str() {
            return Err(elsewhere("app"));
        }
        if told["environment"] != self.0.environment.as_str() {
            return Err(elsewhere("environment"));
        }
        Ok(())
    }

    /// Returns the payload of a JWS, if Apple signed it.
    fn open(&self, jws: &str, now: Millis) -> Result<Value> {
        let (signed, signature) = jws.rsplit_once('.').ok_or(UNSIGNED)?;
        let (header, payload) = signed.split_once('.').ok_or(UNSIGNED)?;
        let decoded = |part: &str| URL_SAFE_NO_PAD.decode(part).map_err(|_| UNSIGNED);
        let header: Header = serde_json::from_slice(&decoded(header)?).map_err(|_| UNSIGNED)?;
        let chain: Vec<Vec<u8>> = header
            .x5c
            .iter()
            .map(|der| STANDARD.decode(der))
            .collect::<Result<_, _>>()
            .map_err(|_| UNSIGNED)?;
        let key = leaf_key(&chain, &self.0.root, MARKS, now).ok_or(UNSIGNED)?;
        let is_theirs = header.alg == "ES256"
            && UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, key)
                .verify(signed.as_bytes(), &decoded(signature)?)
                .is_ok();
        if !is_theirs {
            return Err(UNSIGNED);
        }
        json(&decoded(payload)?)
    }
}

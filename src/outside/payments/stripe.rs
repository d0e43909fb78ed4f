//! Stripe: `Stripe-Signature: t=…,v1=…`, HMAC-SHA256 over `t.body`, in hex. Several `v1` stand there while a secret is
//! replaced, and several secrets here.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::{Callback, Received, Result, UNSIGNED, header, json, recent, text};
use crate::base::random::from_hex;
use crate::config::split_secrets;

/// The endpoint's signing secrets: each whole string is the key.
pub(super) struct Secrets(Vec<String>);

impl Secrets {
    pub(super) fn parse(setting: &str) -> Result<Self, String> {
        split_secrets(setting).map(Self)
    }

    pub(super) fn verify(&self, callback: Callback<'_>) -> Result<Received> {
        let signature = header(callback.headers, "stripe-signature")?;
        let parts = || signature.split(',').filter_map(|part| part.trim().split_once('='));
        let time = parts().find_map(|(name, value)| (name == "t").then_some(value)).ok_or(UNSIGNED)?;
        recent(time, callback.now)?;
        let theirs: Vec<Vec<u8>> =
            parts().filter(|(name, _)| *name == "v1").filter_map(|(_, value)| from_hex(value)).collect();
        let is_ours = |secret: &String| {
            let mut mac =
                Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("HMAC takes keys of any length");
            mac.update(time.as_bytes());
            mac.update(b".");
            mac.update(callback.body);
            theirs.iter().any(|theirs| mac.clone().verify_slice(theirs).is_ok())
        };
        if !self.0.iter().any(is_ours) {
            return Err(UNSIGNED);
        }
        let payload = json(callback.body)?;
        let object = &payload["data"]["object"];
        Ok(Received {
            event: text(&payload["id"]).unwrap_or_default(),
            kind: text(&payload["type"]).unwrap_or_default(),
            player: text(&object["metadata"]["player"]).or_else(|| text(&object["client_reference_id"])),
            purchase: text(&object["payment_intent"]).or_else(|| text(&object["id"])),
            payload,
        })
    }
}

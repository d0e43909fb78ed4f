//! Standard Webhooks: `webhook-signature: v1,…`, HMAC-SHA256 over `id.timestamp.body`, in base64.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::{Callback, Received, Result, UNSIGNED, header, json, recent, text};
use crate::config::split_secrets;

/// The secrets that hold now.
pub(super) struct Secrets(Vec<Vec<u8>>);

impl Secrets {
    /// Behind `whsec_` stands base64; anything else is the key as it is.
    pub(super) fn parse(setting: &str) -> Result<Self, String> {
        let key = |secret: String| match secret.strip_prefix("whsec_") {
            Some(encoded) => {
                STANDARD.decode(encoded).map_err(|_| "behind whsec_ stands no base64".to_owned())
            }
            None => Ok(secret.into_bytes()),
        };
        split_secrets(setting)?.into_iter().map(key).collect::<Result<_, _>>().map(Self)
    }

    pub(super) fn verify(&self, callback: Callback<'_>) -> Result<Received> {
        let id = header(callback.headers, "webhook-id")?;
        let time = header(callback.headers, "webhook-timestamp")?;
        recent(time, callback.now)?;
        let signatures = header(callback.headers, "webhook-signature")?;
        let theirs: Vec<Vec<u8>> = signatures
            .split(' ')
            .filter_map(|signature| STANDARD.decode(signature.strip_prefix("v1,")?).ok())
            .collect();
        let is_ours = |secret: &Vec<u8>| {
            let mut mac = Hmac::<Sha256>::new_from_slice(secret).expect("HMAC takes keys of any length");
            for part in [id.as_bytes(), b".", time.as_bytes(), b".", callback.body] {
                mac.update(part);
            }
            theirs.iter().any(|theirs| mac.clone().verify_slice(theirs).is_ok())
        };
        if !self.0.iter().any(is_ours) {
            return Err(UNSIGNED);
        }
        let payload = json(callback.body)?;
        let data = &payload["data"];
        Ok(Received {
            event: id.to_owned(),
            kind: text(&payload["type"]).unwrap_or_else(|| "unknown".to_owned()),
            player: text(&data["player"]).or_else(|| text(&payload["player"])),
            purchase: text(&data["purchase"]).or_else(|| text(&data["id"])),
            payload,
        })
    }
}

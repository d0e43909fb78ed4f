//! Apple's push service: HTTP/2, by a token that the team's key signs and that holds for an hour.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde::Deserialize;
use serde_json::json;

use super::jwt::Signer;
use super::{CallError, Calls, Notice, PushError, To};
use crate::base::clock::Millis;
use crate::base::lock::lock;
use crate::config::Apns as Settings;
use crate::outside::calls::Url;

const TIMEOUT: Duration = Duration::from_secs(10);
/// Apple takes a token for an hour, and is angry about new ones within twenty minutes.
const RENEWED_MS: Millis = 45 * 60_000;

/// A team's pushes.
pub(super) struct Apns {
    calls: Arc<Calls>,
    settings: Settings,
    key: Signer,
    token: Mutex<Option<(String, Millis)>>,
}

impl Apns {
    pub(super) fn new(settings: &Settings, calls: Arc<Calls>) -> Result<Self, String> {
        let key = Signer::ecdsa(&settings.key.read()?)
            .ok_or_else(|| "GUILDHALL_APNS_KEY_FILE holds no key of Apple's, a .p8 file".to_owned())?;
        Ok(Self { calls, settings: settings.clone(), key, token: Mutex::default() })
    }

    pub(super) async fn tell(&self, to: To<'_>, notice: &Notice, now: Millis) -> Result<(), PushError> {
        let Notice { count, channel, collapse, .. } = notice;
        let is_token = !to.token.is_empty() && to.token.bytes().all(|byte| byte.is_ascii_hexdigit());
        if !is_token {
            return Err(PushError::Gone);
        }
        let server = if to.sandbox { &self.settings.sandbox } else { &self.settings.url };
        let url: Url = server
            .join(&format!("/3/device/{}", to.token))
            .map_err(|fault| PushError::Refused(fault.to_string()))?;
        let payload = json!({
            "aps": { "alert": notice.alert(), "badge": count, "sound": "default", "thread-id": collapse },
            "channel": channel,
        });
        let request = self
            .calls
            .post_http2(&url)?
            .bearer_auth(self.token(now)?)
            .header("apns-topic", to.topic.unwrap_or(&self.settings.topic))
            .header("apns-push-type", "alert")
            .header("apns-priority", "10")
            .header("apns-collapse-id", collapse)
            .header("content-type", "application/json")
            .body(payload.to_string());
        match self.calls.make(request, TIMEOUT).await {
            Ok(_) => Ok(()),
            Err(CallError::Refused(answer)) if answer.status == 410 => {
                #[derive(Default, Deserialize)]
                struct Gone {
                    #[serde(default)]
                    timestamp: Option<Millis>,
                }
                let gone: Gone = serde_json::from_slice(&answer.body).unwrap_or_default();
                // It may have been registered again since Apple learned that it was gone.
                if gone.timestamp.is_none_or(|at| to.registered_at < at) {
                    Err(PushError::Gone)
                } else {
                    Err(PushError::Refused("the provider knows an earlier registration".to_owned()))
                }
            }
            Err(CallError::Refused(answer)) if answer.status == 403 => {
                *lock(&self.token) = None;
                Err(PushError::Refused("the provider does not take the team's token".to_owned()))
            }
            Err(fault) => Err(fault.into()),
        }
    }

    fn token(&self, now: Millis) -> Result<String, PushError> {
        let mut held = lock(&self.token);
        if let Some((token, made)) = &*held
            && (*made..*made + RENEWED_MS).contains(&now)
        {
            return Ok(token.clone());
        }
        let claims = json!({ "iss": self.settings.team, "iat": now / 1_000 });
        let token = self.key.sign(json!({ "kid": self.settings.key_id }), &claims);
        let token = token.ok_or_else(|| PushError::Refused("the team's key does not sign".to_owned()))?;
        *held = Some((token.clone(), now));
        Ok(token)
    }
}

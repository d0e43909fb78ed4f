//! Firebase Cloud Messaging, HTTP v1: a message a device, by an access token that the service account's key asks for.

use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::Mutex;

use super::jwt::Signer;
use super::{CallError, Calls, Notice, PushError, To};
use crate::base::clock::Millis;
use crate::config::Fcm as Settings;
use crate::outside::calls::{Url, passing};

const SCOPE: &str = "https://www.googleapis.com/auth/firebase.messaging";
const TIMEOUT: Duration = Duration::from_secs(10);
/// An access token that ends so soon is asked for again.
const SPARE_MS: Millis = 60_000;

/// The service account, as Google's console writes it down.
#[derive(Deserialize)]
struct Account {
    project_id: String,
    client_email: String,
    private_key: String,
    token_uri: String,
}

/// A project's messages.
pub(super) struct Fcm {
    calls: Arc<Calls>,
    url: Url,
    signer: Option<(Account, Url, Signer)>,
    access: Mutex<Option<(String, Millis)>>,
}

impl Fcm {
    pub(super) fn new(settings: &Settings, calls: Arc<Calls>) -> Result<Self, String> {
        let signer = settings.account.as_ref().map(|source| {
            let account: Account = serde_json::from_str(&source.read()?)
                .map_err(|fault| format!("GUILDHALL_FCM_ACCOUNT_FILE is no service account: {fault}"))?;
            let key = Signer::rsa(&account.private_key)
                .ok_or_else(|| "GUILDHALL_FCM_ACCOUNT_FILE holds no RSA key".to_owned())?;
            let grants = Url::parse(&account.token_uri)
                .map_err(|_| "GUILDHALL_FCM_ACCOUNT_FILE has a token_uri that is no address".to_owned())?;
            Ok::<_, String>((account, grants, key))
        });
        let signer = signer.transpose()?;
        let project = signer.as_ref().map_or("test", |(account, ..)| account.project_id.as_str());
        let url = settings
            .url
            .join(&format!("/v1/projects/{project}/messages:send"))
            .map_err(|fault| fault.to_string())?;
        Ok(Self { calls, url, signer, access: Mutex::default() })
    }

    pub(super) async fn tell(&self, to: To<'_>, notice: &Notice, now: Millis) -> Result<(), PushError> {
        let Notice { count, channel, collapse, .. } = notice;
        let message = json!({ "message": {
            "token": to.token,
            "notification": notice.alert(),
            "data": { "channel": channel.as_deref().unwrap_or_default(), "count": count.to_string() },
            "android": { "collapse_key": collapse, "notification": { "tag": collapse, "notification_count": count } },
            "apns": { "headers": { "apns-collapse-id": collapse }, "payload": { "aps": { "badge": count } } },
        } });
        let mut request =
            self.calls.post(&self.url)?.header("content-type", "application/json").body(message.to_string());
        if let Some(access) = self.access(now).await? {
            request = request.bearer_auth(access);
        }
        match self.calls.make(request, TIMEOUT).await {
            Ok(_) => Ok(()),
            Err(CallError::Refused(answer)) if is_unregistered(&answer.body) => Err(PushError::Gone),
            Err(CallError::Refused(answer)) if answer.status == 401 => {
                // It was taken back: another is asked for at the next try.
                *self.access.lock().await = None;
                let why = "the provider does not take the access token".to_owned();
                Err(passing(why).into())
            }
            Err(fault) => Err(fault.into()),
        }
    }

    /// An access token that holds for a while; none where no account is set, which only a fake takes.
    async fn access(&self, now: Millis) -> Result<Option<String>, PushError> {
        #[derive(Deserialize)]
        struct Granted {
            access_token: String,
            expires_in: Millis,
        }
        let Some((account, grants, key)) = &self.signer else { return Ok(None) };
        let mut held = self.access.lock().await;
        if let Some((access, until)) = &*held
            && now + SPARE_MS < *until
        {
            return Ok(Some(access.clone()));
        }
        let claims = json!({
            "iss": account.client_email, "scope": SCOPE, "aud": account.token_uri,
            "iat": now / 1_000, "exp": now / 1_000 + 3_600,
        });
        let assertion = key
            .sign(json!({ "typ": "JWT" }), &claims)
            .ok_or_else(|| PushError::Refused("the account's key does not sign".to_owned()))?;
        let form = form_urlencoded::Serializer::new(String::new())
            .append_pair("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer")
            .append_pair("assertion", &assertion)
            .finish();
        let request =
            self.calls.post(grants)?.header("content-type", "application/x-www-form-urlencoded").body(form);
        let answer = self.calls.make(request, TIMEOUT).await?;
        let granted: Granted = serde_json::from_slice(&answer.body)
            .map_err(|_| passing("the access token's answer can't be read".to_owned()))?;
        *held = Some((granted.access_token.clone(), now + granted.expires_in.clamp(0, 86_400) * 1_000));
        Ok(Some(granted.access_token))
    }
}

fn is_unregistered(body: &[u8]) -> bool {
    let answer: Value = serde_json::from_slice(body).unwrap_or_default();
    let details = answer["error"]["details"].as_array().into_iter().flatten();
    details.into_iter().any(|detail| detail["errorCode"] == "UNREGISTERED")
}

//! The variables of what players' devices are told.

use super::{KeySource, Reader, WebhookConfig, gateway, parse};

/// The providers that are set up.
#[derive(Clone, Debug, Default)]
pub struct Push {
    /// Firebase Cloud Messaging.
    pub fcm: Option<Fcm>,
    /// Apple's push service.
    pub apns: Option<Apns>,
    /// A gateway of the studio's own.
    pub generic: Option<WebhookConfig>,
}

/// Firebase Cloud Messaging.
#[derive(Clone, Debug)]
pub struct Fcm {
    /// Address of the service.
    pub url: reqwest::Url,
    /// The service account; only a fake takes messages without.
    pub account: Option<KeySource>,
}

/// Apple's push service.
#[derive(Clone, Debug)]
pub struct Apns {
    /// Address of the service.
    pub url: reqwest::Url,
    /// The same for development builds.
    pub sandbox: reqwest::Url,
    /// The team's key.
    pub key: KeySource,
    /// The key's id.
    pub key_id: String,
    /// The team's id.
    pub team: String,
    /// The app's id.
    pub topic: String,
}

pub(super) fn read(env: &mut Reader<'_>) -> Push {
    let account = env.optional(
        "GUILDHALL_FCM_ACCOUNT_FILE",
        "off",
        "service account of Firebase Cloud Messaging, the JSON file of Google's console",
        |text| Ok(KeySource::File(text.into())),
    );
    let url = env.optional(
        "GUILDHALL_FCM_URL",
        "Google's",
        "address of Firebase Cloud Messaging, for tests",
        parse::http_url,
    );
    let fcm = (account.is_some() || url.is_some()).then(|| {
        let google = || reqwest::Url::parse("https://fcm.googleapis.com").expect("it is an address");
        Fcm { url: url.unwrap_or_else(google), account }
    });
    let generic = gateway::read(
        env,
        ("GUILDHALL_PUSH_URL", "GUILDHALL_PUSH_SECRET"),
        "address of a push gateway of your own, for devices of platform `generic`",
    );
    Push { fcm, apns: apns(env), generic }
}

fn apns(env: &mut Reader<'_>) -> Option<Apns> {
    let words = |text: &str| Ok(text.trim().to_owned());
    let key =
        env.optional("GUILDHALL_APNS_KEY_FILE", "off", "key of Apple's push service, a .p8 file", |text| {
            Ok(KeySource::File(text.into()))
        });
    let key_id = env.optional("GUILDHALL_APNS_KEY_ID", "none", "the key's id; required with the key", words);
    let team = env.optional("GUILDHALL_APNS_TEAM", "none", "the team's id; required with the key", words);
    let topic =
        env.optional("GUILDHALL_APNS_TOPIC", "none", "the app's bundle id; required with the key", words);
    let url = env.get(
        "GUILDHALL_APNS_URL",
        "https://api.push.apple.com",
        "address of Apple's push service",
        parse::http_url,
    );
    let sandbox = env.get(
        "GUILDHALL_APNS_SANDBOX_URL",
        "https://api.sandbox.push.apple.com",
        "the same for development builds",
        parse::http_url,
    );
    match (key, key_id, team, topic) {
        (Some(key), Some(key_id), Some(team), Some(topic)) => {
            Some(Apns { url, sandbox, key, key_id, team, topic })
        }
        (None, None, None, None) => None,
        _ => {
            env.fault(
                "GUILDHALL_APNS_KEY_FILE",
                "is set up in part: key, its id, team and topic belong together",
            );
            None
        }
    }
}

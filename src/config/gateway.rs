//! A server of the studio's own that is posted to: an address, and what signs the posts.

use std::time::Duration;

use super::{Reader, Secret, WebhookConfig, parse};

/// A server of the studio's own that is posted to, if one is named; signed where there is a secret.
pub(super) fn read(
    env: &mut Reader<'_>,
    (url, secret): (&'static str, &'static str),
    meaning: &'static str,
) -> Option<WebhookConfig> {
    let url = env.optional(url, "off", meaning, parse::http_url);
    let signs = "signs what is posted there, 32 bytes or more";
    let secret = env.optional(secret, "none: they carry no signature", signs, |text| Secret::new(text));
    url.map(|url| WebhookConfig { url, secret, timeout: Duration::from_secs(5) })
}

//! The variables of object storage and of the game's server.

use super::{Reader, S3Config, Secret, WebhookConfig, parse};

pub(super) fn s3(env: &mut Reader<'_>) -> S3Config {
    let endpoint = env.optional(
        "S3_ENDPOINT",
        "AWS's",
        "address of another object storage: COS, MinIO, R2",
        parse::http_url,
    );
    let path_style = env.get(
        "S3_PATH_STYLE",
        "off",
        "`on` puts the bucket into the path rather than the host's name; MinIO needs that",
        parse::switch,
    );
    let region = env.optional(
        "AWS_REGION",
        "the SDK's",
        "region of the object storage; credentials come as the AWS SDK finds them",
        |text| Ok(text.to_owned()),
    );
    S3Config { endpoint, region, path_style }
}

pub(super) fn webhook(env: &mut Reader<'_>) -> Option<WebhookConfig> {
    let url = env.optional(
        "GUILDHALL_WEBHOOK_URL",
        "off",
        "`http://` or `https://` address of the game server that is told of every message",
        parse::http_url,
    );
    let secret = env.optional(
        "GUILDHALL_WEBHOOK_SECRET",
        "none",
        "signs those events (Standard Webhooks, HMAC-SHA256), 32 bytes or more; required with the address",
        |text| Secret::new(text),
    );
    let timeout =
        env.get("GUILDHALL_WEBHOOK_TIMEOUT_S", "5", "seconds one such post may take, 1 to 60", |text| {
            parse::seconds(text, 1, 60)
        });
    match (url, secret) {
        (Some(url), Some(secret)) => Some(WebhookConfig { url, secret, timeout }),
        (Some(_), None) if env.is_absent("GUILDHALL_WEBHOOK_SECRET") => {
            env.fault("GUILDHALL_WEBHOOK_SECRET", "is required where GUILDHALL_WEBHOOK_URL is set");
            None
        }
        _ => None,
    }
}

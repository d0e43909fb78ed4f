//! The variables of object storage, of the game's server, of ranks and of the bus.

use super::{
    BusConfig, Parsed, Password, PrivateHosts, RankConfig, Reader, S3Config, Secret, Services, WebhookConfig,
    gateway, parse, payments, push, wechat_service,
};

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
        (Some(url), secret @ Some(_)) => Some(WebhookConfig { url, secret, timeout }),
        (Some(_), None) if env.is_absent("GUILDHALL_WEBHOOK_SECRET") => {
            env.fault("GUILDHALL_WEBHOOK_SECRET", "is required where GUILDHALL_WEBHOOK_URL is set");
            None
        }
        _ => None,
    }
}

/// Others' servers, but for the game's own.
pub(super) fn read(env: &mut Reader<'_>) -> Services {
    let private_hosts = env.get(
        "GUILDHALL_PRIVATE_HOSTS",
        ".internal,.local",
        "names that are called though they lead to private addresses, joined by commas, `.example.com` for all below; names of one word always are",
        PrivateHosts::parse,
    );
    let announcements_per_s = env.get(
        "GUILDHALL_ANNOUNCE_RATE",
        "200",
        "channels a second into which one announcement is said, 1 to 10000",
        |text| parse::number(text, 1, 10_000).map(|number| number as u32),
    );
    Services {
        private_hosts,
        rank: rank(env),
        payments: payments::read(env),
        wechat_service: wechat_service::read(env),
        push: push::read(env),
        announcements_per_s,
    }
}

/// None where ranks are told to nobody.
fn rank(env: &mut Reader<'_>) -> Option<RankConfig> {
    let provider = gateway::read(
        env,
        ("GUILDHALL_RANK_URL", "GUILDHALL_RANK_SECRET"),
        "`http://` or `https://` address that is told of ranks, by signed posts like the game server's",
    );
    let by_players = env.get(
        "GUILDHALL_RANK_FROM",
        "server",
        "who reports ranks: `server`, or `players` for their own too, who may cheat",
        |text| match text {
            "server" => Ok(false),
            "players" => Ok(true),
            _ => Err(format!("is '{text}', not server or players")),
        },
    );
    let gather_ms = env.get(
        "GUILDHALL_RANK_GATHER",
        "60s",
        "how long a player's reports for a board are gathered before one is told, 10 minutes at most",
        |text| {
            parse::age(text).and_then(|ms| if ms > 600_000 { Err("is over 10m".to_owned()) } else { Ok(ms) })
        },
    );
    let per_s = env.get("GUILDHALL_RANK_RATE", "20", "such posts a second and worker, 1 to 1000", |text| {
        parse::number(text, 1, 1_000)
    });
    Some(RankConfig { provider: provider?, by_players, gather_ms, per_s })
}

/// None where no bus is named.
pub(super) fn bus(env: &mut Reader<'_>) -> Option<BusConfig> {
    let named = env.optional(
        "GUILDHALL_BUS",
        "none: servers look into the database twice a second",
        "NATS, by which several servers tell each other at once what was said: `nats://user:password@host:4222`, or `tls://…`; several joined by commas",
        bus_servers,
    );
    let ca_file = env.optional(
        "GUILDHALL_BUS_CA_FILE",
        "the system's",
        "file of the certificates that the bus's is checked against",
        parse::path,
    );
    let subject = env.get(
        "GUILDHALL_BUS_SUBJECT",
        "guildhall",
        "what subjects on the bus begin with; another for each database that shares it",
        subject,
    );
    Some(BusConfig { ca_file, subject, ..named? })
}

fn bus_servers(text: &str) -> Parsed<BusConfig> {
    let wrong = || "is not nats://host:port or tls://host:port, joined by commas".to_owned();
    let mut urls = Vec::new();
    for one in text.split(',') {
        let url = reqwest::Url::parse(one.trim()).map_err(|_| wrong())?;
        if !matches!(url.scheme(), "nats" | "tls") || !url.has_host() || !matches!(url.path(), "" | "/") {
            return Err(wrong());
        }
        urls.push(url);
    }
    let scheme = urls[0].scheme();
    if urls.iter().any(|url| url.scheme() != scheme) {
        return Err("mixes nats:// and tls://".to_owned());
    }
    let plain = |text: &str| percent(text).ok_or_else(|| "has a login that is no UTF-8".to_owned());
    let login = match (urls[0].username(), urls[0].password()) {
        ("", None) => None,
        (user, Some(password)) => Some((plain(user)?, Password(plain(password)?))),
        (_, None) => return Err("names a user without a password".to_owned()),
    };
    let server = |url: &reqwest::Url| {
        format!("{scheme}://{}:{}", url.host_str().unwrap_or_default(), url.port().unwrap_or(4222))
    };
    let servers = urls.iter().map(server).collect();
    Ok(BusConfig { servers, login, tls: scheme == "tls", ca_file: None, subject: String::new() })
}

/// The text behind `%20` and its like.
fn percent(text: &str) -> Option<String> {
    // A form's decoder takes a plus for a space.
    let text = text.replace('+', "%2B");
    let (decoded, _) = form_urlencoded::parse(text.as_bytes()).next()?;
    (!decoded.contains(char::REPLACEMENT_CHARACTER)).then(|| decoded.into_owned())
}

fn subject(text: &str) -> Parsed<String> {
    let fits = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if (1..=64).contains(&text.len())
        && text.chars().all(fits)
        && text.split('.').all(|word| !word.is_empty())
    {
        Ok(text.to_owned())
    } else {
        Err(format!("is '{text}', not words of letters, digits, - and _ joined by dots"))
    }
}

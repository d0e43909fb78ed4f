//! How each variable's text is read; a fault says what the text should have been, and never repeats a secret.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use super::{DatabaseUrl, Origins, Parsed, Proxies, Retention, Secret, TokenKey, TokenKeyKind};
use ipnet::IpNet;

use crate::base::calendar;
use crate::base::clock::Millis;
use crate::chat::values::{Kind, Limit};

pub(super) fn address(text: &str) -> Parsed<SocketAddr> {
    text.parse().map_err(|_| format!("is '{text}', not an address such as 127.0.0.1:9000"))
}

pub(super) fn path(text: &str) -> Parsed<PathBuf> {
    Ok(PathBuf::from(text))
}

pub(super) fn switch(text: &str) -> Parsed<bool> {
    match text {
        "on" => Ok(true),
        "off" => Ok(false),
        _ => Err(format!("is '{text}', not on or off")),
    }
}

pub(super) fn base_path(text: &str) -> Parsed<String> {
    let fits = |c: char| c.is_ascii_alphanumeric() || "/-_.".contains(c);
    if text.is_empty() || (text.starts_with('/') && !text.ends_with('/') && text.chars().all(fits)) {
        Ok(text.to_owned())
    } else {
        Err(format!("is '{text}', not a prefix such as /live"))
    }
}

pub(super) fn database(text: &str) -> Parsed<DatabaseUrl> {
    if ["sqlite:", "postgres://", "postgresql://"].iter().any(|scheme| text.starts_with(scheme)) {
        Ok(DatabaseUrl(text.to_owned()))
    } else {
        Err("is neither a postgres:// nor a sqlite:// address".to_owned())
    }
}

pub(super) fn http_url(text: &str) -> Parsed<reqwest::Url> {
    reqwest::Url::parse(text)
        .ok()
        .filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
        .ok_or_else(|| "is not an http:// or https:// address".to_owned())
}

pub(super) fn proxies(text: &str) -> Parsed<Proxies> {
    let mut proxies = Proxies { private: false, networks: Vec::new() };
    for word in text.split(',').map(str::trim).filter(|word| *word != "none") {
        if word == "private" {
            proxies.private = true;
            continue;
        }
        let network = word.parse().or_else(|_| word.parse().map(|address: IpAddr| address.into()));
        let network: IpNet =
            network.map_err(|_| format!("is '{word}', not a network such as 203.0.113.0/24"))?;
        proxies.networks.push(network);
    }
    Ok(proxies)
}

pub(super) fn number(text: &str, min: u64, max: u64) -> Parsed<u64> {
    text.parse()
        .ok()
        .filter(|number| (min..=max).contains(number))
        .ok_or_else(|| format!("is '{text}', not a whole number from {min} to {max}"))
}

pub(super) fn origins(text: &str) -> Parsed<Origins> {
    match text {
        "" => Ok(Origins::None),
        "*" => Ok(Origins::All),
        list => list.split(',').map(|one| origin(one.trim())).collect::<Parsed<_>>().map(Origins::Some),
    }
}

/// As browsers write it: scheme, host in lower case, and a port where it is not the scheme's own.
fn origin(text: &str) -> Parsed<String> {
    let url = reqwest::Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
    match url.map(|url| url.origin().ascii_serialization()) {
        Some(origin) if origin == text => Ok(origin),
        Some(origin) => Err(format!("has '{text}'; a browser calls that {origin}")),
        None => Err(format!("has '{text}', which is no origin such as https://play.example.com")),
    }
}

pub(super) fn count(text: &str) -> Parsed<Option<usize>> {
    if text == "off" {
        return Ok(None);
    }
    number(text, 1, 65_536).map(|count| Some(count as usize))
}

pub(super) fn seconds(text: &str, min: u64, max: u64) -> Parsed<Duration> {
    number(text, min, max).map(Duration::from_secs)
}

/// `90s`, `2m`, `1h`, `7d`: at most ten years.
///
/// # Errors
/// Anything else, in words.
pub fn age(text: &str) -> Parsed<Millis> {
    const TEN_YEARS_MS: Millis = 3_650 * 86_400_000;
    let wrong = || format!("is '{text}', not a time such as 90s, 2m, 1h or 7d");
    let unit_ms = match text.chars().last() {
        Some('s') => 1_000,
        Some('m') => 60_000,
        Some('h') => 3_600_000,
        Some('d') => 86_400_000,
        _ => return Err(wrong()),
    };
    let count: Millis = text[..text.len() - 1].parse().map_err(|_| wrong())?;
    count.checked_mul(unit_ms).filter(|ms| (0..=TEN_YEARS_MS).contains(ms)).ok_or_else(wrong)
}

/// A beginning: so long ago, or at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Since {
    /// So many milliseconds ago.
    Ago(Millis),
    /// At this time.
    At(Millis),
}

impl Since {
    /// The time that it is, by now.
    pub const fn by(self, now: Millis) -> Millis {
        match self {
            Self::Ago(ago) => now - ago,
            Self::At(at) => at,
        }
    }
}

/// `90s`, `2m`, `1h`, `7d`, or a time such as `2026-11-29T08:00:00Z` or `2026-11-29T10:00:00+02:00`.
///
/// # Errors
/// Anything else, in words.
pub fn since(text: &str) -> Parsed<Since> {
    match calendar::of_words(text) {
        Some(at) => Ok(Since::At(at)),
        None => age(text)
            .map(Since::Ago)
            .map_err(|_| format!("is '{text}', not a time such as 90s, 2m, 1h, 7d or 2026-11-29T08:00:00Z")),
    }
}

/// At most `most` in a time.
pub(super) fn limit(text: &str, most: u64) -> Parsed<Option<Limit>> {
    if text == "off" {
        return Ok(None);
    }
    let wrong = || format!("is '{text}', not a limit such as 5/5s (at most {most} in a time) or off");
    let (count, window) = text.split_once('/').ok_or_else(wrong)?;
    let count = number(count, 1, most).map_err(|_| wrong())? as usize;
    let window_ms = age(window).ok().filter(|ms| *ms > 0).ok_or_else(wrong)?;
    Ok(Some(Limit { count, window_ms }))
}

pub(super) fn retention(text: &str) -> Parsed<Retention> {
    if text == "off" {
        return Ok(Retention::new());
    }
    let rule = |rule: &str| {
        let (kind, text) = rule.split_once('=').ok_or_else(|| format!("has '{rule}', not kind=age"))?;
        let kind =
            Kind::from_word(kind.trim()).ok_or_else(|| format!("names an unknown channel kind '{kind}'"))?;
        let age = age(text.trim())?;
        if age == 0 { Err("would delete everything".to_owned()) } else { Ok((kind.as_str(), age)) }
    };
    text.split(',').map(rule).collect()
}

pub(super) fn token_keys(text: &str) -> Parsed<Vec<TokenKey>> {
    let keys: Vec<TokenKey> =
        text.split(',').filter(|part| !part.is_empty()).map(token_key).collect::<Parsed<_>>()?;
    let distinct: BTreeSet<_> = keys.iter().map(|key| &key.kid).collect();
    if distinct.len() == keys.len() { Ok(keys) } else { Err("names one kid twice".to_owned()) }
}

/// Faults name the kid, never the material.
pub(super) fn token_key(text: &str) -> Parsed<TokenKey> {
    let (kid, rest) =
        text.split_once('=').filter(|(kid, _)| !kid.is_empty()).ok_or("has a key without a kid")?;
    let (algorithm, material) =
        rest.split_once(':').ok_or_else(|| format!("key '{kid}' names no algorithm"))?;
    let kind = match algorithm {
        "hs256" => TokenKeyKind::Hs256(Secret::new(material).map_err(|why| format!("key '{kid}' {why}"))?),
        "eddsa" if material.len() == 43 => TokenKeyKind::EdDsa(material.to_owned()),
        "eddsa" => return Err(format!("key '{kid}' is not 43 characters of base64url")),
        _ => return Err(format!("key '{kid}' has an algorithm that is neither hs256 nor eddsa")),
    };
    Ok(TokenKey { kid: kid.to_owned(), kind })
}

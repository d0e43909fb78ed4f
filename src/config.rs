//! Everything the environment decides: each variable is read once, here, and all faults are told together.
//!
//! [`Config::read`] is also the source of the table in the README: `guildhall config` runs it with an empty
//! environment and prints what it asked for.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::clock::Millis;
use crate::domain::Kind;

/// Bytes a signing secret must have.
pub const MIN_SECRET_BYTES: usize = 32;

/// The program's settings. One field a variable; the variable's documentation is in [`Config::read`].
#[derive(Clone, Debug)]
pub struct Config {
    /// Where `serve` listens.
    pub listen: SocketAddr,
    /// Where Prometheus figures are served, if anywhere.
    pub metrics_listen: Option<SocketAddr>,
    /// Prefix removed from paths.
    pub base_path: String,
    /// The embedded default's folder.
    pub data: PathBuf,
    /// The database, if not the one in the data folder.
    pub database_url: Option<String>,
    /// Signs tokens that name no key; made in the data folder where absent.
    pub token_secret: Option<Secret>,
    /// More keys, by `kid`.
    pub token_keys: Vec<TokenKey>,
    /// The wordlists' folder.
    pub wordlists: PathBuf,
    /// Age at which the wordlist is asked for again.
    pub wordlist_refresh: Duration,
    /// Messages a player may send in a time.
    pub send_limit: Option<SendLimit>,
    /// How long players may recall what they said.
    pub recall_window_ms: Millis,
    /// How long messages are kept, by channel kind; absent is forever.
    pub retention: Retention,
    /// Where events are posted, and how.
    pub webhook: Option<WebhookConfig>,
    /// Most requests at once.
    pub max_in_flight: usize,
    /// How long one request may take.
    pub request_timeout: Duration,
    /// How long open requests may take to end after SIGTERM.
    pub shutdown_grace: Duration,
    /// Filter of the log.
    pub log: String,
    /// Which published version of the function this is; the package's own where the platform names none.
    pub version: String,
    /// Started by AWS Lambda rather than by hand.
    pub on_lambda: bool,
}

/// A secret: compared and used, never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Vec<u8>);

impl Secret {
    /// Wraps the bytes.
    ///
    /// # Errors
    /// Fewer than 32 bytes can be guessed.
    pub fn new(bytes: impl Into<Vec<u8>>) -> Result<Self, String> {
        let bytes = bytes.into();
        if bytes.len() < MIN_SECRET_BYTES {
            return Err(format!("has {} bytes; a secret needs {MIN_SECRET_BYTES} or more", bytes.len()));
        }
        Ok(Self(bytes))
    }

    /// The bytes, for signing.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<secret>")
    }
}

/// A key that verifies tokens whose header names it.
#[derive(Clone, Debug)]
pub struct TokenKey {
    /// The header's `kid`.
    pub kid: String,
    /// One algorithm a key.
    pub kind: TokenKeyKind,
}

/// What a key is made of.
#[derive(Clone, Debug)]
pub enum TokenKeyKind {
    /// A shared secret.
    Hs256(Secret),
    /// An Ed25519 public key: the JWK's `x`, 43 characters of base64url.
    EdDsa(String),
}

/// At most `count` messages in any `window_ms`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SendLimit {
    /// How many.
    pub count: usize,
    /// In how many milliseconds.
    pub window_ms: Millis,
}

/// How long messages are kept, by channel kind.
pub type Retention = BTreeMap<&'static str, Millis>;

/// Where events go.
#[derive(Clone, Debug)]
pub struct WebhookConfig {
    /// The game server's address.
    pub url: reqwest::Url,
    /// Signs the events.
    pub secret: Secret,
    /// How long one post may take.
    pub timeout: Duration,
}

/// One variable, as the README shows it.
#[derive(Debug)]
pub struct Variable {
    /// Its name.
    pub name: &'static str,
    /// What holds without it, in words.
    pub default: &'static str,
    /// What it decides.
    pub meaning: &'static str,
}

/// All that is wrong with the environment; one line a fault.
#[derive(Debug)]
pub struct Faults(pub Vec<String>);

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "the environment has {} fault(s):", self.0.len())?;
        self.0.iter().try_for_each(|fault| writeln!(f, "  {fault}"))
    }
}

impl std::error::Error for Faults {}

impl Config {
    /// Reads the process's environment.
    ///
    /// # Errors
    /// Every fault at once.
    pub fn from_env() -> Result<Self, Faults> {
        #[expect(clippy::disallowed_methods, reason = "this is the one place that reads the environment")]
        Self::from_lookup(|name| std::env::var(name).ok())
    }

    /// Reads from wherever `lookup` says; an empty value counts as absent.
    ///
    /// # Errors
    /// Every fault at once.
    pub fn from_lookup(lookup: impl Fn(&str) -> Option<String>) -> Result<Self, Faults> {
        let mut reader = Reader { lookup: &lookup, faults: Vec::new(), variables: Vec::new() };
        let config = Self::read(&mut reader);
        if reader.faults.is_empty() { Ok(config) } else { Err(Faults(reader.faults)) }
    }

    /// Every variable there is, in reading order.
    pub fn variables() -> Vec<Variable> {
        let mut reader = Reader { lookup: &|_| None, faults: Vec::new(), variables: Vec::new() };
        Self::read(&mut reader);
        reader.variables
    }

    #[expect(clippy::too_many_lines, reason = "a table: one entry a variable")]
    fn read(env: &mut Reader<'_>) -> Self {
        let on_lambda = env.platform("AWS_LAMBDA_RUNTIME_API").is_some();
        let version = env.platform("AWS_LAMBDA_FUNCTION_VERSION");
        let config = Self {
            listen: env.get("GUILDHALL_LISTEN", "127.0.0.1:9000", "where `serve` listens", parse_address),
            base_path: env.get(
                "GUILDHALL_BASE_PATH",
                "",
                "prefix removed from paths, such as `/live`",
                parse_base_path,
            ),
            data: env.get(
                "GUILDHALL_DATA",
                "./data",
                "embedded default's folder: database, secret",
                parse_path,
            ),
            database_url: env.optional(
                "DATABASE_URL",
                "SQLite in the data folder",
                "`sqlite://…`",
                parse_database,
            ),
            token_secret: env.optional(
                "GUILDHALL_TOKEN_SECRET",
                "made on first start of the embedded default",
                "HS256 secret that signs players' tokens, 32 bytes or more",
                |text| Secret::new(text),
            ),
            token_keys: env.get(
                "GUILDHALL_TOKEN_KEYS",
                "",
                "more keys, for rotation: `kid=hs256:SECRET` or `kid=eddsa:PUBLIC_X`, separated by commas",
                parse_token_keys,
            ),
            wordlists: env.get("GUILDHALL_WORDLISTS", "./wordlists", "folder of the wordlists", parse_path),
            wordlist_refresh: env.get(
                "GUILDHALL_WORDLIST_REFRESH_S",
                "300",
                "age in seconds at which the list is asked for again, 1 to 86400",
                |text| parse_seconds(text, 1, 86_400),
            ),
            send_limit: env.get(
                "GUILDHALL_SEND_LIMIT",
                "5/5s",
                "messages a player may send in a time; `off` lifts it for load tests",
                parse_send_limit,
            ),
            recall_window_ms: env.get(
                "GUILDHALL_RECALL_WINDOW",
                "2m",
                "how long players may recall what they said (`90s`, `2m`, `1h`, `7d`)",
                parse_age,
            ),
            retention: env.get(
                "GUILDHALL_RETENTION",
                "world=30d,party=30d",
                "how long messages are kept by channel kind; kinds not named keep theirs; `off` keeps all",
                parse_retention,
            ),
            webhook: read_webhook(env),
            max_in_flight: env.get(
                "GUILDHALL_MAX_IN_FLIGHT",
                "512",
                "requests answered at once, 1 to 65536; more get 503 and `Retry-After`",
                |text| parse_number(text, 1, 65_536).map(|number| number as usize),
            ),
            request_timeout: env.get(
                "GUILDHALL_REQUEST_TIMEOUT_S",
                "10",
                "seconds one request may take before it gets 503, 1 to 900",
                |text| parse_seconds(text, 1, 900),
            ),
            shutdown_grace: env.get(
                "GUILDHALL_SHUTDOWN_S",
                "20",
                "seconds open requests may take to end after SIGTERM, 0 to 900",
                |text| parse_seconds(text, 0, 900),
            ),
            metrics_listen: env.optional(
                "GUILDHALL_METRICS_LISTEN",
                "off",
                "address that serves Prometheus figures at `/metrics`; keep it private",
                parse_address,
            ),
            log: env.get("GUILDHALL_LOG", "info", LOG_MEANING, |text| Ok(text.to_owned())),
            version: version.unwrap_or_else(|| env!("CARGO_PKG_VERSION").to_owned()),
            on_lambda,
        };
        if config.on_lambda && config.token_secret.is_none() {
            env.fault("GUILDHALL_TOKEN_SECRET", "is required on Lambda, where nothing may be kept on disk");
        }
        config
    }
}

const LOG_MEANING: &str =
    "filter of `tracing-subscriber`; add `,guildhall::text=debug` to log what players say";

fn read_webhook(env: &mut Reader<'_>) -> Option<WebhookConfig> {
    let url = env.optional(
        "GUILDHALL_WEBHOOK_URL",
        "off",
        "`http://` or `https://` address of the game server that is told of every message",
        parse_http_url,
    );
    let secret = env.optional(
        "GUILDHALL_WEBHOOK_SECRET",
        "none",
        "signs those events (Standard Webhooks, HMAC-SHA256), 32 bytes or more; required with the address",
        |text| Secret::new(text),
    );
    let timeout =
        env.get("GUILDHALL_WEBHOOK_TIMEOUT_S", "5", "seconds one such post may take, 1 to 60", |text| {
            parse_seconds(text, 1, 60)
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

/// Asks for variables, and remembers what was asked and what was wrong.
struct Reader<'a> {
    lookup: &'a dyn Fn(&str) -> Option<String>,
    faults: Vec<String>,
    variables: Vec<Variable>,
}

type Parsed<T> = Result<T, String>;

impl Reader<'_> {
    /// A variable with a default.
    fn get<T>(
        &mut self,
        name: &'static str,
        default: &'static str,
        meaning: &'static str,
        parse: impl Fn(&str) -> Parsed<T>,
    ) -> T {
        self.variables.push(Variable { name, default, meaning });
        let fallback = || parse(default).expect("a default holds to its own rule");
        match self.platform(name).map(|text| parse(&text)) {
            None => fallback(),
            Some(Ok(value)) => value,
            Some(Err(why)) => {
                self.fault(name, &why);
                fallback()
            }
        }
    }

    /// A variable whose absence means something that its text can't say.
    fn optional<T>(
        &mut self,
        name: &'static str,
        default: &'static str,
        meaning: &'static str,
        parse: impl Fn(&str) -> Parsed<T>,
    ) -> Option<T> {
        self.variables.push(Variable { name, default, meaning });
        let value = self.platform(name).map(|text| parse(&text))?;
        value.map_err(|why| self.fault(name, &why)).ok()
    }

    /// A variable that the platform sets, which users don't.
    fn platform(&self, name: &str) -> Option<String> {
        (self.lookup)(name).filter(|value| !value.is_empty())
    }

    fn is_absent(&self, name: &str) -> bool {
        self.platform(name).is_none()
    }

    fn fault(&mut self, name: &str, why: &str) {
        self.faults.push(format!("{name} {why}"));
    }
}

fn parse_address(text: &str) -> Parsed<SocketAddr> {
    text.parse().map_err(|_| format!("is '{text}', not an address such as 127.0.0.1:9000"))
}

fn parse_path(text: &str) -> Parsed<PathBuf> {
    Ok(PathBuf::from(text))
}

fn parse_base_path(text: &str) -> Parsed<String> {
    let fits = |c: char| c.is_ascii_alphanumeric() || "/-_.".contains(c);
    if text.is_empty() || (text.starts_with('/') && !text.ends_with('/') && text.chars().all(fits)) {
        Ok(text.to_owned())
    } else {
        Err(format!("is '{text}', not a prefix such as /live"))
    }
}

fn parse_database(text: &str) -> Parsed<String> {
    if text.starts_with("sqlite:") {
        Ok(text.to_owned())
    } else {
        Err("is not a sqlite:// address".to_owned())
    }
}

fn parse_http_url(text: &str) -> Parsed<reqwest::Url> {
    reqwest::Url::parse(text)
        .ok()
        .filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
        .ok_or_else(|| "is not an http:// or https:// address".to_owned())
}

fn parse_number(text: &str, min: u64, max: u64) -> Parsed<u64> {
    text.parse()
        .ok()
        .filter(|number| (min..=max).contains(number))
        .ok_or_else(|| format!("is '{text}', not a whole number from {min} to {max}"))
}

fn parse_seconds(text: &str, min: u64, max: u64) -> Parsed<Duration> {
    parse_number(text, min, max).map(Duration::from_secs)
}

/// `90s`, `2m`, `1h`, `7d`: at most ten years.
fn parse_age(text: &str) -> Parsed<Millis> {
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

fn parse_send_limit(text: &str) -> Parsed<Option<SendLimit>> {
    if text == "off" {
        return Ok(None);
    }
    let wrong = || format!("is '{text}', not a limit such as 5/5s (at most 100 messages) or off");
    let (count, window) = text.split_once('/').ok_or_else(wrong)?;
    let count = parse_number(count, 1, 100).map_err(|_| wrong())? as usize;
    let window_ms = parse_age(window).ok().filter(|ms| *ms > 0).ok_or_else(wrong)?;
    Ok(Some(SendLimit { count, window_ms }))
}

fn parse_retention(text: &str) -> Parsed<Retention> {
    if text == "off" {
        return Ok(Retention::new());
    }
    let rule = |rule: &str| {
        let (kind, age) = rule.split_once('=').ok_or_else(|| format!("has '{rule}', not kind=age"))?;
        let kind =
            Kind::from_word(kind.trim()).ok_or_else(|| format!("names an unknown channel kind '{kind}'"))?;
        let age = parse_age(age.trim())?;
        if age == 0 { Err("would delete everything".to_owned()) } else { Ok((kind.as_str(), age)) }
    };
    text.split(',').map(rule).collect()
}

fn parse_token_keys(text: &str) -> Parsed<Vec<TokenKey>> {
    let keys: Vec<TokenKey> =
        text.split(',').filter(|part| !part.is_empty()).map(parse_token_key).collect::<Parsed<_>>()?;
    let distinct: std::collections::BTreeSet<_> = keys.iter().map(|key| &key.kid).collect();
    if distinct.len() == keys.len() { Ok(keys) } else { Err("names one kid twice".to_owned()) }
}

/// Faults name the kid, never the material.
fn parse_token_key(text: &str) -> Parsed<TokenKey> {
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

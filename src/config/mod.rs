//! Everything the environment decides: each variable is read once, here, and all faults are told together.
//!
//! `Config::read` is also the source of the table in the README: `guildhall config` runs it with an empty
//! environment and prints what it asked for. `data_folder` keeps what the embedded default has instead of settings: a
//! secret made on first start.
//!
//! Knows the values that settings are made of (`chat::values`) and `base`.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::base::clock::Millis;
use crate::chat::values::Limit;

pub(crate) mod data_folder;
mod gateway;
mod kafka;
mod keys;
mod log;
pub mod moderation;
pub mod parse;
mod payments;
mod platform;
mod push;
mod reader;
mod services;
mod strangers;
mod tasks;
mod values;
mod wechat_service;

use moderation::Moderation;
use reader::{Parsed, Reader};
pub use tasks::TasksConfig;
pub use values::*;

/// The program's settings. One field a variable; the variable's documentation is in `Config::read`.
#[derive(Clone, Debug)]
pub struct Config {
    /// Address on which `serve` listens.
    pub listen: SocketAddr,
    /// Address at which Prometheus metrics are served, if any.
    pub metrics_listen: Option<SocketAddr>,
    /// Prefix removed from paths.
    pub base_path: String,
    /// The embedded default's folder.
    pub data: PathBuf,
    /// Origins whose pages may call.
    pub cors_origins: Origins,
    /// The database, if not the one in the data folder.
    pub database_url: Option<DatabaseUrl>,
    /// Connections to `PostgreSQL` at most.
    pub database_connections: u32,
    /// Senders in channels of whom a process remembers what their sends were decided on.
    pub known_senders: usize,
    /// Signs tokens that name no key; made in the data folder where absent.
    pub token_secret: Option<Secret>,
    /// Audience that tokens must have.
    pub token_audience: Option<String>,
    /// More keys, by `kid`.
    pub token_keys: Vec<TokenKey>,
    /// Place of the wordlists.
    pub wordlists: Location,
    /// Connection to object storage.
    pub s3: S3Config,
    /// Settings of tasks.
    pub tasks: TasksConfig,
    /// The broker that carries tasks, if there is one.
    pub kafka: Option<KafkaConfig>,
    /// The bus by which processes tell each other what they stored, if there is one.
    pub bus: Option<BusConfig>,
    /// Proxies whose word on a client's address is believed.
    pub trusted_proxies: Proxies,
    /// Age at which the wordlist is asked for again.
    pub wordlist_refresh: Duration,
    /// Messages a player may send in a time.
    pub send_limit: Option<Limit>,
    /// Milliseconds in which a sender's last short messages are judged together; 0 is not at all.
    pub filter_window_ms: Millis,
    /// Is what players say made safe to show?
    pub display_safety: bool,
    /// Are blocked words in players' names masked?
    pub filter_names: bool,
    /// Milliseconds in which players may recall their messages.
    pub recall_window_ms: Millis,
    /// Time that messages are kept, by channel kind; absent is forever.
    pub retention: Retention,
    /// Settings of moderation, by moderators and automatic.
    pub moderation: Moderation,
    /// Webhook to which events are posted, if any.
    pub webhook: Option<WebhookConfig>,
    /// Others' servers that are called, and that call.
    pub services: Services,
    /// Most requests at once.
    pub max_in_flight: usize,
    /// Connections that one address may hold.
    pub connections_per_address: Option<usize>,
    /// Requests that a player, or an address without a token, may make in a time.
    pub rate: Option<Limit>,
    /// Longest time that a long poll may wait for something new; zero is not at all.
    pub live_wait: Duration,
    /// Timeout of one request.
    pub request_timeout: Duration,
    /// Longest time that open requests may take to end after SIGTERM.
    pub shutdown_grace: Duration,
    /// Filter of the log.
    pub log: String,
    /// Of so many requests that only read, one is logged.
    pub log_sample: u64,
    /// Version of the program: a published one's number, `$LATEST`, or the build's.
    pub version: String,
    /// Platform that started the program.
    pub platform: Platform,
}

/// One variable, as the README shows it.
#[derive(Debug)]
pub struct Variable {
    /// Name of the variable.
    pub name: &'static str,
    /// Default value, in words.
    pub default: &'static str,
    /// Effect of the variable.
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

    /// Variables that look like ours and are not, a sentence each: most likely misspelled.
    pub fn strangers() -> Vec<String> {
        #[expect(clippy::disallowed_methods, reason = "this is the one place that reads the environment")]
        let names = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
        strangers::told(names)
    }

    /// Is this the newest code, which only testers reach?
    pub fn is_latest(&self) -> bool {
        platform::is_latest(&self.version)
    }

    #[expect(clippy::too_many_lines, reason = "a table: one entry a variable")]
    fn read(env: &mut Reader<'_>) -> Self {
        let platform = platform::read(env);
        let version = platform::version(env);
        let config = Self {
            listen: env.get("GUILDHALL_LISTEN", "127.0.0.1:9000", "where `serve` listens", parse::address),
            base_path: env.get(
                "GUILDHALL_BASE_PATH",
                "",
                "prefix removed from paths, such as `/live`",
                parse::base_path,
            ),
            data: env.get(
                "GUILDHALL_DATA",
                "./data",
                "embedded default's folder: database, secret",
                parse::path,
            ),
            cors_origins: env.get(
                "GUILDHALL_CORS_ORIGINS",
                "",
                "origins of browser games, `https://host` separated by commas, or `*` for all; none may call without",
                parse::origins,
            ),
            database_url: env.optional(
                "DATABASE_URL",
                "SQLite in the data folder",
                "`postgres://…` (run `guildhall migrate` first) or `sqlite://…`",
                parse::database,
            ),
            database_connections: env.get(
                "GUILDHALL_DATABASE_CONNECTIONS",
                "8",
                "connections to PostgreSQL at most, 1 to 500; a Lambda instance needs 2",
                |text| parse::number(text, 1, 500).map(|number| number as u32),
            ),
            known_senders: env.get(
                "GUILDHALL_KNOWN_SENDERS",
                "16384",
                "senders in channels of whom a process remembers what their sends were decided on, 100 to 10000000, \
                 some 400 bytes each; as many as speak within a few minutes through one process on PostgreSQL",
                |text| parse::number(text, 100, 10_000_000).map(|number| number as usize),
            ),
            token_secret: env.optional(
                "GUILDHALL_TOKEN_SECRET",
                "made on first start of the embedded default",
                "HS256 secret that signs players' tokens, 32 bytes or more",
                |text| Secret::new(text),
            ),
            token_audience: env.optional(
                "GUILDHALL_TOKEN_AUDIENCE",
                "any",
                "tokens must name this in `aud`",
                |text| Ok(text.to_owned()),
            ),
            token_keys: env.get(
                "GUILDHALL_TOKEN_KEYS",
                "",
                "more keys, for rotation: `kid=hs256:SECRET` or `kid=eddsa:PUBLIC_X`, separated by commas (so none in a secret)",
                parse::token_keys,
            ),
            wordlists: env.get("GUILDHALL_WORDLISTS", "./wordlists", "folder of the wordlists, or of published ones, or `s3://bucket/prefix` of published ones", str::parse),
            wordlist_refresh: env.get(
                "GUILDHALL_WORDLIST_REFRESH_S",
                "300",
                "age in seconds at which the list is asked for again, 1 to 86400",
                |text| parse::seconds(text, 1, 86_400),
            ),
            s3: services::s3(env),
            kafka: kafka::read(env, platform::is_latest(&version)),
            bus: services::bus(env),
            tasks: tasks::read(env),
            send_limit: env.get(
                "GUILDHALL_SEND_LIMIT",
                "5/5s",
                "messages a player may send in a time; `off` lifts it for load tests",
                |text| parse::limit(text, 100),
            ),
            filter_window_ms: env.get(
                "GUILDHALL_FILTER_WINDOW",
                "0s",
                "how long a sender's last short messages are judged together, for words spelled over several; `0s` is off",
                parse::age,
            ),
            display_safety: env.get(
                "GUILDHALL_DISPLAY_SAFETY",
                "on",
                "makes text safe to show: direction marks, invisible runs, stacked marks, rich-text tags; or `off`",
                parse::switch,
            ),
            filter_names: env.get(
                "GUILDHALL_FILTER_NAMES",
                "on",
                "masks blocked words in players' names, as others see them beside messages; or `off`",
                parse::switch,
            ),
            recall_window_ms: env.get(
                "GUILDHALL_RECALL_WINDOW",
                "2m",
                "how long players may recall what they said (`90s`, `2m`, `1h`, `7d`)",
                parse::age,
            ),
            retention: env.get(
                "GUILDHALL_RETENTION",
                "world=30d,party=30d",
                "how long messages are kept by channel kind; kinds not named keep theirs; `off` keeps all",
                parse::retention,
            ),
            moderation: moderation::read(env),
            webhook: services::webhook(env),
            services: services::read(env),
            max_in_flight: env.get(
                "GUILDHALL_MAX_IN_FLIGHT",
                "512",
                "requests answered at once, 1 to 65536; more get 503 and `Retry-After`",
                |text| parse::number(text, 1, 65_536).map(|number| number as usize),
            ),
            connections_per_address: env.get(
                "GUILDHALL_CONNECTIONS_PER_ADDRESS",
                "1000",
                "connections one address may hold, 1 to 65536; loopback and private addresses, where proxies are, are not counted; `off` lifts it",
                parse::count,
            ),
            trusted_proxies: env.get(
                "GUILDHALL_TRUSTED_PROXIES",
                "private",
                "whose `X-Forwarded-For` is believed: networks such as `203.0.113.0/24` joined by commas, `private` for loopback and private addresses, `none`",
                parse::proxies,
            ),
            rate: env.get(
                "GUILDHALL_RATE",
                "60/10s",
                "requests a player, or an address without a token, may make in a time; `off` lifts it for load tests",
                |text| parse::limit(text, 100_000),
            ),
            request_timeout: env.get(
                "GUILDHALL_REQUEST_TIMEOUT_S",
                "10",
                "seconds one request may take before it gets 503, 1 to 900",
                |text| parse::seconds(text, 1, 900),
            ),
            live_wait: platform::live_wait(env),
            shutdown_grace: env.get(
                "GUILDHALL_SHUTDOWN_S",
                "20",
                "seconds open requests may take to end after SIGTERM, 0 to 900",
                |text| parse::seconds(text, 0, 900),
            ),
            metrics_listen: env.optional(
                "GUILDHALL_METRICS_LISTEN",
                "off",
                "address that serves Prometheus figures at `/metrics`; keep it private",
                parse::address,
            ),
            log: log::filter(env),
            log_sample: log::sample(env),
            version,
            platform,
        };
        if config.platform != Platform::Own && config.token_secret.is_none() {
            env.fault(
                "GUILDHALL_TOKEN_SECRET",
                "is required in a function, where nothing may be kept on disk",
            );
        }
        config
    }
}

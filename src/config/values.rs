//! The types of settings that are more than a number: secrets that are never shown, limits, addresses.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use ipnet::IpNet;

pub use super::keys::{KeySource, split_secrets};
pub use super::payments::{AppStore, GooglePlay, Payments, WechatPay};
pub use super::push::{Apns, Fcm, Push};
pub use super::wechat_service::WechatService;
use crate::base::address::is_private;
use crate::base::clock::Millis;

/// Bytes a signing secret must have.
pub const MIN_SECRET_BYTES: usize = 32;

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

/// A database's address; may hold a password, so it is never shown.
#[derive(Clone)]
pub struct DatabaseUrl(pub(super) String);

impl DatabaseUrl {
    /// For connecting.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Else it is a `SQLite` file's.
    pub fn is_postgres(&self) -> bool {
        self.0.starts_with("postgres")
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<database address>")
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

/// Algorithm of a key, with the key itself.
#[derive(Clone, Debug)]
pub enum TokenKeyKind {
    /// A shared secret.
    Hs256(Secret),
    /// An Ed25519 public key: the JWK's `x`, 43 characters of base64url.
    EdDsa(String),
}

/// Origins whose pages may call from a browser.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origins {
    /// Nobody's.
    None,
    /// Everybody's.
    All,
    /// Those of these origins, `https://host` or `https://host:port`.
    Some(Vec<String>),
}

/// Milliseconds that messages are kept, by channel kind.
pub type Retention = BTreeMap<&'static str, Millis>;

/// Proxies whose word on a client's address is believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proxies {
    pub(super) private: bool,
    pub(super) networks: Vec<IpNet>,
}

impl Default for Proxies {
    /// Loopback and private addresses.
    fn default() -> Self {
        Self { private: true, networks: Vec::new() }
    }
}

impl Proxies {
    /// Is this one of them?
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        (self.private && is_private(address))
            || self.networks.iter().any(|network| network.contains(&address))
    }
}

/// Address to which events are posted, with its settings.
#[derive(Clone, Debug)]
pub struct WebhookConfig {
    /// The game server's address.
    pub url: reqwest::Url,
    /// Signs the events; without it they carry no signature.
    pub secret: Option<Secret>,
    /// Timeout of one post.
    pub timeout: Duration,
}

/// Others' servers that are called, and that call.
#[derive(Clone, Debug)]
pub struct Services {
    /// Names that may lead into a private network.
    pub private_hosts: PrivateHosts,
    /// Receiver of rank reports, if any.
    pub rank: Option<RankConfig>,
    /// Payment providers that call back.
    pub payments: Payments,
    /// `WeChat`'s customer service, if its messages come here.
    pub wechat_service: Option<WechatService>,
    /// Push services for players' devices.
    pub push: Push,
    /// Channels a second into which one announcement is said.
    pub announcements_per_s: u32,
}

/// Names of servers that may lie in a private network: those of one word, which nobody outside answers for, and these.
#[derive(Clone, Debug, Default)]
pub struct PrivateHosts(Vec<String>);

impl PrivateHosts {
    /// Reads names joined by commas; one that begins with a dot stands for all below it.
    ///
    /// # Errors
    /// One that can't be a name.
    pub fn parse(text: &str) -> Result<Self, String> {
        let names =
            text.split(',').map(|name| name.trim().to_ascii_lowercase()).filter(|name| !name.is_empty());
        let names: Vec<String> = names.collect();
        let fits = |name: &String| name.chars().all(|c| c.is_ascii_alphanumeric() || ".-_".contains(c));
        match names.iter().find(|name| !fits(name)) {
            Some(wrong) => Err(format!("has '{wrong}', which is no host's name")),
            None => Ok(Self(names)),
        }
    }

    /// Is a name one of them?
    pub fn has(&self, name: &str) -> bool {
        let name = name.trim_end_matches('.').to_ascii_lowercase();
        let is =
            |known: &String| name == *known || (known.starts_with('.') && name.ends_with(known.as_str()));
        !name.contains('.') || self.0.iter().any(is)
    }
}

/// Receiver of rank reports, with its settings.
#[derive(Clone, Debug)]
pub struct RankConfig {
    /// Address that takes the reports.
    pub provider: WebhookConfig,
    /// May players report their own? Else only the game's server reports.
    pub by_players: bool,
    /// Milliseconds that reports of a player and board are gathered.
    pub gather_ms: Millis,
    /// Posts a second and worker at most.
    pub per_s: u64,
}

/// Place of wordlists or of archives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Location {
    /// A folder here.
    Folder(PathBuf),
    /// A place in a bucket; the prefix is empty or ends in `/`.
    S3 {
        /// The bucket.
        bucket: String,
        /// Prefix of all names in it.
        prefix: String,
    },
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder(folder) => folder.display().fmt(f),
            Self::S3 { bucket, prefix } => write!(f, "s3://{bucket}/{prefix}"),
        }
    }
}

impl FromStr for Location {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let Some(rest) = text.strip_prefix("s3://") else { return Ok(Self::Folder(PathBuf::from(text))) };
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        if bucket.is_empty() || prefix.starts_with('/') {
            return Err(format!("is '{text}', not a folder or s3://bucket/prefix"));
        }
        let end = if prefix.is_empty() || prefix.ends_with('/') { "" } else { "/" };
        Ok(Self::S3 { bucket: bucket.to_owned(), prefix: format!("{prefix}{end}") })
    }
}

/// Connection to object storage, beside the SDK's own variables, profiles and roles.
#[derive(Clone, Debug)]
pub struct S3Config {
    /// Another storage than AWS's.
    pub endpoint: Option<reqwest::Url>,
    /// The region, if it is named.
    pub region: Option<String>,
    /// Is the bucket part of the path, rather than of the host's name?
    pub path_style: bool,
}

/// Connection to the broker.
#[derive(Clone, Debug)]
pub struct KafkaConfig {
    /// Bootstrap servers, joined by commas.
    pub brokers: String,
    /// The stage's topic.
    pub topic: String,
    /// Partitions that a new topic gets.
    pub partitions: i32,
    /// As librdkafka names it: `plaintext`, `ssl`, `sasl_plaintext`, `sasl_ssl`.
    pub security: &'static str,
    /// Login, where the broker asks for one.
    pub sasl: Option<SaslConfig>,
    /// Files of certificates and keys.
    pub files: KafkaFiles,
    /// After how long a worker that says nothing is taken for dead.
    pub session: Duration,
}

/// Files for the encrypted connection to the broker; each is read by the client.
#[derive(Clone, Debug)]
pub struct KafkaFiles {
    /// The certificates that the broker's is checked against, if not the system's.
    pub ca: Option<String>,
    /// Our own certificate, where the broker wants one.
    pub certificate: Option<String>,
    /// The certificate's key.
    pub key: Option<String>,
}

impl KafkaConfig {
    /// Returns the topic of dead letters.
    pub fn dead_topic(&self) -> String {
        format!("{}.dead", self.topic)
    }
}

/// Connection to the bus, by which processes notify each other of what they stored.
#[derive(Clone, Debug)]
pub struct BusConfig {
    /// `host:port` each.
    pub servers: Vec<String>,
    /// A name and a password, where the bus asks.
    pub login: Option<(String, Password)>,
    /// Is the connection encrypted?
    pub tls: bool,
    /// The certificates that the bus's is checked against, if not the system's.
    pub ca_file: Option<PathBuf>,
    /// Prefix of subjects.
    pub subject: String,
}

/// A name and a password for the broker.
#[derive(Clone, Debug)]
pub struct SaslConfig {
    /// `PLAIN`, `SCRAM-SHA-256` or `SCRAM-SHA-512`.
    pub mechanism: &'static str,
    /// The name.
    pub username: String,
    /// The password.
    pub password: SaslPassword,
}

/// Source of the broker's password.
#[derive(Clone, Debug)]
pub enum SaslPassword {
    /// Here.
    Text(Password),
    /// In this file, which may change.
    File(String),
}

/// A password of any length, never shown.
#[derive(Clone)]
pub struct Password(pub(super) String);

impl Password {
    /// One that was read from a file.
    pub fn new(text: &str) -> Self {
        Self(text.to_owned())
    }

    /// For logging in.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<password>")
    }
}

/// Platform that started the program, with the program's role there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Platform {
    /// A person or a service manager; the command line says what for. So does Tencent SCF with a web function.
    Own,
    /// AWS Lambda.
    Lambda {
        /// Role that the function's handler names.
        role: Role,
        /// The function's name.
        function: String,
        /// Address of the platform's API: `host:port`.
        api: String,
    },
    /// Tencent SCF, with an event function's runtime.
    Scf {
        /// Address at which events are asked for: `host:port`.
        events: String,
    },
}

/// Role of a function: the work that it does when it is invoked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Answers requests.
    Api,
    /// Runs tasks.
    Worker,
    /// Brings the database's tables to this version, for a release that can't reach the database itself.
    Migrate,
}

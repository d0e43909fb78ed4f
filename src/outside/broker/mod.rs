//! Kafka: envelopes to the broker, and from it. It knows envelopes, not tasks.
//!
//! The producer is idempotent and waits for all replicas. A consumer is a member of the topic's group, and commits by
//! hand what is done. Nothing here depends on the broker being there: what can't be sent stays in the outbox. A client that
//! says that it can't go on is made anew.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::error::KafkaError;
use rdkafka::producer::{FutureProducer, FutureRecord, Producer};
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::util::Timeout;

use crate::base::clock::Millis;
use crate::base::lock::lock;
use crate::config::{KafkaConfig, Password, SaslPassword};
use crate::outside::envelope::Envelope;

mod consumer;
mod context;

pub use consumer::Consumer;
use context::Context;

/// Milliseconds in which a record must be acknowledged; else it stays in the outbox.
const ACKNOWLEDGED_MS: &str = "10000";
/// Longest time that the program waits at its stop for records that are being sent.
const FLUSH: Duration = Duration::from_secs(5);
const ADMIN: Duration = Duration::from_secs(10);
/// Replicas as the broker has it by default.
const BROKERS_DEFAULT: i32 = -1;

/// A producer, and what it said of itself.
struct Sender {
    producer: FutureProducer<Context>,
    context: Context,
}

/// The connection to the broker.
pub struct Queue {
    config: KafkaConfig,
    /// Milliseconds that done tasks are remembered.
    remembered_ms: Millis,
    sender: ArcSwap<Sender>,
    /// Held by whoever makes another producer.
    renewing: std::sync::Mutex<()>,
    /// Lines that were logged about topics, which are not logged again so soon.
    said: Context,
    /// Were the topics looked at? What was said of them then is not said again.
    looked: AtomicBool,
    /// Held by whoever sends a record by itself.
    by_itself: tokio::sync::Mutex<()>,
}

/// One record as it came.
#[derive(Debug)]
pub struct Delivery {
    /// Partition of the topic.
    pub partition: i32,
    /// Offset in the partition.
    pub offset: i64,
    /// Time at which it was written, as far as the broker or the platform says.
    pub written_at: Option<Millis>,
    /// Value, empty where there is none; or the reason why it can't be read.
    pub content: Result<Vec<u8>, String>,
}

/// Reason why the broker does not have a record.
#[derive(Debug)]
pub enum NotTaken {
    /// The broker may take it later.
    Later(String),
    /// The topic does not exist.
    NoTopic(String),
    /// The record is larger than the topic takes.
    TooLarge,
}

impl NotTaken {
    /// For the log.
    pub fn why(&self) -> String {
        match self {
            Self::Later(why) | Self::NoTopic(why) => why.clone(),
            Self::TooLarge => "the topic takes no record of this size".to_owned(),
        }
    }
}

impl Queue {
    /// Prepares the producer; connects by itself, again and again.
    ///
    /// # Errors
    /// Settings that the client refuses, a file that can't be read.
    pub fn new(config: &KafkaConfig, remembered_ms: Millis) -> Result<Self, String> {
        let sender = ArcSwap::from_pointee(Sender::new(config)?);
        Ok(Self {
            config: config.clone(),
            remembered_ms,
            sender,
            renewing: std::sync::Mutex::default(),
            said: Context::new("topics"),
            looked: AtomicBool::new(false),
            by_itself: tokio::sync::Mutex::default(),
        })
    }

    /// The stage's topic.
    pub fn topic(&self) -> &str {
        &self.config.topic
    }

    /// Makes the topic and the one for dead letters, where the broker lets us and they are not there. True where the topic
    /// is new: what an earlier one of its name had is gone.
    ///
    /// # Errors
    /// The broker's; sending may work all the same.
    pub async fn create_topics(&self) -> Result<bool, String> {
        let told = |fault: KafkaError| fault.to_string();
        let admin: AdminClient<Context> =
            client(&self.config, "topics")?.create_with_context(self.said.clone()).map_err(told)?;
        let why = |fault: KafkaError| match admin.inner().context().why() {
            Some(why) => format!("{fault}: {why}"),
            None => fault.to_string(),
        };
        let dead = self.config.dead_topic();
        let new =
            |name, partitions| NewTopic::new(name, partitions, TopicReplication::Fixed(BROKERS_DEFAULT));
        // Well below what is remembered: a record that is read again later finds that its task was done.
        let kept = (self.remembered_ms / 2).to_string();
        let tasks = new(&self.config.topic, self.config.partitions).set("retention.ms", &kept);
        let topics = [tasks, new(&dead, 1)];
        let options = AdminOptions::new().operation_timeout(Some(ADMIN)).request_timeout(Some(ADMIN));
        let (mut is_new, is_first) = (false, !self.looked.load(Ordering::Relaxed));
        for made in admin.create_topics(&topics, &options).await.map_err(why)? {
            match made {
                Ok(topic) => is_new |= topic == self.config.topic,
                Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
                Err((_, code)) if is_final(code) && !is_first => {}
                Err((topic, code)) if is_final(code) => {
                    tracing::warn!(topic, %code, "topics are made by others here; sending to the one there is");
                }
                Err((topic, code)) => return Err(format!("{topic}: {code}")),
            }
        }
        self.looked.store(true, Ordering::Relaxed);
        if !is_new && is_first {
            self.look_how_long_it_keeps(&admin, &options).await;
        }
        Ok(is_new)
    }

    /// Says so where the topic keeps records for longer than it is remembered what was done.
    async fn look_how_long_it_keeps(&self, admin: &AdminClient<Context>, options: &AdminOptions) {
        let topic = &self.config.topic;
        let found = match admin.describe_configs([&ResourceSpecifier::Topic(topic)], options).await {
            Ok(found) => found,
            Err(fault) => return tracing::debug!(%fault, "how long the topic keeps records is not known"),
        };
        let kept = found.iter().flatten().find_map(|of| of.get("retention.ms")?.value.clone());
        let remembered_ms = self.remembered_ms;
        let is_longer = |ms: &i64| *ms < 0 || *ms > remembered_ms;
        if let Some(kept_ms) = kept.and_then(|ms| ms.parse().ok()).filter(is_longer) {
            tracing::warn!(
                topic,
                kept_ms,
                remembered_ms,
                "the topic keeps records for longer than GUILDHALL_TASK_REMEMBERED; older ones will not be run"
            );
        }
    }

    /// Is it time to say something of this kind? Where a broker is away for long, the same is said every half minute.
    pub fn is_due(&self, kind: &str) -> bool {
        self.said.is_due(&context::kind(kind))
    }

    /// Sends an envelope.
    ///
    /// # Errors
    /// Why the broker does not have it.
    pub async fn publish(&self, envelope: &Envelope) -> Result<(), NotTaken> {
        let (topic, bytes) = (&self.config.topic, envelope.to_bytes());
        let sent = self.send(topic, &envelope.key, &bytes).await;
        if !matches!(sent, Err(NotTaken::TooLarge)) {
            return sent;
        }
        // The client sends many as one, and the topic refuses all for the size of the whole: each by itself, then.
        let _by_itself = self.by_itself.lock().await;
        self.send(topic, &envelope.key, &bytes).await
    }

    /// Sends what nobody will run to the dead letters, with the reason.
    ///
    /// # Errors
    /// The broker's.
    pub async fn bury(&self, id: &str, letter: &[u8]) -> Result<(), String> {
        self.send(&self.config.dead_topic(), id, letter).await.map_err(|fault| fault.why())
    }

    async fn send(&self, topic: &str, key: &str, bytes: &[u8]) -> Result<(), NotTaken> {
        use RDKafkaErrorCode::{
            MessageSizeTooLarge, UnknownPartition, UnknownTopic, UnknownTopicOrPartition,
        };
        let sender = self.sender.load_full();
        let record = FutureRecord::to(topic).key(key).payload(bytes);
        let Err((fault, _)) = sender.producer.send(record, Timeout::After(Duration::ZERO)).await else {
            return Ok(());
        };
        self.renew_if_dead(&sender);
        let why = match sender.context.why() {
            Some(why) => format!("{fault}: {why}"),
            None => fault.to_string(),
        };
        Err(match fault.rdkafka_error_code() {
            Some(MessageSizeTooLarge) => NotTaken::TooLarge,
            Some(UnknownTopic | UnknownPartition | UnknownTopicOrPartition) => NotTaken::NoTopic(why),
            _ => NotTaken::Later(why),
        })
    }

    /// An idempotent producer that met what it can't explain, such as a broker that lost its newest records, refuses
    /// everything from then on. Another takes its place; what the old one had on its way stays in the outbox.
    fn renew_if_dead(&self, dead: &Arc<Sender>) {
        let Some((code, why)) = dead.producer.client().fatal_error() else { return };
        let _renewing = lock(&self.renewing);
        if !Arc::ptr_eq(&self.sender.load_full(), dead) {
            return;
        }
        tracing::warn!(%code, why, "the broker's client can't go on; another takes its place");
        metrics::counter!("guildhall_broker_clients_renewed_total", "client" => "producer").increment(1);
        match Sender::new(&self.config) {
            Ok(new) => {
                let old = self.sender.swap(Arc::new(new));
                // Its end waits for its threads.
                drop(tokio::task::spawn_blocking(move || drop(old)));
            }
            Err(fault) => tracing::error!(fault, "another can't be made"),
        }
    }

    /// Joins the topic's workers.
    ///
    /// # Errors
    /// Settings that the client refuses.
    pub fn consume(&self) -> Result<Consumer, String> {
        Consumer::join(&self.config)
    }

    /// Waits a moment for what is on its way.
    pub async fn close(&self) {
        let sender = self.sender.load_full();
        let flushed = tokio::task::spawn_blocking(move || sender.producer.flush(FLUSH)).await;
        if !matches!(flushed, Ok(Ok(()))) {
            tracing::warn!("some records were not acknowledged; the outbox has them");
        }
    }
}

impl Sender {
    fn new(config: &KafkaConfig) -> Result<Self, String> {
        let context = Context::new("producer");
        let producer = client(config, "producer")?
            .set("enable.idempotence", "true")
            .set("acks", "all")
            .set("compression.type", "lz4")
            .set("linger.ms", "5")
            .set("message.timeout.ms", ACKNOWLEDGED_MS)
            .create_with_context(context.clone())
            .map_err(|fault: KafkaError| fault.to_string())?;
        Ok(Self { producer, context })
    }
}

/// Asking again would bring the same answer: somebody else makes topics on this broker.
fn is_final(code: RDKafkaErrorCode) -> bool {
    use RDKafkaErrorCode::{ClusterAuthorizationFailed, PolicyViolation, TopicAuthorizationFailed};
    matches!(code, ClusterAuthorizationFailed | PolicyViolation | TopicAuthorizationFailed)
}

/// Returns the settings that all clients of this broker have in common.
///
/// # Errors
/// A file that is named and can't be read: librdkafka would say no more than that a certificate is wrong.
fn client(config: &KafkaConfig, name: &str) -> Result<ClientConfig, String> {
    let mut client = ClientConfig::new();
    client
        .set("bootstrap.servers", &config.brokers)
        // Whose a connection is, where several of us speak to one broker.
        .set("client.id", format!("guildhall-{name}-{}-{}", host(), std::process::id()))
        .set("security.protocol", config.security)
        .set("reconnect.backoff.max.ms", "2000")
        .set("socket.keepalive.enable", "true")
        .set_log_level(RDKafkaLogLevel::Warning);
    if let Some(sasl) = &config.sasl {
        client
            .set("sasl.mechanisms", sasl.mechanism)
            .set("sasl.username", &sasl.username)
            .set("sasl.password", password(&sasl.password)?.expose());
    }
    for (option, variable, file) in [
        ("ssl.ca.location", "KAFKA_CA_FILE", &config.files.ca),
        ("ssl.certificate.location", "KAFKA_CERTIFICATE_FILE", &config.files.certificate),
        ("ssl.key.location", "KAFKA_KEY_FILE", &config.files.key),
    ] {
        if let Some(file) = file {
            std::fs::File::open(file).map_err(|fault| format!("{variable} {file}: {fault}"))?;
            client.set(option, file);
        }
    }
    Ok(client)
}

/// Returns this machine's host name.
fn host() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    name.trim().to_owned()
}

/// The password, read anew for each client, as its file may have changed.
fn password(password: &SaslPassword) -> Result<Password, String> {
    match password {
        SaslPassword::Text(password) => Ok(password.clone()),
        SaslPassword::File(file) => {
            let read = std::fs::read_to_string(file);
            let text = read.map_err(|fault| format!("KAFKA_PASSWORD_FILE {file}: {fault}"))?;
            Ok(Password::new(text.trim_end_matches(['\r', '\n'])))
        }
    }
}

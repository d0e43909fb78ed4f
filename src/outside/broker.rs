//! Kafka: envelopes to the broker, and from it. It knows envelopes, not tasks.
//!
//! The producer is idempotent and waits for all replicas. A consumer is a member of the topic's group, and commits by
//! hand what is done. Nothing here depends on the broker being there: what can't be sent stays in the outbox.

use std::time::Duration;

use futures_util::future::join_all;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::consumer::{CommitMode, Consumer as _, StreamConsumer};
use rdkafka::error::KafkaError;
use rdkafka::message::Message;
use rdkafka::producer::{FutureProducer, FutureRecord, Producer};
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::util::Timeout;
use rdkafka::{Offset, TopicPartitionList};

use crate::config::KafkaConfig;
use crate::outside::envelope::Envelope;

/// How long a record may take to be acknowledged; then it stays in the outbox.
const ACKNOWLEDGED_MS: &str = "10000";
/// How long the program waits for what is on its way when it stops.
const FLUSH: Duration = Duration::from_secs(5);
const ADMIN: Duration = Duration::from_secs(10);
/// Replicas as the broker has it by default.
const BROKERS_DEFAULT: i32 = -1;

/// The connection to the broker.
pub struct Queue {
    config: KafkaConfig,
    producer: FutureProducer,
}

/// One record as it came.
#[derive(Debug)]
pub struct Delivery {
    /// Its topic's partition.
    pub partition: i32,
    /// Its number there.
    pub offset: i64,
    /// Its value; empty where there is none.
    pub bytes: Vec<u8>,
}

impl Queue {
    /// Prepares the producer; connects by itself, again and again.
    ///
    /// # Errors
    /// Settings that the client refuses.
    pub fn new(config: &KafkaConfig) -> Result<Self, String> {
        let producer = client(config)
            .set("enable.idempotence", "true")
            .set("acks", "all")
            .set("compression.type", "lz4")
            .set("linger.ms", "5")
            .set("message.timeout.ms", ACKNOWLEDGED_MS)
            .create()
            .map_err(|fault| fault.to_string())?;
        Ok(Self { config: config.clone(), producer })
    }

    /// The stage's topic.
    pub fn topic(&self) -> &str {
        &self.config.topic
    }

    /// Makes the topic and the one for dead letters, where the broker lets us and they are not there.
    ///
    /// # Errors
    /// The broker's; sending may work all the same.
    pub async fn create_topics(&self) -> Result<(), String> {
        let told = |fault: KafkaError| fault.to_string();
        let admin: AdminClient<DefaultClientContext> = client(&self.config).create().map_err(told)?;
        let dead = self.config.dead_topic();
        let new =
            |name, partitions| NewTopic::new(name, partitions, TopicReplication::Fixed(BROKERS_DEFAULT));
        let topics = [new(&self.config.topic, self.config.partitions), new(&dead, 1)];
        let options = AdminOptions::new().operation_timeout(Some(ADMIN)).request_timeout(Some(ADMIN));
        for made in admin.create_topics(&topics, &options).await.map_err(told)? {
            match made {
                Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
                Err((topic, code)) if is_final(code) => {
                    tracing::warn!(topic, %code, "topics are made by others here; sending to the one there is");
                }
                Err((topic, code)) => return Err(format!("{topic}: {code}")),
            }
        }
        Ok(())
    }

    /// Sends envelopes; says of each whether the broker has it.
    pub async fn publish(&self, envelopes: &[Envelope]) -> Vec<Result<(), String>> {
        let send = |envelope: &Envelope| {
            let (key, bytes) = (envelope.key.clone(), envelope.to_bytes());
            async move { self.send(&self.config.topic, &key, &bytes).await }
        };
        join_all(envelopes.iter().map(send)).await
    }

    /// Sends what nobody will run to the dead letters, with the reason.
    ///
    /// # Errors
    /// The broker's.
    pub async fn bury(&self, id: &str, letter: &[u8]) -> Result<(), String> {
        self.send(&self.config.dead_topic(), id, letter).await
    }

    async fn send(&self, topic: &str, key: &str, bytes: &[u8]) -> Result<(), String> {
        let record = FutureRecord::to(topic).key(key).payload(bytes);
        match self.producer.send(record, Timeout::After(Duration::ZERO)).await {
            Ok(_) => Ok(()),
            Err((fault, _)) => Err(fault.to_string()),
        }
    }

    /// Joins the topic's workers.
    ///
    /// # Errors
    /// Settings that the client refuses.
    pub fn consume(&self) -> Result<Consumer, String> {
        let told = |fault: KafkaError| fault.to_string();
        let consumer: StreamConsumer = client(&self.config)
            .set("group.id", format!("{}.workers", self.config.topic))
            .set("enable.auto.commit", "false")
            .set("auto.offset.reset", "earliest")
            // A topic that is made after this joined is looked for so often, rather than every five minutes.
            .set("topic.metadata.refresh.interval.ms", "5000")
            .set("partition.assignment.strategy", "cooperative-sticky")
            .set("session.timeout.ms", "6000")
            .set("heartbeat.interval.ms", "1500")
            .set("max.poll.interval.ms", "600000")
            .set("queued.max.messages.kbytes", "16384")
            .create()
            .map_err(told)?;
        consumer.subscribe(&[&self.config.topic]).map_err(told)?;
        Ok(Consumer { topic: self.config.topic.clone(), consumer })
    }

    /// Waits a moment for what is on its way.
    pub async fn close(&self) {
        let producer = self.producer.clone();
        let flushed = tokio::task::spawn_blocking(move || producer.flush(FLUSH)).await;
        if !matches!(flushed, Ok(Ok(()))) {
            tracing::warn!("some records were not acknowledged; the outbox has them");
        }
    }
}

/// A member of the topic's workers.
pub struct Consumer {
    topic: String,
    consumer: StreamConsumer,
}

impl Consumer {
    /// The next record.
    ///
    /// # Errors
    /// The broker's; asking again is right.
    pub async fn next(&self) -> Result<Delivery, String> {
        let record = self.consumer.recv().await.map_err(|fault| fault.to_string())?;
        Ok(Delivery {
            partition: record.partition(),
            offset: record.offset(),
            bytes: record.payload().unwrap_or_default().to_vec(),
        })
    }

    /// Notes that all records before `offset` are done. A partition that is another's by now is its own affair.
    pub fn commit(&self, partition: i32, offset: i64) {
        let mut list = TopicPartitionList::new();
        let added = list.add_partition_offset(&self.topic, partition, Offset::Offset(offset));
        if let Err(fault) = added.and_then(|()| self.consumer.commit(&list, CommitMode::Async)) {
            tracing::debug!(%fault, partition, offset, "not committed");
        }
    }

    /// Leaves the group, so that others take over at once.
    pub async fn leave(self) {
        let _ = tokio::task::spawn_blocking(move || {
            let _ = self.consumer.commit_consumer_state(CommitMode::Sync);
            drop(self.consumer);
        })
        .await;
    }
}

/// Asking again would bring the same answer: somebody else makes topics on this broker.
fn is_final(code: RDKafkaErrorCode) -> bool {
    use RDKafkaErrorCode::{ClusterAuthorizationFailed, PolicyViolation, TopicAuthorizationFailed};
    matches!(code, ClusterAuthorizationFailed | PolicyViolation | TopicAuthorizationFailed)
}

fn client(config: &KafkaConfig) -> ClientConfig {
    let mut client = ClientConfig::new();
    client
        .set("bootstrap.servers", &config.brokers)
        .set("client.id", "guildhall")
        .set("security.protocol", config.security)
        .set("reconnect.backoff.max.ms", "2000")
        .set("socket.keepalive.enable", "true")
        .set_log_level(RDKafkaLogLevel::Warning);
    if let Some(sasl) = &config.sasl {
        client
            .set("sasl.mechanisms", sasl.mechanism)
            .set("sasl.username", &sasl.username)
            .set("sasl.password", sasl.password.expose());
    }
    if let Some(file) = &config.ca_file {
        client.set("ssl.ca.location", file);
    }
    client
}

//! A member of the topic's workers: records in, offsets back.
//!
//! What the client only reports, such as brokers that are away, holds nobody up: it goes on by itself. A record that it
//! can't read would stand in its partition for ever; it is found by where the partition stands still, and passed over.
//!
//! A broker that comes back may have lost its newest records, and have others under their offsets: a client that goes on
//! where it was passes those over. So after an outage each partition is read on from where the broker says that the group is.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arc_swap::ArcSwap;
use rdkafka::consumer::{CommitMode, Consumer as _, StreamConsumer};
use rdkafka::error::KafkaError;
use rdkafka::message::Message;
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{Offset, TopicPartitionList};

use super::context::Context;
use super::{Delivery, client};
use crate::base::lock::lock;
use crate::config::KafkaConfig;

/// Timeout of a call to the broker about a partition's position.
const LOOK: Duration = Duration::from_secs(5);
/// Pause between two requests for the group's position to a broker that was away.
const ASKED: Duration = Duration::from_millis(250);
/// So often a partition has to stand still at one offset before the record there is passed over.
const STANDS_STILL: u32 = 3;

type Inner = StreamConsumer<Context>;

/// A member of the topic's workers.
pub struct Consumer {
    config: KafkaConfig,
    inner: ArcSwap<Inner>,
    /// Partitions that stood still at an offset, and how often they were seen there.
    still: Mutex<HashMap<i32, (i64, u32)>>,
    /// Were all brokers away, and is it not known yet where the group is since? Nothing is committed meanwhile, as that
    /// would say that all before it was read.
    doubtful: Arc<AtomicBool>,
}

impl Consumer {
    pub(super) fn join(config: &KafkaConfig) -> Result<Self, String> {
        let inner = ArcSwap::from_pointee(join(config)?);
        Ok(Self { config: config.clone(), inner, still: Mutex::default(), doubtful: Arc::default() })
    }

    /// The next record, or where one is that can't be read.
    pub async fn next(&self) -> Delivery {
        loop {
            let consumer = self.inner.load_full();
            match consumer.recv().await {
                Ok(record) => {
                    return Delivery {
                        partition: record.partition(),
                        offset: record.offset(),
                        written_at: record.timestamp().to_millis(),
                        content: Ok(record.payload().unwrap_or_default().to_vec()),
                    };
                }
                Err(KafkaError::MessageConsumption(code)) if speaks_of_a_record(code) => {
                    if let Some(delivery) = self.pass_over(code).await {
                        return delivery;
                    }
                }
                Err(fault) => self.note(&consumer, &fault),
            }
        }
    }

    /// The client goes on by itself, unless it says that it can't: then another takes its place.
    fn note(&self, consumer: &Arc<Inner>, fault: &KafkaError) {
        let context = consumer.client().context();
        if context.is_due(&format!("consume {fault}")) {
            tracing::warn!(%fault, why = context.why(), "the broker does not deliver; the client goes on trying");
        }
        if fault.rdkafka_error_code() == Some(RDKafkaErrorCode::AllBrokersDown)
            && !self.doubtful.swap(true, Ordering::AcqRel)
        {
            let (consumer, topic) = (Arc::clone(consumer), self.config.topic.clone());
            tokio::spawn(go_back(consumer, topic, Arc::clone(&self.doubtful)));
        }
        let Some((code, why)) = consumer.client().fatal_error() else { return };
        tracing::warn!(%code, why, "the broker's client can't go on; another joins the workers");
        metrics::counter!("guildhall_broker_clients_renewed_total", "client" => "consumer").increment(1);
        match join(&self.config) {
            Ok(new) => {
                let old = self.inner.swap(Arc::new(new));
                drop(tokio::task::spawn_blocking(move || drop(old)));
            }
            Err(fault) => tracing::error!(fault, "another can't join"),
        }
    }

    /// The partition that stands still while others wait behind: its record is given up, and the next one is fetched.
    async fn pass_over(&self, code: RDKafkaErrorCode) -> Option<Delivery> {
        let (consumer, topic) = (self.inner.load_full(), self.config.topic.clone());
        let looked = tokio::task::spawn_blocking(move || stand(&consumer, &topic)).await;
        let standing =
            looked.ok()?.inspect_err(|fault| tracing::warn!(%fault, "where partitions stand")).ok()?;
        let (partition, offset) = {
            let mut still = lock(&self.still);
            still.retain(|partition, (offset, _)| standing.contains(&(*partition, *offset)));
            for (partition, offset) in standing {
                still.entry(partition).or_insert((offset, 0)).1 += 1;
            }
            let stuck = still.iter().find(|(_, (_, times))| *times >= STANDS_STILL)?;
            let found = (*stuck.0, stuck.1.0);
            still.remove(&found.0);
            found
        };
        let (consumer, topic) = (self.inner.load_full(), self.config.topic.clone());
        let next = Offset::Offset(offset + 1);
        let seek = move || consumer.seek(&topic, partition, next, LOOK);
        let sought = tokio::task::spawn_blocking(seek).await.ok()?;
        if let Err(fault) = sought {
            tracing::warn!(%fault, partition, offset, "a record that can't be read can't be passed over now");
            return None;
        }
        Some(Delivery { partition, offset, written_at: None, content: Err(format!("can't be read: {code}")) })
    }

    /// Notes that all records before `offset` are done. False where that was not told to the broker. A partition that is
    /// another's by now is its own affair.
    pub fn commit(&self, partition: i32, offset: i64) -> bool {
        if self.doubtful.load(Ordering::Acquire) {
            return false;
        }
        let mut list = TopicPartitionList::new();
        let added = list.add_partition_offset(&self.config.topic, partition, Offset::Offset(offset));
        if let Err(fault) = added.and_then(|()| self.inner.load().commit(&list, CommitMode::Async)) {
            tracing::debug!(%fault, partition, offset, "not committed");
            return false;
        }
        true
    }

    /// Leaves the group, so that others take over at once.
    pub async fn leave(self) {
        let _ = tokio::task::spawn_blocking(move || {
            let consumer = self.inner.into_inner();
            let _ = consumer.commit_consumer_state(CommitMode::Sync);
            drop(consumer);
        })
        .await;
    }
}

/// Reads each partition on from where the broker says that the group is, once it answers again. What comes a second time has
/// no effect.
async fn go_back(consumer: Arc<Inner>, topic: String, doubtful: Arc<AtomicBool>) {
    loop {
        tokio::time::sleep(ASKED).await;
        let (consumer, topic) = (Arc::clone(&consumer), topic.clone());
        if let Ok(Ok(())) = tokio::task::spawn_blocking(move || seek_committed(&consumer, &topic)).await {
            break;
        }
    }
    doubtful.store(false, Ordering::Release);
}

fn seek_committed(consumer: &Inner, topic: &str) -> Result<(), KafkaError> {
    let committed = consumer.committed(LOOK)?;
    for partition in committed.elements_for_topic(topic) {
        let to = match partition.offset() {
            offset @ Offset::Offset(_) => offset,
            _ => Offset::Beginning,
        };
        // Where that is too far, or the partition is another's by now, the client sees to it.
        if let Err(fault) = consumer.seek(topic, partition.partition(), to, LOOK) {
            tracing::debug!(%fault, partition = partition.partition(), "not sought");
        }
    }
    Ok(())
}

fn join(config: &KafkaConfig) -> Result<Inner, String> {
    let told = |fault: KafkaError| fault.to_string();
    let session = config.session.as_millis();
    let consumer: Inner = client(config, "worker")?
        .set("group.id", format!("{}.workers", config.topic))
        .set("enable.auto.commit", "false")
        .set("auto.offset.reset", "earliest")
        // A topic that is made after this joined is looked for so often, rather than every five minutes.
        .set("topic.metadata.refresh.interval.ms", "5000")
        .set("partition.assignment.strategy", "cooperative-sticky")
        .set("session.timeout.ms", session.to_string())
        .set("heartbeat.interval.ms", (session / 4).to_string())
        .set("max.poll.interval.ms", "600000")
        .set("queued.max.messages.kbytes", "16384")
        .set("statistics.interval.ms", "5000")
        .create_with_context(Context::new("worker"))
        .map_err(told)?;
    consumer.subscribe(&[&config.topic]).map_err(told)?;
    Ok(consumer)
}

/// Does the fault lie in what a partition holds, so that asking again would meet it again?
fn speaks_of_a_record(code: RDKafkaErrorCode) -> bool {
    use RDKafkaErrorCode::{
        BadCompression, BadMessage, InvalidMessage, InvalidMessageSize, NotImplemented,
        UnsupportedCompressionType,
    };
    matches!(
        code,
        BadCompression
            | BadMessage
            | InvalidMessage
            | InvalidMessageSize
            | NotImplemented
            | UnsupportedCompressionType
    )
}

/// The offset at which each partition of ours stands that has more behind it.
fn stand(consumer: &Inner, topic: &str) -> Result<Vec<(i32, i64)>, KafkaError> {
    let positions = consumer.position()?;
    let committed = consumer.committed(LOOK)?;
    let mut standing = Vec::new();
    for assigned in consumer.assignment()?.elements() {
        let partition = assigned.partition();
        let (low, high) = consumer.fetch_watermarks(topic, partition, LOOK)?;
        let at = |list: &TopicPartitionList| match list.find_partition(topic, partition)?.offset() {
            Offset::Offset(offset) => Some(offset),
            _ => None,
        };
        let offset = at(&positions).or_else(|| at(&committed)).unwrap_or(low).max(low);
        if offset < high {
            standing.push((partition, offset));
        }
    }
    Ok(standing)
}

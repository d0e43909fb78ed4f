//! What invokes a worker, whoever sends it: batches of Kafka records, timers, stored objects, and people.
//!
//! AWS and Tencent wrap the same things differently; here they become one type. What none of them sends is refused by
//! name, so that a wrong trigger is seen at its first event.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Map, Value};

use crate::outside::broker::Delivery;

/// Something for a worker to do.
#[derive(Debug)]
pub enum Event {
    /// Records of a topic, by partition, as the platform names it (`topic-0`).
    Records(BTreeMap<String, Vec<Delivery>>),
    /// Time passed: what is due, and what was left lying.
    Timer,
    /// Objects were stored.
    Stored(Vec<Object>),
    /// Somebody wants a task run now.
    Task {
        /// The task's name.
        task: String,
        /// The task's fields.
        payload: Box<RawValue>,
    },
}

/// A stored object.
#[derive(Debug, PartialEq, Eq)]
pub struct Object {
    /// The object's bucket; empty if the platform does not give the bucket's own name.
    pub bucket: String,
    /// The object's name in the bucket.
    pub key: String,
}

impl Event {
    /// Reads an event.
    ///
    /// # Errors
    /// It is none that a worker knows, or a broken one; the text says which fields it has.
    pub fn parse(event: &Value) -> Result<Self, String> {
        let word = |name: &str| event[name].as_str().unwrap_or_default();
        let first = &event["Records"][0];
        if matches!(word("eventSource"), "aws:kafka" | "SelfManagedKafka") {
            read::<Batch>(event, "a Kafka batch").map(Batch::into_event)
        } else if first.get("Ckafka").is_some() {
            read::<CkafkaBatch>(event, "a CKafka batch").map(CkafkaBatch::into_event)
        } else if first["eventSource"] == "aws:s3" {
            read::<S3Records>(event, "an S3 event").map(S3Records::into_event)
        } else if first.get("cos").is_some() {
            read::<CosRecords>(event, "a COS event").map(CosRecords::into_event)
        } else if word("Type") == "Timer" || matches!(word("source"), "aws.events" | "aws.scheduler") {
            Ok(Self::Timer)
        } else if event.get("task").is_some() {
            let LeaseRequest { task, payload } = read(event, "a task")?;
            let payload = to_raw_value(&payload).map_err(|fault| fault.to_string())?;
            Ok(Self::Task { task, payload })
        } else {
            Err(format!("this worker knows no such event: {}", shape(event)))
        }
    }
}

fn read<T: serde::de::DeserializeOwned>(event: &Value, what: &str) -> Result<T, String> {
    serde_path_to_error::deserialize(event).map_err(|fault| format!("this is {what}, but broken: {fault}"))
}

/// The names of its fields and nothing else of it: what is in them may be private.
fn shape(event: &Value) -> String {
    match event.as_object() {
        Some(fields) if fields.is_empty() => "it is empty".to_owned(),
        Some(fields) => {
            let names: Vec<&str> = fields.keys().take(10).map(String::as_str).collect();
            format!("it has the fields {}", names.join(", "))
        }
        None => "it is not an object".to_owned(),
    }
}

/// A task by hand: `{"task": "retention.v1", "payload": {}}`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LeaseRequest {
    task: String,
    #[serde(default)]
    payload: Map<String, Value>,
}

#[derive(Deserialize)]
struct Batch {
    records: BTreeMap<String, Vec<Record>>,
}

#[derive(Deserialize)]
struct Record {
    partition: i32,
    offset: i64,
    #[serde(default)]
    value: Option<String>,
}

impl Batch {
    fn into_event(self) -> Event {
        let delivery = |Record { partition, offset, value }| {
            let value = value.unwrap_or_default();
            // What is no base64 is no envelope either: it goes on, and becomes a dead letter that shows it.
            let bytes = STANDARD.decode(&value).unwrap_or_else(|_| value.into_bytes());
            // Whoever brings an event to a function may do so long after it was written, also by hand.
            Delivery { partition, offset, written_at: None, content: Ok(bytes) }
        };
        let partition =
            |(name, records): (String, Vec<Record>)| (name, records.into_iter().map(delivery).collect());
        Event::Records(self.records.into_iter().map(partition).collect())
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct CkafkaBatch {
    records: Vec<CkafkaRecord>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct CkafkaRecord {
    ckafka: Ckafka,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Ckafka {
    topic: String,
    partition: i32,
    offset: i64,
    #[serde(default)]
    msg_body: String,
}

impl CkafkaBatch {
    fn into_event(self) -> Event {
        let mut partitions: BTreeMap<String, Vec<Delivery>> = BTreeMap::new();
        for CkafkaRecord { ckafka: Ckafka { topic, partition, offset, msg_body } } in self.records {
            let content = Ok(msg_body.into_bytes());
            let delivery = Delivery { partition, offset, written_at: None, content };
            partitions.entry(format!("{topic}-{partition}")).or_default().push(delivery);
        }
        Event::Records(partitions)
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct S3Records {
    records: Vec<S3Record>,
}

#[derive(Deserialize)]
struct S3Record {
    s3: S3,
}

#[derive(Deserialize)]
struct S3 {
    bucket: Named,
    object: Keyed,
}

#[derive(Deserialize)]
struct Named {
    name: String,
}

#[derive(Deserialize)]
struct Keyed {
    key: String,
}

impl S3Records {
    fn into_event(self) -> Event {
        let object = |S3Record { s3: S3 { bucket, object } }| {
            // Names come as they stand in a query.
            let decoded = form_urlencoded::parse(object.key.as_bytes()).next();
            Object { bucket: bucket.name, key: decoded.map(|(key, _)| key.into_owned()).unwrap_or_default() }
        };
        Event::Stored(self.records.into_iter().map(object).collect())
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct CosRecords {
    records: Vec<CosRecord>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct CosRecord {
    cos: Cos,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Cos {
    cos_bucket: CosBucket,
    cos_object: Keyed,
}

#[derive(Deserialize)]
struct CosBucket {
    name: String,
    #[serde(default)]
    appid: Option<String>,
}

impl CosRecords {
    fn into_event(self) -> Event {
        let object = |CosRecord { cos: Cos { cos_bucket: CosBucket { name, appid }, cos_object } }| {
            // A key comes as `/appid/bucket/key`; for S3's interface the bucket's name ends in the appid.
            let appid = appid.unwrap_or_default();
            let front = format!("/{appid}/{name}/");
            let key = cos_object.key.strip_prefix(&front).unwrap_or(&cos_object.key).to_owned();
            let bucket = if appid.is_empty() { name } else { format!("{name}-{appid}") };
            Object { bucket, key }
        };
        Event::Stored(self.records.into_iter().map(object).collect())
    }
}

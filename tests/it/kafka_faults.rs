//! Servers and workers on an Apache Kafka of a test's own: it is restarted, killed and away, workers die and stand still,
//! records can't be read, certificates and passwords are wrong. No event is lost, and the log says why nothing goes.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use guildhall::app::App;
use guildhall::base::clock::Clock;
use guildhall::config::Config;
use guildhall::work::task::Entry;
use guildhall::work::tasks::retention::Retention;
use guildhall::work::worker::Worker;
use nix::sys::signal::Signal;
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::producer::{FutureProducer, FutureRecord};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::database;
use crate::kafka_server::KafkaServer;
use crate::process::{Connection, Process, WorkerProcess, eventually, player_token, server_token, within};
use crate::receiver::{Receiver, WEBHOOK_SECRET};
use crate::support::SECRET;

const TOPIC: &str = "guildhall.tasks";
const CHANNELS: usize = 20;
/// What a broker needs to come back, and a group to find that a member is gone.
const PATIENCE: Duration = Duration::from_mins(3);

/// Two servers on one database (one where that is SQLite, which is one process's), workers, and who takes events.
struct Fleet {
    servers: Vec<Process>,
    workers: Vec<WorkerProcess>,
    receiver: Receiver,
    folder: TempDir,
    variables: Vec<(String, String)>,
    sent: usize,
}

impl Fleet {
    async fn start(broker: &KafkaServer, workers: usize, more: &[(&str, &str)]) -> Self {
        let receiver = Receiver::start().await;
        let mut variables: Vec<(String, String)> = vec![
            ("KAFKA_BROKERS".to_owned(), broker.address()),
            ("GUILDHALL_WEBHOOK_URL".to_owned(), receiver.url()),
            ("GUILDHALL_WEBHOOK_SECRET".to_owned(), WEBHOOK_SECRET.to_owned()),
        ];
        variables.extend(more.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        let folder = tempfile::tempdir().unwrap();
        let mut fleet =
            Self { servers: Vec::new(), workers: Vec::new(), receiver, folder, variables, sent: 0 };
        let servers = if database::on_postgres() { 2 } else { 1 };
        (0..servers).for_each(|_| fleet.add_server());
        (0..workers).for_each(|_| fleet.add_worker());
        let mut connection = fleet.servers[0].connect().await.unwrap();
        for n in 0..CHANNELS {
            let world = json!({ "id": format!("c{n}"), "kind": "world", "members": ["alice"], "settings": { "open": true } });
            assert_eq!(
                connection.call(&server_token(), "/channel/create", Some(&world)).await.unwrap().status,
                200
            );
        }
        fleet
    }

    fn variables(&self) -> Vec<(&str, &str)> {
        self.variables.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
    }

    /// One that lacks the webhook's settings, and one that knows another task alone.
    async fn odd_workers(&self, stop: watch::Receiver<bool>) -> (WorkerProcess, JoinHandle<()>) {
        let is_set = |(name, _): &(&str, &str)| !name.starts_with("GUILDHALL_WEBHOOK");
        let unset: Vec<(&str, &str)> = self.variables().into_iter().filter(is_set).collect();
        let older = self.app().await;
        let consumer = older.queue.as_ref().unwrap().consume().unwrap();
        let older = tokio::spawn(Worker::new(older, OLDER).consume(consumer, stop));
        (WorkerProcess::start(&self.data(), &unset), older)
    }

    /// The program's inside, over the same database and broker.
    async fn app(&self) -> Arc<App> {
        let data = self.data().display().to_string();
        let mut variables: HashMap<String, String> = self.variables.iter().cloned().collect();
        variables.extend(database::of_folder(&self.data()).map(|url| ("DATABASE_URL".to_owned(), url)));
        variables.insert("GUILDHALL_DATA".to_owned(), data);
        variables.insert("GUILDHALL_TOKEN_SECRET".to_owned(), SECRET.to_owned());
        let config = Config::from_lookup(|name| variables.get(name).cloned()).unwrap();
        App::start(config, Clock::default()).await.unwrap()
    }

    fn data(&self) -> std::path::PathBuf {
        self.folder.path().join("data")
    }

    fn add_server(&mut self) {
        self.servers.push(Process::start(&self.data(), &self.variables()));
    }

    fn add_worker(&mut self) {
        self.workers.push(WorkerProcess::start(&self.data(), &self.variables()));
    }

    /// So many events, over all channels and servers. No send waits for the broker, and none fails for it.
    async fn send(&mut self, count: usize) {
        let alice = player_token("alice");
        let mut connections: Vec<Connection> = Vec::new();
        for server in &self.servers {
            connections.push(server.connect().await.unwrap());
        }
        for _ in 0..count {
            let n = self.sent;
            let input = json!({ "channel": format!("c{}", n % CHANNELS), "text": format!("{n}"), "nonce": format!("{n}") });
            let connection = &mut connections[n / CHANNELS % self.servers.len()];
            let answer = connection.call(&alice, "/message/send", Some(&input)).await.unwrap();
            assert_eq!(answer.status, 200, "{}", answer.body);
            self.sent += 1;
        }
    }

    /// All events are with the receiver, each under one id, and nothing waits or was given up.
    async fn all_arrive(&self) {
        within(PATIENCE, "the arrival of every event", async || {
            (self.receiver.ids().len() == self.sent).then_some(())
        })
        .await;
        eventually("the end of all tasks", async || {
            let status = self.status().await?;
            (status["ready"] == 0 && status["sent"] == 0).then_some(())
        })
        .await;
        assert_eq!(self.status().await.unwrap()["dead"], 0);
    }

    async fn status(&self) -> Option<Value> {
        let mut connection = self.servers[0].connect().await?;
        let answer = connection.call(&server_token(), "/task/status", None).await.ok()?;
        Some(answer.body["data"].clone())
    }

    async fn some_arrive(&self, count: usize) {
        within(PATIENCE, "the arrival of some events", async || {
            (self.receiver.count() >= count).then_some(())
        })
        .await;
    }

    fn logs(&self) -> String {
        format!(
            "{}{}",
            self.servers[0].log(),
            self.workers.first().map(WorkerProcess::log).unwrap_or_default()
        )
    }
}

/// Stopped in order, killed, and away while players go on talking.
#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_is_restarted_killed_and_away_amid_tasks_loses_none() {
    let mut broker = KafkaServer::start();
    let mut fleet = Fleet::start(&broker, 2, &[]).await;
    fleet.send(100).await;
    fleet.some_arrive(20).await;
    broker.stop();
    fleet.send(40).await;
    broker.start_again();
    fleet.send(100).await;
    fleet.some_arrive(160).await;
    broker.kill();
    broker.start_again();
    fleet.send(100).await;
    fleet.all_arrive().await;
    assert_eq!(fleet.receiver.count(), fleet.sent, "and each once");
}

/// One that is killed, and one that stands still until the group has forgotten it and then goes on.
#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_dies_or_stands_still_costs_no_event() {
    let broker = KafkaServer::start();
    let mut fleet = Fleet::start(&broker, 3, &[]).await;
    fleet.send(100).await;
    fleet.some_arrive(10).await;
    drop(fleet.workers.remove(0));
    fleet.send(100).await;
    fleet.some_arrive(110).await;
    let still = fleet.workers.remove(0);
    still.signal(Signal::SIGSTOP);
    fleet.send(100).await;
    fleet.all_arrive().await;
    still.signal(Signal::SIGCONT);
    fleet.send(60).await;
    fleet.all_arrive().await;
    // What was with the receiver when its worker died or stood still comes again, under the same id.
    let repeats = fleet.receiver.count() - fleet.sent;
    assert!(repeats <= 16, "{repeats} repeats");
}

/// Whoever may write to the topic may write anything: by every way of compressing, without key, value or sense.
#[tokio::test(flavor = "multi_thread")]
async fn no_record_stops_its_partition() {
    let mut broker = KafkaServer::start();
    let mut fleet = Fleet::start(&broker, 1, &[("GUILDHALL_TOPIC_PARTITIONS", "1")]).await;
    fleet.send(1).await;
    fleet.all_arrive().await;
    let deep = format!("{}1{}", "[".repeat(5_000), "]".repeat(5_000));
    let envelope = |payload: &str| {
        format!(
            "{{\"v\":1,\"id\":\"of-{}\",\"task\":\"webhook.v1\",\"key\":\"k\",\"payload\":{payload}}}",
            payload.len()
        )
    };
    let mut poison = 0;
    for compression in ["none", "gzip", "snappy", "lz4"] {
        let producer: FutureProducer = ClientConfig::new()
            .set("bootstrap.servers", broker.address())
            .set("compression.type", compression)
            .set("message.max.bytes", "5000000")
            .create()
            .unwrap();
        let values =
            ["x".repeat(900_000), "not JSON".repeat(99), deep.clone(), envelope(&deep), envelope("{}")];
        for value in values.into_iter().map(Some).chain([None]) {
            let mut record = FutureRecord::<String, _>::to(TOPIC).partition(0);
            record.payload = value.as_ref();
            producer.send(record, Duration::from_secs(10)).await.map_err(|(fault, _)| fault).unwrap();
            poison += 1;
        }
    }
    fleet.send(20).await;
    let all = async || (fleet.receiver.ids().len() == 21).then_some(());
    within(PATIENCE, "what is behind the poison", all).await;
    // Of the two that are envelopes each way sent the same again: one task has one end.
    let dead = poison - 2 * 3;
    eventually("all poison's letters", async || (fleet.status().await?["dead"] == dead).then_some(())).await;
    // A disk's fault: a compressed record that can't be taken apart any more.
    let big = "abcdefgh".repeat(10_000);
    let producer: FutureProducer = ClientConfig::new()
        .set("bootstrap.servers", broker.address())
        .set("compression.type", "gzip")
        .create()
        .unwrap();
    drop(fleet.workers.remove(0));
    let record = FutureRecord::<String, _>::to(TOPIC).partition(0).payload(&big);
    producer.send(record, Duration::from_secs(10)).await.map_err(|(fault, _)| fault).unwrap();
    fleet.send(5).await;
    broker.stop();
    let segment = broker.folder().join(format!("data/{TOPIC}-0/00000000000000000000.log"));
    let bytes = fs::read(&segment).unwrap();
    let gzip = bytes.windows(3).rposition(|bytes| bytes == [0x1f, 0x8b, 0x08]).unwrap();
    let file = fs::File::options().write(true).open(&segment).unwrap();
    file.write_all_at(&[0xff; 40], gzip as u64 + 12).unwrap();
    broker.start_again();
    fleet.add_worker();
    let all = async || (fleet.receiver.ids().len() == 26).then_some(());
    within(PATIENCE, "what is behind a broken record", all).await;
    eventually("its letter", async || (fleet.status().await?["dead"] == dead + 1).then_some(())).await;
}

/// The newest records of a broker are gone, as after an unclean failover: the producer can't explain its numbers any more.
#[tokio::test(flavor = "multi_thread")]
async fn a_producer_that_can_not_go_on_is_made_anew() {
    let mut broker = KafkaServer::start();
    let mut fleet = Fleet::start(&broker, 1, &[("GUILDHALL_TOPIC_PARTITIONS", "1")]).await;
    fleet.send(20).await;
    fleet.all_arrive().await;
    broker.stop();
    broker.keep_data();
    broker.start_again();
    fleet.send(40).await;
    fleet.all_arrive().await;
    broker.kill();
    broker.lose_what_came_since();
    broker.start_again();
    fleet.send(40).await;
    fleet.all_arrive().await;
}

fn admin(broker: &KafkaServer) -> AdminClient<DefaultClientContext> {
    ClientConfig::new().set("bootstrap.servers", broker.address()).create().unwrap()
}

/// Deleted under running servers, it is made again, and nothing is lost.
#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_is_deleted_is_made_again() {
    let broker = KafkaServer::start();
    let mut fleet = Fleet::start(&broker, 1, &[]).await;
    fleet.send(20).await;
    fleet.all_arrive().await;
    let admin = admin(&broker);
    // What the broker has and no worker took yet is lost with the topic.
    fleet.workers.clear();
    fleet.send(20).await;
    eventually("the hand-over", async || (fleet.status().await?["sent"] == 20).then_some(())).await;
    admin.delete_topics(&[TOPIC], &AdminOptions::new()).await.unwrap();
    fleet.send(40).await;
    fleet.add_worker();
    fleet.all_arrive().await;
}

/// Kept for half of what is remembered; one that keeps its records for longer is told of.
#[tokio::test(flavor = "multi_thread")]
async fn how_long_a_topic_keeps_its_records_is_set_and_looked_at() {
    let broker = KafkaServer::start();
    let fleet = Fleet::start(&broker, 0, &[("GUILDHALL_TASK_REMEMBERED", "2d")]).await;
    let admin = admin(&broker);
    eventually("the topic", async || {
        let of = ResourceSpecifier::Topic(TOPIC);
        let found = admin.describe_configs([&of], &AdminOptions::new()).await.ok()?;
        let kept = found[0].as_ref().ok()?.get("retention.ms")?.value.clone()?;
        assert_eq!(kept, "86400000");
        Some(())
    })
    .await;
    let told = "keeps records for longer than GUILDHALL_TASK_REMEMBERED";
    assert!(!fleet.logs().contains(told));
    drop(fleet);
    let fleet = Fleet::start(&broker, 0, &[("GUILDHALL_TASK_REMEMBERED", "12h")]).await;
    eventually("the warning", async || fleet.logs().contains(told).then_some(())).await;
}

/// The partition of a key where a topic has two, as the client finds it: by CRC-32.
fn partition_of(key: &str) -> u32 {
    let crc = key.bytes().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| crc >> 1 ^ if crc & 1 == 1 { 0xedb8_8320 } else { 0 })
    });
    !crc % 2
}

/// A partition has no leader, as its broker is away: the tasks of the other go on, and in the end none is lost.
#[tokio::test(flavor = "multi_thread")]
async fn a_partition_without_a_leader_holds_no_other_up() {
    let broker = KafkaServer::start();
    let mut second = broker.second();
    let topics = [
        NewTopic::new("__consumer_offsets", 4, TopicReplication::Variable(&[&[1], &[1], &[1], &[1]]))
            .set("cleanup.policy", "compact"),
        NewTopic::new(TOPIC, 2, TopicReplication::Variable(&[&[1], &[2]])),
    ];
    for made in admin(&broker).create_topics(&topics, &AdminOptions::new()).await.unwrap() {
        made.unwrap();
    }
    let mut fleet = Fleet::start(&broker, 1, &[]).await;
    fleet.send(CHANNELS).await;
    fleet.all_arrive().await;
    second.stop();
    let healthy = (0..CHANNELS).filter(|n| partition_of(&format!("c{n}")) == 0).count();
    assert!((1..CHANNELS).contains(&healthy));
    // A record without a leader is given up after ten seconds: twenty times that is more patience than there is.
    let rounds = async {
        for round in 1..=20 {
            fleet.send(CHANNELS).await;
            eventually("the events of the others", async || {
                (fleet.receiver.ids().len() == CHANNELS + round * healthy).then_some(())
            })
            .await;
        }
    };
    tokio::time::timeout(PATIENCE, rounds).await.expect("the others don't wait");
    second.start_again();
    fleet.all_arrive().await;
}

/// Knows one task, as a version from before webhooks would.
const OLDER: &[Entry] = &[Entry::of::<Retention>()];

/// All at once: a worker that can't run what it is brought, one of an older version (those two where many processes share a
/// database), a receiver that goes and comes, and a worker that is killed. Each event arrives, and what arrives of a channel
/// is in its order.
#[tokio::test(flavor = "multi_thread")]
async fn workers_of_all_sorts_tell_of_each_event_in_its_order() {
    let broker = KafkaServer::start();
    let mut fleet = Fleet::start(&broker, 2, &[]).await;
    let (stop, stopped) = watch::channel(false);
    let odd = if database::on_postgres() { Some(fleet.odd_workers(stopped).await) } else { None };
    fleet.send(200).await;
    fleet.some_arrive(50).await;
    fleet.receiver.status.store(503, Ordering::SeqCst);
    fleet.send(100).await;
    drop(fleet.workers.remove(0));
    fleet.receiver.status.store(204, Ordering::SeqCst);
    fleet.add_worker();
    fleet.send(100).await;
    fleet.all_arrive().await;
    let _ = stop.send(true);
    if let Some((unset, older)) = odd {
        older.await.unwrap();
        drop(unset);
    }
    // By when each was taken for the first time.
    let mut taken = HashSet::new();
    let order: Vec<String> = fleet
        .receiver
        .taken
        .lock()
        .unwrap()
        .iter()
        .filter(|id| taken.insert((*id).clone()))
        .cloned()
        .collect();
    let events: HashMap<String, Value> = fleet.receiver.events.lock().unwrap().iter().map(event).collect();
    let mut last: HashMap<String, i64> = HashMap::new();
    for id in &order {
        let message = &events[id]["data"]["message"];
        let (channel, seq) = (message["channel"].as_str().unwrap(), message["seq"].as_i64().unwrap());
        let before = last.insert(channel.to_owned(), seq).unwrap_or_default();
        assert!(seq > before, "{channel}: {seq} behind {before}");
    }
    assert_eq!(order.len(), fleet.sent);
}

fn event((headers, body): &(http::HeaderMap, String)) -> (String, Value) {
    (headers["webhook-id"].to_str().unwrap().to_owned(), serde_json::from_str(body).unwrap())
}

/// A certificate and a password, right and wrong: tasks go, or the log says why they don't, and never the password.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_certificate_or_password_stands_in_the_log() {
    const PASSWORD: &str = "a-password-for-tests";
    let ours = Authority::new("ours");
    let (certificate, key) = ours.sign();
    let pem = |text: &str| text.trim().replace('\n', " \\\n");
    let settings = format!(
        "ssl.keystore.type=PEM\nssl.keystore.certificate.chain={}\nssl.keystore.key={}\n\
         sasl.enabled.mechanisms=SCRAM-SHA-512\nsasl.mechanism.inter.broker.protocol=SCRAM-SHA-512\n\
         ssl.truststore.type=PEM\nssl.truststore.certificates={}\n\
         listener.name.clients.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule \
         required username=\"ann\" password=\"{PASSWORD}\";\n",
        pem(&certificate),
        pem(&key),
        pem(&ours.pem()),
    );
    let broker = KafkaServer::start_with("SASL_SSL", &[("ann", PASSWORD)], &settings);
    let (ca, other) =
        (broker.file("ca.pem", &ours.pem()), broker.file("other.pem", &Authority::new("others").pem()));
    let (password, wrong) = (broker.file("password", PASSWORD), broker.file("wrong", "another-password"));
    for (ca, password, why) in [
        (&ca, &password, None),
        (&other, &password, Some("certificate")),
        (&ca, &wrong, Some("uthentication")),
    ] {
        let more = [
            ("KAFKA_SECURITY", "sasl_ssl"),
            ("KAFKA_USERNAME", "ann"),
            ("KAFKA_PASSWORD_FILE", password.as_str()),
            ("KAFKA_CA_FILE", ca.as_str()),
        ];
        let mut fleet = Fleet::start(&broker, 1, &more).await;
        fleet.send(5).await;
        match why {
            None => fleet.all_arrive().await,
            Some(why) => {
                let says = async || {
                    let logs = fleet.logs();
                    let lines: Vec<&str> = logs.lines().filter(|line| line.contains("WARN")).collect();
                    lines.iter().any(|line| line.contains(why)).then_some(())
                };
                eventually(why, says).await;
                eventually("why tasks stay", async || {
                    let logs = fleet.logs();
                    let line = logs.lines().find(|line| line.contains("did not take tasks"))?;
                    line.contains(why).then_some(())
                })
                .await;
            }
        }
        assert!(!fleet.logs().contains(PASSWORD) && !fleet.logs().contains("another-password"));
    }
}

/// Whoever signs a broker's certificate.
struct Authority {
    certificate: rcgen::Certificate,
    issuer: rcgen::Issuer<'static, rcgen::KeyPair>,
}

impl Authority {
    fn new(name: &str) -> Self {
        let mut of_authority = rcgen::CertificateParams::new(Vec::new()).unwrap();
        of_authority.distinguished_name.push(rcgen::DnType::CommonName, name);
        of_authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate = of_authority.self_signed(&key).unwrap();
        Self { certificate, issuer: rcgen::Issuer::new(of_authority, key) }
    }

    fn pem(&self) -> String {
        self.certificate.pem()
    }

    /// A certificate for this machine, and its key.
    fn sign(&self) -> (String, String) {
        let key = rcgen::KeyPair::generate().unwrap();
        let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
        let certificate =
            rcgen::CertificateParams::new(names).unwrap().signed_by(&key, &self.issuer).unwrap();
        (certificate.pem(), key.serialize_pem())
    }
}

//! Tasks over a real broker: what is promised about them when deliveries repeat, workers die, records are nonsense and
//! the broker is away.

#![expect(clippy::disallowed_methods, reason = "scripts/services says by a variable where the broker is")]

use std::collections::{BTreeMap, HashSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use guildhall::base::clock::Clock;
use guildhall::chat::states::TaskState;
use guildhall::outside::envelope::Envelope;
use guildhall::service::TASKS;
use guildhall::store::outbox::{self, Listed};
use guildhall::work::publisher;
use guildhall::work::task::{Failure, Task, TaskEntry};
use guildhall::work::worker::Worker;
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::producer::{FutureProducer, FutureRecord};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::help::TestApp;
use crate::help::process::eventually;
use crate::help::receiver::{Receiver, WEBHOOK_SECRET};

pub fn brokers() -> String {
    std::env::var("KAFKA_BROKERS").expect("KAFKA_BROKERS names a broker; see scripts/services")
}

/// A topic of a test's own.
pub fn topic() -> String {
    static NUMBER: AtomicUsize = AtomicUsize::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    format!("test.{}.{}.{number}", std::process::id(), Clock::default().now())
}

/// The same, made already, also for the newest code: a function that answers requests makes none.
pub async fn made_topic() -> String {
    let topic = topic();
    let admin: AdminClient<DefaultClientContext> =
        ClientConfig::new().set("bootstrap.servers", brokers()).create().unwrap();
    for name in [topic.clone(), format!("{topic}.latest")] {
        let new = NewTopic::new(&name, 4, TopicReplication::Fixed(1));
        for made in admin.create_topics([&new], &AdminOptions::new()).await.unwrap() {
            made.unwrap();
        }
    }
    topic
}

/// What tasks did: the names of those that ran, in order.
static RAN: Mutex<Vec<(String, String)>> = Mutex::new(Vec::new());

/// Notes that it ran, under the name of its test.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Noting {
    test: String,
    name: String,
    key: String,
    #[serde(default)]
    mood: String,
}

impl Task for Noting {
    const NAME: &'static str = "noting.v1";
    const ATTEMPTS: i64 = 3;

    fn key(&self) -> String {
        self.key.clone()
    }

    async fn run(self, _: &guildhall::app::App, _: &str) -> Result<(), Failure> {
        let before = {
            let mut ran = RAN.lock().unwrap();
            ran.push((self.test.clone(), self.name.clone()));
            ran.iter().filter(|one| **one == (self.test.clone(), self.name.clone())).count()
        };
        tokio::time::sleep(Duration::from_millis(5)).await;
        match self.mood.as_str() {
            "panics" => panic!("as it was asked to"),
            "fails once" if before == 1 => Err(Failure::Retry("the first time".to_owned())),
            _ => Ok(()),
        }
    }
}

pub fn ran(test: &str) -> Vec<String> {
    RAN.lock().unwrap().iter().filter(|(of, _)| of == test).map(|(_, name)| name.clone()).collect()
}

pub const NOTING: &[TaskEntry] = &[TaskEntry::of::<Noting>()];

pub fn envelope(test: &str, name: &str, key: &str, mood: &str) -> Envelope {
    let payload = json!({ "test": test, "name": name, "key": key, "mood": mood }).to_string();
    let payload = serde_json::value::RawValue::from_string(payload).unwrap();
    Envelope::new(format!("{test}-{name}"), "noting.v1".to_owned(), key.to_owned(), payload)
}

/// An application on the broker, its publisher, and workers.
pub struct Plant {
    pub app: Arc<TestApp>,
    pub topic: String,
    pub stop: watch::Sender<bool>,
    pub running: Vec<JoinHandle<()>>,
}

impl Plant {
    pub async fn start(workers: usize) -> Self {
        let (topic, brokers) = (topic(), brokers());
        let variables = [
            ("KAFKA_BROKERS", brokers.as_str()),
            ("GUILDHALL_TOPIC", &topic),
            ("GUILDHALL_TOPIC_PARTITIONS", "4"),
        ];
        let app = Arc::new(TestApp::with(&variables).await);
        app.app.queue.as_ref().unwrap().create_topics().await.unwrap();
        let (stop, stopped) = watch::channel(false);
        let mut plant = Self { app, topic, stop, running: Vec::new() };
        let inner = Arc::clone(&plant.app.app);
        plant.running.push(tokio::spawn(async move {
            publisher::run(&inner, stopped).await;
        }));
        (0..workers).for_each(|_| plant.add_worker());
        plant
    }

    pub fn add_worker(&mut self) {
        self.add_worker_of(NOTING);
    }

    pub fn add_worker_of(&mut self, tasks: &'static [TaskEntry]) {
        let consumer = self.app.app.queue.as_ref().unwrap().consume().unwrap();
        let worker = Worker::new(Arc::clone(&self.app.app), tasks);
        self.running.push(tokio::spawn(worker.consume(consumer, self.stop.subscribe())));
    }

    pub async fn enqueue(&self, envelope: &Envelope) {
        let Envelope { id, task, key, payload, .. } = envelope;
        outbox::enqueue_once(&self.app.app.db, id, task, key, payload.get()).await.unwrap();
    }

    /// Past the outbox, as anybody who may write to the topic could.
    pub async fn produce(&self, records: &[Vec<u8>]) {
        let producer: FutureProducer =
            ClientConfig::new().set("bootstrap.servers", brokers()).create().unwrap();
        for record in records {
            let record = FutureRecord::<(), _>::to(&self.topic).payload(record).partition(0);
            producer.send(record, Duration::from_secs(5)).await.unwrap();
        }
    }

    pub async fn tasks(&self, state: &str) -> Vec<Listed> {
        let all = outbox::list(&self.app.app.db, TaskState::try_from(state.to_owned()).unwrap(), 1_000)
            .await
            .unwrap();
        all.into_iter().filter(|task| task.task != "retention.v1").collect()
    }

    pub async fn done(&self, count: usize) {
        for _ in 0..1_200 {
            if self.tasks("done").await.len() == count {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let mut states = Vec::new();
        for state in ["ready", "sent", "done", "dead"] {
            states.push((state, self.tasks(state).await.len()));
        }
        panic!("{count} should be done: {states:?}; dead: {:?}", self.tasks("dead").await);
    }

    pub async fn stop(self) {
        self.stop.send(true).unwrap();
        for running in self.running {
            running.await.unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_task_runs_once_in_the_order_of_its_key_on_several_workers() {
    let plant = Plant::start(3).await;
    for n in 0..200 {
        plant
            .enqueue(&envelope("order", &format!("{:02}-{n:03}", n % 10), &format!("key-{}", n % 10), ""))
            .await;
    }
    plant.done(200).await;
    let ran = ran("order");
    assert_eq!(ran.len(), 200, "each once");
    let mut by_key: BTreeMap<&str, Vec<&String>> = BTreeMap::new();
    ran.iter().for_each(|name| by_key.entry(&name[..2]).or_default().push(name));
    for (key, names) in by_key {
        assert!(names.is_sorted(), "{key}: {names:?}");
    }
    plant.stop().await;
}

/// The same envelopes three times over, backwards, and once more long after they were done.
#[tokio::test(flavor = "multi_thread")]
async fn repeated_reordered_and_replayed_deliveries_have_one_effect() {
    let plant = Plant::start(2).await;
    let envelopes: Vec<Envelope> =
        (0..30).map(|n| envelope("repeat", &format!("{n}"), &format!("{}", n % 4), "")).collect();
    let bytes: Vec<Vec<u8>> = envelopes.iter().map(Envelope::to_bytes).collect();
    plant.produce(&bytes).await;
    plant.produce(&bytes.iter().rev().cloned().collect::<Vec<_>>()).await;
    for envelope in &envelopes {
        plant.enqueue(envelope).await;
    }
    plant.produce(&bytes).await;
    plant.done(30).await;
    plant.produce(&bytes).await;
    // What is behind the replays on its partition shows that they were read.
    plant.produce(&[envelope("repeat", "last", "0", "").to_bytes()]).await;
    plant.done(31).await;
    let ran = ran("repeat");
    assert_eq!(ran.len(), 31, "{ran:?}");
    assert_eq!(ran.into_iter().collect::<HashSet<_>>().len(), 31);
    plant.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_task_or_never_works_goes_to_the_dead_letters_and_stops_nothing() {
    let plant = Plant::start(1).await;
    let good = envelope("poison", "good", "k", "");
    let text = String::from_utf8(good.to_bytes()).unwrap();
    let poison: Vec<(&str, Vec<u8>)> = vec![
        ("is no envelope", b"not JSON \x00\xff at all".to_vec()),
        ("is no envelope", Vec::new()),
        ("is no envelope", b"{}".to_vec()),
        ("of form 9", text.replace("\"v\":1", "\"v\":9").into_bytes()),
        ("is no envelope", text.replace("\"v\":1", "\"v\":1,\"more\":1").into_bytes()),
        ("an id, task or key", text.replace("poison-good", "").into_bytes()),
        (
            "more than",
            text.replace("\"mood\":\"\"", &format!("\"mood\":\"{}\"", "x".repeat(300_000))).into_bytes(),
        ),
        ("NUL", text.replace("\"mood\":\"\"", "\"mood\":\"\\u0000\"").into_bytes()),
    ];
    plant.produce(&poison.iter().map(|(_, bytes)| bytes.clone()).collect::<Vec<_>>()).await;
    let unknown = text.replace("noting.v1", "unknown.v7").replace("poison-good", "poison-unknown");
    let unknown = unknown.replace("\"key\":\"k\"", "\"key\":\"other\"");
    let wrong = text.replace("\"name\":", "\"nome\":").replace("poison-good", "poison-wrong");
    plant.produce(&[unknown.into_bytes(), wrong.into_bytes()]).await;
    plant.enqueue(&envelope("poison", "panics", "k", "panics")).await;
    plant.enqueue(&envelope("poison", "late", "k", "fails once")).await;
    plant.produce(&[good.to_bytes()]).await;
    // Retries wait a second or so on the clock of the tests.
    for _ in 0..1_200 {
        plant.app.clock.advance(500);
        tokio::time::sleep(Duration::from_millis(50)).await;
        if plant.tasks("dead").await.len() == poison.len() + 2 && plant.tasks("done").await.len() == 2 {
            break;
        }
    }
    let dead = plant.tasks("dead").await;
    assert_eq!(dead.len(), poison.len() + 2, "{dead:#?}");
    // They lie on one partition in their order; the hourly sweep may have come before them.
    let front = format!("{}-0-", plant.topic);
    let offset =
        |letter: &Listed| letter.id.strip_prefix(&front).map(|number| number.parse::<u64>().unwrap());
    let mut letters: Vec<_> = dead.iter().filter_map(|letter| Some((offset(letter)?, letter))).collect();
    letters.sort_by_key(|(offset, _)| *offset);
    assert_eq!(letters.len(), poison.len());
    for ((reason, _), (_, letter)) in poison.iter().zip(letters) {
        assert!(letter.reason.as_ref().unwrap().contains(reason), "{letter:?}");
    }
    let of = |id: &str| dead.iter().find(|letter| letter.id == id).unwrap();
    let unknown = outbox::find(&plant.app.app.db, "poison-unknown").await.unwrap();
    assert_eq!((unknown.state.as_str(), unknown.attempt), ("ready", 0), "it waits for one that knows it");
    assert!(of("poison-wrong").reason.as_ref().unwrap().contains("not this task's"));
    assert_eq!(
        (of("poison-panics").attempt, of("poison-panics").reason.as_deref()),
        (3, Some("the task panicked"))
    );
    assert_eq!(ran("poison").iter().filter(|name| *name == "late").count(), 2, "tried again, and then well");
    assert!(ran("poison").contains(&"good".to_owned()));
    plant.stop().await;
}

/// A worker that joins and one that leaves while tasks run: nothing is lost, nothing runs twice.
#[tokio::test(flavor = "multi_thread")]
async fn workers_come_and_go_while_tasks_run() {
    let mut plant = Plant::start(1).await;
    for n in 0..150 {
        plant.enqueue(&envelope("rebalance", &format!("{n}"), &format!("{n}"), "")).await;
    }
    // The first worker leads the group before others come. Tansu goes on to name a leader that left while it joined, and
    // then waits for that one's assignment for ever.
    let have_run = async |count: usize| {
        eventually("tasks run", async || (ran("rebalance").len() >= count).then_some(())).await;
    };
    have_run(20).await;
    let (stop_one, stopped) = watch::channel(false);
    let worker = Worker::new(Arc::clone(&plant.app.app), NOTING);
    let consumer = plant.app.app.queue.as_ref().unwrap().consume().unwrap();
    let leaving = tokio::spawn(worker.consume(consumer, stopped));
    plant.add_worker();
    for n in 150..300 {
        plant.enqueue(&envelope("rebalance", &format!("{n}"), &format!("{n}"), "")).await;
    }
    have_run(160).await;
    stop_one.send(true).unwrap();
    leaving.await.unwrap();
    plant.done(300).await;
    assert_eq!(ran("rebalance").len(), 300);
    plant.stop().await;
}

/// A broker that is away: sends go on, tasks wait, and all are there soon after it is back.
#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_is_away_fails_no_send_and_loses_no_task() {
    let receiver = Receiver::start().await;
    let url = receiver.url();
    // Nobody listens here yet: the address is held, so that no other test gets it.
    let held = tokio::net::TcpSocket::new_v4().unwrap();
    held.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let (away, topic) = (held.local_addr().unwrap().to_string(), topic());
    let app = TestApp::with(&[
        ("KAFKA_BROKERS", &away),
        ("GUILDHALL_TOPIC", &topic),
        ("GUILDHALL_WEBHOOK_URL", &url),
        ("GUILDHALL_WEBHOOK_SECRET", WEBHOOK_SECRET),
    ])
    .await;
    app.world("world", &["alice"]).await;
    let (stop, stopped) = watch::channel(false);
    let inner = Arc::clone(&app.app);
    let publishing = tokio::spawn(async move {
        publisher::run(&inner, stopped).await;
    });
    for n in 0..300 {
        app.player("alice").say("world", &format!("{n}")).await;
    }
    assert_eq!(app.server().get("/task/status").await.data()["sent"], 0);
    assert_eq!(receiver.count(), 0);
    let listener: TcpListener = held.listen(64).unwrap();
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut real = TcpStream::connect(brokers()).await.unwrap();
                let _ = tokio::io::copy_bidirectional(&mut client, &mut real).await;
            });
        }
    });
    let consumer = app.app.queue.as_ref().unwrap().consume().unwrap();
    let worker = tokio::spawn(Worker::new(Arc::clone(&app.app), TASKS).consume(consumer, stop.subscribe()));
    for _ in 0..1_200 {
        if receiver.count() >= 300 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(receiver.ids().len(), 300, "all of them");
    assert_eq!(receiver.count(), 300, "each once");
    stop.send(true).unwrap();
    publishing.await.unwrap();
    worker.await.unwrap();
    let status = app.server().get("/task/status").await.data();
    assert_eq!(
        (&status["ready"], &status["sent"], &status["dead"]),
        (&json!(0), &json!(0), &json!(0)),
        "{status}"
    );
}

/// The client must have been built with what brokers in clouds ask for.
#[tokio::test]
async fn tls_and_all_kinds_of_passwords_are_built_in() {
    for mechanism in ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] {
        let app = TestApp::with(&[
            ("KAFKA_BROKERS", "127.0.0.1:9"),
            ("KAFKA_SECURITY", "sasl_ssl"),
            ("KAFKA_SASL_MECHANISM", mechanism),
            ("KAFKA_USERNAME", "ann"),
            ("KAFKA_PASSWORD", "hunter2"),
        ])
        .await;
        assert!(app.app.queue.as_ref().unwrap().consume().is_ok(), "{mechanism}");
    }
}

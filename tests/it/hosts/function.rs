//! The worker as a function: what each event of AWS and of Tencent does, and what the platform is told.

use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use guildhall::app::App;
use guildhall::host::events::{Event, Object};
use guildhall::host::function::FunctionWorker;
use guildhall::outside::broker::Delivery;
use guildhall::outside::envelope::Envelope;
use guildhall::service::TASKS;
use guildhall::store::outbox;
use guildhall::work::task::{Failure, Task, TaskEntry};
use guildhall::work::worker::{WorkTime, Worker};
use proptest::prelude::*;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::help::TestApp;
use crate::hosts::s3;
use crate::work::kafka;

const LONG: Duration = Duration::from_secs(60);

const KAFKA: &str = include_str!("../events/kafka_msk.json");
const SELF_MANAGED: &str = include_str!("../events/kafka_self_managed.json");
const CKAFKA: &str = include_str!("../events/ckafka.json");
const SCHEDULE: &str = include_str!("../events/schedule.json");
const SCF_TIMER: &str = include_str!("../events/scf_timer.json");
const S3: &str = include_str!("../events/s3.json");
const COS: &str = include_str!("../events/cos.json");

fn event(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

fn sweep(id: &str) -> String {
    let payload = RawValue::from_string("{}".to_owned()).unwrap();
    let envelope =
        Envelope::new(id.to_owned(), "retention.v1".to_owned(), "retention.v1".to_owned(), payload);
    String::from_utf8(envelope.to_bytes()).unwrap()
}

/// An event with this record's value in place of the fixture's.
fn with_value(fixture: &str, value: &str) -> Value {
    let encoded = fixture.replace("RU5WRUxPUEU=", &STANDARD.encode(value));
    let escaped = json!(value).to_string();
    event(&encoded.replace("\"ENVELOPE\"", &escaped))
}

async fn state(app: &TestApp, id: &str) -> String {
    outbox::find(&app.app.db, id).await.unwrap().state.as_str().to_owned()
}

fn worker(app: &TestApp) -> FunctionWorker {
    FunctionWorker::new(app.app.clone())
}

#[tokio::test]
async fn batches_of_both_kafkas_and_of_ckafka_run_their_tasks() {
    let app = TestApp::new().await;
    for (fixture, id) in [(KAFKA, "msk"), (SELF_MANAGED, "own"), (CKAFKA, "ckafka")] {
        let event = with_value(fixture, &sweep(id));
        for _ in 0..2 {
            let answer = worker(&app).handle(&event, LONG).await.unwrap();
            assert_eq!(answer, json!({ "batchItemFailures": [] }), "{id}: the second time too");
        }
        assert_eq!(state(&app, id).await, "done");
        assert_eq!(outbox::find(&app.app.db, id).await.unwrap().attempt, 1, "{id} ran once");
    }
}

/// A task's fault is the worker's affair: the batch goes on, and the platform is told of no failure.
#[tokio::test]
async fn no_record_of_a_batch_makes_it_fail() {
    let app = TestApp::with(&[("KAFKA_BROKERS", "127.0.0.1:9")]).await;
    let mut batch = with_value(KAFKA, &sweep("good"));
    let records = batch["records"]["guildhall.tasks-0"].as_array_mut().unwrap();
    let record = |offset: i64, value: Value| json!({ "topic": "guildhall.tasks", "partition": 0, "offset": offset, "value": value });
    let unknown = STANDARD
        .encode(sweep("unknown").replace("\"retention.v1\",\"key\":\"", "\"nothing.v9\",\"key\":\"other"));
    records.insert(0, record(11, json!("%%% no base64")));
    records.insert(1, record(12, Value::Null));
    records.insert(2, record(13, json!(STANDARD.encode(b"\xff\x00no envelope"))));
    records.insert(3, record(14, json!(unknown)));
    let answer = worker(&app).handle(&batch, LONG).await.unwrap();
    assert_eq!(answer, json!({ "batchItemFailures": [] }));
    assert_eq!((state(&app, "good").await, state(&app, "unknown").await), ("done".into(), "ready".into()));
    for offset in 11..=13 {
        assert_eq!(state(&app, &format!("guildhall.tasks-0-{offset}")).await, "dead", "{offset} is kept");
    }
}

#[tokio::test]
async fn with_the_database_away_a_batch_fails_from_the_first_record_of_each_partition() {
    let app = TestApp::new().await;
    let worker = worker(&app);
    app.app.db.close().await;
    let record = |partition: i32, offset: i64| {
        let value = STANDARD.encode(sweep(&format!("{partition}-{offset}")));
        json!({ "topic": "t", "partition": partition, "offset": offset, "value": value })
    };
    let batch = json!({ "eventSource": "SelfManagedKafka", "records": {
        "t-0": [record(0, 15), record(0, 16), record(0, 17)],
        "t-1": [record(1, 3)],
        "t-2": [record(2, 0), record(9, 4)],
    } });
    let answer = worker.handle(&batch, LONG).await.unwrap();
    assert_eq!(
        answer["batchItemFailures"],
        json!([
            { "itemIdentifier": { "partition": "t-0", "offset": 15 } },
            { "itemIdentifier": { "partition": "t-1", "offset": 3 } },
            { "itemIdentifier": { "partition": "t-2", "offset": 0 } },
            { "itemIdentifier": { "partition": "9", "offset": 4 } },
        ])
    );
    for unanswered in [SCHEDULE, r#"{ "task": "retention.v1" }"#] {
        assert!(worker.handle(&event(unanswered), LONG).await.is_err(), "the platform brings it again");
    }
}

/// Takes a while.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Slow {}

impl Task for Slow {
    const NAME: &'static str = "slow.v1";
    const ATTEMPTS: i64 = 3;

    fn key(&self) -> String {
        "slow".to_owned()
    }

    async fn run(self, _: &App, _: &str) -> Result<(), Failure> {
        tokio::time::sleep(Duration::from_millis(100)).await;
        Ok(())
    }
}

/// What was written before that which is remembered may have been done: it is run only where the outbox has it.
#[tokio::test]
async fn a_record_from_before_what_is_remembered_is_run_only_where_it_waits() {
    let app = TestApp::with(&[("GUILDHALL_TASK_REMEMBERED", "2d")]).await;
    outbox::enqueue_once(&app.app.db, "waits", "retention.v1", "retention.v1", "{}").await.unwrap();
    let now = app.app.db.now().await.unwrap();
    let days_ago = |days: i64| Some(now - days * 86_400_000);
    let records =
        [("waits", days_ago(3)), ("unknown", days_ago(3)), ("young", days_ago(1)), ("undated", None)];
    let delivery = |(offset, (id, written_at)): (usize, (&str, Option<i64>))| Delivery {
        partition: 1,
        offset: offset as i64,
        written_at,
        content: Ok(sweep(id).into_bytes()),
    };
    let worker = Worker::new(app.app.clone(), TASKS);
    for record in records.into_iter().enumerate() {
        let failed = worker.run_batch(vec![delivery(record)], WorkTime::of(Duration::from_secs(60))).await;
        assert!(failed.is_empty(), "{failed:?}");
    }
    assert!(outbox::find(&app.app.db, "unknown").await.is_err());
    for id in ["waits", "young", "undated"] {
        assert_eq!(state(&app, id).await, "done", "{id}");
    }
}

const SLOW: &[TaskEntry] = &[TaskEntry::of::<Slow>()];

/// What does not fit into the invocation's time comes again, and nothing of it has begun.
#[tokio::test]
async fn a_batch_that_is_too_long_is_cut_where_its_time_ends() {
    let app = TestApp::new().await;
    let delivery = |offset: i64| {
        let bytes = sweep(&format!("slow-{offset}")).replace("retention.v1", "slow.v1").into_bytes();
        Delivery { partition: 4, offset, written_at: None, content: Ok(bytes) }
    };
    let started = Instant::now();
    let failed = Worker::new(app.app.clone(), SLOW)
        .run_batch((100..200).map(delivery).collect(), WorkTime::of(Duration::from_secs(3)))
        .await;
    assert!(started.elapsed() < Duration::from_secs(3), "{:?}", started.elapsed());
    let [(4, cut)] = failed[..] else { panic!("{failed:?}") };
    assert!((101..200).contains(&cut), "some ran, some did not: {cut}");
    for offset in 100..cut {
        assert_eq!(state(&app, &format!("slow-{offset}")).await, "done");
    }
    for offset in cut..200 {
        assert!(
            outbox::find(&app.app.db, &format!("slow-{offset}")).await.is_err(),
            "{offset} did not begin"
        );
    }
}

#[tokio::test]
async fn timers_of_both_platforms_run_what_waits_and_say_how_much() {
    let app = TestApp::new().await;
    for timer in [SCHEDULE, SCF_TIMER] {
        outbox::enqueue_once(&app.app.db, timer, "retention.v1", "k", "{}").await.unwrap();
        let answer = worker(&app).handle(&event(timer), LONG).await.unwrap();
        assert_eq!((&answer["waiting"], &answer["dead"]), (&json!(0), &json!(0)), "{answer}");
        assert!(answer["tries"].as_i64().unwrap() >= 1, "{answer}");
        assert_eq!(state(&app, timer).await, "done");
    }
}

/// What the api left lying, as its broker was away, goes to the topic, which is made if need be.
#[tokio::test(flavor = "multi_thread")]
async fn with_a_broker_the_timer_hands_over_what_waits() {
    let (brokers, topic) = (kafka::brokers(), kafka::topic());
    let app = TestApp::with(&[("KAFKA_BROKERS", &brokers), ("GUILDHALL_TOPIC", &topic)]).await;
    for n in 0..700 {
        outbox::enqueue_once(&app.app.db, &format!("{n}"), "retention.v1", &format!("k{n}"), "{}")
            .await
            .unwrap();
    }
    let answer = worker(&app).handle(&event(SCHEDULE), LONG).await.unwrap();
    // And the hourly sweep, which the timer enqueues itself.
    assert_eq!((&answer["handed_over"], &answer["waiting"]), (&json!(701), &json!(701)), "{answer}");
    let status = app.server().get("/task/status").await.data();
    assert_eq!((&status["sent"], &status["ready"]), (&json!(701), &json!(0)), "{status}");
}

#[tokio::test]
async fn a_task_by_hand_runs_and_says_how_it_ended() {
    let app = TestApp::new().await;
    let answer = worker(&app).handle(&json!({ "task": "retention.v1" }), LONG).await.unwrap();
    assert_eq!((&answer["state"], &answer["tries"]), (&json!("done"), &json!(1)));
    let payload = json!({ "channel": "nowhere", "seq": 1 });
    let answer =
        worker(&app).handle(&json!({ "task": "review.v1", "payload": payload }), LONG).await.unwrap();
    assert_eq!((&answer["state"], &answer["reason"]), (&json!("dead"), &json!("the channel is gone")));
    let fault = worker(&app).handle(&json!({ "task": "webhook.v1", "payload": payload }), LONG).await;
    assert!(fault.unwrap_err().contains("can't be run here"));
}

#[tokio::test]
async fn what_is_no_event_of_ours_is_refused_by_name() {
    let app = TestApp::new().await;
    for (event, expected) in [
        (json!({}), "it is empty"),
        (json!([1]), "not an object"),
        (json!("hello"), "not an object"),
        (json!({ "httpMethod": "GET", "path": "/x" }), "the fields httpMethod, path"),
        (json!({ "Records": [{ "eventSource": "aws:sqs", "body": "secret" }] }), "the fields Records"),
        (json!({ "Records": [] }), "the fields Records"),
        (json!({ "eventSource": "aws:kafka" }), "missing field `records`"),
        (
            json!({ "eventSource": "aws:kafka", "records": { "t-0": [{ "offset": 1 }] } }),
            "missing field `partition`",
        ),
        (json!({ "Records": [{ "Ckafka": {} }] }), "a CKafka batch, but broken"),
        (json!({ "Records": [{ "eventSource": "aws:s3", "s3": {} }] }), "an S3 event, but broken"),
        (json!({ "Records": [{ "cos": {} }] }), "a COS event, but broken"),
        (json!({ "task": "retention.v1", "more": 1 }), "unknown field `more`"),
        (json!({ "task": 7 }), "a task, but broken"),
        (json!({ "task": "unknown.v1" }), "no task is named 'unknown.v1'"),
        (json!({ "task": "retention.v1", "payload": { "more": 1 } }), "payload: unknown field"),
    ] {
        let why = worker(&app).handle(&event, LONG).await.unwrap_err();
        assert!(why.contains(expected), "{event}: {why}");
        assert!(!why.contains("secret"), "{why}");
    }
}

/// Every place in a value, as JSON pointers name them.
fn places(value: &Value, here: &str, found: &mut Vec<String>) {
    found.push(here.to_owned());
    match value {
        Value::Object(fields) => {
            fields.iter().for_each(|(name, inner)| places(inner, &format!("{here}/{name}"), found));
        }
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(n, inner)| places(inner, &format!("{here}/{n}"), found));
        }
        _ => {}
    }
}

proptest! {
    /// Whatever stands wherever in an event: it is read or refused, and neither panics.
    #[test]
    fn no_event_panics(pick in 0..5_usize, at in any::<prop::sample::Index>(), word in "[a-zA-Z:.]{0,9}", is_text: bool) {
        let mut value = event([KAFKA, CKAFKA, S3, COS, SCHEDULE][pick]);
        let mut found = Vec::new();
        places(&value, "", &mut found);
        *value.pointer_mut(at.get(found.as_slice()).as_str()).unwrap() = if is_text { json!(word) } else { json!([word]) };
        let _ = Event::parse(&value);
    }
}

#[test]
fn stored_objects_are_named_alike_on_both_platforms() {
    let objects = |text: &str| match Event::parse(&event(text)).unwrap() {
        Event::Stored(objects) => objects,
        other => panic!("{other:?}"),
    };
    let object = |bucket: &str, key: &str| Object { bucket: bucket.to_owned(), key: key.to_owned() };
    assert_eq!(objects(S3), [object("BUCKET", "game one/词/current.json")]);
    assert_eq!(objects(COS), [object("words-1251234567", "lists/current.json")]);
}

/// A published list is read at once; a faulty one fails the event, so that an alarm tells before players do.
#[tokio::test(flavor = "multi_thread")]
async fn a_stored_wordlist_is_read_and_a_faulty_one_is_told_of() {
    let bucket = s3::bucket().await;
    let (place, endpoint) = (format!("s3://{bucket}/game one/词"), s3::endpoint());
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_str().unwrap();
    let publish = |words: &str| {
        std::fs::write(folder.path().join("a.txt"), words).unwrap();
        s3::succeeds(&["publish", path, "--to", &place, "--by", "ann", "--json"])
    };
    publish("dragon\ngriffin\n");
    let app = TestApp::with(&[
        ("S3_ENDPOINT", endpoint.as_str()),
        ("S3_PATH_STYLE", "on"),
        ("GUILDHALL_WORDLISTS", &place),
    ])
    .await;
    let before = app.app.blocklist.version();
    publish("unicorn\ngriffin\n");
    let stored = event(&S3.replace("BUCKET", &bucket));
    let answer = worker(&app).handle(&stored, LONG).await.unwrap();
    assert_ne!(answer["wordlist"], json!(before));
    assert_eq!((&answer["wordlist"], &answer["entries"]), (&json!(app.app.blocklist.version()), &json!(2)));
    let other = event(&S3.replace("BUCKET", &bucket).replace("current.json", "other.json"));
    assert_eq!(worker(&app).handle(&other, LONG).await.unwrap(), json!({ "wordlist": null }));

    let objects = s3::objects(&place).await;
    objects
        .put("current.json", b"{ nonsense".to_vec(), guildhall::outside::objects::When::Always)
        .await
        .unwrap();
    let why = worker(&app).handle(&stored, LONG).await.unwrap_err();
    assert!(why.contains("can't be used"), "{why}");
}

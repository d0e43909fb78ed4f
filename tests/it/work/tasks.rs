//! Slow tasks: stored with what caused them, run at least once, retried, given up in the open.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use guildhall::app::App;
use guildhall::chat::states::TaskState;
use guildhall::store::outbox::{self, End, Lane, LeaseRequest, Listed};
use guildhall::store::retention;
use guildhall::work::task::{Failure, Task, TaskEntry};
use guildhall::work::worker::{WorkTime, Worker};
use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::Sha256;

use crate::help::TestApp;
use crate::help::receiver::{Receiver, WEBHOOK_SECRET};

impl Receiver {
    async fn app(&self) -> TestApp {
        let url = self.url();
        let app = TestApp::with(&[
            ("GUILDHALL_WEBHOOK_URL", &url),
            ("GUILDHALL_WEBHOOK_SECRET", WEBHOOK_SECRET),
            ("GUILDHALL_WEBHOOK_TIMEOUT_S", "1"),
        ])
        .await;
        app.world("world", &["alice"]).await;
        app
    }
}

async fn tasks(app: &TestApp, state: &str) -> Vec<Listed> {
    let all = outbox::list(&app.app.db, TaskState::try_from(state.to_owned()).unwrap(), 100).await.unwrap();
    all.into_iter().filter(|task| task.task != "retention.v1").collect()
}

async fn lease(app: &TestApp, task: &str, lease_ms: i64) -> Vec<Lane> {
    outbox::lease(&app.app.db, &LeaseRequest::all([task].into_iter()), 8, lease_ms).await.unwrap()
}

#[tokio::test]
async fn the_game_is_told_of_a_message_once_and_can_check_who_says_so() {
    let receiver = Receiver::start().await;
    let app = receiver.app().await;
    let message = app.player("alice").say("world", "hello").await;
    assert_eq!(tasks(&app, "ready").await.len(), 1, "stored with the message");
    app.run_tasks().await;
    app.run_tasks().await;
    assert_eq!(receiver.count(), 1);

    let (headers, body) = receiver.events.lock().unwrap()[0].clone();
    let event: Value = serde_json::from_str(&body).unwrap();
    assert_eq!((&event["type"], &event["data"]["message"]), (&json!("message.sent"), &message));
    let (id, timestamp) =
        (headers["webhook-id"].to_str().unwrap(), headers["webhook-timestamp"].to_str().unwrap());
    assert_eq!(event["id"], id);
    let mut mac = Hmac::<Sha256>::new_from_slice(WEBHOOK_SECRET.as_bytes()).unwrap();
    mac.update(format!("{id}.{timestamp}.{body}").as_bytes());
    let signature = headers["webhook-signature"].to_str().unwrap().strip_prefix("v1,").unwrap();
    mac.verify_slice(&STANDARD.decode(signature).unwrap()).unwrap();
    assert!((app.clock.now() / 1_000 - timestamp.parse::<i64>().unwrap()).abs() < 5);
}

#[tokio::test]
async fn a_replayed_send_causes_no_second_task() {
    let receiver = Receiver::start().await;
    let app = receiver.app().await;
    let input = json!({ "channel": "world", "text": "hello", "nonce": "n" });
    for _ in 0..3 {
        app.player("alice").post("/message/send", input.clone()).await.data();
    }
    app.run_tasks().await;
    assert_eq!(receiver.count(), 1);
}

#[tokio::test]
async fn a_receiver_that_is_down_is_asked_again_later_and_later() {
    let receiver = Receiver::start().await;
    let app = receiver.app().await;
    receiver.status.store(503, Ordering::SeqCst);
    app.player("alice").say("world", "hello").await;
    app.run_tasks().await;
    app.run_tasks().await;
    assert_eq!(receiver.count(), 1, "not again at once");
    app.clock.advance(1_100);
    app.run_tasks().await;
    assert_eq!(receiver.count(), 2);
    app.clock.advance(900);
    app.run_tasks().await;
    assert_eq!(receiver.count(), 2, "the second pause is longer");
    receiver.status.store(200, Ordering::SeqCst);
    app.clock.advance(1_200);
    app.run_tasks().await;
    assert_eq!((receiver.count(), tasks(&app, "done").await.len()), (3, 1));
}

#[tokio::test]
async fn a_receiver_that_says_when_it_has_time_is_asked_then() {
    let receiver = Receiver::start().await;
    let app = receiver.app().await;
    app.world("other", &["alice"]).await;
    receiver.status.store(429, Ordering::SeqCst);
    receiver.retry_after_s.store(30, Ordering::SeqCst);
    app.player("alice").say("world", "hello").await;
    app.run_tasks().await;
    app.player("alice").say("other", "hello").await;
    app.clock.advance(20_000);
    app.run_tasks().await;
    assert_eq!(receiver.count(), 1, "neither again, nor with something else");
    receiver.status.store(200, Ordering::SeqCst);
    app.clock.advance(10_100);
    app.run_tasks().await;
    assert_eq!((receiver.count(), tasks(&app, "done").await.len()), (3, 2));
}

/// A server that is down is not asked by everybody who has something to tell it; and nothing is lost by that.
#[tokio::test]
async fn a_receiver_that_fails_again_and_again_is_left_alone_for_a_while() {
    const CHANNELS: usize = 40;
    let receiver = Receiver::start().await;
    let app = receiver.app().await;
    receiver.status.store(500, Ordering::SeqCst);
    for n in 0..CHANNELS {
        let channel = format!("w{n}");
        app.world(&channel, &["alice"]).await;
        app.player("alice").say(&channel, "hello").await;
    }
    app.run_tasks().await;
    assert!(receiver.count() < CHANNELS / 2, "{}", receiver.count());
    receiver.status.store(200, Ordering::SeqCst);
    for _ in 0..4 {
        app.clock.advance(70_000);
        app.run_tasks().await;
    }
    assert_eq!(tasks(&app, "done").await.len(), CHANNELS);
}

#[tokio::test]
async fn what_never_works_becomes_a_dead_letter_that_can_be_run_again() {
    let receiver = Receiver::start().await;
    let app = receiver.app().await;
    receiver.status.store(500, Ordering::SeqCst);
    app.player("alice").say("world", "hello").await;
    let (began, mut longest) = (app.clock.now(), 0);
    while tasks(&app, "dead").await.is_empty() {
        let before = receiver.count();
        app.run_tasks().await;
        longest = if receiver.count() > before { 0 } else { longest + 1 };
        assert!(longest <= 10, "a pause is ten minutes at most");
        app.clock.advance(61_000);
    }
    let (hours, tries) = ((app.clock.now() - began) / 3_600_000, receiver.count());
    assert!((24..=25).contains(&hours), "given up after {hours} h");
    let dead = tasks(&app, "dead").await;
    assert_eq!(dead[0].attempt, tries as i64, "what is left alone is no try");
    assert_eq!(dead[0].reason.as_deref(), Some("the receiver answered 500 Internal Server Error"));

    receiver.status.store(200, Ordering::SeqCst);
    outbox::revive(&app.app.db, &dead[0].id).await.unwrap();
    assert!(outbox::revive(&app.app.db, &dead[0].id).await.is_err(), "it is not dead any more");
    app.run_tasks().await;
    assert_eq!(
        (receiver.count(), tasks(&app, "dead").await.len(), tasks(&app, "done").await.len()),
        (tries + 1, 0, 1)
    );
}

#[tokio::test]
async fn a_refusal_of_what_is_told_is_final_and_one_of_who_tells_it_is_not() {
    let receiver = Receiver::start().await;
    let app = receiver.app().await;
    for (nth, status) in [410, 400, 422].into_iter().enumerate() {
        receiver.status.store(status, Ordering::SeqCst);
        app.player("alice").say("world", "hello").await;
        app.run_tasks().await;
        assert_eq!((receiver.count(), tasks(&app, "dead").await.len()), (nth + 1, nth + 1), "{status}");
    }
    // One process whose address or secret is wrong ends nothing of what another one would tell.
    app.player("alice").say("world", "hello").await;
    for (nth, status) in [302, 401, 403, 404, 405].into_iter().enumerate() {
        receiver.status.store(status, Ordering::SeqCst);
        app.run_tasks().await;
        assert_eq!((receiver.count(), tasks(&app, "dead").await.len()), (nth + 4, 3), "{status}");
        app.clock.advance(60_000);
    }
    receiver.status.store(200, Ordering::SeqCst);
    app.run_tasks().await;
    assert_eq!(tasks(&app, "done").await.len(), 1);
}

#[tokio::test]
async fn one_channels_events_come_in_order_and_a_dead_one_stops_nobody() {
    let receiver = Receiver::start().await;
    let app = receiver.app().await;
    for n in 1..=20 {
        app.player("alice").say("world", &format!("{n}")).await;
    }
    receiver.status.store(410, Ordering::SeqCst);
    let worker = Worker::new(Arc::clone(&app.app), guildhall::service::TASKS);
    let first = lease(&app, "webhook.v1", 0).await;
    assert_eq!(first.len(), 1, "one key");
    assert!(first[0].tasks.len() > 1, "several of its tasks, in their order");
    receiver.status.store(200, Ordering::SeqCst);
    worker.run_due(WorkTime::unlimited()).await.unwrap();
    let seqs: Vec<i64> = receiver.events.lock().unwrap().iter().map(|(_, body)| seq(body)).collect();
    assert_eq!(seqs, (1..=20).collect::<Vec<_>>());
}

fn seq(body: &str) -> i64 {
    let event: Value = serde_json::from_str(body).unwrap();
    event["data"]["message"]["seq"].as_i64().unwrap()
}

#[tokio::test]
async fn a_recalled_message_is_told_as_recalled() {
    let receiver = Receiver::start().await;
    let app = receiver.app().await;
    app.player("alice").say("world", "oops").await;
    app.player("alice").post("/message/recall", json!({ "channel": "world", "seq": 1 })).await.data();
    app.run_tasks().await;
    assert!(!receiver.events.lock().unwrap()[0].1.contains("oops"));
}

/// A task that does what its payload says.
#[derive(Serialize, Deserialize)]
struct Moody {
    mood: String,
}

static RAN: Mutex<Vec<String>> = Mutex::new(Vec::new());

impl Task for Moody {
    const NAME: &'static str = "moody.v1";
    const ATTEMPTS: i64 = 2;
    fn key(&self) -> String {
        self.mood.clone()
    }
    async fn run(self, _: &App, id: &str) -> Result<(), Failure> {
        RAN.lock().unwrap().push(id.to_owned());
        match self.mood.as_str() {
            "panics" => panic!("in a bad mood"),
            "gives up" => Err(Failure::GiveUp("no".to_owned())),
            _ => Ok(()),
        }
    }
}

const MOODS: &[TaskEntry] =
    &[TaskEntry::of::<Moody>(), TaskEntry::of::<guildhall::service::retention::Retention>()];

#[tokio::test]
async fn poison_stops_nothing() {
    let app = TestApp::new().await;
    let db = &app.app.db;
    for (id, task, payload) in [
        ("1", "moody.v1", r#"{"mood":"panics"}"#),
        ("2", "moody.v1", "not json"),
        ("3", "moody.v1", r#"{"mood":7}"#),
        ("4", "unknown.v9", "{}"),
        ("5", "moody.v1", r#"{"mood":"gives up"}"#),
        ("6", "moody.v1", r#"{"mood":"fine"}"#),
    ] {
        outbox::enqueue_once(db, id, task, id, payload).await.unwrap();
        outbox::enqueue_once(db, id, task, id, payload).await.unwrap();
    }
    let worker = Worker::new(Arc::clone(&app.app), MOODS);
    for _ in 0..3 {
        worker.run_due(WorkTime::unlimited()).await.unwrap();
        app.clock.advance(2_000);
    }
    let mut dead: Vec<_> =
        tasks(&app, "dead").await.into_iter().map(|task| (task.id, task.reason.unwrap())).collect();
    dead.sort();
    let reasons = [
        ("1", "the task panicked"),
        (
            "2",
            "the payload is not this task's: invalid type: string \"not json\", expected struct Moody at line 1 column 10",
        ),
        (
            "3",
            "the payload is not this task's: invalid type: integer `7`, expected a string at line 1 column 9",
        ),
        ("5", "no"),
    ];
    assert_eq!(dead, reasons.map(|(id, reason)| (id.to_owned(), reason.to_owned())));
    let mut ran = RAN.lock().unwrap().clone();
    ran.sort();
    assert_eq!(ran, ["1", "1", "5", "6"], "the panicking one twice, the good one once");
    let unknown = outbox::find(db, "4").await.unwrap();
    assert_eq!((unknown.state.as_str(), unknown.attempt), ("ready", 0), "it waits for one that knows it");
}

#[tokio::test]
async fn a_worker_that_died_leaves_its_task_to_another() {
    let app = TestApp::new().await;
    outbox::enqueue_once(&app.app.db, "t", "moody.v1", "k", r#"{"mood":"fine"}"#).await.unwrap();
    assert_eq!(lease(&app, "moody.v1", 10_000).await.len(), 1);
    assert!(lease(&app, "moody.v1", 10_000).await.is_empty(), "nobody else takes it");
    app.clock.advance(10_001);
    let envelope = &lease(&app, "moody.v1", 10_000).await[0].tasks[0].envelope;
    assert_eq!((envelope.id.as_str(), envelope.attempt), ("t", 1), "that was a try");
}

/// What others were away for is told apart from what is our own fault, in both orders.
#[tokio::test]
async fn a_task_that_kills_its_workers_is_given_up_and_one_whose_receiver_was_away_is_not() {
    let app = TestApp::new().await;
    let db = &app.app.db;
    for id in ["kills", "kills too"] {
        outbox::enqueue_once(db, id, "moody.v1", id, r#"{"mood":"fine"}"#).await.unwrap();
    }
    let failed = async |id: &str, fault| {
        let lanes = lease(&app, "moody.v1", 10_000).await;
        let lane = lanes.iter().find(|lane| lane.key == id).unwrap();
        let end = End::Again { after_ms: 1, in_order: false, fault };
        assert!(outbox::finish(db, lane, (&lane.tasks[0].envelope, true), end, Some("no")).await.unwrap());
        app.clock.advance(10_001);
    };
    // Before that the receiver of one was away; that is no fault, and no excuse either.
    failed("kills", false).await;
    for _ in 0..2 {
        // Nobody comes back with a word of either.
        assert_eq!(lease(&app, "moody.v1", 10_000).await.len(), 2);
        app.clock.advance(10_001);
    }
    let worker = Worker::new(Arc::clone(&app.app), MOODS);
    worker.run_due(WorkTime::unlimited()).await.unwrap();
    let dead = tasks(&app, "dead").await;
    let reasons: Vec<_> = dead.iter().map(|task| task.reason.clone().unwrap()).collect();
    assert_eq!(reasons, ["its worker died at the last try"; 2]);

    outbox::enqueue_once(db, "away", "moody.v1", "away", r#"{"mood":"fine"}"#).await.unwrap();
    for _ in 0..9 {
        failed("away", false).await;
    }
    failed("away", true).await;
    let lanes = lease(&app, "moody.v1", 10_000).await;
    let taken = &lanes[0].tasks[0];
    assert_eq!((taken.envelope.attempt, taken.faults), (10, 1), "one more try is left");
}

#[tokio::test]
async fn retention_deletes_by_kind_and_age_and_never_uses_a_number_again() {
    let app = TestApp::with(&[("GUILDHALL_RETENTION", "world=1h")]).await;
    app.world("world", &["alice", "bob"]).await;
    app.guild("guild", &["alice"]).await;
    let alice = app.player("alice");
    app.run_tasks().await; // the first run has none to go by
    for n in 0..700 {
        let input = json!({ "channel": "world", "text": "old", "nonce": format!("{n}"), "mentions": if n == 5 { vec!["bob"] } else { vec![] } });
        alice.post("/message/send", input).await.data();
    }
    alice.say("guild", "kept").await;
    app.clock.advance(3_600_000);
    alice.say("world", "new").await;
    app.run_tasks().await;

    let page = alice.get("/message/list?channel=world&after=0").await.data();
    assert_eq!(
        (&page["first_seq"], &page["messages"][0]["text"], &page["messages"][0]["seq"]),
        (&json!(701), &json!("new"), &json!(701))
    );
    assert_eq!((page["messages"].as_array().unwrap().len(), &page["more"]), (1, &json!(false)));
    assert_eq!(alice.history("guild").await.len(), 1);
    let before = alice.get("/message/list?channel=world&before=700").await.data();
    assert_eq!((&before["messages"], &before["more"]), (&json!([]), &json!(false)));
    let inbox = app.player("bob").get("/channel/inbox").await.data();
    assert_eq!(
        (&inbox["channels"][0]["unread"], &inbox["channels"][0]["unread_mentions"]),
        (&json!(1), &json!(0))
    );

    app.clock.advance(3_600_001);
    app.run_tasks().await;
    let page = alice.get("/message/list?channel=world").await.data();
    assert_eq!((&page["first_seq"], &page["messages"]), (&json!(702), &json!([])));
    assert_eq!(alice.say("world", "on").await["seq"], 702);
    let epoch = page["epoch"].clone();
    let synced = alice
        .post("/message/sync", json!({ "channels": [{ "channel": "world", "after": 3, "epoch": epoch }] }))
        .await
        .data();
    assert_eq!(
        (&synced["channels"][0]["reset"], &synced["channels"][0]["messages"][0]["seq"]),
        (&json!(false), &json!(702))
    );
    app.clock.advance(3_600_001);
    app.run_tasks().await;
    let page = alice.get("/message/list?channel=world").await.data();
    assert_eq!((&page["first_seq"], &page["messages"]), (&json!(703), &json!([])), "also in its second life");
    let until = retention::parts(&app.app.db).await.unwrap();
    let now = app.app.db.now().await.unwrap();
    assert!(until.iter().any(|(part, _)| part == "message"), "{until:?}");
    assert!(until.iter().all(|(_, until)| now - until < 60_000), "{until:?}, and it is {now}");
}

//! The outbox with several processes, keys that wait, and very many tasks.

use std::collections::BTreeMap;
use std::fs;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use guildhall::chat::states::TaskState;
use guildhall::service::TASKS;
use guildhall::store::Db;
use guildhall::store::handover::{self, note_published, take_unpublished};
use guildhall::store::outbox::{self, End, Lane, LeaseRequest, TaskFilter, enqueue_once, find};
use guildhall::work::worker::{WorkTime, Worker};
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::help::TestApp;
use crate::help::database;
use crate::help::postgres_server::PostgresServer;
use crate::help::process::eventually;
use crate::help::receiver::{Receiver, WEBHOOK_SECRET};
use crate::work::stages::beside;

pub async fn app_with(receiver: &Receiver, more: &[(&str, &str)]) -> TestApp {
    let url = receiver.url();
    let mut variables =
        vec![("GUILDHALL_WEBHOOK_URL", url.as_str()), ("GUILDHALL_WEBHOOK_SECRET", WEBHOOK_SECRET)];
    variables.extend(more);
    let app = TestApp::with(&variables).await;
    app.world("world", &["alice"]).await;
    app.world("other", &["alice"]).await;
    app
}

/// What was taken, as channel and number, in the order in which it came.
fn taken(receiver: &Receiver) -> Vec<(String, i64)> {
    let taken = receiver.taken.lock().unwrap();
    let events = receiver.events.lock().unwrap();
    let bodies: BTreeMap<String, String> = events
        .iter()
        .map(|(headers, body)| (headers["webhook-id"].to_str().unwrap().to_owned(), body.clone()))
        .collect();
    let read = |id: &String| {
        let event: Value = serde_json::from_str(&bodies[id]).unwrap();
        let message = &event["data"]["message"];
        (message["channel"].as_str().unwrap().to_owned(), message["seq"].as_i64().unwrap())
    };
    taken.iter().map(read).collect()
}

pub fn numbers(receiver: &Receiver, channel: &str) -> Vec<i64> {
    taken(receiver).into_iter().filter(|(of, _)| of == channel).map(|(_, seq)| seq).collect()
}

pub async fn lease(db: &Db, names: &[&str]) -> Vec<Lane> {
    outbox::lease(db, &LeaseRequest::all(names.iter().copied()), 8, 15_000).await.unwrap()
}

/// A server without the setting, on the database of one that has it: it leaves the events to that one.
#[tokio::test]
async fn what_one_process_cannot_run_waits_for_one_that_can() {
    let receiver = Receiver::start().await;
    let app = app_with(&receiver, &[]).await;
    let without = beside(&app, "7").await;
    for n in 0..20 {
        app.player("alice").say("world", &format!("{n}")).await;
    }
    let worker = Worker::new(Arc::clone(&without), TASKS);
    for _ in 0..3 {
        worker.run_due(WorkTime::unlimited()).await.unwrap();
        without.clock.advance(61_000);
        app.clock.advance(61_000);
    }
    let status = outbox::status(&without.db).await.unwrap();
    assert_eq!((status.ready, status.dead, receiver.count()), (20, 0, 0));
    let oldest = status.oldest.iter().find(|(task, _)| task == "webhook.v1").unwrap();
    assert!(oldest.1 > 180_000, "the oldest is as old as it is, whatever was tried: {oldest:?}");
    let left = outbox::left(&without.db, &["retention.v1"], false, 60_000).await.unwrap();
    assert_eq!((left.len(), left[0].task.as_str(), left[0].keys), (1, "webhook.v1", 1), "that is told of");
    let left = outbox::left(&without.db, &["webhook.v1"], false, 60_000).await.unwrap();
    assert!(left.is_empty(), "whoever can run it is not told that nobody does");
    app.run_tasks().await;
    assert_eq!(numbers(&receiver, "world"), (1..=20).collect::<Vec<_>>());
}

#[tokio::test]
async fn what_nobody_can_run_is_given_up_after_a_week_or_when_an_operator_says_so() {
    const WEEK: i64 = 7 * 86_400_000;
    let app = TestApp::new().await;
    let db = &app.app.db;
    for n in 0..3 {
        enqueue_once(db, &format!("u{n}"), "unknown.v9", "one key", "{}").await.unwrap();
    }
    enqueue_once(db, "known", "retention.v1", "one key", "{}").await.unwrap();
    let expire = async || {
        let before = db.now().await.unwrap() - WEEK;
        outbox::expire(db, &["retention.v1"], false, (before, "nobody could run it")).await.unwrap()
    };
    app.run_tasks().await;
    app.clock.advance(WEEK - 60_000);
    assert_eq!(expire().await, 0);
    app.clock.advance(120_000);
    assert_eq!(expire().await, 1, "the head, then the next");
    assert_eq!(find(db, "u0").await.unwrap().reason.as_deref(), Some("nobody could run it"));
    let which =
        TaskFilter { kind: "unknown.v9", since: 0, until: i64::MAX, reason: "the feature was taken back" };
    assert_eq!(outbox::drop_some(db, which, 500).await.unwrap(), 2);
    assert_eq!(find(db, "u2").await.unwrap().state.as_str(), "dead");
    app.run_tasks().await;
    assert_eq!(find(db, "known").await.unwrap().state.as_str(), "done", "and what stood behind them goes on");

    let which = TaskFilter { kind: "unknown.v9", since: 0, until: i64::MAX, reason: "taken back" };
    assert_eq!(outbox::revive_some(db, which, 1).await.unwrap(), 1, "in steps");
    assert_eq!(outbox::revive_some(db, which, 500).await.unwrap(), 1);
    assert_eq!(outbox::revive_some(db, which, 500).await.unwrap(), 0, "the other died of something else");
}

#[tokio::test]
async fn those_behind_one_that_is_tried_again_wait_for_it() {
    let receiver = Receiver::start().await;
    let app = app_with(&receiver, &[]).await;
    *receiver.refuse.lock().unwrap() = "first".to_owned();
    app.player("alice").say("world", "the first").await;
    for n in 2..=20 {
        app.player("alice").say("world", &format!("{n}")).await;
    }
    app.player("alice").say("other", "hello").await;
    app.run_tasks().await;
    assert_eq!(taken(&receiver), [("other".to_owned(), 1)], "others do not wait");
    *receiver.refuse.lock().unwrap() = String::new();
    app.clock.advance(1_100);
    app.run_tasks().await;
    assert_eq!(numbers(&receiver, "world"), (1..=20).collect::<Vec<_>>());
}

#[tokio::test]
async fn without_an_order_they_go_on() {
    let receiver = Receiver::start().await;
    let app = app_with(&receiver, &[("GUILDHALL_TASK_ORDER", "none")]).await;
    *receiver.refuse.lock().unwrap() = "first".to_owned();
    app.player("alice").say("world", "the first").await;
    app.player("alice").say("world", "the second").await;
    app.run_tasks().await;
    *receiver.refuse.lock().unwrap() = String::new();
    app.clock.advance(1_100);
    app.run_tasks().await;
    assert_eq!(numbers(&receiver, "world"), [2, 1]);
}

/// One event that its receiver never takes holds its channel up for ten minutes, if others' are taken; else for a day.
#[tokio::test]
async fn one_that_its_receiver_never_takes_gives_way_if_others_are_taken() {
    let receiver = Receiver::start().await;
    let app = app_with(&receiver, &[]).await;
    *receiver.refuse.lock().unwrap() = "poison".to_owned();
    app.player("alice").say("world", "poison").await;
    app.player("alice").say("world", "behind it").await;
    for _ in 0..40 {
        app.player("alice").say("other", "hello").await;
        app.run_tasks().await;
        app.clock.advance(30_000);
    }
    let dead = outbox::list(&app.app.db, TaskState::Dead, 10).await.unwrap();
    assert!(dead[0].reason.as_ref().unwrap().contains("took those of others"), "{dead:?}");
    assert_eq!(numbers(&receiver, "world"), [2]);
}

#[tokio::test]
async fn a_key_that_is_set_aside_waits_with_all_that_comes() {
    let receiver = Receiver::start().await;
    let app = app_with(&receiver, &[]).await;
    let db = &app.app.db;
    app.player("alice").say("world", "before").await;
    outbox::park(db, "world", "its receiver is mended").await.unwrap();
    app.player("alice").say("world", "behind").await;
    app.player("alice").say("other", "hello").await;
    for _ in 0..2 {
        app.run_tasks().await;
        app.clock.advance(700_000);
    }
    assert_eq!(taken(&receiver), [("other".to_owned(), 1)]);
    assert!(take_unpublished(db, 10).await.unwrap().envelopes.is_empty(), "nor is it handed to a broker");
    let status = outbox::status(db).await.unwrap();
    assert_eq!((status.parked, status.ready), (2, 2));
    let keys = outbox::waiting(db, 10).await.unwrap();
    let seen = (keys[0].key.as_str(), keys[0].tasks, keys[0].hold.as_str(), keys[0].reason.as_deref());
    assert_eq!(seen, ("world", 2, "parked", Some("its receiver is mended")));
    assert!(outbox::unpark(db, "world").await.unwrap());
    assert!(!outbox::unpark(db, "world").await.unwrap());
    app.run_tasks().await;
    assert_eq!(numbers(&receiver, "world"), [1, 2]);
    let tries = outbox::list(db, TaskState::Done, 10).await.unwrap().iter().map(|task| task.attempt).max();
    assert_eq!(tries, Some(1), "what waited was not tried");
}

/// Three workers on one database and a receiver that refuses one post in five: each event is taken once, in its channel's
/// order, and no retry skips its pause.
#[tokio::test(flavor = "multi_thread")]
async fn several_workers_keep_the_order_and_the_pauses() {
    const CHANNELS: usize = 6;
    const EACH: usize = 12;
    let receiver = Receiver::start().await;
    let app = app_with(&receiver, &[]).await;
    receiver.refuse_every.store(5, Ordering::SeqCst);
    for n in 0..CHANNELS {
        app.world(&format!("c{n}"), &["alice"]).await;
    }
    let (stop, stopped) = watch::channel(false);
    let workers: Vec<_> =
        (0..3).map(|_| tokio::spawn(Worker::new(Arc::clone(&app.app), TASKS).run(stopped.clone()))).collect();
    for n in 0..CHANNELS * EACH {
        app.player("alice").say(&format!("c{}", n % CHANNELS), &format!("{n}")).await;
    }
    let all = async || {
        app.clock.advance(200);
        (receiver.taken.lock().unwrap().len() >= CHANNELS * EACH).then_some(())
    };
    eventually("every event", all).await;
    stop.send(true).unwrap();
    for worker in workers {
        worker.await.unwrap();
    }
    for n in 0..CHANNELS {
        assert_eq!(numbers(&receiver, &format!("c{n}")), (1..=EACH as i64).collect::<Vec<_>>(), "c{n}");
    }
    let status = outbox::status(&app.app.db).await.unwrap();
    assert_eq!((status.depth(), status.dead), (0, 0));
}

/// Whoever waits for somebody else's change finds what they chose otherwise than it was: it is not taken.
#[tokio::test]
async fn a_retry_is_nobodys_before_its_time() {
    let app = TestApp::new().await;
    let db = &app.app.db;
    enqueue_once(db, "t", "retention.v1", "k", "{}").await.unwrap();
    let lane = lease(db, &["retention.v1"]).await.remove(0);
    let end = End::Again { after_ms: 5_000, in_order: true, fault: false };
    assert!(outbox::finish(db, &lane, (&lane.tasks[0].envelope, true), end, Some("no")).await.unwrap());
    let mut looks = Vec::new();
    for _ in 0..16 {
        looks.push(lease(db, &["retention.v1"]));
    }
    assert!(futures_util::future::join_all(looks).await.iter().all(Vec::is_empty));
    app.clock.advance(5_001);
    let looks: Vec<_> = (0..16).map(|_| lease(db, &["retention.v1"])).collect();
    let taken = futures_util::future::join_all(looks).await;
    assert_eq!(taken.iter().map(Vec::len).sum::<usize>(), 1, "and then one worker's");
}

/// A statement that changes rows which it chose before asks again outside, or takes them with `FOR UPDATE`.
#[test]
fn whatever_is_chosen_before_it_is_changed_is_locked_by_the_choice() {
    let mut read = 0;
    for (path, text) in crate::house::architecture::program() {
        if !path.starts_with("src/store") {
            continue;
        }
        for (at, _) in text.match_indices("chosen AS MATERIALIZED (") {
            let (choice, rest) =
                text[at..].split_at(text[at..].find("UPDATE outbox_key").unwrap_or(200).min(900));
            let sqlite = choice.contains("_sqlite!") || choice.contains("due_keys!");
            let locked = choice.contains("FOR UPDATE") || choice.contains("$lock") || sqlite;
            assert!(locked, "{}: {choice}{}", path.display(), &rest[..rest.len().min(100)]);
            read += 1;
        }
    }
    assert!(read >= 4, "they are found at all: {read}");
    let take = fs::read_to_string("src/store/handover.rs").unwrap();
    assert!(take.contains("take_keys!(\" FOR UPDATE SKIP LOCKED\""));
}

/// A broker gets some tasks of a key at a time, in their order; the others wait in the table, where they hold nobody up.
#[tokio::test]
async fn of_a_key_with_many_tasks_a_broker_gets_some_at_a_time() {
    let app = TestApp::new().await;
    let db = &app.app.db;
    for n in 0..40 {
        enqueue_once(db, &format!("hot-{n:02}"), "retention.v1", "hot", "{}").await.unwrap();
    }
    enqueue_once(db, "quiet", "retention.v1", "quiet", "{}").await.unwrap();
    let handing = take_unpublished(db, 10).await.unwrap();
    let ids: Vec<&str> = handing.envelopes.iter().map(|envelope| envelope.id.as_str()).collect();
    let expected: Vec<String> = (0..16).map(|n| format!("hot-{n:02}")).chain(["quiet".to_owned()]).collect();
    assert_eq!(ids, expected);
    assert!(take_unpublished(db, 10).await.unwrap().envelopes.is_empty(), "one relay at a time");
    note_published(db, &handing, &[true; 17]).await.unwrap();
    // A record that comes before its turn is given back, and comes again in its turn.
    assert!(handover::claim(db, &handing.envelopes[3], 15_000).await.unwrap().is_none());
    let mut ran = Vec::new();
    let mut topic: std::collections::VecDeque<_> = handing.envelopes.into();
    while let Some(envelope) = topic.pop_front() {
        if let Some(lane) = handover::claim(db, &envelope, 15_000).await.unwrap() {
            outbox::finish(db, &lane, (&envelope, true), End::Done, None).await.unwrap();
            ran.push(envelope.id.clone());
        }
        let more = take_unpublished(db, 10).await.unwrap();
        note_published(db, &more, &vec![true; more.envelopes.len()]).await.unwrap();
        topic.extend(more.envelopes);
    }
    ran.retain(|id| id != "quiet");
    assert_eq!(ran, (0..40).map(|n| format!("hot-{n:02}")).collect::<Vec<_>>());
}

/// Rows that the steps of PostgreSQL's plans touched, in this part of its log.
fn rows_touched(log: &str) -> i64 {
    let number = |text: &str| -> f64 {
        text.split(|c: char| !c.is_ascii_digit() && c != '.')
            .next()
            .unwrap_or_default()
            .parse()
            .unwrap_or(0.0)
    };
    let mut rows = 0.0;
    for line in log.lines() {
        if let Some((_, actual)) = line.split_once("(actual ") {
            let of = |what: &str| actual.split_once(what).map_or(0.0, |(_, text)| number(text));
            rows += of("rows=") * of("loops=");
        }
        if let Some((_, removed)) = line.split_once("Rows Removed by Filter: ") {
            rows += number(removed);
        }
    }
    rows as i64
}

/// A look, a try's end, a hand-over and a delivery touch as many rows of a hundred thousand tasks as of sixty.
#[tokio::test(flavor = "multi_thread")]
async fn how_many_wait_changes_nothing_for_those_that_are_taken() {
    let server = PostgresServer::start(
        "session_preload_libraries = 'auto_explain'\nauto_explain.log_min_duration = 0\nauto_explain.log_analyze = on\n\
         fsync = off\nautovacuum = off\nmax_wal_size = 4GB\n",
    );
    Db::migrate(&database::config(&server.url())).await.unwrap();
    let app =
        TestApp::with(&[("DATABASE_URL", &server.url()), ("GUILDHALL_DATABASE_CONNECTIONS", "1")]).await;
    for keys in ["1", "n"] {
        let few = touched(&server, &app.app.db, (60, keys)).await;
        let many = touched(&server, &app.app.db, (100_000, keys)).await;
        println!("keys {keys}: {few:?} rows of 60, {many:?} of 100,000");
        for (few, many) in few.iter().zip(&many) {
            assert!(
                *few > 0 && *many <= few + few / 5 + 5,
                "keys {keys}: {few} rows of 60, {many} of 100,000"
            );
        }
    }
}

/// Rows that a look with the ends of its tasks touches, a hand-over with a delivery, and a look of one that can run nothing.
async fn touched(server: &PostgresServer, db: &Db, (tasks, keys): (i64, &str)) -> Vec<i64> {
    let fill = format!(
        "TRUNCATE outbox, outbox_open, outbox_key, outbox_done;
         INSERT INTO outbox (id, task, key, payload, created_at, since, not_before)
            SELECT 't' || n, 'none.v1', 'k' || {key}, '{{}}', n, n, n FROM generate_series(1, {tasks}) AS s (n);
         INSERT INTO outbox_key (stage, key, task, place, n, due_at)
            SELECT DISTINCT ON (key) stage, key, task, place, n, not_before FROM outbox ORDER BY key, n;
         INSERT INTO outbox_done (id, task, key_digest, attempt, finished_at, stage)
            SELECT 'd' || n, 'none.v1', 'x', 1, n, '' FROM generate_series(1, {tasks}) AS s (n)",
        key = if keys == "1" { "1" } else { "n" },
    );
    database::execute(&server.url(), &fill).await;
    let mut touched = Vec::new();
    let mut from = server.log().len();
    let mut note = async || {
        // A statement's line is written before its answer.
        let log = server.log();
        let rows = rows_touched(&log[from..]);
        from = log.len();
        rows
    };
    for lane in lease(db, &["none.v1", "another.v1"]).await {
        let count = lane.tasks.len();
        for (nth, taken) in lane.tasks.iter().enumerate() {
            let of = (&taken.envelope, nth + 1 == count);
            assert!(outbox::finish(db, &lane, of, End::Done, None).await.unwrap());
        }
    }
    touched.push(note().await);
    let handing = take_unpublished(db, 8).await.unwrap();
    note_published(db, &handing, &vec![true; handing.envelopes.len()]).await.unwrap();
    let lane = handover::claim(db, &handing.envelopes[0], 15_000).await.unwrap().unwrap();
    let of = (&lane.tasks[0].envelope, true);
    assert!(outbox::finish(db, &lane, of, End::Done, None).await.unwrap());
    touched.push(note().await);
    assert!(lease(db, &["another.v1"]).await.is_empty());
    enqueue_once(db, "new", "none.v1", "k1", "{}").await.unwrap();
    assert!(!lease(db, &["none.v1"]).await.is_empty() || keys == "1");
    touched.push(note().await);
    touched
}

/// A world where nobody said anything is told of nothing.
#[tokio::test]
async fn the_game_hears_of_what_waits_by_its_status() {
    let app = TestApp::new().await;
    let status = app.server().get("/task/status").await.data();
    assert_eq!((&status["ready"], &status["parked"], &status["oldest_s"]), (&json!(0), &json!(0), &json!(0)));
}

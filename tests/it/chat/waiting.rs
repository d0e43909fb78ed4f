//! Polls that wait: answered when something is said, here or by another server, and never later than they may.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use guildhall::access::token::{Claims, mint};
use guildhall::base::clock::Clock;
use guildhall::chat::identity::Scope;
use guildhall::config::Secret;
use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::help::process::{Answer, Process, eventually, figure, player_token, server_token};
use crate::help::socket_client::Socket;
use crate::help::{SECRET, TestApp, claims};
use crate::hosts::lambda::free_port;

fn poll(channel: &str, after: i64, wait_s: u32) -> Value {
    json!({ "channels": [{ "channel": channel, "after": after }], "wait_s": wait_s })
}

/// So many polls wait at a server; its feed, which reads for sockets, is one more.
async fn all_wait(figures: &str, polls: usize) {
    figure(figures, &format!("guildhall_waiting {}", polls + 1)).await;
}

async fn somebody_waits(app: &TestApp, count: usize) {
    eventually("somebody waits", async || (app.app.db.hub().waiting() == count).then_some(())).await;
}

#[tokio::test]
async fn a_poll_waits_until_something_is_said() {
    let app = TestApp::new().await;
    app.guild("g", &["alice", "bob"]).await;
    app.guild("other", &["alice", "bob"]).await;
    let (alice, bob, said) = (app.player("alice"), app.player("bob"), AtomicBool::new(false));
    let speaking = async {
        somebody_waits(&app, 1).await;
        app.player("bob").say("other", "not for this poll").await;
        said.store(true, Ordering::Relaxed);
        bob.say("g", "here").await;
    };
    let (reply, ()) = tokio::join!(alice.post("/message/sync", poll("g", 0, 25)), speaking);
    assert!(said.load(Ordering::Relaxed));
    let data = reply.data();
    assert_eq!(data["channels"][0]["messages"][0]["text"], "here");
    assert_eq!((&data["wait_max_s"], &data["retry_after_s"]), (&json!(25), &Value::Null));
    assert_eq!(data["channels"][0]["first_seq"], 1);
    // What is there already is answered at once, and so is a recall.
    assert_eq!(
        alice.post("/message/sync", poll("g", 0, 25)).await.data()["channels"][0]["messages"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
    let recalling = async {
        somebody_waits(&app, 1).await;
        bob.post("/message/recall", json!({ "channel": "g", "seq": 1 })).await.data()
    };
    let (reply, _) = tokio::join!(alice.post("/message/sync", poll("g", 1, 25)), recalling);
    assert_eq!(reply.data()["channels"][0]["messages"][0]["kind"], "recall");
    assert_eq!(app.app.db.hub().waiting(), 0);
    assert!(app.app.db.hub().watched().is_empty(), "nothing is kept for those who wait no more");
}

/// From the moment that the removal was answered, nothing is told to the one who was removed.
#[tokio::test]
async fn who_is_removed_while_waiting_hears_nothing_more() {
    let app = TestApp::new().await;
    app.guild("g", &["alice", "bob"]).await;
    let removing = async {
        somebody_waits(&app, 1).await;
        let removal = json!({ "channel": "g", "members": ["alice"] });
        app.server().post("/channel/members-remove", removal).await.data();
        app.player("bob").say("g", "between us").await;
    };
    let alice = app.player("alice");
    let (reply, ()) = tokio::join!(alice.post("/message/sync", poll("g", 0, 25)), removing);
    let data = reply.data();
    assert_eq!(data["channels"][0]["error"], "not_found");
    assert_eq!(data["channels"][0]["messages"], json!([]));
}

#[tokio::test]
async fn a_wait_is_bounded_by_the_setting_and_by_the_token() {
    let app = TestApp::with(&[("GUILDHALL_LIVE_WAIT_S", "0")]).await;
    app.guild("g", &["alice"]).await;
    let data = app.player("alice").post("/message/sync", poll("g", 0, 25)).await.data();
    assert_eq!(data["wait_max_s"], 0);
    assert!((1..=3).contains(&data["retry_after_s"].as_u64().unwrap()), "{data}");
    let data = app.player("alice").post("/message/sync", poll("g", 0, 0)).await.data();
    assert_eq!(data["retry_after_s"], Value::Null, "only who wanted to wait is told when to come back");

    let app = TestApp::with(&[("GUILDHALL_LIVE_WAIT_S", "1")]).await;
    app.guild("g", &["alice"]).await;
    let begun = Instant::now();
    let data = app.player("alice").post("/message/sync", poll("g", 0, 1_000_000)).await.data();
    assert!(begun.elapsed() >= Duration::from_secs(1), "it waited as long as it may");
    assert_eq!((&data["wait_max_s"], &data["channels"][0]["messages"]), (&json!(1), &json!([])));

    let app = TestApp::new().await;
    app.guild("g", &["alice"]).await;
    let ends = Clock::default().now() as u64 / 1_000 + 2;
    let short =
        mint(&Secret::new(SECRET).unwrap(), &Claims { exp: ends, ..claims("alice", Scope::Player) }).unwrap();
    let begun = Instant::now();
    app.with_token(&short).post("/message/sync", poll("g", 0, 25)).await.data();
    assert!(begun.elapsed() < Duration::from_secs(20), "a token's end is the end of the wait");
    for wrong in [json!(-1), json!("5"), json!(1.5)] {
        let input = json!({ "channels": [], "wait_s": wrong });
        assert_eq!(app.player("alice").post("/message/sync", input).await.code(), "invalid_input");
    }
}

/// A process with a channel of two.
async fn serving(data: &Path, variables: &[(&str, &str)]) -> Process {
    let process = Process::start(data, variables);
    let mut connection = process.connect().await.unwrap();
    let guild = json!({ "id": "g", "kind": "guild", "members": ["alice", "bob"] });
    let made = connection.call(&server_token(), "/channel/create", Some(&guild)).await.unwrap();
    assert_eq!(made.status, 200);
    process
}

async fn call(process: &Process, player: &str, path: &str, input: Value) -> Answer {
    let mut connection = process.connect().await.unwrap();
    connection.call(&player_token(player), path, Some(&input)).await.unwrap()
}

async fn say(process: &Process, text: &str) {
    let said = call(process, "bob", "/message/send", json!({ "channel": "g", "text": text })).await;
    assert_eq!(said.status, 200, "{}", said.body);
}

/// Two places for requests, one second for each: thirty polls wait for longer, and others are answered meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn who_waits_takes_no_place_and_has_time() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let variables = [
        ("GUILDHALL_MAX_IN_FLIGHT", "2"),
        ("GUILDHALL_REQUEST_TIMEOUT_S", "1"),
        ("GUILDHALL_LIVE_WAIT_S", "3"),
    ];
    let process = serving(&data, &variables).await;
    let polls = async {
        // One after the other comes in, as two at a time are read.
        let polls = (0..30).map(|n| {
            let process = &process;
            async move {
                tokio::time::sleep(Duration::from_millis(40 * n)).await;
                loop {
                    let answer = call(process, "alice", "/message/sync", poll("g", 1, 25)).await;
                    if answer.status == 200 {
                        return answer;
                    }
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            }
        });
        join_all(polls).await
    };
    let speaking = async {
        // Amid their waiting, which ends by itself: those that came first are gone before the last come in.
        tokio::time::sleep(Duration::from_millis(1_500)).await;
        say(&process, "first, which all know").await;
    };
    let (answers, ()) = tokio::join!(polls, speaking);
    assert!(answers.iter().all(|answer| answer.body["data"]["channels"][0]["messages"] == json!([])));
}

/// A server that stops ends the waiting in order: each poll is answered, and nothing holds the stop up.
#[tokio::test(flavor = "multi_thread")]
async fn a_stop_answers_those_who_wait() {
    let folder = tempfile::tempdir().unwrap();
    let figures = format!("127.0.0.1:{}", free_port());
    let mut process = serving(&folder.path().join("data"), &[("GUILDHALL_METRICS_LISTEN", &figures)]).await;
    let polls = (0..20).map(|_| async {
        let mut connection = process.connect().await.unwrap();
        connection.call(&player_token("alice"), "/message/sync", Some(&poll("g", 0, 25))).await.unwrap()
    });
    let stopping = async {
        all_wait(&figures, 20).await;
        process.signal(Signal::SIGTERM);
        Instant::now()
    };
    let (answers, begun) = tokio::join!(join_all(polls), stopping);
    assert!(begun.elapsed() < Duration::from_secs(10), "nobody waits out the twenty-five seconds");
    assert!(answers.iter().all(|answer| answer.status == 200));
    assert_eq!(process.wait(), Some(0));
}

/// Two servers on one database and nothing between them: each hears what is said at the other.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_said_at_another_server_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let figures = format!("127.0.0.1:{}", free_port());
    let one = serving(&data, &[]).await;
    let other = Process::start(&data, &[("GUILDHALL_METRICS_LISTEN", &figures)]);
    for n in 1..=5 {
        let speaking = async {
            all_wait(&figures, 1).await;
            say(&one, &format!("{n}")).await;
        };
        let (answer, ()) =
            tokio::join!(call(&other, "alice", "/message/sync", poll("g", n - 1, 25)), speaking);
        let messages = &answer.body["data"]["channels"][0]["messages"];
        assert_eq!(messages[0]["seq"], n, "{}", answer.body);
    }
}

/// Somebody who has a message already, and waits at the same server for the next one, hides it from nobody: neither from a poll
/// that waits there, nor from a socket.
#[tokio::test(flavor = "multi_thread")]
async fn a_poll_of_somebody_else_hides_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let figures = format!("127.0.0.1:{}", free_port());
    let one = serving(&data, &[]).await;
    let other = Process::start(&data, &[("GUILDHALL_METRICS_LISTEN", &figures)]);
    let mut socket = Socket::of(&other, "alice").await;
    socket.ask("/live/follow", json!({ "channels": [{ "channel": "g" }] })).await;
    for n in 1..=6 {
        let speaking = async {
            all_wait(&figures, 2).await;
            say(&one, &format!("{n}")).await;
            call(&other, "bob", "/message/sync", poll("g", n, 3)).await;
        };
        let (answer, ()) =
            tokio::join!(call(&other, "alice", "/message/sync", poll("g", n - 1, 25)), speaking);
        let messages = &answer.body["data"]["channels"][0]["messages"];
        assert_eq!(messages[0]["seq"], n, "{}", answer.body);
        let pushed = socket.push_of("messages").await;
        assert_eq!(pushed["messages"][0]["seq"], n, "{pushed}");
    }
}

/// Writers and readers by waiting polls: each reader gets each entry once, in order, whatever it asks for next.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_missed_or_told_twice() {
    const WRITERS: i64 = 8;
    const EACH: i64 = 25;
    let app = TestApp::new().await;
    app.world("w", &["alice", "bob"]).await;
    let bob = app.player("bob");
    let writing = join_all((0..WRITERS).map(|writer| {
        let bob = &bob;
        async move {
            for n in 0..EACH {
                bob.say("w", &format!("{writer}-{n}")).await;
            }
        }
    }));
    let reading = join_all((0..10_i64).map(|_| async {
        let alice = app.player("alice");
        let (mut after, mut texts) = (0, BTreeSet::new());
        while after < WRITERS * EACH {
            let data = alice.post("/message/sync", poll("w", after, 25)).await.data();
            for message in data["channels"][0]["messages"].as_array().unwrap() {
                assert_eq!(message["seq"], after + 1);
                after += 1;
                assert!(texts.insert(message["text"].to_string()));
            }
        }
        texts.len() as i64
    }));
    let (_, read) = tokio::join!(writing, reading);
    assert!(read.iter().all(|count| *count == WRITERS * EACH));
}

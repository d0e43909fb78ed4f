//! What is promised about messages, under load: nothing missed, no gap, nothing twice, in order.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::json;

use crate::help::{TestApp, numbered_texts};

const WRITERS: usize = 32;
const SENDS: usize = 40;
const READERS: usize = 4;

/// 32 writers send every message twice, at once; four readers follow the cursor all the while.
#[tokio::test(flavor = "multi_thread")]
async fn followers_miss_nothing_and_see_nothing_twice() {
    let app = Arc::new(TestApp::new().await);
    let names: Vec<String> = (0..WRITERS).map(|n| format!("writer-{n}")).collect();
    app.world("world", &names.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let done = Arc::new(AtomicBool::new(false));
    let readers: Vec<_> =
        (0..READERS).map(|_| tokio::spawn(follow(Arc::clone(&app), Arc::clone(&done)))).collect();
    let writers: Vec<_> = names.into_iter().map(|name| tokio::spawn(write(Arc::clone(&app), name))).collect();
    let mut acknowledged = HashSet::new();
    for writer in writers {
        for (seq, text) in writer.await.unwrap() {
            assert!(acknowledged.insert((seq, text)), "one number for two messages");
        }
    }
    done.store(true, Ordering::SeqCst);
    assert_eq!(acknowledged.len(), WRITERS * SENDS);
    for reader in readers {
        let seen = reader.await.unwrap();
        let numbers: Vec<i64> = seen.iter().map(|(seq, _)| *seq).collect();
        assert_eq!(
            numbers,
            (1..=(WRITERS * SENDS) as i64).collect::<Vec<_>>(),
            "in order, without gap or repeat"
        );
        assert_eq!(seen.into_iter().collect::<HashSet<_>>(), acknowledged);
    }
}

/// Sends each message twice at the same time; both answers must name one message.
async fn write(app: Arc<TestApp>, name: String) -> Vec<(i64, String)> {
    let actor = app.player(&name);
    let mut sent = Vec::new();
    for n in 0..SENDS {
        let text = format!("{name} says {n}");
        let input = json!({ "channel": "world", "text": text, "nonce": format!("n{n}") });
        let (one, other) =
            tokio::join!(actor.post("/message/send", input.clone()), actor.post("/message/send", input));
        let (one, other) = (one.data(), other.data());
        assert_eq!(one["message"], other["message"]);
        assert_ne!(one["replayed"], other["replayed"], "one of the two stored it");
        sent.push((one["message"]["seq"].as_i64().unwrap(), text));
    }
    sent
}

async fn follow(app: Arc<TestApp>, done: Arc<AtomicBool>) -> Vec<(i64, String)> {
    let reader = app.player("reader");
    let mut seen: Vec<(i64, String)> = Vec::new();
    loop {
        let last_round = done.load(Ordering::SeqCst);
        let after = seen.last().map_or(0, |(seq, _)| *seq);
        let input = json!({ "channels": [{ "channel": "world", "after": after }], "limit": 100 });
        let channel = reader.post("/message/sync", input).await.data()["channels"][0].clone();
        seen.extend(numbered_texts(&channel));
        if last_round && channel["more"] == false {
            return seen;
        }
    }
}

/// Changes take numbers too, while messages are sent.
#[tokio::test(flavor = "multi_thread")]
async fn recalls_among_sends_leave_no_gap() {
    let app = Arc::new(TestApp::new().await);
    app.world("world", &["alice", "bob"]).await;
    let tasks: Vec<_> = ["alice", "bob"]
        .into_iter()
        .map(|name| {
            let app = Arc::clone(&app);
            tokio::spawn(async move {
                let actor = app.player(name);
                for n in 0..30 {
                    let seq = actor.say("world", &format!("{name} {n}")).await["seq"].clone();
                    if n % 3 == 0 {
                        actor.post("/message/recall", json!({ "channel": "world", "seq": seq })).await.data();
                    }
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    let history = app.player("alice").history("world").await;
    let numbers: Vec<i64> = history.iter().map(|message| message["seq"].as_i64().unwrap()).collect();
    assert_eq!(numbers, (1..=80).collect::<Vec<_>>());
    assert_eq!(history.iter().filter(|message| message["kind"] == "recall").count(), 20);
}

/// Sends of many players in several channels share commits of every length; each keeps its own read mark and its mention.
#[tokio::test(flavor = "multi_thread")]
async fn each_of_many_at_once_has_read_as_far_as_it_spoke() {
    const PLAYERS: usize = 40;
    const CHANNELS: usize = 4;
    let app = Arc::new(TestApp::new().await);
    let names: Vec<String> = (0..PLAYERS).map(|n| format!("player-{n}")).collect();
    for channel in 0..CHANNELS {
        app.guild(&format!("g{channel}"), &names.iter().map(String::as_str).collect::<Vec<_>>()).await;
    }
    // Each mentions the one behind.
    let mut sends = tokio::task::JoinSet::new();
    for (player, channel) in
        (0..PLAYERS).flat_map(|player| (0..CHANNELS).map(move |channel| (player, channel)))
    {
        let (app, by, to) = (Arc::clone(&app), names[player].clone(), names[(player + 1) % PLAYERS].clone());
        sends.spawn(async move {
            let input = json!({ "channel": format!("g{channel}"), "text": "hello", "mentions": [to] });
            let sent = app.player(&by).post("/message/send", input).await.data();
            ((player, channel), sent["message"]["seq"].as_u64().unwrap())
        });
    }
    let seq: HashMap<(usize, usize), u64> = sends.join_all().await.into_iter().collect();
    for (player, name) in names.iter().enumerate() {
        let inbox = app.player(name).get("/channel/inbox").await.data();
        for entry in inbox["channels"].as_array().unwrap() {
            let channel: usize = entry["channel"]["id"].as_str().unwrap()[1..].parse().unwrap();
            let (own, called) = (seq[&(player, channel)], seq[&((player + PLAYERS - 1) % PLAYERS, channel)]);
            let expected = json!({
                "read_seq": own, "unread": PLAYERS as u64 - own,
                "unread_mentions": u64::from(called > own),
            });
            assert_eq!(entry["channel"]["last_seq"], PLAYERS);
            for (field, value) in expected.as_object().unwrap() {
                assert_eq!(&entry[field], value, "{field} of {name} in {entry}");
            }
        }
        assert_eq!(inbox["channels"].as_array().unwrap().len(), CHANNELS);
    }
}

//! What only lives: who types, and who is online.

use guildhall::store::{online as presence, process};
use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::help::TestApp;
use crate::help::database;
use crate::help::process::{Process, eventually, player_token, server_token};
use crate::help::socket_client::{Socket, call, follow, make, say, start};

async fn online(process: &Process, channel: &str) -> Value {
    let mut connection = process.connect().await.unwrap();
    let path = format!("/channel/online?channel={channel}");
    let answer = connection.call(&player_token("bob"), &path, None).await.unwrap();
    assert_eq!(answer.status, 200, "{}", answer.body);
    answer.body["data"].clone()
}

async fn becomes(process: &Process, channel: &str, players: &[&str]) {
    let expected = json!({ "online": players.len(), "players": players });
    eventually("it is known who is online", async || {
        (online(process, channel).await == expected).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_types_is_told_to_others_who_follow_once_in_a_while() {
    let folder = tempfile::tempdir().unwrap();
    let process = start(&folder.path().join("data"));
    make(&process, "g", &["alice", "bob", "carl"]).await;
    let mut alice = Socket::of(&process, "alice").await;
    alice.ask("/live/follow", follow("g", 0)).await;
    let mut bob = Socket::of(&process, "bob").await;
    for (input, code) in [
        (json!({ "channel": "g" }), "not_found"),
        (json!({ "channel": "none" }), "not_found"),
        (json!({}), "invalid_input"),
        (json!({ "channel": "g", "text": "h" }), "invalid_input"),
    ] {
        assert_eq!(bob.ask("/live/typing", input).await["error"]["code"], code);
    }
    bob.ask("/live/follow", follow("g", 0)).await;
    let begun = std::time::Instant::now();
    for _ in 0..5 {
        assert_eq!(bob.ask("/live/typing", json!({ "channel": "g" })).await["data"], json!({}));
    }
    say(&process, "bob", "g", "hello").await;
    let at_most = 1 + begun.elapsed().as_secs() as usize / 3;
    // Once in three seconds, and not to the one who types; what is said comes as ever.
    let typing = json!({ "push": "typing", "channel": "g", "player": "bob" });
    let mut told = vec![alice.push().await];
    // What is said may come before what passes.
    while !(told.iter().any(|push| push["push"] == "messages") && told.contains(&typing)) {
        told.push(alice.push().await);
    }
    let count = told.iter().filter(|push| **push == typing).count();
    assert!((1..=at_most).contains(&count), "{told:?}");
    loop {
        let push = bob.push().await;
        assert_ne!(push["push"], "typing", "{push}");
        if push["push"] == "messages" {
            break;
        }
    }
    // Whoever may read the channel no more hears of nobody, from the moment that the removal was answered.
    let mut carl = Socket::of(&process, "carl").await;
    carl.ask("/live/follow", follow("g", 0)).await;
    let removal = json!({ "channel": "g", "members": ["alice"] });
    call(&process, &server_token(), "/channel/members-remove", removal).await;
    carl.ask("/live/typing", json!({ "channel": "g" })).await;
    assert_eq!(bob.push_of("typing").await["player"], "carl");
    let mut pushes = Vec::new();
    while pushes.last().is_none_or(|push: &Value| push["push"] != "membership") {
        pushes.push(alice.push().await);
    }
    alice.ask("/meta/version", json!({})).await;
    pushes.extend(alice.pushed());
    assert!(pushes.iter().all(|push| push["push"] != "typing"), "{pushes:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_online_is_known_at_every_server_and_told_to_followers() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let (one, other) = (start(&data), start(&data));
    make(&one, "g", &["alice", "bob", "carl"]).await;
    assert_eq!(online(&one, "g").await, json!({ "online": 0, "players": [] }));
    let mut bob = Socket::of(&one, "bob").await;
    bob.ask("/live/follow", follow("g", 0)).await;
    becomes(&one, "g", &["bob"]).await;
    // Two sockets are one player; a stranger is no member.
    let alice = [Socket::of(&other, "alice").await, Socket::of(&one, "alice").await];
    let _stranger = Socket::of(&other, "stranger").await;
    becomes(&one, "g", &["alice", "bob"]).await;
    becomes(&other, "g", &["alice", "bob"]).await;
    let told = |push: &Value, which: &str, player: &str| {
        push[which].as_array().unwrap().contains(&json!(player)) && push["channel"] == "g"
    };
    while !told(&bob.push_of("presence").await, "online", "alice") {}
    drop(alice);
    becomes(&one, "g", &["bob"]).await;
    while !told(&bob.push_of("presence").await, "offline", "alice") {}
    // A server that stops takes its players along.
    let _carl = Socket::of(&other, "carl").await;
    becomes(&one, "g", &["bob", "carl"]).await;
    let mut other = other;
    other.signal(Signal::SIGTERM);
    assert_eq!(other.wait(), Some(0));
    becomes(&one, "g", &["bob"]).await;
}

/// Of channels that are no circle of players the number alone is told; who may not see a channel learns nothing.
#[tokio::test(flavor = "multi_thread")]
async fn of_the_world_only_the_number_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let process = start(&folder.path().join("data"));
    let world =
        json!({ "id": "w", "kind": "world", "members": ["alice", "bob"], "settings": { "open": true } });
    call(&process, &server_token(), "/channel/create", world).await;
    make(&process, "g", &["alice"]).await;
    let _alice = Socket::of(&process, "alice").await;
    let system = json!({ "id": "s", "kind": "system", "members": ["alice", "bob"] });
    call(&process, &server_token(), "/channel/create", system).await;
    let expected = json!({ "online": 1, "players": null });
    for channel in ["w", "s"] {
        eventually("she is counted", async || (online(&process, channel).await == expected).then_some(()))
            .await;
    }
    let mut connection = process.connect().await.unwrap();
    for channel in ["g", "none"] {
        let path = format!("/channel/online?channel={channel}");
        assert_eq!(connection.call(&player_token("bob"), &path, None).await.unwrap().status, 404);
    }
}

/// Players of a server that was killed are online for another minute at most; one that comes back meanwhile stays.
#[tokio::test(flavor = "multi_thread")]
async fn players_of_a_killed_server_go_offline() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let one = start(&data);
    make(&one, "g", &["alice", "bob"]).await;
    let mut killed = start(&data);
    let _alice = Socket::of(&killed, "alice").await;
    becomes(&one, "g", &["alice"]).await;
    killed.signal(Signal::SIGKILL);
    killed.wait();
    // As if it had been silent for a minute; waiting for one would only take long.
    database::change(&data, "UPDATE process SET seen_at = seen_at - 60001").await;
    becomes(&one, "g", &[]).await;
    // The one that lives says so again, and forgets the other.
    let _bob = Socket::of(&one, "bob").await;
    becomes(&one, "g", &["bob"]).await;
}

/// A process that died between forgetting itself and forgetting its players left them behind: they are not walked over for
/// ever.
#[tokio::test]
async fn players_of_a_process_that_is_no_more_are_forgotten() {
    let app = TestApp::new().await;
    let db = &app.app.db;
    let now = db.now().await.unwrap();
    process::enter(db, "lives", now).await.unwrap();
    let players: Vec<String> = (0..1_500).map(|n| format!("p{n}")).collect();
    for process in ["a-stray", "lives", "z-stray"] {
        presence::enter(db, process, &players).await.unwrap();
    }
    process::forget_silent(db, now - presence::SILENT_MS).await.unwrap();
    let rows = database::everything(&app.app.config).await;
    let left: Vec<&String> = rows.iter().filter(|(table, _)| table == "online").map(|(_, row)| row).collect();
    assert_eq!(left.len(), 1_500);
    assert!(left.iter().all(|row| row.contains("lives")), "{:?}", left[0]);
}

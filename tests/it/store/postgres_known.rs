//! What an instance knows of senders saves it a question, and never decides alone: whatever another instance changed
//! meanwhile holds for the next send.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};
use sqlx::{Connection, Executor, PgConnection};

use crate::help::database;
use crate::help::{Reply, TestApp};
use crate::store::postgres::{app_on, three_with_limit};

async fn send(app: &TestApp, who: &str, channel: &str) -> Reply {
    let actor = if who == "mod" { app.moderator(who) } else { app.player(who) };
    actor.post("/message/send", json!({ "channel": channel, "text": "hello" })).await
}

/// An instance that has stored a send of this player there, and so knows them.
async fn that_knows(url: &str, player: &str, channel: &str) -> TestApp {
    let app = app_on(url, &[]).await;
    send(&app, player, channel).await.data();
    assert!(asks_nothing(url, &app, player, channel).await, "{player} in {channel} is not known");
    app
}

/// Does a send pass while nobody can read when players last spoke? Without a send limit only the question for facts does.
async fn asks_nothing(url: &str, app: &TestApp, player: &str, channel: &str) -> bool {
    let mut holder = PgConnection::connect(url).await.unwrap();
    holder.execute("BEGIN").await.unwrap();
    holder.execute("LOCK TABLE pace IN ACCESS EXCLUSIVE MODE").await.unwrap();
    // A question that is held up is given up soon, and the send is refused; or it goes on until the request's time is over.
    let sent = send(app, player, channel).await;
    holder.execute("ROLLBACK").await.unwrap();
    sent.status == 200
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_spoken_before_is_not_asked_about_again() {
    let url = database::migrated().await;
    let app = app_on(&url, &[]).await;
    app.world("w", &["alice", "bob"]).await;
    assert!(!asks_nothing(&url, &app, "alice", "w").await, "nothing is known of her yet");
    let app = that_knows(&url, "alice", "w").await;
    assert!(!asks_nothing(&url, &app, "bob", "w").await, "nothing is known of him yet");
}

/// Each change is made by one instance while another knows that alice may speak.
#[tokio::test(flavor = "multi_thread")]
async fn what_another_instance_changed_holds_for_the_next_send() {
    let url = database::migrated().await;
    let here = app_on(&url, &[]).await;
    for place in ["muted", "left", "levels", "read-only", "slow", "gone"] {
        here.channel(
            json!({ "id": place, "kind": "world", "members": ["alice"], "settings": { "open": true } }),
        )
        .await;
    }
    let there = that_knows(&url, "alice", "muted").await;
    let mute =
        json!({ "player": "alice", "kind": "mute", "where": "channel:muted", "seconds": 60, "reason": "r" });
    let sanction = here.moderator("mod").post("/sanction/give", mute).await.data()["sanction"].clone();
    assert_eq!(send(&there, "alice", "muted").await.code(), "muted");
    here.moderator("mod").post("/sanction/lift", json!({ "id": sanction["id"], "reason": "r" })).await.data();
    send(&there, "alice", "muted").await.data();

    let there = that_knows(&url, "alice", "left").await;
    here.server()
        .post("/channel/members-remove", json!({ "channel": "left", "members": ["alice"] }))
        .await
        .data();
    assert_eq!(send(&there, "alice", "left").await.code(), "forbidden");

    for (place, change, code) in [
        ("levels", "min_level = 10", "forbidden"),
        ("read-only", "read_only = TRUE", "forbidden"),
        ("gone", "", "not_found"),
    ] {
        let there = that_knows(&url, "alice", place).await;
        if place == "gone" {
            database::execute(
                &url,
                "DELETE FROM member WHERE channel_key = (SELECT key FROM channel WHERE id = 'gone')",
            )
            .await;
            database::execute(&url, "DELETE FROM channel WHERE id = 'gone'").await;
        } else {
            let change = format!("UPDATE channel SET {change} WHERE id = '{place}'");
            database::execute(&url, &change).await;
        }
        assert_eq!(send(&there, "alice", place).await.code(), code, "{place}");
    }

    // Slow mode begins.
    let there = that_knows(&url, "alice", "slow").await;
    database::execute(&url, "UPDATE channel SET slow_mode_s = 60 WHERE id = 'slow'").await;
    send(&there, "alice", "slow").await.data();
    assert_eq!(send(&there, "alice", "slow").await.code(), "rate_limited");
}

/// Somebody spoke as staff where others may not, and speaks as a player once all may.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_known_refuses_nobody() {
    let url = database::migrated().await;
    let here = app_on(&url, &[]).await;
    let settings = json!({ "open": true, "read_only": true });
    here.channel(json!({ "id": "w", "kind": "world", "members": ["mod"], "settings": settings })).await;
    let there = that_knows(&url, "mod", "w").await;
    database::execute(&url, "UPDATE channel SET read_only = FALSE").await;
    there.player("mod").say("w", "hello").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_blocked_by_another_instance_is_not_heard_there() {
    let url = database::migrated().await;
    let here = app_on(&url, &[]).await;
    for (blocks, blocked) in [("alice", "bob"), ("bob", "alice")] {
        let direct = here.player("alice").post("/channel/direct", json!({ "player": "bob" })).await.data();
        let channel = direct["id"].as_str().unwrap();
        let there = that_knows(&url, "alice", channel).await;
        here.player(blocks).post("/player/block", json!({ "player": blocked })).await.data();
        assert_eq!(send(&there, "alice", channel).await.status, 403, "{blocks} blocks {blocked}");
        here.player(blocks).post("/player/unblock", json!({ "player": blocked })).await.data();
        send(&there, "alice", channel).await.data();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_nonce_that_another_instance_used_is_found() {
    let url = database::migrated().await;
    let here = app_on(&url, &[]).await;
    here.world("w", &["alice"]).await;
    let there = that_knows(&url, "alice", "w").await;
    let said = |text: &str| json!({ "channel": "w", "text": text, "nonce": "n" });
    let first = here.player("alice").post("/message/send", said("once")).await.data();
    let conflict = there.player("alice").post("/message/send", said("otherwise")).await;
    assert_eq!(conflict.code(), "conflict");
    let there = that_knows(&url, "alice", "w").await;
    let again = there.player("alice").post("/message/send", said("once")).await.data();
    assert_eq!((&again["replayed"], &again["message"]), (&Value::Bool(true), &first["message"]));
    let texts = here.player("alice").history("w").await;
    assert_eq!(texts.iter().filter(|message| message["text"] == "once").count(), 1);
}

/// Sends go to three instances in turn; each knows the player's pace as it was when it stored their last one.
#[tokio::test(flavor = "multi_thread")]
async fn a_limit_holds_over_instances_that_are_used_in_turn() {
    let instances = three_with_limit("7/60s").await;
    instances[0].world("w", &["alice"]).await;
    let mut stored = 0;
    for instance in instances.iter().cycle().take(15) {
        let reply = send(instance, "alice", "w").await;
        assert!(matches!(reply.status.as_u16(), 200 | 429), "{}", reply.body);
        stored += usize::from(reply.status == 200);
    }
    assert_eq!(stored, 7);
}

/// Staff speaks without being a member.
#[tokio::test(flavor = "multi_thread")]
async fn who_joins_through_another_instance_has_read_what_they_say() {
    let url = database::migrated().await;
    let here = app_on(&url, &[]).await;
    here.world("w", &["alice"]).await;
    let there = that_knows(&url, "mod", "w").await;
    here.moderator("mod").post("/channel/join", json!({ "channel": "w" })).await.data();
    send(&there, "mod", "w").await.data();
    let inbox = here.moderator("mod").get("/channel/inbox").await.data();
    assert_eq!(inbox["channels"][0]["unread"], 0, "{inbox}");
}

/// Players speak all the while through one instance. Once another has said that they are muted, no send that begins
/// afterwards is stored.
#[tokio::test(flavor = "multi_thread")]
async fn no_send_that_begins_after_a_mute_is_stored() {
    let url = database::migrated().await;
    let (here, there) = (app_on(&url, &[]).await, Arc::new(app_on(&url, &[]).await));
    let names: Vec<String> = (0..8).map(|n| format!("p{n}")).collect();
    here.world("w", &names.iter().map(String::as_str).collect::<Vec<_>>()).await;
    for name in &names {
        let muted = Arc::new(AtomicBool::new(false));
        let speakers: Vec<_> = names
            .iter()
            .map(|speaker| {
                let (there, speaker, muted) = (Arc::clone(&there), speaker.clone(), Arc::clone(&muted));
                let is_muted = speaker == *name;
                tokio::spawn(async move {
                    let mut refused = 0;
                    while refused < 5 {
                        let after = muted.load(Ordering::SeqCst);
                        let reply = send(&there, &speaker, "w").await;
                        assert!(!(after && is_muted && reply.status == 200), "stored after the mute");
                        refused += usize::from(after);
                    }
                })
            })
            .collect();
        let mute =
            json!({ "player": name, "kind": "mute", "where": "everywhere", "seconds": 600, "reason": "r" });
        here.moderator("mod").post("/sanction/give", mute).await.data();
        muted.store(true, Ordering::SeqCst);
        for speaker in speakers {
            speaker.await.unwrap();
        }
    }
}

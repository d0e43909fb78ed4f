//! Players' questions to the support: the queue, whose turn it is, who has each, and what the game's server hears.

use std::fs;

use serde_json::{Value, json};

use crate::help::TestApp;
use crate::help::process::{Process, eventually, server_token};
use crate::help::receiver::{Receiver, WEBHOOK_SECRET};
use crate::help::socket_client::say;

async fn open(app: &TestApp, player: &str, text: &str) -> Value {
    let input =
        json!({ "topic": "payment", "text": text, "context": { "version": "1.2", "device": "phone" } });
    app.player(player).post("/ticket/open", input).await.data()["ticket"].clone()
}

async fn queue(app: &TestApp, state: &str) -> Vec<String> {
    let page = app.moderator("mod").get(&format!("/ticket/queue?state={state}")).await.data();
    page["tickets"]
        .as_array()
        .unwrap()
        .iter()
        .map(|ticket| ticket["id"].as_str().unwrap().to_owned())
        .collect()
}

async fn mine(app: &TestApp, player: &str) -> Value {
    app.player(player).get("/ticket/mine").await.data()["tickets"].clone()
}

#[tokio::test]
async fn a_question_is_asked_claimed_answered_closed_and_asked_again() {
    let app = TestApp::new().await;
    let ticket = open(&app, "alice", "my gems are gone").await;
    assert_eq!(
        (&ticket["state"], &ticket["claimed_by"], &ticket["topic"]),
        (&json!("open"), &Value::Null, &json!("payment"))
    );
    assert_eq!((&ticket["player"], &ticket["context"]["device"]), (&json!("alice"), &json!("phone")));
    app.run_tasks().await;
    let id = ticket["id"].clone();
    let channel = ticket["channel"].as_str().unwrap();
    assert_eq!(queue(&app, "open").await, [id.as_str().unwrap()]);

    let (ann, ben) = (app.moderator("ann"), app.moderator("ben"));
    for _ in 0..2 {
        let claimed = ann.post("/ticket/claim", json!({ "id": id })).await.data()["ticket"].clone();
        assert_eq!(claimed["claimed_by"], "ann");
    }
    assert_eq!(ben.post("/ticket/claim", json!({ "id": id })).await.code(), "conflict");
    assert_eq!(ben.post("/ticket/reply", json!({ "id": id, "text": "hi" })).await.code(), "conflict");
    let answer = json!({ "id": id, "text": "they are back", "nonce": "once" });
    for _ in 0..2 {
        let replied = ann.post("/ticket/reply", answer.clone()).await.data()["ticket"].clone();
        assert_eq!(replied["state"], "waiting");
        assert!(replied["first_reply_at"].is_i64());
    }
    app.run_tasks().await;
    assert_eq!((queue(&app, "open").await.len(), queue(&app, "waiting").await.len()), (0, 1));
    let texts: Vec<Value> =
        app.player("alice").history(channel).await.iter().map(|entry| entry["text"].clone()).collect();
    assert_eq!(texts, ["my gems are gone", "they are back"]);

    app.player("alice").say(channel, "thank you").await;
    app.run_tasks().await;
    assert_eq!(queue(&app, "open").await.len(), 1, "the player has spoken");
    let closed =
        ann.post("/ticket/close", json!({ "id": id, "text": "welcome" })).await.data()["ticket"].clone();
    assert_eq!(closed["state"], "closed");
    app.run_tasks().await;
    assert_eq!(mine(&app, "alice").await[0]["state"], "closed", "a last word opens it no more");
    assert_eq!(ann.post("/ticket/claim", json!({ "id": id })).await.code(), "conflict");
    app.player("alice").say(channel, "gone again").await;
    app.run_tasks().await;
    let again = &mine(&app, "alice").await[0];
    assert_eq!((&again["state"], &again["closed_at"]), (&json!("open"), &Value::Null));
    assert_eq!(app.player("bob").post("/ticket/close", json!({ "id": id })).await.code(), "not_found");
    assert_eq!(
        app.player("alice").post("/ticket/close", json!({ "id": id })).await.data()["ticket"]["state"],
        "closed"
    );
}

#[tokio::test]
async fn who_waits_longest_is_first_and_a_claim_ends_after_half_an_hour() {
    let app = TestApp::new().await;
    let mut ids = Vec::new();
    for player in ["alice", "bob", "carol"] {
        ids.push(open(&app, player, "help").await["id"].as_str().unwrap().to_owned());
        app.clock.advance(60_000);
    }
    app.run_tasks().await;
    assert_eq!(queue(&app, "open").await, ids);
    let page = app.moderator("mod").get("/ticket/queue?limit=2").await.data();
    assert_eq!((&page["more"], &page["waits"]["open"]), (&json!(true), &json!(3)));
    assert!(page["waits"]["longest_ms"].as_i64().unwrap() >= 180_000);
    let rest = app.moderator("mod").get(&format!("/ticket/queue?limit=2&after={}", ids[1])).await.data();
    assert_eq!((&rest["tickets"][0]["id"], &rest["more"]), (&json!(ids[2]), &json!(false)));
    app.moderator("ann").post("/ticket/claim", json!({ "id": ids[0] })).await.data();
    app.clock.advance(31 * 60_000);
    let claimed = app.moderator("ben").post("/ticket/claim", json!({ "id": ids[0] })).await.data();
    assert_eq!(claimed["ticket"]["claimed_by"], "ben");
}

#[tokio::test]
async fn a_ticket_is_opened_once_and_not_without_end_and_by_who_is_banned() {
    let app = TestApp::new().await;
    let ban = json!({ "player": "alice", "kind": "ban", "where": "everywhere", "reason": "r" });
    app.moderator("mod").post("/sanction/give", ban).await.data();
    let alice = app.player("alice");
    let input = json!({ "topic": "ban", "text": "why?", "nonce": "once" });
    let first = alice.post("/ticket/open", input.clone()).await.data();
    assert_eq!(alice.post("/ticket/open", input).await.data()["ticket"]["id"], first["ticket"]["id"]);
    for n in 1..10 {
        open(&app, "alice", &format!("question {n}")).await;
    }
    let more = json!({ "topic": "t", "text": "more" });
    assert_eq!(alice.post("/ticket/open", more.clone()).await.code(), "rate_limited");
    app.clock.advance(3_700_000);
    assert_eq!(alice.post("/ticket/open", more.clone()).await.code(), "conflict", "ten are open");
    app.run_tasks().await;
    assert_eq!(queue(&app, "open").await.len(), 10);
    for wrong in [
        json!({}),
        json!({ "topic": "", "text": "x" }),
        json!({ "topic": "t", "text": "" }),
        json!({ "topic": "t", "text": "x", "context": [] }),
    ] {
        assert_eq!(app.player("bob").post("/ticket/open", wrong).await.code(), "invalid_input");
    }
    for path in ["/ticket/claim", "/ticket/close"] {
        assert_eq!(app.moderator("mod").post(path, json!({ "id": "nothing" })).await.code(), "not_found");
    }
    assert_eq!(app.moderator("mod").get("/ticket/queue?after=nothing").await.code(), "not_found");
}

/// A word that the list rejects opens no ticket.
#[tokio::test]
async fn what_the_filter_refuses_is_not_in_the_queue() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("hard.txt"), "@action reject\nunspeakable\n").unwrap();
    let app = TestApp::with(&[("GUILDHALL_WORDLISTS", folder.path().to_str().unwrap())]).await;
    let input = json!({ "topic": "t", "text": "unspeakable" });
    assert_eq!(app.player("alice").post("/ticket/open", input).await.code(), "rejected");
    app.run_tasks().await;
    assert_eq!(queue(&app, "open").await.len(), 0);
}

#[tokio::test]
async fn the_games_server_hears_of_what_happens_to_a_ticket() {
    let receiver = Receiver::start().await;
    let url = receiver.url();
    let app =
        TestApp::with(&[("GUILDHALL_WEBHOOK_URL", &url), ("GUILDHALL_WEBHOOK_SECRET", WEBHOOK_SECRET)]).await;
    let ticket = open(&app, "alice", "help").await;
    app.run_tasks().await;
    let id = &ticket["id"];
    app.server().post("/ticket/reply", json!({ "id": id, "text": "from our own desk" })).await.data();
    app.run_tasks().await;
    app.server().post("/ticket/close", json!({ "id": id })).await.data();
    app.run_tasks().await;
    let events = receiver.events.lock().unwrap();
    let mut kinds: Vec<String> = Vec::new();
    for (_, body) in events.iter() {
        let event: Value = serde_json::from_str(body).unwrap();
        let kind = event["type"].as_str().unwrap();
        if kind.starts_with("ticket.") {
            assert_eq!(event["data"]["ticket"]["id"], *id);
            kinds.push(kind.to_owned());
        }
    }
    kinds.sort();
    assert_eq!(kinds, ["ticket.closed", "ticket.message", "ticket.opened", "ticket.replied"]);
}

/// Whoever asked dies between the message and the ticket: what was said is in the queue all the same.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_said_to_the_support_is_in_the_queue_though_the_process_was_killed() {
    let folder = tempfile::tempdir().unwrap();
    let process = Process::start(&folder.path().join("data"), &[]);
    let mut connection = process.connect().await.unwrap();
    let channel =
        json!({ "id": "support:left-alone", "kind": "support", "name": "payment", "members": ["alice"] });
    assert_eq!(
        connection.call(&server_token(), "/channel/create", Some(&channel)).await.unwrap().status,
        200
    );
    say(&process, "alice", "support:left-alone", "my gems").await;
    let ticket = eventually("the ticket is in the queue", async || {
        let answer = connection.call(&server_token(), "/ticket/queue", None).await.ok()?;
        Some(answer.body["data"]["tickets"][0].clone()).filter(Value::is_object)
    })
    .await;
    assert_eq!(
        (&ticket["id"], &ticket["player"], &ticket["topic"]),
        (&json!("left-alone"), &json!("alice"), &json!("payment"))
    );
}

//! Taking back everything that a player said, and what moderators know of a player.

use futures_util::{StreamExt, stream};
use serde_json::{Value, json};

use crate::help::TestApp;
use crate::help::process::{Process, eventually, server_token};
use crate::help::socket_client::{Socket, call, follow, make, say};

async fn purge(app: &TestApp, input: Value) -> String {
    app.moderator("mod").post("/player/purge", input).await.data()["task"].as_str().unwrap().to_owned()
}

async fn task(app: &TestApp, id: &str) -> Value {
    app.moderator("mod").get(&format!("/task/show?id={id}")).await.data()
}

#[tokio::test]
async fn a_purge_empties_all_that_a_player_said_and_tells_each_channel_once() {
    let app = TestApp::new().await;
    for channel in ["v", "w", "x"] {
        app.world(channel, &["alice", "bob"]).await;
    }
    for n in 0..5 {
        app.player("bob").say("v", &format!("word {n}")).await;
    }
    app.player("alice").say("v", "hello").await;
    app.player("bob").say("w", "secret").await;
    app.player("alice").say("x", "quiet").await;
    app.player("bob").post("/message/recall", json!({ "channel": "v", "seq": 2 })).await.data();
    let input = json!({ "player": "bob", "since": 0, "reason": "spam", "nonce": "p1" });
    let id = purge(&app, input.clone()).await;
    assert_eq!(purge(&app, input).await, id, "once");
    let other = json!({ "player": "alice", "since": 0, "reason": "spam", "nonce": "p1" });
    assert_eq!(app.moderator("mod").post("/player/purge", other).await.code(), "conflict");
    assert_eq!(task(&app, &id).await["state"], "ready");
    app.run_tasks().await;
    let shown = task(&app, &id).await;
    assert_eq!((&shown["state"], &shown["task"]), (&json!("done"), &json!("purge.v1")));
    assert_eq!(shown["progress"], json!({ "done": true, "channels": 2, "messages": 5 }));
    let history = app.player("alice").history("v").await;
    assert!(
        history[..5].iter().all(|entry| entry["kind"] == "recalled" && entry["text"] == ""),
        "{history:?}"
    );
    assert_eq!(history[5]["text"], "hello");
    let entry = &history[7];
    assert_eq!(
        (&entry["kind"], &entry["payload"]),
        (&json!("purge"), &json!({ "player": "bob", "since": 0 }))
    );
    assert_eq!((&entry["ref"], &entry["sender"]["id"]), (&Value::Null, &json!("mod")));
    assert_eq!(app.player("alice").history("w").await.len(), 2);
    assert_eq!(app.player("alice").history("x").await.len(), 1, "nothing was said there");
    // What was written stays for moderators, and what is said now is said.
    let original = json!({ "channel": "w", "seq": 1, "reason": "a look" });
    assert_eq!(app.moderator("mod").post("/message/originals", original).await.data()["text"], "secret");
    app.player("bob").say("w", "sorry").await;
    assert_eq!(app.player("alice").history("w").await[2]["text"], "sorry");
    let audit = app.moderator("mod").get("/audit/list?action=player.purge").await.data();
    assert_eq!(
        (audit["entries"].as_array().unwrap().len(), &audit["entries"][0]["text"]),
        (1, &json!("spam"))
    );
}

#[tokio::test]
async fn a_purge_leaves_what_was_said_before_its_time() {
    let app = TestApp::new().await;
    app.world("w", &["bob"]).await;
    app.player("bob").say("w", "long ago").await;
    tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    let since = app.player("bob").say("w", "just now").await["sent_at"].clone();
    purge(&app, json!({ "player": "bob", "since": since, "reason": "r" })).await;
    app.run_tasks().await;
    let history = app.player("bob").history("w").await;
    assert_eq!((&history[0]["text"], &history[1]["kind"]), (&json!("long ago"), &json!("recalled")));
}

/// Others go on sending meanwhile, the worker dies in the middle, and still each is emptied and told once.
#[tokio::test(flavor = "multi_thread")]
async fn a_purge_that_is_killed_in_the_middle_is_done_by_the_next_worker() {
    const MESSAGES: usize = 600;
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let open = [("GUILDHALL_SEND_LIMIT", "off"), ("GUILDHALL_RATE", "off")];
    let process = Process::start(&data, &open);
    make(&process, "w", &["alice", "bob"]).await;
    let sends = (0..MESSAGES).map(|n| {
        let process = &process;
        async move { say(process, "bob", "w", &format!("word {n}")).await }
    });
    stream::iter(sends).buffer_unordered(64).collect::<Vec<()>>().await;
    let input = json!({ "player": "bob", "since": 0, "reason": "spam", "nonce": "once" });
    let id = call(&process, &server_token(), "/player/purge", input.clone()).await["task"].clone();
    let show = format!("/task/show?id={}", id.as_str().unwrap());
    eventually("it is on its way", async || {
        let mut connection = process.connect().await?;
        let shown = connection.call(&server_token(), &show, None).await.ok()?.body["data"].clone();
        (shown["progress"]["messages"].as_u64()? > 0).then_some(())
    })
    .await;
    drop(process);
    let process = Process::start(&data, &open);
    let mut alice = Socket::of(&process, "alice").await;
    assert_eq!(call(&process, &server_token(), "/player/purge", input).await["task"], id);
    let done = eventually("the purge is done", async || {
        say(&process, "alice", "w", "meanwhile").await;
        let mut connection = process.connect().await?;
        let shown = connection.call(&server_token(), &show, None).await.ok()?.body["data"].clone();
        (shown["state"] == "done").then_some(shown)
    })
    .await;
    assert_eq!(done["progress"]["messages"], MESSAGES, "each is counted once");
    alice.ask("/live/follow", follow("w", 0)).await;
    let (mut seen, mut purges, mut next) = (0, 0, 1);
    while purges == 0 {
        let pushed = alice.push().await;
        for entry in pushed["messages"].as_array().unwrap() {
            assert_eq!(entry["seq"], next);
            next += 1;
            purges += usize::from(entry["kind"] == "purge");
            if entry["sender"]["id"] == "bob" {
                assert_eq!((&entry["kind"], &entry["text"]), (&json!("recalled"), &json!("")));
                seen += 1;
            }
        }
    }
    assert_eq!((seen, purges), (MESSAGES, 1));
}

#[tokio::test]
async fn a_record_shows_what_is_known_of_a_player() {
    let app = TestApp::new().await;
    app.world("v", &["alice", "bob"]).await;
    app.world("w", &["alice", "bob"]).await;
    let direct =
        app.player("bob").post("/channel/direct", json!({ "player": "alice" })).await.data()["id"].clone();
    app.player("bob").say(direct.as_str().unwrap(), "between us").await;
    app.player("bob").say("v", "one").await;
    app.player("bob").say("w", "buy gold").await;
    app.player("alice").say("w", "not mine").await;
    let report = json!({ "channel": "v", "seq": 1, "category": "other" });
    app.player("alice").post("/report/message", report).await.data();
    app.player("bob")
        .post("/report/player", json!({ "player": "alice", "category": "cheating" }))
        .await
        .data();
    let warn = json!({ "player": "bob", "kind": "warn", "where": "everywhere", "reason": "careful" });
    app.moderator("mod").post("/sanction/give", warn).await.data();
    let record = app.moderator("mod").get("/player/record?player=bob").await.data();
    let texts: Vec<&str> = record["messages"]
        .as_array()
        .unwrap()
        .iter()
        .map(|message| message["text"].as_str().unwrap())
        .collect();
    assert_eq!(texts, ["********", "one"], "the newest first, and nothing between two players");
    assert_eq!(record["sanctions"][0]["reason"], "careful");
    assert_eq!(
        (&record["reports_about"][0]["reporter"], &record["reports_about"][0]["category"]),
        (&json!("alice"), &json!("other"))
    );
    assert_eq!(
        (&record["reports_by"][0]["player"], &record["reports_by"][0]["category"]),
        (&json!("alice"), &json!("cheating"))
    );
    assert_eq!(record["hits"], json!({ "masked": 1, "refused": 0 }));
}

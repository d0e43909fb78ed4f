//! What one player may have very many of: mentions, and others in the same circle. What is told of them has an end.

use serde_json::{Value, json};

use crate::help::TestApp;
use crate::store::life::on_the_database;

/// 1,500 mentions that alice has not read, behind the thousandth message.
async fn call_alice(app: &TestApp) {
    let statement = "WITH RECURSIVE s (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < 1500)
        INSERT INTO mention (player_id, channel_key, seq)
        SELECT 'alice', (SELECT key FROM channel WHERE id = 'w'), 1000 + n FROM s";
    on_the_database(app, statement).await;
}

#[tokio::test]
async fn unread_mentions_are_counted_up_to_a_thousand_and_forgotten_in_steps() {
    let app = TestApp::new().await;
    app.world("w", &["alice", "bob", "carl"]).await;
    for n in 0..3 {
        let said = json!({ "channel": "w", "text": format!("{n}"), "mentions": ["alice"] });
        app.player("bob").post("/message/send", said).await.data();
    }
    call_alice(&app).await;
    let unread = async || {
        let inbox = app.player("alice").get("/channel/inbox").await.data();
        inbox["channels"][0]["unread_mentions"].as_i64().unwrap()
    };
    assert_eq!(unread().await, 1_000);
    // A block takes those of one player back, among very many others.
    app.player("alice").post("/player/block", json!({ "player": "bob" })).await.data();
    assert_eq!(unread().await, 1_000);
    on_the_database(&app, "DELETE FROM mention WHERE seq > 1000").await;
    assert_eq!(unread().await, 0);
}

#[tokio::test]
async fn who_is_taken_out_and_comes_back_has_no_old_mentions_to_read() {
    let app = TestApp::new().await;
    app.world("w", &["alice", "bob"]).await;
    let said = json!({ "channel": "w", "text": "hello", "mentions": ["alice"] });
    app.player("bob").post("/message/send", said).await.data();
    // Numbers that were said, so that none is of a message to come.
    on_the_database(&app, "UPDATE channel SET last_seq = 5000 WHERE id = 'w'").await;
    call_alice(&app).await;
    let unread = async || {
        let inbox = app.player("alice").get("/channel/inbox").await.data();
        inbox["channels"][0]["unread_mentions"].as_i64()
    };
    assert_eq!(unread().await, Some(1_000));
    for path in ["/channel/members-remove", "/channel/members-add"] {
        app.server().post(path, json!({ "channel": "w", "members": ["alice"] })).await.data();
    }
    assert_eq!(unread().await, Some(0));
}

/// However many reported it, a decision is one transaction of a few rows; they are told behind it.
#[tokio::test]
async fn a_case_that_very_many_reported_is_decided_at_once_and_all_are_told() {
    const REPORTERS: usize = 250;
    let app = TestApp::new().await;
    app.world("w", &["bob"]).await;
    app.player("carl").post("/report/player", json!({ "player": "bob", "category": "hate" })).await.data();
    let moderator = app.moderator("mod");
    let case = moderator.get("/case/queue").await.data()["cases"][0]["id"].as_str().unwrap().to_owned();
    let statement = format!(
        "WITH RECURSIVE s (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < {REPORTERS})
         INSERT INTO report (id, reporter, subject, player_id, category, at, case_id)
         SELECT 'r' || n, 'reporter-' || n, 'player bob', 'bob', 'hate', 1, '{case}' FROM s"
    );
    on_the_database(&app, &statement).await;
    let waiting = async || app.server().get("/task/status").await.data()["ready"].as_i64().unwrap();
    app.run_tasks().await;
    assert_eq!(waiting().await, 0);
    let decision = json!({ "id": case, "decision": "dismiss", "reason": "no rule was broken" });
    moderator.post("/case/decide", decision).await.data();
    assert_eq!(waiting().await, 1);
    app.run_tasks().await;
    for reporter in ["carl", "reporter-1", "reporter-125", "reporter-250"] {
        let inbox = app.player(reporter).get("/channel/inbox").await.data();
        assert_eq!(inbox["channels"][0]["last_message"]["payload"]["type"], "report_decided", "{reporter}");
        assert_eq!(inbox["channels"][0]["unread"], 1, "{reporter}");
    }
}

#[tokio::test]
async fn who_is_online_in_a_circle_of_thousands_is_counted() {
    let app = TestApp::new().await;
    app.server()
        .post("/channel/create", json!({ "id": "g", "kind": "guild", "members": ["alice"] }))
        .await
        .data();
    let online = async || app.player("alice").get("/channel/online?channel=g").await.data();
    assert_eq!(online().await, json!({ "online": 0, "players": [] }));
    let members: Vec<String> = (1..=1_000).map(|n| format!("player-{n}")).collect();
    app.server().post("/channel/members-add", json!({ "channel": "g", "members": members })).await.data();
    assert_eq!(online().await, json!({ "online": 0, "players": Value::Null }));
}

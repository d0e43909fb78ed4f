//! Clocks that are set forward and back while the program runs: nobody is locked out, no message is dated before the one
//! ahead of it, and no history is lost.

use serde_json::json;

use crate::help::TestApp;
use crate::help::database;

const HOUR: i64 = 3_600_000;
const DAY: i64 = 24 * HOUR;

#[tokio::test]
async fn a_clock_that_is_set_back_locks_nobody_out() {
    let app = TestApp::with(&[("GUILDHALL_SEND_LIMIT", "2/5s")]).await;
    app.channel(
        json!({ "id": "slow", "kind": "guild", "members": ["alice"], "settings": { "slow_mode_s": 60 } }),
    )
    .await;
    app.guild("guild", &["alice"]).await;
    let alice = app.player("alice");
    alice.say("slow", "one").await;
    alice.say("guild", "two").await;
    let send =
        async |channel: &str| alice.post("/message/send", json!({ "channel": channel, "text": "x" })).await;
    assert_eq!(
        (send("slow").await.status, send("guild").await.status),
        (429.try_into().unwrap(), 429.try_into().unwrap())
    );
    app.clock.step(-HOUR);
    if !database::on_postgres() {
        assert_eq!(send("guild").await.status, 200, "a time to come is no reason to wait");
        assert_eq!(send("slow").await.status, 200);
    }
    // PostgreSQL's clock was not set at all; here, the limits hold again from now on.
    for channel in ["guild", "slow"] {
        let reply = send(channel).await;
        assert_eq!(reply.code(), "rate_limited");
        let wait = reply.body["error"]["details"]["retry_after_s"].as_u64().unwrap();
        assert!(wait <= 60, "{wait} s");
    }
}

#[tokio::test]
async fn no_message_is_dated_before_the_one_ahead_of_it() {
    let app = TestApp::new().await;
    app.guild("guild", &["alice"]).await;
    let alice = app.player("alice");
    for step in [0, HOUR, -3 * HOUR, 0, 10, -DAY, 2 * DAY] {
        app.clock.step(step);
        let seq = alice.say("guild", "hello").await["seq"].clone();
        alice.post("/message/recall", json!({ "channel": "guild", "seq": seq })).await.data();
    }
    let history = alice.history("guild").await;
    let times: Vec<i64> = history.iter().map(|message| message["sent_at"].as_i64().unwrap()).collect();
    assert_eq!(times.len(), 14);
    assert!(times.is_sorted(), "{times:?}");
}

async fn first_seq(app: &TestApp) -> i64 {
    let page = app.player("alice").get("/message/list?channel=world").await.data();
    page["first_seq"].as_i64().unwrap()
}

async fn world_with_retention() -> TestApp {
    let app = TestApp::with(&[("GUILDHALL_RETENTION", "world=30d")]).await;
    app.world("world", &["alice"]).await;
    app.run_tasks().await;
    app.player("alice").say("world", "old").await;
    app
}

#[tokio::test]
async fn a_clock_that_is_set_forward_for_a_moment_deletes_nothing() {
    let app = world_with_retention().await;
    app.clock.step(40 * DAY);
    for _ in 0..3 {
        app.run_tasks().await;
        app.clock.advance(HOUR);
    }
    assert_eq!(first_seq(&app).await, 1);
    app.clock.step(-40 * DAY);
    app.clock.advance(HOUR);
    app.run_tasks().await;
    assert_eq!((first_seq(&app).await, app.player("alice").history("world").await.len()), (1, 1));
    for _ in 0..31 {
        app.clock.advance(DAY);
        app.run_tasks().await;
    }
    assert_eq!(first_seq(&app).await, 2, "what is old by time that passed goes");
}

/// A server that was off for long: a day's worth a run, or an operator's word.
#[tokio::test]
async fn retention_catches_up_by_a_day_a_run_or_at_an_operators_word() {
    let app = world_with_retention().await;
    app.clock.advance(40 * DAY);
    app.run_tasks().await;
    assert_eq!(first_seq(&app).await, 1, "a day beyond the last run, that message is not old enough");
    let submit = json!({ "task": "retention.v1", "payload": { "catch_up": true } });
    app.server().post("/task/submit", submit).await.data();
    app.run_tasks().await;
    assert_eq!(first_seq(&app).await, 2);
}

/// Two instances whose clocks are far apart hold a player to one limit, and to no more than it.
#[tokio::test]
async fn instances_with_clocks_apart_agree_on_limits() {
    // One file has one machine's clock: on PostgreSQL, whatever the suite runs on.
    let url = database::migrated().await;
    let instance = async || TestApp::with(&[("DATABASE_URL", &url), ("GUILDHALL_SEND_LIMIT", "2/5s")]).await;
    let (one, other) = (instance().await, instance().await);
    other.clock.step(-30_000);
    one.guild("guild", &["alice"]).await;
    one.player("alice").say("guild", "one").await;
    other.player("alice").say("guild", "two").await;
    let input = json!({ "channel": "guild", "text": "three" });
    for app in [&one, &other] {
        let reply = app.player("alice").post("/message/send", input.clone()).await;
        assert_eq!(reply.code(), "rate_limited");
        assert!(reply.body["error"]["details"]["retry_after_s"].as_u64().unwrap() <= 5);
    }
    one.clock.advance(5_100);
    other.clock.advance(5_100);
    other.player("alice").say("guild", "four").await;
    let times: Vec<i64> =
        one.player("alice").history("guild").await.iter().map(|m| m["sent_at"].as_i64().unwrap()).collect();
    assert!(times.len() == 3 && times.is_sorted(), "{times:?}");
}

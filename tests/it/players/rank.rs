//! Reports of ranks: gathered, the newest or best wins, told in order, and by whom.

use std::sync::atomic::Ordering;

use serde_json::{Value, json};

use crate::help::TestApp;
use crate::help::database;
use crate::help::receiver::Receiver;

async fn app(receiver: &Receiver, more: &[(&str, &str)]) -> TestApp {
    let url = receiver.url();
    TestApp::with(&[&[("GUILDHALL_RANK_URL", url.as_str())], more].concat()).await
}

async fn report(app: &TestApp, player: &str, value: i64, keep: &str) {
    let input = json!({ "board": "season 1", "player": player, "value": value, "keep": keep });
    assert_eq!(app.server().post("/rank/report", input).await.data(), json!({}));
}

/// Who was told to have which value, in the order in which it was told.
fn told(receiver: &Receiver) -> Vec<(String, i64)> {
    let events = receiver.events.lock().unwrap();
    let told = |(_, body): &(http::HeaderMap, String)| {
        let event: Value = serde_json::from_str(body).unwrap();
        assert_eq!((&event["type"], &event["data"]["board"]), (&json!("rank.reported"), &json!("season 1")));
        (event["data"]["player"].as_str().unwrap().to_owned(), event["data"]["value"].as_i64().unwrap())
    };
    events.iter().map(told).collect()
}

#[tokio::test]
async fn what_is_reported_within_a_minute_is_told_once_and_the_best_or_newest_of_it() {
    let receiver = Receiver::start().await;
    let app = app(&receiver, &[]).await;
    for value in [5, 9, 7] {
        report(&app, "high", value, "highest").await;
        report(&app, "low", value, "lowest").await;
        report(&app, "new", value, "newest").await;
    }
    app.run_tasks().await;
    assert_eq!(told(&receiver), [], "they are gathered");
    app.clock.advance(60_000);
    app.run_tasks().await;
    let mut all = told(&receiver);
    all.sort();
    assert_eq!(all, [("high".to_owned(), 9), ("low".to_owned(), 5), ("new".to_owned(), 7)]);

    report(&app, "high", 8, "highest").await;
    report(&app, "low", 4, "lowest").await;
    app.clock.advance(60_000);
    app.run_tasks().await;
    assert_eq!(told(&receiver)[3..], [("low".to_owned(), 4)], "8 is not better than 9");
}

/// Whatever fails in between, what comes last is the newest, and nothing older comes behind something newer.
#[tokio::test]
async fn no_older_value_comes_behind_a_newer_one_though_the_receiver_fails_now_and_then() {
    let receiver = Receiver::start().await;
    receiver.refuse_every.store(2, Ordering::SeqCst);
    let app = app(&receiver, &[("GUILDHALL_RANK_GATHER", "0s"), ("GUILDHALL_RANK_RATE", "1000")]).await;
    for value in 1..=10 {
        report(&app, "p", value, "newest").await;
        app.run_tasks().await;
    }
    for _ in 0..20 {
        app.clock.advance(600_000);
        app.run_tasks().await;
    }
    let values: Vec<i64> = told(&receiver).into_iter().map(|(_, value)| value).collect();
    assert!(values.is_sorted() && values.last() == Some(&10), "{values:?}");
}

#[tokio::test]
async fn players_report_their_own_where_a_setting_lets_them() {
    let receiver = Receiver::start().await;
    let own = json!({ "board": "season 1", "value": 3, "keep": "highest" });
    let of_bob = json!({ "board": "season 1", "value": 3, "keep": "highest", "player": "bob" });
    let strict = app(&receiver, &[]).await;
    assert_eq!(strict.player("alice").post("/rank/report", own.clone()).await.code(), "forbidden");
    assert_eq!(strict.server().post("/rank/report", own.clone()).await.code(), "invalid_input", "whose?");
    let open = app(&receiver, &[("GUILDHALL_RANK_FROM", "players")]).await;
    open.player("alice").post("/rank/report", own.clone()).await.data();
    let others = open.player("alice").post("/rank/report", of_bob).await;
    assert_eq!(others.body["error"]["details"]["reason"], "not_yours");
    let nowhere = TestApp::new().await;
    let off = nowhere.server().post("/rank/report", own).await;
    assert_eq!(off.body["error"]["details"]["reason"], "off");
}

#[tokio::test]
async fn what_is_no_value_is_refused() {
    let receiver = Receiver::start().await;
    let app = app(&receiver, &[]).await;
    for (field, value) in [
        ("value", json!(1.5)),
        ("value", json!("3")),
        ("value", json!(9_007_199_254_740_992_i64)),
        ("keep", json!("best")),
        ("board", json!("")),
        ("player", json!("no player")),
        ("other", json!(1)),
    ] {
        let mut input = json!({ "board": "b", "player": "p", "value": 1, "keep": "newest" });
        input[field] = value;
        assert_eq!(app.server().post("/rank/report", input.clone()).await.code(), "invalid_input", "{input}");
    }
}

#[tokio::test]
async fn a_player_has_a_hundred_boards_and_what_nobody_betters_in_a_year_is_forgotten() {
    let receiver = Receiver::start().await;
    let app = app(&receiver, &[]).await;
    let server = app.server();
    let report = async |board: usize| {
        let input = json!({ "board": format!("board {board}"), "player": "p", "value": 1, "keep": "newest" });
        server.post("/rank/report", input).await
    };
    for board in 0..100 {
        report(board).await.data();
    }
    assert_eq!(report(100).await.code(), "conflict");
    report(99).await.data();
    app.clock.advance(367 * 86_400_000);
    let retention = json!({ "task": "retention.v1", "payload": { "catch_up": true } });
    server.post("/task/submit", retention).await.data();
    app.run_tasks().await;
    let left = database::everything(&app.app.config).await;
    assert!(left.iter().all(|(table, _)| table != "rank_report"));
}

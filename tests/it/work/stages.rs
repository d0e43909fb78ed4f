//! Testers at the newest code, players at the published one, one database: what one side enqueues the other never runs.

use std::sync::Arc;

use guildhall::app::App;
use guildhall::base::clock::Clock;
use guildhall::chat::states::TaskState;
use guildhall::config::Config;
use guildhall::service::TASKS;
use guildhall::store::{handover, outbox};
use guildhall::work::worker::{WorkTime, Worker};

use serde_json::json;

use crate::help::TestApp;

/// A second application on the same database, as this version.
pub async fn beside(app: &TestApp, version: &str) -> Arc<App> {
    let data = app.app.config.data.display().to_string();
    let url = app.app.config.database_url.as_ref().map(|url| url.expose().to_owned());
    let lookup = |name: &str| match name {
        "GUILDHALL_DATA" => Some(data.clone()),
        "DATABASE_URL" => url.clone(),
        "GUILDHALL_TOKEN_SECRET" => Some(crate::help::SECRET.to_owned()),
        "GUILDHALL_VERSION" => Some(version.to_owned()),
        _ => None,
    };
    App::start(Config::from_lookup(lookup).unwrap(), Clock::default()).await.unwrap()
}

async fn enqueue(app: &App, id: &str) {
    outbox::enqueue_once(&app.db, id, "retention.v1", "one key", "{}").await.unwrap();
}

async fn state(app: &App, id: &str) -> String {
    outbox::find(&app.db, id).await.unwrap().state.as_str().to_owned()
}

#[tokio::test]
async fn each_stage_runs_its_own_tasks() {
    let live = TestApp::new().await;
    let latest = beside(&live, "$LATEST").await;
    let seventh = beside(&live, "7").await;
    enqueue(&latest, "tested").await;
    enqueue(&seventh, "played").await;
    assert_eq!(outbox::status(&live.app.db).await.unwrap().depth(), 1, "each counts its own");
    assert_eq!(outbox::status(&latest.db).await.unwrap().depth(), 1);
    let run = async |app: &Arc<App>| {
        Worker::new(Arc::clone(app), TASKS).run_due(WorkTime::unlimited()).await.unwrap();
    };
    run(&live.app).await;
    assert_eq!(
        (state(&latest, "tested").await, state(&latest, "played").await),
        ("ready".into(), "done".into())
    );
    run(&latest).await;
    assert_eq!(state(&latest, "tested").await, "done");
    assert!(
        outbox::list(&latest.db, TaskState::Done, 10).await.unwrap().iter().all(|task| task.id == "tested")
    );
}

#[tokio::test]
async fn each_stage_hands_over_and_takes_its_own_tasks() {
    let live = TestApp::new().await;
    let latest = beside(&live, "$LATEST").await;
    enqueue(&latest, "tested").await;
    assert!(handover::take_unpublished(&live.app.db, 10).await.unwrap().envelopes.is_empty());
    let handing = handover::take_unpublished(&latest.db, 10).await.unwrap();
    let envelopes = &handing.envelopes;
    assert_eq!(envelopes.len(), 1);
    handover::note_published(&latest.db, &handing, &[true]).await.unwrap();
    let elsewhere = handover::claim(&live.app.db, &envelopes[0], 1_000).await.unwrap();
    assert!(elsewhere.is_none(), "on the wrong topic");
    assert_eq!(handover::hand_over_again(&live.app.db).await.unwrap(), 0);
    assert!(handover::claim(&latest.db, &envelopes[0], 1_000).await.unwrap().is_some());
}

#[tokio::test]
async fn the_newest_code_has_a_topic_of_its_own_and_leaves_the_sweep_to_the_others() {
    let brokers = ("KAFKA_BROKERS", "127.0.0.1:9");
    let topic = async |version: &str| {
        let app =
            TestApp::with(&[brokers, ("GUILDHALL_VERSION", version), ("GUILDHALL_TOPIC", "game.tasks")])
                .await;
        Worker::new(Arc::clone(&app.app), TASKS).enqueue_due().await.unwrap();
        let swept = outbox::status(&app.app.db).await.unwrap().depth();
        (app.app.queue.as_ref().unwrap().topic().to_owned(), swept)
    };
    assert_eq!(topic("$LATEST").await, ("game.tasks.latest".to_owned(), 0));
    assert_eq!(topic("7").await, ("game.tasks".to_owned(), 1));
}

/// What a send causes belongs to the version that took it.
#[tokio::test]
async fn tasks_that_follow_a_message_are_their_versions() {
    let webhook = [
        ("GUILDHALL_WEBHOOK_URL", "http://127.0.0.1:9/"),
        ("GUILDHALL_WEBHOOK_SECRET", crate::help::receiver::WEBHOOK_SECRET),
        ("GUILDHALL_VERSION", "$LATEST"),
    ];
    let latest = TestApp::with(&webhook).await;
    latest.world("world", &["alice"]).await;
    assert!(!latest.app.db.has_enqueued());
    let sent =
        latest.player("alice").post("/message/send", json!({ "channel": "world", "text": "hello" })).await;
    let request_id = sent.body["request_id"].clone();
    sent.data();
    assert!(latest.app.db.has_enqueued(), "a function asks the broker only where there is something for it");
    assert!(!latest.app.db.has_enqueued());
    let live = beside(&latest, "7").await;
    assert_eq!(outbox::status(&live.db).await.unwrap().depth(), 0);
    let envelopes = handover::take_unpublished(&latest.app.db, 10).await.unwrap().envelopes;
    assert_eq!(envelopes[0].task, "webhook.v1");
    assert_eq!(json!(envelopes[0].trace), request_id, "one id finds the request and what it caused");
    let submitted =
        latest.server().post("/task/submit", json!({ "task": "retention.v1", "payload": {} })).await;
    let envelopes = handover::take_unpublished(&latest.app.db, 10).await.unwrap().envelopes;
    assert_eq!(json!(envelopes[0].trace), submitted.body["request_id"]);
}

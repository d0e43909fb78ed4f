//! Turns: whose is next where some have waited for very long, and what a long wait must not be taken for.

use guildhall::store::handover::{hand_over_again, note_published, take_unpublished};
use guildhall::store::outbox::{self, End, TaskFilter, enqueue_once, find};

use crate::help::TestApp;
use crate::work::outbox::lease;

const DAY: i64 = 86_400_000;

/// A week and a day of one key's being set aside is nobody's fault: a process that can't run its tasks ends none of them.
#[tokio::test]
async fn what_was_set_aside_for_long_is_not_given_up_when_it_is_taken_up_again() {
    let app = TestApp::new().await;
    let db = &app.app.db;
    for n in 0..3 {
        enqueue_once(db, &format!("w{n}"), "webhook.v1", "world", "{}").await.unwrap();
    }
    assert!(lease(db, &["retention.v1"]).await.is_empty(), "they are sorted in");
    outbox::park(db, "world", "its receiver is mended").await.unwrap();
    app.clock.advance(8 * DAY);
    let now = db.now().await.unwrap();
    assert!(outbox::unpark(db, "world").await.unwrap());
    let expire =
        async |before| outbox::expire(db, &["retention.v1"], false, (before, "nobody")).await.unwrap();
    assert_eq!(expire(now - 7 * DAY).await, 0, "they could be run for a moment");
    assert_eq!(lease(db, &["webhook.v1"]).await[0].tasks.len(), 3);
}

/// Many that can be run, and that have waited for longer, hide none that can't.
#[tokio::test]
async fn what_nobody_runs_is_found_behind_whatever_waits_for_longer() {
    let app = TestApp::new().await;
    let db = &app.app.db;
    for n in 0..600 {
        enqueue_once(db, &format!("k{n}"), "retention.v1", &format!("k{n}"), "{}").await.unwrap();
    }
    enqueue_once(db, "gone", "gone.v1", "gone", "{}").await.unwrap();
    while lease(db, &["no.v1"]).await.is_empty() && outbox::left(db, &[], false, -1).await.unwrap().len() < 2
    {
    }
    app.clock.advance(8 * DAY);
    let before =
        db.now().await.unwrap() - if crate::help::database::on_postgres() { -1_000 } else { 7 * DAY };
    assert_eq!(outbox::expire(db, &["retention.v1"], false, (before, "nobody")).await.unwrap(), 1);
    assert_eq!(find(db, "gone").await.unwrap().state.as_str(), "dead");
}

/// A key with a long backlog has a turn, and then the others have theirs.
#[tokio::test]
async fn an_old_backlog_keeps_no_other_key_from_its_turn() {
    let app = TestApp::new().await;
    let db = &app.app.db;
    for n in 0..100 {
        enqueue_once(db, &format!("old{n}"), "webhook.v1", "old", "{}").await.unwrap();
    }
    app.clock.advance(1_000);
    let first = lease(db, &["webhook.v1"]).await;
    for n in 0..8 {
        enqueue_once(db, &format!("new{n}"), "webhook.v1", &format!("new{n}"), "{}").await.unwrap();
    }
    app.clock.advance(1_000);
    let lane = &first[0];
    for (nth, task) in lane.tasks.iter().enumerate() {
        let last = nth + 1 == lane.tasks.len();
        assert!(outbox::finish(db, lane, (&task.envelope, last), End::Done, None).await.unwrap());
    }
    let next = lease(db, &["webhook.v1"]).await;
    assert!(next.iter().all(|lane| lane.key.starts_with("new")), "{next:?}");
    assert_eq!(next.len(), 8);
    assert_eq!(lease(db, &["webhook.v1"]).await[0].key, "old");
}

/// Whoever was handing it over when it was set aside may be gone: it is not waited for.
#[tokio::test]
async fn what_was_handed_over_when_it_was_set_aside_goes_at_once_when_it_is_taken_up_again() {
    let app = TestApp::new().await;
    let db = &app.app.db;
    enqueue_once(db, "t", "webhook.v1", "world", "{}").await.unwrap();
    assert_eq!(take_unpublished(db, 10).await.unwrap().envelopes.len(), 1);
    outbox::park(db, "world", "why not").await.unwrap();
    assert!(outbox::unpark(db, "world").await.unwrap());
    let again = take_unpublished(db, 10).await.unwrap();
    assert_eq!(again.envelopes.len(), 1);
    note_published(db, &again, &[true]).await.unwrap();
    assert!(take_unpublished(db, 10).await.unwrap().envelopes.is_empty());
    assert_eq!(hand_over_again(db).await.unwrap(), 1);
    assert_eq!(take_unpublished(db, 10).await.unwrap().envelopes.len(), 1);
}

/// What a worker took from a relay before the relay could say what the broker has: the rest is handed over in its turn.
#[tokio::test]
async fn what_the_broker_did_not_take_behind_one_that_runs_is_not_forgotten() {
    let app = TestApp::new().await;
    let db = &app.app.db;
    for n in 0..2 {
        enqueue_once(db, &format!("t{n}"), "webhook.v1", "world", "{}").await.unwrap();
    }
    let handing = take_unpublished(db, 10).await.unwrap();
    let claimed =
        guildhall::store::handover::claim(db, &handing.envelopes[0], 15_000).await.unwrap().unwrap();
    note_published(db, &handing, &[true, false]).await.unwrap();
    let task = &claimed.tasks[0].envelope;
    assert!(outbox::finish(db, &claimed, (task, true), End::Done, None).await.unwrap());
    let next = take_unpublished(db, 10).await.unwrap();
    assert_eq!(next.envelopes.len(), 1);
    assert_eq!(next.envelopes[0].id, "t1");
}

/// What dies again while thousands are made ready again is not taken a second time; a reason is a text, not a pattern.
#[tokio::test]
async fn making_ready_again_comes_to_an_end() {
    let app = TestApp::new().await;
    let db = &app.app.db;
    enqueue_once(db, "t", "webhook.v1", "world", "{}").await.unwrap();
    let drop = TaskFilter { kind: "webhook.v1", since: 0, until: i64::MAX, reason: "answered 404" };
    assert_eq!(outbox::drop_some(db, drop, 10).await.unwrap(), 1);
    app.clock.advance(10);
    tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    let until = db.now().await.unwrap();
    let which = TaskFilter { kind: "webhook.v1", since: 0, until, reason: "404" };
    assert_eq!(outbox::revive_some(db, TaskFilter { reason: "4_4", ..which }, 10).await.unwrap(), 0);
    assert_eq!(outbox::revive_some(db, which, 10).await.unwrap(), 1);
    assert_eq!(outbox::drop_some(db, drop, 10).await.unwrap(), 1, "it dies again");
    assert_eq!(outbox::revive_some(db, which, 10).await.unwrap(), 0);
}

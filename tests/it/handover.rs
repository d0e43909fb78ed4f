//! Tasks between the outbox and a broker, at the moments when a process dies: whose turn it is then.

use guildhall::outside::envelope::Envelope;
use guildhall::store::handover::{claim, note_published, take_unpublished};
use guildhall::store::outbox::{End, enqueue_once, find, finish};

use crate::support::TestApp;

const LEASE_MS: i64 = 10_000;

async fn one_task(app: &TestApp) {
    enqueue_once(&app.app.db, "t", "noting.v1", "k", "{}").await.unwrap();
}

async fn taken(app: &TestApp) -> Vec<Envelope> {
    take_unpublished(&app.app.db, 10).await.unwrap()
}

async fn state(app: &TestApp) -> (String, i64) {
    let task = find(&app.app.db, "t").await.unwrap();
    (task.state, task.attempt)
}

#[tokio::test]
async fn what_the_broker_did_not_take_is_handed_over_again() {
    let app = TestApp::new().await;
    one_task(&app).await;
    let envelopes = taken(&app).await;
    assert_eq!(envelopes.len(), 1);
    assert!(taken(&app).await.is_empty(), "another instance does not take it too");
    note_published(&app.app.db, &envelopes, &[false]).await.unwrap();
    let envelopes = taken(&app).await;
    assert_eq!(envelopes.len(), 1);
    note_published(&app.app.db, &envelopes, &[true]).await.unwrap();
    assert_eq!(state(&app).await, ("sent".to_owned(), 0));
    app.clock.advance(600_000);
    assert!(taken(&app).await.is_empty(), "the broker has it");
    app.clock.advance(3_600_000);
    assert_eq!(taken(&app).await.len(), 1, "but not for ever");
}

#[tokio::test]
async fn a_publisher_that_dies_leaves_its_tasks_to_the_next_but_not_those_that_run_already() {
    let app = TestApp::new().await;
    one_task(&app).await;
    let envelope = taken(&app).await.remove(0);
    app.clock.advance(31_000);
    assert_eq!(taken(&app).await.len(), 1, "it died before or after the broker had it: again");
    assert!(claim(&app.app.db, &envelope, 600_000).await.unwrap());
    app.clock.advance(31_000);
    assert!(taken(&app).await.is_empty(), "a worker has it, though its publisher never said so");
    note_published(&app.app.db, std::slice::from_ref(&envelope), &[false]).await.unwrap();
    assert!(taken(&app).await.is_empty(), "the publisher's late word changes nothing");
    assert!(!claim(&app.app.db, &envelope, LEASE_MS).await.unwrap(), "a second delivery has no effect");
    finish(&app.app.db, &envelope, End::Done, None).await.unwrap();
    assert!(!claim(&app.app.db, &envelope, LEASE_MS).await.unwrap(), "nor has a third, later");
}

#[tokio::test]
async fn a_worker_that_comes_too_late_has_no_say() {
    let app = TestApp::new().await;
    one_task(&app).await;
    let first = taken(&app).await.remove(0);
    assert!(claim(&app.app.db, &first, LEASE_MS).await.unwrap());
    app.clock.advance(LEASE_MS + 1);
    let second = taken(&app).await.remove(0);
    assert_eq!(second.attempt, 1, "a try whose worker died counts");
    assert!(!claim(&app.app.db, &first, LEASE_MS).await.unwrap(), "the first try is over");
    assert!(claim(&app.app.db, &second, LEASE_MS).await.unwrap());
    finish(&app.app.db, &first, End::Dead, Some("late")).await.unwrap();
    assert_eq!(state(&app).await, ("sent".to_owned(), 1), "the second worker is at it");
    finish(&app.app.db, &second, End::Done, None).await.unwrap();
    assert_eq!(state(&app).await, ("done".to_owned(), 2));
}

#[tokio::test]
async fn a_retry_waits_for_its_time_and_early_deliveries_of_it_are_none() {
    let app = TestApp::new().await;
    one_task(&app).await;
    let first = taken(&app).await.remove(0);
    assert!(claim(&app.app.db, &first, LEASE_MS).await.unwrap());
    finish(&app.app.db, &first, End::Again(app.clock.now() + 5_000), Some("not yet")).await.unwrap();
    assert!(!claim(&app.app.db, &first, LEASE_MS).await.unwrap(), "a delivery of the first try");
    assert!(taken(&app).await.is_empty());
    app.clock.advance(5_001);
    assert_eq!(taken(&app).await.remove(0).attempt, 1);
}

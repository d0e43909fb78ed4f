//! Tasks between the outbox and a broker, at the moments when a process dies: whose turn it is then.

use guildhall::outside::envelope::Envelope;
use guildhall::store::handover::{Handing, note_published, take_unpublished};
use guildhall::store::outbox::{End, Lane, LeaseRequest, enqueue_once, find};
use guildhall::store::{handover, outbox};

use crate::help::TestApp;
use crate::help::process::eventually;
use crate::store::migrations::change;

const LEASE_MS: i64 = 10_000;

async fn one_task(app: &TestApp) {
    enqueue_once(&app.app.db, "t", "noting.v1", "k", "{}").await.unwrap();
}

async fn handing(app: &TestApp) -> Handing {
    take_unpublished(&app.app.db, 10).await.unwrap()
}

async fn taken(app: &TestApp) -> Vec<Envelope> {
    handing(app).await.envelopes
}

async fn claim(app: &TestApp, envelope: &Envelope, lease_ms: i64) -> Option<Lane> {
    handover::claim(&app.app.db, envelope, lease_ms).await.unwrap()
}

async fn finish(app: &TestApp, lane: &Lane, end: End, reason: Option<&str>) -> bool {
    let envelope = &lane.tasks[0].envelope;
    outbox::finish(&app.app.db, lane, (envelope, true), end, reason).await.unwrap()
}

async fn state(app: &TestApp) -> (String, i64) {
    let task = find(&app.app.db, "t").await.unwrap();
    (task.state.as_str().to_owned(), task.attempt)
}

#[tokio::test]
async fn what_the_broker_did_not_take_is_handed_over_again() {
    let app = TestApp::new().await;
    one_task(&app).await;
    let first = handing(&app).await;
    assert_eq!(first.envelopes.len(), 1);
    assert!(taken(&app).await.is_empty(), "another instance does not take it too");
    note_published(&app.app.db, &first, &[false]).await.unwrap();
    let second = handing(&app).await;
    assert_eq!(second.envelopes.len(), 1);
    note_published(&app.app.db, &second, &[true]).await.unwrap();
    assert_eq!(state(&app).await, ("sent".to_owned(), 0));
    app.clock.advance(100_000);
    assert!(taken(&app).await.is_empty(), "the broker has it");
    app.clock.advance(30_000);
    assert_eq!(taken(&app).await.len(), 1, "but not for ever");
}

/// The process that stored it has a clock that is a little ahead of ours: the delivery comes before its time, and is given
/// back rather than forgotten for an hour.
#[tokio::test]
async fn a_delivery_before_its_tasks_time_comes_again_in_time() {
    let app = TestApp::new().await;
    let ahead = app.app.db.now().await.unwrap() + 300;
    one_task(&app).await;
    let first = handing(&app).await;
    note_published(&app.app.db, &first, &[true]).await.unwrap();
    change(&app.app.config, &format!("UPDATE outbox SET not_before = {ahead}")).await;
    assert!(claim(&app, &first.envelopes[0], LEASE_MS).await.is_none());
    let again = eventually("the hand-over", async || taken(&app).await.pop()).await;
    assert!(claim(&app, &again, LEASE_MS).await.is_some());
}

#[tokio::test]
async fn a_publisher_that_dies_leaves_its_tasks_to_the_next_but_not_those_that_run_already() {
    let app = TestApp::new().await;
    one_task(&app).await;
    let first = handing(&app).await;
    let envelope = &first.envelopes[0];
    app.clock.advance(31_000);
    assert_eq!(taken(&app).await.len(), 1, "it died before or after the broker had it: again");
    let lane = claim(&app, envelope, 600_000).await.unwrap();
    app.clock.advance(31_000);
    assert!(taken(&app).await.is_empty(), "a worker has it, though its publisher never said so");
    note_published(&app.app.db, &first, &[false]).await.unwrap();
    assert!(taken(&app).await.is_empty(), "the publisher's late word changes nothing");
    assert!(claim(&app, envelope, LEASE_MS).await.is_none(), "a second delivery has no effect");
    assert!(finish(&app, &lane, End::Done, None).await);
    assert!(claim(&app, envelope, LEASE_MS).await.is_none(), "nor has a third, later");
    assert!(!enqueue_once(&app.app.db, "t", "noting.v1", "k", "{}").await.unwrap(), "nor a second of its id");
}

#[tokio::test]
async fn a_worker_that_comes_too_late_has_no_say() {
    let app = TestApp::new().await;
    one_task(&app).await;
    let first = taken(&app).await.remove(0);
    let late = claim(&app, &first, LEASE_MS).await.unwrap();
    app.clock.advance(LEASE_MS + 1);
    let second = taken(&app).await.remove(0);
    assert_eq!(second.attempt, 1, "a try whose worker died counts");
    assert!(claim(&app, &first, LEASE_MS).await.is_none(), "the first try is over");
    let lane = claim(&app, &second, LEASE_MS).await.unwrap();
    assert!(!finish(&app, &late, End::Dead, Some("late")).await);
    assert_eq!(state(&app).await, ("sent".to_owned(), 1), "the second worker is at it");
    assert!(finish(&app, &lane, End::Done, None).await);
    assert_eq!(state(&app).await, ("done".to_owned(), 2));
}

#[tokio::test]
async fn a_retry_waits_for_its_time_and_early_deliveries_of_it_are_none() {
    let app = TestApp::new().await;
    one_task(&app).await;
    let handed = handing(&app).await;
    note_published(&app.app.db, &handed, &[true]).await.unwrap();
    let first = handed.envelopes[0].clone();
    let lane = claim(&app, &first, LEASE_MS).await.unwrap();
    finish(&app, &lane, End::Again { after_ms: 5_000, in_order: true, fault: false }, Some("not yet")).await;
    assert!(claim(&app, &first, LEASE_MS).await.is_none(), "a delivery of the first try");
    assert!(taken(&app).await.is_empty());
    app.clock.advance(5_001);
    assert_eq!(taken(&app).await.remove(0).attempt, 1);
}

/// What happens to a key while somebody hands its second task over, and dies before the broker has it.
const MEANWHILE: &[&str] = &[
    "nothing",
    "done",
    "again",
    "dies",
    "works on",
    "given back",
    "given up",
    "parked",
    "parked amid work",
    "dropped",
];

async fn meanwhile(app: &TestApp, what: &str, first: &Envelope) {
    let db = &app.app.db;
    let again = End::Again { after_ms: 1_000, in_order: true, fault: false };
    match what {
        "done" => {
            let lane = claim(app, first, LEASE_MS).await.unwrap();
            assert!(finish(app, &lane, End::Done, None).await);
        }
        "again" => {
            let lane = claim(app, first, LEASE_MS).await.unwrap();
            finish(app, &lane, again, Some("not yet")).await;
        }
        "dies" => drop(claim(app, first, LEASE_MS).await.unwrap()),
        "works on" => {
            let lane = claim(app, first, LEASE_MS).await.unwrap();
            app.clock.advance(60_000);
            assert!(finish(app, &lane, End::Done, None).await);
        }
        "given back" => handover::give_back(db, first).await.unwrap(),
        "given up" => outbox::give_up(db, first, "unreadable").await.unwrap(),
        "parked" => {
            outbox::park(db, "k", "for a while").await.unwrap();
            assert!(outbox::unpark(db, "k").await.unwrap());
        }
        "parked amid work" => {
            let lane = claim(app, first, LEASE_MS).await.unwrap();
            outbox::park(db, "k", "for a while").await.unwrap();
            finish(app, &lane, End::Done, None).await;
            assert!(outbox::unpark(db, "k").await.unwrap());
        }
        "dropped" => {
            let which =
                outbox::TaskFilter { kind: "noting.v1", since: 0, until: i64::MAX, reason: "not wanted" };
            assert_eq!(outbox::drop_some(db, which, 1).await.unwrap(), 1);
        }
        _ => {}
    }
}

/// A worker that takes and lets go a key while its tasks are handed over does not hide that who does that has died.
#[tokio::test]
async fn a_publisher_that_dies_amid_others_work_on_the_key_leaves_nothing_unsaid() {
    for what in MEANWHILE {
        let app = TestApp::new().await;
        one_task(&app).await;
        let told = handing(&app).await;
        note_published(&app.app.db, &told, &[true]).await.unwrap();
        enqueue_once(&app.app.db, "u", "noting.v1", "k", "{}").await.unwrap();
        let dying = handing(&app).await;
        assert_eq!(dying.envelopes.len(), 1, "{what}");
        meanwhile(&app, what, &told.envelopes[0]).await;
        // The longest of what is waited for: whoever hands over.
        app.clock.advance(31_000);
        let second = async || {
            let handed = taken(&app).await;
            let names = LeaseRequest::given_back(["noting.v1"].into_iter());
            let lanes = outbox::lease(&app.app.db, &names, 10, LEASE_MS).await.unwrap();
            let leased = lanes.into_iter().flat_map(|lane| lane.tasks).map(|taken| taken.envelope);
            handed.into_iter().chain(leased).any(|envelope| envelope.id == "u")
        };
        assert!(second().await, "{what}: the second is not handed over again");
    }
}

/// What can't be run is given up behind what a worker has in its hands, and takes the key from nobody.
#[tokio::test]
async fn who_works_on_a_key_keeps_it_when_another_of_its_tasks_is_given_up() {
    let app = TestApp::new().await;
    one_task(&app).await;
    enqueue_once(&app.app.db, "u", "noting.v1", "k", "{}").await.unwrap();
    let handed = handing(&app).await;
    note_published(&app.app.db, &handed, &[true, true]).await.unwrap();
    let lane = claim(&app, &handed.envelopes[0], LEASE_MS).await.unwrap();
    outbox::give_up(&app.app.db, &handed.envelopes[1], "too large").await.unwrap();
    assert!(taken(&app).await.is_empty());
    assert!(finish(&app, &lane, End::Done, None).await, "it had the key all the time");
    assert_eq!(state(&app).await, ("done".to_owned(), 1));
}

/// A worker or a relay that died leaves a key in its hands that nobody here can take: it waits like all others, and is told of.
#[tokio::test]
async fn what_nobody_can_run_is_told_of_though_somebody_died_over_it() {
    const WEEK: i64 = 7 * 86_400_000;
    for hold in ["leased", "handing"] {
        let app = TestApp::new().await;
        let db = &app.app.db;
        enqueue_once(db, "u", "unknown.v9", "k", "{}").await.unwrap();
        app.run_tasks().await;
        let held = format!("UPDATE outbox_key SET hold = '{hold}', holder = 'dead' WHERE key = 'k'");
        change(&app.app.config, &held).await;
        app.clock.advance(90_000);
        let left = outbox::left(db, &["retention.v1"], false, 60_000).await.unwrap();
        assert_eq!(
            left.iter().map(|left| (left.task.as_str(), left.keys)).collect::<Vec<_>>(),
            [("unknown.v9", 1)]
        );
        app.clock.advance(WEEK);
        let before = db.now().await.unwrap() - WEEK;
        let gone =
            outbox::expire(db, &["retention.v1"], false, (before, "nobody could run it")).await.unwrap();
        assert_eq!((gone, find(db, "u").await.unwrap().state.as_str()), (1, "dead"), "{hold}");
    }
}

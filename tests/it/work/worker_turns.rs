//! Whose turn it is while a worker goes through many tasks of one key: it keeps the key, others have room, and what the database
//! refuses holds up nothing.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use guildhall::app::App;
use guildhall::outside::broker::Delivery;
use guildhall::store::outbox::{self, enqueue_once};
use guildhall::work::task::{Failure, Task, TaskEntry};
use guildhall::work::worker::{WorkTime, Worker};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::sync::watch;

use crate::help::TestApp;
use crate::help::database;
use crate::help::process::eventually;
use crate::store::migrations::change;

static RAN: Mutex<Vec<String>> = Mutex::new(Vec::new());

fn ran() -> Vec<String> {
    RAN.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

/// Takes its time.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Plodding {}

impl Task for Plodding {
    const NAME: &'static str = "plodding.v1";
    const ATTEMPTS: i64 = 3;

    fn key(&self) -> String {
        "plodding".to_owned()
    }

    async fn run(self, _: &App, id: &str) -> Result<(), Failure> {
        RAN.lock().unwrap_or_else(PoisonError::into_inner).push(id.to_owned());
        tokio::time::sleep(Duration::from_millis(1_500)).await;
        Ok(())
    }
}

/// Takes none.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Quick {}

impl Task for Quick {
    const NAME: &'static str = "quick.v1";
    const ATTEMPTS: i64 = 3;

    fn key(&self) -> String {
        "quick".to_owned()
    }

    async fn run(self, _: &App, id: &str) -> Result<(), Failure> {
        RAN.lock().unwrap_or_else(PoisonError::into_inner).push(id.to_owned());
        Ok(())
    }
}

/// Writes all the time, for longer than a hold is renewed after.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Writing {}

impl Task for Writing {
    const NAME: &'static str = "writing.v1";
    const ATTEMPTS: i64 = 3;

    fn key(&self) -> String {
        "writing".to_owned()
    }

    async fn run(self, app: &App, id: &str) -> Result<(), Failure> {
        let (begun, mut last) = (Instant::now(), Instant::now());
        for n in 0.. {
            enqueue_once(&app.db, &format!("{id}-{n}"), "unknown.v1", "written", "{}").await?;
            let pause = std::mem::replace(&mut last, Instant::now()).elapsed();
            PAUSES.lock().unwrap_or_else(PoisonError::into_inner).push(pause);
            if begun.elapsed() > Duration::from_secs(8) {
                break;
            }
        }
        Ok(())
    }
}

static PAUSES: Mutex<Vec<Duration>> = Mutex::new(Vec::new());

const TASKS: &[TaskEntry] =
    &[TaskEntry::of::<Plodding>(), TaskEntry::of::<Quick>(), TaskEntry::of::<Writing>()];

/// The renewal of a hold may wait for a connection that the work has, and must not keep it from going on: that would last until
/// the renewal is given up, after five seconds.
#[tokio::test(flavor = "multi_thread")]
async fn a_hold_that_is_renewed_does_not_stop_what_it_is_renewed_for() {
    let app = TestApp::new().await;
    enqueue_once(&app.app.db, "writes", Writing::NAME, "writing", "{}").await.unwrap();
    Worker::new(Arc::clone(&app.app), TASKS).run_due(WorkTime::of(Duration::from_secs(60))).await.unwrap();
    let pauses = PAUSES.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let longest = pauses.iter().max().unwrap();
    assert!(*longest < Duration::from_millis(4_500), "{longest:?} between two of {}", pauses.len());
}

/// Its tasks take longer together than a hold lasts, and each less than a hold is renewed after.
#[tokio::test(flavor = "multi_thread")]
async fn a_slow_lane_keeps_its_key_and_leaves_others_their_turn() {
    const SLOW: usize = 14;
    let app = TestApp::new().await;
    let (stop, stopped) = watch::channel(false);
    let workers: Vec<_> =
        (0..2).map(|_| tokio::spawn(Worker::new(Arc::clone(&app.app), TASKS).run(stopped.clone()))).collect();
    // Both have begun, and free nothing any more that an earlier process might have held.
    enqueue_once(&app.app.db, "turns-first", Quick::NAME, "first", "{}").await.unwrap();
    eventually("they work", async || ran().contains(&"turns-first".to_owned()).then_some(())).await;
    for n in 0..SLOW {
        enqueue_once(&app.app.db, &format!("turns-{n}"), Plodding::NAME, "plodding", "{}").await.unwrap();
    }
    let count = || ran().iter().filter(|id| id.starts_with("turns-") && *id != "turns-first").count();
    eventually("the first runs", async || (count() > 0).then_some(())).await;
    for n in 0..4 {
        let key = format!("other-{n}");
        enqueue_once(&app.app.db, &format!("beside-{n}"), Quick::NAME, &key, "{}").await.unwrap();
    }
    let beside = async || (0..4).all(|n| ran().contains(&format!("beside-{n}"))).then_some(());
    eventually("what came beside them", beside).await;
    assert!(count() < SLOW, "only once the slow ones were done");
    let has_run = |n| ran().contains(&format!("turns-{n}"));
    eventually("all", async || (0..SLOW).all(has_run).then_some(())).await;
    let _ = stop.send(true);
    for worker in workers {
        worker.await.unwrap();
    }
    assert_eq!(count(), SLOW, "each once: {:?}", ran());
}

fn delivery(offset: i64, value: &str) -> Delivery {
    Delivery { partition: 0, offset, written_at: None, content: Ok(value.as_bytes().to_vec()) }
}

#[tokio::test]
async fn what_the_database_refuses_is_given_up_and_what_is_behind_it_runs() {
    let app = TestApp::new().await;
    let of = |id: &str, task: &str, trace: &str| {
        json!({ "v": 1, "id": id, "task": task, "key": id, "payload": {}, "trace": trace }).to_string()
    };
    // No column takes this; nothing depends on it.
    let records = vec![
        delivery(0, &of("nul", Quick::NAME, "\0")),
        delivery(1, &of("long", Quick::NAME, &"x".repeat(100_000))),
    ];
    let worker = Worker::new(Arc::clone(&app.app), TASKS);
    let failed = worker.run_batch(records, WorkTime::of(Duration::from_secs(60))).await;
    assert!(failed.is_empty(), "{failed:?}");
    assert!(["nul", "long"].into_iter().all(|id| ran().contains(&id.to_owned())));
    // And whatever else there may be.
    let refusing = if database::on_postgres() {
        "ALTER TABLE outbox ADD CONSTRAINT refusing CHECK (id <> 'refused')"
    } else {
        "CREATE TRIGGER refusing BEFORE INSERT ON outbox WHEN NEW.id = 'refused' BEGIN SELECT RAISE(ABORT, 'refused'); END"
    };
    change(&app.app.config, refusing).await;
    let records =
        vec![delivery(2, &of("refused", Quick::NAME, "t")), delivery(3, &of("behind", Quick::NAME, "t"))];
    let failed = worker.run_batch(records, WorkTime::of(Duration::from_secs(60))).await;
    assert!(failed.is_empty(), "{failed:?}");
    assert!(ran().contains(&"behind".to_owned()) && !ran().contains(&"refused".to_owned()));
    let dead = outbox::find(&app.app.db, "refused").await.unwrap();
    assert_eq!(dead.state.as_str(), "dead", "{dead:?}");
}

/// What is stored while tasks are given up is none of those that were meant, and of a lane whose tasks are gone none is run further.
#[tokio::test]
async fn what_comes_while_tasks_are_given_up_stays() {
    let app = TestApp::new().await;
    for id in ["old-1", "old-2"] {
        enqueue_once(&app.app.db, id, Quick::NAME, "dropped", "{}").await.unwrap();
    }
    let wanted = outbox::LeaseRequest::all([Quick::NAME].into_iter());
    let lane = outbox::lease(&app.app.db, &wanted, 1, 60_000).await.unwrap().remove(0);
    assert_eq!(lane.tasks.len(), 2);
    app.clock.advance(1_000);
    let until = app.app.db.now().await.unwrap();
    app.clock.advance(1_000);
    enqueue_once(&app.app.db, "new", Quick::NAME, "dropped", "{}").await.unwrap();
    let which = outbox::TaskFilter { kind: Quick::NAME, since: 0, until, reason: "not wanted" };
    assert_eq!(outbox::drop_some(&app.app.db, which, 100).await.unwrap(), 2);
    assert_eq!(outbox::drop_some(&app.app.db, which, 100).await.unwrap(), 0);
    let first = (&lane.tasks[0].envelope, false);
    let goes_on = outbox::finish(&app.app.db, &lane, first, outbox::End::Done, None).await.unwrap();
    assert!(!goes_on, "its tasks are gone: whoever takes the key next sees what is there");
    let next = outbox::lease(&app.app.db, &wanted, 1, 60_000).await.unwrap().remove(0);
    assert_eq!(next.tasks.iter().map(|taken| taken.envelope.id.as_str()).collect::<Vec<_>>(), ["new"]);
}

//! Keys over a real broker: one that a worker can't run, and one with very many tasks.

use guildhall::store::outbox;

use crate::help::process::eventually;
use crate::work::kafka::{Plant, envelope, ran};

/// A worker of a version that does not know the task, beside one that does: what the first is brought it gives back, and the
/// other takes it from the table. No try is lost by that, and no order.
#[tokio::test(flavor = "multi_thread")]
async fn what_one_worker_cannot_run_another_takes_from_the_table() {
    let mut plant = Plant::start(0).await;
    plant.add_worker_of(&[]);
    for n in 0..60 {
        plant
            .enqueue(&envelope("older", &format!("{}-{n:02}", n % 3), &format!("older-{}", n % 3), ""))
            .await;
    }
    // The older one alone: it gives back what it is brought.
    eventually("everything is given back, or waits behind that", async || {
        let left = outbox::left(&plant.app.app.db, &[], true, 0).await.unwrap();
        // The hour's sweep is given back too.
        left.iter().any(|left| left.task == "noting.v1" && left.keys == 3).then_some(())
    })
    .await;
    plant.add_worker();
    plant.done(60).await;
    let ran = ran("older");
    assert_eq!(ran.len(), 60, "each once");
    for key in ["0-", "1-", "2-"] {
        assert!(ran.iter().filter(|name| name.starts_with(key)).is_sorted(), "{ran:?}");
    }
    assert!(plant.tasks("done").await.iter().all(|task| task.attempt == 1), "what was given back was no try");
    plant.stop().await;
}

/// Hundreds of tasks of one key are there first: those of others don't wait for them.
#[tokio::test(flavor = "multi_thread")]
async fn a_key_with_very_many_tasks_holds_no_others_up() {
    let plant = Plant::start(0).await;
    for n in 0..300 {
        plant.enqueue(&envelope("hot", &format!("hot-{n:03}"), "hot", "")).await;
    }
    for n in 0..40 {
        plant.enqueue(&envelope("hot", &format!("quiet-{n}"), &format!("quiet-{n}"), "")).await;
    }
    let mut plant = plant;
    plant.add_worker();
    plant.done(340).await;
    let ran = ran("hot");
    let last_quiet = ran.iter().rposition(|name| name.starts_with("quiet")).unwrap();
    assert!(last_quiet < 250, "the last of the others was number {last_quiet} of {}", ran.len());
    let hot: Vec<&String> = ran.iter().filter(|name| name.starts_with("hot")).collect();
    assert!(hot.len() == 300 && hot.is_sorted(), "{hot:?}");
    plant.stop().await;
}

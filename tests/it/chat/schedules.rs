//! What runs at a time, or again and again: each time once, whoever works on it and whenever they die.

use futures_util::future::join_all;
use guildhall::chat::states::TaskState;
use guildhall::store::schedule;
use serde_json::{Value, json};

use crate::help::TestApp;
use crate::help::process::{Process, eventually, program, server_token};
use crate::help::socket_client::{call, make};

async fn create(app: &TestApp, when: Value) -> Value {
    let input = json!({ "task": "retention.v1", "payload": {}, "when": when });
    app.server().post("/schedule/create", input).await.data()["schedule"].clone()
}

/// How many tasks of a schedule there are, done or not.
async fn runs(app: &TestApp, id: &Value) -> usize {
    let mut count = 0;
    for state in ["ready", "done"] {
        let tasks = guildhall::store::outbox::list(
            &app.app.db,
            TaskState::try_from(state.to_owned()).unwrap(),
            10_000,
        )
        .await
        .unwrap();
        count += tasks
            .iter()
            .filter(|task| task.id.starts_with(&format!("schedule:{}:", id.as_str().unwrap())))
            .count();
    }
    count
}

#[tokio::test]
async fn a_schedule_runs_each_time_once_until_it_is_cancelled() {
    let app = TestApp::new().await;
    let made = create(&app, json!({ "cron": "*/5 * * * *", "zone": "Asia/Shanghai" })).await;
    let (id, first) = (&made["id"], made["next_at"].as_i64().unwrap());
    assert_eq!((&made["state"], first % 300_000), (&json!("planned"), 0));
    app.run_tasks().await;
    assert_eq!(runs(&app, id).await, 0, "not before it is due");
    app.clock.advance(first - app.clock.now() + 1_000);
    for _ in 0..3 {
        app.run_tasks().await;
    }
    assert_eq!(runs(&app, id).await, 1);
    app.clock.advance(300_000);
    join_all((0..8).map(|_| schedule::fire(&app.app.db)))
        .await
        .into_iter()
        .for_each(|fired| assert!(fired.unwrap() <= 1));
    assert_eq!(runs(&app, id).await, 2, "several look at the same time");
    let listed = app.server().get("/schedule/list").await.data();
    assert_eq!(listed["schedules"][0]["next_at"], first + 600_000);
    let cancelled =
        app.server().post("/schedule/cancel", json!({ "id": id })).await.data()["schedule"].clone();
    assert_eq!((&cancelled["state"], &cancelled["next_at"]), (&json!("cancelled"), &Value::Null));
    app.clock.advance(600_000);
    app.run_tasks().await;
    assert_eq!(runs(&app, id).await, 2);
}

#[tokio::test]
async fn after_a_standstill_the_newest_that_was_missed_runs_if_it_is_not_too_old() {
    let app = TestApp::new().await;
    let minutely = create(&app, json!({ "cron": "* * * * *" })).await;
    let once = create(&app, json!({ "at": app.clock.now() + 60_000 })).await;
    let yearly = json!({ "cron": "0 0 1 1 *", "zone": "UTC" });
    let yearly = create(&app, yearly).await;
    // A second into a minute, so that none begins while the tasks run.
    app.clock.advance(3 * 3_600_000 + 61_000 - app.clock.now() % 60_000);
    app.run_tasks().await;
    assert_eq!((runs(&app, &minutely["id"]).await, runs(&app, &once["id"]).await), (1, 0));
    app.clock.advance(yearly["next_at"].as_i64().unwrap() - app.clock.now() + 3_500_000);
    app.run_tasks().await;
    assert_eq!(runs(&app, &yearly["id"]).await, 1, "under an hour ago");
    let states = app.server().get("/schedule/list").await.data();
    let state = |id: &Value| {
        let all = states["schedules"].as_array().unwrap();
        all.iter().find(|one| one["id"] == *id).unwrap()["state"].clone()
    };
    assert_eq!((state(&once["id"]), state(&yearly["id"])), (json!("done"), json!("planned")));
}

#[tokio::test]
async fn what_is_no_time_is_refused_and_a_nonce_makes_one_schedule() {
    let app = TestApp::new().await;
    let now = app.clock.now();
    for wrong in [
        json!({}),
        json!({ "now": false }),
        json!({ "now": true, "at": now }),
        json!({ "at": now - 7_200_000 }),
        json!({ "at": "tomorrow" }),
        json!({ "at": now, "until": now }),
        json!({ "cron": "* * * *" }),
        json!({ "cron": "* * * * * *" }),
        json!({ "cron": "0 0 30 2 *" }),
        json!({ "cron": "* * * * *", "zone": "Mars/Olympus" }),
        json!({ "cron": "0 0 1 1 *", "until": now + 1 }),
        json!({ "now": true, "often": true }),
    ] {
        let input = json!({ "task": "retention.v1", "payload": {}, "when": wrong });
        let reply = app.server().post("/schedule/create", input).await;
        assert_eq!(reply.code(), "invalid_input", "{wrong}");
    }
    let unknown = json!({ "task": "nothing.v1", "payload": {}, "when": { "now": true } });
    assert_eq!(app.server().post("/schedule/create", unknown).await.code(), "not_found");
    let wrong = json!({ "task": "retention.v1", "payload": { "x": 1 }, "when": { "now": true } });
    assert_eq!(app.server().post("/schedule/create", wrong).await.code(), "invalid_input");
    assert_eq!(app.server().post("/schedule/cancel", json!({ "id": "nothing" })).await.code(), "not_found");
    let input =
        |at: i64| json!({ "task": "retention.v1", "payload": {}, "when": { "at": at }, "nonce": "once" });
    let first = app.server().post("/schedule/create", input(now + 1_000)).await.data();
    assert_eq!(app.server().post("/schedule/create", input(now + 1_000)).await.data(), first);
    assert_eq!(app.server().post("/schedule/create", input(now + 2_000)).await.code(), "conflict");
}

/// Three work on the same database; two of them are killed while times come, and started again.
#[tokio::test(flavor = "multi_thread")]
async fn three_workers_that_are_killed_say_each_announcement_once() {
    const TIMES: i64 = 40;
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let mut processes: Vec<Process> = (0..3).map(|_| Process::start(&data, &[])).collect();
    make(&processes[0], "g", &["alice"]).await;
    let now = guildhall::base::clock::Clock::default().now();
    for n in 0..TIMES {
        let input = json!({
            "texts": { "en": format!("time {n}") }, "audience": { "channel": "g" }, "when": { "at": now + 2_000 + n * 100 },
        });
        call(&processes[0], &server_token(), "/announcement/create", input).await;
    }
    let mut connection = processes[0].connect().await.unwrap();
    for n in 0..6 {
        // One dies whenever a few more are said.
        eventually("a few more are said", async || {
            let page =
                connection.call(&server_token(), "/message/list?channel=g&limit=1", None).await.ok()?;
            let last = page.body["data"]["messages"][0]["seq"].as_u64().unwrap_or_default();
            (last as usize > n * 5).then_some(())
        })
        .await;
        let victim = 1 + n % 2;
        processes[victim] = Process::start(&data, &[]);
    }
    let texts = eventually("all are said", async || {
        let path = "/message/list?channel=g&after=0&limit=100";
        let page = connection.call(&server_token(), path, None).await.ok()?;
        let texts: Vec<String> = page.body["data"]["messages"]
            .as_array()?
            .iter()
            .map(|message| message["text"].as_str().unwrap().to_owned())
            .collect();
        (texts.len() as i64 >= TIMES).then_some(texts)
    })
    .await;
    let mut sorted = texts.clone();
    sorted.sort();
    sorted.dedup();
    assert_eq!((sorted.len() as i64, texts.len() as i64), (TIMES, TIMES), "{texts:?}");
}

#[test]
fn an_operator_lists_schedules_and_runs_one() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let run = |arguments: &[&str]| {
        let output = program(&data).env("GUILDHALL_DATA", &data).args(arguments).output().unwrap();
        (
            output.status.success(),
            String::from_utf8(output.stdout).unwrap(),
            String::from_utf8(output.stderr).unwrap(),
        )
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let id = runtime.block_on(async {
        let process = Process::start(&data, &[]);
        let input = json!({ "task": "retention.v1", "payload": {}, "when": { "cron": "0 4 * * *", "zone": "Europe/Kyiv" } });
        call(&process, &server_token(), "/schedule/create", input).await["schedule"]["id"].as_str().unwrap().to_owned()
    });
    let (done, said, _) = run(&["schedule", "list"]);
    assert!(done && said.contains(&id) && said.contains("0 4 * * * Europe/Kyiv"), "{said}");
    let (done, said, _) = run(&["schedule", "run", &id]);
    assert!(done && said.contains("is ready"), "{said}");
    let (done, _, fault) = run(&["schedule", "run", "nothing"]);
    assert!(!done && fault.contains("no such schedule"), "{fault}");
}

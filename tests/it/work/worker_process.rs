//! `guildhall worker` as a process that is killed amid its tasks.

use std::collections::HashSet;
use std::sync::atomic::Ordering;

use nix::sys::signal::Signal;
use serde_json::json;

use crate::help::database;
use crate::help::process::{Process, WorkerProcess, eventually, player_token, server_token};
use crate::help::receiver::{Receiver, WEBHOOK_SECRET};
use crate::help::socket_client::{Socket, make};
use crate::work::kafka::{brokers, topic};

#[tokio::test(flavor = "multi_thread")]
async fn workers_that_are_killed_amid_tasks_lose_none_and_each_has_one_effect() {
    let receiver = Receiver::start().await;
    receiver.slow_ms.store(20, Ordering::SeqCst);
    let folder = tempfile::tempdir().unwrap();
    let (url, topic, brokers) = (receiver.url(), topic(), brokers());
    let variables = [
        ("KAFKA_BROKERS", brokers.as_str()),
        ("GUILDHALL_TOPIC", &topic),
        ("GUILDHALL_TASK_TIMEOUT_S", "1"),
        ("GUILDHALL_WEBHOOK_URL", &url),
        ("GUILDHALL_WEBHOOK_SECRET", WEBHOOK_SECRET),
    ];
    let server = Process::start(folder.path(), &variables);
    let mut connection = server.connect().await.unwrap();
    for n in 0..20 {
        let input = json!({ "id": format!("c{n}"), "kind": "world", "members": ["alice"], "settings": { "open": true } });
        assert_eq!(
            connection.call(&server_token(), "/channel/create", Some(&input)).await.unwrap().status,
            200
        );
    }
    const SENDS: usize = 300;
    for n in 0..SENDS {
        let input = json!({ "channel": format!("c{}", n % 20), "text": format!("{n}") });
        assert_eq!(
            connection.call(&player_token("alice"), "/message/send", Some(&input)).await.unwrap().status,
            200
        );
    }
    let mut kills = 0;
    while kills < 5 {
        let worker = WorkerProcess::start(folder.path(), &variables);
        let before = receiver.count();
        let enough = async || (receiver.count() >= before + 25).then_some(());
        eventually("this worker's share of the tasks", enough).await;
        drop(worker);
        kills += 1;
    }
    let _last = WorkerProcess::start(folder.path(), &variables);
    eventually("every task's effect: none is lost", async || (receiver.ids().len() == SENDS).then_some(()))
        .await;
    // A post whose worker died before it could note it is posted again, under the same id: at most those that ran.
    let repeats = receiver.count() - SENDS;
    assert!(repeats <= kills * 8, "{repeats} repeats after {kills} kills");
    eventually("the end of all tasks", async || {
        // The server closed the idle one.
        let mut connection = server.connect().await.unwrap();
        let status =
            connection.call(&server_token(), "/task/status", None).await.unwrap().body["data"].clone();
        (status["ready"] == 0 && status["sent"] == 0).then_some(())
    })
    .await;
}

/// A server that runs tasks itself, killed twice while its receiver refuses one post in five: every event arrives, each
/// under one id, without the time that a dead one's holds would take.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_killed_holds_no_channel_back() {
    const SENDS: usize = 480;
    let receiver = Receiver::start().await;
    receiver.refuse_every.store(5, Ordering::SeqCst);
    receiver.slow_ms.store(5, Ordering::SeqCst);
    let folder = tempfile::tempdir().unwrap();
    let url = receiver.url();
    let variables = [("GUILDHALL_WEBHOOK_URL", url.as_str()), ("GUILDHALL_WEBHOOK_SECRET", WEBHOOK_SECRET)];
    let mut server = Process::start(folder.path(), &variables);
    let mut connection = server.connect().await.unwrap();
    for n in 0..4 {
        let input = json!({ "id": format!("c{n}"), "kind": "world", "members": ["alice"], "settings": { "open": true } });
        assert_eq!(
            connection.call(&server_token(), "/channel/create", Some(&input)).await.unwrap().status,
            200
        );
    }
    let (alice, mut began) = (player_token("alice"), std::time::Instant::now());
    for n in 0..SENDS {
        let input =
            json!({ "channel": format!("c{}", n % 4), "text": format!("{n}"), "nonce": format!("{n}") });
        assert_eq!(connection.call(&alice, "/message/send", Some(&input)).await.unwrap().status, 200);
        if n == SENDS / 3 || n == 2 * SENDS / 3 {
            server.signal(Signal::SIGKILL);
            server.wait();
            server = Process::start(folder.path(), &variables);
            connection = server.connect().await.unwrap();
            began = std::time::Instant::now();
        }
    }
    let all = async || {
        let taken: HashSet<String> = receiver.taken.lock().unwrap().iter().cloned().collect();
        (taken.len() == SENDS).then_some(())
    };
    eventually("every event", all).await;
    println!("all received {:?} after the last kill", began.elapsed());
    let repeats = receiver.taken.lock().unwrap().len() - SENDS;
    assert!(repeats <= 2 * 8, "{repeats} repeats: at most those that ran when the server was killed");
}

/// `guildhall live` holds sockets and answers beside others on their database, and leaves tasks to them.
#[tokio::test(flavor = "multi_thread")]
async fn the_one_that_holds_sockets_runs_no_tasks() {
    let receiver = Receiver::start().await;
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    std::fs::create_dir(&data).unwrap();
    let file = format!("sqlite://{}", data.join(guildhall::store::EMBEDDED_FILE).display());
    let database = database::of_folder(&data).unwrap_or(file);
    let url = receiver.url();
    let variables = [
        ("DATABASE_URL", database.as_str()),
        ("GUILDHALL_WEBHOOK_URL", &url),
        ("GUILDHALL_WEBHOOK_SECRET", WEBHOOK_SECRET),
    ];
    let live = Process::start_as("live", &data, &variables);
    make(&live, "g", &["alice", "bob"]).await;
    let mut alice = Socket::of(&live, "alice").await;
    alice.ask("/live/follow", json!({ "all": true })).await;
    let said = alice.ask("/message/send", json!({ "channel": "g", "text": "hello" })).await;
    assert_eq!(said["data"]["message"]["seq"], 1, "{said}");
    assert_eq!(alice.push().await["messages"][0]["text"], "hello");
    // A worker would have looked several times by then.
    tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    let mut connection = live.connect().await.unwrap();
    let status = connection.call(&server_token(), "/task/status", None).await.unwrap().body;
    assert_eq!(status["data"]["ready"], 1, "{status}");
    let told = || receiver.taken.lock().unwrap().len();
    assert_eq!(told(), 0);
    let _worker = WorkerProcess::start(&data, &variables);
    eventually("the worker runs it", async || (told() == 1).then_some(())).await;
}

//! `guildhall worker` as a process that is killed amid its tasks.

use std::collections::HashSet;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::Ordering;

use nix::sys::signal::Signal;
use serde_json::json;

use crate::kafka::{brokers, topic};
use crate::process::{Process, eventually, player_token, program, server_token};
use crate::support::SECRET;
use crate::tasks::{Receiver, WEBHOOK_SECRET};

/// The program as a worker; killed when it is dropped.
struct WorkerProcess(Child);

impl WorkerProcess {
    fn start(data: &std::path::Path, variables: &[(&str, &str)]) -> Self {
        let mut command: Command = program(data);
        command
            .arg("worker")
            .env("GUILDHALL_DATA", data)
            .env("GUILDHALL_TOKEN_SECRET", SECRET)
            .env("GUILDHALL_LOG", "warn")
            .envs(variables.iter().copied())
            .stdout(Stdio::null());
        Self(command.spawn().unwrap())
    }
}

impl Drop for WorkerProcess {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

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

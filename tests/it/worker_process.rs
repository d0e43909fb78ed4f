//! `guildhall worker` as a process that is killed amid its tasks.

use std::process::{Child, Command, Stdio};
use std::sync::atomic::Ordering;

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

//! Servers and workers on one database and one broker, and the game's server that takes their events: what tests of faults
//! start, stop and kill.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use guildhall::app::App;
use guildhall::base::clock::Clock;
use guildhall::config::Config;
use guildhall::service::retention::Retention;
use guildhall::work::task::TaskEntry;
use guildhall::work::worker::Worker;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::help::SECRET;
use crate::help::database;
use crate::help::kafka_server::KafkaServer;
use crate::help::process::{
    Connection, Process, WorkerProcess, eventually, player_token, server_token, within,
};
use crate::help::receiver::{Receiver, WEBHOOK_SECRET};

pub const TOPIC: &str = "guildhall.tasks";
pub const CHANNELS: usize = 20;
/// What a broker needs to come back, and a group to find that a member is gone.
pub const PATIENCE: Duration = Duration::from_mins(3);

/// Knows one task, as a version from before webhooks would.
const OLDER: &[TaskEntry] = &[TaskEntry::of::<Retention>()];

/// Two servers on one database (one where that is SQLite, which is one process's), workers, and who takes events.
pub struct Fleet {
    pub servers: Vec<Process>,
    pub workers: Vec<WorkerProcess>,
    pub receiver: Receiver,
    folder: TempDir,
    variables: Vec<(String, String)>,
    pub sent: usize,
}

impl Fleet {
    pub async fn start(broker: &KafkaServer, workers: usize, more: &[(&str, &str)]) -> Self {
        let receiver = Receiver::start().await;
        let mut variables: Vec<(String, String)> = vec![
            ("KAFKA_BROKERS".to_owned(), broker.address()),
            ("GUILDHALL_WEBHOOK_URL".to_owned(), receiver.url()),
            ("GUILDHALL_WEBHOOK_SECRET".to_owned(), WEBHOOK_SECRET.to_owned()),
        ];
        variables.extend(more.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        let folder = tempfile::tempdir().unwrap();
        let mut fleet =
            Self { servers: Vec::new(), workers: Vec::new(), receiver, folder, variables, sent: 0 };
        let servers = if database::on_postgres() { 2 } else { 1 };
        (0..servers).for_each(|_| fleet.add_server());
        (0..workers).for_each(|_| fleet.add_worker());
        let mut connection = fleet.servers[0].connect().await.unwrap();
        for n in 0..CHANNELS {
            let world = json!({ "id": format!("c{n}"), "kind": "world", "members": ["alice"], "settings": { "open": true } });
            assert_eq!(
                connection.call(&server_token(), "/channel/create", Some(&world)).await.unwrap().status,
                200
            );
        }
        fleet
    }

    pub fn variables(&self) -> Vec<(&str, &str)> {
        self.variables.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
    }

    /// One that lacks the webhook's settings, and one that knows another task alone.
    pub async fn odd_workers(&self, stop: watch::Receiver<bool>) -> (WorkerProcess, JoinHandle<()>) {
        let is_set = |(name, _): &(&str, &str)| !name.starts_with("GUILDHALL_WEBHOOK");
        let unset: Vec<(&str, &str)> = self.variables().into_iter().filter(is_set).collect();
        let older = self.app().await;
        let consumer = older.queue.as_ref().unwrap().consume().unwrap();
        let older = tokio::spawn(Worker::new(older, OLDER).consume(consumer, stop));
        (WorkerProcess::start(&self.data(), &unset), older)
    }

    /// The program's inside, over the same database and broker.
    pub async fn app(&self) -> Arc<App> {
        let data = self.data().display().to_string();
        let mut variables: HashMap<String, String> = self.variables.iter().cloned().collect();
        variables.extend(database::of_folder(&self.data()).map(|url| ("DATABASE_URL".to_owned(), url)));
        variables.insert("GUILDHALL_DATA".to_owned(), data);
        variables.insert("GUILDHALL_TOKEN_SECRET".to_owned(), SECRET.to_owned());
        let config = Config::from_lookup(|name| variables.get(name).cloned()).unwrap();
        App::start(config, Clock::default()).await.unwrap()
    }

    pub fn data(&self) -> std::path::PathBuf {
        self.folder.path().join("data")
    }

    pub fn add_server(&mut self) {
        self.servers.push(Process::start(&self.data(), &self.variables()));
    }

    pub fn add_worker(&mut self) {
        self.workers.push(WorkerProcess::start(&self.data(), &self.variables()));
    }

    /// So many events, over all channels and servers. No send waits for the broker, and none fails for it.
    pub async fn send(&mut self, count: usize) {
        let alice = player_token("alice");
        let mut connections: Vec<Connection> = Vec::new();
        for server in &self.servers {
            connections.push(server.connect().await.unwrap());
        }
        for _ in 0..count {
            let n = self.sent;
            let input = json!({ "channel": format!("c{}", n % CHANNELS), "text": format!("{n}"), "nonce": format!("{n}") });
            let connection = &mut connections[n / CHANNELS % self.servers.len()];
            let answer = connection.call(&alice, "/message/send", Some(&input)).await.unwrap();
            assert_eq!(answer.status, 200, "{}", answer.body);
            self.sent += 1;
        }
    }

    /// All events are with the receiver, each under one id, and nothing waits or was given up.
    pub async fn all_arrive(&self) {
        within(PATIENCE, "the arrival of every event", async || {
            (self.receiver.ids().len() == self.sent).then_some(())
        })
        .await;
        eventually("the end of all tasks", async || {
            let status = self.status().await?;
            (status["ready"] == 0 && status["sent"] == 0).then_some(())
        })
        .await;
        assert_eq!(self.status().await.unwrap()["dead"], 0);
    }

    pub async fn status(&self) -> Option<Value> {
        let mut connection = self.servers[0].connect().await?;
        let answer = connection.call(&server_token(), "/task/status", None).await.ok()?;
        Some(answer.body["data"].clone())
    }

    pub async fn some_arrive(&self, count: usize) {
        within(PATIENCE, "the arrival of some events", async || {
            (self.receiver.count() >= count).then_some(())
        })
        .await;
    }

    pub fn logs(&self) -> String {
        format!(
            "{}{}",
            self.servers[0].log(),
            self.workers.first().map(WorkerProcess::log).unwrap_or_default()
        )
    }
}

//! What topics do: one is deleted, keeps its records too long, or lacks a leader; and workers of all sorts at one.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::Ordering;

use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::client::DefaultClientContext;
use serde_json::Value;
use tokio::sync::watch;

use crate::help::database;
use crate::help::kafka_server::KafkaServer;
use crate::help::process::eventually;
use crate::work::kafka_fleet::{CHANNELS, Fleet, PATIENCE, TOPIC};

fn admin(broker: &KafkaServer) -> AdminClient<DefaultClientContext> {
    ClientConfig::new().set("bootstrap.servers", broker.address()).create().unwrap()
}

/// Deleted under running servers, it is made again, and nothing is lost.
#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_is_deleted_is_made_again() {
    let broker = KafkaServer::start();
    let mut fleet = Fleet::start(&broker, 1, &[]).await;
    fleet.send(20).await;
    fleet.all_arrive().await;
    let admin = admin(&broker);
    // What the broker has and no worker took yet is lost with the topic.
    fleet.workers.clear();
    fleet.send(20).await;
    eventually("the hand-over", async || (fleet.status().await?["sent"] == 20).then_some(())).await;
    admin.delete_topics(&[TOPIC], &AdminOptions::new()).await.unwrap();
    fleet.send(40).await;
    fleet.add_worker();
    fleet.all_arrive().await;
}

/// Kept for half of what is remembered; one that keeps its records for longer is told of.
#[tokio::test(flavor = "multi_thread")]
async fn how_long_a_topic_keeps_its_records_is_set_and_looked_at() {
    let broker = KafkaServer::start();
    let fleet = Fleet::start(&broker, 0, &[("GUILDHALL_TASK_REMEMBERED", "2d")]).await;
    let admin = admin(&broker);
    eventually("the topic", async || {
        let of = ResourceSpecifier::Topic(TOPIC);
        let found = admin.describe_configs([&of], &AdminOptions::new()).await.ok()?;
        let kept = found[0].as_ref().ok()?.get("retention.ms")?.value.clone()?;
        assert_eq!(kept, "86400000");
        Some(())
    })
    .await;
    let told = "keeps records for longer than GUILDHALL_TASK_REMEMBERED";
    assert!(!fleet.logs().contains(told));
    drop(fleet);
    let fleet = Fleet::start(&broker, 0, &[("GUILDHALL_TASK_REMEMBERED", "12h")]).await;
    eventually("the warning", async || fleet.logs().contains(told).then_some(())).await;
}

/// The partition of a key where a topic has two, as the client finds it: by CRC-32.
fn partition_of(key: &str) -> u32 {
    let crc = key.bytes().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| crc >> 1 ^ if crc & 1 == 1 { 0xedb8_8320 } else { 0 })
    });
    !crc % 2
}

/// A partition has no leader, as its broker is away: the tasks of the other go on, and in the end none is lost.
#[tokio::test(flavor = "multi_thread")]
async fn a_partition_without_a_leader_holds_no_other_up() {
    let broker = KafkaServer::start();
    let mut second = broker.second();
    let topics = [
        NewTopic::new("__consumer_offsets", 4, TopicReplication::Variable(&[&[1], &[1], &[1], &[1]]))
            .set("cleanup.policy", "compact"),
        NewTopic::new(TOPIC, 2, TopicReplication::Variable(&[&[1], &[2]])),
    ];
    for made in admin(&broker).create_topics(&topics, &AdminOptions::new()).await.unwrap() {
        made.unwrap();
    }
    let mut fleet = Fleet::start(&broker, 1, &[]).await;
    fleet.send(CHANNELS).await;
    fleet.all_arrive().await;
    second.stop();
    let healthy = (0..CHANNELS).filter(|n| partition_of(&format!("c{n}")) == 0).count();
    assert!((1..CHANNELS).contains(&healthy));
    // A record without a leader is given up after ten seconds: twenty times that is more patience than there is.
    let rounds = async {
        for round in 1..=20 {
            fleet.send(CHANNELS).await;
            eventually("the events of the others", async || {
                (fleet.receiver.ids().len() == CHANNELS + round * healthy).then_some(())
            })
            .await;
        }
    };
    tokio::time::timeout(PATIENCE, rounds).await.expect("the others don't wait");
    second.start_again();
    fleet.all_arrive().await;
}

/// All at once: a worker that can't run what it is brought, one of an older version (those two where many processes share a
/// database), a receiver that goes and comes, and a worker that is killed. Each event arrives, and what arrives of a channel
/// is in its order.
#[tokio::test(flavor = "multi_thread")]
async fn workers_of_all_sorts_tell_of_each_event_in_its_order() {
    let broker = KafkaServer::start();
    let mut fleet = Fleet::start(&broker, 2, &[]).await;
    let (stop, stopped) = watch::channel(false);
    let odd = if database::on_postgres() { Some(fleet.odd_workers(stopped).await) } else { None };
    fleet.send(200).await;
    fleet.some_arrive(50).await;
    fleet.receiver.status.store(503, Ordering::SeqCst);
    fleet.send(100).await;
    drop(fleet.workers.remove(0));
    fleet.receiver.status.store(204, Ordering::SeqCst);
    fleet.add_worker();
    fleet.send(100).await;
    fleet.all_arrive().await;
    let _ = stop.send(true);
    if let Some((unset, older)) = odd {
        older.await.unwrap();
        drop(unset);
    }
    // By when each was taken for the first time.
    let mut taken = HashSet::new();
    let order: Vec<String> = fleet
        .receiver
        .taken
        .lock()
        .unwrap()
        .iter()
        .filter(|id| taken.insert((*id).clone()))
        .cloned()
        .collect();
    let events: HashMap<String, Value> = fleet.receiver.events.lock().unwrap().iter().map(event).collect();
    let mut last: HashMap<String, i64> = HashMap::new();
    for id in &order {
        let message = &events[id]["data"]["message"];
        let (channel, seq) = (message["channel"].as_str().unwrap(), message["seq"].as_i64().unwrap());
        let before = last.insert(channel.to_owned(), seq).unwrap_or_default();
        assert!(seq > before, "{channel}: {seq} behind {before}");
    }
    assert_eq!(order.len(), fleet.sent);
}

fn event((headers, body): &(http::HeaderMap, String)) -> (String, Value) {
    (headers["webhook-id"].to_str().unwrap().to_owned(), serde_json::from_str(body).unwrap())
}

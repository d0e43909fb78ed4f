//! A log that can't be written: it decides nothing, and what is lost is counted.

use std::fs::File;
use std::process::Stdio;

use serde_json::json;

use crate::lambda::free_port;
use crate::process::{Process, eventually, get_text, player_token, server_token};

/// Talks to a server whose log goes nowhere; says how many lines it knows to be lost.
async fn lost_lines(stderr: Stdio, requests: usize) -> u64 {
    let folder = tempfile::tempdir().unwrap();
    let metrics = format!("127.0.0.1:{}", free_port());
    let variables = [("GUILDHALL_LOG", "info"), ("GUILDHALL_METRICS_LISTEN", &metrics)];
    let process = Process::start_with_log(&folder.path().join("data"), &variables, stderr);
    let mut connection = process.connect().await.unwrap();
    let input = json!({ "id": "world", "kind": "world", "members": ["alice"], "settings": { "open": true } });
    assert_eq!(connection.call(&server_token(), "/channel/create", Some(&input)).await.unwrap().status, 200);
    let alice = player_token("alice");
    for n in 0..50 {
        let input = json!({ "channel": "world", "text": "hello", "nonce": format!("{n}") });
        let sent = connection.call(&alice, "/message/send", Some(&input)).await.unwrap();
        assert_eq!((sent.status, &sent.body["data"]["replayed"]), (200, &json!(false)));
    }
    for _ in 0..requests {
        assert_eq!(connection.call("", "/health/live", None).await.unwrap().status, 200);
    }
    eventually("lost lines are counted", async || {
        let figures = get_text(&metrics, "/metrics").await;
        let line = figures.lines().find_map(|line| line.strip_prefix("guildhall_log_lost_total "))?;
        line.parse().ok().filter(|lost: &u64| *lost > 0)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_on_a_full_disk_fails_no_request() {
    assert!(lost_lines(File::options().write(true).open("/dev/full").unwrap().into(), 0).await > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_whose_reader_has_gone_fails_no_request() {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    assert!(lost_lines(writer.into(), 0).await > 0);
}

/// The pipe fills, then what waits for it; requests go on.
#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_nobody_reads_holds_no_request_up() {
    let (reader, writer) = std::io::pipe().unwrap();
    assert!(lost_lines(writer.into(), 10_000).await > 0);
    drop(reader);
}

//! A log that can't be written: it decides nothing, and what is lost is counted.

use std::fs::File;
use std::process::Stdio;

use serde_json::{Value, json};

use crate::help::process::{Process, eventually, get_text, player_token, server_token};
use crate::hosts::lambda::free_port;

/// A line for each of the requests that change something.
const LINES: u64 = 51;

/// Talks to a server whose log goes nowhere, until it says that so many lines or more are lost.
async fn loses_lines(stderr: Stdio, requests: usize, least: u64) {
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
        line.parse().ok().filter(|lost: &u64| *lost >= least)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_on_a_full_disk_fails_no_request() {
    loses_lines(File::options().write(true).open("/dev/full").unwrap().into(), 0, LINES).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_whose_reader_has_gone_fails_no_request() {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    loses_lines(writer.into(), 0, LINES).await;
}

/// The pipe fills, then what waits for it; requests go on.
#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_nobody_reads_holds_no_request_up() {
    let (reader, writer) = std::io::pipe().unwrap();
    loses_lines(writer.into(), 10_000, 1).await;
    drop(reader);
}

/// Of reads that succeed, one in so many is logged, and says for how many it stands; what fails or changes something always.
#[tokio::test(flavor = "multi_thread")]
async fn reads_are_sampled_where_that_is_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let variables = [("GUILDHALL_LOG", "info"), ("GUILDHALL_LOG_SAMPLE", "10")];
    let mut process = Process::start(&data, &variables);
    let mut connection = process.connect().await.unwrap();
    let input = json!({ "id": "world", "kind": "world", "members": ["alice"], "settings": { "open": true } });
    assert_eq!(connection.call(&server_token(), "/channel/create", Some(&input)).await.unwrap().status, 200);
    let alice = player_token("alice");
    let (say, sync) = (
        json!({ "channel": "world", "text": "hello" }),
        json!({ "channels": [{ "channel": "world", "after": 0 }] }),
    );
    for _ in 0..50 {
        for (path, body, status) in [
            ("/message/list?channel=world", None, 200),
            ("/message/sync", Some(&sync), 200),
            ("/message/list?channel=none", None, 404),
            ("/message/send", Some(&say), 200),
        ] {
            assert_eq!(connection.call(&alice, path, body).await.unwrap().status, status);
        }
    }
    process.signal(nix::sys::signal::Signal::SIGTERM);
    assert_eq!(process.wait(), Some(0));
    let log = std::fs::read_to_string(data.with_extension("log")).unwrap();
    let lines: Vec<Value> = log.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let count = |has: &dyn Fn(&Value) -> bool| lines.iter().filter(|line| has(line)).count();
    assert_eq!(count(&|line| line["action"] == "send"), 50);
    assert_eq!(count(&|line| line["code"] == "not_found"), 50);
    let reads = |line: &Value| line["action"] == "sync" || (line["action"] == "list" && line["code"] == "ok");
    assert_eq!(count(&reads), 10, "one in ten of a hundred");
    assert!(lines.iter().filter(|line| reads(line)).all(|line| line["stands_for"] == 10));
    assert!(lines.iter().filter(|line| !reads(line)).all(|line| line["stands_for"].is_null()));
}

/// A log is paid for by the byte: of a long list the first entries are shown, and how many there are.
#[tokio::test(flavor = "multi_thread")]
async fn a_poll_of_many_channels_is_a_short_line() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let mut process = Process::start(&data, &[("GUILDHALL_LOG", "info")]);
    let mut connection = process.connect().await.unwrap();
    let cursors: Vec<Value> = (0..100).map(|n| json!({ "channel": format!("c{n}"), "after": 0 })).collect();
    let sync = json!({ "channels": cursors });
    let synced = connection.call(&player_token("alice"), "/message/sync", Some(&sync)).await.unwrap();
    assert_eq!(synced.status, 200);
    process.signal(nix::sys::signal::Signal::SIGTERM);
    assert_eq!(process.wait(), Some(0));
    let log = std::fs::read_to_string(data.with_extension("log")).unwrap();
    let line = log.lines().find(|line| line.contains(r#""action":"sync""#)).unwrap();
    assert!(line.contains("c0") && line.contains("100 in all") && line.len() < 1_000, "{line}");
}

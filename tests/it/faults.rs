//! The machine's faults: a full disk, and a process that stood still longer than its wordlist may be old.

use std::fs;
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::json;

use crate::database;
use crate::process::{Process, eventually, player_token, server_token};

/// SQLite's files may grow no more: a send is told that it can't be stored, what is stored stays readable, and with room
/// again all goes on. A limit on files stands for the full disk: it needs no right to mount one.
#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_told_as_unavailable_and_loses_nothing() {
    if database::on_postgres() {
        return; // its disk is its server's affair; tests/it/postgres.rs has what we see of that
    }
    let folder = tempfile::tempdir().unwrap();
    let process = Process::start_with_file_limit(folder.path(), &[], 3_000_000);
    let mut connection = process.connect().await.unwrap();
    let input = json!({ "id": "world", "kind": "world", "members": ["alice"], "settings": { "open": true } });
    assert_eq!(connection.call(&server_token(), "/channel/create", Some(&input)).await.unwrap().status, 200);
    let alice = player_token("alice");
    let say = |n: i64| json!({ "channel": "world", "text": "x".repeat(1_900), "nonce": format!("{n}") });
    let mut stored = 0;
    let refused = loop {
        let answer = connection.call(&alice, "/message/send", Some(&say(stored))).await.unwrap();
        if answer.status != 200 {
            break answer;
        }
        stored += 1;
        assert!(stored < 10_000, "the disk has no end");
    };
    assert_eq!((refused.status, &refused.body["error"]["code"]), (503, &json!("unavailable")));
    for _ in 0..3 {
        let answer = connection.call(&alice, "/message/send", Some(&say(stored))).await.unwrap();
        assert_eq!(answer.status, 503, "{}", answer.body);
    }
    let newest = connection.call(&alice, "/message/list?channel=world&limit=1", None).await.unwrap();
    assert_eq!(newest.body["data"]["messages"][0]["seq"], stored, "what was acknowledged is there");
    let ready = async |expected: u16| {
        let mut connection = process.connect().await.unwrap();
        eventually("readiness knows", async || {
            (connection.call("", "/health/ready", None).await.unwrap().status == expected).then_some(())
        })
        .await;
    };
    ready(503).await;
    assert_eq!(connection.call("", "/health/live", None).await.unwrap().status, 200);
    process.lift_file_limit();
    ready(200).await;
    let answer = connection.call(&alice, "/message/send", Some(&say(stored))).await.unwrap();
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert_eq!(answer.body["data"]["message"]["seq"], stored + 1, "no gap");
}

/// A process that stood still for longer than its wordlist's age, as instances of a cloud do between calls, as instances do between calls:
/// its first answer is by the list that was published meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_process_answers_right_when_it_wakes() {
    let folder = tempfile::tempdir().unwrap();
    let lists = folder.path().join("lists");
    fs::create_dir(&lists).unwrap();
    let write = |words: &str| fs::write(lists.join("words.txt"), words).unwrap();
    write("dragon\ngriffin\n");
    let data = folder.path().join("data");
    fs::create_dir(&data).unwrap();
    let variables = [("GUILDHALL_WORDLISTS", lists.to_str().unwrap()), ("GUILDHALL_WORDLIST_REFRESH_S", "1")];
    let process = Process::start(&data, &variables);
    let mut connection = process.connect().await.unwrap();
    let input = json!({ "id": "world", "kind": "world", "members": ["alice"], "settings": { "open": true } });
    assert_eq!(connection.call(&server_token(), "/channel/create", Some(&input)).await.unwrap().status, 200);
    process.signal(Signal::SIGSTOP);
    write("unicorn\ngriffin\n");
    tokio::time::sleep(Duration::from_millis(2_500)).await;
    process.signal(Signal::SIGCONT);
    let send = json!({ "channel": "world", "text": "unicorn" });
    let answer = connection.call(&player_token("alice"), "/message/send", Some(&send)).await.unwrap();
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert_eq!(answer.body["data"]["message"]["text"], "*******", "the first answer is by the present list");
}

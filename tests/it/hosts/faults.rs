//! The machine's faults: a full disk, a broken row, and a process that stood still longer than its wordlist may be old.

use std::fs;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use guildhall::base::panic::lasting;
use nix::sys::signal::Signal;
use serde_json::json;

use crate::help::process::{Process, eventually, player_token, server_token};
use crate::help::{TestApp, numbered_texts};
use crate::moderation::cases::by_hand;

/// Not even an administrator's process can write it, where the folder is another's: it is told at the start, not send by send.
#[tokio::test]
async fn a_file_that_can_not_be_written_is_told_at_the_start() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}?immutable=true", folder.path().join("g.db").display());
    let config = |url: &str| {
        let url = url.to_owned();
        let data = folder.path().display().to_string();
        guildhall::config::Config::from_lookup(move |name| match name {
            "DATABASE_URL" => Some(url.clone()),
            "GUILDHALL_DATA" => Some(data.clone()),
            _ => None,
        })
        .unwrap()
    };
    let written = url.replace("?immutable=true", "");
    guildhall::store::Db::migrate(&config(&written)).await.unwrap();
    let file = folder.path().join("g.db");
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o444)).unwrap();
    let fault = guildhall::store::Db::migrate(&config(&url)).await.unwrap_err();
    assert!(fault.contains("g.db") && fault.contains("readonly"), "{fault}");
}

/// SQLite's files may grow no more: a send is told that it can't be stored, what is stored stays readable, and with room
/// again all goes on. A limit on files stands for the full disk: it needs no right to mount one.
#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_told_as_unavailable_and_loses_nothing() {
    // SQLite, whatever the suite runs on: PostgreSQL's disk is its server's affair (tests/it/postgres.rs).
    let folder = tempfile::tempdir().unwrap();
    let process = Process::start_with_file_limit(folder.path(), &[("DATABASE_URL", "")], 3_000_000);
    let mut connection = process.connect().await.unwrap();
    let input = json!({ "id": "world", "kind": "world", "members": ["alice"], "settings": { "open": true } });
    assert_eq!(connection.call(&server_token(), "/channel/create", Some(&input)).await.unwrap().status, 200);
    let alice = player_token("alice");
    let say = |n: i64| json!({ "channel": "world", "text": "x".repeat(1_900), "nonce": format!("{n}") });
    // Where pages of the log could be written back, there is room once more: it is full when that has ended.
    let (mut stored, mut refused) = (0, 0);
    while refused < 5 {
        let answer = connection.call(&alice, "/message/send", Some(&say(stored))).await.unwrap();
        if answer.status == 200 {
            (stored, refused) = (stored + 1, 0);
        } else {
            assert_eq!((answer.status, &answer.body["error"]["code"]), (503, &json!("unavailable")));
            refused += 1;
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
        assert!(stored < 10_000, "the disk has no end");
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

/// A process that stood still for longer than its wordlist's age, as instances of a cloud do between calls:
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
    // Its list is older than a second then.
    tokio::time::sleep(Duration::from_millis(2_500)).await;
    process.signal(Signal::SIGCONT);
    let send = json!({ "channel": "world", "text": "unicorn" });
    let answer = connection.call(&player_token("alice"), "/message/send", Some(&send)).await.unwrap();
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert_eq!(answer.body["data"]["message"]["text"], "*******", "the first answer is by the present list");
}

/// A channel's counter that something else has broken: it is at the largest number there is. To count on panics here on
/// `SQLite`, and is `PostgreSQL`'s own error there. It costs that channel's sends and nobody else's, not even those that
/// wait in the same batch, and the writer lives on.
#[tokio::test]
async fn a_send_that_breaks_its_batch_is_the_only_one_that_fails() {
    let app = TestApp::new().await;
    app.world("broken", &["alice"]).await;
    app.world("whole", &["alice", "bob"]).await;
    by_hand(&app, &format!("UPDATE channel SET last_seq = {} WHERE id = 'broken'", i64::MAX)).await;
    let (alice, bob) = (app.player("alice"), app.player("bob"));
    let say =
        |channel: &str, n: usize| json!({ "channel": channel, "text": "hello", "nonce": n.to_string() });
    for turn in [0, 10] {
        let whole = (turn..turn + 10).map(|n| bob.post("/message/send", say("whole", n)));
        let broken = alice.post("/message/send", say("broken", turn));
        let (stored, broken) = tokio::join!(futures_util::future::join_all(whole), broken);
        assert_eq!(broken.status, 500, "{}", broken.body);
        assert_eq!(broken.body["error"]["code"], "internal");
        assert!(
            !broken.body.to_string().contains("overflow"),
            "what it was is for the log alone: {}",
            broken.body
        );
        stored.into_iter().for_each(|reply| assert_eq!(reply.status, 200, "{}", reply.body));
    }
    let page = bob.get("/message/list?channel=whole&limit=50").await.data();
    assert_eq!(numbered_texts(&page).len(), 20, "none lost, none twice: {page}");
}

/// What runs in the background, such as the worker, is not gone with its first panic: it begins anew, until it ends by itself.
#[tokio::test]
async fn what_runs_in_the_background_begins_anew_after_a_panic() {
    let begun = AtomicU32::new(0);
    let run = async || assert_eq!(begun.fetch_add(1, Ordering::Relaxed), 1, "in a bad mood");
    lasting("something", run).await;
    assert_eq!(begun.into_inner(), 2);
}

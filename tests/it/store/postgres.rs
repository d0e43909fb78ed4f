//! What is PostgreSQL's own: migrations, limits over several instances, indexes, and a server that is killed, stops
//! answering, or drops its connections.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use guildhall::app::App;
use guildhall::base::clock::Clock;
use guildhall::store::Db;
use nix::sys::signal::Signal;
use serde_json::json;

use crate::help::database;
use crate::help::postgres_server::PostgresServer;
use crate::help::process::eventually;
use crate::help::{TestApp, numbered_texts};

pub async fn app_on(url: &str, variables: &[(&str, &str)]) -> TestApp {
    let mut all = vec![("DATABASE_URL", url)];
    all.extend(variables);
    TestApp::with(&all).await
}

#[tokio::test]
async fn tables_that_were_not_migrated_name_the_command_that_does_it() {
    let url = database::schema().await;
    let config = database::config(&url);
    let fault = App::start(config.clone(), Clock::default()).await.err().unwrap().to_string();
    assert!(fault.contains("guildhall migrate"), "{fault}");
    let (one, other) = tokio::join!(Db::migrate(&config), Db::migrate(&config));
    let steps = [one.unwrap(), other.unwrap()];
    assert!(steps.contains(&0) || steps[0] + steps[1] >= 1, "{steps:?}");
    assert_eq!(Db::migrate(&config).await, Ok(0), "nothing is left to do");
}

/// Three instances on one database, which hold players to this limit.
pub async fn three_with_limit(limit: &str) -> [TestApp; 3] {
    let (url, limit) = (database::migrated().await, [("GUILDHALL_SEND_LIMIT", limit)]);
    [app_on(&url, &limit).await, app_on(&url, &limit).await, app_on(&url, &limit).await]
}

/// Players who use several instances at once get no more than one would give them.
#[tokio::test(flavor = "multi_thread")]
async fn limits_hold_over_several_instances() {
    let instances = three_with_limit("5/60s").await;
    instances[0].world("world", &["alice"]).await;
    let slow = json!({ "id": "slow", "kind": "world", "members": ["bob"], "settings": { "open": true, "slow_mode_s": 60 } });
    instances[0].channel(slow).await;
    for (player, channel, allowed) in [("alice", "world", 5), ("bob", "slow", 1)] {
        let sends =
            (0..30).map(|n| {
                let actor = instances[n % 3].player(player);
                async move {
                    actor.post("/message/send", json!({ "channel": channel, "text": format!("{n}") })).await
                }
            });
        let replies = join_all(sends).await;
        let stored = replies.iter().filter(|reply| reply.status == 200).count();
        assert_eq!(stored, allowed, "{player}");
        for reply in replies.iter().filter(|reply| reply.status != 200) {
            assert!(matches!(reply.status.as_u16(), 429 | 503), "{}", reply.body);
        }
        assert_eq!(instances[1].player(player).history(channel).await.len(), allowed);
    }
}

/// Everything that takes locks, at once, on few rows, from two instances: nothing waits for itself in a circle.
#[tokio::test(flavor = "multi_thread")]
async fn changes_of_all_kinds_at_once_all_succeed() {
    let url = database::migrated().await;
    let instances = [Arc::new(app_on(&url, &[]).await), Arc::new(app_on(&url, &[]).await)];
    let players = ["ann", "ben", "cat", "dan"];
    for channel in ["one", "two", "three"] {
        instances[0].world(channel, &players).await;
    }
    let work = (0..8).map(|worker: usize| {
        let app = Arc::clone(&instances[worker % 2]);
        tokio::spawn(async move {
            for n in 0..40 {
                let channel = ["one", "two", "three"][(worker + n) % 3];
                let actor = app.player(players[(worker * 3 + n) % 4]);
                let input =
                    json!({ "channel": channel, "text": format!("{worker} {n}"), "mentions": players });
                let sent = actor.post("/message/send", input).await;
                if n % 4 == 1 {
                    let other =
                        json!({ "channel": channel, "members": [players[n % 4], players[(n + 1) % 4]] });
                    app.server().post("/channel/members-remove", other.clone()).await.data();
                    app.server().post("/channel/members-add", other).await.data();
                }
                if sent.status == 403 {
                    continue; // was removed for a moment
                }
                let seq = sent.data()["message"]["seq"].clone();
                let place = json!({ "channel": channel, "seq": seq });
                if n % 3 == 0 {
                    actor.post("/message/recall", place.clone()).await.data();
                }
                let read = actor.post("/channel/read", place).await;
                assert!(matches!(read.status.as_u16(), 200 | 403), "{}", read.body);
            }
        })
    });
    for worker in join_all(work).await {
        worker.unwrap();
    }
    for channel in ["one", "two", "three"] {
        let info = instances[0].server().get(&format!("/channel/info?channel={channel}")).await.data();
        assert_eq!(info["members"], 4, "{info}");
    }
}

const WRITERS: usize = 16;

#[tokio::test(flavor = "multi_thread")]
async fn twenty_kills_of_the_database_lose_nothing_and_store_nothing_twice() {
    let mut server = PostgresServer::start("");
    let url = server.url();
    Db::migrate(&database::config(&url)).await.unwrap();
    let app = Arc::new(app_on(&url, &[]).await);
    let names: Vec<String> = (0..WRITERS).map(|n| format!("writer-{n}")).collect();
    app.world("world", &names.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let (done, count) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let written = Arc::new(AtomicBool::new(false));
    let writers: Vec<_> = names
        .into_iter()
        .map(|name| tokio::spawn(write(Arc::clone(&app), name, Arc::clone(&done), Arc::clone(&count))))
        .collect();
    let reader = tokio::spawn(follow(Arc::clone(&app), Arc::clone(&written)));
    for round in 0..20 {
        let before = count.load(Ordering::SeqCst);
        let load = async || (count.load(Ordering::SeqCst) > before + WRITERS).then_some(());
        eventually("load", load).await;
        // Not always at the same moment of a commit.
        tokio::time::sleep(Duration::from_millis(23 * (round % 7))).await;
        server = tokio::task::spawn_blocking(move || {
            server.kill_and_start();
            server
        })
        .await
        .unwrap();
    }
    let before = count.load(Ordering::SeqCst);
    let load = async || (count.load(Ordering::SeqCst) > before + WRITERS).then_some(());
    eventually("load after the last kill", load).await;
    done.store(true, Ordering::SeqCst);
    let mut acknowledged = HashSet::new();
    for writer in writers {
        for sent in writer.await.unwrap() {
            assert!(acknowledged.insert(sent), "one number twice");
        }
    }
    written.store(true, Ordering::SeqCst);
    let seen = reader.await.unwrap();
    let numbers: Vec<i64> = seen.iter().map(|(seq, _)| *seq).collect();
    assert_eq!(numbers, (1..=acknowledged.len() as i64).collect::<Vec<_>>(), "0 gaps, 0 twice, 0 missed");
    assert_eq!(seen.into_iter().collect::<HashSet<_>>(), acknowledged, "0 lost");
    assert!(acknowledged.len() > 21 * WRITERS);
}

/// Sends one message after the other, each until it is acknowledged.
async fn write(
    app: Arc<TestApp>,
    name: String,
    done: Arc<AtomicBool>,
    count: Arc<AtomicUsize>,
) -> Vec<(i64, String)> {
    let actor = app.player(&name);
    let mut sent = Vec::new();
    while !done.load(Ordering::SeqCst) {
        let text = format!("{name} {}", sent.len());
        let input = json!({ "channel": "world", "text": text, "nonce": text });
        let reply = loop {
            let reply = actor.post("/message/send", input.clone()).await;
            match reply.status.as_u16() {
                200 => break reply.data(),
                503 => tokio::time::sleep(Duration::from_millis(20)).await,
                other => panic!("{other}: {}", reply.body),
            }
        };
        sent.push((reply["message"]["seq"].as_i64().unwrap(), text));
        count.fetch_add(1, Ordering::SeqCst);
    }
    sent
}

/// Reads on until nothing more will be written and everything was read.
async fn follow(app: Arc<TestApp>, written: Arc<AtomicBool>) -> Vec<(i64, String)> {
    let reader = app.player("reader");
    let mut seen: Vec<(i64, String)> = Vec::new();
    loop {
        let last_round = written.load(Ordering::SeqCst);
        let after = seen.last().map_or(0, |(seq, _)| *seq);
        let page = reader.get(&format!("/message/list?channel=world&limit=100&after={after}")).await;
        if page.status == 503 {
            tokio::time::sleep(Duration::from_millis(20)).await;
            continue;
        }
        let page = page.data();
        seen.extend(numbered_texts(&page));
        if last_round && page["more"] == false {
            return seen;
        }
    }
}

/// A database that answers nothing for a while: callers are told so within their time, and afterwards all is as before.
#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_stands_still_is_told_as_unavailable_and_never_hangs() {
    let server = PostgresServer::start("");
    Db::migrate(&database::config(&server.url())).await.unwrap();
    let app = app_on(&server.url(), &[("GUILDHALL_REQUEST_TIMEOUT_S", "2")]).await;
    app.world("world", &["alice"]).await;
    app.player("alice").say("world", "before").await;
    server.signal(Signal::SIGSTOP);
    let started = Instant::now();
    let send = json!({ "channel": "world", "text": "meanwhile", "nonce": "n" });
    let (sent, listed, live) = tokio::join!(
        async { app.player("alice").post("/message/send", send.clone()).await },
        async { app.player("alice").get("/message/list?channel=world").await },
        async { app.nobody().get("/health/live").await },
    );
    assert_eq!((sent.status.as_u16(), sent.code().as_str()), (503, "unavailable"));
    assert_eq!((listed.status.as_u16(), listed.code().as_str()), (503, "unavailable"));
    assert_eq!(live.status, 200);
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    // Whoever asks again is told so again, within the same time.
    for _ in 0..3 {
        let asked = Instant::now();
        assert_eq!(app.player("alice").get("/message/list?channel=world").await.code(), "unavailable");
        assert!(asked.elapsed() < Duration::from_secs(5), "{:?}", asked.elapsed());
    }
    server.signal(Signal::SIGCONT);
    let sent = loop {
        let sent = app.player("alice").post("/message/send", send.clone()).await;
        if sent.status == 200 {
            break sent.data();
        }
        assert_eq!(sent.status, 503, "{}", sent.body);
    };
    assert_eq!(sent["message"]["seq"], 2);
    assert_eq!(app.player("alice").history("world").await.len(), 2, "once");
}

/// Connections that were cut (a proxy, an idle limit, a failover, a frozen Lambda instance) are nobody's trouble.
#[tokio::test(flavor = "multi_thread")]
async fn cut_connections_fail_no_request() {
    let server = PostgresServer::start("");
    Db::migrate(&database::config(&server.url())).await.unwrap();
    let app = app_on(&server.url(), &[]).await;
    app.world("world", &["alice"]).await;
    for round in 1..=5 {
        // All of the pool's connections are open, then all are cut.
        let app = &app;
        join_all((0..8).map(async |_| app.player("alice").history("world").await)).await;
        database::execute(
            &server.url(),
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'guildhall'",
        )
        .await;
        match round % 3 {
            0 => assert_eq!(app.player("alice").history("world").await.len(), round - 1),
            1 => {
                drop(app.player("alice").post("/channel/leave", json!({ "channel": "nowhere" })).await.code())
            }
            _ => {}
        }
        assert_eq!(app.player("alice").say("world", "hello").await["seq"], round);
    }
}

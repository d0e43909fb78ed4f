//! A PostgreSQL that is crowded, for reading only, or away, and rows that somebody holds: what callers see of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use futures_util::future::join_all;
use guildhall::store::Db;
use nix::sys::signal::Signal;
use serde_json::json;
use sqlx::{Connection, Executor, PgConnection};

use crate::help::TestApp;
use crate::help::database;
use crate::help::postgres_server::PostgresServer;
use crate::help::process::eventually;
use crate::store::postgres::app_on;

/// Five slots and eight connections, then two slots: every request is answered by the connections that there are.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_with_few_slots_fails_no_request() {
    let server = PostgresServer::start("max_connections = 5\nsuperuser_reserved_connections = 0\n");
    Db::migrate(&database::config(&server.url())).await.unwrap();
    let mut held = Vec::new();
    for taken in [0, 3] {
        while held.len() < taken {
            // PostgreSQL may still be ending those that were closed.
            let slot = eventually("a slot is free", async || PgConnection::connect(&server.url()).await.ok());
            held.push(slot.await);
        }
        let app = app_on(&server.url(), &[]).await;
        let world = format!("world-{taken}");
        app.world(&world, &["alice"]).await;
        let alice = app.player("alice");
        let calls = (0..60).map(|n| {
            let (alice, world) = (&alice, world.clone());
            async move {
                match n % 3 {
                    0 => drop(alice.say(&world, "hello").await),
                    1 => drop(alice.history(&world).await),
                    _ => drop(alice.post("/channel/read", json!({ "channel": world, "seq": 1 })).await),
                }
            }
        });
        alice.say(&world, "first").await;
        join_all(calls).await;
        assert_eq!(alice.history(&world).await.len(), 21);
        app.app.db.close().await;
    }
}

/// Somebody holds the row that counts an entry's hits for long: sends with that entry go on, and each is counted later.
#[tokio::test(flavor = "multi_thread")]
async fn a_held_count_of_the_wordlist_holds_up_no_send() {
    let server = PostgresServer::start("");
    Db::migrate(&database::config(&server.url())).await.unwrap();
    let (one, other) = (app_on(&server.url(), &[]).await, app_on(&server.url(), &[]).await);
    one.world("world", &["alice", "bob"]).await;
    let hits = async |app: &TestApp| app.moderator("mod").get("/wordlist/hits").await;
    one.player("alice").say("world", "a badword").await;
    assert_eq!(hits(&one).await.data()["entries"][0]["hits"], 1);
    let mut holder = PgConnection::connect(&server.url()).await.unwrap();
    holder.execute("BEGIN").await.unwrap();
    holder.execute("SELECT 1 FROM wordlist_hit FOR UPDATE").await.unwrap();
    for n in 0..20 {
        one.player("alice").say("world", &format!("badword {n}")).await;
        other.player("bob").say("world", &format!("badword {n}")).await;
    }
    assert_eq!(hits(&other).await.code(), "unavailable", "the row is held");
    holder.execute("ROLLBACK").await.unwrap();
    hits(&one).await.data();
    assert_eq!(hits(&other).await.data()["entries"][0]["hits"], 41);
}

/// Somebody holds one channel's row for long: its own sends wait or are told so, all others go on.
#[tokio::test(flavor = "multi_thread")]
async fn a_held_channel_holds_up_itself_alone() {
    let server = PostgresServer::start("");
    Db::migrate(&database::config(&server.url())).await.unwrap();
    let app = Arc::new(app_on(&server.url(), &[]).await);
    for channel in ["held", "free", "other"] {
        app.world(channel, &["alice", "bob"]).await;
    }
    let mut holder = PgConnection::connect(&server.url()).await.unwrap();
    holder.execute("BEGIN").await.unwrap();
    holder.execute("SELECT 1 FROM channel WHERE id = 'held' FOR UPDATE").await.unwrap();
    let waits = Arc::new(AtomicBool::new(true));
    let held = {
        let (app, waits) = (Arc::clone(&app), Arc::clone(&waits));
        tokio::spawn(async move {
            let input = json!({ "channel": "held", "text": "hello", "nonce": "n" });
            let reply = loop {
                let reply = app.player("bob").post("/message/send", input.clone()).await;
                if reply.status == 200 {
                    break reply.data();
                }
                assert_eq!(reply.code(), "unavailable");
            };
            waits.store(false, Ordering::SeqCst);
            reply
        })
    };
    let started = Instant::now();
    for n in 0..100 {
        app.player("alice").say(if n % 2 == 0 { "free" } else { "other" }, "hello").await;
    }
    println!("100 sends beside a held channel took {:?}", started.elapsed());
    assert!(waits.load(Ordering::SeqCst), "it was held all the while");
    holder.execute("COMMIT").await.unwrap();
    assert_eq!(held.await.unwrap()["message"]["seq"], 1);
    assert_eq!(app.player("alice").say("held", "again").await["seq"], 2, "no gap");
}

/// A server that became read-only, as one does after a failover: readiness says so, and all is well when it is over.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_for_reading_only_is_not_ready_and_comes_back() {
    let server = PostgresServer::start("");
    Db::migrate(&database::config(&server.url())).await.unwrap();
    let app = app_on(&server.url(), &[]).await;
    app.world("world", &["alice"]).await;
    let alice = app.player("alice");
    alice.say("world", "before").await;
    let read_only = async |on: &str| {
        let mut connection = PgConnection::connect(&server.url()).await.unwrap();
        let set = format!("ALTER SYSTEM SET default_transaction_read_only = {on}");
        connection.execute("SET default_transaction_read_only = off").await.unwrap();
        connection.execute(sqlx::AssertSqlSafe(set)).await.unwrap();
        connection.execute("SELECT pg_reload_conf()").await.unwrap();
    };
    let ready = async |expected: u16| {
        let asked = async || (app.nobody().get("/health/ready").await.status == expected).then_some(());
        eventually("readiness knows", asked).await;
    };
    read_only("on").await;
    ready(503).await;
    let input = json!({ "channel": "world", "text": "meanwhile", "nonce": "n" });
    assert_eq!(alice.post("/message/send", input.clone()).await.code(), "unavailable");
    assert_eq!(alice.history("world").await.len(), 1, "what is there can be read");
    read_only("off").await;
    ready(200).await;
    assert_eq!(alice.post("/message/send", input).await.data()["message"]["seq"], 2);
}

/// Once it is known that nobody answers, calls are told at once.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_known_to_be_away_costs_one_call_its_time() {
    let server = PostgresServer::start("");
    Db::migrate(&database::config(&server.url())).await.unwrap();
    let app = app_on(&server.url(), &[("GUILDHALL_REQUEST_TIMEOUT_S", "8")]).await;
    app.world("world", &["alice"]).await;
    server.signal(Signal::SIGSTOP);
    let call = async || app.player("alice").get("/message/list?channel=world").await;
    // Connections that are open hang until the request's time is over; then a new one does not come.
    eventually("it is known", async || {
        let started = Instant::now();
        assert_eq!(call().await.code(), "unavailable");
        (started.elapsed().as_millis() < 400).then_some(())
    })
    .await;
    let started = Instant::now();
    for _ in 0..100 {
        assert_eq!(call().await.code(), "unavailable");
    }
    println!("100 calls while it is known to be away took {:?}", started.elapsed());
    assert!(started.elapsed().as_secs() < 100, "each waited: {:?}", started.elapsed());
    server.signal(Signal::SIGCONT);
    eventually("it is back", async || (call().await.status == 200).then_some(())).await;
}

/// Several instances that migrate at once, the first of which takes its time: all come through.
#[tokio::test(flavor = "multi_thread")]
async fn whoever_migrates_second_waits_for_the_first() {
    // What the migrations' library locks in a database of this name.
    const LOCK: i64 = 368_907_709_894_077_238;
    let server = PostgresServer::start("");
    let config = database::config(&server.url());
    let mut first = PgConnection::connect(&server.url()).await.unwrap();
    let name: String = sqlx::query_scalar("SELECT current_database()").fetch_one(&mut first).await.unwrap();
    assert_eq!(name, "postgres");
    first.execute(sqlx::AssertSqlSafe(format!("SELECT pg_advisory_lock({LOCK})"))).await.unwrap();
    // It gives up after half a second, as any statement does, and tries again.
    let waiting = "SELECT a.query_start::text FROM pg_locks l JOIN pg_stat_activity a USING (pid)
        WHERE l.locktype = 'advisory' AND NOT l.granted";
    let mut tries = std::collections::HashSet::new();
    let ending = async {
        eventually("the second waits, again and again", async || {
            let mut connection = PgConnection::connect(&server.url()).await.unwrap();
            let began: Vec<String> = sqlx::query_scalar(waiting).fetch_all(&mut connection).await.unwrap();
            tries.extend(began);
            (tries.len() >= 3).then_some(())
        })
        .await;
        first.close().await.unwrap();
    };
    let (second, ()) = tokio::join!(Db::migrate(&config), ending);
    assert!(second.unwrap() > 0);
    assert_eq!(Db::migrate(&config).await, Ok(0));
}

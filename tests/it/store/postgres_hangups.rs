//! PostgreSQL and callers that go away: the connections stay as they were, and reads leave some to those who write.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use futures_util::{StreamExt, stream};
use guildhall::store::Db;
use serde_json::json;
use sqlx::{Connection, Executor, PgConnection};
use tokio::time::timeout;

use crate::help::database;
use crate::help::postgres_server::PostgresServer;
use crate::help::process::eventually;
use crate::store::postgres::app_on;

const BACKENDS: &str = "SELECT pid FROM pg_stat_activity WHERE application_name = 'guildhall'";

/// Clients hang up after a few milliseconds, while a connection is made, lent, or in the middle of a query. Each connection
/// stays, no new ones are begun, and whoever sends meanwhile is served.
#[tokio::test(flavor = "multi_thread")]
async fn callers_who_hang_up_cost_no_connection() {
    let server = PostgresServer::start("");
    Db::migrate(&database::config(&server.url())).await.unwrap();
    let app = Arc::new(app_on(&server.url(), &[]).await);
    app.world("world", &["alice", "bob"]).await;
    app.player("alice").say("world", "hello").await;
    let mut watcher = PgConnection::connect(&server.url()).await.unwrap();
    let mut backends = async || -> BTreeSet<i32> {
        sqlx::query_scalar(BACKENDS).fetch_all(&mut watcher).await.unwrap().into_iter().collect()
    };
    let hang_ups = async |count: u64| {
        let hang_up = |n: u64| {
            let app = Arc::clone(&app);
            async move {
                let (wait, alice) = (Duration::from_micros(n * 137 % 3_000), app.player("alice"));
                if n.is_multiple_of(2) {
                    drop(timeout(wait, alice.get("/channel/inbox")).await);
                } else {
                    // In a transaction, which nobody may find open afterwards.
                    let input = json!({ "player": format!("p{}", n % 50) });
                    drop(timeout(wait, alice.post("/player/block", input)).await);
                }
            }
        };
        stream::iter(0..count).for_each_concurrent(40, hang_up).await;
    };
    hang_ups(200).await;
    let before = eventually("connections were made", async || {
        let now = backends().await;
        (now.len() >= 6).then_some(now)
    })
    .await;
    let bob = app.player("bob");
    let sends = async {
        for n in 0..50 {
            bob.say("world", &format!("hello {n}")).await;
        }
    };
    tokio::join!(hang_ups(4_000), sends);
    let after = backends().await;
    assert!(after.is_superset(&before), "{before:?} and then {after:?}");
    assert!(after.len() <= 8, "{after:?}");
    // What was answered is there for others, too.
    let stored = "SELECT count(*) FROM message";
    let stored: i64 = sqlx::query_scalar(stored).fetch_one(&mut watcher).await.unwrap();
    assert_eq!(stored, 51);
    let open = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'guildhall' AND state LIKE 'idle in%'";
    eventually("no transaction is open", async || {
        let open: i64 = sqlx::query_scalar(open).fetch_one(&mut watcher).await.unwrap();
        (open == 0).then_some(())
    })
    .await;
}

/// A reader who waits for a table that somebody holds keeps its connection; forty of them keep no send from being stored.
#[tokio::test(flavor = "multi_thread")]
async fn reads_that_wait_leave_connections_to_sends() {
    for connections in ["2", "3", "8"] {
        let server = PostgresServer::start("");
        Db::migrate(&database::config(&server.url())).await.unwrap();
        let app = app_on(&server.url(), &[("GUILDHALL_DATABASE_CONNECTIONS", connections)]).await;
        app.world("world", &["alice"]).await;
        app.player("alice").say("world", "first").await;
        let mut holder = PgConnection::connect(&server.url()).await.unwrap();
        holder.execute("BEGIN; LOCK TABLE wordlist_hit IN ACCESS EXCLUSIVE MODE").await.unwrap();
        let answered = AtomicUsize::new(0);
        let reads = join_all((0..40).map(async |_| {
            let reply = app.moderator("mod").get("/wordlist/hits").await;
            answered.fetch_add(1, Ordering::SeqCst);
            assert_eq!(reply.code(), "unavailable");
        }));
        let sends = async {
            eventually("a read waits", async || {
                let mut watcher = PgConnection::connect(&server.url()).await.unwrap();
                let waits = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'";
                let waiting: i64 = sqlx::query_scalar(waits).fetch_one(&mut watcher).await.unwrap();
                (waiting > 0).then_some(())
            })
            .await;
            for n in 0..20 {
                app.player("alice").say("world", &format!("hello {n}")).await;
            }
            answered.load(Ordering::SeqCst)
        };
        let (_, answered) = tokio::join!(reads, sends);
        assert!(answered < 40, "the sends waited for all reads, with {connections} connections");
    }
}

//! Hours at half the top rate: memory, latency and errors while old messages are deleted, tasks run and the wordlist
//! changes. A leak, or a table that slows down as it fills, shows here and nowhere else.
//!
//! `scripts/load --soak` runs it.

#![expect(clippy::unwrap_used, reason = "a measurement that meets a fault has nothing to print")]
#![expect(clippy::disallowed_methods, reason = "DATABASE_URL says what is measured")]

use std::path::Path;
use std::process::ExitCode;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use clap::Parser;
use guildhall::chat::identity::Scope;
use serde_json::json;
use sqlx::Connection as _;
use tokio::time::{MissedTickBehavior, interval, sleep};

#[path = "support/server.rs"]
#[expect(dead_code, reason = "the other measurements use the rest")]
mod server;

use server::{Asked, Connection, Server, quantile_ms, schema, token};

/// Loads a server for long, and prints a row a minute.
#[derive(Parser)]
struct Options {
    /// Minutes; ten of them warm up.
    #[arg(long, default_value_t = 60)]
    minutes: usize,
    /// Sends a second; without it, half of what ten seconds at full speed give.
    #[arg(long)]
    rate: Option<u64>,
    /// Given by `cargo bench`; means nothing here.
    #[arg(long, hide = true)]
    bench: bool,
}

const CLIENTS: usize = 64;
const CHANNELS: usize = 100;

/// Messages that are old already when they are stored, each minute.
const OLD: i64 = 50_000;

/// By how much memory may grow behind the minutes that warm up, and what p99 may do.
const MEMORY_ROOM: f64 = 1.05;
const P99_ROOM: f64 = 1.5;

/// How long each send took since somebody looked.
type Took = Arc<Mutex<Vec<Duration>>>;

fn main() -> ExitCode {
    server::measured(run(Options::parse()))
}

async fn run(options: Options) -> bool {
    let folder = tempfile::tempdir_in(".").unwrap();
    let url = schema(&std::env::var("DATABASE_URL").expect("scripts/load --soak starts PostgreSQL")).await;
    let lists = folder.path().join("lists");
    write_list(&lists, 0);
    let variables = [
        ("GUILDHALL_WORDLISTS", lists.to_str()),
        ("GUILDHALL_WORDLIST_REFRESH_S", Some("5")),
        ("GUILDHALL_RETENTION", Some("party=1d")),
    ];
    let server = Server::start_with(folder.path(), Some(&url), None, &variables);
    let game = token("game", Scope::Server);
    make_channels(&server, &game).await;
    let rate = match options.rate {
        Some(rate) => rate,
        None => top_rate(&server).await / 2,
    };
    println!("{rate} sends a second for {} minutes, on PostgreSQL", options.minutes);
    let took = Took::default();
    let mut since = Instant::now();
    let senders: Vec<_> =
        (0..CLIENTS).map(|client| tokio::spawn(talk(server.port, client, rate, Arc::clone(&took)))).collect();
    let tasks = tokio::spawn(submit_tasks(server.port, game.clone()));
    println!(
        "{:>6} {:>9} {:>9} {:>9} {:>9} {:>11} {:>9}",
        "minute", "per s", "p50 ms", "p99 ms", "max ms", "memory MB", "old left"
    );
    let mut rows = Vec::new();
    for minute in 1..=options.minutes {
        age(&server, &game, &url, minute).await;
        write_list(&lists, minute);
        sleep(Duration::from_secs(60)).await;
        let mut sends = std::mem::take(&mut *took.lock().unwrap());
        let passed = since.elapsed().as_secs_f64();
        since = Instant::now();
        assert!(!sends.is_empty() && !senders.iter().any(|sender| sender.is_finished()), "a send failed");
        assert!(!tasks.is_finished(), "a task failed");
        sends.sort_unstable();
        let ms = |share| quantile_ms(&sends, share);
        let (memory, p99) = (server.resident_mb(), ms(0.99));
        println!(
            "{minute:>6} {:>9} {:>9.2} {p99:>9.2} {:>9.2} {memory:>11.1} {:>9}",
            (sends.len() as f64 / passed).round(),
            ms(0.5),
            ms(1.0),
            old_left(&url).await
        );
        rows.push((memory, p99));
    }
    senders.iter().for_each(tokio::task::JoinHandle::abort);
    tasks.abort();
    judge(&rows)
}

/// Is the end like the minutes behind the tenth, or behind the first third of a short run?
fn judge(rows: &[(f64, f64)]) -> bool {
    let warm = &rows[(rows.len() / 3).min(10)..];
    let part = (warm.len() / 4).max(1);
    let median = |rows: &[(f64, f64)], column: fn(&(f64, f64)) -> f64| {
        let mut values: Vec<f64> = rows.iter().map(column).collect();
        values.sort_unstable_by(f64::total_cmp);
        values[values.len() / 2]
    };
    let growth = |column| median(&warm[warm.len() - part..], column) / median(&warm[..part], column);
    let (memory, p99) = (growth(|row| row.0), growth(|row| row.1));
    println!(
        "from the first to the last quarter behind the warming up: memory x {memory:.3}, p99 x {p99:.2}"
    );
    memory <= MEMORY_ROOM && p99 <= P99_ROOM
}

async fn make_channels(server: &Server, game: &str) {
    let members: Vec<String> = (0..CLIENTS).map(|n| format!("player-{n}")).collect();
    let mut connection = Connection::open(server.port).await;
    for n in 0..CHANNELS {
        let body = json!({ "id": format!("channel-{n}"), "kind": "world", "members": members });
        assert_eq!(connection.ask(&post("/channel/create", body), game).await, 200);
    }
}

fn post(path: &str, body: serde_json::Value) -> Asked {
    ("POST", path.to_owned(), body.to_string())
}

fn send(client: usize, n: u64) -> Asked {
    let channel = (client + n as usize * 7) % CHANNELS;
    let text = format!("有人知道这个任务在哪里交吗 number {n} word{}", n % 50);
    post("/message/send", json!({ "channel": format!("channel-{channel}"), "text": text }))
}

async fn top_rate(server: &Server) -> u64 {
    const SECONDS: u64 = 10;
    let end = Instant::now() + Duration::from_secs(SECONDS);
    let port = server.port;
    let talk = |client| {
        tokio::spawn(async move {
            let (mut connection, token) =
                (Connection::open(port).await, token(&format!("player-{client}"), Scope::Player));
            let mut count = 0;
            while Instant::now() < end {
                assert_eq!(connection.ask(&send(client, count), &token).await, 200);
                count += 1;
            }
            count
        })
    };
    let talking: Vec<_> = (0..CLIENTS).map(talk).collect();
    let mut sent = 0;
    for client in talking {
        sent += client.await.unwrap();
    }
    sent / SECONDS
}

/// Sends at a pace, until one fails.
async fn talk(port: u16, client: usize, rate: u64, took: Took) {
    let (mut connection, token) =
        (Connection::open(port).await, token(&format!("player-{client}"), Scope::Player));
    sleep(Duration::from_micros(client as u64 * 1_000_000 / rate)).await;
    let mut pace = interval(Duration::from_secs_f64(CLIENTS as f64 / rate as f64));
    pace.set_missed_tick_behavior(MissedTickBehavior::Burst);
    for n in 0.. {
        pace.tick().await;
        let request = send(client, n);
        let started = Instant::now();
        let status = connection.ask(&request, &token).await;
        assert_eq!(status, 200, "{}", String::from_utf8_lossy(&connection.buffer));
        took.lock().unwrap().push(started.elapsed());
    }
}

/// Ten tasks a second.
async fn submit_tasks(port: u16, game: String) {
    let mut connection = Connection::open(port).await;
    loop {
        let submit = post("/task/submit", json!({ "task": "retention.v1", "payload": {} }));
        assert_eq!(connection.ask(&submit, &game).await, 200);
        sleep(Duration::from_millis(100)).await;
    }
}

/// A channel whose messages are old, and a task that deletes them.
async fn age(server: &Server, game: &str, url: &str, minute: usize) {
    let mut connection = Connection::open(server.port).await;
    let id = format!("old-{minute}");
    let create = post("/channel/create", json!({ "id": id, "kind": "party", "members": ["player-0"] }));
    assert_eq!(connection.ask(&create, game).await, 200);
    let mut database = sqlx::AnyConnection::connect(url).await.unwrap();
    let insert = "INSERT INTO message (channel_key, seq, said, sender_id, sent_at, shown, nonce, digest)
         SELECT c.key, n, n, 'filler', 1700000000000 + n, '{}', 'f' || n, 'none'
         FROM channel c CROSS JOIN generate_series(1, $1) AS s (n) WHERE c.id = $2";
    sqlx::query(insert).bind(OLD).bind(&id).execute(&mut database).await.unwrap();
    let count = "UPDATE channel SET last_seq = $1, last_said = $1 WHERE id = $2";
    sqlx::query(count).bind(OLD).bind(&id).execute(&mut database).await.unwrap();
    let submit = post("/task/submit", json!({ "task": "retention.v1", "payload": { "catch_up": true } }));
    assert_eq!(connection.ask(&submit, game).await, 200);
}

async fn old_left(url: &str) -> i64 {
    let mut database = sqlx::AnyConnection::connect(url).await.unwrap();
    // By each channel's index: a question that reads all messages takes seconds, and would be what is measured.
    let left = "SELECT count(*) FROM channel c CROSS JOIN LATERAL (
             SELECT 1 FROM message m WHERE m.channel_key = c.key AND m.seq <= c.last_seq ORDER BY m.seq LIMIT $1
         ) m WHERE c.kind = 'party'";
    sqlx::query_scalar(left).bind(OLD).fetch_one(&mut database).await.unwrap()
}

/// Ten thousand entries, of which some change with the minute.
fn write_list(folder: &Path, minute: usize) {
    std::fs::create_dir_all(folder).unwrap();
    let words: Vec<String> = (0..10_000).map(|n| format!("zqx{}xqz", n + minute * 100)).collect();
    let next = folder.join("soak.tmp");
    std::fs::write(&next, words.join("\n")).unwrap();
    std::fs::rename(next, folder.join("soak.txt")).unwrap();
}

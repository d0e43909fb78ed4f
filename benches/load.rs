//! Load on the real program: starts it on an empty data folder, speaks HTTP to it from many connections, and prints
//! rates, latencies, CPU a request and memory, beside the rate at which this machine's disk syncs.
//!
//! `scripts/load` runs it. Rates move with machine and disk; compare figures of one run.

#![expect(clippy::unwrap_used, reason = "a measurement that meets a fault has nothing to print")]
#![expect(clippy::disallowed_methods, reason = "DATABASE_URL says what is measured")]

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write as _;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use clap::Parser;
use guildhall::chat::identity::Scope;
use sqlx::Connection as _;

#[path = "support/asking.rs"]
mod asking;
#[path = "support/function.rs"]
mod function;
#[path = "support/nonces.rs"]
mod nonces;
#[path = "support/runs.rs"]
mod runs;
#[path = "support/server.rs"]
mod server;

use asking::load;
use runs::{Row, Run};
use server::{Asked, Connection, Server, quantile_ms, schema, token};

/// Loads a server and prints what it bore.
#[derive(Parser)]
struct Options {
    /// Seconds a measurement takes.
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// Connections that send.
    #[arg(long, default_value_t = 64)]
    clients: usize,
    /// Channels they spread over.
    #[arg(long, default_value_t = 100)]
    channels: usize,
    /// Connections that read.
    #[arg(long, default_value_t = 32)]
    readers: usize,
    /// Messages that are stored before the measurement, spread over the channels.
    #[arg(long, default_value_t = 0)]
    stored: i64,
    /// Every send causes a task for the broker at this address, which may be there or not; sends alone are measured.
    #[arg(long, value_name = "HOST:PORT")]
    tasks_to: Option<String>,
    /// What a call costs as a function under AWS's emulator, instead: so many calls of each kind, one after the other.
    #[arg(long, value_name = "CALLS", num_args = 0..=1, default_missing_value = "2000")]
    function: Option<usize>,
    /// What it costs to keep nonces unique, by what keeps them, instead: turns of so many inserts, on PostgreSQL.
    #[arg(long, value_name = "INSERTS", num_args = 0..=1, default_missing_value = "2000",
          value_parser = clap::value_parser!(i64).range(1..))]
    nonces: Option<i64>,
    /// Keeps the rates and CPU of this run in a file, for --compare on the same machine.
    #[arg(long, value_name = "FILE", conflicts_with = "tasks_to")]
    save: Option<PathBuf>,
    /// Compares this run's ratios to an empty call with those in a file; ends with 1 where something got dearer.
    #[arg(long, value_name = "FILE", conflicts_with = "tasks_to")]
    compare: Option<PathBuf>,
    /// Given by `cargo bench`; means nothing here.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> ExitCode {
    server::measured(run(Options::parse()))
}

/// False where it was compared with another run, and something got dearer.
async fn run(options: Options) -> bool {
    let folder = tempfile::tempdir_in(".").unwrap();
    let disk = fdatasync_rate(folder.path());
    println!("fdatasync of 4 KiB here: {disk:.0}/s, one after the other");
    let database = match std::env::var("DATABASE_URL") {
        Ok(url) => Some(schema(&url).await),
        Err(_) => None,
    };
    let on = if database.is_some() { "PostgreSQL" } else { "SQLite" };
    println!("on {on}");
    if measure_apart(&options, folder.path(), database.as_deref()).await {
        return true;
    }
    let lists = folder.path().join("lists");
    write_list(&lists);
    let lists = Some(lists.to_str().unwrap());
    let server = Server::start_with(
        folder.path(),
        database.as_deref(),
        options.tasks_to.as_deref(),
        &[("GUILDHALL_WORDLISTS", lists)],
    );
    tokio::time::sleep(Duration::from_secs(2)).await;
    println!("idle memory: {:.1} MB", server.resident_mb());
    let tokens: Vec<String> = (0..options.clients.max(options.readers))
        .map(|n| token(&format!("player-{n}"), Scope::Player))
        .collect();
    prepare(&server, &options).await;
    let url = database.unwrap_or_else(|| format!("sqlite://{}/guildhall.db", folder.path().display()));
    fill(&url, &options).await;
    println!(
        "{:<34} {:>9} {:>9} {:>9} {:>9} {:>14} {:>11}",
        "", "per s", "p50 ms", "p99 ms", "max ms", "CPU us/request", "generator's"
    );
    let channels = options.channels;
    let senders = &tokens[..options.clients];
    let readers = &tokens[..options.readers];
    let mut table =
        Table { server: &server, time: Duration::from_secs(options.seconds), rows: BTreeMap::new() };
    let many = move |client, n| send_request(&format!("channel-{}", (client + n * 7) % channels), client, n);
    table.measure("durable sends, many channels", senders, many).await;
    check_stored(&server, &options).await;
    if options.tasks_to.is_some() {
        return true;
    }
    let one = |client, n| send_request("channel-0", client, n + 10_000_000);
    table.measure("durable sends, one channel", senders, one).await;
    let page = |_, _| ("GET", "/message/list?channel=channel-0&limit=50".to_owned(), String::new());
    table.measure("pages of 50", readers, page).await;
    let cursors: Vec<String> = (0..20).map(|n| format!(r#"{{"channel":"quiet-{n}","after":0}}"#)).collect();
    let poll = format!(r#"{{"channels":[{}]}}"#, cursors.join(","));
    let sync = move |_, _| ("POST", "/message/sync".to_owned(), poll.clone());
    table.measure("sync of 20 quiet channels", readers, sync).await;
    measure_inbox(&mut table).await;
    let live = |_, _| ("GET", "/health/live".to_owned(), String::new());
    table.measure("live (no database)", readers, live).await;
    println!("memory after: {:.1} MB", server.resident_mb());
    let run = Run { fdatasync_per_s: disk, rows: table.rows };
    let good = options.compare.is_none_or(|file| runs::compare(&file, on, &run));
    if let Some(file) = options.save {
        runs::save(&file, on, run);
    }
    good
}

/// What is measured instead of a load; false where nothing of it was asked for.
async fn measure_apart(options: &Options, folder: &Path, database: Option<&str>) -> bool {
    match (options.function, options.nonces, database) {
        (Some(calls), ..) => function::measure(folder, database, calls).await,
        (_, Some(inserts), Some(database)) => nonces::measure(database, inserts).await,
        (_, Some(_), None) => println!("--nonces asks PostgreSQL"),
        _ => return false,
    }
    true
}

/// What players say: Chinese, English and both, of usual lengths.
const TEXTS: [&str; 8] = [
    "大家好，今晚八点公会战，记得上线 and bring potions please",
    "gg",
    "anyone selling 20 iron ore? paying well, meet me at the north gate in five minutes",
    "来个治疗，还差一个就开本",
    "lol nice one",
    "有人知道这个任务在哪里交吗？找了半天没找到",
    "need 2 more for the raid tonight, item level 460 or higher, whisper me",
    "哈哈哈",
];

/// One in fifty has a word of the list.
fn send_request(channel: &str, client: usize, n: usize) -> Asked {
    let text = TEXTS[(client + n) % TEXTS.len()];
    let word = if n.is_multiple_of(50) { word(client * 31 + n) } else { String::new() };
    let body = format!(r#"{{"channel":"{channel}","text":"{text} {n} {word}","nonce":"{client}-{n}"}}"#);
    ("POST", "/message/send".to_owned(), body)
}

/// Entries of the list in use.
const ENTRIES: usize = 10_000;

/// An entry that nobody says by chance.
fn word(n: usize) -> String {
    let letters: String =
        (0..4).map(|place| (b'a' + ((n % ENTRIES) / 10_usize.pow(place) % 10) as u8) as char).collect();
    format!("zqx{letters}xqz")
}

fn write_list(folder: &Path) {
    std::fs::create_dir_all(folder).unwrap();
    let words: Vec<String> = (0..ENTRIES).map(word).collect();
    std::fs::write(folder.join("load.txt"), words.join("\n")).unwrap();
}

/// What was acknowledged is in the lists, each number once and none missing.
async fn check_stored(server: &Server, options: &Options) {
    let reader = token("load", Scope::Server);
    let mut connection = Connection::open(server.port).await;
    let mut stored = 0;
    for n in 0..options.channels {
        let (mut after, begins) = (0, options.stored / options.channels as i64);
        after += begins;
        loop {
            let page = format!("/message/list?channel=channel-{n}&after={after}&limit=100");
            assert_eq!(connection.ask(&("GET", page, String::new()), &reader).await, 200);
            let body = connection.buffer.windows(4).position(|window| window == b"\r\n\r\n").unwrap() + 4;
            let reply: serde_json::Value = serde_json::from_slice(&connection.buffer[body..]).unwrap();
            let messages = reply["data"]["messages"].as_array().unwrap();
            for message in messages {
                after += 1;
                assert_eq!(message["seq"], after, "each number once");
            }
            if messages.is_empty() {
                break;
            }
        }
        stored += after - begins;
    }
    let acknowledged = ACKNOWLEDGED.load(Ordering::Relaxed) as i64;
    println!("  {stored} are in the lists, {acknowledged} were acknowledged");
    assert_eq!(stored, acknowledged, "what was acknowledged is stored once");
}

/// Channels with every sender in them.
async fn prepare(server: &Server, options: &Options) {
    let members: Vec<String> = (0..options.clients).map(|n| format!("player-{n}")).collect();
    let mut connection = Connection::open(server.port).await;
    let token = token("load", Scope::Server);
    for n in 0..options.channels {
        let body = serde_json::json!({ "id": format!("channel-{n}"), "kind": "world", "members": members, "settings": { "open": true } });
        let status = connection.ask(&("POST", "/channel/create".to_owned(), body.to_string()), &token).await;
        assert_eq!(status, 200, "creating a channel");
    }
    for n in 0..20 {
        let body = format!(r#"{{"id":"quiet-{n}","kind":"guild","members":[{}]}}"#, quoted(&members));
        assert_eq!(connection.ask(&("POST", "/channel/create".to_owned(), body), &token).await, 200);
    }
}

fn quoted(names: &[String]) -> String {
    names.iter().map(|name| format!("\"{name}\"")).collect::<Vec<_>>().join(",")
}

/// A player's inbox of very many channels, each of whose pages is asked for again and again.
async fn measure_inbox(table: &mut Table<'_>) {
    const CHANNELS: usize = 5_000;
    let server = table.server;
    let game = token("game", Scope::Server);
    let mut making = tokio::task::JoinSet::new();
    for part in 0..8 {
        let (game, port) = (game.clone(), server.port);
        making.spawn(async move {
            let mut connection = Connection::open(port).await;
            for n in (part..CHANNELS).step_by(8) {
                let create = format!(r#"{{"id":"inbox-{n}","kind":"guild","members":["collector"]}}"#);
                let send = format!(r#"{{"channel":"inbox-{n}","text":"hello"}}"#);
                for asked in [("/channel/create", create), ("/message/send", send)] {
                    let asked = ("POST", asked.0.to_owned(), asked.1);
                    assert_eq!(connection.ask(&asked, &game).await, 200);
                }
            }
        });
    }
    making.join_all().await;
    let collector = token("collector", Scope::Player);
    let (mut pages, mut connection) =
        (vec!["/channel/inbox?limit=100".to_owned()], Connection::open(server.port).await);
    loop {
        let page = pages[pages.len() - 1].clone();
        assert_eq!(connection.ask(&("GET", page, String::new()), &collector).await, 200);
        let body = connection.buffer.windows(4).position(|window| window == b"\r\n\r\n").unwrap() + 4;
        let reply: serde_json::Value = serde_json::from_slice(&connection.buffer[body..]).unwrap();
        let Some(next) = reply["data"]["next"].as_str() else { break };
        pages.push(format!("/channel/inbox?limit=100&after={next}"));
    }
    let ask = move |_, n: usize| ("GET", pages[n % pages.len()].clone(), String::new());
    table.measure("inbox of 5,000 channels, one reader", &[collector], ask).await;
}

/// Stores the messages that are to be there beforehand, past the program: two connections, each in half of the channels that
/// are sent to. PostgreSQL then tidies up, as it does by itself behind a table that grows slowly.
async fn fill(url: &str, options: &Options) {
    let each = options.stored / options.channels as i64;
    if each == 0 {
        return;
    }
    let started = Instant::now();
    sqlx::any::install_default_drivers();
    if url.starts_with("postgres") {
        tokio::join!(fill_half(url, each, 0), fill_half(url, each, 1));
        let mut connection = sqlx::AnyConnection::connect(url).await.unwrap();
        sqlx::query("VACUUM (ANALYZE) message").execute(&mut connection).await.unwrap();
        sqlx::query("CHECKPOINT").execute(&mut connection).await.unwrap();
    } else {
        fill_half(url, each, 0).await;
        fill_half(url, each, 1).await;
    }
    println!("{} messages stored beforehand, in {:.0} s", options.stored, started.elapsed().as_secs_f64());
}

async fn fill_half(url: &str, each: i64, half: i64) {
    let mut connection = sqlx::AnyConnection::connect(url).await.unwrap();
    let shown = r#"'{"channel":"'||c.id||'","seq":'||g.n||',"kind":"text","sender":{"id":"filler","name":"filler"},"text":"大家好，今晚八点公会战，记得上线","payload":null,"mentions":[],"sent_at":1700000000000,"ref":null,"masked":false}'"#;
    let series = if url.starts_with("postgres") {
        "SELECT n FROM generate_series(1, $1) AS s (n)"
    } else {
        "WITH RECURSIVE s (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < $1) SELECT n FROM s"
    };
    let here = "c.id LIKE 'channel-%' AND c.key % 2 = $2";
    let insert = format!(
        "INSERT INTO message (channel_key, seq, said, sender_id, sent_at, shown, nonce, digest)
         SELECT c.key, g.n, g.n, 'filler', 1700000000000 + g.n, {shown}, 'f' || g.n, 'none'
         FROM channel c CROSS JOIN ({series}) g WHERE {here}"
    );
    let number = format!("UPDATE channel AS c SET last_seq = $1, last_said = $1 WHERE {here}");
    for statement in [insert, number] {
        let statement = sqlx::query(sqlx::AssertSqlSafe(statement)).bind(each).bind(half);
        statement.execute(&mut connection).await.unwrap();
    }
}

/// What was measured so far.
struct Table<'a> {
    server: &'a Server,
    time: Duration,
    rows: BTreeMap<String, Row>,
}

impl Table<'_> {
    /// Asks for so long from one connection a token, and prints a row. That is done in turns, each right behind an empty
    /// call that it is compared by; the middle turn counts, so that a slow second of the machine does not.
    async fn measure(
        &mut self,
        what: &str,
        tokens: &[String],
        ask: impl Fn(usize, usize) -> Asked + Send + Sync + 'static,
    ) {
        let ask = Arc::new(ask);
        let (mut turns, mut took) = (Vec::new(), Vec::new());
        for turn in 0..TURNS {
            let empty = |_, _| ("GET", "/health/live".to_owned(), String::new());
            let empty = load(self.server, self.time / 4 / TURNS, tokens, empty).await;
            let ask = Arc::clone(&ask);
            let number = turn as usize * 1_000_000;
            let ask = move |client, n| ask(client, number + n);
            let mut loaded = load(self.server, self.time / TURNS, tokens, ask).await;
            took.append(&mut loaded.took);
            turns.push((loaded, empty));
        }
        if what.starts_with("durable sends") {
            ACKNOWLEDGED.fetch_add(took.len(), Ordering::Relaxed);
        }
        took.sort_unstable();
        let ms = |share| quantile_ms(&took, share);
        println!(
            "{what:<34} {:>9.0} {:>9.2} {:>9.2} {:>9.2} {:>14.1} {:>11.1}",
            middle(&turns, |(loaded, _)| loaded.per_s),
            ms(0.5),
            ms(0.99),
            ms(1.0),
            middle(&turns, |(loaded, _)| loaded.cpu_us),
            middle(&turns, |(loaded, _)| loaded.own_us)
        );
        let rate = middle(&turns, |(loaded, empty)| loaded.per_s / empty.per_s);
        let cpu = middle(&turns, |(loaded, empty)| loaded.cpu_us / empty.cpu_us);
        self.rows.insert(what.to_owned(), Row { rate, cpu });
    }
}

/// Turns of a measurement.
const TURNS: u32 = 5;

/// The median of what each turn says.
fn middle<T>(turns: &[T], says: impl Fn(&T) -> f64) -> f64 {
    let mut said: Vec<f64> = turns.iter().map(says).collect();
    said.sort_by(f64::total_cmp);
    said[said.len() / 2]
}

/// Sends that were acknowledged.
static ACKNOWLEDGED: AtomicUsize = AtomicUsize::new(0);

fn fdatasync_rate(folder: &Path) -> f64 {
    let mut file = File::create(folder.join("sync")).unwrap();
    file.write_all(&[0; 256 * 4096]).unwrap();
    let (started, mut count) = (Instant::now(), 0_u64);
    while started.elapsed() < Duration::from_secs(1) {
        file.write_all_at(&[1; 4096], count % 256 * 4096).unwrap();
        file.sync_data().unwrap();
        count += 1;
    }
    count as f64 / started.elapsed().as_secs_f64()
}

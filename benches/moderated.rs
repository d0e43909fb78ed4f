//! What moderation costs those who did nothing: sends, pages and syncs on a server with ten thousand sanctions and a
//! hundred blocks of each player, beside one with none, in turns that are compared in pairs; and sends while ten thousand messages are purged.
//!
//! `scripts/load --moderated` runs it.

#![expect(clippy::unwrap_used, reason = "a measurement that meets a fault has nothing to print")]
#![expect(clippy::disallowed_methods, reason = "DATABASE_URL says what is measured")]

use std::path::Path;
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use clap::Parser;
use guildhall::chat::identity::Scope;

#[path = "support/asking.rs"]
mod asking;
#[path = "support/server.rs"]
mod server;

use asking::load;
use server::{Asked, Connection, Server, quantile_ms, schema, token};

/// Compares a server with much moderation to one with none.
#[derive(Parser)]
struct Options {
    /// Seconds a turn takes: short, so that both of a pair meet the same minute of the machine.
    #[arg(long, default_value_t = 1)]
    seconds: u64,
    /// Pairs of turns.
    #[arg(long, default_value_t = 21)]
    rounds: usize,
    /// Sanctions in force.
    #[arg(long, default_value_t = 10_000)]
    sanctions: usize,
    /// Players whom each player blocks.
    #[arg(long, default_value_t = 100)]
    blocks: usize,
    /// Messages that are purged.
    #[arg(long, default_value_t = 10_000)]
    purged: usize,
    /// Given by `cargo bench`; means nothing here.
    #[arg(long, hide = true)]
    bench: bool,
}

const CLIENTS: usize = 64;
const CHANNELS: usize = 100;

fn main() -> ExitCode {
    server::measured(run(Options::parse()))
}

async fn run(options: Options) -> bool {
    let folder = tempfile::tempdir_in(".").unwrap();
    let plain = start(&folder.path().join("plain")).await;
    let moderated = start(&folder.path().join("moderated")).await;
    let started = Instant::now();
    moderate(&moderated, &options).await;
    println!(
        "{} sanctions and {} blocks, given in {:.0} s",
        options.sanctions,
        options.blocks * CLIENTS,
        started.elapsed().as_secs_f64()
    );
    until_told(&moderated).await;
    let tokens: Vec<String> = (0..CLIENTS).map(|n| token(&player(n), Scope::Player)).collect();
    println!(
        "{:<28} {:>8} {:>8} {:>6} {:>15} {:>7} {:>7} {:>6} {:>11}",
        "medians", "per s", "with", "ratio", "quartiles", "CPU us", "with", "ratio", "generator's"
    );
    let time = Duration::from_secs(options.seconds);
    for (what, ask) in ASKED {
        let (mut rates, mut cpu, mut own) = ([vec![], vec![]], [vec![], vec![]], Vec::new());
        for round in 0..options.rounds * 2 {
            // Neither comes first more often than the other.
            let which = (round + round / 2) % 2;
            let server = if which == 0 { &plain } else { &moderated };
            let loaded = load(server, time, &tokens, ask).await;
            rates[which].push(loaded.per_s);
            cpu[which].push(loaded.cpu_us);
            own.push(loaded.own_us);
        }
        let [dearer, cheaper, ratio] = [0.25, 0.75, 0.5].map(|share| quantile(pairs(&rates), share));
        let cpu_ratio = quantile(pairs(&cpu), 0.5);
        let [[without, with], [cpu_without, cpu_with]] =
            [rates, cpu].map(|both| both.map(|all| quantile(all, 0.5)));
        println!(
            "{what:<28} {without:>8.0} {with:>8.0} {ratio:>6.3} {:>15} {cpu_without:>7.1} {cpu_with:>7.1} {cpu_ratio:>6.3} {:>11.1}",
            format!("{dearer:.3} to {cheaper:.3}"),
            quantile(own, 0.5)
        );
    }
    println!("memory: {:.1} MB without, {:.1} MB with", plain.resident_mb(), moderated.resident_mb());
    purge(&plain, &tokens, &options).await;
    true
}

fn player(n: usize) -> String {
    format!("player-{n}")
}

fn quantile(mut values: Vec<f64>, share: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    values[((values.len() - 1) as f64 * share).round() as usize]
}

/// Each turn with moderation as a ratio to the one without beside it.
fn pairs([without, with]: &[Vec<f64>; 2]) -> Vec<f64> {
    without.iter().zip(with).map(|(without, with)| with / without).collect()
}

/// Each send is another one, in whatever round.
static SENT: AtomicUsize = AtomicUsize::new(0);

type Ask = fn(usize, usize) -> Asked;
const ASKED: [(&str, Ask); 3] = [
    ("durable sends, many channels", |client, _| {
        let n = SENT.fetch_add(1, Ordering::Relaxed);
        let channel = (client + n * 7) % CHANNELS;
        let body =
            format!(r#"{{"channel":"channel-{channel}","text":"nice one {n}","nonce":"{client}-{n}"}}"#);
        ("POST", "/message/send".to_owned(), body)
    }),
    ("pages of 50", |_, _| ("GET", "/message/list?channel=channel-0&limit=50".to_owned(), String::new())),
    ("sync of 20 quiet channels", |_, _| {
        let cursors: Vec<String> =
            (0..20).map(|n| format!(r#"{{"channel":"quiet-{n}","after":0}}"#)).collect();
        ("POST", "/message/sync".to_owned(), format!(r#"{{"channels":[{}]}}"#, cursors.join(",")))
    }),
];

async fn start(folder: &Path) -> Server {
    std::fs::create_dir_all(folder).unwrap();
    let database = match std::env::var("DATABASE_URL") {
        Ok(url) => Some(schema(&url).await),
        Err(_) => None,
    };
    let server = Server::start_with(folder, database.as_deref(), None, &[]);
    let mut connection = Connection::open(server.port).await;
    let game = token("game", Scope::Server);
    let members: Vec<String> = (0..CLIENTS).map(player).collect();
    for (kind, count) in [("channel", CHANNELS), ("quiet", 20)] {
        for n in 0..count {
            let body =
                serde_json::json!({ "id": format!("{kind}-{n}"), "kind": "world", "members": members });
            let asked = ("POST", "/channel/create".to_owned(), body.to_string());
            assert_eq!(connection.ask(&asked, &game).await, 200);
        }
    }
    server
}

/// Sanctions of others, and blocks of everybody.
async fn moderate(server: &Server, options: &Options) {
    let moderator = token("mod", Scope::Moderator);
    let sanctions = (0..options.sanctions).map(|n| {
        let body = format!(
            r#"{{"player":"offender-{n}","kind":"mute","where":"everywhere","seconds":86400,"reason":"r"}}"#
        );
        (moderator.clone(), "/sanction/give", body)
    });
    let blocks = (0..CLIENTS).flat_map(|client| {
        let token = token(&player(client), Scope::Player);
        (0..options.blocks)
            .map(move |n| (token.clone(), "/player/block", format!(r#"{{"player":"nuisance-{n}"}}"#)))
    });
    let all: Vec<_> = sanctions.chain(blocks).collect();
    let mut asking = tokio::task::JoinSet::new();
    for part in all.chunks(all.len().div_ceil(16).max(1)) {
        let (part, port) = (part.to_vec(), server.port);
        asking.spawn(async move {
            let mut connection = Connection::open(port).await;
            for (token, path, body) in part {
                assert_eq!(connection.ask(&("POST", path.to_owned(), body), &token).await, 200);
            }
        });
    }
    asking.join_all().await;
}

/// Waits until the players were told, which is work of its own.
async fn until_told(server: &Server) {
    let (game, mut connection) = (token("game", Scope::Server), Connection::open(server.port).await);
    loop {
        let status = ("GET", "/task/status".to_owned(), String::new());
        assert_eq!(connection.ask(&status, &game).await, 200);
        if answer(&connection)["data"]["ready"] == 0 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// Sends of others while one player's messages are emptied, beside sends with nothing going on.
async fn purge(server: &Server, tokens: &[String], options: &Options) {
    let each = options.purged.div_ceil(CLIENTS);
    let (spammer, moderator) = (token(&player(0), Scope::Player), token("mod", Scope::Moderator));
    let mut spamming = tokio::task::JoinSet::new();
    for part in 0..CLIENTS {
        let (spammer, port) = (spammer.clone(), server.port);
        spamming.spawn(async move {
            let mut connection = Connection::open(port).await;
            for n in 0..each {
                let channel = (part + n) % CHANNELS;
                let body =
                    format!(r#"{{"channel":"channel-{channel}","text":"buy {n}","nonce":"s{part}-{n}"}}"#);
                let asked = ("POST", "/message/send".to_owned(), body);
                assert_eq!(connection.ask(&asked, &spammer).await, 200);
            }
        });
    }
    spamming.join_all().await;
    // At half the top rate, as a full queue would hide what a purge adds.
    let senders = &tokens[1..9];
    let (_, ask) = ASKED[0];
    let usual = load(server, Duration::from_secs(options.seconds), senders, ask).await;
    let mut connection = Connection::open(server.port).await;
    let body = format!(r#"{{"player":"{}","since":0,"reason":"spam","nonce":"purge"}}"#, player(0));
    assert_eq!(connection.ask(&("POST", "/player/purge".to_owned(), body), &moderator).await, 200);
    let id = answer(&connection)["data"]["task"].as_str().unwrap().to_owned();
    let (started, mut took, mut progress) = (Instant::now(), Vec::new(), serde_json::Value::Null);
    while progress["done"] != true {
        took.extend(load(server, Duration::from_millis(100), senders, ask).await.took);
        let show = ("GET", format!("/task/show?id={id}"), String::new());
        assert_eq!(connection.ask(&show, &moderator).await, 200);
        progress = answer(&connection)["data"]["progress"].clone();
    }
    took.sort_unstable();
    println!(
        "{} messages in {} channels purged in {:.1} s; sends meanwhile: p50 {:.2} ms, p99 {:.2} ms; usual: p50 {:.2} ms, p99 {:.2} ms",
        progress["messages"],
        progress["channels"],
        started.elapsed().as_secs_f64(),
        quantile_ms(&took, 0.5),
        quantile_ms(&took, 0.99),
        quantile_ms(&usual.took, 0.5),
        quantile_ms(&usual.took, 0.99)
    );
}

fn answer(connection: &Connection) -> serde_json::Value {
    let body = connection.buffer.windows(4).position(|window| window == b"\r\n\r\n").unwrap() + 4;
    serde_json::from_slice(&connection.buffer[body..]).unwrap()
}

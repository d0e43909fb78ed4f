//! The worst inputs: what the dearest text, payload, name, path, token and frame cost that a player may send.
//!
//! A search climbs from random signs to the texts that take the filter the most steps, with 100,000 entries; then the real
//! program is asked with these and with what else could be dear. `scripts/load --worst` runs it.

#![expect(clippy::unwrap_used, reason = "a measurement that meets a fault has nothing to print")]

use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use clap::Parser;
use guildhall::access::token::{Claims, mint};
use guildhall::chat::identity::Scope;
use guildhall::config::Secret;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

#[path = "support/server.rs"]
#[expect(dead_code, reason = "the other measurements use the rest")]
mod server;

#[path = "support/socket.rs"]
#[expect(dead_code, reason = "the other measurements use the rest")]
mod socket;

#[path = "support/worst.rs"]
#[expect(dead_code, reason = "the other measurements use the rest")]
mod texts;

use server::{Asked, Connection, SECRET, Server, token};
use texts::{PAYLOAD, TEXT};

/// Calls of each kind.
const CALLS: usize = 200;
/// Frames of each kind that one socket sends; a hundred that ask for nothing would end it.
const FRAMES: usize = 90;
/// What callbacks in XML are signed with.
const TICKETS: &str = "a token of the load test";

/// Searches for the worst texts, and measures the worst inputs.
#[derive(Parser)]
struct Options {
    /// Seconds that the search goes on.
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Where the search begins: another number finds others.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Given by `cargo bench`; means nothing here.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> ExitCode {
    let options = Options::parse();
    let words = texts::words(100_000);
    let worst = texts::search(&words, options.seconds, options.seed);
    server::measured(measure(words, worst))
}

/// A row of the table: the input, its bound, who asks, and what.
type Row = (&'static str, &'static str, String, Asked);

async fn measure(words: String, worst: Vec<String>) -> bool {
    let folder = tempfile::tempdir_in(".").unwrap();
    let lists = folder.path().join("lists");
    std::fs::create_dir(&lists).unwrap();
    std::fs::write(lists.join("words.txt"), words).unwrap();
    let server = start(folder.path(), &lists);
    let mut connection = Connection::open(server.port).await;
    let world = json!({ "id": "world", "kind": "world", "members": ["alice"], "settings": { "open": true } });
    let made = ("POST", "/channel/create".to_owned(), world.to_string());
    assert_eq!(connection.ask(&made, &token("game", Scope::Server)).await, 200);
    println!("\n{:<52} {:<34} {:>6} {:>8} {:>8}", "input", "bound", "answer", "CPU ms", "most ms");
    for (input, bound, token, asked) in rows(&worst) {
        let (cpu, mut most, mut status) = (server.cpu_seconds(), Duration::ZERO, 0);
        for _ in 0..CALLS {
            let begun = Instant::now();
            status = connection.ask(&asked, &token).await;
            most = most.max(begun.elapsed());
        }
        let cpu = (server.cpu_seconds() - cpu) * 1e3 / CALLS as f64;
        let most = most.as_secs_f64() * 1e3;
        println!("{input:<52} {bound:<34} {status:>6} {cpu:>8.2} {most:>8.2}");
    }
    for (input, frame) in frames(&worst) {
        let mut socket = socket::follow(server.port, "alice", Some("world")).await;
        let cpu = server.cpu_seconds();
        for _ in 0..FRAMES {
            if socket.write_all(&frame).await.is_err() {
                break;
            }
        }
        // What is answered behind them all is answered once they all are; or it was nonsense, and the socket is closed.
        let last = socket::frame(r#"{"id":999,"do":"/live/typing","input":{"channel":"world"}}"#);
        let _ = socket.write_all(&last).await;
        let mut answers = Vec::new();
        while !answers.windows(9).any(|part| part == b"\"id\":999,")
            && matches!(socket.read_buf(&mut answers).await, Ok(1..))
        {}
        let cpu = (server.cpu_seconds() - cpu) * 1e3 / FRAMES as f64;
        println!("{input:<52} {:<34} {:>6} {cpu:>8.2} {:>8}", "20 KiB a frame", "", "");
    }
    true
}

fn start(data: &Path, lists: &Path) -> Server {
    Server::start_with(
        data,
        None,
        None,
        &[
            ("GUILDHALL_WORDLISTS", lists.to_str()),
            ("GUILDHALL_REPEATS", Some("off")),
            ("GUILDHALL_TICKET_WECHAT_TOKEN", Some(TICKETS)),
        ],
    )
}

fn rows(worst: &[String]) -> Vec<Row> {
    let (alice, mo) = (token("alice", Scope::Player), token("mo", Scope::Moderator));
    let full = |bytes: usize| worst[0].repeat(bytes / worst[0].len());
    let post = |path: &str, body: String| ("POST", path.to_owned(), body);
    let say = |text: &str, payload: serde_json::Value| {
        post("/message/send", json!({ "channel": "world", "text": text, "payload": payload }).to_string())
    };
    let deep = (0..15).fold(json!({ "x": "y".repeat(7_900) }), |inner, _| json!({ "a": inner }));
    let wide: serde_json::Map<_, _> = (0..850).map(|n| (format!("k{n}"), json!(n % 10))).collect();
    let strings: Vec<String> = (0..1_200).map(|n| worst[n % worst.len()].chars().take(2).collect()).collect();
    let when = json!({ "cron": "59 23 29 2 1", "zone": "Europe/Berlin" });
    let list = ["0-59/1"; 9].join(",");
    let long = json!({ "cron": format!("{list} {list} 29 2 *"), "zone": "America/New_York" });
    let preview = |when: serde_json::Value| {
        let asked = json!({ "texts": { "en": "x" }, "audience": { "everybody": true }, "when": when });
        post("/announcement/preview", asked.to_string())
    };
    let cursors: Vec<_> = (0..100).map(|n| json!({ "channel": format!("c{n}"), "after": 0 })).collect();
    let nested = format!("{{\"channel\":{}", "[".repeat(16_000));
    let ask = |path: String| ("GET", path, String::new());
    let a = || alice.clone();
    vec![
        ("nothing: /meta/version", "", a(), ask("/meta/version".to_owned())),
        ("text, talk", "2,000 bytes", a(), say(&"good game all ".repeat(142), json!({}))),
        ("text, the worst found", "2,000 bytes", a(), say(&full(TEXT), json!({}))),
        ("payload, one string, the worst found", "8 KiB", a(), say("x", json!({ "x": full(PAYLOAD) }))),
        ("text and payload", "2,000 bytes and 8 KiB", a(), say(&full(TEXT), json!({ "x": full(PAYLOAD) }))),
        ("payload, as many strings as fit", "8 KiB", a(), say("x", json!({ "x": strings }))),
        ("payload, deep", "16 levels", a(), say("x", deep)),
        ("payload, wide", "8 KiB", a(), say("x", json!(wide))),
        ("payload, a long key", "8 KiB", a(), say("x", json!({ full(PAYLOAD): 1 }))),
        ("body, nested", "16 KiB, 128 levels", a(), post("/message/send", nested)),
        (
            "body, a long nonce",
            "16 KiB; a nonce 64 bytes",
            a(),
            post("/message/send", json!({ "nonce": "x".repeat(16_000) }).to_string()),
        ),
        (
            "body, 100 cursors",
            "100 channels",
            a(),
            post("/message/sync", json!({ "channels": cursors }).to_string()),
        ),
        ("name in a token", "as docs/api.md says", named(&full(48)), say("x", json!({}))),
        ("token that is none", "32 KiB of head", "x.".repeat(8_000), ask("/channel/inbox".to_owned())),
        ("token, signed wrongly", "32 KiB of head", format!("{}x", a()), ask("/channel/inbox".to_owned())),
        ("path that is no action's", "32 KiB of head", a(), ask(format!("/{}", "x/".repeat(10_000)))),
        ("query", "8 KiB", a(), ask(format!("/channel/inbox?{}", "a=%20&".repeat(1_300)))),
        ("cron, seldom", "100 years", mo.clone(), preview(when)),
        ("cron, long", "as docs/announcements.md says", mo, preview(long)),
        ("XML, deep", "256 KiB, signed", a(), callback(TICKETS, &"<a>".repeat(80_000))),
        ("XML, wide", "256 KiB, signed", a(), callback(TICKETS, &"<a b='c'/>".repeat(25_000))),
        ("XML, entities", "256 KiB, signed", a(), callback(TICKETS, &"&amp;&#x4e00;".repeat(19_000))),
        ("XML, signed wrongly", "256 KiB", a(), callback("another token", &"<a>".repeat(80_000))),
    ]
}

/// A message of a customer's, as `WeChat` posts it, with something in it that no customer writes.
fn callback(token: &str, inner: &str) -> Asked {
    let time = (guildhall::base::clock::Clock::default().now() / 1_000).to_string();
    let mut signed = [token, &time, "n"];
    signed.sort_unstable();
    let signature = digest(&SHA1_FOR_LEGACY_USE_ONLY, signed.concat().as_bytes());
    let signature = guildhall::base::random::to_hex(signature.as_ref());
    let query = format!("signature={signature}&timestamp={time}&nonce=n&openid=o1");
    let message = format!(
        "<xml><FromUserName>o1</FromUserName><CreateTime>1</CreateTime><MsgType>text</MsgType><Content>{inner}</Content>\
         <MsgId>1</MsgId></xml>"
    );
    ("POST", format!("/ticket/wechat?{query}"), message)
}

/// Frames of the size that is taken: what a send of the worst costs there, and what asks for nothing.
fn frames(worst: &[String]) -> Vec<(&'static str, Vec<u8>)> {
    let full = |bytes: usize| worst[0].repeat(bytes / worst[0].len());
    let send = |channel: &str| {
        let input = json!({ "channel": channel, "text": full(TEXT), "payload": { "x": full(PAYLOAD) } });
        json!({ "id": 3, "do": "/message/send", "input": input }).to_string()
    };
    [
        ("frame, text and payload", send("world")),
        ("frame, the same to a channel that is none", send("nowhere")),
        ("frame, nested", format!("{{\"id\":3,\"do\":{}", "[".repeat(20_000))),
        ("frame, no JSON", "x".repeat(20_000)),
        ("frame, one long name", format!("{{\"id\":3,\"do\":\"/{}\"}}", "x/".repeat(9_900))),
    ]
    .map(|(input, text)| (input, socket::frame(&text)))
    .into()
}

/// A token of somebody with this name.
fn named(name: &str) -> String {
    let name: String = name.chars().take(16).collect();
    let exp = guildhall::base::clock::Clock::default().now().unsigned_abs() / 1_000 + 3_600;
    let claims = json!({ "sub": "alice", "scope": "player", "exp": exp, "name": name });
    let claims: Claims = serde_json::from_value(claims).unwrap();
    mint(&Secret::new(SECRET).unwrap(), &claims).unwrap()
}

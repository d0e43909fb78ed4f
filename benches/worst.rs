//! The worst inputs: what the dearest text, payload, name, path, token and frame cost that a player may send.
//!
//! A search climbs from random signs to the texts that take the filter the most steps, with 100,000 entries; then the real
//! program is asked with these and with what else could be dear. `scripts/load --worst` runs it.

#![expect(clippy::unwrap_used, reason = "a measurement that meets a fault has nothing to print")]

use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;
use guildhall::access::token::{Claims, mint};
use guildhall::chat::identity::Scope;
use guildhall::config::Secret;
use guildhall::filter::{Budget, Filter, Wordlist};
use serde_json::json;

#[path = "support/server.rs"]
#[expect(dead_code, reason = "the other measurements use the rest")]
mod server;

use server::{Asked, Connection, SECRET, Server, token};

/// Signs with several readings, and letters they are read as.
const SIGNS: &str =
    "0123456789@$!|/\\+(<{[#^€£¥¢§†*&%_~=`)-}>]vaeiostlcnbmh .δλξπбджзи卂乃千爪几山乙一我人不在了的ﷻ㌖½";
/// A payload's bytes, and a text's.
const PAYLOAD: usize = 8_180;
const TEXT: usize = 2_000;
/// Steps up that must fail before a climb ends.
const TRIES: u32 = 60;
/// Calls of each kind.
const CALLS: usize = 200;

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
    let words = words();
    let worst = search(&words, &options);
    server::measured(measure(words, worst))
}

/// 100,000 entries, half of them made of syllables and half of Chinese characters.
fn words() -> String {
    let mut random = Random(7);
    let mut words = std::collections::BTreeSet::new();
    let syllables: Vec<String> = "b c d f g h k l m n p r s t v w st tr ch br cl"
        .split(' ')
        .flat_map(|begin| ["a", "e", "i", "o", "u", "an", "er", "is", "ol"].map(|end| format!("{begin}{end}")))
        .collect();
    while words.len() < 50_000 {
        let count = 2 + random.below(3);
        words.insert((0..count).map(|_| syllables[random.below(syllables.len())].as_str()).collect::<String>());
    }
    while words.len() < 100_000 {
        let han = |random: &mut Random| char::from_u32(0x4e00 + random.below(1_500) as u32).unwrap();
        let count = 2 + random.below(3);
        words.insert((0..count).map(|_| han(&mut random)).collect());
    }
    words.into_iter().collect::<Vec<_>>().join("\n")
}

/// Climbs to the texts that take the most steps; prints and returns the ten worst, as what is repeated in them.
fn search(words: &str, options: &Options) -> Vec<String> {
    let list = Wordlist::parse(&[("words.txt".to_owned(), words.as_bytes().to_vec())]).unwrap();
    let filter = Filter::build(&list).unwrap();
    let signs: Vec<char> = SIGNS.chars().collect();
    let steps = |piece: &[char]| {
        let text = repeated(piece, PAYLOAD);
        filter.find(&text, &mut Budget::of(text.len())).steps()
    };
    let mut random = Random(options.seed);
    let (begun, time) = (Instant::now(), Duration::from_secs(options.seconds));
    let mut found: Vec<(u32, Vec<char>)> = Vec::new();
    while begun.elapsed() < time {
        let length = 1 + random.below(12);
        let mut piece: Vec<char> = (0..length).map(|_| signs[random.below(signs.len())]).collect();
        let (mut most, mut failed) = (steps(&piece), 0);
        while failed < TRIES {
            let other = changed(&piece, &signs, &mut random);
            let taken = steps(&other);
            failed += 1;
            if taken > most {
                (most, piece, failed) = (taken, other, 0);
            }
        }
        found.push((most, piece));
    }
    found.sort();
    found.dedup();
    println!("The ten worst of {} texts that {} s of climbing led to, {PAYLOAD} bytes each:", found.len(), options.seconds);
    println!("{:>9} {:>9}  repeated", "steps", "ms");
    let worst: Vec<String> = found.iter().rev().take(10).map(|(_, piece)| piece.iter().collect()).collect();
    for ((steps, piece), name) in found.iter().rev().zip(&worst) {
        let text = repeated(piece, PAYLOAD);
        let took = (0..5).map(|_| {
            let begun = Instant::now();
            std::hint::black_box(filter.find(&text, &mut Budget::of(text.len())));
            begun.elapsed()
        });
        println!("{steps:>9} {:>9.2}  {name:?}", took.min().unwrap().as_secs_f64() * 1e3);
    }
    worst
}

fn changed(piece: &[char], signs: &[char], random: &mut Random) -> Vec<char> {
    let mut other = piece.to_vec();
    let sign = signs[random.below(signs.len())];
    let place = random.below(other.len());
    match random.below(4) {
        0 => other[place] = sign,
        1 if other.len() < 40 => other.insert(place, sign),
        2 if other.len() > 1 => drop(other.remove(place)),
        _ => {
            let with = random.below(other.len());
            other.swap(place, with);
        }
    }
    other
}

fn repeated(piece: &[char], bytes: usize) -> String {
    let piece: String = piece.iter().collect();
    piece.repeat((bytes / piece.len()).max(1))
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
    println!("\n{:<52} {:<34} {:>8} {:>8}", "input", "bound", "CPU ms", "most ms");
    for (input, bound, token, asked) in rows(&worst) {
        let (cpu, mut most) = (server.cpu_seconds(), Duration::ZERO);
        for _ in 0..CALLS {
            let begun = Instant::now();
            connection.ask(&asked, &token).await;
            most = most.max(begun.elapsed());
        }
        let cpu = (server.cpu_seconds() - cpu) * 1e3 / CALLS as f64;
        println!("{input:<52} {bound:<34} {cpu:>8.2} {:>8.2}", most.as_secs_f64() * 1e3);
    }
    true
}

fn start(data: &Path, lists: &Path) -> Server {
    Server::start_with(data, None, None, &[("GUILDHALL_WORDLISTS", lists.to_str()), ("GUILDHALL_REPEATS", Some("off"))])
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
        ("body, a long nonce", "16 KiB; a nonce 64 bytes", a(), post("/message/send", json!({ "nonce": "x".repeat(16_000) }).to_string())),
        ("body, 100 cursors", "100 channels", a(), post("/message/sync", json!({ "channels": cursors }).to_string())),
        ("name in a token", "as docs/api.md says", named(&full(48)), say("x", json!({}))),
        ("token that is none", "32 KiB of head", "x.".repeat(8_000), ask("/channel/inbox".to_owned())),
        ("token, signed wrongly", "32 KiB of head", format!("{}x", a()), ask("/channel/inbox".to_owned())),
        ("path that is no action's", "32 KiB of head", a(), ask(format!("/{}", "x/".repeat(10_000)))),
        ("query", "8 KiB", a(), ask(format!("/channel/inbox?{}", "a=%20&".repeat(1_300)))),
        ("cron, seldom", "100 years", mo.clone(), preview(when)),
        ("cron, long", "as docs/announcements.md says", mo, preview(long)),
    ]
}

/// A token of somebody with this name.
fn named(name: &str) -> String {
    let name: String = name.chars().take(16).collect();
    let exp = guildhall::base::clock::Clock::default().now().unsigned_abs() / 1_000 + 3_600;
    let claims = json!({ "sub": "alice", "scope": "player", "exp": exp, "name": name });
    let claims: Claims = serde_json::from_value(claims).unwrap();
    mint(&Secret::new(SECRET).unwrap(), &claims).unwrap()
}

/// The same numbers at every run.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % bound
    }
}

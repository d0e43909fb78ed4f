//! Live delivery on the real program: sockets that follow rooms, players who talk in them, and how long it takes from a
//! send's start to the push at another client; then what idle sockets cost.
//!
//! `scripts/load --live` runs it. The generator is a process of its own and takes cores from the server: compare figures
//! of one run.

#![expect(clippy::unwrap_used, reason = "a measurement that meets a fault has nothing to print")]
#![expect(clippy::disallowed_methods, reason = "DATABASE_URL says what is measured")]

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use clap::Parser;
use guildhall::chat::identity::Scope;

#[path = "support/heard.rs"]
mod heard;
#[path = "support/herd.rs"]
mod herd;
#[path = "support/server.rs"]
#[expect(dead_code, reason = "the other measurement uses the rest")]
mod server;

#[path = "support/socket.rs"]
mod socket;

use heard::Heard;
use server::{Connection, Server, schema, token};
use socket::follow;

/// Opens sockets, talks, and prints how soon it is heard.
#[derive(Parser)]
struct Options {
    /// Seconds a measurement takes.
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// Sockets that idle at the end.
    #[arg(long, default_value_t = 15_000)]
    idle: usize,
    /// Given by `cargo bench`; means nothing here.
    #[arg(long, hide = true)]
    bench: bool,
}

/// Rooms of one size, and how much is said in all of them a second.
#[derive(Clone, Copy)]
struct Scene {
    rooms: usize,
    size: usize,
    sends: u64,
    servers: Servers,
}

/// Where players talk, and where others hear them.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Servers {
    One,
    /// At two, with nothing between them but the database.
    TwoApart,
    /// At two, with a bus.
    TwoOnBus,
}

const fn scene(rooms: usize, size: usize, sends: u64, servers: Servers) -> Scene {
    Scene { rooms, size, sends, servers }
}

const SCENES: [Scene; 7] = [
    scene(25, 20, 500, Servers::One),
    scene(25, 20, 500, Servers::TwoOnBus),
    scene(25, 20, 500, Servers::TwoApart),
    scene(20, 50, 1_000, Servers::One),
    scene(1, 1_000, 10, Servers::One),
    scene(1, 5_000, 10, Servers::One),
    scene(1, 5_000, 40, Servers::One),
];
/// Connections that talk.
const SPEAKERS: u64 = 32;

fn main() -> ExitCode {
    server::measured(run(Options::parse()))
}

async fn run(options: Options) -> bool {
    let database = std::env::var("DATABASE_URL").ok();
    println!("on {}", if database.is_some() { "PostgreSQL" } else { "SQLite" });
    println!(
        "{:>12} {:>6} {:>6} {:>8} {:>13} {:>9} {:>9} {:>9} {:>10} {:>10}",
        "servers",
        "rooms",
        "each",
        "sends/s",
        "deliveries/s",
        "p50 ms",
        "p99 ms",
        "max ms",
        "server CPU",
        "memory MB"
    );
    for scene in &SCENES {
        let bus = std::env::var("NATS_URL").ok().filter(|_| scene.servers == Servers::TwoOnBus);
        if scene.servers == Servers::TwoOnBus && bus.is_none() {
            continue;
        }
        let folder = tempfile::tempdir_in(".").unwrap();
        let url = own_schema(database.as_deref()).await;
        let start =
            || Server::start_with(folder.path(), url.as_deref(), None, &[("GUILDHALL_BUS", bus.as_deref())]);
        let talking = start();
        let other = (scene.servers != Servers::One).then(start);
        play((&talking, other.as_ref().unwrap_or(&talking)), scene, Duration::from_secs(options.seconds))
            .await;
    }
    herd::come_back(own_schema(database.as_deref()).await.as_deref()).await;
    idle(options.idle).await;
    true
}

async fn own_schema(database: Option<&str>) -> Option<String> {
    match database {
        Some(url) => Some(schema(url).await),
        None => None,
    }
}

/// Sockets that say nothing and hear nothing.
async fn idle(count: usize) {
    let folder = tempfile::tempdir_in(".").unwrap();
    let server = Server::start_with(folder.path(), None, None, &[]);
    tokio::time::sleep(Duration::from_secs(1)).await;
    let before = server.resident_mb();
    let mut idle = Vec::new();
    for n in 0..count {
        idle.push(follow(server.port, &format!("idle-{n}"), None).await);
    }
    tokio::time::sleep(Duration::from_secs(5)).await;
    let each = (server.resident_mb() - before) * 1_024.0 / idle.len() as f64;
    let cpu = server.cpu_seconds();
    tokio::time::sleep(Duration::from_secs(10)).await;
    let share = (server.cpu_seconds() - cpu) * 10.0;
    println!(
        "{} idle sockets: {:.0} MB, {each:.1} KB each; {share:.1} % of a core",
        idle.len(),
        server.resident_mb() - before
    );
}

pub(crate) async fn make_room(server: &Server, id: &str, size: usize) {
    let token = token("game", Scope::Server);
    let mut connection = Connection::open(server.port).await;
    let create = format!(r#"{{"id":"{id}","kind":"world","settings":{{"open":true}}}}"#);
    assert_eq!(connection.ask(&("POST", "/channel/create".to_owned(), create), &token).await, 200);
    let players: Vec<String> = (0..size).map(|n| format!("\"{id}-{n}\"")).collect();
    let speakers: Vec<String> = (0..SPEAKERS).map(|n| format!("\"speaker-{n}\"")).collect();
    for some in players.chunks(100).chain([&speakers[..]]) {
        let add = format!(r#"{{"channel":"{id}","members":[{}]}}"#, some.join(","));
        assert_eq!(connection.ask(&("POST", "/channel/members-add".to_owned(), add), &token).await, 200);
    }
}

async fn play((server, listened): (&Server, &Server), scene: &Scene, time: Duration) {
    let Scene { rooms, size, sends, servers } = *scene;
    let heard = Heard::new();
    let epoch = Instant::now();
    let mut listeners = Vec::new();
    for room in 0..rooms {
        let room = format!("room-{room}");
        make_room(server, &room, size).await;
        for n in 0..size {
            let stream = follow(listened.port, &format!("{room}-{n}"), Some(&room)).await;
            listeners.push(tokio::spawn(Arc::clone(&heard).listen(stream, epoch)));
        }
    }
    let all_cpu =
        || server.cpu_seconds() + if std::ptr::eq(server, listened) { 0.0 } else { listened.cpu_seconds() };
    let cpu = all_cpu();
    let (begun, sent) = (Instant::now(), Arc::new(AtomicU64::new(0)));
    let speakers: Vec<_> = (0..SPEAKERS.min(sends))
        .map(|speaker| tokio::spawn(speak(server.port, speaker, *scene, (epoch, time), Arc::clone(&sent))))
        .collect();
    for speaker in speakers {
        speaker.await.unwrap();
    }
    let took = begun.elapsed().as_secs_f64();
    let wanted = sent.load(Ordering::Relaxed) * size as u64;
    let waiting = Instant::now();
    while heard.entries() < wanted && waiting.elapsed() < Duration::from_secs(30) {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let all = begun.elapsed().as_secs_f64();
    let cpu = (all_cpu() - cpu) / all;
    let entries = heard.entries();
    let servers = match servers {
        Servers::One => "one",
        Servers::TwoApart => "two, no bus",
        Servers::TwoOnBus => "two, bus",
    };
    println!(
        "{servers:>12} {rooms:>6} {size:>6} {:>8.0} {:>13.0} {:>9} {:>9} {:>9} {:>8.0} % {:>10.0}",
        sent.load(Ordering::Relaxed) as f64 / took,
        entries as f64 / all,
        heard.ms(0.5),
        heard.ms(0.99),
        heard.ms(0.999_999),
        cpu * 100.0,
        listened.resident_mb()
    );
    if entries != wanted {
        println!("  {entries} of {wanted} were heard");
    }
    listeners.iter().for_each(tokio::task::JoinHandle::abort);
}

/// Says its share of what is said in a scene.
async fn speak(
    port: u16,
    speaker: u64,
    scene: Scene,
    (epoch, time): (Instant, Duration),
    sent: Arc<AtomicU64>,
) {
    let speakers = SPEAKERS.min(scene.sends) as f64;
    let token = token(&format!("speaker-{speaker}"), Scope::Player);
    let mut connection = Connection::open(port).await;
    let every = Duration::from_secs_f64(speakers / scene.sends as f64);
    let begun = Instant::now();
    let mut next = tokio::time::Instant::now() + every.mul_f64(speaker as f64 / speakers);
    for n in speaker as usize.. {
        tokio::time::sleep_until(next).await;
        next += every;
        if begun.elapsed() > time {
            break;
        }
        let text = format!("@{}@ potions please", epoch.elapsed().as_micros());
        let body = format!(r#"{{"channel":"room-{}","text":"{text}"}}"#, n % scene.rooms);
        assert_eq!(connection.ask(&("POST", "/message/send".to_owned(), body), &token).await, 200);
        sent.fetch_add(1, Ordering::Relaxed);
    }
}

//! Clients that send half a request, never read, or come in crowds: what they cost everybody else, and how a server that
//! they hold on to stops.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde_json::json;

use crate::help::process::{Connection, Process, eventually, player_token, server_token, within};

const HALF_HEAD: &[u8] = b"POST /message/send HTTP/1.1\r\nhost: x\r\nconte";
const HALF_BODY: &[u8] = b"POST /message/send HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n{";

fn rude(port: u16, bytes: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.write_all(bytes).unwrap();
    stream
}

async fn world(process: &Process, players: usize) {
    let members: Vec<String> = (0..players).map(|n| format!("p{n}")).collect();
    let input = json!({ "id": "world", "kind": "world", "members": members, "settings": { "open": true } });
    let mut connection = process.connect().await.unwrap();
    let made = connection.call(&server_token(), "/channel/create", Some(&input)).await.unwrap();
    assert_eq!(made.status, 200, "{}", made.body);
}

/// Talks until told to stop; says how long each send took. None may fail.
fn talk(port: u16, player: usize, done: Arc<AtomicBool>) -> tokio::task::JoinHandle<Vec<Duration>> {
    tokio::spawn(async move {
        let (token, mut took) = (player_token(&format!("p{player}")), Vec::new());
        let mut connection = Connection::open(port).await.unwrap();
        while !done.load(Ordering::SeqCst) {
            let (started, input) = (Instant::now(), json!({ "channel": "world", "text": "hello" }));
            let sent = connection.call(&token, "/message/send", Some(&input)).await.unwrap();
            assert_eq!(sent.status, 200, "{}", sent.body);
            took.push(started.elapsed());
        }
        took
    })
}

/// The 99th percentile of what 20 clients wait for a send, while something goes on.
async fn sends_meanwhile<T: Send + 'static>(
    port: u16,
    work: impl FnOnce() -> T + Send + 'static,
) -> (T, Duration) {
    let done = Arc::new(AtomicBool::new(false));
    let talking: Vec<_> = (0..20).map(|player| talk(port, player, Arc::clone(&done))).collect();
    let result = tokio::task::spawn_blocking(work).await.unwrap();
    done.store(true, Ordering::SeqCst);
    let mut took = Vec::new();
    for client in talking {
        took.extend(client.await.unwrap());
    }
    took.sort();
    (result, took[took.len() * 99 / 100])
}

/// Half heads and half bodies take no place of those that are answered. The times are printed: `-- --nocapture`.
#[tokio::test(flavor = "multi_thread")]
async fn thousands_of_half_requests_cost_nobody_a_send() {
    let folder = tempfile::tempdir().unwrap();
    let process = Process::start(folder.path(), &[("GUILDHALL_MAX_IN_FLIGHT", "64")]);
    world(&process, 20).await;
    let port = process.port;
    let ((), usual) = sends_meanwhile(port, || std::thread::sleep(Duration::from_secs(2))).await;
    let (held, p99) = sends_meanwhile(port, move || {
        let held: Vec<_> =
            (0..6_000).map(|n| rude(port, if n % 2 == 0 { HALF_HEAD } else { HALF_BODY })).collect();
        std::thread::sleep(Duration::from_secs(1));
        held
    })
    .await;
    println!("p99 of sends: usually {usual:?}, beside {} half requests {p99:?}", held.len());
}

/// What half of a body waits for is told, and other bodies are not kept from being answered.
#[tokio::test(flavor = "multi_thread")]
async fn a_half_body_takes_no_place() {
    let folder = tempfile::tempdir().unwrap();
    let process = Process::start(folder.path(), &[("GUILDHALL_MAX_IN_FLIGHT", "1")]);
    let _half = rude(process.port, HALF_BODY);
    for _ in 0..50 {
        let mut other = process.connect().await.unwrap();
        assert_eq!(other.call("", "/meta/version", None).await.unwrap().status, 200);
    }
}

/// Those who hold half a request, or nothing at all, are closed at once; a whole one is answered to its end.
#[tokio::test(flavor = "multi_thread")]
async fn a_stop_waits_for_no_half_request() {
    let folder = tempfile::tempdir().unwrap();
    let mut process = Process::start(folder.path(), &[]);
    let mut held = [
        rude(process.port, b""),
        rude(process.port, b"G"),
        rude(process.port, HALF_HEAD),
        rude(process.port, HALF_BODY),
        rude(process.port, b"GET /health/live HTTP/1.1\r\nhost: x\r\n\r\n"),
    ];
    let mut answer = [0; 15];
    held[4].read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"HTTP/1.1 200 OK");
    let started = Instant::now();
    process.signal(Signal::SIGTERM);
    assert_eq!(tokio::task::spawn_blocking(move || process.wait()).await.unwrap(), Some(0));
    // A head may take 30 s, a body 10: whatever the machine does meanwhile, they were not waited for.
    let took = started.elapsed();
    println!("stopped in {took:?}");
    assert!(took < Duration::from_secs(8), "{took:?}");
}

pub fn memory_kb(process: &Process) -> i64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", process.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// A connection on which nothing is said costs little, also after it has said something.
#[tokio::test(flavor = "multi_thread")]
async fn an_idle_connection_takes_little_memory() {
    const CONNECTIONS: usize = 2_000;
    let folder = tempfile::tempdir().unwrap();
    let process = Process::start(folder.path(), &[]);
    // What the program takes for itself when it is busy: it is, and they are answered.
    drop(used_connections(process.port, 200));
    let before = memory_kb(&process);
    let silent: Vec<_> = (0..CONNECTIONS).map(|_| rude(process.port, b"")).collect();
    let mut probe = process.connect().await.unwrap();
    probe.call("", "/health/live", None).await.unwrap();
    let each = |since: i64, count: usize| (memory_kb(&process) - since) as f64 / count as f64;
    let idle = each(before, CONNECTIONS);
    println!("an idle connection takes {idle:.1} KB");
    assert!(idle <= 12.0, "{idle:.1} KB");
    // The program keeps what it once had for those who come next: so, once the first ones are quiet, more of them find
    // what they need.
    let mut used = used_connections(process.port, CONNECTIONS);
    for _ in 0..10 {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let (before, count) = (memory_kb(&process), used.len());
        used.extend(used_connections(process.port, 500));
        let more = each(before, used.len() - count);
        println!("one that is used while {count} are quiet takes {more:.1} KB");
        if more <= 12.0 {
            drop(silent);
            return;
        }
    }
    panic!("quiet connections keep their buffers");
}

/// Connections that have been answered once and stay open.
fn used_connections(port: u16, count: usize) -> Vec<TcpStream> {
    let mut used: Vec<_> =
        (0..count).map(|_| rude(port, b"GET /health/live HTTP/1.1\r\nhost: x\r\n\r\n")).collect();
    for stream in &mut used {
        let _ = stream.read(&mut [0; 2_048]).unwrap();
    }
    used
}

/// Clients that ask for much and read nothing hold what the system holds for them, and no more of ours.
#[tokio::test(flavor = "multi_thread")]
async fn clients_that_never_read_hold_little() {
    let folder = tempfile::tempdir().unwrap();
    let process = Process::start(folder.path(), &[]);
    world(&process, 20).await;
    let mut connection = process.connect().await.unwrap();
    for n in 0..500 {
        let payload = json!({ "x": "y".repeat(8_000) });
        let input = json!({ "channel": "world", "text": "hello", "payload": payload });
        let sent =
            connection.call(&player_token(&format!("p{}", n % 20)), "/message/send", Some(&input)).await;
        assert_eq!(sent.unwrap().status, 200);
    }
    let sync = json!({ "channels": [{ "channel": "world", "after": 0 }], "limit": 100 });
    let reply = connection.call(&player_token("p0"), "/message/sync", Some(&sync)).await.unwrap();
    assert!(reply.body.to_string().len() < 1_100_000);
    assert_eq!(reply.body["data"]["channels"][0]["more"], true, "the rest is said to be there");
    let body = sync.to_string();
    let ask = format!(
        "POST /message/sync HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n{body}",
        player_token("p0"),
        body.len()
    );
    let before = memory_kb(&process);
    // Eight requests each: what the system takes for a socket is full.
    let unread: Vec<_> = (0..60).map(|_| rude(process.port, ask.repeat(8).as_bytes())).collect();
    eventually("they are answered", async || (memory_kb(&process) > 0).then_some(())).await;
    for _ in 0..50 {
        let sent = connection.call(&player_token("p1"), "/channel/inbox", None).await.unwrap();
        assert!(matches!(sent.status, 200 | 503), "{}", sent.body);
    }
    let held = memory_kb(&process) - before;
    println!("60 clients that read nothing hold {held} KB");
    assert!(held < 100_000, "{held} KB");
    // They are let go, and everybody else is served as before.
    they_are_let_go(&process).await;
    drop(unread);
}

/// Few connections are left, of sixty and more.
/// A socket is silent for a minute before that is noticed, at the next ping, and may stand in a write by then.
pub async fn they_are_let_go(process: &Process) {
    within(Duration::from_mins(3), "they are let go", async || {
        let open = std::fs::read_dir(format!("/proc/{}/fd", process.id())).unwrap().count();
        (open < 60).then_some(())
    })
    .await;
}

/// More requests at once than there are places: some are told to come back, health is always answered.
#[tokio::test(flavor = "multi_thread")]
async fn a_crowd_is_told_to_come_back_and_health_still_answers() {
    let folder = tempfile::tempdir().unwrap();
    let process = Process::start(folder.path(), &[("GUILDHALL_MAX_IN_FLIGHT", "1")]);
    world(&process, 20).await;
    let (port, done) = (process.port, Arc::new(AtomicBool::new(false)));
    let crowd: Vec<_> = (0..20)
        .map(|player| {
            let done = Arc::clone(&done);
            tokio::spawn(async move {
                let (token, mut refused) = (player_token(&format!("p{player}")), None);
                let mut connection = Connection::open(port).await.unwrap();
                while !done.load(Ordering::SeqCst) {
                    let input = json!({ "channel": "world", "text": "hello" });
                    let answer = connection.call(&token, "/message/send", Some(&input)).await.unwrap();
                    match answer.status {
                        200 => {}
                        503 => refused = Some(answer.body["error"]["code"].clone()),
                        other => panic!("{other}: {}", answer.body),
                    }
                }
                refused
            })
        })
        .collect();
    let mut other = process.connect().await.unwrap();
    for _ in 0..200 {
        assert_eq!(other.call("", "/health/live", None).await.unwrap().status, 200);
    }
    done.store(true, Ordering::SeqCst);
    let mut refused = Vec::new();
    for client in crowd {
        refused.extend(client.await.unwrap());
    }
    assert!(!refused.is_empty() && refused.iter().all(|code| code == "unavailable"), "{refused:?}");
    assert_eq!(other.call("", "/meta/version", None).await.unwrap().status, 200);
}

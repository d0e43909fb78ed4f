//! The plain server as a process: killed, stopped in order, crowded, and met with rude clients.

use std::io::{Read, Write};
use std::net::TcpStream as StdStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::help::numbered_texts;
use crate::help::process::{Connection, Process, eventually, player_token, server_token};

const WRITERS: usize = 8;

async fn create(process: &Process) {
    let members: Vec<String> = (0..WRITERS).map(|n| format!("writer-{n}")).collect();
    let input = json!({ "id": "world", "kind": "world", "members": members, "settings": { "open": true } });
    let answer = process
        .connect()
        .await
        .unwrap()
        .call(&server_token(), "/channel/create", Some(&input))
        .await
        .unwrap();
    assert_eq!(answer.status, 200, "{}", answer.body);
}

/// Sends until the connection breaks; says what was acknowledged. A send that got no answer is sent again, with its
/// nonce, to the next process.
async fn send_until_killed(
    port: u16,
    writer: usize,
    next: &mut usize,
    count: &AtomicUsize,
) -> Vec<(i64, String)> {
    let mut acknowledged = Vec::new();
    let token = player_token(&format!("writer-{writer}"));
    let Some(mut connection) = Connection::open(port).await else { return acknowledged };
    loop {
        let text = format!("{writer}/{next}");
        let input = json!({ "channel": "world", "text": text, "nonce": text });
        match connection.call(&token, "/message/send", Some(&input)).await {
            Ok(answer) => {
                assert_eq!(answer.status, 200, "{}", answer.body);
                acknowledged.push((answer.body["data"]["message"]["seq"].as_i64().unwrap(), text));
                *next += 1;
                count.fetch_add(1, Ordering::SeqCst);
            }
            Err(_) => return acknowledged,
        }
    }
}

/// The port of a predecessor that was killed a moment ago is held for as long as that dies.
#[tokio::test(flavor = "multi_thread")]
async fn a_port_that_is_held_for_a_moment_is_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let held = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = held.local_addr().unwrap().to_string();
    let data = folder.path().join("data");
    let starting =
        tokio::task::spawn_blocking(move || Process::start(&data, &[("GUILDHALL_LISTEN", &address)]));
    tokio::time::sleep(std::time::Duration::from_millis(700)).await;
    drop(held);
    assert!(starting.await.unwrap().connect().await.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_kills_during_load_lose_no_acknowledged_message() {
    let folder = tempfile::tempdir().unwrap();
    let mut acknowledged: Vec<(i64, String)> = Vec::new();
    let (mut next, count) = ([0; WRITERS], Arc::new(AtomicUsize::new(0)));
    for round in 0..20 {
        let mut process = Process::start(folder.path(), &[]);
        create(&process).await;
        let port = process.port;
        let writers: Vec<_> = next
            .into_iter()
            .enumerate()
            .map(|(writer, mut next)| {
                let count = Arc::clone(&count);
                tokio::spawn(async move { (send_until_killed(port, writer, &mut next, &count).await, next) })
            })
            .collect();
        let before = count.load(Ordering::SeqCst);
        let load = async || (count.load(Ordering::SeqCst) > before + 20).then_some(());
        eventually("load", load).await;
        // Not always at the same moment of a commit.
        tokio::time::sleep(Duration::from_millis(17 * (round % 7))).await;
        process.signal(Signal::SIGKILL);
        process.wait();
        for (writer, task) in writers.into_iter().enumerate() {
            let (sent, reached) = task.await.unwrap();
            acknowledged.extend(sent);
            next[writer] = reached;
        }
    }
    assert!(acknowledged.len() > 20 * 20);
    let process = Process::start(folder.path(), &[]);
    let stored = history(&process).await;
    let numbers: Vec<i64> = stored.iter().map(|(seq, _)| *seq).collect();
    assert_eq!(numbers, (1..=numbers.len() as i64).collect::<Vec<_>>(), "no gap");
    for (seq, text) in &acknowledged {
        assert_eq!(stored[*seq as usize - 1].1, *text, "what was acknowledged is there, under its number");
    }
    let mut texts: Vec<&String> = stored.iter().map(|(_, text)| text).collect();
    texts.sort();
    texts.dedup();
    assert_eq!(texts.len(), stored.len(), "nothing twice");
}

async fn history(process: &Process) -> Vec<(i64, String)> {
    let mut connection = process.connect().await.unwrap();
    let mut all: Vec<(i64, String)> = Vec::new();
    loop {
        let path = format!("/message/list?channel=world&limit=100&after={}", all.len());
        let page = connection.call(&player_token("reader"), &path, None).await.unwrap().body["data"].clone();
        all.extend(numbered_texts(&page));
        if page["more"] == false {
            return all;
        }
    }
}

/// Clients that keep connections open and leave when told to must not see one failed request.
#[tokio::test(flavor = "multi_thread")]
async fn sigterm_fails_no_request() {
    let folder = tempfile::tempdir().unwrap();
    let mut process = Process::start(folder.path(), &[]);
    create(&process).await;
    let (port, stopped) = (process.port, Arc::new(AtomicBool::new(false)));
    let answered = Arc::new(AtomicUsize::new(0));
    let clients: Vec<_> = (0..WRITERS)
        .map(|writer| {
            let (stopped, answered) = (Arc::clone(&stopped), Arc::clone(&answered));
            tokio::spawn(async move {
                let token = player_token(&format!("writer-{writer}"));
                // A refused connection is an answer too: the server has gone.
                while let Some(mut connection) = Connection::open(port).await {
                    loop {
                        let n = answered.fetch_add(1, Ordering::SeqCst);
                        let input = json!({ "channel": "world", "text": "hello", "nonce": format!("{n}") });
                        let answer = connection.call(&token, "/message/send", Some(&input)).await;
                        let answer = answer.unwrap_or_else(|error| panic!("a request failed: {error}"));
                        assert_eq!(answer.status, 200, "{}", answer.body);
                        if answer.closes {
                            assert!(stopped.load(Ordering::SeqCst), "nobody is sent away before the signal");
                            break;
                        }
                    }
                    if stopped.load(Ordering::SeqCst) {
                        return;
                    }
                }
            })
        })
        .collect();
    eventually("load", async || (answered.load(Ordering::SeqCst) > 200).then_some(())).await;
    stopped.store(true, Ordering::SeqCst);
    process.signal(Signal::SIGTERM);
    for client in clients {
        client.await.unwrap();
    }
    assert_eq!(tokio::task::spawn_blocking(move || process.wait()).await.unwrap(), Some(0));
}

/// A release may think better of it at once: from the moment at which the program says its address, a stop is no kill.
#[test]
fn a_stop_at_the_first_moment_is_in_order() {
    for _ in 0..10 {
        let folder = tempfile::tempdir().unwrap();
        let mut process = Process::start(folder.path(), &[]);
        process.signal(Signal::SIGTERM);
        assert_eq!(process.wait(), Some(0));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_does_not_come_gets_an_answer() {
    let folder = tempfile::tempdir().unwrap();
    let process = Process::start(folder.path(), &[("GUILDHALL_REQUEST_TIMEOUT_S", "1")]);
    let answer = raw(process.port, b"POST /message/send HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\n{");
    assert!(answer.starts_with("HTTP/1.1 400 ") && answer.contains("did not arrive in time"), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn rude_clients_get_an_answer_or_a_closed_door_and_harm_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let process = Process::start(folder.path(), &[]);
    let many_headers = format!("GET /health/live HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(200));
    let long_header = format!("GET /health/live HTTP/1.1\r\nhost: x\r\na: {}\r\n\r\n", "b".repeat(100_000));
    let big = format!(
        "POST /message/send HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 300000\r\n\r\n{}",
        "x".repeat(300_000)
    );
    for (request, expected) in [
        ("nonsense\r\n\r\n", "HTTP/1.1 400"),
        ("GET /health/live HTTP/1.1\r\nhost: x\r\nbad header\r\n\r\n", "HTTP/1.1 400"),
        (many_headers.as_str(), "HTTP/1.1 431"),
        (long_header.as_str(), "HTTP/1.1 431"),
        (big.as_str(), "HTTP/1.1 413"),
        ("GET /nowhere HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n", "HTTP/1.1 404"),
        (
            "POST /message/send HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n{}",
            "HTTP/1.1 400",
        ),
    ] {
        let answer = raw(process.port, request.as_bytes());
        assert!(answer.starts_with(expected), "{:.60} -> {answer:.200}", request.escape_debug().to_string());
    }
    let alive = process.connect().await.unwrap().call("", "/health/ready", None).await.unwrap();
    assert_eq!(alive.status, 200);
}

/// Sends bytes and reads what comes until the other side closes or a JSON object ends.
fn raw(port: u16, request: &[u8]) -> String {
    let mut stream = StdStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    // The server may close before it has read everything.
    let _ = stream.write_all(request);
    let mut answer = Vec::new();
    let mut chunk = [0; 4096];
    while let Ok(read @ 1..) = stream.read(&mut chunk) {
        answer.extend_from_slice(&chunk[..read]);
        if answer.ends_with(b"}") {
            break;
        }
    }
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_embedded_default_makes_a_secret_that_its_tokens_are_signed_with() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let process = Process::start(&data, &[("GUILDHALL_TOKEN_SECRET", "")]);
    let secret = std::fs::metadata(data.join("secret")).unwrap();
    assert_eq!(std::os::unix::fs::PermissionsExt::mode(&secret.permissions()) & 0o777, 0o600);
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_guildhall"))
        .args(["token", "--player", "alice"])
        .env("GUILDHALL_DATA", &data)
        .output()
        .unwrap();
    let token = String::from_utf8(output.stdout).unwrap();
    let mut connection = process.connect().await.unwrap();
    assert_eq!(connection.call(token.trim(), "/channel/inbox", None).await.unwrap().status, 200);
    assert_eq!(connection.call(&player_token("alice"), "/channel/inbox", None).await.unwrap().status, 401);
}

/// The worker inside `serve` runs what requests left behind, without being asked.
#[tokio::test(flavor = "multi_thread")]
async fn figures_are_served_apart_from_players() {
    let folder = tempfile::tempdir().unwrap();
    let figures_port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let process =
        Process::start(folder.path(), &[("GUILDHALL_METRICS_LISTEN", &format!("127.0.0.1:{figures_port}"))]);
    let mut connection = process.connect().await.unwrap();
    assert_eq!(connection.call("", "/metrics", None).await.unwrap().status, 404);
    let figures = [
        "guildhall_tasks_total{task=\"retention.v1\",outcome=\"done\"} 1",
        "guildhall_requests_total{",
        "guildhall_request_duration_seconds_bucket{",
        "guildhall_outbox_depth 0",
        "guildhall_wordlist_age_seconds",
    ];
    // All at one time: the depth is measured when it is asked for, and the task may end between that and the count.
    let text = eventually("the sweep's figures", async || {
        let text = raw(figures_port, b"GET /metrics HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        figures.iter().all(|figure| text.contains(figure)).then_some(text)
    })
    .await;
    for line in text.lines().filter_map(|line| line.strip_prefix("# TYPE ")) {
        let name = line.split(' ').next().unwrap();
        assert!(text.contains(&format!("# HELP {name} ")), "{name} has no HELP line");
    }
}

/// One line a request, with what an operator searches for, and without what nobody may read there.
#[tokio::test(flavor = "multi_thread")]
async fn the_log_has_a_line_for_every_request_and_no_secret() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let process = Process::start(&data, &[("GUILDHALL_LOG", "info")]);
    create(&process).await;
    let token = player_token("writer-1");
    let input =
        json!({ "channel": "world", "text": "the hidden plan", "payload": { "at": "dawn" }, "nonce": "n-1" });
    let answer = process.connect().await.unwrap().call(&token, "/message/send", Some(&input)).await.unwrap();
    let (log, line) = eventually("the request's line", async || {
        let log = std::fs::read_to_string(data.with_extension("log")).unwrap();
        let whole = &log[..log.rfind('\n')?];
        let mut lines = whole.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        let line = lines.find(|line| line["request_id"] == answer.body["request_id"])?;
        Some((log, line))
    })
    .await;
    for (field, expected) in [
        ("controller", json!("message")),
        ("action", json!("send")),
        ("caller", json!("writer-1")),
        ("scope", json!("player")),
        ("client_ip", json!("127.0.0.1")),
        ("status", json!(200)),
        ("code", json!("ok")),
        ("cold_start", json!(false)),
        ("version", json!(env!("CARGO_PKG_VERSION"))),
    ] {
        assert_eq!(line[field], expected, "{field} in {line}");
    }
    assert!(line["duration_ms"].is_number() && line["wordlist"].is_string(), "{line}");
    assert!(line["input"].as_str().unwrap().contains("n-1"), "{line}");
    assert!(line.as_object().unwrap().keys().all(|field| !field.contains('.')), "{line}");
    for secret in ["hidden plan", "dawn", token.as_str(), &server_token(), crate::help::SECRET] {
        assert!(!log.contains(secret), "{secret} is in the log");
    }
}

//! What one request or frame may cost: counted in requests and bytes, never in time. (`bounds_text` is about texts.)

use std::convert::Infallible;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt, stream};
use guildhall::api::head::Peer;
use http::Request;
use http_body_util::{Full, StreamBody};
use hyper::body::Frame;
use serde_json::json;
use tokio::net::TcpStream;
use tokio_tungstenite::client_async;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::Frame as WireFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};

use crate::help::TestApp;
use crate::help::process::{Connection, Process, eventually, get_text, player_token, server_token};
use crate::help::socket_client::Socket;
use crate::hosts::lambda::free_port;

#[tokio::test(flavor = "multi_thread")]
async fn what_was_not_read_is_counted_and_logged_without_its_text() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let metrics = format!("127.0.0.1:{}", free_port());
    let mut process =
        Process::start(&data, &[("GUILDHALL_LOG", "info"), ("GUILDHALL_METRICS_LISTEN", &metrics)]);
    let mut connection = process.connect().await.unwrap();
    let world = json!({ "id": "world", "kind": "world", "members": ["alice"], "settings": { "open": true } });
    assert_eq!(connection.call(&server_token(), "/channel/create", Some(&world)).await.unwrap().status, 200);
    let many = "|\\|/\\/m*&|(".repeat(150);
    let alice = player_token("alice");
    let send = json!({ "channel": "world", "text": "look", "payload": { "list": [many, "dr.a.g"] } });
    assert_eq!(connection.call(&alice, "/message/send", Some(&send)).await.unwrap().status, 200);
    let figures = get_text(&metrics, "/metrics").await;
    assert!(figures.contains("guildhall_texts_unread_total{class=\"payload\"} 1"), "{figures}");
    assert!(!figures.contains("guildhall_texts_unread_total{class=\"text\"}"), "{figures}");
    process.signal(nix::sys::signal::Signal::SIGTERM);
    assert_eq!(process.wait(), Some(0));
    let log = std::fs::read_to_string(data.with_extension("log")).unwrap();
    let lines: Vec<&str> = log.lines().filter(|line| line.contains("too many ways")).collect();
    assert_eq!(lines.len(), 1, "{log}");
    assert!(lines[0].contains("\"class\":\"payload\"") && lines[0].contains("request_id"), "{}", lines[0]);
    assert!(!log.contains("m*&|("), "no text in the log");
}

/// Unknown paths, wrong methods, queries and bodies that are refused before an action sees them.
#[tokio::test]
async fn what_no_action_answers_is_counted_too() {
    let long = format!("/channel/inbox?x={}", "x".repeat(9_000));
    for path in ["/nowhere", "/channel/nowhere", long.as_str(), "/message/send"] {
        let app = TestApp::with(&[("GUILDHALL_RATE", "5/10s")]).await;
        let alice = app.player("alice");
        for _ in 0..5 {
            let status = alice.get(path).await.status.as_u16();
            assert!([400, 404, 405].contains(&status), "{path}: {status}");
        }
        assert_eq!(alice.get(path).await.status, 429, "{path}");
        assert_eq!(alice.get("/channel/inbox").await.status, 429, "it is the same count");
        for actor in [app.server(), app.moderator("mo")] {
            for _ in 0..20 {
                assert_ne!(actor.get(path).await.status, 429);
            }
        }
    }
    let app = TestApp::with(&[("GUILDHALL_RATE", "5/10s")]).await;
    let alice = app.player("alice");
    for _ in 0..5 {
        assert_eq!(alice.post_bytes("/message/send", "x".repeat(20_000)).await.status, 413);
    }
    assert_eq!(alice.post_bytes("/message/send", "x".repeat(20_000)).await.status, 429);
    for _ in 0..20 {
        assert_eq!(alice.get("/health/live").await.status, 200, "health is counted nowhere");
    }
    let long = format!("/health/live?x={}", "x".repeat(9_000));
    for path in ["/health/nowhere", "/health/live?x=1", "/health/ready?x=1", long.as_str()] {
        assert_eq!(alice.get(path).await.status, 429, "but what is none of it: {path}");
    }
    assert_eq!(alice.post("/health/live", json!({})).await.status, 429);
    let app = TestApp::with(&[("GUILDHALL_RATE", "5/10s"), ("GUILDHALL_CORS_ORIGINS", "*")]).await;
    for n in 0..8 {
        let request = Request::options("/message/send").header("origin", "https://game.example.com");
        let request = request.header("access-control-request-method", "POST");
        let request = request.extension(Peer("192.0.2.7".parse().unwrap()));
        let answer = app.router().handle(request.body(Full::new(Bytes::new())).unwrap()).await;
        assert_eq!(answer.status().as_u16(), if n < 5 { 204 } else { 429 }, "a browser's question {n}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_without_a_token_is_counted_and_its_paths_are_cut_in_the_log() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let mut process = Process::start(&data, &[("GUILDHALL_LOG", "info"), ("GUILDHALL_RATE", "20/60s")]);
    let mut connection = process.connect().await.unwrap();
    let path = format!("/nowhere/{}", "x".repeat(8_000));
    let mut statuses = Vec::new();
    for _ in 0..30 {
        statuses.push(connection.call("", &path, None).await.unwrap().status);
    }
    assert_eq!((statuses[0], statuses[29]), (404, 429), "{statuses:?}");
    process.signal(nix::sys::signal::Signal::SIGTERM);
    assert_eq!(process.wait(), Some(0));
    let log = std::fs::read_to_string(data.with_extension("log")).unwrap();
    let lines: Vec<&str> = log.lines().filter(|line| line.contains("/nowhere/x")).collect();
    // Those beyond the limit share lines.
    assert!((21..=30).contains(&lines.len()), "{}", lines.len());
    assert!(lines.iter().all(|line| line.len() < 900 && line.contains(&path[..256])), "{}", lines[0]);
}

/// A body of as many pieces as bytes costs as much as a hundred of its size.
#[tokio::test]
async fn a_body_comes_in_so_many_pieces_at_most() {
    let app = TestApp::new().await;
    app.world("world", &["alice"]).await;
    let input = json!({ "channel": "world", "text": "x".repeat(1_000) }).to_string();
    for (nothings, expected) in [(0, 200), (500, 200), (3_000, 400)] {
        let pieces = input.clone().into_bytes().into_iter().map(|byte| Bytes::copy_from_slice(&[byte]));
        let pieces = pieces.chain(std::iter::repeat_n(Bytes::new(), nothings));
        let body = StreamBody::new(stream::iter(pieces.map(|piece| Ok::<_, Infallible>(Frame::data(piece)))));
        let request = Request::post("/message/send").header("content-type", "application/json");
        let request = request.header("authorization", format!("Bearer {}", player_token("alice")));
        let answer = app.router().handle(request.body(body).unwrap()).await;
        assert_eq!(answer.status().as_u16(), expected, "{nothings}");
    }
}

/// Frames that are answered by nothing, or not at all.
#[tokio::test(flavor = "multi_thread")]
async fn frames_that_ask_for_nothing_end_the_socket_too() {
    let folder = tempfile::tempdir().unwrap();
    let process = Process::start(&folder.path().join("data"), &[]);
    let nothing = |kind, last| Message::Frame(WireFrame::message(Bytes::new(), OpCode::Data(kind), last));
    let floods: [(&str, Message, Message); 3] = [
        ("pings", Message::Ping(Bytes::new()), Message::Ping(Bytes::from_static(&[7; 125]))),
        ("pongs", Message::Pong(Bytes::new()), Message::Pong(Bytes::new())),
        ("parts of a text", nothing(Data::Text, false), nothing(Data::Continue, false)),
    ];
    for (what, first, then) in floods {
        let mut socket = Socket::of(&process, "alice").await;
        let _ = socket.wire.send(first).await;
        let flood = async {
            for _ in 0..100_000 {
                if socket.wire.feed(then.clone()).await.is_err() {
                    return;
                }
            }
            let _ = socket.wire.flush().await;
        };
        flood.await;
        let code = socket.read().await.expect_err(what);
        assert!([4000, 1006].contains(&code), "{what}: {code}");
    }
    // Whoever pings now and then is a client like others.
    let mut socket = Socket::of(&process, "bob").await;
    for _ in 0..50 {
        socket.wire.send(Message::Ping(Bytes::new())).await.unwrap();
    }
    assert_eq!(socket.ask("/health/live", json!({})).await["id"], 2);
}

/// What asks for no socket at the place of sockets, and what says no hello, is counted for its address.
#[tokio::test(flavor = "multi_thread")]
async fn sockets_that_say_no_hello_are_counted_for_their_address() {
    let folder = tempfile::tempdir().unwrap();
    let process = Process::start(&folder.path().join("data"), &[("GUILDHALL_RATE", "20/60s")]);
    let mut connection = eventually("it answers", async || Connection::open(process.port).await).await;
    let mut statuses = Vec::new();
    for _ in 0..15 {
        statuses.push(connection.call("", "/live/socket", None).await.unwrap().status);
    }
    let mut refused = 0;
    for _ in 0..10 {
        let stream = TcpStream::connect(("127.0.0.1", process.port)).await.unwrap();
        let Ok((mut wire, _)) = client_async("ws://localhost/live/socket", stream).await else {
            refused += 1;
            continue;
        };
        let _ = wire.send(Message::text("nonsense")).await;
        while let Some(Ok(_)) = wire.next().await {}
    }
    assert!(refused >= 4, "{refused} sockets were refused, behind {statuses:?}");
    assert_eq!(connection.call("", "/live/socket", None).await.unwrap().status, 429);
}

/// A good token is not asked for anew because of a limit.
#[tokio::test(flavor = "multi_thread")]
async fn who_asked_too_often_is_told_when_to_come_back() {
    let folder = tempfile::tempdir().unwrap();
    let process = Process::start(&folder.path().join("data"), &[("GUILDHALL_RATE", "2/60s")]);
    let first = Socket::of(&process, "alice").await;
    let _second = Socket::of(&process, "alice").await;
    let mut third = Socket::open(process.port).await;
    let hello = json!({ "id": 1, "do": "/live/hello", "input": { "token": player_token("alice") } });
    third.send(hello.to_string()).await;
    let answer = third.read().await.unwrap();
    let wait = answer["error"]["details"]["retry_after_s"].as_i64().unwrap();
    let bye = third.read().await.unwrap();
    assert_eq!((&bye["push"], &bye["code"]), (&json!("bye"), &json!(1013)));
    assert!(bye["retry_after_s"].as_i64().unwrap() >= wait, "{bye} after {answer}");
    assert_eq!(third.closed().await, 1013);
    drop(first);
}

#[tokio::test(flavor = "multi_thread")]
async fn frames_that_no_action_answers_are_counted_and_nonsense_ends_the_socket() {
    let folder = tempfile::tempdir().unwrap();
    let process = Process::start(&folder.path().join("data"), &[("GUILDHALL_RATE", "30/60s")]);
    let bad: [(&str, &dyn Fn(u64) -> String); 4] = [
        ("alice", &|id| json!({ "id": id, "do": "/nowhere", "input": {} }).to_string()),
        ("bob", &|id| json!({ "id": id, "do": "/live/hello", "input": {} }).to_string()),
        ("carl", &|id| json!({ "id": id, "do": 7 }).to_string()),
        ("dora", &|id| json!({ "id": id, "do": "/channel/inbox" }).to_string()),
    ];
    for (player, frame) in bad {
        let mut socket = Socket::of(&process, player).await;
        let (mut answered, mut limited) = (0, 0);
        let code = loop {
            let _ = futures_util::SinkExt::send(&mut socket.wire, frame(answered + 2).into()).await;
            match socket.read().await {
                Ok(answer) if answer["error"]["code"] == "rate_limited" => limited += 1,
                Ok(_) => {}
                Err(code) => break code,
            }
            answered += 1;
            assert!(answered < 200, "{player}'s frames go on being answered");
        };
        assert_eq!((code, limited > 50), (4000, true), "{player}: {answered} answers, {limited} of them 429");
    }
    // Health is counted nowhere over HTTP; on a socket, once a second.
    let mut socket = Socket::of(&process, "erik").await;
    let mut limited = false;
    for _ in 0..60 {
        limited |= socket.ask("/health/live", json!({})).await["error"]["code"] == "rate_limited";
    }
    assert!(limited);
    // A frame that is not counted makes nobody a better client.
    let mut socket = Socket::of(&process, "fred").await;
    for n in 0..120 {
        let frame = if n == 60 { "/health/live" } else { "/live/hello" };
        socket.send(json!({ "id": n + 2, "do": frame, "input": {} }).to_string()).await;
    }
    let mut answered = 0;
    let code = loop {
        match socket.read().await {
            Ok(_) => answered += 1,
            Err(code) => break code,
        }
    };
    assert!(code == 4000 && answered <= 101, "{code}, {answered} answers");
}

/// What a client that asks for too much too fast reads in the end; a reset would send it back with the same frame.
#[tokio::test(flavor = "multi_thread")]
async fn a_frame_that_is_too_large_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let process = Process::start(&folder.path().join("data"), &[]);
    for bytes in [20_481, 21_000, 30_000, 60_000, 900_000] {
        for _ in 0..5 {
            let mut socket = Socket::of(&process, "alice").await;
            let sending = futures_util::SinkExt::send(&mut socket.wire, "x".repeat(bytes).into());
            let _ = sending.await;
            assert_eq!(socket.read().await, Err(1009), "{bytes} bytes");
        }
    }
}

/// The same over HTTP: a head that is too large.
#[tokio::test(flavor = "multi_thread")]
async fn a_head_that_is_too_large_is_told() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let folder = tempfile::tempdir().unwrap();
    let process = Process::start(&folder.path().join("data"), &[]);
    eventually("it answers", async || Connection::open(process.port).await).await;
    for _ in 0..10 {
        let mut stream = tokio::net::TcpStream::connect(("127.0.0.1", process.port)).await.unwrap();
        let head = format!("GET /health/live HTTP/1.1\r\nhost: x\r\nx: {}\r\n\r\n", "x".repeat(200_000));
        let _ = stream.write_all(head.as_bytes()).await;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.expect("the connection is not broken off");
        assert!(answer.starts_with(b"HTTP/1.1 431 "), "{}", String::from_utf8_lossy(&answer));
    }
}

/// A body that says itself that it is too large is not waited for.
#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_says_it_is_too_large_is_told() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let folder = tempfile::tempdir().unwrap();
    let process = Process::start(&folder.path().join("data"), &[]);
    eventually("it answers", async || Connection::open(process.port).await).await;
    for length in ["300000", "5000000", "9999999999999"] {
        let mut stream = tokio::net::TcpStream::connect(("127.0.0.1", process.port)).await.unwrap();
        let head = format!(
            "POST /message/send HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n\
             content-length: {length}\r\nconnection: close\r\n\r\n{{"
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"HTTP/1.1 413", "{length}");
    }
}

/// Whoever sends something else than HTTP pays for it as for requests.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_request_counts_as_one() {
    let folder = tempfile::tempdir().unwrap();
    let metrics = format!("127.0.0.1:{}", free_port());
    let variables = [
        ("GUILDHALL_METRICS_LISTEN", metrics.as_str()),
        ("GUILDHALL_RATE", "3/60s"),
        ("GUILDHALL_TRUSTED_PROXIES", "none"),
    ];
    let process = Process::start(&folder.path().join("data"), &variables);
    for _ in 0..3 {
        let mut stream = std::net::TcpStream::connect(("127.0.0.1", process.port)).unwrap();
        std::io::Write::write_all(&mut stream, b"\x16\x03\x01 hello\r\n\r\n").unwrap();
        let _ = std::io::Read::read_to_end(&mut stream, &mut Vec::new());
    }
    eventually("they are counted", async || {
        let figures = get_text(&metrics, "/metrics").await;
        figures.contains("guildhall_requests_unreadable_total 3").then_some(())
    })
    .await;
    let mut connection = process.connect().await.unwrap();
    let answer = connection.call("", "/message/list?channel=x", None).await.unwrap();
    assert_eq!(answer.status, 429, "{}", answer.body);
}

//! Sockets as bytes: RFC 6455's rules, and requests for a socket that are not quite right.

use std::time::Duration;

use guildhall::base::random;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::help::process::{Process, eventually, player_token};
use crate::help::socket_client::Socket;

/// A frame with a mask, as clients send them; `first` has the flags and the kind.
fn frame(first: u8, payload: &[u8], masked: bool) -> Vec<u8> {
    let mask = [1, 2, 3, 4];
    let mut bytes = vec![first];
    let flag = if masked { 0x80 } else { 0 };
    match payload.len() {
        length @ 0..=125 => bytes.push(flag | length as u8),
        length => {
            bytes.push(flag | 126);
            bytes.extend((length as u16).to_be_bytes());
        }
    }
    if masked {
        bytes.extend(mask);
    }
    bytes.extend(
        payload.iter().enumerate().map(|(at, byte)| if masked { byte ^ mask[at % 4] } else { *byte }),
    );
    bytes
}

/// RFC 6455 as bytes, after the sections of its usual test suite: pings, reserved bits, kinds, fragments, UTF-8, closing.
#[tokio::test(flavor = "multi_thread")]
async fn the_protocol_is_held_to_its_rules() {
    let folder = tempfile::tempdir().unwrap();
    let process = Process::start(&folder.path().join("data"), &[]);
    let hello =
        json!({ "id": 1, "do": "/live/hello", "input": { "token": player_token("alice") } }).to_string();
    let (head, tail) = hello.as_bytes().split_at(20);
    let answered: &[(&str, Vec<u8>)] = &[
        ("whole", frame(0x81, hello.as_bytes(), true)),
        ("in two fragments", [frame(0x01, head, true), frame(0x80, tail, true)].concat()),
        (
            "a ping between fragments",
            [frame(0x01, head, true), frame(0x89, b"hi", true), frame(0x80, tail, true)].concat(),
        ),
        (
            "empty fragments",
            [frame(0x01, head, true), frame(0x00, b"", true), frame(0x80, tail, true)].concat(),
        ),
        ("a pong nobody asked for", [frame(0x8a, b"?", true), frame(0x81, hello.as_bytes(), true)].concat()),
    ];
    for (what, bytes) in answered {
        let text = raw(process.port, bytes, b"\"scope\":\"player\"").await;
        assert!(text.contains("\"id\":\"alice\""), "{what}: {text}");
    }
    let closed: &[(&str, Vec<u8>, u16)] = &[
        ("unmasked", frame(0x81, hello.as_bytes(), false), 1002),
        ("a reserved bit", frame(0xc1, hello.as_bytes(), true), 1002),
        ("a kind that is not there", frame(0x83, b"x", true), 1002),
        ("a control kind that is not there", frame(0x8b, b"x", true), 1002),
        ("a ping in fragments", frame(0x09, b"x", true), 1002),
        ("a ping that is too long", frame(0x89, &[b'x'; 126], true), 1002),
        ("a fragment that continues nothing", frame(0x80, b"x", true), 1002),
        ("a text amid fragments", [frame(0x01, b"x", true), frame(0x81, b"y", true)].concat(), 1002),
        ("no UTF-8", frame(0x81, b"\xff\xfe", true), 1007),
        ("half a letter at the end", frame(0x81, "é".as_bytes().split_at(1).0, true), 1007),
        (
            "a large text in fragments",
            [frame(0x01, &[b'x'; 15_000], true), frame(0x80, &[b'x'; 15_000], true)].concat(),
            1009,
        ),
        ("a close", frame(0x88, &[0x03, 0xe8], true), 1000),
    ];
    for (what, bytes, code) in closed {
        let mut stream = upgraded(process.port).await;
        stream.write_all(bytes).await.unwrap();
        let mut answer = Vec::new();
        let _ = tokio::time::timeout(Duration::from_secs(30), stream.read_to_end(&mut answer))
            .await
            .expect("it closes");
        let closing =
            answer.windows(4).rfind(|four| four[0] == 0x88).unwrap_or_else(|| panic!("{what}: {answer:?}"));
        assert_eq!(u16::from_be_bytes([closing[2], closing[3]]), *code, "{what}");
    }
}

/// A connection that is a socket, without a library.
async fn upgraded(port: u16) -> TcpStream {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    let request = "GET /live/socket HTTP/1.1\r\nhost: x\r\nupgrade: WebSocket\r\nconnection: keep-alive, Upgrade\r\n\
                   sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    let head = String::from_utf8(head).unwrap();
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    assert!(head.contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), "the key's answer is the RFC's: {head}");
    stream
}

/// What comes back for some bytes, up to where it has what is wanted.
async fn raw(port: u16, bytes: &[u8], wanted: &[u8]) -> String {
    let mut stream = upgraded(port).await;
    stream.write_all(bytes).await.unwrap();
    let (mut answer, mut some) = (Vec::new(), [0; 4_096]);
    while !answer.windows(wanted.len()).any(|part| part == wanted) {
        let reading = tokio::time::timeout(Duration::from_secs(30), stream.read(&mut some));
        let count = reading.await.expect("an answer comes").unwrap();
        assert!(count > 0, "{}", String::from_utf8_lossy(&answer));
        answer.extend(&some[..count]);
    }
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_for_a_socket_is_read_with_care() {
    let folder = tempfile::tempdir().unwrap();
    let process = Process::start(&folder.path().join("data"), &[]);
    let good = [
        ("upgrade", "websocket"),
        ("connection", "Upgrade"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ];
    let asked = async |method: &str, headers: &[(&str, &str)]| {
        let mut stream = TcpStream::connect(("127.0.0.1", process.port)).await.unwrap();
        let lines: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let request =
            format!("{method} /live/socket HTTP/1.1\r\nhost: x\r\n{lines}content-length: 0\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut status = [0; 12];
        stream.read_exact(&mut status).await.unwrap();
        String::from_utf8(status[9..].to_vec()).unwrap()
    };
    assert_eq!(asked("GET", &good).await, "101");
    assert_eq!(asked("POST", &good).await, "405");
    assert_eq!(asked("GET", &[]).await, "400");
    for (name, value) in [
        ("upgrade", "h2c"),
        ("connection", "close"),
        ("sec-websocket-version", "8"),
        ("sec-websocket-key", "short"),
    ] {
        let wrong: Vec<_> =
            good.iter().map(|(n, v)| if *n == name { (name, value) } else { (*n, *v) }).collect();
        assert_eq!(asked("GET", &wrong).await, "400", "{name}: {value}");
    }
    // A socket that is gone leaves nothing behind.
    let mut socket = Socket::of(&process, "alice").await;
    socket.ask("/live/follow", json!({ "all": true })).await;
    drop(socket);
    eventually("the server goes on", async || Some(Socket::of(&process, "alice").await)).await;
}

/// Frames that are almost right, some thousand of them: each is answered or closes its socket by the rules, and none is a
/// fault of ours.
#[tokio::test(flavor = "multi_thread")]
async fn frames_that_are_almost_right_do_no_harm() {
    const SIGNS: &[u8] = b"{}[]\":,\\/0179-.eE+ntfalse \t\n\x01~";
    let folder = tempfile::tempdir().unwrap();
    let process = Process::start(&folder.path().join("data"), &[]);
    let frames = [
        r#"{"id":7,"do":"/live/follow","input":{"channels":[{"channel":"g","after":1,"epoch":"x"}]}}"#,
        r#"{"id":7,"do":"/live/follow","input":{"all":true}}"#,
        r#"{"id":7,"do":"/live/unfollow","input":{"channels":["g"]}}"#,
        r#"{"id":7,"do":"/message/send","input":{"channel":"g","text":"hi","nonce":"n-1"}}"#,
        r#"{"id":7,"do":"/message/list","input":{"channel":"g","limit":3,"after":0}}"#,
        r#"{"id":7,"do":"/message/sync","input":{"channels":[{"channel":"g","after":0}],"wait_s":5}}"#,
    ];
    let (mut socket, mut answered, mut closed) = (Socket::of(&process, "alice").await, 0, 0);
    for n in 0..1_500 {
        let mut bytes = frames[n % frames.len()].as_bytes().to_vec();
        for _ in 0..=random::below(3) {
            let at = random::below(bytes.len() as u64) as usize;
            let sign = SIGNS[random::below(SIGNS.len() as u64) as usize];
            match random::below(3) {
                0 => bytes[at] = sign,
                1 => bytes.insert(at, sign),
                _ => drop(bytes.remove(at)),
            }
        }
        let text = String::from_utf8(bytes).unwrap();
        socket.send(text.clone()).await;
        match socket.read().await {
            Ok(answer) => {
                assert!(answer["id"].is_u64() || answer["push"].is_string(), "{text}: {answer}");
                assert_ne!(answer["error"]["code"], "internal", "{text}");
                answered += 1;
            }
            Err(code) => {
                assert_eq!(code, 4000, "{text}");
                socket = Socket::of(&process, "alice").await;
                closed += 1;
            }
        }
    }
    assert!(answered > 100 && closed > 100, "{answered} answered, {closed} closed");
}

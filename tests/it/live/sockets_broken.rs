//! Followers whose connections are cut at any byte, and whose server is killed: by their cursors they get each entry once
//! and in order, whatever broke.

use std::sync::atomic::{AtomicBool, AtomicU16, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::join_all;
use futures_util::{SinkExt, StreamExt};
use guildhall::base::random;
use guildhall::store::Db;
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::client_async;
use tokio_tungstenite::tungstenite::Message;

use crate::help::postgres_server::PostgresServer;
use crate::help::process::{Connection, Process, eventually, player_token, server_token};
use crate::help::socket_client::{self as sockets, Socket};
use crate::requests::rude_clients::{memory_kb, they_are_let_go};

/// Follows from a cursor on until the connection breaks or `wanted` is reached; the cursor by then.
async fn follow_on(port: u16, player: &str, mut after: usize, wanted: usize) -> Option<usize> {
    let stream = TcpStream::connect(("127.0.0.1", port)).await.ok()?;
    let (mut wire, _) = client_async("ws://localhost/live/socket", stream).await.ok()?;
    let hello = json!({ "id": 1, "do": "/live/hello", "input": { "token": player_token(player) } });
    let follow = json!({ "id": 2, "do": "/live/follow", "input": { "channels": [{ "channel": "g", "after": after }] } });
    for frame in [hello, follow] {
        wire.send(Message::text(frame.to_string())).await.ok()?;
    }
    while after < wanted {
        let next = tokio::time::timeout(Duration::from_mins(1), wire.next())
            .await
            .expect("something comes, or it breaks");
        let Some(Ok(Message::Text(text))) = next else { break };
        let frame: Value = serde_json::from_str(&text).unwrap();
        for message in frame["messages"].as_array().into_iter().flatten() {
            after += 1;
            assert_eq!(message["seq"], after, "each once, in order");
        }
    }
    Some(after)
}

/// Follows to the end, however often that breaks; says how often it did.
async fn follow_through(port: impl Fn() -> u16, player: &str, wanted: usize) -> usize {
    let (mut after, mut connections) = (0, 0);
    while after < wanted {
        match follow_on(port(), player, after, wanted).await {
            Some(reached) => (after, connections) = (reached, connections + 1),
            None => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
    connections
}

/// Says something until it is acknowledged: the same nonce twice is the same message once.
async fn say(port: impl Fn() -> u16, text: &str) {
    say_in("g", port, text).await;
}

async fn say_in(channel: &str, port: impl Fn() -> u16, text: &str) {
    let input = json!({ "channel": channel, "text": text, "nonce": text });
    loop {
        if let Some(mut connection) = Connection::open(port()).await
            && let Ok(answer) = connection.call(&player_token("bob"), "/message/send", Some(&input)).await
            && answer.status == 200
        {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn make(process: &Process) {
    let guild = json!({ "id": "g", "kind": "guild", "members": ["alice", "bob", "carl"] });
    let mut connection = process.connect().await.unwrap();
    assert_eq!(connection.call(&server_token(), "/channel/create", Some(&guild)).await.unwrap().status, 200);
}

/// Passes on what the server says, and cuts each connection after some bytes, anywhere.
async fn cutting_proxy(server: u16, cuts: Arc<AtomicUsize>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let cuts = Arc::clone(&cuts);
            tokio::spawn(async move {
                let real = TcpStream::connect(("127.0.0.1", server)).await.unwrap();
                let (mut from_server, mut to_server) = real.into_split();
                let (mut from_client, mut to_client) = client.into_split();
                let upward =
                    tokio::spawn(async move { tokio::io::copy(&mut from_client, &mut to_server).await });
                let mut left = 600 + random::below(60_000) as usize;
                let mut bytes = [0; 1_024];
                while let Ok(count @ 1..) = from_server.read(&mut bytes[..left.min(1_024)]).await {
                    if to_client.write_all(&bytes[..count]).await.is_err() {
                        break;
                    }
                    left -= count;
                    if left == 0 {
                        cuts.fetch_add(1, Ordering::Relaxed);
                        break;
                    }
                }
                upward.abort();
            });
        }
    });
    port
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_cut_at_any_byte_lose_and_repeat_nothing() {
    const MESSAGES: usize = 300;
    let folder = tempfile::tempdir().unwrap();
    let process = Process::start(&folder.path().join("data"), &[]);
    make(&process).await;
    let cuts = Arc::new(AtomicUsize::new(0));
    let proxy = cutting_proxy(process.port, Arc::clone(&cuts)).await;
    let writing = async {
        for n in 0..MESSAGES {
            say(|| process.port, &format!("{n}")).await;
        }
    };
    let following = join_all((0..8).map(|_| follow_through(|| proxy, "alice", MESSAGES)));
    tokio::join!(writing, following);
    assert!(cuts.load(Ordering::Relaxed) >= 8, "{cuts:?}");
}

/// Four kills of the server while players talk and others follow.
#[tokio::test(flavor = "multi_thread")]
async fn kills_of_the_server_lose_and_repeat_nothing() {
    const WRITERS: usize = 4;
    const EACH: usize = 60;
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let process = Process::start(&data, &[]);
    make(&process).await;
    let (listens, done) = (AtomicU16::new(process.port), AtomicBool::new(false));
    let process = Mutex::new(Some(process));
    let port = || listens.load(Ordering::Relaxed);
    let said = AtomicUsize::new(0);
    let writing = async {
        join_all((0..WRITERS).map(|writer| {
            let said = &said;
            async move {
                for n in 0..EACH {
                    say(port, &format!("{writer}-{n}")).await;
                    said.fetch_add(1, Ordering::SeqCst);
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            }
        }))
        .await;
        done.store(true, Ordering::Relaxed);
    };
    let killing = async {
        for n in 1..=4 {
            let enough = WRITERS * EACH * n / 6;
            eventually("talk", async || (said.load(Ordering::SeqCst) >= enough).then_some(())).await;
            let mut killed = process.lock().unwrap().take().unwrap();
            killed.signal(Signal::SIGKILL);
            assert_eq!(killed.wait(), None);
            let next = Process::start(&data, &[]);
            listens.store(next.port, Ordering::Relaxed);
            *process.lock().unwrap() = Some(next);
        }
    };
    let following = join_all(
        (0..6).map(|n| follow_through(port, if n % 2 == 0 { "alice" } else { "carl" }, WRITERS * EACH)),
    );
    let ((), (), connections) = tokio::join!(writing, killing, following);
    assert!(done.load(Ordering::Relaxed));
    assert!(connections.iter().any(|count| *count > 1), "{connections:?}");
    // What was acknowledged is there once.
    let after = WRITERS * EACH;
    eventually("nothing follows", async || {
        let mut connection = Connection::open(port()).await?;
        let page = format!("/message/list?channel=g&after={after}");
        let page = connection.call(&player_token("alice"), &page, None).await.ok()?.body;
        (page["data"]["messages"] == json!([])).then_some(())
    })
    .await;
}

/// A client that takes nothing does not hold a stop up.
#[tokio::test(flavor = "multi_thread")]
async fn a_stop_waits_for_no_reader() {
    let folder = tempfile::tempdir().unwrap();
    let mut process = Process::start(&folder.path().join("data"), &[]);
    sockets::make(&process, "g", &["alice", "bob"]).await;
    let text = "x".repeat(1_900);
    for _ in 0..40 {
        sockets::say(&process, "bob", "g", &text).await;
    }
    // More than the system takes for somebody who reads nothing.
    let mut stuck = Socket::of(&process, "alice").await;
    for n in 0..200 {
        let input = json!({ "channel": "g", "limit": 40 });
        let frame = json!({ "id": n, "do": "/message/list", "input": input }).to_string();
        let sending = stuck.send(frame);
        if tokio::time::timeout(Duration::from_millis(500), sending).await.is_err() {
            break;
        }
    }
    process.signal(Signal::SIGTERM);
    let begun = std::time::Instant::now();
    assert_eq!(process.wait(), Some(0));
    assert!(begun.elapsed() < Duration::from_secs(9), "{:?}", begun.elapsed());
}

/// PostgreSQL is killed while players talk in three channels: followers are told all of it, in order, once it is back.
#[tokio::test(flavor = "multi_thread")]
async fn kills_of_the_database_lose_and_repeat_nothing() {
    const EACH: usize = 120;
    let mut server = PostgresServer::start("");
    let folder = tempfile::tempdir().unwrap();
    let config = crate::help::database::config(&server.url());
    Db::migrate(&config).await.unwrap();
    let process = Process::start(&folder.path().join("data"), &[("DATABASE_URL", &server.url())]);
    for channel in ["a", "b", "c"] {
        sockets::make(&process, channel, &["alice", "bob"]).await;
    }
    let port = process.port;
    let said = AtomicUsize::new(0);
    let writing = join_all(["a", "b", "c"].map(|channel| {
        let said = &said;
        async move {
            for n in 0..EACH {
                say_in(channel, || port, &format!("{channel}-{n}")).await;
                said.fetch_add(1, Ordering::SeqCst);
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
    }));
    let killing = async {
        for n in 1..=2 {
            let enough = 3 * EACH * n / 3;
            eventually("talk", async || (said.load(Ordering::SeqCst) >= enough).then_some(())).await;
            server.kill_and_start();
        }
    };
    let mut socket = Socket::of(&process, "alice").await;
    socket.ask("/live/follow", json!({ "all": true })).await;
    let following = async {
        let mut reached = std::collections::BTreeMap::from([("a", 0), ("b", 0), ("c", 0)]);
        while reached.values().sum::<usize>() < 3 * EACH {
            let push = socket.push().await;
            let last = reached.get_mut(push["channel"].as_str().unwrap()).unwrap();
            for message in push["messages"].as_array().unwrap() {
                *last += 1;
                assert_eq!(message["seq"], *last, "each once, in order: {push}");
            }
        }
    };
    tokio::join!(writing, killing, following);
}

/// Followers who are far behind and read nothing hold little together, are let go, and keep nobody from being told.
#[tokio::test(flavor = "multi_thread")]
async fn followers_that_never_read_hold_little() {
    let folder = tempfile::tempdir().unwrap();
    let process = Process::start(&folder.path().join("data"), &[]);
    let names: Vec<String> = (0..120).map(|n| format!("p{n}")).collect();
    let members: Vec<&str> = names.iter().map(String::as_str).chain(["alice", "bob"]).collect();
    sockets::make(&process, "g", &members).await;
    let mut connection = process.connect().await.unwrap();
    for _ in 0..500 {
        let input = json!({ "channel": "g", "text": "hello", "payload": { "x": "y".repeat(8_000) } });
        let sent = connection.call(&player_token("bob"), "/message/send", Some(&input)).await;
        assert_eq!(sent.unwrap().status, 200);
    }
    let before = memory_kb(&process);
    let mut unread = Vec::new();
    for name in &names {
        let mut socket = Socket::of(&process, name).await;
        let input = json!({ "channels": [{ "channel": "g", "after": 0 }] });
        socket.send(json!({ "id": 9, "do": "/live/follow", "input": input }).to_string()).await;
        unread.push(socket);
    }
    let mut alice = Socket::of(&process, "alice").await;
    alice.ask("/live/follow", json!({ "channels": [{ "channel": "g", "after": 0 }] })).await;
    let mut reached = 0;
    while reached < 500 {
        for message in alice.push().await["messages"].as_array().unwrap() {
            reached += 1;
            assert_eq!(message["seq"], reached);
        }
    }
    let held = memory_kb(&process) - before;
    println!("120 followers that read nothing hold {held} KB");
    assert!(held < 180_000, "{held} KB");
    they_are_let_go(&process).await;
    drop(unread);
}

//! Several servers and the bus between them: told at once where it is there, told all the same where it is not, and
//! nothing missed, twice or out of order, whatever the bus does.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use guildhall::base::random;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

use crate::help::process::{Process, eventually, figure, get_text, player_token, server_token};
use crate::help::socket_client::{Socket, call, follow, make, say};
use crate::hosts::lambda::{Lambda, free_port, http_api};

/// A nats-server of a test's own.
pub struct Nats {
    child: Child,
    pub port: u16,
    arguments: Vec<String>,
}

impl Nats {
    /// At a port that it takes itself: one that is only looked up beforehand may be another test's by then.
    pub async fn start(arguments: &[&str]) -> Self {
        let arguments: Vec<String> = arguments.iter().map(|one| (*one).to_owned()).collect();
        let folder = tempfile::tempdir().unwrap();
        let child = Self::spawn("-1", Some(folder.path()), &arguments);
        let port = eventually("the bus says its port", async || {
            let file = std::fs::read_dir(folder.path()).ok()?.next()?.ok()?.path();
            let ports: Value = serde_json::from_str(&std::fs::read_to_string(file).ok()?).ok()?;
            ports["nats"][0].as_str()?.rsplit(':').next()?.parse().ok()
        });
        let nats = Self { port: port.await, child, arguments };
        nats.answers().await;
        nats
    }

    fn spawn(port: &str, says_port_in: Option<&Path>, arguments: &[String]) -> Child {
        #[expect(clippy::disallowed_methods, reason = "scripts/services says where the program is")]
        let program = std::env::var("GUILDHALL_TEST_NATS").expect("scripts/services starts what tests need");
        let mut command = Command::new(program);
        if let Some(folder) = says_port_in {
            command.arg("--ports_file_dir").arg(folder);
        }
        command
            .args(["--addr", "127.0.0.1", "--port", port])
            .args(arguments)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap()
    }

    async fn answers(&self) {
        eventually("the bus answers", async || TcpStream::connect(("127.0.0.1", self.port)).await.ok()).await;
    }

    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    pub async fn start_again(&mut self) {
        self.child = Self::spawn(&self.port.to_string(), None, &self.arguments);
        self.answers().await;
    }
}

impl Drop for Nats {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A client that writes down what goes over the bus.
async fn listen_in(port: u16) -> tokio::sync::mpsc::UnboundedReceiver<(String, String)> {
    let stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    let (reader, mut writer) = stream.into_split();
    writer.write_all(b"CONNECT {\"verbose\":false}\r\nSUB > 1\r\nPING\r\n").await.unwrap();
    let mut reader = BufReader::new(reader);
    let mut line = String::new();
    while !line.starts_with("PONG") {
        line.clear();
        reader.read_line(&mut line).await.unwrap();
    }
    let (sender, receiver) = tokio::sync::mpsc::unbounded_channel();
    tokio::spawn(async move {
        let _keep = writer;
        let mut line = String::new();
        while let Ok(1..) = reader.read_line(&mut line).await {
            if let Some(head) = line.strip_prefix("MSG ") {
                let subject = head.split(' ').next().unwrap().to_owned();
                let length: usize = head.trim().rsplit(' ').next().unwrap().parse().unwrap();
                let mut payload = vec![0; length + 2];
                reader.read_exact(&mut payload).await.unwrap();
                let payload = String::from_utf8_lossy(&payload[..length]).into_owned();
                if sender.send((subject, payload)).is_err() {
                    return;
                }
            }
            line.clear();
        }
    });
    receiver
}

/// Between servers and the bus: of what the bus says, one in ten is lost, one in ten comes twice, one in ten late.
async fn faulty_proxy(bus: u16, faults: Arc<AtomicUsize>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let faults = Arc::clone(&faults);
            tokio::spawn(async move {
                let Ok(real) = TcpStream::connect(("127.0.0.1", bus)).await else { return };
                let (from_bus, mut to_bus) = real.into_split();
                let (mut from_client, mut to_client) = client.into_split();
                tokio::spawn(async move { tokio::io::copy(&mut from_client, &mut to_bus).await });
                let mut from_bus = BufReader::new(from_bus);
                let (mut line, mut late) = (Vec::new(), Vec::new());
                while let Ok(1..) = from_bus.read_until(b'\n', &mut line).await {
                    let mut whole = std::mem::take(&mut line);
                    let is_message = whole.starts_with(b"MSG ");
                    if is_message {
                        let head = String::from_utf8_lossy(&whole).into_owned();
                        let length: usize = head.trim().rsplit(' ').next().unwrap().parse().unwrap();
                        let mut payload = vec![0; length + 2];
                        from_bus.read_exact(&mut payload).await.unwrap();
                        whole.extend(payload);
                    }
                    let fate = if is_message { random::below(10) } else { 9 };
                    let out = match fate {
                        0 => Vec::new(),
                        1 => [whole.clone(), whole].concat(),
                        2 => {
                            late = whole;
                            Vec::new()
                        }
                        _ => [whole, std::mem::take(&mut late)].concat(),
                    };
                    faults.fetch_add(usize::from(fate < 3), Ordering::Relaxed);
                    if to_client.write_all(&out).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    port
}

async fn hears(alice: &mut Socket, from: usize, to: usize) {
    let mut reached = from;
    while reached < to {
        let push = alice.push().await;
        for message in push["messages"].as_array().into_iter().flatten() {
            reached += 1;
            assert_eq!(message["seq"], reached, "each once, in order: {push}");
        }
    }
}

/// What goes over the bus is a channel's key and a number; other servers hear at once, a poll that waits too.
#[tokio::test(flavor = "multi_thread")]
async fn servers_tell_each_other_by_hints_without_text() {
    let nats = Nats::start(&[]).await;
    let mut overheard = listen_in(nats.port).await;
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let one = Process::start(&data, &[("GUILDHALL_BUS", &nats.url())]);
    let figures = format!("127.0.0.1:{}", free_port());
    let variables = [("GUILDHALL_VERSION", "$LATEST"), ("GUILDHALL_METRICS_LISTEN", &figures)];
    let other = Process::start(
        &data,
        &[("GUILDHALL_BUS", &*nats.url())].into_iter().chain(variables).collect::<Vec<_>>(),
    );
    make(&one, "secret-guild", &["alice", "bob"]).await;
    let mut alice = Socket::of(&other, "alice").await;
    alice.ask("/live/follow", follow("secret-guild", 0)).await;
    // The first may come by the sweep: the bus is connected to beside all else.
    say(&one, "bob", "secret-guild", "a secret word").await;
    let (subject, payload) = overheard.recv().await.unwrap();
    assert!(subject.starts_with("guildhall.live.c.") && payload == "1", "{subject} {payload}");
    hears(&mut alice, 0, 1).await;
    for n in 2..=60 {
        say(&one, "bob", "secret-guild", "a secret word").await;
        hears(&mut alice, n - 1, n).await;
        let (subject, payload) = overheard.recv().await.unwrap();
        assert!(!subject.contains("secret") && payload == n.to_string(), "{subject} {payload}");
    }
    // Without the bus, the sweep would have found each of them; with it, what was said before it was connected to, and a
    // few that it came upon by chance.
    let text = get_text(&figures, "/metrics").await;
    let swept = text.lines().find_map(|line| line.strip_prefix("guildhall_swept_total "));
    println!("{swept:?} of 60 were found by the sweep");
    assert!(swept.is_none_or(|swept| swept.parse::<u32>().unwrap() < 40), "{swept:?}");

    // The newest code is heard by the published versions too, and a poll that waits as well as a socket.
    let poll = json!({ "channels": [{ "channel": "secret-guild", "after": 60 }], "wait_s": 25 });
    let mut waiting = one.connect().await.unwrap();
    let token = player_token("alice");
    let (heard, ()) = tokio::join!(waiting.call(&token, "/message/sync", Some(&poll)), async {
        say(&other, "bob", "secret-guild", "from the newest code").await;
    });
    assert_eq!(heard.unwrap().body["data"]["channels"][0]["messages"][0]["seq"], 61);
    let (subject, _) = overheard.recv().await.unwrap();
    assert!(subject.starts_with("guildhall.latest.c."));

    // A hint behind others that never came is counted.
    let mut publisher = TcpStream::connect(("127.0.0.1", nats.port)).await.unwrap();
    let hint = format!("CONNECT {{}}\r\nPUB {} 2\r\n99\r\n", subject.replace("latest", "live"));
    publisher.write_all(hint.as_bytes()).await.unwrap();
    figure(&figures, "guildhall_gaps_total 1").await;
}

/// A bus that loses, repeats and reorders, and is killed meanwhile: each entry once, in order.
#[tokio::test(flavor = "multi_thread")]
async fn a_faulty_bus_that_is_killed_loses_and_repeats_nothing() {
    const EACH: usize = 100;
    let mut nats = Nats::start(&[]).await;
    let faults = Arc::new(AtomicUsize::new(0));
    let proxy = faulty_proxy(nats.port, Arc::clone(&faults)).await;
    let url = format!("nats://127.0.0.1:{proxy}");
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let servers = [(); 2].map(|()| Process::start(&data, &[("GUILDHALL_BUS", &url)]));
    make(&servers[0], "g", &["alice", "bob"]).await;
    let mut sockets = Vec::new();
    for server in servers.iter().cycle().take(6) {
        let mut socket = Socket::of(server, "alice").await;
        socket.ask("/live/follow", follow("g", 0)).await;
        sockets.push(socket);
    }
    let said = AtomicUsize::new(0);
    let writing = join_all(servers.iter().map(|server| async {
        for n in 0..EACH {
            say(server, "bob", "g", &format!("{n}")).await;
            said.fetch_add(1, Ordering::SeqCst);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }));
    let are_said = async |count: usize| {
        eventually("talk", async || (said.load(Ordering::SeqCst) >= count).then_some(())).await;
    };
    let killing = async {
        for n in 1..=2 {
            are_said(n * 60 - 20).await;
            nats.kill();
            are_said(n * 60).await;
            nats.start_again().await;
        }
    };
    let following = join_all(sockets.iter_mut().map(|socket| hears(socket, 0, 2 * EACH)));
    tokio::join!(writing, killing, following);
    let faults = faults.load(Ordering::Relaxed);
    println!("{faults} hints were lost, repeated or late");
    assert!(faults > 10, "{faults}");
}

/// A start and a send wait for no bus, and a wrong password is no reason to stop.
#[tokio::test(flavor = "multi_thread")]
async fn a_bus_that_is_away_or_refuses_holds_nothing_up() {
    let nats = Nats::start(&["--user", "guildhall", "--pass", "s%cret"]).await;
    let folder = tempfile::tempdir().unwrap();
    for (place, url) in [
        ("away", "nats://127.0.0.1:9".to_owned()),
        ("refused", format!("nats://guildhall:wrong@127.0.0.1:{}", nats.port)),
        ("let in", format!("nats://guildhall:s%25cret@127.0.0.1:{}", nats.port)),
    ] {
        let data = folder.path().join(place);
        let process = Process::start(&data, &[("GUILDHALL_BUS", &url), ("GUILDHALL_LOG", "debug")]);
        make(&process, "g", &["alice", "bob"]).await;
        let mut alice = Socket::of(&process, "alice").await;
        alice.ask("/live/follow", follow("g", 0)).await;
        say(&process, "bob", "g", "hello").await;
        hears(&mut alice, 0, 1).await;
        drop(process);
        let log = std::fs::read_to_string(data.with_extension("log")).unwrap();
        assert!(!log.contains("wrong@") && !log.contains("s%cret") && !log.contains("s%25cret"), "{log}");
    }
}

/// Who types is told at another server where the bus asks for a password and encrypts, and not where it does neither.
#[tokio::test(flavor = "multi_thread")]
async fn who_types_goes_over_a_private_bus_alone() {
    let folder = tempfile::tempdir().unwrap();
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let (certificate, key) = (folder.path().join("cert.pem"), folder.path().join("key.pem"));
    std::fs::write(&certificate, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    let (certificate, key) = (certificate.to_str().unwrap(), key.to_str().unwrap());
    let private = Nats::start(&[
        "--user",
        "guildhall",
        "--pass",
        "secret",
        "--tls",
        "--tlscert",
        certificate,
        "--tlskey",
        key,
    ])
    .await;
    let open = Nats::start(&[]).await;
    for (place, url, is_told) in [
        ("private", format!("tls://guildhall:secret@localhost:{}", private.port), true),
        ("open", open.url(), false),
    ] {
        let data = folder.path().join(place);
        let variables = [("GUILDHALL_BUS", url.as_str()), ("GUILDHALL_BUS_CA_FILE", certificate)];
        let (one, other) = (Process::start(&data, &variables), Process::start(&data, &variables));
        make(&one, "g", &["alice", "bob"]).await;
        let mut alice = Socket::of(&one, "alice").await;
        alice.ask("/live/follow", follow("g", 0)).await;
        let mut bob = Socket::of(&other, "bob").await;
        bob.ask("/live/follow", follow("g", 0)).await;
        // Until the servers are connected to the bus, nobody can be told.
        let mut told = Value::Null;
        for _ in 0..if is_told { 20 } else { 2 } {
            bob.ask("/live/typing", json!({ "channel": "g" })).await;
            let push = tokio::time::timeout(Duration::from_millis(3_100), alice.push_of("typing")).await;
            if let Ok(push) = push {
                told = push;
                break;
            }
        }
        let expected = json!({ "push": "typing", "channel": "g", "player": "bob" });
        assert_eq!(told, if is_told { expected } else { Value::Null }, "{place}");
        call(&one, &player_token("alice"), "/message/send", json!({ "channel": "g", "text": "still" })).await;
    }
}

/// A function tells the bus within the request that stored something: between requests it sleeps.
#[tokio::test(flavor = "multi_thread")]
async fn a_function_tells_the_bus_within_its_request() {
    let nats = Nats::start(&[]).await;
    let mut overheard = listen_in(nats.port).await;
    let function =
        Lambda::start_as("api", env!("CARGO_BIN_EXE_guildhall"), &[("GUILDHALL_BUS", &nats.url())]);
    let guild = json!({ "id": "g", "kind": "guild", "members": ["bob"] }).to_string();
    let create = http_api("POST", "/latest/channel/create", "", &server_token(), Some((&guild, false)));
    assert_eq!(function.invoke(&create).await["statusCode"], 200);
    let mut told = None;
    // The first requests may come before the bus is connected to, which none of them waits for.
    for n in 1..=50 {
        let text = json!({ "channel": "g", "text": "hello" }).to_string();
        let send = http_api("POST", "/latest/message/send", "", &player_token("bob"), Some((&text, false)));
        assert_eq!(function.invoke(&send).await["statusCode"], 200);
        let hint = tokio::time::timeout(Duration::from_millis(500), overheard.recv()).await;
        if let Ok(Some(hint)) = hint {
            told = Some((hint, n));
            break;
        }
    }
    let ((subject, payload), n) = told.expect("the bus is told");
    assert!(subject.starts_with("guildhall.latest.c."), "{subject}");
    assert!((1..=n).contains(&payload.parse().unwrap()), "{payload} after {n}");
}

//! Releasing on a plain server, by scripts/release and a real nginx, with players who keep talking: no request fails while
//! versions come and go, shares are what was asked for, and a bad version is taken back by itself.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::help::SECRET;
use crate::help::database;
use crate::help::process::{Connection, eventually, get_text, player_token, server_token};
use crate::help::socket_client::{Socket, closed_at_last};
use crate::hosts::lambda::free_port;
use crate::live::sockets;
use crate::work::kafka;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// A server of its own: nginx and the versions that a test releases.
struct Server {
    folder: tempfile::TempDir,
    port: u16,
    database: String,
}

impl Server {
    async fn set_up() -> Self {
        // PostgreSQL, whatever the suite runs on: several versions share it.
        let database = database::schema().await;
        let server = Self { folder: tempfile::tempdir().unwrap(), port: free_port(), database };
        // nginx's workers are another user's where it is started by root.
        fs::set_permissions(server.folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let listen = format!("127.0.0.1:{}", server.port);
        // Below those that the system gives to clients, of whom there will be many.
        static SERVERS: AtomicUsize = AtomicUsize::new(0);
        let number = std::process::id() as usize % 20 * 2 + SERVERS.fetch_add(1, Ordering::Relaxed);
        let first_port = (10_000 + number * 500).to_string();
        let nginx = format!("{ROOT}/target/tools/nginx");
        let init = [
            "init",
            "--listen",
            &listen,
            "--first-port",
            &first_port,
            "--runner",
            "process",
            "--nginx",
            &nginx,
        ];
        server.succeeds(&init);
        let settings = format!(
            "DATABASE_URL={}\nGUILDHALL_TOKEN_SECRET={SECRET}\nGUILDHALL_LOG=warn\nGUILDHALL_SEND_LIMIT=off\nGUILDHALL_RATE=off\n\
             KAFKA_BROKERS={}\nGUILDHALL_TOPIC={}\n",
            server.database,
            kafka::brokers(),
            kafka::topic(),
        );
        fs::write(server.root().join("env"), settings).unwrap();
        server
    }

    fn root(&self) -> PathBuf {
        self.folder.path().join("srv")
    }

    fn run(&self, arguments: &[&str]) -> Output {
        let root = self.root();
        Command::new(format!("{ROOT}/scripts/release"))
            .args(["--target", "plain", "--root", root.to_str().unwrap(), "--by", "ann"])
            .args(arguments)
            .env_remove("DATABASE_URL")
            .env_remove("KAFKA_BROKERS")
            .output()
            .unwrap()
    }

    /// Releases by itself what fails nowhere. How long its answers take is this machine's matter, where other tests run
    /// beside it.
    fn goes_all_the_way(&self, package: &str) -> String {
        let steps = ["--steps", "0.1,0.5", "--hold", "2", "--min-requests", "20", "--slow-ms", "60000"];
        self.succeeds(&[["all", "--package", package].as_slice(), &steps].concat())
    }

    #[track_caller]
    fn succeeds(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        let told = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{arguments:?}: {told}{}", String::from_utf8_lossy(&output.stderr));
        told
    }

    #[track_caller]
    fn refuses(&self, arguments: &[&str], code: i32) -> String {
        let output = self.run(arguments);
        let fault = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {fault}");
        fault
    }

    fn status(&self) -> Value {
        serde_json::from_str(&self.succeeds(&["status", "--json"])).unwrap()
    }

    /// Where players talk.
    async fn make_world(&self) {
        let mut connection = Connection::open(self.port).await.unwrap();
        let world =
            json!({ "id": "world", "kind": "world", "members": ["alice"], "settings": { "open": true } });
        let made = connection.call(&server_token(), "/channel/create", Some(&world)).await.unwrap();
        assert_eq!(made.status, 200, "{}", made.body);
    }

    /// Which version's worker runs.
    fn worker(&self) -> String {
        let folder = self.root().join("versions/worker");
        let settings = fs::read_to_string(folder.join("env")).unwrap();
        let pid: i32 = fs::read_to_string(folder.join("pid")).unwrap().parse().unwrap();
        assert!(fs::exists(format!("/proc/{pid}")).unwrap(), "it runs");
        settings.lines().find_map(|line| line.strip_prefix("GUILDHALL_VERSION=")).unwrap().to_owned()
    }

    async fn get(&self, path: &str) -> Value {
        let mut connection = Connection::open(self.port).await.unwrap();
        connection.call("", path, None).await.unwrap().body
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.run(&["stop"]);
    }
}

/// The program as another build: the same, with something behind it.
fn build(folder: &Path, name: &str) -> String {
    let path = folder.join(name);
    let mut program = fs::read(env!("CARGO_BIN_EXE_guildhall")).unwrap();
    program.extend_from_slice(name.as_bytes());
    fs::write(&path, program).unwrap();
    path.to_str().unwrap().to_owned()
}

/// Players who talk and ask, each request on a connection of its own, so that none fails for having been kept open.
struct Players {
    stop: Arc<AtomicBool>,
    served: Arc<Mutex<BTreeMap<String, usize>>>,
    failed: Arc<Mutex<Vec<String>>>,
    said: Arc<AtomicUsize>,
    running: Vec<JoinHandle<()>>,
}

impl Players {
    fn start(port: u16) -> Self {
        let mut players = Self {
            stop: Arc::default(),
            served: Arc::default(),
            failed: Arc::default(),
            said: Arc::default(),
            running: Vec::new(),
        };
        for player in 0..6 {
            let (stop, served) = (Arc::clone(&players.stop), Arc::clone(&players.served));
            let (failed, said) = (Arc::clone(&players.failed), Arc::clone(&players.said));
            let token = player_token("alice");
            players.running.push(tokio::spawn(async move {
                for n in 0_usize.. {
                    if stop.load(Ordering::Relaxed) {
                        return;
                    }
                    let says = n % 10 == 0;
                    let message =
                        json!({ "channel": "world", "text": "hello", "nonce": format!("{player}-{n}") });
                    let (path, input) =
                        if says { ("/message/send", Some(&message)) } else { ("/meta/version", None) };
                    let answer = match Connection::open(port).await {
                        Some(mut connection) => {
                            connection.call(&token, path, input).await.map_err(|fault| fault.to_string())
                        }
                        None => Err("no connection".to_owned()),
                    };
                    match answer {
                        Ok(answer) if answer.status == 200 && says => {
                            said.fetch_add(1, Ordering::Relaxed);
                        }

                        Ok(answer) if answer.status == 200 => {
                            let version = answer.body["data"]["version"].as_str().unwrap().to_owned();
                            *served.lock().unwrap().entry(version).or_default() += 1;
                        }
                        Ok(answer) => {
                            failed.lock().unwrap().push(format!("{path}: {} {}", answer.status, answer.body))
                        }
                        Err(fault) => failed.lock().unwrap().push(format!("{path}: {fault}")),
                    }
                }
            }));
        }
        players
    }

    /// The share of a version among the next so many requests.
    async fn share(&self, version: &str, of: usize) -> f64 {
        self.served.lock().unwrap().clear();
        loop {
            tokio::time::sleep(Duration::from_millis(100)).await;
            let served = self.served.lock().unwrap().clone();
            let all: usize = served.values().sum();
            if all >= of {
                return served.get(version).copied().unwrap_or_default() as f64 / all as f64;
            }
        }
    }

    fn failures(&self) -> Vec<String> {
        self.failed.lock().unwrap().clone()
    }

    async fn stop(self) -> (usize, Vec<String>) {
        self.stop.store(true, Ordering::Relaxed);
        for player in self.running {
            player.await.unwrap();
        }
        (self.said.load(Ordering::Relaxed), self.failed.lock().unwrap().clone())
    }
}

/// What waits for a script must not stop the players.
async fn meanwhile<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_request_fails_while_versions_come_and_go_and_shares_are_kept() {
    let server = Arc::new(Server::set_up().await);
    let release = async |arguments: &'static [&'static str]| {
        let server = Arc::clone(&server);
        meanwhile(move || server.succeeds(arguments)).await
    };
    let deploy = async |name: &'static str| {
        let server = Arc::clone(&server);
        meanwhile(move || server.succeeds(&["deploy", "--package", &build(server.folder.path(), name)])).await
    };
    let before = server.get("/meta/version").await;
    assert_eq!(before["error"]["code"], "unavailable", "nginx says it as the program would: {before}");
    let head = get_text(&format!("127.0.0.1:{}", server.port), "/meta/version").await;
    assert!(head.contains("\r\nAccess-Control-Allow-Origin: *\r\n"), "browser games may read it: {head}");
    deploy("one").await;
    assert_eq!(server.get("/latest/meta/version").await["data"]["version"], "$LATEST");
    release(&["smoke"]).await;
    release(&["publish"]).await;
    assert_eq!(server.get("/meta/version").await["error"]["code"], "unavailable", "published, but not live");
    release(&["promote", "1"]).await;
    server.make_world().await;

    sockets::hear_what_is_said(server.port).await;

    let mut socket = Socket::open(server.port).await;
    socket.ask("/live/hello", json!({ "token": player_token("alice") })).await;
    let closing = tokio::spawn(closed_at_last(socket));

    let players = Players::start(server.port);
    assert!((players.share("1", 500).await - 1.0).abs() < f64::EPSILON);
    deploy("two").await;
    release(&["smoke"]).await;
    deploy("three").await;
    release(&["publish"]).await;
    assert!((players.share("1", 500).await - 1.0).abs() < f64::EPSILON, "players notice nothing");
    for (weight, expected) in [("0.1", 0.1), ("0.5", 0.5)] {
        let (server, at) = (Arc::clone(&server), Arc::clone(&server));
        meanwhile(move || server.succeeds(&["shift", "2", weight])).await;
        assert_eq!(at.worker(), "2", "it knows both versions' tasks");
        let share = players.share("2", 6_000).await;
        assert!((share - expected).abs() < 0.02, "{share} instead of {expected}");
    }
    // How long a second's answers take is this machine's matter, as above; the thresholds have examples of their own.
    release(&["watch", "--seconds", "1", "--min-requests", "1", "--slow-ms", "60000"]).await;
    release(&["promote", "2"]).await;
    assert!((players.share("2", 500).await - 1.0).abs() < f64::EPSILON);
    // What is open moves to the version that players reach.
    assert_eq!(closing.await.unwrap(), 1012);
    let mut socket = Socket::open(server.port).await;
    socket.ask("/live/hello", json!({ "token": player_token("alice") })).await;
    assert_eq!(socket.ask("/meta/version", json!({})).await["data"]["version"], "2");
    release(&["rollback"]).await;
    assert!((players.share("1", 500).await - 1.0).abs() < f64::EPSILON);
    assert_eq!(server.worker(), "1");
    // Every step once more, as after a broken connection.
    assert!(deploy("three").await.contains("has this code already"));
    assert!(release(&["publish"]).await.contains("published version 2"));
    release(&["promote", "2"]).await;
    release(&["promote", "2"]).await;
    let (said, failed) = players.stop().await;
    assert_eq!(failed, [""; 0]);
    let mut read = 0;
    let mut connection = Connection::open(server.port).await.unwrap();
    while let Some(last) = {
        let page = format!("/message/list?channel=world&after={read}&limit=100");
        let page = connection.call(&player_token("alice"), &page, None).await.unwrap().body;
        page["data"]["messages"].as_array().unwrap().last().map(|message| message["seq"].as_u64().unwrap())
    } {
        read = last;
    }
    assert!(said > 100, "{said}");
    assert_eq!(read as usize, said + 1, "what was acknowledged is there, once");
    let status = server.status();
    let verbs: Vec<&str> =
        status["log"].as_array().unwrap().iter().map(|line| line["verb"].as_str().unwrap()).collect();
    assert!(verbs.ends_with(&["rollback", "deploy", "publish", "promote"]), "{verbs:?}");
    assert!(status["log"].as_array().unwrap().iter().all(|line| line["by"] == "ann"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_version_that_fails_is_taken_back_by_itself_and_what_lambda_refuses_is_refused() {
    let server = Arc::new(Server::set_up().await);
    assert!(server.refuses(&["publish"], 2).contains("nothing is deployed"));
    assert!(server.refuses(&["rollback"], 2).contains("no version to go back to"));
    let good = build(server.folder.path(), "good");
    server.succeeds(&["all", "--package", &good]);
    assert_eq!(server.status()["live"], "1", "the first one has nothing to be compared with");
    for (arguments, why) in [
        (&["shift", "1", "1.5"][..], "from 0 to 1"),
        (&["shift", "1", "-0.1"], "from 0 to 1"),
        (&["shift", "7", "0.1"], "does not exist"),
        (&["promote", "7"], "does not exist"),
        (&["shift", "$LATEST", "0.1"], "publish it first"),
        (&["promote", "$LATEST"], "publish it first"),
        (&["promote", "1", "--revision", "1"], "was changed meanwhile"),
        (&["rollback", "--revision", "1"], "was changed meanwhile"),
        (&["shift", "1", "0.1"], "reach already"),
        (&["watch"], "no second version"),
        (&["deploy", "--package", "/nowhere"], "is not there"),
        (&["shift", "1", "many"], "is not a number"),
        (&["all", "--steps", "0.5,0.1"], "rising weights"),
    ] {
        let fault = server.refuses(arguments, 2);
        assert!(fault.contains(why), "{arguments:?}: {fault}");
    }
    // Somebody put another program where the deployed one was.
    let deployed = server.root().join("versions/latest-a/guildhall");
    let (kept, other) = (deployed.with_extension("kept"), build(server.folder.path(), "other"));
    fs::rename(&deployed, &kept).unwrap();
    fs::copy(other, &deployed).unwrap();
    assert!(server.refuses(&["publish"], 1).contains("that was deployed"));
    fs::rename(kept, deployed).unwrap();
    // No program at all, and one that ends when it is to serve: testers keep what they had.
    let broken = server.folder.path().join("broken");
    let ends = format!("[ $1 = serve ] || exec {} \"$@\"\necho out of luck", env!("CARGO_BIN_EXE_guildhall"));
    for (script, why) in [("exit 1", "migrate"), (&ends, "out of luck")] {
        fs::write(&broken, format!("#!/bin/sh\n{script}\n")).unwrap();
        let fault = server.refuses(&["deploy", "--package", broken.to_str().unwrap()], 1);
        assert!(fault.contains(why), "{fault}");
    }
    assert_eq!(server.get("/latest/meta/version").await["data"]["version"], "$LATEST");

    // It passes the smoke test, one request after the other, and fails players, who come several at once.
    let bad = server.folder.path().join("bad");
    fs::write(
        &bad,
        format!(
            "#!/bin/sh\nexport GUILDHALL_MAX_IN_FLIGHT=1\nexec {} \"$@\"\n",
            env!("CARGO_BIN_EXE_guildhall")
        ),
    )
    .unwrap();
    server.make_world().await;
    let players = Players::start(server.port);
    eventually("players are served", async || players.served.lock().unwrap().contains_key("1").then_some(()))
        .await;
    let (at, bad) = (Arc::clone(&server), bad.to_str().unwrap().to_owned());
    let fault = meanwhile(move || {
        at.refuses(&["all", "--package", &bad, "--steps", "0.5", "--hold", "60", "--min-requests", "200"], 3)
    })
    .await;
    assert!(fault.contains("of its requests fail"), "{fault}");
    let status = server.status();
    assert_eq!((&status["live"], &status["next"]), (&json!("1"), &Value::Null));
    assert_eq!(status["log"].as_array().unwrap().last().unwrap()["verb"], "rollback");
    let failed = players.failures().len();
    assert!((players.share("1", 300).await - 1.0).abs() < f64::EPSILON, "all players are back");
    // The next one is good, and goes all the way by itself.
    let (at, next) = (Arc::clone(&server), build(server.folder.path(), "next"));
    let told = meanwhile(move || at.goes_all_the_way(&next)).await;
    assert!(told.contains("version 3 gets 10%") && told.contains("version 3 gets all requests"), "{told}");
    assert!((players.share("3", 300).await - 1.0).abs() < f64::EPSILON);
    let (_, failures) = players.stop().await;
    assert!(failed > 0 && failures.len() == failed, "some failed before, none after it: {failures:?}");
}

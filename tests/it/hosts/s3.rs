//! Wordlists in a bucket: published, served, gone back from, by the real protocol; and a storage that misbehaves.

#![expect(clippy::disallowed_methods, reason = "scripts/services says by a variable where the storage is")]

use std::net::SocketAddr;
use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use aws_sdk_s3::Client;
use guildhall::base::clock::Clock;
use guildhall::config::{Config, Location};
use guildhall::outside::objects::{Found, Objects, PutError, When};
use guildhall::wordlist::published;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::help::TestApp;

pub fn endpoint() -> String {
    std::env::var("S3_ENDPOINT").expect("S3_ENDPOINT names an object storage; see scripts/services")
}

/// A bucket of a test's own.
pub async fn bucket() -> String {
    static NUMBER: AtomicUsize = AtomicUsize::new(0);
    let (process, number) = (std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
    let name = format!("test-{process}-{}-{number}", Clock::default().now() % 1_000_000_000);
    let config = aws_config::load_defaults(aws_config::BehaviorVersion::latest()).await;
    let config =
        aws_sdk_s3::config::Builder::from(&config).endpoint_url(endpoint()).force_path_style(true).build();
    Client::from_conf(config).create_bucket().bucket(&name).send().await.unwrap();
    name
}

fn variables(endpoint: &str) -> [(&str, &str); 2] {
    [("S3_ENDPOINT", endpoint), ("S3_PATH_STYLE", "on")]
}

pub async fn objects(place: &str) -> Objects {
    let endpoint = endpoint();
    let config = Config::from_lookup(|name| {
        variables(&endpoint).iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
    })
    .unwrap();
    Objects::at(&place.parse::<Location>().unwrap(), &config.s3).await
}

fn guildhall(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_guildhall"))
        .arg("wordlist")
        .args(arguments)
        .env("GUILDHALL_DATA", "/nowhere")
        .env("S3_PATH_STYLE", "on")
        .env_remove("DATABASE_URL")
        .output()
        .unwrap()
}

#[track_caller]
pub fn succeeds(arguments: &[&str]) -> String {
    let output = guildhall(arguments);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_goes_from_a_folder_through_a_bucket_into_use_and_back() {
    let place = format!("s3://{}/lists/live", bucket().await);
    let folder = tempfile::tempdir().unwrap();
    let write = |words: &str| std::fs::write(folder.path().join("a.txt"), words).unwrap();
    let path = folder.path().to_str().unwrap();
    let publish = || succeeds(&["publish", path, "--to", &place, "--by", "ann", "--json"]);
    write("dragon\ngriffin\n");
    let first: Value = serde_json::from_str(&publish()).unwrap();
    let endpoint = endpoint();
    let mut environment = variables(&endpoint).to_vec();
    environment.push(("GUILDHALL_WORDLISTS", &place));
    let app = TestApp::with(&environment).await;
    app.world("world", &["alice"]).await;
    assert_eq!(app.player("alice").say("world", "dragon unicorn").await["text"], "****** unicorn");
    write("unicorn\ngriffin\n");
    publish();
    let refresh = async || app.server().post("/wordlist/refresh", json!({})).await.data();
    assert_eq!(refresh().await["last_error"], Value::Null);
    assert_eq!(app.player("alice").say("world", "dragon unicorn").await["text"], "dragon *******");
    assert_eq!(refresh().await["last_error"], Value::Null, "asked again, nothing new");
    let back: Value =
        serde_json::from_str(&succeeds(&["rollback", "--to", &place, "--by", "ben", "--json"])).unwrap();
    assert_eq!(back["sha256"], first["sha256"]);
    refresh().await;
    assert_eq!(app.player("alice").say("world", "dragon unicorn").await["text"], "****** unicorn");
    let history: Vec<Value> =
        serde_json::from_str(&succeeds(&["history", "--to", &place, "--json"])).unwrap();
    assert_eq!(
        history.iter().map(|past| past["by"].as_str().unwrap()).collect::<Vec<_>>(),
        ["ann", "ann", "ben"]
    );
}

#[tokio::test]
async fn an_unchanged_object_is_not_sent_again_and_conditions_hold() {
    let objects = objects(&format!("s3://{}", bucket().await)).await;
    assert_eq!(objects.get("a", 10, None).await, Ok(Found::Missing));
    objects.put("a", b"one".to_vec(), When::Still(None)).await.unwrap();
    let Found::Object { bytes, tag } = objects.get("a", 10, None).await.unwrap() else {
        panic!("it is there")
    };
    assert_eq!(bytes, b"one");
    assert_eq!(objects.get("a", 10, Some(&tag)).await, Ok(Found::Same));
    assert!(objects.get("a", 2, None).await.unwrap_err().contains("more than 2"));
    assert!(matches!(objects.put("a", b"two".to_vec(), When::Still(None)).await, Err(PutError::Changed)));
    objects.put("a", b"two".to_vec(), When::Still(Some(&tag))).await.unwrap();
    assert!(matches!(objects.put("a", b"3".to_vec(), When::Still(Some(&tag))).await, Err(PutError::Changed)));
}

/// Both saw the same pointer; one of them is told that the other was first.
#[tokio::test]
async fn two_publishers_do_not_overwrite_each_other() {
    let folder = tempfile::tempdir().unwrap();
    let in_bucket = objects(&format!("s3://{}/x/", bucket().await)).await;
    for objects in [in_bucket, Objects::in_folder(folder.path())] {
        for _ in 0..2 {
            let seen = published::look(&objects, None).await.unwrap();
            let publish = async |words: &str| {
                let files = vec![("a.txt".to_owned(), words.as_bytes().to_vec())];
                published::publish(&objects, &files, 1, (words, Clock::default().now()), Some(&seen)).await
            };
            let (one, other) = tokio::join!(publish("dragon"), publish("griffin"));
            let (won, lost) = if one.is_ok() { (one, other) } else { (other, one) };
            assert!(lost.unwrap_err().contains("somebody else"));
            assert_eq!(published::pointer(&objects).await.unwrap(), Some(won.unwrap()));
        }
    }
}

/// How the storage answers what is asked of it.
type Answer = fn(&str) -> Vec<u8>;

/// A storage that can be told to misbehave; where nothing is wrong it passes on to the real one.
struct MockStorage {
    address: SocketAddr,
    fault: Arc<AtomicUsize>,
}

const FAULTS: &[(&str, Answer)] = &[
    ("403", |_| answer("403 Forbidden", 0, b"<Error><Code>AccessDenied</Code></Error>")),
    ("404 of the bucket", |_| answer("404 Not Found", 0, b"<Error><Code>NoSuchBucket</Code></Error>")),
    ("500", |_| answer("500 Internal Server Error", 0, b"<Error><Code>InternalError</Code></Error>")),
    ("half a body", |_| answer("200 OK", 1_000, b"{\"sha256\":")),
    ("200 MiB announced", |_| answer("200 OK", 200 * 1024 * 1024, b"")),
    ("not JSON", |_| answer("200 OK", 0, b"<html>")),
    ("nothing at all", |_| Vec::new()),
];

fn answer(status: &str, more: usize, body: &[u8]) -> Vec<u8> {
    let length = body.len() + more;
    let head =
        format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\netag: \"x\"\r\nconnection: close\r\n\r\n");
    [head.as_bytes(), body].concat()
}

impl MockStorage {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, fault) = (listener.local_addr().unwrap(), Arc::new(AtomicUsize::new(usize::MAX)));
        let told = Arc::clone(&fault);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(Self::serve(stream, Arc::clone(&told)));
            }
        });
        Self { address, fault }
    }

    async fn serve(mut client: TcpStream, told: Arc<AtomicUsize>) {
        let fault = told.load(Ordering::SeqCst);
        let Some((_, answer)) = FAULTS.get(fault) else {
            let real = endpoint();
            let mut real = TcpStream::connect(real.trim_start_matches("http://")).await.unwrap();
            let changed = async {
                while told.load(Ordering::SeqCst) == fault {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            };
            tokio::select! {
                _ = tokio::io::copy_bidirectional(&mut client, &mut real) => {}
                () = changed => {} // ends connections that clients keep open
            }
            return;
        };
        let mut head = [0; 8_192];
        let read = client.read(&mut head).await.unwrap_or(0);
        let answer = answer(&String::from_utf8_lossy(&head[..read]));
        if answer.is_empty() {
            tokio::time::sleep(Duration::from_secs(60)).await;
        }
        let _ = client.write_all(&answer).await;
        let _ = client.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mock_storage_that_misbehaves_costs_neither_the_list_nor_time() {
    let place = format!("s3://{}/p", bucket().await);
    let published_to = objects(&place).await;
    let files = vec![("a.txt".to_owned(), b"dragon\ngriffin\n".to_vec())];
    published::publish(&published_to, &files, 2, ("test", Clock::default().now()), None).await.unwrap();
    let storage = MockStorage::start().await;
    let endpoint = format!("http://{}", storage.address);
    let mut environment = variables(&endpoint).to_vec();
    environment.push(("GUILDHALL_WORDLISTS", &place));
    let app = TestApp::with(&environment).await;
    app.world("world", &["alice"]).await;
    for (number, (fault, _)) in FAULTS.iter().enumerate() {
        storage.fault.store(number, Ordering::SeqCst);
        tokio::time::sleep(Duration::from_millis(50)).await;
        let fresh = TestApp::with(&environment).await;
        assert!(fresh.app.blocklist.status().last_error.is_some(), "{fault}: a start falls back");
        let started = Instant::now();
        let status = app.server().post("/wordlist/refresh", json!({})).await.data();
        assert!(started.elapsed() < Duration::from_secs(9), "{fault}: {:?}", started.elapsed());
        assert!(status["last_error"].is_string(), "{fault}: {status}");
        assert_eq!(app.player("alice").say("world", "dragon").await["text"], "******", "{fault}");
        storage.fault.store(usize::MAX, Ordering::SeqCst);
        let mended = app.server().post("/wordlist/refresh", json!({})).await.data();
        assert_eq!(mended["last_error"], Value::Null, "{fault}: mended");
    }
}

//! The program as a function under AWS's own emulator: what a call costs in CPU and in lines of the log, which is what is
//! paid for. One call at a time, as a function has it.

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use guildhall::chat::identity::Scope;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::server::{Asked, SECRET, cpu_seconds, quantile_ms, token};

const EMULATOR: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/target/tools/aws-lambda-rie");
const PROGRAM: &str = env!("CARGO_BIN_EXE_guildhall");

/// A function that answers.
struct Function {
    emulator: Child,
    port: u16,
    log: PathBuf,
}

impl Function {
    async fn start(data: &Path, database: Option<&str>) -> Self {
        assert!(Path::new(EMULATOR).exists(), "run scripts/tools once: it fetches {EMULATOR}");
        let with_data = |command: &mut Command| {
            command
                .env("GUILDHALL_DATA", data)
                .env_remove("KAFKA_BROKERS")
                .env("GUILDHALL_TOKEN_SECRET", SECRET);
            command.env_remove("DATABASE_URL").envs(database.map(|url| ("DATABASE_URL", url)));
        };
        let mut migrate = Command::new(PROGRAM);
        with_data(&mut migrate);
        assert!(migrate.arg("migrate").stdout(Stdio::null()).status().unwrap().success());
        let bootstrap = data.join("bootstrap");
        fs::write(&bootstrap, format!("#!/bin/sh\nexec {PROGRAM}\n")).unwrap();
        fs::set_permissions(&bootstrap, fs::Permissions::from_mode(0o755)).unwrap();
        let log = data.join("log");
        let out = File::create(&log).unwrap();
        let [port, api] = [free_port(), free_port()];
        let mut emulator = Command::new(EMULATOR);
        with_data(&mut emulator);
        let emulator = emulator
            .args(["--runtime-interface-emulator-address", &format!("127.0.0.1:{port}")])
            .args(["--runtime-api-address", &format!("127.0.0.1:{api}")])
            .args([bootstrap.to_str().unwrap(), "api"])
            .env("GUILDHALL_SEND_LIMIT", "off")
            .env("GUILDHALL_RATE", "off")
            .env("AWS_LAMBDA_FUNCTION_NAME", "guildhall-load")
            .env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "256")
            .env("AWS_LAMBDA_FUNCTION_TIMEOUT", "10")
            .stdout(out.try_clone().unwrap())
            .stderr(out)
            .spawn()
            .unwrap();
        let patience = Instant::now() + Duration::from_secs(10);
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(Instant::now() < patience, "the emulator does not answer");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Self { emulator, port, log }
    }

    /// Calls it as the gateway does; anything but 200 ends the measurement.
    async fn call(&self, asked: &Asked, token: &str) {
        let event = event(asked, token).to_string();
        let request = format!(
            "POST /2015-03-31/functions/function/invocations HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\
             content-length: {}\r\n\r\n{event}",
            event.len()
        );
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut reply = Vec::new();
        stream.read_to_end(&mut reply).await.unwrap();
        let reply = String::from_utf8_lossy(&reply);
        assert!(reply.contains("\"statusCode\":200"), "{reply}");
    }

    /// The process that the emulator started.
    fn process(&self) -> String {
        let threads = fs::read_dir(format!("/proc/{}/task", self.emulator.id())).unwrap();
        let children =
            |thread: fs::DirEntry| fs::read_to_string(thread.path().join("children")).unwrap_or_default();
        let children: String = threads.flatten().map(children).collect();
        children.split_whitespace().next().expect("the function runs").to_owned()
    }

    fn logged(&self) -> u64 {
        fs::metadata(&self.log).unwrap().len()
    }
}

impl Drop for Function {
    fn drop(&mut self) {
        let _ = self.emulator.kill();
        let _ = self.emulator.wait();
    }
}

fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn event((method, path, body): &Asked, token: &str) -> Value {
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    json!({
        "version": "2.0", "routeKey": "$default", "rawPath": path, "rawQueryString": query,
        "headers": { "authorization": format!("Bearer {token}"), "content-type": "application/json" },
        "requestContext": {
            "accountId": "1", "apiId": "a", "domainName": "x", "domainPrefix": "x", "requestId": "r", "routeKey": "$default",
            "stage": "$default", "time": "22/Nov/2026:00:00:00 +0000", "timeEpoch": 1_795_305_600_000_i64,
            "http": { "method": method, "path": path, "protocol": "HTTP/1.1", "sourceIp": "203.0.113.9", "userAgent": "load" },
        },
        "body": body, "isBase64Encoded": false,
    })
}

/// Prints what a send, a page and a poll cost, beside a call that asks nothing of the database.
pub(crate) async fn measure(data: &Path, database: Option<&str>, calls: usize) {
    let function = Function::start(data, database).await;
    let (game, alice) = (token("game", Scope::Server), token("alice", Scope::Player));
    let channels: Vec<String> = (0..20).map(|n| format!("quiet-{n}")).chain(["world".to_owned()]).collect();
    for id in &channels {
        let channel = json!({ "id": id, "kind": "guild", "members": ["alice", "bob"] });
        function.call(&("POST", "/channel/create".to_owned(), channel.to_string()), &game).await;
    }
    let send = |n: usize| {
        let text = crate::TEXTS[n % crate::TEXTS.len()];
        (
            "POST",
            "/message/send".to_owned(),
            json!({ "channel": "world", "text": text, "nonce": format!("{n}") }).to_string(),
        )
    };
    let empty = |_| ("GET", "/meta/version".to_owned(), String::new());
    let list = |_| ("GET", "/message/list?channel=world&limit=50".to_owned(), String::new());
    let cursors: Vec<Value> = channels[..20].iter().map(|id| json!({ "channel": id, "after": 0 })).collect();
    let poll = json!({ "channels": cursors }).to_string();
    let sync = |_| ("POST", "/message/sync".to_owned(), poll.clone());
    let kinds: [(&str, &dyn Fn(usize) -> Asked); 4] = [
        ("empty call", &empty),
        ("send", &send),
        ("list of 50", &list),
        ("sync of 20 quiet channels", &sync),
    ];
    println!(
        "{:<34} {:>14} {:>9} {:>9} {:>12}",
        "as a function, one at a time", "CPU us/request", "p50 ms", "p99 ms", "log bytes"
    );
    for (what, ask) in kinds {
        let (cpu, logged) = (cpu_seconds(&function.process()), function.logged());
        let mut took = Vec::with_capacity(calls);
        for n in 0..calls {
            let started = Instant::now();
            function.call(&ask(n), &alice).await;
            took.push(started.elapsed());
        }
        let cpu_us = (cpu_seconds(&function.process()) - cpu) / calls as f64 * 1e6;
        took.sort_unstable();
        let (p50, p99) = (quantile_ms(&took, 0.5), quantile_ms(&took, 0.99));
        println!(
            "{what:<34} {cpu_us:>14.0} {p50:>9.2} {p99:>9.2} {:>12}",
            (function.logged() - logged) / calls as u64
        );
    }
}

//! The real program as a server under load, and a client that costs little; for measurements.

use std::fs::File;
use std::path::Path;
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use guildhall::access::token::{Claims, mint};
use guildhall::base::clock::Clock;
use guildhall::chat::identity::Scope;
use guildhall::chat::values::PlayerId;
use guildhall::config::Secret;
use sqlx::Connection as _;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

pub(crate) const SECRET: &str = "a secret of the load test, 32 bytes and more";

/// Runs a measurement to its end, on as many threads as the server has; it says whether all was as it should be.
pub(crate) fn measured(run: impl Future<Output = bool>) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    if runtime.block_on(run) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// What so large a share stayed below, in ms.
pub(crate) fn quantile_ms(sorted: &[Duration], share: f64) -> f64 {
    sorted[((sorted.len() - 1) as f64 * share) as usize].as_secs_f64() * 1e3
}

/// What is asked: method, path and body.
pub(crate) type Asked = (&'static str, String, String);

/// A keep-alive connection that knows just enough HTTP to cost little.
pub(crate) struct Connection {
    stream: TcpStream,
    /// The last reply.
    pub(crate) buffer: Vec<u8>,
}

impl Connection {
    pub(crate) async fn open(port: u16) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream, buffer: Vec::with_capacity(64 * 1024) }
    }

    /// Sends one request, reads its whole reply, and says its status.
    pub(crate) async fn ask(&mut self, (method, path, body): &Asked, token: &str) -> u16 {
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {token}\r\n\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        self.ask_as(&request).await
    }

    /// The same with a request that is written out.
    pub(crate) async fn ask_as(&mut self, request: &str) -> u16 {
        self.stream.write_all(request.as_bytes()).await.unwrap();
        self.buffer.clear();
        loop {
            let read = self.stream.read_buf(&mut self.buffer).await.unwrap();
            assert!(read > 0, "the server closed the connection");
            if let Some((status, length)) = head(&self.buffer)
                && self.buffer.len() >= length
            {
                return status;
            }
        }
    }
}

/// A reply's status and its whole length, once its head is there.
fn head(buffer: &[u8]) -> Option<(u16, usize)> {
    let end = buffer.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
    let head = std::str::from_utf8(&buffer[..end]).unwrap();
    let status = head[9..12].parse().unwrap();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
    Some((status, end + length.trim().parse::<usize>().unwrap()))
}

/// The program, serving.
pub(crate) struct Server {
    child: Child,
    pub(crate) port: u16,
}

impl Server {
    /// Starts it, with those more variables that have a value.
    pub(crate) fn start_with(
        data: &Path,
        database: Option<&str>,
        tasks_to: Option<&str>,
        variables: &[(&str, Option<&str>)],
    ) -> Self {
        let program = || {
            let mut command = Command::new(env!("CARGO_BIN_EXE_guildhall"));
            command.env("GUILDHALL_DATA", data).env_remove("KAFKA_BROKERS");
            command.envs(database.map(|url| ("DATABASE_URL", url)));
            command.envs(variables.iter().filter_map(|(name, value)| Some((name, (*value)?))));
            command
        };
        assert!(program().arg("migrate").stdout(Stdio::null()).status().unwrap().success());
        let mut command = program();
        if let Some(broker) = tasks_to {
            let topic = format!("load.{}", std::process::id());
            command.env("KAFKA_BROKERS", broker).env("GUILDHALL_TOPIC", topic);
            command
                .env("GUILDHALL_WEBHOOK_URL", "http://127.0.0.1:9/")
                .env("GUILDHALL_WEBHOOK_SECRET", SECRET);
        }
        let mut child = command
            .env("GUILDHALL_LISTEN", "127.0.0.1:0")
            .env("GUILDHALL_TOKEN_SECRET", SECRET)
            .env("GUILDHALL_SEND_LIMIT", "off")
            .env("GUILDHALL_RATE", "off")
            .stdout(Stdio::piped())
            .stderr(File::create(data.join("log")).unwrap())
            .spawn()
            .unwrap();
        let mut line = String::new();
        std::io::BufRead::read_line(&mut std::io::BufReader::new(child.stdout.take().unwrap()), &mut line)
            .unwrap();
        let port = line
            .trim()
            .rsplit(':')
            .next()
            .and_then(|port| port.parse().ok())
            .expect("the server says its address");
        Self { child, port }
    }

    /// User and system time so far.
    pub(crate) fn cpu_seconds(&self) -> f64 {
        cpu_seconds(&self.child.id().to_string())
    }

    pub(crate) fn resident_mb(&self) -> f64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap() / 1024.0
    }
}

/// The generator's own.
pub(crate) fn own_cpu_seconds() -> f64 {
    cpu_seconds("self")
}

/// A process's user and system time so far.
pub(crate) fn cpu_seconds(process: &str) -> f64 {
    const TICKS: f64 = 100.0;
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    (fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap()) / TICKS
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) fn token(id: &str, scope: Scope) -> String {
    let exp = Clock::default().now().unsigned_abs() / 1_000 + 24 * 3_600;
    let claims = Claims {
        sub: PlayerId::parse(id).unwrap(),
        scope,
        exp,
        name: None,
        level: None,
        nbf: None,
        aud: None,
        zone: None,
        lang: None,
    };
    mint(&Secret::new(SECRET).unwrap(), &claims).unwrap()
}

/// A schema of the measurement's own.
pub(crate) async fn schema(url: &str) -> String {
    static NUMBER: AtomicUsize = AtomicUsize::new(0);
    sqlx::any::install_default_drivers();
    let name = format!("load_{}_{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
    let mut connection = sqlx::AnyConnection::connect(url).await.unwrap();
    sqlx::query(sqlx::AssertSqlSafe(format!("CREATE SCHEMA {name}"))).execute(&mut connection).await.unwrap();
    format!("{url}?options[search_path]={name}")
}

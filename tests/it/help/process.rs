//! The program as a process that tests start, kill and start again.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use guildhall::access::token::mint;
use guildhall::chat::identity::Scope;
use guildhall::config::Secret;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::help::database;
use crate::help::{SECRET, claims};

/// The program with an environment of its own: the suite's database, and no other services than a test names.
pub fn program(data: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_guildhall"));
    command.env_remove("DATABASE_URL").env_remove("KAFKA_BROKERS").env_remove("S3_ENDPOINT");
    command.envs(database::of_folder(data).map(|url| ("DATABASE_URL", url)));
    command
}

fn take_environment(command: &mut Command, of: &Command) {
    for (name, value) in of.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
}

/// A file beside the data folder.
fn log_of(data: &Path) -> Stdio {
    File::options().create(true).append(true).open(data.with_extension("log")).unwrap().into()
}

/// The last lines of a process's log.
const LAST_WORDS: usize = 20;

pub struct Process {
    child: Child,
    pub port: u16,
    log: PathBuf,
}

impl Process {
    /// Starts it on a data folder; returns once it says its address.
    pub fn start(data: &Path, variables: &[(&str, &str)]) -> Self {
        Self::spawn(program(data), data, variables, log_of(data))
    }

    /// The same as something else than `serve`.
    pub fn start_as(command: &str, data: &Path, variables: &[(&str, &str)]) -> Self {
        let mut program = program(data);
        program.arg(command);
        Self::spawn(program, data, variables, log_of(data))
    }

    /// The same with another copy of the program.
    pub fn start_program(path: &Path, data: &Path, variables: &[(&str, &str)]) -> Self {
        let inner = program(data);
        let mut command = Command::new(path);
        take_environment(&mut command, &inner);
        Self::spawn(command, data, variables, log_of(data))
    }

    /// The same, with its log elsewhere.
    pub fn start_with_log(data: &Path, variables: &[(&str, &str)], log: Stdio) -> Self {
        Self::spawn(program(data), data, variables, log)
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The same, with files that may not grow beyond so many bytes, until [`Process::lift_file_limit`].
    pub fn start_with_file_limit(data: &Path, variables: &[(&str, &str)], bytes: u64) -> Self {
        let inner = program(data);
        let mut command = Command::new("sh");
        // Without the trap, the signal that comes with the fault would end the program.
        command.args(["-c", &format!("trap '' XFSZ; exec prlimit --fsize={bytes}:unlimited \"$0\"")]);
        command.arg(inner.get_program());
        take_environment(&mut command, &inner);
        Self::spawn(command, data, variables, log_of(data))
    }

    pub fn lift_file_limit(&self) {
        let pid = self.child.id().to_string();
        let lifted = Command::new("prlimit").args(["--pid", &pid, "--fsize=unlimited"]).status().unwrap();
        assert!(lifted.success());
    }

    fn spawn(mut command: Command, data: &Path, variables: &[(&str, &str)], log: Stdio) -> Self {
        let mut child = command
            .env("GUILDHALL_DATA", data)
            .env("GUILDHALL_LISTEN", "127.0.0.1:0")
            .env("GUILDHALL_TOKEN_SECRET", SECRET)
            .env("GUILDHALL_SEND_LIMIT", "off")
            .env("GUILDHALL_RATE", "off")
            .env("GUILDHALL_LOG", "warn")
            .envs(variables.iter().copied())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim().strip_prefix("guildhall listens on http://127.0.0.1:");
        let port = address.unwrap_or_else(|| panic!("it said {line:?}")).parse().unwrap();
        Self { child, port, log: data.with_extension("log") }
    }

    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id().cast_signed()), signal).unwrap();
    }

    /// Waits for its end and says its exit code; none if a signal ended it.
    pub fn wait(&mut self) -> Option<i32> {
        self.child.wait().unwrap().code()
    }

    /// What all processes on this data folder logged.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    pub async fn connect(&self) -> Option<Connection> {
        Connection::open(self.port).await
    }
}

impl Process {
    /// A test that fails shows why the program did what it did.
    #[expect(clippy::print_stderr, reason = "beside the panic, which goes there too")]
    fn tell_last_words(&self) {
        let log = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        eprintln!("{}", lines[lines.len().saturating_sub(LAST_WORDS)..].join("\n"));
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            self.tell_last_words();
        }
    }
}

/// The program as a worker, with a log beside the data folder; killed when it is dropped.
pub struct WorkerProcess {
    child: Child,
    log: PathBuf,
}

impl WorkerProcess {
    pub fn start(data: &Path, variables: &[(&str, &str)]) -> Self {
        let log = data.with_extension("worker.log");
        let mut command = program(data);
        command
            .arg("worker")
            .env("GUILDHALL_DATA", data)
            .env("GUILDHALL_TOKEN_SECRET", SECRET)
            .env("GUILDHALL_LOG", "warn")
            .envs(variables.iter().copied())
            .stdout(Stdio::null())
            .stderr(File::options().create(true).append(true).open(&log).unwrap());
        Self { child: command.spawn().unwrap(), log }
    }

    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id().cast_signed()), signal).unwrap();
    }

    /// What all workers on this data folder logged.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for WorkerProcess {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub fn player_token(id: &str) -> String {
    mint(&Secret::new(SECRET).unwrap(), &claims(id, Scope::Player)).unwrap()
}

pub fn server_token() -> String {
    mint(&Secret::new(SECRET).unwrap(), &claims("game", Scope::Server)).unwrap()
}

/// A connection that is kept open.
pub struct Connection(SendRequest<Full<bytes::Bytes>>);

/// A reply over the wire: its status, whether the server will close the connection, and its body.
pub struct Answer {
    pub status: u16,
    pub closes: bool,
    pub body: Value,
}

impl Connection {
    pub async fn open(port: u16) -> Option<Self> {
        let stream = TcpStream::connect(("127.0.0.1", port)).await.ok()?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await.ok()?;
        tokio::spawn(connection);
        Some(Self(sender))
    }

    /// One request; an error if the connection broke before the whole reply was there.
    pub async fn call(
        &mut self,
        token: &str,
        path: &str,
        input: Option<&Value>,
    ) -> Result<Answer, hyper::Error> {
        let request = http::Request::builder()
            .method(if input.is_some() { "POST" } else { "GET" })
            .uri(path)
            .header("host", "localhost")
            .header("authorization", format!("Bearer {token}"))
            .header("content-type", "application/json");
        let body = input.map(|input| Full::from(input.to_string())).unwrap_or_default();
        self.0.ready().await?;
        let (parts, body) = self.0.send_request(request.body(body).unwrap()).await?.into_parts();
        let bytes = body.collect().await?.to_bytes();
        let closes = parts.headers.get("connection").is_some_and(|value| value == "close");
        // Ours are always JSON; a platform's own word may be a text.
        let text = || Value::String(String::from_utf8_lossy(&bytes).into_owned());
        let body = serde_json::from_slice(&bytes).unwrap_or_else(|_| text());
        Ok(Answer { status: parts.status.as_u16(), closes, body })
    }
}

/// What a server answers, as text; empty where none does.
pub async fn get_text(address: &str, path: &str) -> String {
    let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    let mut text = String::new();
    if let Ok(mut stream) = TcpStream::connect(address).await {
        let _ = stream.write_all(request.as_bytes()).await;
        let _ = stream.read_to_string(&mut text).await;
    }
    text
}

/// Waits until this is a line of a server's figures.
pub async fn figure(address: &str, line: &str) {
    eventually(line, async || {
        get_text(address, "/metrics").await.lines().any(|one| one == line).then_some(())
    })
    .await;
}

/// Asks until it works; a minute of asking means that it never will, however busy the machine is.
pub async fn eventually<T>(what: &str, attempt: impl AsyncFnMut() -> Option<T>) -> T {
    within(Duration::from_mins(1), what, attempt).await
}

/// The same for what takes its time by itself.
pub async fn within<T>(patience: Duration, what: &str, mut attempt: impl AsyncFnMut() -> Option<T>) -> T {
    let asking = async {
        loop {
            if let Some(done) = attempt().await {
                return done;
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
    };
    let asked = tokio::time::timeout(patience, asking).await;
    asked.unwrap_or_else(|_| panic!("{what} did not happen"))
}

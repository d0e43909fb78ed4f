//! A broker of a test's own, Apache Kafka itself: it may be killed, stand still, be away and come back, and ask for a
//! certificate and a password.

#![expect(clippy::disallowed_methods, reason = "scripts/services says by variables where Java and Kafka are")]

use std::fs::{self, File};
use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

const TEMPLATE: &str = include_str!("../../../tools/kafka/broker.properties");

/// One broker with its own folder and ports.
pub struct KafkaServer {
    folder: TempDir,
    port: u16,
    child: Option<Child>,
}

impl KafkaServer {
    /// A new one; clients need neither certificate nor password.
    pub fn start() -> Self {
        Self::start_with("PLAINTEXT", &[], "")
    }

    /// A new one whose clients speak `protocol`, with users (name and password, by SCRAM-SHA-512) and further lines in its
    /// configuration.
    pub fn start_with(protocol: &str, users: &[(&str, &str)], settings: &str) -> Self {
        let [port, controller] = free_ports();
        let listeners = format!(
            "controller.quorum.voters=1@127.0.0.1:{controller}\n\
             listeners=CLIENTS://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}\n\
             advertised.listeners=CLIENTS://127.0.0.1:{port}\n"
        );
        Self::set_up(protocol, users, &(listeners + settings), port)
    }

    /// Its files, and the process. Of two lines that set the same the last one counts.
    fn set_up(protocol: &str, users: &[(&str, &str)], settings: &str, port: u16) -> Self {
        let folder = tempfile::Builder::new().prefix("guildhall-kafka").tempdir().unwrap();
        let fixed = TEMPLATE.replace("FOLDER", &folder.path().display().to_string());
        let protocols = format!(
            "inter.broker.listener.name=CLIENTS\n\
             listener.security.protocol.map=CONTROLLER:PLAINTEXT,CLIENTS:{protocol}\n"
        );
        let properties = folder.path().join("properties");
        fs::write(&properties, fixed + &protocols + settings).unwrap();
        let mut format = java(64);
        format.args(["kafka.tools.StorageTool", "format", "--cluster-id", "guildhall-tests-000000"]);
        format.arg("--config").arg(&properties);
        for (name, password) in users {
            format.arg("--add-scram").arg(format!("SCRAM-SHA-512=[name={name},password={password}]"));
        }
        let formatted = format.output().unwrap();
        assert!(formatted.status.success(), "{formatted:?}");
        let mut server = Self { folder, port, child: None };
        server.start_again();
        server
    }

    /// Its address.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// What it printed.
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// Ends it in order; its data stay.
    pub fn stop(&mut self) {
        self.end_by(Signal::SIGTERM);
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        self.end_by(Signal::SIGKILL);
    }

    /// Another broker beside this one, which leads partitions and decides nothing.
    pub fn second(&self) -> Self {
        let first = fs::read_to_string(self.folder.path().join("properties")).unwrap();
        let voters = first.lines().rfind(|line| line.starts_with("controller.quorum.voters=")).unwrap();
        let [port] = free_ports();
        let settings = format!(
            "process.roles=broker\nnode.id=2\n{voters}\nlisteners=CLIENTS://127.0.0.1:{port}\n\
             advertised.listeners=CLIENTS://127.0.0.1:{port}\n"
        );
        Self::set_up("PLAINTEXT", &[], &settings, port)
    }

    fn end_by(&mut self, signal: Signal) {
        if let Some(mut child) = self.child.take() {
            let _ = kill(Pid::from_raw(child.id().cast_signed()), signal);
            child.wait().unwrap();
        }
    }

    /// On the same data and ports, until it answers.
    pub fn start_again(&mut self) {
        let log = File::options().create(true).append(true).open(self.folder.path().join("log")).unwrap();
        let mut command = java(192);
        command.arg("kafka.Kafka").arg(self.folder.path().join("properties"));
        command.stdout(log.try_clone().unwrap()).stderr(log).stdin(Stdio::null());
        self.child = Some(command.spawn().unwrap());
        for _ in 0..1_200 {
            if TcpStream::connect(("127.0.0.1", self.port)).is_ok() {
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("the broker does not answer: {}", self.log());
    }

    /// Keeps its data as they are now; it has to be stopped.
    pub fn keep_data(&self) {
        copy(&self.folder.path().join("data"), &self.folder.path().join("kept"));
    }

    /// Loses what came since its data were kept.
    pub fn lose_what_came_since(&self) {
        fs::remove_dir_all(self.folder.path().join("data")).unwrap();
        copy(&self.folder.path().join("kept"), &self.folder.path().join("data"));
    }

    /// Writes a file into its folder, and says where it is.
    pub fn file(&self, name: &str, content: &str) -> String {
        let path = self.folder.path().join(name);
        File::create(&path).unwrap().write_all(content.as_bytes()).unwrap();
        path.display().to_string()
    }
}

impl Drop for KafkaServer {
    fn drop(&mut self) {
        self.kill();
    }
}

fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name}; see scripts/services"))
}

/// Java with so many megabytes.
fn java(megabytes: u32) -> Command {
    let mut command = Command::new(variable("GUILDHALL_TEST_JAVA"));
    command.arg(format!("-Xmx{megabytes}m")).args(["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"]);
    command.arg("-cp").arg(format!("{}/*", variable("GUILDHALL_TEST_KAFKA")));
    command
}

/// Ports that nobody has now.
fn free_ports<const N: usize>() -> [u16; N] {
    let held: [TcpListener; N] = std::array::from_fn(|_| TcpListener::bind("127.0.0.1:0").unwrap());
    held.map(|listener| listener.local_addr().unwrap().port())
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let into = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &into);
        } else {
            fs::copy(entry.path(), into).unwrap();
        }
    }
}

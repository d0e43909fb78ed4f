//! A PostgreSQL of a test's own, that may be killed, stopped for a while, and asked how it carried statements out.

#![expect(
    clippy::disallowed_methods,
    reason = "scripts/services says by a variable where PostgreSQL's programs are"
)]

use std::fs::{self, File};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, Uid};
use tempfile::TempDir;

/// PostgreSQL refuses to run as root.
const NOBODY: u32 = 65_534;

/// Which PostgreSQL.
#[derive(Clone, Copy)]
pub enum Version {
    Newest,
    /// Debian's, the oldest that is promised.
    Fifteen,
}

pub struct PostgresServer {
    version: Version,
    folder: TempDir,
    port: u16,
    child: Child,
}

impl PostgresServer {
    /// A new server with further lines in its configuration.
    pub fn start(settings: &str) -> Self {
        Self::start_of(Version::Newest, settings)
    }

    pub fn start_of(version: Version, settings: &str) -> Self {
        let folder = tempfile::Builder::new().prefix("guildhall-postgres").tempdir().unwrap();
        let data = folder.path().join("data");
        fs::create_dir(&data).unwrap();
        if Uid::effective().is_root() {
            chown(folder.path(), Some(NOBODY), Some(NOBODY)).unwrap();
            chown(&data, Some(NOBODY), Some(NOBODY)).unwrap();
        }
        let made = program(version, "initdb")
            .args([
                "--username",
                "guildhall",
                "--auth",
                "trust",
                "--encoding",
                "UTF8",
                "--no-locale",
                "--no-sync",
            ])
            .arg("--pgdata")
            .arg(&data)
            .stdout(Stdio::null())
            .status()
            .unwrap();
        assert!(made.success(), "initdb");
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let fixed = format!("listen_addresses = '127.0.0.1'\nport = {port}\nunix_socket_directories = ''\n");
        let file = data.join("postgresql.conf");
        let conf = fs::read_to_string(&file).unwrap();
        fs::write(&file, conf + &fixed + settings).unwrap();
        let child = spawn(version, &folder);
        let server = Self { version, folder, port, child };
        server.await_answer();
        server
    }

    pub fn url(&self) -> String {
        format!("postgres://guildhall@127.0.0.1:{}/postgres", self.port)
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.log_file()).unwrap()
    }

    fn log_file(&self) -> PathBuf {
        self.folder.path().join("log")
    }

    /// `kill -9` to the server and all its processes, and a new start on the same data.
    pub fn kill_and_start(&mut self) {
        let workers = self.kill_all();
        self.child.wait().unwrap();
        // The new one finds the old one's memory in use as long as any of its processes is there.
        let is_there = |worker: &i32| PathBuf::from(format!("/proc/{worker}")).exists();
        while workers.iter().any(is_there) {
            std::thread::sleep(Duration::from_millis(1));
        }
        self.child = spawn(self.version, &self.folder);
        self.await_answer();
    }

    /// Stopped first, the server makes no further process; says which there were.
    fn kill_all(&self) -> Vec<i32> {
        let server = Pid::from_raw(self.child.id().cast_signed());
        let _ = kill(server, Signal::SIGSTOP);
        let workers = self.workers();
        for process in workers.iter().copied().chain([server.as_raw()]) {
            let _ = kill(Pid::from_raw(process), Signal::SIGKILL);
        }
        workers
    }

    /// To the server and all its processes.
    pub fn signal(&self, signal: Signal) {
        // They are one process group.
        let _ = kill(Pid::from_raw(-self.child.id().cast_signed()), signal);
        for worker in self.workers() {
            let _ = kill(Pid::from_raw(worker), signal);
        }
    }

    /// Backends lead sessions of their own.
    fn workers(&self) -> Vec<i32> {
        let list = Command::new("ps").args(["-o", "pid=", "--ppid", &self.child.id().to_string()]).output();
        let list =
            list.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
        list.split_whitespace().filter_map(|pid| pid.parse().ok()).collect()
    }

    fn await_answer(&self) {
        for _ in 0..300 {
            let answers = TcpStream::connect(("127.0.0.1", self.port)).is_ok();
            if answers && self.log().lines().rev().any(|line| line.contains("ready to accept connections")) {
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("PostgreSQL does not answer: {}", self.log());
    }
}

impl Drop for PostgresServer {
    fn drop(&mut self) {
        self.kill_all();
        let _ = self.child.wait();
    }
}

fn program(version: Version, name: &str) -> Command {
    let variable = match version {
        Version::Newest => "GUILDHALL_TEST_POSTGRES_BIN",
        Version::Fifteen => "GUILDHALL_TEST_POSTGRES15_BIN",
    };
    let folder = std::env::var(variable).expect("scripts/services says where it is");
    let folder = PathBuf::from(folder);
    let mut command = Command::new(folder.join(name));
    // Where it was taken out of Debian's packages, what it needs lies beside it.
    let libraries = folder.join(format!("../../../{}-linux-gnu", std::env::consts::ARCH));
    if matches!(version, Version::Fifteen) && libraries.exists() {
        command.env("LD_LIBRARY_PATH", libraries);
    }
    if Uid::effective().is_root() {
        command.uid(NOBODY).gid(NOBODY);
    }
    command.current_dir("/").env_remove("DATABASE_URL");
    command
}

fn spawn(version: Version, folder: &TempDir) -> Child {
    // A log of its own for each start, so that an old "ready" is not taken for a new one.
    let log = File::create(folder.path().join("log")).unwrap();
    program(version, "postgres")
        .arg("-D")
        .arg(folder.path().join("data"))
        .process_group(0)
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .unwrap()
}

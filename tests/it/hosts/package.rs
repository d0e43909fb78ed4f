//! What scripts/package built: what is in it, and that it runs as each platform starts it. `scripts/test` builds it and
//! runs these where what packages are made from has changed, or with `--all`.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use serde_json::{Value, json};

use crate::help::SECRET;
use crate::help::database;
use crate::help::process::{Connection, eventually, player_token, server_token};
use crate::hosts::lambda::{Lambda, free_port, http_api};

const PACKAGES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/target/package");

fn package(name: &str) -> String {
    let path = format!("{PACKAGES}/{name}");
    assert!(Path::new(&path).exists(), "run `scripts/package --native` once: it builds {path}");
    path
}

fn native(prefix: &str, suffix: &str) -> String {
    let machine = if cfg!(target_arch = "aarch64") { "arm64" } else { "x86_64" };
    package(&format!("{prefix}{machine}{suffix}"))
}

/// Takes a package apart, and says each file's mode.
fn unpack(package: &str, folder: &Path) -> Value {
    let script = "import json, sys, zipfile
files = {}
with zipfile.ZipFile(sys.argv[1]) as package:
    for entry in package.infolist():
        files[entry.filename] = oct(entry.external_attr >> 16)
        with open(sys.argv[2] + '/' + entry.filename, 'wb') as file:
            file.write(package.read(entry))
        import os; os.chmod(file.name, 0o755)
print(json.dumps(files))";
    let done =
        Command::new("python3").args(["-c", script, package, folder.to_str().unwrap()]).output().unwrap();
    serde_json::from_slice(&done.stdout).unwrap()
}

#[test]
#[ignore = "needs the packages: scripts/test --all"]
fn packages_hold_what_platforms_look_for() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(
        unpack(&native("guildhall-lambda-", ".zip"), folder.path()),
        json!({ "bootstrap": "0o100755" })
    );
    let size = fs::metadata(folder.path().join("bootstrap")).unwrap().len();
    assert!(size <= 27_000_000, "{size} bytes");
    if cfg!(target_arch = "x86_64") {
        let files = json!({ "guildhall": "0o100755", "scf_bootstrap": "0o100755", "bootstrap": "0o100755" });
        assert_eq!(unpack(&package("guildhall-scf.zip"), folder.path()), files);
        for script in ["scf_bootstrap", "bootstrap"] {
            let text = fs::read_to_string(folder.path().join(script)).unwrap();
            assert!(text.starts_with("#!/bin/sh\n") && !text.contains('\r'), "{script}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the packages: scripts/test --all"]
async fn the_program_is_stamped_and_has_tls_for_database_and_broker() {
    let program = native("guildhall-linux-", "");
    let folder = tempfile::tempdir().unwrap();
    let run = |arguments: &[&str], variables: &[(&str, &str)]| {
        let mut command = Command::new(&program);
        command
            .args(arguments)
            .env_clear()
            .env("GUILDHALL_DATA", folder.path())
            .envs(variables.iter().copied());
        let output = command.output().unwrap();
        String::from_utf8([output.stdout, output.stderr].concat()).unwrap()
    };
    let version = run(&["--version"], &[]);
    let stamp = fs::read_to_string(package("VERSION")).unwrap();
    assert_eq!(version.trim(), format!("guildhall {}", stamp.trim()));
    assert!(stamp.starts_with(concat!(env!("CARGO_PKG_VERSION"), "+g")), "{stamp}");
    // The server here speaks no TLS: a client without it would not get so far as to hear that.
    let url = format!("{}?sslmode=require", database::server());
    let fault = run(&["migrate"], &[("DATABASE_URL", &url)]);
    assert!(fault.contains("server does not support TLS"), "{fault}");
    let broker = [
        ("KAFKA_BROKERS", "127.0.0.1:9"),
        ("KAFKA_SECURITY", "sasl_ssl"),
        ("KAFKA_USERNAME", "ann"),
        ("KAFKA_PASSWORD", "hunter2"),
    ];
    let done = run(&["task", "run", "retention.v1"], &broker);
    assert!(done.contains("state   done"), "a client that can't do this refuses its settings: {done}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the packages: scripts/test --all"]
async fn the_web_function_starts_as_scf_starts_it() {
    let folder = tempfile::tempdir().unwrap();
    unpack(&package("guildhall-scf.zip"), folder.path());
    let port = free_port();
    let mut function = Command::new(folder.path().join("scf_bootstrap"))
        .current_dir("/")
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .env("GUILDHALL_LISTEN", format!("127.0.0.1:{port}"))
        .env("GUILDHALL_DATA", folder.path().join("data"))
        .env("GUILDHALL_TOKEN_SECRET", SECRET)
        .env("SCF_FUNCTIONVERSION", "12")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut connection = eventually("it listens", async || Connection::open(port).await).await;
    let about = connection.call("", "/meta/version", None).await.unwrap().body;
    let stamp = fs::read_to_string(package("VERSION")).unwrap();
    assert_eq!((&about["data"]["version"], &about["data"]["build"]), (&json!("12"), &json!(stamp.trim())));
    let inbox = connection.call(&player_token("alice"), "/channel/inbox", None).await.unwrap();
    assert_eq!(inbox.status, 200);
    let _ = function.kill();
    let _ = function.wait();
}

/// Printed, not asserted: a start from nothing to the first reply, under AWS's emulator, with a list of 50,000 entries.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the packages: scripts/test --all"]
async fn cold_start_with_fifty_thousand_entries() {
    let (program, lists) = (native("guildhall-linux-", ""), tempfile::tempdir().unwrap());
    // Words of syllables, as long as a wordlist's are.
    let syllables =
        ["ka", "to", "mi", "ren", "shu", "la", "bo", "ze", "dri", "qu", "ve", "no", "pal", "gi", "xo", "hum"];
    let word = |n: usize| (0..4).map(|place| syllables[(n >> (4 * place)) % 16]).collect::<String>();
    let words: Vec<String> = (0..50_000).map(word).collect();
    fs::write(lists.path().join("words.txt"), words.join("\n")).unwrap();
    let mut fastest = f64::MAX;
    for _ in 0..5 {
        let variables = [("GUILDHALL_WORDLISTS", lists.path().to_str().unwrap()), ("DATABASE_URL", "")];
        let lambda = Lambda::start_as("api", &program, &variables);
        eventually("the emulator", async || Connection::open(lambda.port).await).await;
        let started = Instant::now();
        let answer = lambda.invoke(&http_api("GET", "/health/ready", "", "", None)).await;
        let took = started.elapsed().as_secs_f64() * 1_000.0;
        assert_eq!(answer["statusCode"], 200, "{answer} {}", lambda.log());
        let status = fs::read_to_string(format!("/proc/{}/status", lambda.child())).unwrap();
        let memory = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap().trim().to_owned();
        let size = fs::metadata(&program).unwrap().len();
        println!(
            "cold start to first reply {took:.0} ms (budget 150), memory {memory}, program {size} bytes"
        );
        fastest = fastest.min(took);
    }
    println!("fastest {fastest:.0} ms");
}

/// Printed, not asserted: what a warm function's calls cost, for the prices in docs/operations.md.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the packages: scripts/test --all"]
async fn what_calls_cost_a_function() {
    const CALLS: u64 = 500;
    let url = database::migrated().await;
    let variables =
        [("DATABASE_URL", url.as_str()), ("GUILDHALL_SEND_LIMIT", "off"), ("GUILDHALL_RATE", "off")];
    let lambda = Lambda::start_as("api", &native("guildhall-linux-", ""), &variables);
    let call = async |token: &str, method: &str, path: &str, query: &str, body: Option<Value>| {
        let body = body.map(|body| body.to_string());
        let event = http_api(method, path, query, token, body.as_deref().map(|body| (body, false)));
        let answer = lambda.invoke(&event).await;
        assert_eq!(answer["statusCode"], 200, "{answer}");
    };
    let (alice, game) = (player_token("alice"), server_token());
    for n in 0..20 {
        let guild = json!({ "id": format!("g{n}"), "kind": "guild", "members": ["alice"] });
        call(&game, "POST", "/channel/create", "", Some(guild)).await;
    }
    let cursors: Vec<Value> = (0..20).map(|n| json!({ "channel": format!("g{n}"), "after": 0 })).collect();
    let text = "今晚八点公会战，记得上线 and bring potions please";
    let cases = [
        ("send", "POST", "/message/send", "", Some(json!({ "channel": "g0", "text": text }))),
        ("list", "GET", "/message/list", "channel=g0&limit=50", None),
        ("sync", "POST", "/message/sync", "", Some(json!({ "channels": cursors[1..] }))),
    ];
    for (name, method, path, query, body) in cases {
        let before = (cpu_ms(lambda.child()), lambda.log().len(), Instant::now());
        for _ in 0..CALLS {
            call(&alice, method, path, query, body.clone()).await;
        }
        let cpu = (cpu_ms(lambda.child()) - before.0) / CALLS as f64;
        let log = (lambda.log().len() - before.1) as u64 / CALLS;
        let took = before.2.elapsed().as_secs_f64() * 1_000.0 / CALLS as f64;
        println!("{name}: {cpu:.2} ms of CPU, {took:.1} ms with the emulator, {log} bytes of log");
    }
}

fn cpu_ms(process: nix::unistd::Pid) -> f64 {
    const TICK_MS: f64 = 10.0;
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    (fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap()) * TICK_MS
}

//! Configuration: all faults at once, secrets never shown, and the program's own words for it.

use std::process::Command;

use guildhall::config::Config;

use crate::help::process::Process;

fn faults(variables: &[(&str, &str)]) -> Vec<String> {
    let lookup =
        |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
    Config::from_lookup(lookup).err().map_or_else(Vec::new, |faults| faults.0)
}

#[test]
fn values_that_hold_and_values_that_do_not() {
    let secret = "x".repeat(32);
    let key_x = "A".repeat(43);
    for (name, good, bad) in [
        ("GUILDHALL_LISTEN", vec!["0.0.0.0:9000", "[::1]:0"], vec!["9000", "localhost", "127.0.0.1:70000"]),
        ("GUILDHALL_BASE_PATH", vec!["/live", "/a/b"], vec!["live", "/live/", "/a b"]),
        (
            "DATABASE_URL",
            vec!["sqlite:///tmp/x.db", "postgres://u:p@h/d", "postgresql://h/d"],
            vec!["mysql://x", "x.db"],
        ),
        ("GUILDHALL_DATABASE_CONNECTIONS", vec!["1", "500"], vec!["0", "501", "many"]),
        (
            "GUILDHALL_WORDLISTS",
            vec!["lists", "s3://bucket", "s3://bucket/a/b/"],
            vec!["s3://", "s3:///a", "s3://b//a"],
        ),
        ("S3_ENDPOINT", vec!["http://127.0.0.1:9001"], vec!["127.0.0.1:9001", "ftp://x"]),
        ("KAFKA_BROKERS", vec!["a:9092", "a:1,b:2"], vec!["a", "a:9092,", ":9092", "a:99999"]),
        ("GUILDHALL_TOPIC", vec!["guildhall.tasks-2_x"], vec!["a b", "a/b", "ä"]),
        ("GUILDHALL_TOPIC_PARTITIONS", vec!["1"], vec!["0", "1001"]),
        ("KAFKA_SECURITY", vec!["plaintext", "ssl"], vec!["PLAINTEXT", "tls"]),
        ("KAFKA_SASL_MECHANISM", vec!["PLAIN", "SCRAM-SHA-256"], vec!["plain", "GSSAPI"]),
        ("GUILDHALL_TASK_TIMEOUT_S", vec!["1", "900"], vec!["0", "901"]),
        ("GUILDHALL_WORKER_TASKS", vec!["1"], vec!["0"]),
        ("GUILDHALL_TOKEN_SECRET", vec![secret.as_str()], vec!["short", &secret[1..]]),
        ("GUILDHALL_WORDLIST_REFRESH_S", vec!["1", "300"], vec!["0", "-1", "x", "86401"]),
        (
            "GUILDHALL_SEND_LIMIT",
            vec!["off", "5/5s", "100/1h"],
            vec!["5", "5/5", "0/5s", "5/0s", "101/5s", "-1/5s", "5/5x"],
        ),
        (
            "GUILDHALL_RECALL_WINDOW",
            vec!["0s", "2m", "7d"],
            vec!["", "2", "m", "-2m", "9999999d"][1..].to_vec(),
        ),
        (
            "GUILDHALL_RETENTION",
            vec!["off", "world=30d", "world=1h,guild=2d"],
            vec!["30d", "tavern=1d", "world=0s", "world="],
        ),
        (
            "GUILDHALL_LADDER",
            vec!["warn", "mute:1h", "warn, mute:90s, ban"],
            vec![",", "hug", "mute:", "mute:1x", "warn,,ban", "ban:é"],
        ),
        ("GUILDHALL_EVIDENCE", vec!["180d", "0s"], vec!["180", "d", "-1d"]),
        ("GUILDHALL_VERSION", vec!["7", "$LATEST", "0.1.0+g1a2b"], vec!["a b", "sieben✓"]),
        ("GUILDHALL_MAX_IN_FLIGHT", vec!["1"], vec!["0", "70000"]),
        (
            "GUILDHALL_TOKEN_KEYS",
            vec![],
            vec!["x", "=hs256:y", "a=hs256:short", "a=rs256:y", "a=eddsa:short"],
        ),
    ] {
        for value in good {
            assert!(faults(&[(name, value)]).is_empty(), "{name}={value}");
        }
        for value in bad {
            let faults = faults(&[(name, value)]);
            assert_eq!(faults.len(), 1, "{name}={value}: {faults:?}");
            assert!(faults[0].starts_with(name), "{faults:?}");
        }
    }
    let keys = format!("a=hs256:{secret},b=eddsa:{key_x}");
    assert!(faults(&[("GUILDHALL_TOKEN_KEYS", &keys)]).is_empty());
    assert_eq!(faults(&[("GUILDHALL_TOKEN_KEYS", &format!("a=hs256:{secret},a=hs256:{secret}"))]).len(), 1);
}

#[test]
fn variables_that_need_each_other() {
    assert!(
        faults(&[("GUILDHALL_WEBHOOK_URL", "https://game.example/events")])[0]
            .starts_with("GUILDHALL_WEBHOOK_SECRET is required")
    );
    let short =
        [("GUILDHALL_WEBHOOK_URL", "https://game.example/events"), ("GUILDHALL_WEBHOOK_SECRET", "short")];
    assert_eq!(faults(&short).len(), 1);
    assert!(
        faults(&[("AWS_LAMBDA_RUNTIME_API", "127.0.0.1:1")])[0]
            .starts_with("GUILDHALL_TOKEN_SECRET is required")
    );
    let sasl = [("KAFKA_BROKERS", "a:1"), ("KAFKA_SECURITY", "sasl_ssl"), ("KAFKA_USERNAME", "ann")];
    assert!(faults(&sasl)[0].contains("KAFKA_PASSWORD"));
    assert!(faults(&sasl[1..]).is_empty(), "without a broker nobody logs in");
    assert!(faults(&[&sasl[..], &[("KAFKA_PASSWORD", "hunter2")]].concat()).is_empty());
}

/// Settings end up in logs when somebody prints them.
#[test]
fn settings_show_no_secret() {
    let variables = [
        ("DATABASE_URL", "postgres://ann:hunter2@host/db"),
        ("GUILDHALL_TOKEN_SECRET", "hunter2 and twenty-five bytes more"),
        ("KAFKA_BROKERS", "a:1"),
        ("KAFKA_SECURITY", "sasl_ssl"),
        ("KAFKA_USERNAME", "ann"),
        ("KAFKA_PASSWORD", "hunter2"),
    ];
    let find =
        |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
    let shown = format!("{:?}", Config::from_lookup(find).unwrap());
    assert!(!shown.contains("hunter2"), "{shown}");
}

fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_guildhall"));
    command.env_clear().current_dir(std::env::temp_dir());
    command
}

#[test]
fn the_program_tells_all_faults_at_once_and_shows_no_secret() {
    let output = program()
        .env("GUILDHALL_LISTEN", "nowhere")
        .env("GUILDHALL_SEND_LIMIT", "often")
        .env("GUILDHALL_TOKEN_SECRET", "hunter2")
        .env("GUILDHALL_TOKEN_KEYS", "old=hs256:hunter3")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8(output.stderr).unwrap();
    for name in [
        "GUILDHALL_LISTEN",
        "GUILDHALL_SEND_LIMIT",
        "GUILDHALL_TOKEN_SECRET has 7 bytes",
        "GUILDHALL_TOKEN_KEYS key 'old'",
    ] {
        assert!(said.contains(name), "{name} in {said}");
    }
    assert!(!said.contains("hunter"), "{said}");
    assert!(!format!("{:?}", guildhall::config::Secret::new("hunter".repeat(9)).unwrap()).contains("hunter"));
}

#[test]
fn a_port_that_is_taken_and_a_folder_that_cannot_be_made_are_said_plainly() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let output =
        program().env("GUILDHALL_LISTEN", &address).env("GUILDHALL_DATA", folder.path()).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains(&format!("listening on {address}")));

    let output = program().env("GUILDHALL_DATA", "/dev/null/x").output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("/dev/null/x"));
}

#[test]
fn a_machine_without_certificates_is_told_of_where_somebody_is_to_be_called() {
    let folder = tempfile::tempdir().unwrap();
    let (data, none) = (folder.path().join("data"), folder.path().join("none.pem"));
    std::fs::write(&none, "").unwrap();
    let output = program()
        .env("GUILDHALL_DATA", &data)
        .env("GUILDHALL_LISTEN", "127.0.0.1:0")
        .env("SSL_CERT_FILE", &none)
        .env("GUILDHALL_WEBHOOK_URL", "https://game.example.com/chat")
        .env("GUILDHALL_WEBHOOK_SECRET", "s".repeat(32))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("preparing calls to others"), "{said}");
    assert!(said.contains("certificates"), "{said}");
    // Who calls nobody needs none.
    let nothing = folder.path().to_str().unwrap();
    Process::start(&data, &[("SSL_CERT_FILE", none.to_str().unwrap()), ("SSL_CERT_DIR", nothing)]);
}

#[test]
fn help_names_every_command() {
    let output = program().arg("--help").output().unwrap();
    let help = String::from_utf8(output.stdout).unwrap();
    for command in ["serve", "token", "config", "openapi", "task"] {
        assert!(help.contains(command), "{command} in {help}");
    }
    assert_eq!(program().arg("unknown").output().unwrap().status.code(), Some(2));
    assert_eq!(program().args(["token"]).output().unwrap().status.code(), Some(2), "a token is for somebody");
}

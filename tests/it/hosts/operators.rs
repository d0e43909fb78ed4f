//! What operators are told where something can't be used: the place, the cause, and no riddles.

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use crate::help::database;
use crate::help::{SECRET, TestApp};

fn guildhall(data: &Path, arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_guildhall"))
        .env_clear()
        .current_dir(data.parent().unwrap())
        .env("GUILDHALL_DATA", data)
        .env("GUILDHALL_LISTEN", "127.0.0.1:0")
        .envs(variables.iter().copied())
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

#[track_caller]
fn refuses(data: &Path, arguments: &[&str], variables: &[(&str, &str)], expected: &[&str]) {
    let output = guildhall(data, arguments, variables);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    for part in expected {
        assert!(said.contains(part), "'{part}' is not in: {said}");
    }
}

/// A port where nobody listens, and one that takes connections and says nothing.
#[test]
fn a_postgres_that_is_not_there_is_named_with_host_port_and_cause() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let (silent_at, closed_at) = {
        let closed = TcpListener::bind("127.0.0.1:0").unwrap();
        (silent.local_addr().unwrap().to_string(), closed.local_addr().unwrap().to_string())
    };
    for command in ["serve", "migrate", "worker"] {
        let url = format!("postgres://ann:hunter2@{closed_at}/chat");
        refuses(&data, &[command], &[("DATABASE_URL", &url)], &[&closed_at, "refused"]);
    }
    let url = format!("postgres://ann:hunter2@{silent_at}/chat");
    refuses(&data, &["serve"], &[("DATABASE_URL", &url)], &[&silent_at, "no answer within 2 s"]);
    let output = guildhall(&data, &["serve"], &[("DATABASE_URL", &url)]);
    assert!(!String::from_utf8_lossy(&output.stderr).contains("hunter2"));
}

#[test]
fn a_fault_of_postgres_does_not_end_in_a_line_of_its_source() {
    let folder = tempfile::tempdir().unwrap();
    let server = database::server();
    let (front, _) = server.rsplit_once('/').unwrap();
    let url = format!("{front}/no_such_database");
    let output = guildhall(&folder.path().join("data"), &["serve"], &[("DATABASE_URL", &url)]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("\"no_such_database\" does not exist") && !said.contains("at line"), "{said}");
}

#[test]
fn what_sqlite_cannot_open_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    fs::create_dir(&data).unwrap();
    let file = data.join("guildhall.db");
    fs::write(&file, "this is a text, and long enough to be taken for a database's first page").unwrap();
    refuses(&data, &["serve"], &[], &[file.to_str().unwrap(), "not a database"]);
    let url = format!("sqlite://{}/nowhere/chat.db", folder.path().display());
    refuses(&data, &["serve"], &[("DATABASE_URL", &url)], &["/nowhere/chat.db", "unable to open"]);
    let text = folder.path().join("text");
    fs::write(&text, "").unwrap();
    refuses(&text, &["serve"], &[], &[text.to_str().unwrap(), "this is a file"]);
}

/// A token that a new secret signs would hold nowhere.
#[test]
fn a_token_needs_the_secret_that_is_there() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    refuses(&data, &["token", "--player", "ann"], &[], &[data.to_str().unwrap(), "guildhall serve"]);
    assert!(!data.exists(), "nothing is made");
    let output = guildhall(&data, &["token", "--player", "ann"], &[("GUILDHALL_TOKEN_SECRET", SECRET)]);
    assert!(output.status.success());
}

#[test]
fn a_variable_that_is_none_of_ours_is_told_with_the_one_that_is_meant() {
    let folder = tempfile::tempdir().unwrap();
    let variables = [("GUILDHALL_SEND_LIMITS", "5/5s"), ("GUILDHALL_COLOUR", "red"), ("OTHER", "x")];
    let output = guildhall(&folder.path().join("data"), &["config"], &variables);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        said.contains("GUILDHALL_SEND_LIMITS is no variable of ours; is GUILDHALL_SEND_LIMIT meant?"),
        "{said}"
    );
    assert!(
        said.contains("GUILDHALL_COLOUR is no variable of ours; `guildhall config` lists them"),
        "{said}"
    );
    assert!(!said.contains("OTHER"), "{said}");
}

/// Tasks that wait on a server without a webhook's address, dealt with by hand from the first to the last word.
#[tokio::test]
async fn tasks_are_set_aside_taken_up_given_up_and_made_ready_again_by_hand() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let url = database::of_folder(&data);
    let variables: Vec<(&str, &str)> = url.iter().map(|url| ("DATABASE_URL", url.as_str())).collect();
    assert!(guildhall(&data, &["migrate"], &variables).status.success());
    let task = |arguments: &[&str]| {
        let output = guildhall(&data, &[&["task"], arguments].concat(), &variables);
        let said = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8(said).unwrap())
    };
    let done = |arguments: &[&str]| {
        let (code, said) = task(arguments);
        assert_eq!(code, Some(0), "{arguments:?}: {said}");
        said
    };
    for n in 0..3 {
        let row = format!(
            "INSERT INTO outbox (id, task, key, payload, created_at, since, not_before)
             VALUES ('w{n}', 'webhook.v1', 'world', '{{}}', 1700000000000, 1700000000000, 0);
             INSERT INTO outbox_open (stage, n, id) SELECT stage, n, id FROM outbox WHERE id = 'w{n}';"
        );
        database::change(&data, &row).await;
    }
    assert!(done(&["keys"]).contains("world"), "{}", done(&["keys"]));
    assert!(done(&["park", "world", "--reason", "being mended"]).contains("with its 3 tasks"));
    assert!(done(&["keys"]).contains("set aside  being mended"), "{}", done(&["keys"]));
    assert!(done(&["park", "wrold", "--reason", "a slip"]).contains("no task of it waits now"));
    assert!(done(&["unpark", "wrold"]).contains("taken up again"));
    for (wrong, expected) in [
        (vec!["unpark", "wrold"], "wrold is not set aside"),
        (vec!["park", "", "--reason", "x"], "a key has 1 to 1,000 bytes"),
        (vec!["hand-over"], "KAFKA_BROKERS is not set"),
        (vec!["drop", "--kind", "webhok.v1", "--reason", "a slip"], "none is named 'webhok.v1'"),
        (vec!["retry"], "--kind"),
        (vec!["retry", "w0", "--since", "1s"], "cannot be used with"),
        (vec!["run", "webhook.v1", "{}"], "missing field"),
        (vec!["show", "nothing"], "no such task"),
    ] {
        let (code, said) = task(&wrong);
        assert!(code != Some(0) && said.contains(expected), "{wrong:?}: {said}");
    }
    assert!(done(&["unpark", "world"]).contains("taken up again"));
    assert!(
        done(&["drop", "--kind", "webhook.v1", "--reason", "100% gone"]).contains("3 tasks were given up")
    );
    assert_eq!(done(&["list", "--state", "dead"]).matches("100% gone").count(), 3);
    let retry = |reason: &str| done(&["retry", "--kind", "webhook.v1", "--reason", reason]);
    assert!(retry("100_ gone").contains("0 tasks are ready again"), "a reason is a text, not a pattern");
    assert!(retry("100% gone").contains("3 tasks are ready again"));
    assert_eq!(done(&["list", "--state", "ready"]).matches("webhook.v1").count(), 3);
}

/// A command that is run from another folder than the server makes no database of its own, and reports nothing of it.
#[test]
fn tasks_are_looked_for_where_the_server_keeps_them() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    for command in [vec!["list"], vec!["keys"], vec!["park", "world", "--reason", "x"]] {
        refuses(&data, &[&["task"], command.as_slice()].concat(), &[], &["guildhall.db", "GUILDHALL_DATA"]);
    }
    assert!(!data.exists(), "nothing is made");
}

#[tokio::test]
async fn an_operator_says_something_by_the_service_that_players_use() {
    let app = TestApp::new().await;
    app.world("w", &["alice"]).await;
    let url = app.app.config.database_url.as_ref().map(|url| url.expose().to_owned());
    let database: Vec<(&str, &str)> = url.iter().map(|url| ("DATABASE_URL", url.as_str())).collect();
    let say =
        |arguments: &[&str]| guildhall(&app.app.config.data, &[&["say"], arguments].concat(), &database);
    let said =
        say(&["w", "the server restarts at noon", "--server", "--name", "The game", "--nonce", "noon"]);
    let message: Value = serde_json::from_slice(&said.stdout).unwrap();
    assert_eq!(message["seq"], 1, "{}", String::from_utf8_lossy(&said.stderr));
    say(&["w", "the server restarts at noon", "--server", "--name", "The game", "--nonce", "noon"]);
    let history = app.player("alice").history("w").await;
    assert_eq!(history.len(), 1, "a nonce is a message once");
    assert_eq!(history[0]["sender"]["name"], "The game");
    // The same rules hold as for anybody who sends.
    for (arguments, expected) in [
        (&["w", "hello", "--player", "bob"][..], "join the channel first"),
        (&["nowhere", "hello", "--server"], "no such channel"),
        (&["w", "", "--server"], "the text"),
        (&["w", "hello"], "--player"),
    ] {
        let output = say(arguments);
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && told.contains(expected), "{arguments:?}: {told}");
    }
}

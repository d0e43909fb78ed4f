//! Where the filter is how strict: by kind of channel, as the planners say, and by channel, as the game's server says.

use std::fs;

use guildhall::chat::values::Kind;
use guildhall::filter::policy::PLACES;
use serde_json::{Value, json};

use crate::help::TestApp;
use crate::help::process::program;

fn lists(policy: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("insults.txt"), "badword\nmildword | severity=1\n").unwrap();
    fs::write(folder.path().join("fraud.txt"), "@action reject\nscamword\n").unwrap();
    fs::write(folder.path().join("policy.toml"), policy).unwrap();
    folder
}

const POLICY: &str = "[guild]\nmin_severity = 2\n[guild.categories]\nfraud = \"off\"\n[party.categories]\ninsults = \"reject\"\n";

async fn app(folder: &tempfile::TempDir) -> TestApp {
    TestApp::with(&[("GUILDHALL_WORDLISTS", folder.path().to_str().unwrap())]).await
}

async fn make(app: &TestApp, id: &str, kind: &str, filter: Value) {
    let mut settings = json!({});
    if !filter.is_null() {
        settings["filter"] = filter;
    }
    let input = json!({ "id": id, "kind": kind, "members": ["bob"], "settings": settings });
    let made = app.server().post("/channel/create", input.clone()).await.data();
    assert_eq!(app.server().post("/channel/create", input).await.data(), made, "the same call again");
    assert_eq!(made["settings"]["filter"], settings["filter"]);
}

async fn said(app: &TestApp, channel: &str, text: &str) -> String {
    let sent = app.player("bob").post("/message/send", json!({ "channel": channel, "text": text })).await;
    if sent.status == 200 { sent.data()["message"]["text"].as_str().unwrap().to_owned() } else { sent.code() }
}

#[tokio::test]
async fn each_place_is_as_strict_as_it_shall_be() {
    let folder = lists(POLICY);
    let app = app(&folder).await;
    make(&app, "w", "world", Value::Null).await;
    make(&app, "g", "guild", Value::Null).await;
    make(&app, "p", "party", Value::Null).await;
    make(&app, "strict", "guild", json!({ "min_severity": 1, "categories": { "fraud": "mask" } })).await;
    make(&app, "lax", "world", json!({ "categories": { "insults": "off", "fraud": "review" } })).await;
    for (channel, bad, mild, scam) in [
        ("w", "*******", "********", "rejected"),
        ("g", "*******", "mildword", "scamword"),
        ("p", "rejected", "rejected", "rejected"),
        ("strict", "*******", "********", "********"),
        ("lax", "badword", "mildword", "scamword"),
    ] {
        for (text, wanted) in [("badword", bad), ("mildword", mild), ("scamword", scam)] {
            // Twice, as the place is known by then.
            for _ in 0..2 {
                assert_eq!(said(&app, channel, text).await, wanted, "{channel}: {text}");
            }
        }
    }
    assert_eq!(said(&app, "nowhere", "badword").await, "not_found");
    let payload = json!({ "channel": "g", "text": "x", "payload": { "a": "mildword scamword badword" } });
    let sent = app.player("bob").post("/message/send", payload).await.data();
    assert_eq!(sent["message"]["payload"]["a"], "mildword scamword *******");
    let test = async |input: Value| {
        app.moderator("mod").post("/wordlist/test", input).await.data()["action"].clone()
    };
    assert_eq!(test(json!({ "text": "scamword" })).await, "reject");
    assert_eq!(test(json!({ "text": "scamword", "kind": "guild" })).await, "pass");
}

#[tokio::test]
async fn what_a_channel_can_not_want_is_told() {
    let app = TestApp::new().await;
    let many: serde_json::Map<String, Value> = (0..101).map(|n| (format!("c{n}"), json!("off"))).collect();
    for filter in [
        json!({ "min_severity": 4 }),
        json!({ "categories": { "insults": "maybe" } }),
        json!({ "strict": true }),
        json!({ "categories": many }),
    ] {
        let input = json!({ "id": "c", "kind": "guild", "settings": { "filter": filter } });
        assert_eq!(app.server().post("/channel/create", input).await.code(), "invalid_input");
    }
}

#[test]
fn planners_see_what_a_policy_does() {
    let (folder, before) = (lists(POLICY), lists(""));
    let guildhall = |arguments: &[&str]| {
        let done = program(folder.path()).arg("wordlist").args(arguments).output().unwrap();
        (
            done.status.code(),
            String::from_utf8_lossy(&done.stdout).into_owned() + &String::from_utf8_lossy(&done.stderr),
        )
    };
    let lists_at = folder.path().to_str().unwrap();
    let (_, shown) = guildhall(&["test", "scamword", "--folder", lists_at]);
    assert!(shown.contains("reject"), "{shown}");
    let (_, shown) = guildhall(&["test", "scamword", "--in", "guild", "--folder", lists_at]);
    assert!(!shown.contains("reject"), "{shown}");
    let (_, shown) = guildhall(&["diff", before.path().to_str().unwrap(), lists_at]);
    assert!(
        shown.contains("+ guild: from severity 2") && shown.contains("+ party: insults reject"),
        "{shown}"
    );
    fs::write(folder.path().join("policy.toml"), "[guild.categories]\ninsult = \"off\"\n").unwrap();
    let (code, shown) = guildhall(&["check", lists_at]);
    assert!(code == Some(1) && shown.contains("there is no insult.txt"), "{shown}");
}

#[test]
fn a_policy_names_every_kind_in_which_players_speak() {
    let kinds: Vec<&str> =
        Kind::ALL.into_iter().filter(|kind| *kind != Kind::System).map(Kind::as_str).collect();
    assert_eq!(PLACES, kinds);
}

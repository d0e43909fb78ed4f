//! The calls that docs/moderation.md shows: each one works, in the order in which they stand there. And the examples of a
//! script.

use std::fs;
use std::process::Command;

use serde_json::{Value, json};

use crate::help::{Actor, TestApp};

/// The calls in a document's blocks: method, path with its query, and body.
fn calls(document: &str) -> Vec<(String, String, Value)> {
    let blocks = document.split("```").skip(1).step_by(2);
    let mut calls: Vec<String> = Vec::new();
    for line in blocks.flat_map(str::lines) {
        if line.starts_with("POST ") || line.starts_with("GET ") {
            calls.push(line.to_owned());
        } else if let Some(call) = calls.last_mut().filter(|_| line.starts_with("  ")) {
            call.push_str(line.trim_start());
        }
    }
    let call = |call: String| {
        let call = call.split(" -> ").next().unwrap().to_owned();
        let (method, rest) = call.split_once(' ').unwrap();
        let (path, body) = rest.trim_start().split_once(' ').unwrap_or((rest.trim_start(), "{}"));
        let body = serde_json::from_str(body.trim()).unwrap_or_else(|fault| panic!("{call}: {fault}"));
        (method.to_owned(), path.to_owned(), body)
    };
    calls.into_iter().map(call).collect()
}

/// Who asks for it: players report, the game's server knows whose rights are whose, and the rest is a moderator's.
fn caller<'a>(app: &'a TestApp, path: &str) -> Actor<'a> {
    match path.split('?').next().unwrap() {
        "/report/message" | "/player/block" => app.player("eve"),
        "/appeal/submit" => app.player("bob"),
        "/channel/role" => app.server(),
        _ => app.moderator("mod"),
    }
}

#[tokio::test]
async fn every_call_in_the_page_for_moderators_works() {
    let app = TestApp::new().await;
    app.world("world", &["bob", "eve"]).await;
    for n in 1..=17 {
        app.player("bob").say("world", &format!("word {n}")).await;
    }
    let mut ids = serde_json::Map::new();
    let calls = calls(&fs::read_to_string("docs/moderation.md").unwrap());
    assert!(calls.len() >= 12, "{}", calls.len());
    for (method, path, mut body) in calls {
        // The page writes an ellipsis where an id stands that an earlier call has answered.
        let kind = path.split('/').nth(1).unwrap().to_owned();
        if body["id"] == "…" {
            body["id"] = ids[&kind].clone();
        }
        if body["sanction"] == "…" {
            body["sanction"] = ids["sanction"].clone();
        }
        let path = path.replace('…', ids.get(&kind).and_then(Value::as_str).unwrap_or_default());
        let caller = caller(&app, &path);
        let reply =
            if method == "GET" { caller.get(&path).await } else { caller.post(&path, body.clone()).await };
        assert_eq!(reply.status, 200, "{method} {path} {body}: {}", reply.body);
        let data = reply.data();
        for (kind, id) in [
            ("case", &data["cases"][0]["id"]),
            ("sanction", &data["sanction"]["id"]),
            ("appeal", &data["appeal"]["id"]),
            ("task", &data["task"]),
        ] {
            if id.is_string() {
                ids.insert(kind.to_owned(), id.clone());
            }
        }
        app.run_tasks().await;
    }
    let told = json!(app.player("bob").get("/channel/inbox").await.data());
    assert!(told.to_string().contains("sanction"));
}

/// The thresholds of a release by themselves, as examples in the script's own documentation.
#[test]
fn the_judgement_on_a_version_is_as_documented() {
    let script = format!("{}/scripts/releasing/common.py", env!("CARGO_MANIFEST_DIR"));
    let done = Command::new("python3").args(["-m", "doctest", &script]).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stdout));
    assert!(fs::read_to_string(script).unwrap().contains(">>> "));
}

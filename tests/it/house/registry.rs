//! Rules that hold for every action, now and later: the registry is data, so tests loop over it.

use std::collections::HashSet;

use guildhall::api::action::ActionEntry;
use guildhall::api::action::Verb;
use guildhall::controllers::{ACTIONS, about};
use guildhall::service::TASKS;
use http::Request;
use http_body_util::Full;
use schemars::SchemaGenerator;
use serde_json::json;

use crate::help::TestApp;
use crate::house::architecture::program;

#[test]
fn every_action_has_a_path_and_a_name_of_its_own() {
    let paths: HashSet<_> =
        ACTIONS.iter().map(|entry| (entry.route.path, entry.route.method.as_str())).collect();
    let names: HashSet<_> = ACTIONS.iter().map(|entry| (entry.name)()).collect();
    assert_eq!((paths.len(), names.len()), (ACTIONS.len(), ACTIONS.len()));
}

#[test]
fn every_path_is_legal_and_lies_in_the_home_of_its_controller() {
    for entry in ACTIONS {
        let path = entry.route.path;
        let words: Vec<&str> = path.split('/').collect();
        assert_eq!(words.len(), 3, "{path} is /controller/action");
        assert!(path.bytes().all(|b| b.is_ascii_lowercase() || b == b'/' || b == b'-'), "{path}");
        let home = format!("controllers/{}", entry.route.controller());
        let said = |file: &std::path::Path| {
            let in_home = file.starts_with(&home) || *file == *format!("{home}.rs");
            in_home && std::fs::read_to_string(file).unwrap().contains(&format!("\"{path}\""))
        };
        assert!(program().iter().any(|(file, _)| said(file)), "{path} is not in {home}");
    }
}

#[test]
fn every_action_and_every_field_of_its_input_is_documented_and_unknown_fields_are_refused() {
    for entry in ACTIONS {
        let schema = (entry.input)(&mut SchemaGenerator::default()).to_value();
        let path = entry.route.path;
        assert!(
            schema["description"].as_str().is_some_and(|text| text.len() > 15),
            "{path} has no documentation"
        );
        // Providers add parameters as they like.
        let refuses = schema["additionalProperties"] == false;
        assert_eq!(refuses, entry.callback.is_none(), "{path} takes unknown fields");
    }
}

fn published() -> impl Iterator<Item = &'static ActionEntry> {
    ACTIONS.iter().filter(|entry| !entry.preview)
}

/// A new feature is tried where only testers come; for everybody else it is not there.
#[tokio::test]
async fn preview_actions_are_reached_in_the_newest_code_only() {
    let latest = TestApp::with(&[("GUILDHALL_VERSION", "$LATEST")]).await;
    let live = TestApp::with(&[("GUILDHALL_VERSION", "7")]).await;
    let mut seen = 0;
    for entry in ACTIONS.iter().filter(|entry| entry.preview) {
        let path = entry.route.path;
        let reply = live.server().get(path).await;
        assert_eq!(
            (reply.code().as_str(), &reply.headers["x-guildhall-version"]),
            ("not_found", &"7".parse().unwrap())
        );
        let reply = latest.server().get(path).await;
        assert_ne!(reply.status, 404, "{path}");
        assert_eq!(reply.headers["x-guildhall-version"], "$LATEST");
        let operation = &guildhall::api::openapi::document(ACTIONS, about, true)["paths"][path]["get"];
        assert_eq!(operation["x-preview"], true, "{path}");
        seen += 1;
    }
    assert!(seen > 0);
    assert!(
        guildhall::api::openapi::document(ACTIONS, about, true)["paths"]["/message/send"]["post"]["x-preview"]
            .is_null()
    );
}

#[tokio::test]
async fn every_action_that_is_not_for_anyone_answers_401_without_a_token() {
    let app = TestApp::new().await;
    for entry in published() {
        let path = entry.route.path;
        let reply = match entry.route.method {
            Verb::Get => app.nobody().get(path).await,
            Verb::Post => app.nobody().post(path, json!({})).await,
        };
        if entry.callback.is_some() {
            assert!(reply.status.is_client_error(), "{path} believes who has signed nothing");
        } else if entry.scopes.is_empty() {
            assert_eq!(reply.status, 200, "{path}");
        } else {
            assert_eq!((reply.status.as_u16(), reply.code().as_str()), (401, "unauthenticated"), "{path}");
        }
    }
}

#[tokio::test]
async fn every_action_refuses_scopes_that_it_does_not_name() {
    let app = TestApp::new().await;
    for entry in published().filter(|entry| !entry.scopes.is_empty()) {
        for actor in [app.player("p"), app.moderator("m"), app.server()] {
            let reply = match entry.route.method {
                Verb::Get => actor.get(entry.route.path).await,
                Verb::Post => actor.post(entry.route.path, json!({})).await,
            };
            let scope = if actor.token == app.player("p").token {
                "player"
            } else if actor.token == app.server().token {
                "server"
            } else {
                "moderator"
            };
            let named = entry.scopes.iter().any(|allowed| allowed.as_str() == scope);
            assert_eq!(reply.status != 403, named, "{} as {scope}: {}", entry.route.path, reply.body);
        }
    }
}

/// What a path answers.
fn methods(path: &str) -> Vec<&'static str> {
    let mut methods: Vec<&str> = ACTIONS
        .iter()
        .filter(|entry| entry.route.path == path)
        .map(|entry| entry.route.method.as_str())
        .collect();
    methods.sort_unstable();
    methods
}

#[tokio::test]
async fn every_action_refuses_the_other_methods_and_names_the_right_one() {
    let app = TestApp::new().await;
    for entry in published() {
        for method in ["GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS"] {
            let allowed: Vec<&str> = methods(entry.route.path);
            if allowed.contains(&method) {
                continue;
            }
            let request =
                Request::builder().method(method).uri(entry.route.path).body(Full::default()).unwrap();
            let reply = app.call(request).await;
            assert_eq!(
                (reply.status.as_u16(), reply.code().as_str()),
                (405, "method_not_allowed"),
                "{method} {}",
                entry.route.path
            );
            assert_eq!(reply.headers["allow"], allowed.join(", "));
        }
    }
}

#[test]
fn every_task_has_a_name_of_its_own_with_a_version() {
    let names: HashSet<_> = TASKS.iter().map(|entry| entry.name).collect();
    assert_eq!(names.len(), TASKS.len());
    for entry in TASKS {
        let (word, version) = entry.name.split_once(".v").unwrap();
        assert!(
            word.bytes().all(|b| b.is_ascii_lowercase() || b == b'-') && version.parse::<u8>().is_ok(),
            "{}",
            entry.name
        );
        assert!(entry.attempts > 1, "{} is never tried again", entry.name);
    }
}

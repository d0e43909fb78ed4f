//! Committed documents are compared with the program: none may tell of another one.

use std::fs;

use guildhall::base::error::CODES;
use guildhall::cli;
use guildhall::config::Config;
use guildhall::controllers::ACTIONS;
use serde_json::Value;

use crate::support::TestApp;

fn readme() -> String {
    fs::read_to_string("README.md").unwrap()
}

#[test]
fn the_committed_openapi_document_is_fresh() {
    let committed = fs::read_to_string("openapi.json").unwrap();
    assert!(committed == cli::openapi_text(), "run `cargo run -- openapi > openapi.json` and commit it");
}

#[tokio::test]
async fn the_served_document_is_the_committed_one_and_knows_every_action() {
    let app = TestApp::new().await;
    let served = app.nobody().get("/meta/openapi").await.data();
    let committed: Value = serde_json::from_str(&fs::read_to_string("openapi.json").unwrap()).unwrap();
    assert_eq!(served, committed);
    for entry in ACTIONS {
        let operation = &served["paths"][entry.route.path][entry.route.method.as_str().to_lowercase()];
        assert!(
            operation["summary"].as_str().is_some_and(|summary| !summary.is_empty()),
            "{}",
            entry.route.path
        );
    }
    assert_eq!(served["paths"].as_object().unwrap().len(), ACTIONS.len());
}

/// Every `$ref` leads somewhere, or client generators stop.
#[test]
fn the_document_holds_together() {
    let document: Value = serde_json::from_str(&cli::openapi_text()).unwrap();
    let mut open = vec![&document];
    while let Some(value) = open.pop() {
        if let Some(reference) = value.get("$ref").and_then(Value::as_str) {
            assert!(document.pointer(&reference[1..]).is_some(), "{reference}");
        }
        match value {
            Value::Array(list) => open.extend(list),
            Value::Object(map) => open.extend(map.values()),
            _ => {}
        }
    }
}

#[test]
fn the_readme_shows_every_variable_as_the_program_prints_it() {
    assert!(
        readme().contains(&cli::variables_table()),
        "put the output of `guildhall config` into the README"
    );
    let distinct: std::collections::BTreeSet<_> =
        Config::variables().iter().map(|variable| variable.name).collect();
    assert_eq!(distinct.len(), Config::variables().len());
}

#[test]
fn the_readme_shows_every_code_and_every_action() {
    let readme = readme();
    for (code, status) in CODES {
        assert!(readme.contains(&format!("`{code}` {status}")), "`{code}` {status}");
    }
    for entry in ACTIONS {
        let row = format!("`{} {}`", entry.route.method.as_str(), entry.route.path);
        assert!(readme.contains(&row), "{row}");
    }
}

//! Whole replies, as players, moderators and the game's server get them: what clients rely on changes only where a snapshot in
//! `tests/snapshots/` changes with it.
//!
//! A change that is meant: `INSTA_UPDATE=always scripts/dev test house::replies`, and read what git shows.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::house::authorisation::{ask_everything, prepare};

/// Replaces what is another in each run: times, ids, and digests.
fn mask(value: &mut Value) {
    match value {
        Value::Number(number) if number.as_i64().is_some_and(|number| number > 1_500_000_000) => {
            *value = json!("[time]");
        }
        Value::String(text) if is_made(text) => *value = json!("[id]"),
        Value::Array(items) => items.iter_mut().for_each(mask),
        Value::Object(fields) => {
            for (name, value) in fields {
                match name.as_str() {
                    "longest_ms" | "first_reply_ms" | "age_s" | "oldest_s" if value.is_number() => {
                        *value = json!("[passes]");
                    }
                    _ => mask(value),
                }
            }
        }
        _ => {}
    }
}

/// An id or a digest, with a short beginning such as `sha256:` at most.
fn is_made(text: &str) -> bool {
    let made = text.rsplit([':', '.']).next().unwrap_or(text);
    let hex = made.bytes().filter(u8::is_ascii_hexdigit).count();
    hex >= 12 && made.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-')
}

#[tokio::test]
async fn every_whole_reply_is_what_it_was() {
    let mut all: BTreeMap<&str, BTreeMap<String, Value>> = BTreeMap::new();
    for caller in ["member", "moderator", "server"] {
        let (app, ids) = prepare(caller).await;
        for (entry, reply) in ask_everything(&app, caller, &ids).await {
            let path = entry.route.path;
            let controller = path[1..].split('/').next().unwrap();
            let mut body = reply.body;
            mask(&mut body);
            all.entry(controller).or_default().insert(format!("{path} as {caller}"), body);
        }
    }
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path("../../snapshots");
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| {
        for (controller, replies) in all.iter().filter(|(controller, _)| **controller != "meta") {
            insta::assert_json_snapshot!(*controller, replies);
        }
    });
}

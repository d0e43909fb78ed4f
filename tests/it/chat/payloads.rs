//! Payloads: what a client sends along comes back as it was, but for what the filter masks.

use guildhall::chat::payload::Payload;
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::help::TestApp;

async fn send(app: &TestApp, payload: &str) -> crate::help::Reply {
    app.player("alice")
        .post_bytes("/message/send", format!(r#"{{"channel":"world","text":"look","payload":{payload}}}"#))
        .await
}

async fn app() -> TestApp {
    let app = TestApp::new().await;
    app.world("world", &["alice"]).await;
    app
}

/// The reply's own bytes: a parser would round the numbers that this is about.
#[tokio::test]
async fn numbers_keep_every_digit() {
    let payload = r#"{"id":12345678901234567890123,"exact":0.1000000000000000055,"big":1e300,"s":"\u4f60 \" \\ badword"}"#;
    let parsed: Payload = serde_json::from_str(payload).unwrap();
    let masked = parsed
        .rewrite(|piece| Ok::<_, ()>(piece.text.contains("badword").then(|| "masked".to_owned())))
        .unwrap();
    let expected = r#"{"id":12345678901234567890123,"exact":0.1000000000000000055,"big":1e300,"s":"masked"}"#;
    assert_eq!(masked.as_str(), expected);
}

#[tokio::test]
async fn every_string_a_player_wrote_is_filtered() {
    let app = app().await;
    let data =
        send(&app, r#"{"a":"BADWORD","b":["x",{"c":"\u0062adword \ud83d\ude00"}],"n":1}"#).await.data();
    assert_eq!(
        data["message"]["payload"],
        json!({ "a": "*******", "b": ["x", { "c": "******* 😀" }], "n": 1 })
    );
    assert_eq!(data["message"]["masked"], true);
    let reply = send(&app, r#"{"badword":1}"#).await;
    assert_eq!((reply.status.as_u16(), reply.code().as_str()), (422, "rejected"), "a key can't be masked");
    // Made safe to show, they would be the same key twice.
    for key in [r"go\u200b\u200bld", r"go\u202eld", "<size=50>"] {
        let reply = send(&app, &format!(r#"{{"gold":1,"{key}":999}}"#)).await;
        assert_eq!((reply.status.as_u16(), reply.code().as_str()), (422, "rejected"), "{key}");
    }
    assert_eq!(send(&app, r#"{"x":"give me your password"}"#).await.code(), "rejected");
    assert_eq!(app.player("alice").history("world").await.len(), 1);
}

#[tokio::test]
async fn what_a_payload_may_not_be() {
    let app = app().await;
    let deep = |levels: usize| format!("{}1{}", r#"{"a":"#.repeat(levels), "}".repeat(levels));
    let wide = |bytes: usize| format!(r#"{{"a":"{}"}}"#, "x".repeat(bytes - 8));
    for (payload, expected) in [
        ("null".to_owned(), 200),
        ("{}".to_owned(), 200),
        (deep(16), 200),
        (wide(8 * 1024), 200),
        (wide(8 * 1024 + 1), 400),
        (deep(17), 400),
        (deep(1_000), 400),
        ("[1]".to_owned(), 400),
        ("\"text\"".to_owned(), 400),
        ("7".to_owned(), 400),
        (r#"{"a":1,"a":2}"#.to_owned(), 400),
        (r#"{"b":{"a":1,"\u0061":2}}"#.to_owned(), 400),
        (r#"{"a":"\u0000"}"#.to_owned(), 400),
        (r#"{"\u0000":1}"#.to_owned(), 400),
        (r#"{"a":"\ud800"}"#.to_owned(), 400),
        (r#"{"a":1e999}"#.to_owned(), 400),
        (r#"{"a":NaN}"#.to_owned(), 400),
        (r#"{"a":01}"#.to_owned(), 400),
        (r#"{"a":1,}"#.to_owned(), 400),
    ] {
        let reply = send(&app, &payload).await;
        assert_eq!(reply.status, expected, "{} {}", &payload[..payload.len().min(80)], reply.body);
        if expected == 400 {
            assert_eq!(reply.code(), "invalid_input");
        }
    }
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        "[^\u{0}]{0,12}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map("[^\u{0}]{0,6}", inner, 0..4).prop_map(Value::from_iter),
        ]
    })
}

proptest! {
    /// Replacing nothing changes no byte; replacing every value changes all values and nothing else.
    #[test]
    fn rewriting_touches_strings_alone(inner in any_json()) {
        let json = json!({ "k": inner }).to_string();
        let payload: Payload = serde_json::from_str(&json).unwrap();
        let same = payload.rewrite(|_| Ok::<_, ()>(None)).unwrap();
        prop_assert_eq!(same.as_str(), &json);
        let marked = payload.rewrite(|piece| Ok::<_, ()>((!piece.is_key).then(|| "\"\\x".to_owned()))).unwrap();
        prop_assert_eq!(serde_json::from_str::<Value>(marked.as_str()).unwrap(), mark(&json!({ "k": inner })));
    }
}

fn mark(value: &Value) -> Value {
    match value {
        Value::String(_) => json!("\"\\x"),
        Value::Array(list) => list.iter().map(mark).collect(),
        Value::Object(map) => map.iter().map(|(key, value)| (key.clone(), mark(value))).collect(),
        other => other.clone(),
    }
}

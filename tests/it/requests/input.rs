//! Bad input of every kind: the documented code, never a 5xx, and nothing lost or stored.

use bytes::Bytes;
use guildhall::api::action::{Action, ActionEntry, Route};
use guildhall::api::caller::Anyone;
use guildhall::api::router::Router;
use guildhall::app::App;
use http::Request;
use http_body_util::Full;
use proptest::prelude::*;
use serde_json::json;

use crate::help::TestApp;

async fn app() -> TestApp {
    let app = TestApp::new().await;
    app.world("world", &["alice"]).await;
    app
}

#[tokio::test]
async fn bodies_that_are_no_send() {
    let app = app().await;
    let alice = app.player("alice");
    let long = format!(r#"{{"channel":"world","text":"{}"}}"#, "a".repeat(2_001));
    let deep = format!(r#"{{"channel":"world","text":{}1{}}}"#, "[".repeat(7_000), "]".repeat(7_000));
    let many = format!(
        r#"{{"channel":"world","text":"x","mentions":{}}}"#,
        json!((0..21).map(|n| n.to_string()).collect::<Vec<_>>())
    );
    let table: &[&[u8]] = &[
        b"{",
        b"[]",
        b"null",
        b"1",
        b"\"text\"",
        b"{}}",
        b"{} {}",
        b"not json",
        br#"{"channel":"world"}"#,
        br#"{"text":"x"}"#,
        br#"{"channel":"world","text":""}"#,
        br#"{"channel":"world","text":null}"#,
        br#"{"channel":"world","text":7}"#,
        br#"{"channel":"world","text":["x"]}"#,
        br#"{"channel":"world","text":"a\u0000b"}"#,
        b"{\"channel\":\"world\",\"text\":\"a\0b\"}",
        br#"{"channel":"world","text":"\ud800"}"#,
        br#"{"channel":"world","text":"x","text":"y"}"#,
        br#"{"channel":"world","text":"x","extra":1}"#,
        br#"{"channel":"","text":"x"}"#,
        br#"{"channel":"a b","text":"x"}"#,
        br#"{"channel":"../x","text":"x"}"#,
        br#"{"channel":7,"text":"x"}"#,
        br#"{"channel":"world","text":"x","nonce":""}"#,
        br#"{"channel":"world","text":"x","nonce":7}"#,
        br#"{"channel":"world","text":"x","mentions":"bob"}"#,
        br#"{"channel":"world","text":"x","mentions":[7]}"#,
        b"{\"channel\":\"world\",\"text\":\"\xff\xfe\"}",
        b"\xef\xbb\xbf{\"channel\":\"world\",\"text\":\"x\"}",
        long.as_bytes(),
        deep.as_bytes(),
        many.as_bytes(),
    ];
    for body in table {
        let reply = alice.post_bytes("/message/send", Bytes::copy_from_slice(body)).await;
        let shown = String::from_utf8_lossy(&body[..body.len().min(60)]).into_owned();
        assert_eq!((reply.status.as_u16(), reply.code().as_str()), (400, "invalid_input"), "{shown}");
    }
    assert_eq!(app.player("alice").history("world").await.len(), 0);
}

#[tokio::test]
async fn a_fault_names_its_field() {
    let app = app().await;
    let message = |reply: crate::help::Reply| reply.body["error"]["message"].as_str().unwrap().to_owned();
    let alice = app.player("alice");
    let body = json!({ "channel": "world", "text": "x", "mentions": ["bob", "b o b"] });
    assert!(
        message(alice.post("/message/send", body).await).starts_with("body: mentions[1]: a player id is")
    );
    assert!(message(alice.get("/message/list?channel=world&limit=x").await).starts_with("query: limit: "));
}

#[tokio::test]
async fn queries_that_are_no_page() {
    let app = app().await;
    let alice = app.player("alice");
    for query in [
        "",
        "?channel=",
        "?channel=world&limit=0",
        "?channel=world&limit=101",
        "?channel=world&limit=-1",
        "?channel=world&limit=1.5",
        "?channel=world&limit=",
        "?channel=world&limit=99999999999999999999",
        "?channel=world&after=-1",
        "?channel=world&before=0",
        "?channel=world&before=x",
        "?channel=world&before=9007199254740992",
        "?channel=world&after=1&before=5",
        "?channel=world&channel=world",
        "?channel=world&unknown=1",
        "?channel=%00",
        "?channel=%ff%fe",
        "?channel=a%20b",
        "?channel[]=world",
        "?CHANNEL=world",
    ] {
        let reply = alice.get(&format!("/message/list{query}")).await;
        assert_eq!((reply.status.as_u16(), reply.code().as_str()), (400, "invalid_input"), "{query}");
    }
    let long = alice.get(&format!("/message/list?channel={}", "a".repeat(9_000))).await;
    assert_eq!(long.code(), "invalid_input");
}

#[tokio::test]
async fn unknown_paths() {
    let app = app().await;
    for path in [
        "/message",
        "/message/",
        "/message/send/",
        "/message//send",
        "//message/send",
        "/Message/Send",
        "/message/send/more",
        "/message/%73end",
        "/message/send%00",
        "/controllers/message.rs",
        "/../etc/passwd",
        "/message/..%2fsend",
        "/health",
        "/favicon.ico",
    ] {
        let reply = app.player("alice").get(path).await;
        assert_eq!((reply.status.as_u16(), reply.code().as_str()), (404, "not_found"), "{path}");
    }
}

#[tokio::test]
async fn content_types() {
    let app = app().await;
    let body = json!({ "channel": "world", "text": "x" }).to_string();
    for (content_type, expected) in [
        (Some("application/json"), 200),
        (Some("application/json; charset=utf-8"), 200),
        (Some("Application/JSON"), 200),
        (Some("text/plain"), 415),
        (Some("application/x-www-form-urlencoded"), 415),
        (Some("application/jsonp"), 415),
        (Some(""), 415),
        (None, 415),
    ] {
        let mut request = Request::post("/message/send")
            .header("authorization", format!("Bearer {}", app.player("alice").token));
        if let Some(content_type) = content_type {
            request = request.header("content-type", content_type);
        }
        let reply = app.call(request.body(Full::from(body.clone())).unwrap()).await;
        assert_eq!(reply.status, expected, "{content_type:?}");
        if expected == 415 {
            assert_eq!(reply.code(), "unsupported_media_type");
        }
    }
}

#[tokio::test]
async fn large_bodies() {
    let app = app().await;
    let alice = app.player("alice");
    let padded = |bytes: usize| {
        let json = json!({ "channel": "world", "text": "x" }).to_string();
        format!("{json}{}", " ".repeat(bytes - json.len()))
    };
    assert_eq!(alice.post_bytes("/message/send", padded(16 * 1024)).await.status, 200);
    for bytes in [16 * 1024 + 1, 100_000, 5_000_000] {
        let reply = alice.post_bytes("/message/send", padded(bytes)).await;
        assert_eq!((reply.status.as_u16(), reply.code().as_str()), (413, "too_large"), "{bytes}");
    }
}

#[tokio::test]
async fn channels_that_are_no_channel() {
    let app = app().await;
    let many: Vec<String> = (0..1_001).map(|n| format!("{n}")).collect();
    for input in [
        json!({ "id": "x" }),
        json!({ "id": "x", "kind": "tavern" }),
        json!({ "id": "x", "kind": "Guild" }),
        json!({ "id": "a".repeat(65), "kind": "guild" }),
        json!({ "id": "x", "kind": "guild", "name": "" }),
        json!({ "id": "x", "kind": "guild", "name": "a\u{0}" }),
        json!({ "id": "x", "kind": "guild", "members": many }),
        json!({ "id": "x", "kind": "guild", "settings": { "slow_mode_s": -1 } }),
        json!({ "id": "x", "kind": "guild", "settings": { "slow_mode_s": 86_401 } }),
        json!({ "id": "x", "kind": "guild", "settings": { "min_level": 1.5 } }),
        json!({ "id": "x", "kind": "guild", "settings": { "open": "yes" } }),
        json!({ "id": "x", "kind": "guild", "settings": { "unknown": true } }),
        json!({ "id": "x", "kind": "direct", "members": ["a", "b"], "settings": { "open": true } }),
    ] {
        let reply = app.server().post("/channel/create", input.clone()).await;
        assert_eq!((reply.status.as_u16(), reply.code().as_str()), (400, "invalid_input"), "{input}");
    }
}

#[tokio::test]
async fn request_ids_join_the_reply_and_the_log() {
    let app = app().await;
    let get = |headers: &[(&str, &str)]| {
        let mut request = Request::get("/health/live");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        app.call(request.body(Full::default()).unwrap())
    };
    let own = get(&[]).await;
    assert_eq!(own.headers["x-request-id"], own.body["request_id"].as_str().unwrap());
    assert!(own.headers["x-request-id"].len() >= 16);
    assert_eq!(own.headers["x-guildhall-version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(get(&[("x-request-id", "abc-123")]).await.body["request_id"], "abc-123");
    let gateway = get(&[("x-request-id", "client"), ("x-scf-request-id", "gateway")]).await;
    assert_eq!(gateway.body["request_id"], "gateway");
    for bad in ["", "a b", "<script>", &"a".repeat(129)] {
        assert_ne!(get(&[("x-request-id", bad)]).await.body["request_id"], bad);
    }
}

#[tokio::test]
async fn the_base_path_is_removed_at_the_edge_of_a_segment() {
    let app = TestApp::with(&[("GUILDHALL_BASE_PATH", "/live")]).await;
    for (path, expected) in [
        ("/live/health/live", 200),
        ("/health/live", 200),
        ("/livehealth/live", 404),
        ("/live", 404),
        ("/live/live/health/live", 404),
    ] {
        assert_eq!(app.nobody().get(path).await.status, expected, "{path}");
    }
}

/// Fields have names: their order means nothing.
#[tokio::test]
async fn a_list_is_no_input() {
    let app = app().await;
    for body in [r#"["world","hi"]"#, " [\"world\",\"hi\"]", "[]", "\"world\"", "null", "7"] {
        let reply = app.player("alice").post_bytes("/message/send", body.as_bytes().to_vec()).await;
        assert_eq!((reply.status.as_u16(), reply.code().as_str()), (400, "invalid_input"), "{body}");
    }
    assert!(app.player("alice").history("world").await.is_empty());
}

/// An action with a fault in it.
#[derive(Debug, serde::Deserialize, schemars::JsonSchema)]
struct Panics {}

impl Action for Panics {
    const ROUTE: Route = Route::get("/test/panics");
    type Caller = Anyone;
    type Reply = ();
    async fn run(self, _: &App, _: Anyone) -> guildhall::base::error::Result<()> {
        panic!("a secret detail")
    }
}

const FAULTY: &[ActionEntry] = &[ActionEntry::of::<Panics>()];

#[tokio::test]
async fn a_panic_is_a_500_for_that_request_alone_and_tells_nothing() {
    let app = app().await;
    let router = Router::new(FAULTY, std::sync::Arc::clone(&app.app));
    for _ in 0..3 {
        let request = Request::get("/test/panics").body(Full::<Bytes>::default()).unwrap();
        let (parts, body) = router.handle(request).await.into_parts();
        let body = http_body_util::BodyExt::collect(body).await.unwrap().to_bytes();
        let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!((parts.status.as_u16(), &body["error"]["code"]), (500, &json!("internal")));
        assert!(!body.to_string().contains("secret"), "{body}");
    }
    assert_eq!(app.player("alice").say("world", "still here").await["seq"], 1);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    /// Whatever the bytes, the answer is one of ours, and says that it was the caller.
    #[test]
    fn no_body_breaks_it(body in prop::collection::vec(any::<u8>(), 0..300), query in "\\PC{0,40}") {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let app = app().await;
            let reply = app.player("alice").post_bytes("/message/send", body).await;
            assert!(reply.status.is_client_error(), "{}", reply.body);
            if let Ok(uri) = format!("/message/list?{query}").parse::<http::Uri>() {
                let reply = app.player("alice").get(&uri.to_string()).await;
                assert!(reply.status.is_client_error(), "{}", reply.body);
            }
        });
    }
}

/// Tencent's platform sends a role's credentials with every request: they reach no action and no log, and its id is ours.
#[tokio::test]
async fn what_the_platform_sends_along_goes_no_further_than_its_id() {
    let app = app().await;
    let request = Request::builder()
        .uri("/meta/version")
        .header("x-scf-request-id", "scf-1")
        .header("x-scf-secret-key", "hunter2")
        .header("x-scf-session-token", "hunter2");
    let reply = app.call(request.body(Full::default()).unwrap()).await;
    assert_eq!(reply.body["request_id"], "scf-1");
}

/// Lua and some writers of JSON know one kind of number alone.
#[tokio::test]
async fn whole_numbers_may_be_written_with_a_point() {
    let app = TestApp::new().await;
    app.world("world", &["alice"]).await;
    let alice = app.player("alice");
    alice.say("world", "hello").await;
    let sync = r#"{ "channels": [{ "channel": "world", "after": 0.0 }], "limit": 5.0 }"#;
    let synced = alice.post_bytes("/message/sync", sync).await.data();
    assert_eq!(synced["channels"][0]["messages"][0]["seq"], 1);
    alice.post_bytes("/channel/read", r#"{ "channel": "world", "seq": 1.0 }"#).await.data();
    for wrong in ["1.5", "1e300", "-1.0", "9007199254740993.0", "\"1\"", "true", "null"] {
        let body = format!(r#"{{ "channel": "world", "seq": {wrong} }}"#);
        assert_eq!(alice.post_bytes("/channel/read", body).await.code(), "invalid_input", "{wrong}");
    }
}

/// A guild's whole list of members in one call; players' bodies stay small.
#[tokio::test]
async fn the_games_server_may_send_long_lists() {
    let app = TestApp::new().await;
    let members: Vec<String> = (0..1_000).map(|n| format!("player-{n:0>29}")).collect();
    let input = json!({ "id": "guild", "kind": "guild", "members": members });
    assert!(input.to_string().len() > 32 * 1024);
    assert_eq!(app.server().post("/channel/create", input.clone()).await.data()["members"], 1_000);
    let refused = app.player("alice").post("/channel/create", input).await;
    assert_eq!(
        (refused.code().as_str(), &refused.body["error"]["details"]["limit"]),
        ("too_large", &json!(16_384))
    );
    let huge = json!({ "id": "x", "kind": "guild", "name": "y".repeat(300_000) });
    let refused = app.server().post("/channel/create", huge).await;
    assert_eq!(
        (refused.code().as_str(), &refused.body["error"]["details"]["limit"]),
        ("too_large", &json!(262_144))
    );
}

//! What the game says to many: in their language, to whom it concerns, once each time, and no more once it is cancelled.

use guildhall::access::token::{Claims, mint};
use guildhall::chat::identity::Scope;
use guildhall::chat::values::{Language, Level, Name};
use guildhall::config::Secret;
use serde_json::{Value, json};

use crate::help::process::{Process, server_token};
use crate::help::socket_client::{Socket, call};
use crate::help::{SECRET, TestApp, claims};

fn token(id: &str, zone: Option<&str>, level: i64, lang: Option<&str>) -> String {
    let claims = Claims {
        zone: zone.map(|zone| Name::parse(zone).unwrap()),
        level: Some(Level::try_from(level).unwrap()),
        lang: lang.map(|lang| Language::parse(lang).unwrap()),
        ..claims(id, Scope::Player)
    };
    mint(&Secret::new(SECRET).unwrap(), &claims).unwrap()
}

async fn create(app: &TestApp, audience: Value, when: Value) -> Value {
    let input = json!({ "texts": { "en": "hello", "zh-CN": "你好" }, "audience": audience, "when": when });
    app.server().post("/announcement/create", input).await.data()["announcement"].clone()
}

async fn active(app: &TestApp, token: &str, query: &str) -> Vec<Value> {
    let data = app.with_token(token).get(&format!("/announcement/active{query}")).await.data();
    data["announcements"].as_array().unwrap().clone()
}

#[tokio::test]
async fn players_are_shown_what_concerns_them_in_their_language() {
    let app = TestApp::new().await;
    let made =
        create(&app, json!({ "zone": "eu-1", "min_level": 10, "max_level": 20 }), json!({ "now": true }))
            .await;
    app.run_tasks().await;
    let table = [
        (Some("eu-1"), 10, None, "", Some(("en", "hello"))),
        (Some("eu-1"), 20, Some("zh-CN"), "", Some(("zh-CN", "你好"))),
        (Some("eu-1"), 15, Some("zh-TW"), "", Some(("zh-CN", "你好"))),
        (Some("eu-1"), 15, None, "?language=zh", Some(("zh-CN", "你好"))),
        (Some("eu-1"), 15, Some("en"), "?language=zh", Some(("en", "hello"))),
        (Some("eu-1"), 15, None, "?language=fr", Some(("en", "hello"))),
        (Some("eu-1"), 9, None, "", None),
        (Some("eu-1"), 21, None, "", None),
        (Some("eu-2"), 15, None, "", None),
        (None, 15, None, "", None),
    ];
    for (zone, level, lang, query, expected) in table {
        let shown = active(&app, &token("alice", zone, level, lang), query).await;
        let read =
            shown.first().map(|one| (one["language"].as_str().unwrap(), one["text"].as_str().unwrap()));
        assert_eq!(read, expected, "{zone:?} {level} {lang:?} {query}");
    }
    let listed = app.moderator("mod").get("/announcement/list").await.data()["announcements"][0].clone();
    assert_eq!(
        (&listed["id"], &listed["state"], &listed["next_at"]),
        (&made["id"], &json!("done"), &Value::Null)
    );
    let eu = token("alice", Some("eu-1"), 15, None);
    app.clock.advance(604_700_000);
    assert_eq!(active(&app, &eu, "").await.len(), 1);
    app.clock.advance(200_000);
    assert_eq!(active(&app, &eu, "").await.len(), 0, "a week is over");
}

#[tokio::test]
async fn into_channels_it_is_a_system_message_once() {
    let app = TestApp::new().await;
    for channel in ["v", "w"] {
        app.world(channel, &["alice"]).await;
    }
    app.guild("g", &["alice"]).await;
    create(&app, json!({ "channel": "g" }), json!({ "now": true })).await;
    create(&app, json!({ "kind": "world" }), json!({ "now": true })).await;
    for _ in 0..3 {
        app.run_tasks().await;
    }
    for channel in ["g", "v", "w"] {
        let history = app.player("alice").history(channel).await;
        assert_eq!(history.len(), 1, "{channel}");
        assert_eq!((&history[0]["kind"], &history[0]["text"]), (&json!("system"), &json!("hello")));
        assert_eq!(history[0]["payload"]["texts"], json!({ "en": "hello", "zh-CN": "你好" }));
    }
    let listed = app.server().get("/announcement/list").await.data()["announcements"].clone();
    assert_eq!((&listed[0]["channels"], &listed[1]["channels"]), (&json!(2), &json!(1)));
}

#[tokio::test]
async fn again_and_again_it_is_said_each_time_and_after_cancelling_no_more() {
    let app = TestApp::new().await;
    app.guild("g", &["alice"]).await;
    let when = json!({ "cron": "0 * * * *", "zone": "Asia/Shanghai" });
    let made = create(&app, json!({ "channel": "g" }), when).await;
    for _ in 0..3 {
        // A second into an hour, so that none begins while the tasks run.
        app.clock.advance(3_601_000 - app.clock.now() % 3_600_000);
        app.run_tasks().await;
    }
    assert_eq!(app.player("alice").history("g").await.len(), 3);
    let all = create(&app, json!({ "everybody": true }), json!({ "now": true })).await;
    app.run_tasks().await;
    let alice = token("alice", None, 1, None);
    assert_eq!(active(&app, &alice, "").await.len(), 1);
    for id in [&made["id"], &all["id"]] {
        app.moderator("mod").post("/announcement/cancel", json!({ "id": id })).await.data();
    }
    app.clock.advance(7_200_000);
    app.run_tasks().await;
    assert_eq!((app.player("alice").history("g").await.len(), active(&app, &alice, "").await.len()), (3, 0));
}

/// Hundreds of channels, no faster than the setting says; somebody cancels it in the middle.
#[tokio::test(flavor = "multi_thread")]
async fn one_that_is_cancelled_in_the_middle_is_said_no_further() {
    const CHANNELS: usize = 150;
    let app = TestApp::with(&[("GUILDHALL_ANNOUNCE_RATE", "100")]).await;
    for n in 0..CHANNELS {
        app.world(&format!("w{n}"), &["alice"]).await;
    }
    let made = create(&app, json!({ "kind": "world" }), json!({ "now": true })).await;
    let said = async || {
        app.server().get("/announcement/list").await.data()["announcements"][0]["channels"].as_i64().unwrap()
    };
    let cancel = async {
        while said().await == 0 {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        app.server().post("/announcement/cancel", json!({ "id": made["id"] })).await.data()
    };
    let (_, cancelled) = tokio::join!(app.run_tasks(), cancel);
    assert_eq!(cancelled["announcement"]["state"], "cancelled");
    app.run_tasks().await;
    let mut heard = 0;
    for n in 0..CHANNELS {
        heard += app.player("alice").history(&format!("w{n}")).await.len();
    }
    assert!((50..CHANNELS).contains(&heard), "{heard}");
}

#[tokio::test]
async fn a_preview_says_when_where_and_in_which_language() {
    let app = TestApp::new().await;
    for channel in ["v", "w"] {
        app.world(channel, &["alice"]).await;
    }
    let input = json!({
        "texts": { "zh-CN": "你好", "en": "hello" }, "audience": { "kind": "world" },
        "when": { "cron": "0 20 * * 5", "zone": "Asia/Shanghai" },
    });
    let preview = app.server().post("/announcement/preview", input).await.data();
    assert_eq!((&preview["channels"], &preview["fallback"]), (&json!(2), &json!("en")));
    assert_eq!(preview["languages"], json!(["en", "zh-CN"]));
    let next: Vec<i64> = preview["next"].as_array().unwrap().iter().map(|at| at.as_i64().unwrap()).collect();
    assert!(next.len() == 5 && next.windows(2).all(|pair| pair[1] - pair[0] == 7 * 86_400_000), "{next:?}");
    assert_eq!(
        app.server().get("/announcement/list").await.data()["announcements"],
        json!([]),
        "nothing is made"
    );
    for (audience, code) in [
        (json!({}), "invalid_input"),
        (json!({ "everybody": false }), "invalid_input"),
        (json!({ "everybody": true, "zone": "eu" }), "invalid_input"),
        (json!({ "channel": "w", "kind": "world" }), "invalid_input"),
        (json!({ "kind": "direct" }), "invalid_input"),
        (json!({ "channel": "nothing" }), "not_found"),
        (json!({ "players": ["alice"] }), "invalid_input"),
    ] {
        let input = json!({ "texts": { "en": "x" }, "audience": audience, "when": { "now": true } });
        assert_eq!(app.server().post("/announcement/create", input).await.code(), code, "{audience}");
    }
    for texts in
        [json!({}), json!({ "english": "" }), json!({ "e": "x" }), json!({ "en_US": "x" }), json!("x")]
    {
        let input = json!({ "texts": texts, "audience": { "everybody": true }, "when": { "now": true } });
        assert_eq!(app.server().post("/announcement/create", input).await.code(), "invalid_input", "{texts}");
    }
}

/// On sockets, of those whom it concerns.
#[tokio::test(flavor = "multi_thread")]
async fn open_sockets_of_those_whom_it_concerns_have_it_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let process = Process::start(&folder.path().join("data"), &[]);
    let mut here = Socket::with_token(&process, &token("alice", Some("eu-1"), 1, Some("zh-CN"))).await;
    let mut there = Socket::with_token(&process, &token("bob", Some("eu-2"), 1, None)).await;
    for (zone, text) in [("eu-1", "for one"), ("eu-2", "for two")] {
        let input = json!({ "texts": { "en": text, "zh-CN": "你好" }, "audience": { "zone": zone }, "when": { "now": true } });
        call(&process, &server_token(), "/announcement/create", input).await;
    }
    let pushed = here.push_of("announcement").await["announcement"].clone();
    assert_eq!((&pushed["text"], &pushed["language"]), (&json!("你好"), &json!("zh-CN")));
    let pushed = there.push_of("announcement").await["announcement"].clone();
    assert_eq!(pushed["text"], "for two");
}

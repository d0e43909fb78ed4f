//! Sanctions: who may not speak or read, from when, where, until when, and who is told; by HTTP.

use serde_json::{Value, json};

use crate::help::process::eventually;
use crate::help::{Reply, TestApp, numbered_texts};

async fn give(app: &TestApp, input: Value) -> Value {
    app.moderator("mod").post("/sanction/give", input).await.data()["sanction"].clone()
}

async fn speak(app: &TestApp, player: &str, channel: &str) -> Reply {
    app.player(player).post("/message/send", json!({ "channel": channel, "text": "hello" })).await
}

fn mute(place: &str) -> Value {
    json!({ "player": "bob", "kind": "mute", "where": place, "seconds": 60, "reason": "insults" })
}

#[tokio::test]
async fn who_is_muted_reads_and_does_not_speak_until_the_time_is_over() {
    let app = TestApp::new().await;
    app.world("w", &["bob", "eve"]).await;
    let sanction = give(&app, mute("everywhere")).await;
    assert_eq!(sanction["player"], "bob");
    assert_eq!(sanction["until"].as_i64().unwrap() - sanction["given_at"].as_i64().unwrap(), 60_000);
    let refused = speak(&app, "bob", "w").await;
    assert_eq!((refused.code().as_str(), refused.status.as_u16()), ("muted", 403));
    let details = json!({ "until": sanction["until"], "reason": "insults", "where": "everywhere" });
    assert_eq!(refused.body["error"]["details"], details);
    speak(&app, "eve", "w").await.data();
    assert_eq!(app.player("bob").get("/message/list?channel=w").await.data()["messages"][0]["seq"], 1);
    let lifted =
        app.moderator("mod").post("/sanction/lift", json!({ "id": sanction["id"], "reason": "sorry" })).await;
    assert_eq!(lifted.data()["sanction"]["lift_reason"], "sorry");
    speak(&app, "bob", "w").await.data();
}

#[tokio::test]
async fn a_mute_ends_by_itself() {
    let app = TestApp::new().await;
    app.world("w", &["bob"]).await;
    give(
        &app,
        json!({ "player": "bob", "kind": "mute", "where": "everywhere", "seconds": 5, "reason": "r" }),
    )
    .await;
    assert_eq!(speak(&app, "bob", "w").await.code(), "muted");
    let spoken =
        eventually("its end", async || Some(speak(&app, "bob", "w").await).filter(|said| said.status == 200));
    spoken.await.data();
}

#[tokio::test]
async fn a_mute_holds_where_it_was_given_and_never_in_the_games_own_channels() {
    let app = TestApp::new().await;
    app.world("w", &["bob"]).await;
    app.world("v", &["bob"]).await;
    app.guild("g", &["bob"]).await;
    app.channel(json!({ "id": "help", "kind": "support", "members": ["bob"] })).await;
    for (place, refused) in [
        ("channel:w", [true, false, false, false]),
        ("kind:world", [true, true, false, false]),
        ("everywhere", [true, true, true, false]),
    ] {
        let sanction = give(&app, mute(place)).await;
        for (channel, refused) in ["w", "v", "g", "help"].into_iter().zip(refused) {
            let reply = speak(&app, "bob", channel).await;
            assert_eq!(reply.status.as_u16(), if refused { 403 } else { 200 }, "{place} {channel}");
        }
        app.moderator("mod")
            .post("/sanction/lift", json!({ "id": sanction["id"], "reason": "r" }))
            .await
            .data();
    }
}

#[tokio::test]
async fn who_is_banned_neither_speaks_nor_reads() {
    let app = TestApp::new().await;
    app.world("w", &["bob", "eve"]).await;
    app.guild("g", &["bob", "eve"]).await;
    speak(&app, "eve", "w").await.data();
    speak(&app, "eve", "g").await.data();
    let ban = |place: &str| json!({ "player": "bob", "kind": "ban", "where": place, "reason": "cheating" });
    let sanction = give(&app, ban("channel:w")).await;
    let bob = app.player("bob");
    let details = json!({ "reason": "banned", "until": null, "why": "cheating" });
    for reply in [
        speak(&app, "bob", "w").await,
        bob.get("/message/list?channel=w").await,
        bob.get("/channel/info?channel=w").await,
        bob.get("/channel/members?channel=w").await,
        bob.post("/channel/join", json!({ "channel": "w" })).await,
        bob.post("/channel/read", json!({ "channel": "w", "seq": 1 })).await,
    ] {
        assert_eq!((reply.code().as_str(), &reply.body["error"]["details"]), ("forbidden", &details));
    }
    let sync = json!({ "channels": [{ "channel": "w", "after": 0 }, { "channel": "g", "after": 0 }] });
    let synced = bob.post("/message/sync", sync.clone()).await.data();
    assert_eq!(
        (&synced["channels"][0]["error"], &synced["channels"][0]["messages"]),
        (&json!("forbidden"), &json!([]))
    );
    assert_eq!(synced["channels"][1]["messages"][0]["text"], "hello");
    let inbox = bob.get("/channel/inbox").await.data();
    let ids: Vec<&Value> =
        inbox["channels"].as_array().unwrap().iter().map(|entry| &entry["channel"]["id"]).collect();
    assert_eq!(ids, ["g"]);
    give(&app, ban("everywhere")).await;
    assert_eq!(bob.get("/channel/inbox").await.data()["channels"], json!([]));
    assert_eq!(bob.post("/channel/direct", json!({ "player": "eve" })).await.code(), "forbidden");
    assert_eq!(bob.post("/message/sync", sync).await.data()["channels"][1]["error"], "forbidden");
    // Their own sanctions stay theirs to read.
    let own = bob.get("/player/sanctions").await.data();
    assert_eq!(own["sanctions"].as_array().unwrap().len(), 2);
    assert_eq!((&own["sanctions"][1]["id"], &own["sanctions"][1]["active"]), (&sanction["id"], &json!(true)));
    assert!(own["sanctions"][0].get("note").is_none() && own["sanctions"][0].get("given_by").is_none());
    // Of a closed channel that was not theirs they learn nothing.
    app.guild("h", &["eve"]).await;
    assert_eq!(bob.get("/message/list?channel=h").await.code(), "not_found");
    assert_eq!(speak(&app, "bob", "h").await.code(), "not_found");
}

#[tokio::test]
async fn staff_is_never_kept_from_anything() {
    let app = TestApp::new().await;
    app.world("w", &["bob"]).await;
    for kind in ["mute", "ban"] {
        give(&app, json!({ "player": "mod", "kind": kind, "where": "everywhere", "reason": "r" })).await;
    }
    let moderator = app.moderator("mod");
    moderator.post("/message/send", json!({ "channel": "w", "text": "hello" })).await.data();
    moderator.get("/message/list?channel=w").await.data();
}

#[tokio::test]
async fn a_player_is_told_in_a_channel_of_their_own() {
    let app = TestApp::new().await;
    app.world("w", &["bob"]).await;
    let warned = give(
        &app,
        json!({ "player": "bob", "kind": "warn", "where": "everywhere", "reason": "mind your words" }),
    )
    .await;
    app.run_tasks().await;
    app.moderator("mod")
        .post("/sanction/lift", json!({ "id": warned["id"], "reason": "it was another" }))
        .await
        .data();
    app.run_tasks().await;
    let inbox = app.player("bob").get("/channel/inbox").await.data();
    let channel = &inbox["channels"][0]["channel"];
    assert_eq!((&channel["kind"], &channel["members"]), (&json!("system"), &json!(1)));
    let id = channel["id"].as_str().unwrap();
    assert!(id.starts_with("system:") && id.len() == 23, "{id}");
    let page = app.player("bob").get(&format!("/message/list?channel={id}")).await.data();
    let texts = numbered_texts(&page);
    assert!(texts[0].1.contains("mind your words") && texts[1].1.contains("it was another"), "{texts:?}");
    let first = &page["messages"][0];
    assert_eq!((&first["kind"], &first["payload"]["sanction"]), (&json!("system"), &warned["id"]));
    // Nobody else can make such a channel, or read this one.
    assert_eq!(app.player("eve").get(&format!("/message/list?channel={id}")).await.code(), "not_found");
    let made = app.server().post("/channel/create", json!({ "id": "system:0", "kind": "system" })).await;
    assert_eq!(made.code(), "invalid_input");
}

#[tokio::test]
async fn a_nonce_gives_one_sanction_and_one_row_of_the_audit() {
    let app = TestApp::new().await;
    let input = json!({ "player": "bob", "kind": "mute", "where": "everywhere", "seconds": 60, "reason": "r", "nonce": "1" });
    let calls = (0..8).map(|_| give(&app, input.clone()));
    let given = futures_util::future::join_all(calls).await;
    assert!(given.iter().all(|one| *one == given[0]), "{given:?}");
    let mut other = input;
    other["reason"] = json!("another");
    assert_eq!(app.moderator("mod").post("/sanction/give", other).await.code(), "conflict");
    let listed = app.moderator("mod").get("/sanction/list?player=bob&state=all").await.data();
    assert_eq!(listed["sanctions"].as_array().unwrap().len(), 1);
    let audit = app.moderator("mod").get("/audit/list?player=bob").await.data();
    assert_eq!(audit["entries"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn sanctions_are_listed_by_player_by_place_and_by_page() {
    let app = TestApp::new().await;
    let moderator = app.moderator("mod");
    for n in 0..5 {
        give(&app, json!({ "player": format!("p{}", n % 2), "kind": "mute", "where": format!("channel:c{n}"), "reason": "r" })).await;
    }
    give(&app, json!({ "player": "p0", "kind": "warn", "where": "everywhere", "reason": "r" })).await;
    let count = async |query: &str| {
        let page = moderator.get(&format!("/sanction/list?{query}")).await.data();
        (page["sanctions"].as_array().unwrap().len(), page["more"].as_bool().unwrap())
    };
    assert_eq!(count("player=p0").await, (3, false));
    assert_eq!(count("player=p0&state=all").await, (4, false));
    assert_eq!(count("where=channel:c1").await, (1, false));
    assert_eq!(count("limit=2").await, (2, true));
    let first = moderator.get("/sanction/list?limit=3").await.data();
    let last = first["sanctions"][2]["id"].as_str().unwrap();
    assert_eq!(count(&format!("limit=3&after={last}")).await, (2, false));
}

#[tokio::test]
async fn wrong_input_is_told_and_players_may_not() {
    let app = TestApp::new().await;
    let moderator = app.moderator("mod");
    for (field, value) in [
        ("kind", json!("hug")),
        ("where", json!("nowhere")),
        ("where", json!("kind:system")),
        ("where", json!("channel:")),
        ("seconds", json!(0)),
        ("seconds", json!(315_360_001)),
        ("reason", json!("")),
        ("reason", json!(null)),
        ("player", json!("two words")),
        ("unknown", json!(1)),
    ] {
        let mut input = mute("everywhere");
        input[field] = value;
        assert_eq!(moderator.post("/sanction/give", input).await.code(), "invalid_input", "{field}");
    }
    assert_eq!(app.player("bob").post("/sanction/give", mute("everywhere")).await.code(), "forbidden");
    let lift = json!({ "id": "none", "reason": "r" });
    assert_eq!(moderator.post("/sanction/lift", lift).await.code(), "not_found");
    assert_eq!(app.player("bob").get("/audit/list").await.code(), "forbidden");
}

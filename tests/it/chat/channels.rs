//! Channels: making, finding, joining and leaving them, and who may know of them.

use serde_json::{Value, json};

use crate::help::TestApp;

#[tokio::test]
async fn the_same_call_twice_is_the_same_channel_and_another_input_is_a_conflict() {
    let app = TestApp::new().await;
    let input = json!({ "id": "guild-1", "kind": "guild", "name": "Owls", "members": ["bob", "alice"], "settings": { "slow_mode_s": 3 } });
    let first = app.channel(input.clone()).await;
    assert_eq!(
        first["settings"],
        json!({ "open": false, "min_level": 0, "slow_mode_s": 3, "read_only": false })
    );
    assert_eq!(
        (&first["members"], &first["last_seq"], &first["first_seq"]),
        (&json!(2), &json!(0), &json!(1))
    );

    let mut shuffled = input.clone();
    shuffled["members"] = json!(["alice", "bob", "alice"]);
    assert_eq!(app.channel(shuffled).await, first, "members are a set");

    for (field, value) in [
        ("kind", json!("party")),
        ("name", json!("Hawks")),
        ("members", json!(["alice"])),
        ("settings", json!({})),
    ] {
        let mut other = input.clone();
        other[field] = value;
        let reply = app.server().post("/channel/create", other).await;
        assert_eq!((reply.status.as_u16(), reply.code().as_str()), (409, "conflict"), "{field}");
    }
}

#[tokio::test]
async fn the_same_call_still_finds_the_channel_after_its_members_changed() {
    let app = TestApp::new().await;
    let input = json!({ "id": "g", "kind": "guild", "members": ["alice"] });
    app.channel(input.clone()).await;
    app.server().post("/channel/members-add", json!({ "channel": "g", "members": ["bob"] })).await.data();
    assert_eq!(app.channel(input).await["members"], 2);
}

#[tokio::test]
async fn two_players_have_one_direct_channel_however_it_is_asked_for() {
    let app = TestApp::new().await;
    let (alice, bob) = (app.player("alice"), app.player("bob"));
    let (one, other) = tokio::join!(
        alice.post("/channel/direct", json!({ "player": "bob" })),
        bob.post("/channel/direct", json!({ "player": "alice" })),
    );
    let (one, other) = (one.data(), other.data());
    assert_eq!((&one["id"], &one["epoch"]), (&other["id"], &other["epoch"]));
    assert_eq!(one["kind"], "direct");
    let third = app.player("carol").post("/channel/direct", json!({ "player": "bob" })).await.data();
    assert_ne!(third["id"], one["id"]);

    let made_again = json!({ "id": "mine", "kind": "direct", "members": ["bob", "alice"] });
    assert_eq!(app.server().post("/channel/create", made_again).await.code(), "conflict");
    let reply = alice.post("/channel/direct", json!({ "player": "alice" })).await;
    assert_eq!(reply.code(), "invalid_input", "nobody talks to themselves");
}

#[tokio::test]
async fn a_direct_channel_that_the_server_made_is_the_one_that_players_find() {
    let app = TestApp::new().await;
    let made = app.channel(json!({ "id": "pair-7", "kind": "direct", "members": ["bob", "alice"] })).await;
    let found = app.player("alice").post("/channel/direct", json!({ "player": "bob" })).await.data();
    assert_eq!(found["id"], made["id"]);
    for members in [json!([]), json!(["a"]), json!(["a", "a"]), json!(["a", "b", "c"])] {
        let reply = app
            .server()
            .post("/channel/create", json!({ "id": "x", "kind": "direct", "members": members }))
            .await;
        assert_eq!(reply.code(), "invalid_input", "{members}");
    }
}

#[tokio::test]
async fn a_direct_channel_keeps_its_two() {
    let app = TestApp::new().await;
    let channel = app.player("alice").post("/channel/direct", json!({ "player": "bob" })).await.data();
    let id = channel["id"].as_str().unwrap();
    assert_eq!(
        app.player("alice").post("/channel/leave", json!({ "channel": id })).await.code(),
        "forbidden"
    );
    for path in ["/channel/members-add", "/channel/members-remove"] {
        assert_eq!(
            app.server().post(path, json!({ "channel": id, "members": ["bob"] })).await.code(),
            "conflict"
        );
    }
}

#[tokio::test]
async fn joining_and_leaving_an_open_channel() {
    let app = TestApp::new().await;
    app.world("world", &[]).await;
    let alice = app.player("alice");
    let join = json!({ "channel": "world" });
    assert_eq!(alice.post("/channel/join", join.clone()).await.data()["members"], 1);
    assert_eq!(alice.post("/channel/join", join.clone()).await.data()["members"], 1, "once is enough");
    assert_eq!(alice.post("/channel/leave", join.clone()).await.data()["changed"], 1);
    assert_eq!(alice.post("/channel/leave", join.clone()).await.data()["changed"], 0);
    assert_eq!(alice.get("/channel/info?channel=world").await.data()["members"], 0);
}

/// What a stranger hears of a channel that is not theirs must be what they hear of none, to the byte.
#[tokio::test]
async fn a_closed_channel_looks_like_none_to_strangers() {
    let app = TestApp::new().await;
    app.guild("secret", &["alice"]).await;
    app.player("alice").say("secret", "hello").await;
    let mallory = app.player("mallory");
    let posts = |channel: &str| {
        [
            ("/channel/join", json!({ "channel": channel })),
            ("/channel/leave", json!({ "channel": channel })),
            ("/channel/read", json!({ "channel": channel, "seq": 1 })),
            ("/message/send", json!({ "channel": channel, "text": "hi" })),
            ("/message/recall", json!({ "channel": channel, "seq": 1 })),
        ]
    };
    for ((path, seen), (_, none)) in posts("secret").into_iter().zip(posts("absent")) {
        let (seen, none) = (mallory.post(path, seen).await, mallory.post(path, none).await);
        assert_eq!((seen.status.as_u16(), &seen.body["error"]), (404, &none.body["error"]), "{path}");
    }
    for path in ["/channel/info?channel=", "/channel/members?channel=", "/message/list?channel="] {
        let seen = mallory.get(&format!("{path}secret")).await;
        let none = mallory.get(&format!("{path}absent")).await;
        assert_eq!((seen.status.as_u16(), &seen.body["error"]), (404, &none.body["error"]), "{path}");
    }
    let sync = |channel: &str| json!({ "channels": [{ "channel": channel, "after": 0 }] });
    let without_name = |mut reply: Value| {
        reply["channels"][0]["channel"].take();
        reply
    };
    let seen = mallory.post("/message/sync", sync("secret")).await.data();
    let none = mallory.post("/message/sync", sync("absent")).await.data();
    assert_eq!(without_name(seen), without_name(none));
}

#[tokio::test]
async fn open_channels_are_read_by_anyone_and_staff_reads_all() {
    let app = TestApp::new().await;
    app.world("world", &["alice"]).await;
    app.guild("guild", &["alice"]).await;
    for channel in ["world", "guild"] {
        app.player("alice").say(channel, "hello").await;
        for staff in [app.moderator("mo"), app.server()] {
            assert_eq!(staff.history(channel).await.len(), 1);
            assert_eq!(staff.get(&format!("/channel/info?channel={channel}")).await.data()["last_seq"], 1);
        }
    }
    assert_eq!(app.player("stranger").history("world").await.len(), 1);
}

#[tokio::test]
async fn members_come_in_pages() {
    let app = TestApp::new().await;
    let names: Vec<String> = (0..7).map(|n| format!("player-{n}")).collect();
    app.channel(json!({ "id": "g", "kind": "guild", "members": names })).await;
    let alice = app.player("player-0");
    let (mut found, mut after) = (Vec::new(), String::new());
    loop {
        let page = alice.get(&format!("/channel/members?channel=g&limit=3{after}")).await.data();
        let ids: Vec<String> = page["members"]
            .as_array()
            .unwrap()
            .iter()
            .map(|m| m["id"].as_str().unwrap().to_owned())
            .collect();
        after = format!("&after={}", ids.last().unwrap());
        found.extend(ids);
        if page["more"] == false {
            break;
        }
    }
    assert_eq!(found, names);
}

#[tokio::test]
async fn the_server_adds_and_removes_members() {
    let app = TestApp::new().await;
    app.guild("g", &["alice"]).await;
    let change = |path: &'static str, members: Value| {
        let server = app.server();
        async move {
            server.post(path, json!({ "channel": "g", "members": members })).await.data()["changed"].clone()
        }
    };
    assert_eq!(change("/channel/members-add", json!(["bob", "alice", "carol"])).await, 2);
    assert_eq!(change("/channel/members-remove", json!(["bob", "nobody"])).await, 1);
    assert_eq!(app.player("bob").get("/channel/info?channel=g").await.code(), "not_found");
    assert_eq!(app.player("carol").get("/channel/info?channel=g").await.data()["members"], 2);
}

#[tokio::test]
async fn the_inbox_counts_what_is_unread() {
    let app = TestApp::new().await;
    app.guild("g", &["alice", "bob"]).await;
    let (alice, bob) = (app.player("alice"), app.player("bob"));
    for text in ["one", "two"] {
        alice.say("g", text).await;
    }
    alice
        .post(
            "/message/send",
            json!({ "channel": "g", "text": "three", "mentions": ["bob", "stranger", "alice"] }),
        )
        .await
        .data();
    let entry = |inbox: Value| inbox["channels"][0].clone();

    let inbox = entry(bob.get("/channel/inbox").await.data());
    assert_eq!(
        (&inbox["unread"], &inbox["unread_mentions"], &inbox["read_seq"]),
        (&json!(3), &json!(1), &json!(0))
    );
    assert_eq!(inbox["last_message"]["text"], "three");
    let own = entry(alice.get("/channel/inbox").await.data());
    assert_eq!(
        (&own["unread"], &own["unread_mentions"]),
        (&json!(0), &json!(0)),
        "one's own messages are read"
    );

    let read = |seq: i64| bob.post("/channel/read", json!({ "channel": "g", "seq": seq }));
    read(2).await.data();
    read(1).await.data();
    let inbox = entry(bob.get("/channel/inbox").await.data());
    assert_eq!(
        (&inbox["unread"], &inbox["unread_mentions"], &inbox["read_seq"]),
        (&json!(1), &json!(1), &json!(2))
    );
    alice.post("/message/recall", json!({ "channel": "g", "seq": 1 })).await.data();
    let inbox = entry(bob.get("/channel/inbox").await.data());
    assert_eq!(
        (&inbox["unread"], &inbox["last_message"]["kind"]),
        (&json!(1), &json!("recall")),
        "changes are not unread"
    );

    read(3).await.data();
    let inbox = entry(bob.get("/channel/inbox").await.data());
    assert_eq!((&inbox["unread"], &inbox["unread_mentions"]), (&json!(0), &json!(0)));
    assert_eq!(read(5).await.code(), "invalid_input", "nobody reads ahead");
}

#[tokio::test]
async fn who_joins_late_starts_with_everything_read() {
    let app = TestApp::new().await;
    app.world("world", &["alice"]).await;
    app.player("alice").say("world", "before").await;
    let bob = app.player("bob");
    bob.post("/channel/join", json!({ "channel": "world" })).await.data();
    app.player("alice").say("world", "after").await;
    let inbox = bob.get("/channel/inbox").await.data();
    assert_eq!(inbox["channels"][0]["unread"], 1);
    let reply = app.player("carol").post("/channel/read", json!({ "channel": "world", "seq": 1 })).await;
    assert_eq!(reply.code(), "forbidden", "a guest of an open channel has no mark in it");
}

/// The ids of a page.
fn ids(inbox: &Value) -> Vec<String> {
    let id = |entry: &Value| entry["channel"]["id"].as_str().unwrap().to_owned();
    inbox["channels"].as_array().unwrap().iter().map(id).collect()
}

#[tokio::test]
async fn the_inbox_has_the_newest_activity_first_and_leaves_silent_channels_out() {
    let app = TestApp::new().await;
    let alice = app.player("alice");
    for id in ["a", "b", "c", "silent"] {
        app.guild(id, &["alice"]).await;
    }
    for id in ["a", "c", "b", "a"] {
        app.clock.advance(10);
        alice.say(id, "news").await;
    }
    let inbox = alice.get("/channel/inbox").await.data();
    assert_eq!(
        (ids(&inbox), &inbox["more"], &inbox["next"]),
        (vec!["a".into(), "b".into(), "c".into()], &json!(false), &Value::Null)
    );
}

/// Every channel is reached, each once, also those that were spoken in at one moment.
#[tokio::test]
async fn the_inbox_goes_on_page_by_page() {
    let app = TestApp::new().await;
    let alice = app.player("alice");
    for n in 0..25 {
        app.guild(&format!("g{n:02}"), &["alice"]).await;
    }
    for n in 0..25 {
        app.server().say(&format!("g{n:02}"), "news").await;
    }
    let (mut seen, mut path, mut pages) = (Vec::new(), "/channel/inbox?limit=10".to_owned(), 0);
    loop {
        let page = alice.get(&path).await.data();
        seen.extend(ids(&page));
        pages += 1;
        let Some(next) = page["next"].as_str() else { break };
        path = format!("/channel/inbox?limit=10&after={next}");
    }
    let distinct: std::collections::HashSet<_> = seen.iter().collect();
    assert_eq!((pages, seen.len(), distinct.len()), (3, 25, 25));
    for wrong in ["x", "1", ":a", "1:", "-1:a", "1:a b"] {
        let reply = alice.get(&format!("/channel/inbox?after={}", wrong.replace(' ', "%20"))).await;
        assert_eq!(reply.code(), "invalid_input", "{wrong}");
    }
}

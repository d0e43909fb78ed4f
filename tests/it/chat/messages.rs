//! Messages: sent once, numbered in order, masked, and taken back.

use serde_json::{Value, json};

use crate::help::TestApp;

fn seqs(messages: &[Value]) -> Vec<i64> {
    messages.iter().map(|message| message["seq"].as_i64().unwrap()).collect()
}

#[tokio::test]
async fn a_message_has_the_documented_shape() {
    let app = TestApp::new().await;
    app.world("world", &["alice", "bob"]).await;
    let before = app.clock.now();
    let input = json!({
        "channel": "world", "text": "hello", "nonce": "n-1", "mentions": ["bob", "bob"], "payload": { "x": 1 },
    });
    let data = app.player("alice").post("/message/send", input).await.data();
    let sent_at = data["message"]["sent_at"].as_i64().unwrap();
    assert!((before..=app.clock.now()).contains(&sent_at));
    let expected = json!({
        "message": {
            "channel": "world", "seq": 1, "kind": "text", "sender": { "id": "alice", "name": "alice" },
            "text": "hello", "payload": { "x": 1 }, "mentions": ["bob"], "sent_at": sent_at, "ref": null, "masked": false,
        },
        "replayed": false,
    });
    assert_eq!(data, expected);
    assert_eq!(
        app.player("bob").history("world").await,
        [expected["message"].clone()],
        "others see the same"
    );
}

#[tokio::test]
async fn the_same_nonce_is_the_same_message_once() {
    let app = TestApp::new().await;
    app.world("world", &["alice", "bob"]).await;
    let alice = app.player("alice");
    let input = json!({ "channel": "world", "text": "hello", "nonce": "n", "payload": { "a": 1 }, "mentions": ["bob"] });
    let first = alice.post("/message/send", input.clone()).await.data();
    app.clock.advance(60_000);
    let again = alice.post("/message/send", input.clone()).await.data();
    assert_eq!((&again["message"], &again["replayed"]), (&first["message"], &json!(true)));

    for (field, value) in [
        ("text", json!("hullo")),
        ("payload", json!({ "a": 2 })),
        ("payload", Value::Null),
        ("mentions", json!([])),
    ] {
        let mut other = input.clone();
        other[field] = value;
        assert_eq!(alice.post("/message/send", other).await.code(), "conflict", "{field}");
    }
    let bobs = app.player("bob").post("/message/send", input.clone()).await.data();
    assert_eq!(
        (&bobs["message"]["seq"], &bobs["replayed"]),
        (&json!(2), &json!(false)),
        "a nonce is the sender's own"
    );
    app.world("other", &["alice"]).await;
    let mut elsewhere = input;
    elsewhere["channel"] = json!("other");
    assert_eq!(alice.post("/message/send", elsewhere).await.data()["replayed"], false, "and the channel's");
}

#[tokio::test]
async fn a_retry_learns_what_came_of_it_whatever_changed_since() {
    let lists = tempfile::tempdir().unwrap();
    std::fs::write(lists.path().join("bans.txt"), "@action reject\nfirst word\n").unwrap();
    let app = TestApp::with(&[
        ("GUILDHALL_WORDLISTS", lists.path().to_str().unwrap()),
        ("GUILDHALL_WORDLIST_REFRESH_S", "1"),
    ])
    .await;
    app.guild("g", &["alice"]).await;
    let alice = app.player("alice");
    let input = json!({ "channel": "g", "text": "the dragon", "nonce": "n" });
    alice.post("/message/send", input.clone()).await.data();

    std::fs::write(lists.path().join("bans.txt"), "@action reject\nfirst word\ndragon\n").unwrap();
    app.clock.advance(2_000);
    app.app.blocklist.refresh_if_old().await;
    assert_eq!(
        alice.post("/message/send", json!({ "channel": "g", "text": "the dragon" })).await.code(),
        "rejected"
    );
    assert_eq!(
        alice.post("/message/send", input.clone()).await.data()["replayed"],
        true,
        "a changed list is no conflict"
    );

    app.server()
        .post("/channel/members-remove", json!({ "channel": "g", "members": ["alice"] }))
        .await
        .data();
    assert_eq!(alice.post("/message/send", input).await.data()["replayed"], true, "nor is having left");
    assert_eq!(
        alice.post("/message/send", json!({ "channel": "g", "text": "more" })).await.code(),
        "not_found"
    );
}

#[tokio::test]
async fn blocked_words_come_back_masked_and_refused_words_are_not_stored() {
    let app = TestApp::new().await;
    app.world("world", &["alice"]).await;
    let alice = app.player("alice");
    let said = alice.say("world", "such a BadWord, 路口交通 笨蛋").await;
    assert_eq!((&said["text"], &said["masked"]), (&json!("such a *******, 路口交通 **"), &json!(true)));
    let reply =
        alice.post("/message/send", json!({ "channel": "world", "text": "give me your password" })).await;
    assert_eq!((reply.status.as_u16(), reply.code().as_str()), (422, "rejected"));
    assert_eq!(reply.body["error"]["details"], json!({ "category": "watch" }));
    let noted = alice.say("world", "I want a refund").await;
    assert_eq!(
        (&noted["text"], &noted["masked"]),
        (&json!("I want a refund"), &json!(false)),
        "review passes"
    );
    let announced = app.server().say("world", "the badword event starts").await;
    assert_eq!(announced["masked"], false, "the game's own words are its own");
    assert_eq!(app.player("bob").history("world").await, [said, noted, announced]);
}

#[tokio::test]
async fn pages_go_back_and_forward() {
    let app = TestApp::new().await;
    app.world("world", &["alice"]).await;
    let alice = app.player("alice");
    for n in 1..=25 {
        alice.say("world", &format!("message {n}")).await;
    }
    let page = |query: &'static str| {
        let alice = app.player("alice");
        async move {
            let page = alice.get(&format!("/message/list?channel=world{query}")).await.data();
            (seqs(page["messages"].as_array().unwrap()), page["more"].as_bool().unwrap())
        }
    };
    assert_eq!(page("&limit=10").await, ((16..=25).collect(), true), "the newest");
    assert_eq!(page("").await, ((1..=25).collect(), false));
    assert_eq!(page("&before=16&limit=10").await, ((6..=15).collect(), true));
    assert_eq!(page("&before=6&limit=10").await, ((1..=5).collect(), false));
    assert_eq!(page("&before=1").await, (vec![], false));
    assert_eq!(page("&before=1000&limit=3").await, ((23..=25).collect(), true));
    assert_eq!(page("&after=0&limit=10").await, ((1..=10).collect(), true));
    assert_eq!(page("&after=20&limit=5").await, ((21..=25).collect(), false));
    assert_eq!(page("&after=25").await, (vec![], false));
    assert_eq!(page("&after=9007199254740991").await, (vec![], false));
}

#[tokio::test]
async fn an_empty_channel_has_an_empty_page() {
    let app = TestApp::new().await;
    app.world("world", &[]).await;
    let page = app.player("alice").get("/message/list?channel=world").await.data();
    assert_eq!(
        (&page["messages"], &page["more"], &page["first_seq"]),
        (&json!([]), &json!(false), &json!(1))
    );
    assert!(page["epoch"].is_string());
}

#[tokio::test]
async fn a_recall_is_an_entry_that_pollers_see_and_the_text_is_gone() {
    let app = TestApp::new().await;
    app.world("world", &["alice", "bob"]).await;
    let alice = app.player("alice");
    let input = json!({ "channel": "world", "text": "oops", "payload": { "secret": true }, "mentions": ["bob"], "nonce": "n" });
    alice.post("/message/send", input.clone()).await.data();
    alice.say("world", "next").await;

    let recall = json!({ "channel": "world", "seq": 1 });
    let entry = alice.post("/message/recall", recall.clone()).await.data()["message"].clone();
    assert_eq!(
        (&entry["seq"], &entry["kind"], &entry["ref"], &entry["text"]),
        (&json!(3), &json!("recall"), &json!(1), &json!(""))
    );
    assert_eq!(alice.post("/message/recall", recall).await.data()["message"], entry, "once is enough");

    let history = app.player("bob").history("world").await;
    assert_eq!(seqs(&history), [1, 2, 3]);
    assert_eq!(
        (&history[0]["kind"], &history[0]["text"], &history[0]["payload"]),
        (&json!("recalled"), &json!(""), &Value::Null)
    );
    assert!(!json!(history).to_string().contains("oops"));
    let replay = alice.post("/message/send", input).await.data();
    assert_eq!((&replay["message"]["kind"], &replay["replayed"]), (&json!("recalled"), &json!(true)));
    let inbox = app.player("bob").get("/channel/inbox").await.data();
    assert_eq!(inbox["channels"][0]["unread_mentions"], 0, "and nobody was called");
    assert_eq!(
        alice.post("/message/recall", json!({ "channel": "world", "seq": 3 })).await.code(),
        "not_found"
    );
    assert_eq!(
        alice.post("/message/recall", json!({ "channel": "world", "seq": 9 })).await.code(),
        "not_found"
    );
}

#[tokio::test]
async fn players_recall_their_own_for_a_while_and_moderators_any_at_any_time() {
    let app = TestApp::with(&[("GUILDHALL_RECALL_WINDOW", "90s")]).await;
    app.world("world", &["alice", "bob"]).await;
    for _ in 0..3 {
        app.player("alice").say("world", "hello").await;
    }
    let recall = |seq: i64| json!({ "channel": "world", "seq": seq });
    let reply = app.player("bob").post("/message/recall", recall(1)).await;
    assert_eq!(
        (reply.code().as_str(), &reply.body["error"]["details"]["reason"]),
        ("forbidden", &json!("not_yours"))
    );
    app.clock.advance(89_000);
    app.player("alice").post("/message/recall", recall(1)).await.data();
    app.clock.advance(2_000);
    let reply = app.player("alice").post("/message/recall", recall(2)).await;
    assert_eq!(
        (reply.code().as_str(), &reply.body["error"]["details"]["reason"]),
        ("forbidden", &json!("too_late"))
    );
    let entry = app.moderator("mo").post("/message/recall", recall(2)).await.data();
    assert_eq!(entry["message"]["sender"]["id"], "mo");
    app.server().post("/message/recall", recall(3)).await.data();
}

#[tokio::test]
async fn everything_is_there_after_a_restart() {
    let app = TestApp::new().await;
    app.world("world", &["alice"]).await;
    app.player("alice").say("world", "hello").await;
    let file = || format!("sqlite://{}", app.folder.path().join("data/guildhall.db").display());
    let url = app.app.config.database_url.as_ref().map_or_else(file, |url| url.expose().to_owned());
    app.app.db.close().await;
    let again = TestApp::with(&[("DATABASE_URL", &url)]).await;
    assert_eq!(again.player("alice").history("world").await.len(), 1);
    assert_eq!(again.player("alice").say("world", "again").await["seq"], 2);
}

//! What some see otherwise: shadows, blocks, and messages that are hidden until somebody looked; wherever one can look.

use serde_json::{Value, json};

use crate::help::TestApp;
use crate::help::process::{player_token, server_token};
use crate::help::socket_client::{Socket, call, follow, make, say, start};

/// Every way to read a channel, as one list each; and what the inbox says of it.
async fn looks(app: &TestApp, player: &str, channel: &str) -> (Vec<Vec<Value>>, Value) {
    let player = app.player(player);
    let list = player.get(&format!("/message/list?channel={channel}&after=0")).await.data();
    let newest = player.get(&format!("/message/list?channel={channel}")).await.data();
    let cursors = json!({ "channels": [{ "channel": channel, "after": 0 }] });
    let synced = player.post("/message/sync", cursors).await.data();
    let inbox = player.get("/channel/inbox").await.data();
    let entry = inbox["channels"].as_array().unwrap().iter().find(|entry| entry["channel"]["id"] == channel);
    let entries = |list: &Value| list.as_array().unwrap().clone();
    let lists = vec![
        entries(&list["messages"]),
        entries(&newest["messages"]),
        entries(&synced["channels"][0]["messages"]),
    ];
    (lists, entry.cloned().unwrap_or_default())
}

async fn shadow(app: &TestApp, player: &str, seconds: i64) -> Value {
    let input = json!({ "player": player, "kind": "shadow", "where": "everywhere", "seconds": seconds, "reason": "spam" });
    app.moderator("mod").post("/sanction/give", input).await.data()["sanction"].clone()
}

fn is_hidden(entry: &Value, seq: i64) -> bool {
    let mut wanted = json!({
        "channel": entry["channel"], "seq": seq, "kind": "hidden", "sender": { "id": "", "name": "" }, "text": "",
        "payload": null, "mentions": [], "sent_at": entry["sent_at"], "ref": null, "masked": false,
    });
    wanted["sent_at"] = entry["sent_at"].clone();
    *entry == wanted
}

#[tokio::test]
async fn what_a_shadow_says_only_they_see_and_it_counts_as_nothing_said() {
    let app = TestApp::new().await;
    app.world("w", &["alice", "bob", "eve"]).await;
    app.player("alice").say("w", "hello").await;
    let sanction = shadow(&app, "bob", 3_600).await;
    let input = json!({ "channel": "w", "text": "over here", "payload": { "a": 1 }, "mentions": ["eve"], "nonce": "n1" });
    let sent = app.player("bob").post("/message/send", input.clone()).await.data();
    let message = &sent["message"];
    assert_eq!(
        (&message["seq"], &message["text"], &message["kind"]),
        (&json!(2), &json!("over here"), &json!("text"))
    );
    assert_eq!((&message["sender"]["id"], &message["mentions"]), (&json!("bob"), &json!(["eve"])));
    // Again, by its nonce: the same answer.
    let again = app.player("bob").post("/message/send", input).await.data();
    assert_eq!((&again["message"], &again["replayed"]), (message, &json!(true)));
    let (lists, inbox) = looks(&app, "bob", "w").await;
    for list in lists {
        assert_eq!(&list[1], message);
    }
    assert_eq!((&inbox["last_message"], &inbox["unread"]), (message, &json!(0)));
    for other in ["alice", "eve"] {
        let (lists, inbox) = looks(&app, other, "w").await;
        for list in lists {
            assert_eq!((list.len(), &list[0]["text"]), (2, &json!("hello")));
            assert!(is_hidden(&list[1], 2), "{}", list[1]);
        }
        assert!(is_hidden(&inbox["last_message"], 2));
        assert_eq!(
            (&inbox["unread"], &inbox["unread_mentions"]),
            (&json!(i32::from(other == "eve")), &json!(0))
        );
    }
    assert!(
        is_hidden(&app.moderator("mod").history("w").await[1], 2),
        "staff reads originals, with a reason"
    );
    let original = json!({ "channel": "w", "seq": 2, "reason": "a look" });
    let original = app.moderator("mod").post("/message/originals", original).await.data();
    assert_eq!((&original["text"], &original["payload"]), (&json!("over here"), &json!({ "a": 1 })));
    // Not told, not in their list, not to be appealed against.
    app.run_tasks().await;
    let bob = app.player("bob");
    assert_eq!(bob.get("/player/sanctions").await.data()["sanctions"], json!([]));
    assert_eq!(bob.get("/channel/inbox").await.data()["channels"].as_array().unwrap().len(), 1);
    let appeal = json!({ "sanction": sanction["id"], "text": "why" });
    assert_eq!(bob.post("/appeal/submit", appeal).await.code(), "not_found");
    // Lifting it shows nothing of before, and all that comes.
    let lift = json!({ "id": sanction["id"], "reason": "enough" });
    app.moderator("mod").post("/sanction/lift", lift).await.data();
    app.player("bob").say("w", "good day").await;
    let (lists, _) = looks(&app, "alice", "w").await;
    assert!(lists.iter().all(|list| is_hidden(&list[1], 2) && list[2]["text"] == "good day"));
    app.run_tasks().await;
    assert_eq!(bob.get("/channel/inbox").await.data()["channels"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_shadow_moves_no_inbox_and_ends_by_itself() {
    let app = TestApp::new().await;
    app.world("v", &["alice", "bob"]).await;
    app.world("w", &["alice", "bob"]).await;
    app.player("alice").say("v", "one").await;
    app.player("alice").say("w", "two").await;
    shadow(&app, "bob", 600).await;
    for _ in 0..3 {
        app.player("bob").say("v", "psst").await;
    }
    let inbox = app.player("alice").get("/channel/inbox").await.data();
    let order: Vec<&Value> =
        inbox["channels"].as_array().unwrap().iter().map(|entry| &entry["channel"]["id"]).collect();
    assert_eq!(order, ["w", "v"]);
    assert_eq!(inbox["channels"][1]["unread"], 0);
    // Both kinds in one batch of the writer, and the numbers without a gap.
    let sends = (0..20).map(|n| {
        let player = app.player(if n % 2 == 0 { "alice" } else { "bob" });
        async move { player.say("w", "x").await }
    });
    futures_util::future::join_all(sends).await;
    let page = app.player("alice").get("/message/list?channel=w&limit=100").await.data();
    let page = page["messages"].as_array().unwrap();
    assert_eq!(
        page.iter().map(|entry| entry["seq"].as_i64().unwrap()).collect::<Vec<_>>(),
        (1..=21).collect::<Vec<_>>()
    );
    assert_eq!(page.iter().filter(|entry| entry["kind"] == "hidden").count(), 10);
    let inbox = app.player("bob").get("/channel/inbox").await.data();
    let of_bob = &inbox["channels"]
        .as_array()
        .unwrap()
        .iter()
        .find(|entry| entry["channel"]["id"] == "w")
        .unwrap()["unread"];
    assert!(of_bob.as_i64().unwrap() <= 10, "{of_bob}");
    app.clock.advance(600_000);
    app.player("bob").say("v", "again").await;
    assert_eq!(app.player("alice").history("v").await.last().unwrap()["text"], "again");
}

/// Taking back what nobody else sees tells nobody else.
#[tokio::test]
async fn a_shadow_takes_back_what_they_said_and_nobody_learns_who_they_are() {
    let app = TestApp::new().await;
    app.world("w", &["alice", "bob"]).await;
    shadow(&app, "bob", 3_600).await;
    app.player("bob").say("w", "oh no").await;
    let recall = json!({ "channel": "w", "seq": 1 });
    let entry = app.player("bob").post("/message/recall", recall.clone()).await.data()["message"].clone();
    assert_eq!(
        (&entry["kind"], &entry["ref"], &entry["sender"]["id"]),
        (&json!("recall"), &json!(1), &json!("bob"))
    );
    assert_eq!(app.player("bob").post("/message/recall", recall).await.data()["message"], entry);
    let own = app.player("bob").history("w").await;
    assert_eq!(
        (&own[0]["kind"], &own[0]["sender"]["id"], &own[1]),
        (&json!("recalled"), &json!("bob"), &entry)
    );
    let others = app.player("alice").history("w").await;
    assert!(is_hidden(&others[0], 1) && is_hidden(&others[1], 2), "{others:?}");
}

#[tokio::test]
async fn who_blocks_sees_nothing_of_whom_they_block() {
    let app = TestApp::new().await;
    app.world("w", &["alice", "bob", "eve"]).await;
    app.player("bob").say("w", "before").await;
    let mention = json!({ "channel": "w", "text": "hey", "mentions": ["alice", "eve"] });
    app.player("bob").post("/message/send", mention.clone()).await.data();
    let alice = app.player("alice");
    assert_eq!(looks(&app, "alice", "w").await.1["unread_mentions"], 1);
    let block = json!({ "player": "bob" });
    let blocked = alice.post("/player/block", block.clone()).await.data()["block"].clone();
    assert_eq!(blocked["player"], "bob");
    assert_eq!(alice.post("/player/block", block.clone()).await.data()["block"], blocked, "once");
    assert_eq!(
        alice.get("/player/blocks").await.data(),
        json!({ "blocks": [blocked], "more": false, "next": null })
    );
    app.player("bob").post("/message/send", mention).await.data();
    app.player("bob").post("/message/recall", json!({ "channel": "w", "seq": 1 })).await.data();
    let (lists, inbox) = looks(&app, "alice", "w").await;
    for list in lists {
        assert!((1..=3).all(|seq| is_hidden(&list[seq as usize - 1], seq)), "{list:?}");
        assert_eq!(
            (&list[3]["kind"], &list[3]["ref"], &list[3]["sender"]["id"]),
            (&json!("recall"), &json!(1), &json!(""))
        );
        assert!(!json!(list).to_string().contains("bob"));
    }
    assert_eq!((&inbox["unread_mentions"], &inbox["last_message"]["sender"]["id"]), (&json!(0), &json!("")));
    let (_, of_eve) = looks(&app, "eve", "w").await;
    assert_eq!(
        (&of_eve["unread_mentions"], &of_eve["last_message"]["sender"]["id"]),
        (&json!(2), &json!("bob"))
    );
    assert_eq!(alice.post("/player/unblock", block.clone()).await.data(), json!({ "changed": true }));
    assert_eq!(alice.post("/player/unblock", block).await.data(), json!({ "changed": false }));
    let (lists, _) = looks(&app, "alice", "w").await;
    assert!(lists.iter().all(|list| list[1]["text"] == "hey" && list[1]["sender"]["id"] == "bob"));
    assert_eq!(alice.post("/player/block", json!({ "player": "alice" })).await.code(), "invalid_input");
    assert_eq!(app.server().post("/player/block", json!({ "player": "alice" })).await.code(), "forbidden");
}

/// What the game's server says under the id of a player who is blocked is not that player's.
#[tokio::test]
async fn the_games_server_is_nobody_to_block() {
    let app = TestApp::new().await;
    app.world("w", &["alice"]).await;
    let server = app.server();
    server.say("w", "the gates open").await;
    let id = server.history("w").await[0]["sender"]["id"].clone();
    app.player("alice").post("/player/block", json!({ "player": id })).await.data();
    assert_eq!(app.player("alice").history("w").await[0]["text"], "the gates open");
}

#[tokio::test]
async fn with_a_block_between_two_their_channel_is_for_reading() {
    let app = TestApp::new().await;
    for (one, other) in [("alice", "bob"), ("bob2", "alice2")] {
        let channel =
            app.player(one).post("/channel/direct", json!({ "player": other })).await.data()["id"].clone();
        let channel = channel.as_str().unwrap();
        app.player(other).say(channel, "hello").await;
        app.player(one).post("/player/block", json!({ "player": other })).await.data();
        for player in [one, other] {
            let sent =
                app.player(player).post("/message/send", json!({ "channel": channel, "text": "x" })).await;
            assert_eq!(sent.body["error"]["details"]["reason"], "read_only", "{player}");
        }
        assert_eq!(app.player(other).history(channel).await[0]["text"], "hello");
        assert_eq!(
            app.player(other).post("/channel/direct", json!({ "player": one })).await.data()["id"],
            channel
        );
        // Others than the two, with ids longer than theirs, are held to nothing.
        app.moderator("a-moderator-with-a-very-long-id").say(channel, "order").await;
        app.server().say(channel, "news").await;
        app.player(one).post("/player/unblock", json!({ "player": other })).await.data();
        app.player(other).say(channel, "again").await;
    }
}

#[tokio::test]
async fn a_player_blocks_so_many_others_and_no_more() {
    let app = TestApp::with(&[("GUILDHALL_RATE", "off")]).await;
    let alice = app.player("alice");
    for n in 0..1_000 {
        alice.post("/player/block", json!({ "player": format!("p{n:04}") })).await.data();
    }
    assert_eq!(alice.post("/player/block", json!({ "player": "one-more" })).await.code(), "conflict");
    alice.post("/player/block", json!({ "player": "p0001" })).await.data();
    let page = alice.get("/player/blocks?limit=100&after=p0899").await.data();
    assert_eq!((page["blocks"].as_array().unwrap().len(), &page["more"]), (100, &json!(false)));
}

/// On open sockets: hidden and blocked entries from the tail and from the store, who types, and that blocks changed.
#[tokio::test(flavor = "multi_thread")]
async fn sockets_show_what_lists_show() {
    let folder = tempfile::tempdir().unwrap();
    let process = start(&folder.path().join("data"));
    make(&process, "w", &["alice", "bob", "eve"]).await;
    let mut sockets = Vec::new();
    for player in ["alice", "bob", "eve"] {
        let mut socket = Socket::of(&process, player).await;
        socket.ask("/live/follow", follow("w", 0)).await;
        sockets.push(socket);
    }
    let [alice, bob, eve] = sockets.as_mut_slice() else { unreachable!() };
    let shadow = json!({ "player": "bob", "kind": "shadow", "where": "everywhere", "reason": "r" });
    call(&process, &server_token(), "/sanction/give", shadow).await;
    say(&process, "bob", "w", "psst").await;
    assert_eq!(bob.push().await["messages"][0]["text"], "psst");
    for other in [&mut *alice, &mut *eve] {
        assert!(is_hidden(&other.push().await["messages"][0], 1));
    }
    // Nobody hears that a shadow types; a word behind it shows that nothing came.
    bob.ask("/live/typing", json!({ "channel": "w" })).await;
    say(&process, "eve", "w", "hello").await;
    assert_eq!(alice.push().await["messages"][0]["text"], "hello");
    assert_eq!(eve.push().await["messages"][0]["text"], "hello");
    call(&process, &player_token("alice"), "/player/block", json!({ "player": "eve" })).await;
    assert_eq!(alice.push().await, json!({ "push": "blocks" }));
    eve.ask("/live/typing", json!({ "channel": "w" })).await;
    say(&process, "eve", "w", "can you hear me").await;
    assert!(is_hidden(&alice.push().await["messages"][0], 3));
    // Further back than the tail, and behind a new socket.
    let mut late = Socket::of(&process, "alice").await;
    late.ask("/live/follow", follow("w", 0)).await;
    let pushed = late.push().await;
    let pushed = pushed["messages"].as_array().unwrap();
    assert!((1..=3).all(|seq| is_hidden(&pushed[seq as usize - 1], seq)), "{pushed:?}");
}

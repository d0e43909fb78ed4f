//! Sockets: the same actions as over HTTP, and what is said pushed once, in order, to those who may read it.

use std::time::Duration;

use futures_util::SinkExt;
use futures_util::future::join_all;
use guildhall::access::token::{Claims, mint};
use guildhall::base::clock::Clock;
use guildhall::chat::identity::Scope;
use guildhall::config::Secret;
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use crate::help::process::{Connection, eventually, player_token, server_token};
use crate::help::socket_client::{Socket, call, follow, make, say, start};
use crate::help::{SECRET, claims};

#[tokio::test(flavor = "multi_thread")]
async fn a_socket_answers_like_http_and_is_told_what_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let process = start(&folder.path().join("data"));
    make(&process, "g", &["alice", "bob"]).await;
    say(&process, "bob", "g", "before").await;
    let mut alice = Socket::of(&process, "alice").await;
    let followed =
        alice.ask("/live/follow", json!({ "channels": [{ "channel": "g" }, { "channel": "none" }] })).await;
    let channels = &followed["data"]["channels"];
    assert_eq!((&channels[0]["first_seq"], &channels[0]["last_seq"]), (&json!(1), &json!(1)), "{followed}");
    assert_eq!(channels[1]["error"], "not_found");

    // Behind the last number where none is given, in the shape of sync.
    say(&process, "bob", "g", "hello").await;
    let push = alice.push().await;
    assert_eq!(
        (&push["push"], &push["channel"], &push["reset"]),
        (&json!("messages"), &json!("g"), &json!(false))
    );
    assert_eq!((&push["messages"][0]["seq"], &push["messages"][0]["text"]), (&json!(2), &json!("hello")));
    assert_eq!(push["epoch"], channels[0]["epoch"]);

    // An answer comes before the push of what it stored.
    // A page is no action: its answer would be no frame.
    assert_eq!(alice.ask("/", json!({})).await["error"]["code"], "not_found");
    let sent = alice.ask("/message/send", json!({ "channel": "g", "text": "mine" })).await;
    assert_eq!(sent["data"]["message"]["seq"], 3, "{sent}");
    assert!(alice.pushed().is_empty());
    assert_eq!(alice.push().await["messages"][0]["text"], "mine");

    // Whatever is in the registry, with the codes of HTTP; reading takes plain values.
    let list = alice.ask("/message/list", json!({ "channel": "g", "limit": 2, "before": null })).await;
    assert_eq!(list["data"]["messages"].as_array().unwrap().len(), 2);
    for (path, input, code) in [
        ("/message/send", json!({ "channel": "g" }), "invalid_input"),
        ("/message/list", json!({ "channel": ["g"] }), "invalid_input"),
        ("/message/list", json!(7), "invalid_input"),
        ("/message/list", json!({ "channel": "other" }), "not_found"),
        ("/channel/create", json!({ "id": "x", "kind": "guild" }), "forbidden"),
        ("/no/such", json!({}), "not_found"),
        ("no path at all \u{7f}", json!({}), "not_found"),
        ("/live/follow", json!({ "everything": true }), "invalid_input"),
        ("/live/follow", json!({ "channels": [{ "channel": "g", "after": -1 }] }), "invalid_input"),
        ("/live/hello", json!({ "token": player_token("bob") }), "conflict"),
        ("/live/renew", json!({ "token": player_token("bob") }), "forbidden"),
        ("/live/renew", json!({ "token": "no token" }), "unauthenticated"),
    ] {
        assert_eq!(alice.ask(path, input).await["error"]["code"], code, "{path}");
    }
    // A poll on a socket is not waited for: what is new is pushed.
    let poll = json!({ "channels": [{ "channel": "g", "after": 3 }], "wait_s": 25 });
    assert_eq!(alice.ask("/message/sync", poll).await["data"]["channels"][0]["messages"], json!([]));
    alice.send(r#"{"id": 99, "do": "/message/send", "more": 1}"#).await;
    let wrong = alice.answer().await;
    assert_eq!((&wrong["id"], &wrong["error"]["code"]), (&json!(99), &json!("invalid_input")));

    // From a cursor on, and no more once it is not followed.
    let mut late = Socket::of(&process, "alice").await;
    late.ask("/live/follow", follow("g", 0)).await;
    let texts: Vec<Value> =
        late.push().await["messages"].as_array().unwrap().iter().map(|m| m["text"].clone()).collect();
    assert_eq!(texts, ["before", "hello", "mine"]);
    late.ask("/live/unfollow", json!({ "channels": ["g"] })).await;
    say(&process, "bob", "g", "unheard").await;
    assert_eq!(alice.push().await["messages"][0]["text"], "unheard");
    late.ask("/message/list", json!({ "channel": "g" })).await;
    assert!(late.pushed().is_empty());
    // Another epoch, or a number that is not reached: it starts over, as in sync.
    for cursor in
        [json!({ "channel": "g", "after": 2, "epoch": "another" }), json!({ "channel": "g", "after": 99 })]
    {
        late.ask("/live/follow", json!({ "channels": [cursor] })).await;
        let push = late.push().await;
        assert_eq!((&push["reset"], &push["messages"][0]["seq"]), (&json!(true), &json!(1)), "{push}");
        late.ask("/live/unfollow", json!({ "channels": ["g"] })).await;
        late.pushed();
    }
    // A channel that is over says so at once, with nothing said in it.
    let removal = json!({ "channel": "g", "members": ["alice"] });
    call(&process, &server_token(), "/channel/members-remove", removal).await;
    assert_eq!(alice.push().await, json!({ "push": "membership", "channel": "g", "change": "left" }));
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_says_nothing_useful_is_closed_with_a_code() {
    let folder = tempfile::tempdir().unwrap();
    let process = start(&folder.path().join("data"));
    let hello =
        |token: &str| json!({ "id": 1, "do": "/live/hello", "input": { "token": token } }).to_string();
    let good = player_token("alice");
    let large = "x".repeat(21 * 1024);
    for (frames, code) in [
        (vec![Message::text(hello("no token"))], 4001),
        (vec![Message::text(r#"{"id":1,"do":"/message/list","input":{}}"#)], 4001),
        (vec![Message::text(r#"{"id":1,"do":"/live/hello","input":{}}"#)], 4001),
        (vec![Message::text("hello?")], 4000),
        (vec![Message::text(hello(&good)), Message::text("[]")], 4000),
        (vec![Message::text(hello(&good)), Message::binary(vec![1, 2, 3])], 4000),
        (vec![Message::text(hello(&good)), Message::text(large)], 1009),
        // Nothing at all for five seconds.
        (vec![], 4001),
    ] {
        let mut socket = Socket::open(process.port).await;
        for frame in &frames {
            socket.wire.send(frame.clone()).await.unwrap();
        }
        assert_eq!(socket.closed().await, code, "{frames:?}");
    }
}

/// Two servers on one database and nothing between them.
#[tokio::test(flavor = "multi_thread")]
async fn sockets_hear_what_is_said_at_another_server() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let (one, other) = (start(&data), start(&data));
    make(&one, "g", &["alice", "bob"]).await;
    let mut alice = Socket::of(&other, "alice").await;
    alice.ask("/live/follow", json!({ "all": true })).await;
    say(&one, "bob", "g", "over there").await;
    assert_eq!(alice.push().await["messages"][0]["text"], "over there");
    make(&one, "new", &["alice", "bob"]).await;
    assert_eq!(alice.push().await["change"], "joined");
    call(&one, &server_token(), "/channel/members-remove", json!({ "channel": "g", "members": ["alice"] }))
        .await;
    say(&one, "bob", "g", "between us").await;
    assert_eq!(alice.push().await, json!({ "push": "membership", "channel": "g", "change": "left" }));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_says_goodbye_and_when_to_come_back() {
    let folder = tempfile::tempdir().unwrap();
    let mut process = start(&folder.path().join("data"));
    let mut sockets = Vec::new();
    for n in 0..5 {
        sockets.push(Socket::of(&process, &format!("p{n}")).await);
    }
    process.signal(Signal::SIGTERM);
    for mut socket in sockets {
        let bye = socket.read().await.unwrap();
        assert_eq!((&bye["push"], &bye["code"]), (&json!("bye"), &json!(1012)));
        assert!((1..=10).contains(&bye["retry_after_s"].as_u64().unwrap()));
        assert_eq!(socket.closed().await, 1012);
    }
    assert_eq!(process.wait(), Some(0));
}

/// A version that players reach no more asks the clients of its sockets to come back, each at another moment; it goes on for
/// those who come all the same.
#[tokio::test(flavor = "multi_thread")]
async fn sockets_move_where_that_is_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let process = start(&folder.path().join("data"));
    let mut sockets = Vec::new();
    for n in 0..6 {
        sockets.push(Socket::of(&process, &format!("p{n}")).await);
    }
    process.signal(Signal::SIGWINCH);
    let moved = join_all(sockets.into_iter().map(|mut socket| async move {
        let bye = socket.push_of("bye").await;
        assert_eq!(bye["code"], 1012, "{bye}");
        assert_eq!(socket.closed().await, 1012);
        std::time::Instant::now()
    }));
    let mut moved = moved.await;
    moved.sort();
    assert!(moved[5] - moved[0] > Duration::from_millis(100), "not all at once: {moved:?}");
    let mut late = Socket::of(&process, "late").await;
    assert_eq!(late.ask("/meta/version", json!({})).await["error"], Value::Null);
}

#[tokio::test(flavor = "multi_thread")]
async fn sockets_end_with_their_token_and_are_eight_for_each_player() {
    let folder = tempfile::tempdir().unwrap();
    let process = start(&folder.path().join("data"));
    let token = |seconds: u64| {
        let exp = Clock::default().now() as u64 / 1_000 + seconds;
        mint(&Secret::new(SECRET).unwrap(), &Claims { exp, ..claims("alice", Scope::Player) }).unwrap()
    };
    let mut short = Socket::open(process.port).await;
    short.ask("/live/hello", json!({ "token": token(2) })).await;
    let mut renewed = Socket::open(process.port).await;
    let ends = Clock::default().now() as u64 / 1_000 + 3;
    renewed.ask("/live/hello", json!({ "token": token(3) })).await;
    let answer = renewed.ask("/live/renew", json!({ "token": token(600) })).await;
    assert_eq!(answer["data"]["id"], "alice", "{answer}");
    let bye = short.read().await.unwrap();
    assert_eq!((&bye["push"], &bye["code"]), (&json!("bye"), &json!(4001)));
    assert_eq!(short.closed().await, 4001);
    eventually("the end of the first token", async || {
        (Clock::default().now() as u64 / 1_000 > ends).then_some(())
    })
    .await;
    assert_eq!(
        renewed.ask("/meta/version", json!({})).await["error"],
        Value::Null,
        "the first token is over"
    );

    let mut eight = Vec::new();
    for _ in 0..8 {
        eight.push(Socket::of(&process, "alice").await);
    }
    assert_eq!(renewed.closed().await, 4003, "the oldest goes");
    for socket in &mut eight {
        socket.ask("/meta/version", json!({})).await;
    }
}

/// Followers that are cut off again and again, while writers go on: each gets each entry once, in order.
#[tokio::test(flavor = "multi_thread")]
async fn over_reconnects_nothing_is_missed_or_told_twice() {
    const WRITERS: usize = 32;
    const EACH: usize = 10;
    let folder = tempfile::tempdir().unwrap();
    let process = start(&folder.path().join("data"));
    let names: Vec<String> = (0..50).map(|n| format!("p{n}")).collect();
    let members: Vec<&str> = names.iter().map(String::as_str).chain(["bob"]).collect();
    make(&process, "g", &members).await;
    let writing = join_all((0..WRITERS).map(|writer| {
        let process = &process;
        async move {
            for n in 0..EACH {
                say(process, "bob", "g", &format!("{writer}-{n}")).await;
            }
        }
    }));
    let following = join_all(names.iter().enumerate().map(|(place, name)| {
        let process = &process;
        async move {
            let (mut after, mut connections) = (0, 0);
            while after < WRITERS * EACH {
                let mut socket = Socket::of(process, name).await;
                connections += 1;
                socket.ask("/live/follow", follow("g", after as i64)).await;
                // Each breaks off at other places, the last pushes unread.
                for _ in 0..=(place + connections) % 5 {
                    if after == WRITERS * EACH {
                        break;
                    }
                    for message in socket.push().await["messages"].as_array().unwrap() {
                        after += 1;
                        assert_eq!(message["seq"], after);
                    }
                }
            }
            connections
        }
    }));
    let (_, connections) = tokio::join!(writing, following);
    println!("connections of each follower: {connections:?}");
}

/// One who follows and never reads holds nobody up, and is told all when they read again.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_reads_nothing_holds_nobody_up() {
    let folder = tempfile::tempdir().unwrap();
    let process = start(&folder.path().join("data"));
    make(&process, "g", &["alice", "bob", "carl"]).await;
    let mut slow = Socket::of(&process, "carl").await;
    slow.ask("/live/follow", follow("g", 0)).await;
    let mut alice = Socket::of(&process, "alice").await;
    alice.ask("/live/follow", follow("g", 0)).await;
    let text = "x".repeat(1_900);
    let mut heard = 0;
    for n in 1..=300 {
        say(&process, "bob", "g", &text).await;
        while heard < n {
            heard += alice.push().await["messages"].as_array().unwrap().len();
        }
    }
    let mut late = 0;
    while late < 300 {
        for message in slow.push().await["messages"].as_array().unwrap() {
            late += 1;
            assert_eq!(message["seq"], late);
        }
    }
}

/// A socket and a poll that waits at this port hear the first word in the world.
pub async fn hear_what_is_said(port: u16) {
    let mut socket = Socket::open(port).await;
    socket.ask("/live/hello", json!({ "token": player_token("alice") })).await;
    socket.ask("/live/follow", json!({ "all": true })).await;
    let mut waiting = Connection::open(port).await.unwrap();
    let poll = json!({ "channels": [{ "channel": "world", "after": 0 }], "wait_s": 25 });
    let speaking = async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        socket.ask("/message/send", json!({ "channel": "world", "text": "hello" })).await
    };
    let token = player_token("alice");
    let (heard, said) = tokio::join!(waiting.call(&token, "/message/sync", Some(&poll)), speaking);
    assert_eq!(said["data"]["message"]["seq"], 1, "{said}");
    assert_eq!(heard.unwrap().body["data"]["channels"][0]["messages"][0]["text"], "hello");
    assert_eq!(socket.push().await["messages"][0]["text"], "hello");
}

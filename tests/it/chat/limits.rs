//! Who may speak when: limits of the player and of the channel, through the API.

use futures_util::future::join_all;
use guildhall::api::head::Peer;
use serde_json::{Value, json};

use crate::help::process::eventually;
use crate::help::{Actor, Reply, TestApp};

async fn send(app: &TestApp, player: &str, channel: &str) -> Reply {
    app.player(player).post("/message/send", json!({ "channel": channel, "text": "hello" })).await
}

#[track_caller]
fn is_limited(reply: &Reply, reason: &str, seconds: u64) {
    assert_eq!((reply.status.as_u16(), reply.code().as_str()), (429, "rate_limited"), "{}", reply.body);
    assert_eq!(reply.body["error"]["details"], json!({ "reason": reason, "retry_after_s": seconds }));
    assert_eq!(reply.headers["retry-after"], seconds.to_string());
}

#[tokio::test]
async fn the_default_is_five_messages_in_five_seconds_over_all_channels() {
    let app = TestApp::with(&[("GUILDHALL_SEND_LIMIT", "")]).await;
    app.world("a", &["alice", "bob"]).await;
    app.world("b", &["alice"]).await;
    for n in 0..5 {
        assert_eq!(send(&app, "alice", if n % 2 == 0 { "a" } else { "b" }).await.status, 200);
    }
    is_limited(&send(&app, "alice", "b").await, "send_limit", 5);
    assert_eq!(send(&app, "bob", "a").await.status, 200, "the limit is the player's own");
    app.clock.advance(4_000);
    is_limited(&send(&app, "alice", "a").await, "send_limit", 1);
    app.clock.advance(1_100);
    assert_eq!(send(&app, "alice", "a").await.status, 200, "waiting as long as it says is enough");
}

#[tokio::test]
async fn sends_at_once_get_no_more_than_the_limit() {
    let app = TestApp::with(&[("GUILDHALL_SEND_LIMIT", "3/60s")]).await;
    app.world("a", &["alice"]).await;
    let replies = join_all((0..20).map(|_| send(&app, "alice", "a"))).await;
    assert_eq!(replies.iter().filter(|reply| reply.status == 200).count(), 3);
}

#[tokio::test]
async fn a_retry_is_not_counted_and_not_refused() {
    let app = TestApp::with(&[("GUILDHALL_SEND_LIMIT", "2/60s")]).await;
    app.world("a", &["alice"]).await;
    let alice = app.player("alice");
    let input = json!({ "channel": "a", "text": "hello", "nonce": "n" });
    for replayed in [false, true, true] {
        assert_eq!(alice.post("/message/send", input.clone()).await.data()["replayed"], replayed);
    }
    assert_eq!(send(&app, "alice", "a").await.status, 200);
    assert_eq!(send(&app, "alice", "a").await.status, 429);
    assert_eq!(alice.post("/message/send", input).await.data()["replayed"], true);
}

#[tokio::test]
async fn staff_is_not_limited() {
    let app = TestApp::with(&[("GUILDHALL_SEND_LIMIT", "1/60s")]).await;
    app.channel(json!({ "id": "news", "kind": "system", "settings": { "open": true, "read_only": true, "slow_mode_s": 60 } })).await;
    for actor in [app.moderator("mo"), app.server()] {
        actor.say("news", "one").await;
        actor.say("news", "two").await;
    }
}

async fn channel(app: &TestApp, settings: Value) {
    app.channel(json!({ "id": "c", "kind": "guild", "members": ["alice", "bob"], "settings": settings }))
        .await;
}

#[track_caller]
fn is_forbidden(reply: &Reply, reason: &str) {
    assert_eq!((reply.status.as_u16(), reply.code().as_str()), (403, "forbidden"), "{}", reply.body);
    assert_eq!(reply.body["error"]["details"]["reason"], reason);
}

#[tokio::test]
async fn slow_mode_is_each_members_own() {
    let app = TestApp::new().await;
    channel(&app, json!({ "slow_mode_s": 30 })).await;
    assert_eq!(send(&app, "alice", "c").await.status, 200);
    is_limited(&send(&app, "alice", "c").await, "slow_mode", 30);
    assert_eq!(send(&app, "bob", "c").await.status, 200);
    // However long the calls take on a busy machine.
    app.clock.advance(20_000);
    let waiting = send(&app, "alice", "c").await;
    let left = waiting.body["error"]["details"]["retry_after_s"].as_u64().unwrap();
    assert!((1..=10).contains(&left), "{left}");
    app.clock.advance(10_000);
    assert_eq!(send(&app, "alice", "c").await.status, 200);
    let at_once = join_all((0..9).map(|_| send(&app, "bob", "c"))).await;
    assert_eq!(at_once.iter().filter(|reply| reply.status == 200).count(), 1, "bob's wait is over, once");
}

#[tokio::test]
async fn a_level_gate() {
    let app = TestApp::new().await;
    channel(&app, json!({ "min_level": 10 })).await;
    let input = json!({ "channel": "c", "text": "hello" });
    is_forbidden(&send(&app, "alice", "c").await, "min_level");
    is_forbidden(&app.player_of_level("alice", 9).post("/message/send", input.clone()).await, "min_level");
    app.player_of_level("alice", 10).post("/message/send", input).await.data();
}

#[tokio::test]
async fn read_only_and_not_joined() {
    let app = TestApp::new().await;
    channel(&app, json!({ "read_only": true })).await;
    is_forbidden(&send(&app, "alice", "c").await, "read_only");
    app.world("world", &[]).await;
    is_forbidden(&send(&app, "alice", "world").await, "not_a_member");
}

/// Everything counts but health, refused calls too; the game's server and moderators are not held to it.
#[tokio::test]
async fn requests_are_limited_by_player_and_by_address() {
    let app = TestApp::with(&[("GUILDHALL_RATE", "5/10s")]).await;
    let alice = app.player("alice");
    for n in 0..5 {
        let reply = if n % 2 == 0 {
            alice.post("/channel/direct", json!({ "player": format!("p{n}") })).await
        } else {
            alice.get("/channel/info?channel=nowhere").await
        };
        assert_ne!(reply.status, 429, "{n}");
    }
    is_limited(&alice.post("/channel/direct", json!({ "player": "one-more" })).await, "rate", 2);
    assert_ne!(app.player("bob").get("/channel/inbox").await.status, 429, "the limit is the player's own");
    app.clock.advance(2_000);
    assert_eq!(alice.get("/channel/inbox").await.status, 200, "waiting as long as it says is enough");
    for actor in [app.server(), app.moderator("mo")] {
        for _ in 0..20 {
            assert_eq!(actor.get("/wordlist/status").await.status, 200);
        }
    }
    let from = async |address: &str, path: &str| {
        let mut request = http::Request::get(path).body(http_body_util::Full::default()).unwrap();
        request.extensions_mut().insert(Peer(address.parse().unwrap()));
        app.call(request).await.status.as_u16()
    };
    for _ in 0..5 {
        assert_ne!(from("2001:db8::1", "/channel/inbox").await, 429);
    }
    assert_eq!(from("2001:db8::2", "/meta/version").await, 429, "one customer's network");
    assert_eq!(from("2001:db8:0:1::1", "/meta/version").await, 200, "another's");
    for _ in 0..20 {
        assert_eq!(from("2001:db8::1", "/health/live").await, 200);
    }
}

/// Whose word on a client's address is believed, and which of several words.
#[tokio::test]
async fn addresses_are_taken_from_trusted_proxies_alone() {
    const CLIENT: &str = "198.51.100.7";
    for (trusted, peer, forwarded, counts_as) in [
        ("private", "10.0.0.1", "198.51.100.7", CLIENT),
        ("private", "203.0.113.9", "198.51.100.7", "203.0.113.9"),
        ("203.0.113.0/24", "203.0.113.9", "198.51.100.7", CLIENT),
        ("203.0.113.9", "203.0.113.9", "198.51.100.7", CLIENT),
        ("203.0.113.0/24", "10.0.0.1", "198.51.100.7", "10.0.0.1"),
        ("none", "127.0.0.1", "198.51.100.7", "127.0.0.1"),
        // Behind two proxies of ours; what stands before the client's own address, the client wrote.
        ("private, 203.0.113.0/24", "10.0.0.1", "6.6.6.6, 198.51.100.7, 203.0.113.9, 10.0.0.2", CLIENT),
        ("private", "10.0.0.1", "6.6.6.6, nonsense", "10.0.0.1"),
        ("2001:db8::/32", "2001:db8::1", "198.51.100.7", CLIENT),
    ] {
        let app = TestApp::with(&[("GUILDHALL_RATE", "1/10s"), ("GUILDHALL_TRUSTED_PROXIES", trusted)]).await;
        let from = async |peer: &str, forwarded: Option<&str>| {
            let mut request = http::Request::get("/meta/version");
            if let Some(forwarded) = forwarded {
                request = request.header("x-forwarded-for", forwarded);
            }
            let mut request = request.body(http_body_util::Full::default()).unwrap();
            request.extensions_mut().insert(Peer(peer.parse().unwrap()));
            app.call(request).await.status.as_u16()
        };
        assert_eq!(from(peer, Some(forwarded)).await, 200);
        // Whoever it counted as has asked; anybody else has not.
        let asked: Vec<&str> = [CLIENT, "203.0.113.9", "10.0.0.1", "127.0.0.1", "6.6.6.6", "10.0.0.2"].into();
        for other in asked.into_iter().filter(|address| *address != peer || counts_as == peer) {
            let expected = if other == counts_as { 429 } else { 200 };
            assert_eq!(
                from(other, None).await,
                expected,
                "{trusted}: {peer} for {forwarded}, asked by {other}"
            );
        }
    }
}

/// Printed: a page of an inbox of thousands of channels. `scripts/dev test an_inbox_of_thousands -- --nocapture`.
#[tokio::test(flavor = "multi_thread")]
async fn an_inbox_of_thousands_is_reached_whole_page_by_page() {
    const CHANNELS: usize = 3_000;
    let app = TestApp::new().await;
    // A disk that is busy may want to be asked again.
    let done = async |actor: Actor<'_>, path: &str, input: Value| {
        let asking = async || (actor.post(path, input.clone()).await.status == 200).then_some(());
        eventually(path, asking).await;
    };
    for chunk in (0..CHANNELS).collect::<Vec<_>>().chunks(50) {
        join_all(chunk.iter().map(async |n| {
            let id = format!("guild-{n}");
            let guild = json!({ "id": id, "kind": "guild", "members": ["alice", "bob"] });
            done(app.server(), "/channel/create", guild).await;
            let hello = json!({ "channel": id, "text": "hello", "nonce": "n" });
            done(app.player("bob"), "/message/send", hello).await;
        }))
        .await;
    }
    let (mut path, mut seen, mut slowest) = ("/channel/inbox".to_owned(), 0, std::time::Duration::ZERO);
    loop {
        let started = std::time::Instant::now();
        let page = app.player("alice").get(&path).await.data();
        slowest = slowest.max(started.elapsed());
        seen += page["channels"].as_array().unwrap().len();
        let Some(next) = page["next"].as_str() else { break };
        path = format!("/channel/inbox?after={next}");
    }
    println!("{seen} channels in pages of 100, the slowest in {slowest:?}");
    assert_eq!(seen, CHANNELS);
}

//! Who somebody is: the game's server is no player, names are made safe, and nobody gets in by a token's odd claims.

use guildhall::access::token::{Audience, Claims, mint};
use guildhall::chat::identity::Scope;
use guildhall::chat::values::Name;
use guildhall::config::Secret;
use serde_json::{Value, json};

use crate::help::{SECRET, TestApp, claims};

fn sign(claims: &Claims) -> String {
    mint(&Secret::new(SECRET).unwrap(), claims).unwrap()
}

/// A player whose id is the server's: other nonces, no right to its messages, and clients can tell them apart.
#[tokio::test]
async fn a_player_named_like_the_server_is_somebody_else() {
    let app = TestApp::new().await;
    app.world("world", &["game"]).await;
    let (server, player) = (app.server(), app.player("game"));
    let input = json!({ "channel": "world", "text": "maintenance at noon", "nonce": "n" });
    let announced = server.post("/message/send", input.clone()).await.data();
    assert_eq!(announced["message"]["sender"], json!({ "id": "game", "name": "game", "scope": "server" }));
    assert_eq!(server.post("/message/send", input.clone()).await.data()["replayed"], true);
    let said = player.post("/message/send", input).await.data();
    assert_eq!(
        (&said["replayed"], &said["message"]["sender"]),
        (&json!(false), &json!({ "id": "game", "name": "game" }))
    );
    let recall = json!({ "channel": "world", "seq": announced["message"]["seq"] });
    let reply = player.post("/message/recall", recall.clone()).await;
    assert_eq!(
        (reply.code().as_str(), &reply.body["error"]["details"]["reason"]),
        ("forbidden", &json!("not_yours"))
    );
    let recalled = server.post("/message/recall", recall).await.data();
    assert_eq!(recalled["message"]["sender"]["scope"], "server");
}

#[tokio::test]
async fn ids_that_look_like_direct_channels_are_refused() {
    let app = TestApp::new().await;
    for kind in ["world", "guild"] {
        let reply = app.server().post("/channel/create", json!({ "id": "direct:0123", "kind": kind })).await;
        assert_eq!(reply.code(), "invalid_input");
    }
}

async fn status(app: &TestApp, claims: &Claims) -> u16 {
    app.with_token(&sign(claims)).get("/channel/inbox").await.status.as_u16()
}

#[tokio::test]
async fn a_token_that_does_not_hold_yet_or_is_for_another_is_refused() {
    let app = TestApp::new().await;
    let base = claims("alice", Scope::Player);
    let now = app.clock.now().unsigned_abs() / 1_000;
    assert_eq!(status(&app, &Claims { nbf: Some(now + 3_600), ..base.clone() }).await, 401);
    assert_eq!(status(&app, &Claims { nbf: Some(now), ..base.clone() }).await, 200);
    let one = |name: &str| Some(Audience::One(name.to_owned()));
    assert_eq!(status(&app, &Claims { aud: one("anybody"), ..base.clone() }).await, 200, "none is asked for");
    let app = TestApp::with(&[("GUILDHALL_TOKEN_AUDIENCE", "chat")]).await;
    let several = Some(Audience::Several(vec!["shop".to_owned(), "chat".to_owned()]));
    for (audience, expected) in [(None, 401), (one("shop"), 401), (one("chat"), 200), (several, 200)] {
        let claims = Claims { aud: audience, ..base.clone() };
        assert_eq!(status(&app, &claims).await, expected, "{:?}", claims.aud);
    }
}

async fn shown_name(app: &TestApp, name: &str) -> Value {
    let claims = Claims { name: Some(Name::parse(name).unwrap()), ..claims("alice", Scope::Player) };
    let alice = app.with_token(&sign(&claims));
    let message = alice.say("world", "hello").await;
    let place = json!({ "channel": "world", "seq": message["seq"] });
    let recalled = alice.post("/message/recall", place).await.data();
    assert_eq!(recalled["message"]["sender"]["name"], message["sender"]["name"], "wherever it is shown");
    message["sender"]["name"].clone()
}

#[tokio::test]
async fn names_are_made_safe_like_text() {
    let app = TestApp::new().await;
    app.world("world", &["alice"]).await;
    for (name, shown) in [
        ("Alice", "Alice"),
        ("\u{202e}ecilA", "ecilA"),
        ("a\nb\u{2028}c", "a b c"),
        ("<size=99>Big", "＜size=99>Big"),
        ("Mr Badword", "Mr *******"),
    ] {
        assert_eq!(shown_name(&app, name).await, shown);
    }
    let app = TestApp::with(&[("GUILDHALL_FILTER_NAMES", "off")]).await;
    app.world("world", &["alice"]).await;
    assert_eq!(shown_name(&app, "Mr Badword").await, "Mr Badword");
}

#[tokio::test]
async fn a_message_of_nothing_that_can_be_seen_is_refused() {
    let app = TestApp::new().await;
    app.world("world", &["alice"]).await;
    for text in [
        " ",
        "\n\t",
        "\u{3164}",
        "\u{2800}\u{2800}",
        "\u{ad}",
        "\u{200b} \u{feff}",
        "\u{202e}",
        "\u{1160}\u{301}",
    ] {
        let reply =
            app.player("alice").post("/message/send", json!({ "channel": "world", "text": text })).await;
        assert_eq!(reply.code(), "invalid_input", "{:?}", text.escape_unicode().to_string());
    }
    for text in [".", "👍", "é", "ㅋ", "\u{3164}a"] {
        app.player("alice").say("world", text).await;
    }
}

#[tokio::test]
async fn somebody_whose_name_is_not_seen_has_their_id_for_one() {
    let app = TestApp::new().await;
    app.world("world", &["alice"]).await;
    let mut tried = 0;
    for name in ["   ", "\u{200b}", "\u{fff9}", "\u{1d173}\u{2800}"] {
        let Ok(name) = Name::parse(name) else { continue };
        let token = sign(&Claims { name: Some(name.clone()), ..claims("alice", Scope::Player) });
        let input = json!({ "channel": "world", "text": "hello" });
        let said = app.with_token(&token).post("/message/send", input).await.data();
        assert_eq!(said["message"]["sender"]["name"], "alice", "{name:?}");
        tried += 1;
    }
    assert!(tried > 1, "{tried}");
}

/// What display safety takes away is nothing to the filter: a word is judged as it will be shown.
#[tokio::test]
async fn a_word_is_judged_as_it_is_shown() {
    let app = TestApp::new().await;
    app.world("world", &["alice"]).await;
    for mark in ["\u{fff9}", "\u{2800}\u{2800}", "\u{7f}", "\u{9b}", "\u{1d173}", "\u{2065}", "\u{e0080}"] {
        for word in [["f", "ucking"], ["id", "iotic"]] {
            let text = format!("{}{mark}{}", word[0], word[1]);
            let input = json!({ "channel": "world", "text": text, "payload": { "p": text } });
            let said = app.player("alice").post("/message/send", input).await.data();
            let shown = said["message"].to_string();
            assert!(!shown.contains(&word.concat()), "{mark:?}: {shown}");
        }
    }
}

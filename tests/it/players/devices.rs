//! What players are told on their devices while they are away: what was said to them, once, and nothing that they may not
//! see. The push services are fakes that check what the real ones document.

use std::collections::{BTreeSet, HashMap};
use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use guildhall::base::random;
use guildhall::store::{online, process};
use http_body_util::{BodyExt, Full};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::help::TestApp;
use crate::help::process::eventually;

/// What came to a fake: its path, its headers, its body.
#[derive(Clone, Debug)]
pub struct Came {
    pub path: String,
    pub headers: http::HeaderMap,
    pub body: Value,
}

/// A push service that is none; by HTTP/1.1, or by HTTP/2 alone.
pub struct FakePush {
    pub url: String,
    came: Arc<Mutex<Vec<Came>>>,
    /// What is answered to a path or a token: status and body. 200 without.
    answers: Arc<Mutex<HashMap<String, (u16, Value)>>>,
    /// It answers while nobody has this.
    pause: Arc<tokio::sync::Mutex<()>>,
}

impl FakePush {
    pub async fn start(http2: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (came, answers) = (Arc::<Mutex<Vec<Came>>>::default(), Arc::<Mutex<HashMap<_, _>>>::default());
        let pause = Arc::<tokio::sync::Mutex<()>>::default();
        let (all, given, paused) = (Arc::clone(&came), Arc::clone(&answers), Arc::clone(&pause));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (all, given, paused) = (Arc::clone(&all), Arc::clone(&given), Arc::clone(&paused));
                let service = service_fn(move |request| {
                    answer(request, Arc::clone(&all), Arc::clone(&given), Arc::clone(&paused))
                });
                let stream = TokioIo::new(stream);
                if http2 {
                    tokio::spawn(
                        hyper::server::conn::http2::Builder::new(TokioExecutor::new())
                            .serve_connection(stream, service),
                    );
                } else {
                    tokio::spawn(
                        hyper::server::conn::http1::Builder::new().serve_connection(stream, service),
                    );
                }
            }
        });
        Self { url, came, answers, pause }
    }

    pub fn came(&self) -> Vec<Came> {
        self.came.lock().unwrap().clone()
    }

    pub fn answer(&self, to: &str, status: u16, body: Value) {
        self.answers.lock().unwrap().insert(to.to_owned(), (status, body));
    }
}

async fn answer(
    request: http::Request<hyper::body::Incoming>,
    came: Arc<Mutex<Vec<Came>>>,
    answers: Arc<Mutex<HashMap<String, (u16, Value)>>>,
    pause: Arc<tokio::sync::Mutex<()>>,
) -> Result<http::Response<Full<Bytes>>, Infallible> {
    let (parts, body) = request.into_parts();
    let bytes = body.collect().await.unwrap().to_bytes();
    let body: Value =
        serde_json::from_slice(&bytes).unwrap_or_else(|_| String::from_utf8_lossy(&bytes).into());
    let path = parts.uri.path().to_owned();
    let token =
        body["message"]["token"].as_str().or(body["data"]["token"].as_str()).unwrap_or(&path).to_owned();
    came.lock().unwrap().push(Came { path, headers: parts.headers, body });
    drop(pause.lock().await);
    let (status, body) = answers.lock().unwrap().get(&token).cloned().unwrap_or((200, json!({})));
    let mut answer = http::Response::new(Full::from(body.to_string()));
    *answer.status_mut() = http::StatusCode::from_u16(status).unwrap();
    Ok(answer)
}

/// An application whose generic gateway is a fake.
async fn app(fake: &FakePush) -> TestApp {
    let app = TestApp::with(&[
        ("GUILDHALL_PUSH_URL", &fake.url),
        ("GUILDHALL_PUSH_SECRET", "what the gateway and the chat share, 32"),
    ])
    .await;
    app.guild("g", &["alice", "bob", "carol"]).await;
    for player in ["alice", "bob", "carol"] {
        register(&app, player, json!({ "platform": "generic", "token": format!("token-of-{player}") })).await;
    }
    app
}

pub async fn register(app: &TestApp, player: &str, input: Value) {
    assert_eq!(app.player(player).post("/device/register", input).await.data(), json!({}));
}

pub async fn direct(app: &TestApp, one: &str, other: &str) -> String {
    let made = app.player(one).post("/channel/direct", json!({ "player": other })).await.data();
    made["id"].as_str().unwrap().to_owned()
}

/// Who was told what, and how many things that stands for.
async fn told(app: &TestApp, fake: &FakePush) -> Vec<(String, String, i64)> {
    app.run_tasks().await;
    app.clock.advance(6_000);
    app.run_tasks().await;
    let came = std::mem::take(&mut *fake.came.lock().unwrap());
    let read = |one: Came| {
        let (token, notice) =
            (one.body["data"]["token"].as_str().unwrap().to_owned(), &one.body["data"]["notice"]);
        (
            token.replace("token-of-", ""),
            notice["body"].as_str().unwrap().to_owned(),
            notice["count"].as_i64().unwrap(),
        )
    };
    let mut told: Vec<_> = came.into_iter().map(read).collect();
    told.sort();
    told
}

fn of(all: &[(&str, &str, i64)]) -> Vec<(String, String, i64)> {
    all.iter().map(|(who, what, count)| ((*who).to_owned(), (*what).to_owned(), *count)).collect()
}

#[tokio::test]
async fn several_messages_are_one_push_and_what_was_read_is_none() {
    let fake = FakePush::start(false).await;
    let app = app(&fake).await;
    let channel = direct(&app, "alice", "bob").await;
    for n in 1..=3 {
        app.player("alice").say(&channel, &format!("hello {n}")).await;
    }
    assert_eq!(told(&app, &fake).await, of(&[("bob", "hello 3", 3)]));
    assert_eq!(told(&app, &fake).await, [], "once");
    app.player("alice").say(&channel, "read at once").await;
    app.run_tasks().await;
    app.player("bob").post("/channel/read", json!({ "channel": channel, "seq": 4 })).await.data();
    assert_eq!(told(&app, &fake).await, []);
    app.player("alice").say(&channel, "and this").await;
    assert_eq!(told(&app, &fake).await, of(&[("bob", "and this", 1)]));
    app.player("bob").post("/device/unregister", json!({ "token": "token-of-bob" })).await.data();
    app.player("alice").say(&channel, "nobody there").await;
    assert_eq!(told(&app, &fake).await, []);
}

#[tokio::test]
async fn of_a_guild_those_are_told_who_are_mentioned_or_want_it() {
    let fake = FakePush::start(false).await;
    let app = app(&fake).await;
    let prefer = async |player: &str, notify: &str, until: Value| {
        let input = json!({ "channel": "g", "notify": notify, "mute_until": until });
        app.player(player).post("/device/preference", input).await.data();
    };
    app.player("alice").say("g", "to all").await;
    assert_eq!(told(&app, &fake).await, [], "mentions alone, unless they say otherwise");
    let mention = json!({ "channel": "g", "text": "hey bob", "mentions": ["bob"] });
    app.player("alice").post("/message/send", mention.clone()).await.data();
    assert_eq!(told(&app, &fake).await, of(&[("bob", "hey bob", 1)]));
    app.player("alice").say("g", "before it").await;
    app.player("alice").post("/message/send", mention.clone()).await.data();
    app.player("alice").say("g", "behind it").await;
    assert_eq!(told(&app, &fake).await, of(&[("bob", "hey bob", 1)]), "what else is said counts not");
    prefer("bob", "none", Value::Null).await;
    prefer("carol", "all", Value::Null).await;
    app.player("alice").post("/message/send", mention).await.data();
    assert_eq!(told(&app, &fake).await, of(&[("carol", "hey bob", 1)]));
    prefer("carol", "all", json!(app.clock.now() + 60_000)).await;
    app.player("alice").say("g", "not now").await;
    assert_eq!(told(&app, &fake).await, []);
    app.world("w", &["alice", "bob", "carol"]).await;
    app.player("carol").post("/device/preference", json!({ "channel": "w", "notify": "all" })).await.data();
    app.player("alice").say("w", "to the world").await;
    let mention = json!({ "channel": "w", "text": "hey bob", "mentions": ["bob", "nobody"] });
    app.player("alice").post("/message/send", mention).await.data();
    assert_eq!(told(&app, &fake).await, of(&[("bob", "hey bob", 1)]), "of a world, mentions alone");
    let wrong = json!({ "channel": "other", "notify": "all" });
    assert_eq!(app.player("bob").post("/device/preference", wrong).await.code(), "not_found");
}

/// Not what was masked, nor from whom they block, nor what a shadow hides, nor what was taken back.
#[tokio::test]
async fn nobody_is_told_what_they_may_not_see() {
    let fake = FakePush::start(false).await;
    let app = app(&fake).await;
    let channel = direct(&app, "alice", "bob").await;
    app.player("alice").say(&channel, "you badword").await;
    assert_eq!(told(&app, &fake).await, of(&[("bob", "you *******", 1)]));
    app.player("alice").say(&channel, "oops").await;
    app.run_tasks().await;
    app.player("alice").post("/message/recall", json!({ "channel": channel, "seq": 2 })).await.data();
    assert_eq!(told(&app, &fake).await, []);
    app.player("alice").say(&channel, "before the block").await;
    app.run_tasks().await;
    app.player("bob").post("/player/block", json!({ "player": "alice" })).await.data();
    assert_eq!(told(&app, &fake).await, []);
    let mention = json!({ "channel": "g", "text": "hey bob", "mentions": ["bob"] });
    app.player("alice").post("/message/send", mention.clone()).await.data();
    assert_eq!(told(&app, &fake).await, []);
    let shadow = json!({ "player": "carol", "kind": "shadow", "where": "everywhere", "reason": "r" });
    app.moderator("mod").post("/sanction/give", shadow).await.data();
    app.player("carol").post("/message/send", mention).await.data();
    assert_eq!(told(&app, &fake).await, []);
}

#[tokio::test]
async fn a_device_is_left_alone_in_its_quiet_hours_and_forgotten_when_it_is_gone() {
    let fake = FakePush::start(false).await;
    let app = app(&fake).await;
    let channel = direct(&app, "alice", "bob").await;
    let quiet = json!({ "platform": "generic", "token": "token-of-bob", "quiet_hours": { "from": "00:00", "to": "23:59", "zone": "UTC" } });
    register(&app, "bob", quiet).await;
    let minute = app.clock.now() / 60_000 % 1_440;
    // Not in the one minute that is not quiet.
    app.clock.advance(if minute >= 1_438 { 180_000 } else { 0 });
    app.player("alice").say(&channel, "sleep well").await;
    assert_eq!(told(&app, &fake).await, []);
    register(&app, "bob", json!({ "platform": "generic", "token": "token-of-bob" })).await;
    fake.answer("token-of-bob", 410, json!({}));
    app.player("alice").say(&channel, "are you there").await;
    assert_eq!(told(&app, &fake).await.len(), 1);
    app.player("alice").say(&channel, "hello?").await;
    assert_eq!(told(&app, &fake).await, [], "the gateway called it gone");
    for wrong in [
        json!({ "platform": "pager", "token": "x" }),
        json!({ "platform": "fcm", "token": "" }),
        json!({ "platform": "fcm", "token": "a b" }),
        json!({ "platform": "fcm", "token": "x".repeat(3_000) }),
        json!({ "platform": "fcm", "token": "x", "quiet_hours": { "from": "22:00", "to": "8:00", "zone": "UTC" } }),
        json!({ "platform": "fcm", "token": "x", "quiet_hours": { "from": "22:00", "to": "08:00", "zone": "Mars" } }),
    ] {
        assert_eq!(
            app.player("bob").post("/device/register", wrong.clone()).await.code(),
            "invalid_input",
            "{wrong}"
        );
    }
}

/// The gateway fails for a while; then each is told.
#[tokio::test]
async fn a_push_that_fails_is_tried_again() {
    let fake = FakePush::start(false).await;
    let app = app(&fake).await;
    let channel = direct(&app, "alice", "bob").await;
    fake.answer("token-of-bob", 503, json!({}));
    app.player("alice").say(&channel, "hello").await;
    assert_eq!(told(&app, &fake).await.len(), 1);
    fake.answers.lock().unwrap().clear();
    assert_eq!(told(&app, &fake).await, of(&[("bob", "hello", 1)]));
    assert_eq!(told(&app, &fake).await, []);
}

/// Its player is told later, and given up in the end; nobody else waits.
#[tokio::test]
async fn one_that_fails_holds_nobody_up() {
    let fake = FakePush::start(false).await;
    let app = app(&fake).await;
    fake.answer("token-of-bob", 503, json!({}));
    let mention = json!({ "channel": "g", "text": "all of you", "mentions": ["bob", "carol"] });
    app.player("alice").post("/message/send", mention).await.data();
    assert_eq!(told(&app, &fake).await, of(&[("bob", "all of you", 1), ("carol", "all of you", 1)]));
    let mut tries = 1;
    for _ in 0..12 {
        app.clock.advance(700_000);
        let again = told(&app, &fake).await;
        assert!(again.iter().all(|(who, ..)| who == "bob"), "{again:?}");
        tries += again.len();
    }
    assert_eq!(tries, 8);
    fake.answers.lock().unwrap().clear();
    let direct = direct(&app, "alice", "bob").await;
    app.player("alice").say(&direct, "are you back").await;
    assert_eq!(told(&app, &fake).await, of(&[("bob", "are you back", 1)]), "what was given up stays so");
}

/// A socket that is open may be dead: it answers for what was said a minute before, not for what was said behind that.
#[tokio::test]
async fn who_has_a_socket_is_told_by_it_unless_it_was_dead() {
    let fake = FakePush::start(false).await;
    let app = app(&fake).await;
    let (db, here, bob) = (&app.app.db, random::id(), ["bob".to_owned()]);
    process::enter(db, &here, app.clock.now()).await.unwrap();
    online::enter(db, &here, &bob).await.unwrap();
    let channel = direct(&app, "alice", "bob").await;
    let later = async |ms: i64| {
        app.clock.advance(ms);
        assert!(process::renew(db, &here, app.clock.now()).await.unwrap());
    };
    app.player("alice").say(&channel, "one").await;
    assert_eq!(told(&app, &fake).await, [], "6 s");
    later(60_000).await;
    assert_eq!(told(&app, &fake).await, [], "72 s: the socket answered since");
    online::leave(db, &here, &bob).await.unwrap();
    assert_eq!(told(&app, &fake).await, []);
    online::enter(db, &here, &bob).await.unwrap();
    app.player("alice").say(&channel, "two").await;
    assert_eq!(told(&app, &fake).await, [], "6 s");
    later(50_000).await;
    app.player("alice").say(&channel, "three").await;
    assert_eq!(told(&app, &fake).await, [], "62 s");
    later(5_000).await;
    assert_eq!(told(&app, &fake).await, [], "73 s: it answered for two, not yet for three");
    online::leave(db, &here, &bob).await.unwrap();
    later(60_000).await;
    assert_eq!(told(&app, &fake).await, of(&[("bob", "three", 2)]), "it was dead");
}

/// More than one task takes at one time, each under one id.
#[tokio::test]
async fn each_of_many_is_told_once() {
    let fake = FakePush::start(false).await;
    let app = app(&fake).await;
    let names: Vec<String> = (0..1_500).map(|n| format!("player-{n}")).collect();
    let members: Vec<&str> = names.iter().map(String::as_str).collect();
    for members in members.chunks(500) {
        app.guild(&format!("guild-of-{}", members[0]), members).await;
    }
    for name in &names {
        register(&app, name, json!({ "platform": "generic", "token": format!("token-of-{name}") })).await;
    }
    for members in names.chunks(500) {
        for mentioned in members.chunks(10) {
            let channel = format!("guild-of-{}", members[0]);
            let mention = json!({ "channel": channel, "text": "raid now", "mentions": mentioned });
            app.server().post("/message/send", mention).await.data();
        }
    }
    for _ in 0..2 {
        app.run_tasks().await;
        app.clock.advance(6_000);
        app.run_tasks().await;
        // Whoever takes a push and whose answer gets lost is asked again, under the same id.
        let told: BTreeSet<(String, String)> = fake.came().iter().map(token_and_id).collect();
        let tokens: BTreeSet<&str> = told.iter().map(|(token, _)| token.as_str()).collect();
        assert_eq!((told.len(), tokens.len()), (names.len(), names.len()));
    }
}

fn token_and_id(one: &Came) -> (String, String) {
    let text = |of: &Value| of.as_str().unwrap().to_owned();
    (text(&one.body["data"]["token"]), text(&one.body["data"]["notice"]["id"]))
}

/// A message that comes while its player is told of another is told of later.
#[tokio::test]
async fn what_is_said_while_its_player_is_told_is_not_lost() {
    let fake = FakePush::start(false).await;
    let app = app(&fake).await;
    let channel = direct(&app, "alice", "bob").await;
    app.player("alice").say(&channel, "one").await;
    app.run_tasks().await;
    app.clock.advance(6_000);
    let paused = fake.pause.lock().await;
    let said = async {
        eventually("a push", async || (fake.came().len() == 1).then_some(())).await;
        app.player("alice").say(&channel, "two").await;
        app.run_tasks().await;
        drop(paused);
    };
    tokio::join!(app.run_tasks(), said);
    assert_eq!(told(&app, &fake).await, of(&[("bob", "one", 1), ("bob", "two", 1)]));
    assert_eq!(told(&app, &fake).await, []);
}

#[tokio::test]
async fn an_announcement_reaches_devices_of_those_whom_it_concerns_in_their_language() {
    let fake = FakePush::start(false).await;
    let app = app(&fake).await;
    register(&app, "bob", json!({ "platform": "generic", "token": "token-of-bob", "language": "zh-CN" }))
        .await;
    let input = json!({ "texts": { "en": "hello", "zh-CN": "你好" }, "audience": { "everybody": true }, "when": { "now": true }, "push": true });
    app.server().post("/announcement/create", input).await.data();
    assert_eq!(
        told(&app, &fake).await,
        of(&[("alice", "hello", 1), ("bob", "你好", 1), ("carol", "hello", 1)])
    );
    assert_eq!(told(&app, &fake).await, []);
    let input = json!({ "texts": { "en": "high" }, "audience": { "min_level": 5 }, "when": { "now": true }, "push": true });
    app.server().post("/announcement/create", input).await.data();
    assert_eq!(told(&app, &fake).await, []);
}

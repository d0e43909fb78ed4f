//! What payment providers call back with: believed by each one's own signature, stored once, told in order.
//!
//! The keys are made here; what is signed, and how, is as the providers document it.

use std::collections::HashMap;
use std::fs;
use std::sync::atomic::Ordering;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use hmac::{Hmac, KeyInit, Mac};
use http::Request;
use http_body_util::{BodyExt, Full};
use serde_json::{Value, json};
use sha2::Sha256;

use crate::help::TestApp;
use crate::help::receiver::{Receiver, WEBHOOK_SECRET};

pub const STRIPE: &str = "whsec_of_the_tests_and_nobody_else";
pub const STANDARD_KEY: &[u8] = b"a key of thirty-two bytes or so!";

/// A callback as it goes over the wire.
#[derive(Clone)]
pub struct Sent {
    pub path: &'static str,
    pub headers: HashMap<&'static str, String>,
    pub body: Vec<u8>,
}

impl Sent {
    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.insert(name, value.into());
        self
    }
}

/// The status and the body of the answer.
pub async fn send(app: &TestApp, sent: &Sent) -> (u16, String) {
    let mut request = Request::post(sent.path);
    for (name, value) in &sent.headers {
        request = request.header(*name, value);
    }
    let answer = app.router().handle(request.body(Full::new(Bytes::from(sent.body.clone()))).unwrap()).await;
    let status = answer.status().as_u16();
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

fn hmac(key: &[u8], parts: &[&[u8]]) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
    parts.iter().for_each(|part| mac.update(part));
    mac.finalize().into_bytes().to_vec()
}

fn hex(bytes: &[u8]) -> String {
    guildhall::base::random::to_hex(bytes)
}

pub fn seconds(app: &TestApp) -> i64 {
    app.clock.now() / 1_000
}

pub fn stripe_signed(secret: &str, at: i64, body: &[u8]) -> Sent {
    let signature = hex(&hmac(secret.as_bytes(), &[at.to_string().as_bytes(), b".", body]));
    let headers = HashMap::from([("stripe-signature", format!("t={at},v1={signature}"))]);
    Sent { path: "/payment/callback?provider=stripe", headers, body: body.to_vec() }
}

pub fn stripe_event(id: &str, player: &str) -> Value {
    json!({
        "id": id, "object": "event", "type": "payment_intent.succeeded", "created": 1_790_000_000,
        "data": { "object": { "id": "pi_1", "object": "payment_intent", "amount": 499, "metadata": { "player": player } } },
    })
}

pub fn stripe(app: &TestApp, event: &Value) -> Sent {
    stripe_signed(STRIPE, seconds(app), event.to_string().as_bytes())
}

fn standard(key: &[u8], id: &str, at: i64, body: &Value) -> Sent {
    let body = body.to_string().into_bytes();
    let signature =
        STANDARD.encode(hmac(key, &[id.as_bytes(), b".", at.to_string().as_bytes(), b".", &body]));
    let headers = HashMap::from([
        ("webhook-id", id.to_owned()),
        ("webhook-timestamp", at.to_string()),
        ("webhook-signature", format!("v1,{signature}")),
    ]);
    Sent { path: "/payment/callback?provider=standard", headers, body }
}

async fn app(receiver: &Receiver, more: &[(&str, &str)]) -> TestApp {
    let whsec = format!("whsec_{}", STANDARD.encode(STANDARD_KEY));
    let url = receiver.url();
    let variables = [
        ("GUILDHALL_WEBHOOK_URL", url.as_str()),
        ("GUILDHALL_WEBHOOK_SECRET", WEBHOOK_SECRET),
        ("GUILDHALL_PAYMENT_STRIPE_SECRET", STRIPE),
        ("GUILDHALL_PAYMENT_STANDARD_SECRET", &whsec),
    ];
    TestApp::with(&[&variables, more].concat()).await
}

/// What the game's server took: each event's data, in order.
fn told(receiver: &Receiver) -> Vec<Value> {
    let taken = receiver.taken.lock().unwrap();
    let events = receiver.events.lock().unwrap();
    let data = |id: &String| {
        let (_, body) =
            events.iter().rev().find(|(headers, _)| headers["webhook-id"] == id.as_str()).unwrap();
        let event: Value = serde_json::from_str(body).unwrap();
        assert_eq!((&event["type"], &event["id"]), (&json!("payment.received"), &json!(id)));
        event["data"].clone()
    };
    taken.iter().map(data).collect()
}

#[tokio::test]
async fn a_payment_is_stored_once_and_told_to_the_games_server() {
    let receiver = Receiver::start().await;
    let app = app(&receiver, &[("GUILDHALL_PAYMENT_TOLD", "payment_intent.succeeded")]).await;
    let event = stripe_event("evt_1", "alice");
    let sent = stripe(&app, &event);
    for _ in 0..3 {
        assert_eq!(send(&app, &sent).await, (200, r#"{"received":true}"#.to_owned()));
    }
    app.run_tasks().await;
    assert_eq!(send(&app, &sent).await.0, 200, "it is known for long");
    app.run_tasks().await;
    let expected = json!({
        "provider": "stripe", "event": "evt_1", "kind": "payment_intent.succeeded", "player": "alice", "payload": event,
    });
    assert_eq!(told(&receiver), [expected]);
    let inbox = app.player("alice").get("/channel/inbox").await.data();
    let channel = &inbox["channels"][0]["channel"];
    assert_eq!(channel["kind"], "system");
    let own = app.player("alice").history(channel["id"].as_str().unwrap()).await;
    assert_eq!((own.len(), &own[0]["payload"]["type"]), (1, &json!("payment")));
}

#[tokio::test]
async fn standard_webhooks_are_taken_from_whoever_has_the_secret() {
    let receiver = Receiver::start().await;
    let app = app(&receiver, &[]).await;
    let body = json!({ "type": "order.paid", "timestamp": "2026-11-27T00:00:00Z", "data": { "player": "bob", "order": 7 } });
    let sent = standard(STANDARD_KEY, "msg_1", seconds(&app), &body);
    let both = sent
        .clone()
        .with("webhook-signature", format!("v1,AAAA v1a,BBBB {}", sent.headers["webhook-signature"]));
    assert_eq!(send(&app, &both).await.0, 200);
    app.run_tasks().await;
    let data = &told(&receiver)[0];
    assert_eq!(
        (&data["event"], &data["kind"], &data["player"]),
        (&json!("msg_1"), &json!("order.paid"), &json!("bob"))
    );
}

/// A name for each, what is sent, the status, and the code.
#[tokio::test]
async fn what_is_not_the_providers_is_refused_and_never_stored() {
    let receiver = Receiver::start().await;
    let app = app(&receiver, &[]).await;
    let now = seconds(&app);
    let event = stripe_event("evt_1", "alice").to_string().into_bytes();
    let good = stripe_signed(STRIPE, now, &event);
    let of = |at: i64| stripe_signed(STRIPE, at, &event);
    let huge = vec![b'x'; 300 * 1024];
    let other = Sent { path: "/payment/callback?provider=paypal", ..good.clone() };
    let none = Sent { path: "/payment/callback", ..good.clone() };
    let off = Sent { path: "/payment/callback?provider=apple", ..good.clone() };
    let table = [
        ("another's secret", stripe_signed("whsec_of_somebody_else", now, &event), 401, "unauthenticated"),
        ("no signature", Sent { headers: HashMap::new(), ..good.clone() }, 401, "unauthenticated"),
        ("an empty one", good.clone().with("stripe-signature", ""), 401, "unauthenticated"),
        ("one without a time", good.clone().with("stripe-signature", "v1=00"), 401, "unauthenticated"),
        ("no hex", good.clone().with("stripe-signature", format!("t={now},v1=zz")), 401, "unauthenticated"),
        (
            "an old scheme only",
            good.clone().with("stripe-signature", format!("t={now},v0=00")),
            401,
            "unauthenticated",
        ),
        (
            "another body",
            Sent { body: stripe_event("evt_1", "mallory").to_string().into_bytes(), ..good.clone() },
            401,
            "unauthenticated",
        ),
        ("one byte more", Sent { body: [&event[..], b" "].concat(), ..good.clone() }, 401, "unauthenticated"),
        ("six minutes ago", of(now - 360), 401, "unauthenticated"),
        ("in six minutes", of(now + 360), 401, "unauthenticated"),
        ("no time at all", of(i64::MAX), 401, "unauthenticated"),
        ("no JSON", stripe_signed(STRIPE, now, b"paid!"), 400, "invalid_input"),
        ("no id", stripe_signed(STRIPE, now, b"{\"type\":\"x\"}"), 400, "invalid_input"),
        ("a list", stripe_signed(STRIPE, now, b"[]"), 400, "invalid_input"),
        ("nothing", stripe_signed(STRIPE, now, b""), 400, "invalid_input"),
        ("too much", stripe_signed(STRIPE, now, &huge), 413, "too_large"),
        ("nobody's", other, 400, "invalid_input"),
        ("without a name", none, 400, "invalid_input"),
        ("one that is not set up", off, 403, "forbidden"),
        (
            "by another's way",
            standard(b"of somebody else, 32 bytes long!", "m", now, &json!({})),
            401,
            "unauthenticated",
        ),
        (
            "another id",
            standard(STANDARD_KEY, "m1", now, &json!({})).with("webhook-id", "m2"),
            401,
            "unauthenticated",
        ),
    ];
    for (what, sent, status, code) in table {
        // Not held to how often it may be refused.
        app.clock.advance(3_000);
        let answer = send(&app, &sent).await;
        assert_eq!(answer.0, status, "{what}: {}", answer.1);
        let body: Value = serde_json::from_str(&answer.1).unwrap();
        assert_eq!(body["error"]["code"], code, "{what}");
    }
    app.run_tasks().await;
    assert_eq!(receiver.count(), 0);
}

/// What is known, or of a kind that nobody knows, is taken; and fields that nobody knows in the query.
#[tokio::test]
async fn unknown_kinds_and_unknown_parameters_are_taken() {
    let receiver = Receiver::start().await;
    let app = app(&receiver, &[]).await;
    let event =
        json!({ "id": "evt_9", "type": "radar.early_fraud_warning.created", "data": { "object": {} } });
    let sent = Sent { path: "/payment/callback?provider=stripe&utm=1", ..stripe(&app, &event) };
    assert_eq!(send(&app, &sent).await.0, 200);
    app.run_tasks().await;
    assert_eq!(told(&receiver)[0]["player"], Value::Null);
}

#[tokio::test]
async fn a_secret_is_replaced_while_both_hold_and_a_file_is_read_again() {
    let receiver = Receiver::start().await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("secret");
    fs::write(&file, "the old secret\n").unwrap();
    let variables = [
        ("GUILDHALL_PAYMENT_STRIPE_SECRET", ""),
        ("GUILDHALL_PAYMENT_STRIPE_SECRET_FILE", file.to_str().unwrap()),
    ];
    let app = app(&receiver, &variables).await;
    let by = async |secret: &str| {
        let sent =
            stripe_signed(secret, seconds(&app), stripe_event("evt_1", "alice").to_string().as_bytes());
        send(&app, &sent).await.0
    };
    assert_eq!((by("the old secret").await, by("the new secret").await), (200, 401));
    fs::write(&file, "the old secret,the new secret").unwrap();
    app.clock.advance(61_000);
    assert_eq!((by("the old secret").await, by("the new secret").await), (200, 200));
    fs::write(&file, "the new secret").unwrap();
    app.clock.advance(61_000);
    assert_eq!((by("the old secret").await, by("the new secret").await), (401, 200));
    fs::remove_file(&file).unwrap();
    app.clock.advance(61_000);
    assert_eq!(by("the new secret").await, 200, "what was read last holds");
}

/// The game's server fails now and then; what comes first is told first, and each is told.
#[tokio::test]
async fn one_players_payments_are_told_in_the_order_of_storing() {
    const PAYMENTS: usize = 12;
    let receiver = Receiver::start().await;
    let app = app(&receiver, &[]).await;
    receiver.refuse_every.store(3, Ordering::SeqCst);
    for n in 0..PAYMENTS {
        for player in ["alice", "bob"] {
            assert_eq!(
                send(&app, &stripe(&app, &stripe_event(&format!("evt_{player}_{n:02}"), player))).await.0,
                200
            );
        }
        app.run_tasks().await;
    }
    receiver.refuse_every.store(0, Ordering::SeqCst);
    for _ in 0..4 {
        app.clock.advance(700_000);
        app.run_tasks().await;
    }
    let told = told(&receiver);
    for player in ["alice", "bob"] {
        let of_them: Vec<String> = told
            .iter()
            .filter(|data| data["player"] == player)
            .map(|data| data["event"].as_str().unwrap().to_owned())
            .collect();
        let all: Vec<String> = (0..PAYMENTS).map(|n| format!("evt_{player}_{n:02}")).collect();
        assert_eq!(of_them, all);
    }
}

/// A game server with a fault, which refuses what it will take once it is mended.
#[tokio::test]
async fn a_payment_that_the_games_server_refuses_comes_again_and_keeps_its_place() {
    let receiver = Receiver::start().await;
    let app = app(&receiver, &[]).await;
    receiver.status.store(400, Ordering::SeqCst);
    for event in ["evt_1", "evt_2"] {
        assert_eq!(send(&app, &stripe(&app, &stripe_event(event, "alice"))).await.0, 200);
        app.run_tasks().await;
    }
    for _ in 0..20 {
        app.clock.advance(700_000);
        app.run_tasks().await;
    }
    receiver.status.store(204, Ordering::SeqCst);
    app.clock.advance(700_000);
    app.run_tasks().await;
    let events: Vec<Value> = told(&receiver).into_iter().map(|data| data["event"].clone()).collect();
    assert_eq!(events, ["evt_1", "evt_2"]);
}

/// Many at once, the same event several times: each is stored once.
#[tokio::test(flavor = "multi_thread")]
async fn the_same_event_at_the_same_time_is_stored_once() {
    let receiver = Receiver::start().await;
    let app = app(&receiver, &[]).await;
    let sent: Vec<Sent> =
        (0..40).map(|n| stripe(&app, &stripe_event(&format!("evt_{}", n % 10), "alice"))).collect();
    let answers = futures_util::future::join_all(sent.iter().map(|sent| send(&app, sent))).await;
    assert!(answers.iter().all(|(status, _)| *status == 200), "{answers:?}");
    app.run_tasks().await;
    assert_eq!(told(&receiver).len(), 10);
}

/// Whoever tries signatures is not listened to for a while; who is believed is never held to that.
#[tokio::test]
async fn refused_callbacks_are_limited_and_others_are_not() {
    let receiver = Receiver::start().await;
    let app = app(&receiver, &[]).await;
    let from = |sent: Sent, address: &str| sent.with("x-forwarded-for", address);
    let bad = stripe_signed("whsec_of_somebody_else", seconds(&app), b"{}");
    let mut statuses = Vec::new();
    for _ in 0..40 {
        statuses.push(send(&app, &from(bad.clone(), "203.0.113.7")).await.0);
    }
    assert_eq!(statuses.iter().filter(|status| **status == 401).count(), 30, "{statuses:?}");
    assert_eq!(statuses[39], 429);
    for n in 0..100 {
        let good = stripe(&app, &stripe_event(&format!("evt_{n}"), "alice"));
        assert_eq!(send(&app, &from(good, "203.0.113.8")).await.0, 200);
    }
}

//! Callbacks of Google Play, with a key made here.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use aws_lc_rs::rsa::KeyPair as RsaKey;
use aws_lc_rs::signature::KeyPair;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use bytes::Bytes;
use http_body_util::Full;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::help::TestApp;
use crate::players::payment_providers::{expect, rsa, rsa_sign};
use crate::players::payments::{Sent, seconds, send};

/// Where Google's keys are, as far as this test goes.
struct FakeGoogleKeys {
    url: String,
    asked: Arc<AtomicUsize>,
}

impl FakeGoogleKeys {
    async fn start(keys: Value) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/certs", listener.local_addr().unwrap());
        let asked = Arc::<AtomicUsize>::default();
        let count = Arc::clone(&asked);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (keys, count) = (keys.clone(), Arc::clone(&count));
                let service = service_fn(move |_| {
                    count.fetch_add(1, Ordering::SeqCst);
                    let answer = http::Response::new(Full::<Bytes>::from(keys.to_string()));
                    async move { Ok::<_, std::convert::Infallible>(answer) }
                });
                tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
            }
        });
        Self { url, asked }
    }
}

fn token(key: &RsaKey, head: &Value, claims: &Value) -> String {
    let signed = format!(
        "{}.{}",
        URL_SAFE_NO_PAD.encode(head.to_string()),
        URL_SAFE_NO_PAD.encode(claims.to_string())
    );
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(rsa_sign(key, signed.as_bytes())))
}

fn claims(now: i64) -> Value {
    json!({
        "iss": "https://accounts.google.com", "aud": "https://chat.example.com", "email": "push@game.iam.gserviceaccount.com",
        "email_verified": true, "exp": now + 3_600, "iat": now, "sub": "1",
    })
}

fn push(token: &str, id: &str, package: &str) -> Sent {
    let told = json!({
        "version": "1.0", "packageName": package, "eventTimeMillis": "1790000000000",
        "oneTimeProductNotification": { "version": "1.0", "notificationType": 1, "purchaseToken": "p".repeat(300), "sku": "gems" },
    });
    let body = json!({
        "message": { "data": STANDARD.encode(told.to_string()), "messageId": id, "publishTime": "2026-11-27T10:00:00Z" },
        "subscription": "projects/game/subscriptions/play",
    });
    let headers = [("authorization", format!("Bearer {token}"))];
    Sent {
        path: "/payment/callback?provider=google",
        headers: headers.into(),
        body: body.to_string().into_bytes(),
    }
}

#[tokio::test]
async fn google_play_is_believed_by_its_token_and_its_keys_are_asked_for_seldom() {
    let (key, other) = (rsa(), rsa());
    let encoded = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    let public = key.public_key();
    let (n, e) = (
        public.modulus().big_endian_without_leading_zero().to_vec(),
        public.exponent().big_endian_without_leading_zero().to_vec(),
    );
    let keys = FakeGoogleKeys::start(json!({ "keys": [{ "kty": "RSA", "alg": "RS256", "use": "sig", "kid": "k1", "n": encoded(&n), "e": encoded(&e) }] })).await;
    let app = TestApp::with(&[
        ("GUILDHALL_PAYMENT_GOOGLE_PACKAGE", "com.example.game"),
        ("GUILDHALL_PAYMENT_GOOGLE_AUDIENCE", "https://chat.example.com"),
        ("GUILDHALL_PAYMENT_GOOGLE_EMAIL", "push@game.iam.gserviceaccount.com"),
        ("GUILDHALL_PAYMENT_GOOGLE_KEYS_URL", &keys.url),
    ])
    .await;
    let now = seconds(&app);
    let head = json!({ "alg": "RS256", "kid": "k1", "typ": "JWT" });
    let with = |name: &str, value: Value| {
        let mut claims = claims(now);
        claims[name] = value;
        push(&token(&key, &head, &claims), "m1", "com.example.game")
    };
    let good = token(&key, &head, &claims(now));
    let by_url = json!({ "alg": "RS256", "kid": "k1", "jku": "https://evil.example.com/keys" });
    let unknown = json!({ "alg": "RS256", "kid": "k2" });
    let table = vec![
        ("as it is", push(&good, "m1", "com.example.game"), 200),
        ("once more", push(&good, "m1", "com.example.game"), 200),
        ("another issuer", with("iss", json!("https://accounts.example.com")), 401),
        ("for another", with("aud", json!("https://other.example.com")), 401),
        ("over", with("exp", json!(now - 1)), 401),
        ("without an end", with("exp", Value::Null), 401),
        ("another account", with("email", json!("mallory@game.iam.gserviceaccount.com")), 403),
        ("an account that nobody verified", with("email_verified", json!(false)), 403),
        ("another app", push(&good, "m2", "com.example.other"), 403),
        ("another's key", push(&token(&other, &head, &claims(now)), "m3", "com.example.game"), 401),
        ("a key from elsewhere", push(&token(&other, &by_url, &claims(now)), "m4", "com.example.game"), 401),
        (
            "a key that nobody knows",
            push(&token(&key, &unknown, &claims(now)), "m5", "com.example.game"),
            401,
        ),
        (
            "no algorithm",
            push(
                &token(&key, &json!({ "alg": "none", "kid": "k1" }), &claims(now)),
                "m6",
                "com.example.game",
            ),
            401,
        ),
        ("no token", Sent { headers: [].into(), ..push(&good, "m7", "com.example.game") }, 401),
        ("no push", Sent { body: b"{}".to_vec(), ..push(&good, "m8", "com.example.game") }, 400),
        ("without an id", push(&good, "", "com.example.game"), 400),
    ];
    expect(&app, table).await;
    assert!(keys.asked.load(Ordering::SeqCst) <= 2, "asked for once, and once more for what was not known");
}

/// A fault of ours is no refusal: the provider comes again.
#[tokio::test]
async fn while_googles_keys_cant_be_fetched_it_is_told_to_come_again() {
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/certs", closed.local_addr().unwrap());
    drop(closed);
    let app = TestApp::with(&[
        ("GUILDHALL_PAYMENT_GOOGLE_PACKAGE", "com.example.game"),
        ("GUILDHALL_PAYMENT_GOOGLE_AUDIENCE", "https://chat.example.com"),
        ("GUILDHALL_PAYMENT_GOOGLE_EMAIL", "push@game.iam.gserviceaccount.com"),
        ("GUILDHALL_PAYMENT_GOOGLE_KEYS_URL", &url),
    ])
    .await;
    let token = token(&rsa(), &json!({ "alg": "RS256", "kid": "k1" }), &claims(seconds(&app)));
    assert_eq!(send(&app, &push(&token, "m1", "com.example.game")).await.0, 503);
}

//! Callers: which tokens hold, and that no trick makes one hold.

use base64::Engine;
use base64::engine::general_purpose::{URL_SAFE, URL_SAFE_NO_PAD};
use guildhall::access::token::mint;
use guildhall::chat::identity::Scope;
use guildhall::config::Secret;
use hmac::{Hmac, KeyInit, Mac};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};
use sha2::{Sha256, Sha512};

use crate::help::{SECRET, TestApp, claims};

const OTHER_SECRET: &str = "a secret that rotates and is longer than 32 bytes";
/// An Ed25519 pair made for this test: PKCS#8, and the public half as a JWK's `x`.
const ED_PRIVATE: &str = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g\n-----END PRIVATE KEY-----\n";
const ED_X: &str = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";

fn part(value: &Value) -> String {
    URL_SAFE_NO_PAD.encode(value.to_string())
}

fn signed(header: &Value, claims: &Value, secret: &[u8]) -> String {
    let text = format!("{}.{}", part(header), part(claims));
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).unwrap();
    mac.update(text.as_bytes());
    format!("{text}.{}", URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes()))
}

fn good() -> Value {
    json!({ "sub": "alice", "scope": "player", "exp": 4_000_000_000_u64 })
}

fn with(field: &str, value: Value) -> Value {
    let mut claims = good();
    claims[field] = value;
    claims
}

fn without(field: &str) -> Value {
    let mut claims = good();
    claims.as_object_mut().unwrap().remove(field);
    claims
}

async fn status(app: &TestApp, token: &str) -> u16 {
    app.with_token(token).get("/channel/inbox").await.status.as_u16()
}

#[tokio::test]
async fn tokens_that_hold() {
    let app = TestApp::new().await;
    let hs256 = json!({ "alg": "HS256", "typ": "JWT" });
    for claims in [
        good(),
        with("name", json!("Alice 阿丽")),
        with("level", json!(12)),
        with("zone", json!("eu-1")),
        with("iss", json!("claims that we don't know are the game's own")),
        with("aud", json!("anything")),
        with("scope", json!("moderator")),
    ] {
        assert_eq!(status(&app, &signed(&hs256, &claims, SECRET.as_bytes())).await, 200, "{claims}");
    }
}

#[tokio::test]
async fn hostile_tokens() {
    let app = TestApp::new().await;
    let secret = SECRET.as_bytes();
    let hs256 = json!({ "alg": "HS256", "typ": "JWT" });
    let valid = signed(&hs256, &good(), secret);
    let (signed_text, signature) = valid.rsplit_once('.').unwrap();
    let padded = URL_SAFE.encode(URL_SAFE_NO_PAD.decode(signature).unwrap());
    assert!(padded.ends_with('='));
    let hs512 = {
        let text = format!("{}.{}", part(&json!({ "alg": "HS512" })), part(&good()));
        let mut mac = Hmac::<Sha512>::new_from_slice(secret).unwrap();
        mac.update(text.as_bytes());
        format!("{text}.{}", URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes()))
    };
    let header = |header: Value| signed(&header, &good(), secret);
    let body = |claims: Value| signed(&hs256, &claims, secret);
    let table = [
        ("alg none, unsigned", format!("{}.{}.", part(&json!({ "alg": "none" })), part(&good()))),
        ("alg none, signed", header(json!({ "alg": "none" }))),
        ("alg None", header(json!({ "alg": "None" }))),
        ("no alg", header(json!({ "typ": "JWT" }))),
        ("HS512 with our secret", hs512),
        ("said to be RS256", header(json!({ "alg": "RS256" }))),
        ("said to be EdDSA", header(json!({ "alg": "EdDSA" }))),
        ("a critical extension", header(json!({ "alg": "HS256", "crit": ["b64"], "b64": true }))),
        ("not yet", body(with("nbf", json!(3_900_000_000_u64)))),
        ("unknown kid", header(json!({ "alg": "HS256", "kid": "nobody" }))),
        ("kid as a path", header(json!({ "alg": "HS256", "kid": "../../dev/null" }))),
        ("kid of another type", header(json!({ "alg": "HS256", "kid": 1 }))),
        ("empty secret", signed(&hs256, &good(), b"")),
        ("another secret", signed(&hs256, &good(), OTHER_SECRET.as_bytes())),
        ("expired", body(with("exp", json!(1_000_000_000)))),
        ("exp as text", body(with("exp", json!("4000000000")))),
        ("exp negative", body(with("exp", json!(-1)))),
        ("exp a fraction", body(with("exp", json!(4e9 + 0.5)))),
        ("exp null", body(with("exp", Value::Null))),
        ("no exp", body(without("exp"))),
        ("no sub", body(without("sub"))),
        ("empty sub", body(with("sub", json!("")))),
        ("sub with a NUL", body(with("sub", json!("a\u{0}b")))),
        ("sub too long", body(with("sub", json!("a".repeat(65))))),
        ("sub a number", body(with("sub", json!(7)))),
        ("no scope", body(without("scope"))),
        ("unknown scope", body(with("scope", json!("admin")))),
        ("a list of scopes", body(with("scope", json!(["player"])))),
        ("level as text", body(with("level", json!("12")))),
        ("name too long", body(with("name", json!("a".repeat(129))))),
        ("padded signature", format!("{signed_text}.{padded}")),
        ("signature cut", valid[..valid.len() - 1].to_owned()),
        ("no signature", format!("{signed_text}.")),
        ("four parts", format!("{valid}.")),
        ("claims changed", {
            let (header, rest) = valid.split_once('.').unwrap();
            let (_, signature) = rest.split_once('.').unwrap();
            format!("{header}.{}.{signature}", part(&with("scope", json!("server"))))
        }),
        ("nonsense", "nonsense".to_owned()),
        ("very long", "a".repeat(5_000)),
    ];
    for (trick, token) in table {
        assert_eq!(status(&app, &token).await, 401, "{trick}");
    }
    assert_eq!(status(&app, &valid).await, 200, "the table is built on a token that holds");
}

#[tokio::test]
async fn the_header_is_one_bearer_token() {
    let app = TestApp::new().await;
    let token = app.player("alice").token;
    for (value, expected) in [
        (format!("Bearer {token}"), 200),
        (format!("bearer {token}"), 200),
        (format!("Basic {token}"), 401),
        (token.clone(), 401),
        (format!("Bearer  {token}"), 401),
        ("Bearer ".to_owned(), 401),
        (String::new(), 401),
    ] {
        let request = http::Request::get("/channel/inbox").header("authorization", &value);
        assert_eq!(app.call(request.body(Default::default()).unwrap()).await.status, expected, "{value}");
    }
    let twice = http::Request::get("/channel/inbox")
        .header("authorization", format!("Bearer {token}"))
        .header("authorization", format!("Bearer {token}"));
    assert_eq!(app.call(twice.body(Default::default()).unwrap()).await.status, 401);
}

#[tokio::test]
async fn a_token_ends_when_it_says_though_it_was_seen_before() {
    let app = TestApp::new().await;
    let mut short = claims("alice", Scope::Player);
    // A token ends with a whole second, so this one has between 59 and 60 left.
    short.exp = app.clock.now().unsigned_abs() / 1_000 + 60;
    let token = mint(&Secret::new(SECRET).unwrap(), &short).unwrap();
    assert_eq!(status(&app, &token).await, 200);
    app.clock.advance(30_000);
    assert_eq!(status(&app, &token).await, 200);
    app.clock.advance(30_001);
    assert_eq!(status(&app, &token).await, 401);
}

#[tokio::test]
async fn further_keys_verify_the_tokens_that_name_them_by_their_own_algorithm_alone() {
    let keys = format!("next=hs256:{OTHER_SECRET},public=eddsa:{ED_X}");
    let app = TestApp::with(&[("GUILDHALL_TOKEN_KEYS", &keys)]).await;
    let next = json!({ "alg": "HS256", "kid": "next" });
    assert_eq!(status(&app, &signed(&next, &good(), OTHER_SECRET.as_bytes())).await, 200);
    assert_eq!(status(&app, &signed(&next, &good(), SECRET.as_bytes())).await, 401, "the other key's secret");
    // The classic confusion: a public key taken for a shared secret.
    let confused = json!({ "alg": "HS256", "kid": "public" });
    for secret in [ED_X.as_bytes().to_vec(), URL_SAFE_NO_PAD.decode(ED_X).unwrap()] {
        assert_eq!(status(&app, &signed(&confused, &good(), &secret)).await, 401);
    }
}

#[tokio::test]
async fn a_public_key_verifies_what_its_private_half_signed() {
    let der: Vec<u8> =
        base64::engine::general_purpose::STANDARD.decode(ED_PRIVATE.lines().nth(1).unwrap()).unwrap();
    let app = TestApp::with(&[("GUILDHALL_TOKEN_KEYS", &format!("public=eddsa:{ED_X}"))]).await;
    let mut header = Header::new(Algorithm::EdDSA);
    header.kid = Some("public".to_owned());
    let token = jsonwebtoken::encode(&header, &good(), &EncodingKey::from_ed_der(&der)).unwrap();
    assert_eq!(status(&app, &token).await, 200);
    header.kid = None;
    let unnamed = jsonwebtoken::encode(&header, &good(), &EncodingKey::from_ed_der(&der)).unwrap();
    assert_eq!(status(&app, &unnamed).await, 401, "the key without a name is HS256");
}

//! What Google's and Apple's push services are sent, by fakes that check what the real ones document.

use std::collections::HashMap;
use std::fs;

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde_json::{Value, json};

use crate::help::TestApp;
use crate::players::devices::{Came, FakePush, direct, register};

const CLAIM: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";

#[tokio::test]
async fn firebase_gets_messages_by_an_access_token_of_the_service_account() {
    let (fake, folder) = (FakePush::start(false).await, tempfile::tempdir().unwrap());
    let key = crate::players::payment_providers::rsa();
    let pkcs8: Pkcs8V1Der<'_> = key.as_der().unwrap();
    let account = folder.path().join("account.json");
    let written = json!({
        "type": "service_account", "project_id": "game", "client_email": "push@game.iam.gserviceaccount.com",
        "private_key": pem(pkcs8.as_ref()),
        "token_uri": format!("{}/token", fake.url),
    });
    fs::write(&account, written.to_string()).unwrap();
    let app = TestApp::with(&[
        ("GUILDHALL_FCM_URL", &fake.url),
        ("GUILDHALL_FCM_ACCOUNT_FILE", account.to_str().unwrap()),
    ])
    .await;
    fake.answer(
        "/token",
        200,
        json!({ "access_token": "the-access", "expires_in": 3_600, "token_type": "Bearer" }),
    );
    let gone = json!({ "error": { "code": 404, "details": [{ "errorCode": "UNREGISTERED" }] } });
    fake.answer("token-of-carol", 404, gone);
    for player in ["bob", "carol"] {
        register(&app, player, json!({ "platform": "fcm", "token": format!("token-of-{player}") })).await;
        let channel = direct(&app, "alice", player).await;
        app.player("alice").say(&channel, "hello").await;
        app.player("alice").say(&channel, "hello again").await;
    }
    for _ in 0..2 {
        app.run_tasks().await;
        app.clock.advance(6_000);
    }
    let came = fake.came();
    let asked: Vec<&Came> = came.iter().filter(|one| one.path == "/token").collect();
    assert_eq!(asked.len(), 1, "the access token is kept");
    let form: HashMap<String, String> =
        form_urlencoded::parse(asked[0].body.as_str().unwrap().as_bytes()).into_owned().collect();
    assert_eq!(form["grant_type"], CLAIM);
    let public = aws_lc_rs::signature::KeyPair::public_key(&key);
    let part = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    let decoding = DecodingKey::from_rsa_components(
        &part(public.modulus().big_endian_without_leading_zero()),
        &part(public.exponent().big_endian_without_leading_zero()),
    )
    .unwrap();
    let mut validation = Validation::new(Algorithm::RS256);
    validation.set_audience(&[format!("{}/token", fake.url)]);
    let claims = jsonwebtoken::decode::<Value>(&form["assertion"], &decoding, &validation).unwrap().claims;
    assert_eq!(
        (&claims["iss"], &claims["scope"]),
        (
            &json!("push@game.iam.gserviceaccount.com"),
            &json!("https://www.googleapis.com/auth/firebase.messaging")
        )
    );
    let sent: Vec<&Came> = came.iter().filter(|one| one.path == "/v1/projects/game/messages:send").collect();
    assert!(
        sent.len() == 2 && sent.iter().all(|one| one.headers["authorization"] == "Bearer the-access"),
        "{sent:?}"
    );
    let message =
        &sent.iter().find(|one| one.body["message"]["token"] == "token-of-bob").unwrap().body["message"];
    assert_eq!(
        (&message["notification"]["body"], &message["data"]["count"]),
        (&json!("hello again"), &json!("2"))
    );
    let left = guildhall::store::device::of_player(&app.app.db, "carol").await.unwrap();
    assert!(left.is_empty(), "unregistered tokens are forgotten");
}

fn pem(der: &[u8]) -> String {
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    format!("-----BEGIN PRIVATE KEY-----\n{text}\n-----END PRIVATE KEY-----\n")
}

#[tokio::test]
async fn apple_gets_pushes_by_http2_and_a_token_of_the_team() {
    let (fake, folder) = (FakePush::start(true).await, tempfile::tempdir().unwrap());
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
    let file = folder.path().join("AuthKey.p8");
    fs::write(&file, key.serialize_pem()).unwrap();
    let app = TestApp::with(&[
        ("GUILDHALL_APNS_URL", &fake.url),
        ("GUILDHALL_APNS_KEY_FILE", file.to_str().unwrap()),
        ("GUILDHALL_APNS_KEY_ID", "ABC123DEFG"),
        ("GUILDHALL_APNS_TEAM", "DEF123GHIJ"),
        ("GUILDHALL_APNS_TOPIC", "com.example.game"),
    ])
    .await;
    let (bob, carol) = ("b0b".repeat(20), "ca".repeat(32));
    for (player, token) in [("bob", &bob), ("carol", &carol)] {
        register(&app, player, json!({ "platform": "apns", "token": token })).await;
    }
    // One is gone since before it was registered again, and stays; the other is gone for good.
    fake.answer(
        &format!("/3/device/{bob}"),
        410,
        json!({ "reason": "Unregistered", "timestamp": app.clock.now() - 3_600_000 }),
    );
    fake.answer(
        &format!("/3/device/{carol}"),
        410,
        json!({ "reason": "Unregistered", "timestamp": app.clock.now() + 60_000 }),
    );
    for player in ["bob", "carol"] {
        let channel = direct(&app, "alice", player).await;
        app.player("alice").say(&channel, "hello").await;
    }
    for _ in 0..2 {
        app.run_tasks().await;
        app.clock.advance(6_000);
    }
    let came = fake.came();
    assert_eq!(came.len(), 2);
    for one in &came {
        assert_eq!(
            (&one.headers["apns-topic"], &one.headers["apns-push-type"]),
            (&"com.example.game".parse().unwrap(), &"alert".parse().unwrap())
        );
        assert!(one.headers["apns-collapse-id"].len() <= 64);
        assert_eq!(
            (&one.body["aps"]["alert"]["body"], &one.body["aps"]["badge"]),
            (&json!("hello"), &json!(1))
        );
        let token = one.headers["authorization"].to_str().unwrap().strip_prefix("Bearer ").unwrap();
        let header = jsonwebtoken::decode_header(token).unwrap();
        assert_eq!((header.alg, header.kid.as_deref()), (Algorithm::ES256, Some("ABC123DEFG")));
        let point = key.public_key_raw();
        let decoding = DecodingKey::from_ec_components(
            &URL_SAFE_NO_PAD.encode(&point[1..33]),
            &URL_SAFE_NO_PAD.encode(&point[33..]),
        )
        .unwrap();
        let mut validation = Validation::new(Algorithm::ES256);
        validation.set_required_spec_claims(&["iss"]);
        validation.validate_exp = false;
        let claims = jsonwebtoken::decode::<Value>(token, &decoding, &validation).unwrap().claims;
        assert!(claims["iss"] == "DEF123GHIJ" && claims["iat"].is_i64(), "{claims}");
    }
    let left =
        async |player: &str| guildhall::store::device::of_player(&app.app.db, player).await.unwrap().len();
    assert_eq!((left("bob").await, left("carol").await), (1, 0));
}

//! Callbacks of WeChat Pay and the App Store, with keys and certificates made here.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair as RsaKey, KeySize};
use aws_lc_rs::signature::{KeyPair, RSA_PKCS1_SHA256};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, DnType, IsCa, Issuer, PKCS_ECDSA_P256_SHA256,
    PKCS_ECDSA_P384_SHA384,
};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::help::TestApp;
use crate::players::payments::{Sent, seconds, send};

pub fn rsa() -> RsaKey {
    RsaKey::generate(KeySize::Rsa2048).unwrap()
}

pub fn rsa_sign(key: &RsaKey, signed: &[u8]) -> Vec<u8> {
    let mut signature = vec![0; key.public_modulus_len()];
    key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), signed, &mut signature).unwrap();
    signature
}

/// Sends each, and expects its status; what a refusal says is no matter here.
pub async fn expect(app: &TestApp, table: Vec<(&str, Sent, u16)>) {
    for (what, sent, status) in table {
        app.clock.advance(3_000);
        let answer = send(app, &sent).await;
        assert_eq!(answer.0, status, "{what}: {}", answer.1);
    }
}

const API_KEY: &str = "0123456789abcdef0123456789abcdef";
const SERIAL: &str = "5157F09EFDC096DE15EBE81A47057A7232F1B8E1";

/// A merchant of WeChat Pay, and WeChat itself.
struct Wechat {
    key: RsaKey,
    other: RsaKey,
}

impl Wechat {
    fn new() -> Self {
        Self { key: rsa(), other: rsa() }
    }

    async fn app(&self) -> TestApp {
        let public: PublicKeyX509Der<'_> = self.key.public_key().as_der().unwrap();
        let keys = format!("PUB_KEY_ID_01={0}, {SERIAL}={0}", STANDARD.encode(public.as_ref()));
        TestApp::with(&[
            ("GUILDHALL_PAYMENT_WECHAT_MERCHANT", "1900000109"),
            ("GUILDHALL_PAYMENT_WECHAT_PUBLIC_KEYS", &keys),
            ("GUILDHALL_PAYMENT_WECHAT_KEY", API_KEY),
        ])
        .await
    }

    fn resource(api_key: &str, transaction: &Value) -> Value {
        let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, api_key.as_bytes()).unwrap());
        let mut text = transaction.to_string().into_bytes();
        let nonce = Nonce::assume_unique_for_key(*b"fdasflkja484");
        key.seal_in_place_append_tag(nonce, Aad::from("transaction"), &mut text).unwrap();
        json!({
            "original_type": "transaction", "algorithm": "AEAD_AES_256_GCM", "ciphertext": STANDARD.encode(text),
            "associated_data": "transaction", "nonce": "fdasflkja484",
        })
    }

    fn event(id: &str, resource: Value) -> Value {
        json!({
            "id": id, "create_time": "2026-11-27T10:34:56+08:00", "resource_type": "encrypt-resource",
            "event_type": "TRANSACTION.SUCCESS", "summary": "支付成功", "resource": resource,
        })
    }

    fn signed(key: &RsaKey, at: i64, serial: &str, body: &Value) -> Sent {
        let body = body.to_string();
        let signature = rsa_sign(key, format!("{at}\nnonce-of-wechat\n{body}\n").as_bytes());
        let headers = [
            ("wechatpay-timestamp", at.to_string()),
            ("wechatpay-nonce", "nonce-of-wechat".to_owned()),
            ("wechatpay-signature", STANDARD.encode(signature)),
            ("wechatpay-serial", serial.to_owned()),
        ];
        Sent { path: "/payment/wechat", headers: headers.into(), body: body.into_bytes() }
    }
}

fn transaction(merchant: &str) -> Value {
    json!({
        "mchid": merchant, "appid": "wxd678efh567hg6787", "out_trade_no": "1217752501201407033233368018",
        "transaction_id": "1217752501201407033233368019", "trade_state": "SUCCESS", "attach": "alice",
        "payer": { "openid": "oUpF8uMuAJO_M2pxb1Q9zNjWeS6o" }, "amount": { "total": 100, "currency": "CNY" },
    })
}

#[tokio::test]
async fn wechat_pay_is_believed_by_its_signature_and_read_by_the_merchants_key() {
    let wechat = Wechat::new();
    let app = wechat.app().await;
    let now = seconds(&app);
    let good = Wechat::event("EV-1", Wechat::resource(API_KEY, &transaction("1900000109")));
    let by = |at: i64, serial: &str| Wechat::signed(&wechat.key, at, serial, &good);
    let sealed = |api_key: &str, merchant: &str| {
        let event = Wechat::event("EV-2", Wechat::resource(api_key, &transaction(merchant)));
        Wechat::signed(&wechat.key, now, SERIAL, &event)
    };
    let mut plain = good.clone();
    plain["resource"] = transaction("1900000109");
    let by_query = Sent { path: "/payment/callback?provider=wechat", ..by(now, SERIAL) };
    let table = vec![
        ("by certificate", by(now, SERIAL), 200),
        ("by public key", by(now, "PUB_KEY_ID_01"), 200),
        ("by the other path", by_query.clone(), 200),
        ("an unknown serial number", by(now, "PUB_KEY_ID_02"), 401),
        ("six minutes ago", by(now - 360, SERIAL), 401),
        ("another's key", Wechat::signed(&wechat.other, now, SERIAL, &good), 401),
        ("another body", Sent { body: plain.to_string().into_bytes(), ..by(now, SERIAL) }, 401),
        ("not encrypted", Wechat::signed(&wechat.key, now, SERIAL, &plain), 400),
        ("for another's key", sealed("fedcba9876543210fedcba9876543210", "1900000109"), 400),
        ("of another merchant", sealed(API_KEY, "1900000110"), 403),
        (
            "WeChat's probe of what checks signatures",
            by(now, SERIAL).with("wechatpay-signature", "WECHATPAY/SIGNTEST/x"),
            401,
        ),
    ];
    expect(&app, table).await;
    let answers =
        (send(&app, &by(now, SERIAL)).await, send(&app, &by_query.with("wechatpay-nonce", "x")).await);
    assert_eq!(answers.0, (200, r#"{"code":"SUCCESS","message":"OK"}"#.to_owned()));
    let refused: Value = serde_json::from_str(&answers.1.1).unwrap();
    assert_eq!((answers.1.0, &refused["code"]), (401, &json!("FAIL")));
}

/// What Apple is to us: a root, an authority below it, and a key that signs.
struct Apple {
    root: Vec<u8>,
    between: Vec<u8>,
    leaf: Vec<u8>,
    key: EncodingKey,
}

const LEAF: [u64; 8] = [1, 2, 840, 113_635, 100, 6, 11, 1];
const BETWEEN: [u64; 8] = [1, 2, 840, 113_635, 100, 6, 2, 1];

fn params(name: &str, authority: bool, mark: Option<[u64; 8]>) -> CertificateParams {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = if authority { IsCa::Ca(BasicConstraints::Unconstrained) } else { IsCa::NoCa };
    params.custom_extensions =
        mark.iter().map(|mark| CustomExtension::from_oid_content(mark, vec![5, 0])).collect();
    params
}

impl Apple {
    fn new() -> Self {
        Self::with(Some(LEAF), Some(BETWEEN), 2096)
    }

    fn with(leaf_mark: Option<[u64; 8]>, between_mark: Option<[u64; 8]>, until: i32) -> Self {
        let key = || rcgen::KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).unwrap();
        let (root_key, between_key) = (key(), key());
        let leaf_key = rcgen::KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
        let of_root = params("Root", true, None);
        let root = of_root.self_signed(&root_key).unwrap();
        let by_root = Issuer::new(of_root, root_key);
        let of_between = params("Authority", true, between_mark);
        let between = of_between.signed_by(&between_key, &by_root).unwrap();
        let by_between = Issuer::new(of_between, between_key);
        let mut of_leaf = params("Receipts", false, leaf_mark);
        of_leaf.not_after = rcgen::date_time_ymd(until, 1, 1);
        let leaf = of_leaf.signed_by(&leaf_key, &by_between).unwrap();
        let [root, between, leaf] = [root, between, leaf].map(|certificate| certificate.der().to_vec());
        Self { root, between, leaf, key: EncodingKey::from_ec_der(leaf_key.serialized_der()) }
    }

    async fn app(&self) -> TestApp {
        let root = guildhall::base::random::to_hex(&Sha256::digest(&self.root));
        TestApp::with(&[
            ("GUILDHALL_PAYMENT_APPLE_BUNDLE", "com.example.game"),
            ("GUILDHALL_PAYMENT_APPLE_ROOT", &root),
        ])
        .await
    }

    fn sign_with(&self, chain: &[&[u8]], payload: &Value) -> String {
        let x5c = Some(chain.iter().map(|der| STANDARD.encode(der)).collect());
        jsonwebtoken::encode(&Header { x5c, ..Header::new(Algorithm::ES256) }, payload, &self.key).unwrap()
    }

    fn sign(&self, payload: &Value) -> String {
        self.sign_with(&[&self.leaf, &self.between, &self.root], payload)
    }

    fn payload(&self, bundle: &str, environment: &str, inner: &Self) -> Value {
        let transaction = json!({
            "bundleId": bundle, "environment": environment, "originalTransactionId": "2000000123456789",
            "transactionId": "2000000123456790", "productId": "gems", "appAccountToken": "7e3fb204-2a1f-4f1d-8f2b-0a1b2c3d4e5f",
        });
        json!({
            "notificationType": "DID_RENEW", "subtype": "BILLING_RECOVERY", "version": "2.0", "signedDate": 1_790_000_000_000_i64,
            "notificationUUID": "002e14d5-51f5-4503-b5a8-c3a1af68eb20",
            "data": { "bundleId": bundle, "environment": environment, "signedTransactionInfo": inner.sign(&transaction) },
        })
    }

    fn told(&self, bundle: &str, environment: &str) -> Sent {
        notice(&self.sign(&self.payload(bundle, environment, self)))
    }
}

fn notice(jws: &str) -> Sent {
    let body = json!({ "signedPayload": jws }).to_string().into_bytes();
    Sent { path: "/payment/callback?provider=apple", headers: [].into(), body }
}

#[tokio::test]
async fn the_app_store_is_believed_by_its_chain_of_certificates() {
    let apple = Apple::new();
    let app = apple.app().await;
    let other = Apple::new();
    let payload = apple.payload("com.example.game", "Production", &apple);
    let jws = apple.sign(&payload);
    let (signed, signature) = jws.rsplit_once('.').unwrap();
    let (header, _) = signed.split_once('.').unwrap();
    let forged = URL_SAFE_NO_PAD.encode(apple.payload("com.example.other", "Production", &apple).to_string());
    let none = URL_SAFE_NO_PAD.encode(json!({ "alg": "none", "x5c": [STANDARD.encode(&apple.leaf), STANDARD.encode(&apple.between), STANDARD.encode(&apple.root)] }).to_string());
    // Signed by another's key under our root's certificate: the chain is whole, but not of that key.
    let borrowed = other.sign_with(&[&apple.leaf, &apple.between, &apple.root], &payload);
    let mixed = other.sign_with(&[&other.leaf, &other.between, &apple.root], &payload);
    let table = vec![
        ("as it is", notice(&jws), 200),
        ("once more", notice(&jws), 200),
        ("another app", apple.told("com.example.other", "Production"), 403),
        ("another environment", apple.told("com.example.game", "Sandbox"), 403),
        ("another root", other.told("com.example.game", "Production"), 401),
        ("another's key", notice(&borrowed), 401),
        ("another's chain below our root", notice(&mixed), 401),
        ("a chain of one", notice(&apple.sign_with(&[&apple.leaf], &payload)), 401),
        ("no chain", notice(&apple.sign_with(&[], &payload)), 401),
        (
            "the authority as the leaf",
            notice(&apple.sign_with(&[&apple.between, &apple.between, &apple.root], &payload)),
            401,
        ),
        (
            "what is inside is another's",
            notice(&apple.sign(&apple.payload("com.example.game", "Production", &other))),
            401,
        ),
        ("another payload", notice(&format!("{header}.{forged}.{signature}")), 401),
        ("no algorithm", notice(&format!("{none}.{forged}.")), 401),
        ("no JWS", notice("paid"), 401),
        ("nothing signed", Sent { body: b"{}".to_vec(), ..notice("") }, 400),
        ("no JSON", Sent { body: b"paid".to_vec(), ..notice("") }, 400),
    ];
    expect(&app, table).await;
    for (what, apple) in [
        ("a leaf that is not for receipts", Apple::with(None, Some(BETWEEN), 2096)),
        ("an authority that is not Apple's", Apple::with(Some(LEAF), None, 2096)),
        ("a certificate of long ago", Apple::with(Some(LEAF), Some(BETWEEN), 2020)),
    ] {
        let app = apple.app().await;
        expect(&app, vec![(what, apple.told("com.example.game", "Production"), 401)]).await;
    }
}

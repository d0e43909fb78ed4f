//! WeChat's customer service as a way into tickets: its signature and echo, both forms of a message, and secure mode.
//!
//! The keys are made here; what is signed and encrypted, and how, is as WeChat documents it.

use std::collections::HashMap;
use std::fmt::Write;
use std::fs;

use aws_lc_rs::cipher::{AES_256, EncryptingKey, EncryptionContext, UnboundCipherKey};
use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use aws_lc_rs::iv::FixedLength;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use guildhall::config::Config;
use guildhall::outside::wechat_service::WechatService;
use http::{Method, Request};
use http_body_util::{BodyExt, Full};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::help::TestApp;
use crate::help::receiver::{Receiver, WEBHOOK_SECRET};

const TOKEN: &str = "the token of the tests";
/// 43 letters and digits; the last one's lower bits count for nothing.
const KEY: &str = "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG";
const APP: &str = "wx0123456789abcdef";
const OPENID: &str = "oABC-d_e0123456789";

fn sha1(parts: &[&str]) -> String {
    let mut parts = parts.to_vec();
    parts.sort_unstable();
    guildhall::base::random::to_hex(digest(&SHA1_FOR_LEGACY_USE_ONLY, parts.concat().as_bytes()).as_ref())
}

fn seconds(app: &TestApp) -> i64 {
    app.clock.now() / 1_000
}

fn proof(token: &str, at: i64) -> String {
    let signature = sha1(&[token, &at.to_string(), "n1"]);
    format!("signature={signature}&timestamp={at}&nonce=n1")
}

/// The status, the type and the text of the answer.
async fn call(app: &TestApp, method: Method, query: &str, body: &[u8]) -> (u16, String, String) {
    let request = Request::builder().method(method).uri(format!("/ticket/wechat?{query}"));
    let request = request.header("content-type", "text/xml");
    let answer = app.router().handle(request.body(Full::new(Bytes::copy_from_slice(body))).unwrap()).await;
    let status = answer.status().as_u16();
    let kind = answer.headers()["content-type"].to_str().unwrap().to_owned();
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    (status, kind, String::from_utf8(body.to_vec()).unwrap())
}

async fn push(app: &TestApp, body: &str) -> u16 {
    let query = format!("{}&openid={OPENID}", proof(TOKEN, seconds(app)));
    let (status, kind, answer) = call(app, Method::POST, &query, body.as_bytes()).await;
    assert!(status != 200 || (answer == "success" && kind.starts_with("text/plain")), "{kind} {answer}");
    status
}

fn xml(id: &str, text: &str) -> String {
    format!(
        "<xml><ToUserName><![CDATA[gh_1]]></ToUserName>\n<FromUserName><![CDATA[{OPENID}]]></FromUserName>\
         <CreateTime>1482048670</CreateTime><MsgType><![CDATA[text]]></MsgType>\
         <Content><![CDATA[{text}]]></Content><MsgId>{id}</MsgId></xml>"
    )
}

/// Encrypted as in secure mode, for an app.
fn sealed(key: &str, app: &str, message: &str) -> String {
    let key: [u8; 32] = STANDARD.decode(format!("{}E=", &key[..42])).unwrap().try_into().unwrap();
    let length = u32::try_from(message.len()).unwrap().to_be_bytes();
    let mut bytes = [b"0123456789abcdef", length.as_slice(), message.as_bytes(), app.as_bytes()].concat();
    let padding = 32 - bytes.len() % 32;
    bytes.extend(std::iter::repeat_n(u8::try_from(padding).unwrap(), padding));
    let cipher = EncryptingKey::cbc(UnboundCipherKey::new(&AES_256, &key).unwrap()).unwrap();
    let iv = EncryptionContext::Iv128(FixedLength::from(<[u8; 16]>::try_from(&key[..16]).unwrap()));
    cipher.less_safe_encrypt(&mut bytes, iv).unwrap();
    STANDARD.encode(bytes)
}

/// A query that is signed with what is encrypted.
fn secure_proof(at: i64, sealed: &str) -> String {
    let signature = sha1(&[TOKEN, &at.to_string(), "n1", sealed]);
    format!("{}&encrypt_type=aes&msg_signature={signature}", proof(TOKEN, at))
}

async fn push_sealed(app: &TestApp, sealed: &str) -> u16 {
    let body = format!(
        "<xml><ToUserName><![CDATA[gh_1]]></ToUserName><Encrypt><![CDATA[{sealed}]]></Encrypt></xml>"
    );
    call(app, Method::POST, &secure_proof(seconds(app), sealed), body.as_bytes()).await.0
}

async fn with_token(more: &[(&str, &str)]) -> TestApp {
    TestApp::with(&[&[("GUILDHALL_TICKET_WECHAT_TOKEN", TOKEN)], more].concat()).await
}

async fn secure() -> TestApp {
    with_token(&[("GUILDHALL_TICKET_WECHAT_KEY", KEY), ("GUILDHALL_TICKET_WECHAT_APP", APP)]).await
}

async fn tickets(app: &TestApp, state: &str) -> Vec<Value> {
    app.run_tasks().await;
    let page = app.moderator("mod").get(&format!("/ticket/queue?state={state}")).await.data();
    page["tickets"].as_array().unwrap().clone()
}

/// What was said in the one ticket there is.
async fn said(app: &TestApp) -> Vec<Value> {
    let open = tickets(app, "open").await;
    assert_eq!(open.len(), 1, "{open:?}");
    app.moderator("mod").history(open[0]["channel"].as_str().unwrap()).await
}

#[tokio::test]
async fn wechats_question_is_answered_with_what_it_sent() {
    let app = with_token(&[]).await;
    let now = seconds(&app);
    let good = format!("{}&echostr=8391%2064", proof(TOKEN, now));
    let expected = (200, "text/plain; charset=utf-8".to_owned(), "8391 64".to_owned());
    assert_eq!(call(&app, Method::GET, &good, b"").await, expected);
    for wrong in [
        format!("{}&echostr=1", proof("another token", now)),
        format!("{}&echostr=1", proof(TOKEN, now - 301)),
        format!("{}&echostr=1", proof(TOKEN, now + 302)),
        format!("{}&echostr=1", proof(TOKEN, now).replace("n1", "n2")),
        format!("signature=&timestamp={now}&nonce=n1&echostr=1"),
        format!("timestamp={now}&echostr=1"),
        "echostr=1".to_owned(),
        String::new(),
    ] {
        let (status, kind, answer) = call(&app, Method::GET, &wrong, b"").await;
        assert_eq!((status, kind.as_str()), (401, "application/json"), "{wrong}: {answer}");
    }
    let off = TestApp::new().await;
    assert_eq!(call(&off, Method::GET, &good, b"").await.0, 403);
    assert_eq!(push(&off, &xml("1", "hello")).await, 403);
}

#[tokio::test]
async fn a_customers_messages_are_one_ticket_and_each_is_taken_once() {
    let receiver = Receiver::start().await;
    let url = receiver.url();
    let app =
        with_token(&[("GUILDHALL_WEBHOOK_URL", &url), ("GUILDHALL_WEBHOOK_SECRET", WEBHOOK_SECRET)]).await;
    let (first, second) = (xml("23456789012345678", "my gems are gone"), xml("2", "five & more <gems>"));
    let pushes = [&first, &first, &first, &first].map(|body| push(&app, body));
    assert_eq!(futures_util::future::join_all(pushes).await, [200; 4]);
    assert_eq!(push(&app, &second).await, 200);
    let texts: Vec<Value> = said(&app).await.iter().map(|message| message["text"].clone()).collect();
    assert_eq!(texts, ["my gems are gone", "five & more <gems>"]);
    let ticket = tickets(&app, "open").await[0].clone();
    assert_eq!((&ticket["player"], &ticket["topic"]), (&json!(OPENID), &json!("wechat")));
    assert_eq!(ticket["context"], json!({ "from": "wechat" }));

    let staff = app.moderator("mod");
    staff.post("/ticket/reply", json!({ "id": ticket["id"], "text": "they are back" })).await.data();
    assert_eq!(tickets(&app, "waiting").await.len(), 1);
    staff.post("/ticket/close", json!({ "id": ticket["id"] })).await.data();
    assert_eq!(push(&app, &first).await, 200, "it comes again");
    assert_eq!(tickets(&app, "closed").await.len(), 1);
    assert_eq!(push(&app, &xml("3", "thanks")).await, 200);
    assert_eq!(said(&app).await.len(), 4);
    let events: Vec<Value> = receiver
        .events
        .lock()
        .unwrap()
        .iter()
        .map(|(_, body)| serde_json::from_str::<Value>(body).unwrap()["type"].clone())
        .collect();
    for (kind, times) in
        [("ticket.opened", 1), ("ticket.message", 3), ("ticket.replied", 1), ("ticket.closed", 1)]
    {
        assert_eq!(events.iter().filter(|event| *event == kind).count(), times, "{kind} in {events:?}");
    }
}

#[tokio::test]
async fn pictures_json_and_long_texts_are_taken_and_events_open_nothing() {
    let app = with_token(&[("GUILDHALL_SEND_LIMIT", "5/5s")]).await;
    let enters = json!({
        "ToUserName": "gh_1", "FromUserName": OPENID, "CreateTime": 1_482_048_670, "MsgType": "event",
        "Event": "user_enter_tempsession", "SessionFrom": "shop",
    });
    assert_eq!(push(&app, &enters.to_string()).await, 200);
    assert!(tickets(&app, "open").await.is_empty());
    let picture = json!({
        "ToUserName": "gh_1", "FromUserName": OPENID, "CreateTime": 1_482_048_670, "MsgType": "image",
        "PicUrl": "https://example.com/p", "MediaId": "m1", "MsgId": 1_234_567_890_123_456_i64,
    });
    for _ in 0..2 {
        assert_eq!(push(&app, &picture.to_string()).await, 200);
    }
    let said_now = said(&app).await;
    assert_eq!((said_now.len(), &said_now[0]["text"]), (1, &json!("[image]")));
    assert_eq!(said_now[0]["payload"]["fields"]["MediaId"], "m1");
    assert_eq!(push(&app, &xml("2", "  ")).await, 200);
    assert_eq!(said(&app).await[1]["text"], "[text]");
    let long = "语".repeat(1_000);
    assert_eq!(push(&app, &xml("3", &long)).await, 200);
    let parts: String = said(&app).await[2..].iter().map(|part| part["text"].as_str().unwrap()).collect();
    assert_eq!(parts, long);
}

#[tokio::test]
async fn in_secure_mode_only_what_is_encrypted_for_this_app_counts() {
    let app = secure().await;
    assert_eq!(push_sealed(&app, &sealed(KEY, APP, &xml("1", "hello"))).await, 200);
    assert_eq!(said(&app).await[0]["text"], "hello");
    let json = json!({ "FromUserName": OPENID, "MsgType": "text", "Content": "again", "MsgId": 2 });
    let json = sealed(KEY, APP, &json.to_string());
    let body = json!({ "ToUserName": "gh_1", "Encrypt": json }).to_string();
    let taken = call(&app, Method::POST, &secure_proof(seconds(&app), &json), body.as_bytes()).await;
    assert_eq!((taken.0, taken.2.as_str()), (200, "success"));

    let other_key = KEY.replace('a', "b");
    assert_eq!(push(&app, &xml("3", "plain")).await, 401, "it is not encrypted");
    assert_eq!(push_sealed(&app, &sealed(KEY, "wxother", &xml("4", "other app"))).await, 403);
    assert_eq!(push_sealed(&app, &sealed(&other_key, APP, &xml("5", "other key"))).await, 400);
    let good = sealed(KEY, APP, &xml("6", "signed for another"));
    let body = json!({ "Encrypt": good, "FromUserName": OPENID }).to_string();
    for wrong in [
        secure_proof(seconds(&app), "something else"),
        secure_proof(seconds(&app) - 301, &good),
        proof(TOKEN, seconds(&app)),
    ] {
        assert_eq!(call(&app, Method::POST, &wrong, body.as_bytes()).await.0, 401, "{wrong}");
    }
    assert_eq!(said(&app).await.len(), 2);
}

#[tokio::test]
async fn hostile_bodies_are_refused_and_leave_nothing() {
    let app = with_token(&[]).await;
    let mut deep = "<xml>".to_owned();
    (0..20_000).for_each(|_| deep.write_str("<a>").unwrap());
    let huge = xml("1", &"a".repeat(300_000));
    for (body, status) in [
        (String::new(), 400),
        ("{".to_owned(), 400),
        ("[]".to_owned(), 400),
        ("<xml></xml>".to_owned(), 400),
        ("<xml><MsgType>text".to_owned(), 400),
        (deep, 400),
        (huge, 413),
        ("<!DOCTYPE x [<!ENTITY a \"&b;&b;\">]><xml><FromUserName>&a;</FromUserName></xml>".to_owned(), 400),
        (xml("", "without an id"), 400),
        (xml("1", &"a".repeat(4_001)), 400),
        (xml("1", "hello").replace(OPENID, "../etc/passwd"), 400),
        (xml("1", "hello").replace(OPENID, &"o".repeat(65)), 400),
        (xml("1", "hello").replace("FromUserName", "From"), 400),
        ("{\"FromUserName\":{\"a\":1},\"MsgType\":[],\"MsgId\":true}".to_owned(), 400),
    ] {
        assert_eq!(push(&app, &body).await, status, "{}", body.chars().take(80).collect::<String>());
    }
    assert_eq!(call(&app, Method::POST, &proof(TOKEN, seconds(&app)), b"<xml>\xff</xml>").await.0, 400);
    assert_eq!(call(&app, Method::PUT, &proof(TOKEN, seconds(&app)), b"").await.0, 405);
    assert!(tickets(&app, "open").await.is_empty());
}

#[tokio::test]
async fn a_text_that_the_wordlist_refuses_is_taken_and_said_nowhere() {
    let lists = tempfile::tempdir().unwrap();
    fs::write(lists.path().join("bans.txt"), "@action reject\nrefusedword\n").unwrap();
    let app = with_token(&[("GUILDHALL_WORDLISTS", lists.path().to_str().unwrap())]).await;
    assert_eq!(push(&app, &xml("1", "refusedword")).await, 200);
    assert!(tickets(&app, "open").await.is_empty());
    assert_eq!(push(&app, &xml("2", "hello")).await, 200);
    assert_eq!(said(&app).await.len(), 1);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    /// Whatever was encrypted, and signed by who knows the token: never a 5xx.
    #[test]
    fn anything_encrypted_has_an_answer(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        static RUNTIME: std::sync::LazyLock<(tokio::runtime::Runtime, TestApp)> = std::sync::LazyLock::new(|| {
            let runtime = tokio::runtime::Runtime::new().unwrap();
            let app = runtime.block_on(secure());
            (runtime, app)
        });
        let (runtime, app) = &*RUNTIME;
        let status = runtime.block_on(push_sealed(app, &STANDARD.encode(&bytes)));
        prop_assert!((400..500).contains(&status), "{}", status);
    }
}

#[test]
fn secure_mode_set_up_in_part_and_keys_that_are_none_are_told_at_start() {
    let [token, key, app] =
        ["GUILDHALL_TICKET_WECHAT_TOKEN", "GUILDHALL_TICKET_WECHAT_KEY", "GUILDHALL_TICKET_WECHAT_APP"];
    for set in [&[(token, TOKEN), (key, KEY)][..], &[(key, KEY), (app, APP)], &[(app, APP)]] {
        let find = |name: &str| set.iter().find(|(of, _)| *of == name).map(|(_, value)| (*value).to_owned());
        let fault = Config::from_lookup(find).unwrap_err().to_string();
        assert!(fault.contains("GUILDHALL_TICKET_WECHAT_KEY is set up in part"), "{fault}");
    }
    for wrong in ["abc", &KEY[..42], "abcdefghijklmnopqrstuvwxyz0123456789ABCDEF!"] {
        let variables: HashMap<&str, &str> = [(token, TOKEN), (key, wrong), (app, APP)].into();
        let config =
            Config::from_lookup(|name| variables.get(name).map(|value| (*value).to_owned())).unwrap();
        let fault = WechatService::new(config.services.wechat_service.as_ref().unwrap()).unwrap_err();
        assert!(fault.contains("43 letters and digits") && !fault.contains(wrong), "{fault}");
    }
}

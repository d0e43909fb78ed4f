//! Players' rights to what is kept about them: to have it, and to be forgotten.

use std::collections::BTreeMap;
use std::fs;

use guildhall::store::task_progress;
use serde_json::{Value, json};

use crate::help::TestApp;
use crate::help::database;
use crate::hosts::s3;
use crate::players::payments;

const NAME: &str = "zoe-4711";

/// A player who has left their name wherever one can.
async fn live(app: &TestApp) {
    let zoe = app.player(NAME);
    app.world("w", &[NAME, "bob", "eve"]).await;
    app.guild("g", &[NAME, "bob"]).await;
    zoe.say("w", "hello from me").await;
    zoe.say("w", "badword for you").await;
    zoe.say("w", "this I take back").await;
    zoe.post("/message/recall", json!({ "channel": "w", "seq": 3 })).await.data();
    let mention = json!({ "channel": "w", "text": "hey", "mentions": ["eve", NAME] });
    app.player("bob").post("/message/send", mention).await.data();
    let direct = zoe.post("/channel/direct", json!({ "player": "bob" })).await.data()["id"].clone();
    zoe.say(direct.as_str().unwrap(), "between us").await;
    app.player("bob").say(direct.as_str().unwrap(), "I hear you").await;
    zoe.post("/player/block", json!({ "player": "eve" })).await.data();
    app.player("eve").post("/player/block", json!({ "player": NAME })).await.data();
    app.player("eve")
        .post("/report/message", json!({ "channel": "w", "seq": 2, "category": "insult" }))
        .await
        .data();
    app.player("eve").post("/report/player", json!({ "player": NAME, "category": "cheating" })).await.data();
    let text = json!({ "player": "bob", "category": "other", "text": "he said something" });
    zoe.post("/report/player", text).await.data();
    let moderator = app.moderator("mod");
    for (kind, reason) in [("mute", "said too much"), ("shadow", "for a look")] {
        let input = json!({ "player": NAME, "kind": kind, "where": "kind:guild", "reason": reason, "note": "careful" });
        let sanction = moderator.post("/sanction/give", input).await.data()["sanction"]["id"].clone();
        if kind == "mute" {
            zoe.post("/appeal/submit", json!({ "sanction": sanction, "text": "not me" })).await.data();
        }
    }
    let input =
        json!({ "player": NAME, "kind": "shadow", "where": "channel:w", "seconds": 3_600, "reason": "r" });
    let shadow = moderator.post("/sanction/give", input).await.data()["sanction"]["id"].clone();
    let hidden = json!({ "channel": "w", "text": "only I see this", "mentions": [NAME, "bob"] });
    zoe.post("/message/send", hidden).await.data();
    moderator.post("/sanction/lift", json!({ "id": shadow, "reason": "r" })).await.data();
    let rank = json!({ "board": "b", "player": NAME, "value": 4_711, "keep": "highest" });
    app.server().post("/rank/report", rank).await.data();
    let device = json!({ "platform": "fcm", "token": format!("device-of-{NAME}") });
    zoe.post("/device/register", device).await.data();
    zoe.post("/device/preference", json!({ "channel": "w", "notify": "all" })).await.data();
    let question = json!({ "topic": NAME, "text": "help me", "context": { "name": NAME } });
    zoe.post("/ticket/open", question).await.data();
    let paid = payments::stripe(app, &payments::stripe_event("evt_1", NAME));
    assert_eq!(payments::send(app, &paid).await.0, 200);
    app.run_tasks().await;
}

/// One that passes ranks on, to nobody.
async fn app() -> TestApp {
    let stripe = ("GUILDHALL_PAYMENT_STRIPE_SECRET", payments::STRIPE);
    let told = ("GUILDHALL_PAYMENT_TOLD", "payment_intent.succeeded");
    TestApp::with(&[("GUILDHALL_RANK_URL", "http://127.0.0.1:9/"), stripe, told]).await
}

async fn begin(app: &TestApp, path: &str) -> Value {
    let input = json!({ "player": NAME, "nonce": "once" });
    let task = app.server().post(path, input.clone()).await.data()["task"].clone();
    assert_eq!(app.server().post(path, input).await.data()["task"], task);
    assert_eq!(app.server().post(path, json!({ "player": "bob", "nonce": "once" })).await.code(), "conflict");
    while app.run_tasks().await > 0 {}
    let shown = app.server().get(&format!("/task/show?id={}", task.as_str().unwrap())).await.data();
    assert_eq!((&shown["state"], &shown["progress"]["done"]), (&json!("done"), &json!(true)), "{shown}");
    shown
}

/// Where the name is, and how often.
async fn found(app: &TestApp) -> BTreeMap<String, usize> {
    let mut found = BTreeMap::new();
    for (table, row) in database::everything(&app.app.config).await {
        if row.contains(NAME) {
            *found.entry(table).or_default() += 1;
        }
    }
    found
}

/// Some of those that hold the name before.
const TABLES: [&str; 12] = [
    "message",
    "member",
    "block",
    "sanction",
    "report",
    "report_case",
    "own_view",
    "audit_alias",
    "rank_report",
    "ticket",
    "device",
    "device_preference",
];

#[tokio::test]
async fn who_is_forgotten_is_in_no_table_and_others_see_that_something_was_said() {
    let app = app().await;
    live(&app).await;
    // Somebody calls them where they never were.
    app.world("elsewhere", &["bob"]).await;
    let called = json!({ "channel": "elsewhere", "text": "where is she?", "mentions": [NAME, "eve"] });
    app.player("bob").post("/message/send", called).await.data();
    let before = found(&app).await;
    assert!(TABLES.iter().all(|table| before.contains_key(*table)), "{before:?}");
    let shown = begin(&app, "/player/erase").await;
    let pseudonym = shown["progress"]["pseudonym"].as_str().unwrap();
    let after = found(&app).await;
    // Clients still have to be told whose words are gone, and other processes whose rights.
    let told = ["message", "outbox", "right_change"];
    assert!(after.keys().all(|table| told.contains(&table.as_str())), "{after:?}");
    assert_eq!(after["message"], 3);
    let history = app.player("bob").history("w").await;
    for seq in [1, 2, 3] {
        let entry = &history[seq - 1];
        assert_eq!(
            (&entry["kind"], &entry["text"], &entry["masked"]),
            (&json!("recalled"), &json!(""), &json!(false))
        );
        assert_eq!(entry["sender"], json!({ "id": pseudonym, "name": "" }));
    }
    assert_eq!((&history[3]["kind"], &history[3]["sender"]["id"]), (&json!("recall"), &json!(pseudonym)));
    assert_eq!((&history[4]["text"], &history[4]["mentions"]), (&json!("hey"), &json!(["eve", pseudonym])));
    assert_eq!(history[5]["kind"], "hidden");
    let elsewhere = app.player("bob").history("elsewhere").await;
    assert_eq!(elsewhere[0]["mentions"], json!(["eve", pseudonym]));
    let purge = history.last().unwrap();
    assert_eq!(
        (&purge["kind"], &purge["payload"]),
        (&json!("purge"), &json!({ "player": NAME, "since": 0 }))
    );
    let members = app.player("bob").get("/channel/members?channel=w").await.data();
    assert_eq!(members["members"].as_array().unwrap().len(), 2);
    // The other half of a direct channel stays the other's, and a case stays a case.
    let inbox = app.player("bob").get("/channel/inbox").await.data();
    let direct = inbox["channels"]
        .as_array()
        .unwrap()
        .iter()
        .find(|entry| entry["channel"]["kind"] == "direct")
        .unwrap();
    let history = app.player("bob").history(direct["channel"]["id"].as_str().unwrap()).await;
    assert_eq!((&history[0]["text"], &history[1]["text"]), (&json!(""), &json!("I hear you")));
    let original = json!({ "channel": "w", "seq": 1, "reason": "a look" });
    assert_eq!(app.moderator("mod").post("/message/originals", original).await.data()["text"], "");
    let cases = app.moderator("mod").get("/case/queue").await.data()["cases"].clone();
    let of_message = cases.as_array().unwrap().iter().find(|case| case["about"]["seq"] == 2).unwrap();
    assert_eq!(of_message["about"]["player"], pseudonym);
    let whole = format!("/case/show?id={}", of_message["id"].as_str().unwrap());
    let whole = app.moderator("mod").get(&whole).await.data();
    assert_eq!(whole["evidence"]["original"]["text"], "badword for you");
    assert_eq!(whole["evidence"]["message"]["sender"], json!({ "id": pseudonym, "name": "" }));
    let record = app.moderator("mod").get(&format!("/player/record?player={pseudonym}")).await.data();
    assert_eq!(record["sanctions"].as_array().unwrap().len(), 3);
    // Thirty days later, and with the notes that are kept for an hour gone.
    let later = json!({ "task": shown["id"], "pseudonym": pseudonym });
    app.server().post("/task/submit", json!({ "task": "erased.v1", "payload": later })).await.data();
    app.run_tasks().await;
    let mut last = found(&app).await;
    last.remove("right_change");
    assert_eq!(last, BTreeMap::new());
    // Somebody of that name begins from nothing.
    app.server().post("/channel/members-add", json!({ "channel": "w", "members": [NAME] })).await.data();
    app.player(NAME).say("w", "new here").await;
    assert_eq!(app.player("bob").history("w").await.last().unwrap()["text"], "new here");
    assert_eq!(app.player(NAME).get("/player/sanctions").await.data()["sanctions"], json!([]));
}

#[tokio::test]
async fn the_audits_chain_stays_whole_when_somebody_is_forgotten() {
    let app = app().await;
    live(&app).await;
    begin(&app, "/player/erase").await;
    guildhall::store::audit::seal(&app.app.db).await.unwrap();
    let verified = guildhall::store::audit::verify(&app.app.db).await.unwrap();
    assert_eq!((verified.fault, verified.open), (None, 0));
    let entries = app.moderator("mod").get("/audit/list?limit=100").await.data()["entries"].clone();
    assert!(!entries.to_string().contains(NAME));
    assert!(!entries.to_string().contains("said too much"), "nor the reasons that were theirs alone");
}

fn tables(archive: &str) -> BTreeMap<String, Vec<Value>> {
    let mut tables: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for line in archive.lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        tables.entry(line["table"].as_str().unwrap().to_owned()).or_default().push(line["row"].clone());
    }
    tables
}

fn hold(archive: &str) {
    let tables = tables(archive);
    let texts: Vec<&Value> = tables["message"].iter().map(|row| &row["message"]["text"]).collect();
    assert_eq!(texts.len(), 6);
    let written = tables["message"].iter().find(|row| row["message"]["masked"] == true).unwrap();
    assert_eq!(written["written"]["text"], "badword for you");
    assert!(texts.contains(&&json!("only I see this")) && texts.contains(&&json!("between us")));
    assert_eq!(tables["member"].len(), 5, "w, g, the direct channel, their own, and the question");
    assert_eq!(tables["block"][0]["player"], "eve");
    assert_eq!((tables["sanction"].len(), &tables["sanction"][0]["appeal"]["text"]), (1, &json!("not me")));
    assert_eq!(tables["report"][0]["text"], "he said something");
    assert_eq!((&tables["rank"][0]["board"], &tables["rank"][0]["value"]), (&json!("b"), &json!(4_711)));
    assert!(!archive.contains("careful") && !archive.contains("I hear you"), "notes, and others' words");
}

#[tokio::test]
async fn who_asks_gets_what_is_kept_about_them() {
    let app = app().await;
    live(&app).await;
    let shown = begin(&app, "/player/export").await;
    let links = shown["progress"]["links"].as_array().unwrap();
    assert_eq!((links.len(), &shown["progress"]["messages"]), (1, &json!(6)));
    let path = links[0].as_str().unwrap().strip_prefix("file://").unwrap();
    hold(&fs::read_to_string(path).unwrap());
}

/// What a try that was killed has written is written over, and not left behind.
#[tokio::test]
async fn an_archive_that_was_begun_is_written_where_it_was() {
    let app = app().await;
    live(&app).await;
    let input = json!({ "player": NAME, "nonce": "once" });
    let task = app.server().post("/player/export", input).await.data()["task"].clone();
    let earlier = json!({ "done": false, "messages": 2, "parts": 1, "folder": "as-before" });
    task_progress::note(&app.app.db, task.as_str().unwrap(), &earlier).await.unwrap();
    while app.run_tasks().await > 0 {}
    let shown = app.server().get(&format!("/task/show?id={}", task.as_str().unwrap())).await.data();
    let link = shown["progress"]["links"][0].as_str().unwrap();
    assert!(link.contains("/as-before/0001."), "{link}");
    assert_eq!(shown["progress"]["messages"], 6);
}

#[tokio::test]
async fn an_archive_in_a_bucket_has_a_link_that_anybody_can_follow() {
    let place = format!("s3://{}/archives", s3::bucket().await);
    let endpoint = s3::endpoint();
    let variables = [
        ("GUILDHALL_EXPORTS", place.as_str()),
        ("S3_ENDPOINT", endpoint.as_str()),
        ("S3_PATH_STYLE", "on"),
        ("GUILDHALL_RANK_URL", "http://127.0.0.1:9/"),
        ("GUILDHALL_PAYMENT_STRIPE_SECRET", payments::STRIPE),
    ];
    let app = TestApp::with(&variables).await;
    live(&app).await;
    let shown = begin(&app, "/player/export").await;
    let link = shown["progress"]["links"][0].as_str().unwrap();
    let archive = reqwest::get(link).await.unwrap();
    assert_eq!(archive.status(), 200);
    hold(&archive.text().await.unwrap());
    // The storage that runs here lets everybody in; what one that does not goes by is in the link.
    assert!(link.contains("X-Amz-Expires=86400") && link.contains("X-Amz-Signature="), "{link}");
    assert!(shown["progress"]["until"].as_i64().unwrap() > app.clock.now());
}

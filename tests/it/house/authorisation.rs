//! Who may do what: every action by every kind of caller, held to one table that is read and checked in.

use std::fmt::Write;
use std::fs;

use guildhall::access::token::{Claims, mint};
use guildhall::api::action::{ActionEntry, Verb};
use guildhall::chat::identity::Scope;
use guildhall::config::Secret;
use guildhall::controllers::ACTIONS;
use serde_json::{Value, json};

use crate::help::{Actor, Reply, SECRET, TestApp, claims};

const TABLE: &str = "tests/authorisation.md";

const CALLERS: &[&str] = &[
    "nobody",
    "expired",
    "stranger",
    "member",
    "blocked",
    "muted",
    "shadowed",
    "banned",
    "moderator",
    "server",
];

/// What is there to act on.
pub struct Ids {
    case: Value,
    appeal: Value,
    /// A sanction of the caller's, and one of somebody else's.
    own: Value,
    other: Value,
    /// Some task.
    task: Value,
    ticket: Value,
    announcement: Value,
    schedule: Value,
}

/// One application for each kind of caller, so that what one does changes nothing for the others.
pub async fn prepare(caller: &str) -> (TestApp, Ids) {
    prepare_on(caller, &[]).await
}

/// The same with further settings.
pub async fn prepare_on(caller: &str, more: &[(&str, &str)]) -> (TestApp, Ids) {
    let variables = [
        ("GUILDHALL_VERSION", "$LATEST"),
        ("GUILDHALL_RANK_URL", "http://127.0.0.1:9/"),
        ("GUILDHALL_RANK_FROM", "players"),
    ];
    let app = TestApp::with(&[&variables, more].concat()).await;
    let members: &[&str] = if caller == "stranger" { &["bob", "eve"] } else { &["bob", "eve", "caller"] };
    for channel in ["g", "l"] {
        app.guild(channel, members).await;
    }
    app.world("open", &["bob"]).await;
    for n in 1..=3 {
        let input = json!({ "channel": "g", "text": format!("badword {n}") });
        app.player("bob").post("/message/send", input).await.data();
    }
    let report = json!({ "channel": "g", "seq": 2, "category": "insult" });
    app.player("eve").post("/report/message", report).await.data();
    let moderator = app.moderator("mod");
    let case = moderator.get("/case/queue").await.data()["cases"][0]["id"].clone();
    let give = async |player: &str, kind: &str| {
        let input = json!({ "player": player, "kind": kind, "where": "everywhere", "reason": "r" });
        moderator.post("/sanction/give", input).await.data()["sanction"]["id"].clone()
    };
    let (own, other) = (give("caller", "warn").await, give("eve", "warn").await);
    match caller {
        "muted" => drop(give("caller", "mute").await),
        "shadowed" => drop(give("caller", "shadow").await),
        "blocked" => {
            app.player("bob").post("/player/block", json!({ "player": "caller" })).await.data();
        }
        "banned" => drop(give("caller", "ban").await),
        _ => {}
    }
    let input = json!({ "sanction": other, "text": "it was not me" });
    let appeal = app.player("eve").post("/appeal/submit", input).await.data()["appeal"]["id"].clone();
    let purge = json!({ "player": "carl", "since": 0, "reason": "r" });
    let task = moderator.post("/player/purge", purge).await.data()["task"].clone();
    let question = json!({ "topic": "t", "text": "help" });
    let ticket = app.player("eve").post("/ticket/open", question).await.data()["ticket"]["id"].clone();
    let said =
        json!({ "texts": { "en": "hello" }, "audience": { "everybody": true }, "when": { "now": true } });
    let announcement =
        moderator.post("/announcement/create", said).await.data()["announcement"]["id"].clone();
    let timer = json!({ "task": "retention.v1", "payload": {}, "when": { "cron": "0 4 * * *" } });
    let schedule = app.server().post("/schedule/create", timer).await.data()["schedule"]["id"].clone();
    (app, Ids { case, appeal, own, other, task, ticket, announcement, schedule })
}

fn actor<'a>(app: &'a TestApp, caller: &str) -> Actor<'a> {
    match caller {
        "nobody" => app.nobody(),
        "expired" => {
            let claims = Claims { exp: 1_000_000_000, ..claims("caller", Scope::Player) };
            app.with_token(&mint(&Secret::new(SECRET).unwrap(), &claims).unwrap())
        }
        "moderator" => app.moderator("caller"),
        "server" => app.server(),
        _ => app.player("caller"),
    }
}

/// Good input for each action, so that only who asks decides.
fn input(path: &str, ids: &Ids) -> Value {
    match path {
        "/channel/create" => json!({ "id": "new", "kind": "guild" }),
        "/channel/direct" => json!({ "player": "bob" }),
        "/channel/role" => json!({ "channel": "g", "player": "eve", "role": "member" }),
        "/channel/join" => json!({ "channel": "open" }),
        "/channel/leave" => json!({ "channel": "l" }),
        "/channel/members-add" | "/channel/members-remove" => json!({ "channel": "g", "members": ["carl"] }),
        "/channel/info" | "/channel/members" | "/channel/online" | "/message/list" => {
            json!({ "channel": "g" })
        }
        "/channel/read" | "/message/recall" => json!({ "channel": "g", "seq": 1 }),
        "/message/send" => json!({ "channel": "g", "text": "hello" }),
        "/message/sync" => json!({ "channels": [{ "channel": "g", "after": 0 }] }),
        "/message/originals" => json!({ "channel": "g", "seq": 2, "reason": "r" }),
        "/report/message" => json!({ "channel": "g", "seq": 3, "category": "hate" }),
        "/report/player" => json!({ "player": "bob", "category": "cheating" }),
        "/case/show" | "/case/claim" => json!({ "id": ids.case }),
        "/case/decide" => json!({ "id": ids.case, "decision": "warn", "reason": "r" }),
        "/appeal/submit" => json!({ "sanction": ids.own, "text": "it was not me" }),
        "/appeal/decide" => json!({ "id": ids.appeal, "decision": "uphold", "reason": "r" }),
        "/sanction/give" => json!({ "player": "eve", "kind": "warn", "where": "everywhere", "reason": "r" }),
        "/sanction/lift" => json!({ "id": ids.other, "reason": "r" }),
        "/player/block" | "/player/unblock" | "/player/record" | "/player/export" | "/player/erase" => {
            json!({ "player": "bob" })
        }
        "/player/purge" => json!({ "player": "carl", "since": 0, "reason": "r" }),
        "/task/show" => json!({ "id": ids.task }),
        "/announcement/create" | "/announcement/preview" => {
            json!({ "texts": { "en": "hello" }, "audience": { "everybody": true }, "when": { "now": true } })
        }
        "/announcement/cancel" => json!({ "id": ids.announcement }),
        "/schedule/create" => json!({ "task": "retention.v1", "payload": {}, "when": { "now": true } }),
        "/schedule/cancel" => json!({ "id": ids.schedule }),
        "/device/register" => json!({ "platform": "fcm", "token": "t" }),
        "/device/unregister" => json!({ "token": "t" }),
        "/device/preference" => json!({ "channel": "g", "notify": "none" }),
        "/ticket/open" => json!({ "topic": "t", "text": "help" }),
        "/ticket/claim" | "/ticket/close" => json!({ "id": ids.ticket }),
        "/ticket/reply" => json!({ "id": ids.ticket, "text": "hello" }),
        "/rank/report" => json!({ "board": "b", "player": "caller", "value": 1, "keep": "newest" }),
        "/wordlist/test" => json!({ "text": "hello" }),
        "/task/submit" => json!({ "task": "retention.v1", "payload": {} }),
        _ => json!({}),
    }
}

async fn ask(actor: &Actor<'_>, entry: &ActionEntry, input: Value) -> Reply {
    let path = entry.route.path;
    if entry.route.method == Verb::Post {
        return actor.post(path, input).await;
    }
    let fields = input.as_object().unwrap().iter();
    let query: Vec<String> = fields
        .map(|(name, value)| format!("{name}={}", value.as_str().map_or(value.to_string(), str::to_owned)))
        .collect();
    actor.get(&format!("{path}?{}", query.join("&"))).await
}

/// Asks for every action once, as this caller. What each was, and the whole reply.
pub async fn ask_everything(app: &TestApp, caller: &str, ids: &Ids) -> Vec<(&'static ActionEntry, Reply)> {
    let mut replies = Vec::new();
    for entry in asked() {
        replies.push((entry, ask(&actor(app, caller), entry, input(entry.route.path, ids)).await));
    }
    replies
}

/// `ok`, or the code with its reason.
fn outcome(reply: &Reply) -> String {
    if reply.status == 200 {
        let refused = reply.body["data"]["channels"][0]["error"].as_str();
        return refused.map_or("ok".to_owned(), |error| format!("ok, but {error}"));
    }
    match (reply.code(), reply.body["error"]["details"]["reason"].as_str()) {
        (code, Some(reason)) if code == "forbidden" => format!("{code}: {reason}"),
        (code, _) => code,
    }
}

/// What people and the game ask; what providers call back with is held to their signatures.
fn asked() -> impl Iterator<Item = &'static ActionEntry> {
    ACTIONS.iter().filter(|entry| entry.callback.is_none())
}

#[tokio::test]
async fn every_action_answers_every_caller_as_the_table_says() {
    let mut columns = Vec::new();
    for caller in CALLERS {
        let (app, ids) = prepare(caller).await;
        let mut column = Vec::new();
        for entry in asked() {
            column.push(outcome(&ask(&actor(&app, caller), entry, input(entry.route.path, &ids)).await));
        }
        columns.push(column);
    }
    let mut table = "# Who may do what\n\nWritten by `tests/it/house/authorisation.rs`, which holds every action to it. `g` is a closed guild: the stranger\nis not in it. Input is good in every call, so only who asks decides. What providers\ncall back with is held to their signatures (`tests/it/players/payments.rs`).\n\n".to_owned();
    writeln!(table, "| action | {} |\n|---|{}", CALLERS.join(" | "), "---|".repeat(CALLERS.len())).unwrap();
    for (n, entry) in asked().enumerate() {
        let cells: Vec<&str> = columns.iter().map(|column| column[n].as_str()).collect();
        writeln!(table, "| `{}` | {} |", entry.route.path, cells.join(" | ")).unwrap();
    }
    if fs::read_to_string(TABLE).ok().as_ref() != Some(&table) {
        fs::write("target/authorisation.md", &table).unwrap();
        panic!(
            "{TABLE} says something else: read target/authorisation.md, and copy it there if that is right"
        );
    }
}

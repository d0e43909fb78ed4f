//! The audit: what is done about players is in it, nothing can be taken out of it or changed in it unseen.

use std::process::Output;

use guildhall::api::action::{ActionEntry, Verb};
use guildhall::chat::identity::Scope;
use guildhall::controllers::ACTIONS;
use serde_json::{Value, json};

use crate::help::TestApp;
use crate::help::database::{change, on_postgres};
use crate::help::process::{Process, program, server_token};
use crate::help::socket_client::{call, start};

/// Actions that do something to a player, or look at what is hidden: each writes a row.
const AUDITED: &[&str] = &[
    "/appeal/decide",
    "/case/decide",
    "/channel/role",
    "/message/originals",
    "/message/recall",
    "/player/erase",
    "/player/export",
    "/player/purge",
    "/sanction/give",
    "/sanction/lift",
];

/// Actions that do not, and why.
const NOT_AUDITED: &[(&str, &str)] = &[
    ("/announcement/cancel", "ends what the game says to all, and is kept with who made it"),
    ("/announcement/create", "is said in front of all, and is kept with who made it"),
    ("/announcement/preview", "reads"),
    ("/case/claim", "says who looks at a case; the decision is what counts"),
    ("/channel/create", "makes a place, and has no say over players"),
    ("/channel/members-add", "the game's own groups, which the game keeps"),
    ("/channel/members-remove", "the game's own groups, which the game keeps"),
    ("/message/send", "is said in front of all"),
    ("/message/sync", "reads"),
    ("/ticket/claim", "says who looks after a question"),
    ("/ticket/close", "is said to the player, in their channel"),
    ("/ticket/reply", "is said to the player, in their channel"),
    ("/rank/report", "passes on what the game knows"),
    ("/schedule/cancel", "the game's own timers"),
    ("/schedule/create", "the game's own timers"),
    ("/task/submit", "is the program's own work"),
    ("/wordlist/refresh", "is about words"),
    ("/wordlist/test", "is about words"),
];

/// Whoever adds an action decides which it is.
#[test]
fn every_action_of_staff_is_audited_or_says_why_not() {
    let is_staffs =
        |entry: &&ActionEntry| entry.scopes.contains(&Scope::Server) || entry.scopes == [Scope::Moderator];
    let writes = |entry: &&ActionEntry| entry.route.method == Verb::Post;
    let mut actions: Vec<&str> =
        ACTIONS.iter().filter(writes).filter(is_staffs).map(|entry| entry.route.path).collect();
    actions.sort_unstable();
    let mut known: Vec<&str> =
        AUDITED.iter().copied().chain(NOT_AUDITED.iter().map(|(path, _)| *path)).collect();
    known.sort_unstable();
    assert_eq!(actions, known);
}

fn guildhall(data: &std::path::Path, arguments: &[&str]) -> Output {
    program(data).env("GUILDHALL_DATA", data).args(arguments).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

async fn mute(process: &Process, n: usize) {
    let input = json!({ "player": format!("p{n}"), "kind": "mute", "where": "everywhere", "reason": format!("reason {n}") });
    call(process, &server_token(), "/sanction/give", input).await;
}

#[tokio::test]
async fn a_row_says_who_did_what_to_whom_why_and_under_which_request() {
    let app = TestApp::new().await;
    let moderator = app.moderator("mod");
    let input = json!({ "player": "bob", "kind": "ban", "where": "kind:world", "seconds": 9, "reason": "cheating", "note": "seen twice" });
    let given = moderator.post("/sanction/give", input).await;
    let (request_id, sanction) = (given.body["request_id"].clone(), given.data()["sanction"].clone());
    app.server().post("/sanction/lift", json!({ "id": sanction["id"], "reason": "sorry" })).await.data();
    let entries = moderator.get("/audit/list").await.data()["entries"].clone();
    let first = &entries[0];
    assert_eq!(
        [
            &first["by"],
            &first["scope"],
            &first["action"],
            &first["player"],
            &first["text"],
            &first["request_id"]
        ],
        [
            &json!("mod"),
            &json!("moderator"),
            &json!("sanction.give"),
            &json!("bob"),
            &json!("cheating"),
            &request_id
        ]
    );
    let detail = json!({ "sanction": sanction["id"], "kind": "ban", "where": "kind:world", "until": sanction["until"], "case": null });
    assert_eq!(first["detail"], detail);
    assert_eq!((&entries[1]["by"], &entries[1]["action"]), (&json!("server/game"), &json!("sanction.lift")));
    assert!(
        entries
            .as_array()
            .unwrap()
            .iter()
            .all(|entry| entry["hash"].as_str().is_some_and(|hash| hash.len() == 64))
    );
    let count = async |query: &str| {
        let page = moderator.get(&format!("/audit/list?{query}")).await.data();
        (page["entries"].as_array().unwrap().len(), page["more"].as_bool().unwrap())
    };
    assert_eq!(count("by=mod").await, (1, false));
    assert_eq!(count("by=server/game&player=bob").await, (1, false));
    assert_eq!(count("player=eve").await, (0, false));
    assert_eq!(count("action=sanction.lift").await, (1, false));
    assert_eq!(count("limit=1").await, (1, true));
    assert_eq!(count(&format!("after={}", first["n"])).await, (1, false));
}

#[tokio::test]
async fn what_moderators_read_and_take_back_is_in_it() {
    let app = TestApp::new().await;
    app.world("w", &["bob"]).await;
    let bob = app.player("bob");
    for n in 1..=3 {
        let input = json!({ "channel": "w", "text": format!("badword {n}"), "payload": { "note": "badword", "big": 12_345_678_901_234_567_890_u64 } });
        bob.post("/message/send", input).await.data();
    }
    let moderator = app.moderator("mod");
    let read = async |seq: i64| {
        let input = json!({ "channel": "w", "seq": seq, "reason": "the player asked why" });
        moderator.post("/message/originals", input).await
    };
    let written = json!({ "text": "badword 1", "payload": { "note": "badword", "big": 12_345_678_901_234_567_890_u64 } });
    assert_eq!(read(1).await.data(), written);
    moderator.post("/message/recall", json!({ "channel": "w", "seq": 1 })).await.data();
    assert_eq!(read(1).await.data(), written, "what was taken back is kept for moderators");
    app.server().post("/message/send", json!({ "channel": "w", "text": "plain" })).await.data();
    assert_eq!(read(5).await.data(), json!({ "text": "plain", "payload": null }));
    assert_eq!(read(4).await.code(), "not_found", "the entry that took it back says nothing");
    // One's own recall is nobody else's matter.
    bob.post("/message/recall", json!({ "channel": "w", "seq": 2 })).await.data();
    let refused = bob.post("/message/originals", json!({ "channel": "w", "seq": 3, "reason": "r" })).await;
    assert_eq!(refused.code(), "forbidden");
    let no_reason = moderator.post("/message/originals", json!({ "channel": "w", "seq": 3 })).await;
    assert_eq!(no_reason.code(), "invalid_input");
    let entries = moderator.get("/audit/list").await.data()["entries"].clone();
    let rows: Vec<(&str, &str, &str)> = entries
        .as_array()
        .unwrap()
        .iter()
        .map(|row| {
            (
                row["action"].as_str().unwrap(),
                row["player"].as_str().unwrap(),
                row["text"].as_str().unwrap_or(""),
            )
        })
        .collect();
    let (asked, reason) = ("message.originals", "the player asked why");
    let expected = [
        (asked, "bob", reason),
        ("message.recall", "bob", ""),
        (asked, "bob", reason),
        (asked, "server/game", reason),
    ];
    assert_eq!(rows, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_changed_in_it_by_hand_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    {
        let process = start(&data);
        for n in 1..=4 {
            mute(&process, n).await;
        }
    }
    let verify = || guildhall(&data, &["audit", "verify"]);
    let whole = verify();
    assert!(
        whole.status.success() && text(&whole.stdout).starts_with("4 row(s) hold"),
        "{} {}",
        text(&whole.stdout),
        text(&whole.stderr)
    );
    let exported = text(&guildhall(&data, &["audit", "export"]).stdout);
    let rows: Vec<Value> = exported.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(
        rows.iter().map(|row| row["player"].as_str().unwrap()).collect::<Vec<_>>(),
        ["p1", "p2", "p3", "p4"]
    );
    let listed = text(&guildhall(&data, &["audit", "list", "--player", "p3"]).stdout);
    assert!(listed.lines().count() == 1 && listed.contains("reason 3"), "{listed}");
    // What somebody wrote can be forgotten: the chain has its digest.
    change(&data, "DELETE FROM audit_text WHERE text = 'reason 4'").await;
    assert!(verify().status.success());
    let triggers: &[&str] = if on_postgres() {
        &["audit_only_added ON audit", "audit_seal_only_added ON audit_seal"]
    } else {
        &["audit_no_update", "audit_no_delete", "audit_seal_no_delete"]
    };
    for trigger in triggers {
        change(&data, &format!("DROP TRIGGER {trigger}")).await;
    }
    for (by_hand, back, found) in [
        (
            "UPDATE audit SET action = 'x' WHERE n = 2",
            "UPDATE audit SET action = 'sanction.give' WHERE n = 2",
            "row 2 is not as it was sealed; 1 row(s) before it hold",
        ),
        (
            "UPDATE audit_text SET text = 'x' WHERE text = 'reason 3'",
            "UPDATE audit_text SET text = 'reason 3' WHERE text = 'x'",
            "row 3: its text was changed",
        ),
        ("DELETE FROM audit_seal WHERE place = 1", "", "seal 1 is missing"),
    ] {
        change(&data, by_hand).await;
        let broken = verify();
        assert_eq!(broken.status.code(), Some(1), "{by_hand}");
        assert!(text(&broken.stderr).contains(found), "{by_hand}: {}", text(&broken.stderr));
        if !back.is_empty() {
            change(&data, back).await;
        }
    }
}

/// The database itself refuses, whoever asks.
#[tokio::test(flavor = "multi_thread")]
async fn rows_are_only_ever_added() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    mute(&start(&data), 1).await;
    for statement in [
        "UPDATE audit SET action = 'x'",
        "DELETE FROM audit",
        "UPDATE audit_seal SET hash = 'x'",
        "DELETE FROM audit_seal",
    ] {
        let data = data.clone();
        let refused = tokio::spawn(async move { change(&data, statement).await }).await;
        assert!(refused.is_err(), "{statement}");
    }
    let whole = guildhall(&data, &["audit", "verify"]);
    assert!(
        text(&whole.stdout).starts_with("1 row(s) hold, 0 are not sealed"),
        "{} {}",
        text(&whole.stdout),
        text(&whole.stderr)
    );
}

#[tokio::test]
async fn many_who_write_at_once_make_one_chain() {
    let app = TestApp::new().await;
    let give = async |n: usize| {
        let input =
            json!({ "player": format!("p{n}"), "kind": "warn", "where": "everywhere", "reason": "r" });
        app.moderator("mod").post("/sanction/give", input).await.data();
    };
    futures_util::future::join_all((0..40).map(give)).await;
    let page = app.moderator("mod").get("/audit/list?limit=100").await.data();
    let entries = page["entries"].as_array().unwrap();
    let hashes: std::collections::HashSet<_> =
        entries.iter().map(|entry| entry["hash"].to_string()).collect();
    assert_eq!((entries.len(), hashes.len()), (40, 40));
    let verified = guildhall::store::audit::verify(&app.app.db).await.unwrap();
    assert_eq!((verified.sealed, verified.open, verified.fault), (40, 0, None));
}

//! What is done without a moderator, and limits on what players do to each other.

use std::fs;

use serde_json::{Value, json};

use crate::help::TestApp;

async fn report(app: &TestApp, player: &str, seq: i64) {
    let input = json!({ "channel": "w", "seq": seq, "category": "insult" });
    app.player(player).post("/report/message", input).await.data();
}

async fn decide(app: &TestApp, decision: &str) {
    let moderator = app.moderator("mod");
    let case = moderator.get("/case/queue").await.data()["cases"][0]["id"].clone();
    let input = json!({ "id": case, "decision": decision, "reason": "r" });
    moderator.post("/case/decide", input).await.data();
}

#[tokio::test]
async fn what_many_report_is_hidden_until_somebody_has_looked() {
    let app = TestApp::with(&[("GUILDHALL_HIDE_AFTER", "2")]).await;
    app.world("w", &["alice", "bob", "carl", "eve"]).await;
    app.player("bob").say("w", "first").await;
    app.player("bob").say("w", "second").await;
    report(&app, "alice", 1).await;
    assert_eq!(app.player("eve").history("w").await[0]["text"], "first", "one is not many");
    report(&app, "eve", 1).await;
    report(&app, "carl", 1).await;
    let seen = app.player("eve").history("w").await;
    assert_eq!((&seen[0]["kind"], &seen[0]["sender"]["id"], seen.len()), (&json!("hidden"), &json!(""), 3));
    assert_eq!(
        (&seen[2]["kind"], &seen[2]["ref"], &seen[2]["sender"]["scope"]),
        (&json!("hide"), &json!(1), &json!("server"))
    );
    // Its author sees nothing of that.
    let own = app.player("bob").history("w").await;
    assert_eq!(
        (&own[0]["text"], &own[2]["kind"], &own[2]["ref"]),
        (&json!("first"), &json!("hidden"), &Value::Null)
    );
    let audit = app.moderator("mod").get("/audit/list?action=message.hide").await.data();
    assert_eq!(
        (&audit["entries"][0]["by"], &audit["entries"][0]["player"]),
        (&json!("server/guildhall"), &json!("bob"))
    );
    // No rule was broken: it is there again, and may be hidden again.
    decide(&app, "dismiss").await;
    let seen = app.player("eve").history("w").await;
    assert_eq!(
        (&seen[0]["text"], &seen[3]["kind"], &seen[3]["ref"]),
        (&json!("first"), &json!("unhide"), &json!(1))
    );
    for player in ["alice", "eve"] {
        report(&app, player, 2).await;
    }
    assert_eq!(app.player("eve").history("w").await[1]["kind"], "hidden");
    // A rule was broken: it is gone, for its author too.
    decide(&app, "recall").await;
    let own = app.player("bob").history("w").await;
    assert_eq!(
        (&own[1]["kind"], &own[5]["kind"], &own[5]["ref"]),
        (&json!("recalled"), &json!("recall"), &json!(2))
    );
    assert!(!json!(app.player("eve").history("w").await).to_string().contains("second"));
    let original = json!({ "channel": "w", "seq": 2, "reason": "a look" });
    assert_eq!(app.moderator("mod").post("/message/originals", original).await.data()["text"], "second");
}

#[tokio::test]
async fn a_shadow_for_a_message_hides_it_and_its_author_is_told_nothing() {
    let app = TestApp::new().await;
    app.world("w", &["alice", "bob"]).await;
    app.player("bob").say("w", "first").await;
    report(&app, "alice", 1).await;
    decide(&app, "shadow").await;
    app.run_tasks().await;
    let bob = app.player("bob");
    assert_eq!(bob.history("w").await[0]["text"], "first");
    assert_eq!(app.player("alice").history("w").await[0]["kind"], "hidden");
    bob.say("w", "anybody?").await;
    assert_eq!(app.player("alice").history("w").await[2]["kind"], "hidden");
    assert_eq!(bob.get("/channel/inbox").await.data()["channels"].as_array().unwrap().len(), 1);
}

/// A list with a word that is refused, and one to be looked at.
async fn strict(variables: &[(&str, &str)]) -> (TestApp, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("strict.txt"), "@action reject\nbadword\n").unwrap();
    fs::write(folder.path().join("watch.txt"), "@action review\nodd\n").unwrap();
    let lists = folder.path().to_str().unwrap().to_owned();
    let mut all = vec![("GUILDHALL_WORDLISTS", lists.as_str())];
    all.extend_from_slice(variables);
    (TestApp::with(&all).await, folder)
}

#[tokio::test]
async fn who_is_refused_again_and_again_is_muted_for_a_while() {
    let (app, _lists) = strict(&[("GUILDHALL_MUTE_AFTER", "3:1h")]).await;
    app.world("w", &["bob"]).await;
    let bob = app.player("bob");
    let say = async |text: &str| bob.post("/message/send", json!({ "channel": "w", "text": text })).await;
    for _ in 0..3 {
        say("well").await.data();
        assert_eq!(say("badword").await.code(), "rejected");
    }
    let muted = say("well").await;
    assert_eq!(
        (muted.code().as_str(), &muted.body["error"]["details"]["where"]),
        ("muted", &json!("everywhere"))
    );
    say("badword").await;
    let own = bob.get("/player/sanctions").await.data();
    assert_eq!(
        (own["sanctions"].as_array().unwrap().len(), &own["sanctions"][0]["automatic"]),
        (1, &json!(true))
    );
    app.run_tasks().await;
    let inbox = bob.get("/channel/inbox").await.data();
    assert_eq!(inbox["channels"][0]["last_message"]["payload"]["automatic"], true);
    let record = app.moderator("mod").get("/player/record?player=bob").await.data();
    assert_eq!(record["hits"]["refused"], 4);
}

/// The setting was changed meanwhile: a refused send is still answered as one.
#[tokio::test]
async fn a_mute_that_was_given_under_another_setting_is_one_mute() {
    let (app, lists) = strict(&[("GUILDHALL_MUTE_AFTER", "1:1h")]).await;
    app.world("w", &["bob"]).await;
    let refused = json!({ "channel": "w", "text": "badword" });
    assert_eq!(app.player("bob").post("/message/send", refused.clone()).await.code(), "rejected");
    let data = app.folder.path().join("data").to_str().unwrap().to_owned();
    let mut variables = vec![
        ("GUILDHALL_WORDLISTS", lists.path().to_str().unwrap()),
        ("GUILDHALL_MUTE_AFTER", "1:2h"),
        ("GUILDHALL_DATA", &data),
    ];
    if let Some(url) = &app.app.config.database_url {
        variables.push(("DATABASE_URL", url.expose()));
    }
    let other = TestApp::with(&variables).await;
    assert_eq!(other.player("bob").post("/message/send", refused).await.code(), "rejected");
    let own = other.player("bob").get("/player/sanctions").await.data();
    assert_eq!(own["sanctions"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn what_is_to_be_looked_at_opens_a_case_that_weighs_less_than_any_report() {
    let (app, _lists) = strict(&[("GUILDHALL_REVIEW_CASES", "on")]).await;
    app.world("w", &["alice", "bob"]).await;
    app.player("bob").say("w", "this is odd").await;
    app.player("bob").say("w", "this is not").await;
    app.run_tasks().await;
    report(&app, "alice", 2).await;
    let cases = app.moderator("mod").get("/case/queue").await.data()["cases"].clone();
    let about: Vec<&Value> = cases.as_array().unwrap().iter().map(|case| &case["about"]["seq"]).collect();
    assert_eq!(about, [2, 1]);
    assert_eq!((&cases[1]["reports"], &cases[1]["categories"]), (&json!(0), &json!([])));
    let whole =
        app.moderator("mod").get(&format!("/case/show?id={}", cases[1]["id"].as_str().unwrap())).await.data();
    assert_eq!(whole["evidence"]["message"]["text"], "this is odd");
}

#[tokio::test]
async fn the_same_again_and_again_is_refused_and_a_retry_is_not() {
    let app = TestApp::with(&[("GUILDHALL_REPEATS", "2/60s"), ("GUILDHALL_SEND_LIMIT", "off")]).await;
    app.world("w", &["bob", "eve"]).await;
    let send = async |player: &str, text: &str, nonce: &str| {
        let input = json!({ "channel": "w", "text": text, "nonce": nonce });
        app.player(player).post("/message/send", input).await
    };
    send("bob", "join my guild today", "1").await.data();
    send("bob", "Join my guild, today!!", "2").await.data();
    let refused = send("bob", "join my guild today 1", "3").await;
    assert_eq!(
        (refused.code().as_str(), &refused.body["error"]["details"]["reason"]),
        ("rate_limited", &json!("repeats"))
    );
    assert!(refused.body["error"]["details"]["retry_after_s"].as_u64().unwrap() <= 60);
    assert_eq!(send("bob", "join my guild today", "1").await.data()["replayed"], true);
    send("bob", "something else entirely", "4").await.data();
    send("eve", "join my guild today", "5").await.data();
    for n in 0..5 {
        send("bob", "gg", &format!("gg{n}")).await.data();
    }
}

#[tokio::test]
async fn a_player_opens_so_many_direct_channels_in_a_day() {
    let app = TestApp::with(&[("GUILDHALL_DIRECT_LIMIT", "3")]).await;
    let open = async |player: &str, other: &str| {
        app.player(player).post("/channel/direct", json!({ "player": other })).await
    };
    for other in ["a", "b", "a", "c", "b"] {
        open("bob", other).await.data();
    }
    let refused = open("bob", "d").await;
    assert_eq!(
        (refused.code().as_str(), &refused.body["error"]["details"]["reason"]),
        ("rate_limited", &json!("direct"))
    );
    assert!(refused.body["error"]["details"]["retry_after_s"].as_u64().unwrap() > 86_000);
    open("bob", "a").await.data();
    open("d", "bob").await.data();
    open("bob", "d").await.data();
    let moderator = app.moderator("mod");
    for other in ["a", "b", "c", "d", "e"] {
        moderator.post("/channel/direct", json!({ "player": other })).await.data();
    }
}

#[tokio::test]
async fn strangers_can_be_kept_from_writing() {
    for (from, stranger, known) in
        [("shared-channel", false, true), ("nobody", false, false), ("anyone", true, true)]
    {
        let app = TestApp::with(&[("GUILDHALL_DIRECT_FROM", from)]).await;
        app.guild("g", &["bob", "eve"]).await;
        let open =
            async |other: &str| app.player("bob").post("/channel/direct", json!({ "player": other })).await;
        for (other, may) in [("stranger", stranger), ("eve", known)] {
            let opened = open(other).await;
            let reason = opened.body["error"]["details"]["reason"].clone();
            assert_eq!(reason, if may { Value::Null } else { json!("strangers") }, "{from} {other}");
        }
        // One that is there stays.
        let theirs = json!({ "id": "ours", "kind": "direct", "members": ["bob", "carl"] });
        app.server().post("/channel/create", theirs).await.data();
        assert_eq!(open("carl").await.data()["id"], "ours");
        app.moderator("mod").post("/channel/direct", json!({ "player": "bob" })).await.data();
    }
}

#[tokio::test]
async fn joining_and_leaving_in_a_loop_has_an_end() {
    let app = TestApp::with(&[("GUILDHALL_JOIN_LIMIT", "6/60s"), ("GUILDHALL_RATE", "off")]).await;
    app.world("w", &[]).await;
    let bob = app.player("bob");
    for _ in 0..3 {
        bob.post("/channel/join", json!({ "channel": "w" })).await.data();
        bob.post("/channel/leave", json!({ "channel": "w" })).await.data();
    }
    let refused = bob.post("/channel/join", json!({ "channel": "w" })).await;
    assert_eq!(
        (refused.code().as_str(), &refused.body["error"]["details"]["reason"]),
        ("rate_limited", &json!("joins"))
    );
    app.player("eve").post("/channel/join", json!({ "channel": "w" })).await.data();
}

/// However many ask at once: ten reports in an hour, and no more.
#[tokio::test]
async fn reports_that_come_together_are_held_to_the_limit_too() {
    let app = TestApp::with(&[("GUILDHALL_RATE", "off")]).await;
    let alice = app.player("alice");
    let reports = (0..20).map(|n| {
        let input = json!({ "player": format!("p{n}"), "category": "cheating" });
        let alice = &alice;
        async move { alice.post("/report/player", input).await.status.as_u16() }
    });
    let statuses = futures_util::future::join_all(reports).await;
    assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 10, "{statuses:?}");
}

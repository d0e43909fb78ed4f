//! Reports, cases, decisions and appeals: the whole loop by HTTP, and what is promised of each part of it.

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::help::database;
use crate::help::{Reply, TestApp, numbered_texts};

async fn say(app: &TestApp, player: &str, channel: &str, text: &str) -> i64 {
    let input = json!({ "channel": channel, "text": text });
    app.player(player).post("/message/send", input).await.data()["message"]["seq"].as_i64().unwrap()
}

async fn report(app: &TestApp, player: &str, channel: &str, seq: i64) -> Reply {
    let input = json!({ "channel": channel, "seq": seq, "category": "insult" });
    app.player(player).post("/report/message", input).await
}

async fn queue(app: &TestApp, query: &str) -> Vec<Value> {
    let page = app.moderator("mod").get(&format!("/case/queue?{query}")).await.data();
    page["cases"].as_array().unwrap().clone()
}

async fn show(app: &TestApp, id: &Value) -> Value {
    app.moderator("mod").get(&format!("/case/show?id={}", id.as_str().unwrap())).await.data()
}

/// What the game told a player in their own channel, the payloads.
async fn told(app: &TestApp, player: &str) -> Vec<Value> {
    app.run_tasks().await;
    // No ban reaches here.
    let own = guildhall::store::create::NewChannel::of_player(
        &guildhall::chat::values::PlayerId::parse(player).unwrap(),
    );
    let page = app.player(player).get(&format!("/message/list?channel={}", own.id)).await;
    if page.status != 200 {
        return Vec::new();
    }
    page.data()["messages"].as_array().unwrap().iter().map(|message| message["payload"].clone()).collect()
}

/// Something that no action can do, in the database.
pub async fn by_hand(app: &TestApp, statement: &str) {
    match &app.app.config.database_url {
        Some(url) => database::execute(url.expose(), statement).await,
        None => database::change(&app.folder.path().join("data"), statement).await,
    }
}

#[tokio::test]
async fn from_the_report_to_the_appeal() {
    let app = TestApp::new().await;
    let moderator = app.moderator("mod");
    app.world("w", &["alice", "bob", "eve"]).await;
    say(&app, "alice", "w", "hello").await;
    let seq = say(&app, "bob", "w", "you badword").await;
    say(&app, "alice", "w", "that was not nice").await;
    let first = report(&app, "alice", "w", seq).await.data();
    report(&app, "eve", "w", seq).await.data();
    let case = queue(&app, "").await[0].clone();
    assert_eq!(case["about"], json!({ "player": "bob", "channel": "w", "seq": seq }));
    assert_eq!(
        (&case["reports"], &case["categories"], &case["state"]),
        (&json!(2), &json!(["insult"]), &json!("open"))
    );
    let whole = show(&app, &case["id"]).await;
    assert_eq!(
        (&whole["reports"][0]["reporter"], &whole["reports"][0]["id"]),
        (&json!("alice"), &first["report"]["id"])
    );
    let evidence = &whole["evidence"];
    assert_eq!(
        (&evidence["message"]["text"], &evidence["original"]["text"]),
        (&json!("you *******"), &json!("you badword"))
    );
    assert_eq!(
        (&evidence["before"][0]["text"], &evidence["after"][0]["text"]),
        (&json!("hello"), &json!("that was not nice"))
    );
    assert_eq!(whole["proposal"], json!({ "kind": "warn", "seconds": null }));
    moderator.post("/case/claim", json!({ "id": case["id"] })).await.data();
    let decision = json!({ "id": case["id"], "decision": "mute", "where": "kind:world", "seconds": 3600, "reason": "insults" });
    let decided = moderator.post("/case/decide", decision).await.data();
    let sanction = &decided["sanction"];
    assert_eq!(
        (&decided["case"]["state"], &decided["case"]["sanction"]),
        (&json!("decided"), &sanction["id"])
    );
    assert_eq!(
        (&sanction["player"], &sanction["case"], &sanction["where"]),
        (&json!("bob"), &case["id"], &json!("kind:world"))
    );
    the_message_is_gone_and_all_are_told(&app, seq, sanction).await;
    appeal_and_lift(&app, sanction).await;
}

async fn the_message_is_gone_and_all_are_told(app: &TestApp, seq: i64, sanction: &Value) {
    // The message is gone for all, the sender is silent and told, and so are those who reported.
    let page = app.player("eve").get(&format!("/message/list?channel=w&after={}", seq - 1)).await.data();
    let kinds: Vec<&Value> =
        page["messages"].as_array().unwrap().iter().map(|message| &message["kind"]).collect();
    assert_eq!(kinds, ["recalled", "text", "recall"]);
    assert_eq!(page["messages"][0]["text"], "");
    let muted = app.player("bob").post("/message/send", json!({ "channel": "w", "text": "h" })).await;
    assert_eq!(muted.code(), "muted");
    assert_eq!(told(app, "bob").await[0]["sanction"], sanction["id"]);
    for reporter in ["alice", "eve"] {
        let news = told(app, reporter).await;
        assert_eq!(
            (&news[0]["type"], &news[0]["acted"]),
            (&json!("report_decided"), &json!(true)),
            "{reporter}"
        );
    }
}

async fn appeal_and_lift(app: &TestApp, sanction: &Value) {
    let moderator = app.moderator("mod");
    let appeal = json!({ "sanction": sanction["id"], "text": "it was a joke" });
    let appeal = app.player("bob").post("/appeal/submit", appeal).await.data()["appeal"].clone();
    assert_eq!(appeal["state"], "open");
    let open = moderator.get("/appeal/queue").await.data();
    assert_eq!((&open["appeals"][0]["id"], &open["appeals"][0]["player"]), (&appeal["id"], &json!("bob")));
    let lift = json!({ "id": appeal["id"], "decision": "lift", "reason": "it was" });
    let lifted = moderator.post("/appeal/decide", lift).await.data();
    assert_eq!((&lifted["appeal"]["state"], &lifted["appeal"]["by_giver"]), (&json!("lifted"), &json!(true)));
    say(app, "bob", "w", "thanks").await;
    assert_eq!(told(app, "bob").await.last().unwrap()["type"], "appeal_decided");
    let mine = app.player("bob").get("/appeal/mine").await.data();
    assert_eq!(
        (&mine["appeals"][0]["state"], &mine["appeals"][0]["reason"]),
        (&json!("lifted"), &json!("it was"))
    );
    let audit = moderator.get("/audit/list?player=bob").await.data();
    let actions: Vec<&Value> =
        audit["entries"].as_array().unwrap().iter().map(|entry| &entry["action"]).collect();
    assert_eq!(actions, ["sanction.give", "case.decide", "appeal.decide", "sanction.lift"]);
}

#[tokio::test]
async fn the_ladder_goes_by_the_record() {
    let app = TestApp::with(&[("GUILDHALL_LADDER", "warn,mute:1h,ban:30d")]).await;
    app.world("w", &["alice", "bob"]).await;
    for expected in [
        json!({ "kind": "warn", "seconds": null }),
        json!({ "kind": "mute", "seconds": 3_600 }),
        json!({ "kind": "ban", "seconds": 2_592_000 }),
        json!({ "kind": "ban", "seconds": 2_592_000 }),
    ] {
        let seq = say(&app, "bob", "w", "h").await;
        report(&app, "alice", "w", seq).await.data();
        let case = queue(&app, "").await[0].clone();
        assert_eq!(show(&app, &case["id"]).await["proposal"], expected);
        let decision = json!({ "id": case["id"], "decision": "warn", "reason": "r" });
        app.moderator("mod").post("/case/decide", decision).await.data();
    }
    let first = app.moderator("mod").get("/sanction/list?player=bob&state=all").await.data()["sanctions"][0]
        ["id"]
        .clone();
    app.moderator("mod").post("/sanction/lift", json!({ "id": first, "reason": "r" })).await.data();
    by_hand(&app, "UPDATE sanction SET given_at = given_at - 7776000001 WHERE lifted_at IS NULL").await;
    app.server()
        .post("/channel/create", json!({ "id": "g", "kind": "guild", "members": ["bob", "alice"] }))
        .await
        .data();
    let seq = say(&app, "bob", "g", "h").await;
    report(&app, "alice", "g", seq).await.data();
    let case = queue(&app, "").await[0].clone();
    assert_eq!(
        show(&app, &case["id"]).await["proposal"]["kind"],
        "warn",
        "what was lifted, or is old, does not count"
    );
}

#[tokio::test]
async fn evidence_stays_when_the_message_goes() {
    let app = TestApp::new().await;
    app.world("w", &["alice", "bob"]).await;
    let recalled_before = say(&app, "bob", "w", "one").await;
    let recalled_after = say(&app, "bob", "w", "two").await;
    app.player("bob").post("/message/recall", json!({ "channel": "w", "seq": recalled_before })).await.data();
    report(&app, "alice", "w", recalled_before).await.data();
    report(&app, "alice", "w", recalled_after).await.data();
    app.player("bob").post("/message/recall", json!({ "channel": "w", "seq": recalled_after })).await.data();
    let cases = queue(&app, "").await;
    let [first, second] = [show(&app, &cases[0]["id"]).await, show(&app, &cases[1]["id"]).await];
    assert_eq!(
        (&first["evidence"]["message"]["kind"], &first["evidence"]["original"]["text"]),
        (&json!("recalled"), &json!("one"))
    );
    assert_eq!(second["evidence"]["message"]["text"], "two");
    by_hand(&app, "DELETE FROM message").await;
    assert_eq!(show(&app, &cases[1]["id"]).await["evidence"]["message"]["text"], "two");
    // A decision about what is not there any more changes what can be changed.
    let decision = json!({ "id": cases[1]["id"], "decision": "warn", "reason": "r" });
    app.moderator("mod").post("/case/decide", decision).await.data();
}

#[tokio::test]
async fn evidence_is_forgotten_when_its_time_is_over() {
    let app = TestApp::with(&[("GUILDHALL_EVIDENCE", "1d")]).await;
    app.world("w", &["alice", "bob"]).await;
    for text in ["old", "new", "open"] {
        let seq = say(&app, "bob", "w", text).await;
        report(&app, "alice", "w", seq).await.data();
    }
    let cases = queue(&app, "").await;
    for case in &cases[..2] {
        let decision = json!({ "id": case["id"], "decision": "dismiss", "reason": "r" });
        app.moderator("mod").post("/case/decide", decision).await.data();
    }
    let old = cases[0]["id"].as_str().unwrap();
    by_hand(&app, &format!("UPDATE report_case SET decided_at = decided_at - 86400001 WHERE id = '{old}'"))
        .await;
    by_hand(&app, "UPDATE report_case SET opened_at = opened_at - 86400001").await;
    for _ in 0..2 {
        let task = json!({ "task": "retention.v1", "payload": { "catch_up": true } });
        app.server().post("/task/submit", task).await.data();
        app.run_tasks().await;
    }
    let kept: Vec<bool> =
        join_all(cases.iter().map(async |case| !show(&app, &case["id"]).await["evidence"].is_null())).await;
    assert_eq!(kept, [false, true, true]);
}

#[tokio::test]
async fn what_can_be_reported_and_how_often() {
    let app = TestApp::new().await;
    app.world("w", &["alice", "bob"]).await;
    app.guild("g", &["bob"]).await;
    let secret = say(&app, "bob", "g", "between us").await;
    let own = say(&app, "alice", "w", "mine").await;
    let input = json!({ "channel": "w", "text": "news" });
    let ours = app.server().post("/message/send", input).await.data()["message"]["seq"].as_i64().unwrap();
    assert_eq!(report(&app, "alice", "g", secret).await.code(), "not_found");
    assert_eq!(report(&app, "alice", "w", 99).await.code(), "not_found");
    assert_eq!(report(&app, "alice", "w", own).await.code(), "invalid_input");
    assert_eq!(report(&app, "alice", "w", ours).await.code(), "invalid_input");
    let player = async |who: &str| {
        let input = json!({ "player": who, "category": "cheating", "text": "walks through walls" });
        app.player("alice").post("/report/player", input).await
    };
    assert_eq!(player("alice").await.code(), "invalid_input");
    let taken = app.player("bob").post("/message/recall", json!({ "channel": "w", "seq": own })).await;
    assert_eq!(taken.code(), "forbidden");
    let first = player("bob").await.data();
    assert_eq!(player("bob").await.data(), first, "a second one is the first");
    for n in 0..9 {
        player(&format!("p{n}")).await.data();
    }
    let eleventh = player("p9").await;
    assert_eq!(
        (eleventh.code().as_str(), &eleventh.body["error"]["details"]["reason"]),
        ("rate_limited", &json!("reports"))
    );
    let wait = eleventh.body["error"]["details"]["retry_after_s"].as_i64().unwrap();
    assert!((3_500..=3_600).contains(&wait), "{wait}");
    assert_eq!(player("bob").await.data(), first, "and is answered all the same");
    let case = queue(&app, "").await[0].clone();
    assert_eq!(case["about"], json!({ "player": "bob", "channel": null, "seq": null }));
    assert_eq!(show(&app, &case["id"]).await["reports"][0]["text"], "walks through walls");
    let recall = json!({ "id": case["id"], "decision": "recall", "reason": "r" });
    assert_eq!(app.moderator("mod").post("/case/decide", recall).await.code(), "invalid_input");
}

#[tokio::test]
async fn many_reports_at_once_make_one_case_and_count_each_reporter_once() {
    let app = TestApp::new().await;
    let players: Vec<String> = (0..12).map(|n| format!("p{n}")).collect();
    let names: Vec<&str> = players.iter().map(String::as_str).chain(["bob"]).collect();
    app.world("w", &names).await;
    let seq = say(&app, "bob", "w", "h").await;
    let twice = players.iter().chain(&players);
    let replies = join_all(twice.map(|player| report(&app, player, "w", seq))).await;
    let mut ids: Vec<String> =
        replies.into_iter().map(|reply| reply.data()["report"]["id"].to_string()).collect();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 12);
    let cases = queue(&app, "").await;
    assert_eq!((cases.len(), &cases[0]["reports"]), (1, &json!(12)));
}

#[tokio::test]
async fn the_queue_goes_by_weight_then_by_age_page_by_page() {
    let app = TestApp::new().await;
    app.world("w", &["alice", "bob", "carl", "dora"]).await;
    let mut seqs = Vec::new();
    for n in 0..4 {
        seqs.push(say(&app, "bob", "w", &format!("m{n}")).await);
    }
    for (seq, reporters) in [(0, 1), (1, 2), (2, 1), (3, 3)] {
        for reporter in ["alice", "carl", "dora"].into_iter().take(reporters) {
            report(&app, reporter, "w", seqs[seq]).await.data();
        }
    }
    let order =
        |cases: &[Value]| cases.iter().map(|case| case["about"]["seq"].as_i64().unwrap()).collect::<Vec<_>>();
    assert_eq!(order(&queue(&app, "").await), [seqs[3], seqs[1], seqs[0], seqs[2]]);
    let first = app.moderator("mod").get("/case/queue?limit=3").await.data();
    assert_eq!(first["more"], true);
    let last = first["cases"][2]["id"].as_str().unwrap();
    assert_eq!(order(&queue(&app, &format!("after={last}")).await), [seqs[2]]);
    // Whose reports were mostly dismissed counts half.
    for case in queue(&app, "").await {
        let decision = json!({ "id": case["id"], "decision": "dismiss", "reason": "r" });
        app.moderator("mod").post("/case/decide", decision).await.data();
    }
    let (lone, fresh) = (say(&app, "bob", "w", "m5").await, say(&app, "bob", "w", "m6").await);
    report(&app, "alice", "w", lone).await.data();
    report(&app, "dora", "w", fresh).await.data();
    assert_eq!(
        order(&queue(&app, "").await),
        [fresh, lone],
        "alice reported four times for nothing, dora once"
    );
    assert_eq!(queue(&app, "state=decided").await.len(), 4);
}

#[tokio::test]
async fn a_case_is_one_moderators_for_half_an_hour() {
    let app = TestApp::new().await;
    app.world("w", &["alice", "bob"]).await;
    let seq = say(&app, "bob", "w", "h").await;
    report(&app, "alice", "w", seq).await.data();
    let id = queue(&app, "").await[0]["id"].clone();
    let (one, other) = (app.moderator("one"), app.moderator("other"));
    let claim = json!({ "id": id, "nonce": "n" });
    assert_eq!(one.post("/case/claim", claim.clone()).await.data()["case"]["claimed_by"], "one");
    assert_eq!(one.post("/case/claim", claim.clone()).await.data()["case"]["claimed_by"], "one");
    assert_eq!(other.post("/case/claim", claim).await.code(), "conflict");
    let dismiss = json!({ "id": id, "decision": "dismiss", "reason": "r" });
    assert_eq!(other.post("/case/decide", dismiss.clone()).await.code(), "conflict");
    assert_eq!((queue(&app, "").await.len(), queue(&app, "state=claimed").await.len()), (0, 1));
    by_hand(&app, "UPDATE report_case SET claimed_at = claimed_at - 1800001").await;
    assert_eq!((queue(&app, "").await.len(), queue(&app, "state=claimed").await.len()), (1, 0));
    assert_eq!(other.post("/case/claim", json!({ "id": id })).await.data()["case"]["claimed_by"], "other");
    assert_eq!(one.post("/case/decide", dismiss.clone()).await.code(), "conflict");
    other.post("/case/decide", dismiss).await.data();
    assert_eq!(other.post("/case/claim", json!({ "id": id })).await.code(), "conflict");
    assert_eq!(other.post("/case/claim", json!({ "id": "none" })).await.code(), "not_found");
    assert_eq!(app.player("bob").get("/case/queue").await.code(), "forbidden");
}

#[tokio::test]
async fn of_many_who_decide_at_once_one_does() {
    let app = TestApp::new().await;
    app.world("w", &["alice", "bob"]).await;
    let seq = say(&app, "bob", "w", "h").await;
    report(&app, "alice", "w", seq).await.data();
    let id = queue(&app, "").await[0]["id"].clone();
    let decide = async |n: usize| {
        let decision = json!({ "id": id, "decision": "ban", "reason": "r", "nonce": "n" });
        (n, app.moderator(&format!("m{n}")).post("/case/decide", decision).await)
    };
    let replies = join_all((0..8).map(decide)).await;
    let won: Vec<usize> = replies.iter().filter(|(_, reply)| reply.status == 200).map(|(n, _)| *n).collect();
    assert_eq!(won.len(), 1, "{replies:?}");
    assert!(replies.iter().all(|(_, reply)| reply.status == 200 || reply.status == 409));
    let (_, again) = decide(won[0]).await;
    assert_eq!(again.data()["sanction"]["player"], "bob", "with its nonce, a decision is found again");
    let sanctions = app.moderator("mod").get("/sanction/list?player=bob").await.data();
    assert_eq!(sanctions["sanctions"].as_array().unwrap().len(), 1);
    let page = app.moderator("mod").get("/message/list?channel=w").await.data();
    assert_eq!(numbered_texts(&page), [(1, String::new()), (2, String::new())]);
}

#[tokio::test]
async fn an_appeal_is_made_once_by_whom_it_is_about_and_decided_once() {
    let app = TestApp::new().await;
    let moderator = app.moderator("mod");
    let ban = json!({ "player": "bob", "kind": "ban", "where": "everywhere", "reason": "r" });
    let id = moderator.post("/sanction/give", ban).await.data()["sanction"]["id"].clone();
    let appeal = json!({ "sanction": id, "text": "it was not me" });
    assert_eq!(app.player("eve").post("/appeal/submit", appeal.clone()).await.code(), "not_found");
    let bob = app.player("bob");
    let submitted = bob.post("/appeal/submit", appeal.clone()).await.data();
    assert_eq!(bob.post("/appeal/submit", appeal).await.data(), submitted);
    let other = json!({ "sanction": id, "text": "other words" });
    assert_eq!(bob.post("/appeal/submit", other).await.code(), "conflict");
    let decide =
        json!({ "id": submitted["appeal"]["id"], "decision": "uphold", "reason": "it was", "nonce": "n" });
    let upheld = app.moderator("other").post("/appeal/decide", decide.clone()).await.data();
    assert_eq!(
        (&upheld["appeal"]["state"], &upheld["appeal"]["by_giver"]),
        (&json!("upheld"), &json!(false))
    );
    assert_eq!(app.moderator("other").post("/appeal/decide", decide.clone()).await.data(), upheld);
    assert_eq!(moderator.post("/appeal/decide", decide).await.code(), "conflict");
    assert_eq!(told(&app, "bob").await.last().unwrap()["state"], "upheld");
    moderator.post("/sanction/lift", json!({ "id": id, "reason": "r" })).await.data();
    assert_eq!(
        moderator.get("/appeal/queue?state=upheld").await.data()["appeals"].as_array().unwrap().len(),
        1
    );
}

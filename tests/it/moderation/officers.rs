//! Officers: players who keep order in one channel.

use serde_json::{Value, json};

use crate::help::{Reply, TestApp};

async fn guild() -> TestApp {
    let app = TestApp::new().await;
    app.guild("g", &["olga", "omar", "bob", "eve"]).await;
    app.guild("h", &["olga", "bob"]).await;
    for officer in ["olga", "omar"] {
        let role = json!({ "channel": "g", "player": officer, "role": "officer" });
        assert_eq!(app.server().post("/channel/role", role.clone()).await.data(), role);
    }
    app
}

fn mute(player: &str, place: &str, seconds: i64) -> Value {
    json!({ "player": player, "kind": "mute", "where": place, "seconds": seconds, "reason": "enough" })
}

fn reason(reply: &Reply) -> String {
    assert_eq!(reply.code(), "forbidden");
    reply.body["error"]["details"]["reason"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn an_officer_mutes_members_of_their_channel_and_lifts_that() {
    let app = guild().await;
    let olga = app.player("olga");
    let given = olga.post("/sanction/give", mute("bob", "channel:g", 3_600)).await.data()["sanction"].clone();
    let say = async |channel: &str| {
        app.player("bob").post("/message/send", json!({ "channel": channel, "text": "x" })).await
    };
    assert_eq!(say("g").await.code(), "muted");
    say("h").await.data();
    let lift = json!({ "id": given["id"], "reason": "good again" });
    app.player("omar").post("/sanction/lift", lift).await.data();
    say("g").await.data();
    let audit = app.moderator("mod").get("/audit/list?by=olga").await.data();
    assert_eq!(
        (&audit["entries"][0]["action"], &audit["entries"][0]["scope"]),
        (&json!("sanction.give"), &json!("player"))
    );
    let members = app.player("bob").get("/channel/members?channel=g").await.data();
    let roles: Vec<&Value> =
        members["members"].as_array().unwrap().iter().map(|member| &member["role"]).collect();
    assert_eq!(roles, ["member", "member", "officer", "officer"]);
}

#[tokio::test]
async fn an_officer_has_no_say_beyond_that() {
    let app = guild().await;
    let olga = app.player("olga");
    let mut ban = mute("bob", "channel:g", 60);
    ban["kind"] = json!("ban");
    let mut for_good = mute("bob", "channel:g", 60);
    for_good.as_object_mut().unwrap().remove("seconds");
    for (input, why) in [
        (mute("bob", "channel:h", 60), "not_officer"),
        (mute("bob", "everywhere", 60), "not_officer"),
        (mute("bob", "kind:guild", 60), "not_officer"),
        (mute("bob", "channel:nowhere", 60), "not_officer"),
        (ban, "officer"),
        (for_good, "officer"),
        (mute("bob", "channel:g", 8 * 86_400), "officer"),
        (mute("omar", "channel:g", 60), "officer"),
    ] {
        assert_eq!(reason(&olga.post("/sanction/give", input.clone()).await), why, "{input}");
    }
    assert_eq!(olga.post("/sanction/give", mute("stranger", "channel:g", 60)).await.code(), "not_found");
    assert_eq!(
        reason(&app.player("bob").post("/sanction/give", mute("eve", "channel:g", 60)).await),
        "not_officer"
    );
    // What a moderator gave is not theirs to lift, and they learn nothing of others'.
    let given =
        app.moderator("mod").post("/sanction/give", mute("bob", "channel:g", 60)).await.data()["sanction"]
            .clone();
    for id in [given["id"].clone(), json!("nothing")] {
        assert_eq!(
            reason(&olga.post("/sanction/lift", json!({ "id": id, "reason": "r" })).await),
            "not_officer"
        );
    }
    // No longer an officer, no longer a say.
    let role = json!({ "channel": "g", "player": "olga", "role": "member" });
    app.server().post("/channel/role", role).await.data();
    assert_eq!(reason(&olga.post("/sanction/give", mute("eve", "channel:g", 60)).await), "not_officer");
    let role = json!({ "channel": "g", "player": "stranger", "role": "officer" });
    assert_eq!(app.server().post("/channel/role", role).await.code(), "not_found");
}

#[tokio::test]
async fn an_officer_takes_back_any_message_of_their_channel() {
    let app = guild().await;
    app.player("bob").say("g", "rude").await;
    app.player("bob").say("h", "rude").await;
    let recall = async |channel: &str| {
        app.player("olga").post("/message/recall", json!({ "channel": channel, "seq": 1 })).await
    };
    recall("g").await.data();
    assert_eq!(app.player("eve").history("g").await[0]["kind"], "recalled");
    assert_eq!(reason(&recall("h").await), "not_yours");
    app.server().say("g", "the gates open").await;
    let of_game = json!({ "channel": "g", "seq": 3 });
    assert_eq!(reason(&app.player("olga").post("/message/recall", of_game).await), "not_yours");
    let audit = app.moderator("mod").get("/audit/list?action=message.recall").await.data();
    assert_eq!((&audit["entries"][0]["by"], &audit["entries"][0]["player"]), (&json!("olga"), &json!("bob")));
}

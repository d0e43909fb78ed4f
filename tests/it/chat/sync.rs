//! The call that clients poll with: many channels, each from where the client stands.

use serde_json::{Value, json};

use crate::help::TestApp;

async fn sync(app: &TestApp, input: Value) -> Vec<Value> {
    app.player("alice").post("/message/sync", input).await.data()["channels"].as_array().unwrap().clone()
}

fn seqs(channel: &Value) -> Vec<i64> {
    channel["messages"].as_array().unwrap().iter().map(|message| message["seq"].as_i64().unwrap()).collect()
}

#[tokio::test]
async fn each_channel_goes_on_from_where_the_client_stands() {
    let app = TestApp::new().await;
    for (id, count) in [("a", 3), ("b", 0), ("c", 7)] {
        app.guild(id, &["alice"]).await;
        for n in 0..count {
            app.player("alice").say(id, &format!("{n}")).await;
        }
    }
    let input = json!({ "limit": 4, "channels": [
        { "channel": "c", "after": 1 }, { "channel": "a", "after": 3 }, { "channel": "b", "after": 0 },
    ] });
    let channels = sync(&app, input).await;
    let read: Vec<_> = channels
        .iter()
        .map(|c| (c["channel"].as_str().unwrap(), seqs(c), c["more"].as_bool().unwrap()))
        .collect();
    assert_eq!(read, [("c", vec![2, 3, 4, 5], true), ("a", vec![], false), ("b", vec![], false)]);
    assert!(channels.iter().all(|c| c["reset"] == false && c["epoch"].is_string() && c["error"].is_null()));
}

#[tokio::test]
async fn another_epoch_starts_over() {
    let app = TestApp::new().await;
    app.guild("g", &["alice"]).await;
    app.player("alice").say("g", "hello").await;
    let epoch = app.player("alice").get("/channel/info?channel=g").await.data()["epoch"].clone();
    let at = |after: i64, epoch: Value| json!({ "channels": [{ "channel": "g", "after": after, "epoch": epoch }] });

    let same = sync(&app, at(1, epoch.clone())).await;
    assert_eq!((seqs(&same[0]), &same[0]["reset"]), (vec![], &json!(false)));
    let other = sync(&app, at(1, json!("another"))).await;
    assert_eq!((seqs(&other[0]), &other[0]["reset"], &other[0]["epoch"]), (vec![1], &json!(true), &epoch));
    // A number that the channel has not reached: it was restored from an older copy.
    let ahead = sync(&app, at(9, epoch)).await;
    assert_eq!((seqs(&ahead[0]), &ahead[0]["reset"]), (vec![1], &json!(true)));
}

#[tokio::test]
async fn one_lost_channel_does_not_cost_the_others() {
    let app = TestApp::new().await;
    app.guild("mine", &["alice"]).await;
    app.guild("theirs", &["bob"]).await;
    app.player("alice").say("mine", "hello").await;
    let input = json!({ "channels": [{ "channel": "theirs", "after": 0 }, { "channel": "mine", "after": 0 }, { "channel": "none", "after": 4 }] });
    let channels = sync(&app, input).await;
    assert_eq!((&channels[0]["error"], &channels[2]["error"]), (&json!("not_found"), &json!("not_found")));
    assert_eq!((seqs(&channels[0]), seqs(&channels[1])), (vec![], vec![1]));
}

#[tokio::test]
async fn a_reply_has_a_bound_and_says_what_is_left() {
    let app = TestApp::new().await;
    let mut cursors = Vec::new();
    for n in 0..7 {
        let id = format!("g{n}");
        app.guild(&id, &["alice"]).await;
        for _ in 0..100 {
            app.player("alice").say(&id, "hello").await;
        }
        cursors.push(json!({ "channel": id, "after": 0 }));
    }
    let channels = sync(&app, json!({ "limit": 100, "channels": cursors })).await;
    let counts: Vec<_> = channels.iter().map(|c| (seqs(c).len(), c["more"].as_bool().unwrap())).collect();
    assert_eq!(
        counts,
        [(100, false), (100, false), (100, false), (100, false), (100, false), (0, true), (0, true)]
    );
}

/// Large payloads: a reply ends at 1 MiB, and asking on leads through all of them, each once.
#[tokio::test]
async fn a_reply_has_at_most_a_mebibyte() {
    let app = TestApp::new().await;
    let ids = ["g0", "g1", "g2"];
    for id in ids {
        app.guild(id, &["alice"]).await;
        for n in 0..80 {
            let input =
                json!({ "channel": id, "text": format!("{n}"), "payload": { "x": "y".repeat(8_000) } });
            app.player("alice").post("/message/send", input).await.data();
        }
    }
    let (mut after, mut rounds) = ([0_i64; 3], 0);
    loop {
        let cursors: Vec<_> =
            ids.iter().zip(after).map(|(id, after)| json!({ "channel": id, "after": after })).collect();
        let reply =
            app.player("alice").post("/message/sync", json!({ "channels": cursors, "limit": 100 })).await;
        assert!(reply.body.to_string().len() <= 1_048_576);
        let channels = reply.data()["channels"].as_array().unwrap().clone();
        for (place, channel) in channels.iter().enumerate() {
            for seq in seqs(channel) {
                assert_eq!(seq, after[place] + 1);
                after[place] = seq;
            }
        }
        rounds += 1;
        if channels.iter().all(|channel| channel["more"] == false) {
            break;
        }
    }
    assert_eq!((after, rounds), ([80; 3], 2));
}

#[tokio::test]
async fn bounds_of_the_input() {
    let app = TestApp::new().await;
    let alice = app.player("alice");
    let cursors = |count: usize| -> Vec<Value> {
        (0..count).map(|n| json!({ "channel": format!("c{n}"), "after": 0 })).collect()
    };
    assert_eq!(sync(&app, json!({ "channels": [] })).await.len(), 0);
    assert_eq!(sync(&app, json!({ "channels": cursors(100) })).await.len(), 100);
    assert_eq!(
        alice.post("/message/sync", json!({ "channels": cursors(101) })).await.code(),
        "invalid_input"
    );
    let twice = json!({ "channels": [{ "channel": "a", "after": 0 }, { "channel": "a", "after": 1 }] });
    assert_eq!(alice.post("/message/sync", twice).await.code(), "invalid_input");
}

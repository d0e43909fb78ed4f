//! An entry in the database that nobody can read: it holds up no other entry, no other channel and no other reader.

use serde_json::{Value, json};

use crate::help::database::change;
use crate::help::process::{Process, player_token};
use crate::help::socket_client::{Socket, call, make, say, start};

async fn sync(process: &Process, channels: &[&str]) -> Value {
    let cursors: Vec<Value> = channels.iter().map(|id| json!({ "channel": id, "after": 0 })).collect();
    call(process, &player_token("alice"), "/message/sync", json!({ "channels": cursors })).await
}

/// The kinds of a list of entries, in their order.
fn kinds(messages: &Value) -> Vec<&str> {
    messages.as_array().unwrap().iter().map(|entry| entry["kind"].as_str().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_entry_that_cannot_be_read_holds_up_nobody() {
    for broken in ["{", "{}", r#"{"seq":"two"}"#] {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        let process = start(&data);
        for channel in ["g", "h"] {
            make(&process, channel, &["alice", "bob"]).await;
            say(&process, "bob", channel, "one").await;
        }
        let mut socket = Socket::of(&process, "alice").await;
        socket.ask("/live/follow", json!({ "channels": [{ "channel": "g" }, { "channel": "h" }] })).await;
        // As another process would store it, which the sweep finds.
        change(
            &data,
            &format!(
                "INSERT INTO message (channel_key, seq, said, sender_id, sent_at, shown, nonce, digest)
                 SELECT channel_key, 2, 2, sender_id, sent_at, '{broken}', 'n2', digest FROM message WHERE seq = 1
                 AND channel_key = (SELECT key FROM channel WHERE id = 'g')"
            ),
        )
        .await;
        change(&data, "UPDATE channel SET last_seq = 2, last_said = 2 WHERE id = 'g'").await;
        let pushed = socket.push_of("messages").await;
        assert_eq!(
            (&pushed["channel"], kinds(&pushed["messages"])),
            (&json!("g"), vec!["hidden"]),
            "{broken}"
        );
        assert_eq!(pushed["messages"][0]["seq"], 2);
        for channel in ["h", "g"] {
            say(&process, "bob", channel, "later").await;
            let pushed = socket.push_of("messages").await;
            assert_eq!(
                (&pushed["channel"], &pushed["messages"][0]["text"]),
                (&json!(channel), &json!("later"))
            );
        }
        if broken != "{" {
            continue;
        }
        // Whatever else reads it.
        let both = sync(&process, &["g", "h"]).await;
        assert_eq!(kinds(&both["channels"][0]["messages"]), ["text", "hidden", "text"], "{both}");
        assert_eq!(kinds(&both["channels"][1]["messages"]), ["text", "text"]);
        change(&data, "UPDATE channel SET last_seq = 2 WHERE id = 'g'").await;
        let mut connection = process.connect().await.unwrap();
        for path in
            ["/message/list?channel=g&after=0", "/message/list?channel=g&before=9&limit=2", "/channel/inbox"]
        {
            let answer = connection.call(&player_token("alice"), path, None).await.unwrap();
            assert_eq!(answer.status, 200, "{path}: {}", answer.body);
        }
        assert!(process.log().contains("a stored entry can't be read"), "{}", process.log());
    }
}

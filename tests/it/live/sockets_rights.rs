//! What a socket may hear: by the token it was opened with, and by memberships as they come and go.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use guildhall::access::token::mint;
use guildhall::chat::identity::Scope;
use guildhall::config::Secret;
use serde_json::{Value, json};

use crate::help::database;
use crate::help::process::{Process, server_token};
use crate::help::socket_client::{Socket, call, follow, make, say, start};
use crate::help::{SECRET, claims};

/// One id as a moderator and as a player: each socket has the rights of its own token.
#[tokio::test(flavor = "multi_thread")]
async fn a_moderators_socket_lends_no_rights_to_the_players_of_the_same_id() {
    let folder = tempfile::tempdir().unwrap();
    let process = start(&folder.path().join("data"));
    make(&process, "g", &["alice", "bob"]).await;
    let moderator = mint(&Secret::new(SECRET).unwrap(), &claims("alice", Scope::Moderator)).unwrap();
    let mut staff = Socket::open(process.port).await;
    staff.ask("/live/hello", json!({ "token": moderator })).await;
    staff.ask("/live/follow", follow("g", 0)).await;
    let mut player = Socket::of(&process, "alice").await;
    player.ask("/live/follow", follow("g", 0)).await;
    let removal = json!({ "channel": "g", "members": ["alice"] });
    call(&process, &server_token(), "/channel/members-remove", removal).await;
    say(&process, "bob", "g", "between us").await;
    assert_eq!(staff.push().await["messages"][0]["text"], "between us", "staff reads every channel");
    assert_eq!(player.push().await, json!({ "push": "membership", "channel": "g", "change": "left" }));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_follows_all_hears_of_new_channels_and_of_those_that_are_over() {
    let folder = tempfile::tempdir().unwrap();
    let process = start(&folder.path().join("data"));
    make(&process, "first", &["alice", "bob"]).await;
    let mut alice = Socket::of(&process, "alice").await;
    let all = alice.ask("/live/follow", json!({ "all": true })).await;
    assert_eq!(all["data"]["channels"][0]["channel"], "first");
    make(&process, "second", &["alice", "bob"]).await;
    assert_eq!(alice.push().await, json!({ "push": "membership", "channel": "second", "change": "joined" }));
    say(&process, "bob", "second", "welcome").await;
    assert_eq!(alice.push().await["messages"][0]["text"], "welcome");
    // From the moment that the removal was answered, nothing of that channel comes.
    let removal = json!({ "channel": "second", "members": ["alice"] });
    call(&process, &server_token(), "/channel/members-remove", removal).await;
    say(&process, "bob", "second", "between us").await;
    say(&process, "bob", "first", "still here").await;
    let mut pushes = [alice.push().await, alice.push().await];
    pushes.sort_by_key(|push| push["push"].to_string());
    assert_eq!(pushes[0], json!({ "push": "membership", "channel": "second", "change": "left" }));
    assert_eq!(pushes[1]["messages"][0]["text"], "still here");
}

/// What is asked on sockets takes places among all that is answered: where there is none, that frame alone is refused.
#[tokio::test(flavor = "multi_thread")]
async fn requests_on_sockets_share_the_room_of_all_others() {
    let folder = tempfile::tempdir().unwrap();
    let process = Process::start(&folder.path().join("data"), &[("GUILDHALL_MAX_IN_FLIGHT", "1")]);
    make(&process, "g", &["alice", "bob"]).await;
    let refused = AtomicUsize::new(0);
    let asking = join_all((0..16).map(|n| {
        let (process, refused) = (&process, &refused);
        async move {
            let mut socket = Socket::of(process, if n % 2 == 0 { "alice" } else { "bob" }).await;
            // Until somebody was refused; each answers all its frames, and is a good socket afterwards.
            while refused.load(Ordering::Relaxed) == 0 {
                let sent = socket.ask("/message/send", json!({ "channel": "g", "text": "hello" })).await;
                match sent["error"]["code"].as_str() {
                    None => assert!(sent["data"]["message"]["seq"].is_number(), "{sent}"),
                    Some("unavailable") => drop(refused.fetch_add(1, Ordering::Relaxed)),
                    Some(_) => panic!("{sent}"),
                }
            }
            socket.ask("/live/follow", json!({ "all": true })).await["error"].clone()
        }
    }));
    let answers = tokio::time::timeout(Duration::from_mins(1), asking).await.expect("somebody is refused");
    assert!(answers.iter().all(Value::is_null), "{answers:?}");
}

/// A ban that another process gave ends what a socket hears within a second, and its end brings it back.
#[tokio::test(flavor = "multi_thread")]
async fn who_is_banned_hears_nothing_more_on_an_open_socket() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    // The one that holds the sockets runs no tasks, and so tells nobody anything itself.
    let other = start(&data);
    let embedded = || format!("sqlite://{}", data.join(guildhall::store::EMBEDDED_FILE).display());
    let url = database::of_folder(&data).unwrap_or_else(embedded);
    let process = Process::start_as("live", &data, &[("DATABASE_URL", &url)]);
    make(&process, "g", &["alice", "bob"]).await;
    make(&process, "h", &["alice", "bob"]).await;
    let mut all = Socket::of(&process, "alice").await;
    all.ask("/live/follow", json!({ "all": true })).await;
    let mut named = Socket::of(&process, "alice").await;
    named.ask("/live/follow", follow("g", 0)).await;
    let ban = json!({ "player": "alice", "kind": "ban", "where": "channel:g", "reason": "r" });
    let sanction = call(&other, &server_token(), "/sanction/give", ban).await["sanction"]["id"].clone();
    let left = json!({ "push": "membership", "channel": "g", "change": "left" });
    assert_eq!(all.push_of("membership").await, left);
    assert_eq!(named.push_of("membership").await, left);
    say(&process, "bob", "g", "between us").await;
    say(&process, "bob", "h", "still here").await;
    let mut heard = all.push_of("messages").await;
    if heard["messages"][0]["kind"] == "system" {
        heard = all.push_of("messages").await; // behind the word that they are banned
    }
    assert_eq!((&heard["channel"], &heard["messages"][0]["text"]), (&json!("h"), &json!("still here")));
    let again = named.ask("/live/follow", follow("g", 0)).await;
    assert_eq!(again["data"]["channels"][0]["error"], "not_found");
    call(&other, &server_token(), "/sanction/lift", json!({ "id": sanction, "reason": "r" })).await;
    loop {
        let push = all.push_of("membership").await;
        if push["channel"] == "g" {
            assert_eq!(push["change"], "joined");
            break;
        }
    }
    let again = named.ask("/live/follow", follow("g", 0)).await;
    assert_eq!(again["data"]["channels"][0]["error"], Value::Null);
}

/// A ban that ends by itself is told as one that is lifted.
#[tokio::test(flavor = "multi_thread")]
async fn who_follows_all_is_back_when_a_ban_is_over() {
    let folder = tempfile::tempdir().unwrap();
    let process = start(&folder.path().join("data"));
    make(&process, "g", &["alice", "bob"]).await;
    let mut before = Socket::of(&process, "alice").await;
    before.ask("/live/follow", json!({ "all": true })).await;
    let ban = json!({ "player": "alice", "kind": "ban", "where": "kind:guild", "seconds": 6, "reason": "r" });
    call(&process, &server_token(), "/sanction/give", ban).await;
    let mut during = Socket::of(&process, "alice").await;
    let all = during.ask("/live/follow", json!({ "all": true })).await;
    let channels = all["data"]["channels"].as_array().unwrap();
    assert!(channels.iter().all(|channel| channel["channel"] != "g"), "{all}");
    for socket in [&mut before, &mut during] {
        loop {
            let push = socket.push_of("membership").await;
            if push["channel"] == "g" && push["change"] == "joined" {
                break;
            }
        }
    }
    say(&process, "bob", "g", "welcome back").await;
    for socket in [&mut before, &mut during] {
        let mut heard = socket.push_of("messages").await;
        while heard["channel"] != "g" {
            heard = socket.push_of("messages").await; // the word that they are banned
        }
        assert_eq!(heard["messages"][0]["text"], "welcome back");
    }
}

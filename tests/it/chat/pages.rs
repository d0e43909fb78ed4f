//! Pages that were read before are served again only while they are what the channel holds, whoever changed it.

use std::path::Path;

use serde_json::{Value, json};

use crate::help::database;
use crate::help::{TestApp, numbered_texts};

const PAGES: [&str; 3] = ["", "&after=0", "&before=3&limit=2"];

/// Two instances on one database, which is in the folder if it is a file.
async fn instances(folder: &Path) -> (TestApp, TestApp) {
    let url = if database::on_postgres() {
        database::migrated().await
    } else {
        format!("sqlite://{}", folder.join("shared.db").display())
    };
    let start = async || TestApp::with(&[("DATABASE_URL", &url), ("GUILDHALL_RETENTION", "world=30d")]).await;
    (start().await, start().await)
}

async fn pages(app: &TestApp, player: &str) -> Vec<Value> {
    let mut pages = Vec::new();
    for page in PAGES {
        pages.push(app.player(player).get(&format!("/message/list?channel=world{page}")).await.data());
    }
    pages
}

#[tokio::test]
async fn a_page_is_as_the_channel_is_whichever_instance_changed_it() {
    let folder = tempfile::tempdir().unwrap();
    let (one, other) = instances(folder.path()).await;
    one.world("world", &["alice"]).await;
    one.run_tasks().await;
    assert_eq!(numbered_texts(&pages(&one, "alice").await[0]), []);
    for text in ["first", "second", "third"] {
        other.player("alice").say("world", text).await;
        pages(&one, "alice").await;
    }
    let texts = |pages: &[Value]| -> Vec<String> {
        pages
            .iter()
            .map(|page| numbered_texts(page).into_iter().map(|(_, text)| text + " ").collect())
            .collect()
    };
    for _ in 0..2 {
        let expected = ["first second third ", "first second third ", "first second "];
        assert_eq!(texts(&pages(&one, "alice").await), expected);
    }
    other.moderator("mod").post("/message/recall", json!({ "channel": "world", "seq": 2 })).await.data();
    for _ in 0..2 {
        assert_eq!(texts(&pages(&one, "alice").await), ["first  third  ", "first  third  ", "first  "]);
    }
    for app in [&one, &other] {
        app.clock.advance(40 * 24 * 60 * 60 * 1000);
    }
    let submit = json!({ "task": "retention.v1", "payload": { "catch_up": true } });
    other.server().post("/task/submit", submit).await.data();
    other.run_tasks().await;
    for page in pages(&one, "alice").await {
        assert_eq!((page["first_seq"].as_i64(), numbered_texts(&page)), (Some(5), vec![]), "{page}");
    }
}

/// A page that somebody read is nobody else's: rights are asked for each time.
#[tokio::test]
async fn a_page_that_was_read_before_is_only_for_who_may_read() {
    let app = TestApp::new().await;
    app.guild("guild", &["alice", "bob"]).await;
    app.player("alice").say("guild", "hello").await;
    let list = "/message/list?channel=guild";
    let page = app.player("alice").get(list).await.data();
    assert_eq!(app.player("bob").get(list).await.data(), page);
    assert_eq!(app.player("carol").get(list).await.code(), "not_found");
    let removal = json!({ "channel": "guild", "members": ["bob"] });
    app.server().post("/channel/members-remove", removal).await.data();
    assert_eq!(app.player("bob").get(list).await.code(), "not_found");
    assert_eq!(app.player("alice").get(list).await.data()["messages"], page["messages"]);
}

//! Every table's life: each says how long its rows are kept, what leaves with a player, and how a player is forgotten; and what it
//! says is what happens, to a player who has rows in all of them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use guildhall::store::life::{Erased, Exported, Kept};
use guildhall::store::lives::LIVES;
use serde_json::{Value, json};

use crate::help::TestApp;
use crate::help::database;
use crate::store::growth_rows::fill;

const FOLDERS: [&str; 2] = ["src/store/migrations/sqlite", "src/store/migrations/postgres"];

/// Who has rows in every table that holds players.
const PLAYER: &str = "player-7";

/// Each table and its columns of text, as the first migration makes them.
fn schema(folder: &str) -> BTreeMap<String, Vec<String>> {
    let file = fs::read_dir(folder).unwrap().next().unwrap().unwrap().path();
    let sql = fs::read_to_string(file).unwrap();
    let lines = sql.lines().map(|line| line.split("--").next().unwrap().trim());
    let mut tables = BTreeMap::<String, Vec<String>>::new();
    let mut table = None;
    for line in lines {
        if let Some(rest) = line.strip_prefix("CREATE TABLE ") {
            let name = rest.split([' ', '(']).next().unwrap().to_owned();
            tables.insert(name.clone(), Vec::new());
            table = Some(name);
        } else if line.starts_with(')') {
            table = None;
        } else if let Some(table) = &table {
            let mut words = line.split_whitespace();
            if let (Some(column), Some("TEXT")) = (words.next(), words.next()) {
                tables.get_mut(table).unwrap().push(column.to_owned());
            }
        }
    }
    tables
}

#[test]
fn every_table_says_what_becomes_of_its_rows() {
    let said: Vec<&str> = LIVES.iter().map(|life| life.table).collect();
    let once: BTreeSet<&str> = said.iter().copied().collect();
    assert_eq!(once.len(), said.len(), "each table once");
    for folder in FOLDERS {
        let tables = schema(folder);
        let tables: BTreeSet<&str> = tables.keys().map(String::as_str).collect();
        assert_eq!(once, tables, "{folder}");
    }
}

/// Columns that name a player, or a person of the staff who may be one, by their names.
fn names_a_player(column: &str) -> bool {
    let known = ["sender_id", "blocked_id", "other_id", "reporter", "alias", "pair", "tell_order", "subject"];
    column == "player_id" || column.ends_with("_by") || column == "by_alias" || known.contains(&column)
}

#[test]
fn every_column_that_names_a_player_is_erased_or_says_why_not() {
    for (table, columns) in schema(FOLDERS[1]) {
        let life = LIVES.iter().find(|life| life.table == table).unwrap();
        for column in columns.iter().filter(|column| names_a_player(column)) {
            let is_erased = life.erased.iter().any(|erased| match erased {
                Erased::By(sql) | Erased::Some(sql) | Erased::Renamed(sql) => {
                    sql.contains(&table) && sql.contains(column.as_str())
                }
                Erased::Apart(_) | Erased::Steps(_) => true,
            });
            let stays = life.stays.iter().any(|(name, why)| name == column && !why.is_empty());
            assert!(is_erased || stays, "{table}.{column}");
        }
    }
}

pub async fn on_the_database(app: &TestApp, statement: &str) {
    match &app.app.config.database_url {
        Some(url) => database::execute(url.expose(), statement).await,
        None => database::change(&app.folder.path().join("data"), statement).await,
    }
}

/// A game of a thousand channels.
async fn grown() -> TestApp {
    let app = TestApp::new().await;
    let numbers = if database::on_postgres() {
        "CREATE TABLE numbers AS SELECT n FROM generate_series(1::bigint, 5000) AS s (n)"
    } else {
        "CREATE TABLE numbers AS WITH RECURSIVE s (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < 5000) SELECT n FROM s"
    };
    on_the_database(&app, numbers).await;
    for statement in fill(1_000, database::on_postgres()) {
        on_the_database(&app, &statement).await;
    }
    on_the_database(&app, "DROP TABLE numbers").await;
    app
}

/// The tables in which a player is named, and how many rows of each do.
async fn naming(app: &TestApp, player: &str) -> BTreeMap<String, usize> {
    let mut found = BTreeMap::new();
    for (table, row) in database::everything(&app.app.config).await {
        let is_named = row.match_indices(player).any(|(at, _)| {
            let after = row[at + player.len()..].chars().next();
            !after.is_some_and(|after| after.is_ascii_digit())
        });
        if is_named {
            *found.entry(table).or_default() += 1;
        }
    }
    found
}

async fn run(app: &TestApp, path: &str) -> Value {
    let task = app.server().post(path, json!({ "player": PLAYER })).await.data()["task"].clone();
    while app.run_tasks().await > 0 {}
    let shown = app.server().get(&format!("/task/show?id={}", task.as_str().unwrap())).await.data();
    assert_eq!(shown["progress"]["done"], true, "{shown}");
    shown
}

#[tokio::test]
async fn a_player_who_is_everywhere_has_all_that_is_kept_and_is_forgotten_everywhere() {
    let app = grown().await;
    let before = naming(&app, PLAYER).await;
    let holding = LIVES.iter().filter(|life| {
        let by_itself = |erased: &Erased| !matches!(erased, Erased::Apart(_));
        life.erased.iter().any(by_itself) && !["audit_text", "channel"].contains(&life.table)
    });
    for life in holding {
        assert!(before.contains_key(life.table), "nothing of theirs is in {}", life.table);
    }
    let links = run(&app, "/player/export").await["progress"]["links"].clone();
    let mut exported = BTreeSet::new();
    for link in links.as_array().unwrap() {
        let lines = fs::read_to_string(link.as_str().unwrap().strip_prefix("file://").unwrap()).unwrap();
        for line in lines.lines() {
            let line: Value = serde_json::from_str(line).unwrap();
            exported.insert(line["table"].as_str().unwrap().to_owned());
        }
    }
    for life in LIVES {
        if let Exported::Rows(name, _) = life.exported {
            assert!(exported.contains(name), "{name} is not in the archive: {exported:?}");
        }
    }
    run(&app, "/player/erase").await;
    // What told clients of it names them for thirty days.
    app.clock.advance(31 * 86_400_000);
    while app.run_tasks().await > 0 {}
    let mut after = naming(&app, PLAYER).await;
    for life in LIVES.iter().filter(|life| !life.stays.is_empty()) {
        after.remove(life.table);
    }
    assert!(after.is_empty(), "they are still named: {after:?}");
}

#[tokio::test]
async fn what_a_sweep_ends_is_gone_when_it_is_old() {
    let app = grown().await;
    on_the_database(&app, "UPDATE schedule SET state = 'done', next_at = NULL").await;
    let count = async |table: &str| {
        let rows = database::everything(&app.app.config).await;
        rows.iter().filter(|(of, row)| of == table && (table != "report_case" || row.contains("{}"))).count()
    };
    let mut before = BTreeMap::new();
    for life in LIVES {
        before.insert(life.table, count(life.table).await);
    }
    app.clock.advance(2 * 366 * 86_400_000);
    for _ in 0..3 {
        let sweep = json!({ "task": "retention.v1", "payload": { "catch_up": true } });
        app.server().post("/task/submit", sweep).await.data();
        while app.run_tasks().await > 0 {}
    }
    for life in LIVES.iter().filter(|life| matches!(life.kept, Kept::Swept(..))) {
        let (was, is) = (before[life.table], count(life.table).await);
        assert!(is < was, "{}: {was} rows, {is} behind the sweep", life.table);
    }
}

#[tokio::test]
async fn where_nobody_kept_a_message_nobody_has_spoken() {
    const HOUR: i64 = 3_600_000;
    let app = TestApp::with(&[("GUILDHALL_RETENTION", "world=1d")]).await;
    app.server()
        .post("/channel/create", json!({ "id": "w", "kind": "world", "members": ["anna", "ben"] }))
        .await
        .data();
    let said = async |player: &str| {
        app.player(player).post("/message/send", json!({ "channel": "w", "text": "hello" })).await.data();
    };
    let swept = async || {
        let sweep = json!({ "task": "retention.v1", "payload": { "catch_up": true } });
        app.server().post("/task/submit", sweep).await.data();
        while app.run_tasks().await > 0 {}
        let rows = database::everything(&app.app.config).await;
        let spoken: Vec<_> = rows.into_iter().filter(|(table, _)| table == "spoken_in").collect();
        let has = |player: &str| spoken.iter().any(|(_, row)| row.contains(player));
        assert_eq!(spoken.len(), ["anna", "ben"].iter().filter(|player| has(player)).count());
        (has("anna"), has("ben"))
    };
    said("anna").await;
    said("ben").await;
    assert_eq!(swept().await, (true, true));
    app.clock.advance(36 * HOUR);
    said("ben").await;
    assert_eq!(swept().await, (false, true), "nothing is left of anna's, and ben has spoken since");
    app.clock.advance(72 * HOUR);
    assert_eq!(swept().await, (false, false), "nothing is left");
    said("ben").await;
    assert_eq!(swept().await, (false, true), "and what is said again counts again");
}

/// Of what is over, some has to stay for a while: it keeps nothing behind it from being deleted, however much it is.
#[tokio::test]
async fn old_rows_that_stay_hold_up_no_others() {
    let app = TestApp::new().await;
    let numbers = if database::on_postgres() {
        "SELECT n FROM generate_series(1, 700) AS s (n)"
    } else {
        "WITH RECURSIVE s (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < 700) SELECT n FROM s"
    };
    let now = app.clock.now();
    // All but the newest have come due, or were shown, a moment ago.
    for statement in [
        format!(
            "INSERT INTO schedule (id, task, key, payload, state, created_by, created_at, digest, stage)
             SELECT 's' || n, 'retention.v1', 'k', '{{}}', 'done', 'game', n, 'd', '' FROM ({numbers}) AS s"
        ),
        format!(
            "INSERT INTO occurrence (schedule_id, due_at) SELECT 's' || n, {now} FROM ({numbers}) AS s WHERE n < 700"
        ),
        format!(
            "INSERT INTO announcement (id, texts, audience, push, show_ms, state, schedule_id, created_by, created_at)
             SELECT 'a' || n, '{{}}', '{{}}', FALSE, 1000, 'done', 's' || n, 'mod', n FROM ({numbers}) AS s"
        ),
        format!(
            "INSERT INTO announced (announcement_id, due_at, at, until)
             SELECT 'a' || n, n, n, {now} FROM ({numbers}) AS s WHERE n < 700"
        ),
    ] {
        on_the_database(&app, &statement).await;
    }
    let retention = json!({ "task": "retention.v1", "payload": {} });
    app.server().post("/task/submit", retention).await.data();
    app.run_tasks().await;
    let rows = database::everything(&app.app.config).await;
    for table in ["schedule", "announcement"] {
        let left = rows.iter().filter(|(of, _)| of == table).count();
        assert_eq!(left, 699, "{table}");
    }
}

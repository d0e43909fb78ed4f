//! What grows must not slow down: every statement of the program against tables of a size that a game reaches in months.
//!
//! The statements come from the program's own text. `PostgreSQL` says of each one that runs how many rows it touched
//! (`auto_explain`), and of the others how it would carry them out; SQLite tells its plan of all of them. A statement touches a
//! constant number of rows and a few for each row that it returns or changes; those that don't stand in a list here, with why.

use std::collections::{BTreeMap, BTreeSet};

use guildhall::store::{Db, EMBEDDED_FILE};
use serde_json::{Value, json};
use sqlx::{Connection, Executor, PgConnection, Row, SqliteConnection};

use crate::help::TestApp;
use crate::help::database;
use crate::help::postgres_server::PostgresServer;
use crate::house::architecture::program;
use crate::house::authorisation::{ask_everything, prepare_on};
use crate::store::growth_known::{BOUNDED, is_bounded, is_known};
use crate::store::growth_rows::fill;
use crate::store::shards::statements;

/// A statement touches so many rows at most, and so many for each that it returns or changes.
const ROWS: f64 = 300.0;
const FOR_EACH: f64 = 12.0;
/// The same for pages: an index has several levels.
const PAGES_FOR_EACH: f64 = 40.0;
const PAGES_A_ROW: f64 = 5.0;

/// Tables that stay small whatever a game does, so that they may be read through.
const SMALL: &[&str] =
    &["process", "retention", "pulse", "audit_seal", "audit_open", "outbox_open", "wordlist_hit", "pg_index"];

/// What the program says that its statements are: each text in its source that names a table.
fn of_the_program() -> BTreeSet<String> {
    let store = program()
        .into_iter()
        .filter(|(path, _)| path.starts_with("src/store") && !path.ends_with("migrations.rs"));
    let texts = store.flat_map(|(_, text)| statements(&text));
    let is_statement = |text: &String| {
        ["SELECT ", "INSERT ", "UPDATE ", "DELETE ", "WITH "].iter().any(|word| text.starts_with(word))
    };
    texts.map(|text| as_one_line(&text)).filter(is_statement).collect()
}

pub fn as_one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// What a statement did, by its plan: rows that it read of tables, pages that it looked at for that, and rows that it returned
/// or changed.
#[derive(Clone, Copy, Default)]
struct Touched {
    rows: f64,
    pages: f64,
    returned: f64,
    ms: f64,
}

impl Touched {
    fn of(plan: &Value, ms: f64) -> Self {
        let number = |name: &str| plan[name].as_f64().unwrap_or_default();
        let pages = number("Shared Hit Blocks") + number("Shared Read Blocks");
        let mut touched = Self { rows: 0.0, pages, returned: rows_of(plan), ms };
        touched.add(plan);
        touched
    }

    fn add(&mut self, node: &Value) {
        let children = || node["Plans"].as_array().into_iter().flatten();
        if !node["Relation Name"].is_null() && node["Node Type"] != "ModifyTable" {
            let removed = |why: &str| node[why].as_f64().unwrap_or_default();
            let removed = removed("Rows Removed by Filter") + removed("Rows Removed by Index Recheck");
            self.rows += rows_of(node) + removed * node["Actual Loops"].as_f64().unwrap_or_default();
        }
        if node["Node Type"] == "ModifyTable" {
            self.returned +=
                children().filter(|child| child["Parent Relationship"] == "Outer").map(rows_of).sum::<f64>();
        }
        children().for_each(|child| self.add(child));
    }

    /// Beyond what its result explains.
    fn beyond(&self) -> f64 {
        (self.rows - FOR_EACH * self.returned)
            .max((self.pages - PAGES_FOR_EACH * self.returned) / PAGES_A_ROW)
    }
}

fn rows_of(node: &Value) -> f64 {
    node["Actual Rows"].as_f64().unwrap_or_default() * node["Actual Loops"].as_f64().unwrap_or_default()
}

/// By statement: the run of it that touched most beyond what it returned, in this part of the server's log.
fn ran(log: &str) -> BTreeMap<String, Touched> {
    let mut worst: BTreeMap<String, Touched> = BTreeMap::new();
    for entry in log.split("duration: ").skip(1) {
        let Some((ms, plan)) = entry.split_once(" ms  plan:\n") else { continue };
        let lines: Vec<&str> = plan.lines().take_while(|line| line.starts_with('\t')).collect();
        let Ok(plan) = serde_json::from_str::<Value>(&lines.join("\n")) else { continue };
        let touched = Touched::of(&plan["Plan"], ms.parse().unwrap());
        let of = worst.entry(as_one_line(plan["Query Text"].as_str().unwrap())).or_insert(touched);
        if touched.beyond() > of.beyond() {
            *of = touched;
        }
    }
    worst
}

/// Nodes of a plan that read a whole table which grows, or a whole index of one: more than the first that they find.
fn read_through(node: &Value, is_limited: bool) -> Vec<String> {
    let kind = node["Node Type"].as_str().unwrap_or_default();
    let table = node["Relation Name"].as_str().unwrap_or_default();
    let by_nothing = node["Index Cond"].is_null() && (!is_limited || !node["Filter"].is_null());
    let is_whole = kind == "Seq Scan" || (kind.starts_with("Index") && by_nothing);
    let mut found = Vec::new();
    if is_whole && !table.is_empty() && !SMALL.contains(&table) {
        found.push(format!("{kind} of {table}"));
    }
    let children = node["Plans"].as_array().into_iter().flatten();
    let is_limit = kind == "Limit" || (is_limited && ["LockRows", "Subquery Scan"].contains(&kind));
    found.extend(children.flat_map(|child| read_through(child, is_limit)));
    found
}

const AUTO_EXPLAIN: &str = "session_preload_libraries = 'auto_explain'\nauto_explain.log_min_duration = 0\nauto_explain.log_analyze = on\n\
    auto_explain.log_timing = off\nauto_explain.log_buffers = on\nauto_explain.log_format = json\n\
    auto_explain.log_nested_statements = on\nfsync = off\nautovacuum = off\nmax_wal_size = 8GB\nshared_buffers = 512MB\n";

async fn filled(channels: u32) -> PostgresServer {
    let server = PostgresServer::start(AUTO_EXPLAIN);
    Db::migrate(&database::config(&server.url())).await.unwrap();
    let mut connection = PgConnection::connect(&server.url()).await.unwrap();
    let numbers = format!(
        "CREATE TABLE numbers AS SELECT n FROM generate_series(1::bigint, {}) AS s (n)",
        5 * channels
    );
    let before = ["SET auto_explain.log_min_duration = -1".to_owned(), numbers];
    let after =
        ["DROP TABLE numbers".to_owned(), "DELETE FROM audit_open".to_owned(), "VACUUM ANALYZE".to_owned()];
    for statement in before.into_iter().chain(fill(channels, true)).chain(after) {
        connection
            .execute(sqlx::AssertSqlSafe(statement.clone()))
            .await
            .unwrap_or_else(|fault| panic!("{statement}: {fault}"));
    }
    server
}

/// Everything that a game's server, moderators, players and timers do, on a database of that size; and what costs most: one
/// player of a thousand channels, and one channel with most of the messages and members.
pub async fn drive(url: &str) {
    let variables = [("DATABASE_URL", url), ("GUILDHALL_DATABASE_CONNECTIONS", "2")];
    for caller in ["member", "moderator", "server"] {
        let (app, ids) = prepare_on(caller, &variables).await;
        ask_everything(&app, caller, &ids).await;
        app.run_tasks().await;
    }
    // As it is published, not as testers try it.
    let app = TestApp::with(&variables).await;
    let (player, moderator) = (app.player("player-7"), app.moderator("mod"));
    for path in [
        "/channel/inbox",
        "/message/list?channel=channel-1&limit=100",
        "/message/list?channel=channel-1&before=700&limit=100",
        "/channel/members?channel=channel-1",
        "/channel/online?channel=channel-1",
        "/announcement/active",
    ] {
        let reply = player.get(path).await;
        assert_eq!(reply.status, 200, "{path}: {}", reply.body);
    }
    let cursors: Vec<Value> =
        (1..=100).map(|n| json!({ "channel": format!("channel-{n}"), "after": 0 })).collect();
    player.post("/message/sync", json!({ "channels": cursors })).await.data();
    let mentions: Vec<String> = (1..=20).map(|n| format!("player-{n}")).collect();
    for n in 0..8 {
        let said = json!({ "channel": "channel-1", "text": format!("hello {n}"), "mentions": mentions, "nonce": format!("{n}") });
        player.post("/message/send", said).await.data();
    }
    player.post("/channel/read", json!({ "channel": "channel-1", "seq": 1 })).await.data();
    for _ in 0..2 {
        let read = json!({ "channel": "channel-1", "seq": 2_000 });
        app.player("called").post("/channel/read", read).await.data();
    }
    look_up(&app).await;
    moderator
        .post(
            "/announcement/preview",
            json!({ "texts": { "en": "hello" }, "audience": { "kind": "guild" }, "when": { "now": true } }),
        )
        .await;
    app.server().post("/player/export", json!({ "player": "player-7" })).await;
    let thousand: Vec<String> = (1..=1_000).map(|n| format!("nobody-{n}")).collect();
    for path in ["/channel/members-add", "/channel/members-remove"] {
        let input = json!({ "channel": "channel-1", "members": thousand });
        app.server().post(path, input).await.data();
    }
    let purge = json!({ "player": "player-7", "since": 0, "reason": "r" });
    moderator.post("/player/purge", purge).await;
    app.run_tasks().await;
    app.server().post("/player/erase", json!({ "player": "player-7" })).await;
    app.run_tasks().await;
}

/// What moderators and the game's server look up: by somebody of whom there is much, who did nothing, and deep in a list.
async fn look_up(app: &TestApp) {
    let moderator = app.moderator("mod");
    for path in [
        "/player/record?player=player-7",
        "/case/queue",
        "/case/queue?state=decided",
        "/case/queue?state=claimed",
        "/case/queue?after=case-1500",
        "/case/queue?state=decided&after=case-1501",
        "/appeal/queue",
        "/ticket/queue",
        "/audit/list",
        "/audit/list?by=player-7",
        "/audit/list?by=player-7&action=sanction.lift",
        "/audit/list?player=audited",
        "/audit/list?player=audited&action=sanction.lift",
        "/audit/list?player=audited&by=idle",
        "/task/status",
        "/schedule/list",
        "/announcement/list",
        "/wordlist/hits",
    ] {
        moderator.get(path).await;
        app.server().get(path).await;
    }
}

/// What the program has besides those that ran: how `PostgreSQL` would carry them out. Says how many there are, and which would
/// read a table through.
async fn planned(server: &PostgresServer, ran: &BTreeMap<String, Touched>) -> (usize, Vec<String>) {
    let mut connection = PgConnection::connect(&server.url()).await.unwrap();
    connection.execute("SET enable_seqscan = off; SET enable_bitmapscan = off; SET enable_hashjoin = off; SET enable_mergejoin = off").await.unwrap();
    let program = of_the_program();
    let is_part = |text: &str| {
        program.iter().chain(ran.keys()).any(|other| other.len() > text.len() && other.starts_with(text))
    };
    let (mut count, mut faults) = (0, Vec::new());
    for text in program
        .iter()
        .filter(|text| !ran.contains_key(*text) && !text.contains("json_each(") && !is_part(text))
    {
        let explain = format!("EXPLAIN (GENERIC_PLAN, FORMAT JSON) {text}");
        // Those that PostgreSQL can't read are SQLite's.
        let Ok(row) = connection.fetch_one(sqlx::AssertSqlSafe(explain)).await else { continue };
        count += 1;
        let whole = read_through(&row.get::<Value, _>(0)[0]["Plan"], false);
        if !whole.is_empty() && !is_known(text) {
            faults.push(format!("{}: {text}", whole.join(", ")));
        }
    }
    (count, faults)
}

async fn measured(channels: u32) -> (PostgresServer, BTreeMap<String, Touched>) {
    let server = filled(channels).await;
    let from = server.log().len();
    drive(&server.url()).await;
    let ran = ran(&server.log()[from..]);
    (server, ran)
}

/// How many channels there are, in the larger of the two databases; `scripts/growth` asks for more.
#[expect(clippy::disallowed_methods, reason = "scripts/growth says by a variable how large it is to be")]
fn size() -> u32 {
    std::env::var("GUILDHALL_TEST_CHANNELS").map_or(200_000, |size| size.parse().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn no_statement_touches_more_where_there_is_more() {
    let (_, few) = measured(size() / 10).await;
    let (server, many) = measured(size()).await;
    let mut faults = Vec::new();
    for (text, touched) in many.iter().filter(|(text, _)| !is_known(text)) {
        let Touched { rows, pages, returned, .. } = touched;
        if touched.beyond() > ROWS {
            faults.push(format!("{rows} rows and {pages} pages touched for {returned}: {text}"));
        }
        if let Some(before) = few.get(text)
            && touched.beyond() > 1.2 * before.beyond().max(0.0) + 60.0
        {
            let (rows_before, pages_before, returned_before) = (before.rows, before.pages, before.returned);
            faults.push(format!("{rows} rows and {pages} pages for {returned} where there is more, {rows_before} and {pages_before} for {returned_before} where there is less: {text}"));
        }
    }
    for (text, touched) in many.iter().filter(|(text, _)| is_known(text) && is_bounded(text)) {
        if touched.rows > f64::from(BOUNDED) {
            faults.push(format!("{} rows touched, which is no bound: {text}", touched.rows));
        }
    }
    let (planned, of_plans) = planned(&server, &many).await;
    faults.extend(of_plans);
    let mut by_rows: Vec<_> = many.iter().collect();
    by_rows.sort_by(|one, other| other.1.ms.total_cmp(&one.1.ms));
    println!("{} statements ran, {planned} were planned. Those that took longest:", many.len());
    println!("| ms | rows | pages | returned | statement |\n|---|---|---|---|---|");
    for (text, Touched { rows, pages, returned, ms }) in by_rows.into_iter().take(25) {
        println!("| {ms} | {rows} | {pages} | {returned} | {} |", &text[..text.floor_char_boundary(100)]);
    }
    assert!(many.len() > 200, "the statements are found in the log: {}", many.len());
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
}

/// The table that a plan of SQLite's calls by this name; none where it is no table.
fn table_of<'t>(name: &str, text: &str, tables: &'t BTreeSet<String>) -> Option<&'t str> {
    if let Some(table) = tables.get(name) {
        return Some(table);
    }
    let words: Vec<&str> = text
        .split(|c: char| !c.is_alphanumeric() && c != '_')
        .filter(|word| !word.is_empty() && *word != "AS")
        .collect();
    words.windows(2).find(|pair| pair[1] == name).and_then(|pair| tables.get(pair[0])).map(String::as_str)
}

#[tokio::test]
async fn sqlite_finds_everything_by_an_index() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}?mode=rwc", folder.path().join(EMBEDDED_FILE).display());
    Db::migrate(&database::config(&url)).await.unwrap();
    let mut connection = SqliteConnection::connect(&url).await.unwrap();
    let names: Vec<String> = sqlx::query_scalar("SELECT name FROM sqlite_master WHERE type = 'table'")
        .fetch_all(&mut connection)
        .await
        .unwrap();
    let tables: BTreeSet<String> = names.into_iter().collect();
    let (mut faults, mut looked_at) = (Vec::new(), 0);
    let program = of_the_program();
    let is_part =
        |text: &str| program.iter().any(|other| other.len() > text.len() && other.starts_with(text));
    for text in program.iter().filter(|text| !is_part(text)) {
        let explain = format!("EXPLAIN QUERY PLAN {text}");
        // Those that SQLite can't read are PostgreSQL's.
        let Ok(lines) = connection.fetch_all(sqlx::AssertSqlSafe(explain)).await else { continue };
        looked_at += 1;
        for line in lines {
            let line: String = line.get("detail");
            let Some(name) = line.strip_prefix("SCAN ").and_then(|rest| rest.split(' ').next()) else {
                continue;
            };
            let is_large = table_of(name, text, &tables).is_some_and(|table| !SMALL.contains(&table));
            if is_large && !is_known(text) {
                faults.push(format!("{line}: {text}"));
            }
        }
    }
    assert!(looked_at > 250, "{looked_at}");
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
}

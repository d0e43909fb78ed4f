//! What growth beyond one PostgreSQL needs, held now: tables are spread by channel one day, so a channel's rows have its
//! key in every unique key, and a statement on them names channel keys and touches nothing of another owner.
//!
//! What does not keep to that yet stands in a list here, with what it would need. The list may shrink, not grow.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use crate::house::architecture::program;

/// Tables whose rows belong to a channel, with the column that names it.
const OF_CHANNELS: &[(&str, &str)] = &[
    ("channel", "key"),
    ("member", "channel_key"),
    ("message", "channel_key"),
    ("mention", "channel_key"),
    ("mentioned_in", "channel_key"),
    ("own_view", "channel_key"),
    ("spoken_in", "channel_key"),
    ("purge_entry", "channel_key"),
    ("push_due", "channel_key"),
];

/// Small tables that each shard gets a copy of: a statement on a channel's rows may read them.
const COPIED: &[&str] = &["sanction", "block", "block_version"];

/// Unique over all channels: these become a directory of their own, from ids and pairs to keys.
const DIRECTORY: &[(&str, &str)] = &[("channel", "id"), ("channel", "pair")];

/// Statements on a channel's tables that touch another owner's too, by file and that table. Each would be two statements.
const MIXED: &[(&str, usize)] = &[
    ("channel.rs ticket", 1),
    ("device.rs device", 2),
    ("device.rs device_preference", 2),
    ("online.rs online", 5),
    ("online.rs process", 5),
    ("push_due.rs device_preference", 1),
    ("push_due.rs online", 1),
    ("push_due.rs process", 1),
    ("right_change.rs right_change", 2),
    ("sends/one_pass.rs outbox", 1),
    ("sends/one_pass.rs outbox_open", 1),
    ("sends/one_pass.rs pace", 1),
    ("sends/postgres.rs outbox", 1),
    ("sends/postgres.rs pace", 2),
    ("sends/sqlite.rs pace", 1),
    ("ticket.rs ticket", 1),
];

/// Statements that find a channel's rows by something else than its key, by file: by the id, which a directory would answer,
/// by the player or the kind, which all shards would be asked.
const KEYLESS: &[(&str, usize)] = &[
    ("announcement.rs", 2),
    ("channel.rs", 7),
    ("create.rs", 3),
    ("member.rs", 5),
    ("message/life.rs", 1),
    ("message/mod.rs", 1),
    ("message/page.rs", 3),
    ("message/purge.rs", 1),
    ("message/recent.rs", 1),
    ("player/erase.rs", 5),
    ("moderation/record.rs", 2),
    ("online.rs", 2),
    ("push_due.rs", 7),
    ("right_change.rs", 2),
    ("sends/mod.rs", 1),
    ("sends/postgres.rs", 1),
    ("sends/sqlite.rs", 2),
    ("ticket.rs", 1),
];

/// Locks over the whole database; no statement takes one.
const LOCKS: &[&str] = &["pg_advisory", "pg_try_advisory", "lock table"];

const FOLDERS: [&str; 2] = ["src/store/migrations/sqlite", "src/store/migrations/postgres"];

fn migrations(folder: &str) -> String {
    let files = fs::read_dir(folder).unwrap().map(|entry| fs::read_to_string(entry.unwrap().path()).unwrap());
    let lines: Vec<String> =
        files.flat_map(|sql| sql.lines().map(str::to_owned).collect::<Vec<_>>()).collect();
    lines.iter().map(|line| line.split("--").next().unwrap()).collect::<Vec<_>>().join("\n")
}

/// What stands in the parentheses behind a text, to their end.
fn parenthesised(text: &str) -> &str {
    let start = text.find('(').unwrap();
    let mut depth = 0;
    for (at, c) in text[start..].char_indices() {
        depth += i32::from(c == '(') - i32::from(c == ')');
        if depth == 0 {
            return &text[start + 1..start + at];
        }
    }
    panic!("open: {text}")
}

/// Each table, and the columns of each of its unique keys.
fn unique_keys(sql: &str) -> BTreeMap<String, Vec<Vec<String>>> {
    let words =
        |text: &str| text.split(',').map(|word| word.trim().split(' ').next().unwrap().to_owned()).collect();
    let mut tables: BTreeMap<String, Vec<Vec<String>>> = BTreeMap::new();
    for rest in sql.split("CREATE TABLE ").skip(1) {
        let name = rest.split([' ', '(']).next().unwrap().to_owned();
        let keys = tables.entry(name).or_default();
        let body = parenthesised(rest);
        for line in body.lines().map(str::trim) {
            if line.starts_with("PRIMARY KEY") || line.starts_with("UNIQUE") {
                keys.push(words(parenthesised(line)));
            } else if line.contains("PRIMARY KEY") || line.contains(" UNIQUE") {
                keys.push(vec![line.split(' ').next().unwrap().to_owned()]);
            }
        }
    }
    for rest in sql.split("CREATE UNIQUE INDEX ").skip(1) {
        let on = rest.split(" ON ").nth(1).unwrap();
        let name = on.split([' ', '(']).next().unwrap();
        tables.get_mut(name).unwrap().push(words(parenthesised(on)));
    }
    tables
}

#[test]
fn a_channels_rows_have_its_key_in_every_unique_key() {
    for folder in FOLDERS {
        let sql = migrations(folder);
        assert!(!sql.contains("REFERENCES"), "a foreign key would hold rows of two shards together");
        let tables = unique_keys(&sql);
        for (table, column) in OF_CHANNELS {
            let keys = &tables[*table];
            assert!(!keys.is_empty(), "{table}");
            for key in keys {
                let is_directory =
                    DIRECTORY.iter().any(|(of, column)| of == table && key[..] == [(*column).to_owned()]);
                assert!(is_directory || key.iter().any(|one| one == column), "{folder}: {table} {key:?}");
            }
        }
        let with_key: BTreeSet<&str> = sql
            .split("CREATE TABLE ")
            .skip(1)
            .filter(|rest| parenthesised(rest).contains("channel_key"))
            .map(|rest| rest.split([' ', '(']).next().unwrap())
            .collect();
        for table in with_key {
            let known = OF_CHANNELS.iter().any(|(name, _)| *name == table) || table == "right_change";
            assert!(known, "{folder}: whose are the rows of {table}?");
        }
    }
}

/// The statements of a file: each text in quotes that holds one, those in a `concat!` as one.
pub fn statements(text: &str) -> Vec<String> {
    let code: String =
        text.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n");
    let code = code.split("#[cfg(test)]").next().unwrap();
    let mut found = Vec::new();
    let mut rest = code;
    while let Some(at) = rest.find('"') {
        let inside_concat = rest[..at].rfind("concat!(").is_some_and(|start| {
            let opened = rest[start..at].matches('(').count();
            opened > rest[start..at].matches(')').count()
        });
        if inside_concat {
            let start = rest[..at].rfind("concat!(").unwrap();
            let whole = literal_parenthesised(&rest[start..]);
            found.push(literals(whole).join(" "));
            rest = &rest[start + "concat!(".len() + whole.len()..];
        } else {
            let end = at + 1 + rest[at + 1..].find('"').unwrap_or(rest.len() - at - 1);
            found.push(rest[at + 1..end].to_owned());
            rest = rest.get(end + 1..).unwrap_or_default();
        }
    }
    found
}

/// The same as [`parenthesised`], where parentheses within texts don't count.
fn literal_parenthesised(text: &str) -> &str {
    let start = text.find('(').unwrap() + 1;
    let (mut depth, mut quoted) = (1, false);
    for (at, c) in text[start..].char_indices() {
        quoted ^= c == '"';
        if !quoted {
            depth += i32::from(c == '(') - i32::from(c == ')');
        }
        if depth == 0 {
            return &text[start..start + at];
        }
    }
    &text[start..]
}

fn literals(text: &str) -> Vec<String> {
    text.split('"').skip(1).step_by(2).map(str::to_owned).collect()
}

/// The tables that a statement names: behind a word that a table follows, or further in such a list.
fn touched<'a>(statement: &str, tables: &'a BTreeSet<String>) -> BTreeSet<&'a str> {
    let spaced = statement.replace(',', " , ").replace(['(', ')', ';'], " ");
    let words: Vec<&str> =
        spaced.split_whitespace().filter(|word| *word != "ONLY" && *word != "LATERAL").collect();
    let (mut found, mut in_list) = (BTreeSet::new(), false);
    for pair in words.windows(2) {
        let follows = ["FROM", "JOIN", "UPDATE", "INTO", "FAIL", "USING", "LOCK"].contains(&pair[0]);
        in_list = match pair[0] {
            "FROM" | "USING" | "JOIN" => true,
            "WHERE" | "SELECT" | "SET" | "ON" | "ORDER" | "GROUP" | "VALUES" => false,
            _ => in_list,
        };
        if follows || (in_list && pair[0] == ",") {
            let name = pair[1].rsplit('.').next().unwrap();
            found.extend(tables.get(name).map(String::as_str));
        }
    }
    found
}

/// Does a statement say by a channel's key which rows it means? A key that is compared to another row's says that only where that
/// one's is known.
fn names_a_key(statement: &str) -> bool {
    let text = statement.split_whitespace().collect::<Vec<_>>().join(" ");
    text.match_indices("key").any(|(at, _)| {
        let before = &text[..at];
        let name = before.rsplit(|c: char| !c.is_ascii_alphanumeric() && c != '_').next().unwrap();
        let behind = &text[at + 3..];
        let is_a_row = behind.starts_with([',', ')']) && before.trim_end_matches(name).ends_with('(');
        let compared = behind.strip_prefix(" = ").or_else(|| behind.strip_prefix(" IN "));
        let inserted = statement.contains("INSERT INTO") && behind.starts_with([',', ')']);
        matches!(name, "" | "channel_")
            && (inserted
                || is_a_row
                || compared.is_some_and(|with| {
                    with.starts_with(['$', '('])
                        || with.starts_with("ANY")
                        || !with.split([' ', ')', ',']).next().unwrap().ends_with("key")
                }))
    })
}

/// What each list says, and what there is.
fn held(list: &[(&str, usize)], found: BTreeMap<String, usize>, why: &str) {
    let listed: BTreeMap<String, usize> =
        list.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect();
    assert_eq!(found, listed, "{why} (fewer: mend the list)");
}

#[test]
fn a_statement_on_a_channels_rows_touches_nothing_of_another_owner() {
    let tables: BTreeSet<String> = unique_keys(&migrations(FOLDERS[1])).into_keys().collect();
    let (mut mixed, mut keyless, mut count) = (BTreeMap::new(), BTreeMap::new(), 0);
    for (path, text) in program().into_iter().filter(|(path, _)| path.starts_with("src")) {
        let path = path.strip_prefix("src").unwrap();
        let file = path.strip_prefix("store").unwrap_or(path).display().to_string();
        for statement in statements(&text) {
            let touched = touched(&statement, &tables);
            if path.starts_with("store") {
                for lock in LOCKS {
                    let lower = statement.to_lowercase();
                    assert!(!lower.contains(lock) && !lower.starts_with("lock "), "{file}: {statement}");
                }
            } else {
                assert!(touched.is_empty(), "SQL outside of the store: {file}: {statement}");
            }
            count += usize::from(!touched.is_empty());
            let is_channels = |table: &&&str| OF_CHANNELS.iter().any(|(name, _)| name == *table);
            if touched.iter().any(|table| is_channels(&table)) {
                let others = touched.iter().filter(|table| !is_channels(table) && !COPIED.contains(table));
                for other in others {
                    *mixed.entry(format!("{file} {other}")).or_default() += 1;
                }
                if !names_a_key(&statement) {
                    *keyless.entry(file.clone()).or_default() += 1;
                }
            }
        }
    }
    assert!(count > 150, "statements are found at all: {count}");
    held(MIXED, mixed, "a channel's rows and another owner's in one statement");
    held(KEYLESS, keyless, "statements without a channel's key");
}

#[test]
fn statements_of_other_owners_and_without_keys_are_found() {
    let tables: BTreeSet<String> = unique_keys(&migrations(FOLDERS[1])).into_keys().collect();
    for statement in [
        "SELECT 1 FROM member m, device d WHERE m.channel_key = $1",
        "DELETE FROM member USING device d WHERE channel_key = $1",
        "MERGE INTO member USING device ON TRUE",
        "SELECT 1 FROM ONLY member JOIN public.device d ON TRUE",
    ] {
        let touched = touched(statement, &tables);
        assert!(touched.contains("member") && touched.contains("device"), "{statement}: {touched:?}");
    }
    for statement in [
        "DELETE FROM message WHERE sender_id = $1 RETURNING channel_key",
        "SELECT key FROM channel WHERE name = $1",
        "SELECT m.channel_key FROM member m JOIN channel c ON c.key = m.channel_key WHERE m.player_id = $1",
    ] {
        assert!(!names_a_key(statement), "{statement}");
    }
    for statement in [
        "SELECT 1 FROM message WHERE channel_key = $1",
        "SELECT 1 FROM channel c WHERE c.key IN (SELECT value FROM json_each($1))",
        "INSERT INTO member (channel_key, player_id) VALUES ($1, $2)",
        "SELECT 1 FROM message WHERE (channel_key, seq) > ($1, $2)",
    ] {
        assert!(names_a_key(statement), "{statement}");
    }
}

/// As a part of a key, a list is an array on `PostgreSQL`: as a table it may be gone through once for each row of a channel.
#[test]
fn a_list_is_looked_up_key_by_key() {
    let mut arrays = 0;
    for (path, text) in program().into_iter().filter(|(path, _)| path.starts_with("src/store")) {
        for statement in statements(&text) {
            let line = statement.split_whitespace().collect::<Vec<_>>().join(" ");
            arrays += line.matches("= ANY (ARRAY(SELECT").count();
            for (at, _) in line.match_indices("IN (SELECT").filter(|(at, _)| !line[..*at].ends_with("NOT ")) {
                let list = &line[at..];
                let list = &list[..list.find(')').unwrap_or(list.len())];
                assert!(!list.contains("json_array_elements"), "{}: {line}", path.display());
            }
        }
    }
    assert!(arrays > 8, "they are found: {arrays}");
}

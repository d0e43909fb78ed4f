//! What growth beyond one PostgreSQL needs, held now: tables are spread by channel one day, so a channel's rows have its
//! key in every unique key, and a statement on them names channel keys and touches nothing of another owner.
//!
//! What does not keep to that yet stands in a list here, with what it would need. The list may shrink, not grow.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use crate::architecture::program;

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
const MIXED: &[(&str, &str)] = &[
    ("device.rs", "device"),
    ("device.rs", "device_preference"),
    ("moderation/erase.rs", "ticket"),
    ("online.rs", "online"),
    ("online.rs", "process"),
    ("push_due.rs", "device_preference"),
    ("push_due.rs", "online"),
    ("push_due.rs", "process"),
    ("right_change.rs", "right_change"),
    ("sends/one_pass.rs", "outbox"),
    ("sends/one_pass.rs", "outbox_open"),
    ("sends/one_pass.rs", "pace"),
    ("sends/postgres.rs", "outbox"),
    ("sends/postgres.rs", "pace"),
    ("sends/sqlite.rs", "pace"),
    ("ticket.rs", "ticket"),
];

/// Files with statements that find a channel's rows by something else than its key: by the id, which a directory would
/// answer, by the player or the kind, which all shards would be asked.
const KEYLESS: &[&str] = &[
    "announcement.rs",
    "channel.rs",
    "create.rs",
    "message/mod.rs",
    "message/page.rs",
    "moderation/erase.rs",
    "push_due.rs",
    "sends/sqlite.rs",
];

/// Locks over the whole database; no statement takes one.
const LOCKS: &[&str] = &["pg_advisory", "LOCK TABLE", "lock table"];

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
fn statements(text: &str) -> Vec<String> {
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

/// The tables that a statement names.
fn touched<'a>(statement: &str, tables: &'a BTreeSet<String>) -> BTreeSet<&'a str> {
    let words: Vec<&str> =
        statement.split([' ', '\n', ',', '(', ')', ';']).filter(|word| !word.is_empty()).collect();
    let places =
        words.windows(2).filter(|pair| ["FROM", "JOIN", "UPDATE", "INTO", "FAIL"].contains(&pair[0]));
    places.filter_map(|pair| tables.get(pair[1])).map(String::as_str).collect()
}

#[test]
fn a_statement_on_a_channels_rows_touches_nothing_of_another_owner() {
    let tables: BTreeSet<String> = unique_keys(&migrations(FOLDERS[1])).into_keys().collect();
    let (mut mixed, mut keyless, mut count) = (BTreeSet::new(), BTreeSet::new(), 0);
    for (path, text) in program().into_iter().filter(|(path, _)| path.starts_with("src/store")) {
        let file = path.strip_prefix("src/store").unwrap().display().to_string();
        for statement in statements(&text) {
            for lock in LOCKS {
                assert!(!statement.contains(lock), "{file}: {statement}");
            }
            let touched = touched(&statement, &tables);
            count += usize::from(!touched.is_empty());
            let is_channels = |table: &&&str| OF_CHANNELS.iter().any(|(name, _)| name == *table);
            if touched.iter().any(|table| is_channels(&table)) {
                let others = touched.iter().filter(|table| !is_channels(table) && !COPIED.contains(table));
                mixed.extend(others.map(|other| (file.clone(), (*other).to_owned())));
                if !statement.contains("key") {
                    keyless.insert(file.clone());
                }
            }
        }
    }
    assert!(count > 150, "statements are found at all: {count}");
    let known: BTreeSet<(String, String)> =
        MIXED.iter().map(|(file, table)| ((*file).to_owned(), (*table).to_owned())).collect();
    let new: Vec<_> = mixed.difference(&known).collect();
    let gone: Vec<_> = known.difference(&mixed).collect();
    assert!(new.is_empty(), "a channel's rows and another owner's in one statement: {new:#?}");
    assert!(gone.is_empty(), "mended: take it out of the list: {gone:#?}");
    assert_eq!(
        keyless,
        KEYLESS.iter().map(|file| (*file).to_owned()).collect(),
        "statements without a channel's key"
    );
}

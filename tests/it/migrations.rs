//! Migrations run while the older version still answers, so each must leave what that version reads and writes.

use std::fs;

const FOLDER: &str = "src/store/migrations/postgres";

/// What the version before can't live with, or what keeps everybody waiting; with what to do instead.
const UNSAFE: &[(&str, &str)] = &[
    ("DROP TABLE", "drop it one version after the last that uses it, in a file whose name ends in _drop"),
    ("DROP COLUMN", "drop it one version after the last that uses it, in a file whose name ends in _drop"),
    ("RENAME", "add the new one, write both, drop the old one a version later"),
    ("ALTER COLUMN", "add a column of the new type, write both, drop the old one a version later"),
    ("SET NOT NULL", "add a CHECK ... NOT VALID, validate it, and leave the column nullable"),
    ("TRUNCATE", "delete in small batches from a task"),
    ("LOCK TABLE", "find a way that needs no such lock"),
    ("UPDATE ", "change rows in small batches from a task"),
    ("DELETE FROM", "delete in small batches from a task"),
];

/// Why a migration may not run beside the version before it; empty if it may.
fn faults(name: &str, sql: &str) -> Vec<String> {
    let code: String =
        sql.lines().map(|line| line.split("--").next().unwrap()).collect::<Vec<_>>().join("\n");
    let code = code.to_uppercase().split_whitespace().collect::<Vec<_>>().join(" ");
    let made: Vec<&str> = code
        .split("CREATE TABLE ")
        .skip(1)
        .filter_map(|rest| rest.trim_start_matches("IF NOT EXISTS ").split([' ', '(']).next())
        .collect();
    let mut faults = Vec::new();
    for statement in code.split(';').map(str::trim) {
        for (what, instead) in UNSAFE {
            let allowed = what.starts_with("DROP") && name.ends_with("_drop.sql");
            // What a statement names is tested, not what a column's name holds.
            // What the planner is told of a column changes no row.
            let told = [" SET (N_DISTINCT", " SET STATISTICS "];
            if *what == "ALTER COLUMN" && told.iter().any(|told| statement.contains(told)) {
                continue;
            }
            if statement.starts_with(what) || statement.contains(&format!(" {what}")) && !allowed {
                let said_in_row_clause = *what == "UPDATE " && !statement.starts_with("UPDATE ");
                if !allowed && !said_in_row_clause {
                    faults.push(format!("{what}: {instead}"));
                }
            }
        }
        let new_table = |marker: &str| {
            let table = statement.split(marker).nth(1).and_then(|rest| rest.split([' ', '(']).next());
            table.is_some_and(|table| made.contains(&table))
        };
        if (statement.starts_with("CREATE INDEX") || statement.starts_with("CREATE UNIQUE INDEX"))
            && !statement.contains("CONCURRENTLY")
            && !new_table(" ON ")
        {
            faults.push("CREATE INDEX on a table in use: CONCURRENTLY, in a file of its own that begins with `-- no-transaction`".to_owned());
        }
        let adds = statement.starts_with("ALTER TABLE") && statement.contains(" ADD ");
        if adds && statement.contains("NOT NULL") && !statement.contains("DEFAULT") {
            faults
                .push("ADD COLUMN NOT NULL without DEFAULT: the version before does not write it".to_owned());
        }
        if adds
            && (statement.contains("UNIQUE")
                || statement.contains("REFERENCES")
                || statement.contains("CHECK"))
            && !statement.contains("NOT VALID")
        {
            faults.push("ADD a constraint on a table in use: NOT VALID first, validate it later".to_owned());
        }
    }
    faults
}

#[test]
fn every_migration_can_run_beside_the_version_before() {
    let mut seen = 0;
    for entry in fs::read_dir(FOLDER).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        let sql = fs::read_to_string(&path).unwrap();
        assert_eq!(faults(&name, &sql), [""; 0], "{name}");
        assert!(sql.starts_with("--"), "{name} says why");
        seen += 1;
    }
    assert!(seen > 0);
}

#[test]
fn unsafe_migrations_are_found() {
    for (name, sql) in [
        ("2_a.sql", "DROP TABLE message;"),
        ("2_a.sql", "ALTER TABLE message DROP COLUMN nonce"),
        ("2_a.sql", "alter table message\n  drop column nonce;"),
        ("2_a.sql", "ALTER TABLE message RENAME COLUMN said TO spoken"),
        ("2_a.sql", "ALTER TABLE message ALTER COLUMN seq TYPE INT"),
        ("2_a.sql", "ALTER TABLE message ALTER COLUMN nonce SET NOT NULL"),
        ("2_a.sql", "CREATE INDEX slow ON message (sent_at)"),
        ("2_a.sql", "CREATE TABLE other (a BIGINT); CREATE UNIQUE INDEX slow ON message (sent_at)"),
        ("2_a.sql", "ALTER TABLE message ADD COLUMN extra TEXT NOT NULL"),
        ("2_a.sql", "ALTER TABLE message ADD CONSTRAINT c UNIQUE (sent_at)"),
        ("2_a.sql", "UPDATE message SET shown = ''"),
        ("2_a.sql", "TRUNCATE message"),
    ] {
        assert!(!faults(name, sql).is_empty(), "{sql}");
    }
    for (name, sql) in [
        ("2_a.sql", "-- DROP TABLE message would be unsafe\nALTER TABLE message ADD COLUMN extra TEXT"),
        ("2_a.sql", "ALTER TABLE message ADD COLUMN extra TEXT NOT NULL DEFAULT ''"),
        ("2_a.sql", "-- no-transaction\nCREATE INDEX CONCURRENTLY fast ON message (sent_at)"),
        ("2_a.sql", "CREATE TABLE other (a BIGINT PRIMARY KEY); CREATE INDEX other_a ON other (a)"),
        ("3_old_nonce_drop.sql", "ALTER TABLE message DROP COLUMN nonce"),
    ] {
        assert_eq!(faults(name, sql), [""; 0], "{sql}");
    }
}

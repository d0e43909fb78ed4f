//! Committed documents are compared with the program: none may tell of another one.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use guildhall::base::error::CODES;
use guildhall::cli;
use guildhall::config::Config;
use guildhall::controllers::{ACTIONS, PAGES};
use guildhall::host::figures::FIGURES;
use serde_json::Value;

use crate::help::TestApp;
use crate::house::architecture;

fn read(name: &str) -> String {
    fs::read_to_string(name).unwrap_or_else(|fault| panic!("{name}: {fault}"))
}

#[test]
fn the_committed_openapi_document_is_fresh() {
    let committed = fs::read_to_string("openapi.json").unwrap();
    assert!(committed == cli::openapi_text(), "run `cargo run -- openapi > openapi.json` and commit it");
}

#[test]
fn the_committed_document_of_sockets_is_fresh_and_docs_say_the_same() {
    let committed = fs::read_to_string("asyncapi.json").unwrap();
    assert!(committed == cli::asyncapi_text(), "run `scripts/dev docs` and commit asyncapi.json");
    let document: Value = serde_json::from_str(&committed).unwrap();
    let socket = &document["channels"]["socket"];
    let docs = read("docs/live.md");
    assert!(docs.contains(socket["address"].as_str().unwrap()));
    let codes = socket["x-close-codes"].as_array().unwrap();
    assert!(codes.iter().all(|end| docs.contains(&format!("| {} |", end["code"]))), "{codes:?}");
    assert_eq!(
        docs.lines().filter(|line| line.starts_with("| 1") || line.starts_with("| 4")).count(),
        codes.len()
    );
    for name in ["hello", "follow", "unfollow", "typing", "renew"] {
        assert!(docs.contains(&format!("| `/live/{name}` |")), "{name}");
        assert_eq!(
            document["components"]["messages"][name]["payload"]["properties"]["do"]["const"],
            format!("/live/{name}")
        );
    }
    // Every reference leads somewhere.
    let text = &committed;
    let references = text.split("\"$ref\": \"#").skip(1).map(|rest| rest.split('"').next().unwrap());
    for reference in references {
        assert!(document.pointer(reference).is_some(), "{reference}");
    }
}

#[tokio::test]
async fn the_served_document_is_the_committed_one_and_knows_every_action() {
    let app = TestApp::new().await;
    let served = app.nobody().get("/meta/openapi").await.data();
    let committed: Value = serde_json::from_str(&fs::read_to_string("openapi.json").unwrap()).unwrap();
    assert_eq!(served, committed);
    let published = || ACTIONS.iter().filter(|entry| !entry.preview);
    for entry in published() {
        let operation = &served["paths"][entry.route.path][entry.route.method.as_str().to_lowercase()];
        assert!(
            operation["summary"].as_str().is_some_and(|summary| !summary.is_empty()),
            "{}",
            entry.route.path
        );
    }
    let operations = |served: &Value| -> usize {
        let paths = served["paths"].as_object().unwrap();
        paths.values().map(|path| path.as_object().unwrap().len()).sum()
    };
    assert_eq!(operations(&served), published().count());
    let latest = TestApp::with(&[("GUILDHALL_VERSION", "$LATEST")]).await;
    let served = latest.nobody().get("/meta/openapi").await.data();
    assert_eq!(operations(&served), ACTIONS.len());
}

/// Every `$ref` leads somewhere, or client generators stop.
#[test]
fn the_document_holds_together() {
    let document: Value = serde_json::from_str(&cli::openapi_text()).unwrap();
    let mut open = vec![&document];
    while let Some(value) = open.pop() {
        if let Some(reference) = value.get("$ref").and_then(Value::as_str) {
            assert!(document.pointer(&reference[1..]).is_some(), "{reference}");
        }
        match value {
            Value::Array(list) => open.extend(list),
            Value::Object(map) => open.extend(map.values()),
            _ => {}
        }
    }
}

#[test]
fn the_settings_are_shown_as_the_program_prints_them() {
    let settings = read("docs/settings.md");
    assert!(settings.contains(&cli::variables_table()), "run `scripts/dev docs` and commit docs/settings.md");
    let distinct: BTreeSet<_> = Config::variables().iter().map(|variable| variable.name).collect();
    assert_eq!(distinct.len(), Config::variables().len());
}

#[test]
fn docs_api_shows_every_code_and_every_action() {
    let api = read("docs/api.md");
    for (code, status) in CODES {
        assert!(api.contains(&format!("`{code}` {status}")), "`{code}` {status}");
    }
    for entry in ACTIONS {
        let row = format!("`{} {}`", entry.route.method.as_str(), entry.route.path);
        assert!(api.contains(&row), "{row}");
    }
    for page in PAGES {
        let row = format!("`{} {}`", page.method.as_str(), page.path);
        assert!(api.contains(&row), "{row}");
    }
}

/// Every page is listed, with a line that says what it has; and what is listed is there.
#[test]
fn llms_txt_lists_every_page() {
    let list = read("llms.txt");
    let listed: BTreeSet<&str> =
        list.split("](").skip(1).filter_map(|rest| rest.split_once("): ")).map(|(path, _)| path).collect();
    assert_eq!(listed.len(), list.lines().filter(|line| line.starts_with("- [")).count(), "each has a line");
    for path in &listed {
        assert!(Path::new(path).exists(), "{path} is not there");
    }
    let docs = fs::read_dir("docs").unwrap().map(|entry| entry.unwrap().path().display().to_string());
    for page in docs.chain(DOCUMENTS.iter().map(|page| (*page).to_owned())) {
        assert!(listed.contains(page.as_str()), "{page} is not in llms.txt");
    }
}

/// A figure that is kept has a sentence, one that has a sentence is kept, and operators find both.
#[test]
fn every_figure_is_listed_and_shown() {
    let program: String = architecture::program().into_iter().map(|(_, text)| text).collect();
    let kept: BTreeSet<String> = ["metrics::counter!(", "metrics::gauge!(", "metrics::histogram!("]
        .into_iter()
        .flat_map(|kind| program.split(kind).skip(1))
        .filter_map(|rest| rest.trim_start().strip_prefix('"')?.split('"').next().map(str::to_owned))
        .collect();
    let listed: BTreeSet<String> = FIGURES.iter().map(|figure| figure.name.to_owned()).collect();
    assert_eq!(kept, listed);
    let operations = read("docs/operations.md");
    for figure in FIGURES {
        assert!(
            operations.contains(&format!("`{}`", figure.name)),
            "{} is not in docs/operations.md",
            figure.name
        );
        assert!(figure.help.ends_with('.') && figure.help.len() > 20, "{}", figure.name);
    }
}

const DOCUMENTS: &[&str] = &[
    "README.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    "docs/api.md",
    "docs/architecture.md",
    "docs/live.md",
    "docs/operations.md",
    "docs/performance.md",
    "docs/settings.md",
    "wordlists/README.md",
];

/// Lines of prose have at most 100 columns; tables and what stands in fences may be longer.
#[test]
fn documents_can_be_read_without_scrolling_sideways() {
    assert!(read("README.md").lines().count() <= 150);
    for name in DOCUMENTS {
        let mut fenced = false;
        for (number, line) in read(name).lines().enumerate() {
            if line.trim_start().starts_with("```") {
                fenced = !fenced;
            }
            let prose = !fenced && !line.trim_start().starts_with('|');
            let length = line.chars().count();
            assert!(!prose || length <= 100, "{name}:{} has {length} columns", number + 1);
        }
        assert!(!fenced, "{name}: a fence stays open");
    }
}

/// What the page of risks names as holding them is there.
#[test]
fn the_security_page_names_tests_that_there_are() {
    let sources = ["tests/it", "src/outside"].into_iter().flat_map(architecture::sources);
    let tests: String = sources.map(|(_, text)| text).collect();
    let page = read("docs/security.md");
    let rows: Vec<&str> = page.lines().filter(|line| line.starts_with("| API")).collect();
    assert_eq!(rows.len(), 10);
    for row in rows {
        let held_by = row.rsplit('|').nth(1).unwrap();
        let names: Vec<&str> = held_by.split('`').skip(1).step_by(2).collect();
        assert!(!names.is_empty(), "{row}");
        for name in names {
            assert!(tests.contains(&format!("fn {name}(")), "no test is named {name}");
        }
    }
}

#[test]
fn links_between_documents_lead_somewhere() {
    for name in DOCUMENTS {
        for target in
            read(name).split("](").skip(1).filter_map(|rest| rest.split(')').next().map(str::to_owned))
        {
            let (file, anchor) = target.split_once('#').unwrap_or((&target, ""));
            if file.starts_with("http") {
                continue;
            }
            let path =
                if file.is_empty() { name.into() } else { Path::new(name).parent().unwrap().join(file) };
            assert!(path.exists(), "{name} links to {target}");
            if !anchor.is_empty() {
                let text = fs::read_to_string(&path).unwrap().to_lowercase();
                let heading = anchor.replace('-', " ");
                let found =
                    text.lines().any(|line| line.trim_start_matches('#').trim().replace('-', " ") == heading);
                assert!(found, "{name} links to {target}");
            }
        }
    }
}

/// The picture of the rooms shows each, and the walk through the files names files that are there.
#[test]
fn the_architecture_page_shows_what_is_there() {
    let page = read("docs/architecture.md");
    for room in architecture::FLOORS
        .iter()
        .flat_map(|floor| floor.iter())
        .filter(|room| !["main", "lib"].contains(room))
    {
        assert!(page.contains(&format!("  {room}[\"{room}")), "{room} is not in the picture");
    }
    for named in page.split('`').filter(|word| word.contains('/') && word.ends_with(".rs")) {
        let (room, file) = named.split_once('/').unwrap();
        let in_crate = Path::new("crates").join(room).join("src").join(file);
        let found = Path::new("src").join(named).exists() || Path::new(named).exists() || in_crate.exists();
        assert!(found, "docs/architecture.md names {named}");
    }
}

/// The table of parts names each controller, service, table's file and vendor's file, and nothing that is not there.
#[test]
fn the_architecture_page_says_where_every_part_is() {
    let page = read("docs/architecture.md");
    let table = page.split("## Where is what").nth(1).unwrap().split("\n## ").next().unwrap();
    let rows: Vec<Vec<&str>> = table
        .lines()
        .filter(|line| line.starts_with("| "))
        .skip(1)
        .map(|line| line.split('|').collect())
        .collect();
    assert!(rows.len() > 10, "{}", rows.len());
    let named = |column: usize| -> BTreeSet<&str> {
        rows.iter().flat_map(|row| row[column].split('`').skip(1).step_by(2)).collect()
    };
    let there = |folder: &str| -> BTreeSet<String> {
        let names =
            fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let rust = names.filter(|name| name.ends_with(".rs") || !name.contains('.'));
        rust.map(|name| name.trim_end_matches(".rs").to_owned()).filter(|name| name != "mod").collect()
    };
    let missing = |found: BTreeSet<String>, named: &BTreeSet<&str>| -> Vec<String> {
        found.into_iter().filter(|name| !named.contains(name.as_str()) && name != "migrations").collect()
    };
    for (column, folder) in [(2, "controllers"), (3, "src/service"), (4, "src/store"), (5, "src/outside")] {
        let missing = missing(there(folder), &named(column));
        assert!(missing.is_empty(), "{folder}: {missing:?} are in no part");
    }
    let of = |folders: &[&str]| folders.iter().flat_map(|folder| there(folder)).collect::<BTreeSet<String>>();
    let tests: Vec<String> = there("tests/it").iter().map(|folder| format!("tests/it/{folder}")).collect();
    let tests: Vec<&str> =
        tests.iter().map(String::as_str).filter(|folder| Path::new(folder).is_dir()).collect();
    for (column, folders) in [
        (2, &["controllers"][..]),
        (3, &["src/service"]),
        (4, &["src/store"]),
        (5, &["src/outside", "src/config"]),
        (7, &tests),
    ] {
        let there = of(folders);
        let lost: Vec<&str> = named(column).into_iter().filter(|name| !there.contains(*name)).collect();
        assert!(lost.is_empty(), "{folders:?}: {lost:?} are not there");
    }
}

/// What a CI runs: actions by their commit, nothing left in a checkout, and no right to write where code of a pull request runs.
#[test]
fn workflows_name_commits_and_hold_no_more_than_they_need() {
    for entry in fs::read_dir(".github/workflows").unwrap() {
        let path = entry.unwrap().path();
        let (text, path) = (fs::read_to_string(&path).unwrap(), path.display());
        for (at, used) in text.match_indices("uses: ") {
            let used = text[at + used.len()..].split_whitespace().next().unwrap();
            let commit = used.split_once('@').unwrap_or_else(|| panic!("{path}: {used}")).1;
            let is_commit = commit.len() == 40 && commit.bytes().all(|byte| byte.is_ascii_hexdigit());
            assert!(is_commit, "{path}: {used} is a name that can be given to something else");
        }
        let checkouts = text.matches("actions/checkout@").count();
        assert_eq!(text.matches("persist-credentials: false").count(), checkouts, "{path}");
        let (all, jobs) = text.split_once("\njobs:\n").unwrap();
        assert!(all.ends_with("permissions:\n  contents: read"), "{path}: what all jobs may do");
        let mut each: Vec<String> = Vec::new();
        for line in jobs.lines() {
            if line.starts_with("  ") && !line[2..].starts_with([' ', '#']) {
                each.push(String::new());
            }
            each.last_mut().unwrap().push_str(line);
        }
        for job in each {
            let may_write = job.contains(": write");
            assert!(!may_write || !job.contains("actions/checkout@"), "{path}: {job}");
            let builds = job.contains("cargo ") || job.contains("scripts/package") || job.contains(".ci/run");
            assert!(!job.contains("secrets.") || !builds, "{path}: a build beside secrets: {job}");
        }
    }
}

//! The rules of the code's shape, held by reading it: who may know whom, and what may not be where.

use std::fs;
use std::path::{Path, PathBuf};

fn sources(folder: &str) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(sources(path.to_str().unwrap()));
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            let text = fs::read_to_string(&path).unwrap();
            found.push((path, text));
        }
    }
    found
}

fn program() -> Vec<(PathBuf, String)> {
    sources("src").into_iter().chain(sources("controllers")).collect()
}

/// `src/store/append.rs` is `store`, `controllers/meta.rs` is `controllers`.
fn module(path: &Path) -> String {
    let mut parts = path.iter().map(|part| part.to_str().unwrap().trim_end_matches(".rs").to_owned());
    match parts.next().unwrap().as_str() {
        "src" => parts.next().unwrap(),
        other => other.to_owned(),
    }
}

/// From the top to the ground; a module may use those that stand behind it, and none before it.
const FLOORS: &[&[&str]] = &[
    &["main", "lib"],
    &["cli"],
    &["host", "figures", "worker", "publisher"],
    &["http"],
    &["controllers"],
    &["tasks"],
    &["openapi", "moderation"],
    &["action", "task"],
    &["auth"],
    &["app"],
    &["recent", "queue"],
    &["store"],
    &["speaking", "blocklist", "data_folder", "webhook", "token"],
    &["wordlist"],
    &["filter", "config", "payload", "objects"],
    &["domain", "error", "envelope"],
    &["clock", "random", "path", "trace", "version"],
];

#[test]
fn dependencies_point_one_way() {
    let floor = |name: &str| FLOORS.iter().position(|floor| floor.contains(&name));
    for (path, text) in program() {
        let name = module(&path);
        let own = floor(&name).unwrap_or_else(|| panic!("{name} has no floor"));
        for used in uses(&text) {
            let other = floor(&used).unwrap_or_else(|| panic!("{}: {used} has no floor", path.display()));
            let downward = own <= other;
            assert!(downward, "{} uses {used}, which stands above it", path.display());
        }
    }
}

/// The modules of this crate that a file names.
fn uses(text: &str) -> Vec<String> {
    let code =
        text.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n");
    let mut used = Vec::new();
    for rest in code.split("crate::").skip(1) {
        let names = rest.strip_prefix('{').map_or(rest, |list| list.split('}').next().unwrap());
        let list = if rest.starts_with('{') { names.split(',').collect() } else { vec![names] };
        for name in list {
            let word: String = name.trim().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
            if !word.is_empty() && word.chars().next().unwrap().is_lowercase() {
                used.push(word);
            }
        }
    }
    used
}

#[test]
fn one_vendor_one_home() {
    for (needle, homes) in [
        ("sqlx::", &["src/store/"][..]),
        ("lambda_http", &["src/host/lambda.rs"]),
        ("lambda_extension", &["src/host/lambda.rs"]),
        ("matchit", &["src/http.rs"]),
        ("aho_corasick", &["src/filter/"]),
        ("jsonwebtoken", &["src/token.rs"]),
        ("reqwest", &["src/webhook.rs", "src/config", "src/host/scf.rs"]),
        ("rdkafka", &["src/queue.rs"]),
        ("aws_sdk_s3", &["src/objects/s3.rs"]),
        ("aws_config", &["src/objects/s3.rs"]),
        ("std::env::var", &["src/config.rs"]),
        ("SystemTime", &["src/clock.rs"]),
        ("getrandom::", &["src/random.rs"]),
        ("tracing_subscriber", &["src/cli.rs"]),
    ] {
        for (path, text) in program() {
            let name = path.display().to_string();
            let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
            if code.clone().any(|line| line.contains(needle)) {
                assert!(homes.iter().any(|home| name.starts_with(home)), "{needle} in {name}");
            }
        }
    }
}

#[test]
fn every_file_says_why_it_exists_and_can_be_read_in_one_sitting() {
    let all = program().into_iter().chain(sources("tests")).chain(sources("benches"));
    for (path, text) in all {
        assert!(text.starts_with("//! "), "{} does not say why it exists", path.display());
        assert!(text.lines().count() <= 400, "{} is longer than 400 lines", path.display());
        let stub = ["todo", "unimplemented"].iter().any(|name| text.contains(&format!("{name}!(")));
        assert!(!stub, "{} has a stub", path.display());
    }
}

/// What the filter says depends on nothing but its input.
#[test]
fn the_filter_is_pure() {
    for (path, text) in sources("src/filter") {
        for needle in ["std::fs", "std::io", "tokio", "crate::clock", "crate::random", "crate::config"] {
            assert!(!text.contains(needle), "{needle} in {}", path.display());
        }
    }
}

/// Values reach SQL as binds alone: no statement is put together at run time.
#[test]
fn statements_are_constants() {
    for (path, text) in sources("src/store") {
        assert!(!text.contains("AssertSqlSafe") && !text.contains("QueryBuilder"), "{}", path.display());
    }
}

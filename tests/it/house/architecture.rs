//! The rules of the code's shape, held by reading it: who may know whom, and what may not be where.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

pub fn sources(folder: &str) -> Vec<(PathBuf, String)> {
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

/// The program's own code. Rooms that are crates are named as the rest of the program names them: `crate::chat`.
pub fn program() -> Vec<(PathBuf, String)> {
    let rest = sources("src").into_iter().chain(sources("controllers"));
    rest.chain(CRATES.iter().flat_map(|name| of_crate(name))).collect()
}

/// Rooms that are crates of their own, in `crates/`.
const CRATES: &[&str] = &["base", "chat", "filter"];

pub fn of_crate(name: &str) -> Vec<(PathBuf, String)> {
    let named = |text: String| {
        let text = text.replace("crate::", &format!("crate::{name}::"));
        CRATES.iter().fold(text, |text, other| {
            text.replace(&format!("guildhall_{other}::"), &format!("crate::{other}::"))
        })
    };
    sources(&format!("crates/{name}/src")).into_iter().map(|(path, text)| (path, named(text))).collect()
}

/// `src/store/message/mod.rs` is in `store`, `controllers/meta.rs` in `controllers`, `src/app.rs` is a room by itself.
fn room(path: &Path) -> String {
    let mut parts = path.iter().map(|part| part.to_str().unwrap().trim_end_matches(".rs").to_owned());
    match parts.next().unwrap().as_str() {
        "src" | "crates" => parts.next().unwrap(),
        other => other.to_owned(),
    }
}

/// From the street to the ground; a room may know those on the floors below it, and none on its own or above.
pub const FLOORS: &[&[&str]] = &[
    &["main", "lib"],
    &["cli"],
    &["host"],
    &["controllers"],
    &["service"],
    &["work", "api"],
    &["app"],
    &["store", "access", "wordlist"],
    &["outside"],
    &["config"],
    &["chat"],
    &["filter", "hub"],
    &["base"],
];

#[test]
fn rooms_know_those_below_them_alone() {
    let floor = |name: &str| FLOORS.iter().position(|floor| floor.contains(&name));
    for (path, text) in program() {
        let name = room(&path);
        let own = floor(&name).unwrap_or_else(|| panic!("{name} has no floor"));
        for used in paths(&text).iter().filter(|path| path[0] == "crate").map(|path| &path[1]) {
            let other = floor(used).unwrap_or_else(|| panic!("{}: {used} has no floor", path.display()));
            let downward = own < other || name == *used;
            assert!(downward, "{} uses {used}, which does not stand below it", path.display());
        }
    }
}

/// Whoever reads one file shall not have to read another to understand either: no two need each other, not even by way of
/// a third. A room's `mod.rs` and its files belong together, so their arrows don't count; but what a `mod.rs` hands on stands
/// where it is written, and whoever names a `mod.rs` as a whole may use all that it hands on.
#[test]
fn no_files_go_in_circles() {
    let program = program();
    let arrows = Arrows::of(&program);
    assert!(arrows.to.iter().map(Vec::len).sum::<usize>() > 500, "arrows are found at all");
    let back = |start: usize| Some(format!("{} by {:?}", arrows.name(start), arrows.way_back(start)?));
    let circles: Vec<String> = (0..arrows.files.len()).filter_map(back).collect();
    assert!(circles.is_empty(), "come back to themselves:\n{}", circles.join("\n"));
}

/// The same for the parts of the store: whatever its tables need of each other goes one way.
#[test]
fn the_stores_parts_go_in_no_circles() {
    let program = program();
    let arrows = Arrows::of(&program);
    let part = |file: usize| arrows.files[file].get(..3).filter(|part| part[1] == "store");
    let of_parts = |from: usize| arrows.to[from].iter().filter_map(move |to| Some((part(from)?, part(*to)?)));
    let all: BTreeSet<_> =
        (0..arrows.files.len()).flat_map(of_parts).filter(|(from, to)| from != to).collect();
    assert!(all.len() > 50, "arrows are found at all: {}", all.len());
    let parts: BTreeSet<_> = all.iter().flat_map(|(from, to)| [*from, *to]).collect();
    for start in parts {
        let (mut seen, mut open) = (BTreeSet::new(), vec![start]);
        while let Some(at) = open.pop() {
            for (_, to) in all.iter().filter(|(from, _)| *from == at) {
                assert!(*to != start, "{start:?} comes back to itself by {at:?}");
                if seen.insert(*to) {
                    open.push(*to);
                }
            }
        }
    }
}

/// A service gives values: what a request looks like is for whoever calls it.
#[test]
fn services_know_no_request() {
    for (path, text) in sources("src/service") {
        let code: String = text.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
        for needle in ["schemars", "http::", "http_body", "crate::api", "bytes::", "Route", "Reply"] {
            assert!(!code.contains(needle), "{needle} in {}", path.display());
        }
    }
}

/// A controller reads what is asked and writes what is answered: it makes no task, and asks no other controller.
#[test]
fn controllers_call_services() {
    for (path, text) in sources("controllers") {
        assert!(!text.contains("crate::work"), "a task in {}", path.display());
        let asks = text.contains("crate::controllers::");
        assert!(!asks, "{} asks another controller", path.display());
    }
    for (path, text) in sources("src/host") {
        assert!(!text.contains("crate::controllers"), "{} reaches into a controller", path.display());
    }
}

/// Which files need which, by what they name.
struct Arrows {
    files: Vec<Vec<String>>,
    to: Vec<Vec<usize>>,
}

impl Arrows {
    fn of(program: &[(PathBuf, String)]) -> Self {
        let files: Vec<Vec<String>> = program.iter().map(|(path, _)| module(path)).collect();
        let handed_on: Vec<Vec<Vec<String>>> =
            (0..files.len()).map(|file| handed_on(&files[file], &program[file].1)).collect();
        let to = (0..files.len()).map(|from| {
            let code = program[from].1.split("#[cfg(test)]\nmod ").next().unwrap_or_default();
            let named = paths(code).into_iter().map(|path| whole(&files[from], path));
            let to = named.flat_map(|path| found(&files, &handed_on, &path));
            let others = to
                .filter(|to| !files[*to].starts_with(&files[from]) && !files[from].starts_with(&files[*to]));
            others.collect()
        });
        let to = to.collect();
        Self { files, to }
    }

    fn name(&self, file: usize) -> String {
        self.files[file].join("::")
    }

    /// Files by which one comes back to itself.
    fn way_back(&self, start: usize) -> Option<Vec<String>> {
        let (mut before, mut open) = (BTreeMap::new(), vec![start]);
        while let Some(at) = open.pop() {
            for to in &self.to[at] {
                if *to == start {
                    let back = std::iter::successors(Some(at), |at| before.get(at).copied());
                    return Some(back.take_while(|at| *at != start).map(|at| self.name(at)).collect());
                }
                if !before.contains_key(to) {
                    before.insert(*to, at);
                    open.push(*to);
                }
            }
        }
        None
    }
}

/// What a file hands on: whole paths.
fn handed_on(file: &[String], text: &str) -> Vec<Vec<String>> {
    let code: String = text.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
    let uses = code.split(';').filter_map(|part| {
        let (public, path) = part.split_once(" use ")?;
        let public = public.rsplit(['}', ' ']).next().unwrap_or(public).trim();
        (public.starts_with("pub")).then(|| path.trim().to_owned())
    });
    let mut found = Vec::new();
    for path in uses.filter(|path| !path.starts_with("crate::")) {
        let (base, names) =
            path.split_once("::{").unwrap_or_else(|| path.rsplit_once("::").unwrap_or((&path, "")));
        for name in names.trim_end_matches('}').split(',').map(str::trim).filter(|name| !name.is_empty()) {
            let parts = base.split("::").chain([name]).map(str::to_owned);
            found.push(file.iter().cloned().chain(parts).collect());
        }
    }
    found
}

/// The path from `crate` on.
fn whole(from: &[String], path: Vec<String>) -> Vec<String> {
    let mut whole: Vec<String> = from.to_vec();
    for part in path {
        match part.as_str() {
            "crate" => whole = vec![part],
            "super" => drop(whole.pop()),
            _ => whole.push(part),
        }
    }
    whole
}

/// The files that a path leads to: the longest beginning of it that is one, or where what it names there is written.
fn found(files: &[Vec<String>], handed_on: &[Vec<Vec<String>>], path: &[String]) -> Vec<usize> {
    let longest = |path: &[String]| {
        (2..=path.len()).rev().find_map(|length| files.iter().position(|file| *file == path[..length]))
    };
    let Some(file) = longest(path) else { return Vec::new() };
    let rest = &path[files[file].len()..];
    let handed = handed_on[file].iter().filter(|handed| rest.is_empty() || handed.last() == rest.first());
    let mut to: Vec<usize> = handed.filter_map(|handed| longest(handed)).collect();
    if to.is_empty() || rest.is_empty() {
        to.push(file);
    }
    to
}

/// `src/store/engine/mod.rs` is `crate, store, engine`.
fn module(path: &Path) -> Vec<String> {
    let mut parts: Vec<String> =
        path.iter().map(|part| part.to_str().unwrap().trim_end_matches(".rs").to_owned()).collect();
    match parts[0].as_str() {
        "src" => drop(parts.remove(0)),
        "crates" => parts.retain(|part| part != "crates" && part != "src"),
        _ => {}
    }
    parts.retain(|part| part != "mod" && part != "lib");
    parts.insert(0, "crate".to_owned());
    parts
}

/// The paths from `crate` or `super` on that a file names, one for each name in braces.
fn paths(text: &str) -> Vec<Vec<String>> {
    let code =
        text.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n");
    let code = code.replace("$crate::", "crate::");
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let starts = code.match_indices("crate::").chain(code.match_indices("super::")).map(|(start, _)| start);
    let starts = starts.filter(|start| !code[..*start].ends_with(|c: char| is_word(c) || c == ':'));
    let mut found = Vec::new();
    for start in starts {
        let mut rest = &code[start..];
        let mut path = Vec::new();
        loop {
            let end = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
            if end == 0 {
                break;
            }
            path.push(rest[..end].to_owned());
            let Some(behind) = rest[end..].strip_prefix("::") else {
                rest = "";
                break;
            };
            rest = behind;
        }
        match rest.strip_prefix('{').and_then(|list| list.split('}').next()) {
            Some(list) => found.extend(list.split(',').map(|name| {
                let name = name.trim().split("::").next().unwrap_or_default();
                let named = (!name.is_empty() && name != "self").then(|| name.to_owned());
                path.iter().cloned().chain(named).collect()
            })),
            None => found.push(path),
        }
    }
    found.retain(|path: &Vec<String>| path.len() > 1);
    found
}

/// Every room opens with what it is for and whom it knows.
#[test]
fn every_room_says_what_it_is_for_and_whom_it_knows() {
    for room in
        FLOORS.iter().flat_map(|floor| floor.iter()).filter(|room| !["main", "lib", "app"].contains(room))
    {
        let opening = match *room {
            "controllers" => "controllers/mod.rs".to_owned(),
            room if CRATES.contains(&room) => format!("crates/{room}/src/lib.rs"),
            room => format!("src/{room}/mod.rs"),
        };
        let text = fs::read_to_string(opening).unwrap();
        let opening: Vec<&str> = text.lines().take_while(|line| line.starts_with("//!")).collect();
        let opening = opening.join(" ");
        assert!(
            opening.contains("Knows") || opening.contains("Stands above"),
            "{room} does not say whom it knows"
        );
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

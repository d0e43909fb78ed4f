//! Which action, or which page, a path and a method are.

use std::collections::BTreeMap;

use http::Method;

use crate::api::action::{ActionEntry, Verb};
use crate::api::page::PageEntry;

/// The actions of one path, one for each method.
pub(super) struct Methods {
    get: Option<&'static ActionEntry>,
    post: Option<&'static ActionEntry>,
}

impl Methods {
    pub(super) fn of(&self, method: &Method) -> Option<&'static ActionEntry> {
        [self.get, self.post].into_iter().flatten().find(|entry| entry.route.method.matches(method))
    }

    pub(super) fn first(&self) -> &'static ActionEntry {
        self.post.or(self.get).expect("a path has an action")
    }

    pub(super) fn allowed(&self) -> &'static str {
        match (self.get, self.post) {
            (Some(_), Some(_)) => "GET, POST",
            _ => self.first().route.method.as_str(),
        }
    }
}

/// The paths of actions.
pub(super) struct Routes(matchit::Router<Methods>);

impl Routes {
    /// Those of some actions.
    pub(super) fn of(entries: impl Iterator<Item = &'static ActionEntry>) -> Self {
        let mut paths: BTreeMap<&str, Methods> = BTreeMap::new();
        for entry in entries {
            let methods = paths.entry(entry.route.path).or_insert(Methods { get: None, post: None });
            let place = match entry.route.method {
                Verb::Get => &mut methods.get,
                Verb::Post => &mut methods.post,
            };
            assert!(place.replace(entry).is_none(), "a path has one action a method");
        }
        let mut routes = matchit::Router::new();
        for (path, methods) in paths {
            routes.insert(path, methods).expect("paths in the registry hold no patterns");
        }
        Self(routes)
    }

    /// The actions of a path.
    pub(super) fn at(&self, path: &str) -> Option<&Methods> {
        self.0.at(path).ok().map(|found| found.value)
    }
}

/// The paths of pages.
#[derive(Default)]
pub(super) struct Pages {
    paths: matchit::Router<Vec<&'static PageEntry>>,
    take_bodies: bool,
}

/// The pages of one path, and what stands in the place of `{*rest}`.
pub(super) struct PagesAt<'p> {
    entries: &'p [&'static PageEntry],
    pub(super) rest: &'p str,
}

impl Pages {
    /// Those of some rows.
    pub(super) fn of(entries: &'static [PageEntry]) -> Self {
        let mut paths: BTreeMap<&str, Vec<&PageEntry>> = BTreeMap::new();
        for entry in entries {
            paths.entry(entry.path).or_default().push(entry);
        }
        let mut pages = matchit::Router::new();
        for (path, entries) in paths {
            pages.insert(path, entries).expect("paths of pages do not contradict each other");
        }
        Self { paths: pages, take_bodies: entries.iter().any(|entry| entry.body_bytes > 0) }
    }

    /// Does any of them take a body?
    pub(super) fn take_bodies(&self) -> bool {
        self.take_bodies
    }

    /// The pages of a path.
    pub(super) fn at<'p>(&'p self, path: &'p str) -> Option<PagesAt<'p>> {
        let found = self.paths.at(path).ok()?;
        let rest = found.params.get("rest").unwrap_or_default();
        Some(PagesAt { entries: found.value, rest })
    }
}

impl PagesAt<'_> {
    /// The page for a method; whoever may read it may ask for its head alone.
    pub(super) fn of(&self, method: &Method) -> Option<&'static PageEntry> {
        let method = if method == Method::HEAD { &Method::GET } else { method };
        self.entries.iter().copied().find(|entry| entry.method.matches(method))
    }

    pub(super) fn allowed(&self) -> &'static str {
        let has = |verb| self.entries.iter().any(|entry| entry.method == verb);
        match (has(Verb::Get), has(Verb::Post)) {
            (true, true) => "GET, HEAD, POST",
            (true, false) => "GET, HEAD",
            _ => "POST",
        }
    }

    /// Bytes of the largest body that one of them takes.
    pub(super) fn body_bytes(&self) -> usize {
        self.entries.iter().map(|entry| entry.body_bytes).max().unwrap_or_default()
    }
}

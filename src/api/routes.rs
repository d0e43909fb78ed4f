//! Which action a path and a method are.

use std::collections::BTreeMap;

use http::Method;

use crate::api::action::{Entry, Verb};

/// The actions of one path, one for each method.
pub(super) struct Methods {
    get: Option<&'static Entry>,
    post: Option<&'static Entry>,
}

impl Methods {
    pub(super) fn of(&self, method: &Method) -> Option<&'static Entry> {
        [self.get, self.post].into_iter().flatten().find(|entry| entry.route.method.matches(method))
    }

    pub(super) fn first(&self) -> &'static Entry {
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
    pub(super) fn of(entries: impl Iterator<Item = &'static Entry>) -> Self {
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

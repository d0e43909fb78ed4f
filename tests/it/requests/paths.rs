//! What gateways make of a path, and what becomes of it here.

use guildhall::api::path::normalize;
use proptest::prelude::*;

use crate::help::TestApp;

/// raw path, stage in the path, base path, what is looked up
const TABLE: &[(&str, Option<&str>, &str, &str)] = &[
    // nothing in front
    ("/message/send", None, "", "/message/send"),
    ("/", None, "", "/"),
    // a named stage of an HTTP API stays in its path; `$default` does not, and a REST API's never does
    ("/prod/message/send", Some("prod"), "", "/message/send"),
    ("/message/send", Some("prod"), "", "/message/send"),
    ("/message/send", Some("$default"), "", "/message/send"),
    ("/prod/message/send", None, "", "/prod/message/send"),
    ("/prod", Some("prod"), "", "/prod"),
    ("/production/message/send", Some("prod"), "", "/production/message/send"),
    ("/message/send", Some(""), "", "/message/send"),
    // a base path: the testers' route, or a custom domain's mapping
    ("/latest/message/send", None, "/latest", "/message/send"),
    ("/message/send", None, "/latest", "/message/send"),
    ("/latest", None, "/latest", "/latest"),
    ("/latest/", None, "/latest", "/"),
    ("/latests/message/send", None, "/latest", "/latests/message/send"),
    ("/Latest/message/send", None, "/latest", "/Latest/message/send"),
    ("/chat/v2/message/send", None, "/chat/v2", "/message/send"),
    // both, the stage first
    ("/prod/latest/message/send", Some("prod"), "/latest", "/message/send"),
    ("/latest/prod/message/send", Some("prod"), "/latest", "/prod/message/send"),
    // once each
    ("/latest/latest/message/send", None, "/latest", "/latest/message/send"),
    // nothing else is mended: these are no action's path
    ("/message/send/", None, "", "/message/send/"),
    ("//message/send", None, "", "//message/send"),
    ("/message//send", None, "", "/message//send"),
    ("/latest//message/send", None, "/latest", "//message/send"),
    ("/message/%73end", None, "", "/message/%73end"),
    ("/message%2Fsend", None, "", "/message%2Fsend"),
    ("/%6Catest/message/send", None, "/latest", "/%6Catest/message/send"),
    ("/latest/../message/send", None, "/latest", "/../message/send"),
    ("/message/./send", None, "", "/message/./send"),
    ("/消息/send", None, "", "/消息/send"),
];

#[test]
fn stages_and_base_paths_are_removed_and_nothing_else() {
    for (raw, stage, base, expected) in TABLE {
        assert_eq!(normalize(raw, *stage, base), *expected, "{raw} {stage:?} {base}");
    }
}

proptest! {
    /// Whatever the path: what is left is its end, and begins with a slash if it did.
    #[test]
    fn what_is_left_is_the_end_of_the_path(raw in "/[a-c/%.]{0,12}", stage in proptest::option::of("[a-c]{0,2}"), base in "(/[a-c]{1,2}){0,2}") {
        let rest = normalize(&raw, stage.as_deref(), &base);
        prop_assert!(raw.ends_with(rest) && rest.starts_with('/'));
    }
}

/// The table's last rows through the whole program: not found, and not by another name either.
#[tokio::test]
async fn an_action_has_one_path() {
    let app = TestApp::with(&[("GUILDHALL_BASE_PATH", "/latest")]).await;
    for path in ["/health/live", "/latest/health/live"] {
        assert_eq!(app.nobody().get(path).await.status, 200, "{path}");
    }
    for path in [
        "/latest/health/live/",
        "/latest//health/live",
        "/latest/health/%6cive",
        "/latest/latest/health/live",
    ] {
        assert_eq!(app.nobody().get(path).await.code(), "not_found", "{path}");
    }
}

//! What has one home: each vendor's library, I/O, statements, and decisions about rights.

use crate::house::architecture::{of_crate, program, sources};

#[test]
fn one_vendor_one_home() {
    for (needle, homes) in [
        ("sqlx::", &["src/store/"][..]),
        ("lambda_http", &["src/host/gateway.rs", "src/host/lambda.rs"]),
        ("async_nats", &["src/outside/bus.rs"]),
        ("matchit", &["src/api/routes.rs"]),
        ("aho_corasick", &["crates/filter/"]),
        ("jsonwebtoken", &["src/access/token.rs", "src/outside/payments/google.rs"]),
        ("aws_lc_rs", &["src/outside/payments/", "src/outside/push/jwt.rs", "src/outside/wechat_service.rs"]),
        ("quick_xml", &["src/outside/wechat_service.rs"]),
        ("x509_cert", &["src/outside/payments/certificates.rs"]),
        ("reqwest", &["src/outside/calls.rs", "src/outside/reach.rs", "src/config/", "src/host/scf.rs"]),
        ("rdkafka", &["src/outside/broker/"]),
        ("aws_sdk_s3", &["src/outside/objects/s3.rs"]),
        ("aws_config", &["src/outside/objects/s3.rs"]),
        ("std::env::var", &["src/config/mod.rs"]),
        ("SystemTime", &["crates/base/src/clock.rs"]),
        ("getrandom::", &["crates/base/src/random.rs"]),
        ("tracing_subscriber", &["src/host/log.rs"]),
        ("tracing_appender", &["src/host/log.rs"]),
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

/// Chat decides on what it is given: no disk, no network, no clock.
#[test]
fn chat_does_no_io() {
    for (path, text) in of_crate("chat") {
        for needle in ["std::fs", "std::io", "std::net", "tokio", "Clock", "crate::base::random"] {
            assert!(!text.contains(needle), "{needle} in {}", path.display());
        }
    }
}

/// What the filter says depends on nothing but its input.
#[test]
fn the_filter_is_pure() {
    for (path, text) in of_crate("filter") {
        for needle in ["std::fs", "std::io", "tokio", "crate::base", "crate::config"] {
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

/// Sanctions are read by the one loader of facts, by the statements that hold a send to them, and where they are given; who may
/// what is decided in one place.
#[test]
fn rights_are_decided_in_one_place() {
    let readers = [
        "src/store/rights.rs",
        "src/store/sends/postgres.rs",
        "src/store/sends/one_pass.rs",
        "src/store/moderation/",
    ];
    let deciders = ["crates/chat/src/rights.rs", "crates/chat/src/sanctions.rs"];
    let (mut read, mut decided) = (0, 0);
    for (path, text) in program() {
        let name = path.display().to_string();
        let code: String = text.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
        if code.contains("FROM sanction") || code.contains("JOIN sanction") {
            assert!(readers.iter().any(|reader| name.starts_with(reader)), "{name} reads sanctions");
            read += 1;
        }
        if code.contains("in_force(") {
            assert!(deciders.iter().any(|decider| name.starts_with(decider)), "{name} decides by sanctions");
            decided += 1;
        }
    }
    assert!(read > 3 && decided == deciders.len(), "they are found at all: {read} {decided}");
}

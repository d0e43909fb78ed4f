//! What the platform that started us says by variables of its own: where we run, as what, and as which version.

use std::time::Duration;

use super::{Parsed, Platform, Reader, Role, parse};
use crate::base::version::{BUILD, LATEST};

pub(super) fn read(env: &mut Reader<'_>) -> Platform {
    let name = |env: &Reader<'_>, name| env.platform(name).unwrap_or_default();
    if let Some(api) = env.platform("AWS_LAMBDA_RUNTIME_API") {
        let role = role(&name(env, "_HANDLER")).unwrap_or_else(|why| {
            env.fault("_HANDLER", &why);
            Role::Api
        });
        return Platform::Lambda { role, function: name(env, "AWS_LAMBDA_FUNCTION_NAME"), api };
    }
    match (env.platform("SCF_RUNTIME_API"), env.platform("SCF_RUNTIME_API_PORT")) {
        (Some(host), Some(port)) => Platform::Scf { events: format!("{host}:{port}") },
        _ => Platform::Own,
    }
}

/// Returns the program's version: the platform's own word, else the operator's, else the build's.
pub(super) fn version(env: &mut Reader<'_>) -> String {
    let named = env.optional(
        "GUILDHALL_VERSION",
        "the platform's, else the build's",
        "which version this is; `$LATEST` is the newest code under test, with preview actions and tasks of its own",
        word,
    );
    function_version(env).or(named).unwrap_or_else(|| BUILD.to_owned())
}

/// Returns the version that a function's platform names; none where there is no such platform.
fn function_version(env: &Reader<'_>) -> Option<String> {
    ["AWS_LAMBDA_FUNCTION_VERSION", "SCF_FUNCTIONVERSION"].iter().find_map(|name| env.platform(name))
}

/// Are we paid for by the time that a request takes?
pub(super) fn is_function(env: &Reader<'_>) -> bool {
    function_version(env).is_some()
}

/// Is it the newest code, which only testers reach?
pub(super) fn is_latest(version: &str) -> bool {
    version == LATEST
}

fn role(handler: &str) -> Parsed<Role> {
    match handler {
        // What tools write where nobody chose.
        "api" | "bootstrap" | "" => Ok(Role::Api),
        "worker" => Ok(Role::Worker),
        "migrate" => Ok(Role::Migrate),
        other => Err(format!("is '{other}', not api, worker or migrate")),
    }
}

/// Parses a version that fits into a header.
fn word(text: &str) -> Parsed<String> {
    if text.len() <= 64 && text.bytes().all(|b| b.is_ascii_graphic()) {
        Ok(text.to_owned())
    } else {
        Err(format!("is '{text}', not up to 64 letters, digits and signs without spaces"))
    }
}

pub(super) fn live_wait(env: &mut Reader<'_>) -> Duration {
    env.optional(
        "GUILDHALL_LIVE_WAIT_S",
        "25; 0 as a function",
        "seconds a poll may wait for something to be said, 0 to 25; a function is paid for while it waits",
        |text| parse::seconds(text, 0, 25),
    )
    .unwrap_or(if is_function(env) { Duration::ZERO } else { Duration::from_secs(25) })
}

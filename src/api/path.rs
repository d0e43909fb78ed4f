//! The path of an action, of what gateways put in front of it.
//!
//! Gateways differ: some leave the name of their stage in the path, some a prefix by which they chose us. Those are
//! removed. Nothing else is mended: an action has one path, and a gateway's rule for it (`/task/*` only from inside, say)
//! can't be passed by with a doubled slash or an encoded letter, which such rules read otherwise than we would.

/// Removes the stage and then the base path, where a segment ends behind them.
///
/// ```
/// use guildhall::api::path::normalize;
/// assert_eq!(normalize("/prod/latest/message/send", Some("prod"), "/latest"), "/message/send");
/// assert_eq!(normalize("/latests/message/send", None, "/latest"), "/latests/message/send");
/// ```
pub fn normalize<'a>(raw: &'a str, stage: Option<&str>, base: &str) -> &'a str {
    let stage = stage.filter(|stage| !stage.is_empty() && *stage != "$default");
    let rest = stage.map_or(raw, |stage| without(raw, |path| path.strip_prefix('/')?.strip_prefix(stage)));
    without(rest, |path| path.strip_prefix(base))
}

fn without<'a>(path: &'a str, strip: impl Fn(&'a str) -> Option<&'a str>) -> &'a str {
    strip(path).filter(|rest| rest.starts_with('/')).unwrap_or(path)
}

//! Which build this is: the package's version, with the commit behind it where `scripts/package` built it.

/// Such as `0.1.0` or `0.1.0+g1a2b3c4`.
pub const BUILD: &str = match option_env!("GUILDHALL_BUILD") {
    Some(build) => build,
    None => env!("CARGO_PKG_VERSION"),
};

/// The version that testers' requests reach: the newest code, not published yet. Platforms call it so.
pub const LATEST: &str = "$LATEST";

//! What all who call back have in common: a signature, its time, and how they are refused.

use crate::base::clock::Millis;
use crate::base::error::{Error, Result};

/// Most milliseconds that a signature's time may lie back, or ahead.
const SKEW_MS: Millis = 300_000;

/// Whoever has signed nothing, or not as they should.
pub(super) const UNSIGNED: Error =
    Error::Unauthenticated("the signature is missing or is not the provider's");

/// A time in seconds that is neither long ago nor far ahead.
pub(super) fn recent(seconds: &str, now: Millis) -> Result<Millis> {
    let at: Millis = seconds.parse().map_err(|_| UNSIGNED)?;
    if at.saturating_mul(1_000).abs_diff(now) > SKEW_MS.unsigned_abs() {
        return Err(Error::Unauthenticated("the signature's time is too far from now"));
    }
    Ok(at)
}

/// A body that says something else than it should.
pub(super) fn malformed(what: &str) -> Error {
    Error::InvalidInput(format!("body: {what}"))
}

/// An event of another app, of another merchant, or of another environment.
pub(super) fn elsewhere(what: &'static str) -> Error {
    Error::Forbidden { reason: "elsewhere", message: format!("the event is of another {what}") }
}

//! What can go wrong, as a caller sees it: one code, one status, a message, and details a program can read.
//!
//! An [`Error::Internal`] has an outside ("something broke here") and an inside (the source), which is
//! logged once, at the boundary, and never sent.

use std::borrow::Cow;

use http::StatusCode;
use serde_json::{Value, json};

use crate::clock::Millis;

/// A result of anything that can fail in front of a caller.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// One failure. [`Error::code`] is what clients match on; it never changes meaning.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The input can't be read, or a value is out of its bounds.
    #[error("{0}")]
    InvalidInput(String),
    /// No token, or one that does not hold.
    #[error("{0}")]
    Unauthenticated(&'static str),
    /// A good token that is not enough; `reason` is for programs.
    #[error("{message}")]
    Forbidden {
        /// One word or two joined by `_`, for programs.
        reason: &'static str,
        /// For people.
        message: String,
    },
    /// The caller is silenced.
    #[error("you are muted: {reason}")]
    Muted {
        /// End of the mute; none if it holds for good.
        until: Option<Millis>,
        /// Reason, in the moderator's words.
        reason: String,
        /// Place where it holds: `everywhere`, `kind:world`, or `channel:ID`.
        place: String,
    },
    /// The caller is shut out, of this channel or of all.
    #[error("you are banned: {why}")]
    Banned {
        /// End of the ban; none if it holds for good.
        until: Option<Millis>,
        /// Reason, in the moderator's words.
        why: String,
    },
    /// No such thing, or none that this caller may know of.
    #[error("no such {0}")]
    NotFound(&'static str),
    /// The path is known, the method is not.
    #[error("this path answers {allow} only")]
    MethodNotAllowed {
        /// The method that works.
        allow: &'static str,
    },
    /// A thing that exists already, and differs.
    #[error("{0}")]
    Conflict(Cow<'static, str>),
    /// The body is larger than we read.
    #[error("the body is larger than {limit} bytes")]
    TooLarge {
        /// The most that is read.
        limit: usize,
    },
    /// A body in something else than JSON.
    #[error("the body must be JSON, with content-type application/json")]
    UnsupportedMediaType,
    /// The filter refused the text.
    #[error("the text was refused by the word filter")]
    Rejected {
        /// The wordlist's category.
        category: String,
    },
    /// Too often.
    #[error("{message}; try again in {retry_after_s} s")]
    RateLimited {
        /// Name of the limit: `send_limit`, `slow_mode`, `rate`, …
        reason: &'static str,
        /// For people.
        message: &'static str,
        /// Seconds, at least 1.
        retry_after_s: u64,
    },
    /// Our fault.
    #[error("something broke here; the request id finds it in the logs")]
    Internal(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Not now.
    #[error("{0}; try again shortly")]
    Unavailable(&'static str),
}

/// Seconds that a client should wait after a 503.
const UNAVAILABLE_RETRY_S: u64 = 1;

impl Error {
    /// An internal failure from whatever explains it.
    pub fn internal(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Internal(source.into())
    }

    /// For our log: what is behind it, which nobody else is told.
    pub fn for_log(&self) -> String {
        match self {
            Self::Internal(source) => source.to_string(),
            other => other.to_string(),
        }
    }

    /// The stable name that clients match on.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::InvalidInput(_) => "invalid_input",
            Self::Unauthenticated(_) => "unauthenticated",
            Self::Forbidden { .. } | Self::Banned { .. } => "forbidden",
            Self::Muted { .. } => "muted",
            Self::NotFound(_) => "not_found",
            Self::MethodNotAllowed { .. } => "method_not_allowed",
            Self::Conflict(_) => "conflict",
            Self::TooLarge { .. } => "too_large",
            Self::UnsupportedMediaType => "unsupported_media_type",
            Self::Rejected { .. } => "rejected",
            Self::RateLimited { .. } => "rate_limited",
            Self::Internal(_) => "internal",
            Self::Unavailable(_) => "unavailable",
        }
    }

    /// The HTTP status that goes with the code.
    pub const fn status(&self) -> StatusCode {
        match self {
            Self::InvalidInput(_) => StatusCode::BAD_REQUEST,
            Self::Unauthenticated(_) => StatusCode::UNAUTHORIZED,
            Self::Forbidden { .. } | Self::Muted { .. } | Self::Banned { .. } => StatusCode::FORBIDDEN,
            Self::NotFound(_) => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed { .. } => StatusCode::METHOD_NOT_ALLOWED,
            Self::Conflict(_) => StatusCode::CONFLICT,
            Self::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::UnsupportedMediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::Rejected { .. } => StatusCode::UNPROCESSABLE_ENTITY,
            Self::RateLimited { .. } => StatusCode::TOO_MANY_REQUESTS,
            Self::Internal(_) => StatusCode::INTERNAL_SERVER_ERROR,
            Self::Unavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// Returns details for programs, beside the code: an object, empty for most codes.
    pub fn details(&self) -> Value {
        match self {
            Self::Forbidden { reason, .. } => json!({ "reason": reason }),
            Self::Muted { until, reason, place } => {
                json!({ "until": until, "reason": reason, "where": place })
            }
            Self::Banned { until, why } => json!({ "reason": "banned", "until": until, "why": why }),
            Self::TooLarge { limit } => json!({ "limit": limit }),
            Self::Rejected { category } => json!({ "category": category }),
            Self::RateLimited { reason, retry_after_s, .. } => {
                json!({ "reason": reason, "retry_after_s": retry_after_s })
            }
            _ => json!({}),
        }
    }

    /// Seconds for the `Retry-After` header, where the code has one.
    pub const fn retry_after_s(&self) -> Option<u64> {
        match self {
            Self::RateLimited { retry_after_s, .. } => Some(*retry_after_s),
            Self::Unavailable(_) => Some(UNAVAILABLE_RETRY_S),
            _ => None,
        }
    }
}

/// Every code a client can meet, with its status; the OpenAPI document and the README are held to it.
pub const CODES: &[(&str, u16)] = &[
    ("invalid_input", 400),
    ("unauthenticated", 401),
    ("forbidden", 403),
    ("muted", 403),
    ("not_found", 404),
    ("method_not_allowed", 405),
    ("conflict", 409),
    ("too_large", 413),
    ("unsupported_media_type", 415),
    ("rejected", 422),
    ("rate_limited", 429),
    ("internal", 500),
    ("unavailable", 503),
];

/// Reason why the application can't start: a sentence that names the fix.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct StartError(String);

impl StartError {
    /// A fault with what was being done.
    pub fn new(doing: &str, fault: impl std::fmt::Display) -> Self {
        Self(format!("{doing}: {fault}"))
    }
}

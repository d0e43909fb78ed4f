//! What is answered otherwise than in our JSON: pages and files that people's browsers ask for, and bodies that are taken
//! piece by piece.
//!
//! [`PageEntry::of`] makes a type a row of a second registry beside that of actions, with the same limits, log and figures.

use std::net::IpAddr;
use std::pin::Pin;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use sha2::{Digest, Sha256};

use super::action::{Notes, Verb};
pub use super::body::PageBody;
use crate::app::App;
use crate::base::error::{Error, Result};
use crate::base::random;

/// Something that is asked for by its path alone, and answered in a form of its own.
pub trait Page: 'static {
    /// Name, in logs and metrics.
    const NAME: &'static str;
    /// HTTP method.
    const METHOD: Verb;
    /// Path; `/console/{*rest}` stands for every path that begins with `/console/`.
    const PATH: &'static str;
    /// Bytes of the largest body that it takes; none where it is 0.
    const BODY_BYTES: usize = 0;

    /// The answer.
    fn answer(app: &App, asked: PageRequest<'_>) -> impl Future<Output = Result<Document>> + Send;

    /// Returns the page that people see of an error; none if they see it as JSON.
    fn refusal(_: &Error) -> Option<Document> {
        None
    }
}

/// Request for a page.
pub struct PageRequest<'a> {
    /// Request headers.
    pub headers: &'a HeaderMap,
    /// The client's address, where it is known.
    pub address: Option<IpAddr>,
    /// Query string, without the `?`.
    pub query: &'a str,
    /// Part of the path in the place of `{*rest}`.
    pub rest: &'a str,
    /// The body, as it comes.
    pub body: PageBody,
    /// Notes for the log line.
    pub notes: &'a Notes,
}

/// An answer.
#[derive(Debug)]
pub struct Document {
    /// HTTP status.
    pub status: StatusCode,
    /// Response headers, cookies among them.
    pub headers: HeaderMap,
    /// Response body.
    pub body: Bytes,
}

/// Content security policy of our pages: they may load and do only what comes from here.
const OWN_ALONE: HeaderValue = HeaderValue::from_static(
    "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
);

impl Document {
    /// Content of a type, which browsers ask for again each time, and get again where it has changed.
    pub fn new(content_type: &'static str, body: impl Into<Bytes>) -> Self {
        let body = body.into();
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        let tag = format!("\"{}\"", random::to_hex(&Sha256::digest(&body)[..12]));
        headers.extend(HeaderValue::try_from(tag).ok().map(|tag| (ETAG, tag)));
        headers.insert("x-content-type-options", HeaderValue::from_static("nosniff"));
        Self { status: StatusCode::OK, headers, body }
    }

    /// A page for people.
    pub fn html(body: impl Into<Bytes>) -> Self {
        let page = Self::new("text/html; charset=utf-8", body);
        page.with(CONTENT_SECURITY_POLICY, OWN_ALONE)
            .with(http::header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"))
    }

    /// The same with a header more, in the place of one of its name.
    #[must_use]
    pub fn with(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.insert(name, value);
        self
    }

    /// The same, or nothing where the client has it already.
    pub(super) fn unless_known(self, asked: &HeaderMap) -> Self {
        let tag = self.headers.get(ETAG).and_then(|tag| tag.to_str().ok());
        let known = asked.get(IF_NONE_MATCH).and_then(|known| known.to_str().ok());
        let is_known = tag.zip(known).is_some_and(|(tag, known)| {
            known.split(',').map(str::trim).any(|known| known == "*" || known.trim_start_matches("W/") == tag)
        });
        if self.status != StatusCode::OK || !is_known {
            return self;
        }
        Self { status: StatusCode::NOT_MODIFIED, body: Bytes::new(), ..self }
    }
}

type Answering<'a> = Pin<Box<dyn Future<Output = Result<Document>> + Send + 'a>>;

/// One row of the registry.
pub struct PageEntry {
    /// Name, in logs and metrics.
    pub name: &'static str,
    /// HTTP method.
    pub method: Verb,
    /// Path.
    pub path: &'static str,
    /// Bytes of the largest body that it takes.
    pub body_bytes: usize,
    /// The answer.
    pub answer: for<'a> fn(&'a App, PageRequest<'a>) -> Answering<'a>,
    /// Makes the page that people see of an error.
    pub refusal: fn(&Error) -> Option<Document>,
}

impl PageEntry {
    /// The row of a page.
    pub const fn of<P: Page>() -> Self {
        Self {
            name: P::NAME,
            method: P::METHOD,
            path: P::PATH,
            body_bytes: P::BODY_BYTES,
            answer: |app, asked| Box::pin(P::answer(app, asked)),
            refusal: P::refusal,
        }
    }
}

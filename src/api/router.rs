//! From a request to a reply: find the entry, run it, answer in one shape, and log it once.
//!
//! Hosts differ in how requests reach them; from here on they are the same.

use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::{Buf, Bytes};
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER};
use http::request::Parts;
use http::{HeaderName, HeaderValue, Request, Response, StatusCode};
use http_body_util::Full;
use tracing::Instrument;

use crate::api::action::{self, ActionEntry, Call, Form, Notes, Verb};
use crate::api::body::{Body, MAX_BODY_BYTES, MAX_SERVER_BODY_BYTES, collect, late};
use crate::api::cors;
use crate::api::head::{Broken, Invocation, REQUEST_ID, client_ip, drop_platform_headers, request_id};
use crate::api::page::{PageBody, PageEntry};
use crate::api::path;
use crate::api::refused::Refused;
use crate::api::routes::{Methods, Pages, Routes};
use crate::app::App;
use crate::base::error::{Error, Result};
use crate::base::panic::caught;
use crate::base::random;
use crate::base::seat;
use crate::base::trace;
use crate::chat::identity::Scope;
use crate::config::Origins;

const MAX_QUERY_BYTES: usize = 8 * 1024;

static VERSION: HeaderName = HeaderName::from_static("x-guildhall-version");

/// Result of a request, for a host that keeps metrics: it is among the extensions of the answer to an [`Invocation`].
#[derive(Clone, Copy, Debug)]
pub struct Summary {
    /// `message` of `/message/send`; `none` for unknown paths.
    pub controller: &'static str,
    /// `send` of `/message/send`.
    pub action: &'static str,
    /// The error's code, or `ok`.
    pub code: &'static str,
    /// Was it the first request of this process?
    pub cold_start: bool,
}

/// Everything between a host and the actions.
pub struct Router {
    routes: Routes,
    pub(super) pages: Pages,
    pub(super) app: Arc<App>,
    version: HeaderValue,
    pub(super) cold: AtomicBool,
    /// Requests that only read, so far.
    pub(super) reads: AtomicU64,
    /// Requests refused as too many, for the log.
    pub(super) refused: Mutex<Refused>,
}

/// One request while it is answered.
pub(super) struct Exchange<'a> {
    pub(super) parts: &'a Parts,
    pub(super) request_id: &'a str,
    /// Data from a function's host; none on a server.
    pub(super) invocation: Option<&'a Invocation>,
    pub(super) notes: Notes,
}

/// The answer to a request.
pub type Answer = Response<Bytes>;

/// A request that is there whole: its head, and its body or why there is none.
pub struct Whole {
    parts: Parts,
    body: Body,
    request_id: Arc<str>,
    started: Instant,
    /// May a page answer it? Where answers are read as JSON, as on a socket, none does.
    pages: bool,
}

impl Whole {
    /// One for an action alone.
    pub(super) fn of(parts: Parts, body: Result<Bytes>, request_id: Arc<str>, started: Instant) -> Self {
        Self { parts, body: Body::Whole(body), request_id, started, pages: false }
    }

    /// Joins reply and log.
    pub fn request_id(&self) -> Arc<str> {
        Arc::clone(&self.request_id)
    }

    /// The path as it came.
    pub fn path(&self) -> &str {
        self.parts.uri.path()
    }
}

impl Router {
    /// A router over a registry; its preview actions are reached in the newest code only.
    ///
    /// # Panics
    /// Two entries have one path and one method: a test over the registry finds that.
    pub fn new(entries: &'static [ActionEntry], app: Arc<App>) -> Self {
        let routes = Routes::of(entries.iter().filter(|entry| !entry.preview || app.config.is_latest()));
        let version =
            HeaderValue::from_str(&app.config.version).unwrap_or(HeaderValue::from_static("unknown"));
        Self {
            routes,
            pages: Pages::default(),
            app,
            version,
            cold: AtomicBool::new(true),
            reads: AtomicU64::new(0),
            refused: Mutex::default(),
        }
    }

    /// The same with pages, where no action has their path.
    ///
    /// # Panics
    /// Two paths contradict each other: a test over the registry finds that.
    #[must_use]
    pub fn with(self, pages: &'static [PageEntry]) -> Self {
        Self { pages: Pages::of(pages), ..self }
    }

    /// Returns the app that the router's actions work with.
    pub fn app(&self) -> &Arc<App> {
        &self.app
    }

    /// Answers one request. Never fails: every fault is an answer.
    pub async fn handle<B>(&self, request: Request<B>) -> Response<Full<Bytes>>
    where
        B: http_body::Body<Data: Buf> + Send + 'static,
    {
        let whole = self.read(request).await;
        self.answer(whole).await.map(Full::new)
    }

    /// Takes a request in, up to the end of its body, within bounds of size and time; but for a page that takes its body
    /// piece by piece.
    pub async fn read<B>(&self, request: Request<B>) -> Whole
    where
        B: http_body::Body<Data: Buf> + Send + 'static,
    {
        let started = Instant::now();
        let (mut parts, body) = request.into_parts();
        let request_id = request_id(&parts).into();
        drop_platform_headers(&mut parts.headers);
        if let Some(most) = self.page_body_limit(&parts) {
            let body = Body::Pieces(PageBody::of(body, most));
            return Whole { parts, body, request_id, started, pages: true };
        }
        let reading = collect(body, || self.body_limit(&parts));
        let body = tokio::time::timeout(self.limit(&parts, Duration::ZERO), reading)
            .await
            .unwrap_or_else(|_| Err(late()));
        Whole { parts, body: Body::Whole(body), request_id, started, pages: true }
    }

    /// Answers a request that is there. Never fails.
    pub async fn answer(&self, whole: Whole) -> Answer {
        let origins = &self.app.config.cors_origins;
        if *origins == Origins::None {
            return self.answer_whole(whole).await;
        }
        let request = whole.parts.headers.clone();
        let preflight = cors::is_preflight(&whole.parts.method, &request);
        let mut answer = if preflight { self.permission(&whole) } else { self.answer_whole(whole).await };
        cors::allow(origins, &request, answer.headers_mut(), preflight);
        answer
    }

    /// The answer to a browser that asks whether a page may call: what it may is in the headers.
    fn permission(&self, whole: &Whole) -> Answer {
        // Browsers ask without a token, so it is counted for the address.
        let address = client_ip(&whole.parts, &self.app.config.trusted_proxies);
        if let Err(error) = action::count(&self.app, address, None) {
            return self.write(Err(error), &whole.request_id);
        }
        let mut answer = self.write(Ok(Bytes::new()), &whole.request_id);
        *answer.status_mut() = StatusCode::NO_CONTENT;
        answer.headers_mut().remove(CONTENT_TYPE);
        answer
    }

    async fn answer_whole(&self, whole: Whole) -> Answer {
        let Whole { parts, body, request_id, started, pages } = whole;
        let span = tracing::info_span!("request", request_id = &*request_id);
        let invocation = parts.extensions.get::<Invocation>();
        let exchange =
            Exchange { parts: &parts, request_id: &request_id, invocation, notes: Notes::default() };
        let answering = async {
            let found = self.find(&exchange);
            // What is no action's may be a page's.
            if let Err(Error::NotFound(_)) = found
                && pages
                && let Some(pages) = self.pages_of(&parts)
            {
                return self.answer_page(pages, &exchange, body, started).await;
            }
            let entry = found.as_ref().ok().copied();
            let result = match found {
                Ok(entry) => self.run(entry, &exchange, body.whole()).await,
                Err(error) => self.count(&exchange).and(Err(error)),
            };
            // What it waited for others to say is not what it took.
            let took = started.elapsed().saturating_sub(seat::waited());
            let outcome = result.as_ref().map(|_| StatusCode::OK);
            let summary = self.log(entry.map(Into::into), &exchange, outcome, took);
            let mut answer = match entry.and_then(|entry| entry.callback) {
                None => self.write(result, &request_id),
                Some(form) => self.write_as(form, result, &exchange),
            };
            if invocation.is_some() {
                answer.extensions_mut().insert(summary);
            }
            answer
        };
        // Whatever happens on the way: the caller gets an answer.
        match caught(answering.instrument(span)).await {
            Ok(answer) => answer,
            Err(panic) => {
                tracing::error!(error = panic, request_id = &*request_id, "a request failed");
                self.write(Err(Error::internal("panic")), &request_id)
            }
        }
    }

    /// Returns the timeout of a request: the configured time and the time it may wait, or less if a function's platform
    /// leaves less.
    pub(super) fn limit(&self, parts: &Parts, waiting: Duration) -> Duration {
        let time_left = parts.extensions.get().and_then(|invocation: &Invocation| invocation.time_left);
        (self.app.config.request_timeout + waiting).min(time_left.unwrap_or(Duration::MAX))
    }

    /// The game's server sends long lists of members; what calls back sends what it likes.
    fn body_limit(&self, parts: &Parts) -> usize {
        if self.methods(parts).is_some_and(|methods| methods.first().callback.is_some()) {
            return MAX_SERVER_BODY_BYTES;
        }
        match self.app.tokens.identify(&parts.headers, self.app.clock.now()) {
            Ok(identity) if identity.scope == Scope::Server => MAX_SERVER_BODY_BYTES,
            _ => MAX_BODY_BYTES,
        }
    }

    /// The answer of a host that has no room for the request.
    pub fn shed(&self, request_id: &str) -> Answer {
        metrics::counter!("guildhall_requests_shed_total").increment(1);
        self.write(Err(Error::Unavailable("too many requests at once")), request_id)
    }

    /// Returns the HTTP answer to a client whose address has as many connections as it may have.
    pub fn refusal(&self) -> String {
        let id = random::id();
        let error = Error::Unavailable("this address has too many connections");
        let body = self.write(Err(error), &id).into_body();
        let body = String::from_utf8_lossy(&body);
        format!(
            "HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\
             x-request-id: {id}\r\nretry-after: 1\r\nconnection: close\r\n\r\n{body}",
            body.len()
        )
    }

    /// Is this a path that must be answered even when there is no room?
    pub fn is_health(&self, path: &str) -> bool {
        matches!(path::normalize(path, None, &self.app.config.base_path), "/health/live" | "/health/ready")
    }

    /// The method of a path's action, writing where it has both; reading, where there is none.
    pub(super) fn verb(&self, path: &str) -> Verb {
        let path = path::normalize(path, None, &self.app.config.base_path);
        self.routes.at(path).map_or(Verb::Get, |methods| methods.first().route.method)
    }

    /// Is this where sockets are opened?
    pub fn is_at(&self, path: &str, place: &str) -> bool {
        path::normalize(path, None, &self.app.config.base_path) == place
    }

    /// The path, without what gateways put in front.
    pub(super) fn path_of<'p>(&self, parts: &'p Parts) -> &'p str {
        let stage = parts.extensions.get().and_then(|invocation: &Invocation| invocation.stage.as_deref());
        path::normalize(parts.uri.path(), stage, &self.app.config.base_path)
    }

    pub(super) fn methods(&self, parts: &Parts) -> Option<&Methods> {
        self.routes.at(self.path_of(parts))
    }

    /// Returns the query string without the `?`; an error if it is too long.
    pub(super) fn query_of<'p>(&self, parts: &'p Parts) -> Result<&'p str> {
        match parts.uri.query().unwrap_or_default() {
            query if query.len() > MAX_QUERY_BYTES => {
                Err(Error::InvalidInput(format!("the query is longer than {MAX_QUERY_BYTES} bytes")))
            }
            query => Ok(query),
        }
    }

    /// Does an action have this path?
    pub fn has(&self, path: &str) -> bool {
        self.routes.at(path::normalize(path, None, &self.app.config.base_path)).is_some()
    }

    /// Counts a request that no action gets to see, for whoever makes it: also one that asks `/health` for what it is not.
    pub(super) fn count(&self, exchange: &Exchange<'_>) -> Result<()> {
        let (app, parts) = (&*self.app, exchange.parts);
        let identity = app.tokens.identify(&parts.headers, app.clock.now()).ok();
        action::count(app, client_ip(parts, &app.config.trusted_proxies), identity.as_ref())
    }

    fn find(&self, exchange: &Exchange<'_>) -> Result<&'static ActionEntry> {
        if let Some(Broken(why)) = exchange.parts.extensions.get() {
            return Err(Error::InvalidInput((*why).to_owned()));
        }
        let methods = self.methods(exchange.parts).ok_or(Error::NotFound("action"))?;
        methods.of(&exchange.parts.method).ok_or(Error::MethodNotAllowed { allow: methods.allowed() })
    }

    async fn run(&self, entry: &ActionEntry, exchange: &Exchange<'_>, body: Result<Bytes>) -> Result<Bytes> {
        let (query, body) = match self.query_of(exchange.parts).and_then(|query| Ok((query, body?))) {
            Ok(both) => both,
            Err(error) => return self.count(exchange).and(Err(error)),
        };
        let Exchange { parts, request_id, notes, .. } = exchange;
        let call = Call {
            headers: &parts.headers,
            address: client_ip(parts, &self.app.config.trusted_proxies),
            query,
            body: &body,
            request_id,
            notes,
        };
        let action = caught(trace::with(request_id, (entry.call)(&self.app, call)));
        let waiting = if entry.waits { self.app.config.live_wait } else { Duration::ZERO };
        match tokio::time::timeout(self.limit(parts, waiting), action).await {
            Ok(Ok(result)) => result,
            Ok(Err(panic)) => Err(Error::internal(panic)),
            Err(_) => Err(Error::Unavailable("this took too long")),
        }
    }

    pub(super) fn write(&self, result: Result<Bytes>, request_id: &str) -> Answer {
        let (status, json, error) = match result {
            Ok(json) => (StatusCode::OK, json, None),
            Err(error) => {
                let json = serde_json::json!({
                    "error": { "code": error.code(), "message": error.to_string(), "details": error.details() },
                    "request_id": request_id,
                });
                (error.status(), json.to_string().into(), Some(error))
            }
        };
        let mut answer = Response::new(json);
        *answer.status_mut() = status;
        let headers = answer.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(&VERSION, self.version.clone());
        if let Ok(id) = HeaderValue::from_str(request_id) {
            headers.insert(&REQUEST_ID, id);
        }
        if let Some(seconds) = error.as_ref().and_then(Error::retry_after_s) {
            headers.insert(RETRY_AFTER, seconds.into());
        }
        if let Some(Error::MethodNotAllowed { allow }) = error {
            headers.insert(ALLOW, HeaderValue::from_static(allow));
        }
        answer
    }

    /// The answer to somebody else's program, as that reads it.
    fn write_as(&self, form: Form, result: Result<Bytes>, exchange: &Exchange<'_>) -> Answer {
        let query = exchange.parts.uri.query().unwrap_or_default();
        let refusal = result.as_ref().err().and_then(|error| (form.refusal)(query, error));
        let is_taken = result.is_ok();
        let mut answer = self.write(result, exchange.request_id);
        if is_taken {
            answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(form.content_type));
        }
        if let Some(refusal) = refusal {
            *answer.body_mut() = refusal;
        }
        answer
    }
}

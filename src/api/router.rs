//! From a request to a reply: find the entry, run it, answer in one shape, and log it once.
//!
//! Hosts differ in how requests reach them; from here on they are the same.

use std::borrow::Cow;
use std::net::IpAddr;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bytes::{Buf, Bytes};
use futures_util::FutureExt;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use tracing::Instrument;

use crate::api::action::{Call, Entry, Notes};
use crate::api::path;
use crate::app::App;
use crate::base::error::{Error, Result};
use crate::base::random;
use crate::base::trace;

/// The most that is read of a body.
pub const MAX_BODY_BYTES: usize = 16 * 1024;
/// What of a larger body is thrown away before the answer, so that clients get to read it.
const DISCARDED_BYTES: usize = 1024 * 1024;
const MAX_QUERY_BYTES: usize = 8 * 1024;
const MAX_REQUEST_ID_BYTES: usize = 128;

static REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
static SCF_REQUEST_ID: HeaderName = HeaderName::from_static("x-scf-request-id");
static VERSION: HeaderName = HeaderName::from_static("x-guildhall-version");

/// What a function's host knows of a request beside its head and body.
#[derive(Clone, Debug, Default)]
pub struct Invocation {
    /// The gateway's own id for the request.
    pub gateway_request_id: Option<String>,
    /// The platform's id for the invocation, which its own log lines carry.
    pub id: String,
    /// The gateway's stage, where that is part of the path.
    pub stage: Option<String>,
    /// By which alias the function was called, if by one.
    pub alias: Option<String>,
    /// How long it may take before the platform ends it.
    pub time_left: Option<Duration>,
}

/// How a request ended, for a host that counts: it is among the extensions of the answer to an [`Invocation`].
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

/// Who connected to us: a client, or the gateway in front.
#[derive(Clone, Copy, Debug)]
pub struct Peer(pub IpAddr);

/// Everything between a host and the actions.
pub struct Router {
    routes: matchit::Router<&'static Entry>,
    app: Arc<App>,
    version: HeaderValue,
    cold: AtomicBool,
}

/// One request while it is answered.
struct Exchange<'a> {
    parts: &'a Parts,
    request_id: &'a str,
    /// What a function's host knows; a server knows none of it.
    invocation: Option<&'a Invocation>,
    notes: Notes,
}

type Answer = Response<Full<Bytes>>;

impl Router {
    /// A router over a registry; its preview actions are reached in the newest code only.
    ///
    /// # Panics
    /// Two entries have one path: a test over the registry finds that.
    pub fn new(entries: &'static [Entry], app: Arc<App>) -> Self {
        let mut routes = matchit::Router::new();
        for entry in entries.iter().filter(|entry| !entry.preview || app.config.is_latest()) {
            routes.insert(entry.route.path, entry).expect("paths in the registry are unique");
        }
        let version =
            HeaderValue::from_str(&app.config.version).unwrap_or(HeaderValue::from_static("unknown"));
        Self { routes, app, version, cold: AtomicBool::new(true) }
    }

    /// What the router's actions work with.
    pub fn app(&self) -> &Arc<App> {
        &self.app
    }

    /// Answers one request. Never fails: every fault is an answer.
    pub async fn handle<B>(&self, request: Request<B>) -> Answer
    where
        B: http_body::Body<Data: Buf> + Send,
    {
        let started = Instant::now();
        let (mut parts, body) = request.into_parts();
        let request_id = request_id(&parts).into_owned();
        drop_platform_headers(&mut parts.headers);
        let span = tracing::info_span!("request", request_id = &*request_id);
        let invocation = parts.extensions.get::<Invocation>();
        let exchange =
            Exchange { parts: &parts, request_id: &request_id, invocation, notes: Notes::default() };
        async {
            let found = self.find(&exchange);
            let entry = found.as_ref().ok().copied();
            let result = match found {
                Ok(entry) => self.run(entry, &exchange, body).await,
                Err(error) => Err(error),
            };
            let summary = self.log(entry, &exchange, &result, started.elapsed());
            let mut answer = self.answer(result, &request_id);
            if invocation.is_some() {
                answer.extensions_mut().insert(summary);
            }
            answer
        }
        .instrument(span)
        .await
    }

    /// The answer of a host that has no room for the request.
    pub fn shed(&self, request: &Request<impl Sized>) -> Answer {
        let id =
            request.headers().get(&REQUEST_ID).and_then(acceptable_id).map_or_else(random::id, str::to_owned);
        metrics::counter!("guildhall_requests_shed_total").increment(1);
        self.answer(Err(Error::Unavailable("too many requests at once")), &id)
    }

    /// Is this a path that must be answered even when there is no room?
    pub fn is_health(&self, path: &str) -> bool {
        path::normalize(path, None, &self.app.config.base_path).starts_with("/health/")
    }

    fn find(&self, exchange: &Exchange<'_>) -> Result<&'static Entry> {
        let Exchange { parts, invocation, .. } = exchange;
        let stage = invocation.and_then(|invocation| invocation.stage.as_deref());
        let path = path::normalize(parts.uri.path(), stage, &self.app.config.base_path);
        let entry = *self.routes.at(path).map_err(|_| Error::NotFound("action"))?.value;
        if !entry.route.method.matches(&parts.method) {
            return Err(Error::MethodNotAllowed { allow: entry.route.method.as_str() });
        }
        Ok(entry)
    }

    async fn run<B>(&self, entry: &Entry, exchange: &Exchange<'_>, body: B) -> Result<Bytes>
    where
        B: http_body::Body<Data: Buf> + Send,
    {
        let query = exchange.parts.uri.query().unwrap_or_default();
        if query.len() > MAX_QUERY_BYTES {
            return Err(Error::InvalidInput(format!("the query is longer than {MAX_QUERY_BYTES} bytes")));
        }
        let time_left = exchange.invocation.and_then(|invocation| invocation.time_left);
        let limit = self.app.config.request_timeout.min(time_left.unwrap_or(Duration::MAX));
        let body = tokio::time::timeout(limit, collect(body))
            .await
            .map_err(|_| Error::InvalidInput("the body did not arrive in time".to_owned()))??;
        let Exchange { parts, request_id, notes, .. } = exchange;
        let call = Call { headers: &parts.headers, query, body: &body, request_id, notes };
        let action = trace::with(request_id, (entry.call)(&self.app, call));
        let action = AssertUnwindSafe(action).catch_unwind();
        match tokio::time::timeout(limit, action).await {
            Ok(Ok(result)) => result,
            Ok(Err(panic)) => Err(Error::internal(format!("panic: {}", panic_text(&*panic)))),
            Err(_) => Err(Error::Unavailable("this took too long")),
        }
    }

    fn answer(&self, result: Result<Bytes>, request_id: &str) -> Answer {
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
        let mut answer = Response::new(Full::new(json));
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

    /// The one line that a request leaves, and its figures.
    fn log(
        &self,
        entry: Option<&Entry>,
        exchange: &Exchange<'_>,
        result: &Result<Bytes>,
        took: Duration,
    ) -> Summary {
        let Exchange { parts, notes, request_id, invocation } = exchange;
        let (status, code) = match result {
            Ok(_) => (200, "ok"),
            Err(error) => (error.status().as_u16(), error.code()),
        };
        // Unknown paths share one label: a scanner shall not fill the figures.
        let (controller, action) =
            entry.map_or(("none", "none"), |entry| (entry.route.controller(), entry.route.action()));
        metrics::counter!("guildhall_requests_total", "controller" => controller, "action" => action, "code" => code)
            .increment(1);
        metrics::histogram!("guildhall_request_duration_seconds", "controller" => controller, "action" => action)
            .record(took);
        if let Err(Error::Internal(source)) = result {
            tracing::error!(error = %source, controller, action, "an action failed");
        }
        let caller = notes.caller.get();
        let cold_start = self.cold.swap(false, Ordering::Relaxed);
        tracing::info!(
            request_id,
            controller,
            action,
            method = %parts.method,
            path = entry.is_none().then(|| parts.uri.path()),
            caller = caller.map(|caller| caller.id.as_str()),
            scope = caller.map(|caller| caller.scope.as_str()),
            client_ip = client_ip(parts).as_deref(),
            input = notes.input.get(),
            status,
            code,
            duration_ms = took.as_micros() as f64 / 1_000.0,
            version = self.app.config.version,
            alias = invocation.and_then(|invocation| invocation.alias.as_deref()),
            invocation = invocation.map(|invocation| invocation.id.as_str()),
            wordlist = &*self.app.blocklist.version(),
            cold_start,
            "request"
        );
        Summary { controller, action, code, cold_start }
    }
}

/// Tencent's platform sends its own matters along, credentials among them: none of it is for actions or logs.
fn drop_platform_headers(headers: &mut HeaderMap) {
    if headers.contains_key(&SCF_REQUEST_ID) {
        let theirs = |name: &HeaderName| name.as_str().starts_with("x-scf-");
        let names: Vec<HeaderName> = headers.keys().filter(|name| theirs(name)).cloned().collect();
        for name in names {
            headers.remove(name);
        }
    }
}

/// Reads a body that is not too large. Of a larger one some is thrown away first, or the client would meet a
/// closed connection instead of the answer.
async fn collect<B>(body: B) -> Result<Bytes>
where
    B: http_body::Body<Data: Buf> + Send,
{
    let mut body = std::pin::pin!(body);
    let mut read = Vec::new();
    let mut size = 0;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| Error::InvalidInput("the body ended early".to_owned()))?;
        let Ok(mut data) = frame.into_data() else { continue };
        size += data.remaining();
        if size > DISCARDED_BYTES {
            break;
        }
        if size <= MAX_BODY_BYTES {
            while data.has_remaining() {
                let chunk = data.chunk();
                read.extend_from_slice(chunk);
                let length = chunk.len();
                data.advance(length);
            }
        }
    }
    if size > MAX_BODY_BYTES { Err(Error::TooLarge { limit: MAX_BODY_BYTES }) } else { Ok(read.into()) }
}

/// The gateway's id where there is one, else the caller's, else a new one.
fn request_id(parts: &Parts) -> Cow<'_, str> {
    let invocation = parts.extensions.get::<Invocation>();
    let from_host = invocation.and_then(|invocation| invocation.gateway_request_id.as_deref());
    let from_header = |name: &HeaderName| parts.headers.get(name).and_then(acceptable_id);
    from_host
        .or_else(|| from_header(&SCF_REQUEST_ID))
        .or_else(|| from_header(&REQUEST_ID))
        .map_or_else(|| random::id().into(), Into::into)
}

/// An id goes into logs and headers, so not everything is one.
fn acceptable_id(value: &HeaderValue) -> Option<&str> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:=+/".contains(&byte);
    value.to_str().ok().filter(|id| (1..=MAX_REQUEST_ID_BYTES).contains(&id.len()) && id.bytes().all(fits))
}

/// The client's address for the log: what the nearest proxy saw, where the peer is one on a private network.
fn client_ip(parts: &Parts) -> Option<Cow<'_, str>> {
    let peer = parts.extensions.get::<Peer>().map(|peer| peer.0);
    let is_proxy = peer.is_none_or(|peer| match peer {
        IpAddr::V4(v4) => v4.is_private() || v4.is_loopback() || v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_loopback() || v6.is_unique_local(),
    });
    if is_proxy && let Some(ip) = last_forwarded(&parts.headers) {
        return Some(ip.to_string().into());
    }
    peer.map(|peer| peer.to_string().into())
}

fn last_forwarded(headers: &HeaderMap) -> Option<IpAddr> {
    let last = headers.get_all("x-forwarded-for").iter().next_back()?;
    last.to_str().ok()?.rsplit(',').next()?.trim().parse().ok()
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("of another type")
}

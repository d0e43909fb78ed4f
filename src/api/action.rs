//! One thing a caller can ask for: its request type is the action.
//!
//! [`ActionEntry::of`] turns a type into a row of the registry, with the type erased, so that the API's table of
//! contents is data which router, documentation and tests loop over.

use std::net::IpAddr;
use std::pin::Pin;
use std::sync::OnceLock;

use bytes::Bytes;
use http::{HeaderMap, Method};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Serialize;
use serde::de::{DeserializeOwned, IgnoredAny};

use crate::api::caller::Caller;
use crate::app::App;
use crate::base::error::{Error, Result};
use crate::chat::identity::{Identity, Scope};

/// Most bytes of an input in a log line.
const LOGGED_INPUT_BYTES: usize = 1_024;

/// Method and path of an action.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route {
    /// GET reads, its input in the query; POST writes, its input in a JSON body.
    pub method: Verb,
    /// `/controller/action`.
    pub path: &'static str,
}

/// The two methods there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// Reads.
    Get,
    /// Writes.
    Post,
}

impl Verb {
    /// The word in a request line.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
        }
    }

    /// Is this the request's method?
    pub fn matches(self, method: &Method) -> bool {
        method.as_str() == self.as_str()
    }
}

impl Route {
    /// An action that reads.
    pub const fn get(path: &'static str) -> Self {
        Self { method: Verb::Get, path }
    }

    /// An action that writes.
    pub const fn post(path: &'static str) -> Self {
        Self { method: Verb::Post, path }
    }

    /// `channel` of `/channel/info`.
    pub fn controller(self) -> &'static str {
        self.path.split('/').nth(1).unwrap_or_default()
    }

    /// Load balancers ask these, as often as they like.
    pub fn is_health(self) -> bool {
        self.controller() == "health"
    }

    /// `info` of `/channel/info`.
    pub fn action(self) -> &'static str {
        self.path.split('/').nth(2).unwrap_or_default()
    }
}

/// A request that is an action: what is asked, by whom, and how it is answered.
pub trait Action: DeserializeOwned + JsonSchema + std::fmt::Debug + Send + 'static {
    /// Method and path.
    const ROUTE: Route;
    /// Callers that are allowed.
    type Caller: Caller;
    /// Reply to the caller.
    type Reply: Serialize + JsonSchema;
    /// May it wait for something to be said? Then that time is not the request's own.
    const WAITS: bool = false;

    /// Does it.
    fn run(self, app: &App, caller: Self::Caller) -> impl Future<Output = Result<Self::Reply>> + Send;
}

/// One request on its way to an action.
#[derive(Clone, Copy)]
pub struct Call<'a> {
    /// Request headers.
    pub headers: &'a HeaderMap,
    /// The client's address, where it is known.
    pub address: Option<IpAddr>,
    /// Query string, without the `?`.
    pub query: &'a str,
    /// Request body.
    pub body: &'a [u8],
    /// Joins replies and logs.
    pub request_id: &'a str,
    /// Notes for the log line.
    pub notes: &'a Notes,
}

/// Data of a call for its log line, kept even if the call never ends.
#[derive(Debug, Default)]
pub struct Notes {
    /// Identity of the caller.
    pub caller: OnceLock<Identity>,
    /// Parsed input, without secrets and message texts.
    pub input: OnceLock<String>,
}

/// A request that somebody else's program makes in its own form, and that reads the answer as it is, without our envelope: the type is
/// what stands in its query, where fields that nobody knows are left alone. It proves itself by a signature of its own.
pub trait Callback: DeserializeOwned + JsonSchema + std::fmt::Debug + Send + 'static {
    /// Method and path.
    const ROUTE: Route;
    /// Content type of the answer; refusals without a form of their own are JSON.
    const CONTENT_TYPE: &'static str = "application/json";

    /// Does it.
    fn run(self, app: &App, call: Call<'_>) -> impl Future<Output = Result<Bytes>> + Send;

    /// Returns the body of a refusal in the calling program's own form; none if that program has no such form.
    fn refusal(_query: &str, _error: &Error) -> Option<Bytes> {
        None
    }
}

/// The form of a callback's answer.
#[derive(Clone, Copy)]
pub struct Form {
    /// Content type of the answer to a callback that is accepted.
    pub content_type: &'static str,
    /// Makes the body of a refusal from the query and the error.
    pub refusal: fn(&str, &Error) -> Option<Bytes>,
}

type Calling<'a> = Pin<Box<dyn Future<Output = Result<Bytes>> + Send + 'a>>;

/// One row of the registry.
pub struct ActionEntry {
    /// Method and path.
    pub route: Route,
    /// The scopes that may ask; empty for everybody.
    pub scopes: &'static [Scope],
    /// The request type's name, such as `SendMessage`.
    pub name: fn() -> std::borrow::Cow<'static, str>,
    /// The request type's schema, with its documentation.
    pub input: fn(&mut SchemaGenerator) -> Schema,
    /// The reply type's schema.
    pub reply: fn(&mut SchemaGenerator) -> Schema,
    /// Only in the newest code, for testers: published versions answer as if it did not exist.
    pub preview: bool,
    /// May it wait for something to be said?
    pub waits: bool,
    /// Is it somebody else's program that calls, in its own form?
    pub callback: Option<Form>,
    /// Runs it and writes the reply.
    pub call: for<'a> fn(&'a App, Call<'a>) -> Calling<'a>,
}

impl ActionEntry {
    /// Does it change nothing? A poll asks by POST for what is new.
    pub fn only_reads(&self) -> bool {
        matches!(self.route.method, Verb::Get) || self.waits
    }

    /// The row of an action.
    pub const fn of<A: Action>() -> Self {
        Self {
            route: A::ROUTE,
            scopes: <A::Caller as Caller>::SCOPES,
            name: A::schema_name,
            input: A::json_schema,
            reply: |generator| generator.subschema_for::<A::Reply>(),
            preview: false,
            waits: A::WAITS,
            callback: None,
            call: |app, call| Box::pin(run::<A>(app, call, own_input)),
        }
    }

    /// The row of a callback.
    pub const fn callback<C: Callback>() -> Self {
        Self {
            route: C::ROUTE,
            scopes: &[],
            name: C::schema_name,
            input: C::json_schema,
            reply: |_| Schema::default(),
            preview: false,
            waits: false,
            callback: Some(Form { content_type: C::CONTENT_TYPE, refusal: C::refusal }),
            call: |app, call| Box::pin(call_back::<C>(app, call)),
        }
    }

    /// A second row of an action that writes, for tools that ask by GET, with its input in the query.
    pub const fn by_get_too<A: Action>() -> Self {
        Self {
            route: Route::get(A::ROUTE.path),
            name: || format!("Get{}", A::schema_name()).into(),
            call: |app, call| Box::pin(run::<A>(app, call, |call| parse_query(call.query))),
            ..Self::of::<A>()
        }
    }

    /// The same row, reachable only in the newest code: a new feature is tried there while nothing published changes.
    #[must_use]
    pub const fn preview(self) -> Self {
        Self { preview: true, ..self }
    }
}

/// Runs an action: recognises the caller, reads the input, does the work and writes the reply.
async fn run<A: Action>(app: &App, call: Call<'_>, input: fn(&Call<'_>) -> Result<A>) -> Result<Bytes> {
    let recognised = A::Caller::recognise(app, call.headers);
    if !A::ROUTE.is_health() {
        count(app, call.address, recognised.as_ref().ok().and_then(|(_, identity)| identity.as_ref()))?;
    } else if input(&call).is_err() {
        // Health is counted for nobody, unless it is asked for what it has not.
        let identity = app.tokens.identify(call.headers, app.clock.now()).ok();
        count(app, call.address, identity.as_ref())?;
    }
    let (caller, identity) = recognised?;
    if let Some(identity) = identity {
        let _ = call.notes.caller.set(identity);
    }
    let input = input(&call)?;
    if tracing::enabled!(tracing::Level::INFO) {
        let _ = call.notes.input.set(cut(format!("{input:?}")));
    }
    let data = input.run(app, caller).await?;
    say(&data, call.request_id)
}

/// As much of an input as a log line holds.
fn cut(mut input: String) -> String {
    input.truncate(input.floor_char_boundary(LOGGED_INPUT_BYTES));
    input
}

/// Only those that fail are counted: a provider has few addresses, and many players pay.
async fn call_back<C: Callback>(app: &App, call: Call<'_>) -> Result<Bytes> {
    let now = app.clock.now();
    if let Some(address) = call.address {
        app.callbacks.would_pass(address, now)?;
    }
    let answering = async {
        let callback: C = parse_query(call.query)?;
        let _ = call.notes.input.set(cut(format!("{callback:?}")));
        callback.run(app, call).await
    };
    let answered = answering.await;
    if answered.as_ref().is_err_and(|error| error.status().is_client_error()) {
        metrics::counter!("guildhall_callbacks_refused_total", "path" => C::ROUTE.path).increment(1);
        if let Some(address) = call.address {
            let _ = app.callbacks.count_address(address, now);
        }
    }
    answered
}

/// Reads the input from the query or the body, as the action's method has it. Known when it is compiled: no action
/// carries the code to read its input from both.
fn own_input<A: Action>(call: &Call<'_>) -> Result<A> {
    if const { matches!(A::ROUTE.method, Verb::Get) } {
        parse_query(call.query)
    } else {
        parse_body(call.headers, call.body)
    }
}

/// Counts the request for whoever makes it, whatever becomes of it.
pub(super) fn count(app: &App, address: Option<IpAddr>, identity: Option<&Identity>) -> Result<()> {
    let now = app.clock.now();
    match (identity, address) {
        (Some(identity), _) => app.rates.count_caller(identity, now),
        (None, Some(address)) => app.rates.count_address(address, now),
        (None, None) => Ok(()),
    }
}

#[derive(Serialize)]
struct Reply<'a, T> {
    data: &'a T,
    request_id: &'a str,
}

pub(super) fn say<T: Serialize>(data: &T, request_id: &str) -> Result<Bytes> {
    let mut json = Vec::with_capacity(512);
    serde_json::to_writer(&mut json, &Reply { data, request_id }).map_err(Error::internal)?;
    Ok(json.into())
}

fn parse_query<A: DeserializeOwned>(query: &str) -> Result<A> {
    serde_urlencoded::from_str(query).or_else(|_| {
        // Once more for a message that names the field: wrong input may be slow.
        let pairs = serde_urlencoded::Deserializer::new(form_urlencoded::parse(query.as_bytes()));
        serde_path_to_error::deserialize(pairs).map_err(|fault| not_read("query", Some(fault)))
    })
}

fn parse_body<A: Action>(headers: &HeaderMap, body: &[u8]) -> Result<A> {
    let body = object(headers, body)?;
    serde_json::from_slice(body).map_err(|_| {
        let parser = &mut serde_json::Deserializer::from_slice(body);
        not_read("body", serde_path_to_error::deserialize::<_, A>(parser).err())
    })
}

/// The object that a body holds, as far as that can be told before its fields are known.
fn object<'b>(headers: &HeaderMap, body: &'b [u8]) -> Result<&'b [u8]> {
    // No body at all is an empty object, so that actions without input need none.
    let body = if body.is_empty() { b"{}".as_slice() } else { body };
    if body != b"{}" && !is_json(headers) {
        return Err(Error::UnsupportedMediaType);
    }
    // A list would be taken for the fields in their order.
    if !body.trim_ascii_start().starts_with(b"{") && serde_json::from_slice::<IgnoredAny>(body).is_ok() {
        return Err(Error::InvalidInput("body: an object is expected".to_owned()));
    }
    Ok(body)
}

/// An input that can't be read, with the field where that is known. Apart from the readers, of which each action has its own.
fn not_read<E: std::fmt::Display>(part: &str, fault: Option<E>) -> Error {
    // What was wrong then stands behind the value.
    let fault =
        fault.map_or_else(|| "something follows the JSON value".to_owned(), |fault| fault.to_string());
    Error::InvalidInput(format!("{part}: {fault}"))
}

fn is_json(headers: &HeaderMap) -> bool {
    let content_type = headers.get(http::header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let media_type = content_type.and_then(|value| value.split(';').next()).unwrap_or_default();
    media_type.trim().eq_ignore_ascii_case("application/json")
}

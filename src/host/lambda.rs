//! As an AWS Lambda function: requests of API Gateway (v1 and v2), Function URLs and load balancers, or a worker's events.
//!
//! An instance is frozen between calls, so what a server does by timers happens here within requests.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::Method;
use http::header::HOST;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use lambda_http::lambda_runtime::{self, LambdaEvent};
use lambda_http::request::RequestContext;
use lambda_http::tower::Service;
use lambda_http::{Adapter, Body, Context, Error, Request, RequestExt, Response, service_fn};
use serde_json::Value;
use serde_json::value::RawValue;
use tokio::net::TcpStream;

use super::embedded;
use super::function::FunctionWorker;
use super::gateway::{self, Asked};
use crate::api::head::{Invocation, Peer};
use crate::api::router::{Router, Summary};
use crate::app::App;
use crate::base::clock::Millis;
use crate::config::{Config, Platform};
use crate::store::Db;
use crate::work::publisher;

/// Tasks that one request hands to the broker: its own, and a few that others left.
const HANDED_OVER: i64 = 50;
/// Longest time that a request waits for the broker, and the time for which none asks it after it did not answer.
const BROKER_TIME: Duration = Duration::from_millis(1_500);
const BROKER_PAUSE_MS: Millis = 10_000;
/// Longest time that a request waits for the bus.
const BUS_TIME: Duration = Duration::from_millis(20);
/// Kept of an invocation's time for the answer, so that our 503 comes before the platform's end.
const SPARE: Duration = Duration::from_millis(300);

/// The header of what the platform calls an extension.
const EXTENSION: &str = "lambda-extension-identifier";

/// Answers requests until the platform ends the process.
///
/// # Errors
/// The runtime API can't be reached.
pub async fn serve(router: Arc<Router>) -> Result<(), Error> {
    expect_sigterm(&router.app().config).await;
    let broker = Arc::new(Broker::default());
    lambda_runtime::run(service_fn(move |event: LambdaEvent<Box<RawValue>>| {
        let (router, broker) = (Arc::clone(&router), Arc::clone(&broker));
        async move {
            let LambdaEvent { payload, context } = event;
            let (payload, asked) = gateway::read(&payload).inspect_err(|fault| {
                tracing::error!(error = %fault, invocation = context.request_id, "an unknown event");
            })?;
            let mut asked = Some(asked);
            let answering = service_fn(|request: Request| answer(request, asked.take(), &router, &broker));
            Adapter::from(answering).call(LambdaEvent { payload, context }).await
        }
    }))
    .await
}

/// Answers one event, and does what a server does by timers.
async fn answer(
    event: Request,
    asked: Option<Asked>,
    router: &Router,
    broker: &Broker,
) -> Result<Response<Body>, Error> {
    let started = Instant::now();
    let app = router.app();
    app.blocklist.refresh_if_old().await;
    let request = into_request(event, asked.unwrap_or_default(), app);
    let time = request.extensions().get().and_then(|invocation: &Invocation| invocation.time_left);
    let answer = router.handle(request).await;
    // What was stored must be answered, whatever the broker does.
    if let Some(bus) = &app.bus {
        bus.flush(BUS_TIME).await;
    }
    broker.hand_over(app, time.map(|time| time.saturating_sub(started.elapsed()))).await;
    if let Some(summary) = answer.extensions().get::<Summary>() {
        let line = embedded::of_request(app, summary, answer.status().as_u16(), started.elapsed());
        embedded::print(app, &line);
    }
    respond(answer).await
}

/// Works on events until the platform ends the process.
///
/// # Errors
/// The runtime API can't be reached.
pub async fn work(app: Arc<App>) -> Result<(), Error> {
    expect_sigterm(&app.config).await;
    let worker = Arc::new(FunctionWorker::new(Arc::clone(&app)));
    lambda_runtime::run(service_fn(move |event: LambdaEvent<Value>| {
        let (worker, app) = (Arc::clone(&worker), Arc::clone(&app));
        async move { worker.handle(&event.payload, time_left(&event.context, &app)).await.map_err(Error::from) }
    }))
    .await
}

/// Migrates the database at every event, and says how many steps that took.
///
/// # Errors
/// The runtime API can't be reached.
pub async fn migrate(config: Config) -> Result<(), Error> {
    lambda_runtime::run(service_fn(move |_: LambdaEvent<Value>| {
        let config = config.clone();
        async move {
            let steps = Db::migrate(&config).await.inspect_err(|error| tracing::error!(error, "migrate"))?;
            tracing::info!(steps, "migrate");
            Ok::<_, Error>(serde_json::json!({ "migrations": steps }))
        }
    }))
    .await
}

/// Lambda tells a process that it will end only where an extension is registered; this one wants no events. Without the
/// word, the database would keep a connection of ours until it finds that nobody is there.
async fn expect_sigterm(config: &Config) {
    let Platform::Lambda { api, .. } = &config.platform else { return };
    if let Err(error) = register(api).await {
        tracing::debug!(error, "no extension: the process will end without a word");
    }
}

/// Registers an extension that wants no events, and waits for one from then on.
async fn register(api: &str) -> Result<(), Error> {
    const PATH: &str = "/2020-01-01/extension";
    let connection = TokioIo::new(TcpStream::connect(api).await?);
    let (mut sender, connection) = http1::handshake(connection).await?;
    tokio::spawn(connection);
    let ask = |method: Method, path: &str, name: &'static str, value: &str, body: &'static str| {
        http::Request::builder()
            .method(method)
            .uri(format!("{PATH}{path}"))
            .header(HOST, api)
            .header(name, value)
            .body(Full::new(Bytes::from_static(body.as_bytes())))
    };
    let answer = sender
        .send_request(ask(
            Method::POST,
            "/register",
            "lambda-extension-name",
            "guildhall-end",
            r#"{"events":[]}"#,
        )?)
        .await?;
    let id = answer.headers().get(EXTENSION).ok_or("the platform gave no identifier")?.to_str()?.to_owned();
    answer.into_body().collect().await?;
    sender.ready().await?;
    let next = ask(Method::GET, "/event/next", EXTENSION, &id, "")?;
    tokio::spawn(async move { sender.send_request(next).await });
    Ok(())
}

/// The broker as requests see it: asked within the request that has something for it, and left alone while it is away.
#[derive(Default)]
struct Broker {
    away_until: AtomicI64,
}

impl Broker {
    /// Hands over what the request enqueued. What the broker does not take, a worker's timer hands over later.
    async fn hand_over(&self, app: &App, time_left: Option<Duration>) {
        let Some(queue) = &app.queue else { return };
        if !app.db.has_enqueued() || app.clock.now() < self.away_until.load(Ordering::Relaxed) {
            return;
        }
        let time = time_left.unwrap_or(BROKER_TIME).min(BROKER_TIME);
        let fault = match publisher::publish_due(app, queue, HANDED_OVER, time).await {
            Ok(batch) if batch.failed == 0 => return,
            Ok(batch) => format!("{} tasks were not taken: {}", batch.failed, batch.why.unwrap_or_default()),
            Err(error) => error.to_string(),
        };
        tracing::warn!(fault, "the broker is away; tasks stay in the outbox");
        self.away_until.store(app.clock.now() + BROKER_PAUSE_MS, Ordering::Relaxed);
    }
}

fn time_left(context: &Context, app: &App) -> Duration {
    let now = app.clock.now().unsigned_abs();
    Duration::from_millis(context.deadline.saturating_sub(now))
}

/// `live` of `arn:aws:lambda:eu-west-1:1:function:guildhall:live`; a version's number is none.
fn alias(arn: &str) -> Option<String> {
    let qualifier = arn.split(':').nth(7)?;
    (qualifier.starts_with(|c: char| c.is_ascii_alphabetic())).then(|| qualifier.to_owned())
}

/// The event as a request: the gateway's path, its id and the client's address where headers can't be trusted.
fn into_request(event: Request, read: Asked, app: &App) -> http::Request<Full<Bytes>> {
    let context = event.lambda_context_ref();
    let mut invocation = Invocation {
        id: context.map(|context| context.request_id.clone()).unwrap_or_default(),
        alias: context.and_then(|context| alias(&context.invoked_function_arn)),
        time_left: context.map(|context| time_left(context, app).saturating_sub(SPARE)),
        ..Invocation::default()
    };
    let source_ip = match event.request_context_ref() {
        Some(RequestContext::ApiGatewayV1(context)) => {
            invocation.gateway_request_id.clone_from(&context.request_id);
            context.identity.source_ip.clone()
        }
        Some(RequestContext::ApiGatewayV2(context)) => {
            invocation.gateway_request_id.clone_from(&context.request_id);
            invocation.stage.clone_from(&context.stage);
            context.http.source_ip.clone()
        }
        _ => None,
    };
    let (mut parts, _) = event.into_parts();
    // The path as the gateway wrote it, without the stage that some put in front of it.
    parts.uri = read.uri;
    if let Some(broken) = read.broken {
        parts.extensions.insert(broken);
    }
    if let Some(ip) = source_ip.and_then(|ip| ip.parse().ok()) {
        // The gateway's word is better than a header that the client may have sent.
        parts.headers.remove("x-forwarded-for");
        parts.extensions.insert(Peer(ip));
    }
    parts.extensions.insert(invocation);
    http::Request::from_parts(parts, Full::new(read.body))
}

async fn respond(answer: Response<Full<Bytes>>) -> Result<Response<Body>, Error> {
    let (parts, body) = answer.into_parts();
    let bytes = body.collect().await?.to_bytes();
    // What is no text goes through the gateway as base64.
    let kind =
        parts.headers.get(http::header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let is_text = kind.is_empty() || kind.starts_with("text/") || kind.starts_with("application/json");
    let body = match String::from_utf8(bytes.into()) {
        Ok(text) if is_text => Body::Text(text),
        Ok(text) => Body::Binary(text.into_bytes()),
        Err(bytes) => Body::Binary(bytes.into_bytes()),
    };
    Ok(Response::from_parts(parts, body))
}

#[cfg(test)]
mod tests {
    use super::alias;

    #[test]
    fn an_alias_is_a_qualifier_that_is_no_version() {
        let function = "arn:aws:lambda:eu-west-1:123456789012:function:guildhall-api";
        for (qualifier, expected) in [
            ("", None),
            (":live", Some("live")),
            (":pre-2", Some("pre-2")),
            (":17", None),
            (":$LATEST", None),
        ] {
            assert_eq!(alias(&format!("{function}{qualifier}")).as_deref(), expected);
        }
        assert_eq!(alias("nonsense"), None);
    }
}

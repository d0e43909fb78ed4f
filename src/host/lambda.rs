//! As an AWS Lambda function: API Gateway (v1 and v2), Function URLs and load balancers.
//!
//! An instance is frozen between calls, so what a server does by timers happens here within requests.

use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use lambda_http::request::RequestContext;
use lambda_http::{Body, Error, Request, RequestExt, Response, service_fn};

use crate::http::{GatewayRequestId, Peer, Router};

/// Answers invocations until the platform ends the process.
///
/// # Errors
/// The runtime API can't be reached.
pub async fn run(router: Arc<Router>) -> Result<(), Error> {
    lambda_http::run(service_fn(|event: Request| {
        let router = Arc::clone(&router);
        async move {
            router.app().blocklist.refresh_if_old().await;
            respond(router.handle(into_request(event)).await).await
        }
    }))
    .await
}

/// The event as a request: the gateway's path, its id and the client's address where headers can't be trusted.
fn into_request(event: Request) -> http::Request<Full<Bytes>> {
    let (id, source_ip) = match event.request_context_ref() {
        Some(RequestContext::ApiGatewayV1(context)) => {
            (context.request_id.clone(), context.identity.source_ip.clone())
        }
        Some(RequestContext::ApiGatewayV2(context)) => {
            (context.request_id.clone(), context.http.source_ip.clone())
        }
        _ => (None, None),
    };
    let (mut parts, body) = event.into_parts();
    if let Some(id) = id {
        parts.extensions.insert(GatewayRequestId(id));
    }
    if let Some(ip) = source_ip.and_then(|ip| ip.parse().ok()) {
        // The gateway's word is better than a header that the client may have sent.
        parts.headers.remove("x-forwarded-for");
        parts.extensions.insert(Peer(ip));
    }
    let bytes = match body {
        Body::Text(text) => Bytes::from(text),
        Body::Binary(bytes) => Bytes::from(bytes),
        _ => Bytes::new(),
    };
    http::Request::from_parts(parts, Full::new(bytes))
}

async fn respond(answer: Response<Full<Bytes>>) -> Result<Response<Body>, Error> {
    let (parts, body) = answer.into_parts();
    let bytes = body.collect().await?.to_bytes();
    // Replies are always JSON, so always text.
    Ok(Response::from_parts(parts, Body::Text(String::from_utf8(bytes.to_vec())?)))
}

//! Browser games: whose pages may call, and what browsers are told.

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};

use crate::help::{Reply, TestApp};

const GAME: &str = "https://play.example.com";

fn request(method: &str, path: &str, headers: &[(&str, &str)]) -> Request<Full<Bytes>> {
    let request = Request::builder().method(method).uri(path);
    headers
        .iter()
        .fold(request, |request, (name, value)| request.header(*name, *value))
        .body(Full::default())
        .unwrap()
}

fn preflight(origin: &str) -> Request<Full<Bytes>> {
    let asked = ("access-control-request-headers", "authorization,content-type");
    request(
        "OPTIONS",
        "/message/send",
        &[("origin", origin), ("access-control-request-method", "POST"), asked],
    )
}

fn header(headers: &http::HeaderMap, name: &str) -> String {
    headers.get(name).map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default()
}

/// A preflight's answer has no body.
async fn ask(app: &TestApp, origin: &str) -> Response<Bytes> {
    let (parts, body) = app.router().handle(preflight(origin)).await.into_parts();
    Response::from_parts(parts, body.collect().await.unwrap().to_bytes())
}

async fn get(app: &TestApp, origin: &str) -> Reply {
    app.call(request("GET", "/meta/version", &[("origin", origin)])).await
}

#[tokio::test]
async fn pages_of_the_games_origins_may_call_and_read_what_they_need() {
    let app =
        TestApp::with(&[("GUILDHALL_CORS_ORIGINS", "https://play.example.com,http://localhost:8080")]).await;
    for origin in [GAME, "http://localhost:8080"] {
        let answer = ask(&app, origin).await;
        assert_eq!((answer.status().as_u16(), answer.body().len()), (204, 0));
        let told = |name| header(answer.headers(), name);
        assert_eq!(told("access-control-allow-origin"), origin);
        assert_eq!(told("access-control-allow-methods"), "GET, POST");
        assert!(told("access-control-allow-headers").contains("authorization"));
        assert!(answer.headers().contains_key("access-control-max-age"));
        let reply = get(&app, origin).await;
        assert_eq!(
            (reply.status.as_u16(), header(&reply.headers, "access-control-allow-origin")),
            (200, origin.to_owned())
        );
        let exposed = header(&reply.headers, "access-control-expose-headers");
        assert!(exposed.contains("x-request-id") && exposed.contains("retry-after"), "{exposed}");
        assert_eq!(header(&reply.headers, "vary"), "origin", "a cache must not give it to another page");
    }
    // Refusals can be read, too.
    let reply = app.call(request("GET", "/channel/inbox", &[("origin", GAME)])).await;
    assert_eq!(
        (reply.code().as_str(), header(&reply.headers, "access-control-allow-origin").as_str()),
        ("unauthenticated", GAME)
    );
}

#[tokio::test]
async fn other_pages_are_told_nothing() {
    let app = TestApp::with(&[("GUILDHALL_CORS_ORIGINS", GAME)]).await;
    for origin in [
        "https://evil.example",
        "http://play.example.com",
        "https://play.example.com.evil.example",
        "null",
        "",
    ] {
        assert_eq!(header(ask(&app, origin).await.headers(), "access-control-allow-origin"), "", "{origin}");
        assert_eq!(header(&get(&app, origin).await.headers, "access-control-allow-origin"), "", "{origin}");
    }
}

#[tokio::test]
async fn all_pages_or_none() {
    let all = TestApp::with(&[("GUILDHALL_CORS_ORIGINS", "*")]).await;
    assert_eq!(header(ask(&all, "https://any.example").await.headers(), "access-control-allow-origin"), "*");
    assert_eq!(header(&get(&all, GAME).await.headers, "access-control-allow-credentials"), "");
    let none = TestApp::new().await;
    let refused = ask(&none, GAME).await;
    assert_eq!(
        (refused.status().as_u16(), header(refused.headers(), "access-control-allow-origin")),
        (405, String::new())
    );
}

//! What is answered otherwise than in JSON: the same limits, log and figures, content and headers of its own, bodies that are
//! taken piece by piece.

use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream;
use guildhall::api::action::Verb;
use guildhall::api::page::{Document, Page, PageEntry, PageRequest};
use guildhall::api::router::Router;
use guildhall::app::App;
use guildhall::base::error::{Error, Result};
use guildhall::controllers::{ACTIONS, PAGES};
use http::header::{ETAG, SET_COOKIE};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::Frame;

use crate::help::TestApp;

/// Files below a path, with two cookies.
struct Files;

impl Page for Files {
    const NAME: &'static str = "files";
    const METHOD: Verb = Verb::Get;
    const PATH: &'static str = "/files/{*rest}";

    async fn answer(_: &App, asked: PageRequest<'_>) -> Result<Document> {
        match asked.rest {
            "panics" => panic!("a secret detail"),
            "nowhere" => Err(Error::NotFound("file")),
            rest => {
                let mut file = Document::new("text/plain; charset=utf-8", format!("{rest} {}", asked.query));
                for cookie in ["a=1; HttpOnly; Secure; SameSite=Strict", "b=2"] {
                    file.headers.append(SET_COOKIE, HeaderValue::from_static(cookie));
                }
                Ok(file)
            }
        }
    }

    fn refusal(error: &Error) -> Option<Document> {
        Some(Document::html(format!("<h1>{error}</h1>")))
    }
}

/// Counts what it is given.
struct Upload;

impl Page for Upload {
    const NAME: &'static str = "upload";
    const METHOD: Verb = Verb::Post;
    const PATH: &'static str = "/files/{*rest}";
    const BODY_BYTES: usize = 1_000_000;

    async fn answer(_: &App, mut asked: PageRequest<'_>) -> Result<Document> {
        let (mut bytes, mut pieces) = (0, 0);
        while let Some(piece) = asked.body.next().await? {
            (bytes, pieces) = (bytes + piece.len(), pieces + 1);
        }
        let said = Document::new("text/plain", format!("{bytes} bytes in {pieces} pieces"));
        Ok(Document { status: StatusCode::CREATED, ..said })
    }
}

const FILES: &[PageEntry] = &[PageEntry::of::<Files>(), PageEntry::of::<Upload>()];

async fn ask(
    router: &Router,
    request: http::request::Builder,
    body: impl Into<Bytes>,
) -> (http::response::Parts, String) {
    read(router.handle(request.body(Full::new(body.into())).unwrap()).await).await
}

fn header<'a>(parts: &'a http::response::Parts, name: &str) -> &'a str {
    parts.headers[name].to_str().unwrap()
}

async fn read(answer: Response<Full<Bytes>>) -> (http::response::Parts, String) {
    let (parts, body) = answer.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    (parts, String::from_utf8(body.to_vec()).unwrap())
}

#[test]
fn no_page_takes_an_actions_path_and_names_are_apart() {
    let mut seen: Vec<(&str, &str)> = PAGES.iter().map(|page| (page.path, page.method.as_str())).collect();
    seen.extend(ACTIONS.iter().map(|entry| (entry.route.path, entry.route.method.as_str())));
    let count = seen.len();
    seen.sort_unstable();
    seen.dedup();
    assert_eq!(seen.len(), count);
    let mut names: Vec<&str> = PAGES.iter().map(|page| page.name).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), PAGES.len());
}

#[tokio::test]
async fn the_address_itself_is_a_page_that_browsers_ask_for_again_only_where_it_changed() {
    let app = TestApp::new().await;
    let (parts, page) = ask(app.router(), Request::get("/"), "").await;
    assert_eq!((parts.status, header(&parts, "content-type")), (StatusCode::OK, "text/html; charset=utf-8"));
    assert!(page.contains("Guildhall runs here") && !page.contains("{build}"), "{page}");
    let links = page.split("href=\"").skip(1).map(|rest| rest.split('"').next().unwrap());
    for link in links.filter(|link| !link.starts_with("data:")) {
        let (parts, _) = ask(app.router(), Request::get(format!("/{link}")), "").await;
        assert_eq!(parts.status, StatusCode::OK, "{link}");
    }
    let tag = parts.headers[ETAG].clone();
    for (known, expected) in
        [(&*format!("\"x\", W/{}", tag.to_str().unwrap()), 304), ("\"x\"", 200), ("*", 304)]
    {
        let (parts, again) = ask(app.router(), Request::get("/").header("if-none-match", known), "").await;
        assert_eq!((parts.status.as_u16(), again.is_empty()), (expected, expected == 304), "{known}");
        assert_eq!(parts.headers[ETAG], tag);
    }
    let (parts, head) = ask(app.router(), Request::head("/"), "").await;
    assert_eq!((parts.status, head.as_str(), &parts.headers[ETAG]), (StatusCode::OK, "", &tag));
    let (parts, _) = ask(app.router(), Request::post("/"), "").await;
    assert_eq!((parts.status.as_u16(), header(&parts, "allow")), (405, "GET, HEAD"));
    assert!(parts.headers.contains_key("x-request-id"));
}

#[tokio::test]
async fn a_page_has_its_own_paths_headers_and_errors() {
    let app = TestApp::new().await;
    let router = Router::new(ACTIONS, Arc::clone(&app.app)).with(FILES);
    let (parts, text) = ask(&router, Request::get("/files/a/b.txt?c=d"), "").await;
    assert_eq!((parts.status.as_u16(), text.as_str()), (200, "a/b.txt c=d"));
    assert_eq!(parts.headers.get_all(SET_COOKIE).iter().count(), 2);
    assert_eq!(parts.headers["x-content-type-options"], "nosniff");
    for (path, expected, told) in [("nowhere", 404, "no such file"), ("panics", 500, "something broke")] {
        let (parts, text) = ask(&router, Request::get(format!("/files/{path}")), "").await;
        assert_eq!(
            (parts.status.as_u16(), header(&parts, "content-type")),
            (expected, "text/html; charset=utf-8")
        );
        assert!(text.starts_with("<h1>") && text.contains(told) && !text.contains("secret"), "{text}");
    }
    // Actions go on, and what is neither is told as before.
    assert_eq!(ask(&router, Request::get("/health/live"), "").await.0.status, StatusCode::OK);
    let (parts, text) = ask(&router, Request::get("/file/a"), "").await;
    assert_eq!((parts.status.as_u16(), text.contains("not_found")), (404, true));
    let long = format!("/files/a?{}", "a".repeat(9_000));
    assert_eq!(ask(&router, Request::get(long), "").await.0.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn a_body_is_taken_piece_by_piece_up_to_a_bound() {
    let app = TestApp::new().await;
    let router = Router::new(ACTIONS, Arc::clone(&app.app)).with(FILES);
    let send = async |pieces: usize, bytes: usize| {
        let piece = Bytes::from(vec![0; bytes]);
        let pieces = stream::iter((0..pieces).map(move |_| Ok::<_, Infallible>(Frame::data(piece.clone()))));
        read(router.handle(Request::post("/files/x").body(StreamBody::new(pieces)).unwrap()).await).await
    };
    let (parts, text) = send(100, 10_000).await;
    assert_eq!((parts.status.as_u16(), text.as_str()), (201, "1000000 bytes in 100 pieces"));
    let (parts, _) = send(101, 10_000).await;
    assert_eq!(parts.status, StatusCode::PAYLOAD_TOO_LARGE);
    // One that breaks off, and one that stands still.
    let broken = stream::iter([Ok(Frame::data(Bytes::from_static(b"a"))), Err("broken")]);
    let answer = router.handle(Request::post("/files/x").body(StreamBody::new(broken)).unwrap()).await;
    assert_eq!(answer.status(), StatusCode::BAD_REQUEST);
    let still = stream::pending::<std::result::Result<Frame<Bytes>, Infallible>>();
    let answer = router.handle(Request::post("/files/x").body(StreamBody::new(still)).unwrap()).await;
    assert_eq!(answer.status(), StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn pages_count_for_the_limits_of_whoever_asks() {
    let app = TestApp::with(&[("GUILDHALL_RATE", "5/60s")]).await;
    let alice = crate::help::process::player_token("alice");
    let mut statuses = Vec::new();
    for _ in 0..7 {
        let request = Request::builder()
            .method(Method::GET)
            .uri("/")
            .header("authorization", format!("Bearer {alice}"));
        statuses.push(ask(app.router(), request, "").await.0.status.as_u16());
    }
    assert_eq!(statuses, [200, 200, 200, 200, 200, 429, 429]);
}

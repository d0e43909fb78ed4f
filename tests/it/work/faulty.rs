//! A function whose actions panic, hang and block, or whose broker is away, under AWS's own emulator: what its callers
//! and its platform see.

use std::time::{Duration, Instant};

use bytes::Bytes;
use guildhall::api::action::{Action, ActionEntry, Route, Verb};
use guildhall::api::caller::Anyone;
use guildhall::api::page::{Document, Page, PageEntry, PageRequest};
use guildhall::api::router::Router;
use guildhall::app::App;
use guildhall::base::clock::Clock;
use guildhall::config::Config;
use guildhall::host;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::help::process::{eventually, player_token, server_token};
use crate::help::receiver::WEBHOOK_SECRET;
use crate::hosts::lambda::{Lambda, body, http_api};
use crate::work::kafka;

/// Actions that no game wants.
macro_rules! faulty {
    ($name:ident, $path:literal, $does:expr) => {
        /// What its name says.
        #[derive(Debug, Deserialize, JsonSchema)]
        #[serde(deny_unknown_fields)]
        struct $name {}

        impl Action for $name {
            const ROUTE: Route = Route::get($path);
            type Caller = Anyone;
            type Reply = Nothing;

            async fn run(self, _: &App, _: Anyone) -> guildhall::base::error::Result<Nothing> {
                Ok($does)
            }
        }
    };
}

#[derive(Serialize, JsonSchema)]
struct Nothing {}

fn panic() -> Nothing {
    panic!("as it was asked to")
}

fn block() -> Nothing {
    std::thread::sleep(std::time::Duration::from_mins(1));
    Nothing {}
}

faulty!(Fine, "/faulty/fine", Nothing {});
faulty!(Panics, "/faulty/panics", panic());
faulty!(Hangs, "/faulty/hangs", std::future::pending().await);
faulty!(Blocks, "/faulty/blocks", block());

const FAULTY: &[ActionEntry] = &[
    ActionEntry::of::<Fine>(),
    ActionEntry::of::<Panics>(),
    ActionEntry::of::<Hangs>(),
    ActionEntry::of::<Blocks>(),
];

/// Bytes that are no text.
struct Picture;

impl Page for Picture {
    const NAME: &'static str = "picture";
    const METHOD: Verb = Verb::Get;
    const PATH: &'static str = "/picture";

    async fn answer(_: &App, _: PageRequest<'_>) -> guildhall::base::error::Result<Document> {
        Ok(Document::new("image/png", Bytes::from_static(&[0x89, b'P', b'N', b'G', 0xff, 0x00])))
    }
}

const PICTURES: &[PageEntry] = &[PageEntry::of::<Picture>()];

#[tokio::test(flavor = "multi_thread")]
#[ignore = "no test but a function with faulty actions, which the emulator starts"]
async fn faulty_function() {
    let config = Config::from_env().unwrap();
    let app = App::start(config, Clock::default()).await.unwrap();
    host::lambda::serve(Router::new(FAULTY, app).with(PICTURES).into()).await.unwrap();
}

/// A panic is a 500 for that request alone; what takes too long gets our 503 before the platform's end; what blocks the
/// whole process is ended by the platform, and the next request meets a new one.
#[tokio::test(flavor = "multi_thread")]
async fn panics_and_long_requests_are_answered_and_a_blocked_process_is_replaced() {
    let program = std::env::current_exe().unwrap();
    let command =
        format!("{} --exact work::faulty::faulty_function --ignored --nocapture", program.display());
    let lambda = Lambda::start_as("api", &command, &[]);
    let get = async |action: &str| {
        lambda.answer(&http_api("GET", &format!("/faulty/{action}"), "", "", None)).await
    };
    assert_eq!(get("fine").await["statusCode"], 200, "{}", lambda.log());
    let picture = lambda.answer(&http_api("GET", "/picture", "", "", None)).await;
    assert_eq!((&picture["statusCode"], &picture["isBase64Encoded"]), (&json!(200), &json!(true)));
    assert_eq!(
        (&picture["body"], &picture["headers"]["content-type"]),
        (&json!("iVBOR/8A"), &json!("image/png"))
    );
    let before = lambda.child();
    let answer = get("panics").await;
    assert_eq!((&answer["statusCode"], &body(&answer)["error"]["code"]), (&json!(500), &json!("internal")));
    assert!(!answer.to_string().contains("as it was asked to"), "faults are for the log");
    let answer = get("hangs").await;
    assert_eq!(
        (&answer["statusCode"], &body(&answer)["error"]["code"]),
        (&json!(503), &json!("unavailable"))
    );
    assert_eq!(get("fine").await["statusCode"], 200);
    assert_eq!(lambda.child(), before, "the same process all the while");
    let answer = get("blocks").await;
    assert!(answer["statusCode"].is_null() && answer.to_string().contains("timed out"), "{answer}");
    eventually("a new process", async || (get("fine").await["statusCode"] == 200).then_some(())).await;
    assert_ne!(lambda.child(), before);
}

/// A function with tasks: the webhooks of two sends, and what became of them when the second is answered.
async fn sends_with_tasks(brokers: &str, topic: &str) -> (Lambda, Vec<Duration>, Value) {
    let variables = [
        ("KAFKA_BROKERS", brokers),
        ("GUILDHALL_TOPIC", topic),
        ("GUILDHALL_WEBHOOK_URL", "http://127.0.0.1:9/"),
        ("GUILDHALL_WEBHOOK_SECRET", WEBHOOK_SECRET),
        ("AWS_LAMBDA_FUNCTION_TIMEOUT", "10"),
    ];
    let lambda = Lambda::start_as("api", env!("CARGO_BIN_EXE_guildhall"), &variables);
    let post = async |path: &str, token: &str, input: Value| {
        let text = input.to_string();
        let answer = lambda.invoke(&http_api("POST", path, "", token, Some((&text, false)))).await;
        assert_eq!(answer["statusCode"], 200, "{answer}");
    };
    // Tasks of one channel go one behind the other, so each of these has one.
    for n in 0..4 {
        let id = format!("world-{n}");
        let world = json!({ "id": id, "kind": "world", "members": ["alice"], "settings": { "open": true } });
        post("/channel/create", &server_token(), world).await;
    }
    let mut times = Vec::new();
    for n in 0..4 {
        let started = Instant::now();
        let said = json!({ "channel": format!("world-{n}"), "text": format!("{n}") });
        post("/message/send", &player_token("alice"), said).await;
        times.push(started.elapsed());
    }
    let status = lambda.invoke(&http_api("GET", "/task/status", "", &server_token(), None)).await;
    let status = body(&status)["data"].clone();
    (lambda, times, status)
}

/// The process is frozen once it has answered, so the broker has the tasks by then.
#[tokio::test(flavor = "multi_thread")]
async fn tasks_are_with_the_broker_when_the_request_is_answered() {
    let (lambda, _, status) = sends_with_tasks(&kafka::brokers(), &kafka::made_topic().await).await;
    assert_eq!((&status["sent"], &status["ready"]), (&json!(4), &json!(0)), "{status} {}", lambda.log());
}

/// One request waits for it a little; the others leave it alone, and nothing is lost.
#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_is_away_slows_one_request_and_fails_none() {
    let (lambda, times, status) = sends_with_tasks("127.0.0.1:9", &kafka::topic()).await;
    assert_eq!((&status["sent"], &status["ready"]), (&json!(0), &json!(4)), "{status} {}", lambda.log());
    assert_eq!(lambda.log().matches("the broker is away").count(), 1, "asked once: {times:?}");
}

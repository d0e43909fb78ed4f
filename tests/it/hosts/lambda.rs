//! The same binary as an AWS Lambda function, under AWS's own Runtime Interface Emulator.
//!
//! The emulator can publish no versions: to it, everything is `$LATEST`, and it names no alias.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

use crate::help::SECRET;
use crate::help::database;
use crate::help::process::{Connection, eventually, player_token, program, server_token};

const EMULATOR: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/target/tools/aws-lambda-rie");

pub struct Lambda {
    emulator: Child,
    pub port: u16,
    pub folder: tempfile::TempDir,
}

pub fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// The emulator, once it listens; none where it has ended instead.
fn listening(mut emulator: Child, port: u16) -> Option<Child> {
    let pause = std::time::Duration::from_millis(20);
    loop {
        let answers = std::net::TcpStream::connect(("127.0.0.1", port)).is_ok();
        std::thread::sleep(pause);
        match emulator.try_wait().unwrap() {
            Some(_) => return None,
            None if answers => return Some(emulator),
            None => {}
        }
    }
}

impl Lambda {
    fn start() -> Self {
        Self::start_as("api", env!("CARGO_BIN_EXE_guildhall"), &[])
    }

    /// With this handler, running this command, with these variables more.
    pub fn start_as(handler: &str, command: &str, variables: &[(&str, &str)]) -> Self {
        assert!(Path::new(EMULATOR).exists(), "run scripts/tools once: it fetches {EMULATOR}");
        let folder = tempfile::tempdir().unwrap();
        let bootstrap = folder.path().join("bootstrap");
        fs::write(&bootstrap, format!("#!/bin/sh\nexec {command}\n")).unwrap();
        fs::set_permissions(&bootstrap, fs::Permissions::from_mode(0o755)).unwrap();
        let spawn = |port: u16| {
            let log = fs::File::create(folder.path().join("log")).unwrap();
            Command::new(EMULATOR)
                .env_remove("DATABASE_URL")
                .envs(database::of_folder(folder.path()).map(|url| ("DATABASE_URL", url)))
                .args(["--runtime-interface-emulator-address", &format!("127.0.0.1:{port}")])
                .args(["--runtime-api-address", &format!("127.0.0.1:{}", free_port())])
                .args([bootstrap.to_str().unwrap(), handler])
                .env("GUILDHALL_TOKEN_SECRET", SECRET)
                .env("GUILDHALL_DATA", folder.path().join("data"))
                .env("GUILDHALL_BASE_PATH", "/latest")
                .env("AWS_LAMBDA_FUNCTION_TIMEOUT", "3")
                .env("AWS_LAMBDA_FUNCTION_NAME", "guildhall-test")
                .env_remove("KAFKA_BROKERS")
                .envs(variables.iter().copied())
                .stdout(log.try_clone().unwrap())
                .stderr(log)
                .spawn()
                .unwrap()
        };
        // A port that is only looked up may be another test's by the time it is taken: then the emulator ends.
        let (mut port, mut emulator) = (0, None);
        while emulator.is_none() {
            port = free_port();
            emulator = listening(spawn(port), port);
        }
        Self { emulator: emulator.unwrap(), port, folder }
    }

    pub fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.folder.path().join("log")).unwrap()).into_owned()
    }

    /// The program's own lines: requests, and what CloudWatch makes metrics of.
    fn lines(&self, has: &str) -> Vec<Value> {
        let lines = self.log();
        let read = |line: &str| serde_json::from_str::<Value>(line).ok();
        lines.lines().filter(|line| line.contains(has)).filter_map(read).collect()
    }

    /// The process that the emulator started.
    pub fn child(&self) -> Pid {
        let threads = fs::read_dir(format!("/proc/{}/task", self.emulator.id())).unwrap();
        let children =
            |thread: fs::DirEntry| fs::read_to_string(thread.path().join("children")).unwrap_or_default();
        let children: String = threads.flatten().map(children).collect();
        Pid::from_raw(children.split_whitespace().next().expect("it runs").parse().unwrap())
    }

    /// Whatever the platform answers.
    pub async fn answer(&self, event: &Value) -> Value {
        let mut connection = eventually("the emulator", async || Connection::open(self.port).await).await;
        connection.call("", "/2015-03-31/functions/function/invocations", Some(event)).await.unwrap().body
    }

    /// What the gateway gets for an event.
    pub async fn invoke(&self, event: &Value) -> Value {
        let answer = self.answer(event).await;
        assert!(answer["statusCode"].is_number(), "{answer} {}", self.log());
        answer
    }
}

impl Drop for Lambda {
    fn drop(&mut self) {
        let _ = self.emulator.kill();
        let _ = self.emulator.wait();
    }
}

pub fn http_api(method: &str, path: &str, query: &str, token: &str, body: Option<(&str, bool)>) -> Value {
    json!({
        "version": "2.0", "routeKey": "$default", "rawPath": path, "rawQueryString": query,
        "headers": { "authorization": format!("Bearer {token}"), "content-type": "application/json", "x-forwarded-for": "6.6.6.6" },
        "requestContext": {
            "accountId": "1", "apiId": "a", "domainName": "x", "domainPrefix": "x", "requestId": "gateway-id-1", "routeKey": "$default",
            "stage": "$default", "time": "22/Nov/2026:00:00:00 +0000", "timeEpoch": 1795305600000_i64,
            "http": { "method": method, "path": path, "protocol": "HTTP/1.1", "sourceIp": "203.0.113.9", "userAgent": "test" },
        },
        "body": body.map(|(text, _)| text), "isBase64Encoded": body.is_some_and(|(_, encoded)| encoded),
    })
}

fn rest(method: &str, path: &str, query: Value, token: &str) -> Value {
    json!({
        "resource": "/{proxy+}", "path": path, "httpMethod": method,
        "headers": { "authorization": format!("Bearer {token}") }, "multiValueHeaders": { "authorization": [format!("Bearer {token}")] },
        "queryStringParameters": query, "multiValueQueryStringParameters": Value::Null, "pathParameters": { "proxy": path }, "stageVariables": Value::Null,
        "requestContext": {
            "resourceId": "r", "resourcePath": "/{proxy+}", "httpMethod": method, "path": path, "accountId": "1", "protocol": "HTTP/1.1", "stage": "$default",
            "requestId": "gateway-id-2", "identity": { "sourceIp": "203.0.113.9", "userAgent": "test" }, "apiId": "a",
        },
        "body": Value::Null, "isBase64Encoded": false,
    })
}

pub fn body(answer: &Value) -> Value {
    serde_json::from_str(answer["body"].as_str().unwrap()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_conversation_through_the_gateways() {
    let lambda = Lambda::start();
    let alice = player_token("alice");
    let create =
        json!({ "id": "world", "kind": "world", "members": ["alice"], "settings": { "open": true } })
            .to_string();
    let made = lambda
        .invoke(&http_api("POST", "/latest/channel/create", "", &server_token(), Some((&create, false))))
        .await;
    assert_eq!(made["statusCode"], 200, "{made}");
    assert_eq!(body(&made)["request_id"], "gateway-id-1");
    assert_eq!(made["headers"]["x-guildhall-version"], "$LATEST");

    let said =
        STANDARD.encode(json!({ "channel": "world", "text": "你好 badword", "nonce": "n" }).to_string());
    let sent =
        lambda.invoke(&http_api("POST", "/latest/message/send", "", &alice, Some((&said, true)))).await;
    assert_eq!(body(&sent)["data"]["message"]["text"], "你好 *******", "{sent}");

    let page =
        lambda.invoke(&http_api("GET", "/latest/message/list", "channel=world&limit=1", &alice, None)).await;
    assert_eq!(body(&page)["data"]["messages"][0]["seq"], 1, "{page}");
    let page =
        lambda.invoke(&rest("GET", "/latest/message/list", json!({ "channel": "world" }), &alice)).await;
    assert_eq!(
        (&page["statusCode"], &body(&page)["request_id"]),
        (&json!(200), &json!("gateway-id-2")),
        "{page}"
    );

    for (event, status, code) in [
        (http_api("GET", "/latest/nowhere", "", &alice, None), 404, "not_found"),
        (http_api("GET", "/latest/message/send", "", &alice, None), 405, "method_not_allowed"),
        (http_api("POST", "/latest/message/send", "", &alice, Some(("{", false))), 400, "invalid_input"),
        (http_api("POST", "/latest/message/send", "", "bad", Some(("{}", false))), 401, "unauthenticated"),
        (
            http_api("POST", "/latest/message/send", "", &alice, Some((&"x".repeat(20_000), false))),
            413,
            "too_large",
        ),
    ] {
        let answer = lambda.invoke(&event).await;
        assert_eq!(
            (answer["statusCode"].as_i64().unwrap(), body(&answer)["error"]["code"].as_str().unwrap()),
            (status, code)
        );
    }
}

/// A load balancer knows neither request ids nor stages, and sends queries as they came.
fn load_balancer(path: &str, query: Value, token: &str) -> Value {
    json!({
        "requestContext": { "elb": { "targetGroupArn": "arn:aws:elasticloadbalancing:eu-west-1:1:targetgroup/chat/1" } },
        "httpMethod": "GET", "path": path, "queryStringParameters": query,
        "headers": { "authorization": format!("Bearer {token}"), "x-forwarded-for": "6.6.6.6, 203.0.113.9", "x-request-id": "clients-own-1" },
        "body": "", "isBase64Encoded": false,
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn load_balancers_and_function_urls_and_stages() {
    let lambda = Lambda::start();
    let alice = player_token("alice");
    let made = lambda.invoke(&load_balancer("/channel/inbox", json!({}), &alice)).await;
    assert_eq!(
        (&made["statusCode"], &body(&made)["request_id"]),
        (&json!(200), &json!("clients-own-1")),
        "{made}"
    );
    let page = lambda
        .invoke(&load_balancer("/message/list", json!({ "channel": "a%20b", "limit": "5" }), &alice))
        .await;
    assert_eq!(body(&page)["error"]["code"], "invalid_input", "decoded before it is judged: {page}");
    let page = lambda.invoke(&load_balancer("/message/list", json!({ "channel": "nowhere" }), &alice)).await;
    assert_eq!(page["statusCode"], 404, "{page}");

    // A Function URL sends what an HTTP API sends, with an ARN for the account's gateway.
    let mut event = http_api("GET", "/channel/inbox", "", &alice, None);
    event["requestContext"]["domainName"] = json!("abcdefg.lambda-url.eu-west-1.on.aws");
    assert_eq!(lambda.invoke(&event).await["statusCode"], 200);

    // A named stage of an HTTP API is part of the path; REST paths come without.
    let mut event = http_api("GET", "/prod/latest/channel/inbox", "", &alice, None);
    event["requestContext"]["stage"] = json!("prod");
    assert_eq!(lambda.invoke(&event).await["statusCode"], 200);
    let mut event = rest("GET", "/channel/inbox", Value::Null, &alice);
    event["requestContext"]["stage"] = json!("prod");
    assert_eq!(lambda.invoke(&event).await["statusCode"], 200);
    for odd in ["/a b/\u{6d88}\"<>", "/%zz", "", "//", "/../etc"] {
        for event in [http_api("GET", odd, "", &alice, None), rest("GET", odd, Value::Null, &alice)] {
            assert_eq!(lambda.invoke(&event).await["statusCode"], 404, "{odd:?}");
        }
    }
    let page = lambda.answer(&http_api("GET", "/", "", "", None)).await;
    assert_eq!((&page["statusCode"], &page["isBase64Encoded"]), (&json!(200), &json!(false)), "{page}");
}

#[tokio::test(flavor = "multi_thread")]
async fn logs_and_figures_join_the_gateway_the_version_and_the_cold_start() {
    let lambda = Lambda::start();
    lambda.invoke(&http_api("GET", "/latest/channel/inbox", "", &player_token("alice"), None)).await;
    lambda.invoke(&http_api("GET", "/latest/nowhere", "", "", None)).await;
    let requests = eventually("both lines", async || {
        Some(lambda.lines("\"message\":\"request\"")).filter(|lines| lines.len() == 2)
    })
    .await;
    let line = &requests[0];
    assert_eq!(line["request_id"], "gateway-id-1", "{line}");
    assert_eq!((&line["version"], &line["client_ip"]), (&json!("$LATEST"), &json!("203.0.113.9")), "{line}");
    assert!(line["invocation"].as_str().is_some_and(|id| id.len() == 36), "{line}");
    assert_eq!((&line["cold_start"], &requests[1]["cold_start"]), (&json!(true), &json!(false)));

    let figures = lambda.lines("CloudWatchMetrics");
    assert_eq!(figures.len(), 2, "{}", lambda.log());
    let [found, missing] = &figures[..] else { unreachable!() };
    let directive = &found["_aws"]["CloudWatchMetrics"][0];
    assert_eq!(directive["Dimensions"], json!([["function"], ["function", "version"]]));
    for metric in directive["Metrics"].as_array().unwrap() {
        assert!(found[metric["Name"].as_str().unwrap()].is_number(), "{metric} has a value: {found}");
    }
    let told = |line: &Value| {
        ["function", "version", "action", "code"].map(|name| line[name].as_str().unwrap().to_owned())
    };
    assert_eq!(told(found), ["guildhall-test", "$LATEST", "inbox", "ok"]);
    assert_eq!(told(missing), ["guildhall-test", "$LATEST", "none", "not_found"]);
    assert_eq!(
        (&found["Requests"], &found["Refused"], &missing["Refused"]),
        (&json!(1), &json!(0), &json!(1))
    );
    assert_eq!((&found["ColdStarts"], &missing["ColdStarts"]), (&json!(1), &json!(0)));
    assert!(!lambda.log().contains(&player_token("alice")), "no token in the log");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_handler_makes_it_a_worker_and_a_wrong_one_is_told() {
    let worker = Lambda::start_as("worker", env!("CARGO_BIN_EXE_guildhall"), &[]);
    let done = worker.answer(&json!({ "task": "retention.v1" })).await;
    assert_eq!(done["state"], "done", "{done} {}", worker.log());
    let timer = serde_json::from_str(include_str!("../events/schedule.json")).unwrap();
    assert_eq!(worker.answer(&timer).await["waiting"], 0);
    assert_eq!(worker.lines("OutboxDepth").len(), 1, "{}", worker.log());
    let unknown = worker.answer(&http_api("GET", "/latest/health/live", "", "", None)).await;
    assert!(
        unknown["errorMessage"].as_str().is_some_and(|why| why.contains("knows no such event")),
        "{unknown}"
    );

    // All tests' migrations wait for one another, in one database; a function that migrates is given time.
    let patient = [("AWS_LAMBDA_FUNCTION_TIMEOUT", "120")];
    let migrate = Lambda::start_as("migrate", env!("CARGO_BIN_EXE_guildhall"), &patient);
    for _ in 0..2 {
        assert!(migrate.answer(&json!({})).await["migrations"].is_number(), "{}", migrate.log());
    }

    let mut wrong = program(worker.folder.path());
    wrong
        .env("AWS_LAMBDA_RUNTIME_API", "127.0.0.1:9")
        .env("_HANDLER", "wroker")
        .env_remove("GUILDHALL_TOKEN_SECRET");
    let wrong = wrong.output().unwrap();
    let fault = String::from_utf8(wrong.stderr).unwrap();
    assert_eq!(wrong.status.code(), Some(2), "{fault}");
    assert!(fault.contains("_HANDLER is 'wroker', not api, worker or migrate"), "{fault}");
    assert!(fault.contains("GUILDHALL_TOKEN_SECRET is required in a function"), "{fault}");
}

fn has_ended(process: Pid) -> bool {
    let stat = fs::read_to_string(format!("/proc/{process}/stat"));
    stat.map_or(true, |stat| stat.contains(") Z "))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_is_told_to_end_does_so_at_once_and_loses_nothing() {
    let lambda = Lambda::start();
    let create =
        json!({ "id": "world", "kind": "world", "members": ["alice"], "settings": { "open": true } })
            .to_string();
    lambda
        .invoke(&http_api("POST", "/latest/channel/create", "", &server_token(), Some((&create, false))))
        .await;
    let alice = player_token("alice");
    for n in 1..=3 {
        let said = json!({ "channel": "world", "text": format!("{n}"), "nonce": format!("{n}") }).to_string();
        let send = http_api("POST", "/latest/message/send", "", &alice, Some((&said, false)));
        let sent = lambda.invoke(&send).await;
        assert_eq!(body(&sent)["data"]["message"]["seq"], n, "{sent}");
        let child = lambda.child();
        kill(child, Signal::SIGTERM).unwrap();
        eventually("its end", async || has_ended(child).then_some(())).await;
        // The emulator notices at the next invocation, which it gives up; the one after has a new process.
        eventually("a new process", async || lambda.answer(&send).await["statusCode"].as_i64()).await;
        let again = lambda.invoke(&send).await;
        assert_eq!(body(&again)["data"]["replayed"], true, "{again}");
    }
    let page = lambda.invoke(&http_api("GET", "/latest/message/list", "channel=world", &alice, None)).await;
    assert_eq!(body(&page)["data"]["messages"].as_array().unwrap().len(), 3, "{page}");
}

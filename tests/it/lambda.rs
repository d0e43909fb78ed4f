//! The same binary as an AWS Lambda function, under AWS's own Runtime Interface Emulator.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::database;
use crate::process::{Connection, eventually, player_token, server_token};
use crate::support::SECRET;

const EMULATOR: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/target/tools/aws-lambda-rie");

struct Lambda {
    emulator: Child,
    port: u16,
    folder: tempfile::TempDir,
}

fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

impl Lambda {
    fn start() -> Self {
        assert!(Path::new(EMULATOR).exists(), "run scripts/tools once: it fetches {EMULATOR}");
        let folder = tempfile::tempdir().unwrap();
        let bootstrap = folder.path().join("bootstrap");
        fs::write(&bootstrap, format!("#!/bin/sh\nexec {}\n", env!("CARGO_BIN_EXE_guildhall"))).unwrap();
        fs::set_permissions(&bootstrap, fs::Permissions::from_mode(0o755)).unwrap();
        let (port, api) = (free_port(), free_port());
        let emulator = Command::new(EMULATOR)
            .env_remove("DATABASE_URL")
            .envs(database::of_folder(folder.path()).map(|url| ("DATABASE_URL", url)))
            .args(["--runtime-interface-emulator-address", &format!("127.0.0.1:{port}")])
            .args(["--runtime-api-address", &format!("127.0.0.1:{api}")])
            .args([bootstrap.to_str().unwrap(), "api"])
            .env("GUILDHALL_TOKEN_SECRET", SECRET)
            .env("GUILDHALL_DATA", folder.path().join("data"))
            .env("GUILDHALL_BASE_PATH", "/live")
            .stdout(Stdio::null())
            .stderr(fs::File::create(folder.path().join("log")).unwrap())
            .spawn()
            .unwrap();
        Self { emulator, port, folder }
    }

    /// What the gateway gets for an event.
    async fn invoke(&self, event: &Value) -> Value {
        let mut connection = eventually("the emulator", async || Connection::open(self.port).await).await;
        let answer =
            connection.call("", "/2015-03-31/functions/function/invocations", Some(event)).await.unwrap();
        let log = || fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
        assert!(answer.body["statusCode"].is_number(), "{} {}", answer.body, log());
        answer.body
    }
}

impl Drop for Lambda {
    fn drop(&mut self) {
        let _ = self.emulator.kill();
        let _ = self.emulator.wait();
    }
}

fn http_api(method: &str, path: &str, query: &str, token: &str, body: Option<(&str, bool)>) -> Value {
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

fn body(answer: &Value) -> Value {
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
        .invoke(&http_api("POST", "/live/channel/create", "", &server_token(), Some((&create, false))))
        .await;
    assert_eq!(made["statusCode"], 200, "{made}");
    assert_eq!(body(&made)["request_id"], "gateway-id-1");
    assert_eq!(made["headers"]["x-guildhall-version"], "$LATEST");

    let said =
        STANDARD.encode(json!({ "channel": "world", "text": "你好 badword", "nonce": "n" }).to_string());
    let sent = lambda.invoke(&http_api("POST", "/live/message/send", "", &alice, Some((&said, true)))).await;
    assert_eq!(body(&sent)["data"]["message"]["text"], "你好 *******", "{sent}");

    let page =
        lambda.invoke(&http_api("GET", "/live/message/list", "channel=world&limit=1", &alice, None)).await;
    assert_eq!(body(&page)["data"]["messages"][0]["seq"], 1, "{page}");
    let page = lambda.invoke(&rest("GET", "/live/message/list", json!({ "channel": "world" }), &alice)).await;
    assert_eq!(
        (&page["statusCode"], &body(&page)["request_id"]),
        (&json!(200), &json!("gateway-id-2")),
        "{page}"
    );

    for (event, status, code) in [
        (http_api("GET", "/live/nowhere", "", &alice, None), 404, "not_found"),
        (http_api("GET", "/live/message/send", "", &alice, None), 405, "method_not_allowed"),
        (http_api("POST", "/live/message/send", "", &alice, Some(("{", false))), 400, "invalid_input"),
        (http_api("POST", "/live/message/send", "", "bad", Some(("{}", false))), 401, "unauthenticated"),
        (
            http_api("POST", "/live/message/send", "", &alice, Some((&"x".repeat(20_000), false))),
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

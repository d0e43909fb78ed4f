//! A gateway's event, read by us before the library makes a request of it: that panics on a query, a host or a body which no
//! gateway checks. A panic would be an invocation error: without our line in the log, without a request id, and counted
//! against the version. What can be no request is answered like any other broken one.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::HOST;
use http::{HeaderMap, Uri};
use lambda_http::aws_lambda_events::query_map::QueryMap;
use lambda_http::request::LambdaRequest;
use serde::Deserialize;
use serde::de::Error as _;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::api::head::Broken;

/// A longer path with its query is no URI; other servers refuse far shorter ones.
const MAX_URI_BYTES: usize = 64_000;
/// Headers of an event; of ten times as many the library makes a panic. Smaller events can't have them.
const MAX_HEADERS: usize = 2_000;
const MANY_HEADERS_BYTES: usize = 3 * MAX_HEADERS;

/// Request that an event carries.
#[derive(Debug, Default)]
pub(super) struct Asked {
    pub(super) uri: Uri,
    pub(super) body: Bytes,
    pub(super) broken: Option<Broken>,
}

/// Reads an event: the rest of it, of which the library makes a request without fail, and what it asks.
///
/// # Errors
/// It is no gateway's.
pub(super) fn read(event: &RawValue) -> Result<(LambdaRequest, Asked), serde_json::Error> {
    let event = &whole_characters(event.get());
    let read = if event.len() > MANY_HEADERS_BYTES && has_many_headers(event)? {
        Err(serde_json::Error::custom("more headers than any gateway sends"))
    } else {
        serde_json::from_str(event)
    };
    let (mut request, mut broken) = match read {
        Ok(request) => (request, None),
        // A header or a method that HTTP has not makes it look like no event at all.
        Err(fault) => match serde_json::from_str(&without_head(event)?.to_string()) {
            Ok(request) => (request, Some(Broken("a header or the method is not as HTTP has it"))),
            Err(_) => return Err(fault),
        },
    };
    let Taken { path, query, body, is_base64 } = Taken::from(&mut request);
    let uri = uri(&path, &query).unwrap_or_else(|fault| {
        broken = broken.or(fault);
        // What is no path is no action's, and no page's.
        let nowhere = || Uri::from_static("/-");
        path.parse().ok().filter(|_| path.len() <= MAX_URI_BYTES).unwrap_or_else(nowhere)
    });
    let body = body.unwrap_or_default();
    let body = if is_base64 {
        STANDARD.decode(body).map(Bytes::from).unwrap_or_else(|_| {
            broken = broken.or(Some(Broken("the body is not base64")));
            Bytes::new()
        })
    } else {
        Bytes::from(body)
    };
    Ok((request, Asked { uri, body, broken }))
}

/// The path with its query; none of the two where the path is no action's anyway.
fn uri(path: &str, query: &str) -> Result<Uri, Option<Broken>> {
    if path.len() + query.len() > MAX_URI_BYTES {
        return Err(Some(Broken("the path or the query is too long")));
    }
    let whole = if query.is_empty() { path.parse() } else { format!("{path}?{query}").parse() };
    whole.map_err(|_| path.parse::<Uri>().is_ok().then_some(Broken("query: it is not as HTTP has it")))
}

/// JSON may have halves of characters (`\ud83d` alone), which are no text: each becomes the sign for what can't be shown.
fn whole_characters(json: &str) -> Cow<'_, str> {
    let code = |at: usize| {
        let digits = json.get(at..at + 6)?.strip_prefix("\\u")?;
        u16::from_str_radix(digits, 16).ok()
    };
    let (mut made, mut copied, mut at) = (String::new(), 0, 0);
    while let Some(found) = json[at..].find('\\') {
        at += found;
        let (first, second) = (code(at), code(at + 6));
        let is_half = first.is_some_and(|first| (0xd800..=0xdfff).contains(&first));
        let is_whole = first.is_some_and(|first| first < 0xdc00)
            && second.is_some_and(|second| (0xdc00..=0xdfff).contains(&second));
        if is_half && !is_whole {
            made.push_str(&json[copied..at]);
            made.push_str("\\ufffd");
            copied = at + 6;
        }
        at += match (is_half, is_whole) {
            (true, true) => 12,
            (true, false) => 6,
            // A backslash and what it stands before, which is a character of any length only where this is no JSON.
            (false, _) => 1 + json[at + 1..].chars().next().map_or(0, char::len_utf8),
        };
    }
    if copied == 0 {
        return Cow::Borrowed(json);
    }
    made.push_str(&json[copied..]);
    Cow::Owned(made)
}

/// Each is followed by a comma, if it is not the last.
fn has_many_headers(event: &str) -> Result<bool, serde_json::Error> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Heads<'e> {
        #[serde(borrow)]
        headers: Option<&'e RawValue>,
        #[serde(borrow)]
        multi_value_headers: Option<&'e RawValue>,
    }
    let heads: Heads<'_> = serde_json::from_str(event)?;
    let is_many = |headers: &RawValue| headers.get().matches(',').count() >= MAX_HEADERS;
    Ok([heads.headers, heads.multi_value_headers].into_iter().flatten().any(is_many))
}

/// The same event without what stands in a request's head beside its path, if it has that.
fn without_head(event: &str) -> Result<Value, serde_json::Error> {
    let mut event: Value = serde_json::from_str(event)?;
    for name in ["headers", "multiValueHeaders"] {
        if let Some(headers) = event.get_mut(name) {
            *headers = json!({});
        }
    }
    for pointer in ["/httpMethod", "/requestContext/httpMethod", "/requestContext/http/method"] {
        if let Some(method) = event.pointer_mut(pointer) {
            *method = json!("GET");
        }
    }
    Ok(event)
}

/// Parts that are taken out of an event before the library sees it.
struct Taken {
    path: String,
    query: String,
    body: Option<String>,
    is_base64: bool,
}

impl Taken {
    fn from(request: &mut LambdaRequest) -> Self {
        match request {
            LambdaRequest::ApiGatewayV1(event) => {
                event.request_context.domain_name = None;
                forget_host(&mut event.headers);
                let all = std::mem::take(&mut event.multi_value_query_string_parameters);
                let last = std::mem::take(&mut event.query_string_parameters);
                Self {
                    path: event.path.replace("/".to_owned()).unwrap_or_default(),
                    query: if all.is_empty() { last } else { all }.to_query_string(),
                    body: event.body.take(),
                    is_base64: std::mem::take(&mut event.is_base64_encoded),
                }
            }
            LambdaRequest::ApiGatewayV2(event) => {
                event.request_context.domain_name = None;
                forget_host(&mut event.headers);
                Self {
                    path: event.raw_path.replace("/".to_owned()).unwrap_or_default(),
                    query: event.raw_query_string.take().unwrap_or_default(),
                    body: event.body.take(),
                    is_base64: std::mem::take(&mut event.is_base64_encoded),
                }
            }
            LambdaRequest::Alb(event) => {
                forget_host(&mut event.headers);
                let all = std::mem::take(&mut event.multi_value_query_string_parameters);
                let last = std::mem::take(&mut event.query_string_parameters);
                Self {
                    path: event.path.replace("/".to_owned()).unwrap_or_default(),
                    query: as_it_came(&if all.is_empty() { last } else { all }),
                    body: event.body.take(),
                    is_base64: std::mem::take(&mut event.is_base64_encoded),
                }
            }
            _ => Self { path: "/".to_owned(), query: String::new(), body: None, is_base64: false },
        }
    }
}

/// The library puts the host in front of the path; nothing here asks for it.
fn forget_host(headers: &mut HeaderMap) {
    headers.remove(HOST);
}

/// Load balancers take a query apart and decode nothing.
fn as_it_came(query: &QueryMap) -> String {
    let pairs: Vec<String> = query.iter().map(|(name, value)| format!("{name}={value}")).collect();
    pairs.join("&")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(event: &Value) -> Asked {
        let raw = serde_json::value::to_raw_value(event).unwrap();
        let (rest, asked) = super::read(&raw).unwrap();
        assert_eq!(http::Request::from(rest).uri().query(), None, "a request is made of it");
        asked
    }

    fn http_api(path: &str, query: &str) -> Value {
        json!({
            "version": "2.0", "routeKey": "$default", "rawPath": path, "rawQueryString": query, "headers": {},
            "requestContext": {
                "accountId": "1", "apiId": "a", "domainName": "x", "domainPrefix": "x", "requestId": "gateway-id-1", "routeKey": "$default",
                "stage": "$default", "time": "22/Nov/2026:00:00:00 +0000", "timeEpoch": 1_795_305_600_000_i64,
                "http": { "method": "GET", "path": path, "protocol": "HTTP/1.1", "sourceIp": "203.0.113.9", "userAgent": "test" },
            },
            "isBase64Encoded": false,
        })
    }

    fn rest(path: &str, query: Value) -> Value {
        json!({
            "resource": "/{proxy+}", "path": path, "httpMethod": "GET", "headers": {}, "multiValueHeaders": {},
            "queryStringParameters": query, "multiValueQueryStringParameters": Value::Null, "pathParameters": Value::Null,
            "stageVariables": Value::Null, "requestContext": {
                "resourceId": "r", "resourcePath": "/{proxy+}", "httpMethod": "GET", "path": path, "accountId": "1", "protocol": "HTTP/1.1",
                "stage": "prod", "requestId": "gateway-id-2", "identity": { "sourceIp": "203.0.113.9" }, "apiId": "a",
            },
            "body": Value::Null, "isBase64Encoded": false,
        })
    }

    fn load_balancer(path: &str, query: Value) -> Value {
        json!({
            "requestContext": { "elb": { "targetGroupArn": "arn:aws:elasticloadbalancing:eu-west-1:1:targetgroup/chat/1" } },
            "httpMethod": "GET", "path": path, "queryStringParameters": query, "headers": {}, "body": "", "isBase64Encoded": false,
        })
    }

    #[test]
    fn what_is_no_query_breaks_nothing_but_its_own_request() {
        for query in ["a=\"", "a=<b", "a=b c", "a=\u{7f}", "\u{6d88}=1 "] {
            let asked = read(&http_api("/channel/inbox", query));
            assert_eq!((asked.uri.path(), asked.broken.is_some()), ("/channel/inbox", true), "{query}");
            let asked = read(&load_balancer("/channel/inbox", json!({ "a": query })));
            assert!(asked.broken.is_some(), "{query}");
            // A REST gateway has decoded it, so it is encoded anew.
            assert!(read(&rest("/channel/inbox", json!({ "a": query }))).broken.is_none());
        }
        let asked = read(&http_api("/channel/inbox", "limit=5&x=%20+"));
        assert_eq!((asked.uri.to_string().as_str(), asked.broken), ("/channel/inbox?limit=5&x=%20+", None));
        assert_eq!(read(&load_balancer("/a/b", json!({ "c": "a%20b" }))).uri, "/a/b?c=a%20b");
        assert_eq!(read(&rest("/a/b", json!({ "c": "a b" }))).uri, "/a/b?c=a+b");
    }

    #[test]
    fn what_is_too_long_is_broken() {
        let long = "x".repeat(70_000);
        for event in [
            http_api("/channel/inbox", &long),
            http_api(&format!("/{long}"), ""),
            rest(&format!("/{long}"), Value::Null),
            rest("/a", json!({ "a": long })),
            load_balancer("/a", json!({ "a": long })),
            load_balancer(&format!("/{long}"), json!({})),
        ] {
            assert!(read(&event).broken.is_some());
        }
    }

    #[test]
    fn a_host_a_header_a_method_and_a_body_break_nothing_else() {
        for host in ["a b", "[", "\"", "", "x:99999999", "/"] {
            let mut event = http_api("/channel/inbox", "");
            event["headers"] = json!({ "host": host, "x-forwarded-proto": "a b" });
            event["requestContext"]["domainName"] = json!(host);
            assert_eq!(
                (read(&event).uri.to_string().as_str(), read(&event).broken),
                ("/channel/inbox", None)
            );
            let mut event = load_balancer("/channel/inbox", json!({}));
            event["headers"] = json!({ "host": host });
            assert_eq!(read(&event).uri, "/channel/inbox");
        }
        let mut event = http_api("/channel/inbox", "");
        event["headers"] = json!({ "x y": "a\nb" });
        assert!(read(&event).broken.is_some());
        let mut event = http_api("/channel/inbox", "");
        let many: serde_json::Map<_, _> = (0..30_000).map(|n| (format!("x-{n}"), json!("y"))).collect();
        event["headers"] = many.into();
        assert!(read(&event).broken.is_some());
        let mut event = rest("/channel/inbox", Value::Null);
        event["multiValueHeaders"] = json!({ "x": vec!["y"; 30_000] });
        assert!(read(&event).broken.is_some());
        let mut event = rest("/channel/inbox", Value::Null);
        event["httpMethod"] = json!("G T");
        assert!(read(&event).broken.is_some());
        let mut event = http_api("/message/send", "");
        (event["body"], event["isBase64Encoded"]) = (json!("{\"a\":1}"), json!(true));
        assert!(read(&event).broken.is_some());
        event["body"] = json!("e30=");
        assert_eq!((read(&event).body.as_ref(), read(&event).broken), (b"{}".as_slice(), None));
    }

    #[test]
    fn odd_paths_are_no_actions() {
        for odd in ["/a b/\u{6d88}\"<>", "", "a:b", ":99999", "http://", "//", "/%zz", "/../etc"] {
            for event in [http_api(odd, ""), rest(odd, Value::Null), load_balancer(odd, json!({}))] {
                assert_eq!(read(&event).broken, None, "{odd:?}");
            }
        }
    }

    #[test]
    fn another_platforms_event_is_none() {
        let raw = serde_json::value::to_raw_value(&json!({ "task": "retention.v1" })).unwrap();
        assert!(super::read(&raw).is_err());
    }

    #[test]
    fn halves_of_characters_become_a_sign() {
        for (json, expected) in [
            (r#""\ud83d""#, "\u{fffd}"),
            (r#""\udc00x""#, "\u{fffd}x"),
            (r#""\ud83d\ud83d\ude00""#, "\u{fffd}\u{1f600}"),
            (r#""\ud83d\ude00""#, "\u{1f600}"),
            (r#""\\ud83d""#, "\\ud83d"),
            (r#""\\\ud83d\n""#, "\\\u{fffd}\n"),
        ] {
            assert_eq!(serde_json::from_str::<String>(&whole_characters(json)).unwrap(), expected, "{json}");
        }
    }

    proptest! {
        #[test]
        fn other_events_stay_as_they_are(text in ".*", broken in "(\\\\|u|d|8|é|\"){0,12}") {
            let json = serde_json::to_string(&text).unwrap();
            prop_assert_eq!(whole_characters(&json), json.as_str());
            // And nothing panics.
            whole_characters(&broken);
        }
    }
}

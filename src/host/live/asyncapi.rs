//! The socket's frames as an AsyncAPI 3 document, so that clients can be generated from it.

use schemars::JsonSchema;
use schemars::generate::{SchemaGenerator, SchemaSettings};
use serde_json::{Value, json};

use super::PATH;
use super::frame::{Closing, Follow, Followed, Hello, Push, Typing, Unfollow};
use crate::api::schemas;

/// The document.
pub fn document() -> Value {
    let settings = || {
        SchemaSettings::draft07().with(|settings| {
            settings.definitions_path = "/components/schemas".into();
            settings.meta_schema = None;
        })
    };
    let (mut inputs, mut replies) =
        (settings().into_generator(), settings().for_serialize().into_generator());
    let asks = [
        asking::<Hello>(&mut inputs, "hello", "Say who you are: the first frame, within 5 s."),
        asking::<Follow>(&mut inputs, "follow", "Have what is said in channels pushed."),
        asking::<Unfollow>(&mut inputs, "unfollow", "Have it pushed no more."),
        asking::<Typing>(&mut inputs, "typing", "Tell those who follow a channel that you type."),
        asking::<Hello>(&mut inputs, "renew", "A new token of the same caller, before the old one ends."),
    ];
    let any_input = json!({ "type": "object", "description": "As openapi.json has it." });
    let action = frame(
        "action",
        "Any action of openapi.json.",
        &json!({ "type": "string", "pattern": "^/" }),
        &any_input,
    );
    let answers = answers(&mut replies);
    replies.subschema_for::<Push<'static>>();
    let mut definitions = replies.take_definitions(true);
    definitions.extend(inputs.take_definitions(true));
    let pushes = pushes(&mut definitions);
    definitions.values_mut().for_each(schemas::plain);
    let asked: Vec<&(String, Value)> = asks.iter().chain([&action]).collect();
    let all = asked.iter().copied().chain(&answers).chain(&pushes);
    let messages: serde_json::Map<String, Value> = all.cloned().collect();
    let in_channel = |name: &str| json!({ "$ref": format!("#/channels/socket/messages/{name}") });
    let refs = |some: &[(String, Value)]| some.iter().map(|(name, _)| in_channel(name)).collect::<Vec<_>>();
    let asked: Vec<Value> = asked.iter().map(|(name, _)| in_channel(name)).collect();
    let listed: serde_json::Map<String, Value> = messages
        .keys()
        .map(|name| (name.clone(), json!({ "$ref": format!("#/components/messages/{name}") })))
        .collect();
    let channel = json!({ "$ref": "#/channels/socket" });
    json!({
        "asyncapi": "3.0.0",
        "info": {
            "title": "Guildhall, live",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "What goes over a socket. docs/live.md explains it; openapi.json has the actions.",
            "license": { "name": "MIT OR Apache-2.0" },
        },
        "defaultContentType": "application/json",
        "channels": { "socket": {
            "address": PATH,
            "description": "WebSocket, text frames of at most 20 KiB, one JSON object each.",
            "messages": listed,
            "bindings": { "ws": { "method": "GET" } },
            "x-close-codes": Closing::ALL.iter().map(|end| {
                let (code, reason) = end.code();
                json!({ "code": code, "reason": reason })
            }).collect::<Vec<_>>(),
        } },
        "operations": {
            "ask": {
                "action": "receive", "channel": channel, "messages": asked,
                "reply": { "channel": channel, "messages": refs(&answers) },
            },
            "push": { "action": "send", "channel": channel, "messages": refs(&pushes) },
        },
        "components": { "messages": messages, "schemas": definitions },
    })
}

/// Returns a message for each kind of push, by its own name.
fn pushes(schemas: &mut serde_json::Map<String, Value>) -> Vec<(String, Value)> {
    let kinds = schemas.remove("Push").unwrap_or_default();
    let kind = |kind: &Value| {
        let name = kind["properties"]["push"]["const"].as_str().unwrap_or_default();
        message(&format!("push-{name}"), kind["description"].as_str().unwrap_or_default(), kind)
    };
    kinds["oneOf"].as_array().into_iter().flatten().map(kind).collect()
}

/// Returns the messages that answer frames.
fn answers(replies: &mut SchemaGenerator) -> Vec<(String, Value)> {
    let followed = replies.subschema_for::<Followed>().to_value();
    vec![
        message(
            "answer",
            "What an action answers over HTTP, behind the frame's number.",
            &json!({
                "type": "object", "required": ["id", "data", "request_id"],
                "properties": { "id": number(), "data": { "type": "object" }, "request_id": { "type": "string" } },
            }),
        ),
        message(
            "followed",
            "The answer to follow.",
            &json!({
                "type": "object", "required": ["id", "data", "request_id"],
                "properties": {
                    "id": number(), "request_id": { "type": "string" },
                    "data": { "type": "object", "properties": { "channels": { "type": "array", "items": followed } } },
                },
            }),
        ),
        message(
            "error",
            "Why it was not done.",
            &json!({
                "type": "object", "required": ["id", "error", "request_id"],
                "properties": {
                    "id": number(), "request_id": { "type": "string" },
                    "error": {
                        "type": "object", "required": ["code", "message", "details"],
                        "properties": {
                            "code": { "type": "string" }, "message": { "type": "string" }, "details": { "type": "object" },
                        },
                    },
                },
            }),
        ),
    ]
}

fn number() -> Value {
    json!({ "type": "integer", "minimum": 0, "description": "The frame's number, of the client's choice." })
}

/// A frame that asks for one of the socket's own actions.
fn asking<T: JsonSchema>(generator: &mut SchemaGenerator, name: &str, what: &str) -> (String, Value) {
    let input = generator.subschema_for::<T>().to_value();
    frame(name, what, &json!({ "const": format!("/live/{name}") }), &input)
}

fn frame(name: &str, what: &str, path: &Value, input: &Value) -> (String, Value) {
    message(
        name,
        what,
        &json!({
            "type": "object", "required": ["id", "do"], "additionalProperties": false,
            "properties": { "id": number(), "do": path, "input": input },
        }),
    )
}

fn message(name: &str, what: &str, payload: &Value) -> (String, Value) {
    (name.to_owned(), json!({ "summary": what, "payload": payload }))
}

//! The registry as an OpenAPI 3.1 document, so that clients can be generated from it.

use std::collections::BTreeSet;

use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use crate::api::action::{ActionEntry, Verb};
use crate::api::schemas;
use crate::base::error::CODES;

/// The document of a registry, as a version answers it: the newest code has preview actions, published ones have not.
///
/// `about` says what a controller is for.
pub fn document(entries: &[ActionEntry], about: impl Fn(&str) -> String, latest: bool) -> Value {
    let settings = || {
        SchemaSettings::draft2020_12().with(|settings| {
            settings.definitions_path = "/components/schemas".into();
            settings.meta_schema = None;
        })
    };
    // What is read and what is written differ: a field with a default is optional to send, but always sent back.
    let mut inputs = settings().into_generator();
    let mut replies = settings().for_serialize().into_generator();
    let entries: Vec<&ActionEntry> = entries.iter().filter(|entry| latest || !entry.preview).collect();
    let schemas = |entry: &&ActionEntry| {
        ((entry.input)(&mut inputs).to_value(), (entry.reply)(&mut replies).to_value())
    };
    let mut operations: Vec<(Value, Value)> = entries.iter().map(schemas).collect();
    let (inputs, replies) = (inputs.take_definitions(true), replies.take_definitions(true));
    let mut schemas = schemas::merged(inputs, replies, &mut operations);
    schemas.insert("ErrorReply".to_owned(), error_schema());
    let mut paths = Map::new();
    for (entry, (input, data)) in entries.iter().zip(operations) {
        // A name of its own, or generators make one up.
        let response = format!("{}Response", (entry.name)());
        let path = paths.entry(entry.route.path).or_insert_with(|| json!({}));
        path[entry.route.method.as_str().to_lowercase()] = operation(entry, input, &response);
        if entry.callback.is_none() {
            schemas.insert(response, response_schema(data));
        }
    }
    let tags: BTreeSet<&str> = entries.iter().map(|entry| entry.route.controller()).collect();
    let tags: Vec<Value> =
        tags.into_iter().map(|tag| json!({ "name": tag, "description": about(tag) })).collect();
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Guildhall",
            "version": env!("CARGO_PKG_VERSION"),
            "description": env!("CARGO_PKG_DESCRIPTION"),
            "license": { "name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0" },
        },
        "servers": [{ "url": "http://127.0.0.1:9000", "description": "One that runs here; else the studio's own address." }],
        "tags": tags,
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {
                "token": {
                    "type": "http", "scheme": "bearer", "bearerFormat": "JWT",
                    "description": "A JWT signed by the game's server: sub, scope (player, moderator or server), exp.",
                },
            },
        },
    })
}

fn operation(entry: &ActionEntry, mut input: Value, response: &str) -> Value {
    let description = input.as_object_mut().and_then(|input| input.remove("description")).unwrap_or_default();
    let (summary, details) = split_doc(description.as_str().unwrap_or_default());
    let scopes: Vec<&str> = entry.scopes.iter().map(|scope| scope.as_str()).collect();
    let mut operation = json!({
        "operationId": camel_case(&(entry.name)()),
        "tags": [entry.route.controller()],
        "summary": summary,
        "security": if scopes.is_empty() { json!([]) } else { json!([{ "token": [] }]) },
        "x-scopes": scopes,
        "responses": {
            "200": {
                "description": "Done.",
                "headers": {
                    "x-request-id": { "description": "Finds this request in the logs.", "schema": { "type": "string" } },
                    "x-guildhall-version": { "description": "Which version answered.", "schema": { "type": "string" } },
                },
                "content": { "application/json": { "schema": { "$ref": format!("#/components/schemas/{response}") } } },
            },
            "default": {
                "description": "Not done; `error.code` says why.",
                "headers": {
                    "x-request-id": { "description": "Finds this request in the logs.", "schema": { "type": "string" } },
                    "retry-after": {
                        "description": "Seconds after which it may be asked again, where that is known.",
                        "schema": { "type": "integer", "minimum": 1 },
                    },
                },
                "content": { "application/json": { "schema": { "$ref": "#/components/schemas/ErrorReply" } } },
            },
        },
    });
    if !details.is_empty() {
        operation["description"] = details.into();
    }
    if entry.preview {
        operation["x-preview"] = true.into();
        let note = "Preview: only the newest code under test (`$LATEST`) answers this; it may change or go.";
        operation["description"] = format!("{note}\n\n{details}").trim_end().into();
    }
    if entry.callback.is_some() {
        operation["x-callback"] = true.into();
        operation["parameters"] = parameters(&input);
        operation["responses"] = json!({
            "200": { "description": "Taken, in the form that its maker wants." },
            "default": { "description": "Not taken; the status says whether it may come again." },
        });
        if entry.route.method == Verb::Post {
            operation["requestBody"] = json!({ "required": true, "content": { "*/*": { "schema": {} } } });
        }
        return operation;
    }
    match entry.route.method {
        Verb::Get => operation["parameters"] = parameters(&input),
        // An action without input needs no body; no body at all is an empty object.
        Verb::Post if input["properties"].as_object().is_none_or(Map::is_empty) => {}
        Verb::Post => {
            let required = input["required"].as_array().is_some_and(|fields| !fields.is_empty());
            operation["requestBody"] = json!({
                "required": required, "content": { "application/json": { "schema": input } },
            });
        }
    }
    operation
}

/// A whole reply.
fn response_schema(data: Value) -> Value {
    json!({
        "type": "object",
        "required": ["data", "request_id"],
        "properties": {
            "data": data,
            "request_id": { "type": "string", "description": "Finds this request in the logs." },
        },
    })
}

/// An input's fields as query parameters.
fn parameters(input: &Value) -> Value {
    let required = |name: &str| {
        input["required"].as_array().is_some_and(|names| names.iter().any(|required| required == name))
    };
    let fields = input["properties"].as_object().into_iter().flatten();
    fields
        .map(|(name, schema)| json!({ "name": name, "in": "query", "required": required(name), "schema": schema }))
        .collect()
}

/// The first paragraph of a doc comment, and the rest.
fn split_doc(doc: &str) -> (&str, &str) {
    let (summary, details) = doc.split_once("\n\n").unwrap_or((doc, ""));
    (summary, details)
}

fn camel_case(name: &str) -> String {
    let mut rest = name.chars();
    rest.next().map(|first| first.to_ascii_lowercase()).into_iter().chain(rest).collect()
}

fn error_schema() -> Value {
    let codes: Vec<&str> = CODES.iter().map(|(code, _)| *code).collect();
    let statuses: Vec<String> = CODES.iter().map(|(code, status)| format!("{code} {status}")).collect();
    json!({
        "type": "object",
        "required": ["error", "request_id"],
        "properties": {
            "error": {
                "type": "object",
                "required": ["code", "message", "details"],
                "properties": {
                    "code": { "type": "string", "x-known-values": codes, "description": format!("Code and status: {}.", statuses.join(", ")) },
                    "message": { "type": "string", "description": "For people; may change." },
                    "details": { "type": "object", "additionalProperties": true, "description": "For programs; depends on the code." },
                },
            },
            "request_id": { "type": "string" },
        },
    })
}

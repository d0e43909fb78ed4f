//! Actions that are asked for otherwise than by an HTTP request: the same router, limits, log and figures.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderValue, Method, Request};
use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::action::{Verb, say};
use super::head::Peer;
use super::router::{Answer, Router, Whole};
use crate::base::error::{Error, Result};

/// An action that is asked for, its input, and its caller.
#[derive(Debug)]
pub struct Asked<'a> {
    /// `/controller/action`.
    pub path: &'a str,
    /// The action's input, an object; none is an empty one.
    pub input: Option<&'a RawValue>,
    /// The caller's token as an `authorization` header.
    pub token: &'a HeaderValue,
    /// Address of the caller.
    pub peer: Peer,
}

impl Router {
    /// Answers as if this had come by HTTP.
    pub async fn invoke(&self, asked: Asked<'_>, request_id: &Arc<str>) -> Answer {
        let (verb, started) = (self.verb(asked.path), Instant::now());
        let (query, body) = match verb {
            Verb::Get => (query(asked.input), Ok(Bytes::new())),
            Verb::Post => {
                let body = asked.input.map_or("{}", RawValue::get);
                (Ok(String::new()), Ok(Bytes::copy_from_slice(body.as_bytes())))
            }
        };
        let (query, body) = match query {
            Ok(query) => (query, body),
            Err(error) => (String::new(), Err(error)),
        };
        let uri = if query.is_empty() { asked.path.to_owned() } else { format!("{}?{query}", asked.path) };
        let method = if verb == Verb::Get { Method::GET } else { Method::POST };
        let request = Request::builder().method(method).uri(uri).extension(asked.peer);
        let request = request.header(CONTENT_TYPE, "application/json").header(AUTHORIZATION, asked.token);
        match request.body(()) {
            Ok(request) => {
                let (parts, ()) = request.into_parts();
                self.answer(Whole::of(parts, body, Arc::clone(request_id), started)).await
            }
            // What is no path is no action's.
            Err(_) => self.reply::<()>(Err(Error::NotFound("action")), request_id),
        }
    }

    /// An answer of a host's own, in the shape of all others.
    pub fn reply<T: Serialize>(&self, result: Result<T>, request_id: &str) -> Answer {
        self.write(result.and_then(|data| say(&data, request_id)), request_id)
    }
}

/// An object of plain values as a query.
fn query(input: Option<&RawValue>) -> Result<String> {
    let invalid = |why: &str| Error::InvalidInput(format!("input: {why}"));
    let Some(input) = input else { return Ok(String::new()) };
    let fields: BTreeMap<String, Value> =
        serde_json::from_str(input.get()).map_err(|_| invalid("an object is expected"))?;
    let mut query = form_urlencoded::Serializer::new(String::new());
    for (name, value) in fields {
        match value {
            Value::Null => {}
            Value::String(text) => drop(query.append_pair(&name, &text)),
            Value::Bool(_) | Value::Number(_) => drop(query.append_pair(&name, &value.to_string())),
            Value::Array(_) | Value::Object(_) => {
                return Err(invalid(&format!("{name}: a text, a number or a boolean is expected")));
            }
        }
    }
    Ok(query.finish())
}

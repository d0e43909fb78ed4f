//! Schemas as generators of clients read them well: words as `enum`, no schema that is a mere `true`, and what comes from here
//! apart from what goes in.
//!
//! What goes in is closed: a word that is not listed is refused. What comes from here is open: kinds and states will be
//! added, so a reply's words are listed as known ones (`x-known-values`), and others may come.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

/// Prefix of references to schemas.
const REFERENCE: &str = "#/components/schemas/";
/// Suffix of a schema's name whose form in replies differs from that in requests.
const OUTPUT: &str = "Output";

/// Both sides' definitions as one list. The replies of `operations` refer to it afterwards.
pub(super) fn merged(
    mut inputs: Map<String, Value>,
    mut replies: Map<String, Value>,
    operations: &mut [(Value, Value)],
) -> Map<String, Value> {
    for (input, reply) in operations.iter_mut() {
        plain(input);
        if *reply == Value::Bool(true) {
            *reply = json!({ "type": "object", "additionalProperties": true });
        }
        plain(reply);
        opened(reply);
    }
    inputs.values_mut().for_each(plain);
    for schema in replies.values_mut() {
        plain(schema);
        opened(schema);
    }
    let names = differing(&inputs, &replies);
    let rename = |schema: &mut Value| renamed(schema, &names);
    operations.iter_mut().for_each(|(_, reply)| rename(reply));
    let mut all = inputs;
    for (name, mut schema) in replies {
        rename(&mut schema);
        let name = if names.contains(&name) { format!("{name}{OUTPUT}") } else { name };
        all.insert(name, schema);
    }
    all
}

/// Every schema inside of a value, innermost first.
fn each(value: &mut Value, change: &impl Fn(&mut Value)) {
    match value {
        Value::Array(list) => list.iter_mut().for_each(|value| each(value, change)),
        Value::Object(fields) => fields.values_mut().for_each(|value| each(value, change)),
        _ => {}
    }
    change(value);
}

/// Words as `enum`, and `true` as a schema of anything.
pub fn plain(schema: &mut Value) {
    each(schema, &|schema| {
        let Some(fields) = schema.as_object_mut() else { return };
        for (name, value) in fields.iter_mut() {
            let holds_schemas = matches!(name.as_str(), "properties" | "patternProperties");
            let anything = |value: &mut Value| {
                if *value == Value::Bool(true) {
                    *value = json!({});
                }
            };
            match value {
                Value::Object(inner) if holds_schemas => inner.values_mut().for_each(anything),
                value if name == "items" => anything(value),
                _ => {}
            }
        }
        if let Some(Value::Array(choices)) = fields.get("oneOf")
            && let Some(words) = words_of(choices)
        {
            let meaning =
                words.iter().map(|(word, meaning)| format!("- `{word}`: {meaning}")).collect::<Vec<_>>();
            let own = fields.get("description").and_then(Value::as_str).unwrap_or_default();
            let description = format!("{own}\n\n{}", meaning.join("\n"));
            let words: Vec<&str> = words.iter().map(|(word, _)| word.as_str()).collect();
            let listed = json!({ "type": "string", "enum": words, "description": description.trim() });
            fields.remove("oneOf");
            fields.remove("description");
            fields.extend(
                listed.as_object().into_iter().flatten().map(|(name, value)| (name.clone(), value.clone())),
            );
        }
    });
}

/// Words and what they mean, where each choice is one; words without an explanation stand together as `enum`.
fn words_of(choices: &[Value]) -> Option<Vec<(String, String)>> {
    let mut words = Vec::new();
    for choice in choices {
        let meaning = choice["description"].as_str().unwrap_or_default();
        match (choice["const"].as_str(), choice["enum"].as_array()) {
            (Some(word), _) => words.push((word.to_owned(), meaning.replace('\n', " "))),
            (None, Some(list)) => {
                for word in list {
                    words.push((word.as_str()?.to_owned(), meaning.replace('\n', " ")));
                }
            }
            _ => return None,
        }
    }
    Some(words)
}

/// Words that are known, where others may come, and fields beside which others may.
pub fn opened(schema: &mut Value) {
    each(schema, &|schema| {
        let is_text = schema["type"] == "string";
        let Some(fields) = schema.as_object_mut() else { return };
        // Fields will be added too.
        if fields.get("additionalProperties") == Some(&Value::Bool(false)) {
            fields.remove("additionalProperties");
        }
        let known = match (fields.remove("enum"), fields.remove("const")) {
            (Some(words), _) if is_text => words,
            (None, Some(word)) if is_text => json!([word]),
            (Some(other), _) => {
                fields.insert("enum".to_owned(), other);
                return;
            }
            (None, Some(other)) => {
                fields.insert("const".to_owned(), other);
                return;
            }
            (None, None) => return,
        };
        fields.insert("x-known-values".to_owned(), known);
    });
}

/// The names that stand for one thing where they go in and for another where they come from here, by themselves or by what
/// they refer to.
fn differing(inputs: &Map<String, Value>, replies: &Map<String, Value>) -> BTreeSet<String> {
    let mut names: BTreeSet<String> = replies
        .iter()
        .filter(|(name, reply)| inputs.get(*name).is_some_and(|input| input != *reply))
        .map(|(name, _)| name.clone())
        .collect();
    let referred: BTreeMap<&String, BTreeSet<String>> =
        replies.iter().map(|(name, schema)| (name, references(schema))).collect();
    loop {
        let more: Vec<String> = referred
            .iter()
            .filter(|(name, others)| {
                inputs.contains_key(**name) && !names.contains(**name) && !others.is_disjoint(&names)
            })
            .map(|(name, _)| (*name).clone())
            .collect();
        if more.is_empty() {
            return names;
        }
        names.extend(more);
    }
}

fn references(schema: &Value) -> BTreeSet<String> {
    match schema {
        Value::Array(list) => list.iter().flat_map(references).collect(),
        Value::Object(fields) => {
            let own = fields.get("$ref").and_then(Value::as_str).and_then(|to| to.strip_prefix(REFERENCE));
            own.map(str::to_owned).into_iter().chain(fields.values().flat_map(references)).collect()
        }
        _ => BTreeSet::new(),
    }
}

fn renamed(schema: &mut Value, names: &BTreeSet<String>) {
    each(schema, &|schema| {
        let Some(Value::String(to)) = schema.as_object_mut().and_then(|fields| fields.get_mut("$ref")) else {
            return;
        };
        if to.strip_prefix(REFERENCE).is_some_and(|name| names.contains(name)) {
            to.push_str(OUTPUT);
        }
    });
}

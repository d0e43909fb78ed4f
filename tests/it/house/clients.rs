//! Clients that others' programs generate from openapi.json: they are made, and read what the server really answers.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::process::Command;

use guildhall::controllers::ACTIONS;
use serde_json::{Value, json};

use crate::house::authorisation::{ask_everything, prepare};

/// Replies to every action, by several callers: the entry's name, where it is asked, whether it was done, and the body.
async fn replies() -> Vec<Value> {
    let mut all = Vec::new();
    for caller in ["member", "moderator", "server"] {
        let (app, ids) = prepare(caller).await;
        for (entry, reply) in ask_everything(&app, caller, &ids).await {
            if entry.preview {
                continue;
            }
            all.push(json!({
                "name": (entry.name)(), "path": entry.route.path, "method": entry.route.method.as_str().to_lowercase(),
                "done": reply.status == 200, "body": reply.body,
            }));
        }
    }
    let done: BTreeSet<&str> =
        all.iter().filter(|reply| reply["done"] == true).filter_map(|reply| reply["name"].as_str()).collect();
    assert!(done.len() > 50, "replies of every kind: {}", done.len());
    all
}

fn run(command: &mut Command) {
    let output = command.env("PYTHONDONTWRITEBYTECODE", "1").output().unwrap();
    let (told, failed) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{command:?}:\n{told}\n{failed}");
}

fn tool(name: &str) -> std::path::PathBuf {
    let path = Path::new("target/tools").join(name);
    assert!(path.exists(), "{} is not there: run scripts/tools clients", path.display());
    path.canonicalize().unwrap_or(path)
}

/// Each reply is written as a constant of the type that the document gives it: the compiler reads them.
#[tokio::test]
async fn a_typescript_client_reads_every_reply() {
    let folder = tempfile::tempdir().unwrap();
    let bin = tool("clients-js").join("node_modules/.bin");
    run(Command::new(bin.join("openapi-typescript"))
        .args(["openapi.json", "-o"])
        .arg(folder.path().join("api.ts")));
    let mut text = "import type { paths } from \"./api\";\n".to_owned();
    for (n, reply) in replies().await.iter().enumerate() {
        let (path, method) = (reply["path"].as_str().unwrap(), reply["method"].as_str().unwrap());
        let status = if reply["done"] == true { "200" } else { "\"default\"" };
        writeln!(
            text,
            "export const r{n}: paths[\"{path}\"][\"{method}\"][\"responses\"][{status}][\"content\"][\"application/json\"] = {};",
            reply["body"]
        )
        .unwrap();
    }
    fs::write(folder.path().join("replies.ts"), text).unwrap();
    let files = ["api.ts", "replies.ts"].map(|file| folder.path().join(file));
    run(Command::new(bin.join("tsc")).args(["--noEmit", "--strict", "--target", "es2022"]).args(files));
}

/// Reads each reply into its class, and writes the same again.
const READ: &str = "
import importlib, json, sys
sys.path.insert(0, sys.argv[1])
models = importlib.import_module('guildhall_client.models')
for reply in json.load(open(sys.argv[2])):
    name = reply['name'] + 'Response' if reply['done'] else 'ErrorReply'
    read = getattr(models, name).from_dict(reply['body'])
    again = json.loads(json.dumps(read.to_dict()))
    assert again == reply['body'], (name, again, reply['body'])
";

#[tokio::test]
async fn a_python_client_reads_every_reply() {
    let folder = tempfile::tempdir().unwrap();
    let bin = tool("clients").join("bin");
    let made = folder.path().join("made");
    run(Command::new(bin.join("openapi-python-client"))
        .args(["generate", "--path", "openapi.json", "--meta", "none", "--output-path"])
        .arg(made.join("guildhall_client")));
    let file = folder.path().join("replies.json");
    fs::write(&file, json!(replies().await).to_string()).unwrap();
    run(Command::new(bin.join("python")).args(["-c", READ]).args([&made, &file]));
    // No action is left out: generators drop what they can't read.
    let made = walk(&made);
    for name in ["send_message", "sync_messages", "create_announcement", "decide_case"] {
        assert!(made.iter().any(|file| file.contains(name)), "{name} was not generated");
    }
}

/// Only generated: there is no C# compiler that the test could fetch. Each action is a method, and each request and reply a class.
#[tokio::test]
async fn a_csharp_client_is_generated_with_every_action() {
    let folder = tempfile::tempdir().unwrap();
    run(Command::new(tool("java"))
        .arg("-jar")
        .arg(tool("openapi-generator.jar"))
        .args(["generate", "--input-spec", "openapi.json", "--generator-name", "csharp", "--output"])
        .arg(folder.path()));
    let text = |file: &String| fs::read_to_string(file).unwrap();
    let files = walk(folder.path());
    let source = |part: &str| -> String {
        let part = format!("src/Org.OpenAPITools/{part}/");
        files.iter().filter(|file| file.contains(&part)).map(text).collect()
    };
    let (methods, classes) = (source("Api"), source("Model"));
    for entry in ACTIONS.iter().filter(|entry| !entry.preview) {
        let name = (entry.name)();
        assert!(methods.contains(&format!(" {name}Async(")), "{name} is no method");
        let reply = format!("class {name}Response ");
        assert!(entry.callback.is_some() || classes.contains(&reply), "{reply} was not generated");
    }
}

fn walk(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let inside =
        |path: std::path::PathBuf| if path.is_dir() { walk(&path) } else { vec![path.display().to_string()] };
    entries.flat_map(inside).collect()
}

//! Tasks as the game's server hands them over, and as an operator runs them by hand.

use guildhall::store::outbox;
use serde_json::json;

use crate::help::TestApp;

#[tokio::test]
async fn the_game_hands_tasks_over_and_sees_what_waits() {
    let app = TestApp::new().await;
    let server = app.server();
    let input = json!({ "task": "retention.v1", "payload": {}, "nonce": "n" });
    let first = server.post("/task/submit", input.clone()).await.data();
    let again = server.post("/task/submit", input).await.data();
    assert_eq!((&first["replayed"], &again["replayed"]), (&json!(false), &json!(true)));
    assert_eq!(first["id"], again["id"]);
    let status = server.get("/task/status").await.data();
    assert_eq!((&status["ready"], &status["dead"]), (&json!(1), &json!(0)));
    app.run_tasks().await;
    assert_eq!(
        outbox::find(&app.app.db, first["id"].as_str().unwrap()).await.unwrap().state.as_str(),
        "done"
    );

    for (input, code) in [
        (json!({ "task": "unknown.v1", "payload": {} }), "not_found"),
        (json!({ "task": "webhook.v1", "payload": { "channel": 7 } }), "invalid_input"),
        (json!({ "task": "retention.v1", "payload": { "more": 1 } }), "invalid_input"),
        (json!({ "task": "retention.v1", "payload": [] }), "invalid_input"),
        (json!({ "task": "retention.v1" }), "invalid_input"),
        (json!({ "task": "", "payload": {} }), "invalid_input"),
    ] {
        assert_eq!(server.post("/task/submit", input.clone()).await.code(), code, "{input}");
    }
    for actor in [app.player("alice"), app.moderator("mo")] {
        assert_eq!(actor.get("/task/status").await.code(), "forbidden");
        assert_eq!(
            actor.post("/task/submit", json!({ "task": "retention.v1", "payload": {} })).await.code(),
            "forbidden"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_runs_shows_and_retries_tasks_from_the_command_line() {
    let folder = tempfile::tempdir().unwrap();
    let run = |arguments: &[&str]| {
        let mut command = crate::help::process::program(folder.path());
        command.arg("task").args(arguments).env("GUILDHALL_DATA", folder.path().join("data"));
        let output = command.output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (output.status.code(), text(output.stdout), text(output.stderr))
    };
    let (code, out, fault) = run(&["run", "retention.v1"]);
    assert_eq!(code, Some(0), "{fault}");
    assert!(out.contains("state   done") && out.contains("tries   1"), "{out}");
    let (code, out, fault) = run(&["run", "review.v1", r#"{"channel":"c","seq":1}"#]);
    assert_eq!(code, Some(0), "{fault}");
    assert!(out.contains("state   dead") && out.contains("the channel is gone"), "{out}");
    let id = out.lines().next().unwrap().strip_prefix("id      ").unwrap().to_owned();
    assert!(run(&["list"]).1.contains(&id));
    assert!(run(&["show", &id]).1.contains("review.v1"));
    assert_eq!(run(&["retry", &id]).0, Some(0));
    assert!(run(&["show", &id]).1.contains("state   ready"));
    for (arguments, said) in [
        (vec!["run", "unknown.v1"], "no task is named 'unknown.v1'"),
        (vec!["run", "webhook.v1", "{}"], "missing field"),
        (vec!["run", "webhook.v1", r#"{"channel":"c","seq":1}"#], "can't be run here"),
        (vec!["unpark", "nobody"], "nobody is not set aside"),
        (vec!["show", "nobody"], "no such task"),
        (vec!["retry", "nobody"], "no such dead task"),
    ] {
        let (code, _, fault) = run(&arguments);
        assert_eq!(code, Some(1));
        assert!(fault.contains(said), "{arguments:?}: {fault}");
    }
}

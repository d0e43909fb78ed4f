//! Files of a list that come and go: what planners are told, and a list as one file.

use std::fs;
use std::process::Command;

use guildhall::wordlist::published;
use serde_json::json;

use crate::help::process::{Process, server_token};

/// A file that is gone is told wherever planners look, and a list goes into a package as one file.
#[test]
fn what_vanished_is_told_and_a_list_is_fetched_for_a_package() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    for (list, file, words) in [
        ("old", "a.txt", "dragon\ngriffin\n"),
        ("old", "b.txt", "unicorn\n"),
        ("new", "a.txt", "dragon\ngriffin\n"),
    ] {
        fs::create_dir_all(path(list)).unwrap();
        fs::write(folder.path().join(list).join(file), words).unwrap();
    }
    let run = |arguments: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_guildhall"))
            .arg("wordlist")
            .args(arguments)
            .env_clear()
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8([output.stdout, output.stderr].concat()).unwrap()
    };
    assert!(
        run(&["check", &path("new"), "--before", &path("old")])
            .contains("warning: b.txt: the file was there before")
    );
    let diff =
        run(&["diff", &path("old"), &path("new"), "--texts", "/dev/null", "--html", &path("diff.html")]);
    assert!(diff.contains("files gone (1)\n  b.txt"), "{diff}");
    assert!(
        fs::read_to_string(path("diff.html"))
            .unwrap()
            .contains("<strong>Files gone · 消失的文件</strong>: b.txt")
    );
    run(&["publish", &path("old"), "--to", &path("place")]);
    let published = run(&["publish", &path("new"), "--to", &path("place")]);
    assert!(published.contains("warning: b.txt was published before and is gone"), "{published}");
    let fetched = path("wordlist.json");
    assert!(run(&["fetch", &path("place"), &fetched]).contains("2 entries"));
    assert!(fs::read_to_string(fetched).unwrap().contains("griffin"));
}

/// A program whose package carries a list starts on it while storage is away and nothing was kept.
#[tokio::test(flavor = "multi_thread")]
async fn a_package_carries_a_list_for_a_start_without_storage() {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let program = folder.path().join("guildhall");
    fs::hard_link(env!("CARGO_BIN_EXE_guildhall"), &program).unwrap();
    let files = vec![("words.txt".to_owned(), b"dragon\ngriffin\n".to_vec())];
    fs::write(folder.path().join("wordlist.json"), published::bundle(&files).unwrap()).unwrap();
    let data = folder.path().join("data");
    let variables = [("GUILDHALL_WORDLISTS", "/nowhere")];
    let process = Process::start_program(&program, &data, &variables);
    let mut connection = process.connect().await.unwrap();
    let status =
        connection.call(&server_token(), "/wordlist/status", None).await.unwrap().body["data"].clone();
    assert_eq!((&status["origin"], &status["entries"]), (&json!("package"), &json!(2)));
    let ready = connection.call("", "/health/ready", None).await.unwrap().body["data"].clone();
    assert_eq!(ready["wordlist"]["stale"], true);
}

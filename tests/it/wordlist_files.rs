//! Files of a list that come and go: what planners are told, and a list as one file.

use std::fs;
use std::process::Command;

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
    assert!(fs::read_to_string(path("diff.html")).unwrap().contains("<b>Files gone:</b> b.txt"));
    run(&["publish", &path("old"), "--to", &path("place")]);
    let published = run(&["publish", &path("new"), "--to", &path("place")]);
    assert!(published.contains("warning: b.txt was published before and is gone"), "{published}");
    let fetched = path("wordlist.json");
    assert!(run(&["fetch", &path("place"), &fetched]).contains("2 entries"));
    assert!(fs::read_to_string(fetched).unwrap().contains("griffin"));
}

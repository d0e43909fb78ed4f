//! What `wordlist check` says of lists: places, mends, innocent hits, severities.

use serde_json::{Value, json};

use crate::filter::wordlist::{Folder, fails, guildhall, succeeds};

#[test]
fn the_repositorys_own_list_is_without_warnings() {
    let report = succeeds(&["check", "wordlists", "--strict"]);
    assert!(report.trim_end().ends_with("0 errors, 0 warnings"), "{report}");
}

#[test]
fn check_names_place_and_mend_of_everything_at_once() {
    let lists = Folder::new(&[
        ("a.txt", "dragon\nDRAGON\n敏感词\n大敏感词\nhello\ngreen dragon | reject\nunicorn\n"),
        ("allow.txt", "my unicorn\nunicorn\nnothing\n"),
        ("cases.tsv", "a dragon\tpass\na dragon\tmask\ta ++++++\n"),
    ]);
    let report: Value =
        serde_json::from_slice(&guildhall(&["check", lists.path(), "--json"]).stdout).unwrap();
    let found: Vec<(&str, &str, &str)> = report["findings"]
        .as_array()
        .unwrap()
        .iter()
        .map(|f| (f["level"].as_str().unwrap(), f["kind"].as_str().unwrap(), f["place"].as_str().unwrap()))
        .collect();
    for expected in [
        ("warning", "duplicate", "a.txt:2"),
        ("warning", "covered", "a.txt:4"),
        ("error", "clean-text", "a.txt:5"),
        ("error", "allowed", "a.txt:7"),
        ("note", "idle-allow", "allow.txt"),
        ("error", "case", "cases.tsv:1"),
        ("error", "case", "cases.tsv:2"),
    ] {
        assert!(found.contains(&expected), "{expected:?} in {found:?}");
    }
    assert!(
        !found.iter().any(|(.., place)| *place == "a.txt:6"),
        "a stronger entry is not covered by a weaker one"
    );
    let printed = fails(&["check", lists.path()]);
    assert!(printed.contains("error: a.txt:5: 'hello' hits"), "{printed}");
}

#[test]
fn check_counts_innocent_hits_by_category_and_proposes_phrases() {
    let lists = Folder::new(&[("beasts.txt", "ragon | substring\n感词\n"), ("idle.txt", "wyvern\n")]);
    let clean = Folder::new(&[("clean.txt", "")]);
    let mut lines = vec!["a fine day"; 2_000];
    lines.extend(["my dragonfly's nest", "有敏感词汇"]);
    clean.write("clean.txt", &lines.join("\n"));
    let file = format!("{}/clean.txt", clean.path());
    let arguments = ["check", lists.path(), "--clean", &file, "--json"];
    let report: Value = serde_json::from_str(&succeeds(&arguments)).unwrap();
    assert_eq!(report["clean"], 2_002);
    assert_eq!(
        report["innocent"],
        json!([
            { "category": "beasts", "entries": 2, "lines": 2 },
            { "category": "idle", "entries": 1, "lines": 0 },
        ])
    );
    let messages: Vec<&str> =
        report["findings"].as_array().unwrap().iter().map(|f| f["message"].as_str().unwrap()).collect();
    assert!(
        messages.iter().any(|message| message.contains("write 'dragonfly's' into allow.txt")),
        "{messages:?}"
    );
    assert!(
        messages.iter().any(|message| message.contains("write '敏感词汇' into allow.txt")),
        "{messages:?}"
    );
    let printed = succeeds(&arguments[..4]);
    assert!(printed.contains("beasts: 2 entries hit 2 of 2002 clean lines (0.10 %)"), "{printed}");
    // As it was proposed, so it is mended.
    lists.write("allow.txt", "dragonfly's\n敏感词汇\n");
    succeeds(&["check", lists.path(), "--clean", &file, "--strict"]);
}

#[test]
fn an_entry_has_a_severity() {
    let lists = Folder::new(&[("a.txt", "@severity 3\nhydra\nwyvern | severity=1\n"), ("b.txt", "dragon\n")]);
    let severity = |text: &str| {
        let verdict: Value =
            serde_json::from_str(&succeeds(&["test", text, "--folder", lists.path(), "--json"])).unwrap();
        verdict["hits"][0]["severity"].clone()
    };
    assert_eq!((severity("hydra"), severity("wyvern"), severity("dragon")), (json!(3), json!(1), json!(2)));
    for (text, told) in
        [("@severity 4\nhydra\n", "@severity is 1, 2 or 3"), ("hydra | severity=0\n", "unknown option")]
    {
        lists.write("a.txt", text);
        assert!(fails(&["check", lists.path()]).contains(told), "{text}");
    }
}

#[test]
fn check_reports_faults_and_exit_codes() {
    let broken = Folder::new(&[("a.txt", "fine words\nx\n"), ("b.txt", "@colour red\n")]);
    let report = fails(&["check", broken.path()]);
    assert!(report.contains("error: a.txt:2: 'x' is one character"), "{report}");
    assert!(report.contains("error: b.txt:1: unknown directive @colour"), "{report}");
    fails(&["check", "/nowhere"]);
    let doubled = Folder::new(&[("a.txt", "dragon\nDragon\n")]);
    succeeds(&["check", doubled.path()]);
    fails(&["check", doubled.path(), "--strict"]);
    let clean = Folder::new(&[("clean.tsv", "a dragon\n")]);
    let one = Folder::new(&[("a.txt", "dragon\n")]);
    let clean = format!("{}/clean.tsv", clean.path());
    fails(&["check", one.path(), "--clean", &clean]);
}

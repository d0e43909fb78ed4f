//! Wordlists as planners and moderators meet them: the commands, publication, and the actions.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use guildhall::base::clock::Clock;
use guildhall::outside::objects::Objects;
use guildhall::wordlist::published;
use serde_json::{Value, json};

use crate::help::TestApp;

pub struct Folder(tempfile::TempDir);

impl Folder {
    pub fn new(files: &[(&str, &str)]) -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        files.iter().for_each(|(name, text)| folder.write(name, text));
        folder
    }

    pub fn write(&self, name: &str, text: &str) {
        fs::write(self.0.path().join(name), text).unwrap();
    }

    pub fn path(&self) -> &str {
        self.0.path().to_str().unwrap()
    }
}

pub fn guildhall(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_guildhall"))
        .arg("wordlist")
        .args(arguments)
        .env_clear()
        .env("GUILDHALL_DATA", "/nowhere")
        .output()
        .unwrap()
}

#[track_caller]
pub fn succeeds(arguments: &[&str]) -> String {
    let output = guildhall(arguments);
    assert!(output.status.success(), "{arguments:?}: {}{}", text(&output.stdout), text(&output.stderr));
    text(&output.stdout)
}

#[track_caller]
pub fn fails(arguments: &[&str]) -> String {
    let output = guildhall(arguments);
    assert_eq!(output.status.code(), Some(1), "{arguments:?}: {}", text(&output.stdout));
    text(&output.stdout) + &text(&output.stderr)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn diff_shows_what_a_change_does() {
    let old = Folder::new(&[("a.txt", "dragon\ngriffin\n")]);
    let new =
        Folder::new(&[("a.txt", "dragon | reject\nhydra | severity=1\n"), ("allow.txt", "hydra cake\n")]);
    let texts = Folder::new(&[("texts", "a griffin\na hydra\na hydra cake\n<b>hydra</b>\nnothing\n")]);
    let file = format!("{}/texts", texts.path());
    let page = format!("{}/page.html", texts.path());
    let diff: Value = serde_json::from_str(&succeeds(&[
        "diff",
        old.path(),
        new.path(),
        "--texts",
        &file,
        "--json",
        "--html",
        &page,
    ]))
    .unwrap();
    let entries = |list: &Value| -> Vec<String> {
        list.as_array().unwrap().iter().map(|l| l["entry"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(
        (entries(&diff["added"]), entries(&diff["removed"])),
        (vec!["dragon".to_owned(), "hydra".to_owned()], vec!["dragon".to_owned(), "griffin".to_owned()])
    );
    assert_eq!(
        diff["newly_hit"],
        json!([{
            "entry": "hydra", "category": "a", "severity": 1, "texts": 2, "samples": ["a hydra", "<b>hydra</b>"],
        }])
    );
    assert_eq!(
        diff["newly_passing"],
        json!([{ "entry": "griffin", "category": "a", "severity": 2, "texts": 1, "samples": ["a griffin"] }])
    );
    let page = fs::read_to_string(page).unwrap();
    assert!(page.contains("&lt;b&gt;hydra&lt;/b&gt;") && !page.contains("<b>"), "players' text stays text");
    for part in ["prefers-color-scheme: dark", "<details>", "词表变更", "charset=utf-8", "<td>a<td class=n>1"]
    {
        assert!(page.contains(part), "{part} in {page}");
    }
    let printed = succeeds(&["diff", old.path(), new.path(), "--texts", &file]);
    assert!(
        printed.contains("would newly be hit (1)") && printed.contains("5 texts were judged"),
        "{printed}"
    );
}

#[test]
fn test_draws_what_hits_under_the_text() {
    let lists = Folder::new(&[("beasts.txt", "dragon | severity=3\n敏感词\n")]);
    let drawn = succeeds(&["test", "大 敏感词 d.r.a.g.o.n", "--folder", lists.path()]);
    let lines: Vec<&str> = drawn.lines().collect();
    assert_eq!(lines[1], "   ^^^^^^ '敏感词' in beasts: mask, severity 2");
    assert!(
        lines[2].starts_with("          ^^^^^^^^^^^ 'dragon' in beasts: mask, severity 3, found hidden"),
        "{drawn}"
    );
    assert_eq!(lines[3], "mask: 大 *** ***********");
    assert_eq!(succeeds(&["test", "fine", "--folder", lists.path()]), "fine\npasses\n");
}

#[test]
fn publishing_and_going_back() {
    let place = tempfile::tempdir().unwrap();
    let to = place.path().to_str().unwrap();
    let lists = Folder::new(&[("a.txt", "dragon\ngriffin\nhydra\nwyvern\n")]);
    let publish = |by: &str| -> Value {
        serde_json::from_str(&succeeds(&["publish", lists.path(), "--to", to, "--by", by, "--json"])).unwrap()
    };
    let first = publish("ann");
    lists.write("a.txt", "dragon\ngriffin\nhydra\nwyvern\nunicorn\n");
    let second = publish("ben");
    assert_ne!(first["sha256"], second["sha256"]);

    lists.write("a.txt", "dragon\nhello\n");
    assert!(fails(&["publish", lists.path(), "--to", to]).contains("not published: the check fails"));
    lists.write("a.txt", "dragon\n");
    assert!(fails(&["publish", lists.path(), "--to", to]).contains("1 entries instead of 5"));
    let pointer = || {
        let objects = Objects::in_folder(place.path());
        let looked = async move { published::pointer(&objects).await.unwrap().unwrap() };
        tokio::runtime::Runtime::new().unwrap().block_on(looked)
    };
    assert_eq!(pointer().sha256, second["sha256"], "a refused list changes nothing");
    succeeds(&["publish", lists.path(), "--to", to, "--force"]);

    let begins = &first["sha256"].as_str().unwrap()[..10];
    succeeds(&["rollback", begins, "--to", to, "--by", "cid"]);
    assert_eq!(pointer().sha256, first["sha256"]);
    succeeds(&["rollback", "--to", to]);
    assert_ne!(pointer().sha256, first["sha256"], "without a hash it is the one before");
    fails(&["rollback", "ffffffffffff", "--to", to]);
    let history: Value = serde_json::from_str(&succeeds(&["history", "--to", to, "--json"])).unwrap();
    let by: Vec<_> = history
        .as_array()
        .unwrap()
        .iter()
        .map(|p| (p["by"].as_str().unwrap(), p["by_way_of"].as_str().unwrap()))
        .collect();
    assert_eq!(
        by,
        [
            ("ann", "publish"),
            ("ben", "publish"),
            ("unknown", "publish"),
            ("cid", "rollback"),
            ("unknown", "rollback")
        ]
    );
}

async fn serving(place: &Path) -> TestApp {
    // The tests' build may take longer over 100,000 entries on a busy machine than a request may elsewhere.
    let patience = ("GUILDHALL_REQUEST_TIMEOUT_S", "300");
    let app = TestApp::with(&[("GUILDHALL_WORDLISTS", place.to_str().unwrap()), patience]).await;
    app.world("world", &["alice"]).await;
    app
}

async fn publish(place: &Path, words: &str) {
    let files = vec![("a.txt".to_owned(), words.as_bytes().to_vec())];
    let (entries, objects) = (words.lines().count(), Objects::in_folder(place));
    published::publish(&objects, &files, entries, ("test", Clock::default().now()), None).await.unwrap();
}

#[tokio::test]
async fn published_lists_are_served_and_faults_of_the_place_keep_the_last_one() {
    let place = tempfile::tempdir().unwrap();
    publish(place.path(), "dragon\ngriffin\n").await;
    let app = serving(place.path()).await;
    assert_eq!(app.player("alice").say("world", "dragon unicorn").await["text"], "****** unicorn");
    publish(place.path(), "unicorn\ngriffin\n").await;
    let refreshed = app.server().post("/wordlist/refresh", json!({})).await.data();
    assert_eq!((&refreshed["entries"], &refreshed["last_error"]), (&json!(2), &Value::Null));
    assert_eq!(app.player("alice").say("world", "dragon unicorn").await["text"], "dragon *******");

    let good = fs::read_to_string(place.path().join("current.json")).unwrap();
    type Fault = (&'static str, &'static str, fn(&Path, &Path));
    let faults: [Fault; 8] = [
        ("missing", "is missing", |_, bundle| fs::remove_file(bundle).unwrap()),
        ("empty", "other size or hash", |_, bundle| fs::write(bundle, b"").unwrap()),
        ("cut short", "other size or hash", |_, bundle| {
            let bytes = fs::read(bundle).unwrap();
            fs::write(bundle, &bytes[..bytes.len() / 2]).unwrap();
        }),
        ("another of the same size", "other size or hash", |_, bundle| {
            fs::write(bundle, vec![b'x'; fs::read(bundle).unwrap().len()]).unwrap();
        }),
        ("huge", "bytes, more than", |_, bundle| {
            fs::File::options().write(true).open(bundle).unwrap().set_len(65 << 20).unwrap();
        }),
        ("no JSON", "current.json", |pointer, _| fs::write(pointer, "{").unwrap()),
        ("a path for a hash", "is no SHA-256", |pointer, _| {
            let text = fs::read_to_string(pointer).unwrap();
            fs::write(pointer, text.replace("sha256\": \"", "sha256\": \"../")).unwrap();
        }),
        ("older", "is older than the one in use", |pointer, _| {
            let mut json: Value = serde_json::from_slice(&fs::read(pointer).unwrap()).unwrap();
            json["published_at"] = json!(1);
            fs::write(pointer, json.to_string()).unwrap();
        }),
    ];
    for (fault, says, cause) in faults {
        publish(place.path(), &format!("dragon\n{fault}\n")).await;
        let pointer = published::pointer(&Objects::in_folder(place.path())).await.unwrap().unwrap();
        cause(&place.path().join("current.json"), &place.path().join("lists").join(&pointer.sha256));
        let status = app.server().post("/wordlist/refresh", json!({})).await.data();
        assert!(status["last_error"].as_str().unwrap_or_default().contains(says), "{fault}: {status}");
        assert_eq!(
            app.player("alice").say("world", "dragon unicorn").await["text"],
            "dragon *******",
            "{fault}"
        );
    }
    fs::write(place.path().join("current.json"), &good).unwrap();
    let status = app.server().post("/wordlist/refresh", json!({})).await.data();
    assert_eq!(status["last_error"], Value::Null);
}

#[tokio::test]
async fn moderators_see_the_list_try_texts_and_learn_what_hits() {
    let place = tempfile::tempdir().unwrap();
    publish(place.path(), "dragon\ngriffin\npassword | reject\n").await;
    let app = serving(place.path()).await;
    let (alice, mo) = (app.player("alice"), app.moderator("mo"));
    let status = mo.get("/wordlist/status").await.data();
    assert_eq!((&status["entries"], &status["last_error"]), (&json!(3), &Value::Null));

    let tried = mo.post("/wordlist/test", json!({ "text": "my dr4gon" })).await.data();
    assert_eq!(
        (&tried["action"], &tried["masked"], &tried["version"]),
        (&json!("mask"), &json!("my ******"), &status["version"])
    );
    assert_eq!(
        (&tried["hits"][0]["entry"], &tried["hits"][0]["start"], &tried["hits"][0]["end"]),
        (&json!("dragon"), &json!(3), &json!(9))
    );

    for _ in 0..3 {
        alice.say("world", "a dragon").await;
    }
    let input = json!({ "channel": "world", "text": "griffin", "nonce": "n" });
    alice.post("/message/send", input.clone()).await.data();
    alice.post("/message/send", input).await.data();
    assert_eq!(
        alice.post("/message/send", json!({ "channel": "world", "text": "password" })).await.code(),
        "rejected"
    );
    let hits = mo.get("/wordlist/hits").await.data();
    let counts: Vec<_> = hits["entries"]
        .as_array()
        .unwrap()
        .iter()
        .map(|e| (e["entry"].as_str().unwrap(), e["hits"].as_i64().unwrap()))
        .collect();
    assert_eq!(
        counts,
        [("dragon", 3), ("griffin", 1), ("password", 1)],
        "a replay counts once, a trial not at all"
    );
}

#[tokio::test]
async fn words_spelled_over_messages_and_unsafe_text() {
    let app = TestApp::with(&[("GUILDHALL_FILTER_WINDOW", "10s")]).await;
    app.world("world", &["alice", "bob"]).await;
    let (alice, bob) = (app.player("alice"), app.player("bob"));
    alice.say("world", "bad").await;
    assert_eq!(bob.say("world", "word").await["masked"], false, "another sender's");
    assert_eq!(alice.say("world", "word").await["text"], "****");
    alice.say("world", "bad").await;
    app.clock.advance(10_500);
    assert_eq!(alice.say("world", "word").await["text"], "word", "too long ago");
    let shown = alice.say("world", "a\u{202e}b <size=99>big</size>").await;
    assert_eq!((&shown["text"], &shown["masked"]), (&json!("ab ＜size=99>big＜/size>"), &json!(false)));
    let plain = TestApp::with(&[("GUILDHALL_DISPLAY_SAFETY", "off")]).await;
    plain.world("world", &["alice"]).await;
    assert_eq!(plain.player("alice").say("world", "<size=99>").await["text"], "<size=99>");
}

/// Lists of 100,000 entries change while messages are judged; nobody waits for it and nothing fails. The times are
/// printed: `scripts/dev test large_lists -- --nocapture`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_lists_change_under_load_and_nobody_waits() {
    let words =
        |seed: usize| -> String { (0..100_000).map(|n| format!("w{}x{seed}\n", n * 7_919)).collect() };
    let place = tempfile::tempdir().unwrap();
    publish(place.path(), &words(1)).await;
    let app = Arc::new(serving(place.path()).await);
    let done = Arc::new(AtomicBool::new(false));
    let sent = Arc::new(AtomicUsize::new(0));
    let sender = {
        let (app, done, sent) = (Arc::clone(&app), Arc::clone(&done), Arc::clone(&sent));
        tokio::spawn(async move {
            let mut took = Vec::new();
            while !done.load(Ordering::SeqCst) {
                let started = Instant::now();
                app.player("alice").say("world", "hello there").await;
                took.push(started.elapsed());
                sent.fetch_add(1, Ordering::SeqCst);
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            took
        })
    };
    for seed in 2..5 {
        publish(place.path(), &words(seed)).await;
        let before = sent.load(Ordering::SeqCst);
        let status = app.server().post("/wordlist/refresh", json!({})).await.data();
        let meanwhile = sent.load(Ordering::SeqCst) - before;
        assert!(meanwhile > 10, "{meanwhile} sends while the list was built: they waited for it");
        assert_eq!((&status["last_error"], &status["entries"]), (&Value::Null, &json!(100_000)));
        let tried = app
            .moderator("mo")
            .post("/wordlist/test", json!({ "text": format!("w7919x{seed}") }))
            .await
            .data();
        assert_eq!(tried["action"], "mask", "the new list judges");
    }
    done.store(true, Ordering::SeqCst);
    let mut took = sender.await.unwrap();
    took.sort();
    let (usual, slowest) = (took[took.len() / 2], took[took.len() - 1]);
    println!("{} sends, usually {usual:?}, the slowest {slowest:?}", took.len());
}

//! Serving wordlists: a changed list is in use without a restart, and no fault costs the last good one.

use std::fs;
use std::path::Path;

use guildhall::outside::objects::Objects;
use guildhall::wordlist::published;
use serde_json::{Value, json};

use crate::help::TestApp;

struct Lists {
    app: TestApp,
    folder: tempfile::TempDir,
}

impl Lists {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("words.txt"), "dragon\ngriffin\nwyvern\nhydra\n").unwrap();
        let path = folder.path().to_str().unwrap().to_owned();
        let app =
            TestApp::with(&[("GUILDHALL_WORDLISTS", &path), ("GUILDHALL_WORDLIST_REFRESH_S", "300")]).await;
        app.world("world", &["alice"]).await;
        Self { app, folder }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    async fn after(&self, ms: i64) -> String {
        self.app.clock.advance(ms);
        self.app.app.blocklist.refresh_if_old().await;
        self.app.player("alice").say("world", "dragon unicorn").await["text"].as_str().unwrap().to_owned()
    }

    async fn stale(&self) -> bool {
        self.app.nobody().get("/health/ready").await.data()["wordlist"]["stale"].as_bool().unwrap()
    }
}

#[tokio::test]
async fn a_changed_list_is_in_use_after_five_minutes() {
    let lists = Lists::new().await;
    assert_eq!(lists.after(0).await, "****** unicorn");
    fs::write(lists.path().join("words.txt"), "unicorn\ngriffin\nwyvern\nhydra\n").unwrap();
    assert_eq!(lists.after(299_000).await, "****** unicorn", "not asked again before its age");
    assert_eq!(lists.after(1_001).await, "dragon *******");
    let version =
        || async { lists.app.nobody().get("/health/ready").await.data()["wordlist"]["version"].clone() };
    let before = version().await;
    assert_eq!(lists.after(301_000).await, "dragon *******");
    assert_eq!(version().await, before, "an unchanged list keeps its version");
}

type Fault = (&'static str, fn(&Path));

const FAULTS: &[Fault] = &[
    ("missing", |path| fs::remove_dir_all(path).unwrap()),
    ("empty", |path| fs::write(path.join("words.txt"), "").unwrap()),
    ("comments alone", |path| fs::write(path.join("words.txt"), "# nothing\n").unwrap()),
    ("not UTF-8", |path| fs::write(path.join("words.txt"), b"dra\xffgon\n").unwrap()),
    ("under half", |path| fs::write(path.join("words.txt"), "unicorn\n").unwrap()),
    ("unknown directive", |path| fs::write(path.join("more.txt"), "@colour red\nunicorn\n").unwrap()),
    ("unknown option", |path| fs::write(path.join("more.txt"), "unicorn | sometimes\n").unwrap()),
    ("a merge that nobody ended", |path| {
        fs::write(path.join("more.txt"), "<<<<<<< HEAD\nunicorn\n=======\npegasus\n>>>>>>> theirs\n")
            .unwrap();
    }),
    ("one character", |path| fs::write(path.join("more.txt"), "u\n").unwrap()),
    ("a case that fails", |path| fs::write(path.join("cases.tsv"), "unicorn\tmask\n").unwrap()),
    ("a broken case", |path| fs::write(path.join("cases.tsv"), "unicorn\n").unwrap()),
    ("huge", |path| fs::File::create(path.join("huge.txt")).unwrap().set_len(65 * 1024 * 1024).unwrap()),
];

#[tokio::test]
async fn every_fault_keeps_the_last_good_list_and_says_so() {
    for (fault, cause) in FAULTS {
        let lists = Lists::new().await;
        cause(lists.path());
        assert_eq!(lists.after(300_001).await, "****** unicorn", "{fault}");
        assert!(lists.stale().await, "{fault}");
        assert!(lists.app.app.blocklist.status().last_error.is_some());
    }
}

#[tokio::test]
async fn a_mended_list_is_taken_again() {
    let lists = Lists::new().await;
    fs::write(lists.path().join("words.txt"), b"\xff").unwrap();
    assert_eq!(lists.after(300_001).await, "****** unicorn");
    fs::write(lists.path().join("words.txt"), "unicorn\nhydra\n").unwrap();
    assert_eq!(lists.after(9_000).await, "****** unicorn", "not at every request while it fails");
    assert_eq!(lists.after(1_001).await, "dragon *******", "a failed check is soon tried again");
    assert!(!lists.stale().await);
}

/// A server on a data folder of its own, as it starts again and again.
async fn start(data: &Path, lists: &str) -> TestApp {
    std::fs::create_dir_all(data).unwrap();
    let app =
        TestApp::with(&[("GUILDHALL_DATA", data.to_str().unwrap()), ("GUILDHALL_WORDLISTS", lists)]).await;
    app.server()
        .post("/channel/create", json!({ "id": "world", "kind": "world", "settings": { "open": true } }))
        .await
        .data();
    app
}

async fn origin(app: &TestApp) -> Value {
    app.server().get("/wordlist/status").await.data()["origin"].clone()
}

async fn shown(app: &TestApp) -> Value {
    app.moderator("mo").say("world", "dragon unicorn badword").await["text"].clone()
}

/// Whatever is wrong when a server starts again: it goes on with what it had, and says so.
#[tokio::test]
async fn a_restart_on_a_faulty_list_keeps_the_last_good_one() {
    for (fault, cause) in FAULTS {
        let folder = tempfile::tempdir().unwrap();
        let (data, lists) = (folder.path().join("data"), folder.path().join("lists"));
        fs::create_dir(&lists).unwrap();
        fs::write(lists.join("words.txt"), "dragon\ngriffin\nwyvern\nhydra\n").unwrap();
        let place = lists.to_str().unwrap();
        let app = start(&data, place).await;
        assert_eq!(
            (origin(&app).await, shown(&app).await),
            (json!("current"), json!("****** unicorn badword"))
        );
        drop(app);
        cause(&lists);
        let app = start(&data, place).await;
        assert_eq!(
            (origin(&app).await, shown(&app).await),
            (json!("kept"), json!("****** unicorn badword")),
            "{fault}"
        );
        assert_eq!(app.nobody().get("/health/ready").await.data()["wordlist"]["stale"], true, "{fault}");
        let _ = fs::remove_dir_all(&lists);
        fs::create_dir(&lists).unwrap();
        fs::write(lists.join("words.txt"), "unicorn\nhydra\n").unwrap();
        app.server().post("/wordlist/refresh", json!({})).await.data();
        assert_eq!(
            (origin(&app).await, shown(&app).await),
            (json!("current"), json!("dragon ******* badword")),
            "{fault}: mended"
        );
    }
}

/// Where nothing is kept: the newest good one of what was published.
#[tokio::test]
async fn a_start_without_a_kept_list_finds_the_last_good_one_that_was_published() {
    let folder = tempfile::tempdir().unwrap();
    let (data, place) = (folder.path().join("data"), folder.path().join("published"));
    let objects = Objects::in_folder(&place);
    for (number, words) in ["griffin\nhydra\n", "dragon\nhydra\n"].into_iter().enumerate() {
        let files = vec![("words.txt".to_owned(), words.as_bytes().to_vec())];
        published::publish(&objects, &files, 2, ("ann", number as i64), None).await.unwrap();
    }
    let pointer = fs::read_to_string(place.join("current.json")).unwrap();
    for broken in ["{", &pointer.replace("\"sha256\": \"", "\"sha256\": \"0")] {
        fs::write(place.join("current.json"), broken).unwrap();
        let _ = fs::remove_file(data.join("wordlist.json"));
        let app = start(&data, place.to_str().unwrap()).await;
        assert_eq!(
            (origin(&app).await, shown(&app).await),
            (json!("history"), json!("****** unicorn badword"))
        );
    }
}

/// A file of the list that vanished is told, though what is left can be used.
#[tokio::test]
async fn a_file_that_is_gone_is_told() {
    let lists = Lists::new().await;
    fs::write(lists.path().join("more.txt"), "unicorn\n").unwrap();
    assert_eq!(lists.after(300_001).await, "****** *******");
    fs::remove_file(lists.path().join("more.txt")).unwrap();
    assert_eq!(lists.after(300_001).await, "****** unicorn");
    let status = lists.app.server().get("/wordlist/status").await.data();
    assert_eq!((&status["vanished"], &status["origin"]), (&json!(["more.txt"]), &json!("current")));
}

#[tokio::test]
async fn a_first_start_without_lists_uses_the_built_in_ones() {
    let app = TestApp::with(&[("GUILDHALL_WORDLISTS", "/nowhere")]).await;
    app.world("world", &["alice"]).await;
    assert_eq!(app.player("alice").say("world", "a badword").await["text"], "a *******");
    let ready = app.nobody().get("/health/ready").await.data();
    assert_eq!((&ready["ready"], &ready["wordlist"]["stale"]), (&json!(true), &json!(true)));
    assert_eq!(origin(&app).await, "built_in");
}

/// The built-in lists are the repository's: same version means same files.
#[tokio::test]
async fn the_built_in_lists_are_those_of_the_repository() {
    let repository = concat!(env!("CARGO_MANIFEST_DIR"), "/wordlists");
    let from_folder = TestApp::with(&[("GUILDHALL_WORDLISTS", repository)]).await;
    let built_in = TestApp::with(&[("GUILDHALL_WORDLISTS", "/nowhere")]).await;
    assert_eq!(from_folder.app.blocklist.version(), built_in.app.blocklist.version());
    assert!(from_folder.app.blocklist.status().last_error.is_none());
}

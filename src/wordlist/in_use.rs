//! The filter in use, and where it comes from: read again when it is old, swapped in whole, never lost to a fault.
//!
//! A server asks from a timer, a Lambda instance within a request, as it is frozen in between. Building happens
//! off the requests' path. Whatever goes wrong, the last good list stays.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use schemars::JsonSchema;
use serde::Serialize;
use tokio::sync::Mutex;

use crate::base::clock::{Clock, Millis};
use crate::base::random;
use crate::config::{Config, Location, Platform};
use crate::filter::policy::Policy;
use crate::filter::{Filter, Wordlist};
use crate::outside::objects::Objects;
use crate::wordlist::published::{self, Pointer, PointerState};
use crate::wordlist::{self, Files, check, last_good};

/// The lists that the program was built with: for a first start without any.
const BUILT_IN: &[(&str, &[u8])] = &[
    ("allow.txt", include_bytes!("../../wordlists/allow.txt")),
    ("cases.tsv", include_bytes!("../../wordlists/cases.tsv")),
    ("contact.txt", include_bytes!("../../wordlists/contact.txt")),
    ("fraud.txt", include_bytes!("../../wordlists/fraud.txt")),
    ("hate.txt", include_bytes!("../../wordlists/hate.txt")),
    ("insults.txt", include_bytes!("../../wordlists/insults.txt")),
    ("policy.toml", include_bytes!("../../wordlists/policy.toml")),
    ("politics.txt", include_bytes!("../../wordlists/politics.txt")),
    ("self-harm.txt", include_bytes!("../../wordlists/self-harm.txt")),
    ("sexual.txt", include_bytes!("../../wordlists/sexual.txt")),
    ("threats.txt", include_bytes!("../../wordlists/threats.txt")),
    ("watch.txt", include_bytes!("../../wordlists/watch.txt")),
];

/// After a check that failed, the next one within a request waits so long.
const PAUSE_MS: Millis = 10_000;

/// A check may end so late after its time without the process having stood still; or a tenth of the age, if that is
/// more: requests must not wait for a storage that is slow.
const LATE_MS: Millis = 1_000;

/// A list in use.
pub struct Loaded {
    /// Judges.
    pub filter: Filter,
    /// Strictness by kind of channels.
    pub policy: Policy,
    /// The first half of the SHA-256 of all its files, in hex.
    pub version: String,
    /// Number of blocked entries.
    pub entries: usize,
    /// Files that the list before had and this one has not.
    pub vanished: Vec<String>,
    /// Names of its files.
    names: Vec<String>,
    /// Pointer to the list, if it was published, and the pointer's tag.
    pointer: Option<(Pointer, String)>,
}

/// Source of the list in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// The configured place, as it is now or as it last could be used.
    Current,
    /// Kept from before a restart, as the present one can't be used.
    Kept,
    /// An earlier published one, for the same reason.
    History,
    /// The one that came with the program's package, for the same reason.
    Package,
    /// The one that the program was built with: no list was ever seen here.
    BuiltIn,
}

/// The current list.
pub struct Blocklist {
    current: ArcSwap<Loaded>,
    origin: ArcSwap<Origin>,
    /// Folder in which the last good list is kept, if any.
    keeps: Option<PathBuf>,
    location: Location,
    objects: Objects,
    refresh_ms: Millis,
    /// Time at which the list was last known to be current, and that of the last check.
    checked_at: AtomicI64,
    tried_at: AtomicI64,
    refreshing: Mutex<()>,
    last_error: ArcSwap<Option<String>>,
    clock: Clock,
}

/// Status of the list in use.
#[derive(Clone, Debug)]
pub struct Status {
    /// The list's version.
    pub version: String,
    /// Number of blocked entries.
    pub entries: usize,
    /// Milliseconds since it was last known to be current.
    pub age_ms: Millis,
    /// Source of the list.
    pub origin: Origin,
    /// Files that the list before had and this one has not.
    pub vanished: Vec<String>,
    /// Error of the last check, if it failed.
    pub last_error: Option<String>,
}

impl Blocklist {
    /// Loads the configured list; where that can't be used, the last good one that can be found.
    pub async fn start(config: &Config, clock: Clock) -> Self {
        let objects = Objects::at(&config.wordlists, &config.s3).await;
        // A server that keeps its database elsewhere need not have a folder.
        let has_folder = config.database_url.is_none() || config.data.is_dir();
        let keeps = (config.platform == Platform::Own && has_folder).then(|| config.data.clone());
        let kept = match &keeps {
            Some(folder) => usable(last_good::kept(folder).await).await.map(Arc::new),
            None => None,
        };
        let (loaded, origin, error) = match newer(&objects, &config.wordlists, kept.as_ref()).await {
            Ok(Some((loaded, files))) => {
                keep(keeps.as_deref(), &files).await;
                (Arc::new(loaded), Origin::Current, None)
            }
            Ok(None) => (kept.unwrap_or_else(|| Arc::new(built_in())), Origin::Current, None),
            Err(fault) => {
                let (loaded, origin) = fallback(kept, &objects).await;
                let version = &loaded.version;
                tracing::error!(place = %config.wordlists, error = fault, ?origin, version, "wordlist: starting on another list");
                (loaded, origin, Some(fault))
            }
        };
        Self {
            current: ArcSwap::new(loaded),
            origin: ArcSwap::from_pointee(origin),
            keeps,
            location: config.wordlists.clone(),
            objects,
            refresh_ms: config.wordlist_refresh.as_millis() as Millis,
            checked_at: AtomicI64::new(clock.now()),
            tried_at: AtomicI64::new(clock.now()),
            refreshing: Mutex::new(()),
            last_error: ArcSwap::from_pointee(error),
            clock,
        }
    }

    /// The list to judge by. Keep it for one message, not longer.
    pub fn current(&self) -> Arc<Loaded> {
        self.current.load_full()
    }

    /// The list's version.
    pub fn version(&self) -> String {
        self.current.load().version.clone()
    }

    /// Returns the status of the list in use.
    pub fn status(&self) -> Status {
        let current = self.current.load();
        Status {
            version: current.version.clone(),
            entries: current.entries,
            age_ms: (self.clock.now() - self.checked_at.load(Ordering::Relaxed)).max(0),
            origin: **self.origin.load(),
            vanished: current.vanished.clone(),
            last_error: self.last_error.load().as_ref().clone(),
        }
    }

    /// Asks again if the last check is too long ago; one at a time, the others go on with what there is. After a
    /// failure it waits a little, or a storage that is down would slow every request.
    pub async fn refresh_if_old(&self) {
        let now = self.clock.now();
        if now - self.checked_at.load(Ordering::Relaxed) >= self.refresh_ms
            && now - self.tried_at.load(Ordering::Relaxed) >= PAUSE_MS.min(self.refresh_ms)
            && let Ok(_one_at_a_time) = self.refreshing.try_lock()
        {
            self.check().await;
        }
    }

    /// Asks again where the timer should have and did not: the process stood still. Everybody waits for that one check,
    /// so that the first answers afterwards are by the present list.
    pub async fn refresh_after_standstill(&self) {
        let late = LATE_MS.max(self.refresh_ms / 10);
        let missed = || self.clock.now() - self.tried_at.load(Ordering::Relaxed) >= self.refresh_ms + late;
        if missed() {
            let _one_at_a_time = self.refreshing.lock().await;
            if missed() {
                tracing::warn!("the process stood still; asking for the wordlist before going on");
                self.check().await;
            }
        }
    }

    /// Asks again now, after whoever is asking already.
    pub async fn refresh(&self) {
        let _one_at_a_time = self.refreshing.lock().await;
        self.check().await;
    }

    /// Asks again for ever, a little more often than the age allows, so that no server is late.
    pub async fn keep_fresh(&self) {
        loop {
            let early = random::below((self.refresh_ms / 5).unsigned_abs());
            let pause = self.refresh_ms.unsigned_abs().saturating_sub(early).max(100);
            tokio::time::sleep(Duration::from_millis(pause)).await;
            self.refresh().await;
        }
    }

    /// Reads the list, and swaps it in if it changed and can be used.
    async fn check(&self) {
        let old = self.current();
        match newer(&self.objects, &self.location, Some(&old)).await {
            Ok(newer) => {
                if let Some((loaded, files)) = newer {
                    let Loaded { version, entries, .. } = &loaded;
                    tracing::info!(version, entries, "wordlist: new list in use");
                    self.current.store(Arc::new(loaded));
                    keep(self.keeps.as_deref(), &files).await;
                }
                self.origin.store(Arc::new(Origin::Current));
                self.last_error.store(Arc::new(None));
                self.checked_at.store(self.clock.now(), Ordering::Relaxed);
            }
            Err(fault) => {
                metrics::counter!("guildhall_wordlist_errors_total").increment(1);
                tracing::error!(error = fault, "wordlist: keeping the last good list");
                self.last_error.store(Arc::new(Some(fault)));
            }
        }
        // At the end: whoever finds it old while a check is on its way waits for that.
        self.tried_at.store(self.clock.now(), Ordering::Relaxed);
    }
}

/// The list that is there now, if it is another than the old one. Parsing and building are done aside.
async fn newer(
    objects: &Objects,
    location: &Location,
    old: Option<&Arc<Loaded>>,
) -> Result<Option<(Loaded, Files)>, String> {
    let Some((files, pointer)) = fetched(objects, location, old).await? else { return Ok(None) };
    // The same list once more, where nothing is known yet of what points at it: so that the next look costs nothing.
    let known = old.is_some_and(|old| old.pointer.is_some() || pointer.is_none());
    if known && old.is_some_and(|old| wordlist::version(&files) == old.version) {
        return Ok(None);
    }
    let forced = pointer.as_ref().is_some_and(|(pointer, _)| pointer.forced);
    let (mut loaded, files) = build(files, pointer).await?;
    if let Some(old) = old {
        loaded.follow(old, forced)?;
    }
    Ok(Some((loaded, files)))
}

/// Fetches the files that are published, or those of a folder in which nothing was; none where they are those in use.
async fn fetched(
    objects: &Objects,
    location: &Location,
    old: Option<&Arc<Loaded>>,
) -> Result<Option<(Files, Option<(Pointer, String)>)>, String> {
    let old = old.and_then(|old| old.pointer.as_ref());
    match published::look(objects, old.map(|(_, tag)| tag.as_str())).await? {
        PointerState::Same => Ok(None),
        PointerState::At(new, _) if old.is_some_and(|(old, _)| new.sha256 == old.sha256) => Ok(None),
        PointerState::At(new, tag) => {
            if let Some((old, _)) = old.filter(|(old, _)| new.published_at < old.published_at) {
                let (new, old) = (new.published_at, old.published_at);
                return Err(format!("the list of {new} is older than the one in use, of {old}"));
            }
            Ok(Some((published::files(objects, &new).await?, Some((new, tag)))))
        }
        PointerState::Nothing => match location {
            Location::Folder(folder) => Ok(Some((wordlist::read_folder(folder)?, None))),
            Location::S3 { .. } => Err(format!("nothing was published at {location}")),
        },
    }
}

impl Loaded {
    /// Compares this list with the one before it, and notes which of its files are gone.
    ///
    /// # Errors
    /// It has under half of the entries, and was not published by force.
    fn follow(&mut self, old: &Self, forced: bool) -> Result<(), String> {
        self.vanished = old.names.iter().filter(|name| !self.names.contains(name)).cloned().collect();
        let gone = self.vanished.join(", ");
        if self.entries * 2 < old.entries && !forced {
            let (new, old) = (self.entries, old.entries);
            let missing =
                if gone.is_empty() { "is a file missing?".to_owned() } else { format!("{gone} is gone") };
            return Err(format!("has {new} entries, under half of the {old} in use; {missing}"));
        }
        if !gone.is_empty() {
            tracing::warn!(files = gone, "wordlist: files of the list before are gone");
        }
        Ok(())
    }
}

/// Builds a list beside the requests.
async fn build(files: Files, pointer: Option<(Pointer, String)>) -> Result<(Loaded, Files), String> {
    let built =
        tokio::task::spawn_blocking(move || load(&files, pointer).map(|loaded| (loaded, files))).await;
    built.unwrap_or_else(|fault| Err(fault.to_string()))
}

/// A list that was good once, if it is there and still is.
async fn usable(files: Option<Files>) -> Option<Loaded> {
    build(files?, None).await.ok().map(|(loaded, _)| loaded)
}

/// Returns a list for a start while the present one can't be used, and its source.
async fn fallback(kept: Option<Arc<Loaded>>, objects: &Objects) -> (Arc<Loaded>, Origin) {
    if let Some(kept) = kept {
        return (kept, Origin::Kept);
    }
    for (_, files) in last_good::published(objects).await {
        if let Some(loaded) = usable(Some(files)).await {
            return (Arc::new(loaded), Origin::History);
        }
    }
    match usable(last_good::packaged().await).await {
        Some(loaded) => (Arc::new(loaded), Origin::Package),
        None => (Arc::new(built_in()), Origin::BuiltIn),
    }
}

async fn keep(folder: Option<&Path>, files: &Files) {
    if let Some(folder) = folder
        && let Err(fault) = last_good::keep(folder, files).await
    {
        tracing::warn!(folder = %folder.display(), fault, "wordlist: the list can't be kept for the next start");
    }
}

/// Parses and builds a list, and holds it to its own examples.
fn load(files: &Files, pointer: Option<(Pointer, String)>) -> Result<Loaded, String> {
    let list = Wordlist::parse(files).map_err(|faults| faults.join("; "))?;
    let filter = Filter::build(&list).map_err(|fault| fault.to_string())?;
    if let Some(failing) = list.cases.iter().find_map(|case| check::failing(&filter, case)) {
        return Err(format!("{}: {}", failing.place, failing.message));
    }
    Ok(Loaded {
        filter,
        policy: list.policy,
        version: wordlist::version(files),
        entries: list.entries.len(),
        vanished: Vec::new(),
        names: files.iter().map(|(name, _)| name.clone()).collect(),
        pointer,
    })
}

fn built_in() -> Loaded {
    let files = BUILT_IN.iter().map(|(name, bytes)| ((*name).to_owned(), bytes.to_vec())).collect();
    load(&files, None).expect("a test holds the built-in list to its own rules")
}

//! The filter in use, and where it comes from: read again when it is old, swapped in whole, never lost to a fault.
//!
//! A server asks from a timer, a Lambda instance within a request, as it is frozen in between. Building happens
//! off the requests' path. Whatever goes wrong, the last good list stays.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::Mutex;

use crate::clock::{Clock, Millis};
use crate::config::Config;
use crate::filter::{Filter, Wordlist};
use crate::objects::Objects;
use crate::random;
use crate::wordlist::published::{self, Pointer};
use crate::wordlist::{self, Files, check};

/// The lists that the program was built with: for a first start without any.
const BUILT_IN: &[(&str, &[u8])] = &[
    ("allow.txt", include_bytes!("../wordlists/allow.txt")),
    ("cases.tsv", include_bytes!("../wordlists/cases.tsv")),
    ("fraud.txt", include_bytes!("../wordlists/fraud.txt")),
    ("insults.txt", include_bytes!("../wordlists/insults.txt")),
    ("watch.txt", include_bytes!("../wordlists/watch.txt")),
];

/// A list in use.
pub struct Loaded {
    /// Judges.
    pub filter: Filter,
    /// The first half of the SHA-256 of all its files, in hex.
    pub version: String,
    /// How many entries it blocks.
    pub entries: usize,
    /// What pointed at it, if it was published.
    pointer: Option<Pointer>,
}

/// The current list.
pub struct Blocklist {
    current: ArcSwap<Loaded>,
    folder: PathBuf,
    refresh_ms: Millis,
    checked_at: AtomicI64,
    refreshing: Mutex<()>,
    last_error: ArcSwap<Option<String>>,
    clock: Clock,
}

/// What there is to say of the list.
#[derive(Clone, Debug)]
pub struct Status {
    /// The list's version.
    pub version: String,
    /// How many entries it blocks.
    pub entries: usize,
    /// Milliseconds since it was last known to be current.
    pub age_ms: Millis,
    /// Why the last check failed, if it did.
    pub last_error: Option<String>,
}

impl Blocklist {
    /// Loads the configured list; where that can't be used, the one the program was built with.
    pub fn start(config: &Config, clock: Clock) -> Self {
        let (loaded, error) = match first(&config.wordlists) {
            Ok(loaded) => (loaded, None),
            Err(fault) => {
                tracing::warn!(folder = %config.wordlists.display(), error = fault, "wordlist: using the built-in list");
                (built_in(), Some(fault))
            }
        };
        Self {
            current: ArcSwap::from_pointee(loaded),
            folder: config.wordlists.clone(),
            refresh_ms: config.wordlist_refresh.as_millis() as Millis,
            checked_at: AtomicI64::new(clock.now()),
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

    /// What there is to say of it.
    pub fn status(&self) -> Status {
        let current = self.current.load();
        Status {
            version: current.version.clone(),
            entries: current.entries,
            age_ms: (self.clock.now() - self.checked_at.load(Ordering::Relaxed)).max(0),
            last_error: self.last_error.load().as_ref().clone(),
        }
    }

    /// Asks again if the last check is too long ago; one at a time, the others go on with what there is.
    pub async fn refresh_if_old(&self) {
        let age = self.clock.now() - self.checked_at.load(Ordering::Relaxed);
        if age >= self.refresh_ms
            && let Ok(_one_at_a_time) = self.refreshing.try_lock()
        {
            self.check().await;
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

    /// Reads the folder, and swaps the list in if it changed and can be used.
    async fn check(&self) {
        let (folder, old) = (self.folder.clone(), self.current());
        let found = tokio::task::spawn_blocking(move || newer(&folder, &old)).await;
        match found.unwrap_or_else(|fault| Err(fault.to_string())) {
            Ok(newer) => {
                if let Some(loaded) = newer {
                    tracing::info!(
                        version = loaded.version,
                        entries = loaded.entries,
                        "wordlist: new list in use"
                    );
                    self.current.store(Arc::new(loaded));
                }
                self.last_error.store(Arc::new(None));
                self.checked_at.store(self.clock.now(), Ordering::Relaxed);
            }
            Err(fault) => {
                metrics::counter!("guildhall_wordlist_errors_total").increment(1);
                tracing::error!(error = fault, "wordlist: keeping the last good list");
                self.last_error.store(Arc::new(Some(fault)));
            }
        }
    }
}

/// The list that is there now, if it is another than the old one.
fn newer(folder: &Path, old: &Loaded) -> Result<Option<Loaded>, String> {
    let pointer = published::pointer(&Objects::in_folder(folder))?;
    if let (Some(new), Some(old)) = (&pointer, &old.pointer) {
        if new.sha256 == old.sha256 {
            return Ok(None);
        }
        if new.published_at < old.published_at {
            return Err(format!(
                "the list of {} is older than the one in use, of {}",
                new.published_at, old.published_at
            ));
        }
    }
    let files = read(folder, pointer.as_ref())?;
    if wordlist::version(&files) == old.version {
        return Ok(None);
    }
    let loaded = load(&files, pointer)?;
    if loaded.entries * 2 < old.entries {
        let (new, old) = (loaded.entries, old.entries);
        return Err(format!("has {new} entries, under half of the {old} in use; is a file missing?"));
    }
    Ok(Some(loaded))
}

/// What the folder holds: the published list, where there is a pointer to one, else the files themselves.
fn read(folder: &Path, pointer: Option<&Pointer>) -> Result<Files, String> {
    match pointer {
        Some(pointer) => published::files(&Objects::in_folder(folder), pointer),
        None => wordlist::read_folder(folder),
    }
}

fn first(folder: &Path) -> Result<Loaded, String> {
    let pointer = published::pointer(&Objects::in_folder(folder))?;
    load(&read(folder, pointer.as_ref())?, pointer)
}

/// Parses and builds a list, and holds it to its own examples.
fn load(files: &Files, pointer: Option<Pointer>) -> Result<Loaded, String> {
    let list = Wordlist::parse(files).map_err(|faults| faults.join("; "))?;
    let filter = Filter::build(&list).map_err(|fault| fault.to_string())?;
    if let Some(failing) = list.cases.iter().find_map(|case| check::failing(&filter, case)) {
        return Err(format!("{}: {}", failing.place, failing.message));
    }
    Ok(Loaded { filter, version: wordlist::version(files), entries: list.entries.len(), pointer })
}

fn built_in() -> Loaded {
    let files = BUILT_IN.iter().map(|(name, bytes)| ((*name).to_owned(), bytes.to_vec())).collect();
    load(&files, None).expect("a test holds the built-in list to its own rules")
}

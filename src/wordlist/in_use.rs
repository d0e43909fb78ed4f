//! The filter in use, and where it comes from: read again when it is old, swapped in whole, never lost to a fault.
//!
//! A server asks from a timer, a Lambda instance within a request, as it is frozen in between. Building happens
//! off the requests' path. Whatever goes wrong, the last good list stays.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::Mutex;

use crate::base::clock::{Clock, Millis};
use crate::base::random;
use crate::config::{Config, Location};
use crate::filter::{Filter, Wordlist};
use crate::outside::objects::Objects;
use crate::wordlist::published::{self, Looked, Pointer};
use crate::wordlist::{self, Files, check};

/// The lists that the program was built with: for a first start without any.
const BUILT_IN: &[(&str, &[u8])] = &[
    ("allow.txt", include_bytes!("../../wordlists/allow.txt")),
    ("cases.tsv", include_bytes!("../../wordlists/cases.tsv")),
    ("fraud.txt", include_bytes!("../../wordlists/fraud.txt")),
    ("insults.txt", include_bytes!("../../wordlists/insults.txt")),
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
    /// The first half of the SHA-256 of all its files, in hex.
    pub version: String,
    /// How many entries it blocks.
    pub entries: usize,
    /// What pointed at it, if it was published, and the pointer's tag.
    pointer: Option<(Pointer, String)>,
}

/// The current list.
pub struct Blocklist {
    current: ArcSwap<Loaded>,
    location: Location,
    objects: Objects,
    refresh_ms: Millis,
    /// When it was last known to be current, and when it was last asked for.
    checked_at: AtomicI64,
    tried_at: AtomicI64,
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
    pub async fn start(config: &Config, clock: Clock) -> Self {
        let objects = Objects::at(&config.wordlists, &config.s3).await;
        let first = newer(&objects, &config.wordlists, None).await;
        let (loaded, error) = match first.and_then(|loaded| loaded.ok_or_else(|| "there is none".to_owned()))
        {
            Ok(loaded) => (loaded, None),
            Err(fault) => {
                tracing::warn!(place = %config.wordlists, error = fault, "wordlist: using the built-in list");
                (built_in(), Some(fault))
            }
        };
        Self {
            current: ArcSwap::from_pointee(loaded),
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
        // At the end: whoever finds it old while a check is on its way waits for that.
        self.tried_at.store(self.clock.now(), Ordering::Relaxed);
    }
}

/// The list that is there now, if it is another than the old one. Parsing and building are done aside.
async fn newer(
    objects: &Objects,
    location: &Location,
    old: Option<&Arc<Loaded>>,
) -> Result<Option<Loaded>, String> {
    let old_pointer = old.and_then(|old| old.pointer.as_ref());
    let (files, pointer) = match published::look(objects, old_pointer.map(|(_, tag)| tag.as_str())).await? {
        Looked::Same => return Ok(None),
        Looked::At(new, tag) => {
            if let Some((old, _)) = old_pointer {
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
            (published::files(objects, &new).await?, Some((new, tag)))
        }
        Looked::Nothing => match location {
            Location::Folder(folder) => (wordlist::read_folder(folder)?, None),
            Location::S3 { .. } => return Err(format!("nothing was published at {location}")),
        },
    };
    if old.is_some_and(|old| wordlist::version(&files) == old.version) {
        return Ok(None);
    }
    let loaded = tokio::task::spawn_blocking(move || load(&files, pointer)).await;
    let loaded = loaded.unwrap_or_else(|fault| Err(fault.to_string()))?;
    if let Some(old) = old.filter(|old| loaded.entries * 2 < old.entries) {
        let (new, old) = (loaded.entries, old.entries);
        return Err(format!("has {new} entries, under half of the {old} in use; is a file missing?"));
    }
    Ok(Some(loaded))
}

/// Parses and builds a list, and holds it to its own examples.
fn load(files: &Files, pointer: Option<(Pointer, String)>) -> Result<Loaded, String> {
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

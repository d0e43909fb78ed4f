//! `/wordlist/*`: which list is in use, what it would say of a text, and how often its entries hit.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::api::action::{Action, Route};
use crate::api::caller::{Moderator, Server};
use crate::app::App;
use crate::base::error::Result;
use crate::chat::values::{Kind, PageSize, Text};
use crate::filter::Action as Demand;
use crate::store::wordlist_hit;
use crate::wordlist::in_use::{Origin, Status};

/// The list in use, and the reason if a newer one can't be used.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WordlistStatus {}

/// The list in use.
#[derive(Serialize, JsonSchema)]
pub struct WordlistStatusReply {
    /// A hash of its files.
    version: String,
    /// Number of entries that it blocks.
    entries: usize,
    /// Seconds since it was last known to be current.
    age_s: i64,
    /// Origin of the list; anything but `current` means that the present one can't be used.
    origin: Origin,
    /// Files that the list before had and this one has not.
    vanished: Vec<String>,
    /// Reason why the last check failed, if it did; the list in use is the last good one.
    last_error: Option<String>,
}

impl From<Status> for WordlistStatusReply {
    fn from(status: Status) -> Self {
        let Status { version, entries, age_ms, origin, vanished, last_error } = status;
        Self { version, entries, origin, vanished, age_s: age_ms / 1_000, last_error }
    }
}

impl Action for WordlistStatus {
    const ROUTE: Route = Route::get("/wordlist/status");
    type Caller = Moderator;
    type Reply = WordlistStatusReply;

    async fn run(self, app: &App, _: Moderator) -> Result<WordlistStatusReply> {
        Ok(app.blocklist.status().into())
    }
}

/// Ask for the list now rather than when it is old, and say which one is in use then.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RefreshWordlist {}

impl Action for RefreshWordlist {
    const ROUTE: Route = Route::post("/wordlist/refresh");
    type Caller = Server;
    type Reply = WordlistStatusReply;

    async fn run(self, app: &App, _: Server) -> Result<WordlistStatusReply> {
        app.blocklist.refresh().await;
        Ok(app.blocklist.status().into())
    }
}

/// Verdict of the list in use on a text, with the entries that hit. Nothing is stored.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TestWordlist {
    /// The text: 1 to 2000 bytes.
    text: Text,
    /// In a channel of this kind, as the policy has it; as the list says where absent.
    #[serde(default)]
    kind: Option<Kind>,
}

/// A verdict.
#[derive(Serialize, JsonSchema)]
pub struct TestReply {
    /// The strongest that an entry asks for.
    action: Outcome,
    /// Text as others would see it.
    masked: String,
    hits: Vec<HitReply>,
    /// The list that judged.
    version: String,
}

/// Outcome for a text.
#[derive(Clone, Copy, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum Outcome {
    /// Nothing: no entry hit.
    Pass,
    /// The text is shown, and moderators look at it.
    Review,
    /// The parts that were hit are masked.
    Mask,
    /// The text is refused.
    Reject,
}

impl From<Demand> for Outcome {
    fn from(demand: Demand) -> Self {
        match demand {
            Demand::Review => Self::Review,
            Demand::Mask => Self::Mask,
            Demand::Reject => Self::Reject,
        }
    }
}

/// One blocked span.
#[derive(Serialize, JsonSchema)]
pub struct HitReply {
    /// Offset of its first byte in the text.
    start: usize,
    /// Offset behind its last byte.
    end: usize,
    /// The entry that hit.
    entry: String,
    /// The list it is on.
    category: String,
    /// Outcome that the entry asks for.
    action: Outcome,
    /// Way in which it was found.
    found: &'static str,
}

impl Action for TestWordlist {
    const ROUTE: Route = Route::post("/wordlist/test");
    type Caller = Moderator;
    type Reply = TestReply;

    async fn run(self, app: &App, _: Moderator) -> Result<TestReply> {
        let list = app.blocklist.current();
        let finds = app.found(&list, self.text.as_str()).await?;
        let mut verdict = list.filter.verdict(&finds);
        if let Some(strictness) = self.kind.and_then(|kind| list.policy.of(kind.as_str())) {
            strictness.apply(&mut verdict);
        }
        let hits = verdict.hits.iter().map(|hit| HitReply {
            start: hit.span.start,
            end: hit.span.end,
            entry: hit.entry.to_owned(),
            category: hit.category.to_owned(),
            action: hit.action.into(),
            found: hit.view.as_str(),
        });
        Ok(TestReply {
            action: verdict.worst().map_or(Outcome::Pass, |worst| worst.action.into()),
            masked: verdict.masked(self.text.as_str()).into_owned(),
            hits: hits.collect(),
            version: list.version.clone(),
        })
    }
}

/// The entries that hit most, since counting began.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WordlistHits {
    /// Number of entries to list at most, 1 to 100.
    #[serde(default)]
    limit: PageSize,
}

/// Counts, the largest first.
#[derive(Serialize, JsonSchema)]
pub struct HitsReply {
    entries: Vec<EntryHits>,
}

/// Hits of one entry.
#[derive(Serialize, JsonSchema)]
pub struct EntryHits {
    /// The list it is on.
    category: String,
    /// As the planner wrote it.
    entry: String,
    /// Number of hits, refused messages included.
    hits: i64,
    /// Time of the last hit, in milliseconds since 1970-01-01 UTC.
    last_at: i64,
}

impl Action for WordlistHits {
    const ROUTE: Route = Route::get("/wordlist/hits");
    type Caller = Moderator;
    type Reply = HitsReply;

    async fn run(self, app: &App, _: Moderator) -> Result<HitsReply> {
        let counts = wordlist_hit::most(&app.db, self.limit.get()).await?;
        let entry = |count: wordlist_hit::Count| {
            let wordlist_hit::Count { category, entry, hits, last_at } = count;
            EntryHits { category, entry, hits, last_at }
        };
        Ok(HitsReply { entries: counts.into_iter().map(entry).collect() })
    }
}

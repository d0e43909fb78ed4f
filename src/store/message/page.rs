//! One page of a channel.
//!
//! Numbers have no gaps, so a page is arithmetic on them: no sorting, and `more` needs no extra row. Whatever changes a
//! channel's history moves its last number, its first, or its epoch. So a page that was read before is served again as
//! long as these stand, which the same question finds out that asks for the caller's rights.

use std::sync::Arc;
use std::time::{Duration, Instant};

use quick_cache::Weighter;
use quick_cache::sync::Cache;

use super::stored::may_have_views;
use super::view::{Viewer, seen};
use super::{Stored, mended};
use crate::base::error::{Error, Result};
use crate::chat::identity::Identity;
use crate::chat::rights::{ChannelState, Right};
use crate::chat::values::{ChannelId, Kind, MAX_EXACT};
use crate::store::Db;
use crate::store::block::block_version;
use crate::store::engine::sql::{Sql, by_dialect, values};
use crate::store::rights::{Rights, sanctioned};

/// Memory for cached pages in all, in bytes.
const BYTES: u64 = 16 << 20;

/// Approximate number of pages that fit.
const COUNT: usize = 2_000;

/// Time for which a cached page is served again. Only somebody who changes the database by hand, or restores a backup,
/// notices the delay.
const LIFE: Duration = Duration::from_secs(30);

/// The channel, what to begin after or end before, and the size.
type Key = (String, Option<i64>, i64, i64);

struct Kept {
    page: Page,
    last_seq: i64,
    read: Instant,
}

#[derive(Clone)]
struct Size;

impl Weighter<Key, Arc<Kept>> for Size {
    fn weight(&self, key: &Key, kept: &Arc<Kept>) -> u64 {
        const BESIDE: usize = 300;
        (key.0.len() + kept.page.messages.as_str().len() + BESIDE) as u64
    }
}

/// Pages that were read before.
pub(in crate::store) struct Pages(Cache<Key, Arc<Kept>, Size>);

impl Default for Pages {
    fn default() -> Self {
        Self(Cache::with_weighter(COUNT, BYTES, Size))
    }
}

impl Pages {
    fn get(&self, key: &Key) -> Option<Arc<Kept>> {
        self.0.get(key).filter(|kept| kept.read.elapsed() < LIFE)
    }

    fn keep(&self, key: Key, last_seq: i64, page: Page) {
        self.0.insert(key, Arc::new(Kept { page, last_seq, read: Instant::now() }));
    }
}

/// Position of a page in a channel.
#[derive(Clone, Copy, Debug)]
pub enum PageEdge {
    /// The newest messages before a number.
    Before(i64),
    /// The oldest messages after a number.
    After(i64),
}

/// A page of a channel.
#[derive(Clone)]
pub struct Page {
    /// The messages, ascending; those that retention deleted are not in it.
    pub messages: Stored,
    /// Changes when numbering starts over.
    pub epoch: String,
    /// There is more in the direction that was asked for.
    pub more: bool,
    /// Number at which the history begins.
    pub first_seq: i64,
    /// Somebody may see some of it otherwise.
    has_own_views: bool,
}

/// `$4` is what to begin after, or nothing; `$5` what to end before, and `$6` the page's size. There are no messages
/// where the channel is as `$7` to `$9` know it.
macro_rules! select_page {
    ($list_begins:literal, $least:literal, $greatest:literal, $list_ends:literal) => {
        concat!(
            "SELECT c.epoch, c.first_seq, c.last_seq, CASE WHEN c.epoch = $7 AND c.first_seq = $8 AND c.last_seq = $9 ",
            "THEN NULL ELSE (",
            $list_begins,
            " WHERE channel_key = c.key AND seq BETWEEN CASE WHEN $4 IS NULL THEN ",
            $greatest,
            "(",
            $least,
            "($5 - 1, c.last_seq) - $6 + 1, c.first_seq) ELSE ",
            $greatest,
            "($4 + 1, c.first_seq) END ",
            "AND CASE WHEN $4 IS NULL THEN ",
            $least,
            "($5 - 1, c.last_seq) ELSE ",
            $least,
            "(",
            $greatest,
            "($4 + 1, c.first_seq) + $6 - 1, c.last_seq) END",
            $list_ends,
            ") END, c.kind, ",
            sanctioned!("$2"),
            ", ",
            block_version!("$2"),
            ", c.key FROM channel c LEFT JOIN member m ON m.channel_key = c.key AND m.player_id = $2 ",
            "WHERE c.id = $1 AND (c.open OR m.player_id IS NOT NULL OR $3)"
        )
    };
}

const PAGE: Sql = by_dialect(
    select_page!(
        "SELECT group_concat(shown, ',') FROM (SELECT shown FROM message",
        "min",
        "max",
        " ORDER BY seq)"
    ),
    select_page!("SELECT string_agg(shown, ',' ORDER BY seq) FROM message", "least", "greatest", ""),
);

/// A page of a channel that this caller may know of, in one question.
///
/// # Errors
/// [`Error::NotFound`], the same for none and for one that is not theirs; [`Error::Banned`].
pub async fn page(db: &Db, id: &ChannelId, caller: &Identity, which: PageEdge, limit: i64) -> Result<Page> {
    let (after, before) = match which {
        PageEdge::After(after) => (Some(after), MAX_EXACT),
        PageEdge::Before(before) => (None, before),
    };
    let key = (id.to_string(), after, before, limit);
    let kept = db.pages.get(&key);
    let known = kept.as_ref();
    let values = values![
        id.as_str(),
        caller.id.as_str(),
        caller.is_staff(),
        after,
        before,
        limit,
        known.map(|kept| kept.page.epoch.as_str()),
        known.map(|kept| kept.page.first_seq),
        known.map(|kept| kept.last_seq)
    ];
    type Row = (String, i64, i64, Option<String>, String, bool, Option<i64>, i64);
    let row: Option<Row> = db.optional(PAGE, values).await?;
    let (epoch, first_seq, last_seq, joined, kind, sanctioned, block_version, channel_key) =
        row.ok_or(Error::NotFound("channel"))?;
    if sanctioned && let Some(kind) = Kind::from_word(&kind) {
        Rights::of(db, caller).await?.may(Right::Read, &ChannelState::seen(id.as_str(), kind), None)?;
    }
    let page = match kept {
        Some(kept)
            if (&kept.page.epoch, kept.page.first_seq, kept.last_seq) == (&epoch, first_seq, last_seq) =>
        {
            kept.page.clone()
        }
        _ => {
            let (seqs, more) = match which {
                PageEdge::After(after) => {
                    let first = (after + 1).max(first_seq);
                    (first..=(first + limit - 1).min(last_seq), first + limit - 1 < last_seq)
                }
                PageEdge::Before(before) => {
                    let last = (before - 1).min(last_seq);
                    ((last - limit + 1).max(first_seq)..=last, last - limit + 1 > first_seq)
                }
            };
            let messages = match Stored::list(joined) {
                Ok(messages) => messages,
                Err(_) => mended(db, channel_key, &seqs).await?,
            };
            let has_own_views = may_have_views(messages.as_str());
            let page = Page { messages, epoch, more, first_seq, has_own_views };
            db.pages.keep(key, last_seq, page.clone());
            page
        }
    };
    if block_version.is_none() && !page.has_own_views {
        return Ok(page);
    }
    let viewer = Viewer::of(db, caller, block_version).await?;
    let messages = seen(db, &viewer, vec![(channel_key, page.messages)]).await?.pop();
    Ok(Page { messages: messages.unwrap_or_else(Stored::none), ..page })
}

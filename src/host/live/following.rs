//! What one socket follows: where its client stands in each channel, and what is to be pushed.
//!
//! A follower is a cursor. When the hub rings for its channels, what is behind the cursors is read, with the rights that
//! the caller has by then, and written before anything else is read: a client that takes its time holds nobody up, and is
//! told everything once and in order.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::frame::{Change, Follow, Followed, Standing};
use crate::app::App;
use crate::base::error::{Error, Result};
use crate::chat::identity::Identity;
use crate::chat::values::ChannelId;
use crate::controllers::message::{SyncCursor, SyncedChannel, news};
use crate::hub::{Hub, Watch};
use crate::store::{channel, member};

/// Channels that one socket follows.
const CHANNELS: usize = 2_000;
/// The caller's channels that `all` is.
const ALL: i64 = 1_000;
/// Channels that are read at one time.
const AT_ONCE: usize = 50;
/// Entries of a channel in one push.
const PAGE: i64 = 100;

/// The channels and cursors of a socket.
pub(super) struct Following {
    app: Arc<App>,
    watch: Watch,
    cursors: HashMap<Arc<str>, Place>,
    /// Rung for, and not read since.
    due: HashSet<Arc<str>>,
    all: bool,
}

/// Where the client stands.
struct Place {
    cursor: SyncCursor,
    /// Followed because the caller is a member, rather than by its name.
    by_all: bool,
}

/// What is to be written.
pub(super) enum News {
    Entries(SyncedChannel),
    Membership(String, Change),
}

impl Following {
    pub(super) fn new(app: &Arc<App>, watch: Watch) -> Self {
        Self { app: Arc::clone(app), watch, cursors: HashMap::new(), due: HashSet::new(), all: false }
    }

    /// Waits until something may be new.
    pub(super) async fn wait(&mut self) {
        if self.due.is_empty() {
            match self.watch.rung().await {
                Some(rung) => self.due = rung,
                // The server stops, and says so otherwise.
                None => std::future::pending().await,
            }
        }
    }

    /// Follows more, and says what is there; what is behind the cursors is due.
    pub(super) async fn follow(&mut self, who: &Identity, follow: Follow) -> Result<Vec<Followed>> {
        let mut followed = Vec::new();
        let named = follow.channels.into_vec();
        if self.cursors.len() + named.len() > CHANNELS {
            return Err(Error::InvalidInput(format!("a socket follows at most {CHANNELS} channels")));
        }
        if follow.all {
            self.all = true;
            self.watch.add(&Hub::of_player(who.id.as_str()));
            for (channel, _) in self.memberships(who).await? {
                followed.push(found(&channel));
                let after = channel.last_seq;
                self.add(&channel.id, SyncCursor::new(&channel.id, after, Some(&channel.epoch))?, true);
            }
        }
        // Registered first: what is said while they are read rings.
        named.iter().for_each(|standing| self.watch.add(standing.channel.as_str()));
        let ids: Vec<&ChannelId> = named.iter().map(|standing| &standing.channel).collect();
        let hub = Arc::clone(self.app.db.hub());
        let visible = hub.look(channel::visible_among(&self.app.db, &ids, who)).await?;
        for Standing { channel: id, after, epoch } in &named {
            let Some(channel) = visible.iter().find(|channel| channel.id == id.as_str()) else {
                self.forget(id.as_str());
                followed.push(missing(id));
                continue;
            };
            followed.push(found(channel));
            let after = after.map_or(channel.last_seq, |after| after.get());
            let epoch = epoch.as_deref().or(Some(&channel.epoch));
            self.add(id.as_str(), SyncCursor::new(id.as_str(), after, epoch)?, false);
        }
        Ok(followed)
    }

    fn add(&mut self, id: &str, cursor: SyncCursor, by_all: bool) {
        self.watch.add(id);
        self.due.insert(id.into());
        self.cursors.insert(id.into(), Place { cursor, by_all });
    }

    pub(super) fn forget(&mut self, id: &str) {
        self.watch.remove(id);
        self.due.remove(id);
        self.cursors.remove(id);
    }

    async fn memberships(&self, who: &Identity) -> Result<Vec<(channel::Channel, i64)>> {
        self.app.db.hub().look(member::channels(&self.app.db, &who.id, ALL)).await
    }

    /// Looks which channels the caller has joined and left, where all are followed.
    pub(super) fn look_again(&mut self, who: &Identity) {
        if self.all {
            self.due.insert(Hub::of_player(who.id.as_str()).into());
        }
    }

    /// Some of what is new.
    pub(super) async fn read(&mut self, who: &Identity) -> Result<Vec<News>> {
        let mut news = Vec::new();
        if self.due.remove(&*Hub::of_player(who.id.as_str())) && self.all {
            news = self.compare(who).await?;
        }
        let some: Vec<Arc<str>> = self.due.iter().take(AT_ONCE).cloned().collect();
        let known: Vec<&Arc<str>> = some.iter().filter(|id| self.cursors.contains_key(*id)).collect();
        let cursors: Vec<SyncCursor> = known.iter().map(|id| self.cursors[*id].cursor.clone()).collect();
        let hub = Arc::clone(self.app.db.hub());
        let channels = match cursors[..] {
            [] => Vec::new(),
            _ => hub.look(self::news(&self.app, who, &cursors, PAGE)).await?,
        };
        for id in &some {
            self.due.remove(id);
        }
        for channel in channels {
            self.watch.read(&channel.channel, channel.last_seq);
            if channel.error.is_some() {
                self.forget(&channel.channel);
                news.push(News::Membership(channel.channel, Change::Left));
                continue;
            }
            if channel.more {
                self.due.insert(channel.channel.as_str().into());
            }
            if channel.has_news() {
                if let Some(place) = self.cursors.get_mut(channel.channel.as_str()) {
                    place.cursor = channel.cursor()?;
                }
                news.push(News::Entries(channel));
            }
        }
        Ok(news)
    }

    /// Channels joined and left since they were looked at last.
    async fn compare(&mut self, who: &Identity) -> Result<Vec<News>> {
        let now = self.memberships(who).await?;
        let is_in = |id: &str| now.iter().any(|(channel, _)| channel.id == id);
        let left = self.cursors.iter().filter(|(id, place)| place.by_all && !is_in(id));
        let left: Vec<Arc<str>> = left.map(|(id, _)| Arc::clone(id)).collect();
        // The thousand most active ones may be others by now; those one is still in go on.
        let left = if now.len() < ALL as usize { left } else { Vec::new() };
        let mut news = Vec::new();
        for id in left {
            self.forget(&id);
            news.push(News::Membership(id.to_string(), Change::Left));
        }
        for (channel, joined_after) in &now {
            if !self.cursors.contains_key(channel.id.as_str()) && self.cursors.len() < CHANNELS {
                let cursor = SyncCursor::new(&channel.id, *joined_after, Some(&channel.epoch))?;
                self.add(&channel.id, cursor, true);
                news.push(News::Membership(channel.id.clone(), Change::Joined));
            }
        }
        Ok(news)
    }
}

fn found(channel: &channel::Channel) -> Followed {
    Followed {
        channel: channel.id.clone(),
        epoch: Some(channel.epoch.clone()),
        first_seq: Some(channel.first_seq),
        last_seq: Some(channel.last_seq),
        error: None,
    }
}

fn missing(id: &ChannelId) -> Followed {
    let error = Some("not_found");
    Followed { channel: id.to_string(), epoch: None, first_seq: None, last_seq: None, error }
}

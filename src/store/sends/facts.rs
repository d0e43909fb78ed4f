//! Facts about a send that is to be decided: from one query, or remembered of a plain case.

use sqlx::FromRow;

use crate::base::clock::Millis;
use crate::chat::rights::ChannelState;
use crate::chat::values::Kind;

/// Facts that the database knows about one send.
#[derive(Default, FromRow)]
pub(in crate::store) struct Facts {
    pub(super) key: Option<i64>,
    pub(super) kind: Option<String>,
    pub(super) open: Option<bool>,
    pub(super) min_level: Option<i64>,
    pub(super) slow_mode_s: Option<i64>,
    pub(super) read_only: Option<bool>,
    pub(in crate::store) last_seq: Option<i64>,
    pub(in crate::store) last_said: Option<i64>,
    pub(in crate::store) last_at: Option<Millis>,
    /// The database's clock, where it has one.
    pub(in crate::store) now: Option<Millis>,
    pub(super) member: bool,
    pub(super) last_sent_at: Option<Millis>,
    pub(super) recent: Option<String>,
    pub(super) pace_version: i64,
    /// The sender's sanctions that cover this channel, as a JSON list; none where there are none.
    pub(super) sanctions: Option<String>,
    /// Does one of the two players of a direct channel block the other?
    pub(super) refused: bool,
    pub(super) earlier_seq: Option<i64>,
    pub(super) earlier_digest: Option<String>,
    /// The two players of a direct channel; asked for where facts may be remembered, as the next one is.
    #[sqlx(default)]
    pub(super) pair: Option<String>,
    /// Has the sender sanctions in force, wherever they hold?
    #[sqlx(default)]
    pub(super) sanctioned: bool,
    /// Has the channel no messages? Asked for by `SQLite`'s writer.
    #[sqlx(default)]
    pub(in crate::store) empty: bool,
    /// The sender's pace, where it is remembered.
    #[sqlx(skip)]
    pub(super) pace: Option<Pace>,
}

/// Facts remembered of a plain case: no slow mode, no sanction, and nobody blocks.
#[derive(Clone)]
pub(super) struct Plain {
    key: i64,
    rules: Rules,
    member: bool,
    pair: Option<Box<str>>,
}

impl Plain {
    /// The facts, as they were; and the sender's pace, where there is a limit.
    pub(super) fn facts(self, pace: Option<Pace>) -> Facts {
        Facts {
            key: Some(self.key),
            min_level: Some(self.rules.min_level),
            slow_mode_s: Some(0),
            read_only: Some(self.rules.read_only),
            member: self.member,
            pair: self.pair.map(String::from),
            pace,
            ..Facts::default()
        }
    }
}

impl Facts {
    /// Returns the facts that may be remembered, if this is a plain case.
    pub(super) fn plain(&self) -> Option<Plain> {
        let is_plain = self.slow_mode_s == Some(0) && !self.sanctioned && !self.refused;
        let pair = self.pair.as_deref().map(Box::from);
        let plain = |key| Plain { key, rules: self.rules(), member: self.member, pair };
        self.key.filter(|_| is_plain).map(plain)
    }

    pub(super) fn pace(&self) -> Pace {
        let read = || self.recent.as_deref().and_then(|recent| serde_json::from_str(recent).ok());
        let asked = || Pace { recent: read().unwrap_or_default(), version: self.pace_version };
        self.pace.clone().unwrap_or_else(asked)
    }

    /// The channel's state. Of a plain case the kind is not remembered: it matters to sanctions alone.
    pub(super) fn place<'a>(&self, id: &'a str) -> ChannelState<'a> {
        let kind = self.kind.as_deref().and_then(Kind::from_word).unwrap_or(Kind::World);
        let Rules { min_level, read_only } = self.rules();
        ChannelState { id, kind, open: self.open == Some(true), min_level, read_only }
    }

    pub(super) fn rules(&self) -> Rules {
        Rules { min_level: self.min_level.unwrap_or_default(), read_only: self.read_only == Some(true) }
    }

    /// The other player of a direct channel.
    pub(super) fn other(&self, sender: &str) -> Option<&str> {
        let (one, other) = self.pair.as_deref()?.split_once(' ')?;
        [(one, other), (other, one)].into_iter().find(|(player, _)| *player == sender).map(|(_, other)| other)
    }
}

/// A channel's rules that sends were decided on. One with a slow mode is not remembered, and whether it is open plays no
/// part in speaking.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(in crate::store) struct Rules {
    pub(super) min_level: i64,
    pub(super) read_only: bool,
}

/// Times at which a player last spoke, as they are to be stored.
#[derive(Clone)]
pub(in crate::store) struct Pace {
    pub(super) recent: Vec<Millis>,
    /// The row's version that the decision knew; 0 for none.
    pub(super) version: i64,
}

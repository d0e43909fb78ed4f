//! Sends that are decided together: who may speak, which nonce was used, and what is to be written for the others.
//!
//! Each is decided by itself, on what the database knew before and on what the batch has said so far, so limits hold
//! within a batch too. How it is written is each database's own matter.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde::Serialize;
use serde_json::value::RawValue;

use super::draft::{Draft, Earlier, Pending, digest, nonce_conflict};
use super::facts::{Facts, Pace, Rules};
use crate::base::clock::Millis;
use crate::base::error::{Error, Result};
use crate::chat::identity::Scope;
use crate::chat::payload::Payload;
use crate::chat::rights::{self, Refusal, Who};
use crate::chat::speaking::{self, Audience, may_speak};
use crate::chat::values::{PlayerId, Role};
use crate::store::message::{Message, Numbered, Pieces, Sender, Stored, Written};
use crate::store::rights::sanctions;
use crate::store::spoken::Spoken;
use crate::store::{json, outbox};

/// Outcome of a send.
pub(in crate::store) enum Outcome {
    Stored { message: Stored, channel_key: i64, seq: i64 },
    Replayed(Earlier),
}

/// Decision on a send.
pub(in crate::store) enum Decision {
    /// The row of this index is to be stored.
    Store(usize),
    /// Another send of this batch has the same nonce.
    Twin(usize),
    /// An earlier send stored the message.
    Replay(Earlier),
}

/// A message row, as the statements read it.
#[derive(Serialize)]
pub(in crate::store) struct MessageRow<'a> {
    /// Index of the row.
    pub(in crate::store) n: usize,
    pub(in crate::store) key: i64,
    pub(in crate::store) id: &'a str,
    /// Time at which the sender spoke; below, the time of the message: never before the one ahead of it in the channel.
    spoke: Millis,
    pub(in crate::store) at: Millis,
    /// The message as JSON: what stands before its number, between that and its time, and behind.
    #[serde(flatten)]
    pub(in crate::store) shown: Pieces,
    /// The sender's own view, where the message is hidden from everybody else.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::store) own: Option<Pieces>,
    pub(in crate::store) original: Option<String>,
    pub(in crate::store) wordlist: Option<&'a str>,
    pub(in crate::store) nonce: Option<&'a str>,
    pub(in crate::store) digest: String,
    /// Left out where there are none: the statements then look for no members.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub(in crate::store) mentions: &'a [PlayerId],
    /// The sender is a member, so has read up to here.
    pub(in crate::store) member: bool,
    /// The channel has a slow mode, so the time is kept.
    pub(in crate::store) slow: bool,
    /// Time at which the sender last spoke here, as the decision knew it.
    here: Option<Millis>,
    /// The sender is held to a send limit.
    limited: bool,
    /// Given by `SQLite`'s writer; `PostgreSQL` gives them in the statement.
    pub(in crate::store) seq: i64,
    pub(in crate::store) said: i64,
}

/// One commit in the making: the rows to write, and what they change for the sends behind them.
#[derive(Default)]
pub(in crate::store) struct Batch<'a> {
    pub(in crate::store) now: Millis,
    pub(in crate::store) rows: Vec<MessageRow<'a>>,
    pub(in crate::store) tasks: Vec<outbox::NewRow>,
    /// Players in channels, of whom it is not known that they have spoken there.
    pub(in crate::store) spoken: BTreeSet<(&'a str, i64)>,
    /// Rules on which the rows were decided: those of their channels; below, senders without a sanction, and pairs of
    /// direct channels who don't block each other.
    pub(super) rules: BTreeMap<i64, Rules>,
    pub(super) unsanctioned: BTreeSet<&'a str>,
    pub(super) unblocked: BTreeSet<(&'a str, String)>,
    pace: HashMap<&'a str, Pace>,
    /// (channel, player) -> when they last spoke there
    here: HashMap<(i64, &'a str), Millis>,
    /// (channel, player, nonce) -> row
    nonces: HashMap<(i64, &'a str, &'a str), usize>,
}

impl<'a> Batch<'a> {
    /// Nothing yet.
    pub(in crate::store) fn at(now: Millis) -> Self {
        Self { now, ..Self::default() }
    }

    pub(in crate::store) fn decide(
        &mut self,
        pending: &'a Pending,
        facts: &Facts,
        known: &Spoken,
    ) -> Result<Decision> {
        let draft = &pending.draft;
        let key = facts.key.ok_or(Refusal::Unseen)?;
        let sender = pending.sender_key.as_str();
        let digest = digest(&draft.said);
        let nonce = pending.nonce().map(|nonce| (key, sender, nonce));
        // Read rights may have ended since; the sender keeps the right to learn what came of the send.
        let replay =
            |stored: &str, decision| if stored == digest { Ok(decision) } else { Err(nonce_conflict()) };
        if let Some(row) = nonce.and_then(|nonce| self.nonces.get(&nonce)) {
            return replay(&self.rows[*row].digest, Decision::Twin(*row));
        }
        if let Some((seq, stored)) = facts.earlier_seq.zip(facts.earlier_digest.as_deref()) {
            return replay(stored, Decision::Replay(Earlier { channel_key: key, seq }));
        }
        let here = self.here.get(&(key, sender)).copied().or(facts.last_sent_at);
        let heard = self.check(pending, facts, here)?;
        self.rely_on(key, sender, facts)?;
        let hidden = heard == Audience::SpeakerAlone;
        self.here.insert((key, sender), self.now);
        let n = self.rows.len();
        if let Some(nonce) = nonce {
            self.nonces.insert(nonce, n);
        }
        if draft.sender.scope != Scope::Server && !known.has_spoken(sender, key, self.now) {
            self.spoken.insert((sender, key));
        }
        let message = message(draft)?;
        let (shown, own) = if hidden {
            (Pieces::of(&message.clone().hidden())?, Some(Pieces::of(&message)?))
        } else {
            (Pieces::of(&message)?, None)
        };
        self.rows.push(MessageRow {
            n,
            key,
            id: sender,
            spoke: self.now,
            at: self.now,
            shown,
            own,
            original: (draft.shown.masked || hidden).then(|| written(draft)).transpose()?,
            wordlist: draft.shown.wordlist.as_deref(),
            nonce: pending.nonce(),
            digest,
            mentions: if hidden { &[] } else { &draft.said.mentions },
            member: facts.member,
            slow: facts.slow_mode_s.is_some_and(|seconds| seconds > 0),
            here,
            limited: draft.limit.is_some(),
            seq: 0,
            said: 0,
        });
        let follow_ups = if hidden { [].as_slice() } else { &draft.follow_ups };
        self.tasks.extend(follow_ups.iter().map(|task| task.clone().into_row(n, pending.stage, self.now)));
        Ok(Decision::Store(n))
    }

    /// Asks the one rule, and notes that the sender spoke.
    fn check(
        &mut self,
        pending: &'a Pending,
        facts: &Facts,
        here: Option<Millis>,
    ) -> Result<Audience, Refusal> {
        let (draft, sender) = (&pending.draft, pending.sender_key.as_str());
        let mut pace = self.pace.remove(sender).unwrap_or_else(|| facts.pace());
        let verdict = may_speak(&speaking::Context {
            who: Who::from(&draft.sender),
            place: facts.place(draft.said.channel.as_str()),
            facts: rights::Facts {
                now: self.now,
                role: facts.member.then_some(Role::Member),
                sanctions: &sanctions(facts.sanctions.as_deref()),
                blocked: facts.refused,
            },
            slow_mode_s: facts.slow_mode_s.unwrap_or_default(),
            last_here: here,
            recent: &pace.recent,
            limit: draft.limit,
        });
        if let Some(limit) = draft.limit {
            if verdict.is_ok() {
                pace.recent.retain(|spoken| *spoken <= self.now);
                pace.recent.push(self.now);
                pace.recent.drain(..pace.recent.len().saturating_sub(limit.count));
            }
            self.pace.insert(sender, pace);
        }
        verdict
    }

    /// Notes what must still hold when the row is written.
    fn rely_on(&mut self, key: i64, sender: &'a str, facts: &Facts) -> Result<()> {
        // Two senders' facts may have been remembered at two times.
        if *self.rules.entry(key).or_insert(facts.rules()) != facts.rules() {
            return Err(Error::Unavailable("the channel's settings change"));
        }
        if !facts.sanctioned {
            self.unsanctioned.insert(sender);
        }
        if let Some(other) = facts.other(sender).filter(|_| !facts.refused) {
            self.unblocked.insert((sender, other.to_owned()));
        }
        Ok(())
    }

    /// The players' paces, once they are written.
    pub(super) fn written_paces(&self) -> impl Iterator<Item = (&str, Pace)> {
        let written = |pace: &Pace| Pace { recent: pace.recent.clone(), version: pace.version + 1 };
        self.pace.iter().map(move |(id, pace)| (*id, written(pace)))
    }

    /// The players whose pace is to be kept: id, times as JSON, the version that was known.
    pub(in crate::store) fn paces(&self) -> Result<Vec<(&str, String, i64)>> {
        let row = |(id, pace): (&&'a str, &Pace)| Ok((*id, json(&pace.recent)?, pace.version));
        self.pace.iter().map(row).collect()
    }

    /// Returns the read marks that move: channel, player, and row. A sender who is no member has no mark.
    pub(in crate::store) fn marks(&self) -> Vec<(i64, &'a str, usize)> {
        // Of several rows of one sender the last counts.
        let rows = self.rows.iter().enumerate();
        let last: BTreeMap<(i64, &'a str), usize> = rows.map(|(n, row)| ((row.key, row.id), n)).collect();
        last.into_iter().map(|((key, id), n)| (key, id, n)).collect()
    }

    /// The outcome of a send whose batch is written; none where its row was not, as it was decided on old facts.
    pub(in crate::store) fn outcome(
        &self,
        decision: Decision,
        written: &[Option<Numbered>],
    ) -> Option<Result<Outcome>> {
        let outcome = match decision {
            Decision::Replay(earlier) => Outcome::Replayed(earlier),
            Decision::Twin(n) => {
                Outcome::Replayed(Earlier { channel_key: self.rows[n].key, seq: written[n]?.seq })
            }
            Decision::Store(n) => {
                let (row, numbered) = (&self.rows[n], written[n]?);
                let (channel_key, seq) = (row.key, numbered.seq);
                let message = Stored::one(row.own.as_ref().unwrap_or(&row.shown).with(numbered));
                return Some(message.map(|message| Outcome::Stored { message, channel_key, seq }));
            }
        };
        Some(Ok(outcome))
    }
}

/// Returns the text and payload that the sender wrote, for moderators.
fn written(draft: &Draft) -> Result<String> {
    let payload = draft.said.payload.as_ref().map(Payload::raw).transpose()?;
    json(&Written { text: draft.said.text.as_str(), payload })
}

/// Returns the message that everybody sees, without its number and its time.
fn message(draft: &Draft) -> Result<Message> {
    let raw = |text: &str| RawValue::from_string(text.to_owned()).map_err(Error::internal);
    Ok(Message {
        channel: draft.said.channel.to_string(),
        seq: 0,
        kind: draft.kind,
        sender: Sender::of(&draft.sender, &draft.shown.name),
        text: draft.shown.text.clone(),
        payload: draft.shown.payload.as_deref().map(raw).transpose()?,
        mentions: draft.said.mentions.clone(),
        sent_at: 0,
        reference: None,
        masked: draft.shown.masked,
    })
}

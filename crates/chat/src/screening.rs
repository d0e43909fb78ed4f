//! What becomes of a send under the wordlist: shown as it is, shown masked, or refused.

use std::borrow::Cow;
use std::collections::BTreeSet;

use crate::identity::{Identity, Scope};
use crate::said::Hit;
use crate::said::{NewMessage, Screened};
use guildhall_base::error::Error;
use guildhall_filter::policy::Strictness;
use guildhall_filter::{Action, Budget, Filter, Finds, Verdict, display};

/// A send counts for so many of the list's entries at most: whoever sends the whole list tells nothing about it.
const HITS: usize = 200;

/// Category that refuses a payload's key which can't be shown as it is: changed, it may be another key of the same
/// object.
const UNSAFE: &str = "display";

/// A send that the filter refused.
#[derive(Debug)]
pub struct Refused {
    /// The category whose entry asks for it.
    pub category: String,
    /// The entries that hit.
    pub hits: Vec<Hit>,
}

impl From<Refused> for Error {
    fn from(refused: Refused) -> Self {
        Self::Rejected { category: refused.category }
    }
}

/// Findings of the filter in a send; what is done about them depends on the place.
#[derive(Debug, Default)]
pub struct Judged {
    text: Finds,
    /// By the payload's strings, in their order.
    pieces: Vec<Finds>,
}

impl Judged {
    /// Judges a send's text, behind what the sender said a moment ago (oldest first), and every string of its payload. All
    /// of it together takes a bounded time: they share one budget.
    pub fn of(filter: &Filter, before: &[String], said: &NewMessage) -> Self {
        let text = said.text.as_str();
        let before: Vec<&str> = before.iter().map(String::as_str).collect();
        let mut budget = Budget::of(said.bytes());
        let text = filter.find_after(&before, text, &mut budget);
        let mut pieces = Vec::new();
        if let Some(payload) = &said.payload {
            payload.each(|piece| pieces.push(filter.find(&piece.text, &mut budget)));
        }
        let judged = Self { text, pieces };
        unread("text", !judged.text.is_whole());
        unread("payload", judged.pieces.iter().any(|piece| !piece.is_whole()));
        judged
    }

    /// Did no entry hit?
    pub fn is_empty(&self) -> bool {
        self.text.is_empty() && self.pieces.iter().all(Finds::is_empty)
    }
}

/// Says that a text can be read in more ways than there was time for. It was searched plainly, so it goes on; whoever sees
/// many of these in the log may look for who sends them, by the request's id.
fn unread(class: &'static str, is_unread: bool) {
    if is_unread {
        metrics::counter!("guildhall_texts_unread_total", "class" => class).increment(1);
        tracing::info!(class, "a text can be read in too many ways; not all were tried");
    }
}

/// Filter and settings that screen a send.
#[derive(Clone, Copy)]
pub struct Screen<'a> {
    /// Judges.
    pub filter: &'a Filter,
    /// The version of the list in it.
    pub wordlist: &'a str,
    /// Is what players say made safe to show?
    pub display_safety: bool,
    /// Are blocked words in names masked?
    pub names: bool,
}

impl Screen<'_> {
    /// Returns a judged send as others will see it: blocked words masked, and all made safe to show. A send of the
    /// game's own server is shown as it is. `strictness` is what the send's place wants, if that differs from the list.
    ///
    /// # Errors
    /// An entry asks for refusal, or a payload's key holds a blocked word or what is not safe to show: another key would change
    /// what the payload means.
    pub fn see(
        &self,
        said: &NewMessage,
        judged: &Judged,
        sender: &Identity,
        strictness: Option<&Strictness>,
    ) -> Result<Screened, Refused> {
        let (text, payload) = (said.text.as_str(), said.payload.as_ref());
        if sender.scope == Scope::Server {
            let payload = payload.map(|payload| payload.as_str().to_owned());
            return Ok(Screened {
                name: sender.name.clone(),
                text: text.to_owned(),
                payload,
                masked: false,
                wordlist: None,
                review: false,
                hits: Vec::new(),
            });
        }
        let mut filtering = Filtering {
            masked: false,
            review: false,
            hits: BTreeSet::new(),
            safe: self.display_safety,
            strictness,
        };
        let text = filtering.see(self.filter.verdict(&judged.text), text, false)?;
        let mut pieces = judged.pieces.iter();
        let payload = payload.map(|payload| {
            payload.rewrite(|piece| {
                let verdict = pieces.next().map(|finds| self.filter.verdict(finds)).unwrap_or_default();
                let shown = filtering.see(verdict, &piece.text, piece.is_key)?;
                Ok((shown != piece.text).then(|| shown.into_owned()))
            })
        });
        Ok(Screened {
            name: self.name(sender),
            text: text.into_owned(),
            payload: payload.transpose()?.map(|payload| payload.as_str().to_owned()),
            masked: filtering.masked,
            wordlist: Some(self.wordlist.to_owned()),
            review: filtering.review,
            hits: filtering.hits(),
        })
    }
}

impl Screen<'_> {
    /// A sender's name as others will see it: tokens are signed by the game's server, but players choose their names.
    pub fn name(&self, sender: &Identity) -> String {
        let name = sender.name.as_str();
        if sender.scope == Scope::Server {
            return name.to_owned();
        }
        let mut verdict = if self.names { self.judge_name(name) } else { Verdict::default() };
        // A name can't be refused here: the message would be, for something that is not in it.
        let refused = verdict.hits.iter_mut().filter(|hit| hit.action == Action::Reject);
        refused.for_each(|hit| hit.action = Action::Mask);
        let masked = verdict.masked(name);
        if !self.display_safety {
            return masked.into_owned();
        }
        let shown = display::safe_name(&masked);
        // Somebody without a name that is seen has their id for one.
        if display::shows_something(&shown) { shown.into_owned() } else { sender.id.to_string() }
    }
}

impl<'a> Screen<'a> {
    fn judge_name(&self, name: &str) -> Verdict<'a> {
        let finds = self.filter.find(name, &mut Budget::of(name.len()));
        unread("name", !finds.is_whole());
        self.filter.verdict(&finds)
    }
}

/// Findings in one send so far.
struct Filtering<'s> {
    masked: bool,
    review: bool,
    /// By category and entry.
    hits: BTreeSet<(&'s str, &'s str)>,
    safe: bool,
    strictness: Option<&'s Strictness>,
}

impl<'s> Filtering<'s> {
    fn hits(&self) -> Vec<Hit> {
        let hit = |(category, entry): &(&str, &str)| Hit {
            category: (*category).to_owned(),
            entry: (*entry).to_owned(),
        };
        self.hits.iter().map(hit).collect()
    }

    /// One string as others will see it.
    fn see<'t>(
        &mut self,
        mut verdict: Verdict<'s>,
        text: &'t str,
        is_key: bool,
    ) -> Result<Cow<'t, str>, Refused> {
        if let Some(strictness) = self.strictness {
            strictness.apply(&mut verdict);
        }
        if is_key && matches!(self.safe(Cow::Borrowed(text)), Cow::Owned(_)) {
            return Err(Refused { category: UNSAFE.to_owned(), hits: self.hits() });
        }
        let Some(worst) = verdict.worst() else { return Ok(self.safe(Cow::Borrowed(text))) };
        for hit in verdict.hits.iter().take(HITS - self.hits.len()) {
            self.hits.insert((hit.category, hit.entry));
        }
        metrics::counter!("guildhall_verdicts_total", "action" => worst.action.as_str()).increment(1);
        if worst.action == Action::Reject || (is_key && worst.action == Action::Mask) {
            return Err(Refused { category: worst.category.to_owned(), hits: self.hits() });
        }
        self.masked |= worst.action == Action::Mask;
        self.review |= verdict.hits.iter().any(|hit| hit.action == Action::Review);
        Ok(self.safe(verdict.masked(text)))
    }

    fn safe<'t>(&self, text: Cow<'t, str>) -> Cow<'t, str> {
        if !self.safe {
            return text;
        }
        match display::safe(&text) {
            Cow::Borrowed(_) => text,
            Cow::Owned(safe) => Cow::Owned(safe),
        }
    }
}

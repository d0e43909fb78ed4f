//! What becomes of a send under the wordlist: shown as it is, shown masked, or refused.

use std::borrow::Cow;

use crate::base::error::Error;
use crate::chat::identity::{Identity, Scope};
use crate::chat::said::Hit;
use crate::chat::said::{Said, Shown};
use crate::filter::policy::Strictness;
use crate::filter::{Action, Filter, Verdict, display};

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

/// What a send is screened by.
#[derive(Clone, Copy)]
pub struct Screen<'a> {
    /// Judges.
    pub filter: &'a Filter,
    /// The version of the list in it.
    pub wordlist: &'a str,
    /// What the sender said a moment ago, oldest first, for words that are spelled over several messages.
    pub before: &'a [String],
    /// Is what players say made safe to show?
    pub display_safety: bool,
    /// Are blocked words in names masked?
    pub names: bool,
    /// What is wanted here, where that is known to be something else than what the list says.
    pub strictness: Option<&'a Strictness>,
}

impl Screen<'_> {
    /// Filters the text and every string of the payload, and makes them safe to show. What the game's own server says
    /// is shown as it is.
    ///
    /// # Errors
    /// An entry asks for refusal, or a payload's key holds a blocked word: masking a key would change what the payload
    /// means.
    pub fn see(&self, said: &Said, sender: &Identity) -> Result<Shown, Refused> {
        let (text, payload) = (said.text.as_str(), said.payload.as_ref());
        if sender.scope == Scope::Server {
            let payload = payload.map(|payload| payload.as_str().to_owned());
            return Ok(Shown {
                name: sender.name.clone(),
                text: text.to_owned(),
                payload,
                masked: false,
                wordlist: None,
                review: false,
                hits: Vec::new(),
            });
        }
        let before: Vec<&str> = self.before.iter().map(String::as_str).collect();
        let mut filtering = Filtering {
            masked: false,
            review: false,
            hits: Vec::new(),
            safe: self.display_safety,
            strictness: self.strictness,
        };
        let text = filtering.see(self.filter.judge_after(&before, text), text, false)?;
        let payload = payload.map(|payload| {
            payload.rewrite(|piece| {
                let shown = filtering.see(self.filter.judge(&piece.text), &piece.text, piece.is_key)?;
                Ok((shown != piece.text).then(|| shown.into_owned()))
            })
        });
        Ok(Shown {
            name: self.name(sender),
            text: text.into_owned(),
            payload: payload.transpose()?.map(|payload| payload.as_str().to_owned()),
            masked: filtering.masked,
            wordlist: Some(self.wordlist.to_owned()),
            review: filtering.review,
            hits: filtering.hits,
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
        let mut verdict = if self.names { self.filter.judge(name) } else { Verdict::default() };
        // A name can't be refused here: the message would be, for something that is not in it.
        let refused = verdict.hits.iter_mut().filter(|hit| hit.action == Action::Reject);
        refused.for_each(|hit| hit.action = Action::Mask);
        let masked = verdict.masked(name);
        if self.display_safety { display::safe_name(&masked).into_owned() } else { masked.into_owned() }
    }
}

/// What was found in one send so far.
struct Filtering<'s> {
    masked: bool,
    review: bool,
    hits: Vec<Hit>,
    safe: bool,
    strictness: Option<&'s Strictness>,
}

impl Filtering<'_> {
    /// One string as others will see it.
    fn see<'t>(
        &mut self,
        mut verdict: Verdict<'_>,
        text: &'t str,
        is_key: bool,
    ) -> Result<Cow<'t, str>, Refused> {
        if let Some(strictness) = self.strictness {
            strictness.apply(&mut verdict);
        }
        let Some(worst) = verdict.worst() else { return Ok(self.safe(Cow::Borrowed(text))) };
        self.hits.extend(
            verdict
                .hits
                .iter()
                .map(|hit| Hit { category: hit.category.to_owned(), entry: hit.entry.to_owned() }),
        );
        metrics::counter!("guildhall_verdicts_total", "action" => worst.action.as_str()).increment(1);
        if worst.action == Action::Reject || (is_key && worst.action == Action::Mask) {
            return Err(Refused {
                category: worst.category.to_owned(),
                hits: std::mem::take(&mut self.hits),
            });
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

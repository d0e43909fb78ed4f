//! What becomes of a send under the wordlist: shown as it is, shown masked, or refused.

use std::borrow::Cow;

use crate::app::App;
use crate::error::Error;
use crate::filter::{Action, Verdict, display};
use crate::store::append::{Said, Shown};
use crate::store::wordlist_hit::Hit;
use crate::token::{Identity, Scope};

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

/// Filters the text and every string of the payload, and makes them safe to show. What the game's own server says is
/// shown as it is.
///
/// # Errors
/// An entry asks for refusal, or a payload's key holds a blocked word: masking a key would change what the payload means.
pub fn moderate(app: &App, said: &Said, sender: &Identity) -> Result<Shown, Refused> {
    let payload = said.payload.as_ref();
    if sender.scope == Scope::Server {
        let (text, payload) =
            (said.text.as_str().to_owned(), payload.map(|payload| payload.as_str().to_owned()));
        return Ok(Shown { text, payload, masked: false, wordlist: None, hits: Vec::new() });
    }
    let list = app.blocklist.current();
    let before = app.recent.of(said, sender, app.clock.now());
    let before: Vec<&str> = before.iter().map(String::as_str).collect();
    let mut filtering = Filtering { masked: false, hits: Vec::new(), safe: app.config.display_safety };
    let text =
        filtering.see(&list.filter.judge_after(&before, said.text.as_str()), said.text.as_str(), false)?;
    let payload = payload.map(|payload| {
        payload.rewrite(|piece| {
            let shown = filtering.see(&list.filter.judge(&piece.text), &piece.text, piece.is_key)?;
            Ok((shown != piece.text).then(|| shown.into_owned()))
        })
    });
    Ok(Shown {
        text: text.into_owned(),
        payload: payload.transpose()?.map(|payload| payload.as_str().to_owned()),
        masked: filtering.masked,
        wordlist: Some(list.version.clone()),
        hits: filtering.hits,
    })
}

/// What was found in one send so far.
struct Filtering {
    masked: bool,
    hits: Vec<Hit>,
    safe: bool,
}

impl Filtering {
    /// One string as others will see it.
    fn see<'t>(
        &mut self,
        verdict: &Verdict<'_>,
        text: &'t str,
        is_key: bool,
    ) -> Result<Cow<'t, str>, Refused> {
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

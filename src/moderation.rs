//! What becomes of a send under the wordlist: shown as it is, shown masked, or refused.

use crate::app::App;
use crate::blocklist::Loaded;
use crate::error::{Error, Result};
use crate::filter::Action;
use crate::store::append::{Said, Shown};
use crate::token::{Identity, Scope};

/// Filters the text and every string of the payload. What the game's own server says is not filtered.
///
/// # Errors
/// [`Error::Rejected`] where an entry asks for it, or where a payload's key holds a blocked word: masking a key
/// would change what the payload means.
pub fn moderate(app: &App, said: &Said, sender: &Identity) -> Result<Shown> {
    let payload = said.payload.as_ref();
    if sender.scope == Scope::Server {
        let payload = payload.map(|payload| payload.as_str().to_owned());
        return Ok(Shown { text: said.text.as_str().to_owned(), payload, masked: false, wordlist: None });
    }
    let list = app.blocklist.current();
    let mut masked = false;
    let text = mask(&list, said.text.as_str(), false)?;
    masked |= text.is_some();
    let payload = payload
        .map(|payload| {
            payload.rewrite(|piece| {
                let shown = mask(&list, &piece.text, piece.is_key)?;
                masked |= shown.is_some();
                Ok(shown)
            })
        })
        .transpose()?;
    Ok(Shown {
        text: text.unwrap_or_else(|| said.text.as_str().to_owned()),
        payload: payload.map(|payload| payload.as_str().to_owned()),
        masked,
        wordlist: Some(list.version.clone()),
    })
}

/// The text with blocked words masked; none where nothing is.
fn mask(list: &Loaded, text: &str, is_key: bool) -> Result<Option<String>> {
    let verdict = list.filter.judge(text);
    let Some(worst) = verdict.worst() else { return Ok(None) };
    let action = worst.action.as_str();
    metrics::counter!("guildhall_verdicts_total", "action" => action).increment(1);
    if worst.action == Action::Reject || (is_key && worst.action == Action::Mask) {
        return Err(Error::Rejected { category: worst.category.to_owned() });
    }
    Ok((worst.action == Action::Mask).then(|| verdict.masked(text).into_owned()))
}

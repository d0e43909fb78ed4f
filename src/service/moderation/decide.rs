//! Decisions about cases: the message goes, its author gets a sanction, and everybody whom it concerns is told.

use super::sanction::Asked;
use super::told::{News, Told};
use crate::app::App;
use crate::base::error::{Error, Result};
use crate::chat::identity::Identity;
use crate::chat::reports::Decision;
use crate::chat::sanctions::everywhere;
use crate::chat::values::{ChannelId, Nonce, Place, PlayerId, RecordId, SanctionSeconds, Text};
use crate::store::channel::{self, Channel};
use crate::store::moderation::By;
use crate::store::moderation::case::{self, Case};
use crate::store::moderation::decision::{self, Decided};
use crate::store::moderation::sanction::Given;
use crate::store::outbox::NewTask;
use crate::work::task;

/// How a case is to end.
#[derive(Debug)]
pub struct Verdict {
    /// How.
    pub decision: Decision,
    /// Where a sanction holds; everywhere where absent.
    pub place: Option<Place>,
    /// For how long; for good where absent.
    pub seconds: Option<SanctionSeconds>,
    /// Why.
    pub reason: Text,
    /// What other moderators may know.
    pub note: Option<Text>,
}

/// Decides a case, once for a nonce. Gives the case, and the sanction that its author got.
///
/// # Errors
/// [`Error::NotFound`] where there is none, [`Error::Conflict`] where somebody else has it or it is decided.
pub async fn decide(
    app: &App,
    id: &RecordId,
    verdict: Verdict,
    nonce: Option<&Nonce>,
    by: &Identity,
) -> Result<(Case, Option<Given>)> {
    let Verdict { decision, place, seconds, reason, note } = verdict;
    let case = case::find(&app.db, id.as_str()).await?;
    let channel = channel_of(app, &case).await?;
    if decision == Decision::Recall && channel.is_none() {
        return Err(Error::InvalidInput("decision: there is no message to recall".to_owned()));
    }
    let player = PlayerId::parse(case.about.player.clone()).map_err(Error::internal)?;
    let sanction = decision.sanction().map(|kind| {
        let (player, reason, place) = (player.clone(), reason.clone(), place.unwrap_or_else(everywhere));
        Asked { player, kind, place, seconds, reason, note }.into_stored()
    });
    let told = sanction
        .as_ref()
        .filter(|sanction| sanction.kind.is_told())
        .map(|sanction| Told { player, news: News::Sanction(sanction.id.clone()) });
    let decided = Decided { id: id.as_str(), decision, reason: reason.as_str(), sanction, channel };
    let tell = |reports: &[(String, String)]| tasks(told.as_ref(), reports);
    decision::decide(&app.db, &decided, &By { who: by, nonce: nonce.map(Nonce::as_str) }, tell).await
}

async fn channel_of(app: &App, case: &Case) -> Result<Option<Channel>> {
    match &case.about.channel {
        Some(id) => {
            let id = ChannelId::parse(id.clone()).map_err(Error::internal)?;
            channel::find(&app.db, &id, None).await
        }
        None => Ok(None),
    }
}

/// The player is told, and everybody who reported.
fn tasks(told: Option<&Told>, reports: &[(String, String)]) -> Result<Vec<NewTask>> {
    let mut tasks = Vec::new();
    if let Some(told) = told {
        tasks.push(task::new(told)?);
    }
    for (report, reporter) in reports {
        let player = PlayerId::parse(reporter.clone()).map_err(Error::internal)?;
        tasks.push(task::new(&Told { player, news: News::Report(report.clone()) })?);
    }
    Ok(tasks)
}

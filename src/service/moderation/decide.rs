//! Decisions about cases: the message goes, its author gets a sanction, and everybody whom it concerns is told.

use serde::{Deserialize, Serialize};

use super::sanction::SanctionRequest;
use super::told::{self, PlayerNews, TellPlayer};
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
use crate::store::moderation::report;
use crate::store::moderation::sanction::Given;
use crate::store::outbox;
use crate::work::task::{self, Failure, Task};

/// Decision on a case, with its details.
#[derive(Debug)]
pub struct Verdict {
    /// The decision.
    pub decision: Decision,
    /// Place where a sanction holds; everywhere if absent.
    pub place: Option<Place>,
    /// For how long; for good where absent.
    pub seconds: Option<SanctionSeconds>,
    /// Reason for the decision.
    pub reason: Text,
    /// Note for other moderators.
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
        SanctionRequest { player, kind, place, seconds, reason, note }.into_stored()
    });
    let told = sanction
        .as_ref()
        .filter(|sanction| sanction.kind.is_told())
        .map(|sanction| TellPlayer { player, news: PlayerNews::Sanction(sanction.id.clone()) });
    let decided = Decided { id: id.as_str(), decision, reason: reason.as_str(), sanction, channel };
    let mut tell = told.map(|told| task::new(&told)).transpose()?.into_iter().collect::<Vec<_>>();
    // Very many may have reported it: they are told one after the other, behind what others wait for.
    tell.push(task::new(&Reporters { case: id.clone(), after: String::new() })?);
    decision::decide(&app.db, &decided, &By { who: by, nonce: nonce.map(Nonce::as_str) }, &tell).await
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

/// Reporters that one task tells.
const REPORTERS: i64 = 100;

/// Tell who reported a case that somebody has looked at it, a hundred at a time.
///
/// Safe to run twice: each is told once for a report.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reporters {
    /// The case's id.
    pub case: RecordId,
    /// Those behind this report.
    pub after: String,
}

impl Task for Reporters {
    const NAME: &'static str = "reporters.v1";
    const ATTEMPTS: i64 = 10;

    fn key(&self) -> String {
        format!("reporters:{}", self.case.as_str())
    }

    async fn run(self, app: &App, id: &str) -> Result<(), Failure> {
        let page = report::of_case_behind(&app.db, self.case.as_str(), &self.after, REPORTERS).await?;
        for (report, reporter) in &page {
            let Ok(player) = PlayerId::parse(reporter.as_str()) else { continue };
            let news = PlayerNews::Report(report.clone());
            match told::tell_now(app, &player, &news, &format!("told:{report}")).await {
                // One who can't be told keeps nobody else from it.
                Err(Failure::GiveUp(why)) => tracing::warn!(why, report, "a reporter can't be told"),
                told => told?,
            }
        }
        if page.len() < REPORTERS as usize {
            return Ok(());
        }
        let after = page.into_iter().next_back().map(|(report, _)| report).unwrap_or_default();
        let next = task::new(&Self { case: self.case, after: after.clone() })?;
        let first = id.split(':').next().unwrap_or(id);
        outbox::enqueue_later(&app.db, &format!("{first}:{after}"), &next, app.db.now().await?).await?;
        Ok(())
    }
}

//! Sanctions that moderators and officers give and lift; their players are told.

use super::officers;
use super::told::{PlayerNews, TellPlayer};
use crate::app::App;
use crate::base::error::{Error, Result};
use crate::base::random;
use crate::chat::identity::Identity;
use crate::chat::sanctions::SanctionKind;
use crate::chat::values::{Nonce, Place, PlayerId, RecordId, Role, SanctionSeconds, Text};
use crate::store::member;
use crate::store::moderation::By;
use crate::store::moderation::sanction::{self, Given, NewSanction};
use crate::work::task;

/// The longest mute that an officer gives.
const OFFICERS_S: i64 = 7 * 86_400;

/// A sanction to be given.
#[derive(Debug)]
pub struct SanctionRequest {
    /// Player who gets the sanction.
    pub player: PlayerId,
    /// Kind of the sanction.
    pub kind: SanctionKind,
    /// Place where it holds.
    pub place: Place,
    /// For how long; for good where absent.
    pub seconds: Option<SanctionSeconds>,
    /// Reason that the player is told.
    pub reason: Text,
    /// Note for other moderators.
    pub note: Option<Text>,
}

impl SanctionRequest {
    /// As it is stored.
    pub(super) fn into_stored(self) -> NewSanction {
        NewSanction {
            id: random::id(),
            player: self.player,
            kind: self.kind,
            place: self.place.to_string(),
            seconds: self.seconds.map(SanctionSeconds::get),
            reason: self.reason.as_str().to_owned(),
            note: self.note.map(|note| note.as_str().to_owned()),
            automatic: false,
        }
    }
}

/// Gives a sanction, once for a nonce.
///
/// # Errors
/// An officer may not give it; the database's.
pub async fn give(app: &App, asked: SanctionRequest, nonce: Option<&Nonce>, by: &Identity) -> Result<Given> {
    if !by.is_staff() {
        check_officer(app, &asked, by).await?;
    }
    let new = asked.into_stored();
    let told = TellPlayer { player: new.player.clone(), news: PlayerNews::Sanction(new.id.clone()) };
    let told = new.kind.is_told().then(|| task::new(&told)).transpose()?;
    let by = By { who: by, nonce: nonce.map(Nonce::as_str) };
    sanction::give(&app.db, &new, &by, told.as_ref()).await
}

/// A channel's officers mute its members, for a week at most.
async fn check_officer(app: &App, asked: &SanctionRequest, by: &Identity) -> Result<()> {
    let channel = officers::of_officer(app, asked.place.as_str(), by).await?;
    if asked.kind != SanctionKind::Mute || asked.seconds.is_none_or(|seconds| seconds.get() > OFFICERS_S) {
        return Err(Error::Forbidden {
            reason: "officer",
            message: "an officer mutes, for a week at most".to_owned(),
        });
    }
    match member::role(&app.db, channel.key(), asked.player.as_str()).await? {
        Some(Role::Member) => Ok(()),
        Some(Role::Officer) => Err(Error::Forbidden {
            reason: "officer",
            message: "an officer has no say over officers".to_owned(),
        }),
        None => Err(Error::NotFound("member")),
    }
}

/// Lifts a sanction; one that was lifted stays as it is.
///
/// # Errors
/// [`Error::NotFound`] where there is none, for moderators; an officer may not lift it.
pub async fn lift(app: &App, id: &RecordId, reason: &Text, by: &Identity) -> Result<Given> {
    let given = sanction::find(&app.db, id.as_str()).await;
    // A player learns nothing of sanctions that they have no say in.
    let given = if by.is_staff() { given? } else { given.map_err(|_| officers::refused())? };
    if !by.is_staff() {
        check_lifts(app, &given, by).await?;
    }
    let is_told = given.is_told();
    let player = PlayerId::parse(given.player_id).map_err(Error::internal)?;
    let told = TellPlayer { player, news: PlayerNews::Lifted(given.id) };
    let told = is_told.then(|| task::new(&told)).transpose()?;
    sanction::lift(&app.db, id.as_str(), reason.as_str(), by, told.as_ref()).await
}

/// A channel's officers lift what one of them gave.
async fn check_lifts(app: &App, given: &Given, by: &Identity) -> Result<()> {
    let channel = officers::of_officer(app, &given.place, by).await?;
    let giver = member::role(&app.db, channel.key(), &given.given_by).await?;
    if given.kind == SanctionKind::Mute && giver == Some(Role::Officer) {
        Ok(())
    } else {
        Err(officers::refused())
    }
}

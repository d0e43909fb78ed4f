//! Whom an announcement concerns, and in which language they read it.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::identity::Identity;
use crate::values::{ChannelId, Kind, Language, Level, Name, Text};

/// Languages of one announcement.
const LANGUAGES: usize = 32;

/// Texts by language.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "BTreeMap<Language, Text>")]
pub struct Texts(BTreeMap<Language, Text>);

impl TryFrom<BTreeMap<Language, Text>> for Texts {
    type Error = String;
    fn try_from(texts: BTreeMap<Language, Text>) -> Result<Self, String> {
        match texts.len() {
            1..=LANGUAGES => Ok(Self(texts)),
            n => Err(format!("texts are in 1 to {LANGUAGES} languages, not in {n}")),
        }
    }
}

impl Texts {
    /// The text for who reads a language: in that one, else in another form of it, else in English, else the first.
    pub fn pick(&self, language: Option<&str>) -> (&Language, &Text) {
        let family = |tag: &str| tag.split('-').next().unwrap_or_default().to_ascii_lowercase();
        let named =
            |wanted: &str| self.0.iter().find(|(known, _)| known.as_str().eq_ignore_ascii_case(wanted));
        let akin = |wanted: &str| self.0.iter().find(|(known, _)| family(known.as_str()) == family(wanted));
        let wanted = language.and_then(|language| named(language).or_else(|| akin(language)));
        wanted
            .or_else(|| named("en"))
            .or_else(|| akin("en"))
            .or_else(|| self.0.iter().next())
            .expect("one at least")
    }

    /// All, for clients that choose by themselves.
    pub fn all(&self) -> &BTreeMap<Language, Text> {
        &self.0
    }
}

/// Audience of an announcement: everybody, the members of a channel, the members of all channels of a kind, or players
/// of a zone and of some levels.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Audience {
    /// All players.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub everybody: bool,
    /// Members of this channel.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub channel: Option<ChannelId>,
    /// Members of the channels of this kind.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<Kind>,
    /// Players whose token names this zone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub zone: Option<Name>,
    /// Players of at least this level.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_level: Option<Level>,
    /// Players of at most this level.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_level: Option<Level>,
}

/// Destination of an announcement.
#[derive(Debug)]
pub enum Reach<'a> {
    /// Into one channel.
    Channel(&'a ChannelId),
    /// Into all of a kind.
    Kind(Kind),
    /// To players, wherever they are.
    Players,
}

impl Audience {
    /// Returns the announcement's destination.
    ///
    /// # Errors
    /// Nobody is named, or two things at once.
    pub fn reach(&self) -> Result<Reach<'_>, &'static str> {
        let players = self.zone.is_some() || self.min_level.is_some() || self.max_level.is_some();
        match (self.everybody, &self.channel, self.kind, players) {
            (true, None, None, false) | (false, None, None, true) => Ok(Reach::Players),
            (false, Some(channel), None, false) => Ok(Reach::Channel(channel)),
            (false, None, Some(Kind::World | Kind::Guild | Kind::Party), false) => {
                Ok(Reach::Kind(self.kind.unwrap_or(Kind::World)))
            }
            (false, None, Some(_), false) => Err("audience: kind is world, guild or party"),
            (false, None, None, false) => {
                Err("audience: says whom: everybody, channel, kind, or zone and levels")
            }
            _ => Err("audience: is one of everybody, channel, kind, or zone and levels"),
        }
    }

    /// Does it concern this player?
    pub fn concerns(&self, who: &Identity) -> bool {
        self.zone.as_ref().is_none_or(|zone| who.zone.as_ref() == Some(zone))
            && self.min_level.is_none_or(|least| who.level >= least)
            && self.max_level.is_none_or(|most| who.level <= most)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(languages: &[&str]) -> Texts {
        let text = |language: &&str| (Language::parse(*language).unwrap(), Text::parse(*language).unwrap());
        Texts::try_from(languages.iter().map(text).collect::<BTreeMap<_, _>>()).unwrap()
    }

    #[test]
    fn a_text_is_picked_in_the_language_then_in_one_akin_then_in_english() {
        let all = texts(&["en", "zh-CN", "zh-TW", "uk"]);
        let table = [
            (Some("zh-TW"), "zh-TW"),
            (Some("ZH-tw"), "zh-TW"),
            (Some("zh"), "zh-CN"),
            (Some("zh-HK"), "zh-CN"),
            (Some("uk-UA"), "uk"),
            (Some("fr"), "en"),
            (None, "en"),
        ];
        for (asked, picked) in table {
            assert_eq!(all.pick(asked).1.as_str(), picked, "{asked:?}");
        }
        assert_eq!(texts(&["fr", "uk"]).pick(Some("de")).1.as_str(), "fr", "there is always one");
        assert_eq!(texts(&["en-US", "fr"]).pick(None).1.as_str(), "en-US");
        assert!(Texts::try_from(BTreeMap::new()).is_err());
    }
}

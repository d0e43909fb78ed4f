//! What the planners want in which place: a guild may allow what the world does not.
//!
//! The list says what an entry asks for; a place may ask for something else by category, and may let the milder ones pass.
//! It changes what is done about a find, never what is found.

use std::collections::BTreeMap;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, de};

use super::action::Action;
use super::{Hit, Verdict};

/// The file that says it for kinds of channels.
pub const POLICY_FILE: &str = "policy.toml";
/// Places that the file may name: the kinds of channels in which players speak.
pub const PLACES: &[&str] = &["world", "guild", "party", "direct", "support"];
/// The most categories that a place names.
const CATEGORIES: usize = 100;

/// Action on hits of a category.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Rule {
    /// No action.
    Off,
    /// The hit is counted, and looked at.
    Review,
    /// The word is masked.
    Mask,
    /// The message is refused.
    Reject,
}

impl Rule {
    const fn action(self) -> Option<Action> {
        match self {
            Self::Off => None,
            Self::Review => Some(Action::Review),
            Self::Mask => Some(Action::Mask),
            Self::Reject => Some(Action::Reject),
        }
    }

    const fn as_str(self) -> &'static str {
        match self.action() {
            None => "off",
            Some(action) => action.as_str(),
        }
    }
}

/// A severity, from 1 to 3.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Severity(u8);

impl<'de> Deserialize<'de> for Severity {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match u8::deserialize(deserializer)? {
            severity @ 1..=3 => Ok(Self(severity)),
            _ => Err(de::Error::custom("a severity is 1, 2 or 3")),
        }
    }
}

impl JsonSchema for Severity {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Severity".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "integer", "minimum": 1, "maximum": 3, "description": "a severity is 1, 2 or 3" })
    }
}

/// Strictness of the filter in a place. Values that are absent are as the wordlist says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Strictness {
    /// Milder entries pass: 2 lets those of severity 1 through.
    #[serde(skip_serializing_if = "Option::is_none")]
    min_severity: Option<Severity>,
    /// Actions by category name: `off`, `review`, `mask` or `reject`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "few")]
    categories: BTreeMap<String, Rule>,
}

fn few<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<String, Rule>, D::Error> {
    let categories = BTreeMap::<String, Rule>::deserialize(deserializer)?;
    if categories.len() > CATEGORIES || categories.keys().any(|name| name.len() > 64) {
        return Err(de::Error::custom(format!("at most {CATEGORIES} categories, with names of 64 bytes")));
    }
    Ok(categories)
}

impl Strictness {
    /// Does it change nothing?
    pub fn is_empty(&self) -> bool {
        self.min_severity.is_none() && self.categories.is_empty()
    }

    /// This, and what it does not name as another says.
    #[must_use]
    pub fn over(&self, other: &Self) -> Self {
        let mut categories = other.categories.clone();
        categories.extend(self.categories.clone());
        Self { min_severity: self.min_severity.or(other.min_severity), categories }
    }

    /// Does to a verdict what this place wants.
    pub fn apply(&self, verdict: &mut Verdict<'_>) {
        verdict.hits.retain_mut(|hit| self.keeps(hit));
    }

    fn keeps(&self, hit: &mut Hit<'_>) -> bool {
        if self.min_severity.is_some_and(|Severity(least)| hit.severity < least) {
            return false;
        }
        match self.categories.get(hit.category).map(|rule| rule.action()) {
            None => true,
            Some(None) => false,
            Some(Some(action)) => {
                hit.action = action;
                true
            }
        }
    }

    fn lines<'a>(&'a self, place: &'a str) -> impl Iterator<Item = String> + 'a {
        let severity =
            self.min_severity.iter().map(move |severity| format!("{place}: from severity {}", severity.0));
        let rule = move |(category, rule): (&String, &Rule)| format!("{place}: {category} {}", rule.as_str());
        severity.chain(self.categories.iter().map(rule))
    }
}

/// Strictness by kind of channels.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policy(BTreeMap<String, Strictness>);

impl Policy {
    /// Reads the file.
    ///
    /// # Errors
    /// Where and what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let places: BTreeMap<String, Strictness> = toml::from_str(text).map_err(|fault| {
            let line =
                fault.span().map_or(1, |span| text[..span.start.min(text.len())].matches('\n').count() + 1);
            format!("{POLICY_FILE}:{line}: {}", fault.message())
        })?;
        match places.keys().find(|place| !PLACES.contains(&place.as_str())) {
            Some(other) => {
                Err(format!("{POLICY_FILE}: [{other}] is no kind of channel: it is {}", PLACES.join(", ")))
            }
            None => Ok(Self(places)),
        }
    }

    /// A category that it names and that is none of these.
    pub(super) fn unknown(&self, is_known: impl Fn(&str) -> bool) -> Option<(&str, &str)> {
        let named = self.0.iter().flat_map(|(place, strictness)| {
            strictness.categories.keys().map(move |category| (place.as_str(), category.as_str()))
        });
        named.into_iter().find(|(_, category)| !is_known(category))
    }

    /// Returns the strictness for a kind of channels.
    pub fn of(&self, kind: &str) -> Option<&Strictness> {
        self.0.get(kind)
    }

    /// In words, for a report.
    pub fn lines(&self) -> Vec<String> {
        self.0.iter().flat_map(|(place, strictness)| strictness.lines(place)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Filter, Wordlist};

    const LISTS: &[(&str, &str)] = &[
        ("insults.txt", "mild | severity=1\nrude | severity=2\nvile | severity=3 reject\n"),
        ("fraud.txt", "@action reject\nscam\n"),
    ];

    fn files(policy: &str) -> Vec<(String, Vec<u8>)> {
        let policy = (POLICY_FILE, policy);
        let files = LISTS.iter().chain([&policy]);
        files.map(|(name, text)| ((*name).to_owned(), text.as_bytes().to_vec())).collect()
    }

    fn actions(policy: &str, place: &str, text: &str) -> Vec<(String, Action)> {
        let list = Wordlist::parse(&files(policy)).unwrap();
        let filter = Filter::build(&list).unwrap();
        let mut verdict = filter.judge(text);
        if let Some(strictness) = list.policy.of(place) {
            strictness.apply(&mut verdict);
        }
        verdict.hits.iter().map(|hit| (hit.entry.to_owned(), hit.action)).collect()
    }

    #[test]
    fn a_place_is_as_strict_as_the_planners_say() {
        let policy = "[guild]\nmin_severity = 2\n[guild.categories]\nfraud = \"review\"\n[direct.categories]\ninsults = \"off\"\n";
        let text = "mild rude vile scam";
        let found = |list: &[(&str, Action)]| -> Vec<(String, Action)> {
            list.iter().map(|(entry, action)| ((*entry).to_owned(), *action)).collect()
        };
        use Action::{Mask, Reject, Review};
        let world = found(&[("mild", Mask), ("rude", Mask), ("vile", Reject), ("scam", Reject)]);
        assert_eq!(actions(policy, "world", text), world);
        assert_eq!(
            actions(policy, "guild", text),
            found(&[("rude", Mask), ("vile", Reject), ("scam", Review)])
        );
        assert_eq!(actions(policy, "direct", text), found(&[("scam", Reject)]));
    }

    #[test]
    fn a_channel_is_asked_before_its_kind() {
        let read = |text: &str| serde_json::from_str::<Strictness>(text).unwrap();
        let kind = read(r#"{"min_severity": 3, "categories": {"a": "off", "b": "mask"}}"#);
        let channel = read(r#"{"categories": {"b": "reject"}}"#);
        let both = read(r#"{"min_severity": 3, "categories": {"a": "off", "b": "reject"}}"#);
        assert_eq!(channel.over(&kind), both);
        assert!(read("{}").is_empty() && !both.is_empty());
    }

    #[test]
    fn what_is_wrong_is_told_with_its_place() {
        for (policy, says) in [
            ("[guild]\nmin_severity = 9\n", "policy.toml:2: a severity is 1, 2 or 3"),
            ("[guild.categories]\ninsults = \"maybe\"\n", "policy.toml:2: unknown variant"),
            ("[castle.categories]\ninsults = \"off\"\n", "policy.toml: [castle] is no kind of channel"),
            (
                "[guild.categories]\ninsult = \"off\"\n",
                "policy.toml: [guild] names insult, and there is no insult.txt",
            ),
            ("[guild\n", "policy.toml:1: "),
            ("[guild]\nstrict = true\n", "policy.toml:2: unknown field"),
        ] {
            let faults = Wordlist::parse(&files(policy)).unwrap_err();
            assert!(faults[0].starts_with(says), "{policy}: {faults:?}");
        }
    }
}

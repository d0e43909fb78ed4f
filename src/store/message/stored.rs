//! JSON that is stored as it is served: an entry, or a list of some. All that relies on its form is here, and so are the
//! tests that hold what is relied on.
//!
//! What is relied on: `channel` stands before `seq`, and nothing that a client wrote before that; `kind` and `sender` are
//! written without blanks, `sender` begins with `id`; and behind `sent_at` stands nothing that a client wrote.

use std::borrow::Cow;

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;

use super::{Message, MessageKind};
use crate::base::clock::Millis;
use crate::base::error::{Error, Result};
use crate::chat::identity::Scope;
use crate::store::json;

/// An entry as it is served, or a list of some.
#[derive(Clone, Debug, Serialize)]
#[serde(transparent)]
pub struct Stored(Box<RawValue>);

impl Stored {
    /// Entries joined by commas, as a list.
    pub(super) fn list(joined: Option<String>) -> Result<Self> {
        Self::one(format!("[{}]", joined.unwrap_or_default()))
    }

    pub(in crate::store) fn one(json: String) -> Result<Self> {
        RawValue::from_string(json).map(Self).map_err(Error::internal)
    }

    /// No entries.
    pub fn none() -> Self {
        Self(RawValue::from_string("[]".to_owned()).expect("this is JSON"))
    }

    /// The JSON text.
    pub fn as_str(&self) -> &str {
        self.0.get()
    }

    pub(super) fn is_list(&self) -> bool {
        self.as_str().starts_with('[')
    }

    /// Returns the entries: of a list all, else the single one.
    ///
    /// # Errors
    /// It is neither.
    pub fn entries(&self) -> Result<Vec<&RawValue>> {
        if self.is_list() { entries(self.as_str()) } else { Ok(vec![&self.0]) }
    }

    /// Returns the number of the entry, if this is one.
    ///
    /// # Errors
    /// It has none.
    pub fn seq(&self) -> Result<i64> {
        Ok(EntryHeader::of(self.as_str())?.seq)
    }

    /// As many entries from the front as fit into so many bytes, and whether that is all of them.
    ///
    /// # Errors
    /// It is no list.
    pub fn within(self, bytes: usize) -> Result<(Self, bool)> {
        if self.as_str().len() <= bytes || self.as_str() == "[]" {
            return Ok((self, true));
        }
        let entries = entries(self.as_str())?;
        let mut length = 2;
        let fitting = entries.iter().take_while(|entry| {
            length += entry.get().len() + 1;
            length <= bytes
        });
        let fitting: Vec<&&RawValue> = fitting.collect();
        Ok((Self::one(json(&fitting)?)?, fitting.len() == entries.len()))
    }

    /// The number of the first one, if this is a list of some.
    ///
    /// # Errors
    /// It is none.
    pub fn first_seq(&self) -> Result<Option<i64>> {
        entries(self.as_str())?.first().map(|first| Ok(EntryHeader::of(first.get())?.seq)).transpose()
    }

    /// The number of the last one, if this is a list of some.
    ///
    /// # Errors
    /// It is none.
    pub fn last_seq(&self) -> Result<Option<i64>> {
        entries(self.as_str())?.last().map(|last| Ok(EntryHeader::of(last.get())?.seq)).transpose()
    }
}

/// The entries of a list.
///
/// # Errors
/// It is none.
pub fn entries(list: &str) -> Result<Vec<&RawValue>> {
    serde_json::from_str(list).map_err(Error::internal)
}

/// All fields of an entry but its payload, read from its JSON.
#[derive(Deserialize)]
pub struct EntryHeader<'a> {
    /// The channel's id.
    #[serde(borrow)]
    pub channel: Cow<'a, str>,
    /// The entry's number.
    pub seq: i64,
    /// The entry's kind; none for a kind that only a later version knows.
    #[serde(deserialize_with = "known")]
    pub kind: Option<MessageKind>,
    /// Sender of the entry.
    #[serde(borrow)]
    pub sender: GlanceOfSender<'a>,
    /// Text of the entry.
    #[serde(borrow)]
    pub text: Cow<'a, str>,
    #[serde(borrow)]
    mentions: &'a RawValue,
    /// Time of storing.
    pub sent_at: Millis,
    /// The number of the message that it is about.
    #[serde(rename = "ref")]
    pub reference: Option<i64>,
}

/// The fields of a sender, read from an entry's JSON.
#[derive(Deserialize)]
pub struct GlanceOfSender<'a> {
    /// Their id.
    #[serde(borrow)]
    pub id: Cow<'a, str>,
    /// The name that others see.
    #[serde(borrow)]
    pub name: Cow<'a, str>,
    /// `server` for the game's own.
    #[serde(default)]
    pub scope: Option<Scope>,
}

fn known<'de, D: Deserializer<'de>>(reader: D) -> std::result::Result<Option<MessageKind>, D::Error> {
    let word: Cow<'de, str> = Deserialize::deserialize(reader)?;
    Ok(MessageKind::from_word(&word))
}

impl<'a> EntryHeader<'a> {
    /// A look at an entry.
    ///
    /// # Errors
    /// It is none.
    pub fn of(entry: &'a str) -> Result<Self> {
        serde_json::from_str(entry).map_err(Error::internal)
    }

    /// The players that it calls by name.
    ///
    /// # Errors
    /// There is no list of any.
    pub fn mentions(&self) -> Result<Vec<Cow<'a, str>>> {
        serde_json::from_str(self.mentions.get()).map_err(Error::internal)
    }

    /// May somebody see it otherwise? The entry that tells of hiding looks like what it hides to whom it is about.
    pub(super) fn has_views(&self) -> bool {
        matches!(self.kind, Some(MessageKind::Hidden | MessageKind::Hide))
    }
}

/// May there be an entry among these that somebody sees otherwise? A look at the text, which says yes too often: in a string
/// quotes are escaped, but a payload may read so.
pub(super) fn may_have_views(entries: &str) -> bool {
    entries.contains(r#""kind":"hid"#)
}

/// The ids of those who said some entries, by a look at the text; what a payload holds may be among them.
pub(in crate::store) fn senders(entries: &str) -> impl Iterator<Item = &str> {
    const SENDER: &str = r#""sender":{"id":""#;
    entries.match_indices(SENDER).filter_map(|(at, _)| {
        let id = &entries[at + SENDER.len()..];
        Some(id.split_once('"')?.0)
    })
}

/// Number and time that the commit gives an entry.
#[derive(Clone, Copy)]
pub(in crate::store) struct Numbered {
    pub(in crate::store) seq: i64,
    pub(in crate::store) at: Millis,
}

/// An entry's JSON with places for its number and its time, which the commit gives.
#[derive(Serialize)]
pub(in crate::store) struct Pieces {
    pub(in crate::store) head: String,
    pub(in crate::store) middle: String,
    pub(in crate::store) tail: String,
}

impl Pieces {
    /// Of an entry whose number and time are 0.
    pub(in crate::store) fn of(message: &Message) -> Result<Self> {
        let message = json(message)?;
        Self::split(&message).ok_or_else(|| Error::internal("a message has a number and a time"))
    }

    fn split(message: &str) -> Option<Self> {
        let (head, rest) = message.split_once("\"seq\":0")?;
        let (middle, tail) = rest.rsplit_once("\"sent_at\":0")?;
        let (head, middle) = (format!("{head}\"seq\":"), format!("{middle}\"sent_at\":"));
        Some(Self { head, middle, tail: tail.to_owned() })
    }

    /// The whole.
    pub(in crate::store) fn with(&self, Numbered { seq, at }: Numbered) -> String {
        let Self { head, middle, tail } = self;
        format!("{head}{seq}{middle}{at}{tail}")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::chat::values::PlayerId;
    use crate::store::message::Sender;

    /// Texts that a client may write to imitate the stored form.
    const LOOKS_LIKE: &[&str] = &[
        r#""seq":0"#,
        r#""sent_at":0"#,
        r#","kind":"hidden""#,
        r#""sender":{"id":"eve""#,
        r#"{"seq":7,"kind":"hide"}"#,
        "\\\"",
        "\u{2028}",
    ];

    fn words() -> impl Strategy<Value = String> {
        proptest::collection::vec(
            prop_oneof![proptest::sample::select(LOOKS_LIKE).prop_map(str::to_owned), ".{0,8}"],
            0..4,
        )
        .prop_map(|parts| parts.concat())
    }

    fn messages() -> impl Strategy<Value = Message> {
        let kinds = proptest::sample::select(MessageKind::ALL);
        let payload = proptest::option::of(words());
        (kinds, "[a-z]{1,8}", words(), words(), payload, any::<bool>(), proptest::option::of(1..9_i64))
            .prop_map(|(kind, id, name, text, payload, by_game, reference)| Message {
                channel: "world.1".to_owned(),
                seq: 0,
                kind,
                sender: Sender { id: id.clone(), name, scope: by_game.then_some(Scope::Server) },
                text,
                payload: payload.map(|words| {
                    RawValue::from_string(serde_json::json!({ &words: [&words, { "seq": 0 }] }).to_string())
                        .unwrap()
                }),
                mentions: vec![PlayerId::parse(id).unwrap()],
                sent_at: 0,
                reference,
                masked: false,
            })
    }

    proptest! {
        #[test]
        fn what_is_relied_on_holds_of_every_entry(message in messages(), seq in 1..1_000_i64, at in 1..1_000_i64) {
            let whole = Pieces::of(&message).unwrap().with(Numbered { seq, at });
            let read: Message = serde_json::from_str(&whole).unwrap();
            prop_assert_eq!(serde_json::to_string(&Message { seq, sent_at: at, ..message.clone() }).unwrap(), &*whole);
            let glance = EntryHeader::of(&whole).unwrap();
            prop_assert_eq!((glance.seq, glance.sent_at, glance.kind), (read.seq, read.sent_at, Some(read.kind)));
            prop_assert_eq!((&*glance.text, &*glance.sender.id, &*glance.sender.name), (&*read.text, &*read.sender.id, &*read.sender.name));
            prop_assert_eq!((glance.reference, glance.sender.scope), (read.reference, read.sender.scope));
            prop_assert_eq!(glance.mentions().unwrap(), vec![read.mentions[0].as_str()]);
            prop_assert!(senders(&whole).any(|id| id == read.sender.id));
            prop_assert!(may_have_views(&whole) || !glance.has_views());
            let list = Stored::list(Some(format!("{whole},{whole}"))).unwrap();
            prop_assert_eq!(list.last_seq().unwrap(), Some(seq));
            prop_assert_eq!(list.entries().unwrap()[1].get(), &*whole);
            prop_assert_eq!(Stored::one(whole).unwrap().seq().unwrap(), seq);
        }
    }

    #[test]
    fn a_kind_that_a_later_version_knows_is_no_fault() {
        let entry = r#"{"channel":"w","seq":1,"kind":"edit","sender":{"id":"a","name":"A"},"text":"","payload":null,"mentions":[],"sent_at":1,"ref":null,"masked":false,"more":1}"#;
        assert!(EntryHeader::of(entry).unwrap().kind.is_none());
    }

    #[test]
    fn as_many_entries_as_fit_are_taken_from_the_front() {
        let list = Stored::list(Some("{},{},{}".to_owned())).unwrap();
        for (bytes, expected) in [(100, "[{},{},{}]"), (10, "[{},{},{}]"), (8, "[{},{}]"), (3, "[]")] {
            let (some, whole) = list.clone().within(bytes).unwrap();
            assert_eq!((some.as_str(), whole), (expected, expected.len() == 10));
        }
    }
}

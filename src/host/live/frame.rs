//! What goes over a socket: frames that ask, answers, pushes, and how a socket ends.

use std::io::ErrorKind;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tokio_tungstenite::tungstenite::error::{CapacityError, Error as Fault};
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

use crate::base::error::{Error, Result};
use crate::chat::values::{ChannelId, Cursor, Few, MAX_SYNC_CHANNELS};
use crate::store::announcement::InLanguage;
use crate::store::message::{Message, Stored};

/// The number that answers carry, whatever else a frame says.
#[derive(Deserialize)]
struct Numbered {
    id: u64,
}

/// A request.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Frame {
    /// Chosen by the client; the answer carries it.
    pub(super) id: u64,
    /// The action's path.
    #[serde(rename = "do")]
    pub(super) path: String,
    /// The action's input.
    #[serde(default)]
    pub(super) input: Option<Box<RawValue>>,
}

/// Reason why a frame can't be answered, or the error that answers it.
#[derive(Debug)]
pub(super) enum FrameError {
    /// Not even a number is in it.
    Nonsense,
    /// The frame has a number, and something else is wrong.
    Wrong(u64, Error),
}

impl Frame {
    pub(super) fn read(text: &str) -> Result<Self, FrameError> {
        // A list would be taken for the fields in their order.
        if !text.trim_ascii_start().starts_with('{') {
            return Err(FrameError::Nonsense);
        }
        serde_json::from_str(text).map_err(|fault| match serde_json::from_str::<Numbered>(text) {
            Ok(Numbered { id }) => FrameError::Wrong(id, Error::InvalidInput(format!("frame: {fault}"))),
            Err(_) => FrameError::Nonsense,
        })
    }

    /// The input, as what it must be here.
    pub(super) fn input<T: for<'de> Deserialize<'de>>(&self) -> Result<T> {
        let input = self.input.as_ref().map_or("{}", |input| input.get());
        if !input.starts_with('{') {
            return Err(Error::InvalidInput("input: an object is expected".to_owned()));
        }
        let parser = &mut serde_json::Deserializer::from_str(input);
        serde_path_to_error::deserialize(parser)
            .map_err(|fault| Error::InvalidInput(format!("input: {fault}")))
    }
}

/// The first frame's input, and that of `/live/renew`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Hello {
    pub(super) token: String,
}

/// Channels to follow.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Follow {
    /// The caller's channels, and those joined later.
    #[serde(default)]
    pub(super) all: bool,
    #[serde(default)]
    pub(super) channels: Few<Standing, MAX_SYNC_CHANNELS>,
}

/// The client's position in a channel.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Standing {
    pub(super) channel: ChannelId,
    /// Number of the last message that the client has; if absent, only messages after the present ones are pushed.
    #[serde(default)]
    pub(super) after: Option<Cursor>,
    #[serde(default)]
    pub(super) epoch: Option<String>,
}

/// Channel in which the caller types.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Typing {
    pub(super) channel: ChannelId,
}

/// Channels to follow no more.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Unfollow {
    pub(super) channels: Few<ChannelId, MAX_SYNC_CHANNELS>,
}

/// A channel that is followed from now on, or why it is not.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Followed {
    pub(super) channel: String,
    pub(super) epoch: Option<String>,
    pub(super) first_seq: Option<i64>,
    pub(super) last_seq: Option<i64>,
    pub(super) error: Option<&'static str>,
}

/// A frame that the server sends unasked.
#[derive(Serialize, JsonSchema)]
#[serde(tag = "push", rename_all = "lowercase")]
pub(in crate::host) enum Push<'a> {
    /// New messages, in the shape of `/message/sync`.
    Messages {
        channel: &'a str,
        epoch: Option<&'a str>,
        reset: bool,
        first_seq: Option<i64>,
        #[schemars(with = "Vec<Message>")]
        messages: &'a Stored,
    },
    /// The caller joined a channel, or sees it no more.
    Membership { channel: &'a str, change: Change },
    /// A follower types; told once, and stored nowhere.
    Typing { channel: &'a str, player: &'a str },
    /// Members who came and went. With `reset`, `online` is all who are there.
    Presence { channel: &'a str, reset: bool, online: Vec<&'a str>, offline: Vec<&'a str> },
    /// The set of players whom the caller blocks has changed: what is shown of them changes too, so read it again.
    Blocks,
    /// The game says something to many, the caller among them.
    Announcement {
        #[schemars(with = "InLanguage<'static>")]
        announcement: InLanguage<'a>,
    },
    /// The server closes.
    Bye { code: u16, retry_after_s: Option<u64> },
}

/// Change of a membership.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(in crate::host) enum Change {
    /// The channel is followed from now on.
    Joined,
    /// The channel is followed no more.
    Left,
}

/// Reason why a socket ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Closing {
    /// The client is gone, or said that it goes.
    Gone,
    /// The client sent something that is no frame of ours.
    Protocol,
    /// No token in time, or it is over.
    Token,
    /// The client takes nothing.
    Slow,
    /// The player has newer sockets.
    TooMany,
    /// The server stops.
    Restarting,
    /// Nothing is wrong with who it is, but it can't come in for so many seconds at least.
    Later(u64),
    /// The client sent something too large.
    TooLarge,
    /// The client sent something that is not UTF-8.
    NotText,
    /// The client sent something against RFC 6455.
    Broken,
}

impl Closing {
    /// All of them.
    pub(super) const ALL: &[Self] = &[
        Self::Gone,
        Self::Broken,
        Self::NotText,
        Self::TooLarge,
        Self::Restarting,
        Self::Later(0),
        Self::Protocol,
        Self::Token,
        Self::Slow,
        Self::TooMany,
    ];

    /// The close code and its reason.
    pub(super) const fn code(self) -> (u16, &'static str) {
        match self {
            Self::Gone => (1000, ""),
            Self::Protocol => {
                (4000, "send text frames such as {\"id\":1,\"do\":\"/live/hello\",\"input\":{…}}")
            }
            Self::Token => (4001, "the token is missing, wrong or over"),
            Self::Slow => (4002, "nothing was taken for 30 s"),
            Self::TooMany => (4003, "a newer socket took this one's place"),
            Self::Restarting => (1012, "the server restarts"),
            Self::Later(_) => (1013, "the server takes no more of you now"),
            Self::TooLarge => (1009, "a frame has at most 20 KiB"),
            Self::NotText => (1007, "text must be UTF-8"),
            Self::Broken => (1002, "this is no WebSocket"),
        }
    }

    pub(super) fn frame(self) -> CloseFrame {
        let (code, reason) = self.code();
        CloseFrame { code: CloseCode::from(code), reason: reason.into() }
    }

    /// Returns the reason that a fault of the connection means.
    pub(super) fn of(fault: &Fault) -> Self {
        match fault {
            Fault::Capacity(CapacityError::MessageTooLong { .. }) => Self::TooLarge,
            Fault::Utf8(_) => Self::NotText,
            Fault::Protocol(_) => Self::Broken,
            Fault::Io(fault) if matches!(fault.kind(), ErrorKind::TimedOut) => Self::Slow,
            // More came than anything whole can have.
            Fault::Io(fault) if matches!(fault.kind(), ErrorKind::InvalidData) => Self::Protocol,
            _ => Self::Gone,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Pieces of which frames are made, and of which what is nearly one.
    const PIECES: &[&str] = &[
        "{",
        "}",
        "[",
        "]",
        ",",
        ":",
        "\"id\"",
        "\"do\"",
        "\"input\"",
        "\"more\"",
        "7",
        "-1",
        "1e400",
        "null",
        "true",
        "\"/live/hello\"",
        "\"\\ud800\"",
        "\"\"",
        " ",
        "\n",
        "18446744073709551616",
        "{\"id\":1,",
        "\"do\":\"/x\"",
        "\u{0}",
        "é",
    ];

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        /// Whatever a text is made of, it is a frame, or is answered by its number, or is none; and a frame's input is read
        /// or refused.
        #[test]
        fn any_text_is_a_frame_or_refused(pieces in proptest::collection::vec(0..PIECES.len(), 0..40)) {
            let text: String = pieces.iter().map(|piece| PIECES[*piece]).collect();
            match Frame::read(&text) {
                Ok(frame) => {
                    let _ = (frame.input::<Hello>(), frame.input::<Follow>(), frame.input::<Typing>());
                    prop_assert!(serde_json::from_str::<serde_json::Value>(&text).unwrap().is_object());
                }
                Err(FrameError::Wrong(id, _)) => prop_assert_eq!(serde_json::from_str::<Numbered>(&text).unwrap().id, id),
                Err(FrameError::Nonsense) => prop_assert!(serde_json::from_str::<Numbered>(&text).is_err()),
            }
        }

        #[test]
        fn a_frame_is_read_as_it_was_written(id in any::<u64>(), path in "/[a-z/-]{0,40}", token in ".{0,200}") {
            let text = serde_json::json!({ "id": id, "do": path, "input": { "token": token } }).to_string();
            let frame = Frame::read(&text).unwrap();
            prop_assert_eq!((frame.id, &frame.path, frame.input::<Hello>().unwrap().token), (id, &path, token));
        }
    }

    /// A test over the wire would wait for half a minute, and for the moment in which the client can still be told.
    #[test]
    fn whoever_takes_nothing_in_time_is_too_slow() {
        assert_eq!(Closing::of(&Fault::Io(ErrorKind::TimedOut.into())).code().0, 4002);
        assert_eq!(Closing::of(&Fault::Io(ErrorKind::ConnectionReset.into())), Closing::Gone);
        assert_eq!(Closing::of(&Fault::ConnectionClosed), Closing::Gone);
    }
}

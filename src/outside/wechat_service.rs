//! What `WeChat` pushes of customers' messages: SHA-1 over the sorted token, time and nonce in the query; in secure mode the
//! message encrypted with AES-256-CBC, and signed with it. The body is XML or JSON, as the account is set up.
//!
//! Without secure mode a signature says nothing of the body: only its age bounds what a leaked one is good for.

use std::collections::BTreeMap;
use std::fmt;

use aws_lc_rs::cipher::{AES_256, DecryptingKey, DecryptionContext, UnboundCipherKey};
use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use aws_lc_rs::iv::{FixedLength, IV_LEN_128_BIT};
use base64::Engine;
use base64::alphabet;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, STANDARD};
use serde::Deserialize;
use serde_json::Value;

use super::keys::Rotating;
use super::signed::{UNSIGNED, elsewhere, malformed, recent};
use crate::base::clock::Millis;
use crate::base::error::{Error, Result};
use crate::base::random::to_hex;
use crate::config::WechatService as Settings;

/// `WeChat` makes its keys of any 43 letters and digits: the last may have bits that count for nothing.
const KEYS: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(base64::engine::DecodePaddingMode::RequireNone),
);
/// Bytes in front of an encrypted message: random ones, and its length.
const RANDOM: usize = 16;
const LENGTH: usize = 4;
/// Messages are padded to a multiple of this.
const BLOCK: usize = 32;

/// Query of a push, signed.
#[derive(Clone, Copy)]
pub struct Signed<'a> {
    /// Over time and nonce.
    pub signature: &'a str,
    /// Over these and the encrypted message.
    pub message_signature: &'a str,
    /// Seconds since 1970.
    pub time: &'a str,
    /// Random.
    pub nonce: &'a str,
}

/// A customer's message, or an event.
#[derive(Debug, PartialEq, Eq)]
pub struct Pushed {
    /// The customer's `openid`.
    pub from: String,
    /// `text`, `image`, `event`, …
    pub kind: String,
    /// Tells messages apart; events have none.
    pub id: Option<String>,
    /// Content of a text message.
    pub text: Option<String>,
    /// All else that was pushed.
    pub rest: BTreeMap<String, String>,
}

/// An account's pushes.
pub struct WechatService {
    token: Rotating<String>,
    secure: Option<Secure>,
}

struct Secure {
    app: String,
    key: Rotating<AesKey>,
}

struct AesKey([u8; 32]);

impl fmt::Debug for WechatService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<WechatService>")
    }
}

impl AesKey {
    fn parse(setting: &str) -> Result<Self, String> {
        let key = KEYS.decode(setting.trim()).ok().and_then(|key| key.try_into().ok());
        key.map(Self).ok_or_else(|| "an EncodingAESKey has 43 letters and digits".to_owned())
    }
}

impl WechatService {
    /// The account that the settings name.
    ///
    /// # Errors
    /// A key that can't be read or is none, with its setting.
    pub fn new(settings: &Settings) -> Result<Self, String> {
        let token = |text: &str| match text.trim() {
            "" => Err("is empty".to_owned()),
            token => Ok(token.to_owned()),
        };
        let named = |name: &'static str| move |fault: String| format!("{name}: {fault}");
        let secure = settings
            .secure
            .as_ref()
            .map(|(app, key)| Rotating::new(key, AesKey::parse).map(|key| Secure { app: app.clone(), key }));
        Ok(Self {
            token: Rotating::new(&settings.token, token).map_err(named("GUILDHALL_TICKET_WECHAT_TOKEN"))?,
            secure: secure.transpose().map_err(named("GUILDHALL_TICKET_WECHAT_KEY"))?,
        })
    }

    /// Is it `WeChat` that asks?
    ///
    /// # Errors
    /// [`Error::Unauthenticated`] where it is not, or was long ago.
    pub fn verify(&self, signed: Signed<'_>, now: Millis) -> Result<()> {
        self.check(signed, &[], signed.signature, now)
    }

    /// Was that signed lately, with what else is signed?
    fn check(&self, signed: Signed<'_>, more: &[&str], signature: &str, now: Millis) -> Result<()> {
        recent(signed.time, now)?;
        let token = self.token.get(now);
        let mut parts = [&[token.as_str(), signed.time, signed.nonce], more].concat();
        parts.sort_unstable();
        let expected = to_hex(digest(&SHA1_FOR_LEGACY_USE_ONLY, parts.concat().as_bytes()).as_ref());
        verify_slices_are_equal(expected.as_bytes(), signature.as_bytes()).map_err(|_| UNSIGNED)
    }

    /// Verifies and reads a push.
    ///
    /// # Errors
    /// The same; [`Error::InvalidInput`] for a body that is none, [`Error::Forbidden`] for another app's.
    pub fn open(&self, signed: Signed<'_>, body: &[u8], now: Millis) -> Result<Pushed> {
        let Some(secure) = &self.secure else {
            self.verify(signed, now)?;
            return pushed(fields(body)?);
        };
        // What stands beside it may be anybody's: that alone is signed.
        let sealed = fields(body)?.remove("Encrypt").ok_or(UNSIGNED)?;
        self.check(signed, &[&sealed], signed.message_signature, now)?;
        let opened = secure.decrypt(&sealed, now)?;
        pushed(fields(&opened)?)
    }
}

impl Secure {
    fn decrypt(&self, sealed: &str, now: Millis) -> Result<Vec<u8>> {
        const FOREIGN: &str = "Encrypt can't be decrypted by this account's key";
        let mut bytes = STANDARD.decode(sealed).map_err(|_| malformed("Encrypt is no base64"))?;
        let key = self.key.get(now);
        let iv: [u8; IV_LEN_128_BIT] = key.0[..IV_LEN_128_BIT].try_into().map_err(Error::internal)?;
        let cipher = UnboundCipherKey::new(&AES_256, &key.0).and_then(DecryptingKey::cbc);
        let cipher = cipher.map_err(|_| Error::internal("no cipher of this key"))?;
        let opened = cipher.decrypt(&mut bytes, DecryptionContext::Iv128(FixedLength::from(iv)));
        let opened = opened.map_err(|_| malformed(FOREIGN))?;
        let (message, app) = unpack(opened).ok_or_else(|| malformed(FOREIGN))?;
        if app != self.app.as_bytes() {
            return Err(elsewhere("app"));
        }
        Ok(message.to_vec())
    }
}

/// The message and the app's id, out of what was encrypted.
fn unpack(opened: &[u8]) -> Option<(&[u8], &[u8])> {
    let padding = usize::from(*opened.last()?);
    let end = opened.len().checked_sub(padding).filter(|_| (1..=BLOCK).contains(&padding))?;
    let (length, rest) = opened[..end].get(RANDOM..)?.split_at_checked(LENGTH)?;
    let length = u32::from_be_bytes(length.try_into().ok()?);
    rest.split_at_checked(usize::try_from(length).ok()?)
}

/// An element of a message: its text; what lies deeper is nothing to us.
#[derive(Deserialize)]
struct Element {
    #[serde(rename = "$text", default)]
    text: String,
}

/// The message's fields that are texts or numbers.
fn fields(body: &[u8]) -> Result<BTreeMap<String, String>> {
    let body = str::from_utf8(body).map_err(|_| malformed("it is no UTF-8"))?.trim();
    if body.starts_with('<') {
        let elements: BTreeMap<String, Element> =
            quick_xml::de::from_str(body).map_err(|fault| malformed(&format!("it is no XML: {fault}")))?;
        return Ok(elements.into_iter().map(|(name, element)| (name, element.text)).collect());
    }
    let fields: BTreeMap<String, Value> =
        serde_json::from_str(body).map_err(|fault| malformed(&format!("it is no JSON: {fault}")))?;
    let text = |value| match value {
        Value::String(text) => Some(text),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    };
    Ok(fields.into_iter().filter_map(|(name, value)| Some((name, text(value)?))).collect())
}

fn pushed(mut fields: BTreeMap<String, String>) -> Result<Pushed> {
    let mut take = |name: &str| fields.remove(name).filter(|text| !text.is_empty());
    let from = take("FromUserName").ok_or_else(|| malformed("it has no FromUserName"))?;
    let kind = take("MsgType").ok_or_else(|| malformed("it has no MsgType"))?;
    let (id, text) = (take("MsgId"), take("Content"));
    if kind != "event" && id.is_none() {
        return Err(malformed("it has no MsgId"));
    }
    Ok(Pushed { from, kind, id, text, rest: fields })
}

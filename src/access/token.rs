//! Tokens: JWTs signed by the game's own server, so that chat needs no login of its own.

use std::collections::HashMap;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::HeaderMap;
use http::header::AUTHORIZATION;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use quick_cache::sync::Cache;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::base::clock::Millis;
use crate::base::error::{Error, Result};
use crate::chat::identity::{Identity, Scope};
use crate::chat::values::{Language, Level, MAX_EXACT, Name, PlayerId};
use crate::config::{Secret, TokenKey, TokenKeyKind};

/// Longer tokens are not looked at.
const MAX_TOKEN_BYTES: usize = 4_096;
/// Verified tokens kept; each takes well under a kilobyte.
const CACHED_TOKENS: usize = 16_384;
/// A verified token is verified again after this time, whatever its end.
const CACHE_MS: Millis = 60_000;

/// The claims of a token. Claims we don't know are left alone: the game's server may have its own.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Claims {
    /// Subject: the player's id.
    pub sub: PlayerId,
    /// Scope: the rights of the caller.
    pub scope: Scope,
    /// Expiry, in whole seconds since 1970-01-01 UTC.
    pub exp: u64,
    /// The name that others see; the id where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<Name>,
    /// The player's level in the game.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub level: Option<Level>,
    /// Start of validity, in whole seconds since 1970-01-01 UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nbf: Option<u64>,
    /// Audience of the token: one name or several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub aud: Option<Audience>,
    /// The player's zone or world.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<Name>,
    /// The language that the player reads: `en`, `zh-CN`. What is none is left alone.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "language")]
    pub lang: Option<Language>,
}

/// A game may have had a claim of this name before, of whatever form.
fn language<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Language>, D::Error> {
    let said = serde_json::Value::deserialize(deserializer)?;
    Ok(said.as_str().and_then(|tag| Language::parse(tag.replace('_', "-")).ok()))
}

/// Audience of a token.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Audience {
    /// One.
    One(String),
    /// Any of these.
    Several(Vec<String>),
}

impl Audience {
    fn has(&self, name: &str) -> bool {
        match self {
            Self::One(one) => one == name,
            Self::Several(several) => several.iter().any(|one| one == name),
        }
    }
}

/// Verifies tokens; remembers those it has seen for a minute at most.
pub struct Tokens {
    audience: Option<String>,
    unnamed: Key,
    named: HashMap<String, Key>,
    seen: Cache<[u8; 32], (Identity, Millis)>,
}

struct Key {
    key: DecodingKey,
    validation: Validation,
}

impl Key {
    fn new(key: DecodingKey, algorithm: Algorithm) -> Self {
        let mut validation = Validation::new(algorithm);
        // The end is checked below against our own clock, without leeway.
        validation.validate_exp = false;
        validation.validate_aud = false;
        Self { key, validation }
    }

    fn hs256(secret: &Secret) -> Self {
        let key = DecodingKey::from_secret(secret.expose()).expect("a secret has 32 bytes at least");
        Self::new(key, Algorithm::HS256)
    }
}

impl Tokens {
    /// A verifier for the secret and for further keys.
    ///
    /// # Errors
    /// A public key that is none.
    pub fn new(secret: &Secret, keys: &[TokenKey], audience: Option<String>) -> Result<Self, String> {
        let named = keys.iter().map(|key| {
            let verifier = match &key.kind {
                TokenKeyKind::Hs256(secret) => Key::hs256(secret),
                TokenKeyKind::EdDsa(x) => {
                    let decoding = DecodingKey::from_ed_components(x).map_err(|_| {
                        format!("GUILDHALL_TOKEN_KEYS key '{}' is no Ed25519 public key", key.kid)
                    })?;
                    Key::new(decoding, Algorithm::EdDSA)
                }
            };
            Ok((key.kid.clone(), verifier))
        });
        Ok(Self {
            audience,
            unnamed: Key::hs256(secret),
            named: named.collect::<Result<_, String>>()?,
            seen: Cache::new(CACHED_TOKENS),
        })
    }

    /// Returns the identity that the request's bearer token names.
    ///
    /// # Errors
    /// [`Error::Unauthenticated`] for anything but one token that holds now.
    pub fn identify(&self, headers: &HeaderMap, now: Millis) -> Result<Identity> {
        let token = bearer(headers)?;
        let digest: [u8; 32] = Sha256::digest(token).into();
        if let Some((identity, until)) = self.seen.get(&digest)
            && now < until
        {
            return Ok(identity);
        }
        let claims = self.verify(token)?;
        let ends = (claims.exp.min(MAX_EXACT as u64 / 1_000) * 1_000) as Millis;
        if ends <= now {
            return Err(Error::Unauthenticated("the token has expired"));
        }
        if claims.nbf.is_some_and(|begins| begins > now.unsigned_abs() / 1_000) {
            return Err(Error::Unauthenticated("the token does not hold yet"));
        }
        if let Some(audience) = &self.audience
            && !claims.aud.as_ref().is_some_and(|named| named.has(audience))
        {
            return Err(Error::Unauthenticated("the token is meant for somebody else"));
        }
        let identity = Identity {
            name: claims.name.map_or_else(|| claims.sub.to_string(), |name| name.to_string()),
            id: claims.sub,
            level: claims.level.unwrap_or_default(),
            scope: claims.scope,
            until: ends,
            zone: claims.zone,
            lang: claims.lang,
        };
        self.seen.insert(digest, (identity.clone(), ends.min(now + CACHE_MS)));
        Ok(identity)
    }

    fn verify(&self, token: &str) -> Result<Claims> {
        const BAD: Error = Error::Unauthenticated("the token does not hold");
        let header = jsonwebtoken::decode_header(token).map_err(|_| BAD)?;
        // What a header calls critical must be understood, and we know nothing of the kind.
        if asks_for_more(token) {
            return Err(Error::Unauthenticated("the token asks for what this server does not know"));
        }
        let key = match &header.kid {
            None => &self.unnamed,
            Some(kid) => {
                self.named.get(kid).ok_or(Error::Unauthenticated("the token names an unknown key"))?
            }
        };
        jsonwebtoken::decode::<Claims>(token, &key.key, &key.validation)
            .map(|token| token.claims)
            .map_err(|_| BAD)
    }
}

/// Has the header a `crit`?
fn asks_for_more(token: &str) -> bool {
    let header = token.split('.').next().and_then(|header| URL_SAFE_NO_PAD.decode(header).ok());
    let header = header.and_then(|json| serde_json::from_slice::<serde_json::Value>(&json).ok());
    header.is_some_and(|header| header.get("crit").is_some())
}

/// Signs a token as the game's server would; for `guildhall token` and for tests.
///
/// # Errors
/// Claims that can't be written as JSON.
pub fn mint(secret: &Secret, claims: &Claims) -> Result<String, jsonwebtoken::errors::Error> {
    let key = EncodingKey::from_secret(secret.expose())?;
    jsonwebtoken::encode(&Header::new(Algorithm::HS256), claims, &key)
}

fn bearer(headers: &HeaderMap) -> Result<&str> {
    const MISSING: Error = Error::Unauthenticated("an Authorization header with one bearer token is needed");
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return Err(MISSING) };
    let (scheme, token) = value.to_str().ok().and_then(|text| text.split_once(' ')).ok_or(MISSING)?;
    if !scheme.eq_ignore_ascii_case("bearer") || token.is_empty() || token.len() > MAX_TOKEN_BYTES {
        return Err(MISSING);
    }
    Ok(token)
}

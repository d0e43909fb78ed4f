//! Tokens that are signed by a key from a PEM file (PKCS #8), as push services ask for them.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, RSA_PKCS1_SHA256, RsaKeyPair};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::Value;

/// A key that signs.
pub(super) enum Signer {
    /// `RS256`.
    Rsa(RsaKeyPair),
    /// `ES256`.
    Ecdsa(EcdsaKeyPair),
}

impl Signer {
    /// An RSA key.
    pub(super) fn rsa(pem: &str) -> Option<Self> {
        RsaKeyPair::from_pkcs8(&der(pem)?).ok().map(Self::Rsa)
    }

    /// A key on the curve P-256.
    pub(super) fn ecdsa(pem: &str) -> Option<Self> {
        EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &der(pem)?).ok().map(Self::Ecdsa)
    }

    /// A token with these claims; `head` is filled in with the algorithm.
    pub(super) fn sign(&self, mut head: Value, claims: &Value) -> Option<String> {
        head["alg"] = match self {
            Self::Rsa(_) => "RS256".into(),
            Self::Ecdsa(_) => "ES256".into(),
        };
        let encoded = |part: &Value| URL_SAFE_NO_PAD.encode(part.to_string());
        let signed = format!("{}.{}", encoded(&head), encoded(claims));
        let random = SystemRandom::new();
        let signature = match self {
            Self::Rsa(key) => {
                let mut signature = vec![0; key.public_modulus_len()];
                key.sign(&RSA_PKCS1_SHA256, &random, signed.as_bytes(), &mut signature).ok()?;
                signature
            }
            Self::Ecdsa(key) => key.sign(&random, signed.as_bytes()).ok()?.as_ref().to_vec(),
        };
        Some(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }
}

/// Decodes the lines between the first and the last one.
fn der(pem: &str) -> Option<Vec<u8>> {
    let inner: String = pem.lines().map(str::trim).filter(|line| !line.starts_with("-----")).collect();
    STANDARD.decode(inner).ok()
}

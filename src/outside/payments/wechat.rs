//! `WeChat` Pay, version 3: RSA-SHA256 over `timestamp\nnonce\nbody\n` by the key that `Wechatpay-Serial` names, and what
//! happened encrypted with AES-256-GCM by the merchant's key.
//!
//! The key is that of a platform's certificate, by its serial number, or a public key, by its id; while `WeChat` moves a
//! merchant from one to the other, both are used.

use std::collections::HashMap;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::signature::{RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::Rotating;
use super::{Callback, Received, Result, UNSIGNED, elsewhere, header, json, malformed, recent, text};
use crate::config::WechatPay;

/// The platform's public keys, as DER, by serial number or id.
pub(super) struct PublicKeys(HashMap<String, Vec<u8>>);

impl PublicKeys {
    /// `SERIAL=BASE64`, joined by commas; the base64 is what stands in a PEM file of the public key.
    fn parse(setting: &str) -> Result<Self, String> {
        let key = |pair: &str| {
            let (serial, encoded) =
                pair.trim().split_once('=').ok_or("is not SERIAL=KEY, joined by commas")?;
            let der =
                STANDARD.decode(encoded.trim()).map_err(|_| format!("the key of {serial} is no base64"))?;
            Ok((serial.trim().to_ascii_uppercase(), der))
        };
        let keys: HashMap<_, _> = setting.split(',').map(key).collect::<Result<_, String>>()?;
        Ok(Self(keys))
    }
}

fn api_key(setting: &str) -> Result<LessSafeKey, String> {
    UnboundKey::new(&AES_256_GCM, setting.trim().as_bytes())
        .map(LessSafeKey::new)
        .map_err(|_| "the key of API version 3 has 32 characters".to_owned())
}

/// A merchant's callbacks.
pub(super) struct Wechat {
    merchant: String,
    public_keys: Rotating<PublicKeys>,
    api_key: Rotating<LessSafeKey>,
}

impl Wechat {
    pub(super) fn new(settings: &WechatPay) -> Result<Self, String> {
        Ok(Self {
            merchant: settings.merchant.clone(),
            public_keys: Rotating::new(&settings.public_keys, PublicKeys::parse)?,
            api_key: Rotating::new(&settings.api_key, api_key)?,
        })
    }

    pub(super) fn verify(&self, callback: Callback<'_>) -> Result<Received> {
        let [time, nonce, signature, serial] = ["timestamp", "nonce", "signature", "serial"]
            .map(|name| header(callback.headers, &format!("wechatpay-{name}")));
        let (time, nonce) = (time?, nonce?);
        recent(time, callback.now)?;
        let keys = self.public_keys.get(callback.now);
        let key = keys.0.get(&serial?.to_ascii_uppercase()).ok_or(UNSIGNED)?;
        let signature = STANDARD.decode(signature?).map_err(|_| UNSIGNED)?;
        let signed = [time.as_bytes(), b"\n", nonce.as_bytes(), b"\n", callback.body, b"\n"].concat();
        UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, key)
            .verify(&signed, &signature)
            .map_err(|_| UNSIGNED)?;

        let told = json(callback.body)?;
        let resource = self.open(&told["resource"], callback)?;
        let merchant = ["mchid", "sp_mchid"].map(|name| text(&resource[name]));
        if merchant.into_iter().flatten().next().is_some_and(|merchant| merchant != self.merchant) {
            return Err(elsewhere("merchant"));
        }
        Ok(Received {
            event: text(&told["id"]).unwrap_or_default(),
            kind: text(&told["event_type"]).unwrap_or_default(),
            player: text(&resource["attach"]),
            purchase: text(&resource["out_trade_no"]),
            payload: resource,
        })
    }

    /// Returns the decrypted content.
    fn open(&self, sealed: &Value, callback: Callback<'_>) -> Result<Value> {
        if sealed["algorithm"] != "AEAD_AES_256_GCM" {
            return Err(malformed("resource is not encrypted by AEAD_AES_256_GCM"));
        }
        let part = |name: &str| sealed[name].as_str().unwrap_or_default();
        let nonce: [u8; NONCE_LEN] =
            part("nonce").as_bytes().try_into().map_err(|_| malformed("resource.nonce has not 12 bytes"))?;
        let mut text =
            STANDARD.decode(part("ciphertext")).map_err(|_| malformed("resource.ciphertext is no base64"))?;
        let with = Aad::from(part("associated_data"));
        let opened = self.api_key.get(callback.now);
        let opened = opened
            .open_in_place(Nonce::assume_unique_for_key(nonce), with, &mut text)
            .map_err(|_| malformed("resource can't be decrypted by this merchant's key"))?;
        json(opened)
    }
}

//! The variables of payment providers that call back.

use super::keys::source;
use super::{KeySource, Parsed, Reader, parse};

/// The SHA-256 of Apple's "Root CA - G3".
const APPLE_ROOT: &str = "63343abfb89a6a03ebb57e9b3f5fa7be7c4f5c756f3017b3a8c488c3653e9179";
const GOOGLE_KEYS: &str = "https://www.googleapis.com/oauth2/v3/certs";

/// The providers that are set up, and what players are told.
#[derive(Clone, Debug, Default)]
pub struct Payments {
    /// Stripe's signing secrets.
    pub stripe: Option<KeySource>,
    /// Those of who signs as Standard Webhooks has it.
    pub standard: Option<KeySource>,
    /// `WeChat` Pay's merchant.
    pub wechat: Option<WechatPay>,
    /// The App Store's app.
    pub apple: Option<AppStore>,
    /// Google Play's app.
    pub google: Option<GooglePlay>,
    /// Kinds of events of which a player is told in their own channel.
    pub told: Vec<String>,
}

/// A merchant of `WeChat` Pay.
#[derive(Clone, Debug)]
pub struct WechatPay {
    /// The merchant's number.
    pub merchant: String,
    /// Public keys that signatures are checked with.
    pub public_keys: KeySource,
    /// Key that decrypts what is encrypted for the merchant.
    pub api_key: KeySource,
}

/// An app of the App Store.
#[derive(Clone, Debug)]
pub struct AppStore {
    /// The app's bundle id.
    pub bundle: String,
    /// `Production` or `Sandbox`.
    pub environment: String,
    /// SHA-256 of the certificate that all chains end in.
    pub root: [u8; 32],
}

/// An app of Google Play.
#[derive(Clone, Debug)]
pub struct GooglePlay {
    /// Audience that tokens must have, as the subscription names it.
    pub audience: String,
    /// The service account that pushes.
    pub email: String,
    /// The app.
    pub package: String,
    /// Address of Google's keys.
    pub keys: reqwest::Url,
}

pub(super) fn read(env: &mut Reader<'_>) -> Payments {
    let stripe = source(
        env,
        ("GUILDHALL_PAYMENT_STRIPE_SECRET", "GUILDHALL_PAYMENT_STRIPE_SECRET_FILE"),
        "signing secret of Stripe's endpoint; two joined by a comma while one is replaced",
    );
    let standard = source(
        env,
        ("GUILDHALL_PAYMENT_STANDARD_SECRET", "GUILDHALL_PAYMENT_STANDARD_SECRET_FILE"),
        "secret of a payment provider that signs as Standard Webhooks has it; behind `whsec_` stands base64; two joined by a comma while one is replaced",
    );
    let told = env.get(
        "GUILDHALL_PAYMENT_TOLD",
        "",
        "kinds of payment events, joined by commas, of which a player is told in their own channel, such as `payment_intent.succeeded`; none without",
        |text| Ok(text.split(',').map(|kind| kind.trim().to_owned()).filter(|kind| !kind.is_empty()).collect()),
    );
    Payments { stripe, standard, wechat: wechat(env), apple: apple(env), google: google(env), told }
}

fn words(text: &str) -> Parsed<String> {
    Ok(text.trim().to_owned())
}

fn wechat(env: &mut Reader<'_>) -> Option<WechatPay> {
    let merchant = env.optional(
        "GUILDHALL_PAYMENT_WECHAT_MERCHANT",
        "off",
        "merchant number (mchid) at WeChat Pay",
        words,
    );
    let public_keys = source(
        env,
        ("GUILDHALL_PAYMENT_WECHAT_PUBLIC_KEYS", "GUILDHALL_PAYMENT_WECHAT_PUBLIC_KEYS_FILE"),
        "who signs at WeChat Pay: `SERIAL=KEY` joined by commas, with a certificate's serial number or a public key's id, and the base64 of the public key's PEM; required with the merchant",
    );
    let api_key = source(
        env,
        ("GUILDHALL_PAYMENT_WECHAT_KEY", "GUILDHALL_PAYMENT_WECHAT_KEY_FILE"),
        "the merchant's key of API version 3, 32 characters; required with the merchant",
    );
    match (merchant, public_keys, api_key) {
        (Some(merchant), Some(public_keys), Some(api_key)) => {
            Some(WechatPay { merchant, public_keys, api_key })
        }
        (None, None, None) => None,
        _ => {
            env.fault(
                "GUILDHALL_PAYMENT_WECHAT_MERCHANT",
                "is set up in part: merchant, public keys and key belong together",
            );
            None
        }
    }
}

fn apple(env: &mut Reader<'_>) -> Option<AppStore> {
    let bundle =
        env.optional("GUILDHALL_PAYMENT_APPLE_BUNDLE", "off", "bundle id of the app in the App Store", words);
    let environment = env.get(
        "GUILDHALL_PAYMENT_APPLE_ENVIRONMENT",
        "Production",
        "whose notifications count: `Production` or `Sandbox`",
        |text| match text {
            "Production" | "Sandbox" => Ok(text.to_owned()),
            _ => Err(format!("is '{text}', not Production or Sandbox")),
        },
    );
    let root = env.get(
        "GUILDHALL_PAYMENT_APPLE_ROOT",
        APPLE_ROOT,
        "SHA-256 of the root that Apple's certificates end in, in hex; Apple Root CA - G3",
        |text| {
            let bytes = crate::base::random::from_hex(text).and_then(|bytes| bytes.try_into().ok());
            bytes.ok_or_else(|| "is not 64 hex digits".to_owned())
        },
    );
    Some(AppStore { bundle: bundle?, environment, root })
}

fn google(env: &mut Reader<'_>) -> Option<GooglePlay> {
    let package = env.optional(
        "GUILDHALL_PAYMENT_GOOGLE_PACKAGE",
        "off",
        "package name of the app in Google Play",
        words,
    );
    let audience = env.optional(
        "GUILDHALL_PAYMENT_GOOGLE_AUDIENCE",
        "none",
        "audience of the push subscription that brings its notifications; required with the package",
        words,
    );
    let email = env.optional(
        "GUILDHALL_PAYMENT_GOOGLE_EMAIL",
        "none",
        "service account that the subscription signs as; required with the package",
        words,
    );
    let keys = env.get(
        "GUILDHALL_PAYMENT_GOOGLE_KEYS_URL",
        GOOGLE_KEYS,
        "where Google's public keys are",
        parse::http_url,
    );
    match (package, audience, email) {
        (Some(package), Some(audience), Some(email)) => Some(GooglePlay { audience, email, package, keys }),
        (None, None, None) => None,
        _ => {
            env.fault(
                "GUILDHALL_PAYMENT_GOOGLE_PACKAGE",
                "is set up in part: package, audience and email belong together",
            );
            None
        }
    }
}

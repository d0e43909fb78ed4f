//! Chains of certificates up to a root that is known by its fingerprint.

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P384_SHA384_ASN1, UnparsedPublicKey, VerificationAlgorithm,
};
use sha2::{Digest, Sha256};
use x509_cert::Certificate;
use x509_cert::der::oid::ObjectIdentifier;
use x509_cert::der::{Decode, Encode};

use crate::base::clock::Millis;

const ECDSA_WITH_SHA256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.2");
const ECDSA_WITH_SHA384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.3");

/// The public key of a chain's first certificate, as the bare point of its curve; none where the chain does not hold: three
/// certificates in DER, each signed by the next, all valid at a time, marked as `marks` say, the last one the root.
pub(super) fn leaf_key(chain: &[Vec<u8>], root: &[u8; 32], marks: [&str; 2], at: Millis) -> Option<Vec<u8>> {
    let [leaf, between, top] = chain else { return None };
    if Sha256::digest(top)[..] != root[..] {
        return None;
    }
    let [leaf, between, top] = [leaf, between, top].map(|der| Certificate::from_der(der).ok());
    let (leaf, between, top) = (leaf?, between?, top?);
    let hold = [&leaf, &between, &top].into_iter().all(|certificate| is_valid(certificate, at))
        && is_signed_by(&leaf, &between)
        && is_signed_by(&between, &top)
        && is_authority(&between)
        && !is_authority(&leaf)
        && is_marked(&leaf, marks[0])
        && is_marked(&between, marks[1]);
    hold.then(|| key_of(&leaf))
}

fn key_of(certificate: &Certificate) -> Vec<u8> {
    certificate.tbs_certificate().subject_public_key_info().subject_public_key.raw_bytes().to_vec()
}

fn is_valid(certificate: &Certificate, at: Millis) -> bool {
    let validity = certificate.tbs_certificate().validity();
    let ms = |time: x509_cert::time::Time| time.to_unix_duration().as_millis();
    (ms(validity.not_before)..=ms(validity.not_after)).contains(&u128::from(at.unsigned_abs()))
}

fn is_signed_by(certificate: &Certificate, by: &Certificate) -> bool {
    let algorithm: &dyn VerificationAlgorithm = match certificate.signature_algorithm().oid {
        ECDSA_WITH_SHA256 => &ECDSA_P256_SHA256_ASN1,
        ECDSA_WITH_SHA384 => &ECDSA_P384_SHA384_ASN1,
        _ => return false,
    };
    let Ok(signed) = certificate.tbs_certificate().to_der() else { return false };
    certificate.tbs_certificate().issuer() == by.tbs_certificate().subject()
        && UnparsedPublicKey::new(algorithm, key_of(by))
            .verify(&signed, certificate.signature().raw_bytes())
            .is_ok()
}

/// May it sign others?
fn is_authority(certificate: &Certificate) -> bool {
    let constraints = certificate.tbs_certificate().get_extension::<x509_cert::ext::pkix::BasicConstraints>();
    matches!(constraints, Ok(Some((_, constraints))) if constraints.ca)
}

/// Has it an extension of this name?
fn is_marked(certificate: &Certificate, mark: &str) -> bool {
    let mark = ObjectIdentifier::new_unwrap(mark);
    certificate
        .tbs_certificate()
        .extensions()
        .into_iter()
        .flatten()
        .any(|extension| extension.extn_id == mark)
}

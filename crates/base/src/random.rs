//! Randomness, from one place: ids, secrets and jitter.

use uuid::Uuid;

/// So many unpredictable bytes from the operating system.
#[expect(clippy::disallowed_methods, reason = "this is the one place that asks for randomness")]
pub fn bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("the operating system has randomness");
    bytes
}

/// A new id: unique, and sorted by the time it was made (UUID version 7).
#[expect(clippy::disallowed_methods, reason = "this is the one place that makes ids")]
pub fn id() -> String {
    Uuid::now_v7().simple().to_string()
}

/// So many random bytes as lower-case hex.
pub fn hex<const N: usize>() -> String {
    to_hex(&bytes::<N>())
}

/// A number at least zero and below `bound`; zero for a bound of zero.
pub fn below(bound: u64) -> u64 {
    u64::from_le_bytes(bytes()).checked_rem(bound).unwrap_or(0)
}

/// The bytes that hex stands for.
pub fn from_hex(text: &str) -> Option<Vec<u8>> {
    if !text.is_ascii() || !text.len().is_multiple_of(2) {
        return None;
    }
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).ok()).collect()
}

/// Bytes as lower-case hex.
pub fn to_hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

//! The variables of the log.

use super::{Reader, parse};

pub(super) fn filter(env: &mut Reader<'_>) -> String {
    env.get(
        "GUILDHALL_LOG",
        "info",
        "filter of `tracing-subscriber`; add `,guildhall::text=debug` to log what players say",
        |text| Ok(text.to_owned()),
    )
}

pub(super) fn sample(env: &mut Reader<'_>) -> u64 {
    env.get(
        "GUILDHALL_LOG_SAMPLE",
        "1",
        "of so many requests that only read, one is logged, 1 to 10000; what changes something or fails always is",
        |text| parse::number(text, 1, 10_000),
    )
}

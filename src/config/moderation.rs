//! What moderators go by.

use super::parse::age;
use super::{Parsed, Reader};
use crate::base::clock::Millis;
use crate::chat::sanctions::{Ladder, SanctionKind, Step};

pub(super) fn ladder(env: &mut Reader<'_>) -> Ladder {
    env.get(
        "GUILDHALL_LADDER",
        "warn,mute:1h,mute:24h,mute:7d,ban:30d",
        "what a case proposes for its player, by how many sanctions they got within 90 days; without a time it is for good",
        read_ladder,
    )
}

pub(super) fn evidence(env: &mut Reader<'_>) -> Millis {
    env.get(
        "GUILDHALL_EVIDENCE",
        "180d",
        "how long a reported message is kept for moderators, from the case's decision on",
        age,
    )
}

/// `warn,mute:1h,ban`: what, and for how long.
fn read_ladder(text: &str) -> Parsed<Ladder> {
    let step = |step: &str| {
        let (kind, time) = step.split_once(':').map_or((step, None), |(kind, time)| (kind, Some(time)));
        let kind = SanctionKind::from_word(kind)
            .ok_or_else(|| format!("has the step '{step}', not warn, mute:1h, ban:30d or the like"))?;
        Ok(Step { kind, for_ms: time.map(age).transpose()? })
    };
    let steps = text.split(',').map(|one| step(one.trim())).collect::<Parsed<Vec<Step>>>()?;
    Ladder::new(steps).ok_or_else(|| "has no step".to_owned())
}

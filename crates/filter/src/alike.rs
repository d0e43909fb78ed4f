//! Beginnings that read the same: what was found from one holds for the others, so what is repeated a thousand times takes no
//! steps from what stands beside it.

use super::mix::ByNumber;

/// By so many bytes behind a beginning others are looked for that may read the same.
const BYTES: usize = 8;

/// A beginning that was followed.
pub(super) struct Walked {
    pub(super) at: usize,
    /// Behind the last byte that was looked at.
    pub(super) reach: usize,
    /// With so many steps at most, and to its end?
    pub(super) share: u32,
    pub(super) whole: bool,
    /// Was there a sign that may stand for any letter?
    pub(super) met_hole: bool,
    /// Entries, and how long each find is.
    pub(super) finds: Vec<(u32, u32)>,
}

/// The last of those with the same bytes behind them.
#[derive(Default)]
pub(super) struct Alike(ByNumber<Walked>);

impl Alike {
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    pub(super) fn note(&mut self, text: &str, walked: Walked) {
        if let Some(key) = key(text, walked.at) {
            self.0.insert(key, walked);
        }
    }

    /// One that reads the same as far as anybody looked, with what is in front of it; and that had as many steps, if it was not
    /// followed to its end.
    pub(super) fn of(&self, text: &str, at: usize, share: u32) -> Option<&Walked> {
        let walked = self.0.get(&key(text, at)?)?;
        let there = text.as_bytes().get(walked.at..walked.reach)?;
        let here = text.as_bytes().get(at..at + there.len())?;
        let before = |at: usize| text[..at].chars().next_back();
        let alike = here == there && before(at) == before(walked.at);
        (alike && (walked.whole || walked.share >= share)).then_some(walked)
    }
}

fn key(text: &str, at: usize) -> Option<u64> {
    let bytes: [u8; BYTES] = text.as_bytes().get(at..at + BYTES)?.try_into().ok()?;
    Some(u64::from_le_bytes(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn walked(at: usize, reach: usize, share: u32, whole: bool) -> Walked {
        Walked { at, reach, share, whole, met_hole: false, finds: vec![(7, 3)] }
    }

    #[test]
    fn others_read_the_same_as_far_as_anybody_looked_and_no_further() {
        let text = "abcdefgh-abcdefgh-abcdefgH abcdefgh-";
        let mut alike = Alike::default();
        alike.note(text, walked(9, 20, 5, true));
        assert!(alike.of(text, 9, 99).is_some());
        assert!(alike.of(text, 0, 5).is_none(), "nothing is in front of it");
        assert!(alike.of(text, 18, 5).is_none(), "another letter");
        assert!(alike.of(text, 27, 5).is_none(), "the text ends before that");
        alike.note(text, walked(9, 17, 5, true));
        assert!(alike.of(text, 27, 5).is_none(), "a space is in front of it");
    }

    #[test]
    fn who_has_more_steps_goes_on_itself() {
        let text = "-abcdefgh-abcdefgh";
        let mut alike = Alike::default();
        alike.note(text, walked(1, 9, 5, false));
        assert!(alike.of(text, 10, 5).is_some_and(|walked| !walked.whole));
        assert!(alike.of(text, 10, 6).is_none());
    }
}

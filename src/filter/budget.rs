//! How much work a send may cause: a number of steps, counted by the program, that its text and its payload share.
//!
//! What is searched once, plainly, costs the same for every byte and is always done. The walk, which tries every reading
//! of a text, could go on for hours: it has these steps and no more. Each string of a send has a few for every byte of its
//! own, which no other string can use up; the rest goes to whichever needs more.

/// Steps of one send: a millisecond, on the machines that this was measured on.
const STEPS: u32 = 32_000;
/// Steps for each byte that are kept for the string it belongs to.
const KEPT: usize = 1;

/// The steps that are left to a send.
#[derive(Debug)]
pub struct Budget {
    left: u32,
    /// Bytes whose strings were not opened yet.
    unopened: usize,
}

impl Budget {
    /// For a send whose strings have so many bytes in all.
    pub const fn of(bytes: usize) -> Self {
        Self { left: STEPS, unopened: bytes }
    }

    /// Takes the steps that the next string may use; what it leaves comes back with [`Self::close`].
    pub(super) fn open(&mut self, bytes: usize) -> Steps {
        self.unopened = self.unopened.saturating_sub(bytes);
        let kept = u32::try_from(self.unopened.saturating_mul(KEPT)).unwrap_or(u32::MAX);
        let given = self.left.saturating_sub(kept).min(STEPS);
        self.left -= given;
        Steps { left: given, taken: 0, ended: false }
    }

    pub(super) const fn close(&mut self, steps: &Steps) {
        self.left += steps.left;
    }
}

/// The steps of one string.
#[derive(Debug)]
pub(super) struct Steps {
    pub(super) left: u32,
    /// Taken so far, by the walk and by all else.
    pub(super) taken: u32,
    /// There were too few to read it in every way.
    pub(super) ended: bool,
}

impl Steps {
    /// Counts work that is always done.
    pub(super) const fn note(&mut self, steps: u32) {
        self.taken = self.taken.saturating_add(steps);
    }

    /// The work that one search of a text may cost with what it finds, whether that counts or not. Texts meet few entries at a
    /// place; lists with very many that read alike, or that begin each other, would make a text cost what they like.
    pub(super) const fn finds_of(bytes: usize) -> u32 {
        10_000 + 24 * bytes as u32
    }

    /// The same for what is looked for once more, without separators, repeats and leet.
    pub(super) const fn further_finds_of(bytes: usize) -> u32 {
        10_000 + 6 * bytes as u32
    }

    /// Gives up a part of the walk for finds that were paid for: what is full of hits is read in fewer ways.
    pub(super) fn spend_on_finds(&mut self, work: u32) {
        self.left = self.left.saturating_sub(work / 2).max(self.left / 4);
    }

    /// Pays for a find of so many letters out of that; false where it is used up.
    pub(super) fn pay_find(&mut self, letters: usize, left: &mut u32) -> bool {
        let work = 4 + letters as u32 / 4;
        match left.checked_sub(work) {
            Some(rest) => {
                (*left, self.taken) = (rest, self.taken.saturating_add(work));
                true
            }
            None => {
                self.ended = true;
                false
            }
        }
    }

    /// Pays for a walk.
    pub(super) fn pay(&mut self, steps: u32) {
        self.note(steps);
        self.left = self.left.saturating_sub(steps);
    }
}

//! How much work a send may cause: numbers of steps, counted by the program, that its text and its payload share.
//!
//! What is searched once, plainly, costs little for every byte and is always done: where a list has very many entries that
//! end at one place, the longest are looked at. The walk, which tries every reading of a text, could go on for hours: it has
//! its steps and no more. Each string of a send has a few for every byte of its own, which no other string can use up; the
//! rest goes to whichever needs more.

/// Steps of a send's walks: two thirds of a millisecond, on the machines that this was measured on.
const WALK: Pool = Pool { free: 36_000, a_byte: 0, kept: 16 };
/// Steps that the plain search may take for the entries that it meets, whether they count or not. Texts meet few
/// entries at one place; without this bound, lists of very many entries that read alike, or that begin each other,
/// would cost any number of steps.
const PLAIN: Pool = Pool { free: 10_000, a_byte: 16, kept: 16 };
/// The same for the further pieces of wildcards.
const TAILS: Pool = Pool { free: 1_000, a_byte: 1, kept: 1 };
/// The same for what is looked for once more, without separators, repeats and leet.
const FURTHER: Pool = Pool { free: 10_000, a_byte: 6, kept: 6 };

/// Bytes of a send that are read backwards too, as they stand behind a right-to-left mark.
const BACKWARDS: usize = 2_048;

/// Looking for such a piece is as much work as so many other steps.
const TAIL: u32 = 8;

/// Steps that a send's strings share.
#[derive(Clone, Copy, Debug)]
struct Pool {
    free: u32,
    /// More for each byte of the send.
    a_byte: u32,
    /// By byte, what no other string may use.
    kept: u32,
}

impl Pool {
    const fn of(self, bytes: usize) -> u32 {
        self.free.saturating_add(self.a_byte.saturating_mul(bytes as u32))
    }

    /// Takes what a string may use: all but what is kept for so many bytes of others, a quarter of it at most.
    fn open(self, left: &mut u32, others: usize) -> u32 {
        let all = *left;
        *left = self.kept.saturating_mul(others as u32).min(all.max(others as u32) / 4).min(all);
        all - *left
    }
}

/// The steps that are left to a send.
#[derive(Debug)]
pub struct Budget {
    walk: u32,
    plain: u32,
    tails: u32,
    further: u32,
    backwards: usize,
    /// Bytes whose strings were not opened yet.
    unopened: usize,
}

impl Budget {
    /// For a send whose strings have so many bytes in all.
    pub const fn of(bytes: usize) -> Self {
        let (walk, plain) = (WALK.of(bytes), PLAIN.of(bytes));
        let (tails, further) = (TAILS.of(bytes), FURTHER.of(bytes));
        Self { walk, plain, tails, further, backwards: BACKWARDS, unopened: bytes }
    }

    /// Takes the steps that the next string may use; what it leaves comes back with [`Self::close`].
    pub(super) fn open(&mut self, bytes: usize) -> Steps {
        self.unopened = self.unopened.saturating_sub(bytes);
        Steps {
            walk: WALK.open(&mut self.walk, self.unopened),
            plain: PLAIN.open(&mut self.plain, self.unopened),
            tails: TAILS.open(&mut self.tails, self.unopened),
            further: FURTHER.open(&mut self.further, self.unopened),
            backwards: std::mem::take(&mut self.backwards),
            taken: 0,
            ended: false,
        }
    }

    pub(super) const fn close(&mut self, steps: &Steps) {
        self.walk += steps.walk;
        self.plain += steps.plain;
        self.tails += steps.tails;
        self.further += steps.further;
        self.backwards += steps.backwards;
    }
}

/// The steps of one string.
#[derive(Debug)]
pub(super) struct Steps {
    /// Steps that are left of each kind; bytes for `backwards`.
    pub(super) walk: u32,
    plain: u32,
    tails: u32,
    pub(super) further: u32,
    backwards: usize,
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

    /// Pays for an entry that the plain search met; false where nothing is left for it.
    pub(super) fn pay_plain(&mut self, work: u32) -> bool {
        let is_paid = work <= self.plain;
        self.plain = self.plain.saturating_sub(work);
        self.note(work);
        self.ended |= !is_paid;
        is_paid
    }

    /// Pays for a wildcard's further piece.
    pub(super) fn pay_tail(&mut self) -> bool {
        let is_paid = self.tails > 0;
        self.tails = self.tails.saturating_sub(1);
        self.note(TAIL * u32::from(is_paid));
        self.ended |= !is_paid;
        is_paid
    }

    /// Pays for a find of so many letters in what is looked for once more.
    pub(super) fn pay_further(&mut self, letters: usize) -> bool {
        let work = 4 + letters as u32 / 4;
        let is_paid = work <= self.further;
        self.further = self.further.saturating_sub(work);
        self.note(if is_paid { work } else { 0 });
        self.ended |= !is_paid;
        is_paid
    }

    /// Pays for bytes that are read backwards; says how many there may be.
    pub(super) fn pay_backwards(&mut self, bytes: usize) -> usize {
        let paid = bytes.min(self.backwards);
        self.backwards -= paid;
        self.ended |= paid < bytes;
        paid
    }

    /// Gives up a part of the walk for finds that were paid for: what is full of hits is read in fewer ways.
    pub(super) fn spend_on_finds(&mut self, work: u32) {
        self.walk = self.walk.saturating_sub(work / 2).max(self.walk / 4);
    }

    /// Pays for a walk.
    pub(super) fn pay(&mut self, steps: u32) {
        self.note(steps);
        self.walk = self.walk.saturating_sub(steps);
    }
}

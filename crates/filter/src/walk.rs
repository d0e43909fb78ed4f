//! The walk: a text some places of which can be read in more than one way, searched in every reading at once.
//!
//! From each place where a word may begin it goes along the patterns letter by letter, and splits where the text can be
//! read as another letter, as a separator, or as any letter at all. A branch ends with the last pattern that begins so,
//! which is soon. Each beginning has so many steps, and all of them together have what the text has: first each gets an
//! equal few, then those that need more share what is left. So no text can hold a request up, and no part of it can use up
//! what another part needs.

use std::ops::Range;

use aho_corasick::automaton::StateID;

use super::accept::{self, Rules};
use super::alike::{Alike, Walked};
use super::beginnings::{Beginning, add_beginnings, has_letters};
use super::budget::Steps;
use super::build::{Automata, Finder};
use super::fold::{is_alphabetic, is_voicing, is_word_character};
use super::mix::{ByNumber, pair};
use super::places::Places;
use super::readings::Choice;
use super::view::{Gap, Letter, Plain, Squeezed};

/// Steps from one beginning: a few at first, which is enough for nearly all, and as many as there are in the end.
const FEW: u32 = 48;
const MOST: u32 = 48 << 7;
/// Work that costs as much as several steps: a sign that may stand for any letter, as it is tried with all of them;
/// reading a place; putting a find together, to which more is added for each of its letters; a find that is found
/// again.
const HOLE: u32 = 8;
const READING: u32 = 3;
const FIND: u32 = 6;
const RECALLED: u32 = 3;
/// Entries that end at one place: so many are paid for with the find, each further one is a step.
const FREE: u32 = 16;
/// With so many beginnings it is remembered what was found from where; shorter texts are walked as fast.
const REMEMBERING: usize = 48;
/// So many bytes at most are read ahead of a place.
const AHEAD: usize = 8;
/// Words with a sign in place of a letter have so many letters, so that the others tell which word it is.
const HOLE_LETTERS: usize = 5;

/// The ways that a walk takes, and what it needs to know of the text; used again from text to text.
#[derive(Default)]
pub(super) struct Paths {
    /// The way so far.
    letters: Vec<Letter>,
    places: Places,
    /// Places at which a word may begin, not yet followed to their end.
    beginnings: Vec<Beginning>,
    /// By entry and beginning: where the find ends.
    found: ByNumber<u32>,
    alike: Alike,
    /// The finds of this beginning.
    fresh: Vec<(u32, u32)>,
    /// Beginnings of ways with a sign that may stand for any letter.
    holed: Vec<Beginning>,
}

impl Paths {
    /// The entries that were found, and where.
    pub(super) fn found(&mut self) -> impl Iterator<Item = (u32, Range<usize>)> {
        self.found.drain().map(|(found, end)| ((found >> 32) as u32, found as u32 as usize..end as usize))
    }
}

/// A turn over beginnings.
#[derive(Clone, Copy, Default)]
struct Turn {
    /// Number of beginnings that no other was like.
    unlike: u32,
    /// Number of steps that each beginning had.
    share: u32,
}

/// A walk over one text.
struct Walk<'a> {
    finder: &'a Finder,
    plain: &'a Plain,
    text: &'a str,
    twins: bool,
    paths: &'a mut Paths,
    tries_holes: bool,
    has_hole: bool,
    /// With so many letters the way is a whole word, drawn out or not.
    complete: Option<usize>,
    /// Steps from this beginning, and how many it may take.
    steps: u32,
    share: u32,
    /// Behind the last byte that was looked at from this beginning.
    reach: usize,
    /// Was there a sign that may stand for any letter on a way from here?
    met_hole: bool,
    /// Is it remembered what was found from where? How many were followed that no other was like; the last turns over all, and
    /// over those behind spaces.
    remembers: bool,
    followed: u32,
    turns: [Turn; 2],
    /// Buffer in which a find is put together to be judged.
    view: &'a mut Squeezed,
}

/// Looks for entries that begin in some parts of a text, which are in its order. `twins` takes look-alikes of other scripts for Latin letters.
pub(super) fn search(
    finder: &Finder,
    (plain, twins): (&Plain, bool),
    parts: &[Range<usize>],
    (paths, view, steps): (&mut Paths, &mut Squeezed, &mut Steps),
) {
    let text = plain.text.as_str();
    paths.letters.clear();
    paths.places.clear(parts.first().map_or(0, |part| part.start));
    paths.found.clear();
    let mut beginnings = std::mem::take(&mut paths.beginnings);
    beginnings.clear();
    parts.iter().for_each(|part| add_beginnings(plain, part, finder.begins_inside, &mut beginnings));
    paths.holed.clear();
    let mut walk = Walk {
        finder,
        plain,
        text,
        twins,
        remembers: beginnings.len() > REMEMBERING,
        paths,
        tries_holes: false,
        has_hole: false,
        complete: None,
        steps: 0,
        share: 0,
        reach: 0,
        met_hole: false,
        followed: 0,
        turns: [Turn::default(); 2],
        view,
    };
    // First without signs that stand for any letter, of which each makes twenty-six: from three quarters of the steps.
    let kept = steps.walk / 4;
    steps.walk -= kept;
    walk.follow(&mut beginnings, steps);
    steps.walk += kept;
    walk.tries_holes = true;
    let mut holed = std::mem::take(&mut walk.paths.holed);
    holed.sort_unstable();
    holed.dedup();
    walk.follow(&mut holed, steps);
    (walk.paths.beginnings, walk.paths.holed) = (beginnings, holed);
}

impl Walk<'_> {
    /// Follows all of them as far as the steps go. A few from each, and twice as many from those that are left, again and again: so
    /// what goes far takes nothing from what needs little. Those with a space before them, where words begin, are ahead.
    fn follow(&mut self, beginnings: &mut Vec<Beginning>, steps: &mut Steps) {
        self.paths.alike.clear();
        let all = Turn { unlike: beginnings.len() as u32, share: 0 };
        self.turns = [all, all];
        let mut most = FEW;
        while !beginnings.is_empty() && most <= MOST {
            self.share_out(beginnings, steps, (2 * most).min(MOST), true);
            self.share_out(beginnings, steps, most, false);
            most *= 2;
        }
        steps.ended |= !beginnings.is_empty();
    }

    /// Follows these beginnings, or only those behind spaces, each with the same share of half of the steps; keeps those that
    /// were not followed to their end.
    fn share_out(
        &mut self,
        beginnings: &mut Vec<Beginning>,
        steps: &mut Steps,
        most: u32,
        behind_spaces: bool,
    ) {
        let is_chosen = |one: &Beginning| one.behind_space || !behind_spaces;
        let count = beginnings.iter().filter(|one| is_chosen(one)).count() as u32;
        // What reads like another costs nothing, so it needs no share.
        let turn = &mut self.turns[usize::from(behind_spaces)];
        let share = (steps.walk / 2).checked_div(count.min(turn.unlike)).unwrap_or(most).min(most);
        // With no more than before none gets further.
        if share <= turn.share {
            return;
        }
        turn.share = share;
        let before = self.followed;
        self.share = share;
        beginnings.retain(|one| !is_chosen(one) || !self.begin(*one, steps));
        self.turns[usize::from(behind_spaces)].unlike = self.followed - before;
    }

    /// Follows all words that may begin here; says whether each was followed to its end.
    fn begin(&mut self, beginning: Beginning, steps: &mut Steps) -> bool {
        let at = beginning.at as usize;
        if steps.walk == 0 {
            return false;
        }
        if self.remembers
            && let Some(whole) = self.recall(beginning, steps)
        {
            return whole;
        }
        let finder = self.finder;
        let mut whole = true;
        (self.reach, self.followed, self.met_hole) = (at, self.followed + 1, false);
        self.paths.fresh.clear();
        for automata in finder.automata() {
            self.steps = 0;
            self.step(automata, automata.start(), at, Gap::None);
            steps.pay(self.steps + READING * self.paths.places.read());
            whole &= self.steps <= self.share;
        }
        if self.remembers {
            let (reach, share, finds) = (self.reach, self.share, self.paths.fresh.clone());
            let walked = Walked { at, reach, share, whole, met_hole: self.met_hole, finds };
            self.paths.alike.note(self.text, walked);
        }
        self.note_hole(beginning, self.met_hole);
        whole
    }

    /// Takes the finds of an earlier beginning that reads the same. Returns none if there is no such one, else true if
    /// that one was followed to its end.
    fn recall(&mut self, beginning: Beginning, steps: &mut Steps) -> Option<bool> {
        let at = beginning.at;
        let walked = self.paths.alike.of(self.text, at as usize, self.share)?;
        steps.pay(1 + RECALLED * walked.finds.len() as u32);
        for (entry, length) in &walked.finds {
            let furthest = self.paths.found.entry(pair(*entry, at)).or_default();
            *furthest = (at + length).max(*furthest);
        }
        let (whole, met_hole) = (walked.whole, walked.met_hole);
        self.note_hole(beginning, met_hole);
        Some(whole)
    }

    /// Keeps a beginning for later if a sign on its ways may stand for any letter.
    fn note_hole(&mut self, beginning: Beginning, met_hole: bool) {
        let is_new = met_hole && !self.tries_holes && self.paths.holed.last() != Some(&beginning);
        if is_new && has_letters(&self.text[beginning.at as usize..]) {
            self.paths.holed.push(beginning);
        }
    }

    /// Returns the readings of a place.
    fn ways(&mut self, at: usize) -> Range<usize> {
        self.reach = self.reach.max(at + AHEAD);
        self.paths.places.ways((self.text, self.twins), at)
    }

    /// Goes on from a place in the text, at a place in the patterns.
    fn step(&mut self, automata: &Automata, state: StateID, at: usize, gap: Gap) {
        self.steps += 1;
        // Those first, as without them all ways from here were gone before, or are gone in any case.
        if !self.has_hole {
            self.take(automata, state, (at, gap), true);
        }
        self.take(automata, state, (at, gap), false);
    }

    /// Takes the ways at a place: those with a sign for any letter, or all others.
    fn take(&mut self, automata: &Automata, state: StateID, (at, gap): (usize, Gap), holes: bool) {
        // A row of one sign is letters or separators, and not first the one and then the other.
        let goes_on = gap != Gap::None && self.repeats_sign(at);
        for way in self.ways(at) {
            if self.steps > self.share {
                return;
            }
            let (choice, length) = self.paths.places.way(way);
            let end = at + length as usize;
            match choice {
                _ if holes != (choice == Choice::Hole) => {}
                Choice::Letter(_, false) if goes_on => {}
                Choice::Separator(_) | Choice::Hole if self.paths.letters.is_empty() => {}
                Choice::Separator(more) => {
                    let behind = self.behind_row(at, end);
                    self.step(automata, state, behind, gap.max(more));
                }
                Choice::Letter(letter, is_letter) => {
                    let (start, end) = (at as u32, end as u32);
                    let letter = Letter { letter, start, end, gap, is_letter, is_sign: false };
                    self.letter(automata, state, letter);
                }
                Choice::Hole if self.has_hole || gap == Gap::Sentence => {}
                Choice::Hole if !self.tries_holes => self.met_hole = true,
                Choice::Hole => {
                    self.steps += HOLE;
                    self.has_hole = true;
                    // The last one's repeat comes last: what is drawn out goes far.
                    let last = self.paths.letters.last().map_or(' ', |last| last.letter);
                    for letter in ('a'..='z').filter(|letter| *letter != last).chain([last]) {
                        if self.steps > self.share {
                            break;
                        }
                        let (start, end) = (at as u32, end as u32);
                        let letter = Letter { letter, start, end, gap, is_letter: false, is_sign: false };
                        self.letter(automata, state, letter);
                    }
                    self.has_hole = false;
                }
            }
        }
    }

    /// Returns the end of a row of this sign, all of which are separators then.
    fn behind_row(&mut self, at: usize, end: usize) -> usize {
        let bytes = self.text.as_bytes();
        if end != at + 1 || !bytes[at].is_ascii_punctuation() {
            return end;
        }
        let more = bytes[end..].iter().take_while(|byte| **byte == bytes[at]).count();
        self.steps += more as u32 / 8;
        self.reach = self.reach.max(end + more);
        end + more
    }

    /// Is the same sign before this one?
    fn repeats_sign(&self, at: usize) -> bool {
        let bytes = self.text.as_bytes();
        let here = bytes.get(at).filter(|byte| byte.is_ascii_punctuation());
        here.is_some() && at.checked_sub(1).and_then(|before| bytes.get(before)) == here
    }

    /// Takes a letter where a pattern goes on with it, or where it repeats the last one.
    fn letter(&mut self, automata: &Automata, state: StateID, letter: Letter) {
        let repeats = self.paths.letters.last().is_some_and(|last| last.letter == letter.letter);
        self.steps += u32::from(!self.has_hole);
        let Some(next) = (if repeats { Some(state) } else { automata.next(state, letter.letter) }) else {
            return;
        };
        if repeats && letter.gap != Gap::None && self.complete == Some(self.paths.letters.len()) {
            // A word that is whole is not drawn out over what parts it from others.
            return;
        }
        self.paths.letters.push(letter);
        let before = self.complete;
        self.complete = before.filter(|_| repeats).map(|count| count + 1);
        if automata.ends(next) && self.arrive(automata, next) {
            self.complete = Some(self.paths.letters.len());
        }
        self.step(automata, next, letter.end as usize, Gap::None);
        self.paths.letters.pop();
        self.complete = before;
    }

    /// Notes the patterns that end here, where the rules let them count; says whether one does.
    fn arrive(&mut self, automata: &Automata, state: StateID) -> bool {
        let letters = &self.paths.letters;
        self.view.read_letters(letters);
        let count = letters.len();
        self.steps += FIND + count as u32 / 2;
        let (start, end) = (letters[0].start, letters[count - 1].end);
        let before = self.plain.before(start as usize);
        let mut behind = self.text[end as usize..].chars();
        let (after, second) = (behind.next(), behind.next());
        if after.is_some_and(is_voicing) {
            return false;
        }
        let after = after.filter(|_| !self.plain.is_sign(end as usize));
        let touches = |one: Option<char>| one.is_some_and(is_word_character);
        let plural = after == Some('s') && !touches(second);
        self.view.set_neighbours(before.is_some_and(is_alphabetic), after.is_some_and(is_alphabetic));
        let (mut looked_at, mut counts) = (0, false);
        let around = accept::Around { before: touches(before), after: touches(after), plural };
        for found in automata.patterns(self.finder, state, self.view.text.len()).into_iter().flatten() {
            looked_at += 1;
            self.steps += u32::from(looked_at > FREE);
            if looked_at > FREE && self.steps > self.share {
                return counts;
            }
            let may_have_hole = !self.has_hole || (count >= HOLE_LETTERS && found.rules.has(Rules::IN_WORDS));
            if found.rules.has(Rules::SQUEEZED)
                && may_have_hole
                && accept::in_units(&self.view.units, || around, found.rules, self.finder.runs(&found))
            {
                let furthest = self.paths.found.entry(pair(found.entry, start)).or_default();
                *furthest = end.max(*furthest);
                self.paths.fresh.push((found.entry, end - start));
                counts = true;
            }
        }
        counts
    }
}

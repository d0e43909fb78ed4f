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
use super::budget::Steps;
use super::build::{Automata, Finder};
use super::fold::{is_alphabetic, is_voicing, is_word_character};
use super::mix::{ByNumber, pair};
use super::places::Places;
use super::readings::Choice;
use super::view::{Gap, Letter, Squeezed};

/// Steps from one beginning: a few at first, which is enough for nearly all, and as many as there are in the end.
const FEW: u32 = 48;
const MOST: u32 = 48 << 7;
/// What costs as much as several steps: a sign that may stand for any letter, as it is tried with all of them; finding
/// out how a place can be read; putting a find together, to which more is added for each of its letters; one found again.
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
/// So many of them are written as letters or digits, and stand within so many characters.
const HOLE_WORD_LETTERS: usize = 3;
const HOLE_WORD: usize = 24;

/// The ways that a walk takes, and what it needs to know of the text; used again from text to text.
#[derive(Default)]
pub(super) struct Paths {
    /// The way so far.
    letters: Vec<Letter>,
    places: Places,
    /// Where a word may begin, and was not yet followed to its end.
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

/// Where a word may begin.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Beginning {
    at: u32,
    behind_space: bool,
}

/// A turn over beginnings.
#[derive(Clone, Copy, Default)]
struct Turn {
    /// How many of them no other was like.
    unlike: u32,
    /// How many steps each had.
    share: u32,
}

/// A walk over one text.
struct Walk<'a> {
    finder: &'a Finder,
    text: &'a str,
    twins: bool,
    paths: &'a mut Paths,
    tries_holes: bool,
    has_hole: bool,
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
    /// Where a find is put together to be judged.
    view: &'a mut Squeezed,
}

/// Looks for entries that begin in some parts of a text, which are in its order. `twins` takes look-alikes of other scripts for Latin letters.
pub(super) fn search(
    finder: &Finder,
    (text, twins): (&str, bool),
    parts: &[Range<usize>],
    (paths, view, steps): (&mut Paths, &mut Squeezed, &mut Steps),
) {
    paths.letters.clear();
    paths.places.clear(parts.first().map_or(0, |part| part.start));
    paths.found.clear();
    let mut beginnings = std::mem::take(&mut paths.beginnings);
    beginnings.clear();
    for part in parts {
        let mut before = text[..part.start].chars().next_back();
        for (at, character) in text[part.clone()].char_indices() {
            let before = before.replace(character);
            let inside = before.is_some_and(is_word_character);
            if character != ' ' && (!inside || !is_word_character(character) || finder.begins_inside) {
                let behind_space = before.is_none_or(char::is_whitespace);
                beginnings.push(Beginning { at: (part.start + at) as u32, behind_space });
            }
        }
    }
    paths.holed.clear();
    let mut walk = Walk {
        finder,
        text,
        twins,
        remembers: beginnings.len() > REMEMBERING,
        paths,
        tries_holes: false,
        has_hole: false,
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

/// Has what stands here up to the next space the letters of a word with one put in? Few faces drawn with signs have.
fn has_letters(text: &str) -> bool {
    let word = text.chars().take_while(|character| *character != ' ').take(HOLE_WORD);
    word.filter(|character| is_word_character(*character)).nth(HOLE_WORD_LETTERS - 1).is_some()
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

    /// Where another beginning was followed that reads the same, the same is found from this one.
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

    /// Where there is a sign that may stand for any letter, it is gone that way too, later.
    fn note_hole(&mut self, beginning: Beginning, met_hole: bool) {
        let is_new = met_hole && !self.tries_holes && self.paths.holed.last() != Some(&beginning);
        if is_new && has_letters(&self.text[beginning.at as usize..]) {
            self.paths.holed.push(beginning);
        }
    }

    /// How a place can be read.
    fn ways(&mut self, at: usize) -> Range<usize> {
        self.reach = self.reach.max(at + AHEAD);
        self.paths.places.ways((self.text, self.twins), at)
    }

    /// Goes on from a place in the text, at a place in the patterns.
    fn step(&mut self, automata: &Automata, state: StateID, at: usize, gap: Gap) {
        self.steps += 1;
        for way in self.ways(at) {
            if self.steps > self.share {
                return;
            }
            let (choice, length) = self.paths.places.way(way);
            let end = at + length as usize;
            match choice {
                Choice::Separator(_) | Choice::Hole if self.paths.letters.is_empty() => {}
                Choice::Separator(more) => self.step(automata, state, end, gap.max(more)),
                Choice::Letter(letter, is_letter) => {
                    let letter = Letter { letter, start: at as u32, end: end as u32, gap, is_letter };
                    self.letter(automata, state, letter);
                }
                Choice::Hole if self.has_hole || gap == Gap::Sentence => {}
                Choice::Hole if !self.tries_holes => self.met_hole = true,
                Choice::Hole => {
                    self.steps += HOLE;
                    self.has_hole = true;
                    for letter in 'a'..='z' {
                        if self.steps > self.share {
                            break;
                        }
                        let letter =
                            Letter { letter, start: at as u32, end: end as u32, gap, is_letter: false };
                        self.letter(automata, state, letter);
                    }
                    self.has_hole = false;
                }
            }
        }
    }

    /// Takes a letter where a pattern goes on with it, or where it repeats the last one.
    fn letter(&mut self, automata: &Automata, state: StateID, letter: Letter) {
        let repeats = self.paths.letters.last().is_some_and(|last| last.letter == letter.letter);
        self.steps += u32::from(!self.has_hole);
        let Some(next) = (if repeats { Some(state) } else { automata.next(state, letter.letter) }) else {
            return;
        };
        self.paths.letters.push(letter);
        if automata.ends(next) {
            self.arrive(automata, next);
        }
        self.step(automata, next, letter.end as usize, Gap::None);
        self.paths.letters.pop();
    }

    /// Notes the patterns that end here, where the rules let them count.
    fn arrive(&mut self, automata: &Automata, state: StateID) {
        let letters = &self.paths.letters;
        self.view.read_letters(letters);
        let count = letters.len();
        self.steps += FIND + count as u32 / 2;
        let (start, end) = (letters[0].start, letters[count - 1].end);
        let before = self.text[..start as usize].chars().next_back();
        let mut behind = self.text[end as usize..].chars();
        let (after, second) = (behind.next(), behind.next());
        if after.is_some_and(is_voicing) {
            return;
        }
        let touches = |one: Option<char>| one.is_some_and(is_word_character);
        let plural = after == Some('s') && !touches(second);
        self.view.set_neighbours(before.is_some_and(is_alphabetic), after.is_some_and(is_alphabetic));
        let mut looked_at = 0;
        let around = accept::Around { before: touches(before), after: touches(after) && !plural };
        for found in automata.patterns(self.finder, state, self.view.text.len()).into_iter().flatten() {
            looked_at += 1;
            self.steps += u32::from(looked_at > FREE);
            if looked_at > FREE && self.steps > self.share {
                return;
            }
            let may_have_hole = !self.has_hole || (count >= HOLE_LETTERS && found.rules.has(Rules::IN_WORDS));
            if found.rules.has(Rules::SQUEEZED)
                && may_have_hole
                && accept::in_units(&self.view.units, || around, found.rules, self.finder.runs(&found))
            {
                let furthest = self.paths.found.entry(pair(found.entry, start)).or_default();
                *furthest = end.max(*furthest);
                self.paths.fresh.push((found.entry, end - start));
            }
        }
    }
}

//! The walk: a text some places of which can be read in more than one way, searched in every reading at once.
//!
//! From each place where a word may begin it goes along the patterns letter by letter, and splits where the text can be
//! read as another letter, as a separator, or as any letter at all. A branch ends with the last pattern that begins so,
//! which is soon; and each beginning has so many steps and no more, so that no text can hold a request up.

use std::ops::Range;

use aho_corasick::automaton::StateID;

use super::accept::{self, Rules};
use super::build::{Automata, Finder};
use super::fold::{is_alphabetic, is_voicing, is_word_character};
use super::readings::{Choice, choices, is_ambiguous, may_be_ambiguous};
use super::suspicion::Longest;
use super::view::{Gap, Letter, Squeezed};

/// Steps from one beginning.
const STEPS: u32 = 400;
/// Readings of one place.
const WAYS: usize = 12;
/// Words with a sign in place of a letter have so many letters, so that the others tell which word it is.
const HOLE_LETTERS: usize = 5;

/// The bytes around places that can be read in more than one way; none where there is no such place.
pub(super) fn region(folded: &str, longest: Longest) -> Option<Range<usize>> {
    if !folded.bytes().any(may_be_ambiguous) {
        return None;
    }
    let mut places = None::<(usize, usize)>;
    let mut note = |at: usize| places = Some((places.map_or(at, |(first, _)| first), at));
    let (mut before, mut word) = (None, Word::default());
    let mut characters = folded.char_indices().peekable();
    while let Some((at, character)) = characters.next() {
        word.take(at, character, &mut note);
        // Chinese and most of English go the short way.
        let candidate = !character.is_ascii_lowercase() && character != ' ' || character == 'v';
        if candidate && is_ambiguous(before, character, characters.peek().map(|(_, after)| *after)) {
            note(at);
        }
        before = Some(character);
    }
    word.take(folded.len(), ' ', &mut note);
    let (first, last) = places?;
    Some(longest.around(folded, first, last))
}

/// The word that is being read: digits in it that stand for several letters are ambiguous where it has a letter too.
#[derive(Default)]
struct Word {
    has_letter: bool,
    digits: Option<(usize, usize)>,
}

impl Word {
    fn take(&mut self, at: usize, character: char, note: &mut impl FnMut(usize)) {
        match character {
            '1' | '2' | '6' => self.digits = Some((self.digits.map_or(at, |(first, _)| first), at)),
            _ if character.is_ascii_alphabetic() => self.has_letter = true,
            _ if character.is_ascii_digit() => {}
            _ => {
                if let (true, Some((first, last))) = (self.has_letter, self.digits) {
                    note(first);
                    note(last);
                }
                *self = Self::default();
            }
        }
    }
}

/// A walk over one text.
pub(super) struct Walk<'a> {
    finder: &'a Finder,
    text: &'a str,
    twins: bool,
    /// The way so far.
    letters: &'a mut Vec<Letter>,
    has_hole: bool,
    steps: u32,
    /// Where a find is put together to be judged.
    view: &'a mut Squeezed,
    found: Vec<(u32, Range<usize>)>,
}

/// The entries that are found in a part of a text, and where. `twins` takes look-alikes of other scripts for Latin letters.
pub(super) fn finds(
    finder: &Finder,
    (text, twins): (&str, bool),
    part: Range<usize>,
    (letters, view): (&mut Vec<Letter>, &mut Squeezed),
) -> impl Iterator<Item = (u32, Range<usize>)> + use<> {
    letters.clear();
    let mut walk = Walk { finder, text, twins, letters, has_hole: false, steps: 0, view, found: Vec::new() };
    let mut before = text[..part.start].chars().next_back();
    for (at, character) in text[part.clone()].char_indices() {
        let inside = before.replace(character).is_some_and(is_word_character);
        if character != ' ' && (!inside || !is_word_character(character) || finder.begins_inside) {
            for automata in finder.automata() {
                walk.steps = 0;
                walk.step(automata, automata.start(), part.start + at, Gap::None);
            }
        }
    }
    walk.found.into_iter()
}

impl Walk<'_> {
    /// Goes on from a place in the text, at a place in the patterns.
    fn step(&mut self, automata: &Automata, state: StateID, at: usize, gap: Gap) {
        self.steps += 1;
        if self.steps > STEPS {
            return;
        }
        let before = self.text[..at].chars().next_back();
        let mut ways = [(Choice::Hole, 0); WAYS];
        let mut count = 0;
        choices(before, &self.text[at..], self.twins, |choice, length| {
            if let Some(way) = ways.get_mut(count) {
                (*way, count) = ((choice, length), count + 1);
            }
        });
        for (choice, length) in &ways[..count] {
            let end = at + length;
            match *choice {
                Choice::Separator(_) | Choice::Hole if self.letters.is_empty() => {}
                Choice::Separator(more) => self.step(automata, state, end, gap.max(more)),
                Choice::Letter(letter, is_letter) => {
                    let letter = Letter { letter, start: at as u32, end: end as u32, gap, is_letter };
                    self.letter(automata, state, letter);
                }
                Choice::Hole if self.has_hole || gap == Gap::Sentence => {}
                Choice::Hole => {
                    self.has_hole = true;
                    for letter in 'a'..='z' {
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
        let repeats = self.letters.last().is_some_and(|last| last.letter == letter.letter);
        let Some(next) = (if repeats { Some(state) } else { automata.next(state, letter.letter) }) else {
            return;
        };
        self.letters.push(letter);
        if automata.ends(next) {
            self.arrive(automata, next);
        }
        self.step(automata, next, letter.end as usize, Gap::None);
        self.letters.pop();
    }

    /// Notes the patterns that end here, where the rules let them count.
    fn arrive(&mut self, automata: &Automata, state: StateID) {
        self.view.read_letters(self.letters);
        let (start, end) =
            (self.letters[0].start as usize, self.letters[self.letters.len() - 1].end as usize);
        let before = self.text[..start].chars().next_back();
        let mut behind = self.text[end..].chars();
        let (after, second) = (behind.next(), behind.next());
        if after.is_some_and(is_voicing) {
            return;
        }
        let touches = |one: Option<char>| one.is_some_and(is_word_character);
        let plural = after == Some('s') && !touches(second);
        self.view.set_neighbours(before.is_some_and(is_alphabetic), after.is_some_and(is_alphabetic));
        let around = accept::Around { before: touches(before), after: touches(after) && !plural };
        let count: usize = self.letters.len();
        for found in automata.patterns(self.finder, state, self.view.text.len()) {
            let may_have_hole = !self.has_hole || (count >= HOLE_LETTERS && found.rules.has(Rules::IN_WORDS));
            if found.rules.has(Rules::SQUEEZED)
                && may_have_hole
                && accept::in_units(&self.view.units, || around, found.rules, self.finder.runs(&found))
                && !self.found.contains(&(found.entry, start..end))
            {
                self.found.push((found.entry, start..end));
            }
        }
    }
}

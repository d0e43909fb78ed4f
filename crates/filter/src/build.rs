//! From a wordlist to automata, and what they find.

use std::collections::HashMap;
use std::ops::Range;
use std::panic::resume_unwind;
use std::sync::Arc;

use aho_corasick::automaton::{Automaton, StateID};
use aho_corasick::nfa::contiguous::NFA;
use aho_corasick::{Anchored, BuildError, MatchKind, PatternID};

use super::Filter;
use super::accept::{Pattern, Rules};
use super::forms::{Form, Forms};
use super::suspicion::Longest;
use super::words::{Action, Options, Wordlist};

/// Patterns in one automaton; more than this are shared out to several, built at the same time: a million entries would
/// take 4 seconds in one piece, and cost the messages that meet them half as much again.
const PATTERNS_AN_AUTOMATON: usize = 600_000;

/// Automata and their patterns.
pub(super) struct Finder {
    automata: Vec<Automata>,
    /// In the order of their texts: those of one text stand together, however many entries are read the same.
    patterns: Box<[Pattern]>,
    /// By text: its first pattern. One more at the end.
    firsts: Box<[u32]>,
    /// Patterns with repeats of their own, ascending, and where in `run_lengths` these are.
    runs: Box<[(u32, u32)]>,
    run_lengths: Box<[u16]>,
    /// By pattern: the pieces behind its wildcards.
    tails: HashMap<u32, Box<[String]>>,
    pub(super) longest: Longest,
    /// A squeezed pattern of a script with words may begin inside of one.
    pub(super) begins_inside: bool,
}

/// One automaton, with the number of its first text.
pub(super) struct Automata {
    first: u32,
    automaton: NFA,
}

/// A find's pattern.
pub(super) struct Found {
    pub(super) number: u32,
    pub(super) entry: u32,
    pub(super) rules: Rules,
}

/// A place of a text where at least one pattern ends.
pub(super) struct MatchEnd<'a> {
    finder: &'a Finder,
    automata: &'a Automata,
    state: StateID,
    at: usize,
}

impl<'a> MatchEnd<'a> {
    /// The patterns that end here, those of the longest text first, and where each stands.
    pub(super) fn patterns(&self) -> impl Iterator<Item = (Found, Range<usize>)> + use<'a> {
        let Self { finder, automata, state, at } = *self;
        (0..automata.automaton.match_len(state)).flat_map(move |nth| {
            let text = automata.automaton.match_pattern(state, nth);
            let span = at - automata.automaton.pattern_len(text)..at;
            finder.patterns_of(automata, text).map(move |found| (found, span.clone()))
        })
    }
}

impl Finder {
    pub(super) fn ends<'a>(&'a self, text: &'a str) -> impl Iterator<Item = MatchEnd<'a>> {
        self.automata.iter().flat_map(move |automata| {
            let automaton = &automata.automaton;
            let mut state = automaton.start_state(Anchored::No).unwrap_or_default();
            let mut bytes = text.bytes().enumerate();
            std::iter::from_fn(move || {
                let (at, _) = bytes.find(|(_, byte)| {
                    state = automaton.next_state(Anchored::No, state, *byte);
                    automaton.is_match(state)
                })?;
                Some(MatchEnd { finder: self, automata, state, at: at + 1 })
            })
        })
    }

    fn patterns_of(&self, automata: &Automata, text: PatternID) -> impl Iterator<Item = Found> + use<'_> {
        let text = (automata.first + text.as_u32()) as usize;
        (self.firsts[text]..self.firsts[text + 1]).map(|number| {
            let pattern = self.patterns[number as usize];
            Found { number, entry: pattern.entry(), rules: pattern.rules() }
        })
    }

    pub(super) fn automata(&self) -> &[Automata] {
        &self.automata
    }

    /// Returns the number of times that each letter of the entry stands in a row; none if each stands once.
    pub(super) fn runs(&self, found: &Found) -> Option<&[u16]> {
        if !found.rules.has(Rules::HAS_RUNS) {
            return None;
        }
        let place = self.runs.binary_search_by_key(&found.number, |(number, _)| *number).ok()?;
        let end = self.runs.get(place + 1).map_or(self.run_lengths.len(), |(_, next)| *next as usize);
        Some(&self.run_lengths[self.runs[place].1 as usize..end])
    }

    pub(super) fn tail(&self, number: u32) -> &[String] {
        self.tails.get(&number).map_or(&[], AsRef::as_ref)
    }

    fn build(mut forms: Vec<Form>) -> Result<Self, BuildError> {
        let firsts = firsts(&forms);
        let automata = automata(&forms, &firsts)?;
        let (mut runs, mut run_lengths, mut tails) = (Vec::new(), Vec::new(), HashMap::new());
        for (number, form) in forms.iter_mut().enumerate() {
            if let Some(own) = form.runs.take() {
                runs.push((number as u32, run_lengths.len() as u32));
                run_lengths.extend(own);
            }
            if let Some(tail) = form.tail.take() {
                tails.insert(number as u32, tail);
            }
        }
        let longest = Longest::of(forms.iter().map(|form| &*form.text));
        let begins_inside = forms.iter().any(Form::begins_inside);
        let patterns = forms.into_iter().map(|form| form.pattern).collect();
        let (runs, run_lengths) = (runs.into(), run_lengths.into());
        Ok(Self { automata, patterns, firsts, runs, run_lengths, tails, longest, begins_inside })
    }
}

/// Letter by letter along the patterns.
impl Automata {
    pub(super) fn start(&self) -> StateID {
        self.automaton.start_state(Anchored::Yes).unwrap_or_default()
    }

    /// Returns the state after a letter; none if no pattern goes on with it.
    pub(super) fn next(&self, state: StateID, letter: char) -> Option<StateID> {
        letter.encode_utf8(&mut [0; 4]).bytes().try_fold(state, |state, byte| {
            let next = self.automaton.next_state(Anchored::Yes, state, byte);
            (!self.automaton.is_dead(next)).then_some(next)
        })
    }

    /// Does a pattern end here, of those that began at the start or later?
    pub(super) fn ends(&self, state: StateID) -> bool {
        self.automaton.is_match(state)
    }

    /// The patterns of the text that ends here and is so long.
    pub(super) fn patterns<'a>(
        &self,
        finder: &'a Finder,
        state: StateID,
        length: usize,
    ) -> Option<impl Iterator<Item = Found> + use<'a>> {
        // The longest is the first.
        let text = self.automaton.match_pattern(state, 0);
        (self.automaton.pattern_len(text) == length).then(|| finder.patterns_of(self, text))
    }
}

/// Returns the number of each text's first pattern, and at the end the number of all patterns.
fn firsts(forms: &[Form]) -> Box<[u32]> {
    let begins = |number: &usize| *number == 0 || forms[number - 1].text != forms[*number].text;
    let firsts = (0..forms.len()).filter(begins).chain([forms.len()]);
    firsts.map(|number| number as u32).collect()
}

fn automata(forms: &[Form], firsts: &[u32]) -> Result<Vec<Automata>, BuildError> {
    let texts = &firsts[..firsts.len() - 1];
    let shares = texts.len().div_ceil(PATTERNS_AN_AUTOMATON).max(1);
    let size = texts.len().div_ceil(shares).max(1);
    let automaton = |share: &[u32]| {
        NFA::builder()
            .match_kind(MatchKind::Standard)
            .prefilter(false)
            .build(share.iter().map(|first| forms[*first as usize].text.as_bytes()))
    };
    std::thread::scope(|scope| {
        let mut shares = texts.chunks(size);
        let first = shares.next();
        let others: Vec<_> = shares.map(|share| scope.spawn(move || automaton(share))).collect();
        let first = first.map(automaton);
        let others =
            others.into_iter().map(|other| other.join().unwrap_or_else(|panic| resume_unwind(panic)));
        let built = first.into_iter().chain(others).enumerate();
        built
            .map(|(number, automaton)| Ok(Automata { first: (number * size) as u32, automaton: automaton? }))
            .collect()
    })
}

/// Data of entries, for hits; the texts lie in one string, as there are very many.
pub(super) struct Sources {
    texts: String,
    /// By entry: where its text ends, its category, its action, its severity.
    entries: Box<[(u32, u16, Action, u8)]>,
    categories: Vec<Arc<str>>,
}

impl Sources {
    pub(super) fn get(&self, entry: u32) -> (&str, &str, Action, u8) {
        let (end, category, action, severity) = self.entries[entry as usize];
        let start = entry.checked_sub(1).map_or(0, |before| self.entries[before as usize].0);
        (&self.texts[start as usize..end as usize], &self.categories[usize::from(category)], action, severity)
    }

    fn of(list: &Wordlist) -> Self {
        let mut sources = Self { texts: String::new(), entries: Box::default(), categories: Vec::new() };
        let mut entries = Vec::with_capacity(list.entries.len());
        for entry in &list.entries {
            let known = sources.categories.iter().rposition(|known| *known == entry.category);
            let category = known.unwrap_or_else(|| {
                sources.categories.push(Arc::clone(&entry.category));
                sources.categories.len() - 1
            });
            sources.texts.push_str(&entry.text);
            entries.push((sources.texts.len() as u32, category as u16, entry.action, entry.severity));
        }
        sources.entries = entries.into();
        sources
    }
}

/// Large lists are prepared in halves, to be done in time; others by one thread, as requests are answered beside it and
/// want a core.
pub(super) fn build(list: &Wordlist) -> Result<Filter, BuildError> {
    let halves = if list.entries.len() > PATTERNS_AN_AUTOMATON { 2 } else { 1 };
    let (first, second) = list.entries.split_at(list.entries.len() / halves);
    let mut forms = std::thread::scope(|scope| {
        let second = (halves == 2).then(|| scope.spawn(|| Forms::of(second, first.len(), &[])));
        let mut forms = Forms::of(first, 0, &list.allow);
        if let Some(second) = second {
            forms.append(second.join().unwrap_or_else(|panic| resume_unwind(panic)));
        }
        forms
    });
    let optional = |forms: Vec<Form>| (!forms.is_empty()).then(|| Finder::build(forms)).transpose();
    Ok(Filter {
        words: Finder::build(std::mem::take(&mut forms.words))?,
        no_digits: optional(forms.no_digits)?,
        sound: optional(forms.sound)?,
        spelled: list.entries.iter().any(|entry| entry.options.has(Options::PINYIN)),
        sources: Sources::of(list),
    })
}

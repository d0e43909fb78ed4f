//! From a wordlist to automata: each entry's patterns for each view, and what they must remember.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::ops::Range;
use std::panic::resume_unwind;

use aho_corasick::automaton::{Automaton, StateID};
use aho_corasick::nfa::contiguous::NFA;
use aho_corasick::{Anchored, BuildError, Input, MatchKind, PatternID};

use super::Filter;
use super::accept::{Pattern, Rules};
use super::fold::{fold_text, is_word_character};
use super::suspicion::Longest;
use super::variants;
use super::view::{Plain, Reading, Squeezed};
use super::words::{Action, Entry, Matching, Options, Wordlist};

/// Latin entries up to this long match whole words only, unless they say otherwise.
const SHORT_LATIN: usize = 4;

/// Patterns in one automaton; more than this are shared out to several, built at the same time: a million entries would
/// take 4 seconds in one piece, and cost the messages that meet them half as much again.
const PATTERNS_AN_AUTOMATON: usize = 600_000;

/// Automata and their patterns.
pub(super) struct Finder {
    automata: Vec<Automata>,
    patterns: Box<[Pattern]>,
    /// Patterns with repeats of their own, ascending, and where in `run_lengths` these are.
    runs: Box<[(u32, u32)]>,
    run_lengths: Box<[u16]>,
    /// By pattern: the pieces behind its wildcards.
    tails: HashMap<u32, Box<[String]>>,
    pub(super) longest: Longest,
    /// A squeezed pattern of a script with words may begin inside of one.
    pub(super) begins_inside: bool,
}

/// One automaton, with the number of its first pattern.
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

impl Finder {
    pub(super) fn finds<'a>(&'a self, text: &'a str) -> impl Iterator<Item = (Found, Range<usize>)> + 'a {
        let finds = move |automata: &'a Automata| {
            let found = automata.automaton.try_find_overlapping_iter(Input::new(text)).into_iter().flatten();
            found.map(move |found| (self.found(automata.first, found.pattern()), found.range()))
        };
        self.automata.iter().flat_map(finds)
    }

    fn found(&self, first: u32, pattern: PatternID) -> Found {
        let number = first + pattern.as_u32();
        let pattern = self.patterns[number as usize];
        Found { number, entry: pattern.entry(), rules: pattern.rules() }
    }

    pub(super) fn automata(&self) -> &[Automata] {
        &self.automata
    }

    /// How often each letter of the entry stands there; none where it is always once.
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
        let automata = automata(&forms)?;
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
        Ok(Self { automata, patterns, runs, run_lengths, tails, longest, begins_inside })
    }
}

/// Letter by letter along the patterns.
impl Automata {
    pub(super) fn start(&self) -> StateID {
        self.automaton.start_state(Anchored::Yes).unwrap_or_default()
    }

    /// Where a letter leads; none where no pattern goes on with it.
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

    /// The patterns that end here and are so long.
    pub(super) fn patterns(
        &self,
        finder: &Finder,
        state: StateID,
        length: usize,
    ) -> impl Iterator<Item = Found> {
        let ending =
            (0..self.automaton.match_len(state)).map(move |n| self.automaton.match_pattern(state, n));
        ending
            .filter(move |pattern| self.automaton.pattern_len(*pattern) == length)
            .map(|pattern| finder.found(self.first, pattern))
    }
}

fn automata(forms: &[Form]) -> Result<Vec<Automata>, BuildError> {
    let shares = forms.len().div_ceil(PATTERNS_AN_AUTOMATON).max(1);
    let size = forms.len().div_ceil(shares).max(1);
    let automaton = |share: &[Form]| {
        NFA::builder()
            .match_kind(MatchKind::Standard)
            .prefilter(false)
            .build(share.iter().map(|form| form.text.as_bytes()))
    };
    std::thread::scope(|scope| {
        let building: Vec<_> =
            forms.chunks(size).map(|share| scope.spawn(move || automaton(share))).collect();
        let built = building.into_iter().enumerate().map(|(number, building)| {
            let automaton = building.join().unwrap_or_else(|panic| resume_unwind(panic))?;
            Ok(Automata { first: (number * size) as u32, automaton })
        });
        built.collect()
    })
}

/// One pattern before it is in an automaton.
struct Form {
    text: Box<str>,
    pattern: Pattern,
    runs: Option<Box<[u16]>>,
    tail: Option<Box<[String]>>,
}

impl Form {
    fn order(&self, other: &Self) -> Ordering {
        (&self.text, self.pattern.entry()).cmp(&(&other.text, other.pattern.entry()))
    }

    fn begins_inside(&self) -> bool {
        let rules = self.pattern.rules();
        rules.has(Rules::SQUEEZED)
            && !rules.has(Rules::IN_WORDS)
            && self.text.chars().next().is_some_and(is_word_character)
    }

    fn with(self, more: Rules) -> Self {
        let pattern = Pattern::new(self.pattern.entry(), self.pattern.rules().with(more, true));
        Self { pattern, ..self }
    }
}

/// What hits say of their entries; texts lie in one piece, as there are very many.
pub(super) struct Sources {
    texts: String,
    /// By entry: where its text ends, its category, its action, its severity.
    entries: Box<[(u32, u16, Action, u8)]>,
    categories: Vec<String>,
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
                sources.categories.push(entry.category.clone());
                sources.categories.len() - 1
            });
            sources.texts.push_str(&entry.text);
            entries.push((sources.texts.len() as u32, category as u16, entry.action, entry.severity));
        }
        sources.entries = entries.into();
        sources
    }
}

/// The patterns of every view.
#[derive(Default)]
struct Forms {
    words: Vec<Form>,
    no_digits: Vec<Form>,
    sound: Vec<Form>,
    plain_view: Plain,
    view: Squeezed,
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

impl Forms {
    /// Of some entries, the first of which has this number; sorted, as automata are built from them in half the time.
    fn of(entries: &[Entry], first: usize, allow: &[String]) -> Self {
        let mut forms = Self::default();
        for (place, entry) in entries.iter().enumerate() {
            forms.add((first + place) as u32, entry);
        }
        for phrase in allow {
            forms.plain_form(fold_text(phrase), 0, Rules::ALLOW);
        }
        forms.each_list(|list| list.sort_unstable_by(Form::order));
        forms
    }

    /// Sorting two sorted halves is a merge.
    fn append(&mut self, mut more: Self) {
        self.words.append(&mut more.words);
        self.no_digits.append(&mut more.no_digits);
        self.sound.append(&mut more.sound);
        self.each_list(|list| list.sort_by(Form::order));
    }

    fn each_list(&mut self, change: impl Fn(&mut Vec<Form>)) {
        [&mut self.words, &mut self.no_digits, &mut self.sound].into_iter().for_each(change);
    }

    fn add(&mut self, number: u32, entry: &Entry) {
        let folded = fold_text(&entry.text);
        if entry.options.has(Options::WILDCARD) && folded.contains('*') {
            return self.wildcard(number, &folded, entry.matching);
        }
        if entry.options.has(Options::REVERSED) {
            self.both_forms(variants::reversed(&folded), number, entry.matching);
        }
        if entry.options.has(Options::SPLIT) {
            for apart in variants::split(&folded) {
                self.plain_form(apart, number, Rules::default());
            }
        }
        if let Some(spelled) = variants::spelled(&folded).filter(|_| entry.options.has(Options::PINYIN)) {
            let form = self.squeeze(&spelled, number, Matching::Word, Reading::Leet);
            self.words.extend(form.map(|form| form.with(Rules::HAS_GAPS)));
        }
        if entry.options.has(Options::DIGITS) {
            let form = self.squeeze(&folded, number, entry.matching, Reading::NoDigits);
            self.no_digits.extend(form);
        }
        if entry.options.has(Options::HOMOPHONE) {
            let form = self.squeeze(&folded, number, entry.matching, Reading::Sound);
            self.sound.extend(form);
        }
        if folded.contains(' ') {
            // Two short words run together begin many others, so they must be all of it.
            let rules = plain_rules(&folded, entry.matching);
            let whole = plain_rules(&folded, Matching::Word).has(Rules::ENDS_WORD);
            let rules = rules.with(Rules::ENDS_WORD, whole && entry.matching == Matching::Auto);
            self.plain_form(folded.replace(' ', ""), number, rules);
        }
        self.both_forms(folded, number, entry.matching);
    }

    /// A pattern for the plain view and one for the squeezed one; one for both, where they are the same.
    fn both_forms(&mut self, folded: String, number: u32, matching: Matching) {
        let rules = plain_rules(&folded, matching);
        match self.squeeze(&folded, number, matching, Reading::Leet) {
            Some(form) if *form.text == *folded && form.runs.is_none() => {
                self.plain_form(folded, number, form.pattern.rules().with(rules, true));
            }
            form => {
                self.words.extend(form);
                self.plain_form(folded, number, rules);
            }
        }
    }

    fn wildcard(&mut self, number: u32, folded: &str, matching: Matching) {
        let mut pieces =
            folded.split('*').map(str::trim).filter(|piece| !piece.is_empty()).map(str::to_owned);
        let Some(first) = pieces.next() else { return };
        let starts = plain_rules(&first, matching).has(Rules::STARTS_WORD);
        self.plain_form(first, number, Rules::HAS_TAIL.with(Rules::STARTS_WORD, starts));
        if let Some(form) = self.words.last_mut() {
            form.tail = Some(pieces.collect());
        }
    }

    fn plain_form(&mut self, text: String, entry: u32, rules: Rules) {
        if !text.is_empty() {
            self.words.push(Form {
                text: text.into(),
                pattern: Pattern::new(entry, rules.with(Rules::PLAIN, true)),
                runs: None,
                tail: None,
            });
        }
    }

    /// The entry as a squeezed view reads it; none where little is left.
    fn squeeze(&mut self, folded: &str, entry: u32, matching: Matching, reading: Reading) -> Option<Form> {
        self.plain_view.read_folded(folded);
        self.view.read(&self.plain_view, 0..folded.len(), reading);
        let units = &self.view.units;
        if units.iter().map(|unit| usize::from(unit.run)).sum::<usize>() < 2 {
            return None;
        }
        let worded =
            |unit: Option<&super::view::Unit>| unit.is_some_and(|unit| is_word_character(unit.letter));
        let has_runs = units.iter().any(|unit| unit.run > 1);
        let rules = Rules::SQUEEZED
            .with(
                Rules::IN_WORDS,
                matching != Matching::Substring && (worded(units.first()) || worded(units.last())),
            )
            .with(Rules::HAS_GAPS, units.iter().skip(1).any(|unit| unit.gap != super::view::Gap::None))
            .with(Rules::HAS_LETTER, folded.chars().any(char::is_alphabetic))
            .with(Rules::HAS_RUNS, has_runs);
        let runs = has_runs.then(|| units.iter().map(|unit| unit.run).collect());
        Some(Form {
            text: self.view.text.as_str().into(),
            pattern: Pattern::new(entry, rules),
            runs,
            tail: None,
        })
    }
}

/// Which ends of an entry must be ends of a word.
fn plain_rules(folded: &str, matching: Matching) -> Rules {
    let worded = |c: Option<char>| c.is_some_and(is_word_character);
    let (starts, ends) = (worded(folded.chars().next()), worded(folded.chars().next_back()));
    let (starts, ends) = match matching {
        Matching::Auto => (starts, ends && folded.chars().count() <= SHORT_LATIN),
        Matching::Word => (starts, ends),
        Matching::Prefix => (starts, false),
        Matching::Substring => (false, false),
    };
    Rules::default().with(Rules::STARTS_WORD, starts).with(Rules::ENDS_WORD, ends)
}

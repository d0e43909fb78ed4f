//! A list's entries as patterns: what each view must find, and what a find must remember.

use std::cmp::Ordering;

use super::accept::{Pattern, Rules};
use super::fold::{fold_text, is_word_character};
use super::variants;
use super::view::{Gap, Plain, Reading, Squeezed, Unit};
use super::words::{Entry, Matching, Options};

/// Latin entries up to this long match whole words only, unless they say otherwise.
const SHORT_LATIN: usize = 4;

/// One pattern before it is in an automaton.
pub(super) struct Form {
    pub(super) text: Box<str>,
    pub(super) pattern: Pattern,
    pub(super) runs: Option<Box<[u16]>>,
    pub(super) tail: Option<Box<[String]>>,
}

impl Form {
    /// From the last text to the first: the trie keeps what may follow in ascending order, and looks from its start. Those of
    /// one text: what is allowed first, and wildcards, which cost the most, last.
    fn order(&self, other: &Self) -> Ordering {
        let rank = |form: &Self| {
            let rules = form.pattern.rules();
            (rules.has(Rules::HAS_TAIL), !rules.has(Rules::ALLOW), form.pattern.entry())
        };
        other.text.cmp(&self.text).then_with(|| rank(self).cmp(&rank(other)))
    }

    pub(super) fn begins_inside(&self) -> bool {
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

/// The patterns of every view.
#[derive(Default)]
pub(super) struct Forms {
    pub(super) words: Vec<Form>,
    pub(super) no_digits: Vec<Form>,
    pub(super) sound: Vec<Form>,
    plain_view: Plain,
    view: Squeezed,
}

impl Forms {
    /// Of some entries, the first of which has this number; sorted, as automata are built from them in half the time.
    pub(super) fn of(entries: &[Entry], first: usize, allow: &[String]) -> Self {
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
    pub(super) fn append(&mut self, mut more: Self) {
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
        match self.read_squeezed(&folded, matching, Reading::Leet) {
            Some((squeezed, None)) if self.view.text == folded => {
                self.plain_form(folded, number, squeezed.with(rules, true));
            }
            squeezed => {
                self.words.extend(squeezed.map(|squeezed| self.squeezed_form(number, squeezed)));
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
        let squeezed = self.read_squeezed(folded, matching, reading)?;
        Some(self.squeezed_form(entry, squeezed))
    }

    /// Reads it into the view, and says what a pattern of that must remember.
    fn read_squeezed(
        &mut self,
        folded: &str,
        matching: Matching,
        reading: Reading,
    ) -> Option<(Rules, Option<Box<[u16]>>)> {
        self.plain_view.read_folded(folded);
        self.view.read(&self.plain_view, 0..folded.len(), reading);
        let units = &self.view.units;
        if units.iter().map(|unit| usize::from(unit.run)).sum::<usize>() < 2 {
            return None;
        }
        let worded = |unit: Option<&Unit>| unit.is_some_and(|unit| is_word_character(unit.letter));
        let has_runs = units.iter().any(|unit| unit.run > 1);
        let rules = Rules::SQUEEZED
            .with(
                Rules::IN_WORDS,
                matching != Matching::Substring && (worded(units.first()) || worded(units.last())),
            )
            .with(Rules::HAS_GAPS, units.iter().skip(1).any(|unit| unit.gap != Gap::None))
            .with(Rules::HAS_LETTER, folded.chars().any(char::is_alphabetic))
            .with(Rules::HAS_RUNS, has_runs);
        Some((rules, has_runs.then(|| units.iter().map(|unit| unit.run).collect())))
    }

    /// A pattern of what was read into the view.
    fn squeezed_form(&self, entry: u32, (rules, runs): (Rules, Option<Box<[u16]>>)) -> Form {
        let text = self.view.text.as_str().into();
        Form { text, pattern: Pattern::new(entry, rules), runs, tail: None }
    }
}

/// Returns the rules that say which ends of an entry must be ends of a word.
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

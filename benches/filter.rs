//! The filter's speed and size, beside the raw automaton's scan of the same text and beside rustrict, in one run.
//!
//! `scripts/bench-filter` fetches the dictionaries that lists and texts are made from. Compare the ratios: times move
//! with the machine.

#![expect(clippy::unwrap_used, reason = "a measurement that meets a fault has nothing to print")]

use std::hint::black_box;
use std::time::{Duration, Instant};

use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};
use guildhall::filter::{Filter, Wordlist, fold_text};
use peak_alloc::PeakAlloc;
use rustrict::{Censor, Trie, Type};

#[global_allocator]
static HEAP: PeakAlloc = PeakAlloc;

const TEXTS: usize = 20_000;
/// The dictionaries' words end at some 400,000; the million holds pairs of them, which are longer.
const SIZES: [usize; 5] = [1_000, 10_000, 100_000, 400_000, 1_000_000];
/// Lists beyond this would keep rustrict busy for minutes.
const RUSTRICT_SIZES: usize = 100_000;

fn main() {
    let words = Words::read();
    let mut random = Random(7);
    let mixed: Vec<String> = (0..TEXTS).map(|_| words.mixed(&mut random, 61)).collect();
    let english: Vec<String> = (0..TEXTS).map(|_| words.english(&mut random, 9)).collect();
    let long: Vec<String> = (0..TEXTS).map(|_| words.mixed_of(&mut random, 300)).collect();
    println!("`raw` is one automaton of the same entries, scanning the same texts unfolded.\n");
    println!(
        "{:>9} | {:>8} {:>8} | {:>15} | {:>27} | {:>27} | {:>10}",
        "entries",
        "build s",
        "peak MB",
        "B/entry: us raw",
        "mixed ns: us, raw, rustrict",
        "Engl. ns: us, raw, rustrict",
        "300 B p99"
    );
    for size in SIZES {
        let entries = words.entries(size);
        let list = Wordlist::parse(&[("words.txt".to_owned(), entries.join("\n").into_bytes())]).unwrap();
        let before = HEAP.current_usage();
        HEAP.reset_peak_usage();
        let started = Instant::now();
        let filter = Filter::build(&list).unwrap();
        let build = started.elapsed().as_secs_f64();
        let resident = (HEAP.current_usage() - before) as f64;
        let peak = (HEAP.peak_usage() - before) as f64;
        let before = HEAP.current_usage();
        let raw = raw(&entries);
        let raw_resident = (HEAP.current_usage() - before) as f64;
        let rustrict = (size <= RUSTRICT_SIZES).then(|| &*Box::leak(Box::new(trie(&entries))));
        let judge = |text: &String| filter.judge(text).hits.len();
        let scan = |text: &String| raw.find_overlapping_iter(text).count();
        let three = |texts: &[String]| {
            let rustrict = rustrict.map_or("-".to_owned(), |trie| {
                format!(
                    "{:.0}",
                    time(texts, |text| usize::from(
                        Censor::from_str(text).with_trie(trie).analyze() != Type::NONE
                    ))
                )
            });
            format!("{:>8.0} {:>8.0} {rustrict:>9}", time(texts, judge), time(texts, scan))
        };
        println!(
            "{size:>9} | {build:>8.2} {:>8.1} | {:>8.0} {:>6.0} | {:>27} | {:>27} | {:>7.1} us",
            peak / 1e6,
            resident / size as f64,
            raw_resident / size as f64,
            three(&mixed),
            three(&english),
            p99(&long, judge)
        );
    }
}

/// Nanoseconds a text, the best of several rounds.
fn time(texts: &[String], judge: impl Fn(&String) -> usize) -> f64 {
    let round = || {
        let started = Instant::now();
        texts.iter().for_each(|text| {
            black_box(judge(black_box(text)));
        });
        started.elapsed()
    };
    let best = (0..5).map(|_| round()).min().unwrap_or(Duration::ZERO);
    best.as_nanos() as f64 / texts.len() as f64
}

/// Microseconds that one text in a hundred exceeds; of each text the best of three rounds over all, so that it is the
/// text which is slow rather than the machine.
fn p99(texts: &[String], judge: impl Fn(&String) -> usize) -> f64 {
    let mut best = vec![Duration::MAX; texts.len()];
    for _ in 0..3 {
        for (text, best) in texts.iter().zip(&mut best) {
            let started = Instant::now();
            black_box(judge(text));
            *best = started.elapsed().min(*best);
        }
    }
    best.sort_unstable();
    best[best.len() * 99 / 100].as_nanos() as f64 / 1e3
}

/// The scan alone: what no filter with this engine can beat.
fn raw(entries: &[String]) -> AhoCorasick {
    let mut folded: Vec<String> = entries.iter().map(|entry| fold_text(entry)).collect();
    folded.sort();
    AhoCorasick::builder()
        .match_kind(MatchKind::Standard)
        .kind(Some(AhoCorasickKind::ContiguousNFA))
        .prefilter(false)
        .build(folded)
        .unwrap()
}

fn trie(entries: &[String]) -> Trie {
    let mut trie = Trie::new();
    entries.iter().for_each(|entry| trie.set(entry, Type::PROFANE & Type::MODERATE));
    trie
}

/// Dictionaries, the commonest Chinese words first.
struct Words {
    chinese: Vec<String>,
    english: Vec<String>,
}

impl Words {
    fn read() -> Self {
        let read = |name: &str| {
            std::fs::read_to_string(format!("target/words/{name}")).expect("run scripts/bench-filter")
        };
        let mut chinese: Vec<(u64, String)> = read("dict.txt")
            .lines()
            .map(|line| {
                let mut columns = line.split(' ');
                (columns.next().unwrap().to_owned(), columns.next().unwrap().parse().unwrap())
            })
            .map(|(word, count): (String, u64)| (count, word))
            .collect();
        chinese.sort_by(|one, other| other.cmp(one));
        Self {
            chinese: chinese.into_iter().map(|(_, word)| word).collect(),
            english: serde_json::from_str(&read("index.json")).unwrap(),
        }
    }

    /// Rare words of some length, half of each language; beyond the dictionaries, pairs of them.
    fn entries(&self, count: usize) -> Vec<String> {
        let rare = |word: &&String| word.chars().count() >= 3;
        let chinese: Vec<&String> = self.chinese.iter().skip(20_000).filter(rare).collect();
        let english: Vec<&String> = self.english.iter().filter(|word| word.len() >= 6).collect();
        let pick = |words: &[&String], n: usize| {
            let word = words[(n * 7_919) % words.len()];
            if n < words.len() {
                word.clone()
            } else {
                format!("{word}{}", words[(n * 104_729 + 1) % words.len()])
            }
        };
        let mut entries: Vec<String> = (0..count)
            .map(|n| if n % 2 == 0 { pick(&chinese, n / 2) } else { pick(&english, n / 2) })
            .collect();
        entries.sort();
        entries.dedup();
        entries
    }

    /// Chat in Chinese with some English, about so many bytes: common words, a comma now and then.
    fn mixed(&self, random: &mut Random, bytes: usize) -> String {
        let target = bytes / 2 + random.below(bytes);
        self.mixed_of(random, target)
    }

    fn mixed_of(&self, random: &mut Random, bytes: usize) -> String {
        let mut text = String::new();
        while text.len() < bytes {
            match random.below(12) {
                0 => text.push('，'),
                1 => {
                    text.push(' ');
                    text.push_str(&self.english[random.below(self.english.len())]);
                    text.push(' ');
                }
                _ => text.push_str(&self.chinese[random.below(2_000)]),
            }
        }
        text
    }

    /// Short English chat.
    fn english(&self, random: &mut Random, bytes: usize) -> String {
        const COMMON: &[&str] = &[
            "gg", "ok", "lol", "I", "go", "you", "the", "nice", "wait", "push", "mid", "help", "we", "are",
            "good", "don't", "need", "heal", "one", "more",
        ];
        let mut text = String::new();
        let target = bytes / 2 + random.below(bytes + bytes / 2);
        while text.len() < target {
            if !text.is_empty() {
                text.push(' ');
            }
            text.push_str(COMMON[random.below(COMMON.len())]);
        }
        text
    }
}

/// The same numbers at every run.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % bound
    }
}

//! The same, or nearly the same, said again and again by one player.
//!
//! Two texts are nearly the same where the pairs of neighbouring letters and digits in them are, but for a fifth: so it
//! does not help to change a number, a stroke or a few letters. Texts of fewer than six letters and digits don't count:
//! people say "gg" and "ok" all the time.

use std::sync::{Arc, Mutex};

use quick_cache::sync::Cache;

use crate::values::Limit;
use guildhall_base::clock::Millis;
use guildhall_base::lock::lock;

/// Senders whose last texts are remembered, texts of each, and letters of a text.
const SENDERS: usize = 4_096;
const LAST: usize = 16;
const LETTERS: usize = 128;
/// Shorter texts don't count.
const LEAST: usize = 6;
/// From so many hundredths of common pairs on, two texts are nearly the same.
const ALIKE: usize = 80;

/// Pairs of neighbouring letters of a text, sorted, by which two texts are compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Likeness(Vec<(char, char)>);

impl Likeness {
    /// That of a text; none for one that does not count.
    pub fn of(text: &str) -> Option<Self> {
        let letters = text.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase);
        let letters: Vec<char> = letters.take(LETTERS).collect();
        if letters.len() < LEAST {
            return None;
        }
        let mut pairs: Vec<(char, char)> = letters.windows(2).map(|pair| (pair[0], pair[1])).collect();
        pairs.sort_unstable();
        Some(Self(pairs))
    }

    /// Is the other nearly the same?
    pub fn is_like(&self, other: &Self) -> bool {
        let (mut one, mut two, mut common) = (0, 0, 0);
        while let (Some(left), Some(right)) = (self.0.get(one), other.0.get(two)) {
            match left.cmp(right) {
                std::cmp::Ordering::Less => one += 1,
                std::cmp::Ordering::Greater => two += 1,
                std::cmp::Ordering::Equal => (one, two, common) = (one + 1, two + 1, common + 1),
            }
        }
        common * 200 >= (self.0.len() + other.0.len()) * ALIKE
    }
}

type Last = Arc<Mutex<Vec<(Millis, Likeness)>>>;

/// Last texts of each player. Each instance keeps its own: with several instances, a player may repeat as many times
/// more.
pub struct Repeats {
    limit: Option<Limit>,
    last: Cache<String, Last>,
}

impl Repeats {
    /// Without a limit, nothing is remembered.
    pub fn new(limit: Option<Limit>) -> Self {
        Self { limit, last: Cache::new(SENDERS) }
    }

    /// Seconds until this may be said again; none where it may be said now.
    pub fn wait(&self, player: &str, text: &str, now: Millis) -> Option<u64> {
        let limit = self.limit?;
        let likeness = Likeness::of(text)?;
        let last = self.last.get(player)?;
        let last = lock(&last);
        let counts = |(at, other): &&(Millis, Likeness)| {
            (0..limit.window_ms).contains(&(now - at)) && other.is_like(&likeness)
        };
        let (at, _) = last.iter().rev().filter(counts).nth(limit.count - 1)?;
        Some((at + limit.window_ms - now).unsigned_abs().div_ceil(1_000).max(1))
    }

    /// Notes what was said.
    pub fn note(&self, player: &str, text: &str, now: Millis) {
        if self.limit.is_none() {
            return;
        }
        let Some(likeness) = Likeness::of(text) else { return };
        let Ok(last) = self.last.get_or_insert_with(player, || Ok::<_, ()>(Last::default())) else { return };
        let mut last = lock(&last);
        last.push((now, likeness));
        let over = last.len().saturating_sub(LAST);
        last.drain(..over);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Millis = 1_000_000;

    fn repeats(count: usize) -> Repeats {
        Repeats::new(Some(Limit { count, window_ms: 60_000 }))
    }

    #[test]
    fn the_fourth_time_in_a_minute_has_to_wait() {
        let repeats = repeats(3);
        for n in 0..3 {
            assert_eq!(repeats.wait("bob", "Join my guild today!", NOW + n), None);
            repeats.note("bob", "Join my guild today!", NOW + n);
        }
        assert_eq!(repeats.wait("bob", "join  my GUILD, today 1", NOW + 10), Some(60));
        assert_eq!(repeats.wait("bob", "join my guild today", NOW + 59_999), Some(1));
        assert_eq!(repeats.wait("bob", "join my guild today", NOW + 60_000), None);
        assert_eq!(repeats.wait("bob", "who wants to trade a horse", NOW + 10), None);
        assert_eq!(repeats.wait("eve", "join my guild today", NOW + 10), None);
        assert_eq!(Repeats::new(None).wait("bob", "join my guild today", NOW), None);
    }

    #[test]
    fn what_is_short_or_new_does_not_count() {
        let repeats = repeats(1);
        for (said, next, waits) in [
            ("gg", "gg", false),
            ("加微信 abc12345 送钻石", "加微信 abc12346 送钻石", true),
            ("see you at the gate", "see you at the lake", false),
            ("selling gold 5$ www.gold.example", "s e l l i n g gold 5$ www.gold.example !!", true),
            ("дешёвое золото пиши мне", "дешевое золото пиши мне", true),
        ] {
            repeats.note(said, said, NOW);
            assert_eq!(repeats.wait(said, next, NOW).is_some(), waits, "{said} / {next}");
        }
    }

    /// Lines that people say, many of them of one pattern, in an order that is none, each as the next word of one player: of
    /// those who may say nearly the same twice or three times, fewer than one line in a thousand is refused.
    #[test]
    fn innocent_lines_are_not_taken_for_repeats() {
        let lines = include_str!("../../../src/wordlist/clean.txt").lines();
        let lines: Vec<&str> = lines.filter(|line| !line.starts_with('#')).collect();
        assert!(lines.len() >= 5_000, "{}", lines.len());
        for count in [2, 3] {
            let repeats = repeats(count);
            let mut refused = Vec::new();
            for n in 0..lines.len() {
                let (line, now) = (lines[n * 2_003 % lines.len()], NOW + n as Millis * 10);
                refused.extend(repeats.wait("bob", line, now).map(|_| line));
                repeats.note("bob", line, now);
            }
            assert!(refused.len() * 1_000 < lines.len(), "{count}: {refused:?}");
        }
    }
}

//! How the places of a text can be read, one place behind the other; each is read when a way first comes there.

use std::ops::Range;

use super::readings::{Choice, choices};
use super::view::Gap;

/// Nothing is read at a place yet.
const UNREAD: u32 = u32::MAX;

/// Readings of the places of a text, as far as a walk has read them.
#[derive(Default)]
pub(super) struct Places {
    /// Readings of all places, each with its length in bytes.
    ways: Vec<(Choice, u32)>,
    /// By byte from `start` on: where in `ways` its place begins and ends.
    places: Vec<(u32, u32)>,
    start: usize,
    /// Number of places that were read since the last call of `read`.
    read: u32,
}

impl Places {
    /// Forgets all; nothing before `start` will be asked for.
    pub(super) fn clear(&mut self, start: usize) {
        self.ways.clear();
        self.places.clear();
        (self.start, self.read) = (start, 0);
    }

    /// Returns the number of places that were read since the last call.
    pub(super) fn read(&mut self) -> u32 {
        std::mem::take(&mut self.read)
    }

    /// One of [`Self::ways`].
    pub(super) fn way(&self, way: usize) -> (Choice, u32) {
        self.ways[way]
    }

    /// Returns the readings of a place, as a range of numbers for [`Self::way`].
    pub(super) fn ways(&mut self, text: (&str, bool), at: usize) -> Range<usize> {
        if !self.is_read(at) {
            self.read_at(text, at);
            self.join_separators(text, at);
        }
        let (first, end) = self.places[at - self.start];
        first as usize..end as usize
    }

    fn is_read(&mut self, at: usize) -> bool {
        let place = at - self.start;
        if place >= self.places.len() {
            self.places.resize(place + 1, (UNREAD, 0));
        }
        self.places[place].0 != UNREAD
    }

    fn read_at(&mut self, (text, twins): (&str, bool), at: usize) {
        let before = text[..at].chars().next_back();
        let ways = &mut self.ways;
        let first = ways.len() as u32;
        choices(before, &text[at..], twins, |choice, length| ways.push((choice, length as u32)));
        self.places[at - self.start] = (first, ways.len() as u32);
        self.read += 1;
    }

    /// Returns the gap of a place that does nothing but part letters, and its length in bytes.
    fn separator(&self, at: usize) -> Option<(Gap, u32)> {
        let (first, end) = self.places[at - self.start];
        match self.ways[first as usize..end as usize] {
            [(Choice::Separator(gap), length)] => Some((gap, length)),
            _ => None,
        }
    }

    /// A row of separators is one, however long it is: from each of its places one step leads behind it.
    fn join_separators(&mut self, text: (&str, bool), at: usize) {
        let (mut row, mut behind) = (Vec::new(), at);
        let mut last = None;
        while let Some((gap, length)) = self.separator(behind) {
            row.push((behind, gap));
            behind += length as usize;
            let was_read = self.is_read(behind);
            if !was_read {
                self.read_at(text, behind);
            } else if let Some((gap, length)) = self.separator(behind) {
                // Its row was joined already.
                last = Some(gap);
                behind += length as usize;
                break;
            }
        }
        let mut widest = last.unwrap_or(Gap::None);
        for (at, gap) in row.into_iter().rev() {
            widest = widest.max(gap);
            let way = self.places[at - self.start].0 as usize;
            self.ways[way] = (Choice::Separator(widest), (behind - at) as u32);
        }
    }
}

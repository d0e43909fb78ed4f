//! Statements that take a list of rows as values of their own, each bound: reading a row from JSON costs `SQLite` a look
//! through the row's whole text for each of its columns.
//!
//! A statement's text is fixed, so there is one for each of a few lengths. A list takes the next one, and leaves the rows
//! behind its own null.

/// The lengths.
const ROOM: [usize; 4] = [1, 4, 16, 64];
/// The longest.
pub(super) const MOST: usize = ROOM[ROOM.len() - 1];

/// One statement in all lengths.
pub(super) struct ForRows(pub(super) [&'static str; 4]);

impl ForRows {
    /// The one for so many rows, and how many it takes.
    pub(super) fn taking(&self, rows: usize) -> (&'static str, usize) {
        let n = ROOM.iter().position(|room| rows <= *room).unwrap_or(ROOM.len() - 1);
        (self.0[n], ROOM[n])
    }
}

/// A text four times.
macro_rules! four {
    ($($text:tt)+) => {
        concat!($($text)+, ", ", $($text)+, ", ", $($text)+, ", ", $($text)+)
    };
}
pub(super) use four;

/// A constant statement: what stands before its first list, then each list's row and what stands behind it.
macro_rules! for_rows {
    ($name:ident: $before:expr, $($row:literal => $after:expr),+ $(,)?) => {
        const $name: ForRows = ForRows([
            concat!($before, $($row, $after),+),
            concat!($before, $(four!($row), $after),+),
            concat!($before, $(four!(four!($row)), $after),+),
            concat!($before, $(four!(four!(four!($row))), $after),+),
        ]);
    };
}
pub(super) use for_rows;

#[cfg(test)]
mod tests {
    use super::*;

    for_rows!(TWO: "first ", "(?, ?)" => " then ", "(?)" => " end");

    #[test]
    fn each_length_has_as_many_rows_in_every_list() {
        for (text, room) in TWO.0.iter().zip(ROOM) {
            assert_eq!((text.matches("(?, ?)").count(), text.matches("(?)").count()), (room, room), "{text}");
        }
        assert_eq!(TWO.0[0], "first (?, ?) then (?) end");
        assert_eq!(TWO.0[1], "first (?, ?), (?, ?), (?, ?), (?, ?) then (?), (?), (?), (?) end");
    }

    #[test]
    fn a_list_takes_the_next_length() {
        for (rows, room) in [(0, 1), (1, 1), (2, 4), (4, 4), (5, 16), (17, 64), (64, 64)] {
            assert_eq!(TWO.taking(rows).1, room, "{rows}");
        }
    }
}

//! Words: what an item is stands first in its comment, so that a reader finds it by looking down the margin.

use crate::house::architecture::program;

const BEGIN_NO_COMMENT: &[&str] =
    &["What", "Who", "Whom", "Whose", "Which", "Where", "Whether", "How", "When", "Why", "It", "It's", "Its"];

/// Of a file: the first lines of its comments on items, with their numbers. What stands under a heading is not looked at.
fn first_lines(text: &str) -> Vec<(usize, &str)> {
    let (mut found, mut inside) = (Vec::new(), false);
    for (number, line) in text.lines().enumerate() {
        let comment = line.trim_start().strip_prefix("///");
        if let Some(comment) = comment.filter(|_| !inside) {
            found.push((number + 1, comment.trim()));
        }
        inside = comment.is_some();
    }
    found
}

#[test]
fn comments_begin_with_what_an_item_is() {
    let (mut faults, mut seen) = (Vec::new(), 0);
    for (path, text) in program() {
        for (number, line) in first_lines(&text) {
            seen += 1;
            let word = line.split([' ', ',', '.', ':']).next().unwrap_or_default();
            if BEGIN_NO_COMMENT.contains(&word) {
                faults.push(format!("{}:{number}: {line}", path.display()));
            }
        }
    }
    assert!(seen > 3_000, "comments are found at all: {seen}");
    assert!(faults.is_empty(), "{} comments:\n{}", faults.len(), faults.join("\n"));
}

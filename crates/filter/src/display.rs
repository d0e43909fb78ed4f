//! Safe to show: what breaks a chat window rather than a rule of talk. Separate from the blocklist, as it blocks nobody.
//!
//! Marks that turn the direction of text around, controls, runs of invisible characters, towers of stacked marks, and tags
//! that game engines obey (`<size=…>`, `<sprite>`, `<link>`) are taken away or made plain text. What is taken away is nothing
//! to the filter either: else a word would be whole where it is shown, and was not where it was judged.

use std::borrow::Cow;

use unicode_normalization::char::is_combining_mark;

/// Marks that one character may bear: Vietnamese and Hebrew need up to three.
const MARKS: usize = 3;
/// Letters behind a flag that name a part of a country, and the end of the name.
const FLAG: u32 = 7;
const BLACK_FLAG: char = '\u{1f3f4}';
/// Tags are invisible letters.
const TAGS_FROM: char = '\u{e0000}';
const TAG_SPACE: char = '\u{e0020}';
const TAG_END: char = '\u{e007f}';
/// A tag is looked for in so many bytes.
const TAG_BYTES: usize = 128;

/// Tags that rich-text renderers of game engines know.
const TAGS: &[&str] = &[
    "a",
    "action",
    "align",
    "allcaps",
    "alpha",
    "b",
    "br",
    "class",
    "color",
    "cr",
    "cspace",
    "duospace",
    "font",
    "font-weight",
    "gradient",
    "i",
    "img",
    "indent",
    "line-height",
    "line-indent",
    "link",
    "lowercase",
    "margin",
    "margin-left",
    "margin-right",
    "mark",
    "material",
    "mspace",
    "nbsp",
    "nobr",
    "noparse",
    "on",
    "outline",
    "page",
    "pos",
    "quad",
    "rotate",
    "s",
    "scale",
    "shadow",
    "shy",
    "size",
    "smallcaps",
    "space",
    "sprite",
    "strikethrough",
    "style",
    "sub",
    "sup",
    "table",
    "u",
    "uppercase",
    "url",
    "voffset",
    "width",
    "zwj",
    "zwsp",
];

/// A name on one line, without what harms the window it is shown in.
pub fn safe_name(name: &str) -> Cow<'_, str> {
    let breaks = |character: char| character.is_control() || matches!(character, '\u{2028}' | '\u{2029}');
    if name.contains(breaks) { safe(&name.replace(breaks, " ")).into_owned().into() } else { safe(name) }
}

/// Is there anything in it that a reader would see?
pub fn shows_something(text: &str) -> bool {
    let unseen = |character: char| {
        character.is_whitespace()
            || character.is_control()
            || is_useless(character)
            || is_invisible(character)
            || is_combining_mark(character)
            || matches!(character, '\u{1d159}' | TAGS_FROM..=TAG_END)
    };
    !text.chars().all(unseen)
}

/// The text without what harms the window it is shown in; the same text where there is nothing.
pub fn safe(text: &str) -> Cow<'_, str> {
    if text.chars().all(is_plain) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len());
    let (mut marks, mut flag) = (0, 0);
    // Invisible characters since the last that is seen: one joins an emoji or parts letters of Persian, several hide something.
    let (mut invisible, mut last) = (0, '\0');
    for character in text.chars() {
        // A flag's name is spelled in tags: three letters of a country and of a part of it, at most.
        flag = match character {
            BLACK_FLAG => 1,
            TAG_SPACE..=TAG_END if (1..=FLAG).contains(&flag) => flag + 1,
            _ => 0,
        };
        if is_useless(character) || (flag == 0 && matches!(character, TAGS_FROM..=TAG_END)) {
            continue;
        }
        if is_invisible(character) {
            (invisible, last) = (invisible + 1, character);
            continue;
        }
        marks = if is_combining_mark(character) { marks + 1 } else { 0 };
        if marks > MARKS {
            continue;
        }
        if invisible == 1 {
            shown.push(last);
        }
        invisible = 0;
        shown.push(character);
    }
    if invisible == 1 {
        shown.push(last);
    }
    // What is taken away here may have stood within a tag.
    let shown = without_tags(shown);
    if shown == text { Cow::Borrowed(text) } else { Cow::Owned(shown) }
}

fn without_tags(text: String) -> String {
    if !text.contains('<') {
        return text;
    }
    let mut shown = String::with_capacity(text.len() + 8);
    let mut at = 0;
    for (open, _) in text.match_indices('<').filter(|(open, _)| opens_tag(&text[*open..])) {
        shown.push_str(&text[at..open]);
        shown.push('＜');
        at = open + 1;
    }
    shown.push_str(&text[at..]);
    shown
}

/// Neither a mark nor invisible: Latin letters, and the signs of Chinese, Japanese and Korean.
const fn is_plain(character: char) -> bool {
    match character {
        '<'
        | '\0'..='\u{8}'
        | '\u{e}'..='\u{1f}'
        | '\u{7f}'..='\u{84}'
        | '\u{86}'..='\u{9f}'
        | '\u{ad}'
        | '\u{3164}' => false,
        ..'\u{300}' | '\u{3100}'..='\u{9fff}' | '\u{ac00}'..='\u{d7a3}' => true,
        _ => false,
    }
}

/// Controls, marks that turn text around, that annotate it for machines, and invisible characters that chat has no use for.
const fn is_useless(character: char) -> bool {
    matches!(
        character,
        '\0'..='\u{8}' | '\u{e}'..='\u{1f}' | '\u{7f}'..='\u{84}' | '\u{86}'..='\u{9f}' | '\u{61c}'
            | '\u{202a}'..='\u{202e}' | '\u{2065}'..='\u{206f}' | '\u{fff0}'..='\u{fffb}'
            | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0080}'..='\u{e00ff}' | '\u{e01f0}'..='\u{e0fff}'
    )
}

/// Returns true if a character takes no place, or is a blank that is a letter to Unicode.
const fn is_invisible(character: char) -> bool {
    matches!(
        character,
        '\u{ad}' | '\u{115f}' | '\u{1160}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2060}'..='\u{2064}'
            | '\u{2800}' | '\u{3164}' | '\u{feff}' | '\u{ffa0}' | '\u{e0100}'..='\u{e01ef}'
    )
}

fn opens_tag(text: &str) -> bool {
    let end = (1..=TAG_BYTES.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(1);
    let inside = text[1..end].trim_start_matches('/');
    let name: String = inside.chars().take_while(|c| c.is_ascii_alphabetic() || *c == '-').collect();
    let behind = inside[name.len()..].trim_start_matches(['\t', '\n', '\r']).chars().next();
    let known =
        TAGS.contains(&name.to_ascii_lowercase().as_str()) && matches!(behind, Some('>' | '=' | ' ' | '/'));
    known
        || (name.is_empty()
            && behind == Some('#')
            && inside[1..].starts_with(|c: char| c.is_ascii_hexdigit()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::fold::{Folding, fold};

    #[test]
    fn what_is_plain_is_never_changed() {
        for character in ('\0'..=char::MAX).filter(|character| is_plain(*character)) {
            let odd = is_useless(character) || is_invisible(character) || is_combining_mark(character);
            assert!(!odd && character != '<', "{character:?}");
        }
    }

    /// Else a word that is judged in two parts would be shown in one.
    #[test]
    fn what_is_taken_away_is_nothing_to_the_filter() {
        for character in '\0'..=char::MAX {
            for text in [format!("a{character}b"), format!("a{character}{character}b")] {
                let goes = !safe(&text).contains(character);
                let is_nothing = fold(character) == Folding::Dropped;
                assert!(
                    !goes || is_nothing || character == '<',
                    "{:x} goes, and is something",
                    u32::from(character)
                );
            }
            let alone = character.to_string();
            let is_empty = !shows_something(&safe(&alone));
            assert!(!is_empty || !shows_something(&alone), "{:x} shows nothing", u32::from(character));
        }
    }

    #[test]
    fn what_is_taken_away_makes_no_tag_of_what_is_left() {
        for text in [
            "<\u{202e}size=50>",
            "<si\u{2067}ze=50>",
            "<\u{200b}\u{200b}size=50>",
            "</\u{202e}size>",
            "<b\u{202e}>",
        ] {
            assert!(safe(text).starts_with('＜'), "{text:?}");
        }
        for text in [
            "<size\n=5>",
            "<scale=3>",
            "<duospace=1em>",
            "<zwsp>",
            "<shy>",
            "<margin-left=5>",
            "<on click='x'>",
        ] {
            assert!(safe(text).starts_with('＜'), "{text:?}");
        }
    }

    #[test]
    fn towers_and_runs_go_and_what_means_something_stays() {
        let tower = format!("a{}", "\u{301}\u{200d}".repeat(100));
        assert!(safe(&tower).chars().count() <= 2 * MARKS + 1, "{:?}", safe(&tower));
        for run in [
            "\u{180e}",
            "\u{3164}",
            "\u{2800}",
            "\u{115f}",
            "\u{e0041}",
            "\u{61c}",
            "\u{206a}",
            "\u{fff9}",
            "\u{1d173}",
            "\u{2065}",
            "\u{7}",
            "\u{9b}",
        ] {
            assert_eq!(safe(&format!("a{}b", run.repeat(30))), "ab", "{run:?}");
        }
        for text in [
            "👨\u{200d}👩\u{200d}👧",
            "می\u{200c}خواهم",
            "🏴\u{e0067}\u{e0062}\u{e0065}\u{e006e}\u{e0067}\u{e007f} go",
            "ệ",
        ] {
            assert_eq!(safe(text), text);
        }
    }

    proptest! {
        /// Whatever is safe stays as it is.
        #[test]
        fn what_is_safe_is_safe(
            pieces in prop::collection::vec(
                prop::sample::select(vec![
                    "<", ">", "/", "size", "b", "=", "#", "f", " ", "\n", "a", "漢", "\u{301}", "\u{5b0}", "\u{200d}", "\u{200b}",
                    "\u{202e}", "\u{2067}", "\u{3164}", "\u{180e}", "\u{1f3f4}", "\u{e0067}", "\u{e007f}", "\u{ad}",
                ]),
                0..24,
            ),
        ) {
            let once = safe(&pieces.concat()).into_owned();
            prop_assert_eq!(safe(&once).into_owned(), once.clone());
        }
    }
}

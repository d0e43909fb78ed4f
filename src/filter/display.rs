//! Safe to show: what breaks a chat window rather than a rule of talk. Separate from the blocklist, as it blocks nobody.
//!
//! Marks that turn the direction of text around, runs of invisible characters, towers of stacked marks, and tags that game
//! engines obey (`<size=…>`, `<sprite>`, `<link>`) are taken away or made plain text.

use std::borrow::Cow;

use unicode_normalization::char::is_combining_mark;

/// Marks that one character may bear: Vietnamese and Hebrew need up to three.
const MARKS: usize = 3;
/// A tag is looked for in so many bytes.
const TAG_BYTES: usize = 128;

/// Tags that rich-text renderers of game engines know.
const TAGS: &[&str] = &[
    "a",
    "align",
    "allcaps",
    "alpha",
    "b",
    "br",
    "color",
    "cspace",
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
    "mark",
    "material",
    "mspace",
    "nobr",
    "noparse",
    "outline",
    "page",
    "pos",
    "quad",
    "rotate",
    "s",
    "shadow",
    "size",
    "smallcaps",
    "space",
    "sprite",
    "strikethrough",
    "style",
    "sub",
    "sup",
    "u",
    "uppercase",
    "url",
    "voffset",
    "width",
];

/// A name on one line, without what harms the window it is shown in.
pub fn safe_name(name: &str) -> Cow<'_, str> {
    let breaks = |character: char| character.is_control() || matches!(character, '\u{2028}' | '\u{2029}');
    if name.contains(breaks) { safe(&name.replace(breaks, " ")).into_owned().into() } else { safe(name) }
}

/// Is there anything in it that a reader would see?
pub fn shows_something(text: &str) -> bool {
    // Fillers and blanks that are letters or signs to Unicode, and empty to the eye.
    const BLANK: [char; 6] = ['\u{115f}', '\u{1160}', '\u{2800}', '\u{3164}', '\u{ffa0}', '\u{1d159}'];
    let unseen = |character: char| {
        character.is_whitespace()
            || character.is_control()
            || is_direction(character)
            || is_invisible(character)
            || is_combining_mark(character)
            || BLANK.contains(&character)
    };
    !text.chars().all(unseen)
}

/// The text without what harms the window it is shown in; the same text where there is nothing.
pub fn safe(text: &str) -> Cow<'_, str> {
    if text.chars().all(is_plain) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len());
    let mut kept = text.char_indices().filter(|(_, character)| !is_direction(*character)).peekable();
    let (mut marks, mut after_invisible) = (0, false);
    while let Some((at, character)) = kept.next() {
        let invisible = is_invisible(character);
        // One joins an emoji or parts letters of Persian; several hide something.
        let hides =
            invisible && (after_invisible || kept.peek().is_some_and(|(_, next)| is_invisible(*next)));
        after_invisible = invisible;
        if hides {
            continue;
        }
        marks = if is_combining_mark(character) { marks + 1 } else { 0 };
        match character {
            _ if marks > MARKS => {}
            '<' if opens_tag(&text[at..]) => shown.push('＜'),
            plain => shown.push(plain),
        }
    }
    if shown == text { Cow::Borrowed(text) } else { Cow::Owned(shown) }
}

/// Neither a mark nor invisible: Latin letters, and the signs of Chinese, Japanese and Korean.
const fn is_plain(character: char) -> bool {
    match character {
        '<' | '\u{ad}' => false,
        ..'\u{300}' | '\u{3100}'..='\u{9fff}' | '\u{ac00}'..='\u{d7a3}' => true,
        _ => false,
    }
}

fn is_direction(character: char) -> bool {
    matches!(character, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

fn is_invisible(character: char) -> bool {
    matches!(character, '\u{200b}'..='\u{200f}' | '\u{2060}'..='\u{2064}' | '\u{feff}' | '\u{ad}')
}

fn opens_tag(text: &str) -> bool {
    let end = (1..=TAG_BYTES.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(1);
    let inside = text[1..end].trim_start_matches('/');
    let name: String = inside.chars().take_while(|c| c.is_ascii_alphabetic() || *c == '-').collect();
    let behind = inside[name.len()..].chars().next();
    let known =
        TAGS.contains(&name.to_ascii_lowercase().as_str()) && matches!(behind, Some('>' | '=' | ' ' | '/'));
    known
        || (name.is_empty()
            && behind == Some('#')
            && inside[1..].starts_with(|c: char| c.is_ascii_hexdigit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_plain_is_never_changed() {
        for character in ('\0'..=char::MAX).filter(|character| is_plain(*character)) {
            let odd = is_direction(character) || is_invisible(character) || is_combining_mark(character);
            assert!(!odd && character != '<', "{character:?}");
        }
    }
}

//! Any text of up to 8 KiB: the steps that it takes the filter have a bound. What comes is repeated to that length, as short
//! pieces that are repeated have always been the dearest.
#![no_main]

use std::sync::LazyLock;

use guildhall_filter::{Budget, Filter, Wordlist};
use libfuzzer_sys::fuzz_target;

const BYTES: usize = 8 * 1024;

static FILTER: LazyLock<Filter> = LazyLock::new(|| {
    let letter = |n: u32, place: u32| char::from(b'a' + (n / 26_u32.pow(place) % 26) as u8);
    let word = |n: u32| format!("{}{}{}{}", letter(n, 0), letter(n, 1), letter(n, 2), letter(n * 7, 1));
    let words: Vec<String> = (0..10_000).map(word).collect();
    Filter::build(&Wordlist::parse(&[("words.txt".to_owned(), words.join("\n").into_bytes())]).unwrap()).unwrap()
});

fuzz_target!(|piece: &str| {
    if piece.is_empty() || piece.len() > BYTES {
        return;
    }
    let text = piece.repeat(BYTES / piece.len());
    let steps = FILTER.find(&text, &mut Budget::of(text.len())).steps();
    assert!(steps <= 60_000 + 16 * text.len() as u32, "{steps} steps for {piece:?}");
});

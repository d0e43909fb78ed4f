//! Any list and any text: the filter never panics, its spans can be trusted, and what is masked stays outside.
#![no_main]

use guildhall_filter::{Filter, Wordlist, display, fold_text};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (&str, &str, &str)| {
    let (words, allow, text) = input;
    let files = [("allow.txt".to_owned(), allow.as_bytes().to_vec()), ("words.txt".to_owned(), words.as_bytes().to_vec())];
    let Ok(list) = Wordlist::parse(&files) else { return };
    let Ok(filter) = Filter::build(&list) else { return };
    let verdict = filter.judge(text);
    for hit in &verdict.hits {
        assert!(hit.span.start < hit.span.end && text.get(hit.span.clone()).is_some(), "{hit:?}");
    }
    verdict.masked(text);
    assert_eq!(fold_text(&fold_text(text)), fold_text(text));
    let safe = display::safe(text).into_owned();
    assert_eq!(display::safe(&safe), safe);
    filter.judge_after(&[text, words], allow);
});

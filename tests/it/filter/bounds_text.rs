//! What one text may cost with any list: counted in steps, never in time.

use guildhall::filter::{Budget, Filter, Wordlist};
use proptest::prelude::*;

/// Signs that can be read in several ways, letters they stand for, and letters that are written in several ways.
const SIGNS: &str = "0123456789@$!|/\\+(<{[#^€£¥¢§†*&%_~=`)-}>]vaeiostlcnbmh .δλξπбджзи卂乃千爪几山乙一人ﷻﷺ㌖½\u{202e}\u{301}";

fn list() -> Filter {
    let words: String = (0..2_000)
        .map(|n: u32| {
            let letter = |place: u32| char::from(b'a' + (n / 26_u32.pow(place) % 26) as u8);
            format!("{}{}z{}\n", letter(0), letter(1), letter(2))
        })
        .collect();
    Filter::build(&Wordlist::parse(&[("words.txt".to_owned(), words.into_bytes())]).unwrap()).unwrap()
}

/// The most steps for a text of so many bytes: what is done for each byte, and the one budget.
fn most(bytes: usize) -> u32 {
    60_000 + 16 * bytes as u32
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    /// Whatever is repeated, and however long: the work has a bound, and what is found lies in the text.
    #[test]
    fn the_work_for_a_text_has_a_bound(
        piece in prop::collection::vec(any::<prop::sample::Index>(), 1..12),
        bytes in 100..8_192_usize,
    ) {
        let signs: Vec<char> = SIGNS.chars().collect();
        let piece: String = piece.iter().map(|sign| *sign.get(&signs)).collect();
        let text = piece.repeat(bytes / piece.len());
        let filter = list();
        let found = filter.find(&text, &mut Budget::of(text.len()));
        prop_assert!(found.steps() <= most(text.len()), "{} steps for {piece:?} to {} bytes", found.steps(), text.len());
        let verdict = filter.verdict(&found);
        for hit in &verdict.hits {
            prop_assert!(text.get(hit.span.clone()).is_some_and(|part| !part.is_empty()), "{hit:?}");
        }
        let mut ends = std::collections::HashMap::new();
        for hit in &verdict.hits {
            let end = ends.insert(hit.entry, hit.span.end).unwrap_or_default();
            prop_assert!(end <= hit.span.start, "finds of one entry overlap: {hit:?} in {piece:?}");
        }
    }

    /// All strings of a payload share one budget, however many there are.
    #[test]
    fn the_work_for_a_payload_has_a_bound(piece in "[|/+*&(<\\\\@$!a-e]{1,6}", strings in 2..200_usize) {
        let filter = list();
        let text = piece.repeat((8_192 / strings / piece.len()).max(1));
        let mut budget = Budget::of(text.len() * strings);
        let steps: u32 = (0..strings).map(|_| filter.find(&text, &mut budget).steps()).sum();
        prop_assert!(steps <= most(text.len() * strings), "{steps} steps for {strings} times {text:?}");
    }
}

fn filter_of(list: &str) -> Filter {
    Filter::build(&Wordlist::parse(&[("words.txt".to_owned(), list.as_bytes().to_vec())]).unwrap()).unwrap()
}

/// Lists of which very many entries meet at one place of a text: one word spelled in thousands of ways, entries that begin
/// each other, that sound alike, that are one and the same in many categories, wildcards that begin alike.
fn crowded() -> Vec<(&'static str, Filter)> {
    let mut spellings = String::new();
    for n in 0..6_561_usize {
        let run = |letter: &str, place: u32| letter.repeat(1 + n / 9_usize.pow(place) % 9);
        spellings += &format!("{}{}{}{}\n", run("d", 0), run("u", 1), run("m", 2), run("b", 3));
    }
    let nested: String = (2..=100).map(|n| format!("{}\n", "ha".repeat(n))).collect();
    let repeated: String = (2..=100).map(|n| format!("{}\n", "a".repeat(n))).collect();
    let alike: Vec<char> = "是事市式视试室示士世势".chars().collect();
    let mut sounds = String::new();
    for n in 0..1_331_usize {
        let sound = |place: u32| alike[n / 11_usize.pow(place) % 11];
        sounds += &format!("{}{}{} | homophone digits\n", sound(0), sound(1), sound(2));
    }
    let wild: String =
        (0..2_000).map(|n| format!("aa{}*z{n} | wildcard substring\n", "*a".repeat(60))).collect();
    let same: Vec<_> =
        (0..900).map(|n| (format!("c{n}.txt"), b"@match substring\naa\nab\nba\n".to_vec())).collect();
    let same = Filter::build(&Wordlist::parse(&same).unwrap()).unwrap();
    let lists = [
        ("spellings", spellings),
        ("nested", nested),
        ("repeated", repeated),
        ("sounds", sounds),
        ("wild", wild),
    ];
    lists.map(|(name, list)| (name, filter_of(&list))).into_iter().chain([("same", same)]).collect()
}

/// What is found at a place costs, and the text still has its bound: also where it is made of many pieces that are shown
/// backwards, each of which is searched, or of many strings.
#[test]
fn a_text_has_a_bound_with_any_list() {
    let pieces =
        ["d-u-m-b ", "h4", "h a ", "a", "a ", "a*", "ab", "试室是1", "\u{202e}a a", "\u{202e}试-室-是"];
    for (name, filter) in crowded() {
        for (piece, bytes) in pieces.iter().flat_map(|piece| [(piece, 800), (piece, 8_000)]) {
            let text = piece.repeat(bytes / piece.len());
            let most = 60_000 + 50 * bytes as u32;
            let steps = filter.find(&text, &mut Budget::of(text.len())).steps();
            assert!(steps < most, "{name}: {piece}, {bytes}: {steps} steps");
            let mut budget = Budget::of(text.len());
            let strings = (0..10).map(|_| piece.repeat(bytes / 10 / piece.len()));
            let steps: u32 = strings.map(|text| filter.find(&text, &mut budget).steps()).sum();
            assert!(steps < most, "{name}: {piece}, {bytes} in ten strings: {steps} steps");
        }
    }
}

/// What is said plainly is found, and what is allowed is allowed, whatever stands beside it.
#[test]
fn what_is_said_plainly_is_never_overlooked() {
    let nested: String = (2..=13).map(|n| format!("{}\n", "a".repeat(n))).collect();
    let wild: String = (0..3_000).map(|n| format!("aa*q{n} | wildcard substring\n")).collect();
    let laughter = "ah\nha\naha\nhah\nhaha\nahah\n".to_owned();
    for list in [nested, wild, laughter] {
        let files = [
            (
                "words.txt".to_owned(),
                format!("@match substring\n{list}badword\nmoth\nadd*me | wildcard").into_bytes(),
            ),
            ("allow.txt".to_owned(), b"behemoth".to_vec()),
        ];
        let filter = Filter::build(&Wordlist::parse(&files).unwrap()).unwrap();
        for beside in ["aa ", "aaaaaaaaaaaaa ", "a a a ", "a*a*", "ha"] {
            let beside = beside.repeat(8_000 / beside.len());
            let text = format!("{beside} badword and a behemoth, add us to me");
            let is_found = |entry| {
                let found = filter.find(&text, &mut Budget::of(text.len()));
                filter.verdict(&found).hits.iter().any(|hit| hit.entry == entry)
            };
            assert!(is_found("badword"), "behind {}", &beside[..12]);
            assert!(!is_found("moth"), "behind {}", &beside[..12]);
            let is_wild = list.contains("wildcard");
            assert!(is_wild || is_found("add*me"), "behind {}", &beside[..12]);
        }
    }
}

//! The filter by itself: what it hits, what it leaves alone, and that its spans can be trusted.

use guildhall::filter::{Action, Filter, Wordlist};
use proptest::prelude::*;

fn filter(words: &str, allow: &str) -> Filter {
    let files = [
        ("allow.txt".to_owned(), allow.as_bytes().to_vec()),
        ("words.txt".to_owned(), words.as_bytes().to_vec()),
    ];
    Filter::build(&Wordlist::parse(&files).unwrap()).unwrap()
}

fn masked(words: &str, allow: &str, text: &str) -> String {
    filter(words, allow).judge(text).masked(text).into_owned()
}

#[test]
fn masking_on_the_original() {
    for (words, text, expected) in [
        ("badword", "this is a badword here", "this is a ******* here"),
        ("badword", "bAdWoRd", "*******"),
        ("badword", "badwords are bad", "*******s are bad"),
        ("BadWord", "badword", "*******"),
        ("badword", "ｂａｄword", "*******"),
        ("gold4sale", "ｇｏｌｄ４ｓａｌｅ!", "*********!"),
        ("badword", "𝐛𝐚𝐝𝐰𝐨𝐫𝐝 x", "******* x"),
        ("badword", "BADWORD İ", "******* İ"),
        ("敏感词", "這有敏感词嗎", "這有***嗎"),
        ("bc\nabcd", "abcd", "****"),
        ("卖金币\n金币币", "卖金币币", "****"),
        ("as", "as pass assess has as", "** pass assess has **"),
        ("rapist", "therapist", "therapist"),
        ("cumber", "document cucumber cumbersome", "document cucumber ******some"),
        ("cum | substring", "document", "do***ent"),
        ("badword | word", "badwords badword", "badwords *******"),
        ("pre | prefix", "prefix compre", "***fix compre"),
        ("sb", "USB接口坏了 sb", "USB接口坏了 **"),
        ("hello", "good day", "good day"),
    ] {
        assert_eq!(masked(words, "", text), expected, "{words:?} in {text:?}");
    }
}

#[test]
fn an_allowed_phrase_wins_over_what_it_covers_and_no_more() {
    assert_eq!(masked("口交", "路口交通", "路口交通已恢复"), "路口交通已恢复");
    assert_eq!(masked("口交", "路口交通", "路口交通 口交"), "路口交通 **");
    assert_eq!(masked("甲乙丙", "乙丙丁", "甲乙丙丁"), "***丁", "an overlap is no cover");
}

#[test]
fn the_strongest_action_counts() {
    let filter = filter("@action review\nrefund\npassword | reject\nmoron | mask\n", "");
    let worst = |text| filter.judge(text).worst().map(|hit| hit.action);
    assert_eq!(worst("refund"), Some(Action::Review));
    assert_eq!(worst("refund moron"), Some(Action::Mask));
    assert_eq!(worst("moron password refund"), Some(Action::Reject));
    assert_eq!(worst("fine"), None);
    assert_eq!(filter.judge("refund moron").masked("refund moron"), "refund *****", "review masks nothing");
}

#[test]
fn faults_name_file_line_and_mend_all_together() {
    let files = [
        ("a.txt".to_owned(), b"fine\n@action shout\nx\nword | maybe\n".to_vec()),
        ("b.txt".to_owned(), b"fine\n\xff\n".to_vec()),
        ("cases.tsv".to_owned(), b"text\tperhaps\n".to_vec()),
    ];
    let faults = Wordlist::parse(&files).unwrap_err();
    let places: Vec<_> = faults.iter().map(|fault| fault.split(' ').next().unwrap()).collect();
    assert_eq!(places, ["a.txt:2:", "a.txt:3:", "a.txt:4:", "b.txt:2:", "cases.tsv:1:"]);
}

fn words() -> impl Strategy<Value = Vec<String>> {
    prop::collection::vec("[a-zA-Zä-üА-я一-龥Ａ-ｚ]{2,8}", 1..20)
}

proptest! {
    /// A listed word alone is hit, whole; and the folded word too, as case and width make no difference.
    #[test]
    fn a_listed_word_alone_is_hit(words in words(), at in any::<prop::sample::Index>()) {
        let filter = filter(&words.join("\n"), "");
        let word = at.get(&words);
        let verdict = filter.judge(word);
        prop_assert!(verdict.hits.iter().any(|hit| hit.span == (0..word.len())), "{word} in {words:?}");
        prop_assert!(verdict.masked(word).chars().all(|c| c == '*'));
    }

    /// Spans lie on character boundaries, and masking changes nothing outside them.
    #[test]
    fn spans_hold(words in words(), text in "(?:[a-zA-ZÄ-ü一-龥Ａ-ｚ ]|\\PC){0,60}", at in any::<prop::sample::Index>()) {
        let filter = filter(&words.join("\n"), "");
        let text = format!("{text}{}{text}", at.get(&words));
        let verdict = filter.judge(&text);
        let masked = verdict.masked(&text);
        let mut outside = String::new();
        let mut end = 0;
        for hit in &verdict.hits {
            prop_assert!(text.is_char_boundary(hit.span.start) && text.is_char_boundary(hit.span.end));
            prop_assert!(hit.span.start < hit.span.end && hit.span.end <= text.len());
            outside.push_str(&text[end.min(hit.span.start)..hit.span.start]);
            end = end.max(hit.span.end);
        }
        outside.push_str(&text[end..]);
        prop_assert_eq!(masked.replace('*', ""), outside.replace('*', ""));
    }

    /// An allowed phrase alone is never hit, whatever is listed.
    #[test]
    fn an_allowed_phrase_alone_passes(words in words(), more in words()) {
        let phrase = format!("{}{}", words[0], more[0]);
        let filter = filter(&words.join("\n"), &phrase);
        prop_assert_eq!(filter.judge(&phrase).masked(&phrase), phrase.as_str());
    }
}

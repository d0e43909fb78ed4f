//! How words are hidden, and what only looks like it: one table of each, made of placeholders.

use guildhall::filter::{Budget, Filter, Wordlist, display};
use proptest::prelude::*;

fn filter(words: &str) -> Filter {
    Filter::build(
        &Wordlist::parse(&[("words.txt".to_owned(), words.replace(';', "\n").into_bytes())]).unwrap(),
    )
    .unwrap()
}

fn masked(words: &str, text: &str) -> String {
    filter(words).judge(text).masked(text).into_owned()
}

/// What may stand beside a disguise, of 1,900 bytes: talk, and signs that can be read in many ways.
const BESIDE: [&str; 6] = ["good game all ", "一个人 ", ". ", "/\\", "m*&|(", "|\\|/\\/"];

/// As the last of a payload's strings, which share what may be spent on a send.
fn is_found_in_a_payload(filter: &Filter, beside: &str, text: &str) -> bool {
    let strings = [BESIDE[0].repeat(142), BESIDE[0].repeat(284), format!("{beside} {text}")];
    let mut budget = Budget::of(strings.iter().map(String::len).sum());
    let [.., last] = strings.each_ref().map(|string| filter.find(string, &mut budget));
    filter.verdict(&last).hits.iter().any(|hit| hit.span.end > beside.len())
}

/// Words, a text that hides them, and what others see of it; wherever in a long text it stands.
fn all_are_masked(rows: &[(&str, &str, &str)]) {
    for (words, text, expected) in rows {
        let filter = filter(words);
        assert_eq!(filter.judge(text).masked(text), *expected, "{words} in {text}");
        if text == expected {
            continue;
        }
        for beside in BESIDE {
            let beside = beside.repeat(1_900 / beside.len());
            let behind = format!("{beside} {text}");
            let found = filter.judge(&behind).hits.iter().any(|hit| hit.span.end > beside.len());
            assert!(found, "{words} in {text} behind {}", &beside[..12]);
            let before = format!("{text} {beside}");
            let found = filter.judge(&before).hits.iter().any(|hit| hit.span.start <= text.len());
            assert!(found, "{words} in {text} before {}", &beside[..12]);
            assert!(is_found_in_a_payload(&filter, &beside, text), "{words} in {text} in a payload");
        }
    }
}

/// Words, texts that hide them, and what others see of those.
const HIDDEN: &[(&str, &str, &str)] = &[
    // Other letters that look the same.
    ("dragon", "ⓓⓡⓐⓖⓞⓝ!", "******!"),
    ("dragon", "🅳🆁🅰🅶🅾🅽", "******"),
    // Two make a flag, which is one character to see.
    ("dragon", "🇩🇷🇦🇬🇴🇳", "***"),
    ("dragon", "ᵈʳᵃᵍᵒⁿ", "******"),
    ("ban", "ʙᴀɴ", "***"),
    ("dragon", "drаgоn", "******"),
    ("dragon", "ԁragon", "******"),
    // Signs that look like a letter, right beside it; and marks that only make another syllable of a kana.
    ("dragon", "¡dragon!", "¡******!"),
    ("dragon", "¢dragon", "¢******"),
    ("dragon", "×dragon×", "×******×"),
    ("dragon", "‖d.r.a.g.o.n‖", "‖***********‖"),
    ("dragon", "₩dragon", "₩******"),
    ("dragon", "dragonﾞ", "******"),
    ("敏感词", "敏感词\u{3099}", "***"),
    ("敏感词", "敏゙感゚词", "***"),
    ("dragon", "drágöñ", "******"),
    ("word", "WοRD", "****"),
    ("beta", "βeta", "****"),
    ("金币", "⾦币", "**"),
    ("卖金币", "賣金幣", "***"),
    ("敏感詞", "敏感词", "***"),
    ("バカ", "ﾊﾞｶ", "**"),
    ("12345", "壹贰叁肆伍", "*****"),
    ("12345", "①②③④⑤", "*****"),
    // Marks and invisible characters, which go with their letters.
    ("dragon", "d\u{337}r\u{337}a\u{337}g\u{337}o\u{337}n\u{337}.", "******."),
    ("dragon", "d\u{353}\u{33d}ragon", "******"),
    ("dragon", "dra\u{200b}gon", "******"),
    ("dragon", "dra\u{200d}\u{2060}gon", "******"),
    ("敏感词", "敏感词\u{fe00}!", "***!"),
    // Separators.
    ("dragon", "d.r.a.g.o.n", "***********"),
    ("dragon", "a d r a g o n", "a ***********"),
    ("dragon", "dra*gon", "*******"),
    ("dragon", "d-r_a~g-o*n", "***********"),
    ("卖金币", "卖-金_币", "*****"),
    ("敏感词", "敏😀感😀词", "*****"),
    ("敏感词", "敏 感 词", "*****"),
    ("敏感词", "这敏.感。词", "这*****"),
    ("buy gold", "buy-gold", "********"),
    ("buy gold", "buy   gold", "**********"),
    ("buy gold", "buygold", "*******"),
    // Repeats and leet.
    ("dragon", "draaaagooon", "***********"),
    ("dragon", "ddrraaggoonn", "************"),
    ("嘻嘻哈哈", "嘻嘻哈哈", "****"),
    ("dragon", "dr4g0n", "******"),
    ("dragon", "dr@g()n", "*******"),
    ("hydras", "hydr4$", "******"),
    ("gold4sale", "g0ld4s4le", "*********"),
    // Backwards on the screen.
    ("dragon", "\u{202e}nogard", "\u{202e}******"),
];

#[test]
fn hidden_words_are_found_whole() {
    all_are_masked(HIDDEN);
}

/// The same by signs that can be read in several ways.
const BY_SIGNS: &[(&str, &str, &str)] = &[
    // Signs that are a letter in one place and a separator in another.
    ("dragon", "d+r/a|g*o(n", "***********"),
    ("dragon", "d|r-a+g_o~n", "***********"),
    ("dragon", "d / r + a ( g | o * n", "*********************"),
    ("titan", "+i+a|n", "******"),
    ("titan", "+/i/+/a/n", "*********"),
    ("bolt", "bo|+", "****"),
    ("bolt", "bo1t", "****"),
    ("lizard", "|i2ard", "******"),
    ("goblin", "6o8l1n", "******"),
    // A sign in place of a letter, where enough others are left.
    ("dragon", "dr*gon", "******"),
    ("dragon", "a dra#on!", "a ******!"),
    ("dragon", "dr@g*n", "******"),
    ("badword", "b*dword", "*******"),
    ("badword", "6@dword", "*******"),
    ("badword", "badvvord", "********"),
    // Letters drawn with several signs, or with two of another.
    ("wizard", "vvizard", "*******"),
    ("wizard", "\\/\\/izard", "*********"),
    ("dragon", "|)rag()|\\|", "**********"),
    ("hydra", "|-|ydr/\\", "********"),
    // Letters of other scripts among Latin ones.
    ("dragon", "δragon", "******"),
    ("dragon", "dгаgоп", "******"),
    ("wand", "ωand", "****"),
    ("badword", "乃卂ᗪ山ㄖ尺ᗪ", "*******"),
    // Other alphabets are hidden the same ways.
    ("дракон", "д р а к о н", "***********"),
    ("звезда", "з.в.е.з.д.а", "***********"),
    ("звезда", "з в е з д а", "***********"),
    ("звезда", "зве3да", "******"),
    ("звезда", "звеееездаа", "звеееездаа"),
    ("звезда", "звееезда", "********"),
    ("δρακος", "δ ρ α κ ο ς", "***********"),
    ("תנין", "ת נ י ן", "*******"),
    ("تنين", "ت ن ي ن", "*******"),
    ("تنين", "تـنـين", "****"),
    ("تنين", "تَنِّين", "****"),
    ("용가리", "용ㅋ가ㅏ리", "*****"),
    ("용가리", "용-가 리", "*****"),
    ("용가리", "용 가 리", "*****"),
    ("ㅅㅂ", "ㅅㅂ", "**"),
];

#[test]
fn words_hidden_by_signs_that_can_be_read_in_several_ways() {
    all_are_masked(BY_SIGNS);
}

/// What stands in a long text of a game's chat, said by no flood.
const TALK: &str = "anyone up for the castle raid tonight? we need 2 healers and a tank, no noobs pls :) i'm on at 8pm, \
    meet at the gate... bring 10 potions (the big ones!) and don't forget the key - last time we lost it & had to start \
    over. lol @ that boss fight; 3/5 of us died in the first minute! who's got the map? i can trade my +7 sword for \
    100 gold or a good shield. what? no way, it's worth 150! ok, 120 then. deal. see you there, gl hf ;-) ";

const ANOTHER_TALK: &str = "хто ввечері йде в рейд на замок? треба 2 хіли й tank, без нубів pls :) я онлайн о 20:00, зустріч \
    біля воріт... візьміть 10 зілля (великих!) і не забудьте key - минулого разу загубили його & почали спочатку. lol @ той \
    бос; 3/5 наших полягли за хвилину! в кого мапа? міняю меч +7 на 100 gold або щит. що? ні, він вартий 150! ну добре, 120. ";

/// A hundred thousand entries: what is spent on one disguise is spent among them all.
fn many() -> String {
    let mut random = 7_u64;
    let mut below = |most: usize| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (random >> 33) as usize % most
    };
    let syllables: Vec<String> = "b c d f g h k l m n p r s t v w st tr ch br cl"
        .split(' ')
        .flat_map(|begin| {
            ["a", "e", "i", "o", "u", "an", "er", "is", "ol"].map(|end| format!("{begin}{end}"))
        })
        .collect();
    let mut words = std::collections::BTreeSet::new();
    while words.len() < 50_000 {
        let count = 2 + below(3);
        words.insert((0..count).map(|_| syllables[below(syllables.len())].as_str()).collect::<String>());
    }
    while words.len() < 100_000 {
        let count = 2 + below(3);
        let han = (0..count).map(|_| char::from_u32(0x4e00 + below(1_500) as u32).unwrap());
        words.insert(han.collect());
    }
    words
        .into_iter()
        .chain(HIDDEN.iter().chain(BY_SIGNS).map(|row| row.0.to_owned()))
        .collect::<Vec<_>>()
        .join("\n")
}

/// What one disguise may take of a send's steps, for it to be found beside anything.
const CHEAP: u32 = 5_000;

#[test]
fn words_are_found_among_a_hundred_thousand() {
    let filter = filter(&many());
    let (mut missed, mut dear) = (Vec::new(), 0);
    for (words, text, _) in HIDDEN.iter().chain(BY_SIGNS).filter(|row| row.1 != row.2) {
        let is_hit = |text: &str, from: usize| {
            let verdict = filter.judge(text);
            verdict
                .hits
                .iter()
                .any(|hit| hit.span.end > from && words.split(';').any(|word| word == hit.entry))
        };
        assert!(is_hit(text, 0), "{words} in {text}");
        // One of nothing but signs with several readings has so many ways that others of its kind beside it can hide it.
        let is_dear = filter.find(text, &mut Budget::of(text.len())).steps() > CHEAP;
        dear += u32::from(is_dear);
        let signs = if is_dear { &[][..] } else { &["| ", "b@ ", "/\\", "m*&|(", "|\\|/\\/"] };
        let talk = [TALK, "the cat sat! ", "good game all ", "一个人 ", ". "];
        let long_talk = [(&TALK, 7_000), (&ANOTHER_TALK, 7_000)];
        let all = talk.iter().chain(signs).map(|beside| (beside, 1_900)).chain(long_talk);
        for (beside, bytes) in all {
            let long: String = beside.chars().cycle().take(bytes).collect();
            let long = &long[..long.floor_char_boundary(bytes)];
            if !is_hit(&format!("{long} {text}"), long.len()) {
                missed
                    .push(format!("{words} in {text} behind {}", beside.chars().take(9).collect::<String>()));
            }
            if !is_hit(&format!("{text} {long}"), 0) {
                missed
                    .push(format!("{words} in {text} before {}", beside.chars().take(9).collect::<String>()));
            }
        }
    }
    assert_eq!(missed, [""; 0], "{}", missed.len());
    assert!(dear <= 1, "{dear}");
}

/// Signs behind a word with one in a letter's place: they can be read as its last letter, drawn out, in very many ways.
#[test]
fn a_few_signs_behind_a_disguise_hide_nothing() {
    for (words, hidden) in [("pimmel", "pi*mel"), ("numskull", "n|_|mskull"), ("dragonn", "dr*gonn")] {
        let filter = filter(words);
        for sign in ["|", "!", "@", "$", "/\\", "<", "()", "|||lll"] {
            for times in [3, 7, 8, 11, 150] {
                let text = format!("{hidden} {}", sign.repeat(times));
                let found = filter.judge(&text).hits.iter().any(|hit| hit.span.start == 0);
                assert!(found, "{text}");
            }
        }
    }
}

#[test]
fn innocent_neighbours_pass() {
    for (words, text) in [
        ("shit", "push it"),
        ("penis", "the pen is mightier"),
        ("butt", "but it works"),
        ("god", "good"),
        ("as", "45 apples"),
        ("ass", "455"),
        ("00", "oo"),
        ("12345", "i2eas"),
        ("ass", "pass the compass, assess the glass"),
        ("rape", "grapes and grape juice"),
        ("rapist", "therapist"),
        ("sb", "USB接口"),
        ("666", "6"),
        ("敏感词", "敏x感x词"),
        ("敏感词", "词感敏"),
        ("海自", "上海，自来水"),
        ("海自", "上海 自来水"),
        ("dragon", "drag on"),
        ("dragon", "drag. on"),
        ("dragon", "xd.r.a.g.o.n"),
        ("hell", "he'll be there"),
        ("cant", "I can't"),
        ("dragon", "dra𐐸on"),
        ("闽赣瓷", "敏感词"),
        ("мир", "миг"),
        // A sign in place of a letter says too little about a short word, and parts two others in a sentence.
        ("shit", "sh*t"),
        ("dragon", "dr**on"),
        ("dragon", "dra.on"),
        ("dragon", "dr-agony"),
        ("clit", "(lit up)"),
        ("hells", "he/she"),
        ("tab", "a+b"),
        ("lol", "1/0/1"),
        // Words of their own in their own script.
        ("panda", "рапдаr"),
        ("puta", "ok рита, gg"),
        ("porn", "ok роял gg"),
        ("dub", "дуб"),
        ("tut", "тут и там"),
        ("now", "山几"),
        ("マンコ", "マンゴー"),
        ("ハカ", "バカ"),
        ("ビッチ", "ピッチ"),
        // Two short words run together begin many others.
        ("no wa", "nowadays"),
        ("녕하", "안녕ㅋㅋ하하"),
    ] {
        assert_eq!(masked(words, text), text, "{words} in {text}");
    }
}

#[test]
fn what_must_be_asked_for() {
    for (entry, plain, asked, text) in [
        ("敏感词", "", "pinyin", "mingan ci"),
        ("敏感词", "", "pinyin", "mǐn gǎn cí"),
        ("加微信", "", "homophone", "加薇芯"),
        ("说话", "", "split", "言兑话"),
        ("敏感词", "", "reversed", "词感敏"),
        ("敏感词", "", "digits", "敏1感2词"),
        ("加*微信", "", "wildcard", "加我的微信"),
        ("dragon", "", "substring", "snapdragons"),
        ("dragons", "prefix", "word", "dragons"),
    ] {
        let found = |options: &str| !filter(&format!("{entry} | {options}")).judge(text).hits.is_empty();
        assert!(found(asked), "{entry} | {asked} in {text}");
        assert_eq!(found(plain), plain == "prefix", "{entry} in {text} without being asked");
    }
    assert_eq!(masked("加*微信 | wildcard", "快加我微信吧"), "快****吧");
    assert_eq!(
        masked("加*微信 | wildcard", "加一二三四五六七八九微信"),
        "加一二三四五六七八九微信",
        "not that far"
    );
}

#[test]
fn several_messages_that_spell_a_word() {
    let filter = filter("dragon;敏感词");
    let hits = |before: &[&str], text: &str| filter.judge_after(before, text).masked(text).into_owned();
    assert_eq!(hits(&["dra"], "gon"), "***");
    assert_eq!(hits(&["hello", "敏", "感"], "词"), "*");
    assert_eq!(hits(&["dra"], "gon is here"), "gon is here", "only whole messages");
    assert_eq!(hits(&["a dra"], "gon"), "gon");
}

#[test]
fn what_breaks_a_chat_window() {
    for (text, expected) in [
        ("hello <3 you", "hello <3 you"),
        ("<size=100>BIG</size>", "＜size=100>BIG＜/size>"),
        ("<sprite name=\"x\">", "＜sprite name=\"x\">"),
        ("<#ff0000>red", "＜#ff0000>red"),
        ("a < b > c", "a < b > c"),
        ("x\u{202e}abc\u{202c}y", "xabcy"),
        ("👨\u{200d}👩\u{200d}👧", "👨\u{200d}👩\u{200d}👧"),
        ("a\u{200b}\u{200b}\u{200b}b", "ab"),
        ("می\u{200c}خواهم", "می\u{200c}خواهم"),
        ("Việt Nam", "Việt Nam"),
        ("z\u{300}\u{301}\u{302}\u{303}\u{304}\u{305}", "z\u{300}\u{301}\u{302}"),
    ] {
        assert_eq!(display::safe(text), expected);
    }
}

proptest! {
    /// Folding twice is folding once.
    #[test]
    fn folding_is_idempotent(text in "(?:\\PC|\\p{M}){0,30}") {
        let once = guildhall::filter::fold_text(&text);
        prop_assert_eq!(guildhall::filter::fold_text(&once), once.clone());
    }

    /// Separators between all letters hide nothing, whatever the separator.
    #[test]
    fn separated_letters_are_found(word in "[b-hj-km-z]{3,9}", separator in "[*_~.-]|😀| |★") {
        let filter = filter(&word);
        let letters: Vec<String> = word.chars().map(String::from).collect();
        let text = letters.join(&separator);
        prop_assert!(filter.judge(&text).hits.iter().any(|hit| hit.span == (0..text.len())), "{text}");
    }

    /// Making things safe twice is once, and what is safe keeps its letters.
    #[test]
    fn safe_is_safe(text in "(?:\\PC|\\p{Cf}|\\p{M}|<b>){0,30}") {
        let once = display::safe(&text).into_owned();
        prop_assert_eq!(display::safe(&once), once.as_str());
    }
}

//! The lists that come with the program: how much they hold, and that innocent talk of games passes them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use guildhall::filter::{Filter, Wordlist};
use guildhall::wordlist::read_folder;

/// Lines of talk that are made.
const TALK: usize = 20_000;

fn lists() -> Wordlist {
    Wordlist::parse(&read_folder(Path::new("wordlists")).unwrap()).unwrap()
}

/// Entries by language, as the files' sections say.
fn by_language() -> BTreeMap<String, usize> {
    let mut languages = BTreeMap::new();
    for (name, bytes) in read_folder(Path::new("wordlists")).unwrap() {
        let mut language = "any".to_owned();
        for line in String::from_utf8(bytes)
            .unwrap()
            .lines()
            .filter(|_| name.ends_with(".txt") && name != "allow.txt")
        {
            match line.strip_prefix("@lang ") {
                Some(named) => named.clone_into(&mut language),
                None if line.is_empty() || line.starts_with(['#', '@']) => {}
                None => *languages.entry(language.clone()).or_default() += 1,
            }
        }
    }
    languages
}

#[test]
fn they_are_worth_starting_with() {
    let languages = by_language();
    for (language, wanted) in [("en", 400), ("zh", 400)].into_iter().chain(
        ["ja", "ko", "es", "pt", "de", "fr", "ru", "tr", "vi", "th", "id", "ar"]
            .map(|language| (language, 60)),
    ) {
        assert!(languages[language] >= wanted, "{language}: {languages:?}");
    }
    let list = lists();
    let categories: BTreeSet<&str> = list.entries.iter().map(|entry| &*entry.category).collect();
    let expected = ["contact", "fraud", "hate", "insults", "self-harm", "sexual", "threats"];
    assert!(expected.iter().all(|category| categories.contains(category)), "{categories:?}");
    assert!(fs::read_to_string("wordlists/politics.txt").unwrap().lines().all(|line| line.starts_with('#')));
    let filter = Filter::build(&list).unwrap();
    for category in expected {
        let hits = |text: &str| filter.judge(text).hits.iter().any(|hit| hit.category == category);
        assert!(list.cases.iter().any(|case| hits(&case.text)), "{category} has examples in cases.tsv");
    }
}

/// The checked-in corpus: names, places, items, numbers, laughter, and the seams of innocent words.
#[test]
fn the_innocent_corpus_passes_whole() {
    let corpus = fs::read_to_string("src/wordlist/clean.txt").unwrap();
    let lines: BTreeSet<&str> = corpus.lines().filter(|line| !line.starts_with('#')).collect();
    assert!(lines.len() >= 5_000, "{}", lines.len());
    let filter = Filter::build(&lists()).unwrap();
    let hit: Vec<_> = lines.iter().filter(|line| !filter.judge(line).hits.is_empty()).collect();
    assert!(hit.is_empty(), "{hit:?}");
    // A sign beside it makes no disguise of a word that has none.
    for (before, behind) in [("", " 1-0"), ("", " (x)"), ("gg: ", " +3")] {
        let beside = lines.iter().map(|line| format!("{before}{line}{behind}"));
        let hit: Vec<_> = beside.filter(|line| !filter.judge(line).hits.is_empty()).collect();
        assert!(hit.is_empty(), "{hit:?}");
    }
}

/// Talk that is put together from parts: one line in five hundred may be hit.
#[test]
fn twenty_thousand_lines_of_talk_pass() {
    let filter = Filter::build(&lists()).unwrap();
    let mut talk = Talk(1);
    let lines: Vec<String> = (0..TALK).map(|_| talk.line()).collect();
    let distinct = lines.iter().collect::<BTreeSet<_>>().len();
    assert!(distinct > TALK / 2, "{distinct}");
    let hit: Vec<_> = lines.iter().filter(|line| !filter.judge(line).hits.is_empty()).collect();
    println!("{} of {TALK} lines are hit", hit.len());
    assert!(hit.len() * 500 <= TALK, "{} lines, such as {:?}", hit.len(), &hit[..5]);
}

/// Lines of game talk, English and Chinese, always the same ones.
struct Talk(u64);

const ENGLISH: &[&[&str]] = &[
    &["hey", "ok", "guys", "sorry", "well", "team", "lol", "wait", "so", "btw", "no worries", "hmm"],
    &[
        "can someone",
        "we should",
        "I will",
        "let us",
        "please",
        "you can",
        "they",
        "I just",
        "nobody could",
        "do we",
    ],
    &[
        "kill", "heal", "pull", "stun", "skip", "tank", "farm", "kite", "push", "defend", "scout", "bomb",
        "shoot", "trade",
    ],
    &[
        "the boss",
        "that assassin",
        "the second wave",
        "both towers",
        "the left wing",
        "a classic golem",
        "the titan",
        "his pet",
        "the dock",
        "the cockpit",
        "every hex",
        "the analyst",
        "the grass mobs",
        "the shell",
        "her castle",
        "the bass singer",
    ],
    &[
        "first",
        "after the reset",
        "before 9:30",
        "with 3 healers",
        "at 120,48",
        "on my mark",
        "in v2.13.4",
        "for 25k gold",
        "next to the inn",
        "when it is under 20%",
        "from behind",
        "with a grappling hook",
        "as a group",
        "without dying",
        "near the bridge",
    ],
    &[
        "",
        "!",
        "?",
        ", thanks",
        ", gg",
        ", good luck",
        " :)",
        "...",
        ", brb",
        ", need water",
        " xD",
        ", my cat is hungry",
    ],
];

const CHINESE: &[&[&str]] = &[
    &["大家", "队长", "兄弟们", "那个", "请问", "等等", "好的", "今天", "刚才", "昨天晚上", "现在", "下周"],
    &["先", "一起", "帮我", "别", "谁来", "我去", "可以", "千万不要", "记得", "准备", "继续", "重新"],
    &[
        "打", "守", "清理", "探索", "攻击", "放弃", "寻找", "占领", "绕过", "强化", "分解", "交易", "领取",
        "交给",
    ],
    &[
        "首领",
        "左边的塔",
        "第二波小怪",
        "副本门口",
        "女性角色",
        "装备",
        "任务道具",
        "公会仓库",
        "金币和木材",
        "敌人的法师",
        "新地图",
        "暴击属性",
        "活动奖励",
        "世界频道",
        "古代遗迹",
        "国战据点",
        "宠物和坐骑",
        "商城礼盒",
    ],
    &[
        "再说",
        "就行",
        "然后回城",
        "三分钟后开始",
        "不然会死",
        "需要两个治疗",
        "等级不够",
        "坐标128,64",
        "九点半集合",
        "版本1.20.3才有",
        "掉率真低",
        "别走散",
        "我有点卡",
        "记得加血",
        "伤害很高",
    ],
    &[
        "",
        "！",
        "？",
        "，谢谢",
        "，辛苦了",
        "哈哈哈",
        "，加油",
        "……",
        "，等我一下",
        "～",
        "，收到请回复",
        "233",
    ],
];

impl Talk {
    fn line(&mut self) -> String {
        let (parts, between) = if self.next(2) == 0 { (ENGLISH, " ") } else { (CHINESE, "") };
        let (last, front) = parts.split_last().unwrap();
        let front: Vec<&str> = front.iter().map(|part| part[self.next(part.len())]).collect();
        front.join(between) + last[self.next(last.len())]
    }

    fn next(&mut self, below: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % below
    }
}

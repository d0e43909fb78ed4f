//! Forms of an entry that planners ask for one by one, because each also hits innocent text: how it sounds, how it is
//! written backwards, and how its characters come apart.

use std::collections::HashMap;
use std::sync::LazyLock;

use pinyin::ToPinyin;

/// Syllables are numbered from here, in a plane of Unicode that is for private use.
pub(super) const FIRST_SYLLABLE: char = '\u{f0000}';

/// Spellings of one entry that characters with several readings make, at most.
const SPELLINGS: usize = 8;

static SYLLABLES: LazyLock<HashMap<&'static str, char>> = LazyLock::new(|| {
    let mut syllables = HashMap::new();
    for character in '\u{4e00}'..='\u{9fff}' {
        if let Some(syllable) = character.to_pinyin() {
            let next = u32::from(FIRST_SYLLABLE) + syllables.len() as u32;
            syllables
                .entry(syllable.plain())
                .or_insert_with(|| char::from_u32(next).unwrap_or(FIRST_SYLLABLE));
        }
    }
    syllables
});

/// The syllable a Han character sounds like, as a private character; anything else is itself.
pub(super) fn sound(character: char) -> char {
    character.to_pinyin().and_then(|syllable| SYLLABLES.get(syllable.plain()).copied()).unwrap_or(character)
}

/// An entry as it is typed without tones; none where it holds anything but Han characters.
pub(super) fn spelled(folded: &str) -> Option<String> {
    folded.chars().map(|character| character.to_pinyin().map(|syllable| syllable.plain())).collect()
}

/// An entry backwards.
pub(super) fn reversed(folded: &str) -> String {
    folded.chars().rev().collect()
}

/// An entry with characters taken apart: each way to do so, some of them.
pub(super) fn split(folded: &str) -> Vec<String> {
    let mut spellings = vec![String::new()];
    for character in folded.chars() {
        let parts = PARTS.iter().find(|(whole, _)| *whole == character).map(|(_, parts)| *parts);
        let mut more = Vec::new();
        for spelling in &mut spellings {
            if let Some(parts) = parts {
                more.push(format!("{spelling}{parts}"));
            }
            spelling.push(character);
        }
        spellings.extend(more);
        spellings.truncate(SPELLINGS);
    }
    spellings.retain(|spelling| spelling != folded);
    spellings
}

/// Characters that are commonly written as their halves side by side. Ours, from how the characters are built.
const PARTS: &[(char, &str)] = &[
    ('说', "言兑"),
    ('话', "言舌"),
    ('证', "言正"),
    ('诈', "言乍"),
    ('骗', "马扁"),
    ('妈', "女马"),
    ('她', "女也"),
    ('好', "女子"),
    ('奶', "女乃"),
    ('奸', "女干"),
    ('妓', "女支"),
    ('娼', "女昌"),
    ('婊', "女表"),
    ('嫖', "女票"),
    ('枪', "木仓"),
    ('林', "木木"),
    ('杀', "乂木"),
    ('死', "歹匕"),
    ('毒', "主母"),
    ('赌', "贝者"),
    ('贱', "贝戋"),
    ('购', "贝勾"),
    ('钱', "金戋"),
    ('银', "金艮"),
    ('铁', "金失"),
    ('钓', "金勺"),
    ('锁', "金肖"),
    ('微', "彳山"),
    ('信', "亻言"),
    ('他', "亻也"),
    ('你', "亻尔"),
    ('们', "亻门"),
    ('代', "亻弋"),
    ('付', "亻寸"),
    ('件', "亻牛"),
    ('做', "亻故"),
    ('傻', "亻俊"),
    ('操', "扌品木"),
    ('打', "扌丁"),
    ('加', "力口"),
    ('功', "工力"),
    ('动', "云力"),
    ('助', "且力"),
    ('法', "氵去"),
    ('江', "氵工"),
    ('泽', "氵又"),
    ('淫', "氵爪"),
    ('湿', "氵显"),
    ('明', "日月"),
    ('昌', "日日"),
    ('朋', "月月"),
    ('脱', "月兑"),
    ('胡', "古月"),
    ('期', "其月"),
    ('强', "弓虽"),
    ('张', "弓长"),
    ('引', "弓丨"),
    ('炸', "火乍"),
    ('炮', "火包"),
    ('烧', "火尧"),
    ('性', "忄生"),
    ('情', "忄青"),
    ('狗', "犭句"),
    ('猪', "犭者"),
    ('猫', "犭苗"),
    ('独', "犭虫"),
    ('站', "立占"),
    ('群', "君羊"),
    ('鸡', "又鸟"),
    ('鸭', "甲鸟"),
    ('难', "又隹"),
    ('欢', "又欠"),
    ('对', "又寸"),
    ('戏', "又戈"),
    ('驴', "马户"),
    ('驻', "马主"),
    ('吃', "口乞"),
    ('叫', "口丩"),
    ('号', "口丂"),
    ('喝', "口曷"),
    ('吸', "口及"),
    ('呼', "口乎"),
    ('哈', "口合"),
    ('晚', "日免"),
    ('昨', "日乍"),
    ('秘', "禾必"),
    ('私', "禾厶"),
    ('种', "禾中"),
    ('和', "禾口"),
    ('利', "禾刂"),
    ('刷', "尸刂"),
    ('到', "至刂"),
    ('刻', "亥刂"),
    ('则', "贝刂"),
    ('别', "另刂"),
    ('战', "占戈"),
    ('攻', "工攵"),
    ('政', "正攵"),
    ('教', "孝攵"),
    ('故', "古攵"),
    ('放', "方攵"),
    ('警', "敬言"),
    ('党', "尚儿"),
    ('黄', "共由"),
    ('球', "王求"),
    ('玩', "王元"),
    ('理', "王里"),
    ('现', "王见"),
    ('班', "王王"),
    ('粉', "米分"),
    ('糖', "米唐"),
    ('红', "纟工"),
    ('给', "纟合"),
    ('约', "纟勺"),
    ('级', "纟及"),
    ('线', "纟戋"),
    ('绝', "纟色"),
    ('联', "耳关"),
    ('职', "耳只"),
    ('取', "耳又"),
    ('躲', "身朵"),
    ('射', "身寸"),
    ('轮', "车仑"),
    ('转', "车专"),
    ('软', "车欠"),
    ('轻', "车圣"),
    ('邪', "牙阝"),
    ('部', "音阝"),
    ('阴', "阝月"),
    ('阳', "阝日"),
    ('队', "阝人"),
    ('院', "阝完"),
    ('附', "阝付"),
    ('除', "阝余"),
    ('项', "工页"),
    ('顶', "丁页"),
    ('预', "予页"),
    ('领', "令页"),
    ('额', "客页"),
    ('饭', "饣反"),
    ('饿', "饣我"),
    ('馆', "饣官"),
    ('鲜', "鱼羊"),
    ('默', "黑犬"),
];

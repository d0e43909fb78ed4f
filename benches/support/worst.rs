//! The texts that take the filter the most steps: a search that finds them, and those that it found.

use std::time::{Duration, Instant};

use guildhall::filter::{Budget, Filter, Wordlist};

/// Signs with several readings, letters they are read as, and the mark behind which text is shown backwards.
const SIGNS: &str = "0123456789@$!|/\\+(<{[#^€£¥¢§†*&%_~=`)-}>]vaeiostlcnbmh .δλξπбджзи卂乃千爪几山乙一我人不在了的ﷻ㌖½\u{202e}";
/// What is repeated has so many signs at most.
const PIECE: usize = 120;
/// A payload's bytes, and a text's.
pub(crate) const PAYLOAD: usize = 8_180;
pub(crate) const TEXT: usize = 2_000;
/// Steps up that must fail before a climb ends.
const TRIES: u32 = 60;
/// What it found, from several beginnings: repeated to a text's length, the dearest there are.
pub(crate) const WORST: [&str; 10] = [
    "_3兗县*trubristu",
    "bollol/",
    "mola/",
    "locis僿儯naner_伓伋\u{202e}rehoh{volbol)p乃",
    "\\i*r[o[l[i[w[an\u{202e}[i勧卐刟偭侠",
    "#*仺刡冷bisnercle \u{202e}follol义勫即勚几/l",
    "{danlol刻佷厷^c&ok<a<n<uvis<fiscer~@so~bansisfa傺倧侔倛n~alan佴主\u{202e}",
    "ib一亭\u{202e}v_ol_i*w~o~l~c~厎倘冺倎micle~l~o(l]i~s~an.on_",
    "7|$",
    "ti$",
];

/// So many entries, half of them made of syllables and half of Chinese characters.
pub(crate) fn words(count: usize) -> String {
    let mut random = Random(7);
    let mut words = std::collections::BTreeSet::new();
    let syllables: Vec<String> = "b c d f g h k l m n p r s t v w st tr ch br cl"
        .split(' ')
        .flat_map(|begin| {
            ["a", "e", "i", "o", "u", "an", "er", "is", "ol"].map(|end| format!("{begin}{end}"))
        })
        .collect();
    while words.len() < count / 2 {
        let count = 2 + random.below(3);
        words.insert(
            (0..count).map(|_| syllables[random.below(syllables.len())].as_str()).collect::<String>(),
        );
    }
    while words.len() < count {
        let han = |random: &mut Random| char::from_u32(0x4e00 + random.below(1_500) as u32).unwrap();
        let count = 2 + random.below(3);
        words.insert((0..count).map(|_| han(&mut random)).collect());
    }
    words.into_iter().collect::<Vec<_>>().join("\n")
}

/// Climbs to the texts that take the most steps; prints and returns the ten worst, as what is repeated in them.
pub(crate) fn search(words: &str, seconds: u64, seed: u64) -> Vec<String> {
    let list = Wordlist::parse(&[("words.txt".to_owned(), words.as_bytes().to_vec())]).unwrap();
    let filter = Filter::build(&list).unwrap();
    let signs: Vec<char> = SIGNS.chars().collect();
    let entries: Vec<&str> = words.lines().collect();
    let steps = |piece: &[char]| {
        let text = repeated(piece, PAYLOAD);
        filter.find(&text, &mut Budget::of(text.len())).steps()
    };
    let mut random = Random(seed);
    let (begun, time) = (Instant::now(), Duration::from_secs(seconds));
    let mut found: Vec<(u32, Vec<char>)> = Vec::new();
    while begun.elapsed() < time {
        let length = 1 + random.below(12);
        let mut piece: Vec<char> = (0..length).map(|_| signs[random.below(signs.len())]).collect();
        let (mut most, mut failed) = (steps(&piece), 0);
        while failed < TRIES {
            let other = changed(&piece, (&signs, &entries), &mut random);
            let taken = steps(&other);
            failed += 1;
            if taken > most {
                (most, piece, failed) = (taken, other, 0);
            }
        }
        found.push((most, piece));
    }
    found.sort();
    found.dedup();
    println!(
        "The ten worst of {} texts that {} s of climbing led to, {PAYLOAD} bytes each:",
        found.len(),
        seconds
    );
    println!("{:>9} {:>9}  repeated", "steps", "ms");
    let worst: Vec<String> = found.iter().rev().take(10).map(|(_, piece)| piece.iter().collect()).collect();
    for ((steps, piece), name) in found.iter().rev().zip(&worst) {
        let text = repeated(piece, PAYLOAD);
        let took = (0..5).map(|_| {
            let begun = Instant::now();
            std::hint::black_box(filter.find(&text, &mut Budget::of(text.len())));
            begun.elapsed()
        });
        println!("{steps:>9} {:>9.2}  {name:?}", took.min().unwrap().as_secs_f64() * 1e3);
    }
    worst
}

/// Another sign, one more or less, two in each other's place, or an entry, which may have a sign between its letters.
fn changed(piece: &[char], (signs, entries): (&[char], &[&str]), random: &mut Random) -> Vec<char> {
    let mut other = piece.to_vec();
    let sign = signs[random.below(signs.len())];
    let place = random.below(other.len());
    match random.below(6) {
        0 => other[place] = sign,
        1 if other.len() < PIECE => other.insert(place, sign),
        2 | 3 if other.len() < PIECE => {
            let entry = entries[random.below(entries.len())].chars();
            let between = (random.below(2) == 0).then_some(sign);
            other.splice(place..place, entry.flat_map(|letter| [Some(letter), between]).flatten());
        }
        4 if other.len() > 1 => drop(other.remove(place)),
        _ => {
            let with = random.below(other.len());
            other.swap(place, with);
        }
    }
    other
}

fn repeated(piece: &[char], bytes: usize) -> String {
    let piece: String = piece.iter().collect();
    piece.repeat((bytes / piece.len()).max(1))
}

/// The same numbers at every run.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % bound
    }
}

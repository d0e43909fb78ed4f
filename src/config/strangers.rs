//! Variables that look like ours and are none: a name that is misspelled has no effect, which nobody would see.

use super::Config;

/// Prefix of our variables, and that of our tests'.
const OURS: &str = "GUILDHALL_";
const OF_TESTS: &str = "GUILDHALL_TEST_";
/// Names that are more alike than this are likely meant to be the same.
const ALIKE: f64 = 0.9;

pub(super) fn told(names: impl Iterator<Item = String>) -> Vec<String> {
    let known: Vec<&str> = Config::variables().iter().map(|variable| variable.name).collect();
    let stranger = |name: &String| {
        name.starts_with(OURS) && !name.starts_with(OF_TESTS) && !known.contains(&name.as_str())
    };
    let sentence = |name: String| {
        let alike = known.iter().map(|known| (strsim::normalized_damerau_levenshtein(known, &name), known));
        match alike.max_by(|one, other| one.0.total_cmp(&other.0)).filter(|(alike, _)| *alike > ALIKE) {
            Some((_, meant)) => format!("{name} is no variable of ours; is {meant} meant?"),
            None => format!("{name} is no variable of ours; `guildhall config` lists them"),
        }
    };
    let mut told: Vec<String> = names.filter(stranger).map(sentence).collect();
    told.sort();
    told
}

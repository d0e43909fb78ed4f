//! Runs of one machine beside each other: each measurement as a ratio to an empty call right before it, so that a slower
//! minute of the machine does not look like slower code.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

/// A measurement that got dearer by more than this is told of.
const ROOM: f64 = 0.15;

/// A disk that differs by more than this says nothing about rates of durable sends.
const DISK_ROOM: f64 = 0.2;

/// What one row of the table came to, as ratios to the empty call that was measured right before it.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Row {
    pub(crate) rate: f64,
    pub(crate) cpu: f64,
}

/// One run on one database.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Run {
    pub(crate) fdatasync_per_s: f64,
    pub(crate) rows: BTreeMap<String, Row>,
}

/// The runs in a file, by the database's name.
type Runs = BTreeMap<String, Run>;

fn read(file: &Path) -> Runs {
    let text = std::fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

/// Puts a run into a file, beside those on other databases.
pub(crate) fn save(file: &Path, on: &str, run: Run) {
    let mut runs = if file.exists() { read(file) } else { Runs::new() };
    runs.insert(on.to_owned(), run);
    std::fs::write(file, serde_json::to_string_pretty(&runs).unwrap() + "\n").unwrap();
    println!("saved in {}", file.display());
}

/// Prints how this run's ratios differ from those of the stored one. False where something got dearer.
pub(crate) fn compare(file: &Path, on: &str, run: &Run) -> bool {
    let runs = read(file);
    let Some(before) = runs.get(on) else {
        println!("{} has no run on {on}", file.display());
        return false;
    };
    let disk = run.fdatasync_per_s / before.fdatasync_per_s;
    println!("\nagainst {}, as ratios to an empty call right before (1.00 is unchanged):", file.display());
    println!("the disk syncs at {disk:.2} of the rate of then");
    println!("{:<38} {:>9} {:>9}", "", "rate", "CPU");
    let mut good = true;
    for (what, row) in &run.rows {
        let Some(old) = before.rows.get(what) else { continue };
        let (rate, cpu) = (row.rate / old.rate, row.cpu / old.cpu);
        let disk_differs = what.starts_with("durable") && (disk - 1.0).abs() > DISK_ROOM;
        let is_slower = !disk_differs && rate < 1.0 - ROOM;
        let is_dearer = cpu > 1.0 + ROOM;
        let said = match (is_slower, is_dearer) {
            (false, false) if disk_differs => "the disk differs: the rate says nothing",
            (false, false) => "",
            (true, false) => "SLOWER",
            (false, true) => "DEARER",
            (true, true) => "SLOWER and DEARER",
        };
        println!("{what:<38} {rate:>9.2} {cpu:>9.2}  {said}");
        good &= !is_slower && !is_dearer;
    }
    good
}

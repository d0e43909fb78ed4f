//! The filter under criterion, on lists and texts made here: for following one change of the code.
//!
//! `cargo bench --profile ship --bench judge`; the table of all sizes beside other engines is `scripts/bench-filter`.

#![expect(clippy::unwrap_used, reason = "a measurement that meets a fault has nothing to print")]

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use guildhall::filter::{Filter, Wordlist};

const TEXTS: [(&str, &str); 5] = [
    ("english", "wait for me at the bridge"),
    ("mixed", "今晚八点公会战，记得带 potions 和木材"),
    ("separated", "hey w.o.r.d.4.2 over there"),
    ("repeats", "哈哈哈哈 sooooo good"),
    ("hit", "this is word42abc here"),
];

fn list(entries: usize) -> Wordlist {
    let words: String = (0..entries).map(|n| format!("word{n}abc\n敌{n}军词\n")).collect();
    Wordlist::parse(&[("words.txt".to_owned(), words.into_bytes())]).unwrap()
}

fn judge(criterion: &mut Criterion) {
    for entries in [1_000, 50_000] {
        let filter = Filter::build(&list(entries)).unwrap();
        let mut group = criterion.benchmark_group(format!("judge/{}", entries * 2));
        for (name, text) in TEXTS {
            group.throughput(Throughput::Bytes(text.len() as u64));
            group.bench_function(name, |bench| bench.iter(|| filter.judge(black_box(text)).hits.len()));
        }
    }
}

fn build(criterion: &mut Criterion) {
    let list = list(5_000);
    criterion.bench_function("build/10000", |bench| bench.iter(|| Filter::build(black_box(&list)).unwrap()));
}

criterion_group!(benches, judge, build);
criterion_main!(benches);

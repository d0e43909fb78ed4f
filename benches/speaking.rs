//! The decision who may speak, under criterion, with as many sanctions as hardly anybody has.
//!
//! `cargo bench --profile ship --bench speaking`

#![expect(clippy::unwrap_used, reason = "a measurement that meets a fault has nothing to print")]

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use guildhall::chat::rights::{ChannelState, Facts, Who};
use guildhall::chat::sanctions::{Sanction, SanctionKind};
use guildhall::chat::speaking::{Context, may_speak};
use guildhall::chat::values::{Kind, Limit, Role, Settings};

const NOW: i64 = 1_790_000_000_000;

fn speaking(criterion: &mut Criterion) {
    let settings = Settings::default();
    let recent: Vec<i64> = (0..5).map(|n| NOW - 60_000 + n * 1_000).collect();
    for count in [0, 1, 10, 100] {
        let sanctions: Vec<Sanction> = (0..count)
            .map(|n| Sanction {
                kind: SanctionKind::ALL[n % 4],
                place: "everywhere".to_owned(),
                until: Some(NOW - 1),
                reason: "r".to_owned(),
            })
            .collect();
        let context = Context {
            who: Who { staff: false, level: 10 },
            place: ChannelState::with("w", Kind::World, &settings),
            facts: Facts { now: NOW, role: Some(Role::Member), sanctions: &sanctions, blocked: false },
            slow_mode_s: 0,
            last_here: None,
            recent: &recent,
            limit: Some(Limit { count: 5, window_ms: 5_000 }),
        };
        criterion.bench_function(&format!("may_speak/{count} sanctions"), |bench| {
            bench.iter(|| may_speak(black_box(&context)).unwrap());
        });
    }
}

criterion_group!(benches, speaking);
criterion_main!(benches);

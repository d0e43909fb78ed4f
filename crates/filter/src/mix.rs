//! Maps by one number, asked thousands of times for a text. Players choose the numbers, so where each goes is a secret of the
//! process: nobody can choose many that go to one place.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::LazyLock;

/// A map by one number.
pub(super) type ByNumber<T> = HashMap<u64, T, Secret>;

/// Chosen anew by each process.
#[derive(Clone, Copy)]
pub(super) struct Secret(u64, u64);

impl Default for Secret {
    fn default() -> Self {
        static CHOSEN: LazyLock<Secret> = LazyLock::new(|| {
            let random = RandomState::new();
            Secret(random.hash_one(1), random.hash_one(2) | 1)
        });
        *CHOSEN
    }
}

impl BuildHasher for Secret {
    type Hasher = Mixed;

    fn build_hasher(&self) -> Mixed {
        Mixed { secret: *self, mixed: 0 }
    }
}

/// A number, mixed by one long multiplication.
pub(super) struct Mixed {
    secret: Secret,
    mixed: u64,
}

impl Hasher for Mixed {
    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u64(self.mixed ^ u64::from(*byte)));
    }

    fn write_u64(&mut self, number: u64) {
        let product = u128::from(number ^ self.secret.0) * u128::from(self.secret.1);
        self.mixed = (product >> 64) as u64 ^ product as u64;
    }

    fn finish(&self) -> u64 {
        self.mixed
    }
}

/// Two numbers as one.
pub(super) fn pair(first: u32, second: u32) -> u64 {
    u64::from(first) << 32 | u64::from(second)
}

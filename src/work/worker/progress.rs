//! How far a partition is done: records end in any order, but what is committed is the lowest that is still open.

use std::collections::{BTreeMap, BTreeSet};

/// No offset.
const NEVER: i64 = -1;

/// The open records of all partitions.
#[derive(Default)]
pub(super) struct Progress {
    partitions: BTreeMap<i32, Partition>,
}

#[derive(Default)]
struct Partition {
    open: BTreeSet<i64>,
    /// Behind the last record that came.
    next: i64,
    committed: i64,
}

impl Progress {
    /// A record came. False if it is open already: the partition went away and came back.
    pub(super) fn begin(&mut self, partition: i32, offset: i64) -> bool {
        let partition = self.partitions.entry(partition).or_default();
        partition.next = offset + 1;
        partition.open.insert(offset)
    }

    /// A record is done.
    pub(super) fn end(&mut self, partition: i32, offset: i64) {
        if let Some(partition) = self.partitions.get_mut(&partition) {
            partition.open.remove(&offset);
        }
    }

    /// Notes that the last commit of a partition did not reach the broker: it is sent again.
    pub(super) fn not_committed(&mut self, partition: i32) {
        if let Some(partition) = self.partitions.get_mut(&partition) {
            partition.committed = NEVER;
        }
    }

    /// The partitions that got further since this was asked last, and how far: everything before is done.
    pub(super) fn advanced(&mut self) -> Vec<(i32, i64)> {
        let advanced = |(number, partition): (&i32, &mut Partition)| {
            let position = partition.open.first().copied().unwrap_or(partition.next);
            let moved = std::mem::replace(&mut partition.committed, position) != position;
            moved.then_some((*number, position))
        };
        self.partitions.iter_mut().filter_map(advanced).collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Whatever the order in which records end, nothing open is ever before what is committed, and in the end
        /// everything is committed.
        #[test]
        fn nothing_open_is_skipped(order in Just((0..40_i64).collect::<Vec<_>>()).prop_shuffle(), ahead in 1..20_usize) {
            let (mut progress, mut open, mut came) = (Progress::default(), BTreeSet::new(), 0);
            let mut committed = 0;
            for ended in order {
                while came < 40 && (came <= ended || open.len() < ahead) {
                    prop_assert!(progress.begin(3, came));
                    open.insert(came);
                    came += 1;
                }
                progress.end(3, ended);
                open.remove(&ended);
                for (partition, position) in progress.advanced() {
                    prop_assert_eq!(partition, 3);
                    prop_assert!(position > committed && open.first().is_none_or(|first| *first >= position));
                    committed = position;
                }
            }
            prop_assert_eq!(committed, 40);
        }
    }

    #[test]
    fn a_partition_that_came_back_starts_where_the_group_is() {
        let mut progress = Progress::default();
        assert!(progress.begin(0, 7));
        assert!(!progress.begin(0, 7), "still running");
        assert!(progress.begin(0, 8));
        progress.end(0, 7);
        assert_eq!(progress.advanced(), [(0, 8)]);
        assert!(progress.begin(0, 5), "another one did not get so far");
        assert_eq!(progress.advanced(), [(0, 5)]);
    }
}

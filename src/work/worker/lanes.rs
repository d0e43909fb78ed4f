//! Records in their order: those of one key run one after the other, different keys at the same time.

use std::collections::{HashMap, HashSet, VecDeque};

use crate::base::clock::Millis;
use crate::outside::broker::Delivery;
use crate::outside::envelope::Envelope;

/// A record, and where it came from.
pub(super) struct Item {
    pub(super) partition: i32,
    pub(super) offset: i64,
    pub(super) written_at: Option<Millis>,
    pub(super) content: Content,
}

/// Content of a record.
pub(super) enum Content {
    Task(Envelope),
    Unreadable { bytes: Vec<u8>, reason: String },
}

/// Records by key: one of each key at a time, in the order they came.
#[derive(Default)]
pub(super) struct Lanes {
    waiting: VecDeque<(String, Item)>,
    busy: HashSet<String>,
    behind: HashMap<String, VecDeque<Item>>,
    pub(super) count: usize,
}

impl Lanes {
    pub(super) fn push(&mut self, key: String, item: Item) {
        self.count += 1;
        match self.behind.get_mut(&key) {
            Some(lane) => lane.push_back(item),
            None if self.busy.insert(key.clone()) => self.waiting.push_back((key, item)),
            None => drop(self.behind.insert(key, VecDeque::from([item]))),
        }
    }

    pub(super) fn next(&mut self) -> Option<(String, Item)> {
        let next = self.waiting.pop_front()?;
        self.count -= 1;
        Some(next)
    }

    /// The one of this key that ran is done: the next one's turn.
    pub(super) fn done(&mut self, key: String) {
        let next = self.behind.get_mut(&key).and_then(VecDeque::pop_front);
        if self.behind.get(&key).is_some_and(VecDeque::is_empty) {
            self.behind.remove(&key);
        }
        match next {
            Some(item) => self.waiting.push_back((key, item)),
            None => drop(self.busy.remove(&key)),
        }
    }
}

/// Reads a record: its content, and the key of its order.
pub(super) fn read(delivery: Delivery) -> (String, Item) {
    let Delivery { partition, offset, written_at, content } = delivery;
    let unreadable =
        |bytes, reason| (format!("unreadable {partition} {offset}"), Content::Unreadable { bytes, reason });
    let (key, content) = match content {
        Ok(bytes) => match Envelope::parse(&bytes) {
            Ok(envelope) => (envelope.key.clone(), Content::Task(envelope)),
            Err(reason) => unreadable(bytes, reason),
        },
        Err(reason) => unreadable(Vec::new(), reason),
    };
    (key, Item { partition, offset, written_at, content })
}

//! The worker at a batch that a platform brought: all of it, in the order of keys, within the time there is.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::task::JoinSet;

use super::lanes::{Lanes, read};
use super::{WorkTime, Worker};
use crate::outside::broker::Delivery;

impl Worker {
    /// Runs the tasks of a batch. Answers, for each partition where not all could be recorded, with the first record that
    /// was not: the database was away, or the time was over. From there on the platform has to bring them again.
    pub async fn run_batch(self: &Arc<Self>, records: Vec<Delivery>, time: WorkTime) -> Vec<(i32, i64)> {
        let (mut lanes, mut running, mut failing) = (Lanes::default(), JoinSet::new(), false);
        let mut open: BTreeMap<i32, Vec<i64>> = BTreeMap::new();
        for record in records {
            open.entry(record.partition).or_default().push(record.offset);
            let (key, item) = read(record);
            lanes.push(key, item);
        }
        loop {
            while !failing
                && time.is_left()
                && running.len() < self.app.config.tasks.at_once
                && let Some((key, item)) = lanes.next()
            {
                let worker = Arc::clone(self);
                running.spawn(async move {
                    let done = worker.handle_once(&item, time).await;
                    (key, item.partition, item.offset, done)
                });
            }
            let Some(ended) = running.join_next().await else { break };
            match ended {
                Ok((key, partition, offset, Ok(()))) => {
                    open.entry(partition).or_default().retain(|open| *open != offset);
                    lanes.done(key);
                }
                Ok((.., Err(error))) => {
                    tracing::warn!(
                        error = error.for_log(),
                        "the database does not answer; the rest of the batch has to come again"
                    );
                    failing = true;
                }
                Err(fault) => {
                    tracing::error!(%fault, "a record was not worked on to its end");
                    failing = true;
                }
            }
        }
        let first = |(partition, offsets): (i32, Vec<i64>)| Some((partition, offsets.into_iter().min()?));
        open.into_iter().filter_map(first).collect()
    }
}

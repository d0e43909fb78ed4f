//! Slow tasks: the outbox, workers, and Kafka between them.

pub mod faulty;
pub mod handover;
pub mod kafka;
pub mod kafka_faults;
pub mod kafka_fleet;
pub mod kafka_keys;
pub mod kafka_topics;
pub mod outbox;
pub mod outbox_turns;
pub mod stages;
pub mod task_actions;
pub mod tasks;
pub mod worker_process;
pub mod worker_turns;

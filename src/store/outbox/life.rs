//! Retention, export and erasure rules of tasks.

use crate::store::life::{Erased, Kept, Life, NOBODYS, ROWS};

/// Retention, export and erasure rules of tasks that wait.
pub(in crate::store) const LIFE: Life = Life {
    table: "outbox",
    kept: Kept::Until("until they are done, or given up; what nobody could run `GUILDHALL_TASK_UNRUNNABLE`"),
    exported: NOBODYS,
    erased: &[Erased::Apart("what the program was to do about them: player::erase")],
    stays: &[],
};

/// Retention, export and erasure rules of the list of tasks that are not sorted into their keys yet.
pub(in crate::store) const OPEN: Life = Life {
    table: "outbox_open",
    kept: Kept::Until("until a worker or a relay looks"),
    exported: NOBODYS,
    erased: &[],
    stays: &[],
};

/// Retention, export and erasure rules of keys that have tasks.
pub(in crate::store) const KEY: Life = Life {
    table: "outbox_key",
    kept: Kept::Until("as long as the tasks"),
    exported: NOBODYS,
    erased: &[Erased::Apart("with the tasks: player::erase")],
    stays: &[],
};

/// Retention, export and erasure rules of tasks that were given up.
pub(in crate::store) const DEAD: Life = Life {
    table: "outbox_dead",
    kept: Kept::Until("until an operator runs or drops them"),
    exported: NOBODYS,
    erased: &[Erased::Apart("with the tasks: player::erase")],
    stays: &[],
};

/// Retention, export and erasure rules of tasks that were done.
pub(in crate::store) const DONE: Life = Life {
    table: "outbox_done",
    kept: Kept::Swept("`GUILDHALL_TASK_REMEMBERED`", |db, config, now| {
        Box::pin(super::forget_done(db, now - config.tasks.remembered_ms, ROWS))
    }),
    exported: NOBODYS,
    erased: &[],
    stays: &[],
};

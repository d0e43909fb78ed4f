//! A game's own timers: tasks that run at a time, or again and again.

use crate::app::App;
use crate::base::error::{Error, Result};
use crate::chat::identity::Identity;
use crate::chat::payload::Payload;
use crate::chat::planning::When;
use crate::chat::values::{Name, Nonce};
use crate::service::TASKS;
use crate::store::outbox::{self, NewTask};
use crate::store::schedule::{self, NewSchedule, Schedule};
use crate::work::task;

/// A task by its name and fields, checked.
fn checked(name: &Name, payload: &Payload) -> Result<NewTask> {
    let entry = TASKS.iter().find(|entry| entry.name == name.as_str()).ok_or(Error::NotFound("task"))?;
    let key =
        (entry.check)(payload.as_str()).map_err(|fault| Error::InvalidInput(format!("payload: {fault}")))?;
    Ok(NewTask { task: entry.name, key, payload: payload.as_str().to_owned() })
}

/// Stores a task under an id; false where an earlier call did.
///
/// # Errors
/// There is no such task, or its fields are others; the database's.
pub async fn submit(app: &App, id: &str, name: &Name, payload: &Payload) -> Result<bool> {
    let new = checked(name, payload)?;
    outbox::enqueue_once(&app.db, id, new.task, &new.key, &new.payload).await
}

/// Plans a task, once for a nonce.
///
/// # Errors
/// There is no such task, its fields are others, or the time never comes; the nonce stands for another plan.
pub async fn create(
    app: &App,
    (name, payload): (&Name, &Payload),
    when: &When,
    nonce: Option<&Nonce>,
    by: &Identity,
) -> Result<Schedule> {
    let task = checked(name, payload)?;
    let id = task::id_of("schedule", by, nonce);
    let plan = when.plan(app.db.now().await?)?;
    let asked = serde_json::json!([task.task, payload.as_str(), when]).to_string();
    let digest = task::digest(&asked);
    let new = NewSchedule { id: &id, task: &task, plan: &plan, by: &by.key(), digest: &digest };
    schedule::create(&app.db, new).await
}

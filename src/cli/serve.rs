//! The program for as long as it is wanted: as a server, as a worker, or as a function, until it is told to stop.

use std::io::IsTerminal;
use std::sync::Arc;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

use super::say;
use crate::api::router::Router;
use crate::app::App;
use crate::base::clock::Clock;
use crate::base::error::StartError;
use crate::base::panic::lasting;
use crate::config::{Config, Platform, Role, data_folder};
use crate::controllers::{ACTIONS, PAGES};
use crate::host::figures;
use crate::host::server::Server;
use crate::host::{lambda, scf, sweep};
use crate::service::TASKS;
use crate::work::publisher;
use crate::work::worker::Worker;

/// Treatment of tasks by a server.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Tasks {
    /// Runs them, or hands them to the broker.
    Run,
    /// Leaves them to somebody else.
    Leave,
}

pub(super) async fn serve(config: Config, tasks: Tasks) -> Result<(), StartError> {
    if let Platform::Lambda { role, .. } = config.platform {
        return function(config, role).await;
    }
    if tasks == Tasks::Leave && config.database_url.is_none() {
        let why = "is required: it holds sockets for functions, which share a database with it";
        return Err(StartError::new("DATABASE_URL", why));
    }
    let app = App::start(config, Clock::default()).await?;
    let router = Arc::new(Router::new(ACTIONS, Arc::clone(&app)).with(PAGES));
    let (stop, moves) = (stop_signal(), move_signal());
    let server = Server::bind(app.config.listen, router)
        .await
        .map_err(|fault| StartError::new(&format!("listening on {}", app.config.listen), fault))?;
    let address = server.address().map_err(|fault| StartError::new("listening", fault))?;
    // With a broker it hands tasks over, and workers run them.
    figures::serve(&app, tasks == Tasks::Run && app.queue.is_none()).await?;
    let list = Arc::clone(&app);
    tokio::spawn(async move { lasting("the wordlist", || list.blocklist.keep_fresh()).await });
    let worker = tokio::spawn(work(Arc::clone(&app), tasks, stop.clone()));
    let (sweeping, swept) = (stop.clone(), Arc::clone(&app));
    tokio::spawn(
        async move { lasting("the sweep", || sweep::run(Arc::clone(&swept), sweeping.clone())).await },
    );
    say(&format!("guildhall listens on http://{address}"))?;
    server.run(stop, moves).await;
    // Tasks that don't end in time run again after the next start.
    let _ = tokio::time::timeout(app.config.shutdown_grace, worker).await;
    app.db.close().await;
    Ok(())
}

async fn function(config: Config, role: Role) -> Result<(), StartError> {
    let told = |fault| StartError::new("the Lambda runtime", fault);
    if role == Role::Migrate {
        if config.database_url.is_none() {
            data_folder::prepare(&config.data)?;
        }
        return lambda::migrate(config).await.map_err(told);
    }
    let app = App::start(config, Clock::default()).await?;
    let invoked = async {
        match role {
            Role::Worker => lambda::work(Arc::clone(&app)).await,
            _ => lambda::serve(Router::new(ACTIONS, Arc::clone(&app)).with(PAGES).into()).await,
        }
    };
    let done = until_stopped(invoked, stop_signal()).await;
    app.db.close().await;
    done.map_err(told)
}

/// Runs a function's work until its platform says that it ends.
async fn until_stopped<E>(
    work: impl Future<Output = Result<(), E>>,
    mut stop: watch::Receiver<bool>,
) -> Result<(), E> {
    tokio::select! {
        done = work => done,
        _ = stop.wait_for(|stop| *stop) => Ok(()),
    }
}

/// Runs tasks, hands them to the broker or leaves them to others, until told to stop.
async fn work(app: Arc<App>, tasks: Tasks, stop: watch::Receiver<bool>) {
    if tasks == Tasks::Leave {
        return;
    }
    lasting("the worker", || async {
        match &app.queue {
            Some(_) => publish(Arc::clone(&app), stop.clone()).await,
            None => Worker::new(Arc::clone(&app), TASKS).run(stop.clone()).await,
        }
    })
    .await;
}

/// Hands tasks to the broker until told to stop.
async fn publish(app: Arc<App>, stop: watch::Receiver<bool>) {
    if let Some(queue) = &app.queue {
        publisher::run(&app, stop).await;
        queue.close().await;
    }
}

pub(super) async fn worker(config: Config) -> Result<(), StartError> {
    let app = App::start(config, Clock::default()).await?;
    let stop = stop_signal();
    if let Platform::Scf { events } = &app.config.platform {
        let done = until_stopped(scf::run(Arc::clone(&app), events), stop).await;
        app.db.close().await;
        return done.map_err(|fault| StartError::new("the SCF runtime", fault));
    }
    figures::serve(&app, true).await?;
    let worker = Worker::new(Arc::clone(&app), TASKS);
    let Some(queue) = &app.queue else {
        say("guildhall works on the outbox")?;
        worker.run(stop).await;
        app.db.close().await;
        return Ok(());
    };
    let consumer = queue.consume().map_err(|fault| StartError::new("joining the workers", fault))?;
    // Retries go through the outbox, so somebody must hand them over even where no server runs.
    let publisher = tokio::spawn(work(Arc::clone(&app), Tasks::Run, stop.clone()));
    say(&format!("guildhall works on {}", queue.topic()))?;
    worker.consume(consumer, stop).await;
    let _ = publisher.await;
    app.db.close().await;
    Ok(())
}

/// Counts the signals that ask clients with sockets to come back, to another version most likely: `SIGWINCH`, as nginx has
/// it, which programs that don't know it ignore. At a terminal it says that the window changed.
fn move_signal() -> watch::Receiver<u64> {
    let (told, moves) = watch::channel(0);
    let mut asked = signals(SignalKind::window_change());
    tokio::spawn(async move {
        while asked.recv().await.is_some() {
            if !std::io::stdin().is_terminal() {
                tracing::info!("sockets move");
                told.send_modify(|count| *count += 1);
            }
        }
    });
    moves
}

/// Turns true at SIGTERM or Ctrl-C, which from this call on end the process by its own will only: a task that has yet to
/// begin would leave a moment in which requests are answered and the signal kills.
fn stop_signal() -> watch::Receiver<bool> {
    let (told, stop) = watch::channel(false);
    let (mut terminate, mut interrupt) = (signals(SignalKind::terminate()), signals(SignalKind::interrupt()));
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("stopping");
        let _ = told.send(true);
        // Kept, so that those who listen don't take the end of this task for a second word.
        std::future::pending::<()>().await;
    });
    stop
}

fn signals(kind: SignalKind) -> Signal {
    signal(kind).expect("signals can be listened for")
}

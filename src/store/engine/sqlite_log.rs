//! The log of pages beside a `SQLite` file: it grows as long as somebody reads an old state, such as a backup does.
//!
//! SQLite writes its pages back and begins the log anew when nobody reads any more; the file keeps its size even then, and
//! under steady reading that moment may never come. So it is looked at, and cut, while nobody sends for a moment.

use std::path::{Path, PathBuf};
use std::time::Duration;

use sqlx::SqlitePool;

/// Interval at which pages are written back while others write; below, the number of transactions that make it worth
/// while.
const BACK: Duration = Duration::from_millis(100);
const WORTH: u64 = 50;
/// Interval at which the log's size is checked.
const LOOK: Duration = Duration::from_secs(10);
/// A log larger than this is cut as soon as that goes.
const LARGE: u64 = 64 * 1024 * 1024;
/// Larger than this, somebody is told.
const HUGE: u64 = 512 * 1024 * 1024;

/// Returns the path of a file's log.
pub(super) fn beside(file: &Path) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push("-wal");
    name.into()
}

/// Writes pages back on a connection of its own, beside those who write, until the pool is closed. Else a commit does it each
/// time that the log is long, and where there is much, all wait for that.
pub(super) async fn write_back(back: SqlitePool, write: SqlitePool, begun: impl Fn() -> u64) {
    let mut done = 0;
    loop {
        tokio::select! {
            () = tokio::time::sleep(BACK) => {}
            () = write.close_event() => return back.close().await,
        }
        let now = begun();
        if now - done >= WORTH {
            done = now;
            if let Err(error) = sqlx::raw_sql("PRAGMA wal_checkpoint(PASSIVE)").execute(&back).await {
                tracing::debug!(%error, "SQLite's pages can't be written back now");
            }
        }
    }
}

/// Looks at the log until the pool is closed.
pub(super) async fn keep_small(write: SqlitePool, log: PathBuf) {
    let mut told = false;
    loop {
        tokio::select! {
            () = tokio::time::sleep(LOOK) => {}
            () = write.close_event() => return,
        }
        let mut bytes = size(&log).await;
        if bytes > LARGE {
            let _ = cut(&write).await;
            bytes = size(&log).await;
        }
        metrics::gauge!("guildhall_sqlite_log_bytes").set(bytes as f64);
        if bytes > HUGE && !told {
            tracing::warn!(
                megabytes = bytes / 1_048_576,
                "SQLite's log grows, as somebody reads an old state of the file, such as a backup; it is cut when they are done"
            );
        }
        told = bytes > HUGE;
    }
}

async fn size(log: &Path) -> u64 {
    tokio::fs::metadata(log).await.map_or(0, |file| file.len())
}

/// Writes all pages back and cuts the log, unless somebody reads: nobody waits for them longer than a moment.
async fn cut(write: &SqlitePool) -> sqlx::Result<()> {
    let mut connection = write.acquire().await?;
    sqlx::raw_sql("PRAGMA busy_timeout = 50; PRAGMA wal_checkpoint(TRUNCATE); PRAGMA busy_timeout = 5000")
        .execute(&mut *connection)
        .await?;
    Ok(())
}

//! `guildhall audit`: what an operator does with the audit.

use clap::Subcommand;

use super::{require_database, say};
use crate::base::calendar::in_words;
use crate::base::clock::Clock;
use crate::base::error::StartError;
use crate::config::Config;
use crate::store::Db;
use crate::store::audit::{self, AuditFilter, AuditRow};

/// Commands for the audit log.
#[derive(Subcommand)]
pub(super) enum AuditCommand {
    /// Check that no row was changed, removed or put in between; ends with 1 where one was.
    Verify,
    /// Print all rows as JSON, one a line, in their order.
    Export {
        /// Only rows behind this number.
        #[arg(long, default_value_t = 0)]
        after: i64,
    },
    /// Print the newest rows in words.
    List {
        /// Only rows about this player.
        #[arg(long)]
        player: Option<String>,
        /// Number of rows to print.
        #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(i64).range(1..=10_000))]
        limit: i64,
    },
}

fn fault(fault: impl std::fmt::Display) -> StartError {
    StartError::new("audit", fault)
}

impl AuditCommand {
    pub(super) async fn run(self, config: Config) -> Result<(), StartError> {
        require_database(&config, "audit")?;
        let db = Db::open(&config, Clock::default()).await.map_err(fault)?;
        audit::seal(&db).await.map_err(fault)?;
        match self {
            Self::Verify => verify(&db).await,
            Self::Export { after } => export(&db, after).await,
            Self::List { player, limit } => list(&db, player.as_deref(), limit).await,
        }
    }
}

async fn verify(db: &Db) -> Result<(), StartError> {
    let found = audit::verify(db).await.map_err(fault)?;
    match found.fault {
        Some(why) => Err(fault(format!("{why}; {} row(s) before it hold", found.sealed))),
        None => say(&format!(
            "{} row(s) hold, {} are not sealed yet; head {}",
            found.sealed, found.open, found.head
        )),
    }
}

async fn export(db: &Db, mut after: i64) -> Result<(), StartError> {
    const PAGE: i64 = 500;
    loop {
        let wanted = AuditFilter { after, limit: PAGE, ..AuditFilter::default() };
        let rows = audit::list(db, wanted).await.map_err(fault)?;
        for row in &rows {
            say(&serde_json::to_string(row).map_err(fault)?)?;
        }
        match rows.last() {
            Some(last) => after = last.n,
            None => return Ok(()),
        }
    }
}

async fn list(db: &Db, player: Option<&str>, limit: i64) -> Result<(), StartError> {
    let rows = audit::newest(db, player, limit).await.map_err(fault)?;
    rows.iter().try_for_each(|row| {
        let AuditRow { n, at, by, action, player, detail, text, .. } = row;
        let (player, text) = (player.as_deref().unwrap_or("-"), text.as_deref().unwrap_or_default());
        let at = in_words(*at);
        say(&format!("{n}  {at}  {by}  {action}  {player}  {detail}  {text}"))
    })
}

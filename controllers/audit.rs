//! `/audit/*`: what was done about players, by whom and why.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::api::action::{Action, Route};
use crate::api::caller::Moderator;
use crate::app::App;
use crate::base::error::Result;
use crate::chat::values::{Cursor, Name, PageSize, PlayerId};
use crate::store::audit::{self, AuditFilter, AuditRow};

/// Rows of the audit, in the order in which they were written, page by page.
///
/// Rows are only ever added, and each one's hash covers the one before: `guildhall audit verify` checks that.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ListAudit {
    /// Rows about one player.
    #[serde(default)]
    player: Option<PlayerId>,
    /// Rows by one player or moderator, or by `server/ID`.
    #[serde(default)]
    by: Option<Name>,
    /// Rows of one action, such as `sanction.give`.
    #[serde(default)]
    action: Option<Name>,
    /// Rows behind this number; 0 starts with the first.
    #[serde(default = "start")]
    after: Cursor,
    /// The page's size, 1 to 100.
    #[serde(default)]
    limit: PageSize,
}

fn start() -> Cursor {
    Cursor::try_from(0).expect("0 is before the first")
}

/// A page of the audit.
#[derive(Serialize, JsonSchema)]
pub struct AuditPage {
    entries: Vec<AuditRow>,
    /// More follow: ask again with `next` as `after`.
    more: bool,
    /// Number to send as `after` for the next page; null on the last page.
    next: Option<i64>,
}

impl Action for ListAudit {
    const ROUTE: Route = Route::get("/audit/list");
    type Caller = Moderator;
    type Reply = AuditPage;

    async fn run(self, app: &App, _: Moderator) -> Result<AuditPage> {
        audit::seal(&app.db).await?;
        let wanted = AuditFilter {
            player: self.player.as_ref().map(PlayerId::as_str),
            by: self.by.as_ref().map(Name::as_str),
            action: self.action.as_ref().map(Name::as_str),
            after: self.after.get(),
            limit: self.limit.and_one(),
        };
        let (entries, next) = self.limit.page(audit::list(&app.db, wanted).await?, |last| last.n);
        Ok(AuditPage { entries, more: next.is_some(), next })
    }
}

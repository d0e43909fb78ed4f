//! Retention, export and erasure rules of the audit.

use crate::store::life::{Erased, Exported, Kept, Life};

/// Retention, export and erasure rules of the reasons in the audit.
pub(in crate::store) const TEXT: Life = Life {
    table: "audit_text",
    kept: Kept::Until("for good, or until the player is forgotten beside whom alone they stand"),
    exported: Exported::No("staff's"),
    erased: &[Erased::By("DELETE FROM audit_text
         WHERE digest IN (SELECT a.text FROM audit a JOIN audit_alias n ON n.alias = a.alias WHERE n.player_id = $1)
         AND NOT EXISTS (SELECT 1 FROM audit a WHERE a.text = audit_text.digest
             AND (a.alias IS NULL OR a.alias NOT IN (SELECT alias FROM audit_alias WHERE player_id = $1)))")],
    stays: &[],
};

/// Retention, export and erasure rules of the aliases that stand for people in the audit.
pub(in crate::store) const ALIAS: Life = Life {
    table: "audit_alias",
    kept: Kept::Until("until the player is forgotten"),
    exported: Exported::No("means nothing by itself"),
    erased: &[Erased::By("DELETE FROM audit_alias WHERE player_id = $1")],
    stays: &[],
};

/// Retention, export and erasure rules of the audit's rows.
pub(in crate::store) const LIFE: Life = Life {
    table: "audit",
    kept: Kept::Until("for good"),
    exported: Exported::No("staff's"),
    erased: &[],
    stays: &[("alias", "means nobody, once the alias is forgotten"), ("by_alias", "the same")],
};

/// Retention, export and erasure rules of the audit's seals.
pub(in crate::store) const SEAL: Life = Life {
    table: "audit_seal",
    kept: Kept::Until("for good"),
    exported: crate::store::life::NOBODYS,
    erased: &[],
    stays: &[],
};

/// Retention, export and erasure rules of the list of rows that are still to be sealed.
pub(in crate::store) const OPEN: Life = Life {
    table: "audit_open",
    kept: Kept::Until("until they are sealed"),
    exported: crate::store::life::NOBODYS,
    erased: &[],
    stays: &[],
};

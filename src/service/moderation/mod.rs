//! What is done about players who break the rules: sanctions, reports, cases and appeals, by moderators, by officers, and by
//! itself.

pub mod appeal;
pub mod automatic;
pub mod decide;
pub mod officers;
pub mod purge;
pub mod report;
pub mod review;
pub mod sanction;
pub mod told;

//! Findings: what a person should act on.
//!
//! In:  flows with their assessment and verdict, DNS queries and anomalies, what was observed of the site file.
//! Out: one finding for each audited host, target, code and mechanism.
//! Not: what the codes mean; see `catalogue`.

mod cause;
pub(super) mod checks;
mod citations;
pub(super) mod collector;
pub(super) mod dns;
pub(super) mod problems;
pub(super) mod run_end;

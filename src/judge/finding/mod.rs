//! Findings: what a person should act on.
//!
//! In:  flows with their outcome and verdict, DNS anomalies.
//! Out: one finding for each audited host, target, code and mechanism.
//! Not: what the codes mean; see `catalogue`.

pub(super) mod checks;
pub(super) mod collector;

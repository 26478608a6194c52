//! What the packets show about success and failure.
//!
//! In:  flows as they start and end, what was said in them, DNS responses.
//! Out: outcomes with their mechanism or reason, DNS anomalies, comparisons between flows.
//! Not: documents, requirements and the site file; what a diagnosis needs of those is passed in.

pub(super) mod app_label;
pub(super) mod block_pages;
pub(super) mod capture_loss;
pub(super) mod comparison;
pub(super) mod dns_anomalies;
pub(super) mod drop_intervals;
pub(super) mod explicit_refusals;
pub(super) mod happy_eyeballs;
pub(super) mod outcome;
pub(super) mod revocation;
pub(super) mod scans;
pub(super) mod tampering;
pub(super) mod unused_answers;

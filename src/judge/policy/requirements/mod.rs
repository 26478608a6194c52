//! Which documented endpoints the site needs, and whether each server reached them.
//!
//! In:  the references in force, the site file; judged flows and names that did not resolve.
//! Out: a row for each server and required endpoint.
//! Not: whether traffic was right; those are findings.

mod absence;
mod observed;
mod required;

pub(in crate::judge) use observed::Attempt;
pub(in crate::judge) use observed::AttemptResult;
pub(in crate::judge) use observed::Observations;
pub(in crate::judge) use required::RequiredEndpoints;

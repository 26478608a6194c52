//! Judges what the packets show by what the documents say.
//!
//! In:  observations in frame order, rules, the site's facts.
//! Out: rows of flows, DNS responses, findings and requirements.
//! Not: how a row is printed.

mod bounded_map;
mod catalogue;
mod diagnosis;
mod engine;
mod finding;
mod flow_row;
mod flow_state;
mod flow_states;
mod policy;
mod rows;
mod run_result;
mod tally;

pub use catalogue::Explanation;
pub use catalogue::Signature;
pub use catalogue::catalogue;
pub use catalogue::explanation;
pub use catalogue::reason;
pub use catalogue::reasons;
pub use catalogue::signature;
pub use catalogue::signatures;
pub use engine::Engine;
pub use engine::JudgeLimits;
pub use engine::RowSink;
pub use policy::Policy;
pub use policy::scope::Scope;
pub use policy::site_draft::SiteDraft;
pub use rows::Confidence;
pub use rows::DestinationTally;
pub use rows::DestinationVerdict;
pub use rows::DnsRow;
pub use rows::Documented;
pub use rows::FindingRow;
pub use rows::FindingRows;
pub use rows::FlowRow;
pub use rows::Http;
pub use rows::Outcome;
pub use rows::PageField;
pub use rows::PortVerdict;
pub use rows::RequirementRow;
pub use rows::RequirementState;
pub use rows::Severity;
pub use rows::Tally;
pub use run_result::JudgeResult;

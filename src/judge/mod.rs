//! Judges what the packets show by what the documents say.
//!
//! In:  observations in frame order, rules, the site file.
//! Out: rows of flows, DNS responses, findings and requirements.
//! Not: how a row is printed.
//!
//! `engine` routes the facts of a flow. `flow_state` holds them until the flow ends. Then `diagnosis` assesses whether it
//! succeeded, `policy` compares its destination with the documents and the site file, `finding` runs the checks, and `flow_row`
//! builds the row.

mod assessment;
mod bounded_map;
mod catalogue;
mod conversations;
mod diagnosis;
mod engine;
mod finding;
mod flow_row;
mod flow_state;
mod hashed_name;
mod policy;
mod rows;
mod run_result;
mod tally;
#[cfg(test)]
mod test_support;
mod text;
mod vocabulary;

pub use assessment::Assessment;
pub use catalogue::FindingCode;
pub use catalogue::FindingEntry;
pub use catalogue::InconclusiveReason;
pub use catalogue::Mechanism;
pub use catalogue::MechanismEntry;
pub use catalogue::Texts;
pub use engine::Engine;
pub use engine::JudgeLimits;
pub use engine::OpenCounts;
pub use engine::RowSink;
pub use finding::problems::Problem;
pub use finding::problems::ProblemList;
pub use finding::problems::ProblemReport;
pub use policy::Policy;
pub use policy::declared_hosts::AbsentHosts;
pub use policy::declared_hosts::host_text;
pub use policy::need::Need;
pub use policy::scope::Scope;
pub use policy::site_draft::SiteDraft;
pub use rows::DestinationTally;
pub use rows::DnsRow;
pub use rows::Documented;
pub use rows::FindingRow;
pub use rows::FindingRows;
pub use rows::FlowRow;
pub use rows::Http;
pub use rows::PageField;
pub use rows::RareFacts;
pub use rows::RequirementRow;
pub use rows::Tally;
pub use run_result::JoinedFlows;
pub use run_result::JudgeResult;
pub use run_result::UnfinishedFlows;
pub use vocabulary::AddressEvidence;
pub use vocabulary::Confidence;
pub use vocabulary::DestinationVerdict;
pub use vocabulary::Outcome;
pub use vocabulary::PortVerdict;
pub use vocabulary::ProblemChange;
pub use vocabulary::ProblemState;
pub use vocabulary::RequirementState;
pub use vocabulary::Severity;
pub(crate) use vocabulary::words;

//! Holds what was seen against what the documents say.
//!
//! In:  observations in frame order, rules, the site's facts.
//! Out: records: rows for flows, DNS answers, findings and requirements.
//! Not: how a record is printed.

mod case;
mod cases;
mod catalogue;
mod checks;
mod compare;
mod engine;
mod findings;
mod inside;
mod judgement;
mod lookups;
mod losses;
mod names;
mod nature;
mod needs;
mod outcome;
mod pages;
mod policy;
mod quality;
mod races;
mod recent;
mod record;
mod revocation;
mod row;
mod scans;
mod scope;
mod site;
mod stage;
mod survey;
mod tally;
mod unused;
mod verdict;
mod words;

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
pub use judgement::JudgeResult;
pub use policy::Policy;
pub use record::Confidence;
pub use record::Destination;
pub use record::DestinationTally;
pub use record::DnsRow;
pub use record::Documented;
pub use record::FindingRow;
pub use record::FindingRows;
pub use record::FlowRow;
pub use record::Http;
pub use record::Outcome;
pub use record::PageField;
pub use record::PortVerdict;
pub use record::RequirementRow;
pub use record::RequirementState;
pub use record::Severity;
pub use record::Tally;
pub use scope::Scope;
pub use survey::SiteDraft;

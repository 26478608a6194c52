//! Reads evidence folders for the commands that need no capture.
//!
//! In:  evidence folders, as a run wrote them, and the rules.
//! Out: what changed between two runs; the rule set that a site needs; commands that try what was not
//!      observed.
//! Not: verdicts; they are in the rows. Packets; a folder is all that is read.

mod allowlist;
mod compare;
mod probe_list;
mod proxies;

use serde_json::Value;

use crate::report::TableRow as _;
use crate::report::record_schema;
pub use allowlist::AllowLevel;
pub use allowlist::AllowOptions;
pub use allowlist::AllowRow;
pub use allowlist::Allowlist;
pub use allowlist::DeviceFormat;
pub use allowlist::Observed;
pub use allowlist::TagPrefixes;
pub use allowlist::render_rules;
pub use allowlist::write_allowlist;
pub use compare::Change;
pub use compare::ChangeFrames;
pub use compare::ChangeNeed;
pub use compare::ChangeRow;
pub use compare::CompareError;
pub use compare::EvidenceComparison;
pub use compare::Subject;
pub use compare::render_comparison;
pub use compare::write_table;
pub use probe_list::ProbeList;

/// The kinds of records that these commands print: the values of the key `record`.
pub const RECORDS: [&str; 2] = [ChangeRow::RECORD, AllowRow::RECORD];

/// The JSON Schema of each of them.
pub fn record_schemas() -> Vec<(&'static str, Value)> {
    vec![(ChangeRow::RECORD, record_schema::<ChangeRow>()), (AllowRow::RECORD, record_schema::<AllowRow>())]
}

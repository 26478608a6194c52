//! Reads evidence folders for the commands that need no capture.
//!
//! In:  evidence folders, as a run wrote them, and the rules.
//! Out: what changed between two runs; the rule set that a site needs; commands that try what was not
//!      observed.
//! Not: verdicts; they are in the rows. Packets; a folder is all that is read.

mod allowlist;
mod compare;
mod probe_list;

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
pub use compare::ChangeNeed;
pub use compare::ChangeRow;
pub use compare::CompareError;
pub use compare::Comparison;
pub use compare::ShownBy;
pub use compare::Subject;
pub use compare::render_comparison;
pub use compare::write_table;
pub use probe_list::ProbeList;

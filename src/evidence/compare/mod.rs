//! Compares two runs.
//!
//! In:  two evidence folders.
//! Out: what limits the comparison, and what changed, ordered by need, then severity.
//! Not: the cause of a change. What was not observed again is never counted as fixed.

mod conditions;
mod differ;
mod page;
mod rows;
mod run;
mod table;

use std::net::IpAddr;

use crate::judge::Severity;
use crate::report::ReadError;
use crate::report::StoredEvidence;
use differ::Differ;
use differ::Needs;
pub use page::render_comparison;
pub use rows::Change;
pub use rows::ChangeFrames;
pub use rows::ChangeNeed;
pub use rows::ChangeRow;
pub use rows::Subject;
use run::ComparedRun;
pub use table::write_table;

/// Two runs cannot be compared.
#[derive(Debug, thiserror::Error)]
pub enum CompareError {
    /// A folder cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// No server was audited in both.
    #[error("cannot compare: no server was audited in both runs; before: {before}; after: {after}")]
    NoCommonServer {
        /// Servers of the run before.
        before: String,
        /// Servers of the run after.
        after: String,
    },
}

/// One of the two runs.
struct ComparedSide<'a> {
    evidence: &'a StoredEvidence,
    run: ComparedRun,
}

/// What changed between two runs.
pub struct EvidenceComparison {
    /// What limits the comparison.
    pub conditions: Vec<ChangeRow>,
    /// What changed.
    pub changes: Vec<ChangeRow>,
    /// What is the same in both.
    pub unchanged: Vec<ChangeRow>,
    /// Servers that were audited in both.
    pub servers: Vec<IpAddr>,
}

impl EvidenceComparison {
    /// Compares two folders. New findings of at least `fail_on` are worse.
    pub fn new(
        before: &StoredEvidence,
        after: &StoredEvidence,
        fail_on: Option<Severity>,
    ) -> Result<EvidenceComparison, CompareError> {
        let before = ComparedSide { evidence: before, run: ComparedRun::read(before)? };
        let after = ComparedSide { evidence: after, run: ComparedRun::read(after)? };
        let servers: Vec<IpAddr> = before.run.servers.intersection(&after.run.servers).copied().collect();
        if servers.is_empty() {
            let list = |run: &ComparedRun| match run.servers.len() {
                0 => "none".to_owned(),
                _ => differ::servers_text(&run.servers.iter().copied().collect::<Vec<IpAddr>>()),
            };
            return Err(CompareError::NoCommonServer { before: list(&before.run), after: list(&after.run) });
        }
        let differ = Differ { before: &before.run, after: &after.run, servers: &servers, fail_on };
        let needs = Needs::of([&before.run, &after.run]);
        let mut rows = differ.requirements();
        rows.extend(differ.findings(&needs));
        rows.extend(differ.destinations(&needs));
        rows.sort_by(|a, b| order(a).cmp(&order(b)));
        let (differs, rows): (Vec<ChangeRow>, Vec<ChangeRow>) =
            rows.into_iter().partition(|row| row.subject == Subject::Condition);
        let (unchanged, changes) = rows.into_iter().partition(|row| row.change == Change::Unchanged);
        let mut conditions = conditions::conditions(&before, &after);
        conditions.extend(differs);
        Ok(EvidenceComparison { conditions, changes, unchanged, servers })
    }

    /// Whether something got worse.
    pub fn is_worse(&self) -> bool {
        self.changes.iter().any(|row| row.is_worse)
    }

    /// The rows in the order of the output: conditions, changes, and what is the same if `with_unchanged`.
    pub fn rows(&self, with_unchanged: bool) -> impl Iterator<Item = &ChangeRow> {
        let unchanged = self.unchanged.iter().filter(move |_| with_unchanged);
        self.conditions.iter().chain(&self.changes).chain(unchanged)
    }
}

/// By need, then severity; the rest makes the order complete.
fn order(row: &ChangeRow) -> impl Ord + use<'_> {
    let severity =
        row.severity.map_or(std::cmp::Reverse(0), |severity| std::cmp::Reverse(1 + severity as u8));
    (
        (row.need, row.subject, severity, row.change),
        (row.server, &row.target),
        (&row.before, &row.after, &row.message, &row.references),
    )
}

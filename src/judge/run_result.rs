//! What a court leaves at the end of the evidence.
//!
//! In:  what was gathered.
//! Out: findings, requirements, counts, and what bounds and gaps did to them.
//! Not: rows of flows and answers: those were told as they ended.

use crate::judge::rows::Confidence;
use crate::judge::rows::FindingRows;
use crate::judge::rows::RequirementRow;
use crate::judge::rows::Tally;

/// What judge says when all is over.
#[derive(Debug)]
pub struct JudgeResult {
    /// Gravest first.
    pub findings: FindingRows,
    /// What was counted.
    pub tally: Tally,
    /// What the site needs, in the order of the documents.
    pub requirements: Vec<RequirementRow>,
    /// Bounds that bit, as sentences.
    pub bounds: Vec<String>,
    /// What the capture did not see, as sentences.
    pub gaps: Vec<String>,
}

/// Findings that stand on silence: of connections, and of resolvers.
const SILENT: [&str; 2] = ["AFS202", "AFS305"];

impl JudgeResult {
    /// Only now it is known that the sensor lost much: what stands on silence is no surer than a suspicion.
    pub fn doubt(&mut self) {
        for row in self.findings.iter_mut().filter(|row| SILENT.contains(&row.code)) {
            row.confidence = row.confidence.min(Some(Confidence::Weak));
            row.message.push_str("; the capture says that its sensor lost packets, perhaps the answers");
        }
    }
}

//! What judging leaves at the end of the evidence.
//!
//! In:  what was collected.
//! Out: findings, requirements, counts, and what limits and capture loss did to them.
//! Not: rows of flows and DNS responses: those were written as they ended.

use ipnet::IpNet;

use super::catalogue::Proof;
use super::policy::declared_hosts::AbsentHosts;
use super::rows::FindingRows;
use super::rows::RequirementRow;
use super::rows::Tally;
use super::vocabulary::Confidence;

/// The result of judging one run, or one interval of a live run.
#[derive(Debug)]
pub struct JudgeResult {
    /// Most severe first.
    pub findings: FindingRows,
    /// Counts.
    pub tally: Tally,
    /// What the site needs, in the order of the documents.
    pub requirements: Vec<RequirementRow>,
    /// Limits that were reached, a sentence each.
    pub bounds: Vec<String>,
    /// What the capture lacks, a sentence each.
    pub gaps: Vec<String>,
    /// What the site file seems to leave out, a sentence each.
    pub site_hints: Vec<String>,
    /// Networks of audited servers, as given, of which no host opened a flow.
    pub silent_servers: Vec<IpNet>,
    /// Other hosts that the site file declares, of which the run has seen no flow so far.
    pub absent_hosts: Vec<AbsentHosts>,
    /// What further capture points show of the same conversations, which has no rows of its own.
    pub joined: JoinedFlows,
    /// Flows with a row that had not ended where reading ended.
    pub unfinished: UnfinishedFlows,
}

/// Flows that had not ended where reading ended: their rows may lack what follows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UnfinishedFlows {
    /// How many.
    pub count: u64,
    /// The first ones, as in the column `flow_id`.
    pub first: Vec<u64>,
}

impl UnfinishedFlows {
    /// Flows that are listed.
    const LISTED: usize = 10_000;

    /// Adds a flow.
    pub(super) fn add(&mut self, flow_id: u64) {
        self.count += 1;
        if self.first.len() < UnfinishedFlows::LISTED {
            self.first.push(flow_id);
        }
    }
}

/// Flows at capture points other than the nearest to the client.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct JoinedFlows {
    /// Flows.
    pub flows: u64,
    /// Their packets.
    pub packets: u64,
    /// Their payload bytes.
    pub payload_bytes: u64,
}

impl JudgeResult {
    /// The statistics at the end of the capture report dropped packets: findings that rest on silence become weak.
    pub fn doubt(&mut self) {
        for row in self.findings.iter_mut().filter(|row| row.code.entry().proof == Proof::Silence) {
            row.confidence = row.confidence.min(Some(Confidence::Weak));
            row.message.push_str("; the capture device reports dropped packets, which may include the reply");
        }
    }
}

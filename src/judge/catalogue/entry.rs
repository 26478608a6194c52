//! What an entry of the table of finding codes consists of.
//!
//! In:  nothing: these are types.
//! Out: the fields of an entry, and their values.
//! Not: the entries; see `code`.

use super::Texts;
use super::statement_subject::StatementSubject;
use crate::judge::vocabulary::Confidence;
use crate::judge::vocabulary::Severity;

/// What a finding code implies.
#[derive(Clone, Copy, Debug)]
pub struct FindingEntry {
    /// Stable code.
    pub code: &'static str,
    /// How much it matters.
    pub severity: Severity,
    /// The finding in a few words.
    pub title: &'static str,
    /// What `explain` prints.
    pub texts: Texts,
    /// The statements of the documents that it cites besides the rows of the destination.
    pub(in crate::judge) cites: Option<StatementSubject>,
    /// What proves it.
    pub(in crate::judge) proof: Proof,
    /// Where its confidence comes from.
    pub(in crate::judge) confidence: ConfidenceSource,
    /// What its target is.
    pub(in crate::judge) target: TargetKind,
    /// What else of the capture is compared with it.
    pub(in crate::judge) compared: Compared,
}

/// What proves a finding, and so how early it can be announced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::judge) enum Proof {
    /// Names and payload, before the flow ends.
    Payload,
    /// A reset or an ICMP error.
    Refusal,
    /// The end of the flow.
    FlowEnd,
    /// The absence of packets, for as long as the flow was observed.
    Silence,
    /// One DNS response.
    DnsResponse,
    /// That nothing in the rest of the capture disproves it.
    RunEnd,
}

/// Where a finding's confidence comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::judge) enum ConfidenceSource {
    /// The fact itself is in the capture: the confidence column is empty.
    Observed,
    /// The same for every occurrence.
    Fixed(Confidence),
    /// The confidence in the mechanism.
    OfMechanism,
}

/// What the target of a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::judge) enum TargetKind {
    /// The destination: its name, else its address.
    Destination,
    /// The server's address and port.
    Service,
}

/// What else of the capture is compared with a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::judge) enum Compared {
    /// Nothing.
    Nothing,
    /// Other times at which the same name worked: a proxy, a portal or a certificate needs no other comparison.
    SameName,
    /// The same, and other hosts that use the same proxy for it.
    SameProxy,
    /// Other names at the same address, other addresses of the same name, and other times.
    AllFlows,
}

//! Bounds the rows of an evidence folder (`--max-evidence`).
//!
//! In:  rows of flows and of DNS messages; the bytes that were written.
//! Out: whether a row is written as it is; at the end one row for each kind of the others, with a count.
//! Not: files.
//!
//! Half of the bytes are for rows as they come. After that, rows of one kind become one: a flood of a million connection
//! attempts adds a few rows. A row that names a documented endpoint is of a kind of its own for each client and name.

use std::hash::Hash;
use std::sync::Arc;

use hashbrown::HashMap;

use super::human::count;
use crate::base::Address;
use crate::base::HostName;
use crate::judge::DestinationVerdict;
use crate::judge::DnsRow;
use crate::judge::FlowRow;
use crate::judge::PortVerdict;

/// Kinds of each table. Rows of further kinds are not written.
const MAX_KINDS: usize = 1 << 10;

/// The rows of one evidence folder.
pub(super) struct RowLimit {
    /// Bytes of all tables.
    bytes: u64,
    flows: Collapsed<FlowKind, FlowRow>,
    dns: Collapsed<DnsKind, DnsRow>,
    /// Findings and requirements that were not written.
    unwritten: u64,
}

/// What flows that become one row have in common.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct FlowKind {
    protocol: u8,
    app: &'static str,
    outcome: &'static str,
    /// The mechanism, or the reason of an inconclusive outcome.
    why: &'static str,
    destination: Option<DestinationVerdict>,
    port: Option<PortVerdict>,
    /// Of a flow with a documented name.
    named: Option<(Address, u16, Arc<HostName>)>,
}

impl FlowKind {
    fn of(row: &FlowRow) -> FlowKind {
        let mechanism = row.assessment.mechanism().map(|mechanism| mechanism.as_str());
        let reason = row.assessment.reason().map(|reason| reason.as_str());
        let name = row.name.as_ref().filter(|_| row.documented.is_some());
        FlowKind {
            protocol: row.protocol,
            app: row.app,
            outcome: row.assessment.outcome().as_str(),
            why: mechanism.or(reason).unwrap_or_default(),
            destination: row.destination_verdict,
            port: row.port_verdict,
            named: name.map(|name| (row.client.address, row.server.port, Arc::clone(name))),
        }
    }
}

/// What DNS messages that become one row have in common.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct DnsKind {
    client: Address,
    resolver: Address,
    query_type: u16,
    rcode: Option<u16>,
    /// The last two labels of the name.
    zone: Box<str>,
}

impl DnsKind {
    fn of(row: &DnsRow) -> DnsKind {
        let name = row.resolution.query_name.as_str();
        let zone = name.rmatch_indices('.').nth(1).and_then(|(at, _)| name.get(at + 1..)).unwrap_or(name);
        DnsKind {
            client: row.client.address,
            resolver: row.resolver.address,
            query_type: row.resolution.query_type,
            rcode: row.resolution.rcode,
            zone: zone.into(),
        }
    }
}

/// Rows of one table that are not written as they come.
struct Collapsed<K, R> {
    kinds: HashMap<K, usize>,
    /// The first row of each kind.
    rows: Vec<R>,
    /// Rows that became one of these.
    taken: u64,
    /// Rows of further kinds.
    unwritten: u64,
}

impl<K, R> Default for Collapsed<K, R> {
    fn default() -> Self {
        Collapsed { kinds: HashMap::default(), rows: Vec::new(), taken: 0, unwritten: 0 }
    }
}

impl<K: Hash + Eq, R: Clone> Collapsed<K, R> {
    fn add(&mut self, kind: K, row: &R, merge: impl FnOnce(&mut R)) {
        if let Some(first) = self.kinds.get(&kind).and_then(|place| self.rows.get_mut(*place)) {
            merge(first);
        } else if self.kinds.len() < MAX_KINDS {
            self.kinds.insert(kind, self.rows.len());
            self.rows.push(row.clone());
        } else {
            self.unwritten += 1;
            return;
        }
        self.taken += 1;
    }

    fn sentences(&self, noun: &str) -> Vec<String> {
        let mut sentences = Vec::new();
        if self.taken > self.kinds.len() as u64 {
            let rows = count(self.kinds.len() as u64, "row");
            sentences.push(format!("evidence: {} in {rows}, one for each kind", count(self.taken, noun)));
        }
        if self.unwritten > 0 {
            sentences.push(format!("evidence: {} of further kinds in no row", count(self.unwritten, noun)));
        }
        sentences
    }
}

impl RowLimit {
    /// At most about `bytes` of rows.
    pub(super) fn new(bytes: u64) -> RowLimit {
        RowLimit { bytes, flows: Collapsed::default(), dns: Collapsed::default(), unwritten: 0 }
    }

    /// Whether a flow is written as it is, after `written` bytes of rows.
    pub(super) fn takes_flow(&mut self, row: &FlowRow, written: u64) -> bool {
        if written < self.bytes / 2 {
            return true;
        }
        self.flows.add(FlowKind::of(row), row, |first| {
            first.further_flows += 1;
            (first.last_frame, first.last_seen) = (row.last_frame, first.last_seen.max(row.last_seen));
            for (sum, more) in first.packets.iter_mut().zip(row.packets) {
                *sum = sum.saturating_add(more);
            }
            for (sum, more) in first.bytes.iter_mut().zip(row.bytes) {
                *sum = sum.saturating_add(more);
            }
        });
        false
    }

    /// Whether a DNS message is written as it is.
    pub(super) fn takes_dns(&mut self, row: &DnsRow, written: u64) -> bool {
        if written < self.bytes / 2 {
            return true;
        }
        self.dns.add(DnsKind::of(row), row, |first| first.further_messages += 1);
        false
    }

    /// Whether a finding or a requirement is written. Those that matter most come first.
    pub(super) fn takes_other(&mut self, written: u64) -> bool {
        let fits = written < self.bytes;
        self.unwritten += u64::from(!fits);
        fits
    }

    /// The rows that others became, in the order of the first of each.
    pub(super) fn take_rows(&mut self) -> (Vec<FlowRow>, Vec<DnsRow>) {
        (std::mem::take(&mut self.flows.rows), std::mem::take(&mut self.dns.rows))
    }

    /// What was left out, for the manifest.
    pub(super) fn sentences(&self) -> Vec<String> {
        let mut sentences = vec!["evidence: with --max-evidence no facts are stored for `judge`".to_owned()];
        sentences.extend(self.flows.sentences("flow"));
        sentences.extend(self.dns.sentences("DNS message"));
        if self.unwritten > 0 {
            let rows = count(self.unwritten, "row");
            sentences.push(format!("evidence: {rows} of findings and requirements were not written"));
        }
        sentences
    }
}

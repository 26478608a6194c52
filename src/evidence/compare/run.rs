//! Reads what is compared of one run.
//!
//! In:  an evidence folder.
//! Out: its servers, requirements, findings, contacted destinations and resolved names; all bounded.
//! Not: how they differ from those of another run.

use std::collections::BTreeSet;
use std::collections::HashMap;
use std::net::IpAddr;

use super::rows::ChangeFrames;
use crate::judge::DestinationVerdict;
use crate::judge::DnsRow;
use crate::judge::FindingRow;
use crate::judge::FlowRow;
use crate::judge::PortVerdict;
use crate::judge::RequirementRow;
use crate::judge::RequirementState;
use crate::judge::Severity;
use crate::report::ReadError;
use crate::report::StoredEvidence;
use crate::report::StoredRow;
use crate::report::TableRow as _;

/// Rows of a table that are kept: those of thousands of servers.
const ROW_LIMIT: usize = 200_000;

/// Pairs of server and destination, and of server and resolved name, that are kept.
const CONTACT_LIMIT: usize = 1 << 18;

/// What is compared of a run.
#[derive(Default)]
pub(super) struct ComparedRun {
    /// Hosts that were audited.
    pub(super) servers: BTreeSet<IpAddr>,
    pub(super) requirements: Vec<ComparedRequirement>,
    pub(super) findings: Vec<Finding>,
    pub(super) contacts: HashMap<ContactKey, Contact>,
    /// Whether a server got an address for a name.
    pub(super) resolved: HashMap<(IpAddr, String), bool>,
    /// Rows that were not kept, by table.
    pub(super) left_out: Vec<(&'static str, u64)>,
}

/// A documented endpoint that a server needs.
pub(super) struct ComparedRequirement {
    pub(super) server: Option<IpAddr>,
    pub(super) service: String,
    pub(super) references: Vec<String>,
    pub(super) is_required: bool,
    pub(super) state: Option<RequirementState>,
    pub(super) mechanism: String,
    pub(super) note: String,
    pub(super) shown_by: ChangeFrames,
}

/// A finding.
pub(super) struct Finding {
    pub(super) server: Option<IpAddr>,
    pub(super) code: String,
    pub(super) mechanism: String,
    pub(super) target: String,
    pub(super) severity: Option<Severity>,
    pub(super) message: String,
    pub(super) references: Vec<String>,
    /// The destination by name, else by address; empty if the finding is not about a destination.
    pub(super) destination: String,
    pub(super) port: u64,
    pub(super) shown_by: ChangeFrames,
}

/// A destination of one server.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) struct ContactKey {
    pub(super) server: IpAddr,
    /// Its name, else its address.
    pub(super) destination: String,
    pub(super) port: u64,
    pub(super) transport: String,
}

/// What is known of it.
#[derive(Clone, Default)]
pub(super) struct Contact {
    /// The worst verdicts of its flows.
    pub(super) destination_verdict: Option<DestinationVerdict>,
    pub(super) port_verdict: Option<PortVerdict>,
    /// Flows by outcome: ok, blocked-looking, inconclusive.
    pub(super) outcomes: [u64; 3],
    /// Documented rows of the first flow.
    pub(super) references: Vec<String>,
    /// The port that was requested from a proxy, which has the port of the key.
    pub(super) requested_port: Option<u64>,
}

impl ComparedRun {
    /// Reads the tables.
    pub(super) fn read(evidence: &StoredEvidence) -> Result<ComparedRun, ReadError> {
        let mut run = ComparedRun::default();
        let audited = evidence.manifest().get("tally").and_then(|tally| tally.get("audited"));
        let audited = audited.and_then(serde_json::Value::as_array).into_iter().flatten();
        run.servers.extend(audited.filter_map(|text| text.as_str()?.parse::<IpAddr>().ok()));
        let mut left_out = [0; 4];
        let [requirements, findings, flows, names] = &mut left_out;
        evidence.for_each_row(RequirementRow::FILE, |row| run.add_requirement(row, requirements))?;
        evidence.for_each_row(FindingRow::FILE, |row| run.add_finding(row, findings))?;
        evidence.for_each_row(FlowRow::FILE, |row| run.add_flow(row, flows))?;
        evidence.for_each_row(DnsRow::FILE, |row| run.add_dns(row, names))?;
        let tables = [RequirementRow::FILE, FindingRow::FILE, FlowRow::FILE, DnsRow::FILE];
        run.left_out = tables.into_iter().zip(left_out).filter(|(_, rows)| *rows > 0).collect();
        Ok(run)
    }

    /// Flows of a server to a destination, by outcome, whatever their transport.
    pub(super) fn outcomes_of(&self, server: IpAddr, destination: &str, port: u64) -> [u64; 3] {
        let mut outcomes = [0; 3];
        for transport in ["tcp", "udp", "sctp"] {
            let (destination, transport) = (destination.to_owned(), transport.to_owned());
            let contact = self.contacts.get(&ContactKey { server, destination, port, transport });
            for (sum, flows) in
                outcomes.iter_mut().zip(contact.map(|contact| contact.outcomes).unwrap_or_default())
            {
                *sum += flows;
            }
        }
        outcomes
    }

    fn add_requirement(&mut self, row: &StoredRow<'_>, left_out: &mut u64) {
        if self.requirements.len() >= ROW_LIMIT {
            *left_out += 1;
            return;
        }
        let server = row.raw("server").parse().ok();
        self.servers.extend(server);
        let state = row.raw("state");
        self.requirements.push(ComparedRequirement {
            server,
            service: row.text("service").to_owned(),
            references: row.list("references"),
            is_required: row.raw("level") == "required",
            state: RequirementState::ALL.iter().copied().find(|word| word.as_str() == state),
            mechanism: row.text("mechanism").to_owned(),
            note: row.text("note").to_owned(),
            shown_by: shown_by(row),
        });
    }

    fn add_finding(&mut self, row: &StoredRow<'_>, left_out: &mut u64) {
        if self.findings.len() >= ROW_LIMIT {
            *left_out += 1;
            return;
        }
        let server = row.raw("audited_host").parse().ok();
        self.servers.extend(server);
        let name = row.text("name");
        self.findings.push(Finding {
            server,
            code: row.text("code").to_owned(),
            mechanism: row.text("mechanism").to_owned(),
            target: row.text("target").to_owned(),
            severity: Severity::ALL.iter().copied().find(|word| word.as_str() == row.raw("severity")),
            message: row.text("message").to_owned(),
            references: row.list("references"),
            destination: if name.is_empty() { row.text("server_ip") } else { name }.to_owned(),
            port: row.number("server_port"),
            shown_by: shown_by(row),
        });
    }

    fn add_flow(&mut self, row: &StoredRow<'_>, left_out: &mut u64) {
        let verdict = row.raw("destination_verdict");
        // Flows without a verdict are not of audited hosts.
        let verdict = DestinationVerdict::ALL.iter().copied().find(|word| word.as_str() == verdict);
        let (Some(verdict), Ok(server)) = (verdict, row.raw("client_ip").parse()) else { return };
        self.servers.insert(server);
        let name = row.text("name");
        let key = ContactKey {
            server,
            destination: if name.is_empty() { row.text("server_ip") } else { name }.to_owned(),
            port: row.number("server_port"),
            transport: row.text("transport").to_owned(),
        };
        if self.contacts.len() >= CONTACT_LIMIT && !self.contacts.contains_key(&key) {
            *left_out += 1;
            return;
        }
        let contact = self
            .contacts
            .entry(key)
            .or_insert_with(|| Contact { references: row.list("references"), ..Contact::default() });
        if !row.raw("requested_port").is_empty() {
            contact.requested_port = Some(row.number("requested_port"));
        }
        let port = row.raw("port_verdict");
        let port = PortVerdict::ALL.iter().copied().find(|word| word.as_str() == port);
        contact.destination_verdict = contact.destination_verdict.max(Some(verdict));
        contact.port_verdict = contact.port_verdict.max(port);
        let outcome = match row.raw("outcome") {
            "ok" => 0,
            "blocked-looking" => 1,
            _ => 2,
        };
        if let Some(flows) = contact.outcomes.get_mut(outcome) {
            *flows += 1;
        }
    }

    fn add_dns(&mut self, row: &StoredRow<'_>, left_out: &mut u64) {
        let Ok(client) = row.raw("client_ip").parse() else { return };
        if row.raw("rcode").is_empty() || row.raw("multicast") == "true" {
            return;
        }
        let key = (client, row.text("query_name").to_owned());
        if self.resolved.len() >= CONTACT_LIMIT && !self.resolved.contains_key(&key) {
            *left_out += 1;
            return;
        }
        let has_address = row.raw("rcode") == "NOERROR" && !row.raw("resolved_addresses").is_empty();
        *self.resolved.entry(key).or_default() |= has_address;
    }
}

fn shown_by(row: &StoredRow<'_>) -> ChangeFrames {
    ChangeFrames { file: row.text("file").to_owned(), frames: row.list("frames") }
}

//! Collects from an evidence folder what the page shows.
//!
//! In:  the tables of a folder, each read once.
//! Out: endpoints by server, causes by need, destinations by verdict, attempts over time; all bounded.
//! Not: how they look.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use hashbrown::HashMap;
use hashbrown::HashSet;

use super::super::column::TableRow as _;
use super::super::stored::ReadError;
use super::super::stored::StoredEvidence;
use super::super::stored::StoredRow;
use super::timeline::Timeline;
use crate::base::Time;
use crate::judge::Confidence;
use crate::judge::DestinationVerdict;
use crate::judge::FindingCode;
use crate::judge::FindingRow;
use crate::judge::FlowRow;
use crate::judge::RequirementRow;
use crate::judge::Severity;

/// Rows of `requirements.csv` and `findings.csv` that are kept; the others are counted.
const ROW_LIMIT: usize = 100_000;

/// Destinations that are counted.
const DESTINATION_LIMIT: usize = 1 << 14;

/// Pairs of destination and client that are counted.
const PAIR_LIMIT: usize = 1 << 17;

/// The times of the first and the last frame.
pub(in crate::report) type CaptureSpan = (Time, Time);

/// A server; none for the site as a whole.
pub(super) type Server = Option<IpAddr>;

/// Everything that the page shows of the tables.
pub(in crate::report) struct PageModel {
    pub(super) endpoints: Vec<PageEndpoint>,
    pub(super) causes: Vec<Cause>,
    /// All findings.
    pub(super) findings: u64,
    /// Findings of high severity.
    pub(super) high_findings: u64,
    pub(super) destinations: PageDestinations,
    /// Inconclusive flows by reason.
    pub(super) inconclusive: BTreeMap<String, u64>,
    pub(super) timeline: Option<Timeline>,
    /// Rows that were not kept.
    pub(super) rows_left_out: u64,
}

/// A documented endpoint that the site needs.
pub(super) struct PageEndpoint {
    pub(super) service: String,
    pub(super) documented_as: Vec<String>,
    /// The name that the site file gives it; empty without one.
    pub(super) name: String,
    pub(super) level: String,
    pub(super) references: Vec<String>,
    pub(super) by_server: BTreeMap<Server, EndpointState>,
    pub(super) note: String,
    /// Attempts that succeeded, and attempts that look blocked.
    pub(super) attempts: [u64; 2],
}

/// What is known of an endpoint for one server.
#[derive(Clone, Default)]
pub(super) struct EndpointState {
    pub(super) state: String,
    pub(super) mechanism: String,
    pub(super) last_reached: Option<Time>,
    /// Times of single attempts that succeeded.
    pub(super) reached: [Option<Time>; 2],
    /// Times of single attempts that look blocked.
    pub(super) blocked: [Option<Time>; 2],
}

impl PageEndpoint {
    /// Servers for which it looks blocked.
    pub(super) fn blocked_servers(&self) -> impl Iterator<Item = Server> {
        self.by_server.iter().filter(|(_, state)| state.is_blocked()).map(|(server, _)| *server)
    }

    /// Whether an attempt of any server looks blocked.
    pub(super) fn is_blocked(&self) -> bool {
        self.by_server.values().any(EndpointState::is_blocked)
    }

    pub(super) fn is_required(&self) -> bool {
        self.level == "required"
    }

    /// The order on the page: what is needed and blocked first.
    fn rank(&self) -> (u8, u8) {
        let has = |state: &str| self.by_server.values().any(|of_server| of_server.state == state);
        let state = match () {
            () if has("blocked") => 0,
            () if has("partly-blocked") => 1,
            () if has("not-observed") => 3,
            () => 2,
        };
        (state, u8::from(!self.is_required()))
    }
}

impl EndpointState {
    pub(super) fn is_blocked(&self) -> bool {
        matches!(self.state.as_str(), "blocked" | "partly-blocked")
    }
}

/// Findings of one code and mechanism.
pub(super) struct Cause {
    pub(super) code: String,
    pub(super) title: String,
    pub(super) mechanism: String,
    pub(super) severity: Option<Severity>,
    pub(super) need: CauseNeed,
    /// Flows and DNS responses.
    pub(super) count: u64,
    /// In the order of the rows.
    pub(super) findings: Vec<StoredFinding>,
}

/// Whether a finding concerns an endpoint that the site needs, most needed first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum CauseNeed {
    /// A required endpoint is blocked.
    RequiredBlocked,
    /// An endpoint that the documents recommend or need at times is blocked.
    OtherBlocked,
    /// No endpoint that the site needs.
    None,
}

/// A finding.
pub(super) struct StoredFinding {
    pub(super) need: CauseNeed,
    pub(super) severity: Option<Severity>,
    pub(super) confidence: Option<Confidence>,
    pub(super) message: String,
    pub(super) recommendation: String,
    pub(super) file: String,
    pub(super) frames: Vec<String>,
    pub(super) references: Arc<[String]>,
    /// Its number is one of DNS messages, not of flows.
    pub(super) is_dns: bool,
    count: u64,
    audited_host: String,
    /// The code of the finding that says its cause.
    cause: String,
}

/// Destinations of audited hosts.
#[derive(Default)]
pub(super) struct PageDestinations {
    /// By verdict, in the order of the page, the most flows first.
    pub(super) by_verdict: Vec<(DestinationVerdict, Vec<DestinationCounts>)>,
    /// Flows to destinations that were not counted.
    pub(super) missed: u64,
}

/// A destination of audited hosts.
#[derive(Clone, Default)]
pub(super) struct DestinationCounts {
    pub(super) name: String,
    /// Port and transport, and whether a proxy was asked for it.
    pub(super) port: String,
    pub(super) port_verdict: String,
    /// ok, blocked-looking, inconclusive.
    pub(super) outcomes: [u64; 3],
    pub(super) clients: u64,
    pub(super) bytes: u64,
}

impl PageModel {
    /// Reads the tables of a run over the capture of `span`.
    pub(in crate::report) fn read(
        evidence: &StoredEvidence,
        span: Option<CaptureSpan>,
    ) -> Result<PageModel, ReadError> {
        let mut rows_left_out = 0;
        let mut endpoints = read_endpoints(evidence, &mut rows_left_out)?;
        endpoints.sort_by_key(PageEndpoint::rank);
        let findings = read_findings(evidence, &endpoints, &mut rows_left_out)?;
        let high =
            |finding: &&(String, String, String, StoredFinding)| finding.3.severity == Some(Severity::High);
        let (count, high_findings) = (findings.len() as u64, findings.iter().filter(high).count() as u64);
        let timeline = span.map(|(first, last)| Timeline::new(first, last, &endpoints));
        let mut flows = PageFlowCounts { timeline, ..PageFlowCounts::default() };
        evidence.for_each_row(FlowRow::FILE, |row| flows.add(row))?;
        let destinations = flows.destinations();
        if let Some(timeline) = &mut flows.timeline {
            timeline.add_single_attempts(&endpoints);
        }
        Ok(PageModel {
            causes: group_by_cause(findings),
            endpoints,
            findings: count,
            high_findings,
            destinations,
            inconclusive: flows.inconclusive,
            timeline: flows.timeline,
            rows_left_out,
        })
    }

    /// Endpoints of this level or of any that look blocked for a server.
    pub(super) fn blocked_endpoints(&self) -> impl Iterator<Item = &PageEndpoint> {
        self.endpoints.iter().filter(|endpoint| endpoint.is_blocked())
    }
}

fn read_endpoints(evidence: &StoredEvidence, left_out: &mut u64) -> Result<Vec<PageEndpoint>, ReadError> {
    let mut endpoints: Vec<PageEndpoint> = Vec::new();
    let mut by_key: HashMap<(String, String), usize> = HashMap::new();
    let mut rows = 0;
    evidence.for_each_row(RequirementRow::FILE, |row| {
        rows += 1;
        if rows > ROW_LIMIT {
            *left_out += 1;
            return;
        }
        let key = (row.raw("references").to_owned(), row.raw("service").to_owned());
        let at = *by_key.entry(key).or_insert(endpoints.len());
        if at == endpoints.len() {
            endpoints.push(PageEndpoint {
                service: row.text("service").to_owned(),
                documented_as: row.list("documented_as"),
                name: row.text("name").to_owned(),
                level: row.raw("level").to_owned(),
                references: row.list("references"),
                by_server: BTreeMap::new(),
                note: String::new(),
                attempts: [0; 2],
            });
        }
        let Some(endpoint) = endpoints.get_mut(at) else { return };
        endpoint.attempts =
            [endpoint.attempts[0] + row.number("reached"), endpoint.attempts[1] + row.number("blocked")];
        if endpoint.note.is_empty() {
            endpoint.note = row.text("note").to_owned();
        }
        let state = EndpointState {
            state: row.raw("state").to_owned(),
            mechanism: row.raw("mechanism").to_owned(),
            last_reached: row.time("last_reached"),
            reached: [row.time("first_reached"), row.time("last_reached")],
            blocked: [row.time("first_blocked"), row.time("last_blocked")],
        };
        endpoint.by_server.insert(row.raw("server").parse().ok(), state);
    })?;
    Ok(endpoints)
}

type CodedFinding = (String, String, String, StoredFinding);

/// Findings with code, title and mechanism.
fn read_findings(
    evidence: &StoredEvidence,
    endpoints: &[PageEndpoint],
    left_out: &mut u64,
) -> Result<Vec<CodedFinding>, ReadError> {
    let mut needs: HashMap<&str, CauseNeed> = HashMap::new();
    for endpoint in endpoints.iter().filter(|endpoint| endpoint.is_blocked()) {
        let need = if endpoint.is_required() { CauseNeed::RequiredBlocked } else { CauseNeed::OtherBlocked };
        for reference in &endpoint.references {
            let known = needs.entry(id_of(reference)).or_insert(need);
            *known = need.min(*known);
        }
    }
    let mut findings: Vec<CodedFinding> = Vec::new();
    // Thousands of findings cite a few lists.
    let mut lists: HashMap<String, (Arc<[String]>, Option<CauseNeed>)> = HashMap::new();
    evidence.for_each_row(FindingRow::FILE, |row| {
        if findings.len() >= ROW_LIMIT {
            *left_out += 1;
            return;
        }
        let (references, need) = lists.entry_ref(row.raw("references")).or_insert_with(|| {
            let list = row.list("references");
            let need = list.iter().filter_map(|id| needs.get(id_of(id)).copied()).min();
            (list.into(), need)
        });
        let is_blocked = !row.raw("mechanism").is_empty();
        let code = FindingCode::parse(row.raw("code"));
        let finding = StoredFinding {
            is_dns: code.is_some_and(FindingCode::is_about_dns),
            need: need.filter(|_| is_blocked).unwrap_or(CauseNeed::None),
            severity: Severity::ALL.iter().copied().find(|word| word.as_str() == row.raw("severity")),
            confidence: Confidence::ALL.iter().copied().find(|word| word.as_str() == row.raw("confidence")),
            message: row.text("message").to_owned(),
            recommendation: row.text("recommendation").to_owned(),
            file: row.text("file").to_owned(),
            frames: row.list("frames"),
            references: Arc::clone(references),
            count: row.number("count"),
            audited_host: row.raw("audited_host").to_owned(),
            cause: row.raw("cause").to_owned(),
        };
        let [code, title, mechanism] =
            ["code", "title", "mechanism"].map(|column| row.raw(column).to_owned());
        findings.push((code, title, mechanism, finding));
    })?;
    Ok(findings)
}

/// Findings of one code, mechanism, severity and recommendation, in the order of the rows: the most needed come first. A finding
/// that another explains is in the group of that one, which comes before it.
fn group_by_cause(findings: Vec<CodedFinding>) -> Vec<Cause> {
    let mut causes: Vec<Cause> = Vec::new();
    let mut by_key: HashMap<(String, String, Option<Severity>, String), usize> = HashMap::new();
    let mut by_host: HashMap<(String, String), usize> = HashMap::new();
    for (code, title, mechanism, finding) in findings {
        let key = (code.clone(), mechanism.clone(), finding.severity, finding.recommendation.clone());
        let explained = by_host.get(&(finding.cause.clone(), finding.audited_host.clone())).copied();
        let at = explained.unwrap_or_else(|| *by_key.entry(key).or_insert(causes.len()));
        by_host.entry((code.clone(), finding.audited_host.clone())).or_insert(at);
        if at == causes.len() {
            let (need, severity) = (finding.need, finding.severity);
            causes.push(Cause { code, title, mechanism, severity, need, count: 0, findings: Vec::new() });
        }
        let Some(cause) = causes.get_mut(at) else { continue };
        cause.need = cause.need.min(finding.need);
        cause.count += finding.count;
        cause.findings.push(finding);
    }
    causes
}

/// The id of a reference without the remark that follows it.
pub(super) fn id_of(reference: &str) -> &str {
    reference.split_whitespace().next().unwrap_or_default()
}

/// `443`, `443 (proxy)`, `3343/udp`, `icmp`.
fn port_text(row: &StoredRow<'_>) -> String {
    let (requested, transport) = (row.raw("requested_port"), row.raw("transport"));
    match (transport, requested) {
        ("icmp" | "icmp6", _) => transport.to_owned(),
        ("tcp", "") => row.raw("server_port").to_owned(),
        (_, "") => format!("{}/{transport}", row.raw("server_port")),
        ("tcp", _) => format!("{requested} (proxy)"),
        _ => format!("{requested}/{transport} (proxy)"),
    }
}

/// What is counted of flows.
#[derive(Default)]
struct PageFlowCounts {
    destinations: HashMap<(String, String, DestinationVerdict), (u32, DestinationCounts)>,
    pairs: HashSet<(u32, IpAddr)>,
    missed: u64,
    inconclusive: BTreeMap<String, u64>,
    timeline: Option<Timeline>,
}

impl PageFlowCounts {
    fn add(&mut self, row: &StoredRow<'_>) {
        let verdict = row.raw("destination_verdict");
        // Flows without a verdict are not of audited hosts.
        let Some(verdict) = DestinationVerdict::ALL.iter().copied().find(|word| word.as_str() == verdict)
        else {
            return;
        };
        let outcome = match row.raw("outcome") {
            "ok" => 0,
            "blocked-looking" => 1,
            _ => 2,
        };
        if outcome == 2 {
            let reason = row.raw("inconclusive_reason");
            if self.inconclusive.len() < 256 || self.inconclusive.contains_key(reason) {
                *self.inconclusive.entry(reason.to_owned()).or_default() += 1;
            }
        }
        if let Some(timeline) = &mut self.timeline {
            timeline.add(row, outcome);
        }
        let name = if row.raw("name").is_empty() { row.raw("server_ip") } else { row.text("name") };
        let port = port_text(row);
        let key = (name.to_owned(), port.clone(), verdict);
        let next = self.destinations.len();
        if next >= DESTINATION_LIMIT && !self.destinations.contains_key(&key) {
            self.missed += 1;
            return;
        }
        let (number, destination) = self.destinations.entry(key).or_insert_with(|| {
            let name = name.to_owned();
            (next as u32, DestinationCounts { name, port, ..DestinationCounts::default() })
        });
        if let Some(count) = destination.outcomes.get_mut(outcome) {
            *count += 1;
        }
        if destination.port_verdict != "not-443" {
            destination.port_verdict = row.raw("port_verdict").to_owned();
        }
        destination.bytes += row.number("bytes_to_server") + row.number("bytes_to_client");
        if let (Ok(client), true) = (row.raw("client_ip").parse(), self.pairs.len() < PAIR_LIMIT) {
            destination.clients += u64::from(self.pairs.insert((*number, client)));
        }
    }

    /// The destinations, the verdicts that need a decision first.
    fn destinations(&mut self) -> PageDestinations {
        let mut by_verdict: Vec<(DestinationVerdict, Vec<DestinationCounts>)> =
            DestinationVerdict::ALL.iter().rev().map(|verdict| (*verdict, Vec::new())).collect();
        for ((_, _, verdict), (_, destination)) in self.destinations.drain() {
            if let Some((_, list)) = by_verdict.iter_mut().find(|(word, _)| *word == verdict) {
                list.push(destination);
            }
        }
        let flows = |destination: &DestinationCounts| destination.outcomes.iter().sum::<u64>();
        for (_, list) in &mut by_verdict {
            list.sort_by(|a, b| {
                let blocked_first = b.outcomes[1].cmp(&a.outcomes[1]);
                let by_name = (&a.name, a.port.len(), &a.port).cmp(&(&b.name, b.port.len(), &b.port));
                blocked_first.then(flows(b).cmp(&flows(a))).then(by_name)
            });
        }
        PageDestinations { by_verdict, missed: self.missed }
    }
}

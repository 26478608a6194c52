//! Collects findings: one for each audited host, target, code and mechanism, however many flows prove it.
//!
//! In:  occurrences, as checks find them.
//! Out: rows at the end, most severe first; reports of problems as they occur, in a live run.
//! Not: what the codes mean; see `catalogue`.

mod other_flows;
mod stale_addresses;

use std::hash::Hash;
use std::hash::Hasher;
use std::sync::Arc;

use hashbrown::Equivalent;
use hashbrown::HashMap;
use hashbrown::HashSet;
use smallvec::SmallVec;

use super::cause;
use super::checks::BETWEEN_ROLES;
use super::checks::NOT_OF_SITE;
use super::citations::CitationCache;
use super::problems::FlowStage;
use super::problems::ProblemList;
use super::problems::ProblemReport;
use super::problems::Problems;
use super::problems::Success;
use crate::base::Address;
use crate::base::FrameRef;
use crate::base::HostName;
use crate::base::Time;
use crate::base::WireText;
use crate::flow::Endpoint;
use crate::judge::catalogue::FindingCode;
use crate::judge::catalogue::Mechanism;
use crate::judge::policy::need::Need;
use crate::judge::rows::FindingRow;
use crate::judge::rows::FindingRows;
use crate::judge::rows::SharedPath;
use crate::judge::vocabulary::Confidence;
use crate::judge::vocabulary::Severity;

/// Flows and frames that one finding names.
pub(super) const MAX_NAMED: usize = 10;

/// What a finding is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(in crate::judge) enum FindingTarget<'a> {
    Name(&'a Arc<HostName>),
    Address(Address),
    Service(Endpoint),
    Text(&'a str),
}

/// The same, owned.
#[derive(Clone, Debug, PartialEq, Eq)]
enum OwnedTarget {
    Name(Arc<HostName>),
    Address(Address),
    Service(Endpoint),
    Text(Box<str>),
}

impl From<FindingTarget<'_>> for OwnedTarget {
    fn from(target: FindingTarget<'_>) -> OwnedTarget {
        match target {
            FindingTarget::Name(name) => OwnedTarget::Name(Arc::clone(name)),
            FindingTarget::Address(address) => OwnedTarget::Address(address),
            FindingTarget::Service(server) => OwnedTarget::Service(server),
            FindingTarget::Text(text) => OwnedTarget::Text(text.into()),
        }
    }
}

impl OwnedTarget {
    fn borrow(&self) -> FindingTarget<'_> {
        match self {
            OwnedTarget::Name(name) => FindingTarget::Name(name),
            OwnedTarget::Address(address) => FindingTarget::Address(*address),
            OwnedTarget::Service(server) => FindingTarget::Service(*server),
            OwnedTarget::Text(text) => FindingTarget::Text(text),
        }
    }

    /// As the column `target` prints it.
    fn text(&self) -> String {
        match self {
            OwnedTarget::Name(name) => name.to_string(),
            OwnedTarget::Address(address) => address.to_string(),
            OwnedTarget::Text(text) => text.to_string(),
            OwnedTarget::Service(server) => {
                std::net::SocketAddr::new(server.address.to_ip(), server.port).to_string()
            }
        }
    }
}

/// One flow or DNS message that proves a finding.
#[derive(Clone, Copy, Debug)]
pub(in crate::judge) struct Occurrence<'a> {
    pub(in crate::judge) code: FindingCode,
    pub(in crate::judge) mechanism: Option<Mechanism>,
    pub(in crate::judge) confidence: Option<Confidence>,
    pub(in crate::judge) audited_host: Option<Address>,
    pub(in crate::judge) target: FindingTarget<'a>,
    /// The port that was requested; of DNS findings none.
    pub(in crate::judge) port: Option<u16>,
    /// The issuer of the certificate that it is about.
    pub(in crate::judge) issuer: Option<&'a WireText>,
    /// What it may have in common with other findings of one cause.
    pub(in crate::judge) shared: Option<SharedPath>,
    /// How much the site needs the destination.
    pub(in crate::judge) need: Need,
    /// The server of the flow, or the resolver.
    pub(in crate::judge) server: Option<Endpoint>,
    pub(in crate::judge) flow: Option<u64>,
    /// The frame that proves the mechanism by itself.
    pub(in crate::judge) proof: Option<FrameRef>,
    /// The frames that show the flow or message.
    pub(in crate::judge) frames: &'a [FrameRef],
    /// What to do, where the code's own recommendation is too general.
    pub(in crate::judge) recommendation: Option<&'static str>,
    /// The highest severity that it may have.
    pub(in crate::judge) at_most: Severity,
    /// The next attempt may work, as after an overload: no rule was seen to refuse it.
    pub(in crate::judge) may_pass: bool,
    pub(in crate::judge) time: Time,
    pub(in crate::judge) references: &'a str,
    pub(in crate::judge) documents: &'a str,
}

impl<'a> Occurrence<'a> {
    pub(super) fn key(&self) -> FindingKeyRef<'a> {
        FindingKeyRef {
            code: self.code,
            mechanism: self.mechanism,
            audited_host: self.audited_host,
            target: self.target,
            port: self.port,
        }
    }
}

/// What distinguishes findings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FindingKey {
    code: FindingCode,
    mechanism: Option<Mechanism>,
    audited_host: Option<Address>,
    target: OwnedTarget,
    port: Option<u16>,
}

/// The same, borrowed for lookups.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct FindingKeyRef<'a> {
    code: FindingCode,
    mechanism: Option<Mechanism>,
    pub(super) audited_host: Option<Address>,
    pub(super) target: FindingTarget<'a>,
    pub(super) port: Option<u16>,
}

impl FindingKey {
    pub(super) fn borrow(&self) -> FindingKeyRef<'_> {
        FindingKeyRef {
            code: self.code,
            mechanism: self.mechanism,
            audited_host: self.audited_host,
            target: self.target.borrow(),
            port: self.port,
        }
    }
}

impl Hash for FindingKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.borrow().hash(state);
    }
}

impl Equivalent<FindingKey> for FindingKeyRef<'_> {
    fn equivalent(&self, key: &FindingKey) -> bool {
        *self == key.borrow()
    }
}

impl FindingKeyRef<'_> {
    pub(super) fn to_owned(self) -> FindingKey {
        FindingKey {
            code: self.code,
            mechanism: self.mechanism,
            audited_host: self.audited_host,
            target: self.target.into(),
            port: self.port,
        }
    }
}

/// All findings so far.
#[derive(Debug, Default)]
pub(in crate::judge) struct Findings {
    /// Boxed: a table that grows moves its entries.
    rows: HashMap<FindingKey, Box<FindingRow>, foldhash::fast::RandomState>,
    /// Distinct findings that are kept; more are counted.
    limit: usize,
    /// Occurrences of findings that did not fit.
    pub(in crate::judge) missed: u64,
    texts: SharedTexts,
    pub(super) citations: CitationCache,
    /// The problems of a live run.
    problems: Option<Problems>,
}

impl Findings {
    /// No findings yet, and at most `limit`.
    pub(in crate::judge) fn new(limit: usize) -> Findings {
        Findings { limit, ..Findings::default() }
    }

    /// Adds an occurrence to its finding. Where the table is full it is counted as missed. False where the finding would be new:
    /// then [`Findings::add`] needs the message.
    pub(in crate::judge) fn add_to_known(&mut self, occurrence: &Occurrence<'_>) -> bool {
        if let Some(row) = self.rows.get_mut(&occurrence.key()) {
            extend(row, occurrence);
            if let Some(problems) = &mut self.problems {
                problems.occurred(occurrence, FlowStage::Ended, || (**row).clone());
            }
            return true;
        }
        let is_full = self.rows.len() >= self.limit;
        self.missed += u64::from(is_full);
        is_full
    }

    /// Adds an occurrence. `message` is called for the first one of a finding only.
    pub(in crate::judge) fn add(&mut self, occurrence: &Occurrence<'_>, message: impl FnOnce() -> String) {
        if self.add_to_known(occurrence) {
            return;
        }
        let key = occurrence.key().to_owned();
        let row = first_row(&key, occurrence, message(), &mut self.texts);
        if let Some(problems) = &mut self.problems {
            problems.occurred(occurrence, FlowStage::Ended, || row.clone());
        }
        self.rows.insert(key, Box::new(row));
    }

    /// Reports an occurrence before its flow or interval ends, without adding it.
    pub(in crate::judge) fn announce(
        &mut self,
        occurrence: &Occurrence<'_>,
        message: impl FnOnce() -> String,
    ) {
        if let Some(problems) = &mut self.problems {
            problems.occurred(occurrence, FlowStage::Open, || {
                first_row(&occurrence.key().to_owned(), occurrence, message(), &mut self.texts)
            });
        }
    }

    /// From now on problems are followed; see [`Findings::take_reports`].
    pub(in crate::judge) fn follow_problems(&mut self) {
        self.problems = Some(Problems::new(self.limit));
    }

    /// Whether problems are followed.
    pub(in crate::judge) fn follows_problems(&self) -> bool {
        self.problems.is_some()
    }

    /// Something succeeded that may have been a problem.
    pub(in crate::judge) fn succeeded(&mut self, success: &Success<'_>) {
        if let Some(problems) = &mut self.problems {
            problems.succeeded(success);
        }
    }

    /// The clock of a live run.
    pub(in crate::judge) fn heartbeat(&mut self, time: Time) {
        if let Some(problems) = &mut self.problems {
            problems.heartbeat(time);
        }
    }

    /// What has changed about problems since the last call.
    pub(in crate::judge) fn take_reports(&mut self) -> Vec<ProblemReport> {
        self.problems.as_mut().map(Problems::take_reports).unwrap_or_default()
    }

    /// The problems now, `len` of them with all that is known.
    pub(in crate::judge) fn problems(&self, len: usize) -> ProblemList {
        self.problems.as_ref().map(|problems| problems.list(len)).unwrap_or_default()
    }

    /// Joins findings of one cause.
    pub(in crate::judge) fn explain_causes(&mut self) {
        cause::explain(self.rows.values_mut().map(Box::as_mut));
        self.rows.values_mut().filter(|row| is_single_failure(row)).for_each(|row| {
            row.severity = row.severity.min(Severity::Low);
            if row.need.is_ours() {
                row.recommendation = "one attempt failed and a later one worked, so no rule is missing, unless one of several \
                                      firewalls lacks it: look for the cause only if it happens again"
                    .into();
            }
        });
    }

    /// All findings: first what stops the audited products, then other violations of documented rules, then the rest; each by
    /// severity, evidence and time. Starts anew.
    pub(in crate::judge) fn take_rows(&mut self) -> FindingRows {
        self.texts = SharedTexts::default();
        self.citations = CitationCache::default();
        let rows = std::mem::take(&mut self.rows).into_values();
        let mut rows: Vec<(u128, Time, Box<FindingRow>)> =
            rows.map(|row| (rank(&row), row.first_seen, row)).collect();
        rows.sort_unstable_by(|(rank_a, first_a, a), (rank_b, first_b, b)| {
            (rank_a, first_a)
                .cmp(&(rank_b, first_b))
                .then(a.code.cmp(&b.code))
                .then(a.audited_host.cmp(&b.audited_host))
                .then_with(|| a.target.cmp(&b.target))
                .then_with(|| a.mechanism.map(Mechanism::as_str).cmp(&b.mechanism.map(Mechanism::as_str)))
                .then_with(|| a.flows.cmp(&b.flows))
        });
        rows.into_iter().map(|(_, _, row)| row).collect()
    }
}

/// One attempt that failed by itself, and the next one worked: nobody has refused it for good.
fn is_single_failure(row: &FindingRow) -> bool {
    row.may_pass
        && row.worked_later
        && row.count == 1
        && !row.is_cause
        && row.cause.is_none()
        && row.confidence != Some(Confidence::Certain)
}

/// The place of a finding in the order of all, lowest first: stage, severity, whether it says or may be the cause of others, need,
/// confidence, and count. One number, because thousands of findings are compared with each other.
fn rank(row: &FindingRow) -> u128 {
    let is_serious = row.severity >= Severity::Medium && row.need.is_ours();
    let stage = match row.mechanism {
        Some(_) if is_serious => 0,
        _ if row.is_cause => 0,
        _ if is_serious || row.severity == Severity::High => 1,
        _ => 2,
    };
    let is_cause = row.is_cause || (row.need == Need::Carrier && row.mechanism.is_some());
    let confidence = row.confidence.map_or(0, |confidence| confidence as u8 + 1);
    let fields = [stage, !(row.severity as u8), u8::from(!is_cause), row.need as u8, !confidence];
    let before_count = fields.iter().fold(0, |rank, field| (rank << 8) | u128::from(*field));
    (before_count << u64::BITS) | u128::from(!row.count)
}

/// Lists of references and documents, each once: many findings cite the same.
#[derive(Debug, Default)]
struct SharedTexts {
    known: HashSet<Arc<str>, foldhash::fast::RandomState>,
}

impl SharedTexts {
    fn share(&mut self, text: &str) -> Arc<str> {
        Arc::clone(self.known.get_or_insert_with(text, |text| Arc::from(text)))
    }
}

/// A finding's row at its first occurrence.
fn first_row(
    key: &FindingKey,
    occurrence: &Occurrence<'_>,
    message: String,
    texts: &mut SharedTexts,
) -> FindingRow {
    let entry = occurrence.code.entry();
    let wording = Wording::of(occurrence);
    FindingRow {
        code: occurrence.code,
        mechanism: occurrence.mechanism,
        title: wording.title,
        severity: entry.severity.min(wording.highest).min(occurrence.at_most),
        issuer: occurrence.issuer.cloned(),
        is_cause: false,
        cause: None,
        shared: occurrence.shared,
        may_pass: occurrence.may_pass,
        worked_later: false,
        need: occurrence.need,
        confidence: occurrence.confidence,
        audited_host: occurrence.audited_host,
        target: key.target.text(),
        name: match &key.target {
            OwnedTarget::Name(name) => Some(Arc::clone(name)),
            OwnedTarget::Address(_) | OwnedTarget::Service(_) | OwnedTarget::Text(_) => None,
        },
        server: occurrence.server,
        message,
        count: 1,
        first_seen: occurrence.time,
        last_seen: occurrence.time,
        flows: occurrence.flow.into_iter().collect(),
        frames: first_frames(occurrence),
        references: texts.share(occurrence.references),
        documents: texts.share(occurrence.documents),
        recommendation: wording.recommendation.into(),
    }
}

/// The frame that proves it, then the others.
fn first_frames(occurrence: &Occurrence<'_>) -> SmallVec<[FrameRef; 2]> {
    let others = occurrence.frames.iter().copied().filter(|frame| Some(*frame) != occurrence.proof);
    occurrence.proof.into_iter().chain(others).take(MAX_NAMED).collect()
}

/// What a finding says, by the need for its destination.
struct Wording {
    title: &'static str,
    recommendation: &'static str,
    /// The highest severity that it may have.
    highest: Severity,
}

impl Wording {
    fn of(occurrence: &Occurrence<'_>) -> Wording {
        let entry = occurrence.code.entry();
        let usual = Wording {
            title: entry.title,
            recommendation: occurrence.recommendation.unwrap_or(entry.texts.recommendation),
            highest: Severity::High,
        };
        // A portal stops everything, whichever destination showed it.
        if occurrence.code == FindingCode::CaptivePortal {
            return usual;
        }
        match (occurrence.need, occurrence.mechanism) {
            (Need::Carrier | Need::Required | Need::Documented | Need::SiteApproved, _) => usual,
            (Need::Undocumented, Some(_)) if occurrence.recommendation == Some(BETWEEN_ROLES) => Wording {
                title: "blocked, and not in the port tables",
                recommendation: BETWEEN_ROLES,
                highest: Severity::Low,
            },
            (Need::Undocumented, Some(_)) if occurrence.recommendation == Some(NOT_OF_SITE) => Wording {
                title: "blocked, and not the site's",
                recommendation: NOT_OF_SITE,
                highest: Severity::Low,
            },
            // What no document asks for may be blocked.
            (Need::Undocumented, Some(_)) => Wording {
                title: "blocked, and not needed by the audited products",
                recommendation: "no rule is needed: no document asks for this destination and port. If the site needs it for \
                                 something else, add it to the site file with a reason and an expiry date",
                highest: Severity::Low,
            },
            (Need::OperatingSystem, Some(_)) => Wording {
                title: "blocked, and used by Windows Server itself only",
                recommendation: "no rule is needed for the audited products; decide by the cited document whether this service of \
                                 Windows Server is wanted",
                highest: Severity::Low,
            },
            (Need::CloudPlatform, Some(_)) => Wording {
                title: "address that exists inside a cloud's virtual networks only",
                recommendation: "no firewall rule is needed, and none can help: only virtual machines of the cloud reach this address. \
                                 If this host is one, look at its own firewall and routes, and exempt the address from the proxy; the \
                                 firewall on the path is not involved",
                highest: Severity::Low,
            },
            // Most connections that are blocked never get to name their server.
            (Need::Unidentified, Some(_)) => Wording {
                recommendation: "find out which host the address is before deciding about a rule: capture whole frames from before the server \
                                 resolves the name, or give the service tag file in the site file",
                highest: Severity::Medium,
                ..usual
            },
            (Need::Unidentified | Need::CloudPlatform, None) => usual,
            // The attempt was blocked, so that nothing but the program's setting is wrong.
            (Need::Undocumented, None) if occurrence.code == FindingCode::ProxyBypassed => {
                Wording { highest: Severity::Low, ..usual }
            }
            (Need::OperatingSystem, None) => Wording { highest: Severity::Low, ..usual },
            (Need::Undocumented, None) => usual,
        }
    }
}

/// Adds a further occurrence.
fn extend(row: &mut FindingRow, occurrence: &Occurrence<'_>) {
    row.count += 1;
    row.first_seen = row.first_seen.min(occurrence.time);
    row.last_seen = row.last_seen.max(occurrence.time);
    row.confidence = row.confidence.max(occurrence.confidence);
    if let Some(flow) = occurrence.flow.filter(|_| row.flows.len() < MAX_NAMED) {
        row.flows.push(flow);
    }
    // The frames of a handshake prove less than another frame of the same kind as the first.
    let frames = match &occurrence.proof {
        Some(proof) => std::slice::from_ref(proof),
        None => occurrence.frames,
    };
    for frame in frames {
        if row.frames.len() < MAX_NAMED && !row.frames.contains(frame) {
            row.frames.push(*frame);
        }
    }
}

/// The row of a finding at this occurrence.
#[cfg(test)]
pub(super) fn test_row(occurrence: &Occurrence<'_>) -> FindingRow {
    first_row(&occurrence.key().to_owned(), occurrence, "message".to_owned(), &mut SharedTexts::default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn occurrence(code: FindingCode, server: u8, second: i64) -> Occurrence<'static> {
        let address = Address::v4([20, 60, 0, server]);
        Occurrence {
            code,
            mechanism: None,
            confidence: None,
            audited_host: Some(Address::v4([10, 1, 0, 4])),
            target: FindingTarget::Address(address),
            port: Some(443),
            issuer: None,
            shared: None,
            need: Need::Undocumented,
            server: Some(Endpoint { address, port: 443 }),
            flow: Some(1),
            proof: None,
            frames: &[],
            recommendation: None,
            at_most: Severity::High,
            may_pass: false,
            time: Time(second * 1_000_000_000),
            references: "",
            documents: "",
        }
    }

    #[test]
    fn the_order_of_findings_is_that_of_their_fields() {
        let rank_of = |code, need, severity, confidence, count| {
            let mut findings = Findings::new(9);
            findings.add(&Occurrence { need, ..occurrence(code, 1, 5) }, String::new);
            let mut row = findings.take_rows().into_iter().next().unwrap();
            (row.severity, row.confidence, row.count) = (severity, confidence, count);
            row.mechanism = (code == FindingCode::ConnectionUnanswered).then_some(Mechanism::TcpUnanswered);
            rank(&row)
        };
        let (blocked, other) = (FindingCode::ConnectionUnanswered, FindingCode::UnidentifiedDestination);
        let ranks = [
            rank_of(blocked, Need::Carrier, Severity::High, None, 1),
            rank_of(blocked, Need::Required, Severity::High, Some(Confidence::Weak), 1 << 40),
            rank_of(blocked, Need::Documented, Severity::High, Some(Confidence::Certain), 1),
            rank_of(blocked, Need::Documented, Severity::High, Some(Confidence::Strong), u64::MAX),
            rank_of(blocked, Need::Documented, Severity::High, Some(Confidence::Strong), 2),
            rank_of(blocked, Need::Documented, Severity::High, None, 3),
            rank_of(blocked, Need::Documented, Severity::Medium, Some(Confidence::Certain), 9),
            rank_of(other, Need::Undocumented, Severity::High, None, 1),
            rank_of(other, Need::Required, Severity::Low, Some(Confidence::Certain), 9),
            rank_of(other, Need::Undocumented, Severity::Low, Some(Confidence::Certain), 9),
            rank_of(other, Need::Required, Severity::Info, Some(Confidence::Certain), 9),
        ];
        assert!(ranks.is_sorted_by(|before, after| before < after), "{ranks:x?}");
    }

    #[test]
    fn occurrences_of_one_finding_are_counted() {
        let mut findings = Findings::new(9);
        let code = FindingCode::UnidentifiedDestination;
        findings.add(&occurrence(code, 1, 5), || "first".to_owned());
        findings.add(&occurrence(code, 1, 3), || unreachable!());
        findings.add(&occurrence(code, 2, 7), || "other".to_owned());
        let rows = findings.take_rows();
        assert_eq!(rows.len(), 2);
        assert_eq!(
            (rows[0].count, rows[0].message.as_str(), rows[0].target.as_str()),
            (2, "first", "20.60.0.1")
        );
        assert!(rows[0].first_seen < rows[0].last_seen);
        assert!(findings.take_rows().is_empty());
    }

    #[test]
    fn the_most_severe_come_first() {
        let mut findings = Findings::new(9);
        for code in [FindingCode::NameOutsideServiceTags, FindingCode::UndocumentedDestination] {
            findings.add(&occurrence(code, 1, 5), String::new);
        }
        findings.add(&occurrence(FindingCode::UndocumentedPort, 1, 5), String::new);
        let severities: Vec<Severity> = findings.take_rows().iter().map(|row| row.severity).collect();
        assert_eq!(severities, [Severity::High, Severity::Medium, Severity::Info]);
    }

    #[test]
    fn what_no_document_asks_for_may_be_blocked() {
        let mut findings = Findings::new(9);
        for (server, need) in [(1, Need::Undocumented), (2, Need::OperatingSystem), (3, Need::Required)] {
            let blocked = Occurrence {
                mechanism: Some(Mechanism::TcpUnanswered),
                need,
                ..occurrence(FindingCode::ConnectionUnanswered, server, 5)
            };
            findings.add(&blocked, String::new);
        }
        let rows = findings.take_rows();
        let found: Vec<(&str, Severity)> =
            rows.iter().map(|row| (row.target.as_str(), row.severity)).collect();
        let (low, high) = (Severity::Low, Severity::High);
        assert_eq!(found, [("20.60.0.3", high), ("20.60.0.2", low), ("20.60.0.1", low)]);
        assert!(rows[0].recommendation.contains("allow the destination"));
        assert!(rows[1..].iter().all(|row| row.recommendation.starts_with("no rule is needed")));
    }

    #[test]
    fn ports_of_one_destination_are_findings_of_their_own() {
        let mut findings = Findings::new(9);
        let code = FindingCode::UnidentifiedDestination;
        findings.add(&occurrence(code, 1, 5), String::new);
        findings.add(&Occurrence { port: Some(445), ..occurrence(code, 1, 6) }, String::new);
        assert_eq!(findings.take_rows().len(), 2);
    }

    #[test]
    fn a_full_table_counts_what_does_not_fit() {
        let mut findings = Findings::new(1);
        let code = FindingCode::UnidentifiedDestination;
        findings.add(&occurrence(code, 1, 5), String::new);
        findings.add(&occurrence(code, 2, 5), String::new);
        findings.add(&occurrence(code, 1, 5), String::new);
        assert_eq!((findings.missed, findings.take_rows()[0].count), (1, 2));
    }

    #[test]
    fn a_finding_of_several_intervals_is_one_problem() {
        let mut findings = Findings::new(9);
        findings.follow_problems();
        let code = FindingCode::UnidentifiedDestination;
        findings.announce(&occurrence(code, 1, 5), || "early".to_owned());
        findings.add(&occurrence(code, 1, 5), || "late".to_owned());
        let new: Vec<String> =
            findings.take_reports().iter().map(|report| report.problem.finding.message.clone()).collect();
        assert_eq!(new, ["early"]);
        findings.take_rows();
        findings.add(&Occurrence { flow: Some(2), ..occurrence(code, 1, 9) }, String::new);
        assert!(findings.take_reports().is_empty(), "reported in an earlier interval");
        assert_eq!(findings.problems(9).latest[0].count, 2);
    }
}

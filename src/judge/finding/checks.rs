//! The checks: each looks at one flow and may add a finding.
//!
//! In:  a flow with its facts, assessment and verdict.
//! Out: findings, and their codes for the flow's row.
//! Not: what needs several flows; see `diagnosis::comparison` and `finding::run_end`.

mod blocked;
mod destination;
mod site;
#[cfg(test)]
mod tests;
mod tls;

use std::fmt;

use smallvec::SmallVec;

pub(super) use self::blocked::BETWEEN_ROLES;
pub(super) use self::blocked::NOT_OF_SITE;
use super::collector::FindingTarget;
use super::collector::Findings;
use super::collector::Occurrence;
use crate::base::Address;
use crate::base::FrameRef;
use crate::base::port;
use crate::flow::FlowEnd;
use crate::judge::assessment::Assessment;
use crate::judge::catalogue::ConfidenceSource;
use crate::judge::catalogue::FindingCode;
use crate::judge::catalogue::Mechanism;
use crate::judge::catalogue::Proof;
use crate::judge::catalogue::TargetKind;
use crate::judge::flow_state::AppFacts;
use crate::judge::flow_state::FlowState;
use crate::judge::policy::Policy;
use crate::judge::policy::name_class::NameClass;
use crate::judge::policy::name_table::KnownName;
use crate::judge::policy::need::Need;
use crate::judge::policy::scope::Scope;
use crate::judge::policy::service_tags::TagSet;
use crate::judge::policy::verdict::DeclaredServer;
use crate::judge::policy::verdict::Verdict;
use crate::judge::rows::Documented;
use crate::judge::rows::SharedPath;
use crate::judge::vocabulary::AddressEvidence;
use crate::judge::vocabulary::DestinationVerdict;
use crate::judge::vocabulary::PortVerdict;
use crate::rules::is_platform_address;

/// A flow with everything that is known of it.
pub(in crate::judge) struct FlowView<'a> {
    pub(in crate::judge) flow: &'a FlowState,
    pub(in crate::judge) flow_end: &'a FlowEnd,
    /// The word of the column `app`.
    pub(in crate::judge) app: &'static str,
    pub(in crate::judge) assessment: Assessment,
    pub(in crate::judge) verdict: &'a Verdict<'a>,
    pub(in crate::judge) tags: Option<&'a TagSet>,
    /// The frame that proves the mechanism by itself: an alert, a proxy's response.
    pub(in crate::judge) proof: Option<FrameRef>,
    /// The frames that prove what the flow's row says.
    pub(in crate::judge) evidence: SmallVec<[FrameRef; 4]>,
    pub(in crate::judge) scope: &'a Scope,
    pub(in crate::judge) policy: &'a Policy,
}

impl<'a> FlowView<'a> {
    fn client(&self) -> Address {
        self.flow.client().address
    }

    fn server(&self) -> crate::flow::Endpoint {
        self.flow.server()
    }

    fn facts(&self) -> Option<&'a AppFacts> {
        self.flow.facts.as_deref()
    }

    /// The strongest name.
    fn name(&self) -> Option<&'a KnownName> {
        self.flow.name().map(|(known, _)| &**known)
    }

    /// The name for a message: the judged one, else a service tag.
    fn name_text(&self) -> &'a str {
        let tag = || self.tags.and_then(|tags| tags.text.split(';').next());
        match self.verdict.known {
            Some(known) => known.name.as_str(),
            None => tag().unwrap_or("an address without a name"),
        }
    }

    /// The server for a message.
    fn server_text(&self) -> ServerText<'a> {
        ServerText { name: self.name(), address: self.server().address }
    }
}

/// Name and address of a server, as messages give them.
struct ServerText<'a> {
    name: Option<&'a KnownName>,
    address: Address,
}

impl fmt::Display for ServerText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name {
            Some(known) => write!(f, "{} ({})", known.name, self.address),
            None => write!(f, "{}", self.address),
        }
    }
}

/// What a flow must have for a check to apply. Most flows have little of it, so that few checks are asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum When {
    Always,
    /// It was blocked or failed.
    Blocked,
    /// No document in force has the destination.
    Unexpected,
    /// Only a wildcard that its document calls too broad has it.
    Broad,
    /// Nothing names the destination.
    Unidentified,
    /// The port is not the documented one.
    Not443,
    /// The port tables do not have its port between these roles.
    RolePort,
    /// Its name has a property that the site file is about.
    SiteName,
    /// Its name, or without a name its address, may be of a region.
    Regional,
    /// No host can have its name.
    Malformed,
    /// A reader reported something of it.
    HasFacts,
    /// TLS without what the documents require of it.
    WeakTls,
    /// The issuer of its certificate is unknown.
    UnknownIssuer,
    /// Neither TLS nor DNS on its own port.
    OtherApp,
    /// The service tags contradict the name.
    OutsideTags,
    /// The site declares proxies.
    ProxiesDeclared,
}

impl When {
    /// One more than the last.
    const COUNT: usize = When::ProxiesDeclared as usize + 1;

    /// The checks that are asked where a flow has this, as bits in the order of [`CHECKS`].
    #[inline]
    fn checks(self) -> u64 {
        const ASKED: [u64; When::COUNT] = asked();
        ASKED.get(self as usize).copied().unwrap_or_default()
    }
}

/// The checks that a flow has to be asked, as bits in the order of [`CHECKS`].
#[inline]
fn checks_for(view: &FlowView<'_>) -> u64 {
    let verdict = view.verdict;
    let is_to = |destination: DestinationVerdict| verdict.destination == Some(destination);
    let is_outside =
        matches!(verdict.address_evidence, Some(AddressEvidence::NoTag | AddressEvidence::OtherTag));
    let class = site::class_of(view);
    let is_nameless = verdict.known.is_none() && is_to(DestinationVerdict::Documented);
    let app = view.flow.app;
    let is_usual_app = app == "tls" || (app == "dns" && view.server().port == port::DNS);
    [
        (When::Always, true),
        (When::Blocked, view.assessment.mechanism().is_some()),
        (When::Unexpected, is_to(DestinationVerdict::Unexpected)),
        (When::Broad, is_to(DestinationVerdict::DocumentedBroad)),
        (When::Unidentified, is_to(DestinationVerdict::Unidentified)),
        (When::Not443, verdict.port == Some(PortVerdict::Not443)),
        (When::RolePort, verdict.undocumented_role_port.is_some()),
        (When::SiteName, class.is_some_and(NameClass::concerns_site)),
        (When::Regional, is_nameless || class.is_some_and(|class| class.other_region)),
        (When::Malformed, verdict.known.is_some_and(|known| known.is_malformed)),
        (When::HasFacts, view.facts().is_some()),
        (When::WeakTls, tls::is_weak(view)),
        (When::UnknownIssuer, verdict.unknown_issuer),
        (When::OtherApp, !is_usual_app),
        (When::OutsideTags, is_outside),
        (When::ProxiesDeclared, !view.policy.proxies.is_empty()),
    ]
    .into_iter()
    .fold(0, |all, (when, has)| if has { all | when.checks() } else { all })
}

/// One check. `applies` runs for many flows and must be cheap; the other functions run for new findings only.
struct Check {
    code: FindingCode,
    when: When,
    applies: fn(&FlowView<'_>) -> bool,
    message: fn(&FlowView<'_>) -> String,
    /// Rows that it cites besides those of the destination and the statements of its code.
    cites: fn(&FlowView<'_>) -> Option<Documented>,
}

/// Cites nothing more.
const fn no_rows(_: &FlowView<'_>) -> Option<Documented> {
    None
}

/// All checks by their subject, in the order of the codes in a row.
const TABLES: [&[Check]; 4] = [destination::CHECKS, tls::CHECKS, blocked::CHECKS, site::CHECKS];

const COUNT: usize = TABLES[0].len() + TABLES[1].len() + TABLES[2].len() + TABLES[3].len();

/// The same in one table.
static CHECKS: [&Check; COUNT] = all_checks();

#[expect(clippy::indexing_slicing, reason = "evaluated by the compiler")]
const fn all_checks() -> [&'static Check; COUNT] {
    let mut all = [&TABLES[0][0]; COUNT];
    let (mut filled, mut table) = (0, 0);
    while table < TABLES.len() {
        let mut number = 0;
        while number < TABLES[table].len() {
            all[filled] = &TABLES[table][number];
            filled += 1;
            number += 1;
        }
        table += 1;
    }
    all
}

/// For each [`When`], the checks that are asked.
#[expect(clippy::indexing_slicing, reason = "evaluated by the compiler")]
const fn asked() -> [u64; When::COUNT] {
    const { assert!(COUNT <= 64) };
    let all = all_checks();
    let mut asked = [0; When::COUNT];
    let mut number = 0;
    while number < COUNT {
        asked[all[number].when as usize] |= 1 << number;
        number += 1;
    }
    asked
}

/// Does something for each check that applies to a flow.
#[inline]
fn for_each_applying(view: &FlowView<'_>, mut act: impl FnMut(&Check)) {
    let mut left = checks_for(view);
    if cfg!(debug_assertions) {
        for (number, check) in CHECKS.iter().enumerate() {
            let is_asked = left & 1 << number != 0;
            assert!(is_asked || !(check.applies)(view), "{:?} is not asked", check.code);
        }
    }
    while let Some(check) = CHECKS.get(left.trailing_zeros() as usize) {
        left &= left - 1;
        if (check.applies)(view) {
            act(check);
        }
    }
}

/// Runs all checks over a flow that has ended, adds the findings, and returns their codes.
pub(in crate::judge) fn run(view: &FlowView<'_>, findings: &mut Findings) -> SmallVec<[FindingCode; 2]> {
    let mut codes: SmallVec<[FindingCode; 2]> = SmallVec::new();
    for_each_applying(view, |check| {
        codes.push(check.code);
        let occurrence = occurrence(view, check.code);
        // What the documents say is put together for new findings only.
        if !findings.add_to_known(&occurrence) {
            let cited = findings.citations.of_flow(view, check.code, (check.cites)(view));
            findings.add(&cited.complete(occurrence), || (check.message)(view));
        }
    });
    codes
}

/// Runs the checks whose proof is already complete on a flow that is still open. Announces findings; does not add them.
pub(in crate::judge) fn run_early(view: &FlowView<'_>, complete: &[Proof], findings: &mut Findings) {
    for_each_applying(view, |check| {
        if complete.contains(&check.code.entry().proof) {
            let cited = findings.citations.of_flow(view, check.code, (check.cites)(view));
            findings.announce(&cited.complete(occurrence(view, check.code)), || (check.message)(view));
        }
    });
}

/// How much the site needs the destination of a flow.
fn need(view: &FlowView<'_>, mechanism: Option<Mechanism>) -> Need {
    if mechanism.is_some() && (is_to_proxy(view) || view.verdict.declared == Some(DeclaredServer::Resolver)) {
        return Need::Carrier;
    }
    if mechanism.is_some() && is_platform_address(view.flow.requested_address()) {
        return Need::CloudPlatform;
    }
    // Whatever the address is, no document asks for this port of it.
    let is_unnamed = view.verdict.destination == Some(DestinationVerdict::Unidentified);
    let (protocol, port) = (view.flow.flow_start.protocol, view.verdict.requested_port);
    if mechanism.is_some() && is_unnamed && !view.policy.is_endpoint_port(protocol, port) {
        return Need::Undocumented;
    }
    view.policy.need_of_flow(view.verdict)
}

/// Whether a flow that requests nothing from it goes to a proxy.
fn is_to_proxy(view: &FlowView<'_>) -> bool {
    matches!(view.verdict.declared, Some(DeclaredServer::Proxy | DeclaredServer::UndeclaredProxy))
}

/// What a flow adds to a finding, without what the documents say.
fn occurrence<'a>(view: &'a FlowView<'a>, code: FindingCode) -> Occurrence<'a> {
    let entry = code.entry();
    let mechanism = view.assessment.mechanism().filter(|mechanism| mechanism.finding() == code);
    Occurrence {
        code,
        mechanism,
        confidence: match entry.confidence {
            ConfidenceSource::Observed => None,
            ConfidenceSource::Fixed(confidence) => Some(confidence),
            ConfidenceSource::OfMechanism => view.assessment.confidence(),
        },
        audited_host: Some(view.client()),
        target: match (entry.target, view.name()) {
            (TargetKind::Service, _) => FindingTarget::Service(view.server()),
            (TargetKind::Destination, Some(known)) => FindingTarget::Name(known.name.shared()),
            (TargetKind::Destination, None) => FindingTarget::Address(view.flow.requested_address()),
        },
        port: Some(view.verdict.requested_port),
        issuer: view
            .facts()
            .and_then(|facts| facts.certificate_issuer())
            .filter(|_| code == FindingCode::UnknownIssuer),
        shared: match (view.flow.is_proxied(), is_to_proxy(view)) {
            (true, _) => Some(SharedPath::Proxy),
            (false, true) => Some(SharedPath::ToProxy),
            (false, false) if mechanism.is_some() && blocked::rejects_listed_issuer(view) => {
                Some(SharedPath::Trust)
            }
            (false, false) => None,
        },
        need: need(view, mechanism),
        server: Some(view.server()),
        flow: Some(view.flow.number),
        proof: view.proof,
        frames: &view.evidence,
        recommendation: match mechanism {
            Some(_) => blocked::recommendation(view),
            None => site::recommendation(view, code),
        },
        at_most: destination::highest_severity(view, code),
        may_pass: mechanism.is_some_and(|mechanism| blocked::may_pass(view, mechanism)),
        time: view.flow_end.first_seen,
        references: "",
        documents: "",
    }
}

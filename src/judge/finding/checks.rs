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

use smallvec::SmallVec;

pub(super) use self::blocked::BETWEEN_ROLES;
use super::collector::FindingTarget;
use super::collector::Findings;
use super::collector::Occurrence;
use crate::base::FrameRef;
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
    fn client(&self) -> crate::base::Address {
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

    /// The server for a message: name and address.
    fn server_text(&self) -> String {
        let address = self.server().address;
        match self.name() {
            Some(known) => format!("{} ({address})", known.name),
            None => address.to_string(),
        }
    }
}

/// What a flow must have for a check to apply: most flows have little of it, so that few checks are asked.
#[derive(Clone, Copy)]
#[repr(u8)]
enum When {
    Always = 1,
    /// It was blocked or failed.
    Blocked = 1 << 1,
    /// No document in force has the destination.
    Unexpected = 1 << 2,
    /// The port is not the documented one.
    Not443 = 1 << 3,
    /// It is judged, has a name, and no exception of the site file covers it.
    Named = 1 << 4,
    /// A reader reported something of it.
    HasFacts = 1 << 5,
    /// The service tags contradict the name.
    OutsideTags = 1 << 6,
    /// The site declares proxies.
    ProxiesDeclared = 1 << 7,
}

impl When {
    /// What a flow has, as bits.
    #[inline]
    fn of(view: &FlowView<'_>) -> u8 {
        let verdict = view.verdict;
        let is_outside =
            matches!(verdict.address_evidence, Some(AddressEvidence::NoTag | AddressEvidence::OtherTag));
        [
            (When::Always, true),
            (When::Blocked, view.assessment.mechanism().is_some()),
            (When::Unexpected, verdict.destination == Some(DestinationVerdict::Unexpected)),
            (When::Not443, verdict.port == Some(PortVerdict::Not443)),
            (When::Named, site::class_of(view).is_some()),
            (When::HasFacts, view.facts().is_some()),
            (When::OutsideTags, is_outside),
            (When::ProxiesDeclared, !view.policy.proxies.is_empty()),
        ]
        .into_iter()
        .fold(0, |bits, (when, has)| if has { bits | when as u8 } else { bits })
    }
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

/// All checks, in the order of the codes in a row.
const TABLES: [&[Check]; 4] = [destination::CHECKS, tls::CHECKS, blocked::CHECKS, site::CHECKS];

/// Does something for each check that applies to a flow.
#[inline]
fn for_each_applying(view: &FlowView<'_>, mut act: impl FnMut(&Check)) {
    let has = When::of(view);
    for table in TABLES {
        for check in table {
            debug_assert!(
                has & check.when as u8 != 0 || !(check.applies)(view),
                "{:?} is not asked",
                check.code
            );
            if has & check.when as u8 != 0 && (check.applies)(view) {
                act(check);
            }
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
    if mechanism.is_some() && is_to_proxy(view) {
        return Need::Carrier;
    }
    if mechanism.is_some() && is_platform_address(view.flow.requested_address()) {
        return Need::CloudPlatform;
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
        time: view.flow_end.first_seen,
        references: "",
        documents: "",
    }
}

//! Judges a flow that has ended, and early a flow that is still open.
//!
//! In:  the flow with what the readers reported, and its end.
//! Out: findings, and the row, built last from everything.
//! Not: how each step decides; see `diagnosis`, `policy` and `finding`.

use std::sync::Arc;

use smallvec::SmallVec;

use super::Engine;
use super::RowSink;
use super::early_checks::EarlyChecks;
use super::early_checks::EarlyReason;
use crate::base::Address;
use crate::flow::EndReason;
use crate::flow::FlowEnd;
use crate::judge::assessment::Assessment;
use crate::judge::catalogue::Mechanism;
use crate::judge::catalogue::Stops;
use crate::judge::conversations::Conversation;
use crate::judge::conversations::EndedAtPoint;
use crate::judge::diagnosis::AssessmentContext;
use crate::judge::diagnosis::Diagnosis;
use crate::judge::diagnosis::app_label::app_label;
use crate::judge::diagnosis::explicit_refusals::proof_frame;
use crate::judge::finding::checks;
use crate::judge::finding::checks::FlowView;
use crate::judge::finding::collector::FindingTarget;
use crate::judge::finding::problems::Success;
use crate::judge::flow_row;
use crate::judge::flow_state::FlowState;
use crate::judge::hashed_name::ClientNameRef;
use crate::judge::policy::Policy;
use crate::judge::policy::scope::Scope;
use crate::judge::policy::service_tags::TagSet;
use crate::judge::policy::verdict::Verdict;
use crate::judge::policy::verdict::verdict;
use crate::judge::rows::FlowRow;
use crate::judge::vocabulary::Outcome;

impl Engine {
    /// A flow has ended: diagnosis, policy, findings, row.
    pub(super) fn end_flow(&mut self, flow: &mut FlowState, flow_end: &FlowEnd, sink: &mut impl RowSink) {
        // Of a flow outside of the window, only what it shows of others counts.
        let is_reported = self.window.contains(flow_end.first_seen);
        self.now = self.now.max(flow_end.last_seen);
        self.further_claims -= flow.further_claims();
        self.names.mark_used(flow.client().address, flow.server().address, flow_end.last_seen);
        let policy = &*Arc::clone(&self.policy);
        let unknown_issuer = self.has_unknown_issuer(flow);
        let mut assessment = self.assess(flow, flow_end, unknown_issuer, Diagnosis::assess);
        if let Some(seen_at) = &mut flow.seen_at {
            assessment = seen_at.revise(assessment);
        }
        let is_attempt = |mechanism: Mechanism| mechanism.entry().stops == Stops::Attempt;
        if assessment.mechanism().is_some_and(is_attempt)
            && flow.strongest_claim().is_none()
            && !flow.dns_is_other_clients
        {
            let (client, server) = (flow.client().address, flow.server().address);
            let documented = self.names.documented_alternative(client, server, flow_end.first_seen);
            flow.dns = documented.or(flow.dns.take());
        }
        let is_judged = flow_end.packets[0] > 0 && self.is_judged(flow);
        let tags = self.tag_sets.of(flow.server().address, policy);
        let verdict = if is_judged {
            let verdict = flow_verdict(flow, flow_end, tags.as_deref(), unknown_issuer, policy);
            self.at_known_server(flow, verdict)
        } else {
            Verdict::default()
        };
        let judged = JudgedFlow { flow, flow_end, assessment, verdict: &verdict, tags: tags.as_deref() };
        let view = judged.view(&self.scope, policy);
        let codes = match is_reported {
            true => checks::run(&view, &mut self.findings),
            false => SmallVec::new(),
        };
        if assessment == Assessment::Ok {
            self.diagnosis.proxies.add_success(flow, flow_end);
        }
        let mut row = flow_row::flow_row(view, codes);
        self.diagnosis.comparison.add_hosts(&row);
        if is_reported {
            self.site.add(flow, &row, &verdict, policy);
        }
        if is_judged {
            self.add_judged(flow, &row, &verdict);
            self.note_success(flow, flow_end, assessment);
        }
        self.early.forget(flow.number);
        flow.dns = None;
        if let Some(facts) = flow.facts.take() {
            flow_row::add_facts(&mut row, *facts, &mut self.offers);
        }
        if is_reported {
            self.counts.tally.flows += 1;
            if flow_end.reason == EndReason::CaptureEnded {
                self.counts.unfinished.add(row.flow_id);
            }
            sink.flow(row);
        }
        self.send_problem_reports(sink);
    }

    /// A conversation has ended at all capture points: it is judged as the point nearest to its client shows it.
    pub(super) fn end_conversation(&mut self, conversation: Conversation, sink: &mut impl RowSink) {
        let Conversation { nearest, further } = conversation;
        for EndedAtPoint { mut flow, .. } in further {
            self.further_claims -= flow.further_claims();
            (flow.dns, flow.facts) = (None, None);
            self.flows.release(flow);
        }
        let EndedAtPoint { mut flow, flow_end, .. } = nearest;
        self.end_flow(&mut flow, &flow_end, sink);
        flow.seen_at = None;
        self.flows.release(flow);
    }

    /// All flows have ended: those that waited for another capture point are judged.
    pub fn end_capture(&mut self, sink: &mut impl RowSink) {
        let policy = Arc::clone(&self.policy);
        let Some(conversations) = &mut self.conversations else { return };
        for conversation in conversations.take_rest(|address| policy.is_inside(address)) {
            self.end_conversation(conversation, sink);
        }
    }

    /// The verdict with what earlier traffic shows of the server.
    fn at_known_server<'a>(&self, flow: &FlowState, verdict: Verdict<'a>) -> Verdict<'a> {
        if self.diagnosis.proxies.is_proxy_of(flow) {
            verdict.at_undeclared_proxy()
        } else if self.diagnosis.truncated.is_completed_by(flow) {
            verdict.at_resolver()
        } else {
            verdict
        }
    }

    /// Adds a judged flow to what is known across flows.
    fn add_judged(&mut self, flow: &FlowState, row: &FlowRow, verdict: &Verdict<'_>) {
        let client = row.client.address;
        // A host without a role is not audited by what a row may say of it.
        let is_reported = self.window.contains(row.first_seen);
        if is_reported && (verdict.assumed_role.is_none() || self.audits(client)) {
            self.counts.add(client, row);
        }
        self.diagnosis.comparison.add(row, flow.is_proxied());
        let is_pki = verdict.known.is_some_and(|known| known.references.is_pki);
        self.diagnosis.revocation.add(row, verdict.requested_port, is_pki);
        self.diagnosis.name_use.add(flow);
        if is_reported {
            self.diagnosis.unheard.add(row);
        }
        if row.assessment.outcome() != Outcome::Ok {
            return;
        }
        if row.app == "tls" && row.documented.is_some() {
            let facts = flow.facts.as_ref();
            let has_certificate = facts.is_some_and(|facts| facts.certificate_issuer().is_some());
            self.diagnosis.capture_loss.add_tls(has_certificate);
        }
        if let Some(known) = verdict.known {
            self.diagnosis.dns.succeeded(ClientNameRef { client, name: &known.name });
        }
    }

    /// Assesses a flow with `assess`.
    fn assess(
        &mut self,
        flow: &FlowState,
        flow_end: &FlowEnd,
        unknown_issuer: bool,
        assess: fn(&mut Diagnosis, &FlowState, &FlowEnd, &AssessmentContext<'_>) -> Assessment,
    ) -> Assessment {
        let policy = &*self.policy;
        let [client, server] = [flow.client().address, flow.server().address];
        let context = AssessmentContext {
            // The lists of issuers are about documented names only.
            has_unknown_issuer: unknown_issuer
                && flow.name().is_some_and(|(known, _)| known.class.has_listed_issuer),
            middleboxes: &policy.middleboxes,
            is_documented: &|name| policy.is_documented(name),
            expects_reply: flow_end.tcp.is_none() && policy.expects_reply(flow),
            shows_server: [client, server].iter().all(|host| policy.port_tables.roles(*host) != 0)
                && self.diagnosis.sends_packets(server),
        };
        assess(&mut self.diagnosis, flow, flow_end, &context)
    }

    /// Runs the checks that are already complete on a flow that is still open.
    pub(super) fn check_early(&mut self, flow: &FlowState, flow_end: &FlowEnd, reason: EarlyReason) {
        let policy = &*Arc::clone(&self.policy);
        let unknown_issuer = self.has_unknown_issuer(flow);
        let assessment = match reason {
            EarlyReason::Payload => Assessment::Ok,
            _ => self.assess(flow, flow_end, unknown_issuer, Diagnosis::assess_open),
        };
        let tags = self.tag_sets.of(flow.server().address, policy);
        let verdict = flow_verdict(flow, flow_end, tags.as_deref(), unknown_issuer, policy);
        let verdict = self.at_known_server(flow, verdict);
        let proved = EarlyChecks::proved(assessment, reason);
        if verdict.assumed_role.is_none() || self.audits(flow.client().address) {
            let known = proved.filter(|_| reason != EarlyReason::Payload);
            self.early.count(flow.number, &verdict, known.map(|(assessment, _)| assessment.outcome()));
        }
        let Some((assessment, proofs)) = proved else { return };
        if reason != EarlyReason::Payload {
            self.note_success(flow, flow_end, assessment);
        }
        let judged = JudgedFlow { flow, flow_end, assessment, verdict: &verdict, tags: tags.as_deref() };
        let view = judged.view(&self.scope, policy);
        checks::run_early(&view, proofs, &mut self.findings);
        if reason != EarlyReason::Payload
            && verdict.known.is_some_and(|known| !known.class.required.is_empty())
        {
            self.site.add_open(flow, &flow_row::flow_row(view, SmallVec::new()), &verdict, policy);
        }
    }

    /// A problem of the destination is over where the server has replied with payload. A handshake alone does not show that.
    fn note_success(&mut self, flow: &FlowState, flow_end: &FlowEnd, assessment: Assessment) {
        let has_reply = flow_end.bytes.iter().all(|bytes| *bytes > 0);
        if !self.findings.follows_problems() || assessment != Assessment::Ok || !has_reply {
            return;
        }
        let server = flow.server();
        let name = flow.name().map(|(known, _)| FindingTarget::Name(known.name.shared()));
        let addresses = [FindingTarget::Service(server), FindingTarget::Address(flow.requested_address())];
        let targets: SmallVec<[FindingTarget<'_>; 3]> = name.into_iter().chain(addresses).collect();
        self.findings.succeeded(&Success {
            client: flow.client().address,
            targets: &targets,
            port: Some(flow.requested_port()),
            server: Some(server),
            began: flow_end.first_seen,
            time: flow_end.last_seen,
        });
    }

    pub(super) fn send_problem_reports(&mut self, sink: &mut impl RowSink) {
        for report in self.findings.take_reports() {
            sink.problem(report);
        }
    }

    /// Whether a host is audited: a declared one; without declared servers every host inside the site.
    pub(super) fn audits(&self, client: Address) -> bool {
        self.scope.audits(client) || (self.scope.is_open() && self.policy.is_inside(client))
    }

    /// Whether an audited host opened the flow. Without declared servers a host with a public address is audited where it contacts a
    /// documented name: it may be a server, or the address of several after NAT. Between declared roles both directions are judged, and to a declared role what the
    /// port tables have from a role that the site file declares for no host.
    pub(super) fn is_judged(&self, flow: &FlowState) -> bool {
        let (client, server) = (flow.client().address, flow.server());
        let is_to_documented = || flow.name().is_some_and(|(known, _)| known.is_documented());
        if self.audits(client) || (self.scope.is_open() && is_to_documented()) {
            return true;
        }
        let tables = &self.policy.port_tables;
        match [client, server.address].map(|address| tables.roles(address)) {
            [_, 0] => false,
            roles @ [0, _] => {
                let protocol = flow.flow_start.protocol;
                self.policy.is_inside(client)
                    && tables.find_undeclared(roles, protocol, server.port, &self.policy.rules).is_some()
            }
            _ => true,
        }
    }

    fn has_unknown_issuer(&mut self, flow: &FlowState) -> bool {
        let issuer = flow.facts.as_ref().and_then(|facts| facts.certificate_issuer());
        issuer.is_some_and(|issuer| self.issuers.is_unknown(issuer, &self.policy.rules))
    }
}

/// A flow with its assessment and verdict.
struct JudgedFlow<'a> {
    flow: &'a FlowState,
    flow_end: &'a FlowEnd,
    assessment: Assessment,
    verdict: &'a Verdict<'a>,
    tags: Option<&'a TagSet>,
}

impl<'a> JudgedFlow<'a> {
    /// The flow as the checks and its row see it.
    fn view(self, scope: &'a Scope, policy: &'a Policy) -> FlowView<'a> {
        let JudgedFlow { flow, flow_end, assessment, verdict, tags } = self;
        let proof = proof_frame(flow, flow_end, assessment);
        FlowView {
            flow,
            flow_end,
            app: app_label(flow),
            assessment,
            verdict,
            tags,
            proof,
            evidence: flow_row::evidence_frames(flow, flow_end, proof),
            scope,
            policy,
        }
    }
}

/// The verdict on a judged flow.
fn flow_verdict<'a>(
    flow: &'a FlowState,
    flow_end: &FlowEnd,
    tags: Option<&'a TagSet>,
    unknown_issuer: bool,
    policy: &'a Policy,
) -> Verdict<'a> {
    let verdict = verdict(flow, flow_end.first_seen, tags, policy);
    // The lists of issuers are about documented names only.
    let is_listed = verdict.known.is_some_and(|known| known.class.has_listed_issuer);
    Verdict { unknown_issuer: unknown_issuer && is_listed && verdict.documented.is_some(), ..verdict }
}

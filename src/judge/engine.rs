//! Routes facts: what each means for its flow, and what happens when a flow ends.
//!
//! In:  observations in frame order.
//! Out: rows to a [`RowSink`]; findings and requirements at the end.
//! Not: the order of frames; the caller passes observations in order.
//!
//! A flow that ends goes through `diagnosis` (did it succeed?), `policy` (is its destination documented?) and `finding` (what
//! should a person act on?); its row is built last. See `engine::flow_end`.

mod early_checks;
mod early_responses;
mod flow_end;
mod rotation;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use self::early_checks::EarlyChecks;
use self::early_checks::EarlyReason;
pub use self::early_checks::OpenCounts;
use self::early_responses::EarlyResponses;
use super::conversations::Conversations;
use super::diagnosis::Diagnosis;
use super::diagnosis::dns_anomalies::DnsContext;
use super::diagnosis::dns_anomalies::DnsLookup;
use super::diagnosis::dns_anomalies::LookupResult;
use super::diagnosis::dns_anomalies::RESPONSE_NANOS;
use super::finding;
use super::finding::collector::FindingTarget;
use super::finding::collector::Findings;
use super::finding::dns::DnsQuery;
use super::finding::problems::ProblemReport;
use super::finding::problems::Success;
use super::flow_row::OfferTexts;
use super::flow_state::FlowState;
use super::flow_state::FlowStates;
use super::flow_state::NameClaim;
use super::policy::Policy;
use super::policy::declared_hosts::DeclaredHosts;
use super::policy::issuers::Issuers;
use super::policy::name_table::NameTable;
use super::policy::scope::Scope;
use super::policy::service_tags::TagSets;
use super::policy::site::SiteProgress;
use super::rows::DnsRow;
use super::rows::FlowRow;
use super::tally::RunCounts;
use crate::base::CapturePoints;
use crate::base::Time;
use crate::base::TimeWindow;
use crate::base::proto;
use crate::flow::At;
use crate::flow::FlowStart;
use crate::flow::Slot;
use crate::read::AttributeKey;
use crate::read::AttributeValue;
use crate::read::Claim;
use crate::read::Fact;
use crate::read::NameSource;
use crate::read::Observation;
use crate::read::Resolution;

/// Receives rows as flows end and DNS responses arrive.
pub trait RowSink {
    /// A flow has ended.
    fn flow(&mut self, row: FlowRow);
    /// A DNS response has arrived, or will not.
    fn dns(&mut self, row: DnsRow);
    /// A problem has begun, recovered, begun again or lasts; only after [`Engine::follow_problems`]. The finding's own row
    /// comes at the end of the interval.
    fn problem(&mut self, _: ProblemReport) {}
}

/// Limits of what is kept.
#[derive(Clone, Copy, Debug)]
pub struct JudgeLimits {
    /// Distinct findings; more are counted.
    pub findings: usize,
    /// Bytes of names, about: those that DNS resolved and those that flows claimed.
    pub name_bytes: usize,
}

impl Default for JudgeLimits {
    fn default() -> JudgeLimits {
        JudgeLimits { findings: 10_000, name_bytes: 256 << 20 }
    }
}

/// What a claim after a flow's first may cost.
const CLAIM_BYTES: usize = 512;

/// Judges flows.
#[derive(Debug)]
pub struct Engine {
    limits: JudgeLimits,
    policy: Arc<Policy>,
    scope: Scope,
    declared: DeclaredHosts,
    flows: FlowStates,
    names: NameTable,
    diagnosis: Diagnosis,
    site: SiteProgress,
    issuers: Issuers,
    tag_sets: TagSets,
    findings: Findings,
    early: EarlyChecks,
    early_responses: EarlyResponses,
    /// Flows that wait for the same conversation at another capture point, where there are several.
    conversations: Option<Conversations>,
    /// The part of the capture whose rows are reported; the rest is followed only.
    window: TimeWindow,
    offers: OfferTexts,
    counts: RunCounts,
    /// Flows that have started since the beginning.
    started: u64,
    /// Claims after the first of their flow that are kept now.
    further_claims: usize,
    /// The last time seen.
    now: Time,
    /// Evictions from the name table until the last rotation.
    evictions_before: u64,
    /// The process ends after the run: nothing is freed; see [`crate::pipeline::AuditPlan`].
    pub(crate) leaves_memory: bool,
}

impl Engine {
    /// An engine for one policy.
    pub fn new(policy: Arc<Policy>, scope: Scope, limits: JudgeLimits) -> Engine {
        Engine {
            limits,
            site: SiteProgress::new(&policy),
            declared: DeclaredHosts::new(&policy.site),
            policy,
            scope,
            flows: FlowStates::default(),
            names: NameTable::new(limits.name_bytes),
            diagnosis: Diagnosis::default(),
            issuers: Issuers::default(),
            tag_sets: TagSets::default(),
            findings: Findings::new(limits.findings),
            early: EarlyChecks::default(),
            early_responses: EarlyResponses::default(),
            conversations: None,
            window: TimeWindow::default(),
            offers: OfferTexts::default(),
            counts: RunCounts::default(),
            started: 0,
            further_claims: 0,
            now: Time::MIN,
            evictions_before: 0,
            leaves_memory: false,
        }
    }

    /// The same for captures from several points.
    #[must_use]
    pub fn with_points(self, points: CapturePoints) -> Engine {
        let conversations = points.are_several().then(|| Conversations::new(points));
        Engine { conversations, ..self }
    }

    /// The same for a part of the capture: rows, findings and counts are only those that belong to it.
    #[must_use]
    pub fn with_window(self, window: TimeWindow) -> Engine {
        Engine { window, ..self }
    }

    /// Accepts the next observation.
    pub fn accept(&mut self, observation: Observation, sink: &mut impl RowSink) {
        let Observation { at, slot, fact, .. } = observation;
        let fact = match fact {
            Fact::FlowStarted(flow_start) => return self.start_flow(slot, flow_start, at.time),
            fact => fact,
        };
        // The one place where a fact meets its flow.
        let Some(mut flow) = self.flows.take(slot) else {
            self.counts.stray_facts += 1;
            return;
        };
        self.now = self.now.max(at.time);
        self.early.note(slot, at, &fact);
        match fact {
            Fact::FlowStarted(_) => {}
            Fact::RolesSwapped => {
                let FlowStart { client, server, translated, .. } = flow.flow_start.as_mut();
                std::mem::swap(client, server);
                if let Some(translated) = translated {
                    translated.reverse();
                }
                (flow.dns, flow.dns_is_other_clients) = self.names.attribute(client.address, server.address);
            }
            Fact::Protocol(app) => {
                flow.app = app.0;
                self.diagnosis.app_identified(&flow);
            }
            Fact::NameClaimed(claim) => self.add_claim(&mut flow, &claim, &at),
            Fact::DnsResolved(resolution) => self.add_resolution(&flow, &at, resolution, sink),
            Fact::Status(status) => {
                self.diagnosis.sign_ins.add_response(&flow, &status, at.time);
                flow.add_status(status, at.frame);
            }
            Fact::Attributes(attributes) => {
                flow.add_attributes(attributes, &self.policy);
                flow.note_hello(at.time);
            }
            Fact::Attribute(key, value) => {
                flow.set_attribute(key, &value, &self.policy);
                flow.note_hello(at.time);
            }
            Fact::Anomaly(anomaly) => {
                if self.window.contains(at.time) {
                    self.counts.tally.count_anomaly(anomaly.layer, anomaly.what);
                }
                flow.facts_mut().anomalies += 1;
            }
            Fact::Interim(flow_end) => {
                if self.early.accepts_interim() && flow_end.packets[0] > 0 && self.is_judged(&flow) {
                    self.check_early(&flow, &flow_end, EarlyReason::of(&flow_end));
                }
            }
            Fact::FlowEnded(flow_end) => {
                for row in self.early_responses.take(flow.number) {
                    self.send_dns(row, sink);
                }
                let Some(conversations) = &mut self.conversations else {
                    self.end_flow(&mut flow, &flow_end, sink);
                    return self.flows.release(flow);
                };
                if let Some(conversation) = conversations.add(flow, flow_end) {
                    self.end_conversation(conversation, sink);
                }
                return;
            }
        }
        self.flows.put_back(slot, flow);
    }

    fn start_flow(&mut self, slot: Slot, flow_start: Box<FlowStart>, time: Time) {
        self.started += 1;
        let (client, server) = (flow_start.client.address, flow_start.server.address);
        let (dns, dns_is_other_clients) = self.names.attribute(client, server);
        let number = self.started;
        self.declared.add(&flow_start, &self.policy.site);
        // Without declared servers nothing is left out by the site file.
        if !self.scope.is_open() {
            self.diagnosis.own_addresses.add(&flow_start);
        }
        if self.policy.port_tables.roles(client) != 0 {
            self.diagnosis.packet_sent(client);
        }
        let flow =
            FlowState { number, flow_start, app: "", dns, dns_is_other_clients, facts: None, seen_at: None };
        self.diagnosis.flow_started(&flow, time);
        self.flows.start(slot, flow);
    }

    /// A flow names its destination.
    fn add_claim(&mut self, flow: &mut FlowState, claim: &Claim, at: &At) {
        let known = self.names.look_up(&claim.name, &self.policy);
        // Nearly every client claims the name for which DNS returned the address.
        let is_resolved =
            !flow.dns_is_other_clients && flow.dns.as_ref().is_some_and(|dns| dns.includes(&known));
        if claim.source != NameSource::Certificate && !is_resolved {
            let (client, server) = (flow.client().address, flow.server().address);
            if let Some(contradiction) = self.names.contradiction(client, server, &known) {
                flow.facts_mut().contradiction = Some(contradiction);
            }
        }
        if claim.outer {
            flow.set_attribute(AttributeKey::Ech, &AttributeValue::Yes, &self.policy);
        }
        let is_full = self.further_claims > self.limits.name_bytes / 4 / CLAIM_BYTES;
        if is_full && flow.facts.as_ref().is_some_and(|facts| !facts.claims.is_empty()) {
            self.counts.missed_claims += 1;
            return;
        }
        let before = flow.further_claims();
        flow.add_claim(NameClaim { source: claim.source, known, port: claim.port, frame: at.frame });
        self.further_claims += flow.further_claims() - before;
    }

    /// A DNS response has arrived, or will not.
    fn add_resolution(
        &mut self,
        flow: &FlowState,
        at: &At,
        resolution: Box<Resolution>,
        sink: &mut impl RowSink,
    ) {
        // mDNS and LLMNR have no resolver.
        if resolution.multicast {
            return;
        }
        if resolution.rcode.is_none()
            && let Some(row) = self.early_responses.join(flow.number, &resolution)
        {
            return self.send_dns(row, sink);
        }
        let (client, resolver, protocol) = (flow.client(), flow.server(), flow.flow_start.protocol);
        let resolved =
            self.names.add_response(client.address, &resolution, (at.frame, at.time), &self.policy);
        let waited_nanos = resolution.last_query_time.map(|last| at.time.since(last));
        let (frame, time) = match (resolution.rcode, resolution.query_frame, resolution.query_time) {
            (None, Some(frame), Some(time)) => (frame, time),
            _ => (at.frame, at.time),
        };
        if resolution.rcode.is_some() {
            self.diagnosis.packet_received(client.address);
        }
        if resolution.truncated && protocol == proto::UDP {
            self.diagnosis.truncated.add(client.address, resolver.address);
        }
        if resolution.opcode == 0 && self.audits(client.address) {
            let known =
                resolved.known.unwrap_or_else(|| self.names.look_up(&resolution.query_name, &self.policy));
            let is_captured = resolution.query_frame.is_some();
            let query = DnsQuery { client, resolver, frame, time, is_captured };
            if self.window.contains(time) {
                finding::dns::check_query(&query, &known, &self.policy, &mut self.findings);
            }
            let lookup = DnsLookup {
                client: client.address,
                resolver,
                flow: flow.number,
                resolution: &resolution,
                addresses: &resolved.addresses,
                known: &known,
                frame,
                time,
                waited_nanos,
            };
            let context = DnsContext {
                middleboxes: &self.policy.middleboxes,
                is_declared_private: &|address| self.policy.private_networks.contains(address),
                is_reported: self.window.contains(time),
                may_be_lost: self.diagnosis.capture_loss.dropped_at(time),
            };
            match self.diagnosis.dns.add(&lookup, &context) {
                LookupResult::Final(anomaly) => {
                    finding::dns::announce(anomaly, &(frame, time), &self.policy, &mut self.findings);
                }
                LookupResult::Resolved => self.findings.succeeded(&Success {
                    client: client.address,
                    targets: &[FindingTarget::Name(known.name.shared())],
                    port: None,
                    server: Some(resolver),
                    began: resolution.query_time.unwrap_or(time),
                    time,
                }),
                LookupResult::Nothing => {}
            }
        }
        let resolved_addresses = resolved.addresses;
        let capture_ended_after = waited_nanos.filter(|waited| *waited < RESPONSE_NANOS);
        let is_response = resolution.opcode == 0 && resolution.rcode.is_some();
        let may_be_early = is_response && resolution.query_frame.is_none();
        let mut row = DnsRow {
            frame,
            time,
            client,
            resolver,
            protocol,
            resolution,
            resolved_addresses,
            capture_ended_after,
            unlisted_answers: 0,
            further_messages: 0,
        };
        row.keep_listed();
        let row = match may_be_early && protocol == proto::UDP {
            true => self.early_responses.hold(flow.number, row),
            false => Some(row),
        };
        if let Some(row) = row {
            self.send_dns(row, sink);
        }
    }

    fn send_dns(&mut self, row: DnsRow, sink: &mut impl RowSink) {
        if !self.window.contains(row.time) {
            return;
        }
        self.counts.tally.dns += 1;
        self.counts.tally.dns_unanswered += u64::from(row.resolution.rcode.is_none());
        let unlisted = u64::from(row.unlisted_answers);
        self.counts.unlisted_answers += unlisted;
        self.counts.rows_with_unlisted += u64::from(unlisted > 0);
        sink.dns(row);
    }
}

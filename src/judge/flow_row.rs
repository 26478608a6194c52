//! Builds a flow's row, last of all.
//!
//! In:  the flow with its facts, assessment, verdict and findings.
//! Out: the row, and the frames that prove it.
//! Not: any decision.

use std::sync::Arc;

use smallvec::SmallVec;

use super::bounded_map::BoundedMap;
use super::catalogue::FindingCode;
use super::catalogue::Mechanism;
use super::diagnosis::tampering::tampering_stage;
use super::finding::checks::FlowView;
use super::flow_state::AppFacts;
use super::flow_state::FlowState;
use super::rows::FlowRow;
use super::vocabulary::Outcome;
use crate::base::FrameRef;
use crate::base::WireText;
use crate::flow::FlowEnd;
use crate::read::AttributeKey;
use crate::read::AttributeSets;
use crate::read::NameSource;

/// Lists of offered protocols that are kept: clients use a few dozen.
const MAX_OFFERS: usize = 1 << 10;

/// Lists of offered application protocols, each as one text.
#[derive(Debug)]
pub(super) struct OfferTexts(BoundedMap<Arc<[WireText]>, WireText>);

impl Default for OfferTexts {
    fn default() -> OfferTexts {
        OfferTexts(BoundedMap::new(MAX_OFFERS))
    }
}

impl OfferTexts {
    /// The protocols, joined with `;`.
    fn joined(&mut self, offered: &Arc<[WireText]>) -> WireText {
        if let Some(text) = self.0.get(offered) {
            return text.clone();
        }
        let protocols: Vec<&str> = offered.iter().map(WireText::as_str).collect();
        let text = WireText::printable(protocols.join(";"));
        self.0.insert(Arc::clone(offered), text.clone());
        text
    }
}

/// The frames that prove what a row says: the DNS response, the handshake, the name, the end.
pub(super) fn evidence_frames(
    flow: &FlowState,
    flow_end: &FlowEnd,
    proof: Option<FrameRef>,
) -> SmallVec<[FrameRef; 4]> {
    let mut frames: SmallVec<[FrameRef; 4]> = proof.into_iter().collect();
    if let Some(dns) = &flow.dns {
        frames.push(dns.frame());
    }
    if let Some(tcp) = &flow_end.tcp {
        frames.extend([tcp.syn_frame, tcp.syn_ack_frame].into_iter().flatten());
    }
    if let Some(claim) = flow.strongest_claim() {
        frames.push(claim.frame);
    }
    if let Some(tcp) = &flow_end.tcp {
        frames.extend(tcp.reset_frame);
    }
    frames.extend(flow_end.icmp.as_ref().map(|error| error.frame));
    frames.extend(flow.crossing().and_then(|crossing| crossing.frame));
    if frames.is_empty() {
        frames.push(flow_end.first_frame);
    }
    frames.sort_unstable();
    frames.dedup();
    frames
}

/// The row, without the facts of the readers; see [`add_facts`].
pub(super) fn flow_row(view: FlowView<'_>, findings: SmallVec<[FindingCode; 2]>) -> FlowRow {
    let FlowView { flow, flow_end, app, verdict, tags, assessment, evidence, .. } = view;
    let (name, name_source) = match flow.name() {
        Some((known, source)) => (Some(known), Some(source)),
        None => (None, tags.is_some().then_some(NameSource::ServiceTag)),
    };
    // A host that drops its own packets does not tamper.
    let is_tampered =
        assessment.outcome() != Outcome::Ok && assessment.mechanism() != Some(Mechanism::DroppedByHost);
    let sni = flow.claim_from(NameSource::Sni).or_else(|| flow.claim_from(NameSource::QuicSni));
    FlowRow {
        flow_id: flow.number,
        first_frame: flow_end.first_frame,
        last_frame: flow_end.last_frame,
        first_seen: flow_end.first_seen,
        last_seen: flow_end.last_seen,
        protocol: flow.flow_start.protocol,
        client: flow.client(),
        server: flow.server(),
        vlan: flow.flow_start.vlan.clone(),
        tunnel: flow.flow_start.tunnel.clone(),
        process: flow.flow_start.process.clone(),
        translated: flow.flow_start.translated.clone(),
        app,
        name: name.map(|known| Arc::clone(known.name.shared())),
        name_source,
        sni: sni.map(|claim| Arc::clone(claim.known.name.shared())),
        dns_name: flow.dns.as_ref().map(|dns| Arc::clone(dns.known().name.shared())),
        alpn: None,
        tls_version: None,
        ech: false,
        attributes: AttributeSets::default(),
        tls_cipher: None,
        tls_resumed: false,
        client_hello_cut: false,
        quic_version: None,
        rare: None,
        packets: flow_end.packets,
        bytes: flow_end.bytes,
        destination_verdict: verdict.destination,
        port_verdict: verdict.port,
        assessment,
        documented: verdict.documented.cloned(),
        findings,
        evidence,
        service_tags: tags.map(|tags| Arc::clone(&tags.text)),
        http: None,
        tampering_stage: if is_tampered { tampering_stage(flow_end) } else { None },
        address_evidence: verdict.address_evidence,
        points: flow.seen_at.as_ref().map(|seen_at| Arc::clone(&seen_at.points)),
        further_flows: 0,
        requested_port: flow.is_proxied().then_some(verdict.requested_port),
    }
}

/// Moves the facts of the readers into the row of a flow that has ended.
pub(super) fn add_facts(row: &mut FlowRow, facts: AppFacts, offers: &mut OfferTexts) {
    let offered = facts.attributes.list(AttributeKey::AlpnOffered);
    row.alpn = facts.alpn.or_else(|| Some(offers.joined(offered?)));
    row.tls_version = facts.tls_version;
    row.ech = facts.ech;
    row.attributes = facts.attributes;
    row.tls_cipher = facts.tls_cipher;
    row.tls_resumed = facts.tls_resumed;
    row.client_hello_cut = facts.client_hello_cut;
    row.quic_version = facts.quic_version;
    row.rare = facts.rare;
    row.http = facts.http;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Address;
    use crate::base::Side;
    use crate::base::Time;
    use crate::base::proto;
    use crate::flow::Endpoint;
    use crate::flow::Handshake;
    use crate::flow::IcmpError;
    use crate::judge::flow_state::NameClaim;
    use crate::judge::policy::Policy;
    use crate::judge::policy::name_table::NameTable;
    use crate::judge::test_support;
    use crate::judge::test_support::host;

    const CLIENT: Address = Address::v4([10, 1, 0, 4]);
    const SERVER: Address = Address::v4([20, 60, 0, 4]);

    fn frame(number: u64) -> FrameRef {
        FrameRef { number, ..FrameRef::default() }
    }

    fn flow() -> FlowState {
        let end = |address, port| Endpoint { address, port };
        test_support::flow_state(proto::TCP, end(CLIENT, 50_000), end(SERVER, 443))
    }

    fn numbers(flow: &FlowState, flow_end: &FlowEnd, proof: Option<FrameRef>) -> Vec<u64> {
        evidence_frames(flow, flow_end, proof).iter().map(|frame| frame.number).collect()
    }

    #[test]
    fn evidence_frames_are_those_of_names_handshake_proof_and_end() {
        let policy = Policy::for_tests("");
        let mut names = NameTable::new(usize::MAX);
        let response = test_support::resolution("files.example", Some(0), &[SERVER]);
        names.add_response(CLIENT, &response, (frame(2), Time(0)), &policy);
        let mut flow = flow();
        (flow.dns, _) = names.attribute(CLIENT, SERVER);
        let known = names.look_up(&host("files.example"), &policy);
        flow.add_claim(NameClaim { source: NameSource::Sni, known, port: None, frame: frame(6) });
        let mut tcp = test_support::tcp_summary(Handshake::Complete);
        (tcp.syn_frame, tcp.syn_ack_frame, tcp.reset_frame) =
            (Some(frame(3)), Some(frame(4)), Some(frame(8)));
        let mut flow_end = test_support::flow_end(Time(0), Time(9));
        flow_end.tcp = Some(tcp);
        flow_end.icmp = Some(Box::new(IcmpError {
            frame: frame(9),
            time: Time(9),
            from: SERVER,
            about: Side::Client,
            v6: false,
            kind: 3,
            code: 13,
            detail: 0,
            count: 1,
        }));
        assert_eq!(numbers(&flow, &flow_end, Some(frame(7))), [2, 3, 4, 6, 7, 8, 9]);
        // One frame may prove several things.
        assert_eq!(numbers(&flow, &flow_end, Some(frame(8))), [2, 3, 4, 6, 8, 9]);
    }

    #[test]
    fn the_first_frame_is_evidence_where_nothing_else_is() {
        let mut flow_end = test_support::flow_end(Time(0), Time(9));
        flow_end.first_frame = frame(5);
        assert_eq!(numbers(&flow(), &flow_end, None), [5]);
        assert_eq!(numbers(&flow(), &flow_end, Some(frame(7))), [7]);
    }
}

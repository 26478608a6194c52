//! Puts a flow's row together.
//!
//! In:  a case, how it closed, and what was made of it.
//! Out: the row, and the frames that prove it.
//! Not: findings; and words of the flow, which the court moves in when nothing else needs them.

use std::sync::Arc;

use smallvec::SmallVec;

use crate::base::FrameRef;
use crate::flow::FlowEnd;
use crate::judge::diagnosis::app_label::spoken;
use crate::judge::diagnosis::outcome::Ending;
use crate::judge::diagnosis::tampering::stage;
use crate::judge::flow_state::FlowState;
use crate::judge::policy::Policy;
use crate::judge::policy::TagSet;
use crate::judge::policy::site;
use crate::judge::policy::verdict::Verdict;
use crate::judge::rows::FlowRow;
use crate::judge::rows::Outcome;
use crate::read::AttributeSets;
use crate::read::NameSource;

/// A flow's row before the checks, without the words of the flow.
pub(super) fn row(
    case: &FlowState,
    flow_end: &FlowEnd,
    verdict: &Verdict<'_>,
    tags: Option<&TagSet>,
    ending: Ending,
    policy: &Policy,
) -> FlowRow {
    let (outcome, signature, confidence) = ending;
    let dns = case.dns.as_ref();
    let (name, name_source) = match case.name() {
        Some((known, source)) => (Some(known), Some(source)),
        None => (None, tags.is_some().then_some(NameSource::ServiceTag)),
    };
    let sni = case.claimed(NameSource::Sni).or_else(|| case.claimed(NameSource::QuicSni));
    FlowRow {
        flow_id: case.number,
        first_frame: flow_end.first_frame,
        last_frame: flow_end.last_frame,
        first_seen: flow_end.first_seen,
        last_seen: flow_end.last_seen,
        protocol: case.flow_start.protocol,
        client: case.client(),
        server: case.server(),
        vlan: case.flow_start.vlan.clone(),
        tunnel: case.flow_start.tunnel.clone(),
        app: spoken(case),
        name: name.map(|known| Arc::clone(&known.name)),
        name_source,
        sni: sni.map(|claimed| Arc::clone(&claimed.known.name)),
        dns_name: dns.map(|named| Arc::clone(&named.known().name)),
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
        outcome,
        signature,
        confidence,
        documented: verdict.documented.cloned(),
        findings: SmallVec::new(),
        evidence: evidence(case, flow_end),
        service_tags: tags.map(|tags| Arc::clone(&tags.text)),
        http: None,
        tampering_stage: if outcome == Outcome::Ok { None } else { stage(flow_end) },
        address_evidence: site::support(verdict, tags, case.server().address, policy),
    }
}

/// The frames that prove what a flow's row says: its beginning, its answer, its name, its end.
fn evidence(case: &FlowState, flow_end: &FlowEnd) -> SmallVec<[FrameRef; 4]> {
    let mut frames = SmallVec::new();
    if let Some(named) = &case.dns {
        frames.push(named.frame());
    }
    if let Some(tcp) = &flow_end.tcp {
        frames.extend([tcp.syn_frame, tcp.syn_ack_frame].into_iter().flatten());
    }
    if let Some(claimed) = case.strongest() {
        frames.push(claimed.frame);
    }
    if let Some(tcp) = &flow_end.tcp {
        frames.extend(tcp.reset_frame);
    }
    frames.extend(flow_end.icmp.as_ref().map(|error| error.frame));
    if frames.is_empty() {
        frames.push(flow_end.first_frame);
    }
    frames.sort_unstable();
    frames.dedup();
    frames
}

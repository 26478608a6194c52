//! Summarizes a flow for later stages.
//!
//! In:  a [`LiveFlow`].
//! Out: a [`FlowEnd`]: what was counted so far.
//! Not: what it means.

use super::gaps::SequenceGaps;
use super::live_flow::FlowDetails;
use super::live_flow::LiveFlow;
use super::live_flow::SenderProfile;
use super::record::EndReason;
use super::record::FlowEnd;
use super::record::Handshake;
use super::record::SideSummary;
use super::record::TcpSummary;
use super::sequence::SequenceSpace;
use super::sequence::ahead;
use crate::base::FrameRef;
use crate::base::Side;
use crate::base::Time;
use crate::base::proto;

/// What was counted of a flow so far.
pub(super) fn flow_end<S>(flow: &LiveFlow<S>, reason: EndReason) -> FlowEnd {
    FlowEnd {
        reason,
        first_frame: FrameRef::unpack(flow.first_frame),
        last_frame: FrameRef::unpack(flow.last_frame),
        first_seen: flow.first_time,
        last_seen: flow.last_time,
        packets: flow.packets.map(u64::from),
        bytes: flow.bytes,
        is_cut: flow.is_cut,
        tcp: (flow.key.protocol == proto::TCP).then(|| tcp(flow)),
        host_drops: flow.details.as_ref().and_then(|details| details.host_drops.clone()),
        icmp: flow.details.as_ref().and_then(|details| details.icmp.clone()),
    }
}

fn tcp<S>(flow: &LiveFlow<S>) -> TcpSummary {
    let nothing = FlowDetails::default();
    let details = flow.details.as_deref().unwrap_or(&nothing);
    let frame = |packed: u64| (packed != 0).then(|| FrameRef::unpack(packed));
    let time = |time: Time| (time != Time::default()).then_some(time);
    TcpSummary {
        handshake: handshake(flow),
        sides: [side_summary(flow, details, Side::Client), side_summary(flow, details, Side::Server)],
        initial: [flow.initial(Side::Client), flow.initial(Side::Server)],
        client_ttl: {
            let [SenderProfile { ttls: [first, _], .. }, _] = details.profiles;
            first
        },
        syn_frame: frame(details.syn_frame),
        syn_ack_frame: frame(details.syn_ack_frame),
        first_data_frame: frame(details.first_data_frame),
        reset_frame: frame(details.reset_frame),
        reset_time: time(details.reset_time),
        handshake_rtt: details.handshake_rtt,
        first_data_time: time(details.first_data_time),
        client_close_time: time(details.client_close_time),
        client_close_frame: frame(details.client_close_frame),
        server_close_frame: frame(details.server_close_frame),
        gap_time: time(details.gap_time),
        simultaneous_open: flow.simultaneous_open,
        ended_after_idle: details.packets_at_idle != [0, 0] && {
            let ([_, at_idle], [_, now], [_, server]) =
                (details.packets_at_idle, flow.packets, &details.sides);
            now.saturating_sub(at_idle) <= u32::from(server.resets)
        },
    }
}

fn side_summary<S>(flow: &LiveFlow<S>, details: &FlowDetails, side: Side) -> SideSummary {
    let index = side.index();
    let sequence = flow.sequence(side);
    let counts = details.sides.get(index).copied().unwrap_or_default();
    let profile = details.profiles.get(index).copied().unwrap_or_default();
    let no_gaps = SequenceGaps::default();
    let gaps = details.gaps.as_ref().and_then(|gaps| gaps.get(index)).unwrap_or(&no_gaps);
    let peer_packets = flow.packets.get(side.other().index()).copied().unwrap_or_default();
    // The segment that was retransmitted last is the one that the peer still waits for.
    let is_unacked = counts.unacked_repeats > 0 && profile.repeated == sequence.acked;
    let acked_from = |initial: u32| ahead(sequence.acked, initial.wrapping_add(1)).max(0).unsigned_abs();
    SideSummary {
        syns: counts.syns,
        fins: counts.fins,
        resets: counts.resets,
        reset_evidence: counts.reset_evidence,
        reset_kinds: counts.reset_kinds,
        unacked_repeats: if is_unacked { u16::from(counts.unacked_repeats) } else { 0 },
        unacked_repeat_len: profile.repeated_len,
        peer_packets: if is_unacked { peer_packets.saturating_sub(profile.peer_packets) } else { 0 },
        sack_acks: u16::from(counts.sack_acks),
        sack_span: counts.sack_span,
        data_segments: u32::from(sequence.data),
        retransmissions: counts.retransmissions,
        out_of_order: counts.out_of_order,
        differing: u32::from(counts.differing),
        keep_alives: counts.keep_alives.into(),
        zero_windows: counts.zero_windows.into(),
        acked_unseen_bytes: gaps.acked_bytes(sequence.next, sequence.acked),
        missing_bytes: u64::from(counts.missing_before_reset) + gaps.bytes(),
        unacknowledged: ahead(sequence.next, sequence.acked).max(0).unsigned_abs(),
        acknowledged: flow.initial(side).map_or(0, acked_from),
        missing_tail_bytes: gaps.len_at(sequence.acked),
    }
}

/// How far the handshake came, from whichever sides were captured.
fn handshake<S>(flow: &LiveFlow<S>) -> Handshake {
    let client = flow.sequence(Side::Client);
    let server = flow.sequence(Side::Server);
    let has_talked = client.has(SequenceSpace::TALKED) || client.data > 0 || server.data > 0;
    if !client.has(SequenceSpace::SYN) {
        return match (server.has(SequenceSpace::SYN), has_talked) {
            (false, _) => Handshake::Unseen,
            (true, true) => Handshake::Complete,
            (true, false) => Handshake::HalfOpen,
        };
    }
    // A SYN may carry payload (RFC 9293 §3.4) and be refused all the same.
    let is_refused = server.has(SequenceSpace::RST)
        && !server.has(SequenceSpace::SYN)
        && !client.has(SequenceSpace::TALKED)
        && server.data == 0;
    if is_refused {
        Handshake::Refused
    } else if has_talked {
        Handshake::Complete
    } else if server.has(SequenceSpace::SYN) {
        Handshake::HalfOpen
    } else {
        Handshake::Unanswered
    }
}

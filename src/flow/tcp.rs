//! TCP as a monitor beside the path sees it (RFC 9293).
//!
//! In:  the segments of one flow.
//! Out: the flow's phase, sequence space and counters.
//! Not: payload, and what the counters mean.
//!
//! A segment is new, retransmitted, early (it leaves a gap) or out of order (it fills one). Both the sender's own numbers and
//! the peer's ACKs move its sequence space; where they disagree, the capture missed something.

use super::consumer::At;
use super::live_flow::FlowPhase;
use super::live_flow::LiveFlow;
use super::options::SACK;
use super::options::longest_sack_block;
use super::options::option;
use super::reset;
use super::sequence::SequenceSpace;
use super::sequence::ahead;
use crate::base::Side;
use crate::base::Time;
use crate::decode::Packet;
use crate::decode::TcpHeader;

/// A reset further ahead than this, or an ACK, proves nothing: it is forged, or about an earlier connection, or a firewall
/// rewrote it. Receive windows of this size are rare. The sender's own segments show longer runs of missing bytes.
const PLAUSIBLE_STEP: i32 = 1 << 23;

/// After this many segments in a row with foreign numbers, these are the connection's own: the capture missed much of both sides.
const MAX_FOREIGN_RUN: u8 = 64;

/// A segment further ahead than this is ignored: no window is larger (RFC 7323 §2.2).
const WINDOW_LIMIT: i32 = 1 << 30;

/// True if a segment with SYN starts another connection between the same ports.
pub(super) fn starts_another<S>(flow: &LiveFlow<S>, header: &TcpHeader<'_>, side: Side) -> bool {
    let own = flow.sequence(side);
    if flow.initial(side) == Some(header.seq) {
        // A retransmitted SYN.
        return false;
    }
    if is_after_syn_ack(flow, header, side) {
        return false;
    }
    if header.has(TcpHeader::ACK) {
        return own.has(SequenceSpace::SYN) && flow.phase == FlowPhase::Closed;
    }
    // RFC 9293 §3.5: both sides may open at once. Then a SYN is the response to a SYN.
    let peer = flow.sequence(side.other());
    let simultaneous =
        !own.has(SequenceSpace::SENT) && peer.has(SequenceSpace::SYN) && flow.phase == FlowPhase::Attempt;
    !simultaneous
}

/// True for a SYN that the capture has after its SYN-ACK.
fn is_after_syn_ack<S>(flow: &LiveFlow<S>, header: &TcpHeader<'_>, side: Side) -> bool {
    let own = flow.sequence(side);
    !header.has(TcpHeader::ACK)
        && !own.has(SequenceSpace::SYN)
        && flow.sequence(side.other()).has(SequenceSpace::SYN)
        && own.acked == header.seq.wrapping_add(1)
}

/// True for a segment whose numbers belong to neither side's: both are far from the connection's, in whichever direction. Such
/// are segments captured on the other side of a firewall that rewrites sequence numbers.
pub(super) fn is_foreign<S>(flow: &LiveFlow<S>, header: &TcpHeader<'_>, side: Side) -> bool {
    let (own, peer) = (flow.sequence(side), flow.sequence(side.other()));
    let is_far = |number: u32, of: &SequenceSpace| {
        ahead(number, of.next).unsigned_abs() > PLAUSIBLE_STEP.unsigned_abs()
    };
    header.flags & (TcpHeader::SYN | TcpHeader::ACK) == TcpHeader::ACK
        && own.has(SequenceSpace::SENT)
        && peer.has(SequenceSpace::SENT)
        && is_far(header.seq, own)
        && is_far(header.ack, peer)
}

/// Updates the flow with a segment.
#[inline]
pub(super) fn update<S>(
    flow: &mut LiveFlow<S>,
    header: &TcpHeader<'_>,
    packet: &Packet<'_>,
    side: Side,
    at: At,
) {
    if !update_in_order(flow, header, packet, side) {
        update_any(flow, header, packet, side, at);
    }
}

/// The common case: the next segment of an open connection that has no gap here. Otherwise returns false and changes nothing.
#[inline]
fn update_in_order<S>(
    flow: &mut LiveFlow<S>,
    header: &TcpHeader<'_>,
    packet: &Packet<'_>,
    side: Side,
) -> bool {
    const CONTROL: u8 = TcpHeader::SYN | TcpHeader::FIN | TcpHeader::RST;
    if header.flags & (CONTROL | TcpHeader::ACK) != TcpHeader::ACK
        || header.window == 0
        || flow.phase != FlowPhase::Open
    {
        return false;
    }
    let own = flow.sequence(side);
    let peer = flow.sequence(side.other());
    if own.seen & (SequenceSpace::SENT | SequenceSpace::TALKED) != SequenceSpace::SENT | SequenceSpace::TALKED
        || header.seq != own.next
        || !peer.has(SequenceSpace::SENT)
        || ahead(header.ack, peer.next) > 0
        || (own.data == 0 && packet.payload_len > 0)
        || (packet.payload_len == 0 && header.ack == peer.acked && peer.next != peer.acked)
    {
        return false;
    }
    let own = flow.sequence_mut(side);
    own.next = own.next.wrapping_add(packet.payload_len);
    own.foreign_run = 0;
    own.data = own.data.saturating_add(u16::from(packet.payload_len > 0));
    let peer = flow.sequence_mut(side.other());
    if ahead(header.ack, peer.acked) > 0 {
        peer.acked = header.ack;
    }
    true
}

/// All other segments, outside of the code of the common case.
#[inline(never)]
fn update_any<S>(flow: &mut LiveFlow<S>, header: &TcpHeader<'_>, packet: &Packet<'_>, side: Side, at: At) {
    if !header.has(TcpHeader::RST) {
        let is_foreign = is_foreign(flow, header, side);
        let own = flow.sequence_mut(side);
        if is_foreign && own.foreign_run < MAX_FOREIGN_RUN {
            own.foreign_run += 1;
            return;
        }
        own.foreign_run = 0;
    }
    if header.has(TcpHeader::SYN) {
        synchronize(flow, header, side, at);
    }
    if !header.has(TcpHeader::SYN) || packet.payload_len > 0 {
        advance(flow, header, packet.payload_len, side, at);
    }
    // The response to a SYN that is no SYN-ACK is about an earlier connection (RFC 9293 §3.10.7.4, challenge ACK).
    let is_challenge = flow.phase == FlowPhase::Attempt && !flow.sequence(side).has(SequenceSpace::SYN);
    if header.has(TcpHeader::ACK) && !header.has(TcpHeader::RST) && !is_challenge {
        acknowledge(flow, header.ack, side.other());
    }
    if packet.payload_len == 0
        && flow.sequence(side.other()).acked == header.ack
        && let Some(blocks) = option(header.options, SACK)
    {
        let counts = flow.details().side(side.other());
        counts.sack_acks = counts.sack_acks.saturating_add(1);
        counts.sack_span = counts.sack_span.max(longest_sack_block(blocks));
    }
    if header.window == 0 && header.flags & (TcpHeader::RST | TcpHeader::SYN | TcpHeader::FIN) == 0 {
        let counts = flow.details().side(side);
        counts.zero_windows = counts.zero_windows.saturating_add(1);
    }
    if header.has(TcpHeader::FIN) {
        finish(flow, header, packet, side, at);
    }
    if header.has(TcpHeader::RST) {
        reset_connection(flow, header, side, at);
    }
    reset::compare(flow, header, packet, side, at);
}

/// A SYN or SYN-ACK: sets the initial sequence number.
fn synchronize<S>(flow: &mut LiveFlow<S>, header: &TcpHeader<'_>, side: Side, at: At) {
    let is_response = header.has(TcpHeader::ACK);
    if is_response && has_another_ack(flow, header, side) {
        return;
    }
    reopen(flow, is_response, side);
    let is_late = is_after_syn_ack(flow, header, side);
    flow.from_start |= is_late;
    let initial = flow.initial(side);
    let own = flow.sequence_mut(side);
    // A server that lost its state responds to a retransmitted SYN with other numbers; the last ones count.
    let is_renumbered = is_response
        && !own.has(SequenceSpace::TALKED)
        && initial.is_some_and(|initial| initial != header.seq);
    if is_renumbered {
        own.seen &= !SequenceSpace::SENT;
    }
    let is_known = own.has(SequenceSpace::SYN) && !is_renumbered;
    if !is_known {
        let next = header.seq.wrapping_add(1);
        if !own.has(SequenceSpace::SENT) || ahead(next, own.next) > 0 {
            own.next = next;
        }
        if !is_late {
            own.acked = header.seq;
        }
        own.seen |= SequenceSpace::SYN | SequenceSpace::SENT;
    }
    let peer = flow.sequence_mut(side.other());
    if is_response && !peer.has(SequenceSpace::SENT) {
        // Its SYN may follow in the capture.
        peer.acked = header.ack;
    }
    let peer_waits = flow.sequence(side.other()).has(SequenceSpace::SYN) && flow.phase == FlowPhase::Attempt;
    flow.simultaneous_open |= !is_response && !is_known && peer_waits;
    if is_response && flow.phase == FlowPhase::Attempt {
        flow.phase = FlowPhase::Open;
    }
    let details = flow.details();
    if !is_known && let Some(initial) = details.initial.get_mut(side.index()) {
        *initial = header.seq;
    }
    let counts = details.side(side);
    counts.syns = counts.syns.saturating_add(1);
    if is_response {
        if details.syn_ack_frame == 0 {
            details.syn_ack_frame = at.frame.pack();
            if details.syn_frame != 0 {
                details.handshake_rtt = at.time.since(details.syn_time);
            }
        }
    } else if details.syn_frame == 0 {
        details.syn_frame = at.frame.pack();
        details.syn_time = at.time;
    }
}

/// True for a SYN-ACK that ACKs another SYN than the peer's, after one that ACKed the peer's: a firewall that rewrites sequence
/// numbers, captured on both of its sides.
fn has_another_ack<S>(flow: &LiveFlow<S>, header: &TcpHeader<'_>, side: Side) -> bool {
    let is_known = flow.sequence(side).has(SequenceSpace::SYN) && flow.phase == FlowPhase::Open;
    // A SYN may carry payload, which a SYN-ACK may ACK (RFC 7413 §2).
    is_known
        && flow.initial(side.other()).is_some_and(|initial| {
            !(1..=1 << 16).contains(&header.ack.wrapping_sub(initial))
                && flow.sequence(side.other()).acked != initial
        })
}

/// A SYN that was refused or reset is retransmitted, or a SYN-ACK comes after all: the connection is open again. A server that
/// keeps an earlier connection sends a challenge ACK, and its client resets that one and tries again (RFC 9293 §3.5.1, case of
/// half-open connections).
fn reopen<S>(flow: &mut LiveFlow<S>, is_response: bool, side: Side) {
    let client = flow.sequence(Side::Client);
    let has_data = client.data > 0 || flow.sequence(Side::Server).data > 0;
    if has_data || client.has(SequenceSpace::TALKED) || !client.has(SequenceSpace::SYN) {
        return;
    }
    if !is_response && flow.phase == FlowPhase::Closed {
        flow.phase = FlowPhase::Attempt;
    } else if is_response && side == Side::Server && flow.phase == FlowPhase::Attempt {
        // Resets and segments before the first SYN-ACK were not of this connection.
        let server = flow.sequence_mut(Side::Server);
        if !server.has(SequenceSpace::SYN) {
            *server = SequenceSpace { seen: server.seen & SequenceSpace::RST, ..SequenceSpace::default() };
        }
        let had_reset = flow.sequences.iter().any(|side| side.has(SequenceSpace::RST));
        flow.sequences.iter_mut().for_each(|side| side.seen &= !SequenceSpace::RST);
        if had_reset && let Some(details) = &mut flow.details {
            details.forget_resets();
        }
    }
}

/// Advances a side's sequence space by the payload of a segment, and counts the segment by its kind.
fn advance<S>(flow: &mut LiveFlow<S>, header: &TcpHeader<'_>, payload_len: u32, side: Side, at: At) {
    let is_reset = header.has(TcpHeader::RST);
    let seq = header.seq.wrapping_add(u32::from(header.has(TcpHeader::SYN)));
    // RFC 9293 §3.5.3: the payload of a reset is a text about its cause.
    let len = if is_reset { 0 } else { payload_len };
    let is_attempt = flow.phase == FlowPhase::Attempt;
    let end = seq.wrapping_add(len);
    let own = flow.sequence_mut(side);
    // Payload of a SYN is sent before the peer has responded.
    if !is_reset && !header.has(TcpHeader::SYN) {
        own.seen |= SequenceSpace::TALKED;
    }
    if !own.has(SequenceSpace::SENT) {
        own.seen |= SequenceSpace::SENT;
        own.next = end;
        own.acked = seq;
    }
    let next = own.next;
    if len > 0 {
        own.data = own.data.saturating_add(1);
        if own.data == 1 && side == Side::Client {
            let details = flow.details();
            details.first_data_frame = at.frame.pack();
            details.first_data_time = at.time;
        }
    }
    let distance = ahead(seq, next);
    if distance >= WINDOW_LIMIT {
        return;
    }
    if distance > 0 {
        let details = flow.details();
        if is_reset {
            // It may be forged, so `next` stays.
            if distance > PLAUSIBLE_STEP || is_attempt {
                return;
            }
            let missing = &mut details.side(side).missing_before_reset;
            *missing = (*missing).max(distance.unsigned_abs());
            return;
        }
        details.gaps(side).add(next, seq);
        details.gap_time = at.time;
        flow.sequence_mut(side).next = end;
    } else if distance == 0 {
        flow.sequence_mut(side).next = end;
    } else {
        let is_new = ahead(end, next) > 0;
        if is_new {
            flow.sequence_mut(side).next = end;
        }
        // RFC 9293 §3.8.4: a keep-alive has the number before `next`, and one byte or none.
        if distance == -1 && len <= 1 && !header.has(TcpHeader::FIN) && !is_reset {
            let counts = flow.details().side(side);
            counts.keep_alives = counts.keep_alives.saturating_add(1);
        } else if len > 0 {
            let details = flow.details();
            if details.gaps.is_some() && details.gaps(side).fill(next, seq, len) {
                let counts = details.side(side);
                counts.out_of_order = counts.out_of_order.saturating_add(1);
            } else if !is_new {
                retransmit(flow, seq, len, side);
            }
        }
    }
}

/// Counts a segment whose bytes were all seen before.
fn retransmit<S>(flow: &mut LiveFlow<S>, seq: u32, len: u32, side: Side) {
    let peer_packets = flow.packets.get(side.other().index()).copied().unwrap_or_default();
    let (counts, profile) = flow.details().side_and_profile(side);
    counts.retransmissions = counts.retransmissions.saturating_add(1);
    let is_same = counts.unacked_repeats > 0 && profile.repeated == seq;
    counts.unacked_repeats = if is_same { counts.unacked_repeats.saturating_add(1) } else { 1 };
    if !is_same {
        (profile.repeated, profile.peer_packets) = (seq, peer_packets);
    }
    profile.repeated_len = u16::try_from(len).unwrap_or(u16::MAX);
}

/// The peer ACKed the numbers of `side` up to `ack`.
fn acknowledge<S>(flow: &mut LiveFlow<S>, ack: u32, side: Side) {
    let sequence = flow.sequence_mut(side);
    if !sequence.has(SequenceSpace::SENT) {
        // One-sided so far: there is nothing to compare with.
        return;
    }
    let next = sequence.next;
    let beyond = ahead(ack, next);
    if beyond > PLAUSIBLE_STEP {
        return;
    }
    if ahead(ack, sequence.acked) > 0 {
        sequence.acked = ack;
    }
    if beyond > 0 {
        sequence.next = ack;
        flow.details().gaps(side).add(next, ack);
    }
}

/// A FIN.
fn finish<S>(flow: &mut LiveFlow<S>, header: &TcpHeader<'_>, packet: &Packet<'_>, side: Side, at: At) {
    let end = header.seq.wrapping_add(packet.payload_len).wrapping_add(1);
    let own = flow.sequence_mut(side);
    let next = own.next;
    if ahead(end, next) > 0 {
        own.next = end;
    }
    own.seen |= SequenceSpace::FIN;
    if ahead(end, next) <= 0
        && let Some(details) = &mut flow.details
        && details.gaps.is_some()
    {
        // Its ACK came first, so that its number was missing.
        details.gaps(side).fill(next, end.wrapping_sub(1), 1);
    }
    note_close(flow, side, at);
    if flow.phase != FlowPhase::Closed {
        let both = flow.sequence(side.other()).has(SequenceSpace::FIN);
        flow.phase = if both { FlowPhase::Closed } else { FlowPhase::HalfClosed };
    }
    let counts = flow.details().side(side);
    counts.fins = counts.fins.saturating_add(1);
}

/// A RST.
fn reset_connection<S>(flow: &mut LiveFlow<S>, header: &TcpHeader<'_>, side: Side, at: At) {
    flow.sequence_mut(side).seen |= SequenceSpace::RST;
    note_close(flow, side, at);
    flow.phase = FlowPhase::Closed;
    let peer = *flow.sequence(side.other());
    let details = flow.details();
    if details.reset_frame == 0 {
        details.reset_frame = at.frame.pack();
        details.reset_time = at.time;
    }
    let counts = details.side(side);
    counts.resets = counts.resets.saturating_add(1);
    // It ACKs bytes that the capture does not have.
    let beyond = ahead(header.ack, peer.next);
    if header.has(TcpHeader::ACK) && peer.has(SequenceSpace::SENT) && (1..=PLAUSIBLE_STEP).contains(&beyond) {
        let missing = &mut details.side(side.other()).missing_before_reset;
        *missing = (*missing).max(beyond.unsigned_abs());
    }
}

/// Notes the first FIN or RST of a side.
fn note_close<S>(flow: &mut LiveFlow<S>, side: Side, at: At) {
    let details = flow.details();
    match side {
        Side::Client if details.client_close_time == Time::default() => {
            (details.client_close_time, details.client_close_frame) = (at.time, at.frame.pack());
        }
        Side::Server if details.server_close_frame == 0 => details.server_close_frame = at.frame.pack(),
        Side::Client | Side::Server => {}
    }
}

#[cfg(test)]
mod tests;

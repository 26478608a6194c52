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

/// After so many segments in a row with foreign numbers they are the connection's own: the capture missed much of both sides.
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
        let seq = header.seq.wrapping_add(u32::from(header.has(TcpHeader::SYN)));
        // RFC 9293 §3.5.3: the payload of a reset is a text about its cause.
        let len = if header.has(TcpHeader::RST) { 0 } else { packet.payload_len };
        advance(flow, header, seq, len, side, at);
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

/// Advances a side's sequence space by a segment with `len` bytes at `seq`, and counts the segment by its kind.
fn advance<S>(flow: &mut LiveFlow<S>, header: &TcpHeader<'_>, seq: u32, len: u32, side: Side, at: At) {
    let is_reset = header.has(TcpHeader::RST);
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
mod tests {
    use super::*;
    use crate::base::proto;
    use crate::decode::Transport;
    use crate::flow::FlowLimits;
    use crate::flow::Handshake;
    use crate::flow::test_support::CLIENT;
    use crate::flow::test_support::SERVER;
    use crate::flow::test_support::TestTable;
    use crate::flow::test_support::fields;
    use crate::flow::test_support::packet;
    use crate::flow::test_support::summary;
    use crate::flow::test_support::tcp_summary;

    /// Client's initial sequence number 100, server's 500.
    const HANDSHAKE: &str = "c S 100\n s SA 500 101\n c A 101 501\n";

    /// Plays a script; `client` and `server` are the counters of each side that are not 0.
    fn check(script: &str, client: &str, server: &str) {
        let [c, s] = tcp_summary(script).sides;
        assert_eq!((fields(&c).as_str(), fields(&s).as_str()), (client, server), "{script}");
    }

    fn check_established(script: &str, client: &str, server: &str) {
        let [c, s] = tcp_summary(&(HANDSHAKE.to_owned() + script)).sides;
        let expected = (format!("syns=1 {client}"), format!("syns=1 {server}"));
        assert_eq!(
            (fields(&c), fields(&s)),
            (expected.0.trim().to_owned(), expected.1.trim().to_owned()),
            "{script}"
        );
    }

    fn check_handshake(script: &str, expected: Handshake) {
        assert_eq!(tcp_summary(script).handshake, expected, "{script}");
    }

    #[test]
    fn how_far_the_handshake_came() {
        check_handshake("c S 100", Handshake::Unanswered);
        check_handshake("c S 100\n c S 100", Handshake::Unanswered);
        check_handshake("c S 100\n s RA 0 101", Handshake::Refused);
        // TCP Fast Open: payload in the SYN (RFC 7413), refused.
        check_handshake("c S 100 0 \"GET\"\n s RA 0 104", Handshake::Refused);
        check_handshake("c S 100\n s SA 500 101", Handshake::HalfOpen);
        check_handshake("c S 100\n s SA 500 101\n c R 101", Handshake::HalfOpen);
        check_handshake(HANDSHAKE, Handshake::Complete);
        check_handshake("c S 100\n s SA 500 101\n c A 101 501\n s RA 501 101", Handshake::Complete);
        // The capture missed the SYN-ACK.
        check_handshake("c S 100\n c A 101 501\n s RA 501 101", Handshake::Complete);
        check_handshake("c A 101 501", Handshake::Unseen);
        check_handshake("c R 101", Handshake::Unseen);
    }

    #[test]
    fn a_one_sided_capture_shows_the_handshake_of_its_side() {
        check_handshake("c S 100\n c A 101 501", Handshake::Complete);
        check_handshake("s SA 500 101", Handshake::HalfOpen);
        check_handshake("s SA 500 101\n s A 501 101 \"200\"", Handshake::Complete);
        check("c S 100\n c A 101 501 \"GET\"", "syns=1 data=1 unacked=4", "");
    }

    #[test]
    fn segments_in_order_are_counted_and_acked() {
        check_established(
            "c A 101 501 \"abc\"\n s A 501 104\n c A 104 501 \"de\"\n s A 501 106",
            "data=2 acked=5",
            "",
        );
        check_established("c A 101 501 \"abc\"\n s A 501 103", "data=1 unacked=1 acked=2", "");
        check_established("c A 101 501 \"abc\"\n c FA 104 501\n s A 501 105", "fins=1 data=1 acked=4", "");
    }

    #[test]
    fn a_retransmission_has_no_new_bytes() {
        check_established(
            "c A 101 501 \"abc\"\n c A 101 501 \"abc\"",
            "unacked_repeats=1 data=2 retransmissions=1 unacked=3",
            "",
        );
        // One new byte is enough to be none.
        check_established("c A 101 501 \"abc\"\n c A 101 501 \"abcd\"", "data=2 unacked=4", "");
        // Once it is ACKed, its retransmissions were not in vain.
        check_established(
            "c A 101 501 \"abc\"\n c A 101 501 \"abc\"\n s A 501 104",
            "data=2 retransmissions=1 acked=3",
            "",
        );
    }

    #[test]
    fn repeats_without_an_ack_are_those_of_one_segment() {
        let repeat = "c A 101 501 \"abc\"\n";
        check_established(
            &format!("{repeat}{repeat}s A 501 101\n{repeat}"),
            "unacked_repeats=2 peer_packets=1 data=3 retransmissions=2 unacked=3",
            "",
        );
        check_established(
            &format!("{repeat}c A 104 501 \"de\"\n{repeat}c A 104 501 \"de\""),
            "data=4 retransmissions=2 unacked=5",
            "",
        );
    }

    #[test]
    fn a_segment_that_fills_a_gap_is_out_of_order() {
        check_established("c A 104 501 \"def\"", "data=1 missing=3 unacked=6 missing_tail=3", "");
        check_established("c A 104 501 \"def\"\n c A 101 501 \"abc\"", "data=2 out_of_order=1 unacked=6", "");
        // Only a part of the gap is filled.
        check_established(
            "c A 104 501 \"def\"\n c A 102 501 \"b\"",
            "data=2 out_of_order=1 missing=2 unacked=6 missing_tail=1",
            "",
        );
        // What was skipped is ACKed: the capture missed it.
        check_established("c A 104 501 \"def\"\n s A 501 107", "data=1 acked_unseen=3 missing=3 acked=6", "");
        // Half of the gap and two known bytes: out of order, and not retransmitted.
        check_established(
            "c A 101 501 \"ab\"\n c A 105 501 \"ef\"\n c A 102 501 \"bc\"",
            "data=3 out_of_order=1 missing=1 unacked=6",
            "",
        );
    }

    #[test]
    fn an_ack_of_unseen_bytes_is_a_gap_of_the_capture() {
        check_established("s A 501 111", "acked_unseen=10 missing=10 acked=10", "");
        // The segment shows later, as mirror ports reorder.
        check_established("s A 501 104\n c A 101 501 \"abc\"", "data=1 out_of_order=1 acked=3", "");
        // Further than any window: ignored.
        check_established("s A 501 1073742000", "", "");
    }

    #[test]
    fn an_ack_of_bytes_that_were_never_sent_is_no_gap() {
        // A server that has an earlier connection answers a SYN with a challenge ACK.
        check("c S 100\n s A 7000 5000\n c R 5000", "syns=1 resets=1 unacked=1", "");
        // Both sides of a firewall that rewrites sequence numbers.
        check_established(
            "c A 101 501 \"abc\"\n s A 900000000 700000000 \"ok\"\n s A 501 104 \"ok\"\n s FA 900000002 700000000",
            "data=1 acked=3",
            "data=1 unacked=2",
        );
        // The sender's own segments show a gap of any size.
        check_established(
            "c A 16777317 501 \"abc\"",
            "data=1 missing=16777216 unacked=16777219 missing_tail=16777216",
            "",
        );
    }

    #[test]
    fn the_ack_of_a_fin_may_come_first() {
        check_established("s A 501 102\n c FA 101 501", "fins=1 acked=1", "");
    }

    #[test]
    fn a_syn_after_its_syn_ack_is_of_the_same_connection() {
        check(
            "s SA 500 101\n c S 100\n c A 101 501 \"GET\"\n s A 501 104",
            "syns=1 data=1 acked=3",
            "syns=1",
        );
        check_handshake("s SA 500 101\n c A 101 501 \"GET\"\n c S 100", Handshake::Complete);
    }

    #[test]
    fn a_refused_syn_that_is_retransmitted_may_succeed() {
        let refused = "c S 100\n s RA 0 101\n +1\n c S 100\n";
        check_handshake(refused, Handshake::Refused);
        check_handshake(&format!("{refused}s SA 500 101\n c A 101 501"), Handshake::Complete);
        check(&format!("{refused}s SA 500 101\n c A 101 501"), "syns=2", "syns=1");
        // The client resets what the server took for an earlier connection.
        let challenged = "c S 100\n s A 3700000000 1116180385\n c R 1116180385\n +3\n c S 100\n s SA 500 101\n c A 101 501";
        check(challenged, "syns=2", "syns=1");
        check_handshake(challenged, Handshake::Complete);
    }

    #[test]
    fn the_text_of_a_reset_is_no_data() {
        check_handshake("c S 100\n s RA 0 101 \"go away\"", Handshake::Refused);
        let tcp = tcp_summary("c S 100\n s RA 0 101 \"go away\"");
        assert_eq!(tcp.sides[1].data_segments, 0);
    }

    #[test]
    fn numbers_wrap() {
        check(
            "c S 4294967294\n s SA 500 4294967295\n c A 4294967295 501 \"abc\"\n c A 5 501 \"x\"\n s A 501 2",
            "syns=1 data=2 missing=3 unacked=4 acked=3 missing_tail=3",
            "syns=1",
        );
    }

    #[test]
    fn keep_alives_and_closed_windows_are_no_data() {
        check_established("c A 100 501\n s A 501 101", "keep_alives=1", "");
        check_established("c A 101 501 \"abc\"\n c A 103 501 \"c\"", "data=2 keep_alives=1 unacked=3", "");
        check_established("c A 101 501 \"abc\"\n c A 103 501 \"cd\"", "data=2 unacked=4", "");
        check_established("s A 501 101 win=0\n s A 501 101 win=0", "", "zero_windows=2");
        check_established("s RA 501 101 win=0", "", "resets=1");
    }

    #[test]
    fn a_sack_reports_what_the_peer_received() {
        check_established(
            "c A 101 501 \"abc\"\n s A 501 101 sack=104-110\n s A 501 101 sack=104-120",
            "sack_acks=2 sack_span=16 data=1 unacked=3",
            "",
        );
    }

    #[test]
    fn a_reset_beyond_the_seen_bytes_moves_no_numbers() {
        // The server resets after it got 10 bytes that the capture does not have; the client resets 5 bytes ahead.
        check_established("s RA 501 111", "missing=10", "resets=1");
        check_established("c R 106\n c A 101 501 \"abc\"", "resets=1 data=1 missing=5 unacked=3", "");
        // One byte is missing as well.
        check_established("s RA 501 102", "missing=1", "resets=1");
        check_established("s RA 501 101", "", "resets=1");
    }

    #[test]
    fn the_first_reset_and_the_first_close_of_the_client_are_reported() {
        // Frames 1 to 3 are the handshake.
        let frames = |script: &str| {
            let tcp = tcp_summary(&(HANDSHAKE.to_owned() + script));
            [tcp.reset_frame, tcp.client_close_frame].map(|frame| frame.map(|frame| frame.number))
        };
        assert_eq!(frames("s RA 501 101\n s RA 501 101\n c R 101"), [Some(4), Some(6)]);
        assert_eq!(frames("s FA 501 101\n c A 101 502"), [None, None]);
        assert_eq!(frames("s FA 501 101\n c FA 101 502\n c R 102"), [Some(6), Some(5)]);
    }

    #[test]
    fn the_first_syn_and_syn_ack_are_reported_and_time_the_handshake() {
        let tcp = tcp_summary("c S 100\n +1\n c S 100\n +0.5\n s SA 500 101\n +1\n s SA 500 101");
        let frames = [tcp.syn_frame, tcp.syn_ack_frame].map(|frame| frame.map(|frame| frame.number));
        assert_eq!((frames, tcp.handshake_rtt), ([Some(1), Some(3)], 1_500_000_000));
    }

    #[test]
    fn the_time_of_the_last_gap_is_reported() {
        let end =
            summary(&format!("{HANDSHAKE}c A 104 501 \"d\"\n +2\n c A 107 501 \"g\"\n +1\n s A 501 101"));
        let gap_time = end.tcp.unwrap().gap_time.unwrap();
        assert_eq!(
            (gap_time.since(end.first_seen), end.last_seen.since(gap_time)),
            (2_000_000_000, 1_000_000_000)
        );
    }

    #[test]
    fn the_first_payload_of_the_client_is_reported() {
        let frame = |script: &str| {
            tcp_summary(&(HANDSHAKE.to_owned() + script)).first_data_frame.map(|frame| frame.number)
        };
        assert_eq!(frame("c A 101 501 \"abc\"\n c A 104 501 \"de\"\n c A 104 501 \"de\""), Some(4));
        assert_eq!(frame("s A 501 101 \"220\"\n c A 101 504 \"abc\""), Some(5));
        assert_eq!(frame("s A 501 101 \"220\""), None);
    }

    #[test]
    fn a_server_that_lost_its_state_is_renumbered() {
        check(
            "c S 100\n s SA 500 101\n c S 100\n s SA 900 101\n c A 101 901\n s A 901 101 \"200\"\n c A 101 904",
            "syns=2",
            "syns=2 data=1 acked=3",
        );
    }

    #[test]
    fn both_sides_may_open() {
        let script = "c S 100\n s S 500\n c SA 100 501\n s SA 500 101\n c A 101 501 \"GET\"";
        let tcp = tcp_summary(script);
        assert!(tcp.simultaneous_open);
        assert_eq!(tcp.handshake, Handshake::Complete);
        check(script, "syns=2 data=1 unacked=3", "syns=2");
        assert!(!tcp_summary("c S 100\n s SA 500 101").simultaneous_open);
        // Midstream there was a handshake before.
        assert!(!tcp_summary("c A 101 501\n s S 900").simultaneous_open);
    }

    #[test]
    fn a_connection_that_ends_after_an_idle_pause() {
        let pause = "c A 101 501 \"abc\"\n s A 501 104\n +31\n";
        let ended_after_idle =
            |script: &str| tcp_summary(&format!("{HANDSHAKE}{pause}{script}")).ended_after_idle;
        assert!(ended_after_idle("c A 104 501 \"de\"\n s R 501"));
        assert!(ended_after_idle("c A 104 501 \"de\"\n c A 104 501 \"de\""));
        assert!(!ended_after_idle("c A 104 501 \"de\"\n s A 501 106\n s R 501"));
        // 31 s without an ACK is no pause.
        let waits = "c A 101 501 \"abc\"\n +31\n c A 101 501 \"abc\"\n s R 501";
        assert!(!tcp_summary(&format!("{HANDSHAKE}{waits}")).ended_after_idle);
    }

    #[test]
    fn any_numbers_cost_no_more_than_a_short_list_of_gaps() {
        // Multiplicative congruence: numbers without a pattern.
        let number = |index: u32| index.wrapping_mul(2_654_435_761).rotate_left(7);
        let mut table = TestTable::new(FlowLimits::default());
        table.play(HANDSHAKE);
        for index in 0..20_000 {
            let header = TcpHeader {
                seq: number(index),
                ack: number(index ^ 0x5555),
                flags: TcpHeader::ACK,
                window: 1,
                options: &[],
            };
            let (from, to) = if index % 2 == 0 { (CLIENT, SERVER) } else { (SERVER, CLIENT) };
            let transport = Transport::Tcp(header);
            table.accept(&Packet {
                transport,
                payload: b"abc",
                payload_len: 3,
                ..packet(from, to, proto::TCP)
            });
        }
        // That the list is short and in order is tested in `gaps`.
        table.finish();
        let [client, server] = table.recorder.ends.pop().unwrap().tcp.unwrap().sides;
        assert!(client.missing_bytes > 1 << 32 && server.missing_bytes > 1 << 32);
        assert!(client.acked_unseen_bytes <= client.missing_bytes);
    }
}

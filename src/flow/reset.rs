//! Compares a reset with the other packets of the sender that it names.
//!
//! In:  the segments of one flow.
//! Out: the sender's profile, and [`ResetEvidence`] against it.
//! Not: whether a reset was forged; later stages weigh the evidence.

use super::consumer::At;
use super::live_flow::FlowDetails;
use super::live_flow::LiveFlow;
use super::live_flow::SenderProfile;
use super::options::TIMESTAMPS;
use super::options::option;
use super::record::ResetEvidence;
use super::record::ResetKinds;
use super::sequence::ahead;
use crate::base::Side;
use crate::base::Time;
use crate::decode::Packet;
use crate::decode::TcpHeader;

/// An IP identification further from the sender's last one than this is from another counter, unless the sender draws them
/// at random.
const IP_ID_STEP: u16 = 4096;

/// Packets of one path differ by at most this many hops.
const PATH_HOPS: u8 = 2;

/// A handshake round trip below this does not show who is closer.
const MIN_RTT_NANOS: u64 = 5_000_000;

/// How many hops a packet has travelled. Systems start at one of these TTLs, and a load balancer's stack may start at another
/// than its backend servers.
const fn hops(ttl: u8) -> u8 {
    match ttl {
        0..=32 => 32 - ttl,
        33..=64 => 64 - ttl,
        65..=128 => 128 - ttl,
        129.. => 255 - ttl,
    }
}

fn is_other_path(ttl: u8, other: u8) -> bool {
    hops(ttl).abs_diff(hops(other)) > PATH_HOPS
}

/// Compares a reset with its sender's earlier packets, and any other segment with its sender's last reset.
pub(super) fn compare<S>(
    flow: &mut LiveFlow<S>,
    header: &TcpHeader<'_>,
    packet: &Packet<'_>,
    side: Side,
    at: At,
) {
    if let Some(peer) = flow.details().profiles.get_mut(side.other().index()) {
        peer.seen &= !SenderProfile::RESET_LAST;
    }
    if header.has(TcpHeader::RST) {
        compare_reset(flow, header, packet, side, at);
    } else {
        compare_segment(flow.details(), header, packet, side);
    }
}

/// Adds a segment to its sender's profile.
fn compare_segment(details: &mut FlowDetails, header: &TcpHeader<'_>, packet: &Packet<'_>, side: Side) {
    let (counts, profile) = details.side_and_profile(side);
    let before = *profile;
    let [first_ttl, _] = before.ttls;
    let [first_id, _] = before.ip_ids;
    let is_first = first_ttl == 0;
    profile.ttls = [if is_first { packet.ttl } else { first_ttl }, packet.ttl];
    profile.ip_ids = [if is_first { packet.ip_id } else { first_id }, packet.ip_id];
    profile.seen &= !SenderProfile::RESET_LAST;
    // A SYN only offers timestamps; a SYN-ACK with them agrees.
    let is_offer = header.flags & (TcpHeader::SYN | TcpHeader::ACK) == TcpHeader::SYN;
    if !is_offer && option(header.options, TIMESTAMPS).is_some() {
        profile.seen |= SenderProfile::TIMESTAMPS;
    }
    // RFC 9293 §3.5.3: a reset ends the connection. A sender of later payload did not send the reset.
    let continues =
        before.has(SenderProfile::RESET) && packet.payload_len > 0 && ahead(header.seq, before.reset) >= 0;
    // Nor did a server that accepts an attempt right after it was refused in its name, without another SYN between.
    let accepts = before.ttls == [0, 0]
        && before.has(SenderProfile::RESET_LAST)
        && header.has(TcpHeader::SYN | TcpHeader::ACK);
    let evidence = &mut counts.reset_evidence;
    evidence.add(ResetEvidence::SENDER_CONTINUES, continues || accepts);
    evidence.add(ResetEvidence::HOP_LIMIT, accepts && is_other_path(packet.ttl, before.reset_ttl));
}

fn compare_reset<S>(flow: &mut LiveFlow<S>, header: &TcpHeader<'_>, packet: &Packet<'_>, side: Side, at: At) {
    let is_beyond = ahead(header.seq, flow.sequence(side).next) > 1;
    let details = flow.details();
    let (rtt, first_data_time) = (details.handshake_rtt, details.first_data_time);
    let peer = details.side(side.other());
    let peer_has_closed = peer.fins > 0 || peer.resets > 0;
    let (counts, profile) = details.side_and_profile(side);
    let before = *profile;
    let has_sent = before.ttls != [0, 0];
    (profile.reset, profile.reset_ack) = (header.seq, header.ack);
    let is_repeated = counts.resets > 1;
    let kinds = &mut counts.reset_kinds;
    kinds.add(ResetKinds::PLAIN, !header.has(TcpHeader::ACK));
    kinds.add(ResetKinds::WITH_ACK, header.has(TcpHeader::ACK));
    kinds.add(ResetKinds::DIFFERING, is_repeated && header.ack != before.reset_ack);
    kinds.add(ResetKinds::ZERO, is_repeated && (header.ack == 0 || before.reset_ack == 0));
    if peer_has_closed {
        // It ends nothing: NAT devices respond like this to segments of connections that they have dropped.
        return;
    }
    profile.seen |= SenderProfile::RESET_LAST;
    if has_sent {
        profile.seen |= SenderProfile::RESET;
    }
    profile.reset_ttl = packet.ttl;
    let is_far = |id: u16| {
        let step = packet.ip_id.wrapping_sub(id);
        packet.ip_id != 0 && id != 0 && step.min(step.wrapping_neg()) > IP_ID_STEP
    };
    let is_timed = side == Side::Server && rtt >= MIN_RTT_NANOS && first_data_time != Time::default();
    let evidence = &mut counts.reset_evidence;
    evidence.add(
        ResetEvidence::HOP_LIMIT,
        has_sent && before.ttls.into_iter().all(|ttl| is_other_path(packet.ttl, ttl)),
    );
    evidence.add(ResetEvidence::IP_ID, before.ip_ids.into_iter().all(is_far));
    evidence.add(
        ResetEvidence::NO_TIMESTAMP,
        before.has(SenderProfile::TIMESTAMPS) && option(header.options, TIMESTAMPS).is_none(),
    );
    // A kernel resets at the number that its peer expects. Only a guess is beyond what was sent.
    evidence.add(
        ResetEvidence::SEQUENCE_SWEEP,
        is_beyond && before.has(SenderProfile::RESET_LAST) && ahead(header.seq, before.reset) > 1,
    );
    evidence.add(ResetEvidence::FASTER_THAN_RTT, is_timed && at.time.since(first_data_time) < rtt / 2);
}

#[cfg(test)]
mod tests {
    use crate::flow::ResetEvidence;
    use crate::flow::ResetKinds;
    use crate::flow::test_support::tcp_summary;

    const HANDSHAKE: &str = "c S 100\n +0.02\n s SA 500 101 id=1000 ttl=52\n c A 101 501\n";

    /// Plays a script after a handshake of 20 ms; `expected` is the evidence against the server's resets.
    fn check(script: &str, expected: &[ResetEvidence]) {
        let [_, server] = tcp_summary(&(HANDSHAKE.to_owned() + script)).sides;
        let mut evidence = ResetEvidence::default();
        for sign in expected {
            evidence.add(*sign, true);
        }
        assert_eq!(server.reset_evidence, evidence, "{script}");
    }

    #[test]
    fn a_reset_like_its_senders_other_packets_is_no_evidence() {
        check("s RA 501 101 id=1001 ttl=52", &[]);
        // Two hops of difference are one path; kernels reset without an identification.
        check("s RA 501 101 ttl=50", &[]);
        check("s RA 501 101 ttl=52 id=5096", &[]);
    }

    #[test]
    fn another_path_and_another_ip_id_counter() {
        check("s RA 501 101 ttl=49", &[ResetEvidence::HOP_LIMIT]);
        // Also with another initial TTL: 255 - 243 hops as 64 - 52, and 255 - 240.
        check("s RA 501 101 ttl=243", &[]);
        check("s RA 501 101 ttl=240", &[ResetEvidence::HOP_LIMIT]);
        check("s RA 501 101 ttl=52 id=5097", &[ResetEvidence::IP_ID]);
        // The counter wraps.
        check("s RA 501 101 ttl=52 id=64000", &[]);
        // Like the first packet, which a middlebox may have sent, though not like the last.
        check("s A 501 101 ttl=40 id=9000\n s RA 501 101 ttl=52 id=1001", &[]);
    }

    #[test]
    fn a_missing_timestamp() {
        check("s A 501 101 ttl=52 ts\n s RA 501 101 ttl=52", &[ResetEvidence::NO_TIMESTAMP]);
        check("s A 501 101 ttl=52 ts\n s RA 501 101 ttl=52 ts", &[]);
        // A SYN that offers timestamps agrees to nothing.
        let tcp = tcp_summary("c S 100 ts\n c R 101");
        assert!(!tcp.sides[0].reset_evidence.has(ResetEvidence::NO_TIMESTAMP));
    }

    #[test]
    fn a_sender_that_continues_after_its_reset() {
        check("s RA 501 101 ttl=52\n s A 501 101 ttl=52 \"200\"", &[ResetEvidence::SENDER_CONTINUES]);
        // Bytes sent before the reset, retransmitted by another queue; an ACK without payload.
        check("s RA 504 101 ttl=52\n s A 501 101 ttl=52 \"200\"", &[]);
        check("s RA 501 101 ttl=52\n s A 501 101 ttl=52", &[]);
    }

    #[test]
    fn an_attempt_that_is_refused_and_accepted() {
        let evidence = |script: &str| tcp_summary(script).sides[1].reset_evidence;
        let accepted = evidence("c S 100\n s RA 0 101 ttl=60\n s SA 500 101 ttl=52");
        assert!(accepted.has(ResetEvidence::SENDER_CONTINUES) && accepted.has(ResetEvidence::HOP_LIMIT));
        assert!(accepted.is_third_party() && accepted.is_injected());
        // The client tries again, and the server is up by then.
        let retried = evidence("c S 100\n s RA 0 101 ttl=52\n c S 100\n s SA 500 101 ttl=52");
        assert_eq!(retried, ResetEvidence::default());
    }

    #[test]
    fn resets_that_guess_the_window() {
        check("s R 501 0 ttl=52\n s R 2000 0 ttl=52", &[ResetEvidence::SEQUENCE_SWEEP]);
        check("s R 501 0 ttl=52\n s R 501 0 ttl=52", &[]);
        check("s R 2000 0 ttl=52", &[]);
        // The number after a FIN that the capture missed is no guess.
        check("s R 500 0 ttl=52\n s R 502 0 ttl=52", &[]);
        check("s R 500 0 ttl=52\n s R 503 0 ttl=52", &[ResetEvidence::SEQUENCE_SWEEP]);
    }

    #[test]
    fn a_reset_faster_than_the_round_trip() {
        let request = "c A 101 501 \"GET\"\n";
        check(&format!("{request}+0.009\n s RA 501 104 ttl=52"), &[ResetEvidence::FASTER_THAN_RTT]);
        check(&format!("{request}+0.01\n s RA 501 104 ttl=52"), &[]);
        // The round trip is too short for a comparison.
        let near = tcp_summary("c S 100\n +0.004\n s SA 500 101\n c A 101 501 \"GET\"\n s RA 501 104");
        assert_eq!(near.sides[1].reset_evidence, ResetEvidence::default());
    }

    #[test]
    fn a_reset_after_the_peer_has_closed_is_no_evidence() {
        check("c FA 101 501\n s RA 501 102 ttl=40 id=30000", &[]);
        check("c R 101\n s R 501 0 ttl=40", &[]);
    }

    #[test]
    fn kinds_of_resets() {
        let kinds = |script: &str| {
            let [_, server] = tcp_summary(&(HANDSHAKE.to_owned() + script)).sides;
            [ResetKinds::PLAIN, ResetKinds::WITH_ACK, ResetKinds::DIFFERING, ResetKinds::ZERO]
                .map(|kind| server.reset_kinds.has(kind))
        };
        assert_eq!(kinds("s R 501"), [true, false, false, false]);
        assert_eq!(kinds("s RA 501 101"), [false, true, false, false]);
        assert_eq!(kinds("s RA 501 101\n s RA 501 101"), [false, true, false, false]);
        assert_eq!(kinds("s RA 501 101\n s RA 501 102"), [false, true, true, false]);
        assert_eq!(kinds("s RA 501 101\n s R 501 0"), [true, true, true, true]);
    }
}

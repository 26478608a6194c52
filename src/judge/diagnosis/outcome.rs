//! Whether a flow succeeded, from its own packets alone.
//!
//! In:  what flow counted: handshake, segments, resets, retransmissions, ICMP errors.
//! Out: an assessment.
//! Not: what the payload says, and whether the destination was right.
//!
//! The absence of a packet proves nothing where the capture could have missed it. Where only one direction of a client is in the
//! capture, or an attempt was still young when the capture ended, the outcome is `inconclusive` and the reason says why.

use crate::base::Address;
use crate::base::Side;
use crate::base::proto;
use crate::flow::EndReason;
use crate::flow::FlowEnd;
use crate::flow::Handshake;
use crate::flow::IcmpError;
use crate::flow::ResetKinds;
use crate::flow::TcpSummary;
use crate::judge::assessment::Assessment;
use crate::judge::catalogue::InconclusiveReason as Reason;
use crate::judge::catalogue::Mechanism;
use crate::judge::vocabulary::Confidence;

/// An attempt without a reply must have been observed for this long before silence means anything: longer than the first
/// retransmission timeout of any system (Windows: 3 s; DOMAIN, retransmission timers).
const MIN_SILENCE_NANOS: u64 = 3_000_000_000;

/// This many datagrams without a reply are no accident.
const MIN_DATAGRAMS: u64 = 3;

/// No server needs longer for its reply to a request that it received.
const MIN_REPLY_NANOS: u64 = 5_000_000_000;

/// A ClientHello or request has at most this many segments; filters inspect no more.
const FIRST_PAYLOAD_SEGMENTS: u32 = 8;

/// A segment of this size does not pass where the path MTU is not known (RFC 8200 §5: 1,280 bytes pass everywhere in IPv6).
const FULL_SIZE: u32 = 1_000;

/// Retransmissions without an ACK after which the size of a segment is the likely cause.
const FULL_SIZE_RETRANSMISSIONS: u16 = 3;

/// Retransmissions without an ACK after which the peer is considered silent: more than six seconds with any timer (RFC 6298 §5).
const SILENT_RETRANSMISSIONS: u16 = 5;

/// Fewer retransmissions after an idle time are no success either.
const DOUBTFUL_RETRANSMISSIONS: u16 = 3;

/// A server that no longer receives anything retransmits its own last segment, and its FIN: not more packets than this.
const MAX_UNHEARD_SERVER_PACKETS: u32 = 4;

/// A filter that resets a connection before any payload does so within this time.
const PROMPT_RESET_NANOS: u64 = 3_000_000_000;

/// Where more bytes than these were acknowledged, full-size segments among them must have passed.
const FIRST_BYTES: u32 = 3_000;

/// The assessment of a flow to `server`. `receives_packets`: the capture holds packets to this client at all.
pub(in crate::judge) fn assess_packets(
    flow_end: &FlowEnd,
    server: Address,
    receives_packets: bool,
) -> Assessment {
    if let Some(icmp) = &flow_end.icmp
        && !server_sent_payload(flow_end)
    {
        return assess_icmp_error(flow_end, icmp, server);
    }
    match &flow_end.tcp {
        Some(tcp) => assess_tcp(flow_end, tcp, receives_packets),
        None => match flow_end.packets {
            [0, _] | [_, 0] => Assessment::inconclusive(Reason::Unanswered),
            _ => Assessment::Ok,
        },
    }
}

/// The assessment of datagrams or echo requests to a host that replies to them, where none did.
pub(in crate::judge) fn assess_datagrams(
    protocol: u8,
    flow_end: &FlowEnd,
    by_packets: Assessment,
) -> Assessment {
    let [by_client, _] = flow_end.packets;
    let is_silent = by_packets == Assessment::inconclusive(Reason::Unanswered)
        && by_client >= MIN_DATAGRAMS
        && flow_end.last_seen.since(flow_end.first_seen) >= MIN_SILENCE_NANOS;
    if !is_silent {
        return by_packets;
    }
    let mechanism =
        if protocol == proto::UDP { Mechanism::DatagramsUnanswered } else { Mechanism::EchoUnanswered };
    Assessment::blocked(mechanism, Confidence::Weak)
}

fn server_sent_payload(flow_end: &FlowEnd) -> bool {
    let [_, by_server] = flow_end.bytes;
    by_server > 0
}

/// An ICMP error that quotes the flow (RFC 792, RFC 1812 §5.2.7.1, RFC 4443 §3.1).
fn assess_icmp_error(flow_end: &FlowEnd, icmp: &IcmpError, server: Address) -> Assessment {
    use Confidence::Certain;
    use Confidence::Strong;
    use Confidence::Weak;
    let blocked = Assessment::blocked;
    let [by_client, _] = flow_end.packets;
    let is_datagram = flow_end.tcp.is_none();
    if icmp.about == Side::Server && is_datagram {
        // The client did not accept the server's packet, so the server replied, and the capture does not hold the reply.
        return Assessment::inconclusive(Reason::IcmpError);
    }
    // RFC 1122 §4.1.3.1: a host reports itself that it has no listener for a datagram. To a SYN it would send a reset.
    let is_from_server = is_datagram && icmp.from == server;
    match (icmp.v6, icmp.kind, icmp.code) {
        // One packet without a retransmission: traceroute.
        (false, 11, _) | (true, 3, _) if by_client < 2 => Assessment::inconclusive(Reason::IcmpTimeExceeded),
        (false, 11, _) | (true, 3, _) => blocked(Mechanism::IcmpTimeExceeded, Weak),
        (false, 3, 9 | 10 | 13) | (true, 1, 1) => blocked(Mechanism::IcmpAdminProhibited, Certain),
        // Precedence below the minimum that a router's administrator has set (RFC 1812 §5.3.3.1).
        (false, 3, 14 | 15) | (true, 1, 5) => blocked(Mechanism::IcmpPolicy, Certain),
        (true, 1, 6) => blocked(Mechanism::IcmpRejectRoute, Certain),
        (false, 3, 3) | (true, 1, 4) => {
            blocked(Mechanism::IcmpPortUnreachable, if is_from_server { Weak } else { Strong })
        }
        // A missing route looks the same as a filter that reports a missing route.
        (false, 3, 0 | 5 | 6 | 11) | (true, 1, 0 | 2) => blocked(Mechanism::IcmpNoRoute, Weak),
        (false, 3, 1 | 7 | 8 | 12) | (true, 1, 3) => blocked(Mechanism::IcmpHostUnreachable, Weak),
        (false, 3, 2) | (true, 4, 1) => blocked(Mechanism::IcmpProtocolUnreachable, Strong),
        (false, 3, 4) | (true, 2, _) => Assessment::inconclusive(Reason::PacketTooBig),
        _ => Assessment::inconclusive(Reason::IcmpError),
    }
}

fn assess_tcp(flow_end: &FlowEnd, tcp: &TcpSummary, receives_packets: bool) -> Assessment {
    let [client, server] = &tcp.sides;
    let [by_client, by_server] = flow_end.packets;
    if has_injected_reset(flow_end, tcp) {
        return Assessment::blocked(Mechanism::ResetInjected, Confidence::Strong);
    }
    if let Some(confidence) = mtu_black_hole(flow_end, tcp) {
        return Assessment::blocked(Mechanism::PmtuBlackHole, confidence);
    }
    match tcp.handshake {
        Handshake::Refused => Assessment::blocked(Mechanism::TcpRefused, Confidence::Weak),
        Handshake::Unanswered => assess_unanswered(flow_end, tcp, receives_packets),
        Handshake::HalfOpen if server.resets + client.resets > 0 => {
            Assessment::inconclusive(Reason::ClientGaveUp)
        }
        Handshake::HalfOpen => Assessment::inconclusive(Reason::HalfOpen),
        Handshake::Unseen | Handshake::Complete if by_client == 0 || by_server == 0 => {
            Assessment::inconclusive(Reason::OneSidedCapture)
        }
        Handshake::Unseen => Assessment::Ok,
        Handshake::Complete if client.data_segments > 0 && !server_sent_payload(flow_end) => {
            assess_request(flow_end, tcp)
        }
        Handshake::Complete if server.resets > 0 && is_ended_by_server_reset(tcp) => {
            assess_later_reset(flow_end, tcp)
        }
        Handshake::Complete if is_silent_after_data(flow_end, tcp) && tcp.ended_after_idle => {
            Assessment::blocked(Mechanism::SilentAfterIdle, Confidence::Weak)
        }
        Handshake::Complete if is_silent_after_data(flow_end, tcp) => {
            Assessment::blocked(Mechanism::SilentAfterData, Confidence::Weak)
        }
        Handshake::Complete if tcp.ended_after_idle && is_silent(flow_end, tcp, DOUBTFUL_RETRANSMISSIONS) => {
            Assessment::inconclusive(Reason::NoAnswerSeen)
        }
        Handshake::Complete => Assessment::Ok,
    }
}

/// SYNs without a reply.
fn assess_unanswered(flow_end: &FlowEnd, tcp: &TcpSummary, receives_packets: bool) -> Assessment {
    let [client, _] = &tcp.sides;
    let [_, by_server] = flow_end.packets;
    let reason = if by_server > 0 {
        Reason::BeganBeforeCapture
    } else if client.resets > 0 {
        Reason::ClientGaveUp
    } else if !receives_packets {
        Reason::OneSidedCapture
    } else if client.syns < 2 && flow_end.reason == EndReason::CaptureEnded {
        Reason::EndedWithCapture
    } else if client.syns < 2 {
        Reason::SingleAttempt
    } else if flow_end.last_seen.since(flow_end.first_seen) < MIN_SILENCE_NANOS {
        Reason::TooShortToTell
    } else {
        return Assessment::blocked(Mechanism::TcpUnanswered, Confidence::Weak);
    };
    Assessment::inconclusive(reason)
}

/// The client sent payload after a handshake, and the server none.
fn assess_request(flow_end: &FlowEnd, tcp: &TcpSummary) -> Assessment {
    let [client, server] = &tcp.sides;
    if server.missing_bytes > 0 {
        // The server sent payload that the capture does not hold.
        Assessment::inconclusive(Reason::FramesLost)
    } else if server.resets > 0 && server.fins > 0 {
        // A closed socket resets whatever arrives later.
        Assessment::inconclusive(Reason::ClosedByServer)
    } else if server.resets > 0 && has_client_closed_first(tcp) {
        assess_closed_request(tcp)
    } else if server.resets > 0 && tcp.ended_after_idle {
        // Middleboxes and load balancers drop the state of idle connections.
        Assessment::inconclusive(Reason::ResetAfterIdle)
    } else if server.resets > 0 && client.data_segments > FIRST_PAYLOAD_SEGMENTS {
        // Much payload passed: protocols that only receive end like this as well.
        Assessment::inconclusive(Reason::ResetAfterData)
    } else if server.resets > 0 {
        Assessment::blocked(Mechanism::ResetAfterRequest, Confidence::Weak)
    } else if flow_end.reason == EndReason::CaptureEnded && !has_waited(flow_end, tcp) {
        Assessment::inconclusive(Reason::EndedWithCapture)
    } else if client.retransmissions > 0 && server.fins == 0 {
        Assessment::blocked(Mechanism::SilentAfterRequest, Confidence::Weak)
    } else {
        Assessment::inconclusive(Reason::NoAnswerSeen)
    }
}

/// The client closed, and the server reset the connection after that: nothing cut the client off. Unless nothing had arrived.
fn assess_closed_request(tcp: &TcpSummary) -> Assessment {
    let [client, _] = &tcp.sides;
    let waited = match (tcp.first_data_time, tcp.client_close_time) {
        (Some(sent), Some(close)) => close.since(sent),
        _ => 0,
    };
    // The FIN has a number of its own.
    match (client.unacknowledged <= 1, waited >= MIN_REPLY_NANOS) {
        (true, false) => Assessment::Ok,
        (false, true) => Assessment::blocked(Mechanism::SilentAfterRequest, Confidence::Weak),
        _ => Assessment::inconclusive(Reason::NoAnswerSeen),
    }
}

/// The client sent FIN or RST before the first reset of the server.
fn has_client_closed_first(tcp: &TcpSummary) -> bool {
    let [client, _] = &tcp.sides;
    let is_before_reset = |close| tcp.reset_frame.is_none_or(|reset| close < reset) && client.fins > 0;
    tcp.client_close_frame.is_some_and(is_before_reset)
}

/// The client retransmitted and was observed for long enough, whether or not it had given up when the capture ended.
fn has_waited(flow_end: &FlowEnd, tcp: &TcpSummary) -> bool {
    let [client, _] = &tcp.sides;
    client.retransmissions >= 2 && flow_end.last_seen.since(flow_end.first_seen) >= MIN_SILENCE_NANOS
}

/// The server reset the connection before either side had closed it, and no bytes of either side are missing.
fn is_ended_by_server_reset(tcp: &TcpSummary) -> bool {
    let [client, server] = &tcp.sides;
    let is_before_close =
        tcp.client_close_frame.is_none_or(|close| tcp.reset_frame.is_some_and(|reset| reset < close));
    is_before_close && server.fins == 0 && client.missing_bytes + server.missing_bytes == 0
}

/// A reset by the server that is not its reply to the first payload.
fn assess_later_reset(flow_end: &FlowEnd, tcp: &TcpSummary) -> Assessment {
    let [client, server] = &tcp.sides;
    match (client.data_segments, server_sent_payload(flow_end)) {
        (0, false) if is_reset_prompt(flow_end, tcp) => {
            Assessment::blocked(Mechanism::ResetAfterHandshake, Confidence::Weak)
        }
        (0, false) => Assessment::inconclusive(Reason::ResetAfterIdle),
        // In reply to the client's last segment, without acknowledging it: a server that aborts sends RST+ACK. A client whose
        // data was all acknowledged was not cut off.
        (1..=FIRST_PAYLOAD_SEGMENTS, true)
            if client.unacknowledged > 0
                && !tcp.ended_after_idle
                && !server.reset_kinds.has(ResetKinds::WITH_ACK) =>
        {
            Assessment::blocked(Mechanism::ResetAfterData, Confidence::Weak)
        }
        _ => Assessment::Ok,
    }
}

/// Whether the reset came soon after the handshake; the time from SYN to SYN-ACK does not count.
fn is_reset_prompt(flow_end: &FlowEnd, tcp: &TcpSummary) -> bool {
    tcp.reset_time.is_some_and(|reset| {
        reset.since(flow_end.first_seen).saturating_sub(tcp.handshake_rtt) <= PROMPT_RESET_NANOS
    })
}

/// The client, which had received payload, retransmits, and the server no longer acknowledges.
fn is_silent_after_data(flow_end: &FlowEnd, tcp: &TcpSummary) -> bool {
    is_silent(flow_end, tcp, SILENT_RETRANSMISSIONS)
}

/// The same after this many retransmissions.
fn is_silent(flow_end: &FlowEnd, tcp: &TcpSummary, retransmissions: u16) -> bool {
    let [client, server] = &tcp.sides;
    // A server that has closed need not reply. One that closes because it gets no reply sends its FIN after the retransmissions
    // started.
    let is_after_server_fin = u32::from(server.fins) > client.peer_packets;
    let is_server_quiet = client.peer_packets <= MAX_UNHEARD_SERVER_PACKETS
        && server.resets == 0
        && !is_after_server_fin
        && server.zero_windows + u32::from(client.sack_acks) == 0;
    let is_whole = client.missing_bytes + server.missing_bytes == 0;
    server_sent_payload(flow_end) && client.unacked_repeats >= retransmissions && is_server_quiet && is_whole
}

/// A reset that the side it names did not send. A load balancer that resets for its servers looks like a third party too: that
/// counts only where a filter would have reset, before the server has sent payload, and not after an idle time, because every
/// device with connection state drops idle connections.
fn has_injected_reset(flow_end: &FlowEnd, tcp: &TcpSummary) -> bool {
    let [client, server] = &tcp.sides;
    // Without the SYN-ACK it is not known what the server's packets look like.
    let is_early = !server_sent_payload(flow_end)
        && client.data_segments <= FIRST_PAYLOAD_SEGMENTS
        && tcp.handshake == Handshake::Complete
        && tcp.syn_ack_frame.is_some();
    let is_two_way = flow_end.packets.iter().all(|packets| *packets > 0);
    let is_prompt = client.data_segments > 0 || is_reset_prompt(flow_end, tcp);
    let is_forged = client.reset_evidence.is_injected() || server.reset_evidence.is_injected();
    !tcp.ended_after_idle
        && is_two_way
        && (is_forged || (is_early && is_prompt && server.reset_evidence.is_third_party()))
}

/// Only full-size segments are lost: one is retransmitted without an ACK while smaller later ones arrive, or smaller ones arrive
/// after one that never does; and the ICMP message about the MTU is not sent or not followed (RFC 1191, RFC 8201, RFC 2923 §2.1).
fn mtu_black_hole(flow_end: &FlowEnd, tcp: &TcpSummary) -> Option<Confidence> {
    let is_too_big = flow_end
        .icmp
        .as_ref()
        .is_some_and(|icmp| matches!((icmp.v6, icmp.kind, icmp.code), (false, 3, 4) | (true, 2, _)));
    // A client that closed has waited. One that did not close must have waited longer.
    let has_waited = tcp.gap_time.is_some_and(|since| match tcp.client_close_time {
        Some(close) => close.since(since) >= MIN_SILENCE_NANOS,
        None => flow_end.last_seen.since(since) >= 3 * MIN_SILENCE_NANOS,
    });
    if lacks_first_full_size_segment(flow_end, tcp) {
        return Some(Confidence::Weak);
    }
    tcp.sides.iter().find_map(|side| {
        let repeated_len = u32::from(side.unacked_repeat_len);
        // As many contiguous bytes arrived later: the size is not the cause. Loss and policing look like this.
        let size_passes = side.sack_span >= side.missing_tail_bytes.max(repeated_len).max(FULL_SIZE);
        let is_repeated = repeated_len >= FULL_SIZE
            && side.unacked_repeats >= FULL_SIZE_RETRANSMISSIONS
            && (is_too_big || (side.sack_acks > 0 && !size_passes));
        let is_missing =
            side.missing_tail_bytes >= FULL_SIZE && side.sack_acks > 0 && has_waited && !size_passes;
        let is_first = tcp.handshake == Handshake::Complete && side.acknowledged < FIRST_BYTES;
        (is_repeated || is_missing).then_some(if is_first { Confidence::Strong } else { Confidence::Weak })
    })
}

/// The first full-size segment of the client is retransmitted without an ACK, and smaller ones before it were acknowledged. Nothing
/// but a FIN follows: the ACK of a smaller one would tell a path MTU from a filter, and so would its absence.
fn lacks_first_full_size_segment(flow_end: &FlowEnd, tcp: &TcpSummary) -> bool {
    let [client, _] = &tcp.sides;
    tcp.handshake == Handshake::Complete
        && u32::from(client.unacked_repeat_len) >= FULL_SIZE
        && client.unacknowledged <= u32::from(client.unacked_repeat_len) + 1
        && (1..FULL_SIZE).contains(&client.acknowledged)
        && !tcp.ended_after_idle
        && is_silent_after_data(flow_end, tcp)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::FrameRef;
    use crate::base::Time;
    use crate::flow::ResetEvidence;
    use crate::flow::SideSummary;
    use crate::judge::test_support;

    const SERVER: Address = Address::v4([20, 60, 0, 4]);
    const ROUTER: Address = Address::v4([10, 0, 0, 1]);

    const fn at(second: i64) -> Time {
        Time(second * 1_000_000_000)
    }

    /// A conversation of ten seconds in which both sides sent packets and no payload.
    fn tcp(handshake: Handshake, change: impl FnOnce(&mut FlowEnd, &mut TcpSummary)) -> FlowEnd {
        let mut tcp = test_support::tcp_summary(handshake);
        let mut flow_end = test_support::flow_end(at(100), at(110));
        change(&mut flow_end, &mut tcp);
        flow_end.tcp = Some(tcp);
        flow_end
    }

    fn check(flow_end: &FlowEnd, expected: &str) {
        let found = match assess_packets(flow_end, SERVER, true) {
            Assessment::Ok => "ok".to_owned(),
            Assessment::BlockedLooking { mechanism, confidence } => format!("{mechanism} {confidence}"),
            Assessment::Inconclusive { reason } => reason.to_string(),
        };
        assert_eq!(found, expected);
    }

    #[test]
    fn datagrams_that_are_replied_to_need_time_and_number() {
        let unanswered = Assessment::inconclusive(Reason::Unanswered);
        let datagrams = |packets, second| {
            let mut flow_end = test_support::flow_end(at(100), at(second));
            flow_end.packets = [packets, 0];
            flow_end
        };
        let udp = |packets, second| assess_datagrams(proto::UDP, &datagrams(packets, second), unanswered);
        assert_eq!(udp(3, 103), Assessment::blocked(Mechanism::DatagramsUnanswered, Confidence::Weak));
        assert_eq!(udp(2, 103), unanswered);
        assert_eq!(udp(3, 102), unanswered);
        let icmp = assess_datagrams(proto::ICMP, &datagrams(3, 103), unanswered);
        assert_eq!(icmp.mechanism(), Some(Mechanism::EchoUnanswered));
        assert_eq!(assess_datagrams(proto::UDP, &datagrams(9, 109), Assessment::Ok), Assessment::Ok);
    }

    /// Two SYNs or more without a reply.
    fn unanswered(change: impl FnOnce(&mut FlowEnd, &mut TcpSummary)) -> FlowEnd {
        tcp(Handshake::Unanswered, |flow_end, tcp| {
            flow_end.packets = [3, 0];
            tcp.sides[0].syns = 3;
            change(flow_end, tcp);
        })
    }

    #[test]
    fn silence_after_a_syn_needs_retransmissions_and_time() {
        check(&unanswered(|_, _| ()), "tcp-unanswered weak");
        check(&unanswered(|_, tcp| tcp.sides[0].syns = 1), "single-attempt");
        check(&unanswered(|flow_end, _| flow_end.last_seen = at(102)), "too-short-to-tell");
        check(&unanswered(|flow_end, _| flow_end.last_seen = at(103)), "tcp-unanswered weak");
        check(&unanswered(|_, tcp| tcp.sides[0].resets = 1), "client-gave-up");
        check(&unanswered(|flow_end, _| flow_end.packets = [3, 1]), "began-before-capture");
        let ended = unanswered(|flow_end, tcp| {
            flow_end.reason = EndReason::CaptureEnded;
            tcp.sides[0].syns = 1;
        });
        check(&ended, "ended-with-capture");
        let one_sided = assess_packets(&unanswered(|_, _| ()), SERVER, false);
        assert_eq!(one_sided, Assessment::inconclusive(Reason::OneSidedCapture));
    }

    #[test]
    fn a_handshake_decides_what_comes_next() {
        check(&tcp(Handshake::Refused, |_, _| ()), "tcp-refused weak");
        check(&tcp(Handshake::HalfOpen, |_, _| ()), "half-open");
        check(&tcp(Handshake::HalfOpen, |_, tcp| tcp.sides[1].resets = 1), "client-gave-up");
        check(&tcp(Handshake::Complete, |_, _| ()), "ok");
        check(&tcp(Handshake::Complete, |flow_end, _| flow_end.packets = [5, 0]), "one-sided-capture");
        check(&tcp(Handshake::Unseen, |_, _| ()), "ok");
    }

    /// A request of one segment without a response.
    fn request(change: impl FnOnce(&mut FlowEnd, &mut TcpSummary)) -> FlowEnd {
        tcp(Handshake::Complete, |flow_end, tcp| {
            flow_end.bytes = [500, 0];
            tcp.sides[0].data_segments = 1;
            change(flow_end, tcp);
        })
    }

    #[test]
    fn a_request_without_a_response() {
        check(&request(|_, _| ()), "no-answer-seen");
        check(&request(|_, tcp| tcp.sides[0].retransmissions = 2), "silent-after-request weak");
        check(&request(|_, tcp| tcp.sides[1].resets = 1), "reset-after-request weak");
        check(&request(|_, tcp| tcp.sides[1].missing_bytes = 1), "frames-lost");
        let reset = |change: fn(&mut TcpSummary)| {
            request(|_, tcp| {
                tcp.sides[1].resets = 1;
                change(tcp);
            })
        };
        check(&reset(|tcp| tcp.sides[1].fins = 1), "closed-by-server");
        check(&reset(|tcp| tcp.ended_after_idle = true), "reset-after-idle");
        let close = |unacknowledged, second| {
            request(move |_, tcp| {
                tcp.sides[1].resets = 1;
                tcp.sides[0].fins = 1;
                tcp.sides[0].unacknowledged = unacknowledged;
                tcp.first_data_time = Some(at(101));
                tcp.client_close_time = Some(at(second));
                tcp.client_close_frame = Some(FrameRef { number: 5, ..FrameRef::default() });
                tcp.reset_frame = Some(FrameRef { number: 6, ..FrameRef::default() });
            })
        };
        check(&close(0, 102), "ok");
        check(&close(1, 102), "ok");
        check(&close(500, 102), "no-answer-seen");
        check(&close(500, 107), "silent-after-request weak");
        check(&close(0, 107), "no-answer-seen");
        check(&reset(|tcp| tcp.sides[0].data_segments = FIRST_PAYLOAD_SEGMENTS + 1), "reset-after-data");
        check(&request(|flow_end, _| flow_end.reason = EndReason::CaptureEnded), "ended-with-capture");
        let retransmitted_until_the_end = |retransmissions| {
            request(move |flow_end, tcp| {
                flow_end.reason = EndReason::CaptureEnded;
                tcp.sides[0].retransmissions = retransmissions;
            })
        };
        check(&retransmitted_until_the_end(1), "ended-with-capture");
        check(&retransmitted_until_the_end(2), "silent-after-request weak");
        // A server that closed did not drop the request.
        let closed = request(|_, tcp| (tcp.sides[0].retransmissions, tcp.sides[1].fins) = (2, 1));
        check(&closed, "no-answer-seen");
    }

    #[test]
    fn a_reset_counts_by_when_it_comes() {
        let after_handshake = |second| {
            tcp(Handshake::Complete, |_, tcp| {
                tcp.sides[1].resets = 1;
                tcp.reset_time = Some(at(second));
            })
        };
        check(&after_handshake(101), "reset-after-handshake weak");
        check(&after_handshake(109), "reset-after-idle");
        let after_data = |change: fn(&mut TcpSummary)| {
            tcp(Handshake::Complete, |flow_end, tcp| {
                flow_end.bytes = [500, 4_000];
                tcp.sides[0].data_segments = 2;
                tcp.sides[0].unacknowledged = 1;
                tcp.sides[1].resets = 1;
                change(tcp);
            })
        };
        check(&after_data(|_| ()), "reset-after-data weak");
        check(&after_data(|tcp| tcp.sides[0].unacknowledged = 0), "ok");
        check(&after_data(|tcp| tcp.sides[1].reset_kinds = ResetKinds::WITH_ACK), "ok");
        check(&after_data(|tcp| tcp.ended_after_idle = true), "ok");
        check(&after_data(|tcp| tcp.sides[1].fins = 1), "ok");
        check(&after_data(|tcp| tcp.sides[0].missing_bytes = 1), "ok");
        let frame = |number| Some(FrameRef { number, ..FrameRef::default() });
        let closed = |close| {
            let mut flow_end = after_data(|_| ());
            let tcp = flow_end.tcp.as_mut().unwrap();
            (tcp.client_close_frame, tcp.reset_frame) = (frame(close), frame(6));
            flow_end
        };
        check(&closed(5), "ok");
        check(&closed(7), "reset-after-data weak");
    }

    #[test]
    fn a_reset_of_a_third_party_is_injected_unless_the_connection_was_idle() {
        let injected = |change: fn(&mut FlowEnd, &mut TcpSummary)| {
            request(|flow_end, tcp| {
                tcp.sides[1].resets = 1;
                tcp.sides[1].reset_evidence.add(ResetEvidence::HOP_LIMIT, true);
                tcp.sides[1].reset_evidence.add(ResetEvidence::SENDER_CONTINUES, true);
                change(flow_end, tcp);
            })
        };
        check(&injected(|_, _| ()), "reset-injected strong");
        check(&injected(|_, tcp| tcp.ended_after_idle = true), "reset-after-idle");
        let one_way = injected(|flow_end, _| flow_end.packets = [0, 5]);
        check(&one_way, "one-sided-capture");
    }

    #[test]
    fn mid_stream_silence_counts_after_five_retransmissions_without_an_ack() {
        let silent = |repeats, packets| {
            tcp(Handshake::Complete, |flow_end, tcp| {
                flow_end.bytes = [500, 4_000];
                tcp.sides[0].data_segments = 2;
                tcp.sides[0].unacked_repeats = repeats;
                tcp.sides[0].peer_packets = packets;
            })
        };
        check(&silent(5, 0), "silent-after-data weak");
        check(&silent(4, 0), "ok");
        let changed = |change: fn(&mut TcpSummary)| {
            let mut flow_end = silent(5, 0);
            change(flow_end.tcp.as_mut().unwrap());
            flow_end
        };
        check(&changed(|tcp| tcp.ended_after_idle = true), "silent-after-idle weak");
        let mut fewer = silent(3, 0);
        fewer.tcp.as_mut().unwrap().ended_after_idle = true;
        check(&fewer, "no-answer-seen");
        check(&changed(|tcp| tcp.sides[1].fins = 1), "ok");
        let closes_meanwhile = |tcp: &mut TcpSummary| (tcp.sides[1].fins, tcp.sides[0].peer_packets) = (1, 1);
        check(&changed(closes_meanwhile), "silent-after-data weak");
        check(&silent(5, MAX_UNHEARD_SERVER_PACKETS), "silent-after-data weak");
        check(&silent(5, MAX_UNHEARD_SERVER_PACKETS + 1), "ok");
        // A server that has no room, or that received later segments, is not silent.
        check(&changed(|tcp| tcp.sides[1].zero_windows = 1), "ok");
        check(&changed(|tcp| tcp.sides[0].sack_acks = 1), "ok");
    }

    #[test]
    fn only_full_size_segments_are_lost_in_an_mtu_black_hole() {
        let black_hole = |repeat_len, sack_span| {
            tcp(Handshake::Complete, |flow_end, tcp| {
                flow_end.bytes = [500, 4_000];
                let client: &mut SideSummary = &mut tcp.sides[0];
                client.unacked_repeats = 3;
                client.unacked_repeat_len = repeat_len;
                client.sack_acks = 1;
                client.sack_span = sack_span;
            })
        };
        check(&black_hole(1_460, 100), "pmtu-black-hole strong");
        check(&black_hole(1_460, 1_460), "ok");
        check(&black_hole(900, 100), "ok");
    }

    #[test]
    fn a_first_full_size_segment_that_is_lost_until_the_end() {
        let lost = |acknowledged, repeat_len| {
            tcp(Handshake::Complete, |flow_end, tcp| {
                flow_end.bytes = [2_000, 4_000];
                let client: &mut SideSummary = &mut tcp.sides[0];
                (client.unacked_repeats, client.unacked_repeat_len) = (SILENT_RETRANSMISSIONS, repeat_len);
                client.acknowledged = acknowledged;
            })
        };
        check(&lost(600, 1_460), "pmtu-black-hole weak");
        check(&lost(600, 500), "silent-after-data weak");
        let mut followed = lost(600, 1_460);
        followed.tcp.as_mut().unwrap().sides[0].unacknowledged = 1_988;
        check(&followed, "silent-after-data weak");
        check(&lost(4_000, 1_460), "silent-after-data weak");
        check(&lost(0, 1_460), "silent-after-data weak");
    }

    #[test]
    fn icmp_errors_by_type_and_code() {
        let icmp = |v6, kind, code, from| {
            let mut flow_end = unanswered(|_, _| ());
            flow_end.icmp = Some(Box::new(IcmpError {
                frame: FrameRef::default(),
                time: at(101),
                from,
                about: Side::Client,
                v6,
                kind,
                code,
                detail: 0,
                count: 1,
            }));
            flow_end
        };
        check(&icmp(false, 3, 13, ROUTER), "icmp-admin-prohibited certain");
        check(&icmp(true, 1, 1, ROUTER), "icmp-admin-prohibited certain");
        check(&icmp(false, 3, 14, ROUTER), "icmp-policy certain");
        check(&icmp(true, 1, 6, ROUTER), "icmp-reject-route certain");
        check(&icmp(false, 3, 3, SERVER), "icmp-port-unreachable strong");
        check(&icmp(false, 3, 0, ROUTER), "icmp-no-route weak");
        check(&icmp(false, 3, 1, ROUTER), "icmp-host-unreachable weak");
        check(&icmp(false, 3, 2, ROUTER), "icmp-protocol-unreachable strong");
        check(&icmp(false, 3, 4, ROUTER), "packet-too-big");
        check(&icmp(false, 11, 0, ROUTER), "icmp-time-exceeded weak");
        check(&icmp(false, 12, 0, ROUTER), "icmp-error");
        let mut answered = icmp(false, 3, 13, ROUTER);
        answered.bytes = [500, 500];
        answered.tcp = Some(test_support::tcp_summary(Handshake::Complete));
        answered.packets = [5, 5];
        check(&answered, "ok");
        let datagram = |from, about, packets| {
            let mut flow_end = icmp(false, 3, 3, from);
            flow_end.tcp = None;
            flow_end.packets = packets;
            flow_end.icmp.as_mut().unwrap().about = about;
            flow_end
        };
        check(&datagram(SERVER, Side::Client, [1, 0]), "icmp-port-unreachable weak");
        check(&datagram(ROUTER, Side::Client, [1, 0]), "icmp-port-unreachable strong");
        check(&datagram(ROUTER, Side::Server, [1, 0]), "icmp-error");
        let mut traceroute = icmp(false, 11, 0, ROUTER);
        traceroute.packets = [1, 0];
        check(&traceroute, "icmp-time-exceeded");
    }
}

//! What became of a flow, from its own packets alone.
//!
//! In:  what flow counted, and what the two sides said about ending.
//! Out: outcome, signature and confidence.
//! Not: whether the destination was right.
//!
//! Absence of a packet is no proof when the capture could have missed it: where only one direction of a client is visible,
//! or an attempt was still young when the capture ended, the outcome is `inconclusive`, and the signature says why.

use crate::base::Address;
use crate::base::Side;
use crate::flow::EndReason;
use crate::flow::FlowEnd;
use crate::flow::Handshake;
use crate::flow::ResetKinds;
use crate::flow::TcpSummary;
use crate::judge::rows::Confidence;
use crate::judge::rows::Outcome;

/// An attempt must have been watched this long without an answer before silence means anything: longer than the first
/// pause between two SYN of any system (Windows 3 s; DOMAIN of retransmission clocks).
const PATIENCE_NANOS: u64 = 3_000_000_000;

/// So many segments are a hello or a request; filters read no further.
const FIRST_WORDS: u32 = 8;

/// A segment this large does not pass where the path's MTU is not known (RFC 8200 §5: 1,280 bytes pass everywhere in IPv6).
const FULL_SIZE: u32 = 1_000;

/// So often a segment must be repeated in vain before its size is to blame.
const REPEATS: u16 = 3;

/// So often any segment must be repeated before nobody is there to hear it: more than six seconds on any clock (RFC 6298 §5).
const IN_VAIN: u16 = 5;

/// A server that hears nothing repeats its own last words, and takes leave.
const LAST_WORDS: u32 = 4;

/// A filter that resets a connection before anything was said does so at once.
const AT_ONCE_NANOS: u64 = 3_000_000_000;

/// Where more bytes than these were let through, full-size segments among them must have passed.
const FIRST_BYTES: u32 = 3_000;

/// Outcome, signature, confidence.
pub(in crate::judge) type Ending = (Outcome, &'static str, Option<Confidence>);

const OK: Ending = (Outcome::Ok, "", None);

const fn unsure(why: &'static str) -> Ending {
    (Outcome::Inconclusive, why, None)
}

const fn blocked(how: &'static str, confidence: Confidence) -> Ending {
    (Outcome::BlockedLooking, how, Some(confidence))
}

/// Whether a signature stands on what is not there, which is no proof where frames were lost.
pub(in crate::judge) fn is_doubtful(signature: &str) -> bool {
    is_silence(signature)
        || matches!(
            signature,
            "pmtu-black-hole" | "reset-injected" | "reset-after-handshake" | "reset-after-data"
        )
}

/// Whether a signature is of an attempt that came to nothing.
pub(in crate::judge) fn is_at_the_door(signature: &str) -> bool {
    matches!(signature, "tcp-refused" | "tcp-unanswered") || signature.starts_with("icmp-")
}

/// Whether a signature is that nothing came back.
pub(in crate::judge) fn is_silence(signature: &str) -> bool {
    matches!(
        signature,
        "tcp-unanswered" | "silent-after-request" | "silent-after-client-hello" | "silent-after-data"
    )
}

/// What became of a flow to `server`. `client_hears` says that the capture shows packets towards this client at all.
pub(in crate::judge) fn outcome(flow_end: &FlowEnd, server: Address, client_hears: bool) -> Ending {
    if let Some(icmp) = &flow_end.icmp
        && !answered(flow_end)
    {
        if icmp.about == Side::Server && flow_end.tcp.is_none() {
            // Somebody did not take the answer, so there was one, which the capture does not show.
            return unsure("icmp-error");
        }
        let [by_client, _] = flow_end.packets;
        if matches!((icmp.v6, icmp.kind), (false, 11) | (true, 3)) && by_client < 2 {
            // One packet, and no second try: somebody counts the hops.
            return unsure("icmp-time-exceeded");
        }
        // RFC 1122 §4.1.3.1: a host says so itself where nobody listens to datagrams; to TCP it would send a reset.
        let is_closed = flow_end.tcp.is_none() && icmp.from == server;
        return rejected(icmp.v6, icmp.kind, icmp.code, is_closed);
    }
    match &flow_end.tcp {
        Some(tcp) => tcp_outcome(flow_end, tcp, client_hears),
        None => datagrams(flow_end),
    }
}

/// The server sent payload.
fn answered(flow_end: &FlowEnd) -> bool {
    let [_, by_server] = flow_end.bytes;
    by_server > 0
}

fn tcp_outcome(flow_end: &FlowEnd, tcp: &TcpSummary, client_hears: bool) -> Ending {
    let [client, server] = &tcp.sides;
    let [by_client, by_server] = flow_end.packets;
    if is_injected(flow_end, tcp) {
        return blocked("reset-injected", Confidence::Strong);
    }
    if let Some(confidence) = black_hole(flow_end, tcp) {
        return blocked("pmtu-black-hole", confidence);
    }
    match tcp.handshake {
        Handshake::Refused => blocked("tcp-refused", Confidence::Weak),
        Handshake::Unanswered if by_server > 0 => unsure("began-before-capture"),
        Handshake::Unanswered if client.resets > 0 => unsure("client-gave-up"),
        Handshake::Unanswered if !client_hears => unsure("one-sided-capture"),
        Handshake::Unanswered if client.syns < 2 => unsure(if flow_end.reason == EndReason::CaptureEnded {
            "ended-with-capture"
        } else {
            "single-attempt"
        }),
        Handshake::Unanswered if flow_end.last_seen.since(flow_end.first_seen) < PATIENCE_NANOS => {
            unsure("too-short-to-tell")
        }
        Handshake::Unanswered => blocked("tcp-unanswered", Confidence::Weak),
        Handshake::HalfOpen if server.resets + client.resets > 0 => unsure("client-gave-up"),
        Handshake::HalfOpen => unsure("half-open"),
        Handshake::Unseen | Handshake::Complete if by_client == 0 || by_server == 0 => {
            unsure("one-sided-capture")
        }
        Handshake::Unseen => OK,
        Handshake::Complete if client.data_segments > 0 && !answered(flow_end) => {
            if server.missing_bytes > 0 {
                // It said something that the capture does not show.
                unsure("frames-lost")
            } else if server.resets > 0 && server.fins > 0 {
                // Who has closed resets what still comes.
                unsure("closed-by-server")
            } else if server.resets > 0 && tcp.ended_after_idle {
                // What was silent for long is forgotten by boxes and load balancers.
                unsure("reset-after-idle")
            } else if server.resets > 0 && client.data_segments > FIRST_WORDS {
                // Much was let through: a protocol that only takes ends like this as well.
                unsure("reset-after-data")
            } else if server.resets > 0 {
                blocked("reset-after-request", Confidence::Weak)
            } else if flow_end.reason == EndReason::CaptureEnded && !asked_in_vain(flow_end, tcp) {
                unsure("ended-with-capture")
            } else if client.retransmissions > 0 && server.fins == 0 {
                blocked("silent-after-request", Confidence::Weak)
            } else {
                unsure("no-answer-seen")
            }
        }
        Handshake::Complete if server.resets > 0 && was_ended_by_server(tcp) => later_reset(flow_end, tcp),
        Handshake::Complete if is_deaf(flow_end, tcp) => blocked("silent-after-data", Confidence::Weak),
        Handshake::Complete => OK,
    }
}

/// The server reset it, and nobody had taken leave before; nothing of either side is missing.
fn was_ended_by_server(tcp: &TcpSummary) -> bool {
    let [client, server] = &tcp.sides;
    let first = tcp.client_close_frame.is_none_or(|quit| tcp.reset_frame.is_some_and(|reset| reset < quit));
    first && server.fins == 0 && client.missing_bytes + server.missing_bytes == 0
}

/// A reset by the server at another stage than its answer to the first words.
fn later_reset(flow_end: &FlowEnd, tcp: &TcpSummary) -> Ending {
    let [client, server] = &tcp.sides;
    // The time from SYN to SYN-ACK is the handshake's own.
    let waited = tcp.reset_time.map(|reset| reset.since(flow_end.first_seen));
    let at_once = waited.is_some_and(|waited| waited.saturating_sub(tcp.handshake_rtt) <= AT_ONCE_NANOS);
    match (client.data_segments, answered(flow_end)) {
        (0, false) if at_once => blocked("reset-after-handshake", Confidence::Weak),
        (0, false) => unsure("reset-after-idle"),
        // In answer to what the client had just said, by somebody who does not acknowledge it: a server that has had enough
        // does. Who was answered and heard of all of it was not cut off.
        (1..=FIRST_WORDS, true)
            if client.unacknowledged > 0
                && !tcp.ended_after_idle
                && !server.reset_kinds.has(ResetKinds::WITH_ACK) =>
        {
            blocked("reset-after-data", Confidence::Weak)
        }
        _ => OK,
    }
}

/// The client, which had been answered before, repeats itself, and the server does not hear it any more.
fn is_deaf(flow_end: &FlowEnd, tcp: &TcpSummary) -> bool {
    let [client, server] = &tcp.sides;
    let quiet = client.peer_packets <= LAST_WORDS
        && server.resets == 0
        && server.zero_windows + u32::from(client.sack_acks) == 0;
    let whole = client.missing_bytes + server.missing_bytes == 0;
    answered(flow_end) && client.unacked_repeats >= IN_VAIN && quiet && whole && !tcp.ended_after_idle
}

/// A reset came that the side it names did not send. What a load balancer sends for its servers looks foreign as well;
/// it counts only where a filter would have reset, before the server has said anything, and not where the connection had
/// been idle: whoever keeps a table of connections, near or far, forgets them.
fn is_injected(flow_end: &FlowEnd, tcp: &TcpSummary) -> bool {
    let [client, server] = &tcp.sides;
    // Without the SYN-ACK it is not known who speaks for the server.
    let early = !answered(flow_end)
        && client.data_segments <= FIRST_WORDS
        && tcp.handshake == Handshake::Complete
        && tcp.syn_ack_frame.is_some();
    let both_seen = flow_end.packets.iter().all(|packets| *packets > 0);
    let soon = client.data_segments > 0
        || tcp
            .reset_time
            .is_some_and(|reset| reset.since(flow_end.first_seen) <= tcp.handshake_rtt + AT_ONCE_NANOS);
    let forged = client.reset_evidence.is_injected() || server.reset_evidence.is_injected();
    !tcp.ended_after_idle
        && both_seen
        && (forged || (early && soon && server.reset_evidence.is_third_party()))
}

/// Only full-size segments die: one is repeated in vain while smaller ones behind it arrive, or smaller ones arrive behind
/// one that never does; and nobody heeds, or sends, the message that would say so (RFC 1191, RFC 8201, RFC 2923 §2.1).
fn black_hole(flow_end: &FlowEnd, tcp: &TcpSummary) -> Option<Confidence> {
    let too_big = flow_end
        .icmp
        .as_ref()
        .is_some_and(|icmp| matches!((icmp.v6, icmp.kind, icmp.code), (false, 3, 4) | (true, 2, _)));
    // Who gives up has waited; who was not seen to give up must have waited for longer.
    let waited = tcp.gap_time.is_some_and(|since| match tcp.client_close_time {
        Some(quit) => quit.since(since) >= PATIENCE_NANOS,
        None => flow_end.last_seen.since(since) >= 3 * PATIENCE_NANOS,
    });
    tcp.sides.iter().find_map(|side| {
        let full = u32::from(side.unacked_repeat_len) >= FULL_SIZE;
        // As many bytes in a row came through behind it: its size is not to blame. Loss and policing look like this.
        let size_passes =
            side.sack_span >= side.missing_tail_bytes.max(u32::from(side.unacked_repeat_len)).max(FULL_SIZE);
        let in_vain =
            full && side.unacked_repeats >= REPEATS && (too_big || (side.sack_acks > 0 && !size_passes));
        let missing = side.missing_tail_bytes >= FULL_SIZE && side.sack_acks > 0 && waited && !size_passes;
        let first = tcp.handshake == Handshake::Complete && side.acknowledged < FIRST_BYTES;
        (in_vain || missing).then_some(if first { Confidence::Strong } else { Confidence::Weak })
    })
}

/// The client repeated itself, and was watched long enough: then it does not matter that it had not given up yet.
fn asked_in_vain(flow_end: &FlowEnd, tcp: &TcpSummary) -> bool {
    let [client, _] = &tcp.sides;
    client.retransmissions >= 2 && flow_end.last_seen.since(flow_end.first_seen) >= PATIENCE_NANOS
}

fn datagrams(flow_end: &FlowEnd) -> Ending {
    match flow_end.packets {
        [0, _] | [_, 0] => unsure("unanswered"),
        _ => OK,
    }
}

/// An ICMP error about an attempt (RFC 792, RFC 1812 §5.2.7.1, RFC 4443 §3.1): what it says, and how sure that is.
const fn rejected(v6: bool, kind: u8, code: u8, is_closed: bool) -> Ending {
    use Confidence::Certain;
    use Confidence::Strong;
    use Confidence::Weak;
    match (v6, kind, code) {
        (false, 3, 9 | 10 | 13) | (true, 1, 1) => blocked("icmp-admin-prohibited", Certain),
        // Precedence: a router's administrator has set a least one (RFC 1812 §5.3.3.1).
        (false, 3, 14 | 15) | (true, 1, 5) => blocked("icmp-policy", Certain),
        (true, 1, 6) => blocked("icmp-reject-route", Certain),
        (false, 3, 3) | (true, 1, 4) => {
            blocked("icmp-port-unreachable", if is_closed { Weak } else { Strong })
        }
        // A broken route says the same as a filter that hides behind it.
        (false, 3, 0 | 5 | 6 | 11) | (true, 1, 0 | 2) => blocked("icmp-no-route", Weak),
        (false, 3, 1 | 7 | 8 | 12) | (true, 1, 3) => blocked("icmp-host-unreachable", Weak),
        (false, 3, 2) | (true, 4, 1) => blocked("icmp-protocol-unreachable", Strong),
        (false, 3, 4) | (true, 2, _) => unsure("packet-too-big"),
        (false, 11, _) | (true, 3, _) => blocked("icmp-time-exceeded", Weak),
        _ => unsure("icmp-error"),
    }
}

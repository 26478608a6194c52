//! What became of a flow, from its own packets alone.
//!
//! In:  what flow counted, and what the two sides said about ending.
//! Out: outcome, signature and confidence.
//! Not: whether the destination was right.
//!
//! Absence of a packet is no proof when the capture could have missed it: where only one direction of a client is visible,
//! or an attempt was still young when the capture ended, the outcome is `inconclusive`, and the signature says why.

use super::record::Confidence;
use super::record::Outcome;
use crate::base::Side;
use crate::flow::Close;
use crate::flow::Closing;
use crate::flow::Handshake;
use crate::flow::TcpStory;

/// An attempt must have been watched this long without an answer before silence means anything: longer than the first
/// pause between two SYN of any system (Windows 3 s; DOMAIN of retransmission clocks).
const PATIENCE_NANOS: u64 = 3_000_000_000;

/// So many segments are a hello or a request; filters read no further.
const FIRST_WORDS: u32 = 8;

/// Outcome, signature, confidence.
pub(super) type Ending = (Outcome, &'static str, Option<Confidence>);

const OK: Ending = (Outcome::Ok, "", None);

const fn unsure(why: &'static str) -> Ending {
    (Outcome::Inconclusive, why, None)
}

const fn blocked(how: &'static str, confidence: Confidence) -> Ending {
    (Outcome::BlockedLooking, how, Some(confidence))
}

/// Whether a signature stands on the absence of packets, which is no proof where frames were lost.
pub(super) fn is_silence(signature: &str) -> bool {
    matches!(signature, "tcp-unanswered" | "silent-after-request" | "silent-after-client-hello")
}

/// What became of a flow. `client_hears` says that the capture shows packets towards this client at all.
pub(super) fn outcome(closing: &Closing, client_hears: bool) -> Ending {
    if let Some(icmp) = &closing.icmp
        && !answered(closing)
    {
        if icmp.about == Side::Server && closing.tcp.is_none() {
            // Somebody did not take the answer, so there was one, which the capture does not show.
            return unsure("icmp-error");
        }
        return rejected(icmp.v6, icmp.kind, icmp.code);
    }
    match &closing.tcp {
        Some(story) => tcp(closing, story, client_hears),
        None => datagrams(closing),
    }
}

/// The server sent payload.
fn answered(closing: &Closing) -> bool {
    let [_, by_server] = closing.bytes;
    by_server > 0
}

fn tcp(closing: &Closing, story: &TcpStory, client_hears: bool) -> Ending {
    let [client, server] = &story.sides;
    let [by_client, by_server] = closing.packets;
    match story.handshake {
        Handshake::Refused => blocked("tcp-refused", Confidence::Weak),
        Handshake::Unanswered if by_server > 0 => unsure("began-before-capture"),
        Handshake::Unanswered if client.resets > 0 => unsure("client-gave-up"),
        Handshake::Unanswered if !client_hears => unsure("one-sided-capture"),
        Handshake::Unanswered if client.syns < 2 => {
            unsure(if closing.close == Close::CaptureEnded { "ended-with-capture" } else { "single-attempt" })
        }
        Handshake::Unanswered if closing.last_seen.since(closing.first_seen) < PATIENCE_NANOS => {
            unsure("too-short-to-tell")
        }
        Handshake::Unanswered => blocked("tcp-unanswered", Confidence::Weak),
        Handshake::HalfOpen if server.resets + client.resets > 0 => unsure("client-gave-up"),
        Handshake::HalfOpen => unsure("half-open"),
        Handshake::Unseen | Handshake::Complete if by_client == 0 || by_server == 0 => {
            unsure("one-sided-capture")
        }
        Handshake::Unseen => OK,
        Handshake::Complete if client.data_segments > 0 && !answered(closing) => {
            if server.absent_bytes > 0 {
                // It said something that the capture does not show.
                unsure("frames-lost")
            } else if server.resets > 0 && server.fins > 0 {
                // Who has closed resets what still comes.
                unsure("closed-by-server")
            } else if server.resets > 0 && client.data_segments > FIRST_WORDS {
                // Much was let through: a protocol that only takes ends like this as well.
                unsure("reset-after-data")
            } else if server.resets > 0 {
                blocked("reset-after-request", Confidence::Weak)
            } else if closing.close == Close::CaptureEnded && !asked_in_vain(closing, story) {
                unsure("ended-with-capture")
            } else if client.retransmissions > 0 && server.fins == 0 {
                blocked("silent-after-request", Confidence::Weak)
            } else {
                unsure("no-answer-seen")
            }
        }
        Handshake::Complete => OK,
    }
}

/// The client repeated itself, and was watched long enough: then it does not matter that it had not given up yet.
fn asked_in_vain(closing: &Closing, story: &TcpStory) -> bool {
    let [client, _] = &story.sides;
    client.retransmissions >= 2 && closing.last_seen.since(closing.first_seen) >= PATIENCE_NANOS
}

fn datagrams(closing: &Closing) -> Ending {
    match closing.packets {
        [0, _] | [_, 0] => unsure("unanswered"),
        _ => OK,
    }
}

/// An ICMP error about an attempt (RFC 792, RFC 1812 §5.2.7.1, RFC 4443 §3.1): what it says, and how sure that is.
const fn rejected(v6: bool, kind: u8, code: u8) -> Ending {
    use Confidence::Certain;
    use Confidence::Strong;
    match (v6, kind, code) {
        (false, 3, 9 | 10 | 13) | (true, 1, 1) => blocked("icmp-admin-prohibited", Certain),
        (true, 1, 5) => blocked("icmp-policy", Certain),
        (true, 1, 6) => blocked("icmp-reject-route", Certain),
        (false, 3, 3) | (true, 1, 4) => blocked("icmp-port-unreachable", Strong),
        (false, 3, 0 | 6 | 11) | (true, 1, 0) => blocked("icmp-no-route", Strong),
        (false, 3, 1 | 7 | 12) | (true, 1, 3) => blocked("icmp-host-unreachable", Strong),
        (false, 3, 2) | (true, 4, 1) => blocked("icmp-protocol-unreachable", Strong),
        (false, 3, 4) | (true, 2, _) => unsure("packet-too-big"),
        (false, 11, _) | (true, 3, _) => blocked("icmp-time-exceeded", Confidence::Weak),
        _ => unsure("icmp-error"),
    }
}

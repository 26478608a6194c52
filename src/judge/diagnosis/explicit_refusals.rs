//! How the two sides ended an attempt in words: alerts of TLS, statuses of a proxy, refusals of SOCKS.
//!
//! In:  what a flow looks like by its packets, and what was said in it.
//! Out: outcome, signature and confidence, where words say more than packets.
//! Not: what was said behind a finished handshake; that is encrypted, and TLS 1.3 hides alerts even earlier.

use crate::base::FrameRef;
use crate::base::Side;
use crate::flow::EndReason;
use crate::flow::FlowEnd;
use crate::flow::Handshake;
use crate::judge::diagnosis::block_pages::page;
use crate::judge::diagnosis::outcome::Ending;
use crate::judge::flow_state::FlowState;
use crate::judge::policy::Policy;
use crate::judge::rows::Confidence;
use crate::judge::rows::Outcome;
use crate::read::AppStatus as Said;
use crate::read::NameSource;

/// What a fatal alert of a server comes to (RFC 8446 §6, RFC 6066 §3): a server that has its reasons sends these too.
const BY_SERVER: &[(u8, &str, Confidence)] = &[
    (10, "tls-alert-unexpected-message", Confidence::Weak),
    (40, "tls-alert-handshake-failure", Confidence::Weak),
    (47, "tls-alert-illegal-parameter", Confidence::Weak),
    (49, "tls-alert-access-denied", Confidence::Strong),
    (50, "tls-alert-decode-error", Confidence::Weak),
    (51, "tls-alert-decrypt-error", Confidence::Weak),
    (70, "tls-version-refused", Confidence::Weak),
    (71, "tls-cipher-refused", Confidence::Weak),
    (80, "tls-alert-internal-error", Confidence::Weak),
    (86, "tls-alert-inappropriate-fallback", Confidence::Weak),
    (112, "tls-alert-unrecognized-name", Confidence::Weak),
    (120, "tls-alert-no-application-protocol", Confidence::Weak),
];

/// Alerts about the other side's certificate: none, bad, unsupported, revoked, expired or unknown certificate, unknown
/// authority, bad status of revocation; a server's that it wants one (RFC 8446 §6.2, RFC 6066 §8).
const DISBELIEF: [u8; 9] = [41, 42, 43, 44, 45, 46, 48, 113, 116];

/// A client that knows the certificate and is told by its own rules not to go on.
const ACCESS_DENIED: u8 = 49;

/// A client that does not speak the version that was chosen.
const PROTOCOL_VERSION: u8 = 70;

/// Alerts that end a session without anything being wrong: close notify, user cancelled.
const FAREWELL: [u8; 2] = [0, 90];

/// What a fatal alert of a server comes to.
fn by_server(description: u8) -> (&'static str, Confidence) {
    let known = BY_SERVER.iter().find(|(number, ..)| *number == description);
    match known {
        Some((_, signature, confidence)) => (*signature, *confidence),
        None if DISBELIEF.contains(&description) => ("tls-client-certificate-refused", Confidence::Weak),
        None => ("tls-alert-other", Confidence::Weak),
    }
}

/// What a fatal alert of a client comes to. `unknown_issuer`: the certificate's issuer stands in no list.
fn by_client(description: u8, unknown_issuer: bool) -> (&'static str, Confidence) {
    match description {
        ACCESS_DENIED => ("tls-client-gave-up-on-certificate", Confidence::Weak),
        _ if DISBELIEF.contains(&description) => {
            let confidence = if unknown_issuer { Confidence::Strong } else { Confidence::Weak };
            ("tls-client-gave-up-on-certificate", confidence)
        }
        PROTOCOL_VERSION => ("tls-client-refused-version", Confidence::Weak),
        _ => ("tls-client-refused-handshake", Confidence::Weak),
    }
}

/// SOCKS 5: not allowed by the ruleset (RFC 1928 §6).
const NOT_ALLOWED: u8 = 2;

/// Whether a signature stands on what a server, or a box in its place, said.
pub(in crate::judge) fn is_word(signature: &str) -> bool {
    let prefixes = ["tls-", "proxy-"];
    let whole = ["captive-portal", "block-page", "http-on-443"];
    prefixes.iter().any(|prefix| signature.starts_with(prefix)) || whole.contains(&signature)
}

/// A server that thinks this long about a ClientHello is none.
const SPEECHLESS_NANOS: u64 = 5_000_000_000;

/// The ClientHello was acknowledged, and then nothing came, for longer than any server thinks.
fn waited_in_vain(flow_end: &FlowEnd) -> bool {
    let Some(tcp) = &flow_end.tcp else { return false };
    let ([client, server], [_, by_server]) = (&tcp.sides, flow_end.bytes);
    let heard = client.data_segments > 0 && client.unacknowledged <= 1 && server.fins + server.resets == 0;
    let waited = tcp.first_data_time.is_some_and(|since| {
        tcp.client_close_time.unwrap_or(flow_end.last_seen).since(since) >= SPEECHLESS_NANOS
    });
    // What the client still waits for was lost on its way to the client, and not to the capture.
    let seen = server.missing_bytes <= u64::from(server.missing_tail_bytes);
    tcp.handshake == Handshake::Complete && by_server == 0 && heard && waited && seen
}

/// A proxy let the client through, the client said hello, and a reset came instead of any word of TLS.
fn is_cut_in_tunnel(case: &FlowState, flow_end: &FlowEnd) -> bool {
    let (Some(said), Some(tcp)) = (case.facts.as_deref(), &flow_end.tcp) else { return false };
    let [client, server] = &tcp.sides;
    let asked = said.tls_offered.is_some() && case.claimed(NameSource::Connect).is_some();
    let heard = said.tls_version.is_some() || said.certificate_issuer().is_some();
    asked
        && !heard
        && server.resets > 0
        && client.fins + client.resets + server.fins == 0
        && !is_holed(flow_end)
}

/// Whether a side said something that the capture does not hold: then what was said is not all.
fn is_holed(flow_end: &FlowEnd) -> bool {
    flow_end.tcp.as_ref().is_some_and(|tcp| tcp.sides.iter().any(|side| side.missing_bytes > 0))
}

/// What a flow looks like when its words are counted. `unknown_issuer`: the certificate's issuer stands in no list.
pub(in crate::judge) fn with_words(
    case: &FlowState,
    flow_end: &FlowEnd,
    unknown_issuer: bool,
    ending: Ending,
    policy: &Policy,
) -> Ending {
    let Some(said) = case.facts.as_deref() else { return ending };
    let blocked = |signature, confidence| (Outcome::BlockedLooking, signature, Some(confidence));
    // The last word of a proxy counts: 407 is the first leg of signing in, and a refusal may come behind it.
    let refusal = said.endings.iter().rev().find_map(|(ending, _)| match ending {
        Said::Status { code, connect: true } => Some(match code {
            200..300 => None,
            407 => Some(("proxy-auth-required", Confidence::Weak)),
            403 => Some(("proxy-refused", Confidence::Certain)),
            _ => Some(("proxy-refused", Confidence::Strong)),
        }),
        Said::Socks(NOT_ALLOWED) => Some(Some(("proxy-refused", Confidence::Certain))),
        Said::Socks(_) => Some(Some(("proxy-refused", Confidence::Strong))),
        _ => None,
    });
    if let Some((signature, confidence)) = refusal.flatten() {
        if confidence == Confidence::Weak && flow_end.reason == EndReason::CaptureEnded {
            return (Outcome::Inconclusive, "ended-with-capture", None);
        }
        if confidence == Confidence::Weak && is_holed(flow_end) {
            return (Outcome::Inconclusive, "frames-lost", None);
        }
        return blocked(signature, confidence);
    }
    // A server that is left in the middle of a handshake complains as well.
    let quit = flow_end.tcp.as_ref().and_then(|tcp| tcp.client_close_frame);
    let was_left = |frame: &FrameRef| quit.is_some_and(|quit| quit < *frame);
    let alert = said.endings.iter().find_map(|(ending, frame)| match ending {
        Said::Alert { by: Side::Server, .. } if was_left(frame) => None,
        Said::Alert { by, fatal: true, description } => Some((*by, *description)),
        _ => None,
    });
    if let Some((by, description)) = alert.filter(|(_, description)| !FAREWELL.contains(description)) {
        let (signature, confidence) = match by {
            Side::Server => by_server(description),
            Side::Client => by_client(description, unknown_issuer),
        };
        return blocked(signature, confidence);
    }
    // A client that knows its root closes without a word when another one signed: it sent its hello and nothing more.
    if unknown_issuer
        && let Some(tcp) = &flow_end.tcp
        && let [client, _] = &tcp.sides
        && client.syns > 0
        && client.data_segments == 1
        && client.fins + client.resets > 0
        && !is_holed(flow_end)
    {
        return blocked("tls-client-gave-up-on-certificate", Confidence::Strong);
    }
    if let Some(ending) = page(case, policy) {
        return ending;
    }
    if is_cut_in_tunnel(case, flow_end) {
        return blocked("reset-after-client-hello", Confidence::Weak);
    }
    match ending {
        (outcome, "reset-after-request", confidence) if case.app == "tls" => {
            (outcome, "reset-after-client-hello", confidence)
        }
        (outcome, "silent-after-request", confidence) if case.app == "tls" => {
            (outcome, "silent-after-client-hello", confidence)
        }
        (_, "no-answer-seen" | "ended-with-capture" | "frames-lost", _)
            if case.app == "tls" && waited_in_vain(flow_end) =>
        {
            blocked("silent-after-client-hello", Confidence::Weak)
        }
        _ => ending,
    }
}

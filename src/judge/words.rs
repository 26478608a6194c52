//! How the two sides ended an attempt in words: alerts of TLS, statuses of a proxy, refusals of SOCKS.
//!
//! In:  what a flow looks like by its packets, and what was said in it.
//! Out: outcome, signature and confidence, where words say more than packets.
//! Not: what was said behind a finished handshake; that is encrypted, and TLS 1.3 hides alerts even earlier.

use super::case::Case;
use super::ground::Ground;
use super::outcome::Ending;
use super::pages::page;
use super::record::Confidence;
use super::record::Outcome;
use crate::base::Side;
use crate::flow::Close;
use crate::flow::Closing;
use crate::flow::Handshake;
use crate::read::Ending as Said;

/// What a fatal alert of a server comes to (RFC 8446 §6, RFC 6066 §3): a server that has its reasons sends these too.
const BY_SERVER: &[(u8, &str, Confidence)] = &[
    (40, "tls-alert-handshake-failure", Confidence::Weak),
    (47, "tls-alert-illegal-parameter", Confidence::Weak),
    (49, "tls-alert-access-denied", Confidence::Strong),
    (70, "tls-version-refused", Confidence::Weak),
    (71, "tls-cipher-refused", Confidence::Weak),
    (80, "tls-alert-internal-error", Confidence::Weak),
    (112, "tls-alert-unrecognized-name", Confidence::Weak),
];

/// Alerts of a client that say that it does not believe the server's certificate: bad, unsupported, revoked, expired or
/// unknown certificate, unknown authority.
const DISBELIEF: [u8; 6] = [42, 43, 44, 45, 46, 48];

/// SOCKS 5: not allowed by the ruleset (RFC 1928 §6).
const NOT_ALLOWED: u8 = 2;

/// Whether a signature stands on what a server, or a box in its place, said.
pub(super) fn is_word(signature: &str) -> bool {
    let prefixes = ["tls-", "proxy-"];
    let whole = ["captive-portal", "block-page", "http-on-443"];
    prefixes.iter().any(|prefix| signature.starts_with(prefix)) || whole.contains(&signature)
}

/// A server that thinks this long about a ClientHello is none.
const SPEECHLESS_NANOS: u64 = 5_000_000_000;

/// The ClientHello was acknowledged, and then nothing came, for longer than any server thinks.
fn waited_in_vain(closing: &Closing) -> bool {
    let Some(story) = &closing.tcp else { return false };
    let ([client, server], [_, by_server]) = (&story.sides, closing.bytes);
    let heard = client.data_segments > 0 && client.unacknowledged <= 1 && server.fins + server.resets == 0;
    let waited = story
        .data_time
        .is_some_and(|since| story.quit_time.unwrap_or(closing.last_seen).since(since) >= SPEECHLESS_NANOS);
    // What the client still waits for was lost on its way to the client, and not to the capture.
    let seen = server.absent_bytes <= u64::from(server.awaited);
    story.handshake == Handshake::Complete && by_server == 0 && heard && waited && seen
}

/// Whether a side said something that the capture does not hold: then what was said is not all.
fn is_holed(closing: &Closing) -> bool {
    closing.tcp.as_ref().is_some_and(|story| story.sides.iter().any(|side| side.absent_bytes > 0))
}

/// What a flow looks like when its words are counted. `unknown_issuer`: the certificate's issuer stands in no list.
pub(super) fn with_words(
    case: &Case,
    closing: &Closing,
    unknown_issuer: bool,
    ending: Ending,
    ground: &Ground,
) -> Ending {
    let Some(said) = case.said.as_deref() else { return ending };
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
        if confidence == Confidence::Weak && closing.close == Close::CaptureEnded {
            return (Outcome::Inconclusive, "ended-with-capture", None);
        }
        if confidence == Confidence::Weak && is_holed(closing) {
            return (Outcome::Inconclusive, "frames-lost", None);
        }
        return blocked(signature, confidence);
    }
    let alert = said.endings.iter().find_map(|(ending, _)| match ending {
        Said::Alert { by, fatal: true, description } => Some((*by, *description)),
        _ => None,
    });
    match alert {
        Some((Side::Server, description)) => {
            let known = BY_SERVER.iter().find(|(number, ..)| *number == description);
            if let Some((_, signature, confidence)) = known {
                return blocked(signature, *confidence);
            }
        }
        Some((Side::Client, description)) if DISBELIEF.contains(&description) => {
            let confidence = if unknown_issuer { Confidence::Strong } else { Confidence::Weak };
            return blocked("tls-client-gave-up-on-certificate", confidence);
        }
        _ => {}
    }
    // A client that knows its root closes without a word when another one signed: it sent its hello and nothing more.
    if unknown_issuer
        && let Some(story) = &closing.tcp
        && let [client, _] = &story.sides
        && client.syns > 0
        && client.data_segments == 1
        && client.fins + client.resets > 0
        && !is_holed(closing)
    {
        return blocked("tls-client-gave-up-on-certificate", Confidence::Strong);
    }
    if let Some(ending) = page(case, ground) {
        return ending;
    }
    match ending {
        (outcome, "reset-after-request", confidence) if case.app == "tls" => {
            (outcome, "reset-after-client-hello", confidence)
        }
        (outcome, "silent-after-request", confidence) if case.app == "tls" => {
            (outcome, "silent-after-client-hello", confidence)
        }
        (_, "no-answer-seen" | "ended-with-capture" | "frames-lost", _)
            if case.app == "tls" && waited_in_vain(closing) =>
        {
            blocked("silent-after-client-hello", Confidence::Weak)
        }
        _ => ending,
    }
}

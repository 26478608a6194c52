//! The application protocol inside TLS, QUIC and ESP, as far as it shows from outside.
//!
//! In:  the protocol of the payload, ALPN, port and name.
//! Out: the word of the column `app`.
//! Not: the protocol of the payload itself, by which checks go.

use crate::base::WireText;
use crate::base::port;
use crate::base::proto;
use crate::judge::flow_state::AppFacts;
use crate::judge::flow_state::FlowState;
use crate::read::NameSource;

/// By payload and ALPN protocol id (IANA, TLS Application-Layer Protocol Negotiation Protocol IDs).
const BY_ALPN: &[(&str, &str, &str)] = &[
    // [MS-SMB2] §2.1.
    ("quic", "smb", "smb"),
    ("quic", "doq", "doq"),
    ("tls", "dot", "dot"),
];

/// The application protocol: by ALPN, else by port, else by the server's name.
pub(in crate::judge) fn app_label(flow: &FlowState) -> &'static str {
    if flow.app.is_empty() && flow.flow_start.protocol == proto::ESP {
        return "esp";
    }
    if !matches!(flow.app, "tls" | "quic") {
        return flow.app;
    }
    let facts = flow.facts.as_deref();
    for (payload, alpn, label) in BY_ALPN {
        if flow.app == *payload && facts.is_some_and(|facts| uses_alpn(facts, alpn)) {
            return label;
        }
    }
    let requested_port = flow.claim_from(NameSource::Connect).and_then(|claim| claim.port);
    let port = requested_port.unwrap_or(flow.server().port);
    let has_no_alpn = facts.is_none_or(|facts| facts.alpn.is_none() && facts.alpn_offered().is_none());
    if port == port::DNS_OVER_TLS && has_no_alpn {
        return if flow.app == "tls" { "dot" } else { "doq" };
    }
    match flow.name() {
        Some((known, _)) if known.class.doh_port == Some(port) => "doh",
        _ => flow.app,
    }
}

/// Whether the server chose this protocol; before it has chosen, whether the client offers no other.
fn uses_alpn(facts: &AppFacts, protocol: &str) -> bool {
    match (&facts.alpn, facts.alpn_offered()) {
        (Some(chosen), _) => chosen.as_str() == protocol,
        (None, Some(offered)) => {
            !offered.is_empty() && offered.iter().map(WireText::as_str).all(|offer| offer == protocol)
        }
        (None, None) => false,
    }
}

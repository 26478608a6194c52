//! What is spoken inside TLS and QUIC, as far as that shows from outside, and ESP.
//!
//! In:  a case.
//! Out: what its `app` column says.
//! Not: what the bytes are; the checks go by those.

use crate::base::WireText;
use crate::base::port;
use crate::base::proto;
use crate::judge::flow_state::AppFacts;
use crate::judge::flow_state::FlowState;
use crate::read::NameSource;

/// Names of application protocols (IANA, TLS ALPN Protocol IDs) and what they are called here.
const PROTOCOLS: &[(&str, &str, &str)] = &[
    // [MS-SMB2] §2.1.
    ("quic", "smb", "smb"),
    ("quic", "doq", "doq"),
    ("tls", "dot", "dot"),
];

/// What a conversation speaks: what was agreed or offered says it, else the port, else the server's name.
pub(in crate::judge) fn spoken(case: &FlowState) -> &'static str {
    if case.app.is_empty() && case.flow_start.protocol == proto::ESP {
        return "esp";
    }
    if !matches!(case.app, "tls" | "quic") {
        return case.app;
    }
    let said = case.facts.as_deref();
    for (around, protocol, inside) in PROTOCOLS {
        if case.app == *around && said.is_some_and(|said| agreed(said, protocol)) {
            return inside;
        }
    }
    let connect = case.claimed(NameSource::Connect).and_then(|claimed| claimed.port);
    let port = connect.unwrap_or(case.server().port);
    if port == port::DNS_OVER_TLS
        && said.is_none_or(|said| said.alpn.is_none() && said.alpn_offered().is_none())
    {
        return if case.app == "tls" { "dot" } else { "doq" };
    }
    match case.name() {
        Some((known, _)) if known.class.doh_port == Some(port) => "doh",
        _ => case.app,
    }
}

/// Whether the server chose this protocol; before it has chosen, whether the client offers nothing else.
fn agreed(said: &AppFacts, protocol: &str) -> bool {
    match (&said.alpn, said.alpn_offered()) {
        (Some(chosen), _) => chosen.as_str() == protocol,
        (None, Some(offered)) => {
            !offered.is_empty() && offered.iter().map(WireText::as_str).all(|one| one == protocol)
        }
        (None, None) => false,
    }
}

//! Checks of flows that look blocked: one for each code that a mechanism has.

use super::Check;
use super::FlowView;
use super::no_rows;
use crate::judge::catalogue::FindingCode;
use crate::judge::catalogue::Mechanism;
use crate::judge::diagnosis::block_pages::block_page_vendor;
use crate::judge::text::counted;
use crate::rules::PageField;

/// A check that applies to judged flows with a mechanism of `code`.
macro_rules! blocked {
    ($($code:ident: $message:expr;)*) => {
        &[$(Check {
            code: FindingCode::$code,
            applies: |view| has_finding(view, FindingCode::$code),
            message: $message,
            cites: no_rows,
        },)*]
    };
}

pub(super) const CHECKS: &[Check] = blocked! {
    ConnectionRefused: refused;
    ConnectionUnanswered: unanswered;
    ConnectionReset: |view| could_not_use(view, match view.assessment.mechanism() {
        Some(Mechanism::ResetAfterHandshake) => "the connection was reset right after the handshake",
        Some(Mechanism::ResetAfterData) => "the connection was reset in the middle of the conversation",
        Some(Mechanism::ResetAfterClientHello) => "the connection was reset right after the ClientHello",
        _ => "the connection was reset right after the request",
    });
    InjectedReset: injected_reset;
    PathMtuBlackHole: |view| could_not_use(view, "full-size segments never arrived, smaller ones did");
    HttpReplyToClientHello: |view| could_not_use(view, "the ClientHello was answered in plain HTTP");
    BlockPage: block_page;
    TlsRefusedByServer: |view| could_not_use(view, "the server's side ended the TLS handshake with an alert");
    CertificateRefusedByClient: |view| {
        could_not_use(view, "it rejected the certificate and ended the handshake")
    };
    TlsRefusedByClient: |view| {
        could_not_use(view, "it ended the TLS handshake with an alert about the server's handshake messages")
    };
    ProxyRefused: |view| could_not_use(view, "the proxy refused the destination");
    ProxyAuthRequired: |view| could_not_use(view, "the last response of the proxy asks for credentials");
    CaptivePortal: |view| could_not_use(view, "a captive portal asks for sign-in");
};

fn has_finding(view: &FlowView<'_>, code: FindingCode) -> bool {
    let mechanism = view.assessment.mechanism();
    view.verdict.destination.is_some() && mechanism.is_some_and(|mechanism| mechanism.finding() == code)
}

/// A message about a flow that was blocked: client, server, how it ended and the mechanism.
fn could_not_use(view: &FlowView<'_>, how: &str) -> String {
    format!(
        "{} could not use {} port {}: {how} ({})",
        view.client(),
        view.server_text(),
        view.server().port,
        view.assessment.mechanism().map_or("", Mechanism::as_str)
    )
}

fn refused(view: &FlowView<'_>) -> String {
    let by = match &view.flow_end.icmp {
        Some(error) => {
            format!("an ICMP error from {} (type {}, code {})", error.from, error.kind, error.code)
        }
        None => "a TCP reset".to_owned(),
    };
    format!(
        "{} could not connect to {} port {}: refused by {by}",
        view.client(),
        view.server_text(),
        view.server().port
    )
}

fn unanswered(view: &FlowView<'_>) -> String {
    let (client, server, port) = (view.client(), view.server_text(), view.server().port);
    let own_side = view.flow_end.tcp.as_ref().and_then(|tcp| tcp.sides.first());
    let (syns, retransmissions) = own_side.map_or((0, 0), |side| (side.syns, side.retransmissions));
    let sent = match view.assessment.mechanism() {
        Some(Mechanism::TcpUnanswered) => {
            let syns = counted(syns, "SYN");
            return format!("{client} sent {syns} to {server} port {port}, no reply");
        }
        Some(Mechanism::SilentAfterData) => "exchanged data",
        Some(Mechanism::SilentAfterClientHello) => "sent a ClientHello",
        _ => "sent a request",
    };
    let after = match retransmissions {
        0 => String::new(),
        _ => format!(" to {}", counted(retransmissions, "retransmission")),
    };
    format!("{client} connected to {server} port {port} and {sent}; then no reply{after}")
}

fn injected_reset(view: &FlowView<'_>) -> String {
    let sides = view.flow_end.tcp.as_ref().map(|tcp| &tcp.sides);
    let evidence = sides.into_iter().flatten().flat_map(|side| side.reset_evidence.words());
    let evidence = evidence.collect::<Vec<_>>().join(", ");
    could_not_use(view, &format!("it received resets that the server did not send: {evidence}"))
}

fn block_page(view: &FlowView<'_>) -> String {
    let http = view.facts().and_then(|facts| facts.http.as_deref());
    let vendor = http.and_then(|http| block_page_vendor(http, &view.policy.middleboxes));
    match (vendor, http.and_then(|http| http.field(PageField::Location))) {
        (Some(vendor), _) => {
            could_not_use(view, &format!("a page of {vendor} was returned instead of the response"))
        }
        (None, Some(location)) => could_not_use(view, &format!("it was redirected to {location}")),
        (None, None) => could_not_use(view, "a block page was returned instead of the response"),
    }
}

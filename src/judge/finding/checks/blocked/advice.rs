//! What to do about a flow that looks blocked, where the text of its finding is too general.
//!
//! In:  a judged flow with a mechanism.
//! Out: advice that fits where its packets stopped, who the server is, and how the handshake or response ended.
//! Not: what other flows show; see `collector::other_flows`.

use super::FlowView;
use super::carried_endpoints;
use super::doubtful_sender;
use super::foreign_certificate;
use super::is_refused_before_request;
use super::own_drops;
use super::proxy_status;
use super::rejects_listed_issuer;
use crate::judge::catalogue::FindingCode;
use crate::judge::catalogue::Mechanism;
use crate::judge::catalogue::Stops;
use crate::judge::catalogue::drop_advice;
use crate::judge::diagnosis::block_pages::Sender;
use crate::judge::diagnosis::block_pages::sender_of;
use crate::judge::finding::checks::destination::is_of_doubtful_wildcard;
use crate::judge::finding::checks::destination::is_port_of_range;
use crate::judge::policy::verdict::DeclaredServer;

/// What to do about a port between two roles that the port tables do not have.
pub(in crate::judge::finding) const BETWEEN_ROLES: &str = "the port tables do not have this port between the two roles: decide by what the hosts are. A domain \
     controller, for one, needs ports of its own to be open to its members (DNS, Kerberos, LDAP)";

/// What to do about a destination that was blocked and that the site file gives to somebody else.
pub(in crate::judge::finding) const NOT_OF_SITE: &str = "no rule is needed while the site file is complete: it lists neither this account nor this region. Find the program that tried to \
     reach it; if it belongs to the site, add it to the site file, and then allow it";

/// The first advice that applies: from where the packets stopped to what was answered.
pub(in crate::judge::finding::checks) fn recommendation(view: &FlowView<'_>) -> Option<&'static str> {
    let mechanism = view.assessment.mechanism()?;
    let steps = [by_place, by_server, by_proxy, by_role, by_handshake, by_response];
    steps.into_iter().find_map(|advice| advice(view, mechanism))
}

fn is_dropped_or_refused(mechanism: Mechanism) -> bool {
    matches!(mechanism.finding(), FindingCode::ConnectionUnanswered | FindingCode::ConnectionRefused)
}

/// Where the packets stopped, or whose destination it is.
fn by_place(view: &FlowView<'_>, mechanism: Mechanism) -> Option<&'static str> {
    if view.verdict.known.is_some_and(|known| known.class.is_not_of_site()) {
        return Some(NOT_OF_SITE);
    }
    if let Some(crossing) = view.flow.crossing() {
        if crossing.kind.is_between() {
            return Some(
                "look for this connection in the log and the rules of the device between the two capture points, and allow it there",
            );
        }
        if crossing.kind.is_beyond() {
            return Some(
                "the devices between the two capture points passed it: look further on the way, at the next firewall or the provider",
            );
        }
    }
    if mechanism == Mechanism::DroppedByHost
        && let Some(drops) = view.flow_end.host_drops.as_deref()
        && let Some(advice) = drop_advice(drops.first.reason)
    {
        return Some(advice.recommendation);
    }
    if own_drops(view).is_some() {
        return Some(
            "look at this host first, which reports that it dropped these packets: its routes (`Get-NetRoute`), the gateway's entry in \
             `Get-NetNeighbor`, and its network adapters (`Get-NetAdapter`); then at the firewall",
        );
    }
    None
}

/// What the server is known as.
fn by_server(view: &FlowView<'_>, mechanism: Mechanism) -> Option<&'static str> {
    let is_dropped_or_refused = is_dropped_or_refused(mechanism);
    match view.verdict.declared.filter(|_| is_dropped_or_refused) {
        Some(DeclaredServer::Proxy | DeclaredServer::UndeclaredProxy) => {
            return Some(
                "check that the proxy runs and listens on this port, and allow the server to connect to it: what the server needs from \
                 the internet goes through the proxy",
            );
        }
        Some(DeclaredServer::PrivateEndpoint) => {
            return Some(
                "compare the address with the one that the private DNS zone has for the endpoint; then check the routes and the network \
                 rules between the server and the endpoint",
            );
        }
        Some(DeclaredServer::Resolver) => {
            return Some(
                "allow DNS to the resolver on TCP port 53 as well: a response that does not fit into a datagram is requested again over \
                 TCP, and without it the name is not resolved",
            );
        }
        None => {}
    }
    if is_dropped_or_refused
        && !view.flow.is_proxied()
        && view.policy.private_networks.contains(view.server().address)
    {
        return Some(
            "compare the address with the one that the private DNS zone has for the endpoint; then check the way to the virtual network, such \
             as ExpressRoute or a VPN, its routes, and the network rules on it",
        );
    }
    if is_of_doubtful_wildcard(view) {
        return Some(
            "find the program first: only a wildcard has the name, so that the destination may be of another service. Allow it if the program \
             belongs to the audited products",
        );
    }
    None
}

/// A destination that was requested from a proxy.
fn by_proxy(view: &FlowView<'_>, mechanism: Mechanism) -> Option<&'static str> {
    let finding = mechanism.finding();
    let is_dropped_or_refused = is_dropped_or_refused(mechanism);
    if is_refused_before_request(view) {
        return Some(
            "look into the log of the proxy: whether it serves this client, and which authentication it accepts",
        );
    }
    if view.flow.is_proxied() && finding == FindingCode::ConnectionReset {
        return Some(
            "look into the log of the proxy: either the proxy or a device behind it ended the connection; allow the name there",
        );
    }
    if is_dropped_or_refused && view.flow.is_proxied() {
        return Some(
            "look into the log of the proxy: whether it got the request, and whether it can reach the destination; the server itself \
             needs no way to the destination",
        );
    }
    None
}

/// Roles of both hosts, and what an Arc gateway carries.
fn by_role(view: &FlowView<'_>, mechanism: Mechanism) -> Option<&'static str> {
    let is_dropped_or_refused = is_dropped_or_refused(mechanism);
    if view.verdict.undocumented_role_port.is_some() && is_dropped_or_refused {
        return Some(BETWEEN_ROLES);
    }
    if view.verdict.role_row.is_some() && is_dropped_or_refused {
        let is_refused_by_host = matches!(mechanism, Mechanism::TcpRefused | Mechanism::IcmpPortUnreachable);
        return Some(if is_port_of_range(view) {
            "nothing has to be done for this port alone: the port tables have it only as one of a range, of which each host uses some. Find \
             the program that tried it; Windows Update, for one, asks other hosts for updates on TCP port 7680"
        } else if view.verdict.assumed_role.is_none() && is_refused_by_host {
            "check first that the service runs and listens on this port, because the refusal comes from the host itself or in its name; \
             then allow this protocol and port between the two hosts"
        } else if view.verdict.assumed_role.is_some() {
            "declare the role of the host in the site file; if it is the assumed one, allow this protocol and port between the two \
             hosts"
        } else {
            "allow this protocol and port between the two hosts, in the firewalls between them and on the hosts themselves; check \
             that the service runs, and the routes"
        });
    }
    if carried_endpoints(view).is_some() && is_dropped_or_refused {
        return Some(
            "allow the name of the Arc gateway in the firewall first: what it carries cannot be reached without it; check the routes \
             to it",
        );
    }
    None
}

/// How the TLS handshake ended, or the conversation that had been accepted.
fn by_handshake(view: &FlowView<'_>, mechanism: Mechanism) -> Option<&'static str> {
    let finding = mechanism.finding();
    if finding == FindingCode::CertificateRefusedByClient && foreign_certificate(view).is_some() {
        return Some(
            "find out why the client uses this address: compare it with what DNS returns for the name, and look into the client's hosts file",
        );
    }
    if rejects_listed_issuer(view) {
        return Some(
            "check the clock of the server, and whether it has the current root certificates: the issuer of the certificate is on the \
             documents' list, so no device on the path has replaced it",
        );
    }
    if finding == FindingCode::TlsRefusedByServer && has_server_accepted_hello(view) {
        return Some(
            "the ClientHello was accepted: look for TLS inspection on the path, through which client certificates do not pass, and check \
             the certificate that the client presents itself, if it has one",
        );
    }
    if finding == FindingCode::TlsRefusedByServer && offers_accepted_tls(view) {
        return Some(
            "find out which device sends the alert: the client offers a version and cipher suites that the services accept. Compare the \
             TTL of the alert with that of other packets from that address, and allow the name in the filter that it comes from",
        );
    }
    let is_after_hello = matches!(
        mechanism,
        Mechanism::SilentAfterClientHello
            | Mechanism::ResetAfterClientHello
            | Mechanism::ClosedAfterClientHello
    );
    if is_after_hello && has_long_hello(view) {
        return Some(
            "allow the name in the filter; compare with a ClientHello that fits into one segment: some devices do not read longer ones, as \
             clients with post-quantum key exchange send them, and drop the connection. Update such a device, or exempt the name",
        );
    }
    let is_silence_or_reset =
        matches!(finding, FindingCode::ConnectionUnanswered | FindingCode::ConnectionReset);
    if is_silence_or_reset && mechanism.entry().stops == Stops::Conversation {
        // TCP connected: it is not a rule about the address, and before the first payload none about the name.
        return Some(mechanism.texts().recommendation);
    }
    None
}

/// Who sent the response, and its status.
fn by_response(view: &FlowView<'_>, mechanism: Mechanism) -> Option<&'static str> {
    let finding = mechanism.finding();
    if doubtful_sender(view).is_some() {
        return Some(if view.flow.is_proxied() {
            "look for this request in the log of the proxy: whether a rule refused it, or the destination sent the response, or could not \
             be reached; allow the name only in the first case"
        } else {
            "find out who sent the response: make the same request from a network without a filter. If the response is another one there, \
             allow the host in the filter, on port 80 as well"
        });
    }
    if mechanism == Mechanism::BlockPage
        && let Some(http) = view.facts().and_then(|facts| facts.http.as_deref())
        && matches!(http.status, Some(502..=504))
        && sender_of(http, &view.policy.middleboxes) == Sender::Proxy
    {
        return Some(
            "check the proxy that intercepts port 80: whether it resolves the name, and whether it may connect to the host",
        );
    }
    match (finding, proxy_status(view)?) {
        (FindingCode::ProxyRefused, 502..=504) => Some(
            "check the proxy: its load, whether its own DNS resolver resolves the name, and whether it may connect to the destination; the \
             way from the server to the proxy works",
        ),
        (FindingCode::ProxyRefused, 403) => Some("allow the name in the rules of the proxy"),
        _ => None,
    }
}

/// Whether the server's side chose a version and a cipher suite, sent its certificate, and has not completed the handshake.
pub(super) fn has_server_accepted_hello(view: &FlowView<'_>) -> bool {
    view.facts().is_some_and(|facts| facts.handshake_unfinished)
}

/// Payload of a full segment on Ethernet.
const FULL_SEGMENT: u32 = 1_460;

/// Whether the client's first message does not fit into one segment.
fn has_long_hello(view: &FlowView<'_>) -> bool {
    // Through a proxy, a request comes before it.
    let tcp = view.flow_end.tcp.as_ref().filter(|_| !view.flow.is_proxied());
    tcp.is_some_and(|tcp| {
        let [client, _] = &tcp.sides;
        client.acknowledged.saturating_add(client.unacknowledged) > FULL_SEGMENT
    })
}

/// Whether the client offers TLS 1.2 or later, and a suite of each list of the documents.
fn offers_accepted_tls(view: &FlowView<'_>) -> bool {
    const TLS12: u16 = 0x0303;
    view.facts().is_some_and(|facts| {
        facts.tls_offered.is_some_and(|offered| offered >= TLS12) && facts.unmatched_cipher_lists == 0
    })
}

//! Checks of flows that look blocked: one for each code that a mechanism has.

mod advice;

pub(in crate::judge::finding) use self::advice::BETWEEN_ROLES;
pub(in crate::judge::finding) use self::advice::NOT_OF_SITE;
use self::advice::has_server_accepted_hello;
pub(super) use self::advice::recommendation;

use super::Check;
use super::FlowView;
use super::When;
use super::no_rows;
use super::site::bypasses_proxy;
use crate::base::DropKind;
use crate::base::HostDrop;
use crate::base::Side;
use crate::flow::Endpoint;
use crate::flow::HostDrops;
use crate::judge::catalogue::FindingCode;
use crate::judge::catalogue::Mechanism;
use crate::judge::catalogue::Stops;
use crate::judge::diagnosis::block_pages::Sender;
use crate::judge::diagnosis::block_pages::block_page_vendor;
use crate::judge::diagnosis::block_pages::sender_of;
use crate::judge::diagnosis::comparison::suggests_filter_of_names;
use crate::judge::policy::verdict::DeclaredServer;
use crate::judge::rows::Http;
use crate::judge::text::counted;
use crate::read::AppStatus;
use crate::read::AttributeKey;
use crate::read::NameSource;
use crate::rules::PageField;
use crate::rules::ROLES;

/// A check that applies to judged flows with a mechanism of `code`.
macro_rules! blocked {
    ($($code:ident: $message:expr;)*) => {
        &[$(Check {
            code: FindingCode::$code,
            when: When::Blocked,
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
        Some(Mechanism::ClosedAfterClientHello) => "the server's side closed the connection right after the ClientHello",
        Some(Mechanism::ResetAfterCertificate) => {
            "the server's certificate arrived, and the connection was reset before the TLS handshake was complete"
        }
        Some(Mechanism::ClosedAfterCertificate) => {
            "the server's certificate arrived, and the server's side closed the connection before the TLS handshake was complete"
        }
        _ => "the connection was reset right after the request",
    });
    InjectedReset: injected_reset;
    PathMtuBlackHole: |view| could_not_use(view, "full-size segments never arrived, smaller ones did");
    HttpReplyToClientHello: http_reply;
    BlockPage: block_page;
    DroppedByHost: dropped_by_host;
    TlsRefusedByServer: |view| could_not_use(view, if has_server_accepted_hello(view) {
        "the server's side sent its certificate, and ended the TLS handshake with an alert after that"
    } else {
        "the server's side ended the TLS handshake with an alert"
    });
    CertificateRefusedByClient: certificate_refused;
    TlsRefusedByClient: |view| {
        could_not_use(view, "it ended the TLS handshake with an alert about the server's handshake messages")
    };
    ProxyRefused: proxy_refused;
    ProxyAuthRequired: |view| could_not_use_through_proxy(view, "the last response of the proxy is 407: it asks for credentials");
    CaptivePortal: |view| could_not_use(view, "a captive portal asks for sign-in");
};

/// Where the packets stopped, if several capture points show it, and what depends on the destination.
fn context_clause(view: &FlowView<'_>) -> String {
    let crossing =
        view.flow.crossing().map(|crossing| format!("; {}", crossing.clause())).unwrap_or_default();
    crossing + &own_drops_clause(view) + &destination_clause(view)
}

/// What the host reports as dropped of a flow without a reply, for a reason that is no rule: a missing route, an adapter without a
/// link. One component may drop what another sends, so it is no proof.
fn own_drops<'a>(view: &FlowView<'a>) -> Option<&'a HostDrops> {
    let drops = view.flow_end.host_drops.as_deref()?;
    let [dropped, _] = drops.packets;
    let [sent, received] = view.flow_end.packets;
    let is_every_packet = u64::from(dropped) >= sent && received == 0;
    (drops.first.reason.kind() == DropKind::Other && drops.sender == Side::Client && is_every_packet)
        .then_some(drops)
}

fn own_drops_clause(view: &FlowView<'_>) -> String {
    let Some(drops) = own_drops(view) else { return String::new() };
    let HostDrop { component, reason } = &drops.first;
    format!("; this host itself reports that it dropped them: {component}, {reason}")
}

/// What depends on the destination; where a port table has the flow: between which roles, and which role is an assumption.
fn destination_clause(view: &FlowView<'_>) -> String {
    if let Some(carried) = carried_endpoints(view) {
        let endpoints = counted(carried as u64, "required endpoint");
        return format!("; it is the site's Arc gateway, which carries {endpoints}");
    }
    match view.verdict.declared {
        Some(DeclaredServer::Proxy) => return "; it is the declared proxy".to_owned(),
        Some(DeclaredServer::UndeclaredProxy) => {
            return "; it is a proxy: earlier requests through it succeeded".to_owned();
        }
        Some(DeclaredServer::PrivateEndpoint) => {
            return "; the address is in a declared network of private endpoints".to_owned();
        }
        Some(DeclaredServer::Resolver) => {
            return "; it is a resolver that sent this host truncated responses, which DNS over TCP completes".to_owned();
        }
        None => {}
    }
    let Some((from, to)) = view.verdict.role_row.and_then(|row| view.policy.roles_of_row(row)) else {
        return String::new();
    };
    let has_role = |role: &str| {
        let bits = view.policy.port_tables.roles(view.client());
        ROLES.iter().enumerate().any(|(index, known)| *known == role && bits & (1 << index) != 0)
    };
    // A port that the tables open to a role is documented between its members too.
    let is_within_role = view.verdict.assumed_role.is_none() && !has_role(from);
    // A row for both directions prints one of them.
    let is_of_other_direction =
        view.verdict.assumed_role.is_some_and(|(host, role)| host == view.client() && role != from);
    let between = if from == to || is_within_role {
        format!("; the port tables list it between members of {to}")
    } else if is_of_other_direction {
        format!("; the port tables list it between {from} and {to}, in both directions")
    } else {
        format!("; the port tables list it from {from} to {to}")
    };
    match view.verdict.assumed_role {
        Some((host, role)) => {
            format!("{between}, if {host} is one of {role}, which the site file does not declare")
        }
        None => between,
    }
}

/// How many required endpoints the destination carries in a tunnel.
fn carried_endpoints(view: &FlowView<'_>) -> Option<usize> {
    view.verdict.known.and_then(|known| view.policy.carried_by(known))
}

fn has_finding(view: &FlowView<'_>, code: FindingCode) -> bool {
    let mechanism = view.assessment.mechanism();
    (view.verdict.destination.is_some() || view.verdict.declared.is_some())
        && mechanism.is_some_and(|mechanism| mechanism.finding() == code)
        // Where a proxy is declared, the direct attempt is the fault, and not that it was blocked.
        && (view.verdict.documented.is_some() || !bypasses_proxy(view))
}

/// A message about a flow that was blocked: client, server, how it ended and the mechanism.
fn could_not_use(view: &FlowView<'_>, how: &str) -> String {
    if view.flow.is_proxied() {
        return could_not_use_through_proxy(view, how);
    }
    format!(
        "{} could not use {} port {}: {how} ({}){}",
        view.client(),
        view.server_text(),
        view.server().port,
        view.assessment.mechanism().map_or("", Mechanism::as_str),
        context_clause(view)
    )
}

/// Whether the next attempt may work. Connections that work and then fall silent have a cause that stays, such as an idle time-out.
pub(super) fn may_pass(view: &FlowView<'_>, mechanism: Mechanism) -> bool {
    match mechanism.finding() {
        FindingCode::ConnectionRefused | FindingCode::ConnectionUnanswered | FindingCode::ConnectionReset => {
            mechanism.entry().stops == Stops::Attempt || suggests_filter_of_names(mechanism)
        }
        // The proxy could not reach the destination.
        FindingCode::ProxyRefused => proxy_status(view).is_some_and(|status| matches!(status, 502..=504)),
        _ => false,
    }
}

/// The status of a proxy's refusal, if it is HTTP.
fn proxy_status(view: &FlowView<'_>) -> Option<u16> {
    let statuses = &view.facts()?.statuses;
    let connect = statuses.iter().rev().find_map(|(status, _)| match status {
        AppStatus::Status { code, connect: true } => Some(*code),
        _ => None,
    });
    connect.or_else(|| view.facts().and_then(|facts| facts.http.as_deref()).and_then(|http| http.status))
}

/// Who sent a response in plain HTTP that the destination may send as well; none of a response to CONNECT.
pub(super) fn doubtful_sender(view: &FlowView<'_>) -> Option<Sender> {
    if !matches!(view.assessment.mechanism(), Some(Mechanism::ProxyRefused | Mechanism::BlockPage)) {
        return None;
    }
    let facts = view.facts()?;
    let http = facts.http.as_deref().filter(|http| matches!(http.status, Some(403 | 451 | 502..=504)))?;
    let has_sender = facts
        .statuses
        .iter()
        .any(|(status, _)| matches!(status, AppStatus::Status { connect: true, .. } | AppStatus::Socks(_)));
    if has_sender || block_page_vendor(http, &view.policy.middleboxes).is_some() {
        return None;
    }
    let sender = sender_of(http, &view.policy.middleboxes);
    matches!(sender, Sender::Forwarded | Sender::Unknown).then_some(sender)
}

/// Why it is not certain who sent a response.
const fn doubt(sender: Sender) -> &'static str {
    match sender {
        Sender::Forwarded => {
            "its headers name another program than the proxy, which seems to have forwarded the destination's own response"
        }
        _ => "nothing in it shows whether the proxy sent it or the destination",
    }
}

fn proxy_refused(view: &FlowView<'_>) -> String {
    if let (Some(sender), Some(status)) = (doubtful_sender(view), proxy_status(view)) {
        return could_not_use_through_proxy(view, &format!("the response is {status}; {}", doubt(sender)));
    }
    match proxy_status(view) {
        Some(status @ 403) => could_not_use_through_proxy(
            view,
            &format!("the proxy responded {status}: its rules forbid the destination"),
        ),
        Some(status @ (502 | 504)) => could_not_use_through_proxy(
            view,
            &format!("the proxy responded {status}: it could not resolve the name or reach the destination"),
        ),
        Some(status @ 503) => could_not_use_through_proxy(
            view,
            &format!(
                "the proxy responded {status}: it is overloaded, or could not resolve the name or reach the destination"
            ),
        ),
        Some(status) => could_not_use_through_proxy(view, &format!("the proxy responded {status}")),
        None if is_refused_before_request(view) => format!(
            "{} was refused by the proxy {}:{} before it had requested a destination ({}){}",
            view.client(),
            view.server().address,
            view.server().port,
            view.assessment.mechanism().map_or("", Mechanism::as_str),
            context_clause(view)
        ),
        None => could_not_use_through_proxy(view, "the proxy refused the destination"),
    }
}

/// Whether a proxy refused the client itself: over SOCKS, authentication comes before the request (RFC 1928 §3).
fn is_refused_before_request(view: &FlowView<'_>) -> bool {
    !view.flow.is_proxied()
        && proxy_status(view).is_none()
        && view
            .assessment
            .mechanism()
            .is_some_and(|mechanism| mechanism.finding() == FindingCode::ProxyRefused)
}

/// What was requested from a proxy: a name, or an address in place of it.
fn requested_text(view: &FlowView<'_>) -> String {
    let address = view.flow.requested_address();
    match view.name() {
        None if address != view.server().address => address.to_string(),
        _ => view.name_text().to_owned(),
    }
}

/// A message about a destination that was requested from a proxy.
fn could_not_use_through_proxy(view: &FlowView<'_>, how: &str) -> String {
    let server = view.server();
    let software = view.facts().and_then(|facts| facts.http.as_deref()).and_then(|http| {
        let field = |field| http.field(field).filter(|text| !text.is_empty());
        field(PageField::Server).or_else(|| field(PageField::Via))
    });
    let software = software.map(|text| format!(", {text}")).unwrap_or_default();
    format!(
        "{} could not use {} port {} through the proxy {}:{}{software}: {how} ({}){}",
        view.client(),
        requested_text(view),
        view.verdict.requested_port,
        server.address,
        server.port,
        view.assessment.mechanism().map_or("", Mechanism::as_str),
        context_clause(view)
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
        "{} could not connect to {} port {}: refused by {by}{}",
        view.client(),
        view.server_text(),
        view.server().port,
        context_clause(view)
    )
}

fn unanswered(view: &FlowView<'_>) -> String {
    let (client, server, port) = (view.client(), view.server_text(), view.server().port);
    let own_side = view.flow_end.tcp.as_ref().and_then(|tcp| tcp.sides.first());
    let (syns, retransmissions) = own_side.map_or((0, 0), |side| (side.syns, side.retransmissions));
    let roles = context_clause(view);
    let [packets, _] = view.flow_end.packets;
    let sent = match view.assessment.mechanism() {
        Some(Mechanism::TcpUnanswered) => {
            let syns = counted(syns, "SYN");
            return format!("{client} sent {syns} to {server} port {port}, no reply{roles}");
        }
        Some(Mechanism::DatagramsUnanswered) => {
            let datagrams = counted(packets, "datagram");
            return format!("{client} sent {datagrams} to {server} UDP port {port}, no reply{roles}");
        }
        Some(Mechanism::EchoUnanswered) => {
            let requests = counted(packets, "ICMP echo request");
            return format!("{client} sent {requests} to {server}, no reply{roles}");
        }
        Some(Mechanism::SilentAfterData) => "exchanged data",
        Some(Mechanism::SilentAfterIdle) => "exchanged data, and sent more after an idle time",
        Some(Mechanism::SilentAfterClientHello) => "sent a ClientHello",
        _ => "sent a request",
    };
    let after = match retransmissions {
        0 => String::new(),
        _ => format!(" to {}", counted(retransmissions, "retransmission")),
    };
    if view.flow.is_proxied() {
        let Endpoint { address, port } = view.server();
        let (name, requested) = (requested_text(view), view.verdict.requested_port);
        return format!(
            "{client} connected to the proxy {address}:{port} for {name} port {requested} and {sent}; then no reply{after}{roles}"
        );
    }
    format!("{client} connected to {server} port {port} and {sent}; then no reply{after}{roles}")
}

fn injected_reset(view: &FlowView<'_>) -> String {
    let sides = view.flow_end.tcp.as_ref().map(|tcp| &tcp.sides);
    let evidence = sides.into_iter().flatten().flat_map(|side| side.reset_evidence.words());
    let evidence = evidence.collect::<Vec<_>>().join(", ");
    could_not_use(view, &format!("it received resets that the server did not send: {evidence}"))
}

fn dropped_by_host(view: &FlowView<'_>) -> String {
    let Some(drops) = view.flow_end.host_drops.as_deref() else { return String::new() };
    let [of_client, of_server] = drops.packets;
    let what = match drops.sender {
        Side::Client => format!("{} to it", counted(of_client, "packet")),
        Side::Server => format!("{} from it", counted(of_server, "packet")),
    };
    let HostDrop { component, reason } = &drops.first;
    could_not_use(view, &format!("this host itself dropped {what}: {component}, {reason}"))
}

fn certificate_refused(view: &FlowView<'_>) -> String {
    match foreign_certificate(view) {
        Some(names) => could_not_use(
            view,
            &format!(
                "it rejected the certificate, which is for {names} and not for this name, and ended the handshake"
            ),
        ),
        None => {
            let alert =
                certificate_alert(view).map(|alert| format!(" with the alert {alert}")).unwrap_or_default();
            let issuer = if rejects_listed_issuer(view) {
                ", although its issuer is on the documents' list,"
            } else {
                ""
            };
            could_not_use(
                view,
                &format!("it rejected the certificate{alert}{issuer} and ended the handshake"),
            )
        }
    }
}

/// Whether the client rejected a certificate of an issuer that is on the lists: what the services present themselves.
pub(super) fn rejects_listed_issuer(view: &FlowView<'_>) -> bool {
    let is_rejected = view
        .assessment
        .mechanism()
        .is_some_and(|mechanism| mechanism.finding() == FindingCode::CertificateRefusedByClient);
    is_rejected
        && view.verdict.known.is_some_and(|known| known.class.has_listed_issuer)
        && !view.verdict.unknown_issuer
        && view.facts().is_some_and(|facts| facts.certificate_issuer().is_some())
        && foreign_certificate(view).is_none()
}

/// The client's fatal alert about the certificate, as RFC 8446 §6 names it.
fn certificate_alert(view: &FlowView<'_>) -> Option<&'static str> {
    let sent = view.facts()?.statuses.iter().find_map(|(status, _)| match status {
        AppStatus::Alert { by: Side::Client, fatal: true, description } => Some(*description),
        _ => None,
    })?;
    Some(match sent {
        42 => "bad_certificate (42)",
        43 => "unsupported_certificate (43)",
        44 => "certificate_revoked (44)",
        45 => "certificate_expired (45)",
        46 => "certificate_unknown (46)",
        48 => "unknown_ca (48)",
        _ => return None,
    })
}

/// The names of a certificate by an issuer on the lists, if the name that the client asked for is none of them: another server of
/// the same operator answered.
fn foreign_certificate(view: &FlowView<'_>) -> Option<String> {
    let asked = &view.flow.claim_from(NameSource::Sni)?.known.name;
    let names = view.facts()?.attributes.list(AttributeKey::CertificateNames)?;
    if view.verdict.unknown_issuer || names.iter().any(|pattern| covers(pattern, asked.as_str())) {
        return None;
    }
    match &names[..] {
        [] => None,
        [one] => Some(one.to_string()),
        [one, ..] => Some(format!("{one} and others")),
    }
}

/// Whether a name of a certificate covers a host: a wildcard is the whole leftmost label (RFC 9525 §6.3).
fn covers(pattern: &str, host: &str) -> bool {
    match pattern.strip_prefix("*.") {
        Some(zone) => host.split_once('.').is_some_and(|(_, rest)| rest.eq_ignore_ascii_case(zone)),
        None => pattern.eq_ignore_ascii_case(host),
    }
}

fn http_reply(view: &FlowView<'_>) -> String {
    let http = view.facts().and_then(|facts| facts.http.as_deref());
    let vendor = http.and_then(|http| block_page_vendor(http, &view.policy.middleboxes));
    let server = http.and_then(|http| http.field(PageField::Server)).filter(|text| !text.is_empty());
    let by = match (vendor, server) {
        (Some(vendor), _) => format!(" by a page of {vendor}"),
        (None, Some(server)) => format!(" (`Server: {server}`)"),
        (None, None) => String::new(),
    };
    could_not_use(view, &format!("the ClientHello was answered in plain HTTP{by}"))
}

/// How a response that a proxy on the path sent is described, else a block page.
fn intercepted(http: Option<&Http>, view: &FlowView<'_>) -> String {
    let by_proxy = http.filter(|http| sender_of(http, &view.policy.middleboxes) == Sender::Proxy);
    match by_proxy.and_then(|http| http.status.map(|status| (http, status))) {
        Some((http, status @ (403 | 451 | 502..=504))) => {
            let server = http.field(PageField::Server).map(|text| format!(" ({text})")).unwrap_or_default();
            format!("a proxy on the path{server} sent the response {status} in place of the host's")
        }
        _ => "a block page was returned instead of the response".to_owned(),
    }
}

fn block_page(view: &FlowView<'_>) -> String {
    let http = view.facts().and_then(|facts| facts.http.as_deref());
    let vendor = http.and_then(|http| block_page_vendor(http, &view.policy.middleboxes));
    match (vendor, http.and_then(|http| http.field(PageField::Location))) {
        (Some(vendor), _) => {
            could_not_use(view, &format!("a page of {vendor} was returned instead of the response"))
        }
        (None, Some(location)) => could_not_use(view, &format!("it was redirected to {location}")),
        (None, None) => match http.and_then(|http| http.status).filter(|_| doubtful_sender(view).is_some()) {
            Some(status) => {
                let server = http.and_then(|http| http.field(PageField::Server));
                let server = server.map(|text| format!(" with `Server: {text}`")).unwrap_or_default();
                could_not_use(
                    view,
                    &format!(
                        "the response is {status}{server}, which a filter on the path sends, or the host itself"
                    ),
                )
            }
            None => could_not_use(view, &intercepted(http, view)),
        },
    }
}

//! Checks of destinations, ports and names against the documents.

use std::net::IpAddr;

use super::Check;
use super::FlowView;
use super::When;
use super::blocked::doubtful_sender;
use super::no_rows;
use crate::base::Address;
use crate::base::port;
use crate::base::proto;
use crate::flow::Handshake;
use crate::judge::catalogue::FindingCode;
use crate::judge::catalogue::Mechanism;
use crate::judge::diagnosis::block_pages::Sender;
use crate::judge::flow_state::NameClaim;
use crate::judge::policy::name_table::Contradiction;
use crate::judge::policy::name_table::KnownName;
use crate::judge::policy::references::append_once;
use crate::judge::rows::Documented;
use crate::judge::vocabulary::DestinationVerdict;
use crate::judge::vocabulary::PortVerdict;
use crate::judge::vocabulary::Severity;
use crate::read::NameSource;
use crate::rules::NotInForce;
use crate::rules::Reference;
use crate::rules::ServiceKind;
use crate::rules::is_platform_address;

pub(super) const CHECKS: &[Check] = &[
    Check {
        code: FindingCode::UndocumentedDestination,
        when: When::Unexpected,
        applies: is_undocumented,
        message: undocumented,
        cites: no_rows,
    },
    Check {
        code: FindingCode::BroadWildcardOnly,
        when: When::Broad,
        applies: |view| view.verdict.destination == Some(DestinationVerdict::DocumentedBroad),
        message: broad,
        cites: no_rows,
    },
    Check {
        code: FindingCode::UndocumentedPort,
        when: When::Not443,
        applies: is_undocumented_port,
        message: undocumented_port,
        cites: no_rows,
    },
    Check {
        code: FindingCode::CleartextHttp,
        when: When::OtherApp,
        applies: is_cleartext,
        message: cleartext,
        cites: no_rows,
    },
    Check {
        code: FindingCode::InboundConnection,
        when: When::Always,
        applies: is_inbound,
        message: inbound,
        cites: no_rows,
    },
    Check {
        code: FindingCode::UnidentifiedDestination,
        when: When::Unidentified,
        applies: is_unidentified,
        message: unidentified,
        cites: no_rows,
    },
    Check {
        code: FindingCode::NameContradiction,
        when: When::HasFacts,
        applies: |view| name_conflict(view).is_some(),
        message: contradiction,
        cites: rows_of_other_name,
    },
    Check {
        code: FindingCode::NotTlsOn443,
        when: When::OtherApp,
        applies: is_not_tls_on_443,
        message: not_tls_on_443,
        cites: no_rows,
    },
    Check {
        code: FindingCode::OtherCloud,
        when: When::Unexpected,
        applies: |view| row_elsewhere(view).is_some_and(is_of_other_cloud),
        message: elsewhere,
        cites: cite_elsewhere,
    },
    Check {
        code: FindingCode::DocumentedElsewhere,
        when: When::Unexpected,
        applies: |view| {
            row_elsewhere(view).is_some_and(|found| !is_of_other_cloud(found)) && !is_blocked(view)
        },
        message: elsewhere,
        cites: cite_elsewhere,
    },
    Check {
        code: FindingCode::MalformedName,
        when: When::Malformed,
        applies: has_malformed_name,
        message: malformed_name,
        cites: no_rows,
    },
    Check {
        code: FindingCode::UndocumentedTransport,
        when: When::Not443,
        applies: is_udp_443,
        message: udp_443,
        cites: no_rows,
    },
];

fn broad(view: &FlowView<'_>) -> String {
    if view.verdict.by_port_only {
        return format!(
            "{} port {} is documented only by a row that gives the port and no host",
            view.server_text(),
            view.verdict.requested_port
        );
    }
    format!("{} is documented only by a wildcard that its document calls too broad", view.name_text())
}

fn is_undocumented(view: &FlowView<'_>) -> bool {
    view.verdict.destination == Some(DestinationVerdict::Unexpected)
        && view.verdict.undocumented_role_port.is_none()
        && !has_malformed_name(view)
        && row_elsewhere(view).is_none()
        && !is_blocked(view)
}

/// A destination that was not reached is one finding: that it was blocked.
fn is_blocked(view: &FlowView<'_>) -> bool {
    view.assessment.mechanism().is_some()
}

/// What the client did with the destination.
fn contact(view: &FlowView<'_>) -> &'static str {
    let is_tcp = view.flow.flow_start.protocol == proto::TCP;
    match view.flow_end.tcp.as_ref().map(|tcp| tcp.handshake) {
        Some(Handshake::Unanswered | Handshake::Refused) => "tried to connect to",
        _ if is_tcp => "connected to",
        _ => "sent packets to",
    }
}

fn undocumented(view: &FlowView<'_>) -> String {
    let (client, contact, name) = (view.client(), contact(view), view.name_text());
    let process = view.flow.flow_start.process.as_ref();
    let mut by = process.map(|process| format!("; opened by process {process}")).unwrap_or_default();
    if is_connectivity_test(view) {
        by.push_str("; Windows tests its connection to the internet there");
    }
    match view.verdict.requested_port {
        port::HTTPS => format!("{client} {contact} {name}, which no document in force lists{by}"),
        port => format!("{client} {contact} {name} (port {port}), which no document in force lists{by}"),
    }
}

/// The row that documents the name of an unexpected destination, though it is not in force for the site.
fn row_elsewhere<'a>(view: &FlowView<'a>) -> Option<(&'a Reference, NotInForce)> {
    let is_unexpected = view.verdict.destination == Some(DestinationVerdict::Unexpected);
    let known = view.verdict.known.filter(|_| is_unexpected)?;
    view.policy.rules.elsewhere(known.elsewhere?)
}

/// Whether the row is for a service of another cloud. What the operating system does, and certificates, are alike in all.
fn is_of_other_cloud((row, reason): (&Reference, NotInForce)) -> bool {
    let is_service = matches!(row.service_kind, None | Some(ServiceKind::Storage | ServiceKind::SyncService));
    reason == NotInForce::OtherCloud && is_service && !row.document.background
}

fn elsewhere(view: &FlowView<'_>) -> String {
    let Some((row, reason)) = row_elsewhere(view) else { return String::new() };
    let document = &row.document;
    let mut own_cloud = String::new();
    let why = match reason {
        NotInForce::OtherCloud => {
            let clouds: Vec<String> = row.clouds.iter().map(|cloud| format!("{cloud} cloud")).collect();
            if let Some(own) = view.policy.site.cloud.or(view.policy.site.cloud_of_regions) {
                own_cloud = format!("; the cloud of this site is {own}");
            }
            format!("for the {}", clouds.join(" and the "))
        }
        NotInForce::OtherRegion => {
            format!("for the region {}", document.region.as_deref().unwrap_or_default())
        }
        NotInForce::OtherHardware => {
            format!("for hardware of {}", document.hardware.as_deref().unwrap_or_default())
        }
        NotInForce::ValueNotSet => {
            let value = document.needs_value.as_deref().unwrap_or_default();
            format!("for sites with a value of `{value}`, which the site file does not set")
        }
        NotInForce::OtherProduct => {
            format!("for a use of {} that the site file does not declare", document.products.join(" and "))
        }
        NotInForce::OtherEdition => format!("in {}, which is not in force", document.id),
    };
    format!(
        "{} {} {}, which is documented {why} ({}){own_cloud}",
        view.client(),
        contact(view),
        view.name_text(),
        row.id
    )
}

fn cite_elsewhere(view: &FlowView<'_>) -> Option<Documented> {
    let known = view.verdict.known?;
    let mut documented = Documented::default();
    for row in view.policy.rules.rows_elsewhere(&known.name, known.elsewhere?) {
        append_once(&mut documented.references, &row.id);
        append_once(&mut documented.documents, &row.document.id);
    }
    Some(documented)
}

fn is_undocumented_port(view: &FlowView<'_>) -> bool {
    let is_documented = matches!(
        view.verdict.destination,
        Some(DestinationVerdict::Documented | DestinationVerdict::DocumentedBroad)
    );
    is_documented
        && view.verdict.port == Some(PortVerdict::Not443)
        && !is_cleartext(view)
        && !is_blocked(view)
        && !is_udp_443(view)
        && !is_stray_segment(view)
}

/// A single segment out of nowhere shows no connection: its port may be damaged.
fn is_stray_segment(view: &FlowView<'_>) -> bool {
    let tcp = view.flow_end.tcp.as_ref();
    tcp.is_some_and(|tcp| tcp.handshake == Handshake::Unseen)
        && view.flow_end.packets.iter().sum::<u64>() == 1
}

fn undocumented_port(view: &FlowView<'_>) -> String {
    let protocol = proto::name(view.flow.flow_start.protocol).unwrap_or_default().to_ascii_uppercase();
    let doubt = if is_of_wildcard_only(view) {
        ". Only a wildcard has the name, so that it may be of another service than the one that the wildcard is documented for"
    } else {
        ""
    };
    format!(
        "{} used {} on {protocol} port {}; that port is not documented for this endpoint{doubt}",
        view.client(),
        view.name_text(),
        view.verdict.requested_port
    )
}

/// UDP 443 to a name that is documented for TCP 443: HTTP/3 (RFC 9114 §3.1), or something else.
fn is_udp_443(view: &FlowView<'_>) -> bool {
    (view.flow.flow_start.protocol, view.verdict.requested_port) == (proto::UDP, port::HTTPS)
        && view.verdict.known.is_some_and(|known| known.is_documented())
        && view.verdict.port == Some(PortVerdict::Not443)
        && !is_blocked(view)
}

fn udp_443(view: &FlowView<'_>) -> String {
    let what = if view.app == "quic" { "QUIC" } else { "datagrams" };
    format!(
        "{} sent {what} to {} on UDP port 443; the documents give TCP port 443 for it",
        view.client(),
        view.name_text()
    )
}

fn is_cleartext(view: &FlowView<'_>) -> bool {
    view.verdict.https_only
        && view.verdict.known.is_some_and(|known| known.references.is_sync_or_storage)
        && view.app == "http"
        && view.flow.claim_from(NameSource::HttpHost).is_some()
}

fn cleartext(view: &FlowView<'_>) -> String {
    format!(
        "{} sent unencrypted HTTP to {}, which is documented for HTTPS only",
        view.client(),
        view.name_text()
    )
}

fn is_inbound(view: &FlowView<'_>) -> bool {
    let (client, server) = (view.client(), view.server().address);
    if view.policy.is_inside(client) || client.is_group() || !view.flow.flow_start.from_start {
        return false;
    }
    // No route leads from the internet to such an address (RFC 4193 §4.1), so that the client is the site's own.
    if matches!(server.to_ip(), IpAddr::V6(ip) if ip.is_unique_local()) {
        return false;
    }
    // The health probes of a load balancer in Azure.
    if is_platform_address(client) {
        return false;
    }
    if !knows_own_networks(view) && shares_ipv6_allocation(client, server) {
        return false;
    }
    let is_audited = if view.scope.is_open() { server.is_private() } else { view.scope.audits(server) };
    let is_connected = view
        .flow_end
        .tcp
        .as_ref()
        .is_some_and(|tcp| matches!(tcp.handshake, Handshake::Complete | Handshake::HalfOpen));
    is_audited && is_connected
}

/// The site file says which public addresses are the site's own.
fn knows_own_networks(view: &FlowView<'_>) -> bool {
    !view.policy.site.networks.is_empty()
}

/// A provider gets at least a /32 of IPv6 addresses, and a site a /48 or more of them: where the site declares no networks, a client
/// in the same /32 may be its own.
fn shares_ipv6_allocation(client: Address, server: Address) -> bool {
    match (client.to_ip(), server.to_ip()) {
        (IpAddr::V6(client), IpAddr::V6(server)) => {
            client.octets().first_chunk::<4>() == server.octets().first_chunk::<4>()
        }
        _ => false,
    }
}

/// The highest severity of a finding about a flow. A public address may be the site's own where the site declares no networks.
pub(super) fn highest_severity(view: &FlowView<'_>, code: FindingCode) -> Severity {
    match code {
        FindingCode::InboundConnection if !knows_own_networks(view) => Severity::Medium,
        // The server may be named in frames that the capture does not have.
        FindingCode::OtherRegion if view.verdict.known.is_none() => Severity::Medium,
        // A wildcard's names are not all known.
        FindingCode::NameOutsideItsTags if !is_exact(view) => Severity::Low,
        FindingCode::NameAtForeignAddress if !is_exact(view) => Severity::Medium,
        // Windows Firewall drops them by default, and only validation needs them.
        _ if view.assessment.mechanism() == Some(Mechanism::EchoUnanswered) => Severity::Medium,
        FindingCode::UndocumentedPort if is_of_wildcard_only(view) => Severity::Medium,
        // Programs follow its links over HTTP too.
        FindingCode::UndocumentedPort if is_redirector(view) => Severity::Low,
        // A test of Windows itself, whichever edition.
        FindingCode::UndocumentedDestination if is_connectivity_test(view) => Severity::Low,
        FindingCode::OtherStorageAccount if may_be_microsofts(view) || is_blocked(view) => Severity::Medium,
        // The proxy seems to have forwarded what the destination sent.
        _ if doubtful_sender(view) == Some(Sender::Forwarded) => Severity::Medium,
        _ if is_port_of_range(view) => Severity::Low,
        _ if is_blocked(view) && is_of_doubtful_wildcard(view) => Severity::Medium,
        // That the host has the role is an assumption.
        _ if view.verdict.assumed_role.is_some() => Severity::Low,
        _ => Severity::High,
    }
}

/// The first of the ports that Windows gives to RPC servers (RFC 6335 §6).
const FIRST_DYNAMIC_PORT: u16 = 49_152;

/// Whether the port of an attempt is one of a range in the port tables, of which each host uses some: one that is refused is not in
/// use, and below the dynamic ports it is of another service.
pub(super) fn is_port_of_range(view: &FlowView<'_>) -> bool {
    let is_range = |row| view.policy.rules.reference(row).at_least.is_some();
    let is_refused = view.assessment.mechanism() == Some(Mechanism::TcpRefused);
    view.assessment.mechanism().is_some()
        && view.verdict.role_row.is_some_and(is_range)
        && (is_refused || view.server().port < FIRST_DYNAMIC_PORT)
}

/// Whether only a wildcard for many services has the name: one that its document calls too broad; the one for storage, where the name is
/// of no account; or the one for accounts, where it is none of the site's.
pub(super) fn is_of_doubtful_wildcard(view: &FlowView<'_>) -> bool {
    let is_broad = view.verdict.destination == Some(DestinationVerdict::DocumentedBroad);
    view.verdict.known.is_some_and(|known| {
        let mut rows = known.references.ids.iter().map(|id| view.policy.rules.reference(*id));
        let class = &known.class;
        let is_of_storage = !class.is_exact && !class.storage && known.is_documented();
        (is_broad && !view.verdict.by_port_only)
            || class.other_account
            || (is_of_storage && rows.all(|row| row.service_kind == Some(ServiceKind::Storage)))
    })
}

/// Whether only a wildcard has the name, of which it is not known what it is: neither a storage account, nor of a service that
/// is documented for port 443 with all its names.
pub(super) fn is_of_wildcard_only(view: &FlowView<'_>) -> bool {
    let is_of_sync = |known: &KnownName| {
        let rows = known.references.ids.iter().map(|id| view.policy.rules.reference(*id));
        rows.into_iter().any(|row| row.service_kind == Some(ServiceKind::SyncService))
    };
    view.verdict.known.is_some_and(|known| {
        !known.class.is_exact && !known.class.storage && !known.class.is_regional && !is_of_sync(known)
    })
}

/// A host that does nothing but redirect, on port 80.
fn is_redirector(view: &FlowView<'_>) -> bool {
    let middleboxes = &view.policy.middleboxes;
    view.verdict.requested_port == port::HTTP
        && view.verdict.known.is_some_and(|known| middleboxes.is_redirector(known.name.as_str()))
}

/// The hosts at which Windows tests its connection to the internet.
pub(super) fn is_connectivity_test(view: &FlowView<'_>) -> bool {
    view.verdict.known.is_some_and(|known| view.policy.middleboxes.is_test_host(known.name.as_str()))
}

/// Bytes that a download does not send: its requests and the TLS handshake.
const MAX_REQUEST_BYTES: u64 = 64 << 10;

/// Whether a storage account that is not the site's may be one of Microsoft's, from which agents download: a row has all accounts
/// of the service, and the flow was no upload.
pub(super) fn may_be_microsofts(view: &FlowView<'_>) -> bool {
    let [sent, received] = view.flow_end.bytes;
    view.verdict.known.is_some_and(|known| known.class.has_microsofts_accounts)
        && (sent <= received || sent <= MAX_REQUEST_BYTES)
}

/// Whether a row prints the very name of the destination.
fn is_exact(view: &FlowView<'_>) -> bool {
    view.verdict.known.is_some_and(|known| known.class.is_exact)
}

fn inbound(view: &FlowView<'_>) -> String {
    let server = view.server();
    if !knows_own_networks(view) {
        return format!(
            "{} (a public address) connected inbound to {} port {}; no document requires inbound connections. \
             If the address is the site's own, add it to `networks` under [site] in the site file",
            view.client(),
            server.address,
            server.port
        );
    }
    format!(
        "{} (external) connected inbound to {} port {}; no document requires inbound connections",
        view.client(),
        server.address,
        server.port
    )
}

fn is_unidentified(view: &FlowView<'_>) -> bool {
    // DNS and NTP servers are configured by address and have no name.
    view.verdict.destination == Some(DestinationVerdict::Unidentified)
        && !matches!(view.app, "dns" | "ntp")
        && view.flow_end.tcp.as_ref().is_some_and(|tcp| tcp.handshake != Handshake::Unseen)
        && !is_blocked(view)
        // The name may be in the part that the snap length cut.
        && !view.flow_end.is_cut
}

fn unidentified(view: &FlowView<'_>) -> String {
    let (client, contact, server) = (view.client(), contact(view), view.server());
    let (address, port) = (view.flow.requested_address(), view.verdict.requested_port);
    if address != server.address {
        return format!(
            "{client} requested the address {address} port {port} from the proxy {}, and nothing in the capture names it",
            server.address
        );
    }
    format!("{client} {contact} {address} port {}, and nothing in the capture names it", server.port)
}

/// The flow's own name is none that a host can have.
fn has_malformed_name(view: &FlowView<'_>) -> bool {
    view.verdict.destination.is_some() && view.verdict.known.is_some_and(|known| known.is_malformed)
}

fn malformed_name(view: &FlowView<'_>) -> String {
    let source = view.flow.name().map_or("", |(_, source)| source.as_str());
    format!(
        "{} named {} ({source}) at {}; the name is malformed: no host can have it",
        view.client(),
        view.name_text(),
        view.server().address
    )
}

/// How the sources of a flow's name disagree.
enum NameConflict<'a> {
    /// The proxy was asked for one name, and the SNI is another.
    ConnectAndSni { requested: &'a KnownName, sni: &'a NameClaim },
    /// DNS resolved another name to the address.
    DnsAndClaim { claim: &'a NameClaim, contradiction: &'a Contradiction },
}

impl<'a> NameConflict<'a> {
    /// The name that the flow does not have.
    fn other(&self) -> &'a KnownName {
        match self {
            NameConflict::ConnectAndSni { requested, .. } => requested,
            NameConflict::DnsAndClaim { contradiction, .. } => &contradiction.other,
        }
    }
}

fn name_conflict<'a>(view: &FlowView<'a>) -> Option<NameConflict<'a>> {
    view.verdict.destination?;
    let facts = view.facts()?;
    if let Some(connect) = view.flow.claim_from(NameSource::Connect)
        && let Some(sni) = view.flow.claim_from(NameSource::Sni)
        && connect.known != sni.known
        && connect.known.address.is_none()
    {
        return Some(NameConflict::ConnectAndSni { requested: &connect.known, sni });
    }
    if view.flow.is_proxied() {
        // DNS resolved the proxy's own name.
        return None;
    }
    let claim = view.flow.strongest_claim()?;
    facts.contradiction.as_ref().map(|contradiction| NameConflict::DnsAndClaim { claim, contradiction })
}

fn contradiction(view: &FlowView<'_>) -> String {
    let client = view.client();
    match name_conflict(view) {
        Some(NameConflict::ConnectAndSni { requested, sni }) => format!(
            "{client} requested {} from its proxy and then sent {} as SNI",
            requested.name, sni.known.name
        ),
        Some(NameConflict::DnsAndClaim { claim, contradiction: Contradiction { other, is_unanswered } }) => {
            let caveat = if *is_unanswered {
                "; the capture holds no response for the first name, so an earlier one may have given the same address"
            } else {
                ""
            };
            format!(
                "the flow names {} ({}), but DNS resolved {} to {} for this client{caveat}",
                claim.known.name,
                claim.source.as_str(),
                other.name,
                view.server().address,
            )
        }
        None => String::new(),
    }
}

fn rows_of_other_name(view: &FlowView<'_>) -> Option<Documented> {
    name_conflict(view).and_then(|conflict| conflict.other().references.documented.as_deref().cloned())
}

fn is_not_tls_on_443(view: &FlowView<'_>) -> bool {
    let payload = view.flow.app;
    // Unidentified payload may be the middle of a TLS conversation.
    let is_other = !payload.is_empty() && !matches!(payload, "tls" | "quic" | "dtls");
    view.server().port == port::HTTPS
        && view.flow.flow_start.protocol == proto::TCP
        && is_other
        && view.verdict.destination.is_some()
}

fn not_tls_on_443(view: &FlowView<'_>) -> String {
    format!("{} used {} instead of TLS to {} port 443", view.client(), view.app, view.server_text())
}

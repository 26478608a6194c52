//! Checks against the site file and the service tags.

use super::Check;
use super::FlowView;
use super::When;
use super::destination::is_connectivity_test;
use super::destination::is_of_wildcard_only;
use super::destination::may_be_microsofts;
use super::no_rows;
use crate::base::Address;
use crate::base::port;
use crate::base::proto;
use crate::flow::Handshake;
use crate::judge::catalogue::FindingCode;
use crate::judge::catalogue::Mechanism;
use crate::judge::finding::dns::SHARED_ADDRESS;
use crate::judge::policy::name_class::NameClass;
use crate::judge::policy::verdict::UndocumentedRolePort;
use crate::judge::rows::Documented;
use crate::judge::text::counted;
use crate::judge::vocabulary::AddressEvidence;
use crate::judge::vocabulary::DestinationVerdict;
use crate::read::NameSource;
use crate::rules::ROLES;
use crate::rules::is_platform_address;

pub(super) const CHECKS: &[Check] = &[
    Check {
        code: FindingCode::OtherRegion,
        when: When::Regional,
        applies: |view| {
            has_class(view, |class| class.other_region) || region_of_nameless_server(view).is_some()
        },
        message: other_region,
        cites: no_rows,
    },
    Check {
        code: FindingCode::UnlistedRegion,
        when: When::SiteName,
        applies: |view| has_class(view, |class| class.unlisted_region && !class.other_region),
        message: |view| {
            format!(
                "{} is documented by a wildcard only: the table of regions does not list its region",
                view.name_text()
            )
        },
        cites: no_rows,
    },
    Check {
        code: FindingCode::OtherStorageAccount,
        when: When::SiteName,
        applies: |view| has_class(view, |class| class.other_account),
        message: other_account,
        cites: no_rows,
    },
    Check {
        code: FindingCode::StorageInOtherRegion,
        when: When::SiteName,
        applies: |view| region_of_storage(view).is_some(),
        message: |view| {
            format!(
                "{} used {} at {}, which is storage in {}; the site's Storage Sync Service is in {}",
                view.client(),
                view.name_text(),
                view.server().address,
                region_of_storage(view).unwrap_or_default(),
                view.policy.site.sync_region.as_deref().unwrap_or_default()
            )
        },
        cites: no_rows,
    },
    Check {
        code: FindingCode::InternetRouting,
        when: When::SiteName,
        applies: |view| has_class(view, |class| class.internet_routing),
        message: |view| {
            format!("{} used {}, which is routed over the internet", view.client(), view.name_text())
        },
        cites: no_rows,
    },
    Check {
        code: FindingCode::SmbToStorage,
        when: When::SiteName,
        applies: is_smb_to_storage,
        message: |view| {
            format!("{} opened {} over SMB; the agent needs HTTPS only", view.client(), view.name_text())
        },
        cites: no_rows,
    },
    Check {
        code: FindingCode::PrivateEndpointBypassed,
        when: When::SiteName,
        applies: |view| private_endpoint_use(view) == PrivateEndpointUse::PublicThroughZone,
        message: private_endpoint_bypassed,
        cites: no_rows,
    },
    Check {
        code: FindingCode::UnexplainedPrivateAddress,
        when: When::SiteName,
        applies: |view| private_endpoint_use(view) == PrivateEndpointUse::UnexplainedPrivate,
        message: |view| {
            let (name, address) = (view.name_text(), view.server().address);
            let is_from_dns = view.flow.dns.is_some() && !view.flow.dns_is_other_clients;
            let why = match (address.is_shared(), is_from_dns) {
                (true, _) => "which is of 100.64.0.0/10 (RFC 6598), and the site file does not declare it",
                (false, true) => {
                    "which DNS returned without a private zone, and the site file does not declare it"
                }
                (false, false) => "which neither DNS nor the site file explains",
            };
            format!("{name} was reached at the private address {address}, {why}")
        },
        cites: no_rows,
    },
    Check {
        code: FindingCode::PublicDespitePrivateEndpoints,
        when: When::SiteName,
        applies: |view| private_endpoint_use(view) == PrivateEndpointUse::PublicDespiteDeclaration,
        message: |view| {
            format!(
                "{} reached {} at the public address {}; the site declares private endpoints",
                view.client(),
                view.name_text(),
                view.server().address
            )
        },
        cites: no_rows,
    },
    Check {
        code: FindingCode::PrivateAddressOfPublicName,
        when: When::SiteName,
        applies: is_public_name_at_private_address,
        message: |view| {
            format!(
                "{} reached {} at the private address {}; the documents want public addresses for it",
                view.client(),
                view.name_text(),
                view.server().address
            )
        },
        cites: no_rows,
    },
    Check {
        code: FindingCode::ProxyBypassed,
        when: When::ProxiesDeclared,
        applies: bypasses_proxy,
        message: proxy_bypassed,
        cites: no_rows,
    },
    Check {
        code: FindingCode::UndocumentedRolePort,
        when: When::RolePort,
        applies: |view| view.verdict.undocumented_role_port.is_some(),
        message: undocumented_role_port,
        cites: rows_between_roles,
    },
    Check {
        code: FindingCode::OpaqueTunnel,
        when: When::OtherApp,
        applies: |view| tunnel_kind(view).is_some(),
        message: |view| {
            format!(
                "{} and {} have a tunnel ({}) between them; its contents cannot be audited",
                view.client(),
                view.server().address,
                tunnel_kind(view).unwrap_or_default()
            )
        },
        cites: no_rows,
    },
    Check {
        code: FindingCode::NameAtForeignAddress,
        when: When::OutsideTags,
        applies: |view| is_outside_tags(view) && is_pinned(view),
        message: |view| {
            format!(
                "{} named {} and connected to {}, which is in no service tag: the name may be forged",
                view.client(),
                view.name_text(),
                view.server().address
            )
        },
        cites: no_rows,
    },
    Check {
        code: FindingCode::NameOutsideItsTags,
        when: When::OutsideTags,
        applies: |view| is_outside(view, AddressEvidence::OtherTag) && is_pinned(view),
        message: outside_its_tags,
        cites: no_rows,
    },
    Check {
        code: FindingCode::NameOutsideServiceTags,
        when: When::OutsideTags,
        applies: |view| view.verdict.https_only && is_outside_tags(view) && !is_pinned(view),
        message: |view| {
            format!(
                "{} was reached at {}, which is in no service tag",
                view.name_text(),
                view.server().address
            )
        },
        cites: no_rows,
    },
];

/// What the name is to the site, unless an exception of the site allows the flow.
pub(super) fn class_of<'a>(view: &FlowView<'a>) -> Option<&'a NameClass> {
    let is_judged = view.verdict.destination.is_some() && view.verdict.exception.is_none();
    view.verdict.known.filter(|_| is_judged).map(|known| &known.class)
}

fn has_class(view: &FlowView<'_>, is_it: fn(&NameClass) -> bool) -> bool {
    class_of(view).is_some_and(is_it)
}

/// The region, none of the site's, whose service tag has a server without a name.
fn region_of_nameless_server<'a>(view: &FlowView<'a>) -> Option<&'a str> {
    let is_judged = view.verdict.destination == Some(DestinationVerdict::Documented)
        && view.verdict.exception.is_none()
        && view.verdict.known.is_none();
    view.tags.filter(|_| is_judged).and_then(|tags| tags.other_region.as_deref())
}

/// The region, none of the site's, that holds a storage account's file endpoint.
fn region_of_storage<'a>(view: &FlowView<'a>) -> Option<&'a str> {
    let is_own_account = has_class(view, |class| class.file_endpoint && !class.other_account);
    view.tags
        .filter(|_| is_own_account && !uses_server_as_proxy(view))
        .and_then(|tags| tags.other_storage_region.as_deref())
}

fn other_region(view: &FlowView<'_>) -> String {
    if let Some(region) = region_of_nameless_server(view) {
        return format!(
            "{} used {}, an address in {}, the service tag of {region}; the site is in {}",
            view.client(),
            view.server().address,
            view.name_text(),
            view.policy.site.sync_region.as_deref().unwrap_or_default()
        );
    }
    format!(
        "{} {} {}, an instance of another region; the site is in {}{}",
        view.client(),
        if view.assessment.mechanism().is_some() { "tried to use" } else { "used" },
        view.name_text(),
        view.policy.site.sync_region.as_deref().unwrap_or_default(),
        if view.verdict.known.is_some_and(|known| view.policy.serves_if_geo_redundant(known)) {
            ". It is in the paired region, which a storage account with GRS or GZRS uses: if the account is geo-redundant, correct \
             `redundancy` in the site file"
        } else {
            ""
        }
    )
}

fn other_account(view: &FlowView<'_>) -> String {
    let [sent, _] = view.flow_end.bytes;
    let doubt = if may_be_microsofts(view) {
        ". Agents download from accounts of Microsoft's, of which the documents give only a wildcard: it may be one of them"
    } else {
        ""
    };
    // What a proxy refused did not leave it.
    let is_refused = matches!(
        view.assessment.mechanism().map(Mechanism::finding),
        Some(FindingCode::ProxyRefused | FindingCode::ProxyAuthRequired)
    );
    if view.assessment.mechanism().is_some() && (sent == 0 || is_refused) {
        let (client, name) = (view.client(), view.name_text());
        return format!(
            "{client} tried to use {name}, a storage account that is not the site's, and did not reach it"
        );
    }
    format!(
        "{} used {}, a storage account that is not the site's, and sent {} to it{doubt}",
        view.client(),
        view.name_text(),
        counted(sent, "byte")
    )
}

fn is_smb_to_storage(view: &FlowView<'_>) -> bool {
    let is_smb_port = view.flow.flow_start.protocol == proto::TCP && view.server().port == port::SMB;
    (view.app == "smb" || is_smb_port) && has_class(view, |class| class.storage)
}

/// How a name that can have a private endpoint was reached.
#[derive(Clone, Copy, PartialEq, Eq)]
enum PrivateEndpointUse {
    /// As declared, or not applicable.
    AsDeclared,
    /// DNS followed the private zone to a public address.
    PublicThroughZone,
    /// A private address without a reason.
    UnexplainedPrivate,
    /// A public address, though the site declares private endpoints.
    PublicDespiteDeclaration,
}

fn private_endpoint_use(view: &FlowView<'_>) -> PrivateEndpointUse {
    let Some(class) = class_of(view).filter(|class| class.can_be_private) else {
        return PrivateEndpointUse::AsDeclared;
    };
    let server = view.server().address;
    if view.flow.claim_from(NameSource::Connect).is_some() || view.policy.proxies.contains(server) {
        return PrivateEndpointUse::AsDeclared;
    }
    let is_through_zone =
        class.in_private_zone || view.flow.dns.as_ref().is_some_and(|dns| dns.is_through_private_zone());
    let declared = &view.policy.private_networks;
    match (server.is_private() || declared.contains(server), is_through_zone) {
        // From outside the virtual network the zone leads to the public address, as the document's own example shows.
        (false, true) if !declared.is_empty() => PrivateEndpointUse::PublicThroughZone,
        // The name that all services of a region share has no private endpoint of its own: it is replaced by those of a service.
        (false, false) if class.is_regional && view.policy.site.sync_services.is_empty() => {
            PrivateEndpointUse::AsDeclared
        }
        (false, false) if !declared.is_empty() => PrivateEndpointUse::PublicDespiteDeclaration,
        (true, _) if declared.contains(server) => PrivateEndpointUse::AsDeclared,
        // NAT64 leads to the public address.
        (true, _) if server.translated_ipv4().is_some() => PrivateEndpointUse::AsDeclared,
        (true, false) => PrivateEndpointUse::UnexplainedPrivate,
        (true, true) if !declared.is_empty() => PrivateEndpointUse::UnexplainedPrivate,
        _ => PrivateEndpointUse::AsDeclared,
    }
}

fn is_public_name_at_private_address(view: &FlowView<'_>) -> bool {
    let server = view.server().address;
    let is_private = server.is_private() && server.translated_ipv4().is_none()
        || view.policy.private_networks.contains(server);
    is_private
        && has_class(view, |class| class.must_be_public)
        && !uses_server_as_proxy(view)
        && !view.policy.proxies.contains(server)
}

fn private_endpoint_bypassed(view: &FlowView<'_>) -> String {
    format!(
        "{} has a private endpoint, but {} reached it at the public address {}",
        view.name_text(),
        view.client(),
        view.server().address
    )
}

/// The flow requested a further connection from its server.
fn uses_server_as_proxy(view: &FlowView<'_>) -> bool {
    view.flow.claim_from(NameSource::Connect).is_some()
}

/// What to do, where the code's own recommendation is too general.
pub(super) fn recommendation(view: &FlowView<'_>, code: FindingCode) -> Option<&'static str> {
    match code {
        FindingCode::UnexplainedPrivateAddress if view.server().address.is_shared() => Some(SHARED_ADDRESS),
        FindingCode::ProxyBypassed if uses_server_as_proxy(view) => Some(
            "if the site uses this proxy, declare it under [proxy] in the site file; if not, set the declared one for the program",
        ),
        FindingCode::OtherStorageAccount if may_be_microsofts(view) => Some(
            "find the program that opened the connection: an agent of Microsoft's that downloads from it needs the account; otherwise, \
             add the account to the site file if it is the site's",
        ),
        FindingCode::UndocumentedPort if is_of_wildcard_only(view) => Some(
            "find the program that uses this port; where it is another service, such as activation or messaging, add an exception with a \
             reason and an expiry date to the site file",
        ),
        FindingCode::UndocumentedDestination if is_connectivity_test(view) => Some(
            "nothing has to be done for the audited products; if the test is wanted, add an exception with a reason and an expiry date to \
             the site file",
        ),
        _ => None,
    }
}

pub(super) fn bypasses_proxy(view: &FlowView<'_>) -> bool {
    let (client, server) = (view.client(), view.server().address);
    let policy = view.policy;
    let leaves_site = !policy.is_inside(server) && !policy.private_networks.contains(server);
    // A web proxy carries TCP. What uses QUIC can use TCP instead; NTP cannot.
    let is_carried = view.flow.flow_start.protocol == proto::TCP || view.server().port == port::HTTPS;
    !policy.proxies.is_empty()
        && is_carried
        && (view.verdict.documented.is_some() || is_unanswered_web(view))
        && view.verdict.exception.is_none()
        && (leaves_site || uses_server_as_proxy(view))
        && !policy.proxies.contains(server)
        && !policy.proxies.contains(client)
        // A proxy cannot reach what only the host itself may.
        && !is_platform_address(server)
}

/// An attempt to reach the web, on port 80 or 443, that never got a reply: with a declared proxy, the attempt itself is the fault.
fn is_unanswered_web(view: &FlowView<'_>) -> bool {
    view.flow.flow_start.protocol == proto::TCP
        && matches!(view.server().port, port::HTTP | port::HTTPS)
        && view.verdict.destination.is_some()
        && view.assessment.mechanism().is_some_and(|mechanism| {
            matches!(mechanism.finding(), FindingCode::ConnectionUnanswered | FindingCode::ConnectionRefused)
        })
}

fn proxy_bypassed(view: &FlowView<'_>) -> String {
    let (client, name, server) = (view.client(), view.name_text(), view.server());
    if uses_server_as_proxy(view) {
        return format!(
            "{client} requested {name} from {} port {} as a proxy, which the site file does not declare",
            server.address, server.port
        );
    }
    if view.assessment.mechanism().is_some() {
        return format!(
            "{client} tried to connect directly to {} port {} and was blocked; a program on it does not use the declared proxy",
            view.server_text(),
            server.port
        );
    }
    format!(
        "{client} connected directly to {name} at {} port {}, bypassing the declared proxy",
        server.address, server.port
    )
}

fn rows_between_roles(view: &FlowView<'_>) -> Option<Documented> {
    let [client, server] =
        [view.client(), view.server().address].map(|address| view.policy.port_tables.roles(address));
    view.policy.rows_between(client, server)
}

fn undocumented_role_port(view: &FlowView<'_>) -> String {
    let (client, server) = (view.client(), view.server());
    let roles = |address: Address| {
        let bits = view.policy.port_tables.roles(address);
        let held = ROLES.iter().enumerate().filter(|(index, _)| bits & (1 << index) != 0);
        held.map(|(_, role)| *role).collect::<Vec<_>>().join(", ")
    };
    let why = match view.verdict.undocumented_role_port {
        Some(UndocumentedRolePort::OppositeDirection) => "documented only in the opposite direction",
        Some(UndocumentedRolePort::NotInTables) | None => "not in the port tables",
    };
    let protocol = view.flow.flow_start.protocol;
    let what = match protocol {
        proto::ICMP => "sent ICMP".to_owned(),
        proto::ICMPV6 => "sent ICMPv6".to_owned(),
        _ => {
            let name = proto::name(protocol).unwrap_or_default().to_ascii_uppercase();
            format!("opened {name} port {}", server.port)
        }
    };
    format!("{client} ({}) {what} to {} ({}); {why}", roles(client), server.address, roles(server.address))
}

/// IP protocols that hide the inner traffic: GRE that could not be decoded, ESP, AH.
const TUNNEL_PROTOCOLS: &[(u8, &str)] = &[(proto::GRE, "GRE"), (proto::ESP, "ESP"), (proto::AH, "AH")];

fn tunnel_kind(view: &FlowView<'_>) -> Option<&'static str> {
    let protocol = view.flow.flow_start.protocol;
    let kind = match view.app {
        "ike" => "IKE",
        "esp" | "esp-udp" => "ESP",
        "wireguard" => "WireGuard",
        _ => TUNNEL_PROTOCOLS.iter().find(|(tunnel, _)| *tunnel == protocol).map(|(_, name)| *name)?,
    };
    let (client, server) = (view.client(), view.server().address);
    // GRE inside a site is what its switches mirror. An encrypted tunnel hides its contents wherever it goes.
    let is_mirror = protocol == proto::GRE && view.policy.is_inside(client) && view.policy.is_inside(server);
    (!server.is_group() && !is_mirror).then_some(kind)
}

fn outside_its_tags(view: &FlowView<'_>) -> String {
    let tags: Vec<&str> = view.tags.into_iter().flat_map(|tags| tags.text.split(';')).take(2).collect();
    let date = view.policy.tags.as_ref().map_or("", |tags| &tags.date);
    let file = if date.is_empty() { String::new() } else { format!(" of {date}") };
    format!(
        "{} named {} and connected to {}, which the service tag file{file} lists under {} and under no service tag of the name's documented row",
        view.client(),
        view.name_text(),
        view.server().address,
        tags.join(" and ")
    )
}

/// Whether the address of the name must be in a tag of its rows. A wildcard that its document calls too broad covers services of
/// which no tag is known.
fn is_pinned(view: &FlowView<'_>) -> bool {
    view.verdict.destination != Some(DestinationVerdict::DocumentedBroad)
        && has_class(view, |class| class.pinned_to_tags)
}

/// A documented name that the client or server named, at an address in no tag of the cloud that its rows are for.
fn is_outside_tags(view: &FlowView<'_>) -> bool {
    is_outside(view, AddressEvidence::NoTag)
}

/// A documented name that the client or server named, at an address of which the tags say this.
fn is_outside(view: &FlowView<'_>, evidence: AddressEvidence) -> bool {
    if view.verdict.address_evidence != Some(evidence) {
        return false;
    }
    let is_answered = view
        .flow_end
        .tcp
        .as_ref()
        .is_none_or(|tcp| matches!(tcp.handshake, Handshake::Complete | Handshake::Unseen));
    let cloud = view.policy.tags.as_ref().and_then(|tags| tags.cloud());
    let is_in_cloud = view.verdict.known.is_some_and(|known| {
        known.references.ids.iter().any(|id| {
            let clouds = view.policy.rules.reference(*id).clouds;
            cloud.is_some_and(|cloud| clouds.is_empty() || clouds.contains(cloud))
        })
    });
    is_answered
        && is_in_cloud
        && view.verdict.exception.is_none()
        && view.verdict.destination != Some(DestinationVerdict::SiteApproved)
        && view.flow.claim_from(NameSource::Connect).is_none()
}

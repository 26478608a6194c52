//! Checks against what the site says of itself, and against the service tags.

use super::Check;
use super::Proof;
use super::Seen;
use super::name_of;
use crate::base::port;
use crate::base::proto;
use crate::flow::Handshake;
use crate::judge::policy::name_class::NameClass;
use crate::judge::policy::verdict::Strange;
use crate::judge::rows::DestinationVerdict;
use crate::read::NameSource;
use crate::rules::ROLES;

pub(in crate::judge) const CHECKS: &[Check] = &[
    Check { code: "AFS401", proof: Proof::Words, finds: is_other_region, sentence: other_region },
    Check { code: "AFS402", proof: Proof::Words, finds: is_unlisted_region, sentence: unlisted_region },
    Check { code: "AFS403", proof: Proof::Words, finds: is_other_account, sentence: other_account },
    Check { code: "AFS404", proof: Proof::Words, finds: is_internet_routing, sentence: internet_routing },
    Check { code: "AFS405", proof: Proof::Words, finds: is_smb, sentence: smb },
    Check {
        code: "AFS411",
        proof: Proof::Words,
        finds: |seen| privacy(seen) == Privacy::Leaks,
        sentence: leaks,
    },
    Check {
        code: "AFS412",
        proof: Proof::Words,
        finds: |seen| privacy(seen) == Privacy::Unproven,
        sentence: unproven,
    },
    Check {
        code: "AFS413",
        proof: Proof::Words,
        finds: |seen| privacy(seen) == Privacy::Public,
        sentence: public,
    },
    Check { code: "AFS421", proof: Proof::Words, finds: is_direct, sentence: direct },
    Check {
        code: "AFS441",
        proof: Proof::End,
        finds: |seen| seen.verdict.internal.is_some(),
        sentence: strange_port,
    },
    Check { code: "AFS461", proof: Proof::End, finds: is_tunnel, sentence: tunnel },
    Check { code: "AFS471", proof: Proof::Words, finds: is_forged, sentence: forged },
    Check { code: "AFS472", proof: Proof::Words, finds: is_outside, sentence: outside },
];

/// What the site makes of the name, unless the site's own exception allows the flow.
fn nature<'a>(seen: &Seen<'a>) -> Option<&'a NameClass> {
    let judged = seen.verdict.destination.is_some() && seen.verdict.approved.is_none();
    seen.verdict.known.as_ref().filter(|_| judged).map(|known| &known.class)
}

fn is_other_region(seen: &Seen<'_>) -> bool {
    nature(seen).is_some_and(|nature| nature.other_region)
}

fn other_region(seen: &Seen<'_>) -> String {
    let ours = seen.policy.site.sync_region.as_deref().unwrap_or_default();
    format!(
        "{} used {}, an instance of another region; the site is in {ours}",
        seen.row.client.address,
        name_of(seen)
    )
}

fn is_unlisted_region(seen: &Seen<'_>) -> bool {
    nature(seen).is_some_and(|nature| nature.unlisted_region && !nature.other_region)
}

fn unlisted_region(seen: &Seen<'_>) -> String {
    format!(
        "{} is documented by a wildcard only: the table of regions does not list its region",
        name_of(seen)
    )
}

fn is_other_account(seen: &Seen<'_>) -> bool {
    nature(seen).is_some_and(|nature| nature.other_account)
}

fn other_account(seen: &Seen<'_>) -> String {
    let (client, sent) = (seen.row.client.address, seen.row.bytes.first().copied().unwrap_or_default());
    format!("{client} used {}, a storage account that is not the site's; it sent {sent} bytes", name_of(seen))
}

fn is_internet_routing(seen: &Seen<'_>) -> bool {
    nature(seen).is_some_and(|nature| nature.internet_routing)
}

fn internet_routing(seen: &Seen<'_>) -> String {
    format!("{} used {}, which is routed over the internet", seen.row.client.address, name_of(seen))
}

fn is_smb(seen: &Seen<'_>) -> bool {
    let is_smb =
        seen.row.app == "smb" || (seen.row.protocol == proto::TCP && seen.row.server.port == port::SMB);
    is_smb && nature(seen).is_some_and(|nature| nature.storage)
}

fn smb(seen: &Seen<'_>) -> String {
    format!("{} opened {} over SMB; the agent needs HTTPS only", seen.row.client.address, name_of(seen))
}

/// How a name that can have a private endpoint was reached.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Privacy {
    /// Right, or none of our business.
    Fine,
    /// DNS led through the private zone to a public address.
    Leaks,
    /// A private address, and nothing says why.
    Unproven,
    /// A public address, though the site declares private endpoints.
    Public,
}

fn privacy(seen: &Seen<'_>) -> Privacy {
    let Some(nature) = nature(seen).filter(|nature| nature.can_be_private) else { return Privacy::Fine };
    let server = seen.row.server.address;
    if seen.case.claimed(NameSource::Connect).is_some() || seen.policy.proxies.hold(server) {
        return Privacy::Fine;
    }
    let in_zone = nature.in_zone || seen.case.dns.as_ref().is_some_and(|named| named.is_through_zone());
    let declared = &seen.policy.private_networks;
    match (server.is_private() || declared.hold(server), in_zone) {
        (false, true) => Privacy::Leaks,
        (false, false) if !declared.is_empty() => Privacy::Public,
        (true, _) if declared.hold(server) => Privacy::Fine,
        (true, false) => Privacy::Unproven,
        (true, true) if !declared.is_empty() => Privacy::Unproven,
        _ => Privacy::Fine,
    }
}

fn leaks(seen: &Seen<'_>) -> String {
    let (client, server) = (seen.row.client.address, seen.row.server.address);
    format!(
        "{} has a private endpoint, and {client} reached it at the public address {server}",
        name_of(seen)
    )
}

fn unproven(seen: &Seen<'_>) -> String {
    let server = seen.row.server.address;
    format!(
        "{} was reached at the private address {server}, and neither DNS nor the site file says why",
        name_of(seen)
    )
}

fn public(seen: &Seen<'_>) -> String {
    let (client, server) = (seen.row.client.address, seen.row.server.address);
    format!(
        "{client} reached {} at the public address {server}; the site declares private endpoints",
        name_of(seen)
    )
}

/// The flow asked its server to connect it further.
fn asks_a_proxy(seen: &Seen<'_>) -> bool {
    seen.case.claimed(NameSource::Connect).is_some()
}

fn is_direct(seen: &Seen<'_>) -> bool {
    let server = seen.row.server.address;
    let leaves = !server.is_private() && !seen.policy.private_networks.hold(server);
    !seen.policy.proxies.is_empty()
        && seen.verdict.documented.is_some()
        && seen.verdict.approved.is_none()
        && (leaves || asks_a_proxy(seen))
        && !seen.policy.proxies.hold(server)
        && !seen.policy.proxies.hold(seen.row.client.address)
}

fn direct(seen: &Seen<'_>) -> String {
    let (client, server) = (seen.row.client.address, seen.row.server);
    if asks_a_proxy(seen) {
        return format!(
            "{client} asked {} port {} for {} as a proxy, which is none that the site declares",
            server.address,
            server.port,
            name_of(seen)
        );
    }
    format!(
        "{client} connected to {} at {} port {} itself, past the declared proxy",
        name_of(seen),
        server.address,
        server.port
    )
}

fn strange_port(seen: &Seen<'_>) -> String {
    let (client, server) = (seen.row.client.address, seen.row.server);
    let roles = |address| {
        let bits = seen.policy.roles(address);
        let held = ROLES.iter().enumerate().filter(|(place, _)| bits & (1 << place) != 0);
        held.map(|(_, role)| *role).collect::<Vec<_>>().join(", ")
    };
    let how = match seen.verdict.internal {
        Some(Strange::Reverse) => "the port tables have it the other way round only",
        _ => "no row of the port tables has it",
    };
    let what = match seen.row.protocol {
        proto::ICMP | proto::ICMPV6 => proto::name(seen.row.protocol).unwrap_or_default().to_string(),
        protocol => format!("{} port {}", proto::name(protocol).unwrap_or_default(), server.port),
    };
    format!(
        "{client} ({}) opened {what} to {} ({}); {how}",
        roles(client),
        server.address,
        roles(server.address)
    )
}

/// What of IP carries other traffic out of sight (IANA protocol numbers): GRE that could not be opened, ESP, AH.
const TUNNELS: &[(u8, &str)] = &[(proto::GRE, "GRE"), (proto::ESP, "ESP"), (proto::AH, "AH")];

fn tunnel_of(seen: &Seen<'_>) -> Option<&'static str> {
    let (client, server) = (seen.row.client.address, seen.row.server.address);
    if server.is_group() {
        return None;
    }
    // GRE inside a site is what its switches mirror; what is encrypted hides its inside wherever it goes.
    let inside = client.is_private() && server.is_private();
    match seen.row.app {
        _ if inside && seen.row.protocol == proto::GRE => None,
        "ike" => Some("IKE"),
        "esp" | "esp-udp" => Some("ESP"),
        "wireguard" => Some("WireGuard"),
        _ => TUNNELS.iter().find(|(protocol, _)| *protocol == seen.row.protocol).map(|(_, name)| *name),
    }
}

fn is_tunnel(seen: &Seen<'_>) -> bool {
    tunnel_of(seen).is_some()
}

fn tunnel(seen: &Seen<'_>) -> String {
    let (client, server) = (seen.row.client.address, seen.row.server.address);
    let kind = tunnel_of(seen).unwrap_or_default();
    format!("{client} and {server} keep a tunnel ({kind}): what is inside is not in this audit")
}

/// A documented name that a client or server said, at an address in no tag of the cloud that its rows are for.
fn is_untagged(seen: &Seen<'_>) -> bool {
    let answered = seen
        .flow_end
        .tcp
        .as_ref()
        .is_none_or(|tcp| matches!(tcp.handshake, Handshake::Complete | Handshake::Unseen));
    let Some(known) =
        seen.verdict.known.as_ref().filter(|_| seen.row.address_evidence == "no-tag" && answered)
    else {
        return false;
    };
    let cloud = seen.policy.tags.as_ref().and_then(|tags| tags.cloud());
    let in_cloud = known.references.rules.iter().any(|id| {
        let clouds = seen.policy.rules.reference(*id).clouds;
        cloud.is_some_and(|cloud| clouds.is_empty() || clouds.contains(cloud))
    });
    in_cloud
        && seen.verdict.approved.is_none()
        && seen.verdict.destination != Some(DestinationVerdict::SiteApproved)
        && seen.case.claimed(NameSource::Connect).is_none()
}

fn is_forged(seen: &Seen<'_>) -> bool {
    is_untagged(seen) && nature(seen).is_some_and(|nature| nature.pinned)
}

fn forged(seen: &Seen<'_>) -> String {
    let (client, server) = (seen.row.client.address, seen.row.server.address);
    format!(
        "{client} named {} and connected to {server}, which is in no service tag: the name may be forged",
        name_of(seen)
    )
}

fn is_outside(seen: &Seen<'_>) -> bool {
    seen.verdict.https_only && is_untagged(seen) && nature(seen).is_some_and(|nature| !nature.pinned)
}

fn outside(seen: &Seen<'_>) -> String {
    format!("{} was reached at {}, which is in no service tag", name_of(seen), seen.row.server.address)
}

//! Findings about DNS: what a query says about the site, and the anomalies of responses.
//!
//! In:  queries of audited hosts, anomalies and unused names from `diagnosis`.
//! Out: findings.
//! Not: how an anomaly is recognized.

use std::sync::Arc;

use super::checks::NOT_OF_SITE;
use super::collector::FindingTarget;
use super::collector::Findings;
use super::collector::Occurrence;
use crate::base::Address;
use crate::base::FrameRef;
use crate::base::HostName;
use crate::base::Time;
use crate::base::proto;
use crate::flow::Endpoint;
use crate::judge::catalogue::FindingCode;
use crate::judge::catalogue::Mechanism;
use crate::judge::diagnosis::comparison::ComparisonIndex;
use crate::judge::diagnosis::dns_anomalies::DnsAnomaly;
use crate::judge::diagnosis::resolved_names::ResolvedBy;
use crate::judge::diagnosis::unused_answers::UnusedName;
use crate::judge::policy::Policy;
use crate::judge::policy::name_class::in_private_zone;
use crate::judge::policy::name_table::KnownName;
use crate::judge::policy::need::Need;
use crate::judge::text::counted;
use crate::judge::vocabulary::Confidence;
use crate::judge::vocabulary::Severity;
use crate::rules::ReferenceId;
use crate::rules::is_platform_address;

/// A query to a resolver.
pub(in crate::judge) struct DnsQuery {
    pub(in crate::judge) client: Endpoint,
    pub(in crate::judge) resolver: Endpoint,
    pub(in crate::judge) frame: FrameRef,
    pub(in crate::judge) time: Time,
    /// Otherwise only its response is.
    pub(in crate::judge) is_captured: bool,
}

/// Checks a query of an audited host against the site file.
pub(in crate::judge) fn check_query(
    query: &DnsQuery,
    known: &KnownName,
    policy: &Policy,
    findings: &mut Findings,
) {
    let (client, resolver) = (query.client.address, query.resolver.address);
    let occurrence = |code, target| Occurrence {
        code,
        mechanism: None,
        confidence: None,
        audited_host: Some(client),
        target,
        need: policy.need_of_name(known),
        server: Some(query.resolver),
        flow: None,
        frames: std::slice::from_ref(&query.frame),
        time: query.time,
        ..documented(known)
    };
    let resolvers = &policy.resolvers;
    if !resolvers.is_empty() && !resolvers.contains(resolver) && !resolvers.contains(client) {
        let undeclared = Occurrence {
            references: "[dns]",
            documents: policy.site.file_name(),
            ..occurrence(FindingCode::UndeclaredResolver, FindingTarget::Address(resolver))
        };
        findings.add(&undeclared, || {
            let name = &known.name;
            if query.is_captured {
                format!("{client} queried {resolver} for {name}; the site file does not list it as a resolver")
            } else {
                format!(
                    "{resolver} sent {client} a response for {name}, and the capture has no query to it; the site file does not list it \
                     as a resolver"
                )
            }
        });
    }
    // Private endpoints are resolved by the client even where a proxy is declared.
    let may_be_private = known.class.can_be_private && !policy.private_networks.is_empty();
    let has_proxy = !policy.proxies.is_empty() && !policy.proxies.contains(client);
    // A web proxy carries TCP: a time server is reached without it.
    let is_carried = known
        .references
        .ids
        .iter()
        .any(|id| policy.rules.reference(*id).effective_ports().has_protocol(proto::TCP));
    if has_proxy && known.is_documented() && is_carried && !may_be_private {
        findings.add(
            &occurrence(FindingCode::DirectLookup, FindingTarget::Name(known.name.shared())),
            || {
                format!(
                    "{client} resolved {} itself; with the declared proxy, only the proxy needs to",
                    known.name
                )
            },
        );
    }
}

/// Reports an anomaly before the end of the interval.
pub(in crate::judge) fn announce(
    anomaly: &DnsAnomaly,
    place: &(FrameRef, Time),
    policy: &Policy,
    findings: &mut Findings,
) {
    findings.announce(&occurrence(anomaly, place, policy), || message(anomaly, policy));
}

/// Adds the anomalies that remain at the end.
pub(in crate::judge) fn add_anomalies(
    anomalies: &[DnsAnomaly],
    comparison: &ComparisonIndex<'_>,
    policy: &Policy,
    findings: &mut Findings,
) {
    for anomaly in anomalies {
        let other_name = other_name_that_works(anomaly.client, &anomaly.known.name, None, comparison, policy);
        for place in anomaly.occurrences() {
            let mut occurrence = occurrence(anomaly, place, policy);
            if other_name.is_some() {
                occurrence.at_most = Severity::Low;
                occurrence.recommendation = Some(
                    "none is needed while the other name works; a newer agent may need this one as well",
                );
            }
            findings.add(&occurrence, || match other_name {
                Some(name) => {
                    format!(
                        "{}; {name}, another documented name of the same endpoint, works",
                        message(anomaly, policy)
                    )
                }
                None => message(anomaly, policy),
            });
        }
    }
}

/// A name of the same required endpoint, such as an older one, that the client reached, on this port if there is one.
pub(in crate::judge) fn other_name_that_works<'a>(
    client: Address,
    name: &HostName,
    port: Option<u16>,
    comparison: &ComparisonIndex<'a>,
    policy: &Policy,
) -> Option<&'a Arc<HostName>> {
    let endpoints = |name: &HostName| -> Vec<u16> {
        // A wildcard row covers many endpoints.
        let names_it =
            |id: &ReferenceId| policy.rules.reference(*id).host.as_ref().is_some_and(|host| host.is_exact());
        let ids: Vec<ReferenceId> =
            policy.rules.match_host(name).iter().map(|found| found.id).filter(names_it).collect();
        policy.required.endpoints_of(&ids).collect()
    };
    let own = endpoints(name);
    if own.is_empty() {
        return None;
    }
    let is_other =
        |other: &HostName| *other != *name && endpoints(other).iter().any(|place| own.contains(place));
    comparison.find_worked_name(client, port, is_other)
}

/// Adds the names that were resolved and never connected to.
pub(in crate::judge) fn add_unused_names<'a>(
    names: impl IntoIterator<Item = UnusedName<'a>>,
    policy: &Policy,
    findings: &mut Findings,
) {
    let mechanism = Mechanism::ResolvedNeverConnected;
    for UnusedName { client, known, last, frame } in names {
        let occurrence = Occurrence {
            code: mechanism.finding(),
            mechanism: Some(mechanism),
            confidence: Some(Confidence::Weak),
            audited_host: Some(client),
            target: FindingTarget::Name(known.name.shared()),
            need: policy.need_of_name(known),
            server: None,
            flow: None,
            frames: std::slice::from_ref(&frame),
            time: last,
            ..documented(known)
        };
        findings.add(&occurrence, || {
            format!(
                "{client} resolved {} more than once and sent nothing to any of its addresses",
                known.name
            )
        });
    }
}

fn occurrence<'a>(
    anomaly: &'a DnsAnomaly,
    (frame, time): &'a (FrameRef, Time),
    policy: &Policy,
) -> Occurrence<'a> {
    Occurrence {
        code: anomaly.mechanism.finding(),
        mechanism: Some(anomaly.mechanism),
        confidence: Some(anomaly.confidence),
        audited_host: Some(anomaly.client),
        target: FindingTarget::Name(anomaly.known.name.shared()),
        need: policy.need_of_name(&anomaly.known),
        recommendation: match anomaly.known.class.is_not_of_site() {
            true => Some(NOT_OF_SITE),
            false => recommendation(anomaly),
        },
        at_most: highest_severity(anomaly),
        server: Some(anomaly.resolver),
        flow: None,
        frames: std::slice::from_ref(frame),
        time: *time,
        ..documented(&anomaly.known)
    }
}

/// An occurrence with nothing but the name's references.
fn documented(known: &KnownName) -> Occurrence<'_> {
    let documented = known.references.documented.as_deref();
    Occurrence {
        code: FindingCode::NameDoesNotExist,
        mechanism: None,
        confidence: None,
        audited_host: None,
        target: FindingTarget::Name(known.name.shared()),
        port: None,
        issuer: None,
        shared: None,
        need: Need::Documented,
        server: None,
        flow: None,
        proof: None,
        frames: &[],
        recommendation: None,
        at_most: Severity::High,
        may_pass: false,
        time: Time::MIN,
        references: documented.map_or("", |documented| &documented.references),
        documents: documented.map_or("", |documented| &documented.documents),
    }
}

/// What to do about an address of 100.64.0.0/10 in place of a public one.
pub(super) const SHARED_ADDRESS: &str = "look for a client of a zero-trust access service or a VPN on the server: such clients return addresses of this range in \
     place of the real ones, and this capture shows the inside of their tunnel. Exempt the documented names from it, or audit what \
     leaves the tunnel. If the site itself uses the range for private endpoints, declare it under [private-endpoints]";

/// The highest severity of a finding about a response. A client that gets no reply queries the next resolver; a response ends its
/// search.
fn highest_severity(anomaly: &DnsAnomaly) -> Severity {
    match anomaly.resolved_by {
        Some(ResolvedBy::OtherResolver { host, .. })
            if anomaly.mechanism == Mechanism::DnsNoAnswer && host == anomaly.client =>
        {
            Severity::Medium
        }
        _ if is_shared(anomaly) => Severity::Low,
        _ => Severity::High,
    }
}

/// Whether it is about a shared address (RFC 6598), which tunnels to services in the cloud give out in place of the public one.
fn is_shared(anomaly: &DnsAnomaly) -> bool {
    anomaly.mechanism == Mechanism::DnsPrivateAddress && anomaly.address.is_some_and(Address::is_shared)
}

/// The maker of the filter that gave the response, if the address or the alias shows it.
fn filter_vendor<'a>(anomaly: &DnsAnomaly, policy: &'a Policy) -> Option<&'a str> {
    let known = &policy.middleboxes;
    let by_address = anomaly.address.and_then(|address| known.sinkhole_vendor(address));
    by_address.or_else(|| known.sinkhole_vendor_of_alias(anomaly.alias.as_deref()?))
}

/// The alias in a private zone that does not exist.
fn missing_zone_record(anomaly: &DnsAnomaly) -> Option<&HostName> {
    let is_missing = matches!(anomaly.mechanism, Mechanism::DnsNxdomain | Mechanism::DnsEmpty);
    anomaly.alias.as_deref().filter(|alias| is_missing && in_private_zone(alias))
}

/// What to do, where the code's own recommendation is too general.
fn recommendation(anomaly: &DnsAnomaly) -> Option<&'static str> {
    if missing_zone_record(anomaly).is_some() {
        return Some(
            "add the record of the private endpoint to the private DNS zone; or, if this network has no private endpoint for the \
             name, remove the zone's link to it",
        );
    }
    if is_shared(anomaly) {
        return Some(SHARED_ADDRESS);
    }
    let is_silent = anomaly.mechanism == Mechanism::DnsNoAnswer;
    if is_silent && is_platform_address(anomaly.resolver.address) {
        return Some(
            "only virtual machines of the cloud can reach this resolver, and no firewall rule changes that: set the site's own resolvers on \
         the host, and let them forward the zones of private endpoints to a DNS server inside of the virtual network. If the host is \
         such a virtual machine, look at its own firewall and routes",
        );
    }
    match anomaly.resolved_by? {
        ResolvedBy::SameResolver { .. } if is_silent => {
            Some("compare the firewall rules and routes between each of the two servers and the resolver")
        }
        ResolvedBy::SameResolver { .. } => Some(
            "compare what the resolver is set to answer to each of the two servers: policies and views by client address, and negative \
             responses in its cache",
        ),
        ResolvedBy::OtherResolver { .. } if is_silent => Some(
            "check that this resolver runs, and that the firewall allows DNS to it, on UDP and TCP port 53; the other resolver answers, but \
             a client that asks this one first waits for a time-out with each name",
        ),
        ResolvedBy::OtherResolver { .. } => Some(
            "compare the two resolvers: their forwarders, zones and filters; until they agree, let the server query the one that knows \
             the name",
        ),
    }
}

fn message(anomaly: &DnsAnomaly, policy: &Policy) -> String {
    let mut message = response_text(anomaly, policy);
    if let Some(endpoints) = policy.carried_by(&anomaly.known) {
        let endpoints = counted(endpoints as u64, "required endpoint");
        message.push_str(&format!("; it is the site's Arc gateway, which carries {endpoints}"));
    }
    match anomaly.resolved_by {
        Some(ResolvedBy::SameResolver { host }) => {
            message.push_str(&format!("; the same resolver returned an address for it to {host}"));
        }
        Some(ResolvedBy::OtherResolver { resolver, host }) => {
            message.push_str(&format!("; {resolver} returned an address for it to {host}"));
        }
        None => {}
    }
    message
}

/// The query, and what the resolver answered.
fn response_text(anomaly: &DnsAnomaly, policy: &Policy) -> String {
    let DnsAnomaly { client, resolver, known, mechanism, .. } = anomaly;
    if let Some(alias) = missing_zone_record(anomaly) {
        let received = if *mechanism == Mechanism::DnsEmpty { "no address" } else { "NXDOMAIN" };
        return format!(
            "{client} queried {} for {}, an alias of {alias}, and received {received}: the private DNS zone has no record of this \
             name ({mechanism})",
            resolver.address, known.name
        );
    }
    let with_address = |text: &str| match anomaly.address {
        Some(address) => format!("{text}, {address}"),
        None => text.to_owned(),
    };
    let of_vendor = |text: &str| match filter_vendor(anomaly, policy) {
        Some(vendor) => with_address(&format!("{text} of {vendor}")),
        None => with_address(text),
    };
    let addressed;
    let what = match anomaly.mechanism {
        Mechanism::DnsNxdomain => "received NXDOMAIN: this resolver says that the name does not exist",
        Mechanism::DnsRefused => "was refused",
        Mechanism::DnsServfail => "received SERVFAIL: the resolver failed",
        Mechanism::DnsEmpty => "received a response without an address",
        Mechanism::DnsNoAnswer => "repeated the query without receiving a response",
        Mechanism::DnsSinkhole => {
            addressed = of_vendor("received a sinkhole address");
            &addressed
        }
        Mechanism::DnsBlockPage => {
            addressed = of_vendor("received the address of a block page");
            &addressed
        }
        Mechanism::DnsPrivateAddress if is_shared(anomaly) => {
            addressed = with_address("received an address of 100.64.0.0/10 (RFC 6598)");
            &addressed
        }
        Mechanism::DnsPrivateAddress => {
            addressed = with_address("received a private address without a private zone");
            &addressed
        }
        Mechanism::DnsBlockedByResolver => {
            "received an extended error: the resolver blocks or forges the name"
        }
        Mechanism::DnsTwoAnswers => "received two responses to one query, with different addresses",
        _ => "did not receive a usable response",
    };
    format!("{client} queried {} for {} and {what} ({mechanism})", resolver.address, known.name)
}

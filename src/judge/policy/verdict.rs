//! Compares one flow's destination and port with the documents and the site file.
//!
//! In:  the flow's name, server and roles.
//! Out: the verdicts on destination and port, and what they rest on.
//! Not: whether the flow succeeded.

use std::sync::Arc;

use jiff::civil::Date;

use super::Policy;
use super::name_table::KnownName;
use super::port_tables::RoleBits;
use super::port_tables::RolePort;
use super::service_tags::TagSet;
use crate::base::Address;
use crate::base::Time;
use crate::base::port;
use crate::base::proto;
use crate::judge::flow_state::FlowState;
use crate::judge::rows::Documented;
use crate::judge::vocabulary::AddressEvidence;
use crate::judge::vocabulary::DestinationVerdict;
use crate::judge::vocabulary::PortVerdict;
use crate::read::NameSource;
use crate::rules::Allow;
use crate::rules::ReferenceId;

/// What the documents and the site file say of a flow.
#[derive(Clone, Debug, Default)]
pub(in crate::judge) struct Verdict<'a> {
    pub(in crate::judge) destination: Option<DestinationVerdict>,
    pub(in crate::judge) port: Option<PortVerdict>,
    pub(in crate::judge) documented: Option<&'a Arc<Documented>>,
    /// The name that was judged.
    pub(in crate::judge) known: Option<&'a Arc<KnownName>>,
    /// The port that was judged: with a proxy, the port that was requested from it.
    pub(in crate::judge) requested_port: u16,
    /// The certificate's issuer is on no list of issuers.
    pub(in crate::judge) unknown_issuer: bool,
    /// A row names the destination, and none of its rows has a port other than 443.
    pub(in crate::judge) https_only: bool,
    /// The only row that allows it gives the port and no host.
    pub(in crate::judge) by_port_only: bool,
    /// The site's exception that allows it, by index.
    pub(in crate::judge) exception: Option<usize>,
    /// The site's expired exception that would have allowed it, by index.
    pub(in crate::judge) expired_exception: Option<usize>,
    /// The row of the port tables that has it, between two roles.
    pub(in crate::judge) role_row: Option<ReferenceId>,
    /// The role that a host must have for that row, where the site file declares no host of it.
    pub(in crate::judge) assumed_role: Option<(Address, &'static str)>,
    /// Between two declared roles, on a port that the port tables do not have.
    pub(in crate::judge) undocumented_role_port: Option<UndocumentedRolePort>,
    /// What the site file declares at the address, where nothing else is known of the flow; proxies in any case.
    pub(in crate::judge) declared: Option<DeclaredServer>,
    /// What the service tags say of the address.
    pub(in crate::judge) address_evidence: Option<AddressEvidence>,
}

/// What the site file declares at an address, or earlier traffic shows there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::judge) enum DeclaredServer {
    /// The proxy, on its port.
    Proxy,
    /// Nothing, but earlier requests to it as a proxy succeeded.
    UndeclaredProxy,
    /// A network of private endpoints, on TCP port 443.
    PrivateEndpoint,
    /// Nothing, but it is a resolver that sent the client a truncated response; DNS over TCP.
    Resolver,
}

/// Why a port between two roles is undocumented.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::judge) enum UndocumentedRolePort {
    /// The tables have it in the opposite direction only.
    OppositeDirection,
    /// The tables do not have it.
    NotInTables,
}

impl Verdict<'_> {
    /// The same where earlier requests to the server as a proxy succeeded.
    pub(in crate::judge) fn at_undeclared_proxy(self) -> Self {
        Verdict { declared: self.declared.or(Some(DeclaredServer::UndeclaredProxy)), ..self }
    }

    /// The same where the server sent the client a truncated response, which DNS over TCP completes.
    pub(in crate::judge) fn at_resolver(self) -> Self {
        Verdict { declared: self.declared.or(Some(DeclaredServer::Resolver)), ..self }
    }
}

/// The verdict on a flow that an audited host opened. Traffic inside the site gets a verdict only where a document or a port
/// table has it; multicast and broadcast never do.
pub(in crate::judge) fn verdict<'a>(
    flow: &'a FlowState,
    first_seen: Time,
    tags: Option<&'a TagSet>,
    policy: &'a Policy,
) -> Verdict<'a> {
    let server = flow.server();
    if server.address.is_group() {
        return Verdict::default();
    }
    let known = flow.name().map(|(known, _)| known);
    let requested_port = flow.requested_port();
    // A proxy inside the site is not the destination; an address inside that is requested from it is.
    let is_tunnelled = known.is_some() && flow.claim_from(NameSource::Connect).is_some();
    let is_inside = policy.is_inside(flow.requested_address()) && !is_tunnelled;
    let protocol = flow.flow_start.protocol;
    let mut verdict = Verdict { known, requested_port, ..Verdict::default() };
    match known {
        _ if is_inside && !known.is_some_and(|known| known.is_documented()) => {
            judge_role_port(flow, &mut verdict, policy);
            if verdict.destination.is_none() {
                verdict.declared = declared_server(flow, policy);
            }
        }
        Some(known) if known.is_documented() => {
            let references = &known.references;
            verdict.destination = Some(if references.broad {
                DestinationVerdict::DocumentedBroad
            } else {
                DestinationVerdict::Documented
            });
            verdict.port = Some(references.port_verdict(&policy.rules, protocol, requested_port));
            verdict.documented = references.documented_on(&policy.rules, protocol, requested_port);
            verdict.https_only = references.https_only;
        }
        Some(_) => {
            verdict.destination = Some(DestinationVerdict::Unexpected);
            verdict.port = Some(port_without_reference(protocol, requested_port));
        }
        None => {
            verdict.documented = tags.and_then(|tags| tags.documented.as_ref());
            verdict.destination = Some(match verdict.documented {
                Some(_) => DestinationVerdict::Documented,
                None => DestinationVerdict::Unidentified,
            });
            verdict.port = Some(port_without_reference(protocol, requested_port));
        }
    }
    if verdict.documented.is_none()
        && verdict.destination.is_some()
        && let Some(documented) = policy.row_without_host(protocol, requested_port)
    {
        // A row without a host allows its port to everywhere.
        verdict.destination = Some(DestinationVerdict::DocumentedBroad);
        verdict.by_port_only = true;
        verdict.port = Some(PortVerdict::Documented);
        verdict.documented = Some(documented);
    }
    if verdict.declared.is_none() && is_declared_proxy(flow, policy) {
        verdict.declared = Some(DeclaredServer::Proxy);
    }
    if verdict.destination.is_some() && !policy.site.allow.is_empty() {
        apply_exceptions(flow, &mut verdict, first_seen, policy);
    }
    verdict.address_evidence = address_evidence(flow, &verdict, tags, policy);
    verdict
}

/// Whether a flow that requests nothing from it goes to the declared proxy.
fn is_declared_proxy(flow: &FlowState, policy: &Policy) -> bool {
    let server = flow.server();
    flow.flow_start.protocol == proto::TCP
        && policy.site.proxies.contains(&(server.address, server.port))
        && !flow.is_proxied()
}

/// What the site file declares at the server of a flow inside the site.
fn declared_server(flow: &FlowState, policy: &Policy) -> Option<DeclaredServer> {
    let server = flow.server();
    if flow.flow_start.protocol != proto::TCP {
        return None;
    }
    let is_endpoint = server.port == port::HTTPS && policy.private_networks.contains(server.address);
    is_endpoint.then_some(DeclaredServer::PrivateEndpoint)
}

/// Judges a conversation between two declared roles by the port tables.
fn judge_role_port<'a>(flow: &FlowState, verdict: &mut Verdict<'a>, policy: &'a Policy) {
    let (client, server) = (flow.client(), flow.server());
    let roles = [client, server].map(|end| policy.port_tables.roles(end.address));
    let protocol = flow.flow_start.protocol;
    if roles.contains(&0) {
        // A conversation that began before the capture has no certain client.
        if flow.flow_start.from_start {
            judge_undeclared_role(flow, roles, verdict, policy);
        }
        return;
    }
    let Some(found) = policy.port_tables.find(roles, protocol, server.port, &policy.rules) else {
        // No table has rows between these roles: the client may have another one besides.
        let [_, server_roles] = roles;
        if flow.flow_start.from_start {
            judge_undeclared_role(flow, [0, server_roles], verdict, policy);
        }
        return;
    };
    let undocumented = match found {
        RolePort::Documented(row, documented) => {
            verdict.destination = Some(DestinationVerdict::Documented);
            verdict.port = Some(PortVerdict::Documented);
            verdict.documented = Some(documented);
            verdict.role_row = Some(row);
            return;
        }
        // In a conversation that began before the capture the client is a guess.
        RolePort::OppositeDirection if !flow.flow_start.from_start => return,
        RolePort::OppositeDirection => UndocumentedRolePort::OppositeDirection,
        // The site file itself asks for it.
        RolePort::Undocumented if server.port == port::DNS && policy.resolvers.contains(server.address) => {
            return;
        }
        RolePort::Undocumented => UndocumentedRolePort::NotInTables,
    };
    verdict.undocumented_role_port = Some(undocumented);
    verdict.destination = Some(DestinationVerdict::Unexpected);
    verdict.port = Some(PortVerdict::Not443);
}

/// Judges a conversation of which one host has a declared role: a row may give its port to a role that the site file declares for no
/// host.
fn judge_undeclared_role<'a>(
    flow: &FlowState,
    roles: [RoleBits; 2],
    verdict: &mut Verdict<'a>,
    policy: &'a Policy,
) {
    let (client, server) = (flow.client().address, flow.server());
    let tables = &policy.port_tables;
    let found = tables.find_undeclared(roles, flow.flow_start.protocol, server.port, &policy.rules);
    let Some((row, documented, role)) = found else { return };
    let [client_roles, _] = roles;
    verdict.destination = Some(DestinationVerdict::Documented);
    verdict.port = Some(PortVerdict::Documented);
    verdict.documented = Some(documented);
    verdict.role_row = Some(row);
    verdict.assumed_role = Some((if client_roles == 0 { client } else { server.address }, role));
}

/// Applies the first exception of the site that is in force.
fn apply_exceptions(flow: &FlowState, verdict: &mut Verdict<'_>, first_seen: Time, policy: &Policy) {
    let needs_exception = verdict.destination > Some(DestinationVerdict::Documented)
        || verdict.port == Some(PortVerdict::Not443)
        || verdict.known.is_some_and(|known| !known.class.exceptions.is_empty());
    if !needs_exception {
        return;
    }
    let name = verdict.known.map(|known| known.name.as_str());
    let (server, protocol) = (flow.server().address, flow.flow_start.protocol);
    let requested_port = verdict.requested_port;
    let applies = |allow: &Allow| allow.matches(name, server, protocol, requested_port);
    for (index, allow) in policy.site.allow.iter().enumerate().filter(|(_, allow)| applies(allow)) {
        if allow.expired(day(first_seen)) {
            verdict.expired_exception = Some(index);
            continue;
        }
        verdict.expired_exception = None;
        verdict.exception = Some(index);
        if verdict.destination > Some(DestinationVerdict::Documented) {
            verdict.destination = Some(DestinationVerdict::SiteApproved);
        }
        if verdict.port == Some(PortVerdict::Not443) {
            verdict.port = Some(PortVerdict::Documented);
        }
        verdict.undocumented_role_port = None;
        return;
    }
}

/// Without a row, only TCP port 443 is as the documents require.
const fn port_without_reference(protocol: u8, port: u16) -> PortVerdict {
    if protocol == proto::TCP && port == port::HTTPS { PortVerdict::Https } else { PortVerdict::Not443 }
}

/// What the service tags say of the address of a documented name.
fn address_evidence(
    flow: &FlowState,
    verdict: &Verdict<'_>,
    tags: Option<&TagSet>,
    policy: &Policy,
) -> Option<AddressEvidence> {
    let known = verdict.known.filter(|known| known.is_documented())?;
    let server = flow.server().address;
    let applies = policy.tags.is_some()
        && verdict.destination.is_some()
        && !server.is_private()
        && !policy.proxies.contains(server);
    applies.then_some(match tags {
        Some(tags) if tags.bits & known.class.tags != 0 => AddressEvidence::RowTag,
        Some(_) => AddressEvidence::OtherTag,
        None => AddressEvidence::NoTag,
    })
}

/// The day of a frame, UTC. Exceptions expire by the capture's time and never by the clock.
pub(in crate::judge) fn day(time: Time) -> Date {
    let stamp = jiff::Timestamp::from_second(time.secs()).unwrap_or_default();
    stamp.to_zoned(jiff::tz::TimeZone::UTC).date()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Address;
    use crate::base::FrameRef;
    use crate::base::HostName;
    use crate::flow::Endpoint;
    use crate::judge::flow_state::NameClaim;
    use crate::judge::policy::name_table::NameTable;
    use crate::judge::policy::service_tags::TagSets;
    use crate::judge::test_support;

    const DAY: i64 = 86_400 * 1_000_000_000;

    /// A flow of `10.1.0.4` to `server` that names `name` by `source`.
    fn flow(policy: &Policy, name: Option<(&str, NameSource)>, protocol: u8, server: &str) -> FlowState {
        let server: std::net::SocketAddr = server.parse().unwrap();
        let server = Endpoint { address: Address::from(server.ip()), port: server.port() };
        let client = Endpoint { address: Address::v4([10, 1, 0, 4]), port: 50_000 };
        let mut flow = test_support::flow_state(protocol, client, server);
        if let Some((name, source)) = name {
            let name = HostName::from_wire_text(name.as_bytes()).unwrap();
            let known = NameTable::new(usize::MAX).look_up(&name, policy);
            let port = (source == NameSource::Connect).then_some(443);
            flow.add_claim(NameClaim { source, known, port, frame: FrameRef::default() });
        }
        flow
    }

    fn check(site: &str, name: Option<(&str, NameSource)>, protocol: u8, server: &str, expected: &str) {
        let policy = Policy::for_tests(site);
        let flow = flow(&policy, name, protocol, server);
        let verdict = verdict(&flow, Time(20_000 * DAY), None, &policy);
        let destination = verdict.destination.map_or("none", DestinationVerdict::as_str);
        let port = verdict.port.map_or("none", PortVerdict::as_str);
        assert_eq!(format!("{destination} {port}"), expected, "{name:?} at {server}");
    }

    const SYNC: &str = "westus01.afs.azure.net";
    const PUBLIC: &str = "20.60.0.4:443";

    #[test]
    fn names_decide_about_public_destinations() {
        let sni = |name| Some((name, NameSource::Sni));
        check("", sni(SYNC), proto::TCP, PUBLIC, "documented 443");
        let sync_only = "[site]\nproducts = [\"azure-file-sync\"]";
        check(sync_only, sni("telemetry.one.microsoft.com"), proto::TCP, PUBLIC, "documented-broad 443");
        check("", sni("files.example"), proto::TCP, PUBLIC, "unexpected 443");
        check("", None, proto::TCP, PUBLIC, "unidentified 443");
        check("", None, proto::TCP, "224.0.0.251:443", "none none");
    }

    #[test]
    fn ports_are_judged_by_the_rows_of_the_name() {
        let sni = |name| Some((name, NameSource::Sni));
        check("", sni(SYNC), proto::TCP, "20.60.0.4:8443", "documented not-443");
        check("", sni(SYNC), proto::UDP, "20.60.0.4:443", "documented not-443");
        check("", sni("ocsp.msocsp.com"), proto::TCP, "20.60.0.4:80", "documented documented");
        check("", sni("ocsp.msocsp.com"), proto::TCP, "20.60.0.4:443", "documented 443");
        check("", sni("files.example"), proto::UDP, "20.60.0.4:443", "unexpected not-443");
        check("", sni("files.example"), proto::TCP, "20.60.0.4:22", "unexpected not-443");
    }

    #[test]
    fn a_proxy_is_judged_by_what_is_requested_from_it() {
        let connect = |name| Some((name, NameSource::Connect));
        check("", connect(SYNC), proto::TCP, "10.0.0.8:8080", "documented 443");
        check("", connect("files.example"), proto::TCP, "10.0.0.8:8080", "unexpected 443");
        check("", None, proto::TCP, "10.0.0.8:8080", "none none");
    }

    #[test]
    fn malformed_names_and_addresses_in_place_of_names_match_no_row() {
        let sni = |name| Some((name, NameSource::Sni));
        check("", sni("evil.example/.core.windows.net"), proto::TCP, PUBLIC, "unexpected 443");
        check("", sni("management.azure.com.."), proto::TCP, PUBLIC, "unexpected 443");
        check("", sni("*.core.windows.net"), proto::TCP, PUBLIC, "unexpected 443");
        check("", sni("20.60.0.4"), proto::TCP, PUBLIC, "unidentified 443");
        let connect = |name| Some((name, NameSource::Connect));
        check("", connect("20.60.0.4"), proto::TCP, "10.0.0.8:8080", "unidentified 443");
        check("", connect("10.9.0.1"), proto::TCP, "10.0.0.8:8080", "none none");
    }

    #[test]
    fn exceptions_apply_until_they_expire() {
        let site = |expires: &str| {
            format!("[[allow]]\nname = \"files.example\"\nreason = \"backup\"\nexpires = {expires}\n")
        };
        let name = Some(("files.example", NameSource::Sni));
        // The flow is of 2024-10-04.
        check(&site("2027-01-31"), name, proto::TCP, PUBLIC, "site-approved 443");
        check(&site("2020-01-31"), name, proto::TCP, PUBLIC, "unexpected 443");
        check(
            &site("2027-01-31"),
            Some(("b.example", NameSource::Sni)),
            proto::TCP,
            PUBLIC,
            "unexpected 443",
        );
    }

    #[test]
    fn an_expired_exception_beside_a_valid_one_is_not_reported() {
        let allow = |what: &str, expires: &str| {
            format!("[[allow]]\n{what}\nreason = \"backup\"\nexpires = {expires}\n")
        };
        let exceptions = |site: String| {
            let policy = Policy::for_tests(&site);
            let flow = flow(&policy, Some(("files.example", NameSource::Sni)), proto::TCP, PUBLIC);
            let verdict = verdict(&flow, Time(20_000 * DAY), None, &policy);
            (verdict.exception, verdict.expired_exception)
        };
        let (expired, valid) = (
            allow("name = \"files.example\"", "2020-01-31"),
            allow("network = \"20.60.0.0/24\"", "2027-01-31"),
        );
        assert_eq!(exceptions(format!("{expired}{valid}")), (Some(1), None));
        assert_eq!(exceptions(format!("{valid}{expired}")), (Some(0), None));
        assert_eq!(exceptions(expired), (None, Some(0)));
    }

    #[test]
    fn an_exception_also_allows_the_port_between_roles() {
        let site = |allow: &str| {
            format!(
                "[site]\nproducts = [\"azure-stack-hci\"]\n[roles]\nservers = [\"10.9.0.0/24\"]\n\
                 windows-admin-center = [\"10.1.0.4\"]\n{allow}"
            )
        };
        let found = |allow: &str| {
            let policy = Policy::for_tests(&site(allow));
            let flow = flow(&policy, None, proto::TCP, "10.9.0.1:3389");
            let verdict = verdict(&flow, Time(20_000 * DAY), None, &policy);
            (verdict.undocumented_role_port, verdict.destination, verdict.port)
        };
        use DestinationVerdict::*;
        let unexpected =
            (Some(UndocumentedRolePort::NotInTables), Some(Unexpected), Some(PortVerdict::Not443));
        assert_eq!(found(""), unexpected);
        let allow = "[[allow]]\nnetwork = \"10.9.0.0/24\"\nport = \"3389/tcp\"\nreason = \"support\"\nexpires = 2027-01-31\n";
        assert_eq!(found(allow), (None, Some(SiteApproved), Some(PortVerdict::Documented)));
    }

    #[test]
    fn only_a_flow_seen_from_its_start_is_in_the_opposite_direction() {
        let site = "[site]\nproducts = [\"azure-stack-hci\"]\n[roles]\nservers = [\"10.1.0.4\"]\n\
                    windows-admin-center = [\"10.9.0.1\"]\n";
        let policy = Policy::for_tests(site);
        let mut flow = flow(&policy, None, proto::TCP, "10.9.0.1:5985");
        let found = |flow: &FlowState| {
            let verdict = verdict(flow, Time(20_000 * DAY), None, &policy);
            (verdict.undocumented_role_port, verdict.destination, verdict.port)
        };
        let opposite = Some(UndocumentedRolePort::OppositeDirection);
        let unexpected = (opposite, Some(DestinationVerdict::Unexpected), Some(PortVerdict::Not443));
        assert_eq!(found(&flow), unexpected);
        flow.flow_start.from_start = false;
        assert_eq!(found(&flow), (None, None, None));
    }

    #[test]
    fn an_address_is_evidence_where_it_is_the_servers_own() {
        let tags = |site: &str| Policy {
            tags: Some(test_support::tags("Public").into()),
            ..Policy::for_tests(site)
        };
        let evidence = |policy: &Policy, server: &str| {
            let flow = flow(policy, Some((SYNC, NameSource::Sni)), proto::TCP, server);
            let tags = TagSets::default().of(flow.server().address, policy);
            verdict(&flow, Time(20_000 * DAY), tags.as_deref(), policy).address_evidence
        };
        let without_proxy = tags("");
        assert_eq!(evidence(&without_proxy, PUBLIC), Some(AddressEvidence::RowTag));
        assert_eq!(evidence(&without_proxy, "20.70.0.4:443"), Some(AddressEvidence::OtherTag));
        assert_eq!(evidence(&without_proxy, "203.0.113.9:443"), Some(AddressEvidence::NoTag));
        assert_eq!(evidence(&without_proxy, "10.9.0.1:443"), None);
        assert_eq!(evidence(&Policy::for_tests(""), PUBLIC), None);
        // A proxy's address says nothing of the name that is requested from it.
        assert_eq!(evidence(&tags("[proxy]\naddresses = [\"203.0.113.9:443\"]\n"), "203.0.113.9:443"), None);
    }

    #[test]
    fn roles_are_judged_by_the_port_tables() {
        let site = "[site]\nproducts = [\"azure-stack-hci\"]\n[roles]\nservers = [\"10.9.0.0/24\"]\n\
                    windows-admin-center = [\"10.1.0.4\"]\n";
        check(site, None, proto::TCP, "10.9.0.1:5985", "documented documented");
        check(site, None, proto::TCP, "10.9.0.1:3389", "unexpected not-443");
        check(site, None, proto::TCP, "10.8.0.1:3389", "none none");
    }
}

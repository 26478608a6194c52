//! Findings that need the whole run: blocked revocation hosts, exceptions of the site file.
//!
//! In:  what was observed until the end of the evidence.
//! Out: findings.
//! Not: DNS; see `finding::dns`.

use std::collections::BTreeMap;
use std::collections::BTreeSet;

use super::collector::FindingTarget;
use super::collector::Findings;
use super::collector::Occurrence;
use crate::base::Address;
use crate::base::FrameRef;
use crate::base::HostName;
use crate::base::Time;
use crate::base::TimeWindow;
use crate::judge::catalogue::FindingCode;
use crate::judge::catalogue::Mechanism;
use crate::judge::catalogue::StatementSubject;
use crate::judge::diagnosis::comparison::BlockedIpv6;
use crate::judge::diagnosis::comparison::ComparisonIndex;
use crate::judge::diagnosis::comparison::ComparisonResult;
use crate::judge::diagnosis::comparison::RECOMMENDATION_FOR_IPV6;
use crate::judge::diagnosis::revocation::BlockedPkiHost;
use crate::judge::policy::Policy;
use crate::judge::policy::name_table::ClientAnswer;
use crate::judge::policy::name_table::NameTable;
use crate::judge::policy::need::Need;
use crate::judge::policy::site::SiteProgress;
use crate::judge::policy::verdict::day;
use crate::judge::rows::SharedPath;
use crate::judge::text::counted;
use crate::judge::vocabulary::Confidence;
use crate::judge::vocabulary::Severity;
use crate::rules::ReferenceId;

/// Adds a finding for each client that reaches services and none of its revocation hosts.
pub(in crate::judge) fn add_blocked_revocation(
    blocked: &[(Address, Vec<BlockedPkiHost>)],
    findings: &mut Findings,
) {
    let mechanism = Mechanism::PkiBlocked;
    for (client, hosts) in blocked {
        let names = hosts.iter().map(|host| host.name.as_str()).collect::<Vec<_>>().join(", ");
        for host in hosts {
            let occurrence = Occurrence {
                code: mechanism.finding(),
                mechanism: Some(mechanism),
                // Several PKI hosts fail and nothing else does: not an accident.
                confidence: Some(if hosts.len() > 1 { Confidence::Strong } else { Confidence::Weak }),
                audited_host: Some(*client),
                target: FindingTarget::Text("PKI"),
                port: None,
                issuer: None,
                shared: None,
                need: Need::Required,
                server: None,
                flow: Some(host.flow),
                proof: None,
                frames: std::slice::from_ref(&host.frame),
                recommendation: None,
                at_most: Severity::High,
                may_pass: false,
                time: host.time,
                references: &host.documented.references,
                documents: &host.documented.documents,
            };
            findings.add(&occurrence, || {
                format!(
                    "{client} reaches services on port 443 and none of the certificate revocation (CRL/OCSP) hosts that it tried ({names})"
                )
            });
        }
    }
}

/// What to do where one host gets no reply over IPv6, and another does.
const COMPARE_HOSTS: &str = "compare the firewall rules and routes of the two hosts; capture on the host itself if its replies may be missing";

/// Adds a finding for each client and name that gets no reply over IPv6, and works over IPv4 or for another host.
pub(in crate::judge) fn add_blocked_ipv6(
    comparison: &ComparisonIndex<'_>,
    window: &TimeWindow,
    findings: &mut Findings,
) {
    for BlockedIpv6 { client, name, silent, works } in comparison.blocked_ipv6() {
        if !window.contains(silent.time) {
            continue;
        }
        let ipv4 = match works {
            ComparisonResult::WorksOverIpv4 { server } => Some(*server),
            _ => None,
        };
        let occurrence = Occurrence {
            code: FindingCode::ConnectionUnanswered,
            mechanism: Some(Mechanism::TcpUnanswered),
            confidence: Some(Confidence::Weak),
            audited_host: Some(*client),
            target: FindingTarget::Name(name),
            port: Some(silent.server.port),
            issuer: None,
            shared: ipv4.map(|_| SharedPath::Ipv6),
            need: Need::Documented,
            server: Some(silent.server),
            flow: Some(silent.flow),
            proof: None,
            frames: std::slice::from_ref(&silent.frame),
            recommendation: Some(if ipv4.is_some() { RECOMMENDATION_FOR_IPV6 } else { COMPARE_HOSTS }),
            // The name is reached, after a while; or the replies were not captured.
            at_most: Severity::Medium,
            may_pass: false,
            time: silent.time,
            references: &silent.documented.references,
            documents: &silent.documented.documents,
        };
        let attempts = counted(silent.count, "connection attempt");
        findings.add(&occurrence, || {
            let works = match ipv4 {
                Some(ipv4) => format!("over IPv4 it works at {ipv4}: IPv6 seems to be dropped"),
                None => format!("{works}: the rule for this host seems to be missing"),
            };
            format!(
                "{client} got no reply from {name} ({}) port {} over IPv6 ({attempts}); {works}, or the capture does not hold the packets \
                 to this host",
                silent.server.address, silent.server.port
            )
        });
    }
}

/// Adds a finding for each private address that DNS returned to a client for two names of a declared Storage Sync Service.
pub(in crate::judge) fn add_shared_endpoints(
    names: &NameTable,
    is_reported: impl Fn(Address, Time) -> bool,
    policy: &Policy,
    findings: &mut Findings,
) {
    if policy.site.sync_services.is_empty() {
        return;
    }
    // The last response for each name: an endpoint that was made anew may have the earlier address of another.
    let mut newest: BTreeMap<(Address, &HostName), (Time, Address, ReferenceId, &ClientAnswer)> =
        BTreeMap::new();
    // What a resolver or portal returns for every name is no endpoint.
    let mut of_others: BTreeSet<(Address, Address)> = BTreeSet::new();
    let answers = names.answers_by_address();
    for (client, address, answer) in answers.filter(|(client, _, answer)| is_reported(*client, answer.last)) {
        let is_private = address.is_private() || policy.private_networks.contains(address);
        match policy.row_of_sync_service(answer.dns.known()) {
            None => drop(of_others.insert((client, address))),
            Some(row) if is_private => {
                let response = (answer.last, address, row, answer);
                let known = newest.entry((client, &answer.dns.known().name)).or_insert(response);
                if (response.0, response.1) > (known.0, known.1) {
                    *known = response;
                }
            }
            Some(_) => {}
        }
    }
    let mut by_address: BTreeMap<(Address, Address), BTreeMap<ReferenceId, &ClientAnswer>> = BTreeMap::new();
    for ((client, _), (_, address, row, answer)) in newest {
        if !of_others.contains(&(client, address)) {
            by_address.entry((client, address)).or_default().entry(row).or_insert(answer);
        }
    }
    let cited = policy.statements(StatementSubject::PrivateLink, "").unwrap_or_default();
    for ((client, address), answers) in by_address.into_iter().filter(|(_, answers)| answers.len() > 1) {
        let listed = answers.values().map(|answer| answer.dns.known().name.as_str()).collect::<Vec<_>>();
        let frames: Vec<FrameRef> = answers.values().map(|answer| answer.dns.frame()).collect();
        let occurrence = Occurrence {
            code: FindingCode::SharedEndpointAddress,
            mechanism: None,
            confidence: None,
            audited_host: Some(client),
            target: FindingTarget::Address(address),
            port: None,
            issuer: None,
            shared: None,
            need: Need::Required,
            server: None,
            flow: None,
            proof: None,
            frames: &frames,
            recommendation: None,
            at_most: Severity::High,
            may_pass: false,
            time: answers.values().map(|answer| answer.last).min().unwrap_or_default(),
            references: &cited.references,
            documents: &cited.documents,
        };
        findings.add(&occurrence, || {
            format!(
                "DNS returned {address} to {client} for {}: each name of a Storage Sync Service has an address of its own",
                listed.join(" and ")
            )
        });
    }
}

/// Adds a finding for each exception of the site file that has expired or was not used.
pub(in crate::judge) fn add_exceptions(progress: &SiteProgress, policy: &Policy, findings: &mut Findings) {
    let (_, last) = progress.span.unwrap_or_default();
    for (allow, is_used) in policy.site.allow.iter().zip(&progress.used_exceptions) {
        let what = match (&allow.name, &allow.network) {
            (Some(name), Some(network)) => format!("{} in {network}", name.text),
            (Some(name), None) => name.text.to_string(),
            (None, network) => network.map(|network| network.to_string()).unwrap_or_default(),
        };
        let is_expired = progress.span.is_some() && allow.expired(day(last));
        let (code, message) = if is_expired {
            let use_of_it = if *is_used { "traffic still uses it" } else { "no traffic used it" };
            let message = format!("the exception for {what} expired on {}; {use_of_it}", allow.expires);
            (FindingCode::ExceptionExpired, message)
        } else if !is_used {
            let message = format!("the exception for {what} allowed no flow in this capture");
            (FindingCode::ExceptionUnused, message)
        } else {
            continue;
        };
        let line = format!("line {}", allow.line);
        let occurrence = Occurrence {
            code,
            mechanism: None,
            confidence: None,
            audited_host: None,
            target: FindingTarget::Text(&format!("[[allow]] {what}, {line}")),
            port: None,
            issuer: None,
            shared: None,
            need: Need::SiteApproved,
            server: None,
            flow: None,
            proof: None,
            frames: &[],
            recommendation: None,
            at_most: Severity::High,
            may_pass: false,
            time: last,
            references: &line,
            documents: policy.site.file_name(),
        };
        findings.add(&occurrence, || message);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::judge::test_support;

    const CLIENT: Address = Address::v4([10, 1, 0, 4]);

    /// The messages about responses for names of the sync service `contoso`, given by name, last byte of a private address and second.
    fn shared_endpoints(responses: &[(&str, u8, i64)]) -> Vec<String> {
        let policy = Policy::for_tests(
            "[site]\nproducts = [\"azure-file-sync\"]\n[azure-file-sync]\nregion = \"West Europe\"\nsync-services = [\"contoso\"]\n[private-endpoints]\nnetworks = [\"10.9.0.0/24\"]\n",
        );
        let mut names = NameTable::new(usize::MAX);
        for (name, last, second) in responses {
            let response = test_support::resolution(name, Some(0), &[Address::v4([10, 9, 0, *last])]);
            let at = (FrameRef::default(), Time(second * 1_000_000_000));
            names.add_response(CLIENT, &response, at, &policy);
        }
        let mut findings = Findings::new(9);
        add_shared_endpoints(&names, |_, _| true, &policy, &mut findings);
        findings.take_rows().iter().map(|row| row.message.clone()).collect()
    }

    #[test]
    fn two_names_of_a_sync_service_at_one_address_are_found() {
        let (one, two) =
            ("contosomanagement.westeurope.afs.azure.net", "contososyncp.westeurope.afs.azure.net");
        let none: [&str; 0] = [];
        let found = shared_endpoints(&[(two, 5, 1), (one, 5, 2)]);
        assert_eq!(found.len(), 1);
        assert!(found[0].contains(&format!("{one} and {two}")), "{found:?}");
        assert_eq!(shared_endpoints(&[(one, 5, 1), (two, 6, 2)]), none);
        let resolver = [(one, 5, 1), (two, 5, 2), ("login.microsoftonline.com", 5, 3)];
        assert_eq!(shared_endpoints(&resolver), none, "a resolver that returns one address for every name");
        let anew = [(one, 5, 1), (one, 6, 60), (two, 5, 61)];
        assert_eq!(shared_endpoints(&anew), none, "an endpoint that was made anew");
    }
}

//! Findings about DNS: what a query says about the site, and the anomalies of responses.
//!
//! In:  queries of audited hosts, anomalies and unused names from `diagnosis`.
//! Out: findings.
//! Not: how an anomaly is recognized.

use super::collector::Findings;
use super::collector::Occurrence;
use super::collector::Target;
use crate::base::FrameRef;
use crate::base::Time;
use crate::flow::Endpoint;
use crate::judge::catalogue::FindingCode;
use crate::judge::catalogue::Mechanism;
use crate::judge::diagnosis::dns_anomalies::DnsAnomaly;
use crate::judge::diagnosis::unused_answers::UnusedName;
use crate::judge::policy::Policy;
use crate::judge::policy::name_table::KnownName;
use crate::judge::policy::need::Need;
use crate::judge::vocabulary::Confidence;

/// A query to a resolver.
pub(in crate::judge) struct DnsQuery {
    pub(in crate::judge) client: Endpoint,
    pub(in crate::judge) resolver: Endpoint,
    pub(in crate::judge) frame: FrameRef,
    pub(in crate::judge) time: Time,
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
            ..occurrence(FindingCode::UndeclaredResolver, Target::Address(resolver))
        };
        findings.add(&undeclared, || {
            format!(
                "{client} queried {resolver} for {}; the site file does not list it as a resolver",
                known.name
            )
        });
    }
    // Private endpoints are resolved by the client even where a proxy is declared.
    let may_be_private = known.class.can_be_private && !policy.private_networks.is_empty();
    let has_proxy = !policy.proxies.is_empty() && !policy.proxies.contains(client);
    if has_proxy && known.is_documented() && !may_be_private {
        findings.add(&occurrence(FindingCode::DirectLookup, Target::Name(known.name.shared())), || {
            format!(
                "{client} resolved {} itself; with the declared proxy, only the proxy needs to",
                known.name
            )
        });
    }
}

/// Announces an anomaly that no later response clears.
pub(in crate::judge) fn announce(anomaly: &DnsAnomaly, policy: &Policy, findings: &mut Findings) {
    if let Some(first) = anomaly.occurrences().next() {
        findings.announce(&occurrence(anomaly, first, policy), || message(anomaly));
    }
}

/// Adds the anomalies that remain at the end.
pub(in crate::judge) fn add_anomalies(anomalies: &[DnsAnomaly], policy: &Policy, findings: &mut Findings) {
    for anomaly in anomalies {
        for place in anomaly.occurrences() {
            findings.add(&occurrence(anomaly, place, policy), || message(anomaly));
        }
    }
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
            target: Target::Name(known.name.shared()),
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
        target: Target::Name(anomaly.known.name.shared()),
        need: policy.need_of_name(&anomaly.known),
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
        target: Target::Name(known.name.shared()),
        port: None,
        need: Need::Documented,
        server: None,
        flow: None,
        frames: &[],
        time: Time::MIN,
        references: documented.map_or("", |documented| &documented.references),
        documents: documented.map_or("", |documented| &documented.documents),
    }
}

fn message(anomaly: &DnsAnomaly) -> String {
    let what = match anomaly.mechanism {
        Mechanism::DnsNxdomain => "received NXDOMAIN: the name does not exist",
        Mechanism::DnsRefused => "was refused",
        Mechanism::DnsServfail => "received SERVFAIL: the resolver failed",
        Mechanism::DnsEmpty => "received a response without an address",
        Mechanism::DnsNoAnswer => "repeated the query without receiving a response",
        Mechanism::DnsSinkhole => "received a sinkhole address",
        Mechanism::DnsBlockPage => "received the address of a block page",
        Mechanism::DnsPrivateAddress => "received a private address without a private zone",
        Mechanism::DnsBlockedByResolver => {
            "received an extended error: the resolver blocks or forges the name"
        }
        Mechanism::DnsTwoAnswers => "received two responses to one query, with different addresses",
        _ => "did not receive a usable response",
    };
    let DnsAnomaly { client, resolver, known, mechanism, .. } = anomaly;
    format!("{client} queried {} for {} and {what} ({mechanism})", resolver.address, known.name)
}

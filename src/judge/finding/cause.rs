//! Joins findings that have one cause: the finding that says the cause leads, and the others are its evidence.
//!
//! In:  all findings of the evidence, compared with what worked.
//! Out: the leading finding with the cause as its message, and its frames; the others name it as their cause.
//! Not: what one flow shows; a cause needs signs of several flows.

mod host;

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::collections::BTreeSet;

use super::collector::MAX_NAMED;
use crate::base::Address;
use crate::base::WireText;
use crate::flow::Endpoint;
use crate::judge::catalogue::FindingCode;
use crate::judge::catalogue::Mechanism;
use crate::judge::catalogue::Stops;
use crate::judge::rows::FindingRow;
use crate::judge::rows::SharedPath;
use crate::judge::vocabulary::Severity;

/// Names that a message lists.
const MAX_LISTED: usize = 5;

/// This many names of a client with an issuer that is on no list are TLS inspection.
const MIN_INSPECTED: usize = 2;

/// At least this many names of a client fail during the TLS handshake, at as many addresses, where a device filters TLS.
const MIN_FILTERED: usize = 3;
const MIN_FILTERED_ADDRESSES: usize = 2;

/// What begins and ends within this time of each other may have one cause.
const SAME_TIME_NANOS: u64 = 60_000_000_000;

/// What a captive portal does to connections until somebody has signed in.
const EFFECTS_OF_PORTAL: [FindingCode; 5] = [
    FindingCode::UnknownIssuer,
    FindingCode::CertificateRefusedByClient,
    FindingCode::HttpReplyToClientHello,
    FindingCode::BlockPage,
    FindingCode::Sinkhole,
];

/// Findings that one proxy or resolver causes for all names that a client requests from it.
const EFFECTS_OF_SERVER: [FindingCode; 9] = [
    FindingCode::ProxyRefused,
    FindingCode::ProxyAuthRequired,
    FindingCode::NameDoesNotExist,
    FindingCode::ResolverRefused,
    FindingCode::ResolverFailed,
    FindingCode::NoAddress,
    FindingCode::QueryUnanswered,
    FindingCode::Sinkhole,
    FindingCode::BlockedByResolver,
];

/// Rewrites the leading findings of known causes.
pub(super) fn explain<'a>(rows: impl Iterator<Item = &'a mut FindingRow>) {
    let mut by_client: BTreeMap<Address, Vec<&mut FindingRow>> = BTreeMap::new();
    for row in rows {
        if let Some(client) = row.audited_host {
            by_client.entry(client).or_default().push(row);
        }
    }
    for (client, rows) in &mut by_client {
        // The table of findings has no order.
        rows.sort_by(|a, b| (a.code, &a.target, a.first_seen).cmp(&(b.code, &b.target, b.first_seen)));
        explain_silent_proxy(rows);
        explain_bypass(rows);
        explain_revocation(rows);
        explain_portal(rows);
        explain_filtering_resolver(rows);
        explain_inspection(*client, rows);
        explain_old_tls(rows);
        explain_tls_filter(*client, rows);
        host::explain_host(*client, rows);
        explain_server(rows);
    }
}

/// Makes one finding the cause of others: it has their severity and their first frames.
fn lead(rows: &mut [&mut FindingRow], index: usize, is_evidence: impl Fn(&FindingRow) -> bool) {
    let places: Vec<usize> =
        rows.iter().enumerate().filter(|(_, row)| is_evidence(row)).map(|(place, _)| place).collect();
    lead_places(rows, index, &places);
}

/// The same, where the places of the others are known.
fn lead_places(rows: &mut [&mut FindingRow], index: usize, places: &[usize]) {
    let Some(code) = rows.get(index).map(|row| row.code) else { return };
    let (mut severity, mut frames) = (Severity::Info, Vec::new());
    for place in places.iter().filter(|place| **place != index) {
        if let Some(row) = rows.get_mut(*place).filter(|row| !row.is_cause && row.cause.is_none()) {
            row.cause = Some(code);
            severity = severity.max(row.severity);
            frames.extend(row.frames.iter().take(2).copied());
        }
    }
    let Some(lead) = rows.get_mut(index) else { return };
    lead.is_cause = true;
    lead.severity = lead.severity.max(severity);
    for frame in frames {
        if lead.frames.len() < MAX_NAMED && !lead.frames.contains(&frame) {
            lead.frames.push(frame);
        }
    }
}

/// Whether two findings rest on the same flow.
fn shares_flow(one: &FindingRow, other: &FindingRow) -> bool {
    one.flows.iter().any(|flow| other.flows.contains(flow))
}

/// The finding about revocation hosts has the finding about each of them as its evidence.
fn explain_revocation(rows: &mut [&mut FindingRow]) {
    let is_lead = |row: &FindingRow| row.code == FindingCode::RevocationHostsBlocked && row.cause.is_none();
    let Some(index) = rows.iter().position(|row| is_lead(row)) else { return };
    let Some(cause) = rows.get(index).map(|row| (**row).clone()) else { return };
    let is_evidence = |row: &FindingRow| row.mechanism.is_some() && shares_flow(&cause, row);
    // What answers instead of the hosts says more than that they are not reached.
    let says_who = |row: &&&mut FindingRow| {
        matches!(row.code, FindingCode::BlockPage | FindingCode::ProxyRefused)
            && row.cause.is_none()
            && is_evidence(row)
    };
    let answer = rows.iter().find(says_who).map(|row| (row.message.clone(), row.recommendation.clone()));
    lead(rows, index, is_evidence);
    if let (Some(lead), Some((message, recommendation))) = (rows.get_mut(index), answer) {
        lead.message.push_str(&format!("; {message}"));
        lead.recommendation = recommendation;
    }
}

/// A proxy that does not answer, and programs that then try without it.
fn explain_silent_proxy(rows: &mut [&mut FindingRow]) {
    let is_proxy = |row: &FindingRow| {
        row.shared == Some(SharedPath::ToProxy)
            && row.mechanism.is_some_and(|mechanism| mechanism.entry().stops == Stops::Attempt)
    };
    let Some(index) = rows.iter().position(|row| is_proxy(row)) else { return };
    let Some(silent_from) = rows.get(index).map(|row| row.first_seen) else { return };
    // Requests from another proxy are a matter of their own.
    let is_past_it = |row: &FindingRow| {
        row.code == FindingCode::ProxyBypassed
            && row.shared != Some(SharedPath::Proxy)
            && row.first_seen >= silent_from
    };
    let direct: BTreeSet<u64> =
        rows.iter().filter(|row| is_past_it(row)).flat_map(|row| row.flows.iter().copied()).collect();
    let targets: BTreeSet<String> =
        rows.iter().filter(|row| is_past_it(row)).map(|row| row.target.clone()).collect();
    if direct.is_empty() {
        return;
    }
    lead(rows, index, |row| match row.code {
        FindingCode::ProxyBypassed => is_past_it(row),
        FindingCode::DirectLookup => row.first_seen >= silent_from && targets.contains(&row.target),
        _ => {
            row.mechanism.is_some()
                && row.flows.iter().all(|flow| direct.contains(flow))
                && !row.flows.is_empty()
        }
    });
}

/// A program that ignores the proxy, and direct connections that the firewall drops: the setting is the fault.
fn explain_bypass(rows: &mut [&mut FindingRow]) {
    let bypassed = |row: &FindingRow| row.code == FindingCode::ProxyBypassed && row.need.is_ours();
    let direct: BTreeSet<u64> =
        rows.iter().filter(|row| bypassed(row)).flat_map(|row| row.flows.iter().copied()).collect();
    let is_blocked =
        |row: &FindingRow| row.mechanism.is_some() && row.flows.iter().any(|flow| direct.contains(flow));
    let blocked: BTreeSet<String> =
        rows.iter().filter(|row| is_blocked(row)).map(|row| row.target.clone()).collect();
    let leads = |row: &FindingRow| bypassed(row) && row.cause.is_none() && blocked.contains(&row.target);
    let Some(index) = rows.iter().position(|row| leads(row)) else { return };
    let others: BTreeSet<String> = rows
        .iter()
        .enumerate()
        .filter(|(place, row)| *place != index && leads(row))
        .map(|(_, row)| row.target.clone())
        .collect();
    let is_effect = |row: &FindingRow| {
        if row.code == FindingCode::RevocationHostsBlocked {
            return row.flows.iter().all(|flow| direct.contains(flow));
        }
        let is_of_it = match row.code {
            FindingCode::ProxyBypassed | FindingCode::DirectLookup => true,
            FindingCode::ConnectionUnanswered | FindingCode::ConnectionRefused => {
                row.mechanism.is_some() && row.name.is_some()
            }
            _ => false,
        };
        is_of_it && blocked.contains(&row.target)
    };
    lead(rows, index, is_effect);
    add_others(rows, index, &others);
}

/// A client that offers no version or cipher suite that the services accept: that its handshakes fail is the effect.
fn explain_old_tls(rows: &mut [&mut FindingRow]) {
    let is_lead = |row: &FindingRow| {
        matches!(row.code, FindingCode::ClientTlsTooOld | FindingCode::NoAcceptedCipherSuite)
            && row.need.is_ours()
            && row.cause.is_none()
    };
    let leads: Vec<usize> =
        (0..rows.len()).filter(|place| rows.get(*place).is_some_and(|row| is_lead(row))).collect();
    for index in leads {
        let Some(cause) = rows.get(index).map(|row| (**row).clone()) else { continue };
        let is_effect = |row: &FindingRow| {
            let is_refusal = row.code == FindingCode::TlsRefusedByServer
                || matches!(
                    row.mechanism,
                    Some(Mechanism::ResetAfterClientHello | Mechanism::ClosedAfterClientHello)
                );
            is_refusal && shares_flow(&cause, row)
        };
        if rows.iter().any(|row| row.cause.is_none() && is_effect(row)) {
            lead(rows, index, is_effect);
        }
    }
}

/// A captive portal intercepts everything.
fn explain_portal(rows: &mut [&mut FindingRow]) {
    let Some(index) = rows.iter().position(|row| row.code == FindingCode::CaptivePortal) else { return };
    lead(rows, index, |row| EFFECTS_OF_PORTAL.contains(&row.code));
}

/// A resolver that returns the address of a sinkhole or block page: what happens to connections to the name is the effect.
fn explain_filtering_resolver(rows: &mut [&mut FindingRow]) {
    let is_lead = |row: &FindingRow| matches!(row.code, FindingCode::Sinkhole | FindingCode::DnsBlockPage);
    if !rows.iter().any(|row| is_lead(row)) {
        return;
    }
    let is_effect = |row: &FindingRow| {
        let is_of_connection = row.code == FindingCode::UnknownIssuer
            || row.mechanism.is_some_and(|mechanism| mechanism.entry().stops != Stops::Name);
        is_of_connection && row.shared.is_none() && row.cause.is_none()
    };
    let (mut leads, mut effects) = (Vec::new(), BTreeMap::<String, Vec<usize>>::new());
    for (place, row) in rows.iter().enumerate() {
        if is_lead(row) && row.cause.is_none() {
            leads.push((place, row.target.clone()));
        } else if is_effect(row) {
            effects.entry(row.target.clone()).or_default().push(place);
        }
    }
    for (index, target) in leads {
        if let Some(places) = effects.remove(&target) {
            lead_places(rows, index, &places);
        }
    }
}

/// `; the same with a, b and 3 more`.
fn add_others(rows: &mut [&mut FindingRow], index: usize, others: &BTreeSet<String>) {
    if let Some(row) = rows.get_mut(index).filter(|_| !others.is_empty()) {
        row.message.push_str(&format!("; the same with {}", listed(others)));
    }
}

/// One proxy or resolver that fails for several names, IPv6 that is dropped for several, or a client of which nothing works.
fn explain_server(rows: &mut [&mut FindingRow]) {
    type Group = (FindingCode, Option<Mechanism>, Option<Endpoint>, Severity, String);
    let mut groups: BTreeMap<Group, Vec<usize>> = BTreeMap::new();
    for (index, row) in rows.iter().enumerate() {
        let is_unanswered_by_proxy =
            row.shared == Some(SharedPath::Proxy) && row.code == FindingCode::ConnectionUnanswered;
        // Whatever the server.
        let is_on_path = matches!(
            row.shared,
            Some(
                SharedPath::Ipv6
                    | SharedPath::Everything
                    | SharedPath::Time
                    | SharedPath::Trust
                    | SharedPath::PrivateEndpoints
            )
        );
        let is_effect = is_on_path || is_unanswered_by_proxy || EFFECTS_OF_SERVER.contains(&row.code);
        if is_effect && row.need.is_ours() && row.mechanism.is_some() && !row.is_cause && row.cause.is_none()
        {
            let server = row.server.filter(|_| !is_on_path);
            let key = (row.code, row.mechanism, server, row.severity, row.recommendation.to_string());
            groups.entry(key).or_default().push(index);
        }
    }
    for mut places in groups.into_values().filter(|places| places.len() > 1) {
        // What is needed most leads, and of several what failed first.
        places.sort_by_key(|place| rows.get(*place).map(|row| (row.need, row.first_seen)));
        let earliest = places.first().and_then(|place| rows.get(*place)).map(|row| (**row).clone());
        let is_near = |place: &usize| {
            let row = rows.get(*place);
            earliest.as_ref().zip(row).is_some_and(|(earliest, row)| is_at_same_time(earliest, row))
        };
        places.retain(is_near);
        let Some((first, further)) = places.split_first().filter(|(_, further)| !further.is_empty()) else {
            continue;
        };
        let others: BTreeSet<String> =
            further.iter().filter_map(|place| rows.get(*place)).map(|row| row.target.clone()).collect();
        let target_of = |row: &FindingRow| others.contains(&row.target);
        let Some(key) = rows.get(*first).map(|row| (row.code, row.mechanism, row.recommendation.clone()))
        else {
            continue;
        };
        lead(rows, *first, |row| {
            target_of(row) && (row.code, row.mechanism, row.recommendation.clone()) == key
        });
        add_others(rows, *first, &others);
    }
}

/// Whether two findings may have one cause: what changes at one time has.
fn is_at_same_time(one: &FindingRow, other: &FindingRow) -> bool {
    one.shared != Some(SharedPath::Time)
        || (other.first_seen.since(one.last_seen) <= SAME_TIME_NANOS
            && one.first_seen.since(other.last_seen) <= SAME_TIME_NANOS)
}

/// Certificates of an issuer that is on no list, for several names or with a client that rejects them.
fn explain_inspection(client: Address, rows: &mut [&mut FindingRow]) {
    let targets = |is_it: &dyn Fn(&FindingRow) -> bool| -> BTreeSet<String> {
        rows.iter().filter(|row| is_it(row)).map(|row| row.target.clone()).collect()
    };
    let by_issuer = |issuer: &WireText| {
        targets(&|row: &FindingRow| {
            row.code == FindingCode::UnknownIssuer && row.issuer.as_ref() == Some(issuer)
        })
    };
    // One middlebox signs with one authority.
    let issuers: BTreeSet<&WireText> = rows.iter().filter_map(|row| row.issuer.as_ref()).collect();
    let most = issuers.into_iter().map(|issuer| (by_issuer(issuer), issuer.clone()));
    let Some((inspected, issuer)) = most.max_by_key(|(names, issuer)| (names.len(), Reverse(issuer.clone())))
    else {
        return;
    };
    let rejected = targets(&|row: &FindingRow| row.code == FindingCode::CertificateRefusedByClient);
    if inspected.len() < MIN_INSPECTED && rejected.is_empty() {
        return;
    }
    let is_inspected = |row: &FindingRow| row.issuer.as_ref() == Some(&issuer);
    let is_lead = |row: &FindingRow| is_inspected(row) && row.cause.is_none();
    let Some(index) = rows.iter().position(|row| is_lead(row)) else { return };
    lead(rows, index, |row| is_inspected(row) || row.code == FindingCode::CertificateRefusedByClient);
    let mut message = format!(
        "a middlebox seems to inspect the TLS connections of {client}: {} presented certificates issued by {issuer}, which is not on the list of \
         known issuers",
        listed(&inspected)
    );
    let mut servers = rows.iter().filter(|row| is_inspected(row)).map(|row| row.server);
    if let Some(Some(Endpoint { address, port })) = servers.next()
        && inspected.len() > 1
        && servers.all(|server| server == Some(Endpoint { address, port }))
    {
        message.push_str(&format!("; all of them at {address} port {port}"));
    }
    if !rejected.is_empty() {
        message.push_str(&format!("; {client} rejected the certificate of {}", listed(&rejected)));
    }
    if let Some(row) = rows.get_mut(index) {
        row.message = message;
    }
}

/// TCP connects, and the TLS handshakes of many names fail, at several addresses.
fn explain_tls_filter(client: Address, rows: &mut [&mut FindingRow]) {
    let failed: Vec<usize> =
        (0..rows.len()).filter(|index| rows.get(*index).is_some_and(|row| fails_in_tls(row))).collect();
    let of = |index: &usize| rows.get(*index);
    let names: BTreeSet<String> = failed.iter().filter_map(of).map(|row| row.target.clone()).collect();
    let addresses: BTreeSet<Address> =
        failed.iter().filter_map(of).filter_map(|row| row.server).map(|server| server.address).collect();
    let mechanisms: BTreeSet<&str> =
        failed.iter().filter_map(of).filter_map(|row| row.mechanism).map(Mechanism::as_str).collect();
    // Servers send alerts for reasons of their own, such as cipher suites that the client lacks: alike for all names.
    let only_alerts = failed.iter().filter_map(of).all(|row| row.code == FindingCode::TlsRefusedByServer);
    if names.len() < MIN_FILTERED
        || addresses.len() < MIN_FILTERED_ADDRESSES
        || (only_alerts && mechanisms.len() < 2)
    {
        return;
    }
    let Some(index) = failed.first().copied() else { return };
    lead(rows, index, fails_in_tls);
    let Some(lead) = rows.get_mut(index) else { return };
    lead.title = "TLS handshakes to several documented names fail on the path";
    lead.message = format!(
        "a middlebox seems to filter or inspect the TLS connections of {client}: TCP connects, and the handshakes with {} at {} addresses fail ({})",
        listed(&names),
        addresses.len(),
        mechanisms.into_iter().collect::<Vec<_>>().join(", ")
    );
    lead.recommendation =
        "find the device on the path that inspects TLS or filters by application, and exempt these names"
            .into();
}

/// Whether a finding says that a TLS handshake to a needed name failed, but not for what the client offered.
fn fails_in_tls(row: &FindingRow) -> bool {
    let is_of_path = match row.mechanism {
        Some(Mechanism::TlsVersionRefused | Mechanism::TlsCipherRefused) | None => false,
        // Silence after a ClientHello has other causes, such as a path that drops large packets.
        Some(mechanism) => {
            row.code == FindingCode::TlsRefusedByServer
                || matches!(
                    mechanism,
                    Mechanism::ResetAfterClientHello
                        | Mechanism::ClosedAfterClientHello
                        | Mechanism::ResetAfterCertificate
                        | Mechanism::ClosedAfterCertificate
                )
        }
    };
    is_of_path && row.need.is_ours() && row.name.is_some() && row.cause.is_none()
}

/// `a, b and 3 more`.
fn listed(names: &BTreeSet<String>) -> String {
    let shown: Vec<&str> = names.iter().take(MAX_LISTED).map(String::as_str).collect();
    match names.len() - shown.len() {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::base::HostName;
    use crate::base::Time;
    use crate::flow::Endpoint;
    use crate::judge::policy::need::Need;
    use crate::judge::vocabulary::Severity;

    const CLIENT: Address = Address(1);

    fn row(code: FindingCode, mechanism: Option<Mechanism>, name: &str, server: u128) -> FindingRow {
        FindingRow {
            code,
            mechanism,
            title: code.entry().title,
            severity: Severity::High,
            is_cause: false,
            cause: None,
            issuer: None,
            shared: None,
            may_pass: false,
            worked_later: false,
            need: Need::Documented,
            confidence: None,
            audited_host: Some(CLIENT),
            target: name.into(),
            name: Some(Arc::new(HostName::from_wire_text(name.as_bytes()).unwrap())),
            server: Some(Endpoint { address: Address(server), port: 443 }),
            message: "message".into(),
            count: 1,
            first_seen: Time(0),
            last_seen: Time(0),
            flows: Default::default(),
            frames: Default::default(),
            references: "".into(),
            documents: "".into(),
            recommendation: "".into(),
        }
    }

    /// The messages of the leading findings.
    fn leading(mut rows: Vec<FindingRow>) -> Vec<String> {
        explain(rows.iter_mut());
        rows.into_iter().filter(|row| row.is_cause).map(|row| row.message).collect()
    }

    #[test]
    fn tls_inspection_needs_two_names_or_a_client_that_rejects() {
        let signed = |name, issuer: &str| {
            let issuer = Some(WireText::new(issuer.as_bytes(), 99));
            FindingRow { issuer, ..row(FindingCode::UnknownIssuer, None, name, 9) }
        };
        let issuer = |name| signed(name, "CN=Inspection");
        let rejected = |name| {
            let mechanism = Mechanism::TlsClientGaveUpOnCertificate;
            row(FindingCode::CertificateRefusedByClient, Some(mechanism), name, 9)
        };
        assert!(leading(vec![issuer("a.example")]).is_empty());
        assert!(leading(vec![rejected("a.example")]).is_empty());
        assert!(leading(vec![issuer("a.example"), signed("b.example", "CN=b.example")]).is_empty());
        let found = leading(vec![issuer("b.example"), issuer("a.example")]);
        assert!(found[0].contains("inspect the TLS connections of"), "{found:?}");
        assert!(found[0].contains("a.example, b.example"), "{found:?}");
        let found = leading(vec![issuer("a.example"), rejected("c.example")]);
        assert!(found[0].ends_with("rejected the certificate of c.example"), "{found:?}");
    }

    /// What the findings name as their cause, in order of code and target.
    fn causes(mut rows: Vec<FindingRow>) -> Vec<String> {
        explain(rows.iter_mut());
        let cause = |row: &FindingRow| row.cause.map_or("-", FindingCode::as_str).to_owned();
        rows.iter().map(cause).collect()
    }

    #[test]
    fn findings_of_one_flow_are_evidence_of_the_blocked_revocation_hosts() {
        let of_flow = |code, name, flow| FindingRow {
            flows: [flow].into_iter().collect(),
            ..row(code, Some(Mechanism::TcpUnanswered), name, 9)
        };
        let hosts = of_flow(FindingCode::RevocationHostsBlocked, "PKI", 1);
        let blocked = of_flow(FindingCode::ConnectionUnanswered, "crl.example", 1);
        let other = of_flow(FindingCode::ConnectionUnanswered, "sync.example", 2);
        assert_eq!(causes(vec![hosts, blocked, other]), ["-", "AFS209", "-"]);
    }

    #[test]
    fn a_program_that_ignores_the_proxy_is_the_cause_of_its_blocked_connections() {
        let bypass = |need| {
            let direct = row(FindingCode::ProxyBypassed, None, "sync.example", 9);
            FindingRow { need, severity: Severity::Medium, flows: [1].into_iter().collect(), ..direct }
        };
        let dropped = FindingRow {
            flows: [1].into_iter().collect(),
            ..row(FindingCode::ConnectionUnanswered, Some(Mechanism::TcpUnanswered), "sync.example", 9)
        };
        let mut rows = [bypass(Need::Required), dropped.clone()];
        explain(rows.iter_mut());
        assert!(rows[0].is_cause && rows[0].severity == Severity::High);
        assert_eq!(rows[1].cause, Some(FindingCode::ProxyBypassed));
        assert_eq!(causes(vec![bypass(Need::Undocumented), dropped]), ["-", "-"]);
    }

    #[test]
    fn a_proxy_that_does_not_answer_is_the_cause_of_attempts_without_it() {
        let of_flow = |code, mechanism, name, flow| FindingRow {
            flows: [flow].into_iter().collect(),
            ..row(code, mechanism, name, 9)
        };
        let silent = Some(Mechanism::TcpUnanswered);
        let of_proxy = of_flow(FindingCode::ConnectionUnanswered, silent, "10.0.0.8", 1);
        let proxy = |second: i64| FindingRow {
            shared: Some(SharedPath::ToProxy),
            first_seen: Time(second * 1_000_000_000),
            ..of_proxy.clone()
        };
        let bypass = of_flow(FindingCode::ProxyBypassed, None, "sync.example", 2);
        let blocked = of_flow(FindingCode::ConnectionUnanswered, silent, "sync.example", 2);
        let found = causes(vec![bypass.clone(), blocked.clone(), proxy(0)]);
        assert_eq!(found, ["AFS202", "AFS202", "-"]);
        let found = causes(vec![bypass, blocked, proxy(5)]);
        assert_eq!(found, ["-", "AFS421", "-"], "it fell silent later");
    }

    #[test]
    fn revocation_hosts_that_are_contacted_past_the_proxy_are_evidence_of_that() {
        let of_flow = |code, mechanism, name, flow| FindingRow {
            flows: [flow].into_iter().collect(),
            ..row(code, mechanism, name, 9)
        };
        let silent = Some(Mechanism::TcpUnanswered);
        let bypass = of_flow(FindingCode::ProxyBypassed, None, "crl.example", 1);
        let blocked = of_flow(FindingCode::ConnectionUnanswered, silent, "crl.example", 1);
        let hosts =
            |flow| of_flow(FindingCode::RevocationHostsBlocked, Some(Mechanism::PkiBlocked), "PKI", flow);
        let found = causes(vec![blocked.clone(), hosts(1), bypass.clone()]);
        assert_eq!(found, ["AFS421", "AFS421", "-"]);
        let found = causes(vec![blocked, hosts(2), bypass]);
        assert_eq!(found, ["AFS421", "-", "-"], "through the proxy, and refused there");
    }

    #[test]
    fn one_server_that_fails_for_several_names_is_one_cause() {
        let refused =
            |name, server| row(FindingCode::ProxyRefused, Some(Mechanism::ProxyRefused), name, server);
        let mut rows = [refused("a.example", 8), refused("b.example", 8), refused("c.example", 7)];
        explain(rows.iter_mut());
        assert_eq!(rows[0].message, "message; the same with b.example");
        assert_eq!(rows.iter().map(|row| row.cause.is_some()).collect::<Vec<_>>(), [false, true, false]);
        let other_mechanism = row(FindingCode::ProxyRefused, None, "d.example", 8);
        assert_eq!(causes(vec![refused("a.example", 8), other_mechanism]), ["-", "-"]);
    }

    #[test]
    fn a_proxy_that_is_silent_for_several_names_is_one_cause() {
        let silent = |name, shared| FindingRow {
            shared,
            ..row(FindingCode::ConnectionUnanswered, Some(Mechanism::SilentAfterData), name, 8)
        };
        let all = |shared| leading(vec![silent("a.example", shared), silent("b.example", shared)]);
        assert_eq!(all(Some(SharedPath::Proxy)), ["message; the same with b.example"]);
        assert!(all(None).is_empty());
        let over_ipv6 = |name, server| FindingRow {
            shared: Some(SharedPath::Ipv6),
            ..row(FindingCode::ConnectionUnanswered, Some(Mechanism::TcpUnanswered), name, server)
        };
        let found = leading(vec![over_ipv6("a.example", 8), over_ipv6("b.example", 9)]);
        assert_eq!(found, ["message; the same with b.example"], "whatever the address");
        let stopped = |name, second: i64| {
            let (first_seen, shared) = (Time(second * 1_000_000_000), Some(SharedPath::Time));
            FindingRow { first_seen, last_seen: first_seen, shared, ..silent(name, shared) }
        };
        let found =
            leading(vec![stopped("b.example", 9), stopped("a.example", 10), stopped("c.example", 900)]);
        assert_eq!(found, ["message; the same with a.example"], "at one time");
    }

    #[test]
    fn a_client_without_accepted_versions_is_the_cause_of_its_refused_handshakes() {
        let of_flow = |code, mechanism, flow| FindingRow {
            flows: [flow].into_iter().collect(),
            ..row(code, mechanism, "sync.example", 9)
        };
        let old = of_flow(FindingCode::ClientTlsTooOld, None, 1);
        let refused =
            |flow| of_flow(FindingCode::TlsRefusedByServer, Some(Mechanism::TlsVersionRefused), flow);
        assert_eq!(causes(vec![old.clone(), refused(1), refused(2)]), ["-", "AFS110", "-"]);
        assert_eq!(causes(vec![old]), ["-"]);
    }

    #[test]
    fn a_tls_filter_needs_three_names_at_two_addresses() {
        let reset = |name, server| {
            row(FindingCode::ConnectionReset, Some(Mechanism::ResetAfterClientHello), name, server)
        };
        assert!(leading(vec![reset("a.example", 7), reset("b.example", 8)]).is_empty());
        let one_address = ["a.example", "b.example", "c.example"].map(|name| reset(name, 7));
        assert!(leading(one_address.into()).is_empty(), "the server may be down");
        let found = leading(vec![reset("a.example", 7), reset("b.example", 8), reset("c.example", 8)]);
        assert!(found[0].contains("a.example, b.example, c.example at 2 addresses"), "{found:?}");
    }

    #[test]
    fn the_same_alert_of_many_servers_may_be_about_the_client() {
        let alert = |name, server| {
            let mechanism = Mechanism::TlsAlertHandshakeFailure;
            row(FindingCode::TlsRefusedByServer, Some(mechanism), name, server)
        };
        let alerts = [alert("a.example", 7), alert("b.example", 8), alert("c.example", 9)];
        assert!(leading(alerts.to_vec()).is_empty());
        let reset = row(FindingCode::ConnectionReset, Some(Mechanism::ResetAfterClientHello), "d.example", 6);
        assert_eq!(leading(alerts.into_iter().chain([reset]).collect()).len(), 1);
    }
}

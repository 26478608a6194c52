//! Joins findings that have one cause: the finding that says the cause leads, and the others are its evidence.
//!
//! In:  all findings of the evidence, compared with what worked.
//! Out: the leading finding with the cause as its message.
//! Not: what one flow shows; a cause needs signs of several flows.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::collections::BTreeSet;

use crate::base::Address;
use crate::base::WireText;
use crate::judge::catalogue::FindingCode;
use crate::judge::catalogue::Mechanism;
use crate::judge::rows::FindingRow;

/// Names that a message lists.
const MAX_LISTED: usize = 5;

/// So many names of a client with an issuer that is on no list are TLS inspection.
const MIN_INSPECTED: usize = 2;

/// So many names of a client must fail during the TLS handshake, at so many addresses, for a device that filters TLS.
const MIN_FILTERED: usize = 3;
const MIN_FILTERED_ADDRESSES: usize = 2;

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
        explain_inspection(*client, rows);
        explain_tls_filter(*client, rows);
    }
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
    let Some(lead) = rows.iter_mut().find(|row| row.issuer.as_ref() == Some(&issuer)) else { return };
    lead.is_cause = true;
    let mut message = format!(
        "a middlebox seems to inspect the TLS of {client}: {} presented certificates issued by {issuer}, which is not on the list of \
         known issuers",
        listed(&inspected)
    );
    if !rejected.is_empty() {
        message.push_str(&format!("; {client} rejected the certificate of {}", listed(&rejected)));
    }
    lead.message = message;
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
    let Some(lead) = failed.first().and_then(|index| rows.get_mut(*index)) else { return };
    lead.is_cause = true;
    lead.title = "TLS handshakes to several documented names fail on the path";
    lead.message = format!(
        "a middlebox seems to filter or open the TLS of {client}: TCP connects, and the handshakes with {} at {} addresses fail ({})",
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
                || matches!(mechanism, Mechanism::ResetAfterClientHello | Mechanism::ClosedAfterClientHello)
        }
    };
    is_of_path && row.need.is_ours() && row.name.is_some()
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
            issuer: None,
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
        assert!(found[0].contains("inspect the TLS of"), "{found:?}");
        assert!(found[0].contains("a.example, b.example"), "{found:?}");
        let found = leading(vec![issuer("a.example"), rejected("c.example")]);
        assert!(found[0].ends_with("rejected the certificate of c.example"), "{found:?}");
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

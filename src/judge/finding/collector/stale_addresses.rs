//! Adds to blocked names and addresses that DNS returns another address.
//!
//! In:  findings, the DNS responses of the capture, and what worked.
//! Out: a clause of the message, and what to do.
//! Not: when an address is old; see `diagnosis::stale_address`.

use std::sync::Arc;

use hashbrown::HashMap;
use hashbrown::HashSet;

use super::FindingKey;
use super::Findings;
use crate::base::Address;
use crate::base::HostName;
use crate::base::Time;
use crate::flow::Endpoint;
use crate::judge::catalogue::FindingCode;
use crate::judge::diagnosis::comparison::ComparisonIndex;
use crate::judge::diagnosis::stale_address::Questioned;
use crate::judge::diagnosis::stale_address::ReturnedAddresses;
use crate::judge::diagnosis::stale_address::StaleAddress;
use crate::judge::policy::name_table::KnownName;
use crate::judge::policy::name_table::NameTable;
use crate::judge::rows::FindingRow;

/// Findings about a connection that got no further than its address and TLS.
const STOPPED_AT_ADDRESS: [FindingCode; 6] = [
    FindingCode::ConnectionRefused,
    FindingCode::ConnectionUnanswered,
    FindingCode::ConnectionReset,
    FindingCode::InjectedReset,
    FindingCode::TlsRefusedByServer,
    FindingCode::CertificateRefusedByClient,
];

/// Connections to a public address without a name that may be an entry in a hosts file.
const MIN_ATTEMPTS: u64 = 2;

/// Blocked addresses without a name, of one client, that may be an entry in its hosts file.
const MAX_NAMELESS: usize = 2;

impl Findings {
    /// Adds to blocked names and addresses that DNS returns another address; see [`ReturnedAddresses`]. `is_unknown`: the client
    /// leaves DNS to a proxy. `began`: the begin of the capture.
    pub(in crate::judge) fn compare_addresses(
        &mut self,
        names: &NameTable,
        comparison: &ComparisonIndex<'_>,
        is_unknown: impl Fn(Address, Endpoint) -> bool,
        began: Option<Time>,
    ) {
        let is_candidate = |key: &FindingKey, row: &FindingRow| {
            let is_known = |(client, server)| !is_unknown(client, server);
            STOPPED_AT_ADDRESS.contains(&key.code) && key.audited_host.zip(row.server).is_some_and(is_known)
        };
        let mut named: HashSet<Arc<HostName>> = HashSet::new();
        let mut nameless: HashMap<Address, usize> = HashMap::new();
        let mut questioned = Questioned::default();
        for (key, row) in self.rows.iter().filter(|(key, row)| is_candidate(key, row)) {
            questioned.clients.extend(key.audited_host);
            questioned.servers.extend(row.server.map(|server| server.address));
            match &row.name {
                Some(name) => drop(named.insert(Arc::clone(name))),
                None => *nameless.entry(key.audited_host.unwrap_or_default()).or_default() += 1,
            }
        }
        let may_be_old = |client: Address, server: Endpoint, row: &FindingRow| {
            // Many addresses without a name are not one old entry.
            nameless.get(&client).is_some_and(|rows| *rows <= MAX_NAMELESS)
                // A program that has the address from a file tries it again and again.
                && (row.count >= MIN_ATTEMPTS || server.address.is_private())
        };
        let has_nameless = self.rows.iter().any(|(key, row)| {
            let ends = key.audited_host.zip(row.server);
            row.name.is_none()
                && is_candidate(key, row)
                && ends.is_some_and(|(client, server)| may_be_old(client, server, row))
        });
        if named.is_empty() && !has_nameless {
            return;
        }
        let is_documented = |name: &KnownName| has_nameless && name.is_documented();
        let is_wanted = |known: &KnownName| named.contains(&**known.name.shared()) || is_documented(known);
        let returned = ReturnedAddresses::new(names, &questioned, is_wanted);
        for (key, row) in self.rows.iter_mut().filter(|(key, row)| is_candidate(key, row)) {
            let Some((client, server)) = key.audited_host.zip(row.server) else { continue };
            let found = match &row.name {
                Some(name) => {
                    let observed_nanos = began.map_or(0, |began| row.last_seen.since(began));
                    let found = returned.of_name(client, name, server, observed_nanos, comparison);
                    found.into_iter().collect()
                }
                None if !may_be_old(client, server, row) => Vec::new(),
                None => returned.of_address(client, server, comparison),
            };
            add_stale_addresses(row, client, &found);
        }
    }
}

/// Adds the names for which DNS returns another address than the client uses.
fn add_stale_addresses(row: &mut FindingRow, client: Address, stale: &[StaleAddress]) {
    let Some(first) = stale.first() else { return };
    let has_name = row.name.is_some();
    let returns: Vec<String> = stale
        .iter()
        .map(|StaleAddress { name, returned, reached_by, .. }| match reached_by {
            Some(host) if has_name => {
                format!("DNS returns {returned} for the name, and {host} reaches it there")
            }
            Some(host) => format!("{host} reaches {name} at {returned}"),
            None => format!("DNS returns {returned} for {name}"),
        })
        .collect();
    let returns = returns.join(", ");
    let how = if first.is_likely { "the likely cause" } else { "a possible cause" };
    let clause = match has_name {
        true => {
            format!("; {returns}. {client} sent no query for it: an old entry in its hosts file is {how}")
        }
        false => {
            let names = if stale.len() == 1 { "that name" } else { "these names" };
            format!(
                "; no DNS response gave this address. {returns}, and {client} has no other connection to {names}: an old entry in its \
                 hosts file is {how}"
            )
        }
    };
    row.message.push_str(&clause);
    row.is_cause |= first.is_likely;
    let names: Vec<&str> = stale.iter().map(|stale| stale.name.as_str()).collect();
    let look = format!(
        "look for {} in the hosts file of {client} (%SystemRoot%\\System32\\drivers\\etc\\hosts), remove an old entry, and clear the DNS cache \
         (ipconfig /flushdns)",
        names.join(" or ")
    );
    // A certificate for another name points to the wrong address by itself.
    row.recommendation = match first.is_likely || row.code == FindingCode::CertificateRefusedByClient {
        true => look.into(),
        false => format!("{}; or {look}", row.recommendation).into(),
    };
}

//! Joins the findings about one host of the site that did not answer, whatever the port.
//!
//! In:  the findings of one client.
//! Out: one of them leads: the host is down, or was for a while.
//! Not: whether the capture holds packets of the host; see `collector::other_flows`.

use std::collections::BTreeMap;
use std::collections::BTreeSet;

use super::SAME_TIME_NANOS;
use super::lead;
use crate::base::Address;
use crate::judge::catalogue::FindingCode;
use crate::judge::catalogue::Mechanism;
use crate::judge::catalogue::Stops;
use crate::judge::rows::FindingRow;
use crate::judge::rows::SharedPath;

/// What to do about a host that gives no sign of itself.
const CHECK_HOST: &str = "check first that the host runs, has this address and is connected to its network. Only if another host reaches it, \
                          look for the rule or route that stops this one; no port needs a rule of its own";

/// Ports that a message lists.
const MAX_PORTS: usize = 6;

/// Makes one finding about each host that did not answer the cause of the others.
pub(super) fn explain_host(client: Address, rows: &mut [&mut FindingRow]) {
    let mut hosts: BTreeMap<Address, Vec<usize>> = BTreeMap::new();
    for (place, row) in rows.iter().enumerate().filter(|(_, row)| is_attempt(row)) {
        if let Some(server) = row.server.filter(|server| server.address.is_private()) {
            hosts.entry(server.address).or_default().push(place);
        }
    }
    for (host, places) in hosts {
        let with = |shared| -> Vec<usize> {
            let has = |place: &&usize| rows.get(**place).is_some_and(|row| row.shared == Some(shared));
            places.iter().filter(has).copied().collect()
        };
        let (silent, at_times) = (with(SharedPath::Host), with(SharedPath::Time));
        if silent.len() > 1 {
            explain_silence(client, host, &silent, rows);
        }
        if let Some(first) = earliest(&at_times, rows) {
            explain_interruption(first, &places, rows);
        }
    }
}

/// An attempt of which the cause is not known yet.
fn is_attempt(row: &FindingRow) -> bool {
    let stops_attempt = row.mechanism.is_some_and(|mechanism| mechanism.entry().stops == Stops::Attempt);
    stops_attempt
        && matches!(row.code, FindingCode::ConnectionUnanswered | FindingCode::ConnectionRefused)
        && matches!(row.shared, None | Some(SharedPath::Host | SharedPath::Time))
        && row.cause.is_none()
        && !row.is_cause
}

/// The one that is needed most, of several the first.
fn earliest(places: &[usize], rows: &[&mut FindingRow]) -> Option<usize> {
    let order = |place: &&usize| rows.get(**place).map(|row| (row.need, row.first_seen, &row.target));
    places.iter().min_by_key(order).copied()
}

/// Makes the findings at `places`, and what else was found of their flows, evidence of the one at `index`.
fn lead_of(index: usize, places: &[usize], rows: &mut [&mut FindingRow]) {
    let of = |place: &usize| rows.get(*place);
    let flows: BTreeSet<u64> =
        places.iter().filter_map(of).flat_map(|row| row.flows.iter().copied()).collect();
    lead(rows, index, |row| {
        let is_about_attempts = is_attempt(row) || matches!(row.code, FindingCode::UndocumentedRolePort);
        is_about_attempts && row.flows.iter().any(|flow| flows.contains(flow))
    });
}

/// A host that gave no sign of itself.
fn explain_silence(client: Address, host: Address, places: &[usize], rows: &mut [&mut FindingRow]) {
    let Some(index) = earliest(places, rows) else { return };
    let of = |place: &usize| rows.get(*place);
    let ports: BTreeSet<String> = places.iter().filter_map(of).map(|row| port_text(row)).collect();
    let ports = listed(&ports);
    lead_of(index, places, rows);
    let Some(lead) = rows.get_mut(index) else { return };
    lead.title = "host of the site does not answer on any port";
    lead.message = format!(
        "{client} gets no reply from {host}, whatever the port ({ports}), and the capture holds no packet of it at that time: it is down or \
         has another address now, or nothing lets packets through to it"
    );
    lead.recommendation = CHECK_HOST.into();
}

/// A host that works at other times: what failed on its other ports at that time has the same cause.
fn explain_interruption(index: usize, places: &[usize], rows: &mut [&mut FindingRow]) {
    let Some((begin, end)) = rows.get(index).map(|row| (row.first_seen, row.last_seen)) else { return };
    let is_near = |place: &usize| {
        rows.get(*place).is_some_and(|row| {
            row.cause.is_none()
                && row.first_seen.since(end) <= SAME_TIME_NANOS
                && begin.since(row.last_seen) <= SAME_TIME_NANOS
        })
    };
    let near: Vec<usize> = places.iter().filter(|place| is_near(place)).copied().collect();
    if near.len() < 2 {
        return;
    }
    let own = rows.get(index).map(|row| port_text(row));
    let others = near.iter().filter_map(|place| rows.get(*place)).map(|row| port_text(row));
    let others: BTreeSet<String> = others.filter(|port| Some(port) != own.as_ref()).collect();
    lead_of(index, &near, rows);
    if let Some(lead) = rows.get_mut(index) {
        if !others.is_empty() {
            lead.message
                .push_str(&format!("; the same host did not serve {} either at that time", listed(&others)));
        }
        lead.recommendation = "look for what happened to the host, its network or the rules between the two hosts at that time, such as a restart, \
                               a failover, an update or a changed rule; no port needs a rule of its own"
            .into();
    }
}

/// `TCP port 445`.
fn port_text(row: &FindingRow) -> String {
    let port = row.server.map_or(0, |server| server.port);
    match row.mechanism {
        Some(Mechanism::EchoUnanswered) => "ICMP echo".to_owned(),
        Some(Mechanism::DatagramsUnanswered) => format!("UDP port {port}"),
        _ => format!("TCP port {port}"),
    }
}

/// `a, b and 3 more`.
fn listed(ports: &BTreeSet<String>) -> String {
    let shown: Vec<&str> = ports.iter().take(MAX_PORTS).map(String::as_str).collect();
    match ports.len() - shown.len() {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

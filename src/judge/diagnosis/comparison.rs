//! Compares what was blocked with what worked in the same capture.
//!
//! In:  judged flows as they end.
//! Out: for a client and a blocked name or address, what the other flows show.
//! Not: what one flow shows by itself.
//!
//! Ports are compared with themselves only. Another name at the same address works: the name is filtered. The name works at
//! another address, or several names fail at one address: the address is filtered. The name worked before, or works later:
//! something changed. Nothing of the client works: an outage. All tables are bounded.

mod index;
mod result;

pub(in crate::judge) use self::index::BlockedIpv6;
pub(in crate::judge) use self::index::ComparisonIndex;
pub(in crate::judge) use self::result::ComparisonResult;
pub(in crate::judge) use self::result::RECOMMENDATION_FOR_IPV6;
pub(in crate::judge) use self::result::suggests_filter_of_names;

use std::sync::Arc;

use hashbrown::Equivalent;
use smallvec::SmallVec;

use crate::base::Address;
use crate::base::FrameRef;
use crate::base::HostName;
use crate::base::Time;
use crate::base::proto;
use crate::flow::Endpoint;
use crate::judge::bounded_map::BoundedMap;
use crate::judge::catalogue::FindingCode;
use crate::judge::catalogue::InconclusiveReason;
use crate::judge::catalogue::Mechanism;
use crate::judge::rows::Documented;
use crate::judge::rows::FlowRow;
use crate::judge::vocabulary::Outcome;

/// Entries of each table: seven eighths of a power of two is what a hash table holds without growing.
const MAX_ENTRIES: usize = 7 << 10;

/// Names that worked that are kept, of one server and of all: a proxy serves many.
const MAX_NAMES_AT_SERVER: usize = 128;
const MAX_WORKED_NAMES: usize = 2 * MAX_ENTRIES;

/// This many names that fail at one address are evidence against the address.
const MIN_NAMES_AT_ADDRESS: usize = 2;

/// Addresses of one name at which it was blocked that are kept for each client.
const MAX_ADDRESSES: usize = 4;

/// A name that worked at a server, first and last; none where none was known.
#[derive(Debug)]
struct WorkedName {
    name: Option<Arc<HostName>>,
    first: Time,
    last: Time,
}

impl WorkedName {
    fn extend(&mut self, time: Time) {
        self.first = self.first.min(time);
        self.last = self.last.max(time);
    }

    fn compared_with(&self, blocked: &BlockedAt) -> ComparisonResult {
        if self.first > blocked.last {
            ComparisonResult::WorkedLater { from: self.first }
        } else if self.last < blocked.first {
            ComparisonResult::WorkedBefore { until: self.last }
        } else {
            ComparisonResult::WorkedAtOtherTimes
        }
    }
}

/// What worked at a server.
#[derive(Debug)]
struct WorkedAt {
    /// Of the first names, each.
    names: SmallVec<[WorkedName; 1]>,
    /// The server is a proxy of the names.
    is_proxy: bool,
}

impl WorkedAt {
    /// Compares whatever worked, at any time.
    fn compared_with(&self, blocked: &BlockedAt) -> ComparisonResult {
        let mut all = WorkedName { name: None, first: blocked.first, last: blocked.first };
        if let Some((one, others)) = self.names.split_first() {
            (all.first, all.last) = (one.first, one.last);
            others.iter().for_each(|other| {
                all.extend(other.first);
                all.extend(other.last);
            });
        }
        all.compared_with(blocked)
    }

    fn compared_with_name(&self, name: &HostName, blocked: &BlockedAt) -> Option<ComparisonResult> {
        let worked = self.names.iter().find(|worked| worked.name.as_deref() == Some(name))?;
        Some(worked.compared_with(blocked))
    }

    /// The first name of which one is known.
    fn any_name(&self) -> Option<&Arc<HostName>> {
        self.names.iter().find_map(|worked| worked.name.as_ref())
    }

    /// The name, if there was only one.
    fn only_name(&self) -> Option<&Arc<HostName>> {
        self.names.first().filter(|_| self.names.len() == 1)?.name.as_ref()
    }
}

/// Where and when something was blocked.
#[derive(Clone, Copy, Debug)]
struct BlockedAt {
    server: Endpoint,
    /// The server is a proxy, from which the name was requested.
    is_proxy: bool,
    first: Time,
    last: Time,
}

impl BlockedAt {
    fn extend(&mut self, time: Time) {
        self.first = self.first.min(time);
        self.last = self.last.max(time);
    }
}

/// A client and a name, for lookups.
#[derive(Hash)]
struct ClientAndName<'a>(Address, &'a HostName);

impl Equivalent<(Address, Arc<HostName>)> for ClientAndName<'_> {
    fn equivalent(&self, key: &(Address, Arc<HostName>)) -> bool {
        self.0 == key.0 && *self.1 == *key.1
    }
}

/// Attempts over IPv6 without a reply, of a host that the capture holds no packet to.
#[derive(Clone, Debug)]
pub(in crate::judge) struct SilentIpv6 {
    pub(in crate::judge) server: Endpoint,
    pub(in crate::judge) count: u64,
    /// The last of them.
    pub(in crate::judge) flow: u64,
    pub(in crate::judge) frame: FrameRef,
    pub(in crate::judge) time: Time,
    pub(in crate::judge) documented: Arc<Documented>,
}

/// SYNs without a reply for so long are no slow server.
const MIN_SILENCE_NANOS: u64 = 3_000_000_000;

/// What worked and what did not.
#[derive(Debug)]
pub(in crate::judge) struct Comparison {
    /// By client and server.
    worked: BoundedMap<(Address, Endpoint), WorkedAt>,
    /// Clients of which anything worked.
    clients: BoundedMap<Address, ()>,
    /// By client and name, the first addresses.
    blocked: BoundedMap<(Address, Arc<HostName>), SmallVec<[BlockedAt; 1]>>,
    /// By client and server, where no name was known.
    blocked_unnamed: BoundedMap<(Address, Endpoint), BlockedAt>,
    /// Number of names by client to which TCP did not connect.
    blocked_names: BoundedMap<Address, u32>,
    /// Blocked names by client and server; at most [`MIN_NAMES_AT_ADDRESS`].
    blocked_at: BoundedMap<(Address, Endpoint), SmallVec<[Arc<HostName>; 1]>>,
    /// By client and name.
    silent_ipv6: BoundedMap<(Address, Arc<HostName>), SilentIpv6>,
    /// Hosts that sent packets to others inside the site, first and last.
    sending: BoundedMap<Address, (Time, Time)>,
}

impl Default for Comparison {
    fn default() -> Comparison {
        Comparison {
            worked: BoundedMap::weighing(MAX_ENTRIES, MAX_WORKED_NAMES),
            clients: BoundedMap::new(MAX_ENTRIES),
            blocked: BoundedMap::new(MAX_ENTRIES),
            blocked_unnamed: BoundedMap::new(MAX_ENTRIES),
            blocked_names: BoundedMap::new(MAX_ENTRIES),
            blocked_at: BoundedMap::new(MAX_ENTRIES),
            silent_ipv6: BoundedMap::new(MAX_ENTRIES),
            sending: BoundedMap::new(MAX_ENTRIES),
        }
    }
}

impl Comparison {
    /// Adds the hosts of a flow inside the site, judged or not.
    pub(in crate::judge) fn add_hosts(&mut self, row: &FlowRow) {
        if !row.server.address.is_private() {
            return;
        }
        let ends = [row.client.address, row.server.address].into_iter().zip(row.packets);
        for host in ends.filter(|(_, sent)| *sent > 0).map(|(host, _)| host) {
            match self.sending.get(&host) {
                Some((first, last)) => {
                    (*first, *last) = ((*first).min(row.first_seen), (*last).max(row.last_seen));
                }
                None => self.sending.insert(host, (row.first_seen, row.last_seen)),
            }
        }
    }

    /// Adds a judged flow; `is_proxied` where its server is a proxy of the name.
    pub(in crate::judge) fn add(&mut self, row: &FlowRow, is_proxied: bool) {
        match row.assessment.outcome() {
            Outcome::Ok if row.destination_verdict.is_some() && row.bytes.iter().all(|bytes| *bytes > 0) => {
                self.add_worked(row, is_proxied);
            }
            Outcome::BlockedLooking => self.add_blocked(row, is_proxied),
            Outcome::Inconclusive => self.add_silent_ipv6(row),
            Outcome::Ok => {}
        }
    }

    fn add_silent_ipv6(&mut self, row: &FlowRow) {
        let is_silent = row.assessment.reason() == Some(InconclusiveReason::OneSidedCapture)
            && row.protocol == proto::TCP
            && row.packets.first().is_some_and(|sent| *sent >= 2)
            && row.last_seen.since(row.first_seen) >= MIN_SILENCE_NANOS;
        let (Some(name), Some(documented)) = (&row.name, &row.documented) else { return };
        if !is_silent || row.server.address.is_v4() {
            return;
        }
        let silent = SilentIpv6 {
            server: row.server,
            count: 1,
            flow: row.flow_id,
            frame: row.first_frame,
            time: row.first_seen,
            documented: Arc::clone(documented),
        };
        match self.silent_ipv6.get(&ClientAndName(row.client.address, name)) {
            Some(before) => *before = SilentIpv6 { count: before.count + 1, ..silent },
            None => self.silent_ipv6.insert((row.client.address, Arc::clone(name)), silent),
        }
    }

    fn add_worked(&mut self, row: &FlowRow, is_proxy: bool) {
        let (client, server, time) = (row.client.address, row.server, row.first_seen);
        let name = || WorkedName { name: row.name.clone(), first: time, last: time };
        let key = (client, server);
        let Some(worked) = self.worked.get(&key) else {
            let worked = WorkedAt { names: SmallVec::from_iter([name()]), is_proxy };
            self.worked.insert_weighing(key, worked, 1);
            return self.clients.insert(client, ());
        };
        if let Some(known) = worked.names.iter_mut().find(|known| known.name == row.name) {
            return known.extend(time);
        }
        if worked.names.len() < MAX_NAMES_AT_SERVER {
            worked.names.push(name());
            let weight = worked.names.len();
            self.worked.set_weight(&key, weight);
        }
    }

    fn add_blocked(&mut self, row: &FlowRow, is_proxy: bool) {
        let (client, server, time) = (row.client.address, row.server, row.first_seen);
        let blocked = BlockedAt { server, is_proxy, first: time, last: time };
        let Some(name) = &row.name else {
            match self.blocked_unnamed.get(&(client, server)) {
                Some(before) => before.extend(time),
                None => self.blocked_unnamed.insert((client, server), blocked),
            }
            return;
        };
        match self.blocked_at.get(&(client, server)) {
            Some(names) if names.len() < MIN_NAMES_AT_ADDRESS && !names.contains(name) => {
                names.push(Arc::clone(name));
            }
            Some(_) => {}
            None => self.blocked_at.insert((client, server), SmallVec::from_iter([Arc::clone(name)])),
        }
        if let Some(before) = self.blocked.get(&ClientAndName(client, name)) {
            if let Some(at) = before.iter_mut().find(|at| at.server == server) {
                at.extend(time);
            } else if before.len() < MAX_ADDRESSES {
                before.push(blocked);
            }
            return;
        }
        self.blocked.insert((client, Arc::clone(name)), SmallVec::from_iter([blocked]));
        // Where TCP connects, it is no outage.
        let is_refused = |mechanism: Mechanism| mechanism.finding() == FindingCode::ConnectionRefused;
        let is_down = |mechanism| mechanism == Mechanism::TcpUnanswered || is_refused(mechanism);
        if !row.assessment.mechanism().is_some_and(is_down) {
            return;
        }
        match self.blocked_names.get(&client) {
            Some(names) => *names += 1,
            None => self.blocked_names.insert(client, 1),
        }
    }

    /// What the flows show, for questions at the end of an interval.
    pub(in crate::judge) fn index(&self) -> ComparisonIndex<'_> {
        ComparisonIndex::new(self)
    }
}

#[cfg(test)]
mod tests;

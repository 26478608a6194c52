//! Compares what was blocked with what worked in the same capture.
//!
//! In:  judged flows as they end.
//! Out: for a client and a blocked name or address, what the other flows show.
//! Not: what one flow shows by itself.
//!
//! Ports are compared with themselves only. Another name at the same address works: the name is filtered. The name works at
//! another address, or several names fail at one address: the address is filtered. The name worked before, or works later:
//! something changed. Nothing of the client works: an outage. All tables are bounded.

mod result;

pub(in crate::judge) use self::result::ComparisonResult;
pub(in crate::judge) use self::result::RECOMMENDATION_FOR_IPV6;

use std::collections::BTreeMap;
use std::sync::Arc;

use hashbrown::Equivalent;
use hashbrown::HashMap;
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

/// So many names that fail at one address are evidence against the address.
const MIN_NAMES_AT_ADDRESS: usize = 2;

/// Attempts of two clients so close together met the same server: at other times it may have been down.
const SAME_TIME_NANOS: u64 = 600_000_000_000;

/// Addresses of one name at which it was blocked that are kept for each client.
const MAX_ADDRESSES: usize = 4;

/// So many names of a client must fail, and none work, for an outage.
const MIN_NAMES_IN_OUTAGE: u32 = 3;

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

/// A server and a name, for lookups.
#[derive(Hash)]
struct ServerAndName<'a>(Endpoint, &'a HostName);

impl Equivalent<(Endpoint, Arc<HostName>)> for ServerAndName<'_> {
    fn equivalent(&self, key: &(Endpoint, Arc<HostName>)) -> bool {
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
    /// Where names worked, by client, the lowest address of each port; see [`Comparison::prepare`].
    worked_elsewhere: HashMap<Address, WorkedElsewhere, foldhash::fast::RandomState>,
    /// The clients that reached a name at an address and port.
    reached_by: HashMap<(Endpoint, Arc<HostName>), Vec<Reached>, foldhash::fast::RandomState>,
    /// The lowest proxy through which anything worked, by client; see [`Comparison::prepare`].
    proxies: HashMap<Address, Endpoint, foldhash::fast::RandomState>,
    /// Over which address families a name worked for any client, by port.
    families: HashMap<Arc<HostName>, FamiliesByPort, foldhash::fast::RandomState>,
}

/// Where the names of a client worked, in order of the names.
type WorkedElsewhere = BTreeMap<Arc<HostName>, SmallVec<[Endpoint; 1]>>;

/// A client that reached a name at an address, and when.
#[derive(Clone, Copy, Debug)]
struct Reached {
    client: Address,
    first: Time,
    last: Time,
}

/// The address families over which a name worked, by port.
type FamiliesByPort = SmallVec<[(u16, Families); 1]>;

/// The address families over which a name worked.
#[derive(Clone, Copy, Debug, Default)]
struct Families {
    ipv4: Option<Address>,
    has_ipv6: bool,
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
            worked_elsewhere: HashMap::default(),
            reached_by: HashMap::default(),
            proxies: HashMap::default(),
            families: HashMap::default(),
        }
    }
}

impl Comparison {
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

    /// Names that got no reply over IPv6 and worked over IPv4, or for another host at the same address, by client and name; after
    /// [`Comparison::prepare`].
    pub(in crate::judge) fn blocked_ipv6(
        &self,
    ) -> Vec<(Address, Arc<HostName>, SilentIpv6, ComparisonResult)> {
        let all = self.silent_ipv6.iter();
        let mut blocked: Vec<_> = all
            .filter_map(|((client, name), silent)| {
                let SilentIpv6 { server, time, .. } = *silent;
                let over_ipv4 = self.only_over_ipv4(name, server.port);
                let over_ipv4 = over_ipv4.map(|server| ComparisonResult::WorksOverIpv4 { server });
                let works = over_ipv4.or_else(|| {
                    let blocked = BlockedAt { server, is_proxy: false, first: time, last: time };
                    let host = self.other_client(*client, name, &blocked)?;
                    Some(ComparisonResult::OtherHostReachesIt { host, client: *client })
                })?;
                Some((*client, Arc::clone(name), silent.clone(), works))
            })
            .collect();
        blocked.sort_by(|a, b| (a.0, &a.1).cmp(&(b.0, &b.1)));
        blocked
    }

    /// The address at which a name worked over IPv4, where it worked nowhere over IPv6.
    fn only_over_ipv4(&self, name: &HostName, port: u16) -> Option<Address> {
        let all = self.families.get(name)?;
        let (_, families) = all.iter().find(|(known, _)| *known == port)?;
        families.ipv4.filter(|_| !families.has_ipv6)
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

    /// Prepares the comparisons by name.
    pub(in crate::judge) fn prepare(&mut self) {
        self.worked_elsewhere.clear();
        self.reached_by.clear();
        self.families.clear();
        self.proxies.clear();
        // Nearly every entry has one name.
        self.reached_by.reserve(self.worked.len());
        for ((client, server), worked) in self.worked.iter() {
            if worked.is_proxy {
                let lowest = self.proxies.entry(*client).or_insert(*server);
                *lowest = (*lowest).min(*server);
            }
            for WorkedName { name, first, last } in &worked.names {
                let Some(name) = name else { continue };
                // The table has no order: take the lowest address.
                let of_client = self.worked_elsewhere.entry(*client).or_default();
                let at = of_client.entry(Arc::clone(name)).or_default();
                match at.iter_mut().find(|known| known.port == server.port) {
                    Some(lowest) => lowest.address = lowest.address.min(server.address),
                    None => at.push(*server),
                }
                let reached = Reached { client: *client, first: *first, last: *last };
                self.reached_by.entry((*server, Arc::clone(name))).or_default().push(reached);
                // Whether the client reaches its proxy over IPv6 says nothing of the name.
                if worked.is_proxy {
                    continue;
                }
                let by_port = self.families.entry(Arc::clone(name)).or_default();
                let place = by_port.iter().position(|(port, _)| *port == server.port).unwrap_or_else(|| {
                    by_port.push((server.port, Families::default()));
                    by_port.len() - 1
                });
                let Some((_, families)) = by_port.get_mut(place) else { continue };
                let address = server.address;
                if address.is_v4() {
                    families.ipv4 = Some(families.ipv4.map_or(address, |lowest| lowest.min(address)));
                } else {
                    families.has_ipv6 = true;
                }
            }
        }
    }

    /// Whether the same name worked at other times at the address where it was blocked.
    pub(in crate::judge) fn with_same_name(
        &self,
        client: Address,
        name: &HostName,
        server: Option<Endpoint>,
    ) -> Option<ComparisonResult> {
        let blocked = self.blocked_at(client, name, server)?;
        self.worked.peek(&(client, blocked.server))?.compared_with_name(name, blocked)
    }

    /// Another client that reached a name through the proxy that refuses it to this one.
    pub(in crate::judge) fn with_same_proxy(
        &self,
        client: Address,
        name: &HostName,
        server: Option<Endpoint>,
    ) -> Option<ComparisonResult> {
        let blocked = self.blocked_at(client, name, server)?;
        let host = self.other_client(client, name, blocked)?;
        Some(ComparisonResult::OtherHostThroughProxy { host, client })
    }

    /// The proxy through which a client reaches other names, or this one; after [`Comparison::prepare`].
    pub(in crate::judge) fn with_proxy(&self, client: Address, name: &HostName) -> Option<ComparisonResult> {
        let is_proxy =
            |at: &&Endpoint| self.worked.peek(&(client, **at)).is_some_and(|worked| worked.is_proxy);
        let elsewhere = self.elsewhere(client, name);
        if let Some(proxy) = elsewhere.and_then(|all| all.iter().find(is_proxy)) {
            return Some(ComparisonResult::WorksThroughProxy { proxy: *proxy });
        }
        let proxy = *self.proxies.get(&client)?;
        Some(ComparisonResult::OthersThroughProxy { proxy, client })
    }

    /// Whether a name worked for a client on this port, at any address; after [`Comparison::prepare`].
    pub(in crate::judge) fn has_worked(&self, client: Address, name: &HostName, port: u16) -> bool {
        let worked = self.elsewhere(client, name);
        worked.is_some_and(|all| all.iter().any(|at| at.port == port))
    }

    /// Whether a name was blocked for a client.
    pub(in crate::judge) fn was_blocked(&self, client: Address, name: &HostName) -> bool {
        self.blocked.peek(&ClientAndName(client, name)).is_some()
    }

    /// The host that reached a name at an address, the lowest of several; after [`Comparison::prepare`].
    pub(in crate::judge) fn reached_by(&self, name: &HostName, server: Endpoint) -> Option<Address> {
        let all = self.reached_by.get(&ServerAndName(server, name))?;
        all.iter().map(|reached| reached.client).min()
    }

    /// The names that worked for a client, in order; after [`Comparison::prepare`].
    pub(in crate::judge) fn worked_names(&self, client: Address) -> impl Iterator<Item = &Arc<HostName>> {
        self.worked_elsewhere.get(&client).into_iter().flat_map(BTreeMap::keys)
    }

    /// Where a name worked for a client; after [`Comparison::prepare`].
    fn elsewhere(&self, client: Address, name: &HostName) -> Option<&SmallVec<[Endpoint; 1]>> {
        self.worked_elsewhere.get(&client)?.get(name)
    }

    /// Where a name was blocked: at the address of the finding, else at the first one with its port.
    fn blocked_at(&self, client: Address, name: &HostName, server: Option<Endpoint>) -> Option<&BlockedAt> {
        let all = self.blocked.peek(&ClientAndName(client, name))?;
        let has_port = |at: &&BlockedAt| server.is_none_or(|server| at.server.port == server.port);
        all.iter().find(|at| Some(at.server) == server).or_else(|| all.iter().find(has_port))
    }

    /// Another client that reached the name at the same address about the time when it was blocked, the lowest of several.
    fn other_client(&self, client: Address, name: &HostName, blocked: &BlockedAt) -> Option<Address> {
        let all = self.reached_by.get(&ServerAndName(blocked.server, name))?;
        let is_near = |reached: &&Reached| {
            reached.client != client
                && reached.first.since(blocked.last) <= SAME_TIME_NANOS
                && blocked.first.since(reached.last) <= SAME_TIME_NANOS
        };
        all.iter().filter(is_near).map(|reached| reached.client).min()
    }

    /// What all other flows show about a blocked name.
    pub(in crate::judge) fn with_all_flows(
        &self,
        client: Address,
        name: &HostName,
        server: Option<Endpoint>,
    ) -> Option<ComparisonResult> {
        let blocked = self.blocked_at(client, name, server)?;
        let server = blocked.server;
        let is_proxy = blocked.is_proxy;
        if let Some(worked) = self.worked.peek(&(client, server)) {
            if let Some(result) = worked.compared_with_name(name, blocked) {
                return Some(result);
            }
            if worked.is_proxy && !is_proxy {
                let when = Box::new(worked.compared_with(blocked));
                return Some(ComparisonResult::AddressWorked { when, name: None });
            }
            if let Some(other) = worked.any_name() {
                let name = Arc::clone(other);
                return Some(match is_proxy {
                    true => ComparisonResult::OtherNameThroughProxy { name },
                    false => ComparisonResult::OtherNameWorks { name },
                });
            }
        }
        if is_proxy {
            return self.with_same_proxy(client, name, Some(server));
        }
        if !server.address.is_v4()
            && let Some(ipv4) = self.only_over_ipv4(name, server.port)
        {
            return Some(ComparisonResult::WorksOverIpv4 { server: ipv4 });
        }
        if let Some(host) = self.other_client(client, name, blocked) {
            return Some(ComparisonResult::OtherHostReachesIt { host, client });
        }
        let elsewhere = self.elsewhere(client, name);
        let is_server = |at: &&Endpoint| {
            at.port == server.port && self.worked.peek(&(client, **at)).is_none_or(|worked| !worked.is_proxy)
        };
        if let Some(at) = elsewhere.and_then(|all| all.iter().find(is_server)) {
            return Some(ComparisonResult::WorksElsewhere { server: at.address });
        }
        let anything_works = self.clients.contains(&client);
        let names_at_address = self.blocked_at.peek(&(client, server)).map_or(0, |names| names.len());
        if anything_works && names_at_address >= MIN_NAMES_AT_ADDRESS {
            return Some(ComparisonResult::OtherNamesFail { server: server.address });
        }
        let names = self.blocked_names.peek(&client).copied().unwrap_or_default();
        let is_outage = names >= MIN_NAMES_IN_OUTAGE && !anything_works;
        is_outage.then_some(ComparisonResult::NothingWorks { names, client })
    }

    /// What all other flows show about a blocked address and port without a name.
    pub(in crate::judge) fn with_address(
        &self,
        client: Address,
        server: Endpoint,
    ) -> Option<ComparisonResult> {
        let blocked = self.blocked_unnamed.peek(&(client, server))?;
        let worked = self.worked.peek(&(client, server))?;
        let name = worked.only_name().filter(|_| !worked.is_proxy).cloned();
        Some(ComparisonResult::AddressWorked { when: Box::new(worked.compared_with(blocked)), name })
    }
}

#[cfg(test)]
mod tests;

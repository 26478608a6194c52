//! Answers questions about what was blocked, from all flows of an interval.
//!
//! In:  the tables of a comparison; a client with a blocked name or address.
//! Out: what the other flows show about it.
//! Not: which findings ask.
//!
//! The tables are by client and server. Indexes by server, client and name are made when the first question needs them: in most
//! captures nothing is blocked.

use std::cell::OnceCell;
use std::cell::RefCell;
use std::hash::Hash;
use std::iter;
use std::rc::Rc;
use std::sync::Arc;

use hashbrown::Equivalent;
use hashbrown::HashMap;
use smallvec::SmallVec;

use super::BlockedAt;
use super::ClientAndName;
use super::Comparison;
use super::ComparisonResult;
use super::MIN_NAMES_AT_ADDRESS;
use super::SilentIpv6;
use super::WorkedAt;
use super::WorkedName;
use crate::base::Address;
use crate::base::HostName;
use crate::base::Time;
use crate::base::port;
use crate::flow::Endpoint;

/// Attempts of two clients so close together met the same server: at other times it may have been down.
const SAME_TIME_NANOS: u64 = 600_000_000_000;

/// A host that sent a packet so shortly before or after an attempt was not down.
const ALIVE_NANOS: u64 = 30_000_000_000;

/// Ports on which a host serves the same: Windows Remote Management over HTTPS and HTTP (MS-WSMV §2.1), SMB over RDMA of the
/// iWARP kind (MS-SMBD §1.9) and over TCP, SMB over NetBIOS and directly (RFC 1001, MS-SMB2 §2.1). Clients try one and then the
/// other, and most hosts listen on one only.
const ALTERNATIVE_PORTS: &[(u16, u16)] = &[(5986, 5985), (5985, 5986), (5445, 445), (137, 445), (139, 445)];

/// At least this many names of a client fail, and none works, in an outage.
const MIN_NAMES_IN_OUTAGE: u32 = 3;

/// A comparison, and its indexes so far.
#[derive(Debug)]
pub(in crate::judge) struct ComparisonIndex<'a> {
    all: &'a Comparison,
    /// What worked, in no order.
    worked: OnceCell<Vec<(Address, Endpoint, &'a WorkedAt)>>,
    by_client: OnceCell<Places<Address>>,
    /// What worked, name by name.
    names: OnceCell<Vec<(Address, Endpoint, &'a WorkedName)>>,
    by_server_and_name: OnceCell<Places<(Endpoint, Option<&'a HostName>)>>,
    /// Of the clients that were asked about.
    clients: RefCell<HashMap<Address, Rc<WorkedForClient<'a>>, foldhash::fast::RandomState>>,
    /// Over which address families the names worked that failed over IPv6, by port.
    families: OnceCell<HashMap<&'a HostName, FamiliesByPort, foldhash::fast::RandomState>>,
    blocked_ipv6: OnceCell<Vec<BlockedIpv6>>,
}

/// The places of keys in a list that has each of them several times.
#[derive(Debug)]
struct Places<K> {
    /// The last place of each key.
    last: HashMap<K, usize, foldhash::fast::RandomState>,
    /// For each place, the one before it with the same key.
    before: Vec<Option<usize>>,
}

impl<K: Hash + Eq> Places<K> {
    /// `distinct`: how many keys differ, about.
    fn new(keys: impl Iterator<Item = K>, distinct: usize) -> Places<K> {
        let mut last = HashMap::with_capacity_and_hasher(distinct, foldhash::fast::RandomState::default());
        let before = keys.enumerate().map(|(place, key)| last.insert(key, place)).collect();
        Places { last, before }
    }

    fn last<Q: Hash + Equivalent<K>>(&self, key: &Q) -> Option<usize> {
        self.last.get(key).copied()
    }

    /// This place, and those before it with the same key.
    fn back_from(&self, last: Option<usize>) -> impl Iterator<Item = usize> {
        iter::successors(last, |place| self.before.get(*place).copied().flatten())
    }
}

/// What worked for a client.
#[derive(Debug, Default)]
struct WorkedForClient<'a> {
    /// The names, each with the servers at which it worked, in order.
    names: Vec<(&'a Arc<HostName>, Endpoint)>,
    /// The lowest proxy through which anything worked.
    proxy: Option<Endpoint>,
}

impl WorkedForClient<'_> {
    /// The servers at which a name worked, in order.
    fn servers(&self, name: &HostName) -> impl Iterator<Item = Endpoint> {
        let start = self.names.partition_point(|(other, _)| ***other < *name);
        let from_start = self.names.get(start..).unwrap_or_default().iter();
        from_start.take_while(move |(other, _)| ***other == *name).map(|(_, server)| *server)
    }
}

/// Attempts over IPv6 without a reply, and what shows that they were blocked.
#[derive(Debug)]
pub(in crate::judge) struct BlockedIpv6 {
    pub(in crate::judge) client: Address,
    pub(in crate::judge) name: Arc<HostName>,
    pub(in crate::judge) silent: SilentIpv6,
    /// How it works otherwise.
    pub(in crate::judge) works: ComparisonResult,
}

/// The address families over which a name worked, by port.
type FamiliesByPort = SmallVec<[(u16, Families); 1]>;

/// The address families over which a name worked.
#[derive(Clone, Copy, Debug, Default)]
struct Families {
    ipv4: Option<Address>,
    has_ipv6: bool,
}

fn add_family(by_port: &mut FamiliesByPort, server: Endpoint) {
    let place = by_port.iter().position(|(port, _)| *port == server.port).unwrap_or_else(|| {
        by_port.push((server.port, Families::default()));
        by_port.len() - 1
    });
    let Some((_, families)) = by_port.get_mut(place) else { return };
    let address = server.address;
    if address.is_v4() {
        families.ipv4 = Some(families.ipv4.map_or(address, |lowest| lowest.min(address)));
    } else {
        families.has_ipv6 = true;
    }
}

impl<'a> ComparisonIndex<'a> {
    pub(super) fn new(all: &'a Comparison) -> ComparisonIndex<'a> {
        ComparisonIndex {
            all,
            worked: OnceCell::new(),
            by_client: OnceCell::new(),
            names: OnceCell::new(),
            by_server_and_name: OnceCell::new(),
            clients: RefCell::default(),
            families: OnceCell::new(),
            blocked_ipv6: OnceCell::new(),
        }
    }

    fn worked(&self) -> &[(Address, Endpoint, &'a WorkedAt)] {
        let all = || self.all.worked.iter();
        self.worked
            .get_or_init(|| all().map(|((client, server), worked)| (*client, *server, worked)).collect())
    }

    /// What worked for a client.
    fn worked_for(&self, client: Address) -> Rc<WorkedForClient<'a>> {
        let mut clients = self.clients.borrow_mut();
        Rc::clone(clients.entry(client).or_insert_with(|| Rc::new(self.collect_worked(client))))
    }

    fn collect_worked(&self, client: Address) -> WorkedForClient<'a> {
        let worked = self.worked();
        let clients = || worked.iter().map(|(client, ..)| *client);
        let by_client = self.by_client.get_or_init(|| Places::new(clients(), self.all.clients.len()));
        let mut found = WorkedForClient::default();
        for (_, server, worked) in
            by_client.back_from(by_client.last(&client)).filter_map(|place| worked.get(place))
        {
            if worked.is_proxy {
                found.proxy = Some(found.proxy.map_or(*server, |lowest| lowest.min(*server)));
            }
            let names = worked.names.iter().filter_map(|worked| worked.name.as_ref());
            found.names.extend(names.map(|name| (name, *server)));
        }
        found.names.sort_unstable();
        found
    }

    /// Over which address families a name worked that failed over IPv6.
    fn families(&self, name: &HostName) -> &[(u16, Families)] {
        let families = self.families.get_or_init(|| {
            let silent = self.all.silent_ipv6.iter().map(|((_, name), _)| &**name);
            let is_over_ipv6 = |at: &BlockedAt| !at.server.address.is_v4();
            let blocked = self.all.blocked.iter().filter(|(_, all)| all.iter().any(is_over_ipv6));
            let failed = silent.chain(blocked.map(|((_, name), _)| &**name));
            let mut families: HashMap<&HostName, FamiliesByPort, _> =
                failed.map(|name| (name, FamiliesByPort::new())).collect();
            // Whether a client reaches its proxy over IPv6 says nothing of the name.
            for (_, server, worked) in self.worked().iter().filter(|(.., worked)| !worked.is_proxy) {
                for name in worked.names.iter().filter_map(|worked| worked.name.as_deref()) {
                    if let Some(by_port) = families.get_mut(name) {
                        add_family(by_port, *server);
                    }
                }
            }
            families
        });
        families.get(name).map_or(&[], SmallVec::as_slice)
    }

    /// Names that got no reply over IPv6 and worked over IPv4, or for another host at the same address, by client and name.
    pub(in crate::judge) fn blocked_ipv6(&self) -> &[BlockedIpv6] {
        self.blocked_ipv6.get_or_init(|| {
            let silent = self.all.silent_ipv6.iter();
            let mut blocked: Vec<BlockedIpv6> = silent
                .filter_map(|((client, name), silent)| {
                    let works = self.works_otherwise(*client, name, silent)?;
                    Some(BlockedIpv6 {
                        client: *client,
                        name: Arc::clone(name),
                        silent: silent.clone(),
                        works,
                    })
                })
                .collect();
            blocked.sort_by(|a, b| (a.client, &a.name).cmp(&(b.client, &b.name)));
            blocked
        })
    }

    fn works_otherwise(
        &self,
        client: Address,
        name: &HostName,
        silent: &SilentIpv6,
    ) -> Option<ComparisonResult> {
        let SilentIpv6 { server, time, .. } = *silent;
        if let Some(server) = self.only_over_ipv4(name, server.port) {
            return Some(ComparisonResult::WorksOverIpv4 { server });
        }
        let blocked = BlockedAt { server, is_proxy: false, first: time, last: time };
        let host = self.other_client(client, name, &blocked)?;
        Some(ComparisonResult::OtherHostReachesIt { host, client })
    }

    /// The address at which a name worked over IPv4, where it worked nowhere over IPv6.
    fn only_over_ipv4(&self, name: &HostName, port: u16) -> Option<Address> {
        let (_, families) = self.families(name).iter().find(|(known, _)| *known == port)?;
        families.ipv4.filter(|_| !families.has_ipv6)
    }

    /// Whether the same name worked at other times at the address where it was blocked.
    pub(in crate::judge) fn with_same_name(
        &self,
        client: Address,
        name: &HostName,
        server: Option<Endpoint>,
    ) -> Option<ComparisonResult> {
        let blocked = self.blocked_at(client, name, server)?;
        self.all.worked.peek(&(client, blocked.server))?.compared_with_name(name, blocked)
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

    /// The proxy through which a client reaches other names, or this one.
    pub(in crate::judge) fn with_proxy(&self, client: Address, name: &HostName) -> Option<ComparisonResult> {
        let worked = self.worked_for(client);
        if let Some(proxy) = worked.servers(name).find(|at| self.is_proxy_of(client, *at)) {
            return Some(ComparisonResult::WorksThroughProxy { proxy });
        }
        Some(ComparisonResult::OthersThroughProxy { proxy: worked.proxy?, client })
    }

    /// Whether the capture holds no packet of a host of the site about the time from the first to the last of these.
    pub(in crate::judge) fn is_silent(&self, host: Address, first: Time, last: Time) -> bool {
        let is_within =
            |(begin, end): (Time, Time)| begin.since(last) <= ALIVE_NANOS && first.since(end) <= ALIVE_NANOS;
        let has_sent = self.all.sending.peek(&host).is_some_and(|span| is_within(*span));
        let has_worked = || {
            let names = self.worked().iter().filter(|(client, ..)| *client == host);
            names.flat_map(|(.., worked)| &worked.names).any(|name| is_within((name.first, name.last)))
        };
        // What was evicted is not known.
        self.all.sending.evictions == 0 && !has_sent && !has_worked()
    }

    /// Whether anything of a client worked at an address for which `is_wanted` is true.
    pub(in crate::judge) fn has_worked_at(
        &self,
        client: Address,
        is_wanted: impl Fn(Address) -> bool,
    ) -> bool {
        let mut servers = self.worked().iter().filter(|(of, ..)| *of == client).map(|(_, server, _)| *server);
        servers.any(|server| is_wanted(server.address))
    }

    /// Another time server that answers the client, the lowest of several.
    pub(in crate::judge) fn with_other_time_server(
        &self,
        client: Address,
        server: Endpoint,
    ) -> Option<ComparisonResult> {
        let others = self.worked().iter().filter(|(of, at, _)| {
            *of == client
                && at.port == server.port
                && server.port == port::NTP
                && at.address != server.address
        });
        others.map(|(_, at, _)| at.address).min().map(|server| ComparisonResult::OtherTimeServer { server })
    }

    /// Another port of a server on which it serves the same as on this one, where that works for the client.
    pub(in crate::judge) fn with_other_port(
        &self,
        client: Address,
        server: Endpoint,
    ) -> Option<ComparisonResult> {
        let works = |port: &u16| {
            let at = Endpoint { port: *port, ..server };
            self.all.worked.peek(&(client, at)).is_some()
        };
        let ports = ALTERNATIVE_PORTS.iter().filter(|(port, _)| *port == server.port);
        let port = ports.map(|(_, other)| *other).find(works)?;
        Some(ComparisonResult::OtherPortWorks { port })
    }

    fn is_proxy_of(&self, client: Address, server: Endpoint) -> bool {
        self.all.worked.peek(&(client, server)).is_some_and(|worked| worked.is_proxy)
    }

    /// Whether a name worked for a client on this port, at any address.
    pub(in crate::judge) fn has_worked(&self, client: Address, name: &HostName, port: u16) -> bool {
        self.worked_for(client).servers(name).any(|at| at.port == port)
    }

    /// Whether a name was blocked for a client.
    pub(in crate::judge) fn was_blocked(&self, client: Address, name: &HostName) -> bool {
        self.all.blocked.peek(&ClientAndName(client, name)).is_some()
    }

    /// The host that reached a name at an address, the lowest of several.
    pub(in crate::judge) fn reached_by(&self, name: &HostName, server: Endpoint) -> Option<Address> {
        self.reached(name, server).map(|(client, _)| client).min()
    }

    /// The first name that worked for a client, in order of the names, for which `is_wanted` is true; of those that worked on this port
    /// if there is one.
    pub(in crate::judge) fn find_worked_name(
        &self,
        client: Address,
        port: Option<u16>,
        is_wanted: impl Fn(&HostName) -> bool,
    ) -> Option<&'a Arc<HostName>> {
        let worked = self.worked_for(client);
        let has_port = |(_, at): &(_, Endpoint)| port.is_none_or(|port| at.port == port);
        let mut names = worked.names.chunk_by(|(one, _), (other, _)| one == other);
        let found = names.find(|servers| {
            servers.iter().any(has_port) && servers.first().is_some_and(|(name, _)| is_wanted(name))
        })?;
        found.first().map(|(name, _)| *name)
    }

    /// Where a name was blocked: at the address of the finding, else at the first one with its port.
    fn blocked_at(
        &self,
        client: Address,
        name: &HostName,
        server: Option<Endpoint>,
    ) -> Option<&'a BlockedAt> {
        let all = self.all.blocked.peek(&ClientAndName(client, name))?;
        let has_port = |at: &&BlockedAt| server.is_none_or(|server| at.server.port == server.port);
        all.iter().find(|at| Some(at.server) == server).or_else(|| all.iter().find(has_port))
    }

    /// The clients that reached a name at an address, and when, in no order.
    fn reached(&self, name: &HostName, server: Endpoint) -> impl Iterator<Item = (Address, &'a WorkedName)> {
        let names = self.names.get_or_init(|| {
            let of_server = |(client, server, worked): &(Address, Endpoint, &'a WorkedAt)| {
                let (client, server) = (*client, *server);
                worked.names.iter().map(move |name| (client, server, name))
            };
            self.worked().iter().flat_map(of_server).collect()
        });
        let keys = || names.iter().map(|(_, server, worked)| (*server, worked.name.as_deref()));
        let places = self.by_server_and_name.get_or_init(|| Places::new(keys(), names.len()));
        let found = places.back_from(places.last(&(server, Some(name))));
        found.filter_map(|place| names.get(place)).map(|(client, _, worked)| (*client, *worked))
    }

    /// Another client that reached the name at the same address about the time when it was blocked, the lowest of several.
    fn other_client(&self, client: Address, name: &HostName, blocked: &BlockedAt) -> Option<Address> {
        let is_near = |(other, reached): &(Address, &WorkedName)| {
            *other != client
                && reached.first.since(blocked.last) <= SAME_TIME_NANOS
                && blocked.first.since(reached.last) <= SAME_TIME_NANOS
        };
        self.reached(name, blocked.server).filter(is_near).map(|(other, _)| other).min()
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
        if let Some(worked) = self.all.worked.peek(&(client, server)) {
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
        let is_server = |at: &Endpoint| at.port == server.port && !self.is_proxy_of(client, *at);
        if let Some(at) = self.worked_for(client).servers(name).find(is_server) {
            return Some(ComparisonResult::WorksElsewhere { server: at.address });
        }
        let anything_works = self.all.clients.contains(&client);
        let names_at_address = self.all.blocked_at.peek(&(client, server)).map_or(0, |names| names.len());
        if anything_works && names_at_address >= MIN_NAMES_AT_ADDRESS {
            return Some(ComparisonResult::OtherNamesFail { server: server.address });
        }
        let names = self.all.blocked_names.peek(&client).copied().unwrap_or_default();
        let is_outage = names >= MIN_NAMES_IN_OUTAGE && !anything_works;
        is_outage.then_some(ComparisonResult::NothingWorks { names, client })
    }

    /// What all other flows show about a blocked address and port without a name.
    pub(in crate::judge) fn with_address(
        &self,
        client: Address,
        server: Endpoint,
    ) -> Option<ComparisonResult> {
        let blocked = self.all.blocked_unnamed.peek(&(client, server))?;
        let worked = self.all.worked.peek(&(client, server))?;
        let name = worked.only_name().filter(|_| !worked.is_proxy).cloned();
        Some(ComparisonResult::AddressWorked { when: Box::new(worked.compared_with(blocked)), name })
    }
}

//! Remembers names: which there are, what the rules say of each, and which name an address had for which client.
//!
//! In:  names that were claimed, and DNS answers.
//! Out: each name once, with its rules; for a client and an address, the names that DNS gave.
//! Not: which of several names is the right one.
//!
//! All tables are bounded; see `recent`.

use std::net::IpAddr;
use std::sync::Arc;

use hashbrown::HashMap;
use smallvec::SmallVec;

use crate::base::Address;
use crate::base::FrameRef;
use crate::base::HostName;
use crate::base::Time;
use crate::base::port;
use crate::base::proto;
use crate::judge::bounded_map::BoundedMap;
use crate::judge::diagnosis::revocation::is_of_certificates;
use crate::judge::policy::Policy;
use crate::judge::policy::name_class::NameClass;
use crate::judge::policy::name_class::in_private_zone;
use crate::judge::rows::Documented;
use crate::judge::rows::PortVerdict;
use crate::read::AnswerData;
use crate::read::Resolution;
use crate::rules;
use crate::rules::ReferenceId;
use crate::rules::ReferenceMatches;
use crate::rules::RuleSet;

/// Names of one address that are kept for one client.
const CANDIDATES: usize = 4;

/// CNAME steps that are followed; RFC 1034 §3.6.2 wants chains short, attackers do not.
const CHAIN: usize = 32;

/// Text of a chain that is remembered: twice what the longest honest chains have.
const CHAIN_BYTES: usize = 1024;

/// Lists of rows that are remembered; names that nobody planned for meet few.
const REFERENCE_LISTS: usize = 4096;

type Map<K, V> = HashMap<K, V, foldhash::fast::RandomState>;

/// A name, once, with what the rules say of it.
#[derive(Debug)]
pub(in crate::judge) struct KnownName {
    pub(in crate::judge) name: Arc<HostName>,
    /// What the documents say of it.
    pub(in crate::judge) references: Arc<NameReferences>,
    /// What the site makes of it.
    pub(in crate::judge) class: NameClass,
    /// It is an address in a name's place.
    pub(in crate::judge) is_address: bool,
}

/// What the documents say of all names that the same rows name.
#[derive(Debug)]
pub(in crate::judge) struct NameReferences {
    /// The rows, most specific first.
    pub(in crate::judge) rules: Box<[ReferenceId]>,
    /// True when nothing but wildcards names it that their document warns about.
    pub(in crate::judge) broad: bool,
    /// What the documents say, ready to print; none when no row names it.
    pub(in crate::judge) documented: Option<Arc<Documented>>,
    /// The same for a port that a row means and does not print; none where every row prints what it means.
    port_as_meant: Option<Arc<Documented>>,
    /// What they say of the port that nearly every flow has, TCP 443.
    pub(in crate::judge) on_https: PortVerdict,
    /// No row has any port but that.
    pub(in crate::judge) https_only: bool,
}

/// A name that DNS gave an address, and the frame of the answer.
#[derive(Clone, Debug)]
pub(in crate::judge) struct DnsAttribution {
    lead: Arc<ResolutionPath>,
    /// Packed: there is one of these for every live flow.
    frame: u64,
}

/// How DNS leads from a name to its addresses. Shared by all answers that lead the same way.
#[derive(Debug)]
struct ResolutionPath {
    known: Arc<KnownName>,
    /// The names behind the name.
    chain: Box<[HostName]>,
    /// One of them lies in a private zone.
    through_zone: bool,
    /// The chain was longer than is remembered.
    chain_is_cut: bool,
}

/// A name that DNS gave one client, and what the client made of it.
#[derive(Debug)]
pub(in crate::judge) struct ClientAnswer {
    pub(in crate::judge) named: DnsAttribution,
    /// The client went to the address.
    pub(in crate::judge) used: bool,
    /// When the last answer came, and in whole seconds the first: there are many of these.
    pub(in crate::judge) last: Time,
    pub(in crate::judge) first: u32,
}

/// The seconds of a time, as many as fit.
pub(in crate::judge) fn seconds(time: Time) -> u32 {
    u32::try_from(time.0 / 1_000_000_000).unwrap_or_default()
}

impl DnsAttribution {
    /// The name.
    pub(in crate::judge) fn known(&self) -> &Arc<KnownName> {
        &self.lead.known
    }

    /// The frame of the answer.
    pub(in crate::judge) fn frame(&self) -> FrameRef {
        FrameRef::unpack(self.frame)
    }

    /// The name reached the address through a `privatelink` label or the like: a name of the chain lies in a private zone.
    pub(in crate::judge) fn is_through_zone(&self) -> bool {
        self.lead.through_zone
    }

    /// Whether `known` is the name, or one behind it, as far as that is remembered.
    fn agrees(&self, known: &Arc<KnownName>) -> bool {
        let ResolutionPath { known: own, chain, chain_is_cut, .. } = &*self.lead;
        Arc::ptr_eq(own, known) || *chain_is_cut || chain.contains(&known.name)
    }

    /// What it keeps, about: as much as an entry, the name, and the chain, as if nobody shared them.
    fn weight(&self) -> usize {
        192 + self.known().name.as_str().len() * 2 + self.lead.weight()
    }
}

impl KnownName {
    /// What it keeps, about.
    fn weight(&self) -> usize {
        384 + self.name.as_str().len()
    }
}

impl ResolutionPath {
    fn new(known: Arc<KnownName>, chain: &[&HostName]) -> ResolutionPath {
        let fitting = within(chain, CHAIN_BYTES);
        ResolutionPath {
            known,
            chain: fitting.iter().map(|name| (*name).clone()).collect(),
            through_zone: chain.iter().any(|name| in_private_zone(name)),
            chain_is_cut: fitting.len() < chain.len(),
        }
    }

    /// What its chain keeps, about.
    fn weight(&self) -> usize {
        let names = self.chain.iter().map(|name| size_of::<HostName>() + name.as_str().len() + 32);
        64 + names.sum::<usize>()
    }

    /// Whether it leads through these names and no others.
    fn leads_through(&self, chain: &[&HostName]) -> bool {
        !self.chain_is_cut && self.chain.iter().eq(chain.iter().copied())
    }
}

/// What is remembered under a name.
#[derive(Debug)]
struct PoolEntry {
    known: Arc<KnownName>,
    /// How DNS led from it the last time.
    lead: Option<Arc<ResolutionPath>>,
}

/// What an answer gave.
#[derive(Debug, Default)]
pub(in crate::judge) struct Answered {
    /// The name asked for, where it led to addresses.
    pub(in crate::judge) known: Option<Arc<KnownName>>,
    /// The addresses that the chain leads to.
    pub(in crate::judge) addresses: SmallVec<[Address; 4]>,
}

/// DNS gave an address under another name than the one that was claimed.
#[derive(Debug)]
pub(in crate::judge) struct Contradiction {
    /// The newest name that DNS gave.
    pub(in crate::judge) other: Arc<KnownName>,
    /// Nobody received an answer for the claimed name.
    pub(in crate::judge) is_unanswered: bool,
}

/// All names.
#[derive(Debug)]
pub(in crate::judge) struct Names {
    pool: BoundedMap<HostName, PoolEntry>,
    /// One for each list of rows that some name has met; a row met by its corrected text is another.
    reference_lists: Map<Box<[(ReferenceId, bool)]>, Arc<NameReferences>>,
    by_client: BoundedMap<(Address, Address), SmallVec<[ClientAnswer; 1]>>,
    by_server: BoundedMap<Address, DnsAttribution>,
}

impl Names {
    /// No names, and at most so many bytes of them, about.
    pub(in crate::judge) fn new(bytes: usize) -> Self {
        // Two generations of each; what clients asked for is the most.
        let room = bytes / 12;
        Names {
            // Seven eighths of a power of two is what a hash table holds without growing.
            pool: BoundedMap::weighing(7 << 12, room * 2),
            reference_lists: Map::default(),
            by_client: BoundedMap::weighing(7 << 13, room * 3),
            by_server: BoundedMap::weighing(7 << 12, room),
        }
    }

    /// How often a full table forgot its older half.
    pub(in crate::judge) fn dropped(&self) -> u64 {
        self.pool.dropped + self.by_client.dropped + self.by_server.dropped
    }

    /// A name with its rules.
    pub(in crate::judge) fn know(&mut self, name: &HostName, policy: &Policy) -> Arc<KnownName> {
        if let Some(pooled) = self.pool.get(name) {
            return Arc::clone(&pooled.known);
        }
        let matches = policy.rules.match_host(name);
        let class = NameClass::of(name, &matches, policy);
        let references = self.references(&matches, &policy.rules);
        let class = NameClass { of_certificates: is_of_certificates(&references, &policy.rules), ..class };
        let is_address = name.as_str().parse::<IpAddr>().is_ok();
        let known = Arc::new(KnownName { name: Arc::new(name.clone()), references, class, is_address });
        let pooled = PoolEntry { known: Arc::clone(&known), lead: None };
        self.pool.put_weighing(name.clone(), pooled, known.weight());
        known
    }

    /// The names that DNS gave `server` for `client`, newest last.
    fn of(&mut self, client: Address, server: Address) -> &mut [ClientAnswer] {
        match self.by_client.get(&(client, server)) {
            Some(given) => given,
            None => &mut [],
        }
    }

    /// What DNS gave to clients, in no order.
    pub(in crate::judge) fn given(&self) -> impl Iterator<Item = (Address, &ClientAnswer)> {
        let given = self.by_client.entries();
        given.flat_map(|((client, _), given)| given.iter().map(|given| (*client, given)))
    }

    /// When DNS gave `server` names for `client` and none of them, nor of the names behind them, is `known`. An address in a
    /// name's place contradicts nothing.
    pub(in crate::judge) fn contradicts(
        &mut self,
        client: Address,
        server: Address,
        known: &Arc<KnownName>,
    ) -> Option<Contradiction> {
        let given = self.of(client, server);
        if known.is_address || given.iter().any(|given| given.named.agrees(known)) {
            return None;
        }
        let other = Arc::clone(given.last()?.named.known());
        let is_unanswered = self.pool.get(&*known.name).is_none_or(|pooled| pooled.lead.is_none());
        Some(Contradiction { other, is_unanswered })
    }

    /// `client` goes to `server`: the name that DNS last gave it, else anybody; and whether it was for another.
    pub(in crate::judge) fn when_opened(
        &mut self,
        client: Address,
        server: Address,
    ) -> (Option<DnsAttribution>, bool) {
        let given = self.of(client, server);
        given.iter_mut().for_each(|given| given.used = true);
        match given.last() {
            Some(given) => (Some(given.named.clone()), false),
            None => (self.by_server.get(&server).map(|named| named.clone()), true),
        }
    }

    /// Takes an answer in that `client` received.
    pub(in crate::judge) fn resolved(
        &mut self,
        client: Address,
        resolution: &Resolution,
        (frame, time): (FrameRef, Time),
        policy: &Policy,
    ) -> Answered {
        let (chain, addresses) = follow(resolution);
        if addresses.is_empty() {
            return Answered::default();
        }
        let lead = self.lead(&resolution.query_name, &chain, policy);
        let named = DnsAttribution { lead, frame: frame.pack() };
        for address in &addresses {
            self.give(client, *address, &named, time);
        }
        Answered { known: Some(Arc::clone(named.known())), addresses }
    }

    /// The way from a name through a chain.
    fn lead(&mut self, name: &HostName, chain: &[&HostName], policy: &Policy) -> Arc<ResolutionPath> {
        if let Some(PoolEntry { lead: Some(lead), .. }) = self.pool.get(name)
            && lead.leads_through(chain)
        {
            return Arc::clone(lead);
        }
        let lead = Arc::new(ResolutionPath::new(self.know(name, policy), chain));
        if let Some(pooled) = self.pool.get(name) {
            pooled.lead = Some(Arc::clone(&lead));
            self.pool.weigh(name, lead.known.weight() + lead.weight());
        }
        lead
    }

    /// DNS gave `address` a name for `client`.
    fn give(&mut self, client: Address, address: Address, named: &DnsAttribution, time: Time) {
        match self.by_server.get(&address) {
            Some(last) if Arc::ptr_eq(&last.lead, &named.lead) => last.frame = named.frame,
            _ => self.by_server.put_weighing(address, named.clone(), named.weight()),
        }
        let key = (client, address);
        let mut given = ClientAnswer { named: named.clone(), used: false, first: seconds(time), last: time };
        let Some(candidates) = self.by_client.get(&key) else {
            return self.by_client.put_weighing(key, SmallVec::from_iter([given]), named.weight());
        };
        if let Some(last) = candidates.last_mut().filter(|last| Arc::ptr_eq(&last.named.lead, &named.lead)) {
            (last.named.frame, last.last) = (named.frame, time);
            return;
        }
        let same = candidates.iter().position(|other| Arc::ptr_eq(other.named.known(), named.known()));
        if let Some(before) = same.map(|place| candidates.remove(place)) {
            (given.used, given.first) = (before.used, before.first);
        }
        if candidates.len() >= CANDIDATES {
            candidates.remove(0);
        }
        candidates.push(given);
        let weight = candidates.iter().map(|given| given.named.weight()).sum();
        self.by_client.weigh(&key, weight);
    }

    fn references(&mut self, matches: &ReferenceMatches, rules: &RuleSet) -> Arc<NameReferences> {
        let met: SmallVec<[(ReferenceId, bool); 32]> =
            matches.iter().map(|hit| (hit.id, hit.is_alias)).collect();
        if let Some(same) = self.reference_lists.get(met.as_slice()) {
            return Arc::clone(same);
        }
        let references = Arc::new(NameReferences::of(matches, rules));
        if self.reference_lists.len() >= REFERENCE_LISTS {
            self.reference_lists.clear();
        }
        self.reference_lists.insert(met.as_slice().into(), Arc::clone(&references));
        references
    }
}

impl NameReferences {
    fn of(matches: &ReferenceMatches, rules: &RuleSet) -> NameReferences {
        let said = |port_is_meant: bool| {
            let mut documented = Documented::default();
            for hit in matches {
                let rule = rules.reference(hit.id);
                let port_is_meant = port_is_meant && !rule.corrected_ports.is_empty();
                add(&mut documented.references, &rule.id, how_met(hit, port_is_meant));
                add_once(&mut documented.documents, &rule.document.id);
                for product in &rule.document.products {
                    add_once(&mut documented.products, product);
                }
            }
            Arc::new(documented)
        };
        let means_a_port = matches.iter().any(|hit| !rules.reference(hit.id).corrected_ports.is_empty());
        let broad = !matches.is_empty() && matches.iter().all(|hit| rules.reference(hit.id).broad);
        let found: Box<[ReferenceId]> = matches.iter().map(|hit| hit.id).collect();
        let https_only = found.iter().all(|id| is_https_only(rules.reference(*id)));
        NameReferences {
            on_https: best_port(&found, rules, proto::TCP, port::HTTPS),
            https_only,
            broad,
            documented: (!matches.is_empty()).then(|| said(false)),
            port_as_meant: means_a_port.then(|| said(true)),
            rules: found,
        }
    }

    /// What the documents say to a flow on this port: where a row means it and prints another, the text says which.
    pub(in crate::judge) fn documented_on(
        &self,
        rules: &RuleSet,
        protocol: u8,
        port: u16,
    ) -> Option<&Arc<Documented>> {
        let means =
            |id: &ReferenceId| rules.reference(*id).allows(protocol, port) == rules::PortMatch::Corrected;
        match &self.port_as_meant {
            Some(meant) if self.rules.iter().any(means) => Some(meant),
            _ => self.documented.as_ref(),
        }
    }

    /// The best that any of the rows says of a port.
    pub(in crate::judge) fn port(&self, rules: &RuleSet, protocol: u8, port: u16) -> PortVerdict {
        if (protocol, port) == (proto::TCP, port::HTTPS) {
            return self.on_https;
        }
        let best = best_port(&self.rules, rules, protocol, port);
        // HTTP/3 carries HTTPS over UDP 443: the port is the one that is demanded.
        if best == PortVerdict::Not443 && (protocol, port) == (proto::UDP, port::HTTPS) && self.https_only {
            return PortVerdict::Https;
        }
        best
    }
}

/// What is said behind a rule's id where it was not met as printed.
const fn how_met(hit: &rules::ReferenceMatch, port_is_meant: bool) -> &'static str {
    match hit.kind {
        _ if hit.is_alias => " (as meant)",
        rules::MatchKind::Placeholder => " (placeholder)",
        _ if port_is_meant => " (port as meant)",
        _ => "",
    }
}

fn is_https_only(rule: &rules::Reference) -> bool {
    rule.allows(proto::TCP, port::HTTPS) == rules::PortMatch::Https
        && rule.allows(proto::TCP, port::HTTP) == rules::PortMatch::Not
}

fn best_port(found: &[ReferenceId], rules: &RuleSet, protocol: u8, port: u16) -> PortVerdict {
    let said = |id: &ReferenceId| match rules.reference(*id).allows(protocol, port) {
        rules::PortMatch::Https => PortVerdict::Https,
        rules::PortMatch::Documented | rules::PortMatch::Corrected => PortVerdict::Documented,
        rules::PortMatch::Not => PortVerdict::Not443,
    };
    found.iter().map(said).min().unwrap_or(PortVerdict::Not443)
}

pub(in crate::judge) fn add(list: &mut String, item: &str, tail: &str) {
    if !list.is_empty() {
        list.push(';');
    }
    list.push_str(item);
    list.push_str(tail);
}

pub(in crate::judge) fn add_once(list: &mut String, item: &str) {
    if !list.split(';').any(|other| other == item) {
        add(list, item, "");
    }
}

/// The first names of a chain that have room together.
fn within<'a, 'b>(chain: &'a [&'b HostName], mut room: usize) -> &'a [&'b HostName] {
    let mut fit = 0;
    for name in chain {
        match room.checked_sub(name.as_str().len()) {
            Some(left) => room = left,
            None => break,
        }
        fit += 1;
    }
    chain.get(..fit).unwrap_or(chain)
}

/// Names behind a name.
type Chain<'a> = SmallVec<[&'a HostName; 4]>;

/// The names behind the query's name and the addresses at the chain's end, whatever the order of the records.
fn follow(resolution: &Resolution) -> (Chain<'_>, SmallVec<[Address; 4]>) {
    const CNAME: u16 = 5;
    let mut chain = Chain::new();
    let mut addresses = SmallVec::new();
    if resolution.opcode != 0 || resolution.multicast || resolution.rcode != Some(0) {
        return (chain, addresses);
    }
    for _ in 0..CHAIN {
        let last = chain.last().copied().unwrap_or(&resolution.query_name);
        let next = resolution.answers.iter().find_map(|answer| match &answer.data {
            AnswerData::Name(target) if answer.kind == CNAME && answer.owner == *last => Some(target),
            _ => None,
        });
        match next {
            Some(target) if *target != resolution.query_name && !chain.contains(&target) => {
                chain.push(target)
            }
            _ => break,
        }
    }
    let reached = |owner: &HostName| *owner == resolution.query_name || chain.contains(&owner);
    for answer in &resolution.answers {
        match &answer.data {
            AnswerData::Address(address) if reached(&answer.owner) => addresses.push(*address),
            AnswerData::Service { hints, .. } if reached(&answer.owner) => addresses.extend_from_slice(hints),
            _ => {}
        }
    }
    (chain, addresses)
}

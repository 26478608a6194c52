//! The names of the run: what is known of each, and which name an address had for which client.
//!
//! In:  names that flows claim, and DNS responses.
//! Out: each name with its references and class; for a client and an address, the names that DNS resolved to it.
//! Not: which of several names of a flow is the right one.
//!
//! All tables are bounded and evict what was not used recently. Names are compared by value, so that eviction costs time and
//! never changes a result.

use std::net::IpAddr;
use std::sync::Arc;

use hashbrown::HashMap;
use smallvec::SmallVec;

use super::Policy;
use super::name_class::NameClass;
use super::name_class::in_private_zone;
use super::references::NameReferences;
use crate::base::Address;
use crate::base::FrameRef;
use crate::base::HostName;
use crate::base::Time;
use crate::judge::bounded_map::BoundedMap;
use crate::judge::hashed_name::HashedName;
use crate::read::AnswerData;
use crate::read::Resolution;
use crate::rules::ElsewhereId;
use crate::rules::ReferenceId;
use crate::rules::ReferenceMatches;
use crate::rules::RuleSet;

/// Names of one address that are kept for one client.
const MAX_CANDIDATES: usize = 4;

/// Programs use an address for so long after they resolved it, whatever its TTL.
const MIN_LIFETIME_SECS: u32 = 60;

/// CNAME records that are followed. RFC 1034 §3.6.2 wants chains short; attackers do not.
const MAX_CHAIN: usize = 32;

/// Text of a chain that is kept: twice what the longest honest chains have.
const MAX_CHAIN_BYTES: usize = 1024;

/// Lists of references that are kept. Most names match none, or one of a few lists.
const MAX_REFERENCE_LISTS: usize = 4096;

/// A name with what the rules and the site say of it.
#[derive(Debug)]
pub(in crate::judge) struct KnownName {
    pub(in crate::judge) name: HashedName,
    /// What the documents say of it.
    pub(in crate::judge) references: Arc<NameReferences>,
    /// What it is to the site.
    pub(in crate::judge) class: NameClass,
    /// The address that it is in place of a name.
    pub(in crate::judge) address: Option<Address>,
    /// The row that documents it, though it is not in force for the site; only where no other row matches.
    pub(in crate::judge) elsewhere: Option<ElsewhereId>,
    /// No host can have it, and it matches no row.
    pub(in crate::judge) is_malformed: bool,
}

impl KnownName {
    /// Whether any row matches it.
    pub(in crate::judge) fn is_documented(&self) -> bool {
        self.references.documented.is_some()
    }

    /// Bytes that it occupies, about.
    fn weight(&self) -> usize {
        384 + self.name.as_str().len()
    }
}

impl PartialEq for KnownName {
    fn eq(&self, other: &KnownName) -> bool {
        self.name == other.name
    }
}

impl Eq for KnownName {}

/// The name that DNS resolved to an address, and the frame of the response.
#[derive(Clone, Debug)]
pub(in crate::judge) struct DnsAttribution {
    path: Arc<ResolutionPath>,
    /// Packed: there is one of these for every live flow.
    frame: u64,
}

impl DnsAttribution {
    /// The name that was queried.
    pub(in crate::judge) fn known(&self) -> &Arc<KnownName> {
        &self.path.known
    }

    /// The frame of the response.
    pub(in crate::judge) fn frame(&self) -> FrameRef {
        FrameRef::unpack(self.frame)
    }

    /// A name of the CNAME chain is in a private zone.
    pub(in crate::judge) fn is_through_private_zone(&self) -> bool {
        self.path.through_private_zone
    }

    /// Whether `known` is the queried name or in its chain, as far as the chain is kept.
    pub(in crate::judge) fn includes(&self, known: &KnownName) -> bool {
        let ResolutionPath { known: queried, chain, chain_is_cut, .. } = &*self.path;
        queried.name == known.name || *chain_is_cut || chain.contains(&known.name)
    }

    /// Bytes that it occupies, about: an entry, the name, and the chain, as if nothing shared them.
    fn weight(&self) -> usize {
        192 + self.known().name.as_str().len() * 2 + self.path.weight()
    }
}

/// How DNS leads from a name to its addresses. Shared by all responses with the same chain.
#[derive(Debug, PartialEq, Eq)]
struct ResolutionPath {
    known: Arc<KnownName>,
    /// The names after the queried one.
    chain: Box<[HostName]>,
    through_private_zone: bool,
    /// The chain was longer than is kept.
    chain_is_cut: bool,
}

impl ResolutionPath {
    fn new(known: Arc<KnownName>, chain: &[&HostName]) -> ResolutionPath {
        let kept = first_within(chain, MAX_CHAIN_BYTES);
        ResolutionPath {
            known,
            chain: kept.iter().map(|name| (*name).clone()).collect(),
            through_private_zone: chain.iter().any(|name| in_private_zone(name)),
            chain_is_cut: kept.len() < chain.len(),
        }
    }

    /// Bytes that its chain occupies, about.
    fn weight(&self) -> usize {
        let names = self.chain.iter().map(|name| size_of::<HostName>() + name.as_str().len() + 32);
        64 + names.sum::<usize>()
    }

    fn has_chain(&self, chain: &[&HostName]) -> bool {
        !self.chain_is_cut && self.chain.iter().eq(chain.iter().copied())
    }
}

/// A name that DNS resolved for one client, and whether the client used the address.
#[derive(Clone, Debug)]
pub(in crate::judge) struct ClientAnswer {
    pub(in crate::judge) dns: DnsAttribution,
    /// The client sent packets to the address.
    pub(in crate::judge) used: bool,
    /// Time of the last response.
    pub(in crate::judge) last: Time,
    /// Time of the first response in whole seconds: there are many of these.
    pub(in crate::judge) first_secs: u32,
    /// The longest time for which a record of a response may be cached, in seconds, as many as fit.
    pub(in crate::judge) ttl_secs: u16,
}

/// The seconds of a time, as many as fit.
pub(in crate::judge) fn seconds(time: Time) -> u32 {
    u32::try_from(time.0 / 1_000_000_000).unwrap_or_default()
}

/// What is kept of a name.
#[derive(Debug)]
struct PoolEntry {
    known: Arc<KnownName>,
    /// How DNS resolved it the last time.
    path: Option<Arc<ResolutionPath>>,
}

/// What a response resolved.
#[derive(Debug, Default)]
pub(in crate::judge) struct ResolvedName {
    /// The queried name, where it has addresses.
    pub(in crate::judge) known: Option<Arc<KnownName>>,
    /// The addresses at the end of the chain.
    pub(in crate::judge) addresses: SmallVec<[Address; 4]>,
}

/// DNS resolved another name to the server's address than the flow claims.
#[derive(Debug)]
pub(in crate::judge) struct Contradiction {
    /// The name that DNS last resolved to it.
    pub(in crate::judge) other: Arc<KnownName>,
    /// The capture holds no response for the claimed name.
    pub(in crate::judge) is_unanswered: bool,
}

/// The rows that match a name, and whether each matches by its corrected name.
type ReferenceKey = Box<[(ReferenceId, bool)]>;

/// All names.
#[derive(Debug)]
pub(in crate::judge) struct NameTable {
    pool: BoundedMap<HostName, PoolEntry>,
    hasher: foldhash::fast::RandomState,
    reference_lists: HashMap<ReferenceKey, Arc<NameReferences>, foldhash::fast::RandomState>,
    by_client: BoundedMap<(Address, Address), SmallVec<[ClientAnswer; 1]>>,
    by_server: BoundedMap<Address, DnsAttribution>,
}

impl NameTable {
    /// No names yet, and at most about this many bytes of them.
    pub(in crate::judge) fn new(bytes: usize) -> Self {
        // Each map has two generations. Responses by client need most.
        let share = bytes / 12;
        NameTable {
            pool: BoundedMap::weighing(7 << 12, share * 2),
            hasher: foldhash::fast::RandomState::default(),
            reference_lists: HashMap::default(),
            by_client: BoundedMap::weighing(7 << 13, share * 3),
            by_server: BoundedMap::weighing(7 << 12, share),
        }
    }

    /// How often the least recently used half of a table was evicted.
    pub(in crate::judge) fn evictions(&self) -> u64 {
        self.pool.evictions + self.by_client.evictions + self.by_server.evictions
    }

    /// A name with its references and class.
    pub(in crate::judge) fn look_up(&mut self, name: &HostName, policy: &Policy) -> Arc<KnownName> {
        if let Some(entry) = self.pool.get(name) {
            return Arc::clone(&entry.known);
        }
        let address = name.as_str().parse::<IpAddr>().ok().map(Address::from);
        let is_malformed = address.is_none() && !name.is_host_name();
        let matches = match (address, is_malformed) {
            (None, false) => policy.rules.match_host(name),
            _ => ReferenceMatches::new(),
        };
        let known = Arc::new(KnownName {
            name: HashedName::new(name.clone(), &self.hasher),
            references: self.references(&matches, &policy.rules),
            class: NameClass::of(name, &matches, policy),
            elsewhere: if matches.is_empty() && address.is_none() && !is_malformed {
                policy.rules.documented_elsewhere(name)
            } else {
                None
            },
            address,
            is_malformed,
        });
        let entry = PoolEntry { known: Arc::clone(&known), path: None };
        self.pool.insert_weighing(name.clone(), entry, known.weight());
        known
    }

    fn references(&mut self, matches: &ReferenceMatches, rules: &RuleSet) -> Arc<NameReferences> {
        let key: SmallVec<[(ReferenceId, bool); 32]> =
            matches.iter().map(|hit| (hit.id, hit.is_alias)).collect();
        if let Some(same) = self.reference_lists.get(key.as_slice()) {
            return Arc::clone(same);
        }
        let references = Arc::new(NameReferences::new(matches, rules));
        if self.reference_lists.len() >= MAX_REFERENCE_LISTS {
            self.reference_lists.clear();
        }
        self.reference_lists.insert(key.as_slice().into(), Arc::clone(&references));
        references
    }

    /// The names that DNS resolved to `server` for `client`, newest last.
    fn answers(&mut self, client: Address, server: Address) -> &mut [ClientAnswer] {
        match self.by_client.get(&(client, server)) {
            Some(answers) => answers,
            None => &mut [],
        }
    }

    /// What DNS resolved for clients, in no order.
    pub(in crate::judge) fn client_answers(&self) -> impl Iterator<Item = (Address, &ClientAnswer)> {
        let by_client = self.by_client.iter();
        by_client.flat_map(|((client, _), answers)| answers.iter().map(|answer| (*client, answer)))
    }

    /// The same, with the address that was returned.
    pub(in crate::judge) fn answers_by_address(
        &self,
    ) -> impl Iterator<Item = (Address, Address, &ClientAnswer)> {
        let by_client = self.by_client.iter();
        by_client
            .flat_map(|((client, server), answers)| answers.iter().map(|answer| (*client, *server, answer)))
    }

    /// The contradiction when DNS resolved names to `server` for `client`, and neither they nor their chains include
    /// `known`. An address in place of a name contradicts nothing.
    pub(in crate::judge) fn contradiction(
        &mut self,
        client: Address,
        server: Address,
        known: &KnownName,
    ) -> Option<Contradiction> {
        let answers = self.answers(client, server);
        if known.address.is_some() || answers.iter().any(|answer| answer.dns.includes(known)) {
            return None;
        }
        let other = Arc::clone(answers.last()?.dns.known());
        let is_unanswered = self.pool.get(&*known.name).is_none_or(|entry| entry.path.is_none());
        Some(Contradiction { other, is_unanswered })
    }

    /// `client` sends packets to `server`: the name that DNS last resolved to it for this client, else for any; true where
    /// it was for another client.
    pub(in crate::judge) fn attribute(
        &mut self,
        client: Address,
        server: Address,
    ) -> (Option<DnsAttribution>, bool) {
        let answers = self.answers(client, server);
        answers.iter_mut().for_each(|answer| answer.used = true);
        match answers.last() {
            Some(answer) => (Some(answer.dns.clone()), false),
            None => (self.by_server.get(&server).map(|dns| dns.clone()), true),
        }
    }

    /// A documented name that DNS resolved to `server` for `client` before `began`, where a later response gave the address to an
    /// undocumented name: many names share the addresses of a front end, and which of them a blocked attempt was for is not known.
    pub(in crate::judge) fn documented_alternative(
        &mut self,
        client: Address,
        server: Address,
        began: Time,
    ) -> Option<DnsAttribution> {
        let answers = self.answers(client, server);
        let began = seconds(began);
        let newest = answers.last().filter(|newest| !newest.dns.known().is_documented())?;
        let newest = seconds(newest.last);
        let is_fresh = |answer: &&ClientAnswer| {
            let lifetime = u32::from(answer.ttl_secs).max(MIN_LIFETIME_SECS);
            answer.first_secs <= began && newest.saturating_sub(seconds(answer.last)) <= lifetime
        };
        let mut fresh = answers.iter().rev().filter(is_fresh);
        fresh.find(|answer| answer.dns.known().is_documented()).map(|answer| answer.dns.clone())
    }

    /// `client` exchanged packets with `server` until `last`: it uses the addresses that it had resolved before. A connection may
    /// be older than the response.
    pub(in crate::judge) fn mark_used(&mut self, client: Address, server: Address, last: Time) {
        let resolved_before = |answer: &&mut ClientAnswer| answer.first_secs <= seconds(last);
        self.answers(client, server).iter_mut().filter(resolved_before).for_each(|answer| answer.used = true);
    }

    /// Adds a response that `client` received.
    pub(in crate::judge) fn add_response(
        &mut self,
        client: Address,
        resolution: &Resolution,
        (frame, time): (FrameRef, Time),
        policy: &Policy,
    ) -> ResolvedName {
        let (chain, addresses) = follow_chain(resolution);
        if addresses.is_empty() {
            return ResolvedName::default();
        }
        let path = self.path(&resolution.query_name, &chain, policy);
        let dns = DnsAttribution { path, frame: frame.pack() };
        let ttl = resolution.answers.iter().map(|answer| answer.ttl).max().unwrap_or_default();
        let answer = ClientAnswer {
            dns,
            used: false,
            last: time,
            first_secs: seconds(time),
            ttl_secs: u16::try_from(ttl).unwrap_or(u16::MAX),
        };
        for address in &addresses {
            self.add_answer(client, *address, &answer);
        }
        let dns = answer.dns;
        ResolvedName { known: Some(Arc::clone(dns.known())), addresses }
    }

    /// The path from a name through a chain.
    fn path(&mut self, name: &HostName, chain: &[&HostName], policy: &Policy) -> Arc<ResolutionPath> {
        if let Some(PoolEntry { path: Some(path), .. }) = self.pool.get(name)
            && path.has_chain(chain)
        {
            return Arc::clone(path);
        }
        let path = Arc::new(ResolutionPath::new(self.look_up(name, policy), chain));
        if let Some(entry) = self.pool.get(name) {
            entry.path = Some(Arc::clone(&path));
            self.pool.set_weight(name, path.known.weight() + path.weight());
        }
        path
    }

    /// DNS resolved a name to `address` for `client`.
    fn add_answer(&mut self, client: Address, address: Address, answer: &ClientAnswer) {
        let dns = &answer.dns;
        match self.by_server.get(&address) {
            Some(last) if last.path == dns.path => last.frame = dns.frame,
            _ => self.by_server.insert_weighing(address, dns.clone(), dns.weight()),
        }
        let key = (client, address);
        let Some(answers) = self.by_client.get(&key) else {
            let first = SmallVec::from_iter([answer.clone()]);
            return self.by_client.insert_weighing(key, first, dns.weight());
        };
        if let Some(last) = answers.last_mut().filter(|last| last.dns.path == dns.path) {
            (last.dns.frame, last.last) = (dns.frame, answer.last);
            last.ttl_secs = last.ttl_secs.max(answer.ttl_secs);
            return;
        }
        let mut answer = answer.clone();
        let same_name = answers.iter().position(|other| other.dns.known() == dns.known());
        if let Some(before) = same_name.map(|index| answers.remove(index)) {
            (answer.used, answer.first_secs) = (before.used, before.first_secs);
            answer.ttl_secs = answer.ttl_secs.max(before.ttl_secs);
        }
        if answers.len() >= MAX_CANDIDATES {
            answers.remove(0);
        }
        answers.push(answer);
        let weight = answers.iter().map(|answer| answer.dns.weight()).sum();
        self.by_client.set_weight(&key, weight);
    }
}

/// The first names that together have at most `bytes`.
fn first_within<'a, 'b>(chain: &'a [&'b HostName], mut bytes: usize) -> &'a [&'b HostName] {
    let mut count = 0;
    for name in chain {
        match bytes.checked_sub(name.as_str().len()) {
            Some(left) => bytes = left,
            None => break,
        }
        count += 1;
    }
    chain.get(..count).unwrap_or(chain)
}

/// The names of a chain after the queried one.
type Chain<'a> = SmallVec<[&'a HostName; 4]>;

/// The chain and the addresses at its end, whatever the order of the records.
fn follow_chain(resolution: &Resolution) -> (Chain<'_>, SmallVec<[Address; 4]>) {
    const CNAME: u16 = 5;
    let mut chain = Chain::new();
    let mut addresses = SmallVec::new();
    if resolution.opcode != 0 || resolution.multicast || resolution.rcode != Some(0) {
        return (chain, addresses);
    }
    for _ in 0..MAX_CHAIN {
        let last = chain.last().copied().unwrap_or(&resolution.query_name);
        let next = resolution.answers.iter().find_map(|answer| match &answer.data {
            AnswerData::Name(target) if answer.kind == CNAME && answer.owner == *last => Some(target),
            _ => None,
        });
        match next {
            Some(target) if *target != resolution.query_name && !chain.contains(&target) => {
                chain.push(target);
            }
            _ => break,
        }
    }
    let is_in_chain = |owner: &HostName| *owner == resolution.query_name || chain.contains(&owner);
    for answer in &resolution.answers {
        match &answer.data {
            AnswerData::Address(address) if is_in_chain(&answer.owner) => addresses.push(*address),
            AnswerData::Service(service) if is_in_chain(&answer.owner) => {
                addresses.extend_from_slice(&service.hints);
            }
            _ => {}
        }
    }
    (chain, addresses)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::judge::policy::Policy;
    use crate::judge::test_support;
    use crate::judge::test_support::host;
    use crate::read::Answer;

    const CLIENT: Address = Address::v4([10, 1, 0, 4]);
    const SERVER: Address = Address::v4([20, 60, 0, 4]);

    fn cname(owner: &str, target: &str) -> Answer {
        Answer { owner: host(owner), kind: 5, ttl: 60, data: AnswerData::Name(host(target)) }
    }

    /// A response with CNAME records besides.
    fn response(name: &str, addresses: &[Address], aliases: Vec<Answer>) -> Resolution {
        let mut resolution = test_support::resolution(name, Some(0), addresses);
        resolution.answers.extend(aliases);
        resolution
    }

    /// A table with one response: `storage.example` is at [`SERVER`].
    fn table(policy: &Policy, bytes: usize) -> NameTable {
        let mut names = NameTable::new(bytes);
        let resolution = response("storage.example", &[SERVER], Vec::new());
        names.add_response(CLIENT, &resolution, (FrameRef::default(), Time(0)), policy);
        names
    }

    #[test]
    fn the_response_to_this_client_comes_before_that_to_another() {
        let policy = Policy::for_tests("");
        let mut names = table(&policy, usize::MAX);
        let (dns, is_other_clients) = names.attribute(CLIENT, SERVER);
        assert_eq!((dns.unwrap().known().name.as_str(), is_other_clients), ("storage.example", false));
        let (dns, is_other_clients) = names.attribute(Address(9), SERVER);
        assert_eq!((dns.unwrap().known().name.as_str(), is_other_clients), ("storage.example", true));
        assert!(names.attribute(CLIENT, Address(9)).0.is_none());
    }

    #[test]
    fn a_documented_name_of_a_shared_address_is_an_alternative_to_a_later_one() {
        let policy = Policy::for_tests("");
        let mut names = NameTable::new(usize::MAX);
        let resolve = |names: &mut NameTable, name: &str, second: i64| {
            let at = (FrameRef::default(), Time(second * 1_000_000_000));
            names.add_response(CLIENT, &response(name, &[SERVER], Vec::new()), at, &policy);
        };
        let documented = "login.microsoftonline.com";
        resolve(&mut names, documented, 1);
        let began = Time(90_000_000_000);
        assert!(names.documented_alternative(CLIENT, SERVER, began).is_none(), "it is the newest");
        resolve(&mut names, "files.example", 2);
        let found = names.documented_alternative(CLIENT, SERVER, began);
        assert_eq!(found.map(|dns| dns.known().name.to_string()).as_deref(), Some(documented));
        resolve(&mut names, "files.example", 3_000);
        assert!(names.documented_alternative(CLIENT, SERVER, began).is_none(), "it is too old");
    }

    #[test]
    fn names_of_the_chain_do_not_contradict() {
        let policy = Policy::for_tests("");
        let mut names = table(&policy, usize::MAX);
        let aliases = vec![
            cname("www.example", "www.privatelink.example"),
            cname("www.privatelink.example", "edge.example"),
        ];
        names.add_response(
            CLIENT,
            &response("www.example", &[SERVER], aliases),
            (FrameRef::default(), Time(1)),
            &policy,
        );
        let mut contradicts = |name: &str| {
            let known = names.look_up(&host(name), &policy);
            names.contradiction(CLIENT, SERVER, &known).is_some()
        };
        assert!(!contradicts("www.example") && !contradicts("edge.example"));
        assert!(!contradicts("storage.example"), "an earlier response still counts");
        assert!(!contradicts("20.60.0.4"), "an address in place of a name");
        assert!(contradicts("other.example"));
        assert!(names.attribute(CLIENT, SERVER).0.unwrap().is_through_private_zone());
    }

    /// The pool evicts `storage.example`, while the response for it is still kept.
    #[test]
    fn eviction_does_not_turn_one_name_into_two() {
        let policy = Policy::for_tests("");
        for (bytes, others) in [(usize::MAX, 57_400), (1 << 20, 2_000)] {
            let mut names = table(&policy, bytes);
            let before = names.look_up(&host("storage.example"), &policy);
            for number in 0..others {
                names.look_up(&host(&format!("host{number}.example")), &policy);
            }
            assert!(names.evictions() > 0);
            let after = names.look_up(&host("storage.example"), &policy);
            assert_eq!(before, after);
            assert!(names.contradiction(CLIENT, SERVER, &after).is_none());
        }
    }

    #[test]
    fn loops_of_cname_records_end() {
        let policy = Policy::for_tests("");
        let mut names = NameTable::new(usize::MAX);
        let answers = vec![cname("a.example", "b.example"), cname("b.example", "a.example")];
        let resolved = names.add_response(
            CLIENT,
            &response("a.example", &[], answers),
            (FrameRef::default(), Time(0)),
            &policy,
        );
        assert!(resolved.known.is_none() && resolved.addresses.is_empty());
    }
}

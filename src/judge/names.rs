//! Remembers names: which there are, what the rules say of each, and which name an address had for which client.
//!
//! In:  names that were claimed, and DNS answers.
//! Out: each name once, with its rules; for a client and an address, the names that DNS gave.
//! Not: which of several names is the right one.
//!
//! All tables are bounded: each keeps two generations and forgets the older one when the newer is full, so what was used
//! lately stays.

use std::hash::Hash;
use std::sync::Arc;

use hashbrown::HashMap;
use smallvec::SmallVec;

use super::ground::Ground;
use super::nature::Nature;
use super::nature::in_private_zone;
use super::record::Documented;
use super::record::PortVerdict;
use super::revocation::is_of_certificates;
use crate::base::Address;
use crate::base::FrameRef;
use crate::base::HostName;
use crate::base::Time;
use crate::read::AnswerData;
use crate::read::Resolution;
use crate::rules;
use crate::rules::Matches;
use crate::rules::RuleId;
use crate::rules::Rules;

/// Names of one address that are kept for one client.
const CANDIDATES: usize = 4;

/// CNAME steps that are followed; RFC 1034 §3.6.2 wants chains short, attackers do not.
const CHAIN: usize = 32;

/// Text of a chain that is remembered: twice what the longest honest chains have.
const CHAIN_BYTES: usize = 1024;

/// Lists of rows that are remembered; names that nobody planned for meet few.
const STANDINGS: usize = 4096;

/// IANA protocol numbers, and the port that the documents demand.
const TCP: u8 = 6;
const UDP: u8 = 17;
const HTTPS: u16 = 443;

type Map<K, V> = HashMap<K, V, foldhash::fast::RandomState>;

/// A map of bounded size that forgets what has not been used for longest.
#[derive(Debug)]
pub(super) struct Recent<K, V> {
    young: Map<K, (V, u32)>,
    old: Map<K, (V, u32)>,
    cap: usize,
    /// What a generation may weigh, and what the newer does.
    room: usize,
    weight: usize,
    /// How often a generation was dropped.
    pub(super) dropped: u64,
}

impl<K: Hash + Eq + Clone, V> Recent<K, V> {
    pub(super) fn new(cap: usize) -> Self {
        Recent { young: Map::default(), old: Map::default(), cap, room: usize::MAX, weight: 0, dropped: 0 }
    }

    /// The same, and a generation is also full when its entries together weigh `room`.
    fn weighing(cap: usize, room: usize) -> Self {
        Recent { room, ..Recent::new(cap) }
    }

    /// The value under a key, moved to the newer generation.
    pub(super) fn get<Q>(&mut self, key: &Q) -> Option<&mut V>
    where
        Q: Hash + hashbrown::Equivalent<K> + ?Sized,
        K: std::borrow::Borrow<Q>,
        Q: Eq,
    {
        if !self.young.contains_key(key) {
            let (key, (value, weight)) = self.old.remove_entry(key)?;
            self.put_weighing(key, value, weight as usize);
        }
        self.young.get_mut(key).map(|(value, _)| value)
    }

    /// Whether there is such a key; nothing is moved.
    pub(super) fn has(&self, key: &K) -> bool {
        self.young.contains_key(key) || self.old.contains_key(key)
    }

    /// Puts a value in.
    pub(super) fn put(&mut self, key: K, value: V) {
        self.put_weighing(key, value, 0);
    }

    /// Puts a value in that weighs something.
    fn put_weighing(&mut self, key: K, value: V, weight: usize) {
        if self.young.len() >= self.cap || self.weight > self.room {
            if !self.old.is_empty() {
                self.dropped += 1;
            }
            self.old = std::mem::take(&mut self.young);
            self.weight = 0;
        }
        self.weight += weight;
        self.young.insert(key, (value, u32::try_from(weight).unwrap_or(u32::MAX)));
    }

    /// All that is remembered, in no order.
    fn entries(&self) -> impl Iterator<Item = (&K, &V)> {
        self.young.iter().chain(&self.old).map(|(key, (value, _))| (key, value))
    }

    /// The same, taken out.
    pub(super) fn into_entries(self) -> impl Iterator<Item = (K, V)> {
        self.young.into_iter().chain(self.old).map(|(key, (value, _))| (key, value))
    }

    /// A value that [`Recent::get`] has just given has grown heavier.
    fn grow(&mut self, key: &K, by: usize) {
        if let Some((_, weight)) = self.young.get_mut(key) {
            *weight = weight.saturating_add(u32::try_from(by).unwrap_or(u32::MAX));
            self.weight += by;
        }
    }
}

/// A name, once, with what the rules say of it.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) name: Arc<HostName>,
    /// What the documents say of it.
    pub(super) standing: Arc<Standing>,
    /// What the site makes of it.
    pub(super) nature: Nature,
}

/// What the documents say of all names that the same rows name.
#[derive(Debug)]
pub(super) struct Standing {
    /// The rows, most specific first.
    pub(super) rules: Box<[RuleId]>,
    /// True when nothing but wildcards names it that their document warns about.
    pub(super) broad: bool,
    /// What the documents say, ready to print; none when no row names it.
    pub(super) documented: Option<Arc<Documented>>,
    /// What they say of the port that nearly every flow has, TCP 443.
    pub(super) on_https: PortVerdict,
    /// No row has any port but that.
    pub(super) https_only: bool,
}

/// A name that DNS gave an address, and the frame of the answer.
#[derive(Clone, Debug)]
pub(super) struct Named {
    pub(super) known: Arc<Known>,
    pub(super) frame: FrameRef,
    /// The name reached the address through a `privatelink` label or the like: the chain behind the name.
    pub(super) chain: Arc<[HostName]>,
    /// A name of the chain lies in a private zone.
    pub(super) through_zone: bool,
    /// The chain was longer than is remembered.
    chain_is_cut: bool,
}

/// A name that DNS gave one client, and what the client made of it.
#[derive(Debug)]
pub(super) struct Given {
    pub(super) named: Named,
    /// The client went to the address.
    pub(super) used: bool,
    /// The first and the last answer.
    pub(super) first: (FrameRef, Time),
    pub(super) last: (FrameRef, Time),
}

impl Named {
    /// What it keeps, about: as much as an entry, the name, and the chain, as if nobody shared them.
    fn weight(&self) -> usize {
        let chain: usize =
            self.chain.iter().map(|name| size_of::<HostName>() + name.as_str().len() + 32).sum();
        256 + self.known.name.as_str().len() * 2 + chain
    }
}

/// All names.
#[derive(Debug)]
pub(super) struct Names {
    pool: Recent<HostName, Arc<Known>>,
    /// One for each list of rows that some name has met; a row met by its corrected text is another.
    standings: Map<Box<[(RuleId, bool)]>, Arc<Standing>>,
    chains: Recent<Arc<[HostName]>, ()>,
    by_client: Recent<(Address, Address), SmallVec<[Given; 1]>>,
    by_server: Recent<Address, Named>,
}

impl Names {
    /// No names, and at most so many bytes of them, about.
    pub(super) fn new(bytes: usize) -> Self {
        // Two generations of each; what clients asked for is the most.
        let room = bytes / 12;
        Names {
            // Seven eighths of a power of two is what a hash table holds without growing.
            pool: Recent::weighing(7 << 12, room),
            standings: Map::default(),
            chains: Recent::weighing(7 << 11, room),
            by_client: Recent::weighing(7 << 13, room * 3),
            by_server: Recent::weighing(7 << 12, room),
        }
    }

    /// How often a full table forgot its older half.
    pub(super) fn dropped(&self) -> u64 {
        self.pool.dropped + self.chains.dropped + self.by_client.dropped + self.by_server.dropped
    }

    /// A name with its rules.
    pub(super) fn know(&mut self, name: HostName, ground: &Ground) -> Arc<Known> {
        if let Some(known) = self.pool.get(&name) {
            return Arc::clone(known);
        }
        let matches = ground.rules.host(&name);
        let nature = Nature::of(&name, &matches, ground);
        let standing = self.standing(&matches, &ground.rules);
        let nature = Nature { of_certificates: is_of_certificates(&standing, &ground.rules), ..nature };
        let known = Arc::new(Known { name: Arc::new(name.clone()), standing, nature });
        let weight = 384 + name.as_str().len();
        self.pool.put_weighing(name, Arc::clone(&known), weight);
        known
    }

    /// The names that DNS gave `server` for `client`, newest last.
    fn of(&mut self, client: Address, server: Address) -> &mut [Given] {
        match self.by_client.get(&(client, server)) {
            Some(given) => given,
            None => &mut [],
        }
    }

    /// What DNS gave to clients, in no order.
    pub(super) fn given(&self) -> impl Iterator<Item = (Address, &Given)> {
        let given = self.by_client.entries();
        given.flat_map(|((client, _), given)| given.iter().map(|given| (*client, given)))
    }

    /// When DNS gave `server` names for `client` and none of them, nor of the names behind them, is `known`: the newest.
    pub(super) fn contradicts(
        &mut self,
        client: Address,
        server: Address,
        known: &Arc<Known>,
    ) -> Option<Arc<Known>> {
        let named = self.of(client, server);
        let agrees = |Given { named, .. }: &Given| {
            Arc::ptr_eq(&named.known, known) || named.chain_is_cut || named.chain.contains(&known.name)
        };
        if named.iter().any(agrees) {
            return None;
        }
        named.last().map(|given| Arc::clone(&given.named.known))
    }

    /// `client` goes to `server`: the name that DNS last gave it, else anybody; and whether it was for another.
    pub(super) fn when_opened(&mut self, client: Address, server: Address) -> (Option<Named>, bool) {
        let given = self.of(client, server);
        given.iter_mut().for_each(|given| given.used = true);
        match given.last() {
            Some(given) => (Some(given.named.clone()), false),
            None => (self.by_server.get(&server).map(|named| named.clone()), true),
        }
    }

    /// Takes an answer in that `client` received; returns the addresses that the chain leads to.
    pub(super) fn resolved(
        &mut self,
        client: Address,
        resolution: &Resolution,
        (frame, time): (FrameRef, Time),
        ground: &Ground,
    ) -> SmallVec<[Address; 4]> {
        let (chain, addresses) = follow(resolution);
        if addresses.is_empty() {
            return addresses;
        }
        let known = self.know(resolution.query_name.clone(), ground);
        let through_zone = chain.iter().any(|name| in_private_zone(name));
        let whole = chain.len();
        let chain = self.share(within(chain, CHAIN_BYTES));
        let chain_is_cut = chain.len() < whole;
        for address in &addresses {
            let named = Named {
                known: Arc::clone(&known),
                frame,
                chain: Arc::clone(&chain),
                through_zone,
                chain_is_cut,
            };
            let weight = named.weight();
            self.by_server.put_weighing(*address, named.clone(), weight);
            match self.by_client.get(&(client, *address)) {
                Some(candidates) => {
                    let same = candidates.iter().position(|other| Arc::ptr_eq(&other.named.known, &known));
                    let before = same.map(|place| candidates.remove(place));
                    if candidates.len() >= CANDIDATES {
                        candidates.remove(0);
                    }
                    let (used, first) =
                        before.map_or((false, (frame, time)), |before| (before.used, before.first));
                    candidates.push(Given { named, used, first, last: (frame, time) });
                    self.by_client.grow(&(client, *address), weight);
                }
                None => {
                    let given = Given { named, used: false, first: (frame, time), last: (frame, time) };
                    self.by_client.put_weighing((client, *address), SmallVec::from_iter([given]), weight);
                }
            }
        }
        addresses
    }

    fn standing(&mut self, matches: &Matches, rules: &Rules) -> Arc<Standing> {
        let met: SmallVec<[(RuleId, bool); 32]> =
            matches.iter().map(|hit| (hit.rule, hit.as_meant)).collect();
        if let Some(same) = self.standings.get(met.as_slice()) {
            return Arc::clone(same);
        }
        let standing = Arc::new(Standing::of(matches, rules));
        if self.standings.len() >= STANDINGS {
            self.standings.clear();
        }
        self.standings.insert(met.as_slice().into(), Arc::clone(&standing));
        standing
    }

    fn share(&mut self, chain: Vec<HostName>) -> Arc<[HostName]> {
        if let Some((same, _)) = self.chains.young.get_key_value(chain.as_slice()) {
            return Arc::clone(same);
        }
        let chain: Arc<[HostName]> = chain.into();
        let weight = 64 + chain.iter().map(|name| 48 + name.as_str().len()).sum::<usize>();
        self.chains.put_weighing(Arc::clone(&chain), (), weight);
        chain
    }
}

impl Standing {
    fn of(matches: &Matches, rules: &Rules) -> Standing {
        let mut documented = Documented::default();
        let mut broad = !matches.is_empty();
        for hit in matches {
            let rule = rules.rule(hit.rule);
            broad &= rule.broad;
            add(&mut documented.rules, &rule.id, if hit.as_meant { " (as meant)" } else { "" });
            add_once(&mut documented.documents, &rule.document.id);
            for product in &rule.document.products {
                add_once(&mut documented.products, product);
            }
        }
        let found: Box<[RuleId]> = matches.iter().map(|hit| hit.rule).collect();
        let https_only = found.iter().all(|id| is_https_only(rules.rule(*id)));
        Standing {
            on_https: best_port(&found, rules, TCP, HTTPS),
            https_only,
            broad,
            documented: (!matches.is_empty()).then(|| Arc::new(documented)),
            rules: found,
        }
    }

    /// The best that any of the rows says of a port.
    pub(super) fn port(&self, rules: &Rules, protocol: u8, port: u16) -> PortVerdict {
        if (protocol, port) == (TCP, HTTPS) {
            return self.on_https;
        }
        let best = best_port(&self.rules, rules, protocol, port);
        // HTTP/3 carries HTTPS over UDP 443: the port is the one that is demanded.
        if best == PortVerdict::Not443 && (protocol, port) == (UDP, HTTPS) && self.https_only {
            return PortVerdict::Https;
        }
        best
    }
}

fn is_https_only(rule: &rules::Rule) -> bool {
    rule.allows(TCP, HTTPS) == rules::PortVerdict::Https && rule.allows(TCP, 80) == rules::PortVerdict::Not
}

fn best_port(found: &[RuleId], rules: &Rules, protocol: u8, port: u16) -> PortVerdict {
    let said = |id: &RuleId| match rules.rule(*id).allows(protocol, port) {
        rules::PortVerdict::Https => PortVerdict::Https,
        rules::PortVerdict::Documented | rules::PortVerdict::AsMeant => PortVerdict::Documented,
        rules::PortVerdict::Not => PortVerdict::Not443,
    };
    found.iter().map(said).min().unwrap_or(PortVerdict::Not443)
}

pub(super) fn add(list: &mut String, item: &str, tail: &str) {
    if !list.is_empty() {
        list.push(';');
    }
    list.push_str(item);
    list.push_str(tail);
}

pub(super) fn add_once(list: &mut String, item: &str) {
    if !list.split(';').any(|other| other == item) {
        add(list, item, "");
    }
}

/// The first names of a chain that have room together.
fn within(mut chain: Vec<HostName>, mut room: usize) -> Vec<HostName> {
    let mut fit = 0;
    for name in &chain {
        match room.checked_sub(name.as_str().len()) {
            Some(left) => room = left,
            None => break,
        }
        fit += 1;
    }
    chain.truncate(fit);
    chain
}

/// The names behind the query's name and the addresses at the chain's end, whatever the order of the records.
fn follow(resolution: &Resolution) -> (Vec<HostName>, SmallVec<[Address; 4]>) {
    const CNAME: u16 = 5;
    let mut chain: Vec<HostName> = Vec::new();
    let mut addresses = SmallVec::new();
    if resolution.opcode != 0 || resolution.multicast || resolution.rcode != Some(0) {
        return (chain, addresses);
    }
    for _ in 0..CHAIN {
        let last = chain.last().unwrap_or(&resolution.query_name);
        let next = resolution.answers.iter().find_map(|answer| match &answer.data {
            AnswerData::Name(target) if answer.kind == CNAME && answer.owner == *last => Some(target),
            _ => None,
        });
        match next {
            Some(target) if *target != resolution.query_name && !chain.contains(target) => {
                chain.push(target.clone());
            }
            _ => break,
        }
    }
    let reached = |owner: &HostName| *owner == resolution.query_name || chain.contains(owner);
    for answer in &resolution.answers {
        match &answer.data {
            AnswerData::Address(address) if reached(&answer.owner) => addresses.push(*address),
            AnswerData::Service { hints, .. } if reached(&answer.owner) => addresses.extend_from_slice(hints),
            _ => {}
        }
    }
    (chain, addresses)
}

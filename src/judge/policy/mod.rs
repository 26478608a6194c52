//! What a run is judged on: the documents, the site's own facts, and the service tags.
//!
//! In:  rules, site file, tag file, as they were loaded.
//! Out: the same, prepared so that a flow asks with comparisons of numbers and look-ups by hash alone.
//! Not: any flow.

pub(super) mod name_class;
pub(super) mod name_table;
pub(super) mod requirements;
pub(super) mod scope;
pub(super) mod site;
pub(super) mod site_draft;
pub(super) mod verdict;

use std::sync::Arc;

use hashbrown::HashMap;
use ipnet::IpNet;
use smallvec::SmallVec;

use crate::base::Address;
use crate::judge::policy::name_table::add;
use crate::judge::policy::name_table::add_once;
use crate::judge::policy::requirements::RequiredEndpoints;
use crate::judge::rows::Documented;
use crate::rules::Clouds;
use crate::rules::Document;
use crate::rules::Middleboxes;
use crate::rules::PortMatch;
use crate::rules::ROLES;
use crate::rules::ReferenceId;
use crate::rules::RuleSet;
use crate::rules::ServiceKind;
use crate::rules::Site;
use crate::rules::TableKind;
use crate::rules::TagId;
use crate::rules::Tags;
use crate::rules::region_slug;

/// Networks, for a question per flow: the address space in segments within which the bits are the same, so that a site
/// may have as many networks as it likes.
#[derive(Clone, Debug, Default)]
pub(super) struct NetworkSet {
    starts: Vec<u128>,
    bits: Vec<u8>,
}

impl NetworkSet {
    pub(super) fn of<'a>(nets: impl IntoIterator<Item = &'a IpNet>) -> NetworkSet {
        NetworkSet::with_bits(nets.into_iter().map(|net| (*net, 1)))
    }

    /// Networks, each with one bit.
    fn with_bits(nets: impl IntoIterator<Item = (IpNet, u8)>) -> NetworkSet {
        // Where each network begins, and where the first address behind it is.
        let mut turns: Vec<(u128, u8, i32)> = Vec::new();
        for (net, bit) in nets {
            // IPv4 lies in the last 32 bits (see `Address`).
            let free = match net {
                IpNet::V4(net) => 32 - u32::from(net.prefix_len()),
                IpNet::V6(net) => 128 - u32::from(net.prefix_len()),
            };
            let mask = u128::MAX.checked_shl(free).unwrap_or(0);
            let first = Address::from(net.network()).0 & mask;
            turns.push((first, bit, 1));
            if let Some(behind) = (first | !mask).checked_add(1) {
                turns.push((behind, bit, -1));
            }
        }
        turns.sort_unstable();
        let mut found = NetworkSet::default();
        let mut open = [0i32; 8];
        for (at, bit, by) in turns {
            if let Some(count) = open.get_mut(bit.trailing_zeros() as usize) {
                *count += by;
            }
            let held =
                |bits: u8, (place, count): (usize, &i32)| if *count > 0 { bits | 1 << place } else { bits };
            let bits = open.iter().enumerate().fold(0, held);
            if found.starts.last() == Some(&at) {
                found.bits.pop();
            } else {
                found.starts.push(at);
            }
            found.bits.push(bits);
        }
        found
    }

    /// The bits of all networks that hold `address`.
    pub(super) fn bits(&self, address: Address) -> u8 {
        let at = self.starts.partition_point(|start| *start <= address.0);
        at.checked_sub(1).and_then(|at| self.bits.get(at)).copied().unwrap_or_default()
    }

    /// True when one of them holds `address`.
    pub(super) fn hold(&self, address: Address) -> bool {
        self.bits(address) != 0
    }

    /// True when there is none.
    pub(super) fn is_empty(&self) -> bool {
        self.starts.is_empty()
    }
}

/// How the names of regional instances are built, read off the documented ones: `westus01` of West US gives an empty
/// front and the back `01`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Shape {
    pub(super) front: String,
    pub(super) back: String,
    /// Everything behind the first label.
    pub(super) suffix: String,
}

/// What the service tags say of an address. There is one for each distinct list of tags.
#[derive(Debug)]
pub(super) struct TagSet {
    /// Names, most specific first, joined with `;`.
    pub(super) text: Arc<str>,
    /// Tags of documented rows among them, without regard to case, by place in [`Policy::tag_rows`].
    pub(super) rows: u64,
    /// What those rows say.
    pub(super) documented: Option<Arc<Documented>>,
}

/// The TLS 1.2 cipher suites that the services of some products accept, as one document lists them.
#[derive(Debug)]
pub(super) struct CipherList {
    pub(super) document: Arc<Document>,
    pub(super) suites: Vec<u16>,
}

/// More lists than bits in a flow are not kept.
const CIPHER_LISTS: usize = 8;

/// What the documents say of ports between two roles.
type PortTable = [[Vec<ReferenceId>; ROLES.len()]; ROLES.len()];

/// Everything that a run is judged on.
#[derive(Debug)]
pub struct Policy {
    pub(super) rules: Arc<RuleSet>,
    pub(super) site: Site,
    pub(super) tags: Option<Arc<Tags>>,
    /// Endpoints that the site needs.
    pub(super) required: RequiredEndpoints,
    /// What boxes on the path show of themselves.
    pub(super) middleboxes: Middleboxes,
    /// Regional rows that the site may use; none where it does not say its region.
    pub(super) own_region: Option<OwnRegion>,
    pub(super) shapes: Vec<Shape>,
    /// Suffixes after `<account>.<service>`.
    pub(super) storage: Vec<String>,
    /// Lists of the cipher suites that services accept; a flow keeps one bit for each.
    pub(super) cipher_lists: Vec<CipherList>,
    /// Suffixes under which names can have private endpoints.
    pub(super) private: Vec<String>,
    pub(super) private_networks: NetworkSet,
    pub(super) proxies: NetworkSet,
    pub(super) resolvers: NetworkSet,
    roles: NetworkSet,
    ports: PortTable,
    /// Rows of the port tables, ready to print.
    port_rows: HashMap<ReferenceId, Arc<Documented>, foldhash::fast::RandomState>,
    /// Tags that the documents ask for, each once, in lower case.
    tag_rows: Vec<(String, SmallVec<[ReferenceId; 2]>)>,
    /// Endpoint rows that a tag belongs to: the tags' places in `tag_rows` as bits, by rule.
    tags_of_rule: Vec<u64>,
    /// Sentences of the documents that findings cite, by subject.
    sentences: HashMap<&'static str, Vec<ReferenceId>, foldhash::fast::RandomState>,
    /// Rows that give a port and no host, ready to print.
    any_host: Vec<(ReferenceId, Arc<Documented>)>,
}

/// The regional instances that the site may use.
#[derive(Debug)]
pub(super) struct OwnRegion {
    /// Regions by their word, own first: `westus`.
    pub(super) words: Vec<String>,
    /// True by rule for what the site has business with.
    pub(super) serves: Vec<bool>,
    /// Clouds of the region; none where no document lists it.
    pub(super) clouds: Clouds,
}

/// Subjects of sentences that findings cite.
const CITED: &[&str] = &[
    "routing",
    "no-smb",
    "private-link",
    "hosts-file",
    "outbound-only",
    "encryption",
    "port",
    "broad",
    "proxy",
    "allowlist",
    "tunnel",
];

/// Tags that are told apart for rows; more are not.
const TAG_ROWS: usize = 64;

impl Policy {
    /// Prepares it. A site that nobody described is `Site::default()`.
    pub fn new(rules: Arc<RuleSet>, site: Site, tags: Option<Arc<Tags>>) -> Policy {
        let one = |address: &Address| IpNet::from(address.to_ip());
        let bit = |role: &str| ROLES.iter().position(|known| *known == role).map_or(0, |place| 1u8 << place);
        let of_roles = site.roles.iter().flat_map(|(role, nets)| nets.iter().map(|net| (*net, bit(role))));
        let roles = NetworkSet::with_bits(of_roles);
        let shapes = shapes(&rules);
        let storage = storage(&rules);
        let private = private(&rules, &shapes, &storage);
        let tag_rows = tag_rows(&rules);
        let sentence = |about: &&'static str| {
            let ids: Vec<ReferenceId> = rules.statements(about).map(|(id, _)| id).collect();
            (!ids.is_empty()).then_some((*about, ids))
        };
        let without_host =
            rules.iter().filter(|(_, rule)| rule.table.kind == TableKind::Endpoint && rule.host.is_none());
        let port_rules = || rules.iter().filter(|(_, rule)| rule.table.kind == TableKind::Port);
        Policy {
            required: RequiredEndpoints::new(&rules, &site),
            // A test holds that the file inside the program reads well.
            middleboxes: Middleboxes::embedded().unwrap_or_default(),
            own_region: own_region(&rules, &site),
            private_networks: NetworkSet::of(&site.private_endpoints),
            proxies: NetworkSet::of(
                &site.proxies.iter().map(|(address, _)| one(address)).collect::<Vec<_>>(),
            ),
            resolvers: NetworkSet::of(&site.resolvers.iter().map(one).collect::<Vec<_>>()),
            ports: port_table(&rules),
            port_rows: port_rules().map(|(id, _)| (id, Arc::new(quote(&rules, [id])))).collect(),
            tags_of_rule: rules.iter().map(|(_, rule)| tags_of(rule, &tag_rows)).collect(),
            cipher_lists: cipher_lists(&rules),
            sentences: CITED.iter().filter_map(sentence).collect(),
            any_host: without_host.map(|(id, _)| (id, Arc::new(quote(&rules, [id])))).collect(),
            shapes,
            storage,
            private,
            roles,
            tag_rows,
            rules,
            site,
            tags,
        }
    }

    /// The sentences of the documents in force about a subject: of those for these products (joined with `;`), or of all
    /// where there are none.
    pub(super) fn sentences(&self, about: &str, products: &str) -> Option<Documented> {
        let concerns = |id: &&ReferenceId| {
            let theirs = &self.rules.reference(**id).document.products;
            products.is_empty()
                || products.split(';').any(|product| theirs.iter().any(|own| **own == *product))
        };
        let ids: Vec<ReferenceId> = self.sentences.get(about)?.iter().filter(concerns).copied().collect();
        (!ids.is_empty()).then(|| quote(&self.rules, ids))
    }

    /// A row that gives this port and no host.
    pub(super) fn any_host(&self, protocol: u8, port: u16) -> Option<&Arc<Documented>> {
        let gives = |id: ReferenceId| self.rules.reference(id).allows(protocol, port) != PortMatch::Not;
        self.any_host.iter().find(|(id, _)| gives(*id)).map(|(_, documented)| documented)
    }

    /// Every row of the port tables for a pair of roles that two hosts have, whichever of them opened the conversation.
    pub(super) fn between(&self, client: u8, server: u8) -> Option<Documented> {
        let has = |roles: u8, place: usize| roles & (1 << place) != 0;
        let mut ids = Vec::new();
        for (from, row) in self.ports.iter().enumerate() {
            for (to, rows) in row.iter().enumerate() {
                if (has(client, from) && has(server, to)) || (has(server, from) && has(client, to)) {
                    ids.extend_from_slice(rows);
                }
            }
        }
        (!ids.is_empty()).then(|| quote(&self.rules, ids))
    }

    /// The roles that an address has, as bits in the order of [`ROLES`].
    pub(super) fn roles(&self, address: Address) -> u8 {
        if self.roles.is_empty() { 0 } else { self.roles.bits(address) }
    }

    /// What the port tables say of a conversation between two sets of roles; none where they do not speak of any pair, nor of
    /// members of one role that use among themselves what the tables open to that role from elsewhere.
    pub(super) fn internal(&self, client: u8, server: u8, protocol: u8, port: u16) -> Option<Internal<'_>> {
        let mut spoken = false;
        let mut best: Option<(u16, ReferenceId)> = None;
        let mut reverse = false;
        let mut among = false;
        for (from, row) in self.ports.iter().enumerate() {
            for (to, ids) in row.iter().enumerate().filter(|(_, ids)| !ids.is_empty()) {
                let (from, to) = (1u8 << from, 1u8 << to);
                let forward = client & from != 0 && server & to != 0;
                let backward = server & from != 0 && client & to != 0;
                let same = client & server & to != 0;
                if !forward && !backward && !same {
                    continue;
                }
                spoken |= forward || backward;
                for id in ids {
                    let Some(width) = self.rules.reference(*id).effective_ports().narrowest(protocol, port)
                    else {
                        continue;
                    };
                    if forward && best.is_none_or(|found| (width, *id) < found) {
                        best = Some((width, *id));
                    }
                    reverse |= backward;
                    among |= same;
                }
            }
        }
        match best {
            Some((_, id)) => self.port_rows.get(&id).map(Internal::Allowed),
            None if !spoken || among => None,
            None if reverse => Some(Internal::Reverse),
            None => Some(Internal::Unknown),
        }
    }

    /// What a list of tags, as a look-up gave it, comes to.
    pub(super) fn tag_set(&self, tags: &Tags, list: &[TagId]) -> TagSet {
        let mut text = String::new();
        let mut rows = 0;
        let mut ids = Vec::new();
        for tag in list.iter().filter_map(|id| tags.tag(*id)) {
            add(&mut text, &tag.name, "");
            let name = tag.name.to_ascii_lowercase();
            for (bit, (wanted, rules)) in self.tag_rows.iter().enumerate() {
                let regional = name.strip_prefix(wanted.as_str()).is_some_and(|rest| rest.starts_with('.'));
                if (name == *wanted || regional) && rows & (1 << bit) == 0 {
                    rows |= 1 << bit;
                    ids.extend_from_slice(rules);
                }
            }
        }
        let documented = (!ids.is_empty()).then(|| Arc::new(quote(&self.rules, ids)));
        TagSet { text: text.into(), rows, documented }
    }

    /// True for a rule whose tags hold the addresses of all of its names.
    pub(super) fn is_pinned(&self, rule: ReferenceId) -> bool {
        self.tags_of(rule) != 0 && !self.rules.reference(rule).row.partly_tagged
    }

    /// The lists that have none of the `offered` cipher suites, as bits.
    pub(super) fn unmatched_cipher_lists(&self, offered: &[u16]) -> u8 {
        let lacks = |list: &CipherList| !list.suites.iter().any(|suite| offered.contains(suite));
        let lists = self.cipher_lists.iter().enumerate().filter(|(_, list)| lacks(list));
        lists.fold(0, |bits, (bit, _)| bits | 1 << bit)
    }

    /// The tags that belong to a rule, as bits.
    pub(super) fn tags_of(&self, rule: ReferenceId) -> u64 {
        self.tags_of_rule.get(rule.0 as usize).copied().unwrap_or_default()
    }
}

/// What the port tables say of a conversation inside the site.
#[derive(Clone, Copy, Debug)]
pub(super) enum Internal<'a> {
    /// A row has it.
    Allowed(&'a Arc<Documented>),
    /// A row has it the other way round only.
    Reverse,
    /// No row has it.
    Unknown,
}

/// Rows as evidence quotes them.
pub(super) fn quote(rules: &RuleSet, ids: impl IntoIterator<Item = ReferenceId>) -> Documented {
    let mut documented = Documented::default();
    for id in ids {
        let rule = rules.reference(id);
        add_once(&mut documented.references, &rule.id);
        add_once(&mut documented.documents, &rule.document.id);
        for product in &rule.document.products {
            add_once(&mut documented.products, product);
        }
    }
    documented
}

fn own_region(rules: &RuleSet, site: &Site) -> Option<OwnRegion> {
    let needs = site.sync_setup();
    let own = region_slug(needs.region.as_deref()?);
    let has_pair = needs.redundancy.is_none_or(crate::rules::Redundancy::has_pair);
    let served: Vec<ReferenceId> =
        rules.required_instances(&needs).into_iter().flat_map(|need| need.references).collect();
    let serves = |id: ReferenceId| {
        let rule = rules.reference(id);
        let region = rule.region.as_deref().map(region_slug);
        served.contains(&id)
            || (region.as_ref() == Some(&own)
                && (has_pair || rule.role != Some(crate::rules::RegionRole::Paired)))
    };
    let mut words = vec![own.clone()];
    if has_pair {
        let pairs = rules.regions().iter().filter(|region| region_slug(&region.name) == own);
        words.extend(pairs.filter_map(|region| region.pair.as_deref().map(region_slug)));
    }
    let listed = rules.regions().iter().filter(|region| region_slug(&region.name) == own);
    let clouds = listed.fold(Clouds::NONE, |clouds, region| clouds.union(region.clouds));
    Some(OwnRegion { words, serves: rules.iter().map(|(id, _)| serves(id)).collect(), clouds })
}

fn shapes(rules: &RuleSet) -> Vec<Shape> {
    let mut shapes = Vec::new();
    for region in rules.regions() {
        let word = region_slug(&region.name);
        let hosts = region
            .primary
            .iter()
            .chain(&region.discovery)
            .filter_map(|id| rules.reference(*id).host.as_ref());
        for (label, suffix) in hosts.filter_map(|host| host.text.split_once('.')) {
            let Some((front, back)) = label.split_once(word.as_str()) else { continue };
            // East US is the beginning of East US 2: only what is left of a whole name is a shape.
            let shape = Shape { front: front.into(), back: back.into(), suffix: suffix.into() };
            if !shapes.contains(&shape) {
                shapes.push(shape);
            }
        }
    }
    shapes
}

/// The suffixes of storage accounts: what follows the wildcard in the rows for storage, in every cloud, and a private
/// zone's suffix without the service in front.
fn storage(rules: &RuleSet) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    let mut note = |suffix: &str| {
        if suffix.contains('.') && !found.iter().any(|other| other == suffix) {
            found.push(suffix.to_owned());
        }
    };
    for (_, rule) in rules.private_link() {
        let is_account = rule.placeholders.iter().any(|(_, fact)| &**fact == "storage-account");
        if let Some((_, parent)) =
            rule.suffix.as_deref().filter(|_| is_account).and_then(|s| s.split_once('.'))
        {
            note(parent);
        }
    }
    for (_, rule) in rules.iter().filter(|(_, rule)| rule.table.kind == TableKind::Endpoint) {
        let is_storage = rule.service_kind == Some(ServiceKind::Storage);
        if let Some(host) =
            rule.host.as_ref().filter(|host| is_storage && host.any_front && host.head.is_empty())
        {
            note(&host.tail);
        }
    }
    found
}

/// The documents give the zones of the public cloud and say of the others: substitute the suffix.
fn private(rules: &RuleSet, shapes: &[Shape], storage: &[String]) -> Vec<String> {
    let zones = rules.private_link().filter_map(|(_, rule)| rule.suffix.as_deref().map(str::to_owned));
    let mut found: Vec<String> =
        zones.chain(shapes.iter().map(|shape| shape.suffix.clone())).chain(storage.iter().cloned()).collect();
    found.sort_unstable();
    found.dedup();
    found
}

fn port_table(rules: &RuleSet) -> PortTable {
    let mut table = PortTable::default();
    let place = |role: &Option<Box<str>>| ROLES.iter().position(|known| Some(*known) == role.as_deref());
    for (id, rule) in rules.iter().filter(|(_, rule)| rule.table.kind == TableKind::Port) {
        let (Some(from), Some(to)) = (place(&rule.source), place(&rule.destination)) else { continue };
        if let Some(ids) = table.get_mut(from).and_then(|row| row.get_mut(to)) {
            ids.push(id);
        }
    }
    table
}

fn tag_rows(rules: &RuleSet) -> Vec<(String, SmallVec<[ReferenceId; 2]>)> {
    let mut rows: Vec<(String, SmallVec<[ReferenceId; 2]>)> = Vec::new();
    for asked in rules.service_tags() {
        let tag = asked.tag.to_ascii_lowercase();
        if let Some((_, ids)) = rows.iter_mut().find(|(known, _)| *known == tag) {
            ids.push(asked.reference);
        } else if rows.len() < TAG_ROWS {
            rows.push((tag, SmallVec::from_iter([asked.reference])));
        }
    }
    rows
}

/// The tags that belong to a row, as bits: those that it names itself, and those of its service.
fn tags_of(rule: &crate::rules::Reference, tag_rows: &[(String, SmallVec<[ReferenceId; 2]>)]) -> u64 {
    if rule.table.kind != TableKind::Endpoint {
        return 0;
    }
    let own = rule.row.tags.iter().map(|(tag, _)| tag).chain(&rule.row.tags_of_service);
    let places = own.filter_map(|own| tag_rows.iter().position(|(tag, _)| own.eq_ignore_ascii_case(tag)));
    places.fold(0, |bits, place| bits | 1 << place)
}

fn cipher_lists(rules: &RuleSet) -> Vec<CipherList> {
    let mut lists: Vec<CipherList> = Vec::new();
    for (_, rule) in rules.iter() {
        let Some(suite) = rule.row.cipher_suite else { continue };
        match lists.iter_mut().find(|list| list.document == rule.document) {
            Some(list) => list.suites.push(suite),
            None => lists.push(CipherList { document: Arc::clone(&rule.document), suites: vec![suite] }),
        }
    }
    lists.truncate(CIPHER_LISTS);
    lists
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::Library;
    use crate::rules::Selection;

    fn policy(site: &str) -> Policy {
        let library = Library::embedded().unwrap();
        let site = Site::read("site.toml", site, &library).unwrap();
        let rules = Arc::new(library.select(&site.selection()).unwrap());
        Policy::new(rules, site, None)
    }

    #[test]
    fn suffixes_and_shapes_come_from_the_documents() {
        let policy = policy("");
        assert_eq!(policy.storage, ["core.windows.net", "core.usgovcloudapi.net"]);
        let has = |front: &str, back: &str, suffix: &str| {
            let shape = Shape { front: front.into(), back: back.into(), suffix: suffix.into() };
            assert!(policy.shapes.contains(&shape), "{shape:?}");
        };
        has("", "01", "afs.azure.net");
        has("tm-", "01", "afs.azure.net");
        has("", "01", "afs.azure.us");
        has("", "01", "afs.azure.cn");
    }

    /// What a row means is data: its title may change.
    #[test]
    fn renamed_services_keep_their_kind_and_their_tags() {
        let shipped = Library::embedded().unwrap().select(&Selection::default()).unwrap();
        let folder = tempfile::tempdir().unwrap();
        for (file, text) in Library::embedded_texts() {
            let renamed = ["Azure Storage", "Azure File Sync", "Microsoft PKI", "Microsoft Entra ID"]
                .iter()
                .fold(text.to_owned(), |text, name| text.replace(name, "Renamed"));
            std::fs::write(folder.path().join(file), renamed).unwrap();
        }
        let renamed = RuleSet::from_dir(folder.path(), &Selection::default()).unwrap();
        let facts = |rules: RuleSet| {
            let policy = Policy::new(Arc::new(rules), Site::default(), None);
            let pinned: Vec<bool> = policy.rules.iter().map(|(id, _)| policy.is_pinned(id)).collect();
            let kinds: Vec<_> = policy.rules.iter().map(|(_, rule)| rule.service_kind).collect();
            let suites: Vec<_> = policy.cipher_lists.iter().map(|list| list.suites.clone()).collect();
            (policy.storage, policy.tags_of_rule, pinned, kinds, suites)
        };
        let (before, after) = (facts(shipped), facts(renamed));
        assert_eq!(before, after);
        assert_eq!(before.4, [[0xc030, 0xc02f, 0xc028, 0xc027]]);
    }

    #[test]
    fn networks_are_compared_as_numbers() {
        let nets: Vec<IpNet> =
            ["10.1.0.0/16", "fd00::/64", "0.0.0.0/0"].iter().map(|n| n.parse().unwrap()).collect();
        let holds = |nets: &[IpNet], text: &str| {
            NetworkSet::of(nets).hold(text.parse::<std::net::IpAddr>().unwrap().into())
        };
        assert!(holds(&nets[..2], "10.1.255.255") && !holds(&nets[..2], "10.2.0.0"));
        assert!(holds(&nets[..2], "fd00::1") && !holds(&nets[..2], "fd00:0:0:1::1"));
        assert!(holds(&nets[2..], "8.8.8.8") && !holds(&nets[2..], "2001:db8::1"));
        let last: Vec<IpNet> = vec!["ffff::/16".parse().unwrap(), "::/0".parse().unwrap()];
        assert!(
            holds(&last[..1], "ffff:ffff::1") && !holds(&last[..1], "fffe::1") && holds(&last, "8.8.8.8")
        );
        let nested = [("10.0.0.0/8", 1), ("10.1.0.0/16", 2), ("10.1.0.0/24", 2), ("10.2.0.0/16", 4)];
        let nested = NetworkSet::with_bits(nested.map(|(net, bit)| (net.parse().unwrap(), bit)));
        let bits = |text: &str| nested.bits(text.parse::<std::net::IpAddr>().unwrap().into());
        assert_eq!(
            ["10.0.0.1", "10.1.0.1", "10.1.1.1", "10.2.0.1", "10.3.0.1", "11.0.0.0"].map(bits),
            [1, 3, 3, 5, 1, 0]
        );
    }

    #[test]
    fn ports_are_judged_by_role_and_direction() {
        let policy = policy(
            "[site]\nproducts = [\"azure-stack-hci\"]\n[roles]\nservers = [\"10.0.0.0/24\"]\n\
             windows-admin-center = [\"10.0.9.9\"]\n",
        );
        let role = |text: &str| policy.roles(text.parse::<std::net::IpAddr>().unwrap().into());
        let (center, server) = (role("10.0.9.9"), role("10.0.0.4"));
        assert_eq!(role("10.0.8.8"), 0);
        assert!(matches!(policy.internal(center, server, 6, 5985), Some(Internal::Allowed(_))));
        assert!(matches!(policy.internal(server, center, 6, 5985), Some(Internal::Reverse)));
        assert!(matches!(policy.internal(center, server, 6, 3389), Some(Internal::Unknown)));
        assert!(matches!(policy.internal(center, server, 17, 5985), Some(Internal::Unknown)));
        assert!(policy.internal(server, server, 6, 445).is_none(), "no table speaks of this pair");
    }
}

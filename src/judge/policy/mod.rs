//! What a run is judged by: the documents, the site file and the service tags.
//!
//! In:  rules, site file and tag file, as loaded.
//! Out: names with their references and class, verdicts, requirements.
//! Not: whether a flow succeeded; see `diagnosis`.

pub(super) mod declared_hosts;
pub(super) mod issuers;
pub(super) mod name_class;
pub(super) mod name_table;
pub(super) mod need;
pub(super) mod network_set;
pub(super) mod port_tables;
pub(super) mod references;
pub(super) mod regions;
pub(super) mod requirements;
pub(super) mod scope;
pub(super) mod service_tags;
pub(super) mod site;
pub(super) mod site_draft;
pub(super) mod verdict;

use std::sync::Arc;

use hashbrown::HashMap;
use ipnet::IpNet;
use ipnet::Ipv6Net;

use self::network_set::NetworkSet;
use self::port_tables::PortTables;
use self::port_tables::RoleBits;
use self::port_tables::RolePort;
use self::references::quote;
use self::regions::OwnRegion;
use self::regions::RegionalShape;
use self::requirements::RequiredEndpoints;
use self::service_tags::DocumentedTags;
use super::catalogue::StatementSubject;
use super::rows::Documented;
use crate::base::Address;
use crate::base::HostName;
use crate::base::port;
use crate::base::proto;
use crate::judge::flow_state::FlowState;
use crate::judge::policy::name_table::KnownName;
use crate::judge::vocabulary::PortVerdict;
use crate::rules::Document;
use crate::rules::Middleboxes;
use crate::rules::PortMatch;
use crate::rules::Ports;
use crate::rules::ReferenceId;
use crate::rules::RuleSet;
use crate::rules::ServiceKind;
use crate::rules::Site;
use crate::rules::TableKind;
use crate::rules::Tags;

/// The TLS 1.2 cipher suites that the services of some products accept, as one document lists them.
#[derive(Debug)]
pub(super) struct CipherList {
    pub(super) document: Arc<Document>,
    pub(super) suites: Vec<u16>,
}

/// Types of the echo requests of ICMP (RFC 792) and ICMPv6 (RFC 4443 §4.1).
const ICMP_ECHO: u16 = 8;
const ICMPV6_ECHO: u16 = 128;

/// What fills the placeholder for a Storage Sync Service in the documents.
pub(super) const SYNC_SERVICE_FACT: &str = "sync-service";

/// What fills the placeholder for an Arc gateway in the documents.
pub(super) const GATEWAY_FACT: &str = "arc-gateway";

/// A flow keeps one bit for each list; more lists are ignored.
const MAX_CIPHER_LISTS: usize = 8;

/// Everything that a run is judged by, prepared so that a flow needs comparisons of numbers and hash lookups only.
#[derive(Debug)]
pub struct Policy {
    pub(super) rules: Arc<RuleSet>,
    pub(super) site: Site,
    pub(super) tags: Option<Arc<Tags>>,
    /// Endpoints that the site needs.
    pub(super) required: RequiredEndpoints,
    pub(super) port_tables: PortTables,
    /// How known middleboxes identify themselves.
    pub(super) middleboxes: Middleboxes,
    /// Lists of the cipher suites that services accept.
    pub(super) cipher_lists: Vec<CipherList>,
    pub(super) private_networks: NetworkSet,
    /// Networks that the site declares as its own or gives a role, and the IPv6 prefix of each.
    own_networks: NetworkSet,
    pub(super) proxies: NetworkSet,
    pub(super) resolvers: NetworkSet,
    /// The regions that the site uses; none where the site file names none.
    own_region: Option<OwnRegion>,
    regional_shapes: Vec<RegionalShape>,
    /// Suffixes after `<account>.<service>`.
    storage_suffixes: Vec<String>,
    /// Suffixes under which names can have private endpoints.
    private_suffixes: Vec<String>,
    documented_tags: DocumentedTags,
    /// Statements of the documents, by subject.
    statements: HashMap<StatementSubject, Vec<ReferenceId>, foldhash::fast::RandomState>,
    /// Rows that give a port and no host, ready to print.
    rows_without_host: Vec<(ReferenceId, Arc<Documented>)>,
    /// The ports of all rows for endpoints, each list once.
    endpoint_ports: Vec<Ports>,
}

impl Policy {
    /// Prepares the policy. Without a site file, `site` is `Site::default()`.
    pub fn new(rules: Arc<RuleSet>, site: Site, tags: Option<Arc<Tags>>) -> Policy {
        let host_network = |address: &Address| IpNet::from(address.to_ip());
        let proxies: Vec<IpNet> = site.proxies.iter().map(|(address, _)| host_network(address)).collect();
        let resolvers: Vec<IpNet> = site.resolvers.iter().map(host_network).collect();
        let regional_shapes = regions::regional_shapes(&rules);
        let storage_suffixes = regions::storage_suffixes(&rules);
        let private_suffixes = regions::private_suffixes(&rules, &regional_shapes, &storage_suffixes);
        let statements_about = |subject: &StatementSubject| {
            let ids: Vec<ReferenceId> = rules.statements(subject.as_str()).map(|(id, _)| id).collect();
            (!ids.is_empty()).then_some((*subject, ids))
        };
        let without_host = rules.of_kind(TableKind::Endpoint).filter(|(_, row)| row.host.is_none());
        Policy {
            required: RequiredEndpoints::new(&rules, &site),
            port_tables: PortTables::new(&rules, &site),
            // A test ensures that the embedded file parses.
            middleboxes: Middleboxes::embedded().unwrap_or_default(),
            cipher_lists: cipher_lists(&rules),
            private_networks: NetworkSet::of(&site.private_endpoints),
            own_networks: own_networks(&site),
            proxies: NetworkSet::of(&proxies),
            resolvers: NetworkSet::of(&resolvers),
            own_region: regions::own_region(&rules, &site),
            documented_tags: DocumentedTags::new(&rules),
            statements: StatementSubject::ALL.iter().filter_map(statements_about).collect(),
            rows_without_host: without_host.map(|(id, _)| (id, Arc::new(quote(&rules, [id])))).collect(),
            endpoint_ports: endpoint_ports(&rules),
            regional_shapes,
            storage_suffixes,
            private_suffixes,
            rules,
            site,
            tags,
        }
    }

    /// Whether an address is inside the site: private, declared, or in a declared host's IPv6 prefix.
    pub(super) fn is_inside(&self, address: Address) -> bool {
        address.is_private() || self.own_networks.contains(address)
    }

    /// The statements of the documents in force about a subject: of the documents for these products (joined with `;`), or
    /// of all documents where no product is given.
    pub(super) fn statements(&self, subject: StatementSubject, products: &str) -> Option<Documented> {
        let applies = |id: &&ReferenceId| {
            let own = &self.rules.reference(**id).document.products;
            products.is_empty() || products.split(';').any(|product| own.iter().any(|own| **own == *product))
        };
        let ids: Vec<ReferenceId> = self.statements.get(&subject)?.iter().filter(applies).copied().collect();
        (!ids.is_empty()).then(|| quote(&self.rules, ids))
    }

    /// Whether a name is one that the site would use if its storage account were geo-redundant.
    pub(super) fn serves_if_geo_redundant(&self, known: &KnownName) -> bool {
        self.own_region.as_ref().is_some_and(|own| {
            let ids = &known.references.ids;
            ids.iter().any(|id| own.serves_if_geo_redundant.get(id.0 as usize) == Some(&true))
        })
    }

    /// The row that gives this port and no host.
    fn row_without_host(&self, protocol: u8, port: u16) -> Option<&Arc<Documented>> {
        let allows = |id: ReferenceId| self.rules.reference(id).allows(protocol, port) != PortMatch::Not;
        self.rows_without_host.iter().find(|(id, _)| allows(*id)).map(|(_, documented)| documented)
    }

    /// Whether any row for an endpoint has this port.
    pub(super) fn is_endpoint_port(&self, protocol: u8, port: u16) -> bool {
        self.endpoint_ports.iter().any(|ports| ports.contains(protocol, port))
    }

    /// Every row of the port tables for the roles of two hosts, in either direction.
    pub(super) fn rows_between(&self, one: RoleBits, other: RoleBits) -> Option<Documented> {
        let ids = self.port_tables.rows_between(one, other);
        (!ids.is_empty()).then(|| quote(&self.rules, ids))
    }

    /// Whether the port tables document a flow between two roles whose protocol has replies: echo requests, and datagrams other
    /// than those of the NetBIOS datagram service, which are not acknowledged (RFC 1002 §5.3).
    pub(super) fn expects_reply(&self, flow: &FlowState) -> bool {
        let (client, server) = (flow.client(), flow.server());
        let roles = [client, server].map(|end| self.port_tables.roles(end.address));
        let protocol = flow.flow_start.protocol;
        let has_replies = match protocol {
            proto::UDP => server.port != port::NETBIOS_DATAGRAM,
            // The type is in place of the client's port.
            proto::ICMP => client.port == ICMP_ECHO,
            proto::ICMPV6 => client.port == ICMPV6_ECHO,
            _ => false,
        };
        // A row that gives the datagrams' port, such as that of a time server.
        if protocol == proto::UDP
            && let Some((known, _)) = flow.name()
            && known.is_documented()
            && known.references.port_verdict(&self.rules, protocol, server.port) == PortVerdict::Documented
        {
            return true;
        }
        let found = || self.port_tables.find(roles, protocol, server.port, &self.rules);
        has_replies && !roles.contains(&0) && matches!(found(), Some(RolePort::Documented(..)))
    }

    /// Whether a document of a product that the site file describes wants public addresses for a name.
    fn must_be_public(&self, name: &str) -> bool {
        let mut rows = self.rules.public_resolution().map(|(_, row)| row);
        rows.any(|row| {
            let products = self.site.products_described();
            row.host.as_ref().is_some_and(|host| host.matches(name))
                && row.document.products.iter().any(|product| products.contains(&&**product))
        })
    }

    /// The row of one of the four names of a Storage Sync Service that the site file declares.
    pub(super) fn row_of_sync_service(&self, known: &KnownName) -> Option<ReferenceId> {
        let is_of_service = |id: &&ReferenceId| {
            let row = self.rules.reference(**id);
            row.placeholders.iter().any(|(_, fact)| &**fact == SYNC_SERVICE_FACT)
                && row.filled.iter().any(|host| host.matches(known.name.as_str()))
        };
        known.references.ids.iter().find(is_of_service).copied()
    }

    /// How many required endpoints a name carries: those in the tunnel of the Arc gateway, where the name is that of the gateway.
    pub(super) fn carried_by(&self, known: &KnownName) -> Option<usize> {
        let is_gateway = |id: &ReferenceId| {
            let placeholders = &self.rules.reference(*id).placeholders;
            placeholders.iter().any(|(_, fact)| &**fact == GATEWAY_FACT)
        };
        let is_gateway = known.references.ids.iter().any(is_gateway);
        is_gateway.then(|| self.required.in_gateway(&self.rules)).filter(|carried| *carried > 0)
    }

    /// The roles of the row of the port tables, for a message.
    pub(super) fn roles_of_row(&self, id: ReferenceId) -> Option<(&str, &str)> {
        let row = self.rules.reference(id);
        Some((row.source.as_deref()?, row.destination.as_deref()?))
    }

    /// Whether any row matches a name that no flow has claimed.
    pub(super) fn is_documented(&self, name: &HostName) -> bool {
        name.is_host_name() && !self.rules.match_host(name).is_empty()
    }

    /// The lists that have none of the `offered` cipher suites, as bits.
    pub(super) fn unmatched_cipher_lists(&self, offered: &[u16]) -> u8 {
        let is_unmatched = |list: &CipherList| !list.suites.iter().any(|suite| offered.contains(suite));
        let unmatched = self.cipher_lists.iter().enumerate().filter(|(_, list)| is_unmatched(list));
        unmatched.fold(0, |bits, (bit, _)| bits | 1 << bit)
    }

    /// The service tags that belong to a row, as bits.
    fn tags_of(&self, reference: ReferenceId) -> u64 {
        self.documented_tags.bits_of(reference)
    }

    /// The service tags that the rows of a name give for it, joined with `, `.
    pub(super) fn tags_of_name(&self, name: &HostName) -> Option<String> {
        let mut tags: Vec<&str> = Vec::new();
        for hit in &self.rules.match_host(name) {
            let reference = self.rules.reference(hit.id);
            if matches!(reference.service_kind, Some(ServiceKind::SyncService | ServiceKind::Storage)) {
                // Regional services: the tag of their region is enough.
                return None;
            }
            let row = &reference.row;
            let own =
                row.tags.iter().map(|(tag, _)| &**tag).chain(row.tags_of_service.iter().map(|tag| &**tag));
            tags.extend(own);
        }
        tags.sort_unstable();
        tags.dedup();
        (!tags.is_empty()).then(|| tags.join(", "))
    }

    /// Whether the tags of a row hold the addresses of all of its names.
    fn is_pinned(&self, reference: ReferenceId) -> bool {
        self.tags_of(reference) != 0 && !self.rules.reference(reference).row.partly_tagged
    }
}

/// A host's neighbours share the first 64 bits of its IPv6 address (RFC 4291 §2.5.4).
const IPV6_PREFIX: u8 = 64;

fn own_networks(site: &Site) -> NetworkSet {
    let declared = site.networks.iter().chain(site.roles.values().flatten());
    let widened = declared.map(|net| match net {
        IpNet::V6(net) if net.prefix_len() > IPV6_PREFIX => {
            Ipv6Net::new(net.addr(), IPV6_PREFIX).map_or(IpNet::V6(*net), |prefix| IpNet::V6(prefix.trunc()))
        }
        net => *net,
    });
    NetworkSet::of(&widened.collect::<Vec<IpNet>>())
}

fn cipher_lists(rules: &RuleSet) -> Vec<CipherList> {
    let mut lists: Vec<CipherList> = Vec::new();
    for (_, row) in rules.iter() {
        let Some(suite) = row.row.cipher_suite else { continue };
        match lists.iter_mut().find(|list| list.document == row.document) {
            Some(list) => list.suites.push(suite),
            None => lists.push(CipherList { document: Arc::clone(&row.document), suites: vec![suite] }),
        }
    }
    lists.truncate(MAX_CIPHER_LISTS);
    lists
}

/// The ports of all rows for endpoints, each list once.
fn endpoint_ports(rules: &RuleSet) -> Vec<Ports> {
    let mut lists: Vec<Ports> = Vec::new();
    let rows = [TableKind::Endpoint, TableKind::Region].into_iter().flat_map(|kind| rules.of_kind(kind));
    for (_, row) in rows {
        for ports in [&row.ports, &row.corrected_ports] {
            if !lists.contains(ports) {
                lists.push(ports.clone());
            }
        }
    }
    lists
}

#[cfg(test)]
impl Policy {
    /// The policy of the embedded documents and this site file.
    pub(super) fn for_tests(site: &str) -> Policy {
        // Parsing the documents takes most of the time of a test.
        static LIBRARY: std::sync::OnceLock<crate::rules::Library> = std::sync::OnceLock::new();
        let library = LIBRARY.get_or_init(|| crate::rules::Library::embedded().unwrap());
        let site = Site::read("site.toml", site, library).unwrap();
        let rules = Arc::new(library.clone().select(&site.selection()).unwrap());
        Policy::new(rules, site, None)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::rules::Library;
    use crate::rules::Selection;

    #[test]
    fn declared_networks_and_the_ipv6_prefixes_of_roles_are_inside() {
        let policy = Policy::for_tests(
            "[site]\nnetworks = [\"192.0.2.0/24\"]\n[roles]\nservers = [\"2001:db8:1::4\", \"198.51.100.7\"]\n",
        );
        let is_inside = |text: &str| policy.is_inside(text.parse::<std::net::IpAddr>().unwrap().into());
        for own in ["10.0.0.1", "192.0.2.9", "198.51.100.7", "2001:db8:1::99"] {
            assert!(is_inside(own), "{own}");
        }
        for foreign in ["198.51.100.8", "2001:db8:1:1::4", "203.0.113.1"] {
            assert!(!is_inside(foreign), "{foreign}");
        }
    }

    /// What a row means is data: its title may change.
    #[test]
    fn renamed_services_keep_their_kind_and_their_tags() {
        let shipped = Library::embedded().unwrap().select(&Selection::default()).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let rules = Path::new(env!("CARGO_MANIFEST_DIR")).join("rules");
        for document in Library::embedded().unwrap().documents() {
            let text = std::fs::read_to_string(rules.join(&*document.file)).unwrap();
            let renamed = ["Azure Storage", "Azure File Sync", "Microsoft PKI", "Microsoft Entra ID"]
                .iter()
                .fold(text, |text, name| text.replace(name, "Renamed"));
            std::fs::write(folder.path().join(&*document.file), renamed).unwrap();
        }
        let renamed = RuleSet::from_dir(folder.path(), &Selection::default()).unwrap();
        let facts = |rules: RuleSet| {
            let policy = Policy::new(Arc::new(rules), Site::default(), None);
            let ids: Vec<ReferenceId> = policy.rules.iter().map(|(id, _)| id).collect();
            let tags: Vec<_> = ids.iter().map(|id| (policy.tags_of(*id), policy.is_pinned(*id))).collect();
            let kinds: Vec<_> = policy.rules.iter().map(|(_, row)| row.service_kind).collect();
            let suites: Vec<_> = policy.cipher_lists.iter().map(|list| list.suites.clone()).collect();
            (policy.storage_suffixes, tags, kinds, suites)
        };
        let (before, after) = (facts(shipped), facts(renamed));
        assert_eq!(before, after);
        assert_eq!(before.3, [[0xc030, 0xc02f, 0xc028, 0xc027]]);
    }
}

//! Drafts a site file from a capture.
//!
//! In:  rows of flows and DNS responses.
//! Out: a commented site file for a person to complete; it can be loaded as it is.
//! Not: whether the observed traffic is right: a site file drafted from wrong traffic approves it.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::sync::Arc;

use super::Policy;
use super::name_class::account_in;
use super::name_class::region_of;
use crate::base::Address;
use crate::base::port;
use crate::judge::rows::DnsRow;
use crate::judge::rows::FlowRow;
use crate::judge::vocabulary::DestinationVerdict;
use crate::read::NameSource;
use crate::rules::Cloud;
use crate::rules::Clouds;
use crate::rules::is_storage_account_name;
use crate::rules::nearest_region;

/// Entries of one list. A site with more is better described by networks.
const MAX_LISTED: usize = 200;

/// What was observed, each with its count.
#[derive(Debug)]
pub struct SiteDraft {
    policy: Arc<Policy>,
    regions: BTreeMap<String, u64>,
    accounts: BTreeMap<String, u64>,
    servers: BTreeMap<Address, u64>,
    resolvers: BTreeMap<Address, u64>,
    proxies: BTreeMap<(Address, u16), u64>,
    private: BTreeMap<Address, u64>,
    /// Products that alone document an observed destination.
    products: BTreeSet<String>,
    /// A list reached its limit.
    is_cut: bool,
}

fn count<K: Ord>(map: &mut BTreeMap<K, u64>, key: K, is_cut: &mut bool) {
    if map.len() < MAX_LISTED || map.contains_key(&key) {
        *map.entry(key).or_default() += 1;
    } else {
        *is_cut = true;
    }
}

impl SiteDraft {
    /// Adds a flow.
    pub fn add_flow(&mut self, row: &FlowRow) {
        let Some(name) =
            row.name.as_ref().filter(|_| row.destination_verdict == Some(DestinationVerdict::Documented))
        else {
            return;
        };
        let documented = row.documented.as_ref();
        if let Some(documented) = documented.filter(|documented| !documented.products.contains(';')) {
            self.products.insert(documented.products.clone());
        }
        count(&mut self.servers, row.client.address, &mut self.is_cut);
        self.add_name(name);
        // A documented name at a private address was requested from a proxy, or is a private endpoint.
        let is_endpoint_port = matches!(row.server.port, port::HTTP | port::HTTPS | port::SMB);
        if row.name_source == Some(NameSource::Connect)
            || (row.server.address.is_private() && !is_endpoint_port)
        {
            count(&mut self.proxies, (row.server.address, row.server.port), &mut self.is_cut);
        } else if row.server.address.is_private() && row.server.port == port::HTTPS {
            count(&mut self.private, row.server.address, &mut self.is_cut);
        }
    }

    /// Adds a DNS response.
    pub fn add_dns(&mut self, row: &DnsRow) {
        if row.resolution.rcode.is_some() && row.client.address.is_private() {
            count(&mut self.resolvers, row.resolver.address, &mut self.is_cut);
        }
        if row.resolution.rcode == Some(0) {
            self.add_name(&row.resolution.query_name);
        }
    }

    /// An empty draft.
    pub fn new(policy: Arc<Policy>) -> SiteDraft {
        SiteDraft {
            policy,
            regions: BTreeMap::new(),
            accounts: BTreeMap::new(),
            servers: BTreeMap::new(),
            resolvers: BTreeMap::new(),
            proxies: BTreeMap::new(),
            private: BTreeMap::new(),
            products: BTreeSet::new(),
            is_cut: false,
        }
    }

    fn add_name(&mut self, name: &str) {
        // Regions and accounts that a site file would refuse are left out.
        let listed = || self.policy.rules.regions().iter().map(|region| &*region.name);
        let is_misspelt = |region: &String| {
            !listed().any(|known| known == region) && nearest_region(region, listed()).is_some()
        };
        if let Some(region) = region_of(name, &self.policy).filter(|region| !is_misspelt(region)) {
            count(&mut self.regions, region, &mut self.is_cut);
        }
        if let Some(account) =
            account_in(name, &self.policy).filter(|account| is_storage_account_name(account))
        {
            count(&mut self.accounts, account.to_owned(), &mut self.is_cut);
        }
    }

    /// The cloud of all observed regions, where it is one.
    fn cloud(&self) -> Option<Cloud> {
        let listed = self.policy.rules.regions().iter();
        let observed = listed.filter(|region| self.regions.contains_key(&*region.name));
        let clouds = observed.fold(Clouds::NONE, |clouds, region| clouds.union(region.clouds));
        let mut clouds = clouds.iter();
        clouds.next().filter(|_| clouds.next().is_none())
    }

    /// The site file. What was not observed is there as a comment.
    pub fn site_file(&self) -> String {
        let mut text = String::from(
            "# A site file for afs-audit, drafted from a capture: check every line before you rely on it.\n\
             # What is listed here was observed, which does not make it right.\n",
        );
        if self.is_cut {
            line(
                &mut text,
                &format!(
                    "# Some lists were cut at {MAX_LISTED} entries: describe the site by networks instead."
                ),
            );
        }
        text.push_str("\n[site]\n# name = \"Contoso\"\n");
        match self.cloud() {
            Some(cloud) => line(&mut text, &format!("cloud = \"{cloud}\"")),
            None => line(&mut text, "# cloud = \"public\"   # public, us-government, china"),
        }
        if self.products.is_empty() {
            line(&mut text, "# products = [\"azure-file-sync\", \"azure-stack-hci\"]");
        } else {
            let seen: Vec<String> = self.products.iter().map(|product| format!("\"{product}\"")).collect();
            line(&mut text, &format!("# products = [{}]   # observed", seen.join(", ")));
        }
        line(&mut text, "\n[azure-file-sync]");
        // The region with the most traffic; the others may be its pair, or a mistake.
        let mut regions: Vec<(&String, &u64)> = self.regions.iter().collect();
        regions.sort_by(|a, b| b.1.cmp(a.1).then(a.0.cmp(b.0)));
        match regions.split_first() {
            Some(((region, _), others)) => {
                line(&mut text, &format!("region = \"{region}\""));
                for (other, times) in others {
                    line(&mut text, &format!("# also observed, {times} times: {other}"));
                }
            }
            None => line(&mut text, "# region = \"West Europe\"   # none observed"),
        }
        line(
            &mut text,
            "# redundancy = \"GRS\"   # LRS, ZRS, GRS, GZRS, RA-GRS, RA-GZRS: not visible in a capture",
        );
        let quoted = |items: &mut dyn Iterator<Item = String>| -> Vec<String> {
            items.map(|item| format!("\"{item}\"")).collect()
        };
        list(&mut text, "storage-accounts", &quoted(&mut self.accounts.keys().cloned()), "contosofiles");
        line(&mut text, "# sync-services = [\"contososync\"]");
        line(&mut text, "\n[private-endpoints]");
        let private = quoted(&mut self.private.keys().map(Address::to_string));
        list(&mut text, "networks", &private, "10.1.2.0/24");
        line(&mut text, "\n[roles]   # a network or an address each");
        list(&mut text, "servers", &quoted(&mut self.servers.keys().map(Address::to_string)), "10.1.0.0/24");
        for role in crate::rules::ROLES.iter().filter(|role| **role != "servers") {
            line(&mut text, &format!("# {role} = []"));
        }
        line(&mut text, "\n[proxy]");
        let socket =
            |(address, port): &(Address, u16)| std::net::SocketAddr::new(address.to_ip(), *port).to_string();
        list(&mut text, "addresses", &quoted(&mut self.proxies.keys().map(socket)), "10.0.0.8:8080");
        line(&mut text, "\n[dns]");
        list(&mut text, "resolvers", &quoted(&mut self.resolvers.keys().map(Address::to_string)), "10.0.0.2");
        text.push_str(
            "\n[service-tags]\n# file = \"ServiceTags_Public_20260713.json\"   # beside this file\n\n\
             # [[allow]]\n# name = \"*.vendor.example\"   # or network = \"203.0.113.0/24\", or both\n# port = 443\n\
             # reason = \"backup\"\n# expires = 2027-01-31\n",
        );
        text
    }
}

fn line(text: &mut String, line: &str) {
    text.push_str(line);
    text.push('\n');
}

fn list(text: &mut String, key: &str, items: &[String], example: &str) {
    // Writing into a text cannot fail.
    let _ = match items {
        [] => writeln!(text, "# {key} = [\"{example}\"]   # none observed"),
        items => writeln!(text, "{key} = [{}]", items.join(", ")),
    };
}

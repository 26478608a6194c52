//! The site file: what its operator says about a site.
//!
//! In:  TOML, all of it optional.
//! Out: a checked [`Site`], or every mistake with its line, and for a misspelt word the nearest right one.
//! Not: whether the traffic agrees; that is for `judge`.

mod read;

use std::collections::BTreeMap;
use std::path::Path;
use std::path::PathBuf;

use ipnet::IpNet;
use jiff::civil::Date;

use crate::base::Address;

pub use read::is_account;
pub use read::slip_of;

use super::cloud::Cloud;
use super::file::RuleFileError;
use super::file::text_of;
use super::library::Library;
use super::library::Selection;
use super::pattern::Pattern;
use super::ports::Ports;
use super::requirement::Redundancy;
use super::requirement::SiteNeeds;

/// A site, as far as its operator described it. The default knows nothing.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Site {
    /// The file it was read from, empty without one.
    pub file: String,
    /// SHA-256 of that file's bytes, in hexadecimal.
    pub sha256: Box<str>,
    /// Name.
    pub name: Option<String>,
    /// Cloud.
    pub cloud: Option<Cloud>,
    /// Products in use.
    pub products: Option<Vec<String>>,
    /// Region of the storage sync service, as the documents print it where they know it.
    pub sync_region: Option<String>,
    /// Redundancy of the storage accounts.
    pub redundancy: Option<Redundancy>,
    /// Names of storage accounts.
    pub storage_accounts: Vec<String>,
    /// Names of storage sync services.
    pub sync_services: Vec<String>,
    /// Region of the Azure Local instances.
    pub local_region: Option<String>,
    /// Names that fill the placeholders of the documents: `key-vault`, `arc-gateway`, `witness-storage-account`.
    pub local_names: BTreeMap<String, Vec<String>>,
    /// Networks of private endpoints.
    pub private_endpoints: Vec<IpNet>,
    /// Networks of each role, by the words of the port tables.
    pub roles: BTreeMap<&'static str, Vec<IpNet>>,
    /// Addresses and ports of proxies.
    pub proxies: Vec<(Address, u16)>,
    /// Addresses of DNS resolvers.
    pub resolvers: Vec<Address>,
    /// File of service tags; a path in the site file is relative to that file.
    pub service_tags: Option<PathBuf>,
    /// Rule documents.
    pub documents: Option<Vec<String>>,
    /// Exceptions.
    pub allow: Vec<Allow>,
    /// The one cloud that its regions lie in, where they say so.
    pub cloud_of_regions: Option<Cloud>,
    /// What its reader should know, though nothing is wrong.
    pub remarks: Vec<String>,
}

/// An exception that the site itself makes.
#[derive(Clone, Debug, PartialEq)]
pub struct Allow {
    /// Host, where it is for a host.
    pub name: Option<Pattern>,
    /// Network, where it is for one. With both, both must match.
    pub network: Option<IpNet>,
    /// Ports; all where there are none.
    pub ports: Option<Ports>,
    /// Why.
    pub reason: String,
    /// Last day.
    pub expires: Date,
    /// Line of the site file.
    pub line: usize,
}

impl Allow {
    /// Is a conversation with this host and address on this port allowed? A host matches in lower case, without a final
    /// dot. Whether the exception still holds is asked apart.
    pub fn matches(&self, name: Option<&str>, address: Address, protocol: u8, port: u16) -> bool {
        let name_fits = self.name.as_ref().is_none_or(|own| name.is_some_and(|name| own.matches(name)));
        let network_fits = self.network.is_none_or(|net| net.contains(&address.to_ip()));
        let port_fits = self.ports.as_ref().is_none_or(|ports| ports.holds(protocol, port));
        name_fits && network_fits && port_fits
    }

    /// True when the last day lies before `day`.
    pub fn expired(&self, day: Date) -> bool {
        self.expires < day
    }
}

impl Site {
    /// Reads a site file. The library knows the products, documents and regions that there are.
    pub fn load(path: &Path, library: &Library) -> Result<Site, Vec<RuleFileError>> {
        let file = path.display().to_string();
        let bytes = std::fs::read(path).map_err(|error| {
            vec![RuleFileError { what: "site file", file: file.clone(), line: 0, message: error.to_string() }]
        })?;
        let text = text_of("site file", &file, &bytes).map_err(|problem| vec![problem])?;
        read::read(path.parent(), &file, text, library)
    }

    /// Reads the text of the site file called `file`, and looks for no other file.
    pub fn read(file: &str, text: &str, library: &Library) -> Result<Site, Vec<RuleFileError>> {
        read::read(None, file, text, library)
    }

    /// The last part of the file's path: what evidence calls it.
    pub fn file_name(&self) -> &str {
        Path::new(&self.file).file_name().and_then(|name| name.to_str()).unwrap_or(&self.file)
    }

    /// What to choose from the rule documents.
    pub fn selection(&self) -> Selection {
        let mut values = self.local_names.clone();
        let mut fill = |fact: &str, names: &[String]| {
            if !names.is_empty() {
                values.insert(fact.to_owned(), names.to_vec());
            }
        };
        fill("storage-account", &self.storage_accounts);
        fill("sync-service", &self.sync_services);
        let regions: Vec<String> = self.sync_region.iter().chain(&self.local_region).cloned().collect();
        fill("region", &regions);
        Selection {
            documents: self.documents.clone(),
            products: self.products.clone(),
            cloud: self.cloud,
            local_region: self.local_region.clone(),
            values,
        }
    }

    /// What decides on the regional instances that the site needs.
    pub fn needs(&self) -> SiteNeeds {
        SiteNeeds { region: self.sync_region.clone(), redundancy: self.redundancy }
    }

    /// The products that the site says it uses, or shows by describing them; what they need is listed.
    pub fn products_described(&self) -> Vec<&str> {
        if let Some(products) = &self.products {
            return products.iter().map(String::as_str).collect();
        }
        let sync = self.sync_region.is_some()
            || self.redundancy.is_some()
            || !(self.storage_accounts.is_empty() && self.sync_services.is_empty());
        let local = self.local_region.is_some() || !self.local_names.is_empty();
        let described = [(sync, "azure-file-sync"), (local, "azure-stack-hci")];
        described.into_iter().filter(|(described, _)| *described).map(|(_, product)| product).collect()
    }

    /// The roles that an address has, by the words of the port tables.
    pub fn roles_of(&self, address: Address) -> impl Iterator<Item = &'static str> {
        let ip = address.to_ip();
        let has_role = move |nets: &Vec<IpNet>| nets.iter().any(|net| net.contains(&ip));
        self.roles.iter().filter(move |(_, nets)| has_role(nets)).map(|(role, _)| *role)
    }
}

//! The site file, in which operators describe their site.
//!
//! In:  TOML, all of it optional.
//! Out: a checked [`Site`], or every error with its line and a suggestion.
//! Not: whether the traffic agrees; that is for `judge`.

mod read;

use std::collections::BTreeMap;
use std::path::Path;
use std::path::PathBuf;

use ipnet::IpNet;
use jiff::civil::Date;

use crate::base::Address;

pub use read::is_storage_account_name;

use super::cloud::Cloud;
use super::file::RuleFileError;
use super::file::text_of;
use super::library::Library;
use super::library::Selection;
use super::pattern::Pattern;
use super::ports::Ports;
use super::requirement::Redundancy;
use super::requirement::SyncSetup;

/// A site as its operator describes it. The default is a site without a description.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Site {
    /// The file that it was read from; empty without a file.
    pub file: String,
    /// SHA-256 of that file's bytes, in hexadecimal.
    pub sha256: Box<str>,
    /// Name.
    pub name: Option<String>,
    /// Cloud.
    pub cloud: Option<Cloud>,
    /// Products in use.
    pub products: Option<Vec<String>>,
    /// Region of the storage sync service, as printed in the documents if they list it.
    pub sync_region: Option<String>,
    /// Redundancy of the storage accounts.
    pub redundancy: Option<Redundancy>,
    /// Names of storage accounts.
    pub storage_accounts: Vec<String>,
    /// Names of storage sync services.
    pub sync_services: Vec<String>,
    /// Region of the Azure Local instances.
    pub local_region: Option<String>,
    /// Hardware vendor of the Azure Local instances.
    pub hardware: Option<String>,
    /// Version of the Azure Local instances: 2504.
    pub version: Option<u32>,
    /// Values of placeholders: `key-vault`, `arc-gateway`, `witness-storage-account`.
    pub local_names: BTreeMap<String, Vec<String>>,
    /// Public and IPv6 networks that the site itself uses.
    pub networks: Vec<IpNet>,
    /// Networks of private endpoints.
    pub private_endpoints: Vec<IpNet>,
    /// Networks of each role of the port tables.
    pub roles: BTreeMap<&'static str, Vec<IpNet>>,
    /// Addresses and ports of proxies.
    pub proxies: Vec<(Address, u16)>,
    /// Addresses of DNS resolvers.
    pub resolvers: Vec<Address>,
    /// Service tag file; a relative path is relative to the site file.
    pub service_tags: Option<PathBuf>,
    /// Rule documents.
    pub documents: Option<Vec<String>>,
    /// Exceptions.
    pub allow: Vec<Allow>,
    /// The cloud of its regions, if they are all in one cloud.
    pub cloud_of_regions: Option<Cloud>,
    /// Warnings, such as a region that no document lists.
    pub warnings: Vec<String>,
}

/// An exception that lasts for longer is reported: exceptions are meant to be reviewed.
const EXCEPTION_YEARS: i16 = 5;

/// An exception of the site.
#[derive(Clone, Debug, PartialEq)]
pub struct Allow {
    /// Host, if it is for a host.
    pub name: Option<Pattern>,
    /// Network, if it is for a network. With a host and a network, both must match.
    pub network: Option<IpNet>,
    /// Ports; all ports if there are none.
    pub ports: Option<Ports>,
    /// Reason.
    pub reason: String,
    /// Last day.
    pub expires: Date,
    /// Line of the site file.
    pub line: usize,
}

impl Allow {
    /// True if it allows a flow to this host and address on this port. The name is in lower case, without a final dot.
    /// The expiry date is not compared; see [`Allow::expired`].
    pub fn matches(&self, name: Option<&str>, address: Address, protocol: u8, port: u16) -> bool {
        let name_fits = self.name.as_ref().is_none_or(|own| name.is_some_and(|name| own.matches(name)));
        let network_fits = self.network.is_none_or(|net| net.contains(&address.to_ip()));
        let port_fits = self.ports.as_ref().is_none_or(|ports| ports.contains(protocol, port));
        name_fits && network_fits && port_fits
    }

    /// True if the last day is before `day`.
    pub fn expired(&self, day: Date) -> bool {
        self.expires < day
    }

    /// Why it allows more than an exception should, if it does. `day`: the last one of the capture.
    pub fn excess(&self, day: Option<Date>) -> Option<String> {
        // No site has a network of so many addresses: it stands for the whole internet, or for much of it.
        let is_wide = |net: IpNet| match net {
            IpNet::V4(net) => net.prefix_len() < 8,
            IpNet::V6(net) => net.prefix_len() < 16,
        };
        let line = self.line;
        if let (None, Some(net)) = (&self.name, self.network.filter(|net| is_wide(*net))) {
            return Some(format!(
                "line {line}: the exception for {net} allows most destinations, documented or not"
            ));
        }
        let is_long = day.is_some_and(|day| self.expires.year() > day.year().saturating_add(EXCEPTION_YEARS));
        is_long.then(|| {
            format!(
                "line {line}: the exception lasts until {}; choose a date within {EXCEPTION_YEARS} years, so that it is reviewed",
                self.expires
            )
        })
    }
}

impl Site {
    /// Reads a site file. The library has the known products, documents and regions.
    pub fn load(path: &Path, library: &Library) -> Result<Site, Vec<RuleFileError>> {
        let file = path.display().to_string();
        let bytes = std::fs::read(path).map_err(|error| {
            vec![RuleFileError { what: "site file", file: file.clone(), line: 0, message: error.to_string() }]
        })?;
        let text = text_of("site file", &file, &bytes).map_err(|problem| vec![problem])?;
        read::read(path.parent(), &file, text, library)
    }

    /// Reads the text of the site file called `file`, without opening any other file.
    pub fn read(file: &str, text: &str, library: &Library) -> Result<Site, Vec<RuleFileError>> {
        read::read(None, file, text, library)
    }

    /// The last part of the file's path, as evidence names it.
    pub fn file_name(&self) -> &str {
        Path::new(&self.file).file_name().and_then(|name| name.to_str()).unwrap_or(&self.file)
    }

    /// The selection of rule documents for this site.
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
            hardware: self.hardware.clone(),
            version: self.version,
            values,
        }
    }

    /// Region and redundancy, which decide which regional instances the site requires.
    pub fn sync_setup(&self) -> SyncSetup {
        SyncSetup { region: self.sync_region.clone(), redundancy: self.redundancy }
    }

    /// The products that the site file lists, or else those that it describes in a section.
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
}

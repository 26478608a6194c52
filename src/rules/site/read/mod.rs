//! Parses a site file.
//!
//! In:  its text, and the library with the known products, documents and regions.
//! Out: a checked [`Site`], or every error with its line.
//! Not: which rules apply; that is for `library`.

mod shape;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::net::IpAddr;
use std::net::SocketAddr;
use std::path::Path;
use std::path::PathBuf;

use ipnet::IpNet;
use jiff::civil::Date;
use sha2::Digest;
use sha2::Sha256;
use toml::Spanned;

use shape::AllowShape;
use shape::PortShape;
use shape::SiteShape;
use shape::Words;

use super::Allow;
use super::Site;
use crate::base::Address;
use crate::rules::cloud::Cloud;
use crate::rules::cloud::Clouds;
use crate::rules::file::LineIndex;
use crate::rules::file::RuleFileError;
use crate::rules::file::nearest;
use crate::rules::file::read_toml;
use crate::rules::library::Library;
use crate::rules::nearest_region;
use crate::rules::parse::hex;
use crate::rules::pattern::Pattern;
use crate::rules::ports::Ports;
use crate::rules::reference::Document;
use crate::rules::reference::ROLES;
use crate::rules::region_slug;

/// Parses the text of the site file called `file`; relative paths in it are relative to `folder`.
pub(super) fn read(
    folder: Option<&Path>,
    file: &str,
    text: &str,
    library: &Library,
) -> Result<Site, Vec<RuleFileError>> {
    let shape: SiteShape = read_toml("site file", file, text).map_err(|error| vec![error])?;
    let mut parser = SiteParser {
        file,
        text,
        lines: LineIndex::of(text),
        folder,
        library,
        errors: Vec::new(),
        warnings: Vec::new(),
        clouds: None,
    };
    let site = parser.site(shape);
    parser.errors.sort_by_key(|error| error.line);
    if parser.errors.is_empty() { Ok(site) } else { Err(parser.errors) }
}

struct SiteParser<'a> {
    file: &'a str,
    text: &'a str,
    lines: LineIndex,
    /// Folder of relative paths.
    folder: Option<&'a Path>,
    library: &'a Library,
    errors: Vec<RuleFileError>,
    warnings: Vec<String>,
    /// Clouds of the regions read so far.
    clouds: Option<Clouds>,
}

impl SiteParser<'_> {
    fn error(&mut self, at: usize, message: String) {
        let line = self.lines.at(at);
        self.errors.push(RuleFileError { what: "site file", file: self.file.to_owned(), line, message });
    }

    fn site(&mut self, shape: SiteShape) -> Site {
        let roles: [(&'static str, &Words); 10] = [
            ("servers", &shape.roles.servers),
            ("management-system", &shape.roles.management_system),
            ("cluster-servers", &shape.roles.cluster_servers),
            ("hyper-v-servers", &shape.roles.hyper_v_servers),
            ("windows-admin-center", &shape.roles.windows_admin_center),
            ("stretched-cluster", &shape.roles.stretched_cluster),
            ("active-directory", &shape.roles.active_directory),
            ("time-servers", &shape.roles.time_servers),
            ("resource-bridge", &shape.roles.resource_bridge),
            ("aks-clusters", &shape.roles.aks_clusters),
        ];
        debug_assert!(roles.iter().map(|(role, _)| *role).eq(ROLES.iter().copied()));
        let local = &shape.azure_stack_hci;
        let local_names = [
            ("key-vault", &local.key_vaults),
            ("arc-gateway", &local.arc_gateways),
            ("witness-storage-account", &local.witness_storage_accounts),
        ];
        let library = self.library;
        let products: Vec<&str> = library
            .documents()
            .flat_map(|document| document.products.iter().map(|product| &**product))
            .collect();
        let documents: Vec<&str> = library.documents().map(|document| &*document.id).collect();
        let region = shape.azure_file_sync.region.as_ref();
        let sync_region = region.map(|region| self.sync_region(region, shape.site.cloud));
        let allow = self.exceptions(shape.allow);
        Site {
            file: self.file.to_owned(),
            sha256: hex(&Sha256::digest(self.text.as_bytes())).into(),
            name: shape.site.name,
            cloud: shape.site.cloud,
            products: shape.site.products.as_ref().map(|words| self.known("product", words, &products)),
            sync_region,
            redundancy: shape.azure_file_sync.redundancy,
            storage_accounts: self.accounts(&shape.azure_file_sync.storage_accounts),
            sync_services: self.labels("a storage sync service", &shape.azure_file_sync.sync_services),
            local_region: self.optional_local_region(local.region.as_ref(), shape.site.products.as_ref()),
            hardware: local.hardware.as_ref().map(|word| self.hardware(word)),
            version: local.version.as_ref().and_then(|word| self.version(word)),
            local_names: local_names
                .into_iter()
                .filter(|(_, words)| !words.is_empty())
                .map(|(fact, words)| {
                    let names = match fact {
                        "witness-storage-account" => self.accounts(words),
                        "key-vault" => self.labels("a key vault", words),
                        _ => self.labels("an Arc gateway", words),
                    };
                    (fact.to_owned(), names)
                })
                .collect(),
            networks: self.networks(&shape.site.networks),
            private_endpoints: self.networks(&shape.private_endpoints.networks),
            roles: roles
                .into_iter()
                .filter(|(_, words)| !words.is_empty())
                .map(|(role, words)| (role, self.networks(words)))
                .collect(),
            proxies: shape.proxy.addresses.iter().filter_map(|word| self.proxy(word)).collect(),
            resolvers: shape.dns.resolvers.iter().filter_map(|word| self.address(word)).collect(),
            service_tags: shape.service_tags.file.map(|file| self.tag_file(file)),
            documents: shape.rules.documents.map(|words| self.known("document", &words, &documents)),
            allow,
            cloud_of_regions: self
                .clouds
                .filter(|clouds| clouds.iter().count() == 1)
                .and_then(|clouds| clouds.iter().next()),
            warnings: std::mem::take(&mut self.warnings),
        }
    }

    fn exceptions(&mut self, shapes: Vec<Spanned<AllowShape>>) -> Vec<Allow> {
        let mut lines = HashMap::new();
        let mut all = Vec::with_capacity(shapes.len());
        if let Some(first_too_many) = shapes.get(EXCEPTIONS) {
            let message = format!("more than {EXCEPTIONS} exceptions");
            self.error(first_too_many.span().start, message);
        }
        for shape in shapes {
            let at = shape.span().start;
            let Some(allow) = self.allow(shape) else { continue };
            // Of two equal exceptions one would never be used, and its reason never reported.
            let target = (allow.name.clone(), allow.network, allow.ports.clone());
            if let Some(first) = lines.insert(target, allow.line) {
                self.error(at, format!("same exception as on line {first}"));
            }
            all.push(allow);
        }
        all
    }

    /// The path of the service tag file.
    fn tag_file(&mut self, word: Spanned<PathBuf>) -> PathBuf {
        let Some(folder) = self.folder else { return word.into_inner() };
        let path = folder.join(word.get_ref());
        if !path.is_file() {
            let why = if path.is_dir() { "is a folder" } else { "no such file" };
            self.error(word.span().start, format!("{why}: `{}`", word.get_ref().display()));
        }
        path
    }

    fn known(&mut self, what: &str, list: &Spanned<Words>, known: &[&str]) -> Vec<String> {
        let words = list.get_ref();
        if words.is_empty() {
            self.error(list.span().start, format!("empty list of {what}s: omit the key to select all"));
        }
        for word in words.iter().filter(|word| !known.contains(&word.get_ref().as_str())) {
            let renamed = RENAMED.iter().find(|(new, _)| word.get_ref().eq_ignore_ascii_case(new));
            let near = renamed.map(|(_, old)| *old).filter(|old| known.contains(old));
            let message = match near.or_else(|| nearest(word.get_ref(), known.iter().copied())) {
                Some(near) => format!("unknown {what} `{}`, did you mean `{near}`?", word.get_ref()),
                None => {
                    format!(
                        "unknown {what} `{}`; expected one of {}",
                        word.get_ref(),
                        unique(known).join(", ")
                    )
                }
            };
            self.error(word.span().start, message);
        }
        words.iter().map(|word| word.get_ref().clone()).collect()
    }

    /// New regions open before the documents list them, so that only a misspelt region is an error.
    fn sync_region(&mut self, word: &Spanned<String>, cloud: Option<Cloud>) -> String {
        let library = self.library;
        let listed: Vec<(&str, Clouds)> = library
            .documents()
            .filter_map(|document| library.references_of(&document.id).ok())
            .flatten()
            .filter_map(|reference| Some((reference.region.as_deref()?, reference.clouds)))
            .collect();
        let regions: Vec<&str> = listed.iter().map(|(region, _)| *region).collect();
        let region = self.region(word, &regions);
        let its: Vec<&Clouds> =
            listed.iter().filter(|(name, _)| *name == region).map(|(_, clouds)| clouds).collect();
        its.iter().for_each(|clouds| self.add_clouds(**clouds));
        match cloud {
            _ if its.is_empty() => self.warnings.push(format!(
                "no document lists region `{region}`: its instances match a wildcard only, and its required endpoints are unknown"
            )),
            Some(cloud) if !its.iter().any(|clouds| clouds.contains(cloud)) => {
                let theirs: Vec<String> = its.iter().take(1).map(|clouds| clouds.to_string()).collect();
                let message =
                    format!("`{region}` is in the cloud `{}`, but the site is in `{cloud}`", theirs.join(", "));
                self.error(word.span().start, message);
            }
            _ => {}
        }
        region
    }

    fn add_clouds(&mut self, clouds: Clouds) {
        self.clouds = Some(self.clouds.map_or(clouds, |so_far| so_far.union(clouds)));
    }

    fn hardware(&mut self, word: &Spanned<String>) -> String {
        let library = self.library;
        let vendors: Vec<&str> =
            library.documents().filter_map(|document| document.hardware.as_deref()).collect();
        let vendor = word.get_ref().to_ascii_lowercase();
        if !vendors.contains(&vendor.as_str()) {
            let message = match nearest(&vendor, vendors.iter().copied()) {
                Some(near) => format!("unknown hardware `{}`, did you mean `{near}`?", word.get_ref()),
                None => {
                    format!(
                        "unknown hardware `{}`; expected one of {}",
                        word.get_ref(),
                        unique(&vendors).join(", ")
                    )
                }
            };
            self.error(word.span().start, message);
        }
        vendor
    }

    /// `2504`, or a whole build number such as `12.2504.1001.20`.
    fn version(&mut self, word: &Spanned<String>) -> Option<u32> {
        let is_release = |part: &&str| part.len() == 4 && part.bytes().all(|byte| byte.is_ascii_digit());
        let release = word.get_ref().split('.').find(is_release).and_then(|part| part.parse().ok());
        if release.is_none() {
            let message = format!("not a version, such as 2504 or 12.2504.1001.20: `{}`", word.get_ref());
            self.error(word.span().start, message);
        }
        release
    }

    fn optional_local_region(
        &mut self,
        region: Option<&Spanned<String>>,
        products: Option<&Spanned<Words>>,
    ) -> Option<String> {
        if region.is_some() {
            return region.map(|region| self.local_region(region));
        }
        let mut lists = self.library.documents().filter(|document| document.region.is_some());
        let names = |list: &Document, word: &Spanned<String>| {
            list.products.iter().any(|product| **product == **word.get_ref())
        };
        let has_lists = products.is_some_and(|products| {
            lists.any(|list| products.get_ref().iter().any(|word| names(list, word)))
        });
        if has_lists {
            self.warnings.push(
                "no `region` in [azure-stack-hci], so no regional list is selected: those of all regions apply, and only what each of them has is \
                 required"
                    .to_owned(),
            );
        }
        None
    }

    /// New regions open before they have a list, so that a region without one is a warning.
    fn local_region(&mut self, word: &Spanned<String>) -> String {
        let library = self.library;
        let regions: Vec<&str> =
            library.documents().filter_map(|document| document.region.as_deref()).collect();
        let region = self.region(word, &regions);
        let lists: Vec<_> = library
            .documents()
            .filter(|document| document.region.as_deref() == Some(&*region))
            .filter_map(|document| library.references_of(&document.id).ok())
            .collect();
        if lists.is_empty() {
            self.warnings.push(format!(
                "no document lists the endpoints of region `{region}` (lists: {}): older documents apply",
                unique(&regions).join(", ")
            ));
        }
        lists.into_iter().flatten().for_each(|reference| self.add_clouds(reference.clouds));
        region
    }

    fn region(&mut self, word: &Spanned<String>, regions: &[&str]) -> String {
        let text = word.get_ref();
        let ours = region_slug(text);
        if let Some(region) = regions.iter().find(|region| region_slug(region) == ours) {
            return (*region).to_owned();
        }
        match nearest_region(text, regions.iter().copied()) {
            Some(region) => {
                self.error(word.span().start, format!("unknown region `{text}`, did you mean `{region}`?"));
            }
            None if ours.is_empty() => self.error(word.span().start, format!("not a region: `{text}`")),
            None => {}
        }
        text.clone()
    }

    /// Checks names that become a label of a host name.
    fn labels(&mut self, what: &str, words: &Words) -> Vec<String> {
        let is_label = |text: &str| {
            (1..=63).contains(&text.len())
                && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
        };
        for word in words.iter().filter(|word| !is_label(word.get_ref())) {
            self.error(word.span().start, format!("not a valid name of {what}: `{}`", word.get_ref()));
        }
        words.iter().map(|word| word.get_ref().to_ascii_lowercase()).collect()
    }

    fn accounts(&mut self, words: &Words) -> Vec<String> {
        for word in words.iter().filter(|word| !is_storage_account_name(word.get_ref())) {
            let text = word.get_ref();
            let first = text
                .split('.')
                .next()
                .filter(|label| *label != text.as_str() && is_storage_account_name(label));
            let near = first.map(|label| format!(", did you mean `{label}`?")).unwrap_or_default();
            self.error(word.span().start, format!("not a valid name of a storage account: `{text}`{near}"));
        }
        words.iter().map(|word| word.get_ref().to_ascii_lowercase()).collect()
    }

    fn networks(&mut self, words: &Words) -> Vec<IpNet> {
        words.iter().filter_map(|word| self.network(word)).collect()
    }

    /// A network, or an address as a network of one. Host bits after the prefix are an error: either the address or the
    /// prefix length is wrong.
    fn network(&mut self, word: &Spanned<String>) -> Option<IpNet> {
        let text = word.get_ref();
        let net = text.parse::<IpNet>().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from));
        match net {
            None => self.error(word.span().start, format!("not an address or a network: `{text}`")),
            Some(net) if net != net.trunc() => {
                let message = format!("not a network: `{text}`, did you mean `{}`?", net.trunc());
                self.error(word.span().start, message);
            }
            Some(net) => return Some(net),
        }
        None
    }

    fn address(&mut self, word: &Spanned<String>) -> Option<Address> {
        let address = word.get_ref().parse::<IpAddr>();
        if address.is_err() {
            self.error(word.span().start, format!("not an address: `{}`", word.get_ref()));
        }
        address.ok().map(Address::from)
    }

    fn proxy(&mut self, word: &Spanned<String>) -> Option<(Address, u16)> {
        let socket = word.get_ref().parse::<SocketAddr>().ok().filter(|socket| socket.port() != 0);
        if socket.is_none() {
            let message = format!("not an address with a port, such as 10.0.0.8:8080: `{}`", word.get_ref());
            self.error(word.span().start, message);
        }
        socket.map(|socket| (Address::from(socket.ip()), socket.port()))
    }

    fn allow(&mut self, spanned: Spanned<AllowShape>) -> Option<Allow> {
        let at = spanned.span().start;
        let shape = spanned.into_inner();
        let errors_before = self.errors.len();
        if shape.name.is_none() && shape.network.is_none() {
            self.error(at, "an exception needs a `name` or a `network`".to_owned());
        }
        let name = shape.name.and_then(|word| {
            let pattern = Pattern::parse(word.get_ref());
            pattern.map_err(|message| self.error(word.span().start, message)).ok()
        });
        let network = shape.network.and_then(|word| self.network(&word));
        let ports = shape.port.and_then(|port| {
            let text = match port.get_ref() {
                PortShape::Number(number) => number.to_string(),
                PortShape::Text(text) => text.clone(),
            };
            Ports::parse(&text).map_err(|message| self.error(port.span().start, message)).ok()
        });
        let reason = shape.reason.map(Spanned::into_inner).filter(|reason| !reason.trim().is_empty());
        if reason.is_none() {
            self.error(at, "an exception needs a `reason`".to_owned());
        }
        let expires = match shape.expires {
            None => {
                self.error(
                    at,
                    "an exception needs an expiry date, such as `expires = 2027-01-31`".to_owned(),
                );
                None
            }
            Some(word) => {
                let day = word.get_ref().date.and_then(|date| {
                    let (month, day) = (i8::try_from(date.month).ok()?, i8::try_from(date.day).ok()?);
                    Date::new(i16::try_from(date.year).ok()?, month, day).ok()
                });
                if day.is_none() {
                    self.error(word.span().start, format!("not a date: `{}`", word.get_ref()));
                }
                day
            }
        };
        let (Some(reason), Some(expires)) = (reason, expires) else { return None };
        let line = self.lines.at(at);
        (self.errors.len() == errors_before).then_some(Allow { name, network, ports, reason, expires, line })
    }
}

/// The exceptions of a name are stored as 16-bit indices; no real site file has as many.
const EXCEPTIONS: usize = 65_535;

/// Storage accounts have 3 to 24 lower-case letters and digits (Azure resource naming rules).
pub fn is_storage_account_name(text: &str) -> bool {
    (3..=24).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

/// Newer names of products.
const RENAMED: &[(&str, &str)] = &[("azure-local", "azure-stack-hci")];

fn unique<'a>(words: &[&'a str]) -> Vec<&'a str> {
    let mut words = words.to_vec();
    words.sort_unstable();
    words.dedup();
    words
}

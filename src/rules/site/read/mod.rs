//! Reads a site file.
//!
//! In:  its text, and the library that knows products, documents and regions.
//! Out: a checked [`Site`], or every mistake with its line.
//! Not: what a site is; that is for the file above.

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
use crate::rules::file::Lines;
use crate::rules::file::RuleFileError;
use crate::rules::file::nearest;
use crate::rules::file::read_toml;
use crate::rules::library::Library;
use crate::rules::parse::hex;
use crate::rules::pattern::Pattern;
use crate::rules::ports::Ports;
use crate::rules::reference::ROLES;
use crate::rules::region_word;

/// Reads the text of the site file called `file`; other files that it names lie in `folder`.
pub(super) fn read(
    folder: Option<&Path>,
    file: &str,
    text: &str,
    library: &Library,
) -> Result<Site, Vec<RuleFileError>> {
    let shape: SiteShape = read_toml("site file", file, text).map_err(|problem| vec![problem])?;
    let mut reader = Reader {
        file,
        text,
        lines: Lines::of(text),
        folder,
        library,
        problems: Vec::new(),
        remarks: Vec::new(),
        clouds: None,
    };
    let site = reader.site(shape);
    reader.problems.sort_by_key(|problem| problem.line);
    if reader.problems.is_empty() { Ok(site) } else { Err(reader.problems) }
}

struct Reader<'a> {
    file: &'a str,
    text: &'a str,
    lines: Lines,
    /// Where other files that it names lie.
    folder: Option<&'a Path>,
    library: &'a Library,
    problems: Vec<RuleFileError>,
    remarks: Vec<String>,
    /// Clouds of the regions so far.
    clouds: Option<Clouds>,
}

impl Reader<'_> {
    fn problem(&mut self, at: usize, message: String) {
        let line = self.lines.at(at);
        self.problems.push(RuleFileError { what: "site file", file: self.file.to_owned(), line, message });
    }

    fn site(&mut self, shape: SiteShape) -> Site {
        let roles: [(&'static str, &Words); 8] = [
            ("servers", &shape.roles.servers),
            ("management-system", &shape.roles.management_system),
            ("cluster-servers", &shape.roles.cluster_servers),
            ("hyper-v-servers", &shape.roles.hyper_v_servers),
            ("windows-admin-center", &shape.roles.windows_admin_center),
            ("stretched-cluster", &shape.roles.stretched_cluster),
            ("active-directory", &shape.roles.active_directory),
            ("time-servers", &shape.roles.time_servers),
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
            sha256: hex(&Sha256::digest(self.text.as_bytes())),
            name: shape.site.name,
            cloud: shape.site.cloud,
            products: shape.site.products.map(|words| self.known("product", &words, &products)),
            sync_region,
            redundancy: shape.azure_file_sync.redundancy,
            storage_accounts: self.accounts(&shape.azure_file_sync.storage_accounts),
            sync_services: self.labels("a storage sync service", &shape.azure_file_sync.sync_services),
            local_region: local.region.as_ref().map(|region| self.local_region(region)),
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
            remarks: std::mem::take(&mut self.remarks),
        }
    }

    fn exceptions(&mut self, shapes: Vec<Spanned<AllowShape>>) -> Vec<Allow> {
        let mut lines = HashMap::new();
        let mut all = Vec::with_capacity(shapes.len());
        if let Some(first_too_many) = shapes.get(EXCEPTIONS) {
            let message = format!("more than {EXCEPTIONS} exceptions");
            self.problem(first_too_many.span().start, message);
        }
        for shape in shapes {
            let at = shape.span().start;
            let Some(allow) = self.allow(shape) else { continue };
            // Of two that say the same, one is never used, and nobody knows which reason counts.
            let target = (allow.name.clone(), allow.network, allow.ports.clone());
            if let Some(first) = lines.insert(target, allow.line) {
                self.problem(at, format!("the same exception as on line {first}"));
            }
            all.push(allow);
        }
        all
    }

    /// A file beside the site file.
    fn tag_file(&mut self, word: Spanned<PathBuf>) -> PathBuf {
        let Some(folder) = self.folder else { return word.into_inner() };
        let path = folder.join(word.get_ref());
        if !path.is_file() {
            let why = if path.is_dir() { "is a folder" } else { "there is no such file" };
            self.problem(word.span().start, format!("{why}: `{}`", word.get_ref().display()));
        }
        path
    }

    fn known(&mut self, what: &str, list: &Spanned<Words>, known: &[&str]) -> Vec<String> {
        let words = list.get_ref();
        if words.is_empty() {
            self.problem(list.span().start, format!("no {what} at all: leave the key out where all count"));
        }
        for word in words.iter().filter(|word| !known.contains(&word.get_ref().as_str())) {
            let renamed = RENAMED.iter().find(|(new, _)| word.get_ref().eq_ignore_ascii_case(new));
            let near = renamed.map(|(_, old)| *old).filter(|old| known.contains(old));
            let message = match near.or_else(|| nearest(word.get_ref(), known.iter().copied())) {
                Some(near) => format!("no {what} `{}`, did you mean `{near}`?", word.get_ref()),
                None => format!("no {what} `{}`, known are {}", word.get_ref(), unique(known).join(", ")),
            };
            self.problem(word.span().start, message);
        }
        words.iter().map(|word| word.get_ref().clone()).collect()
    }

    /// New regions open before the documents know them, so only what looks like a slip is refused: a number more or
    /// less is another region, a letter is not.
    fn sync_region(&mut self, word: &Spanned<String>, cloud: Option<Cloud>) -> String {
        let library = self.library;
        let listed: Vec<(&str, Clouds)> = library
            .documents()
            .filter_map(|document| library.rules_of(&document.id).ok())
            .flatten()
            .filter_map(|rule| Some((rule.region.as_deref()?, rule.clouds)))
            .collect();
        let regions: Vec<&str> = listed.iter().map(|(region, _)| *region).collect();
        let region = self.region(word, &regions);
        let its: Vec<&Clouds> =
            listed.iter().filter(|(name, _)| *name == region).map(|(_, in_)| in_).collect();
        its.iter().for_each(|clouds| self.lies_in(**clouds));
        match cloud {
            _ if its.is_empty() => self.remarks.push(format!(
                "no document lists the region `{region}`: its names are allowed by a wildcard only, and what it needs is not known"
            )),
            Some(cloud) if !its.iter().any(|clouds| clouds.holds(cloud)) => {
                let theirs: Vec<String> = its.iter().take(1).map(|clouds| clouds.to_string()).collect();
                let message =
                    format!("`{region}` is in the cloud `{}`, and the site in `{cloud}`", theirs.join(", "));
                self.problem(word.span().start, message);
            }
            _ => {}
        }
        region
    }

    fn lies_in(&mut self, clouds: Clouds) {
        self.clouds = Some(self.clouds.map_or(clouds, |so_far| so_far.and(clouds)));
    }

    fn local_region(&mut self, word: &Spanned<String>) -> String {
        let library = self.library;
        let regions: Vec<&str> =
            library.documents().filter_map(|document| document.region.as_deref()).collect();
        let found = regions.iter().find(|region| region_word(region) == region_word(word.get_ref()));
        if found.is_none() {
            let message = match nearest(word.get_ref(), regions.iter().copied()) {
                Some(near) => format!("no list for region `{}`, did you mean `{near}`?", word.get_ref()),
                None => format!("no list for region `{}`, there are {}", word.get_ref(), regions.join(", ")),
            };
            self.problem(word.span().start, message);
        }
        let documents = library.documents().filter(|document| {
            document.region.as_deref().is_some_and(|its| region_word(its) == region_word(word.get_ref()))
        });
        documents
            .filter_map(|document| library.rules_of(&document.id).ok())
            .flatten()
            .for_each(|rule| self.lies_in(rule.clouds));
        found.map_or_else(|| word.get_ref().clone(), |region| (*region).to_owned())
    }

    fn region(&mut self, word: &Spanned<String>, regions: &[&str]) -> String {
        let text = word.get_ref();
        let ours = region_word(text);
        if let Some(region) = regions.iter().find(|region| region_word(region) == ours) {
            return (*region).to_owned();
        }
        match slip_of(text, regions.iter().copied()) {
            Some(region) => {
                self.problem(word.span().start, format!("no region `{text}`, did you mean `{region}`?"));
            }
            None if ours.is_empty() => self.problem(word.span().start, format!("not a region: `{text}`")),
            None => {}
        }
        text.clone()
    }

    /// Names that become a label of a host name.
    fn labels(&mut self, what: &str, words: &Words) -> Vec<String> {
        let is_label = |text: &str| {
            (1..=63).contains(&text.len())
                && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
        };
        for word in words.iter().filter(|word| !is_label(word.get_ref())) {
            self.problem(word.span().start, format!("not the name of {what}: `{}`", word.get_ref()));
        }
        words.iter().map(|word| word.get_ref().to_ascii_lowercase()).collect()
    }

    fn accounts(&mut self, words: &Words) -> Vec<String> {
        for word in words.iter().filter(|word| !is_account(word.get_ref())) {
            let text = word.get_ref();
            let first = text.split('.').next().filter(|label| *label != text.as_str() && is_account(label));
            let near = first.map(|label| format!(", did you mean `{label}`?")).unwrap_or_default();
            self.problem(word.span().start, format!("not the name of a storage account: `{text}`{near}"));
        }
        words.iter().map(|word| word.get_ref().to_ascii_lowercase()).collect()
    }

    fn networks(&mut self, words: &Words) -> Vec<IpNet> {
        words.iter().filter_map(|word| self.network(word)).collect()
    }

    /// A network, or an address as the network of one. Bits behind the prefix are a slip, and one of them is wrong.
    fn network(&mut self, word: &Spanned<String>) -> Option<IpNet> {
        let text = word.get_ref();
        let net = text.parse::<IpNet>().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from));
        match net {
            None => self.problem(word.span().start, format!("not a network: `{text}`")),
            Some(net) if net != net.trunc() => {
                let message = format!("not a network: `{text}`, did you mean `{}`?", net.trunc());
                self.problem(word.span().start, message);
            }
            Some(net) => return Some(net),
        }
        None
    }

    fn address(&mut self, word: &Spanned<String>) -> Option<Address> {
        let address = word.get_ref().parse::<IpAddr>();
        if address.is_err() {
            self.problem(word.span().start, format!("not an address: `{}`", word.get_ref()));
        }
        address.ok().map(Address::from)
    }

    fn proxy(&mut self, word: &Spanned<String>) -> Option<(Address, u16)> {
        let socket = word.get_ref().parse::<SocketAddr>().ok().filter(|socket| socket.port() != 0);
        if socket.is_none() {
            let message = format!("not an address with a port, such as 10.0.0.8:8080: `{}`", word.get_ref());
            self.problem(word.span().start, message);
        }
        socket.map(|socket| (Address::from(socket.ip()), socket.port()))
    }

    fn allow(&mut self, spanned: Spanned<AllowShape>) -> Option<Allow> {
        let at = spanned.span().start;
        let shape = spanned.into_inner();
        let mistakes = self.problems.len();
        if shape.name.is_none() && shape.network.is_none() {
            self.problem(at, "an exception needs a `name` or a `network`".to_owned());
        }
        let name = shape.name.and_then(|word| {
            let pattern = Pattern::parse(word.get_ref());
            pattern.map_err(|message| self.problem(word.span().start, message)).ok()
        });
        let network = shape.network.and_then(|word| self.network(&word));
        let ports = shape.port.and_then(|port| {
            let text = match port.get_ref() {
                PortShape::Number(number) => number.to_string(),
                PortShape::Text(text) => text.clone(),
            };
            Ports::parse(&text).map_err(|message| self.problem(port.span().start, message)).ok()
        });
        let reason = shape.reason.map(Spanned::into_inner).filter(|reason| !reason.trim().is_empty());
        if reason.is_none() {
            self.problem(at, "an exception needs a `reason`".to_owned());
        }
        let expires = match shape.expires {
            None => {
                self.problem(at, "an exception needs a last day, `expires = 2027-01-31`".to_owned());
                None
            }
            Some(word) => {
                let day = word.get_ref().date.and_then(|date| {
                    let (month, day) = (i8::try_from(date.month).ok()?, i8::try_from(date.day).ok()?);
                    Date::new(i16::try_from(date.year).ok()?, month, day).ok()
                });
                if day.is_none() {
                    self.problem(word.span().start, format!("not a day: `{}`", word.get_ref()));
                }
                day
            }
        };
        let (Some(reason), Some(expires)) = (reason, expires) else { return None };
        let line = self.lines.at(at);
        (self.problems.len() == mistakes).then_some(Allow { name, network, ports, reason, expires, line })
    }
}

/// A name's exceptions are kept as numbers of 16 bits; nobody answers for so many.
const EXCEPTIONS: usize = 65_535;

/// Storage accounts have 3 to 24 lower-case letters and digits (Azure resource naming rules).
pub fn is_account(text: &str) -> bool {
    (3..=24).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

/// The region that `text` was probably meant to be: one or two letters are wrong, and none of them is a number.
pub fn slip_of<'a>(text: &str, regions: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let ours = region_word(text);
    let letters = |text: &str| text.chars().filter(char::is_ascii_alphabetic).collect::<String>();
    let near = regions.map(|region| {
        let theirs = region_word(region);
        (strsim::damerau_levenshtein(&letters(&ours), &letters(&theirs)), region)
    });
    near.min().filter(|(far, _)| (1..=2).contains(far)).map(|(_, region)| region)
}

/// Names by which newer documents call a product.
const RENAMED: &[(&str, &str)] = &[("azure-local", "azure-stack-hci")];

fn unique<'a>(words: &[&'a str]) -> Vec<&'a str> {
    let mut words = words.to_vec();
    words.sort_unstable();
    words.dedup();
    words
}

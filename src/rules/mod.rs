//! What Microsoft's dated documents say, as data.
//!
//! In:  rule files (`rules/*.toml`), public resolvers beside them, the site file, the weekly service tags.
//! Out: for a name, a port or an address: the documented rows that speak of it.
//! Not: whether traffic was right; that is for `judge`.
//!
//! A rule file holds one dated document, table by table and row by row. No host name stands in code.

mod boxes;
mod cloud;
mod embedded;
mod file;
mod library;
mod names;
mod parse;
mod pattern;
mod ports;
mod print;
mod reference;
mod requirement;
mod resolvers;
mod site;
mod tags;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

pub use boxes::Boxes;
pub use boxes::PageField;
pub use cloud::Cloud;
pub use cloud::Clouds;
pub use file::RuleFileError;
pub use library::Library;
pub use library::RuleError;
pub use library::Selection;
pub use names::MatchKind;
pub use names::ReferenceMatch;
pub use names::ReferenceMatches;
pub use pattern::Pattern;
pub use ports::PortRange;
pub use ports::Ports;
pub use print::DiffError;
pub use print::check;
pub use print::diff;
pub use print::list;
pub use print::show;
pub use reference::Document;
pub use reference::DocumentTable;
pub use reference::PortVerdict;
pub use reference::ROLES;
pub use reference::Reference;
pub use reference::ReferenceId;
pub use reference::RegionRole;
pub use reference::RequirementLevel;
pub use reference::ServiceKind;
pub use reference::SourceRow;
pub use reference::TableKind;
pub use requirement::Redundancy;
pub use requirement::Requirement;
pub use requirement::SiteNeeds;
pub use resolvers::doh_port;
pub use site::Allow;
pub use site::Site;
pub use site::is_account;
pub use site::slip_of;
pub use tags::Tag;
pub use tags::TagId;
pub use tags::Tags;

use names::Names;

/// The rules that hold for a site. Reading them never changes them, so that one copy serves every thread.
#[derive(Debug)]
pub struct RuleSet {
    documents: Vec<Arc<Document>>,
    rules: Vec<Reference>,
    names: Names,
    regions: Vec<Region>,
}

/// One regional instance of Azure File Sync, from one document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Region {
    /// The document.
    pub document: Arc<Document>,
    /// The cloud.
    pub clouds: Clouds,
    /// Name as printed: `West US`.
    pub name: Box<str>,
    /// Name of the paired region.
    pub pair: Option<Box<str>>,
    /// Names of the instance; each of them will do.
    pub primary: Vec<ReferenceId>,
    /// Names that follow a failover; each of them will do.
    pub discovery: Vec<ReferenceId>,
}

/// How a certificate's issuer is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Issuer {
    /// By its name.
    Named(ReferenceId),
    /// By its organization only, as authorities are rotated without notice; the row is one of the same organization.
    Organization(ReferenceId),
    /// Not at all.
    Unknown,
    /// No document at hand lists issuers, so that nothing can be said.
    NoList,
}

/// A service tag that a document asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TagRule {
    /// The tag.
    pub tag: Box<str>,
    /// Clouds that the row names for it; none for all.
    pub clouds: Clouds,
    /// The row.
    pub rule: ReferenceId,
}

impl RuleSet {
    /// Chooses from the documents inside the program.
    pub fn embedded(selection: &Selection) -> Result<RuleSet, RuleError> {
        Library::embedded()?.select(selection)
    }

    /// Chooses from the rule files of a folder, which replace those inside the program.
    pub fn from_dir(folder: &Path, selection: &Selection) -> Result<RuleSet, RuleError> {
        Library::from_dir(folder)?.select(selection)
    }

    fn new(
        documents: Vec<Arc<Document>>,
        mut rules: Vec<Reference>,
        values: &BTreeMap<String, Vec<String>>,
    ) -> RuleSet {
        for rule in &mut rules {
            rule.filled = filled(rule, values);
        }
        let mut patterns = Vec::new();
        for (rule, id) in rules.iter().zip((0..).map(ReferenceId)) {
            let printed = match &*rule.filled {
                [] => rule.host.as_slice(),
                filled => filled,
            };
            for pattern in printed {
                let how = match pattern {
                    _ if rule.filled.is_empty() && !rule.placeholders.is_empty() => MatchKind::Placeholder,
                    pattern => how(pattern),
                };
                patterns.push((pattern, ReferenceMatch::new(id, how, false)));
            }
            if let Some(pattern) = &rule.as_meant {
                patterns.push((pattern, ReferenceMatch::new(id, how(pattern), true)));
            }
        }
        let names = Names::new(patterns);
        let regions = regions(&rules);
        RuleSet { documents, rules, names, regions }
    }

    /// Every row that speaks of the host `name`, most specific first.
    pub fn host(&self, name: &str) -> ReferenceMatches {
        self.names.find(name)
    }

    /// The rule behind an id that these rules gave.
    ///
    /// # Panics
    ///
    /// With an id of other rules.
    #[expect(clippy::indexing_slicing, reason = "an id comes from these very rules")]
    pub fn rule(&self, id: ReferenceId) -> &Reference {
        &self.rules[id.0 as usize]
    }

    /// The rule with this text as its id.
    pub fn find(&self, id: &str) -> Option<ReferenceId> {
        self.iter().find(|(_, rule)| &*rule.id == id).map(|(id, _)| id)
    }

    /// All rules, document by document in printed order.
    pub fn iter(&self) -> impl Iterator<Item = (ReferenceId, &Reference)> {
        (0..).map(ReferenceId).zip(&self.rules)
    }

    /// The documents they come from, for the manifest.
    pub fn documents(&self) -> &[Arc<Document>] {
        &self.documents
    }

    /// Rows of the internal port tables for a conversation between two roles, the narrowest range first.
    pub fn ports(&self, source: &str, destination: &str, protocol: u8, port: u16) -> Vec<ReferenceId> {
        let mut found: Vec<(u16, ReferenceId)> = self
            .of_kind(TableKind::Port)
            .filter(|(_, rule)| {
                rule.source.as_deref() == Some(source) && rule.destination.as_deref() == Some(destination)
            })
            .filter_map(|(id, rule)| Some((rule.ports.narrowest(protocol, port)?, id)))
            .collect();
        found.sort_unstable();
        found.into_iter().map(|(_, id)| id).collect()
    }

    /// Rows that give a port and no host, as `git://:9418` does.
    pub fn any_host(&self, protocol: u8, port: u16) -> impl Iterator<Item = ReferenceId> {
        self.of_kind(TableKind::Endpoint)
            .filter(move |(_, rule)| rule.host.is_none() && rule.allows(protocol, port) != PortVerdict::Not)
            .map(|(id, _)| id)
    }

    /// Regional instances of Azure File Sync.
    pub fn regions(&self) -> &[Region] {
        &self.regions
    }

    /// Service tags that the documents ask for.
    pub fn service_tags(&self) -> Vec<TagRule> {
        let mut tags = Vec::new();
        let mut last = None;
        for (id, rule) in self.iter() {
            let place = (&rule.document.id, rule.place());
            if rule.row.tags.is_empty() || last.as_ref() == Some(&place) {
                continue;
            }
            tags.extend(rule.row.tags.iter().map(|(tag, clouds)| TagRule {
                tag: tag.clone(),
                clouds: *clouds,
                rule: id,
            }));
            last = Some(place);
        }
        tags
    }

    /// Rows about private endpoints: zones, and the names of a sync service.
    pub fn private_link(&self) -> impl Iterator<Item = (ReferenceId, &Reference)> {
        self.of_kind(TableKind::PrivateLink)
    }

    /// Who signed a certificate, by common name and organization.
    pub fn issuer(&self, common_name: &str, organization: &str) -> Issuer {
        // One organization writes itself with and without a comma.
        let letters = |text: &str| -> String {
            text.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
        };
        let organization = letters(organization);
        let mut issuer = Issuer::NoList;
        for (id, rule) in self.of_kind(TableKind::Issuer) {
            let same = rule.organization.as_deref().map(letters).as_ref() == Some(&organization);
            if same && *rule.row.printed == *common_name {
                return Issuer::Named(id);
            }
            issuer = match issuer {
                Issuer::NoList | Issuer::Unknown if same => Issuer::Organization(id),
                Issuer::NoList => Issuer::Unknown,
                known => known,
            };
        }
        issuer
    }

    /// Sentences about a subject: `port`, `outbound-only`, `inspection`, …
    pub fn statements<'a>(&'a self, about: &'a str) -> impl Iterator<Item = (ReferenceId, &'a Reference)> {
        self.of_kind(TableKind::Statement).filter(move |(_, rule)| rule.about.as_deref() == Some(about))
    }

    fn of_kind(&self, kind: TableKind) -> impl Iterator<Item = (ReferenceId, &Reference)> {
        self.iter().filter(move |(_, rule)| rule.table.kind == kind)
    }
}

fn how(pattern: &Pattern) -> MatchKind {
    if pattern.is_exact() {
        MatchKind::Exact
    } else if pattern.head.is_empty() {
        MatchKind::Wildcard(u8::try_from(pattern.tail.split('.').count()).unwrap_or(u8::MAX))
    } else {
        MatchKind::Glob
    }
}

/// The host with the site's own words in its placeholders: one pattern for each combination of values.
fn filled(rule: &Reference, values: &BTreeMap<String, Vec<String>>) -> Box<[Pattern]> {
    let Some(url) = rule.url.as_deref().filter(|_| !rule.placeholders.is_empty()) else {
        return Box::default();
    };
    let mut texts = vec![parse::host_of(url).to_owned()];
    for (word, fact) in &rule.placeholders {
        let Some(values) = values.get(&**fact) else { return Box::default() };
        let word_of =
            |value: &str| if &**fact == "region" { region_word(value) } else { value.to_lowercase() };
        let with_each = |text: String| -> Vec<String> {
            values.iter().map(|value| text.replacen(&**word, &word_of(value), 1)).collect()
        };
        texts = texts.into_iter().flat_map(with_each).collect();
    }
    // A value that cannot stand in a name was refused with the site file.
    texts.iter().filter_map(|text| Pattern::parse(text).ok()).collect()
}

fn regions(rules: &[Reference]) -> Vec<Region> {
    let mut regions: Vec<Region> = Vec::new();
    for (rule, id) in rules.iter().zip((0..).map(ReferenceId)) {
        let Some(name) = rule.region.as_ref().filter(|_| rule.table.kind == TableKind::Region) else {
            continue;
        };
        // The names of a row follow each other.
        let same = |region: &Region| region.document == rule.document && region.name == *name;
        if !regions.last().is_some_and(same) {
            regions.push(Region {
                document: Arc::clone(&rule.document),
                clouds: rule.clouds,
                name: name.clone(),
                pair: rule.pair.clone(),
                primary: Vec::new(),
                discovery: Vec::new(),
            });
        }
        let Some(region) = regions.last_mut() else { continue };
        match rule.role {
            Some(RegionRole::Primary) => region.primary.push(id),
            Some(RegionRole::Discovery) => region.discovery.push(id),
            Some(RegionRole::Paired) | None => {}
        }
    }
    regions
}

/// A region's name as programs write it: `West US 2` is `westus2`.
pub fn region_word(name: &str) -> String {
    name.chars().filter(|c| c.is_ascii_alphanumeric()).map(|c| c.to_ascii_lowercase()).collect()
}

#[cfg(test)]
mod tests;

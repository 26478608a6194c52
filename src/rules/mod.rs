//! Microsoft's dated documents as data.
//!
//! In:  rule files (`rules/*.toml`), the list of public resolvers, the site file, the weekly service tag file.
//! Out: the documented rows that match a name, a port or an address.
//! Not: whether traffic was right; that is for `judge`.
//!
//! A rule file contains one dated document, table by table and row by row. Code contains no host name.

mod cloud;
mod derived;
mod diff;
mod documents;
mod elsewhere;
mod file;
mod library;
mod middleboxes;
mod names;
mod packed;
mod parse;
mod pattern;
mod platform;
mod ports;
mod print;
mod printed;
mod reference;
mod region;
mod requirement;
mod resolvers;
mod site;
mod tags;
mod text;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

pub use cloud::Cloud;
pub use cloud::Clouds;
pub use diff::DiffError;
pub use diff::diff;
pub use elsewhere::ElsewhereId;
pub use elsewhere::NotInForce;
pub use file::RuleFileError;
pub(crate) use file::nearest;
pub(crate) use file::nearest_document;
pub use library::Library;
pub use library::RuleError;
pub use library::Selection;
pub use middleboxes::Middleboxes;
pub use middleboxes::PageField;
pub use middleboxes::ResponderKind;
pub use names::MatchKind;
pub use names::ReferenceMatch;
pub use names::ReferenceMatches;
pub use pattern::Pattern;
pub use platform::is_platform_address;
pub use ports::PortRange;
pub use ports::Ports;
pub use print::RowFormat;
pub use print::check;
pub use print::list;
pub use print::list_rows;
pub use print::show;
pub use reference::Document;
pub use reference::DocumentTable;
pub use reference::PortMatch;
pub use reference::ROLES;
pub use reference::Reference;
pub use reference::ReferenceId;
pub use reference::RegionRole;
pub use reference::RequirementLevel;
pub use reference::ServiceKind;
pub use reference::SourceRow;
pub use reference::TableKind;
pub use region::nearest_region;
pub use region::region_slug;
pub use requirement::Redundancy;
pub use requirement::Requirement;
pub use requirement::SyncSetup;
pub use resolvers::doh_port;
pub use site::Allow;
pub use site::Site;
pub use site::is_storage_account_name;
pub use tags::Tag;
pub use tags::TagId;
pub use tags::Tags;
pub use text::RuleText;

use elsewhere::Elsewhere;
use names::NameIndex;

/// The references that apply to a site. They are immutable, so that all threads share one set.
#[derive(Debug)]
pub struct RuleSet {
    documents: Vec<Arc<Document>>,
    rules: Vec<Arc<Reference>>,
    by_kind: BTreeMap<TableKind, Vec<ReferenceId>>,
    names: NameIndex,
    regions: Vec<Region>,
    elsewhere: Elsewhere,
}

/// One regional instance of Azure File Sync, from one document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Region {
    /// The document.
    pub document: Arc<Document>,
    /// The cloud.
    pub clouds: Clouds,
    /// Name as printed: `West US`.
    pub name: RuleText,
    /// Name of the paired region.
    pub pair: Option<RuleText>,
    /// Names of the instance; any one of them is sufficient.
    pub primary: Vec<ReferenceId>,
    /// Discovery names, used after a failover; any one of them is sufficient.
    pub discovery: Vec<ReferenceId>,
}

/// How the lists of certificate authorities know an issuer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Issuer {
    /// The common name is listed.
    Named(ReferenceId),
    /// Only the organization is listed, because authorities are rotated without notice; the row is one of the same
    /// organization.
    Organization(ReferenceId),
    /// Neither is listed.
    Unknown,
    /// No selected document lists issuers.
    NoList,
}

/// A service tag that a document requires.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TagReference {
    /// The tag.
    pub tag: RuleText,
    /// Clouds that the row names for it; empty for all.
    pub clouds: Clouds,
    /// The row.
    pub reference: ReferenceId,
}

impl RuleSet {
    /// Selects from the documents inside the program.
    pub fn embedded(selection: &Selection) -> Result<RuleSet, RuleError> {
        Library::embedded()?.select(selection)
    }

    /// Selects from the rule files of a folder, which replace those inside the program.
    pub fn from_dir(folder: &Path, selection: &Selection) -> Result<RuleSet, RuleError> {
        Library::from_dir(folder)?.select(selection)
    }

    fn new(
        documents: Vec<Arc<Document>>,
        mut rules: Vec<Arc<Reference>>,
        elsewhere: Elsewhere,
        values: &BTreeMap<String, Vec<String>>,
    ) -> RuleSet {
        for reference in &mut rules {
            if !reference.placeholders.is_empty() {
                let reference = Arc::make_mut(reference);
                reference.filled = fill_placeholders(reference, values);
            }
        }
        let mut patterns = Vec::new();
        let mut by_kind: BTreeMap<TableKind, Vec<ReferenceId>> = BTreeMap::new();
        for (reference, id) in rules.iter().zip((0..).map(ReferenceId)) {
            by_kind.entry(reference.table.kind).or_default().push(id);
            let printed = match &*reference.filled {
                [] => reference.host.as_slice(),
                filled => filled,
            };
            for pattern in printed {
                let kind = match pattern {
                    _ if reference.filled.is_empty() && !reference.placeholders.is_empty() => {
                        MatchKind::Placeholder
                    }
                    pattern => match_kind(pattern),
                };
                patterns.push((pattern, ReferenceMatch::new(id, kind, false)));
            }
            if let Some(pattern) = &reference.alias {
                patterns.push((pattern, ReferenceMatch::new(id, match_kind(pattern), true)));
            }
        }
        let names = NameIndex::new(patterns);
        let regions = collect_regions(&rules);
        RuleSet { documents, rules, by_kind, names, regions, elsewhere }
    }

    /// Every reference that matches the host `name`, most specific first.
    pub fn match_host(&self, name: &str) -> ReferenceMatches {
        self.names.find(name)
    }

    /// The row that documents the host `name` for another cloud, product, region or hardware, or in another edition: for names that no
    /// reference matches.
    pub fn documented_elsewhere(&self, name: &str) -> Option<ElsewhereId> {
        self.elsewhere.find(name)
    }

    /// A row that is not in force, and why it is not.
    pub fn elsewhere(&self, id: ElsewhereId) -> Option<(&Reference, NotInForce)> {
        self.elsewhere.get(id)
    }

    /// Every row that documents `name` and is not in force for the same reason as `id`.
    pub fn rows_elsewhere<'a>(&'a self, name: &str, id: ElsewhereId) -> impl Iterator<Item = &'a Reference> {
        self.elsewhere.like(name, id)
    }

    /// The reference with this id.
    ///
    /// # Panics
    ///
    /// With an id of another rule set.
    #[expect(clippy::indexing_slicing, reason = "an id is only created by its own rule set")]
    pub fn reference(&self, id: ReferenceId) -> &Reference {
        &self.rules[id.0 as usize]
    }

    /// The reference whose id is this text.
    pub fn find(&self, id: &str) -> Option<ReferenceId> {
        self.iter().find(|(_, reference)| &*reference.id == id).map(|(id, _)| id)
    }

    /// All references, document by document in printed order.
    pub fn iter(&self) -> impl Iterator<Item = (ReferenceId, &Reference)> {
        (0..).map(ReferenceId).zip(self.rules.iter().map(|reference| &**reference))
    }

    /// The selected documents, for the manifest.
    pub fn documents(&self) -> &[Arc<Document>] {
        &self.documents
    }

    /// References of the internal port tables that allow a flow between two roles, the narrowest port range first.
    pub fn ports(&self, source: &str, destination: &str, protocol: u8, port: u16) -> Vec<ReferenceId> {
        let mut found: Vec<(u16, ReferenceId)> = self
            .of_kind(TableKind::Port)
            .filter(|(_, reference)| {
                let ends = (reference.source.as_deref(), reference.destination.as_deref());
                ends == (Some(source), Some(destination))
                    || (reference.bidirectional && ends == (Some(destination), Some(source)))
            })
            .filter_map(|(id, reference)| Some((reference.ports.narrowest(protocol, port)?, id)))
            .collect();
        found.sort_unstable();
        found.into_iter().map(|(_, id)| id).collect()
    }

    /// References with a port and without a host, such as `git://:9418`.
    pub fn without_host(&self, protocol: u8, port: u16) -> impl Iterator<Item = ReferenceId> {
        self.of_kind(TableKind::Endpoint)
            .filter(move |(_, reference)| {
                reference.url.is_some()
                    && reference.host.is_none()
                    && reference.allows(protocol, port) != PortMatch::Not
            })
            .map(|(id, _)| id)
    }

    /// Regional instances of Azure File Sync.
    pub fn regions(&self) -> &[Region] {
        &self.regions
    }

    /// Service tags that the documents require.
    pub fn service_tags(&self) -> Vec<TagReference> {
        let mut tags = Vec::new();
        let mut last = None;
        for (id, reference) in self.iter() {
            let place = (&reference.document.id, &reference.table.id, reference.row.number);
            if reference.row.tags.is_empty() || last.as_ref() == Some(&place) {
                continue;
            }
            tags.extend(reference.row.tags.iter().map(|(tag, clouds)| TagReference {
                tag: tag.clone(),
                clouds: *clouds,
                reference: id,
            }));
            last = Some(place);
        }
        tags
    }

    /// References to hosts that must resolve to public addresses.
    pub fn public_resolution(&self) -> impl Iterator<Item = (ReferenceId, &Reference)> {
        self.of_kind(TableKind::PublicResolution)
    }

    /// References about private endpoints: zones, and the names of a sync service.
    pub fn private_link(&self) -> impl Iterator<Item = (ReferenceId, &Reference)> {
        self.of_kind(TableKind::PrivateLink)
    }

    /// Finds the issuer of a certificate by common name and organization.
    pub fn issuer(&self, common_name: &str, organization: &str) -> Issuer {
        // One organization is written with and without a comma ("DigiCert Inc", "DigiCert, Inc.").
        let letters = |text: &str| -> String {
            text.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
        };
        let organization = letters(organization);
        let mut issuer = Issuer::NoList;
        for (id, reference) in self.of_kind(TableKind::Issuer) {
            let same = reference.organization.as_deref().map(letters).as_ref() == Some(&organization);
            let printed = reference.common_name.as_ref().unwrap_or(&reference.row.printed);
            if same && **printed == *common_name {
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

    /// Whether a list of issuers is about the certificates of this host. Documented hosts of other companies have other issuers.
    pub fn lists_issuers_of(&self, host: &str) -> bool {
        let is_under = |suffix: &str| {
            host.strip_suffix(suffix).is_some_and(|front| front.is_empty() || front.ends_with('.'))
        };
        self.of_kind(TableKind::Issuer).any(|(_, reference)| {
            let covered = &reference.document.issuers_cover;
            covered.is_empty() || covered.iter().any(|suffix| is_under(suffix))
        })
    }

    /// Statements about a subject: `port`, `outbound-only`, `inspection`, …
    pub fn statements<'a>(&'a self, about: &'a str) -> impl Iterator<Item = (ReferenceId, &'a Reference)> {
        self.of_kind(TableKind::Statement)
            .filter(move |(_, reference)| reference.about.as_deref() == Some(about))
    }

    /// The references of all tables of a kind.
    pub fn of_kind(&self, kind: TableKind) -> impl Iterator<Item = (ReferenceId, &Reference)> {
        self.by_kind.get(&kind).into_iter().flatten().map(|id| (*id, self.reference(*id)))
    }
}

fn match_kind(pattern: &Pattern) -> MatchKind {
    if pattern.is_exact() {
        MatchKind::Exact
    } else if pattern.head.is_empty() {
        MatchKind::Wildcard(u8::try_from(pattern.tail.split('.').count()).unwrap_or(u8::MAX))
    } else {
        MatchKind::Glob
    }
}

/// The host patterns with the site's values in the placeholders: one pattern for each combination of values.
fn fill_placeholders(reference: &Reference, values: &BTreeMap<String, Vec<String>>) -> Box<[Pattern]> {
    let Some(url) = reference.url.as_deref().filter(|_| !reference.placeholders.is_empty()) else {
        return Box::default();
    };
    let mut texts = vec![printed::host_of(url).to_owned()];
    for (word, fact) in &reference.placeholders {
        let Some(values) = values.get(&**fact) else { return Box::default() };
        let word_of =
            |value: &str| if &**fact == "region" { region_slug(value) } else { value.to_lowercase() };
        let with_each = |text: String| -> Vec<String> {
            values.iter().map(|value| text.replacen(&**word, &word_of(value), 1)).collect()
        };
        texts = texts.into_iter().flat_map(with_each).collect();
    }
    // A value that is no DNS label was rejected with the site file.
    texts.iter().filter_map(|text| Pattern::parse(text).ok()).collect()
}

fn collect_regions(rules: &[Arc<Reference>]) -> Vec<Region> {
    let mut regions: Vec<Region> = Vec::new();
    for (reference, id) in rules.iter().zip((0..).map(ReferenceId)) {
        let Some(name) = reference.region.as_ref().filter(|_| reference.table.kind == TableKind::Region)
        else {
            continue;
        };
        // The names of one row are adjacent.
        let same = |region: &Region| region.document == reference.document && region.name == *name;
        if !regions.last().is_some_and(same) {
            regions.push(Region {
                document: Arc::clone(&reference.document),
                clouds: reference.clouds,
                name: name.clone(),
                pair: reference.pair.clone(),
                primary: Vec::new(),
                discovery: Vec::new(),
            });
        }
        let Some(region) = regions.last_mut() else { continue };
        match reference.role {
            Some(RegionRole::Primary) => region.primary.push(id),
            Some(RegionRole::Discovery) => region.discovery.push(id),
            Some(RegionRole::Paired) | None => {}
        }
    }
    regions
}

#[cfg(test)]
mod tests;

//! All available rule documents, and the selection among them.
//!
//! In:  rule documents, those inside the program or the files of a folder; the values of the site file.
//! Out: the [`RuleSet`] that applies to the site.
//! Not: whether traffic matches it; that is for `judge`.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use super::RuleSet;
use super::cloud::Cloud;
use super::documents::Documents;
use super::documents::read_documents;
use super::elsewhere::Elsewhere;
use super::elsewhere::NotInForce;
use super::file::RuleFileError;
use super::file::nearest;
use super::file::nearest_document;
use super::file::text_of;
use super::packed;
use super::reference::Document;
use super::reference::Reference;
use super::reference::RequirementLevel;
use super::reference::TableKind;
use super::region_slug;

/// The documents of `rules/`, as the build script packed them.
const PACKED: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/rules.packed"));

/// The rules cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RuleError {
    /// A rule file has an error.
    #[error(transparent)]
    File(#[from] RuleFileError),
    /// A folder or file cannot be read.
    #[error("cannot read rules: {path}: {why}")]
    Unreadable {
        /// The folder or file.
        path: String,
        /// The operating system's error.
        why: String,
    },
    /// A requested document or product is in no rule file.
    #[error("cannot select rules: unknown {what} `{name}`{}", suggestion.as_ref().map(|near| format!(", did you mean `{near}`?")).unwrap_or_default())]
    Unknown {
        /// `document` or `product`.
        what: &'static str,
        /// The requested name.
        name: String,
        /// The nearest known name.
        suggestion: Option<String>,
    },
}

/// What to select from the documents. The default is every document that no other one supersedes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// Ids of documents; the documents that they include and those that always apply are added. Otherwise all documents
    /// that no other one supersedes, and as legacy the hosts of those that they keep.
    pub documents: Option<Vec<String>>,
    /// Products; otherwise all.
    pub products: Option<Vec<String>>,
    /// The site's cloud; otherwise all.
    pub cloud: Option<Cloud>,
    /// Region of the site's Azure Local instances; excludes the lists of other regions.
    pub local_region: Option<String>,
    /// Hardware vendor of the site's Azure Local instances; excludes the lists of other vendors.
    pub hardware: Option<String>,
    /// Version of the site's Azure Local instances: 2504.
    pub version: Option<u32>,
    /// Values of placeholders: `storage-account`, `sync-service`, `region`, `key-vault`, `arc-gateway`,
    /// `witness-storage-account`. A placeholder without a value matches any label.
    pub values: BTreeMap<String, Vec<String>>,
}

impl Selection {
    /// True for a document about a selected product, for the site's region and hardware, and with the value that it needs.
    fn includes(&self, document: &Document) -> bool {
        let has_value = self.documents.is_some()
            || document.needs_value.as_ref().is_none_or(|value| self.values.contains_key(&**value));
        self.has_product(document) && self.has_region(document) && self.has_hardware(document) && has_value
    }

    fn has_product(&self, document: &Document) -> bool {
        document.always
            || self.products.as_ref().is_none_or(|products| {
                products.iter().any(|product| document.products.iter().any(|own| **own == **product))
            })
    }

    fn has_region(&self, document: &Document) -> bool {
        match (&self.local_region, &document.region) {
            (Some(ours), Some(its)) => region_slug(ours) == region_slug(its),
            _ => true,
        }
    }

    fn has_hardware(&self, document: &Document) -> bool {
        match (&self.hardware, &document.hardware) {
            (Some(ours), Some(its)) => ours.eq_ignore_ascii_case(its),
            _ => true,
        }
    }

    /// Why the rows of a document that is not selected are not in force.
    fn reason_against(&self, document: &Document) -> NotInForce {
        if !self.has_product(document) {
            NotInForce::OtherProduct
        } else if !self.has_region(document) {
            NotInForce::OtherRegion
        } else if !self.has_hardware(document) {
            NotInForce::OtherHardware
        } else if self.includes(document) {
            NotInForce::OtherEdition
        } else {
            NotInForce::ValueNotSet
        }
    }

    /// The level of a reference for the site's version and hardware.
    fn level(&self, reference: &Reference) -> RequirementLevel {
        if reference.document.hardware.is_some() && self.hardware.is_none() {
            return reference.level.max(RequirementLevel::Optional);
        }
        // Without a declared cloud only what the documents print for each is required.
        if reference.is_derived && self.cloud.is_none() {
            return reference.level.max(RequirementLevel::Optional);
        }
        match (reference.row.until_version, self.version) {
            (Some(until), Some(version)) if version < until => reference.level,
            (Some(_), _) => RequirementLevel::Legacy,
            (None, _) => reference.level,
        }
    }
}

/// What a selection uses of a document.
struct DocumentUse {
    status: DocumentStatus,
    /// Whether each row is withdrawn by the regional lists, where none of them is for the site's region.
    withdrawn: Option<Vec<bool>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum DocumentStatus {
    /// Its rows are in force.
    Selected,
    /// It is superseded, and its hosts stay documented for older installations.
    KeptAsLegacy,
    NotInForce(NotInForce),
}

/// Every document of a folder, or of the program itself, with its references.
#[derive(Clone, Debug)]
pub struct Library {
    documents: Documents,
}

impl Library {
    /// The documents inside the program.
    pub fn embedded() -> Result<Library, RuleError> {
        let documents = packed::unpack(PACKED).map_err(|error| RuleFileError {
            what: "rules",
            file: "built-in rules".to_owned(),
            line: 0,
            message: error.to_string(),
        })?;
        Ok(Library { documents })
    }

    /// The documents of a folder: every `*.toml` in it.
    pub fn from_dir(folder: &Path) -> Result<Library, RuleError> {
        Library::from_files(&read_folder(folder)?).map_err(first)
    }

    /// Every error in the rule files of a folder.
    pub fn errors(folder: &Path) -> Result<Vec<RuleFileError>, RuleError> {
        Ok(Library::from_files(&read_folder(folder)?).err().unwrap_or_default())
    }

    fn from_files(files: &[(String, Vec<u8>)]) -> Result<Library, Vec<RuleFileError>> {
        let mut texts = Vec::new();
        let mut errors = Vec::new();
        for (file, bytes) in files {
            match text_of("rules", file, bytes) {
                Ok(text) => texts.push((file.as_str(), text)),
                Err(error) => errors.push(error),
            }
        }
        let documents = read_documents(texts.into_iter());
        if errors.is_empty() {
            return documents.map(|documents| Library { documents });
        }
        errors.extend(documents.err().unwrap_or_default());
        Err(errors)
    }

    /// The documents, product by product, newest first.
    pub fn documents(&self) -> impl Iterator<Item = &Arc<Document>> {
        self.documents.iter().map(|(document, _)| document)
    }

    /// The references of one document.
    pub fn references_of(&self, id: &str) -> Result<&[Arc<Reference>], RuleError> {
        let found = self.documents.iter().find(|(document, _)| &*document.id == id || &*document.short == id);
        found.map(|(_, references)| references.as_slice()).ok_or_else(|| self.unknown("document", id))
    }

    /// The numbers of documents, rows and references.
    pub(super) fn counts(&self) -> (usize, usize, usize) {
        let rows = self
            .documents
            .iter()
            .map(|(_, references)| references.chunk_by(|a, b| Arc::ptr_eq(&a.row, &b.row)).count());
        let references = self.documents.iter().map(|(_, references)| references.len());
        (self.documents.len(), rows.sum(), references.sum())
    }

    /// The references of one document and of those that it includes.
    pub fn with_included_references(&self, id: &str) -> Result<Vec<&Reference>, RuleError> {
        let mut references: Vec<&Reference> =
            self.references_of(id)?.iter().map(|reference| &**reference).collect();
        let mut open: Vec<&str> = vec![id];
        let mut seen: BTreeSet<&str> = BTreeSet::new();
        while let Some(id) = open.pop() {
            let of = |document: &&Arc<Document>| &*document.id == id || &*document.short == id;
            for included in
                self.documents().find(of).into_iter().flat_map(|document| document.includes.iter())
            {
                if seen.insert(included) {
                    references.extend(self.references_of(included)?.iter().map(|reference| &**reference));
                    open.push(included);
                }
            }
        }
        Ok(references)
    }

    /// The rules that apply under `selection`.
    pub fn select(mut self, selection: &Selection) -> Result<RuleSet, RuleError> {
        let uses = self.uses(selection)?;
        let all_references = self.documents.iter().map(|(_, references)| references.len()).sum();
        let mut documents = Vec::new();
        let mut references = Vec::with_capacity(all_references);
        let mut elsewhere: Vec<(Arc<Reference>, NotInForce)> = Vec::with_capacity(all_references);
        for ((document, all), DocumentUse { status, withdrawn }) in
            std::mem::take(&mut self.documents).into_iter().zip(uses)
        {
            if let DocumentStatus::NotInForce(reason) = status {
                elsewhere.extend(all.into_iter().filter(|row| is_fixed_host(row)).map(|row| (row, reason)));
                continue;
            }
            documents.push(document);
            for (at, mut reference) in all.into_iter().enumerate() {
                let is_in_cloud = reference.clouds.is_empty()
                    || selection.cloud.is_none_or(|cloud| reference.clouds.contains(cloud));
                if !is_in_cloud {
                    if is_fixed_host(&reference) {
                        elsewhere.push((reference, NotInForce::OtherCloud));
                    }
                    continue;
                }
                let level = if status == DocumentStatus::Selected {
                    selection.level(&reference)
                } else if matches!(reference.table.kind, TableKind::Endpoint | TableKind::Region) {
                    let is_withdrawn = withdrawn.as_ref().map(|rows| rows.get(at).copied().unwrap_or(true));
                    match is_withdrawn {
                        Some(false) => reference.level,
                        _ if reference.row.until_version.is_some() => selection.level(&reference),
                        _ => RequirementLevel::Legacy,
                    }
                } else {
                    continue;
                };
                if level != reference.level {
                    Arc::make_mut(&mut reference).level = level;
                }
                references.push(reference);
            }
        }
        Ok(RuleSet::new(documents, references, Elsewhere::new(elsewhere), &selection.values))
    }

    /// What a selection uses of each document.
    fn uses(&self, selection: &Selection) -> Result<Vec<DocumentUse>, RuleError> {
        let wanted = match &selection.documents {
            Some(ids) => self.add_included(ids)?,
            None => self.not_superseded(),
        };
        for product in selection.products.iter().flatten() {
            if !self.documents().any(|document| document.products.iter().any(|p| **p == **product)) {
                return Err(self.unknown("product", product));
            }
        }
        let kept: BTreeSet<&str> = match selection.documents {
            Some(_) => BTreeSet::new(),
            None => self
                .documents()
                .filter(|document| wanted.contains(&*document.id))
                .flat_map(|document| document.keeps_as_legacy.iter().map(|id| &**id))
                .collect(),
        };
        let of_document = |(document, all): &(Arc<Document>, Vec<Arc<Reference>>)| {
            let is_kept = kept.contains(&*document.id);
            let is_wanted = is_kept || wanted.contains(&*document.id);
            if !is_wanted || !selection.includes(document) {
                let status = DocumentStatus::NotInForce(selection.reason_against(document));
                return DocumentUse { status, withdrawn: None };
            }
            if !is_kept {
                return DocumentUse { status: DocumentStatus::Selected, withdrawn: None };
            }
            let lists = self.lists_without_region(document, selection);
            let withdrawn = lists.map(|lists| all.iter().map(|row| is_withdrawn(row, &lists)).collect());
            DocumentUse { status: DocumentStatus::KeptAsLegacy, withdrawn }
        };
        Ok(self.documents.iter().map(of_document).collect())
    }

    /// The references of the regional lists for a document's products, if none of the lists is for the site's region.
    /// Then an older document still decides what the site requires.
    fn lists_without_region(&self, document: &Document, selection: &Selection) -> Option<Vec<&Reference>> {
        let is_list = |list: &Document| {
            list.region.is_some() && list.products.iter().any(|product| document.products.contains(product))
        };
        let lists = || self.documents.iter().filter(|(list, _)| is_list(list));
        let for_site = |list: &Document| selection.local_region.is_some() && selection.includes(list);
        if lists().next().is_none() || lists().any(|(list, _)| for_site(list)) {
            return None;
        }
        Some(lists().flat_map(|(_, references)| references).map(|row| &**row).collect())
    }

    /// Documents that no available document supersedes.
    fn not_superseded(&self) -> BTreeSet<&str> {
        let old: BTreeSet<&str> =
            self.documents().flat_map(|document| document.supersedes.iter().map(|id| &**id)).collect();
        self.documents().map(|document| &*document.id).filter(|id| !old.contains(id)).collect()
    }

    fn add_included(&self, ids: &[String]) -> Result<BTreeSet<&str>, RuleError> {
        let newest = self.not_superseded();
        let always = self.documents().filter(|document| document.always && newest.contains(&*document.id));
        let mut wanted: BTreeSet<&str> = always.map(|document| &*document.id).collect();
        let mut open: Vec<&str> = ids.iter().map(String::as_str).collect();
        while let Some(id) = open.pop() {
            let found = self.documents().find(|document| &*document.id == id || &*document.short == id);
            let document = found.ok_or_else(|| self.unknown("document", id))?;
            if wanted.insert(&*document.id) {
                open.extend(document.includes.iter().map(|id| &**id));
            }
        }
        Ok(wanted)
    }

    fn unknown(&self, what: &'static str, name: &str) -> RuleError {
        let near = match what {
            "product" => nearest(name, self.documents().flat_map(|d| d.products.iter().map(|p| &**p))),
            _ => nearest_document(name, &self.documents().map(|d| &*d.id).collect::<Vec<_>>()),
        };
        RuleError::Unknown { what, name: name.to_owned(), suggestion: near.map(str::to_owned) }
    }
}

/// True for a row about hosts that are the same for all sites: a placeholder is for a customer's own names.
fn is_fixed_host(row: &Reference) -> bool {
    matches!(row.table.kind, TableKind::Endpoint | TableKind::Region) && row.placeholders.is_empty()
}

/// True if the regional lists of a reference's clouds have its host no longer, or only as legacy.
fn is_withdrawn(reference: &Reference, lists: &[&Reference]) -> bool {
    let Some(host) = &reference.host else { return false };
    let mut in_clouds = lists.iter().filter(|listed| listed.clouds.intersects(reference.clouds)).peekable();
    in_clouds.peek().is_some()
        && !in_clouds
            .filter(|listed| listed.level != RequirementLevel::Legacy)
            .filter_map(|listed| listed.host.as_ref())
            .any(|listed| {
                listed.text == host.text || host.matches(&listed.text) || listed.matches(&host.text)
            })
}

fn first(errors: Vec<RuleFileError>) -> RuleError {
    let none =
        || RuleFileError { what: "rules", file: String::new(), line: 0, message: "unknown".to_owned() };
    RuleError::File(errors.into_iter().next().unwrap_or_else(none))
}

fn read_folder(folder: &Path) -> Result<Vec<(String, Vec<u8>)>, RuleError> {
    let unreadable =
        |path: &Path, why: String| RuleError::Unreadable { path: path.display().to_string(), why };
    let entries = std::fs::read_dir(folder).map_err(|error| unreadable(folder, error.to_string()))?;
    let mut files = Vec::new();
    for entry in entries {
        let path = entry.map_err(|error| unreadable(folder, error.to_string()))?.path();
        if path.extension().is_some_and(|extension| extension == "toml") {
            let bytes = std::fs::read(&path).map_err(|error| unreadable(&path, error.to_string()))?;
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            files.push((name, bytes));
        }
    }
    if files.is_empty() {
        return Err(unreadable(folder, "no rule file in this folder".to_owned()));
    }
    files.sort();
    Ok(files)
}

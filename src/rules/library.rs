//! All available rule documents, and the selection among them.
//!
//! In:  rule files, embedded or from a folder; the values of the site file.
//! Out: the [`RuleSet`] that applies to the site.
//! Not: whether traffic matches it; that is for `judge`.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use super::RuleSet;
use super::cloud::Cloud;
use super::elsewhere::Elsewhere;
use super::elsewhere::NotInForce;
use super::embedded;
use super::file::RuleFileError;
use super::file::nearest;
use super::file::nearest_document;
use super::file::text_of;
use super::parse::read;
use super::reference::Document;
use super::reference::Reference;
use super::reference::RequirementLevel;
use super::reference::TableKind;
use super::region_slug;

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
            NotInForce::OtherProduct
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

/// Every document of a folder, or of the program itself, with its references.
#[derive(Clone, Debug)]
pub struct Library {
    documents: Vec<(Arc<Document>, Vec<Reference>)>,
}

impl Library {
    /// The documents inside the program.
    pub fn embedded() -> Result<Library, RuleError> {
        Library::from_texts(embedded::FILES.iter().copied()).map_err(first)
    }

    /// Name and text of every rule file inside the program.
    #[cfg(test)]
    pub(crate) fn embedded_texts() -> impl Iterator<Item = (&'static str, &'static str)> {
        embedded::FILES.iter().copied()
    }

    /// The documents of a folder: every `*.toml` in it.
    pub fn from_dir(folder: &Path) -> Result<Library, RuleError> {
        Library::from_files(&read_folder(folder)?).map_err(first)
    }

    /// Every error in the rule files of `folder`, or in those inside the program if there is no folder.
    pub fn errors(folder: Option<&Path>) -> Result<Vec<RuleFileError>, RuleError> {
        let read = match folder {
            Some(folder) => Library::from_files(&read_folder(folder)?),
            None => Library::from_texts(embedded::FILES.iter().copied()),
        };
        Ok(read.err().unwrap_or_default())
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
        let library = Library::from_texts(texts.into_iter());
        if errors.is_empty() {
            return library;
        }
        errors.extend(library.err().unwrap_or_default());
        Err(errors)
    }

    fn from_texts<'a>(
        files: impl Iterator<Item = (&'a str, &'a str)>,
    ) -> Result<Library, Vec<RuleFileError>> {
        let mut documents: Vec<(Arc<Document>, Vec<Reference>)> = Vec::new();
        let mut errors = Vec::new();
        for (file, text) in files {
            match read(file, text) {
                Ok((document, references)) => {
                    let same =
                        |other: &&Arc<Document>| other.id == document.id || other.short == document.short;
                    if let Some(other) = documents.iter().map(|(other, _)| other).find(same) {
                        let message = format!("document `{}` is also in {}", document.id, other.file);
                        errors.push(RuleFileError { what: "rules", file: file.to_owned(), line: 1, message });
                    }
                    documents.push((document, references));
                }
                Err(more) => errors.extend(more),
            }
        }
        let ids: BTreeSet<&str> = documents.iter().map(|(document, _)| &*document.id).collect();
        let superseded: BTreeSet<&str> =
            documents.iter().flat_map(|(document, _)| document.supersedes.iter().map(|id| &**id)).collect();
        if errors.is_empty() {
            for (document, _) in &documents {
                // A document that nothing supersedes is selected anyway, and an unknown one cannot be kept.
                for id in document.keeps_as_legacy.iter().filter(|id| !superseded.contains(&***id)) {
                    errors.push(RuleFileError {
                        what: "rules",
                        file: document.file.to_string(),
                        line: 1,
                        message: format!("keeps `{id}`, which no document supersedes"),
                    });
                }
                // A folder may lack a superseded document, but not an included one.
                for id in document.includes.iter().filter(|id| !ids.contains(&***id)) {
                    let message = format!("includes `{id}`, which does not exist");
                    errors.push(RuleFileError {
                        what: "rules",
                        file: document.file.to_string(),
                        line: 1,
                        message,
                    });
                }
            }
        }
        if !errors.is_empty() {
            return Err(errors);
        }
        // Product by product, newest first: the order in evidence.
        documents.sort_by(|(a, _), (b, _)| {
            a.products.first().cmp(&b.products.first()).then(b.date.cmp(&a.date)).then(a.id.cmp(&b.id))
        });
        Ok(Library { documents })
    }

    /// The documents, product by product, newest first.
    pub fn documents(&self) -> impl Iterator<Item = &Arc<Document>> {
        self.documents.iter().map(|(document, _)| document)
    }

    /// The references of one document.
    pub fn references_of(&self, id: &str) -> Result<&[Reference], RuleError> {
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
        let mut references: Vec<&Reference> = self.references_of(id)?.iter().collect();
        let mut open: Vec<&str> = vec![id];
        let mut seen: BTreeSet<&str> = BTreeSet::new();
        while let Some(id) = open.pop() {
            let of = |document: &&Arc<Document>| &*document.id == id || &*document.short == id;
            for included in
                self.documents().find(of).into_iter().flat_map(|document| document.includes.iter())
            {
                if seen.insert(included) {
                    references.extend(self.references_of(included)?);
                    open.push(included);
                }
            }
        }
        Ok(references)
    }

    /// The rules that apply under `selection`.
    pub fn select(&self, selection: &Selection) -> Result<RuleSet, RuleError> {
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
        let mut documents = Vec::new();
        let mut references = Vec::new();
        let mut elsewhere: Vec<(Reference, NotInForce)> = Vec::new();
        for (document, all) in &self.documents {
            let is_kept = kept.contains(&*document.id);
            let is_wanted = is_kept || wanted.contains(&*document.id);
            let hosts = || all.iter().filter(|row| is_fixed_host(row));
            if !is_wanted || !selection.includes(document) {
                let reason = selection.reason_against(document);
                elsewhere.extend(hosts().map(|row| (row.clone(), reason)));
                continue;
            }
            documents.push(Arc::clone(document));
            let lists = if is_kept { self.lists_without_region(document, selection) } else { None };
            let in_cloud = |reference: &&Reference| {
                reference.clouds.is_empty()
                    || selection.cloud.is_none_or(|cloud| reference.clouds.contains(cloud))
            };
            let other_clouds = hosts().filter(|row| !in_cloud(row));
            elsewhere.extend(other_clouds.map(|row| (row.clone(), NotInForce::OtherCloud)));
            for reference in all.iter().filter(in_cloud) {
                if !is_kept {
                    let level = selection.level(reference);
                    references.push(Reference { level, ..reference.clone() });
                } else if matches!(reference.table.kind, TableKind::Endpoint | TableKind::Region) {
                    let level = match &lists {
                        Some(lists) if !is_withdrawn(reference, lists) => reference.level,
                        _ if reference.row.until_version.is_some() => selection.level(reference),
                        _ => RequirementLevel::Legacy,
                    };
                    references.push(Reference { level, ..reference.clone() });
                }
            }
        }
        Ok(RuleSet::new(documents, references, Elsewhere::new(elsewhere), &selection.values))
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
        Some(lists().flat_map(|(_, references)| references).collect())
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

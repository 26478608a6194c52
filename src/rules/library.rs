//! All rule documents at hand, and the choice among them.
//!
//! In:  rule files, embedded or from a folder; what the site says about itself.
//! Out: the [`RuleSet`] that hold for it.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use super::RuleSet;
use super::cloud::Cloud;
use super::embedded;
use super::file::RuleFileError;
use super::file::nearest;
use super::file::text_of;
use super::parse::read;
use super::reference::Document;
use super::reference::Reference;
use super::reference::RequirementLevel;
use super::reference::TableKind;
use super::region_word;

/// Rules cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RuleError {
    /// A rule file is wrong.
    #[error(transparent)]
    File(#[from] RuleFileError),
    /// A folder or file cannot be read.
    #[error("cannot read rules: {path}: {why}")]
    Unreadable {
        /// The folder or file.
        path: String,
        /// What the system said.
        why: String,
    },
    /// A document or product is asked for that no rule file has.
    #[error("cannot select rules: no {what} `{name}`{}", suggestion.as_ref().map(|near| format!(", did you mean `{near}`?")).unwrap_or_default())]
    Unknown {
        /// `document` or `product`.
        what: &'static str,
        /// As asked for.
        name: String,
        /// The nearest that there is.
        suggestion: Option<String>,
    },
}

/// What to choose from the documents. The default is everything that stands today.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// Documents by id, with those that they include and those that always hold. Otherwise all that no other document
    /// supersedes, and as legacy the hosts of those that they keep.
    pub documents: Option<Vec<String>>,
    /// Products; otherwise all.
    pub products: Option<Vec<String>>,
    /// The site's cloud; otherwise all.
    pub cloud: Option<Cloud>,
    /// Region of the site's Azure Local instances: leaves out the lists of other regions.
    pub local_region: Option<String>,
    /// What fills a placeholder: `storage-account`, `sync-service`, `region`, `key-vault`, `arc-gateway`,
    /// `witness-storage-account`. Placeholders without a value match whatever has their form.
    pub values: BTreeMap<String, Vec<String>>,
}

/// Every document of a folder, or of the program itself, with its rules.
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

    /// Every mistake in the rule files of `folder`, or of the program where there is none.
    pub fn problems(folder: Option<&Path>) -> Result<Vec<RuleFileError>, RuleError> {
        let read = match folder {
            Some(folder) => Library::from_files(&read_folder(folder)?),
            None => Library::from_texts(embedded::FILES.iter().copied()),
        };
        Ok(read.err().unwrap_or_default())
    }

    fn from_files(files: &[(String, Vec<u8>)]) -> Result<Library, Vec<RuleFileError>> {
        let mut texts = Vec::new();
        let mut problems = Vec::new();
        for (file, bytes) in files {
            match text_of("rules", file, bytes) {
                Ok(text) => texts.push((file.as_str(), text)),
                Err(problem) => problems.push(problem),
            }
        }
        let library = Library::from_texts(texts.into_iter());
        if problems.is_empty() {
            return library;
        }
        problems.extend(library.err().unwrap_or_default());
        Err(problems)
    }

    fn from_texts<'a>(
        files: impl Iterator<Item = (&'a str, &'a str)>,
    ) -> Result<Library, Vec<RuleFileError>> {
        let mut documents: Vec<(Arc<Document>, Vec<Reference>)> = Vec::new();
        let mut problems = Vec::new();
        for (file, text) in files {
            match read(file, text) {
                Ok((document, rules)) => {
                    let same =
                        |other: &&Arc<Document>| other.id == document.id || other.short == document.short;
                    if let Some(other) = documents.iter().map(|(other, _)| other).find(same) {
                        let message = format!("the document `{}` is in {} too", document.id, other.file);
                        problems.push(RuleFileError {
                            what: "rules",
                            file: file.to_owned(),
                            line: 1,
                            message,
                        });
                    }
                    documents.push((document, rules));
                }
                Err(more) => problems.extend(more),
            }
        }
        let ids: BTreeSet<&str> = documents.iter().map(|(document, _)| &*document.id).collect();
        let superseded: BTreeSet<&str> =
            documents.iter().flat_map(|(document, _)| document.supersedes.iter().map(|id| &**id)).collect();
        if problems.is_empty() {
            for (document, _) in &documents {
                // What nothing supersedes counts anyway, and what is not there cannot be kept: either is a slip.
                for id in document.keeps.iter().filter(|id| !superseded.contains(&***id)) {
                    problems.push(RuleFileError {
                        what: "rules",
                        file: document.file.to_string(),
                        line: 1,
                        message: format!("keeps `{id}`, and no document supersedes that"),
                    });
                }
                // A superseded document may have been left out of a folder; an included one is part of this one.
                for id in document.includes.iter().filter(|id| !ids.contains(&***id)) {
                    let message = format!("includes `{id}`, and there is no such document");
                    problems.push(RuleFileError {
                        what: "rules",
                        file: document.file.to_string(),
                        line: 1,
                        message,
                    });
                }
            }
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        // Product by product, and the newest first: the order in which evidence names them.
        documents.sort_by(|(a, _), (b, _)| {
            a.products.first().cmp(&b.products.first()).then(b.date.cmp(&a.date)).then(a.id.cmp(&b.id))
        });
        Ok(Library { documents })
    }

    /// The documents, product by product and the newest first.
    pub fn documents(&self) -> impl Iterator<Item = &Arc<Document>> {
        self.documents.iter().map(|(document, _)| document)
    }

    /// The rules of one document.
    pub fn rules_of(&self, id: &str) -> Result<&[Reference], RuleError> {
        let found = self.documents.iter().find(|(document, _)| &*document.id == id || &*document.short == id);
        found.map(|(_, rules)| rules.as_slice()).ok_or_else(|| self.unknown("document", id))
    }

    /// The rules of one document, and of those that it includes: a page and the lists that it sends its reader to.
    pub fn whole(&self, id: &str) -> Result<Vec<&Reference>, RuleError> {
        let mut rules: Vec<&Reference> = self.rules_of(id)?.iter().collect();
        let mut open: Vec<&str> = vec![id];
        let mut seen: BTreeSet<&str> = BTreeSet::new();
        while let Some(id) = open.pop() {
            let of = |document: &&Arc<Document>| &*document.id == id || &*document.short == id;
            for included in
                self.documents().find(of).into_iter().flat_map(|document| document.includes.iter())
            {
                if seen.insert(included) {
                    rules.extend(self.rules_of(included)?);
                    open.push(included);
                }
            }
        }
        Ok(rules)
    }

    /// The rules that hold under `selection`.
    pub fn select(&self, selection: &Selection) -> Result<RuleSet, RuleError> {
        let wanted = match &selection.documents {
            Some(ids) => self.with_included(ids)?,
            None => self.standing(),
        };
        for product in selection.products.iter().flatten() {
            if !self.documents().any(|document| document.products.iter().any(|p| **p == **product)) {
                return Err(self.unknown("product", product));
            }
        }
        let has_product = |document: &Document| match &selection.products {
            Some(_) if document.always => true,
            Some(products) => {
                products.iter().any(|product| document.products.iter().any(|p| **p == **product))
            }
            None => true,
        };
        let has_region = |document: &Document| match (&selection.local_region, &document.region) {
            (Some(ours), Some(its)) => region_word(ours) == region_word(its),
            _ => true,
        };
        let kept: BTreeSet<&str> = match selection.documents {
            Some(_) => BTreeSet::new(),
            None => self
                .documents()
                .filter(|document| wanted.contains(&*document.id))
                .flat_map(|document| document.keeps.iter().map(|id| &**id))
                .collect(),
        };
        let mut documents = Vec::new();
        let mut rules = Vec::new();
        for (document, all) in &self.documents {
            let is_kept = kept.contains(&*document.id);
            let counts = wanted.contains(&*document.id) || is_kept;
            if !counts || !has_product(document) || !has_region(document) {
                continue;
            }
            documents.push(Arc::clone(document));
            let in_cloud = |rule: &&Reference| {
                rule.clouds.is_none() || selection.cloud.is_none_or(|cloud| rule.clouds.holds(cloud))
            };
            for rule in all.iter().filter(in_cloud) {
                if !is_kept {
                    rules.push(rule.clone());
                } else if matches!(rule.table.kind, TableKind::Endpoint | TableKind::Region) {
                    rules.push(Reference { need: RequirementLevel::Legacy, ..rule.clone() });
                }
            }
        }
        Ok(RuleSet::new(documents, rules, &selection.values))
    }

    /// Documents that no document at hand supersedes.
    fn standing(&self) -> BTreeSet<&str> {
        let old: BTreeSet<&str> =
            self.documents().flat_map(|document| document.supersedes.iter().map(|id| &**id)).collect();
        self.documents().map(|document| &*document.id).filter(|id| !old.contains(id)).collect()
    }

    fn with_included(&self, ids: &[String]) -> Result<BTreeSet<&str>, RuleError> {
        let always = self.documents().filter(|document| document.always);
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
            _ => nearest(name, self.documents().map(|d| &*d.id)),
        };
        RuleError::Unknown { what, name: name.to_owned(), suggestion: near.map(str::to_owned) }
    }
}

fn first(problems: Vec<RuleFileError>) -> RuleError {
    let none =
        || RuleFileError { what: "rules", file: String::new(), line: 0, message: "unknown".to_owned() };
    RuleError::File(problems.into_iter().next().unwrap_or_else(none))
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

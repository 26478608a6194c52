//! All rule documents of a folder, consistent with each other.
//!
//! In:  name and text of each rule file.
//! Out: the documents with their references, product by product and newest first, or every error with its line.
//! Not: which documents apply; that is for `library`.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::file::RuleFileError;
use super::parse::read;
use super::reference::Document;
use super::reference::Reference;

/// Documents, each with its references in printed order.
pub(super) type Documents = Vec<(Arc<Document>, Vec<Arc<Reference>>)>;

/// Reads all rule files and checks what each says about the others.
pub(super) fn read_documents<'a>(
    files: impl Iterator<Item = (&'a str, &'a str)>,
) -> Result<Documents, Vec<RuleFileError>> {
    let mut documents: Documents = Vec::new();
    let mut errors = Vec::new();
    for (file, text) in files {
        match read(file, text) {
            Ok((document, references)) => {
                let same = |other: &&Arc<Document>| other.id == document.id || other.short == document.short;
                if let Some(other) = documents.iter().map(|(other, _)| other).find(same) {
                    let message = format!("document `{}` is also in {}", document.id, other.file);
                    errors.push(RuleFileError { what: "rules", file: file.to_owned(), line: 1, message });
                }
                documents.push((document, references.into_iter().map(Arc::new).collect()));
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
    Ok(documents)
}

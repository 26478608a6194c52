//! What the documents say about a finding.
//!
//! In:  the flow of the finding, and its code.
//! Out: the references and documents that the finding cites.
//! Not: where the rows come from; see `policy`.

use std::sync::Arc;

use hashbrown::HashMap;

use super::checks::FlowView;
use super::collector::Occurrence;
use crate::judge::catalogue::FindingCode;
use crate::judge::catalogue::StatementSubject;
use crate::judge::policy::references::append_once;
use crate::judge::rows::Documented;

/// References and documents, each joined with `;`.
#[derive(Clone, Debug)]
pub(super) struct Citations {
    references: Arc<str>,
    documents: Arc<str>,
}

impl Citations {
    /// The occurrence with its citations.
    pub(super) fn complete<'a>(&'a self, occurrence: Occurrence<'a>) -> Occurrence<'a> {
        Occurrence { references: &self.references, documents: &self.documents, ..occurrence }
    }
}

/// Citations that are kept.
const LIMIT: usize = 4096;

/// The citations of earlier findings: many findings of a code are about names that the same rows match.
#[derive(Debug, Default)]
pub(super) struct CitationCache {
    /// By code and the address of the rows, which stay alive with the entry.
    known: HashMap<(FindingCode, usize), CachedCitations, foldhash::fast::RandomState>,
}

#[derive(Debug)]
struct CachedCitations {
    /// Keeps the address in the key from being used again.
    _rows: Option<Arc<Documented>>,
    citations: Citations,
}

impl CitationCache {
    /// The rows of the destination, the statements of the code, and `other_rows`. Where none of them exists, the statements by
    /// which the documents ask for an allowlist.
    pub(super) fn of_flow(
        &mut self,
        view: &FlowView<'_>,
        code: FindingCode,
        other_rows: Option<Documented>,
    ) -> Citations {
        if other_rows.is_some() {
            return put_together(view, code, other_rows);
        }
        let destination = view.verdict.documented;
        let key = (code, destination.map_or(0, |rows| Arc::as_ptr(rows).addr()));
        if let Some(known) = self.known.get(&key) {
            return known.citations.clone();
        }
        let citations = put_together(view, code, None);
        if self.known.len() >= LIMIT {
            self.known.clear();
        }
        self.known.insert(key, CachedCitations { _rows: destination.cloned(), citations: citations.clone() });
        citations
    }
}

fn put_together(view: &FlowView<'_>, code: FindingCode, other_rows: Option<Documented>) -> Citations {
    let destination = view.verdict.documented.map(|documented| &**documented);
    let products = destination.map_or("", |documented| &documented.products);
    let statements = code.entry().cites.and_then(|subject| view.policy.statements(subject, products));
    let further = match statements.or(other_rows) {
        None if destination.is_none() => view.policy.statements(StatementSubject::Allowlist, ""),
        further => further,
    };
    let mut cited = destination.cloned().unwrap_or_default();
    if let Some(further) = further {
        add_list(&mut cited.references, &further.references);
        add_list(&mut cited.documents, &further.documents);
    }
    Citations { references: cited.references.into(), documents: cited.documents.into() }
}

fn add_list(list: &mut String, further: &str) {
    further.split(';').filter(|item| !item.is_empty()).for_each(|item| append_once(list, item));
}

//! What the documents say about a finding.
//!
//! In:  the flow of the finding, and its code.
//! Out: the references and documents that the finding cites.
//! Not: where the rows come from; see `policy`.

use std::borrow::Cow;

use super::checks::FlowView;
use super::collector::Occurrence;
use crate::judge::catalogue::FindingCode;
use crate::judge::catalogue::StatementSubject;
use crate::judge::policy::references::append_once;
use crate::judge::rows::Documented;

/// References and documents, each joined with `;`.
pub(super) struct Citations<'a> {
    references: Cow<'a, str>,
    documents: Cow<'a, str>,
}

impl Citations<'_> {
    /// The occurrence with its citations.
    pub(super) fn complete<'b>(&'b self, occurrence: Occurrence<'b>) -> Occurrence<'b> {
        Occurrence { references: &self.references, documents: &self.documents, ..occurrence }
    }
}

/// The rows of the destination, the statements of the code, and `other_rows`. Where none of them exists, the statements by which
/// the documents ask for an allowlist.
pub(super) fn of_flow<'a>(
    view: &FlowView<'a>,
    code: FindingCode,
    other_rows: Option<Documented>,
) -> Citations<'a> {
    let destination = view.verdict.documented.map(|documented| &**documented);
    let products = destination.map_or("", |documented| &documented.products);
    let statements = code.entry().cites.and_then(|subject| view.policy.statements(subject, products));
    let further = match statements.or(other_rows) {
        None if destination.is_none() => view.policy.statements(StatementSubject::Allowlist, ""),
        further => further,
    };
    match (destination, further) {
        (None, None) => Citations { references: Cow::Borrowed(""), documents: Cow::Borrowed("") },
        (Some(destination), None) => Citations {
            references: Cow::Borrowed(&destination.references),
            documents: Cow::Borrowed(&destination.documents),
        },
        (None, Some(further)) => {
            Citations { references: Cow::Owned(further.references), documents: Cow::Owned(further.documents) }
        }
        (Some(destination), Some(further)) => Citations {
            references: Cow::Owned(joined(&destination.references, &further.references)),
            documents: Cow::Owned(joined(&destination.documents, &further.documents)),
        },
    }
}

fn joined(list: &str, further: &str) -> String {
    let mut list = list.to_owned();
    further.split(';').for_each(|item| append_once(&mut list, item));
    list
}

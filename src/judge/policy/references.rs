//! The documented rows that name a host, ready to print and to compare.
//!
//! In:  the rows that match a name.
//! Out: their ids, documents and products as text; what they say of a port.
//! Not: which names were seen.

use std::sync::Arc;

use crate::base::port;
use crate::base::proto;
use crate::judge::rows::Documented;
use crate::judge::vocabulary::PortVerdict;
use crate::rules;
use crate::rules::PortMatch;
use crate::rules::Reference;
use crate::rules::ReferenceId;
use crate::rules::ReferenceMatch;
use crate::rules::ReferenceMatches;
use crate::rules::RuleSet;
use crate::rules::ServiceKind;
use crate::rules::TableKind;

/// What the documents say of all names that the same rows match.
#[derive(Debug)]
pub(in crate::judge) struct NameReferences {
    /// The rows, most specific first.
    pub(in crate::judge) ids: Box<[ReferenceId]>,
    /// Only wildcards match, and their document warns that they are too broad.
    pub(in crate::judge) broad: bool,
    /// What the documents say, ready to print; none when no row matches.
    pub(in crate::judge) documented: Option<Arc<Documented>>,
    /// The same for a corrected port; none where no row has one.
    documented_corrected_port: Option<Arc<Documented>>,
    /// No row has any other port.
    pub(in crate::judge) https_only: bool,
    /// A row for CRL, OCSP or AIA hosts matches.
    pub(in crate::judge) is_pki: bool,
    /// A row for the sync service or for storage accounts matches.
    pub(in crate::judge) is_sync_or_storage: bool,
}

impl NameReferences {
    pub(super) fn new(matches: &ReferenceMatches, rules: &RuleSet) -> NameReferences {
        let quote_matches = |on_corrected_port: bool| {
            let mut documented = Documented::default();
            for hit in matches {
                let rule = rules.reference(hit.id);
                let corrected_port = on_corrected_port && !rule.corrected_ports.is_empty();
                append(&mut documented.references, &rule.id, match_suffix(hit, corrected_port));
                append_once(&mut documented.documents, &rule.document.id);
                for product in &rule.document.products {
                    append_once(&mut documented.products, product);
                }
            }
            Arc::new(documented)
        };
        let has_corrected_port =
            matches.iter().any(|hit| !rules.reference(hit.id).corrected_ports.is_empty());
        let found: Box<[ReferenceId]> = matches.iter().map(|hit| hit.id).collect();
        NameReferences {
            broad: !matches.is_empty() && matches.iter().all(|hit| rules.reference(hit.id).broad),
            documented: (!matches.is_empty()).then(|| quote_matches(false)),
            documented_corrected_port: has_corrected_port.then(|| quote_matches(true)),
            https_only: found.iter().all(|id| is_https_only(rules.reference(*id))),
            is_sync_or_storage: found.iter().any(|id| {
                let kind = rules.reference(*id).service_kind;
                matches!(kind, Some(ServiceKind::Storage | ServiceKind::SyncService))
                    || rules.reference(*id).table.kind == TableKind::Region
            }),
            is_pki: found.iter().any(|id| rules.reference(*id).service_kind == Some(ServiceKind::Pki)),
            ids: found,
        }
    }

    /// What the documents say of a flow on this port. Where a row's corrected port matches, the text says so.
    pub(super) fn documented_on(&self, rules: &RuleSet, protocol: u8, port: u16) -> Option<&Arc<Documented>> {
        let is_corrected =
            |id: &ReferenceId| rules.reference(*id).allows(protocol, port) == PortMatch::Corrected;
        match &self.documented_corrected_port {
            Some(corrected) if self.ids.iter().any(is_corrected) => Some(corrected),
            _ => self.documented.as_ref(),
        }
    }

    /// The best verdict of any row on a port. TCP 443 is what the documents ask for, also where a row prints another port;
    /// UDP 443 is documented only where a row gives it.
    pub(super) fn port_verdict(&self, rules: &RuleSet, protocol: u8, port: u16) -> PortVerdict {
        if (protocol, port) == (proto::TCP, port::HTTPS) {
            return PortVerdict::Https;
        }
        let is_documented = |id: &ReferenceId| rules.reference(*id).allows(protocol, port) != PortMatch::Not;
        if self.ids.iter().any(is_documented) { PortVerdict::Documented } else { PortVerdict::Not443 }
    }
}

/// What follows a reference's id where it was not matched as printed.
const fn match_suffix(hit: &ReferenceMatch, corrected_port: bool) -> &'static str {
    match hit.kind {
        _ if hit.is_alias => " (as meant)",
        rules::MatchKind::Placeholder => " (placeholder)",
        _ if corrected_port => " (port as meant)",
        _ => "",
    }
}

fn is_https_only(rule: &Reference) -> bool {
    rule.allows(proto::TCP, port::HTTPS) == PortMatch::Https
        && rule.allows(proto::TCP, port::HTTP) == PortMatch::Not
}

/// Rows as evidence quotes them.
pub(in crate::judge) fn quote(rules: &RuleSet, ids: impl IntoIterator<Item = ReferenceId>) -> Documented {
    let mut documented = Documented::default();
    for id in ids {
        let rule = rules.reference(id);
        append_once(&mut documented.references, &rule.id);
        append_once(&mut documented.documents, &rule.document.id);
        for product in &rule.document.products {
            append_once(&mut documented.products, product);
        }
    }
    documented
}

/// Appends an item and its suffix to a list that is joined with `;`.
pub(super) fn append(list: &mut String, item: &str, suffix: &str) {
    if !list.is_empty() {
        list.push(';');
    }
    list.push_str(item);
    list.push_str(suffix);
}

/// Appends an item unless the list has it.
pub(in crate::judge) fn append_once(list: &mut String, item: &str) {
    if !list.split(';').any(|other| other == item) {
        append(list, item, "");
    }
}

//! The documented rows that are not in force for the site.
//!
//! In:  the rows that a selection leaves out, each with the reason.
//! Out: the row that documents a name all the same.
//! Not: names that a row in force matches.

use std::sync::Arc;

use super::MatchKind;
use super::names::NameIndex;
use super::names::ReferenceMatch;
use super::pattern::Pattern;
use super::reference::Reference;
use super::reference::ReferenceId;

/// Why a documented row is not in force, the most specific reason first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NotInForce {
    /// It is for another cloud than the site's.
    OtherCloud,
    /// Its document is for another region.
    OtherRegion,
    /// Its document is for the hardware of another vendor.
    OtherHardware,
    /// Its document is for sites with a value that the site file does not set, such as an Arc gateway.
    ValueNotSet,
    /// Its document is for a product that the site file does not name.
    OtherProduct,
    /// Its document was superseded, or not chosen.
    OtherEdition,
}

/// A row that is not in force, of one [`super::RuleSet`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ElsewhereId(u32);

/// All rows that are not in force.
#[derive(Debug, Default)]
pub(super) struct Elsewhere {
    rows: Vec<(Arc<Reference>, NotInForce)>,
    names: NameIndex,
}

impl Elsewhere {
    pub(super) fn new(rows: Vec<(Arc<Reference>, NotInForce)>) -> Elsewhere {
        let mut patterns: Vec<(&Pattern, ReferenceMatch)> = Vec::new();
        for ((row, reason), id) in rows.iter().zip((0..).map(ReferenceId)) {
            for (pattern, is_alias) in [(&row.host, false), (&row.alias, true)] {
                // A wildcard that a newer edition gave up covers other customers' names as well.
                let is_given_up =
                    |pattern: &Pattern| *reason == NotInForce::OtherEdition && !pattern.is_exact();
                let Some(pattern) = pattern.as_ref().filter(|pattern| !is_given_up(pattern)) else {
                    continue;
                };
                patterns.push((pattern, ReferenceMatch::new(id, MatchKind::Exact, is_alias)));
            }
        }
        let names = NameIndex::new(patterns);
        Elsewhere { rows, names }
    }

    /// The row with the most specific reason, and among equals the most specific one.
    pub(super) fn find(&self, name: &str) -> Option<ElsewhereId> {
        let found = self.names.find(name);
        let reason = |id: ElsewhereId| self.get(id).map(|(_, reason)| reason);
        found.iter().map(|hit| ElsewhereId(hit.id.0)).min_by_key(|id| reason(*id))
    }

    /// All rows that document the name and are not in force for the same reason as `id`.
    pub(super) fn like<'a>(&'a self, name: &str, id: ElsewhereId) -> impl Iterator<Item = &'a Reference> {
        let reason = self.get(id).map(|(_, reason)| reason);
        let hits = self.names.find(name);
        hits.into_iter()
            .filter_map(|hit| self.get(ElsewhereId(hit.id.0)))
            .filter(move |(_, its)| Some(*its) == reason)
            .map(|(row, _)| row)
    }

    pub(super) fn get(&self, id: ElsewhereId) -> Option<(&Reference, NotInForce)> {
        self.rows.get(id.0 as usize).map(|(row, reason)| (&**row, *reason))
    }
}

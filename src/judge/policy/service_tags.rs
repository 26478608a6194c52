//! The service tags of addresses, and how they belong to documented rows.
//!
//! In:  the rows that name tags, the tag file of the site.
//! Out: the tags of an address, ready to print and to compare.
//! Not: how the tag file is read; see `rules`.

use std::sync::Arc;

use hashbrown::HashMap;
use smallvec::SmallVec;

use super::Policy;
use super::references::append;
use super::references::quote;
use crate::base::Address;
use crate::judge::rows::Documented;
use crate::rules::Reference;
use crate::rules::ReferenceId;
use crate::rules::RuleSet;
use crate::rules::TableKind;
use crate::rules::TagId;
use crate::rules::Tags;

/// Documented tags that have a bit; more are not distinguished.
const MAX_TAGS: usize = 64;

/// The tags that the documents name, each with a bit.
#[derive(Debug)]
pub(super) struct DocumentedTags {
    /// Each tag once, in lower case, with its rows. The index is its bit.
    tags: Vec<(String, SmallVec<[ReferenceId; 2]>)>,
    /// The bits of the tags that belong to a row, by reference.
    bits_by_reference: Vec<u64>,
}

/// What the service tags say of an address. There is one for each distinct list of tags.
#[derive(Debug)]
pub(in crate::judge) struct TagSet {
    /// Names, most specific first, joined with `;`.
    pub(in crate::judge) text: Arc<str>,
    /// The documented tags among them, as bits.
    pub(in crate::judge) bits: u64,
    /// What the rows of those tags say.
    pub(in crate::judge) documented: Option<Arc<Documented>>,
}

impl DocumentedTags {
    pub(super) fn new(rules: &RuleSet) -> DocumentedTags {
        let mut tags: Vec<(String, SmallVec<[ReferenceId; 2]>)> = Vec::new();
        for documented in rules.service_tags() {
            let tag = documented.tag.to_ascii_lowercase();
            if let Some((_, ids)) = tags.iter_mut().find(|(known, _)| *known == tag) {
                ids.push(documented.reference);
            } else if tags.len() < MAX_TAGS {
                tags.push((tag, SmallVec::from_iter([documented.reference])));
            }
        }
        // The tags that a row names itself, and those of its service.
        let bits_of = |row: &Reference| {
            if row.table.kind != TableKind::Endpoint {
                return 0;
            }
            let own = row.row.tags.iter().map(|(tag, _)| tag).chain(&row.row.tags_of_service);
            let bits = own.filter_map(|own| tags.iter().position(|(tag, _)| own.eq_ignore_ascii_case(tag)));
            bits.fold(0, |bits, bit| bits | 1 << bit)
        };
        let bits_by_reference = rules.iter().map(|(_, row)| bits_of(row)).collect();
        DocumentedTags { tags, bits_by_reference }
    }

    /// The tags that belong to a row, as bits.
    pub(super) fn bits_of(&self, reference: ReferenceId) -> u64 {
        self.bits_by_reference.get(reference.0 as usize).copied().unwrap_or_default()
    }

    /// What a list of tags means.
    fn tag_set(&self, tags: &Tags, list: &[TagId], rules: &RuleSet) -> TagSet {
        let mut text = String::new();
        let mut bits = 0;
        let mut ids = Vec::new();
        for tag in list.iter().filter_map(|id| tags.tag(*id)) {
            append(&mut text, &tag.name, "");
            let name = tag.name.to_ascii_lowercase();
            for (bit, (documented, rows)) in self.tags.iter().enumerate() {
                let rest = name.strip_prefix(documented.as_str());
                // `Storage.WestUS` is the regional part of `Storage`.
                let is_it = rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
                if is_it && bits & (1 << bit) == 0 {
                    bits |= 1 << bit;
                    ids.extend_from_slice(rows);
                }
            }
        }
        let documented = (!ids.is_empty()).then(|| Arc::new(quote(rules, ids)));
        TagSet { text: text.into(), bits, documented }
    }
}

/// Tag sets, each worked out once.
#[derive(Debug, Default)]
pub(in crate::judge) struct TagSets(HashMap<Box<[TagId]>, Arc<TagSet>, foldhash::fast::RandomState>);

impl TagSets {
    /// The service tags of a public address.
    pub(in crate::judge) fn of(&mut self, address: Address, policy: &Policy) -> Option<Arc<TagSet>> {
        let tags = policy.tags.as_ref().filter(|_| !address.is_private())?;
        let list = tags.lookup(address);
        if list.is_empty() {
            return None;
        }
        if let Some(known) = self.0.get(list) {
            return Some(Arc::clone(known));
        }
        let set = Arc::new(policy.documented_tags.tag_set(tags, list, &policy.rules));
        self.0.insert(list.into(), Arc::clone(&set));
        Some(set)
    }
}

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
use super::regions::OwnRegion;
use crate::base::Address;
use crate::judge::rows::Documented;
use crate::rules::Reference;
use crate::rules::ReferenceId;
use crate::rules::RuleSet;
use crate::rules::ServiceKind;
use crate::rules::TableKind;
use crate::rules::TagId;
use crate::rules::Tags;
use crate::rules::region_slug;

/// Documented tags that have a bit; more are not distinguished.
const MAX_TAGS: usize = 64;

/// The tags that the documents name, each with a bit.
#[derive(Debug)]
pub(super) struct DocumentedTags {
    /// Each tag once, in lower case, with its rows. The index is its bit.
    tags: Vec<(String, SmallVec<[ReferenceId; 2]>)>,
    /// The bits of the tags that belong to a row, by reference.
    bits_by_reference: Vec<u64>,
    /// The bits of the tags whose regional parts belong to the regions of Azure File Sync.
    sync_bits: u64,
    /// The same of storage accounts.
    storage_bits: u64,
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
    /// The documented region whose instances of Azure File Sync have the addresses, where it is none of the site's.
    pub(in crate::judge) other_region: Option<Box<str>>,
    /// The same of storage accounts.
    pub(in crate::judge) other_storage_region: Option<Box<str>>,
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
        let bits_of_kind = |kind: ServiceKind| {
            let rows = rules.iter().map(|(_, row)| row).filter(|row| row.service_kind == Some(kind));
            rows.fold(0, |bits, row| bits | bits_of(row))
        };
        let (sync_bits, storage_bits) =
            (bits_of_kind(ServiceKind::SyncService), bits_of_kind(ServiceKind::Storage));
        let bits_by_reference = rules.iter().map(|(_, row)| bits_of(row)).collect();
        DocumentedTags { tags, bits_by_reference, sync_bits, storage_bits }
    }

    /// The tags that belong to a row, as bits.
    pub(super) fn bits_of(&self, reference: ReferenceId) -> u64 {
        self.bits_by_reference.get(reference.0 as usize).copied().unwrap_or_default()
    }

    /// What a list of tags means.
    fn tag_set(
        &self,
        tags: &Tags,
        list: &[TagId],
        rules: &RuleSet,
        own_region: Option<&OwnRegion>,
    ) -> TagSet {
        let mut text = String::new();
        let [mut sync_regions, mut storage_regions]: [Vec<String>; 2] = Default::default();
        let mut bits = 0;
        let mut ids = Vec::new();
        for tag in list.iter().filter_map(|id| tags.tag(*id)) {
            append(&mut text, &tag.name, "");
            let name = tag.name.to_ascii_lowercase();
            for (bit, (documented, rows)) in self.tags.iter().enumerate() {
                let rest = name.strip_prefix(documented.as_str());
                // `Storage.WestUS` is the regional part of `Storage`.
                let is_it = rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
                for (regional, regions) in
                    [(self.sync_bits, &mut sync_regions), (self.storage_bits, &mut storage_regions)]
                {
                    if is_it && regional & (1 << bit) != 0 && !tag.region.is_empty() {
                        // The suffix of the name and the region of the properties can differ.
                        let suffix = rest.map(|rest| region_slug(rest.trim_start_matches('.')));
                        regions.extend(suffix.into_iter().chain([region_slug(&tag.region)]));
                    }
                }
                if is_it && bits & (1 << bit) == 0 {
                    bits |= 1 << bit;
                    ids.extend_from_slice(rows);
                }
            }
        }
        let documented = (!ids.is_empty()).then(|| Arc::new(quote(rules, ids)));
        let other_region = |regions: &[String]| -> Option<Box<str>> {
            let own = own_region?;
            if own.words.iter().any(|word| regions.contains(word)) {
                return None;
            }
            let mut listed = rules.regions().iter().map(|region| &region.name);
            listed.find(|name| regions.contains(&region_slug(name))).map(|name| name.to_string().into())
        };
        TagSet {
            text: text.into(),
            bits,
            documented,
            other_region: other_region(&sync_regions),
            other_storage_region: other_region(&storage_regions),
        }
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
        let set =
            Arc::new(policy.documented_tags.tag_set(tags, list, &policy.rules, policy.own_region.as_ref()));
        self.0.insert(list.into(), Arc::clone(&set));
        Some(set)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_regional_tag_says_which_region_an_address_serves() {
        let tags = br#"{"changeNumber": 1, "cloud": "Public", "values": [
            {"name": "StorageSyncService.WestUS", "properties": {"region": "westus", "addressPrefixes": ["20.1.0.0/24"]}},
            {"name": "StorageSyncService.FranceCentral", "properties": {"region": "centralfrance", "addressPrefixes": ["20.2.0.0/24"]}},
            {"name": "StorageSyncService.NewRegion", "properties": {"region": "newregion", "addressPrefixes": ["20.3.0.0/24"]}},
            {"name": "Storage.EastUS", "properties": {"region": "eastus", "addressPrefixes": ["20.4.0.0/24"]}}]}"#;
        let tags = Tags::parse("ServiceTags_Public_20260105.json", tags).unwrap();
        let tag_set = |region: &str, address: [u8; 4]| {
            let site = format!("[azure-file-sync]\nregion = \"{region}\"\nredundancy = \"LRS\"");
            let policy = Policy::for_tests(&site);
            let list = tags.lookup(Address::v4(address));
            let own_region = policy.own_region.as_ref();
            policy.documented_tags.tag_set(&tags, list, &policy.rules, own_region)
        };
        let other_region = |region, address| tag_set(region, address).other_region;
        assert_eq!(other_region("West US", [20, 1, 0, 4]), None);
        assert_eq!(other_region("East US", [20, 1, 0, 4]).as_deref(), Some("West US"));
        assert_eq!(other_region("France Central", [20, 2, 0, 4]), None);
        assert_eq!(other_region("West US", [20, 3, 0, 4]), None, "no document lists it");
        assert_eq!(other_region("West US", [20, 4, 0, 4]), None, "storage");
        let other_storage_region = |region| tag_set(region, [20, 4, 0, 4]).other_storage_region;
        assert_eq!(other_storage_region("West US").as_deref(), Some("East US"));
        assert_eq!(other_storage_region("East US"), None);
    }
}

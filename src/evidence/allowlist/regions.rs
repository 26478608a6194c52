//! Finds the regions that the addresses of a destination are in, so that a service tag opens these only.
//!
//! In:  a rule set, the documents.
//! Out: the regions of its destinations, where the documents tell them.
//! Not: whether a service tag file has tags for them.

use std::collections::BTreeSet;

use super::AllowRow;
use super::Allowlist;
use crate::rules::Reference;
use crate::rules::RegionRole;
use crate::rules::RuleSet;
use crate::rules::TableKind;
use crate::rules::region_slug;

/// Adds regions. An instance is in the region of its row; the Azure File Sync document gives the same commands for its prefixes
/// ("Allow list for Azure File Sync IP addresses": `$serviceTag.$region`). A discovery name leads to the instance of the region, or
/// after a failover to that of the paired region.
///
/// The site's own names of that document, such as its storage accounts, are in the region of the instance: an account "must be
/// located in the same region as the Storage Sync Service" (the statement `same-region`). A geo-redundant one fails over to the paired region. Its instance is
/// among the requirements, as an optional one if the site file has no redundancy.
pub(super) fn add(list: &mut Allowlist, rules: &RuleSet) {
    let regional = |name: &str| -> Vec<&Reference> {
        let found = rules.match_host(name);
        let references = found.iter().map(|found| rules.reference(found.id));
        references.filter(|reference| reference.table.kind == TableKind::Region).collect()
    };
    let instances: Vec<&Reference> = list.destinations.iter().flat_map(|name| regional(name)).collect();
    let of_site = regions(instances.iter().filter(|one| one.role == Some(RegionRole::Primary)).copied());
    let has_instances =
        |row: &AllowRow| row.documents.iter().all(|id| instances.iter().any(|one| *one.document.id == **id));
    for row in list.rows.iter_mut().filter(|row| !row.is_wildcard()) {
        row.regions = match row.is_declared {
            true if has_instances(row) => of_site.clone(),
            true => BTreeSet::new(),
            false => regions(regional(&row.destination).into_iter()),
        };
    }
}

/// The regions that names of these rows lead to.
fn regions<'a>(rows: impl Iterator<Item = &'a Reference>) -> BTreeSet<String> {
    let mut regions = BTreeSet::new();
    for row in rows {
        let own = row.region.as_deref().filter(|_| row.role != Some(RegionRole::Paired));
        let pair = row.pair.as_deref().filter(|_| row.role != Some(RegionRole::Primary));
        regions.extend(own.into_iter().chain(pair).map(region_slug));
    }
    regions
}

//! How the names of regional instances, storage accounts and private endpoints are built, and which regions are the site's.
//!
//! In:  the region, storage and private-link rows of the documents; the region of the site file.
//! Out: shapes and suffixes of names.
//! Not: any name that was seen; see `name_class`.

use crate::rules::Clouds;
use crate::rules::Redundancy;
use crate::rules::ReferenceId;
use crate::rules::RegionRole;
use crate::rules::RuleSet;
use crate::rules::ServiceKind;
use crate::rules::Site;
use crate::rules::SyncSetup;
use crate::rules::TableKind;
use crate::rules::region_slug;

/// How the names of regional instances are built, as read off the documented ones: `westus01` of West US gives an empty front
/// and the back `01`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct RegionalShape {
    pub(super) front: String,
    pub(super) back: String,
    /// Everything after the first label.
    pub(super) suffix: String,
}

/// The regional instances that the site may use.
#[derive(Debug)]
pub(super) struct OwnRegion {
    /// Regions by their slug, own first: `westus`.
    pub(super) words: Vec<String>,
    /// By reference: true for instances that the site uses.
    pub(super) serves: Vec<bool>,
    /// By reference: true for instances that the site would use if its storage account were geo-redundant.
    pub(super) serves_if_geo_redundant: Vec<bool>,
    /// Clouds of the region; empty where no document lists it.
    pub(super) clouds: Clouds,
}

/// The site's region; none where the site file does not name one.
pub(super) fn own_region(rules: &RuleSet, site: &Site) -> Option<OwnRegion> {
    let setup = site.sync_setup();
    let own = region_slug(setup.region.as_deref()?);
    let has_pair = setup.redundancy.is_none_or(Redundancy::has_pair);
    let required: Vec<ReferenceId> =
        rules.required_instances(&setup).into_iter().flat_map(|requirement| requirement.references).collect();
    let serves = |id: ReferenceId| {
        let reference = rules.reference(id);
        let region = reference.region.as_deref().map(region_slug);
        required.contains(&id)
            || (region.as_ref() == Some(&own) && (has_pair || reference.role != Some(RegionRole::Paired)))
    };
    let geo_redundant = SyncSetup { redundancy: Some(Redundancy::Grs), ..setup.clone() };
    let required_if_geo_redundant: Vec<ReferenceId> = rules
        .required_instances(&geo_redundant)
        .into_iter()
        .flat_map(|requirement| requirement.references)
        .collect();
    let serves_pair = |id: ReferenceId| {
        let region = rules.reference(id).region.as_deref().map(region_slug);
        required_if_geo_redundant.contains(&id) || region.as_ref() == Some(&own)
    };
    let mut words = vec![own.clone()];
    if has_pair {
        let listed = rules.regions().iter().filter(|region| region_slug(&region.name) == own);
        words.extend(listed.filter_map(|region| region.pair.as_deref().map(region_slug)));
    }
    let listed = rules.regions().iter().filter(|region| region_slug(&region.name) == own);
    let clouds = listed.fold(Clouds::NONE, |clouds, region| clouds.union(region.clouds));
    Some(OwnRegion {
        words,
        serves: rules.iter().map(|(id, _)| serves(id)).collect(),
        serves_if_geo_redundant: rules.iter().map(|(id, _)| serves_pair(id)).collect(),
        clouds,
    })
}

/// The shapes of the documented regional names.
pub(super) fn regional_shapes(rules: &RuleSet) -> Vec<RegionalShape> {
    let mut shapes = Vec::new();
    for region in rules.regions() {
        let word = region_slug(&region.name);
        let ids = region.primary.iter().chain(&region.discovery);
        let hosts = ids.filter_map(|id| rules.reference(*id).host.as_ref());
        for (label, suffix) in hosts.filter_map(|host| host.text.split_once('.')) {
            let Some((front, back)) = label.split_once(word.as_str()) else { continue };
            let shape = RegionalShape { front: front.into(), back: back.into(), suffix: suffix.into() };
            if !shapes.contains(&shape) {
                shapes.push(shape);
            }
        }
    }
    shapes
}

/// The suffixes of storage accounts, after `<account>.<service>`: what follows the wildcard in the storage rows of every
/// cloud, and the suffix of a private zone without its service.
pub(super) fn storage_suffixes(rules: &RuleSet) -> Vec<String> {
    let mut suffixes: Vec<String> = Vec::new();
    let mut add = |suffix: &str| {
        if suffix.contains('.') && !suffixes.iter().any(|other| other == suffix) {
            suffixes.push(suffix.to_owned());
        }
    };
    for (_, row) in rules.private_link() {
        let is_account = row.placeholders.iter().any(|(_, value)| &**value == "storage-account");
        let suffix = row.suffix.as_deref().filter(|_| is_account);
        if let Some((_, parent)) = suffix.and_then(|suffix| suffix.split_once('.')) {
            add(parent);
        }
    }
    for (_, row) in rules.of_kind(TableKind::Endpoint) {
        let is_storage = row.service_kind == Some(ServiceKind::Storage);
        let wildcard = row.host.as_ref().filter(|host| host.any_front && host.head.is_empty());
        if let Some(host) = wildcard.filter(|_| is_storage) {
            add(&host.tail);
        }
    }
    suffixes
}

/// The suffixes under which names can have private endpoints. The documents print the zones of the public cloud and say for
/// the other clouds: substitute the suffix.
pub(super) fn private_suffixes(
    rules: &RuleSet,
    shapes: &[RegionalShape],
    storage_suffixes: &[String],
) -> Vec<String> {
    let zones = rules.private_link().filter_map(|(_, row)| row.suffix.as_deref().map(str::to_owned));
    let regional = shapes.iter().map(|shape| shape.suffix.clone());
    let mut suffixes: Vec<String> = zones.chain(regional).chain(storage_suffixes.iter().cloned()).collect();
    suffixes.sort_unstable();
    suffixes.dedup();
    suffixes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::judge::policy::Policy;

    #[test]
    fn suffixes_and_shapes_come_from_the_documents() {
        let policy = Policy::for_tests("");
        assert_eq!(
            policy.storage_suffixes,
            ["core.windows.net", "core.usgovcloudapi.net", "core.chinacloudapi.cn"]
        );
        let has = |front: &str, back: &str, suffix: &str| {
            let shape = RegionalShape { front: front.into(), back: back.into(), suffix: suffix.into() };
            assert!(policy.regional_shapes.contains(&shape), "{shape:?}");
        };
        has("", "01", "afs.azure.net");
        has("tm-", "01", "afs.azure.net");
        has("", "01", "afs.azure.us");
        has("", "01", "afs.azure.cn");
    }
}

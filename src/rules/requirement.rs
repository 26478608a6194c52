//! What a site needs: groups of names, each of which is satisfied by any one of its members.
//!
//! In:  the rules, the site's region and redundancy.
//! Out: requirements in a stable order.
//! Not: whether they were seen; that is for `judge`.

use std::collections::HashMap;

use super::Reference;
use super::ReferenceId;
use super::RegionRole;
use super::RequirementLevel;
use super::RuleSet;
use super::TableKind;
use super::region_word;

/// How a storage account keeps its copies, as far as the documents tell them apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Deserialize)]
pub enum Redundancy {
    /// Locally redundant.
    #[serde(rename = "LRS")]
    Lrs,
    /// Zone redundant.
    #[serde(rename = "ZRS")]
    Zrs,
    /// Globally redundant.
    #[serde(rename = "GRS")]
    Grs,
    /// Globally redundant, the second copy can be read.
    #[serde(rename = "RA-GRS")]
    RaGrs,
}

impl Redundancy {
    /// True when a failover to the paired region is possible.
    pub const fn has_pair(self) -> bool {
        matches!(self, Redundancy::Grs | Redundancy::RaGrs)
    }
}

/// What the site says about its Azure File Sync.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SiteNeeds {
    /// Region of the storage sync service.
    pub region: Option<String>,
    /// Redundancy of its storage accounts.
    pub redundancy: Option<Redundancy>,
}

/// Something the site needs. Any of its rules satisfies it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Requirement {
    /// In words, for people.
    pub what: String,
    /// The strongest need of its rows.
    pub need: RequirementLevel,
    /// For a regional instance: what it is for.
    pub role: Option<RegionRole>,
    /// For a regional instance: the region whose names these are.
    pub region: Option<Box<str>>,
    /// The rows, each of which will do.
    pub rules: Vec<ReferenceId>,
}

impl RuleSet {
    /// What a site needs: first its regional instances, then the rows that are required, needed to install, or
    /// recommended, in printed order. Optional rows are not among them; a legacy row stands beside what replaced it.
    pub fn required(&self, site: &SiteNeeds) -> Vec<Requirement> {
        let mut needs = self.needed_regions(site);
        let is_regional = !needs.is_empty();
        let mut group_of = HashMap::new();
        let mut place_of = HashMap::new();
        for (id, rule) in self.of_kind(TableKind::Endpoint) {
            if !matches!(
                rule.need,
                RequirementLevel::Required | RequirementLevel::InstallTime | RequirementLevel::Recommended
            ) || (is_regional && self.covers_regions(rule))
            {
                continue;
            }
            let host = rule.host.as_ref().map(|host| &host.text);
            let group = *group_of.entry((host, rule.true_ports())).or_insert(needs.len());
            place_of.entry((&rule.document.id, rule.place())).or_insert(group);
            match needs.get_mut(group) {
                Some(requirement) => {
                    requirement.need = requirement.need.min(rule.need);
                    requirement.rules.push(id);
                }
                None => needs.push(Requirement {
                    what: what(rule),
                    need: rule.need,
                    role: None,
                    region: None,
                    rules: vec![id],
                }),
            }
        }
        for (id, rule) in self.of_kind(TableKind::Endpoint) {
            let Some(place) = &rule.instead_of else { continue };
            let group = place_of.get(&(&rule.document.id, place.to_string()));
            if let Some(requirement) = group.and_then(|group| needs.get_mut(*group)) {
                requirement.rules.push(id);
            }
        }
        needs
    }

    /// False for a regional instance that the site has no business with: a wildcard would let it through, and it is
    /// still the wrong one. Without a region in the site file all of them are right.
    pub fn serves(&self, id: ReferenceId, site: &SiteNeeds) -> bool {
        site.region.is_none()
            || self.rule(id).table.kind != TableKind::Region
            || self.needed_regions(site).iter().any(|need| need.rules.contains(&id))
    }

    /// The regional instances among them.
    pub fn needed_regions(&self, site: &SiteNeeds) -> Vec<Requirement> {
        let Some(ours) = site.region.as_deref().map(region_word) else { return Vec::new() };
        let mut needs: Vec<Requirement> = Vec::new();
        let mut add = |what: String, need, role, region: &str, rules: &[ReferenceId]| {
            let same = |r: &&mut Requirement| r.role == Some(role) && r.region.as_deref() == Some(region);
            match needs.iter_mut().find(same) {
                Some(requirement) => requirement.rules.extend(rules),
                None if rules.is_empty() => {}
                None => needs.push(Requirement {
                    what,
                    need,
                    role: Some(role),
                    region: Some(region.into()),
                    rules: rules.to_vec(),
                }),
            }
        };
        for region in self.regions.iter().filter(|region| region_word(&region.name) == ours) {
            let what = format!("Azure File Sync in {}", region.name);
            add(what, RequirementLevel::Required, RegionRole::Primary, &region.name, &region.primary);
            // Without a word on redundancy only the region's own instance is known to be needed.
            let with_pair = match site.redundancy {
                Some(redundancy) if redundancy.has_pair() => RequirementLevel::Required,
                Some(_) => continue,
                None => RequirementLevel::Optional,
            };
            let pair = region.pair.as_deref().unwrap_or_default();
            let paired = self.regions.iter().find(|r| r.document == region.document && *r.name == *pair);
            if let Some(paired) = paired {
                let what = format!("Azure File Sync in {pair}, the paired region of {}", region.name);
                add(what, with_pair, RegionRole::Primary, pair, &paired.primary);
            }
            let what = format!("discovery of Azure File Sync in {}", region.name);
            add(what, with_pair, RegionRole::Discovery, &region.name, &region.discovery);
        }
        needs
    }

    /// True for a wildcard that stands for the regional instances: with a known region, those take its place.
    fn covers_regions(&self, rule: &Reference) -> bool {
        let Some(host) = rule.host.as_ref().filter(|host| host.any_front) else { return false };
        let names = self.regions.iter().flat_map(|region| &region.primary);
        names.filter_map(|id| self.rule(*id).host.as_ref()).any(|name| host.matches(&name.text))
    }
}

fn what(rule: &Reference) -> String {
    match &rule.row.service {
        Some(service) => format!("{service}: {}", rule.subject()),
        None => rule.subject(),
    }
}

//! What a site requires: groups of references, each satisfied by any one of its members.
//!
//! In:  the rules, the site's region and redundancy.
//! Out: requirements in a stable order.
//! Not: whether they were reached; that is for `judge`.

use foldhash::fast::FixedState;
use hashbrown::HashMap;

use super::Ports;
use super::Reference;
use super::ReferenceId;
use super::RegionRole;
use super::RequirementLevel;
use super::RuleSet;
use super::RuleText;
use super::TableKind;
use super::region_slug;

/// How a storage account replicates its data, as far as the documents distinguish it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Deserialize)]
pub enum Redundancy {
    /// Locally redundant.
    #[serde(rename = "LRS")]
    Lrs,
    /// Zone redundant.
    #[serde(rename = "ZRS")]
    Zrs,
    /// Geo-redundant. GZRS is the same here: both replicate to the paired region.
    #[serde(rename = "GRS", alias = "GZRS")]
    Grs,
    /// Geo-redundant with a readable secondary. RA-GZRS is the same here.
    #[serde(rename = "RA-GRS", alias = "RA-GZRS")]
    RaGrs,
}

impl Redundancy {
    /// True if a failover to the paired region is possible.
    pub const fn has_pair(self) -> bool {
        matches!(self, Redundancy::Grs | Redundancy::RaGrs)
    }
}

/// What the site file says about Azure File Sync.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SyncSetup {
    /// Region of the storage sync service.
    pub region: Option<String>,
    /// Redundancy of its storage accounts.
    pub redundancy: Option<Redundancy>,
}

/// An endpoint that the site requires. Any of its references satisfies it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Requirement {
    /// Description for people.
    pub what: String,
    /// The strongest level of its references.
    pub level: RequirementLevel,
    /// For a regional instance: the role of its names.
    pub role: Option<RegionRole>,
    /// For a regional instance: its region.
    pub region: Option<Box<str>>,
    /// The references; any one of them is sufficient.
    pub references: Vec<ReferenceId>,
}

impl RuleSet {
    /// What a site requires: first its regional instances, then the required, install-time and recommended references in
    /// printed order. Optional references are not included; a legacy reference is an alternative to its replacement.
    pub fn required(&self, site: &SyncSetup) -> Vec<Requirement> {
        let mut needs = self.required_instances(site);
        let is_regional = !needs.is_empty();
        let mut group_of = HashMap::with_hasher(FixedState::default());
        let is_required = |reference: &Reference| {
            let has_level = matches!(
                reference.level,
                RequirementLevel::Required | RequirementLevel::InstallTime | RequirementLevel::Recommended
            );
            has_level && !(is_regional && self.covers_regions(reference))
        };
        for (id, reference) in self.of_kind(TableKind::Endpoint).filter(|(_, row)| is_required(row)) {
            let group = *group_of.entry(endpoint(reference)).or_insert(needs.len());
            match needs.get_mut(group) {
                Some(requirement) => {
                    requirement.level = requirement.level.min(reference.level);
                    requirement.references.push(id);
                }
                None => needs.push(Requirement {
                    what: what(reference),
                    level: reference.level,
                    role: None,
                    region: None,
                    references: vec![id],
                }),
            }
        }
        for (id, reference) in self.of_kind(TableKind::Endpoint) {
            let Some((table, row)) = reference.instead_of.as_ref().and_then(|place| place.rsplit_once('/'))
            else {
                continue;
            };
            // Few rows are alternatives.
            let row: Option<u32> = row.parse().ok();
            let is_at_place = |other: &Reference| {
                Some(other.row.number) == row
                    && *other.table.id == *table
                    && other.document.id == reference.document.id
            };
            let mut rows = self.of_kind(TableKind::Endpoint).map(|(_, other)| other);
            let other = rows.find(|other| is_at_place(other) && is_required(other));
            let group = other.and_then(|other| group_of.get(&endpoint(other)));
            if let Some(requirement) = group.and_then(|group| needs.get_mut(*group)) {
                requirement.references.push(id);
            }
        }
        needs
    }

    /// What the documents for the hardware of each vendor list, where the site declares no hardware.
    pub fn of_undeclared_hardware(&self) -> Vec<Requirement> {
        let is_of_hardware = |reference: &Reference| {
            reference.document.hardware.is_some() && reference.level == RequirementLevel::Optional
        };
        let rows = self.of_kind(TableKind::Endpoint).filter(|(_, reference)| is_of_hardware(reference));
        let requirement = |(id, reference): (ReferenceId, &Reference)| Requirement {
            what: what(reference),
            level: reference.level,
            role: None,
            region: None,
            references: vec![id],
        };
        rows.map(requirement).collect()
    }

    /// False for the regional instance of another region, which a wildcard would allow. Without a region in the site file
    /// every instance is the site's own.
    pub fn is_own_instance(&self, id: ReferenceId, site: &SyncSetup) -> bool {
        site.region.is_none()
            || self.reference(id).table.kind != TableKind::Region
            || self.required_instances(site).iter().any(|need| need.references.contains(&id))
    }

    /// The regional instances among the requirements.
    pub fn required_instances(&self, site: &SyncSetup) -> Vec<Requirement> {
        let Some(ours) = site.region.as_deref().map(region_slug) else { return Vec::new() };
        let mut needs: Vec<Requirement> = Vec::new();
        let mut add = |what: String, level, role, region: &str, rules: &[ReferenceId]| {
            let same = |r: &&mut Requirement| r.role == Some(role) && r.region.as_deref() == Some(region);
            match needs.iter_mut().find(same) {
                Some(requirement) => requirement.references.extend(rules),
                None if rules.is_empty() => {}
                None => needs.push(Requirement {
                    what,
                    level,
                    role: Some(role),
                    region: Some(region.into()),
                    references: rules.to_vec(),
                }),
            }
        };
        for region in self.regions.iter().filter(|region| region_slug(&region.name) == ours) {
            let what = format!("Azure File Sync in {}", region.name);
            add(what, RequirementLevel::Required, RegionRole::Primary, &region.name, &region.primary);
            // Without a redundancy in the site file only the region's own instance is known to be required.
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

    /// True for a wildcard that covers the regional instances: with a known region, those replace it.
    fn covers_regions(&self, reference: &Reference) -> bool {
        let Some(host) = reference.host.as_ref().filter(|host| host.any_front) else { return false };
        let names = self.regions.iter().flat_map(|region| &region.primary);
        names.filter_map(|id| self.reference(*id).host.as_ref()).any(|name| host.matches(&name.text))
    }
}

/// What distinguishes requirements.
fn endpoint(reference: &Reference) -> (Option<&RuleText>, &Ports) {
    (reference.host.as_ref().map(|host| &host.text), reference.effective_ports())
}

fn what(reference: &Reference) -> String {
    match &reference.row.service {
        Some(service) => format!("{service}: {}", reference.subject()),
        None => reference.subject(),
    }
}

//! The endpoints that a site needs.
//!
//! In:  the references in force, and what the site file declares.
//! Out: endpoints in the order of the documents, and which of them a name satisfies.
//! Not: whether they were reached.

use smallvec::SmallVec;

use crate::judge::policy::GATEWAY_FACT;
use crate::judge::policy::SYNC_SERVICE_FACT;
use crate::rules::Reference;
use crate::rules::ReferenceId;
use crate::rules::RegionRole;
use crate::rules::Requirement;
use crate::rules::RequirementLevel;
use crate::rules::RuleSet;
use crate::rules::RuleText;
use crate::rules::ServiceKind;
use crate::rules::Site;
use crate::rules::TableKind;
use crate::rules::region_slug;

/// The services of a storage account that Azure File Sync and a cluster witness use, as labels of its endpoints:
/// `<account>.file.<suffix>`.
const FILE_SERVICE: &str = "file";
const BLOB_SERVICE: &str = "blob";

/// What fills the placeholder for the storage account of a cluster witness in the documents.
const WITNESS_FACT: &str = "witness-storage-account";

/// A documented endpoint that the site needs.
#[derive(Clone, Debug)]
pub(super) struct RequiredEndpoint {
    pub(super) requirement: Requirement,
    /// The one name that satisfies it, where the site file declares it; else any name of its references.
    pub(super) name: Option<RuleText>,
    /// It has a row only where a server tried it: it is needed on hardware of a vendor, and the site file declares none.
    pub(super) only_if_tried: bool,
}

impl RequiredEndpoint {
    /// Whether a conversation on this port, for this path where the request shows one, is what its references document.
    pub(super) fn fits(&self, rules: &RuleSet, protocol: u8, port: u16, path: Option<&str>) -> bool {
        self.requirement.references.iter().map(|id| rules.reference(*id)).any(|reference| {
            let has_path = match (&reference.path, path) {
                (Some(documented), Some(path)) => path.trim_start_matches('/').starts_with(&**documented),
                (None, _) | (_, None) => true,
            };
            has_path && reference.effective_ports().contains(protocol, port)
        })
    }
}

/// All endpoints that the site needs.
#[derive(Debug, Default)]
pub(in crate::judge) struct RequiredEndpoints {
    pub(super) list: Vec<RequiredEndpoint>,
    /// Endpoints by reference.
    by_rule: Vec<SmallVec<[u16; 1]>>,
    /// The slug of the site's own region.
    pub(super) own_region: Option<String>,
    /// The site has an Arc gateway, whose tunnel hides some endpoints.
    pub(super) has_gateway: bool,
    /// What a reader of the rows has to know of the documents.
    pub(in crate::judge) remark: Option<String>,
}

impl RequiredEndpoints {
    /// None where no site file names the products in use.
    pub(in crate::judge) fn new(rules: &RuleSet, site: &Site) -> RequiredEndpoints {
        let products = site.products_described();
        // A region is in one cloud, and a site that names it needs nothing of the others.
        let cloud = site.cloud.or(site.cloud_of_regions);
        let in_cloud = |reference: &Reference| {
            reference.clouds.is_empty() || cloud.is_none_or(|cloud| reference.clouds.contains(cloud))
        };
        let in_use = |reference: &Reference| {
            in_cloud(reference)
                && reference.document.products.iter().any(|product| products.contains(&&**product))
        };
        let lists = RegionalLists::new(rules, site, in_use);
        let mut list = Vec::new();
        for mut requirement in rules.required(&site.sync_setup()) {
            requirement.references.retain(|id| in_use(rules.reference(*id)));
            if !requirement.references.is_empty() && lists.require(rules, &requirement) {
                list.push(RequiredEndpoint { requirement, name: None, only_if_tried: false });
            }
        }
        let of_hardware = if site.hardware.is_none() { rules.of_undeclared_hardware() } else { Vec::new() };
        for mut requirement in of_hardware {
            requirement.references.retain(|id| in_use(rules.reference(*id)));
            if !requirement.references.is_empty() {
                list.push(RequiredEndpoint { requirement, name: None, only_if_tried: true });
            }
        }
        declared_names(rules, site, in_use, &mut list);
        declared_accounts(rules, site, in_use, &mut list);
        let mut by_rule: Vec<SmallVec<[u16; 1]>> = vec![SmallVec::new(); rules.iter().count()];
        for (place, endpoint) in (0..).zip(&list) {
            for id in &endpoint.requirement.references {
                if let Some(places) = by_rule.get_mut(id.0 as usize) {
                    places.push(place);
                }
            }
        }
        RequiredEndpoints {
            remark: lists.remark(site),
            list,
            by_rule,
            own_region: site.sync_region.as_deref().map(region_slug),
            has_gateway: site.local_names.contains_key(GATEWAY_FACT),
        }
    }

    /// The required endpoints that any of these rows belongs to.
    pub(in crate::judge) fn endpoints_of<'a>(
        &'a self,
        references: &'a [ReferenceId],
    ) -> impl Iterator<Item = u16> + 'a {
        references.iter().filter_map(|id| self.by_rule.get(id.0 as usize)).flatten().copied()
    }

    /// Whether a row belongs to a required endpoint.
    pub(in crate::judge) fn has(&self, reference: ReferenceId) -> bool {
        self.by_rule.get(reference.0 as usize).is_some_and(|places| !places.is_empty())
    }

    /// How many the site's Arc gateway carries in its tunnel.
    pub(in crate::judge) fn in_gateway(&self, rules: &RuleSet) -> usize {
        let is_carried = |endpoint: &&RequiredEndpoint| {
            endpoint.requirement.references.iter().any(|id| rules.reference(*id).arc_gateway)
        };
        if self.has_gateway { self.list.iter().filter(is_carried).count() } else { 0 }
    }

    /// How many the site needs in any case.
    pub(in crate::judge) fn len(&self) -> usize {
        self.list.iter().filter(|endpoint| !endpoint.only_if_tried).count()
    }

    /// Whether the site needs an endpoint in any case.
    pub(in crate::judge) fn is_certain(&self, place: u16) -> bool {
        self.list.get(usize::from(place)).is_some_and(|endpoint| !endpoint.only_if_tried)
    }

    /// Whether a conversation on this port, for this path where the request shows one, is what an endpoint's references
    /// document.
    pub(in crate::judge) fn fits(
        &self,
        place: u16,
        rules: &RuleSet,
        protocol: u8,
        port: u16,
        path: Option<&str>,
    ) -> bool {
        let endpoint = self.list.get(usize::from(place));
        endpoint.is_some_and(|endpoint| endpoint.fits(rules, protocol, port, path))
    }

    /// The endpoints that a name of this reference satisfies.
    pub(in crate::judge) fn satisfied_by(
        &self,
        reference: ReferenceId,
        name: &str,
    ) -> impl Iterator<Item = u16> {
        let places = self.by_rule.get(reference.0 as usize).map_or(&[][..], SmallVec::as_slice);
        places.iter().copied().filter(move |place| {
            let endpoint = self.list.get(usize::from(*place));
            endpoint.is_some_and(|endpoint| endpoint.name.as_deref().is_none_or(|own| own == name))
        })
    }
}

/// The regional lists in force: documents that hold for one region each.
struct RegionalLists {
    /// Their document ids.
    documents: Vec<RuleText>,
    /// One of them is the site's own.
    has_own: bool,
}

impl RegionalLists {
    fn new(rules: &RuleSet, site: &Site, in_use: impl Fn(&Reference) -> bool) -> RegionalLists {
        let mut documents: Vec<RuleText> = Vec::new();
        let mut has_own = false;
        for (_, reference) in rules.iter().filter(|(_, reference)| in_use(reference)) {
            let Some(region) = &reference.document.region else { continue };
            let own = site.local_region.as_deref().map(region_slug);
            has_own |= own.as_deref() == Some(&*region_slug(region));
            if documents.last() != Some(&reference.document.id) {
                documents.push(reference.document.id.clone());
            }
        }
        documents.sort_unstable();
        documents.dedup();
        RegionalLists { documents, has_own }
    }

    /// Whether the site needs an endpoint: without a list of its own region, of the regional lists only what all of them
    /// have.
    fn require(&self, rules: &RuleSet, requirement: &Requirement) -> bool {
        let of = |id: &ReferenceId| &rules.reference(*id).document;
        if self.has_own || requirement.references.iter().any(|id| of(id).region.is_none()) {
            return true;
        }
        let has = |document: &str| requirement.references.iter().any(|id| &*of(id).id == document);
        self.documents.iter().all(|document| has(document))
    }

    fn remark(&self, site: &Site) -> Option<String> {
        if self.has_own || self.documents.is_empty() {
            return None;
        }
        // A site file without a region has a warning of its own.
        let region = site.local_region.as_ref()?;
        Some(format!("no regional list of endpoints for {region}: what every regional list has is required"))
    }
}

/// Names that the site file puts in place of the documents' placeholders: each is an endpoint of its own. The names of a
/// declared Storage Sync Service with private endpoints take the place of the region's public instance.
fn declared_names(
    rules: &RuleSet,
    site: &Site,
    in_use: impl Fn(&Reference) -> bool,
    list: &mut Vec<RequiredEndpoint>,
) {
    let is_private = !site.private_endpoints.is_empty();
    let is_of_sync_service =
        |reference: &Reference| reference.placeholders.iter().any(|(_, fact)| &**fact == SYNC_SERVICE_FACT);
    // One endpoint for each name, whatever documents print it.
    let mut declared: Vec<RequiredEndpoint> = Vec::new();
    for (id, reference) in rules.iter().filter(|(_, reference)| in_use(reference)) {
        let wanted = match reference.table.kind {
            TableKind::Endpoint => true,
            TableKind::PrivateLink => is_private && is_of_sync_service(reference),
            _ => false,
        };
        if !wanted {
            continue;
        }
        for name in reference.filled.iter().filter(|pattern| pattern.is_exact()) {
            let same = |endpoint: &&mut RequiredEndpoint| endpoint.name.as_deref() == Some(&*name.text);
            if let Some(known) = declared.iter_mut().find(same) {
                known.requirement.references.push(id);
                continue;
            }
            let service = reference.row.service.as_deref().unwrap_or_default();
            declared.push(RequiredEndpoint {
                requirement: Requirement {
                    what: format!("{service}: {}", name.text),
                    level: RequirementLevel::Required,
                    role: None,
                    region: None,
                    references: vec![id],
                },
                name: Some(name.text.clone()),
                only_if_tried: false,
            });
        }
    }
    // What the declared names stand for is not required a second time by its placeholder.
    let is_declared =
        |id: &ReferenceId| declared.iter().any(|endpoint| endpoint.requirement.references.contains(id));
    for endpoint in &mut *list {
        endpoint.requirement.references.retain(|id| !is_declared(id));
    }
    let own = site.sync_region.as_deref().map(region_slug);
    let has_sync_service = declared.iter().any(|endpoint| {
        endpoint.requirement.references.iter().any(|id| is_of_sync_service(rules.reference(*id)))
    });
    list.retain(|endpoint| {
        let requirement = &endpoint.requirement;
        let is_own_instance = requirement.role == Some(RegionRole::Primary)
            && requirement.region.as_deref().map(region_slug) == own;
        let is_replaced = has_sync_service && is_own_instance;
        !requirement.references.is_empty() && !is_replaced
    });
    list.extend(declared);
}

/// Declared storage accounts: those of Azure File Sync at their file endpoint, in place of the row for all of Azure
/// Storage; those of a cluster witness at their blob endpoint.
fn declared_accounts(
    rules: &RuleSet,
    site: &Site,
    in_use: impl Fn(&Reference) -> bool,
    list: &mut Vec<RequiredEndpoint>,
) {
    let is_storage = |id: &ReferenceId| rules.reference(*id).service_kind == Some(ServiceKind::Storage);
    if !site.storage_accounts.is_empty() {
        list.retain(|endpoint| {
            endpoint.name.is_some() || !endpoint.requirement.references.iter().all(is_storage)
        });
    }
    let witnesses = site.local_names.get(WITNESS_FACT).into_iter().flatten();
    let accounts = site.storage_accounts.iter().map(|account| (account, FILE_SERVICE));
    for (account, service) in accounts.chain(witnesses.map(|account| (account, BLOB_SERVICE))) {
        let mut names: Vec<(String, Vec<ReferenceId>)> = Vec::new();
        for (id, reference) in rules.iter().filter(|(_, reference)| in_use(reference)) {
            let Some(name) = account_endpoint(account, service, reference) else { continue };
            match names.iter_mut().find(|(known, _)| *known == name) {
                Some((_, ids)) => ids.push(id),
                None => names.push((name, vec![id])),
            }
        }
        // Rows for parts of a product print further suffixes; the accounts' own is the one that most rows print.
        let Some((name, ids)) = names.into_iter().rev().max_by_key(|(_, ids)| ids.len()) else { continue };
        let same = |endpoint: &&mut RequiredEndpoint| endpoint.name.as_deref() == Some(&*name);
        match list.iter_mut().find(same) {
            Some(known) => known.requirement.references.extend(ids),
            None => list.push(RequiredEndpoint {
                requirement: Requirement {
                    what: format!("{service} endpoint of storage account {account}: {name}"),
                    level: RequirementLevel::Required,
                    role: None,
                    region: None,
                    references: ids,
                },
                name: Some(name.into()),
                only_if_tried: false,
            }),
        }
    }
}

/// The name of an account's service under the wildcard of a reference: `*.core.windows.net` is for all services,
/// `*.blob.core.windows.net` for one.
fn account_endpoint(account: &str, service: &str, reference: &Reference) -> Option<String> {
    if reference.table.kind != TableKind::Endpoint || reference.level == RequirementLevel::Legacy {
        return None;
    }
    let host = reference.host.as_ref().filter(|host| host.any_front && host.head.is_empty())?;
    let is_of_service = host.tail.strip_prefix(service).is_some_and(|rest| rest.starts_with('.'));
    if is_of_service {
        Some(format!("{account}.{}", host.tail))
    } else if reference.service_kind == Some(ServiceKind::Storage) {
        Some(format!("{account}.{service}.{}", host.tail))
    } else {
        None
    }
}

//! What the site makes of a name: asked once for each name, so that a flow only looks at the answer.
//!
//! In:  a name with the rows that it matches.
//! Out: whose region, account or endpoint it is.
//! Not: where a flow to it went.

use smallvec::SmallVec;

use crate::judge::policy::Policy;
use crate::rules::MatchKind;
use crate::rules::ReferenceMatches;
use crate::rules::TableKind;
use crate::rules::doh_port;
use crate::rules::region_slug;

/// What a name is to the site.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::judge) struct NameClass {
    /// A regional instance that the site has no business with.
    pub(in crate::judge) other_region: bool,
    /// A regional instance that no row names, only a wildcard.
    pub(in crate::judge) unlisted_region: bool,
    /// A storage account.
    pub(in crate::judge) storage: bool,
    /// A storage account, and the site says which ones are its own: not this one.
    pub(in crate::judge) other_account: bool,
    /// A storage name that asks for routing over the internet.
    pub(in crate::judge) internet_routing: bool,
    /// A name that can be reached through a private endpoint.
    pub(in crate::judge) can_be_private: bool,
    /// A name inside a private zone.
    pub(in crate::judge) in_zone: bool,
    /// A host that certificates are checked at, or fetched from.
    pub(in crate::judge) of_certificates: bool,
    /// Tags that belong to its rows, as bits of the ground.
    pub(in crate::judge) tags: u64,
    /// The name has to be in one of them.
    pub(in crate::judge) pinned: bool,
    /// Endpoints that the site needs and this name satisfies, by place.
    pub(in crate::judge) required: SmallVec<[u16; 2]>,
    /// It is a public resolver that speaks DNS over HTTPS on this port.
    pub(in crate::judge) doh_port: Option<u16>,
    /// Exceptions for it, by place; those for networks alone are not among them.
    pub(in crate::judge) allow: SmallVec<[u16; 1]>,
}

/// The label of private zones (documents: "regular names are CNAMEs for the relevant `privatelink` name").
const PRIVATE_LABEL: &str = "privatelink";

/// What marks names whose traffic leaves Microsoft's network early; Azure File Sync does not support it. Behind the
/// account's name, as Azure Storage publishes its route-specific endpoints.
const INTERNET_ROUTING: &str = "-internetrouting";

/// The readable second copy of an account has a name of its own.
const SECONDARY: &str = "-secondary";

impl NameClass {
    pub(in crate::judge) fn of(name: &str, matches: &ReferenceMatches, policy: &Policy) -> NameClass {
        let mut nature =
            NameClass { in_zone: in_private_zone(name), doh_port: doh_port(name), ..NameClass::default() };
        for hit in matches {
            nature.tags |= policy.tags_of(hit.id);
            nature.pinned |= policy.is_pinned(hit.id);
            for endpoint in policy.required.satisfied_by(hit.id, name) {
                if !nature.required.contains(&endpoint) {
                    nature.required.push(endpoint);
                }
            }
        }
        let names = policy.site.allow.iter().map(|allow| allow.name.as_ref());
        let own = (0..).zip(names).filter(|(_, own)| own.is_some_and(|own| own.matches(name)));
        nature.allow = own.map(|(place, _)| place).collect();
        nature.can_be_private = policy.private.iter().any(|suffix| front_of(name, suffix).is_some());
        nature.region(name, matches, policy);
        nature.account(name, matches, policy);
        // What is not the site's satisfies no need of it, though the row's wildcard lets it through.
        if nature.other_region || nature.other_account {
            nature.required.clear();
        }
        nature
    }

    fn region(&mut self, name: &str, matches: &ReferenceMatches, policy: &Policy) {
        let mut listed = matches
            .iter()
            .filter(|hit| policy.rules.reference(hit.id).table.kind == TableKind::Region)
            .peekable();
        let is_listed = listed.peek().is_some();
        let word = if is_listed { None } else { region_in(name, policy) };
        self.unlisted_region = word.is_some_and(|word| {
            !policy.rules.regions().iter().any(|region| region_slug(&region.name) == word)
        }) && !matches.is_empty();
        let Some(own) = &policy.own_region else { return };
        self.other_region = if is_listed {
            listed.all(|hit| !own.serves.get(hit.id.0 as usize).copied().unwrap_or_default())
        } else {
            // A region's word under the suffix of another cloud is no name of the region.
            let elsewhere = matches.iter().all(|hit| {
                let theirs = policy.rules.reference(hit.id).clouds;
                !own.clouds.is_empty() && !theirs.is_empty() && !theirs.intersects(own.clouds)
            });
            word.is_some_and(|word| {
                !own.words.iter().any(|own| own == word) || (elsewhere && !matches.is_empty())
            })
        };
    }

    fn account(&mut self, name: &str, matches: &ReferenceMatches, policy: &Policy) {
        let Some(front) = policy.storage.iter().find_map(|suffix| front_of(name, suffix)) else { return };
        // `<account>.<service>`, with a zone or the like between them. `file.<stamp>.store` is what names lead to.
        let mut labels = front.split('.');
        let (Some(account), Some(_)) = (labels.next(), labels.next()) else { return };
        let leads_to = front.rsplit('.').next() == Some("store");
        // A row of its own makes it Microsoft's, not an account of anybody.
        let is_named = matches.iter().any(|hit| {
            let rule = policy.rules.reference(hit.id);
            rule.placeholders.is_empty() && matches!(hit.kind, MatchKind::Exact | MatchKind::Glob)
        });
        if leads_to || is_named {
            return;
        }
        self.storage = true;
        self.internet_routing = account.ends_with(INTERNET_ROUTING);
        let account = plain_account(account);
        let own = &policy.site.storage_accounts;
        let witness = policy.site.local_names.get("witness-storage-account").into_iter().flatten();
        self.other_account = !own.is_empty() && !own.iter().chain(witness).any(|own| own == account);
    }
}

/// An account's name without what marks its further endpoints.
fn plain_account(label: &str) -> &str {
    let account = label.strip_suffix(INTERNET_ROUTING).unwrap_or(label);
    account.strip_suffix(SECONDARY).unwrap_or(account)
}

/// The storage account in a name.
pub(in crate::judge) fn account_in<'a>(name: &'a str, policy: &Policy) -> Option<&'a str> {
    let nature = NameClass::of(name, &policy.rules.match_host(name), policy);
    nature.storage.then(|| plain_account(name.split('.').next().unwrap_or_default()))
}

/// The region of a regional instance, as the documents print it where they list it.
pub(in crate::judge) fn region_of(name: &str, policy: &Policy) -> Option<String> {
    let listed = policy.rules.match_host(name).iter().find_map(|hit| {
        let rule = policy.rules.reference(hit.id);
        rule.region.as_deref().filter(|_| rule.table.kind == TableKind::Region)
    });
    if let Some(region) = listed {
        return Some(region.to_owned());
    }
    let word = region_in(name, policy)?;
    let known = policy.rules.regions().iter().find(|region| region_slug(&region.name) == word);
    Some(known.map_or_else(|| word.to_owned(), |region| region.name.to_string()))
}

/// True for a name with the label of private zones somewhere behind its first.
pub(in crate::judge) fn in_private_zone(name: &str) -> bool {
    name.split('.').skip(1).any(|label| label == PRIVATE_LABEL)
}

/// The region in a name that is built like those of regional instances, listed or not: `<region>01.…`,
/// `tm-<region>01.…`, and `<service>syncp.<region>.…` for a service of its own.
fn region_in<'a>(name: &'a str, policy: &Policy) -> Option<&'a str> {
    // The longest front first: `tm-` belongs to the shape and not to the region.
    let shapes = policy.shapes.iter().filter_map(|shape| {
        let front = front_of(name, &shape.suffix)?;
        let region = match front.rsplit_once('.') {
            Some((_, region)) if region != PRIVATE_LABEL => region,
            Some((before, _)) => before.rsplit_once('.')?.1,
            None => front.strip_prefix(shape.front.as_str())?.strip_suffix(shape.back.as_str())?,
        };
        let is_word = !region.is_empty() && region.bytes().all(|byte| byte.is_ascii_alphanumeric());
        is_word.then_some((shape.front.len(), region))
    });
    shapes.max_by_key(|(front, _)| *front).map(|(_, region)| region)
}

/// What stands before `suffix` and its dot.
fn front_of<'a>(name: &'a str, suffix: &str) -> Option<&'a str> {
    name.strip_suffix(suffix)?.strip_suffix('.').filter(|front| !front.is_empty())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::rules::Library;
    use crate::rules::Site;

    fn policy(site: &str) -> Policy {
        let library = Library::embedded().unwrap();
        let site = Site::read("site.toml", site, &library).unwrap();
        let rules = Arc::new(library.select(&site.selection()).unwrap());
        Policy::new(rules, site, None)
    }

    fn check(policy: &Policy, name: &str, expected: &str) {
        let nature = NameClass::of(name, &policy.rules.match_host(name), policy);
        let said = [
            (nature.other_region, "other-region"),
            (nature.unlisted_region, "unlisted"),
            (nature.storage, "storage"),
            (nature.other_account, "other-account"),
            (nature.internet_routing, "internet-routing"),
            (nature.can_be_private, "can-be-private"),
            (nature.in_zone, "in-zone"),
        ];
        let said: Vec<&str> = said.iter().filter(|(yes, _)| *yes).map(|(_, word)| *word).collect();
        assert_eq!(said.join(" "), expected, "{name}");
    }

    #[test]
    fn only_the_own_region_and_its_pair_are_right() {
        let grs = policy("[azure-file-sync]\nregion = \"West US\"\nredundancy = \"GRS\"");
        check(&grs, "westus01.afs.azure.net", "can-be-private");
        check(&grs, "kailani.one.microsoft.com", "");
        check(&grs, "tm-westus01.afs.azure.net", "can-be-private");
        check(&grs, "eastus01.afs.azure.net", "can-be-private");
        check(&grs, "westeurope01.afs.azure.net", "other-region can-be-private");
        check(&grs, "italynorth01.afs.azure.net", "other-region unlisted can-be-private");
        check(&grs, "contososyncp.westus.afs.azure.net", "can-be-private");
        check(&grs, "contososyncp.westeurope.afs.azure.net", "other-region can-be-private");
        let lrs = policy("[azure-file-sync]\nregion = \"West US\"\nredundancy = \"LRS\"");
        check(&lrs, "westus01.afs.azure.net", "can-be-private");
        check(&lrs, "eastus01.afs.azure.net", "other-region can-be-private");
        check(&lrs, "login.microsoftonline.com", "");
        check(&policy(""), "westeurope01.afs.azure.net", "can-be-private");
        check(&policy(""), "italynorth01.afs.azure.net", "unlisted can-be-private");
        let italy = policy("[azure-file-sync]\nregion = \"Italy North\"");
        check(&italy, "italynorth01.afs.azure.net", "unlisted can-be-private");
        check(&italy, "westus01.afs.azure.net", "other-region can-be-private");
    }

    #[test]
    fn accounts_are_told_apart() {
        let site = policy(
            "[site]\nproducts = [\"azure-file-sync\"]\n[azure-file-sync]\nstorage-accounts = [\"contosofiles\"]",
        );
        check(&site, "contosofiles.file.core.windows.net", "storage can-be-private");
        check(&site, "contosofiles-secondary.file.core.windows.net", "storage can-be-private");
        check(&site, "contosofiles.privatelink.file.core.windows.net", "storage can-be-private in-zone");
        check(&site, "stranger.blob.core.windows.net", "storage other-account can-be-private");
        check(
            &site,
            "contosofiles-internetrouting.file.core.windows.net",
            "storage internet-routing can-be-private",
        );
        check(&site, "file.sn4prdstr01a.store.core.windows.net", "can-be-private");
        check(&policy(""), "stranger.file.core.windows.net", "storage can-be-private");
    }
}

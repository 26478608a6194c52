//! What a name is to the site. Worked out once for each name, so that a flow only reads the result.
//!
//! In:  a name with the rows that match it.
//! Out: whose region, account or endpoint it is.
//! Not: where a flow with that name went.

use std::sync::LazyLock;

use memchr::memmem::Finder;
use smallvec::SmallVec;

use super::Policy;
use crate::rules::MatchKind;
use crate::rules::ReferenceMatches;
use crate::rules::TableKind;
use crate::rules::doh_port;
use crate::rules::region_slug;

/// What a name is to the site.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::judge) struct NameClass {
    /// A regional instance that the site does not use.
    pub(in crate::judge) other_region: bool,
    /// A regional instance that no row lists; only a wildcard matches.
    pub(in crate::judge) unlisted_region: bool,
    /// A storage account.
    pub(in crate::judge) storage: bool,
    /// A storage account that is not among those that the site file lists.
    pub(in crate::judge) other_account: bool,
    /// A row of the site's products has all accounts of its storage service: Microsoft's, which it does not name, are among them.
    pub(in crate::judge) has_microsofts_accounts: bool,
    /// A storage name that selects routing over the internet.
    pub(in crate::judge) internet_routing: bool,
    /// A name that can have a private endpoint.
    pub(in crate::judge) can_be_private: bool,
    /// It is the name that all services of a region share.
    pub(in crate::judge) is_regional: bool,
    /// A name in a private zone.
    pub(in crate::judge) in_private_zone: bool,
    /// Tags that belong to its rows, as bits in the order of the policy.
    pub(in crate::judge) tags: u64,
    /// Its address must be in one of them.
    pub(in crate::judge) pinned_to_tags: bool,
    /// The file endpoint of a storage account.
    pub(in crate::judge) file_endpoint: bool,
    /// A row of the site's products wants public addresses for it.
    pub(in crate::judge) must_be_public: bool,
    /// A row prints this very name.
    pub(in crate::judge) is_exact: bool,
    /// The lists of certificate issuers are about it.
    pub(in crate::judge) has_listed_issuer: bool,
    /// Required endpoints that this name satisfies, by index.
    pub(in crate::judge) required: SmallVec<[u16; 2]>,
    /// It is a public resolver with DNS over HTTPS on this port.
    pub(in crate::judge) doh_port: Option<u16>,
    /// Exceptions of the site for this name, by index; exceptions for networks alone are not among them.
    pub(in crate::judge) exceptions: SmallVec<[u16; 1]>,
}

/// The label of private zones (documents: "regular names are CNAMEs for the relevant `privatelink` name").
const PRIVATE_LABEL: &str = "privatelink";

/// Finds it after another label. Each name that a run learns is searched.
static PRIVATE_LABEL_WITHIN: LazyLock<Finder<'_>> = LazyLock::new(|| Finder::new(".privatelink"));

/// Marks names whose traffic leaves Microsoft's network early; Azure File Sync does not support it. It follows the account's
/// name, as Azure Storage publishes its route-specific endpoints.
const INTERNET_ROUTING: &str = "-internetrouting";

/// Marks names that are routed over Microsoft's network, which is the default.
const MICROSOFT_ROUTING: &str = "-microsoftrouting";

/// The services of a storage account, as labels of its endpoints (storage-account-overview.md, "Standard endpoints").
const STORAGE_SERVICES: &[&str] = &["blob", "dfs", "file", "queue", "table", "web"];

/// The one that Azure File Sync uses.
const FILE_SERVICE: &str = "file";

/// The readable secondary of an account has a name of its own.
const SECONDARY: &str = "-secondary";

impl NameClass {
    /// Whether it has a property that the site file is about.
    #[inline]
    pub(in crate::judge) const fn concerns_site(&self) -> bool {
        self.other_region
            | self.unlisted_region
            | self.storage
            | self.other_account
            | self.internet_routing
            | self.can_be_private
            | self.file_endpoint
            | self.must_be_public
    }

    /// Whether the site file says that it is somebody else's: an account or region that the site does not use. Microsoft's own accounts,
    /// which the site's products need, may be among the accounts.
    #[inline]
    pub(in crate::judge) const fn is_not_of_site(&self) -> bool {
        self.other_region | (self.other_account & !self.has_microsofts_accounts)
    }

    pub(super) fn of(name: &str, matches: &ReferenceMatches, policy: &Policy) -> NameClass {
        let mut class = NameClass {
            in_private_zone: in_private_zone(name),
            doh_port: doh_port(name),
            must_be_public: policy.must_be_public(name),
            has_listed_issuer: !matches.is_empty() && policy.rules.lists_issuers_of(name),
            can_be_private: policy
                .private_suffixes
                .iter()
                .any(|suffix| labels_before(name, suffix).is_some()),
            is_regional: policy
                .regional_shapes
                .iter()
                .any(|shape| labels_before(name, &shape.suffix).is_some_and(|front| !front.contains('.'))),
            ..NameClass::default()
        };
        for hit in matches {
            class.tags |= policy.tags_of(hit.id);
            class.pinned_to_tags |= policy.is_pinned(hit.id);
            class.is_exact |= hit.kind == MatchKind::Exact;
            for endpoint in policy.required.satisfied_by(hit.id, name) {
                if !class.required.contains(&endpoint) {
                    class.required.push(endpoint);
                }
            }
        }
        let names = policy.site.allow.iter().map(|allow| allow.name.as_ref());
        let matching = (0..).zip(names).filter(|(_, own)| own.is_some_and(|own| own.matches(name)));
        class.exceptions = matching.map(|(index, _)| index).collect();
        class.classify_region(name, matches, policy);
        class.classify_account(name, matches, policy);
        // A name that is not the site's is none of its endpoints, though the row's wildcard matches.
        if class.other_region || class.other_account {
            class.required.clear();
        }
        class
    }

    fn classify_region(&mut self, name: &str, matches: &ReferenceMatches, policy: &Policy) {
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
            // A region's word under the suffix of another cloud is not a name of the region.
            let in_other_cloud = matches.iter().all(|hit| {
                let clouds = policy.rules.reference(hit.id).clouds;
                !own.clouds.is_empty() && !clouds.is_empty() && !clouds.intersects(own.clouds)
            });
            word.is_some_and(|word| {
                !own.words.iter().any(|own| own == word) || (in_other_cloud && !matches.is_empty())
            })
        };
    }

    fn classify_account(&mut self, name: &str, matches: &ReferenceMatches, policy: &Policy) {
        let with_suffix = |suffix| labels_before(name, suffix).map(|front| (front, suffix));
        let found = policy.storage_suffixes.iter().find_map(|suffix| with_suffix(suffix));
        let Some((front, suffix)) = found else { return };
        // `<account>.<service>`, with a zone or the like between them.
        let mut labels = front.split('.');
        let (Some(account), Some(_)) = (labels.next(), labels.next()) else { return };
        // `file.<stamp>.store` is the canonical name that account names are aliases of, and `ingest.monitor` is Azure Monitor.
        let is_canonical =
            !front.rsplit('.').next().is_some_and(|service| STORAGE_SERVICES.contains(&service));
        // A name with a row of its own is Microsoft's, not a customer's account.
        let is_microsofts = matches.iter().any(|hit| {
            let rule = policy.rules.reference(hit.id);
            rule.placeholders.is_empty() && matches!(hit.kind, MatchKind::Exact | MatchKind::Glob)
        });
        if is_canonical || is_microsofts {
            return;
        }
        self.storage = true;
        let suffix_labels = suffix.split('.').count();
        // What Windows Server itself uses is no reason to let all accounts pass.
        self.has_microsofts_accounts = matches.iter().any(|hit| {
            let has_all =
                matches!(hit.kind, MatchKind::Wildcard(labels) if usize::from(labels) > suffix_labels);
            has_all && !policy.rules.reference(hit.id).document.background
        });
        self.file_endpoint = front.rsplit('.').next() == Some(FILE_SERVICE);
        self.internet_routing = account.ends_with(INTERNET_ROUTING);
        let account = account_of_label(account);
        let own = &policy.site.storage_accounts;
        let witness = policy.site.local_names.get("witness-storage-account").into_iter().flatten();
        self.other_account = !own.is_empty() && !own.iter().chain(witness).any(|own| own == account);
    }
}

/// An account's name without the marks of its further endpoints.
fn account_of_label(label: &str) -> &str {
    let routing = [INTERNET_ROUTING, MICROSOFT_ROUTING];
    let account = routing.iter().find_map(|mark| label.strip_suffix(mark)).unwrap_or(label);
    account.strip_suffix(SECONDARY).unwrap_or(account)
}

/// The storage account in a name.
pub(super) fn account_in<'a>(name: &'a str, policy: &Policy) -> Option<&'a str> {
    let class = NameClass::of(name, &policy.rules.match_host(name), policy);
    class.storage.then(|| account_of_label(name.split('.').next().unwrap_or_default()))
}

/// The region of a regional instance, as the documents print it where they list it.
pub(super) fn region_of(name: &str, policy: &Policy) -> Option<String> {
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

/// True for a name with the label of private zones anywhere after its first label.
pub(in crate::judge) fn in_private_zone(name: &str) -> bool {
    let mut found = PRIVATE_LABEL_WITHIN.find_iter(name.as_bytes());
    found.any(|at| {
        name.get(at + 1 + PRIVATE_LABEL.len()..).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    })
}

/// The region in a name that is built like those of regional instances, listed or not: `<region>01.…`,
/// `tm-<region>01.…`, and `<service>syncp.<region>.…` for a sync service of its own.
fn region_in<'a>(name: &'a str, policy: &Policy) -> Option<&'a str> {
    // The longest prefix first: `tm-` belongs to the shape and not to the region.
    let regions = policy.regional_shapes.iter().filter_map(|shape| {
        let front = labels_before(name, &shape.suffix)?;
        let region = match front.rsplit_once('.') {
            Some((_, region)) if region != PRIVATE_LABEL => region,
            Some((before, _)) => before.rsplit_once('.')?.1,
            None => front.strip_prefix(shape.front.as_str())?.strip_suffix(shape.back.as_str())?,
        };
        let is_word = !region.is_empty() && region.bytes().all(|byte| byte.is_ascii_alphanumeric());
        is_word.then_some((shape.front.len(), region))
    });
    regions.max_by_key(|(front_len, _)| *front_len).map(|(_, region)| region)
}

/// The labels before `suffix`.
fn labels_before<'a>(name: &'a str, suffix: &str) -> Option<&'a str> {
    name.strip_suffix(suffix)?.strip_suffix('.').filter(|front| !front.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(policy: &Policy, name: &str, expected: &str) {
        let class = NameClass::of(name, &policy.rules.match_host(name), policy);
        let flags = [
            (class.other_region, "other-region"),
            (class.unlisted_region, "unlisted"),
            (class.storage, "storage"),
            (class.other_account, "other-account"),
            (class.internet_routing, "internet-routing"),
            (class.can_be_private, "can-be-private"),
            (class.in_private_zone, "in-zone"),
        ];
        let words: Vec<&str> = flags.iter().filter(|(yes, _)| *yes).map(|(_, word)| *word).collect();
        assert_eq!(words.join(" "), expected, "{name}");
    }

    #[test]
    fn the_own_region_and_its_pair_are_not_other_regions() {
        let grs = Policy::for_tests("[azure-file-sync]\nregion = \"West US\"\nredundancy = \"GRS\"");
        check(&grs, "westus01.afs.azure.net", "can-be-private");
        check(&grs, "kailani.one.microsoft.com", "");
        check(&grs, "tm-westus01.afs.azure.net", "can-be-private");
        check(&grs, "eastus01.afs.azure.net", "can-be-private");
        check(&grs, "westeurope01.afs.azure.net", "other-region can-be-private");
        check(&grs, "italynorth01.afs.azure.net", "other-region unlisted can-be-private");
        check(&grs, "contososyncp.westus.afs.azure.net", "can-be-private");
        check(&grs, "contososyncp.westeurope.afs.azure.net", "other-region can-be-private");
        let lrs = Policy::for_tests("[azure-file-sync]\nregion = \"West US\"\nredundancy = \"LRS\"");
        check(&lrs, "westus01.afs.azure.net", "can-be-private");
        check(&lrs, "eastus01.afs.azure.net", "other-region can-be-private");
        check(&lrs, "login.microsoftonline.com", "");
        check(&Policy::for_tests(""), "westeurope01.afs.azure.net", "can-be-private");
        check(&Policy::for_tests(""), "italynorth01.afs.azure.net", "unlisted can-be-private");
        let italy = Policy::for_tests("[azure-file-sync]\nregion = \"Italy North\"");
        check(&italy, "italynorth01.afs.azure.net", "unlisted can-be-private");
        check(&italy, "westus01.afs.azure.net", "other-region can-be-private");
    }

    #[test]
    fn a_row_with_all_accounts_of_a_service_has_those_of_microsoft() {
        let site = Policy::for_tests(
            "[site]\nproducts = [\"azure-file-sync\", \"azure-stack-hci\"]\n[azure-file-sync]\nstorage-accounts = [\"contosofiles\"]",
        );
        let has =
            |name: &str| NameClass::of(name, &site.rules.match_host(name), &site).has_microsofts_accounts;
        assert!(has("oaasguestconfigwcuss1.blob.core.windows.net"));
        assert!(!has("stranger.file.core.windows.net"));
        assert!(!has("stranger.queue.core.windows.net"));
    }

    #[test]
    fn own_and_other_storage_accounts() {
        let site = Policy::for_tests(
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
        check(&site, "contosofiles-microsoftrouting.file.core.windows.net", "storage can-be-private");
        check(&site, "x.ingest.monitor.core.windows.net", "can-be-private");
        check(&site, "file.sn4prdstr01a.store.core.windows.net", "can-be-private");
        check(&Policy::for_tests(""), "stranger.file.core.windows.net", "storage can-be-private");
    }
}

//! The rules as a whole: misprints in the documents, selection, requirements, and printed texts.

use crate::base::proto;

use super::*;

pub(super) const FIRST: &str = "azure-file-sync@2019-06-24";

/// The documents inside the program, parsed once for all tests.
pub(super) fn library() -> &'static Library {
    static LIBRARY: std::sync::OnceLock<Library> = std::sync::OnceLock::new();
    LIBRARY.get_or_init(|| Library::embedded().unwrap())
}

pub(super) fn rules_of(documents: &[&str]) -> RuleSet {
    let documents = documents.iter().map(|id| id.to_string()).collect();
    library().clone().select(&Selection { documents: Some(documents), ..Selection::default() }).unwrap()
}

fn ids(rules: &RuleSet, name: &str) -> Vec<String> {
    rules.match_host(name).iter().map(|found| rules.reference(found.id).id.to_string()).collect()
}

/// Checks which references of `document` match `name`, most specific first; `~` marks a match of the alias.
fn check(document: &str, name: &str, expected: &[&str]) {
    let rules = rules_of(&[document]);
    let mark = |found: &ReferenceMatch| if found.is_alias { "~" } else { "" };
    let found: Vec<String> = rules
        .match_host(name)
        .iter()
        .map(|found| format!("{}{}", mark(found), rules.reference(found.id).id))
        .collect();
    assert_eq!(found, expected, "{name} in {document}");
}

#[test]
fn the_files_inside_the_program_have_no_error() {
    let errors = Library::errors(&Path::new(env!("CARGO_MANIFEST_DIR")).join("rules")).unwrap();
    assert!(errors.is_empty(), "{}", errors.iter().map(|p| p.to_string() + "\n").collect::<String>());
    let mut out = Vec::new();
    assert_eq!(super::check(None, &mut out).unwrap(), 0);
    let text = String::from_utf8(out).unwrap();
    assert!(text.starts_with("built-in rules: ") && text.ends_with(" references, no error\n"), "{text}");
}

#[test]
fn every_row_of_the_folder_is_inside_the_program() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("rules");
    let folder = Library::from_dir(&folder).unwrap();
    let embedded = library();
    let digests = |library: &Library| {
        library.documents().map(|d| (d.id.clone(), d.sha256.clone(), d.file.clone())).collect::<Vec<_>>()
    };
    assert_eq!(digests(&folder), digests(embedded));
    for document in folder.documents() {
        assert_eq!(folder.references_of(&document.id), embedded.references_of(&document.id));
    }
    for document in embedded.documents() {
        assert_eq!(*document.file, format!("{}.toml", document.id));
    }
}

#[test]
fn the_2019_document_matches_its_names() {
    let selection = Selection { documents: Some(vec![FIRST.to_owned()]), ..Selection::default() };
    assert_eq!(
        RuleSet::embedded(&selection).unwrap().documents().len(),
        8,
        "with one that it includes and six that always apply"
    );
    check(
        FIRST,
        "Kailani.ONE.Microsoft.com.",
        &["afs-2019-06-24/regions/24.1", "afs-2019-06-24/endpoints/5.1"],
    );
    check(FIRST, "westus201.afs.azure.net", &["afs-2019-06-24/regions/25.1"]);
    check(FIRST, "x.usgovarizona01.afs.azure.us", &["afs-2019-06-24/endpoints/5.2"]);
    check(FIRST, "share.file.core.windows.net", &["afs-2019-06-24/endpoints/4.1"]);
    check(FIRST, "core.windows.net", &[]);
    check(FIRST, "koreasouth01.afs.azure.net", &["afs-2019-06-24/regions/14.1"]);
    // A URL printed for both clouds is one reference.
    check(FIRST, "graph.windows.net", &["afs-2019-06-24/endpoints/3.1"]);
    let rules = rules_of(&[FIRST]);
    let graph = rules.reference(rules.match_host("graph.windows.net")[0].id);
    assert_eq!(
        (graph.clouds.to_string().as_str(), graph.level),
        ("public;us-government", RequirementLevel::InstallTime)
    );
}

#[test]
fn the_discovery_name_of_canada_east_has_an_alias() {
    check(
        FIRST,
        "tm-kailani.cae.one.microsoft.com",
        &["afs-2019-06-24/regions/5.2", "afs-2019-06-24/endpoints/5.1"],
    );
    check(
        FIRST,
        "tm-kailani-cae.one.microsoft.com",
        &["~afs-2019-06-24/regions/5.2", "afs-2019-06-24/endpoints/5.1"],
    );
    check(
        "azure-file-sync@2024-05-13",
        "tm-kailani-cae.one.microsoft.com",
        &["~afs-2024-05-13/regions/5.4", "afs-2024-05-13/endpoints/6.1"],
    );
}

#[test]
fn swapped_discovery_names_have_aliases() {
    let newest = "azure-file-sync@2024-05-13";
    let broad = "afs-2024-05-13/endpoints/6.1";
    check(
        newest,
        "tm-kailani1.one.microsoft.com",
        &["afs-2024-05-13/regions/9.4", "afs-2024-05-13/regions/30.4", broad],
    );
    check(newest, "tm-kailani.one.microsoft.com", &["~afs-2024-05-13/regions/30.4", broad]);
    check(
        newest,
        "tm-germanynorth01.afs.azure.net",
        &["afs-2024-05-13/regions/12.2", "~afs-2024-05-13/regions/11.2", "afs-2024-05-13/endpoints/6.2"],
    );
}

#[test]
fn swiss_rows_get_the_right_roles() {
    let rules = rules_of(&["azure-file-sync@2024-05-13"]);
    let region = rules.regions().iter().find(|region| &*region.name == "Switzerland West").unwrap();
    let urls = |ids: &[ReferenceId]| ids.iter().map(|id| rules.reference(*id).subject()).collect::<Vec<_>>();
    assert_eq!(urls(&region.primary), ["https://switzerlandwest01.afs.azure.net"]);
    assert_eq!(urls(&region.discovery), ["https://tm-switzerlandwest01.afs.azure.net"]);
    assert_eq!(region.pair.as_deref(), Some("Switzerland North"));
}

#[test]
fn an_unlisted_region_matches_the_wildcard() {
    let rules = rules_of(&["azure-file-sync@2024-05-13"]);
    let found = rules.match_host("italynorth01.afs.azure.net");
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].kind, MatchKind::Wildcard(3));
    assert!(!rules.reference(found[0].id).broad);
    assert!(rules.reference(rules.match_host("other.one.microsoft.com")[0].id).broad);
}

#[test]
fn http_is_port_80_and_the_printed_443_stays_documented() {
    let check = |document: &str, id: &str, printed: &str, port: u16, expected: PortMatch| {
        let rules = rules_of(&[document]);
        let reference = rules.reference(rules.find(id).unwrap());
        assert_eq!(
            (reference.ports.to_string().as_str(), reference.allows(proto::TCP, port)),
            (printed, expected),
            "{id}:{port}"
        );
    };
    check(FIRST, "afs-2019-06-24/endpoints/6.2", "80/tcp", 80, PortMatch::Documented);
    check(FIRST, "afs-2019-06-24/endpoints/6.2", "80/tcp", 443, PortMatch::Not);
    check(FIRST, "afs-2019-06-24/endpoints/6.1", "443/tcp", 443, PortMatch::Https);
    check(FIRST, "afs-2019-06-24/regions/1.2", "443/tcp", 443, PortMatch::Https);
    let update = "azure-file-sync@2024-05-13";
    check(update, "afs-2024-05-13/endpoints/8.1", "80/tcp, 443/tcp", 80, PortMatch::Documented);
    let hci = "azure-stack-hci@2022-04-28";
    check(hci, "hci-2022-04-28/recommended/12.1", "443/tcp", 80, PortMatch::Corrected);
    check(hci, "hci-2022-04-28/recommended/12.1", "443/tcp", 443, PortMatch::Https);
    check(hci, "hci-2022-04-28/microsoft-update/2.1", "80/tcp", 80, PortMatch::Documented);
    let later = "azure-stack-hci@2022-04-27-recommended-later";
    check(later, "hci-recommended-later/recommended/10.1", "80/tcp, 443/tcp", 80, PortMatch::Documented);
    let east = "azure-stack-hci@2026-07-14-eastus";
    check(east, "azure-local-eastus-2026-07-14/endpoints/71.1", "8084/tcp", 8084, PortMatch::Documented);
    let rules = rules_of(&[east]);
    let time = rules.reference(rules.match_host("time.windows.com")[0].id);
    assert_eq!(time.allows(proto::UDP, 123), PortMatch::Documented);
    assert_eq!(time.allows(proto::TCP, 123), PortMatch::Not);
}

#[test]
fn a_thousands_separator_is_not_two_ports() {
    let rules = rules_of(&["azure-stack-hci@2021-12-14"]);
    let found: Vec<&str> = rules.without_host(proto::TCP, 9418).map(|id| &*rules.reference(id).id).collect();
    assert_eq!(found, ["hci-2021-12-14/recommended/27.1"]);
    assert_eq!(rules.without_host(proto::TCP, 418).count(), 0);
}

#[test]
fn a_misspelt_host_and_its_alias_both_match() {
    let hci = "azure-stack-hci@2022-04-27-required";
    check(hci, "dp.azurestackchi.azure.us", &["hci-required-2022-04-27/required/4.2"]);
    check(hci, "dp.azurestackhci.azure.us", &["~hci-required-2022-04-27/required/4.2"]);
    let east = "azure-stack-hci@2026-07-14-usgovvirginia";
    check(east, "dp.azurestackhci.azure.us", &["azure-local-usgovvirginia-2026-07-14/endpoints/54.1"]);
}

#[test]
fn placeholders_match_the_sites_value_or_any_label() {
    let select = |values: &[(&str, &str)]| {
        let values = values.iter().map(|(fact, value)| (fact.to_string(), vec![value.to_string()])).collect();
        let documents = Some(vec![
            "azure-stack-hci@2026-07-14-eastus".to_owned(),
            "azure-file-sync@2024-11-06-networking".to_owned(),
            "azure-arc@2026-04-01".to_owned(),
        ]);
        library().clone().select(&Selection { documents, values, ..Selection::default() }).unwrap()
    };
    let hows = |rules: &RuleSet, name: &str| {
        rules.match_host(name).iter().map(|found| found.kind).collect::<Vec<_>>()
    };
    let open = select(&[]);
    assert_eq!(hows(&open, "abc.gw.arc.azure.com"), [MatchKind::Placeholder]);
    assert_eq!(hows(&open, "a.bc.gw.arc.azure.com"), []);
    assert_eq!(hows(&open, "any.eastus.arcdataservices.com"), [MatchKind::Placeholder]);
    assert_eq!(hows(&open, "contososyncp.westeurope.afs.azure.net"), [MatchKind::Placeholder]);
    assert_eq!(hows(&open, "azgn1.servicebus.windows.net")[0], MatchKind::Glob);
    let ours = select(&[
        ("arc-gateway", "abc"),
        ("sync-service", "Contoso"),
        ("region", "West Europe"),
        ("key-vault", "vault1"),
    ]);
    assert_eq!(hows(&ours, "abc.gw.arc.azure.com"), [MatchKind::Exact]);
    assert_eq!(hows(&ours, "other.gw.arc.azure.com"), []);
    assert_eq!(hows(&ours, "contososyncp.westeurope.afs.azure.net"), [MatchKind::Exact]);
    assert_eq!(hows(&ours, "x.westeurope.arcdataservices.com"), [MatchKind::Wildcard(3)]);
    assert_eq!(hows(&ours, "vault1.vault.azure.net"), [MatchKind::Exact, MatchKind::Exact]);
}

#[test]
fn internal_ports_depend_on_both_roles() {
    let rules = rules_of(&["azure-stack-hci@2025-01-08"]);
    let check = |source: &str, destination: &str, protocol: u8, port: u16, expected: &[&str]| {
        let found = rules.ports(source, destination, protocol, port);
        let found: Vec<String> = found.iter().map(|id| rules.reference(*id).place()).collect();
        assert_eq!(found, expected, "{source} -> {destination} {protocol}/{port}");
    };
    check("management-system", "cluster-servers", proto::UDP, 3343, &["failover-clustering/5"]);
    check("management-system", "cluster-servers", proto::UDP, 137, &["failover-clustering/4"]);
    check("management-system", "cluster-servers", proto::TCP, 137, &[]);
    check("management-system", "hyper-v-servers", proto::TCP, 6600, &["hyper-v/5", "hyper-v/7"]);
    check("management-system", "hyper-v-servers", proto::TCP, 49700, &["hyper-v/7"]);
    check("management-system", "hyper-v-servers", proto::TCP, 5000, &[]);
    check("cluster-servers", "cluster-servers", proto::TCP, 30301, &["management/1"]);
    check("cluster-servers", "cluster-servers", proto::TCP, 5445, &["between-servers/3"]);
    check("management-system", "cluster-servers", proto::ICMP, 0, &["failover-clustering/7"]);
    check("servers", "time-servers", proto::UDP, 123, &["time/1"]);
    // The editions of 2021 and 2022 print the port of the Cluster Administrator as TCP.
    let seed = rules_of(&["azure-stack-hci@2022-04-28"]);
    assert_eq!(seed.ports("management-system", "cluster-servers", proto::TCP, 137).len(), 1);
}

#[test]
fn the_default_is_every_document_that_is_not_superseded() {
    /// Documents that apply to every product.
    const CA: [&str; 2] = ["ca-2025-12-02", "ca-2025-11-17"];
    const WINDOWS: [&str; 4] = [
        "defender-2025-10-16",
        "windows-activation-2025-07-25",
        "defender-antivirus-2024-10-08",
        "windows-11-endpoints-2023-10-06",
    ];
    let shorts = |selection: &Selection| {
        let rules = library().clone().select(selection).unwrap();
        rules.documents().iter().map(|document| document.short.to_string()).collect::<Vec<_>>()
    };
    let all = shorts(&Selection::default());
    for there in
        ["afs-2024-05-13", "azure-local-2025-01-08", "azure-local-eastus-2026-07-14", "arc-2026-04-01"]
    {
        assert!(all.contains(&there.to_owned()), "{there} in {all:?}");
    }
    for gone in ["hci-2021-12-14", "hci-2022-04-28", "hci-recommended-2022-04-27"] {
        assert!(!all.contains(&gone.to_owned()), "{gone} in {all:?}");
    }
    let sync = Selection { products: Some(vec!["azure-file-sync".to_owned()]), ..Selection::default() };
    assert_eq!(
        shorts(&sync),
        [
            CA[0],
            CA[1],
            "afs-endpoints-2026-07-24",
            "afs-sync-errors-2025-08-25",
            "afs-installation-2025-07-14",
            "afs-2025-01-23-sync-groups",
            "afs-networking-2024-11-06",
            "afs-dns-2024-09-09",
            "afs-2024-05-13",
            "afs-2019-06-24",
            "hybrid-file-services",
            WINDOWS[0],
            WINDOWS[1],
            WINDOWS[2],
            WINDOWS[3],
        ]
    );
    let local = Selection {
        products: Some(vec!["azure-stack-hci".to_owned()]),
        local_region: Some("eastus".to_owned()),
        hardware: Some("dell".to_owned()),
        ..Selection::default()
    };
    assert_eq!(
        shorts(&local),
        [
            CA[0],
            CA[1],
            "arc-2026-04-01",
            "arc-resource-bridge-2026-08-10",
            "azure-local-eastus-2026-07-14",
            "azure-local-private-2026-03-09",
            "azure-local-mocstack-2026-01-31",
            "azure-local-dell-2025-10-22",
            "azure-local-aks-2025-07-17",
            "azure-local-crl-2025-03-05",
            "azure-local-2025-01-08",
            "hci-required-2024-06-25",
            "hci-recommended-later",
            "hci-required-2022-04-27",
            WINDOWS[0],
            WINDOWS[1],
            WINDOWS[2],
            WINDOWS[3],
        ]
    );
    let error = |documents: &[&str]| {
        let documents = Some(documents.iter().map(|id| id.to_string()).collect());
        library().clone().select(&Selection { documents, ..Selection::default() }).unwrap_err().to_string()
    };
    assert_eq!(
        error(&["azure-file-sync@2019-06-25"]),
        "cannot select rules: unknown document `azure-file-sync@2019-06-25`, did you mean `azure-file-sync@2019-06-24`?"
    );
    // A document comes with the tables that it includes.
    assert_eq!(rules_of(&["azure-stack-hci@2022-04-28"]).documents().len(), 9, "six more always apply");
}

#[test]
fn documents_that_a_newer_one_keeps_are_legacy() {
    let rules = library().clone().select(&Selection::default()).unwrap();
    let needs = |name: &str, short: &str| {
        let found = rules.match_host(name).into_iter().map(|found| rules.reference(found.id));
        found
            .filter(|reference| &*reference.document.short == short)
            .map(|reference| reference.level)
            .collect::<Vec<_>>()
    };
    assert_eq!(needs("graph.windows.net", "afs-2019-06-24"), [RequirementLevel::Legacy]);
    assert_eq!(
        needs("tlu.dl.delivery.mp.microsoft.com", "hci-required-2024-06-25"),
        [RequirementLevel::Legacy]
    );
    assert_eq!(
        needs("kailani6.one.microsoft.com", "afs-2024-05-13"),
        [RequirementLevel::Required, RequirementLevel::Required]
    );
    assert!(rules.statements("port").all(|(_, reference)| &*reference.document.short != "afs-2019-06-24"));
    assert!(rules.required(&SyncSetup::default()).iter().all(|need| need.level != RequirementLevel::Legacy));
}

#[test]
fn each_edition_has_its_own_names_for_china() {
    let seed = "azure-stack-hci@2021-12-14";
    check(seed, "login.partner.microsoftonline.cn", &["hci-2021-12-14/daily/1.4"]);
    check(seed, "login.chinacloudapi.cn", &[]);
    check(
        "azure-stack-hci@2022-04-27-required",
        "login.chinacloudapi.cn",
        &["hci-required-2022-04-27/required/1.3"],
    );
    check("azure-arc@2026-04-01", "login.partner.chinacloudapi.cn", &["arc-2026-04-01/china/4.1"]);
}

#[test]
fn rows_that_are_not_in_force_say_why() {
    let check = |selection: Selection, name: &str, expected: Option<(&str, NotInForce)>| {
        let rules = library().clone().select(&selection).unwrap();
        let id = rules.documented_elsewhere(name);
        let reason = id.and_then(|id| rules.elsewhere(id)).map(|(_, reason)| reason);
        assert_eq!(reason, expected.map(|(_, reason)| reason), "{name}");
        if let (Some(id), Some((row, _))) = (id, expected) {
            assert!(rules.rows_elsewhere(name, id).any(|found| &*found.id == row), "{name}: no {row}");
        }
    };
    let sync = || Selection { products: Some(vec!["azure-file-sync".to_owned()]), ..Selection::default() };
    let government = || Selection { cloud: Some(Cloud::UsGovernment), ..sync() };
    let public = Some(("afs-2024-05-13/endpoints/1.1", NotInForce::OtherCloud));
    check(government(), "management.azure.com", public);
    check(government(), "files.example", None);
    check(sync(), "files.example", None);
    let local = || Selection { products: Some(vec!["azure-stack-hci".to_owned()]), ..Selection::default() };
    let carried = Some(("arc-gateway-2026-02-17/endpoints/125.1", NotInForce::ValueNotSet));
    check(local(), "psg-prod-eastus.azureedge.net", carried);
    let rules = library().clone().select(&sync()).unwrap();
    let id = rules.documented_elsewhere("dp.stackhci.azure.com").unwrap();
    assert_eq!(rules.elsewhere(id).map(|(_, reason)| reason), Some(NotInForce::OtherProduct));
}

#[test]
fn selecting_a_cloud_excludes_rows_of_other_clouds() {
    let china = Selection { cloud: Some(Cloud::China), ..Selection::default() };
    let rules = library().clone().select(&china).unwrap();
    assert_eq!(
        ids(&rules, "chinaeast201.afs.azure.cn"),
        ["afs-2024-05-13/regions-china/1.1", "afs-2024-05-13/endpoints/6.2 (derived)"]
    );
    assert_eq!(
        ids(&rules, "contosofs.file.core.chinacloudapi.cn"),
        ["afs-2024-05-13/endpoints/5.1 (derived)"],
        "the table has no column for China"
    );
    assert_eq!(ids(&rules, "dp.stackhci.azure.cn"), ["hci-required-2022-04-27/required/4.3"]);
    assert_eq!(ids(&rules, "westus01.afs.azure.net"), Vec::<String>::new());
    assert!(rules.statements("outbound-only").count() > 0, "statements apply to every cloud");
}

#[test]
fn a_host_in_several_documents_matches_in_each() {
    let rules = library().clone().select(&Selection::default()).unwrap();
    let products: std::collections::BTreeSet<&str> = rules
        .match_host("management.azure.com")
        .iter()
        .flat_map(|found| rules.reference(found.id).document.products.iter().map(|product| &**product))
        .collect();
    assert_eq!(
        products.into_iter().collect::<Vec<_>>(),
        [
            "azure-arc",
            "azure-arc-kubernetes",
            "azure-arc-resource-bridge",
            "azure-file-sync",
            "azure-stack-hci"
        ]
    );
}

#[test]
fn redundancy_decides_which_instances_are_required() {
    let needs = |documents: &[&str], region: &str, redundancy: Redundancy| {
        let rules = rules_of(documents);
        let site = SyncSetup { region: Some(region.to_owned()), redundancy: Some(redundancy) };
        let regional = rules.required(&site).into_iter().filter(|need| need.role.is_some());
        regional
            .map(|need| {
                need.references
                    .iter()
                    .map(|id| rules.reference(*id).subject())
                    .collect::<Vec<_>>()
                    .join(" or ")
            })
            .collect::<Vec<_>>()
    };
    assert_eq!(needs(&[FIRST], "West US", Redundancy::Lrs), ["https://kailani.one.microsoft.com"]);
    assert_eq!(
        needs(&[FIRST], "westus", Redundancy::Grs),
        [
            "https://kailani.one.microsoft.com",
            "https://kailani1.one.microsoft.com",
            "https://tm-kailani.one.microsoft.com",
        ]
    );
    assert_eq!(
        needs(&["azure-file-sync@2024-05-13"], "West US", Redundancy::RaGrs),
        [
            "https://westus01.afs.azure.net or https://kailani.one.microsoft.com",
            "https://eastus01.afs.azure.net or https://kailani1.one.microsoft.com",
            "https://tm-westus01.afs.azure.net or https://tm-kailani1.one.microsoft.com",
        ]
    );
}

#[test]
fn with_a_region_the_wildcard_of_instances_is_not_required() {
    let rules = rules_of(&[FIRST]);
    let whats = |region: Option<&str>| {
        let site = SyncSetup { region: region.map(str::to_owned), redundancy: Some(Redundancy::Lrs) };
        rules.required(&site).into_iter().map(|need| need.what).collect::<Vec<_>>()
    };
    let wildcard = "Azure File Sync: *.one.microsoft.com".to_owned();
    assert!(whats(None).contains(&wildcard) && whats(Some("Mars North")).contains(&wildcard));
    assert!(!whats(Some("West US")).contains(&wildcard));
    assert!(whats(Some("West US")).contains(&"Azure Storage: *.core.windows.net".to_owned()));
}

#[test]
fn a_legacy_name_satisfies_the_requirement_of_its_replacement() {
    let rules = rules_of(&["azure-stack-hci@2026-07-14-eastus"]);
    let needs = rules.required(&SyncSetup::default());
    let plane = needs.iter().find(|need| need.what.ends_with("dp.stackhci.azure.com")).unwrap();
    let names: Vec<String> = plane.references.iter().map(|id| rules.reference(*id).subject()).collect();
    assert_eq!(names, ["dp.stackhci.azure.com", "azurestackhci.azurefd.net"]);
    let gateway = rules.reference(plane.references[0]).arc_gateway;
    assert!(gateway, "an Arc gateway carries it");
}

#[test]
fn tags_statements_and_private_names_are_available() {
    let rules = library().clone().select(&Selection::default()).unwrap();
    let tags: std::collections::BTreeSet<_> = rules.service_tags().into_iter().map(|tag| tag.tag).collect();
    for tag in ["StorageSyncService", "Storage", "AzureArcInfrastructure", "AzureFrontDoor.Frontend"] {
        assert!(tags.contains(tag), "{tag}");
    }
    let seed = rules_of(&["azure-stack-hci@2021-12-14"]).service_tags();
    let china = seed.iter().find(|tag| &*tag.tag == "AzureCloud.ChinaEast2").unwrap();
    assert!(china.clouds.contains(Cloud::China) && !china.clouds.contains(Cloud::Public));
    assert_eq!(
        rules
            .private_link()
            .filter(|(_, reference)| reference.zone.as_deref() == Some("privatelink.afs.azure.net"))
            .count(),
        5
    );
    let inspection: Vec<&str> =
        rules.statements("inspection").map(|(_, reference)| &*reference.document.id).collect();
    assert_eq!(
        inspection,
        [
            "azure-file-sync@2025-08-25-sync-errors",
            "azure-stack-hci@2025-01-08",
            "azure-stack-hci@2025-01-08"
        ]
    );
}

#[test]
fn issuers_are_found_by_name_or_by_organization() {
    let rules = rules_of(&[FIRST]);
    let known = |common_name: &str, organization: &str| match rules.issuer(common_name, organization) {
        Issuer::Named(id) => {
            let reference = rules.reference(id);
            format!("named {}", reference.common_name.as_ref().unwrap_or(&reference.row.printed))
        }
        Issuer::Organization(_) => "organization".to_owned(),
        Issuer::Unknown => "unknown".to_owned(),
        Issuer::NoList => "no list".to_owned(),
    };
    let microsoft = "Microsoft Corporation";
    assert_eq!(
        known("Microsoft Azure RSA TLS Issuing CA 07", microsoft),
        "named Microsoft Azure RSA TLS Issuing CA 07"
    );
    assert_eq!(known("Microsoft TLS G2 RSA CA OCSP 16", microsoft), "named Microsoft TLS G2 RSA CA OCSP 16");
    assert_eq!(known("Microsoft TLS G3 CA 02", microsoft), "organization");
    assert_eq!(known("DigiCert Unlisted TLS CA1", "DigiCert, Inc."), "organization");
    assert_eq!(known("Microsoft Azure RSA TLS Issuing CA 07", "Contoso Inspection"), "unknown");
    assert_eq!(known("", ""), "unknown");
}

#[test]
fn instances_of_other_regions_are_not_the_sites_own() {
    let rules = rules_of(&[FIRST]);
    let is_own = |name: &str, redundancy: Option<Redundancy>| {
        let site = SyncSetup { region: Some("West US".to_owned()), redundancy };
        rules
            .match_host(name)
            .iter()
            .filter(|found| rules.reference(found.id).role.is_some())
            .any(|found| rules.is_own_instance(found.id, &site))
    };
    assert!(is_own("kailani.one.microsoft.com", Some(Redundancy::Lrs)));
    assert!(!is_own("kailani1.one.microsoft.com", Some(Redundancy::Lrs)), "East US, the pair");
    assert!(is_own("kailani1.one.microsoft.com", Some(Redundancy::Grs)));
    assert!(is_own("kailani1.one.microsoft.com", None));
    assert!(!is_own("kailani7.one.microsoft.com", None), "North Europe");
    assert!(
        rules.is_own_instance(rules.match_host("kailani7.one.microsoft.com")[0].id, &SyncSetup::default())
    );
}

#[test]
fn every_broad_reference_cites_a_statement_about_breadth() {
    let library = library();
    let mut broad = Vec::new();
    for document in library.documents() {
        let rules = library.references_of(&document.id).unwrap();
        for reference in rules.iter().filter(|reference| reference.broad) {
            let see = reference.see.as_deref().unwrap();
            let statement = rules.iter().find(|other| other.place() == see).unwrap();
            assert_eq!(statement.about.as_deref(), Some("broad"));
            broad.push(reference.id.to_string());
        }
    }
    broad.sort();
    assert_eq!(broad, ["afs-2019-06-24/endpoints/5.1", "afs-2024-05-13/endpoints/6.1"]);
}

#[test]
fn hardware_and_version_choose_among_the_documents() {
    let level = |hardware: Option<&str>, version: Option<u32>, name: &str, short: &str| {
        let gateway = BTreeMap::from([("arc-gateway".to_owned(), vec!["abc".to_owned()])]);
        let hardware = hardware.map(str::to_owned);
        let selection = Selection { hardware, version, values: gateway, ..Selection::default() };
        let rules = library().clone().select(&selection).unwrap();
        let found = rules.match_host(name).into_iter().map(|found| rules.reference(found.id));
        let mut of_document = found.filter(|reference| &*reference.document.short == short);
        of_document.next().map(|reference| reference.level)
    };
    let dell = |hardware| level(hardware, None, "downloads.dell.com", "azure-local-dell-2025-10-22");
    assert_eq!(dell(Some("dell")), Some(RequirementLevel::Required));
    assert_eq!(dell(Some("HPE")), None);
    assert_eq!(dell(None), Some(RequirementLevel::Optional));
    let pypi = |version| level(None, version, "pypi.org", "azure-local-arc-gateway-2025-09-09");
    assert_eq!(pypi(Some(2503)), Some(RequirementLevel::Required));
    assert_eq!(pypi(Some(2504)), Some(RequirementLevel::Legacy));
    assert_eq!(pypi(None), Some(RequirementLevel::Legacy));
    let update = |version| level(None, version, "fe3.delivery.mp.microsoft.com", "hci-required-2024-06-25");
    assert_eq!(update(Some(2503)), Some(RequirementLevel::Required));
    assert_eq!(update(Some(2506)), Some(RequirementLevel::Legacy));
}

#[test]
fn documents_of_the_operating_system_are_marked() {
    let rules = library().clone().select(&Selection::default()).unwrap();
    let only_background = |name: &str| {
        let found = rules.match_host(name);
        !found.is_empty() && found.iter().all(|found| rules.reference(found.id).document.background)
    };
    assert!(only_background("activation-v2.sls.microsoft.com"));
    assert!(only_background("wdcpalt.microsoft.com"), "an alias");
    assert!(!only_background("ctldl.windowsupdate.com"), "Azure File Sync documents it, too");
    assert!(!only_background("dlassets-ssl.xboxlive.com"), "a client app");
    let kind = |name: &str| rules.reference(rules.match_host(name)[0].id).service_kind;
    assert_eq!(kind("activation-v2.sls.microsoft.com"), Some(ServiceKind::Activation));
    assert_eq!(kind("ipv6.msftconnecttest.com"), Some(ServiceKind::ConnectivityTest));
}

#[test]
fn an_arc_gateway_adds_its_documents() {
    let has_list = |values: BTreeMap<String, Vec<String>>| {
        let rules = library().clone().select(&Selection { values, ..Selection::default() }).unwrap();
        rules.documents().iter().any(|document| document.needs_value.is_some())
    };
    assert!(!has_list(BTreeMap::new()));
    assert!(has_list(BTreeMap::from([("arc-gateway".to_owned(), vec!["abc".to_owned()])])));
}

#[test]
fn ports_of_the_resource_bridge_and_of_aks_are_bidirectional() {
    let rules = library().clone().select(&Selection::default()).unwrap();
    let count =
        |source: &str, destination: &str, port: u16| rules.ports(source, destination, proto::TCP, port).len();
    assert!(count("management-system", "resource-bridge", 6443) > 0);
    assert!(count("resource-bridge", "management-system", 6443) > 0);
    assert!(count("aks-clusters", "cluster-servers", 40343) > 0);
    assert!(count("cluster-servers", "aks-clusters", 55000) > 0);
    assert_eq!(count("aks-clusters", "cluster-servers", 40344), 0);
}

#[test]
fn a_site_without_a_regional_list_keeps_what_the_lists_still_have() {
    let level = |region: Option<&str>, name: &str| {
        let selection = Selection { local_region: region.map(str::to_owned), ..Selection::default() };
        let rules = library().clone().select(&selection).unwrap();
        let found = rules.match_host(name).into_iter().map(|found| rules.reference(found.id));
        let mut older = found.filter(|reference| &*reference.document.short == "hci-required-2024-06-25");
        older.next().unwrap().level
    };
    assert_eq!(level(Some("East US 2"), "dp.stackhci.azure.com"), RequirementLevel::Required);
    assert_eq!(level(Some("East US"), "dp.stackhci.azure.com"), RequirementLevel::Legacy);
    assert_eq!(level(None, "tlu.dl.delivery.mp.microsoft.com"), RequirementLevel::Legacy, "withdrawn");
}

#[test]
fn an_invalid_file_of_a_folder_is_reported_with_its_line() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("mine.toml"), "[document]\nid = \"a\"\nshrot = \"a\"\n").unwrap();
    let error = RuleSet::from_dir(folder.path(), &Selection::default()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "cannot read rules: mine.toml:3: unknown key `shrot`, did you mean `short`?"
    );
    let empty = tempfile::tempdir().unwrap();
    let error = RuleSet::from_dir(empty.path(), &Selection::default()).unwrap_err().to_string();
    assert!(error.ends_with("no rule file in this folder"), "{error}");
}

//! The rules as a whole: what the documents' oddities become, selection, needs, and the printed words.

use crate::base::proto;

use super::*;

const FIRST: &str = "azure-file-sync@2019-06-24";

/// The documents inside the program, read once for all tests.
pub(super) fn library() -> &'static Library {
    static LIBRARY: std::sync::OnceLock<Library> = std::sync::OnceLock::new();
    LIBRARY.get_or_init(|| Library::embedded().unwrap())
}

fn rules_of(documents: &[&str]) -> RuleSet {
    let documents = documents.iter().map(|id| id.to_string()).collect();
    library().select(&Selection { documents: Some(documents), ..Selection::default() }).unwrap()
}

fn ids(rules: &RuleSet, name: &str) -> Vec<String> {
    rules.host(name).iter().map(|found| rules.rule(found.rule).id.to_string()).collect()
}

/// The rows of `document` that speak of `name`, most specific first; `~` marks those that only mean it.
fn check(document: &str, name: &str, expected: &[&str]) {
    let rules = rules_of(&[document]);
    let mark = |found: &ReferenceMatch| if found.as_meant { "~" } else { "" };
    let found: Vec<String> = rules
        .host(name)
        .iter()
        .map(|found| format!("{}{}", mark(found), rules.rule(found.rule).id))
        .collect();
    assert_eq!(found, expected, "{name} in {document}");
}

#[test]
fn the_files_inside_the_program_have_no_mistake() {
    let problems = Library::problems(None).unwrap();
    assert!(problems.is_empty(), "{}", problems.iter().map(|p| p.to_string() + "\n").collect::<String>());
    let mut out = Vec::new();
    assert_eq!(super::check(None, &mut out).unwrap(), 0);
    assert!(out.is_empty());
}

#[test]
fn every_file_of_the_folder_is_inside_the_program() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("rules");
    let folder = Library::from_dir(&folder).unwrap();
    let embedded = library();
    let digests = |library: &Library| {
        library.documents().map(|d| (d.id.clone(), d.sha256.clone(), d.file.clone())).collect::<Vec<_>>()
    };
    assert_eq!(digests(&folder), digests(embedded));
    for document in embedded.documents() {
        assert_eq!(*document.file, format!("{}.toml", document.id));
    }
}

#[test]
fn names_of_the_2019_document() {
    let selection = Selection { documents: Some(vec![FIRST.to_owned()]), ..Selection::default() };
    assert_eq!(
        RuleSet::embedded(&selection).unwrap().documents().len(),
        4,
        "with one that it includes and two that always hold"
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
    // One url for both clouds is one rule.
    check(FIRST, "graph.windows.net", &["afs-2019-06-24/endpoints/3.1"]);
    let rules = rules_of(&[FIRST]);
    let graph = rules.rule(rules.host("graph.windows.net")[0].rule);
    assert_eq!(
        (graph.clouds.to_string().as_str(), graph.need),
        ("public;us-government", RequirementLevel::InstallTime)
    );
}

#[test]
fn canada_east_has_a_dot_where_a_hyphen_is_meant() {
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
fn west_us_and_the_german_regions_show_a_neighbours_discovery_name() {
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
fn swiss_rows_have_discovery_names_in_the_primary_column_and_their_pairs_in_the_other() {
    let rules = rules_of(&["azure-file-sync@2024-05-13"]);
    let region = rules.regions().iter().find(|region| &*region.name == "Switzerland West").unwrap();
    let urls = |ids: &[ReferenceId]| ids.iter().map(|id| rules.rule(*id).subject()).collect::<Vec<_>>();
    assert_eq!(urls(&region.primary), ["https://switzerlandwest01.afs.azure.net"]);
    assert_eq!(urls(&region.discovery), ["https://tm-switzerlandwest01.afs.azure.net"]);
    assert_eq!(region.pair.as_deref(), Some("Switzerland North"));
}

#[test]
fn a_region_that_is_in_no_table_is_documented_by_the_wildcard() {
    let rules = rules_of(&["azure-file-sync@2024-05-13"]);
    let found = rules.host("italynorth01.afs.azure.net");
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].how, MatchKind::Wildcard(3));
    assert!(!rules.rule(found[0].rule).broad);
    assert!(rules.rule(rules.host("other.one.microsoft.com")[0].rule).broad);
}

#[test]
fn http_means_port_80_and_a_printed_443_is_kept_beside_it() {
    let check = |document: &str, id: &str, printed: &str, port: u16, expected: PortVerdict| {
        let rules = rules_of(&[document]);
        let rule = rules.rule(rules.find(id).unwrap());
        assert_eq!(
            (rule.ports.to_string().as_str(), rule.allows(proto::TCP, port)),
            (printed, expected),
            "{id}:{port}"
        );
    };
    check(FIRST, "afs-2019-06-24/endpoints/6.2", "80/tcp", 80, PortVerdict::Documented);
    check(FIRST, "afs-2019-06-24/endpoints/6.2", "80/tcp", 443, PortVerdict::Not);
    check(FIRST, "afs-2019-06-24/endpoints/6.1", "443/tcp", 443, PortVerdict::Https);
    check(FIRST, "afs-2019-06-24/regions/1.2", "443/tcp", 443, PortVerdict::Https);
    let update = "azure-file-sync@2024-05-13";
    check(update, "afs-2024-05-13/endpoints/8.1", "80/tcp, 443/tcp", 80, PortVerdict::Documented);
    let hci = "azure-stack-hci@2022-04-28";
    check(hci, "hci-2022-04-28/recommended/12.1", "443/tcp", 80, PortVerdict::AsMeant);
    check(hci, "hci-2022-04-28/recommended/12.1", "443/tcp", 443, PortVerdict::Https);
    check(hci, "hci-2022-04-28/microsoft-update/2.1", "80/tcp", 80, PortVerdict::Documented);
    let later = "azure-stack-hci@2022-04-27-recommended-later";
    check(later, "hci-recommended-later/recommended/10.1", "80/tcp, 443/tcp", 80, PortVerdict::Documented);
    let east = "azure-stack-hci@2026-07-14-eastus";
    check(east, "azure-local-eastus-2026-07-14/endpoints/71.1", "8084/tcp", 8084, PortVerdict::Documented);
    let rules = rules_of(&[east]);
    let time = rules.rule(rules.host("time.windows.com")[0].rule);
    assert_eq!(time.allows(proto::UDP, 123), PortVerdict::Documented);
    assert_eq!(time.allows(proto::TCP, 123), PortVerdict::Not);
}

#[test]
fn a_thousands_comma_is_not_two_ports() {
    let rules = rules_of(&["azure-stack-hci@2021-12-14"]);
    let found: Vec<&str> = rules.any_host(proto::TCP, 9418).map(|id| &*rules.rule(id).id).collect();
    assert_eq!(found, ["hci-2021-12-14/recommended/27.1"]);
    assert_eq!(rules.any_host(proto::TCP, 418).count(), 0);
}

#[test]
fn swapped_letters_match_as_printed_and_as_meant() {
    let hci = "azure-stack-hci@2022-04-27-required";
    check(hci, "dp.azurestackchi.azure.us", &["hci-required-2022-04-27/required/4.2"]);
    check(hci, "dp.azurestackhci.azure.us", &["~hci-required-2022-04-27/required/4.2"]);
    let east = "azure-stack-hci@2026-07-14-usgovvirginia";
    check(east, "dp.azurestackhci.azure.us", &["azure-local-usgovvirginia-2026-07-14/endpoints/54.1"]);
}

#[test]
fn placeholders_take_the_sites_value_or_match_their_form() {
    let select = |values: &[(&str, &str)]| {
        let values = values.iter().map(|(fact, value)| (fact.to_string(), vec![value.to_string()])).collect();
        let documents = Some(vec![
            "azure-stack-hci@2026-07-14-eastus".to_owned(),
            "azure-file-sync@2024-11-06-networking".to_owned(),
            "azure-arc@2026-04-01".to_owned(),
        ]);
        library().select(&Selection { documents, values, ..Selection::default() }).unwrap()
    };
    let hows =
        |rules: &RuleSet, name: &str| rules.host(name).iter().map(|found| found.how).collect::<Vec<_>>();
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
fn internal_ports_name_both_roles() {
    let rules = rules_of(&["azure-stack-hci@2025-01-08"]);
    let check = |source: &str, destination: &str, protocol: u8, port: u16, expected: &[&str]| {
        let found = rules.ports(source, destination, protocol, port);
        let found: Vec<String> = found.iter().map(|id| rules.rule(*id).place()).collect();
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
    // In the seeds the Cluster Administrator is TCP.
    let seed = rules_of(&["azure-stack-hci@2022-04-28"]);
    assert_eq!(seed.ports("management-system", "cluster-servers", proto::TCP, 137).len(), 1);
}

#[test]
fn the_default_is_what_no_other_document_supersedes() {
    /// Documents that hold for every product.
    const CA: [&str; 2] = ["ca-2025-12-02", "ca-2023-11-27"];
    let shorts = |selection: &Selection| {
        let rules = library().select(selection).unwrap();
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
            "afs-2025-01-23-sync-groups",
            "afs-networking-2024-11-06",
            "afs-2024-05-13",
            "afs-2019-06-24",
            "hybrid-file-services"
        ]
    );
    let local = Selection {
        products: Some(vec!["azure-stack-hci".to_owned()]),
        local_region: Some("eastus".to_owned()),
        ..Selection::default()
    };
    assert_eq!(
        shorts(&local),
        [
            CA[0],
            CA[1],
            "arc-2026-04-01",
            "azure-local-eastus-2026-07-14",
            "azure-local-2025-01-08",
            "hci-required-2024-06-25",
            "hci-recommended-later",
            "hci-required-2022-04-27",
        ]
    );
    let error = |documents: &[&str]| {
        let documents = Some(documents.iter().map(|id| id.to_string()).collect());
        library().select(&Selection { documents, ..Selection::default() }).unwrap_err().to_string()
    };
    assert_eq!(
        error(&["azure-file-sync@2019-06-25"]),
        "cannot select rules: no document `azure-file-sync@2019-06-25`, did you mean `azure-file-sync@2019-06-24`?"
    );
    // A document comes with the tables that it includes.
    assert_eq!(rules_of(&["azure-stack-hci@2022-04-28"]).documents().len(), 5, "two more always hold");
}

#[test]
fn what_a_newer_document_keeps_counts_as_legacy() {
    let rules = library().select(&Selection::default()).unwrap();
    let needs = |name: &str, short: &str| {
        let found = rules.host(name).into_iter().map(|found| rules.rule(found.rule));
        found.filter(|rule| &*rule.document.short == short).map(|rule| rule.need).collect::<Vec<_>>()
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
    assert!(rules.statements("port").all(|(_, rule)| &*rule.document.short != "afs-2019-06-24"));
    assert!(rules.required(&SiteNeeds::default()).iter().all(|need| need.need != RequirementLevel::Legacy));
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
fn a_cloud_leaves_the_rows_of_other_clouds_out() {
    let china = Selection { cloud: Some(Cloud::China), ..Selection::default() };
    let rules = library().select(&china).unwrap();
    assert_eq!(ids(&rules, "chinaeast201.afs.azure.cn"), ["afs-2024-05-13/regions-china/1.1"]);
    assert_eq!(ids(&rules, "dp.stackhci.azure.cn"), ["hci-required-2022-04-27/required/4.3"]);
    assert_eq!(ids(&rules, "westus01.afs.azure.net"), Vec::<String>::new());
    assert!(rules.statements("outbound-only").count() > 0, "sentences hold for every cloud");
}

#[test]
fn a_row_in_several_documents_is_reported_for_each() {
    let rules = library().select(&Selection::default()).unwrap();
    let products: std::collections::BTreeSet<&str> = rules
        .host("management.azure.com")
        .iter()
        .flat_map(|found| rules.rule(found.rule).document.products.iter().map(|product| &**product))
        .collect();
    assert_eq!(products.into_iter().collect::<Vec<_>>(), ["azure-arc", "azure-file-sync", "azure-stack-hci"]);
}

#[test]
fn redundancy_decides_which_instances_are_needed() {
    let needs = |documents: &[&str], region: &str, redundancy: Redundancy| {
        let rules = rules_of(documents);
        let site = SiteNeeds { region: Some(region.to_owned()), redundancy: Some(redundancy) };
        let regional = rules.required(&site).into_iter().filter(|need| need.role.is_some());
        regional
            .map(|need| {
                need.rules.iter().map(|id| rules.rule(*id).subject()).collect::<Vec<_>>().join(" or ")
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
fn with_a_region_the_wildcards_for_instances_are_no_need_of_their_own() {
    let rules = rules_of(&[FIRST]);
    let whats = |region: Option<&str>| {
        let site = SiteNeeds { region: region.map(str::to_owned), redundancy: Some(Redundancy::Lrs) };
        rules.required(&site).into_iter().map(|need| need.what).collect::<Vec<_>>()
    };
    let wildcard = "Azure File Sync: *.one.microsoft.com".to_owned();
    assert!(whats(None).contains(&wildcard) && whats(Some("Mars North")).contains(&wildcard));
    assert!(!whats(Some("West US")).contains(&wildcard));
    assert!(whats(Some("West US")).contains(&"Azure Storage: *.core.windows.net".to_owned()));
}

#[test]
fn an_old_name_satisfies_the_need_for_the_new_one() {
    let rules = rules_of(&["azure-stack-hci@2026-07-14-eastus"]);
    let needs = rules.required(&SiteNeeds::default());
    let plane = needs.iter().find(|need| need.what.ends_with("dp.stackhci.azure.com")).unwrap();
    let names: Vec<String> = plane.rules.iter().map(|id| rules.rule(*id).subject()).collect();
    assert_eq!(names, ["dp.stackhci.azure.com", "azurestackhci.azurefd.net"]);
    let gateway = rules.rule(plane.rules[0]).arc_gateway;
    assert!(gateway, "an Arc gateway would hide it");
}

#[test]
fn tags_sentences_and_private_names_are_at_hand() {
    let rules = library().select(&Selection::default()).unwrap();
    let tags: std::collections::BTreeSet<_> = rules.service_tags().into_iter().map(|tag| tag.tag).collect();
    for tag in ["StorageSyncService", "Storage", "AzureArcInfrastructure", "AzureFrontDoor.Frontend"] {
        assert!(tags.contains(tag), "{tag}");
    }
    let seed = rules_of(&["azure-stack-hci@2021-12-14"]).service_tags();
    let china = seed.iter().find(|tag| &*tag.tag == "AzureCloud.ChinaEast2").unwrap();
    assert!(china.clouds.holds(Cloud::China) && !china.clouds.holds(Cloud::Public));
    assert_eq!(
        rules
            .private_link()
            .filter(|(_, rule)| rule.zone.as_deref() == Some("privatelink.afs.azure.net"))
            .count(),
        5
    );
    let inspection: Vec<&str> = rules.statements("inspection").map(|(_, rule)| &*rule.document.id).collect();
    assert_eq!(
        inspection,
        ["azure-arc@2026-04-01", "azure-stack-hci@2025-01-08", "azure-stack-hci@2025-01-08"]
    );
}

#[test]
fn issuers_are_known_by_name_or_by_organization() {
    let rules = rules_of(&[FIRST]);
    let known = |common_name: &str, organization: &str| match rules.issuer(common_name, organization) {
        Issuer::Named(id) => format!("named {}", rules.rule(id).row.printed),
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
    assert_eq!(known("DigiCert Global G3 TLS ECC SHA384 2020 CA1", "DigiCert, Inc."), "organization");
    assert_eq!(known("Microsoft Azure RSA TLS Issuing CA 07", "Contoso Inspection"), "unknown");
    assert_eq!(known("", ""), "unknown");
}

#[test]
fn instances_of_other_regions_do_not_serve_a_site() {
    let rules = rules_of(&[FIRST]);
    let serves = |name: &str, redundancy: Option<Redundancy>| {
        let site = SiteNeeds { region: Some("West US".to_owned()), redundancy };
        rules
            .host(name)
            .iter()
            .filter(|found| rules.rule(found.rule).role.is_some())
            .any(|found| rules.serves(found.rule, &site))
    };
    assert!(serves("kailani.one.microsoft.com", Some(Redundancy::Lrs)));
    assert!(!serves("kailani1.one.microsoft.com", Some(Redundancy::Lrs)), "East US, the pair");
    assert!(serves("kailani1.one.microsoft.com", Some(Redundancy::Grs)));
    assert!(serves("kailani1.one.microsoft.com", None));
    assert!(!serves("kailani7.one.microsoft.com", None), "North Europe");
    assert!(rules.serves(rules.host("kailani7.one.microsoft.com")[0].rule, &SiteNeeds::default()));
}

#[test]
fn every_broad_rule_names_a_sentence_about_breadth() {
    let library = library();
    let mut broad = Vec::new();
    for document in library.documents() {
        let rules = library.rules_of(&document.id).unwrap();
        for rule in rules.iter().filter(|rule| rule.broad) {
            let see = rule.see.as_deref().unwrap();
            let sentence = rules.iter().find(|other| other.place() == see).unwrap();
            assert_eq!(sentence.about.as_deref(), Some("broad"));
            broad.push(rule.id.to_string());
        }
    }
    broad.sort();
    assert_eq!(broad, ["afs-2019-06-24/endpoints/5.1", "afs-2024-05-13/endpoints/6.1"]);
}

#[test]
fn a_difference_tells_what_came_went_and_changed() {
    let library = library();
    let changes = |old: &str, new: &str| {
        let mut out = Vec::new();
        let count = diff(library, old, new, &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert_eq!(text.lines().count(), count);
        text
    };
    assert_eq!(changes(FIRST, FIRST), "");
    let afs = changes(FIRST, "azure-file-sync@2024-05-13");
    for line in [
        "+ added  westus01.afs.azure.net (public) 443/tcp: primary of West US",
        "- gone   graph.windows.net (public) 443/tcp: Azure Active Directory",
        "> moved  tm-kailani1.one.microsoft.com (public): discovery of East US -> discovery of East US; discovery of West US",
    ] {
        assert!(afs.lines().any(|other| other == line), "{line}\n{afs}");
    }
    let hci = changes("azure-stack-hci@2022-04-28", "azure-stack-hci@2025-01-08");
    for line in [
        "+ added  management-system -> cluster-servers 137/udp: Failover Clustering",
        "- gone   management-system -> cluster-servers 137/tcp: Failover Clustering",
    ] {
        assert!(hci.lines().any(|other| other == line), "{line}\n{hci}");
    }
    let update =
        changes("azure-stack-hci@2022-04-27-recommended", "azure-stack-hci@2022-04-27-recommended-later");
    let line = "~ ports  *.windowsupdate.microsoft.com (public): 80/tcp; 443/tcp -> 80/tcp, 443/tcp";
    assert!(update.lines().any(|other| other == line), "{update}");
}

#[test]
fn a_difference_counts_what_a_document_includes() {
    let mut out = Vec::new();
    diff(library(), "azure-stack-hci@2022-04-28", "azure-stack-hci@2025-01-08", &mut out).unwrap();
    let text = String::from_utf8(out).unwrap();
    // The newer page has its endpoints in lists of their own.
    for line in [
        "+ added  westeurope.dp.prod.appliances.azure.com (public) 443/tcp: Azure Local ARB infra",
        "+ added  cluster-servers -> cluster-servers 30301/tcp: Azure Stack HCI OS management",
    ] {
        assert!(text.lines().any(|other| other == line), "{line}\n{text}");
    }
    assert!(!text.contains("gone   login.microsoftonline.com (public)"), "{text}");
}

#[test]
fn a_row_is_shown_with_its_source() {
    let rules = rules_of(&[FIRST]);
    let mut out = Vec::new();
    assert_eq!(show(&rules, "afs-2019-06-24/regions/5.2", &mut out).unwrap(), 1);
    let text = String::from_utf8(out).unwrap();
    for line in [
        "    document: Azure File Sync proxy and firewall settings (azure-file-sync@2019-06-24)",
        "    as meant: tm-kailani-cae.one.microsoft.com",
        "    role: discovery",
    ] {
        assert!(text.lines().any(|other| other == line), "{line}\n{text}");
    }
    let mut out = Vec::new();
    assert_eq!(show(&rules, "afs-2019-06-24/endpoints/6", &mut out).unwrap(), 2);
    assert_eq!(show(&rules, "afs-2019-06-24/endpoints/", &mut out).unwrap(), 0);
    assert_eq!(show(&rules, FIRST, &mut out).unwrap(), 75);
    let mut out = Vec::new();
    list(&rules, &mut out).unwrap();
    let text = String::from_utf8(out).unwrap();
    assert!(text.contains("      27  afs-2019-06-24/regions  Regional instances"), "{text}");
}

#[test]
fn every_wrong_file_of_a_folder_is_told_also_where_one_is_no_text() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, bytes: &[u8]| std::fs::write(folder.path().join(name), bytes).unwrap();
    write("a.toml", b"");
    write("b.toml", b"[document]\n# \xff\xfe\n");
    write("c.toml", b"[document]\nid = 3\n");
    write("d.toml", format!("a = {}", "[".repeat(100_000)).as_bytes());
    let mut out = Vec::new();
    assert_eq!(super::check(Some(folder.path()), &mut out).unwrap(), 4);
    let text = String::from_utf8(out).unwrap();
    for line in [
        "a.toml:1: missing field `document`",
        "b.toml:2: not UTF-8 text",
        "c.toml:2: wanted a text; found integer `3`",
        "d.toml:1: cannot recurse further; max recursion depth met",
    ] {
        assert!(text.lines().any(|other| other == line), "{line}\n{text}");
    }
}

#[test]
fn a_wrong_file_in_a_folder_is_named_with_its_line() {
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

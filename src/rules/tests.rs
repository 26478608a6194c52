//! The rules as a whole: what the documents' oddities become, selection, needs, and the printed words.

use super::*;

const FIRST: &str = "azure-file-sync@2019-06-24";

fn rules_of(documents: &[&str]) -> Rules {
    let documents = documents.iter().map(|id| id.to_string()).collect();
    Rules::embedded(&Selection { documents: Some(documents), ..Selection::default() }).unwrap()
}

fn ids(rules: &Rules, name: &str) -> Vec<String> {
    rules.host(name).iter().map(|found| rules.rule(found.rule).id.to_string()).collect()
}

/// The rows of `document` that speak of `name`, most specific first; `~` marks those that only mean it.
fn check(document: &str, name: &str, expected: &[&str]) {
    let rules = rules_of(&[document]);
    let mark = |found: &Match| if found.as_meant { "~" } else { "" };
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
fn names_of_the_2019_document() {
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
    assert_eq!((graph.clouds.to_string().as_str(), graph.need), ("public;us-government", Need::InstallTime));
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
    assert_eq!(show(&rules, FIRST, &mut out).unwrap(), rules.iter().count());
    let mut out = Vec::new();
    list(&rules, &mut out).unwrap();
    let text = String::from_utf8(out).unwrap();
    assert!(text.contains("      27  afs-2019-06-24/regions  Regional instances"), "{text}");
}

use super::*;
use crate::rules::diff::diff;
use crate::rules::tests::FIRST;
use crate::rules::tests::library;
use crate::rules::tests::rules_of;

#[test]
fn diff_lists_what_was_added_removed_and_changed() {
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
        "+ added   westus01.afs.azure.net (public) 443/tcp: primary endpoint for West US",
        "- removed graph.windows.net (public) 443/tcp: Azure Active Directory",
        "> moved   tm-kailani1.one.microsoft.com (public): discovery endpoint for East US -> discovery endpoint for East US; discovery endpoint for West US",
    ] {
        assert!(afs.lines().any(|other| other == line), "{line}\n{afs}");
    }
    let hci = changes("azure-stack-hci@2022-04-28", "azure-stack-hci@2025-01-08");
    for line in [
        "+ added   management-system -> cluster-servers 137/udp: Failover Clustering",
        "- removed management-system -> cluster-servers 137/tcp: Failover Clustering",
    ] {
        assert!(hci.lines().any(|other| other == line), "{line}\n{hci}");
    }
    let update =
        changes("azure-stack-hci@2022-04-27-recommended", "azure-stack-hci@2022-04-27-recommended-later");
    let line = "~ ports   *.windowsupdate.microsoft.com (public): 80/tcp; 443/tcp -> 80/tcp, 443/tcp";
    assert!(update.lines().any(|other| other == line), "{update}");
}

#[test]
fn diff_covers_included_documents() {
    let mut out = Vec::new();
    diff(library(), "azure-stack-hci@2022-04-28", "azure-stack-hci@2025-01-08", &mut out).unwrap();
    let text = String::from_utf8(out).unwrap();
    // The newer page has its endpoints in included lists.
    for line in [
        "+ added   westeurope.dp.prod.appliances.azure.com (public) 443/tcp: Azure Local ARB infra",
        "+ added   cluster-servers -> cluster-servers 30301/tcp: Azure Stack HCI OS management",
    ] {
        assert!(text.lines().any(|other| other == line), "{line}\n{text}");
    }
    assert!(!text.contains("removed login.microsoftonline.com (public)"), "{text}");
}

#[test]
fn show_prints_a_reference_with_its_source() {
    let rules = rules_of(&[FIRST]);
    let mut out = Vec::new();
    assert_eq!(show(&rules, "afs-2019-06-24/regions/5.2", &mut out).unwrap(), 1);
    let text = String::from_utf8(out).unwrap();
    for line in [
        "    document: Azure File Sync proxy and firewall settings (azure-file-sync@2019-06-24)",
        "    alias: tm-kailani-cae.one.microsoft.com",
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
fn show_finds_the_references_of_a_host() {
    let rules = rules_of(&[FIRST, "azure-file-sync@2024-05-13"]);
    let mut out = Vec::new();
    let url = "https://tm-kailani-cae.one.microsoft.com/path";
    assert_eq!(show(&rules, url, &mut out).unwrap(), 4);
    let text = String::from_utf8(out).unwrap();
    for line in [
        "afs-2024-05-13/regions/5.4  443/tcp  public  required",
        "    match: tm-kailani-cae.one.microsoft.com, the alias of tm-kailani.cae.one.microsoft.com",
        "    match: *.one.microsoft.com, a wildcard that the document itself calls too broad",
        "    document: Azure File Sync proxy and firewall settings (azure-file-sync@2019-06-24, superseded by azure-file-sync@2024-05-13)",
    ] {
        assert!(text.lines().any(|other| other == line), "{line}\n{text}");
    }
    assert_eq!(show(&rules, "unknown.example.com", &mut Vec::new()).unwrap(), 0);
}

#[test]
fn list_rows_prints_every_reference() {
    let rules = rules_of(&[FIRST]);
    let printed = |format: RowFormat| {
        let mut out = Vec::new();
        list_rows(&rules, format, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    };
    let count = rules.iter().count();
    let csv = printed(RowFormat::Csv);
    let mut reader = csv::Reader::from_reader(csv.as_bytes());
    assert_eq!(reader.headers().unwrap().iter().take(2).collect::<Vec<_>>(), ["reference", "document"]);
    assert_eq!(reader.records().map(Result::unwrap).count(), count);
    let lines = printed(RowFormat::JsonLines);
    assert_eq!(lines.lines().count(), count);
    let first: serde_json::Value = serde_json::from_str(lines.lines().next().unwrap()).unwrap();
    assert!(first["document"].is_string() && first["every_minutes"].is_null());
}

#[test]
fn every_invalid_file_of_a_folder_is_reported() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, bytes: &[u8]| std::fs::write(folder.path().join(name), bytes).unwrap();
    write("a.toml", b"");
    write("b.toml", b"[document]\n# \xff\xfe\n");
    write("c.toml", b"[document]\nid = 3\n");
    write("d.toml", format!("a = {}", "[".repeat(100_000)).as_bytes());
    let mut out = Vec::new();
    assert_eq!(check(Some(folder.path()), &mut out).unwrap(), 4);
    let text = String::from_utf8(out).unwrap();
    for line in [
        "a.toml:1: missing field `document`",
        "b.toml:2: not UTF-8 text",
        "c.toml:2: expected a text; found integer `3`",
        "d.toml:1: cannot recurse further; max recursion depth met",
    ] {
        assert!(text.lines().any(|other| other == line), "{line}\n{text}");
    }
}

//! Parses the tables of the documents afresh and compares them with the rule files: no row more or fewer, no typing error.
//!
//! The documents themselves are not part of the project. They are expected beside it, in `../shared/documents`; without them
//! the tests are reported as not run, and fail where `CI` is set.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

use std::collections::BTreeSet;

use afs_audit::rules::Cloud;
use afs_audit::rules::Library;
use afs_audit::rules::Reference;
use afs_audit::rules::RegionRole;
use afs_audit::rules::TableKind;

use support::prerequisites::shared_folder;
use support::printed::Cells;
use support::printed::bare;
use support::printed::bullets;
use support::printed::cells;
use support::printed::hosts;
use support::printed::json_blocks;
use support::printed::squeezed;
use support::printed::tables;
use support::printed::urls;

mod support;

/// Each rule document and its original.
const DOCUMENTS: &[(&str, &str)] = &[
    ("azure-arc@2026-04-01", "newer/arc-servers-network-requirements-2026-04-01.md"),
    ("azure-file-sync@2019-06-24", "afs-firewall-and-proxy-2019-06-24.md"),
    ("azure-file-sync@2024-05-13", "newer/afs-firewall-and-proxy-2024-05-13.md"),
    ("azure-file-sync@2024-11-06-networking", "afs-networking-2024-11-06.md"),
    ("azure-file-sync@undated-hybrid", "hybrid-file-services.md"),
    ("azure-stack-hci@2021-12-14", "hci-firewall-requirements-2021-12-14.md"),
    (
        "azure-stack-hci@2022-04-27-recommended-later",
        "newer/hci-recommended-urls-table-2022-04-27-later-edition.md",
    ),
    ("azure-stack-hci@2022-04-27-recommended", "newer/hci-recommended-urls-table-2022-04-27.md"),
    ("azure-stack-hci@2022-04-27-required", "newer/hci-required-urls-table-2022-04-27.md"),
    ("azure-stack-hci@2022-04-28", "hci-firewall-requirements-2022-04-28.md"),
    ("azure-stack-hci@2024-06-25-required", "newer/hci-required-urls-table-2024-06-25.md"),
    ("azure-stack-hci@2025-01-08", "newer/azure-local-firewall-requirements-2025-01-08.md"),
    ("azure-stack-hci@2026-07-14-australiaeast", "newer/azure-local-endpoints-australiaeast-2026-07-14.md"),
    ("azure-stack-hci@2026-07-14-canadacentral", "newer/azure-local-endpoints-canadacentral-2026-07-14.md"),
    ("azure-stack-hci@2026-07-14-eastus", "newer/azure-local-endpoints-eastus-2026-07-14.md"),
    ("azure-stack-hci@2026-07-14-indiacentral", "newer/azure-local-endpoints-indiacentral-2026-07-14.md"),
    ("azure-stack-hci@2026-07-14-japaneast", "newer/azure-local-endpoints-japaneast-2026-07-14.md"),
    ("azure-stack-hci@2026-07-14-southcentralus", "newer/azure-local-endpoints-southcentralus-2026-07-14.md"),
    ("azure-stack-hci@2026-07-14-southeastasia", "newer/azure-local-endpoints-southeastasia-2026-07-14.md"),
    ("azure-stack-hci@2026-07-14-usgovvirginia", "newer/azure-local-endpoints-usgovvirginia-2026-07-14.md"),
    ("azure-stack-hci@2026-07-14-westeurope", "newer/azure-local-endpoints-westeurope-2026-07-14.md"),
    ("azure-arc@2026-02-17-gateway", "newer/arc-gateway-endpoints-2026-02-17.md"),
    ("azure-arc@2026-06-11-kubernetes", "newer/arc-kubernetes-2026-06-11.md"),
    ("azure-arc@2026-08-10-resource-bridge", "newer/arc-resource-bridge-2026-08-10.md"),
    ("azure-certificates@2025-11-17", "newer/azure-certificate-authority-details-2025-11-17.md"),
    ("azure-file-sync@2024-09-09-dns", "newer/afs-networking-dns-2024-09-09.md"),
    ("azure-file-sync@2025-07-14-installation", "newer/afs-troubleshoot-installation-2025-07-14.md"),
    ("azure-file-sync@2025-08-25-sync-errors", "newer/afs-troubleshoot-sync-errors-2025-08-25.md"),
    ("azure-file-sync@2026-07-24-endpoints", "newer/afs-networking-endpoints-2026-07-24.md"),
    ("azure-stack-hci@2025-03-05-crl", "newer/azure-local-tsg-firewall-blocking-outbound-2025-03-05.md"),
    ("azure-stack-hci@2025-03-19-dataon", "newer/azure-local-oem-dataon-2025-03-19.md"),
    ("azure-stack-hci@2025-05-06-hitachi", "newer/azure-local-oem-hitachi-2025-05-06.md"),
    ("azure-stack-hci@2025-05-06-lenovo", "newer/azure-local-oem-lenovo-2025-05-06.md"),
    ("azure-stack-hci@2025-07-17-aks", "newer/aks-arc-network-requirements-2025-07-17.md"),
    ("azure-stack-hci@2025-09-09-arc-gateway", "newer/azure-local-arc-gateway-overview-2025-09-09.md"),
    ("azure-stack-hci@2025-10-22-dell", "newer/azure-local-oem-dell-2025-10-22.md"),
    ("azure-stack-hci@2026-01-31-mocstack", "newer/azure-local-tsg-mocstack-network-port-2026-01-31.md"),
    ("azure-stack-hci@2026-03-09-private-endpoints", "newer/azure-local-private-endpoints-2026-03-09.md"),
    ("azure-stack-hci@2026-06-25-hpe", "newer/azure-local-oem-hpe-2026-06-25.md"),
    ("windows-server@2023-10-06-endpoints", "newer/windows-endpoints-11-enterprise-2023-10-06.md"),
    (
        "windows-server@2024-10-08-defender-antivirus",
        "newer/defender-antivirus-network-connections-2024-10-08.md",
    ),
    ("windows-server@2025-10-16-defender", "newer/defender-endpoint-streamlined-urls-2025-10-16.md"),
];

/// Rule documents whose originals are not stored beside the project.
const NOT_AT_HAND: &[&str] = &[
    "azure-certificates@2023-11-27",
    "azure-certificates@2025-12-02",
    "azure-file-sync@2025-01-23-sync-groups",
    "windows-server@2025-07-25-activation",
];

/// Tables of a document that name no endpoint, or repeat others: by a text in their head or first row.
const OMITTED: &[(&str, &[&str])] = &[
    (
        "azure-certificates@2025-11-17",
        &[
            // Chains and clients.
            "**[DigiCert Global Root CA]",
            "Firefox 32+",
            // The change log.
            "Microsoft TLS G2 ECC CA OCSP 04",
            "Microsoft RSA TLS Issuing AOC CA 01",
            "0cf5bd062b5602f47ab8502c23ccf066",
            "Entrust Root Certification Authority G2",
            "Baltimore CyberTrust Root",
            "Microsoft Azure ECC TLS Issuing CA 01",
        ],
    ),
    ("azure-file-sync@2024-09-09-dns", &["File share type"]),
    ("azure-file-sync@2025-07-14-installation", &["**Error Code**"]),
    ("azure-file-sync@2025-08-25-sync-errors", &["Health status", "Error string", "**HRESULT**"]),
    ("azure-file-sync@2026-07-24-endpoints", &["I need to...", "Deployed resource", "Policy name"]),
    ("azure-stack-hci@2025-07-17-aks", &["Az CLI logical networks parameter"]),
    ("windows-server@2024-10-08-defender-antivirus", &["Solution (Preferred)"]),
    (
        "windows-server@2025-10-16-defender",
        &["Used for file downloads from the portal", "MpCmdRun.exe", "MsSense.exe", "MonitoringHost.exe"],
    ),
];

/// Runs `test` for every document: its name, its text and the rules that it prints. Derived ones are not printed.
fn for_each_document(test: impl Fn(&str, &str, &[Reference])) {
    let Some(folder) = shared_folder("documents") else { return };
    let library = Library::embedded().unwrap();
    let ids: BTreeSet<&str> = library.documents().map(|document| &*document.id).collect();
    let listed: BTreeSet<&str> =
        DOCUMENTS.iter().map(|(id, _)| *id).chain(NOT_AT_HAND.iter().copied()).collect();
    assert_eq!(ids, listed, "every rule document has its original here");
    for (id, file) in DOCUMENTS {
        let text = std::fs::read_to_string(folder.join(file)).unwrap();
        let all = library.references_of(id).unwrap();
        let printed: Vec<Reference> =
            all.iter().filter(|row| !row.is_derived).map(|row| Reference::clone(row)).collect();
        test(id, &text, &printed);
    }
}

/// The tables of a rule document that have a printed head, with the rules of each of their rows.
fn rule_tables(rules: &[Reference]) -> Vec<(Cells, Vec<Vec<&Reference>>)> {
    let mut tables: Vec<(&str, Cells, Vec<Vec<&Reference>>)> = Vec::new();
    for rule in rules {
        let Some(head) = &rule.table.printed else { continue };
        if tables.last().is_none_or(|(id, ..)| *id != &*rule.table.id) {
            tables.push((&rule.table.id, cells(head), Vec::new()));
        }
        let rows = &mut tables.last_mut().unwrap().2;
        match rows.last_mut() {
            Some(row) if row[0].row.number == rule.row.number => row.push(rule),
            _ => rows.push(vec![rule]),
        }
    }
    tables.into_iter().map(|(_, head, rows)| (head, rows)).collect()
}

#[test]
fn every_table_is_there_row_by_row_and_no_row_more() {
    for_each_document(|id, text, rules| {
        let omitted =
            OMITTED.iter().find(|(document, _)| *document == id).map_or(&[][..], |(_, marks)| *marks);
        let mut used: BTreeSet<&&str> = BTreeSet::new();
        let mut theirs = tables(text);
        theirs.retain(|(head, rows)| {
            let first = rows.first().into_iter().flatten();
            let mark = omitted
                .iter()
                .find(|mark| head.iter().chain(first.clone()).any(|cell| cell.contains(**mark)));
            used.extend(mark);
            mark.is_none()
        });
        assert_eq!(used.len(), omitted.len(), "{id}: every omitted table is in the document");
        let mut ours: Vec<(Cells, Vec<Cells>)> = rule_tables(rules)
            .into_iter()
            .map(|(head, rows)| (head, rows.iter().map(|row| cells(&row[0].row.printed)).collect()))
            .collect();
        theirs.sort();
        ours.sort();
        assert_eq!(ours.len(), theirs.len(), "{id}: number of tables");
        for (ours, theirs) in ours.iter().zip(&theirs) {
            assert_eq!(ours.0, theirs.0, "{id}: table head");
            for (our, their) in ours.1.iter().zip(&theirs.1) {
                assert_eq!(our, their, "{id}");
            }
            assert_eq!(ours.1.len(), theirs.1.len(), "{id}: rows of the table with {:?}", ours.0);
        }
    });
}

/// The clouds that a cell names after a URL: "(Azure Public, Azure Gov)".
fn named_clouds(cell: &str, url: &str) -> BTreeSet<Cloud> {
    let words =
        [("Azure Public", Cloud::Public), ("Azure Gov", Cloud::UsGovernment), ("Azure China", Cloud::China)];
    let part = cell.split("<br>").find(|part| bare(part) == url).unwrap_or_default();
    words.iter().filter(|(word, _)| part.contains(word)).map(|(_, cloud)| *cloud).collect()
}

fn clouds(rules: &[&Reference], url: &str) -> BTreeSet<Cloud> {
    let of_url = rules.iter().filter(|rule| rule.url.as_deref() == Some(url));
    of_url.flat_map(|rule| rule.clouds.iter()).collect()
}

#[test]
fn every_url_of_every_table_is_read_as_printed() {
    let one = |cloud: Cloud| BTreeSet::from([cloud]);
    for_each_document(|id, _, rules| {
        for (head, rows) in rule_tables(rules) {
            for row in
                rows.iter().filter(|row| matches!(row[0].table.kind, TableKind::Endpoint | TableKind::Region))
            {
                // A row with a subject names no endpoint, or is not about servers.
                if row[0].about.is_some() {
                    continue;
                }
                let place = &row[0].id;
                let printed = cells(&row[0].row.printed);
                let mut theirs = BTreeSet::new();
                // Clouds that columns name; equal to ours where a table has such columns.
                let mut in_columns: BTreeSet<(String, Cloud)> = BTreeSet::new();
                let has_china = head.iter().any(|head| head == "Azure China URL");
                for (head, cell) in head.iter().zip(&printed) {
                    let cloud = match head.as_str() {
                        "Public cloud endpoint" => Some(Cloud::Public),
                        "Azure Government endpoint" => Some(Cloud::UsGovernment),
                        "Azure China URL" => Some(Cloud::China),
                        "URL" if has_china => Some(Cloud::Public),
                        "URL"
                        | "**URL**"
                        | "Endpoint (DNS)"
                        | "Destination"
                        | "Required endpoint"
                        | "Endpoint/URL"
                        | "Endpoint/URLs"
                        | "Endpoint or URLs"
                        | "Management Endpoint"
                        | "Login Endpoint"
                        | "Endpoint URL"
                        | "Agent resource"
                        | "Primary endpoint URL"
                        | "Discovery URL" => None,
                        _ => continue,
                    };
                    for url in urls(cell).into_iter().chain(cell.contains("git://").then(|| bare(cell))) {
                        let ours = clouds(row, &url);
                        match cloud {
                            Some(cloud) => {
                                in_columns.insert((url.clone(), cloud));
                            }
                            None if id.contains("2022-04-27") && !named_clouds(cell, &url).is_empty() => {
                                assert_eq!(ours, named_clouds(cell, &url), "{place}: {url}");
                            }
                            None => assert!(!ours.is_empty(), "{place}: {url}"),
                        }
                        theirs.insert(url);
                    }
                }
                if !in_columns.is_empty() {
                    let of = |rule: &&Reference| {
                        let url = rule.url.clone().unwrap().to_string();
                        rule.clouds.iter().map(move |cloud| (url.clone(), cloud)).collect::<Vec<_>>()
                    };
                    let ours: BTreeSet<(String, Cloud)> = row.iter().flat_map(of).collect();
                    assert_eq!(ours, in_columns, "{place}");
                }
                let ours: BTreeSet<String> =
                    row.iter().filter_map(|rule| rule.url.as_deref()).map(str::to_owned).collect();
                assert_eq!(ours, theirs, "{place}");
            }
            // A table with a column of clouds, or a list for one region, names the cloud itself.
            for row in &rows {
                let printed = cells(&row[0].row.printed);
                if head[0] == "Cloud" && row[0].table.kind == TableKind::Endpoint {
                    let cloud = match printed[0].as_str() {
                        name if name.contains("Public") => Cloud::Public,
                        name if name.contains("China") => Cloud::China,
                        _ => Cloud::UsGovernment,
                    };
                    assert!(
                        row.iter().all(|rule| rule.clouds.iter().collect::<BTreeSet<_>>() == one(cloud)),
                        "{}",
                        row[0].id
                    );
                }
            }
        }
    });
}

#[test]
fn every_printed_port_is_read_as_printed() {
    for_each_document(|_, _, rules| {
        for (head, rows) in rule_tables(rules) {
            let names = ["port", "ports", "destination port"];
            let is_port = |head: &String| names.contains(&head.trim_matches('*').to_lowercase().as_str());
            let Some(at) = head.iter().position(is_port) else { continue };
            for row in rows.iter().filter(|row| row[0].about.is_none()) {
                let printed = cells(&row[0].row.printed);
                if printed[at].is_empty() {
                    continue;
                }
                for rule in row {
                    let protocol =
                        match head.iter().position(|head| head == "Service").map(|at| printed[at].as_str()) {
                            Some("UDP") => "udp",
                            _ if printed[at] == "123" => "udp",
                            _ => "tcp",
                        };
                    let expected = match printed[at].as_str() {
                        "n/a" => "icmp, icmpv6".to_owned(),
                        "9,418" => "9418/tcp".to_owned(),
                        text if text.starts_with("Minimum of 100") => "5001-65535/tcp".to_owned(),
                        text => {
                            let ports: Vec<String> = text
                                .trim_matches('*')
                                .split(',')
                                .map(|port| format!("{}/{protocol}", port.trim()))
                                .collect();
                            ports.join(", ")
                        }
                    };
                    assert_eq!(rule.ports.to_string(), expected, "{}", rule.id);
                    assert_eq!(
                        rule.at_least,
                        printed[at].starts_with("Minimum of 100").then_some(100),
                        "{}",
                        rule.id
                    );
                }
            }
        }
    });
}

#[test]
fn every_region_row_is_read_as_printed() {
    for_each_document(|_, _, rules| {
        for (head, rows) in rule_tables(rules) {
            for row in rows.iter().filter(|row| row[0].table.kind == TableKind::Region) {
                let printed = cells(&row[0].row.printed);
                let cell = |name: &str| &printed[head.iter().position(|head| head == name).unwrap()];
                for rule in row {
                    assert_eq!(rule.region.as_deref(), Some(cell("Region").as_str()), "{}", rule.id);
                    assert_eq!(rule.pair.as_deref(), Some(cell("Paired region").as_str()), "{}", rule.id);
                    let url = rule.url.as_deref().unwrap();
                    // Only the two Swiss rows have names in a column where they do not belong.
                    if !cell("Region").starts_with("Switzerland") {
                        let column = if rule.role == Some(RegionRole::Primary) {
                            "Primary endpoint URL"
                        } else {
                            "Discovery URL"
                        };
                        assert!(urls(cell(column)).contains(&url.to_owned()), "{}: {url}", rule.id);
                    }
                }
            }
        }
    });
}

#[test]
fn roles_of_port_tables_are_read_as_printed() {
    let words = [
        ("Windows Admin Center", "windows-admin-center"),
        ("Azure Stack HCI", "servers"),
        ("Azure Local", "servers"),
        ("Management system", "management-system"),
        ("Cluster servers", "cluster-servers"),
        ("Instance nodes", "cluster-servers"),
        ("Hyper-V server", "hyper-v-servers"),
        ("Stretched cluster servers", "stretched-cluster"),
        ("Stretched instance nodes", "stretched-cluster"),
        ("Active Directory Services", "active-directory"),
        ("Network Time Protocol (NTP/SNTP) server", "time-servers"),
        ("Logical network used for AKS Arc VMs", "aks-clusters"),
        ("IP addresses in management network", "cluster-servers"),
        ("Cluster IP address", "cluster-servers"),
    ];
    let role =
        |printed: &str| words.iter().find(|(text, _)| *text == printed).map(|(_, role)| *role).unwrap();
    for_each_document(|_, _, rules| {
        for (head, rows) in rule_tables(rules) {
            let column = |name: &str| head.iter().position(|head| head == name);
            let ports =
                |row: &&Vec<&Reference>| row[0].table.kind == TableKind::Port && row[0].about.is_none();
            for row in rows.iter().filter(ports) {
                let printed = cells(&row[0].row.printed);
                let rule = row[0];
                if let Some(machines) = column("**IP/machine**") {
                    let ends = [rule.source.as_deref().unwrap(), rule.destination.as_deref().unwrap()];
                    let bridges = ends.iter().filter(|role| **role == "resource-bridge").count();
                    let alone = printed[machines].ends_with("(to each other)");
                    assert_eq!(bridges, if alone { 2 } else { 1 }, "{}", rule.id);
                    assert!(alone || ends[0] == "management-system", "{}", rule.id);
                    continue;
                }
                let ours = (rule.action.as_deref(), rule.source.as_deref(), rule.destination.as_deref());
                assert_eq!(
                    ours,
                    (
                        Some("allow"),
                        Some(role(&printed[column("Source").unwrap()])),
                        Some(role(&printed[column("Destination").unwrap()]))
                    ),
                    "{}",
                    rule.id
                );
            }
        }
    });
}

#[test]
fn every_sentence_and_list_line_stands_in_its_document() {
    for_each_document(|id, text, rules| {
        let text = squeezed(text);
        for rule in rules.iter().filter(|rule| rule.table.printed.is_none()) {
            assert!(
                text.contains(&*squeezed(&rule.row.printed)),
                "{id}: not in the document: {}",
                rule.row.printed
            );
        }
    });
}

/// Host names that a document mentions and that are none of its endpoints: links to pages, samples, configuration.
const MENTIONED: &[(&str, &[&str])] = &[
    ("azure-file-sync@2019-06-24", &["system.net"]),
    ("azure-file-sync@2024-05-13", &["download.microsoft.com", "learn.microsoft.com", "system.net"]),
    (
        "azure-file-sync@2024-11-06-networking",
        &[
            // A session at a prompt, that shows a chain of names.
            "azureprivatedns-host.microsoft.com",
            "csostoracct.privatelink.file.core.windows.net",
            "file.par20prdstr01a.store.core.windows.net",
            "ore.windows.net",
            "storageaccount.file.core.windows.net",
            "storageaccount.privatelink.file.core.windows.net",
            // Zones that resolvers forward.
            "afs.azure.net",
            "core.windows.net",
        ],
    ),
    (
        "azure-file-sync@2024-09-09-dns",
        &[
            // Zones that resolvers forward, and a session at a prompt.
            "*.core.windows.net",
            "core.windows.net",
            "csostoracct.privatelink.file.core.windows.net",
            "storageaccount.file.core.windows.net",
            "storageaccount.privatelink.file.core.windows.net",
        ],
    ),
    ("azure-file-sync@2025-08-25-sync-errors", &["file.core.windows.net"]),
    (
        "azure-file-sync@2026-07-24-endpoints",
        &[
            // Suffixes in a script.
            "afs.azure.cn",
            "afs.azure.us",
            // Sessions at a prompt.
            "file.core.windows.net",
            "mysssmanagement.westus2.afs.azure.net",
            "mysssmanagement.westus2.privatelink.afs.azure.net",
            "mysssmonitoring.westus2.afs.azure.net",
            "mysssmonitoring.westus2.privatelink.afs.azure.net",
            "myssssyncp.westus2.afs.azure.net",
            "myssssyncp.westus2.privatelink.afs.azure.net",
            "myssssyncs.westus2.afs.azure.net",
            "myssssyncs.westus2.privatelink.afs.azure.net",
            "privatelink.afs.azure.net",
            "storageaccount.file.core.windows.net",
            "storageaccount.privatelink.file.core.windows.net",
        ],
    ),
    ("azure-stack-hci@2021-12-14", &["webproxy1.com"]),
    ("azure-stack-hci@2022-04-28", &["webproxy1.com"]),
    ("azure-stack-hci@2025-03-19-dataon", &["learn.microsoft.com"]),
    ("azure-stack-hci@2025-05-06-hitachi", &["learn.microsoft.com"]),
    ("azure-stack-hci@2025-05-06-lenovo", &["learn.microsoft.com"]),
    ("azure-stack-hci@2025-10-22-dell", &["learn.microsoft.com"]),
    ("azure-stack-hci@2026-01-31-mocstack", &["learn.microsoft.com", "www.powershellgallery.com"]),
    ("azure-stack-hci@2026-06-25-hpe", &["learn.microsoft.com"]),
    ("windows-server@2023-10-06-endpoints", &["*.akadns.net"]),
    ("windows-server@2024-10-08-defender-antivirus", &["cp.wd.microsoft.com"]),
    (
        "windows-server@2025-10-16-defender",
        &[
            // The admin portal.
            "*.api.security.microsoft.com",
            "*.microsoftonline-p.com",
            "*.securitycenter.windows.com",
            "azureipranges.azurewebsites.net",
            "onboardingpackagescusprd.blob.core.windows.net",
            "secure.aadcdn.microsoftonline-p.com",
            "security.microsoft.com",
            "static2.sharepointonline.com",
        ],
    ),
];

/// What no table, list or block that is known by its form has would be found here.
#[test]
fn no_host_of_a_document_is_missing() {
    for_each_document(|id, text, rules| {
        let ours: BTreeSet<String> = rules.iter().flat_map(|rule| hosts(&rule.row.printed)).collect();
        let mentioned =
            MENTIONED.iter().find(|(document, _)| *document == id).map_or(&[][..], |(_, hosts)| *hosts);
        let missing: Vec<String> = hosts(text)
            .difference(&ours)
            .filter(|host| !mentioned.contains(&host.as_str()))
            .cloned()
            .collect();
        assert!(missing.is_empty(), "{id}: {missing:?}");
        let gone: Vec<&&str> = mentioned.iter().filter(|host| !hosts(text).contains(**host)).collect();
        assert!(gone.is_empty(), "{id}: no longer mentioned: {gone:?}");
    });
}

/// The lines of every code block whose lines are urls, as the one-time registration prints them.
#[test]
fn blocks_of_urls_are_there_line_by_line() {
    for_each_document(|id, text, rules| {
        let mut theirs = BTreeSet::new();
        for block in text.split("```").skip(1).step_by(2) {
            let lines: Vec<&str> = block.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
            if lines.iter().all(|line| line.starts_with("https://")) {
                theirs.extend(lines.into_iter().map(str::to_owned));
            }
        }
        let ours: BTreeSet<String> = rules
            .iter()
            .filter(|rule| theirs.contains(&*rule.row.printed))
            .map(|rule| rule.row.printed.to_string())
            .collect();
        assert_eq!(ours, theirs, "{id}");
        assert_eq!(theirs.is_empty(), id != "azure-stack-hci@2022-04-28", "{id}");
    });
}

#[test]
fn the_arc_gateway_list_is_there_line_by_line() {
    for_each_document(|id, text, rules| {
        if id != "azure-arc@2026-02-17-gateway" {
            return;
        }
        let theirs: Vec<&str> = text.split("```").nth(1).unwrap().split_whitespace().collect();
        let endpoints = rules.iter().filter(|rule| rule.table.kind == TableKind::Endpoint);
        let ours: Vec<&str> = endpoints.map(|rule| rule.url.as_deref().unwrap()).collect();
        assert_eq!(ours, theirs);
    });
}

#[test]
fn certificate_hosts_are_there_line_by_line() {
    for_each_document(|id, text, rules| {
        if id != "azure-certificates@2025-11-17" {
            return;
        }
        let section = text.split("## Certificate downloads and revocation lists").nth(1).unwrap();
        let section = section.split("\n## ").next().unwrap();
        let theirs: Vec<String> =
            section.lines().filter_map(|line| line.strip_prefix("- ")).map(bare).collect();
        let endpoints = rules.iter().filter(|rule| rule.table.kind == TableKind::Endpoint);
        let ours: Vec<&str> = endpoints.map(|rule| rule.url.as_deref().unwrap()).collect();
        assert_eq!(ours, theirs);
    });
}

#[test]
fn names_of_authorities_are_read_as_printed() {
    for_each_document(|_, _, rules| {
        for rule in rules.iter().filter(|rule| rule.common_name.is_some()) {
            let printed = rule.row.printed.split_once('[').unwrap().1.split_once(']').unwrap().0;
            // One name is misprinted.
            let printed = printed.replace("RSA406 ", "RSA4096 ");
            assert_eq!(rule.common_name.as_deref(), Some(printed.as_str()), "{}", rule.id);
        }
    });
}

#[test]
fn ports_of_the_windows_list_follow_its_protocols() {
    for_each_document(|id, _, rules| {
        if id != "windows-server@2023-10-06-endpoints" {
            return;
        }
        for rule in rules.iter().filter(|rule| rule.url.is_some()) {
            let printed = cells(&rule.row.printed);
            let protocols: Vec<String> = printed[2].split('/').map(|word| word.replace(' ', "")).collect();
            let http = protocols.iter().any(|word| word == "HTTP");
            let tls = protocols.iter().any(|word| word == "HTTPS" || word.starts_with("TLS"));
            let expected = match (http, tls) {
                (true, true) => "80/tcp, 443/tcp",
                (true, false) => "80/tcp",
                _ => "443/tcp",
            };
            assert_eq!(rule.ports.to_string(), expected, "{}", rule.id);
        }
    });
}

#[test]
fn json_blocks_are_there_object_by_object() {
    for_each_document(|id, text, rules| {
        let blocks = json_blocks(text);
        assert_eq!(blocks.len(), if id == "azure-stack-hci@2022-04-28" { 2 } else { 0 }, "{id}");
        for (block, table) in blocks.iter().zip(["required", "recommended"]) {
            let mut rows: Vec<Vec<&Reference>> = Vec::new();
            for rule in rules.iter().filter(|rule| *rule.table.id == *table) {
                match rows.last_mut() {
                    Some(row) if row[0].row.number == rule.row.number => row.push(rule),
                    _ => rows.push(vec![rule]),
                }
            }
            assert_eq!(rows.len(), block.len(), "{id}: {table}");
            for (row, [url, port, note]) in rows.iter().zip(block) {
                assert_eq!(row[0].url.as_deref(), Some(url.as_str()), "{}", row[0].id);
                assert_eq!(row[0].ports.to_string(), format!("{port}/tcp"), "{}", row[0].id);
                assert!(row[0].row.printed.contains(note.trim()), "{}: {note}", row[0].id);
                let named = [
                    ("Azure Public", Cloud::Public),
                    ("Azure Gov", Cloud::UsGovernment),
                    ("Azure China", Cloud::China),
                ];
                if note.starts_with('(') {
                    let expected: BTreeSet<Cloud> = named
                        .iter()
                        .filter(|(word, _)| note.contains(word))
                        .map(|(_, cloud)| *cloud)
                        .collect();
                    assert_eq!(row[0].clouds.iter().collect::<BTreeSet<_>>(), expected, "{}", row[0].id);
                }
            }
        }
    });
}

#[test]
fn lists_are_there_line_by_line() {
    for_each_document(|id, text, rules| {
        for table in ["microsoft-update", "remote-support"] {
            let rows: Vec<&Reference> = rules.iter().filter(|rule| *rule.table.id == *table).collect();
            let Some(first) = rows.first() else { continue };
            let ours: Vec<&str> = rows.iter().map(|rule| &*rule.row.printed).collect();
            assert_eq!(ours, bullets(text, &first.row.printed), "{id}: {table}");
            for rule in rows {
                assert_eq!(rule.url.as_deref(), Some(bare(&rule.row.printed).as_str()), "{}", rule.id);
            }
        }
        // Lists of tags: the tag is between the first code marks of each line.
        let tags =
            |rule: &&Reference| rule.table.kind == TableKind::ServiceTag && rule.table.printed.is_none();
        let rows: Vec<&Reference> = rules.iter().filter(tags).collect();
        let [first, _, ..] = rows[..] else { return };
        let ours: Vec<&str> = rows.iter().map(|rule| &*rule.row.printed).collect();
        assert_eq!(ours, bullets(text, &first.row.printed), "{id}: service tags");
        for rule in rows {
            let named: Vec<&str> = rule.row.tags.iter().map(|(tag, _)| &**tag).collect();
            assert_eq!(named, [rule.row.printed.split('`').nth(1).unwrap()], "{}", rule.id);
        }
    });
}

#[test]
fn the_first_issue_has_what_it_asks_for() {
    let library = Library::embedded().unwrap();
    let rules = library.references_of("azure-file-sync@2019-06-24").unwrap();
    let rows = |table: &str| {
        let numbers = rules.iter().filter(|rule| *rule.table.id == *table).map(|rule| rule.row.number);
        numbers.collect::<BTreeSet<u32>>().len()
    };
    assert_eq!((rows("endpoints"), rows("regions")), (6, 27));
    let clouds: BTreeSet<Cloud> = rules.iter().flat_map(|rule| rule.clouds.iter()).collect();
    assert_eq!(clouds, BTreeSet::from([Cloud::Public, Cloud::UsGovernment]));
}

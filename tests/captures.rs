//! Each case in `captures/` gives its expected rows.
//!
//! A case is a folder with a capture (`capture*`, one file or several) and `expected.rows`: every column of every flow, DNS
//! response, finding and requirement. A case with a `site.toml` is audited with it. `BLESS=1` writes the expected rows; read
//! the diff.

#![expect(clippy::unwrap_used, reason = "a panic shows where a test failed")]

mod support;

use std::path::Path;
use std::path::PathBuf;
use std::process::Command;

use support::files::map_parallel;
use support::files::own_captures;
use support::golden;
use support::golden::GoldenRow;
use support::golden::capture_files;
use support::golden::cases;

/// Both editions of the Azure File Sync document, so that legacy names have references too.
const DOCUMENTS: &str = "azure-file-sync@2019-06-24,azure-file-sync@2024-05-13";

fn audited_rows(case: &Path) -> Vec<GoldenRow> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_afs-audit"));
    command.arg("analyze").args(capture_files(case));
    command.args(["--format", "jsonl", "--quiet", "--fail-on", "never"]);
    let site = case.join("site.toml");
    if site.exists() {
        command.arg("--site").arg(site);
    } else {
        command.args(["--documents", DOCUMENTS]);
    }
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().lines().filter_map(GoldenRow::from_json).collect()
}

fn expected_rows(case: &str) -> Vec<GoldenRow> {
    golden::expected(&own_captures().join(case))
}

#[test]
fn each_case_gives_its_expected_rows() {
    let bless = std::env::var_os("BLESS").is_some();
    let cases = cases();
    assert!(cases.len() >= 93, "cases are missing: {}", cases.len());
    let results = map_parallel(&cases, |case| {
        let found = golden::print(&audited_rows(case));
        let path = case.join(golden::FILE);
        if bless {
            std::fs::write(&path, &found).unwrap();
        }
        let expected = std::fs::read_to_string(&path).unwrap_or_default();
        first_difference(&expected, &found).map(|line| format!("{}: {line}", case.display()))
    });
    let different: Vec<String> = results.into_iter().flatten().collect();
    assert!(
        different.is_empty(),
        "the rows differ; run `make bless` and read the diff:\n{}",
        different.join("\n")
    );
}

fn first_difference(expected: &str, found: &str) -> Option<String> {
    let lines = expected.lines().zip(found.lines()).zip(1..);
    let differing = lines.into_iter().find(|((expected, found), _)| expected != found);
    differing
        .map(|((expected, found), line)| format!("line {line}: expected {expected}, found {found}"))
        .or_else(|| {
            let [expected, found] = [expected, found].map(|text| text.lines().count());
            (expected != found).then(|| format!("{expected} lines expected, {found} found"))
        })
}

/// Every finding cites the references and documents that it follows from.
#[test]
fn every_finding_cites_its_source() {
    for case in cases() {
        for row in golden::expected(&case).iter().filter(|row| row.record == "finding") {
            for column in ["references", "documents"] {
                assert!(!row.cell(column).is_empty(), "{}: no {column}: {row:?}", case.display());
            }
        }
    }
}

/// The rows of each case show what the case is for: a blessed mistake is still a mistake.
#[test]
fn each_case_shows_its_situation() {
    let check = |case: &str, expected: &[&str]| {
        let rows = expected_rows(case);
        for expected in expected {
            let is_shown = rows.iter().any(|row| row.shows(expected));
            assert!(is_shown, "{case}: no row with {expected} in\n{}", golden::print(&rows));
        }
    };
    check(
        "dropped-by-host",
        &["outcome=ok,process=2764 FileSyncSvc.exe", "mechanism=dropped-by-host,netsh wfp"],
    );
    check(
        "translated-by-host",
        &[
            "client_ip=172.16.0.5,client_port=50001,translated_flow=10.1.0.4:61001 > 20.60.40.4:443",
            "client_ip=10.1.0.4,client_port=61001,translated_flow=172.16.0.5:50001 > 20.60.40.4:443",
            "transport=udp,client_ip=172.16.0.5,translated_flow=10.1.0.4:61000 > 10.1.0.53:53",
        ],
    );
    check(
        "both-sides-of-firewall",
        &[
            "points=capture-inside.pcap;capture-outside.pcap,outcome=ok",
            "finding,code=AFS202,confidence=certain,audited_host=10.1.0.4",
        ],
    );
    check("tcp-refused", &["outcome=blocked-looking,mechanism=tcp-refused", "finding,code=AFS201"]);
    check("tcp-unanswered", &["outcome=blocked-looking,mechanism=tcp-unanswered", "finding,code=AFS202"]);
    check("capture-drops", &["outcome=inconclusive,inconclusive_reason=frames-lost"]);
    check("capture-drops-gzip", &["mechanism=tcp-unanswered", "the capture device reports dropped packets"]);
    check("icmp-admin-prohibited", &["mechanism=icmp-admin-prohibited,confidence=certain"]);
    check("icmp-host-unreachable", &["mechanism=icmp-host-unreachable,confidence=weak"]);
    check("unexpected", &["destination_verdict=unexpected", "finding,code=AFS101"]);
    check("documented-broad", &["destination_verdict=documented-broad", "finding,code=AFS102"]);
    check("legacy-region-name", &["destination_verdict=documented,port_verdict=443,outcome=ok"]);
    check("not-443", &["server_port=8443", "port_verdict=not-443", "finding,code=AFS103"]);
    check("smb", &["app=smb", "finding,code=AFS103"]);
    check("site-other-product", &["finding,code=AFS115"]);
    check("site-us-government", &["finding,code=AFS406"]);
    check("malformed-names", &["destination_verdict=unexpected,port_verdict=443", "finding,code=AFS114"]);
    check("http-to-storage", &["app=http", "name_source=http-host", "finding,code=AFS104"]);
    check("inbound", &["finding,code=AFS105"]);
    check("ssh-on-443", &["server_port=443,app=ssh", "finding,code=AFS108"]);
    check("tls11-only-client", &["mechanism=tls-version-refused", "finding,code=AFS110"]);
    check("tls11-chosen-by-server", &["tls_version=TLS 1.1", "outcome=ok", "finding,code=AFS112"]);
    check("unsupported-cipher-suites", &["tls_version=TLS 1.2", "outcome=ok", "finding,code=AFS111"]);
    check("no-sni", &["destination_verdict=unidentified", "finding,code=AFS106"]);
    check("name-contradiction", &["finding,code=AFS107"]);
    check("dns-nxdomain", &["rcode=NXDOMAIN"]);
    check("dns-unanswered", &["query_name=westeurope01.afs.azure.net,query_type=A,rcode="]);
    check("dns-tcp", &["dns,client_ip=10.1.0.4,resolver_ip=10.1.0.53,transport=tcp"]);
    check(
        "tls-inspection",
        &[
            "tls_version=TLS 1.2",
            "certificate_issuer=O=Contoso Proxy…",
            "certificate_subject=O=Microsoft Corporation…",
            "certificate_names=contosofs.file.core.windows.net;…",
            "certificate_chain=O=Contoso Proxy…",
            "finding,code=AFS109",
        ],
    );
    let storage = "sni=contosofs.file.core.windows.net";
    for case in [
        "client-hello-split",
        "client-hello-out-of-order",
        "client-hello-records",
        "client-hello-post-quantum",
        "sequence-wrap",
        "syn-ack-changed",
    ] {
        check(case, &[storage, "tls_version=TLS 1.3", "outcome=ok"]);
    }
    check("client-hello-dropped", &["mechanism=silent-after-client-hello", "finding,code=AFS202"]);
    check("client-hello-reset", &["mechanism=reset-after-client-hello", "finding,code=AFS203"]);
    check("ech", &["sni=public.vendor.example", "ech=true"]);
    check(
        "tls-alert",
        &[storage, "mechanism=tls-alert-handshake-failure,confidence=weak", "finding,code=AFS211"],
    );
    check("starttls", &["server_port=587,app=tls,name=mail.vendor.example"]);
    check("proxy-connect", &["server_port=8080,app=tls,name=westeurope01.afs.azure.net", "port_verdict=443"]);
    // The proxy's name is not a second name of the requested server.
    assert!(expected_rows("proxy-connect").iter().all(|row| row.record != "finding"));
    check("proxy-socks", &["server_port=1080,app=tls,name=westeurope01.afs.azure.net", "port_verdict=443"]);
    check("quic", &["app=quic", "name_source=quic-sni", storage, "quic_version=1"]);
    check("quic-v2", &["app=quic", "name_source=quic-sni", storage, "quic_version=2"]);
    check("quic-refused", &["app=quic", storage, "quic_error=CONNECTION_REFUSED"]);
    check("client-hello-cut", &["app=tls", "tls_version=TLS 1.3,client_hello_cut=true"]);
    check("tls-resumed", &[storage, "tls_cipher=TLS_AES_128_GCM_SHA256,tls_resumed=true"]);
    check("proxy-protocol", &["app=tls", storage, "proxy_source=192.0.2.7"]);
    check("dns-pointer-chains", &["query_name=www.vendor.example", "unlisted_answers=49"]);
    check(
        "dns-https",
        &["h2 ipv4hint=93.184.215.14 ech=", "SVCB=1 dns.vendor.example alpn=dot;A=93.184.215.53"],
    );
    check("dns-srv", &["answers=SRV=0 100 443 sync1.vendor.example;A=93.184.215.99"]);
    check("dns-error", &["rcode=NXDOMAIN,extended_error=15 Blocked: not allowed by the site's policy"]);
    check("mid-stream", &["name=ocsp.msocsp.com,name_source=http-host"]);
    check("one-sided", &[storage, "outcome=inconclusive,inconclusive_reason=one-sided-capture"]);
    check("port-reuse", &[storage, "sni=westeurope01.afs.azure.net"]);
    check("simultaneous-open", &["sni=updates.vendor.example", "outcome=ok"]);
    check("encap-vlan", &["vlan=7"]);
    check("encap-qinq", &["vlan=500;7"]);
    for (case, tunnel) in [
        ("encap-vxlan", "vxlan:42"),
        ("encap-geneve", "geneve:42"),
        ("encap-gre", "gre"),
        ("encap-erspan", "erspan:42"),
        ("encap-mpls", "mpls:16 / mpls:32"),
        ("encap-pppoe", "pppoe:42"),
        ("encap-6in4", "ip-in-ip"),
    ] {
        check(case, &[storage, &format!("tunnel={tunnel}…")]);
    }
    check("ipv6", &["server_ip=2603:1030:1000::40:4", "name_source=sni"]);
    check(
        "site-lrs",
        &[
            "finding,code=AFS401,severity=high,audited_host=10.1.0.4,target=northeurope01.afs.azure.net",
            "finding,code=AFS401,severity=high,audited_host=10.1.0.4,target=southeastasia01.afs.azure.net",
            "requirement,service=Azure File Sync in West Europe,level=required,state=reached",
        ],
    );
    check(
        "site-accounts",
        &["code=AFS403", "code=AFS404", "code=AFS405", "target=stranger.blob.core.windows.net"],
    );
    check("site-private-endpoints", &["code=AFS411", "code=AFS412", "code=AFS413"]);
    check("site-shared-endpoint", &["code=AFS415,severity=medium,audited_host=10.1.0.4,target=10.9.0.5"]);
    check("site-proxy", &["code=AFS421", "code=AFS422", "code=AFS431", "target=9.9.9.9"]);
    check("site-roles", &["code=AFS441", "destination_verdict=documented,port_verdict=documented"]);
    check(
        "site-misprints",
        &[
            "references=hci-2022-04-28/required/11.1;…",
            "hci-2022-04-28/required/11.1 (as meant)",
            "afs-2019-06-24/regions/5.2 (as meant)",
            "hci-2022-04-28/recommended/20.1 (port as meant)",
            "hci-2022-04-28/cloud-witness/1.1 (placeholder)",
            "name=azgnrelay01.servicebus.windows.net",
            "server_port=9418,destination_verdict=documented-broad,port_verdict=documented",
        ],
    );
    check(
        "site-legacy-names",
        &[
            "service=Azure File Sync in West US,level=required,state=reached",
            "service=Azure File Sync in East US…,level=required,state=reached",
            "service=discovery of Azure File Sync in West US,level=required,state=reached",
        ],
    );
    check(
        "site-us-government",
        &[
            "code=AFS401,severity=high,audited_host=10.1.0.4,target=usgovtexas01.afs.azure.us",
            "code=AFS403,severity=high,audited_host=10.1.0.4,target=stranger.file.core.usgovcloudapi.net",
            "code=AFS406,severity=high,audited_host=10.1.0.4,target=westeurope01.afs.azure.net",
        ],
    );
    check("site-new-region", &["code=AFS402,severity=info", "code=AFS401,severity=high"]);
    check(
        "site-products",
        &[
            "references=arc-2026-04-01/public/6.1;afs-installation-2025-07-14/proxy-bypass/1.2;…",
            "note=expected: it is used every 15 minutes (arc-2026-04-01/statements/14)…",
        ],
    );
    check(
        "site-datagrams",
        &["transport=udp", "documented only in the opposite direction", "sent ICMP to 10.1.9.9"],
    );
    check("site-undeclared-proxy", &["code=AFS421", "from 10.1.0.9 port 8080 as a proxy"]);
    check("site-allow", &["destination_verdict=site-approved", "code=AFS101", "code=AFS451", "code=AFS452"]);
    check("site-tunnels", &["(IKE)", "(ESP)", "(WireGuard)", "(GRE)"]);
    check(
        "site-tags",
        &[
            "code=AFS471",
            "code=AFS472",
            "name_source=service-tag",
            "address_evidence=row-tag",
            "service_tags=StorageSyncService;AzureCloud",
        ],
    );
    check(
        "tls-refused",
        &[
            "mechanism=tls-version-refused,confidence=weak",
            "mechanism=tls-alert-access-denied,confidence=strong",
            "mechanism=tls-alert-unrecognized-name,confidence=weak",
            "mechanism=tls-client-gave-up-on-certificate,confidence=weak",
            "finding,code=AFS211",
            "finding,code=AFS212",
        ],
    );
    check(
        "proxy-refused",
        &[
            "mechanism=proxy-refused,confidence=certain",
            "mechanism=proxy-refused,confidence=strong",
            "mechanism=proxy-auth-required,confidence=weak",
            "finding,code=AFS221",
            "finding,code=AFS222",
        ],
    );
    check(
        "compared-attempts",
        &[
            "login.windows.net at the same address works, so the name seems to be filtered",
            "it had worked until 2026-01-05 08:00:00",
            "it worked later, from 2026-01-05 08:02:00",
        ],
    );
    check("proxy-socks-refused", &["mechanism=proxy-refused,confidence=certain", "finding,code=AFS221"]);
    check("captive-portal", &["mechanism=captive-portal,confidence=certain", "finding,code=AFS223"]);
    check("dns-error", &["finding,code=AFS308", "finding,code=AFS303"]);
    check("dns-nxdomain", &["finding,code=AFS301"]);
    check(
        "dns-blocked",
        &[
            "code=AFS302,severity=high,audited_host=10.1.0.4,target=refused.afs.azure.net",
            "code=AFS304,severity=high,audited_host=10.1.0.4,target=empty.file.core.windows.net",
            "code=AFS305,severity=high,audited_host=10.1.0.4,target=silent.afs.azure.net",
            "code=AFS306,severity=high,audited_host=10.1.0.4,target=zero.file.core.windows.net",
            "code=AFS306,severity=high,audited_host=10.1.0.4,target=loop.file.core.windows.net",
            "code=AFS307,severity=medium,audited_host=10.1.0.4,target=login.microsoftonline.com",
            "code=AFS310,severity=high,audited_host=10.1.0.4,target=twice.afs.azure.net",
        ],
    );
    check("site-blocked", &["service=Azure File Sync in West Europe,level=required,state=blocked"]);
    check(
        "site-not-observed",
        &[
            "service=Azure File Sync in West Europe,level=required,state=not-observed,count=0,note=expected: …",
        ],
    );
}

/// Expected traffic in the same captures has no findings.
#[test]
fn expected_traffic_has_no_findings() {
    let check = |case: &str, targets: &[&str]| {
        let rows = expected_rows(case);
        for target in targets {
            let is_reported = |row: &GoldenRow| row.record == "finding" && row.cell("target") == *target;
            assert!(!rows.iter().any(is_reported), "{case}: {target}");
            let is_present = target.split(':').all(|part| rows.iter().any(|row| row.shows(part)));
            assert!(is_present, "{case}: {target} is not in the capture");
        }
    };
    check("site-lrs", &["westeurope01.afs.azure.net", "contosofs.file.core.windows.net"]);
    check("site-grs", &["westeurope01.afs.azure.net", "northeurope01.afs.azure.net"]);
    check("site-accounts", &["contosofs-secondary.file.core.windows.net"]);
    check("site-private-endpoints", &["contosofs.file.core.windows.net", "login.microsoftonline.com"]);
    check("site-shared-endpoint", &["10.9.0.4"]);
    check("site-proxy", &["westeurope01.afs.azure.net", "10.1.0.53"]);
    check("site-roles", &["10.1.0.4:5985"]);
    check("site-legacy-names", &["kailani.one.microsoft.com", "kailani1.one.microsoft.com"]);
    check(
        "site-us-government",
        &["usgovarizona01.afs.azure.us", "contosofs.file.core.usgovcloudapi.net", "login.microsoftonline.us"],
    );
    check("site-products", &["management.azure.com"]);
    check("site-datagrams", &["10.1.0.4:3343"]);
    check("site-allow", &["backup.vendor.example"]);
    check("site-tunnels", &["10.1.0.9"]);
    check("site-tags", &["westeurope01.afs.azure.net"]);
    check("tls-refused", &["login.windows.net"]);
    check("proxy-refused", &["login.windows.net"]);
    check("captive-portal", &["crl.microsoft.com"]);
    check(
        "dns-blocked",
        &["contosofs.file.core.windows.net", "westeurope01.afs.azure.net", "late.afs.azure.net"],
    );
}

#[test]
fn a_working_site_has_no_findings() {
    let rows = expected_rows("working-site");
    assert!(rows.iter().all(|row| row.record != "finding"), "{}", golden::print(&rows));
    // An OCSP request on port 80.
    let ocsp = "destination_verdict=documented,port_verdict=documented,outcome=ok";
    assert!(rows.iter().any(|row| row.shows(ocsp)), "{}", golden::print(&rows));
}

/// Columns that depend on the file, the position in it and the encapsulation.
const POSITION: &[&str] = &[
    "file",
    "first_frame",
    "last_frame",
    "evidence_frames",
    "frame",
    "query_frame",
    "frames",
    "vlan",
    "tunnel",
];

/// Columns that depend on the precision of time stamps, or on the last frame.
const TIMES_AND_COUNTS: &[&str] = &["time", "query_time", "first_seen", "last_seen", "packets_to_client"];

/// Cases with the same traffic have the same rows, whatever the file format and encapsulation.
#[test]
fn other_files_and_encapsulations_give_the_same_rows() {
    let rows = |case: &str, ignored: &[&[&str]]| {
        let mut rows = expected_rows(case);
        for row in &mut rows {
            row.cells.retain(|(name, _)| !ignored.concat().contains(&name.as_str()));
        }
        rows
    };
    for case in [
        "zstd",
        "netmon",
        "pcapng-sections",
        "rotated-files",
        "fragments-ipv4",
        "link-sll",
        "link-sll2",
        "link-raw",
        "link-null",
        "duplicates",
        "encap-vlan",
        "encap-qinq",
        "encap-vxlan",
        "encap-geneve",
        "encap-gre",
        "encap-erspan",
        "encap-mpls",
        "encap-pppoe",
    ] {
        assert_eq!(rows(case, &[POSITION]), rows("gzip", &[POSITION]), "{case}");
    }
    // Their time stamps differ, and one lacks the last frame.
    for case in ["pcap-nanoseconds", "truncated-file"] {
        assert_eq!(
            rows(case, &[POSITION, TIMES_AND_COUNTS]),
            rows("gzip", &[POSITION, TIMES_AND_COUNTS]),
            "{case}"
        );
    }
    for case in ["encap-6in4", "fragments-ipv6"] {
        assert_eq!(rows(case, &[POSITION]), rows("ipv6", &[POSITION]), "{case}");
    }
}

/// The number of threads and the order of the files do not change the output.
#[test]
fn threads_and_file_order_do_not_change_the_output() {
    let captures: Vec<PathBuf> = cases().iter().flat_map(|case| capture_files(case)).collect();
    let backwards: Vec<PathBuf> = captures.iter().rev().cloned().collect();
    let run = |captures: &[PathBuf], threads: &str| {
        let output = Command::new(env!("CARGO_BIN_EXE_afs-audit"))
            .arg("analyze")
            .args(captures)
            .args(["--format", "jsonl", "--quiet", "--fail-on", "never", "--threads", threads])
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    };
    let expected = run(&captures, "1");
    assert!(expected.len() > 10_000);
    for (captures, threads) in [(&backwards, "1"), (&captures, "2"), (&captures, "3"), (&backwards, "9")] {
        assert!(run(captures, threads) == expected, "{threads} threads");
    }
}

/// A site file restricts what is expected and adds requirements.
#[test]
fn a_site_file_changes_findings_and_adds_requirements() {
    let folder = own_captures().join("demo");
    let run = |site: &Path| {
        Command::new(env!("CARGO_BIN_EXE_afs-audit"))
            .arg("analyze")
            .arg(folder.join("capture.pcap"))
            .args(["--format", "jsonl", "--quiet", "--fail-on", "never", "--site"])
            .arg(site)
            .output()
            .unwrap()
    };
    let output = run(&folder.join("site.toml"));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let rows = String::from_utf8(output.stdout).unwrap();
    for expected in [
        "\"code\":\"AFS403\"",
        "othertenant.blob.core.windows.net",
        "\"state\":\"reached\"",
        "\"state\":\"blocked\"",
        "\"state\":\"not-observed\"",
    ] {
        assert!(rows.contains(expected), "no {expected} in\n{rows}");
    }

    let wrong = tempfile::tempdir().unwrap();
    let wrong = wrong.path().join("wrong.toml");
    std::fs::write(&wrong, "[site]\nname = \"x\"\n[azure-file-sync]\nregoin = \"West Europe\"\n").unwrap();
    let output = run(&wrong);
    assert_eq!(output.status.code(), Some(2));
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(stderr.contains("wrong.toml:4") && stderr.contains("region"), "{stderr}");
}

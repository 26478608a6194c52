//! The captures of this repository give the rows that are written beside them.
//!
//! Each folder of `captures/` holds a capture, in one file or several (`capture*`), and `expected.csv`: of every flow, answer, finding and need what a person
//! would check, and no counters, durations or file positions. A folder with a `site.toml` is judged by it. `BLESS=1` writes the expected rows anew; read the
//! diff.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on should say where")]

use std::fmt::Write as _;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;

/// Both editions of the document of Azure File Sync: what a site of today and one of yesterday go by.
const DOCUMENTS: &str = "azure-file-sync@2019-06-24,azure-file-sync@2024-05-13";

/// The columns that are evidence, by record.
const EVIDENCE: &[(&str, &[&str])] = &[
    (
        "flow",
        &[
            "transport",
            "client_ip",
            "server_ip",
            "server_port",
            "vlan",
            "tunnel",
            "app",
            "name",
            "name_source",
            "sni",
            "dns_name",
            "alpn",
            "tls_version",
            "ech",
            "certificate_issuer",
            "destination_verdict",
            "port_verdict",
            "outcome",
            "mechanism",
            "inconclusive_reason",
            "confidence",
            "references",
            "findings",
            "service_tags",
            "address_evidence",
        ],
    ),
    (
        "dns",
        &[
            "client_ip",
            "resolver_ip",
            "transport",
            "query_name",
            "query_type",
            "rcode",
            "answers",
            "resolved_addresses",
            "extended_error",
        ],
    ),
    ("finding", &["code", "severity", "audited_host", "target", "count", "message"]),
    ("requirement", &["service", "level", "server", "state", "count", "note"]),
];

fn folders() -> Vec<PathBuf> {
    let captures = Path::new(env!("CARGO_MANIFEST_DIR")).join("captures");
    let mut folders: Vec<PathBuf> =
        std::fs::read_dir(captures).unwrap().map(|entry| entry.unwrap().path()).collect();
    // The lab's captures have labels of their own.
    folders.retain(|folder| folder.is_dir() && !folder.ends_with("lab"));
    folders.sort();
    folders
}

/// The files of a case: those called `capture`.
fn captures(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| file.file_name().unwrap().to_string_lossy().starts_with("capture"));
    files.sort();
    assert!(!files.is_empty(), "{}: no capture", folder.display());
    files
}

fn cell(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(cell).collect::<Vec<_>>().join(";"),
        other => other.to_string(),
    }
}

/// A line for each record: `record,column=value,…` with only what is known.
fn rows(folder: &Path) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_afs-audit"));
    command.arg("analyze").args(captures(folder));
    command.args(["--format", "jsonl", "--quiet", "--fail-on", "never"]);
    let site = folder.join("site.toml");
    if site.exists() {
        command.arg("--site").arg(site);
    } else {
        command.args(["--documents", DOCUMENTS]);
    }
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut text = String::new();
    for line in String::from_utf8(output.stdout).unwrap().lines() {
        let record: Value = serde_json::from_str(line).unwrap();
        let kind = cell(record.get("record").unwrap());
        let (_, columns) = EVIDENCE.iter().find(|(name, _)| *name == kind).unwrap();
        // A finding says where that is written, whatever it is about.
        for cited in ["references", "documents"].iter().filter(|_| kind == "finding") {
            let value = record.get(*cited).map(cell).unwrap_or_default();
            assert!(!value.is_empty(), "{}: no {cited}: {record}", folder.display());
        }
        text.push_str(&kind);
        for column in *columns {
            if let Some(value) = record.get(*column) {
                write!(text, ",{column}={}", cell(value)).unwrap();
            }
        }
        text.push('\n');
    }
    text
}

#[test]
fn each_capture_gives_its_rows() {
    let bless = std::env::var_os("BLESS").is_some();
    let mut wrong = Vec::new();
    let folders = folders();
    assert!(folders.len() >= 93, "captures are missing: {}", folders.len());
    for folder in &folders {
        let found = rows(folder);
        let path = folder.join("expected.csv");
        if bless {
            std::fs::write(&path, &found).unwrap();
        } else if std::fs::read_to_string(&path).unwrap_or_default() != found {
            wrong.push(format!("{}:\n{found}", folder.display()));
        }
    }
    assert!(
        wrong.is_empty(),
        "other rows than expected; `make bless` and read the diff:\n{}",
        wrong.join("\n")
    );
}

/// The words of each case's name are in its rows: a blessed mistake is still a mistake.
#[test]
fn each_case_shows_what_it_is_for() {
    let check = |case: &str, expected: &[&str]| {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("captures").join(case).join("expected.csv");
        let rows = std::fs::read_to_string(&path).unwrap();
        for expected in expected {
            assert!(rows.contains(expected), "{case}: no {expected} in\n{rows}");
        }
    };
    check("tcp-refused", &["outcome=blocked-looking,mechanism=tcp-refused", "finding,code=AFS201"]);
    check("tcp-unanswered", &["outcome=blocked-looking,mechanism=tcp-unanswered", "finding,code=AFS202"]);
    check("capture-drops", &["outcome=inconclusive,inconclusive_reason=frames-lost"]);
    check(
        "capture-drops-gzip",
        &["mechanism=tcp-unanswered", "the capture says that its sensor lost packets"],
    );
    check("icmp-admin-prohibited", &["mechanism=icmp-admin-prohibited,confidence=certain"]);
    check("icmp-host-unreachable", &["mechanism=icmp-host-unreachable,confidence=weak"]);
    check("unexpected", &["destination_verdict=unexpected", "finding,code=AFS101"]);
    check("documented-broad", &["destination_verdict=documented-broad", "finding,code=AFS102"]);
    check("legacy-region-name", &["destination_verdict=documented,port_verdict=443,outcome=ok"]);
    check("not-443", &["server_port=8443", "port_verdict=not-443", "finding,code=AFS103"]);
    check("smb", &["app=smb", "finding,code=AFS103"]);
    check("http-to-storage", &["app=http", "name_source=http-host", "finding,code=AFS104"]);
    check("inbound", &["finding,code=AFS105"]);
    check("ssh-on-443", &["server_port=443,app=ssh", "finding,code=AFS108"]);
    check("tls11-only-client", &["mechanism=tls-version-refused", "finding,code=AFS110"]);
    check("tls11-chosen-by-server", &["tls_version=TLS 1.1", "outcome=ok", "finding,code=AFS112"]);
    check("unsupported-cipher-suites", &["tls_version=TLS 1.2", "outcome=ok", "finding,code=AFS111"]);
    check("no-sni", &["destination_verdict=unidentified", "finding,code=AFS106"]);
    check("name-contradiction", &["finding,code=AFS107"]);
    check("dns-nxdomain", &["rcode=NXDOMAIN"]);
    check("dns-unanswered", &["query_name=westeurope01.afs.azure.net,query_type=A\n"]);
    check("dns-tcp", &["dns,client_ip=10.1.0.4,resolver_ip=10.1.0.53,transport=tcp"]);
    check(
        "tls-inspection",
        &["tls_version=TLS 1.2", "certificate_issuer=O=Contoso Proxy", "finding,code=AFS109"],
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
    // The proxy's own name is no other name of what is asked of it.
    let connect = Path::new(env!("CARGO_MANIFEST_DIR")).join("captures/proxy-connect");
    assert!(!rows(&connect).contains("finding,"));
    check("proxy-socks", &["server_port=1080,app=tls,name=westeurope01.afs.azure.net", "port_verdict=443"]);
    check("quic", &["app=quic", "name_source=quic-sni", storage]);
    check("quic-v2", &["app=quic", "name_source=quic-sni", storage]);
    check(
        "dns-https",
        &["alpn=h3,h2 ipv4hint=93.184.215.14 ech=", "SVCB=1 dns.vendor.example alpn=dot;A=93.184.215.53"],
    );
    check("dns-srv", &["answers=SRV=0 100 443 sync1.vendor.example;A=93.184.215.99\n"]);
    check("dns-error", &["rcode=NXDOMAIN,extended_error=15 Blocked: not allowed by the site's policy"]);
    check("mid-stream", &["name=ocsp.msocsp.com,name_source=http-host"]);
    check("one-sided", &[storage, "outcome=inconclusive,inconclusive_reason=one-sided-capture"]);
    check("port-reuse", &[storage, "sni=westeurope01.afs.azure.net"]);
    check("simultaneous-open", &["sni=updates.vendor.example", "outcome=ok"]);
    check("encap-vlan", &["vlan=7,"]);
    check("encap-qinq", &["vlan=500;7,"]);
    for (case, tunnel) in [
        ("encap-vxlan", "vxlan:42"),
        ("encap-geneve", "geneve:42"),
        ("encap-gre", "gre"),
        ("encap-erspan", "erspan:42"),
        ("encap-mpls", "mpls:16 / mpls:32"),
        ("encap-pppoe", "pppoe:42"),
        ("encap-6in4", "ip-in-ip"),
    ] {
        check(case, &[storage, &format!("tunnel={tunnel}")]);
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
    check("site-proxy", &["code=AFS421", "code=AFS422", "code=AFS431", "target=9.9.9.9"]);
    check("site-roles", &["code=AFS441", "destination_verdict=documented,port_verdict=documented"]);
    check(
        "site-misprints",
        &[
            "hci-2022-04-28/required/11.1;",
            "hci-2022-04-28/required/11.1 (as meant)",
            "afs-2019-06-24/regions/5.2 (as meant)",
            "hci-2022-04-28/recommended/20.1 (port as meant)",
            "hci-2022-04-28/cloud-witness/1.1 (placeholder)",
            "name=azgnrelay01.servicebus.windows.net",
            "server_port=9418,destination_verdict=documented,port_verdict=documented",
        ],
    );
    check(
        "site-legacy-names",
        &[
            "service=Azure File Sync in West US,level=required,state=reached",
            "service=Azure File Sync in East US, the paired region of West US,level=required,state=reached",
            "service=discovery of Azure File Sync in West US,level=required,state=reached",
        ],
    );
    check(
        "site-us-government",
        &[
            "code=AFS401,severity=high,audited_host=10.1.0.4,target=usgovtexas01.afs.azure.us",
            "code=AFS403,severity=high,audited_host=10.1.0.4,target=stranger.file.core.usgovcloudapi.net",
            "code=AFS101,severity=medium,audited_host=10.1.0.4,target=westeurope01.afs.azure.net",
        ],
    );
    check("site-new-region", &["code=AFS402,severity=info", "code=AFS401,severity=high"]);
    check(
        "site-products",
        &[
            "references=arc-2026-04-01/public/6.1;afs-2024-05-13/endpoints/1.1",
            "note=expected: it is used every 15 minutes (arc-2026-04-01/statements/14)",
        ],
    );
    check("site-datagrams", &["transport=udp", "the other way round", "opened icmp to 10.1.9.9"]);
    check("site-undeclared-proxy", &["code=AFS421", "asked 10.1.0.9 port 8080"]);
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
            "login.windows.net at the same address works, so that the name seems to be filtered",
            "it had worked until 2026-01-05T08:00:00",
            "it worked later, from 2026-01-05T08:02:00",
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
            "code=AFS304,severity=medium,audited_host=10.1.0.4,target=empty.file.core.windows.net",
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
        &["service=Azure File Sync in West Europe,level=required,state=not-seen,count=0,note=expected: "],
    );
}

/// What stands beside the guilty in the same capture is not accused.
#[test]
fn what_is_innocent_is_no_finding() {
    let check = |case: &str, innocent: &[&str]| {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("captures").join(case).join("expected.csv");
        let rows = std::fs::read_to_string(path).unwrap();
        for subject in innocent {
            let accused =
                |row: &str| row.starts_with("finding,") && row.contains(&format!("target={subject},"));
            assert!(!rows.lines().any(accused), "{case}: {subject}\n{rows}");
            let seen = subject.split(':').all(|part| rows.contains(part));
            assert!(seen, "{case}: {subject} is not there\n{rows}");
        }
    };
    check("site-lrs", &["westeurope01.afs.azure.net", "contosofs.file.core.windows.net"]);
    check("site-grs", &["westeurope01.afs.azure.net", "northeurope01.afs.azure.net"]);
    check("site-accounts", &["contosofs-secondary.file.core.windows.net"]);
    check("site-private-endpoints", &["contosofs.file.core.windows.net", "login.microsoftonline.com"]);
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
fn a_site_that_works_has_no_findings() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("captures/working-site/expected.csv");
    let rows = std::fs::read_to_string(path).unwrap();
    assert!(!rows.contains("finding"), "{rows}");
    assert!(
        rows.contains("destination_verdict=documented,port_verdict=documented,outcome=ok"),
        "a status check on port 80\n{rows}"
    );
}

/// Cases that hold one and the same traffic have the same rows, but for what it was wrapped in.
#[test]
fn other_files_and_wrappings_have_the_same_rows() {
    let rows = |case: &str| {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("captures").join(case).join("expected.csv");
        let rows = std::fs::read_to_string(path).unwrap();
        let plain = |row: &str| {
            let cells =
                row.split(',').filter(|cell| !cell.starts_with("vlan=") && !cell.starts_with("tunnel="));
            cells.collect::<Vec<_>>().join(",")
        };
        rows.lines().map(plain).collect::<Vec<_>>()
    };
    let expected = rows("gzip");
    for case in [
        "zstd",
        "pcap-nanoseconds",
        "pcapng-sections",
        "rotated-files",
        "truncated-file",
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
        assert_eq!(rows(case), expected, "{case}");
    }
    for case in ["encap-6in4", "fragments-ipv6"] {
        assert_eq!(rows(case), rows("ipv6"), "{case}");
    }
}

/// The same bytes whatever the number of threads, and whatever the order in which files are named.
#[test]
fn threads_and_order_leave_no_trace() {
    let captures: Vec<PathBuf> = folders().iter().flat_map(|folder| captures(folder)).collect();
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

/// What the site file adds: what is the site's own, and what it needs.
#[test]
fn a_site_file_says_what_is_expected() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("captures/demo");
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
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("wrong.toml:4") && said.contains("region"), "{said}");
}

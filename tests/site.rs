//! Findings and requirements that follow from a site file, on small captures written here.

#![expect(clippy::unwrap_used, reason = "a panic shows where a test failed")]
#![expect(clippy::indexing_slicing, reason = "a panic shows where a test failed")]

use std::net::Ipv4Addr;
use std::path::Path;
use std::process::Command;
use std::process::Output;

use serde_json::Value;

/// 2026-07-20T10:11:12Z.
const BEGIN: u32 = 1_784_542_272;

const SERVER: &str = "10.1.0.4";

/// A capture with one frame each second.
struct Capture {
    bytes: Vec<u8>,
    frames: u32,
    port: u16,
}

impl Capture {
    fn new() -> Capture {
        let words: [u32; 6] = [0xa1b2_c3d4, 0x0004_0002, 0, 0, 65535, 1];
        let bytes = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        Capture { bytes, frames: 0, port: 50000 }
    }

    fn ip(&mut self, from: &str, to: &str, protocol: u8, payload: &[u8]) {
        let mut frame = vec![0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 2, 8, 0, 0x45, 0];
        frame.extend((20 + payload.len() as u16).to_be_bytes());
        frame.extend([0, 1, 0x40, 0, 64, protocol, 0, 0]);
        for address in [from, to] {
            frame.extend(address.parse::<Ipv4Addr>().unwrap().octets());
        }
        frame.extend(payload);
        let len = frame.len() as u32;
        let record = [BEGIN + self.frames, 0, len, len];
        self.bytes.extend(record.iter().flat_map(|word| word.to_le_bytes()));
        self.bytes.extend(frame);
        self.frames += 1;
    }

    fn udp(&mut self, from: (&str, u16), to: (&str, u16), payload: &[u8]) {
        let mut udp = [from.1.to_be_bytes(), to.1.to_be_bytes()].concat();
        udp.extend((8 + payload.len() as u16).to_be_bytes());
        udp.extend([0, 0]);
        udp.extend(payload);
        self.ip(from.0, to.0, 17, &udp);
    }

    fn tcp(&mut self, ends: [(&str, u16); 2], sequence: [u32; 2], flags: u8, payload: &[u8]) {
        let [from, to] = ends;
        let mut tcp = [from.1.to_be_bytes(), to.1.to_be_bytes()].concat();
        tcp.extend(sequence.iter().flat_map(|number| number.to_be_bytes()));
        tcp.extend([0x50, flags, 0x20, 0, 0, 0, 0, 0]);
        tcp.extend(payload);
        self.ip(from.0, to.0, 6, &tcp);
    }

    /// A TCP connection with `request` and `response`.
    fn connection(
        mut self,
        client: &str,
        server: &str,
        port: u16,
        request: &[u8],
        response: &[u8],
    ) -> Capture {
        self.port += 1;
        let (client, server) = ((client, self.port), (server, port));
        let (there, back) = ([client, server], [server, client]);
        let (sent, got) = (101 + request.len() as u32, 501 + response.len() as u32);
        self.tcp(there, [100, 0], 0x02, &[]);
        self.tcp(back, [500, 101], 0x12, &[]);
        self.tcp(there, [101, 501], 0x10, &[]);
        if !request.is_empty() {
            self.tcp(there, [101, 501], 0x18, request);
            self.tcp(back, [501, sent], 0x18, response);
        }
        self.tcp(there, [sent, got], 0x11, &[]);
        self.tcp(back, [got, sent + 1], 0x11, &[]);
        self.tcp(there, [sent + 1, got + 1], 0x10, &[]);
        self
    }

    /// A TLS connection of the audited server to `address` with the SNI `name`.
    fn tls(self, address: &str, name: &str) -> Capture {
        self.connection(SERVER, address, 443, &hello(name), &server_hello())
    }

    /// A DNS query for `chain[0]`; the response holds the CNAME chain and `address`.
    fn dns(mut self, resolver: &str, chain: &[&str], address: &str) -> Capture {
        self.port += 1;
        let question = [name(chain[0]), vec![0, 1, 0, 1]].concat();
        let mut query = vec![0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        query.extend(&question);
        let mut answer = vec![0x12, 0x34, 0x81, 0x80, 0, 1, 0, chain.len() as u8, 0, 0, 0, 0];
        answer.extend(&question);
        let mut record = |owner: &str, kind: u8, data: &[u8]| {
            answer.extend(name(owner));
            answer.extend([0, kind, 0, 1, 0, 0, 0, 60]);
            answer.extend((data.len() as u16).to_be_bytes());
            answer.extend(data);
        };
        for step in chain.windows(2) {
            record(step[0], 5, &name(step[1]));
        }
        record(chain[chain.len() - 1], 1, &address.parse::<Ipv4Addr>().unwrap().octets());
        let (client, port) = ((SERVER, self.port), (resolver, 53));
        self.udp(client, port, &query);
        self.udp(port, client, &answer);
        self
    }
}

fn name(text: &str) -> Vec<u8> {
    let labels = text.split('.').flat_map(|label| [&[label.len() as u8], label.as_bytes()].concat());
    labels.chain([0]).collect()
}

/// A ClientHello with a server name (RFC 8446 §4.1.2, RFC 6066 §3).
fn hello(name: &str) -> Vec<u8> {
    let sized = |bytes: Vec<u8>| [&(bytes.len() as u16).to_be_bytes()[..], &bytes].concat();
    let server_name = sized([vec![0], sized(name.as_bytes().to_vec())].concat());
    let extensions = sized([vec![0, 0], sized(server_name)].concat());
    let body = [vec![3, 3], vec![7; 32], vec![0, 0, 2, 0xc0, 0x30, 1, 0], extensions].concat();
    let handshake = [&[1, 0][..], &(body.len() as u16).to_be_bytes(), &body].concat();
    [vec![22, 3, 1], sized(handshake)].concat()
}

/// A ServerHello of TLS 1.2 without extensions.
fn server_hello() -> Vec<u8> {
    let body = [vec![3, 3], vec![9; 32], vec![0, 0xc0, 0x30, 0]].concat();
    let handshake = [&[2, 0, 0, body.len() as u8][..], &body].concat();
    [&[22, 3, 3, 0, handshake.len() as u8][..], &handshake].concat()
}

/// Audits a capture with a site file; `beside` holds further files of its folder.
fn analyze(capture: &Capture, site: &str, beside: &[(&str, &str)]) -> Output {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    std::fs::write(path("office.pcap"), &capture.bytes).unwrap();
    std::fs::write(path("site.toml"), site).unwrap();
    for (name, text) in beside {
        std::fs::write(path(name), text).unwrap();
    }
    run(
        folder.path(),
        &["analyze", "office.pcap", "--site", "site.toml", "--format", "jsonl", "--fail-on", "never"],
    )
}

fn run(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_afs-audit")).args(arguments).current_dir(folder).output().unwrap()
}

fn records(output: &Output) -> Vec<Value> {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The findings of a capture, as `code target`.
fn findings(capture: &Capture, site: &str, beside: &[(&str, &str)]) -> Vec<String> {
    let records = records(&analyze(capture, site, beside));
    let of_kind = records.iter().filter(|record| record["record"] == "finding");
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    of_kind.map(|record| format!("{} {}", text(&record["code"]), text(&record["target"]))).collect()
}

fn check(capture: &Capture, site: &str, expected: &[&str]) {
    assert_eq!(findings(capture, site, &[]), expected, "{site}");
}

const WEST_US: &str = "[site]\nproducts = [\"azure-file-sync\"]\n[azure-file-sync]\nregion = \"West US\"\n";

#[test]
fn another_region_is_a_finding() {
    let ours = || Capture::new().tls("52.1.2.3", "westus01.afs.azure.net");
    check(&ours(), WEST_US, &[]);
    let elsewhere = ours().tls("52.1.2.4", "westeurope01.afs.azure.net");
    check(&elsewhere, WEST_US, &["AFS401 westeurope01.afs.azure.net"]);
    check(&elsewhere, "", &[]);
    let pair = Capture::new().tls("52.1.2.4", "eastus01.afs.azure.net");
    check(&pair, &format!("{WEST_US}redundancy = \"GRS\"\n"), &[]);
    check(&pair, &format!("{WEST_US}redundancy = \"LRS\"\n"), &["AFS401 eastus01.afs.azure.net"]);
    let cloud = Capture::new().tls("52.1.2.4", "westus01.afs.azure.us");
    check(&cloud, WEST_US, &["AFS401 westus01.afs.azure.us"]);
    let own = Capture::new().tls("52.1.2.4", "contososyncsyncp.westus.afs.azure.net");
    check(&own, WEST_US, &[]);
    let new = Capture::new().tls("52.1.2.4", "italynorth01.afs.azure.net");
    check(&new, WEST_US, &["AFS401 italynorth01.afs.azure.net"]);
    check(&new, "[azure-file-sync]\nregion = \"Italy North\"\n", &["AFS402 italynorth01.afs.azure.net"]);
}

#[test]
fn other_accounts_and_routes_are_findings() {
    let site = format!("{WEST_US}storage-accounts = [\"contosofs\"]\n");
    let capture = Capture::new()
        .tls("20.60.0.4", "contosofs.file.core.windows.net")
        .tls("20.60.0.5", "stranger.blob.core.windows.net")
        .tls("20.60.0.6", "contosofs-internetrouting.file.core.windows.net")
        .dns("10.1.0.53", &["contosofs.file.core.windows.net"], "20.60.0.4")
        .connection(SERVER, "20.60.0.4", 445, &[], &[]);
    let expected = [
        "AFS403 stranger.blob.core.windows.net",
        "AFS103 contosofs.file.core.windows.net",
        "AFS404 contosofs-internetrouting.file.core.windows.net",
        "AFS405 contosofs.file.core.windows.net",
    ];
    check(&capture, &site, &expected);
}

#[test]
fn private_endpoints_need_their_private_zone() {
    const NAME: &str = "contosofs.file.core.windows.net";
    const ZONE: &str = "contosofs.privatelink.file.core.windows.net";
    let declared = "[private-endpoints]\nnetworks = [\"10.9.0.0/24\"]\n";
    let reached =
        |chain: &[&str], address: &str| Capture::new().dns("10.1.0.53", chain, address).tls(address, NAME);
    check(&reached(&[NAME, ZONE], "10.9.0.4"), declared, &[]);
    check(&reached(&[NAME, ZONE], "10.9.0.4"), "", &[]);
    check(&reached(&[NAME, ZONE], "20.60.0.4"), declared, &[&format!("AFS411 {NAME}")]);
    check(&reached(&[NAME, ZONE], "20.60.0.4"), "", &[]);
    check(&reached(&[NAME], "10.7.0.4"), "", &[&format!("AFS412 {NAME}")]);
    check(&reached(&[NAME], "20.60.0.4"), declared, &[&format!("AFS413 {NAME}")]);
    check(&reached(&[NAME], "20.60.0.4"), "", &[]);
}

#[test]
fn a_declared_proxy_is_used() {
    let site = "[proxy]\naddresses = [\"10.1.0.8:8080\"]\n";
    const NAME: &str = "westus01.afs.azure.net";
    let connect = format!("CONNECT {NAME}:443 HTTP/1.1\r\nHost: {NAME}:443\r\n\r\n");
    let answer = b"HTTP/1.1 200 Connection established\r\n\r\n";
    let through = Capture::new().connection(SERVER, "10.1.0.8", 8080, connect.as_bytes(), answer);
    check(&through, site, &[]);
    let past = Capture::new().dns("10.1.0.53", &[NAME], "52.1.2.3").tls("52.1.2.3", NAME);
    check(&past, site, &[&format!("AFS421 {NAME}"), &format!("AFS422 {NAME}")]);
    for other in ["10.1.0.9", "203.0.113.9"] {
        let undeclared = Capture::new().connection(SERVER, other, 8080, connect.as_bytes(), answer);
        check(&undeclared, site, &[&format!("AFS421 {NAME}")]);
        check(&undeclared, "", &[]);
    }
}

#[test]
fn queries_go_to_the_resolvers_of_the_site() {
    let capture = Capture::new().dns("10.1.0.53", &["westus01.afs.azure.net"], "52.1.2.3").dns(
        "8.8.8.8",
        &["westus01.afs.azure.net"],
        "52.1.2.3",
    );
    let found = findings(&capture, "[dns]\nresolvers = [\"10.1.0.53\"]\n", &[]);
    assert_eq!(found, ["AFS431 8.8.8.8"]);
}

#[test]
fn ports_between_roles_are_judged() {
    let site = "[site]\nproducts = [\"azure-stack-hci\"]\n[roles]\nservers = [\"10.1.0.0/24\"]\n\
                windows-admin-center = [\"10.1.9.9\"]\n";
    let center = |port| Capture::new().connection("10.1.9.9", SERVER, port, &[], &[]);
    check(&center(3389), site, &["AFS441 10.1.0.4:3389"]);
    check(&center(5985), site, &[]);
    let back = |port| Capture::new().connection(SERVER, "10.1.9.9", port, &[], &[]);
    check(&back(3389), site, &["AFS441 10.1.9.9:3389"]);
    check(&back(5985), site, &["AFS441 10.1.9.9:5985"]);
    let time = "[site]\nproducts = [\"azure-stack-hci\"]\n[roles]\nservers = [\"10.1.0.0/24\"]\ntime-servers = [\"10.1.9.9\"]\n";
    let mut ntp = Capture::new();
    ntp.udp((SERVER, 50000), ("10.1.9.9", 123), &[0x23; 48]);
    let output = records(&analyze(&ntp, time, &[]));
    assert_eq!(
        (&output[0]["destination_verdict"], &output[0]["port_verdict"]),
        (&"documented".into(), &"documented".into())
    );
}

#[test]
fn references_mark_matches_of_corrected_rows() {
    let rules = |capture: &Capture, site: &str| {
        let row = records(&analyze(capture, site, &[])).remove(0);
        let rules = row["references"].as_array().cloned().unwrap_or_default();
        let rules: Vec<&str> = rules.iter().map(|rule| rule.as_str().unwrap()).collect();
        (row["port_verdict"].as_str().unwrap().to_owned(), rules.join(";"))
    };
    let old = "[rules]\ndocuments = [\"azure-stack-hci@2022-04-28\"]\n";
    let tls = |name: &str| Capture::new().tls("52.1.2.3", name);
    let (_, printed) = rules(&tls("dp.azurestackchi.azure.us"), old);
    assert!(printed.starts_with("hci-2022-04-28/") && !printed.contains("as meant"), "{printed}");
    let (_, meant) = rules(&tls("dp.azurestackhci.azure.us"), old);
    assert!(meant.split(';').all(|rule| rule.ends_with(" (as meant)")), "{meant}");
    // The row prints 443 for a URL with the scheme http.
    const UPDATE: &str = "wustat.windows.com";
    let request = format!("GET / HTTP/1.1\r\nHost: {UPDATE}\r\n\r\n");
    let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
    let http = Capture::new().connection(SERVER, "52.1.2.3", 80, request.as_bytes(), answer);
    let (port, meant) = rules(&http, old);
    assert_eq!(port, "documented");
    assert!(meant.contains(" (port as meant)"), "{meant}");
    let (port, printed) = rules(&tls(UPDATE), old);
    assert_eq!((port.as_str(), printed.contains("as meant")), ("443", false), "{printed}");
    // A port without a host, printed with a thousands separator.
    let oldest = "[rules]\ndocuments = [\"azure-stack-hci@2021-12-14\"]\n";
    let git = |port| Capture::new().connection(SERVER, "140.82.1.1", port, b"0032git", b"0000");
    assert_eq!(rules(&git(9418), oldest).0, "documented");
    assert_eq!(rules(&git(418), oldest).0, "not-443");
    assert_eq!(rules(&git(9418), "").0, "not-443");
    let vault = tls("contosovault.vault.azure.net");
    let list = |keys: &str| format!("[azure-stack-hci]\nregion = \"East US\"\n{keys}");
    let (_, unfilled) = rules(&vault, &list(""));
    assert!(unfilled.contains(" (placeholder)"), "{unfilled}");
    let (_, filled) = rules(&vault, &list("key-vaults = [\"contosovault\"]\n"));
    assert!(!filled.contains(" (placeholder)"), "{filled}");
}

#[test]
fn findings_cite_their_sources() {
    let cited = |capture: &Capture, site: &str, code: &str| {
        let records = records(&analyze(capture, site, &[]));
        let found = records.iter().find(|record| record["code"] == code).unwrap().clone();
        ["references", "documents"].map(|cell| found[cell].to_string())
    };
    let undocumented = Capture::new().tls("203.0.113.9", "backup.vendor.example");
    let [rule, document] = cited(&undocumented, WEST_US, "AFS101");
    assert!(rule.contains("afs-2024-05-13/statements/13") && document.contains("azure-file-sync@2024-05-13"));
    assert!(!document.contains("azure-stack-hci"), "the site does not use it: {document}");
    let roles = "[site]\nproducts = [\"azure-stack-hci\"]\n[roles]\nservers = [\"10.1.0.0/24\"]\n\
                 windows-admin-center = [\"10.1.9.9\"]\n";
    let remote_desktop = Capture::new().connection("10.1.9.9", SERVER, 3389, &[], &[]);
    let [rule, _] = cited(&remote_desktop, roles, "AFS441");
    assert!(rule.contains("azure-local-2025-01-08/windows-admin-center/1"), "{rule}");
    let mut tunnel = Capture::new();
    tunnel.ip(SERVER, "203.0.113.1", 50, &[0, 0, 0x12, 0x34, 0, 0, 0, 1, 9, 9, 9, 9]);
    let [rule, _] = cited(&tunnel, "", "AFS461");
    assert!(rule.contains("afs-networking-2024-11-06/statements/12"), "{rule}");
    // A statement about another product is not cited.
    const NAME: &str = "contosofs.file.core.windows.net";
    let public = Capture::new().dns("10.1.0.53", &[NAME], "20.60.0.4").tls("20.60.0.4", NAME);
    let [_, document] = cited(&public, "[private-endpoints]\nnetworks = [\"10.9.0.0/24\"]\n", "AFS413");
    assert!(document.contains("networking") && !document.contains("azure-stack-hci@2025"), "{document}");
}

#[test]
fn exceptions_are_valid_until_their_expiry_date() {
    let capture = Capture::new().tls("203.0.113.9", "backup.vendor.example");
    let allow =
        |day: &str| format!("[[allow]]\nname = \"*.vendor.example\"\nreason = \"backup\"\nexpires = {day}\n");
    check(&capture, "", &["AFS101 backup.vendor.example"]);
    check(&capture, &allow("2026-07-20"), &[]);
    let row = &records(&analyze(&capture, &allow("2026-07-20"), &[]))[0];
    assert_eq!((&row["destination_verdict"], &row["port_verdict"]), (&"site-approved".into(), &"443".into()));
    let subject = "[[allow]] *.vendor.example, line 1";
    let expired = [&format!("AFS451 {subject}"), "AFS101 backup.vendor.example"];
    check(&capture, &allow("2026-07-19"), &expired);
    let other = Capture::new().tls("52.1.2.3", "westus01.afs.azure.net");
    check(&other, &allow("2026-07-20"), &[&format!("AFS452 {subject}")]);
}

#[test]
fn tunnels_are_reported_by_name() {
    let mut capture = Capture::new();
    capture.ip(SERVER, "203.0.113.1", 50, &[0, 0, 0x12, 0x34, 0, 0, 0, 1, 9, 9, 9, 9]);
    let found = findings(&capture, "", &[]);
    assert!(found.iter().any(|finding| finding.starts_with("AFS461 203.0.113.1")), "{found:?}");
    let inside = |protocol| {
        let mut capture = Capture::new();
        capture.ip(SERVER, "10.1.0.1", protocol, &[0, 0, 0x9a, 0x9a, 0, 0, 0, 1, 9, 9, 9, 9]);
        findings(&capture, "", &[]).len()
    };
    assert_eq!(
        [inside(50), inside(47)],
        [1, 0],
        "a gateway of the site's own hides as much; a mirror hides nothing"
    );
}

fn tags(sync: &str) -> String {
    format!(
        r#"{{"changeNumber": 7, "cloud": "Public", "values": [
{{"name": "StorageSyncService", "id": "StorageSyncService", "properties": {{"changeNumber": 1, "region": "",
  "systemService": "StorageSyncService", "addressPrefixes": ["{sync}"], "networkFeatures": null}}}},
{{"name": "AzureCloud", "id": "AzureCloud", "properties": {{"changeNumber": 1, "region": "",
  "systemService": "", "addressPrefixes": ["52.0.0.0/8"], "networkFeatures": null}}}}]}}"#
    )
}

#[test]
fn service_tags_confirm_or_contradict_addresses() {
    let site = "[service-tags]\nfile = \"ServiceTags_Public_20260713.json\"\n";
    let file = tags("52.1.2.0/24");
    let beside = [("ServiceTags_Public_20260713.json", file.as_str())];
    let capture = Capture::new()
        .tls("52.1.2.3", "westus01.afs.azure.net")
        .tls("203.0.113.7", "eastus01.afs.azure.net")
        .tls("203.0.113.8", "graph.microsoft.com")
        .connection(SERVER, "52.1.2.9", 443, b"\x00", b"\x00")
        .connection(SERVER, "52.7.7.7", 443, b"\x00", b"\x00");
    let output = analyze(&capture, site, &beside);
    let records = records(&output);
    let flow = |address: &str| {
        records.iter().find(|record| record["record"] == "flow" && record["server_ip"] == address).unwrap()
    };
    let ours = flow("52.1.2.3");
    assert_eq!(ours["service_tags"], serde_json::json!(["StorageSyncService", "AzureCloud"]));
    assert_eq!(ours["address_evidence"], "row-tag");
    let nameless = flow("52.1.2.9");
    assert_eq!(
        (&nameless["destination_verdict"], &nameless["name_source"]),
        (&"documented".into(), &"service-tag".into())
    );
    assert_eq!(flow("52.7.7.7")["destination_verdict"], "unidentified");
    let found = findings(&capture, site, &beside);
    assert_eq!(found, ["AFS471 eastus01.afs.azure.net", "AFS106 52.7.7.7", "AFS472 graph.microsoft.com"]);
    let old = "[service-tags]\nfile = \"ServiceTags_Public_20260101.json\"\n";
    let beside = [("ServiceTags_Public_20260101.json", file.as_str())];
    let stderr = String::from_utf8(analyze(&capture, old, &beside).stderr).unwrap();
    assert!(stderr.contains("28 weeks older than the capture"), "{stderr}");
    for (date, expected) in [("20260727", None), ("20261102", Some("14 weeks newer than the capture"))] {
        let name = format!("ServiceTags_Public_{date}.json");
        let site = format!("[service-tags]\nfile = \"{name}\"\n");
        let output = analyze(&capture, &site, &[(name.as_str(), file.as_str())]);
        let stderr = String::from_utf8(output.stderr).unwrap();
        let is_reported = expected.is_some_and(|expected| stderr.contains(expected));
        assert_eq!(
            (is_reported, stderr.contains("than the capture")),
            (expected.is_some(), expected.is_some()),
            "{stderr}"
        );
    }
}

#[test]
fn requirements_are_listed() {
    let site = format!("{WEST_US}redundancy = \"LRS\"\n");
    let capture = Capture::new().tls("52.1.2.3", "kailani.one.microsoft.com");
    let records = records(&analyze(&capture, &site, &[]));
    let needs: Vec<&Value> = records.iter().filter(|record| record["record"] == "requirement").collect();
    assert_eq!(needs[0]["service"], "Azure File Sync in West US");
    assert_eq!(needs[0]["state"], "reached", "a legacy name will do: {}", needs[0]);
    assert!(needs.iter().skip(1).all(|need| need["state"] == "not-observed"));
    assert!(needs.iter().all(|need| !need["references"].as_array().unwrap().is_empty()));
}

#[test]
fn endpoints_of_other_sites_satisfy_no_requirement() {
    let state = |site: &str, name: &str, service: &str| {
        let records = records(&analyze(&Capture::new().tls("20.60.0.4", name), site, &[]));
        let found = |record: &&Value| record["service"].as_str().is_some_and(|text| text == service);
        records.iter().find(found).unwrap()["state"].as_str().unwrap().to_owned()
    };
    let accounts = format!("{WEST_US}storage-accounts = [\"contosofs\"]\n");
    let file_endpoint = "file endpoint of storage account contosofs: contosofs.file.core.windows.net";
    let storage = |name: &str| state(&accounts, name, file_endpoint);
    assert_eq!(storage("contosofs.file.core.windows.net"), "reached");
    assert_eq!(storage("contosofs.queue.core.windows.net"), "not-observed");
    assert_eq!(storage("stranger.file.core.windows.net"), "not-observed");
    let new = "[site]\nproducts = [\"azure-file-sync\"]\n[azure-file-sync]\nregion = \"Italy North\"\n";
    let sync = |name: &str| state(new, name, "Azure File Sync: *.afs.azure.net");
    assert_eq!(sync("italynorth01.afs.azure.net"), "reached");
    assert_eq!(sync("westus01.afs.azure.net"), "not-observed");
}

#[test]
fn site_init_drafts_a_site_file_from_a_capture() {
    const NAME: &str = "westus01.afs.azure.net";
    let connect = format!("CONNECT {NAME}:443 HTTP/1.1\r\nHost: {NAME}:443\r\n\r\n");
    let capture = Capture::new()
        .dns("10.1.0.53", &["contosofs.file.core.windows.net"], "20.60.0.4")
        .tls("20.60.0.4", "contosofs.file.core.windows.net")
        .tls("203.0.113.4", "x\"]y.file.core.windows.net")
        .connection(SERVER, "10.1.0.8", 8080, connect.as_bytes(), b"HTTP/1.1 200 OK\r\n\r\n");
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("office.pcap"), &capture.bytes).unwrap();
    let made = run(folder.path(), &["site", "init", "office.pcap"]);
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let site = String::from_utf8(made.stdout).unwrap();
    for line in [
        "cloud = \"public\"",
        "# products = [\"azure-file-sync\"]   # observed",
        "region = \"West US\"",
        "storage-accounts = [\"contosofs\"]",
        "servers = [\"10.1.0.4\"]",
        "addresses = [\"10.1.0.8:8080\"]",
        "resolvers = [\"10.1.0.53\"]",
    ] {
        assert!(site.lines().any(|found| found == line), "{line}:\n{site}");
    }
    records(&analyze(&capture, &site, &[]));
    // Names that a site file would refuse are omitted.
    let odd = Capture::new()
        .tls("52.1.2.3", "westeurop01.afs.azure.net")
        .tls("52.1.2.4", "contoso-fs.file.core.windows.net")
        .tls("52.1.2.5", "ab.file.core.windows.net");
    std::fs::write(folder.path().join("odd.pcap"), &odd.bytes).unwrap();
    let draft = String::from_utf8(run(folder.path(), &["site", "init", "odd.pcap"]).stdout).unwrap();
    assert!(draft.contains("# region = ") && draft.contains("# storage-accounts = "), "{draft}");
    records(&analyze(&odd, &draft, &[]));
    // Every example in the draft is valid when uncommented, except the service tag file, which must exist.
    let all: String = site
        .lines()
        .filter(|line| {
            !line.starts_with("# A ") && !line.starts_with("# What") && !line.contains("also observed")
        })
        .filter(|line| !line.contains("ServiceTags_"))
        .map(|line| format!("{}\n", line.strip_prefix("# ").unwrap_or(line)))
        .collect();
    records(&analyze(&capture, &all, &[]));
    std::fs::write(folder.path().join("empty.pcap"), Capture::new().bytes).unwrap();
    let empty = run(folder.path(), &["site", "init", "empty.pcap"]);
    records(&analyze(&capture, &String::from_utf8(empty.stdout).unwrap(), &[]));
}

#[test]
fn site_file_errors_are_reported_with_their_line() {
    let wrong = |site: &str, beside: &[(&str, &str)], expected: &str| {
        let output = analyze(&Capture::new(), site, beside);
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!((output.status.code(), stderr.contains(expected)), (Some(2), true), "{stderr}");
        assert!(output.stdout.is_empty());
    };
    wrong(
        "[azure-file-sync]\nregoin = \"x\"\n",
        &[],
        "site.toml:2: unknown key `regoin`, did you mean `region`?",
    );
    let tags = "[service-tags]\nfile = \"tags.json\"\n";
    wrong(tags, &[], "site.toml:2: no such file: `tags.json`");
    wrong(tags, &[("tags.json", "")], "tags.json:1: the file is empty");
    wrong(tags, &[("tags.json", "[]")], "tags.json:1: not a service tag file");
    wrong(
        tags,
        &[("tags.json", "{\"changeNumber\": 1,\n\"cloud\": \"Public\", \"values\": [\n")],
        "tags.json:3: the file is truncated",
    );
    let file = self::tags("52.1.2.0/24");
    let china = format!("[site]\ncloud = \"china\"\n{tags}");
    wrong(&china, &[("tags.json", &file)], "the file is for the cloud `Public`, the site is in `china`");
    wrong(tags, &[("tags.json", "{\n \"changeNumber\": x")], "tags.json:2: ");
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("rules")).unwrap();
    std::fs::write(folder.path().join("rules/a.toml"), "[document]\nx = 1\n").unwrap();
    std::fs::write(folder.path().join("x.pcap"), "no capture").unwrap();
    let output = run(folder.path(), &["analyze", "x.pcap", "--rules", "rules"]);
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.code() == Some(2) && stderr.contains("a.toml:2: "), "{stderr}");
}

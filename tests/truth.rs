//! Compares the rows of generated captures with the generator's list of what they contain.

#![expect(clippy::unwrap_used, reason = "a panic shows where a test failed")]

mod support;

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use support::files::CsvRow;
use support::files::read_csv;
use support::prerequisites::shared_folder;

/// Enough for more than five conversations of every kind that the generator knows.
const FLOWS: &str = "3000";

/// The generator's list of the conversations in a capture, and the rows of its audit.
struct GeneratedCapture {
    truth: Vec<CsvRow>,
    flows: Vec<CsvRow>,
    dns: Vec<CsvRow>,
}

/// Generates a capture in `folder` and audits it; none without the generator.
fn generate(folder: &Path, more: &[&str]) -> Option<GeneratedCapture> {
    let generator = shared_folder("bench")?.join("gen_capture.py");
    let capture = folder.join("mixed.pcap");
    let made = Command::new("python3")
        .arg(generator)
        .args(["--shape", "mixed", "--flows", FLOWS, "--out"])
        .arg(&capture)
        .args(more)
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let evidence = folder.join("evidence");
    let ran = Command::new(env!("CARGO_BIN_EXE_afs-audit"))
        .args(["analyze", "-q", "--fail-on", "never", "--hash", "none", "-o"])
        .args([&evidence, &capture])
        .output()
        .unwrap();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    Some(GeneratedCapture {
        truth: read_csv(&folder.join("mixed.pcap.truth.csv")),
        flows: read_csv(&evidence.join("flows.csv")),
        dns: read_csv(&evidence.join("dns.csv")),
    })
}

/// The endpoints of a conversation.
fn ends(row: &CsvRow, transport: &str) -> String {
    let [client_ip, client_port, server_ip, server_port] =
        ["client_ip", "client_port", "server_ip", "server_port"].map(|column| row[column].as_str());
    format!("{} {client_ip} {client_port} > {server_ip} {server_port}", row[transport])
}

/// The outcomes that are right for a conversation with this end.
fn outcomes(ended: &str) -> &'static [&'static str] {
    match ended {
        // A DNS query has a response, whatever its content.
        "ok" | "rst_close" | "dns_nx" | "dns_sinkhole" => &["ok"],
        "syn_rst" => &["blocked-looking tcp-refused"],
        // The capture holds no packet of that server, so it may be one-sided.
        "syn_timeout" => &["blocked-looking tcp-unanswered", "inconclusive one-sided-capture"],
        "icmp_unreach" => &["blocked-looking icmp-admin-prohibited"],
        "ch_rst" => &["blocked-looking reset-after-client-hello"],
        "ch_timeout" => &["blocked-looking silent-after-client-hello"],
        "tls_alert" => &["blocked-looking tls-alert-handshake-failure"],
        "midstream" => &["ok", "inconclusive began-before"],
        "quic_blocked" => &["inconclusive unanswered", "blocked-looking quic-unanswered"],
        other => unreachable!("unknown end: {other}"),
    }
}

/// Packets after reassembly: the fragments of a ClientHello are one packet.
fn packets(truth: &CsvRow) -> u64 {
    const TCP_HEADER: u64 = 20;
    const FRAGMENT: u64 = 200;
    let sent = truth["packets"].parse::<u64>().unwrap();
    let is_fragmented = truth["hello"].starts_with("ipfrag") && !truth["client_ip"].contains(':');
    let hello = truth["hello_bytes"].parse::<u64>().unwrap();
    if is_fragmented { sent + 1 - (TCP_HEADER + hello).div_ceil(FRAGMENT) } else { sent }
}

fn check(more: &[&str]) {
    let folder = tempfile::tempdir().unwrap();
    let Some(generated) = generate(folder.path(), more) else { return };
    let mut flows: BTreeMap<String, Vec<&CsvRow>> = BTreeMap::new();
    for row in &generated.flows {
        flows.entry(ends(row, "transport")).or_default().push(row);
    }
    let answers: BTreeSet<&str> = generated.dns.iter().map(|row| row["query_name"].as_str()).collect();
    let mut kinds: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    for truth in &generated.truth {
        let ends = ends(truth, "proto");
        let Some([row]) = flows.get(&ends).map(Vec::as_slice) else {
            unreachable!("{ends}: {:?}", flows.get(&ends))
        };
        *kinds.entry((&truth["hello"], &truth["outcome"])).or_default() += 1;
        let sni = if truth["hello"] == "none" { "" } else { &truth["sni"] };
        assert_eq!(row["sni"], sni, "{truth:?}");
        if !sni.is_empty() {
            let source = if truth["proto"] == "udp" { "quic-sni" } else { "sni" };
            assert_eq!((row["name"].as_str(), row["name_source"].as_str()), (sni, source), "{truth:?}");
        }
        let dns_name = &truth["dns_name"];
        if !dns_name.is_empty() {
            // A host that connects over IPv6 sends its DNS queries from its IPv4 address.
            let v6 = truth["client_ip"].contains(':');
            let is_resolved = |name: &str| {
                generated.dns.iter().any(|row| {
                    row["query_name"] == name
                        && (v6 || row["client_ip"] == truth["client_ip"])
                        && row["resolved_addresses"].split(';').any(|address| address == truth["server_ip"])
                })
            };
            assert!(answers.contains(&dns_name.as_str()), "{truth:?}");
            // Two names of one client may have the same address; then the newer response counts.
            let to_resolver = truth["server_port"] == "53";
            assert!(
                to_resolver || is_resolved(dns_name) && is_resolved(&row["dns_name"]),
                "{truth:?}: {row:?}"
            );
        }
        let outcome = format!("{} {}{}", row["outcome"], row["mechanism"], row["inconclusive_reason"]);
        assert!(outcomes(&truth["outcome"]).contains(&outcome.trim_end()), "{outcome}: {truth:?}");
        assert_eq!(row["vlan"], truth["vlan"].replace('/', ";"), "{truth:?}");
        let counted =
            ["packets_to_server", "packets_to_client"].map(|column| row[column].parse::<u64>().unwrap());
        assert_eq!(counted.iter().sum::<u64>(), packets(truth), "{truth:?}: {row:?}");
        assert_eq!(
            (&row["bytes_to_server"], &row["bytes_to_client"]),
            (&truth["bytes_c2s"], &truth["bytes_s2c"]),
            "{truth:?}"
        );
    }
    assert!(kinds.len() >= 25 && kinds.values().all(|count| *count > 5), "{kinds:?}");
}

#[test]
fn generated_traffic_is_found_in_pcap() {
    check(&["--format", "pcap"]);
}

#[test]
fn generated_traffic_is_found_in_pcap_with_nanoseconds() {
    check(&["--format", "pcap-ns", "--seed", "2"]);
}

#[test]
fn generated_traffic_is_found_in_pcapng() {
    check(&["--format", "pcapng", "--seed", "3"]);
}

/// Without the ClientHello in a tunnel, the flow has the name in the CONNECT request.
#[test]
fn a_tunnel_without_client_hello_has_the_requested_name() {
    let folder = tempfile::tempdir().unwrap();
    // The CONNECT fits this snap length, the ClientHello does not.
    let Some(generated) = generate(folder.path(), &["--snaplen", "200"]) else { return };
    let tunnels: BTreeMap<String, &CsvRow> = generated
        .truth
        .iter()
        .filter(|truth| truth["note"] == "proxy")
        .map(|truth| (ends(truth, "proto"), truth))
        .collect();
    assert!(tunnels.len() > 20);
    for row in &generated.flows {
        if let Some(truth) = tunnels.get(&ends(row, "transport")) {
            assert_eq!(row["name"], truth["sni"], "{row:?}");
            assert!(["connect", "sni"].contains(&row["name_source"].as_str()), "{row:?}");
        }
    }
}

#[test]
fn a_truncated_name_is_never_reported() {
    for snap_len in ["96", "160", "200", "300", "700", "1000"] {
        let folder = tempfile::tempdir().unwrap();
        let Some(generated) = generate(folder.path(), &["--snaplen", snap_len]) else { return };
        let truth: BTreeMap<String, &CsvRow> =
            generated.truth.iter().map(|truth| (ends(truth, "proto"), truth)).collect();
        let names: BTreeSet<&str> = generated
            .truth
            .iter()
            .flat_map(|truth| [&truth["sni"], &truth["dns_name"], &truth["dns_final"]])
            .map(String::as_str)
            .collect();
        let mut named = 0;
        for row in &generated.flows {
            let truth = truth.get(&ends(row, "transport"));
            if !row["sni"].is_empty() {
                named += 1;
                assert_eq!(truth.map(|truth| &truth["sni"]), Some(&row["sni"]), "{snap_len}: {row:?}");
            }
            if let (false, Some(truth)) = (row["name"].is_empty(), truth) {
                // A flow without a ClientHello has a name from another source, which is a whole name too.
                let is_indirect =
                    ["dns", "dns-other", "http-host", "connect"].contains(&row["name_source"].as_str());
                let certificate = row["name_source"] == "certificate";
                assert!(
                    row["name"] == truth["sni"]
                        || certificate
                        || is_indirect && names.contains(row["name"].as_str()),
                    "{snap_len}: {row:?}: {truth:?}"
                );
            }
            let counted = ["packets_to_server", "packets_to_client"];
            let counted: u64 = counted.map(|column| row[column].parse::<u64>().unwrap()).iter().sum();
            if let Some(truth) = truth.filter(|truth| !truth["hello"].starts_with("ipfrag")) {
                assert_eq!(counted, packets(truth), "{snap_len}: {row:?}");
            }
        }
        for row in &generated.dns {
            let name = row["query_name"].as_str();
            assert!(
                names.contains(name) || row["damaged"] == "true" && name.is_empty(),
                "{snap_len}: {row:?}"
            );
        }
        assert!(
            named > 0 || ["96", "160"].contains(&snap_len),
            "{snap_len}: truncated frames still have names"
        );
    }
}

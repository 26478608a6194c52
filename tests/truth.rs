//! Compares what we find in generated captures with what their generator says it put there.
//!
//! The generator lies beside the repository. Where it is missing, these tests say so; under CI they fail.

#![expect(clippy::unwrap_used, reason = "a panic shows where a test failed")]

mod support;

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use support::files::CsvRow;
use support::files::read_csv;
use support::prerequisites::shared_folder;

/// Enough for every kind of conversation that the generator knows to appear more than five times.
const FLOWS: &str = "3000";

/// What the generator says it put into a capture, and the rows that we find.
struct Made {
    truth: Vec<CsvRow>,
    flows: Vec<CsvRow>,
    dns: Vec<CsvRow>,
}

/// Generates a capture into `folder` and audits it; none where the generator is not there.
fn make(folder: &Path, more: &[&str]) -> Option<Made> {
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
    Some(Made {
        truth: read_csv(&folder.join("mixed.pcap.truth.csv")),
        flows: read_csv(&evidence.join("flows.csv")),
        dns: read_csv(&evidence.join("dns.csv")),
    })
}

/// Both ends of a conversation.
fn ends(row: &CsvRow, transport: &str) -> String {
    let [client_ip, client_port, server_ip, server_port] =
        ["client_ip", "client_port", "server_ip", "server_port"].map(|column| row[column].as_str());
    format!("{} {client_ip} {client_port} > {server_ip} {server_port}", row[transport])
}

/// The outcomes that a conversation may have that ended like this.
fn outcomes(ended: &str) -> &'static [&'static str] {
    match ended {
        // A look-up is answered, whatever it is answered with.
        "ok" | "rst_close" | "dns_nx" | "dns_sinkhole" => &["ok"],
        "syn_rst" => &["blocked-looking tcp-refused"],
        // Nobody in the capture ever hears of that server: it may see one direction only.
        "syn_timeout" => &["blocked-looking tcp-unanswered", "inconclusive one-sided-capture"],
        "icmp_unreach" => &["blocked-looking icmp-admin-prohibited"],
        "ch_rst" => &["blocked-looking reset-after-client-hello"],
        "ch_timeout" => &["blocked-looking silent-after-client-hello"],
        "tls_alert" => &["blocked-looking tls-alert-handshake-failure"],
        "midstream" => &["ok", "inconclusive began-before"],
        "quic_blocked" => &["inconclusive unanswered", "blocked-looking quic-unanswered"],
        other => unreachable!("not known how this ends: {other}"),
    }
}

/// Packets as a receiver counts them: the fragments of a hello are one.
fn packets(truth: &CsvRow) -> u64 {
    const TCP_HEADER: u64 = 20;
    const PIECE: u64 = 200;
    let sent = truth["packets"].parse::<u64>().unwrap();
    let in_pieces = truth["hello"].starts_with("ipfrag") && !truth["client_ip"].contains(':');
    let hello = truth["hello_bytes"].parse::<u64>().unwrap();
    if in_pieces { sent + 1 - (TCP_HEADER + hello).div_ceil(PIECE) } else { sent }
}

fn check(more: &[&str]) {
    let folder = tempfile::tempdir().unwrap();
    let Some(made) = make(folder.path(), more) else { return };
    let mut flows: BTreeMap<String, Vec<&CsvRow>> = BTreeMap::new();
    for row in &made.flows {
        flows.entry(ends(row, "transport")).or_default().push(row);
    }
    let answers: BTreeSet<&str> = made.dns.iter().map(|row| row["query_name"].as_str()).collect();
    let mut kinds: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    for truth in &made.truth {
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
            // Over IPv6 the same host asks from its IPv4 address.
            let v6 = truth["client_ip"].contains(':');
            let told = |name: &str| {
                made.dns.iter().any(|row| {
                    row["query_name"] == name
                        && (v6 || row["client_ip"] == truth["client_ip"])
                        && row["resolved_addresses"].split(';').any(|address| address == truth["server_ip"])
                })
            };
            assert!(answers.contains(&dns_name.as_str()), "{truth:?}");
            // Two names of one client may share the address; then the newer answer is told.
            let to_resolver = truth["server_port"] == "53";
            assert!(to_resolver || told(dns_name) && told(&row["dns_name"]), "{truth:?}: {row:?}");
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
fn all_that_was_generated_is_found_in_pcap() {
    check(&["--format", "pcap"]);
}

#[test]
fn all_that_was_generated_is_found_in_pcap_with_nanoseconds() {
    check(&["--format", "pcap-ns", "--seed", "2"]);
}

#[test]
fn all_that_was_generated_is_found_in_pcapng() {
    check(&["--format", "pcapng", "--seed", "3"]);
}

/// The targets of CONNECT requests, as the tunnels' hellos repeat them.
#[test]
fn a_tunnel_without_a_hello_has_the_name_that_was_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    // The CONNECT fits, the hello behind it does not.
    let Some(made) = make(folder.path(), &["--snaplen", "200"]) else { return };
    let tunnels: BTreeMap<String, &CsvRow> = made
        .truth
        .iter()
        .filter(|truth| truth["note"] == "proxy")
        .map(|truth| (ends(truth, "proto"), truth))
        .collect();
    assert!(tunnels.len() > 20);
    for row in &made.flows {
        if let Some(truth) = tunnels.get(&ends(row, "transport")) {
            assert_eq!(row["name"], truth["sni"], "{row:?}");
            assert!(["connect", "sni"].contains(&row["name_source"].as_str()), "{row:?}");
        }
    }
}

#[test]
fn a_name_that_was_cut_is_never_told() {
    for snap_len in ["96", "160", "200", "300", "700", "1000"] {
        let folder = tempfile::tempdir().unwrap();
        let Some(made) = make(folder.path(), &["--snaplen", snap_len]) else { return };
        let truth: BTreeMap<String, &CsvRow> =
            made.truth.iter().map(|truth| (ends(truth, "proto"), truth)).collect();
        let names: BTreeSet<&str> = made
            .truth
            .iter()
            .flat_map(|truth| [&truth["sni"], &truth["dns_name"], &truth["dns_final"]])
            .map(String::as_str)
            .collect();
        let mut told = 0;
        for row in &made.flows {
            let truth = truth.get(&ends(row, "transport"));
            if !row["sni"].is_empty() {
                told += 1;
                assert_eq!(truth.map(|truth| &truth["sni"]), Some(&row["sni"]), "{snap_len}: {row:?}");
            }
            if let (false, Some(truth)) = (row["name"].is_empty(), truth) {
                // Who sent no hello is named by others, and they say whole names, too.
                let by_others =
                    ["dns", "dns-other", "http-host", "connect"].contains(&row["name_source"].as_str());
                let certificate = row["name_source"] == "certificate";
                assert!(
                    row["name"] == truth["sni"]
                        || certificate
                        || by_others && names.contains(row["name"].as_str()),
                    "{snap_len}: {row:?}: {truth:?}"
                );
            }
            let counted = ["packets_to_server", "packets_to_client"];
            let counted: u64 = counted.map(|column| row[column].parse::<u64>().unwrap()).iter().sum();
            if let Some(truth) = truth.filter(|truth| !truth["hello"].starts_with("ipfrag")) {
                assert_eq!(counted, packets(truth), "{snap_len}: {row:?}");
            }
        }
        for row in &made.dns {
            let name = row["query_name"].as_str();
            assert!(
                names.contains(name) || row["damaged"] == "true" && name.is_empty(),
                "{snap_len}: {row:?}"
            );
        }
        assert!(told > 0 || ["96", "160"].contains(&snap_len), "{snap_len}: cut frames still name something");
    }
}

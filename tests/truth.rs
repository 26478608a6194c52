//! Generated traffic, with the truth beside it: every name that was sent is found, and no other.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that cannot go on should say where"
)]

mod corpus;

use std::collections::BTreeMap;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;

/// Both ends of a conversation: client and server, address and port.
type Ends = (String, String, String, String);

/// What the generator says it sent in one conversation.
struct Truth {
    sni: String,
    dns_name: String,
    outcome: String,
    vlan: String,
    proxied: bool,
    bytes: [u64; 2],
}

/// Makes a capture of every oddity the generator knows; none where the generator is not there.
fn generate(folder: &Path, format: &str, snap_len: &str) -> Option<(PathBuf, BTreeMap<Ends, Truth>)> {
    let script = corpus::beside("bench")?.join("gen_capture.py");
    let capture = folder.join(format!("{format}-{snap_len}.capture"));
    let made = Command::new("python3")
        .arg(script)
        .args([
            "--shape",
            "mixed",
            "--flows",
            "3000",
            "--seed",
            "7",
            "--format",
            format,
            "--snaplen",
            snap_len,
            "--out",
        ])
        .arg(&capture)
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let mut truth = capture.clone().into_os_string();
    truth.push(".truth.csv");
    let mut reader = csv::Reader::from_path(truth).unwrap();
    let header = reader.headers().unwrap().clone();
    let at = |name: &str| header.iter().position(|column| column == name).unwrap();
    let mut rows = BTreeMap::new();
    for row in reader.records() {
        let row = row.unwrap();
        let cell = |name: &str| row[at(name)].to_owned();
        let ends = (cell("client_ip"), cell("client_port"), cell("server_ip"), cell("server_port"));
        let bytes = ["bytes_c2s", "bytes_s2c"].map(|name| cell(name).parse().unwrap());
        let truth = Truth {
            sni: cell("sni"),
            dns_name: cell("dns_name"),
            outcome: cell("outcome"),
            vlan: cell("vlan").replace('/', ";"),
            proxied: cell("note") == "proxy",
            bytes,
        };
        rows.insert(ends, truth);
    }
    assert!(rows.len() > 2000, "{} flows", rows.len());
    Some((capture, rows))
}

/// The flow rows by their ends, a map of cells each.
fn flows(capture: &Path) -> BTreeMap<Ends, BTreeMap<String, String>> {
    let output = Command::new(env!("CARGO_BIN_EXE_afs-audit"))
        .arg("analyze")
        .arg(capture)
        .args(["--format", "csv", "--quiet", "--fail-on", "never"])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut reader = csv::Reader::from_reader(&output.stdout[..]);
    let header = reader.headers().unwrap().clone();
    let mut flows = BTreeMap::new();
    for row in reader.records() {
        let row = row.unwrap();
        let cells: BTreeMap<String, String> =
            header.iter().map(str::to_owned).zip(row.iter().map(str::to_owned)).collect();
        let cell = |name: &str| cells[name].clone();
        let ends = (cell("client_ip"), cell("client_port"), cell("server_ip"), cell("server_port"));
        flows.insert(ends, cells);
    }
    flows
}

#[test]
fn every_name_that_was_sent_is_found_whatever_the_format() {
    let folder = tempfile::tempdir().unwrap();
    for format in ["pcap", "pcap-ns", "pcapng"] {
        let Some((capture, truth)) = generate(folder.path(), format, "262144") else { return };
        let flows = flows(&capture);
        let mut wrong = Vec::new();
        for (ends, truth) in &truth {
            let Some(row) = flows.get(ends) else {
                wrong.push(format!("{ends:?}: no row"));
                continue;
            };
            let mut expect = |column: &str, expected: &str| {
                if row[column] != expected {
                    wrong.push(format!(
                        "{ends:?} ({}): {column} is {:?}, not {expected:?}",
                        truth.outcome, row[column]
                    ));
                }
            };
            expect("sni", &truth.sni);
            expect("vlan", &truth.vlan);
            if !truth.dns_name.is_empty() && row["app"] != "dns" {
                expect("dns_name", &truth.dns_name);
            }
            if truth.proxied && !truth.sni.is_empty() {
                expect("name", &truth.sni);
            }
            match truth.outcome.as_str() {
                "ok" if row["app"] != "dns" => expect("outcome", "ok"),
                // Nothing at all was seen to reach some of the IPv6 hosts: then silence proves nothing.
                "syn_timeout" if row["signature"] == "one-sided-capture" && ends.0.contains(':') => {}
                "syn_timeout" => expect("signature", "tcp-unanswered"),
                "syn_rst" => expect("signature", "tcp-refused"),
                "icmp_unreach" => expect("signature", "icmp-admin-prohibited"),
                _ => {}
            }
            // The generator counts a hello once however often it is repeated on its way, and nothing of refused attempts.
            if truth.outcome == "ok" && row["app"] != "dns" && !truth.proxied {
                expect("bytes_to_server", &truth.bytes[0].to_string());
                expect("bytes_to_client", &truth.bytes[1].to_string());
            }
        }
        assert!(
            wrong.is_empty(),
            "{format}: {} differ:\n{}",
            wrong.len(),
            wrong[..wrong.len().min(20)].join("\n")
        );
    }
}

#[test]
fn a_name_cut_short_is_never_told_as_whole() {
    let folder = tempfile::tempdir().unwrap();
    for snap_len in ["96", "160", "200", "300", "700", "1000"] {
        let Some((capture, truth)) = generate(folder.path(), "pcap", snap_len) else { return };
        for (ends, row) in flows(&capture) {
            let sent = truth.get(&ends).map_or("", |truth| truth.sni.as_str());
            let told = &row["sni"];
            assert!(
                told.is_empty() || told == sent,
                "snap length {snap_len}: {ends:?}: {told} is not {sent}"
            );
        }
    }
}

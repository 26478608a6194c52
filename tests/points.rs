//! Captures from both sides of a firewall (`captures/points`): what the findings say of the two points.
//!
//! In:  the recorded scenarios with their labels, and the recipe that records them again.
//! Out: failures by scenario.
//! Not: what one point alone shows; see `tests/lab.rs`.

#![expect(clippy::indexing_slicing, clippy::unwrap_used, reason = "a panic shows where a test failed")]

mod support;

use std::path::Path;
use std::path::PathBuf;
use std::process::Command;

use support::files::CsvRow;
use support::files::map_parallel;
use support::files::read_csv;
use support::prerequisites::root_with_tools;

fn recorded() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("captures/points")
}

/// Names of the scenarios, and what a finding says of the points; `-` for nothing.
fn labels(folder: &Path) -> Vec<(String, String)> {
    let text = std::fs::read_to_string(folder.join("labels.tsv")).unwrap();
    let lines = text.lines().filter(|line| !line.starts_with('#')).skip(1);
    lines
        .map(|line| {
            let [name, _, says] = line.split('\t').collect::<Vec<_>>().try_into().unwrap();
            (name.to_owned(), says.to_owned())
        })
        .collect()
}

/// Rows of flows and findings.
fn audit(arguments: &[String]) -> [Vec<CsvRow>; 2] {
    let scratch = tempfile::tempdir().unwrap();
    let evidence = scratch.path().join("evidence");
    let mut command = Command::new(env!("CARGO_BIN_EXE_afs-audit"));
    command.arg("analyze").args(arguments).args(["--quiet", "--fail-on", "never", "-o"]).arg(&evidence);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    ["flows.csv", "findings.csv"].map(|table| read_csv(&evidence.join(table)))
}

fn check_scenario(folder: &Path, name: &str, says: &str) -> Option<String> {
    let [inside, outside] =
        ["inside", "outside"].map(|point| folder.join(format!("{name}-{point}.pcap")).display().to_string());
    let named = ["--point", &format!("inside={inside}"), "--point", &format!("outside={outside}")];
    let runs = [named.map(str::to_owned).to_vec(), vec![inside, outside]];
    let [[flows, findings], [flows_again, findings_again]] = runs.map(|arguments| audit(&arguments));
    let messages = |findings: &[CsvRow]| -> Vec<String> {
        let blocked = findings.iter().filter(|row| !row["mechanism"].is_empty());
        // Points without a name have that of their file.
        let short = |text: &str| {
            ["inside", "outside"]
                .iter()
                .fold(text.to_owned(), |text, point| text.replace(&format!("{name}-{point}.pcap"), point))
        };
        blocked.map(|row| short(&row["message"])).collect()
    };
    let (said, said_again) = (messages(&findings), messages(&findings_again));
    if said != said_again || flows.len() != flows_again.len() {
        return Some(format!("{name}: without names: {said_again:?}, with names: {said:?}"));
    }
    let is_as_labelled = match says {
        "-" => said.iter().all(|message| !message.contains(" seen at ")),
        says => said.len() == 1 && said.iter().all(|message| message.contains(says)),
    };
    let has_injected_resets = findings.iter().any(|row| row["code"] == "AFS204");
    (!is_as_labelled || has_injected_resets).then(|| format!("{name}: expected {says:?}, found {said:?}"))
}

fn check_labels(folder: &Path) {
    let labels = labels(folder);
    assert!(labels.len() >= 19, "scenarios are missing: {}", labels.len());
    let wrong: Vec<String> = map_parallel(&labels, |(name, says)| check_scenario(folder, name, says))
        .into_iter()
        .flatten()
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_packet_at_one_point_only_shows_where_it_was_dropped() {
    check_labels(&recorded());
}

#[test]
fn a_conversation_at_two_points_is_one_flow() {
    let both =
        ["nat-inside.pcap", "nat-outside.pcap"].map(|file| recorded().join(file).display().to_string());
    let [flows, findings] = audit(&both);
    let [alone, _] = audit(&both[..1]);
    assert_eq!(flows.len(), alone.len(), "flows outside have no rows of their own");
    let columns =
        ["client_ip", "client_port", "server_ip", "first_seen", "packets_to_server", "bytes_to_client"];
    for (joined, alone) in flows.iter().zip(&alone) {
        assert_eq!(columns.map(|column| &joined[column]), columns.map(|column| &alone[column]));
        assert_eq!(joined["points"], "nat-inside.pcap;nat-outside.pcap");
    }
    let hosts: Vec<&str> = findings.iter().map(|row| row["audited_host"].as_str()).collect();
    assert!(hosts.iter().all(|host| *host == "10.20.0.5"), "the translated address is no host: {hosts:?}");
}

/// A capture in which a firewall has replaced the clients' sequence numbers: `port` is the servers'.
fn with_other_numbers(capture: &[u8], port: u16) -> Vec<u8> {
    const DIFFERENCE: u32 = 0x3141_5926;
    let mut out = capture.to_vec();
    let mut at = 24;
    while let Some(header) = capture.get(at..at + 16) {
        let len = u32::from_le_bytes(header[8..12].try_into().unwrap()) as usize;
        let frame = at + 16;
        at = frame + len;
        const TCP: u8 = 6;
        if capture[frame + 23] != TCP {
            continue;
        }
        let is_to_server = capture[frame + 36..frame + 38] == port.to_be_bytes();
        let has_ack = capture[frame + 47] & 0x10 != 0;
        let place = if is_to_server { frame + 38 } else { frame + 42 };
        if is_to_server || has_ack {
            let number = u32::from_be_bytes(capture[place..place + 4].try_into().unwrap());
            out[place..place + 4].copy_from_slice(&number.wrapping_add(DIFFERENCE).to_be_bytes());
        }
    }
    out
}

/// Some firewalls choose the initial sequence numbers of connections anew, besides the addresses.
#[test]
fn a_firewall_that_replaces_sequence_numbers_does_not_hide_that_flows_are_one() {
    let folder = tempfile::tempdir().unwrap();
    let paths = ["inside", "outside"].map(|point| folder.path().join(format!("{point}.pcap")));
    let [inside, outside] =
        ["nat-inside.pcap", "nat-outside.pcap"].map(|file| std::fs::read(recorded().join(file)).unwrap());
    std::fs::write(&paths[0], inside).unwrap();
    std::fs::write(&paths[1], with_other_numbers(&outside, 443)).unwrap();
    let [flows, _] = audit(&paths.map(|path| path.display().to_string()));
    let at_both = flows.iter().filter(|row| row["points"] == "inside.pcap;outside.pcap").count();
    let answered =
        flows.iter().filter(|row| row["client_ip"] == "10.20.0.5" && row["outcome"] == "ok").count();
    assert!(answered >= 6 && at_both == answered, "{at_both} of {answered} flows");
}

#[test]
fn the_scenarios_recorded_again_match_their_labels() {
    if !root_with_tools(&["ip", "nft", "tcpdump", "openssl", "python3"]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let made = Command::new(recorded().join("record")).arg("--into").arg(folder.path()).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    assert_eq!(labels(folder.path()), labels(&recorded()), "labels.tsv differs from the recipe");
    check_labels(folder.path());
}

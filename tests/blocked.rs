//! Flows of public captures that look blocked: a reviewed list.
//!
//! `blocked-looking.tsv` has one row for each file, mechanism and confidence: the number of flows, and why that is right.
//! `BLESS=1` updates the counts and keeps the reasons; a new row has no reason, and the test fails until someone writes one.

#![expect(clippy::unwrap_used, reason = "a panic shows where a test failed")]

mod support;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::path::PathBuf;

use afs_audit::judge::Assessment;
use afs_audit::judge::FlowRow;

use support::audit::audit;
use support::files::map_parallel;
use support::prerequisites::shared_folder;

const HEAD: &str =
    "# Flows of public captures that look blocked: file, mechanism, confidence, number of flows, reason.";

type Key = (String, String, String);

fn list_captures(folder: &Path, root: &Path, files: &mut Vec<String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            list_captures(&path, root, files);
        } else if !matches!(path.extension().and_then(|end| end.to_str()), Some("md" | "jsonl" | "json")) {
            files.push(path.strip_prefix(root).unwrap().display().to_string());
        }
    }
}

/// Files whose number of refused connections differs from the oracle's, with the reason.
const REFUSED_DIFFERENTLY: &[(&str, &str)] = &[
    (
        "OISF+suricata-verify/tests/bug-3286-03-windows-evasion/with_evasion_windows.pcap",
        "a handshake and a response follow the forged reset: not refused",
    ),
    (
        "OISF+suricata-verify/tests/bug-76/input.pcap",
        "a reset with sequence numbers of another connection; the response follows",
    ),
    (
        "cisco+mercury/unit_tests/pcaps/emix.pcap",
        "one SYN sent three times, each reset: one attempt, as Windows makes it",
    ),
    ("zeek+zeek/testing/btest/Traces/pop3/pop3.pcap", "two SYNs sent three times each: two attempts"),
    (
        "zeek+zeek/testing/btest/Traces/tcp/rst-inject-rae.pcap",
        "a handshake and data follow the first reset: not refused",
    ),
];

/// Files whose number of unanswered connections differs from the oracle's, with the reason.
const UNANSWERED_DIFFERENTLY: &[(&str, &str)] = &[
    (
        "OISF+suricata-verify/tests/bug-76/input.pcap",
        "no SYN-ACK, but a response: the server's direction is captured",
    ),
    (
        "OISF+suricata-verify/tests/detect-ipopts/input.pcap",
        "source routing: the oracle counts the last address of a route as another destination",
    ),
    (
        "OISF+suricata-verify/tests/issue-3341-tcphdr-01/urgent11_cve_2019_12260.pcap",
        "a SYN with other flags after the reset belongs to the answered attempt",
    ),
    (
        "OISF+suricata-verify/tests/mac-eve-packet/test.pcap",
        "both SYNs have malformed options, and are reported as malformed",
    ),
    (
        "appneta+tcpreplay/test/test2.replay_unique_ip",
        "the clock goes back by more than a minute between SYN and SYN-ACK",
    ),
    (
        "deepflowio+deepflow/agent/resources/test/common/decapsulate_erspan1.pcap",
        "the replies of five are in another mirror session; four of these lack the SYN-ACK",
    ),
    ("ntop+nDPI/tests/cfgs/default/pcap/fuzz-2006-09-29-28586.pcap", "one SYN has a truncated header"),
    ("the-tcpdump-group+tcpdump/tests/bgp-bgp_capabilities_print-oobr-1.pcap", "the header is truncated"),
    ("the-tcpdump-group+tcpdump/tests/bgp-bgp_capabilities_print-oobr-2.pcap", "the header is truncated"),
    (
        "zeek+zeek/testing/btest/Traces/mixed-vlan-mpls.pcap",
        "a one-sided connection: the client acknowledges unseen segments",
    ),
];

/// Unanswered connections are those that the oracle counts as a SYN without a packet from the server.
fn assert_unanswered_agree(wanted: &BTreeMap<String, u64>, files: &[String], found: &[FileCounts]) {
    let mut wrong = String::new();
    for (file, found) in files.iter().zip(found) {
        let expected = wanted.get(file).copied().unwrap_or_default();
        let listed = UNANSWERED_DIFFERENTLY.iter().any(|(other, why)| other == file && !why.is_empty());
        if (found.unanswered == expected) == listed {
            writeln!(wrong, "{file}: {} unanswered, the oracle counts {expected}", found.unanswered).unwrap();
        }
    }
    assert!(wanted.values().sum::<u64>() > 500, "the oracle counts unanswered connections");
    assert!(wrong.is_empty(), "{wrong}");
}

/// A count of the oracle, by file.
fn oracle_counts(folder: &Path, what: &str) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    for line in std::fs::read_to_string(folder.join("oracle.jsonl")).unwrap().lines() {
        let record: serde_json::Value = serde_json::from_str(line).unwrap();
        if let (Some(file), Some(count)) = (
            record.get("file").and_then(serde_json::Value::as_str),
            record.pointer(&format!("/counts/{what}")).and_then(serde_json::Value::as_u64),
        ) {
            counts.insert(file.to_owned(), count);
        }
    }
    counts
}

/// What was found in a file.
#[derive(Default)]
struct FileCounts {
    /// Flows that look blocked, by mechanism and confidence.
    blocked: BTreeMap<(String, String), usize>,
    /// TCP flows without a packet from the server.
    unanswered: u64,
}

/// Refused connections are those that the oracle counts as a SYN answered with a RST.
fn assert_refused_agree(wanted: &BTreeMap<String, u64>, files: &[String], found: &[FileCounts]) {
    let mut wrong = String::new();
    for (file, found) in files.iter().zip(found) {
        let refused = found.blocked.iter().filter(|((signature, _), _)| signature == "tcp-refused");
        let refused: u64 = refused.map(|(_, count)| *count as u64).sum();
        let expected = wanted.get(file).copied().unwrap_or_default();
        let listed = REFUSED_DIFFERENTLY.iter().any(|(other, why)| other == file && !why.is_empty());
        if (refused == expected) == listed {
            writeln!(wrong, "{file}: {refused} refused, the oracle counts {expected}").unwrap();
        }
    }
    assert!(wanted.values().sum::<u64>() > 50, "the oracle counts refusals");
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn flows_that_look_blocked_are_reviewed() {
    let Some(folder) = shared_folder("captures") else { return };
    let mut files = Vec::new();
    list_captures(&folder, &folder, &mut files);
    files.sort();
    let found = map_parallel(&files, |file| {
        let mut found = FileCounts::default();
        if let Ok(run) = audit(&[folder.join(file)]) {
            for row in &run.flows {
                if let Assessment::BlockedLooking { mechanism, confidence } = row.assessment {
                    let key = (mechanism.to_string(), confidence.to_string());
                    *found.blocked.entry(key).or_default() += 1;
                }
            }
            let silent = |row: &&FlowRow| {
                row.tampering_stage.is_some_and(|stage| stage.ends_with(">nothing")) && row.packets[1] == 0
            };
            found.unanswered = run.flows.iter().filter(silent).count() as u64;
        }
        found
    });
    assert_refused_agree(&oracle_counts(&folder, "rst_after_syn"), &files, &found);
    assert_unanswered_agree(&oracle_counts(&folder, "syn_unanswered"), &files, &found);
    let mut counts: BTreeMap<Key, usize> = BTreeMap::new();
    for (file, found) in files.iter().zip(found) {
        for ((signature, confidence), count) in found.blocked {
            counts.insert((file.clone(), signature, confidence), count);
        }
    }
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/blocked-looking.tsv");
    let text = std::fs::read_to_string(&path).unwrap_or_default();
    let mut listed: BTreeMap<Key, (usize, String)> = BTreeMap::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let [file, signature, confidence, count, why] = line.splitn(5, '\t').collect::<Vec<_>>()[..] else {
            unreachable!("five columns: {line}");
        };
        listed.insert(
            (file.into(), signature.into(), confidence.into()),
            (count.parse().unwrap(), why.to_owned()),
        );
    }
    if std::env::var_os("BLESS").is_some() {
        let mut text = format!("{HEAD}\n");
        for (key, count) in &counts {
            let (file, signature, confidence) = key;
            let why = listed.get(key).map_or("", |(_, why)| why);
            writeln!(text, "{file}\t{signature}\t{confidence}\t{count}\t{why}").unwrap();
        }
        std::fs::write(&path, text).unwrap();
        return;
    }
    let mut wrong = String::new();
    for (key, count) in &counts {
        match listed.get(key) {
            Some((expected, why)) if expected == count && !why.is_empty() => {}
            other => writeln!(wrong, "{key:?}: {count}, listed {other:?}").unwrap(),
        }
    }
    for key in listed.keys().filter(|key| !counts.contains_key(*key)) {
        writeln!(wrong, "{key:?}: no longer looks blocked").unwrap();
    }
    assert!(wrong.is_empty(), "other than in blocked-looking.tsv:\n{wrong}");
}

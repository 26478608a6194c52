//! The same traffic gives the same rows, whatever the number of threads, the files, the encapsulation and the segmentation.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a panic shows where a test failed")]

mod support;
/// The encapsulations and frame builders of the crafted cases.
#[path = "../examples/craft"]
#[allow(dead_code, unreachable_pub, reason = "only encapsulations and frames are used here")]
mod craft {
    pub mod capture_file;
    pub mod encapsulation;
    pub mod frame;
}

use std::collections::BTreeSet;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;

use afs_audit::base::proto;
use serde_json::Value as Json;

use craft::capture_file::Record;
use craft::capture_file::pcap;
use craft::capture_file::read_pcap;
use craft::encapsulation::ENCAPSULATIONS;
use craft::encapsulation::ETHERNET;
use craft::encapsulation::ethernet_payload;
use craft::encapsulation::tag;
use craft::frame::FIN;
use craft::frame::IPV4;
use craft::frame::IPV6;
use craft::frame::PSH;
use craft::frame::RST;
use craft::frame::SYN;

use support::files::map_parallel;
use support::prerequisites::shared_folder;

/// Columns that depend on the file, the position in it and the encapsulation.
const POSITION: &[&str] = &[
    "file",
    "first_frame",
    "last_frame",
    "frame",
    "frames",
    "query_frame",
    "evidence_frames",
    "vlan",
    "tunnel",
];

/// Hundreds of conversations of every kind that the generator knows, long enough for many to expire.
fn generated_records(folder: &Path) -> Option<Vec<Record>> {
    let generator = shared_folder("bench")?.join("gen_capture.py");
    let capture = folder.join("mixed.pcap");
    let made = Command::new("python3")
        .arg(generator)
        .args(["--shape", "mixed", "--flows", "500", "--seed", "11", "--duration", "1500", "--out"])
        .arg(&capture)
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    Some(read_pcap(&std::fs::read(capture).unwrap()))
}

fn write(folder: &Path, name: &str, link: u32, records: &[Record]) -> PathBuf {
    let path = folder.join(name);
    std::fs::write(&path, pcap(link, records)).unwrap();
    path
}

fn analyze(captures: &[PathBuf], more: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_afs-audit"))
        .arg("analyze")
        .args(captures)
        .args(["--quiet", "--fail-on", "never"])
        .args(more)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// The rows of an audit without the columns of [`POSITION`], as JSON lines.
fn rows(captures: &[PathBuf]) -> Vec<String> {
    let is_position = |key: &String| POSITION.contains(&key.as_str());
    let row = |line: &str| {
        let mut row: serde_json::Map<String, Json> = serde_json::from_str(line).unwrap();
        row.retain(|key, _| !is_position(key));
        // The message of a finding ends with its frames.
        if let Some(Json::String(sentence)) = row.get_mut("message") {
            let end = sentence.rfind("; frame ").unwrap_or(sentence.len());
            sentence.truncate(end);
        }
        Json::Object(row).to_string()
    };
    let text = analyze(captures, &["--format", "jsonl"]);
    text.lines().map(row).filter(|row| !row.contains("\"record\":\"limit\"")).collect()
}

fn check(name: &str, found: &[String], expected: &[String]) {
    for (found, expected) in found.iter().zip(expected) {
        assert_eq!(found, expected, "{name}");
    }
    assert_eq!(found.len(), expected.len(), "{name}: rows");
}

/// The files of an evidence folder; of the manifest all but `run`, which has times and arguments.
fn evidence_files(captures: &[PathBuf], threads: &str, folder: &Path) -> Vec<(String, Vec<u8>)> {
    let output = folder.join(format!("evidence-{threads}"));
    analyze(captures, &["--threads", threads, "-o", output.to_str().unwrap()]);
    let mut files: Vec<_> = std::fs::read_dir(output).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let read = |file: &PathBuf| {
        let mut bytes = std::fs::read(file).unwrap();
        if file.ends_with("manifest.json") {
            let mut manifest: serde_json::Map<String, Json> = serde_json::from_slice(&bytes).unwrap();
            assert!(manifest.remove("run").is_some());
            bytes = serde_json::to_vec_pretty(&manifest).unwrap();
        }
        (file.file_name().unwrap().to_string_lossy().into_owned(), bytes)
    };
    files.iter().map(read).collect()
}

#[test]
fn the_number_of_threads_does_not_change_the_evidence() {
    let folder = tempfile::tempdir().unwrap();
    let Some(records) = generated_records(folder.path()) else { return };
    let capture = [write(folder.path(), "one.pcap", ETHERNET, &records)];
    let expected = evidence_files(&capture, "1", folder.path());
    for threads in ["2", "3", "8"] {
        for (found, expected) in evidence_files(&capture, threads, folder.path()).iter().zip(&expected) {
            assert!(found == expected, "{} differs with {threads} threads", found.0);
        }
    }
}

#[test]
fn rotated_files_in_any_order_are_one_capture() {
    let folder = tempfile::tempdir().unwrap();
    let Some(records) = generated_records(folder.path()) else { return };
    let expected = rows(&[write(folder.path(), "one.pcap", ETHERNET, &records)]);
    let parts: Vec<PathBuf> = records
        .chunks(records.len().div_ceil(5))
        .enumerate()
        .map(|(number, part)| write(folder.path(), &format!("part{number}.pcap"), ETHERNET, part))
        .collect();
    check("five files", &rows(&parts), &expected);
    let bytes = analyze(&parts, &["--format", "jsonl"]);
    for order in [[4, 3, 2, 1, 0], [2, 0, 4, 1, 3]] {
        let other = order.map(|number| parts[number].clone());
        assert!(analyze(&other, &["--format", "jsonl"]) == bytes, "files in the order {order:?}");
    }
}

#[test]
fn every_encapsulation_gives_the_same_rows() {
    let folder = tempfile::tempdir().unwrap();
    let Some(mut records) = generated_records(folder.path()) else { return };
    // Not every encapsulation carries other protocols than IP, and every frame advances the clock.
    records.retain(|record| matches!(ethernet_payload(&record.bytes).0, IPV4 | IPV6));
    let expected = rows(&[write(folder.path(), "plain.pcap", ETHERNET, &records)]);
    assert!(expected.len() > 1000);
    map_parallel(ENCAPSULATIONS, |encapsulation| {
        let encapsulate = |record: &Record| {
            let nanos = record.nanos;
            (encapsulation.encapsulate)(&record.bytes).into_iter().map(move |bytes| Record { nanos, bytes })
        };
        let records: Vec<Record> = records.iter().flat_map(encapsulate).collect();
        let capture = write(folder.path(), encapsulation.name, encapsulation.link, &records);
        check(encapsulation.name, &rows(&[capture]), &expected);
    });
}

/// A frame after a router: other MAC addresses, TTL or hop limit one lower.
fn routed(frame: &[u8]) -> Vec<u8> {
    let mut out = frame.to_vec();
    for byte in &mut out[..12] {
        *byte ^= 0x31;
    }
    let (kind, body) = ethernet_payload(frame);
    let ip = frame.len() - body.len();
    if kind == IPV4 {
        out[ip + 8] -= 1;
        // RFC 1624: the checksum grows by as much as the field shrinks.
        let sum = u16::from_be_bytes([out[ip + 10], out[ip + 11]]);
        let (sum, carry) = sum.overflowing_add(0x0100);
        out[ip + 10..ip + 12].copy_from_slice(&(sum + u16::from(carry)).to_be_bytes());
    } else {
        out[ip + 7] -= 1;
    }
    out
}

/// A mirror port of both directions captures each packet twice. It counts once, whatever the encapsulation of the duplicate and
/// the order of the two.
#[test]
fn duplicate_packets_count_once() {
    let folder = tempfile::tempdir().unwrap();
    let Some(mut records) = generated_records(folder.path()) else { return };
    records.retain(|record| matches!(ethernet_payload(&record.bytes).0, IPV4 | IPV6));
    let expected = rows(&[write(folder.path(), "once.pcap", ETHERNET, &records)]);
    type Change = fn(&[u8]) -> Vec<u8>;
    let tagged: Change = |frame| tag(frame, &[(0x8100, 20)]);
    let routed_and_tagged: Change = |frame| tag(&routed(frame), &[(0x8100, 20)]);
    let duplicates: [(&str, Change, Change, u64); 5] = [
        ("the same", <[u8]>::to_vec, <[u8]>::to_vec, 0),
        ("routed", <[u8]>::to_vec, routed, 40_000),
        ("routed, late", <[u8]>::to_vec, routed, 900_000),
        ("tagged", <[u8]>::to_vec, tagged, 3_000),
        ("between two networks", |frame| tag(frame, &[(0x8100, 10)]), routed_and_tagged, 7_000),
    ];
    for (name, first, second, delay) in duplicates {
        let mut twice: Vec<Record> = Vec::new();
        for record in &records {
            let (_, body) = ethernet_payload(&record.bytes);
            // The network of the sender captures the packet first, so the order depends on the direction.
            let from_client = body.get(15).or(body.get(23)).is_some_and(|byte| byte % 2 == 0);
            let (near, far) = if from_client { (first, second) } else { (second, first) };
            twice.push(Record { nanos: record.nanos, bytes: near(&record.bytes) });
            twice.push(Record { nanos: record.nanos + delay, bytes: far(&record.bytes) });
        }
        twice.sort_by_key(|record| record.nanos);
        let capture = [write(folder.path(), "twice.pcap", ETHERNET, &twice)];
        let found = rows(&capture);
        if delay < 100_000 {
            check(name, &found, &expected);
        } else {
            // A duplicate this late advances the clock.
            assert_eq!(found.len(), expected.len(), "{name}");
        }
        let one = analyze(&capture, &["--format", "jsonl", "--threads", "1"]);
        assert!(analyze(&capture, &["--format", "jsonl", "--threads", "3"]) == one, "{name}: three threads");
    }
}

/// Offsets of the TCP or UDP header and of the payload in a frame.
fn offsets(frame: &[u8]) -> Option<(usize, usize)> {
    let (kind, body) = ethernet_payload(frame);
    let ip = frame.len() - body.len();
    let (protocol, transport, len) = match kind {
        IPV4 => {
            let len = usize::from(u16::from_be_bytes([frame[ip + 2], frame[ip + 3]]));
            let is_fragment = u16::from_be_bytes([frame[ip + 6], frame[ip + 7]]) & 0x3fff != 0;
            (if is_fragment { 0 } else { frame[ip + 9] }, ip + usize::from(frame[ip] & 15) * 4, len)
        }
        IPV6 => {
            let len = usize::from(u16::from_be_bytes([frame[ip + 4], frame[ip + 5]]));
            (frame[ip + 6], ip + 40, 40 + len)
        }
        _ => return None,
    };
    let payload = match protocol {
        proto::TCP => transport + usize::from(frame[transport + 12] >> 4) * 4,
        proto::UDP => transport + 8,
        _ => return None,
    };
    (ip + len == frame.len()).then_some((transport, payload))
}

/// Protocol, addresses and ports of a frame: the same for all packets of one direction.
fn direction(frame: &[u8]) -> Option<Vec<u8>> {
    let (transport, _) = offsets(frame)?;
    let (kind, body) = ethernet_payload(frame);
    let ip = frame.len() - body.len();
    let addresses = if kind == IPV4 { ip + 12..ip + 20 } else { ip + 8..ip + 40 };
    let protocol = if kind == IPV4 { frame[ip + 9] } else { frame[ip + 6] };
    Some([&[protocol], &frame[..ip], &frame[addresses], &frame[transport..transport + 4]].concat())
}

/// A TCP frame with another sequence number, payload and flags.
fn with_payload(frame: &[u8], from: u32, bytes: &[u8], flags: u8) -> Vec<u8> {
    let (transport, payload) = offsets(frame).unwrap();
    let (kind, body) = ethernet_payload(frame);
    let ip = frame.len() - body.len();
    let mut out = [&frame[..payload], bytes].concat();
    out[transport + 4..transport + 8].copy_from_slice(&from.to_be_bytes());
    out[transport + 13] = flags;
    let len = out.len() - ip - if kind == IPV4 { 0 } else { 40 };
    let len_at = if kind == IPV4 { ip + 2 } else { ip + 4 };
    out[len_at..len_at + 2].copy_from_slice(&(len as u16).to_be_bytes());
    out
}

/// Sequence number, flags and payload of a TCP segment with payload and without SYN.
fn payload_segment(frame: &[u8]) -> Option<(u32, u8, &[u8])> {
    let (transport, payload) = offsets(frame)?;
    let is_tcp = direction(frame)?[0] == proto::TCP;
    let number = u32::from_be_bytes(frame.get(transport + 4..transport + 8)?.try_into().unwrap());
    let flags = *frame.get(transport + 13)?;
    (is_tcp && payload < frame.len() && flags & SYN == 0).then(|| (number, flags, &frame[payload..]))
}

/// The direction that a SYN opens.
fn opened_direction(frame: &[u8]) -> Option<Vec<u8>> {
    let (transport, _) = offsets(frame)?;
    direction(frame).filter(|direction| direction[0] == proto::TCP && frame[transport + 13] & SYN != 0)
}

/// Splitting, merging and reordering segments does not change the rows.
#[test]
fn segmentation_and_order_do_not_change_the_rows() {
    let folder = tempfile::tempdir().unwrap();
    let Some(records) = generated_records(folder.path()) else { return };
    // Only numbers of packets, times, and messages that count retransmissions change.
    let rows = |name: &str, records: &[Record]| -> Vec<String> {
        let capture = write(folder.path(), name, ETHERNET, records);
        let without_counts = |row: String| {
            let mut row: serde_json::Map<String, Json> = serde_json::from_str(&row).unwrap();
            for column in
                ["packets_to_server", "packets_to_client", "first_seen", "last_seen", "time", "message"]
            {
                row.remove(column);
            }
            Json::Object(row).to_string()
        };
        let mut rows: Vec<String> = rows(&[capture]).into_iter().map(without_counts).collect();
        // Flows may end in another order.
        rows.sort();
        rows
    };
    let expected = rows("whole.pcap", &records);

    let halves = |record: &Record| -> Vec<Record> {
        let nanos = record.nanos;
        match payload_segment(&record.bytes) {
            Some((number, flags, bytes)) if bytes.len() > 1 => {
                let (first, second) = bytes.split_at(bytes.len() / 2);
                let next = number.wrapping_add(first.len() as u32);
                let parts = [(number, first, flags & !(FIN | PSH)), (next, second, flags)];
                let part = |(from, bytes, flags)| with_payload(&record.bytes, from, bytes, flags);
                parts.map(part).map(|bytes| Record { nanos, bytes }).to_vec()
            }
            _ => vec![record.clone()],
        }
    };
    let split: Vec<Record> = records.iter().flat_map(halves).collect();
    assert!(split.len() > records.len() * 5 / 4);
    check("split", &rows("split.pcap", &split), &expected);

    let mut merged: Vec<Record> = Vec::new();
    for record in &records {
        if let Some(before) = merged.last_mut()
            && direction(&before.bytes) == direction(&record.bytes)
            && let (Some((number, flags, first)), Some((next, last, second))) =
                (payload_segment(&before.bytes), payload_segment(&record.bytes))
            && number.wrapping_add(first.len() as u32) == next
            && flags & (FIN | RST) == 0
            && first.len() + second.len() < 60_000
        {
            before.bytes = with_payload(&before.bytes, number, &[first, second].concat(), last);
        } else {
            merged.push(record.clone());
        }
    }
    assert!(merged.len() < records.len() * 19 / 20);
    check("merged", &rows("merged.pcap", &merged), &expected);

    let mut reordered = split;
    let (mut swapped, mut at) = (0, 0);
    // Mid-stream, the first segment defines the start of the stream, so its order matters.
    let opened: BTreeSet<Vec<u8>> =
        records.iter().filter_map(|record| opened_direction(&record.bytes)).collect();
    while at + 1 < reordered.len() {
        let [one, two] = [&reordered[at].bytes, &reordered[at + 1].bytes];
        let directions = [one, two].map(|frame| payload_segment(frame).and_then(|_| direction(frame)));
        let closes = payload_segment(two).is_some_and(|(_, flags, _)| flags & (FIN | RST) != 0);
        if let [Some(first), Some(second)] = &directions
            && first == second
            && opened.contains(first)
            && !closes
        {
            let [one, two] = [at, at + 1].map(|at| reordered[at].bytes.clone());
            (reordered[at].bytes, reordered[at + 1].bytes) = (two, one);
            swapped += 1;
            at += 1;
        }
        at += 1;
    }
    assert!(swapped > 500);
    check("reordered", &rows("reordered.pcap", &reordered), &expected);
}

/// Puts each direction in a separate VLAN.
fn tag_by_direction(records: &mut [Record]) {
    for record in records {
        let ends = match record.bytes.get(12..14) {
            Some([0x86, 0xdd]) => record.bytes.get(22..38).zip(record.bytes.get(38..54)),
            _ => record.bytes.get(26..30).zip(record.bytes.get(30..34)),
        };
        let is_from_lower = ends.is_some_and(|(from, to)| from < to);
        record.bytes = tag(&record.bytes, &[(0x8100, if is_from_lower { 10 } else { 20 })]);
    }
}

/// Next to a router, the two directions may be in different VLANs without duplicates, also mid-stream.
#[test]
fn directions_in_different_vlans_are_one_flow() {
    let folder = tempfile::tempdir().unwrap();
    for case in [
        "working-site",
        "mid-stream",
        "smb",
        "starttls",
        "proxy-connect",
        "ipv6",
        "quic",
        "tcp-refused",
        "icmp-host-unreachable",
    ] {
        let capture = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("captures/{case}/capture.pcap"));
        let mut records = read_pcap(&std::fs::read(capture).unwrap());
        let expected = rows(&[write(folder.path(), "plain.pcap", ETHERNET, &records)]);
        tag_by_direction(&mut records);
        let found = rows(&[write(folder.path(), "split.pcap", ETHERNET, &records)]);
        check(case, &found, &expected);
    }
    // Among many flows, some mid-stream ones may start twice: no packet between proves that they belong together.
    let Some(mut records) = generated_records(folder.path()) else { return };
    records.retain(|record| !matches!(record.bytes.get(12..14), Some([0x81, 0x00] | [0x88, 0xa8])));
    let expected = rows(&[write(folder.path(), "plain.pcap", ETHERNET, &records)]);
    tag_by_direction(&mut records);
    let found = rows(&[write(folder.path(), "split.pcap", ETHERNET, &records)]);
    let blocked = |rows: &[String]| rows.iter().filter(|row| row.contains("blocked-looking")).count();
    assert_eq!(blocked(&found), blocked(&expected));
    let more = found.len().checked_sub(expected.len()).unwrap();
    assert!(more * 200 <= expected.len(), "{more} more rows than {}", expected.len());
}

/// Two networks may use the same addresses: a packet that is not a duplicate belongs to another flow.
#[test]
fn equal_addresses_in_different_vlans_are_two_flows() {
    let folder = tempfile::tempdir().unwrap();
    for case in ["working-site", "quic", "mid-stream", "tcp-refused", "icmp-host-unreachable"] {
        let capture = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("captures/{case}/capture.pcap"));
        let records = read_pcap(&std::fs::read(capture).unwrap());
        let one = rows(&[write(folder.path(), "one.pcap", ETHERNET, &records)]);
        let mut both = Vec::new();
        for (id, later) in [(10, 0), (20, 50_000_000)] {
            both.extend(records.iter().map(|record| Record {
                nanos: record.nanos + later,
                bytes: tag(&record.bytes, &[(0x8100, id)]),
            }));
        }
        both.sort_by_key(|record| record.nanos);
        let two = rows(&[write(folder.path(), "two.pcap", ETHERNET, &both)]);
        let flows = |rows: &[String]| rows.iter().filter(|row| row.contains("\"record\":\"flow\"")).count();
        assert_eq!(flows(&two), 2 * flows(&one), "{case}");
    }
}

/// A snap length may remove values from the rows, but never change them.
#[test]
fn truncated_frames_only_cost_certainty() {
    let folder = tempfile::tempdir().unwrap();
    let Some(records) = generated_records(folder.path()) else { return };
    let whole = write(folder.path(), "whole.pcap", ETHERNET, &records);
    let flows = |capture: &PathBuf| -> Vec<Json> {
        let text = analyze(std::slice::from_ref(capture), &["--format", "jsonl"]);
        let rows = text.lines().map(|line| serde_json::from_str::<Json>(line).unwrap());
        let mut flows: Vec<Json> = rows.filter(|row| row["record"] == "flow").collect();
        // Rows are in the order in which flows end, and a truncated stream may end at another time.
        flows.sort_by_key(|row| row["flow_id"].as_u64());
        flows
    };
    let expected = flows(&whole);
    for snap_len in [80, 120, 400, 900, 1300] {
        let mut bytes = pcap(ETHERNET, &[]);
        for record in &records {
            let one = pcap(ETHERNET, std::slice::from_ref(record));
            let len = record.bytes.len().min(snap_len);
            bytes.extend(&one[24..32]);
            bytes.extend((len as u32).to_le_bytes());
            bytes.extend(&one[36..40 + len]);
        }
        let capture = folder.path().join("cut.pcap");
        std::fs::write(&capture, bytes).unwrap();
        let found = flows(&capture);
        assert_eq!(found.len(), expected.len(), "{snap_len}");
        for (found, expected) in found.iter().zip(&expected) {
            for column in [
                "client_ip",
                "client_port",
                "server_ip",
                "server_port",
                "packets_to_server",
                "bytes_to_client",
            ] {
                assert_eq!(found[column], expected[column], "{snap_len}: {column}: {expected}");
            }
            for column in ["sni", "tls_version", "certificate_issuer"] {
                let same = found[column].is_null() || found[column] == expected[column];
                assert!(same, "{snap_len}: {column}: {} is not {}", found[column], expected[column]);
            }
            let word = |row: &Json, column: &str| row[column].as_str().unwrap_or_default().to_owned();
            let [was, is] = [expected, found].map(|row| word(row, "outcome"));
            assert!(
                is != "blocked-looking" || was == is,
                "{snap_len}: looks blocked only when truncated: {found}"
            );
        }
    }
}

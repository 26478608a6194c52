//! A flood makes bounded evidence with `--max-evidence`, and takes bounded memory with `--memory`; nothing of it is uncounted.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a panic shows where a test failed")]

use std::path::Path;
use std::process::Command;

const SYNS: u32 = 60_000;
const QUERIES: u32 = 40_000;
const LIMIT: u64 = 16 << 20;

/// An Ethernet frame with IPv4, as a pcap record.
fn record(out: &mut Vec<u8>, number: u32, protocol: u8, hosts: [[u8; 4]; 2], payload: &[u8]) {
    let len = (20 + payload.len()) as u16;
    let mut frame = vec![2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0, 0x45, 0];
    frame.extend(len.to_be_bytes());
    frame.extend([0, 1, 0x40, 0, 64, protocol, 0, 0]);
    frame.extend(hosts.concat());
    frame.extend(payload);
    let frame_len = frame.len() as u32;
    let micros = number * 20;
    for word in [1_700_000_000 + micros / 1_000_000, micros % 1_000_000, frame_len, frame_len] {
        out.extend(word.to_le_bytes());
    }
    out.extend(frame);
}

/// Connection attempts of as many hosts, then queries of one host for as many names.
fn flood() -> Vec<u8> {
    let mut out = Vec::new();
    for word in [0xa1b2_c3d4_u32, 0x0004_0002, 0, 0, 65_535, 1] {
        out.extend(word.to_le_bytes());
    }
    for number in 0..SYNS {
        let [_, a, b, c] = number.to_be_bytes();
        let tcp = [0xc3, 0x50, 0x01, 0xbb, 0, 0, 0, 1, 0, 0, 0, 0, 0x50, 2, 0x20, 0, 0, 0, 0, 0];
        record(&mut out, number, 6, [[10, a, b, c], [20, 60, 0, 4]], &tcp);
    }
    for number in 0..QUERIES {
        let name = format!("{number:010}");
        let mut query = number.to_be_bytes()[2..].to_vec();
        query.extend([1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 10]);
        query.extend(name.as_bytes());
        query.extend(b"\x05flood\x07example\x00\x00\x01\x00\x01");
        let mut udp = vec![0xd0, 0x50, 0, 53];
        udp.extend((8 + query.len() as u16).to_be_bytes());
        udp.extend([0, 0]);
        udp.extend(query);
        record(&mut out, SYNS + number, 17, [[10, 200, 0, 1], [10, 1, 0, 53]], &udp);
    }
    out
}

/// The rows of a table, and how many more they stand for.
fn rows(folder: &Path, table: &str, further: &str) -> (u64, u64) {
    let mut reader = csv::Reader::from_path(folder.join(table)).unwrap();
    let place = reader.headers().unwrap().iter().position(|name| name == further).unwrap();
    let further: Vec<u64> = reader.records().map(|row| row.unwrap()[place].parse().unwrap_or(0)).collect();
    (further.len() as u64, further.iter().sum())
}

#[test]
fn rows_of_one_kind_become_one_row_with_a_count() {
    let folder = tempfile::tempdir().unwrap();
    let (capture, evidence) = (folder.path().join("flood.pcap"), folder.path().join("evidence"));
    std::fs::write(&capture, flood()).unwrap();
    let program = env!("CARGO_BIN_EXE_afs-audit");
    let run = |arguments: &[&str]| Command::new(program).args(arguments).output().unwrap();
    let (capture, path) = (capture.to_str().unwrap(), evidence.to_str().unwrap());
    let output = run(&["analyze", capture, "-q", "--fail-on", "never", "-o", path, "--max-evidence", "16M"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));

    let size = |table: &str| std::fs::metadata(evidence.join(table)).unwrap().len();
    let bytes = size("flows.csv") + size("dns.csv") + size("findings.csv");
    assert!((LIMIT / 4..LIMIT).contains(&bytes), "{bytes}");
    // Every flow and message is in some row. The queries are one flow more.
    let (flows, more) = rows(&evidence, "flows.csv", "further_flows");
    assert_eq!(flows + more, u64::from(SYNS) + 1, "{flows} rows");
    let (messages, more) = rows(&evidence, "dns.csv", "further_messages");
    assert_eq!(messages + more, u64::from(QUERIES), "{messages} rows");
    let manifest: serde_json::Value =
        serde_json::from_slice(&std::fs::read(evidence.join("manifest.json")).unwrap()).unwrap();
    let limits: Vec<&str> =
        manifest["limits_reached"].as_array().unwrap().iter().map(|limit| limit.as_str().unwrap()).collect();
    assert!(limits.iter().any(|limit| limit.starts_with("evidence: ")), "{limits:?}");
    let verified = run(&["verify", path]);
    assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stdout));
}

/// The highest memory use of a process so far, in KiB; none after its end.
#[cfg(target_os = "linux")]
fn peak_kib(process: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(target_os = "linux")]
#[test]
fn memory_of_an_analysis_is_bounded_and_evictions_are_counted() {
    let folder = tempfile::tempdir().unwrap();
    let (capture, evidence) = (folder.path().join("flood.pcap"), folder.path().join("evidence"));
    std::fs::write(&capture, flood()).unwrap();
    let mut run = Command::new(env!("CARGO_BIN_EXE_afs-audit"))
        .args(["analyze", capture.to_str().unwrap(), "-o", evidence.to_str().unwrap()])
        .args(["-q", "--fail-on", "never", "--threads", "2", "--memory", "128"])
        .spawn()
        .unwrap();
    let mut peak = 0;
    while run.try_wait().unwrap().is_none() {
        peak = peak_kib(run.id()).unwrap_or(peak);
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    assert!(run.wait().unwrap().success());
    assert!(peak > 0 && peak < 128 << 10, "{peak} KiB");
    let manifest = std::fs::read_to_string(evidence.join("manifest.json")).unwrap();
    assert!(manifest.contains(" flows closed early because the flow table was full"), "no limit reached");
}

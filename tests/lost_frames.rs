//! Frames that a capture lost cost certainty and nothing else.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that cannot go on should say where"
)]

use std::path::Path;
use std::process::Command;

/// A frame: seconds, microseconds, bytes.
type Frame = (u32, u32, Vec<u8>);

/// The frames of `captures/happy`, which are Ethernet.
fn plain() -> Vec<Frame> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("captures/happy/capture.pcap");
    let bytes = std::fs::read(path).unwrap();
    let number = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
    let mut frames = Vec::new();
    let mut at = 24;
    while at < bytes.len() {
        let len = number(at + 8) as usize;
        frames.push((number(at), number(at + 4), bytes[at + 16..at + 16 + len].to_vec()));
        at += 16 + len;
    }
    assert!(frames.len() > 50);
    frames
}

/// Writes a capture of this link type.
fn write(path: &Path, link: u32, frames: &[Frame]) {
    let mut out = Vec::new();
    for word in [0xa1b2_c3d4, 0x0004_0002, 0, 0, 262_144, link] {
        out.extend_from_slice(&u32::to_le_bytes(word));
    }
    for (seconds, micros, bytes) in frames {
        for word in [*seconds, *micros, bytes.len() as u32, bytes.len() as u32] {
            out.extend_from_slice(&word.to_le_bytes());
        }
        out.extend_from_slice(bytes);
    }
    std::fs::write(path, out).unwrap();
}

/// The flow rows and answers without what a wrapping may change: frames, VLAN, tunnel, times.
fn rows(capture: &Path) -> Vec<String> {
    let output = Command::new(env!("CARGO_BIN_EXE_afs-audit"))
        .arg("analyze")
        .arg(capture)
        .args(["--format", "jsonl", "--quiet", "--fail-on", "never"])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut rows = Vec::new();
    for line in String::from_utf8(output.stdout).unwrap().lines() {
        let mut record: serde_json::Value = serde_json::from_str(line).unwrap();
        let object = record.as_object_mut().unwrap();
        for changed in [
            "file",
            "frame",
            "first_frame",
            "last_frame",
            "query_frame",
            "evidence_frames",
            "frames",
            "vlan",
            "tunnel",
        ] {
            object.remove(changed);
        }
        rows.push(record.to_string());
    }
    rows
}

/// What a capture lost can cost certainty, and never gives a name, a finding or a verdict that the whole does not have.
#[test]
fn lost_frames_only_cost_certainty() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("lossy.pcap");
    let frames = plain();
    write(&path, 1, &frames);
    let names = |rows: &[String]| -> std::collections::BTreeSet<String> {
        let record = |row: &String| serde_json::from_str::<serde_json::Value>(row).unwrap();
        rows.iter().filter_map(|row| Some(record(row).get("sni")?.as_str()?.to_owned())).collect()
    };
    let whole = names(&rows(&path));
    for every in [2, 3, 5, 7, 11] {
        for offset in 0..every.min(4) {
            let left: Vec<Frame> = frames
                .iter()
                .enumerate()
                .filter(|(number, _)| number % every != offset)
                .map(|(_, frame)| frame.clone())
                .collect();
            write(&path, 1, &left);
            let found = rows(&path);
            assert!(names(&found).is_subset(&whole), "every {every}th lost");
            let strong = found.iter().find(|row| {
                row.contains("\"confidence\":\"strong\"") || row.contains("\"confidence\":\"certain\"")
            });
            assert!(strong.is_none(), "every {every}th lost: {strong:?}");
        }
    }
}

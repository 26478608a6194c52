//! The same conversation in another wrapping gives the same rows.

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

fn ipv4(protocol: u8, payload: &[u8]) -> Vec<u8> {
    let mut head = vec![0x45, 0];
    head.extend_from_slice(&((20 + payload.len()) as u16).to_be_bytes());
    head.extend_from_slice(&[0, 1, 0, 0, 64, protocol, 0, 0, 172, 16, 0, 1, 172, 16, 0, 2]);
    head.extend_from_slice(payload);
    head
}

fn udp(port: u16, payload: &[u8]) -> Vec<u8> {
    let mut head = 50_000u16.to_be_bytes().to_vec();
    head.extend_from_slice(&port.to_be_bytes());
    head.extend_from_slice(&((8 + payload.len()) as u16).to_be_bytes());
    head.extend_from_slice(&[0, 0]);
    head.extend_from_slice(payload);
    head
}

fn ethernet(ether_type: u16, payload: &[u8]) -> Vec<u8> {
    let mut head = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2];
    head.extend_from_slice(&ether_type.to_be_bytes());
    head.extend_from_slice(payload);
    head
}

fn prefixed(head: &[u8], rest: &[u8]) -> Vec<u8> {
    [head, rest].concat()
}

/// Tags between the addresses and the ether type.
fn tagged(frame: &[u8], tags: &[u8]) -> Vec<u8> {
    [&frame[..12], tags, &frame[12..]].concat()
}

/// Link type and how a frame is wrapped; `frame[14..]` is the IP packet.
#[test]
fn the_same_conversation_gives_the_same_rows_in_any_wrapping() {
    type Wrap = fn(&[u8]) -> Vec<u8>;
    let wrappings: &[(&str, u32, Wrap)] = &[
        ("vlan", 1, |f| tagged(f, &[0x81, 0, 0, 10])),
        ("qinq", 1, |f| tagged(f, &[0x88, 0xa8, 0, 10, 0x81, 0, 0, 20])),
        ("mpls", 1, |f| ethernet(0x8847, &prefixed(&[0, 1, 0x01, 64], &f[14..]))),
        ("pppoe", 1, |f| {
            let len = ((f.len() - 14 + 2) as u16).to_be_bytes();
            ethernet(0x8864, &prefixed(&[0x11, 0, 0, 7, len[0], len[1], 0, 0x21], &f[14..]))
        }),
        ("vxlan", 1, |f| ethernet(0x0800, &ipv4(17, &udp(4789, &prefixed(&[8, 0, 0, 0, 0, 0, 42, 0], f))))),
        ("geneve", 1, |f| {
            ethernet(0x0800, &ipv4(17, &udp(6081, &prefixed(&[0, 0, 0x65, 0x58, 0, 0, 42, 0], f))))
        }),
        ("gre", 1, |f| ethernet(0x0800, &ipv4(47, &prefixed(&[0, 0, 8, 0], &f[14..])))),
        ("erspan I", 1, |f| ethernet(0x0800, &ipv4(47, &prefixed(&[0, 0, 0x88, 0xbe], f)))),
        ("erspan II", 1, |f| {
            let head = [0x10, 0, 0x88, 0xbe, 0, 0, 0, 1, 0x10, 10, 0, 5, 0, 0, 0, 0];
            ethernet(0x0800, &ipv4(47, &prefixed(&head, f)))
        }),
        ("ip in ip", 1, |f| ethernet(0x0800, &ipv4(4, &f[14..]))),
        ("gtp-u", 1, |f| {
            let len = ((f.len() - 14) as u16).to_be_bytes();
            ethernet(
                0x0800,
                &ipv4(17, &udp(2152, &prefixed(&[0x30, 0xff, len[0], len[1], 0, 0, 0, 9], &f[14..]))),
            )
        }),
        ("raw", 101, |f| f[14..].to_vec()),
        ("null", 0, |f| prefixed(&2u32.to_le_bytes(), &f[14..])),
        ("loopback, big-endian", 108, |f| prefixed(&2u32.to_be_bytes(), &f[14..])),
        ("ppp", 9, |f| prefixed(&[0xff, 3, 0, 0x21], &f[14..])),
        ("cisco hdlc", 104, |f| prefixed(&[0x0f, 0, 8, 0], &f[14..])),
        ("sll", 113, |f| prefixed(&[0, 0, 0, 1, 0, 6, 2, 0, 0, 0, 0, 1, 0, 0, 8, 0], &f[14..])),
        ("sll2", 276, |f| {
            let head = [8, 0, 0, 0, 0, 0, 0, 2, 0, 1, 0, 6, 2, 0, 0, 0, 0, 1, 0, 0];
            prefixed(&head, &f[14..])
        }),
    ];
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("wrapped.pcap");
    let frames = plain();
    write(&path, 1, &frames);
    let expected = rows(&path);
    assert!(expected.len() > 10);
    for (name, link, wrap) in wrappings {
        let wrapped: Vec<Frame> = frames.iter().map(|(s, us, bytes)| (*s, *us, wrap(bytes))).collect();
        write(&path, *link, &wrapped);
        let found = rows(&path);
        for (found, expected) in found.iter().zip(&expected) {
            assert_eq!(found, expected, "{name}");
        }
        assert_eq!(found.len(), expected.len(), "{name}");
    }
}

/// A rotated ring: one capture cut into several files gives the rows of the whole.
#[test]
fn files_of_a_ring_are_one_capture() {
    let folder = tempfile::tempdir().unwrap();
    let whole = folder.path().join("whole.pcap");
    let frames = plain();
    write(&whole, 1, &frames);
    let ring = folder.path().join("ring");
    std::fs::create_dir(&ring).unwrap();
    for (number, part) in frames.chunks(frames.len() / 5 + 1).enumerate() {
        // Named so that their order is not that of time.
        write(&ring.join(format!("{}.pcap", 9 - number)), 1, part);
    }
    assert_eq!(rows(&ring), rows(&whole));
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

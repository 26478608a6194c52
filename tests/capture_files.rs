//! Reads a corpus of public captures and compares with what others found in them.
//!
//! The corpus is not part of the repository. Where it is missing, these tests say so; under CI they fail.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a panic shows where a test failed")]

mod support;

use std::collections::BTreeMap;
use std::path::Path;
use std::path::PathBuf;

use afs_audit::capture::Capture;
use afs_audit::capture::Chunk;
use afs_audit::capture::Input;
use afs_audit::capture::InputFacts;
use afs_audit::capture::InputHash;
use afs_audit::capture::InputPlan;
use sha2::Digest;

use support::prerequisites::shared_folder;

/// Where we count other frames than tshark, and why.
const OTHER_COUNTS: &[(&str, &str)] = &[
    (
        "smtp-to-comma/10.7.29.101_49898-178.63.41.150_25.pcap",
        "three stray bytes: reading goes on behind them",
    ),
    ("FuzzTarget-5685520970809344", "tshark refuses reserved bits beside the link type"),
    ("FuzzTarget-5717750942269440", "zeros are damage, not empty frames of 1970"),
    ("FuzzTarget-5752969003008000", "tshark refuses reserved bits beside the link type"),
    ("regression_samples/igmplayer", "stray bytes: reading goes on behind them"),
    ("filter/brcm-tag-stp.pcap", "tshark does not know the link type"),
    ("pcap-invalid-version-1.pcap", "tshark refuses version 1.4, whose records are sound"),
    ("pcapng-invalid-vers-1.pcapng", "tshark refuses version 0.1; its blocks are sound"),
    ("pcapng-invalid-vers-2.pcapng", "tshark refuses version 1.1; its blocks are sound"),
    ("bgp_vpn_rt-oobr.pcap", "zeros are damage, not empty frames of 1970"),
    ("brcm-tag-prepend.pcap", "tshark does not know the link type"),
    ("dsa-high-vid.pcap", "tshark does not know the link type"),
    ("tests/edsa.pcap", "tshark does not know the link type"),
    ("frf16_magic_ie-oobr.pcap", "tshark does not know the link type"),
    ("hoobr_juniper3.pcap", "tshark reads all 32 bits as the link type"),
    ("juniper_monitor_invalid_cookie_length.pcap", "tshark does not know the link type"),
    ("vtp_asan-2.pcap", "tshark does not know the link type"),
    ("vtp_asan.pcap", "tshark does not know the link type"),
];

/// Fails if the differences are not those of the table.
fn agree(found: &BTreeMap<String, String>, table: &[(&str, &str)]) {
    for (file, what) in found {
        let known = table.iter().any(|(name, _)| file.ends_with(name));
        assert!(known, "{file}: {}", what.chars().take(2000).collect::<String>());
    }
    for (name, why) in table {
        assert!(found.keys().any(|file| file.ends_with(name)), "{name} does not differ any more: {why}");
    }
}

struct Entry {
    file: String,
    packets: u64,
    sha256: String,
    damaged: bool,
}

fn entries(folder: &Path) -> Vec<Entry> {
    let text = std::fs::read_to_string(folder.join("oracle.jsonl")).unwrap();
    let mut entries = Vec::new();
    for line in text.lines().filter(|line| line.starts_with("{\"type\":\"file\"")) {
        let row: serde_json::Value = serde_json::from_str(line).unwrap();
        entries.push(Entry {
            file: row["file"].as_str().unwrap().to_owned(),
            packets: row["packets"].as_u64().unwrap(),
            sha256: row["sha256"].as_str().unwrap().to_owned(),
            damaged: row["capinfos_error"].is_string(),
        });
    }
    assert!(!entries.is_empty());
    entries
}

/// A frame as both readers see it.
#[derive(Debug, PartialEq)]
struct Seen {
    nanos: i64,
    wire_len: u32,
    bytes: Vec<u8>,
}

fn read(path: &Path) -> Result<(Vec<Seen>, InputFacts), String> {
    let plan = InputPlan {
        inputs: vec![Input::Path(path.to_owned())],
        hash: InputHash::Sha256,
        ..InputPlan::default()
    };
    let mut capture = Capture::open(plan).map_err(|error| error.to_string())?;
    let mut chunk = Chunk::default();
    let mut seen = Vec::new();
    let mut number = 0;
    while capture.next(&mut chunk) {
        for frame in chunk.frames() {
            assert!(frame.frame_ref.number > number, "frames are numbered from 1, in file order");
            number = frame.frame_ref.number;
            seen.push(Seen { nanos: frame.time.0, wire_len: frame.wire_len, bytes: frame.bytes.to_vec() });
        }
    }
    let facts = capture.finish().remove(0);
    Ok((seen, facts))
}

#[test]
fn every_capture_is_read_and_every_byte_accounted_for() {
    let Some(folder) = shared_folder("captures") else { return };
    let mut other = BTreeMap::new();
    let (mut frames, mut files) = (0, 0);
    for entry in entries(&folder) {
        let path = folder.join(&entry.file);
        let (seen, facts) = match read(&path) {
            Ok(read) => read,
            Err(error) => {
                other.insert(entry.file, format!("{} packets, refused: {error}", entry.packets));
                continue;
            }
        };
        files += 1;
        frames += seen.len();
        assert!(facts.adds_up(), "{}: {facts:#?}", entry.file);
        assert_eq!(facts.raw_bytes, std::fs::metadata(&path).unwrap().len(), "{}", entry.file);
        assert_eq!(facts.hash.as_deref(), Some(entry.sha256.as_str()), "{}", entry.file);
        assert_eq!(facts.frames, seen.len() as u64);
        assert!(facts.complete);
        if !entry.damaged && facts.damage_count > 0 {
            other.insert(entry.file.clone(), format!("damage: {:?}", facts.damage));
        }
        if facts.frames + facts.numbered_blocks != entry.packets {
            let what = format!(
                "{} packets, here {}: {:?} {:?}",
                entry.packets, facts.frames, facts.damage, facts.notes
            );
            other.insert(entry.file, what);
        }
    }
    eprintln!("{files} captures, {frames} frames");
    agree(&other, OTHER_COUNTS);
}

/// Where libpcap reads a file otherwise, and why.
#[cfg(feature = "live")]
const OTHER_FRAMES: &[(&str, &str)] = &[
    ("FuzzTarget-5781142119907328", "a microsecond beyond its second"),
    ("FuzzTarget-4829420752470016", "a snap length that libpcap corrects before it cuts"),
    ("FuzzTarget-4981601846820864", "a microsecond beyond its second"),
    ("FuzzTarget-5196221831708672", "a microsecond beyond its second"),
    ("FuzzTarget-5487001111429120", "a microsecond beyond its second"),
    ("FuzzTarget-5717750942269440", "zeros are damage, not empty frames of 1970"),
    ("bgp_vpn_rt-oobr.pcap", "zeros are damage, not empty frames of 1970"),
    ("timestamp_invalid_micro.pcap", "a microsecond beyond its second: libpcap overflows"),
    ("timestamp_invalid_nano.pcap", "a nanosecond beyond its second: libpcap overflows"),
    ("vtp_asan.pcap", "zeros are damage, not empty frames of 1970"),
];

#[cfg(not(feature = "live"))]
#[test]
fn frames_equal_those_of_libpcap() {
    support::prerequisites::not_run("built without libpcap");
}

#[cfg(feature = "live")]
#[test]
fn frames_equal_those_of_libpcap() {
    let Some(folder) = shared_folder("captures") else { return };
    let mut other = BTreeMap::new();
    let mut compared = 0;
    for entry in entries(&folder) {
        let path = folder.join(&entry.file);
        let Ok(mut theirs) = pcap::Capture::from_file_with_precision(&path, pcap::Precision::Nano) else {
            continue;
        };
        let (seen, facts) = match read(&path) {
            Ok(read) => read,
            Err(error) => {
                other.insert(entry.file, error);
                continue;
            }
        };
        let mut ours = seen.iter();
        let error = loop {
            let packet = match theirs.next_packet() {
                Ok(packet) => packet,
                Err(error) => break error,
            };
            compared += 1;
            let header = packet.header;
            let Some(frame) = ours.next() else {
                other.insert(entry.file.clone(), format!("frames missing: {:?}", facts.damage));
                break pcap::Error::NoMorePackets;
            };
            // libpcap's seconds have a sign, and pcap's do not; a simple packet block has no time at all.
            let sign = if header.ts.tv_sec < 0 && facts.format != Some("pcapng") { 1 << 32 } else { 0 };
            let nanos = (header.ts.tv_sec + sign) * 1_000_000_000 + header.ts.tv_usec;
            let untimed = facts.frames_without_time > 0 && nanos == 0;
            // libpcap cuts frames to the snap length that the file's header promised.
            let clipped =
                header.caplen == facts.interfaces[0].snap_len && frame.bytes.starts_with(packet.data);
            let same_bytes = clipped || frame.bytes == packet.data;
            if !same_bytes || frame.wire_len != header.len || (frame.nanos != nanos && !untimed) {
                let what = format!("frame differs: {nanos} {} {:x?} {frame:x?}", header.len, packet.data);
                other.insert(entry.file.clone(), what);
                break pcap::Error::NoMorePackets;
            }
        };
        if error == pcap::Error::NoMorePackets && ours.next().is_some() && !other.contains_key(&entry.file) {
            other.insert(entry.file, format!("frames beyond libpcap's end: {:?}", facts.damage));
        }
    }
    eprintln!("{compared} frames compared");
    agree(&other, OTHER_FRAMES);
}

#[test]
fn a_folder_is_one_capture_in_time_order() {
    let Some(folder) = shared_folder("captures") else { return };
    let read_all = |inputs: Vec<Input>| {
        let plan = InputPlan { inputs, hash: InputHash::None, ..InputPlan::default() };
        let mut capture = Capture::open(plan).unwrap();
        let mut chunk = Chunk::default();
        let mut state = sha2::Sha256::new();
        while capture.next(&mut chunk) {
            for frame in chunk.frames() {
                state.update(frame.frame_ref.file.0.to_le_bytes());
                state.update(frame.frame_ref.number.to_le_bytes());
                state.update(frame.bytes);
            }
        }
        let names: Vec<String> = capture.finish().iter().map(|facts| facts.name.to_string()).collect();
        (state.finalize().to_vec(), names)
    };
    let whole = read_all(vec![Input::Path(folder.clone())]);
    let mut parts: Vec<PathBuf> =
        std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    parts.sort();
    let forward = read_all(parts.iter().cloned().map(Input::Path).collect());
    parts.reverse();
    let backward = read_all(parts.into_iter().map(Input::Path).collect());
    assert!(whole.1.len() > 3000);
    assert_eq!(forward.0, backward.0);
    assert_eq!(whole.0, forward.0);
}

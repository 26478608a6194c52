//! Reads the corpus of public captures, and compares frame counts with tshark and frames with libpcap.

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

/// Files whose number of frames differs from tshark's, with the reason.
const COUNTED_DIFFERENTLY: &[(&str, &str)] = &[
    (
        "smtp-to-comma/10.7.29.101_49898-178.63.41.150_25.pcap",
        "three stray bytes: reading continues after them",
    ),
    ("FuzzTarget-5685520970809344", "tshark refuses reserved bits next to the link type"),
    ("FuzzTarget-5717750942269440", "zeros are damage, not empty frames of 1970"),
    ("FuzzTarget-5752969003008000", "tshark refuses reserved bits next to the link type"),
    ("regression_samples/igmplayer", "stray bytes: reading continues after them"),
    ("filter/brcm-tag-stp.pcap", "tshark does not know the link type"),
    ("pcap-invalid-version-1.pcap", "tshark refuses version 1.4; its records are valid"),
    ("pcapng-invalid-vers-1.pcapng", "tshark refuses version 0.1; its blocks are valid"),
    ("pcapng-invalid-vers-2.pcapng", "tshark refuses version 1.1; its blocks are valid"),
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
fn assert_listed(found: &BTreeMap<String, String>, table: &[(&str, &str)]) {
    for (file, what) in found {
        let known = table.iter().any(|(name, _)| file.ends_with(name));
        assert!(known, "{file}: {}", what.chars().take(2000).collect::<String>());
    }
    for (name, why) in table {
        assert!(found.keys().any(|file| file.ends_with(name)), "{name} no longer differs: {why}");
    }
}

struct OracleFile {
    file: String,
    packets: u64,
    sha256: String,
    damaged: bool,
}

fn oracle_files(folder: &Path) -> Vec<OracleFile> {
    let text = std::fs::read_to_string(folder.join("oracle.jsonl")).unwrap();
    let mut files = Vec::new();
    for line in text.lines().filter(|line| line.starts_with("{\"type\":\"file\"")) {
        let row: serde_json::Value = serde_json::from_str(line).unwrap();
        files.push(OracleFile {
            file: row["file"].as_str().unwrap().to_owned(),
            packets: row["packets"].as_u64().unwrap(),
            sha256: row["sha256"].as_str().unwrap().to_owned(),
            damaged: row["capinfos_error"].is_string(),
        });
    }
    assert!(!files.is_empty());
    files
}

/// The part of a frame that is compared.
#[derive(Debug, PartialEq)]
struct ReadFrame {
    nanos: i64,
    wire_len: u32,
    bytes: Vec<u8>,
}

fn read(path: &Path) -> Result<(Vec<ReadFrame>, InputFacts), String> {
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
            seen.push(ReadFrame {
                nanos: frame.time.0,
                wire_len: frame.wire_len,
                bytes: frame.bytes.to_vec(),
            });
        }
    }
    let facts = capture.finish().remove(0);
    Ok((seen, facts))
}

#[test]
fn every_byte_of_every_capture_is_accounted_for() {
    let Some(folder) = shared_folder("captures") else { return };
    let mut other = BTreeMap::new();
    let (mut frames, mut files) = (0, 0);
    for entry in oracle_files(&folder) {
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
    assert_listed(&other, COUNTED_DIFFERENTLY);
}

/// Files whose frames differ from libpcap's, with the reason.
#[cfg(feature = "live")]
const READ_DIFFERENTLY: &[(&str, &str)] = &[
    ("FuzzTarget-5781142119907328", "microseconds above 999,999"),
    ("FuzzTarget-4829420752470016", "a snap length that libpcap corrects before it truncates"),
    ("FuzzTarget-4981601846820864", "microseconds above 999,999"),
    ("FuzzTarget-5196221831708672", "microseconds above 999,999"),
    ("FuzzTarget-5487001111429120", "microseconds above 999,999"),
    ("FuzzTarget-5717750942269440", "zeros are damage, not empty frames of 1970"),
    ("bgp_vpn_rt-oobr.pcap", "zeros are damage, not empty frames of 1970"),
    ("timestamp_invalid_micro.pcap", "microseconds above 999,999: libpcap overflows"),
    ("timestamp_invalid_nano.pcap", "nanoseconds above 999,999,999: libpcap overflows"),
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
    for entry in oracle_files(&folder) {
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
                other.insert(entry.file.clone(), format!("missing frames: {:?}", facts.damage));
                break pcap::Error::NoMorePackets;
            };
            // Seconds are signed in libpcap and unsigned in pcap; a Simple Packet Block has no time stamp.
            let sign = if header.ts.tv_sec < 0 && facts.format != Some("pcapng") { 1 << 32 } else { 0 };
            let nanos = (header.ts.tv_sec + sign) * 1_000_000_000 + header.ts.tv_usec;
            let untimed = facts.frames_without_time > 0 && nanos == 0;
            // libpcap truncates frames to the snap length in the file header.
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
            other.insert(entry.file, format!("frames after libpcap's last one: {:?}", facts.damage));
        }
    }
    eprintln!("{compared} frames compared");
    assert_listed(&other, READ_DIFFERENTLY);
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
    let forwards = read_all(parts.iter().cloned().map(Input::Path).collect());
    parts.reverse();
    let backwards = read_all(parts.into_iter().map(Input::Path).collect());
    assert!(whole.1.len() > 3000);
    assert_eq!(forwards.0, backwards.0);
    assert_eq!(whole.0, forwards.0);
}

//! The reader against traces that Windows wrote, as an independent reader decoded them.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::Path;

use proptest::prelude::*;

use super::super::test_support::read;

/// Traces of others, which are beside the project where it is developed and in CI.
const TRACES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/etl");

/// Reads a trace. Without the traces, the test is recorded as not run, and fails where `CI` is set.
fn trace(name: &str) -> Option<Vec<u8>> {
    let path = Path::new(TRACES).join(name);
    if path.exists() {
        return Some(std::fs::read(path).unwrap());
    }
    let target = std::env::var("CARGO_TARGET_DIR").unwrap_or_else(|_| "target".to_owned());
    let record = Path::new(env!("CARGO_MANIFEST_DIR")).join(target).join("tmp/tests-not-run.tsv");
    std::fs::create_dir_all(record.parent().unwrap()).unwrap();
    let thread = std::thread::current();
    let line = format!("afs_audit\t{}\tno file ../shared/etl/{name}\n", thread.name().unwrap_or("unnamed"));
    let mut file = OpenOptions::new().create(true).append(true).open(record).unwrap();
    file.write_all(line.as_bytes()).unwrap();
    assert!(std::env::var_os("CI").is_none(), "not run in CI: no file ../shared/etl/{name}");
    None
}

fn hex(text: &str) -> Vec<u8> {
    let digit = |at: usize| u8::from_str_radix(&text[at..at + 2], 16).unwrap();
    (0..text.len()).step_by(2).map(digit).collect()
}

#[test]
fn packets_are_those_of_an_independent_reader() {
    let (Some(bytes), Some(oracle)) = (trace("pktmon-2026-multicast.etl"), trace("oracle.json")) else {
        return;
    };
    let oracle: serde_json::Value = serde_json::from_slice(&oracle).unwrap();
    let mut expected: Vec<(i64, u32, Vec<u8>)> = oracle[0]["packets"]
        .as_array()
        .unwrap()
        .iter()
        .map(|packet| {
            let time: jiff::Timestamp = packet["time"].as_str().unwrap().parse().unwrap();
            let original = packet["original"].as_u64().unwrap() as u32;
            (time.as_microsecond(), original, hex(packet["hex"].as_str().unwrap()))
        })
        .collect();
    let by_content = |one: &(i64, u32, Vec<u8>)| (one.2.clone(), one.0);
    expected.sort_by_key(by_content);
    let (seen, facts) = read(&bytes).unwrap();
    let times: Vec<i64> = seen.iter().map(|frame| frame.1).collect();
    assert!(times.is_sorted());
    let mut seen: Vec<(i64, u32, Vec<u8>)> =
        seen.into_iter().map(|(_, time, _, len, bytes)| (time / 1_000, len, bytes)).collect();
    seen.sort_by_key(by_content);
    assert_eq!(seen.len(), expected.len());
    for (one, other) in seen.iter().zip(&expected) {
        // The other reader calculates with floating-point numbers.
        assert!(one.0.abs_diff(other.0) <= 3, "{one:?} {other:?}");
        assert_eq!((one.1, &one.2), (other.1, &other.2));
    }
    assert_eq!((facts.format, facts.compression), (Some("etl"), Some("lzxpress")));
    assert_eq!((facts.damage_count, facts.reported_drops), (0, 0));
}

#[test]
fn a_trace_without_packets_says_what_it_holds() {
    let Some(bytes) = trace("no-packets.etl") else { return };
    let Err(error) = read(&bytes) else { panic!("no packets in it") };
    let error = error.to_string();
    assert!(error.contains("event trace log without packets (providers: {"), "{error}");
    assert!(error.contains("pktmon start --capture --pkt-size 0"), "{error}");
}

/// Every prefix, and every buffer header and record damaged in turn: no panic, and no packet that is not in the trace.
#[test]
fn damage_loses_only_what_it_touches() {
    let Some(bytes) = trace("pktmon-2026-multicast.etl") else { return };
    let (whole, _) = read(&bytes).unwrap();
    for len in (0..bytes.len()).step_by(977) {
        if let Ok((seen, _)) = read(&bytes[..len]) {
            assert!(seen.iter().all(|frame| whole.iter().any(|other| other.4 == frame.4)), "{len}");
        }
    }
    for at in (0..bytes.len()).step_by(131) {
        let mut damaged = bytes.clone();
        damaged[at] ^= 0xff;
        let _ = read(&damaged);
    }
}

/// A log of this repository; its first buffer is the log's own header.
const OWN_TRACE: &[u8] = include_bytes!("../../../captures/dropped-by-host/capture.etl");

/// The header of a buffer whose records, compressed where a flag says so, are `bytes`.
fn buffer(bytes: &[u8], flags: u16) -> Vec<u8> {
    let mut header = vec![0; 72];
    let size = (72 + bytes.len()) as u32;
    let filled = if flags == 0 { size } else { 1 << 16 };
    header[..4].copy_from_slice(&size.to_le_bytes());
    header[48..52].copy_from_slice(&filled.to_le_bytes());
    header[52..54].copy_from_slice(&flags.to_le_bytes());
    header
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Any bytes as buffers, as records and as compressed records: no panic, and every byte is accounted for.
    #[test]
    fn any_bytes_are_read_or_skipped(noise in proptest::collection::vec(any::<u8>(), 0..2000), at in 0usize..4000) {
        let len = u32::from_le_bytes(*OWN_TRACE.first_chunk::<4>().unwrap()) as usize;
        let (first, rest) = OWN_TRACE.split_at(len);
        let mut mixed = rest.to_vec();
        let at = at.min(mixed.len());
        mixed.splice(at.., noise.iter().copied());
        for bytes in [
            [first, &noise].concat(),
            [first, &buffer(&noise, 0), &noise].concat(),
            [first, &buffer(&noise, 0x40), &noise].concat(),
            [first, &mixed].concat(),
        ] {
            if let Ok((_, facts)) = read(&bytes) {
                prop_assert!(facts.adds_up(), "{facts:?}");
            }
        }
    }
}

#[test]
fn drops_of_the_host_are_handed_on_with_their_reason() {
    let bytes = Box::new(std::io::Cursor::new(OWN_TRACE));
    let mut capture = crate::capture::Capture::from_reader("test", bytes, Default::default()).unwrap();
    let mut chunk = crate::capture::Chunk::default();
    let mut drops = Vec::new();
    while capture.next(&mut chunk) {
        let of_frames = chunk.frames.iter().filter_map(|header| chunk.host_report(header)?.drop.as_ref());
        drops.extend(of_frames.map(|drop| format!("{} {}", drop.component, drop.reason)));
    }
    let by_filter = ["tcpip.sys NL_InspectionDrop"; 3];
    let by_switch = ["vmswitch.sys FilteredVLAN"; 3];
    assert_eq!(drops, [&by_filter[..], &by_switch, &["tcpip.sys INET_EndpointNotFound"]].concat());
}

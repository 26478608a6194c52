//! The reader against traces that Windows wrote, as an independent reader decoded them.

use std::path::Path;

use super::super::test_support::read;

/// Traces of others, which are beside the project where it is developed and in CI.
const TRACES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/etl");

fn trace(name: &str) -> Option<Vec<u8>> {
    let path = Path::new(TRACES).join(name);
    path.exists().then(|| std::fs::read(path).unwrap())
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

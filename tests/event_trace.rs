//! The same traffic gives the same rows as an event trace log: of every kind that Windows writes.

#![expect(clippy::panic, clippy::unwrap_used, reason = "a panic shows where a test failed")]

mod support;
/// What writes the crafted captures of this repository.
#[path = "../examples/craft"]
#[allow(
    dead_code,
    unreachable_pub,
    clippy::indexing_slicing,
    reason = "only what writes event traces and captures is used here"
)]
mod craft {
    pub mod capture_file;
    pub mod event_trace;
}

use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;

use afs_audit::base::proto;
use afs_audit::capture;
use afs_audit::capture::Capture;
use afs_audit::capture::Chunk;
use afs_audit::capture::Input;
use afs_audit::flow::Endpoint;
use afs_audit::judge::DnsRow;
use afs_audit::judge::FlowRow;

use craft::capture_file::Record;
use craft::capture_file::pcap;
use craft::capture_file::pcapng_section;
use craft::event_trace::Clock;
use craft::event_trace::Drop;
use craft::event_trace::Lost;
use craft::event_trace::Provider;
use craft::event_trace::Sender;
use craft::event_trace::TraceKind;
use craft::event_trace::Translation;
use craft::event_trace::event_trace;
use support::files::map_parallel;
use support::prerequisites::not_run;
use support::prerequisites::shared_folder;

const LINKS: [u32; 3] = [1, 101, 105];

/// Every kind of trace, over the link type of a capture.
fn kinds(link: u32) -> Vec<TraceKind> {
    let kind = |provider, clock, pointer_len, processors, buffer_len, compressed| TraceKind {
        provider,
        clock,
        pointer_len,
        processors,
        buffer_len,
        compressed,
        link,
        drops: &[],
        sender: None,
        lost: Lost::default(),
        names_last: false,
        translation: None,
        logged_len: usize::MAX,
    };
    vec![
        kind(Provider::Ndis { fragment_len: 1 << 16 }, Clock::SystemTime, 8, 1, 64 << 10, false),
        kind(
            Provider::Ndis { fragment_len: 100 },
            Clock::PerformanceCounter(10_000_000),
            4,
            4,
            4 << 10,
            false,
        ),
        kind(
            Provider::PktMon { appearances: 1 },
            Clock::PerformanceCounter(10_000_000),
            8,
            3,
            64 << 10,
            true,
        ),
        kind(Provider::PktMonGroups { appearances: 1 }, Clock::SystemTime, 8, 2, 16 << 10, false),
    ]
}

/// The frames of a capture, where an event trace can hold them: one link type, whole, in order, and no finer in time.
fn frames(path: &Path) -> Option<(u32, Vec<Record>)> {
    let plan = capture::InputPlan {
        inputs: vec![Input::Path(path.to_owned())],
        hash: capture::InputHash::None,
        ..capture::InputPlan::default()
    };
    let mut capture = Capture::open(plan).ok()?;
    let mut records: Vec<Record> = Vec::new();
    let mut link = None;
    let mut chunk = Chunk::default();
    while capture.next(&mut chunk) {
        for frame in chunk.frames() {
            let nanos = u64::try_from(frame.time.0).ok()?;
            let is_same = *link.get_or_insert(frame.link.0) == frame.link.0;
            let is_whole = frame.bytes.len() == frame.wire_len as usize && frame.bytes.len() < 60_000;
            let is_in_order = records.last().is_none_or(|last| last.nanos <= nanos);
            if !is_same || !is_whole || !is_in_order || !nanos.is_multiple_of(100) {
                return None;
            }
            records.push(Record { nanos, bytes: frame.bytes.to_vec() });
        }
    }
    let link = u32::from(link?);
    LINKS.contains(&link).then_some((link, records))
}

/// What a run reports about flows and DNS responses, without the frames and files that prove it.
fn essence(bytes: Vec<u8>) -> (Vec<String>, Vec<String>) {
    essence_of(&support::audit::audit_bytes(bytes))
}

fn essence_of(run: &support::audit::AuditRun) -> (Vec<String>, Vec<String>) {
    let flow = |row: &FlowRow| {
        format!(
            "{} {:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?}",
            row.flow_id,
            row.first_seen,
            row.last_seen,
            row.client,
            row.server,
            row.name,
            row.app,
            row.packets,
            row.bytes,
            row.assessment,
        )
    };
    let dns = |row: &DnsRow| format!("{:?} {:?} {:?}", row.time, row.client, row.resolution.query_name);
    (run.flows.iter().map(flow).collect(), run.dns.iter().map(dns).collect())
}

#[test]
fn every_kind_of_event_trace_gives_the_rows_of_its_capture() {
    let captures = Path::new(env!("CARGO_MANIFEST_DIR")).join("captures");
    let mut compared = 0;
    let mut folders: Vec<_> =
        std::fs::read_dir(captures).unwrap().map(|entry| entry.unwrap().path()).collect();
    folders.sort();
    for path in folders.iter().map(|folder| folder.join("capture.pcap")) {
        let Some((link, records)) = frames(&path) else { continue };
        let expected = essence(pcap(link, &records));
        for kind in kinds(link) {
            let found = essence(event_trace(&kind, &records));
            assert_eq!(found, expected, "{}: {kind:?}", path.display());
        }
        compared += 1;
    }
    assert!(compared > 30, "{compared} captures compared");
}

#[test]
fn a_packet_that_several_components_log_counts_once() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("captures/demo/capture.pcap");
    let (link, records) = frames(&path).unwrap();
    let expected = essence(pcap(link, &records));
    for provider in [Provider::PktMon { appearances: 3 }, Provider::PktMonGroups { appearances: 4 }] {
        let kind = TraceKind { provider, ..kinds(link)[2] };
        let found = essence(event_trace(&kind, &records));
        assert_eq!(found.0.len(), expected.0.len(), "{provider:?}");
        assert_eq!(found.1, expected.1, "{provider:?}");
    }
}

/// Each row names the row that has the same packets with the addresses before or after the host's translation.
#[test]
fn rows_name_the_flow_before_and_after_a_translation_by_the_host() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("captures/demo/capture.pcap");
    let (link, records) = frames(&path).unwrap();
    let translation = Translation { address: [10, 1, 0, 4], inner: [172, 16, 0, 5], ports: 10 };
    for provider in [Provider::PktMonGroups { appearances: 2 }, Provider::PktMon { appearances: 2 }] {
        let kind = TraceKind { provider, translation: Some(translation), ..kinds(link)[2] };
        let run = support::audit::audit_bytes(event_trace(&kind, &records));
        let ends = |client: Endpoint, server: Endpoint| format!("{client} > {server}");
        let all: BTreeSet<String> = run.flows.iter().map(|row| ends(row.client, row.server)).collect();
        let mut counts = [0; 2];
        let has_ports = |row: &&FlowRow| [proto::TCP, proto::UDP].contains(&row.protocol);
        let of_host = |row: &&FlowRow| {
            let address = row.client.address.to_string();
            address == "10.1.0.4" || address == "172.16.0.5"
        };
        for row in run.flows.iter().filter(has_ports).filter(of_host) {
            let is_udp = row.protocol == proto::UDP;
            let Some([client, server]) = row.translated.as_deref().copied() else {
                // Datagrams have no number where the trace gives them none.
                let is_numbered = matches!(provider, Provider::PktMonGroups { .. });
                assert!(is_udp && !is_numbered, "{provider:?}: {}", ends(row.client, row.server));
                continue;
            };
            counts[usize::from(is_udp)] += 1;
            assert!(all.contains(&ends(client, server)), "{}", ends(client, server));
            let is_inner = row.client.address.to_string() == "172.16.0.5";
            assert_eq!((client.address.to_string() == "10.1.0.4"), is_inner);
            let [before, after] = if is_inner { [row.client, client] } else { [client, row.client] };
            assert_eq!(before.port + 10, after.port);
        }
        let [tcp, udp] = counts;
        assert!(tcp >= 2 && (udp >= 2) == matches!(provider, Provider::PktMonGroups { .. }), "{counts:?}");
    }
}

/// Packet Monitor logs 128 bytes of a packet unless told otherwise: an outcome stays what it is, and a name that is cut off is none.
#[test]
fn a_trace_of_cut_packets_says_so_and_accuses_nobody() {
    for case in ["working-site", "demo"] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("captures").join(case).join("capture.pcap");
        let (link, records) = frames(&path).unwrap();
        let whole = support::audit::audit_bytes(event_trace(&kinds(link)[2], &records));
        let kind = TraceKind { logged_len: 128, ..kinds(link)[2] };
        let cut = support::audit::audit_bytes(event_trace(&kind, &records));
        let facts = &cut.result.inputs[0];
        // Four bytes are a frame check sequence, which captures lack.
        let longer = records.iter().filter(|record| record.bytes.len() > 128 + 4).count();
        assert_eq!((facts.cut_frames, facts.cut_len), (longer as u64, 128), "{case}");
        assert_eq!(whole.flows.len(), cut.flows.len(), "{case}");
        for (whole, cut) in whole.flows.iter().zip(&cut.flows) {
            assert_eq!((whole.client, whole.server, whole.packets), (cut.client, cut.server, cut.packets));
            let is_accused = cut.assessment.mechanism().is_some();
            assert!(!is_accused || whole.assessment.mechanism().is_some(), "{case}: {cut:?}");
        }
    }
}

/// `pktmon etl2pcap` writes each appearance as a frame of its own, some without the link header.
#[test]
fn appearances_that_were_converted_to_pcapng_count_once() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("captures/working-site/capture.pcap");
    let (link, records) = frames(&path).unwrap();
    let rows = |bytes: Vec<u8>| {
        let run = support::audit::audit_bytes(bytes);
        let row = |row: &FlowRow| {
            format!("{:?} {:?} {:?} {:?} {:?}", row.client, row.server, row.name, row.packets, row.assessment)
        };
        run.flows.iter().map(row).collect::<Vec<_>>()
    };
    let mut appearances: Vec<(usize, Record)> = Vec::new();
    for record in &records {
        for number in 0..12 {
            let is_raw = number % 3 == 2;
            let bytes = record.bytes.get(if is_raw { 14.. } else { 0.. }).unwrap().to_vec();
            let nanos = record.nanos + number * 3_000;
            appearances.push((usize::from(is_raw), Record { nanos, bytes }));
        }
    }
    appearances.sort_by_key(|(_, record)| record.nanos);
    let appearances: Vec<(usize, &Record)> =
        appearances.iter().map(|(interface, record)| (*interface, record)).collect();
    assert_eq!(rows(pcapng_section(&[link, 101], &appearances)), rows(pcap(link, &records)));
}

/// As logs arrive by mail: `NetTrace.etl.gz`.
#[test]
fn compressed_logs_are_read() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("captures/working-site/capture.pcap");
    let (link, records) = frames(&path).unwrap();
    let log = event_trace(&kinds(link)[2], &records);
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&log).unwrap();
    assert_eq!(essence(gzip.finish().unwrap()), essence(log));
}

/// Losses that the log's own header reports are known before the first packet is judged.
#[test]
fn lost_events_and_buffers_make_silence_inconclusive() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("captures/client-hello-dropped/capture.pcap");
    let (link, records) = frames(&path).unwrap();
    for (events, buffers, expected) in
        [(0, 0, "blocked-looking"), (1000, 0, "inconclusive"), (0, 1, "inconclusive")]
    {
        let kind = TraceKind { lost: Lost { events, buffers }, ..kinds(link)[0] };
        let run = support::audit::audit_bytes(event_trace(&kind, &records));
        let outcomes: Vec<&str> = run.flows.iter().map(|row| row.assessment.outcome().as_str()).collect();
        assert_eq!(outcomes, [expected, "ok"], "{events} events and {buffers} buffers lost");
    }
}

/// Packet Monitor names its components when the session ends, which a stream shows too late and a file at once.
#[test]
fn names_at_the_end_of_a_log_are_those_of_its_packets() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("captures/demo/capture.pcap");
    let (link, records) = frames(&path).unwrap();
    let sender = Sender { address: [10, 1, 0, 4], process: 2764, program: r"C:\Agent\FileSyncSvc.exe" };
    let folder = tempfile::tempdir().unwrap();
    for (number, kind) in kinds(link).into_iter().enumerate().skip(2) {
        // Far more buffers than wait for each other.
        let kind = TraceKind { buffer_len: 512, names_last: true, sender: Some(sender), ..kind };
        let path = folder.path().join(format!("{number}.etl"));
        std::fs::write(&path, event_trace(&kind, &records)).unwrap();
        let names: BTreeSet<String> = packets(&path).into_iter().map(|packet| packet.component).collect();
        assert_eq!(names, BTreeSet::from(["ndis.sys".to_owned()]));
        let run = support::audit::audit(std::slice::from_ref(&path)).unwrap();
        let processes: BTreeSet<String> =
            run.flows.iter().filter_map(|row| Some(row.process.as_ref()?.to_string())).collect();
        assert_eq!(processes, BTreeSet::from(["2764 FileSyncSvc.exe".to_owned()]));
    }
}

/// The buffers of a log, each with its header.
fn buffers(log: &[u8]) -> Vec<&[u8]> {
    let mut rest = log;
    let mut buffers = Vec::new();
    while let Some(len) = rest.first_chunk::<4>() {
        let (buffer, after) = rest.split_at(u32::from_le_bytes(*len) as usize);
        buffers.push(buffer);
        rest = after;
    }
    buffers
}

/// A circular log, the default of `netsh trace` and `pktmon`, has its newest buffers before its oldest once it is full.
#[test]
fn a_circular_log_is_read_from_its_oldest_buffer() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("captures/demo/capture.pcap");
    let (link, records) = frames(&path).unwrap();
    let folder = tempfile::tempdir().unwrap();
    for kind in [kinds(link)[0], kinds(link)[1]] {
        // More buffers than wait for each other.
        let kind = TraceKind { buffer_len: 512, ..kind };
        let log = event_trace(&kind, &records);
        let [header, in_order @ ..] = &buffers(&log)[..] else { panic!("no buffers") };
        assert!(in_order.len() > 100, "{}", in_order.len());
        let (oldest, newest) = in_order.split_at(in_order.len() / 3);
        let circular = [&[*header], newest, oldest].concat().concat();
        let audit_file = |name: &str, bytes: &[u8]| {
            let path = folder.path().join(name);
            std::fs::write(&path, bytes).unwrap();
            support::audit::audit(&[path]).unwrap()
        };
        let expected = essence_of(&audit_file("in-order.etl", &log));
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(&circular).unwrap();
        let mut tar = tar::Builder::new(Vec::new());
        let mut entry = tar::Header::new_ustar();
        entry.set_size(circular.len() as u64);
        tar.append_data(&mut entry, "NetTrace.etl", &circular[..]).unwrap();
        let files = [
            ("NetTrace.etl", circular.clone()),
            ("NetTrace.etl.gz", gzip.finish().unwrap()),
            ("mail.tar", tar.into_inner().unwrap()),
        ];
        for (name, bytes) in files {
            let run = audit_file(name, &bytes);
            let facts = &run.result.inputs[0];
            assert_eq!((facts.damage_count, facts.time_reversals), (0, 0), "{name}: {facts:?}");
            assert_eq!(facts.notes, ["circular log: read from its oldest buffer on"], "{name}");
            assert_eq!(essence_of(&run), expected, "{name}");
        }
        // A stream is read once.
        let run = support::audit::audit_bytes(circular);
        let damage = &run.result.inputs[0].damage;
        assert!(damage.iter().any(|damage| damage.message.contains("circular log")), "{damage:?}");
    }
}

/// A damaged or foreign part of a log costs its own packets only, and is damage.
#[test]
fn damage_of_a_log_is_named_and_costs_only_itself() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("captures/demo/capture.pcap");
    let (link, records) = frames(&path).unwrap();
    let read = |bytes: &[u8]| {
        let run = support::audit::audit_bytes(bytes.to_vec());
        let facts = run.result.inputs.into_iter().next().unwrap();
        let damage = facts.damage.first().map_or_else(String::new, |damage| damage.message.clone());
        (facts.frames, facts.damage_count, damage)
    };
    for kind in [kinds(link)[1], TraceKind { buffer_len: 2 << 10, ..kinds(link)[2] }] {
        let log = event_trace(&kind, &records);
        let all = records.len() as u64;
        let buffer_at = |number: usize| {
            let len = |at: usize| u32::from_le_bytes(log[at..at + 4].try_into().unwrap()) as usize;
            (0..number).fold(0, |at, _| at + len(at))
        };
        assert_eq!(read(&log), (all, 0, String::new()), "{kind:?}");
        let (frames, count, message) = read(&log[..buffer_at(5) + 200]);
        assert!(frames < all && count == 1 && message.contains("truncated"), "{frames} {count} {message}");
        let mut damaged = log.clone();
        damaged[buffer_at(3)..buffer_at(3) + 60].fill(0xee);
        let (frames, count, message) = read(&damaged);
        assert!(frames > all * 2 / 3 && frames < all, "{kind:?}: {frames} of {all}");
        assert!(count == 1 && message.contains("were skipped, at byte"), "{count} {message}");
        let (frames, count, message) = read(&[&log[..], &[0xee; 500]].concat());
        assert!(
            frames == all && count >= 1 && message.contains("not a trace buffer"),
            "{frames} {count} {message}"
        );
        assert_eq!(read(&[&log[..], &pcap(link, &records)].concat()), (2 * all, 0, String::new()));
    }
}

/// `copy /b first.etl+second.etl`: each log has a clock of its own.
#[test]
fn joined_logs_keep_their_times() {
    let captures = Path::new(env!("CARGO_MANIFEST_DIR")).join("captures");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("joined.etl");
    let mut joined = Vec::new();
    let mut expected = Vec::new();
    for case in ["working-site", "demo"] {
        let (link, records) = frames(&captures.join(case).join("capture.pcap")).unwrap();
        joined.extend(event_trace(&kinds(link)[2], &records));
        expected.extend(records.iter().map(|record| record.nanos as i64 / 1000));
    }
    std::fs::write(&path, joined).unwrap();
    let mut times: Vec<i64> = packets(&path).iter().map(|packet| packet.micros).collect();
    times.sort_unstable();
    expected.sort_unstable();
    assert_eq!(times, expected);
}

/// A packet as both readers give it, with the microseconds first.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct SeenPacket {
    micros: i64,
    /// The process that sent it.
    process: Option<u32>,
    link: String,
    component: String,
    len: u32,
    drop: Option<u32>,
    hex: String,
}

/// The packets of a log, as this program reads them; a log without packets is an error of its own.
fn packets(path: &Path) -> Vec<SeenPacket> {
    let plan =
        capture::InputPlan { inputs: vec![Input::Path(path.to_owned())], ..capture::InputPlan::default() };
    let Ok(mut capture) = Capture::open(plan) else { return Vec::new() };
    let mut chunk = Chunk::default();
    let mut seen = Vec::new();
    while capture.next(&mut chunk) {
        for header in &chunk.frames {
            let report = chunk.host_report(header);
            let frame = chunk.frame(header);
            let packet = SeenPacket {
                micros: frame.time.0 / 1000,
                process: report.and_then(|report| report.process.as_ref()).map(|process| process.id),
                link: frame.link.0.to_string(),
                component: String::new(),
                len: frame.wire_len,
                drop: report.and_then(|report| report.drop.as_ref()).map(|drop| drop.reason.0),
                hex: frame.bytes.iter().map(|byte| format!("{byte:02x}")).collect(),
            };
            seen.push((usize::from(header.interface), packet));
        }
    }
    // Interfaces are described before their first packet.
    let facts = capture.finish();
    let named = |(interface, packet): (usize, SeenPacket)| {
        let name = facts.first().and_then(|facts| facts.interfaces.get(interface)?.name.clone());
        SeenPacket { component: name.map_or_else(String::new, |name| name.to_string()), ..packet }
    };
    seen.into_iter().map(named).collect()
}

/// The packets of a log, as dissect.etl reads them.
fn packets_of_other_reader(python: &Path, path: &Path) -> Vec<SeenPacket> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/event_trace/packets.py");
    let output = Command::new(python).arg(script).arg(path).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let parse = |line: &str| {
        let fields: Vec<&str> = line.split('\t').collect();
        let [micros, process, link, component, len, drop, hex] = fields[..] else { panic!("{line}") };
        SeenPacket {
            micros: micros.parse().unwrap(),
            // The idle process and the kernel send for others.
            process: process.parse().ok().filter(|process| *process > 4),
            link: link.to_owned(),
            component: component.to_owned(),
            len: len.parse().unwrap(),
            drop: drop.parse().ok(),
            hex: hex.to_owned(),
        }
    };
    String::from_utf8(output.stdout).unwrap().lines().map(parse).collect()
}

/// Logs of Windows, logs of the cases, and logs of every kind made from captures.
fn compared_logs(made: &Path) -> Vec<PathBuf> {
    const DROPS: &[Drop] = &[
        Drop { record: 4, component: 2, reason: 235, is_seen: true },
        Drop { record: 9, component: 3, reason: 9, is_seen: false },
    ];
    let captures = Path::new(env!("CARGO_MANIFEST_DIR")).join("captures");
    let mut logs = vec![captures.join("dropped-by-host/capture.etl")];
    if let Some(folder) = shared_folder("etl") {
        let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        logs.extend(entries.filter(|path| path.extension().is_some_and(|extension| extension == "etl")));
    }
    for case in ["working-site", "link-raw", "ipv6", "smb", "quic"] {
        let (link, records) = frames(&captures.join(case).join("capture.pcap")).unwrap();
        let sender = Sender { address: [10, 1, 0, 4], process: 2764, program: "FileSyncSvc.exe" };
        for (number, kind) in kinds(link).into_iter().enumerate() {
            let kind = TraceKind { drops: DROPS, sender: Some(sender), ..kind };
            let path = made.join(format!("{case}-{number}.etl"));
            std::fs::write(&path, event_trace(&kind, &records)).unwrap();
            logs.push(path);
        }
    }
    logs
}

#[test]
fn an_independent_reader_sees_the_same_packets() {
    let python = Path::new(env!("CARGO_TARGET_TMPDIR")).join("dissect-etl/bin/python");
    if !python.exists() {
        return not_run("dissect.etl is not installed: tools/test-tools installs it");
    }
    let folder = tempfile::tempdir().unwrap();
    let logs = compared_logs(folder.path());
    let compared = map_parallel(&logs, |path| (packets(path), packets_of_other_reader(&python, path)));
    let mut counts = [0; 3];
    for (path, (mut ours, mut others)) in logs.iter().zip(compared) {
        assert!(ours.is_sorted_by_key(|packet| packet.micros), "{}", path.display());
        assert_eq!(ours.len(), others.len(), "{}", path.display());
        ours.sort_by_key(|packet| (packet.hex.clone(), packet.micros));
        others.sort_by_key(|packet| (packet.hex.clone(), packet.micros));
        for (one, other) in ours.iter().zip(&others) {
            // The other reader calculates times since 1601 with floating-point numbers.
            assert!(one.micros.abs_diff(other.micros) <= 10, "{}: {one:?} {other:?}", path.display());
            assert_eq!(one, &SeenPacket { micros: one.micros, ..other.clone() }, "{}", path.display());
            counts[0] += 1;
            counts[1] += usize::from(one.drop.is_some());
            counts[2] += usize::from(one.process.is_some());
        }
    }
    let [packets, drops, sent] = counts;
    assert!(packets > 500 && drops > 20 && sent > 100, "{packets} packets, {drops} drops, {sent} sent");
}

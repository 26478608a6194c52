//! Every frame, byte and flow of every capture is accounted for.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a panic shows where a test failed")]

mod support;

use std::path::Path;
use std::path::PathBuf;
use std::process::Command;

use afs_audit::base::FrameRef;
use afs_audit::flow::FlowLimits;
use serde_json::Value as Json;

use support::audit::audit;
use support::audit::audit_with_workers;
use support::files::files_in;
use support::files::is_capture;
use support::files::map_parallel;
use support::files::own_captures;
use support::prerequisites::shared_folder;

/// The files in `captures/` and in the corpus of public captures.
fn all_captures() -> Vec<PathBuf> {
    let mut captures = files_in(&own_captures());
    captures.extend(shared_folder("captures").iter().flat_map(|folder| files_in(folder)));
    captures
}

#[test]
fn the_counts_of_every_capture_add_up() {
    let captures = all_captures();
    let frames = map_parallel(&captures, |path| {
        // A file that cannot be opened has no frames to account for.
        let Ok(run) = audit(std::slice::from_ref(path)) else { return 0 };
        let name = path.display();
        let result = &run.result;
        let [input] = &result.inputs[..] else { unreachable!("one input") };
        assert!(input.adds_up(), "{name}: {input:?}");
        let frames = input.frames - input.filtered;
        assert_eq!(result.accounting.read.frames, frames, "{name}");
        assert_eq!(result.accounting.sum(), result.accounting.read, "{name}: {:?}", result.accounting);
        let flows = &result.flows;
        let in_flows = flows.packets - flows.dropped_attempts + flows.icmp_attached + flows.late_packets;
        assert_eq!(in_flows, result.accounting.packets.frames, "{name}: every packet belongs to one flow");
        assert_eq!(run.flows.len() as u64, result.flows.opened, "{name}");
        assert_eq!(run.flows.len() as u64, result.judgement.tally.flows, "{name}");
        assert_eq!(run.dns.len() as u64, result.judgement.tally.dns, "{name}");
        let packets: u64 = run.flows.iter().flat_map(|row| row.packets).sum();
        let bytes: u64 = run.flows.iter().flat_map(|row| row.bytes).sum();
        assert_eq!((packets, bytes), (result.flows.packets, result.flows.payload_bytes), "{name}");
        assert!(result.flows.peak <= FlowLimits::default().flows as u64, "{name}");
        let mut ids: Vec<u64> = run.flows.iter().map(|row| row.flow_id).collect();
        ids.sort_unstable();
        assert!(ids.into_iter().eq(1..=result.flows.opened), "{name}: flows are numbered from 1");
        let exists =
            |frame: &FrameRef| frame.number >= 1 && frame.number <= input.frames + input.numbered_blocks;
        for row in &run.flows {
            let frames = [&row.first_frame, &row.last_frame].into_iter().chain(&row.evidence);
            assert!(frames.clone().all(exists), "{name}: flow {}: {row:?}", row.flow_id);
            assert!(row.first_frame <= row.last_frame && row.first_seen <= row.last_seen, "{name}: {row:?}");
        }
        assert!(run.dns.iter().all(|row| exists(&row.frame)), "{name}");
        input.frames
    });
    eprintln!("{} files, {} frames", frames.len(), frames.iter().sum::<u64>());
}

/// One worker and three workers give the same rows for every capture.
#[test]
fn the_number_of_workers_does_not_change_the_rows() {
    map_parallel(&all_captures(), |path| {
        let rows = |workers: usize| {
            let run = audit_with_workers(std::slice::from_ref(path), workers).ok()?;
            let judgement = &run.result.judgement;
            let findings: Vec<_> = judgement.findings.iter().collect();
            Some(format!("{:?}", (&run.flows, &run.dns, findings, &judgement.tally, &judgement.gaps)))
        };
        assert!(rows(1) == rows(3), "{}: the rows differ with three workers", path.display());
    });
}

fn analyze(paths: &[&Path], options: &[&str]) -> std::process::Output {
    let output = Command::new(env!("CARGO_BIN_EXE_afs-audit"))
        .arg("analyze")
        .args(paths)
        .args(options)
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(!stderr.contains("panicked"), "{stderr}");
    output
}

fn number(value: &Json) -> u64 {
    value.as_u64().unwrap_or_else(|| unreachable!("not a number: {value}"))
}

fn sum(lines: &Json) -> u64 {
    lines.as_object().unwrap().values().map(number).sum()
}

/// Checks that the counts of a manifest add up and agree with the tables of its evidence folder.
fn assert_adds_up(folder: &Path) {
    let manifest: Json =
        serde_json::from_slice(&std::fs::read(folder.join("manifest.json")).unwrap()).unwrap();
    let (accounting, statistics) = (&manifest["accounting"], &manifest["statistics"]);
    let sums =
        ["not_ip", "unknown_link", "unreadable", "damaged", "host_drops"].map(|key| sum(&accounting[key]));
    let counts = ["filtered", "packets", "duplicates", "fragments"].map(|key| number(&accounting[key]));
    let accounted = sums.iter().chain(&counts).sum::<u64>();
    assert_eq!(number(&accounting["frames"]), accounted, "{accounting:#}");

    let lines = "packets duplicates host-drops fragments not-ip unknown-link unreadable damaged";
    let bytes: u64 = lines.split(' ').map(|line| number(&statistics[format!("bytes.{line}")])).sum();
    assert_eq!(number(&statistics["bytes.frames"]), bytes, "{statistics:#}");

    let mut inputs = [0; 3];
    for input in manifest["inputs"].as_array().unwrap() {
        let [frames, read, captured] = ["frames", "bytes", "frame_bytes"].map(|key| number(&input[key]));
        let parts = ["overhead_bytes", "frame_bytes", "skipped_bytes"].map(|key| number(&input[key]));
        assert_eq!(number(&input["decoded_bytes"]), parts.iter().sum::<u64>(), "{input:#}");
        for (total, part) in inputs.iter_mut().zip([frames, read, captured]) {
            *total += part;
        }
    }
    let [frames, read, captured] = inputs;
    assert_eq!((number(&accounting["frames"]), number(&accounting["bytes"])), (frames, read));
    assert_eq!(number(&statistics["bytes.frames"]), captured);

    let of_flows = |line: &str| number(&statistics[format!("flow.{line}")]);
    let in_flows = of_flows("packets") - of_flows("host-dropped-attempts");
    let in_flows = in_flows + of_flows("icmp-attached") + of_flows("late-packets");
    // Packets that several capture points show are in the row of one.
    let in_flows = in_flows + manifest["capture_points"]["joined_packets"].as_u64().unwrap_or_default();
    assert_eq!(number(&accounting["packets"]), in_flows);

    for output in manifest["outputs"].as_array().unwrap() {
        let file = folder.join(output["name"].as_str().unwrap());
        let bytes = std::fs::read(&file).unwrap();
        assert_eq!(number(&output["bytes"]), bytes.len() as u64, "{output}");
        if file.extension().is_some_and(|extension| extension == "csv") {
            let rows = csv::Reader::from_reader(&bytes[..]).records().map(Result::unwrap).count();
            assert_eq!(number(&output["rows"]), rows as u64, "{output}");
        }
    }
    let mut flows = csv::Reader::from_path(folder.join("flows.csv")).unwrap();
    let columns = flows.headers().unwrap().clone();
    let column = |name: &str| columns.iter().position(|column| column == name).unwrap();
    let numbers =
        ["packets_to_server", "packets_to_client", "bytes_to_server", "bytes_to_client"].map(column);
    let mut totals = [0; 4];
    let mut rows = 0;
    for row in flows.records().map(Result::unwrap) {
        rows += 1;
        for (total, column) in totals.iter_mut().zip(numbers) {
            *total += row[column].parse::<u64>().unwrap();
        }
    }
    assert_eq!(number(&accounting["flows"]), rows);
    assert_eq!(number(&statistics["flow.packets"]), totals[0] + totals[1]);
    assert_eq!(number(&statistics["flow.payload-bytes"]), totals[2] + totals[3]);
}

#[test]
fn the_manifest_of_the_whole_corpus_adds_up() {
    let Some(folder) = shared_folder("captures") else { return };
    let evidence = tempfile::tempdir().unwrap();
    let output = evidence.path().join("all");
    let run = analyze(&[&folder, Path::new("-o"), &output], &["-q"]);
    assert_eq!(run.status.code(), Some(1), "the corpus has findings");
    assert_adds_up(&output);
}

#[test]
fn the_manifest_of_each_own_capture_adds_up() {
    let captures: Vec<_> = files_in(&own_captures()).into_iter().filter(|path| is_capture(path)).collect();
    map_parallel(&captures, |path| {
        let evidence = tempfile::tempdir().unwrap();
        let output = evidence.path().join("one");
        let run = analyze(&[path, Path::new("-o"), &output], &["-q", "--fail-on", "never"]);
        assert_eq!(run.status.code(), Some(0), "{}", path.display());
        assert_adds_up(&output);
    });
}

#[test]
fn captures_of_two_points_add_up() {
    let points = ["nat-inside.pcap", "nat-outside.pcap"].map(|file| own_captures().join("points").join(file));
    let evidence = tempfile::tempdir().unwrap();
    let output = evidence.path().join("both");
    let run = analyze(&[&points[0], &points[1], Path::new("-o"), &output], &["-q", "--fail-on", "never"]);
    assert_eq!(run.status.code(), Some(0));
    assert_adds_up(&output);
}

#[test]
fn a_text_file_is_refused_with_exit_status_2() {
    let run = analyze(&[Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml").as_path()], &["-q"]);
    assert_eq!(run.status.code(), Some(2));
}

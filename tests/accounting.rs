//! Every frame, byte and flow is accounted for, in every capture there is.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that cannot go on should say where"
)]

mod corpus;

use std::path::Path;
use std::path::PathBuf;
use std::process::Command;

use afs_audit::base::FrameRef;
use afs_audit::flow::FlowLimits;
use serde_json::Value as Json;

/// All files below `folder`, sorted.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { &mut folders } else { &mut files }.push(path);
        }
    }
    files.sort();
    files
}

/// The captures of this repository, and those beside it.
fn captures() -> Vec<PathBuf> {
    let mut captures = files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("captures"));
    captures.extend(corpus::beside("captures").iter().flat_map(|folder| files(folder)));
    captures
}

#[test]
fn every_capture_by_itself_adds_up() {
    let captures = captures();
    let sums = corpus::two_at_a_time(&captures, |path| {
        // What cannot be opened has no frames to account for.
        let Ok(run) = corpus::run(std::slice::from_ref(path)) else { return 0 };
        let name = path.display();
        let facts = &run.facts;
        let [input] = &facts.inputs[..] else { unreachable!("one input") };
        assert!(input.adds_up(), "{name}: {input:?}");
        let frames = input.frames - input.filtered;
        assert_eq!(facts.accounting.read.frames, frames, "{name}");
        assert_eq!(facts.accounting.sum(), facts.accounting.read, "{name}: {:?}", facts.accounting);
        let followed = facts.flows.packets + facts.flows.icmp_attached;
        assert_eq!(followed, facts.accounting.packets.frames, "{name}: each packet is in one conversation");
        assert_eq!(run.flows.len() as u64, facts.flows.opened, "{name}");
        assert_eq!(run.flows.len() as u64, facts.judgement.tally.flows, "{name}");
        assert_eq!(run.dns.len() as u64, facts.judgement.tally.dns, "{name}");
        let packets: u64 = run.flows.iter().flat_map(|row| row.packets).sum();
        let bytes: u64 = run.flows.iter().flat_map(|row| row.bytes).sum();
        assert_eq!((packets, bytes), (facts.flows.packets, facts.flows.payload_bytes), "{name}");
        assert!(facts.flows.peak <= FlowLimits::default().flows as u64, "{name}");
        let mut ids: Vec<u64> = run.flows.iter().map(|row| row.flow_id).collect();
        ids.sort_unstable();
        assert!(ids.into_iter().eq(1..=facts.flows.opened), "{name}: flows are numbered from 1");
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
    eprintln!("{} files, {} frames", sums.len(), sums.iter().sum::<u64>());
}

/// Another run, by more workers, says the same of every capture there is.
#[test]
fn every_run_says_the_same() {
    corpus::two_at_a_time(&captures(), |path| {
        let said = |workers: usize| {
            let run = corpus::run_by(std::slice::from_ref(path), workers).ok()?;
            let judgement = &run.facts.judgement;
            let findings: Vec<_> = judgement.findings.iter().collect();
            Some(format!("{:?}", (&run.flows, &run.dns, findings, &judgement.tally, &judgement.gaps)))
        };
        assert!(said(1) == said(3), "{}: another run says something else", path.display());
    });
}

fn afs_audit(arguments: &[&Path], more: &[&str]) -> std::process::Output {
    let output = Command::new(env!("CARGO_BIN_EXE_afs-audit"))
        .arg("analyze")
        .args(arguments)
        .args(more)
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(!stderr.contains("panicked"), "{stderr}");
    output
}

fn number(value: &Json) -> u64 {
    value.as_u64().unwrap_or_else(|| unreachable!("no number: {value}"))
}

fn sum(lines: &Json) -> u64 {
    lines.as_object().unwrap().values().map(number).sum()
}

/// Checks the sums of a manifest against each other and against the tables beside it.
fn adds_up(folder: &Path) {
    let manifest: Json =
        serde_json::from_slice(&std::fs::read(folder.join("manifest.json")).unwrap()).unwrap();
    let (accounting, statistics) = (&manifest["accounting"], &manifest["statistics"]);
    let sums = ["not_ip", "unknown_link", "unreadable", "damaged"].map(|key| sum(&accounting[key]));
    let counts = ["filtered", "packets", "copies", "fragments"].map(|key| number(&accounting[key]));
    let accounted = sums.iter().chain(&counts).sum::<u64>();
    assert_eq!(number(&accounting["frames"]), accounted, "{accounting:#}");

    let bytes = ["packets", "copies", "fragments", "not-ip", "unknown-link", "unreadable", "damaged"]
        .map(|line| number(&statistics[format!("bytes.{line}")]));
    assert_eq!(number(&statistics["bytes.frames"]), bytes.iter().sum::<u64>(), "{statistics:#}");

    let mut inputs = [0; 3];
    for input in manifest["inputs"].as_array().unwrap() {
        let [frames, read, held] = ["frames", "bytes", "frame_bytes"].map(|key| number(&input[key]));
        let parts = ["overhead_bytes", "frame_bytes", "skipped_bytes"].map(|key| number(&input[key]));
        assert_eq!(number(&input["decoded_bytes"]), parts.iter().sum::<u64>(), "{input:#}");
        for (total, part) in inputs.iter_mut().zip([frames, read, held]) {
            *total += part;
        }
    }
    let [frames, read, held] = inputs;
    assert_eq!((number(&accounting["frames"]), number(&accounting["bytes"])), (frames, read));
    assert_eq!(number(&statistics["bytes.frames"]), held);

    let followed = number(&statistics["flow.packets"]) + number(&statistics["flow.icmp-attached"]);
    assert_eq!(number(&accounting["packets"]), followed);

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
fn the_manifest_of_all_captures_adds_up() {
    let Some(folder) = corpus::beside("captures") else { return };
    let evidence = tempfile::tempdir().unwrap();
    let output = evidence.path().join("all");
    let ran = afs_audit(&[&folder, Path::new("-o"), &output], &["-q"]);
    assert_eq!(ran.status.code(), Some(1), "there are findings among so many");
    adds_up(&output);
}

#[test]
fn the_manifest_of_each_of_our_captures_adds_up() {
    let captures = files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("captures"));
    let captures: Vec<_> = captures.into_iter().filter(|path| corpus::is_capture(path)).collect();
    corpus::two_at_a_time(&captures, |path| {
        let evidence = tempfile::tempdir().unwrap();
        let output = evidence.path().join("one");
        let ran = afs_audit(&[path, Path::new("-o"), &output], &["-q", "--fail-on", "never"]);
        assert_eq!(ran.status.code(), Some(0), "{}", path.display());
        adds_up(&output);
    });
}

#[test]
fn what_is_no_capture_cannot_be_done() {
    let ran = afs_audit(&[Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml").as_path()], &["-q"]);
    assert_eq!(ran.status.code(), Some(2));
}

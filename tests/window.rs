//! `analyze --from --until`: the windows that divide a capture have its rows, each once.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a panic shows where a test failed")]

mod support;

use std::path::Path;
use std::path::PathBuf;
use std::process::Command;
use std::process::Output;

use afs_audit::base::Time;
use afs_audit::base::TimeWindow;
use serde_json::Value as Json;

use support::audit::AuditRun;
use support::audit::audit_window;
use support::files::map_parallel;
use support::golden::capture_files;
use support::golden::cases;
use support::prerequisites::shared_folder;

const MINUTE: u64 = 60_000_000_000;

/// Flows and DNS responses. The number of a flow depends on where reading began.
fn rows(run: &AuditRun) -> Vec<String> {
    let flows = run.flows.iter().map(|row| {
        let mut row = row.clone();
        row.flow_id = 0;
        format!("{row:?}")
    });
    let mut rows: Vec<String> = flows.chain(run.dns.iter().map(|row| format!("{row:?}"))).collect();
    rows.sort();
    rows
}

/// The runs over the windows that `cuts` divide a capture into.
fn windows(captures: &[PathBuf], cuts: &[Time], lead_in_nanos: u64) -> Vec<AuditRun> {
    let bounds: Vec<Option<Time>> =
        std::iter::once(None).chain(cuts.iter().copied().map(Some)).chain([None]).collect();
    let window = |bounds: &[Option<Time>]| TimeWindow { from: bounds[0], until: bounds[1], lead_in_nanos };
    bounds.windows(2).map(|bounds| audit_window(captures, window(bounds)).unwrap()).collect()
}

/// Three times at which a capture is cut: where a row begins, where one ends, and the last frame.
fn cuts(run: &AuditRun) -> Vec<Time> {
    let dns = || run.dns.iter().map(|row| row.time);
    let mut starts: Vec<Time> = run.flows.iter().map(|row| row.first_seen).chain(dns()).collect();
    let mut ends: Vec<Time> = run.flows.iter().map(|row| row.last_seen).chain(dns()).collect();
    starts.sort();
    ends.sort();
    let cuts = [starts.get(starts.len() / 2), ends.get(ends.len() / 3), ends.last()];
    let mut cuts: Vec<Time> = cuts.into_iter().flatten().copied().collect();
    cuts.sort();
    cuts.dedup();
    cuts
}

#[test]
fn windows_have_the_rows_of_the_whole_capture() {
    map_parallel(&cases(), |case| {
        let captures = capture_files(case);
        let whole = audit_window(&captures, TimeWindow::default()).unwrap();
        let cuts = cuts(&whole);
        let parts = windows(&captures, &cuts, 60 * MINUTE);
        let mut found: Vec<String> = parts.iter().flat_map(rows).collect();
        found.sort();
        let expected = rows(&whole);
        for (found, expected) in found.iter().zip(&expected) {
            assert_eq!(found, expected, "{} cut at {cuts:?}", case.display());
        }
        assert_eq!(found.len(), expected.len(), "{} cut at {cuts:?}", case.display());
        for part in parts {
            let accounting = &part.result.accounting;
            assert_eq!(accounting.sum(), accounting.read, "every frame is in exactly one line");
            assert_eq!(accounting.read, whole.result.accounting.read);
        }
    });
}

/// A capture of 25 minutes in windows of five, with a lead-in of five: its flows are shorter. What was before
/// the lead-in is not known: names that DNS resolved, and that the capture holds packets to a client, without which silence proves
/// nothing.
#[test]
fn windows_have_each_flow_that_is_shorter_than_the_lead_in() {
    let Some(bench) = shared_folder("bench") else { return };
    let folder = tempfile::tempdir().unwrap();
    let capture = folder.path().join("mixed.pcap");
    let made = Command::new("python3")
        .arg(bench.join("gen_capture.py"))
        .args(["--shape", "mixed", "--flows", "500", "--seed", "5", "--duration", "1500", "--out"])
        .arg(&capture)
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let captures = [capture];
    let whole = audit_window(&captures, TimeWindow::default()).unwrap();
    let (first, _) = whole.result.span.unwrap();
    let cuts: Vec<Time> = (1..5).map(|part| Time(first.0 + part * 5 * MINUTE as i64)).collect();
    let parts = windows(&captures, &cuts, 5 * MINUTE);
    let flows = |run: &AuditRun| -> Vec<String> {
        let flow = |row: &afs_audit::judge::FlowRow| {
            format!("{:?}", (row.first_frame, row.last_frame, row.client, row.server, row.packets, row.bytes))
        };
        run.flows.iter().map(flow).collect()
    };
    let mut found: Vec<String> = parts.iter().flat_map(flows).collect();
    let mut expected = flows(&whole);
    found.sort();
    expected.sort();
    for (found, expected) in found.iter().zip(&expected) {
        assert_eq!(found, expected);
    }
    assert_eq!(found.len(), expected.len());
    let is_read = |part: &AuditRun| part.result.accounting.packets.frames;
    assert!(parts.iter().all(|part| is_read(part) < is_read(&whole)), "no window reads all frames");
}

fn demo() -> Vec<PathBuf> {
    capture_files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("captures/demo"))
}

fn run(command: &str, inputs: &[PathBuf], more: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_afs-audit"))
        .arg(command)
        .args(inputs)
        .args(["--quiet", "--fail-on", "never"])
        .args(more)
        .output()
        .unwrap()
}

/// The manifest of a part of the demo capture. At its end begins a connection attempt of three seconds.
fn window_of_demo(folder: &Path) -> Json {
    let output = run(
        "analyze",
        &demo(),
        &[
            ["--from", "2026-11-21T02:24:06.40Z", "--until", "2026-11-21T02:24:06.52Z"],
            ["--lead-in", "1s", "-o", folder.to_str().unwrap()],
        ]
        .concat(),
    );
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    manifest(folder)
}

fn manifest(folder: &Path) -> Json {
    serde_json::from_slice(&std::fs::read(folder.join("manifest.json")).unwrap()).unwrap()
}

#[test]
fn frames_that_are_not_read_and_flows_that_are_cut_are_counted() {
    let folder = tempfile::tempdir().unwrap();
    let part = folder.path().join("part");
    let manifest = window_of_demo(&part);
    let (accounting, window) = (&manifest["accounting"], &manifest["window"]);
    let number = |value: &Json| value.as_u64().unwrap();
    let skipped = number(&accounting["before_window"]) + number(&accounting["after_window"]);
    assert!(number(&accounting["before_window"]) > 0 && number(&accounting["after_window"]) > 0);
    assert!(
        number(&accounting["frames"]) >= skipped + number(&window["frames"]) && number(&window["frames"]) > 0
    );
    assert_eq!(window["lead_in_secs"], 1);
    let flows = std::fs::read_to_string(part.join("flows.csv")).unwrap();
    let last = flows.lines().last().unwrap().split(',').next().unwrap();
    // Also flows over UDP, whose end only silence shows.
    let unfinished = window["unfinished_flows"].as_array().unwrap();
    assert!(unfinished.contains(&last.parse::<u64>().unwrap().into()), "{window}");
    assert_eq!(number(&window["unfinished"]), unfinished.len() as u64);
    let warnings = manifest["warnings"].to_string();
    for expected in ["were not audited", " flows had not ended", "is shorter than an hour"] {
        assert!(warnings.contains(expected), "{warnings}");
    }
    assert!(manifest["first_seen"].as_str().unwrap() >= "2026-11-21T02:24:06.40");
}

#[test]
fn judge_gives_the_same_window() {
    let folder = tempfile::tempdir().unwrap();
    let [part, judged] = ["part", "judged"].map(|name| folder.path().join(name));
    let analyzed = window_of_demo(&part);
    let output = run("judge", std::slice::from_ref(&part), &["-o", judged.to_str().unwrap()]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    for file in ["flows.csv", "dns.csv", "findings.csv"] {
        let [analyzed, judged] = [&part, &judged].map(|folder| std::fs::read(folder.join(file)).unwrap());
        assert_eq!(analyzed, judged, "{file}");
    }
    assert_eq!(manifest(&judged)["window"], analyzed["window"]);
}

#[test]
fn bounds_are_checked() {
    let day = "2026-07-20T00:00:00Z";
    for (args, expected) in [
        (&["--from", "yesterday"][..], "expected a time such as 2026-07-20T10:00:00Z"),
        (&["--from", day, "--until", day], "is not before --until 2026-07-20T00:00:00.000000000Z"),
    ] {
        let output = run("analyze", &demo(), args);
        assert_eq!(output.status.code(), Some(2));
        let message = String::from_utf8_lossy(&output.stderr);
        assert!(message.contains(expected), "{message}");
    }
}

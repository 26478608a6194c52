//! The whole audit compared with `tcpdump -r FILE -w /dev/null`, alternating in one run: ratio of times, and peak memory.
//!
//! ```text
//! cargo bench                    bulk (1.5 GB) and flows (100,000)
//! cargo bench -- million         also a million flows (6 GB)
//! cargo bench -- FILE…           your own captures
//! ```
//!
//! `../shared/bench/gen_capture.py` generates the captures in `target/bench`, where they are kept. The audit writes all CSV
//! files and the manifest, with the hashes of input and outputs. On a shared machine, absolute times mean little; the ratio of
//! medians of alternating runs is meaningful.

#![expect(clippy::unwrap_used, reason = "a bench that cannot go on should say where")]

use std::path::Path;
use std::path::PathBuf;
use std::process::Command;
use std::process::Stdio;
use std::time::Duration;
use std::time::Instant;

/// Measured runs, after one warm-up run.
const RUNS: usize = 5;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/bench");
    std::fs::create_dir_all(&folder).unwrap();
    let mut captures: Vec<PathBuf> =
        arguments.iter().filter(|argument| *argument != "million").map(PathBuf::from).collect();
    if captures.is_empty() {
        captures.extend(generate(
            &folder,
            "bulk.pcap",
            &["--shape", "bulk", "--size-mb", "1500", "--flows", "400"],
        ));
        captures.extend(generate(&folder, "flows.pcap", &["--shape", "flows", "--flows", "100000"]));
        if arguments.iter().any(|argument| argument == "million") {
            captures.extend(generate(&folder, "million.pcap", &["--shape", "flows", "--flows", "1000000"]));
        }
    }
    for capture in &captures {
        compare(capture, &folder);
    }
}

/// Generates a capture, unless it exists.
fn generate(folder: &Path, name: &str, shape: &[&str]) -> Option<PathBuf> {
    let capture = folder.join(name);
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/bench/gen_capture.py");
    if !capture.exists() {
        if !script.exists() {
            eprintln!("NOT RUN: {name}: no generator at {}", script.display());
            return None;
        }
        eprintln!("making {}", capture.display());
        let made =
            Command::new("python3").arg(script).args(shape).arg("--out").arg(&capture).status().unwrap();
        assert!(made.success());
    }
    Some(capture)
}

fn compare(capture: &Path, folder: &Path) {
    let size = std::fs::metadata(capture).unwrap().len();
    let out = folder.join("evidence");
    let audit = |hash: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_afs-audit"));
        command.arg("analyze").arg(capture).arg("-o").arg(&out);
        command.args(["--quiet", "--fail-on", "never", "--threads", "1", "--hash", hash]);
        command
    };
    let mut tcpdump = Command::new("tcpdump");
    tcpdump.arg("-r").arg(capture).args(["-w", "/dev/null"]);
    let mut commands = [
        ("tcpdump -w /dev/null", tcpdump),
        ("audit, BLAKE3 (default)", audit("blake3")),
        ("audit, SHA-256", audit("sha256")),
        ("audit, input not hashed", audit("none")),
    ];
    let mut times: Vec<Vec<f64>> = vec![Vec::new(); commands.len()];
    let mut peaks = vec![0; commands.len()];
    for run in 0..=RUNS {
        for ((place, (_, command)), peak) in commands.iter_mut().enumerate().zip(&mut peaks) {
            // Removing the previous evidence is not measured: it costs as much as writing it.
            let _ = std::fs::remove_dir_all(&out);
            let (time, memory) = timed(command);
            if run > 0 {
                times.get_mut(place).unwrap().push(time);
            }
            *peak = memory.max(*peak);
        }
    }
    let medians: Vec<f64> = times.into_iter().map(median).collect();
    let manifest: serde_json::Value =
        serde_json::from_slice(&std::fs::read(out.join("manifest.json")).unwrap()).unwrap();
    let number =
        |pointer: &str| manifest.pointer(pointer).and_then(serde_json::Value::as_u64).unwrap_or_default();
    let (frames, live) = (number("/accounting/frames"), number("/statistics/flow.peak-live"));
    println!(
        "{}: {} MB, {frames} frames, {} flows, at most {live} live",
        capture.display(),
        size / 1_000_000,
        number("/accounting/flows"),
    );
    for (((name, _), median), peak) in commands.iter().zip(&medians).zip(&peaks) {
        println!(
            "  {name:<26} {median:>7.3} s  {:>5.2} x tcpdump  {:>6.2} M frames/s  {:>6.0} MB/s  {:>5} MB peak",
            median / medians.first().unwrap(),
            frames as f64 / median / 1e6,
            size as f64 / median / 1e6,
            peak / 1024,
        );
    }
    println!("  memory allowed: 64 MB + 400 bytes x {live} live flows = {} MB", 64 + live * 400 / 1_000_000);
}

/// Seconds, and peak resident memory in KiB.
fn timed(command: &mut Command) -> (f64, u64) {
    let begun = Instant::now();
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let status = format!("/proc/{}/status", child.id());
    let mut peak = 0;
    while child.try_wait().unwrap().is_none() {
        let text = std::fs::read_to_string(&status).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        peak = line.and_then(|line| line.trim().strip_suffix(" kB")?.trim().parse().ok()).unwrap_or(peak);
        std::thread::sleep(Duration::from_millis(2));
    }
    (begun.elapsed().as_secs_f64(), peak)
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times.get(times.len() / 2).copied().unwrap_or_default()
}

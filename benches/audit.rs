//! The whole audit compared with `tcpdump -r FILE -w /dev/null` and other programs, alternating in one run: wall time, processor
//! time, peak memory, and the ratio to tcpdump.
//!
//! ```text
//! cargo bench --bench audit                  bulk (1.5 GB), mixed, flows (10,000 and 100,000)
//! cargo bench --bench audit -- million       also a million flows (6 GB)
//! cargo bench --bench audit -- ten-million   also ten million (60 GB)
//! cargo bench --bench audit -- FILE…         your own captures
//! ```
//!
//! `../shared/bench/gen_capture.py` generates the captures in `target/bench`, where they are kept. The audit writes all CSV
//! files and the manifest, with the hashes of input and outputs. Suricata, nDPI, Zeek and tshark are run where they are installed.
//! On a shared machine, absolute times mean little; the ratio of medians of alternating runs is meaningful. For instructions, which
//! are the same on every machine, see `make profile`.

#![expect(clippy::unwrap_used, reason = "a bench that cannot go on should say where")]

use std::path::Path;
use std::path::PathBuf;
use std::process::Command;
use std::process::Stdio;
use std::time::Duration;
use std::time::Instant;

/// Measured runs, after one warm-up run.
const RUNS: usize = 5;

/// Captures that are made without arguments: name, and arguments of the generator.
const USUAL: &[(&str, &[&str])] = &[
    ("bulk.pcap", &["--shape", "bulk", "--size-mb", "1500", "--flows", "400"]),
    ("mixed.pcap", &["--shape", "mixed", "--flows", "20000"]),
    ("flows-10000.pcap", &["--shape", "flows", "--flows", "10000"]),
    ("flows.pcap", &["--shape", "flows", "--flows", "100000"]),
];

/// Captures that an argument asks for.
const LARGE: &[(&str, &str, &[&str])] = &[
    ("million", "million.pcap", &["--shape", "flows", "--flows", "1000000"]),
    ("ten-million", "ten-million.pcap", &["--shape", "flows", "--flows", "10000000"]),
];

/// Other programs, with their arguments before the capture and after it.
const OTHERS: &[(&str, &[&str], &[&str])] = &[
    ("suricata", &["--runmode", "single", "-l", ".", "-r"], &[]),
    ("ndpiReader", &["-q", "-i"], &[]),
    ("zeek", &["-C", "-r"], &[]),
    ("tshark", &["-n", "-q", "-z", "conv,tcp", "-r"], &[]),
];

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/bench");
    std::fs::create_dir_all(&folder).unwrap();
    let is_named = |name: &str| arguments.iter().any(|argument| argument == name);
    let is_file = |argument: &&String| LARGE.iter().all(|(name, ..)| name != argument);
    let mut captures: Vec<PathBuf> = arguments.iter().filter(is_file).map(PathBuf::from).collect();
    if captures.is_empty() {
        captures.extend(USUAL.iter().filter_map(|(file, shape)| generate(&folder, file, shape)));
    }
    let large = LARGE.iter().filter(|(name, ..)| is_named(name));
    captures.extend(large.filter_map(|(_, file, shape)| generate(&folder, file, shape)));
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
    let mut rows_only = Command::new(env!("CARGO_BIN_EXE_afs-audit"));
    rows_only.arg("analyze").arg(capture).args([
        "--quiet",
        "--fail-on",
        "never",
        "--format",
        "csv",
        "--threads",
        "1",
    ]);
    let mut commands = vec![
        ("tcpdump -w /dev/null", tcpdump),
        ("audit, BLAKE3 (default)", audit("blake3")),
        ("audit, SHA-256", audit("sha256")),
        ("audit, input not hashed", audit("none")),
        ("audit, flows.csv only", rows_only),
    ];
    let logs = folder.join("others");
    std::fs::create_dir_all(&logs).unwrap();
    for (program, before, after) in OTHERS {
        if Command::new(program).arg("--help").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok() {
            let mut command = Command::new(program);
            command.args(*before).arg(std::path::absolute(capture).unwrap()).args(*after).current_dir(&logs);
            commands.push((program, command));
        }
    }
    let mut times: Vec<Vec<f64>> = vec![Vec::new(); commands.len()];
    let mut processor_times: Vec<Vec<f64>> = vec![Vec::new(); commands.len()];
    let mut peaks = vec![0; commands.len()];
    for run in 0..=RUNS {
        for ((place, (_, command)), peak) in commands.iter_mut().enumerate().zip(&mut peaks) {
            // Removing the previous evidence is not measured: it costs as much as writing it.
            if command.get_args().any(|argument| argument == out) {
                let _ = std::fs::remove_dir_all(&out);
            }
            let before = processor_time_of_children();
            let (time, memory) = timed(command);
            if run > 0 {
                times.get_mut(place).unwrap().push(time);
                processor_times.get_mut(place).unwrap().push(processor_time_of_children() - before);
            }
            *peak = memory.max(*peak);
        }
    }
    let medians: Vec<f64> = times.into_iter().map(median).collect();
    let processor_medians: Vec<f64> = processor_times.into_iter().map(median).collect();
    let manifest: serde_json::Value =
        serde_json::from_slice(&std::fs::read(out.join("manifest.json")).unwrap()).unwrap();
    let number =
        |pointer: &str| manifest.pointer(pointer).and_then(serde_json::Value::as_u64).unwrap_or_default();
    let (frames, live) = (number("/accounting/frames"), number("/statistics/flow.peak-active"));
    println!(
        "{}: {} MB, {frames} frames, {} flows, at most {live} live",
        capture.display(),
        size / 1_000_000,
        number("/accounting/flows"),
    );
    for (place, (name, _)) in commands.iter().enumerate() {
        let of = |list: &[f64]| list.get(place).copied().unwrap_or_default();
        println!(
            "  {name:<26} {:>7.3} s  {:>7.3} CPU s  {:>5.2} x tcpdump  {:>6.2} M frames/s  {:>6.0} MB/s  {:>5} MB peak",
            of(&medians),
            of(&processor_medians),
            of(&medians) / medians.first().unwrap(),
            frames as f64 / of(&medians) / 1e6,
            size as f64 / of(&medians) / 1e6,
            peaks.get(place).copied().unwrap_or_default() / 1024,
        );
    }
    println!("  memory allowed: 64 MB + 400 bytes x {live} live flows = {} MB", 64 + live * 400 / 1_000_000);
}

/// Seconds of processor time of the child processes that have ended.
fn processor_time_of_children() -> f64 {
    let usage = nix::sys::resource::getrusage(nix::sys::resource::UsageWho::RUSAGE_CHILDREN).unwrap();
    let seconds = |time: nix::sys::time::TimeVal| time.tv_sec() as f64 + time.tv_usec() as f64 / 1e6;
    seconds(usage.user_time()) + seconds(usage.system_time())
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

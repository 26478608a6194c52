//! What hostile packets cost, compared with ordinary ones in the same run: CPU time and evidence per packet, and peak memory.
//!
//! ```text
//! cargo bench --bench hostile            all attacks
//! cargo bench --bench hostile -- dns     those with `dns` in their name
//! PROGRAM=… cargo bench --bench hostile  another build of the program
//! ```
//!
//! The captures are made in `target/bench/hostile` and audited as a user would, into an evidence folder, by one worker. All
//! captures alternate in each round; the result is the median of the ratios. The time to start is measured with a capture of
//! one packet and subtracted. On a shared machine, absolute times mean little; the ratios are meaningful.

#![expect(clippy::unwrap_used, reason = "a bench that cannot go on should say where")]

mod attacks;
mod frames;

use std::path::Path;
use std::path::PathBuf;
use std::process::Command;
use std::process::Stdio;

use attacks::ATTACKS;
use frames::CaptureSize;
use frames::CaptureWriter;

/// The first captures: one packet, and what attacks are compared with.
const BASELINES: usize = 3;

/// Measured rounds.
const ROUNDS: usize = 3;

/// A hostile packet may cost so many times what an ordinary one of its kind costs. Ordinary packets are a few hundred bytes; for
/// attacks that fill theirs, the cost of a byte says how much a link can carry of them.
const ALLOWED: f64 = 3.0;

/// Memory that any run may use, in MiB: the table of flows has a limit, and a million flows need this.
const MEMORY: u64 = 1024;

/// What one run cost.
#[derive(Clone, Copy, Default)]
struct RunCost {
    seconds: f64,
    peak_kib: u64,
    evidence_bytes: u64,
}

struct Measured {
    name: &'static str,
    size: CaptureSize,
    capture: PathBuf,
    runs: Vec<RunCost>,
}

fn main() {
    let wanted: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/bench/hostile");
    std::fs::create_dir_all(&folder).unwrap();
    let is_wanted = |name: &str| wanted.is_empty() || wanted.iter().any(|part| name.contains(part.as_str()));
    let chosen =
        ATTACKS.iter().enumerate().filter(|(index, (name, ..))| *index < BASELINES || is_wanted(name));
    let mut all: Vec<Measured> = chosen
        .map(|(_, (name, packets, write))| {
            let capture = folder.join(name.replace([' ', ',', '/'], "-")).with_extension("pcap");
            let mut writer = CaptureWriter::create(&capture);
            write(&mut writer, *packets);
            Measured { name, size: writer.finish(), capture, runs: Vec::new() }
        })
        .collect();
    for _ in 0..ROUNDS {
        for measured in &mut all {
            measured.runs.push(audit(&measured.capture, &folder.join("evidence")));
        }
    }
    print(&all);
    for measured in &all {
        std::fs::remove_file(&measured.capture).unwrap();
    }
}

fn print(all: &[Measured]) {
    let [start, ordinary, dns, ..] = all else { return };
    let seconds = |measured: &Measured, round: usize| {
        let run = measured.runs.get(round).copied().unwrap_or_default();
        let begun = start.runs.get(round).copied().unwrap_or_default();
        (run.seconds - begun.seconds).max(0.0)
    };
    println!(
        "start: {:.3} s; memory allowed: {MEMORY} MB",
        median(start.runs.iter().map(|run| run.seconds).collect())
    );
    println!(
        "{:<30} {:>9} {:>6} {:>9} {:>8} {:>8} {:>10} {:>7}",
        "", "packets", "size", "µs/packet", "/packet", "/byte", "B/packet", "peak MB"
    );
    for (index, measured) in all.iter().enumerate().skip(1) {
        let is_attack = index >= BASELINES;
        let baseline = if measured.name.starts_with("dns") { dns } else { ordinary };
        let median_of = |cost: &dyn Fn(usize) -> f64| median((0..ROUNDS).map(cost).collect());
        let per = |of: fn(&CaptureSize) -> u64| {
            median_of(&|round| {
                let cost = |of_what: &Measured| seconds(of_what, round) / of(&of_what.size) as f64;
                cost(measured) / cost(baseline)
            })
        };
        let CaptureSize { packets, bytes } = measured.size;
        let micros = median_of(&|round| seconds(measured, round) / packets as f64 * 1e6);
        let (per_packet, per_byte) = (per(|size| size.packets), per(|size| size.bytes));
        let evidence = measured.runs.last().map_or(0, |run| run.evidence_bytes) / packets;
        let peak = measured.runs.iter().map(|run| run.peak_kib).max().unwrap_or_default() / 1024;
        let mut verdict = String::new();
        if is_attack && per_packet > ALLOWED {
            verdict.push_str(match per_byte > ALLOWED {
                true => "  more than 3 times",
                false => "  more than 3 times a packet, not a byte",
            });
        }
        if peak > MEMORY {
            verdict.push_str("  too much memory");
        }
        println!(
            "{:<30} {packets:>9} {:>6} {micros:>9.2} {per_packet:>7.1}x {per_byte:>7.1}x {evidence:>10} {peak:>7}{verdict}",
            measured.name,
            bytes / packets,
        );
    }
}

/// Audits a capture into an evidence folder.
fn audit(capture: &Path, evidence: &Path) -> RunCost {
    let _ = std::fs::remove_dir_all(evidence);
    let program = std::env::var_os("PROGRAM").unwrap_or_else(|| env!("CARGO_BIN_EXE_afs-audit").into());
    let mut command = Command::new(program);
    command.arg("analyze").arg(capture).arg("-o").arg(evidence);
    command.args(["--quiet", "--fail-on", "never", "--threads", "1"]);
    let begun = children_seconds();
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let status = format!("/proc/{}/status", child.id());
    let mut peak_kib = 0;
    let ended = loop {
        let text = std::fs::read_to_string(&status).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        peak_kib =
            line.and_then(|line| line.trim().strip_suffix(" kB")?.trim().parse().ok()).unwrap_or(peak_kib);
        match child.try_wait().unwrap() {
            Some(ended) => break ended,
            None => std::thread::sleep(std::time::Duration::from_millis(2)),
        }
    };
    assert!(ended.success(), "{}: {ended}", capture.display());
    let files = std::fs::read_dir(evidence).unwrap().map(|file| file.unwrap().metadata().unwrap().len());
    RunCost { seconds: children_seconds() - begun, peak_kib, evidence_bytes: files.sum() }
}

/// CPU seconds of all child processes that have ended.
#[cfg(unix)]
fn children_seconds() -> f64 {
    use nix::sys::resource::UsageWho;
    use nix::sys::resource::getrusage;
    use nix::sys::time::TimeValLike;
    let children = getrusage(UsageWho::RUSAGE_CHILDREN).unwrap();
    (children.user_time().num_microseconds() + children.system_time().num_microseconds()) as f64 / 1e6
}

/// Wall-clock time, on systems without CPU clocks.
#[cfg(not(unix))]
fn children_seconds() -> f64 {
    std::time::UNIX_EPOCH.elapsed().unwrap().as_secs_f64()
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}

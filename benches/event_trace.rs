//! Reading an event trace log compared with pcapng of the same frames, alternating in one run: ratio of the rates, of processor
//! time.
//!
//! ```text
//! cargo bench --bench event_trace              1 GB of bulk traffic (takes 2 GB of memory)
//! cargo bench --bench event_trace -- FILE      the frames of a pcap file with microseconds
//! ```
//!
//! A log, plain and compressed, is to be read at no less than a third of the rate of pcapng. The rate is that of the frames' bytes,
//! because the files differ in length. On a shared machine only the ratio of alternating runs is meaningful.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a bench that cannot go on should say where"
)]

/// What writes the crafted captures of this repository.
#[path = "../examples/craft"]
#[allow(dead_code, unreachable_pub, reason = "only what writes event traces and captures is used here")]
mod craft {
    pub mod capture_file;
    pub mod event_trace;
}

use std::path::Path;
use std::path::PathBuf;
use std::process::Command;

use craft::capture_file::Record;
use craft::capture_file::pcapng_section;
use craft::capture_file::read_pcap;
use craft::event_trace::Clock;
use craft::event_trace::Lost;
use craft::event_trace::Provider;
use craft::event_trace::TraceKind;
use craft::event_trace::event_trace;

/// Measured runs, after one warm-up run.
const RUNS: usize = 5;

const ETHERNET: u32 = 1;

fn main() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/bench");
    std::fs::create_dir_all(&folder).unwrap();
    let given = std::env::args().skip(1).find(|argument| argument != "--bench").map(PathBuf::from);
    let Some(capture) = given.or_else(|| generate(&folder)) else { return };
    let records = read_pcap(&std::fs::read(&capture).unwrap());
    let frame_bytes: usize = records.iter().map(|record| record.bytes.len()).sum();
    let numbered: Vec<(usize, &Record)> = records.iter().map(|record| (0, record)).collect();
    let trace = |provider, compressed| TraceKind {
        provider,
        clock: Clock::PerformanceCounter(10_000_000),
        pointer_len: 8,
        processors: 4,
        buffer_len: 256 << 10,
        compressed,
        link: ETHERNET,
        drops: &[],
        sender: None,
        lost: Lost::default(),
        names_last: false,
        translation: None,
        logged_len: usize::MAX,
    };
    let once = Provider::PktMon { appearances: 1 };
    let write = |what, name, bytes: Vec<u8>| {
        let path = folder.join(name);
        std::fs::write(&path, bytes).unwrap();
        (what, path)
    };
    let ndis = Provider::Ndis { fragment_len: 1 << 16 };
    let files = [
        write("pcapng", "frames.pcapng", pcapng_section(&[ETHERNET], &numbered)),
        write("netsh trace", "ndis.etl", event_trace(&trace(ndis, false), &records)),
        write("pktmon", "pktmon.etl", event_trace(&trace(once, false), &records)),
        write("pktmon, compressed", "compressed.etl", event_trace(&trace(once, true), &records)),
    ];
    drop(records);
    let mut times = [const { Vec::new() }; 4];
    for run in 0..=RUNS {
        for ((_, path), times) in files.iter().zip(&mut times) {
            let before = processor_time_of_children();
            let mut command = Command::new(env!("CARGO_BIN_EXE_afs-audit"));
            command.arg("analyze").arg(path).args(["--quiet", "--fail-on", "never", "--threads", "1"]);
            assert!(command.status().unwrap().success());
            if run > 0 {
                times.push(processor_time_of_children() - before);
            }
        }
    }
    let medians = times.map(|mut times| {
        times.sort_by(f64::total_cmp);
        times[times.len() / 2]
    });
    for ((what, path), median) in files.iter().zip(medians) {
        let rate = frame_bytes as f64 / median / 1e6;
        println!(
            "{what:<20} {median:>7.3} s  {rate:>6.0} MB/s  {:>5.2} x the rate of pcapng",
            medians[0] / median
        );
        std::fs::remove_file(path).unwrap();
    }
}

/// Seconds of processor time of the child processes that have ended. Time on the clock would measure what else runs.
fn processor_time_of_children() -> f64 {
    let usage = nix::sys::resource::getrusage(nix::sys::resource::UsageWho::RUSAGE_CHILDREN).unwrap();
    let seconds = |time: nix::sys::time::TimeVal| time.tv_sec() as f64 + time.tv_usec() as f64 / 1e6;
    seconds(usage.user_time()) + seconds(usage.system_time())
}

/// Generates a capture, unless it exists.
fn generate(folder: &Path) -> Option<PathBuf> {
    let capture = folder.join("bulk-1000.pcap");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/bench/gen_capture.py");
    if !capture.exists() {
        if !script.exists() {
            eprintln!("NOT RUN: no generator at {}", script.display());
            return None;
        }
        let shape = ["--shape", "bulk", "--size-mb", "1000", "--flows", "400"];
        let made =
            Command::new("python3").arg(script).args(shape).arg("--out").arg(&capture).status().unwrap();
        assert!(made.success());
    }
    Some(capture)
}

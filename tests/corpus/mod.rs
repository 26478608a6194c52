//! The corpus of public captures, and a run of the pipeline that keeps its rows.
//!
//! The corpus is no part of the repository. Where it is missing, a test says so and is not run; under CI it fails.

#![allow(dead_code, reason = "each test uses its own part of this file")]
#![allow(unreachable_pub, reason = "a module of several tests")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on should say where")]

use std::collections::BTreeMap;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::LazyLock;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;

use afs_audit::capture;
use afs_audit::capture::Capture;
use afs_audit::capture::Input;
use afs_audit::decode;
use afs_audit::flow;
use afs_audit::judge;
use afs_audit::judge::DnsRow;
use afs_audit::judge::FlowRow;
use afs_audit::judge::Policy;
use afs_audit::judge::Scope;
use afs_audit::pipeline;
use afs_audit::rules::RuleSet;
use afs_audit::rules::Selection;
use afs_audit::rules::Site;

/// The folder `name` of what lies beside the repository.
pub fn beside(name: &str) -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared").join(name);
    if folder.is_dir() {
        return Some(folder);
    }
    assert!(std::env::var_os("CI").is_none(), "missing: {}", folder.display());
    eprintln!("NOT RUN: missing: {}", folder.display());
    None
}

/// Whether a file's name says that it is a capture.
pub fn is_capture(path: &Path) -> bool {
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    [".pcap", ".pcapng", ".gz", ".zst", ".xz"].iter().any(|end| name.ends_with(end))
}

/// What a run left.
pub struct Run {
    /// In the order of their closing.
    pub flows: Vec<FlowRow>,
    /// In the order of their responses.
    pub dns: Vec<DnsRow>,
    /// All that is no row.
    pub facts: pipeline::RunResult,
}

#[derive(Default)]
struct Kept {
    flows: Vec<FlowRow>,
    dns: Vec<DnsRow>,
}

impl pipeline::RunSink for Kept {
    fn flow(&mut self, row: &FlowRow) {
        self.flows.push(row.clone());
    }

    fn dns(&mut self, row: &DnsRow) {
        self.dns.push(row.clone());
    }
}

struct Nobody;

impl pipeline::ProgressObserver for Nobody {
    fn progress(&mut self, _: u64, _: u64) {}
}

static GROUND: LazyLock<Arc<Policy>> = LazyLock::new(|| {
    let rules = RuleSet::embedded(&Selection::default()).unwrap();
    Arc::new(Policy::new(Arc::new(rules), Site::default(), None))
});

/// Runs the pipeline over `files`; the error is why none of them could be opened.
pub fn run(files: &[PathBuf]) -> Result<Run, String> {
    run_by(files, 1)
}

/// The same by so many workers.
pub fn run_by(files: &[PathBuf], workers: usize) -> Result<Run, String> {
    let inputs = files.iter().map(|file| Input::Path(file.clone())).collect();
    let plan = capture::InputPlan { inputs, hash: capture::Hash::None, ..capture::InputPlan::default() };
    let capture = Capture::open(plan).map_err(|error| error.to_string())?;
    Ok(audited(capture, Scope::default(), workers))
}

/// Runs the pipeline over a capture that lies in memory, and audits every client.
pub fn run_over(bytes: Vec<u8>) -> Run {
    let bytes = Box::new(std::io::Cursor::new(bytes));
    let capture = Capture::over("memory", bytes, capture::Hash::None).unwrap();
    let everybody = ["0.0.0.0/0", "::/0"].map(|network| network.parse().unwrap());
    audited(capture, Scope::of(&everybody), 1)
}

fn audited(capture: Capture, scope: Scope, workers: usize) -> Run {
    let plan = pipeline::AuditPlan {
        policy: Arc::clone(&GROUND),
        scope,
        fragments: decode::FragmentLimits::default(),
        flows: flow::FlowLimits::default(),
        judge: judge::JudgeLimits::default(),
    };
    let (facts, kept) = pipeline::run_files(
        capture,
        workers,
        plan,
        Kept::default(),
        pipeline::RunControl { progress: &mut Nobody, stop: &AtomicBool::new(false) },
    );
    Run { flows: kept.flows, dns: kept.dns, facts }
}

/// Does `work` for each item, two at a time; the results come in the order of the items.
pub fn two_at_a_time<T: Sync, R: Send>(items: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let next = AtomicUsize::new(0);
    let mut done: Vec<(usize, R)> = std::thread::scope(|scope| {
        let worker = || {
            let mut done = Vec::new();
            while let Some((at, item)) =
                Some(next.fetch_add(1, Ordering::Relaxed)).and_then(|at| Some((at, items.get(at)?)))
            {
                done.push((at, work(item)));
            }
            done
        };
        let workers = [scope.spawn(worker), scope.spawn(worker)];
        workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect()
    });
    done.sort_by_key(|(at, _)| *at);
    done.into_iter().map(|(_, result)| result).collect()
}

/// A name as its bytes were, as text: without our escapes `\xNN`. What is not UTF-8 becomes one `U+FFFD` a run, because
/// tools differ in how many they write.
pub fn unescaped(name: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = name;
    while let Some(c) = rest.chars().next() {
        let hex = rest.strip_prefix("\\x").and_then(|hex| hex.get(..2));
        if let Some(byte) = hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            bytes.push(byte.to_ascii_lowercase());
            rest = rest.get(4..).unwrap_or_default();
        } else {
            bytes.extend(c.to_ascii_lowercase().to_string().bytes());
            rest = rest.get(c.len_utf8()..).unwrap_or_default();
        }
    }
    one_mark(&String::from_utf8_lossy(&bytes))
}

/// The same for a name as the oracle has it.
pub fn oracle_name(name: &str) -> String {
    // tshark writes control characters in octal.
    let mut plain = String::new();
    let mut rest = name;
    while let Some(c) = rest.chars().next() {
        let octal = rest.strip_prefix('\\').and_then(|octal| octal.get(..3));
        if let Some(byte) = octal.and_then(|octal| u8::from_str_radix(octal, 8).ok()) {
            plain.push(char::from(byte));
            rest = rest.get(4..).unwrap_or_default();
        } else {
            plain.push(c.to_ascii_lowercase());
            rest = rest.get(c.len_utf8()..).unwrap_or_default();
        }
    }
    one_mark(plain.trim_end_matches('.'))
}

fn one_mark(name: &str) -> String {
    let mut out = String::new();
    for c in name.chars() {
        if c != '\u{fffd}' || !out.ends_with(c) {
            out.push(c);
        }
    }
    out
}

/// A row of a table: its cells by the names of their columns.
pub type Row = BTreeMap<String, String>;

/// The rows of a CSV file.
pub fn rows(file: &Path) -> Vec<Row> {
    csv::Reader::from_path(file).unwrap().deserialize().map(Result::unwrap).collect()
}

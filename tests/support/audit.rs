//! Runs the pipeline in this process and keeps its rows.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::LazyLock;
use std::sync::atomic::AtomicBool;

use afs_audit::base::TimeWindow;
use afs_audit::capture;
use afs_audit::capture::Capture;
use afs_audit::capture::Input;
use afs_audit::facts::FactsReader;
use afs_audit::judge::DnsRow;
use afs_audit::judge::FlowRow;
use afs_audit::judge::Policy;
use afs_audit::judge::Scope;
use afs_audit::pipeline;
use afs_audit::rules::RuleSet;
use afs_audit::rules::Selection;
use afs_audit::rules::Site;

/// The rows and the result of a run.
pub struct AuditRun {
    /// In the order in which the flows ended.
    pub flows: Vec<FlowRow>,
    /// In the order of the responses.
    pub dns: Vec<DnsRow>,
    /// Findings, counts and facts about the inputs.
    pub result: pipeline::RunResult,
}

#[derive(Default)]
struct CollectedRows {
    flows: Vec<FlowRow>,
    dns: Vec<DnsRow>,
}

impl pipeline::RunSink for CollectedRows {
    fn flow(&mut self, row: &FlowRow) {
        self.flows.push(row.clone());
    }

    fn dns(&mut self, row: &DnsRow) {
        self.dns.push(row.clone());
    }
}

struct NoProgress;

impl pipeline::ProgressObserver for NoProgress {
    fn progress(&mut self, _: u64, _: u64) {}
}

static POLICY: LazyLock<Arc<Policy>> = LazyLock::new(|| {
    let rules = RuleSet::embedded(&Selection::default()).unwrap();
    Arc::new(Policy::new(Arc::new(rules), Site::default(), None))
});

/// Audits `files`; the error says why none of them could be opened.
pub fn audit(files: &[PathBuf]) -> Result<AuditRun, String> {
    audit_with_workers(files, 1)
}

/// Audits `files` with the given number of workers.
pub fn audit_with_workers(files: &[PathBuf], workers: usize) -> Result<AuditRun, String> {
    let inputs = files.iter().map(|file| Input::Path(file.clone())).collect();
    let plan = capture::InputPlan { inputs, hash: capture::InputHash::None, ..capture::InputPlan::default() };
    let capture = Capture::open(plan).map_err(|error| error.to_string())?;
    Ok(run(capture, Scope::default(), workers, TimeWindow::default()))
}

/// Audits a part of `files`.
pub fn audit_window(files: &[PathBuf], window: TimeWindow) -> Result<AuditRun, String> {
    let inputs = files.iter().map(|file| Input::Path(file.clone())).collect();
    let plan = capture::InputPlan { inputs, hash: capture::InputHash::None, ..capture::InputPlan::default() };
    let capture = Capture::open(plan).map_err(|error| error.to_string())?;
    Ok(run(capture, Scope::default(), 1, window))
}

/// Audits every client of a capture in memory.
pub fn audit_bytes(bytes: Vec<u8>) -> AuditRun {
    let bytes = Box::new(std::io::Cursor::new(bytes));
    let capture = Capture::from_reader("memory", bytes, capture::InputHash::None).unwrap();
    let all_networks = ["0.0.0.0/0", "::/0"].map(|network| network.parse().unwrap());
    run(capture, Scope::of(&all_networks), 1, TimeWindow::default())
}

fn run(capture: Capture, scope: Scope, workers: usize, window: TimeWindow) -> AuditRun {
    let plan = pipeline::AuditPlan { scope, window, ..pipeline::AuditPlan::of(Arc::clone(&POLICY)) };
    let (result, rows) = pipeline::run_files(
        capture,
        workers,
        plan,
        CollectedRows::default(),
        pipeline::RunControl { progress: &mut NoProgress, stop: &AtomicBool::new(false) },
    );
    AuditRun { flows: rows.flows, dns: rows.dns, result }
}

/// Judges stored facts; the error says what is wrong with them.
pub fn replay(path: &std::path::Path) -> Result<usize, String> {
    let plan = pipeline::AuditPlan::of(Arc::clone(&POLICY));
    let facts = FactsReader::open(path, 1000).map_err(|error| error.to_string())?;
    let stop = AtomicBool::new(false);
    let (judged, rows) = pipeline::replay(facts, |_| Ok(None), plan, CollectedRows::default(), &stop);
    judged.map(|_| rows.flows.len()).map_err(|error| error.to_string())
}

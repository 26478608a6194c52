//! Fuzzes the whole pipeline with capture files: no panic, all frames accounted for, the same rows from one worker and three.
#![no_main]

use std::sync::Arc;
use std::sync::LazyLock;
use std::sync::atomic::AtomicBool;

use afs_audit::capture::Capture;
use afs_audit::capture::InputHash;
use afs_audit::judge::DnsRow;
use afs_audit::judge::FlowRow;
use afs_audit::judge::Policy;
use afs_audit::pipeline;
use afs_audit::rules::RuleSet;
use afs_audit::rules::Selection;
use afs_audit::rules::Site;
use libfuzzer_sys::fuzz_target;

#[derive(Default)]
struct CollectedRows {
    flows: u64,
    packets: u64,
    bytes: u64,
    rows: Vec<String>,
}

impl pipeline::RunSink for CollectedRows {
    fn flow(&mut self, row: &FlowRow) {
        self.flows += 1;
        self.packets += row.packets.iter().sum::<u64>();
        self.bytes = row.bytes.iter().fold(self.bytes, |sum, bytes| sum.wrapping_add(*bytes));
        self.rows.push(format!("{row:?}"));
    }

    fn dns(&mut self, row: &DnsRow) {
        self.rows.push(format!("{row:?}"));
    }
}

struct NoProgress;

impl pipeline::ProgressObserver for NoProgress {
    fn progress(&mut self, _: u64, _: u64) {}
}

static POLICY: LazyLock<Arc<Policy>> = LazyLock::new(|| {
    let rules = RuleSet::embedded(&Selection::default()).expect("the built-in rules are sound");
    Arc::new(Policy::new(Arc::new(rules), Site::default(), None))
});

fn run(bytes: &[u8], workers: usize) -> Option<Vec<String>> {
    let input = Box::new(std::io::Cursor::new(bytes.to_vec()));
    let capture = Capture::from_reader("fuzz", input, InputHash::None).ok()?;
    let plan = pipeline::AuditPlan::of(Arc::clone(&POLICY));
    let control = pipeline::RunControl { progress: &mut NoProgress, stop: &AtomicBool::new(false) };
    let (facts, collected) = pipeline::run_files(capture, workers, plan, CollectedRows::default(), control);
    assert_eq!(facts.accounting.sum(), facts.accounting.read);
    assert!(facts.inputs.iter().all(|input| input.adds_up()));
    assert_eq!(facts.flows.packets + facts.flows.icmp_attached, facts.accounting.packets.frames);
    assert_eq!((collected.flows, collected.packets), (facts.flows.opened, facts.flows.packets));
    assert_eq!(collected.bytes, facts.flows.payload_bytes);
    let mut rows = collected.rows;
    rows.push(format!("{:?}", facts.judgement));
    Some(rows)
}

fuzz_target!(|bytes: &[u8]| {
    assert_eq!(run(bytes, 1), run(bytes, 3));
});

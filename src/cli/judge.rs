//! Runs `judge`: compares the stored facts of an earlier run with other rules or another site file.
//!
//! In:  an evidence folder with its facts file, or those of all intervals of a live run; the policy.
//! Out: what `analyze` would give for the same inputs under this policy: rows, summary, evidence folder.
//! Not: the captures; they are not read.

use std::fs::File;
use std::path::Path;
use std::path::PathBuf;
use std::sync::atomic::Ordering;

use anstream::ColorChoice;
use anyhow::bail;

use super::ExitOutcome;
use super::analyze;
use super::analyze::RowWriter;
use super::analyze::RunEnd;
use super::evidence_capture;
use super::loaded_policy::LoadedPolicy;
use super::plan::JudgePlan;
use super::plan::ResourceLimits;
use super::process;
use super::run_facts::CaptureFacts;
use crate::facts::FACTS;
use crate::facts::FactsReader;
use crate::pipeline;
use crate::report::ClosedFolder;
use crate::report::EVIDENCE_FRAMES;
use crate::report::EvidenceFolder;
use crate::report::InputNames;
use crate::report::RecordSink;
use crate::report::RunFacts;
use crate::report::StoredEvidence;

pub(super) fn run(plan: &JudgePlan, color: ColorChoice) -> anyhow::Result<ExitOutcome> {
    let started = process::now();
    for folder in &plan.folders {
        check_evidence(folder)?;
    }
    let first = open_first(plan)?;
    let output = &plan.output;
    let folder =
        output.folder.as_deref().map(|path| EvidenceFolder::open(path, output.folder_options)).transpose()?;
    let names = InputNames { files: first.header().inputs.iter().map(ToString::to_string).collect() };
    let mut sink = RecordSink::new(names, folder, analyze::open_stream(output.format)?);
    let (run_facts, context) = judge(plan, first, &mut sink)?;
    let earlier: Vec<PathBuf> = plan.folders.iter().map(|folder| folder.join(EVIDENCE_FRAMES)).collect();
    let add_frames = |folder: &mut ClosedFolder, facts: &mut RunFacts, names: &InputNames| {
        analyze::add_evidence_frames(folder, facts, names, |selected| {
            evidence_capture::copy_again(&earlier, context, selected, names)
        })
    };
    analyze::complete(RunEnd { output, color, started }, sink, run_facts, add_frames)
}

/// A folder without facts, or one that was altered, is refused.
fn check_evidence(folder: &Path) -> anyhow::Result<()> {
    let evidence = StoredEvidence::open(folder)?;
    if !evidence.has_output(FACTS) {
        let without = "it has no facts.lz4: analyze the captures again with -o";
        bail!("cannot judge: {}: {without}", folder.display());
    }
    Ok(())
}

fn open_first(plan: &JudgePlan) -> anyhow::Result<FactsReader> {
    let path = plan.folders.first().map(|folder| folder.join(FACTS)).unwrap_or_default();
    let first = FactsReader::open(&path, u64::from(plan.max_flows.get()))?;
    let interval = first.header().interval;
    if interval > 0 {
        bail!(
            "cannot judge: {}: interval {} of a live run: its connections began before it; give the folders of all intervals, from \
             the first on",
            path.display(),
            interval + 1
        );
    }
    Ok(first)
}

/// Judges every fact, writes the rows to `sink`, and returns what the run saw, and its `--evidence-context`.
fn judge(plan: &JudgePlan, first: FactsReader, sink: &mut RecordSink) -> anyhow::Result<(RunFacts, u64)> {
    let stop = process::stop_on_signals()?;
    let policy = LoadedPolicy::load(&plan.policy)?;
    let header = first.header();
    let was_doubted = header.is_silence_unreliable;
    let limits = ResourceLimits {
        findings: header.limits.findings,
        name_bytes: header.limits.name_bytes,
        ..ResourceLimits::of_flows(plan.max_flows)
    };
    let mut capture: Option<CaptureFacts> = None;
    let mut following = plan.folders.iter().skip(1);
    let next_interval = |read: FactsReader| {
        let end: CaptureFacts = read.end()?;
        match &mut capture {
            Some(before) => before.continue_with(end),
            none => *none = Some(end),
        }
        following.next().map(|folder| FactsReader::open_next(&folder.join(FACTS), read)).transpose()
    };
    let rows = RowWriter { sink, error: None, stop: &stop };
    let (judged, rows) = pipeline::replay(first, next_interval, policy.audit_plan(&limits), rows, &stop);
    if let Some(error) = rows.error {
        return Err(error.into());
    }
    let sink = rows.sink;
    if sink.is_closed() {
        return Ok((RunFacts::default(), 0));
    }
    let mut judgement = judged?;
    let Some(capture) = capture.filter(|_| !stop.load(Ordering::Relaxed)) else {
        bail!("interrupted: not all facts were judged");
    };
    if capture.has_heavy_loss && !was_doubted {
        judgement.doubt();
    }
    // The facts of several intervals stay where they are: a judged folder is that of one run.
    if let [folder] = plan.folders.as_slice() {
        sink.copy_facts(File::open(folder.join(FACTS))?)?;
    }
    let context = capture.evidence_context;
    Ok((analyze::judged(&policy, &plan.policy, sink, (capture, judgement))?, context))
}

//! Runs `analyze`: opens the outputs, audits the inputs, prints the summary.

use std::io;
use std::io::IsTerminal as _;
use std::io::Write as _;
use std::mem::ManuallyDrop;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;

use super::ExitOutcome;
use super::args::OutputFormat;
use super::evidence_capture;
use super::evidence_capture::EvidenceCapture;
use super::loaded_policy::LoadedPolicy;
use super::plan::AnalyzePlan;
use super::plan::OutputPlan;
use super::plan::PolicyPlan;
use super::plan::ResourceLimits;
use super::plan::Verbosity;
use super::process;
use super::run_facts;
use super::run_facts::CaptureFacts;
use super::silent_servers::Extent;
use super::silent_servers::SilentServers;
use super::stdio;
use crate::base::Time;
use crate::base::WireText;
use crate::capture;
use crate::capture::Capture;
use crate::facts::FactsHeader;
use crate::facts::StoredLimits;
use crate::judge::DnsRow;
use crate::judge::FlowRow;
use crate::judge::JudgeResult;
use crate::pipeline;
use crate::report::ByteSink;
use crate::report::ClosedFolder;
use crate::report::CsvTable;
use crate::report::EvidenceFolder;
use crate::report::InputNames;
use crate::report::Invocation;
use crate::report::JsonLines;
use crate::report::Manifest;
use crate::report::OutputFile;
use crate::report::Progress;
use crate::report::ProvingFrames;
use crate::report::RecordSink;
use crate::report::RecordStream;
use crate::report::RunFacts;
use crate::report::Summary;
use crate::report::WriteError;
use crate::report::staging_places;
use anstream::ColorChoice;

/// Audits the inputs of a plan: [`audit`], or a stand-in for tests.
pub(super) type Audit = fn(&AnalyzePlan, &Progress, &mut RecordSink) -> anyhow::Result<RunFacts>;

pub(super) fn run(plan: &AnalyzePlan, color: ColorChoice, audit: Audit) -> anyhow::Result<ExitOutcome> {
    let started = process::now();
    // Outputs are opened first: hours of reading must not end with an error that was known before.
    let output = &plan.output;
    let folder =
        output.folder.as_deref().map(|path| EvidenceFolder::open(path, output.folder_options)).transpose()?;
    let mut sink = RecordSink::new(InputNames::of(&plan.files), folder, open_stream(output.format)?);
    let progress = match output.verbosity {
        Verbosity::Quiet => Progress::none(),
        Verbosity::Normal | Verbosity::Verbose => Progress::on_terminal(),
    };
    if let Some(bytes) = plan.total_bytes {
        progress.expect(bytes);
    }
    let facts = audit(plan, &progress, &mut sink);
    progress.clear();
    let add_frames = |folder: &mut ClosedFolder, facts: &mut RunFacts, names: &InputNames| {
        let inputs = facts.inputs.clone();
        let seek_points = std::mem::take(&mut facts.seek_points);
        add_evidence_frames(folder, facts, names, |selected| {
            let inputs = evidence_capture::ReadInputs { described: &inputs, seek_points: &seek_points };
            evidence_capture::copy_frames(&plan.copy, selected, &inputs, names)
        })
    };
    complete(RunEnd { output, color, started }, sink, facts?, add_frames)
}

/// What a command knows that completes its evidence.
pub(super) struct RunEnd<'a> {
    pub(super) output: &'a OutputPlan,
    pub(super) color: ColorChoice,
    /// When the run began.
    pub(super) started: Time,
}

/// Completes the evidence, prints the summary, and returns how the run ended. `add_frames` adds the frames that prove findings.
pub(super) fn complete(
    end: RunEnd<'_>,
    sink: RecordSink,
    mut facts: RunFacts,
    add_frames: impl FnOnce(&mut ClosedFolder, &mut RunFacts, &InputNames) -> anyhow::Result<()>,
) -> anyhow::Result<ExitOutcome> {
    let RunEnd { output, color, started } = end;
    if sink.is_closed() {
        // The reader of standard output closed it, and there is no other output.
        return Ok(ExitOutcome::Clean);
    }
    let names = sink.names().clone();
    let mut closed = sink.close(&facts)?;
    if let Some(folder) = &mut closed {
        facts.limits_reached.append(&mut folder.limits_reached);
        add_frames(folder, &mut facts, &names)?;
    }
    let (arguments, working_directory) = (process::arguments(), process::working_directory());
    let run = Invocation { arguments, working_directory, started, ended: process::now() };
    let manifest = |outputs: &[OutputFile]| Manifest::new(&facts, &run, outputs).to_json();
    let published = closed.map(|folder| folder.finish(manifest)).transpose()?;

    if output.verbosity != Verbosity::Quiet {
        let to_stdout = output.format == OutputFormat::Table;
        let is_terminal = if to_stdout { io::stdout().is_terminal() } else { io::stderr().is_terminal() };
        let summary = Summary {
            facts: &facts,
            names: &names,
            published: published.as_ref(),
            detail: process::summary_detail(output.verbosity),
            width: process::text_width(is_terminal),
        };
        match to_stdout {
            true => summary.write(&mut stdio::stdout(color))?,
            false => summary.write(&mut stdio::stderr(color))?,
        }
        if let Some(published) = &published {
            let _ = writeln!(io::stderr(), "{}", process::digest_advice(published));
        }
    }
    // Printed even with --quiet: a script must not mistake a partial run for a complete one.
    for what in &facts.not_done {
        let _ = writeln!(io::stderr(), "afs-audit: {what}");
    }
    let fails = |least| facts.findings.iter().any(|row| row.severity >= least);
    let outcome = if !facts.not_done.is_empty() {
        ExitOutcome::Incomplete
    } else if output.fail_on.least_severity().is_some_and(fails) {
        ExitOutcome::Findings
    } else {
        ExitOutcome::Clean
    };
    // The process ends now; thousands of findings take a while to free.
    std::mem::forget(facts);
    Ok(outcome)
}

/// Writes the frames that prove findings, unless there are none. `copy` gets the selected frames.
pub(super) fn add_evidence_frames(
    folder: &mut ClosedFolder,
    facts: &mut RunFacts,
    names: &InputNames,
    copy: impl FnOnce(&ProvingFrames) -> anyhow::Result<EvidenceCapture>,
) -> anyhow::Result<()> {
    if facts.partial.as_deref() == Some("interrupted") {
        facts.warnings.push("evidence.pcapng was not written because the run was interrupted".to_owned());
        return Ok(());
    }
    let selected = ProvingFrames::select(&folder.evidence()?, names)?;
    if selected.places().len() == 0 {
        return Ok(());
    }
    let mut made = copy(&selected)?;
    facts.limits_reached.append(&mut made.limits);
    facts.warnings.append(&mut made.warnings);
    if made.frames() > 0 {
        folder.add_evidence_frames(made.frames(), |out| made.write(&selected, names, out))?;
    }
    // Freeing some hundred thousand comments and frames takes longer than the end of the process, which frees all.
    std::mem::forget((selected, made));
    Ok(())
}

/// Records on standard output.
pub(super) fn open_stream(format: OutputFormat) -> io::Result<RecordStream> {
    let stdout = || Box::new(io::stdout()) as ByteSink;
    Ok(match format {
        OutputFormat::Table => RecordStream::None,
        OutputFormat::Csv => RecordStream::Csv(Box::new(CsvTable::new(stdout())?)),
        OutputFormat::Jsonl => RecordStream::Json(JsonLines::new(stdout())),
    })
}

/// Reads the inputs, writes every record to `sink`, and returns what the run saw. Ends early, without an error, when it is
/// interrupted or when nothing takes records any more.
pub(super) fn audit(
    plan: &AnalyzePlan,
    progress: &Progress,
    sink: &mut RecordSink,
) -> anyhow::Result<RunFacts> {
    let stop = process::stop_on_signals()?;
    // The process ends after the run: thousands of rule rows need not be freed one by one.
    let policy = ManuallyDrop::new(LoadedPolicy::load(&plan.policy)?);
    let capture = Capture::open(capture::InputPlan {
        inputs: plan.files.iter().cloned().map(PathBuf::into_os_string).map(capture::Input::named).collect(),
        except: plan.output.folder.as_deref().map(staging_places).unwrap_or_default(),
        filter: plan.filter.clone(),
        hash: plan.hash,
        frame_limit: plan.frame_limit,
        stop: Arc::clone(&stop),
    })?;
    let paths: Vec<PathBuf> = capture.inputs();
    sink.name_inputs(InputNames::of(&paths));
    if let Some(bytes) = capture.bytes_total() {
        progress.expect(bytes);
    }
    let surveyed = pipeline::survey_points(&pipeline::SurveyPlan {
        inputs: &paths,
        input_names: &sink.names().files,
        named: &plan.points,
        filter: plan.filter.as_deref(),
    });
    let audit_plan = pipeline::AuditPlan {
        points: surveyed.points.clone(),
        window: plan.window,
        ..policy.audit_plan(&plan.limits)
    };
    let header = FactsHeader {
        points: surveyed.points.clone(),
        window: plan.window,
        ..facts_header(sink.names(), &plan.limits, capture.has_heavy_loss())
    };
    sink.begin_facts(&header)?;
    let rows = RowWriter { sink, error: None, stop: &stop };
    // The remaining thread reads and decodes.
    let workers = plan.threads.get().saturating_sub(1).max(1);
    let control = pipeline::RunControl { progress: &mut { progress }, stop: &stop };
    let (result, rows) = pipeline::run_files(capture, workers, audit_plan, rows, control);
    if let Some(error) = rows.error {
        return Err(error.into());
    }
    let sink = rows.sink;
    let is_limited = plan.frame_limit.is_some_and(|limit| result.accounting.read.frames >= limit);
    let mut capture = CaptureFacts::new(&result, &paths, plan.hash);
    if is_limited && capture.partial.is_none() {
        capture.partial = Some("frame limit reached".to_owned());
    }
    if result.stopped {
        capture.not_done.push("interrupted: the rest of the input was not read".to_owned());
    }
    capture.evidence_context = plan.copy.context;
    capture.add_window(&plan.window, &result.accounting);
    capture.points = run_facts::points(&surveyed, sink.names());
    sink.end_facts(&capture)?;
    let seek_points = result.inputs.into_iter().map(|input| input.seek_points).collect();
    let facts = judged(&policy, &plan.policy, sink, (capture, result.judgement))?;
    Ok(RunFacts { seek_points, ..facts })
}

/// What is stored before the first fact of a run.
pub(super) fn facts_header(
    names: &InputNames,
    limits: &ResourceLimits,
    is_silence_unreliable: bool,
) -> FactsHeader {
    FactsHeader {
        program: env!("CARGO_PKG_VERSION").to_owned(),
        inputs: names.files.iter().map(|name| WireText::printable(name.clone())).collect(),
        limits: StoredLimits { findings: limits.findings, name_bytes: limits.name_bytes },
        is_silence_unreliable,
        ..FactsHeader::default()
    }
}

/// Writes findings and requirements, and returns what the run saw, now that all of it is judged.
pub(super) fn judged(
    policy: &LoadedPolicy,
    plan: &PolicyPlan,
    sink: &mut RecordSink,
    (capture, judgement): (CaptureFacts, JudgeResult),
) -> anyhow::Result<RunFacts> {
    for finding in &judgement.findings {
        sink.finding(finding)?;
    }
    for requirement in &judgement.requirements {
        sink.requirement(requirement)?;
    }
    let silent = SilentServers::of(&judgement);
    let mut facts = run_facts::complete(policy.run_facts(capture.span()), capture, judgement);
    policy.add_cited_rows(&mut facts);
    let extent = if facts.window.is_some() { Extent::Part } else { Extent::Whole };
    silent.report(&plan.servers, extent, &mut facts);
    facts.not_done.extend(facts.accounting.undecoded_reason());
    if facts.accounting.frames == 0 && !facts.damage.is_empty() {
        facts.not_done.push(format!("no frame could be read: {}", facts.damage.join("; ")));
    }
    Ok(facts)
}

/// Writes rows to the sink. The first row that cannot be written stops the run.
pub(super) struct RowWriter<'a> {
    pub(super) sink: &'a mut RecordSink,
    pub(super) error: Option<WriteError>,
    pub(super) stop: &'a AtomicBool,
}

impl RowWriter<'_> {
    fn check(&mut self, written: Result<(), WriteError>) {
        if let Err(error) = written {
            self.error.get_or_insert(error);
        }
        if self.error.is_some() || self.sink.is_closed() {
            self.stop.store(true, Ordering::Relaxed);
        }
    }
}

impl pipeline::RunSink for RowWriter<'_> {
    fn flow(&mut self, row: &FlowRow) {
        let written = self.sink.flow(row);
        self.check(written);
    }

    fn dns(&mut self, row: &DnsRow) {
        let written = self.sink.dns(row);
        self.check(written);
    }

    fn stores_facts(&self) -> bool {
        self.sink.stores_facts()
    }

    fn facts(&mut self, chunk: &[u8]) {
        let written = self.sink.facts(chunk);
        self.check(written);
    }
}

impl pipeline::ProgressObserver for &Progress {
    fn progress(&mut self, bytes: u64, frames: u64) {
        self.reached(bytes, frames);
    }
}

#[cfg(test)]
mod tests {
    use super::super::args::FailOn;
    use super::super::args::VerifyArgs;
    use super::super::plan::CopyPlan;
    use super::super::verify;
    use super::*;
    use crate::report::FolderOptions;
    use crate::report::test_support;
    use std::num::NonZeroU32;
    use std::num::NonZeroUsize;
    use std::path::Path;

    fn plan(folder: &Path, fail_on: FailOn) -> AnalyzePlan {
        AnalyzePlan {
            points: Vec::new(),
            files: vec!["office.pcapng".into()],
            total_bytes: None,
            output: OutputPlan {
                folder: Some(folder.to_owned()),
                folder_options: FolderOptions::default(),
                format: OutputFormat::Table,
                fail_on,
                verbosity: Verbosity::Quiet,
            },
            policy: PolicyPlan::default(),
            copy: CopyPlan { context: 0, snap_len: usize::MAX, size: 1 << 20 },
            filter: None,
            frame_limit: None,
            window: crate::base::TimeWindow::default(),
            threads: NonZeroUsize::MIN,
            hash: capture::InputHash::None,
            limits: ResourceLimits {
                flows: NonZeroU32::MAX,
                stream_bytes: 1 << 20,
                name_bytes: 1 << 20,
                findings: 100,
            },
        }
    }

    fn audit_with_finding(_: &AnalyzePlan, _: &Progress, sink: &mut RecordSink) -> anyhow::Result<RunFacts> {
        sink.name_inputs(test_support::names());
        sink.flow(&test_support::flow())?;
        sink.dns(&test_support::dns())?;
        sink.finding(&test_support::finding())?;
        sink.requirement(&test_support::requirement())?;
        Ok(test_support::facts())
    }

    fn failing_audit(_: &AnalyzePlan, _: &Progress, sink: &mut RecordSink) -> anyhow::Result<RunFacts> {
        sink.flow(&test_support::flow())?;
        anyhow::bail!("cannot read capture: office.pcapng: permission denied")
    }

    #[test]
    fn a_run_writes_evidence_that_can_be_verified() {
        let parent = tempfile::tempdir().unwrap();
        let target = parent.path().join("evidence");
        let check = |folder: &Path, fail_on, expected| {
            let outcome = run(&plan(folder, fail_on), ColorChoice::Never, audit_with_finding);
            assert_eq!(outcome.unwrap(), expected);
        };
        check(&parent.path().join("other"), FailOn::High, ExitOutcome::Findings);
        check(&target, FailOn::Never, ExitOutcome::Clean);
        let mut printed = Vec::new();
        let args = VerifyArgs {
            folder: target.clone(),
            digest: None,
            allowed_signers: None,
            signature: None,
            identity: None,
            quiet: false,
        };
        assert_eq!(verify::run(&args, &mut printed).unwrap(), ExitOutcome::Clean);
        let printed = String::from_utf8(printed).unwrap();
        assert!(printed.starts_with("output  flows.csv: unchanged\n"), "{printed}");

        let json = std::fs::read(target.join("manifest.json")).unwrap();
        let mut manifest: serde_json::Value = serde_json::from_slice(&json).unwrap();
        assert_eq!(manifest["outputs"][0]["rows"], 1);
        assert_eq!(manifest["accounting"]["not_ip"]["0x0806 ARP"], 10);
        assert_eq!(manifest["csv"]["formula_guard"], true);
        assert_eq!(manifest["partial"], false);

        // Except for `run`, nothing depends on when and how it was run.
        let second = parent.path().join("second");
        run(&plan(&second, FailOn::Low), ColorChoice::Never, audit_with_finding).unwrap();
        let json = std::fs::read(second.join("manifest.json")).unwrap();
        let mut again: serde_json::Value = serde_json::from_slice(&json).unwrap();
        for manifest in [&mut manifest, &mut again] {
            assert!(manifest.as_object_mut().unwrap().remove("run").is_some());
        }
        assert_eq!(manifest, again);
    }

    #[test]
    fn a_failed_run_leaves_no_evidence() {
        let parent = tempfile::tempdir().unwrap();
        let target = parent.path().join("evidence");
        let error = run(&plan(&target, FailOn::Low), ColorChoice::Never, failing_audit).unwrap_err();
        assert_eq!(error.to_string(), "cannot read capture: office.pcapng: permission denied");
        assert_eq!(std::fs::read_dir(parent.path()).unwrap().count(), 0);
    }
}

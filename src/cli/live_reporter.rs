//! Writes the rows of a live run, and reports its state: dashboard, lines about problems, metrics, messages.
//!
//! In:  rows, changes of problems, a heartbeat every second, and the end of each interval.
//! Out: records on standard output, evidence folders, the dashboard, totals for the metrics; at the end the summary.
//! Not: frames and counters of the capture; those are [`CaptureStats`].

use std::collections::BTreeMap;
use std::io;
use std::io::IsTerminal as _;
use std::io::Write;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::PoisonError;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;

use anstream::ColorChoice;
use anyhow::bail;
use nix::poll::PollFd;
use nix::poll::PollFlags;
use nix::poll::PollTimeout;
use nix::poll::poll;

use super::ExitOutcome;
use super::analyze::facts_header;
use super::analyze::open_stream;
use super::args::OutputFormat;
use super::dashboard::Dashboard;
use super::dashboard::print_message;
use super::evidence_capture::saved::SavedEvidence;
use super::live_evidence::LiveEvidence;
use super::live_evidence::LostInterval;
use super::loaded_policy::LoadedPolicy;
use super::metrics::LiveTotals;
use super::metrics::SharedTotals;
use super::plan::LivePlan;
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
use crate::capture::CaptureStats;
use crate::capture::Interface;
use crate::capture::SavedFrames;
use crate::facts::FactsHeader;
use crate::judge::DnsRow;
use crate::judge::FlowRow;
use crate::judge::ProblemChange;
use crate::judge::ProblemReport;
use crate::judge::Severity;
use crate::pipeline;
use crate::report::EvidenceFolder;
use crate::report::InputNames;
use crate::report::Published;
use crate::report::RecordSink;
use crate::report::RunFacts;
use crate::report::Summary;
use crate::report::WriteError;
use crate::report::count;
use crate::report::first_frames;

/// The statistic of frames that were audited and not saved.
const UNSAVED: &str = "live.unsaved";

/// The sink of a live run.
pub(super) struct LiveReporter {
    /// When the run began.
    run: Time,
    plan: LivePlan,
    color: ColorChoice,
    sink: RecordSink,
    evidence: LiveEvidence,
    dashboard: Dashboard,
    stats: Arc<CaptureStats>,
    totals: SharedTotals,
    /// Totals at the last rotation: `judge` counts each interval from zero.
    totals_before: LiveTotals,
    /// Capture counters at the last rotation.
    counters_before: BTreeMap<String, u64>,
    policy: LoadedPolicy,
    stop: Arc<AtomicBool>,
    /// Standard output is a pipe or a terminal: somebody may close it.
    has_reader: bool,
    /// The frames of `-w -` go to standard output.
    has_frames_on_stdout: bool,
    /// The frames of `-w` go to a file: all of them belong in it. A reader of a pipe may have enough.
    has_frame_file: bool,
    /// The reader of standard output closed it.
    is_stdout_closed: bool,
    /// Why the evidence of this interval cannot be written.
    interval_error: Option<String>,
    /// The evidence of some interval could not be written.
    has_lost_evidence: bool,
    highest_severity: Option<Severity>,
    /// Servers without a flow in any interval before this one.
    silent_before: Option<SilentServers>,
    published: Option<Published>,
}

impl LiveReporter {
    /// Opens the outputs.
    pub(super) fn open(
        plan: &LivePlan,
        color: ColorChoice,
        stats: Arc<CaptureStats>,
        policy: LoadedPolicy,
        stop: Arc<AtomicBool>,
    ) -> anyhow::Result<LiveReporter> {
        let evidence = LiveEvidence::new(plan);
        evidence.report_unfinished();
        let stream = open_stream(plan.output.format)?;
        let folder = evidence.open_folder()?;
        // One input: which interface delivered a frame is not known after the merge by time.
        let interfaces: Vec<String> = stats
            .interfaces
            .iter()
            .map(|interface| WireText::new(interface.name.as_bytes(), 64).to_string())
            .collect();
        let names = InputNames { files: vec![interfaces.join("+")] };
        let has_dashboard =
            plan.output.verbosity != Verbosity::Quiet && plan.output.format == OutputFormat::Table;
        let run = evidence.started;
        let mut reporter = LiveReporter {
            run,
            plan: plan.clone(),
            color,
            sink: RecordSink::new(names, folder, stream),
            evidence,
            dashboard: if has_dashboard {
                Dashboard::on_terminal(stats.interfaces.len(), &stop)?
            } else {
                Dashboard::hidden()
            },
            stats,
            totals: SharedTotals::default(),
            totals_before: LiveTotals::default(),
            counters_before: BTreeMap::new(),
            policy,
            stop,
            has_reader: has_stdout_a_reader(),
            has_frames_on_stdout: plan.write.as_deref() == Some(Path::new("-")),
            has_frame_file: plan.write.as_deref().is_some_and(is_regular),
            is_stdout_closed: false,
            interval_error: None,
            has_lost_evidence: false,
            highest_severity: None,
            silent_before: None,
            published: None,
        };
        reporter.begin_facts();
        Ok(reporter)
    }

    /// Evidence gets the frames that prove findings, from the files that they are saved in.
    pub(super) fn copy_frames(&mut self, saved: Arc<SavedFrames>, interfaces: Vec<Interface>) {
        self.evidence.copy_frames(SavedEvidence {
            plan: self.plan.copy,
            saved,
            interfaces,
            names: self.sink.names().clone(),
            is_waited_for: Arc::default(),
        });
    }

    /// Begins the facts file of an interval.
    fn begin_facts(&mut self) {
        let header = FactsHeader {
            run: self.run.to_string(),
            interval: u64::from(self.evidence.intervals()),
            ..facts_header(self.sink.names(), &self.plan.limits, false)
        };
        let begun = self.sink.begin_facts(&header);
        self.check_written(begun);
    }

    /// The totals that metrics are served from.
    pub(super) fn totals(&self) -> SharedTotals {
        Arc::clone(&self.totals)
    }

    fn update_totals(&self, change: impl FnOnce(&mut LiveTotals)) {
        change(&mut self.totals.lock().unwrap_or_else(PoisonError::into_inner));
    }

    fn totals_now(&self) -> LiveTotals {
        self.totals.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Takes the result of writing a record.
    fn check_written(&mut self, written: Result<(), WriteError>) {
        if let Err(error) = written {
            self.lose_interval(&error);
        }
        if self.sink.is_stream_closed() {
            self.end_without_reader();
        }
    }

    /// The reader of standard output went away: the run ends, and completes its evidence.
    fn end_without_reader(&mut self) {
        self.is_stdout_closed = true;
        self.stop.store(true, Ordering::Relaxed);
    }

    /// The evidence of this interval cannot be written. With `--every` the audit continues.
    fn lose_interval(&mut self, error: &WriteError) {
        self.has_lost_evidence = true;
        if self.interval_error.is_some() {
            return;
        }
        let folder = self.sink.exchange_folder(None);
        self.interval_error = Some(error.to_string());
        self.update_totals(|totals| totals.evidence_folders[1] += 1);
        if self.evidence.has_intervals {
            // Its files make room for the next interval.
            drop(folder);
            let started = self.evidence.started;
            self.dashboard.print_above(&format!(
                "{error}; the evidence since {started} is lost, retrying with the next interval"
            ));
        } else {
            let kept = folder.map(|folder| {
                format!("; the rows written so far are in {}", folder.keep_unfinished().display())
            });
            self.dashboard.print_above(&format!(
                "{error}; the run ends without evidence (with --every it would lose only one interval){}",
                kept.unwrap_or_default()
            ));
            self.stop.store(true, Ordering::Relaxed);
        }
    }

    /// The evidence of an interval before this one could not be written.
    fn lose_earlier_interval(&mut self, lost: &LostInterval) {
        let LostInterval { error, started } = lost;
        self.has_lost_evidence = true;
        self.update_totals(|totals| totals.evidence_folders[1] += 1);
        self.dashboard.print_above(&format!("{error}; the evidence since {started} is lost"));
    }

    /// Reports a folder that was published in the background.
    fn report_published(&mut self, is_waiting: bool) {
        match self.evidence.published(is_waiting) {
            Some(Ok(published)) => {
                self.update_totals(|totals| totals.evidence_folders[0] += 1);
                if self.plan.output.verbosity != Verbosity::Quiet {
                    let (folder, digest) = (published.folder.display(), &published.manifest_sha256);
                    let line = format!("evidence written: {folder} (SHA-256 of manifest.json: {digest})");
                    self.dashboard.print_above(&line);
                }
            }
            Some(Err(lost)) => self.lose_earlier_interval(&lost),
            None => {}
        }
    }

    fn report_capture_messages(&mut self) {
        for message in Arc::clone(&self.stats).messages() {
            self.dashboard.print_above(&message);
        }
    }

    /// The facts of an interval, for its manifest.
    fn run_facts(&mut self, result: pipeline::RunResult, is_last: bool) -> RunFacts {
        let drops: Vec<String> = result
            .inputs
            .iter()
            .filter(|input| input.reported_drops > 0)
            .map(|input| {
                let dropped = count(input.reported_drops, "dropped frame");
                format!("{}: {dropped}; a missing reply proves nothing around them", input.name)
            })
            .collect();
        let paths: Vec<PathBuf> = self.sink.names().files.iter().map(PathBuf::from).collect();
        let mut capture = CaptureFacts::new(&result, &paths, capture::InputHash::None);
        capture.evidence_context = self.plan.copy.context;
        capture.damage.extend(drops);
        for (name, count) in self.capture_counters() {
            let before = self.counters_before.get(&name).copied().unwrap_or_default();
            capture.statistics.insert(name, count.saturating_sub(before));
        }
        let unsaved = capture.statistics.get(UNSAVED).copied().unwrap_or_default();
        if self.has_frame_file && unsaved > 0 {
            capture.damage.push(format!("{} not written to the file of -w", count(unsaved, "frame")));
        }
        let stored = self.sink.end_facts(&capture);
        self.check_written(stored);
        let silent = SilentServers::of(&result.judgement);
        let mut facts = run_facts::complete(self.policy.run_facts(result.span), capture, result.judgement);
        self.policy.add_cited_rows(&mut facts);
        let named = &self.plan.policy.servers;
        let silent_so_far = silent.clone().and_before(self.silent_before.as_ref());
        if is_last {
            silent_so_far.report(named, Extent::Whole, &mut facts);
        } else {
            silent.report(named, Extent::Part, &mut facts);
        }
        self.silent_before = Some(silent_so_far);
        facts
    }

    /// The counters of the interfaces since the start of the run.
    fn capture_counters(&self) -> BTreeMap<String, u64> {
        let mut counters = BTreeMap::new();
        for interface in &self.stats.interfaces {
            for (what, counter) in [
                ("received", &interface.received),
                ("dropped-by-kernel", &interface.kernel_drops),
                ("dropped-by-interface", &interface.interface_drops),
                ("dropped-by-afs-audit", &interface.queue_drops),
            ] {
                counters.insert(format!("live.{}.{what}", interface.name), counter.load(Ordering::Relaxed));
            }
        }
        counters.insert(UNSAVED.to_owned(), self.stats.unsaved());
        counters
    }

    /// Writes the last rows of an interval, and replaces its folder by that of the next interval.
    fn close_interval(&mut self, facts: &RunFacts, next: Option<EvidenceFolder>) -> Option<EvidenceFolder> {
        let highest = facts.findings.iter().map(|row| row.severity).max();
        self.highest_severity = self.highest_severity.max(highest);
        for finding in &facts.findings {
            let written = self.sink.keep_finding(finding);
            self.check_written(written);
        }
        for requirement in &facts.requirements {
            let written = self.sink.requirement(requirement);
            self.check_written(written);
        }
        let written = self.sink.write_collapsed();
        self.check_written(written);
        let written = self.sink.limits(facts);
        self.check_written(written);
        self.sink.exchange_folder(next)
    }

    /// Completes the evidence, prints the summary, and returns how the run ended.
    pub(super) fn finish(mut self, result: pipeline::RunResult) -> anyhow::Result<ExitOutcome> {
        let mut facts = self.run_facts(result, true);
        self.report_published(true);
        if let Some(folder) = self.close_interval(&facts, None) {
            match self.evidence.publish(folder, &mut facts) {
                Ok(published) => self.published = Some(published),
                Err(error) => self.lose_interval(&error),
            }
        }
        let flushed = self.sink.flush();
        self.check_written(flushed);
        self.dashboard.clear();
        self.report_capture_messages();
        if self.plan.output.verbosity != Verbosity::Quiet && !self.is_stdout_closed {
            self.print_summary(&facts)?;
        }
        if self.has_lost_evidence {
            let earlier = || "the evidence of an earlier interval was lost".to_owned();
            bail!("{}", self.interval_error.unwrap_or_else(earlier));
        }
        let unsaved = self.stats.unsaved();
        if self.has_frame_file && unsaved > 0 {
            print_message(&format!("afs-audit: {} not written to the file of -w", count(unsaved, "frame")));
            return Ok(ExitOutcome::Incomplete);
        }
        // Printed even with --quiet, as by `analyze`.
        for what in &facts.not_done {
            print_message(&format!("afs-audit: {what}"));
        }
        let fails = |least| self.highest_severity.is_some_and(|severity| severity >= least);
        let is_failure = self.plan.output.fail_on.least_severity().is_some_and(fails);
        // Without an evidence folder, the run ends when the reader closes standard output: that is no error.
        let is_ignored = self.is_stdout_closed && self.plan.output.folder.is_none();
        Ok(match facts.not_done.is_empty() {
            false if !is_ignored => ExitOutcome::Incomplete,
            _ if is_failure && !is_ignored => ExitOutcome::Findings,
            _ => ExitOutcome::Clean,
        })
    }

    fn print_summary(&self, facts: &RunFacts) -> anyhow::Result<()> {
        // In a pipe, standard output has one line per finding and nothing else.
        let to_stdout = self.plan.output.format == OutputFormat::Table && io::stdout().is_terminal();
        let summary = Summary {
            facts,
            names: self.sink.names(),
            published: self.published.as_ref(),
            detail: process::summary_detail(self.plan.output.verbosity),
            width: process::text_width(to_stdout || io::stderr().is_terminal()),
        };
        if to_stdout {
            summary.write(&mut stdio::stdout(self.color))?;
        } else {
            // The evidence is complete. A closed standard error does not change that.
            let _ = summary.write(&mut stdio::stderr(self.color));
        }
        if let Some(published) = &self.published {
            print_message(&process::digest_advice(published));
        }
        Ok(())
    }

    /// Prints a change of a problem where no dashboard shows it.
    fn print_change(&mut self, report: &ProblemReport) {
        let line = change_line(report);
        if self.has_frames_on_stdout {
            if !self.dashboard.is_shown() && self.plan.output.verbosity != Verbosity::Quiet {
                print_message(&line);
            }
        } else if self.plan.output.format == OutputFormat::Table
            && !(self.dashboard.is_shown() && io::stdout().is_terminal())
        {
            let mut out = io::stdout().lock();
            if let Err(error) = writeln!(out, "{line}").and_then(|()| out.flush())
                && error.kind() == io::ErrorKind::BrokenPipe
            {
                self.end_without_reader();
            }
        }
    }
}

impl pipeline::RunSink for LiveReporter {
    fn flow(&mut self, row: &FlowRow) {
        let written = self.sink.flow(row);
        self.check_written(written);
    }

    fn dns(&mut self, row: &DnsRow) {
        let written = self.sink.dns(row);
        self.check_written(written);
    }

    fn stores_facts(&self) -> bool {
        self.sink.stores_facts()
    }

    fn facts(&mut self, chunk: &[u8]) {
        let written = self.sink.facts(chunk);
        self.check_written(written);
    }

    fn problem(&mut self, report: &ProblemReport) {
        let finding = &report.problem.finding;
        let written = if report.change == ProblemChange::Began {
            self.update_totals(|totals| *totals.findings.entry(finding.code.as_str()).or_default() += 1);
            self.sink.announce_finding(finding)
        } else {
            self.sink.problem(report)
        };
        self.check_written(written);
        self.print_change(report);
    }

    fn heartbeat(&mut self, status: &pipeline::LiveStatus) {
        self.update_totals(|totals| totals.update(&self.totals_before, status));
        let flushed = self.sink.flush();
        self.check_written(flushed);
        if self.dashboard.is_terminal_closed() || self.has_reader && is_stdout_closed() {
            self.end_without_reader();
        }
        self.report_published(false);
        self.report_capture_messages();
        let totals = self.totals_now();
        self.dashboard.draw(&self.stats, &totals, &status.problems);
    }

    fn rotate(&mut self, result: pipeline::RunResult) {
        let facts = self.run_facts(result, false);
        let started = self.evidence.rotate();
        let (next, error) = match self.evidence.open_folder() {
            Ok(next) => (next, None),
            Err(error) => (None, Some(error)),
        };
        if let Some(folder) = self.close_interval(&facts, next) {
            // The folder before it may still be on its way, where an interval is shorter than the disk is slow.
            self.evidence.hasten();
            self.report_published(true);
            if let Err(lost) = self.evidence.publish_in_background(folder, facts, started) {
                self.lose_earlier_interval(&lost);
            }
        }
        self.counters_before = self.capture_counters();
        self.interval_error = None;
        self.begin_facts();
        if let Some(error) = error {
            self.lose_interval(&error);
        }
        self.totals_before = self.totals_now();
    }
}

/// A change of a problem as one line of text. Its first time is that of the packet, all others are those of the change.
fn change_line(report: &ProblemReport) -> String {
    let ProblemReport { change, time, problem } = report;
    let finding = &problem.finding;
    let line = |time: Time, what: &str| {
        format!("{time} {:<6} {} {what}{}", finding.severity.as_str(), finding.code, finding.message)
    };
    let history = || {
        let occurrences = count(problem.count, "occurrence");
        format!("; {occurrences}, first {}, last {}", problem.first_seen, problem.last_seen)
    };
    match change {
        ProblemChange::Began => {
            let frames = first_frames(&finding.frames).map(|frames| format!("; {frames}"));
            format!("{}{}", line(problem.first_seen, ""), frames.unwrap_or_default())
        }
        ProblemChange::BeganAgain => format!("{}{}", line(*time, "again: "), history()),
        ProblemChange::Recovered => format!("{}{}", line(*time, "recovered: "), history()),
        ProblemChange::Lasts => format!("{}{}", line(*time, "ongoing: "), history()),
    }
}

/// Whether `-w` writes to a file, and not to standard output or a pipe.
fn is_regular(path: &Path) -> bool {
    use std::os::unix::fs::FileTypeExt as _;
    let is_pipe = || std::fs::metadata(path).is_ok_and(|metadata| metadata.file_type().is_fifo());
    path != Path::new("-") && !is_pipe()
}

/// Whether standard output is a pipe or a terminal.
fn has_stdout_a_reader() -> bool {
    use std::io::IsTerminal as _;
    use std::os::fd::AsFd as _;
    use std::os::unix::fs::FileTypeExt as _;
    let file = io::stdout().as_fd().try_clone_to_owned().map(std::fs::File::from);
    let is_pipe = file.and_then(|file| file.metadata()).is_ok_and(|metadata| metadata.file_type().is_fifo());
    is_pipe || io::stdout().is_terminal()
}

/// Whether the reader of the pipe, or the terminal, closed it. A failed write would show it too, but the next write may be hours away.
fn is_stdout_closed() -> bool {
    use std::os::fd::AsFd as _;
    let out = io::stdout();
    let mut fds = [PollFd::new(out.as_fd(), PollFlags::empty())];
    let polled = poll(&mut fds, PollTimeout::ZERO);
    let [out] = fds;
    polled.is_ok() && out.revents().is_some_and(|events| events.contains(PollFlags::POLLERR))
}

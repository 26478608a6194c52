//! Runs `analyze` and `verify`: opens what they write to, and says at the end what came of it.

use std::io;
use std::io::IsTerminal as _;
use std::io::Write;
use std::path::Path;
use std::time::SystemTime;

use anstream::ColorChoice;

use super::Outcome;
use super::args::Format;
use super::messages;
use super::plan::AnalyzePlan;
use super::plan::Speech;
use crate::base::Time;
use crate::report::Csv;
use crate::report::Detail;
use crate::report::Folder;
use crate::report::JsonLines;
use crate::report::Names;
use crate::report::Out;
use crate::report::Progress;
use crate::report::Role;
use crate::report::Run;
use crate::report::RunFacts;
use crate::report::Sink;
use crate::report::State;
use crate::report::Stream;
use crate::report::Summary;
use crate::report::verify as verify_folder;

/// Where no terminal says how wide it is.
const WIDTH: usize = 100;

/// The pipeline, as the command line sees it.
pub(super) type Pipeline = fn(&AnalyzePlan, &Progress, &mut Sink) -> anyhow::Result<RunFacts>;

/// Runs the pipeline with everything it writes to.
pub(super) fn analyze(plan: &AnalyzePlan, color: ColorChoice, pipeline: Pipeline) -> anyhow::Result<Outcome> {
    let started = now();
    // Outputs first: what cannot be written is said before hours of reading.
    let folder = plan.output.as_deref().map(|folder| Folder::open(folder, plan.overwrite)).transpose()?;
    let stdout = || Box::new(io::stdout()) as Out;
    let stream = match plan.format {
        Format::Table => Stream::None,
        Format::Csv => Stream::Csv(Box::new(Csv::new(stdout())?)),
        Format::Jsonl => Stream::Json(JsonLines::new(stdout())),
    };
    let mut sink = Sink::new(Names::of(&plan.files), folder, stream);
    let progress = match plan.speech {
        Speech::Quiet => Progress::none(),
        Speech::Plain | Speech::Verbose => Progress::watched(),
    };
    if let Some(bytes) = plan.total_bytes {
        progress.expect(bytes);
    }
    let facts = pipeline(plan, &progress, &mut sink);
    progress.clear();
    let facts = facts?;
    if sink.is_closed() {
        // The reader of our output has seen enough: there is nobody to say more to.
        return Ok(Outcome::NothingToReport);
    }
    let run = Run { arguments: arguments(), started, ended: now() };
    let names = sink.names().clone();
    let landed = sink.finish(&facts, &run)?;

    if plan.speech != Speech::Quiet {
        let detail = if plan.speech == Speech::Verbose { Detail::Full } else { Detail::Screen };
        let summary = Summary { facts: &facts, names: &names, landed: landed.as_ref(), detail, width: WIDTH };
        if plan.format == Format::Table {
            let width = width(io::stdout().is_terminal());
            Summary { width, ..summary }.write(&mut messages::stdout(color))?;
        } else {
            let width = width(io::stderr().is_terminal());
            Summary { width, ..summary }.write(&mut messages::stderr(color))?;
        }
    }
    let failed = |least| facts.findings.iter().any(|row| row.severity >= least);
    Ok(if plan.fail_on.least().is_some_and(failed) { Outcome::Findings } else { Outcome::NothingToReport })
}

/// Says for each file of an evidence folder whether it is as it was.
pub(super) fn verify(folder: &Path, quiet: bool, out: &mut dyn Write) -> anyhow::Result<Outcome> {
    let verified = verify_folder(folder)?;
    if !quiet {
        for file in &verified.files {
            let role = match file.role {
                Role::Output => "output",
                Role::Input => "input",
            };
            let name = crate::base::WireText::new(file.name.as_bytes(), 4096);
            let state = match &file.state {
                State::Same => "same".to_owned(),
                State::Changed(how) => format!("CHANGED: {how}"),
                State::Missing => "not there".to_owned(),
                State::Unchecked(why) => format!("not checked: {why}"),
            };
            writeln!(out, "{role:<6}  {name}: {state}")?;
        }
        if verified.partial {
            writeln!(out, "the run was partial: it did not see all of its input")?;
        }
        writeln!(out, "sha256 of manifest.json: {}", verified.manifest_sha256)?;
        out.flush()?;
    }
    Ok(if verified.differs() { Outcome::Findings } else { Outcome::NothingToReport })
}

/// The wall clock: for the manifest's `run` alone.
pub(super) fn now() -> Time {
    time(SystemTime::now())
}

pub(super) fn time(at: SystemTime) -> Time {
    let since = at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Time::from_parts(since.as_secs() as i64, since.subsec_nanos())
}

pub(super) fn arguments() -> Vec<String> {
    std::env::args_os().skip(1).map(|argument| argument.to_string_lossy().into_owned()).collect()
}

/// A terminal's width; a fixed one elsewhere, so that a pipe sees the same everywhere.
pub(super) fn width(terminal: bool) -> usize {
    match terminal_size::terminal_size() {
        Some((terminal_size::Width(columns), _)) if terminal => usize::from(columns).max(40),
        _ => WIDTH,
    }
}

#[cfg(test)]
mod tests {
    use super::super::args::FailOn;
    use super::super::args::Hash;
    use super::super::plan::Bounds;
    use super::*;
    use crate::report::Overwrite;
    use crate::report::test_support;
    use std::num::NonZeroU32;
    use std::num::NonZeroUsize;

    fn plan(output: &Path, fail_on: FailOn) -> AnalyzePlan {
        let many = NonZeroU32::MAX;
        AnalyzePlan {
            files: vec!["office.pcapng".into()],
            total_bytes: None,
            output: Some(output.to_owned()),
            overwrite: Overwrite::Ours,
            format: Format::Table,
            fail_on,
            speech: Speech::Quiet,
            site: None,
            rules: None,
            documents: Vec::new(),
            servers: Vec::new(),
            filter: None,
            count: None,
            threads: NonZeroUsize::MIN,
            hash: Hash::None,
            bounds: Bounds { flows: many, stream_bytes: 1 << 20, name_bytes: 1 << 20, findings: 100 },
        }
    }

    /// A run that found something.
    fn found(_: &AnalyzePlan, _: &Progress, sink: &mut Sink) -> anyhow::Result<RunFacts> {
        sink.name_inputs(test_support::names());
        sink.flow(&test_support::flow())?;
        sink.dns(&test_support::dns())?;
        sink.finding(&test_support::finding())?;
        Ok(test_support::facts())
    }

    fn broken(_: &AnalyzePlan, _: &Progress, sink: &mut Sink) -> anyhow::Result<RunFacts> {
        sink.flow(&test_support::flow())?;
        anyhow::bail!("cannot read capture: office.pcapng: permission denied")
    }

    #[test]
    fn a_run_leaves_evidence_that_can_be_verified() {
        let parent = tempfile::tempdir().unwrap();
        let target = parent.path().join("evidence");
        let check = |fail_on, expected| {
            assert_eq!(analyze(&plan(&target, fail_on), ColorChoice::Never, found).unwrap(), expected);
        };
        check(FailOn::High, Outcome::Findings);
        check(FailOn::Never, Outcome::NothingToReport);
        let mut said = Vec::new();
        assert_eq!(verify(&target, false, &mut said).unwrap(), Outcome::NothingToReport);
        let said = String::from_utf8(said).unwrap();
        assert!(said.starts_with("output  flows.csv: same\n"), "{said}");

        let json = std::fs::read(target.join("manifest.json")).unwrap();
        let mut manifest: serde_json::Value = serde_json::from_slice(&json).unwrap();
        assert_eq!(manifest["outputs"][0]["rows"], 1);
        assert_eq!(manifest["accounting"]["not_ip"]["0x0806 ARP"], 10);
        assert_eq!(manifest["csv"]["formula_guard"], true);
        assert_eq!(manifest["partial"], false);

        // Besides `run`, nothing depends on when and how it was run.
        analyze(&plan(&target, FailOn::Low), ColorChoice::Never, found).unwrap();
        let json = std::fs::read(target.join("manifest.json")).unwrap();
        let mut again: serde_json::Value = serde_json::from_slice(&json).unwrap();
        for manifest in [&mut manifest, &mut again] {
            assert!(manifest.as_object_mut().unwrap().remove("run").is_some());
        }
        assert_eq!(manifest, again);
    }

    #[test]
    fn a_run_that_fails_leaves_nothing() {
        let parent = tempfile::tempdir().unwrap();
        let target = parent.path().join("evidence");
        let error = analyze(&plan(&target, FailOn::Low), ColorChoice::Never, broken).unwrap_err();
        assert_eq!(error.to_string(), "cannot read capture: office.pcapng: permission denied");
        assert_eq!(std::fs::read_dir(parent.path()).unwrap().count(), 0);
    }
}

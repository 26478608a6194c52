//! Where the command line ends and the pipeline begins. The command line calls these; it knows nothing behind them.

use std::io::Write;

use anyhow::bail;

use super::plan::AnalyzePlan;
use super::plan::RulesPlan;
use crate::report::Progress;
use crate::report::RunFacts;
use crate::report::Sink;

/// Reads the plan's inputs, gives every record to `sink`, and says what the run was.
///
/// Before the first record it names the inputs by `FileId` (`sink.name_inputs`); it stops early, without an error, when
/// `sink.is_closed()`.
pub(super) fn analyze(plan: &AnalyzePlan, progress: &Progress, sink: &mut Sink) -> anyhow::Result<RunFacts> {
    let _ = (progress, sink);
    match plan.files.first() {
        Some(file) => bail!("cannot read capture: {}: this build cannot read captures yet", file.display()),
        None => Ok(RunFacts::default()),
    }
}

/// Lists the documents.
pub(super) fn rules_list(plan: &RulesPlan, out: &mut dyn Write) -> anyhow::Result<()> {
    no_rules(plan, out)
}

/// Prints a document's rules, or one rule, and says how many there were.
pub(super) fn rules_show(plan: &RulesPlan, id: &str, out: &mut dyn Write) -> anyhow::Result<usize> {
    let _ = id;
    no_rules(plan, out)
}

/// Prints every mistake in the rules, with file and line, and says how many there were.
pub(super) fn rules_check(plan: &RulesPlan, out: &mut dyn Write) -> anyhow::Result<usize> {
    no_rules(plan, out)
}

/// Prints what changed from one document to another.
pub(super) fn rules_diff(plan: &RulesPlan, old: &str, new: &str, out: &mut dyn Write) -> anyhow::Result<()> {
    let _ = (old, new);
    no_rules(plan, out)
}

fn no_rules<T>(_: &RulesPlan, _: &mut dyn Write) -> anyhow::Result<T> {
    bail!("cannot read rules: this build has none yet")
}

//! Runs `compare`: prints what changed between two evidence folders.

use std::io::IsTerminal as _;
use std::io::Write;

use anyhow::Context as _;

use super::ExitOutcome;
use super::args::CompareArgs;
use super::args::OutputFormat;
use super::process;
use crate::evidence::EvidenceComparison;
use crate::evidence::render_comparison;
use crate::evidence::write_table;
use crate::report::CsvTable;
use crate::report::InputNames;
use crate::report::JsonLines;
use crate::report::StoredEvidence;
use crate::report::SummaryDetail;

pub(super) fn run(args: &CompareArgs, out: &mut dyn Write) -> anyhow::Result<ExitOutcome> {
    let [before, after] = [StoredEvidence::open(&args.before)?, StoredEvidence::open(&args.after)?];
    let comparison = EvidenceComparison::new(&before, &after, args.fail_on.least_severity())?;
    if let Some(path) = &args.html {
        let page = render_comparison(&comparison, [&before, &after]);
        std::fs::write(path, page).with_context(|| format!("cannot write page: {}", path.display()))?;
    }
    let names = InputNames::default();
    match args.format {
        _ if args.quiet => {}
        OutputFormat::Table => {
            let detail = if args.verbose { SummaryDetail::Full } else { SummaryDetail::Screen };
            write_table(&comparison, detail, process::text_width(std::io::stdout().is_terminal()), out)?;
        }
        OutputFormat::Csv => {
            let mut table = CsvTable::new(&mut *out)?;
            comparison.rows(args.verbose).try_for_each(|row| table.write(row, &names))?;
            table.flush()?;
        }
        OutputFormat::Jsonl => {
            let mut lines = JsonLines::new(&mut *out);
            comparison.rows(args.verbose).try_for_each(|row| lines.write(row, &names))?;
            lines.flush()?;
        }
    }
    Ok(if comparison.is_worse() { ExitOutcome::Findings } else { ExitOutcome::Clean })
}

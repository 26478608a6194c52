//! Runs `rules list`, `rules show`, `rules check` and `rules diff`.

use std::io::Write;

use anyhow::bail;

use super::ExitOutcome;
use super::args::OutputFormat;
use super::args::RulesCommand;
use super::loaded_policy::load_all_rules;
use super::loaded_policy::load_library;
use super::plan::RulesPlan;
use crate::rules;
use crate::rules::RowFormat;
use crate::rules::RuleSet;
use crate::rules::nearest;
use crate::rules::nearest_document;

pub(super) fn run(command: RulesCommand, out: &mut dyn Write) -> anyhow::Result<ExitOutcome> {
    match command {
        RulesCommand::List { format, rules: args } => {
            let all = load_all_rules(&RulesPlan::from_args(args)?)?;
            match format {
                OutputFormat::Table => rules::list(&all, out)?,
                OutputFormat::Csv => rules::list_rows(&all, RowFormat::Csv, out)?,
                OutputFormat::Jsonl => rules::list_rows(&all, RowFormat::JsonLines, out)?,
            }
        }
        RulesCommand::Show { query, rules: args } => {
            let all = load_all_rules(&RulesPlan::from_args(args)?)?;
            if rules::show(&all, &query, out)? == 0 {
                bail!("{}", unknown(&all, &query));
            }
        }
        RulesCommand::Check(args) => {
            let plan = RulesPlan::from_args(args)?;
            if rules::check(plan.folder.as_deref(), out)? > 0 {
                return Ok(ExitOutcome::Findings);
            }
        }
        RulesCommand::Diff { old, new, rules: args } => {
            rules::diff(&load_library(&RulesPlan::from_args(args)?)?, &old, &new, out)?;
        }
    }
    Ok(ExitOutcome::Clean)
}

fn unknown(all: &RuleSet, query: &str) -> String {
    let documents: Vec<&str> =
        all.documents().iter().flat_map(|document| [&*document.id, &*document.short]).collect();
    let references = all.iter().flat_map(|(_, reference)| {
        let host = reference.host.as_ref().map(|host| &*host.text);
        [Some(&*reference.id), Some(&*reference.table.id), host].into_iter().flatten()
    });
    let what = "no such document, table, row or documented host";
    let near = nearest(query, documents.iter().copied().chain(references));
    match near.or_else(|| nearest_document(query, &documents)) {
        Some(near) => format!("{what}: {query}, did you mean `{near}`?"),
        None => format!("{what}: {query}"),
    }
}

//! Runs `rules list`, `rules show`, `rules check` and `rules diff`.

use std::io::Write;

use anyhow::bail;

use super::ExitOutcome;
use super::args::RulesCommand;
use super::loaded_policy::load_all_rules;
use super::loaded_policy::load_library;
use super::plan::RulesPlan;
use crate::rules;

pub(super) fn run(command: RulesCommand, out: &mut dyn Write) -> anyhow::Result<ExitOutcome> {
    match command {
        RulesCommand::List(args) => rules::list(&load_all_rules(&RulesPlan::from_args(args)?)?, out)?,
        RulesCommand::Show { id, rules: args } => {
            let all = load_all_rules(&RulesPlan::from_args(args)?)?;
            if rules::show(&all, &id, out)? == 0 {
                bail!("no such document, table or row: {id}");
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

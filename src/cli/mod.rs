//! The command line.
//!
//! In:  arguments.
//! Out: an exit status; evidence on standard output, speech on standard error.
//! Not: anything about packets.

mod args;
#[cfg(all(feature = "live", unix))]
mod dashboard;
mod explain;
#[cfg(all(feature = "live", unix))]
mod live;
mod messages;
#[cfg(all(feature = "live", unix))]
mod metrics;
mod plan;
#[cfg(all(feature = "live", unix))]
mod privileges;
mod run;
mod seam;

use std::io;
use std::io::Write;
use std::process::ExitCode;

use anstream::ColorChoice;
use anyhow::bail;
use clap::CommandFactory as _;
use clap::FromArgMatches as _;

pub use args::FailOn;
pub use args::Format;
pub use args::Hash;
pub use plan::AnalyzePlan;
pub use plan::Bounds;
pub use plan::LivePlan;
pub use plan::RulesPlan;
pub use plan::Speech;
pub use plan::SurveyPlan;

use args::Color;
use args::Command;
use args::Rules;
use args::Site;
use args::Typed;

/// What a run comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    /// Exit status 0.
    NothingToReport,
    /// Exit status 1.
    Findings,
}

/// The whole command line, for those who print from it.
pub fn command() -> clap::Command {
    Typed::command()
}

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    let typed = match command().try_get_matches().and_then(|matches| Typed::from_arg_matches(&matches)) {
        Ok(typed) => typed,
        Err(error) => return refused(&error),
    };
    let color = match typed.color {
        Color::Auto => ColorChoice::Auto,
        Color::Always => ColorChoice::Always,
        Color::Never => ColorChoice::Never,
    };
    match run(typed.command, color) {
        Ok(Outcome::NothingToReport) => ExitCode::SUCCESS,
        Ok(Outcome::Findings) => ExitCode::from(1),
        // Whoever read our output has seen enough.
        Err(error) if is_closed_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "afs-audit: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn run(command: Command, color: ColorChoice) -> anyhow::Result<Outcome> {
    let mut out = messages::stdout(color);
    match command {
        Command::Analyze(typed) => {
            drop(out);
            return run::analyze(&AnalyzePlan::check(*typed)?, color, seam::analyze);
        }
        Command::Live(typed) => {
            drop(out);
            let plan = LivePlan::check(*typed)?;
            #[cfg(all(feature = "live", unix))]
            return live::live(&plan, color);
            #[cfg(not(all(feature = "live", unix)))]
            bail!("cannot capture {plan:?}: {}", plan::WITHOUT_LIBPCAP);
        }
        #[cfg(all(feature = "live", unix))]
        Command::Interfaces(typed) => live::interfaces(typed.format, &mut out)?,
        #[cfg(not(all(feature = "live", unix)))]
        Command::Interfaces(typed) => {
            let _ = typed.format;
            bail!("cannot list interfaces: {}", plan::WITHOUT_LIBPCAP)
        }
        Command::Explain(typed) => explain::explain(typed.code.as_deref(), &mut out)?,
        Command::Rules(Rules::List(from)) => seam::rules_list(&RulesPlan::check(from.rules)?, &mut out)?,
        Command::Rules(Rules::Show { id, from }) => {
            if seam::rules_show(&RulesPlan::check(from.rules)?, &id, &mut out)? == 0 {
                bail!("no such document or rule: {id}");
            }
        }
        Command::Rules(Rules::Check(from)) => {
            if seam::rules_check(&RulesPlan::check(from.rules)?, &mut out)? > 0 {
                return Ok(Outcome::Findings);
            }
        }
        Command::Rules(Rules::Diff { old, new, from }) => {
            seam::rules_diff(&RulesPlan::check(from.rules)?, &old, &new, &mut out)?;
        }
        Command::Site(Site::Init { files, from }) => {
            seam::site_init(&SurveyPlan::check(files, from.rules)?, &mut out)?;
        }
        Command::Verify(typed) => return run::verify(&typed.folder, typed.quiet, &mut out),
        Command::Completions(typed) => {
            // clap_complete panics when it cannot write: it gets memory, and we write.
            let mut text = Vec::new();
            clap_complete::generate(typed.shell, &mut self::command(), "afs-audit", &mut text);
            out.write_all(&text)?;
        }
        Command::Man(typed) => out.write_all(&man(typed.command.as_deref())?)?,
    }
    out.flush()?;
    Ok(Outcome::NothingToReport)
}

/// What clap prints: help on standard output with 0, everything else on standard error with 2.
fn refused(error: &clap::Error) -> ExitCode {
    match error.print() {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => ExitCode::from(2),
        _ if error.use_stderr() => ExitCode::from(2),
        _ => ExitCode::SUCCESS,
    }
}

/// The manual page of the whole, or of one command.
fn man(name: Option<&str>) -> anyhow::Result<Vec<u8>> {
    let mut whole = command();
    whole.build();
    let page = match name {
        None => whole,
        Some(name) => match whole.find_subcommand(name) {
            Some(found) => found.clone(),
            None => bail!("no such command: {name}"),
        },
    };
    let mut text = Vec::new();
    clap_mangen::Man::new(page).render(&mut text)?;
    Ok(text)
}

fn is_closed_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        cause.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
    })
}

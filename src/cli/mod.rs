//! The command line.
//!
//! In:  arguments.
//! Out: an exit status; evidence on standard output, messages on standard error.
//! Not: anything about packets.

mod allowlist;
mod analyze;
mod args;
mod command_notes;
mod compare;
#[cfg(all(feature = "live", unix))]
mod dashboard;
mod evidence_capture;
mod explain;
#[cfg(all(feature = "live", unix))]
mod interfaces;
mod judge;
#[cfg(all(feature = "live", unix))]
mod keyboard;
#[cfg(all(feature = "live", unix))]
mod live;
#[cfg(all(feature = "live", unix))]
mod live_evidence;
#[cfg(all(feature = "live", unix))]
mod live_reporter;
mod loaded_policy;
mod man_page;
#[cfg(all(feature = "live", unix))]
mod metrics;
mod plan;
#[cfg(all(feature = "live", unix))]
mod privileges;
mod probe_list;
mod process;
mod report;
mod rules;
mod run_facts;
mod signature;
mod silent_servers;
mod site;
mod stdio;
mod values;
mod verify;

use std::io;
use std::io::IsTerminal as _;
use std::io::Write;
use std::process::ExitCode;

use anstream::ColorChoice;
use clap::CommandFactory as _;
use clap::FromArgMatches as _;
use clap::builder::PossibleValuesParser;

use crate::evidence;
use args::ColorMode;
use args::Command;
use args::MainArgs;
use args::ManArgs;
use args::SiteCommand;
use command_notes::CommandNotes;
use plan::AnalyzePlan;
use plan::JudgePlan;
use plan::LivePlan;
use plan::SiteDraftPlan;

/// How a command ends, unless it fails (exit status 2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ExitOutcome {
    /// Exit status 0.
    Clean,
    /// Exit status 1.
    Findings,
    /// Exit status 2: a part of the job was not done. The rest was done and kept.
    Incomplete,
}

/// The definition of the command line, from which help and manual pages are generated.
pub fn command() -> clap::Command {
    add_notes(MainArgs::command(), "")
}

/// Adds examples and exit statuses to the help of a command and of its subcommands.
fn add_notes(command: clap::Command, words: &str) -> clap::Command {
    let help = command_notes::notes(words).map(CommandNotes::help);
    let command = command.mut_subcommands(|sub| {
        let words = format!("{words} {}", sub.get_name());
        add_notes(sub, words.trim_start())
    });
    match help {
        Some(help) => command.after_long_help(help),
        None => command,
    }
}

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    let args = match command().try_get_matches().and_then(|matches| MainArgs::from_arg_matches(&matches)) {
        Ok(args) => args,
        Err(error) => return print_usage(&error),
    };
    let color = match args.color {
        ColorMode::Auto => ColorChoice::Auto,
        ColorMode::Always => ColorChoice::Always,
        ColorMode::Never => ColorChoice::Never,
    };
    match run(args.command, color) {
        Ok(ExitOutcome::Clean) => ExitCode::SUCCESS,
        Ok(ExitOutcome::Findings) => ExitCode::from(1),
        Ok(ExitOutcome::Incomplete) => ExitCode::from(2),
        // `head` and the like close the pipe when they have enough.
        Err(error) if is_closed_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "afs-audit: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn run(command: Command, color: ColorChoice) -> anyhow::Result<ExitOutcome> {
    let mut out = stdio::stdout(color);
    let mut outcome = ExitOutcome::Clean;
    match command {
        Command::Analyze(args) => {
            // A run locks standard output itself, row by row.
            drop(out);
            return analyze::run(&AnalyzePlan::from_args(*args)?, color, analyze::audit);
        }
        Command::Live(args) => {
            drop(out);
            let plan = LivePlan::from_args(*args)?;
            #[cfg(all(feature = "live", unix))]
            return live::run(&plan, color);
            #[cfg(not(all(feature = "live", unix)))]
            anyhow::bail!("cannot capture {plan:?}: {}", plan::WITHOUT_LIBPCAP);
        }
        Command::Judge(args) => {
            drop(out);
            return judge::run(&JudgePlan::from_args(*args)?, color);
        }
        #[cfg(all(feature = "live", unix))]
        Command::Interfaces(args) => interfaces::run(args.format, &mut out)?,
        #[cfg(not(all(feature = "live", unix)))]
        Command::Interfaces(args) => {
            let _ = args.format;
            anyhow::bail!("cannot list interfaces: {}", plan::WITHOUT_LIBPCAP)
        }
        Command::Explain(args) => {
            explain::run(args.code.as_deref(), process::text_width(io::stdout().is_terminal()), &mut out)?
        }
        Command::Rules(command) => outcome = rules::run(command, &mut out)?,
        Command::Site(SiteCommand::Init { files, rules }) => {
            site::init(&SiteDraftPlan::from_args(files, rules)?, &mut out)?;
        }
        Command::Verify(args) => outcome = verify::run(&args, &mut out)?,
        Command::Sign(args) => signature::sign(&args, &mut out)?,
        Command::Report(args) => report::run(&args.folder, args.output.as_deref(), &mut out)?,
        Command::Compare(args) => outcome = compare::run(&args, &mut out)?,
        Command::Allowlist(args) => allowlist::run(&args, &mut out)?,
        Command::ProbeList(args) => probe_list::run(&args, &mut out)?,
        Command::Schema(args) => {
            let schema = crate::report::json_schema(args.record.as_deref(), evidence::record_schemas());
            serde_json::to_writer_pretty(&mut out, &schema).map_err(io::Error::from)?;
            writeln!(out)?;
        }
        Command::Completions(args) => {
            out.write_all(completions(args.shell).as_bytes())?;
        }
        Command::Man(ManArgs { output: Some(folder), .. }) => man_page::write_all(&folder)?,
        Command::Man(args) => out.write_all(&man_page::page(&args.command)?)?,
    }
    out.flush()?;
    Ok(outcome)
}

/// Prints help on standard output (exit status 0), or a usage error on standard error (2).
fn print_usage(error: &clap::Error) -> ExitCode {
    match error.print() {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => ExitCode::from(2),
        _ if error.use_stderr() => ExitCode::from(2),
        _ => ExitCode::SUCCESS,
    }
}

/// The completions of a shell.
fn completions(shell: clap_complete::Shell) -> String {
    // clap_complete panics if it cannot write, so it writes to memory.
    let mut text = Vec::new();
    // In `explain` itself, words are parsed in either case and a wrong one has a message of its own.
    let words = PossibleValuesParser::new(explain::words());
    let mut command = command()
        .mut_subcommand("explain", |explain| explain.mut_arg("code", |code| code.value_parser(words)));
    clap_complete::generate(shell, &mut command, "afs-audit", &mut text);
    let text = String::from_utf8_lossy(&text).into_owned();
    // clap_complete 4.6 names the commands of a program with a hyphen in two ways, so that bash finds none of them.
    text.replace("afs__subcmd__audit", "afs__audit")
}

fn is_closed_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        cause.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
    })
}

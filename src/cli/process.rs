//! What a run takes from its process: clock, arguments, signals, the width of the terminal.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::SystemTime;

use anyhow::Context as _;

use super::plan::Verbosity;
use crate::base::Time;
use crate::report::MANIFEST;
use crate::report::Published;
use crate::report::SummaryDetail;

/// Columns of text that does not go to a terminal. A fixed number, so that a pipe gets the same everywhere.
pub(super) const DEFAULT_WIDTH: usize = 100;

/// The wall clock, for `run` in the manifest and for the names of interval folders.
pub(super) fn now() -> Time {
    to_time(SystemTime::now())
}

pub(super) fn to_time(at: SystemTime) -> Time {
    let since_epoch = at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Time::from_parts(since_epoch.as_secs() as i64, since_epoch.subsec_nanos())
}

/// The arguments, for the manifest.
pub(super) fn arguments() -> Vec<String> {
    std::env::args_os().skip(1).map(|argument| argument.to_string_lossy().into_owned()).collect()
}

/// The working directory, for the manifest; empty if it is unknown.
pub(super) fn working_directory() -> String {
    std::env::current_dir().map(|folder| folder.to_string_lossy().into_owned()).unwrap_or_default()
}

/// What to keep of a run elsewhere: who can write to the folder can change the manifest, too.
pub(super) fn digest_advice(published: &Published) -> String {
    format!(
        "SHA-256 of {}: {}\nkeep it elsewhere: `afs-audit verify --digest` compares it later",
        published.folder.join(MANIFEST).display(),
        published.manifest_sha256
    )
}

/// Columns of the terminal, or the default elsewhere.
pub(super) fn text_width(is_terminal: bool) -> usize {
    match terminal_size::terminal_size() {
        Some((terminal_size::Width(columns), _)) if is_terminal => usize::from(columns).max(40),
        _ => DEFAULT_WIDTH,
    }
}

/// How much of the summary is printed.
pub(super) const fn summary_detail(verbosity: Verbosity) -> SummaryDetail {
    match verbosity {
        Verbosity::Verbose => SummaryDetail::Full,
        Verbosity::Quiet | Verbosity::Normal => SummaryDetail::Screen,
    }
}

/// A flag that the first SIGINT or SIGTERM sets. The second ends the process at once.
pub(super) fn stop_on_signals() -> anyhow::Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    // Not the same as `stop`, which a run also sets itself: then the first signal must not end the process.
    let is_signalled = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        signal_hook::flag::register_conditional_default(signal, Arc::clone(&is_signalled))
            .context("cannot watch for signals")?;
        for flag in [&is_signalled, &stop] {
            signal_hook::flag::register(signal, Arc::clone(flag)).context("cannot watch for signals")?;
        }
    }
    Ok(stop)
}

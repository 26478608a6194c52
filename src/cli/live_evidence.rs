//! The evidence folders of a live run, one for each interval.
//!
//! In:  the folder of `-o`, the facts of an interval when it ends, and where its frames were saved.
//! Out: published folders; the error of one that could not be written.
//! Not: the rows. They go to the open folder through [`RecordSink`](crate::report::RecordSink).

use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::thread;
use std::thread::JoinHandle;

use super::dashboard::print_message;
use super::evidence_capture::saved::SavedEvidence;
use super::plan::LivePlan;
use super::plan::OutputPlan;
use super::plan::Verbosity;
use super::process;
use crate::base::Time;
use crate::report::EvidenceFolder;
use crate::report::FolderOptions;
use crate::report::Invocation;
use crate::report::Manifest;
use crate::report::Overwrite;
use crate::report::Published;
use crate::report::RunFacts;
use crate::report::UNFINISHED;
use crate::report::WriteError;
use crate::report::reason;
use crate::report::set_aside;

pub(super) struct LiveEvidence {
    output: OutputPlan,
    /// `--every`: each interval has a subfolder of its own.
    pub(super) has_intervals: bool,
    /// When the interval began.
    pub(super) started: Time,
    /// Intervals before this one.
    rotations: u32,
    /// The folder of an earlier interval, on its way to the disk.
    publishing: Option<Publishing>,
    /// Where `evidence.pcapng` is made from; none if frames are not saved in files.
    saved: Option<SavedEvidence>,
}

/// A folder that a thread publishes.
struct Publishing {
    thread: JoinHandle<Result<Published, WriteError>>,
    /// Set when another folder waits for it.
    is_waited_for: Arc<AtomicBool>,
    /// When its interval began.
    started: Time,
}

/// The evidence of an interval could not be written.
pub(super) struct LostInterval {
    pub(super) error: WriteError,
    /// When it began.
    pub(super) started: Time,
}

impl LiveEvidence {
    pub(super) fn new(plan: &LivePlan) -> LiveEvidence {
        LiveEvidence {
            output: plan.output.clone(),
            has_intervals: plan.every.is_some(),
            started: process::now(),
            rotations: 0,
            publishing: None,
            saved: None,
        }
    }

    /// Folders get an `evidence.pcapng` of the frames that are saved.
    pub(super) fn copy_frames(&mut self, saved: SavedEvidence) {
        self.saved = Some(saved);
    }

    /// Keeps and reports what earlier runs did not finish: their rows may be all that is left of several days.
    pub(super) fn report_unfinished(&self) {
        let Some(folder) = &self.output.folder else { return };
        let modified = std::fs::metadata(folder.join(UNFINISHED)).and_then(|metadata| metadata.modified());
        if let Ok(modified) = modified.map(process::to_time) {
            let name = unused_name(folder, &modified.to_string());
            let name = name.file_name().unwrap_or_default().to_string_lossy().into_owned();
            // If it cannot be moved, the folder cannot be written either, which is the next error.
            let _ = set_aside(folder, &name);
        }
        let Ok(entries) = std::fs::read_dir(folder) else { return };
        for entry in entries.flatten() {
            let is_unfinished = entry.file_name().to_string_lossy().ends_with(UNFINISHED);
            if is_unfinished && self.output.verbosity != Verbosity::Quiet {
                let path = entry.path();
                print_message(&format!("an earlier run did not finish its evidence: {}", path.display()));
            }
        }
    }

    /// Intervals before this one.
    pub(super) const fn intervals(&self) -> u32 {
        self.rotations
    }

    /// Opens the folder of the interval that begins now.
    pub(super) fn open_folder(&self) -> Result<Option<EvidenceFolder>, WriteError> {
        let Some(output) = &self.output.folder else { return Ok(None) };
        if !self.has_intervals && self.rotations == 0 {
            return EvidenceFolder::open(output, self.output.folder_options).map(Some);
        }
        let path = unused_name(output, &self.started.to_string());
        let options = FolderOptions { overwrite: Overwrite::No, ..self.output.folder_options };
        EvidenceFolder::open(&path, options).map(Some)
    }

    /// Ends the interval: the next one begins now. Returns the beginning of the one that ended.
    pub(super) fn rotate(&mut self) -> Time {
        self.rotations += 1;
        std::mem::replace(&mut self.started, process::now())
    }

    /// Publishes the folder of an interval and waits for it.
    pub(super) fn publish(
        &self,
        folder: EvidenceFolder,
        facts: &mut RunFacts,
    ) -> Result<Published, WriteError> {
        complete(folder, facts, &invocation(self.started), self.saved.as_ref())
    }

    /// Publishes the folder of an earlier interval on another thread: an hour of rows, or reading frames back, may take a disk many
    /// seconds, and the rows of the next interval must not wait for it. [`LiveEvidence::published`] must have returned the folder before it.
    pub(super) fn publish_in_background(
        &mut self,
        folder: EvidenceFolder,
        mut facts: RunFacts,
        started: Time,
    ) -> Result<(), LostInterval> {
        let run = invocation(started);
        let is_waited_for = Arc::new(AtomicBool::new(false));
        let saved = self.saved.clone();
        let saved = saved.map(|saved| SavedEvidence { is_waited_for: Arc::clone(&is_waited_for), ..saved });
        let finish = move || complete(folder, &mut facts, &run, saved.as_ref());
        match thread::Builder::new().name("evidence".to_owned()).spawn(finish) {
            Ok(thread) => {
                self.publishing = Some(Publishing { thread, is_waited_for, started });
                Ok(())
            }
            Err(error) => {
                let path = self.output.folder.clone().unwrap_or_default();
                Err(LostInterval { error: WriteError { path, reason: reason(&error) }, started })
            }
        }
    }

    /// Lets the folder that is published in the background be completed with the frames that it has so far.
    pub(super) fn hasten(&self) {
        if let Some(publishing) = &self.publishing {
            publishing.is_waited_for.store(true, Ordering::Relaxed);
        }
    }

    /// The folder that was published in the background, once it is complete; `is_waiting` waits for it.
    pub(super) fn published(&mut self, is_waiting: bool) -> Option<Result<Published, LostInterval>> {
        let is_due = |publishing: &mut Publishing| is_waiting || publishing.thread.is_finished();
        let Publishing { thread, started, .. } = self.publishing.take_if(is_due)?;
        match thread.join() {
            Ok(published) => Some(published.map_err(|error| LostInterval { error, started })),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }
}

/// Adds the frames that prove findings, and publishes the folder.
fn complete(
    folder: EvidenceFolder,
    facts: &mut RunFacts,
    run: &Invocation,
    saved: Option<&SavedEvidence>,
) -> Result<Published, WriteError> {
    let mut closed = folder.close(facts.span())?;
    facts.limits_reached.append(&mut closed.limits_reached);
    if let Some(saved) = saved {
        saved.add_to(&mut closed, facts);
    }
    closed.finish(|outputs| Manifest::new(facts, run, outputs).to_json())
}

/// How and when an interval was captured. Interfaces are no files, so that no path starts from the working directory.
fn invocation(started: Time) -> Invocation {
    let (arguments, working_directory) = (process::arguments(), String::new());
    Invocation { arguments, working_directory, started, ended: process::now() }
}

/// A subfolder that does not exist yet, finished or unfinished, named after a time.
fn unused_name(parent: &Path, time: &str) -> PathBuf {
    // Not every file system permits colons.
    let name = format!("{}Z", time.split('.').next().unwrap_or(time).trim_end_matches('Z').replace(':', "-"));
    let is_unused =
        |name: &String| !parent.join(name).exists() && !parent.join(format!("{name}{UNFINISHED}")).exists();
    let numbered = (2..).map(|number| format!("{name}-{number}"));
    let found = std::iter::once(name.clone()).chain(numbered).find(is_unused);
    parent.join(found.unwrap_or(name))
}

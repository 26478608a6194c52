//! Copies the frames that prove the findings of a live run from the files that the run saves them in.
//!
//! In:  the tables of an interval, and where frames were saved.
//! Out: `evidence.pcapng` in the folder of the interval; what did not get into it.
//! Not: waiting for a slow disk, or for frames that will not come. It runs on the thread that publishes the folder, so that neither
//!      capture nor audit wait for it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;
use std::time::Instant;

use super::CopiedFrame;
use super::CopiedFrames;
use super::EvidenceCapture;
use crate::base::FileId;
use crate::base::FrameRef;
use crate::capture::Interface;
use crate::capture::NotRead;
use crate::capture::SavedFrames;
use crate::cli::plan::CopyPlan;
use crate::report::ClosedFolder;
use crate::report::InputNames;
use crate::report::ProvingFrames;
use crate::report::RunFacts;
use crate::report::count;
use crate::report::verb;

/// How long frames are read back: a service must end within the time that its manager permits.
const READ_LIMIT: Duration = Duration::from_secs(15);

/// How long the last frames of an interval may take to get into a file.
const WRITE_WAIT: Duration = Duration::from_secs(3);

/// How often this is checked.
const WRITE_POLL: Duration = Duration::from_millis(10);

/// Files that a warning names.
const NAMED_FILES: usize = 3;

/// What is needed to copy frames of a live run.
#[derive(Clone)]
pub(in crate::cli) struct SavedEvidence {
    pub(in crate::cli) plan: CopyPlan,
    pub(in crate::cli) saved: Arc<SavedFrames>,
    pub(in crate::cli) interfaces: Vec<Interface>,
    /// The name of the run's only input.
    pub(in crate::cli) names: InputNames,
    /// Set when another folder waits for this one: what is not read by then is left out.
    pub(in crate::cli) is_waited_for: Arc<AtomicBool>,
}

/// Frames that prove findings and are not copied, by reason.
#[derive(Default)]
struct NotCopied {
    not_saved: u64,
    file_lost: u64,
    lost_files: BTreeSet<String>,
    too_late: u64,
    too_many: u64,
}

impl SavedEvidence {
    /// Adds the frames that prove findings to the folder of an interval. Without them it is still of use: what goes wrong is a
    /// warning.
    pub(in crate::cli) fn add_to(&self, folder: &mut ClosedFolder, facts: &mut RunFacts) {
        let failed = |reason: String| format!("evidence.pcapng was not written: {reason}");
        let selected = match folder.evidence() {
            Ok(evidence) => ProvingFrames::select(&evidence, &self.names).map_err(|error| error.reason),
            Err(error) => Err(error.reason),
        };
        let selected = match selected {
            Ok(selected) if selected.places().len() == 0 => return,
            Ok(selected) => selected,
            Err(reason) => return facts.warnings.push(failed(reason)),
        };
        let mut made = self.copy(&selected);
        facts.limits_reached.append(&mut made.limits);
        facts.warnings.append(&mut made.warnings);
        if made.frames() > 0
            && let Err(error) =
                folder.add_evidence_frames(made.frames(), |out| made.write(&selected, &self.names, out))
        {
            facts.warnings.push(failed(error.reason));
        }
    }

    fn copy(&self, selected: &ProvingFrames) -> EvidenceCapture {
        let begun = Instant::now();
        let last = selected.places().last().map_or(0, |(_, number)| number);
        while !self.saved.is_written(last)
            && begun.elapsed() < WRITE_WAIT
            && !self.is_waited_for.load(Ordering::Relaxed)
        {
            thread::sleep(WRITE_POLL);
        }
        let mut copied = CopiedFrames::default();
        let mut not_copied = NotCopied { too_many: selected.left_out, ..NotCopied::default() };
        self.read(selected, begun + READ_LIMIT, &mut copied, &mut not_copied);
        let describe = |frame: &CopiedFrame| {
            let interface = self.interfaces.get(usize::from(frame.interface));
            let name = interface.and_then(|interface| interface.name.as_ref());
            let snap_len = u32::try_from(self.plan.snap_len).unwrap_or_default();
            (snap_len, name.map(ToString::to_string).unwrap_or_default())
        };
        EvidenceCapture::new(copied, describe, (not_copied.limits(), not_copied.warnings()))
    }

    /// Reads frames in order, each with those around it.
    fn read(
        &self,
        selected: &ProvingFrames,
        deadline: Instant,
        copied: &mut CopiedFrames,
        not_copied: &mut NotCopied,
    ) {
        let mut reader = self.saved.reader();
        let mut bytes = 0;
        let mut done = 0;
        let mut left = selected.places().len() as u64;
        let mut places = (0..).zip(selected.places()).peekable();
        while let Some((proof, (_, number))) = places.next() {
            if Instant::now() >= deadline || self.is_waited_for.load(Ordering::Relaxed) {
                not_copied.too_late += left;
                return;
            }
            left -= 1;
            let next = places.peek().map_or(u64::MAX, |(_, (_, next))| *next);
            let from = number.saturating_sub(self.plan.context).max(done + 1);
            let until = number.saturating_add(self.plan.context).min(next - 1);
            for near in from..=until {
                let is_proof = near == number;
                let frame = match reader.frame(near) {
                    Ok(frame) => frame,
                    Err(reason) if is_proof => {
                        not_copied.add(reason);
                        continue;
                    }
                    Err(_) => continue,
                };
                let kept = frame.bytes.get(..self.plan.snap_len).unwrap_or(frame.bytes);
                // The fields of a block, and its comments about as long as these.
                bytes += kept.len() as u64 + 256;
                if bytes > self.plan.size {
                    let is_left = u64::from(near <= number);
                    not_copied.too_many += (is_left + left).max(1);
                    return;
                }
                let Some(interface) = self.interfaces.get(usize::from(frame.interface)) else { continue };
                let copy = CopiedFrame {
                    frame_ref: FrameRef { file: FileId::default(), number: near },
                    time: frame.time,
                    link: interface.link,
                    interface: frame.interface,
                    wire_len: frame.wire_len,
                    proof: is_proof.then_some(proof),
                    saved_as: Some(format!("saved as frame {} of {}", frame.in_file, frame.file).into()),
                    block: 0,
                    bytes: 0..0,
                };
                copied.add(copy, kept);
            }
            done = until;
        }
    }
}

impl NotCopied {
    fn add(&mut self, reason: NotRead) {
        match reason {
            NotRead::NotSaved => self.not_saved += 1,
            NotRead::FileLost(name) => {
                self.file_lost += 1;
                self.lost_files.insert(name);
            }
        }
    }

    fn limits(&self) -> Vec<String> {
        let did = || format!("{} did not fit into evidence.pcapng", count(self.too_many, "frame"));
        (self.too_many > 0).then(|| format!("{}; --evidence-size permits more", did())).into_iter().collect()
    }

    fn warnings(&self) -> Vec<String> {
        let lacks = |frames: u64, why: &str| {
            let prove = verb(frames, "proves", "prove");
            let frames = count(frames, "frame");
            format!("evidence.pcapng lacks {frames} that {prove} findings: {why}")
        };
        let mut warnings = Vec::new();
        if self.not_saved > 0 {
            let were = verb(self.not_saved, "it was", "they were");
            warnings.push(lacks(self.not_saved, &format!("{were} not saved")));
        }
        if self.file_lost > 0 {
            let named: Vec<&str> = self.lost_files.iter().take(NAMED_FILES).map(String::as_str).collect();
            let more = self.lost_files.len() - named.len();
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            let files = self.lost_files.len() as u64;
            let files = verb(files, "the file is gone or was changed", "the files are gone or were changed");
            warnings.push(lacks(self.file_lost, &format!("{files}: {}{more}", named.join(", "))));
        }
        if self.too_late > 0 {
            let why = "reading them took too long; analyze the files of -w for them";
            warnings.push(lacks(self.too_late, why));
        }
        warnings
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::EvidenceFolder;
    use crate::report::FolderOptions;
    use crate::report::test_support;

    #[test]
    fn a_folder_that_another_waits_for_is_completed_without_its_frames() {
        let parent = tempfile::tempdir().unwrap();
        let mut folder =
            EvidenceFolder::open(&parent.path().join("evidence"), FolderOptions::default()).unwrap();
        let names = test_support::names();
        folder.finding(&test_support::finding(), &names).unwrap();
        let mut closed = folder.close(None).unwrap();
        let evidence = SavedEvidence {
            plan: CopyPlan { context: 0, snap_len: usize::MAX, size: 1 << 20 },
            saved: Arc::default(),
            interfaces: Vec::new(),
            names,
            is_waited_for: Arc::new(AtomicBool::new(true)),
        };
        let begun = Instant::now();
        let mut facts = RunFacts::default();
        evidence.add_to(&mut closed, &mut facts);
        assert!(begun.elapsed() < WRITE_WAIT, "it does not wait for frames to be written either");
        let [warning] = facts.warnings.as_slice() else { panic!("{:?}", facts.warnings) };
        assert!(
            warning.ends_with("reading them took too long; analyze the files of -w for them"),
            "{warning}"
        );
        let published = closed.finish(|_| br#"{"tool":{"name":"afs-audit"}}"#.to_vec()).unwrap();
        assert!(!published.folder.join("evidence.pcapng").exists());
    }

    #[test]
    fn what_is_not_copied_is_counted_by_reason() {
        let mut not_copied = NotCopied { not_saved: 1, too_many: 7, ..NotCopied::default() };
        for file in ["d", "a", "c", "b", "a", "e"] {
            not_copied.add(NotRead::FileLost(file.to_owned()));
        }
        assert_eq!(
            not_copied.warnings(),
            [
                "evidence.pcapng lacks 1 frame that proves findings: it was not saved",
                "evidence.pcapng lacks 6 frames that prove findings: the files are gone or were changed: a, b, c and 2 more",
            ]
        );
        let limit = "7 frames did not fit into evidence.pcapng; --evidence-size permits more";
        assert_eq!(not_copied.limits(), [limit]);
        assert!(NotCopied::default().warnings().is_empty() && NotCopied::default().limits().is_empty());
    }
}

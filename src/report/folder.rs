//! The evidence folder of `-o DIR`.
//!
//! In:  records, and at the end the manifest.
//! Out: the folder, whole or not at all: files grow in a stage beside their place and are moved there at the end.
//! Not: overwriting what somebody else put there.
//!
//! A folder that does not exist yet appears by one rename. Into one that exists (a mounted volume, an earlier run of
//! ours) the files are moved one by one, the manifest last: without a manifest a folder is no evidence.

use std::fs;
use std::fs::File;
use std::io;
use std::io::Write;
use std::path::Path;
use std::path::PathBuf;

use sha2::Digest as _;
use sha2::Sha256;

use super::columns::Record;
use super::error::WriteError;
use super::manifest::MANIFEST;
use super::manifest::Output;
use super::manifest::Written;
use super::names::Names;
use super::table::Csv;
use crate::judge::DnsRow;
use crate::judge::FindingRow;
use crate::judge::FlowRow;
use crate::judge::RequirementRow;

/// The tables that a folder may hold, in the order of the manifest.
const TABLES: [&str; 4] = [FlowRow::FILE, FindingRow::FILE, RequirementRow::FILE, DnsRow::FILE];

/// The stage's name inside a folder that exists, and what is appended to the name of one that does not.
pub const UNFINISHED: &str = ".unfinished";

/// The stage beside a folder that does not exist yet; none for what is no name of one.
fn beside(folder: &Path) -> Option<PathBuf> {
    let mut name = folder.file_name()?.to_owned();
    name.push(UNFINISHED);
    Some(folder.with_file_name(name))
}

/// Where a run that writes into `folder` keeps files: there, and beside it until they are all written.
pub fn staging_places(folder: &Path) -> Vec<PathBuf> {
    std::iter::once(folder.to_owned()).chain(beside(folder)).collect()
}

/// Held while a run writes, so that another run can tell a dead stage from a living one.
const LOCK: &str = "lock";

/// Whether a folder that is not ours may be written into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overwrite {
    /// Only nothing, an empty folder, or one that we wrote.
    Ours,
    /// Any folder; files of other names stay.
    Any,
}

/// An evidence folder that is being written. Dropped before [`Folder::finish`], it leaves nothing.
pub struct Folder {
    flows: Csv<FlowRow, Hashing>,
    findings: Csv<FindingRow, Hashing>,
    dns: Csv<DnsRow, Hashing>,
    /// Only there when it has rows.
    requirements: Option<Csv<RequirementRow, Hashing>>,
    stage: Stage,
}

/// A folder that was written.
#[derive(Clone, Debug)]
pub struct Published {
    /// Where it is.
    pub folder: PathBuf,
    /// What is in it, the manifest left out.
    pub outputs: Vec<Output>,
    /// Hash of the manifest: who keeps it can prove the whole folder.
    pub manifest_sha256: String,
}

impl Folder {
    /// Prepares the folder, and fails now if it cannot be written.
    pub fn open(folder: &Path, overwrite: Overwrite) -> Result<Folder, WriteError> {
        let stage = Stage::open(folder, overwrite)?;
        Ok(Folder {
            flows: stage.table()?,
            findings: stage.table()?,
            dns: stage.table()?,
            requirements: None,
            stage,
        })
    }

    /// Adds a row to `flows.csv`.
    pub fn flow(&mut self, row: &FlowRow, names: &Names) -> Result<(), WriteError> {
        self.flows.write(row, names).map_err(|error| self.stage.failed(FlowRow::FILE, &error))
    }

    /// Adds a row to `dns.csv`.
    pub fn dns(&mut self, row: &DnsRow, names: &Names) -> Result<(), WriteError> {
        self.dns.write(row, names).map_err(|error| self.stage.failed(DnsRow::FILE, &error))
    }

    /// Adds a row to `findings.csv`.
    pub fn finding(&mut self, row: &FindingRow, names: &Names) -> Result<(), WriteError> {
        self.findings.write(row, names).map_err(|error| self.stage.failed(FindingRow::FILE, &error))
    }

    /// Adds a row to `requirements.csv`.
    pub fn requirement(&mut self, row: &RequirementRow, names: &Names) -> Result<(), WriteError> {
        let table = match &mut self.requirements {
            Some(table) => table,
            none => none.insert(self.stage.table()?),
        };
        table.write(row, names).map_err(|error| self.stage.failed(RequirementRow::FILE, &error))
    }

    /// Writes the manifest that `manifest` makes of the outputs, and moves everything to its place.
    pub fn finish(self, manifest: impl FnOnce(&[Output]) -> Vec<u8>) -> Result<Published, WriteError> {
        let Folder { flows, findings, dns, requirements, stage } = self;
        let mut outputs = vec![stage.close(flows)?, stage.close(findings)?];
        if let Some(requirements) = requirements {
            outputs.push(stage.close(requirements)?);
        }
        outputs.push(stage.close(dns)?);

        let json = manifest(&outputs);
        let manifest_sha256 = hex(&Sha256::digest(&json));
        let write = || {
            let mut file = File::create(stage.path.join(MANIFEST))?;
            file.write_all(&json)?;
            file.sync_all()
        };
        write().map_err(|error| stage.failed(MANIFEST, &error))?;
        let folder = stage.target.clone();
        stage.land(&outputs)?;
        Ok(Published { folder, outputs, manifest_sha256 })
    }
}

impl Folder {
    /// Gives the folder up, but leaves the rows that it has where they are, for whoever can use rows without a manifest. Says
    /// where.
    pub fn keep_unfinished(self) -> PathBuf {
        let Folder { flows, findings, dns, requirements, mut stage } = self;
        stage.stays = true;
        // As far as there is room.
        drop((flows, findings, dns, requirements));
        stage.path.clone()
    }
}

/// Puts what a killed run left in `folder` itself aside, under a name of its own beside the evidence of others.
pub fn set_aside(folder: &Path, name: &str) -> io::Result<Option<PathBuf>> {
    let stage = folder.join(UNFINISHED);
    match File::open(stage.join(LOCK)) {
        Ok(lock) if lock.try_lock().is_ok() => {
            let aside = folder.join(format!("{name}{UNFINISHED}"));
            fs::rename(stage, &aside).map(|()| Some(aside))
        }
        // Another run is writing it.
        Ok(_) => Ok(None),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Where files grow.
struct Stage {
    target: PathBuf,
    path: PathBuf,
    landing: Landing,
    /// It is not removed where it is not finished.
    stays: bool,
    /// Keeps the lock as long as it is open.
    _lock: File,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Landing {
    /// The stage becomes the folder.
    Rename,
    /// The files go from the stage, which lies in the folder, into the folder.
    MoveEach,
}

impl Stage {
    fn open(target: &Path, overwrite: Overwrite) -> Result<Stage, WriteError> {
        let refuse = |reason: &str| WriteError { path: target.to_owned(), reason: reason.to_owned() };
        let failed = |error: io::Error| WriteError::new(target, &error);
        let (path, landing) = match fs::read_dir(target) {
            Ok(entries) => {
                if overwrite == Overwrite::Ours && !is_ours(target, entries).map_err(failed)? {
                    return Err(refuse("not empty, and not written by afs-audit; --force writes into it"));
                }
                (target.join(UNFINISHED), Landing::MoveEach)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let stage = beside(target).ok_or_else(|| refuse("not a name for a folder"))?;
                (stage, Landing::Rename)
            }
            Err(error) => return Err(failed(error)),
        };
        let lock = take(&path).map_err(failed)?.ok_or_else(|| refuse("another run is writing it"))?;
        Ok(Stage { target: target.to_owned(), path, landing, stays: false, _lock: lock })
    }

    fn failed(&self, name: &str, error: &io::Error) -> WriteError {
        WriteError::new(&self.target.join(name), error)
    }

    fn table<R: Record>(&self) -> Result<Csv<R, Hashing>, WriteError> {
        Hashing::create(&self.path.join(R::FILE))
            .and_then(Csv::new)
            .map_err(|error| self.failed(R::FILE, &error))
    }

    fn close<R: Record>(&self, table: Csv<R, Hashing>) -> Result<Output, WriteError> {
        let rows = table.rows();
        let close = || {
            let written = table.finish()?;
            written.file.sync_all()?;
            let sha256 = hex(&written.hash.finalize());
            io::Result::Ok(Output { name: R::FILE.to_owned(), rows, bytes: written.bytes, sha256 })
        };
        close().map_err(|error| self.failed(R::FILE, &error))
    }

    fn land(&self, outputs: &[Output]) -> Result<(), WriteError> {
        match self.landing {
            Landing::Rename => {
                fs::remove_file(self.path.join(LOCK)).map_err(|error| self.failed("", &error))?;
                fs::rename(&self.path, &self.target).map_err(|error| self.failed("", &error))?;
            }
            Landing::MoveEach => {
                // From here to the last rename the folder is no evidence: it has no manifest.
                remove(&self.target.join(MANIFEST)).map_err(|error| self.failed(MANIFEST, &error))?;
                for name in TABLES {
                    if outputs.iter().all(|output| output.name != name) {
                        remove(&self.target.join(name)).map_err(|error| self.failed(name, &error))?;
                    }
                }
                for name in outputs.iter().map(|output| output.name.as_str()).chain([MANIFEST]) {
                    fs::rename(self.path.join(name), self.target.join(name))
                        .map_err(|error| self.failed(name, &error))?;
                }
            }
        }
        // A folder's entries reach the disk when the folder is synced; where that cannot be done, they do later.
        if let Ok(folder) = File::open(&self.target) {
            let _ = folder.sync_all();
        }
        Ok(())
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        // After a rename there is nothing left to remove; what cannot be removed is found by the next run.
        if !self.stays {
            let _ = fs::remove_dir_all(&self.path);
        }
    }
}

/// A stage for us alone, locked; none when another run holds it. What a killed run left there is removed.
fn take(path: &Path) -> io::Result<Option<File>> {
    let leftover = path.join(LOCK);
    match File::open(&leftover) {
        Ok(lock) if lock.try_lock().is_err() => return Ok(None),
        Ok(_) => fs::remove_dir_all(path)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    fs::create_dir_all(path)?;
    let lock = File::create(&leftover)?;
    Ok(lock.try_lock().is_ok().then_some(lock))
}

/// True for an empty folder, and for one that a run of ours finished or left behind. What a run that was killed left beside
/// is nobody's.
fn is_ours(folder: &Path, entries: fs::ReadDir) -> io::Result<bool> {
    let mut empty = true;
    for entry in entries {
        let name = entry?.file_name();
        let is_left = name.to_string_lossy().ends_with(UNFINISHED) && folder.join(&name).join(LOCK).is_file();
        if name == UNFINISHED && is_left {
            return Ok(true);
        }
        empty &= is_left;
    }
    Ok(empty || fs::read(folder.join(MANIFEST)).is_ok_and(|json| Written::parse(&json).is_some()))
}

/// Removes a file that may not be there.
fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// A file that knows the hash of what was written into it.
pub(super) struct Hashing {
    file: File,
    hash: Sha256,
    bytes: u64,
}

impl Hashing {
    fn create(path: &Path) -> io::Result<Hashing> {
        Ok(Hashing { file: File::create(path)?, hash: Sha256::new(), bytes: 0 })
    }
}

impl Write for Hashing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.hash.update(bytes.get(..written).unwrap_or_default());
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// Bytes in lower-case hex.
pub(super) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut out, byte| {
        // Writing into a String cannot fail.
        let _ = write!(out, "{byte:02x}");
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::test_support;

    fn fill(folder: &mut Folder) {
        let names = test_support::names();
        folder.flow(&test_support::flow(), &names).unwrap();
        folder.dns(&test_support::dns(), &names).unwrap();
        folder.finding(&test_support::finding(), &names).unwrap();
    }

    fn finish(folder: Folder) -> Published {
        folder.finish(|_| br#"{"tool":{"name":"afs-audit"}}"#.to_vec()).unwrap()
    }

    fn check(folder: &Path, expected: &[&str]) {
        let mut names: Vec<String> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        assert_eq!(names, expected);
    }

    #[test]
    fn appears_whole() {
        let parent = tempfile::tempdir().unwrap();
        let target = parent.path().join("deep/evidence");
        let mut folder = Folder::open(&target, Overwrite::Ours).unwrap();
        fill(&mut folder);
        assert!(!target.exists());
        let landed = finish(folder);
        check(&target, &["dns.csv", "findings.csv", "flows.csv", "manifest.json"]);
        check(target.parent().unwrap(), &["evidence"]);
        let flows = fs::read(target.join("flows.csv")).unwrap();
        let said = &landed.outputs[0];
        assert_eq!((said.name.as_str(), said.rows, said.bytes), ("flows.csv", 1, flows.len() as u64));
        assert_eq!(said.sha256, hex(&Sha256::digest(&flows)));
    }

    #[test]
    fn a_run_that_dies_leaves_nothing() {
        let parent = tempfile::tempdir().unwrap();
        let target = parent.path().join("evidence");
        let mut folder = Folder::open(&target, Overwrite::Ours).unwrap();
        fill(&mut folder);
        drop(folder);
        check(parent.path(), &[]);
    }

    #[test]
    fn what_a_killed_run_left_does_not_stop_the_next() {
        let parent = tempfile::tempdir().unwrap();
        let target = parent.path().join("evidence");
        let stage = parent.path().join("evidence.unfinished");
        fs::create_dir(&stage).unwrap();
        fs::write(stage.join(LOCK), "").unwrap();
        fs::write(stage.join("requirements.csv"), "old").unwrap();
        let first = Folder::open(&target, Overwrite::Ours).unwrap();
        let second = Folder::open(&target, Overwrite::Ours).err().unwrap();
        assert_eq!(second.reason, "another run is writing it");
        finish(first);
        check(&target, &["dns.csv", "findings.csv", "flows.csv", "manifest.json"]);
        check(parent.path(), &["evidence"]);
    }

    #[test]
    fn what_a_killed_run_left_can_be_kept() {
        let parent = tempfile::tempdir().unwrap();
        let target = parent.path();
        let mut folder = Folder::open(target, Overwrite::Ours).unwrap();
        fill(&mut folder);
        assert_eq!(set_aside(target, "early").unwrap(), None, "it is being written");
        assert_eq!(folder.keep_unfinished(), target.join(UNFINISHED));
        let aside = set_aside(target, "early").unwrap().unwrap();
        check(&aside, &["dns.csv", "findings.csv", "flows.csv", LOCK]);
        let rows = fs::read_to_string(aside.join(FlowRow::FILE)).unwrap();
        assert_eq!(rows.lines().count(), 2, "a header and a row");
        assert_eq!(set_aside(target, "late").unwrap(), None, "nothing is left");
        let mut folder = Folder::open(target, Overwrite::Ours).unwrap();
        fill(&mut folder);
        finish(folder);
        check(target, &["dns.csv", "early.unfinished", "findings.csv", "flows.csv", "manifest.json"]);
    }

    #[test]
    fn our_own_earlier_evidence_is_replaced() {
        let parent = tempfile::tempdir().unwrap();
        let target = parent.path().join("evidence");
        let mut folder = Folder::open(&target, Overwrite::Ours).unwrap();
        folder.requirement(&test_support::requirement(), &test_support::names()).unwrap();
        finish(folder);
        assert!(target.join("requirements.csv").exists());
        let mut folder = Folder::open(&target, Overwrite::Ours).unwrap();
        fill(&mut folder);
        assert!(target.join("requirements.csv").exists(), "the old set is whole until the new one is");
        finish(folder);
        check(&target, &["dns.csv", "findings.csv", "flows.csv", "manifest.json"]);
    }

    #[test]
    fn a_strangers_folder_is_refused() {
        let target = tempfile::tempdir().unwrap();
        fs::write(target.path().join("manifest.json"), "{}").unwrap();
        fs::write(target.path().join("thesis.txt"), "only copy").unwrap();
        let refused = Folder::open(target.path(), Overwrite::Ours).err().unwrap();
        assert!(refused.to_string().starts_with("cannot write evidence: "), "{refused}");
        finish(Folder::open(target.path(), Overwrite::Any).unwrap());
        check(target.path(), &["dns.csv", "findings.csv", "flows.csv", "manifest.json", "thesis.txt"]);
    }

    #[test]
    fn a_file_is_no_folder() {
        let parent = tempfile::tempdir().unwrap();
        let target = parent.path().join("file");
        fs::write(&target, "").unwrap();
        assert!(Folder::open(&target, Overwrite::Any).is_err());
        assert!(Folder::open(&target.join("below"), Overwrite::Any).is_err());
    }

    /// `/dev/full` says what a full disk says.
    #[test]
    #[cfg(target_os = "linux")]
    fn a_full_disk_names_the_file() {
        let file = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let mut table = Csv::<FlowRow, _>::new(Hashing { file, hash: Sha256::new(), bytes: 0 }).unwrap();
        let error = table.flush().unwrap_err();
        let said = WriteError::new(Path::new("evidence/flows.csv"), &error).to_string();
        assert_eq!(said, "cannot write evidence: evidence/flows.csv: no space left on the disk");
    }
}

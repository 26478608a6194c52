//! The evidence folder of `-o DIR`.
//!
//! In:  records, and at the end the manifest.
//! Out: the folder, complete or not at all: files are written in a staging folder and moved at the end.
//! Not: overwriting a folder that is not evidence.
//!
//! A folder that does not exist yet appears by one rename. Into an existing one (a mounted volume, earlier evidence) the files are
//! moved one by one, the manifest last: a folder without a manifest is not evidence.

use std::fs;
use std::fs::File;
use std::io;
use std::io::Write;
use std::path::Path;
use std::path::PathBuf;

use sha2::Digest as _;
use sha2::Sha256;

use super::column::TableRow;
use super::input_names::InputNames;
use super::manifest::MANIFEST;
use super::manifest::OutputFile;
use super::manifest::StoredManifest;
use super::table::CsvTable;
use super::write_error::WriteError;
use crate::judge::DnsRow;
use crate::judge::FindingRow;
use crate::judge::FlowRow;
use crate::judge::RequirementRow;

/// The tables of an evidence folder, in the order of the manifest.
const TABLES: [&str; 4] = [FlowRow::FILE, FindingRow::FILE, RequirementRow::FILE, DnsRow::FILE];

/// Name of the staging folder inside a folder that exists; suffix of its name beside one that does not.
pub const UNFINISHED: &str = ".unfinished";

/// The staging folder of a folder that does not exist yet; none if the path has no file name.
fn staging_beside(folder: &Path) -> Option<PathBuf> {
    let mut name = folder.file_name()?.to_owned();
    name.push(UNFINISHED);
    Some(folder.with_file_name(name))
}

/// Where a run writes the files of `folder`: in it, and until they are complete perhaps beside it.
pub fn staging_places(folder: &Path) -> Vec<PathBuf> {
    std::iter::once(folder.to_owned()).chain(staging_beside(folder)).collect()
}

/// The file that a run locks while it writes. Without the lock, the staging folder is left over from a killed run.
const LOCK: &str = "lock";

/// Which existing folders may be written into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overwrite {
    /// Empty folders and earlier evidence.
    EvidenceOnly,
    /// Any folder; other files in it are kept.
    AnyFolder,
}

/// An evidence folder that is being written. Dropped before [`EvidenceFolder::finish`], it leaves nothing.
pub struct EvidenceFolder {
    flows: CsvTable<FlowRow, HashedFile>,
    findings: CsvTable<FindingRow, HashedFile>,
    dns: CsvTable<DnsRow, HashedFile>,
    /// Created with its first row.
    requirements: Option<CsvTable<RequirementRow, HashedFile>>,
    staging: Staging,
}

/// A complete evidence folder.
#[derive(Clone, Debug)]
pub struct Published {
    /// Its path.
    pub folder: PathBuf,
    /// Its files, except the manifest.
    pub outputs: Vec<OutputFile>,
    /// SHA-256 of the manifest. A copy kept elsewhere proves the integrity of the folder.
    pub manifest_sha256: String,
}

impl EvidenceFolder {
    /// Creates the staging folder. Fails if the folder cannot be written.
    pub fn open(folder: &Path, overwrite: Overwrite) -> Result<EvidenceFolder, WriteError> {
        let staging = Staging::open(folder, overwrite)?;
        Ok(EvidenceFolder {
            flows: staging.table()?,
            findings: staging.table()?,
            dns: staging.table()?,
            requirements: None,
            staging,
        })
    }

    /// Adds a row to `flows.csv`.
    pub fn flow(&mut self, row: &FlowRow, names: &InputNames) -> Result<(), WriteError> {
        self.flows.write(row, names).map_err(|error| self.staging.failed(FlowRow::FILE, &error))
    }

    /// Adds a row to `dns.csv`.
    pub fn dns(&mut self, row: &DnsRow, names: &InputNames) -> Result<(), WriteError> {
        self.dns.write(row, names).map_err(|error| self.staging.failed(DnsRow::FILE, &error))
    }

    /// Adds a row to `findings.csv`.
    pub fn finding(&mut self, row: &FindingRow, names: &InputNames) -> Result<(), WriteError> {
        self.findings.write(row, names).map_err(|error| self.staging.failed(FindingRow::FILE, &error))
    }

    /// Adds a row to `requirements.csv`.
    pub fn requirement(&mut self, row: &RequirementRow, names: &InputNames) -> Result<(), WriteError> {
        let table = match &mut self.requirements {
            Some(table) => table,
            none => none.insert(self.staging.table()?),
        };
        table.write(row, names).map_err(|error| self.staging.failed(RequirementRow::FILE, &error))
    }

    /// Writes the manifest that `manifest` returns for the outputs, and publishes the folder.
    pub fn finish(self, manifest: impl FnOnce(&[OutputFile]) -> Vec<u8>) -> Result<Published, WriteError> {
        let EvidenceFolder { flows, findings, dns, requirements, staging } = self;
        let mut outputs = vec![staging.close(flows)?, staging.close(findings)?];
        if let Some(requirements) = requirements {
            outputs.push(staging.close(requirements)?);
        }
        outputs.push(staging.close(dns)?);

        let json = manifest(&outputs);
        let manifest_sha256 = hex(&Sha256::digest(&json));
        let write = || {
            let mut file = File::create(staging.path.join(MANIFEST))?;
            file.write_all(&json)?;
            file.sync_all()
        };
        write().map_err(|error| staging.failed(MANIFEST, &error))?;
        let folder = staging.target.clone();
        staging.publish(&outputs)?;
        Ok(Published { folder, outputs, manifest_sha256 })
    }

    /// Abandons the folder, but keeps the rows written so far: they are of use even without a manifest. Returns where they are.
    pub fn keep_unfinished(self) -> PathBuf {
        let EvidenceFolder { flows, findings, dns, requirements, mut staging } = self;
        staging.is_kept = true;
        // Dropping flushes the buffers, as far as the disk has space.
        drop((flows, findings, dns, requirements));
        staging.path.clone()
    }
}

/// Renames the staging folder that a killed run left in `folder`, so that the next run does not remove it.
pub fn set_aside(folder: &Path, name: &str) -> io::Result<Option<PathBuf>> {
    let staging = folder.join(UNFINISHED);
    match File::open(staging.join(LOCK)) {
        Ok(lock) if lock.try_lock().is_ok() => {
            let aside = folder.join(format!("{name}{UNFINISHED}"));
            fs::rename(staging, &aside).map(|()| Some(aside))
        }
        // Another run is writing to it.
        Ok(_) => Ok(None),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// A folder in which the files are written until they are complete.
struct Staging {
    target: PathBuf,
    path: PathBuf,
    mode: PublishMode,
    /// Not removed when dropped.
    is_kept: bool,
    /// Holds the lock while it is open.
    _lock: File,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum PublishMode {
    /// The staging folder becomes the folder.
    RenameFolder,
    /// The staging folder is in the folder; its files are moved up.
    MoveFiles,
}

impl Staging {
    fn open(target: &Path, overwrite: Overwrite) -> Result<Staging, WriteError> {
        let refuse = |reason: &str| WriteError { path: target.to_owned(), reason: reason.to_owned() };
        let failed = |error: io::Error| WriteError::new(target, &error);
        let (path, mode) = match fs::read_dir(target) {
            Ok(entries) => {
                if overwrite == Overwrite::EvidenceOnly
                    && !is_empty_or_evidence(target, entries).map_err(failed)?
                {
                    return Err(refuse("not empty, and not written by afs-audit; --force writes into it"));
                }
                (target.join(UNFINISHED), PublishMode::MoveFiles)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let staging = staging_beside(target).ok_or_else(|| refuse("not a folder name"))?;
                (staging, PublishMode::RenameFolder)
            }
            Err(error) => return Err(failed(error)),
        };
        let lock =
            create_locked(&path).map_err(failed)?.ok_or_else(|| refuse("another run is writing to it"))?;
        Ok(Staging { target: target.to_owned(), path, mode, is_kept: false, _lock: lock })
    }

    fn failed(&self, name: &str, error: &io::Error) -> WriteError {
        WriteError::new(&self.target.join(name), error)
    }

    fn table<R: TableRow>(&self) -> Result<CsvTable<R, HashedFile>, WriteError> {
        HashedFile::create(&self.path.join(R::FILE))
            .and_then(CsvTable::new)
            .map_err(|error| self.failed(R::FILE, &error))
    }

    fn close<R: TableRow>(&self, table: CsvTable<R, HashedFile>) -> Result<OutputFile, WriteError> {
        let rows = table.rows();
        let close = || {
            let written = table.finish()?;
            written.file.sync_all()?;
            let sha256 = hex(&written.hash.finalize());
            io::Result::Ok(OutputFile { name: R::FILE.to_owned(), rows, bytes: written.bytes, sha256 })
        };
        close().map_err(|error| self.failed(R::FILE, &error))
    }

    fn publish(&self, outputs: &[OutputFile]) -> Result<(), WriteError> {
        match self.mode {
            PublishMode::RenameFolder => {
                fs::remove_file(self.path.join(LOCK)).map_err(|error| self.failed("", &error))?;
                fs::rename(&self.path, &self.target).map_err(|error| self.failed("", &error))?;
            }
            PublishMode::MoveFiles => {
                // From here to the last rename the folder has no manifest, and so is not evidence.
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
        // Syncs the folder's entries. Where that is not possible, the system does it later.
        if let Ok(folder) = File::open(&self.target) {
            let _ = folder.sync_all();
        }
        Ok(())
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        // After a rename there is nothing to remove. What cannot be removed, the next run removes.
        if !self.is_kept {
            let _ = fs::remove_dir_all(&self.path);
        }
    }
}

/// Creates and locks a staging folder; none if another run holds the lock. What a killed run left is removed.
fn create_locked(path: &Path) -> io::Result<Option<File>> {
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

/// Whether a folder is empty or was written by a run, complete or not. Subfolders that killed runs left do not count as content.
fn is_empty_or_evidence(folder: &Path, entries: fs::ReadDir) -> io::Result<bool> {
    let mut is_empty = true;
    for entry in entries {
        let name = entry?.file_name();
        let is_leftover =
            name.to_string_lossy().ends_with(UNFINISHED) && folder.join(&name).join(LOCK).is_file();
        if name == UNFINISHED && is_leftover {
            return Ok(true);
        }
        is_empty &= is_leftover;
    }
    Ok(is_empty || fs::read(folder.join(MANIFEST)).is_ok_and(|json| StoredManifest::parse(&json).is_some()))
}

/// Removes a file if it exists.
fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// A file, with the hash of what was written to it.
pub(super) struct HashedFile {
    file: File,
    hash: Sha256,
    bytes: u64,
}

impl HashedFile {
    fn create(path: &Path) -> io::Result<HashedFile> {
        Ok(HashedFile { file: File::create(path)?, hash: Sha256::new(), bytes: 0 })
    }
}

impl Write for HashedFile {
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

    fn fill(folder: &mut EvidenceFolder) {
        let names = test_support::names();
        folder.flow(&test_support::flow(), &names).unwrap();
        folder.dns(&test_support::dns(), &names).unwrap();
        folder.finding(&test_support::finding(), &names).unwrap();
    }

    fn finish(folder: EvidenceFolder) -> Published {
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
    fn a_folder_appears_complete() {
        let parent = tempfile::tempdir().unwrap();
        let target = parent.path().join("deep/evidence");
        let mut folder = EvidenceFolder::open(&target, Overwrite::EvidenceOnly).unwrap();
        fill(&mut folder);
        assert!(!target.exists());
        let published = finish(folder);
        check(&target, &["dns.csv", "findings.csv", "flows.csv", "manifest.json"]);
        check(target.parent().unwrap(), &["evidence"]);
        let flows = fs::read(target.join("flows.csv")).unwrap();
        let output = &published.outputs[0];
        assert_eq!((output.name.as_str(), output.rows, output.bytes), ("flows.csv", 1, flows.len() as u64));
        assert_eq!(output.sha256, hex(&Sha256::digest(&flows)));
    }

    #[test]
    fn a_failed_run_leaves_nothing() {
        let parent = tempfile::tempdir().unwrap();
        let target = parent.path().join("evidence");
        let mut folder = EvidenceFolder::open(&target, Overwrite::EvidenceOnly).unwrap();
        fill(&mut folder);
        drop(folder);
        check(parent.path(), &[]);
    }

    #[test]
    fn leftovers_of_a_killed_run_are_replaced() {
        let parent = tempfile::tempdir().unwrap();
        let target = parent.path().join("evidence");
        let stage = parent.path().join("evidence.unfinished");
        fs::create_dir(&stage).unwrap();
        fs::write(stage.join(LOCK), "").unwrap();
        fs::write(stage.join("requirements.csv"), "old").unwrap();
        let first = EvidenceFolder::open(&target, Overwrite::EvidenceOnly).unwrap();
        let second = EvidenceFolder::open(&target, Overwrite::EvidenceOnly).err().unwrap();
        assert_eq!(second.reason, "another run is writing to it");
        finish(first);
        check(&target, &["dns.csv", "findings.csv", "flows.csv", "manifest.json"]);
        check(parent.path(), &["evidence"]);
    }

    #[test]
    fn leftovers_of_a_killed_run_can_be_kept() {
        let parent = tempfile::tempdir().unwrap();
        let target = parent.path();
        let mut folder = EvidenceFolder::open(target, Overwrite::EvidenceOnly).unwrap();
        fill(&mut folder);
        assert_eq!(set_aside(target, "early").unwrap(), None, "a run holds the lock");
        assert_eq!(folder.keep_unfinished(), target.join(UNFINISHED));
        let aside = set_aside(target, "early").unwrap().unwrap();
        check(&aside, &["dns.csv", "findings.csv", "flows.csv", LOCK]);
        let rows = fs::read_to_string(aside.join(FlowRow::FILE)).unwrap();
        assert_eq!(rows.lines().count(), 2, "a header and a row");
        assert_eq!(set_aside(target, "late").unwrap(), None, "there is nothing to keep");
        let mut folder = EvidenceFolder::open(target, Overwrite::EvidenceOnly).unwrap();
        fill(&mut folder);
        finish(folder);
        check(target, &["dns.csv", "early.unfinished", "findings.csv", "flows.csv", "manifest.json"]);
    }

    #[test]
    fn earlier_evidence_is_replaced() {
        let parent = tempfile::tempdir().unwrap();
        let target = parent.path().join("evidence");
        let mut folder = EvidenceFolder::open(&target, Overwrite::EvidenceOnly).unwrap();
        folder.requirement(&test_support::requirement(), &test_support::names()).unwrap();
        finish(folder);
        assert!(target.join("requirements.csv").exists());
        let mut folder = EvidenceFolder::open(&target, Overwrite::EvidenceOnly).unwrap();
        fill(&mut folder);
        assert!(
            target.join("requirements.csv").exists(),
            "the old evidence stays complete until the new one is"
        );
        finish(folder);
        check(&target, &["dns.csv", "findings.csv", "flows.csv", "manifest.json"]);
    }

    #[test]
    fn a_folder_with_other_files_is_refused() {
        let target = tempfile::tempdir().unwrap();
        fs::write(target.path().join("manifest.json"), "{}").unwrap();
        fs::write(target.path().join("thesis.txt"), "only copy").unwrap();
        let refused = EvidenceFolder::open(target.path(), Overwrite::EvidenceOnly).err().unwrap();
        assert!(refused.to_string().starts_with("cannot write evidence: "), "{refused}");
        finish(EvidenceFolder::open(target.path(), Overwrite::AnyFolder).unwrap());
        check(target.path(), &["dns.csv", "findings.csv", "flows.csv", "manifest.json", "thesis.txt"]);
    }

    #[test]
    fn a_file_is_refused() {
        let parent = tempfile::tempdir().unwrap();
        let target = parent.path().join("file");
        fs::write(&target, "").unwrap();
        assert!(EvidenceFolder::open(&target, Overwrite::AnyFolder).is_err());
        assert!(EvidenceFolder::open(&target.join("below"), Overwrite::AnyFolder).is_err());
    }

    /// `/dev/full` fails like a full disk.
    #[test]
    #[cfg(target_os = "linux")]
    fn a_full_disk_names_the_file() {
        let file = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let mut table =
            CsvTable::<FlowRow, _>::new(HashedFile { file, hash: Sha256::new(), bytes: 0 }).unwrap();
        let error = table.flush().unwrap_err();
        let message = WriteError::new(Path::new("evidence/flows.csv"), &error).to_string();
        assert_eq!(message, "cannot write evidence: evidence/flows.csv: no space left on the disk");
    }
}

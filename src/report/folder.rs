//! The evidence folder of `-o DIR`.
//!
//! In:  records, and at the end the manifest.
//! Out: the folder, complete or not at all.
//! Not: where the files are until they are complete; see `staging`.

use std::fs::File;
use std::io;
use std::io::Read;
use std::io::Write;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::thread::JoinHandle;

use serde::Serialize;
use sha2::Digest as _;
use sha2::Sha256;

use super::background_sync::BackgroundSync;
use super::collapse::RowLimit;
use super::column::TableRow;
use super::html::CaptureSpan;
use super::html::PageModel;
use super::html::REPORT;
use super::html::render;
use super::input_names::InputNames;
use super::kept_rows;
use super::kept_rows::KeptColumns;
use super::kept_rows::KeptRows;
use super::manifest::MANIFEST;
use super::manifest::OutputFile;
use super::staging::FolderOptions;
use super::staging::Staging;
use super::stored::ReadError;
use super::stored::StoredEvidence;
use super::table::CsvTable;
use super::write_error::WriteError;
use crate::facts::FACTS;
use crate::facts::FactsHeader;
use crate::facts::FactsWriter;
use crate::judge::DnsRow;
use crate::judge::FindingRow;
use crate::judge::FlowRow;
use crate::judge::RequirementRow;

/// The capture of the frames that prove findings.
pub const EVIDENCE_FRAMES: &str = "evidence.pcapng";

/// The signature of the manifest.
pub const SIGNATURE: &str = "manifest.json.sig";

/// The names of the files of an evidence folder.
pub(super) const FILES: &[&str] = &[
    FlowRow::FILE,
    FindingRow::FILE,
    RequirementRow::FILE,
    DnsRow::FILE,
    FACTS,
    EVIDENCE_FRAMES,
    REPORT,
    MANIFEST,
    SIGNATURE,
];

/// An evidence folder that is being written. Dropped before [`EvidenceFolder::finish`], it leaves nothing.
pub struct EvidenceFolder {
    flows: CsvTable<FlowRow, HashedFile>,
    findings: CsvTable<FindingRow, HashedFile>,
    dns: CsvTable<DnsRow, HashedFile>,
    /// Created with its first row.
    requirements: Option<CsvTable<RequirementRow, HashedFile>>,
    facts: StoredFacts,
    limit: Option<RowLimit>,
    syncs: BackgroundSync,
    staging: Staging,
}

/// The facts file of a folder.
enum StoredFacts {
    None,
    Open(Box<FactsWriter<HashedFile>>),
    Complete(OutputFile),
}

/// An evidence folder whose tables are complete. Dropped before [`ClosedFolder::finish`], it leaves nothing.
pub struct ClosedFolder {
    staging: Staging,
    syncs: BackgroundSync,
    outputs: Vec<OutputFile>,
    kept: Arc<[Box<KeptRows>]>,
    /// Reads the tables for the page, while the frames that prove findings are copied.
    page: JoinHandle<Result<PageModel, ReadError>>,
    /// Rows that were left out because of a limit, a sentence each.
    pub limits_reached: Vec<String>,
}

impl ClosedFolder {
    /// The tables, without a manifest.
    pub fn evidence(&self) -> Result<StoredEvidence, WriteError> {
        tables(&self.staging, &self.kept)
    }

    /// Adds the capture of the frames that prove findings; `write` writes its bytes.
    pub fn add_evidence_frames(
        &mut self,
        frames: u64,
        write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
    ) -> Result<(), WriteError> {
        let mut file = HashedFile::create(&self.staging, EVIDENCE_FRAMES)?;
        let written = write(&mut file).and_then(|()| file.finish(EVIDENCE_FRAMES, frames, &mut self.syncs));
        self.outputs.push(written.map_err(|error| {
            // A live run completes its folder without it.
            self.staging.discard(EVIDENCE_FRAMES);
            self.staging.failed(EVIDENCE_FRAMES, &error)
        })?);
        Ok(())
    }

    /// Writes the page and the manifest that `manifest` returns for the outputs, and publishes the folder.
    pub fn finish(self, manifest: impl Fn(&[OutputFile]) -> Vec<u8>) -> Result<Published, WriteError> {
        let ClosedFolder { staging, mut syncs, mut outputs, kept: _, page, limits_reached: _ } = self;
        let model = page
            .join()
            .map_err(|_| unreadable(&staging, "the thread ended early"))?
            .map_err(|error| unreadable(&staging, &error.reason))?;
        let described = serde_json::from_slice(&manifest(&outputs))
            .map_err(|_| unreadable(&staging, "the manifest is not JSON"))?;
        outputs.push(write(&staging, &mut syncs, REPORT, render(&described, &model).as_bytes(), 0)?);
        syncs.finish().map_err(|(name, error)| staging.failed(&name, &error))?;
        let json = manifest(&outputs);
        let manifest_sha256 = hex(&Sha256::digest(&json));
        let mut file = staging.create(MANIFEST)?;
        file.write_all(&json)
            .and_then(|()| file.sync_all())
            .map_err(|error| staging.failed(MANIFEST, &error))?;
        let folder = staging.target().to_owned();
        let names: Vec<&str> = outputs.iter().map(|output| output.name.as_str()).chain([MANIFEST]).collect();
        staging.publish(&names)?;
        Ok(Published { folder, outputs, manifest_sha256 })
    }
}

/// The tables of a folder that is being written, without a manifest.
fn tables(staging: &Staging, kept: &Arc<[Box<KeptRows>]>) -> Result<StoredEvidence, WriteError> {
    let read = staging.reader().map_err(|error| staging.failed(MANIFEST, &error))?;
    Ok(StoredEvidence::staged(staging.target(), read, Arc::clone(kept)))
}

fn unreadable(staging: &Staging, reason: &str) -> WriteError {
    WriteError { path: staging.target().join(REPORT), reason: format!("cannot read back: {reason}") }
}

fn write(
    staging: &Staging,
    syncs: &mut BackgroundSync,
    name: &str,
    bytes: &[u8],
    rows: u64,
) -> Result<OutputFile, WriteError> {
    let mut file = HashedFile::create(staging, name)?;
    let written = file.write_all(bytes).and_then(|()| file.finish(name, rows, syncs));
    written.map_err(|error| staging.failed(name, &error))
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
    pub fn open(folder: &Path, options: FolderOptions) -> Result<EvidenceFolder, WriteError> {
        let staging = Staging::open(folder, options, FILES)?;
        let kept_bytes = options.kept_bytes;
        Ok(EvidenceFolder {
            flows: kept_table(&staging, &kept_rows::FLOWS, kept_bytes)?,
            findings: kept_table(&staging, &kept_rows::FINDINGS, kept_bytes)?,
            dns: kept_table(&staging, &kept_rows::DNS, kept_bytes)?,
            requirements: None,
            facts: StoredFacts::None,
            limit: options.max_bytes.map(RowLimit::new),
            syncs: BackgroundSync::default(),
            staging,
        })
    }

    /// Bytes of the rows so far.
    fn bytes(&self) -> u64 {
        let requirements = self.requirements.as_ref().map_or(0, CsvTable::bytes);
        self.flows.bytes() + self.findings.bytes() + self.dns.bytes() + requirements
    }

    /// Rows that were left out because of the limit, a sentence each.
    pub fn limits_reached(&self) -> Vec<String> {
        self.limit.as_ref().map(RowLimit::sentences).unwrap_or_default()
    }

    /// Adds a row to `flows.csv`.
    pub fn flow(&mut self, row: &FlowRow, names: &InputNames) -> Result<(), WriteError> {
        let written = self.bytes();
        if self.limit.as_mut().is_some_and(|limit| !limit.takes_flow(row, written)) {
            return Ok(());
        }
        self.flows.write(row, names).map_err(|error| self.staging.failed(FlowRow::FILE, &error))
    }

    /// Adds a row to `dns.csv`.
    pub fn dns(&mut self, row: &DnsRow, names: &InputNames) -> Result<(), WriteError> {
        let written = self.bytes();
        if self.limit.as_mut().is_some_and(|limit| !limit.takes_dns(row, written)) {
            return Ok(());
        }
        self.dns.write(row, names).map_err(|error| self.staging.failed(DnsRow::FILE, &error))
    }

    /// Adds a row to `findings.csv`.
    pub fn finding(&mut self, row: &FindingRow, names: &InputNames) -> Result<(), WriteError> {
        let written = self.bytes();
        if self.limit.as_mut().is_some_and(|limit| !limit.takes_other(written)) {
            return Ok(());
        }
        self.findings.write(row, names).map_err(|error| self.staging.failed(FindingRow::FILE, &error))
    }

    /// Adds a row to `requirements.csv`.
    pub fn requirement(&mut self, row: &RequirementRow, names: &InputNames) -> Result<(), WriteError> {
        let written = self.bytes();
        if self.limit.as_mut().is_some_and(|limit| !limit.takes_other(written)) {
            return Ok(());
        }
        let table = match &mut self.requirements {
            Some(table) => table,
            none => none.insert(table(&self.staging)?),
        };
        table.write(row, names).map_err(|error| self.staging.failed(RequirementRow::FILE, &error))
    }

    /// Whether the folder has a facts file. It grows with every packet of a flood, so bounded evidence has none.
    pub fn stores_facts(&self) -> bool {
        self.limit.is_none()
    }

    /// Begins the facts file.
    pub fn begin_facts(&mut self, header: &FactsHeader) -> Result<(), WriteError> {
        if !self.stores_facts() {
            return Ok(());
        }
        let file = HashedFile::create(&self.staging, FACTS)?;
        let writer = FactsWriter::new(file, header).map_err(|error| self.staging.failed(FACTS, &error))?;
        self.facts = StoredFacts::Open(Box::new(writer));
        Ok(())
    }

    /// Adds a chunk of facts.
    pub fn facts(&mut self, chunk: &[u8]) -> Result<(), WriteError> {
        match &mut self.facts {
            StoredFacts::Open(writer) => {
                writer.chunk(chunk).map_err(|error| self.staging.failed(FACTS, &error))
            }
            StoredFacts::None | StoredFacts::Complete(_) => Ok(()),
        }
    }

    /// Ends the facts file with what else is known of the run.
    pub fn end_facts(&mut self, end: &impl Serialize) -> Result<(), WriteError> {
        if let StoredFacts::Open(writer) = std::mem::replace(&mut self.facts, StoredFacts::None) {
            let file = writer.finish(end).and_then(|file| file.finish(FACTS, 0, &mut self.syncs));
            self.facts = StoredFacts::Complete(file.map_err(|error| self.staging.failed(FACTS, &error))?);
        }
        Ok(())
    }

    /// Writes the rows that stand for several, after the last row.
    pub fn write_collapsed(&mut self, names: &InputNames) -> Result<(), WriteError> {
        let (flows, dns) = self.limit.as_mut().map(RowLimit::take_rows).unwrap_or_default();
        for row in &flows {
            self.flows.write(row, names).map_err(|error| self.staging.failed(FlowRow::FILE, &error))?;
        }
        for row in &dns {
            self.dns.write(row, names).map_err(|error| self.staging.failed(DnsRow::FILE, &error))?;
        }
        Ok(())
    }

    /// Copies the facts file of an earlier run.
    pub fn copy_facts(&mut self, mut from: impl Read) -> Result<(), WriteError> {
        let mut file = HashedFile::create(&self.staging, FACTS)?;
        let copied = io::copy(&mut from, &mut file).and_then(|_| file.finish(FACTS, 0, &mut self.syncs));
        self.facts = StoredFacts::Complete(copied.map_err(|error| self.staging.failed(FACTS, &error))?);
        Ok(())
    }

    /// Completes the tables of a run over the capture of `span`.
    pub fn close(self, span: Option<CaptureSpan>) -> Result<ClosedFolder, WriteError> {
        let limits_reached = self.limits_reached();
        let EvidenceFolder {
            mut flows,
            mut findings,
            mut dns,
            requirements,
            facts,
            limit: _,
            mut syncs,
            staging,
        } = self;
        let kept = [flows.take_kept(), findings.take_kept(), dns.take_kept()];
        let kept: Arc<[Box<KeptRows>]> = kept.into_iter().flatten().collect();
        let mut outputs = vec![close(&staging, flows, &mut syncs)?, close(&staging, findings, &mut syncs)?];
        if let Some(requirements) = requirements {
            outputs.push(close(&staging, requirements, &mut syncs)?);
        }
        outputs.push(close(&staging, dns, &mut syncs)?);
        if let StoredFacts::Complete(file) = facts {
            outputs.push(file);
        }
        let evidence = tables(&staging, &kept)?;
        let page = thread::Builder::new()
            .name("page".to_owned())
            .spawn(move || PageModel::read(&evidence, span))
            .map_err(|error| staging.failed(REPORT, &error))?;
        Ok(ClosedFolder { staging, syncs, outputs, kept, page, limits_reached })
    }

    /// Completes the tables, writes the page and the manifest that `manifest` returns for the outputs, and publishes the folder.
    pub fn finish(
        self,
        span: Option<CaptureSpan>,
        manifest: impl Fn(&[OutputFile]) -> Vec<u8>,
    ) -> Result<Published, WriteError> {
        self.close(span)?.finish(manifest)
    }

    /// Abandons the folder, but keeps the rows written so far: they are of use even without a manifest. Returns where they are.
    pub fn keep_unfinished(self) -> PathBuf {
        let EvidenceFolder { flows, findings, dns, requirements, facts, limit: _, syncs: _, staging } = self;
        // Facts without their end cannot be judged: the rows get their space.
        drop(facts);
        staging.discard(FACTS);
        // Dropping flushes the buffers, as far as the disk has space.
        drop((flows, findings, dns, requirements));
        staging.keep()
    }
}

fn table<R: TableRow>(staging: &Staging) -> Result<CsvTable<R, HashedFile>, WriteError> {
    CsvTable::new(HashedFile::create(staging, R::FILE)?).map_err(|error| staging.failed(R::FILE, &error))
}

/// A table whose rows are read again at the end of the run.
fn kept_table<R: TableRow>(
    staging: &Staging,
    columns: &KeptColumns,
    kept_bytes: usize,
) -> Result<CsvTable<R, HashedFile>, WriteError> {
    let mut table = table(staging)?;
    table.keep(columns, kept_bytes);
    Ok(table)
}

fn close<R: TableRow>(
    staging: &Staging,
    table: CsvTable<R, HashedFile>,
    syncs: &mut BackgroundSync,
) -> Result<OutputFile, WriteError> {
    let rows = table.rows();
    let closed = table.finish().and_then(|file| file.finish(R::FILE, rows, syncs));
    closed.map_err(|error| staging.failed(R::FILE, &error))
}

/// A file, with the hash of what was written to it.
pub(super) struct HashedFile {
    file: File,
    hash: Sha256,
    bytes: u64,
}

impl HashedFile {
    fn create(staging: &Staging, name: &str) -> Result<HashedFile, WriteError> {
        Ok(HashedFile { file: staging.create(name)?, hash: Sha256::new(), bytes: 0 })
    }

    /// Completes the file; `syncs` writes it to the disk.
    fn finish(self, name: &str, rows: u64, syncs: &mut BackgroundSync) -> io::Result<OutputFile> {
        syncs.add(name, self.file)?;
        let sha256 = hex(&self.hash.finalize());
        Ok(OutputFile { name: name.to_owned(), rows, bytes: self.bytes, sha256 })
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
    use std::fs;

    use super::*;
    use crate::base::FileId;
    use crate::base::FrameRef;
    use crate::base::Time;
    use crate::judge::Assessment;
    use crate::judge::Confidence;
    use crate::judge::Mechanism;
    use crate::report::Overwrite;
    use crate::report::ProvingFrames;
    use crate::report::UNFINISHED;
    use crate::report::set_aside;
    use crate::report::test_support;

    const FORCE: FolderOptions =
        FolderOptions { overwrite: Overwrite::Force, umask: 0o077, max_bytes: None, kept_bytes: 0 };

    fn fill(folder: &mut EvidenceFolder) {
        let names = test_support::names();
        folder.flow(&test_support::flow(), &names).unwrap();
        folder.dns(&test_support::dns(), &names).unwrap();
        folder.finding(&test_support::finding(), &names).unwrap();
    }

    fn finish(folder: EvidenceFolder) -> Published {
        folder.finish(None, |_| br#"{"tool":{"name":"afs-audit"}}"#.to_vec()).unwrap()
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
        let mut folder = EvidenceFolder::open(&target, FolderOptions::default()).unwrap();
        fill(&mut folder);
        assert!(!target.exists());
        let published = finish(folder);
        check(&target, &["dns.csv", "findings.csv", "flows.csv", "manifest.json", "report.html"]);
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
        let mut folder = EvidenceFolder::open(&target, FolderOptions::default()).unwrap();
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
        fs::write(stage.join("lock"), "").unwrap();
        fs::write(stage.join("requirements.csv"), "old").unwrap();
        let first = EvidenceFolder::open(&target, FolderOptions::default()).unwrap();
        let second = EvidenceFolder::open(&target, FolderOptions::default()).err().unwrap();
        assert_eq!(second.reason, "another run is writing to it");
        finish(first);
        check(&target, &["dns.csv", "findings.csv", "flows.csv", "manifest.json", "report.html"]);
        check(parent.path(), &["evidence"]);
    }

    #[test]
    fn leftovers_of_a_killed_run_can_be_kept() {
        let parent = tempfile::tempdir().unwrap();
        let target = parent.path();
        let mut folder = EvidenceFolder::open(target, FolderOptions::default()).unwrap();
        fill(&mut folder);
        assert_eq!(set_aside(target, "early").unwrap(), None, "a run holds the lock");
        assert_eq!(folder.keep_unfinished(), target.join(UNFINISHED));
        let aside = set_aside(target, "early").unwrap().unwrap();
        check(&aside, &["dns.csv", "findings.csv", "flows.csv", "lock"]);
        let rows = fs::read_to_string(aside.join(FlowRow::FILE)).unwrap();
        assert_eq!(rows.lines().count(), 2, "a header and a row");
        assert_eq!(set_aside(target, "late").unwrap(), None, "there is nothing to keep");
        let mut folder = EvidenceFolder::open(target, FolderOptions::default()).unwrap();
        fill(&mut folder);
        finish(folder);
        check(
            target,
            &["dns.csv", "early.unfinished", "findings.csv", "flows.csv", "manifest.json", "report.html"],
        );
    }

    #[test]
    fn earlier_evidence_is_replaced() {
        let parent = tempfile::tempdir().unwrap();
        let target = parent.path().join("evidence");
        let mut folder = EvidenceFolder::open(&target, FolderOptions::default()).unwrap();
        folder.requirement(&test_support::requirement(), &test_support::names()).unwrap();
        finish(folder);
        assert!(target.join("requirements.csv").exists());
        let mut folder = EvidenceFolder::open(&target, FORCE).unwrap();
        fill(&mut folder);
        assert!(
            target.join("requirements.csv").exists(),
            "the old evidence stays complete until the new one is"
        );
        finish(folder);
        check(&target, &["dns.csv", "findings.csv", "flows.csv", "manifest.json", "report.html"]);
    }

    #[test]
    fn a_folder_with_other_files_is_refused() {
        let target = tempfile::tempdir().unwrap();
        fs::write(target.path().join("manifest.json"), "{}").unwrap();
        fs::write(target.path().join("thesis.txt"), "only copy").unwrap();
        let refused = EvidenceFolder::open(target.path(), FolderOptions::default()).err().unwrap();
        assert!(refused.to_string().starts_with("cannot write evidence: "), "{refused}");
        finish(EvidenceFolder::open(target.path(), FORCE).unwrap());
        check(
            target.path(),
            &["dns.csv", "findings.csv", "flows.csv", "manifest.json", "report.html", "thesis.txt"],
        );
    }

    #[test]
    fn a_file_is_refused() {
        let parent = tempfile::tempdir().unwrap();
        let target = parent.path().join("file");
        fs::write(&target, "").unwrap();
        assert!(EvidenceFolder::open(&target, FORCE).is_err());
        assert!(EvidenceFolder::open(&target.join("below"), FORCE).is_err());
    }

    #[test]
    fn rows_in_memory_and_on_the_disk_give_the_same_page_and_frames() {
        let parent = tempfile::tempdir().unwrap();
        let write = |kept_bytes| {
            let options = FolderOptions { kept_bytes, ..FORCE };
            let mut folder = EvidenceFolder::open(&parent.path().join("evidence"), options).unwrap();
            let names = test_support::names();
            for flow_id in 0..50 {
                let assessment = Assessment::BlockedLooking {
                    mechanism: Mechanism::SilentAfterRequest,
                    confidence: Confidence::Strong,
                };
                let first_frame = FrameRef { file: FileId(0), number: 100 + flow_id };
                let flow = FlowRow { flow_id, first_frame, assessment, ..test_support::flow() };
                folder.flow(&flow, &names).unwrap();
                folder.flow(&FlowRow { destination_verdict: None, ..flow }, &names).unwrap();
                folder.dns(&test_support::dns(), &names).unwrap();
                let message = format!("message {flow_id}, \"quoted\"");
                let frames = [first_frame].into_iter().collect();
                folder.finding(&FindingRow { message, frames, ..test_support::finding() }, &names).unwrap();
            }
            folder.requirement(&test_support::requirement(), &names).unwrap();
            let closed = folder.close(Some((Time(0), Time(1)))).unwrap();
            let frames = ProvingFrames::select(&closed.evidence().unwrap(), &names).unwrap();
            let published = closed.finish(|_| br#"{"tool":{"name":"afs-audit"}}"#.to_vec()).unwrap();
            (format!("{frames:?}"), fs::read_to_string(published.folder.join(REPORT)).unwrap())
        };
        let (frames, page) = write(0);
        assert!(frames.contains("message 49") && frames.contains("flow 49: "), "{frames}");
        assert!(page.contains("kailani1.one.microsoft.com"), "{page}");
        for kept_bytes in [10_000, 40_000, 1 << 20] {
            assert_eq!(write(kept_bytes), (frames.clone(), page.clone()), "{kept_bytes} bytes kept");
        }
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

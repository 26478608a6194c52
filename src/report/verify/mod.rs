//! Verifies the integrity of an evidence folder and of its inputs.
//!
//! In:  an evidence folder.
//! Out: for each file of the folder and each input: unchanged, line endings converted, changed, missing, not of the run, or not
//!      checked; and the hash of the manifest.
//! Not: proof that the manifest is unchanged. That needs a copy of its hash from elsewhere, or a signature.

mod hash;
mod inputs;

use std::collections::HashSet;
use std::fs;
use std::io::Read as _;
use std::path::Path;
use std::path::PathBuf;

use sha2::Digest as _;
use sha2::Sha256;

use super::column::TableRow as _;
use super::folder::FILES;
use super::folder::SIGNATURE;
use super::folder::hex;
use super::html::REPORT;
use super::manifest::MANIFEST;
use super::manifest::MANIFEST_LIMIT;
use super::manifest::OutputFile;
use super::manifest::StoredManifest;
use super::staging::UNFINISHED;
use super::write_error::reason;
use crate::judge::DnsRow;
use crate::judge::FindingRow;
use crate::judge::FlowRow;
use crate::judge::RequirementRow;
use hash::Algorithm;
use hash::LinkPolicy;
use hash::compare;
use hash::open_regular;

/// Outputs in a manifest. A run writes less than ten.
const OUTPUT_LIMIT: usize = 64;

/// Entries of a folder that are read.
const ENTRY_LIMIT: usize = 10_000;

/// Files that every run writes.
const ALWAYS_WRITTEN: [&str; 4] = [FlowRow::FILE, FindingRow::FILE, DnsRow::FILE, REPORT];

/// The state of an evidence folder.
#[derive(Debug)]
pub struct Verification {
    /// According to the manifest, the run did not read all of its input.
    pub is_partial: bool,
    /// The manifest.
    pub manifest: Vec<u8>,
    /// SHA-256 of the manifest.
    pub manifest_sha256: String,
    /// The files: outputs, then what is in the folder besides them, then inputs.
    pub files: Vec<FileCheck>,
    /// Inputs that were not checked because there are too many.
    pub unchecked_inputs: usize,
}

/// A file named in the manifest, or found in the folder.
#[derive(Debug, PartialEq, Eq)]
pub struct FileCheck {
    /// Whether the run wrote it or read it.
    pub role: FileRole,
    /// Its name in the manifest; untrusted.
    pub name: String,
    /// Its state now.
    pub state: FileState,
}

/// What a file was for the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileRole {
    /// The run wrote it.
    Output,
    /// The run read it.
    Input,
}

/// How a file compares with the manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FileState {
    /// Same length and hash.
    Unchanged,
    /// An input with the same length and hash, at another place than the recorded one.
    UnchangedAt(PathBuf),
    /// The hash matches after the line endings are converted back; the endings that the file has.
    LineEndings(&'static str),
    /// Different length or hash, as text.
    Changed(String),
    /// The file does not exist.
    Missing,
    /// Every run writes the file, and the manifest does not list it.
    Unlisted,
    /// The file is in the folder, and the manifest does not list it.
    Foreign,
    /// A folder that a live run named after a time: of another interval, or of a run that did not finish.
    OtherInterval,
    /// Not checked, and why.
    Unchecked(String),
}

impl Verification {
    /// Whether a file changed or does not belong to the run, or an output cannot be checked. A missing input is not a difference:
    /// captures are moved and deleted.
    pub fn differs(&self) -> bool {
        self.files.iter().any(|file| match file.state {
            FileState::Changed(_) | FileState::LineEndings(_) | FileState::Unlisted | FileState::Foreign => {
                true
            }
            FileState::Missing | FileState::Unchecked(_) => file.role == FileRole::Output,
            FileState::Unchanged | FileState::UnchangedAt(_) | FileState::OtherInterval => false,
        })
    }
}

/// The folder cannot be verified.
#[derive(Debug, thiserror::Error)]
#[error("cannot verify: {}: {reason}", path.display())]
pub struct VerifyError {
    /// The file that is missing or wrong.
    pub path: PathBuf,
    /// What is wrong with it.
    pub reason: String,
}

/// Compares the files of an evidence folder and its inputs with the manifest.
pub fn verify_folder(folder: &Path) -> Result<Verification, VerifyError> {
    let (bytes, manifest) = read_manifest(folder)?;
    let mut files = verify_outputs(folder, &manifest)?;
    let unchecked_inputs = manifest.inputs.len().saturating_sub(inputs::LIMIT);
    files.extend(inputs::check(folder, &manifest));
    Ok(Verification {
        is_partial: manifest.partial,
        manifest_sha256: hex(&Sha256::digest(&bytes)),
        manifest: bytes,
        files,
        unchecked_inputs,
    })
}

/// The manifest of a folder: its bytes, and what is read of it.
pub(super) fn read_manifest(folder: &Path) -> Result<(Vec<u8>, StoredManifest), VerifyError> {
    let path = folder.join(MANIFEST);
    let failed = |reason: String| VerifyError { path: path.clone(), reason };
    let file = open_regular(&path, LinkPolicy::Refused).map_err(|error| failed(reason(&error)))?;
    let mut bytes = Vec::new();
    file.take(MANIFEST_LIMIT + 1).read_to_end(&mut bytes).map_err(|error| failed(reason(&error)))?;
    if bytes.len() as u64 > MANIFEST_LIMIT {
        return Err(failed(format!(
            "longer than {} MiB, so not a manifest of afs-audit",
            MANIFEST_LIMIT >> 20
        )));
    }
    match StoredManifest::parse(&bytes) {
        Some(manifest) if manifest.outputs.len() <= OUTPUT_LIMIT => Ok((bytes, manifest)),
        Some(_) => Err(failed(format!("more than {OUTPUT_LIMIT} outputs, so not a manifest of afs-audit"))),
        None => Err(failed("not a manifest of afs-audit".into())),
    }
}

/// Compares the files of a folder with its manifest.
pub(super) fn verify_outputs(
    folder: &Path,
    manifest: &StoredManifest,
) -> Result<Vec<FileCheck>, VerifyError> {
    let check = |output: &OutputFile| {
        // A path instead of a name would lead out of the folder; this program writes none.
        let is_plain = Path::new(&output.name).file_name().is_some_and(|name| name == output.name.as_str());
        if !is_plain {
            return FileState::Unchecked("not a file name".into());
        }
        let path = folder.join(&output.name);
        compare(&path, LinkPolicy::Refused, Some(output.bytes), &(Algorithm::Sha256, output.sha256.clone()))
    };
    let output = |name: &str, state| FileCheck { role: FileRole::Output, name: name.to_owned(), state };
    let mut files: Vec<FileCheck> =
        manifest.outputs.iter().map(|listed| output(&listed.name, check(listed))).collect();
    let listed: HashSet<&str> = manifest.outputs.iter().map(|output| output.name.as_str()).collect();
    let has_requirements = manifest.requirements.values().any(|number| *number > 0);
    let always = ALWAYS_WRITTEN.into_iter().chain(has_requirements.then_some(RequirementRow::FILE));
    let unlisted: Vec<&str> = always.filter(|name| !listed.contains(name)).collect();
    files.extend(unlisted.iter().map(|name| output(name, FileState::Unlisted)));
    let foreign = names_in(folder)?
        .into_iter()
        .filter(|name| !listed.contains(name.as_str()) && !unlisted.contains(&name.as_str()))
        .filter(|name| name != MANIFEST && name != SIGNATURE);
    files.extend(foreign.map(|name| {
        let state = if is_interval(folder, &name) { FileState::OtherInterval } else { FileState::Foreign };
        output(&name, state)
    }));
    Ok(files)
}

/// Whether a file of a folder is not as the manifest describes it, so that it must not be read.
pub(super) fn is_altered(file: &FileCheck) -> bool {
    match file.state {
        FileState::Unchanged | FileState::UnchangedAt(_) | FileState::OtherInterval => false,
        // Another file in the folder is not read.
        FileState::Foreign => FILES.contains(&file.name.as_str()),
        _ => file.role == FileRole::Output,
    }
}

/// Whether an entry is a folder that a live run named after a time: `2026-01-05T08-00-00Z`, with a number where that was taken,
/// `.unfinished` where the run did not finish.
fn is_interval(folder: &Path, name: &str) -> bool {
    let finished = name.strip_suffix(UNFINISHED).unwrap_or(name);
    let Some((time, number)) = finished.split_once('Z') else { return false };
    let is_time = time.len() == "2026-01-05T08-00-00".len()
        && time.bytes().zip("2026-01-05T08-00-00".bytes()).all(|(found, sample)| {
            if sample.is_ascii_digit() { found.is_ascii_digit() } else { found == sample }
        });
    let is_number = number.is_empty()
        || number.strip_prefix('-').is_some_and(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()));
    // A symbolic link is no folder of a run.
    let is_folder = || fs::symlink_metadata(folder.join(name)).is_ok_and(|entry| entry.is_dir());
    is_time && is_number && is_folder()
}

/// The names in a folder, sorted.
fn names_in(folder: &Path) -> Result<Vec<String>, VerifyError> {
    let failed = |reason: String| VerifyError { path: folder.to_owned(), reason };
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).map_err(|error| failed(reason(&error)))? {
        let entry = entry.map_err(|error| failed(reason(&error)))?;
        if names.len() == ENTRY_LIMIT {
            return Err(failed(format!("more than {ENTRY_LIMIT} files, so not an evidence folder")));
        }
        names.push(entry.file_name().to_string_lossy().into_owned());
    }
    names.sort_unstable();
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::EvidenceFolder;
    use crate::report::FolderOptions;
    use crate::report::Invocation;
    use crate::report::Manifest;
    use crate::report::RecordSink;
    use crate::report::RecordStream;
    use crate::report::RunFacts;
    use crate::report::test_support;

    /// Writes an input and the evidence of one flow from it to `parent`.
    fn evidence(parent: &Path) -> PathBuf {
        let capture = parent.join("office.pcapng");
        fs::write(&capture, "frames").unwrap();
        let facts = RunFacts {
            inputs: vec![
                serde_json::json!({
                    "path": capture.to_str().unwrap(), "bytes": 6, "sha256": hex(&Sha256::digest("frames")),
                }),
                serde_json::json!({ "path": "gone.pcap", "bytes": 6, "blake3": "00" }),
            ],
            ..RunFacts::default()
        };
        let target = parent.join("evidence");
        let folder = EvidenceFolder::open(&target, FolderOptions::default()).unwrap();
        let mut sink = RecordSink::new(test_support::names(), Some(folder), RecordStream::None);
        sink.flow(&test_support::flow()).unwrap();
        let run = Invocation::default();
        let closed = sink.close(&facts).unwrap().unwrap();
        closed.finish(|outputs| Manifest::new(&facts, &run, outputs).to_json()).unwrap();
        target
    }

    fn check(change: impl FnOnce(&Path, &Path), differs: bool, expected: &[(&str, &str)]) {
        let parent = tempfile::tempdir().unwrap();
        let target = evidence(parent.path());
        change(parent.path(), &target);
        let verified = verify_folder(&target).unwrap();
        assert_eq!(verified.differs(), differs, "{verified:?}");
        for (name, state) in expected {
            let file = verified.files.iter().find(|file| file.name.ends_with(name)).unwrap();
            let found = format!("{:?}", file.state);
            assert!(found.starts_with(state), "{name}: {found}");
        }
    }

    #[test]
    fn unchanged_files() {
        let all = [
            ("flows.csv", "Unchanged"),
            ("dns.csv", "Unchanged"),
            ("office.pcapng", "Unchanged"),
            ("gone.pcap", "Missing"),
        ];
        check(|_, _| {}, false, &all);
    }

    #[test]
    fn one_changed_byte() {
        let flip = |path: PathBuf| {
            let mut bytes = fs::read(&path).unwrap();
            *bytes.last_mut().unwrap() ^= 1;
            fs::write(path, bytes).unwrap();
        };
        check(
            |_, target| flip(target.join("flows.csv")),
            true,
            &[("flows.csv", "Changed(\"hash"), ("dns.csv", "Unchanged")],
        );
        check(
            |parent, _| flip(parent.join("office.pcapng")),
            true,
            &[("office.pcapng", "Changed"), ("flows.csv", "Unchanged")],
        );
    }

    #[test]
    fn missing_and_shortened_files() {
        check(|_, target| fs::remove_file(target.join("dns.csv")).unwrap(), true, &[("dns.csv", "Missing")]);
        check(
            |_, target| fs::write(target.join("dns.csv"), "").unwrap(),
            true,
            &[("dns.csv", "Changed(\"0 bytes")],
        );
        check(
            |parent, _| fs::remove_file(parent.join("office.pcapng")).unwrap(),
            false,
            &[("office.pcapng", "Missing")],
        );
    }

    #[test]
    fn a_path_in_the_manifest_is_not_followed() {
        let change = |_: &Path, target: &Path| {
            let path = target.join(MANIFEST);
            let json = fs::read_to_string(&path).unwrap().replace("\"flows.csv\"", "\"../office.pcapng\"");
            fs::write(path, json).unwrap();
        };
        check(change, true, &[("../office.pcapng", "Unchecked")]);
    }

    #[test]
    fn files_that_do_not_belong_are_named() {
        check(
            |_, target| fs::write(target.join("notes.txt"), "mine").unwrap(),
            true,
            &[("notes.txt", "Foreign"), ("flows.csv", "Unchanged")],
        );
        check(|_, target| fs::write(target.join(SIGNATURE), "signed").unwrap(), false, &[]);
        let interval = "2026-01-05T08-00-00Z";
        check(
            |_, target| {
                fs::create_dir(target.join(interval)).unwrap();
                fs::create_dir(target.join("2026-01-05T08-00-00Z-2.unfinished")).unwrap();
            },
            false,
            &[(interval, "OtherInterval"), ("2026-01-05T08-00-00Z-2.unfinished", "OtherInterval")],
        );
        check(
            |_, target| fs::write(target.join(interval), "a file").unwrap(),
            true,
            &[(interval, "Foreign")],
        );
        check(|_, target| fs::create_dir(target.join("2026")).unwrap(), true, &[("2026", "Foreign")]);
    }

    /// Changes the manifest as one who wants to hide a change would.
    fn edit(target: &Path, change: impl FnOnce(&mut serde_json::Value)) {
        let path = target.join(MANIFEST);
        let mut manifest = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        change(&mut manifest);
        fs::write(path, serde_json::to_vec(&manifest).unwrap()).unwrap();
    }

    #[test]
    fn an_output_that_every_run_writes_must_be_listed() {
        let all = [("flows.csv", "Unlisted"), ("findings.csv", "Unlisted"), ("report.html", "Unlisted")];
        check(|_, target| edit(target, |manifest| manifest["outputs"] = serde_json::json!([])), true, &all);
        let requirements = |_: &Path, target: &Path| {
            edit(target, |manifest| manifest["requirements"]["blocked"] = 1.into());
        };
        check(requirements, true, &[("requirements.csv", "Unlisted"), ("flows.csv", "Unchanged")]);
    }

    #[test]
    fn a_million_outputs_cost_nothing() {
        let parent = tempfile::tempdir().unwrap();
        let target = evidence(parent.path());
        edit(&target, |manifest| {
            let output = manifest["outputs"][0].clone();
            manifest["outputs"] = std::iter::repeat_n(output, 100_000).collect();
        });
        let error = verify_folder(&target).unwrap_err();
        assert!(
            error.to_string().ends_with("more than 64 outputs, so not a manifest of afs-audit"),
            "{error}"
        );
    }

    #[test]
    fn links_and_pipes_are_not_read() {
        let replace = |target: &Path| {
            let path = target.join("flows.csv");
            fs::rename(&path, target.parent().unwrap().join("moved.csv")).unwrap();
            path
        };
        check(
            |parent, target| std::os::unix::fs::symlink(parent.join("moved.csv"), replace(target)).unwrap(),
            true,
            &[("flows.csv", "Unchecked(\"a symbolic link")],
        );
        check(
            |_, target| {
                let mode = rustix::fs::Mode::from_raw_mode(0o600);
                let kind = rustix::fs::FileType::Fifo;
                rustix::fs::mknodat(rustix::fs::CWD, replace(target), kind, mode, 0).unwrap();
            },
            true,
            &[("flows.csv", "Unchecked(\"not a regular file")],
        );
    }

    #[test]
    fn inputs_are_found_beside_the_folder() {
        let move_to = |name: &'static str| {
            move |parent: &Path, target: &Path| {
                edit(target, |manifest| manifest["inputs"][0]["path"] = name.into());
                fs::create_dir_all(parent.join("captures")).unwrap();
                fs::copy(parent.join("office.pcapng"), parent.join("captures/office.pcapng")).unwrap();
            }
        };
        check(move_to("elsewhere/office.pcapng"), false, &[("office.pcapng", "UnchangedAt")]);
        check(move_to("/elsewhere/office.pcapng"), false, &[("office.pcapng", "UnchangedAt")]);
        check(move_to("captures/office.pcapng"), false, &[("office.pcapng", "UnchangedAt")]);
        // Another file of this name beside the folder does not matter if the recorded path has the input.
        let other = |parent: &Path, target: &Path| {
            move_to("captures/office.pcapng")(parent, target);
            fs::write(parent.join("office.pcapng"), "others").unwrap();
        };
        check(other, false, &[("office.pcapng", "UnchangedAt")]);
        // The working directory of this process does not matter.
        let relative = |parent: &Path, target: &Path| {
            edit(target, |manifest| manifest["inputs"][0]["path"] = "../Cargo.toml".into());
            fs::remove_file(parent.join("office.pcapng")).unwrap();
        };
        check(relative, false, &[("../Cargo.toml", "Missing")]);
    }

    #[test]
    fn inputs_are_found_at_their_recorded_path() {
        let recorded = |parent: &Path, target: &Path| {
            let elsewhere = parent.join("elsewhere");
            fs::create_dir(&elsewhere).unwrap();
            fs::rename(parent.join("office.pcapng"), elsewhere.join("night.pcapng")).unwrap();
            edit(target, |manifest| {
                manifest["run"]["working_directory"] = elsewhere.to_str().unwrap().into();
                manifest["inputs"][0]["path"] = "night.pcapng".into();
            });
        };
        check(recorded, false, &[("night.pcapng", "Unchanged")]);
    }

    #[test]
    fn a_folder_without_manifest_cannot_be_verified() {
        let folder = tempfile::tempdir().unwrap();
        assert!(verify_folder(folder.path()).unwrap_err().to_string().ends_with("no such file or folder"));
        fs::write(folder.path().join(MANIFEST), "{}").unwrap();
        assert!(
            verify_folder(folder.path()).unwrap_err().to_string().ends_with("not a manifest of afs-audit")
        );
    }
}

//! Verifies the integrity of an evidence folder and of its inputs.
//!
//! In:  an evidence folder.
//! Out: for each file in its manifest: unchanged, changed, missing or not checked; and the hash of the manifest.
//! Not: proof that the manifest is unchanged. That needs a copy of its hash from elsewhere.

use std::fs;
use std::fs::File;
use std::io;
use std::io::Read as _;
use std::path::Path;
use std::path::PathBuf;

use sha2::Digest as _;
use sha2::Sha256;

use super::folder::hex;
use super::manifest::MANIFEST;
use super::manifest::OutputFile;
use super::manifest::StoredManifest;
use super::write_error::reason;

/// The state of an evidence folder.
#[derive(Debug)]
pub struct Verification {
    /// According to the manifest, the run did not read all of its input.
    pub is_partial: bool,
    /// SHA-256 of the manifest.
    pub manifest_sha256: String,
    /// The files, outputs first.
    pub files: Vec<FileCheck>,
}

/// A file named in the manifest.
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
    /// Different length or hash, as text.
    Changed(String),
    /// The file does not exist.
    Missing,
    /// Not checked, and why.
    Unchecked(String),
}

impl Verification {
    /// Whether a file changed or an output cannot be checked. A missing input is not a difference: captures are moved and deleted.
    pub fn differs(&self) -> bool {
        self.files.iter().any(|file| match file.state {
            FileState::Changed(_) => true,
            FileState::Missing | FileState::Unchecked(_) => file.role == FileRole::Output,
            FileState::Unchanged => false,
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
    let path = folder.join(MANIFEST);
    let json = fs::read(&path).map_err(|error| VerifyError { path: path.clone(), reason: reason(&error) })?;
    let Some(manifest) = StoredManifest::parse(&json) else {
        return Err(VerifyError { path, reason: "not a manifest of afs-audit".into() });
    };
    let mut files = verify_outputs(folder, &manifest);
    files.extend(manifest.inputs.iter().map(check_input));
    Ok(Verification { is_partial: manifest.partial, manifest_sha256: hex(&Sha256::digest(&json)), files })
}

/// Compares the files that a run wrote with its manifest.
pub(super) fn verify_outputs(folder: &Path, manifest: &StoredManifest) -> Vec<FileCheck> {
    let check = |output: &OutputFile| {
        // A path instead of a name would lead out of the folder; this program writes none.
        let is_plain = Path::new(&output.name).file_name().is_some_and(|name| name == output.name.as_str());
        let state = if is_plain {
            compare(&folder.join(&output.name), Some(output.bytes), Algorithm::Sha256, &output.sha256)
        } else {
            FileState::Unchecked("not a file name".into())
        };
        FileCheck { role: FileRole::Output, name: output.name.clone(), state }
    };
    manifest.outputs.iter().map(check).collect()
}

fn check_input(input: &serde_json::Value) -> FileCheck {
    let text = |key: &str| input.get(key).and_then(serde_json::Value::as_str);
    let name = text("path").unwrap_or_default().to_owned();
    let bytes = input.get("bytes").and_then(serde_json::Value::as_u64);
    let state = match (text("sha256"), text("blake3")) {
        _ if name.is_empty() || name == "-" => FileState::Unchecked("not a file".into()),
        (Some(hash), _) => compare(Path::new(&name), bytes, Algorithm::Sha256, hash),
        (None, Some(hash)) => compare(Path::new(&name), bytes, Algorithm::Blake3, hash),
        (None, None) => FileState::Unchecked("the manifest has no hash".into()),
    };
    FileCheck { role: FileRole::Input, name, state }
}

#[derive(Clone, Copy, Debug)]
enum Algorithm {
    Sha256,
    Blake3,
}

fn compare(path: &Path, bytes: Option<u64>, algorithm: Algorithm, expected: &str) -> FileState {
    match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return FileState::Missing,
        Err(error) => return FileState::Unchecked(reason(&error)),
        // Reading a device or a pipe might never end.
        Ok(found) if !found.is_file() => return FileState::Unchecked("not a file".into()),
        Ok(found) => {
            if let Some(bytes) = bytes.filter(|bytes| *bytes != found.len()) {
                return FileState::Changed(format!("{} bytes, was {bytes}", found.len()));
            }
        }
    }
    match hash(path, algorithm) {
        Ok(found) if found.eq_ignore_ascii_case(expected) => FileState::Unchanged,
        Ok(found) => FileState::Changed(format!("hash {}…, was {}…", short(&found), short(expected))),
        Err(error) => FileState::Unchecked(reason(&error)),
    }
}

fn short(hash: &str) -> &str {
    hash.get(..12).unwrap_or(hash)
}

fn hash(path: &Path, algorithm: Algorithm) -> io::Result<String> {
    let mut file = File::open(path)?;
    let mut block = vec![0; 1 << 18];
    let mut sha256 = Sha256::new();
    let mut blake3 = blake3::Hasher::new();
    loop {
        let len = file.read(&mut block)?;
        let bytes = block.get(..len).unwrap_or_default();
        match algorithm {
            _ if len == 0 => break,
            Algorithm::Sha256 => sha256.update(bytes),
            Algorithm::Blake3 => drop(blake3.update(bytes)),
        }
    }
    Ok(match algorithm {
        Algorithm::Sha256 => hex(&sha256.finalize()),
        Algorithm::Blake3 => blake3.finalize().to_hex().to_string(),
    })
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
        let run =
            Invocation { arguments: Vec::new(), started: Default::default(), ended: Default::default() };
        let closed = sink.close(&facts.not_done).unwrap().unwrap();
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
    fn a_folder_without_manifest_cannot_be_verified() {
        let folder = tempfile::tempdir().unwrap();
        assert!(verify_folder(folder.path()).unwrap_err().to_string().ends_with("no such file or folder"));
        fs::write(folder.path().join(MANIFEST), "{}").unwrap();
        assert!(
            verify_folder(folder.path()).unwrap_err().to_string().ends_with("not a manifest of afs-audit")
        );
    }
}

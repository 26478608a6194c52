//! Whether evidence is still what was written, and its inputs what was read.
//!
//! In:  an evidence folder.
//! Out: for each file that its manifest names: the same, changed, or not there.
//! Not: who changed it. The manifest itself can be changed too; its hash is told, for whoever kept it.

use std::fs;
use std::fs::File;
use std::io;
use std::io::Read as _;
use std::path::Path;
use std::path::PathBuf;

use sha2::Digest as _;
use sha2::Sha256;

use super::error::reason;
use super::folder::hex;
use super::manifest::MANIFEST;
use super::manifest::Written;

/// What was found.
#[derive(Debug)]
pub struct Verification {
    /// The run says of itself that it did not see all of its input.
    pub is_partial: bool,
    /// Hash of the manifest.
    pub manifest_sha256: String,
    /// The files, outputs first.
    pub files: Vec<FileCheck>,
}

/// A file that a manifest names.
#[derive(Debug, PartialEq, Eq)]
pub struct FileCheck {
    /// Whether we wrote it or read it.
    pub role: FileRole,
    /// As the manifest names it.
    pub name: String,
    /// What is there now.
    pub state: FileState,
}

/// What a file was to the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileRole {
    /// It was written.
    Output,
    /// It was read.
    Input,
}

/// What is there of a file now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FileState {
    /// The same bytes.
    Unchanged,
    /// Other bytes; the sentence says how they differ.
    Changed(String),
    /// Nothing.
    Missing,
    /// It cannot be told, and why.
    Unchecked(String),
}

impl Verification {
    /// True when something is not as it was. An input that is not there any more is not held against the evidence.
    pub fn differs(&self) -> bool {
        self.files.iter().any(|file| match file.state {
            FileState::Changed(_) => true,
            FileState::Missing | FileState::Unchecked(_) => file.role == FileRole::Output,
            FileState::Unchanged => false,
        })
    }
}

/// A folder that cannot be verified.
#[derive(Debug, thiserror::Error)]
#[error("cannot verify: {}: {reason}", path.display())]
pub struct VerifyError {
    /// What was looked at.
    pub path: PathBuf,
    /// Why not.
    pub reason: String,
}

/// Computes the hashes again.
pub fn verify_folder(folder: &Path) -> Result<Verification, VerifyError> {
    let path = folder.join(MANIFEST);
    let json = fs::read(&path).map_err(|error| VerifyError { path: path.clone(), reason: reason(&error) })?;
    let Some(manifest) = Written::parse(&json) else {
        return Err(VerifyError { path, reason: "not a manifest of afs-audit".into() });
    };
    let outputs = manifest.outputs.iter().map(|output| {
        // A name with a path in it was not written by us, and would lead out of the folder.
        let is_plain = Path::new(&output.name).file_name().is_some_and(|name| name == output.name.as_str());
        let state = if is_plain {
            compare(&folder.join(&output.name), Some(output.bytes), Algorithm::Sha256, &output.sha256)
        } else {
            FileState::Unchecked("not a name in this folder".into())
        };
        FileCheck { role: FileRole::Output, name: output.name.clone(), state }
    });
    let files = outputs.chain(manifest.inputs.iter().map(input)).collect();
    Ok(Verification { is_partial: manifest.partial, manifest_sha256: hex(&Sha256::digest(&json)), files })
}

fn input(said: &serde_json::Value) -> FileCheck {
    let text = |key: &str| said.get(key).and_then(serde_json::Value::as_str);
    let name = text("path").unwrap_or_default().to_owned();
    let bytes = said.get("bytes").and_then(serde_json::Value::as_u64);
    let state = match (text("sha256"), text("blake3")) {
        _ if name.is_empty() || name == "-" => FileState::Unchecked("not a file".into()),
        (Some(hash), _) => compare(Path::new(&name), bytes, Algorithm::Sha256, hash),
        (None, Some(hash)) => compare(Path::new(&name), bytes, Algorithm::Blake3, hash),
        (None, None) => FileState::Unchecked("no hash was kept".into()),
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
        // A device or a pipe may never end.
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
    use crate::report::Folder;
    use crate::report::Overwrite;
    use crate::report::Run;
    use crate::report::RunFacts;
    use crate::report::Sink;
    use crate::report::Stream;
    use crate::report::test_support;

    /// Evidence of one flow from one input, both in `parent`.
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
        let folder = Folder::open(&target, Overwrite::Ours).unwrap();
        let mut sink = Sink::new(test_support::names(), Some(folder), Stream::None);
        sink.flow(&test_support::flow()).unwrap();
        let run = Run { arguments: Vec::new(), started: Default::default(), ended: Default::default() };
        sink.finish(&facts, &run).unwrap().unwrap();
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
            let said = format!("{:?}", file.state);
            assert!(said.starts_with(state), "{name}: {said}");
        }
    }

    #[test]
    fn what_was_not_touched_is_the_same() {
        let all = [
            ("flows.csv", "Unchanged"),
            ("dns.csv", "Unchanged"),
            ("office.pcapng", "Unchanged"),
            ("gone.pcap", "Missing"),
        ];
        check(|_, _| {}, false, &all);
    }

    #[test]
    fn one_changed_byte_is_seen() {
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
    fn what_is_gone_or_longer_is_seen() {
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
    fn a_manifest_cannot_lead_out_of_its_folder() {
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

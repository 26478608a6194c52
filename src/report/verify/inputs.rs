//! Finds the inputs of a run and compares them with its manifest.
//!
//! In:  a manifest, and where its folder is.
//! Out: the state of each input.
//! Not: an input at a place that depends on where `verify` is run.

use std::collections::HashMap;
use std::path::Component;
use std::path::Path;
use std::path::PathBuf;

use serde_json::Value;

use super::FileCheck;
use super::FileRole;
use super::FileState;
use super::hash::Algorithm;
use super::hash::LinkPolicy;
use super::hash::compare;
use crate::report::manifest::StoredManifest;

/// Inputs that are checked. Real runs have thousands.
pub(super) const LIMIT: usize = 100_000;

/// Compares the inputs.
pub(super) fn check(folder: &Path, manifest: &StoredManifest) -> Vec<FileCheck> {
    let mut compared = InputComparison::default();
    let recorded_folder = manifest.run.get("working_directory").and_then(Value::as_str).map(Path::new);
    let check = |input: &Value| {
        let text = |key: &str| input.get(key).and_then(Value::as_str);
        let name = text("path").unwrap_or_default();
        let bytes = input.get("bytes").and_then(Value::as_u64);
        let state = match (text("sha256"), text("blake3")) {
            _ if name.is_empty() || name == "-" => FileState::Unchecked("not a file".into()),
            (None, None) => FileState::Unchecked("the manifest has no hash".into()),
            (Some(hash), _) => {
                let expected = (Algorithm::Sha256, hash.to_owned());
                compared.find(&places(folder, recorded_folder, Path::new(name)), bytes, &expected)
            }
            (None, Some(hash)) => {
                let expected = (Algorithm::Blake3, hash.to_owned());
                compared.find(&places(folder, recorded_folder, Path::new(name)), bytes, &expected)
            }
        };
        FileCheck { role: FileRole::Input, name: name.to_owned(), state }
    };
    manifest.inputs.iter().take(LIMIT).map(check).collect()
}

/// Where an input may be.
struct Places {
    /// Its recorded path; none if that is relative and the folder that it starts from is not recorded.
    recorded: Option<PathBuf>,
    /// Beside the evidence folder.
    beside: Vec<PathBuf>,
}

fn places(folder: &Path, recorded_folder: Option<&Path>, path: &Path) -> Places {
    let recorded_folder = recorded_folder.filter(|recorded| recorded.is_absolute());
    let recorded = match path.is_absolute() {
        true => Some(path.to_owned()),
        false => recorded_folder.map(|recorded| recorded.join(path)),
    };
    // `evidence` and `evidence/` have the same parent; `.` has one only as an absolute path.
    let folder = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
    let is_below = path.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
    let below = is_below.then_some(path);
    let relative = below.into_iter().chain(path.file_name().map(Path::new));
    let mut beside: Vec<PathBuf> = folder
        .parent()
        .into_iter()
        .flat_map(|parent| relative.clone().map(|path| parent.join(path)))
        .collect();
    beside.retain(|place| Some(place) != recorded.as_ref());
    beside.dedup();
    Places { recorded, beside }
}

/// Comparisons that were made: a manifest may name one file many times.
#[derive(Default)]
struct InputComparison {
    states: HashMap<(PathBuf, Algorithm, String), FileState>,
}

impl InputComparison {
    /// The state of the first place with the recorded content, else of the first that exists. Another file of the same name is
    /// no proof that the input changed if the input itself is found.
    fn find(&mut self, places: &Places, bytes: Option<u64>, expected: &(Algorithm, String)) -> FileState {
        let mut found = FileState::Missing;
        let recorded = places.recorded.iter().map(|place| (place, true));
        for (place, is_recorded) in recorded.chain(places.beside.iter().map(|place| (place, false))) {
            let key = (place.clone(), expected.0, expected.1.clone());
            let state = self
                .states
                .entry(key)
                .or_insert_with(|| compare(place, LinkPolicy::Followed, bytes, expected))
                .clone();
            match state {
                FileState::Unchanged if is_recorded => return state,
                FileState::Unchanged => return FileState::UnchangedAt(place.clone()),
                FileState::Missing => {}
                state if found == FileState::Missing => {
                    found = match state {
                        FileState::Changed(how) => FileState::Changed(format!("{how} ({})", place.display())),
                        state => state,
                    }
                }
                _ => {}
            }
        }
        found
    }
}

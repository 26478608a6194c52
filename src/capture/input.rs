//! Finds the inputs that the user named.
//!
//! In:  paths of files, archives and folders, `-`, streams.
//! Out: files, members of archives and streams, each once, sorted by path.
//! Not: whether they are captures.

use std::collections::HashSet;
use std::ffi::OsString;
use std::fs;
use std::io::Read;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use super::Error;
use super::archive;
use super::archive::Member;
use super::interruptible::InterruptibleReader;
use crate::base::WireText;

/// Levels of nested folders that are searched.
const DEPTH_LIMIT: usize = 64;

/// An input as the user names it.
pub enum Input {
    /// A file, or all files in a folder.
    Path(PathBuf),
    /// Standard input.
    Stdin,
    /// Other bytes, with a name.
    Stream(String, Box<dyn Read + Send>),
}

impl Input {
    /// From a command-line argument: `-` is standard input.
    pub fn named(name: OsString) -> Input {
        if name == "-" { Input::Stdin } else { Input::Path(PathBuf::from(name)) }
    }
}

impl std::fmt::Debug for Input {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Input::Path(path) => path.fmt(f),
            Input::Stdin => f.write_str("-"),
            Input::Stream(name, _) => name.fmt(f),
        }
    }
}

/// Where the bytes of an input are.
pub(super) enum InputOrigin {
    /// A regular file, which can be opened again.
    File(PathBuf),
    /// A file in an archive, which can be opened again.
    Member(Arc<Member>),
    /// A pipe, device or socket with a path, which is opened once.
    Pipe(PathBuf),
    /// Already open.
    Stream(Box<dyn Read + Send>),
}

/// An input that was found.
pub(super) struct FoundInput {
    pub name: WireText,
    pub origin: InputOrigin,
    /// Its size in bytes; `None` if that is unknown.
    pub size: Option<u64>,
    /// Named by the user, not found in a folder.
    pub is_explicit: bool,
    /// Which of the arguments it is of: a folder or an archive has several inputs.
    pub argument: usize,
    /// Why it is not opened.
    pub skip_reason: Option<String>,
    /// Its canonical path, to recognize inputs that were named twice.
    canonical: Option<PathBuf>,
}

impl FoundInput {
    /// Its path; `None` for streams.
    pub(super) fn path(&self) -> Option<PathBuf> {
        match &self.origin {
            InputOrigin::File(path) | InputOrigin::Pipe(path) => Some(path.clone()),
            InputOrigin::Member(member) => Some(member.path()),
            InputOrigin::Stream(_) => None,
        }
    }
}

/// Whether a path is that of a file, or of a file in an archive.
pub fn is_readable_again(path: &Path) -> bool {
    path.is_file() || archive::member_of(path).is_some()
}

/// Opens a file in an archive; `None` if the path names none.
pub fn open_member(path: &Path) -> Option<std::io::Result<Box<dyn Read + Send>>> {
    archive::member_of(path).map(|member| member.open())
}

/// Finds all inputs, whatever the order in which they were named. Folders in `except` are not searched. Standard input ends when
/// `stop` is set.
pub(super) fn find_inputs(
    inputs: Vec<Input>,
    except: &[PathBuf],
    stop: &Arc<AtomicBool>,
) -> Result<Vec<FoundInput>, Error> {
    let except: HashSet<PathBuf> = except.iter().filter_map(|path| fs::canonicalize(path).ok()).collect();
    let mut found = Vec::new();
    let mut has_stdin = false;
    for (argument, input) in inputs.into_iter().enumerate() {
        let before = found.len();
        match input {
            Input::Path(path) => find_path(path, &except, &mut found)?,
            // Standard input is read once, however often it is named.
            Input::Stdin if std::mem::replace(&mut has_stdin, true) => {}
            Input::Stdin => found.push(stream("-", Box::new(InterruptibleReader::stdin(stop)))),
            Input::Stream(name, bytes) => found.push(stream(&name, bytes)),
        }
        found.iter_mut().skip(before).for_each(|one| one.argument = argument);
    }
    // A file that is named twice is read once. Its own name has priority over its folder.
    found.sort_by_cached_key(|one| (!one.is_explicit, one.path(), one.name.clone()));
    let mut seen = HashSet::new();
    found.retain(|one| one.canonical.as_ref().is_none_or(|path| seen.insert(path.clone())));
    found.sort_by_cached_key(|one| (one.path(), one.name.clone()));
    Ok(found)
}

fn stream(name: &str, bytes: Box<dyn Read + Send>) -> FoundInput {
    let name = WireText::new(name.as_bytes(), name.len());
    let origin = InputOrigin::Stream(bytes);
    FoundInput {
        name,
        origin,
        size: None,
        is_explicit: true,
        argument: 0,
        skip_reason: None,
        canonical: None,
    }
}

fn find_path(path: PathBuf, except: &HashSet<PathBuf>, found: &mut Vec<FoundInput>) -> Result<(), Error> {
    let name = printable(&path);
    match fs::metadata(&path) {
        Ok(metadata) if metadata.is_dir() => {
            let before = found.len();
            search_folder(&path, 0, &mut except.clone(), found);
            if found.len() == before {
                return Err(Error::EmptyFolder { name });
            }
        }
        Ok(metadata) => push_file(path, &metadata, true, found),
        Err(_) if let Some(member) = archive::member_of(&path) => found.push(found_member(member, true)),
        Err(source) => return Err(Error::NotFound { name, source }),
    }
    Ok(())
}

/// Adds a file, or the members of an archive.
fn push_file(path: PathBuf, metadata: &fs::Metadata, is_explicit: bool, found: &mut Vec<FoundInput>) {
    let listed = if metadata.is_file() { archive::members(&path) } else { None };
    let one = found_file(path, metadata, is_explicit);
    match listed {
        None => found.push(one),
        Some(Ok(members)) if members.is_empty() => {
            found.push(FoundInput { skip_reason: Some("archive without files".to_owned()), ..one });
        }
        Some(Ok(members)) => {
            found.extend(members.into_iter().map(|member| found_member(member, is_explicit)));
        }
        Some(Err(reason)) => found.push(FoundInput { skip_reason: Some(reason), ..one }),
    }
}

fn found_member(member: Arc<Member>, is_archive_explicit: bool) -> FoundInput {
    let path = member.path();
    let skip_reason = member.refusal().map(str::to_owned);
    FoundInput {
        name: printable(&path),
        size: Some(member.size),
        // An archive may also hold other files. One that cannot be read may be a capture.
        is_explicit: is_archive_explicit && skip_reason.is_some(),
        argument: 0,
        skip_reason,
        canonical: Some(path),
        origin: InputOrigin::Member(member),
    }
}

fn found_file(path: PathBuf, metadata: &fs::Metadata, is_explicit: bool) -> FoundInput {
    let name = printable(&path);
    let canonical = fs::canonicalize(&path).ok();
    if metadata.is_file() {
        let (origin, size) = (InputOrigin::File(path), Some(metadata.len()));
        return FoundInput { name, origin, size, is_explicit, argument: 0, skip_reason: None, canonical };
    }
    let origin = InputOrigin::Pipe(path);
    if is_explicit {
        return FoundInput {
            name,
            origin,
            size: None,
            is_explicit,
            argument: 0,
            skip_reason: None,
            canonical: None,
        };
    }
    // Opening a pipe that happens to be in a folder could block forever.
    let skip_reason = Some("not a regular file".to_owned());
    FoundInput { name, origin, size: None, is_explicit, argument: 0, skip_reason, canonical }
}

fn search_folder(path: &Path, depth: usize, seen: &mut HashSet<PathBuf>, found: &mut Vec<FoundInput>) {
    let skipped = |path: &Path, reason: String| FoundInput {
        name: printable(path),
        origin: InputOrigin::Pipe(path.to_owned()),
        size: None,
        is_explicit: false,
        argument: 0,
        skip_reason: Some(reason),
        canonical: None,
    };
    // A link may point to a folder above it.
    if fs::canonicalize(path).is_ok_and(|canonical| !seen.insert(canonical)) {
        return;
    }
    if depth > DEPTH_LIMIT {
        found.push(skipped(path, "too many nested folders".to_owned()));
        return;
    }
    let entries = match fs::read_dir(path) {
        Ok(entries) => entries,
        Err(error) => {
            found.push(skipped(path, error.to_string()));
            return;
        }
    };
    let mut paths: Vec<PathBuf> = entries.filter_map(|entry| entry.ok().map(|entry| entry.path())).collect();
    paths.sort();
    for path in paths {
        match fs::metadata(&path) {
            Ok(metadata) if metadata.is_dir() => search_folder(&path, depth + 1, seen, found),
            Ok(metadata) => push_file(path, &metadata, false, found),
            Err(error) => found.push(skipped(&path, error.to_string())),
        }
    }
}

/// A path as printable text, even if it is not UTF-8.
fn printable(path: &Path) -> WireText {
    let bytes = path.as_os_str().as_encoded_bytes();
    WireText::new(bytes, bytes.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(inputs: &[&Path], expected: &[&str]) {
        let inputs = inputs.iter().map(|path| Input::Path(path.to_path_buf())).collect();
        let found = find_inputs(inputs, &[], &Arc::default()).unwrap();
        let names: Vec<String> = found
            .iter()
            .map(|one| one.path().unwrap().file_name().unwrap().to_string_lossy().into_owned())
            .collect();
        assert_eq!(names, expected);
    }

    #[test]
    fn folders_are_sorted_and_every_file_is_found_once() {
        let folder = tempfile::tempdir().unwrap();
        let inner = folder.path().join("sub");
        fs::create_dir(&inner).unwrap();
        let (a, b) = (folder.path().join("a"), inner.join("b"));
        fs::write(&a, "x").unwrap();
        fs::write(&b, "x").unwrap();
        check(&[folder.path()], &["a", "b"]);
        check(&[&b, &a], &["a", "b"]);
        check(&[&a, folder.path(), &a], &["a", "b"]);
        assert!(matches!(
            find_inputs(vec![Input::Path(folder.path().join("no"))], &[], &Arc::default()),
            Err(Error::NotFound { .. })
        ));
        let found =
            find_inputs(vec![Input::Path(folder.path().to_owned())], &[inner], &Arc::default()).unwrap();
        assert_eq!(found.len(), 1, "excepted folders are not searched");
    }

    #[cfg(unix)]
    #[test]
    fn link_loops_end_and_names_need_not_be_utf8() {
        use std::os::unix::ffi::OsStringExt as _;
        let folder = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink(folder.path(), folder.path().join("loop")).unwrap();
        std::os::unix::fs::symlink("nowhere", folder.path().join("broken")).unwrap();
        let odd = folder.path().join(OsString::from_vec(b"b\xff.pcap".to_vec()));
        fs::write(&odd, "x").unwrap();
        let found = find_inputs(vec![Input::Path(folder.path().to_owned())], &[], &Arc::default()).unwrap();
        assert_eq!(found.len(), 2);
        assert!(found[0].name.ends_with("b\\xff.pcap") || found[1].name.ends_with("b\\xff.pcap"));
        assert_eq!(
            found.iter().filter(|one| one.skip_reason.is_some()).count(),
            1,
            "the broken link is listed"
        );
    }
}

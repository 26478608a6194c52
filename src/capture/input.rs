//! What the user named becomes a list of inputs.
//!
//! In:  paths, folders, `-`.
//! Out: files and streams, each once, sorted by path.
//! Not: whether they are captures.

use std::collections::HashSet;
use std::ffi::OsString;
use std::fs;
use std::io::Read;
use std::path::Path;
use std::path::PathBuf;

use super::Error;
use crate::base::WireText;

/// Folders are searched so deep.
const DEPTH_LIMIT: usize = 64;
const NAME_LIMIT: usize = 4096;

/// Something to read.
pub enum Input {
    /// A file, or a folder with all that is in it.
    Path(PathBuf),
    /// Standard input.
    Stdin,
    /// Any other bytes, under a name.
    Stream(String, Box<dyn Read + Send>),
}

impl Input {
    /// An input as the command line names it: `-` is standard input.
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

/// Where an input's bytes are.
pub(super) enum Origin {
    /// A regular file, which can be opened again.
    File(PathBuf),
    /// A pipe, device or socket with a path: opened once.
    Pipe(PathBuf),
    /// Open already.
    Stream(Box<dyn Read + Send>),
}

/// One input, found.
pub(super) struct Found {
    pub name: WireText,
    pub origin: Origin,
    /// Bytes that it has; `None` where that is not known.
    pub size: Option<u64>,
    /// Named by the user, and not found in a folder.
    pub explicit: bool,
    /// Why it is not even looked at.
    pub passed_over: Option<String>,
    /// Where it really is, to find it twice.
    real: Option<PathBuf>,
}

impl Found {
    /// Its path, for streams none.
    pub(super) fn path(&self) -> Option<&Path> {
        match &self.origin {
            Origin::File(path) | Origin::Pipe(path) => Some(path),
            Origin::Stream(_) => None,
        }
    }
}

/// Finds all inputs; the result does not depend on the order in which they were named. Folders in `except` are not searched.
pub(super) fn find(inputs: Vec<Input>, except: &[PathBuf]) -> Result<Vec<Found>, Error> {
    let except: HashSet<PathBuf> = except.iter().filter_map(|path| fs::canonicalize(path).ok()).collect();
    let mut found = Vec::new();
    let mut stdin = false;
    for input in inputs {
        match input {
            Input::Path(path) => named_path(path, &except, &mut found)?,
            // Standard input has its bytes once, however often it is named.
            Input::Stdin if std::mem::replace(&mut stdin, true) => {}
            Input::Stdin => found.push(stream("-", Box::new(std::io::stdin()))),
            Input::Stream(name, bytes) => found.push(stream(&name, bytes)),
        }
    }
    // A file that is named twice is read once: by its own name rather than as part of a folder.
    found.sort_by(|one, other| {
        (!one.explicit, one.path(), &*one.name).cmp(&(!other.explicit, other.path(), &*other.name))
    });
    let mut seen = HashSet::new();
    found.retain(|one| one.real.as_ref().is_none_or(|real| seen.insert(real.clone())));
    found.sort_by(|one, other| (one.path(), &*one.name).cmp(&(other.path(), &*other.name)));
    Ok(found)
}

fn stream(name: &str, bytes: Box<dyn Read + Send>) -> Found {
    let name = WireText::new(name.as_bytes(), NAME_LIMIT);
    Found { name, origin: Origin::Stream(bytes), size: None, explicit: true, passed_over: None, real: None }
}

fn named_path(path: PathBuf, except: &HashSet<PathBuf>, found: &mut Vec<Found>) -> Result<(), Error> {
    let name = printable(&path);
    match fs::metadata(&path) {
        Ok(about) if about.is_dir() => {
            let before = found.len();
            folder(&path, 0, &mut except.clone(), found);
            if found.len() == before {
                return Err(Error::Empty { name });
            }
        }
        Ok(about) => found.push(file(path, &about, true)),
        Err(source) => return Err(Error::Missing { name, source }),
    }
    Ok(())
}

fn file(path: PathBuf, about: &fs::Metadata, explicit: bool) -> Found {
    let name = printable(&path);
    let real = fs::canonicalize(&path).ok();
    if about.is_file() {
        let size = Some(about.len());
        return Found { name, origin: Origin::File(path), size, explicit, passed_over: None, real };
    }
    // To open a pipe that happens to lie in a folder could wait for ever.
    let passed_over = (!explicit).then(|| "not a regular file".to_owned());
    let real = if explicit { None } else { real };
    Found { name, origin: Origin::Pipe(path), size: None, explicit, passed_over, real }
}

fn folder(path: &Path, depth: usize, seen: &mut HashSet<PathBuf>, found: &mut Vec<Found>) {
    let told = |why: String| Found {
        name: printable(path),
        origin: Origin::Pipe(path.to_owned()),
        size: None,
        explicit: false,
        passed_over: Some(why),
        real: None,
    };
    // A link may lead back to a folder above it.
    if fs::canonicalize(path).is_ok_and(|real| !seen.insert(real)) {
        return;
    }
    if depth > DEPTH_LIMIT {
        found.push(told("folders too deep".to_owned()));
        return;
    }
    let entries = match fs::read_dir(path) {
        Ok(entries) => entries,
        Err(error) => {
            found.push(told(error.to_string()));
            return;
        }
    };
    let mut paths: Vec<PathBuf> = entries.filter_map(|entry| entry.ok().map(|entry| entry.path())).collect();
    paths.sort();
    for inside in paths {
        match fs::metadata(&inside) {
            Ok(about) if about.is_dir() => folder(&inside, depth + 1, seen, found),
            Ok(about) => found.push(file(inside, &about, false)),
            Err(error) => found.push(Found {
                name: printable(&inside),
                origin: Origin::Pipe(inside),
                size: None,
                explicit: false,
                passed_over: Some(error.to_string()),
                real: None,
            }),
        }
    }
}

/// A path as text that can be printed, also if it is not UTF-8.
fn printable(path: &Path) -> WireText {
    WireText::new(path.as_os_str().as_encoded_bytes(), NAME_LIMIT)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(inputs: &[&Path], expected: &[&str]) {
        let inputs = inputs.iter().map(|path| Input::Path(path.to_path_buf())).collect();
        let found = find(inputs, &[]).unwrap();
        let names: Vec<String> = found
            .iter()
            .map(|one| one.path().unwrap().file_name().unwrap().to_string_lossy().into_owned())
            .collect();
        assert_eq!(names, expected);
    }

    #[test]
    fn folders_are_sorted_and_everything_is_read_once() {
        let folder = tempfile::tempdir().unwrap();
        let inner = folder.path().join("sub");
        fs::create_dir(&inner).unwrap();
        let (a, b) = (folder.path().join("a"), inner.join("b"));
        fs::write(&a, "x").unwrap();
        fs::write(&b, "x").unwrap();
        check(&[folder.path()], &["a", "b"]);
        check(&[&b, &a], &["a", "b"]);
        check(&[&a, folder.path(), &a], &["a", "b"]);
        assert!(matches!(find(vec![Input::Path(folder.path().join("no"))], &[]), Err(Error::Missing { .. })));
        let found = find(vec![Input::Path(folder.path().to_owned())], &[inner]).unwrap();
        assert_eq!(found.len(), 1, "not what lies in an excepted folder");
    }

    #[cfg(unix)]
    #[test]
    fn a_loop_of_links_ends_and_names_need_not_be_text() {
        use std::os::unix::ffi::OsStringExt as _;
        let folder = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink(folder.path(), folder.path().join("loop")).unwrap();
        std::os::unix::fs::symlink("nowhere", folder.path().join("broken")).unwrap();
        let odd = folder.path().join(OsString::from_vec(b"b\xff.pcap".to_vec()));
        fs::write(&odd, "x").unwrap();
        let found = find(vec![Input::Path(folder.path().to_owned())], &[]).unwrap();
        assert_eq!(found.len(), 2);
        assert!(found[0].name.ends_with("b\\xff.pcap") || found[1].name.ends_with("b\\xff.pcap"));
        assert_eq!(
            found.iter().filter(|one| one.passed_over.is_some()).count(),
            1,
            "the broken link is listed"
        );
    }
}

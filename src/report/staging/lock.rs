//! Creates, locks and clears staging folders.
//!
//! In:  the path of a staging folder, the names of evidence files.
//! Out: the folder and its lock, of which no other run has one; or why it cannot be used.
//! Not: what is written into it, and how it is published.

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;

use rustix::fs::AtFlags;
use rustix::fs::FileType;
use rustix::fs::FlockOperation;
use rustix::fs::Mode;
use rustix::fs::OFlags;
use rustix::fs::Stat;
use rustix::io::Errno;
use rustix::process::geteuid;

use super::Publication;

/// The file that a run locks while it writes. Without the lock, the staging folder is left over from a killed run.
pub(super) const LOCK: &str = "lock";

/// How often to take a staging folder again that another run published or removed in the meantime.
const ATTEMPTS: u32 = 100;

/// How a folder is opened.
pub(super) const FOLDER: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// The folder that contains a path.
pub(super) fn parent_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
        Some(parent) => parent,
        None => path,
    }
}

/// Why a staging folder cannot be used.
pub(super) enum LockProblem {
    Failed(io::Error),
    Refused(String),
    /// Another run holds the lock.
    Busy,
}

impl From<Errno> for LockProblem {
    fn from(error: Errno) -> LockProblem {
        LockProblem::Failed(error.into())
    }
}

pub(super) struct LockedFolder {
    /// The folder that contains it.
    pub(super) parent: OwnedFd,
    pub(super) folder: OwnedFd,
    /// Holds the lock while it is open.
    pub(super) lock: OwnedFd,
}

/// Locks the first of the staging folders that can be created.
pub(super) fn lock_first(
    candidates: Vec<(PathBuf, Publication)>,
    known: &[&str],
) -> Result<(LockedFolder, PathBuf, Publication), (PathBuf, LockProblem)> {
    let mut last = (PathBuf::new(), LockProblem::Busy);
    for (path, publication) in candidates {
        match lock(&path, known) {
            Ok(locked) => return Ok((locked, path, publication)),
            // The folder's parent cannot be written, but perhaps the folder.
            Err(LockProblem::Failed(error)) if error.kind() == io::ErrorKind::PermissionDenied => {
                last = (path, LockProblem::Failed(error));
            }
            Err(problem) => return Err((path, problem)),
        }
    }
    Err(last)
}

/// Creates and locks a staging folder, or takes over the one that a killed run left, and removes what it contains.
fn lock(path: &Path, known: &[&str]) -> Result<LockedFolder, LockProblem> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let parent = rustix::fs::open(parent_of(path), flags, Mode::empty())?;
    let name = path.file_name().unwrap_or_default();
    for _ in 0..ATTEMPTS {
        match rustix::fs::mkdirat(&parent, name, Mode::RWXU) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => return Err(error.into()),
        }
        let folder = match rustix::fs::openat(&parent, name, FOLDER, Mode::empty()) {
            Ok(folder) => folder,
            // Another run published or removed it.
            Err(Errno::NOENT) => continue,
            Err(Errno::LOOP | Errno::NOTDIR) => {
                let found = rustix::fs::statat(&parent, name, AtFlags::SYMLINK_NOFOLLOW)?;
                return Err(LockProblem::Refused(format!(
                    "not a folder, but a file or link of {}",
                    owner(found.st_uid)
                )));
            }
            Err(error) => return Err(error.into()),
        };
        let opened = rustix::fs::fstat(&folder)?;
        if opened.st_uid != geteuid().as_raw() {
            return Err(LockProblem::Refused(format!("belongs to {}", owner(opened.st_uid))));
        }
        let lock = match lock_file(&folder) {
            Ok(lock) => lock,
            Err(LockProblem::Failed(error)) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(problem) => return Err(problem),
        };
        // The run that held the lock may have published the folder under another name, or removed it.
        let current = rustix::fs::statat(&parent, name, AtFlags::SYMLINK_NOFOLLOW);
        if !current.is_ok_and(|current| is_same(&current, &opened)) {
            remove(&folder, LOCK).map_err(LockProblem::Failed)?;
            continue;
        }
        rustix::fs::fchmod(&folder, Mode::RWXU)?;
        if let Some(other) = remove_files(&folder, known).map_err(LockProblem::Failed)? {
            return Err(LockProblem::Refused(format!("contains {other}, which is not a file of a run")));
        }
        return Ok(LockedFolder { parent, folder, lock });
    }
    Err(LockProblem::Busy)
}

/// Creates and locks the lock file of a staging folder.
pub(super) fn lock_file(folder: &OwnedFd) -> Result<OwnedFd, LockProblem> {
    // Opened without blocking: what has this name may be a pipe.
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let lock = match rustix::fs::openat(folder, LOCK, flags, Mode::RUSR | Mode::WUSR) {
        Ok(lock) => lock,
        Err(Errno::LOOP) => return Err(LockProblem::Refused("its lock is a symbolic link".to_owned())),
        Err(error) => return Err(error.into()),
    };
    let opened = rustix::fs::fstat(&lock)?;
    if FileType::from_raw_mode(opened.st_mode) != FileType::RegularFile {
        return Err(LockProblem::Refused("its lock is not a file".to_owned()));
    }
    match rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(Errno::WOULDBLOCK) => return Err(LockProblem::Busy),
        Err(error) => return Err(error.into()),
    }
    // The lock of a file that was removed in the meantime protects nothing.
    let current = rustix::fs::statat(folder, LOCK, AtFlags::SYMLINK_NOFOLLOW)?;
    if is_same(&current, &opened) { Ok(lock) } else { Err(LockProblem::Busy) }
}

/// Locks a published folder. A run that opened it as a staging folder may hold the lock for a moment.
pub(super) fn wait_for_lock(folder: &OwnedFd) -> io::Result<OwnedFd> {
    for _ in 0..ATTEMPTS {
        match lock_file(folder) {
            Ok(lock) => return Ok(lock),
            Err(LockProblem::Failed(error)) => return Err(error),
            Err(LockProblem::Refused(reason)) => return Err(io::Error::other(reason)),
            Err(LockProblem::Busy) => std::thread::sleep(Duration::from_millis(10)),
        }
    }
    Err(io::Error::other("another run is writing to it"))
}

pub(super) fn is_same(one: &Stat, other: &Stat) -> bool {
    (one.st_dev, one.st_ino) == (other.st_dev, other.st_ino)
}

/// Removes the files of a run from a folder, except the lock. Returns the name of another file, if there is one.
fn remove_files(folder: &OwnedFd, known: &[&str]) -> io::Result<Option<String>> {
    let mut names = Vec::new();
    for entry in rustix::fs::Dir::read_from(folder)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        match name.as_str() {
            "." | ".." | LOCK => {}
            _ if known.contains(&name.as_str()) => names.push(name),
            _ => return Ok(Some(name)),
        }
    }
    for name in names {
        remove(folder, &name)?;
    }
    Ok(None)
}

/// Removes the files of a run, and last the lock.
pub(super) fn clear(folder: &OwnedFd, known: &[&str]) -> io::Result<()> {
    remove_files(folder, known)?;
    remove(folder, LOCK)
}

/// Removes a file if it exists.
pub(super) fn remove(folder: &OwnedFd, name: &str) -> io::Result<()> {
    match rustix::fs::unlinkat(folder, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// A user as an error names it.
pub(super) fn owner(uid: u32) -> String {
    #[cfg(feature = "live")]
    if let Ok(Some(user)) = nix::unistd::User::from_uid(nix::unistd::Uid::from_raw(uid)) {
        return format!("user {}", user.name);
    }
    format!("user {uid}")
}

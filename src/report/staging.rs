//! Writes the files of an evidence folder where no other user can interfere, and publishes them together.
//!
//! In:  the path of the folder, and files by name.
//! Out: the folder with all files, or as it was before.
//! Not: what the files contain.
//!
//! The files are written in a staging folder: beside the evidence folder (`DIR.unfinished`), or in it (`DIR/.unfinished`) if it
//! exists and cannot be replaced as a whole. Every file is created anew, relative to the open staging folder, and symbolic links
//! are not followed, so that nothing that another user prepared is written through. A staging folder of another user is refused.
//!
//! A folder that does not exist yet appears by one rename. Earlier evidence is exchanged with the new evidence in one step
//! (`RENAME_EXCHANGE`), so that a killed run leaves one of the two. Into a mounted volume, and into a folder with other files, the
//! files are moved one by one, the manifest last: a folder without a manifest is not evidence.

use std::ffi::OsStr;
use std::ffi::OsString;
use std::fs;
use std::fs::File;
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
use rustix::fs::RenameFlags;
use rustix::fs::Stat;
use rustix::io::Errno;
use rustix::process::geteuid;

use super::manifest::MANIFEST;
use super::manifest::StoredManifest;
use super::stored::FileOpener;
use super::write_error::WriteError;
use super::write_error::reason;

/// Name of the staging folder inside a folder that exists; suffix of its name beside one that does not.
pub const UNFINISHED: &str = ".unfinished";

/// The file that a run locks while it writes. Without the lock, the staging folder is left over from a killed run.
const LOCK: &str = "lock";

/// How often to take a staging folder again that another run published or removed in the meantime.
const ATTEMPTS: u32 = 100;

/// The largest manifest that is read to recognise evidence.
const MAX_MANIFEST: u64 = 64 << 20;

const FOLDER: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// Which existing folders may be written into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overwrite {
    /// Empty folders only.
    No,
    /// Any folder. Evidence is replaced; other files are kept.
    Force,
}

/// How an evidence folder is created.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FolderOptions {
    /// Which existing folders may be written into.
    pub overwrite: Overwrite,
    /// Permissions that the folder and its files do not get, as for umask(2).
    pub umask: u32,
}

impl Default for FolderOptions {
    /// A new or empty folder, for its owner alone: evidence is customer data.
    fn default() -> FolderOptions {
        FolderOptions { overwrite: Overwrite::No, umask: 0o077 }
    }
}

/// A folder in which the files are written until they are complete. Dropped before [`Staging::publish`], it leaves nothing.
pub(super) struct Staging {
    target: PathBuf,
    path: PathBuf,
    /// The folder that contains the staging folder.
    parent: OwnedFd,
    /// The staging folder's name in it.
    name: OsString,
    folder: OwnedFd,
    publication: Publication,
    /// Permissions that files do not get.
    mask: Mode,
    /// The names of evidence files.
    known: &'static [&'static str],
    /// Not removed when dropped.
    is_kept: bool,
    /// Holds the lock while it is open.
    _lock: OwnedFd,
}

enum Publication {
    /// The staging folder becomes the folder.
    Rename,
    /// The staging folder is exchanged with earlier evidence, which is then removed.
    Exchange { earlier: OwnedFd },
    /// The staging folder is in the folder; its files are moved up.
    MoveFiles,
}

/// What a folder contains.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Content {
    Nothing,
    /// Files of a run and nothing else.
    Evidence,
    /// Files of a run, and others.
    EvidenceAndOthers,
    Others,
}

/// Where a run writes the files of `folder`: in it, and until they are complete perhaps beside it.
pub fn staging_places(folder: &Path) -> Vec<PathBuf> {
    std::iter::once(folder.to_owned()).chain(staging_beside(folder)).collect()
}

/// The staging folder beside a folder; none if the path has no file name.
fn staging_beside(folder: &Path) -> Option<PathBuf> {
    let mut name = folder.file_name()?.to_owned();
    name.push(UNFINISHED);
    Some(folder.with_file_name(name))
}

impl Staging {
    /// Creates and locks the staging folder of `target`. `known` are the names of evidence files.
    pub(super) fn open(
        target: &Path,
        options: FolderOptions,
        known: &'static [&'static str],
    ) -> Result<Staging, WriteError> {
        let failed = |error: io::Error| WriteError::new(target, &error);
        let place = resolve(target)?;
        let existing = match open_folder(&place) {
            Ok(folder) => Some(folder),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(failed(error)),
        };
        let candidates = match existing {
            Some(existing) => {
                let content = content(&existing, known).map_err(failed)?;
                refuse_content(content, options.overwrite).map_err(|reason| refused(target, reason))?;
                let beside = staging_beside(&place)
                    .filter(|_| content == Content::Evidence && is_on_device_of_parent(&existing, &place))
                    .map(|beside| (beside, Publication::Exchange { earlier: existing }));
                beside.into_iter().chain([(place.join(UNFINISHED), Publication::MoveFiles)]).collect()
            }
            None => {
                let beside = staging_beside(&place).ok_or_else(|| refused(target, "not a folder name"))?;
                fs::create_dir_all(parent_of(&place)).map_err(failed)?;
                vec![(beside, Publication::Rename)]
            }
        };
        let (locked, path, publication) =
            lock_first(candidates, known).map_err(|(path, problem)| match problem {
                Problem::Failed(error) => WriteError::new(&path, &error),
                Problem::Refused(reason) => WriteError { path, reason },
                Problem::Busy => refused(target, "another run is writing to it"),
            })?;
        let name = path.file_name().unwrap_or_default().to_owned();
        let LockedFolder { parent, folder, lock } = locked;
        // A run that held the lock until now may have published its evidence.
        if matches!(publication, Publication::Rename) && fs::symlink_metadata(&place).is_ok() {
            let _ = clear(&folder, known);
            let _ = rustix::fs::unlinkat(&parent, &name, AtFlags::REMOVEDIR);
            return Err(refused(target, "another run has just written it"));
        }
        Ok(Staging {
            target: place,
            path,
            parent,
            name,
            folder,
            publication,
            mask: Mode::from_raw_mode(options.umask as rustix::fs::RawMode),
            known,
            is_kept: false,
            _lock: lock,
        })
    }

    /// Where the files will be.
    pub(super) fn target(&self) -> &Path {
        &self.target
    }

    /// Creates a file.
    pub(super) fn create(&self, name: &str) -> Result<File, WriteError> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        rustix::fs::openat(&self.folder, name, flags, Mode::from_raw_mode(0o666).difference(self.mask))
            .map(File::from)
            .map_err(|error| self.failed(name, &error.into()))
    }

    /// Opens files of the staging folder, which may be renamed meanwhile.
    pub(super) fn reader(&self) -> io::Result<FileOpener> {
        let folder = self.folder.try_clone()?;
        Ok(Box::new(move |name: &str| {
            let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            Ok(rustix::fs::openat(&folder, name, flags, Mode::empty()).map(File::from)?)
        }))
    }

    /// An error about a file.
    pub(super) fn failed(&self, name: &str, error: &io::Error) -> WriteError {
        WriteError::new(&self.target.join(name), error)
    }

    /// Leaves the staging folder where it is, and returns its path.
    pub(super) fn keep(mut self) -> PathBuf {
        self.is_kept = true;
        self.path.clone()
    }

    /// Publishes the files. The manifest is the last that appears.
    pub(super) fn publish(mut self, names: &[&str]) -> Result<(), WriteError> {
        // What cannot be published is kept: it may be hours of rows.
        self.is_kept = true;
        let published = match &self.publication {
            Publication::Rename => self.rename(),
            Publication::Exchange { earlier } => self.exchange(earlier, names),
            Publication::MoveFiles => self.move_files(&self.parent, names),
        };
        published.map_err(|error| {
            let reason = format!("{}; the rows are in {}", reason(&error), self.path.display());
            WriteError { path: self.target.clone(), reason }
        })
    }

    fn rename(&self) -> io::Result<()> {
        let target = self.target_name();
        // The lock stays until the folder has its name: a folder without a lock is free for the next run. A folder that has
        // appeared under that name is not replaced unless it is empty.
        rustix::fs::renameat(&self.parent, &self.name, &self.parent, target)?;
        self.check_published()?;
        let _ = rustix::fs::fchmod(&self.folder, Mode::from_raw_mode(0o777).difference(self.mask));
        rustix::fs::unlinkat(&self.folder, LOCK, AtFlags::empty())?;
        self.sync();
        Ok(())
    }

    fn exchange(&self, earlier: &OwnedFd, names: &[&str]) -> io::Result<()> {
        // After the exchange the earlier evidence has the name of the staging folder: locked, it is no leftover.
        let _earlier_lock = wait_for_lock(earlier)?;
        let before = rustix::fs::fstat(earlier)?;
        let _ = rustix::fs::fchmod(&self.folder, Mode::from_raw_mode(before.st_mode));
        let owner = (rustix::fs::Uid::from_raw(before.st_uid), rustix::fs::Gid::from_raw(before.st_gid));
        if before.st_uid != geteuid().as_raw() {
            let _ = rustix::fs::fchown(&self.folder, Some(owner.0), Some(owner.1));
        }
        let target = self.target_name();
        match rustix::fs::renameat_with(&self.parent, &self.name, &self.parent, target, RenameFlags::EXCHANGE)
        {
            // Not every file system can exchange.
            Err(Errno::INVAL | Errno::NOSYS) => return self.move_files(earlier, names),
            exchanged => exchanged?,
        }
        self.check_published()?;
        rustix::fs::unlinkat(&self.folder, LOCK, AtFlags::empty())?;
        self.sync();
        // The new evidence is complete. What cannot be removed of the old one, the next run removes.
        let _ = clear(earlier, self.known);
        let _ = rustix::fs::unlinkat(&self.parent, &self.name, AtFlags::REMOVEDIR);
        Ok(())
    }

    fn move_files(&self, target: &OwnedFd, names: &[&str]) -> io::Result<()> {
        // From here to the last rename the folder has no manifest, and so is not evidence.
        remove(target, MANIFEST)?;
        for name in self.known.iter().filter(|name| !names.contains(name)) {
            remove(target, name)?;
        }
        for name in names.iter().filter(|name| **name != MANIFEST).chain([&MANIFEST]) {
            rustix::fs::renameat(&self.folder, *name, target, *name)?;
        }
        let _ = rustix::fs::fsync(target);
        let _ = clear(&self.folder, self.known);
        let _ = rustix::fs::unlinkat(&self.parent, &self.name, AtFlags::REMOVEDIR);
        Ok(())
    }

    fn target_name(&self) -> &OsStr {
        self.target.file_name().unwrap_or_default()
    }

    /// Checks that the folder that has the name now is the one that was written: its parent may belong to another user.
    fn check_published(&self) -> io::Result<()> {
        let written = rustix::fs::fstat(&self.folder)?;
        let found = rustix::fs::statat(&self.parent, self.target_name(), AtFlags::SYMLINK_NOFOLLOW)?;
        if is_same(&written, &found) { Ok(()) } else { Err(io::Error::other("the folder was replaced")) }
    }

    /// Syncs the folders' entries. Where that is not possible, the system does it later.
    fn sync(&self) {
        let _ = rustix::fs::fsync(&self.folder);
        let _ = rustix::fs::fsync(&self.parent);
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        if !self.is_kept {
            // What cannot be removed, the next run removes.
            let _ = clear(&self.folder, self.known);
            let _ = rustix::fs::unlinkat(&self.parent, &self.name, AtFlags::REMOVEDIR);
        }
    }
}

/// Creates a folder and gives it to a user if it is empty and belongs to the caller. Links of other users are not followed.
pub fn create_folder_for(path: &Path, user: u32, group: u32) -> Result<(), WriteError> {
    let failed = |error: io::Error| WriteError::new(path, &error);
    let place = resolve(path)?;
    fs::create_dir_all(&place).map_err(failed)?;
    let folder = open_folder(&place).map_err(failed)?;
    let is_own =
        rustix::fs::fstat(&folder).map_err(|error| failed(error.into()))?.st_uid == geteuid().as_raw();
    let is_empty = content(&folder, &[]).map_err(failed)? == Content::Nothing;
    if is_own && is_empty {
        let (user, group) = (rustix::fs::Uid::from_raw(user), rustix::fs::Gid::from_raw(group));
        rustix::fs::fchown(&folder, Some(user), Some(group)).map_err(|error| failed(error.into()))?;
    }
    Ok(())
}

/// Renames the staging folder that a killed run left in `folder`, so that the next run does not remove it.
pub fn set_aside(folder: &Path, name: &str) -> io::Result<Option<PathBuf>> {
    let parent = match open_folder(folder) {
        Ok(parent) => parent,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    match rustix::fs::openat(&parent, UNFINISHED, FOLDER, Mode::empty()) {
        Err(Errno::NOENT) => return Ok(None),
        Err(error) => return Err(error.into()),
        Ok(staging) => match lock_file(&staging) {
            Ok(_lock) => {
                let aside = format!("{name}{UNFINISHED}");
                rustix::fs::renameat_with(&parent, UNFINISHED, &parent, &aside, RenameFlags::NOREPLACE)?;
                return Ok(Some(folder.join(aside)));
            }
            // Another run is writing to it.
            Err(Problem::Busy) => {}
            Err(Problem::Failed(error)) => return Err(error),
            Err(Problem::Refused(reason)) => return Err(io::Error::other(reason)),
        },
    }
    Ok(None)
}

fn refused(path: &Path, reason: &str) -> WriteError {
    WriteError { path: path.to_owned(), reason: reason.to_owned() }
}

/// The path without a symbolic link at its end. A link of another user is refused: where it leads is not what the caller chose.
fn resolve(target: &Path) -> Result<PathBuf, WriteError> {
    use std::os::unix::fs::MetadataExt as _;
    match fs::symlink_metadata(target) {
        Ok(found) if found.is_symlink() => {
            if found.uid() != geteuid().as_raw() && found.uid() != 0 {
                let reason = format!("a symbolic link of {}", owner(found.uid()));
                return Err(WriteError { path: target.to_owned(), reason });
            }
            fs::canonicalize(target).map_err(|error| WriteError::new(target, &error))
        }
        _ => Ok(target.to_owned()),
    }
}

fn parent_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
        Some(parent) => parent,
        None => path,
    }
}

fn open_folder(path: &Path) -> io::Result<OwnedFd> {
    Ok(rustix::fs::open(path, FOLDER, Mode::empty())?)
}

/// Whether a folder is no mount point, so that it can be exchanged with one beside it.
fn is_on_device_of_parent(folder: &OwnedFd, path: &Path) -> bool {
    let devices =
        || io::Result::Ok((rustix::fs::fstat(folder)?.st_dev, rustix::fs::stat(parent_of(path))?.st_dev));
    devices().is_ok_and(|(folder, parent)| folder == parent)
}

fn refuse_content(content: Content, overwrite: Overwrite) -> Result<(), &'static str> {
    match content {
        _ if overwrite == Overwrite::Force => Ok(()),
        Content::Nothing => Ok(()),
        Content::Evidence | Content::EvidenceAndOthers => {
            Err("holds the evidence of an earlier run; --force replaces it")
        }
        Content::Others => Err("not empty, and not written by afs-audit; --force writes into it"),
    }
}

/// What a folder contains. Alone, subfolders that killed runs left do not count.
fn content(folder: &OwnedFd, known: &[&str]) -> io::Result<Content> {
    let (mut has_known, mut has_others, mut has_leftovers) = (false, false, false);
    for entry in rustix::fs::Dir::read_from(folder)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy();
        match &*name {
            "." | ".." | LOCK => {}
            name if name.ends_with(UNFINISHED) => has_leftovers = true,
            name if known.contains(&name) => has_known = true,
            _ => has_others = true,
        }
    }
    Ok(match (has_known, has_others) {
        (false, false) => Content::Nothing,
        (false, true) => Content::Others,
        (true, _) if !has_manifest(folder)? => Content::Others,
        (true, false) if !has_leftovers => Content::Evidence,
        (true, _) => Content::EvidenceAndOthers,
    })
}

/// Whether a folder has a manifest of this program.
fn has_manifest(folder: &OwnedFd) -> io::Result<bool> {
    use std::io::Read as _;
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = match rustix::fs::openat(folder, MANIFEST, flags, Mode::empty()) {
        Ok(file) => File::from(file),
        Err(Errno::NOENT | Errno::LOOP) => return Ok(false),
        Err(error) => return Err(error.into()),
    };
    if !file.metadata()?.is_file() {
        return Ok(false);
    }
    let mut json = Vec::new();
    file.take(MAX_MANIFEST).read_to_end(&mut json)?;
    Ok(StoredManifest::parse(&json).is_some())
}

/// Why a staging folder cannot be used.
enum Problem {
    Failed(io::Error),
    Refused(String),
    /// Another run holds the lock.
    Busy,
}

impl From<Errno> for Problem {
    fn from(error: Errno) -> Problem {
        Problem::Failed(error.into())
    }
}

struct LockedFolder {
    parent: OwnedFd,
    folder: OwnedFd,
    lock: OwnedFd,
}

/// Locks the first of the staging folders that can be created.
fn lock_first(
    candidates: Vec<(PathBuf, Publication)>,
    known: &[&str],
) -> Result<(LockedFolder, PathBuf, Publication), (PathBuf, Problem)> {
    let mut last = (PathBuf::new(), Problem::Busy);
    for (path, publication) in candidates {
        match lock(&path, known) {
            Ok(locked) => return Ok((locked, path, publication)),
            // The folder's parent cannot be written, but perhaps the folder.
            Err(Problem::Failed(error)) if error.kind() == io::ErrorKind::PermissionDenied => {
                last = (path, Problem::Failed(error));
            }
            Err(problem) => return Err((path, problem)),
        }
    }
    Err(last)
}

/// Creates and locks a staging folder, or takes over the one that a killed run left, and removes what it contains.
fn lock(path: &Path, known: &[&str]) -> Result<LockedFolder, Problem> {
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
                return Err(Problem::Refused(format!(
                    "not a folder, but a file or link of {}",
                    owner(found.st_uid)
                )));
            }
            Err(error) => return Err(error.into()),
        };
        let opened = rustix::fs::fstat(&folder)?;
        if opened.st_uid != geteuid().as_raw() {
            return Err(Problem::Refused(format!("belongs to {}", owner(opened.st_uid))));
        }
        let lock = match lock_file(&folder) {
            Ok(lock) => lock,
            Err(Problem::Failed(error)) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(problem) => return Err(problem),
        };
        // Whoever held the lock may have published the folder under another name, or removed it.
        let current = rustix::fs::statat(&parent, name, AtFlags::SYMLINK_NOFOLLOW);
        if !current.is_ok_and(|current| is_same(&current, &opened)) {
            remove(&folder, LOCK).map_err(Problem::Failed)?;
            continue;
        }
        rustix::fs::fchmod(&folder, Mode::RWXU)?;
        if let Some(other) = remove_files(&folder, known).map_err(Problem::Failed)? {
            return Err(Problem::Refused(format!("contains {other}, which is not a file of a run")));
        }
        return Ok(LockedFolder { parent, folder, lock });
    }
    Err(Problem::Busy)
}

/// Creates and locks the lock file of a staging folder.
fn lock_file(folder: &OwnedFd) -> Result<OwnedFd, Problem> {
    // Opened without blocking: what has this name may be a pipe.
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let lock = match rustix::fs::openat(folder, LOCK, flags, Mode::RUSR | Mode::WUSR) {
        Ok(lock) => lock,
        Err(Errno::LOOP) => return Err(Problem::Refused("its lock is a symbolic link".to_owned())),
        Err(error) => return Err(error.into()),
    };
    let opened = rustix::fs::fstat(&lock)?;
    if FileType::from_raw_mode(opened.st_mode) != FileType::RegularFile {
        return Err(Problem::Refused("its lock is not a file".to_owned()));
    }
    match rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(Errno::WOULDBLOCK) => return Err(Problem::Busy),
        Err(error) => return Err(error.into()),
    }
    // The lock of a file that was removed in the meantime protects nothing.
    let current = rustix::fs::statat(folder, LOCK, AtFlags::SYMLINK_NOFOLLOW)?;
    if is_same(&current, &opened) { Ok(lock) } else { Err(Problem::Busy) }
}

/// Locks a published folder. A run that opened it as a staging folder may hold the lock for a moment.
fn wait_for_lock(folder: &OwnedFd) -> io::Result<OwnedFd> {
    for _ in 0..ATTEMPTS {
        match lock_file(folder) {
            Ok(lock) => return Ok(lock),
            Err(Problem::Failed(error)) => return Err(error),
            Err(Problem::Refused(reason)) => return Err(io::Error::other(reason)),
            Err(Problem::Busy) => std::thread::sleep(Duration::from_millis(10)),
        }
    }
    Err(io::Error::other("another run is writing to it"))
}

fn is_same(one: &Stat, other: &Stat) -> bool {
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
fn clear(folder: &OwnedFd, known: &[&str]) -> io::Result<()> {
    remove_files(folder, known)?;
    remove(folder, LOCK)
}

/// Removes a file if it exists.
fn remove(folder: &OwnedFd, name: &str) -> io::Result<()> {
    match rustix::fs::unlinkat(folder, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// A user as an error names it.
fn owner(uid: u32) -> String {
    #[cfg(feature = "live")]
    if let Ok(Some(user)) = nix::unistd::User::from_uid(nix::unistd::Uid::from_raw(uid)) {
        return format!("user {}", user.name);
    }
    format!("user {uid}")
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::os::unix::fs::MetadataExt as _;
    use std::os::unix::fs::PermissionsExt as _;
    use std::sync::Barrier;

    use super::*;

    const KNOWN: &[&str] = &["rows.csv", MANIFEST];
    const FORCE: FolderOptions = FolderOptions { overwrite: Overwrite::Force, umask: 0o077 };

    fn open(target: &Path, options: FolderOptions) -> Result<Staging, WriteError> {
        Staging::open(target, options, KNOWN)
    }

    fn write(staging: Staging, text: &str) -> Result<(), WriteError> {
        staging.create("rows.csv")?.write_all(text.as_bytes()).unwrap();
        staging.create(MANIFEST)?.write_all(br#"{"tool":{"name":"afs-audit"}}"#).unwrap();
        staging.publish(KNOWN)
    }

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    fn refusal(target: &Path, options: FolderOptions) -> String {
        open(target, options).err().unwrap().to_string()
    }

    fn is_root() -> bool {
        geteuid().is_root()
    }

    #[test]
    fn only_the_owner_can_read_evidence_unless_the_mask_allows_more() {
        let parent = tempfile::tempdir().unwrap();
        let private = parent.path().join("private");
        write(open(&private, FolderOptions::default()).unwrap(), "").unwrap();
        assert_eq!((mode(&private), mode(&private.join("rows.csv"))), (0o700, 0o600));
        let shared = parent.path().join("shared");
        let options = FolderOptions { umask: 0o027, ..FolderOptions::default() };
        write(open(&shared, options).unwrap(), "").unwrap();
        assert_eq!((mode(&shared), mode(&shared.join(MANIFEST))), (0o750, 0o640));
    }

    #[test]
    fn earlier_evidence_is_replaced_only_by_force_and_at_once() {
        let parent = tempfile::tempdir().unwrap();
        let target = parent.path().join("evidence");
        write(open(&target, FolderOptions::default()).unwrap(), "old").unwrap();
        let refused = refusal(&target, FolderOptions::default());
        assert!(refused.ends_with("holds the evidence of an earlier run; --force replaces it"), "{refused}");
        fs::set_permissions(&target, fs::Permissions::from_mode(0o750)).unwrap();
        let staging = open(&target, FORCE).unwrap();
        assert_eq!(fs::read(target.join("rows.csv")).unwrap(), b"old");
        write(staging, "new").unwrap();
        assert_eq!(fs::read(target.join("rows.csv")).unwrap(), b"new");
        assert_eq!(names(parent.path()), ["evidence"]);
        assert_eq!(names(&target), [MANIFEST, "rows.csv"]);
        assert_eq!(mode(&target), 0o750, "the folder keeps its permissions");
    }

    #[test]
    fn other_files_are_kept_by_force() {
        let target = tempfile::tempdir().unwrap();
        fs::write(target.path().join("thesis.txt"), "only copy").unwrap();
        let refused = refusal(target.path(), FolderOptions::default());
        assert!(
            refused.ends_with("not empty, and not written by afs-audit; --force writes into it"),
            "{refused}"
        );
        write(open(target.path(), FORCE).unwrap(), "old").unwrap();
        let refused = refusal(target.path(), FolderOptions::default());
        assert!(refused.ends_with("--force replaces it"), "{refused}");
        write(open(target.path(), FORCE).unwrap(), "new").unwrap();
        assert_eq!(names(target.path()), [MANIFEST, "rows.csv", "thesis.txt"]);
        assert_eq!(fs::read(target.path().join("rows.csv")).unwrap(), b"new");
    }

    #[test]
    fn a_staging_folder_that_is_a_symbolic_link_is_refused() {
        let parent = tempfile::tempdir().unwrap();
        let elsewhere = parent.path().join("elsewhere");
        fs::create_dir(&elsewhere).unwrap();
        std::os::unix::fs::symlink(&elsewhere, parent.path().join("evidence.unfinished")).unwrap();
        let refused = refusal(&parent.path().join("evidence"), FolderOptions::default());
        assert!(
            refused.contains("evidence.unfinished: not a folder, but a file or link of user "),
            "{refused}"
        );
        assert_eq!(names(&elsewhere), [""; 0]);
    }

    #[test]
    fn a_symbolic_link_among_leftovers_is_not_followed() {
        let parent = tempfile::tempdir().unwrap();
        let victim = parent.path().join("victim");
        fs::write(&victim, "precious").unwrap();
        let stage = parent.path().join("evidence.unfinished");
        fs::create_dir(&stage).unwrap();
        std::os::unix::fs::symlink(&victim, stage.join("rows.csv")).unwrap();
        let target = parent.path().join("evidence");
        write(open(&target, FolderOptions::default()).unwrap(), "rows").unwrap();
        assert_eq!(fs::read(&victim).unwrap(), b"precious");
        assert_eq!(fs::read(target.join("rows.csv")).unwrap(), b"rows");
    }

    #[test]
    fn leftovers_with_other_files_are_not_removed() {
        let parent = tempfile::tempdir().unwrap();
        let stage = parent.path().join("evidence.unfinished");
        fs::create_dir(&stage).unwrap();
        fs::write(stage.join("thesis.txt"), "only copy").unwrap();
        let refused = refusal(&parent.path().join("evidence"), FORCE);
        assert!(refused.ends_with("contains thesis.txt, which is not a file of a run"), "{refused}");
        assert_eq!(fs::read(stage.join("thesis.txt")).unwrap(), b"only copy");
    }

    #[test]
    fn a_lock_that_is_a_pipe_or_a_link_is_refused() {
        for is_pipe in [true, false] {
            let parent = tempfile::tempdir().unwrap();
            let stage = parent.path().join("evidence.unfinished");
            fs::create_dir(&stage).unwrap();
            if is_pipe {
                rustix::fs::mknodat(rustix::fs::CWD, stage.join(LOCK), FileType::Fifo, Mode::RWXU, 0)
                    .unwrap();
            } else {
                std::os::unix::fs::symlink("/dev/zero", stage.join(LOCK)).unwrap();
            }
            let refused = refusal(&parent.path().join("evidence"), FolderOptions::default());
            assert!(refused.contains("its lock is "), "{refused}");
        }
    }

    #[test]
    fn folders_and_links_of_other_users_are_refused_with_their_name() {
        if !is_root() {
            return;
        }
        let parent = tempfile::tempdir().unwrap();
        let nobody = 65534;
        let stage = parent.path().join("evidence.unfinished");
        fs::create_dir(&stage).unwrap();
        std::os::unix::fs::chown(&stage, Some(nobody), None).unwrap();
        let refused = refusal(&parent.path().join("evidence"), FolderOptions::default());
        assert!(refused.contains("evidence.unfinished: belongs to user "), "{refused}");
        let link = parent.path().join("link");
        std::os::unix::fs::symlink("/", &link).unwrap();
        std::os::unix::fs::lchown(&link, Some(nobody), None).unwrap();
        let refused = refusal(&link, FORCE);
        assert!(refused.contains("link: a symbolic link of user "), "{refused}");
    }

    #[test]
    fn a_published_folder_keeps_its_owner() {
        if !is_root() {
            return;
        }
        let parent = tempfile::tempdir().unwrap();
        let target = parent.path().join("evidence");
        write(open(&target, FolderOptions::default()).unwrap(), "old").unwrap();
        std::os::unix::fs::chown(&target, Some(65534), Some(65534)).unwrap();
        write(open(&target, FORCE).unwrap(), "new").unwrap();
        let found = fs::metadata(&target).unwrap();
        assert_eq!((found.uid(), found.gid()), (65534, 65534));
    }

    /// Of runs that start together, those that report success wrote the evidence that is there.
    #[test]
    fn one_run_at_a_time_wins_the_lock() {
        let parent = tempfile::tempdir().unwrap();
        for round in 0..100 {
            let target = parent.path().join(format!("evidence-{round}"));
            let barrier = Barrier::new(8);
            let finished: Vec<usize> = std::thread::scope(|scope| {
                let runs: Vec<_> = (0..8)
                    .map(|run| {
                        let (target, barrier) = (&target, &barrier);
                        scope.spawn(move || {
                            barrier.wait();
                            let staging = open(target, FolderOptions::default()).ok()?;
                            write(staging, &run.to_string()).ok().map(|()| run)
                        })
                    })
                    .collect();
                runs.into_iter().filter_map(|run| run.join().unwrap()).collect()
            });
            assert_eq!(finished.len(), 1, "round {round}");
            assert_eq!(fs::read_to_string(target.join("rows.csv")).unwrap(), finished[0].to_string());
            assert_eq!(names(&target), [MANIFEST, "rows.csv"]);
        }
    }

    #[test]
    fn replacing_runs_never_mix_their_files() {
        let parent = tempfile::tempdir().unwrap();
        let target = parent.path().join("evidence");
        for round in 0..50 {
            let barrier = Barrier::new(4);
            std::thread::scope(|scope| {
                for run in 0..4 {
                    let (target, barrier) = (&target, &barrier);
                    scope.spawn(move || {
                        barrier.wait();
                        open(target, FORCE).and_then(|staging| write(staging, &run.to_string()))
                    });
                }
            });
            assert_eq!(names(&target), [MANIFEST, "rows.csv"], "round {round}");
            assert!(has_manifest(&open_folder(&target).unwrap()).unwrap());
        }
    }
}

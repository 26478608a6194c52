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

mod lock;

use std::ffi::OsStr;
use std::ffi::OsString;
use std::fs;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::path::PathBuf;

use rustix::fs::AtFlags;
use rustix::fs::Mode;
use rustix::fs::OFlags;
use rustix::fs::RenameFlags;
use rustix::io::Errno;
use rustix::process::geteuid;

use self::lock::FOLDER;
use self::lock::LOCK;
use self::lock::LockProblem;
use self::lock::LockedFolder;
use self::lock::clear;
use self::lock::is_same;
use self::lock::lock_file;
use self::lock::lock_first;
use self::lock::owner;
use self::lock::parent_of;
use self::lock::remove;
use self::lock::wait_for_lock;
use super::manifest::MANIFEST;
use super::manifest::MANIFEST_LIMIT;
use super::manifest::StoredManifest;
use super::stored::FileOpener;
use super::write_error::WriteError;
use super::write_error::reason;

/// Name of the staging folder inside a folder that exists; suffix of its name beside one that does not.
pub const UNFINISHED: &str = ".unfinished";

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
    /// Bytes of rows; without a limit if none. Further rows of one kind become one.
    pub max_bytes: Option<u64>,
    /// Bytes of rows that are kept in memory for the page and the frames that prove findings; further rows are read from the disk.
    pub kept_bytes: usize,
}

impl Default for FolderOptions {
    /// A new or empty folder, for its owner alone: evidence is customer data.
    fn default() -> FolderOptions {
        FolderOptions { overwrite: Overwrite::No, umask: 0o077, max_bytes: None, kept_bytes: 64 << 20 }
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
                LockProblem::Failed(error) => WriteError::new(&path, &error),
                LockProblem::Refused(reason) => WriteError { path, reason },
                LockProblem::Busy => refused(target, "another run is writing to it"),
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

    /// Removes a file, if it exists.
    pub(super) fn discard(&self, name: &str) {
        let _ = rustix::fs::unlinkat(&self.folder, name, AtFlags::empty());
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
            Err(LockProblem::Busy) => {}
            Err(LockProblem::Failed(error)) => return Err(error),
            Err(LockProblem::Refused(reason)) => return Err(io::Error::other(reason)),
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
    file.take(MANIFEST_LIMIT).read_to_end(&mut json)?;
    Ok(StoredManifest::parse(&json).is_some())
}

#[cfg(test)]
mod tests;

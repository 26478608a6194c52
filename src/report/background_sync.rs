//! Writes complete files to the disk while the run goes on.
//!
//! In:  files, complete.
//! Out: the first error, when all are on the disk.

use std::fs::File;
use std::io;
use std::thread;
use std::thread::JoinHandle;

/// Files that are being written to the disk, by name. A folder has at most one of each name, so their number is small.
#[derive(Debug, Default)]
pub(super) struct BackgroundSync(Vec<(String, JoinHandle<io::Result<()>>)>);

impl BackgroundSync {
    /// Begins with a file.
    pub(super) fn add(&mut self, name: &str, file: File) -> io::Result<()> {
        let thread = thread::Builder::new().name("sync".to_owned()).spawn(move || file.sync_all())?;
        self.0.push((name.to_owned(), thread));
        Ok(())
    }

    /// Waits for all files. An error has the name of its file.
    pub(super) fn finish(self) -> Result<(), (String, io::Error)> {
        for (name, thread) in self.0 {
            let synced = thread.join().unwrap_or_else(|_| Err(io::Error::other("the thread ended early")));
            synced.map_err(|error| (name, error))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_cannot_reach_the_disk_is_named() {
        let mut sync = BackgroundSync::default();
        let folder = tempfile::tempdir().unwrap();
        sync.add("good", File::create(folder.path().join("good")).unwrap()).unwrap();
        sync.finish().unwrap();
        // A pipe has no disk.
        let (_reader, writer) = io::pipe().unwrap();
        let mut sync = BackgroundSync::default();
        sync.add("flows.csv", File::from(std::os::fd::OwnedFd::from(writer))).unwrap();
        assert_eq!(sync.finish().unwrap_err().0, "flows.csv");
    }
}

//! Errors of writing evidence.

use std::io;
use std::path::Path;
use std::path::PathBuf;

/// A file, folder or stream cannot be written.
#[derive(Debug, thiserror::Error)]
#[error("cannot write evidence: {}: {reason}", path.display())]
pub struct WriteError {
    /// The path.
    pub path: PathBuf,
    /// The reason.
    pub reason: String,
}

impl WriteError {
    pub(super) fn new(path: &Path, error: &io::Error) -> WriteError {
        WriteError { path: path.to_owned(), reason: reason(error) }
    }
}

/// The text of an operating system error as messages print it: lower case, without the error number.
pub fn reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "no such file or folder".into(),
        io::ErrorKind::StorageFull => "no space left on the disk".into(),
        _ => {
            let text = error.to_string();
            let text = text.split(" (os error").next().unwrap_or_default();
            let mut chars = text.chars();
            chars.next().map_or_else(String::new, |first| first.to_lowercase().chain(chars).collect())
        }
    }
}

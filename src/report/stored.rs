//! Reads an evidence folder.
//!
//! In:  the manifest and the tables of a folder, as a run wrote them.
//! Out: the manifest, and rows by the names of their columns.
//! Not: trust: every text may have been changed since it was written, and is bounded and checked here.

use std::borrow::Cow;
use std::fs::File;
use std::io;
use std::io::BufReader;
use std::io::Seek as _;
use std::io::SeekFrom;
use std::ops::Range;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;

use hashbrown::HashMap;
use memchr::memmem::Finder;
use serde_json::Value;

use super::cell::begins_formula;
use super::facts::CitedRow;
use super::kept_rows::KeptRows;
use super::manifest::MANIFEST;
use super::manifest::MANIFEST_VERSION;
use super::stored_table::StoredTable;
use super::verify::VerifyError;
use super::verify::is_altered;
use super::verify::read_manifest;
use super::verify::verify_outputs;
use super::write_error::reason;
use crate::base::Time;

/// An evidence folder, or a file in it, cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("cannot read evidence: {}: {reason}", path.display())]
pub struct ReadError {
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it.
    pub reason: String,
}

/// Opens a file of a folder by its name.
pub(super) type FileOpener = Box<dyn Fn(&str) -> io::Result<File> + Send>;

/// An evidence folder.
pub struct StoredEvidence {
    folder: PathBuf,
    open: FileOpener,
    manifest: Value,
    /// The first rows of tables that this run wrote.
    kept: Arc<[Box<KeptRows>]>,
}

impl StoredEvidence {
    /// Opens a folder. Fails if a file in it is not as the manifest describes it.
    pub fn open(folder: &Path) -> Result<StoredEvidence, ReadError> {
        let unreadable = |error: VerifyError| ReadError { path: error.path, reason: error.reason };
        let failed = |reason: String| ReadError { path: folder.join(MANIFEST), reason };
        let (json, stored) = read_manifest(folder).map_err(unreadable)?;
        let altered = verify_outputs(folder, &stored).map_err(unreadable)?.into_iter().find(is_altered);
        if let Some(file) = altered {
            let path = folder.join(file.name);
            let reason = "not as the manifest describes it; see `afs-audit verify`".into();
            return Err(ReadError { path, reason });
        }
        let evidence =
            StoredEvidence::read(folder, opener(folder), &json).ok_or_else(|| failed("not JSON".into()))?;
        match evidence.manifest.get("manifest").and_then(Value::as_u64) {
            Some(version) if version == u64::from(MANIFEST_VERSION) => Ok(evidence),
            version => Err(failed(format!(
                "version {} of the format; this program reads version {MANIFEST_VERSION}",
                version.unwrap_or_default()
            ))),
        }
    }

    fn read(folder: &Path, open: FileOpener, manifest: &[u8]) -> Option<StoredEvidence> {
        let manifest = serde_json::from_slice(manifest).ok()?;
        Some(StoredEvidence { folder: folder.to_owned(), open, manifest, kept: Arc::new([]) })
    }

    /// A folder whose tables are complete and that has no manifest yet, and the rows of it that were kept.
    pub(super) fn staged(folder: &Path, open: FileOpener, kept: Arc<[Box<KeptRows>]>) -> StoredEvidence {
        StoredEvidence { folder: folder.to_owned(), open, manifest: Value::Null, kept }
    }

    /// Its path.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Whether the manifest lists a file of this name.
    pub fn has_output(&self, name: &str) -> bool {
        let outputs = self.manifest.get("outputs").and_then(Value::as_array);
        outputs.into_iter().flatten().any(|output| output.get("name").and_then(Value::as_str) == Some(name))
    }

    /// The manifest.
    pub fn manifest(&self) -> &Value {
        &self.manifest
    }

    /// The documented row of an id in a `references` column, such as `afs-2019-06-24/endpoints/6.2 (as meant)`.
    pub fn cited(&self, reference: &str) -> Option<CitedRow> {
        let id = reference.split_whitespace().next()?;
        serde_json::from_value(self.manifest.get("cited")?.get(id)?.clone()).ok()
    }

    /// Calls `each` with every row of a table, in order. A table that the run did not write has no rows.
    pub fn for_each_row(&self, table: &str, each: impl FnMut(&StoredRow<'_>)) -> Result<(), ReadError> {
        self.for_each_row_with(table, "", each)
    }

    /// The same with the rows that have this text in them, of a table that this program wrote. Looking for it takes a tenth of the
    /// time of dividing a row.
    pub(super) fn for_each_row_with(
        &self,
        table: &str,
        text: &str,
        mut each: impl FnMut(&StoredRow<'_>),
    ) -> Result<(), ReadError> {
        let path = self.folder.join(table);
        let failed = |reason: String| ReadError { path: path.clone(), reason };
        let mut after = None;
        if let Some(kept) = self.kept.iter().find(|kept| kept.file() == table) {
            kept.for_each_row(&mut each);
            after = kept.reach();
            if after.is_none() {
                return Ok(());
            }
        }
        let file = match (self.open)(table) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(failed(reason(&error))),
        };
        let mut table = StoredTable::new(BufReader::with_capacity(1 << 18, file));
        let mut columns: HashMap<String, usize> = HashMap::new();
        if let Some((text, names)) = table.next().map_err(|error| failed(error.to_string()))? {
            for (at, name) in names.iter().enumerate() {
                columns.insert(text.get(name.clone()).unwrap_or_default().to_owned(), at);
            }
        }
        if let Some((rows, bytes)) = after {
            let mut input = table.into_input();
            input.seek(SeekFrom::Start(bytes)).map_err(|error| failed(reason(&error)))?;
            table = StoredTable::after(rows, input);
        }
        let text = Finder::new(text);
        while let Some((text, fields)) = table.next_with(&text).map_err(|error| failed(error.to_string()))? {
            each(&StoredRow { columns: &columns, text, fields, is_kept: false });
        }
        Ok(())
    }
}

fn opener(folder: &Path) -> FileOpener {
    let folder = folder.to_owned();
    Box::new(move |name| File::open(folder.join(name)))
}

/// A row of a table.
pub struct StoredRow<'a> {
    columns: &'a HashMap<String, usize>,
    text: &'a str,
    fields: &'a [Range<usize>],
    /// Has some of the columns only.
    is_kept: bool,
}

impl<'a> StoredRow<'a> {
    /// A row that was kept.
    pub(super) fn kept(
        columns: &'a HashMap<String, usize>,
        text: &'a str,
        fields: &'a [Range<usize>],
    ) -> StoredRow<'a> {
        StoredRow { columns, text, fields, is_kept: true }
    }

    /// A value as the file has it; empty if it is missing.
    pub fn raw(&self, column: &str) -> &'a str {
        debug_assert!(!self.is_kept || self.columns.contains_key(column), "{column} is not kept");
        let field = self.columns.get(column).and_then(|at| self.fields.get(*at));
        field.and_then(|field| self.text.get(field.clone())).unwrap_or_default()
    }

    /// A text, without the guard against formulas.
    pub fn text(&self, column: &str) -> &'a str {
        without_guard(self.raw(column))
    }

    /// The elements of a list.
    pub fn elements(&self, column: &str) -> impl Iterator<Item = Cow<'a, str>> {
        let elements = self.raw(column).split(';').filter(|element| !element.is_empty());
        elements.map(|element| with_semicolons(without_guard(element)))
    }

    /// The elements of a list, owned.
    pub fn list(&self, column: &str) -> Vec<String> {
        self.elements(column).map(Cow::into_owned).collect()
    }

    /// A number; 0 if it is missing.
    pub fn number(&self, column: &str) -> u64 {
        self.raw(column).parse().unwrap_or_default()
    }

    /// A time.
    pub fn time(&self, column: &str) -> Option<Time> {
        parse_time(self.raw(column))
    }
}

/// A time as the tables and the manifest print it.
pub(crate) fn parse_time(text: &str) -> Option<Time> {
    text.parse().ok()
}

/// Removes the `'` that keeps a spreadsheet from evaluating a text.
fn without_guard(text: &str) -> &str {
    text.strip_prefix('\'').filter(|rest| begins_formula(rest)).unwrap_or(text)
}

/// `\x3b` is a `;` inside of an element; `\\` is a backslash, and stays as it is.
fn with_semicolons(element: &str) -> Cow<'_, str> {
    if !element.contains('\\') {
        return Cow::Borrowed(element);
    }
    let mut out = String::with_capacity(element.len());
    let mut rest = element;
    while let Some(at) = rest.find('\\') {
        let (before, escape) = rest.split_at(at);
        out.push_str(before);
        let (shown, len) = match escape {
            _ if escape.starts_with("\\x3b") => (";", 4),
            _ if escape.starts_with("\\\\") => ("\\\\", 2),
            _ => ("\\", 1),
        };
        out.push_str(shown);
        rest = escape.get(len..).unwrap_or_default();
    }
    Cow::Owned(out + rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guards_and_separators_are_undone() {
        assert_eq!(without_guard("'=1+1"), "=1+1");
        assert_eq!(without_guard("'quoted'"), "'quoted'");
        assert_eq!(with_semicolons(r"a\x3bb"), "a;b");
        assert_eq!(with_semicolons(r"a\\x3bb\x0a"), r"a\\x3bb\x0a");
    }

    #[test]
    fn times_are_read_as_they_are_printed() {
        let time = Time::from_parts(1_784_542_272, 123_456_000);
        assert_eq!(parse_time(&time.to_string()), Some(time));
        assert_eq!(parse_time("yesterday"), None);
    }
}

//! The rule documents in the form in which the program contains them.
//!
//! In:  the documents that the build script read, or their packed bytes.
//! Out: the packed bytes, or the same documents.
//! Not: errors in rule files; the build script reports them.

use std::sync::Arc;
use std::sync::LazyLock;

use serde::Deserialize;
use serde::Serialize;

use super::documents::Documents;
use super::reference::Document;
use super::reference::DocumentTable;
use super::reference::Reference;
use super::reference::SourceRow;

/// A document with its tables in printed order.
#[derive(Serialize, Deserialize)]
#[serde(bound(deserialize = "'de: 'static"))]
struct PackedDocument {
    document: Arc<Document>,
    tables: Vec<PackedTable>,
}

#[derive(Serialize, Deserialize)]
#[serde(bound(deserialize = "'de: 'static"))]
struct PackedTable {
    table: Arc<DocumentTable>,
    rows: Vec<PackedRow>,
}

/// A row; its references lack what they share with others of the row, the table and the document.
#[derive(Serialize, Deserialize)]
#[serde(bound(deserialize = "'de: 'static"))]
struct PackedRow {
    row: Arc<SourceRow>,
    references: Vec<Arc<Reference>>,
}

/// Packs documents. The build script calls it.
#[allow(dead_code, reason = "only the build script packs")]
pub(super) fn pack(documents: &Documents) -> Result<Vec<u8>, postcard::Error> {
    let rows = |references: &[Arc<Reference>]| -> Vec<PackedRow> {
        references
            .chunk_by(|a, b| Arc::ptr_eq(&a.row, &b.row))
            .filter_map(|of_row| {
                Some(PackedRow { row: Arc::clone(&of_row.first()?.row), references: of_row.to_vec() })
            })
            .collect()
    };
    let tables = |references: &[Arc<Reference>]| -> Vec<PackedTable> {
        references
            .chunk_by(|a, b| Arc::ptr_eq(&a.table, &b.table))
            .filter_map(|of_table| {
                Some(PackedTable { table: Arc::clone(&of_table.first()?.table), rows: rows(of_table) })
            })
            .collect()
    };
    let packed: Vec<PackedDocument> = documents
        .iter()
        .map(|(document, references)| PackedDocument {
            document: Arc::clone(document),
            tables: tables(references),
        })
        .collect();
    postcard::to_allocvec(&packed)
}

/// The documents that [`pack`] packed.
pub(super) fn unpack(bytes: &'static [u8]) -> Result<Documents, postcard::Error> {
    let packed: Vec<PackedDocument> = postcard::from_bytes(bytes)?;
    let mut documents = Vec::with_capacity(packed.len());
    for PackedDocument { document, tables } in packed {
        let rows = tables.iter().flat_map(|table| &table.rows);
        let mut references = Vec::with_capacity(rows.map(|row| row.references.len()).sum());
        for PackedTable { table, rows } in tables {
            for PackedRow { row, references: of_row } in rows {
                for mut reference in of_row {
                    let own = Arc::make_mut(&mut reference);
                    own.document = Arc::clone(&document);
                    own.table = Arc::clone(&table);
                    own.row = Arc::clone(&row);
                    references.push(reference);
                }
            }
        }
        documents.push((document, references));
    }
    Ok(documents)
}

/// Values of the fields that a packed reference lacks, until [`unpack`] sets them.
pub(super) fn no_document() -> Arc<Document> {
    static NONE: LazyLock<Arc<Document>> = LazyLock::new(Arc::default);
    Arc::clone(&NONE)
}

/// As [`no_document`].
pub(super) fn no_table() -> Arc<DocumentTable> {
    static NONE: LazyLock<Arc<DocumentTable>> = LazyLock::new(Arc::default);
    Arc::clone(&NONE)
}

/// As [`no_document`].
pub(super) fn no_row() -> Arc<SourceRow> {
    static NONE: LazyLock<Arc<SourceRow>> = LazyLock::new(Arc::default);
    Arc::clone(&NONE)
}

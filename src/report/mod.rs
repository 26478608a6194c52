//! Prints the records of a run.
//!
//! In:  records, and the facts of the run.
//! Out: CSV, JSON lines, an evidence folder with its manifest, a summary for people, progress.
//! Not: verdicts; `judge` has given them.

mod background_sync;
mod cell;
mod collapse;
mod column;
mod columns;
mod decimal;
mod facts;
mod folder;
mod html;
mod human;
mod input_names;
mod kept_rows;
mod layout;
mod manifest;
mod progress;
mod proving_frames;
mod record_sink;
pub mod registry;
mod requirements_text;
mod schema;
mod staging;
mod stored;
mod stored_table;
mod summary;
mod table;
#[cfg(test)]
pub(crate) mod test_support;
mod verify;
mod write_error;

pub use cell::Cell;
pub use cell::TextOrigin;
pub use column::Column;
pub use column::ColumnType;
pub use column::RowPart;
pub use column::TableRow;
pub(crate) use columns::columns;
pub use facts::Accounting;
pub use facts::CitedRow;
pub use facts::LimitKind;
pub use facts::PointFact;
pub use facts::PointFacts;
pub use facts::PolicySource;
pub use facts::RunFacts;
pub use facts::TagSource;
pub use facts::UsedDocument;
pub use facts::WindowFacts;
pub use folder::ClosedFolder;
pub use folder::EVIDENCE_FRAMES;
pub use folder::EvidenceFolder;
pub use folder::Published;
pub use folder::SIGNATURE;
pub(crate) use html::HtmlPage;
pub use html::REPORT;
pub(crate) use html::Tone;
pub use html::render_report;
pub(crate) use html::shown;
pub(crate) use human::count;
pub(crate) use human::date_and_time;
pub(crate) use human::duration;
#[cfg(all(feature = "live", unix))]
pub(crate) use human::first_frames;
pub(crate) use human::grouped;
pub(crate) use human::verb;
pub use input_names::InputNames;
#[cfg(all(feature = "live", unix))]
#[cfg(feature = "live")]
pub(crate) use layout::truncate;
pub(crate) use layout::wrap;
pub use manifest::FEATURES;
pub use manifest::Invocation;
pub use manifest::MANIFEST;
pub use manifest::Manifest;
pub use manifest::OutputFile;
pub use progress::Progress;
pub use proving_frames::ProvingFrames;
pub use record_sink::ByteSink;
pub use record_sink::RecordSink;
pub use record_sink::RecordStream;
pub use schema::RECORDS;
pub use schema::json_schema;
pub(crate) use schema::record_schema;
pub use staging::FolderOptions;
pub use staging::Overwrite;
pub use staging::UNFINISHED;
pub use staging::create_folder_for;
pub use staging::set_aside;
pub use staging::staging_places;
pub use stored::ReadError;
pub use stored::StoredEvidence;
pub use stored::StoredRow;
pub(crate) use stored::parse_time;
pub use summary::Summary;
pub use summary::SummaryDetail;
pub(crate) use summary::severity_style;
pub use table::CsvTable;
pub use table::JsonLines;
pub use verify::FileCheck;
pub use verify::FileRole;
pub use verify::FileState;
pub use verify::Verification;
pub use verify::VerifyError;
pub use verify::verify_folder;
pub use write_error::WriteError;
pub use write_error::reason;

//! Prints what judge leaves.
//!
//! In:  records, and what the run was.
//! Out: CSV, JSON lines, an evidence folder with its manifest, a summary for people, progress.
//! Not: what any of it means; that was decided before.

mod cell;
mod columns;
mod error;
mod facts;
mod folder;
mod human;
mod manifest;
mod names;
mod progress;
pub mod registry;
mod sink;
mod summary;
mod table;
#[cfg(test)]
pub(crate) mod test_support;
mod verify;

pub use cell::Cell;
pub use cell::Origin;
pub use columns::Column;
pub use columns::Record;
pub use error::WriteError;
pub use error::reason;
pub use facts::Accounting;
pub use facts::Document;
pub use facts::RunFacts;
pub use facts::Source;
pub use facts::TagSource;
pub use folder::Folder;
pub use folder::Overwrite;
pub use folder::Published;
pub use folder::UNFINISHED;
pub use folder::set_aside;
pub use folder::staging_places;
pub(crate) use human::count;
pub(crate) use human::grouped;
pub(crate) use human::verb;
pub use manifest::FEATURES;
pub use manifest::MANIFEST;
pub use manifest::Manifest;
pub use manifest::Output;
pub use manifest::Run;
pub use names::Names;
pub use progress::Progress;
pub use sink::Out;
pub use sink::Sink;
pub use sink::Stream;
pub use summary::Detail;
pub use summary::Summary;
pub(crate) use summary::severity_style;
#[cfg(all(feature = "live", unix))]
pub(crate) use summary::truncate;
pub use table::Csv;
pub use table::JsonLines;
pub use verify::FileCheck;
pub use verify::FileRole;
pub use verify::FileState;
pub use verify::Verification;
pub use verify::VerifyError;
pub use verify::verify_folder;

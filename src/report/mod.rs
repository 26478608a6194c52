//! Prints what judge leaves.
//!
//! In:  records, and what the run was.
//! Out: CSV, JSON lines, an evidence folder with its manifest, a summary for people, progress.
//! Not: what any of it means; that was decided before.

mod cell;
mod columns;
pub mod registry;
#[cfg(test)]
mod sample;
mod table;

pub use cell::Cell;
pub use cell::Names;
pub use cell::Origin;
pub use columns::Column;
pub use columns::Record;
pub use table::Csv;
pub use table::JsonLines;

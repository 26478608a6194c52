//! Stores the facts of a run, and reads them back.
//!
//! In:  observations in frame order, as `judge` accepts them.
//! Out: the facts file; and the same observations from it.
//! Not: what a fact means.
//!
//! The format is documented in `docs/facts.md`. A file is untrusted when it is read: every length is checked before memory is
//! allocated, and every text before it is printed.

mod encoding;
mod file;
mod stored;
mod words;

pub use encoding::FactsEncoder;
pub use file::FactsError;
pub use file::FactsHeader;
pub use file::FactsReader;
pub use file::FactsWriter;
pub use file::StoredLimits;
pub use stored::Stored;

/// The file's name in an evidence folder.
pub const FACTS: &str = "facts.lz4";

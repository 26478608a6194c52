//! Remembers what the same bytes said before.
//!
//! In:  what a client offers and what certificates a server shows, as bytes.
//! Out: the attributes that were read from the same bytes earlier, shared and not built again.
//! Not: names, times and whatever else differs from one conversation to the next.
//!
//! A site's clients run few programs and its servers show few certificates: nearly every hello and certificate has been
//! seen before. What is told does not depend on whether it was.

use std::sync::Arc;

use hashbrown::HashMap;

use super::fact::AttributeKey;
use super::fact::AttributeValue;
use crate::base::HostName;

/// Attributes, told as one fact.
pub type AttributeSet = Arc<[(AttributeKey, AttributeValue)]>;

/// So many are remembered of each kind; when a table is full it begins anew.
const ENTRIES: usize = 512;

/// Longer bytes are read each time.
const KEY_LIMIT: usize = 8 << 10;

/// What certificates say: the first DNS name, and all else.
pub(crate) type Shown = (Option<HostName>, AttributeSet);

/// A table from bytes to what they say.
#[derive(Debug)]
pub(crate) struct Table<T> {
    known: HashMap<Box<[u8]>, T, foldhash::quality::RandomState>,
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Table { known: HashMap::default() }
    }
}

impl<T: Clone> Table<T> {
    /// What `bytes` say: remembered, or read now.
    pub(crate) fn get(&mut self, bytes: &[u8], read: impl FnOnce() -> T) -> T {
        if let Some(known) = self.known.get(bytes) {
            return known.clone();
        }
        let said = read();
        if bytes.len() <= KEY_LIMIT {
            if self.known.len() >= ENTRIES {
                self.known.clear();
            }
            self.known.insert(bytes.into(), said.clone());
        }
        said
    }
}

/// All that one desk remembers.
#[derive(Debug, Default)]
pub struct ParseCache {
    pub(crate) hellos: Table<AttributeSet>,
    pub(crate) certificates: Table<Shown>,
    /// Room for the key of a hello.
    pub(crate) key: Vec<u8>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_bytes_are_read_once_and_the_table_stays_small() {
        let mut table = Table::default();
        let mut reads = 0;
        for round in 0..3u32 {
            for entry in 0..ENTRIES as u32 {
                let said = table.get(&entry.to_be_bytes(), || {
                    reads += 1;
                    entry
                });
                assert_eq!((said, round < 3), (entry, true));
            }
        }
        assert_eq!(reads, ENTRIES);
        table.get(b"one more", || 0);
        assert_eq!(table.known.len(), 1);
    }
}

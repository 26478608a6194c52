//! Caches the results of parsing ClientHellos and certificates.
//!
//! In:  the bytes that were parsed.
//! Out: the attributes parsed from the same bytes before, shared instead of built again.
//! Not: names, times and everything else that differs between conversations.
//!
//! A site's clients run few programs and its servers have few certificates, so nearly every ClientHello and certificate is
//! a repeated one. The facts do not depend on whether the cache had them.

use hashbrown::HashMap;

use super::attributes::AttributeSet;
use crate::base::HostName;

/// Entries of each table; a full table is cleared.
const ENTRY_LIMIT: usize = 512;

/// Longer keys are not cached.
const KEY_LIMIT: usize = 8 << 10;

/// The facts of a certificate chain: the first DNS name, and the attributes.
pub(crate) type CertificateFacts = (Option<HostName>, AttributeSet);

/// Parse results by the bytes that were parsed.
#[derive(Debug)]
pub(crate) struct CacheTable<T> {
    entries: HashMap<Box<[u8]>, T, foldhash::quality::RandomState>,
}

impl<T> Default for CacheTable<T> {
    fn default() -> Self {
        CacheTable { entries: HashMap::default() }
    }
}

impl<T: Clone> CacheTable<T> {
    /// The result for `bytes`: cached, or parsed now.
    pub(crate) fn get_or_parse(&mut self, bytes: &[u8], parse: impl FnOnce() -> T) -> T {
        if let Some(cached) = self.entries.get(bytes) {
            return cached.clone();
        }
        let result = parse();
        if bytes.len() <= KEY_LIMIT {
            if self.entries.len() >= ENTRY_LIMIT {
                self.entries.clear();
            }
            self.entries.insert(bytes.into(), result.clone());
        }
        result
    }
}

/// The caches of one dispatcher.
#[derive(Debug, Default)]
pub struct ParseCache {
    pub(crate) hellos: CacheTable<AttributeSet>,
    pub(crate) certificates: CacheTable<CertificateFacts>,
    /// Reused for the key of a ClientHello.
    pub(crate) key_buffer: Vec<u8>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_bytes_are_parsed_once_and_the_table_stays_small() {
        let mut table = CacheTable::default();
        let mut parses = 0;
        for round in 0..3u32 {
            for entry in 0..ENTRY_LIMIT as u32 {
                let result = table.get_or_parse(&entry.to_be_bytes(), || {
                    parses += 1;
                    entry
                });
                assert_eq!((result, round < 3), (entry, true));
            }
        }
        assert_eq!(parses, ENTRY_LIMIT);
        table.get_or_parse(b"one more", || 0);
        assert_eq!(table.entries.len(), 1);
    }
}

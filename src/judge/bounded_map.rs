//! Maps of bounded size.
//!
//! In:  keys and values.
//! Out: the values, until they are evicted.
//! Not: what the values mean.
//!
//! A map keeps two generations. When the newer one is full, the older one is dropped and the newer takes its place, so that
//! recently used entries stay.

use std::hash::BuildHasher;
use std::hash::Hash;

use hashbrown::Equivalent;
use hashbrown::HashTable;
use hashbrown::hash_table;

/// A key with its value and weight.
#[derive(Debug)]
struct WeighedEntry<K, V> {
    key: K,
    value: V,
    weight: u32,
}

/// A map of bounded size that evicts the least recently used half.
#[derive(Debug)]
pub(super) struct BoundedMap<K, V> {
    newer: HashTable<WeighedEntry<K, V>>,
    older: HashTable<WeighedEntry<K, V>>,
    hasher: foldhash::fast::RandomState,
    /// Entries of one generation. Seven eighths of a power of two is what a hash table holds without growing.
    capacity: usize,
    /// The weight at which a generation is full, and the weight of the newer one.
    max_weight: usize,
    weight: usize,
    /// How often a generation was dropped.
    pub(super) evictions: u64,
}

impl<K: Hash + Eq, V> BoundedMap<K, V> {
    /// A map with at most `capacity` entries in each generation.
    pub(super) fn new(capacity: usize) -> Self {
        BoundedMap {
            newer: HashTable::new(),
            older: HashTable::new(),
            hasher: foldhash::fast::RandomState::default(),
            capacity,
            max_weight: usize::MAX,
            weight: 0,
            evictions: 0,
        }
    }

    /// The same; a generation is also full when its entries together weigh more than `max_weight`.
    pub(super) fn weighing(capacity: usize, max_weight: usize) -> Self {
        BoundedMap { max_weight, ..BoundedMap::new(capacity) }
    }

    /// The value of a key. Moves the entry to the newer generation.
    pub(super) fn get<Q: Hash + Equivalent<K>>(&mut self, key: &Q) -> Option<&mut V> {
        if self.is_empty() {
            return None;
        }
        let hash = self.hasher.hash_one(key);
        let is_it = |entry: &WeighedEntry<K, V>| key.equivalent(&entry.key);
        if let Some(bucket) = self.newer.find_bucket_index(hash, is_it) {
            return self.newer.get_bucket_mut(bucket).map(|entry| &mut entry.value);
        }
        let (entry, _) = self.older.find_entry(hash, is_it).ok()?.remove();
        Some(self.insert_hashed(hash, entry))
    }

    /// The value of a key. Moves nothing, so that the order of lookups changes nothing.
    pub(super) fn peek<Q: Hash + Equivalent<K>>(&self, key: &Q) -> Option<&V> {
        if self.is_empty() {
            return None;
        }
        let hash = self.hasher.hash_one(key);
        let is_it = |entry: &WeighedEntry<K, V>| key.equivalent(&entry.key);
        let found = self.newer.find(hash, is_it).or_else(|| self.older.find(hash, is_it));
        found.map(|entry| &entry.value)
    }

    /// Whether there is such a key. Moves nothing.
    pub(super) fn contains<Q: Hash + Equivalent<K>>(&self, key: &Q) -> bool {
        self.peek(key).is_some()
    }

    /// Many maps are about what goes wrong: where nothing does, no key needs to be hashed.
    #[inline]
    fn is_empty(&self) -> bool {
        self.newer.is_empty() && self.older.is_empty()
    }

    /// The number of entries.
    pub(super) fn len(&self) -> usize {
        self.newer.len() + self.older.len()
    }

    /// All entries, in no order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.newer.iter().chain(&self.older).map(|entry| (&entry.key, &entry.value))
    }

    /// All entries, in no order.
    pub(super) fn into_entries(self) -> impl Iterator<Item = (K, V)> {
        self.newer.into_iter().chain(self.older).map(|entry| (entry.key, entry.value))
    }

    /// Adds a value, or replaces it.
    pub(super) fn insert(&mut self, key: K, value: V) {
        self.insert_weighing(key, value, 0);
    }

    /// The same, with a weight.
    pub(super) fn insert_weighing(&mut self, key: K, value: V, weight: usize) {
        let weight = u32::try_from(weight).unwrap_or(u32::MAX);
        let hash = self.hasher.hash_one(&key);
        self.insert_hashed(hash, WeighedEntry { key, value, weight });
    }

    fn insert_hashed(&mut self, hash: u64, entry: WeighedEntry<K, V>) -> &mut V {
        if self.newer.len() >= self.capacity || self.weight > self.max_weight {
            self.evict_older();
        }
        self.weight += entry.weight as usize;
        let hasher = &self.hasher;
        let slot =
            self.newer.entry(hash, |other| other.key == entry.key, |other| hasher.hash_one(&other.key));
        let entry = match slot {
            hash_table::Entry::Occupied(slot) => {
                let before = slot.into_mut();
                self.weight -= before.weight as usize;
                *before = entry;
                before
            }
            hash_table::Entry::Vacant(slot) => slot.insert(entry).into_mut(),
        };
        &mut entry.value
    }

    /// Drops the older generation. Its memory is used again.
    fn evict_older(&mut self) {
        if !self.older.is_empty() {
            self.evictions += 1;
        }
        std::mem::swap(&mut self.newer, &mut self.older);
        self.newer.clear();
        self.weight = 0;
    }

    /// Sets the weight of an entry that [`BoundedMap::get`] has just returned.
    pub(super) fn set_weight(&mut self, key: &K, weight: usize) {
        let hash = self.hasher.hash_one(key);
        if let Some(entry) = self.newer.find_mut(hash, |other| other.key == *key) {
            self.weight -= entry.weight as usize;
            entry.weight = u32::try_from(weight).unwrap_or(u32::MAX);
            self.weight += entry.weight as usize;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recently_used_entries_stay() {
        let mut map = BoundedMap::new(4);
        for key in 0..4 {
            map.insert(key, key * 10);
        }
        map.insert(4, 40);
        assert_eq!(map.get(&0), Some(&mut 0), "moved to the newer generation");
        for key in 5..8 {
            map.insert(key, key * 10);
        }
        assert_eq!((map.peek(&0), map.peek(&1)), (Some(&0), None));
        assert_eq!(map.evictions, 1);
    }

    #[test]
    fn weight_fills_a_generation_too() {
        let mut map = BoundedMap::weighing(100, 10);
        map.insert_weighing("a", (), 8);
        map.insert_weighing("b", (), 8);
        assert_eq!(map.evictions, 0);
        map.insert_weighing("c", (), 1);
        map.insert_weighing("d", (), 20);
        map.insert_weighing("e", (), 1);
        assert!(!map.contains(&"a") && map.contains(&"e"), "{}", map.evictions);
        map.set_weight(&"e", 30);
        map.insert("f", ());
        assert!(map.contains(&"f") && map.contains(&"e") && !map.contains(&"c"));
    }
}

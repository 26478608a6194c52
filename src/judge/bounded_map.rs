//! Tables of bounded size.
//!
//! In:  keys and values.
//! Out: the values, as long as they are remembered.
//! Not: what is remembered.
//!
//! A table keeps two generations and forgets the older one when the newer is full, so what was used lately stays.

use std::hash::BuildHasher;
use std::hash::Hash;

use hashbrown::Equivalent;
use hashbrown::HashTable;
use hashbrown::hash_table::Entry as PageField;

/// What is remembered under a key, and what it weighs.
#[derive(Debug)]
struct Entry<K, V> {
    key: K,
    value: V,
    weight: u32,
}

/// A map of bounded size that forgets what has not been used for longest.
#[derive(Debug)]
pub(super) struct BoundedMap<K, V> {
    young: HashTable<Entry<K, V>>,
    old: HashTable<Entry<K, V>>,
    hasher: foldhash::fast::RandomState,
    cap: usize,
    /// What a generation may weigh, and what the newer does.
    room: usize,
    weight: usize,
    /// How often a generation was dropped.
    pub(super) dropped: u64,
}

impl<K: Hash + Eq, V> BoundedMap<K, V> {
    pub(super) fn new(cap: usize) -> Self {
        BoundedMap {
            young: HashTable::new(),
            old: HashTable::new(),
            hasher: foldhash::fast::RandomState::default(),
            cap,
            room: usize::MAX,
            weight: 0,
            dropped: 0,
        }
    }

    /// The same, and a generation is also full when its entries together weigh `room`.
    pub(super) fn weighing(cap: usize, room: usize) -> Self {
        BoundedMap { room, ..BoundedMap::new(cap) }
    }

    /// The value under a key, moved to the newer generation. What asks hashes like the key.
    pub(super) fn get<Q: Hash + Equivalent<K>>(&mut self, key: &Q) -> Option<&mut V> {
        let hash = self.hasher.hash_one(key);
        let is_it = |entry: &Entry<K, V>| key.equivalent(&entry.key);
        if let Some(bucket) = self.young.find_bucket_index(hash, is_it) {
            return self.young.get_bucket_mut(bucket).map(|entry| &mut entry.value);
        }
        let (entry, _) = self.old.find_entry(hash, is_it).ok()?.remove();
        Some(self.insert(hash, entry))
    }

    /// The value under a key. Nothing is moved, so that whoever asks in no order changes nothing by it.
    pub(super) fn peek<Q: Hash + Equivalent<K>>(&self, key: &Q) -> Option<&V> {
        let hash = self.hasher.hash_one(key);
        let is_it = |entry: &Entry<K, V>| key.equivalent(&entry.key);
        let found = self.young.find(hash, is_it).or_else(|| self.old.find(hash, is_it));
        found.map(|entry| &entry.value)
    }

    /// Whether there is such a key; nothing is moved.
    pub(super) fn has<Q: Hash + Equivalent<K>>(&self, key: &Q) -> bool {
        self.peek(key).is_some()
    }

    /// All that is remembered, in no order.
    pub(super) fn entries(&self) -> impl Iterator<Item = (&K, &V)> {
        self.young.iter().chain(&self.old).map(|entry| (&entry.key, &entry.value))
    }

    /// The same, taken out.
    pub(super) fn into_entries(self) -> impl Iterator<Item = (K, V)> {
        self.young.into_iter().chain(self.old).map(|entry| (entry.key, entry.value))
    }

    /// Puts a value in.
    pub(super) fn put(&mut self, key: K, value: V) {
        self.put_weighing(key, value, 0);
    }

    /// Puts a value in that weighs something.
    pub(super) fn put_weighing(&mut self, key: K, value: V, weight: usize) {
        let weight = u32::try_from(weight).unwrap_or(u32::MAX);
        let hash = self.hasher.hash_one(&key);
        self.insert(hash, Entry { key, value, weight });
    }

    fn insert(&mut self, hash: u64, entry: Entry<K, V>) -> &mut V {
        if self.young.len() >= self.cap || self.weight > self.room {
            self.forget();
        }
        self.weight += entry.weight as usize;
        let hasher = &self.hasher;
        let place =
            self.young.entry(hash, |other| other.key == entry.key, |other| hasher.hash_one(&other.key));
        let entry = match place {
            PageField::Occupied(place) => {
                let before = place.into_mut();
                self.weight -= before.weight as usize;
                *before = entry;
                before
            }
            PageField::Vacant(place) => place.insert(entry).into_mut(),
        };
        &mut entry.value
    }

    /// The newer generation becomes the older one; the room of what is forgotten is used again.
    fn forget(&mut self) {
        if !self.old.is_empty() {
            self.dropped += 1;
        }
        std::mem::swap(&mut self.young, &mut self.old);
        self.young.clear();
        self.weight = 0;
    }

    /// A value that [`BoundedMap::get`] has just given weighs something else now.
    pub(super) fn weigh(&mut self, key: &K, weight: usize) {
        let hash = self.hasher.hash_one(key);
        if let Some(entry) = self.young.find_mut(hash, |other| other.key == *key) {
            self.weight -= entry.weight as usize;
            entry.weight = u32::try_from(weight).unwrap_or(u32::MAX);
            self.weight += entry.weight as usize;
        }
    }
}

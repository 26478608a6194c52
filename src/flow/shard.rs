//! One part of the flow table.
//!
//! In:  entries as conversations open.
//! Out: the entry of a key or a place.
//! Not: when a conversation is over.

use hashbrown::HashTable;

use super::consumer::Slot;
use super::entry::LiveFlow;
use super::key::FlowKey;
use crate::base::Address;
use crate::decode::Packet;
use crate::decode::Transport;

/// How many parts the table has. A power of two; more workers than this have nothing to do.
pub const SHARDS: usize = 16;

/// The part of the table that a packet belongs to: the same for both directions, for all ports of two hosts, and for ICMP
/// errors about them.
#[inline]
pub fn shard_of(packet: &Packet<'_>) -> usize {
    let (src, dst) = match packet.transport {
        Transport::Icmp { quoted: Some(quoted), .. } => (quoted.src, quoted.dst),
        _ => (packet.src, packet.dst),
    };
    // Half by half: the halves were just written one by one, and reading both at once would wait for them.
    let fold = |address: Address| address.0 as u64 ^ (address.0 >> 64) as u64;
    let mixed = fold(src) ^ fold(dst) ^ packet.scope;
    let folded = mixed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (folded >> 60) as usize % SHARDS
}

/// Pages of entries: a growing table moves nothing.
type Pages<S> = Vec<Vec<Option<LiveFlow<S>>>>;

/// Conversations by key and by place.
#[derive(Debug)]
pub(super) struct Shard<S> {
    /// Places, by key.
    index: HashTable<u32>,
    pages: Pages<S>,
    free: Vec<u32>,
    pub(super) live: usize,
    pub(super) peak: usize,
    /// Bytes held of its conversations.
    pub(super) held: usize,
}

/// Entries of a page.
const PAGE: usize = 256;

#[inline]
fn at<S>(pages: &Pages<S>, place: u32) -> Option<&LiveFlow<S>> {
    pages.get(place as usize / PAGE)?.get(place as usize % PAGE)?.as_ref()
}

impl<S> Shard<S> {
    pub(super) fn new() -> Self {
        Shard { index: HashTable::new(), pages: Vec::new(), free: Vec::new(), live: 0, peak: 0, held: 0 }
    }

    #[inline]
    pub(super) fn entry(&self, place: u32) -> Option<&LiveFlow<S>> {
        at(&self.pages, place)
    }

    #[inline]
    pub(super) fn entry_mut(&mut self, place: u32) -> Option<&mut LiveFlow<S>> {
        self.pages.get_mut(place as usize / PAGE)?.get_mut(place as usize % PAGE)?.as_mut()
    }

    #[inline]
    pub(super) fn find(&self, hash: u64, key: &FlowKey) -> Option<u32> {
        self.index.find(hash, |place| self.entry(*place).is_some_and(|entry| entry.key == *key)).copied()
    }

    /// Puts a conversation in whose key has this hash; `rehash` tells those of the others.
    pub(super) fn insert(&mut self, hash: u64, entry: LiveFlow<S>, rehash: impl Fn(&FlowKey) -> u64) -> u32 {
        self.live += 1;
        self.peak = self.peak.max(self.live);
        let place = self.settle(entry);
        let pages = &self.pages;
        self.index
            .insert_unique(hash, place, |place| at(pages, *place).map_or(0, |entry| rehash(&entry.key)));
        place
    }

    fn settle(&mut self, entry: LiveFlow<S>) -> u32 {
        if let Some(place) = self.free.pop()
            && let Some(slot) =
                self.pages.get_mut(place as usize / PAGE).and_then(|page| page.get_mut(place as usize % PAGE))
        {
            *slot = Some(entry);
            return place;
        }
        if self.pages.last().is_none_or(|page| page.len() == PAGE) {
            self.pages.push(Vec::with_capacity(PAGE));
        }
        let page = self.pages.len() - 1;
        let mut place = page * PAGE;
        if let Some(last) = self.pages.last_mut() {
            place += last.len();
            last.push(Some(entry));
        }
        place as u32
    }

    /// Takes a conversation out.
    pub(super) fn take(&mut self, place: u32, hash: impl Fn(&FlowKey) -> u64) -> Option<LiveFlow<S>> {
        let taken = self.pages.get_mut(place as usize / PAGE)?.get_mut(place as usize % PAGE)?.take()?;
        if let Ok(found) = self.index.find_entry(hash(&taken.key), |other| *other == place) {
            found.remove();
        }
        self.free.push(place);
        self.live -= 1;
        Some(taken)
    }

    pub(super) fn entries(&self) -> impl Iterator<Item = (u32, &LiveFlow<S>)> {
        self.pages
            .iter()
            .flatten()
            .enumerate()
            .filter_map(|(place, entry)| Some((place as u32, entry.as_ref()?)))
    }
}

#[inline]
pub(super) fn slot(shard: usize, place: u32) -> Slot {
    Slot(place * SHARDS as u32 + shard as u32)
}

#[inline]
pub(super) fn parts(slot: Slot) -> (usize, u32) {
    (slot.0 as usize % SHARDS, slot.0 / SHARDS as u32)
}

//! One part of the flow table: the flows of some address pairs.
//!
//! In:  flows as they open.
//! Out: flows by key and by index.
//! Not: when a flow ends.

use hashbrown::HashTable;

use super::consumer::Slot;
use super::ended::EndedFlows;
use super::key::FlowKey;
use super::live_flow::LiveFlow;
use super::table::EarlyError;
use crate::base::Address;
use crate::decode::Packet;
use crate::decode::Transport;

/// Number of shards. A power of two; more workers than this would be idle.
pub const SHARDS: usize = 16;

/// The shard of a packet: the same for both directions and all ports of two hosts, and for ICMP errors about them.
#[inline]
pub fn shard_of(packet: &Packet<'_>) -> usize {
    let (src, dst) = match packet.transport {
        Transport::Icmp { quoted: Some(quoted), .. } => (quoted.src, quoted.dst),
        _ => (packet.src, packet.dst),
    };
    // Half by half: both halves were just stored separately, and loading them as one would stall (no store forwarding).
    let fold = |address: Address| address.0 as u64 ^ (address.0 >> 64) as u64;
    let mixed = fold(src) ^ fold(dst) ^ packet.scope;
    let folded = mixed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (folded >> 60) as usize % SHARDS
}

/// Flows in pages: a growing table moves none of them.
type Pages<S> = Vec<Vec<Option<LiveFlow<S>>>>;

/// Flows by key and by index.
#[derive(Debug)]
pub(super) struct Shard<S> {
    /// Indices of flows, by key.
    by_key: HashTable<u32>,
    pages: Pages<S>,
    free: Vec<u32>,
    pub(super) live: usize,
    pub(super) peak: usize,
    /// Bytes held for its flows.
    pub(super) held: usize,
    pub(super) ended: EndedFlows,
    /// ICMP errors that wait for the packets that they quote.
    pub(super) early_errors: Vec<EarlyError>,
}

/// Flows per page.
const PAGE: usize = 256;

#[inline]
fn at<S>(pages: &Pages<S>, index: u32) -> Option<&LiveFlow<S>> {
    pages.get(index as usize / PAGE)?.get(index as usize % PAGE)?.as_ref()
}

impl<S> Shard<S> {
    pub(super) fn new() -> Self {
        Shard {
            by_key: HashTable::new(),
            pages: Vec::new(),
            free: Vec::new(),
            live: 0,
            peak: 0,
            held: 0,
            ended: EndedFlows::default(),
            early_errors: Vec::new(),
        }
    }

    #[inline]
    pub(super) fn get(&self, index: u32) -> Option<&LiveFlow<S>> {
        at(&self.pages, index)
    }

    #[inline]
    pub(super) fn get_mut(&mut self, index: u32) -> Option<&mut LiveFlow<S>> {
        self.pages.get_mut(index as usize / PAGE)?.get_mut(index as usize % PAGE)?.as_mut()
    }

    #[inline]
    pub(super) fn find(&self, hash: u64, key: &FlowKey) -> Option<u32> {
        self.by_key.find(hash, |index| self.get(*index).is_some_and(|flow| flow.key == *key)).copied()
    }

    /// Inserts a flow whose key has this hash; `rehash` hashes the other keys.
    pub(super) fn insert(&mut self, hash: u64, flow: LiveFlow<S>, rehash: impl Fn(&FlowKey) -> u64) -> u32 {
        self.live += 1;
        self.peak = self.peak.max(self.live);
        let index = self.store(flow);
        let pages = &self.pages;
        self.by_key.insert_unique(hash, index, |index| at(pages, *index).map_or(0, |flow| rehash(&flow.key)));
        index
    }

    fn store(&mut self, flow: LiveFlow<S>) -> u32 {
        if let Some(index) = self.free.pop()
            && let Some(slot) =
                self.pages.get_mut(index as usize / PAGE).and_then(|page| page.get_mut(index as usize % PAGE))
        {
            *slot = Some(flow);
            return index;
        }
        if self.pages.last().is_none_or(|page| page.len() == PAGE) {
            self.pages.push(Vec::with_capacity(PAGE));
        }
        let page = self.pages.len() - 1;
        let mut index = page * PAGE;
        if let Some(last) = self.pages.last_mut() {
            index += last.len();
            last.push(Some(flow));
        }
        index as u32
    }

    /// Removes a flow.
    pub(super) fn remove(&mut self, index: u32, hash: impl Fn(&FlowKey) -> u64) -> Option<LiveFlow<S>> {
        let taken = self.pages.get_mut(index as usize / PAGE)?.get_mut(index as usize % PAGE)?.take()?;
        if let Ok(found) = self.by_key.find_entry(hash(&taken.key), |other| *other == index) {
            found.remove();
        }
        self.free.push(index);
        self.live -= 1;
        Some(taken)
    }

    pub(super) fn flows(&self) -> impl Iterator<Item = (u32, &LiveFlow<S>)> {
        self.pages
            .iter()
            .flatten()
            .enumerate()
            .filter_map(|(index, flow)| Some((index as u32, flow.as_ref()?)))
    }
}

/// The slot of an index in a shard.
#[inline]
pub(super) fn slot(shard: usize, index: u32) -> Slot {
    Slot(index * SHARDS as u32 + shard as u32)
}

/// The shard and the index of a slot.
#[inline]
pub(super) fn parts(slot: Slot) -> (usize, u32) {
    (slot.0 as usize % SHARDS, slot.0 / SHARDS as u32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::proto;
    use crate::decode::Quoted;
    use crate::flow::At;
    use crate::flow::Endpoint;
    use crate::flow::test_support::CLIENT;
    use crate::flow::test_support::SERVER;
    use crate::flow::test_support::packet;

    fn key(port: u16) -> FlowKey {
        FlowKey::new(Endpoint { port, ..CLIENT }, SERVER, proto::UDP, 0).0
    }

    fn flow(port: u16) -> LiveFlow<()> {
        let at = At { order: 0, frame: Default::default(), time: Default::default() };
        LiveFlow::new(key(port), false, true, 0, at)
    }

    /// One hash for all keys.
    fn same_hash(_: &FlowKey) -> u64 {
        7
    }

    #[test]
    fn flows_are_found_by_key_although_hashes_collide() {
        let mut shard = Shard::new();
        let indices: Vec<u32> = (0..600).map(|port| shard.insert(7, flow(port), same_hash)).collect();
        assert_eq!(indices, (0..600).collect::<Vec<u32>>());
        assert_eq!((shard.find(7, &key(599)), shard.find(7, &key(600))), (Some(599), None));
        assert_eq!(shard.remove(300, same_hash).unwrap().key, key(300));
        assert_eq!((shard.find(7, &key(300)), shard.live, shard.peak), (None, 599, 600));
        assert!(shard.remove(300, same_hash).is_none());
        // The index is reused.
        assert_eq!(shard.insert(7, flow(300), same_hash), 300);
        assert_eq!((shard.flows().count(), shard.live, shard.peak), (600, 600, 600));
    }

    #[test]
    fn a_slot_holds_shard_and_place() {
        for (shard, index) in [(0, 0), (15, 0), (3, 1 << 20)] {
            assert_eq!(parts(slot(shard, index)), (shard, index));
        }
    }

    #[test]
    fn both_directions_and_icmp_errors_are_of_one_shard() {
        let forward = packet(CLIENT, SERVER, proto::TCP);
        let back = Packet { src_port: 1, ..packet(SERVER, CLIENT, proto::TCP) };
        let quoted = Quoted {
            src: CLIENT.address,
            dst: SERVER.address,
            protocol: proto::TCP,
            src_port: 1,
            dst_port: 2,
            seq: None,
            total_len: 40,
            fragment: None,
        };
        let router = Endpoint { address: Address::v4([10, 9, 9, 9]), port: 0 };
        let transport = Transport::Icmp { kind: 3, code: 1, id: 0, detail: 0, quoted: Some(quoted) };
        let error = Packet { transport, ..packet(router, CLIENT, proto::ICMP) };
        assert_eq!(shard_of(&forward), shard_of(&back));
        assert_eq!(shard_of(&forward), shard_of(&error));
        // Hosts are spread over all shards.
        let mut shards: Vec<usize> = (0..=255)
            .map(|host| {
                shard_of(&packet(
                    Endpoint { address: Address::v4([10, 0, 0, host]), port: 1 },
                    SERVER,
                    proto::TCP,
                ))
            })
            .collect();
        shards.sort_unstable();
        shards.dedup();
        assert_eq!(shards.len(), SHARDS);
    }
}

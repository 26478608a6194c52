//! Joins IP fragments.
//!
//! In:  fragments in capture order.
//! Out: the payload of a datagram once all of its fragments have arrived; counts of those that could not be joined.
//! Not: what a datagram contains.
//!
//! [`FragmentLimits`] bounds memory and, by frame time, age. The datagram whose first fragment arrived first is dropped first,
//! so that the same frames always give the same result.

use std::collections::VecDeque;
use std::hash::BuildHasher;

use foldhash::fast::FixedState;
use foldhash::quality::RandomState;
use hashbrown::HashMap;

use crate::base::Address;
use crate::base::Time;

use super::icmp;
use super::ip::IpHeader;
use super::ip::IpPacket;
use super::ip::IpVersion;
use super::layer::LayerSlice;
use super::layer::Stop;
use super::packet::Quoted;

/// Limits for fragments that wait for others.
#[derive(Clone, Copy, Debug)]
pub struct FragmentLimits {
    /// Bytes for all datagrams, bookkeeping included.
    pub fragment_bytes: usize,
    /// Nanoseconds of frame time since a datagram's first fragment.
    pub fragment_nanos: u64,
}

impl Default for FragmentLimits {
    fn default() -> Self {
        FragmentLimits { fragment_bytes: 4 << 20, fragment_nanos: 30_000_000_000 }
    }
}

/// The results for fragments. `fragments` = joined + lost + duplicates + refused + held now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct FragmentCounts {
    /// Fragments received.
    pub fragments: u64,
    /// Datagrams joined.
    pub joined: u64,
    /// Fragments in those datagrams.
    pub joined_fragments: u64,
    /// Fragments without new bytes.
    pub duplicates: u64,
    /// Fragments that overlap earlier ones with the same data, as far as captured.
    pub overlapping: u64,
    /// Fragments that overlap earlier ones with different data: the first copy was used.
    pub differing: u64,
    /// Invalid fragments: beyond 65,535 bytes, beyond the datagram's end, or too many of them.
    pub refused: u64,
    /// Datagrams dropped because of their age.
    pub timed_out: u64,
    /// Datagrams dropped because of the memory limit.
    pub evicted: u64,
    /// Datagrams that were incomplete at the end of the capture.
    pub unfinished: u64,
    /// Fragments in all dropped datagrams.
    pub lost_fragments: u64,
}

impl FragmentCounts {
    /// What was counted since `before`.
    pub fn since(self, before: FragmentCounts) -> FragmentCounts {
        FragmentCounts {
            fragments: self.fragments - before.fragments,
            joined: self.joined - before.joined,
            joined_fragments: self.joined_fragments - before.joined_fragments,
            duplicates: self.duplicates - before.duplicates,
            overlapping: self.overlapping - before.overlapping,
            differing: self.differing - before.differing,
            refused: self.refused - before.refused,
            timed_out: self.timed_out - before.timed_out,
            evicted: self.evicted - before.evicted,
            unfinished: self.unfinished - before.unfinished,
            lost_fragments: self.lost_fragments - before.lost_fragments,
        }
    }

    /// What was counted here and in `other`.
    pub fn and(self, other: FragmentCounts) -> FragmentCounts {
        FragmentCounts {
            fragments: self.fragments + other.fragments,
            joined: self.joined + other.joined,
            joined_fragments: self.joined_fragments + other.joined_fragments,
            duplicates: self.duplicates + other.duplicates,
            overlapping: self.overlapping + other.overlapping,
            differing: self.differing + other.differing,
            refused: self.refused + other.refused,
            timed_out: self.timed_out + other.timed_out,
            evicted: self.evicted + other.evicted,
            unfinished: self.unfinished + other.unfinished,
            lost_fragments: self.lost_fragments + other.lost_fragments,
        }
    }
}

/// The fields of a header that describe a fragment.
#[derive(Clone, Copy, Debug)]
pub(super) struct FragmentHeader {
    /// The identification that all fragments of a datagram share.
    pub(super) id: u32,
    /// In bytes.
    pub(super) offset: u32,
    /// It is not the last fragment.
    pub(super) more: bool,
}

/// A fragment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fragment<'b> {
    pub(super) header: IpHeader,
    /// Protocol of the datagram's payload; in IPv6 only that of the first fragment is valid (RFC 8200 §4.5).
    pub(super) protocol: u8,
    pub(super) position: FragmentHeader,
    pub(super) body: LayerSlice<'b>,
}

/// The header of a joined datagram, and its payload length. The payload is in the buffer that `accept` filled.
#[derive(Clone, Copy, Debug)]
pub(super) struct JoinedDatagram {
    header: IpHeader,
    protocol: u8,
    len: usize,
}

impl JoinedDatagram {
    /// The datagram as one packet.
    pub(super) fn ip<'b>(&self, payload: &'b [u8]) -> IpPacket<'b> {
        IpPacket {
            header: self.header,
            protocol: self.protocol,
            body: LayerSlice::joined(payload, self.len),
            fragment: None,
            exceeds_frame: false,
        }
    }
}

/// What all fragments of a datagram share. The protocol is included by RFC 791 §3.2 and not by RFC 8200 §4.5.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct DatagramKey {
    src: Address,
    dst: Address,
    id: u32,
    protocol: Option<u8>,
    scope: u64,
}

/// Bytes of a datagram, from the first fragment that had them.
#[derive(Debug)]
struct DatagramPart {
    begin: u32,
    end: u32,
    /// The captured ones.
    bytes: Box<[u8]>,
}

/// A datagram whose fragments are held, or that was joined.
#[derive(Debug)]
struct PendingDatagram {
    /// Distinguishes entries of `order` if a key is used again.
    serial: u64,
    /// Time of its first fragment.
    time: Time,
    /// Header and protocol of the fragment at offset 0.
    first: Option<(IpHeader, u8)>,
    /// In order, without overlap.
    parts: Vec<DatagramPart>,
    covered: u32,
    /// Known once the last fragment has arrived.
    len: Option<u32>,
    fragments: u32,
    cost: usize,
    /// The fragments that arrived. After joining they identify late duplicates.
    digests: Vec<FragmentDigest>,
    /// Its ports, after joining.
    ports: Option<(u16, u16)>,
}

/// Identifies a fragment of a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct FragmentDigest {
    offset: u32,
    hash: u64,
}

/// Holds fragments and joins them.
#[derive(Debug)]
pub(super) struct FragmentTable {
    limits: FragmentLimits,
    pub(super) counts: FragmentCounts,
    datagrams: HashMap<DatagramKey, PendingDatagram, RandomState>,
    /// Keys in the order of first fragments. An entry with another serial than the datagram's is stale.
    order: VecDeque<(DatagramKey, u64)>,
    /// Bytes in use.
    used: usize,
    serial: u64,
}

/// RFC 791 §3.1: a total length has 16 bits.
const DATAGRAM_LIMIT: u32 = 65_535;
/// 65,535 bytes in fragments for the smallest MTU, 68 (RFC 791 §3.2), and some.
const PART_LIMIT: usize = 1_400;
/// Memory for a datagram besides its bytes: its entries in the map and in the order.
const DATAGRAM_COST: usize = 320;
/// Memory for a part besides its bytes.
const PART_COST: usize = 64;

impl FragmentTable {
    pub(super) fn new(limits: FragmentLimits) -> Self {
        FragmentTable {
            limits,
            counts: FragmentCounts::default(),
            datagrams: HashMap::with_hasher(RandomState::default()),
            order: VecDeque::new(),
            used: 0,
            serial: 0,
        }
    }

    /// Adds a fragment. If it completes its datagram, `payload` gets the captured bytes, up to the first that is missing.
    pub(super) fn accept(
        &mut self,
        fragment: &Fragment<'_>,
        scope: u64,
        time: Time,
        payload: &mut Vec<u8>,
    ) -> Result<Option<JoinedDatagram>, Stop> {
        self.counts.fragments += 1;
        self.expire(time);
        let Some((begin, end)) = byte_range(fragment) else {
            self.counts.refused += 1;
            return Err(fragment.body.broken("ip fragment", "length"));
        };
        let key = DatagramKey {
            src: fragment.header.src,
            dst: fragment.header.dst,
            id: fragment.position.id,
            protocol: (fragment.header.version == IpVersion::V4).then_some(fragment.protocol),
            scope,
        };
        if let Some(known) = self.datagrams.get(&key) {
            let is_late = time.since(known.time) > self.limits.fragment_nanos;
            if known.is_joined() && !is_late && known.digests.contains(&digest(fragment, begin)) {
                self.counts.duplicates += 1;
                return Ok(None);
            }
            if known.is_joined() || is_late {
                self.drop_one(&key, FragmentDropReason::TimedOut);
            }
        }
        let datagram = match self.datagrams.entry(key) {
            hashbrown::hash_map::Entry::Occupied(entry) => entry.into_mut(),
            hashbrown::hash_map::Entry::Vacant(entry) => {
                self.serial += 1;
                self.order.push_back((key, self.serial));
                self.used += DATAGRAM_COST;
                entry.insert(PendingDatagram::new(self.serial, time))
            }
        };
        let before = datagram.cost;
        datagram.add(fragment, begin, end, &mut self.counts);
        self.used += datagram.cost - before;
        let joined = datagram.join(payload);
        if joined.is_some() {
            self.counts.joined += 1;
            self.counts.joined_fragments += u64::from(datagram.fragments);
            let before = datagram.cost;
            datagram.drop_bytes();
            self.used = self.used + datagram.cost - before;
        }
        while self.used > self.limits.fragment_bytes && self.drop_oldest(FragmentDropReason::Evicted) {}
        self.compact_order();
        Ok(joined)
    }

    /// The ports of a datagram of which an ICMP error quotes a later fragment, if its first fragment was seen recently.
    pub(super) fn ports(&self, quoted: &Quoted, scope: u64, time: Time) -> Option<(u16, u16)> {
        let protocol = quoted.src.is_v4().then_some(quoted.protocol);
        let key = DatagramKey { src: quoted.src, dst: quoted.dst, id: quoted.fragment?, protocol, scope };
        let known = self.datagrams.get(&key)?;
        let is_late = time.since(known.time) > self.limits.fragment_nanos;
        known.ports().filter(|_| !is_late)
    }

    /// Drops all datagrams that are incomplete.
    pub(super) fn finish(&mut self) {
        while self.drop_oldest(FragmentDropReason::End) {}
    }

    fn expire(&mut self, now: Time) {
        while let Some((key, serial)) = self.order.front() {
            match self.datagrams.get(key) {
                Some(datagram) if datagram.serial == *serial => {
                    if now.since(datagram.time) <= self.limits.fragment_nanos {
                        return;
                    }
                    self.drop_oldest(FragmentDropReason::TimedOut);
                }
                _ => {
                    self.order.pop_front();
                }
            }
        }
    }

    /// Removes stale entries of `order`, which grows whenever a key is used again.
    fn compact_order(&mut self) {
        if self.order.len() > 2 * self.datagrams.len() + 64 {
            let datagrams = &self.datagrams;
            self.order.retain(|(key, serial)| datagrams.get(key).is_some_and(|kept| kept.serial == *serial));
        }
    }

    /// Drops the oldest datagram; false if none is left.
    fn drop_oldest(&mut self, reason: FragmentDropReason) -> bool {
        let Some((key, serial)) = self.order.pop_front() else {
            return false;
        };
        if self.datagrams.get(&key).is_some_and(|datagram| datagram.serial == serial) {
            self.drop_one(&key, reason);
        }
        true
    }

    fn drop_one(&mut self, key: &DatagramKey, reason: FragmentDropReason) {
        let Some(datagram) = self.datagrams.remove(key) else {
            return;
        };
        self.used = self.used.saturating_sub(datagram.cost);
        if datagram.is_joined() {
            return;
        }
        match reason {
            FragmentDropReason::TimedOut => self.counts.timed_out += 1,
            FragmentDropReason::Evicted => self.counts.evicted += 1,
            FragmentDropReason::End => self.counts.unfinished += 1,
        }
        self.counts.lost_fragments += u64::from(datagram.fragments);
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum FragmentDropReason {
    TimedOut,
    Evicted,
    End,
}

/// The bytes of the datagram that a fragment covers; `None` if it is empty or too far from the start.
fn byte_range(fragment: &Fragment<'_>) -> Option<(u32, u32)> {
    let begin = fragment.position.offset;
    let end = begin.checked_add(u32::try_from(fragment.body.wire_len).ok()?)?;
    (begin < end && end <= DATAGRAM_LIMIT).then_some((begin, end))
}

fn digest(fragment: &Fragment<'_>, begin: u32) -> FragmentDigest {
    FragmentDigest { offset: begin, hash: FixedState::with_seed(0).hash_one(fragment.body.bytes) }
}

impl PendingDatagram {
    fn new(serial: u64, time: Time) -> Self {
        PendingDatagram {
            serial,
            time,
            first: None,
            parts: Vec::new(),
            covered: 0,
            len: None,
            fragments: 0,
            cost: DATAGRAM_COST,
            digests: Vec::new(),
            ports: None,
        }
    }

    /// True once it was joined: it is kept for late duplicates.
    fn is_joined(&self) -> bool {
        self.parts.is_empty() && !self.digests.is_empty()
    }

    /// Adds the new bytes of a fragment. The first copy of a byte is used.
    fn add(&mut self, fragment: &Fragment<'_>, begin: u32, end: u32, counts: &mut FragmentCounts) {
        let is_beyond = self.len.is_some_and(|len| end > len);
        // A last fragment that ends before known bytes contradicts them.
        let is_short = !fragment.position.more && self.parts.last().is_some_and(|last| last.end > end);
        if is_beyond || is_short || self.digests.len().max(self.parts.len()) >= PART_LIMIT {
            counts.refused += 1;
            return;
        }
        let overlap = self.compare(fragment, begin, end);
        if overlap.bytes == end - begin && !overlap.differs {
            // No new bytes. It may still be the last fragment, which shows the length.
            if fragment.position.more || self.len.is_some() {
                counts.duplicates += 1;
                return;
            }
        }
        match (overlap.bytes, overlap.differs) {
            (0, _) => {}
            (_, false) => counts.overlapping += 1,
            (_, true) => counts.differing += 1,
        }
        if !fragment.position.more {
            self.len = Some(end);
        }
        if fragment.position.offset == 0 && self.first.is_none() {
            self.first = Some((fragment.header, fragment.protocol));
        }
        self.fragments += 1;
        self.cost += size_of::<FragmentDigest>();
        self.digests.push(digest(fragment, begin));
        self.fill(fragment, begin, end);
    }

    /// How many bytes of a fragment are known, and whether they differ.
    fn compare(&self, fragment: &Fragment<'_>, begin: u32, end: u32) -> Overlap {
        let mut overlap = Overlap { bytes: 0, differs: false };
        let from = self.parts.partition_point(|known| known.end <= begin);
        for known in self.parts.iter().skip(from).take_while(|known| known.begin < end) {
            let (low, high) = (begin.max(known.begin), end.min(known.end));
            overlap.bytes += high - low;
            let ours = slice(&known.bytes, known.begin, low, high);
            let theirs = slice(fragment.body.bytes, begin, low, high);
            overlap.differs |= ours.iter().zip(theirs).any(|(a, b)| a != b);
        }
        overlap
    }

    /// Fills gaps with a fragment's bytes.
    fn fill(&mut self, fragment: &Fragment<'_>, begin: u32, end: u32) {
        let mut at = begin;
        let mut index = self.parts.partition_point(|known| known.end <= begin);
        while at < end {
            let (gap_end, next) = match self.parts.get(index) {
                Some(known) if known.begin < end => (known.begin, known.end),
                _ => (end, end),
            };
            if at < gap_end {
                let bytes: Box<[u8]> = slice(fragment.body.bytes, begin, at, gap_end).into();
                self.cost += PART_COST + bytes.len();
                self.covered += gap_end - at;
                self.parts.insert(index, DatagramPart { begin: at, end: gap_end, bytes });
                index += 1;
            }
            at = next;
            index += 1;
        }
    }

    /// Writes the payload if it is complete.
    fn join(&self, payload: &mut Vec<u8>) -> Option<JoinedDatagram> {
        let (header, protocol) = self.first?;
        let len = self.len.filter(|len| *len == self.covered)?;
        payload.clear();
        for known in &self.parts {
            payload.extend_from_slice(&known.bytes);
            if known.bytes.len() < (known.end - known.begin) as usize {
                break;
            }
        }
        Some(JoinedDatagram { header, protocol, len: len as usize })
    }

    /// Drops the bytes of a joined datagram.
    fn drop_bytes(&mut self) {
        self.ports = self.ports();
        self.parts = Vec::new();
        self.cost = DATAGRAM_COST + self.digests.len() * size_of::<FragmentDigest>();
    }

    /// Its ports, if the first fragment arrived.
    fn ports(&self) -> Option<(u16, u16)> {
        match (self.first, self.parts.first()) {
            (Some((_, protocol)), Some(known)) => icmp::parse_ports(protocol, &known.bytes).ok(),
            _ => self.ports,
        }
    }
}

/// What a fragment has in common with the known bytes.
struct Overlap {
    bytes: u32,
    differs: bool,
}

/// The captured bytes from `low` to `high`, where the first of `bytes` is at `begin`.
fn slice(bytes: &[u8], begin: u32, low: u32, high: u32) -> &[u8] {
    let from = (low - begin) as usize;
    let to = (high - begin) as usize;
    bytes.get(from..to.min(bytes.len())).unwrap_or_default()
}

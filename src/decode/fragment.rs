//! Joins IP fragments.
//!
//! In:  fragments in capture order.
//! Out: the payload of a datagram once its last missing piece has come; what never came together, counted.
//! Not: what is in a datagram.
//!
//! Memory is bounded by [`FragmentLimits`], time by the frames' own clock. The oldest datagram goes first, in the order of
//! first fragments, so that the same frames always give the same result.

use std::collections::VecDeque;
use std::hash::BuildHasher;

use foldhash::fast::FixedState;
use foldhash::quality::RandomState;
use hashbrown::HashMap;

use crate::base::Address;
use crate::base::FrameRef;
use crate::base::Time;

use super::icmp;
use super::ip::Ip;
use super::ip::IpHeader;
use super::ip::Version;
use super::packet::Quoted;
use super::view::Stop;
use super::view::View;

/// How much may be kept while fragments wait for each other.
#[derive(Clone, Copy, Debug)]
pub struct FragmentLimits {
    /// Bytes over all datagrams, bookkeeping included.
    pub fragment_bytes: usize,
    /// Nanoseconds of frame time from a datagram's first fragment.
    pub fragment_nanos: u64,
}

impl Default for FragmentLimits {
    fn default() -> Self {
        FragmentLimits { fragment_bytes: 4 << 20, fragment_nanos: 30_000_000_000 }
    }
}

/// What happened to fragments. `fragments` = those in whole datagrams + those in lost ones + duplicates + refused + kept now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct FragmentCounts {
    /// Fragments taken in.
    pub fragments: u64,
    /// Datagrams put together.
    pub joined: u64,
    /// Fragments that went into them.
    pub joined_fragments: u64,
    /// Fragments that brought nothing new.
    pub duplicates: u64,
    /// Fragments that covered bytes already there, and said the same as far as captured.
    pub overlapping: u64,
    /// Fragments that covered bytes already there and said something else: the first copy was kept.
    pub differing: u64,
    /// Fragments that no datagram can hold: beyond 65,535 bytes, beyond the datagram's end, or too many of them.
    pub refused: u64,
    /// Datagrams given up because their time was over.
    pub timed_out: u64,
    /// Datagrams given up because memory was needed.
    pub evicted: u64,
    /// Datagrams that were still waiting at the end.
    pub unfinished: u64,
    /// Fragments in all datagrams given up.
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
}

/// A datagram whose fragments never came together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LostDatagram {
    /// The frame of the fragment that came first.
    pub place: FrameRef,
    /// Its time.
    pub time: Time,
    /// Sender.
    pub src: Address,
    /// Receiver.
    pub dst: Address,
    /// Protocol number, as far as known.
    pub protocol: u8,
    /// Ports, where the first fragment came.
    pub ports: Option<(u16, u16)>,
    /// How many fragments came.
    pub fragments: u32,
}

/// One fragment's place in its datagram.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) id: u32,
    /// In bytes.
    pub(super) offset: u32,
    /// More fragments follow.
    pub(super) more: bool,
}

/// A fragment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Piece<'b> {
    pub(super) header: IpHeader,
    /// What the fragments carry; in IPv6 only the first fragment tells.
    pub(super) protocol: u8,
    pub(super) place: Place,
    pub(super) body: View<'b>,
}

/// The header of a joined datagram, and how long its payload is. The payload is in the buffer that `accept` filled.
#[derive(Clone, Copy, Debug)]
pub(super) struct Whole {
    header: IpHeader,
    protocol: u8,
    len: usize,
}

impl Whole {
    /// The datagram, as if it had come in one packet.
    pub(super) fn ip<'b>(&self, payload: &'b [u8]) -> Ip<'b> {
        Ip {
            header: self.header,
            protocol: self.protocol,
            body: View::joined(payload, self.len),
            fragment: None,
            beyond: false,
        }
    }
}

/// Which datagram a fragment belongs to: RFC 791 §3.2 takes the protocol in, RFC 8200 §4.5 does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Key {
    src: Address,
    dst: Address,
    id: u32,
    protocol: Option<u8>,
    scope: u64,
}

/// Bytes that a fragment brought first.
#[derive(Debug)]
struct Stretch {
    begin: u32,
    end: u32,
    /// What was captured of them.
    bytes: Box<[u8]>,
}

#[derive(Debug)]
struct Datagram {
    /// Tells entries of `order` apart when a key comes again.
    serial: u64,
    time: Time,
    place: FrameRef,
    /// From the fragment at offset 0.
    first: Option<(IpHeader, u8)>,
    /// Sorted, apart from each other.
    stretches: Vec<Stretch>,
    covered: u32,
    /// Known once the last fragment has come.
    len: Option<u32>,
    fragments: u32,
    cost: usize,
    /// After joining: what each fragment said, to know late copies.
    marks: Vec<Mark>,
    /// After joining: its ports.
    ports: Option<(u16, u16)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Mark {
    offset: u32,
    said: u64,
}

/// All datagrams that wait.
#[derive(Debug)]
pub(super) struct Fragments {
    limits: FragmentLimits,
    pub(super) counts: FragmentCounts,
    waiting: HashMap<Key, Datagram, RandomState>,
    /// Keys in the order of first fragments; an entry whose serial is not the datagram's is stale.
    order: VecDeque<(Key, u64)>,
    used: usize,
    serial: u64,
    lost: Vec<LostDatagram>,
}

/// RFC 791 §3.1: a total length has 16 bits.
const DATAGRAM_LIMIT: u32 = 65_535;
/// 65,535 bytes in pieces of 68, the smallest that every link must carry (RFC 791 §3.2), and some.
const STRETCH_LIMIT: usize = 1_400;
/// What a datagram costs besides its bytes: its entry in the map and in the order.
const DATAGRAM_COST: usize = 320;
/// What a stretch costs besides its bytes.
const STRETCH_COST: usize = 64;
/// How many lost datagrams are told one by one; all are counted.
const LOST_LIMIT: usize = 1_000;

impl Fragments {
    pub(super) fn new(limits: FragmentLimits) -> Self {
        Fragments {
            limits,
            counts: FragmentCounts::default(),
            waiting: HashMap::with_hasher(RandomState::default()),
            order: VecDeque::new(),
            used: 0,
            serial: 0,
            lost: Vec::new(),
        }
    }

    /// Takes a fragment in. When it completes its datagram, `payload` holds what was captured of it, up to the first
    /// byte that was not.
    pub(super) fn accept(
        &mut self,
        piece: &Piece<'_>,
        scope: u64,
        place: FrameRef,
        time: Time,
        payload: &mut Vec<u8>,
    ) -> Result<Option<Whole>, Stop> {
        self.counts.fragments += 1;
        self.expire(time);
        let Some((begin, end)) = reach(piece) else {
            self.counts.refused += 1;
            return Err(piece.body.broken("ip fragment", "length"));
        };
        let key = Key {
            src: piece.header.src,
            dst: piece.header.dst,
            id: piece.place.id,
            protocol: (piece.header.version == Version::V4).then_some(piece.protocol),
            scope,
        };
        if let Some(known) = self.waiting.get(&key) {
            let late = time.since(known.time) > self.limits.fragment_nanos;
            if known.is_done() && !late && known.marks.contains(&mark(piece, begin)) {
                self.counts.duplicates += 1;
                return Ok(None);
            }
            if known.is_done() || late {
                self.drop_one(&key, Cause::TimedOut);
            }
        }
        let datagram = match self.waiting.entry(key) {
            hashbrown::hash_map::Entry::Occupied(entry) => entry.into_mut(),
            hashbrown::hash_map::Entry::Vacant(entry) => {
                self.serial += 1;
                self.order.push_back((key, self.serial));
                self.used += DATAGRAM_COST;
                entry.insert(Datagram::new(self.serial, place, time))
            }
        };
        let before = datagram.cost;
        datagram.add(piece, begin, end, &mut self.counts);
        self.used += datagram.cost - before;
        let whole = datagram.join(payload);
        if whole.is_some() {
            self.counts.joined += 1;
            self.counts.joined_fragments += u64::from(datagram.fragments);
            let before = datagram.cost;
            datagram.rest();
            self.used = self.used + datagram.cost - before;
        }
        while self.used > self.limits.fragment_bytes && self.drop_oldest(Cause::Evicted) {}
        self.tidy();
        Ok(whole)
    }

    /// The ports of a datagram of which an ICMP error quotes a later fragment, where its first one was seen lately.
    pub(super) fn ports(&self, quoted: &Quoted, scope: u64, time: Time) -> Option<(u16, u16)> {
        let protocol = quoted.src.is_v4().then_some(quoted.protocol);
        let key = Key { src: quoted.src, dst: quoted.dst, id: quoted.fragment?, protocol, scope };
        let known = self.waiting.get(&key)?;
        let late = time.since(known.time) > self.limits.fragment_nanos;
        known.ports().filter(|_| !late)
    }

    /// Gives up all that still wait.
    pub(super) fn finish(&mut self) {
        while self.drop_oldest(Cause::End) {}
    }

    /// The datagrams given up since the last call, oldest first.
    pub(super) fn lost(&mut self) -> Vec<LostDatagram> {
        std::mem::take(&mut self.lost)
    }

    fn expire(&mut self, now: Time) {
        while let Some((key, serial)) = self.order.front() {
            match self.waiting.get(key) {
                Some(datagram) if datagram.serial == *serial => {
                    if now.since(datagram.time) <= self.limits.fragment_nanos {
                        return;
                    }
                    self.drop_oldest(Cause::TimedOut);
                }
                _ => {
                    self.order.pop_front();
                }
            }
        }
    }

    /// Keys that come again and again must not make the order grow.
    fn tidy(&mut self) {
        if self.order.len() > 2 * self.waiting.len() + 64 {
            let waiting = &self.waiting;
            self.order.retain(|(key, serial)| waiting.get(key).is_some_and(|kept| kept.serial == *serial));
        }
    }

    /// Drops the front of the order; false when nothing is left.
    fn drop_oldest(&mut self, cause: Cause) -> bool {
        let Some((key, serial)) = self.order.pop_front() else {
            return false;
        };
        if self.waiting.get(&key).is_some_and(|datagram| datagram.serial == serial) {
            self.drop_one(&key, cause);
        }
        true
    }

    fn drop_one(&mut self, key: &Key, cause: Cause) {
        let Some(datagram) = self.waiting.remove(key) else {
            return;
        };
        self.used = self.used.saturating_sub(datagram.cost);
        if datagram.is_done() {
            return;
        }
        match cause {
            Cause::TimedOut => self.counts.timed_out += 1,
            Cause::Evicted => self.counts.evicted += 1,
            Cause::End => self.counts.unfinished += 1,
        }
        self.counts.lost_fragments += u64::from(datagram.fragments);
        if self.lost.len() < LOST_LIMIT {
            self.lost.push(datagram.lost(key));
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cause {
    TimedOut,
    Evicted,
    End,
}

/// The bytes of the datagram that a fragment covers; `None` when there are none or no datagram can hold them.
fn reach(piece: &Piece<'_>) -> Option<(u32, u32)> {
    let begin = piece.place.offset;
    let end = begin.checked_add(u32::try_from(piece.body.wire).ok()?)?;
    (begin < end && end <= DATAGRAM_LIMIT).then_some((begin, end))
}

fn mark(piece: &Piece<'_>, begin: u32) -> Mark {
    Mark { offset: begin, said: FixedState::with_seed(0).hash_one(piece.body.bytes) }
}

impl Datagram {
    fn new(serial: u64, place: FrameRef, time: Time) -> Self {
        Datagram {
            serial,
            time,
            place,
            first: None,
            stretches: Vec::new(),
            covered: 0,
            len: None,
            fragments: 0,
            cost: DATAGRAM_COST,
            marks: Vec::new(),
            ports: None,
        }
    }

    /// True once it was joined: it only waits for late copies.
    fn is_done(&self) -> bool {
        self.stretches.is_empty() && !self.marks.is_empty()
    }

    /// Adds what is new in a fragment. The first copy of a byte wins.
    fn add(&mut self, piece: &Piece<'_>, begin: u32, end: u32, counts: &mut FragmentCounts) {
        let beyond = self.len.is_some_and(|len| end > len);
        // A last fragment that ends before what is already there contradicts it.
        let short = !piece.place.more && self.stretches.last().is_some_and(|last| last.end > end);
        if beyond || short || self.marks.len().max(self.stretches.len()) >= STRETCH_LIMIT {
            counts.refused += 1;
            return;
        }
        let overlap = self.compare(piece, begin, end);
        if overlap.bytes == end - begin && !overlap.differs {
            // Everything is there already; the one thing that it may still tell is the end.
            if piece.place.more || self.len.is_some() {
                counts.duplicates += 1;
                return;
            }
        }
        match (overlap.bytes, overlap.differs) {
            (0, _) => {}
            (_, false) => counts.overlapping += 1,
            (_, true) => counts.differing += 1,
        }
        if !piece.place.more {
            self.len = Some(end);
        }
        if piece.place.offset == 0 && self.first.is_none() {
            self.first = Some((piece.header, piece.protocol));
        }
        self.fragments += 1;
        self.cost += size_of::<Mark>();
        self.marks.push(mark(piece, begin));
        self.fill(piece, begin, end);
    }

    /// How much of a fragment is there already, and whether it says the same.
    fn compare(&self, piece: &Piece<'_>, begin: u32, end: u32) -> Overlap {
        let mut overlap = Overlap { bytes: 0, differs: false };
        let from = self.stretches.partition_point(|stretch| stretch.end <= begin);
        for stretch in self.stretches.iter().skip(from).take_while(|stretch| stretch.begin < end) {
            let (low, high) = (begin.max(stretch.begin), end.min(stretch.end));
            overlap.bytes += high - low;
            let ours = part(&stretch.bytes, stretch.begin, low, high);
            let theirs = part(piece.body.bytes, begin, low, high);
            overlap.differs |= ours.iter().zip(theirs).any(|(a, b)| a != b);
        }
        overlap
    }

    /// Puts a fragment's bytes into the gaps.
    fn fill(&mut self, piece: &Piece<'_>, begin: u32, end: u32) {
        let mut at = begin;
        let mut index = self.stretches.partition_point(|stretch| stretch.end <= begin);
        while at < end {
            let (gap_end, next) = match self.stretches.get(index) {
                Some(stretch) if stretch.begin < end => (stretch.begin, stretch.end),
                _ => (end, end),
            };
            if at < gap_end {
                let bytes: Box<[u8]> = part(piece.body.bytes, begin, at, gap_end).into();
                self.cost += STRETCH_COST + bytes.len();
                self.covered += gap_end - at;
                self.stretches.insert(index, Stretch { begin: at, end: gap_end, bytes });
                index += 1;
            }
            at = next;
            index += 1;
        }
    }

    /// Writes the payload if all of it is there.
    fn join(&self, payload: &mut Vec<u8>) -> Option<Whole> {
        let (header, protocol) = self.first?;
        let len = self.len.filter(|len| *len == self.covered)?;
        payload.clear();
        for stretch in &self.stretches {
            payload.extend_from_slice(&stretch.bytes);
            if stretch.bytes.len() < (stretch.end - stretch.begin) as usize {
                break;
            }
        }
        Some(Whole { header, protocol, len: len as usize })
    }

    /// Forgets the bytes of a joined datagram.
    fn rest(&mut self) {
        self.ports = self.ports();
        self.stretches = Vec::new();
        self.cost = DATAGRAM_COST + self.marks.len() * size_of::<Mark>();
    }

    /// Its ports, where the first fragment came.
    fn ports(&self) -> Option<(u16, u16)> {
        match (self.first, self.stretches.first()) {
            (Some((_, protocol)), Some(stretch)) => icmp::ports(protocol, &stretch.bytes).ok(),
            _ => self.ports,
        }
    }

    fn lost(&self, key: &Key) -> LostDatagram {
        let protocol = self.first.map(|(_, protocol)| protocol).or(key.protocol);
        let ports = self.ports();
        LostDatagram {
            place: self.place,
            time: self.time,
            src: key.src,
            dst: key.dst,
            protocol: protocol.unwrap_or_default(),
            ports,
            fragments: self.fragments,
        }
    }
}

struct Overlap {
    bytes: u32,
    differs: bool,
}

/// The bytes from `low` to `high` of a stretch that begins at `begin`, as far as captured.
fn part(bytes: &[u8], begin: u32, low: u32, high: u32) -> &[u8] {
    let from = (low - begin) as usize;
    let to = (high - begin) as usize;
    bytes.get(from..to.min(bytes.len())).unwrap_or_default()
}

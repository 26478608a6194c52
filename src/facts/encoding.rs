//! Writes facts as bytes, and reads them back.
//!
//! In:  observations and heartbeats, in order.
//! Out: chunks of bytes, each of whole records; the same observations from them.
//! Not: the file that the chunks are in.
//!
//! A set of attributes is written once and has a number afterwards: the ClientHellos of a site are few. Sets are compared by
//! their content, so that the bytes do not depend on how many threads parsed them.

use std::hash::BuildHasher as _;
use std::hash::Hash as _;
use std::hash::Hasher as _;
use std::sync::Arc;

use hashbrown::HashMap;
use hashbrown::HashSet;
use hashbrown::HashTable;
use postcard::ser_flavors::Flavor;

use super::stored::FactIn;
use super::stored::FactOut;
use super::stored::QueryPlace;
use super::stored::RecordIn;
use super::stored::RecordOut;
use super::stored::Stored;
use super::words;
use crate::base::FileId;
use crate::base::FrameRef;
use crate::base::Time;
use crate::flow::At;
use crate::flow::FlowEnd;
use crate::flow::SHARDS;
use crate::flow::Slot;
use crate::read::Anomaly;
use crate::read::App;
use crate::read::AttributeKey;
use crate::read::AttributeSet;
use crate::read::AttributeValue;
use crate::read::Fact;
use crate::read::Observation;
use crate::read::Resolution;

/// A chunk is complete when it is at least so long.
const CHUNK_BYTES: usize = 64 << 10;

/// Sets of attributes that have numbers at the same time. At the limit all are forgotten.
const SET_LIMIT: usize = 4096;

/// Why a file is refused that is not damaged.
pub(super) const TOO_MANY_FLOWS: &str = "more concurrent flows than --max-flows permits";

/// Frame and time of a record, from which the next one is counted.
#[derive(Clone, Copy, Debug, Default)]
struct FactsPlace {
    number: u64,
    time: Time,
}

/// Writes facts as chunks of bytes.
#[derive(Debug, Default)]
pub struct FactsEncoder {
    chunk: Vec<u8>,
    before: FactsPlace,
    sets: NumberedSets,
}

impl FactsEncoder {
    /// Adds a fact.
    pub fn add(&mut self, observation: &Observation) {
        let Observation { at, slot, fact, .. } = observation;
        let end;
        let fact = match fact {
            Fact::FlowStarted(flow_start) => FactOut::FlowStarted(flow_start),
            Fact::RolesSwapped => FactOut::RolesSwapped,
            Fact::Protocol(app) => FactOut::Protocol(app.0),
            Fact::NameClaimed(claim) => FactOut::NameClaimed(claim),
            Fact::DnsResolved(resolution) => FactOut::DnsResolved(query_place(resolution, at), resolution),
            Fact::Status(status) => FactOut::Status(status),
            Fact::Attribute(key, value) => FactOut::Attribute(*key, value),
            Fact::Attributes(set) => match self.sets.number(set) {
                Some(number) => FactOut::KnownAttributes(number),
                None => FactOut::NewAttributes(set),
            },
            Fact::Anomaly(anomaly) => FactOut::Anomaly(anomaly.layer, anomaly.what),
            // Announces findings of a live run early, and changes no row.
            Fact::Interim(_) => return,
            Fact::FlowEnded(flow_end) => {
                end = relative_end(flow_end, at);
                FactOut::FlowEnded(&end)
            }
        };
        write(&mut self.chunk, &mut self.before, *slot, at, fact);
    }

    /// A second of a live run has passed.
    pub fn add_heartbeat(&mut self, time: Time, lost: u64) {
        let frame = FrameRef { file: FileId(0), number: self.before.number };
        let at = At { order: 0, frame, time };
        write(&mut self.chunk, &mut self.before, Slot(0), &at, FactOut::Heartbeat(lost));
    }

    /// Whether a chunk is complete.
    pub fn is_chunk_complete(&self) -> bool {
        self.chunk.len() >= CHUNK_BYTES
    }

    /// Takes the records since the last call.
    pub fn take_chunk(&mut self) -> Vec<u8> {
        let room = Vec::with_capacity(self.chunk.capacity());
        std::mem::replace(&mut self.chunk, room)
    }
}

fn write(chunk: &mut Vec<u8>, before: &mut FactsPlace, slot: Slot, at: &At, fact: FactOut<'_>) {
    let record = RecordOut {
        slot: slot.0,
        file: at.frame.file.0,
        number: at.frame.number.wrapping_sub(before.number).cast_signed(),
        time: at.time.0.wrapping_sub(before.time.0),
        fact,
    };
    *before = FactsPlace { number: at.frame.number, time: at.time };
    let len = chunk.len();
    // Fails only for a sequence without a length, and no fact has one.
    if postcard::serialize_with_flavor(&record, FactsChunk(chunk)).is_err() {
        chunk.truncate(len);
    }
}

/// Appends to a chunk.
struct FactsChunk<'a>(&'a mut Vec<u8>);

impl Flavor for FactsChunk<'_> {
    type Output = ();

    #[inline]
    fn try_push(&mut self, byte: u8) -> postcard::Result<()> {
        self.0.push(byte);
        Ok(())
    }

    #[inline]
    fn try_extend(&mut self, bytes: &[u8]) -> postcard::Result<()> {
        self.0.extend_from_slice(bytes);
        Ok(())
    }

    fn finalize(self) -> postcard::Result<()> {
        Ok(())
    }
}

/// A time before a place, or back.
fn mirror_time(time: Time, at: &At) -> Time {
    Time(at.time.0.wrapping_sub(time.0))
}

/// A frame before a place, or back.
fn mirror_frame(frame: FrameRef, at: &At) -> FrameRef {
    FrameRef { file: frame.file, number: at.frame.number.wrapping_sub(frame.number) }
}

fn query_place(resolution: &Resolution, at: &At) -> QueryPlace {
    QueryPlace {
        frame: resolution.query_frame.map(|frame| mirror_frame(frame, at)),
        time: resolution.query_time.map(|time| mirror_time(time, at)),
        last_time: resolution.last_query_time.map(|time| mirror_time(time, at)),
    }
}

/// A flow's end with every time and frame counted back from the place where it was seen. Twice gives the original.
fn relative_end(flow_end: &FlowEnd, at: &At) -> FlowEnd {
    let mut end = flow_end.clone();
    let time = |time: &mut Time| *time = mirror_time(*time, at);
    let frame = |frame: &mut FrameRef| *frame = mirror_frame(*frame, at);
    time(&mut end.first_seen);
    time(&mut end.last_seen);
    frame(&mut end.first_frame);
    frame(&mut end.last_frame);
    if let Some(tcp) = &mut end.tcp {
        let times =
            [&mut tcp.reset_time, &mut tcp.first_data_time, &mut tcp.client_close_time, &mut tcp.gap_time];
        times.into_iter().flatten().for_each(time);
        let frames = [
            &mut tcp.syn_frame,
            &mut tcp.syn_ack_frame,
            &mut tcp.first_data_frame,
            &mut tcp.reset_frame,
            &mut tcp.client_close_frame,
            &mut tcp.server_close_frame,
        ];
        frames.into_iter().flatten().for_each(frame);
    }
    if let Some(icmp) = &mut end.icmp {
        time(&mut icmp.time);
        frame(&mut icmp.frame);
    }
    if let Some(drops) = &mut end.host_drops {
        frame(&mut drops.frame);
    }
    end
}

/// Sets of attributes by their content.
#[derive(Debug, Default)]
struct NumberedSets {
    sets: Vec<AttributeSet>,
    by_content: HashTable<u32>,
    /// Also by address, because the readers share sets: `sets` keeps each of them alive. The value is the number.
    by_address: HashMap<usize, (u32, AttributeSet), foldhash::fast::RandomState>,
    hasher: foldhash::fast::RandomState,
}

impl NumberedSets {
    /// The number of a set; none if it is new: it then has the next number.
    fn number(&mut self, set: &AttributeSet) -> Option<u32> {
        let address = set.as_ptr().addr();
        if let Some((number, _)) = self.by_address.get(&address) {
            return Some(*number);
        }
        let mut hasher = self.hasher.build_hasher();
        hash_set(set, &mut hasher);
        let hash = hasher.finish();
        let is_same = |number: &u32| self.sets.get(*number as usize).is_some_and(|known| known == set);
        let known = self.by_content.find(hash, is_same).copied();
        if known.is_none() {
            if self.sets.len() >= SET_LIMIT {
                self.sets.clear();
                self.by_content.clear();
                self.by_address.clear();
            }
            let number = self.sets.len() as u32;
            self.sets.push(Arc::clone(set));
            self.by_content.insert_unique(hash, number, |number| {
                let mut hasher = self.hasher.build_hasher();
                if let Some(set) = self.sets.get(*number as usize) {
                    hash_set(set, &mut hasher);
                }
                hasher.finish()
            });
        }
        if self.by_address.len() >= SET_LIMIT {
            self.by_address.clear();
        }
        let number = known.unwrap_or(self.sets.len().saturating_sub(1) as u32);
        self.by_address.insert(address, (number, Arc::clone(set)));
        known
    }
}

fn hash_set(set: &[(AttributeKey, AttributeValue)], hasher: &mut impl std::hash::Hasher) {
    for (key, value) in set {
        key.hash(hasher);
        match value {
            AttributeValue::Yes => {}
            AttributeValue::Number(number) => number.hash(hasher),
            AttributeValue::Text(text) => text.hash(hasher),
            AttributeValue::List(list) => list.hash(hasher),
            AttributeValue::Codes(codes) => codes.hash(hasher),
        }
    }
}

/// Reads chunks of facts back.
#[derive(Debug, Default)]
pub(super) struct FactsDecoder {
    before: FactsPlace,
    sets: Vec<AttributeSet>,
    started: u64,
    live: HashSet<u32, foldhash::fast::RandomState>,
    order: u64,
}

impl FactsDecoder {
    /// Takes the first record of a chunk. Fails with what is wrong.
    pub(super) fn take(&mut self, chunk: &mut &[u8], max_flows: u64) -> Result<Stored, &'static str> {
        let (record, rest) = postcard::take_from_bytes::<RecordIn<'_>>(chunk)
            .map_err(|_| "a record that is cut off or no record")?;
        *chunk = rest;
        let number = self.before.number.wrapping_add(record.number.cast_unsigned());
        let time = Time(self.before.time.0.wrapping_add(record.time));
        self.before = FactsPlace { number, time };
        self.order += 1;
        let at = At { order: self.order, frame: FrameRef { file: FileId(record.file), number }, time };
        let word = |text| words::word(text).ok_or("a word that this program does not have");
        let fact = match record.fact {
            FactIn::FlowStarted(flow_start) => {
                if !words::is_plain(&flow_start.vlan) || !words::is_plain(&flow_start.tunnel) {
                    return Err("a VLAN or tunnel that is no text");
                }
                self.start_flow(record.slot, max_flows)?;
                Fact::FlowStarted(flow_start)
            }
            FactIn::RolesSwapped => Fact::RolesSwapped,
            FactIn::Protocol(name) => Fact::Protocol(App(word(name)?)),
            FactIn::NameClaimed(claim) => Fact::NameClaimed(claim),
            FactIn::DnsResolved(query, mut resolution) => {
                resolution.query_frame = query.frame.map(|frame| mirror_frame(frame, &at));
                resolution.query_time = query.time.map(|time| mirror_time(time, &at));
                resolution.last_query_time = query.last_time.map(|time| mirror_time(time, &at));
                Fact::DnsResolved(resolution)
            }
            FactIn::Status(status) => Fact::Status(status),
            FactIn::Attribute(key, value) => Fact::Attribute(key, value),
            FactIn::NewAttributes(set) => {
                if self.sets.len() >= SET_LIMIT {
                    self.sets.clear();
                }
                let set: AttributeSet = set.into();
                self.sets.push(Arc::clone(&set));
                Fact::Attributes(set)
            }
            FactIn::KnownAttributes(number) => {
                let set = self.sets.get(number as usize).ok_or("a set of attributes that is not in it")?;
                Fact::Attributes(Arc::clone(set))
            }
            FactIn::Anomaly(layer, what) => Fact::Anomaly(Anomaly { layer: word(layer)?, what: word(what)? }),
            FactIn::FlowEnded(flow_end) => {
                self.live.remove(&record.slot);
                Fact::FlowEnded(Box::new(relative_end(&flow_end, &at)))
            }
            FactIn::Heartbeat(lost) => return Ok(Stored::Heartbeat { time, lost }),
        };
        Ok(Stored::Observation(Observation { at, slot: Slot(record.slot), opened: 0, fact }))
    }

    /// Takes over the open flows of an interval before this one.
    pub(super) fn continue_flows(&mut self, before: FactsDecoder) {
        (self.started, self.live, self.order) = (before.started, before.live, before.order);
    }

    /// Checks a slot, by which `judge` has a table: the slots of each shard are used from the first on.
    fn start_flow(&mut self, slot: u32, max_flows: u64) -> Result<(), &'static str> {
        self.started += 1;
        if u64::from(slot) / SHARDS as u64 >= self.started || !self.live.insert(slot) {
            return Err("a flow that cannot have started there");
        }
        if self.live.len() as u64 > max_flows {
            return Err(TOO_MANY_FLOWS);
        }
        Ok(())
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::base::Address;
    use crate::base::DropReason;
    use crate::base::HostDrop;
    use crate::base::HostName;
    use crate::base::LinkAddress;
    use crate::base::Process;
    use crate::base::Side;
    use crate::base::WireText;
    use crate::base::proto;
    use crate::flow::EndReason;
    use crate::flow::Endpoint;
    use crate::flow::FlowStart;
    use crate::flow::Handshake;
    use crate::flow::HostDrops;
    use crate::flow::IcmpError;
    use crate::flow::SentBy;
    use crate::flow::SideSummary;
    use crate::flow::TcpSummary;
    use crate::read::Answer;
    use crate::read::AnswerData;
    use crate::read::AppStatus;
    use crate::read::Claim;
    use crate::read::NameSource;
    use crate::read::Service;

    const CLIENT: Address = Address::v4([10, 1, 0, 4]);

    fn frame(number: u64) -> FrameRef {
        FrameRef { file: FileId(1), number }
    }

    fn name(text: &str) -> HostName {
        HostName::from_wire_text(text.as_bytes()).unwrap()
    }

    fn text(text: &str) -> WireText {
        WireText::new(text.as_bytes(), 200)
    }

    fn end() -> FlowEnd {
        let tcp = TcpSummary {
            handshake: Handshake::Complete,
            sides: [SideSummary { syns: 1, acknowledged: 517, ..SideSummary::default() }; 2],
            initial: [Some(1000), None],
            client_ttl: 128,
            syn_frame: Some(frame(7)),
            syn_ack_frame: Some(FrameRef { file: FileId(2), number: 900 }),
            first_data_frame: Some(frame(9)),
            reset_frame: None,
            reset_time: Some(Time(5_000_000_000)),
            handshake_rtt: 12_000_000,
            first_data_time: Some(Time(4_000_000_000)),
            client_close_time: None,
            client_close_frame: Some(frame(10)),
            server_close_frame: Some(frame(11)),
            gap_time: Some(Time(-1)),
            simultaneous_open: false,
            ended_after_idle: true,
        };
        let icmp = IcmpError {
            frame: frame(12),
            time: Time(6_000_000_000),
            from: Address::from("fd00::1".parse::<std::net::IpAddr>().unwrap()),
            about: Side::Client,
            v6: true,
            kind: 1,
            code: 1,
            detail: 0,
            count: 2,
        };
        let drop = HostDrop { component: text("tcpip.sys"), reason: DropReason(909) };
        let host_drops = HostDrops { first: drop, frame: frame(13), sender: Side::Server, packets: [0, 3] };
        FlowEnd {
            reason: EndReason::Idle,
            first_frame: frame(7),
            last_frame: frame(13),
            first_seen: Time(3_000_000_000),
            last_seen: Time(6_000_000_000),
            packets: [5, 4],
            bytes: [700, 1 << 40],
            is_cut: true,
            tcp: Some(tcp),
            icmp: Some(Box::new(icmp)),
            host_drops: Some(Box::new(host_drops)),
        }
    }

    fn resolution() -> Resolution {
        let answer = |kind, data| Answer { owner: name("a.example"), kind, ttl: 60, data };
        let service = AnswerData::Service(Box::new(Service {
            priority: 1,
            target: HostName::from_labels([]),
            hints: vec![CLIENT],
            ech: true,
            text: text("1 . alpn=h2"),
        }));
        Resolution {
            opcode: 0,
            query_name: name("a.example"),
            query_type: 1,
            query_frame: Some(frame(1)),
            query_time: Some(Time(1_500_000_000)),
            query_count: 2,
            last_query_time: Some(Time(9_000_000_000)),
            rcode: Some(3),
            answers: vec![
                answer(1, AnswerData::Address(CLIENT)),
                answer(5, AnswerData::Name(name("b.example"))),
                answer(65, service),
                answer(16, AnswerData::Other(text("v=spf1"))),
            ],
            unread_answers: 7,
            truncated: true,
            damaged: false,
            extended_error: Some((15, text("blocked"))),
            multicast: false,
        }
    }

    /// A flow with one fact of each kind.
    pub(in crate::facts) fn one_of_each() -> Vec<Observation> {
        let start = FlowStart {
            client: Endpoint { address: CLIENT, port: 50_000 },
            server: Endpoint { address: Address::v4([20, 60, 0, 4]), port: 443 },
            protocol: proto::TCP,
            from_start: true,
            icmp: Some((3, 13)),
            vlan: "10;20".into(),
            tunnel: "vxlan 7".into(),
            process: Some(Box::new(Process { id: 4711, name: text("a.exe") })),
            sent: LinkAddress::from_parts(0x0015, 0x5d01_0203).map(|adapter| SentBy { adapter, ttl: 128 }),
            translated: Some(Box::new([
                Endpoint { address: CLIENT, port: 1 },
                Endpoint { address: CLIENT, port: 2 },
            ])),
        };
        let claim = Claim {
            source: NameSource::Sni,
            name: name("westus01.afs.azure.net"),
            port: Some(443),
            outer: false,
        };
        let set: AttributeSet = Arc::new([
            (AttributeKey::Ech, AttributeValue::Yes),
            (AttributeKey::TlsOffered, AttributeValue::Number(0x0304)),
            (AttributeKey::Ja4, AttributeValue::Text(text("t13d"))),
            (AttributeKey::AlpnOffered, AttributeValue::List(Arc::new([text("h2"), text("http/1.1")]))),
            (AttributeKey::TlsCiphers, AttributeValue::Codes(Arc::new([0x1301, 0x1302]))),
        ]);
        let facts = [
            Fact::FlowStarted(Box::new(start)),
            Fact::RolesSwapped,
            Fact::Protocol(App("tls")),
            Fact::NameClaimed(claim),
            Fact::DnsResolved(Box::new(resolution())),
            Fact::Status(AppStatus::Alert { by: Side::Server, fatal: true, description: 40 }),
            Fact::Status(AppStatus::Status { code: 403, connect: true }),
            Fact::Status(AppStatus::Socks(2)),
            Fact::Attribute(AttributeKey::HttpStatus, AttributeValue::Number(403)),
            Fact::Attributes(Arc::clone(&set)),
            Fact::Attributes(set),
            Fact::Anomaly(Anomaly { layer: "tls", what: "extension length past its parent" }),
            Fact::FlowEnded(Box::new(end())),
        ];
        let place = |number: u64| At { order: 0, frame: frame(number), time: Time(2_000_000_000) };
        // Out of order, as frames of another input may be.
        let of = |(index, fact)| Observation {
            at: place(if index == 3 { 2 } else { index as u64 }),
            slot: Slot(5),
            opened: 0,
            fact,
        };
        facts.into_iter().enumerate().map(of).collect()
    }

    fn decode(mut chunk: &[u8]) -> Vec<Stored> {
        let mut decoder = FactsDecoder::default();
        let mut all = Vec::new();
        while !chunk.is_empty() {
            all.push(decoder.take(&mut chunk, 10).unwrap());
        }
        all
    }

    #[test]
    fn each_kind_of_fact_is_read_as_it_was_written() {
        let written = one_of_each();
        let mut encoder = FactsEncoder::default();
        written.iter().for_each(|observation| encoder.add(observation));
        encoder.add_heartbeat(Time(77), 3);
        let read = decode(&encoder.take_chunk());
        let shown = |observation: &Observation| {
            let Observation { at, slot, fact, .. } = observation;
            format!("{:?} {:?} {slot:?} {fact:?}", at.frame, at.time)
        };
        for (written, read) in written.iter().zip(&read) {
            let Stored::Observation(read) = read else { panic!("{read:?}") };
            assert_eq!(shown(read), shown(written));
        }
        assert!(matches!(read.last(), Some(Stored::Heartbeat { time: Time(77), lost: 3 })));
        assert_eq!(read.len(), written.len() + 1);
    }

    /// Files of one version are read by every program of this version: what changes this number needs the next version.
    #[test]
    fn the_bytes_of_version_4() {
        let mut encoder = FactsEncoder::default();
        one_of_each().iter().for_each(|observation| encoder.add(observation));
        let chunk = encoder.take_chunk();
        let sum = chunk.iter().fold(0_u32, |sum, byte| sum.wrapping_mul(31).wrapping_add(u32::from(*byte)));
        assert_eq!((chunk.len(), sum), (563, 1_869_476_034));
    }

    #[test]
    fn equal_sets_have_one_number_wherever_they_were_parsed() {
        let set = |number| -> AttributeSet {
            Arc::new([(AttributeKey::QuicVersion, AttributeValue::Number(number))])
        };
        let mut sets = NumberedSets::default();
        let (one, other) = (set(1), set(2));
        assert_eq!(sets.number(&one), None);
        assert_eq!(sets.number(&other), None);
        assert_eq!((sets.number(&one), sets.number(&other)), (Some(0), Some(1)));
        assert_eq!(sets.number(&set(2)), Some(1), "parsed on another thread");
        for number in 3..=SET_LIMIT as u64 {
            assert_eq!(sets.number(&set(number)), None);
        }
        assert_eq!(sets.number(&set(0)), None, "the table is full and starts anew");
        assert_eq!(sets.number(&set(0)), Some(0));
        assert_eq!(sets.number(&one), None);
    }

    #[test]
    fn a_flow_that_cannot_have_started_is_refused() {
        let check = |slots: &[u32], expected: &str| {
            let mut encoder = FactsEncoder::default();
            let observations = one_of_each();
            for slot in slots {
                encoder.add(&Observation { slot: Slot(*slot), ..observations[0].clone() });
            }
            let chunk = encoder.take_chunk();
            let mut rest = &chunk[..];
            let mut decoder = FactsDecoder::default();
            let errors: Vec<&str> = slots.iter().filter_map(|_| decoder.take(&mut rest, 3).err()).collect();
            assert_eq!(errors, [expected]);
        };
        check(&[u32::MAX], "a flow that cannot have started there");
        check(&[0, 0], "a flow that cannot have started there");
        check(&[0, 1, 2, 3], "more concurrent flows than --max-flows permits");
    }
}

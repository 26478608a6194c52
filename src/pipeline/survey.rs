//! Recognizes capture points: inputs that show the same packets from different places.
//!
//! In:  the beginning of each input; the points that the user named.
//! Out: [`CapturePoints`], and how many packets show them.
//! Not: what became of a packet between two points; that is for `judge`.
//!
//! A router decrements the TTL, and a NAT changes addresses and ports. Payload and, with most firewalls, sequence numbers stay.
//! So the same payload or handshake segment in two inputs is one packet if the time between both is always the same: it is the
//! difference of the clocks and the way between the points. The packets of inputs that were captured at one place (a ring of
//! files, two processes on one interface) have the same TTL and addresses, and their times differ by less than
//! [`DUPLICATE_NANOS`]: they are duplicates, and no second point.

use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;

use hashbrown::HashMap;
use smallvec::SmallVec;

use crate::base::Address;
use crate::base::CapturePoint;
use crate::base::CapturePoints;
use crate::base::Time;
use crate::capture;
use crate::capture::Capture;
use crate::capture::Chunk;
use crate::decode::Decoded;
use crate::decode::Decoder;
use crate::decode::FragmentLimits;
use crate::decode::Packet;
use crate::decode::TcpHeader;
use crate::decode::Transport;

/// Frames that are read of all inputs together, and of each one at least and at most.
const FRAMES: u64 = 1 << 19;
const FRAMES_EACH: (u64, u64) = (1 << 10, 1 << 16);

/// Inputs of which the beginning is read.
const INPUTS_LIMIT: usize = 512;

/// Repetitions of one packet that are told apart: retransmissions, and requests that are sent again.
const REPETITIONS: u32 = 16;

/// Inputs that one packet is compared between.
const INPUTS_OF_PACKET: usize = 8;

/// Packets that are compared between two inputs.
const PAIRS_LIMIT: usize = 1 << 12;

/// Payload that is compared. The random of a ClientHello is in its first 43 bytes.
const COMPARED_BYTES: usize = 48;
/// A datagram with less payload says too little.
const LEAST_DATAGRAM: usize = 12;

/// Captured at one place within this time: a duplicate (see `decode::dedup`).
const DUPLICATE_NANOS: u64 = 10_000_000;

/// The way between two points differs by no more than this from packet to packet.
const JITTER_NANOS: u64 = 100_000_000;

/// Packets that two points must have in common, where the path left its mark on them; and where only the clocks differ.
const LEAST_COMMON: usize = 3;
const LEAST_COMMON_BY_TIME: usize = 8;

/// The time over which they must be spread: a ring of files cuts duplicates of a mirror port apart.
const LEAST_SPREAD_NANOS: u64 = 100_000_000;

/// The points of a run.
#[derive(Clone, Debug, Default)]
pub struct SurveyedPoints {
    /// The points.
    pub points: CapturePoints,
    /// Packets that each point has in common with an earlier one; 0 for the first.
    pub common_packets: Vec<u64>,
}

/// What to survey.
#[derive(Clone, Copy, Debug)]
pub struct SurveyPlan<'a> {
    /// The inputs in the order of their [`FileId`](crate::base::FileId)s.
    pub inputs: &'a [PathBuf],
    /// Their names in rows.
    pub input_names: &'a [String],
    /// Points that the user named: a name, and a file or folder.
    pub named: &'a [(String, PathBuf)],
    /// The capture filter.
    pub filter: Option<&'a str>,
}

/// Finds the capture points of the inputs.
pub fn survey_points(plan: &SurveyPlan<'_>) -> SurveyedPoints {
    if plan.inputs.len() < 2 {
        return SurveyedPoints::default();
    }
    let samples = Samples::read(plan.inputs, plan.filter);
    let relations = samples.relations();
    let of_file = assign_points(plan, &relations);
    let Some(highest) = of_file.iter().map(|(point, _)| *point).max().filter(|highest| *highest > 0) else {
        return SurveyedPoints::default();
    };
    describe_points(usize::from(highest) + 1, &of_file, &relations)
}

/// A packet as one input shows it.
#[derive(Clone, Copy, Debug)]
struct Sighting {
    file: u32,
    time: Time,
    ttl: u8,
    /// Addresses and ports.
    ends: u64,
}

/// A packet that one input has repeatedly.
#[derive(Clone, Copy, Debug)]
struct Repetition {
    count: u32,
    /// Of the first one.
    ttl: u8,
    ends: [Address; 2],
}

impl Repetition {
    const fn first(ttl: u8, ends: [Address; 2]) -> Repetition {
        Repetition { count: 0, ttl, ends }
    }

    /// Whether a router passed the packet on between this and the first one. A NAT changes one end; both sides of a connection may
    /// send the same payload.
    fn is_routed(&self, ttl: u8, [src, dst]: [Address; 2]) -> bool {
        let [first_src, first_dst] = self.ends;
        self.ttl != ttl && (src == first_src || dst == first_dst)
    }
}

/// A packet in two inputs, and whether one of them has it repeatedly.
type CommonPacket = (Sighting, Sighting, bool);

/// Packets of the beginnings of all inputs.
#[derive(Debug, Default)]
struct Samples {
    /// By fingerprint and repetition.
    packets: HashMap<(u64, u32), SmallVec<[Sighting; 2]>>,
    /// Inputs that show packets before and after a router themselves.
    routed: HashMap<u32, [u64; 2]>,
    seeds: foldhash::fast::FixedState,
}

/// How two inputs relate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Relation {
    /// They were captured at different places.
    is_other_point: bool,
    /// By how much the clock of the second is ahead of the first's.
    offset: i64,
    packets: usize,
}

type Relations = HashMap<(u32, u32), Relation>;

impl Samples {
    fn read(inputs: &[PathBuf], filter: Option<&str>) -> Samples {
        let mut samples = Samples::default();
        let (least, most) = FRAMES_EACH;
        let each = (FRAMES / inputs.len() as u64).clamp(least, most);
        for (file, path) in inputs.iter().enumerate().take(INPUTS_LIMIT) {
            if capture::is_readable_again(path) {
                samples.read_input(file as u32, path, filter, each);
            }
        }
        samples
    }

    /// Reads the beginning of an input. What is wrong with an input is reported when it is audited.
    fn read_input(&mut self, file: u32, path: &Path, filter: Option<&str>, frames: u64) {
        let plan = capture::InputPlan {
            inputs: vec![capture::Input::named(path.as_os_str().to_owned())],
            filter: filter.map(str::to_owned),
            frame_limit: Some(frames),
            ..capture::InputPlan::default()
        };
        let Ok(mut capture) = Capture::open(plan) else { return };
        let mut decoder = Decoder::new(FragmentLimits::default());
        let mut repetitions: HashMap<u64, Repetition, foldhash::fast::RandomState> = HashMap::default();
        let mut chunk = Chunk::default();
        while capture.next(&mut chunk) {
            for frame in chunk.frames() {
                let Decoded::Packet(packet) = decoder.decode(&frame) else { continue };
                let Some(fingerprint) = self.fingerprint(&packet) else { continue };
                let (ttl, ends) = (packet.ttl, [packet.src, packet.dst]);
                let known = repetitions.entry(fingerprint).or_insert(Repetition::first(ttl, ends));
                let [seen, routed] = self.routed.entry(file).or_default();
                *seen += 1;
                *routed += u64::from(known.is_routed(ttl, ends));
                let repetition = &mut known.count;
                if *repetition < REPETITIONS {
                    let sighting =
                        Sighting { file, time: frame.time, ttl: packet.ttl, ends: self.ends(&packet) };
                    let sightings = self.packets.entry((fingerprint, *repetition)).or_default();
                    if sightings.len() < INPUTS_OF_PACKET {
                        sightings.push(sighting);
                    }
                }
                *repetition += 1;
            }
        }
    }

    /// What no router and no NAT changes; none for packets that say too little.
    fn fingerprint(&self, packet: &Packet<'_>) -> Option<u64> {
        use std::hash::BuildHasher as _;
        let len = packet.payload_len;
        if is_for_many(packet.dst) {
            return None;
        }
        match packet.transport {
            Transport::Tcp(tcp) if tcp.has(TcpHeader::SYN) => {
                Some(self.seeds.hash_one((tcp.flags & (TcpHeader::SYN | TcpHeader::ACK), tcp.seq, tcp.ack)))
            }
            Transport::Tcp(_) => {
                Some(self.seeds.hash_one((packet.protocol, len, packet.payload.get(..COMPARED_BYTES)?)))
            }
            Transport::Udp if packet.payload.len() >= LEAST_DATAGRAM => {
                let compared = packet.payload.get(..COMPARED_BYTES).unwrap_or(packet.payload);
                Some(self.seeds.hash_one((packet.protocol, len, compared)))
            }
            _ => None,
        }
    }

    fn ends(&self, packet: &Packet<'_>) -> u64 {
        use std::hash::BuildHasher as _;
        self.seeds.hash_one((packet.src.0, packet.dst.0, packet.src_port, packet.dst_port))
    }

    /// How each two inputs relate that have packets in common.
    fn relations(&self) -> Relations {
        let mut pairs: HashMap<(u32, u32), Vec<CommonPacket>> = HashMap::new();
        // Sorted, because only some of many packets are compared.
        let mut packets: Vec<_> = self.packets.iter().collect();
        packets.sort_unstable_by_key(|(packet, _)| **packet);
        for ((fingerprint, repetition), sightings) in packets {
            let is_repeated = *repetition > 0 || self.packets.contains_key(&(*fingerprint, 1));
            for (at, a) in sightings.iter().enumerate() {
                for b in sightings.iter().skip(at + 1) {
                    let pair = pairs.entry((a.file, b.file)).or_default();
                    if pair.len() < PAIRS_LIMIT {
                        pair.push((*a, *b, is_repeated));
                    }
                }
            }
        }
        let is_routed = |file: &u32| self.routed.get(file).is_some_and(|[seen, routed]| routed * 10 > *seen);
        pairs
            .iter()
            .filter_map(|(pair @ (a, b), common)| {
                let is_mixed = is_routed(a) || is_routed(b);
                Some((*pair, relation(common).filter(|relation| !relation.is_other_point || !is_mixed)?))
            })
            .collect()
    }
}

/// How two inputs relate, by the packets that they have in common.
fn relation(common: &[CommonPacket]) -> Option<Relation> {
    let ahead = |(a, b, _): &CommonPacket| b.time.0.saturating_sub(a.time.0);
    let usual = median(common.iter().map(ahead).collect())?;
    let consistent: Vec<&CommonPacket> =
        common.iter().filter(|pair| ahead(pair).abs_diff(usual) <= JITTER_NANOS).collect();
    let times = || consistent.iter().map(|(a, _, _)| a.time.0);
    let spread = times().max()?.abs_diff(times().min()?);
    if consistent.len() < LEAST_COMMON || consistent.len() * 2 < common.len() {
        return None;
    }
    // Copies of a capture with changed addresses have the times of the original; the way between two points takes a while.
    let has_other_times = consistent.iter().filter(|pair| ahead(pair) != 0).count() * 2 > consistent.len();
    let on_another_path = consistent.iter().filter(|(a, b, _)| a.ttl != b.ttl || a.ends != b.ends).count();
    let is_on_another_path =
        on_another_path * 2 > consistent.len() && has_other_times && spread >= LEAST_SPREAD_NANOS;
    let once = consistent.iter().filter(|(_, _, is_repeated)| !is_repeated).count();
    let has_another_clock = usual.unsigned_abs() > DUPLICATE_NANOS && once >= LEAST_COMMON_BY_TIME;
    // The way there takes as long as the way back: half of the sum is the difference of the clocks.
    let by_way = |is_it: fn(&Sighting, &Sighting) -> bool| {
        median(consistent.iter().filter(|(a, b, _)| is_it(a, b)).map(|pair| ahead(pair)).collect())
    };
    let (there, back) = (by_way(|a, b| a.ttl > b.ttl), by_way(|a, b| a.ttl < b.ttl));
    let offset = there.zip(back).map_or(usual, |(there, back)| there.midpoint(back));
    Some(Relation {
        is_other_point: is_on_another_path || has_another_clock,
        offset,
        packets: consistent.len(),
    })
}

fn median(mut values: Vec<i64>) -> Option<i64> {
    values.sort_unstable();
    values.get(values.len() / 2).copied()
}

/// Multicast and broadcast reach many places, in as many packets.
fn is_for_many(address: Address) -> bool {
    match address.to_ip() {
        std::net::IpAddr::V4(v4) => v4.is_multicast() || v4.is_broadcast(),
        std::net::IpAddr::V6(v6) => v6.is_multicast(),
    }
}

/// The point of each input, with its name. An input that nothing shows to be from another place belongs to the first point.
fn assign_points(plan: &SurveyPlan<'_>, relations: &Relations) -> Vec<(u8, Arc<str>)> {
    let SurveyPlan { inputs, input_names, named, .. } = *plan;
    let name_of = |path: &PathBuf| {
        named
            .iter()
            .find(|(_, place)| path.starts_with(place))
            .map(|(name, _)| Arc::<str>::from(name.as_str()))
    };
    let mut points: Vec<(Arc<str>, Vec<usize>)> = Vec::new();
    for (file, name) in inputs.iter().map(name_of).enumerate() {
        let Some(name) = name else { continue };
        match points.iter_mut().find(|(known, _)| *known == name) {
            Some((_, files)) => files.push(file),
            None => points.push((name, vec![file])),
        }
    }
    for file in 0..inputs.len() {
        if points.iter().any(|(_, files)| files.contains(&file)) {
            continue;
        }
        let relates = |files: &[usize], is_other_point: bool| {
            files.iter().any(|other| {
                let pair = (file.min(*other) as u32, file.max(*other) as u32);
                relations.get(&pair).is_some_and(|relation| relation.is_other_point == is_other_point)
            })
        };
        let place = points
            .iter()
            .position(|(_, files)| relates(files, false))
            .or_else(|| points.iter().position(|(_, files)| !relates(files, true)))
            .or_else(|| (points.len() >= CapturePoints::LIMIT).then(|| points.len() - 1));
        match place.and_then(|place| points.get_mut(place)) {
            Some((_, files)) => files.push(file),
            None => {
                let name = input_names.get(file).map_or("", String::as_str);
                points.push((name.into(), vec![file]));
            }
        }
    }
    // In the order of their first inputs, whatever the order of the arguments.
    points.sort_by_key(|(_, files)| files.iter().min().copied());
    let mut of_file = vec![(0, Arc::<str>::from("")); inputs.len()];
    for (point, (name, files)) in points.iter().enumerate() {
        for file in files {
            if let Some(entry) = of_file.get_mut(*file) {
                *entry = (point.min(CapturePoints::LIMIT - 1) as u8, Arc::clone(name));
            }
        }
    }
    of_file
}

/// The points with their clocks.
fn describe_points(count: usize, of_file: &[(u8, Arc<str>)], relations: &Relations) -> SurveyedPoints {
    let point_of = |file: u32| of_file.get(file as usize).map_or(0, |(point, _)| usize::from(*point));
    // The relation of two points: of those between their inputs the one that most packets show.
    let mut between: Vec<(usize, usize, i64, usize)> = Vec::new();
    let mut sorted: Vec<(&(u32, u32), &Relation)> = relations.iter().collect();
    sorted.sort_unstable_by_key(|(pair, relation)| (std::cmp::Reverse(relation.packets), **pair));
    for ((a, b), relation) in sorted {
        let (a, b) = (point_of(*a), point_of(*b));
        if a != b && !between.iter().any(|(c, d, _, _)| (*c, *d) == (a, b) || (*c, *d) == (b, a)) {
            between.push((a, b, relation.offset, relation.packets));
        }
    }
    let mut offsets: Vec<Option<(i64, usize)>> = vec![None; count];
    if let Some(first) = offsets.first_mut() {
        *first = Some((0, 0));
    }
    for _ in 1..count {
        for (a, b, offset, packets) in &between {
            let known = |point: &usize| offsets.get(*point).copied().flatten();
            let (point, found) = match (known(a), known(b)) {
                (Some((of_a, _)), None) => (b, of_a.saturating_add(*offset)),
                (None, Some((of_b, _))) => (a, of_b.saturating_sub(*offset)),
                _ => continue,
            };
            if let Some(entry) = offsets.get_mut(*point) {
                *entry = Some((found, *packets));
            }
        }
    }
    let name = |point: usize| {
        of_file.iter().find(|(of, _)| usize::from(*of) == point).map(|(_, name)| Arc::clone(name))
    };
    let points = offsets.iter().enumerate().map(|(point, offset)| CapturePoint {
        name: name(point).map_or_else(Box::default, |name| (*name).into()),
        clock_offset: offset.map(|(offset, _)| offset),
    });
    SurveyedPoints {
        points: CapturePoints::new(points.collect(), of_file.iter().map(|(point, _)| *point).collect()),
        common_packets: offsets
            .iter()
            .map(|offset| offset.map_or(0, |(_, packets)| packets as u64))
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000_000;

    /// Packets that two inputs have in common: time in the first, nanoseconds later in the second, TTL in both.
    fn common(packets: &[(i64, i64, u8, u8)]) -> Vec<CommonPacket> {
        let sighting = |file, time, ttl| Sighting { file, time: Time(time), ttl, ends: 1 };
        packets
            .iter()
            .map(|(time, later, a, b)| (sighting(0, *time, *a), sighting(1, time + later, *b), false))
            .collect()
    }

    fn check(packets: &[(i64, i64, u8, u8)], expected: Option<(bool, i64)>) {
        let found = relation(&common(packets)).map(|relation| (relation.is_other_point, relation.offset));
        assert_eq!(found, expected, "{packets:?}");
    }

    #[test]
    fn a_repeated_packet_is_routed_if_it_has_an_end_in_common() {
        let [client, server, translated] = [1, 2, 3].map(|last| Address::v4([10, 0, 0, last]));
        let first = Repetition::first(128, [client, server]);
        assert!(first.is_routed(127, [client, server]));
        assert!(first.is_routed(127, [translated, server]));
        assert!(!first.is_routed(128, [client, server]), "retransmitted");
        assert!(!first.is_routed(50, [server, client]), "the other side sends the same payload");
    }

    #[test]
    fn packets_with_another_ttl_are_from_another_point() {
        // One way, and both ways: the way itself takes 200 µs.
        check(&[(0, 200, 64, 63), (SECOND, 210, 64, 63), (2 * SECOND, 190, 64, 63)], Some((true, 200)));
        let ahead = 7 * SECOND;
        check(
            &[(0, ahead + 200, 64, 63), (SECOND, ahead - 200, 50, 51), (2 * SECOND, ahead + 200, 64, 63)],
            Some((true, ahead)),
        );
    }

    #[test]
    fn duplicates_in_two_files_are_from_one_point() {
        check(&[(0, 0, 64, 64), (SECOND, 3, 64, 64), (2 * SECOND, 9, 64, 64)], Some((false, 3)));
        // A copy with another TTL.
        check(&[(0, 0, 64, 63), (SECOND, 0, 64, 63), (2 * SECOND, 0, 64, 63)], Some((false, 0)));
        // A ring of files that cut the duplicates of a routed packet apart.
        check(&[(0, 200, 64, 63), (100, 200, 64, 63), (200, 200, 64, 63)], Some((false, 200)));
    }

    #[test]
    fn retransmissions_in_the_next_file_show_nothing() {
        check(&[(0, SECOND, 64, 64), (5, 3 * SECOND, 64, 64), (9, 7 * SECOND, 64, 64)], None);
        check(&[(0, 200, 64, 63), (SECOND, 200, 64, 63)], None);
    }

    #[test]
    fn another_clock_alone_needs_more_packets() {
        let packets: Vec<(i64, i64, u8, u8)> =
            (0..8).map(|n| (n * SECOND, 60 * SECOND + n, 64, 64)).collect();
        check(&packets, Some((true, 60 * SECOND + 4)));
        check(packets.get(..7).unwrap(), Some((false, 60 * SECOND + 3)));
    }

    fn points(
        inputs: &[&str],
        named: &[(&str, &str)],
        others: &[(u32, u32)],
        same: &[(u32, u32)],
    ) -> Vec<String> {
        let input_names: Vec<String> = inputs.iter().map(|name| (*name).to_owned()).collect();
        let inputs: Vec<PathBuf> = inputs.iter().map(PathBuf::from).collect();
        let named: Vec<(String, PathBuf)> =
            named.iter().map(|(name, path)| ((*name).to_owned(), PathBuf::from(path))).collect();
        let relation = |is_other_point| Relation { is_other_point, offset: 0, packets: 9 };
        let relations: Relations = others
            .iter()
            .map(|pair| (*pair, relation(true)))
            .chain(same.iter().map(|pair| (*pair, relation(false))))
            .collect();
        let plan = SurveyPlan { inputs: &inputs, input_names: &input_names, named: &named, filter: None };
        assign_points(&plan, &relations).iter().map(|(point, name)| format!("{point} {name}")).collect()
    }

    #[test]
    fn inputs_belong_to_the_point_that_their_packets_show() {
        assert_eq!(points(&["a", "b"], &[], &[], &[]), ["0 a", "0 a"]);
        assert_eq!(points(&["a", "b"], &[], &[(0, 1)], &[]), ["0 a", "1 b"]);
        // A ring of two files at each of two points.
        assert_eq!(
            points(&["in1", "out1", "in2", "out2"], &[], &[(0, 1), (2, 3), (1, 2)], &[(1, 3)]),
            ["0 in1", "1 out1", "0 in1", "1 out1"]
        );
        assert_eq!(
            points(&["d/a", "d/b", "c"], &[("outside", "c"), ("inside", "d")], &[], &[]),
            ["0 inside", "0 inside", "1 outside"]
        );
    }

    #[test]
    fn clocks_are_compared_with_that_of_the_first_point() {
        let of_file = [(0, "a".into()), (1, "b".into()), (2, "c".into())];
        let relation = |offset, packets| Relation { is_other_point: true, offset, packets };
        let relations: Relations = [((0, 1), relation(5, 9)), ((1, 2), relation(7, 8))].into_iter().collect();
        let found = describe_points(3, &of_file, &relations);
        let offsets: Vec<Option<i64>> = found.points.iter().map(|point| point.clock_offset).collect();
        assert_eq!(offsets, [Some(0), Some(5), Some(12)]);
        assert_eq!(found.common_packets, [0, 9, 8]);
        let unknown = describe_points(2, &of_file[..2], &Relations::default());
        assert_eq!(
            unknown.points.iter().map(|point| point.clock_offset).collect::<Vec<_>>(),
            [Some(0), None]
        );
    }
}

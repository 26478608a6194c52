//! Reads pcap files: micro- and nanoseconds, both byte orders, and the variants that libpcap knows.
//!
//! In:  bytes of the capture.
//! Out: frames, and the damage between them.
//! Not: pcapng.

use super::FrameHeader;
use super::Interface;
use super::LinkType;
use super::format::Cut;
use super::format::Format;
use super::format::Lost;
use super::format::Out;
use super::format::RECORD_LIMIT;
use super::format::Reader;
use super::format::Step;
use super::format::View;
use super::format::cut_short;
use super::format::four;
use super::format::word;
use crate::base::Time;

pub(super) const FORMAT: Format = Format { wanted: 4, probe };

// draft-ietf-opsawg-pcap §4: magic numbers; libpcap sf-pcap.c for the others.
const MAGICS: &[(u32, &str, i64, usize)] = &[
    (0xa1b2_c3d4, "pcap", 1000, 16),
    (0xa1b2_3c4d, "pcap ns", 1, 16),
    // Kuznetzov's patch of 1998: interface index, protocol and packet type follow the usual record header.
    (0xa1b2_cd34, "pcap modified", 1000, 24),
    (0xa1b2_34cd, "pcap FMESQUITA", 1000, 16),
    (0xa12b_3c4d, "pcap NAVTEL", 1000, 16),
];

const FILE_HEADER_LEN: usize = 24;
/// libpcap's MAXIMUM_SNAPLEN: a record may be so long even if the file header says less.
const SOUND_LEN: u32 = 262_144;
/// After damage, the next record is looked for in so many bytes.
const SEARCH_LIMIT: u64 = 16 << 20;
/// After damage, records must lie so near in time to the one before it.
const SEARCH_SECS: u32 = 7 * 86_400;
/// After damage, so many records in a row are needed to go on.
const SEARCH_CHAIN: usize = 3;

/// Which of a record's two lengths comes first; libpcap sf-pcap.c, on versions before 2.4.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Lengths {
    CapturedFirst,
    WireFirst,
    SmallerIsCaptured,
}

struct Pcap {
    big: bool,
    begun: bool,
    nanos_per_unit: i64,
    head_len: usize,
    sound_len: u32,
    lengths: Lengths,
    checksum_len: u32,
    link: LinkType,
    /// Seconds of the last record, to judge those after damage.
    last_secs: Option<u32>,
    lost: Option<Lost>,
    hopeless: bool,
}

fn probe(head: &[u8], _whole: bool) -> Option<Reader> {
    let magic = four(head, 0)?;
    MAGICS.iter().find_map(|(number, name, nanos_per_unit, head_len)| {
        let big = *number == u32::from_be_bytes(magic);
        let pcap = Pcap {
            big,
            begun: false,
            nanos_per_unit: *nanos_per_unit,
            head_len: *head_len,
            sound_len: SOUND_LEN,
            lengths: Lengths::CapturedFirst,
            checksum_len: 0,
            link: LinkType(0),
            last_secs: None,
            lost: None,
            hopeless: false,
        };
        let known = big || *number == u32::from_le_bytes(magic);
        known.then(|| (Box::new(pcap) as Box<dyn Cut>, *name))
    })
}

/// A record's header.
#[derive(Clone, Copy)]
struct Record {
    secs: u32,
    fraction: u32,
    captured_len: u32,
    wire_len: u32,
}

/// Why a run of records ended.
enum Pause {
    Room,
    Need(usize),
    Unsound(Record),
}

impl Cut for Pcap {
    fn cut(&mut self, view: View<'_>, out: &mut Out<'_>) -> Step {
        if self.big { self.run::<true>(view, out) } else { self.run::<false>(view, out) }
    }
}

impl Pcap {
    fn run<const BIG: bool>(&mut self, view: View<'_>, out: &mut Out<'_>) -> Step {
        let mut used = 0;
        if !self.begun {
            if view.bytes.len() < FILE_HEADER_LEN {
                if view.last {
                    cut_short(view, 0, out);
                    return Step { used: view.bytes.len(), need: 0 };
                }
                return Step { used: 0, need: FILE_HEADER_LEN };
            }
            self.begin::<BIG>(view.bytes, out);
            used = FILE_HEADER_LEN;
        }
        loop {
            if self.lost.is_some()
                && let Some(need) = self.search::<BIG>(view, &mut used, out)
            {
                return Step { used, need };
            }
            match self.records::<BIG>(view, &mut used, out) {
                Pause::Room => return Step { used, need: 0 },
                Pause::Need(need) if !view.last => return Step { used, need },
                Pause::Need(_) => {
                    cut_short(view, used, out);
                    return Step { used: view.bytes.len(), need: 0 };
                }
                Pause::Unsound(record) => {
                    if let Some(need) = self.doubt::<BIG>(view, &mut used, record, out) {
                        return Step { used, need };
                    }
                }
            }
        }
    }

    fn begin<const BIG: bool>(&mut self, bytes: &[u8], out: &mut Out<'_>) {
        let field = |at| four(bytes, at).map(word::<BIG>).unwrap_or_default();
        let version = field(4);
        let (major, minor) =
            if BIG { (version >> 16, version & 0xffff) } else { (version & 0xffff, version >> 16) };
        let snap_len = field(16);
        // draft-ietf-opsawg-pcap §4: the upper bits are not the link type; f: frames end with a checksum, its length in
        // 16-bit words.
        let link = field(20);
        self.link = LinkType((link & 0xffff) as u16);
        self.checksum_len = if link & 0x0400_0000 == 0 { 0 } else { (link >> 28) * 2 };
        if link & 0x03ff_0000 != 0 {
            out.facts.note("reserved bits beside the link type are set");
        }
        self.lengths = match (major, minor) {
            (2, ..=2) => Lengths::WireFirst,
            (2, 3) | (543, _) => Lengths::SmallerIsCaptured,
            _ => Lengths::CapturedFirst,
        };
        if (major, minor) != (2, 4) {
            out.facts.note(format!("version {major}.{minor} of the format"));
        }
        self.sound_len = snap_len.clamp(SOUND_LEN, RECORD_LIMIT as u32);
        self.begun = true;
        let resolution = if self.nanos_per_unit == 1 { "10^-9" } else { "10^-6" };
        out.facts.interfaces.push(Interface::new(self.link, snap_len, resolution));
        out.facts.overhead_bytes += FILE_HEADER_LEN as u64;
    }

    #[inline(always)]
    fn record<const BIG: bool>(&self, bytes: &[u8], at: usize) -> Option<Record> {
        let head = bytes.get(at..)?.first_chunk::<16>()?;
        let [s0, s1, s2, s3, f0, f1, f2, f3, c0, c1, c2, c3, w0, w1, w2, w3] = *head;
        let secs = word::<BIG>([s0, s1, s2, s3]);
        let fraction = word::<BIG>([f0, f1, f2, f3]);
        let mut captured_len = word::<BIG>([c0, c1, c2, c3]);
        let mut wire_len = word::<BIG>([w0, w1, w2, w3]);
        if self.lengths != Lengths::CapturedFirst
            && (self.lengths == Lengths::WireFirst || captured_len > wire_len)
        {
            std::mem::swap(&mut captured_len, &mut wire_len);
        }
        Some(Record { secs, fraction, captured_len, wire_len })
    }

    /// The hot loop: cuts records until something is missing or odd.
    #[inline(always)]
    fn records<const BIG: bool>(&mut self, view: View<'_>, used: &mut usize, out: &mut Out<'_>) -> Pause {
        let bytes = view.bytes;
        let first = out.facts.frames + 1;
        let begun_with = out.frames.len();
        let mut at = *used;
        let mut secs = self.last_secs;
        let mut checksums = 0;
        let pause = loop {
            if out.frames.len() >= out.room {
                break Pause::Room;
            }
            let Some(record) = self.record::<BIG>(bytes, at) else { break Pause::Need(self.head_len) };
            if record.captured_len > self.sound_len || record.is_zero() {
                break Pause::Unsound(record);
            }
            let body = at + self.head_len;
            let end = body + record.captured_len as usize;
            if end > bytes.len() {
                break Pause::Need(end - at);
            }
            let header = self.header(record, view.base + body, first + out.frames.len() as u64);
            checksums += u64::from(record.captured_len - header.captured_len);
            out.frames.push(header);
            secs = Some(record.secs);
            at = end;
        };
        self.last_secs = secs;
        out.facts.overhead_bytes += ((out.frames.len() - begun_with) * self.head_len) as u64 + checksums;
        *used = at;
        pause
    }

    #[inline(always)]
    fn header(&self, record: Record, offset: usize, number: u64) -> FrameHeader {
        let wire_len = record.wire_len.saturating_sub(self.checksum_len);
        let captured_len =
            if self.checksum_len == 0 { record.captured_len } else { record.captured_len.min(wire_len) };
        FrameHeader {
            // Never overflows: 32 bits of seconds end in 2106.
            time: Time(
                i64::from(record.secs) * 1_000_000_000 + i64::from(record.fraction) * self.nanos_per_unit,
            ),
            number,
            offset: offset as u32,
            captured_len,
            wire_len,
            link: self.link,
            interface: 0,
        }
    }

    /// A record that is too long or all zero: it stands if a sound one follows. `Some`: so many bytes are needed first.
    fn doubt<const BIG: bool>(
        &mut self,
        view: View<'_>,
        used: &mut usize,
        record: Record,
        out: &mut Out<'_>,
    ) -> Option<usize> {
        let len = self.head_len + record.captured_len as usize;
        let end = *used + len;
        let left = view.bytes.len() - *used;
        let sound = if len > RECORD_LIMIT || (view.last && len > left) {
            false
        } else if left >= len + self.head_len {
            self.record::<BIG>(view.bytes, end).is_some_and(|next| self.is_sound(next))
        } else if view.last {
            left == len && !record.is_zero()
        } else {
            return Some(len + self.head_len);
        };
        let number = out.frames_before() + 1;
        if !sound {
            let why = if record.is_zero() { "zeros instead of records" } else { "unsound record" };
            self.lost = Some(Lost { at: view.position + *used as u64, after_frame: number - 1, why });
            return None;
        }
        let header = self.header(record, view.base + *used + self.head_len, number);
        out.facts.overhead_bytes +=
            self.head_len as u64 + u64::from(record.captured_len - header.captured_len);
        out.frames.push(header);
        self.last_secs = Some(record.secs);
        *used = end;
        None
    }

    fn is_sound(&self, record: Record) -> bool {
        record.captured_len <= self.sound_len
            && record.fraction < 1_000_000_000
            && record.wire_len as usize <= RECORD_LIMIT
            && !record.is_zero()
    }

    /// Looks for a chain of records; `Some`: the bytes are used up, or so many are needed first.
    fn search<const BIG: bool>(
        &mut self,
        view: View<'_>,
        used: &mut usize,
        out: &mut Out<'_>,
    ) -> Option<usize> {
        let lost = self.lost?;
        while !self.hopeless && *used < view.bytes.len() {
            let position = view.position + *used as u64;
            if position > lost.at {
                match self.chain::<BIG>(view, *used) {
                    Chain::Holds => {
                        lost.found(position, out.facts);
                        self.lost = None;
                        return None;
                    }
                    Chain::Need(need) => return Some(need),
                    Chain::Breaks => {}
                }
            }
            self.hopeless = position - lost.at >= SEARCH_LIMIT;
            *used += 1;
        }
        *used = view.bytes.len();
        if view.last {
            lost.found(view.position + *used as u64, out.facts);
            self.lost = None;
            return Some(0);
        }
        Some(1)
    }

    fn chain<const BIG: bool>(&self, view: View<'_>, from: usize) -> Chain {
        let mut at = from;
        for link in 0..SEARCH_CHAIN {
            if at == view.bytes.len() && view.last {
                return if link > 0 { Chain::Holds } else { Chain::Breaks };
            }
            let Some(record) = self.record::<BIG>(view.bytes, at) else {
                return if view.last { Chain::Breaks } else { Chain::Need(at - from + self.head_len) };
            };
            let near = self.last_secs.is_none_or(|secs| secs.abs_diff(record.secs) <= SEARCH_SECS);
            let whole = record.captured_len > 0 && record.captured_len <= record.wire_len;
            if !near || !whole || !self.is_sound(record) {
                return Chain::Breaks;
            }
            at += self.head_len + record.captured_len as usize;
            if at > view.bytes.len() && view.last {
                return Chain::Breaks;
            }
        }
        Chain::Holds
    }
}

/// What a search found.
enum Chain {
    Holds,
    Breaks,
    Need(usize),
}

impl Record {
    /// Nothing but zeros: what a crash or a preallocated file leaves behind.
    const fn is_zero(self) -> bool {
        self.secs == 0 && self.captured_len == 0 && self.wire_len == 0
    }
}

#[cfg(test)]
mod tests {
    use super::super::InputFacts;
    use super::super::test_support::Craft;
    use super::super::test_support::read;
    use super::super::test_support::read_dripping;

    /// Reads a file and compares its frames (time, bytes) and the sentences of its damage.
    fn check(bytes: &[u8], frames: &[(i64, &[u8])], damage: &[&str]) -> InputFacts {
        let (seen, facts) = read(bytes).unwrap();
        let seen_frames: Vec<(i64, &[u8])> = seen.iter().map(|frame| (frame.1, &*frame.4)).collect();
        assert_eq!(seen_frames, frames);
        let told: Vec<&str> = facts.damage.iter().map(|damage| &*damage.what).collect();
        assert_eq!(told, damage);
        let (dripped, _) = read_dripping(bytes, bytes.len() / 2000 + 7).unwrap();
        assert_eq!(dripped, seen, "how bytes come does not matter");
        facts
    }

    const MICRO: u32 = 0xa1b2_c3d4;

    #[test]
    fn both_units_in_both_byte_orders() {
        for big in [false, true] {
            let mut micro = Craft::pcap(big, MICRO, 1);
            micro.record(10, 5, b"ab").record(11, 999_999, b"");
            check(&micro.bytes, &[(10_000_005_000, b"ab"), (11_999_999_000, b"")], &[]);
            let mut nano = Craft::pcap(big, 0xa1b2_3c4d, 1);
            nano.record(u32::MAX, 999_999_999, b"ab");
            let facts = check(&nano.bytes, &[(4_294_967_295_999_999_999, b"ab")], &[]);
            assert_eq!((facts.format, &*facts.interfaces[0].resolution), (Some("pcap ns"), "10^-9"));
        }
    }

    #[test]
    fn kuznetzovs_records_are_longer() {
        let mut craft = Craft::pcap(false, 0xa1b2_cd34, 1);
        craft.u32(1).u32(2).u32(3).u32(3).raw(&[0; 8]).raw(b"abc");
        craft.u32(2).u32(2).u32(1).u32(1).raw(&[0; 8]).raw(b"d");
        check(&craft.bytes, &[(1_000_002_000, b"abc"), (2_000_002_000, b"d")], &[]);
    }

    #[test]
    fn old_versions_have_their_lengths_the_other_way_round() {
        let mut craft = Craft::pcap(false, MICRO, 1);
        craft.bytes[6] = 2;
        craft.u32(1).u32(0).u32(9).u32(2).raw(b"ab");
        check(&craft.bytes, &[(1_000_000_000, b"ab")], &[]);
    }

    #[test]
    fn checksums_are_cut_off() {
        // draft-ietf-opsawg-pcap: f is set, and a checksum is 2 words long.
        let mut craft = Craft::pcap(false, MICRO, 0x2400_0001);
        craft.record(1, 0, b"abcdefgh");
        craft.u32(1).u32(0).u32(4).u32(100).raw(b"abcd");
        let facts = check(&craft.bytes, &[(1_000_000_000, b"abcd"), (1_000_000_000, b"abcd")], &[]);
        assert_eq!(facts.interfaces[0].link.0, 1);
        let (seen, _) = read(&craft.bytes).unwrap();
        assert_eq!((seen[0].3, seen[1].3), (4, 96));
    }

    #[test]
    fn lengths_that_only_look_odd_stand() {
        let mut craft = Craft::pcap(false, MICRO, 1);
        craft.u32(1).u32(0).u32(4).u32(2).raw(b"abcd");
        let long = vec![7; 1 << 20];
        craft.record(2, 0, &long).record(3, 0, b"x").record(4, 0, &long);
        let frames: [(i64, &[u8]); 4] =
            [(1_000_000_000, b"abcd"), (2_000_000_000, &long), (3_000_000_000, b"x"), (4_000_000_000, &long)];
        check(&craft.bytes, &frames, &[]);
    }

    #[test]
    fn a_cut_file_keeps_its_whole_frames() {
        let mut craft = Craft::pcap(false, MICRO, 1);
        craft.record(1, 0, b"abcd").record(2, 0, b"efgh");
        let bytes = &craft.bytes;
        check(&bytes[..63], &[(1_000_000_000, b"abcd")], &["cut after frame 1"]);
        check(&bytes[..50], &[(1_000_000_000, b"abcd")], &["cut after frame 1"]);
        check(&bytes[..30], &[], &["cut before the first frame"]);
        check(&bytes[..10], &[], &["cut before the first frame"]);
        check(&bytes[..24], &[], &[]);
    }

    #[test]
    fn reading_goes_on_behind_damage() {
        for junk in [&[0xee_u8; 37][..], &[0xff; 3], &[0; 400]] {
            let mut craft = Craft::pcap(false, MICRO, 1);
            craft.record(1000, 0, b"abcd").raw(junk);
            craft.record(1001, 0, b"e").record(1002, 0, b"f").record(1003, 0, b"g");
            let frames: [(i64, &[u8]); 4] = [(1000, &b"abcd"[..]), (1001, b"e"), (1002, b"f"), (1003, b"g")]
                .map(|(s, b)| (s * 1_000_000_000, b));
            let (seen, facts) = read(&craft.bytes).unwrap();
            let seen: Vec<(i64, &[u8])> = seen.iter().map(|frame| (frame.1, &*frame.4)).collect();
            assert_eq!(seen, frames);
            assert_eq!((facts.damage_count, facts.skipped_bytes), (1, junk.len() as u64), "{facts:?}");
        }
    }

    #[test]
    fn a_length_of_4_gib_is_damage_and_the_rest_is_found() {
        let mut craft = Craft::pcap(false, MICRO, 1);
        craft.record(1, 0, b"abcd").u32(2).u32(0).u32(u32::MAX).u32(60).raw(&[9; 60]);
        craft.record(2, 0, b"e").record(3, 0, b"f").record(4, 0, b"g");
        let (seen, facts) = read(&craft.bytes).unwrap();
        assert_eq!(seen.len(), 4);
        assert_eq!(facts.damage[0].what, "unsound record after frame 1, 76 bytes skipped");
        assert_eq!((facts.damage[0].at_byte, seen[1].0), (44, 2));
    }

    #[test]
    fn zeros_to_the_end_are_no_frames() {
        let mut craft = Craft::pcap(false, MICRO, 1);
        craft.record(1, 0, b"abcd").raw(&[0; 100_000]);
        let damage = ["zeros instead of records after frame 1, 100000 bytes skipped"];
        check(&craft.bytes, &[(1_000_000_000, b"abcd")], &damage);
    }
}

//! Reads pcapng files.
//!
//! In:  bytes of the capture.
//! Out: frames, interfaces, what sections say of themselves, and the damage between blocks.
//! Not: name resolution blocks, secrets and other blocks that hold no frames; they are counted and passed over.

use super::FrameHeader;
use super::Interface;
use super::LinkType;
use super::facts::tell;
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
use super::interface::InterfaceClock;
use super::interface::Scale;

pub(super) const FORMAT: Format = Format { wanted: 12, probe };

// draft-ietf-opsawg-pcapng §4, §11.1: block types.
const SECTION: u32 = 0x0a0d_0d0a;
const INTERFACE: u32 = 1;
const OBSOLETE_PACKET: u32 = 2;
const SIMPLE_PACKET: u32 = 3;
const NAMES: u32 = 4;
const STATISTICS: u32 = 5;
const ENHANCED_PACKET: u32 = 6;
const JOURNAL: u32 = 9;
const SECRETS: u32 = 10;
const CUSTOM: [u32; 2] = [0x0bad, 0x4000_0bad];

/// Wireshark numbers these as if they were frames: custom blocks, journal entries, Sysdig events.
const NUMBERED: [u32; 6] = [0x0bad, 0x4000_0bad, JOURNAL, 0x204, 0x216, 0x221];

/// draft-ietf-opsawg-pcapng §4.1: the byte-order magic.
const ORDER: u32 = 0x1a2b_3c4d;
/// Frames name interfaces by 16 bits in [`FrameHeader`]; a file with more of them is refused the rest.
const INTERFACE_LIMIT: usize = 1 << 16;
/// A block that the file's end cuts, and that is longer than this, is damage to its length and not a cut.
const SOUND_LEN: usize = 1 << 20;
/// After damage, the next block is looked for in so many bytes, and may be so long.
const SEARCH_LIMIT: u64 = 64 << 20;
const SEARCH_LEN: usize = 1 << 20;

struct Pcapng {
    big: bool,
    ports: Vec<InterfaceClock>,
    /// Interfaces of the sections before this one.
    first_port: usize,
    lost: Option<Lost>,
    hopeless: bool,
}

fn probe(head: &[u8], _whole: bool) -> Option<Reader> {
    let order = four(head, 8)?;
    let known = u32::from_le_bytes(order) == ORDER || u32::from_be_bytes(order) == ORDER;
    let pcapng = Pcapng { big: false, ports: Vec::new(), first_port: 0, lost: None, hopeless: false };
    (four(head, 0)? == SECTION.to_be_bytes() && known).then(|| (Box::new(pcapng) as Box<dyn Cut>, "pcapng"))
}

/// Why a run of blocks ended.
enum Pause {
    Room,
    Need(usize),
    Unsound(&'static str),
    /// A section header: the byte order may change.
    Section,
}

/// Where a block's frame lies, as its header says.
struct Packet {
    interface: usize,
    stamp: Option<u64>,
    captured_len: usize,
    wire_len: u32,
    /// From the block's first byte.
    body: usize,
}

impl Cut for Pcapng {
    fn cut(&mut self, view: View<'_>, out: &mut Out<'_>) -> Step {
        let mut used = 0;
        loop {
            if self.lost.is_some()
                && let Some(need) = self.search(view, &mut used, out)
            {
                return Step { used, need };
            }
            let pause = if self.big {
                self.blocks::<true>(view, &mut used, out)
            } else {
                self.blocks::<false>(view, &mut used, out)
            };
            let left = view.bytes.len() - used;
            match pause {
                Pause::Section => {
                    if let Some(order) = view.bytes.get(used..).and_then(|rest| four(rest, 8)) {
                        self.big = u32::from_be_bytes(order) == ORDER;
                    }
                    let need = if self.big {
                        self.section::<true>(view, &mut used, out)
                    } else {
                        self.section::<false>(view, &mut used, out)
                    };
                    match need {
                        Ok(()) => {}
                        Err(Pause::Need(need)) if !view.last => return Step { used, need },
                        Err(Pause::Need(need)) if need <= SOUND_LEN || left <= 12 => {
                            cut_short(view, used, out);
                            return Step { used: view.bytes.len(), need: 0 };
                        }
                        Err(Pause::Unsound(why)) => self.lose(why, view, used, out),
                        Err(_) => self.lose("unsound section header", view, used, out),
                    }
                }
                Pause::Room => return Step { used, need: 0 },
                Pause::Need(need) if !view.last => return Step { used, need },
                Pause::Need(need) if need <= SOUND_LEN || left <= 12 => {
                    cut_short(view, used, out);
                    return Step { used: view.bytes.len(), need: 0 };
                }
                Pause::Need(_) => self.lose("block longer than the file", view, used, out),
                Pause::Unsound(why) => self.lose(why, view, used, out),
            }
        }
    }
}

impl Pcapng {
    fn lose(&mut self, why: &'static str, view: View<'_>, used: usize, out: &Out<'_>) {
        self.lost = Some(Lost { at: view.position + used as u64, after_frame: out.frames_before(), why });
    }

    /// The hot loop: cuts blocks until something is missing or odd.
    #[inline(always)]
    fn blocks<const BIG: bool>(&mut self, view: View<'_>, used: &mut usize, out: &mut Out<'_>) -> Pause {
        loop {
            if out.frames.len() >= out.room {
                return Pause::Room;
            }
            let rest = view.bytes.get(*used..).unwrap_or_default();
            let Some(head) = rest.first_chunk::<8>() else { return Pause::Need(12) };
            let [k0, k1, k2, k3, l0, l1, l2, l3] = *head;
            let kind = word::<BIG>([k0, k1, k2, k3]);
            let len = word::<BIG>([l0, l1, l2, l3]) as usize;
            if kind == SECTION {
                return Pause::Section;
            }
            if len < 12 || !len.is_multiple_of(4) || len > RECORD_LIMIT {
                return Pause::Unsound("unsound block length");
            }
            let Some(block) = rest.get(..len) else { return Pause::Need(len) };
            let trailer = block.last_chunk::<4>().copied().map_or(0, word::<BIG>);
            if trailer as usize != len {
                let end = *used + len;
                // Its own header may be right and its trailer wrong: the next header decides.
                match self.looks_like_block(view.bytes, end, view.last) {
                    None => return Pause::Need(len + 12),
                    Some(false) => return Pause::Unsound("block whose two lengths differ"),
                    Some(true) => {
                        let what = "block with a wrong trailing length".to_owned();
                        out.facts.damaged(out.frames_before(), view.position + *used as u64, 0, what);
                    }
                }
            }
            match kind {
                ENHANCED_PACKET => self.enhanced::<BIG>(view, *used, block, out),
                OBSOLETE_PACKET => self.obsolete::<BIG>(view, *used, block, out),
                SIMPLE_PACKET => self.simple::<BIG>(view, *used, block, out),
                INTERFACE => self.interface::<BIG>(view, *used, block, out),
                STATISTICS => self.statistics::<BIG>(block, out),
                _ => {
                    out.facts.passed_over += 1;
                    out.facts.overhead_bytes += len as u64;
                    out.facts.numbered_blocks += u64::from(NUMBERED.contains(&kind));
                }
            }
            *used += len;
        }
    }

    // draft-ietf-opsawg-pcapng §4.3: Enhanced Packet Block.
    #[inline(always)]
    fn enhanced<const BIG: bool>(&mut self, view: View<'_>, used: usize, block: &[u8], out: &mut Out<'_>) {
        let Some(head) = block.first_chunk::<28>().filter(|_| block.len() >= 32) else {
            return self.skip("packet block too short", view, used, block, out);
        };
        let [_, _, _, _, _, _, _, _, i0, i1, i2, i3, rest @ ..] = *head;
        let [h0, h1, h2, h3, l0, l1, l2, l3, c0, c1, c2, c3, w0, w1, w2, w3] = rest;
        let high = word::<BIG>([h0, h1, h2, h3]);
        let low = word::<BIG>([l0, l1, l2, l3]);
        let packet = Packet {
            interface: word::<BIG>([i0, i1, i2, i3]) as usize,
            stamp: Some(u64::from(high) << 32 | u64::from(low)),
            captured_len: word::<BIG>([c0, c1, c2, c3]) as usize,
            wire_len: word::<BIG>([w0, w1, w2, w3]),
            body: 28,
        };
        self.packet::<BIG>(packet, view, used, block, out);
    }

    // draft-ietf-opsawg-pcapng appendix A: Packet Block (obsolete).
    fn obsolete<const BIG: bool>(&mut self, view: View<'_>, used: usize, block: &[u8], out: &mut Out<'_>) {
        let Some(head) = block.first_chunk::<28>().filter(|_| block.len() >= 32) else {
            return self.skip("packet block too short", view, used, block, out);
        };
        let [_, _, _, _, _, _, _, _, i0, i1, d0, d1, _rest @ ..] = *head;
        let half = |bytes| if BIG { u16::from_be_bytes(bytes) } else { u16::from_le_bytes(bytes) };
        let field = |at| four(block, at).map(word::<BIG>).unwrap_or_default();
        // 0xffff: the number of drops is not known.
        let drops = half([d0, d1]);
        if drops != u16::MAX {
            out.facts.lost += u64::from(drops);
        }
        let packet = Packet {
            interface: usize::from(half([i0, i1])),
            stamp: Some(u64::from(field(12)) << 32 | u64::from(field(16))),
            captured_len: field(20) as usize,
            wire_len: field(24),
            body: 28,
        };
        self.packet::<BIG>(packet, view, used, block, out);
    }

    // draft-ietf-opsawg-pcapng §4.4: Simple Packet Block: interface 0, cut to its snap length, no time.
    fn simple<const BIG: bool>(&mut self, view: View<'_>, used: usize, block: &[u8], out: &mut Out<'_>) {
        let (Some(wire_len), Some(room)) = (four(block, 8).map(word::<BIG>), block.len().checked_sub(16))
        else {
            return self.skip("packet block too short", view, used, block, out);
        };
        let snap_len = self.ports.first().map_or(0, |port| port.snap_len);
        let limit = if snap_len == 0 { u32::MAX } else { snap_len };
        let captured_len = (wire_len.min(limit) as usize).min(room);
        let packet = Packet { interface: 0, stamp: None, captured_len, wire_len, body: 12 };
        self.packet::<BIG>(packet, view, used, block, out);
    }

    #[inline(always)]
    fn packet<const BIG: bool>(
        &mut self,
        packet: Packet,
        view: View<'_>,
        used: usize,
        block: &[u8],
        out: &mut Out<'_>,
    ) {
        let Some(port) = self.ports.get(packet.interface) else {
            return self.skip("packet of an interface that is not described", view, used, block, out);
        };
        let room = block.len() - packet.body - 4;
        if packet.captured_len > room {
            return self.skip("packet longer than its block", view, used, block, out);
        }
        let mut checksum_len = port.checksum_len;
        if room - packet.captured_len >= 4 && packet.body == 28 {
            let padded = packet.captured_len.next_multiple_of(4);
            let options = block.get(packet.body + padded..block.len() - 4).unwrap_or_default();
            options_of::<BIG>(options, |code, value| match (code, value) {
                // §4.3: epb_flags bits 5-8 are the checksum's length in bytes; epb_dropcount.
                (2, &[a, b, c, d]) => {
                    let len = word::<BIG>([a, b, c, d]) >> 5 & 15;
                    checksum_len = if len > 0 { len } else { checksum_len };
                }
                (4, value) => out.facts.lost = out.facts.lost.saturating_add(long::<BIG>(value)),
                _ => {}
            });
        }
        let time = match packet.stamp.map(|stamp| port.time(stamp)) {
            Some(Ok(time)) => time,
            Some(Err(clamped)) => {
                out.facts.clamped += 1;
                clamped
            }
            None => {
                out.facts.untimed += 1;
                out.frames.last().map(|frame| frame.time).or(out.facts.last).unwrap_or_default()
            }
        };
        let wire_len = packet.wire_len.saturating_sub(checksum_len);
        let captured_len = if checksum_len == 0 {
            packet.captured_len as u32
        } else {
            (packet.captured_len as u32).min(wire_len)
        };
        out.facts.overhead_bytes += (block.len() - captured_len as usize) as u64;
        let number = out.frames_before() + 1;
        out.frames.push(FrameHeader {
            time,
            number,
            offset: (view.base + used + packet.body) as u32,
            captured_len,
            wire_len,
            link: port.link,
            interface: (self.first_port + packet.interface).min(INTERFACE_LIMIT - 1) as u16,
        });
    }

    #[cold]
    fn skip(&self, what: &str, view: View<'_>, used: usize, block: &[u8], out: &mut Out<'_>) {
        let after = out.frames_before();
        let what = format!("{what} after frame {after}");
        out.facts.damaged(after, view.position + used as u64, block.len() as u64, what);
    }

    // draft-ietf-opsawg-pcapng §4.1: Section Header Block.
    fn section<const BIG: bool>(
        &mut self,
        view: View<'_>,
        used: &mut usize,
        out: &mut Out<'_>,
    ) -> Result<(), Pause> {
        let rest = view.bytes.get(*used..).unwrap_or_default();
        let (Some(len), Some(order)) = (four(rest, 4).map(word::<BIG>), four(rest, 8).map(word::<BIG>))
        else {
            return Err(Pause::Need(12));
        };
        let len = len as usize;
        if order != ORDER || len < 28 || !len.is_multiple_of(4) || len > RECORD_LIMIT {
            return Err(Pause::Unsound("unsound section header"));
        }
        let Some(block) = rest.get(..len) else { return Err(Pause::Need(len)) };
        if block.last_chunk::<4>().copied().map_or(0, word::<BIG>) as usize != len {
            return Err(Pause::Unsound("unsound section header"));
        }
        let major = block.get(12..14).and_then(|bytes| bytes.first_chunk::<2>()).copied().unwrap_or_default();
        let major = if BIG { u16::from_be_bytes(major) } else { u16::from_le_bytes(major) };
        if major != 1 {
            return Err(Pause::Unsound("section of an unknown version"));
        }
        self.first_port += self.ports.len();
        self.ports.clear();
        let about = &mut out.facts.about;
        options_of::<BIG>(block.get(24..len - 4).unwrap_or_default(), |code, value| match code {
            1 => tell(about, "comment", value),
            2 => tell(about, "hardware", value),
            3 => tell(about, "system", value),
            4 => tell(about, "application", value),
            _ => {}
        });
        out.facts.overhead_bytes += len as u64;
        *used += len;
        Ok(())
    }

    // draft-ietf-opsawg-pcapng §4.2: Interface Description Block.
    fn interface<const BIG: bool>(&mut self, view: View<'_>, used: usize, block: &[u8], out: &mut Out<'_>) {
        let (Some(kind), Some(snap_len)) = (block.get(8..10), four(block, 12).map(word::<BIG>)) else {
            return self.skip("interface block too short", view, used, block, out);
        };
        if block.len() < 20 || self.first_port + self.ports.len() >= INTERFACE_LIMIT {
            return self.skip("interface block too short, or one too many", view, used, block, out);
        }
        let kind = kind.first_chunk::<2>().copied().unwrap_or_default();
        let link = LinkType(if BIG { u16::from_be_bytes(kind) } else { u16::from_le_bytes(kind) });
        let mut port =
            InterfaceClock { link, snap_len, scale: Scale::Times(1000), offset_secs: 0, checksum_len: 0 };
        let mut interface = Interface::new(link, snap_len, "10^-6");
        options_of::<BIG>(block.get(16..block.len() - 4).unwrap_or_default(), |code, value| {
            match (code, value) {
                (1, text) => tell(&mut interface.about, "comment", text),
                (2, text) => interface.name = Some(crate::base::WireText::new(text, 256)),
                (3, text) => tell(&mut interface.about, "description", text),
                (9, &[resolution, ..]) => {
                    port.scale = Scale::new(resolution);
                    let base = if resolution & 0x80 == 0 { 10 } else { 2 };
                    interface.resolution = format!("{base}^-{}", resolution & 0x7f);
                }
                // The first byte says how the filter is written; 0: as text.
                (11, [0, text @ ..]) => tell(&mut interface.about, "filter", text),
                (12, text) => tell(&mut interface.about, "system", text),
                // The draft counts in bits, older writers in bytes.
                (13, &[len, ..]) => port.checksum_len = u32::from(if len < 8 { len } else { len / 8 }),
                (14, value) => port.offset_secs = long::<BIG>(value).cast_signed(),
                (15, text) => tell(&mut interface.about, "hardware", text),
                _ => {}
            }
        });
        self.ports.push(port);
        out.facts.interfaces.push(interface);
        out.facts.overhead_bytes += block.len() as u64;
    }

    // draft-ietf-opsawg-pcapng §4.6: Interface Statistics Block; its counts are of the whole capture, so the last stands.
    fn statistics<const BIG: bool>(&self, block: &[u8], out: &mut Out<'_>) {
        out.facts.overhead_bytes += block.len() as u64;
        let Some(place) = four(block, 8).map(word::<BIG>) else { return };
        // Only this section's interfaces: a number behind them is nobody's.
        let here = self.ports.get(place as usize).map(|_| self.first_port + place as usize);
        let Some(interface) = here.and_then(|place| out.facts.interfaces.get_mut(place)) else { return };
        options_of::<BIG>(block.get(20..block.len() - 4).unwrap_or_default(), |code, value| match code {
            4 => interface.received = Some(long::<BIG>(value)),
            5 => interface.dropped = Some(long::<BIG>(value)),
            7 => interface.dropped_by_system = Some(long::<BIG>(value)),
            _ => {}
        });
    }

    /// Whether a known block, or the end of the file, is at `at`; `None`: too few bytes to tell.
    fn looks_like_block(&self, bytes: &[u8], at: usize, last: bool) -> Option<bool> {
        if self.big { block_at::<true>(bytes, at, last) } else { block_at::<false>(bytes, at, last) }
            .map(|len| len.is_some())
    }

    /// Looks for the next sound block; `Some`: the bytes are used up, or so many are needed first.
    fn search(&mut self, view: View<'_>, used: &mut usize, out: &mut Out<'_>) -> Option<usize> {
        let lost = self.lost?;
        while !self.hopeless && *used < view.bytes.len() {
            let position = view.position + *used as u64;
            if position > lost.at {
                match self.sound_block(view, *used) {
                    Ok(true) => {
                        lost.found(position, out.facts);
                        self.lost = None;
                        return None;
                    }
                    Ok(false) => {}
                    Err(need) => return Some(need),
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

    /// Whether a block of a known type begins at `at` and ends with its own length; `Err`: so many bytes are needed.
    fn sound_block(&self, view: View<'_>, at: usize) -> Result<bool, usize> {
        let rest = view.bytes.get(at..).unwrap_or_default();
        let order = four(rest, 8);
        let big = match four(rest, 0) {
            None => return if view.last { Ok(false) } else { Err(12) },
            Some(kind) if u32::from_be_bytes(kind) == SECTION => order.map(u32::from_be_bytes) == Some(ORDER),
            Some(_) => self.big,
        };
        let found = if big {
            block_at::<true>(view.bytes, at, view.last)
        } else {
            block_at::<false>(view.bytes, at, view.last)
        };
        let len = match found {
            None => return Err(12),
            Some(None | Some(0)) => return Ok(false),
            Some(Some(len)) => len,
        };
        match rest.get(len - 4..len).and_then(|trailer| trailer.first_chunk::<4>()).copied() {
            Some(trailer) if big => Ok(word::<true>(trailer) as usize == len),
            Some(trailer) => Ok(word::<false>(trailer) as usize == len),
            None if view.last => Ok(false),
            None => Err(len),
        }
    }
}

/// The length of a block of a known type at `at` if it is plausible, 0 for the end of the file; outer `None`: too few bytes.
fn block_at<const BIG: bool>(bytes: &[u8], at: usize, last: bool) -> Option<Option<usize>> {
    let rest = bytes.get(at..).unwrap_or_default();
    if rest.is_empty() && last {
        return Some(Some(0));
    }
    let (Some(kind), Some(len)) = (four(rest, 0).map(word::<BIG>), four(rest, 4).map(word::<BIG>)) else {
        return if last { Some(None) } else { None };
    };
    let known = matches!(
        kind,
        SECTION
            | INTERFACE
            | OBSOLETE_PACKET
            | SIMPLE_PACKET
            | NAMES
            | STATISTICS
            | ENHANCED_PACKET
            | JOURNAL
            | SECRETS
    ) || CUSTOM.contains(&kind);
    let len = len as usize;
    Some((known && (12..=SEARCH_LEN).contains(&len) && len.is_multiple_of(4)).then_some(len))
}

// draft-ietf-opsawg-pcapng §3.5: options: code, length, value padded to 32 bits. Ends quietly where they are cut.
pub(super) fn options_of<'a, const BIG: bool>(mut bytes: &'a [u8], mut each: impl FnMut(u16, &'a [u8])) {
    while let Some((&[c0, c1, l0, l1], rest)) = bytes.split_first_chunk::<4>() {
        let half = |bytes| if BIG { u16::from_be_bytes(bytes) } else { u16::from_le_bytes(bytes) };
        let (code, len) = (half([c0, c1]), usize::from(half([l0, l1])));
        let Some(value) = rest.get(..len) else { return };
        if code == 0 {
            return;
        }
        each(code, value);
        bytes = rest.get(len.next_multiple_of(4)..).unwrap_or_default();
    }
}

pub(super) fn long<const BIG: bool>(value: &[u8]) -> u64 {
    let Some(value) = value.first_chunk::<8>().copied() else { return 0 };
    if BIG { u64::from_be_bytes(value) } else { u64::from_le_bytes(value) }
}

#[cfg(test)]
mod tests {
    use super::super::InputFacts;
    use super::super::test_support::Craft;
    use super::super::test_support::Seen;
    use super::super::test_support::read;
    use super::super::test_support::read_dripping;

    /// Reads a file and compares its frames (time, link type, bytes) and the sentences of its damage.
    fn check(bytes: &[u8], frames: &[(i64, u16, &[u8])], damage: &[&str]) -> (Vec<Seen>, InputFacts) {
        let (seen, facts) = read(bytes).unwrap();
        let seen_frames: Vec<(i64, u16, &[u8])> =
            seen.iter().map(|frame| (frame.1, frame.2, &*frame.4)).collect();
        assert_eq!(seen_frames, frames);
        let told: Vec<&str> = facts.damage.iter().map(|damage| &*damage.what).collect();
        assert_eq!(told, damage);
        let (dripped, _) = read_dripping(bytes, 5).unwrap();
        assert_eq!(dripped, seen, "how bytes come does not matter");
        (seen, facts)
    }

    #[test]
    fn interfaces_differ_within_sections_and_sections_in_byte_order() {
        let mut craft = Craft::pcapng(false);
        craft.interface(1, |_| {}).interface(113, |_| {});
        craft.packet(1, 5, b"abc").packet(0, 6, b"defg");
        craft.section(true).interface(276, |_| {}).packet(0, 7, b"h");
        craft.section(false).interface(101, |_| {}).packet(0, 8, b"ij");
        let frames: [(i64, u16, &[u8]); 4] =
            [(5000, 113, b"abc"), (6000, 1, b"defg"), (7000, 276, b"h"), (8000, 101, b"ij")];
        let (_, facts) = check(&craft.bytes, &frames, &[]);
        let links: Vec<u16> = facts.interfaces.iter().map(|interface| interface.link.0).collect();
        assert_eq!(links, [1, 113, 276, 101]);
    }

    #[test]
    fn units_and_offsets_of_time() {
        let time = |resolution: Option<u8>, offset: Option<i64>, stamp: u64, expected: i64, clamped: u64| {
            let mut craft = Craft::pcapng(true);
            craft.interface(1, |block| {
                resolution.map(|value| block.option(9, &[value]));
                offset.map(|value| block.option(14, &value.to_be_bytes()));
            });
            craft.packet(0, stamp, b"a");
            let (_, facts) = check(&craft.bytes, &[(expected, 1, b"a")], &[]);
            assert_eq!(facts.clamped, clamped);
        };
        time(None, None, 1_500_000_000_123_456, 1_500_000_000_123_456_000, 0);
        time(Some(9), None, 1_500_000_000_123_456_789, 1_500_000_000_123_456_789, 0);
        time(Some(12), None, 1_999, 1, 0);
        time(Some(3), None, 7, 7_000_000, 0);
        time(Some(0), None, 7, 7_000_000_000, 0);
        time(Some(0x80 | 20), None, 3 << 19, 1_500_000_000, 0);
        time(Some(0x80 | 127), None, u64::MAX, 0, 0);
        time(Some(127), None, u64::MAX, 0, 0);
        time(Some(9), Some(-2), 1, -1_999_999_999, 0);
        time(Some(0), None, u64::MAX, i64::MAX, 1);
        time(Some(9), Some(i64::MIN), 0, i64::MIN, 1);
    }

    #[test]
    fn every_kind_of_packet_block() {
        let mut craft = Craft::pcapng(false);
        craft.interface(1, |_| {}).packet(0, 9, b"a");
        craft.block(2, |block| {
            block.u16(0).u16(3).u32(0).u32(10).u32(2).u32(60).raw(b"bc");
        });
        craft.block(3, |block| {
            block.u32(5).raw(b"defgh");
        });
        let (seen, facts) =
            check(&craft.bytes, &[(9000, 1, b"a"), (10_000, 1, b"bc"), (10_000, 1, b"defgh")], &[]);
        assert_eq!((facts.lost, facts.untimed, seen[1].3), (3, 1, 60));
    }

    #[test]
    fn what_a_file_says_of_itself_is_kept() {
        let mut craft = Craft { big: false, bytes: Vec::new() };
        craft.block(0x0a0d_0d0a, |block| {
            block
                .u32(0x1a2b_3c4d)
                .u16(1)
                .u16(0)
                .raw(&[0xff; 8])
                .option(2, b"x86")
                .option(4, b"dumpcap\x1b")
                .option(0, b"");
        });
        craft.interface(1, |block| {
            block.option(2, b"eth0").option(11, b"\0tcp").option(12, b"Linux");
        });
        craft.block(5, |block| {
            block.u32(0).u32(0).u32(0).option(4, &90_u64.to_le_bytes()).option(5, &7_u64.to_le_bytes());
        });
        craft.block(6, |block| {
            block.u32(0).u32(0).u32(0).u32(1).u32(1).raw(b"a\0\0\0").option(4, &2_u64.to_le_bytes());
        });
        craft.block(0x7777, |_| {}).block(0xbad, |block| {
            block.u32(1);
        });
        craft.packet(0, 1, b"b");
        let (seen, facts) = check(&craft.bytes, &[(0, 1, b"a"), (1000, 1, b"b")], &[]);
        let about: Vec<(&str, &str)> =
            facts.about.iter().map(|(what, text)| (*what, text.as_str())).collect();
        assert_eq!(about, [("hardware", "x86"), ("application", "dumpcap\\x1b")]);
        let interface = &facts.interfaces[0];
        assert_eq!((interface.received, interface.dropped), (Some(90), Some(7)));
        assert_eq!(interface.name.as_ref().unwrap().as_str(), "eth0");
        assert_eq!((facts.lost, facts.passed_over, facts.numbered_blocks), (2, 2, 1));
        assert_eq!(seen[1].0, 3, "Wireshark numbers the custom block");
    }

    #[test]
    fn checksums_are_cut_off() {
        let mut craft = Craft::pcapng(false);
        craft.interface(1, |block| {
            block.option(13, &[32]);
        });
        craft.packet(0, 1, b"abcdefgh");
        let (seen, _) = check(&craft.bytes, &[(1000, 1, b"abcd")], &[]);
        assert_eq!(seen[0].3, 4);
    }

    #[test]
    fn damage_in_one_block_leaves_the_next() {
        let mut craft = Craft::pcapng(false);
        craft.interface(1, |_| {}).packet(0, 1, b"a").packet(9, 2, b"b");
        craft.block(6, |block| {
            block.u32(0).u32(0).u32(3).u32(4000).u32(4000).raw(b"c");
        });
        craft.packet(0, 4, b"d");
        let damage = [
            "packet of an interface that is not described after frame 1",
            "packet longer than its block after frame 1",
        ];
        let (seen, _) = check(&craft.bytes, &[(1000, 1, b"a"), (4000, 1, b"d")], &damage);
        assert_eq!(seen[1].0, 2);
    }

    #[test]
    fn reading_goes_on_behind_damage() {
        let mut craft = Craft::pcapng(false);
        craft.interface(1, |_| {}).packet(0, 1, b"a");
        let broken = craft.bytes.len();
        craft.packet(0, 2, b"b").packet(0, 3, b"c");
        let expected: [(i64, u16, &[u8]); 2] = [(1000, 1, b"a"), (3000, 1, b"c")];
        for (length, why) in [
            (7_u32, "unsound block length after frame 1, 36 bytes skipped"),
            (u32::MAX - 3, "unsound block length after frame 1, 36 bytes skipped"),
            (48, "block whose two lengths differ after frame 1, 36 bytes skipped"),
            (2 << 20, "block longer than the file after frame 1, 36 bytes skipped"),
        ] {
            let mut bytes = craft.bytes.clone();
            bytes[broken + 4..broken + 8].copy_from_slice(&length.to_le_bytes());
            check(&bytes, &expected, &[why]);
        }
        let mut bytes = craft.bytes.clone();
        bytes[broken + 32] = 99;
        let all: [(i64, u16, &[u8]); 3] = [(1000, 1, b"a"), (2000, 1, b"b"), (3000, 1, b"c")];
        check(&bytes, &all, &["block with a wrong trailing length"]);
        let mut bytes = craft.bytes.clone();
        bytes.splice(broken..broken, [0xee; 13]);
        check(&bytes, &all, &["unsound block length after frame 1, 13 bytes skipped"]);
    }

    #[test]
    fn a_cut_file_keeps_its_whole_frames() {
        let mut craft = Craft::pcapng(true);
        craft.interface(1, |_| {}).packet(0, 1, b"abcd");
        let first = craft.bytes.len();
        craft.packet(0, 2, b"efgh");
        for len in 28..craft.bytes.len() {
            let (seen, facts) = read(&craft.bytes[..len]).unwrap();
            assert_eq!(seen.len(), usize::from(len >= first), "{len}");
            assert_eq!(facts.damage_count, u64::from(![28, 48, first].contains(&len)), "{len}");
        }
    }
}

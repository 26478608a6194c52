//! Reads pcapng files.
//!
//! In:  bytes of the capture.
//! Out: frames, interfaces, metadata of sections and interfaces, and the damage between blocks.
//! Not: name resolution, decryption secrets and other blocks without frames; they are counted and skipped.

use std::net::IpAddr;

use super::FrameHeader;
use super::Interface;
use super::LinkType;
use super::concatenated::end_at_capture_start;
use super::concatenated::is_pcap;
use super::frame_reader::CaptureFormat;
use super::frame_reader::DamageStart;
use super::frame_reader::FrameOut;
use super::frame_reader::FrameReader;
use super::frame_reader::InputBytes;
use super::frame_reader::OpenReader;
use super::frame_reader::RECORD_LIMIT;
use super::frame_reader::ReadStep;
use super::frame_reader::four_at;
use super::frame_reader::record_truncation;
use super::frame_reader::u32_from;
use super::interface_clock::InterfaceClock;
use super::interface_clock::TimeUnit;
use super::pcapng_blocks::BYTE_ORDER_MAGIC;
use super::pcapng_blocks::BlockProbe;
use super::pcapng_blocks::ENHANCED_PACKET;
use super::pcapng_blocks::HOST_DROP_OPTION;
use super::pcapng_blocks::INTERFACE_DESCRIPTION;
use super::pcapng_blocks::INTERFACE_STATISTICS;
use super::pcapng_blocks::NUMBERED;
use super::pcapng_blocks::OBSOLETE_PACKET;
use super::pcapng_blocks::PROCESS_OPTION;
use super::pcapng_blocks::SECTION_HEADER;
use super::pcapng_blocks::SIMPLE_PACKET;
use super::pcapng_blocks::TRANSLATED_OPTION;
use super::pcapng_blocks::block_at;
use super::pcapng_blocks::for_each_option;
use super::pcapng_blocks::is_valid_block_at;
use super::pcapng_blocks::u64_from;
use crate::base::Address;
use crate::base::Cursor;
use crate::base::DropReason;
use crate::base::HostDrop;
use crate::base::HostReport;
use crate::base::Process;
use crate::base::TranslatedEnds;
use crate::base::Truncated;
use crate::base::WireText;

pub(super) const FORMAT: CaptureFormat = CaptureFormat { probe_len: 12, probe };

/// Bytes of a process's name.
const PROCESS_NAME_LIMIT: usize = 260;

/// [`FrameHeader`] has 16 bits for the interface. Blocks of further interfaces are damage.
const INTERFACE_LIMIT: usize = 1 << 16;
/// A last block that is longer than this and incomplete has a damaged length; a shorter one was truncated.
const USUAL_LEN: usize = 1 << 20;
/// Bytes after damage that are searched for the next block.
const SEARCH_LIMIT: u64 = 64 << 20;
/// Bytes of metadata kept of one capture, so that hostile files cannot fill the memory.
const METADATA_LIMIT: usize = 1 << 20;
/// What a text costs besides its bytes.
const METADATA_TEXT_COST: usize = 64;

struct Pcapng {
    big_endian: bool,
    /// Of this section.
    interfaces: Vec<InterfaceClock>,
    /// Section headers so far.
    sections: u32,
    /// Interfaces of the sections before this one.
    first_interface: usize,
    /// Bytes of metadata that may still be kept.
    metadata_left: usize,
    damage: Option<DamageStart>,
    /// No block was found within the search limit: the rest is skipped.
    gave_up: bool,
}

fn probe(head: &[u8], _whole: bool) -> Option<OpenReader> {
    let order = four_at(head, 8)?;
    let has_magic = [u32::from_le_bytes(order), u32::from_be_bytes(order)].contains(&BYTE_ORDER_MAGIC);
    let pcapng = Pcapng {
        big_endian: false,
        interfaces: Vec::new(),
        sections: 0,
        first_interface: 0,
        metadata_left: METADATA_LIMIT,
        damage: None,
        gave_up: false,
    };
    (four_at(head, 0)? == SECTION_HEADER.to_be_bytes() && has_magic)
        .then(|| (Box::new(pcapng) as Box<dyn FrameReader>, "pcapng"))
}

/// Why a run of blocks ended.
enum BlockRunEnd {
    /// The frame limit was reached.
    FrameLimit,
    /// This many bytes are needed.
    Need(usize),
    /// Damage starts here.
    Invalid(&'static str),
    /// A section header: the byte order may change.
    SectionHeader,
}

/// The header of a packet block.
struct PacketBlockHeader {
    interface: usize,
    timestamp: Option<u64>,
    captured_len: usize,
    wire_len: u32,
    /// Offset of the frame in the block.
    offset: usize,
}

impl FrameReader for Pcapng {
    fn read_frames(&mut self, input: InputBytes<'_>, out: &mut FrameOut<'_>) -> ReadStep {
        let mut used = 0;
        loop {
            if self.damage.is_some()
                && let Some(need) = self.resync(input, &mut used, out)
            {
                return ReadStep { used, need };
            }
            let end = if self.big_endian {
                self.read_blocks::<true>(input, &mut used, out)
            } else {
                self.read_blocks::<false>(input, &mut used, out)
            };
            let left = input.bytes.len() - used;
            let is_block = matches!(end, BlockRunEnd::SectionHeader | BlockRunEnd::FrameLimit);
            if !is_block
                && (input.at_end || matches!(end, BlockRunEnd::Invalid(_)))
                && let Some(step) = end_at_capture_start(input, used, out)
            {
                return step;
            }
            match end {
                BlockRunEnd::SectionHeader => {
                    if let Some(order) = input.bytes.get(used..).and_then(|rest| four_at(rest, 8)) {
                        self.big_endian = u32::from_be_bytes(order) == BYTE_ORDER_MAGIC;
                    }
                    let need = if self.big_endian {
                        self.read_section_header::<true>(input, &mut used, out)
                    } else {
                        self.read_section_header::<false>(input, &mut used, out)
                    };
                    match need {
                        Ok(()) => {}
                        Err(BlockRunEnd::Need(need)) if !input.at_end => return ReadStep { used, need },
                        Err(BlockRunEnd::Need(need)) if need <= USUAL_LEN || left <= 12 => {
                            record_truncation(input, used, out);
                            return ReadStep { used: input.bytes.len(), need: 0 };
                        }
                        Err(BlockRunEnd::Invalid(reason)) => self.start_damage(reason, input, used, out),
                        Err(_) => self.start_damage("invalid section header", input, used, out),
                    }
                }
                BlockRunEnd::FrameLimit => return ReadStep { used, need: 0 },
                BlockRunEnd::Need(need) if !input.at_end => return ReadStep { used, need },
                BlockRunEnd::Need(need) if need <= USUAL_LEN || left <= 12 => {
                    record_truncation(input, used, out);
                    return ReadStep { used: input.bytes.len(), need: 0 };
                }
                BlockRunEnd::Need(_) => self.start_damage("block longer than the file", input, used, out),
                BlockRunEnd::Invalid(reason) => self.start_damage(reason, input, used, out),
            }
        }
    }

    fn layout(&self) -> Option<(u32, usize)> {
        (self.damage.is_none() && !self.gave_up).then_some((self.sections, self.interfaces.len()))
    }
}

impl Pcapng {
    fn start_damage(&mut self, reason: &'static str, input: InputBytes<'_>, used: usize, out: &FrameOut<'_>) {
        self.damage = Some(DamageStart::at(used, reason, input, out));
    }

    /// The hot loop: reads blocks until bytes are missing or a block is invalid.
    #[inline(always)]
    fn read_blocks<const BIG: bool>(
        &mut self,
        input: InputBytes<'_>,
        used: &mut usize,
        out: &mut FrameOut<'_>,
    ) -> BlockRunEnd {
        loop {
            if out.frames.len() >= out.limit {
                return BlockRunEnd::FrameLimit;
            }
            let rest = input.bytes.get(*used..).unwrap_or_default();
            let Some(head) = rest.first_chunk::<8>() else { return BlockRunEnd::Need(12) };
            let [k0, k1, k2, k3, l0, l1, l2, l3] = *head;
            let kind = u32_from::<BIG>([k0, k1, k2, k3]);
            let len = u32_from::<BIG>([l0, l1, l2, l3]) as usize;
            if kind == SECTION_HEADER {
                return BlockRunEnd::SectionHeader;
            }
            if len < 12 || !len.is_multiple_of(4) || len > RECORD_LIMIT {
                return BlockRunEnd::Invalid("invalid block length");
            }
            let Some(block) = rest.get(..len) else { return BlockRunEnd::Need(len) };
            let trailer = block.last_chunk::<4>().copied().map_or(0, u32_from::<BIG>);
            if trailer as usize != len {
                let end = *used + len;
                // The header may be right and the trailing length wrong: the next header decides.
                match block_at::<BIG>(input.bytes, end, input.at_end) {
                    BlockProbe::TooShort => return BlockRunEnd::Need(len + 12),
                    BlockProbe::NoBlock => return BlockRunEnd::Invalid("block with two different lengths"),
                    BlockProbe::EndOfFile | BlockProbe::Block(_) => {
                        let message = "block with a wrong trailing length".to_owned();
                        let position = input.position + *used as u64;
                        out.facts.record_damage(out.last_number(), position, 0, message);
                    }
                }
            }
            match kind {
                ENHANCED_PACKET => self.read_enhanced_packet::<BIG>(input, *used, block, out),
                OBSOLETE_PACKET => self.read_obsolete_packet::<BIG>(input, *used, block, out),
                SIMPLE_PACKET => self.read_simple_packet::<BIG>(input, *used, block, out),
                INTERFACE_DESCRIPTION => self.read_interface::<BIG>(input, *used, block, out),
                INTERFACE_STATISTICS => self.read_statistics::<BIG>(block, out),
                _ => {
                    out.facts.skipped_blocks += 1;
                    out.facts.overhead_bytes += len as u64;
                    out.facts.numbered_blocks += u64::from(NUMBERED.contains(&kind));
                }
            }
            *used += len;
        }
    }

    // draft-ietf-opsawg-pcapng §4.3: Enhanced Packet Block.
    #[inline(always)]
    fn read_enhanced_packet<const BIG: bool>(
        &mut self,
        input: InputBytes<'_>,
        used: usize,
        block: &[u8],
        out: &mut FrameOut<'_>,
    ) {
        let Some(head) = block.first_chunk::<28>().filter(|_| block.len() >= 32) else {
            return self.skip_block("packet block too short", input, used, block, out);
        };
        let [_, _, _, _, _, _, _, _, i0, i1, i2, i3, rest @ ..] = *head;
        let [h0, h1, h2, h3, l0, l1, l2, l3, c0, c1, c2, c3, w0, w1, w2, w3] = rest;
        let high = u32_from::<BIG>([h0, h1, h2, h3]);
        let low = u32_from::<BIG>([l0, l1, l2, l3]);
        let packet = PacketBlockHeader {
            interface: u32_from::<BIG>([i0, i1, i2, i3]) as usize,
            timestamp: Some(u64::from(high) << 32 | u64::from(low)),
            captured_len: u32_from::<BIG>([c0, c1, c2, c3]) as usize,
            wire_len: u32_from::<BIG>([w0, w1, w2, w3]),
            offset: 28,
        };
        self.add_frame::<BIG>(packet, input, used, block, out);
    }

    // draft-ietf-opsawg-pcapng appendix A: Packet Block (obsolete).
    fn read_obsolete_packet<const BIG: bool>(
        &mut self,
        input: InputBytes<'_>,
        used: usize,
        block: &[u8],
        out: &mut FrameOut<'_>,
    ) {
        let Some(head) = block.first_chunk::<28>().filter(|_| block.len() >= 32) else {
            return self.skip_block("packet block too short", input, used, block, out);
        };
        let [_, _, _, _, _, _, _, _, i0, i1, d0, d1, _rest @ ..] = *head;
        let half = |bytes| if BIG { u16::from_be_bytes(bytes) } else { u16::from_le_bytes(bytes) };
        let field = |at| four_at(block, at).map(u32_from::<BIG>).unwrap_or_default();
        // 0xffff: the number of drops is unknown.
        let drops = half([d0, d1]);
        if drops != u16::MAX {
            out.facts.reported_drops += u64::from(drops);
        }
        let packet = PacketBlockHeader {
            interface: usize::from(half([i0, i1])),
            timestamp: Some(u64::from(field(12)) << 32 | u64::from(field(16))),
            captured_len: field(20) as usize,
            wire_len: field(24),
            offset: 28,
        };
        self.add_frame::<BIG>(packet, input, used, block, out);
    }

    // draft-ietf-opsawg-pcapng §4.4: Simple Packet Block: interface 0, limited by its snap length, without a time.
    fn read_simple_packet<const BIG: bool>(
        &mut self,
        input: InputBytes<'_>,
        used: usize,
        block: &[u8],
        out: &mut FrameOut<'_>,
    ) {
        let (Some(wire_len), Some(space)) =
            (four_at(block, 8).map(u32_from::<BIG>), block.len().checked_sub(16))
        else {
            return self.skip_block("packet block too short", input, used, block, out);
        };
        let snap_len = self.interfaces.first().map_or(0, |interface| interface.snap_len);
        let limit = if snap_len == 0 { u32::MAX } else { snap_len };
        let captured_len = (wire_len.min(limit) as usize).min(space);
        let packet = PacketBlockHeader { interface: 0, timestamp: None, captured_len, wire_len, offset: 12 };
        self.add_frame::<BIG>(packet, input, used, block, out);
    }

    #[inline(always)]
    fn add_frame<const BIG: bool>(
        &mut self,
        packet: PacketBlockHeader,
        input: InputBytes<'_>,
        used: usize,
        block: &[u8],
        out: &mut FrameOut<'_>,
    ) {
        let Some(interface) = self.interfaces.get(packet.interface) else {
            return self.skip_block("packet of an undescribed interface", input, used, block, out);
        };
        let space = block.len() - packet.offset - 4;
        if packet.captured_len > space {
            return self.skip_block("packet longer than its block", input, used, block, out);
        }
        let mut checksum_len = interface.checksum_len;
        let mut host_drop = None;
        let (mut process, mut translated) = (None, None);
        if space - packet.captured_len >= 4 && packet.offset == 28 {
            let padded = packet.captured_len.next_multiple_of(4);
            let options = block.get(packet.offset + padded..block.len() - 4).unwrap_or_default();
            for_each_option::<BIG>(options, |code, value| match (code, value) {
                // §4.3: epb_flags bits 5-8 are the checksum's length in bytes; epb_dropcount.
                (2, &[a, b, c, d]) => {
                    let len = u32_from::<BIG>([a, b, c, d]) >> 5 & 15;
                    checksum_len = if len > 0 { len } else { checksum_len };
                }
                (4, value) => {
                    out.facts.reported_drops = out.facts.reported_drops.saturating_add(u64_from::<BIG>(value))
                }
                (HOST_DROP_OPTION, &[a, b, c, d]) => {
                    host_drop = Some(DropReason(u32_from::<BIG>([a, b, c, d])));
                }
                (PROCESS_OPTION, &[a, b, c, d, ref name @ ..]) => {
                    let id = u32_from::<BIG>([a, b, c, d]);
                    process = Some(Process { id, name: WireText::new(name, PROCESS_NAME_LIMIT) });
                }
                (TRANSLATED_OPTION, value) => translated = translated_ends(value).ok(),
                _ => {}
            });
        }
        let time = match packet.timestamp.map(|stamp| interface.time(stamp)) {
            Some(Ok(time)) => time,
            Some(Err(clamped)) => {
                out.facts.clamped_times += 1;
                clamped
            }
            None => {
                out.facts.frames_without_time += 1;
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
        let number = out.last_number() + 1;
        let interface_index = self.first_interface + packet.interface;
        if let Some(host_reports) = &mut out.host_reports
            && (host_drop.is_some() || process.is_some() || translated.is_some())
        {
            let logged_by = out.facts.interfaces.get(interface_index);
            let component = || logged_by.and_then(|interface| interface.name.clone()).unwrap_or_default();
            let drop = host_drop.map(|reason| HostDrop { component: component(), reason });
            host_reports.push((number, HostReport { drop, process, translated }));
        }
        out.frames.push(FrameHeader {
            time,
            number,
            offset: (input.block_offset + used + packet.offset) as u32,
            captured_len,
            wire_len,
            link: interface.link,
            interface: interface_index.min(INTERFACE_LIMIT - 1) as u16,
        });
    }

    #[cold]
    fn skip_block(
        &self,
        reason: &str,
        input: InputBytes<'_>,
        used: usize,
        block: &[u8],
        out: &mut FrameOut<'_>,
    ) {
        let after_frame = out.last_number();
        let message = format!("{reason} after frame {after_frame}");
        out.facts.record_damage(after_frame, input.position + used as u64, block.len() as u64, message);
    }

    // draft-ietf-opsawg-pcapng §4.1: Section Header Block.
    fn read_section_header<const BIG: bool>(
        &mut self,
        input: InputBytes<'_>,
        used: &mut usize,
        out: &mut FrameOut<'_>,
    ) -> Result<(), BlockRunEnd> {
        let rest = input.bytes.get(*used..).unwrap_or_default();
        let (Some(len), Some(order)) =
            (four_at(rest, 4).map(u32_from::<BIG>), four_at(rest, 8).map(u32_from::<BIG>))
        else {
            return Err(BlockRunEnd::Need(12));
        };
        let len = len as usize;
        if order != BYTE_ORDER_MAGIC || len < 28 || !len.is_multiple_of(4) || len > RECORD_LIMIT {
            return Err(BlockRunEnd::Invalid("invalid section header"));
        }
        let Some(block) = rest.get(..len) else { return Err(BlockRunEnd::Need(len)) };
        if block.last_chunk::<4>().copied().map_or(0, u32_from::<BIG>) as usize != len {
            return Err(BlockRunEnd::Invalid("invalid section header"));
        }
        let major = block.get(12..14).and_then(|bytes| bytes.first_chunk::<2>()).copied().unwrap_or_default();
        let major = if BIG { u16::from_be_bytes(major) } else { u16::from_le_bytes(major) };
        if major != 1 {
            return Err(BlockRunEnd::Invalid("section of an unknown version"));
        }
        // Those of another capture before this one in the same input count as well.
        self.sections = self.sections.wrapping_add(1);
        self.first_interface = out.facts.interfaces.len();
        self.interfaces.clear();
        let (metadata, left) = (&mut out.facts.metadata, &mut self.metadata_left);
        for_each_option::<BIG>(block.get(24..len - 4).unwrap_or_default(), |code, value| {
            let key = match code {
                1 => "comment",
                2 => "hardware",
                3 => "system",
                4 => "application",
                _ => return,
            };
            metadata.extend(metadata_text(left, value).map(|text| (key, text)));
        });
        self.note_metadata_limit(out);
        out.facts.overhead_bytes += len as u64;
        *used += len;
        Ok(())
    }

    // draft-ietf-opsawg-pcapng §4.2: Interface Description Block.
    fn read_interface<const BIG: bool>(
        &mut self,
        input: InputBytes<'_>,
        used: usize,
        block: &[u8],
        out: &mut FrameOut<'_>,
    ) {
        let (Some(link), Some(snap_len)) = (block.get(8..10), four_at(block, 12).map(u32_from::<BIG>)) else {
            return self.skip_block("interface block too short", input, used, block, out);
        };
        if block.len() < 20 || self.first_interface + self.interfaces.len() >= INTERFACE_LIMIT {
            return self.skip_block(
                "interface block too short, or too many interfaces",
                input,
                used,
                block,
                out,
            );
        }
        let link = link.first_chunk::<2>().copied().unwrap_or_default();
        let link = LinkType(if BIG { u16::from_be_bytes(link) } else { u16::from_le_bytes(link) });
        let mut clock =
            InterfaceClock { link, snap_len, unit: TimeUnit::Nanos(1000), offset_secs: 0, checksum_len: 0 };
        let mut interface = Interface::new(link, snap_len, "10^-6");
        let left = &mut self.metadata_left;
        for_each_option::<BIG>(block.get(16..block.len() - 4).unwrap_or_default(), |code, value| {
            let (key, text) = match (code, value) {
                (1, text) => ("comment", text),
                (2, text) => return interface.name = metadata_text(left, text),
                (3, text) => ("description", text),
                (9, &[resolution, ..]) => {
                    clock.unit = TimeUnit::from_resolution(resolution);
                    let base = if resolution & 0x80 == 0 { 10 } else { 2 };
                    return interface.resolution = format!("{base}^-{}", resolution & 0x7f);
                }
                // The first byte is the kind of filter; 0: an expression as text.
                (11, [0, text @ ..]) => ("filter", text),
                (12, text) => ("system", text),
                // The draft counts bits, older writers count bytes.
                (13, &[len, ..]) => {
                    return clock.checksum_len = u32::from(if len < 8 { len } else { len / 8 });
                }
                (14, value) => return clock.offset_secs = u64_from::<BIG>(value).cast_signed(),
                (15, text) => ("hardware", text),
                _ => return,
            };
            interface.metadata.extend(metadata_text(left, text).map(|text| (key, text)));
        });
        self.note_metadata_limit(out);
        self.interfaces.push(clock);
        out.facts.interfaces.push(interface);
        out.facts.overhead_bytes += block.len() as u64;
    }

    fn note_metadata_limit(&self, out: &mut FrameOut<'_>) {
        if self.metadata_left == 0 {
            out.facts.note(format!("more than {METADATA_LIMIT} bytes of metadata: the rest is left out"));
        }
    }

    // draft-ietf-opsawg-pcapng §4.6: Interface Statistics Block; its counts are those of the whole capture so far, so the last block counts.
    fn read_statistics<const BIG: bool>(&self, block: &[u8], out: &mut FrameOut<'_>) {
        out.facts.overhead_bytes += block.len() as u64;
        let Some(index) = four_at(block, 8).map(u32_from::<BIG>) else { return };
        // The index must be one of this section.
        let index = self.interfaces.get(index as usize).map(|_| self.first_interface + index as usize);
        let Some(interface) = index.and_then(|index| out.facts.interfaces.get_mut(index)) else { return };
        for_each_option::<BIG>(
            block.get(20..block.len() - 4).unwrap_or_default(),
            |code, value| match code {
                4 => interface.received = Some(u64_from::<BIG>(value)),
                5 => interface.dropped = Some(u64_from::<BIG>(value)),
                7 => interface.dropped_by_os = Some(u64_from::<BIG>(value)),
                _ => {}
            },
        );
    }

    /// Searches for the next valid block. `Some`: all bytes are used, or this many are needed first.
    fn resync(&mut self, input: InputBytes<'_>, used: &mut usize, out: &mut FrameOut<'_>) -> Option<usize> {
        let damage = self.damage?;
        while !self.gave_up && *used < input.bytes.len() {
            let position = input.position + *used as u64;
            if position > damage.position {
                // A capture that was cut off, with a pcap file after it.
                if is_pcap(input.bytes.get(*used..).unwrap_or_default()) {
                    damage.record_until(position, out.facts);
                    self.damage = None;
                    out.begins_another = true;
                    return Some(0);
                }
                match is_valid_block_at(input, *used, self.big_endian) {
                    Ok(true) => {
                        damage.record_until(position, out.facts);
                        self.damage = None;
                        return None;
                    }
                    Ok(false) => {}
                    Err(need) => return Some(need),
                }
            }
            self.gave_up = position - damage.position >= SEARCH_LIMIT;
            *used += 1;
        }
        *used = input.bytes.len();
        if input.at_end {
            damage.record_until(input.position + *used as u64, out.facts);
            self.damage = None;
            return Some(0);
        }
        Some(1)
    }
}

/// Takes a text from the metadata that may still be kept; `None` if it is empty or the limit is reached.
fn metadata_text(left: &mut usize, text: &[u8]) -> Option<WireText> {
    let text = text.strip_suffix(b"\0").unwrap_or(text);
    if text.is_empty() {
        return None;
    }
    *left = left.saturating_sub(text.len() + METADATA_TEXT_COST);
    (*left > 0).then(|| WireText::new(text, text.len()))
}

/// The value of [`TRANSLATED_OPTION`].
fn translated_ends(value: &[u8]) -> Result<TranslatedEnds, Truncated> {
    let mut c = Cursor::new(value);
    let mut end = || {
        let address = IpAddr::from(c.array::<16>("address")?).to_canonical();
        Ok((Address::from(address), c.u16("port")?))
    };
    Ok(TranslatedEnds { source: end()?, destination: end()? })
}

#[cfg(test)]
mod tests;

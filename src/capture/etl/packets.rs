//! Reads packets out of the events of the two providers that log them: NDIS packet capture (`netsh trace`,
//! `New-NetEventSession`) and Packet Monitor (`pktmon`).
//!
//! In:  events in the order of one buffer.
//! Out: whole packets with their link type, the component that logged them, and why the host dropped them if it did.
//! Not: which appearances belong to one packet, and what a packet holds.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use crate::base::Cursor;
use crate::base::DropReason;
use crate::base::Truncated;
use crate::capture::LinkType;

use super::container::Event;
use super::survey::TrailingNames;
use super::translation::PacketEnds;

/// Microsoft-Windows-NDIS-PacketCapture, as a GUID is stored on disk.
pub(super) const NDISCAP: [u8; 16] =
    guid(0x2ed6_006e, 0x4729, 0x4609, [0xb4, 0x23, 0x3e, 0xe7, 0xbc, 0xd6, 0x78, 0xef]);
/// Microsoft-Windows-PktMon.
pub(super) const PKTMON: [u8; 16] =
    guid(0x4d4f_80d9, 0xc8bd, 0x4d73, [0xbb, 0x5b, 0x19, 0xc9, 0x04, 0x02, 0xc5, 0xac]);

/// Microsoft-Windows-Kernel-Process.
pub(super) const KERNEL_PROCESS: [u8; 16] =
    guid(0x22fb_2cd6, 0x0e7b, 0x422b, [0xa0, 0xc7, 0x2f, 0xad, 0x1f, 0xd0, 0xe7, 0x16]);

/// The event of [`KERNEL_PROCESS`] that names a process which runs already.
const RUNDOWN: u16 = 15;

/// The event of [`PKTMON`] that describes a component.
const COMPONENT: u16 = 20;

/// A packet of fragments is no longer than this: the largest that offload makes, and some room.
const PACKET_LIMIT: usize = 256 << 10;

/// Packets whose fragments are still being joined; one for each processor is usual.
const UNFINISHED_LIMIT: usize = 256;

/// Processes whose names are kept.
const PROCESS_LIMIT: usize = 1 << 14;

/// Components whose names are kept.
const COMPONENT_LIMIT: usize = 4096;

/// The bytes of a GUID on disk: the first three fields are little-endian.
pub(super) const fn guid(first: u32, second: u16, third: u16, last: [u8; 8]) -> [u8; 16] {
    let ([a, b, c, d], [e, f], [g, h]) = (first.to_le_bytes(), second.to_le_bytes(), third.to_le_bytes());
    let [i, j, k, l, m, n, o, p] = last;
    [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p]
}

/// Where a packet was logged: the network adapter's index (NDIS) or the component's number (Packet Monitor).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct LogPoint {
    pub link: LinkType,
    pub component: u32,
    pub is_pktmon: bool,
}

/// A packet that the trace holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TracedPacket {
    /// Time of the event: raw, until the trace's clock makes it 100 ns since 1970.
    pub time: u64,
    pub point: LogPoint,
    /// What was logged of it.
    pub bytes: PacketBytes,
    /// How long it was.
    pub original_len: u32,
    /// Names one packet over its appearances; none where the trace numbers appearances only.
    pub packet_id: Option<(u64, u16)>,
    /// The host itself dropped it here.
    pub drop: Option<DropReason>,
    /// The process that sent it, and its name as far as the trace has named it.
    pub process: Option<SentBy>,
    /// Its ends where the host logged it before or after a translation.
    pub translated: Option<Box<PacketEnds>>,
}

impl TracedPacket {
    /// Takes other bytes, if there are any.
    fn replace_bytes(&mut self, bytes: Option<Vec<u8>>) {
        if let Some(bytes) = bytes {
            self.bytes = PacketBytes::Own(bytes);
        }
    }
}

/// The bytes of a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum PacketBytes {
    /// A part of its buffer's records.
    InBuffer(Range<usize>),
    /// Joined from fragments, or changed.
    Own(Vec<u8>),
}

impl PacketBytes {
    /// The bytes; `records` are those of its buffer.
    pub(super) fn get<'a>(&'a self, records: &'a [u8]) -> &'a [u8] {
        match self {
            PacketBytes::InBuffer(range) => records.get(range.clone()).unwrap_or_default(),
            PacketBytes::Own(bytes) => bytes,
        }
    }
}

/// A process that sent a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SentBy {
    pub id: u32,
    pub name: Arc<str>,
}

/// What events reported about the host's components, and fragments that wait for their packet's end.
#[derive(Debug, Default)]
pub(super) struct PacketEvents {
    unfinished: Vec<Unfinished>,
    components: Vec<(u32, Arc<str>)>,
    /// Names of processes, by number; a number is used again after its process has ended.
    processes: HashMap<u32, Arc<str>>,
    /// Names of processes that a rundown after their packets gives.
    later_processes: HashMap<u32, Arc<str>>,
    /// Packets of which a fragment is missing, and events too short for what they announce.
    pub(super) damaged: u64,
}

/// A packet whose last fragment has not come.
#[derive(Debug)]
struct Unfinished {
    processor: u32,
    packet: TracedPacket,
    bytes: Vec<u8>,
}

impl PacketEvents {
    /// Takes an event of one processor; a packet if the event completes one.
    pub(super) fn accept(&mut self, event: &Event<'_>, processor: u32) -> Option<TracedPacket> {
        let read = match (event.provider, event.id) {
            (NDISCAP, 1001 | 1003) => self.ndis_fragment(event, processor),
            (PKTMON, 160 | 170) => pktmon_packet(event).map(Some),
            (KERNEL_PROCESS, 1 | RUNDOWN) => self.process(event).map(|()| None),
            (PKTMON, COMPONENT) => self.component(event).map(|()| None),
            _ => return None,
        };
        let mut packet = read.unwrap_or_else(|_| {
            self.damaged += 1;
            None
        })?;
        if let Some(process) = &mut packet.process
            && let Some(name) = self.processes.get(&process.id)
        {
            process.name = Arc::clone(name);
        }
        Some(packet)
    }

    /// Takes an event that names something.
    pub(super) fn accept_name(&mut self, event: &Event<'_>) {
        // A name that is damaged is none.
        let _ = match (event.provider, event.id) {
            (KERNEL_PROCESS, RUNDOWN) => self.process(event),
            (PKTMON, COMPONENT) => self.component(event),
            _ => Ok(()),
        };
    }

    /// Names the process of a packet that was logged before its process was.
    pub(super) fn name_process(&self, packet: &mut TracedPacket) {
        if let Some(process) = &mut packet.process
            && process.name.is_empty()
            && let Some(name) = self.later_processes.get(&process.id)
        {
            process.name = Arc::clone(name);
        }
    }

    /// Names that the end of the log has.
    pub(super) fn add_names(&mut self, names: TrailingNames) {
        self.later_processes = names.processes;
        self.components = names.components;
    }

    /// What the log has named so far.
    pub(super) fn into_names(self) -> TrailingNames {
        TrailingNames { components: self.components, processes: self.later_processes }
    }

    /// A component's name.
    pub(super) fn component_name(&self, component: u32) -> Option<&str> {
        self.components.iter().find(|(known, _)| *known == component).map(|(_, name)| &**name)
    }

    /// Packets that still lack their end when the trace is over.
    pub(super) fn finish(&mut self) {
        self.damaged += self.unfinished.drain(..).count() as u64;
    }

    /// Events 1001 and 1003 of NDIS packet capture: a fragment, and keywords that say whether it begins or ends its packet.
    fn ndis_fragment(
        &mut self,
        event: &Event<'_>,
        processor: u32,
    ) -> Result<Option<TracedPacket>, Truncated> {
        const PACKET_START: u64 = 0x4000_0000;
        const PACKET_END: u64 = 0x8000_0000;
        const SEND_PATH: u64 = 0x1_0000_0000;
        const VM_SWITCH_PACKET: u16 = 1003;
        let mut c = Cursor::new(event.payload);
        let _miniport = c.u32_le("miniport index")?;
        let lower = c.u32_le("lower interface index")?;
        if event.id == VM_SWITCH_PACKET {
            skip_switch_ports(&mut c)?;
        }
        let len = c.u32_le("fragment size")? as usize;
        let start = event.payload_at + c.at();
        let fragment = c.take(len, "fragment")?;
        let at = self.unfinished.iter().position(|unfinished| unfinished.processor == processor);
        let before = at.map(|at| self.unfinished.swap_remove(at));
        let begins = event.keywords & PACKET_START != 0;
        if begins == before.is_some() {
            // The end of the packet before it, or its own beginning, was lost.
            self.damaged += 1;
        }
        let mut unfinished = match before {
            Some(before) if !begins => before,
            None if !begins => return Ok(None),
            _ => {
                let point = LogPoint { link: ndis_link(event.keywords), component: lower, is_pktmon: false };
                let process = (event.keywords & SEND_PATH != 0).then(|| sent_by(event.process)).flatten();
                let bytes = PacketBytes::InBuffer(start..start + len);
                let mut packet = TracedPacket {
                    time: event.time,
                    point,
                    bytes,
                    original_len: len as u32,
                    packet_id: None,
                    drop: None,
                    process,
                    translated: None,
                };
                if event.keywords & PACKET_END != 0 {
                    packet.replace_bytes(without_protected_bit(point.link, fragment));
                    return Ok(Some(packet));
                }
                Unfinished { processor, packet, bytes: Vec::new() }
            }
        };
        if unfinished.bytes.len() + len > PACKET_LIMIT {
            self.damaged += 1;
            return Ok(None);
        }
        unfinished.bytes.extend_from_slice(fragment);
        if event.keywords & PACKET_END == 0 {
            if self.unfinished.len() >= UNFINISHED_LIMIT {
                self.unfinished.swap_remove(0);
                self.damaged += 1;
            }
            self.unfinished.push(unfinished);
            return Ok(None);
        }
        let Unfinished { mut packet, bytes, .. } = unfinished;
        packet.original_len = bytes.len() as u32;
        let readable = without_protected_bit(packet.point.link, &bytes);
        packet.bytes = PacketBytes::Own(readable.unwrap_or(bytes));
        Ok(Some(packet))
    }

    /// Events 1 (start) and 15 (rundown) of the kernel's process provider: a process's number and the path of its program.
    fn process(&mut self, event: &Event<'_>) -> Result<(), Truncated> {
        let mut c = Cursor::new(event.payload);
        let process = c.u32_le("process id")?;
        match (event.id, event.version) {
            // Creation time, parent and session; since version 1 flags.
            (1, 0) => c.skip(16, "process")?,
            (1, 1 | 2) => c.skip(20, "process")?,
            // Sequence numbers of process and parent, elevation, and an integrity label: a SID (MS-DTYP §2.4.2.2).
            _ => {
                c.skip(44, "process")?;
                let _revision = c.u8("SID revision")?;
                let subauthorities = usize::from(c.u8("SID length")?);
                c.skip(6 + 4 * subauthorities, "SID")?;
            }
        }
        let path = utf16(&mut c)?;
        let name = path.rsplit(['\\', '/']).next().unwrap_or_default();
        let name: Arc<str> = name.into();
        // Events of a rundown name processes that began before.
        if event.id == RUNDOWN && self.later_processes.len() < PROCESS_LIMIT {
            self.later_processes.entry(process).or_insert_with(|| Arc::clone(&name));
        }
        if self.processes.len() < PROCESS_LIMIT || self.processes.contains_key(&process) {
            self.processes.insert(process, name);
        }
        Ok(())
    }

    /// Event 20 of Packet Monitor: a component's number, type, name and description.
    fn component(&mut self, event: &Event<'_>) -> Result<(), Truncated> {
        let mut c = Cursor::new(event.payload);
        let component = u32::from(c.u16_le("component id")?);
        let _kind = c.u16_le("component type")?;
        let name = utf16(&mut c)?;
        if self.components.len() < COMPONENT_LIMIT && self.component_name(component).is_none() {
            self.components.push((component, name.into()));
        }
        Ok(())
    }
}

/// The process that ran when a packet was sent. The idle process and the kernel send for others.
fn sent_by(process: u32) -> Option<SentBy> {
    const KERNEL: u32 = 4;
    // A process that the event does not name, as in logs that were converted.
    const NONE: u32 = u32::MAX;
    (process > KERNEL && process != NONE).then(|| SentBy { id: process, name: Arc::default() })
}

/// Events 160 (packet) and 170 (packet dropped) of Packet Monitor.
fn pktmon_packet(event: &Event<'_>) -> Result<TracedPacket, Truncated> {
    const DROPPED: u16 = 170;
    const TRANSMIT: u16 = 4;
    let mut c = Cursor::new(event.payload);
    let group = c.u64_le("packet group")?;
    let number = c.u16_le("packet number")?;
    let appearance = c.u16_le("appearance count")?;
    let direction = c.u16_le("direction")?;
    let kind = c.u16_le("packet type")?;
    let component = u32::from(c.u16_le("component id")?);
    c.skip(4, "edge and filter")?;
    let reason = c.u32_le("drop reason")?;
    let _location = c.u32_le("drop location")?;
    let original_len = c.u16_le("original size")?;
    let logged_len = c.u16_le("logged size")?;
    let start = event.payload_at + c.at();
    let bytes = c.take(usize::from(logged_len), "packet")?;
    let link = match kind {
        1 => LinkType::ETHERNET,
        2 => LinkType::IEEE802_11,
        3 => LinkType::RAW,
        // Handed on without a link type that can be named.
        _ => LinkType::UNREGISTERED,
    };
    let mut packet = TracedPacket {
        time: event.time,
        point: LogPoint { link, component, is_pktmon: true },
        bytes: PacketBytes::InBuffer(start..start + bytes.len()),
        original_len: u32::from(original_len.max(logged_len)),
        // Traces since 2022 leave the count at 0 and give each appearance a group of its own.
        packet_id: (appearance > 0).then_some((group, number)),
        drop: (event.id == DROPPED).then_some(DropReason(reason)),
        process: if direction == TRANSMIT { sent_by(event.process) } else { None },
        translated: None,
    };
    packet.replace_bytes(without_protected_bit(link, bytes));
    Ok(packet)
}

/// How a packet of NDIS packet capture begins, by its keywords.
const fn ndis_link(keywords: u64) -> LinkType {
    const WIRELESS_WAN: u64 = 0x200;
    const TUNNEL: u64 = 0x8000;
    const NATIVE_802_11: u64 = 0x1_0000;
    const IP_ONLY: u64 = 0x2_0000;
    if keywords & NATIVE_802_11 != 0 {
        LinkType::IEEE802_11
    } else if keywords & (WIRELESS_WAN | TUNNEL | IP_ONLY) != 0 {
        LinkType::RAW
    } else {
        LinkType::ETHERNET
    }
}

/// The source and destination ports of a virtual switch come before the fragment of event 1003.
fn skip_switch_ports(c: &mut Cursor<'_>) -> Result<(), Truncated> {
    const DESTINATION_LIMIT: u32 = 4096;
    c.skip(4, "source port id")?;
    for _ in 0..3 {
        skip_utf16(c)?;
    }
    let destinations = c.u32_le("destination count")?.min(DESTINATION_LIMIT);
    for _ in 0..destinations {
        c.skip(4, "destination port id")?;
        for _ in 0..3 {
            skip_utf16(c)?;
        }
    }
    Ok(())
}

fn skip_utf16(c: &mut Cursor<'_>) -> Result<(), Truncated> {
    while c.u16_le("text")? != 0 {}
    Ok(())
}

/// Text up to its zero; bytes that are no UTF-16 become replacement characters.
fn utf16(c: &mut Cursor<'_>) -> Result<String, Truncated> {
    const TEXT_LIMIT: usize = 512;
    let mut units = Vec::new();
    loop {
        match c.u16_le("text")? {
            0 => return Ok(String::from_utf16_lossy(&units)),
            unit if units.len() < TEXT_LIMIT => units.push(unit),
            _ => {}
        }
    }
}

/// Windows logs 802.11 frames decrypted and leaves the protected bit set. The frame without it, where it is set and the LLC
/// header shows that the body is readable.
fn without_protected_bit(link: LinkType, frame: &[u8]) -> Option<Vec<u8>> {
    const PROTECTED: u8 = 0x40;
    const QOS_DATA: u8 = 0x88;
    const BOTH_DISTRIBUTION_BITS: u8 = 3;
    if link != LinkType::IEEE802_11 {
        return None;
    }
    // IEEE 802.11 §9.3.2.1: three addresses, a fourth between access points, and two bytes of QoS control.
    let (&control, &flags) = (frame.first()?, frame.get(1)?);
    let mut header_len = 24;
    if flags & BOTH_DISTRIBUTION_BITS == BOTH_DISTRIBUTION_BITS {
        header_len += 6;
    }
    if control & QOS_DATA == QOS_DATA {
        header_len += 2;
    }
    if flags & PROTECTED == 0 || !frame.get(header_len..)?.starts_with(&[0xaa, 0xaa, 3]) {
        return None;
    }
    let mut frame = frame.to_vec();
    *frame.get_mut(1)? &= !PROTECTED;
    Some(frame)
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: u64 = 0x4000_0000;
    const END: u64 = 0x8000_0000;

    fn ndis(events: &mut PacketEvents, processor: u32, keywords: u64, fragment: &[u8]) -> Option<Vec<u8>> {
        let mut payload = [1u32, 7, fragment.len() as u32].map(u32::to_le_bytes).concat();
        payload.extend(fragment);
        let event = Event {
            provider: NDISCAP,
            id: 1001,
            version: 0,
            process: 0,
            time: 5,
            keywords,
            payload: &payload,
            payload_at: 0,
        };
        events.accept(&event, processor).map(|packet| packet.bytes.get(&payload).to_vec())
    }

    #[test]
    fn fragments_are_joined_for_each_processor() {
        let mut events = PacketEvents::default();
        assert_eq!(ndis(&mut events, 0, START | END, b"one"), Some(b"one".to_vec()));
        assert_eq!(ndis(&mut events, 0, START, b"a"), None);
        assert_eq!(ndis(&mut events, 1, START, b"x"), None);
        assert_eq!(ndis(&mut events, 0, 0, b"b"), None);
        assert_eq!(ndis(&mut events, 1, END, b"y"), Some(b"xy".to_vec()));
        assert_eq!(ndis(&mut events, 0, END, b"c"), Some(b"abc".to_vec()));
        assert_eq!(events.damaged, 0);
        assert_eq!(ndis(&mut events, 0, END, b"end without a beginning"), None);
        assert_eq!(ndis(&mut events, 0, START, b"never ended"), None);
        events.finish();
        assert_eq!(events.damaged, 2);
    }

    #[test]
    fn the_media_is_in_the_keywords() {
        let link = |keywords| ndis_link(keywords | START | END);
        assert_eq!(link(1), LinkType::ETHERNET);
        assert_eq!(link(0x200), LinkType::RAW);
        assert_eq!(link(0x1_0000), LinkType::IEEE802_11);
    }

    #[test]
    fn only_readable_wireless_frames_lose_the_protected_bit() {
        let wifi = |frame: &[u8]| without_protected_bit(LinkType::IEEE802_11, frame);
        let mut frame = vec![0x88, 0x42];
        frame.resize(26, 0);
        frame.extend([0xaa, 0xaa, 3]);
        assert_eq!(wifi(&frame).map(|frame| frame[1]), Some(0x02));
        assert_eq!(without_protected_bit(LinkType::ETHERNET, &frame), None);
        let mut encrypted = vec![0x88, 0x42];
        encrypted.resize(60, 0x5a);
        assert_eq!(wifi(&encrypted), None);
    }
}

//! Writes event trace logs (ETL) as `netsh trace` and `pktmon` leave them.
//!
//! In:  frames with their time stamps, and what kind of trace they are to be.
//! Out: the bytes of a log.
//! Not: events that hold no packet, except the log's own header and the components of Packet Monitor.

use super::capture_file::Record;

/// Who logged the packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(dead_code, reason = "the property test writes every kind")]
pub enum Provider {
    /// NDIS packet capture (`netsh trace`), each packet in fragments of at most so many bytes.
    Ndis { fragment_len: usize },
    /// Packet Monitor, before appearances got groups of their own: each packet is logged so often, one group for all.
    PktMonGroups { appearances: u16 },
    /// Packet Monitor since then: each packet is logged so often, each time in another group.
    PktMon { appearances: u16 },
}

/// Units of the trace's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(dead_code, reason = "the property test writes every kind")]
pub enum Clock {
    /// The performance counter, at so many units a second.
    PerformanceCounter(u64),
    /// 100 ns since 1601.
    SystemTime,
}

/// A packet that the host dropped. Only traces of Packet Monitor report it.
#[derive(Clone, Copy, Debug)]
pub struct Drop {
    /// The record, from 0.
    pub record: usize,
    /// The number of a component: see [`COMPONENTS`].
    pub component: u16,
    /// `PKTMON_DROP_REASON`.
    pub reason: u32,
    /// Another component logged the packet before.
    pub is_seen: bool,
}

/// What kind of trace is written.
#[derive(Clone, Copy, Debug)]
pub struct TraceKind {
    pub provider: Provider,
    pub clock: Clock,
    /// 4 or 8 bytes.
    pub pointer_len: u32,
    /// Each processor fills buffers of its own.
    pub processors: u16,
    /// Bytes of records in a buffer.
    pub buffer_len: usize,
    /// Records are compressed, and buffers are as long as that makes them.
    pub compressed: bool,
    /// `LINKTYPE_…` of the frames: Ethernet, raw IP or 802.11.
    pub link: u32,
    pub drops: &'static [Drop],
    pub sender: Option<Sender>,
    pub lost: Lost,
    /// Components and the process are named after all packets.
    pub names_last: bool,
    pub translation: Option<Translation>,
    /// Bytes of a packet that Packet Monitor logs: 128 by default.
    pub logged_len: usize,
}

/// The host translates an address: every second appearance of a packet, the first included, has another one.
#[derive(Clone, Copy, Debug)]
pub struct Translation {
    /// The address of the frames.
    pub address: [u8; 4],
    /// The address before it: of a container or virtual machine.
    pub inner: [u8; 4],
    /// How much the port is higher after it.
    pub ports: u16,
}

/// What the session lost, by the log's own header.
#[derive(Clone, Copy, Debug, Default)]
pub struct Lost {
    pub events: u32,
    pub buffers: u32,
}

/// The process that sends the packets of an IPv4 address, which is the host's own.
#[derive(Clone, Copy, Debug)]
pub struct Sender {
    pub address: [u8; 4],
    pub process: u32,
    /// The program, which a rundown event names.
    pub program: &'static str,
}

const ETHERNET: u32 = 1;
const WIFI: u32 = 105;

const NDISCAP: [u8; 16] =
    [0x6e, 0x00, 0xd6, 0x2e, 0x29, 0x47, 0x09, 0x46, 0xb4, 0x23, 0x3e, 0xe7, 0xbc, 0xd6, 0x78, 0xef];
const PKTMON: [u8; 16] =
    [0xd9, 0x80, 0x4f, 0x4d, 0xbd, 0xc8, 0x73, 0x4d, 0xbb, 0x5b, 0x19, 0xc9, 0x04, 0x02, 0xc5, 0xac];

const KERNEL_PROCESS: [u8; 16] =
    [0xd6, 0x2c, 0xfb, 0x22, 0x7b, 0x0e, 0x2b, 0x42, 0xa0, 0xc7, 0x2f, 0xad, 0x1f, 0xd0, 0xe7, 0x16];

/// Places in the header of an event.
const EVENT_PROCESS: usize = 12;
const EVENT_VERSION: usize = 42;

/// Keywords of NDIS packet capture.
const SEND_PATH: u64 = 0x1_0000_0000;
const RECEIVE_PATH: u64 = 0x2_0000_0000;

/// Components of Packet Monitor, numbered from 1.
const COMPONENTS: [&str; 3] = ["ndis.sys", "tcpip.sys", "vmswitch.sys"];

/// Time between two appearances of a packet, in nanoseconds.
const APPEARANCE_NANOS: u64 = 2_000;

/// From 1601-01-01 to 1970-01-01, in 100 ns.
const UNIX_EPOCH: u64 = 116_444_736_000_000_000;

/// Where the log's own header has the number of buffers: after a buffer's header, a record's header, and nine fields.
const BUFFERS_WRITTEN: usize = 72 + 32 + 36;

/// Raw time of the log's header, where the clock is a counter.
const RAW_START: u64 = 987_654_321;

/// The bytes of a log that holds `records`.
pub fn event_trace(kind: &TraceKind, records: &[Record]) -> Vec<u8> {
    let start = records.first().map_or(0, |record| record.nanos);
    let raw = |nanos: u64| match kind.clock {
        Clock::PerformanceCounter(frequency) => {
            RAW_START + ((u128::from(nanos - start) * u128::from(frequency)) / 1_000_000_000) as u64
        }
        Clock::SystemTime => UNIX_EPOCH + nanos / 100,
    };
    let mut out = Vec::new();
    write_buffer(kind, 0, &log_header(kind, start, raw(start)), true, &mut out);
    let mut open: Vec<Vec<u8>> = vec![Vec::new(); usize::from(kind.processors)];
    if !kind.names_last {
        open[0].extend(names(kind, raw(start)));
    }
    for (number, record) in records.iter().enumerate() {
        // Bursts stay on one processor, as interrupts do.
        let processor = number / 3 % open.len();
        let records = packet_events(kind, number, record, &raw);
        let buffer = &mut open[processor];
        if buffer.len() + records.len() > kind.buffer_len && !buffer.is_empty() {
            let full = std::mem::take(buffer);
            write_buffer(kind, processor as u16, &full, false, &mut out);
        }
        open[processor].extend(records);
    }
    for (processor, buffer) in open.iter().enumerate().filter(|(_, buffer)| !buffer.is_empty()) {
        write_buffer(kind, processor as u16, buffer, false, &mut out);
    }
    if kind.names_last {
        let end = records.last().map_or(0, |record| record.nanos);
        write_buffer(kind, 0, &names(kind, raw(end)), false, &mut out);
    }
    let buffers = count_buffers(&out);
    out[BUFFERS_WRITTEN..BUFFERS_WRITTEN + 4].copy_from_slice(&buffers.to_le_bytes());
    out
}

/// Events that name the components and the process.
fn names(kind: &TraceKind, raw: u64) -> Vec<u8> {
    let mut out = Vec::new();
    if !matches!(kind.provider, Provider::Ndis { .. }) {
        for (component, name) in (1u16..).zip(COMPONENTS) {
            let mut payload = [component, 14].map(u16::to_le_bytes).concat();
            for text in [format!("{name}\0"), "made for a test\0".to_owned()] {
                payload.extend(text.encode_utf16().flat_map(u16::to_le_bytes));
            }
            out.extend(event(PKTMON, 20, 0, raw, &payload));
        }
    }
    if let Some(Sender { process, program, .. }) = kind.sender {
        // ProcessRundown, version 1.
        let mut payload = process.to_le_bytes().to_vec();
        payload.resize(48, 0);
        // An integrity label: a SID with one subauthority.
        payload.extend([1, 1, 0, 0, 0, 0, 0, 16, 0, 0x40, 0, 0]);
        payload.extend(format!("{program}\0").encode_utf16().flat_map(u16::to_le_bytes));
        let mut rundown = event(KERNEL_PROCESS, 15, 0, raw, &payload);
        rundown[EVENT_VERSION] = 1;
        out.extend(rundown);
    }
    out
}

/// Buffers of a log: each begins with its length.
fn count_buffers(log: &[u8]) -> u32 {
    let mut count = 0;
    let mut at = 0;
    while let Some(len) = log.get(at..).and_then(|rest| rest.first_chunk::<4>()) {
        at += u32::from_le_bytes(*len) as usize;
        count += 1;
    }
    count
}

/// The events of one packet.
fn packet_events(kind: &TraceKind, number: usize, record: &Record, raw: &impl Fn(u64) -> u64) -> Vec<u8> {
    let mut out = Vec::new();
    let sender = kind.sender.filter(|sender| record.bytes.get(26..30) == Some(&sender.address));
    match kind.provider {
        Provider::Ndis { fragment_len } => {
            let media = match kind.link {
                ETHERNET => 1,
                WIFI => 0x1_0000,
                _ => 0x200,
            };
            let path = if sender.is_some() { SEND_PATH } else { RECEIVE_PATH };
            let pieces: Vec<&[u8]> = record.bytes.chunks(fragment_len.max(1)).collect();
            for (at, piece) in pieces.iter().enumerate() {
                let begins = if at == 0 { 0x4000_0000 } else { 0 };
                let ends = if at + 1 == pieces.len() { 0x8000_0000 } else { 0 };
                let mut payload = [3u32, 7, piece.len() as u32].map(u32::to_le_bytes).concat();
                payload.extend(*piece);
                let event = event(NDISCAP, 1001, media | path | begins | ends, raw(record.nanos), &payload);
                push_sent(&event, sender, &mut out);
            }
        }
        Provider::PktMonGroups { appearances } | Provider::PktMon { appearances } => {
            let has_counts = matches!(kind.provider, Provider::PktMonGroups { .. });
            let packet_type = match kind.link {
                ETHERNET => 1u16,
                WIFI => 2,
                _ => 3,
            };
            let drop = kind.drops.iter().find(|drop| drop.record == number);
            let seen = if drop.is_some_and(|drop| !drop.is_seen) { 0 } else { appearances };
            for appearance in 0..seen + u16::from(drop.is_some()) {
                let drop = drop.filter(|_| appearance == seen);
                let group =
                    if has_counts { number as u64 } else { (number * 16) as u64 + u64::from(appearance) };
                let count = if has_counts { appearance + 1 } else { 0 };
                let component = drop.map_or(appearance % 2 + 1, |drop| drop.component);
                let mut payload = group.to_le_bytes().to_vec();
                let direction = if sender.is_some() { 4 } else { 3 };
                for field in [0, count, direction, packet_type, component, 0, 0] {
                    payload.extend(field.to_le_bytes());
                }
                payload.extend([drop.map_or(0, |drop| drop.reason), 0].map(u32::to_le_bytes).concat());
                let logged_len = record.bytes.len().min(kind.logged_len);
                payload.extend([record.bytes.len() as u16, logged_len as u16].map(u16::to_le_bytes).concat());
                let inner = kind.translation.filter(|_| appearance % 2 == 0);
                let bytes = inner.map_or(record.bytes.clone(), |inner| before_translation(record, inner));
                payload.extend(&bytes[..logged_len]);
                let nanos = record.nanos + u64::from(appearance) * APPEARANCE_NANOS;
                let id = if drop.is_some() { 170 } else { 160 };
                push_sent(&event(PKTMON, id, 0, raw(nanos), &payload), sender, &mut out);
            }
        }
    }
    out
}

/// An Ethernet frame with IPv4 as it was before its translation. Checksums stay, as they do where an adapter computes them.
fn before_translation(record: &Record, translation: Translation) -> Vec<u8> {
    let mut bytes = record.bytes.clone();
    for (address, port) in [(26, 34), (30, 36)] {
        if bytes.get(address..address + 4) == Some(&translation.address) {
            bytes[address..address + 4].copy_from_slice(&translation.inner);
            let inner = u16::from_be_bytes([bytes[port], bytes[port + 1]]) - translation.ports;
            bytes[port..port + 2].copy_from_slice(&inner.to_be_bytes());
        }
    }
    bytes
}

/// Appends an event that was logged while this process ran.
fn push_sent(event: &[u8], sender: Option<Sender>, out: &mut Vec<u8>) {
    let begin = out.len() + EVENT_PROCESS;
    out.extend(event);
    if let Some(sender) = sender {
        out[begin..begin + 4].copy_from_slice(&sender.process.to_le_bytes());
    }
}

/// An event's record, aligned to 8 bytes.
fn event(provider: [u8; 16], id: u16, keywords: u64, raw: u64, payload: &[u8]) -> Vec<u8> {
    const EVENT_HEADER_64: u8 = 0x13;
    let mut out = ((80 + payload.len()) as u16).to_le_bytes().to_vec();
    out.extend([EVENT_HEADER_64, 0xc0, 0, 0, 0, 0]);
    out.extend([4321u32, 1234].map(u32::to_le_bytes).concat());
    out.extend(raw.to_le_bytes());
    out.extend(provider);
    out.extend(id.to_le_bytes());
    out.extend([0; 6]);
    out.extend(keywords.to_le_bytes());
    out.extend([0; 24]);
    out.extend(payload);
    out.resize(out.len().next_multiple_of(8), 0);
    out
}

/// The log's own header: a record of the system, hook 0.
fn log_header(kind: &TraceKind, start_nanos: u64, raw: u64) -> Vec<u8> {
    let (clock_type, frequency) = match kind.clock {
        Clock::PerformanceCounter(frequency) => (1u32, frequency),
        Clock::SystemTime => (2, 10_000_000),
    };
    let mut body = Vec::new();
    for field in [kind.buffer_len as u32, 10, 1, u32::from(kind.processors)] {
        body.extend(field.to_le_bytes());
    }
    body.extend([0; 24]);
    for field in [1, kind.pointer_len, kind.lost.events, 2600] {
        body.extend(field.to_le_bytes());
    }
    body.resize(body.len() + 2 * kind.pointer_len as usize + 172 + 4, 0);
    for field in [0, frequency, UNIX_EPOCH + start_nanos / 100] {
        body.extend(field.to_le_bytes());
    }
    body.extend([clock_type, kind.lost.buffers].map(u32::to_le_bytes).concat());
    // Names of the session and of the file.
    body.extend("afs-audit\0test.etl\0".encode_utf16().flat_map(u16::to_le_bytes));
    let system_header = if kind.pointer_len == 4 { 1 } else { 2 };
    let mut out = vec![2, 0, system_header, 0xc0];
    out.extend(((32 + body.len()) as u16).to_le_bytes());
    out.extend([0; 10]);
    out.extend(raw.to_le_bytes());
    out.extend([0; 8]);
    out.extend(body);
    out.resize(out.len().next_multiple_of(8), 0);
    out
}

/// A buffer: 72 bytes of header, records, and for a log that was not relogged the unused rest.
fn write_buffer(kind: &TraceKind, processor: u16, records: &[u8], is_first: bool, out: &mut Vec<u8>) {
    const HEADER_LEN: usize = 72;
    const COMPRESSED: u16 = 0x40;
    let is_compressed = kind.compressed && !is_first;
    let body = if is_compressed { compress(records) } else { records.to_vec() };
    let filled = (HEADER_LEN + records.len()) as u32;
    let size = match kind.compressed {
        true => HEADER_LEN + body.len(),
        false => HEADER_LEN + kind.buffer_len.max(records.len()),
    };
    let begin = out.len();
    for field in [size as u32, filled, filled, 0] {
        out.extend(field.to_le_bytes());
    }
    out.extend([0; 24]);
    out.extend([processor, 3].map(u16::to_le_bytes).concat());
    out.extend(3u32.to_le_bytes());
    out.extend(filled.to_le_bytes());
    let buffer_type = if is_first { 4u16 } else { 0 };
    out.extend([if is_compressed { COMPRESSED } else { 0 }, buffer_type].map(u16::to_le_bytes).concat());
    out.extend([0; 16]);
    out.extend(body);
    out.resize(begin + size, 0xff);
}

/// LZXPRESS (MS-XCA §2.3): a match where the last eight bytes recur within reach, else literal bytes.
fn compress(bytes: &[u8]) -> Vec<u8> {
    const REACH: usize = 8192;
    const SHORTEST: usize = 8;
    let mut out = Vec::new();
    let mut flags_at = 0;
    let mut tokens = 0u32;
    let mut half_byte: Option<usize> = None;
    let mut recent: std::collections::HashMap<&[u8], usize> = std::collections::HashMap::new();
    let mut at = 0;
    while at < bytes.len() {
        if tokens.is_multiple_of(32) {
            flags_at = out.len();
            out.extend([0; 4]);
        }
        let found = bytes.get(at..at + SHORTEST).and_then(|key| {
            let from = recent.insert(key, at)?;
            (at - from <= REACH).then_some(from)
        });
        if let Some(from) = found {
            let len = bytes[at..].iter().zip(&bytes[from..]).take_while(|(a, b)| a == b).count();
            let flag = 1u32 << (31 - tokens % 32);
            let flags = u32::from_le_bytes(out[flags_at..flags_at + 4].try_into().unwrap_or_default()) | flag;
            out[flags_at..flags_at + 4].copy_from_slice(&flags.to_le_bytes());
            write_match(at - from, len, &mut half_byte, &mut out);
            at += len;
        } else {
            out.push(bytes[at]);
            at += 1;
        }
        tokens += 1;
    }
    if tokens.is_multiple_of(32) {
        flags_at = out.len();
        out.extend([0; 4]);
    }
    // MS-XCA §2.3.4: flags that no token uses are 1.
    let unused = u32::MAX.checked_shr(tokens % 32).unwrap_or(0);
    let flags = u32::from_le_bytes(out[flags_at..flags_at + 4].try_into().unwrap_or_default()) | unused;
    out[flags_at..flags_at + 4].copy_from_slice(&flags.to_le_bytes());
    out
}

fn write_match(distance: usize, len: usize, half_byte: &mut Option<usize>, out: &mut Vec<u8>) {
    let extra = len - 3;
    let token = ((distance - 1) << 3 | extra.min(7)) as u16;
    out.extend(token.to_le_bytes());
    if extra < 7 {
        return;
    }
    let four_bits = (extra - 7).min(15) as u8;
    match half_byte.take() {
        Some(at) => out[at] |= four_bits << 4,
        None => {
            *half_byte = Some(out.len());
            out.push(four_bits);
        }
    }
    if four_bits < 15 {
        return;
    }
    let rest = extra - 7 - 15;
    if rest < 255 {
        out.push(rest as u8);
    } else {
        out.push(255);
        match u16::try_from(extra) {
            Ok(whole) => out.extend(whole.to_le_bytes()),
            Err(_) => {
                out.extend([0, 0]);
                out.extend((extra as u32).to_le_bytes());
            }
        }
    }
}

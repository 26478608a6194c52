//! Writes pcap and pcapng files, and reads back the pcap files that it writes.
//!
//! In:  frames with their time stamps.
//! Out: the bytes of a pcap or pcapng file.
//! Not: compression.

/// A captured frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Time stamp, in nanoseconds since 1970.
    pub nanos: u64,
    /// Captured bytes.
    pub bytes: Vec<u8>,
}

/// A little-endian pcap file with microseconds.
pub fn pcap(link: u32, records: &[Record]) -> Vec<u8> {
    let mut out = Vec::new();
    for field in [0xa1b2_c3d4, 4 << 16 | 2, 0, 0, 262_144, link] {
        out.extend(u32::to_le_bytes(field));
    }
    for record in records {
        let len = record.bytes.len() as u32;
        let time = [(record.nanos / 1_000_000_000) as u32, (record.nanos / 1000 % 1_000_000) as u32];
        for field in [time[0], time[1], len, len] {
            out.extend(field.to_le_bytes());
        }
        out.extend(&record.bytes);
    }
    out
}

/// A file of Network Monitor 2.3: each frame with its link type and its time.
#[allow(dead_code, reason = "the property test of event traces writes none")]
pub fn netmon(records: &[Record]) -> Vec<u8> {
    const ETHERNET: u16 = 1;
    const NO_PROCESS: u32 = u32::MAX;
    const UNIX_EPOCH: u64 = 116_444_736_000_000_000;
    let start = records.first().map_or(0, |record| record.nanos);
    let mut out = [&b"GMBU"[..], &[3, 2, 1, 0]].concat();
    // The local time at which the capture began is not used where frames have theirs.
    out.extend([2026u16, 1, 1, 5, 9, 0, 0, 0].map(u16::to_le_bytes).concat());
    out.resize(128, 0);
    let mut table = Vec::new();
    for record in records {
        table.extend((out.len() as u32).to_le_bytes());
        let len = record.bytes.len() as u32;
        out.extend(((record.nanos - start) / 1000).to_le_bytes());
        out.extend([len, len].map(u32::to_le_bytes).concat());
        out.extend(&record.bytes);
        out.extend(ETHERNET.to_le_bytes());
        out.extend(NO_PROCESS.to_le_bytes());
        out.extend((UNIX_EPOCH + record.nanos / 100).to_le_bytes());
        out.push(0);
    }
    let place = [out.len() as u32, table.len() as u32].map(u32::to_le_bytes).concat();
    out[24..32].copy_from_slice(&place);
    out.extend(table);
    out
}

/// A big-endian pcap file with nanoseconds.
pub fn pcap_big_endian(link: u32, records: &[Record]) -> Vec<u8> {
    let mut out = Vec::new();
    for field in [0xa1b2_3c4d, 2 << 16 | 4, 0, 0, 262_144, link] {
        out.extend(u32::to_be_bytes(field));
    }
    for record in records {
        let len = record.bytes.len() as u32;
        let time = [(record.nanos / 1_000_000_000) as u32, (record.nanos % 1_000_000_000) as u32];
        for field in [time[0], time[1], len, len] {
            out.extend(field.to_be_bytes());
        }
        out.extend(&record.bytes);
    }
    out
}

/// A pcapng block: type, total length, body, total length.
fn block(block_type: u32, body: &[u8]) -> Vec<u8> {
    let body = [body, &vec![0; body.len().next_multiple_of(4) - body.len()]].concat();
    let len = (12 + body.len()) as u32;
    [&block_type.to_le_bytes()[..], &len.to_le_bytes(), &body, &len.to_le_bytes()].concat()
}

/// A pcapng section with one interface for each link type, and microseconds. Each record names its interface.
pub fn pcapng_section(links: &[u32], records: &[(usize, &Record)]) -> Vec<u8> {
    let fields =
        |fields: &[u32]| -> Vec<u8> { fields.iter().flat_map(|field| field.to_le_bytes()).collect() };
    let mut out = block(0x0a0d_0d0a, &fields(&[0x1a2b_3c4d, 1, u32::MAX, u32::MAX]));
    for link in links {
        out.extend(block(1, &fields(&[*link, 262_144])));
    }
    for (interface, record) in records {
        let (micros, len) = (record.nanos / 1000, record.bytes.len() as u32);
        let mut body = fields(&[*interface as u32, (micros >> 32) as u32, micros as u32, len, len]);
        body.extend(&record.bytes);
        out.extend(block(6, &body));
    }
    out
}

/// An Interface Statistics Block: packets received by an interface, and packets dropped by the operating system.
pub fn pcapng_statistics(interface: u32, received: u64, dropped: u64) -> Vec<u8> {
    let mut body = [interface.to_le_bytes(), [0; 4], [0; 4]].concat();
    // isb_ifrecv, isb_osdrop.
    for (code, count) in [(4u16, received), (7, dropped)] {
        body.extend(code.to_le_bytes());
        body.extend(8u16.to_le_bytes());
        body.extend(count.to_le_bytes());
    }
    body.extend([0; 4]);
    block(5, &body)
}

/// The records of a file that [`pcap`] wrote.
pub fn read_pcap(bytes: &[u8]) -> Vec<Record> {
    let field = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
    assert_eq!(field(0), 0xa1b2_c3d4, "little-endian pcap in microseconds");
    let mut records = Vec::new();
    let mut at = 24;
    while at < bytes.len() {
        let nanos = u64::from(field(at)) * 1_000_000_000 + u64::from(field(at + 4)) * 1000;
        let end = at + 16 + field(at + 8) as usize;
        records.push(Record { nanos, bytes: bytes[at + 16..end].to_vec() });
        at = end;
    }
    records
}

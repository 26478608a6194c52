//! Reads the records of a capture, and writes records to a pcapng file in memory.

use std::collections::BTreeSet;
use std::path::Path;

use afs_audit::capture::Chunk;

use super::observe::open;

/// A captured frame.
#[derive(Clone, Debug)]
pub struct Record {
    pub nanos: i64,
    pub link: u16,
    pub wire_len: u32,
    pub bytes: Vec<u8>,
}

/// The records of a capture file, in time order; none if it cannot be opened.
pub fn records(path: &Path) -> Vec<Record> {
    let (mut records, mut chunk) = (Vec::new(), Chunk::default());
    let Ok(mut capture) = open(path) else { return records };
    while capture.next(&mut chunk) {
        records.extend(chunk.frames().map(|frame| Record {
            nanos: frame.time.0,
            link: frame.link.0,
            wire_len: frame.wire_len,
            bytes: frame.bytes.to_vec(),
        }));
    }
    records
}

fn block(out: &mut Vec<u8>, block_type: u32, body: &[u8]) {
    let len = (12 + body.len().next_multiple_of(4)) as u32;
    out.extend(block_type.to_le_bytes());
    out.extend(len.to_le_bytes());
    out.extend(body);
    out.resize(out.len().next_multiple_of(4), 0);
    out.extend(len.to_le_bytes());
}

/// A pcapng file of these records, with one interface for each link type, and nanoseconds.
pub fn pcapng(records: &[Record]) -> Vec<u8> {
    let mut out = Vec::new();
    let unknown_len = u64::MAX.to_le_bytes();
    block(&mut out, 0x0a0d_0d0a, &[&[0x4d, 0x3c, 0x2b, 0x1a, 1, 0, 0, 0][..], &unknown_len].concat());
    let links: BTreeSet<u16> = records.iter().map(|record| record.link).collect();
    for link in &links {
        let [low, high] = link.to_le_bytes();
        // if_tsresol: 10^-9.
        block(&mut out, 1, &[low, high, 0, 0, 0, 0, 0, 0, 9, 0, 1, 0, 9, 0, 0, 0, 0, 0, 0, 0]);
    }
    for record in records {
        let interface = links.iter().position(|link| *link == record.link).unwrap() as u32;
        let nanos = record.nanos as u64;
        let mut body = Vec::new();
        for field in
            [interface, (nanos >> 32) as u32, nanos as u32, record.bytes.len() as u32, record.wire_len]
        {
            body.extend(field.to_le_bytes());
        }
        body.extend(&record.bytes);
        block(&mut out, 6, &body);
    }
    out
}

/// Numbers without a pattern, the same in every run.
pub struct FixedRandom(pub u64);

impl FixedRandom {
    pub fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }
}

//! Builds small captures for unit tests, and reads them.
//!
//! In:  records and blocks.
//! Out: the bytes of a capture; the frames and facts that were read of one.
//! Not: captures with real traffic.

use std::io::Read;

use super::Capture;
use super::Chunk;
use super::Error;
use super::InputFacts;
use super::InputHash;

/// A frame as tests compare it: number, nanoseconds, link type, length on the wire, bytes.
pub(super) type ReadFrame = (u64, i64, u16, u32, Vec<u8>);

/// Reads bytes as a stream.
pub(super) fn read(bytes: &[u8]) -> Result<(Vec<ReadFrame>, InputFacts), Error> {
    read_all(Capture::from_reader("test", Box::new(std::io::Cursor::new(bytes.to_vec())), InputHash::None)?)
        .map(|(seen, mut facts)| (seen, facts.remove(0)))
}

/// Reads bytes that arrive `piece_len` at a time.
pub(super) fn read_in_pieces(bytes: &[u8], piece_len: usize) -> Result<(Vec<ReadFrame>, InputFacts), Error> {
    struct Pieces(std::io::Cursor<Vec<u8>>, usize);
    impl Read for Pieces {
        fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
            let len = into.len().min(self.1);
            self.0.read(&mut into[..len])
        }
    }
    let pieces = Pieces(std::io::Cursor::new(bytes.to_vec()), piece_len);
    read_all(Capture::from_reader("test", Box::new(pieces), InputHash::Sha256)?)
        .map(|(seen, mut facts)| (seen, facts.remove(0)))
}

/// Reads a capture to its end.
pub(super) fn read_all(mut capture: Capture) -> Result<(Vec<ReadFrame>, Vec<InputFacts>), Error> {
    let mut chunk = Chunk::default();
    let mut seen = Vec::new();
    while capture.next(&mut chunk) {
        assert!(!chunk.frames.is_empty());
        for frame in chunk.frames() {
            seen.push((
                frame.frame_ref.number,
                frame.time.0,
                frame.link.0,
                frame.wire_len,
                frame.bytes.to_vec(),
            ));
        }
    }
    let facts = capture.finish();
    for one in &facts {
        assert!(one.adds_up(), "{one:#?}");
    }
    Ok((seen, facts))
}

/// Builds a capture in one byte order.
pub(super) struct CaptureBuilder {
    pub big_endian: bool,
    pub bytes: Vec<u8>,
}

impl CaptureBuilder {
    pub(super) fn u16(&mut self, value: u16) -> &mut Self {
        self.bytes.extend(if self.big_endian { value.to_be_bytes() } else { value.to_le_bytes() });
        self
    }

    pub(super) fn u32(&mut self, value: u32) -> &mut Self {
        self.bytes.extend(if self.big_endian { value.to_be_bytes() } else { value.to_le_bytes() });
        self
    }

    pub(super) fn raw(&mut self, bytes: &[u8]) -> &mut Self {
        self.bytes.extend_from_slice(bytes);
        self
    }

    /// A pcap file's header.
    pub(super) fn pcap(big_endian: bool, magic: u32, link: u32) -> CaptureBuilder {
        let mut capture = CaptureBuilder { big_endian, bytes: Vec::new() };
        capture.u32(magic).u16(2).u16(4).u32(0).u32(0).u32(65535).u32(link);
        capture
    }

    /// A pcap record.
    pub(super) fn record(&mut self, secs: u32, fraction: u32, bytes: &[u8]) -> &mut Self {
        let len = bytes.len() as u32;
        self.u32(secs).u32(fraction).u32(len).u32(len).raw(bytes)
    }

    /// A pcapng file with its first section.
    pub(super) fn pcapng(big_endian: bool) -> CaptureBuilder {
        let mut capture = CaptureBuilder { big_endian, bytes: Vec::new() };
        capture.section(big_endian);
        capture
    }

    /// A pcapng section header.
    pub(super) fn section(&mut self, big_endian: bool) -> &mut Self {
        self.big_endian = big_endian;
        self.u32(0x0a0d_0d0a).u32(28).u32(0x1a2b_3c4d).u16(1).u16(0).raw(&[0xff; 8]).u32(28)
    }

    /// A pcapng block; its body is padded.
    pub(super) fn block(&mut self, block_type: u32, body: impl FnOnce(&mut CaptureBuilder)) -> &mut Self {
        let mut inner = CaptureBuilder { big_endian: self.big_endian, bytes: Vec::new() };
        body(&mut inner);
        inner.bytes.resize(inner.bytes.len().next_multiple_of(4), 0);
        let len = inner.bytes.len() as u32 + 12;
        self.u32(block_type).u32(len).raw(&inner.bytes).u32(len)
    }

    /// A pcapng option.
    pub(super) fn option(&mut self, code: u16, value: &[u8]) -> &mut Self {
        self.u16(code).u16(value.len() as u16).raw(value);
        let len = self.bytes.len().next_multiple_of(4);
        self.bytes.resize(len, 0);
        self
    }

    /// A pcapng interface.
    pub(super) fn interface(&mut self, link: u16, options: impl FnOnce(&mut CaptureBuilder)) -> &mut Self {
        self.block(1, |block| {
            block.u16(link).u16(0).u32(65535);
            options(block);
        })
    }

    /// A pcapng enhanced packet block.
    pub(super) fn packet(&mut self, interface: u32, timestamp: u64, bytes: &[u8]) -> &mut Self {
        let len = bytes.len() as u32;
        self.block(6, |block| {
            block
                .u32(interface)
                .u32((timestamp >> 32) as u32)
                .u32(timestamp as u32)
                .u32(len)
                .u32(len)
                .raw(bytes);
        })
    }
}

//! Decompresses gzip, zstd, xz and LZ4, recognized by content, not by name.
//!
//! In:  raw bytes.
//! Out: the bytes of the capture, through a window; uncompressed files are not copied.
//! Not: the capture format.

use std::io;
use std::io::BufRead;
use std::io::Read;

use flate2::bufread::GzDecoder;
use lz4_flex::frame::FrameDecoder as Lz4Decoder;
use lzma_rust2::Action;
use lzma_rust2::Status;
use lzma_rust2::XzStream;
use ruzstd::decoding::BlockDecodingStrategy;
use ruzstd::decoding::FrameDecoder;
use ruzstd::decoding::errors::FrameDecoderError;
use ruzstd::decoding::errors::ReadFrameHeaderError;

use super::block::BlockReader;
use super::block::BlockWindow;
use super::concatenated::is_capture;
use super::etl;
use super::etl::Transcoder;

const GZIP: &[u8] = &[0x1f, 0x8b, 0x08];
const ZSTD: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];
/// A skippable frame, written first by pzstd and others: RFC 8878 §3.1.2, `0x184D2A5?` without its low half byte.
const ZSTD_SKIPPABLE: &[u8] = &[0x2a, 0x4d, 0x18];
/// LZ4 frame format, §"General structure of LZ4 frame format".
const LZ4: &[u8] = &[0x04, 0x22, 0x4d, 0x18];
const XZ: &[u8] = &[0xfd, b'7', b'z', b'X', b'Z', 0];

/// Memory that an xz file may need, in KiB; `xz -9` needs 65 MiB.
const XZ_MEMORY_KIB: u32 = 256 * 1024;

enum Codec {
    Uncompressed(BlockReader),
    Gzip(Box<GzDecoder<BlockReader>>),
    Zstd {
        raw: BlockReader,
        decoder: Box<FrameDecoder>,
        in_frame: bool,
    },
    Xz {
        raw: BlockReader,
        stream: Box<XzStream>,
    },
    Lz4(Box<Lz4Decoder<BlockReader>>),
    /// An event trace log, compressed or not, converted to pcapng.
    Etl(Box<Transcoder>),
}

/// The bytes of a capture, decompressed if necessary.
pub(super) struct DecompressingReader {
    codec: Codec,
    /// Decompressed bytes. Uncompressed files use the window of their [`BlockReader`] instead.
    window: BlockWindow,
    /// Decompressed bytes before the window.
    used_bytes: u64,
    is_at_end: bool,
    error: Option<String>,
    trailing_bytes: u64,
}

impl DecompressingReader {
    /// Recognizes by the first bytes of `raw` how it is compressed, and whether it is an event trace log.
    pub(super) fn new(raw: BlockReader, block_len: usize) -> DecompressingReader {
        let mut bytes = DecompressingReader::decompressing(raw, block_len);
        bytes.fill(etl::PROBE_LEN);
        if etl::is_trace(bytes.window().bytes()) {
            return DecompressingReader::with_codec(Codec::Etl(Box::new(Transcoder::new(bytes))), block_len);
        }
        bytes
    }

    /// Hands `raw` on as it is.
    pub(super) fn uncompressed(raw: BlockReader, block_len: usize) -> DecompressingReader {
        DecompressingReader::with_codec(Codec::Uncompressed(raw), block_len)
    }

    /// Recognizes by the first bytes of `raw` how it is compressed, and converts nothing.
    pub(super) fn decompressing(mut raw: BlockReader, block_len: usize) -> DecompressingReader {
        raw.fill(etl::PROBE_LEN);
        let head = raw.window().bytes();
        let codec = if head.starts_with(GZIP) {
            Codec::Gzip(Box::new(GzDecoder::new(raw)))
        } else if head.starts_with(XZ) {
            Codec::Xz { raw, stream: xz_stream() }
        } else if is_zstd(head) {
            Codec::Zstd { raw, decoder: Box::new(FrameDecoder::new()), in_frame: false }
        } else if head.starts_with(LZ4) {
            Codec::Lz4(Box::new(Lz4Decoder::new(raw)))
        } else {
            Codec::Uncompressed(raw)
        };
        DecompressingReader::with_codec(codec, block_len)
    }

    /// Recognizes anew what follows: another capture, which may be compressed or an event trace log where the one before was not.
    pub(super) fn begin_another(self, block_len: usize) -> DecompressingReader {
        let used_bytes = self.used_bytes;
        let is_in_stream = !self.window.bytes().is_empty();
        let mut next = match self.codec {
            Codec::Uncompressed(raw) => DecompressingReader::new(raw, block_len),
            // The log was read to its end.
            Codec::Etl(trace) => trace.into_source().begin_another(block_len),
            _ if is_in_stream && etl::is_trace(self.window.bytes()) => {
                DecompressingReader::with_codec(Codec::Etl(Box::new(Transcoder::new(self))), block_len)
            }
            _ if is_in_stream => self,
            Codec::Gzip(gzip) => DecompressingReader::new(gzip.into_inner(), block_len),
            Codec::Lz4(lz4) => DecompressingReader::new(lz4.into_inner(), block_len),
            Codec::Zstd { raw, .. } | Codec::Xz { raw, .. } => DecompressingReader::new(raw, block_len),
        };
        next.used_bytes = used_bytes;
        next
    }

    /// Whether another capture begins where this one has ended: after the log, or after the compressed stream.
    pub(super) fn is_followed(&mut self) -> bool {
        match &mut self.codec {
            Codec::Uncompressed(_) => false,
            Codec::Etl(trace) => trace.is_followed() || trace.source_mut().is_followed(),
            _ if self.error.is_some() => false,
            _ => {
                let raw = self.raw_mut();
                raw.fill(etl::PROBE_LEN);
                is_capture(raw.window().bytes())
            }
        }
    }

    /// A reader at its end, to put in place of one that is taken out.
    pub(super) fn closed() -> DecompressingReader {
        DecompressingReader::with_codec(Codec::Uncompressed(BlockReader::closed()), 0)
    }

    fn with_codec(codec: Codec, block_len: usize) -> DecompressingReader {
        let window = BlockWindow::new(block_len);
        DecompressingReader { codec, window, used_bytes: 0, is_at_end: false, error: None, trailing_bytes: 0 }
    }

    /// The compression's name.
    pub(super) fn compression(&self) -> Option<&'static str> {
        match &self.codec {
            Codec::Uncompressed(_) => None,
            Codec::Gzip(_) => Some("gzip"),
            Codec::Zstd { .. } => Some("zstd"),
            Codec::Xz { .. } => Some("xz"),
            Codec::Lz4(_) => Some("lz4"),
            Codec::Etl(trace) => trace.compression(),
        }
    }

    /// Whether the bytes of the capture are those of the file.
    pub(super) const fn is_uncompressed(&self) -> bool {
        matches!(self.codec, Codec::Uncompressed(_))
    }

    /// The event trace log that the input is.
    pub(super) const fn event_trace(&self) -> Option<&Transcoder> {
        match &self.codec {
            Codec::Etl(trace) => Some(trace),
            _ => None,
        }
    }

    /// The event trace log that the input is.
    pub(super) const fn event_trace_mut(&mut self) -> Option<&mut Transcoder> {
        match &mut self.codec {
            Codec::Etl(trace) => Some(trace),
            _ => None,
        }
    }

    /// The raw bytes.
    pub(super) fn raw(&self) -> &BlockReader {
        match &self.codec {
            Codec::Uncompressed(raw) | Codec::Zstd { raw, .. } | Codec::Xz { raw, .. } => raw,
            Codec::Gzip(gzip) => gzip.get_ref(),
            Codec::Lz4(lz4) => lz4.get_ref(),
            Codec::Etl(trace) => trace.source().raw(),
        }
    }

    fn raw_mut(&mut self) -> &mut BlockReader {
        match &mut self.codec {
            Codec::Uncompressed(raw) | Codec::Zstd { raw, .. } | Codec::Xz { raw, .. } => raw,
            Codec::Gzip(gzip) => gzip.get_mut(),
            Codec::Lz4(lz4) => lz4.get_mut(),
            Codec::Etl(trace) => trace.source_mut().raw_mut(),
        }
    }

    /// The unused bytes and their block.
    #[inline]
    pub(super) const fn window(&self) -> &BlockWindow {
        match &self.codec {
            Codec::Uncompressed(raw) => raw.window(),
            _ => &self.window,
        }
    }

    /// The offset of the first unused byte in the capture.
    pub(super) const fn position(&self) -> u64 {
        self.used_bytes
    }

    /// Goes on at `position`, if the capture is a file that is not compressed and was not read so far yet. True if it does.
    pub(super) fn seek(&mut self, position: u64) -> bool {
        let Codec::Uncompressed(raw) = &mut self.codec else { return false };
        let is_ahead = position > raw.read_bytes() && raw.seek(position);
        if is_ahead {
            self.used_bytes = position;
        }
        is_ahead
    }

    /// Marks bytes as used.
    pub(super) fn mark_used(&mut self, len: usize) {
        self.used_bytes += len as u64;
        match &mut self.codec {
            Codec::Uncompressed(raw) => raw.mark_used(len),
            _ => self.window.consume(len),
        }
    }

    /// True when the window has the last bytes of the capture.
    pub(super) const fn is_at_end(&self) -> bool {
        match &self.codec {
            Codec::Uncompressed(raw) => raw.is_at_end(),
            _ => self.is_at_end,
        }
    }

    /// Reads until `need` unused bytes are in one block; false if the capture ends before.
    pub(super) fn fill(&mut self, need: usize) -> bool {
        if let Codec::Uncompressed(raw) = &mut self.codec {
            return raw.fill(need);
        }
        if self.window.bytes().len() >= need {
            return true;
        }
        // Decoders return a little at a time. The block is filled, so that runs of frames stay long.
        while !self.is_at_end {
            let space = self.window.space(need);
            match self.codec.decode(space) {
                Ok(0) => self.is_at_end = true,
                Ok(len) => {
                    let is_full = len == space.len();
                    self.window.grow(len);
                    if is_full {
                        break;
                    }
                }
                Err(error) => {
                    self.is_at_end = true;
                    self.error = Some(error);
                }
            }
        }
        self.window.bytes().len() >= need || (!self.is_at_end && self.fill(need))
    }

    /// Like [`DecompressingReader::fill`], but reads nothing after these bytes where that costs nothing.
    pub(super) fn fill_exactly(&mut self, need: usize) -> bool {
        match &mut self.codec {
            Codec::Uncompressed(raw) => raw.fill_exactly(need),
            _ => self.fill(need),
        }
    }

    /// From now on, blocks have another length.
    pub(super) fn set_block_len(&mut self, block_len: usize) {
        match &mut self.codec {
            Codec::Uncompressed(raw) => raw.set_block_len(block_len),
            _ => self.window.set_block_len(block_len),
        }
    }

    /// Reads the raw bytes to their end, only for the hash; the number of capture bytes that are skipped.
    pub(super) fn drain(&mut self) -> u64 {
        let drained = self.raw_mut().drain();
        match &mut self.codec {
            Codec::Uncompressed(_) => self.used_bytes += drained,
            _ => {
                self.trailing_bytes += drained;
                let left = self.window.bytes().len();
                self.mark_used(left);
                return left as u64;
            }
        }
        drained
    }

    /// Ends the capture here: the rest of the raw bytes is read only for the hash.
    pub(super) fn end_here(&mut self) {
        let drained = self.raw_mut().drain();
        if self.is_uncompressed() {
            self.used_bytes += drained;
            return;
        }
        let left = self.window.bytes().len();
        self.mark_used(left);
        self.is_at_end = true;
    }

    /// Why decompression stopped before the end, if it did.
    pub(super) fn error(&self) -> Option<&str> {
        let of_source = || self.event_trace().and_then(|trace| trace.source().error());
        self.error.as_deref().or_else(of_source)
    }

    /// Raw bytes after the end of the compressed stream.
    pub(super) const fn trailing_bytes(&self) -> u64 {
        self.trailing_bytes
    }
}

/// Whether a compressed stream begins here: its magic number, and flags that are defined.
pub(super) fn is_stream(head: &[u8]) -> bool {
    match head {
        // RFC 1952 §2.3: flags, time, extra flags, operating system.
        [0x1f, 0x8b, 8, flags, _, _, _, _, extra, system, ..] => {
            flags & 0xe0 == 0 && matches!(extra, 0 | 2 | 4) && matches!(system, 0..=13 | 255)
        }
        // LZ4 frame format: version 01 in the flags.
        [0x04, 0x22, 0x4d, 0x18, flags, ..] => flags & 0xc0 == 0x40,
        _ => head.starts_with(XZ) || head.starts_with(ZSTD),
    }
}

/// Whether [`is_stream`] may be true with more bytes.
pub(super) fn may_be_stream(head: &[u8; 4]) -> bool {
    head.starts_with(GZIP) || [XZ, ZSTD, LZ4].iter().any(|magic| magic.starts_with(head))
}

fn is_zstd(head: &[u8]) -> bool {
    head.starts_with(ZSTD)
        || matches!(head, [first, rest @ ..] if first & 0xf0 == 0x50 && rest.starts_with(ZSTD_SKIPPABLE))
}

impl Codec {
    /// Decompresses into `space`; 0 is the end.
    fn decode(&mut self, space: &mut [u8]) -> Result<usize, String> {
        match self {
            Codec::Uncompressed(raw) => raw.read(space).map_err(|error| error.to_string()),
            Codec::Gzip(gzip) => gunzip(gzip, space),
            Codec::Zstd { raw, decoder, in_frame } => unzstd(raw, decoder, in_frame, space),
            Codec::Xz { raw, stream } => unxz(raw, stream, space),
            Codec::Lz4(lz4) => unlz4(lz4, space),
            Codec::Etl(trace) => trace.read(space),
        }
    }
}

fn gunzip(gzip: &mut Box<GzDecoder<BlockReader>>, space: &mut [u8]) -> Result<usize, String> {
    loop {
        match gzip.read(space) {
            Ok(0) => {}
            Ok(len) => return Ok(len),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                return Err("gzip stream truncated".to_owned());
            }
            Err(error) => return Err(format!("gzip stream damaged: {error}")),
        }
        // RFC 1952 §2.2: members follow each other. Other bytes after a member are not part of the stream.
        gzip.get_mut().fill(GZIP.len());
        if !gzip.get_ref().window().bytes().starts_with(GZIP) {
            return Ok(0);
        }
        let raw = std::mem::replace(gzip.get_mut(), BlockReader::closed());
        **gzip = GzDecoder::new(raw);
    }
}

fn unlz4(lz4: &mut Lz4Decoder<BlockReader>, space: &mut [u8]) -> Result<usize, String> {
    loop {
        match lz4.read(space) {
            Ok(0) => {}
            Ok(len) => return Ok(len),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                return Err("LZ4 stream truncated".to_owned());
            }
            Err(error) => return Err(format!("LZ4 stream damaged: {error}")),
        }
        // Frames follow each other; the decoder begins the next one by itself.
        let raw = lz4.get_mut();
        raw.fill(LZ4.len());
        if !raw.window().bytes().starts_with(LZ4) {
            return Ok(0);
        }
    }
}

fn unzstd(
    raw: &mut BlockReader,
    decoder: &mut FrameDecoder,
    in_frame: &mut bool,
    space: &mut [u8],
) -> Result<usize, String> {
    loop {
        if *in_frame {
            if decoder.can_collect() > 0 {
                return decoder.read(space).map_err(|error| error.to_string());
            }
            if decoder.is_finished() {
                *in_frame = false;
                let checksum = decoder.get_checksum_from_data();
                if checksum.is_some() && checksum != decoder.get_calculated_checksum() {
                    return Err("zstd stream damaged: wrong checksum".to_owned());
                }
                continue;
            }
            if let Err(error) = decoder.decode_blocks(&mut *raw, BlockDecodingStrategy::UptoBlocks(1)) {
                return Err(zstd_error(raw, &error));
            }
            continue;
        }
        raw.fill(ZSTD.len());
        if !is_zstd(raw.window().bytes()) {
            return Ok(0);
        }
        match decoder.reset(&mut *raw) {
            Ok(()) => *in_frame = true,
            Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame {
                length, ..
            })) => {
                skip(raw, length as usize)?;
            }
            Err(error) => return Err(zstd_error(raw, &error)),
        }
    }
}

fn zstd_error(raw: &mut BlockReader, error: &FrameDecoderError) -> String {
    if raw.fill(1) { format!("zstd stream damaged: {error}") } else { "zstd stream truncated".to_owned() }
}

fn skip(raw: &mut BlockReader, mut len: usize) -> Result<(), String> {
    while len > 0 {
        let part = raw.fill_buf().map_err(|error| error.to_string())?.len().min(len);
        if part == 0 {
            return Err("zstd stream truncated".to_owned());
        }
        raw.mark_used(part);
        len -= part;
    }
    Ok(())
}

/// Decodes one stream.
fn xz_stream() -> Box<XzStream> {
    Box::new(XzStream::new_mem_limit(false, XZ_MEMORY_KIB))
}

fn unxz(raw: &mut BlockReader, stream: &mut XzStream, space: &mut [u8]) -> Result<usize, String> {
    /// The xz file format, §2.2.
    const PADDING: &[u8] = &[0; 4];
    loop {
        raw.fill(1);
        let input = raw.window().bytes();
        let is_last = input.is_empty();
        let action = if is_last { Action::Finish } else { Action::Run };
        let result = match stream.process(input, space, action) {
            Ok(result) => result,
            Err(_) if is_last => return Err("xz stream truncated".to_owned()),
            Err(error) => return Err(format!("xz stream damaged: {error}")),
        };
        raw.mark_used(result.bytes_consumed);
        if result.bytes_produced > 0 {
            return Ok(result.bytes_produced);
        }
        if result.status == Status::StreamEnd {
            // Streams follow each other, perhaps after padding of zeros. Other bytes are no part of them.
            while raw.fill(PADDING.len()) && raw.window().bytes().starts_with(PADDING) {
                raw.mark_used(PADDING.len());
            }
            raw.fill(XZ.len());
            if !raw.window().bytes().starts_with(XZ) {
                return Ok(0);
            }
            *stream = *xz_stream();
            continue;
        }
        if is_last || (result.bytes_consumed == 0 && space.is_empty()) {
            return Err("xz stream truncated".to_owned());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::super::test_support::CaptureBuilder;
    use super::super::test_support::read;
    use super::super::test_support::read_in_pieces;
    use lz4_flex::frame::BlockSize;
    use lz4_flex::frame::FrameInfo;

    fn capture(frames: u32) -> Vec<u8> {
        let mut capture = CaptureBuilder::pcap(false, 0xa1b2_c3d4, 1);
        for frame in 1..=frames {
            let bytes: Vec<u8> = (0..frame % 900).map(|byte| (byte * frame) as u8).collect();
            capture.record(frame, 0, &bytes);
        }
        capture.bytes
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn zstd(bytes: &[u8]) -> Vec<u8> {
        ruzstd::encoding::compress_to_vec(bytes, ruzstd::encoding::CompressionLevel::Fastest)
    }

    fn lz4(bytes: &[u8]) -> Vec<u8> {
        let frame = FrameInfo::new().block_size(BlockSize::Max64KB);
        let mut encoder = lz4_flex::frame::FrameEncoder::with_frame_info(frame, Vec::new());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    /// The compressed capture has the frames of the plain one.
    fn check(compression: &str, bytes: &[u8], plain: &[u8]) {
        let (seen, facts) = read(bytes).unwrap();
        assert_eq!(facts.compression, Some(compression));
        assert_eq!((facts.raw_bytes, facts.decoded_bytes), (bytes.len() as u64, plain.len() as u64));
        assert_eq!(facts.damage, []);
        assert_eq!(seen, read(plain).unwrap().0);
        assert_eq!(seen, read_in_pieces(bytes, 211).unwrap().0);
    }

    #[test]
    fn any_compression_gives_the_same_frames() {
        let plain = capture(3000);
        check("gzip", &gzip(&plain), &plain);
        check("zstd", &zstd(&plain), &plain);
        check("lz4", &lz4(&plain), &plain);
        let (front, back) = plain.split_at(700_001);
        check("gzip", &[gzip(front), gzip(back)].concat(), &plain);
        check("lz4", &[lz4(front), lz4(back)].concat(), &plain);
        let skippable = [0x5a, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3];
        check("zstd", &[&skippable[..], &zstd(front), &skippable, &zstd(back)].concat(), &plain);
    }

    #[test]
    fn a_truncated_or_damaged_stream_keeps_the_frames_before() {
        let plain = capture(3000);
        for bytes in [gzip(&plain), zstd(&plain), lz4(&plain)] {
            let (seen, facts) = read(&bytes[..bytes.len() / 2]).unwrap();
            assert!(!seen.is_empty() && seen.len() < 3000);
            assert!(
                facts.damage[facts.damage.len() - 1].message.contains("stream truncated near frame"),
                "{:?}",
                facts.damage
            );
            let mut broken = bytes.clone();
            for byte in &mut broken[bytes.len() / 2..bytes.len() / 2 + 64] {
                *byte = !*byte;
            }
            let (_, facts) = read(&broken).unwrap();
            assert!(facts.damage_count > 0);
            assert_eq!(facts.raw_bytes, bytes.len() as u64, "the whole file is read for the hash");
        }
    }

    #[test]
    fn bytes_after_the_compressed_stream_are_noted() {
        let plain = capture(3);
        let (seen, facts) = read(&[gzip(&plain), vec![0; 9]].concat()).unwrap();
        assert_eq!((seen.len(), &*facts.notes[0]), (3, "9 bytes after the compressed stream"));
    }

    #[test]
    fn other_files_are_refused_with_a_reason() {
        let refused = |bytes: &[u8]| read(bytes).err().map(|error| error.to_string()).unwrap_or_default();
        assert_eq!(
            refused(&gzip(b"hello")),
            "cannot read capture: test: compressed text file, not a capture"
        );
        assert_eq!(refused(&gzip(b"")), "cannot read capture: test: empty after decompression");
        assert_eq!(
            refused(&gzip(&[0, 1, 2])),
            "cannot read capture: test: decompressed, but not a known capture format"
        );
        assert_eq!(refused(&gzip(b"hello")[..9]), "cannot read capture: test: gzip stream truncated");
        assert_eq!(refused(b""), "cannot read capture: test: empty");
        assert_eq!(refused(b"frame,time\n"), "cannot read capture: test: text file, not a capture");
        assert_eq!(refused(&[0, 1, 2]), "cannot read capture: test: not a known capture format");
    }
}

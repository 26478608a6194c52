//! Undoes compression, which is recognised by content and not by name.
//!
//! In:  raw bytes.
//! Out: the capture's bytes, through a window; plain files pass without a copy.
//! Not: what the capture is.

use std::io;
use std::io::BufRead;
use std::io::Read;

use flate2::bufread::GzDecoder;
use lzma_rust2::Action;
use lzma_rust2::Status;
use lzma_rust2::XzStream;
use ruzstd::decoding::BlockDecodingStrategy;
use ruzstd::decoding::FrameDecoder;
use ruzstd::decoding::errors::FrameDecoderError;
use ruzstd::decoding::errors::ReadFrameHeaderError;

use super::InputFacts;
use super::block::Feed;
use super::block::Window;
use super::etl;
use super::etl::Transcoder;

const GZIP: &[u8] = &[0x1f, 0x8b, 0x08];
const ZSTD: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];
/// A skippable frame, which pzstd and others write first: RFC 8878 §3.1.2, `0x184D2A5?` without its low half byte.
const ZSTD_SKIPPABLE: &[u8] = &[0x2a, 0x4d, 0x18];
const XZ: &[u8] = &[0xfd, b'7', b'z', b'X', b'Z', 0];

/// An xz file may ask for so much memory, in KiB; `xz -9` needs 65 MiB.
const XZ_MEMORY_KIB: u32 = 256 * 1024;

enum Decoder {
    Plain(Feed),
    Gzip(Box<GzDecoder<Feed>>),
    Zstd {
        feed: Feed,
        decoder: Box<FrameDecoder>,
        inside: bool,
    },
    Xz {
        feed: Feed,
        stream: Box<XzStream>,
    },
    /// An event trace log, read as the pcapng that is made of it.
    Etl(Box<Transcoder>),
}

/// The bytes of a capture, whatever they were wrapped in.
pub(super) struct Source {
    decoder: Decoder,
    /// Decoded bytes; not used for plain files, whose own window serves.
    window: Window,
    /// Decoded bytes before the window.
    used_bytes: u64,
    ended: bool,
    fault: Option<String>,
    trailing_bytes: u64,
}

impl Source {
    /// Looks at the first bytes of `feed`.
    pub(super) fn new(mut feed: Feed, block_len: usize) -> Source {
        feed.have(etl::WANTED);
        let head = feed.window().bytes();
        let decoder = if head.starts_with(GZIP) {
            Decoder::Gzip(Box::new(GzDecoder::new(feed)))
        } else if head.starts_with(XZ) {
            Decoder::Xz { feed, stream: Box::new(XzStream::new_mem_limit(true, XZ_MEMORY_KIB)) }
        } else if is_zstd(head) {
            Decoder::Zstd { feed, decoder: Box::new(FrameDecoder::new()), inside: false }
        } else if etl::is_trace(head) {
            Decoder::Etl(Box::new(Transcoder::new(feed)))
        } else {
            Decoder::Plain(feed)
        };
        let window = Window::new(block_len);
        Source { decoder, window, used_bytes: 0, ended: false, fault: None, trailing_bytes: 0 }
    }

    /// The compression's name.
    pub(super) fn compression(&self) -> Option<&'static str> {
        match &self.decoder {
            Decoder::Plain(_) => None,
            Decoder::Gzip(_) => Some("gzip"),
            Decoder::Zstd { .. } => Some("zstd"),
            Decoder::Xz { .. } => Some("xz"),
            Decoder::Etl(trace) => trace.compression(),
        }
    }

    /// The raw bytes beneath.
    pub(super) fn feed(&self) -> &Feed {
        match &self.decoder {
            Decoder::Plain(feed) | Decoder::Zstd { feed, .. } | Decoder::Xz { feed, .. } => feed,
            Decoder::Gzip(gzip) => gzip.get_ref(),
            Decoder::Etl(trace) => trace.feed(),
        }
    }

    fn feed_mut(&mut self) -> &mut Feed {
        match &mut self.decoder {
            Decoder::Plain(feed) | Decoder::Zstd { feed, .. } | Decoder::Xz { feed, .. } => feed,
            Decoder::Gzip(gzip) => gzip.get_mut(),
            Decoder::Etl(trace) => trace.feed_mut(),
        }
    }

    /// The unused bytes and their block.
    #[inline]
    pub(super) const fn window(&self) -> &Window {
        match &self.decoder {
            Decoder::Plain(feed) => feed.window(),
            _ => &self.window,
        }
    }

    /// Offset of the window's first byte in the capture.
    pub(super) const fn position(&self) -> u64 {
        self.used_bytes
    }

    /// Passes over used bytes.
    pub(super) fn consume(&mut self, len: usize) {
        self.used_bytes += len as u64;
        match &mut self.decoder {
            Decoder::Plain(feed) => feed.use_up(len),
            _ => self.window.consume(len),
        }
    }

    /// True when there are no bytes but those in the window.
    pub(super) const fn ended(&self) -> bool {
        match &self.decoder {
            Decoder::Plain(feed) => feed.ended(),
            _ => self.ended,
        }
    }

    /// Reads until `need` unused bytes lie in one block, or the capture ends: false.
    pub(super) fn have(&mut self, need: usize) -> bool {
        if let Decoder::Plain(feed) = &mut self.decoder {
            return feed.have(need);
        }
        if self.window.bytes().len() >= need {
            return true;
        }
        // Decoders give a little at a time: fill the block, so that runs of frames stay long.
        while !self.ended {
            let room = self.window.room(need);
            match self.decoder.decode(room) {
                Ok(0) => self.ended = true,
                Ok(len) => {
                    let full = len == room.len();
                    self.window.grow(len);
                    if full {
                        break;
                    }
                }
                Err(fault) => {
                    self.ended = true;
                    self.fault = Some(fault);
                }
            }
        }
        self.window.bytes().len() >= need || (!self.ended && self.have(need))
    }

    /// Reads the raw bytes to their end, for the hash; whatever follows is not decoded.
    pub(super) fn drain(&mut self) -> u64 {
        let drained = self.feed_mut().drain();
        match &mut self.decoder {
            Decoder::Plain(_) => self.used_bytes += drained,
            _ => {
                self.trailing_bytes += drained;
                let left = self.window.bytes().len();
                self.consume(left);
                return left as u64;
            }
        }
        drained
    }

    /// Why decoding stopped before the end, if it did.
    pub(super) fn fault(&self) -> Option<&str> {
        self.fault.as_deref()
    }

    /// Adds what an event trace log says of itself, once it is read.
    pub(super) fn add_facts(&self, facts: &mut InputFacts) {
        if let Decoder::Etl(trace) = &self.decoder {
            trace.add_facts(facts);
        }
    }

    /// Raw bytes behind the end of the compressed stream.
    pub(super) const fn trailing_bytes(&self) -> u64 {
        self.trailing_bytes
    }
}

fn is_zstd(head: &[u8]) -> bool {
    head.starts_with(ZSTD)
        || matches!(head, [first, rest @ ..] if first & 0xf0 == 0x50 && rest.starts_with(ZSTD_SKIPPABLE))
}

impl Decoder {
    /// Decodes into `room`; 0 is the end.
    fn decode(&mut self, room: &mut [u8]) -> Result<usize, String> {
        match self {
            Decoder::Plain(feed) => feed.read(room).map_err(|error| error.to_string()),
            Decoder::Gzip(gzip) => gunzip(gzip, room),
            Decoder::Zstd { feed, decoder, inside } => unzstd(feed, decoder, inside, room),
            Decoder::Xz { feed, stream } => unxz(feed, stream, room),
            Decoder::Etl(trace) => trace.read(room),
        }
    }
}

fn gunzip(gzip: &mut Box<GzDecoder<Feed>>, room: &mut [u8]) -> Result<usize, String> {
    loop {
        match gzip.read(room) {
            Ok(0) => {}
            Ok(len) => return Ok(len),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                return Err("gzip stream cut".to_owned());
            }
            Err(error) => return Err(format!("gzip stream damaged: {error}")),
        }
        // RFC 1952 §2.2: members follow each other; anything else behind a member is not ours.
        gzip.get_mut().have(GZIP.len());
        if !gzip.get_ref().window().bytes().starts_with(GZIP) {
            return Ok(0);
        }
        let feed = std::mem::replace(gzip.get_mut(), Feed::closed());
        **gzip = GzDecoder::new(feed);
    }
}

fn unzstd(
    feed: &mut Feed,
    decoder: &mut FrameDecoder,
    inside: &mut bool,
    room: &mut [u8],
) -> Result<usize, String> {
    loop {
        if *inside {
            if decoder.can_collect() > 0 {
                return decoder.read(room).map_err(|error| error.to_string());
            }
            if decoder.is_finished() {
                *inside = false;
                let told = decoder.get_checksum_from_data();
                if told.is_some() && told != decoder.get_calculated_checksum() {
                    return Err("zstd stream damaged: checksum differs".to_owned());
                }
                continue;
            }
            if let Err(error) = decoder.decode_blocks(&mut *feed, BlockDecodingStrategy::UptoBlocks(1)) {
                return Err(zstd_fault(feed, &error));
            }
            continue;
        }
        feed.have(ZSTD.len());
        if !is_zstd(feed.window().bytes()) {
            return Ok(0);
        }
        match decoder.reset(&mut *feed) {
            Ok(()) => *inside = true,
            Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame {
                length, ..
            })) => {
                skip(feed, length as usize)?;
            }
            Err(error) => return Err(zstd_fault(feed, &error)),
        }
    }
}

fn zstd_fault(feed: &mut Feed, error: &FrameDecoderError) -> String {
    if feed.have(1) { format!("zstd stream damaged: {error}") } else { "zstd stream cut".to_owned() }
}

fn skip(feed: &mut Feed, mut len: usize) -> Result<(), String> {
    while len > 0 {
        let part = feed.fill_buf().map_err(|error| error.to_string())?.len().min(len);
        if part == 0 {
            return Err("zstd stream cut".to_owned());
        }
        feed.use_up(part);
        len -= part;
    }
    Ok(())
}

fn unxz(feed: &mut Feed, stream: &mut XzStream, room: &mut [u8]) -> Result<usize, String> {
    loop {
        feed.have(1);
        let input = feed.window().bytes();
        let starved = input.is_empty();
        let action = if starved { Action::Finish } else { Action::Run };
        let result = match stream.process(input, room, action) {
            Ok(result) => result,
            Err(_) if starved => return Err("xz stream cut".to_owned()),
            Err(error) => return Err(format!("xz stream damaged: {error}")),
        };
        feed.use_up(result.bytes_consumed);
        if result.bytes_produced > 0 {
            return Ok(result.bytes_produced);
        }
        if result.status == Status::StreamEnd {
            return Ok(0);
        }
        if starved || (result.bytes_consumed == 0 && room.is_empty()) {
            return Err("xz stream cut".to_owned());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::super::test_support::Craft;
    use super::super::test_support::read;
    use super::super::test_support::read_dripping;

    fn capture(frames: u32) -> Vec<u8> {
        let mut craft = Craft::pcap(false, 0xa1b2_c3d4, 1);
        for frame in 1..=frames {
            let bytes: Vec<u8> = (0..frame % 900).map(|byte| (byte * frame) as u8).collect();
            craft.record(frame, 0, &bytes);
        }
        craft.bytes
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn zstd(bytes: &[u8]) -> Vec<u8> {
        ruzstd::encoding::compress_to_vec(bytes, ruzstd::encoding::CompressionLevel::Fastest)
    }

    /// The compressed capture has the frames of the plain one.
    fn check(compression: &str, bytes: &[u8], plain: &[u8]) {
        let (seen, facts) = read(bytes).unwrap();
        assert_eq!(facts.compression, Some(compression));
        assert_eq!((facts.raw_bytes, facts.decoded_bytes), (bytes.len() as u64, plain.len() as u64));
        assert_eq!(facts.damage, []);
        assert_eq!(seen, read(plain).unwrap().0);
        assert_eq!(seen, read_dripping(bytes, 211).unwrap().0);
    }

    #[test]
    fn the_same_frames_from_any_wrapping() {
        let plain = capture(3000);
        check("gzip", &gzip(&plain), &plain);
        check("zstd", &zstd(&plain), &plain);
        let (front, back) = plain.split_at(700_001);
        check("gzip", &[gzip(front), gzip(back)].concat(), &plain);
        let skippable = [0x5a, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3];
        check("zstd", &[&skippable[..], &zstd(front), &skippable, &zstd(back)].concat(), &plain);
    }

    #[test]
    fn a_cut_or_damaged_wrapping_keeps_what_came_before() {
        let plain = capture(3000);
        for bytes in [gzip(&plain), zstd(&plain)] {
            let (seen, facts) = read(&bytes[..bytes.len() / 2]).unwrap();
            assert!(!seen.is_empty() && seen.len() < 3000);
            assert!(
                facts.damage[facts.damage.len() - 1].what.contains("stream cut near frame"),
                "{:?}",
                facts.damage
            );
            let mut broken = bytes.clone();
            for byte in &mut broken[bytes.len() / 2..bytes.len() / 2 + 64] {
                *byte = !*byte;
            }
            let (_, facts) = read(&broken).unwrap();
            assert!(facts.damage_count > 0);
            assert_eq!(facts.raw_bytes, bytes.len() as u64, "all of it is read, for the hash");
        }
    }

    #[test]
    fn bytes_behind_the_wrapping_are_noted() {
        let plain = capture(3);
        let (seen, facts) = read(&[gzip(&plain), vec![0; 9]].concat()).unwrap();
        assert_eq!((seen.len(), &*facts.notes[0]), (3, "9 bytes behind the compressed stream"));
    }

    #[test]
    fn a_wrapping_without_a_capture_is_refused() {
        let refused = |bytes: &[u8]| read(bytes).err().map(|error| error.to_string()).unwrap_or_default();
        assert_eq!(
            refused(&gzip(b"hello")),
            "cannot read capture: test: a text, no capture inside its compression"
        );
        assert_eq!(refused(&gzip(b"")), "cannot read capture: test: empty inside its compression");
        assert_eq!(refused(&gzip(b"hello")[..9]), "cannot read capture: test: gzip stream cut");
        assert_eq!(refused(b""), "cannot read capture: test: empty");
        assert_eq!(refused(b"frame,time\n"), "cannot read capture: test: a text, no capture");
        assert_eq!(refused(&[0, 1, 2]), "cannot read capture: test: no capture format that is known");
    }
}

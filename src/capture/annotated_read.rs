//! Reads the frames and comments of a file that [`AnnotatedPcapng`](super::AnnotatedPcapng) wrote.
//!
//! In:  the bytes of a pcapng file.
//! Out: its interfaces, and its frames with their comments.
//! Not: files of other programs: there, the reader of captures knows more and has no comments.

use super::LinkType;
use super::pcapng_blocks::BYTE_ORDER_MAGIC;
use super::pcapng_blocks::ENHANCED_PACKET;
use super::pcapng_blocks::INTERFACE_DESCRIPTION;
use super::pcapng_blocks::SECTION_HEADER;
use super::pcapng_blocks::for_each_option;
use super::pcapng_write::COMMENT;
use super::pcapng_write::IF_NAME;
use crate::base::Time;

/// An interface as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnnotatedInterface {
    /// The link type of its frames.
    pub link: LinkType,
    /// Most bytes kept of a frame; 0: no limit.
    pub snap_len: u32,
    /// Its name.
    pub name: String,
}

/// A frame as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnnotatedFrame {
    /// The index of its interface.
    pub interface: u32,
    /// Its time.
    pub time: Time,
    /// Its length on the wire.
    pub wire_len: u32,
    /// Its bytes, as far as they were kept.
    pub bytes: Vec<u8>,
    /// Its comments, in order.
    pub comments: Vec<String>,
}

/// Interfaces and frames of a file; none if it is not as this program writes such files.
pub fn read_annotated(bytes: &[u8]) -> Option<(Vec<AnnotatedInterface>, Vec<AnnotatedFrame>)> {
    let (mut interfaces, mut frames) = (Vec::new(), Vec::new());
    let mut rest = bytes;
    let mut is_first = true;
    while !rest.is_empty() {
        let (kind, body, after) = split_block(rest)?;
        match (kind, is_first) {
            (SECTION_HEADER, true) => {
                let (magic, _) = split_u32(body)?;
                (magic == BYTE_ORDER_MAGIC).then_some(())?;
            }
            (SECTION_HEADER, false) | (_, true) => return None,
            (INTERFACE_DESCRIPTION, _) => interfaces.push(interface(body)?),
            (ENHANCED_PACKET, _) => frames.push(frame(body)?),
            _ => {}
        }
        is_first = false;
        rest = after;
    }
    Some((interfaces, frames))
}

fn split_u32(bytes: &[u8]) -> Option<(u32, &[u8])> {
    let (word, rest) = bytes.split_first_chunk::<4>()?;
    Some((u32::from_le_bytes(*word), rest))
}

/// Type and body of the first block, and what follows it (draft-ietf-opsawg-pcapng §3.1).
fn split_block(bytes: &[u8]) -> Option<(u32, &[u8], &[u8])> {
    let (kind, rest) = split_u32(bytes)?;
    let (len, _) = split_u32(rest)?;
    let (block, after) = bytes.split_at_checked(len as usize)?;
    let body = block.get(8..block.len().checked_sub(4)?)?;
    Some((kind, body, after))
}

fn texts(options: &[u8], wanted: u16) -> Vec<String> {
    let mut found = Vec::new();
    for_each_option::<false>(options, |code, value| {
        if code == wanted {
            found.push(String::from_utf8_lossy(value).into_owned());
        }
    });
    found
}

fn interface(body: &[u8]) -> Option<AnnotatedInterface> {
    let (link, rest) = body.split_first_chunk::<2>()?;
    let (snap_len, options) = split_u32(rest.get(2..)?)?;
    let name = texts(options, IF_NAME).into_iter().next().unwrap_or_default();
    Some(AnnotatedInterface { link: LinkType(u16::from_le_bytes(*link)), snap_len, name })
}

fn frame(body: &[u8]) -> Option<AnnotatedFrame> {
    let (interface, rest) = split_u32(body)?;
    let (high, rest) = split_u32(rest)?;
    let (low, rest) = split_u32(rest)?;
    let (len, rest) = split_u32(rest)?;
    let (wire_len, rest) = split_u32(rest)?;
    let bytes = rest.get(..len as usize)?.to_vec();
    let options = rest.get((len as usize).next_multiple_of(4)..)?;
    let nanos = u64::from(high) << 32 | u64::from(low);
    let time = Time(i64::try_from(nanos).ok()?);
    Some(AnnotatedFrame { interface, time, wire_len, bytes, comments: texts(options, COMMENT) })
}

#[cfg(test)]
mod tests {
    use super::super::AnnotatedPcapng;
    use super::super::Frame;
    use super::*;
    use crate::base::FrameRef;

    #[test]
    fn what_was_written_is_read_and_nothing_else() {
        let mut file = AnnotatedPcapng::new();
        let number = file.interface(LinkType(1), 96, "\\Device\\NPF of a.pcap");
        file.names([("20.60.0.4".parse().unwrap(), "a.example")]);
        let time = Time::from_parts(1_784_542_272, 123_456_789);
        let bytes = [7; 61];
        let frame =
            Frame { frame_ref: FrameRef::default(), time, link: LinkType(1), wire_len: 1500, bytes: &bytes };
        file.frame(number, &frame, usize::MAX, ["AFS202 no reply", "frame 3 of a.pcap"]);
        let written = file.into_bytes();
        let (interfaces, frames) = read_annotated(&written).unwrap();
        let name = "\\Device\\NPF of a.pcap".to_owned();
        assert_eq!(interfaces, [AnnotatedInterface { link: LinkType(1), snap_len: 96, name }]);
        let comments = vec!["AFS202 no reply".to_owned(), "frame 3 of a.pcap".to_owned()];
        let expected = AnnotatedFrame { interface: 0, time, wire_len: 1500, bytes: vec![7; 61], comments };
        assert_eq!(frames, [expected]);
        assert_eq!(read_annotated(b"no pcapng, but long enough"), None);
        for len in 1..written.len() {
            // A file that ends after a whole block is a shorter file.
            let cut = read_annotated(&written[..len]);
            assert!(cut.is_none_or(|(_, frames)| frames.is_empty()), "cut after {len} bytes");
        }
    }
}

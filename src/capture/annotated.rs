//! Writes selected frames as pcapng with comments.
//!
//! In:  interfaces, names of addresses, frames with comments.
//! Out: the bytes of a pcapng file, little-endian.
//! Not: which frames, and files.

use std::io;
use std::io::Write;
use std::net::IpAddr;

use super::Frame;
use super::LinkType;
use super::pcapng_blocks::ENHANCED_PACKET;
use super::pcapng_blocks::INTERFACE_DESCRIPTION;
use super::pcapng_blocks::NAME_RESOLUTION;
use super::pcapng_write::COMMENT;
use super::pcapng_write::IF_NAME;
use super::pcapng_write::IF_TSRESOL;
use super::pcapng_write::NANOSECONDS;
use super::pcapng_write::pad;
use super::pcapng_write::push_block;
use super::pcapng_write::push_end_of_options;
use super::pcapng_write::push_option;
use super::pcapng_write::push_own_name;
use super::pcapng_write::push_section;

// draft-ietf-opsawg-pcapng §4.5: records of a name resolution block.
const NRB_IPV4: u16 = 1;
const NRB_IPV6: u16 = 2;

/// A pcapng file, in memory until it is written.
#[derive(Debug)]
pub struct AnnotatedPcapng {
    bytes: Vec<u8>,
    interfaces: u32,
}

impl AnnotatedPcapng {
    /// A section without frames.
    pub fn new() -> AnnotatedPcapng {
        let mut file = AnnotatedPcapng { bytes: Vec::new(), interfaces: 0 };
        push_section(&mut file.bytes, push_own_name);
        file
    }

    /// Adds an interface. Returns its number.
    pub fn interface(&mut self, link: LinkType, snap_len: u32, name: &str) -> u32 {
        push_block(&mut self.bytes, INTERFACE_DESCRIPTION, |out| {
            out.extend(link.0.to_le_bytes());
            out.extend([0, 0]);
            out.extend(snap_len.to_le_bytes());
            if !name.is_empty() {
                push_option(out, IF_NAME, name.as_bytes());
            }
            push_option(out, IF_TSRESOL, &[NANOSECONDS]);
            push_end_of_options(out);
        });
        self.interfaces += 1;
        self.interfaces - 1
    }

    /// Adds the names of addresses.
    pub fn names<'a>(&mut self, names: impl IntoIterator<Item = (IpAddr, &'a str)>) {
        let mut names = names.into_iter().peekable();
        if names.peek().is_none() {
            return;
        }
        push_block(&mut self.bytes, NAME_RESOLUTION, |out| {
            for (address, name) in names {
                let (kind, mut value) = match address {
                    IpAddr::V4(v4) => (NRB_IPV4, v4.octets().to_vec()),
                    IpAddr::V6(v6) => (NRB_IPV6, v6.octets().to_vec()),
                };
                value.extend(name.bytes().filter(|byte| *byte != 0));
                value.push(0);
                push_option(out, kind, &value);
            }
            push_end_of_options(out);
        });
    }

    /// Adds a frame, at most `snap_len` bytes of it.
    pub fn frame<'a>(
        &mut self,
        interface: u32,
        frame: &Frame<'_>,
        snap_len: usize,
        comments: impl IntoIterator<Item = &'a str>,
    ) {
        push_block(&mut self.bytes, ENHANCED_PACKET, |out| {
            let bytes = frame.bytes.get(..snap_len).unwrap_or(frame.bytes);
            // Times before 1970 have no representation.
            let time = u64::try_from(frame.time.0).unwrap_or_default();
            // A length on the wire below the captured length is damage of the input, and an error in Wireshark.
            let wire_len = frame.wire_len.max(bytes.len() as u32);
            for word in [interface, (time >> 32) as u32, time as u32, bytes.len() as u32, wire_len] {
                out.extend(word.to_le_bytes());
            }
            out.extend(bytes);
            pad(out);
            for comment in comments {
                push_option(out, COMMENT, comment.as_bytes());
            }
            push_end_of_options(out);
        });
    }

    /// Writes what was added since the last call.
    pub fn write_to(&mut self, out: &mut dyn Write) -> io::Result<()> {
        out.write_all(&self.bytes)?;
        self.bytes.clear();
        Ok(())
    }

    /// Bytes since the last call of [`AnnotatedPcapng::write_to`].
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// True without such a byte.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// These bytes: the whole file if nothing was written.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}

impl Default for AnnotatedPcapng {
    fn default() -> AnnotatedPcapng {
        AnnotatedPcapng::new()
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;
    use crate::base::FileId;
    use crate::base::FrameRef;
    use crate::base::Time;
    use crate::capture::Capture;
    use crate::capture::Chunk;
    use crate::capture::InputHash;

    #[test]
    fn written_frames_are_read_again() {
        let mut file = AnnotatedPcapng::new();
        let ethernet = file.interface(LinkType(1), 0, "eth0");
        let raw = file.interface(LinkType(101), 96, "");
        file.names([(IpAddr::V4(Ipv4Addr::new(20, 60, 0, 4)), "a.example")]);
        let frame = |number, link, bytes| Frame {
            frame_ref: FrameRef { file: FileId(0), number },
            time: Time::from_parts(1_784_542_272, 123_456_789),
            link: LinkType(link),
            wire_len: 1500,
            bytes,
        };
        file.frame(ethernet, &frame(1, 1, &[7; 61]), usize::MAX, ["AFS202 no reply", "frame 3 of a.pcap"]);
        file.frame(raw, &frame(2, 101, &[8; 100]), 96, []);
        let bytes = file.into_bytes();
        let mut capture =
            Capture::from_reader("test", Box::new(std::io::Cursor::new(bytes)), InputHash::None).unwrap();
        let mut chunk = Chunk::default();
        let mut found = Vec::new();
        while capture.next(&mut chunk) {
            found.extend(
                chunk.frames().map(|frame| (frame.link.0, frame.wire_len, frame.bytes.to_vec(), frame.time)),
            );
        }
        let time = Time::from_parts(1_784_542_272, 123_456_789);
        assert_eq!(found, [(1, 1500, vec![7; 61], time), (101, 1500, vec![8; 96], time)]);
        assert!(capture.finish()[0].damage.is_empty());
    }
}

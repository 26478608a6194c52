//! The frames that capture delivers.
//!
//! In:  blocks of bytes and the record headers in them.
//! Out: [`Chunk`]s, and [`Frame`]s borrowed from them; the heartbeats of live capture.
//! Not: what is inside a frame.

use std::sync::Arc;

use super::InputFacts;
use crate::base::FileId;
use crate::base::FrameRef;
use crate::base::HostReport;
use crate::base::Time;

/// A link-layer header type, by its number in the tcpdump.org registry (`LINKTYPE_…`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkType(pub u16);

/// A frame in a [`Chunk`], with the fields of its record header.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FrameHeader {
    /// When it was captured.
    pub time: Time,
    /// Its number in its file, from 1.
    pub number: u64,
    /// The offset of its bytes in the chunk.
    pub offset: u32,
    /// Number of captured bytes.
    pub captured_len: u32,
    /// Its length on the wire; less than `captured_len` only in malformed files.
    pub wire_len: u32,
    /// Its link type.
    pub link: LinkType,
    /// The index of its interface in its file (pcap: 0).
    pub interface: u16,
}

/// A run of frames of one file, in file order, that share a block of bytes.
///
/// The block is shared and never copied: a stage that needs a frame for longer clones the `Arc`.
#[derive(Clone, Debug, Default)]
pub struct Chunk {
    /// The file of the frames.
    pub file: FileId,
    /// The block, which also has bytes that belong to no frame.
    pub bytes: Arc<Vec<u8>>,
    /// The frames in it.
    pub frames: Vec<FrameHeader>,
    /// What the host reports of frames, by number, in file order. Only event traces have any.
    pub host_reports: Vec<(u64, HostReport)>,
}

/// What a live capture delivers with a chunk.
#[derive(Debug)]
pub enum LiveEvent {
    /// Frames only.
    Frames,
    /// Frames, if there are any, and then a heartbeat.
    Heartbeat(Heartbeat),
    /// No frames, and there will be no more.
    End,
}

/// The clock of a live capture, about once a second whether frames arrive or not.
#[derive(Debug)]
pub struct Heartbeat {
    /// Every frame up to this time has been delivered or was lost.
    pub time: Time,
    /// Frames lost since the last heartbeat: dropped by the kernel, the interface or this program.
    pub lost: u64,
    /// The inputs of an interval that ends here: the evidence is rotated.
    pub ended_interval: Option<Vec<InputFacts>>,
}

/// A captured record, borrowed from its chunk.
#[derive(Clone, Copy, Debug)]
pub struct Frame<'a> {
    /// Its file and number.
    pub frame_ref: FrameRef,
    /// When it was captured.
    pub time: Time,
    /// Its link type.
    pub link: LinkType,
    /// Its length on the wire.
    pub wire_len: u32,
    /// The captured bytes.
    pub bytes: &'a [u8],
}

impl Chunk {
    /// The frames with their bytes.
    pub fn frames(&self) -> impl Iterator<Item = Frame<'_>> {
        self.frames.iter().map(|header| self.frame(header))
    }

    /// What the host reports of a frame.
    pub fn host_report(&self, header: &FrameHeader) -> Option<&HostReport> {
        let index = self.host_reports.binary_search_by_key(&header.number, |(number, _)| *number).ok()?;
        self.host_reports.get(index).map(|(_, report)| report)
    }

    /// One frame with its bytes.
    #[inline]
    pub fn frame(&self, header: &FrameHeader) -> Frame<'_> {
        let start = header.offset as usize;
        let end = start.saturating_add(header.captured_len as usize);
        Frame {
            frame_ref: FrameRef { file: self.file, number: header.number },
            time: header.time,
            link: header.link,
            wire_len: header.wire_len,
            bytes: self.bytes.get(start..end).unwrap_or_default(),
        }
    }
}

//! Reads names at the end of an event trace log before the log itself is read.
//!
//! In:  a file.
//! Out: names of components and processes that its last buffers have.
//! Not: packets; streams and compressed files, which are read once.
//!
//! Packet Monitor names its components when the session ends, after all packets.

use std::collections::HashMap;
use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::io::Read as _;
use std::io::Seek as _;
use std::io::SeekFrom;
use std::path::Path;
use std::sync::Arc;

use super::PROBE_LEN;
use super::container::BUFFER_HEADER_LEN;
use super::container::BufferHeader;
use super::container::Record;
use super::container::Records;
use super::is_trace;
use super::lzxpress;
use super::packets::PacketEvents;

/// Buffers read at the end.
const BUFFERS: usize = 64;

/// Headers read to find them: buffers of relogged files differ in length.
const HEADERS_LIMIT: usize = 1 << 16;

/// Bytes of records read in them.
const RECORDS_LIMIT: usize = 64 << 20;

/// Names by number.
#[derive(Debug, Default)]
pub(in crate::capture) struct TrailingNames {
    pub(super) components: Vec<(u32, Arc<str>)>,
    pub(super) processes: HashMap<u32, Arc<str>>,
}

impl TrailingNames {
    /// Reads them; none where the file is no log, or cannot be read.
    pub(in crate::capture) fn read(path: &Path) -> TrailingNames {
        last_buffers(path).map(PacketEvents::into_names).unwrap_or_default()
    }
}

fn last_buffers(path: &Path) -> io::Result<PacketEvents> {
    let mut file = File::open(path)?;
    let mut events = PacketEvents::default();
    let mut head = [0; PROBE_LEN];
    file.read_exact(&mut head)?;
    if !is_trace(&head) {
        return Ok(events);
    }
    let mut body = Vec::new();
    let mut decompressed = Vec::new();
    let mut records_left = RECORDS_LIMIT;
    for (at, header) in find_buffers(&mut file)? {
        body.resize(header.size - BUFFER_HEADER_LEN, 0);
        file.seek(SeekFrom::Start(at + BUFFER_HEADER_LEN as u64))?;
        file.read_exact(&mut body)?;
        let filled = header.filled - BUFFER_HEADER_LEN;
        records_left = match records_left.checked_sub(filled) {
            Some(left) => left,
            None => break,
        };
        let records = if header.compressed {
            decompressed.resize(filled, 0);
            let (len, result) = lzxpress::decompress(&body, &mut decompressed);
            if result.is_err() {
                continue;
            }
            decompressed.get(..len).unwrap_or_default()
        } else {
            body.get(..filled).unwrap_or(&body)
        };
        for record in Records::new(records) {
            if let Record::Event(event) = record {
                events.accept_name(&event);
            }
        }
    }
    Ok(events)
}

/// The last buffers, in the order of the file.
fn find_buffers(file: &mut File) -> io::Result<VecDeque<(u64, BufferHeader)>> {
    let len = file.seek(SeekFrom::End(0))?;
    let mut found = VecDeque::new();
    let mut at = 0;
    for _ in 0..HEADERS_LIMIT {
        let mut bytes = [0; BUFFER_HEADER_LEN];
        file.seek(SeekFrom::Start(at))?;
        if file.read_exact(&mut bytes).is_err() {
            break;
        }
        let Ok(Some(header)) = BufferHeader::parse(&bytes) else { break };
        let size = header.size as u64;
        if found.len() >= BUFFERS {
            found.pop_front();
        }
        found.push_back((at, header));
        at += size;
        // Buffers of a log that was not relogged have one length: the last ones can be found at once.
        let is_relogged = header.compressed || !len.is_multiple_of(size);
        if found.len() == 2 && !is_relogged {
            let last = BUFFERS as u64 * size;
            at = at.max(len.saturating_sub(last));
        }
    }
    Ok(found)
}

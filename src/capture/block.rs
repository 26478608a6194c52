//! Reads raw bytes into large blocks that are shared and reused.
//!
//! In:  a file or stream.
//! Out: a window of bytes in a block. The hasher gets the same block, without a copy.
//! Not: whether the bytes are compressed, or where frames start.

use std::fs::File;
use std::io;
use std::io::BufRead;
use std::io::Read;
use std::io::Seek;
use std::io::SeekFrom;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;

use super::hash::HashTee;

/// Blocks kept for reuse. Others are freed. An event trace log has 64 in use, or more on many processors.
const KEPT_BLOCKS: usize = 80;

/// Blocks of one size, reused once they are no longer shared.
pub(super) struct BlockPool {
    block_len: usize,
    kept: Vec<Arc<Vec<u8>>>,
}

impl BlockPool {
    /// An empty pool of blocks of `block_len` bytes.
    pub(super) const fn new(block_len: usize) -> BlockPool {
        BlockPool { block_len, kept: Vec::new() }
    }

    /// The length of its blocks.
    pub(super) const fn block_len(&self) -> usize {
        self.block_len
    }

    /// A block that is not shared, of `block_len` bytes, or of `min_len` if that is more.
    pub(super) fn take(&mut self, min_len: usize) -> Arc<Vec<u8>> {
        if min_len <= self.block_len {
            // The first free block, so that few blocks are in use and stay in the processor's cache.
            if let Some(free) = self.kept.iter_mut().position(|block| Arc::get_mut(block).is_some()) {
                return self.kept.swap_remove(free);
            }
        }
        Arc::new(vec![0; min_len.max(self.block_len)])
    }

    /// Takes a block back. It may still be shared.
    pub(super) fn put(&mut self, block: Arc<Vec<u8>>) {
        if self.kept.len() < KEPT_BLOCKS && block.len() == self.block_len {
            self.kept.push(block);
        }
    }
}

/// The unused bytes of a block.
pub(super) struct BlockWindow {
    pool: BlockPool,
    block: Arc<Vec<u8>>,
    start: usize,
    end: usize,
}

impl BlockWindow {
    /// A window without a block.
    pub(super) fn new(block_len: usize) -> BlockWindow {
        BlockWindow { pool: BlockPool::new(block_len), block: Arc::default(), start: 0, end: 0 }
    }

    /// From now on, blocks have another length.
    pub(super) fn set_block_len(&mut self, block_len: usize) {
        self.pool = BlockPool::new(block_len);
    }

    /// The block, to be shared.
    pub(super) fn block(&self) -> &Arc<Vec<u8>> {
        &self.block
    }

    /// The offset of the unused bytes in the block.
    pub(super) const fn start(&self) -> usize {
        self.start
    }

    /// The unused bytes.
    #[inline]
    pub(super) fn bytes(&self) -> &[u8] {
        self.block.get(self.start..self.end).unwrap_or_default()
    }

    /// Marks bytes as used.
    #[inline]
    pub(super) fn consume(&mut self, len: usize) {
        self.start = self.start.saturating_add(len).min(self.end);
    }

    /// Free space after the unused bytes, so that at least `need` bytes fit together.
    ///
    /// If the block is shared or too small, the unused bytes are copied to the start of another.
    pub(super) fn space(&mut self, need: usize) -> &mut [u8] {
        let left = self.end - self.start;
        let enough = self.block.len() >= need.max(left + 1);
        if let Some(block) = Arc::get_mut(&mut self.block).filter(|_| enough) {
            // Not shared: the block is reused, and stays in the processor's cache.
            if self.start > 0 {
                block.copy_within(self.start..self.end, 0);
            }
        } else {
            let mut next = self.pool.take(need.max(left + 1));
            if let (Some(to), Some(from)) = (
                Arc::get_mut(&mut next).and_then(|next| next.get_mut(..left)),
                self.block.get(self.start..self.end),
            ) {
                to.copy_from_slice(from);
            }
            self.pool.put(std::mem::replace(&mut self.block, next));
        }
        self.start = 0;
        self.end = left;
        let end = self.end;
        Arc::get_mut(&mut self.block).and_then(|block| block.get_mut(end..)).unwrap_or_default()
    }

    /// Adds `len` bytes that were written into [`BlockWindow::space`].
    pub(super) fn grow(&mut self, len: usize) {
        self.end = self.end.saturating_add(len).min(self.block.len());
    }
}

/// The source of raw bytes.
pub(super) enum RawSource {
    /// A file that stays open.
    File(File),
    /// A file that is opened for each block, because too many files are open.
    Path(PathBuf),
    /// A pipe, a device or memory; read once.
    Stream(Box<dyn Read + Send>),
    /// The end was reached.
    Closed,
}

/// Reads the raw bytes of one input, counts them and passes them to the hasher.
pub(super) struct RawReader {
    source: RawSource,
    hash_tee: Option<HashTee>,
    meter: Arc<AtomicU64>,
    read_bytes: u64,
    error: Option<io::Error>,
}

impl RawReader {
    /// Reads `source` from its start.
    pub(super) fn new(source: RawSource, hash_tee: Option<HashTee>, meter: Arc<AtomicU64>) -> RawReader {
        RawReader { source, hash_tee, meter, read_bytes: 0, error: None }
    }

    fn read(&mut self, space: &mut [u8]) -> usize {
        let got = loop {
            let got = match &mut self.source {
                RawSource::File(file) => file.read(space),
                RawSource::Stream(stream) => stream.read(space),
                RawSource::Path(path) => File::open(path).and_then(|mut file| {
                    file.seek(SeekFrom::Start(self.read_bytes))?;
                    file.read(space)
                }),
                RawSource::Closed => Ok(0),
            };
            match got {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => break other,
            }
        };
        match got {
            // A stream may return a length that does not fit.
            Ok(len) if len > 0 => len.min(space.len()),
            Ok(_) => {
                self.source = RawSource::Closed;
                0
            }
            Err(error) => {
                self.source = RawSource::Closed;
                self.error = Some(error);
                0
            }
        }
    }
}

/// The raw bytes of one input, through a window.
pub(super) struct BlockReader {
    raw: RawReader,
    window: BlockWindow,
}

impl BlockReader {
    /// Reads `raw` in blocks of `block_len`.
    pub(super) fn new(raw: RawReader, block_len: usize) -> BlockReader {
        BlockReader { raw, window: BlockWindow::new(block_len) }
    }

    /// A reader at its end, to put in place of one that is taken out.
    pub(super) fn closed() -> BlockReader {
        BlockReader::new(RawReader::new(RawSource::Closed, None, Arc::default()), 0)
    }

    /// The unused bytes.
    pub(super) const fn window(&self) -> &BlockWindow {
        &self.window
    }

    /// Marks bytes as used.
    pub(super) fn mark_used(&mut self, len: usize) {
        self.window.consume(len);
    }

    /// Reads until `need` unused bytes are in one block; false if the input ends before.
    pub(super) fn fill(&mut self, need: usize) -> bool {
        while self.window.bytes().len() < need {
            if self.read_more(need, usize::MAX) == 0 {
                return false;
            }
        }
        true
    }

    /// Like [`BlockReader::fill`], but reads nothing after these bytes.
    pub(super) fn fill_exactly(&mut self, need: usize) -> bool {
        while let Some(missing) = need.checked_sub(self.window.bytes().len()).filter(|missing| *missing > 0) {
            if self.read_more(need, missing) == 0 {
                return false;
            }
        }
        true
    }

    /// From now on, blocks have another length.
    pub(super) fn set_block_len(&mut self, block_len: usize) {
        self.window.set_block_len(block_len);
    }

    /// Reads at most `limit` bytes to those that are unused; `need` of them are to fit together.
    fn read_more(&mut self, need: usize, limit: usize) -> usize {
        if self.is_at_end() {
            return 0;
        }
        let space = self.window.space(need);
        let len = space.len().min(limit);
        let got = self.raw.read(space.get_mut(..len).unwrap_or_default());
        let start = self.window.end;
        self.window.grow(got);
        self.raw.read_bytes += got as u64;
        self.raw.meter.fetch_add(got as u64, Ordering::Relaxed);
        if let (Some(tee), true) = (&mut self.raw.hash_tee, got > 0) {
            tee.send(&self.window.block, start, start + got);
        }
        got
    }

    /// Goes on at `position`, which is after what was read. False if the source cannot, has reached its end or is hashed.
    pub(super) fn seek(&mut self, position: u64) -> bool {
        let can_seek = match &mut self.raw.source {
            _ if self.raw.hash_tee.is_some() => false,
            RawSource::File(file) => file.seek(SeekFrom::Start(position)).is_ok(),
            RawSource::Path(_) => true,
            RawSource::Stream(_) | RawSource::Closed => false,
        };
        if can_seek {
            self.raw.read_bytes = position;
            self.window.consume(usize::MAX);
        }
        can_seek
    }

    /// True when the window has the last bytes of the input.
    pub(super) const fn is_at_end(&self) -> bool {
        matches!(self.raw.source, RawSource::Closed)
    }

    /// Bytes read so far.
    pub(super) const fn read_bytes(&self) -> u64 {
        self.raw.read_bytes
    }

    /// Why reading stopped before the end, if it did.
    pub(super) const fn error(&self) -> Option<&io::Error> {
        self.raw.error.as_ref()
    }

    /// Reads to the end, only for the hash; the number of bytes.
    pub(super) fn drain(&mut self) -> u64 {
        let mut drained = 0;
        loop {
            let len = self.window.bytes().len();
            self.mark_used(len);
            drained += len as u64;
            if !self.fill(1) {
                return drained;
            }
        }
    }
}

impl BufRead for BlockReader {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.fill(1);
        Ok(self.window.bytes())
    }

    fn consume(&mut self, len: usize) {
        self.window.consume(len);
    }
}

impl Read for BlockReader {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.fill(1);
        let len = self.window.bytes().len().min(into.len());
        if let (Some(to), Some(from)) = (into.get_mut(..len), self.window.bytes().get(..len)) {
            to.copy_from_slice(from);
        }
        self.mark_used(len);
        Ok(len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(block_len: usize, need: usize) {
        let bytes: Vec<u8> = (0..=255).cycle().take(5000).collect();
        let source = RawSource::Stream(Box::new(io::Cursor::new(bytes.clone())));
        let mut reader = BlockReader::new(RawReader::new(source, None, Arc::default()), block_len);
        let mut seen = Vec::new();
        let mut held = Vec::new();
        while reader.fill(need) {
            seen.extend_from_slice(&reader.window().bytes()[..need]);
            held.push((Arc::clone(reader.window().block()), reader.window().start()));
            reader.mark_used(need);
        }
        let shown: Vec<u8> =
            held.iter().flat_map(|(block, start)| block[*start..*start + need].to_vec()).collect();
        assert_eq!(shown, seen, "a shared block does not change");
        seen.extend_from_slice(reader.window().bytes());
        assert_eq!(seen, bytes);
        assert_eq!(reader.read_bytes(), 5000);
    }

    #[test]
    fn unused_bytes_of_a_block_come_first_in_the_next() {
        check(64, 7);
        check(64, 64);
        check(16, 100);
        check(8192, 1000);
    }
}

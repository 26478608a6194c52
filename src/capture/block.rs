//! Reads raw bytes into large blocks that are shared and used again.
//!
//! In:  a file or stream.
//! Out: a window of bytes in a block; the same block goes to the hasher, uncopied.
//! Not: whether the bytes are compressed, or where frames begin.

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

use super::hash::Tee;

/// Blocks kept for another use; past it they go back to the allocator.
const KEPT_BLOCKS: usize = 48;

/// Blocks of one size: handed out, and used again once nobody else holds them.
pub(super) struct Pool {
    block_len: usize,
    kept: Vec<Arc<Vec<u8>>>,
}

impl Pool {
    /// An empty pool of blocks of `block_len` bytes.
    pub(super) const fn new(block_len: usize) -> Pool {
        Pool { block_len, kept: Vec::new() }
    }

    /// A block that nobody else holds, of `block_len` bytes, or of `least` if that is more.
    pub(super) fn take(&mut self, least: usize) -> Arc<Vec<u8>> {
        if least <= self.block_len {
            // The first that is free: few blocks stay in use, and they stay in the cache.
            if let Some(free) = self.kept.iter_mut().position(|block| Arc::get_mut(block).is_some()) {
                return self.kept.swap_remove(free);
            }
        }
        Arc::new(vec![0; least.max(self.block_len)])
    }

    pub(super) fn put(&mut self, block: Arc<Vec<u8>>) {
        if self.kept.len() < KEPT_BLOCKS && block.len() == self.block_len {
            self.kept.push(block);
        }
    }
}

/// The part of a block that is not used yet.
pub(super) struct Window {
    pool: Pool,
    block: Arc<Vec<u8>>,
    begin: usize,
    end: usize,
}

impl Window {
    /// A window without a block.
    pub(super) fn new(block_len: usize) -> Window {
        Window { pool: Pool::new(block_len), block: Arc::default(), begin: 0, end: 0 }
    }

    /// The block, to be shared.
    pub(super) fn block(&self) -> &Arc<Vec<u8>> {
        &self.block
    }

    /// Where the unused bytes begin in the block.
    pub(super) const fn begin(&self) -> usize {
        self.begin
    }

    /// The unused bytes.
    #[inline]
    pub(super) fn bytes(&self) -> &[u8] {
        self.block.get(self.begin..self.end).unwrap_or_default()
    }

    /// Passes over used bytes.
    #[inline]
    pub(super) fn consume(&mut self, len: usize) {
        self.begin = self.begin.saturating_add(len).min(self.end);
    }

    /// Room behind the unused bytes, so that at least `need` bytes fit in all.
    ///
    /// What is left of the old block is copied to the front of another, and the old one is free to go.
    pub(super) fn room(&mut self, need: usize) -> &mut [u8] {
        let left = self.end - self.begin;
        let enough = self.block.len() >= need.max(left + 1);
        if let Some(block) = Arc::get_mut(&mut self.block).filter(|_| enough) {
            // Nobody else looks at this block: it serves again, and stays in the cache.
            if self.begin > 0 {
                block.copy_within(self.begin..self.end, 0);
            }
        } else {
            let mut next = self.pool.take(need.max(left + 1));
            if let (Some(to), Some(from)) = (
                Arc::get_mut(&mut next).and_then(|next| next.get_mut(..left)),
                self.block.get(self.begin..self.end),
            ) {
                to.copy_from_slice(from);
            }
            self.pool.put(std::mem::replace(&mut self.block, next));
        }
        self.begin = 0;
        self.end = left;
        let end = self.end;
        Arc::get_mut(&mut self.block).and_then(|block| block.get_mut(end..)).unwrap_or_default()
    }

    /// Takes over `len` bytes that were written into [`Window::room`].
    pub(super) fn grow(&mut self, len: usize) {
        self.end = self.end.saturating_add(len).min(self.block.len());
    }
}

/// Where raw bytes come from.
pub(super) enum Origin {
    /// A file that stays open.
    File(File),
    /// A file that is opened for each block, because too many are open already.
    Path(PathBuf),
    /// Anything else; read once.
    Stream(Box<dyn Read + Send>),
    /// Nothing more to come.
    Closed,
}

/// Reads one input's raw bytes, counts them, and lets the hasher see them.
pub(super) struct Raw {
    origin: Origin,
    tee: Option<Tee>,
    meter: Arc<AtomicU64>,
    read_bytes: u64,
    fault: Option<io::Error>,
}

impl Raw {
    /// Reads `origin` from its beginning.
    pub(super) fn new(origin: Origin, tee: Option<Tee>, meter: Arc<AtomicU64>) -> Raw {
        Raw { origin, tee, meter, read_bytes: 0, fault: None }
    }

    fn read(&mut self, room: &mut [u8]) -> usize {
        let got = loop {
            let got = match &mut self.origin {
                Origin::File(file) => file.read(room),
                Origin::Stream(stream) => stream.read(room),
                Origin::Path(path) => File::open(path).and_then(|mut file| {
                    file.seek(SeekFrom::Start(self.read_bytes))?;
                    file.read(room)
                }),
                Origin::Closed => Ok(0),
            };
            match got {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => break other,
            }
        };
        match got {
            // A reader that says more than fits is not believed.
            Ok(len) if len > 0 => len.min(room.len()),
            Ok(_) => {
                self.origin = Origin::Closed;
                0
            }
            Err(error) => {
                self.origin = Origin::Closed;
                self.fault = Some(error);
                0
            }
        }
    }
}

/// Raw bytes through a window.
pub(super) struct Feed {
    raw: Raw,
    window: Window,
}

impl Feed {
    /// Reads `raw` in blocks of `block_len`.
    pub(super) fn new(raw: Raw, block_len: usize) -> Feed {
        Feed { raw, window: Window::new(block_len) }
    }

    /// A feed that has ended: what is left where another was taken out.
    pub(super) fn closed() -> Feed {
        Feed::new(Raw::new(Origin::Closed, None, Arc::default()), 0)
    }

    /// The unused bytes.
    pub(super) const fn window(&self) -> &Window {
        &self.window
    }

    /// Passes over used bytes.
    pub(super) fn use_up(&mut self, len: usize) {
        self.window.consume(len);
    }

    /// Reads until `need` unused bytes lie in one block, or the input ends: false.
    pub(super) fn have(&mut self, need: usize) -> bool {
        while self.window.bytes().len() < need {
            if self.more(need) == 0 {
                return false;
            }
        }
        true
    }

    fn more(&mut self, need: usize) -> usize {
        if self.ended() {
            return 0;
        }
        let got = self.raw.read(self.window.room(need));
        let begin = self.window.end;
        self.window.grow(got);
        self.raw.read_bytes += got as u64;
        self.raw.meter.fetch_add(got as u64, Ordering::Relaxed);
        if let (Some(tee), true) = (&mut self.raw.tee, got > 0) {
            tee.send(&self.window.block, begin, begin + got);
        }
        got
    }

    /// True when the input has no bytes but those in the window.
    pub(super) const fn ended(&self) -> bool {
        matches!(self.raw.origin, Origin::Closed)
    }

    /// Bytes read so far.
    pub(super) const fn read_bytes(&self) -> u64 {
        self.raw.read_bytes
    }

    /// Why reading stopped before the end, if it did.
    pub(super) const fn fault(&self) -> Option<&io::Error> {
        self.raw.fault.as_ref()
    }

    /// Reads to the end for the hash alone; how many bytes that were.
    pub(super) fn drain(&mut self) -> u64 {
        let mut drained = 0;
        loop {
            let len = self.window.bytes().len();
            self.use_up(len);
            drained += len as u64;
            if !self.have(1) {
                return drained;
            }
        }
    }
}

impl BufRead for Feed {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.have(1);
        Ok(self.window.bytes())
    }

    fn consume(&mut self, len: usize) {
        self.window.consume(len);
    }
}

impl Read for Feed {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.have(1);
        let len = self.window.bytes().len().min(into.len());
        if let (Some(to), Some(from)) = (into.get_mut(..len), self.window.bytes().get(..len)) {
            to.copy_from_slice(from);
        }
        self.use_up(len);
        Ok(len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(block_len: usize, need: usize) {
        let bytes: Vec<u8> = (0..=255).cycle().take(5000).collect();
        let origin = Origin::Stream(Box::new(io::Cursor::new(bytes.clone())));
        let mut feed = Feed::new(Raw::new(origin, None, Arc::default()), block_len);
        let mut seen = Vec::new();
        let mut held = Vec::new();
        while feed.have(need) {
            seen.extend_from_slice(&feed.window().bytes()[..need]);
            held.push((Arc::clone(feed.window().block()), feed.window().begin()));
            feed.use_up(need);
        }
        let shown: Vec<u8> =
            held.iter().flat_map(|(block, begin)| block[*begin..*begin + need].to_vec()).collect();
        assert_eq!(shown, seen, "a block that is held does not change");
        seen.extend_from_slice(feed.window().bytes());
        assert_eq!(seen, bytes);
        assert_eq!(feed.read_bytes(), 5000);
    }

    #[test]
    fn what_is_left_of_a_block_comes_first_in_the_next() {
        check(64, 7);
        check(64, 64);
        check(16, 100);
        check(8192, 1000);
    }
}

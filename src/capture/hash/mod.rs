//! Hashes the raw bytes of every input, on threads of its own.
//!
//! In:  blocks as they were read, shared, not copied.
//! Out: one hash per input.
//! Not: what the bytes are.

mod tree;

use std::io;
use std::sync::Arc;
use std::thread;
use std::thread::JoinHandle;

use crossbeam_channel::Receiver;
use crossbeam_channel::Sender;
use sha2::Digest;
use sha2::Sha256;
use smallvec::SmallVec;

use tree::Blake3Trees;

/// Chunks that may wait for the hashers. Then reading waits, which bounds the memory.
const QUEUED_CHUNKS: usize = 16;

/// Threads that hash one capture with BLAKE3: a single one is slower than reading.
const BLAKE3_THREADS: usize = 2;

/// The hash of the inputs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum InputHash {
    /// SHA-256, which every platform can verify.
    Sha256,
    /// BLAKE3, for machines on which SHA-256 is slower than the audit.
    Blake3,
    /// No hash.
    #[default]
    None,
}

impl InputHash {
    /// Its name in the manifest.
    pub const fn name(self) -> Option<&'static str> {
        match self {
            InputHash::Sha256 => Some("sha256"),
            InputHash::Blake3 => Some("blake3"),
            InputHash::None => None,
        }
    }
}

/// Consecutive bytes of one input.
struct HashChunk {
    input: u32,
    /// Chunks of the input before this one.
    number: u64,
    /// Bytes of the input before this chunk.
    offset: u64,
    len: usize,
    parts: SmallVec<[BlockRange; 3]>,
    is_last: bool,
}

/// A part of a block.
struct BlockRange {
    block: Arc<Vec<u8>>,
    start: usize,
    end: usize,
}

impl HashChunk {
    fn new(input: u32, number: u64, offset: u64) -> HashChunk {
        HashChunk { input, number, offset, len: 0, parts: SmallVec::new(), is_last: false }
    }

    fn add(&mut self, block: &Arc<Vec<u8>>, start: usize, end: usize) {
        self.len += end - start;
        match self.parts.last_mut() {
            Some(last) if Arc::ptr_eq(&last.block, block) && last.end == start => last.end = end,
            _ => self.parts.push(BlockRange { block: Arc::clone(block), start, end }),
        }
    }

    fn bytes(&self) -> impl Iterator<Item = &[u8]> {
        self.parts.iter().map(|part| part.block.get(part.start..part.end).unwrap_or_default())
    }
}

/// Sends the bytes of one input to the hashers.
pub(super) struct HashTee {
    out: Sender<HashChunk>,
    chunk_len: usize,
    /// The next chunk. It is sent when more bytes follow, because the last one must be marked.
    chunk: HashChunk,
}

impl HashTee {
    /// Sends `start..end` of a block. Waits if the hashers are slower than reading.
    pub(super) fn send(&mut self, block: &Arc<Vec<u8>>, mut start: usize, end: usize) {
        while start < end {
            if self.chunk.len == self.chunk_len {
                self.flush();
            }
            let part_end = end.min(start + self.chunk_len - self.chunk.len);
            self.chunk.add(block, start, part_end);
            start = part_end;
        }
    }

    fn flush(&mut self) {
        let HashChunk { input, number, offset, len, .. } = self.chunk;
        let next = HashChunk::new(input, number + 1, offset + len as u64);
        // Fails only if the hashers have panicked. The input then has no hash in its facts.
        let _ = self.out.send(std::mem::replace(&mut self.chunk, next));
    }
}

impl Drop for HashTee {
    fn drop(&mut self) {
        if self.chunk.len > 0 {
            self.chunk.is_last = true;
            self.flush();
        }
    }
}

/// The threads that hash.
pub(super) struct InputHasher {
    out: Sender<HashChunk>,
    chunk_len: usize,
    threads: HashThreads,
}

enum HashThreads {
    /// SHA-256 needs the bytes in order: one thread.
    Sha256(JoinHandle<Vec<Option<String>>>),
    Blake3(Vec<JoinHandle<()>>, Arc<Blake3Trees>),
}

impl InputHasher {
    /// Starts the threads; `None` without an algorithm. Chunks are as long as blocks, which are a power of two.
    pub(super) fn start(algorithm: InputHash, block_len: usize) -> io::Result<Option<InputHasher>> {
        let (out, chunks) = crossbeam_channel::bounded(QUEUED_CHUNKS);
        let builder = || thread::Builder::new().name("hash".to_owned());
        let threads = match algorithm {
            InputHash::None => return Ok(None),
            InputHash::Sha256 => HashThreads::Sha256(builder().spawn(move || hash_sha256(&chunks))?),
            InputHash::Blake3 => {
                let trees = Arc::new(Blake3Trees::default());
                let start = |_| {
                    let (chunks, trees) = (chunks.clone(), Arc::clone(&trees));
                    builder().spawn(move || trees.hash_chunks(&chunks))
                };
                HashThreads::Blake3((0..BLAKE3_THREADS).map(start).collect::<io::Result<_>>()?, trees)
            }
        };
        Ok(Some(InputHasher { out, chunk_len: block_len, threads }))
    }

    /// A sender for the bytes of one input.
    pub(super) fn tee(&self, input: u32) -> HashTee {
        HashTee { out: self.out.clone(), chunk_len: self.chunk_len, chunk: HashChunk::new(input, 0, 0) }
    }

    /// Waits for the threads, which end when all senders are gone; the hashes by input.
    pub(super) fn finish(self) -> Vec<Option<String>> {
        drop(self.out);
        match self.threads {
            HashThreads::Sha256(thread) => thread.join().unwrap_or_default(),
            HashThreads::Blake3(threads, trees) => {
                // If a thread has panicked its chunk is missing, and that input has no hash.
                threads.into_iter().for_each(|thread| drop(thread.join()));
                trees.hashes()
            }
        }
    }
}

/// Hashes all chunks. Those of one input arrive in order.
fn hash_sha256(chunks: &Receiver<HashChunk>) -> Vec<Option<String>> {
    let mut states: Vec<Option<Sha256>> = Vec::new();
    for chunk in chunks {
        let index = chunk.input as usize;
        if states.len() <= index {
            states.resize_with(index + 1, || None);
        }
        if let Some(state) = states.get_mut(index) {
            let state = state.get_or_insert_with(Sha256::new);
            chunk.bytes().for_each(|bytes| state.update(bytes));
        }
    }
    states.into_iter().map(|state| Some(hex(&state?.finalize()))).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .flat_map(|byte| [byte >> 4, byte & 15])
        .filter_map(|half| char::from_digit(half.into(), 16))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hashes(
        algorithm: InputHash,
        chunk_len: usize,
        blocks: &[(Arc<Vec<u8>>, usize, usize)],
    ) -> Vec<Option<String>> {
        let hasher = InputHasher::start(algorithm, chunk_len).unwrap().unwrap();
        let mut tee = hasher.tee(1);
        blocks.iter().for_each(|(block, start, end)| tee.send(block, *start, *end));
        drop(tee);
        hasher.finish()
    }

    #[test]
    fn parts_of_blocks_are_hashed_as_one_input() {
        let check = |algorithm: InputHash, expected: &str| {
            let block = Arc::new(b"xabcx".to_vec());
            let found = hashes(algorithm, 1024, &[(Arc::clone(&block), 1, 3), (block, 3, 4)]);
            assert_eq!(found, [None, Some(expected.to_owned())]);
        };
        check(InputHash::Sha256, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        check(InputHash::Blake3, "6437b3ac38465133ffb63b75273a8db548c558465d79db03fd359c6cd5bd9d85");
        assert!(InputHasher::start(InputHash::None, 1024).unwrap().is_none());
    }

    /// Whatever the length of the input, and however it is split into blocks.
    #[test]
    fn chunks_give_the_hash_of_the_whole_input() {
        let whole: Vec<u8> = (0..40_000_u32).map(|number| (number ^ number >> 7) as u8).collect();
        for len in [
            1, 1023, 1024, 1025, 2047, 2048, 2049, 3072, 4096, 5000, 7168, 8192, 8193, 16_384, 33_333, 40_000,
        ] {
            for block_len in [1024, 700, 5000] {
                let blocks =
                    whole[..len].chunks(block_len).map(|bytes| (Arc::new(bytes.to_vec()), 0, bytes.len()));
                let blocks: Vec<_> = blocks.collect();
                for (algorithm, expected) in [
                    (InputHash::Blake3, hex(blake3::hash(&whole[..len]).as_bytes())),
                    (InputHash::Sha256, hex(&Sha256::digest(&whole[..len]))),
                ] {
                    assert_eq!(
                        hashes(algorithm, 1024, &blocks),
                        [None, Some(expected)],
                        "{len} in {block_len}"
                    );
                }
            }
        }
    }
}

//! Hashes the raw bytes of every input beside the audit.
//!
//! In:  blocks as they were read, shared and not copied.
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

use tree::Forest;

/// So many pieces may wait for the hashers; then reading waits. This bounds the memory.
const WAITING: usize = 16;

/// Threads that hash one capture with BLAKE3: one alone is slower than reading.
const HASHERS: usize = 2;

/// How inputs are hashed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Hash {
    /// SHA-256, which every platform can check.
    #[default]
    Sha256,
    /// BLAKE3, for machines on which SHA-256 would set the pace.
    Blake3,
    /// Not at all.
    None,
}

impl Hash {
    /// Its name as the manifest writes it.
    pub const fn name(self) -> Option<&'static str> {
        match self {
            Hash::Sha256 => Some("sha256"),
            Hash::Blake3 => Some("blake3"),
            Hash::None => None,
        }
    }
}

/// Bytes of one input that lie together.
struct Piece {
    input: u32,
    /// Pieces before it.
    number: u64,
    /// Bytes before it.
    offset: u64,
    len: usize,
    parts: SmallVec<[Part; 3]>,
    is_last: bool,
}

/// What a block holds of a piece.
struct Part {
    block: Arc<Vec<u8>>,
    begin: usize,
    end: usize,
}

impl Piece {
    fn new(input: u32, number: u64, offset: u64) -> Piece {
        Piece { input, number, offset, len: 0, parts: SmallVec::new(), is_last: false }
    }

    fn add(&mut self, block: &Arc<Vec<u8>>, begin: usize, end: usize) {
        self.len += end - begin;
        match self.parts.last_mut() {
            Some(last) if Arc::ptr_eq(&last.block, block) && last.end == begin => last.end = end,
            _ => self.parts.push(Part { block: Arc::clone(block), begin, end }),
        }
    }

    fn bytes(&self) -> impl Iterator<Item = &[u8]> {
        self.parts.iter().map(|part| part.block.get(part.begin..part.end).unwrap_or_default())
    }
}

/// Takes the blocks of one input to the hashers, in pieces.
pub(super) struct Tee {
    pieces: Sender<Piece>,
    piece_len: usize,
    /// The piece that grows. A full one is kept until there is more: it may be the last.
    piece: Piece,
}

impl Tee {
    /// Hands on `begin..end` of a block; waits when the hashers are far behind.
    pub(super) fn send(&mut self, block: &Arc<Vec<u8>>, mut begin: usize, end: usize) {
        while begin < end {
            if self.piece.len == self.piece_len {
                self.hand_on();
            }
            let cut = end.min(begin + self.piece_len - self.piece.len);
            self.piece.add(block, begin, cut);
            begin = cut;
        }
    }

    fn hand_on(&mut self) {
        let Piece { input, number, offset, len, .. } = self.piece;
        let next = Piece::new(input, number + 1, offset + len as u64);
        // Hashers that are gone leave their inputs without a hash, which the facts then show.
        let _ = self.pieces.send(std::mem::replace(&mut self.piece, next));
    }
}

impl Drop for Tee {
    fn drop(&mut self) {
        if self.piece.len > 0 {
            self.piece.is_last = true;
            self.hand_on();
        }
    }
}

/// The hashers' threads.
pub(super) struct Hasher {
    pieces: Sender<Piece>,
    piece_len: usize,
    threads: Threads,
}

enum Threads {
    /// SHA-256 is a chain: one thread, piece by piece.
    Chain(JoinHandle<Vec<Option<String>>>),
    Tree(Vec<JoinHandle<()>>, Arc<Forest>),
}

impl Hasher {
    /// Starts it; `None` when nothing is to be hashed. Pieces are as long as blocks, which are a power of two.
    pub(super) fn start(hash: Hash, block_len: usize) -> io::Result<Option<Hasher>> {
        let (pieces, work) = crossbeam_channel::bounded(WAITING);
        let named = || thread::Builder::new().name("hash".to_owned());
        let threads = match hash {
            Hash::None => return Ok(None),
            Hash::Sha256 => Threads::Chain(named().spawn(move || chain(&work))?),
            Hash::Blake3 => {
                let forest = Arc::new(Forest::default());
                let one = |_| {
                    let (work, forest) = (work.clone(), Arc::clone(&forest));
                    named().spawn(move || forest.work(&work))
                };
                Threads::Tree((0..HASHERS).map(one).collect::<io::Result<_>>()?, forest)
            }
        };
        Ok(Some(Hasher { pieces, piece_len: block_len, threads }))
    }

    /// The way to it for one input.
    pub(super) fn tee(&self, input: u32) -> Tee {
        Tee { pieces: self.pieces.clone(), piece_len: self.piece_len, piece: Piece::new(input, 0, 0) }
    }

    /// Waits for it; hashes by input.
    pub(super) fn finish(self) -> Vec<Option<String>> {
        drop(self.pieces);
        match self.threads {
            Threads::Chain(thread) => thread.join().unwrap_or_default(),
            Threads::Tree(threads, forest) => {
                // Whoever died has not added its piece, and that input has no hash.
                threads.into_iter().for_each(|thread| drop(thread.join()));
                forest.hashes()
            }
        }
    }
}

/// Hashes pieces as long as there are any; those of one input come in order.
fn chain(work: &Receiver<Piece>) -> Vec<Option<String>> {
    let mut states: Vec<Option<Sha256>> = Vec::new();
    for piece in work {
        let place = piece.input as usize;
        if states.len() <= place {
            states.resize_with(place + 1, || None);
        }
        if let Some(slot) = states.get_mut(place) {
            let state = slot.get_or_insert_with(Sha256::new);
            piece.bytes().for_each(|bytes| state.update(bytes));
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

    fn hashes(hash: Hash, piece_len: usize, blocks: &[(Arc<Vec<u8>>, usize, usize)]) -> Vec<Option<String>> {
        let hasher = Hasher::start(hash, piece_len).unwrap().unwrap();
        let mut tee = hasher.tee(1);
        blocks.iter().for_each(|(block, begin, end)| tee.send(block, *begin, *end));
        drop(tee);
        hasher.finish()
    }

    #[test]
    fn parts_of_blocks_are_one_input() {
        let check = |hash: Hash, expected: &str| {
            let block = Arc::new(b"xabcx".to_vec());
            let found = hashes(hash, 1024, &[(Arc::clone(&block), 1, 3), (block, 3, 4)]);
            assert_eq!(found, [None, Some(expected.to_owned())]);
        };
        check(Hash::Sha256, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        check(Hash::Blake3, "6437b3ac38465133ffb63b75273a8db548c558465d79db03fd359c6cd5bd9d85");
        assert!(Hasher::start(Hash::None, 1024).unwrap().is_none());
    }

    /// However long an input is against a piece, and however it is cut into blocks.
    #[test]
    fn a_tree_of_pieces_has_the_hash_of_the_whole() {
        let whole: Vec<u8> = (0..40_000_u32).map(|number| (number ^ number >> 7) as u8).collect();
        for len in [
            1, 1023, 1024, 1025, 2047, 2048, 2049, 3072, 4096, 5000, 7168, 8192, 8193, 16_384, 33_333, 40_000,
        ] {
            for cut in [1024, 700, 5000] {
                let blocks = whole[..len].chunks(cut).map(|bytes| (Arc::new(bytes.to_vec()), 0, bytes.len()));
                let blocks: Vec<_> = blocks.collect();
                for (hash, expected) in [
                    (Hash::Blake3, hex(blake3::hash(&whole[..len]).as_bytes())),
                    (Hash::Sha256, hex(&Sha256::digest(&whole[..len]))),
                ] {
                    assert_eq!(hashes(hash, 1024, &blocks), [None, Some(expected)], "{len} in {cut}");
                }
            }
        }
    }
}

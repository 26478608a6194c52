//! Hashes inputs with BLAKE3 on several threads: the hash is the root of a tree, whose leaves can be hashed in any order.
//!
//! In:  chunks of inputs. All chunks of one input but the last have the same length, a power of two.
//! Out: one hash per input.
//! Not: which thread hashes which chunk.
//!
//! The shape of the tree is that of the BLAKE3 paper, section 2.1: a left subtree is complete, and as large as possible with
//! at least one leaf left for the right one.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;

use blake3::hazmat::ChainingValue;
use blake3::hazmat::HasherExt as _;
use blake3::hazmat::Mode;
use blake3::hazmat::merge_subtrees_non_root;
use blake3::hazmat::merge_subtrees_root;
use crossbeam_channel::Receiver;

use super::HashChunk;
use super::hex;

/// The trees of all inputs.
#[derive(Default)]
pub(super) struct Blake3Trees(Mutex<Vec<Tree>>);

/// The hash of a chunk.
enum ChunkHash {
    /// The chunk is the whole input.
    Root(blake3::Hash),
    /// The chunk is a part of the input.
    Part(ChainingValue),
}

/// The tree of one input.
#[derive(Default)]
struct Tree {
    /// The hash of an input with a single chunk.
    root: Option<blake3::Hash>,
    /// Chunks in order so far.
    chunks: u64,
    /// Complete subtrees of these, the largest first, and the last chunk.
    subtrees: Vec<ChainingValue>,
    /// Chunks that were hashed before their predecessors.
    early: BTreeMap<u64, ChainingValue>,
}

impl Blake3Trees {
    /// Hashes all chunks.
    pub(super) fn hash_chunks(&self, chunks: &Receiver<HashChunk>) {
        for chunk in chunks {
            let hash = hash_chunk(&chunk);
            let mut trees = self.trees();
            let index = chunk.input as usize;
            if trees.len() <= index {
                trees.resize_with(index + 1, Tree::default);
            }
            if let Some(tree) = trees.get_mut(index) {
                tree.add(chunk.number, hash);
            }
        }
    }

    fn trees(&self) -> MutexGuard<'_, Vec<Tree>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The hashes, by input.
    pub(super) fn hashes(&self) -> Vec<Option<String>> {
        self.trees().drain(..).map(|tree| tree.root().map(|hash| hex(hash.as_bytes()))).collect()
    }
}

fn hash_chunk(chunk: &HashChunk) -> ChunkHash {
    let mut hasher = blake3::Hasher::new();
    if chunk.number > 0 {
        hasher.set_input_offset(chunk.offset);
    }
    for bytes in chunk.bytes() {
        hasher.update(bytes);
    }
    if chunk.number == 0 && chunk.is_last {
        ChunkHash::Root(hasher.finalize())
    } else {
        ChunkHash::Part(hasher.finalize_non_root())
    }
}

impl Tree {
    fn add(&mut self, number: u64, hash: ChunkHash) {
        match hash {
            ChunkHash::Root(hash) => self.root = Some(hash),
            ChunkHash::Part(value) => {
                self.early.insert(number, value);
                while let Some(value) = self.early.remove(&self.chunks) {
                    self.push(value);
                }
            }
        }
    }

    /// Adds the next chunk. Subtrees that it completes are merged when another chunk follows: the last merge of an input is
    /// that of its root.
    fn push(&mut self, value: ChainingValue) {
        while self.subtrees.len() > self.chunks.count_ones() as usize
            && let (Some(right), Some(left)) = (self.subtrees.pop(), self.subtrees.pop())
        {
            self.subtrees.push(merge_subtrees_non_root(&left, &right, Mode::Hash));
        }
        self.subtrees.push(value);
        self.chunks += 1;
    }

    /// The hash; `None` if a chunk is missing.
    fn root(mut self) -> Option<blake3::Hash> {
        let mut right = match self.subtrees.pop() {
            Some(last) if self.early.is_empty() => last,
            _ => return self.root,
        };
        while let Some(left) = self.subtrees.pop() {
            if self.subtrees.is_empty() {
                return Some(merge_subtrees_root(&left, &right, Mode::Hash));
            }
            right = merge_subtrees_non_root(&left, &right, Mode::Hash);
        }
        None
    }
}

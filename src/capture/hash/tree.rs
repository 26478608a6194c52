//! BLAKE3 by several threads: the hash of an input is the root of a tree, whose leaves can be hashed in any order.
//!
//! In:  pieces of inputs; all of one input but the last have the same length, a power of two.
//! Out: one hash per input.
//! Not: who hashes which piece.
//!
//! The shape of the tree is that of the BLAKE3 paper, section 2.1: a left subtree is complete, and as large as it can be while
//! something is left for the right one.

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

use super::Piece;
use super::hex;

/// The trees of all inputs.
#[derive(Default)]
pub(super) struct Forest(Mutex<Vec<Tree>>);

/// What a piece comes to.
enum Leaf {
    /// It is the whole input.
    Root(blake3::Hash),
    /// It is a part of it.
    Part(ChainingValue),
}

/// What is known of one input.
#[derive(Default)]
struct Tree {
    /// The hash of an input that is one piece.
    root: Option<blake3::Hash>,
    /// Pieces in order so far.
    pieces: u64,
    /// Complete subtrees of these, the largest first, and the last piece.
    subtrees: Vec<ChainingValue>,
    /// Pieces that were done before their turn.
    early: BTreeMap<u64, ChainingValue>,
}

impl Forest {
    /// Hashes pieces as long as there are any.
    pub(super) fn work(&self, pieces: &Receiver<Piece>) {
        for piece in pieces {
            let leaf = hash(&piece);
            let mut trees = self.trees();
            let place = piece.input as usize;
            if trees.len() <= place {
                trees.resize_with(place + 1, Tree::default);
            }
            if let Some(tree) = trees.get_mut(place) {
                tree.add(piece.number, leaf);
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

fn hash(piece: &Piece) -> Leaf {
    let mut hasher = blake3::Hasher::new();
    if piece.number > 0 {
        hasher.set_input_offset(piece.offset);
    }
    for bytes in piece.bytes() {
        hasher.update(bytes);
    }
    if piece.number == 0 && piece.is_last {
        Leaf::Root(hasher.finalize())
    } else {
        Leaf::Part(hasher.finalize_non_root())
    }
}

impl Tree {
    fn add(&mut self, number: u64, leaf: Leaf) {
        match leaf {
            Leaf::Root(hash) => self.root = Some(hash),
            Leaf::Part(value) => {
                self.early.insert(number, value);
                while let Some(value) = self.early.remove(&self.pieces) {
                    self.push(value);
                }
            }
        }
    }

    /// Takes the next piece. What it completes is joined when another comes: until then it may be the last, below the root.
    fn push(&mut self, value: ChainingValue) {
        while self.subtrees.len() > self.pieces.count_ones() as usize
            && let (Some(right), Some(left)) = (self.subtrees.pop(), self.subtrees.pop())
        {
            self.subtrees.push(merge_subtrees_non_root(&left, &right, Mode::Hash));
        }
        self.subtrees.push(value);
        self.pieces += 1;
    }

    /// The hash; none where a piece is missing.
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

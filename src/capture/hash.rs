//! Hashes the raw bytes of every input beside the audit.
//!
//! In:  blocks as they were read, shared and not copied.
//! Out: one hash per input.
//! Not: what the bytes are.

use std::io;
use std::sync::Arc;
use std::thread;
use std::thread::JoinHandle;

use crossbeam_channel::Receiver;
use crossbeam_channel::Sender;
use sha2::Digest;
use sha2::Sha256;

/// So many blocks may wait for the hasher; then reading waits. This bounds the memory.
const WAITING_BLOCKS: usize = 16;

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

/// Bytes of one input that were just read.
struct Job {
    input: u32,
    block: Arc<Vec<u8>>,
    begin: usize,
    end: usize,
}

/// Takes the blocks of one input to the hasher.
pub(super) struct Tee {
    input: u32,
    jobs: Sender<Job>,
}

impl Tee {
    /// Hands on `begin..end` of a block; waits when the hasher is far behind.
    pub(super) fn send(&self, block: &Arc<Vec<u8>>, begin: usize, end: usize) {
        // A hasher that is gone leaves its inputs without a hash, which the facts then show.
        let _ = self.jobs.send(Job { input: self.input, block: Arc::clone(block), begin, end });
    }
}

/// The hasher's thread.
pub(super) struct Hasher {
    jobs: Sender<Job>,
    thread: JoinHandle<Vec<Option<String>>>,
}

impl Hasher {
    /// Starts it; `None` when nothing is to be hashed.
    pub(super) fn start(hash: Hash) -> io::Result<Option<Hasher>> {
        let (jobs, work) = crossbeam_channel::bounded(WAITING_BLOCKS);
        let named = thread::Builder::new().name("hash".to_owned());
        let thread = match hash {
            Hash::None => return Ok(None),
            Hash::Sha256 => named.spawn(move || {
                let update = |state: &mut Sha256, bytes: &[u8]| state.update(bytes);
                run(&work, Sha256::new, update, |state| hex(&state.finalize()))
            })?,
            Hash::Blake3 => named.spawn(move || {
                let update = |state: &mut blake3::Hasher, bytes: &[u8]| {
                    state.update(bytes);
                };
                run(&work, blake3::Hasher::new, update, |state| hex(state.finalize().as_bytes()))
            })?,
        };
        Ok(Some(Hasher { jobs, thread }))
    }

    /// The way to it for one input.
    pub(super) fn tee(&self, input: u32) -> Tee {
        Tee { input, jobs: self.jobs.clone() }
    }

    /// Waits for it; hashes by input.
    pub(super) fn finish(self) -> Vec<Option<String>> {
        drop(self.jobs);
        self.thread.join().unwrap_or_default()
    }
}

fn run<S>(
    work: &Receiver<Job>,
    begin: impl Fn() -> S,
    update: impl Fn(&mut S, &[u8]),
    finish: impl Fn(S) -> String,
) -> Vec<Option<String>> {
    let mut states: Vec<Option<S>> = Vec::new();
    for job in work {
        let place = job.input as usize;
        if states.len() <= place {
            states.resize_with(place + 1, || None);
        }
        if let Some(slot) = states.get_mut(place) {
            let state = slot.get_or_insert_with(&begin);
            update(state, job.block.get(job.begin..job.end).unwrap_or_default());
        }
    }
    states.into_iter().map(|state| state.map(&finish)).collect()
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

    fn check(hash: Hash, expected: &str) {
        let hasher = Hasher::start(hash).unwrap().unwrap();
        let tee = hasher.tee(1);
        let block = Arc::new(b"xabcx".to_vec());
        tee.send(&block, 1, 3);
        tee.send(&block, 3, 4);
        drop(tee);
        let hashes = hasher.finish();
        assert_eq!(hashes, [None, Some(expected.to_owned())]);
    }

    #[test]
    fn parts_of_blocks_are_one_input() {
        check(Hash::Sha256, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        check(Hash::Blake3, "6437b3ac38465133ffb63b75273a8db548c558465d79db03fd359c6cd5bd9d85");
        assert!(Hasher::start(Hash::None).unwrap().is_none());
    }
}

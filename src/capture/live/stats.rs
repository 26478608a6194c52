//! What is counted and said while it captures.
//!
//! In:  counts of the capture threads and of who saves.
//! Out: the same, to be read from any thread.
//! Not: what a loss means.

use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicI64;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;

use crossbeam_channel::Receiver;
use crossbeam_channel::Sender;
use crossbeam_channel::bounded;

use super::QUEUE;
use crate::base::Time;
use crate::base::WireText;

/// Sentences that can wait for somebody to read them.
const SENTENCES: usize = 64;

/// What an interface has counted; read from any thread.
#[derive(Debug, Default)]
pub struct InterfaceStats {
    /// Its name.
    pub name: String,
    /// Frames and bytes handed on.
    pub frames: AtomicU64,
    /// Bytes of these.
    pub bytes: AtomicU64,
    /// Frames that the kernel saw, by its own count.
    pub received: AtomicU64,
    /// Frames lost because the ring was full.
    pub kernel_drops: AtomicU64,
    /// Frames lost by the interface.
    pub interface_drops: AtomicU64,
    /// Frames that we had no room for.
    pub our_drops: AtomicU64,
    /// Frames that were audited and could not be saved for want of room or disk.
    pub unsaved: AtomicU64,
    /// Frames that were saved.
    pub(in crate::capture) saved: AtomicU64,
    /// It is not there at the moment.
    pub gone: AtomicBool,
    /// The time until which all its frames have been handed on or counted as lost.
    pub(super) seen_until: AtomicI64,
}

impl InterfaceStats {
    /// Everything that was lost.
    pub fn lost(&self) -> u64 {
        [&self.kernel_drops, &self.interface_drops, &self.our_drops].map(read).iter().sum()
    }
}

pub(in crate::capture) fn read(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

/// All that can be watched while it captures.
#[derive(Debug)]
pub struct CaptureStats {
    /// Each interface.
    pub ports: Vec<InterfaceStats>,
    /// Blocks waiting for the audit.
    pub queued: AtomicU64,
    says: (Sender<String>, Receiver<String>),
}

impl CaptureStats {
    /// Blocks that can wait.
    pub const QUEUE: u64 = QUEUE as u64;

    /// Nothing counted yet.
    pub(super) fn new(interfaces: &[String]) -> CaptureStats {
        let port = |name: &String| InterfaceStats { name: name.clone(), ..InterfaceStats::default() };
        CaptureStats {
            ports: interfaces.iter().map(port).collect(),
            queued: AtomicU64::new(0),
            says: bounded(SENTENCES),
        }
    }

    /// Something that a person should know.
    pub(in crate::capture) fn say(&self, what: &str) {
        // Names of interfaces and files may hold what a terminal would obey. When nobody reads any more nothing is missed.
        let _ = self.says.0.try_send(WireText::new(what.as_bytes(), 1024).to_string());
    }

    /// What was said since the last call.
    pub fn said(&self) -> impl Iterator<Item = String> + '_ {
        self.says.1.try_iter()
    }

    /// Everything that was lost on all interfaces.
    pub fn lost(&self) -> u64 {
        self.ports.iter().map(InterfaceStats::lost).sum()
    }

    /// Frames that were audited and not saved.
    pub fn unsaved(&self) -> u64 {
        self.ports.iter().map(|gauge| read(&gauge.unsaved)).sum()
    }

    /// The time until which the frames of all interfaces have been handed on.
    pub(super) fn seen_until(&self) -> Time {
        let each = self.ports.iter().map(|gauge| gauge.seen_until.load(Ordering::Acquire));
        each.min().map_or(Time::MIN, Time)
    }
}

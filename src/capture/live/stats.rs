//! Counters and messages of a running capture.
//!
//! In:  counts of the capture threads and of the thread that saves frames.
//! Out: the same counts and messages, readable from any thread.
//! Not: what a loss means for the audit.

use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicI64;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;

use crossbeam_channel::Receiver;
use crossbeam_channel::Sender;
use crossbeam_channel::bounded;

use crate::base::Time;
use crate::base::WireText;

/// Blocks between the capture threads and the audit: 32 MiB, besides the kernel's capture buffers.
pub(super) const QUEUE_BLOCKS: usize = 128;

/// Messages that wait to be shown.
const QUEUED_MESSAGES: usize = 64;

/// Counters of an interface.
#[derive(Debug, Default)]
pub struct InterfaceStats {
    /// Its name.
    pub name: String,
    /// Frames delivered to the audit.
    pub frames: AtomicU64,
    /// Bytes of these frames.
    pub bytes: AtomicU64,
    /// Frames that the kernel received, by its own count.
    pub received: AtomicU64,
    /// Frames dropped by the kernel because the capture buffer was full.
    pub kernel_drops: AtomicU64,
    /// Frames dropped by the interface.
    pub interface_drops: AtomicU64,
    /// Frames dropped by this program because its queue was full.
    pub queue_drops: AtomicU64,
    /// Frames that were audited and not saved, because the queue or the disk was full.
    pub unsaved: AtomicU64,
    /// Frames that were saved.
    pub(super) saved: AtomicU64,
    /// The interface does not exist at the moment.
    pub is_gone: AtomicBool,
    /// All frames up to this time have been sent to the audit or counted as dropped.
    pub(super) read_until: AtomicI64,
}

impl InterfaceStats {
    /// All frames that were dropped.
    pub fn dropped(&self) -> u64 {
        [&self.kernel_drops, &self.interface_drops, &self.queue_drops].map(load).iter().sum()
    }
}

pub(super) fn load(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

/// Counters and messages of a capture.
#[derive(Debug)]
pub struct CaptureStats {
    /// Each interface.
    pub interfaces: Vec<InterfaceStats>,
    /// Blocks that wait for the audit.
    pub queued: AtomicU64,
    messages: (Sender<String>, Receiver<String>),
}

impl CaptureStats {
    /// Blocks that can wait for the audit.
    pub const QUEUE: u64 = QUEUE_BLOCKS as u64;

    pub(super) fn new(interfaces: &[String]) -> CaptureStats {
        let of = |name: &String| InterfaceStats { name: name.clone(), ..InterfaceStats::default() };
        CaptureStats {
            interfaces: interfaces.iter().map(of).collect(),
            queued: AtomicU64::new(0),
            messages: bounded(QUEUED_MESSAGES),
        }
    }

    /// Adds a message for the user.
    pub(super) fn report(&self, message: &str) {
        // Printable, because names of interfaces and files may have terminal escape sequences. Messages are dropped only if
        // nothing reads them any more.
        let _ = self.messages.0.try_send(WireText::new(message.as_bytes(), message.len()).to_string());
    }

    /// The messages since the last call.
    pub fn messages(&self) -> impl Iterator<Item = String> + '_ {
        self.messages.1.try_iter()
    }

    /// All frames that were dropped, on all interfaces.
    pub fn dropped(&self) -> u64 {
        self.interfaces.iter().map(InterfaceStats::dropped).sum()
    }

    /// Frames that were audited and not saved.
    pub fn unsaved(&self) -> u64 {
        self.interfaces.iter().map(|stats| load(&stats.unsaved)).sum()
    }

    /// All frames of all interfaces up to this time have been sent to the audit or counted as dropped.
    pub(super) fn read_until(&self) -> Time {
        let times = self.interfaces.iter().map(|stats| stats.read_until.load(Ordering::Acquire));
        times.min().map_or(Time::MIN, Time)
    }
}

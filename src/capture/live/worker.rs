//! Empties the capture buffer of one interface, on a thread of its own.
//!
//! In:  an open capture.
//! Out: frames to a [`BlockWriter`], and the counters of the kernel. When the interface is gone it waits for its return.
//! Not: what is inside a frame.

use std::os::fd::AsFd as _;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;
use std::time::Instant;

use crossbeam_channel::Sender;
use nix::poll::PollFd;
use nix::poll::PollFlags;
use nix::poll::PollTimeout;
use nix::poll::poll;
use pcap::Active;

use super::block_writer::BlockWriter;
use super::block_writer::CapturedBlock;
use super::clock::now;
use super::open::KERNEL_TIMEOUT_MILLIS;
use super::open::OpenInterface;
use super::open::libpcap_message;
use super::open::open_interface;
use super::plan::LiveCapturePlan;
use super::plan::LiveError;
#[cfg(target_os = "linux")]
use super::rebind::InterfaceIdentity;
#[cfg(target_os = "linux")]
use super::rebind::RebindError;
use super::stats::CaptureStats;
use super::stats::InterfaceStats;
use crate::capture::LinkType;

/// How long a thread that ends goes on reading: longer than the kernel holds a block back, so that every frame captured before is
/// read.
const FINAL_READ: Duration = Duration::from_millis(4 * KERNEL_TIMEOUT_MILLIS as u64);

/// The same at most, even if the clock was set back or frames keep arriving.
const FINAL_READ_LIMIT: Duration = Duration::from_secs(5);

/// Frames read from a capture buffer before anything else is done: a flood of frames must not delay the end or the counters.
const DISPATCH_FRAMES: usize = 8192;

/// How long a thread waits for frames before it checks whether to end.
const POLL_MILLIS: u16 = 50;

/// The interval of reading the counters, and of retrying after an error.
const ONE_SECOND: Duration = Duration::from_secs(1);

/// The capture of one interface.
pub(super) struct InterfaceWorker {
    interface: u16,
    plan: Arc<LiveCapturePlan>,
    capture: pcap::Capture<Active>,
    pub(super) link: LinkType,
    #[cfg(target_os = "linux")]
    identity: Option<InterfaceIdentity>,
    is_gone: bool,
    is_down: bool,
    /// That the interface is back and cannot be captured on was reported.
    refusal_reported: bool,
    last_retry: Instant,
    last_count: Instant,
    /// The counters when they were read last: received, dropped by the kernel, dropped by the interface. They have 32 bits and
    /// start at 0 when the interface is opened.
    counters: (u32, u32, u32),
}

impl InterfaceWorker {
    pub(super) fn new(interface: u16, plan: Arc<LiveCapturePlan>, opened: OpenInterface) -> InterfaceWorker {
        let OpenInterface { capture, link, is_promiscuous } = opened;
        let now = Instant::now();
        #[cfg(target_os = "linux")]
        let identity = plan
            .interfaces
            .get(usize::from(interface))
            .and_then(|name| InterfaceIdentity::of(name, is_promiscuous));
        #[cfg(not(target_os = "linux"))]
        let _ = is_promiscuous;
        InterfaceWorker {
            interface,
            plan,
            capture,
            link,
            #[cfg(target_os = "linux")]
            identity,
            is_gone: false,
            is_down: false,
            refusal_reported: false,
            last_retry: now,
            last_count: now,
            counters: (0, 0, 0),
        }
    }

    /// The writer for this interface.
    pub(super) fn block_writer(&self, out: Sender<CapturedBlock>, stats: Arc<CaptureStats>) -> BlockWriter {
        BlockWriter::new(self.interface, self.link, out, stats)
    }

    fn name(&self) -> &str {
        self.plan.interfaces.get(usize::from(self.interface)).map_or("", String::as_str)
    }

    fn stats<'a>(&self, stats: &'a CaptureStats) -> Option<&'a InterfaceStats> {
        stats.interfaces.get(usize::from(self.interface))
    }

    /// The capture thread. `halt` ends it.
    pub(super) fn run(mut self, mut writer: BlockWriter, halt: &AtomicBool) {
        while !halt.load(Ordering::Relaxed) {
            let read_until = now();
            if self.is_gone {
                writer.send();
                writer.set_read_until(read_until);
                thread::sleep(Duration::from_millis(u64::from(POLL_MILLIS)));
                self.try_reopen(&mut writer);
                continue;
            }
            match self.wait_and_read(&mut writer) {
                Ok(frames) => {
                    writer.send_if_due();
                    if frames < DISPATCH_FRAMES {
                        writer.set_read_until(read_until);
                    }
                }
                Err(error) => {
                    self.report_error(&libpcap_message(&error), &writer.stats);
                    if self.is_gone {
                        self.read_after_removal(&mut writer);
                    }
                    // An interface that is down has no frames, and must not hold back the clock of the others.
                    writer.send();
                    writer.set_read_until(read_until);
                }
            }
            self.count_once_a_second(&writer.stats);
        }
        self.read_until_now(&mut writer);
        writer.send();
        self.read_counters(&writer.stats);
    }

    fn wait_and_read(&mut self, writer: &mut BlockWriter) -> Result<usize, pcap::Error> {
        let mut fds = [PollFd::new(self.capture.as_fd(), PollFlags::POLLIN)];
        // The buffer is read even if the wait was interrupted.
        let _ = poll(&mut fds, PollTimeout::from(POLL_MILLIS));
        self.capture.dispatch(Some(DISPATCH_FRAMES), |packet| writer.write(&packet))
    }

    /// Reads the frames that were captured until now, also those in a block that the kernel has not released yet. Later frames of
    /// a flood are not waited for.
    fn read_until_now(&mut self, writer: &mut BlockWriter) {
        let (end, started) = (now(), Instant::now());
        while !self.is_gone {
            let elapsed = started.elapsed();
            let Ok(frames) = self.wait_and_read(writer) else { break };
            let is_complete = frames < DISPATCH_FRAMES || writer.latest > end || elapsed > FINAL_READ_LIMIT;
            if elapsed >= FINAL_READ && is_complete {
                break;
            }
        }
    }

    /// Reads the frames that were captured before the interface was removed. The kernel releases its last block after it reports
    /// the removal.
    fn read_after_removal(&mut self, writer: &mut BlockWriter) {
        let started = Instant::now();
        while started.elapsed() < FINAL_READ {
            thread::sleep(Duration::from_millis(u64::from(POLL_MILLIS)));
            // Every call reports the removal again, and still delivers frames.
            let _ = self.capture.dispatch(Some(DISPATCH_FRAMES), |packet| writer.write(&packet));
        }
        self.read_counters(&writer.stats);
    }

    fn report_error(&mut self, message: &str, stats: &CaptureStats) {
        if message.is_empty() {
            // The loop was interrupted.
            return;
        }
        let name = self.name();
        if message.contains("went down") || message.contains("is down") {
            if !self.is_down {
                stats.report(&format!("{name}: interface went down; waiting for it"));
                self.is_down = true;
            }
            thread::sleep(Duration::from_millis(u64::from(POLL_MILLIS)));
            return;
        }
        stats.report(&format!(
            "{name}: {}; captured frames are kept, trying again every second",
            message.to_lowercase()
        ));
        // While the socket still has them.
        self.read_counters(stats);
        self.is_down = false;
        self.refusal_reported = false;
        self.set_gone(stats, true);
    }

    fn set_gone(&mut self, stats: &CaptureStats, is_gone: bool) {
        self.is_gone = is_gone;
        if let Some(stats) = self.stats(stats) {
            stats.is_gone.store(is_gone, Ordering::Relaxed);
        }
    }

    fn try_reopen(&mut self, writer: &mut BlockWriter) {
        if self.last_retry.elapsed() < ONE_SECOND {
            return;
        }
        self.last_retry = Instant::now();
        #[cfg(target_os = "linux")]
        let reason = match self.identity.map(|identity| identity.bind(&self.capture, self.name())) {
            Some(Ok(())) => return self.set_back(&writer.stats),
            Some(Err(RebindError::NotFound)) => return,
            Some(Err(RebindError::Refused(reason))) => reason,
            None => "only interfaces with a hardware address can be captured on again",
        };
        #[cfg(not(target_os = "linux"))]
        let reason = "privileges were dropped";
        // The remaining privileges may be enough to open it.
        match open_interface(self.name(), &self.plan, &writer.stats) {
            Ok(opened) => {
                self.capture = opened.capture;
                self.link = opened.link;
                self.counters = (0, 0, 0);
                writer.link = opened.link;
                self.set_back(&writer.stats);
            }
            Err(LiveError::NoPermission { .. }) if !self.refusal_reported => {
                writer.stats.report(&format!(
                    "{}: interface is back, but cannot be captured on: {reason}; restart afs-audit",
                    self.name()
                ));
                self.refusal_reported = true;
            }
            Err(_) => {}
        }
    }

    fn set_back(&mut self, stats: &CaptureStats) {
        stats.report(&format!("{}: interface is back", self.name()));
        self.set_gone(stats, false);
    }

    fn count_once_a_second(&mut self, stats: &CaptureStats) {
        if self.last_count.elapsed() < ONE_SECOND {
            return;
        }
        self.last_count = Instant::now();
        self.read_counters(stats);
        if self.is_gone {
            return;
        }
        let is_up = is_up(self.name());
        if self.is_down && is_up {
            stats.report(&format!("{}: interface is up again", self.name()));
            self.is_down = false;
        } else if !self.is_down && !is_up {
            stats.report(&format!("{}: interface is down; waiting for it", self.name()));
            self.is_down = true;
        }
    }

    /// Adds what the kernel has counted since the last call.
    fn read_counters(&mut self, stats: &CaptureStats) {
        let Some(stats) = self.stats(stats) else { return };
        let Ok(now) = self.capture.stats() else { return };
        let now = (now.received, now.dropped, now.if_dropped);
        let before = std::mem::replace(&mut self.counters, now);
        let add = |counter: &AtomicU64, now: u32, before: u32| {
            counter.fetch_add(u64::from(now.wrapping_sub(before)), Ordering::Relaxed);
        };
        add(&stats.received, now.0, before.0);
        add(&stats.kernel_drops, now.1, before.1);
        // Counted by the driver. With some drivers the count goes back.
        if now.2 >= before.2 {
            add(&stats.interface_drops, now.2, before.2);
        }
    }
}

/// Whether an interface is up; true if the system has no flags for it.
fn is_up(name: &str) -> bool {
    // linux/if.h: IFF_UP.
    let flags = std::fs::read_to_string(format!("/sys/class/net/{name}/flags")).ok();
    let flags = flags.and_then(|text| u32::from_str_radix(text.trim().trim_start_matches("0x"), 16).ok());
    flags.is_none_or(|flags| flags & 1 != 0)
}

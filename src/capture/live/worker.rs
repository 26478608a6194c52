//! Empties the ring of one interface, on a thread of its own.
//!
//! In:  an open capture.
//! Out: frames to its filler, and what the kernel counted; it comes back when the interface does.
//! Not: what is in a frame.

use std::os::fd::AsFd as _;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;
use std::time::Instant;

use nix::poll::PollFd;
use nix::poll::PollFlags;
use nix::poll::PollTimeout;
use nix::poll::poll;
use pcap::Active;

use super::LiveCapturePlan;
use super::LiveError;
use super::block_writer::BlockWriter;
use super::devices::KERNEL_WAIT_MILLIS;
use super::devices::open;
use super::devices::words;
use super::now;
use super::stats::CaptureStats;
use crate::capture::LinkType;
#[cfg(target_os = "linux")]
use crate::capture::rebind::Kept;
#[cfg(target_os = "linux")]
use crate::capture::rebind::Return;

/// How long a thread that ends goes on looking: longer than the kernel keeps a frame back, so that none is lost that came before.
const LAST_WAIT: Duration = Duration::from_millis(4 * KERNEL_WAIT_MILLIS as u64);

/// A clock that was set back must not keep it looking.
const LONGEST_LAST_WAIT: Duration = Duration::from_secs(5);

/// Frames taken from a ring before anything else is looked at: a flood must not keep a thread from ending and counting.
const ROUND: usize = 8192;

/// How long a thread waits for frames before it looks whether it should end.
const WAIT_MILLIS: u16 = 50;

/// An interface to capture on, as long as it is there.
pub(super) struct InterfaceWorker {
    pub(super) place: u16,
    pub(super) plan: Arc<LiveCapturePlan>,
    pub(super) capture: pcap::Capture<Active>,
    pub(super) link: LinkType,
    #[cfg(target_os = "linux")]
    pub(super) kept: Option<Kept>,
    pub(super) is_gone: bool,
    pub(super) retried: Instant,
    pub(super) asked: Instant,
    /// The counts at the last question; they are 32 bits wide and begin anew with each opening.
    pub(super) before: (u32, u32, u32),
    pub(super) is_down: bool,
    pub(super) refused: bool,
}

impl InterfaceWorker {
    fn name(&self) -> &str {
        self.plan.interfaces.get(usize::from(self.place)).map_or("", String::as_str)
    }

    /// A capture thread.
    pub(super) fn watch(mut self, mut filler: BlockWriter, halt: &AtomicBool) {
        while !halt.load(Ordering::Relaxed) {
            let since = now();
            if self.is_gone {
                filler.hand_on();
                filler.is_through(since);
                thread::sleep(Duration::from_millis(u64::from(WAIT_MILLIS)));
                self.retry(&mut filler);
                continue;
            }
            let mut fds = [PollFd::new(self.capture.as_fd(), PollFlags::POLLIN)];
            // Interrupted or not, the ring is looked at next.
            let _ = poll(&mut fds, PollTimeout::from(WAIT_MILLIS));
            match self.capture.dispatch(Some(ROUND), |packet| filler.put(&packet)) {
                Ok(taken) => {
                    filler.hand_on_if_wanted();
                    if taken < ROUND {
                        filler.is_through(since);
                    }
                }
                Err(error) => {
                    self.failed(&words(&error), &filler.gauges);
                    if self.is_gone {
                        self.save_what_is_left(&mut filler);
                    }
                    // What is down has nothing, and holds up no clock.
                    filler.hand_on();
                    filler.is_through(since);
                }
            }
            self.ask(&filler.gauges);
        }
        // What came until now, also what lies in a block that the kernel has not given up yet; what a flood brings after it is
        // not waited for.
        let (told, begun) = (now(), Instant::now());
        while !self.is_gone {
            let waited = begun.elapsed();
            let mut fds = [PollFd::new(self.capture.as_fd(), PollFlags::POLLIN)];
            let _ = poll(&mut fds, PollTimeout::from(WAIT_MILLIS));
            let Ok(taken) = self.capture.dispatch(Some(ROUND), |packet| filler.put(&packet)) else { break };
            let is_all = taken < ROUND || filler.latest > told || waited > LONGEST_LAST_WAIT;
            if waited >= LAST_WAIT && is_all {
                break;
            }
        }
        filler.hand_on();
        self.asked = self.asked.checked_sub(Duration::from_secs(2)).unwrap_or(self.asked);
        self.ask(&filler.gauges);
    }

    /// What came before the interface went still lies in the ring, and the kernel gives its last block up later than the news.
    fn save_what_is_left(&mut self, filler: &mut BlockWriter) {
        let begun = Instant::now();
        while begun.elapsed() < LAST_WAIT {
            thread::sleep(Duration::from_millis(u64::from(WAIT_MILLIS)));
            // It says again that it is gone; frames come all the same.
            let _ = self.capture.dispatch(Some(ROUND), |packet| filler.put(&packet));
        }
        self.count(&filler.gauges);
    }

    fn failed(&mut self, words: &str, gauges: &CaptureStats) {
        if words.is_empty() {
            // Somebody broke the loop; nothing is wrong.
            return;
        }
        let name = self.name();
        if words.contains("went down") || words.contains("is down") {
            if !self.is_down {
                gauges.say(&format!("{name}: went down; waiting for it"));
                self.is_down = true;
            }
            thread::sleep(Duration::from_millis(u64::from(WAIT_MILLIS)));
            return;
        }
        gauges.say(&format!(
            "{name}: {}; what was captured is kept, trying again every second",
            words.to_lowercase()
        ));
        // What it counted since the last question is asked for while the socket is there.
        self.count(gauges);
        self.is_gone = true;
        self.is_down = false;
        self.refused = false;
        self.mark(gauges, true);
    }

    fn mark(&self, gauges: &CaptureStats, gone: bool) {
        if let Some(gauge) = gauges.ports.get(usize::from(self.place)) {
            gauge.gone.store(gone, Ordering::Relaxed);
        }
    }

    fn retry(&mut self, filler: &mut BlockWriter) {
        if self.retried.elapsed() < Duration::from_secs(1) {
            return;
        }
        self.retried = Instant::now();
        #[cfg(target_os = "linux")]
        let why = match self.kept.map(|kept| kept.bind(&self.capture, self.name())) {
            Some(Return::Here) => return self.is_back(&filler.gauges),
            Some(Return::Gone) => return,
            Some(Return::Refused(why)) => why,
            None => "only interfaces that have a hardware address can be bound again",
        };
        #[cfg(not(target_os = "linux"))]
        let why = "rights were given up";
        // With the rights that are left that may be possible, or not.
        match open(self.name(), &self.plan, &filler.gauges) {
            Ok(opened) => {
                self.capture = opened.capture;
                self.link = opened.link;
                self.before = (0, 0, 0);
                filler.link = opened.link;
                self.is_back(&filler.gauges);
            }
            Err(LiveError::NoPermission { .. }) if !self.refused => {
                filler.gauges.say(&format!(
                    "{}: is back, and cannot be captured on: {why}; start the audit again",
                    self.name()
                ));
                self.refused = true;
            }
            Err(_) => {}
        }
    }

    fn is_back(&mut self, gauges: &CaptureStats) {
        gauges.say(&format!("{}: is back", self.name()));
        self.is_gone = false;
        self.mark(gauges, false);
    }

    /// Reads the kernel's counts, once a second.
    fn ask(&mut self, gauges: &CaptureStats) {
        if self.asked.elapsed() < Duration::from_secs(1) {
            return;
        }
        self.asked = Instant::now();
        self.count(gauges);
        if self.is_gone {
            return;
        }
        let up = is_up(self.name());
        if self.is_down && up {
            gauges.say(&format!("{}: is up again", self.name()));
            self.is_down = false;
        } else if !self.is_down && !up {
            gauges.say(&format!("{}: is down; waiting for it", self.name()));
            self.is_down = true;
        }
    }

    fn count(&mut self, gauges: &CaptureStats) {
        let Some(gauge) = gauges.ports.get(usize::from(self.place)) else { return };
        let Ok(stats) = self.capture.stats() else { return };
        let now = (stats.received, stats.dropped, stats.if_dropped);
        let before = std::mem::replace(&mut self.before, now);
        let add = |counter: &AtomicU64, now: u32, before: u32| {
            counter.fetch_add(u64::from(now.wrapping_sub(before)), Ordering::Relaxed);
        };
        add(&gauge.received, now.0, before.0);
        add(&gauge.kernel_drops, now.1, before.1);
        // Counted by the driver, and by some of them backwards.
        if now.2 >= before.2 {
            add(&gauge.interface_drops, now.2, before.2);
        }
    }
}

/// Whether an interface is up, as far as the system says.
fn is_up(name: &str) -> bool {
    // linux/if.h: IFF_UP.
    let flags = std::fs::read_to_string(format!("/sys/class/net/{name}/flags")).ok();
    let flags = flags.and_then(|text| u32::from_str_radix(text.trim().trim_start_matches("0x"), 16).ok());
    flags.is_none_or(|flags| flags & 1 != 0)
}

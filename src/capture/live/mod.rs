//! Captures from interfaces.
//!
//! In:  names of interfaces, through libpcap.
//! Out: [`Chunk`]s as they come, numbered in the order of their coming, and a [`Heartbeat`] every second; what the interfaces
//!      were ([`InputFacts`]).
//! Not: a disk. The threads that empty the rings copy each frame once and hand blocks on; when nobody takes them they drop
//!      and count, so that the ring is never what waits.
//!
//! `devices` opens, `port` empties a ring, `filler` copies, and here the frames of all come together; `gauge` is what all count.

mod block_writer;
mod devices;
mod list;
mod stats;
mod worker;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::time::Duration;
use std::time::Instant;
use std::time::SystemTime;

use crossbeam_channel::Receiver;
use crossbeam_channel::RecvTimeoutError;

use block_writer::Piece;
pub use devices::Devices;
pub use list::InterfaceInfo;
pub use list::interfaces;
pub use stats::CaptureStats;
pub use stats::InterfaceStats;
pub(super) use stats::read;

use super::Chunk;
use super::FilterError;
use super::Heartbeat;
use super::InputFacts;
use super::InputOutcome;
use super::Interface;
use super::LiveEvent;
use super::save::FrameSaver;
use crate::base::FileId;
use crate::base::Time;
use crate::base::WireText;

/// Blocks between the capture threads and the audit: 32 MiB, besides the kernel's rings.
const QUEUE: usize = 128;

/// How far the pulse's clock stays behind, so that frames that are still on their way are not late.
const BEHIND_NANOS: i64 = 1_000_000_000;

/// Wall clock and steady clock that differ by more than this between two pulses: the wall clock was set.
const SET_NANOS: i64 = 1_000_000_000;

/// How to capture.
#[derive(Clone, Debug)]
pub struct LiveCapturePlan {
    /// Names of interfaces; `any` is all of them.
    pub interfaces: Vec<String>,
    /// A BPF expression, as tcpdump takes it.
    pub filter: Option<String>,
    /// Bytes kept of each frame.
    pub snap_len: u32,
    /// The kernel's ring for each interface, in MiB.
    pub buffer_mib: u32,
    /// Ends after so many frames.
    pub frame_limit: Option<u64>,
    /// Ends after this time.
    pub duration: Option<Duration>,
    /// Evidence is begun anew after this time.
    pub every: Option<Duration>,
}

/// Why nothing can be captured.
#[derive(Debug, thiserror::Error)]
pub enum LiveError {
    /// The system does not let us.
    #[error(
        "cannot capture on {interface}: no permission; run it as root, or allow it once with: \
         setcap cap_net_raw,cap_net_admin=eip {program}"
    )]
    NoPermission {
        /// The interface.
        interface: String,
        /// This program.
        program: String,
    },
    /// There is no such interface.
    #[error("cannot capture on {interface}: no such interface; {advice}")]
    NoInterface {
        /// The interface.
        interface: String,
        /// What may have been meant, or what there is.
        advice: String,
    },
    /// It is there, and down.
    #[error("cannot capture on {interface}: it is down; bring it up with: ip link set {interface} up")]
    Down {
        /// The interface.
        interface: String,
    },
    /// The filter cannot be used.
    #[error(transparent)]
    Filter(#[from] FilterError),
    /// Something else; in libpcap's words.
    #[error("cannot capture on {interface}: {why}")]
    Other {
        /// The interface.
        interface: String,
        /// Why.
        why: String,
    },
}

/// Frames of all interfaces, as they come.
pub struct LiveCapture {
    pieces: Receiver<Piece>,
    gauges: Arc<CaptureStats>,
    interfaces: Vec<Interface>,
    plan: Arc<LiveCapturePlan>,
    /// Set by whoever wants it to end.
    stop: Arc<AtomicBool>,
    /// Set by whoever wants new evidence.
    rotate: Arc<AtomicBool>,
    /// Ends the capture threads.
    halt: Arc<AtomicBool>,
    saver: Option<FrameSaver>,
    began: Instant,
    beat: Instant,
    turned: Instant,
    /// What the clock said at the last pulse.
    clock: Time,
    number: u64,
    left: u64,
    lost: u64,
    latest: Time,
    bytes: u64,
    ended: bool,
    facts: InputFacts,
    /// Received and lost by each interface at the last turn.
    at_turn: Vec<(u64, u64)>,
}

impl std::fmt::Debug for LiveCapture {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.plan.fmt(f)
    }
}

impl LiveCapture {
    /// Nothing was captured yet, and nobody saves or stops it.
    fn new(pieces: Receiver<Piece>, gauges: Arc<CaptureStats>, plan: Arc<LiveCapturePlan>) -> LiveCapture {
        let began = Instant::now();
        LiveCapture {
            pieces,
            gauges,
            interfaces: Vec::new(),
            left: plan.frame_limit.unwrap_or(u64::MAX),
            plan,
            stop: Arc::default(),
            rotate: Arc::default(),
            halt: Arc::default(),
            saver: None,
            began,
            beat: began,
            turned: began,
            clock: now(),
            number: 0,
            lost: 0,
            latest: Time::MIN,
            bytes: 0,
            ended: false,
            facts: InputFacts::default(),
            at_turn: Vec::new(),
        }
    }

    /// Waits for frames, a heartbeat or both, and puts the frames into `chunk`.
    pub fn next(&mut self, chunk: &mut Chunk) -> LiveEvent {
        chunk.frames.clear();
        chunk.file = FileId::default();
        if self.ended {
            return LiveEvent::End;
        }
        loop {
            let over = self.stop.load(Ordering::Relaxed)
                || self.left == 0
                || self.plan.duration.is_some_and(|duration| self.began.elapsed() >= duration);
            if over {
                self.halt.store(true, Ordering::Relaxed);
            }
            let wait =
                Duration::from_secs(1).saturating_sub(self.beat.elapsed()).min(Duration::from_millis(100));
            match self.pieces.recv_timeout(wait) {
                Ok(piece) => {
                    self.gauges.queued.store(self.pieces.len() as u64, Ordering::Relaxed);
                    self.take(piece, chunk);
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    self.ended = true;
                    return LiveEvent::Heartbeat(self.heartbeat(false));
                }
            }
            let rotate = self.rotate.swap(false, Ordering::Relaxed)
                || self.plan.every.is_some_and(|every| self.turned.elapsed() >= every);
            if rotate || self.beat.elapsed() >= Duration::from_secs(1) {
                return LiveEvent::Heartbeat(self.heartbeat(rotate));
            }
            if !chunk.frames.is_empty() {
                return LiveEvent::Frames;
            }
        }
    }

    fn take(&mut self, piece: Piece, chunk: &mut Chunk) {
        let Piece { bytes, mut frames } = piece;
        // What comes after the last frame that was asked for was not lost, but never wanted.
        frames.truncate(usize::try_from(self.left).unwrap_or(usize::MAX));
        self.left -= frames.len() as u64;
        for frame in &mut frames {
            self.number += 1;
            frame.number = self.number;
        }
        let (Some(first), Some(last)) = (frames.first(), frames.last()) else { return };
        self.latest = last.time;
        let len: u64 = frames.iter().map(|frame| u64::from(frame.captured_len)).sum();
        self.bytes += len;
        if let Some(gauge) = self.gauges.ports.get(usize::from(first.interface)) {
            gauge.frames.fetch_add(frames.len() as u64, Ordering::Relaxed);
            gauge.bytes.fetch_add(len, Ordering::Relaxed);
        }
        self.facts.tally(&frames);
        self.facts.handed_on += frames.len() as u64;
        chunk.bytes = bytes;
        chunk.frames = frames;
        if let Some(saver) = &self.saver {
            saver.save(chunk, &self.gauges);
        }
    }

    fn heartbeat(&mut self, rotate: bool) -> Heartbeat {
        let before = std::mem::replace(&mut self.beat, Instant::now());
        if rotate {
            self.turned = self.beat;
        }
        let lost = self.gauges.lost();
        let mut since = lost - std::mem::replace(&mut self.lost, lost);
        let clock = now();
        let steady = i64::try_from(self.beat.duration_since(before).as_nanos()).unwrap_or(i64::MAX);
        let set = clock.0.saturating_sub(std::mem::replace(&mut self.clock, clock).0).saturating_sub(steady);
        if set.abs() > SET_NANOS {
            let way = if set > 0 { "forward, or the machine slept," } else { "back" };
            let what = format!("the clock was set {way} by {} s", (set.abs() + 500_000_000) / 1_000_000_000);
            self.gauges.say(&format!("{what}: silence around it proves nothing"));
            self.facts.note(what);
            // How long something was silent is not known.
            since = since.max(1);
        }
        // Asked before the queue is looked at: what was captured until then is in the queue, or has been taken from it. A
        // thread that could not look for long, for want of a processor or because it was stopped, lets no time pass.
        let seen = self.gauges.seen_until();
        let time = if self.pieces.is_empty() {
            self.latest.max(Time(seen.0.saturating_sub(BEHIND_NANOS)))
        } else {
            // Behind: the clock is that of the frames.
            self.latest
        };
        let ended_interval = rotate.then(|| self.end_interval());
        Heartbeat { time, lost: since, ended_interval }
    }

    /// Bytes of frames so far.
    pub const fn bytes_read(&self) -> u64 {
        self.bytes
    }

    /// What the capture was since the last turn.
    fn end_interval(&mut self) -> Vec<InputFacts> {
        let mut facts = std::mem::take(&mut self.facts);
        facts.raw_bytes = facts.frame_bytes;
        facts.decoded_bytes = facts.frame_bytes;
        facts.interfaces.clone_from(&self.interfaces);
        for ((interface, gauge), (received, lost)) in
            facts.interfaces.iter_mut().zip(&self.gauges.ports).zip(self.at_turn.iter().copied())
        {
            interface.received = Some(read(&gauge.received) - received);
            interface.dropped = Some(gauge.lost() - lost);
            facts.lost += gauge.lost() - lost;
        }
        self.begin_facts();
        vec![facts]
    }

    fn begin_facts(&mut self) {
        self.facts = InputFacts {
            name: WireText::new(self.plan.interfaces.join("+").as_bytes(), 512),
            outcome: InputOutcome::Read,
            format: Some("live"),
            complete: true,
            ..InputFacts::default()
        };
        self.at_turn = self.gauges.ports.iter().map(|gauge| (read(&gauge.received), gauge.lost())).collect();
    }

    /// Ends the capture, and tells what it was since the last turn.
    pub fn finish(mut self) -> Vec<InputFacts> {
        self.halt.store(true, Ordering::Relaxed);
        let facts = self.end_interval();
        if let Some(saver) = self.saver.take() {
            saver.finish(&self.gauges);
        }
        facts
    }
}

impl Drop for LiveCapture {
    fn drop(&mut self) {
        self.halt.store(true, Ordering::Relaxed);
    }
}

/// The clock; nothing but live capture may look at it.
pub(super) fn now() -> Time {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Time::from_parts(since.as_secs() as i64, since.subsec_nanos())
}

#[cfg(test)]
mod tests {
    use crossbeam_channel::Sender;
    use crossbeam_channel::bounded;

    use super::*;

    fn live() -> (Sender<Piece>, LiveCapture) {
        let plan = LiveCapturePlan {
            interfaces: vec!["a".to_owned(), "b".to_owned()],
            filter: None,
            snap_len: 64,
            buffer_mib: 1,
            frame_limit: None,
            duration: None,
            every: None,
        };
        let gauges = CaptureStats::new(&plan.interfaces);
        let (give, pieces) = bounded(QUEUE);
        let live = LiveCapture::new(pieces, Arc::new(gauges), Arc::new(plan));
        (give, live)
    }

    /// A thread that could not look into its ring does not know what is in it.
    #[test]
    fn no_time_passes_that_was_not_looked_at() {
        let (give, mut live) = live();
        let seen = |live: &LiveCapture, port: usize, time: i64| {
            live.gauges.ports[port].seen_until.store(time, Ordering::Relaxed);
        };
        seen(&live, 0, 50_000_000_000);
        seen(&live, 1, 9_000_000_000);
        assert_eq!(live.heartbeat(false).time, Time(8_000_000_000));
        seen(&live, 1, 60_000_000_000);
        assert_eq!(live.heartbeat(false).time, Time(49_000_000_000));
        // What waits may be older.
        live.latest = Time(10_000_000_000);
        give.send(Piece { bytes: Arc::default(), frames: Vec::new() }).unwrap();
        assert_eq!(live.heartbeat(false).time, Time(10_000_000_000));
    }

    #[test]
    fn a_clock_that_was_set_is_told_and_doubted() {
        let (_give, mut live) = live();
        assert_eq!(live.heartbeat(false).lost, 0);
        live.clock = Time(now().0 - 3_600_000_000_000);
        assert_eq!(live.heartbeat(false).lost, 1);
        live.clock = Time(now().0 + 60_000_000_000);
        assert_eq!(live.heartbeat(false).lost, 1);
        assert_eq!(live.heartbeat(false).lost, 0);
        let said: Vec<String> = live.gauges.said().collect();
        assert!(
            said[0].starts_with("the clock was set forward, or the machine slept, by 3600 s"),
            "{said:?}"
        );
        assert!(said[1].starts_with("the clock was set back by 60 s"), "{said:?}");
        assert_eq!(live.facts.notes.len(), 2);
    }
}

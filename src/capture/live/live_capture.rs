//! Merges the blocks of all interfaces, and reports the current time.
//!
//! In:  blocks of frames from the capture threads; flags that end the capture or an interval.
//! Out: [`Chunk`]s of frames, numbered in order of arrival; a [`Heartbeat`] every second.
//! Not: reading from interfaces.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::time::Duration;
use std::time::Instant;

use crossbeam_channel::Receiver;
use crossbeam_channel::RecvTimeoutError;

use super::block_writer::CapturedBlock;
use super::clock::now;
use super::plan::LiveCapturePlan;
use super::save::FrameSaver;
use super::stats::CaptureStats;
use super::stats::load;
use crate::base::FileId;
use crate::base::Time;
use crate::base::WireText;
use crate::capture::Chunk;
use crate::capture::Heartbeat;
use crate::capture::InputFacts;
use crate::capture::InputOutcome;
use crate::capture::Interface;
use crate::capture::LiveEvent;

/// The time between two heartbeats.
const HEARTBEAT: Duration = Duration::from_secs(1);

/// How often the flags and limits are checked while no frames arrive.
const MAX_WAIT: Duration = Duration::from_millis(100);

/// By how much the time of heartbeats is earlier than the clock, so that frames that are still in a queue are not late.
const DELAY_NANOS: i64 = 1_000_000_000;

/// If the wall clock and the steady clock differ by more than this between two heartbeats, the wall clock was set.
const CLOCK_SET_NANOS: i64 = 1_000_000_000;

/// Flags shared with other threads.
pub(super) struct LiveControl {
    /// Set by the user of the capture to end it.
    pub(super) stop: Arc<AtomicBool>,
    /// Set by the user of the capture to end an interval.
    pub(super) rotate: Arc<AtomicBool>,
    /// Ends the capture threads.
    pub(super) halt: Arc<AtomicBool>,
}

/// Frames of all interfaces, in order of arrival.
pub struct LiveCapture {
    blocks: Receiver<CapturedBlock>,
    stats: Arc<CaptureStats>,
    plan: Arc<LiveCapturePlan>,
    interfaces: Vec<Interface>,
    control: LiveControl,
    pub(super) saver: Option<FrameSaver>,
    started: Instant,
    last_heartbeat: Instant,
    last_rotation: Instant,
    /// The wall clock at the last heartbeat.
    clock: Time,
    /// The number of the last frame.
    number: u64,
    frames_left: u64,
    /// All frames that were dropped until the last heartbeat.
    dropped: u64,
    /// Time of the last frame.
    latest: Time,
    bytes: u64,
    is_at_end: bool,
    /// Of this interval.
    facts: InputFacts,
    /// Frames received and dropped by each interface when this interval began.
    counts_before: Vec<(u64, u64)>,
}

impl std::fmt::Debug for LiveCapture {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.plan.fmt(f)
    }
}

impl LiveCapture {
    /// A capture that saves no frames.
    pub(super) fn new(
        blocks: Receiver<CapturedBlock>,
        stats: Arc<CaptureStats>,
        plan: Arc<LiveCapturePlan>,
        interfaces: Vec<Interface>,
        control: LiveControl,
    ) -> LiveCapture {
        let started = Instant::now();
        let mut live = LiveCapture {
            blocks,
            stats,
            interfaces,
            frames_left: plan.frame_limit.unwrap_or(u64::MAX),
            plan,
            control,
            saver: None,
            started,
            last_heartbeat: started,
            last_rotation: started,
            clock: now(),
            number: 0,
            dropped: 0,
            latest: Time::MIN,
            bytes: 0,
            is_at_end: false,
            facts: InputFacts::default(),
            counts_before: Vec::new(),
        };
        live.begin_interval();
        live
    }

    /// Waits for frames, a heartbeat or both, and puts the frames into `chunk`.
    pub fn next(&mut self, chunk: &mut Chunk) -> LiveEvent {
        chunk.frames.clear();
        chunk.file = FileId::default();
        if self.is_at_end {
            return LiveEvent::End;
        }
        loop {
            let is_over = self.control.stop.load(Ordering::Relaxed)
                || self.frames_left == 0
                || self.plan.duration.is_some_and(|duration| self.started.elapsed() >= duration);
            if is_over {
                // The threads end after they have sent their last frames.
                self.control.halt.store(true, Ordering::Relaxed);
            }
            let wait = HEARTBEAT.saturating_sub(self.last_heartbeat.elapsed()).min(MAX_WAIT);
            match self.blocks.recv_timeout(wait) {
                Ok(block) => {
                    self.stats.queued.store(self.blocks.len() as u64, Ordering::Relaxed);
                    self.accept(block, chunk);
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    self.is_at_end = true;
                    return LiveEvent::Heartbeat(self.heartbeat(false));
                }
            }
            let rotate = self.control.rotate.swap(false, Ordering::Relaxed)
                || self.plan.every.is_some_and(|every| self.last_rotation.elapsed() >= every);
            if rotate || self.last_heartbeat.elapsed() >= HEARTBEAT {
                return LiveEvent::Heartbeat(self.heartbeat(rotate));
            }
            if !chunk.frames.is_empty() {
                return LiveEvent::Frames;
            }
        }
    }

    /// Numbers and counts the frames of a block.
    fn accept(&mut self, block: CapturedBlock, chunk: &mut Chunk) {
        let CapturedBlock { bytes, mut frames } = block;
        // Frames after the frame limit are neither audited nor dropped.
        frames.truncate(usize::try_from(self.frames_left).unwrap_or(usize::MAX));
        self.frames_left -= frames.len() as u64;
        for frame in &mut frames {
            self.number += 1;
            frame.number = self.number;
        }
        let (Some(first), Some(last)) = (frames.first(), frames.last()) else { return };
        self.latest = last.time;
        let len: u64 = frames.iter().map(|frame| u64::from(frame.captured_len)).sum();
        self.bytes += len;
        if let Some(stats) = self.stats.interfaces.get(usize::from(first.interface)) {
            stats.frames.fetch_add(frames.len() as u64, Ordering::Relaxed);
            stats.bytes.fetch_add(len, Ordering::Relaxed);
        }
        self.facts.count_frames(&frames);
        self.facts.delivered += frames.len() as u64;
        chunk.bytes = bytes;
        chunk.frames = frames;
        if let Some(saver) = &self.saver {
            saver.save(chunk, &self.stats);
        }
    }

    fn heartbeat(&mut self, rotate: bool) -> Heartbeat {
        let before = std::mem::replace(&mut self.last_heartbeat, Instant::now());
        let dropped = self.stats.dropped();
        let mut lost = dropped - std::mem::replace(&mut self.dropped, dropped);
        let clock = now();
        let steady = i64::try_from(self.last_heartbeat.duration_since(before).as_nanos()).unwrap_or(i64::MAX);
        let set_by =
            clock.0.saturating_sub(std::mem::replace(&mut self.clock, clock).0).saturating_sub(steady);
        if set_by.abs() > CLOCK_SET_NANOS {
            let direction = if set_by > 0 { "forward, or the machine slept," } else { "back" };
            let secs = (set_by.abs() + 500_000_000) / 1_000_000_000;
            let message = format!("the clock was set {direction} by {secs} s");
            self.stats.report(&format!("{message}: a missing reply around that time proves nothing"));
            self.facts.note(message);
            // How long a flow was silent is not known: the heartbeat counts as lossy.
            lost = lost.max(1);
        }
        // Read before the queue is checked: frames up to this time are in the queue or were taken from it. A thread that did not
        // run, because the processor was busy or the program was stopped, does not advance this time.
        let read_until = self.stats.read_until();
        let time = if self.blocks.is_empty() {
            self.latest.max(Time(read_until.0.saturating_sub(DELAY_NANOS)))
        } else {
            // The audit is slower than the capture: the time is that of its frames.
            self.latest
        };
        let ended_interval = rotate.then(|| {
            self.last_rotation = self.last_heartbeat;
            self.end_interval()
        });
        Heartbeat { time, lost, ended_interval }
    }

    /// Bytes of the frames so far.
    pub const fn bytes_read(&self) -> u64 {
        self.bytes
    }

    fn begin_interval(&mut self) {
        let name = self.plan.interfaces.join("+");
        self.facts = InputFacts {
            name: WireText::new(name.as_bytes(), name.len()),
            outcome: InputOutcome::Read,
            format: Some("live"),
            complete: true,
            ..InputFacts::default()
        };
        self.counts_before =
            self.stats.interfaces.iter().map(|stats| (load(&stats.received), stats.dropped())).collect();
    }

    /// The inputs of the interval that ends; another begins.
    fn end_interval(&mut self) -> Vec<InputFacts> {
        let mut facts = std::mem::take(&mut self.facts);
        facts.raw_bytes = facts.frame_bytes;
        facts.decoded_bytes = facts.frame_bytes;
        facts.interfaces.clone_from(&self.interfaces);
        for ((interface, stats), (received, dropped)) in
            facts.interfaces.iter_mut().zip(&self.stats.interfaces).zip(self.counts_before.iter().copied())
        {
            interface.received = Some(load(&stats.received) - received);
            interface.dropped = Some(stats.dropped() - dropped);
            facts.reported_drops += stats.dropped() - dropped;
        }
        self.begin_interval();
        vec![facts]
    }

    /// Ends the capture; the inputs of the last interval.
    pub fn finish(mut self) -> Vec<InputFacts> {
        self.control.halt.store(true, Ordering::Relaxed);
        let facts = self.end_interval();
        if let Some(saver) = self.saver.take() {
            saver.finish(&self.stats);
        }
        facts
    }
}

impl Drop for LiveCapture {
    fn drop(&mut self) {
        self.control.halt.store(true, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use crossbeam_channel::Sender;
    use crossbeam_channel::bounded;

    use super::*;
    use crate::capture::FrameHeader;

    fn live(frame_limit: Option<u64>) -> (Sender<CapturedBlock>, LiveCapture) {
        let plan = LiveCapturePlan {
            interfaces: vec!["a".to_owned(), "b".to_owned()],
            filter: None,
            snap_len: 64,
            buffer_mib: 1,
            frame_limit,
            duration: None,
            every: None,
        };
        let stats = CaptureStats::new(&plan.interfaces);
        let interface = Interface::new(crate::capture::LinkType::ETHERNET, 64, "10^-9");
        let (out, blocks) = bounded(8);
        let control = LiveControl { stop: Arc::default(), rotate: Arc::default(), halt: Arc::default() };
        let interfaces = vec![interface.clone(), interface];
        (out, LiveCapture::new(blocks, Arc::new(stats), Arc::new(plan), interfaces, control))
    }

    fn block(frames: usize) -> CapturedBlock {
        let header = FrameHeader { time: Time(5_000_000_000), captured_len: 10, ..FrameHeader::default() };
        CapturedBlock { bytes: Arc::new(vec![0; 10]), frames: vec![header; frames] }
    }

    /// A thread that has not read its capture buffer does not know which frames are in it.
    #[test]
    fn the_time_of_a_heartbeat_is_that_of_the_slowest_interface() {
        let (out, mut live) = live(None);
        let read_until = |live: &LiveCapture, interface: usize, time: i64| {
            live.stats.interfaces[interface].read_until.store(time, Ordering::Relaxed);
        };
        read_until(&live, 0, 50_000_000_000);
        read_until(&live, 1, 9_000_000_000);
        assert_eq!(live.heartbeat(false).time, Time(8_000_000_000));
        read_until(&live, 1, 60_000_000_000);
        assert_eq!(live.heartbeat(false).time, Time(49_000_000_000));
        // Frames in the queue may be older.
        live.latest = Time(10_000_000_000);
        out.send(block(0)).unwrap();
        assert_eq!(live.heartbeat(false).time, Time(10_000_000_000));
    }

    #[test]
    fn a_clock_that_was_set_is_reported_and_counts_as_loss() {
        let (_out, mut live) = live(None);
        assert_eq!(live.heartbeat(false).lost, 0);
        live.clock = Time(now().0 - 3_600_000_000_000);
        assert_eq!(live.heartbeat(false).lost, 1);
        live.clock = Time(now().0 + 60_000_000_000);
        assert_eq!(live.heartbeat(false).lost, 1);
        assert_eq!(live.heartbeat(false).lost, 0);
        let messages: Vec<String> = live.stats.messages().collect();
        assert!(
            messages[0].starts_with("the clock was set forward, or the machine slept, by 3600 s"),
            "{messages:?}"
        );
        assert!(messages[1].starts_with("the clock was set back by 60 s"), "{messages:?}");
        assert_eq!(live.facts.notes.len(), 2);
    }

    #[test]
    fn a_heartbeat_that_rotates_has_the_inputs_of_its_interval() {
        let (out, mut live) = live(None);
        let mut chunk = Chunk::default();
        let interval = |live: &LiveCapture, chunk: &Chunk, heartbeat: Heartbeat| {
            let [facts] = heartbeat.ended_interval.unwrap().try_into().unwrap();
            assert_eq!(live.facts.frames, 0, "a new interval began");
            let drops = facts.interfaces.iter().map(|interface| interface.dropped).collect::<Vec<_>>();
            (chunk.frames.len(), facts.frames, facts.reported_drops, heartbeat.lost, drops)
        };
        out.send(block(2)).unwrap();
        out.send(block(3)).unwrap();
        assert!(matches!(live.next(&mut chunk), LiveEvent::Frames));
        live.stats.interfaces[1].kernel_drops.fetch_add(7, Ordering::Relaxed);
        live.control.rotate.store(true, Ordering::Relaxed);
        let LiveEvent::Heartbeat(heartbeat) = live.next(&mut chunk) else { unreachable!() };
        // The frames of the chunk belong to the interval that its heartbeat ends.
        assert_eq!(interval(&live, &chunk, heartbeat), (3, 5, 7, 7, vec![Some(0), Some(7)]));
        live.control.rotate.store(true, Ordering::Relaxed);
        let LiveEvent::Heartbeat(heartbeat) = live.next(&mut chunk) else { unreachable!() };
        assert_eq!(interval(&live, &chunk, heartbeat), (0, 0, 0, 0, vec![Some(0), Some(0)]));
    }

    #[test]
    fn the_frame_limit_ends_the_capture() {
        let (out, mut live) = live(Some(3));
        let mut chunk = Chunk::default();
        out.send(block(2)).unwrap();
        out.send(block(2)).unwrap();
        assert!(matches!(live.next(&mut chunk), LiveEvent::Frames));
        assert!(matches!(live.next(&mut chunk), LiveEvent::Frames));
        assert_eq!(chunk.frames.iter().map(|frame| frame.number).collect::<Vec<_>>(), [3]);
        // The capture threads end, and with them the queue.
        drop(out);
        assert!(matches!(live.next(&mut chunk), LiveEvent::Heartbeat(_)));
        assert!(live.control.halt.load(Ordering::Relaxed));
        assert!(matches!(live.next(&mut chunk), LiveEvent::End));
        assert_eq!(live.finish()[0].frames, 3);
    }
}

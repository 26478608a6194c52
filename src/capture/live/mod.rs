//! Captures from interfaces.
//!
//! In:  names of interfaces, through libpcap.
//! Out: [`Chunk`](super::Chunk)s of frames in order of arrival, and a [`Heartbeat`](super::Heartbeat) every second; the facts of
//!      the interfaces ([`InputFacts`](super::InputFacts)).
//! Not: blocking on a disk. The threads that empty the capture buffers copy each frame once, into blocks. If the audit does not
//!      take a block, they drop and count its frames, so that the capture buffers never wait.
//!
//! `devices` opens the interfaces, a `worker` empties each capture buffer through a `block_writer`, and `live_capture` merges the
//! blocks of all. `stats` has the counters of every thread, `save` writes the frames to files, and `saved_frames` reads some of them
//! back.

mod block_writer;
mod clock;
mod devices;
mod list;
mod live_capture;
mod open;
mod pcapng_writer;
mod plan;
#[cfg(target_os = "linux")]
mod rebind;
mod save;
mod saved_frames;
mod stats;
mod worker;

pub use devices::Devices;
pub use list::InterfaceInfo;
pub use list::interfaces;
pub use live_capture::LiveCapture;
pub use plan::LiveCapturePlan;
pub use plan::LiveError;
pub use save::FrameSaver;
pub use save::SavePlan;
pub use saved_frames::NotRead;
pub use saved_frames::SavedFrame;
pub use saved_frames::SavedFrames;
pub use saved_frames::SavedReader;
pub use stats::CaptureStats;
pub use stats::InterfaceStats;

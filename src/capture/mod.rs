//! Reads frames from files and interfaces.
//!
//! In:  paths, standard input; with the feature `live`, interfaces.
//! Out: [`Chunk`]s of frames in order of time; the facts and the damage of each input ([`InputFacts`]).
//! Not: what is inside a frame.

mod annotated;
mod annotated_read;
mod archive;
mod block;
mod chunk;
mod compress;
mod concatenated;
mod erf;
mod etl;
mod facts;
mod filter;
mod format;
mod frame_reader;
mod hash;
mod input;
mod input_reader;
mod interface_clock;
mod interruptible;
mod link;
#[cfg(feature = "live")]
mod live;
mod merge;
mod netmon;
mod pcap;
mod pcapng;
mod pcapng_blocks;
mod pcapng_write;
mod refusal;
mod seek_points;
mod snoop;
#[cfg(test)]
mod test_support;
mod trailing_stats;

pub use annotated::AnnotatedPcapng;
pub use annotated_read::AnnotatedFrame;
pub use annotated_read::AnnotatedInterface;
pub use annotated_read::read_annotated;
pub use chunk::Chunk;
pub use chunk::Frame;
pub use chunk::FrameHeader;
pub use chunk::Heartbeat;
pub use chunk::LinkType;
pub use chunk::LiveEvent;
pub use facts::InputDamage;
pub use facts::InputFacts;
pub use facts::InputOutcome;
pub use facts::Interface;
pub use filter::FilterError;
pub use hash::InputHash;
pub use input::Input;
pub use input::is_readable_again;
pub use input::open_member;
pub use link::link_type_name;
#[cfg(feature = "live")]
pub use live::CaptureStats;
#[cfg(feature = "live")]
pub use live::Devices;
#[cfg(feature = "live")]
pub use live::FrameSaver;
#[cfg(feature = "live")]
pub use live::InterfaceInfo;
#[cfg(feature = "live")]
pub use live::InterfaceStats;
#[cfg(feature = "live")]
pub use live::LiveCapture;
#[cfg(feature = "live")]
pub use live::LiveCapturePlan;
#[cfg(feature = "live")]
pub use live::LiveError;
#[cfg(feature = "live")]
pub use live::NotRead;
#[cfg(feature = "live")]
pub use live::SavePlan;
#[cfg(feature = "live")]
pub use live::SavedFrame;
#[cfg(feature = "live")]
pub use live::SavedFrames;
#[cfg(feature = "live")]
pub use live::SavedReader;
#[cfg(feature = "live")]
pub use live::interfaces;
pub use merge::Capture;
pub use merge::InputPlan;
pub use merge::ReadMeter;
pub use seek_points::SeekPoint;
pub use seek_points::SeekPoints;

use crate::base::WireText;

/// Why no capture can be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The user named a file or folder that cannot be found.
    #[error("cannot read capture: {name}: {source}")]
    NotFound {
        /// The path.
        name: WireText,
        /// The error of the operating system.
        source: std::io::Error,
    },
    /// The user named an empty folder.
    #[error("cannot read capture: {name}: folder is empty")]
    EmptyFolder {
        /// The folder.
        name: WireText,
    },
    /// None of the inputs is a capture.
    #[error("cannot read capture: {}", first_three(.reasons))]
    NoCapture {
        /// Each input, and why it is not a capture.
        reasons: Vec<String>,
    },
    /// The filter cannot be used.
    #[error(transparent)]
    Filter(#[from] FilterError),
    /// The hashers cannot be started.
    #[error("cannot start a thread: {0}")]
    Thread(std::io::Error),
}

fn first_three(reasons: &[String]) -> String {
    let shown = reasons.get(..3).unwrap_or(reasons).join("; ");
    match reasons.len() {
        0 => "no input was named".to_owned(),
        1..=3 => shown,
        count => format!("{shown}; and {} more", count - 3),
    }
}

//! Turns files and interfaces into frames.
//!
//! In:  paths, standard input, (live) interfaces.
//! Out: [`Chunk`]s of frames in time order, what each input was ([`InputFacts`]), and its damage.
//! Not: what is inside a frame.

mod block;
mod chunk;
mod compress;
mod erf;
mod etl;
mod facts;
mod file;
mod filter;
mod format;
mod hash;
mod input;
mod interface;
mod interface_stats;
mod link;
#[cfg(feature = "live")]
mod live;
mod merge;
mod pcap;
mod pcapng;
#[cfg(all(feature = "live", target_os = "linux"))]
mod rebind;
#[cfg(feature = "live")]
mod save;
mod snoop;
#[cfg(test)]
mod test_support;

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
pub use hash::Hash;
pub use input::Input;
pub use link::link_type_name;
#[cfg(feature = "live")]
pub use live::CaptureStats;
#[cfg(feature = "live")]
pub use live::Devices;
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
pub use live::interfaces;
pub use merge::Capture;
pub use merge::InputPlan;
pub use merge::ReadMeter;
#[cfg(feature = "live")]
pub use save::FrameSaver;
#[cfg(feature = "live")]
pub use save::SavePlan;

use crate::base::WireText;

/// Why no capture can be read at all.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The user named something that is not there.
    #[error("cannot read capture: {name}: {source}")]
    Missing {
        /// What was named.
        name: WireText,
        /// What the system said.
        source: std::io::Error,
    },
    /// The user named a folder with nothing in it.
    #[error("cannot read capture: {name}: folder is empty")]
    Empty {
        /// The folder.
        name: WireText,
    },
    /// None of the inputs is a capture.
    #[error("cannot read capture: {}", few(.reasons))]
    Nothing {
        /// Each input with what is wrong with it.
        reasons: Vec<String>,
    },
    /// The filter cannot be used.
    #[error(transparent)]
    Filter(#[from] FilterError),
    /// No thread for the hashes.
    #[error("cannot start a thread: {0}")]
    Thread(std::io::Error),
}

/// The first few of many reasons.
fn few(reasons: &[String]) -> String {
    let shown = reasons.get(..3).unwrap_or(reasons).join("; ");
    match reasons.len() {
        0 => "nothing was named".to_owned(),
        1..=3 => shown,
        more => format!("{shown}; and {} more", more - 3),
    }
}

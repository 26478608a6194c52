//! The settings and the errors of live capture.
//!
//! In:  settings of the user, errors of libpcap.
//! Out: [`LiveCapturePlan`], [`LiveError`].
//! Not: the capture itself.

use std::time::Duration;

use crate::capture::FilterError;

/// How to capture.
#[derive(Clone, Debug)]
pub struct LiveCapturePlan {
    /// Names of interfaces; `any` is all of them.
    pub interfaces: Vec<String>,
    /// A capture filter, in the language of tcpdump.
    pub filter: Option<String>,
    /// Bytes kept of each frame.
    pub snap_len: u32,
    /// The kernel's capture buffer of each interface, in MiB.
    pub buffer_mib: u32,
    /// The capture ends after this many frames.
    pub frame_limit: Option<u64>,
    /// The capture ends after this time.
    pub duration: Option<Duration>,
    /// The evidence is rotated after this time.
    pub every: Option<Duration>,
}

/// Why an interface cannot be captured on.
#[derive(Debug, thiserror::Error)]
pub enum LiveError {
    /// The user may not capture.
    #[error(
        "cannot capture on {interface}: no permission; run afs-audit as root, or grant the capability once with: \
         setcap cap_net_raw=ep {program}"
    )]
    NoPermission {
        /// The interface.
        interface: String,
        /// The path of this program.
        program: String,
    },
    /// The interface does not exist.
    #[error("cannot capture on {interface}: no such interface; {advice}")]
    NoInterface {
        /// The interface.
        interface: String,
        /// A similar name, or all interfaces.
        advice: String,
    },
    /// The interface is down.
    #[error("cannot capture on {interface}: interface is down; bring it up with: ip link set {interface} up")]
    Down {
        /// The interface.
        interface: String,
    },
    /// The filter cannot be used.
    #[error(transparent)]
    Filter(#[from] FilterError),
    /// Another error of libpcap.
    #[error("cannot capture on {interface}: {message}")]
    Other {
        /// The interface.
        interface: String,
        /// The message of libpcap.
        message: String,
    },
}

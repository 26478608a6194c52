//! Types and numbers that every stage shares: bounded parsing, untrusted text, time, addresses, frame references.
//!
//! In:  bytes and text from captures.
//! Out: values that later stages can use and print without checks.
//! Not: any protocol.

mod address;
mod cursor;
mod frame_ref;
mod host_drop;
mod link_address;
mod net;
mod points;
mod text;
mod time;
mod time_window;

pub use address::Address;
pub use cursor::Cursor;
pub use cursor::Truncated;
pub use frame_ref::FileId;
pub use frame_ref::FrameRef;
pub use frame_ref::Side;
pub use host_drop::DropKind;
pub use host_drop::DropReason;
pub use host_drop::HostDrop;
pub use host_drop::HostReport;
pub use host_drop::Process;
pub use host_drop::TranslatedEnds;
pub use link_address::LinkAddress;
pub use net::port;
pub use net::proto;
pub use points::CapturePoint;
pub use points::CapturePoints;
pub use text::HostName;
pub(crate) use text::HostNameBuilder;
pub use text::WireText;
pub(crate) use text::counted;
pub(crate) use text::grouped;
pub use text::is_deceptive;
pub use text::is_printable;
pub use time::Time;
pub use time_window::TimeWindow;

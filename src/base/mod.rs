//! Words that every stage shares: bytes cut safely, text from strangers, time, sides and frames.
//!
//! Nothing here knows a protocol.

mod address;
mod cursor;
mod frame_ref;
mod text;
mod time;

pub use address::Address;
pub use cursor::Cursor;
pub use cursor::Truncated;
pub use frame_ref::FileId;
pub use frame_ref::FrameRef;
pub use frame_ref::Side;
pub use text::HostName;
pub use text::WireText;
pub use time::Time;

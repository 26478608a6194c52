//! Words that every stage shares: bytes cut safely, text from strangers, time, sides and frames.
//!
//! Nothing here knows a protocol.

mod address;
mod cursor;
mod place;
mod text;
mod time;

pub use address::Address;
pub use cursor::Cursor;
pub use cursor::Cut;
pub use place::FileId;
pub use place::FrameRef;
pub use place::Side;
pub use text::HostName;
pub use text::WireText;
pub use time::Time;

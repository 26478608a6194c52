//! Types that every stage shares: bounds-checked reads, addresses, times, text from packets, frame references, IANA numbers.

mod address;
mod cursor;
mod frame_ref;
mod net;
mod text;
mod time;

pub use address::Address;
pub use cursor::Cursor;
pub use cursor::Truncated;
pub use frame_ref::FileId;
pub use frame_ref::FrameRef;
pub use frame_ref::Side;
pub use net::port;
pub use net::proto;
pub use text::HostName;
pub use text::WireText;
pub use time::Time;

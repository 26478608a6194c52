//! Reads what conversations say, and tells it as facts.
//!
//! In:  opened conversations, their streams and datagrams.
//! Out: [`Observation`]s, in the order of the frames.
//! Not: whether any of it is expected; that is for `judge`.

mod desk;
mod dns;
#[cfg(test)]
mod driver;
mod fact;
mod http;
mod husk;
mod memo;
mod pieces;
mod proxy_protocol;
mod quic;
mod reader;
mod socks;
mod speech;
mod table;
mod tls;

pub use desk::Desk;
pub use desk::State;
pub use fact::Answer;
pub use fact::AnswerData;
pub use fact::App;
pub use fact::Claim;
pub use fact::Ending;
pub use fact::Fact;
pub use fact::Key;
pub use fact::NameSource;
pub use fact::Observation;
pub use fact::Oddity;
pub use fact::Resolution;
pub use fact::Value;
pub use husk::Husks;
pub use memo::Memo;
pub use memo::Profile;
pub use reader::Spec;
pub use table::READERS;

//! Reads application-layer protocols and emits facts.
//!
//! In:  conversations, their streams and datagrams.
//! Out: [`Observation`]s, in frame order.
//! Not: whether a fact is expected; that is for `judge`.

mod assembler;
mod attributes;
mod dispatch;
mod dns;
mod fact;
mod http;
mod identify;
mod parse_cache;
mod proxy_protocol;
mod quic;
mod reader;
mod socks;
mod stored_answers;
mod table;
#[cfg(test)]
mod test_harness;
mod tls;

pub use attributes::AttributeKey;
pub use attributes::AttributeSet;
pub use attributes::AttributeSets;
pub use attributes::AttributeValue;
pub use dispatch::ConversationState;
pub use dispatch::Dispatcher;
pub use fact::Anomaly;
pub use fact::Answer;
pub use fact::AnswerData;
pub use fact::App;
pub use fact::AppStatus;
pub use fact::Claim;
pub use fact::Fact;
pub use fact::NameSource;
pub use fact::Observation;
pub use fact::Resolution;
pub use fact::Service;
pub use parse_cache::ParseCache;
pub use reader::ReaderSpec;
pub use table::READERS;

//! The table of readers: one row each, the most specific first.

use super::dns;
use super::http;
use super::proxy_protocol;
use super::quic;
use super::reader::Spec;
use super::socks;
use super::tls;

/// All readers. The first row that is sure of a conversation reads it.
pub const READERS: &[Spec] = &[
    tls::SPEC,
    tls::DTLS,
    quic::SPEC,
    http::SPEC,
    http::HTTP2,
    proxy_protocol::SPEC,
    socks::SPEC,
    dns::SPEC,
];

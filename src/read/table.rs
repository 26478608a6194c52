//! The table of readers: one row each, the most specific first.

use super::dns;
use super::reader::Spec;
use super::tls;

/// All readers. The first row that is sure of a conversation reads it.
pub const READERS: &[Spec] = &[tls::SPEC, tls::DTLS, dns::SPEC];

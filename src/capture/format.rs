//! The capture formats that can be read.
//!
//! In:  the first bytes of a capture.
//! Out: the reader of its format.
//! Not: compression; the bytes are decompressed.

use super::erf;
use super::frame_reader::CaptureFormat;
use super::netmon;
use super::pcap;
use super::pcapng;
use super::snoop;

/// Probed in this order: formats with a magic number first.
pub(super) const FORMATS: &[CaptureFormat] =
    &[pcap::FORMAT, pcapng::FORMAT, snoop::FORMAT, netmon::FORMAT, erf::FORMAT];

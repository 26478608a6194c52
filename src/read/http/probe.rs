//! Tells HTTP/1 from other speech.
//!
//! In:  the first bytes of a side.
//! Out: whether they are a request or a response, and who asks.
//! Not: what is asked.

use super::super::reader::Probe;
use super::super::reader::Sample;

/// A request line without an end is waited for as far as this.
const LINE_LIMIT: usize = 8 * 1024;

/// RFC 9110 §9.3 and §16.1, RFC 4918 §9, RFC 5789, and Windows remote management's neighbours.
const METHODS: &[&[u8]] = &[
    b"GET ",
    b"POST ",
    b"CONNECT ",
    b"HEAD ",
    b"PUT ",
    b"DELETE ",
    b"OPTIONS ",
    b"PATCH ",
    b"TRACE ",
    b"PROPFIND ",
    b"PROPPATCH ",
    b"MKCOL ",
    b"COPY ",
    b"MOVE ",
    b"LOCK ",
    b"UNLOCK ",
    b"REPORT ",
    b"SEARCH ",
    b"MERGE ",
    b"BITS_POST ",
    b"RPC_IN_DATA ",
    b"RPC_OUT_DATA ",
    b"RDG_IN_DATA ",
    b"RDG_OUT_DATA ",
    b"M-SEARCH ",
    b"NOTIFY ",
    b"SUBSCRIBE ",
    b"PURGE ",
    b"CCM_POST ",
];
/// RFC 9112 §4.
const RESPONSE_START: &[u8] = b"HTTP/1.";
/// RFC 9112 §3: what ends a request line, before the minor version.
const REQUEST_END: &[u8] = b" HTTP/1.";

/// Whether `bytes` begin with `start`.
pub(crate) fn begins(bytes: &[u8], start: &[u8]) -> Probe {
    if bytes.starts_with(start) {
        Probe::Yes
    } else if start.starts_with(bytes) {
        Probe::Maybe(start.len())
    } else {
        Probe::No
    }
}

pub(super) fn probe(sample: &Sample<'_>) -> Probe {
    match begins(sample.bytes, RESPONSE_START) {
        Probe::No => probe_request(sample.bytes),
        probe => probe,
    }
}

/// A method and a line that ends in HTTP's version: SIP and RTSP look alike up to there.
pub(super) fn probe_request(bytes: &[u8]) -> Probe {
    // RFC 9112 §2.2: an empty line in front of a request is a leftover.
    let bytes = bytes.strip_prefix(b"\r\n").unwrap_or(bytes);
    let mut wait = None;
    let mut known = false;
    for method in METHODS {
        match begins(bytes, method) {
            Probe::Yes => known = true,
            Probe::Maybe(need) => wait = Some(wait.map_or(need, |least: usize| least.min(need))),
            Probe::No => {}
        }
    }
    if !known {
        return wait.map_or(Probe::No, Probe::Maybe);
    }
    match bytes.iter().take(LINE_LIMIT).position(|byte| *byte == b'\n') {
        Some(end) => {
            let line = bytes.get(..end).unwrap_or_default();
            // The version's minor number and a carriage return may stand behind it.
            let tail = line.get(line.len().saturating_sub(REQUEST_END.len() + 2)..).unwrap_or_default();
            if tail.windows(REQUEST_END.len()).any(|part| part == REQUEST_END) {
                Probe::Yes
            } else {
                Probe::No
            }
        }
        None if bytes.len() >= LINE_LIMIT || bytes.iter().any(|byte| *byte < b' ' && *byte != b'\r') => {
            Probe::No
        }
        None => Probe::Maybe(bytes.len() + 1),
    }
}

pub(super) fn sender_is_client(sample: &Sample<'_>) -> Option<bool> {
    if sample.bytes.starts_with(RESPONSE_START) {
        Some(false)
    } else {
        (probe_request(sample.bytes) == Probe::Yes).then_some(true)
    }
}

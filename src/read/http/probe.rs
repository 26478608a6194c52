//! Recognises HTTP/1.
//!
//! In:  the first bytes of a side.
//! Out: whether they are a request or a response.
//! Not: the rest of the head.

use crate::read::reader::Probe;
use crate::read::reader::Sample;

/// Bytes read of a request line until its end.
const LINE_LIMIT: usize = 8 * 1024;

/// RFC 9110 §9.3 and §16.1, RFC 4918 §9, RFC 5789, and the methods of Windows services: BITS, RPC over HTTP, Remote Desktop
/// Gateway, Configuration Manager.
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
/// RFC 9112 §3: the end of a request line, before the minor version.
const REQUEST_END: &[u8] = b" HTTP/1.";

/// Whether bytes start with `start`.
pub(crate) fn probe_start(bytes: &[u8], start: &[u8]) -> Probe {
    if bytes.starts_with(start) {
        Probe::Yes
    } else if start.starts_with(bytes) {
        Probe::Maybe(start.len())
    } else {
        Probe::No
    }
}

pub(super) fn probe(sample: &Sample<'_>) -> Probe {
    match probe_start(sample.bytes, RESPONSE_START) {
        Probe::No => probe_request(sample.bytes),
        probe => probe,
    }
}

/// Recognises a method and a line that ends in HTTP's version; requests of SIP and RTSP differ only there.
pub(super) fn probe_request(bytes: &[u8]) -> Probe {
    // RFC 9112 §2.2: an empty line before a request is ignored.
    let bytes = bytes.strip_prefix(b"\r\n").unwrap_or(bytes);
    let mut need = None;
    let mut is_method = false;
    for method in METHODS {
        match probe_start(bytes, method) {
            Probe::Yes => is_method = true,
            Probe::Maybe(more) => need = Some(need.map_or(more, |least: usize| least.min(more))),
            Probe::No => {}
        }
    }
    if !is_method {
        return need.map_or(Probe::No, Probe::Maybe);
    }
    match bytes.iter().take(LINE_LIMIT).position(|byte| *byte == b'\n') {
        Some(end) => {
            let line = bytes.get(..end).unwrap_or_default();
            // The minor version and a carriage return may follow.
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

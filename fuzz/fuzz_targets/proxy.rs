//! Fuzzes SOCKS and the PROXY protocol.
//!
//! The first byte chooses the first segment: none, or a header that is too long to be found by chance.
#![no_main]

mod conversation;

/// First segments of the client.
const HEADERS: &[&[u8]] = &[
    b"",
    b"PROXY ",
    b"PROXY TCP4 192.0.2.1 198.51.100.2 4000 443\r\n",
    b"\r\n\r\n\0\r\nQUIT\n",
    b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c\xc0\x00\x02\x01\xc6\x33\x64\x02\x0f\xa0\x01\xbb",
    b"\x05\x01\x00",
    b"\x04\x01\x01\xbb\x00\x00\x00\x01id\0",
];

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Some((first, rest)) = bytes.split_first() else { return };
    let header = HEADERS[usize::from(*first) % HEADERS.len()];
    let mut segments = Vec::new();
    if !header.is_empty() {
        segments.push(header.len() as u8);
        segments.extend_from_slice(header);
    }
    segments.extend_from_slice(rest);
    conversation::play(6, 1080, &segments);
    conversation::play(6, 443, &segments);
});
